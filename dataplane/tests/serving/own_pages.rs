//! What the data plane answers itself.

use sluice_shared::snapshot::{Alias, Capability, Role};

use crate::support::client::{get, post};
use crate::support::control::Who;
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

fn with(path: &str, field: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n")
}

/// Red if a list holds a model that is not granted, lacks one that is, or is in another client's format.
#[test]
fn model_lists_in_three_formats_hold_what_is_granted() {
    let upstream = Upstream::plain();
    let mut setup = Setup::new(plain(upstream.address)).who(Who::somebody("alice@example.com"));
    setup.snapshot.providers[0].models = vec!["a-1".into(), "b-1".into(), "org/c".into(), "glob-*".into()];
    setup.snapshot.aliases = vec![Alias {
        from: "fast".into(),
        to: "a-1".into(),
    }];
    let gateway = Gateway::start(setup);
    let openai = gateway.call(get("/v1/models")).text();
    for name in ["a-1", "b-1", "org/c", "fast"] {
        assert!(
            openai.contains(&format!(r#"{{"id":"{name}","object":"model","#)),
            "{name}: {openai}"
        );
    }
    assert!(
        openai.starts_with(r#"{"object":"list","data":["#) && !openai.contains("glob"),
        "{openai}"
    );
    let anthropic = gateway
        .call(with("/v1/models", "anthropic-version: 2023-06-01\r\n"))
        .text();
    assert!(
        anthropic.starts_with(r#"{"data":[{"type":"model","id":"a-1","#),
        "{anthropic}"
    );
    assert!(
        anthropic.ends_with(r#","has_more":false,"first_id":"a-1","last_id":"fast"}"#),
        "{anthropic}"
    );
    for request in [
        with("/v1beta/models", ""),
        with("/v1/models", "x-goog-api-key: k\r\n"),
    ] {
        let gemini = gateway.call(request).text();
        assert!(
            gemini.starts_with(r#"{"models":[{"name":"models/a-1","#),
            "{gemini}"
        );
    }
    assert!(
        gateway
            .call(get("/v1/models/org/c"))
            .text()
            .starts_with(r#"{"id":"org/c","#)
    );
    assert_eq!(gateway.call(get("/v1/models/none")).status, 404);

    gateway.control.publish(|snapshot| {
        snapshot.grants[0].capabilities = vec![Capability {
            role: Some(Role::User),
            models: Some(vec!["*/b-*".into()]),
            grants_models: true,
            ..Capability::default()
        }];
    });
    let openai = gateway.call(get("/v1/models")).text();
    assert!(
        openai.contains("\"b-1\"") && !openai.contains("a-1") && !openai.contains("fast"),
        "{openai}"
    );
    assert_eq!(gateway.call(get("/v1/models/a-1")).status, 404);

    gateway.control.publish(|snapshot| snapshot.grants.clear());
    assert_eq!(gateway.call(get("/v1/models")).status, 403);
    let refused = gateway.call(with("/v1/models", "anthropic-version: 2023-06-01\r\n"));
    assert!(
        refused.text().starts_with(r#"{"type":"error","#),
        "{}",
        refused.text()
    );
    assert_eq!(upstream.bytes(), 0);
}

/// Red if health needs an identity, or metrics need none.
#[test]
fn health_is_for_everybody_and_metrics_are_not() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)).who(Who::Unknown));
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(gateway.call(get(path)).status, 200, "{path}");
        let refused = gateway.call(post(path, "{}"));
        assert_eq!(
            (refused.status, refused.field("allow")),
            (405, Some("GET, HEAD")),
            "{path}"
        );
    }
    assert_eq!(gateway.call(get("/metrics")).status, 403);
    gateway.control.set_who(Who::somebody("alice@example.com"));
    gateway.revoke_all();
    let mut grant = Capability {
        role: Some(Role::User),
        grants_models: true,
        ..Capability::default()
    };
    gateway
        .control
        .publish(|snapshot| snapshot.grants[0].capabilities = vec![grant.clone()]);
    let refused = gateway.call(get("/metrics"));
    assert_eq!(
        (refused.status, refused.field("x-sluice-error")),
        (403, Some("forbidden"))
    );
    grant.read_metrics = true;
    gateway
        .control
        .publish(|snapshot| snapshot.grants[0].capabilities = vec![grant]);
    assert_eq!(gateway.call(post("/v1/messages", r#"{"model":"m"}"#)).status, 200);
    let metrics = gateway.call(get("/metrics"));
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .field("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = metrics.text();
    let requests = text
        .lines()
        .find(|line| line.starts_with("sluice_requests_total{") && line.contains("main"));
    assert!(requests.is_some_and(|line| line.ends_with(" 1")), "{text}");
}
