//! JSON web tokens (RFC 7519): parts of base64url with dots between, of which the first decodes to a JSON object that names an
//! algorithm. A token whose signature is missing counts too: what it claims is in the second part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Detector, Sink, View};

/// Longest header that is decoded.
const HEADER_BYTES_MAX: usize = 2_048;
/// Shortest second part.
const PAYLOAD_BYTES_MIN: usize = 8;

const fn base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// `eyJ` stands at `at`: the beginning of `{"` in base64. Behind a hyphen it is in the middle of a run.
pub(super) fn token(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    let hyphen = at.checked_sub(1).and_then(|before| view.at(before)) == Some(b'-');
    if !sink.wants(Detector::Jwt) || !view.begins(at) || hyphen {
        return;
    }
    let header = view.run(at, HEADER_BYTES_MAX, base64url);
    if view.open_at(header) {
        return sink.more(at);
    }
    if view.at(header) != Some(b'.') || !names_algorithm(view.slice(at..header)) {
        return;
    }
    let payload = view.run(header + 1, usize::MAX, base64url);
    if payload - header <= PAYLOAD_BYTES_MIN {
        if view.open_at(payload) {
            sink.more(at);
        }
        return;
    }
    let end = follow(view, payload);
    sink.walked = end;
    if view.open_at(end) || view.open_at(end + 1) {
        sink.goes_on(Detector::Jwt, at..end);
    } else {
        sink.found(Detector::Jwt, at..end);
    }
}

/// Where a token that reaches to `from` ends: further base64url, also behind single dots.
pub(super) fn follow(view: View<'_>, from: usize) -> usize {
    let mut end = from;
    loop {
        end = view.run(end, usize::MAX, base64url);
        if view.at(end) != Some(b'.') || !view.at(end + 1).is_some_and(base64url) {
            return end;
        }
        end += 1;
    }
}

fn names_algorithm(header: &[u8]) -> bool {
    let Ok(json) = URL_SAFE_NO_PAD.decode(header) else {
        return false;
    };
    let header: Result<serde_json::Value, _> = serde_json::from_slice(&json);
    header.is_ok_and(|header| header.get("alg").is_some_and(serde_json::Value::is_string))
}
