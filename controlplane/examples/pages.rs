//! How long the dashboard's pages wait for the admin API, in a store of many requests.
//!
//! ```text
//! cargo run --release -p sluice-controlplane --example pages -- --data DIRECTORY [--rounds 20] [--seed 1]
//! ```
//!
//! The directory is one that the example `seed` has filled. A control plane runs as a child in it, and every page's calls are
//! asked of it over its socket, each over a connection of its own: once cold, then in rounds, shuffled. The time is from
//! the connection to the last byte. A call that takes more than 100 ms (200 ms if it is filtered) in one of twenty cases is
//! marked. Calls that this version does not know are named and left out.

#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement fails loudly"
)]

#[path = "../tests/support/child.rs"]
mod child;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::Control;
use serde_json::Value;
use sluice_loadtest::organisation::Draw;

/// A call of a page.
#[derive(Clone)]
struct Call {
    page: &'static str,
    what: String,
    target: String,
    /// Filtered calls may take twice as long.
    filtered: bool,
    times: Vec<Duration>,
    cold: Duration,
    bytes: usize,
}

fn main() {
    if child::was() {
        return;
    }
    let mut arguments = BTreeMap::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").expect("options begin with --").to_owned();
        arguments.insert(name, words.next().expect("an option has a value"));
    }
    let data = PathBuf::from(arguments.get("data").expect("--data DIRECTORY"));
    let number = |name: &str, default: u64| {
        arguments
            .get(name)
            .map_or(default, |n| n.parse().expect("a number"))
    };
    let (rounds, seed) = (number("rounds", 20), number("seed", 1));

    let mut control = Control::start(&data);
    let socket = data.join("api.sock");
    while ask(&socket, "/api/health").is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut calls = calls(&socket);
    let mut left_out = Vec::new();
    calls.retain_mut(|call| {
        let began = Instant::now();
        let (status, body) = ask(&socket, &call.target).expect("the control plane answers");
        (call.cold, call.bytes) = (began.elapsed(), body.len());
        match status {
            200 => true,
            400 | 404 => {
                left_out.push(format!("{} ({status})", call.target));
                false
            }
            status => panic!("{}: {status}: {body}", call.target),
        }
    });
    let mut draw = Draw::new(seed);
    for _ in 0..rounds {
        let mut order: Vec<usize> = (0..calls.len()).collect();
        for at in (1..order.len()).rev() {
            let other = usize::try_from(draw.below(at as u64 + 1)).unwrap();
            order.swap(at, other);
        }
        for at in order {
            let call = &mut calls[at];
            let began = Instant::now();
            let (status, body) = ask(&socket, &call.target).expect("the control plane answers");
            call.times.push(began.elapsed());
            assert_eq!(status, 200, "{}: {body}", call.target);
        }
    }
    control.stop();
    report(&mut calls);
    for target in left_out {
        println!("not known: {target}");
    }
}

fn report(calls: &mut [Call]) {
    println!(
        "{:<12} {:<44} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "page", "call", "cold ms", "p50 ms", "p95 ms", "max ms", "bytes"
    );
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let at = |times: &[Duration], share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let mut pages: BTreeMap<&str, (Duration, Duration)> = BTreeMap::new();
    let (mut over, mut all) = (0, 0);
    for call in calls.iter_mut() {
        call.times.sort();
        let (half, most, max) = (at(&call.times, 50), at(&call.times, 95), at(&call.times, 100));
        let bound = Duration::from_millis(if call.filtered { 200 } else { 100 });
        let mark = if most > bound { " !" } else { "" };
        (over, all) = (over + u32::from(most > bound), all + 1);
        println!(
            "{:<12} {:<44} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>9}{mark}",
            call.page,
            call.what,
            ms(call.cold),
            ms(half),
            ms(most),
            ms(max),
            call.bytes
        );
        // A page asks side by side: it waits for the slowest.
        if !call.filtered {
            let page = pages.entry(call.page).or_default();
            *page = (page.0.max(half), page.1.max(most));
        }
    }
    println!(
        "\n{:<12} {:>8} {:>8}  (the slowest of its calls without filters)",
        "page", "p50 ms", "p95 ms"
    );
    for (page, (half, most)) in pages {
        println!("{page:<12} {:>8.1} {:>8.1}", ms(half), ms(most));
    }
    println!("\n{over} of {all} calls are over their bound");
}

/// Every page with its calls; names, ids and times are taken from the store.
fn calls(socket: &Path) -> Vec<Call> {
    let get = |target: &str| -> Value {
        let (status, body) = ask(socket, target).expect("the control plane answers");
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    };
    let newest = get("/api/requests?limit=1");
    let last = newest["requests"][0]["time"].as_str().unwrap().to_owned();
    let end = seconds(&last) + 1;
    let since = |hours: u64| end - hours * 3_600;
    let cursor = |target: &str| get(target)["next_cursor"].as_str().unwrap_or_default().to_owned();
    let session = get("/api/sessions?client=claude-code&limit=1")["sessions"][0].clone();
    let (session, key) = (
        session["id"].as_str().unwrap().to_owned(),
        session["key"].as_str().unwrap().to_owned(),
    );
    let captures = get("/api/captures?limit=1");
    let capture = captures["captures"][0]["request_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut all = Vec::new();
    let mut add = |page: &'static str, what: &str, target: String, filtered: bool| {
        all.push(Call {
            page,
            what: what.to_owned(),
            target,
            filtered,
            times: Vec::new(),
            cold: Duration::ZERO,
            bytes: 0,
        });
    };
    let ranges = [("1h", 1), ("24h", 24), ("7d", 168), ("30d", 720), ("90d", 2_160)];

    add("shell", "me", "/api/me".into(), false);
    add("shell", "health", "/api/health".into(), false);
    add("shell", "search", "/api/search?q=alice".into(), false);
    for (name, hours) in ranges {
        let from = since(hours);
        let step = match hours {
            1 => "minute",
            24 | 168 => "hour",
            _ => "day",
        };
        // Of tools and rules nothing shorter is kept.
        let rollup = if step == "minute" { "hour" } else { step };
        for split in ["none", "model", "provider", "user"] {
            let target = format!("/api/usage/series?step={step}&split={split}&since={from}&until={end}");
            add("overview", &format!("series {name} by {split}"), target, false);
        }
        for by in ["model", "provider", "api"] {
            let target = format!("/api/usage?by={by}&since={from}&until={end}");
            add("overview", &format!("usage {name} by {by}"), target, false);
        }
        let target = format!("/api/usage?by=user&sort=cost&limit=6&since={from}&until={end}");
        add("overview", &format!("top people {name}"), target, false);
        let target = format!(
            "/api/usage/series?step={step}&split=model&since={from}&until={end}&user=alice%40example.com"
        );
        add("overview", &format!("series {name} of a user"), target, true);
        let target = format!("/api/usage?by=model&since={from}&until={end}&provider=anthropic");
        add("overview", &format!("usage {name} of a provider"), target, true);
        add(
            "adoption",
            &format!("adoption {name}"),
            format!("/api/adoption?since={from}&until={end}"),
            false,
        );
        for sort in ["cost", "requests", "last"] {
            let target = format!("/api/adoption/users?since={from}&until={end}&sort={sort}&limit=50");
            add("adoption", &format!("users {name} by {sort}"), target, false);
        }
        add(
            "tools",
            &format!("summary {name}"),
            format!("/api/tool-calls/summary?since={from}&until={end}&step={rollup}"),
            false,
        );
        add(
            "guardrails",
            &format!("rules {name}"),
            format!("/api/guardrails?since={from}&until={end}&step={rollup}"),
            false,
        );
        add(
            "models",
            &format!("models {name}"),
            format!("/api/models?since={from}"),
            false,
        );
        for sort in ["last", "cost", "requests", "tokens"] {
            let target = format!("/api/sessions?since={from}&until={end}&sort={sort}&limit=50");
            add("sessions", &format!("list {name} by {sort}"), target, false);
        }
    }
    add(
        "adoption",
        "users by name",
        format!("/api/adoption/users?since={}&search=kowal&limit=50", since(720)),
        true,
    );
    add("logs", "newest", "/api/requests?limit=100".into(), false);
    add(
        "logs",
        "second page",
        format!(
            "/api/requests?limit=100&cursor={}",
            cursor("/api/requests?limit=100")
        ),
        false,
    );
    for (name, hours) in ranges {
        let from = since(hours);
        add(
            "logs",
            &format!("from {name} ago up to a little later"),
            format!("/api/requests?limit=100&since={from}&until={}", from + 1_800),
            false,
        );
    }
    let filters = [
        ("a user", "user=alice%40example.com".to_owned()),
        ("a quiet user", "user=dana.yilmaz%40example.com".to_owned()),
        ("nobody", "user=nobody%40example.com".to_owned()),
        ("a model", "model=claude-sonnet-4-5".to_owned()),
        ("a rare model", "model=amazon.nova-pro-v1%3A0".to_owned()),
        ("a provider", "provider=bedrock".to_owned()),
        (
            "a user and a model",
            "user=alice%40example.com&model=gpt-5-mini".to_owned(),
        ),
        (
            "a model and another's provider",
            "model=claude-sonnet-4-5&provider=openai".to_owned(),
        ),
        ("status 429", "status=429".to_owned()),
        ("status 5xx", "status=5xx".to_owned()),
        ("status 404", "status=404".to_owned()),
        ("any error", "error=any".to_owned()),
        ("a code", "error=overloaded_error".to_owned()),
        ("a code that there is none of", "error=no_such_code".to_owned()),
        ("blocked", "ended=blocked".to_owned()),
        ("aborted", "ended=aborted".to_owned()),
        ("cut by a budget", "ended=cut_by_quota".to_owned()),
        ("an api", "api=bedrock_converse".to_owned()),
        ("an api that nobody uses", "api=openai_images".to_owned()),
        ("an agent that nobody has", "agent=agent-zzzzzz".to_owned()),
        ("streams", "stream=true".to_owned()),
        ("tools", "tools=true".to_owned()),
        ("dear ones", "min_cost_nanousd=500000000".to_owned()),
        ("the dearest", "min_cost_nanousd=5000000000".to_owned()),
        ("slow ones", "min_duration_ms=120000".to_owned()),
        ("redacted", "verdict=redact".to_owned()),
        ("any verdict", "verdict=any".to_owned()),
        ("a rule", "rule=no-customer-dumps".to_owned()),
        ("captured", "capture=written".to_owned()),
        ("dropped", "capture=dropped".to_owned()),
        ("a session's key", format!("session={key}")),
        ("a session's id", format!("session={session}")),
        ("a user's errors", "user=alice%40example.com&error=any".to_owned()),
        (
            "dear streams of a model",
            "model=claude-opus-4-1&stream=true&min_cost_nanousd=1000000000".to_owned(),
        ),
        ("words", "text=invoice".to_owned()),
        (
            "a phrase of a user",
            "text=%22nightly%20import%22&user=alice%40example.com".to_owned(),
        ),
        ("words that nobody said", "text=xylophone".to_owned()),
        ("words and an error", "text=invoice&error=any".to_owned()),
    ];
    for (what, filter) in filters {
        add("logs", what, format!("/api/requests?limit=100&{filter}"), true);
    }
    add(
        "sessions",
        "second page",
        format!(
            "/api/sessions?limit=50&cursor={}",
            cursor("/api/sessions?limit=50")
        ),
        false,
    );
    add(
        "sessions",
        "of a user",
        "/api/sessions?limit=50&user=alice%40example.com".into(),
        true,
    );
    add(
        "sessions",
        "of a model",
        "/api/sessions?limit=50&model=claude-opus-4-1".into(),
        true,
    );
    add(
        "sessions",
        "of a client",
        "/api/sessions?limit=50&client=codex".into(),
        true,
    );
    add(
        "sessions",
        "of a client that nobody has",
        "/api/sessions?limit=50&client=aider".into(),
        true,
    );
    add("session", "one", format!("/api/sessions/{session}"), false);
    add(
        "session",
        "its requests",
        format!("/api/sessions/{session}/requests?limit=100"),
        false,
    );
    add("captures", "newest", "/api/captures?limit=100".into(), false);
    add(
        "captures",
        "words",
        "/api/captures?limit=100&text=tests%20pass".into(),
        true,
    );
    if !capture.is_empty() {
        add("captures", "one", format!("/api/captures/{capture}"), false);
        add(
            "captures",
            "its answer",
            format!("/api/captures/{capture}/assembled"),
            false,
        );
        add(
            "captures",
            "its shadow",
            format!("/api/captures/{capture}/shadow"),
            false,
        );
    }
    add("tools", "calls", "/api/tool-calls?limit=100".into(), false);
    add(
        "tools",
        "calls of a tool",
        "/api/tool-calls?limit=100&name=Bash".into(),
        true,
    );
    add(
        "guardrails",
        "hits",
        format!("/api/guardrails/hits?limit=50&since={}", since(720)),
        false,
    );
    add(
        "guardrails",
        "hits of a rule",
        format!(
            "/api/guardrails/hits?limit=50&rule=secrets&since={}",
            since(2_160)
        ),
        true,
    );
    add("providers", "list", "/api/providers".into(), false);
    add("providers", "one", "/api/providers/anthropic".into(), false);
    add("models", "one", "/api/models/claude-sonnet-4-5".into(), false);
    add("people", "list", "/api/people?limit=50".into(), false);
    for sort in ["cost", "requests", "last", "login"] {
        add(
            "people",
            &format!("by {sort}"),
            format!("/api/people?limit=50&sort={sort}"),
            false,
        );
    }
    add(
        "people",
        "by name",
        "/api/people?limit=50&search=alice".into(),
        true,
    );
    add("people", "one", "/api/people/alice@example.com".into(), false);
    add("quotas", "list", "/api/quotas?limit=100".into(), false);
    add(
        "quotas",
        "by use",
        "/api/quotas?sort=used&limit=100".into(),
        false,
    );
    add(
        "quotas",
        "by name",
        "/api/quotas?sort=used&limit=100&search=alice".into(),
        true,
    );
    add("quotas", "events", "/api/quotas/events?limit=100".into(), false);
    add("audit", "list", "/api/audit".into(), false);
    add("settings", "document", "/api/config".into(), false);
    add("settings", "history", "/api/config/history".into(), false);
    add("settings", "exports", "/api/exports".into(), false);
    add("settings", "hooks", "/api/hooks".into(), false);
    add("tokens", "list", "/api/tokens".into(), false);
    all
}

/// Seconds of a moment as the API writes it.
fn seconds(text: &str) -> u64 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    // Days of the Gregorian calendar, counted from March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400 + part(11, 13) * 3_600 + part(14, 16) * 60 + part(17, 19)).unwrap()
}

/// Status and body.
fn ask(socket: &Path, target: &str) -> Option<(u16, String)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    // The command line's principal: nobody counts how often it asks.
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: (local)\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
