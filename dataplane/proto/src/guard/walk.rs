//! A walk over a JSON document that has been validated: every key and value, with where it stands.
//!
//! Nothing is copied and nothing recurses. Should the document not be JSON after all, the walk ends early; it never reads
//! beyond it.

use std::ops::Range;

use memchr::memchr2;

/// Deepest nesting that is walked; [`crate::json::JsonLimits`] allows no more.
const DEPTH_MAX: usize = 128;

/// Whose words the keys of a container are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The API's.
    Api,
    /// The client's: arguments and results of tools, schemas, metadata. No key means anything there.
    Free,
}

/// A container on the way to a value.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) object: bool,
    pub(super) place: Place,
    /// Raw bytes, without quotes, of the key that the present value has; in an array, of the key that the array has.
    pub(super) key: Range<usize>,
    /// Members passed.
    pub(super) count: u32,
    expects_key: bool,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// What stands between the quotes, and whether there is an escape in it.
    String { raw: Range<usize>, escaped: bool },
    /// A number.
    Number(Range<usize>),
    /// `true`, `false` or `null`.
    Word(Range<usize>),
    /// An object or array begins here.
    Open { at: usize, object: bool },
}

/// Sees the document go by.
pub(super) trait Visitor {
    /// A key of the innermost of `path`.
    fn key(&mut self, body: &[u8], path: &[Frame], raw: Range<usize>, escaped: bool);
    /// A value in the innermost of `path`.
    fn value(&mut self, body: &[u8], path: &[Frame], value: Value);
    /// A container has ended before `end`; `path` is what it stood in.
    fn close(&mut self, body: &[u8], path: &[Frame], frame: &Frame, end: usize) {
        let _ = (body, path, frame, end);
    }
}

/// Walks over a document.
pub(super) fn walk(body: &[u8], top: Place, visitor: &mut impl Visitor) {
    let mut path: Vec<Frame> = Vec::with_capacity(16);
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => {
                let Some((end, escaped)) = string_end(body, at + 1) else {
                    return;
                };
                let raw = at + 1..end;
                at = end + 1;
                match path.last_mut() {
                    Some(frame) if frame.expects_key => {
                        frame.expects_key = false;
                        frame.key = raw.clone();
                        visitor.key(body, &path, raw, escaped);
                    }
                    _ => visitor.value(body, &path, Value::String { raw, escaped }),
                }
                continue;
            }
            b'{' | b'[' => {
                let object = byte == b'{';
                visitor.value(body, &path, Value::Open { at, object });
                if path.len() >= DEPTH_MAX {
                    return;
                }
                let (key, place) = match path.last() {
                    None => (0..0, top),
                    Some(parent) => {
                        let key = parent.key.clone();
                        let word = body.get(key.clone()).unwrap_or_default();
                        let free = parent.place == Place::Free || opens_free(word, object && parent.object);
                        (key, if free { Place::Free } else { Place::Api })
                    }
                };
                path.push(Frame {
                    object,
                    place,
                    key,
                    count: 0,
                    expects_key: object,
                });
            }
            b'}' | b']' => {
                if let Some(frame) = path.pop() {
                    visitor.close(body, &path, &frame, at + 1);
                }
            }
            b',' => {
                if let Some(frame) = path.last_mut() {
                    frame.count = frame.count.saturating_add(1);
                    frame.expects_key = frame.object;
                }
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let rest = body.get(at..).unwrap_or_default();
                let len = rest
                    .iter()
                    .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.'));
                let end = at + len.unwrap_or(rest.len());
                let value = if byte.is_ascii_lowercase() {
                    Value::Word(at..end)
                } else {
                    Value::Number(at..end)
                };
                visitor.value(body, &path, value);
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Offset of the quote that ends a string, and whether there is an escape before it.
fn string_end(body: &[u8], from: usize) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (from, false);
    loop {
        at += memchr2(b'"', b'\\', body.get(at..)?)?;
        if body.get(at) == Some(&b'"') {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// Whether the keys below a key are the client's own: what tools are given and give back, and what describes them. So are
/// those below a key that is spelt with escapes, which no client of good will does. `object`: the value is an object, and no
/// element of a list.
fn opens_free(key: &[u8], object: bool) -> bool {
    match key {
        b"args"
        | b"arguments"
        | b"response"
        | b"json"
        | b"metadata"
        | b"labels"
        | b"parameters"
        | b"input_schema"
        | b"inputSchema"
        | b"schema"
        | b"json_schema"
        | b"responseSchema"
        | b"response_schema"
        | b"responseJsonSchema"
        | b"parametersJsonSchema"
        | b"variables"
        | b"requestMetadata"
        | b"client_metadata" => true,
        // A list of items in the Responses API, arguments of a tool elsewhere.
        b"input" | b"output" => object,
        other => other.contains(&b'\\'),
    }
}
