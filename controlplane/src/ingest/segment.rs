//! One journal segment, read from a place on.

use std::fs::File;
use std::io;

use sluice_shared::wire::journal::{Entry, PAYLOAD_BYTES_MAX, SegmentHeader, Slot, decode, record_bytes};

use crate::segments::{self, Seen};
pub(super) use crate::segments::{Header, Stop, is_begun, read_full};

/// Most bytes that are read at once; a whole record fits.
pub(super) const BUFFER_BYTES: usize = 128 << 10;
const _: () = assert!(
    BUFFER_BYTES > record_bytes(PAYLOAD_BYTES_MAX),
    "a whole record fits"
);

/// Bytes that are read first.
const FIRST_BYTES: usize = 4 << 10;

/// Looks at the header of a segment.
pub(super) fn check(file: &File, expected: SegmentHeader) -> io::Result<Header> {
    segments::check(file, |bytes| SegmentHeader::decode(bytes) == Some(expected))
}

/// Reads entries from `offset` on, which moves behind each that `take` was given. `take` says whether it wants more.
pub(super) fn read(
    file: &File,
    offset: &mut u64,
    buffer: &mut [u8],
    mut take: impl FnMut(Entry) -> bool,
) -> io::Result<Stop> {
    segments::read(file, offset, buffer, FIRST_BYTES, |_, rest| match decode(rest) {
        Slot::Entry(entry, bytes) => Seen::Taken(bytes, take(*entry)),
        Slot::Empty => Seen::Empty,
        Slot::End => Seen::End,
        Slot::Need(_) => Seen::Need,
        Slot::Damaged => Seen::Damaged,
    })
}
