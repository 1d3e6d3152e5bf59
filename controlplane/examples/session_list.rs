//! How long lists of sessions take in a store of many.
//!
//! ```text
//! cargo run --release -p sluice-controlplane --example session_list -- DIRECTORY [requests] [sessions]
//! ```
//!
//! The first 20,000 requests go through a journal and a real control plane. The rest of the store are copies of the rows
//! that it made of them, of `requests` and of the tables of sessions, at other times and with other ids, written straight
//! into the file; sums over time and the table of seconds are left out, as no question here reads them. Then a control
//! plane is asked over its socket, and the time is from the connection to the last byte of the answer.

#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement fails loudly"
)]

#[path = "../tests/support/child.rs"]
mod child;
#[path = "../tests/support/journal.rs"]
mod journal;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::Control;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Ended, Known, SessionSource, UsageRecord};

/// A table: its name, its columns, its rows.
type Table = (&'static str, Vec<String>, Vec<Vec<Value>>);

/// Requests that are ingested.
const BASE: u64 = 20_000;
const ASKED: usize = 200;
const BEGIN: u64 = 1_795_341_600_000_000;
/// Between two requests.
const STEP: u64 = 50_000;
const DOCUMENT: &str = r#"{
    "providers": {"anthropic": {"baseurl": "http://127.0.0.1:1", "models": ["claude-*"]}},
    "identity": {"sources": ["loopback"]},
    "grants": [{"src": ["*"], "capabilities": [{"role": "admin"}]}]
}"#;

fn main() {
    if child::was() {
        return;
    }
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().expect("a directory for the store"));
    let mut number = |default: u64| arguments.next().map_or(default, |a| a.parse().expect("a number"));
    let (requests, sessions) = (number(10_000_000), number(200_000));
    let each = requests / sessions;
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("sluice.hujson"), DOCUMENT).unwrap();

    let began = Instant::now();
    let mut writer = journal::Writer::new(&data, 1);
    (0..BASE).for_each(|n| writer.usage(0, &record(n, each)));
    writer.die();
    let mut control = Control::start(&data);
    while writer.directory.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    control.stop();
    println!("{BASE} requests ingested after {:.1?}", began.elapsed());
    let copies = requests / BASE;
    multiply(&data.join("store.sqlite"), copies, BASE / each);
    let bytes = std::fs::metadata(data.join("store.sqlite")).unwrap().len();
    println!(
        "{} requests in {} sessions after {:.1?}; {} MiB",
        copies * BASE,
        copies * (BASE / each),
        began.elapsed(),
        bytes >> 20
    );

    let mut control = Control::start(&data);
    let socket = data.join("api.sock");
    while ask(&socket, "root", "admin", "/api/health").is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let middle = (BEGIN + requests / 2 * STEP) / 1_000_000;
    let page: serde_json::Value = serde_json::from_str(&get(
        &socket,
        "root",
        "admin",
        &format!("/api/sessions?until={middle}"),
    ))
    .unwrap();
    let (cursor, id) = (
        page["next_cursor"].as_str().unwrap().to_owned(),
        page["sessions"][0]["id"].as_str().unwrap().to_owned(),
    );
    let questions = [
        ("newest 100", "root", "admin", "/api/sessions".to_owned()),
        (
            "newest 1000",
            "root",
            "admin",
            "/api/sessions?limit=1000".to_owned(),
        ),
        (
            "100 of a user, by herself",
            "user7@example.com",
            "user",
            "/api/sessions".to_owned(),
        ),
        (
            "100 of a client",
            "root",
            "admin",
            "/api/sessions?client=claude-code".to_owned(),
        ),
        (
            "100 of a client that nobody has",
            "root",
            "admin",
            "/api/sessions?client=aider".to_owned(),
        ),
        (
            "100 of a model",
            "root",
            "admin",
            "/api/sessions?model=claude-sonnet-4-3".to_owned(),
        ),
        (
            "100 of a user and a model",
            "root",
            "admin",
            "/api/sessions?user=user9%40example.com&model=claude-sonnet-4-1".to_owned(),
        ),
        (
            "100 of a user, a model and a client that nobody has",
            "root",
            "admin",
            "/api/sessions?user=user9%40example.com&model=claude-sonnet-4-1&client=aider".to_owned(),
        ),
        (
            "a page in the middle",
            "root",
            "admin",
            format!("/api/sessions?cursor={cursor}"),
        ),
        (
            "up to a time in the middle",
            "root",
            "admin",
            format!("/api/sessions?until={middle}"),
        ),
        ("one session", "root", "admin", format!("/api/sessions/{id}")),
        (
            "its requests",
            "root",
            "admin",
            format!("/api/sessions/{id}/requests"),
        ),
    ];
    for (what, login, role, target) in &questions {
        let mut times: Vec<Duration> = (0..ASKED)
            .map(|_| {
                let began = Instant::now();
                get(&socket, login, role, target);
                began.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "{what:<52} {:>9.1?} (half) {:>9.1?} (95 %) {:>9.1?} (most)",
            times[ASKED / 2],
            times[ASKED * 95 / 100],
            times[ASKED - 1]
        );
    }
    control.stop();
}

/// Copies what was ingested, each copy later than the one before.
fn multiply(store: &Path, copies: u64, sessions: u64) {
    let connection = Connection::open(store).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -400000; BEGIN",
        )
        .unwrap();
    let columns = |table: &str| -> Vec<String> {
        let mut select = connection
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap();
        let names = select.query_map([], |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    let tables = [
        "requests",
        "sessions",
        "session_models",
        "session_agents",
        "session_requests",
    ];
    let rows: Vec<Table> = tables
        .map(|table| {
            let names = columns(table);
            let order = if table == "requests" { "time" } else { "1, 2" };
            let mut select = connection
                .prepare(&format!(
                    "SELECT {} FROM {table} ORDER BY {order}",
                    names.join(",")
                ))
                .unwrap();
            let rows = select
                .query_map([], |row| (0..names.len()).map(|at| row.get(at)).collect())
                .unwrap();
            let rows = rows.collect::<Result<_, _>>().unwrap();
            (table, names, rows)
        })
        .into();
    for copy in 1..copies {
        let later = i64::try_from(copy * BASE * STEP).unwrap();
        let on = i64::try_from(copy * sessions).unwrap();
        for (table, names, rows) in &rows {
            let mut insert = connection
                .prepare_cached(&format!(
                    "INSERT INTO {table} ({}) VALUES ({})",
                    names.join(","),
                    vec!["?"; names.len()].join(",")
                ))
                .unwrap();
            for row in rows {
                let changed = names
                    .iter()
                    .zip(row)
                    .map(|(name, value)| match (name.as_str(), value) {
                        ("time" | "first" | "last", Value::Integer(time)) => Value::Integer(time + later),
                        ("number" | "session", Value::Integer(number)) => Value::Integer(number + on),
                        ("id" | "request_id", Value::Blob(id)) => Value::Blob(other(id, copy)),
                        ("key", Value::Text(key)) => Value::Text(format!("{key}-{copy}")),
                        (_, value) => value.clone(),
                    });
                insert.execute(params_from_iter(changed)).unwrap();
            }
        }
    }
    connection
        .execute_batch("COMMIT; PRAGMA journal_mode = wal")
        .unwrap();
}

/// Another id for each copy, in the order of copies.
fn other(id: &[u8], copy: u64) -> Vec<u8> {
    let mut id = id.to_vec();
    let last = id.len() - 4;
    id[last..].copy_from_slice(&u32::try_from(copy).unwrap().to_be_bytes());
    if let Some(first) = id.first_mut() {
        *first = u8::try_from(copy >> 4 & 0xff).unwrap();
    }
    id
}

/// A request of one of 40 users with one of five models; every fifth session has agents.
fn record(number: u64, each: u64) -> UsageRecord {
    let time = BEGIN + number * STEP;
    let id = RequestId::new(time / 1_000, ShardId(0), u32::try_from(number).unwrap(), 7);
    let mut r = UsageRecord::draft(
        id,
        UnixMicros(time),
        ShardId(0),
        Epoch(1),
        ApiKind::AnthropicMessages,
    );
    let session = number / each;
    r.user = format!("user{}@example.com", session % 40);
    r.node = format!("100.64.0.{}", session % 40);
    r.path = "/v1/messages".into();
    r.provider = "anthropic".into();
    r.model_asked = format!("claude-sonnet-4-{}", (session + number % 2) % 5);
    r.status = 200;
    r.ended = Ended::Complete;
    r.usage_known = Known::Reported;
    r.usage.input = Some(12_000 + number % 1_000);
    r.usage.output = Some(300 + number % 200);
    r.cost = Some(NanoUsd(5_000_000 + number));
    r.priced = true;
    r.duration_us = 3_000_000;
    r.tool_calls = 1;
    r.session = Some(format!("0f0e0d0c-0b0a-4908-8706-{session:012x}"));
    r.session_source = SessionSource::Header;
    r.agent =
        (session.is_multiple_of(5) && !number.is_multiple_of(3)).then(|| format!("agent-{}", number % 3));
    r.user_agent = Some("claude-cli/2.1.197 (external, cli)".into());
    r.request_bytes = 60_000;
    r.response_bytes = 9_000;
    r
}

fn get(socket: &Path, login: &str, role: &str, target: &str) -> String {
    let (status, body) = ask(socket, login, role, target).expect("the control plane answers");
    assert_eq!(status, 200, "{target}: {body}");
    body
}

/// Status and body.
fn ask(socket: &Path, login: &str, role: &str, target: &str) -> Option<(u16, String)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: {role}\r\nx-sluice-login: {login}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
