//! Who is charged what: every way a request can end, in every unit. The table in `docs/QUOTAS.md` has a row for each.

use std::net::TcpListener;
use std::sync::{Mutex, mpsc};

use sluice_shared::quota::Unit;
use sluice_shared::snapshot::{Admission, OnExhausted, Quota};
use sluice_shared::usage::{Ended, Known, UsageRecord};

use crate::support::client::{chat, chat_stream, get, post, post_with};
use crate::support::control::Who;
use crate::support::journal::interrupted;
use crate::support::setup::{counting, plain, price, provider, quota, snapshot};
use crate::support::upstream::{COMPLETION, Exchange, Upstream};
use crate::support::{Gateway, Setup, wait_until};

const EVENT: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"some words\"}}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Room for everything; only one request may run at a time, so one that does not give its place back stops all others.
fn roomy() -> Vec<Quota> {
    vec![
        quota("money", &[(Unit::Usd, 1 << 50)]),
        quota("counts", &[(Unit::Tokens, 1 << 50), (Unit::Requests, 1 << 50)]),
        quota("running", &[(Unit::Concurrency, 1)]),
    ]
}

/// What a provider does, by the model it is asked for.
fn script(exchange: &mut Exchange<'_>) {
    let Some(body) = exchange.body() else { return };
    let body = String::from_utf8_lossy(&body).into_owned();
    let model = body
        .split_once(r#""model":""#)
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or("whole")
        .to_owned();
    let events = |pieces: &[&str]| {
        exchange.begin_events();
        for piece in pieces {
            exchange.chunk(piece);
        }
    };
    let status = |line: &str| {
        let body = r#"{"error":{"message":"no","type":"x"}}"#;
        let length = body.len();
        exchange.send(format!(
            "HTTP/1.1 {line}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    };
    match model.as_str() {
        "stream" => {
            events(&[EVENT, USAGE, DONE]);
            exchange.send("0\r\n\r\n");
        }
        "unstated" => {
            events(&[EVENT, EVENT, DONE]);
            exchange.send("0\r\n\r\n");
        }
        "flooding" => {
            let events: Vec<&str> = std::iter::repeat_n(EVENT, 4_000).collect();
            exchange.begin_events();
            exchange.chunk(&events.concat());
            exchange.chunk(DONE);
            exchange.send("0\r\n\r\n");
        }
        "silent" => exchange.until_closed(),
        "talking" => {
            events(&[EVENT]);
            exchange.until_closed();
        }
        "breaking" => {
            events(&[EVENT]);
            exchange.fin();
        }
        "closing" => exchange.fin(),
        "refusing" => status("400 Bad Request"),
        "limiting" => status("429 Too Many Requests"),
        "failing" => status("500 Internal Server Error"),
        "embedding" => drop(exchange.json(
            r#"{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[1]}],"usage":{"prompt_tokens":7,"total_tokens":7}}"#,
        )),
        "painting" => drop(exchange.json(r#"{"created":1,"data":[{"b64_json":"AA=="},{"b64_json":"AA=="}]}"#)),
        "speaking" => {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 4\r\n\r\nbeep");
        }
        "counting" => drop(exchange.json(r#"{"input_tokens":7}"#)),
        _ => drop(exchange.json(COMPLETION)),
    }
}

fn start(upstream: &Upstream) -> Gateway {
    let mut snapshot = counting(plain(upstream.address), roomy());
    snapshot.prices = vec![price("**")];
    Gateway::start(Setup::new(snapshot).who(Who::somebody("alice")))
}

/// The charges of a record: dollars, tokens, requests, running.
fn charges(gateway: &Gateway, record: &UsageRecord) -> [Option<u64>; 4] {
    let mut out = [None; 4];
    for charge in &record.charges {
        let (at, name) = match charge.unit {
            Unit::Usd => (0, "money"),
            Unit::Tokens => (1, "counts"),
            Unit::Requests => (2, "counts"),
            Unit::Concurrency => (3, "running"),
        };
        assert_eq!(out[at], None, "charged twice: {record:#?}");
        assert_eq!(
            charge.bucket,
            gateway.control.ledger(|ledger| ledger.id(name, charge.unit))
        );
        out[at] = Some(charge.amount);
    }
    out
}

/// What is charged as stated: three tokens of the prompt, five of the answer.
const STATED: [Option<u64>; 4] = [Some(53_000), Some(8), Some(1), None];
const NOTHING: [Option<u64>; 4] = [None; 4];
const REQUEST: [Option<u64>; 4] = [None, None, Some(1), None];

/// What happens, the request, its status and end, and what is charged for it.
type Row = (&'static str, Vec<u8>, u16, Ended, [Option<u64>; 4]);

/// Red if any ending that the provider states the usage of, or bills nothing for, is charged otherwise, or keeps its place
/// among the running requests.
#[test]
fn every_ending_is_charged_by_its_row() {
    let upstream = Upstream::scripted(script);
    let gateway = start(&upstream);
    let chat_of = |model: &str| chat(model);
    let rows: Vec<Row> = vec![
        ("a whole answer", chat_of("whole"), 200, Ended::Complete, STATED),
        ("a stream", chat_stream("stream"), 200, Ended::Complete, STATED),
        ("the same again", chat_of("whole"), 200, Ended::Complete, STATED),
        (
            "refused by the provider",
            chat_of("refusing"),
            400,
            Ended::Complete,
            REQUEST,
        ),
        (
            "limited by the provider",
            chat_of("limiting"),
            429,
            Ended::Complete,
            REQUEST,
        ),
        (
            "failed at the provider",
            chat_of("failing"),
            500,
            Ended::Complete,
            REQUEST,
        ),
        (
            "closed without an answer",
            chat_of("closing"),
            502,
            Ended::UpstreamFailed,
            REQUEST,
        ),
        (
            "embeddings",
            post("/v1/embeddings", r#"{"model":"embedding","input":"x"}"#),
            200,
            Ended::Complete,
            [Some(7_000), Some(7), Some(1), None],
        ),
        (
            "images",
            post(
                "/v1/images/generations",
                r#"{"model":"painting","prompt":"x","n":2}"#,
            ),
            200,
            Ended::Complete,
            [Some(80_000_000), None, Some(1), None],
        ),
        (
            "audio",
            post("/v1/audio/speech", r#"{"model":"speaking","input":"x"}"#),
            200,
            Ended::Complete,
            REQUEST,
        ),
        (
            "token counting",
            post(
                "/v1/messages/count_tokens",
                r#"{"model":"counting","messages":[]}"#,
            ),
            200,
            Ended::Complete,
            NOTHING,
        ),
        (
            "a stored answer",
            get("/v1/responses/resp_1"),
            200,
            Ended::Complete,
            NOTHING,
        ),
        (
            "a bad request",
            post("/v1/chat/completions", "{"),
            400,
            Ended::Blocked,
            NOTHING,
        ),
    ];
    for (number, (what, request, status, ended, expected)) in rows.into_iter().enumerate() {
        let answer = gateway.call(request);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let record = gateway.wait_records(number + 1).remove(number);
        assert_eq!(record.ended, ended, "{what}");
        assert_eq!(charges(&gateway, &record), expected, "{what}: {record:#?}");
    }
    // A model list leaves no record and asks for no bucket.
    assert_eq!(gateway.call(get("/v1/models")).status, 200);
}

/// Red if what nobody stated costs nothing, or is charged otherwise than its record says, or passed off as stated.
#[test]
fn what_nobody_stated_is_estimated() {
    let upstream = Upstream::scripted(script);
    let gateway = start(&upstream);
    let mut number = 0;
    let mut settled = |what: &str, ended: Ended, answered: bool| {
        number += 1;
        let record = gateway.wait_records(number).remove(number - 1);
        assert_eq!(
            (record.ended, record.usage_known),
            (ended, Known::Estimated),
            "{what}"
        );
        let (input, output) = (record.usage.input.unwrap(), record.usage.output.unwrap());
        assert!(input > 0, "{what}: {record:#?}");
        assert_eq!(output > 0, answered, "{what}: {record:#?}");
        let cost = input * 1_000 + output * 10_000;
        assert_eq!(record.cost.unwrap().0, cost, "{what}");
        assert_eq!(
            charges(&gateway, &record),
            [Some(cost), Some(input + output), Some(1), None],
            "{what}"
        );
    };
    let answer = gateway.call(chat_stream("unstated"));
    assert_eq!(answer.status, 200);
    settled("unstated", Ended::Complete, true);

    let mut client = gateway.client();
    client.send(chat("silent"));
    wait_until("the request is there", || upstream.requests().len() == 2);
    drop(client);
    settled("left before the answer", Ended::ClientGone, false);

    let mut client = gateway.client();
    client.send(chat_stream("talking"));
    client.wait_for(b"some words");
    drop(client);
    settled("left in mid-stream", Ended::ClientGone, true);

    let mut client = gateway.client();
    client.send(chat_stream("breaking"));
    assert!(client.try_answer(false).is_err());
    settled("broken in mid-answer", Ended::UpstreamFailed, true);
}

/// Red if a request that no provider got whole is charged.
#[test]
fn what_no_provider_got_costs_nothing() {
    // A port that nobody listens on.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut snapshot = counting(plain(nobody), roomy());
    snapshot.prices = vec![price("**")];
    let gateway = Gateway::start(Setup::new(snapshot));
    for number in 1..=3 {
        assert_eq!(gateway.call(chat("m")).status, 502);
        let record = gateway.wait_records(number).remove(number - 1);
        assert_eq!((record.ended, &*record.charges), (Ended::UpstreamFailed, &[][..]));
    }
    // Still sending when it leaves: nothing was even reserved.
    let mut client = gateway.client();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"model\"");
    client.wait_read();
    drop(client);
    let record = gateway.wait_records(4).remove(3);
    assert_eq!((record.ended, &*record.charges), (Ended::ClientGone, &[][..]));
}

/// Red if a provider that takes half a request is paid for it.
#[test]
fn half_a_request_costs_nothing() {
    let upstream = Upstream::scripted(|exchange| exchange.until_closed());
    upstream.set_deaf(true);
    let gateway = start(&upstream);
    let mut client = gateway.client();
    let body = format!(r#"{{"model":"m","pad":"{}"}}"#, "x".repeat(8 << 20));
    client.send(post("/v1/chat/completions", &body));
    wait_until("the provider has a part", || upstream.bytes() > 0);
    drop(client);
    let record = gateway.wait_records(1).remove(0);
    assert_eq!((record.ended, &*record.charges), (Ended::ClientGone, &[][..]));
    upstream.set_deaf(false);
}

/// Red if a failover is charged twice, or to the provider that did nothing, or keeps its first reservation.
#[test]
fn a_failover_is_charged_once_and_where_it_went() {
    let upstream = Upstream::plain();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let providers = vec![provider("down", nobody), provider("up", upstream.address)];
    let mut snapshot = counting(
        snapshot(providers),
        vec![
            quota("of <provider>", &[(Unit::Tokens, 100_000), (Unit::Requests, 5)]),
            quota("running", &[(Unit::Concurrency, 1)]),
        ],
    );
    snapshot.prices = vec![price("**")];
    let gateway = Gateway::start(Setup::new(snapshot));
    for number in 1..=5 {
        let answer = gateway.call(chat("m"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let record = gateway.wait_records(number).remove(number - 1);
        let id = |unit| gateway.control.ledger(|ledger| ledger.id("of up", unit));
        let seen: Vec<_> = record.charges.iter().map(|c| (c.bucket, c.amount)).collect();
        assert_eq!(seen, [(id(Unit::Tokens), 8), (id(Unit::Requests), 1)]);
        assert_eq!(record.provider, "up");
    }
    // The bucket of the provider that answers is empty; the other's was never charged, and counts no longer.
    let answer = gateway.call(chat("m"));
    assert_eq!(
        (answer.status, answer.field("x-sluice-error")),
        (429, Some("quota_exceeded"))
    );
    assert!(
        answer.text().contains("of up has 0 requests left"),
        "{}",
        answer.text()
    );
}

/// Red if a bucket bears another name than its template says, or one of several is left out.
#[test]
fn names_are_filled_in() {
    let upstream = Upstream::plain();
    let many = [
        "u:<user>",
        "n:<node>",
        "g:<group>",
        "m:<model>",
        "p:<provider>",
        "s:<session>",
        "all",
    ];
    let quotas = many
        .iter()
        .map(|name| quota(name, &[(Unit::Requests, 100)]))
        .collect();
    let mut snapshot = counting(plain(upstream.address), quotas);
    snapshot.prices = vec![price("**")];
    let mut alice = crate::support::control::person("alice@example.com");
    alice.groups = vec!["group:a".into(), "group:b".into(), "group:a".into()];
    let gateway = Gateway::start(Setup::new(snapshot).who(Who::Somebody(alice)));
    let with_session = post_with(
        "/v1/chat/completions",
        "x-session-id: s-1\r\n",
        br#"{"model":"main/gpt","messages":[]}"#,
    );
    assert_eq!(gateway.call(with_session).status, 200);
    assert_eq!(gateway.call(chat("other")).status, 200);
    let names: Vec<String> = gateway
        .control
        .ledger(|ledger| ledger.names())
        .into_iter()
        .map(|(name, unit)| {
            assert_eq!(unit, Unit::Requests);
            name
        })
        .collect();
    assert_eq!(
        names,
        [
            "all",
            "g:group:a",
            "g:group:b",
            "m:gpt",
            "m:other",
            "n:node-1",
            "p:main",
            "s:alice@example.com/(none)",
            "s:alice@example.com/s-1",
            "u:alice@example.com"
        ]
    );
    for record in gateway.wait_records(2) {
        assert_eq!(record.charges.len(), 8, "{:?}", record.charges);
    }
}

/// Red if a request takes from some of its buckets although another refuses it.
#[test]
fn all_buckets_or_none() {
    let upstream = Upstream::plain();
    let mut snapshot = counting(
        plain(upstream.address),
        vec![
            quota("a", &[(Unit::Requests, 10)]),
            quota("b", &[(Unit::Requests, 10), (Unit::Concurrency, 1)]),
        ],
    );
    snapshot.quotas.push(quota("c", &[(Unit::Requests, 1)]));
    let mut narrow = snapshot.grants[0].capabilities[0].clone();
    narrow.models = Some(vec!["main/narrow".into()]);
    narrow.quotas = vec!["c".into()];
    snapshot.grants[0].capabilities.push(narrow);
    let gateway = Gateway::start(Setup::new(snapshot));
    assert_eq!(gateway.call(chat("narrow")).status, 200);
    for _ in 0..20 {
        assert_eq!(gateway.call(chat("narrow")).status, 429);
    }
    // The refused have left the other two as they were.
    for number in 0..10 {
        let expected = if number < 9 { 200 } else { 429 };
        assert_eq!(gateway.call(chat("wide")).status, expected, "{number}");
    }
}

/// Red if more requests run than may, or one that has ended keeps its place.
#[test]
fn as_many_run_as_may() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        wait.lock().unwrap().recv().unwrap();
        exchange.json(COMPLETION);
    });
    let snapshot = counting(
        plain(upstream.address),
        vec![quota("running", &[(Unit::Concurrency, 2)])],
    );
    let gateway = Gateway::start(Setup::new(snapshot));
    for round in 1..=3 {
        let mut running: Vec<_> = (0..2)
            .map(|_| {
                let mut client = gateway.client();
                client.send(chat("m"));
                client
            })
            .collect();
        wait_until("both run", || {
            upstream.bytes() > 0 && upstream.requests().len() == 2 * round
        });
        let answer = gateway.call(chat("m"));
        assert_eq!((answer.status, answer.field("retry-after")), (429, Some("1")));
        assert!(
            answer
                .text()
                .contains("as many requests run in running as may (2)")
        );
        (0..2).for_each(|_| go.send(()).unwrap());
        for client in &mut running {
            assert_eq!(client.answer().status, 200);
        }
    }
    for record in gateway.wait_records(9) {
        assert_eq!(record.charges, [], "running is not spending");
    }
}

/// Red if a quota that goes or comes while a request runs makes it be charged twice, wrongly, or lost.
#[test]
fn the_configuration_may_change_in_between() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        wait.lock().unwrap().recv().unwrap();
        exchange.json(COMPLETION);
    });
    let gateway = Gateway::start(Setup::new(counting(
        plain(upstream.address),
        vec![quota("old", &[(Unit::Tokens, 1 << 40)])],
    )));
    let mut client = gateway.client();
    client.send(chat("m"));
    wait_until("it runs", || upstream.requests().len() == 1);
    let old = gateway.control.ledger(|ledger| ledger.id("old", Unit::Tokens));
    gateway.control.publish(|snapshot| {
        snapshot.quotas = vec![quota("new", &[(Unit::Requests, 1)])];
        snapshot.grants[0].capabilities[0].quotas = vec!["new".into()];
    });
    go.send(()).unwrap();
    assert_eq!(client.answer().status, 200);
    // It settles what it reserved; the ledger drops what is for a bucket that is gone.
    let record = gateway.wait_records(1).remove(0);
    let seen: Vec<_> = record.charges.iter().map(|c| (c.bucket, c.amount)).collect();
    assert_eq!(seen, [(old, 8)]);
    // The next one counts for what is there now.
    go.send(()).unwrap();
    assert_eq!(gateway.call(chat("m")).status, 200);
    assert_eq!(gateway.call(chat("m")).status, 429);
    let new = gateway.control.ledger(|ledger| ledger.id("new", Unit::Requests));
    let record = gateway.wait_records(3).remove(1);
    assert_eq!(record.charges.iter().map(|c| c.bucket).collect::<Vec<_>>(), [new]);
    // And without any quota nothing is counted.
    gateway.control.publish(|snapshot| {
        snapshot.quotas.clear();
        snapshot.grants[0].capabilities[0].quotas.clear();
    });
    go.send(()).unwrap();
    assert_eq!(gateway.call(chat("m")).status, 200);
    assert_eq!(gateway.wait_records(4)[3].charges, []);
}

/// Red if a long answer takes nothing from its bucket before it ends, so that others are let in who find nothing left.
#[test]
fn a_running_stream_reserves_what_it_uses() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::scripted(move |exchange| {
        exchange.body();
        exchange.begin_events();
        // The provider says what it has used so far.
        exchange.chunk("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"m\",\"usage\":{\"input_tokens\":900,\"output_tokens\":1}}}\n\n");
        wait.lock().unwrap().recv().unwrap();
        exchange.chunk("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        exchange.send("0\r\n\r\n");
    });
    let mut quota = quota("t", &[(Unit::Tokens, 900)]);
    quota.admission = Admission::Positive;
    quota.on_exhausted = OnExhausted::Finish;
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![quota])));
    let mut first = gateway.client();
    first.send(post("/v1/messages", r#"{"model":"m","stream":true}"#));
    first.wait_for(b"message_start");
    // 900 of 900 are reserved by now, by a request that began with one.
    let answer = gateway.call(chat("m"));
    assert_eq!(answer.status, 429, "{}", answer.text());
    go.send(()).unwrap();
    assert!(first.answer().text().contains("message_stop"));
    let records = gateway.wait_records(2);
    let settled = records.iter().find(|record| record.status == 200).unwrap();
    assert_eq!(settled.charges[0].amount, 909, "a debt of 9");
}

/// Red if a crash would forget what a running request holds, or keep its place among the running ones for ever.
#[test]
fn what_a_crash_leaves_says_what_is_reserved() {
    let upstream = Upstream::scripted(script);
    let gateway = start(&upstream);
    let mut client = gateway.client();
    client.send(chat("silent"));
    wait_until("it runs", || upstream.requests().len() == 1);
    let left = interrupted(gateway.data_dir()).remove(0);
    let [dollars, tokens, requests, running] = charges(&gateway, &left);
    assert_eq!((requests, running), (Some(1), None));
    // An estimate: some input, and as much output as most answers have.
    assert!(
        tokens.unwrap() > 100 && dollars.unwrap() > 100 * 1_000,
        "{left:#?}"
    );
    drop(client);
    gateway.wait_records(1);
    assert_eq!(interrupted(gateway.data_dir()), []);
}

/// Red if a request that asks for more output than is left is refused although it may be lowered, or if more than its limit
/// is changed.
#[test]
fn a_limit_is_lowered_to_what_is_left() {
    let upstream = Upstream::plain();
    let mut strict = quota("strict", &[(Unit::Tokens, 6_000), (Unit::Requests, 3)]);
    strict.admission = Admission::Strict;
    strict.clamp_max_tokens = true;
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![strict])));
    let body = |limit: &str| format!(r#"{{"model":"m", {limit}"messages":[] ,"x" : 1}}"#);
    let sent = |limit: &str| {
        let answer = gateway.call(post("/v1/chat/completions", &body(limit)));
        assert_eq!(answer.status, 200, "{}", answer.text());
        String::from_utf8(upstream.last().body).unwrap()
    };
    // Too high: only its digits change. What fits passes as it is.
    let lowered = sent("\"max_tokens\" : 100000,");
    let limit = lowered
        .strip_prefix("{\"model\":\"m\", \"max_tokens\" : ")
        .and_then(|rest| rest.strip_suffix(",\"messages\":[] ,\"x\" : 1}"));
    let limit: u64 = limit.unwrap_or_else(|| panic!("{lowered}")).parse().unwrap();
    assert!((1_000..6_000).contains(&limit), "{limit}");
    assert_eq!(sent("\"max_tokens\" : 1000,"), body("\"max_tokens\" : 1000,"));
    // None at all: one is put in.
    assert!(sent("").contains("\"max_tokens\":"));
    for record in gateway.wait_records(3) {
        assert_eq!(record.charges[0].amount, 8, "{record:#?}");
    }
    // A limit on tokens does not help where requests are short.
    assert_eq!(gateway.call(post("/v1/chat/completions", &body(""))).status, 429);
}

/// Red if what is only estimated by its bytes is charged above what `strict` says that it can be at most.
#[test]
fn an_estimate_never_exceeds_the_bound_of_strict() {
    let upstream = Upstream::scripted(script);
    let mut strict = quota("strict", &[(Unit::Tokens, 3_000)]);
    strict.admission = Admission::Strict;
    strict.on_exhausted = OnExhausted::Cut;
    let gateway = Gateway::start(Setup::new(counting(plain(upstream.address), vec![strict])));
    let body = r#"{"model":"flooding","stream":true,"max_tokens":1,"messages":[]}"#;
    let answer = gateway.call(post("/v1/chat/completions", body));
    assert!(answer.text().ends_with(DONE), "it is not cut either");
    let record = gateway.wait_records(1).remove(0);
    assert_eq!(
        (record.ended, record.usage_known),
        (Ended::Complete, Known::Estimated)
    );
    let tokens = record.usage.input.unwrap() + record.usage.output.unwrap();
    let charged = record.charges[0].amount;
    // The body's 63 bytes, 4 for each of its 9 keys and values, 2,048, and one token of the answer.
    assert!(tokens > 2_500, "{record:#?}");
    assert_eq!(charged, 63 + 9 * 4 + 2_048 + 1);
}
