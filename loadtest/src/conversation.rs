//! Conversations of coding agents, as their clients have them: Claude Code, Codex, opencode, Gemini CLI and a loop around
//! an SDK, played through a real gateway with a mock provider whose answers call tools.
//!
//! The model: a [`script::Conversation`] is a list of requests with the headers and the shape of body that its client sends,
//! and what has to come of it: its session's key or that it is a fingerprint, client, tree of agents, number of requests.
//! All are played one after the other by one person; then the sessions are read from the admin API and compared with what
//! was declared, and their sums with those of their requests.

mod check;
mod clients;
mod script;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::quota::lab::{Lab, PATIENCE};
pub use crate::report::{Report, Row};

/// What to play.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The `sluice` binary
    #[arg(long, value_name = "PATH")]
    pub sluice: PathBuf,
    /// Shards of the data plane
    #[arg(long, default_value_t = 2)]
    pub shards: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What was played, and the sessions as they are shown to people.
#[derive(Debug)]
pub struct Played {
    /// A row a conversation.
    pub report: Report,
    /// Trees of the sessions, for people.
    pub trees: String,
}

/// Plays every conversation.
///
/// # Errors
/// The gateway does not start, or its API cannot be read. What is not as declared is no error but a fault of the report.
pub async fn run(options: &Options) -> Result<Played> {
    let mut folder = Folder::new("conversation")?;
    let played = play(options, &folder.path).await;
    if played.as_ref().map_or(true, |played| played.report.faults() > 0) {
        folder.keep();
    }
    played.with_context(|| format!("data in {}", folder.path.display()))
}

async fn play(options: &Options, place: &Path) -> Result<Played> {
    let mut lab = Lab::start(&options.sluice, options.shards, place, document).await?;
    let conversations = clients::all();
    for conversation in &conversations {
        for turn in &conversation.turns {
            script::send(lab.gateway, turn)
                .await
                .with_context(|| format!("{}: {}", conversation.name, turn.what))?;
        }
    }
    let sent: usize = conversations.iter().map(|c| c.turns.len()).sum();
    stored(&lab, sent).await?;
    let seen = check::Seen::read(&lab).await?;
    let mut rows: Vec<Row> = conversations
        .iter()
        .map(|conversation| seen.row(conversation))
        .collect();
    rows.push(seen.whole(&conversations));
    lab.end()?;
    Ok(Played {
        report: Report { rows },
        trees: seen.trees(),
    })
}

/// Waits until as many requests are stored as were sent.
async fn stored(lab: &Lab, sent: usize) -> Result<()> {
    let begin = Instant::now();
    loop {
        let page = lab.json("GET", "/api/requests?limit=1000", "").await?;
        let found = page.get("requests").and_then(Value::as_array).map_or(0, Vec::len);
        if found >= sent {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            bail!("{found} of {sent} requests are stored");
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn document(upstream: SocketAddr) -> Value {
    json!({
        "providers": {"mock": {
            "baseurl": format!("http://{upstream}"),
            "apikey": "mock-key",
            "models": ["claude-*", "gpt-*", "gemini-*"],
            "compatibility": {
                "openai_chat": true, "openai_responses": true, "anthropic_messages": true,
                "gemini_generate_content": true,
            },
        }},
        "prices": {},
        "grants": [{"src": ["(loopback)"], "capabilities": [{"role": "admin", "models": "**"}]}],
    })
}
