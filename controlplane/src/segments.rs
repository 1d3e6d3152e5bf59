//! Reading a segment that a data plane writes, of records or of captures, from a place on. What stands in it is the caller's to
//! decode.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sluice_shared::wire::journal::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES};

/// Whether a segment can be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It is what its name says.
    Good,
    /// Not written yet.
    Missing,
    /// Something else stands there.
    Damaged,
}

/// Looks at the header of a segment; `expected` says whether it is the right one.
pub(crate) fn check(
    file: &File,
    expected: impl FnOnce(&[u8; SEGMENT_HEADER_BYTES]) -> bool,
) -> io::Result<Header> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = read_full(file, &mut bytes, 0)?;
    if expected(&bytes) {
        return Ok(Header::Good);
    }
    let blank = bytes.iter().take(read).all(|byte| *byte == 0);
    Ok(if blank { Header::Missing } else { Header::Damaged })
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Something of this length, padding included, which was taken; and whether more is wanted.
    Taken(usize, bool),
    /// Nothing yet.
    Empty,
    /// The row goes on in the next segment.
    End,
    /// More bytes are needed.
    Need,
    /// A length was published whose bytes do not hold.
    Damaged,
}

/// Where reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing more is published here, yet.
    Empty,
    /// The row goes on in the next segment.
    End,
    /// The file is at its end, between records.
    EndOfFile,
    /// A length was published whose bytes do not hold.
    Damaged,
    /// The receiver wanted no more.
    Enough,
}

/// Reads from `offset` on, which moves behind each record that `look` takes; `look` is given the place and what stands from there on.
/// `first_bytes` are read first, then four times as many each time, up to the buffer: what lies behind the last record is read in
/// vain.
pub(crate) fn read(
    file: &File,
    offset: &mut u64,
    buffer: &mut [u8],
    first_bytes: usize,
    mut look: impl FnMut(u64, &[u8]) -> Seen,
) -> io::Result<Stop> {
    // A writer on another core publishes while we copy; only what two further looks confirm is damage.
    let mut doubts = 0;
    let mut window = first_bytes.min(buffer.len());
    loop {
        let wanted = buffer.get_mut(..window).unwrap_or_default();
        let filled = read_full(file, wanted, *offset)?;
        let at_end = filled < wanted.len();
        window = (window * 4).min(buffer.len());
        let mut rest = buffer.get(..filled).unwrap_or_default();
        loop {
            match look(*offset, rest) {
                Seen::Taken(bytes, more) => {
                    doubts = 0;
                    rest = rest.get(bytes..).unwrap_or_default();
                    *offset = offset.saturating_add(bytes as u64);
                    if !more {
                        return Ok(Stop::Enough);
                    }
                }
                Seen::Empty => return Ok(Stop::Empty),
                Seen::End => return Ok(Stop::End),
                Seen::Need if !at_end => break,
                // The file ends here: between records, or within one that cannot be whole.
                Seen::Need if rest.len() < RECORD_HEADER_BYTES => return Ok(Stop::EndOfFile),
                Seen::Need | Seen::Damaged if doubts < 2 => {
                    doubts += 1;
                    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
                    break;
                }
                Seen::Need | Seen::Damaged => return Ok(Stop::Damaged),
            }
        }
    }
}

/// Whether anything was published in a segment.
pub(crate) fn is_begun(path: &Path) -> io::Result<bool> {
    let mut bytes = [0; 4];
    let read = read_full(&File::open(path)?, &mut bytes, SEGMENT_HEADER_BYTES as u64)?;
    Ok(read == bytes.len() && bytes != [0; 4])
}

/// Fills the buffer as far as the file goes.
pub(crate) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
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
