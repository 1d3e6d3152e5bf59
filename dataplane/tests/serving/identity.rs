//! Who calls: by the address, by the headers of `tailscale serve`, by a credential; combined, remembered, taken back.

use std::time::Instant;

use ring::digest::{SHA256, digest};
use sluice_shared::snapshot::{
    AuthMode, BearerMode, ClientAuth, Identity, Listener, SourceKind, TrustBundle, address_bits,
};
use sluice_shared::usage::Ended;
use sluice_shared::wire::control::{IdentityAnswer, Principal, Proof, Scope, Whom};

use crate::support::client::{Client, chat_stream, get, post_with};
use crate::support::control::{Who, known, person};
use crate::support::pki::{Authority, email};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

const ALICE: &str = "slt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const BOB: &str = "slt_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const GONE: &str = "slt_GGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGGG";
const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";

fn start(upstream: &Upstream, sources: &[SourceKind], who: Who) -> Gateway {
    let mut setup = Setup::new(plain(upstream.address)).who(who);
    setup.snapshot.identity.sources = sources.to_vec();
    let gateway = Gateway::start(setup);
    gateway.control.set_proof(ALICE, Some(known(person("alice"))));
    gateway.control.set_proof(BOB, Some(known(person("bob"))));
    gateway
}

/// A page of the control plane, which echoes who it was told is calling.
fn page(fields: &str) -> String {
    format!("GET /api/x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

/// The status, and the login or the error's code.
fn seen(gateway: &Gateway, request: impl AsRef<[u8]>) -> (u16, String) {
    let answer = gateway.call(request);
    let code = answer.field("x-sluice-error").map(str::to_owned);
    let text = answer.text();
    let login = text
        .lines()
        .find_map(|line| line.strip_prefix("x-sluice-login: "));
    (
        answer.status,
        code.or_else(|| login.map(str::to_owned)).unwrap_or_default(),
    )
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn chat_with(fields: &str) -> Vec<u8> {
    post_with("/v1/chat/completions", fields, br#"{"model":"m","messages":[]}"#)
}

fn stream_with(fields: &str) -> Vec<u8> {
    let text = String::from_utf8(chat_stream("m")).unwrap();
    text.replacen("\r\n", &format!("\r\n{fields}"), 1).into_bytes()
}

fn streaming() -> Upstream {
    Upstream::scripted(|exchange| {
        if exchange.body().is_none() {
            return;
        }
        if exchange.head.contains("x-stream") {
            exchange.begin_events();
            exchange.chunk("data: {\"choices\":[]}\n\n");
            exchange.until_closed();
        } else {
            exchange.json("{}");
        }
    })
}

/// Red if a token costs a question more than once, on a connection or on many.
#[test]
fn a_token_is_asked_for_once() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, &[SourceKind::Token], Who::Unknown);
    let mut kept = gateway.client();
    for _ in 0..20 {
        assert_eq!(gateway.call(chat_with(&bearer(ALICE))).status, 200);
        kept.send(chat_with(&format!("x-api-key: {ALICE}\r\n")));
        assert_eq!(kept.answer().status, 200);
    }
    assert_eq!(gateway.control.questions(), 1);
    assert!(
        gateway
            .wait_records(40)
            .iter()
            .all(|record| record.user == "alice")
    );
    // Nor does one that is refused, or one of a stranger.
    for _ in 0..5 {
        assert_eq!(gateway.call(chat_with(&bearer(GONE))).status, 401);
        assert_eq!(
            gateway.call(chat_with(&bearer(JWT))).status,
            403,
            "no source takes it"
        );
    }
    assert_eq!(gateway.control.questions(), 2);
}

/// Red if connection and credential are combined otherwise than declared.
#[test]
fn connection_and_credential_are_combined() {
    use BearerMode::{Narrow, Replace};
    let upstream = Upstream::plain();
    let sources = [SourceKind::Static, SourceKind::Oidc, SourceKind::Token];
    let gateway = start(&upstream, &sources, Who::Unknown);
    let away = Who::Unavailable { retry_after_s: 9 };
    let alice = Who::somebody("alice");
    let shown = |tokens: &[&str]| {
        let places = ["Authorization: Bearer", "x-api-key:"];
        let lines = tokens
            .iter()
            .zip(places)
            .map(|(token, place)| format!("{place} {token}\r\n"));
        lines.collect::<String>()
    };
    let mut cells = 0;
    let mut mode_now = Narrow;
    let mut check = |who: &Who, mode: BearerMode, tokens: &[&str], status: u16, says: &str| {
        gateway.control.set_who(who.clone());
        if mode != mode_now {
            gateway
                .control
                .publish(|snapshot| snapshot.identity.bearer = mode);
            mode_now = mode;
        }
        gateway.revoke_all();
        for round in 0..2 {
            assert_eq!(
                seen(&gateway, page(&shown(tokens))),
                (status, says.to_owned()),
                "{who:?} {mode:?} {tokens:?}, round {round}"
            );
        }
        cells += 1;
    };
    for mode in [Narrow, Replace] {
        check(&alice, mode, &[], 200, "alice");
        check(&alice, mode, &["sk-anything"], 200, "alice");
        check(&alice, mode, &[JWT], 200, "alice");
        check(&alice, mode, &[ALICE], 200, "alice");
        check(&alice, mode, &[ALICE, ALICE], 200, "alice");
        check(&alice, mode, &[GONE], 401, "credential_refused");
        check(&alice, mode, &[ALICE, BOB], 400, "credential_ambiguous");
        check(&alice, mode, &[ALICE, JWT], 400, "credential_ambiguous");
        check(&Who::Unknown, mode, &[], 403, "identity_unknown");
        check(&Who::Unknown, mode, &[JWT], 403, "identity_unknown");
        check(&Who::Unknown, mode, &[BOB], 200, "bob");
        check(&Who::Unknown, mode, &[GONE], 401, "credential_refused");
        check(&away, mode, &[], 503, "identity_unavailable");
        check(&away, mode, &[JWT], 503, "identity_unavailable");
        check(&away, mode, &[GONE], 401, "credential_refused");
    }
    check(&alice, Narrow, &[BOB], 403, "identity_conflict");
    check(&alice, Replace, &[BOB], 200, "bob");
    check(&away, Narrow, &[BOB], 503, "identity_unavailable");
    check(&away, Replace, &[BOB], 200, "bob");
    println!("connection x credential over sockets: {cells} cells");
    let metrics = {
        gateway.control.set_who(alice);
        gateway.revoke_all();
        gateway.call(get("/metrics")).text()
    };
    assert!(
        metrics.contains("\nsluice_identity_conflicts_total 2\n"),
        "{metrics}"
    );
}

/// Red if what a narrower token takes away is still there, or it adds something.
#[test]
fn a_scope_takes_away_and_never_adds() {
    let upstream = Upstream::plain();
    let mut setup = Setup::new(plain(upstream.address)).who(Who::somebody("alice"));
    setup.snapshot.identity.sources = vec![SourceKind::Static, SourceKind::Token];
    let gateway = Gateway::start(setup);
    let mut principal = person("alice");
    principal.groups = vec!["group:root".into()];
    principal.scope = Some(Scope::default());
    gateway.control.set_proof(ALICE, Some(known(principal)));
    let text = gateway.call(page(&bearer(ALICE))).text();
    assert!(text.contains("x-sluice-groups: group:eng\r\n"), "{text}");
}

/// Red if a refused credential is not told in the caller's own words, or a client is made to try again.
#[test]
fn a_refused_credential_is_told_in_every_family() {
    let upstream = Upstream::plain();
    let gateway = start(
        &upstream,
        &[SourceKind::Static, SourceKind::Token],
        Who::somebody("alice"),
    );
    let check = |path: &str, expected: &[&str], header: Option<(&str, &str)>| {
        let answer = gateway.call(post_with(path, &bearer(GONE), br#"{"model":"m"}"#));
        let text = answer.text();
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.field("x-should-retry"), Some("false"), "{path}");
        assert_eq!(
            answer.field("www-authenticate"),
            Some("Bearer error=\"invalid_token\""),
            "{path}"
        );
        assert!(text.contains("no such token") && !text.contains(GONE), "{text}");
        for word in expected {
            assert!(text.contains(word), "{path}: {word}: {text}");
        }
        if let Some((name, value)) = header {
            assert_eq!(answer.field(name), Some(value), "{path}");
        }
    };
    let openai = [r#""type":"invalid_request_error""#, r#""code":"invalid_api_key""#];
    check("/v1/chat/completions", &openai, None);
    check("/v1/messages", &[r#""type":"authentication_error""#], None);
    check(
        "/v1beta/models/m:generateContent",
        &[r#""status":"UNAUTHENTICATED""#],
        None,
    );
    check(
        "/model/m/converse",
        &[],
        Some(("x-amzn-ErrorType", "UnrecognizedClientException")),
    );
    assert_eq!(upstream.bytes(), 0);
}

/// Red if a credential of ours reaches a provider, in whatever place and mode; or if others' do not pass where they may.
#[test]
fn a_credential_of_ours_reaches_no_provider() {
    let upstream = Upstream::plain();
    let sources = [SourceKind::Static, SourceKind::Token, SourceKind::Oidc];
    let gateway = start(&upstream, &sources, Who::somebody("alice"));
    for mode in [AuthMode::Override, AuthMode::Passthrough, AuthMode::None] {
        gateway
            .control
            .publish(|snapshot| snapshot.providers[0].auth_mode = mode);
        for fields in [
            bearer(ALICE),
            format!("x-api-key: {ALICE}\r\n"),
            format!("X_API_KEY: {ALICE}\r\n"),
            format!("x-goog-api-key: {ALICE}\r\n"),
            format!("api-key: {ALICE}\r\n{}", bearer("sk-theirs")),
        ] {
            assert_eq!(gateway.call(chat_with(&fields)).status, 200, "{fields}");
            let head = upstream.last().head;
            assert!(!head.contains(&ALICE[4..]), "{mode:?}: {head}");
            let theirs = mode == AuthMode::Passthrough && fields.contains("sk-theirs");
            assert_eq!(head.contains("sk-theirs"), theirs, "{mode:?}: {head}");
        }
        let path = format!("/v1/chat/completions?key={ALICE}&a=b");
        let body = br#"{"model":"m","messages":[]}"#;
        assert_eq!(gateway.call(post_with(&path, "", body)).status, 200);
        let head = upstream.last().head;
        assert!(
            !head.contains(&ALICE[4..]) && head.contains("?a=b "),
            "{mode:?}: {head}"
        );
        // Somebody else's token is theirs.
        assert_eq!(gateway.call(chat_with(&bearer(JWT))).status, 200);
        let passes = mode == AuthMode::Passthrough;
        assert_eq!(upstream.last().head.contains(JWT), passes, "{mode:?}");
    }
}

/// Red if a revoked token's stream runs on, or another's ends with it; or if forgetting alone cuts anything.
#[test]
fn a_revocation_cuts_exactly_what_rests_on_it() {
    let upstream = streaming();
    let gateway = start(&upstream, &[SourceKind::Token], Who::Unknown);
    let mut streams: Vec<Client> = Vec::new();
    for token in [ALICE, BOB] {
        let mut client = gateway.client();
        client.send(stream_with(&format!("x-stream: 1\r\n{}", bearer(token))));
        client.wait_for(b"choices");
        streams.push(client);
    }
    let [mut alice, mut bob] = <[Client; 2]>::try_from(streams).ok().unwrap();
    // A connection that showed the token before and is idle now rests on nothing.
    let mut idle = gateway.client();
    idle.send(chat_with(&bearer(ALICE)));
    assert_eq!(idle.answer().status, 200);
    let reason = "revoked".into();
    let refused = IdentityAnswer::Refused {
        reason,
        age_ms_max: 60_000,
    };
    gateway.control.set_proof(ALICE, Some(refused));
    let start = Instant::now();
    gateway.control.forget(Whom::Proof(hash(ALICE.as_bytes())), true);
    let cut = alice.try_answer(false).unwrap_err();
    let took = start.elapsed();
    assert!(!cut.received.ends_with(b"0\r\n\r\n"));
    upstream.closed_at(0);
    println!("revoke to cut, from the control plane's frame to the client's socket: {took:?}");
    idle.send(chat_with(&bearer(ALICE)));
    assert_eq!(idle.answer().status, 401, "kept open, and asked for again");

    // Of the address nothing rests here; forgetting alone ends nothing.
    let asked = gateway.control.proof_questions();
    let address = address_bits(gateway.address.ip());
    gateway.control.forget(Whom::Address(address), true);
    gateway.control.forget(Whom::Proof(hash(BOB.as_bytes())), false);
    gateway.control.publish(|_| {});
    let mut again = gateway.client();
    again.send(chat_with(&bearer(BOB)));
    assert_eq!(again.answer().status, 200);
    assert_eq!(
        gateway.control.proof_questions(),
        asked + 1,
        "bob was asked for again"
    );
    assert!(!upstream.is_closed(1), "bob's stream was cut");
    gateway.control.forget(Whom::Everyone, true);
    assert!(bob.try_answer(false).is_err());
    let ended: Vec<_> = gateway
        .wait_records(5)
        .iter()
        .map(|record| record.ended)
        .collect();
    assert_eq!(
        ended.iter().filter(|ended| **ended == Ended::ClientGone).count(),
        2
    );
}

/// Red if an address's stream outlives the address, or one beside it ends although it rests on a token alone.
#[test]
fn a_removed_peer_is_cut_and_its_neighbour_with_a_token_is_not() {
    let upstream = streaming();
    let sources = [SourceKind::Static, SourceKind::Token];
    let gateway = start(&upstream, &sources, Who::somebody("alice"));
    gateway
        .control
        .publish(|snapshot| snapshot.identity.bearer = BearerMode::Replace);
    let mut by_address = gateway.client();
    by_address.send(stream_with("x-stream: 1\r\n"));
    by_address.wait_for(b"choices");
    let mut by_token = gateway.client();
    by_token.send(stream_with(&format!("x-stream: 1\r\n{}", bearer(BOB))));
    by_token.wait_for(b"choices");
    gateway.control.set_who(Who::Unknown);
    let start = Instant::now();
    gateway
        .control
        .forget(Whom::Address(address_bits(gateway.address.ip())), true);
    assert!(by_address.try_answer(false).is_err());
    println!("removed peer to cut: {:?}", start.elapsed());
    assert_eq!(seen(&gateway, page("")), (403, "identity_unknown".into()));
    assert!(!upstream.is_closed(1));
    gateway.control.forget(Whom::Proof(hash(BOB.as_bytes())), true);
    assert!(by_token.try_answer(false).is_err());
}

/// Red if the headers of `tailscale serve` are believed in another form than it writes them, if one who came through
/// Funnel is let in, or if nobody's request passes for this machine's own.
#[test]
fn served_headers_prove_somebody_on_their_listener() {
    let upstream = streaming();
    let mut setup = Setup::new(plain(upstream.address)).who(Who::Loopback);
    setup.snapshot.identity.sources = vec![SourceKind::Loopback, SourceKind::ServeHeaders, SourceKind::Token];
    let gateway = Gateway::start(setup);
    let address = gateway.address.to_string();
    gateway.control.publish(|snapshot| {
        snapshot.listeners = vec![Listener {
            address,
            llm: true,
            admin: true,
            serve_headers: true,
            ..Listener::default()
        }];
    });
    let served = |login: &str| Principal {
        source: "serve_headers".into(),
        ..person(login)
    };
    let proofs = [
        ("served:alice@example.com", "alice@example.com"),
        ("served:Jürgen@example.com", "Juergen"),
    ];
    for (proof, login) in proofs {
        gateway.control.set_proof(proof, Some(known(served(login))));
    }
    gateway
        .control
        .set_proof(ALICE, Some(known(person("alice@example.com"))));
    gateway.control.set_proof(BOB, Some(known(person("bob"))));
    let login = "Tailscale-User-Login: alice@example.com\r\nTailscale-User-Name: A\r\nX-Forwarded-For: 100.64.0.1\r\n";
    let funnel = "Tailscale-Funnel-Request: ?1\r\n";
    let unknown = (403, "identity_unknown");
    let check = |fields: &str, expected: (u16, &str)| {
        for _ in 0..2 {
            assert_eq!(
                seen(&gateway, page(fields)),
                (expected.0, expected.1.to_owned()),
                "{fields}"
            );
        }
    };
    check(login, (200, "alice@example.com"));
    check("", unknown);
    check("Tailscale-User-Login: stranger@example.com\r\n", unknown);
    check(
        "Tailscale-User-Login: =?utf-8?q?J=C3=BCrgen@example.com?=\r\n",
        (200, "Juergen"),
    );
    check(&format!("{login}{login}"), unknown);
    check(&login.replace("User-Login", "User_Login"), unknown);
    check(&format!("{login}Tailscale_User_Login: x\r\n"), unknown);
    check(&format!("{login}Connection: tailscale-user-login\r\n"), unknown);
    check(funnel, unknown);
    check(&format!("{login}{funnel}"), unknown);
    check(&format!("{funnel}{}", bearer(BOB)), unknown);
    check(&format!("{funnel}{}", bearer(GONE)), (401, "credential_refused"));
    check(&bearer(BOB), (200, "bob"));
    check(&format!("{login}{}", bearer(ALICE)), (200, "alice@example.com"));
    check(&format!("{login}{}", bearer(BOB)), (403, "identity_conflict"));
    // One question for each proof: three logins, three tokens; and none about the address.
    assert_eq!(
        (gateway.control.questions(), gateway.control.proof_questions()),
        (6, 6)
    );

    let mut stream = gateway.client();
    stream.send(stream_with(&format!("x-stream: 1\r\n{login}")));
    stream.wait_for(b"choices");
    let proof = Proof::Served {
        login: "alice@example.com".into(),
        capabilities: String::new(),
    };
    gateway
        .control
        .forget(Whom::Proof(hash(&proof.canonical())), true);
    assert!(stream.try_answer(false).is_err());
    let head = upstream.last().head;
    assert!(!head.to_ascii_lowercase().contains("tailscale"), "{head}");
}

/// Red if one who shows made-up tokens takes more than a share of the questions, or keeps a good token from being used.
#[test]
fn made_up_tokens_cost_only_those_who_show_them() {
    const SHARE: usize = 32;
    let upstream = Upstream::plain();
    let gateway = start(&upstream, &[SourceKind::Token], Who::Unknown);
    assert_eq!(gateway.call(chat_with(&bearer(ALICE))).status, 200);
    let mut clients = Vec::new();
    for n in 0..SHARE + 8 {
        let token = format!("slt_{n:M>43}");
        gateway.control.set_proof(&token, None);
        let mut client = gateway.client();
        client.send(chat_with(&bearer(&token)));
        clients.push(client);
    }
    assert_eq!(gateway.call(chat_with(&bearer(ALICE))).status, 200);
    for client in &mut clients {
        let answer = client.answer();
        assert_eq!(
            (
                answer.status,
                answer.field("x-sluice-error"),
                answer.field("retry-after")
            ),
            (503, Some("identity_unavailable"), Some("1"))
        );
    }
    let asked = usize::try_from(gateway.control.proof_questions()).unwrap();
    assert!(asked <= SHARE + 1, "{asked} questions");
    assert_eq!(gateway.call(chat_with(&bearer(ALICE))).status, 200);
}

/// Red if a certificate is not the connection's proof in the place that the document gives it, or a token beside it
/// passes for another.
#[test]
fn a_certificate_is_a_proof_of_the_connection() {
    let upstream = Upstream::plain();
    let (server, people) = (Authority::new(), Authority::new());
    let mut setup = Setup::new(plain(upstream.address)).who(Who::somebody("alice"));
    setup.snapshot.listeners = vec![server.gateway().listener(ClientAuth::Optional)];
    setup.snapshot.identity = Identity {
        sources: vec![SourceKind::Mtls, SourceKind::Static, SourceKind::Token],
        certificates: vec![TrustBundle {
            ca_pem: people.pem.clone(),
            email: true,
            ..TrustBundle::default()
        }],
        ..setup.snapshot.identity
    };
    let gateway = Gateway::start(setup);
    gateway.control.set_proof(ALICE, Some(known(person("alice"))));
    gateway
        .control
        .set_proof(BOB, Some(known(person("bob@example.com"))));
    let bob = server.config(Some(&people.client(&[email("bob@example.com")])));
    let nobody = server.config(None);
    let check = |config, fields: &str, status: u16, says: &str| {
        let mut client = gateway.secure_client(config);
        for _ in 0..2 {
            client.send(page(fields));
            let answer = client.answer();
            let text = answer.text();
            assert_eq!(answer.status, status, "{fields}: {text}");
            let code = answer.field("x-sluice-error");
            let login = format!("x-sluice-login: {says}\r\n");
            assert!(
                code == Some(says) || text.contains(&login),
                "{fields}: {code:?} {text}"
            );
        }
    };
    check(&bob, "", 200, "bob@example.com");
    check(&bob, &bearer(BOB), 200, "bob@example.com");
    check(&bob, &bearer(ALICE), 403, "identity_conflict");
    check(&bob, &bearer(GONE), 401, "credential_refused");
    check(&nobody, "", 200, "alice");
    check(&nobody, &bearer(BOB), 403, "identity_conflict");
    // Behind the address it counts where that is nobody's.
    let last = |snapshot: &mut sluice_shared::snapshot::Snapshot| {
        snapshot.identity.sources = vec![SourceKind::Static, SourceKind::Mtls, SourceKind::Token];
    };
    gateway.control.publish(last);
    check(&bob, "", 200, "alice");
    gateway.control.set_who(Who::Unknown);
    gateway.control.forget(Whom::Everyone, false);
    gateway.control.publish(|_| {});
    check(&bob, "", 200, "bob@example.com");
    check(&nobody, "", 403, "identity_unknown");
    gateway.control.set_who(Who::Unavailable { retry_after_s: 3 });
    gateway.control.forget(Whom::Everyone, false);
    gateway.control.publish(|_| {});
    check(&bob, "", 503, "identity_unavailable");
}
