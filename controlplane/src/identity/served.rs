//! The `serve_headers` source: `tailscale serve` on this machine has said who calls, on a listener marked for it.
//!
//! The data plane has checked where the headers came from and how they are spelled; here they become a principal. A
//! header knows no node, so the login stands in its place.

use serde_json::Value;
use sluice_shared::wire::control::{IdentityAnswer, Principal};

use super::proof::name;
use super::tailscale::cap_map;

/// How long the answer counts: grants of the tailnet policy change without notice.
const AGE_MS: u64 = 30_000;

/// Who it is, by the decoded login and the JSON of its capabilities (empty: none).
pub(super) fn prove(login: &str, capabilities: &str) -> IdentityAnswer {
    if name::login(login).is_err() {
        return IdentityAnswer::Refused {
            reason: "the login of the serve headers is no login".into(),
            age_ms_max: AGE_MS,
        };
    }
    let mut complaints = Vec::new();
    let map = match capabilities {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| {
            complaints.push("the capabilities are no JSON; they are left out".into());
            Value::Null
        }),
    };
    let (capabilities, app) = cap_map(&map, &mut complaints);
    for complaint in complaints {
        tracing::warn!(
            login = %login.escape_debug(),
            "capabilities of the serve headers: {}",
            complaint.escape_debug()
        );
    }
    IdentityAnswer::Known {
        principal: Principal {
            source: "serve_headers".into(),
            login: login.into(),
            node: login.into(),
            capabilities,
            app,
            ..Principal::default()
        },
        whole_address: false,
        age_ms_max: AGE_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_a_principal() {
        let check = |login: &str, capabilities: &str, expected: Option<(usize, usize)>| {
            let counts = match prove(login, capabilities) {
                IdentityAnswer::Known { principal, .. } => {
                    assert_eq!(
                        (principal.source.as_str(), principal.login.as_str()),
                        ("serve_headers", login)
                    );
                    assert!(principal.tags.is_empty());
                    Some((principal.capabilities.len(), principal.app.len()))
                }
                _ => None,
            };
            assert_eq!(counts, expected, "{login:?} {capabilities}");
        };
        check("alice@example.com", "", Some((0, 0)));
        check(
            "alice@example.com",
            r#"{"tailscale.com/cap/aperture":[{"role":"admin"}],"example.com/cap/x":[1,2]}"#,
            Some((1, 1)),
        );
        // What does not hold takes away, it never adds.
        check("alice@example.com", "{", Some((0, 0)));
        check(
            "alice@example.com",
            r#"{"tailscale.com/cap/aperture":{"role":"admin"}}"#,
            Some((0, 0)),
        );
        check(
            "alice@example.com",
            r#"{"tailscale.com/cap/aperture":[{"role":"root"}, 7]}"#,
            Some((0, 0)),
        );
        for login in ["", "tag:ci", "tag:a,tag:b", "(loopback)", "a\nb", "a\u{7f}b"] {
            check(login, "", None);
        }
    }
}
