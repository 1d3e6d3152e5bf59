//! Lines of the daemon's bus, reduced to what identity has to do about them.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::answer::Node;

/// What a line says.
#[derive(Default)]
pub(super) struct Event {
    /// Nodes that came or were replaced.
    pub(super) changed: Vec<Node>,
    /// Nodes that went, by number.
    pub(super) removed: Vec<i64>,
    /// Users whose profile changed, by number.
    pub(super) users: Vec<i64>,
    /// Whether the daemon is on the tailnet now.
    pub(super) running: Option<bool>,
    /// Everything may have changed.
    pub(super) everything: bool,
    /// The daemon knows the newer watch bits: its first line holds its status.
    pub(super) has_status: bool,
}

/// Number of the state in which the daemon is on the tailnet.
const RUNNING: u64 = 6;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notify {
    #[serde(default)]
    state: Option<Value>,
    #[serde(default)]
    peers_changed: Option<Vec<Node>>,
    #[serde(default)]
    peers_removed: Option<Vec<i64>>,
    #[serde(default)]
    user_profiles: Option<HashMap<String, IgnoredAny>>,
    #[serde(default)]
    net_map: Option<IgnoredAny>,
    #[serde(default)]
    initial_status: Option<IgnoredAny>,
}

/// Reads a line. The daemon does not promise the shape of its bus: what cannot be read may mean anything.
pub(super) fn read(line: &[u8]) -> Event {
    let everything = Event {
        everything: true,
        ..Event::default()
    };
    let Ok(notify) = serde_json::from_slice::<Notify>(line) else {
        return everything;
    };
    let running = match &notify.state {
        None => None,
        Some(Value::Number(number)) => Some(number.as_u64() == Some(RUNNING)),
        Some(Value::String(name)) => Some(name == "Running"),
        Some(_) => return everything,
    };
    let users: Option<Vec<i64>> = notify
        .user_profiles
        .unwrap_or_default()
        .keys()
        .map(|id| id.parse().ok())
        .collect();
    Event {
        changed: notify.peers_changed.unwrap_or_default(),
        removed: notify.peers_removed.unwrap_or_default(),
        everything: notify.net_map.is_some() || users.is_none(),
        users: users.unwrap_or_default(),
        running,
        has_status: notify.initial_status.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_reduced() {
        let check = |line: &str, expected: &str| {
            let event = read(line.as_bytes());
            let changed: Vec<i64> = event.changed.iter().map(|node| node.ids().id).collect();
            let shown = format!(
                "+{changed:?} -{:?} u{:?} {:?} {} {}",
                event.removed, event.users, event.running, event.everything, event.has_status
            );
            assert_eq!(shown, expected, "{line}");
        };
        check("{}", "+[] -[] u[] None false false");
        check(
            r#"{"Version":"1","State":6,"InitialStatus":{"Peer":{}}}"#,
            "+[] -[] u[] Some(true) false true",
        );
        check(r#"{"State":4}"#, "+[] -[] u[] Some(false) false false");
        check(r#"{"State":"Running"}"#, "+[] -[] u[] Some(true) false false");
        check(r#"{"State":null,"NetMap":null}"#, "+[] -[] u[] None false false");
        check(
            r#"{"PeersChanged":[{"ID":7,"StableID":"n7"}],"PeersRemoved":[8,9]}"#,
            "+[7] -[8, 9] u[] None false false",
        );
        check(
            r#"{"UserProfiles":{"45":{"LoginName":"x"}}}"#,
            "+[] -[] u[45] None false false",
        );
        check(r#"{"NetMap":{"Peers":[]}}"#, "+[] -[] u[] None true false");
        // What cannot be read may mean anything.
        check("", "+[] -[] u[] None true false");
        check("{\"State\":6", "+[] -[] u[] None true false");
        check(r#"{"State":{}}"#, "+[] -[] u[] None true false");
        check(r#"{"PeersRemoved":["x"]}"#, "+[] -[] u[] None true false");
        check(r#"{"PeersChanged":[{"ID":7}]}"#, "+[] -[] u[] None true false");
        check(r#"{"UserProfiles":{"x":{}}}"#, "+[] -[] u[] None true false");
    }
}
