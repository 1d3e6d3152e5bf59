//! The SSE scanner: line ends, cuts at every byte, a naive reader beside it; the usage chunk filter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use sluice_proto::meter::fuzz;
use sluice_proto::ndjson::{DOCUMENT_BYTES_MAX, Piece};
use sluice_proto::sse::{HELD_BYTES_MAX, Scanner, UsageChunkFilter, fields, has_data};

type Event = (String, Option<String>, Option<String>);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut scanner = Scanner::default();
    let mut sink = |piece: Piece<'_>| {
        if let Piece::Whole(raw) = piece {
            let mut joined = Vec::new();
            let found = fields(raw, &mut joined);
            let event = (text(found.event), found.data.map(text), found.error.map(text));
            assert_eq!(has_data(raw), event.1.is_some());
            if event != Event::default() {
                events.push(event);
            }
        }
    };
    for piece in pieces {
        scanner.feed(piece, &mut sink);
    }
    scanner.finish(&mut sink);
    events
}

/// As the standard says it, a line at a time.
fn naive(body: &[u8]) -> Vec<Event> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let body = text(body).replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut event = Event::default();
    for line in body.split('\n').chain([""]) {
        if line.is_empty() {
            if event != Event::default() {
                events.push(std::mem::take(&mut event));
            }
            event = Event::default();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event.0 = value.to_owned(),
            "data" => match &mut event.1 {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => event.1 = Some(value.to_owned()),
            },
            "error" => event.2 = Some(value.to_owned()),
            _ => {}
        }
    }
    events
}

#[track_caller]
fn check(body: &[u8], want: &[(&str, Option<&str>)]) {
    let want: Vec<Event> = want
        .iter()
        .map(|(name, data)| ((*name).to_owned(), data.map(str::to_owned), None))
        .collect();
    assert_eq!(naive(body), want, "naive {:?}", text(body));
    for cut in 0..=body.len() {
        let (head, tail) = body.split_at(cut);
        assert_eq!(scan([head, tail]), want, "cut at {cut} of {:?}", text(body));
    }
    assert_eq!(scan(body.chunks(1)), want, "byte by byte {:?}", text(body));
}

#[test]
fn line_ends_comments_and_fields_at_every_cut() {
    check(b"data: a\n\ndata: b\n\n", &[("", Some("a")), ("", Some("b"))]);
    check(
        b"data: a\r\n\r\ndata: b\r\n\r\n",
        &[("", Some("a")), ("", Some("b"))],
    );
    check(b"data: a\r\rdata: b\r\r", &[("", Some("a")), ("", Some("b"))]);
    check(b"data: a\n\r\ndata: b\r\n\n", &[("", Some("a")), ("", Some("b"))]);
    check(b"\xEF\xBB\xBFdata: a\n\n", &[("", Some("a"))]);
    check(b": OPENROUTER PROCESSING\n\ndata: a\n\n", &[("", Some("a"))]);
    check(b": ping\ndata: a\n: pong\n\n", &[("", Some("a"))]);
    check(
        b"event: x\nid: 7\nretry: 10\ndata: a\ndata:b\ndata\ndata:  c\n\n",
        &[("x", Some("a\nb\n\n c"))],
    );
    check(b"data\n\n", &[("", Some(""))]);
    check(b"\n\n\r\n\r\rdata: a\n\n\n\n", &[("", Some("a"))]);
    check(
        b"data: a\n\ndata: unfinished",
        &[("", Some("a")), ("", Some("unfinished"))],
    );
    check(b"event: x\n\ndatax: b\n\n", &[("x", None)]);
    check(b"", &[]);
}

#[test]
fn an_overlong_event_comes_in_parts_and_the_next_one_whole() {
    let long = format!(
        "event: x\ndata: {}\n\ndata: next\n\n",
        "y".repeat(DOCUMENT_BYTES_MAX)
    );
    for step in [long.len(), 65_536, 1000] {
        let (mut parts, mut ends, mut whole) = (0, 0, Vec::new());
        let mut scanner = Scanner::default();
        for piece in long.as_bytes().chunks(step) {
            scanner.feed(piece, |piece| match piece {
                Piece::Whole(raw) => whole.push(text(raw)),
                Piece::Long(part) => parts += part.len(),
                Piece::LongEnd => ends += 1,
            });
        }
        assert_eq!((parts, ends), (DOCUMENT_BYTES_MAX + 16, 1));
        assert_eq!(whole, ["data: next\n"]);
    }
}

const CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}";
const EXTRA: &str = "data: {\"choices\": [], \"usage\": {\"prompt_tokens\":1,\"completion_tokens\":2}}";
const AZURE: &str = "data: {\"choices\":[],\"model\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}";
const AZURE_NULL: &str = "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}";
const DONE: &str = "data: [DONE]";

fn filter(body: &[u8], cuts: &[usize]) -> (String, u32) {
    let mut out = Vec::new();
    let mut filter = UsageChunkFilter::new();
    let mut from = 0;
    for &cut in cuts {
        filter.feed(&body[from..cut], &mut out);
        from = cut;
    }
    filter.feed(&body[from..], &mut out);
    filter.finish(&mut out);
    (text(&out), filter.dropped())
}

#[test]
fn only_the_extra_chunk_is_withheld_at_every_cut() {
    for end in ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n"] {
        let body = [AZURE, AZURE_NULL, CHUNK, FINISH, EXTRA, DONE]
            .map(|event| format!("{event}{end}"))
            .concat();
        let want = [AZURE, AZURE_NULL, CHUNK, FINISH, DONE]
            .map(|event| format!("{event}{end}"))
            .concat();
        for cut in 0..=body.len() {
            assert_eq!(
                filter(body.as_bytes(), &[cut]),
                (want.clone(), 1),
                "{end:?} cut at {cut}"
            );
        }
        let every: Vec<usize> = (0..body.len()).collect();
        assert_eq!(filter(body.as_bytes(), &every), (want, 1), "{end:?}");
    }
    // What is not such a stream passes untouched.
    for body in [
        "{\"choices\":[],\"usage\":{}}",
        "",
        "\n\n",
        ": comment\n\n",
        "data: {\"usage\":{}}\n\n",
        "data: {\"choices\":[],\"usage\":{\n\n",
    ] {
        assert_eq!(filter(body.as_bytes(), &[body.len() / 2]), (body.to_owned(), 0));
    }
}

#[test]
fn a_long_event_passes_without_being_held() {
    let body = format!("data: {}\n\n{EXTRA}\n\n", "x".repeat(HELD_BYTES_MAX * 3));
    let mut out = Vec::new();
    let mut filter = UsageChunkFilter::new();
    let mut fed = 0;
    for piece in body.as_bytes().chunks(1000) {
        filter.feed(piece, &mut out);
        fed += piece.len();
        assert!(fed - out.len() <= HELD_BYTES_MAX + 1000);
    }
    filter.finish(&mut out);
    assert_eq!(
        text(&out),
        format!("data: {}\n\n", "x".repeat(HELD_BYTES_MAX * 3))
    );
}

#[test]
fn fuzz_entry_points_run() {
    let body = format!("{CHUNK}\r\n\r\n{EXTRA}\n\nerror: {{}}\r\rdata: [DONE]\n\n");
    for seed in 0..=255_u8 {
        let mut data = vec![seed];
        data.extend_from_slice(body.as_bytes());
        fuzz::fuzz_sse(&data);
    }
    fuzz::fuzz_sse(b"");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn scanner_reads_like_the_naive_one(parts in proptest::collection::vec(
        prop_oneof![
            Just("data: a"), Just("data:"), Just("data"), Just("event: x"), Just(":c"), Just("\n"), Just("\r"), Just("\r\n"),
            Just("\n\n"), Just("error: e"), Just("é"), Just(" "), Just(":"),
        ], 0..40), cuts in proptest::collection::vec(0_usize..200, 0..6)) {
        let body = parts.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&body[from..cut]);
            from = cut;
        }
        pieces.push(&body[from..]);
        prop_assert_eq!(scan(pieces), naive(&body));
    }

    #[test]
    fn any_bytes_in_any_cuts(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz::fuzz_sse(&data);
        fuzz::fuzz_eventstream(&data);
        fuzz::fuzz_meter(&data);
    }
}
