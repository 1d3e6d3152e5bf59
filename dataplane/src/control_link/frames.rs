//! Frames out of a stream of bytes.

use sluice_shared::wire::control::{FrameError, HEADER_BYTES, Header, ToData};

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
}
