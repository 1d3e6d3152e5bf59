//! `sluice quota`: what is in the buckets of budgets, money by hand, and watching them.

use std::collections::HashMap;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::{QuotaCommand, QuotaFilter, QuotaOptions, QuotaRefill, QuotaWatch};
use crate::client::{Client, columns, printable, query, text};

/// Buckets that are listed; whoever has more names one.
const BUCKETS_MAX: usize = 10_000;
/// Entries of a page of the API.
const PAGE: &str = "1000";

/// Does what the subcommand says.
///
/// # Errors
/// If no instance answers, or it refuses.
pub(crate) fn run(options: &QuotaOptions) -> Result<ExitCode> {
    let client = Client::new(&options.instance.data);
    match &options.command {
        QuotaCommand::List { filter, json } => {
            let list = buckets(&client, filter)?;
            if *json {
                println!("{:#}", json!({ "quotas": list.buckets, "next": list.next }));
            } else {
                print!("{}", printable(&table(&list.buckets)));
            }
            list.warn_if_cut();
        }
        QuotaCommand::Refill(wanted) => refill(&client, wanted)?,
        QuotaCommand::Watch(wanted) => watch(&client, wanted)?,
    }
    Ok(ExitCode::SUCCESS)
}

struct List {
    /// Moment that the control plane gave.
    time: String,
    buckets: Vec<Value>,
    /// There are more.
    next: Value,
}

impl List {
    fn warn_if_cut(&self) {
        if !self.next.is_null() {
            eprintln!(
                "warning: there are more than {BUCKETS_MAX} buckets; name a quota with --quota, or a bucket with --bucket"
            );
        }
    }
}

fn buckets(client: &Client<'_>, filter: &QuotaFilter) -> Result<List> {
    let mut list = List {
        time: String::new(),
        buckets: Vec::new(),
        next: Value::Null,
    };
    loop {
        let place = list.next.as_str().map(str::to_owned);
        let pairs = [
            ("quota", filter.quota.as_deref()),
            ("bucket", filter.bucket.as_deref()),
            ("cursor", place.as_deref()),
            ("limit", Some(PAGE)),
        ];
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut page = client.get(&format!("/api/quotas?{}", query(pairs)))?;
        list.time = text(&page, "time").to_owned();
        list.next = page["next"].take();
        if let Value::Array(found) = page["quotas"].take() {
            list.buckets.extend(found);
        }
        if list.next.is_null() || list.buckets.len() >= BUCKETS_MAX {
            return Ok(list);
        }
    }
}

fn table(buckets: &[Value]) -> String {
    let head = [
        "bucket", "counts", "balance", "of", "refill", "used", "full at", "quota",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for bucket in buckets {
        let shown = &bucket["display"];
        rows.push(vec![
            text(bucket, "bucket").to_owned(),
            text(bucket, "unit").to_owned(),
            text(shown, "balance").to_owned(),
            text(shown, "capacity").to_owned(),
            or_dash(shown["rate"].as_str()),
            bucket["percent_used"]
                .as_u64()
                .map_or_else(String::new, |percent| format!("{percent}%")),
            or_dash(bucket["full_at"].as_str().map(to_the_second).as_deref()),
            text(bucket, "quota").to_owned(),
        ]);
    }
    columns(&rows)
}

fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// `2026-11-22T10:00:00.000000Z` as `2026-11-22 10:00:00`.
fn to_the_second(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

fn refill(client: &Client<'_>, wanted: &QuotaRefill) -> Result<()> {
    let answer = client.call("POST", "/api/quotas/refill", None, Some(&wish(wanted)))?;
    if answer.status == 409 {
        let quotas: Vec<&str> = answer.body["candidates"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|candidate| text(candidate, "quota"))
            .collect();
        anyhow::bail!(
            "several quotas have a bucket {:?}; say which with --quota: {}",
            wanted.bucket,
            quotas.join(", ")
        );
    }
    let done = answer.wanted()?;
    let shown = &done["display"];
    println!(
        "{}",
        printable(&format!(
            "{}: {} added, {} -> {}",
            text(&done, "bucket"),
            text(shown, "added"),
            text(shown, "before"),
            text(shown, "after"),
        ))
    );
    Ok(())
}

fn wish(wanted: &QuotaRefill) -> Value {
    let unit = wanted.unit.name();
    let mut body = json!({ "bucket": wanted.bucket, "unit": unit });
    if let Some(quota) = &wanted.quota {
        body["quota"] = json!(quota);
    }
    if let Some(amount) = &wanted.amount {
        // A shell takes the dollar sign for itself.
        let number = amount.strip_prefix('-').unwrap_or(amount);
        let bare = unit == "usd" && number.starts_with(|c: char| c.is_ascii_digit());
        let dollar = if bare { "$" } else { "" };
        body["amount"] = json!(format!("{dollar}{amount}"));
    }
    body
}

fn watch(client: &Client<'_>, wanted: &QuotaWatch) -> Result<()> {
    let every = Duration::from_secs(u64::from(wanted.every));
    let mut seen = News {
        refills: newest(client, "refills")?,
        events: newest(client, "events")?,
        buckets: HashMap::new(),
    };
    let first = buckets(client, &wanted.filter)?;
    first.warn_if_cut();
    print!("{}", printable(&table(&first.buckets)));
    seen.of_buckets(&first.buckets);
    let mut left = wanted.count;
    loop {
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) {
            return Ok(());
        }
        thread::sleep(every);
        let list = buckets(client, &wanted.filter)?;
        let mut lines = seen.of_buckets(&list.buckets);
        let time = to_the_second(&list.time);
        for line in &mut lines {
            line.insert_str(0, &format!("{time}  "));
        }
        for what in ["refills", "events"] {
            let page = history(client, what, &wanted.filter)?;
            lines.extend(seen.of_history(what, &page));
        }
        for line in lines {
            println!("{}", printable(&line));
        }
    }
}

fn history(client: &Client<'_>, what: &str, filter: &QuotaFilter) -> Result<Value> {
    let pairs = [
        ("quota", filter.quota.as_deref()),
        ("bucket", filter.bucket.as_deref()),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    client.get(&format!("/api/quotas/{what}?{}", query(pairs)))
}

/// Number of the newest entry of a history, 0 if there is none.
fn newest(client: &Client<'_>, what: &str) -> Result<u64> {
    let page = client.get(&format!("/api/quotas/{what}?limit=1"))?;
    Ok(page[what][0]["id"].as_u64().unwrap_or(0))
}

/// What has been told already.
struct News {
    refills: u64,
    events: u64,
    /// By number: what was charged, ceiling and refill.
    buckets: HashMap<u64, (u64, String)>,
}

impl News {
    /// What happened to buckets since the last look. That time refills them is no news.
    fn of_buckets(&mut self, buckets: &[Value]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut now = HashMap::new();
        for bucket in buckets {
            let shown = &bucket["display"];
            let id = bucket["id"].as_u64().unwrap_or(0);
            let charged = bucket["charged"].as_u64().unwrap_or(0);
            let terms = match shown["rate"].as_str() {
                Some(rate) => format!("{}, {rate}", text(shown, "capacity")),
                None => text(shown, "capacity").to_owned(),
            };
            let name = format!("{} {}", text(bucket, "bucket"), text(bucket, "unit"));
            let left = format!("{} of {} left", text(shown, "balance"), text(shown, "capacity"));
            match self.buckets.get(&id) {
                None => lines.push(format!("{name}: new, {left}")),
                Some((before, old)) => {
                    if charged != *before {
                        let spent = spent(charged.saturating_sub(*before), text(bucket, "unit"));
                        lines.push(format!("{name}: {spent} used, {left}"));
                    }
                    if terms != *old {
                        lines.push(format!("{name}: now {terms} (was {old})"));
                    }
                }
            }
            now.insert(id, (charged, terms));
        }
        let gone = self.buckets.keys().filter(|id| !now.contains_key(id)).count();
        if gone > 0 {
            lines.push(format!(
                "{gone} bucket{} gone",
                if gone == 1 { " is" } else { "s are" }
            ));
        }
        self.buckets = now;
        lines
    }

    /// What is new in a history, oldest first.
    fn of_history(&mut self, what: &str, page: &Value) -> Vec<String> {
        let last = if what == "refills" {
            &mut self.refills
        } else {
            &mut self.events
        };
        let new: Vec<&Value> = page[what]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["id"].as_u64() > Some(*last))
            .collect();
        let mut lines = Vec::new();
        for entry in new.into_iter().rev() {
            *last = entry["id"].as_u64().unwrap_or(*last);
            let shown = &entry["display"];
            let said = match entry["percent"].as_u64() {
                Some(percent) => format!(
                    "{percent}% used, {} of {} left",
                    text(shown, "balance"),
                    text(shown, "capacity")
                ),
                None => format!(
                    "{} refilled by {}, {} -> {}",
                    text(shown, "added"),
                    text(entry, "author"),
                    text(shown, "before"),
                    text(shown, "after")
                ),
            };
            lines.push(format!(
                "{}  {} {}: {said}",
                to_the_second(text(entry, "time")),
                text(entry, "bucket"),
                text(entry, "unit")
            ));
        }
        lines
    }
}

/// An amount in the unit's own smallest, exact: `$0.0012`, `1234`.
fn spent(amount: u64, unit: &str) -> String {
    if unit != "usd" {
        return amount.to_string();
    }
    let nanos = format!("{:09}", amount % 1_000_000_000);
    let (cents, rest) = nanos.split_at(2);
    format!(
        "${}.{cents}{}",
        amount / 1_000_000_000,
        rest.trim_end_matches('0')
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::QuotaUnit;

    fn bucket(id: u64, charged: u64, balance: &str, capacity: &str) -> Value {
        json!({
            "quota": "daily:<user>", "bucket": "daily:alice", "unit": "usd", "id": id, "capacity": 10_000_000_000_u64,
            "charged": charged, "percent_used": 6, "full_at": "2026-11-22T10:00:00.000000Z",
            "display": { "capacity": capacity, "balance": balance, "rate": "$5.00/day" },
        })
    }

    #[test]
    fn buckets_for_people() {
        let mut plain = bucket(2, 0, "7", "7");
        plain["unit"] = json!("requests");
        plain["full_at"] = Value::Null;
        plain["display"]["rate"] = Value::Null;
        assert_eq!(
            table(&[bucket(1, 5, "$9.40", "$10.00"), plain]),
            "bucket       counts    balance  of      refill     used  full at              quota\n\
             daily:alice  usd       $9.40    $10.00  $5.00/day  6%    2026-11-22 10:00:00  daily:<user>\n\
             daily:alice  requests  7        7       -          6%    -                    daily:<user>\n"
        );
        assert_eq!(
            table(&[]),
            "bucket  counts  balance  of  refill  used  full at  quota\n"
        );
    }

    #[test]
    fn wishes_take_dollars_without_their_sign() {
        let check = |amount: Option<&str>, unit: QuotaUnit, expected: &Value| {
            let wanted = QuotaRefill {
                bucket: "b".into(),
                amount: amount.map(str::to_owned),
                quota: None,
                unit,
            };
            assert_eq!(wish(&wanted)["amount"], *expected, "{amount:?}");
        };
        check(None, QuotaUnit::Usd, &Value::Null);
        check(Some("5.00"), QuotaUnit::Usd, &json!("$5.00"));
        check(Some("$5.00"), QuotaUnit::Usd, &json!("$5.00"));
        check(Some("-5"), QuotaUnit::Usd, &json!("$-5"));
        check(Some("5k"), QuotaUnit::Tokens, &json!("5k"));
    }

    #[test]
    fn news_are_told_once() {
        let mut news = News {
            refills: 1,
            events: 0,
            buckets: HashMap::new(),
        };
        let mut check = |buckets: &[Value], expected: &[&str]| {
            assert_eq!(news.of_buckets(buckets), expected);
        };
        check(
            &[bucket(1, 0, "$10.00", "$10.00")],
            &["daily:alice usd: new, $10.00 of $10.00 left"],
        );
        // Time alone is no news.
        check(&[bucket(1, 0, "$9.99", "$10.00")], &[]);
        check(
            &[
                bucket(1, 1_234_500_000, "$8.7655", "$10.00"),
                bucket(2, 9, "$1.00", "$1.00"),
            ],
            &[
                "daily:alice usd: $1.2345 used, $8.7655 of $10.00 left",
                "daily:alice usd: new, $1.00 of $1.00 left",
            ],
        );
        check(
            &[bucket(1, 1_234_500_000, "$5.00", "$5.00")],
            &[
                "daily:alice usd: now $5.00, $5.00/day (was $10.00, $5.00/day)",
                "1 bucket is gone",
            ],
        );
        let page = json!({ "refills": [
            { "id": 3, "time": "2026-11-22T10:00:01.5Z", "bucket": "b", "unit": "usd", "author": "root",
              "display": { "added": "$2.00", "before": "$1.00", "after": "$3.00" } },
            { "id": 2, "time": "2026-11-22T10:00:00.5Z", "bucket": "b", "unit": "usd", "author": "root",
              "display": { "added": "$1.00", "before": "$0.00", "after": "$1.00" } },
            { "id": 1, "time": "x", "bucket": "b", "unit": "usd", "author": "root", "display": {} },
        ] });
        assert_eq!(
            news.of_history("refills", &page),
            [
                "2026-11-22 10:00:00  b usd: $1.00 refilled by root, $0.00 -> $1.00",
                "2026-11-22 10:00:01  b usd: $2.00 refilled by root, $1.00 -> $3.00",
            ]
        );
        assert_eq!(news.of_history("refills", &page), [] as [&str; 0]);
        let page = json!({ "events": [
            { "id": 9, "time": "2026-11-22T10:00:00.5Z", "bucket": "b", "unit": "tokens", "percent": 80,
              "display": { "balance": "20k", "capacity": "100k" } },
        ] });
        assert_eq!(
            news.of_history("events", &page),
            ["2026-11-22 10:00:00  b tokens: 80% used, 20k of 100k left"]
        );
    }
}
