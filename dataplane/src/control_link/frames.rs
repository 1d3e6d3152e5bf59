//! Frames out of a stream of bytes, and frames that wait to be sent.

use std::collections::VecDeque;

use sluice_shared::wire::control::{FrameError, HEADER_BYTES, Header, ToData};
use zeroize::Zeroizing;

/// Bytes of frames that are not complete yet. Never holds more than one frame and one read.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes at the front that are done with.
    done: usize,
}

impl FrameReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<ToData>, FrameError> {
        let rest = self.buffer.get(self.done..).unwrap_or_default();
        let Some((head, rest)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::parse(head)?;
        let Some(payload) = rest.get(..header.payload_bytes) else {
            return Ok(None);
        };
        let frame = header.to_data(payload)?;
        self.done += HEADER_BYTES + header.payload_bytes;
        Ok(Some(frame))
    }
}

/// Frames that wait to be sent, in order. Some hold credentials, so each has memory of its own that is overwritten as
/// soon as it has been sent, and never moved by the growth of a common buffer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: VecDeque<Zeroizing<Vec<u8>>>,
    /// Bytes of the first that are sent.
    done: usize,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.frames.push_back(Zeroizing::new(frame));
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What to send next; never empty.
    pub(super) fn front(&self) -> Option<&[u8]> {
        self.frames
            .front()?
            .get(self.done..)
            .filter(|rest| !rest.is_empty())
    }

    /// So many bytes of [`Self::front`] are sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.done = self.done.saturating_add(bytes);
        if self.frames.front().is_some_and(|frame| self.done >= frame.len()) {
            self.frames.pop_front();
            self.done = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::wire::control::{IdentityAnswer, Whom};

    use super::*;

    fn frames() -> Vec<ToData> {
        vec![
            ToData::Forget {
                whom: Whom::Everyone,
                cut: true,
            },
            ToData::Identity {
                ticket: 7,
                answer: IdentityAnswer::Unknown { age_ms_max: 1 },
            },
            ToData::Forget {
                whom: Whom::Address([9; 16]),
                cut: true,
            },
        ]
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let bytes: Vec<u8> = frames().iter().flat_map(|f| f.encode().unwrap()).collect();
        for split in 0..=bytes.len() {
            let mut reader = FrameReader::default();
            let mut seen = Vec::new();
            for piece in [&bytes[..split], &bytes[split..]] {
                reader.push(piece);
                while let Some(frame) = reader.next().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames(), "split at {split}");
        }
    }

    #[test]
    fn a_bad_frame_is_an_error_as_soon_as_its_header_stands() {
        let mut reader = FrameReader::default();
        reader.push(&[0xff; HEADER_BYTES - 1]);
        assert_eq!(reader.next(), Ok(None));
        reader.push(&[0xff]);
        assert_eq!(reader.next(), Err(FrameError::Magic));
    }

    #[test]
    fn outgoing_frames_leave_in_order_in_pieces_of_any_size() {
        for piece in 1..12 {
            let mut outgoing = Outgoing::default();
            for frame in [&b"first"[..], b"second", b"3"] {
                outgoing.push(frame.to_vec());
            }
            let mut seen = Vec::new();
            while let Some(front) = outgoing.front() {
                let sent = front.len().min(piece);
                seen.extend_from_slice(&front[..sent]);
                outgoing.sent(sent);
                assert_eq!(outgoing.bytes(), 12 - seen.len());
            }
            assert_eq!(seen, b"firstsecond3");
        }
    }
}
