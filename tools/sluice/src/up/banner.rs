//! What a person reads at the start.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::ready::reachable;

/// What is shown. Never a key.
#[derive(Debug)]
pub(super) struct Banner<'a> {
    /// Addresses listened on.
    pub(super) addresses: &'a [SocketAddr],
    /// Data plane threads.
    pub(super) shards: u16,
    /// Data directory.
    pub(super) data: &'a Path,
    /// The document, if there is one.
    pub(super) config: Option<&'a Path>,
    /// What the configuration holds, in a line.
    pub(super) summary: &'a str,
    /// Address of the mock provider, if it runs.
    pub(super) mock: Option<SocketAddr>,
    /// Problems of the document that do not hinder a start.
    pub(super) warnings: &'a [String],
}

/// The whole text, last line feed included.
pub(super) fn text(banner: &Banner<'_>) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: &str| {
        writeln!(out, "  {name:<12}{value}").ok();
    };
    row("sluice", env!("CARGO_PKG_VERSION"));
    for address in banner.addresses {
        let shards = if banner.shards == 1 {
            "1 shard".to_owned()
        } else {
            format!("{} shards", banner.shards)
        };
        row("listening", &format!("http://{address} ({shards})"));
    }
    row("data", &banner.data.display().to_string());
    match banner.config {
        Some(path) => row("config", &path.display().to_string()),
        None => row(
            "config",
            "none: everyone on this machine is admin, providers come from the environment",
        ),
    }
    row("found", banner.summary);
    if let Some(mock) = banner.mock {
        row(
            "mock",
            &format!("http://{mock} answers every model, no key needed"),
        );
    }
    for warning in banner.warnings {
        row("warning", warning);
    }
    if let Some(&address) = banner.addresses.first() {
        out.push_str(&clients(reachable(address)));
    }
    out
}

/// Lines to paste into a shell, one a client.
fn clients(address: SocketAddr) -> String {
    format!(
        "\n\
         Claude Code   ANTHROPIC_BASE_URL=http://{address} ANTHROPIC_AUTH_TOKEN=anything claude\n\
         Codex         codex -c model_provider=sluice -c 'model_providers.sluice={{name=\"sluice\",\
         base_url=\"http://{address}/v1\",wire_api=\"responses\"}}'\n\
         Gemini CLI    GOOGLE_GEMINI_BASE_URL=http://{address} GEMINI_API_KEY=anything gemini\n\
         OpenAI SDKs   OPENAI_BASE_URL=http://{address}/v1 OPENAI_API_KEY=anything\n\
         curl          curl http://{address}/v1/models\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_what_and_how() {
        let address = "0.0.0.0:8080".parse().unwrap();
        let text = text(&Banner {
            addresses: &[address],
            shards: 2,
            data: Path::new("/data"),
            config: None,
            summary: "1 provider (openai), 1 grant",
            mock: None,
            warnings: &[],
        });
        for wanted in [
            "http://0.0.0.0:8080 (2 shards)",
            "found       1 provider (openai)",
            "ANTHROPIC_BASE_URL=http://127.0.0.1:8080 ANTHROPIC_AUTH_TOKEN=anything claude",
            "base_url=\"http://127.0.0.1:8080/v1\"",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
        }
    }
}
