//! Captures: what stands in the segments is what went to the provider and what came from it, whatever happens on the way.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sluice_shared::snapshot::{
    Alias, Capability, Grant, Header, HookEvent, Secret, SendHook, Snapshot, Source,
};
use sluice_shared::usage::{Capture, Ended, UsageRecord};

use crate::support::captures::{Captured, captures, reconcile, segments};
use crate::support::client::{Framed, chat, chat_stream, get, post, post_with};
use crate::support::control::Who;
use crate::support::journal::interrupted;
use crate::support::setup::{PROVIDER_KEY, counting, hook, plain, provider, quota, snapshot};
use crate::support::upstream::{COMPLETION, Upstream, json};
use crate::support::{Gateway, Setup, wait_until};

fn start(snapshot: Snapshot) -> Gateway {
    Gateway::start(Setup::new(snapshot).who(Who::somebody("alice@example.com")))
}

/// What has been captured when there are so many records, held against them.
fn kept(gateway: &Gateway, records: usize) -> (Vec<Captured>, Vec<UsageRecord>) {
    let records = gateway.wait_records(records);
    let captures = captures(gateway.data_dir());
    reconcile(&captures, &records);
    (captures, records)
}

/// The one capture of the one request so far.
fn only(gateway: &Gateway) -> (Captured, UsageRecord) {
    let (mut captures, mut records) = kept(gateway, 1);
    assert_eq!(captures.len(), 1, "{captures:#?}");
    (captures.remove(0), records.remove(0))
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.call(get("/metrics")).text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

/// Written, dropped, left out.
fn outcomes(gateway: &Gateway) -> [u64; 3] {
    ["written", "dropped", "sampled_out"].map(|outcome| {
        metric(
            gateway,
            &format!("sluice_captures_total{{outcome=\"{outcome}\"}}"),
        )
    })
}

const CLIENT_SECRETS: [&str; 6] = [
    "client-bearer-canary",
    "client-key-canary",
    "client-cookie-canary",
    "client-query-canary",
    "client-own-canary",
    "client-signature-canary",
];

/// Red if the capture holds another body than the provider got, or another answer than it gave: with a model that stands for
/// another and a usage chunk that the client does not get. Red if any file of the data directory holds a credential of the
/// client or the provider, or one that a grant adds, or that the provider set.
#[test]
fn what_the_provider_got_and_gave_is_kept_and_no_credential() {
    let events = [
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"hi"}}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#,
        "[DONE]",
    ];
    let sent: String = events.iter().map(|data| format!("data: {data}\n\n")).collect();
    let sending = sent.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.body().is_none() {
            return;
        }
        exchange.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: s=answer-cookie-canary\r\n\
             X-Request-Id: r-1\r\nX-Own: answer-own-canary\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for data in sending.split_inclusive("\n\n") {
            exchange.chunk(data);
        }
        exchange.chunk("");
    });
    let mut snapshot = plain(upstream.address);
    snapshot.aliases.push(Alias {
        from: "fast".into(),
        to: "gpt-5-mini".into(),
    });
    snapshot.captures.redact_headers = vec!["x-own".into()];
    snapshot.grants[0].capabilities[0].add_headers = vec![Header {
        name: "X-Granted".into(),
        value: Secret("granted-header-canary".into()),
    }];
    let gateway = start(snapshot);
    let body = r#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"ünï"}]}"#;
    let answer = gateway.call(post_with(
        "/v1/chat/completions?key=client-query-canary&X-Amz-Signature=client-signature-canary&n=1",
        "Authorization: Bearer client-bearer-canary\r\nX-Api-Key: client-key-canary\r\n\
         Cookie: a=client-cookie-canary\r\nX-Own: client-own-canary\r\nX-Note: hello\r\n",
        body.as_bytes(),
    ));
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("usage"), "the client asked for no usage");
    let (captured, record) = only(&gateway);
    let got = upstream.last();
    assert_eq!(captured.request, got.body);
    assert!(String::from_utf8_lossy(&captured.request).contains("gpt-5-mini"));
    assert_eq!(String::from_utf8_lossy(&captured.answer), sent);
    let opened = &captured.opened;
    assert_eq!(
        (opened.method.as_str(), opened.target.as_str()),
        ("POST", "/v1/chat/completions?X-Amz-Signature=***&n=1")
    );
    assert_eq!(
        (opened.provider.as_str(), opened.model.as_str()),
        ("main", "gpt-5-mini")
    );
    assert!(opened.keep && opened.stream && opened.events.is_empty());
    assert_eq!(opened.user, "alice@example.com");
    // The head is the one that went out, in its order, and only values of credentials are not.
    let names: Vec<&str> = opened.headers.iter().map(|(name, _)| name.as_str()).collect();
    let sent_names: Vec<&str> = got.pairs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, sent_names);
    for (name, value) in got.pairs() {
        let expected = match name.to_ascii_lowercase().as_str() {
            "authorization" | "x-own" | "x-granted" => "***",
            _ => value,
        };
        assert_eq!(captured.field(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(captured.status(), Some(200));
    assert_eq!(captured.answer_field("set-cookie").as_deref(), Some("***"));
    assert_eq!(captured.answer_field("x-own").as_deref(), Some("***"));
    assert_eq!(captured.answer_field("x-request-id").as_deref(), Some("r-1"));
    let closed = captured.closed.as_ref().unwrap();
    assert_eq!(
        (closed.request_bytes, closed.answer_bytes),
        (got.body.len() as u64, sent.len() as u64)
    );
    assert_eq!(closed.record, record);
    let mut secrets = CLIENT_SECRETS.to_vec();
    secrets.extend([
        PROVIDER_KEY,
        "granted-header-canary",
        "answer-cookie-canary",
        "answer-own-canary",
    ]);
    let mut hellos = 0;
    for path in segments(gateway.data_dir()) {
        let bytes = fs::read(&path).unwrap();
        for secret in &secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
        hellos += bytes.windows(5).filter(|window| window == b"hello").count();
    }
    assert_eq!(hellos, 1, "the sweep finds what is there");
}

/// Red if the framing or the encoding of an answer changes what is kept of it.
#[test]
fn answers_of_every_framing_are_kept_as_they_came() {
    let body: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(COMPLETION.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let chunked: Vec<u8> = body
        .chunks(7_919)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    let length = |fields: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let cases: Vec<(Vec<u8>, Vec<u8>, Framed)> = vec![
        (json(COMPLETION), COMPLETION.into(), Framed::Length),
        (length("", &body), body.clone(), Framed::Length),
        (
            length("Content-Encoding: gzip\r\n", &gzip),
            gzip.clone(),
            Framed::Length,
        ),
        (length("", b""), Vec::new(), Framed::Length),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                chunked.as_slice(),
                b"0\r\n\r\n",
            ]
            .concat(),
            body.clone(),
            Framed::Chunked,
        ),
        (
            [b"HTTP/1.1 200 OK\r\n\r\n", body.as_slice()].concat(),
            body.clone(),
            Framed::Chunked,
        ),
        (
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            Vec::new(),
            Framed::Nothing,
        ),
        (
            [
                b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(),
                &length("X-A: 1\r\n", b"{\"error\":1}"),
            ]
            .concat(),
            b"{\"error\":1}".to_vec(),
            Framed::Length,
        ),
    ];
    for (sent, expected, framed) in cases {
        let closes = framed == Framed::Chunked && !sent.ends_with(b"0\r\n\r\n");
        let upstream = Upstream::scripted(move |exchange| {
            if exchange.body().is_some() {
                exchange.send(&sent);
                if closes {
                    exchange.fin();
                }
            }
        });
        let gateway = start(plain(upstream.address));
        let answer = gateway.call(chat("m"));
        assert_eq!((answer.body == expected, answer.framed), (true, framed));
        let (captured, record) = only(&gateway);
        assert!(
            captured.answer == expected,
            "{framed:?}: {} bytes",
            captured.answer.len()
        );
        assert_eq!(captured.status(), Some(answer.status));
        assert_eq!(captured.closed.unwrap().answer_bytes, expected.len() as u64);
        assert_eq!(record.ended, Ended::Complete);
    }
}

/// Red if a large body is not kept whole, in the order of its bytes, or one above the limit is not kept up to it and said to be
/// longer.
#[test]
fn large_bodies_are_kept_up_to_the_limit() {
    let upstream = Upstream::scripted(|exchange| {
        if let Some(body) = exchange.body() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            exchange.send(head);
            exchange.send(body);
        }
    });
    let gateway = start(plain(upstream.address));
    let large = format!(
        r#"{{"model":"m","messages":[],"x":"{}"}}"#,
        "0123456789abcde\\n".repeat(180_000)
    );
    let answer = gateway.call(post("/v1/chat/completions", &large));
    assert_eq!(answer.body.len(), large.len());
    let (captured, _) = only(&gateway);
    assert!(captured.request == large.as_bytes() && captured.answer == large.as_bytes());
    assert_eq!(metric(&gateway, "sluice_captures_truncated_total"), 0);
    assert_eq!(
        metric(&gateway, "sluice_capture_bytes_total"),
        2 * large.len() as u64
    );

    gateway
        .control
        .publish(|snapshot| snapshot.captures.body_bytes_max = 300_001);
    wait_until("the new limit holds", || {
        gateway.call(get("/healthz")).status == 200
    });
    gateway.call(post("/v1/chat/completions", &large));
    let (captures, records) = kept(&gateway, 2);
    let captured = captures.last().unwrap();
    assert!(captured.request == large.as_bytes()[..300_001]);
    assert!(captured.answer == large.as_bytes()[..300_001]);
    let closed = captured.closed.as_ref().unwrap();
    assert_eq!(
        (closed.request_bytes, closed.answer_bytes),
        (large.len() as u64, large.len() as u64)
    );
    assert_eq!(records[1].capture, Capture::Written);
    assert_eq!(metric(&gateway, "sluice_captures_truncated_total"), 2);
}

/// Red if what had come of an answer that broke off is lost, or is taken for whole.
#[test]
fn what_came_of_a_broken_answer_is_kept() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.begin_events();
            exchange.chunk("data: {\"choices\":[]}\n\n");
            exchange.send("10\r\nhalf a ch");
            exchange.fin();
        }
    });
    let gateway = start(plain(upstream.address));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    client.rest();
    let (captured, record) = only(&gateway);
    assert_eq!(record.ended, Ended::UpstreamFailed);
    assert_eq!(captured.record().ended, Ended::UpstreamFailed);
    assert_eq!(captured.answer, b"data: {\"choices\":[]}\n\nhalf a ch");
}

/// Red if a client that leaves takes its capture with it.
#[test]
fn a_client_that_leaves_leaves_its_capture() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.begin_events();
            exchange.chunk("data: {\"choices\":[]}\n\n");
            exchange.until_closed();
        }
    });
    let gateway = start(plain(upstream.address));
    let mut client = gateway.client();
    client.send(chat_stream("m"));
    client.wait_for(b"choices");
    // What a crash would leave says that there is a capture, and it has no end.
    let crashed = interrupted(gateway.data_dir());
    assert_eq!(
        crashed.iter().map(|r| r.capture).collect::<Vec<_>>(),
        [Capture::Written]
    );
    let running = captures(gateway.data_dir());
    assert_eq!(running.len(), 1);
    assert!(running[0].closed.is_none() && !running[0].answer.is_empty());
    client.reset();
    let (captured, record) = only(&gateway);
    assert_eq!(record.ended, Ended::ClientGone);
    assert_eq!(captured.answer, b"data: {\"choices\":[]}\n\n");
}

/// Red if the error that stands in for an answer is not kept, or not under the provider that was tried last; red if what was
/// tried before is kept as a capture of its own.
#[test]
fn errors_of_ours_are_kept_with_the_request_that_met_them() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.fin();
        }
    });
    let mut first = provider("first", nobody);
    first.preference = 9;
    let gateway = start(snapshot(vec![first, provider("second", upstream.address)]));
    let answer = gateway.call(chat("m"));
    assert_eq!(answer.status, 502);
    let (captured, record) = only(&gateway);
    assert_eq!(
        (captured.opened.provider.as_str(), record.provider.as_str()),
        ("second", "second")
    );
    assert_eq!(captured.request, upstream.last().body);
    assert_eq!(captured.status(), Some(502));
    assert_eq!(captured.answer, answer.body);
    assert_eq!(
        captured.answer_field("content-type").as_deref(),
        answer.field("content-type")
    );
    assert_eq!(captured.record().status, 502);
}

/// Red if a call that was refused once its body was read is not kept with its error, or one that was refused before is.
#[test]
fn refused_calls_are_kept_once_their_body_was_read() {
    let upstream = Upstream::plain();
    let mut snapshot = plain(upstream.address);
    snapshot.grants[0].capabilities[0].models = Some(vec!["main/good*".into()]);
    let snapshot = counting(
        snapshot,
        vec![quota("none", &[(sluice_shared::quota::Unit::Requests, 0)])],
    );
    let gateway = start(snapshot);
    let not_json = b"{\"model\":\"good\",\"messages\":\"\xff\xfe\"}";
    for (request, status, body) in [
        (chat("evil"), 403, br#"{"model":"evil","messages":[]}"#.to_vec()),
        (chat("good"), 429, br#"{"model":"good","messages":[]}"#.to_vec()),
        (post("/v1/chat/completions", "{}"), 400, b"{}".to_vec()),
    ] {
        let before = gateway.records().len();
        let answer = gateway.call(request);
        assert_eq!(answer.status, status);
        let (captures, records) = kept(&gateway, before + 1);
        let captured = captures.last().unwrap();
        assert_eq!(captures.len(), before + 1);
        assert_eq!(
            (captured.request.as_slice(), captured.status()),
            (body.as_slice(), Some(status))
        );
        assert_eq!(captured.answer, answer.body);
        assert_eq!(captured.record(), records.last().unwrap());
        assert_eq!(captured.opened.user, "alice@example.com");
    }
    assert_eq!(upstream.requests().len(), 0);
    let before = gateway.records().len();
    // Refused while the body is read, and before.
    gateway.call(post_with("/v1/chat/completions", "", not_json));
    gateway.control.set_who(Who::Unknown);
    gateway.revoke_all();
    assert_eq!(gateway.call(chat("good")).status, 403);
    let (captures, records) = kept(&gateway, before + 2);
    assert_eq!(captures.len(), before);
    assert!(
        records[before..]
            .iter()
            .all(|record| record.capture == Capture::Off)
    );
}

/// Red if a share of all or nothing is missed, a provider's own share does not hold, or a hook that is told afterwards gets no
/// capture where nothing is kept.
#[test]
fn who_is_captured_follows_from_grants_and_providers() {
    let upstream = Upstream::plain();
    let mut open = provider("open", upstream.address);
    open.models = vec!["open*".into(), "told*".into()];
    let mut closed = provider("closed", upstream.address);
    closed.models = vec!["closed*".into()];
    closed.capture_share = Some(0);
    let mut snapshot = snapshot(vec![open, closed]);
    snapshot.captures.share = 300_000;
    snapshot.hooks.push(hook("after", upstream.address));
    snapshot.grants.push(Grant {
        sources: vec![Source::Any],
        capabilities: vec![Capability {
            models: Some(vec!["open/told*".into()]),
            capture_share: Some(0),
            send_hooks: vec![SendHook {
                name: "after".into(),
                events: 1 << HookEvent::EntireRequest as u8 | 1 << HookEvent::PreRequest as u8,
                send: 5,
            }],
            ..Capability::default()
        }],
        ..Grant::default()
    });
    snapshot.hooks[0].timeout_ms = 1;
    let gateway = start(snapshot);
    let mut client = gateway.client();
    for _ in 0..200 {
        client.send(chat("open"));
        assert_eq!(client.answer().status, 200);
    }
    let (captures, records) = kept(&gateway, 200);
    let [written, dropped, left_out] = outcomes(&gateway);
    assert_eq!(
        (written, dropped, left_out),
        (captures.len() as u64, 0, 200 - captures.len() as u64)
    );
    // Seven standard deviations.
    assert!((15..=105).contains(&captures.len()), "{}", captures.len());
    let off = records.iter().filter(|record| record.capture == Capture::Off);
    assert_eq!(off.count(), 200 - captures.len());
    client.send(chat("closed"));
    assert_eq!(client.answer().status, 200);
    assert_eq!(kept(&gateway, 201).0.len(), captures.len());
    client.send(chat("told"));
    assert_eq!(client.answer().status, 200);
    let (told, records) = kept(&gateway, 202);
    assert_eq!(told.len(), captures.len() + 1);
    let told = told
        .into_iter()
        .find(|captured| captured.opened.model == "told")
        .unwrap();
    assert_eq!(records[201].capture, Capture::Written);
    assert!(!told.opened.keep);
    let uses = &told.opened.events;
    assert_eq!(uses.len(), 1);
    assert_eq!(
        (uses[0].hook.as_str(), uses[0].events, uses[0].send),
        ("after", 1 << HookEvent::EntireRequest as u8, 5)
    );
}

/// Red if calls fail for want of room, or captures that found none are not counted to the last one; red if a call is served
/// without one where that must not be.
#[test]
fn without_room_calls_go_on_or_are_refused_as_configured() {
    let upstream = Upstream::plain();
    let mut snapshot = plain(upstream.address);
    // One segment of the smallest size.
    snapshot.captures.buffer_bytes_max = 600 << 10;
    let gateway = start(snapshot);
    let body = format!(r#"{{"model":"m","messages":[],"x":"{}"}}"#, "y".repeat(20_000));
    let request = post("/v1/chat/completions", &body);
    let mut client = gateway.client();
    for _ in 0..60 {
        client.send(&request);
        assert_eq!(client.answer().status, 200);
    }
    let (captures, records) = kept(&gateway, 60);
    let count = |what| records.iter().filter(|record| record.capture == what).count() as u64;
    let [written, dropped, _] = outcomes(&gateway);
    assert_eq!(
        (written, dropped),
        (count(Capture::Written), count(Capture::Dropped))
    );
    assert!(
        written > 10 && dropped > 10 && written + dropped == 60,
        "{written} {dropped}"
    );
    assert_eq!(captures.len() as u64, written);
    assert!(metric(&gateway, "sluice_capture_waiting_bytes") <= 600 << 10);
    let cut: u64 = captures
        .iter()
        .map(|captured| {
            let closed = captured.closed.as_ref().unwrap();
            assert!(body.as_bytes().starts_with(&captured.request));
            assert_eq!(closed.request_bytes, body.len() as u64);
            u64::from(captured.request.len() < body.len())
                + u64::from((captured.answer.len() as u64) < closed.answer_bytes)
        })
        .sum();
    assert_eq!(metric(&gateway, "sluice_captures_truncated_total"), cut);
    assert!(captures[0].request == body.as_bytes());
    gateway
        .control
        .publish(|snapshot| snapshot.captures.fail_closed = true);
    let asked = upstream.requests().len();
    let mut refused = None;
    wait_until("the refusal", || {
        client.send(&request);
        let answer = client.answer();
        let is_refused = answer.status == 503;
        refused = Some(answer);
        is_refused
    });
    let before = upstream.requests().len();
    assert!(refused.unwrap().text().contains("capture_unavailable"));
    client.send(&request);
    assert_eq!(client.answer().status, 503);
    assert_eq!(
        upstream.requests().len(),
        before,
        "nothing is sent that cannot be captured"
    );
    assert!(before >= asked);
    // Room again: the control plane has read everything, and there may be more.
    gateway
        .control
        .publish(|snapshot| snapshot.captures.buffer_bytes_max = 64 << 20);
    wait_until("service", || {
        client.send(&request);
        client.answer().status == 200
    });
}

/// Red if a data plane that captures nothing takes disk for it, or one that is told to begin misses the first call.
#[test]
fn segments_are_there_when_they_are_wanted_and_not_before() {
    let upstream = Upstream::plain();
    let mut snapshot = plain(upstream.address);
    snapshot.captures.enabled = false;
    let gateway = start(snapshot);
    gateway.call(chat("m"));
    let records = gateway.wait_records(1);
    assert_eq!(records[0].capture, Capture::Off);
    assert!(segments(gateway.data_dir()).is_empty());
    gateway
        .control
        .publish(|snapshot| snapshot.captures.enabled = true);
    gateway.call(chat("m"));
    let (captures, records) = kept(&gateway, 2);
    assert_eq!((captures.len(), records[1].capture), (1, Capture::Written));
}

/// Red if odd sessions or an odd body end a process or a capture.
#[test]
fn odd_sessions_and_bodies_are_kept_like_any_other() {
    let upstream = Upstream::plain();
    let gateway = start(plain(upstream.address));
    let session = "s".repeat(1 << 20);
    let body = format!(
        r#"{{"model":"m","messages":[],"metadata":{{"session_id":"{session}"}},"prompt_cache_key":"{session}"}}"#
    );
    assert_eq!(gateway.call(post("/v1/chat/completions", &body)).status, 200);
    let fields = format!("X-Session-Id: {}\r\n", "\u{e9}".repeat(2_000));
    gateway.call(post_with(
        "/v1/chat/completions",
        &fields,
        br#"{"model":"m","messages":[]}"#,
    ));
    let (captures, records) = kept(&gateway, 2);
    assert_eq!(captures.len(), 2);
    assert!(captures[0].request == body.as_bytes());
    assert!(
        records
            .iter()
            .all(|record| record.session.as_ref().is_none_or(|s| s.len() <= 256))
    );
}

/// Red if a capture of one who is named by somebody else's principal, on two shards, is lost or mixed up.
#[test]
fn captures_of_several_shards_and_connections_are_not_mixed_up() {
    let upstream = Upstream::scripted(|exchange| {
        if let Some(body) = exchange.body() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            exchange.send(head);
            exchange.send(body);
        }
    });
    let setup = Setup {
        shards: 2,
        ..Setup::new(plain(upstream.address)).who(Who::somebody("alice@example.com"))
    };
    let gateway = Gateway::start(setup);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.client();
                for n in 0..40 {
                    let body = format!(
                        r#"{{"model":"m","messages":[],"x":"{}"}}"#,
                        format!("{thread}-{n} ").repeat(n * 100)
                    );
                    client.send(post("/v1/chat/completions", &body));
                    assert_eq!(client.answer().body, body.as_bytes());
                }
            });
        }
    });
    let (captures, _) = kept(&gateway, 160);
    assert_eq!(captures.len(), 160);
    assert!(
        captures
            .iter()
            .all(|captured| captured.request == captured.answer)
    );
    let mut bodies: Vec<&[u8]> = captures
        .iter()
        .map(|captured| captured.request.as_slice())
        .collect();
    bodies.sort_unstable();
    bodies.dedup();
    // The four first ones are the same but for their number of nothing.
    assert_eq!(bodies.len(), 157);
    assert_eq!(outcomes(&gateway), [160, 0, 0]);
}
