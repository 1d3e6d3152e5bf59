//! Documents that are damaged in every way at hand: never a panic, never an empty report for what is no document, never a
//! position outside the text, never a secret in a message.

#![allow(clippy::print_stdout, reason = "the runs say how many they were")]

use std::collections::HashMap;

use super::super::{Report, load};

/// About 4 KiB: every part of a document, files aside.
fn whole() -> String {
    let mut text = String::from(
        r#"{ // a comment with ünïcode
"providers": {
  "openai": {"baseurl": "https://api.openai.com/v1", "apikey": "${env:KEY}", "models": ["gpt-*", "o?*"], "preference": 3,
    "compatibility": {"openai_chat": true, "openai_responses": false}, "add_headers": ["X-Key: ${env:KEY}", "X-Team: blue"],
    "timeouts": {"connect": "5s", "idle": 0}, "model_cost_map": [{"match": "gpt-*", "as": "x", "adjustment": 0.5}]},
  "local": {"baseurl": "http://[::1]:8000", "auth_mode": "none", "models": ["**"], "weight": 2, "max_connections": 9},
},
"model_aliases": {"a": "b", "c": "openai/gpt-4"},
"identity": {"sources": ["tailscale", "loopback", "static", "oidc", "token", "serve_headers", "mtls"], "max_age": "5m",
  "bearer": "narrow", "tailscale": {"socket": "/run/t.sock", "userspace": false, "owner": 7},
  "static": [{"cidr": "10.0.0.0/8", "login": "a@example.com", "groups": ["group:x"]}, {"cidr": "fd7a::/48", "tags": ["tag:t"]}],
  "oidc": [{"issuer": "https://i.example.com", "audience": ["x", "y"], "algorithms": ["RS256", "EdDSA"], "login_claim": "email"}]},
"listeners": [{"address": "127.0.0.1:8080", "serves": ["llm", "admin"], "serve_headers": true, "proxy_protocol": ["10.0.0.1"],
  "hosts": ["a.example.com"]}, {"address": "[::]:9", "serves": ["llm"]}],
"grants": [{"src": ["*", "group:x", "10.0.0.0/8"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"models": "**",
  "quotas": [{"bucket": "daily:<user>"}], "send_hooks": [{"name": "pii", "events": ["pre_request"], "send": ["tools"]}]}],
  "x.example.com/cap": [{"deep": [1, -2.5e3, null, true, "\u00e9\n"]}]}}],
"temp_grants": [{"src": ["tag:ci"], "capabilities": [{"role": "user", "models": ["openai/*"], "read_metrics": true}]}],
"limits": {"head_bytes": "64KiB", "head_ms": 5000, "in_flight": 10},
"quotas": {"daily:<user>": {"capacity": "$10.00", "rate": "$5.00/day", "on_exceed": "reject", "deny_status": 403,
  "tokens": {"capacity": "1.5M", "rate": "10k/hour"}, "requests": "5/min", "concurrency": 8, "admission": "strict"}},
"hooks": {"pii": {"url": "http://guard/x", "apikey": "${env:KEY}", "timeout": "5s", "fail_policy": "fail_open"}},
"exporters": {"s3": {"bucket_name": "b", "prefix": "p", "every": 60, "access_secret": "${env:KEY}"}},
"database": {"retention": {"duration": "30d", "purge": ["captures"]}}, "mcp": {"servers": {"f": {}}},
/* padding: "#,
    );
    while text.len() < 4_090 {
        text.push('-');
    }
    text.push_str(" */ }\n");
    text
}

/// Smaller, for many runs.
fn small() -> String {
    String::from(
        r#"{"providers": {"p": {"baseurl": "http://x/y", "models": ["m"], "apikey": "${env:KEY}", "weight": 3, "timeouts": {"idle": "2s"}}},
"identity": {"sources": ["oidc", "static"], "static": [{"cidr": "10.0.0.0/8", "login": "a"}]},
"grants": [{"src": ["*"], "capabilities": [{"role": "admin"}, {"models": ["p/**"], "quotas": [{"bucket": "q"}]}]}],
"limits": {"head_ms": "2s"}, "quotas": {"q": {"capacity": "$1.00", "tokens": "5k/day", "requests": 7}}, "listeners": [{"address": "127.0.0.1:1"}]} // end"#,
    )
}

struct Look {
    environment: HashMap<String, String>,
    runs: u32,
    usable: u32,
}

impl Look {
    fn new() -> Self {
        Self {
            environment: HashMap::from([("KEY".to_owned(), "sk-canary".to_owned())]),
            runs: 0,
            usable: 0,
        }
    }

    fn at(&mut self, text: &str) {
        // What names files would read them, and whatever a mutation makes of their names.
        if text.contains("file") {
            return;
        }
        let (document, report) = load(text, &self.environment, None);
        self.runs += 1;
        self.usable += u32::from(document.is_some());
        assert_eq!(document.is_some(), report.usable(), "{text}");
        assert!(
            document.is_some() || !report.errors.is_empty(),
            "an empty report: {text}"
        );
        assert!(!report.summary.is_empty());
        positions(text, &report);
        let shown = format!("{report:?}");
        assert!(!shown.contains("sk-canary"), "{shown}");
    }
}

fn positions(text: &str, report: &Report) {
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    for message in report
        .errors
        .iter()
        .chain(&report.warnings)
        .chain(&report.notices)
    {
        let length = message.line.checked_sub(1).and_then(|line| lines.get(line));
        let inside = length.is_some_and(|length| (1..=length + 1).contains(&message.column));
        assert!(inside, "{message} is outside of {text}");
        assert!(!message.text.is_empty());
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_4_kib() {
    let whole = whole();
    assert!((4_000..=4_200).contains(&whole.len()), "{}", whole.len());
    let mut look = Look::new();
    look.at(&whole);
    assert_eq!(look.usable, 1, "the document to damage is a good one");
    for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        look.at(&whole[..cut]);
    }
    let cuts = look.runs - 1;
    let mut bytes = whole.into_bytes();
    let mut foreign = 0;
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        match std::str::from_utf8(&bytes) {
            Ok(text) => look.at(text),
            // No text: refused where the file is read.
            Err(_) => foreign += 1,
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    println!(
        "{cuts} cuts, {} flipped bits ({foreign} of them no text), {} documents still usable",
        bytes.len() * 8,
        look.usable
    );
}

/// A small generator of our own (xorshift64*), so that a seed names a run for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap() % bound.max(1)
    }
}

const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "/*",
    "*/",
    "//",
    "null",
    "true",
    "-1",
    "1e999",
    "99999999999999999999999999",
    "\"\"",
    "{}",
    "[]",
    "\"role\": \"admin\",",
    "\"models\": 5,",
    "${env:KEY}",
    "\u{0}",
    "ü",
];

fn mutate(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] = u8::try_from(random.below(128)).unwrap(),
            1 => drop(bytes.remove(at)),
            2 | 3 => {
                let piece = PIECES[random.below(PIECES.len())].as_bytes();
                bytes.splice(at..at, piece.iter().copied());
            }
            4 => {
                // Two tokens change places.
                let tokens: Vec<usize> = (0..bytes.len())
                    .filter(|i| b",:{}[]\"".contains(&bytes[*i]))
                    .collect();
                if let [_, ..] = tokens.as_slice() {
                    let (a, b) = (
                        tokens[random.below(tokens.len())],
                        tokens[random.below(tokens.len())],
                    );
                    bytes.swap(a, b);
                }
            }
            5 => {
                // A piece stands twice: keys, items, halves of strings.
                let end = (at + random.below(60)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let depth = 1 + random.below(700);
                let piece = if random.below(2) == 0 {
                    "[".repeat(depth)
                } else {
                    "{\"a\":".repeat(depth)
                };
                bytes.splice(at..at, piece.into_bytes());
            }
            _ => {
                let end = (at + random.below(40)).min(bytes.len());
                drop(bytes.splice(at..end, []));
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_hundred_thousand_mutations() {
    const SEED: u64 = 0x5EED_0003;
    let small = small();
    let mut look = Look::new();
    look.at(&small);
    assert_eq!(look.usable, 1, "the document to damage is a good one");
    let mut random = Random(SEED);
    for run in 0..100_000u32 {
        let mutated = mutate(&small, &mut random);
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look.at(&mutated)));
        assert!(looked.is_ok(), "seed {SEED:#x}, run {run}: {mutated}");
    }
    println!(
        "100000 mutations, {} looked at, {} documents still usable",
        look.runs - 1,
        look.usable - 1
    );
}
