//! A rendered answer: head fields, body bytes, and where each event ends, shared by all equal requests.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::settings::{Compress, Framing, Settings};

/// Stands in a shared rendering where each answer's own id goes; as long as an id.
pub(super) const ID_PLACEHOLDER: &str = "mockmockmockmockmockmock";

/// What a kind module makes: status, head fields, body.
pub(super) struct Draft {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: DraftBody,
    /// Tokens stated in the answer, for the ledger.
    pub(super) input: u64,
    pub(super) output: u64,
}

/// A body before compression and framing.
pub(super) enum DraftBody {
    Whole(Vec<u8>),
    /// Events, each with its own delimiter, and the event that tells of a failure in the middle.
    Events {
        events: Vec<Vec<u8>>,
        error: Vec<u8>,
    },
}

impl Draft {
    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self::whole("application/json", value.to_string().into_bytes())
    }

    pub(super) fn whole(content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type,
            fields: Vec::new(),
            body: DraftBody::Whole(body),
            input: 0,
            output: 0,
        }
    }

    pub(super) fn events(content_type: &'static str, events: Vec<Vec<u8>>, error: Vec<u8>) -> Self {
        let body = DraftBody::Events { events, error };
        Self {
            status: 200,
            content_type,
            fields: Vec::new(),
            body,
            input: 0,
            output: 0,
        }
    }

    pub(super) fn counted(mut self, input: u64, output: u64) -> Self {
        (self.input, self.output) = (input, output);
        self
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// An answer ready to be sent.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Header lines that do not depend on the connection, each with CRLF.
    pub(super) fields: String,
    /// The body as framed.
    pub(super) bytes: Vec<u8>,
    /// Where each event lies in `bytes`.
    pub(super) frames: Vec<Frame>,
    /// Ends of framed events; the last one includes the end of the body.
    id_spots: Vec<usize>,
    pub(super) framing: Framing,
    pub(super) stream: bool,
    pub(super) model: String,
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) settings: Settings,
}

/// One event in a framed body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The event's own bytes.
    pub(super) payload: (usize, usize),
    /// Where its frame ends.
    pub(super) end: usize,
}

impl Answer {
    /// Frames a draft.
    pub(super) fn new(draft: Draft, settings: &Settings, model: &str, chunks_allowed: bool) -> Self {
        let stream = matches!(draft.body, DraftBody::Events { .. });
        let mut events = match draft.body {
            DraftBody::Whole(body) => vec![body],
            DraftBody::Events { mut events, error } => {
                if let Some(super::settings::Fault::Error(Some(n))) = settings.fault {
                    events.truncate(n as usize);
                    events.push(error);
                }
                events
            }
        };
        let mut fields = format!("content-type: {}\r\n", draft.content_type);
        match settings.compress {
            Some(Compress::Gzip) => {
                events = gzip(&events);
                fields.push_str("content-encoding: gzip\r\n");
            }
            Some(Compress::Deflate) => {
                events = deflate(&events);
                fields.push_str("content-encoding: deflate\r\n");
            }
            Some(Compress::None) | None => {}
        }
        for (name, value) in &draft.fields {
            let _infallible = write!(fields, "{name}: {value}\r\n");
        }
        if settings.verify {
            let _infallible = write!(fields, "x-mock-body-events: {}\r\n", events.len());
        }
        let length = events.iter().map(Vec::len).sum::<usize>();
        let framing = match settings.framing {
            Some(Framing::Chunked) | None if stream && !chunks_allowed => Framing::Close,
            Some(Framing::Chunked) if !chunks_allowed => Framing::Length,
            Some(framing) => framing,
            None if stream => Framing::Chunked,
            None => Framing::Length,
        };
        if framing == Framing::Length {
            let _infallible = write!(fields, "content-length: {length}\r\n");
        }
        let (bytes, frames) = frame(&events, framing);
        let id_spots = memchr::memmem::find_iter(&bytes, ID_PLACEHOLDER.as_bytes()).collect();
        Self {
            status: draft.status,
            fields,
            bytes,
            frames,
            id_spots,
            framing,
            stream,
            model: model.to_owned(),
            input: draft.input,
            output: draft.output,
            settings: settings.clone(),
        }
    }

    /// The body with `id` in place of the placeholder.
    pub(super) fn body_with_id(&self, id: &str) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for &at in &self.id_spots {
            if let Some(spot) = bytes.get_mut(at..at + ID_PLACEHOLDER.len())
                && spot.len() == id.len()
            {
                spot.copy_from_slice(id.as_bytes());
            }
        }
        bytes
    }

    /// CRC-32C of the body before framing.
    pub(super) fn crc(&self, body: &[u8]) -> u32 {
        self.frames.iter().fold(0, |crc, frame| {
            let payload = body.get(frame.payload.0..frame.payload.1).unwrap_or_default();
            crc32c::crc32c_append(crc, payload)
        })
    }

    pub(super) fn bytes_kept(&self) -> usize {
        self.bytes.len()
    }
}

/// Frames each event and notes where it lies. An empty event has no frame of its own: a chunk of length 0 would end
/// the body.
fn frame(events: &[Vec<u8>], framing: Framing) -> (Vec<u8>, Vec<Frame>) {
    let chunked = framing == Framing::Chunked;
    let mut bytes = Vec::with_capacity(events.iter().map(|event| event.len() + 16).sum::<usize>() + 8);
    let mut frames: Vec<Frame> = Vec::with_capacity(events.len());
    for event in events.iter().filter(|event| !event.is_empty()) {
        if chunked {
            let _infallible = write!(bytes, "{:x}\r\n", event.len());
        }
        let start = bytes.len();
        bytes.extend_from_slice(event);
        let payload = (start, bytes.len());
        if chunked {
            bytes.extend_from_slice(b"\r\n");
        }
        frames.push(Frame {
            payload,
            end: bytes.len(),
        });
    }
    if chunked {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    (bytes, frames)
}

fn gzip(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out = pieces(events, |event| {
        let _in_memory = encoder.write_all(event).and_then(|()| encoder.flush());
        std::mem::take(encoder.get_mut())
    });
    out.push(encoder.finish().unwrap_or_default());
    out
}

fn deflate(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut out = pieces(events, |event| {
        let _in_memory = encoder.write_all(event).and_then(|()| encoder.flush());
        std::mem::take(encoder.get_mut())
    });
    out.push(encoder.finish().unwrap_or_default());
    out
}

fn pieces(events: &[Vec<u8>], mut encode: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    events.iter().map(|event| encode(event)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn draft() -> Draft {
        let events = vec![
            b"data: a mockmockmockmockmockmock\n\n".to_vec(),
            b"data: b\n\n".to_vec(),
        ];
        Draft::events("text/event-stream", events, b"error\n\n".to_vec())
    }

    #[test]
    fn a_chunk_an_event_and_an_id_each() {
        let answer = Answer::new(draft(), &Settings::default(), "m", true);
        let body = answer.body_with_id("0123456789abcdef01234567");
        assert_eq!(
            body,
            b"22\r\ndata: a 0123456789abcdef01234567\n\n\r\n9\r\ndata: b\n\n\r\n0\r\n\r\n"
        );
        assert_eq!(answer.frames.len(), 2);
        assert_eq!(
            answer.crc(&body),
            crc32c::crc32c(b"data: a 0123456789abcdef01234567\n\ndata: b\n\n")
        );
    }

    #[test]
    fn an_error_event_ends_the_stream() {
        let settings = Settings {
            fault: Some("error:1".parse().unwrap()),
            ..Settings::default()
        };
        let answer = Answer::new(draft(), &settings, "m", false);
        assert_eq!(answer.framing, Framing::Close);
        assert_eq!(
            answer.body_with_id(""),
            b"data: a mockmockmockmockmockmock\n\nerror\n\n"
        );
    }

    #[test]
    fn compressed_events_come_out_one_by_one() {
        let settings = Settings {
            compress: Some(Compress::Gzip),
            framing: Some(Framing::Close),
            ..Settings::default()
        };
        let answer = Answer::new(draft(), &settings, "m", true);
        assert!(answer.frames.len() >= 3, "two events and the trailer");
        let first = &answer.bytes[..answer.frames[0].end];
        let mut text = vec![0; 34];
        flate2::read::GzDecoder::new(first).read_exact(&mut text).unwrap();
        assert_eq!(text, b"data: a mockmockmockmockmockmock\n\n");
        let mut all = String::new();
        flate2::read::GzDecoder::new(&answer.bytes[..])
            .read_to_string(&mut all)
            .unwrap();
        assert!(all.ends_with("data: b\n\n"));
    }
}
