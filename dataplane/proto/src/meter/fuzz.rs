//! Entry points for fuzzing: any bytes, in cuts that the bytes themselves choose. Nothing may panic, and cuts must
//! not change what is read.

use sluice_shared::api::ApiKind;

use super::{BedrockCounts, Counts, Meter, Outcome, ResponseFacts};
use crate::eventstream::{EventStream, Found};
use crate::ndjson::Piece;
use crate::sse::{Scanner, UsageChunkFilter, fields};

/// Cuts `body` at places that `seed` chooses.
fn cuts(body: &[u8], seed: u8, mut take: impl FnMut(&[u8])) {
    let mut rest = body;
    let mut step = usize::from(seed);
    while !rest.is_empty() {
        step = step.wrapping_mul(5).wrapping_add(3) % 61;
        let (piece, after) = rest.split_at(step.clamp(1, rest.len()));
        take(piece);
        rest = after;
    }
}

/// The SSE scanner and the usage chunk filter. The first byte chooses the cuts.
pub fn fuzz_sse(data: &[u8]) {
    let Some((&seed, body)) = data.split_first() else {
        return;
    };
    let read = |seed: Option<u8>| {
        let mut events: Vec<Vec<u8>> = Vec::new();
        let mut scanner = Scanner::default();
        let mut sink = |piece: Piece<'_>| {
            if let Piece::Whole(raw) = piece {
                let mut joined = Vec::new();
                let found = fields(raw, &mut joined);
                events.push(found.data.unwrap_or_default().to_vec());
            }
        };
        match seed {
            Some(seed) => cuts(body, seed, |piece| scanner.feed(piece, &mut sink)),
            None => scanner.feed(body, &mut sink),
        }
        scanner.finish(&mut sink);
        events
    };
    assert_eq!(read(None), read(Some(seed)));
    let filter = |seed: Option<u8>| {
        let mut out = Vec::new();
        let mut filter = UsageChunkFilter::new();
        match seed {
            Some(seed) => cuts(body, seed, |piece| filter.feed(piece, &mut out)),
            None => filter.feed(body, &mut out),
        }
        filter.finish(&mut out);
        (out, filter.dropped())
    };
    let (whole, dropped) = filter(None);
    assert_eq!((whole.clone(), dropped), filter(Some(seed)));
    assert!(dropped > 0 || whole == body);
}

/// The AWS event stream reader. The first byte chooses the cuts.
pub fn fuzz_eventstream(data: &[u8]) {
    let Some((&seed, body)) = data.split_first() else {
        return;
    };
    let read = |seed: Option<u8>| {
        let mut seen = Vec::new();
        let mut stream = EventStream::default();
        let mut sink = |found: Found<'_>| match found {
            Found::Message(message) => seen.push(message.payload.to_vec()),
            Found::TooLong => seen.push(b"too long".to_vec()),
            Found::Damaged => seen.push(b"damaged".to_vec()),
        };
        match seed {
            Some(seed) => cuts(body, seed, |piece| stream.feed(piece, &mut sink)),
            None => stream.feed(body, &mut sink),
        }
        seen
    };
    assert_eq!(read(None), read(Some(seed)));
}

/// Whole meters of every kind, also with compressed bodies. The first three bytes choose kind, cuts and encoding.
pub fn fuzz_meter(data: &[u8]) {
    let Some((&[kind, seed, encoding], body)) = data.split_first_chunk::<3>() else {
        return;
    };
    let kinds = ApiKind::ALL;
    let Some(&kind) = kinds.get(usize::from(kind) % kinds.len()) else {
        return;
    };
    let facts = ResponseFacts {
        status: if seed == 255 { 400 } else { 200 },
        content_type: [None, Some("text/event-stream"), Some("application/json")][usize::from(seed) % 3],
        content_encoding: [
            None,
            None,
            None,
            Some("gzip"),
            Some("deflate"),
            Some("br"),
            Some("zstd"),
        ][usize::from(encoding) % 7],
        bedrock: BedrockCounts::default(),
        streaming_expected: false,
    };
    let read = |seed: Option<u8>| -> (Counts, Outcome) {
        let mut meter = Meter::new(kind, facts);
        match seed {
            Some(seed) => cuts(body, seed, |piece| meter.feed(piece)),
            None => meter.feed(body),
        }
        (
            meter.so_far(),
            meter.finish(seed.is_some_and(|seed| seed % 2 == 1)),
        )
    };
    let _ = read(Some(seed | 1));
    if facts.content_encoding.is_none() {
        assert_eq!(read(None), read(Some(seed & !1)));
    } else {
        let _ = read(None);
    }
}
