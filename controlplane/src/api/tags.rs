//! Entity tags of answers: whoever has an answer already is told so instead of getting it again (RFC 9110 §13.1.2).
//!
//! A tag is a hash of the bytes, so that it needs no knowledge of what an answer is made of: the answer is made in any case,
//! and what is saved is its way to a browser. Answers that have a tag of their own keep it. A browser may keep a tagged
//! answer if it asks before it shows it; what people said to models it may not keep at all.

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ring::digest;

use super::problem::Problem;
use crate::export::item::hex;

/// Longest answer that gets a tag.
const TAGGED_BYTES_MAX: u64 = 8 << 20;
/// Answers below it are not to be kept.
pub(super) const NEVER_KEPT: &str = "/api/captures/";

/// Tags an answer to a GET of `path`, and leaves it out if the caller has it.
pub(super) async fn tagged(path: &str, asked: &HeaderMap, response: Response) -> Response {
    if response.status() != StatusCode::OK || path.starts_with(NEVER_KEPT) || !is_json(response.headers()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let (tag, body) = match head.headers.get(header::ETAG) {
        Some(own) => (own.clone(), body),
        None => {
            let bytes = body
                .size_hint()
                .exact()
                .filter(|bytes| *bytes <= TAGGED_BYTES_MAX);
            let Some(bytes) = bytes.and_then(|bytes| usize::try_from(bytes).ok()) else {
                return Response::from_parts(head, body);
            };
            let Ok(bytes) = to_bytes(body, bytes).await else {
                return Problem::internal().into_response();
            };
            let Ok(tag) = HeaderValue::from_str(&tag(&bytes)) else {
                return Response::from_parts(head, Body::from(bytes));
            };
            (tag, Body::from(bytes))
        }
    };
    let kept = HeaderValue::from_static("private, no-cache");
    if has(asked, &tag) {
        let fields = [(header::ETAG, tag), (header::CACHE_CONTROL, kept)];
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    head.headers.insert(header::ETAG, tag);
    head.headers.insert(header::CACHE_CONTROL, kept);
    Response::from_parts(head, body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// 128 bits of the SHA-256, in quotes.
fn tag(bytes: &Bytes) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    let half = hash.as_ref().get(..16).unwrap_or_default();
    format!("\"{}\"", hex(half))
}

/// Whether `If-None-Match` names the tag; the comparison is the weak one.
fn has(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).iter();
    let mut named = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    named.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_the_rfc_says() {
        let check = |lists: &[&str], expected: bool| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(header::IF_NONE_MATCH, list.parse().unwrap());
            }
            assert_eq!(
                has(&headers, &HeaderValue::from_static("\"a1\"")),
                expected,
                "{lists:?}"
            );
        };
        check(&[], false);
        check(&["\"a1\""], true);
        check(&["W/\"a1\""], true);
        check(&["\"b\", \"a1\""], true);
        check(&["\"b\"", "\"a1\""], true);
        check(&["*"], true);
        for other in ["a1", "\"a2\"", "\"a1", "", ",", "w/\"a1\""] {
            check(&[other], false);
        }
    }
}
