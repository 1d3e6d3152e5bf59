//! Which session, agent and parent a request names.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_proto::json::Facts;
use sluice_proto::session::session;
use sluice_shared::api::ApiKind;

#[test]
fn sessions_in_their_order() {
    let check = |headers: &[(&str, &[u8])], facts: &Facts, expected: Option<&str>| {
        let look_up = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(
            session(ApiKind::OpenAiChat, look_up, facts, &[]).key.as_deref(),
            expected,
            "{headers:?}"
        );
    };
    let none = Facts::default();
    let user = |id: &str| Facts {
        metadata_user_id: Some(id.to_owned()),
        ..Facts::default()
    };
    let text = |value: &str| Some(value.to_owned());
    check(&[], &none, None);
    check(
        &[("x-claude-code-session-id", b"c"), ("session-id", b"s")],
        &user("user_x_account__session_u"),
        Some("c"),
    );
    check(
        &[("session-id", b"s")],
        &user("user_x_account__session_u"),
        Some("u"),
    );
    check(
        &[],
        &user(r#"{"device_id":"d","account_uuid":"","session_id":"u-1"}"#),
        Some("u-1"),
    );
    check(&[("session-id", b"s")], &user(r#"{"device_id":"d"}"#), Some("s"));
    check(&[("session-id", b"s")], &user("alice"), Some("s"));
    check(
        &[("session-id", b"s")],
        &user(r#"{"session_id":"a","session_id":"b"}"#),
        Some("s"),
    );
    check(&[("session_id", b"s"), ("thread-id", b"t")], &none, Some("s"));
    check(&[("thread-id", b"t"), ("x-session-id", b"x")], &none, Some("t"));
    check(
        &[("x-session-affinity", b"a"), ("x-client-session-id", b"x")],
        &none,
        Some("a"),
    );
    check(
        &[("x-client-session-id", b"x"), ("x-litellm-session-id", b"l")],
        &none,
        Some("x"),
    );
    let all = Facts {
        client_metadata_session_id: text("cm"),
        litellm_session_id: text("ll"),
        prompt_cache_key: text("pck"),
        previous_response_id: text("prev"),
        ..Facts::default()
    };
    check(&[("thread-id", b"t")], &all, Some("cm"));
    check(
        &[],
        &Facts {
            client_metadata_session_id: None,
            ..all.clone()
        },
        Some("ll"),
    );
    check(
        &[],
        &Facts {
            client_metadata_session_id: None,
            litellm_session_id: None,
            ..all.clone()
        },
        Some("pck"),
    );
    check(
        &[],
        &Facts {
            previous_response_id: text("prev"),
            ..Facts::default()
        },
        Some("prev"),
    );
    // Unfit values are passed over.
    check(&[("session-id", b""), ("thread-id", b"t")], &none, Some("t"));
    check(
        &[("session-id", b"a\x07b"), ("thread-id", b"t")],
        &none,
        Some("t"),
    );
    check(&[("session-id", b"\xff"), ("thread-id", b"t")], &none, Some("t"));
    check(
        &[("session-id", "x".repeat(257).as_bytes()), ("thread-id", b"t")],
        &none,
        Some("t"),
    );
    check(
        &[("session-id", "x".repeat(256).as_bytes())],
        &none,
        Some(&"x".repeat(256)),
    );
}
