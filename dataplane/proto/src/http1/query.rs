//! Credentials in a query string: taken out without touching another byte.

use std::borrow::Cow;

use memchr::memchr;

/// The target without parameters that carry a client's credential: `key`, `api_key` (`api-key`, `apikey`),
/// `access_token` and `oauth_token`, also with Google's `$` before the name. Names are compared decoded and without
/// regard to case, since a server may decode them; all other parameters keep their bytes and order. A question mark
/// with nothing left behind it goes too. Borrowed if nothing was removed.
#[must_use]
pub fn without_credentials(target: &[u8]) -> Cow<'_, [u8]> {
    let Some(mark) = memchr(b'?', target) else {
        return Cow::Borrowed(target);
    };
    let (path, query) = target.split_at(mark);
    let query = query.get(1..).unwrap_or_default();
    if !query.split(|&b| b == b'&').any(is_credential) {
        return Cow::Borrowed(target);
    }
    let mut kept = Vec::with_capacity(target.len());
    kept.extend_from_slice(path);
    let mut separator = b'?';
    for parameter in query
        .split(|&b| b == b'&')
        .filter(|parameter| !is_credential(parameter))
    {
        kept.push(separator);
        kept.extend_from_slice(parameter);
        separator = b'&';
    }
    Cow::Owned(kept)
}

/// Longest name of a parameter that is looked at.
const SIGNED_NAME_BYTES_MAX: usize = 32;

/// The target with `***` in place of the values of credentials: those that [`without_credentials`] takes out, and the
/// parameters of signed URLs (`X-Amz-…`, `X-Goog-…`, `sig`). Borrowed if there are none.
#[must_use]
pub fn with_credentials_hidden(target: &[u8]) -> Cow<'_, [u8]> {
    let Some(mark) = memchr(b'?', target) else {
        return Cow::Borrowed(target);
    };
    let (path, query) = target.split_at(mark);
    let query = query.get(1..).unwrap_or_default();
    if !query.split(|&b| b == b'&').any(is_secret) {
        return Cow::Borrowed(target);
    }
    let mut hidden = Vec::with_capacity(target.len());
    hidden.extend_from_slice(path);
    let mut separator = b'?';
    for parameter in query.split(|&b| b == b'&') {
        hidden.push(separator);
        match memchr(b'=', parameter).and_then(|at| parameter.get(..=at)) {
            Some(name) if is_secret(parameter) => {
                hidden.extend_from_slice(name);
                hidden.extend_from_slice(b"***");
            }
            _ => hidden.extend_from_slice(parameter),
        }
        separator = b'&';
    }
    Cow::Owned(hidden)
}

fn is_secret(parameter: &[u8]) -> bool {
    let mut name = [0; SIGNED_NAME_BYTES_MAX];
    let name = decoded_start(parameter, &mut name);
    is_credential(parameter) || name == b"sig" || name.starts_with(b"x-amz-") || name.starts_with(b"x-goog-")
}

/// The start of a parameter's name, decoded and in lower case, as far as there is room.
fn decoded_start<'a>(parameter: &[u8], room: &'a mut [u8]) -> &'a [u8] {
    let end = memchr(b'=', parameter).unwrap_or(parameter.len());
    let mut rest = parameter.get(..end).unwrap_or_default();
    let mut len = 0;
    for slot in room.iter_mut() {
        let Some((byte, after)) = decode_first(rest) else {
            break;
        };
        *slot = byte.to_ascii_lowercase();
        rest = after;
        len += 1;
    }
    room.get(..len).unwrap_or_default()
}

/// The values of all parameters called `key` (also `$key`, in any letter case, percent-encoded or not), as they stand.
pub fn keys(target: &[u8]) -> impl Iterator<Item = &[u8]> {
    let query = memchr(b'?', target)
        .and_then(|mark| target.get(mark + 1..))
        .unwrap_or_default();
    query
        .split(|&b| b == b'&')
        .filter(|parameter| named(parameter, |name| name == b"key"))
        .filter_map(|parameter| parameter.get(memchr(b'=', parameter)? + 1..))
}

const NAMES: [&[u8]; 6] = [
    b"key",
    b"api_key",
    b"api-key",
    b"apikey",
    b"access_token",
    b"oauth_token",
];
const NAME_BYTES_MAX: usize = 12;

fn is_credential(parameter: &[u8]) -> bool {
    named(parameter, |name| NAMES.contains(&name))
}

/// Whether a parameter's name, decoded, in lower case and without a leading `$`, is wanted.
fn named(parameter: &[u8], wanted: impl Fn(&[u8]) -> bool) -> bool {
    let raw = parameter
        .get(..memchr(b'=', parameter).unwrap_or(parameter.len()))
        .unwrap_or_default();
    let mut name = [0u8; NAME_BYTES_MAX];
    let mut len = 0;
    let mut rest = raw;
    while let Some((byte, after)) = decode_first(rest) {
        let Some(slot) = name.get_mut(len) else {
            return false;
        };
        *slot = byte.to_ascii_lowercase();
        len += 1;
        rest = after;
    }
    let name = name.get(..len).unwrap_or_default();
    wanted(name.strip_prefix(b"$").unwrap_or(name))
}

/// The first byte, percent-decoded if it is so encoded.
fn decode_first(text: &[u8]) -> Option<(u8, &[u8])> {
    let hex = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    if let [b'%', a, b, rest @ ..] = text
        && let (Some(a), Some(b)) = (hex(*a), hex(*b))
    {
        return Some((a << 4 | b, rest));
    }
    text.split_first().map(|(&b, rest)| (b, rest))
}
