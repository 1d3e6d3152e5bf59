//! What the admin API says of the sessions, against what was played.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::script::{Conversation, Key, Sees};
use crate::quota::lab::Lab;
use crate::report::Row;

/// Members of a session that its requests add up to.
const ADDED: [&str; 7] = [
    "input",
    "input_uncached",
    "cached_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanousd",
];

/// A session with its tree and its requests.
struct Session {
    shown: Value,
    requests: Vec<Value>,
}

/// Everything that the API shows.
pub(super) struct Seen {
    sessions: Vec<Session>,
    /// All records.
    records: usize,
}

impl Seen {
    pub(super) async fn read(lab: &Lab) -> Result<Self> {
        let list = lab.json("GET", "/api/sessions", "").await?;
        let mut sessions = Vec::new();
        for listed in array(&list, "sessions") {
            let id = listed.get("id").and_then(Value::as_str).context("no `id`")?;
            let requests = lab
                .json("GET", &format!("/api/sessions/{id}/requests"), "")
                .await?;
            sessions.push(Session {
                shown: lab.json("GET", &format!("/api/sessions/{id}"), "").await?,
                requests: array(&requests, "requests").to_vec(),
            });
        }
        let records = lab.json("GET", "/api/requests?limit=1000", "").await?;
        Ok(Self {
            sessions,
            records: array(&records, "requests").len(),
        })
    }

    /// What came of a conversation.
    pub(super) fn row(&self, conversation: &Conversation) -> Row {
        let mut row = Row::new(conversation.name);
        let own: Vec<&Session> = self
            .sessions
            .iter()
            .filter(|session| session.is(conversation))
            .collect();
        // Two loops around an SDK look alike but for what they ask.
        let alike = usize::from(conversation.client == "openai-sdk") + 1;
        row.demand(own.len() == alike, || {
            format!("{} sessions, not {alike}", own.len())
        });
        for session in own {
            session.check(conversation, &mut row);
        }
        row
    }

    /// Nothing is left over.
    pub(super) fn whole(&self, conversations: &[Conversation]) -> Row {
        let mut row = Row::new("all of them");
        let sent: usize = conversations.iter().map(|c| c.turns.len()).sum();
        let held: usize = self.sessions.iter().map(|session| session.requests.len()).sum();
        row.figure("sessions", self.sessions.len());
        row.figure("requests", held);
        row.demand(self.sessions.len() == conversations.len(), || {
            format!(
                "{} sessions of {} conversations",
                self.sessions.len(),
                conversations.len()
            )
        });
        row.demand(held == sent && self.records == sent, || {
            format!(
                "{sent} requests sent, {} stored, {held} in sessions",
                self.records
            )
        });
        let ids: BTreeSet<&str> = self
            .sessions
            .iter()
            .flat_map(|session| &session.requests)
            .map(|request| text(request, "request_id"))
            .collect();
        row.demand(ids.len() == held, || {
            "a request stands in two sessions".to_owned()
        });
        row
    }

    /// Every session with its tree, for people.
    pub(super) fn trees(&self) -> String {
        let mut out = String::new();
        for session in self.sessions.iter().rev() {
            let s = &session.shown;
            // Writing to text does not fail.
            let _ = writeln!(
                out,
                "{} {} ({}): {} requests, {} errors, {} tool calls, {} in, {} out, {} n$",
                text(s, "client"),
                text(s, "key"),
                text(s, "source"),
                number(s, "requests"),
                number(s, "errors"),
                number(s, "tool_calls"),
                number(s, "input"),
                number(s, "output"),
                number(s, "cost_nanousd"),
            );
            for model in array(s, "models") {
                let _ = writeln!(
                    out,
                    "  model {}: {}",
                    text(model, "model"),
                    number(model, "requests")
                );
            }
            branch(&mut out, s.get("tree").unwrap_or(&Value::Null), 1);
            for child in array(s, "sessions") {
                let _ = writeln!(out, "  started session {}", text(child, "key"));
            }
        }
        out
    }
}

fn branch(out: &mut String, agent: &Value, depth: usize) {
    let name = agent.get("agent").and_then(Value::as_str).unwrap_or("main");
    let _ = writeln!(
        out,
        "{}{name}: {} requests, {} tool calls, {} out",
        "  ".repeat(depth),
        number(agent, "requests"),
        number(agent, "tool_calls"),
        number(agent, "output"),
    );
    for below in array(agent, "agents") {
        branch(out, below, depth + 1);
    }
}

impl Session {
    fn is(&self, conversation: &Conversation) -> bool {
        match &conversation.key {
            Key::Header(key) => text(&self.shown, "key") == key,
            Key::Fingerprint => {
                text(&self.shown, "source") == "fingerprint"
                    && text(&self.shown, "user_agent") == conversation.user_agent
            }
        }
    }

    fn check(&self, conversation: &Conversation, row: &mut Row) {
        let shown = &self.shown;
        let mut same = |what: &str, found: String, expected: String| {
            row.demand(found == expected, || format!("{what} {found}, not {expected}"));
        };
        let source = match conversation.key {
            Key::Header(_) => "header",
            Key::Fingerprint => "fingerprint",
        };
        same("source", text(shown, "source").into(), source.into());
        same("client", text(shown, "client").into(), conversation.client.into());
        let turns = conversation.turns.len();
        same(
            "requests",
            number(shown, "requests").to_string(),
            turns.to_string(),
        );
        same(
            "listed requests",
            self.requests.len().to_string(),
            turns.to_string(),
        );
        let tree = shown.get("tree").unwrap_or(&Value::Null);
        same("tree", shape(tree), conversation.tree.into());
        let calls = conversation
            .turns
            .iter()
            .filter(|turn| matches!(turn.sees, Sees::Call(_)))
            .count();
        same(
            "tool calls",
            number(shown, "tool_calls").to_string(),
            calls.to_string(),
        );
        let cut = conversation.turns.iter().filter(|turn| turn.sees == Sees::Cut);
        same(
            "errors",
            number(shown, "errors").to_string(),
            cut.count().to_string(),
        );
        let models: BTreeSet<&str> = array(shown, "models").iter().map(|m| text(m, "model")).collect();
        let wanted: BTreeSet<&str> = conversation.models.iter().copied().collect();
        same("models", format!("{models:?}"), format!("{wanted:?}"));
        let started: Vec<&str> = array(shown, "sessions").iter().map(|s| text(s, "key")).collect();
        same(
            "started",
            format!("{started:?}"),
            format!("{:?}", conversation.starts),
        );
        for name in ADDED {
            let sum: u64 = self.requests.iter().map(|r| number(r, name)).sum();
            same(name, number(shown, name).to_string(), sum.to_string());
        }
        // Every agent is what its own requests add up to.
        let mut by_agent: BTreeMap<&str, u64> = BTreeMap::new();
        for request in &self.requests {
            *by_agent.entry(text(request, "agent")).or_default() += number(request, "output");
        }
        let mut of_tree = BTreeMap::new();
        outputs(tree, &mut of_tree);
        same("output by agent", format!("{of_tree:?}"), format!("{by_agent:?}"));
        row.figure("requests", turns);
        row.figure("tool calls", calls);
        row.figure("cost n$", number(shown, "cost_nanousd"));
        row.figure("tree", conversation.tree);
    }
}

fn outputs<'a>(agent: &'a Value, out: &mut BTreeMap<&'a str, u64>) {
    out.insert(text(agent, "agent"), number(agent, "output"));
    for below in array(agent, "agents") {
        outputs(below, out);
    }
}

/// `main(a(b),c)`.
fn shape(agent: &Value) -> String {
    let name = agent.get("agent").and_then(Value::as_str).unwrap_or("main");
    let below: Vec<String> = array(agent, "agents").iter().map(shape).collect();
    if below.is_empty() {
        name.to_owned()
    } else {
        format!("{name}({})", below.join(","))
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
