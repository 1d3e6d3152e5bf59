//! Headers that claim an identity: none arrives anywhere, however it is spelled.

use std::fmt::Write as _;

use sluice_proto::http1::names::identity_samples;
use sluice_shared::snapshot::{Listener, SourceKind};

use crate::support::client::{Client, get};
use crate::support::control::{Who, known, person};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

const CLAIM: &str = "spoofed@example.com";

/// All spellings of a name: what they are called, and the header lines.
fn spellings(name: &str) -> Vec<(&'static str, String)> {
    let line = |name: &str| format!("{name}: {CLAIM}\r\n");
    let mixed: String = name
        .chars()
        .enumerate()
        .map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c })
        .collect();
    let mut out = vec![
        ("plain", line(name)),
        ("upper", line(&name.to_uppercase())),
        ("mixed", line(&mixed)),
        ("doubled", format!("{}{}", line(name), line(&mixed))),
        ("nominated", format!("{}Connection: {name}\r\n", line(name))),
        (
            "nominated otherwise",
            format!("{}Connection: close-not, {}\r\n", line(name), name.to_uppercase()),
        ),
    ];
    if name.contains('-') {
        out.push(("all underscores", line(&name.replace('-', "_"))));
        for (at, _) in name.match_indices('-') {
            let mut one = name.to_owned();
            one.replace_range(at..=at, "_");
            out.push(("one underscore", line(&one)));
            let both = format!("{}{}", line(&one), line(name));
            out.push(("beside an underscore", both));
        }
    }
    out
}

/// The name as a careless reader takes it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn send(client: &mut Client, request: &str) -> String {
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.status, 200, "{request}: {}", answer.text());
    answer.text()
}

/// Red if one spelling of one header that claims an identity reaches a provider or the control plane, or is not counted.
#[test]
fn no_spelling_of_an_identity_header_arrives_anywhere() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)).who(Who::somebody("alice@example.com")));
    let mut client = gateway.client();
    let names = identity_samples();
    let (mut cells, mut fields) = (0, 0);
    for name in &names {
        for (spelling, lines) in spellings(name) {
            let sent = lines.matches(CLAIM).count();
            let body = r#"{"model":"m","messages":[]}"#;
            let call = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            send(&mut client, &call);
            let arrived = upstream.last().head;
            let claims = arrived
                .lines()
                .skip(1)
                .filter(|line| folded(line.split(':').next().unwrap()) == *name);
            assert_eq!(claims.count(), 0, "{name} {spelling}: {arrived}");
            assert!(!arrived.contains(CLAIM), "{name} {spelling}: {arrived}");
            cells += 1;

            let page = format!("GET /api/x HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
            let arrived = send(&mut client, &page);
            assert!(!arrived.contains(CLAIM), "{name} {spelling}: {arrived}");
            for ours in ["login", "node", "tags", "groups", "role", "request-id"] {
                let ours = format!("\r\nx-sluice-{ours}: ");
                assert_eq!(
                    folded(&arrived).matches(&ours).count(),
                    1,
                    "{name} {spelling}: {arrived}"
                );
            }
            assert!(arrived.contains("x-sluice-login: alice@example.com"), "{arrived}");
            cells += 1;
            fields += 2 * sent;
        }
    }
    client.send(get("/metrics"));
    let metrics = client.answer().text();
    assert!(
        metrics.contains(&format!("\nsluice_identity_headers_stripped_total {fields}\n")),
        "{fields} sent: {metrics}"
    );
    println!(
        "spoofed identity headers: {} names, {cells} cells, {fields} fields sent, 0 arrived, all counted",
        names.len()
    );
}

/// Red if a claim in a trailer arrives, or a folded one is accepted.
#[test]
fn claims_in_trailers_and_folded_lines_do_not_pass() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    for name in identity_samples() {
        let body = r#"{"model":"m","messages":[]}"#;
        let mut call = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: {name}\r\n\r\n"
        );
        let _ = write!(call, "{:x}\r\n{body}\r\n0\r\n{name}: {CLAIM}\r\n\r\n", body.len());
        assert_eq!(gateway.call(&call).status, 200, "{call}");
        let arrived = upstream.last();
        assert!(!arrived.head.contains(CLAIM), "{}", arrived.head);
        assert!(!arrived.body.windows(CLAIM.len()).any(|w| w == CLAIM.as_bytes()));
        let folded = format!("GET /api/x HTTP/1.1\r\nHost: a\r\nX-A: b\r\n {name}: {CLAIM}\r\n\r\n");
        assert_eq!(gateway.call(&folded).status, 400, "{folded}");
    }
}

/// Red if `Tailscale-*` headers mean anything on a listener that is not marked for them, or on one that is but for a
/// document without that source.
#[test]
fn served_headers_mean_nothing_where_they_are_not_believed() {
    let upstream = Upstream::plain();
    let mut setup = Setup::new(plain(upstream.address)).who(Who::somebody("alice@example.com"));
    setup.snapshot.identity.sources = vec![SourceKind::Static, SourceKind::ServeHeaders];
    let gateway = Gateway::start(setup);
    gateway.control.set_proof(
        "served:mallory@example.com",
        Some(known(person("mallory@example.com"))),
    );
    let page = "GET /api/x HTTP/1.1\r\nHost: localhost\r\nTailscale-User-Login: mallory@example.com\r\n\r\n";
    let seen = gateway.call(page).text();
    assert!(seen.contains("x-sluice-login: alice@example.com"), "{seen}");
    assert!(!seen.contains("mallory"), "{seen}");
    assert_eq!(gateway.control.proof_questions(), 0);
    // Marked, but the document does not name the source: the address of this machine proves nothing there either.
    let address = gateway.address.to_string();
    gateway.control.publish(|snapshot| {
        snapshot.identity.sources = vec![SourceKind::Static];
        snapshot.listeners = vec![Listener {
            address,
            llm: true,
            admin: true,
            serve_headers: true,
            ..Listener::default()
        }];
    });
    let answer = gateway.call(page);
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (403, Some("identity_unknown"))
    );
    assert_eq!(gateway.control.proof_questions(), 0);
}
