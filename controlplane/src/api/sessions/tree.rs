//! The agents of a session as a tree: the main one at the root, each below the one that started it, as the client says.
//!
//! What clients say may be wrong: an agent whose parent is unknown, or that would be its own ancestor, hangs at the root.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::{members, sum};
use crate::api::parameters::show_time;
use crate::store::sessions::{AgentRow, PARTS_MAX, SessionRow, Sum};

/// Deepest agents below the root; deeper ones stand beside their parents. Readers of JSON have bounds of their own.
const DEPTH_MAX: usize = 32;

/// The tree of a session.
pub(super) fn of(session: &SessionRow, agents: &[AgentRow]) -> Value {
    let mut children: HashMap<Option<&str>, Vec<&AgentRow>> = HashMap::new();
    let parents = parents(session, agents);
    for agent in agents {
        let parent = parents.get(agent.agent.as_str()).copied().flatten();
        children.entry(parent).or_default().push(agent);
    }
    // With agents left out nobody knows what the main one did.
    let main = (agents.len() < PARTS_MAX).then(|| rest(&session.sum, agents));
    let mut root = members(json!({ "agent": null }));
    root.extend(main.iter().flat_map(sum));
    root.insert("agents".into(), below(None, &children));
    Value::Object(root)
}

fn below(agent: Option<&str>, children: &HashMap<Option<&str>, Vec<&AgentRow>>) -> Value {
    let list = children.get(&agent).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|row| {
            let mut out = members(json!({
                "agent": row.agent,
                "parent": row.parent,
                "first": show_time(row.first),
                "last": show_time(row.last),
            }));
            out.extend(sum(&row.sum));
            out.insert("agents".into(), below(Some(&row.agent), children));
            Value::Object(out)
        })
        .collect()
}

/// Whom each agent hangs below; `None`: the root.
fn parents<'a>(session: &SessionRow, agents: &'a [AgentRow]) -> HashMap<&'a str, Option<&'a str>> {
    let named: HashSet<&str> = agents.iter().map(|agent| agent.agent.as_str()).collect();
    let mut said: HashMap<&str, &str> = agents
        .iter()
        .filter_map(|agent| Some((agent.agent.as_str(), agent.parent.as_deref()?)))
        .filter(|(_, parent)| named.contains(parent) && *parent != session.key)
        .collect();
    // Nobody in a circle has a parent.
    let circular: Vec<&str> = said
        .keys()
        .copied()
        .filter(|agent| ancestors(agent, &said).any(|ancestor| ancestor == *agent))
        .collect();
    said.retain(|agent, _| !circular.contains(agent));
    let hang = |agent: &'a str| {
        let ancestors: Vec<&'a str> = ancestors(agent, &said).collect();
        ancestors.get(ancestors.len().saturating_sub(DEPTH_MAX)).copied()
    };
    agents
        .iter()
        .map(|agent| (agent.agent.as_str(), hang(&agent.agent)))
        .collect()
}

/// Parent, its parent and so on; in a circle, once around and more.
fn ancestors<'a>(agent: &'a str, said: &HashMap<&'a str, &'a str>) -> impl Iterator<Item = &'a str> {
    std::iter::successors(said.get(agent).copied(), |at| said.get(at).copied()).take(said.len())
}

/// What is left of a sum without the agents.
fn rest(all: &Sum, agents: &[AgentRow]) -> Sum {
    agents
        .iter()
        .fold(all.clone(), |rest, agent| rest.less(&agent.sum))
}

#[cfg(test)]
mod tests {
    use sluice_shared::units::UnixMicros;
    use sluice_shared::usage::SessionSource;

    use super::*;
    use crate::store::sessions::{Client, SessionId};

    fn session() -> SessionRow {
        SessionRow {
            number: 1,
            id: SessionId([0; 16]),
            user: "alice".into(),
            node: String::new(),
            key: "k".into(),
            source: SessionSource::Header,
            client: Client::Codex,
            user_agent: None,
            parent: None,
            first: UnixMicros(0),
            last: UnixMicros(9),
            sum: Sum {
                tool_calls: 100,
                ..Sum::default()
            },
        }
    }

    fn agent(name: &str, parent: Option<&str>) -> AgentRow {
        AgentRow {
            agent: name.into(),
            parent: parent.map(str::to_owned),
            first: UnixMicros(1),
            last: UnixMicros(2),
            sum: Sum {
                tool_calls: 3,
                ..Sum::default()
            },
        }
    }

    /// `a(b,c)` for an agent with two below.
    fn shape(tree: &Value) -> String {
        let below: Vec<String> = tree["agents"].as_array().unwrap().iter().map(shape).collect();
        let name = tree["agent"].as_str().unwrap_or("main");
        if below.is_empty() {
            name.into()
        } else {
            format!("{name}({})", below.join(","))
        }
    }

    #[test]
    fn agents_hang_where_they_were_started_and_none_gets_lost() {
        let check = |agents: &[(&str, Option<&str>)], expected: &str| {
            let rows: Vec<AgentRow> = agents.iter().map(|(name, parent)| agent(name, *parent)).collect();
            let tree = of(&session(), &rows);
            assert_eq!(shape(&tree), expected);
            assert_eq!(tree["tool_calls"], 100 - 3 * agents.len());
        };
        check(&[], "main");
        check(
            &[("a", None), ("b", Some("a")), ("c", Some("a")), ("d", Some("c"))],
            "main(a(b,c(d)))",
        );
        // Of the session itself, or of somebody unknown.
        check(&[("a", Some("k")), ("b", Some("gone"))], "main(a,b)");
        // A name that is the session's own is no agent to hang below.
        check(&[("k", None), ("a", Some("k"))], "main(k,a)");
        check(&[("a", Some("a"))], "main(a)");
        check(&[("a", Some("b")), ("b", Some("a"))], "main(a,b)");
        // Two in a circle, one below it.
        check(
            &[("a", Some("b")), ("b", Some("a")), ("c", Some("a"))],
            "main(a(c),b)",
        );
    }

    #[test]
    fn a_deep_tree_is_cut_at_a_depth_and_keeps_its_agents() {
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        let rows: Vec<AgentRow> = names
            .iter()
            .enumerate()
            .map(|(at, name)| agent(name, at.checked_sub(1).map(|at| names[at].as_str())))
            .collect();
        let text = of(&session(), &rows).to_string();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert!(
            names
                .iter()
                .all(|name| text.contains(&format!("\"agent\":\"{name}\"")))
        );
        fn depth(tree: &Value) -> usize {
            1 + tree["agents"]
                .as_array()
                .unwrap()
                .iter()
                .map(depth)
                .max()
                .unwrap_or(0)
        }
        assert_eq!(depth(&read), DEPTH_MAX + 1 + 1);
    }

    #[test]
    fn with_agents_left_out_the_main_one_has_no_figures() {
        let rows: Vec<AgentRow> = (0..PARTS_MAX).map(|n| agent(&format!("{n}"), None)).collect();
        assert_eq!(of(&session(), &rows)["tool_calls"], Value::Null);
    }
}
