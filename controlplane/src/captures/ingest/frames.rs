//! Reading a data plane's segment of captures from a place on.

use std::fs::File;
use std::io;

use sluice_shared::wire::capture::{Frame, PAYLOAD_BYTES_MAX, SegmentHeader, Slot, decode};
use sluice_shared::wire::journal::record_bytes;

use crate::segments::{self, Seen};
pub(super) use crate::segments::{Header, Stop, is_begun, read_full};

/// Most bytes that are read at once; a whole frame fits.
pub(super) const BUFFER_BYTES: usize = 1 << 20;
const _: () = assert!(
    BUFFER_BYTES > record_bytes(PAYLOAD_BYTES_MAX),
    "a whole frame fits"
);

/// Bytes that are read first.
const FIRST_BYTES: usize = 16 << 10;

/// Looks at the header of a segment.
pub(super) fn check(file: &File, expected: SegmentHeader) -> io::Result<Header> {
    segments::check(file, |bytes| SegmentHeader::decode(bytes) == Some(expected))
}

/// Reads frames from `offset` on, which moves behind each that `take` was given with its place and length. `take` says whether
/// it wants more.
pub(super) fn read(
    file: &File,
    offset: &mut u64,
    buffer: &mut [u8],
    mut take: impl FnMut(u64, usize, &Frame<'_>) -> bool,
) -> io::Result<Stop> {
    segments::read(file, offset, buffer, FIRST_BYTES, |at, rest| match decode(rest) {
        Slot::Frame(frame, bytes) => Seen::Taken(bytes, take(at, bytes, &frame)),
        Slot::Empty => Seen::Empty,
        Slot::End => Seen::End,
        Slot::Need(_) => Seen::Need,
        Slot::Damaged => Seen::Damaged,
    })
}
