//! The event that tells of an error in a stream already begun: status and headers are gone, so the news goes
//! into the body, and the connection is aborted after it.

use super::write::{write_anthropic_object, write_error, write_google_object, write_openai_object};
use super::{ApiKind, ErrorAnswer, ErrorFamily};
use crate::splice::write_json_string;

/// How the begun answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFraming {
    /// Server-sent events.
    Sse,
    /// Gemini's JSON array, sent in pieces.
    JsonArray,
    /// AWS event stream.
    EventStream,
    /// A JSON document a line.
    Ndjson,
    /// One JSON document or anything else: nothing can be said inside it.
    Opaque,
}

/// Appends the event for `answer`, to be sent on an event boundary; returns whether there is one for this framing.
///
/// The caller aborts the connection afterwards, so that no client takes the stream for complete.
pub fn write_stream_error(
    kind: ApiKind,
    framing: StreamFraming,
    answer: &ErrorAnswer,
    request_id: &str,
    out: &mut Vec<u8>,
) -> bool {
    match framing {
        StreamFraming::Sse => write_sse(kind, answer, request_id, out),
        StreamFraming::EventStream => write_exception(answer, out),
        StreamFraming::Ndjson => {
            write_error(kind.error_family(), answer, request_id, out);
            out.push(b'\n');
        }
        // Whether a comma is due in the array is not known here, and a broken document is what abortion shows anyway.
        StreamFraming::JsonArray | StreamFraming::Opaque => return false,
    }
    true
}

fn write_sse(kind: ApiKind, answer: &ErrorAnswer, request_id: &str, out: &mut Vec<u8>) {
    match kind.error_family() {
        ErrorFamily::OpenAi if kind == ApiKind::OpenAiResponses => {
            out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"code\":");
            write_json_string(answer.code.openai_code(), out);
            out.extend_from_slice(br#","message":"#);
            write_json_string(&answer.message, out);
            out.extend_from_slice(b",\"param\":null,\"sequence_number\":0}");
        }
        ErrorFamily::OpenAi => {
            out.extend_from_slice(b"data: {\"error\":");
            write_openai_object(answer, out);
            out.push(b'}');
        }
        ErrorFamily::Anthropic => {
            out.extend_from_slice(b"event: error\ndata: ");
            write_anthropic_object(answer, request_id, out);
        }
        ErrorFamily::Google => {
            out.extend_from_slice(b"data: ");
            write_google_object(answer, out);
        }
        ErrorFamily::Bedrock | ErrorFamily::Plain => {
            out.extend_from_slice(b"data: ");
            write_error(kind.error_family(), answer, request_id, out);
        }
    }
    // Google ends its lines with CR LF; a parser that takes them takes these, too.
    out.extend_from_slice(b"\n\n");
}

/// An AWS event stream message of type `exception`: prelude (total length, headers length, CRC-32), headers, JSON
/// payload, CRC-32 of all before. All numbers big-endian.
fn write_exception(answer: &ErrorAnswer, out: &mut Vec<u8>) {
    let name = exception_name(answer);
    let mut headers = Vec::with_capacity(128);
    for (header, value) in [
        (":exception-type", name),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ] {
        headers.push(u8::try_from(header.len()).unwrap_or(u8::MAX));
        headers.extend_from_slice(header.as_bytes());
        headers.push(7); // the value is a string
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut payload = Vec::with_capacity(answer.message.len().saturating_add(16));
    payload.extend_from_slice(br#"{"message":"#);
    write_json_string(&answer.message, &mut payload);
    payload.push(b'}');

    let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let mut message = Vec::with_capacity(headers.len().saturating_add(payload.len()).saturating_add(16));
    message.extend_from_slice(&word(
        headers.len().saturating_add(payload.len()).saturating_add(16),
    ));
    message.extend_from_slice(&word(headers.len()));
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(&payload);
    message.extend_from_slice(&crc32(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

/// The five exceptions that the stream's model knows, in its spelling.
const fn exception_name(answer: &ErrorAnswer) -> &'static str {
    match answer.status {
        429 => "throttlingException",
        408 | 504 => "modelTimeoutException",
        400..=499 => "validationException",
        503 => "serviceUnavailableException",
        502 => "modelStreamErrorException",
        _ => "internalServerException",
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
