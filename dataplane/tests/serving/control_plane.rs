//! What comes from the control plane: its pages, snapshots, revocations; and its absence.

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Listener, address_bits};
use sluice_shared::usage::Ended;
use sluice_shared::wire::control::Principal;

use crate::support::client::{chat, chat_stream, get, post, post_with};
use crate::support::control::Who;
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup, wait_until};

/// Red if a page of the control plane gets a forged principal, or one that is not the caller's.
#[test]
fn pages_get_the_principal_that_only_we_can_set() {
    let upstream = Upstream::plain();
    let who = Who::Somebody(Principal {
        source: "static".into(),
        login: "a\u{fc}\r\nx-sluice-role: user".into(),
        node: "n 1".into(),
        tags: vec!["tag:a".into(), "tag:b".into()],
        groups: vec!["group:eng".into()],
        ..Principal::default()
    });
    let gateway = Gateway::start(Setup::new(plain(upstream.address)).who(who));
    let spoof = "X-Sluice-Login: spoofed\r\nx_sluice_role: spoofed\r\nX-SLUICE-Groups: spoofed\r\nx-sluice-source: spoofed\r\nX-Sluice_Address: spoofed\r\nTailscale-User-Login: spoofed\r\n\
        X-Forwarded-For: spoofed\r\nCookie: spoofed\r\nAuthorization: spoofed\r\nConnection: x-sluice-login\r\n";
    for path in ["/api/requests?limit=1&x=%20", "/ui/", "/ui", "/aperture/config"] {
        let answer = gateway.call(post_with(path, spoof, b"{\"a\": 1}"));
        assert_eq!(
            (answer.status, answer.field("x-frame-options")),
            (200, Some("DENY")),
            "{path}"
        );
        let seen = answer.text();
        assert!(seen.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{seen}");
        assert!(seen.ends_with("\r\n\r\n{\"a\": 1}"), "{seen}");
        assert!(!seen.contains("spoofed"), "{seen}");
        for line in [
            "x-sluice-login: a%C3%BC%0D%0Ax-sluice-role:%20user",
            "x-sluice-node: n%201",
            "x-sluice-tags: tag:a,tag:b",
            "x-sluice-groups: group:eng",
            "x-sluice-role: admin",
            "x-sluice-source: static",
            "x-sluice-address: 127.0.0.1",
            "x-sluice-scoped: ",
            "host: localhost",
            "Content-Type: application/json",
        ] {
            assert_eq!(
                seen.matches(&format!("\r\n{line}\r\n")).count(),
                1,
                "{line}: {seen}"
            );
        }
    }
    // Nobody's page is not relayed.
    gateway.control.set_who(Who::Unknown);
    gateway.revoke_all();
    assert_eq!(gateway.call(get("/api/health")).status, 403);
    assert!(gateway.records().is_empty());
    assert_eq!(upstream.bytes(), 0);
}

/// Red if the control plane's death takes model calls with it, or its pages hang.
#[test]
fn calls_go_on_without_the_control_plane() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    client.send(chat("m"));
    assert_eq!(client.answer().status, 200);
    gateway.control.down();
    for _ in 0..3 {
        client.send(chat("m"));
        assert_eq!(client.answer().status, 200);
        assert_eq!(gateway.call(chat("m")).status, 200);
        let answer = gateway.call(get("/api/health"));
        assert_eq!(
            (
                answer.status,
                answer.field("x-sluice-error"),
                answer.field("retry-after")
            ),
            (503, Some("control_plane_unavailable"), Some("1"))
        );
    }
    gateway.control.up();
    wait_until("the link is back", || {
        gateway.call(get("/api/health")).status == 200
    });
    // A new control plane is obeyed.
    wait_until("it is asked and answers", || {
        gateway.control.set_who(Who::Unknown);
        gateway.revoke_all();
        gateway.call(chat("m")).status == 403
    });
}

/// Red if a listener serves what it is not meant to serve.
#[test]
fn a_listener_serves_only_what_it_is_meant_to() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let address = gateway.address.to_string();
    let statuses = || {
        [
            gateway.call(chat("m")).status,
            gateway.call(get("/v1/models")).status,
            gateway.call(get("/api/x")).status,
            gateway.call(get("/healthz")).status,
        ]
    };
    assert_eq!(statuses(), [200, 200, 200, 200]);
    gateway.control.publish(|snapshot| {
        snapshot.listeners = vec![Listener {
            address: address.clone(),
            llm: true,
            admin: false,
            ..Listener::default()
        }];
    });
    assert_eq!(statuses(), [200, 200, 404, 200]);
    gateway.control.publish(|snapshot| {
        snapshot.listeners = vec![Listener {
            address: address.clone(),
            llm: false,
            admin: true,
            ..Listener::default()
        }];
    });
    assert_eq!(statuses(), [404, 404, 200, 200]);
}

/// A provider whose streams go on until they are told to end.
fn streaming() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        if !exchange.target().starts_with("/v1/chat") {
            exchange.json("{}");
            return;
        }
        exchange.begin_events();
        exchange.chunk("data: {\"choices\":[]}\n\n");
        while !exchange.is_closed() {
            if wait
                .lock()
                .unwrap()
                .recv_timeout(std::time::Duration::from_millis(1))
                .is_ok()
            {
                exchange.chunk("data: [DONE]\n\n");
                exchange.send("0\r\n\r\n");
                return;
            }
        }
    });
    (upstream, end)
}

/// Red if a stream of somebody whose access was taken back runs on, or ends as if it were whole; or if others' end.
#[test]
fn a_revocation_cuts_open_streams() {
    let (upstream, end) = streaming();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    client.wait_for(b"choices");
    let mut idle = gateway.client();
    idle.send(get("/healthz"));
    idle.answer();

    // Somebody else's.
    gateway
        .control
        .revoke(Some(address_bits("127.0.0.2".parse().unwrap())));
    gateway.control.publish(|_| {});
    idle.send(get("/healthz"));
    assert_eq!(idle.answer().status, 200);
    assert!(!upstream.is_closed(0));

    gateway.control.set_who(Who::Unknown);
    gateway
        .control
        .revoke(Some(address_bits("127.0.0.1".parse().unwrap())));
    let cut = client.try_answer(false).unwrap_err();
    assert!(!cut.received.ends_with(b"0\r\n\r\n"));
    upstream.closed_at(0);
    idle.rest();
    assert_eq!(gateway.wait_records(1)[0].ended, Ended::ClientGone);
    assert_eq!(gateway.call(chat("m")).status, 403);
    drop(end);
}

/// Red if a new configuration breaks what runs, or a request's record does not say under which it began.
#[test]
fn a_new_snapshot_is_for_new_requests() {
    let (upstream, end) = streaming();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    client.wait_for(b"choices");
    let epoch = gateway
        .control
        .publish(|snapshot| snapshot.providers[0].models = vec!["other".into()]);
    assert_eq!(epoch, Epoch(2));
    assert_eq!(gateway.call(post("/v1/messages", r#"{"model":"m"}"#)).status, 404);
    assert_eq!(
        gateway.call(post("/v1/messages", r#"{"model":"other"}"#)).status,
        200
    );
    end.send(()).unwrap();
    assert!(client.answer().text().ends_with("[DONE]\n\n"));
    // The same connection goes on under the new one.
    client.send(post("/v1/messages", r#"{"model":"m"}"#));
    assert_eq!(client.answer().status, 404);
    let records = gateway.wait_records(4);
    let seen: Vec<_> = records.iter().map(|r| (r.epoch, r.ended)).collect();
    assert_eq!(
        seen,
        [
            (Epoch(2), Ended::Blocked),
            (Epoch(2), Ended::Complete),
            (Epoch(1), Ended::Complete),
            (Epoch(2), Ended::Blocked)
        ]
    );
}

/// Red if every connection costs a question, or an answer is believed longer than it may be.
#[test]
fn who_calls_is_asked_once_while_it_holds() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    for _ in 0..20 {
        assert_eq!(gateway.call(chat("m")).status, 200);
    }
    assert_eq!(gateway.control.questions(), 1);
    gateway
        .control
        .publish(|snapshot| snapshot.identity.age_ms_max = 100);
    gateway.revoke_all();
    // One connection all along: what was learnt for it grows old, too.
    let before = gateway.control.questions();
    let mut client = gateway.client();
    wait_until("it is asked again, and again", || {
        if !client.try_send(chat("m")) {
            client = gateway.client();
            return false;
        }
        match client.try_answer(false) {
            Ok(answer) => assert_eq!(answer.status, 200),
            Err(_) => client = gateway.client(),
        }
        gateway.control.questions() >= before + 3
    });
}

/// Red if the gateway cannot serve from the copy of the last configuration when no control plane is there, or says
/// that it is ready without any.
#[test]
fn without_any_configuration_everything_is_503() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start_orphaned(Setup::new(plain(upstream.address)));
    for request in [chat("m"), get("/healthz"), get("/readyz")] {
        let answer = gateway.call(request);
        assert_eq!(
            (answer.status, answer.field("x-sluice-error")),
            (503, Some("not_ready"))
        );
    }
    gateway.control.up();
    wait_until("the control plane is found", || {
        gateway.call(chat("m")).status == 200
    });
    assert_eq!(gateway.call(get("/readyz")).status, 200);
}
