//! AWS event streams: cuts at every byte, checksums, bounds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_proto::eventstream::{EventStream, Found, MESSAGE_BYTES_MAX, looks_like, write};
use sluice_proto::meter::fuzz;

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
    let mut seen = Vec::new();
    let mut stream = EventStream::default();
    for piece in pieces {
        stream.feed(piece, |found| {
            seen.push(match found {
                Found::Message(message) => format!(
                    "{} {} {} {}",
                    String::from_utf8_lossy(message.message_type),
                    String::from_utf8_lossy(message.event_type),
                    String::from_utf8_lossy(message.error_type),
                    String::from_utf8_lossy(message.payload)
                ),
                Found::TooLong => "too long".to_owned(),
                Found::Damaged => "damaged".to_owned(),
            });
        });
    }
    let at_boundary = stream.at_boundary();
    (seen, at_boundary)
}

fn three() -> Vec<u8> {
    let mut body = write(
        &[(":message-type", "event"), (":event-type", "messageStart")],
        b"{}",
    );
    body.extend(write(
        &[
            (":message-type", "exception"),
            (":exception-type", "throttlingException"),
        ],
        b"{\"message\":\"slow\"}",
    ));
    body.extend(write(&[], b""));
    body
}

#[test]
fn messages_at_every_cut() {
    let body = three();
    assert!(looks_like(&body) && !looks_like(b"data: {\"a\":1}"));
    let want = vec![
        "event messageStart  {}".to_owned(),
        "exception  throttlingException {\"message\":\"slow\"}".to_owned(),
        "   ".to_owned(),
    ];
    for cut in 0..=body.len() {
        let (head, tail) = body.split_at(cut);
        assert_eq!(read([head, tail]), (want.clone(), true), "cut at {cut}");
    }
    assert_eq!(read(body.chunks(1)), (want, true));
    let first = write(
        &[(":message-type", "event"), (":event-type", "messageStart")],
        b"{}",
    )
    .len();
    let ends = [first, body.len() - 16];
    for len in 1..body.len() {
        let (seen, at_boundary) = read([&body[..len]]);
        assert!(!seen.iter().any(|message| message == "damaged"));
        assert_eq!(at_boundary, ends.contains(&len), "{len} bytes");
    }
}

#[test]
fn a_flipped_bit_is_damage_and_nothing_after_it_is_read() {
    let body = three();
    for at in 0..body.len() {
        for bit in 0..8 {
            let mut broken = body.clone();
            broken[at] ^= 1 << bit;
            let (seen, _) = read([broken.as_slice()]);
            let damaged = seen.iter().filter(|message| *message == "damaged").count();
            assert_eq!(
                (damaged, seen.last().map(String::as_str)),
                (1, Some("damaged")),
                "byte {at} bit {bit}"
            );
        }
    }
}

#[test]
fn a_long_message_is_passed_over() {
    let mut body = write(&[(":event-type", "big")], &vec![b'x'; MESSAGE_BYTES_MAX]);
    body.extend(write(
        &[(":message-type", "event"), (":event-type", "next")],
        b"{}",
    ));
    for step in [body.len(), 100_000, 7] {
        assert_eq!(
            read(body.chunks(step)),
            (vec!["too long".to_owned(), "event next  {}".to_owned()], true)
        );
    }
}

#[test]
fn headers_of_every_type_are_stepped_over() {
    // bool, byte, short, int, long, bytes, timestamp, uuid before the one that is wanted
    let mut head = Vec::new();
    for (kind, len) in [(0_u8, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
        head.extend_from_slice(&[1, b'h', kind]);
        head.extend_from_slice(&vec![0; len]);
    }
    head.extend_from_slice(&[1, b'h', 6, 0, 3, 1, 2, 3]);
    head.extend_from_slice(&[11]);
    head.extend_from_slice(b":event-type\x07\x00\x01e");
    let sealed = |head: &[u8]| {
        let sum = |bytes: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            crc.sum().to_be_bytes()
        };
        let mut out = Vec::new();
        out.extend_from_slice(&u32::try_from(16 + head.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&sum(&out));
        out.extend_from_slice(head);
        out.extend_from_slice(&sum(&out));
        out
    };
    assert_eq!(read([sealed(&head).as_slice()]).0, [" e  "]);
    // A header that runs over its end, and an unknown type.
    assert_eq!(read([sealed(&[200, b'x']).as_slice()]).0, ["damaged"]);
    assert_eq!(read([sealed(&[1, b'x', 77]).as_slice()]).0, ["damaged"]);
}

#[test]
fn fuzz_entry_point_runs() {
    for seed in 0..=255_u8 {
        let mut data = vec![seed];
        data.extend_from_slice(&three());
        fuzz::fuzz_eventstream(&data);
    }
}
