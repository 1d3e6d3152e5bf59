//! Heads by property: a naive reader against ours, generated requests written anew, and the fuzz entry points.

use proptest::prelude::*;
use sluice_proto::http1::fuzz::{
    fuzz_answer, fuzz_chunked, fuzz_head, fuzz_length, fuzz_query, request_outcome,
};
use sluice_proto::http1::{Framing, HeadLimits, parse_request};

fn token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Whether a head is good, as the grammar reads: lines split at CRLF, then each rule by itself. `None`: no blank line.
fn naive(head: &[u8]) -> Option<bool> {
    let text = head;
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = &text[..end];
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    if lines
        .iter()
        .any(|line| line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)))
    {
        return Some(false);
    }
    let parts: Vec<&[u8]> = lines[0].split(|&b| b == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Some(false);
    };
    let http10 = version == b"HTTP/1.0";
    let known = [
        &b"GET"[..],
        b"HEAD",
        b"POST",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"OPTIONS",
    ]
    .contains(&method);
    if !known || !(http10 || version == b"HTTP/1.1") || !naive_target(method, target) {
        return Some(false);
    }
    let mut fields = Vec::new();
    for line in &lines[1..] {
        let Some(colon) = line.iter().position(|&b| b == b':') else {
            return Some(false);
        };
        let name = line[..colon].to_ascii_lowercase();
        let value = &line[colon + 1..];
        let valid = value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
        if name.is_empty() || !name.iter().all(|&b| token_byte(b)) || !valid {
            return Some(false);
        }
        let from = value
            .iter()
            .position(|&b| b != b' ' && b != b'\t')
            .unwrap_or(value.len());
        let to = value
            .iter()
            .rposition(|&b| b != b' ' && b != b'\t')
            .map_or(from, |at| at + 1);
        fields.push((name, &value[from..to]));
    }
    let all = |wanted: &str| {
        fields
            .iter()
            .filter(|(n, _)| n == wanted.as_bytes())
            .map(|(_, v)| *v)
            .collect::<Vec<_>>()
    };
    let (hosts, lengths, codings) = (all("host"), all("content-length"), all("transfer-encoding"));
    let hosts_fine = match hosts[..] {
        [] => http10,
        [host] => naive_host(host),
        _ => false,
    };
    let framing_fine = match (&lengths[..], &codings[..]) {
        ([], []) => !matches!(method, b"POST" | b"PUT" | b"PATCH"),
        ([length], []) => {
            let text = std::str::from_utf8(length).unwrap_or("");
            length.iter().all(u8::is_ascii_digit) && text.parse::<u64>().is_ok_and(|n| n <= 1 << 53)
        }
        ([], [coding]) => !http10 && coding.eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    let expects = all("expect");
    let expect_fine = match expects[..] {
        [] => true,
        [value] => value.eq_ignore_ascii_case(b"100-continue"),
        _ => false,
    };
    let connection_fine = all("connection").iter().all(|value| {
        value.split(|&b| b == b',').all(|option| {
            let option: Vec<u8> = String::from_utf8_lossy(option)
                .trim_matches([' ', '\t'])
                .bytes()
                .collect();
            option.iter().all(|&b| token_byte(b))
        })
    });
    Some(hosts_fine && framing_fine && expect_fine && connection_fine)
}

fn naive_target(method: &[u8], target: &[u8]) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&b);
    if target == b"*" {
        return method == b"OPTIONS";
    }
    target.starts_with(b"/")
        && target.iter().enumerate().all(|(at, &b)| {
            plain(b)
                || (b == b'%'
                    && target.len() > at + 2
                    && target[at + 1].is_ascii_hexdigit()
                    && target[at + 2].is_ascii_hexdigit())
        })
}

/// For the hosts that the generators below can make: names and ports, no address in brackets.
fn naive_host(host: &[u8]) -> bool {
    let text = String::from_utf8_lossy(host);
    let (name, port) = text.split_once(':').unwrap_or((&text, ""));
    let name = name.as_bytes();
    !name.is_empty()
        && name.iter().enumerate().all(|(at, &b)| {
            b.is_ascii_alphanumeric()
                || b"-._~!$&'()*+;=".contains(&b)
                || (b == b'%'
                    && name.len() > at + 2
                    && name[at + 1].is_ascii_hexdigit()
                    && name[at + 2].is_ascii_hexdigit())
        })
        && port.bytes().all(|b| b.is_ascii_digit())
        && (port.is_empty() || port.parse::<u32>().is_ok_and(|port| port <= 65_535))
}

#[track_caller]
fn agree(head: &[u8]) {
    let ours = request_outcome(head, head.len().max(1));
    match naive(head) {
        Some(good) => {
            let accepted = matches!(ours, Ok(Some(_)));
            assert_eq!(accepted, good, "{}: {ours:?}", head.escape_ascii());
        }
        None => assert!(!matches!(ours, Ok(Some(_))), "{}", head.escape_ascii()),
    }
    fuzz_head(head);
}

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn request_line() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        8 => one_of(&["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]),
        1 => one_of(&["get", "TRACE", "CONNECT", "FOO", "G@T", ""]),
    ];
    let target = prop_oneof![
        8 => "/[a-z0-9/]{0,12}(\\?[a-z=&]{0,8})?",
        1 => "/(%[0-9a-f]{2}|[!-~]){0,6}",
        1 => one_of(&["*", "http://a/", "a", "", "/a b", "/%zz"]),
    ];
    let version = prop_oneof![
        9 => one_of(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
        1 => one_of(&["HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""]),
    ];
    (method, target, version).prop_map(|(m, t, v)| format!("{m} {t} {v}"))
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "X-[A-Za-z0-9_-]{0,6}:[ \t]{0,2}[!-~]([ -~]{0,8}[!-~])?[ \t]{0,2}",
        2 => one_of(&["Content-Length: 5", "content-length:0", "CONTENT-LENGTH: 12 ", "Transfer-Encoding: chunked", "transfer-encoding:\tChunked"]),
        2 => one_of(&["Connection: close", "Connection: keep-alive, x-a", "Connection:", "Expect: 100-continue", "Upgrade: websocket", "Host: b"]),
        1 => one_of(&["Content-Length: +5", "Content-Length: 5, 5", "Transfer-Encoding: gzip", "Expect: x", "Connection: a b", " folded", "X : y", "nocolon", ":"]),
    ]
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let host = prop_oneof![
        9 => "Host: [a-z]{1,6}(\\.[a-z]{1,3})?(:[0-9]{1,5})?",
        1 => one_of(&["X: no host", "Host:", "Host: a b", "Host: a,b", "Host: a:99999"]),
    ];
    (request_line(), host, prop::collection::vec(field(), 0..6)).prop_map(|(line, host, fields)| {
        let mut out = format!("{line}\r\n{host}\r\n");
        for field in fields {
            out.push_str(&field);
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        out.into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_naive_reader(head in head()) {
        agree(&head);
    }

    #[test]
    fn agrees_after_a_mutation(head in head(), at in any::<prop::sample::Index>(), how in 0..4u8, byte in prop_oneof![
        Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(0u8), Just(b'\t'), any::<u8>()
    ]) {
        let mut head = head;
        let at = at.index(head.len());
        match how {
            0 => head[at] = byte,
            1 => head.insert(at, byte),
            2 => { head.remove(at); }
            _ => head.truncate(at),
        }
        // Empty lines before the request have rows of their own.
        prop_assume!(!head.starts_with(b"\r\n"));
        agree(&head);
    }

    #[test]
    fn noise_breaks_nothing(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_head(&noise);
        fuzz_answer(&noise);
        fuzz_chunked(&noise);
        fuzz_length(&noise);
        fuzz_query(&noise);
    }

    #[test]
    fn near_misses_break_nothing(lines in prop::collection::vec(prop_oneof![
        request_line(), field(), one_of(&["HTTP/1.1 200 OK", "HTTP/1.0 204", "HTTP/1.1 100 Continue", "HTTP/1.1 101 X", ""])
    ], 0..8), end in one_of(&["\r\n", "\n", "\r", ""])) {
        for joint in ["\r\n", "\n", end.as_str()] {
            let data = format!("{}{end}{end}", lines.join(joint));
            fuzz_head(data.as_bytes());
            fuzz_answer(data.as_bytes());
            fuzz_query(data.as_bytes());
        }
    }

    #[test]
    fn generated_requests_mean_what_they_were_made_of(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
        target in "/[a-z0-9._~!$&'()*+,;=:@/-]{0,30}(\\?[a-z0-9=&/?]{0,20})?",
        length in prop::option::of(0u64..1 << 53),
        fields in prop::collection::vec(("y[a-z-]{0,10}", "([!-~\u{e9}]([ \t!-~]{0,20}[!-~])?)?"), 0..40),
    ) {
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n");
        match length {
            Some(length) => text.push_str(&format!("content-length: {length}\r\n")),
            None => text.push_str("transfer-encoding: chunked\r\n"),
        }
        for (name, value) in &fields {
            text.push_str(&format!("{name}:{value} \r\n"));
        }
        text.push_str("\r\n");
        let head = text.as_bytes();
        let parsed = parse_request(head, &HeadLimits::default()).unwrap();
        prop_assert_eq!(parsed.method.as_str(), method);
        prop_assert_eq!(parsed.target.of(head), target.as_bytes());
        prop_assert_eq!(parsed.framing, length.map_or(Framing::Chunked, Framing::Length));
        let kept: Vec<_> = parsed.end_to_end(head).collect();
        let given: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        prop_assert_eq!(kept, given);
        fuzz_head(head);
    }
}

#[test]
fn fuzz_entries_take_their_seeds() {
    for seed in [
        &b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close, x\r\nX: y\r\n\r\nhello"[..],
        b"GET / HTTP/1.0\r\n\r\n", b"", b"\r\n", b"\r\n\r\nGET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=\"b\"\r\nhello\r\n0\r\nT: v\r\n\r\n", b"\x05\x00hello world", b"/a?key=k&b", b"%6bey=",
    ] {
        fuzz_head(seed);
        fuzz_answer(seed);
        fuzz_chunked(seed);
        fuzz_length(seed);
        fuzz_query(seed);
    }
}
