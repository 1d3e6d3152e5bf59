//! The SSE scanner: whole events found in a stream, against a naive reader by lines.

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_benches::{Case, compare, criterion, inputs};
use sluice_proto::ndjson::Piece;
use sluice_proto::sse::{Scanner, UsageChunkFilter};

/// What a socket hands over at a time.
const READ_BYTES: usize = 4 << 10;

fn events(criterion: &mut Criterion) {
    let cases = [
        Case {
            name: "chat, 200 events",
            expected: 203,
            input: inputs::chat_stream(200),
        },
        Case {
            name: "messages, 200 events",
            expected: 205,
            input: inputs::messages_stream(200),
        },
    ];
    compare(
        criterion,
        "SSE events",
        &cases,
        &[
            ("ours", ours),
            ("ours, 4 KiB reads", in_reads),
            ("by lines", naive),
        ],
    );
}

fn ours(bytes: &[u8]) -> usize {
    count(std::iter::once(bytes))
}

fn in_reads(bytes: &[u8]) -> usize {
    count(bytes.chunks(READ_BYTES))
}

fn count<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut scanner = Scanner::default();
    let mut events = 0;
    let mut sink = |piece: Piece<'_>| events += usize::from(matches!(piece, Piece::Whole(_)));
    for piece in pieces {
        scanner.feed(piece, &mut sink);
    }
    scanner.finish(&mut sink);
    events
}

/// One string a line, one vector an event.
fn naive(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let mut event: Vec<String> = Vec::new();
    let mut events = 0;
    for line in text.lines() {
        if line.is_empty() {
            events += usize::from(!event.is_empty());
            event.clear();
        } else {
            event.push(line.to_owned());
        }
    }
    events + usize::from(!event.is_empty())
}

fn filter(criterion: &mut Criterion) {
    let input = inputs::chat_stream(200);
    let usage_event = input.len()
        - input
            .windows(12)
            .rposition(|w| w == b"\"choices\":[]")
            .map_or(0, |at| {
                input[..at]
                    .windows(2)
                    .rposition(|w| w == b"\n\n")
                    .map_or(0, |end| end + 2)
            })
        - b"data: [DONE]\n\n".len();
    let expected = input.len() - usage_event;
    let cases = [Case {
        name: "200 events",
        expected,
        input,
    }];
    compare(
        criterion,
        "usage chunk withheld",
        &cases,
        &[("ours, 4 KiB reads", filtered)],
    );
}

fn filtered(bytes: &[u8]) -> usize {
    let mut filter = UsageChunkFilter::new();
    let mut out = Vec::with_capacity(READ_BYTES * 2);
    let mut total = 0;
    for piece in bytes.chunks(READ_BYTES) {
        filter.feed(piece, &mut out);
        total += out.len();
        out.clear();
    }
    filter.finish(&mut out);
    total + out.len()
}

criterion_group! { name = benches; config = criterion(); targets = events, filter }
criterion_main!(benches);
