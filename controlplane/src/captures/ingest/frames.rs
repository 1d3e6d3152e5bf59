//! Reading a data plane's segment of captures from a place on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sluice_shared::wire::capture::{Frame, PAYLOAD_BYTES_MAX, SegmentHeader, Slot, decode};
use sluice_shared::wire::journal::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, record_bytes};

/// Most bytes that are read at once; a whole frame fits.
pub(super) const BUFFER_BYTES: usize = 1 << 20;
const _: () = assert!(
    BUFFER_BYTES > record_bytes(PAYLOAD_BYTES_MAX),
    "a whole frame fits"
);

/// Bytes that are read first, then four times as many each time: what lies behind the last frame is read in vain.
const FIRST_BYTES: usize = 16 << 10;

/// Whether a segment can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Good,
    /// Not written yet.
    Missing,
    /// Something else stands there.
    Damaged,
}

/// Looks at the header of a segment.
pub(super) fn check(file: &File, expected: SegmentHeader) -> io::Result<Header> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = read_full(file, &mut bytes, 0)?;
    if SegmentHeader::decode(&bytes) == Some(expected) {
        return Ok(Header::Good);
    }
    let blank = bytes.iter().take(read).all(|byte| *byte == 0);
    Ok(if blank { Header::Missing } else { Header::Damaged })
}

/// Where reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing more is published here, yet.
    Empty,
    /// The row goes on in the next segment.
    End,
    /// The file is at its end, between frames.
    EndOfFile,
    /// A length was published whose bytes do not hold.
    Damaged,
    /// The receiver wanted no more.
    Enough,
}

/// Reads frames from `offset` on, which moves behind each that `take` was given with its place and length. `take` says whether
/// it wants more.
pub(super) fn read(
    file: &File,
    offset: &mut u64,
    buffer: &mut [u8],
    mut take: impl FnMut(u64, usize, &Frame<'_>) -> bool,
) -> io::Result<Stop> {
    // A writer on another core publishes while we copy; only what two further looks confirm is damage.
    let mut doubts = 0;
    let mut window = FIRST_BYTES.min(buffer.len());
    loop {
        let wanted = buffer.get_mut(..window).unwrap_or_default();
        let filled = read_full(file, wanted, *offset)?;
        let at_end = filled < wanted.len();
        window = (window * 4).min(buffer.len());
        let mut rest = buffer.get(..filled).unwrap_or_default();
        loop {
            match decode(rest) {
                Slot::Frame(frame, bytes) => {
                    doubts = 0;
                    let at = *offset;
                    rest = rest.get(bytes..).unwrap_or_default();
                    *offset = offset.saturating_add(bytes as u64);
                    if !take(at, bytes, &frame) {
                        return Ok(Stop::Enough);
                    }
                }
                Slot::Empty => return Ok(Stop::Empty),
                Slot::End => return Ok(Stop::End),
                Slot::Need(_) if !at_end => break,
                Slot::Need(_) if rest.len() < RECORD_HEADER_BYTES => return Ok(Stop::EndOfFile),
                Slot::Need(_) | Slot::Damaged if doubts < 2 => {
                    doubts += 1;
                    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
                    break;
                }
                Slot::Need(_) | Slot::Damaged => return Ok(Stop::Damaged),
            }
        }
    }
}

/// Whether anything was published in a segment.
pub(super) fn is_begun(path: &Path) -> io::Result<bool> {
    let mut bytes = [0; 4];
    let read = read_full(&File::open(path)?, &mut bytes, SEGMENT_HEADER_BYTES as u64)?;
    Ok(read == bytes.len() && bytes != [0; 4])
}

/// Fills the buffer as far as the file goes.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
