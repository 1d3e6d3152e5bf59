//! A request body: read into a bounded chain of chunks while the scanner looks at every byte once.
//!
//! What was received is what is sent: the chain is never changed, edits are spliced in on the way out. Every chunk is
//! taken from the process-wide budget of held bytes first, so memory cannot run out; a full budget is a 503.

use sluice_proto::error_body::{ErrorAnswer, ErrorCode};
use sluice_proto::http1::{BodyDecoder, Framing};
use sluice_proto::json::{BodyScan, Facts, JsonLimits, KeyTable};
use sluice_proto::multipart::{MultipartScan, boundary};
use sluice_shared::api::ApiKind;

use crate::config::Config;
use crate::downstream::Downstream;
use crate::limits;
use crate::shard::{Held, Shard};
use crate::watch::Fired;

/// A whole body.
pub(crate) struct Body {
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) bytes: u64,
    held: Held,
}

/// Why a body could not be read.
pub(crate) enum BodyFail {
    /// Answer with this; the rest of the body is unread.
    Refuse(ErrorAnswer),
    /// The client left, or was cut.
    Gone,
}

/// Who looks at the bytes.
pub(crate) enum Scan {
    Json(Box<BodyScan>),
    Multipart(Box<MultipartScan>),
    /// Nobody: the body says nothing that policy needs.
    Nobody,
}

impl Scan {
    /// The scanner for a kind of call and a content type.
    pub(crate) fn new(kind: ApiKind, content_type: Option<&[u8]>) -> Result<Self, ErrorAnswer> {
        let is_form = content_type
            .and_then(|value| value.get(..19))
            .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/form-data"));
        if is_form && matches!(kind, ApiKind::OpenAiAudio | ApiKind::OpenAiImages) {
            let boundary = boundary(content_type.unwrap_or_default())
                .map_err(|reason| ErrorAnswer::new(ErrorCode::InvalidMultipart, reason))?;
            return Ok(Self::Multipart(Box::new(MultipartScan::new(&boundary))));
        }
        if is_form {
            let message = "this endpoint takes a JSON body, not a form";
            return Err(ErrorAnswer::new(ErrorCode::UnsupportedMediaType, message));
        }
        Ok(Self::Json(Box::new(BodyScan::new(
            KeyTable::for_kind(kind),
            JsonLimits::DEFAULT,
        ))))
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), ErrorAnswer> {
        match self {
            Self::Json(scan) => scan.feed(bytes).map_err(|reject| ErrorAnswer::from_json(&reject)),
            Self::Multipart(scan) => scan
                .feed(bytes)
                .map_err(|reject| ErrorAnswer::from_multipart(&reject)),
            Self::Nobody => Ok(()),
        }
    }

    /// What the whole body said.
    pub(crate) fn finish(&mut self) -> Result<Facts, ErrorAnswer> {
        match self {
            Self::Json(scan) => scan.finish().map_err(|reject| ErrorAnswer::from_json(&reject)),
            Self::Multipart(scan) => {
                let form = scan
                    .finish()
                    .map_err(|reject| ErrorAnswer::from_multipart(&reject))?;
                Ok(Facts {
                    model: form.model,
                    stream: form.stream,
                    bytes: form.bytes,
                    ..Facts::default()
                })
            }
            Self::Nobody => Ok(Facts::default()),
        }
    }
}

/// Reads the body whose first bytes may lie in the connection's buffer; what lies behind it stays there.
pub(crate) async fn read(
    conn: &mut Downstream,
    config: &Config,
    framing: Framing,
    expect_continue: bool,
    bytes_max: u64,
    scan: &mut Scan,
) -> Result<Body, BodyFail> {
    let mut body = Body {
        chunks: Vec::new(),
        bytes: 0,
        held: Held::none(&conn.shard.process),
    };
    let mut decoder = BodyDecoder::new(framing);
    if decoder.remaining().is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    if expect_continue && conn.buf.is_empty() && !conn.write(b"HTTP/1.1 100 Continue\r\n\r\n").await {
        return Err(BodyFail::Gone);
    }
    let began_ms = Shard::now_ms();
    let limits = &config.limits;
    loop {
        if !conn.buf.is_empty() && !decoder.is_done() {
            let decoded = decoder.decode_in_place(&mut conn.buf).map_err(|error| {
                let code = if error.status() == 413 {
                    ErrorCode::BodyTooLarge
                } else {
                    ErrorCode::BadHttp
                };
                BodyFail::Refuse(ErrorAnswer::new(code, error.reason()).with_status(error.status()))
            })?;
            let piece = conn.buf.get(..decoded.body).unwrap_or_default();
            body.append(piece, decoder.remaining(), bytes_max, limits.buffer_bytes)?;
            scan.feed(piece).map_err(BodyFail::Refuse)?;
            conn.buf.drain(..decoded.consumed.min(conn.buf.len()));
        }
        if decoder.is_done() {
            conn.watch.disarm();
            return Ok(body);
        }
        let now_ms = Shard::now_ms();
        let by_rate = match limits.body_rate_bytes {
            0 => u64::MAX,
            rate => began_ms + limits::BODY_RATE_AFTER_MS + body.bytes.saturating_mul(1_000) / rate,
        };
        conn.watch.arm_read(
            conn.sock.fd(),
            now_ms.saturating_add(limits.body_idle_ms).min(by_rate),
        );
        let taken = match decoder.remaining() {
            // A declared length: the bytes go where they will stay.
            Some(left) => {
                let grown = body.receive(conn, left, limits.buffer_bytes).await?;
                let piece = body.tail(grown);
                let _ = decoder.decode(piece);
                scan.feed(piece).map_err(BodyFail::Refuse)?;
                grown
            }
            None => conn.fill().await.unwrap_or(0),
        };
        if taken == 0 {
            return Err(match conn.watch.fired() {
                Fired::Deadline => BodyFail::Refuse(ErrorAnswer::new(
                    ErrorCode::RequestTimeout,
                    "the request body came too slowly or not at all",
                )),
                Fired::Cut | Fired::No => BodyFail::Gone,
            });
        }
    }
}

impl Body {
    /// A body that did not come from the client; `held` is what it takes of the process's memory.
    pub(crate) fn of(bytes: Vec<u8>, held: Held) -> Self {
        Self {
            bytes: bytes.len() as u64,
            chunks: vec![bytes],
            held,
        }
    }

    fn append(
        &mut self,
        piece: &[u8],
        still_to_come: Option<u64>,
        bytes_max: u64,
        budget: u64,
    ) -> Result<(), BodyFail> {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let room = self
                .chunks
                .last()
                .map_or(0, |chunk| chunk.capacity() - chunk.len());
            if room == 0 {
                // A body that has come whole gets one chunk of its size.
                let wanted = match still_to_come {
                    Some(left) => usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .saturating_add(rest.len()),
                    None => limits::BODY_CHUNK_BYTES,
                };
                self.add_chunk(wanted, budget)?;
                continue;
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.extend_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }

    async fn receive(&mut self, conn: &mut Downstream, left: u64, budget: u64) -> Result<usize, BodyFail> {
        loop {
            if self
                .chunks
                .last()
                .is_none_or(|chunk| chunk.len() == chunk.capacity())
            {
                self.add_chunk(usize::try_from(left).unwrap_or(usize::MAX), budget)?;
            }
            let Some(chunk) = self.chunks.last_mut() else {
                return Ok(0);
            };
            let wanted = usize::try_from(left).unwrap_or(usize::MAX);
            match conn.sock.recv_append(chunk, wanted) {
                Ok(Some(n)) => {
                    self.bytes = self.bytes.saturating_add(n as u64);
                    return Ok(n);
                }
                Ok(None) => {
                    if conn.sock.readable().await.is_err() {
                        return Ok(0);
                    }
                }
                Err(_) => return Ok(0),
            }
        }
    }

    /// The last `n` bytes, which lie in one chunk.
    fn tail(&self, n: usize) -> &[u8] {
        let chunk = self.chunks.last().map(Vec::as_slice).unwrap_or_default();
        chunk.get(chunk.len().saturating_sub(n)..).unwrap_or_default()
    }

    fn add_chunk(&mut self, wanted: usize, budget: u64) -> Result<(), BodyFail> {
        let size = wanted.clamp(512, limits::BODY_CHUNK_BYTES);
        if !self.held.grow(size as u64, budget) {
            return Err(BodyFail::Refuse(ErrorAnswer::new(
                ErrorCode::Overloaded,
                "the gateway holds as many request bytes as it may; try again shortly",
            )));
        }
        self.chunks.push(Vec::with_capacity(size));
        Ok(())
    }
}

fn too_large(bytes_max: u64) -> BodyFail {
    let message = format!("the request body is larger than {bytes_max} bytes");
    BodyFail::Refuse(ErrorAnswer::new(ErrorCode::BodyTooLarge, message))
}
