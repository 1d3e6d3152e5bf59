//! Private keys in textual armour (RFC 7468, OpenSSH, RFC 9580): from `-----BEGIN … PRIVATE KEY…-----` to the matching `END`
//! line, or as far as what follows still looks like armour. Line ends may be written out (`\n`), as in JSON within JSON.

use super::{Detector, Sink, View};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// Longest label between the dashes.
const LABEL_BYTES_MAX: usize = 48;
/// Bytes of header lines before the key itself begins, at most.
const HEADERS_BYTES_MAX: usize = 512;
/// Base64 in one run that tells a key from a sentence about keys.
const RUN_BYTES_MIN: usize = 16;

const fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

const fn label(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
}

/// What stands in armour: base64, header lines, line ends, also as they are quoted in source code.
const fn armour(byte: u8) -> bool {
    base64(byte) || byte.is_ascii_whitespace() || matches!(byte, b'-' | b':' | b',' | b'\\' | b'"' | b'\'')
}

/// `-----BEGIN ` stands at `at`.
pub(super) fn key(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    if !sink.wants(Detector::PrivateKey) {
        return;
    }
    let from = at + BEGIN.len();
    let to = view.run(from, LABEL_BYTES_MAX, label);
    let dashes = view.rest(to);
    if !view.ended && dashes.len() < DASHES.len() && DASHES.starts_with(dashes) {
        return sink.more(at);
    }
    let named = view.slice(from..to);
    if !dashes.starts_with(DASHES) || !named.windows(11).any(|name| name == b"PRIVATE KEY") {
        return;
    }
    let body = to + DASHES.len();
    let headers = view.run(body, HEADERS_BYTES_MAX, armour);
    let mut run = 0;
    let certain = view.slice(body..headers).iter().any(|byte| {
        run = if base64(*byte) { run + 1 } else { 0 };
        run >= RUN_BYTES_MIN
    });
    if !certain {
        if view.open_at(headers) && headers - body < HEADERS_BYTES_MAX {
            sink.more(at);
        }
        return;
    }
    let (end, goes_on) = follow(view, body, body);
    sink.walked = end;
    if goes_on {
        sink.goes_on(Detector::PrivateKey, at..end);
    } else {
        sink.found(Detector::PrivateKey, at..end);
    }
}

/// Where a key whose armour began at `body` (or before the window) and reaches to `from` ends, and whether the end of the
/// text decides that alone.
pub(super) fn follow(view: View<'_>, body: usize, from: usize) -> (usize, bool) {
    // The end of the last piece may have cut the line that ends it.
    let mut at = from
        .saturating_sub(END.len() + LABEL_BYTES_MAX + DASHES.len())
        .max(body);
    loop {
        at = view.run(at, usize::MAX, |byte| armour(byte) && byte != b'-');
        let Some(b'-') = view.at(at) else {
            return (at.max(from), view.open_at(at));
        };
        let rest = view.rest(at);
        if !rest.starts_with(END) {
            at += 1;
            continue;
        }
        let to = view.run(at + END.len(), LABEL_BYTES_MAX, label);
        let dashes = view.rest(to);
        if dashes.starts_with(DASHES) {
            return ((to + DASHES.len()).max(from), false);
        }
        at = to;
    }
}
