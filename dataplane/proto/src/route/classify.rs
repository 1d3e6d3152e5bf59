//! From path bytes to a [`Route`]: first the bytes, then the segments, then the rows.

use std::ops::Range;

use smallvec::SmallVec;

use super::table::{ADMIN, OWN, Outcome, ROWS, Row, Seg, Verb, Version};
use super::{ApiKind, Endpoint, Method, PATH_BYTES_MAX, PathError, PathModel, Route};
use sluice_shared::model_name::{model_byte, valid_model};

/// Most segments that a client may keep before the canonical suffix.
const PREFIX_SEGMENTS_MAX: usize = 8;
/// Most segments of a path that is looked at: prefix, version and the longest row.
const SEGMENTS_MAX: usize = 24;

/// Paths of the admin API that end with a model.
const MODELS: [&str; 2] = ["/api/models/", "/aperture/pricing/"];

/// Classifies a path (no query, no fragment).
///
/// # Errors
///
/// [`PathError::BadPath`] for a path that two readers could take for different ones: `//`, `.` and `..` segments
/// (percent-encoded, too), `%2F` outside a model, `%5C`, `%25`, encoded control bytes, broken escapes, `\`, `;`, bytes
/// outside printable ASCII, more than eight segments of prefix, or a model outside the alphabet of
/// [`valid_model`]. [`PathError::NotFound`] and [`PathError::MethodNotAllowed`] as they say.
pub fn classify(method: Method, path: &[u8]) -> Result<Route, PathError> {
    let text = std::str::from_utf8(path).map_err(|_| PathError::BadPath)?;
    let encoded_slash = check_bytes(text)?;
    if text == "/" {
        return get_only(method, plain(Endpoint::Root));
    }
    let segments = split(text);
    let first = segments.first().map_or("", |range| &text[range.clone()]);
    if ADMIN.contains(&first) {
        if has_empty_segment(text) || encoded_slash && !names_model(text) {
            return Err(PathError::BadPath);
        }
        return Ok(plain(Endpoint::ControlPlane));
    }
    if has_empty_segment(text) && !text.ends_with('/') {
        return Err(PathError::BadPath);
    }
    let result = if segments.len() > SEGMENTS_MAX || text.ends_with('/') {
        Err(PathError::NotFound)
    } else {
        match_own(method, text, &segments).unwrap_or_else(|| match_rows(method, text, &segments))
    };
    match result {
        // Nothing took the encoded slash for part of a model.
        Err(PathError::NotFound) if encoded_slash => Err(PathError::BadPath),
        other => other,
    }
}

/// Refuses ambiguous bytes wherever they stand; tells whether an encoded slash occurs.
fn check_bytes(path: &str) -> Result<bool, PathError> {
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        return Err(PathError::BadPath);
    }
    let mut encoded_slash = false;
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let (decoded, tail) = decode_escape(tail).ok_or(PathError::BadPath)?;
                rest = tail;
                match decoded {
                    b'/' => encoded_slash = true,
                    b'%' | b'\\' | b';' | 0..=0x1f | 0x7f => return Err(PathError::BadPath),
                    _ => {}
                }
            }
            b'\\' | b';' | b'?' | b'#' | 0..=0x20 | 0x7f.. => return Err(PathError::BadPath),
            _ => {}
        }
    }
    // Dot segments, plain or encoded; an encoded slash ends a segment here, too, since a lax reader would think so.
    let mut dots = true;
    let mut len = 0usize;
    let mut rest = path.as_bytes();
    loop {
        let (byte, tail) = match rest.split_first() {
            None => (b'/', rest),
            Some((b'%', tail)) => decode_escape(tail).ok_or(PathError::BadPath)?,
            Some((&byte, tail)) => (byte, tail),
        };
        let at_end = rest.is_empty();
        rest = tail;
        if byte == b'/' {
            if dots && (len == 1 || len == 2) {
                return Err(PathError::BadPath);
            }
            (dots, len) = (true, 0);
        } else {
            dots &= byte == b'.';
            len += 1;
        }
        if at_end {
            return Ok(encoded_slash);
        }
    }
}

/// Two hex digits at the beginning of `bytes`, as a byte, and what follows.
fn decode_escape(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = bytes else {
        return None;
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

/// Whether two slashes stand side by side.
fn has_empty_segment(path: &str) -> bool {
    path.contains("//")
}

/// The segments' places, at most one more than [`SEGMENTS_MAX`].
fn split(path: &str) -> SmallVec<[Range<usize>; SEGMENTS_MAX]> {
    let mut at = 1usize;
    path.get(1..)
        .unwrap_or_default()
        .split('/')
        .take(SEGMENTS_MAX + 1)
        .map(|segment| {
            let range = at..at + segment.len();
            at = range.end + 1;
            range
        })
        .collect()
}

fn match_own(method: Method, path: &str, segments: &[Range<usize>]) -> Option<Result<Route, PathError>> {
    let [only] = segments else { return None };
    let (_, endpoint) = OWN.iter().find(|(name, _)| *name == &path[only.clone()])?;
    Some(get_only(method, plain(*endpoint)))
}

/// What a row's variable segments were found to be.
#[derive(Default)]
struct Found {
    model: Option<PathModel>,
    verb: Option<Verb>,
}

fn match_rows(method: Method, path: &str, segments: &[Range<usize>]) -> Result<Route, PathError> {
    for row in ROWS {
        let Some(prefix_len) = segments.len().checked_sub(row.segs.len()) else {
            continue;
        };
        let Some(found) = match_row(row, path, &segments[prefix_len..])? else {
            continue;
        };
        let Some(place) = place_suffix(row, path, segments, prefix_len)? else {
            continue;
        };
        return finish(method, path, row, found, &place);
    }
    match_models_one(method, path, segments)
}

/// Matches a row's segments one by one. An error: the row is meant, but its model is not acceptable.
fn match_row(row: &Row, path: &str, segments: &[Range<usize>]) -> Result<Option<Found>, PathError> {
    let mut found = Found::default();
    let mut bad_model = false;
    for (seg, range) in row.segs.iter().zip(segments) {
        let text = &path[range.clone()];
        match seg {
            Seg::Is(wanted) if *wanted == text => {}
            Seg::Id if id(text) => {}
            Seg::Model => match decode_model(text) {
                Some(name) => {
                    found.model = Some(PathModel {
                        start: range.start,
                        len: range.len(),
                        name,
                    });
                }
                None => bad_model = true,
            },
            Seg::ModelVerb(verbs) => {
                let Some((model, method)) = text.rsplit_once(':') else {
                    return Ok(None);
                };
                let Some(verb) = verbs.iter().find(|verb| verb.name == method) else {
                    return Ok(None);
                };
                found.verb = Some(*verb);
                match decode_model(model) {
                    Some(name) => {
                        found.model = Some(PathModel {
                            start: range.start,
                            len: model.len(),
                            name,
                        });
                    }
                    None => bad_model = true,
                }
            }
            Seg::Is(_) | Seg::Id => return Ok(None),
        }
    }
    if bad_model {
        Err(PathError::BadPath)
    } else {
        Ok(Some(found))
    }
}

/// Where the suffix begins.
struct Place {
    suffix_start: usize,
    unversioned_start: usize,
    /// The version segment, if the client wrote one.
    version: Option<Range<usize>>,
}

/// Finds version and prefix before a matched row; `None`: the prefix does not fit, so the row does not match.
fn place_suffix(
    row: &Row,
    path: &str,
    segments: &[Range<usize>],
    prefix_len: usize,
) -> Result<Option<Place>, PathError> {
    let start_of = |index: usize| segments.get(index).map_or(0, |range| range.start - 1);
    let (prefix, version) = match segments[..prefix_len].split_last() {
        Some((last, before)) if row.version != Version::Never && version_segment(&path[last.clone()]) => {
            (before, Some(last.clone()))
        }
        _ => (&segments[..prefix_len], None),
    };
    if prefix.len() > PREFIX_SEGMENTS_MAX {
        return Err(PathError::BadPath);
    }
    if !prefix.iter().all(|range| plain_segment(&path[range.clone()])) {
        return Ok(None);
    }
    let first = prefix.first().map_or("", |range| &path[range.clone()]);
    if ADMIN.iter().any(|admin| admin.eq_ignore_ascii_case(first)) {
        return Ok(None);
    }
    // `/v1/threads/{id}/messages` and its like are other APIs: a bare last word is taken for a call only if nothing
    // versioned stands further in front. `/v1beta/openai/embeddings` is a usual base URL, though.
    let common_word = row.segs.len() == 1 || matches!(row.outcome, Outcome::ByVerb);
    let versioned_prefix = prefix.iter().any(|range| version_segment(&path[range.clone()]));
    if versioned_prefix && common_word && version.is_none() {
        let last = prefix.last().map_or("", |range| &path[range.clone()]);
        if !matches!(last, "openai" | "openapi") {
            return Ok(None);
        }
    }
    // Publishers that no row names are not Gemini models under a long prefix.
    if common_word && prefix.iter().any(|range| &path[range.clone()] == "publishers") {
        return Ok(None);
    }
    Ok(Some(Place {
        suffix_start: start_of(prefix.len()),
        unversioned_start: start_of(prefix_len),
        version,
    }))
}

fn finish(method: Method, path: &str, row: &Row, found: Found, place: &Place) -> Result<Route, PathError> {
    let route = |endpoint: Endpoint, stream_by_path: Option<bool>, free: bool| Route {
        endpoint,
        model: found.model,
        stream_by_path,
        suffix_start: place.suffix_start,
        has_version: place.version.is_some(),
        gemini_style: false,
        free,
        unversioned_start: place.unversioned_start,
        default_version: match row.version {
            Version::Default(version) => Some(version),
            Version::Never => None,
        },
    };
    match (row.outcome, method, found.verb) {
        (Outcome::Call { kind, stream, free }, Method::Post, _) => {
            Ok(route(Endpoint::Api(kind), stream, free))
        }
        (Outcome::ByVerb, Method::Post, Some(verb)) => {
            Ok(route(Endpoint::Api(verb.kind), verb.stream, verb.free))
        }
        (Outcome::ResponsesChild, Method::Post, _) => {
            Ok(route(Endpoint::Api(ApiKind::OpenAiResponses), None, false))
        }
        (Outcome::ResponsesChild, Method::Get | Method::Head | Method::Delete, _)
        | (Outcome::StoredGet, Method::Get | Method::Head, _)
        | (Outcome::StoredPost, Method::Post, _) => Ok(route(Endpoint::ResponsesById, None, true)),
        (Outcome::Models, Method::Get | Method::Head, _) => Ok(Route {
            gemini_style: gemini_version(path, place),
            ..route(Endpoint::ModelsList, None, true)
        }),
        _ => Err(PathError::MethodNotAllowed { allow: row.allow() }),
    }
}

/// `GET …/models/{m}`, whose model may contain slashes: the first segment `models` decides.
fn match_models_one(method: Method, path: &str, segments: &[Range<usize>]) -> Result<Route, PathError> {
    const LIST: Row = Row {
        version: Version::Default("v1"),
        segs: &[Seg::Is("models")],
        outcome: Outcome::Models,
    };
    let Some(index) = segments.iter().position(|range| &path[range.clone()] == "models") else {
        return Err(PathError::NotFound);
    };
    let Some(first) = segments.get(index + 1) else {
        return Err(PathError::NotFound);
    };
    let Some(place) = place_suffix(&LIST, path, segments, index)? else {
        return Err(PathError::NotFound);
    };
    let encoded = &path[first.start..];
    if !matches!(method, Method::Get | Method::Head) {
        // `POST …/models/M:someMethod`: a method that is not served, rather than a list that cannot be posted to.
        let unknown_verb = method == Method::Post && encoded.contains(':');
        return Err(if unknown_verb {
            PathError::NotFound
        } else {
            PathError::MethodNotAllowed { allow: LIST.allow() }
        });
    }
    let name = decode_model(encoded).ok_or(PathError::BadPath)?;
    Ok(Route {
        endpoint: Endpoint::ModelsOne,
        model: Some(PathModel {
            start: first.start,
            len: encoded.len(),
            name,
        }),
        stream_by_path: None,
        suffix_start: place.suffix_start,
        has_version: place.version.is_some(),
        gemini_style: gemini_version(path, &place),
        free: true,
        unversioned_start: place.unversioned_start,
        default_version: Some("v1"),
    })
}

/// Only Gemini has versions of this kind; `/v1/models` is told apart by headers.
fn gemini_version(path: &str, place: &Place) -> bool {
    let version = place
        .version
        .clone()
        .and_then(|range| path.get(range))
        .unwrap_or_default();
    version.starts_with("v1beta") || version.starts_with("v1alpha")
}

fn get_only(method: Method, route: Route) -> Result<Route, PathError> {
    match method {
        Method::Get | Method::Head => Ok(route),
        Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Options | Method::Other => {
            Err(PathError::MethodNotAllowed { allow: "GET, HEAD" })
        }
    }
}

/// A route without model, version or suffix.
fn plain(endpoint: Endpoint) -> Route {
    Route {
        endpoint,
        model: None,
        stream_by_path: None,
        suffix_start: 0,
        has_version: false,
        gemini_style: false,
        free: true,
        unversioned_start: 0,
        default_version: None,
    }
}

/// Decodes a model once; `None` unless every byte is a model's or the escape of one.
fn decode_model(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = if byte == b'%' {
            decode_escape(tail)?
        } else {
            (byte, tail)
        };
        if !model_byte(byte) {
            return None;
        }
        name.push(char::from(byte));
        rest = tail;
    }
    valid_model(&name).then_some(name)
}

/// Whether what is asked of the admin API is about a model, which may be written with encoded slashes: a path is no model's
/// beside this one however they are read.
fn names_model(path: &str) -> bool {
    let encoded = MODELS.iter().find_map(|before| path.strip_prefix(before));
    let name = encoded.and_then(decode_model);
    name.is_some_and(|name| name.split('/').all(|part| !part.is_empty()))
}

/// `[A-Za-z0-9._~-]+`
fn plain_segment(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-'))
}

/// As [`plain_segment`], and colons: projects may be called `example.com:name`.
fn id(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-' | b':'))
}

/// `v` + digits + lower-case letters and digits: `v1`, `v1beta1`, `v4`.
pub(super) fn version_segment(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else {
        return false;
    };
    rest.len() <= 12
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}
