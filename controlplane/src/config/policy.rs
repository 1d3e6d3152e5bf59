//! Capabilities that come from elsewhere than the document: a tailnet's policy (`CapMap` of a WhoIs answer) and the
//! headers of `tailscale serve`. Same rules as in the document: a bad element is left out and named, and never widens.

use sluice_shared::snapshot::{AppValue, Capability};

use super::grants;
use super::hujson;
use super::keys::CAPABILITY_KEY;
use super::message::Messages;
use super::reader::Field;

/// Capabilities of one policy that are read; more are left out.
const CAPABILITIES_MAX: usize = 1_024;
/// Values under other keys, and bytes of each, that are kept for hooks.
const APP_MAX: usize = 256;
const APP_BYTES_MAX: usize = 64 << 10;

/// What a policy gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyCapabilities {
    /// Under Sluice's own key, in order.
    pub capabilities: Vec<Capability>,
    /// Under other keys: kept for hooks, unread.
    pub app: Vec<AppValue>,
    /// What was left out and why, one text each, for the log.
    pub complaints: Vec<String>,
}

/// Reads the values under [`CAPABILITY_KEY`]: one list, so a role in it grants every model only if no value of it names
/// `models`.
#[must_use]
pub fn capabilities_of_policy(values: &[serde_json::Value]) -> PolicyCapabilities {
    let nodes: Vec<hujson::Node> = values
        .iter()
        .take(CAPABILITIES_MAX)
        .map(hujson::of_json)
        .collect();
    let items: Vec<Field<'_>> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| Field {
            path: format!("[{index}]"),
            ..Field::root(node)
        })
        .collect();
    let mut messages = Messages::new("");
    // What is not read might have named models.
    let whole = values.len() <= CAPABILITIES_MAX;
    let capabilities = grants::capabilities(&items, whole, None, &mut messages);
    let mut complaints: Vec<String> = messages
        .errors
        .into_iter()
        .chain(messages.warnings)
        .map(|message| format!("{}: {}", message.path, message.text))
        .collect();
    if !whole {
        complaints.push(format!(
            "more than {CAPABILITIES_MAX} capabilities; the rest is left out"
        ));
    }
    PolicyCapabilities {
        capabilities,
        app: Vec::new(),
        complaints,
    }
}

/// Reads a whole map of capability keys, each with a list of values, as WhoIs and `tailscale serve` give it.
#[must_use]
pub fn capabilities_of_cap_map(map: &serde_json::Map<String, serde_json::Value>) -> PolicyCapabilities {
    let mut out = PolicyCapabilities::default();
    match map.get(CAPABILITY_KEY) {
        None | Some(serde_json::Value::Null) => {}
        Some(serde_json::Value::Array(values)) => out = capabilities_of_policy(values),
        Some(_) => out
            .complaints
            .push(format!("{CAPABILITY_KEY}: expected an array")),
    }
    for (key, value) in map.iter().filter(|(key, _)| *key != CAPABILITY_KEY) {
        let json = value.to_string();
        if out.app.len() >= APP_MAX {
            out.complaints.push(format!(
                "more than {APP_MAX} other capability keys; the rest is left out"
            ));
            break;
        }
        if json.len() > APP_BYTES_MAX {
            out.complaints.push(format!(
                "{key:?} is longer than {APP_BYTES_MAX} bytes; it is left out"
            ));
            continue;
        }
        out.app.push(AppValue {
            key: key.clone(),
            json,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sluice_shared::snapshot::Role;

    use super::*;

    /// Role, models, whether it grants models.
    type Row<'a> = (Option<Role>, Option<&'a [&'a str]>, bool);

    fn check(values: serde_json::Value, expected: &[Row<'_>], complaints: &[&str]) {
        let read = capabilities_of_policy(values.as_array().unwrap());
        let found: Vec<_> = read
            .capabilities
            .iter()
            .map(|c| (c.role, c.models.clone(), c.grants_models))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(role, models, grants)| {
                let models = models.map(|m| m.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
                (*role, models, *grants)
            })
            .collect();
        assert_eq!(found, expected, "{values}");
        assert_eq!(read.complaints, complaints, "{values}");
    }

    #[test]
    fn the_values_of_one_key_are_one_list() {
        let (user, admin) = (Some(Role::User), Some(Role::Admin));
        check(json!([]), &[], &[]);
        check(json!([{"role": "user"}]), &[(user, None, true)], &[]);
        check(
            json!([{"role": "user"}, {"models": "a/**"}]),
            &[(user, None, false), (None, Some(&["a/**"]), true)],
            &[],
        );
        check(
            json!([{"role": "admin"}, {"role": "user", "models": ["a/*", "b/*"]}, {"read_metrics": true}]),
            &[
                (admin, None, false),
                (user, Some(&["a/*", "b/*"]), true),
                (None, None, false),
            ],
            &[],
        );
    }

    #[test]
    fn a_bad_element_is_named_and_never_widens() {
        let user = Some(Role::User);
        check(
            json!([{"role": "user"}, {"models": 5}]),
            &[(user, None, false)],
            &["[1].models: expected a string, found a number"],
        );
        check(
            json!([{"role": "user"}, {"modles": "a/**"}]),
            &[(user, None, false), (None, Some(&[]), true)],
            &[r#"[1].modles: unknown grant field "modles"; did you mean "models"?"#],
        );
        check(
            json!([{"role": "user"}, "a/**"]),
            &[(user, None, false)],
            &["[1]: expected an object, found a string"],
        );
        check(
            json!([{"role": "root"}, {"role": "user"}]),
            &[(user, None, true)],
            &[r#"[0].role: unknown role "root"; known are admin and user; the capability is left out"#],
        );
        check(
            json!([{"role": "user", "models": "a/*", "add_headers": ["x: ${env:HOME}", "y"]}]),
            &[(user, Some(&["a/*"]), true)],
            &[
                "[0].add_headers[0]: a policy cannot refer to secrets of the gateway; the header is left out",
                "[0].add_headers[1]: bad add_headers entry: must be written \"Name: value\"; it is left out",
            ],
        );
        let many = serde_json::Value::from(vec![json!({"role": "user"}); CAPABILITIES_MAX + 1]);
        let read = capabilities_of_policy(many.as_array().unwrap());
        assert_eq!(
            (read.capabilities.len(), read.complaints.len()),
            (CAPABILITIES_MAX, 1)
        );
        assert!(read.capabilities.iter().all(|c| !c.grants_models));
    }

    #[test]
    fn other_keys_are_kept_unread() {
        let map = json!({
            "example.com/cap/x": [{"a": [1, 2.50, "\u{e9}\n"]}],
            CAPABILITY_KEY: [{"role": "user"}],
            "https://tailscale.com/cap/is-admin": null,
            "example.com/cap/long": ["x".repeat(APP_BYTES_MAX)],
        });
        let read = capabilities_of_cap_map(map.as_object().unwrap());
        assert_eq!(read.capabilities.len(), 1);
        let app: Vec<(&str, &str)> = read
            .app
            .iter()
            .map(|value| (value.key.as_str(), value.json.as_str()))
            .collect();
        assert_eq!(
            app,
            [
                ("example.com/cap/x", "[{\"a\":[1,2.5,\"\u{e9}\\n\"]}]"),
                ("https://tailscale.com/cap/is-admin", "null"),
            ]
        );
        assert_eq!(
            read.complaints,
            ["\"example.com/cap/long\" is longer than 65536 bytes; it is left out"]
        );
        let wrong = json!({CAPABILITY_KEY: {"role": "admin"}});
        let read = capabilities_of_cap_map(wrong.as_object().unwrap());
        assert_eq!(
            (read.capabilities.len(), read.complaints.len()),
            (0, 1),
            "an object is no list"
        );
    }
}
