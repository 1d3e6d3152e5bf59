//! What no capture holds: values of credentials in heads.

use sluice_proto::http1::{is_client_credential, query};
use sluice_shared::snapshot::Captures;
use sluice_shared::wire::capture::Fields;

/// What stands in place of a value.
const HIDDEN: &[u8] = b"***";

/// Names whose values are hidden beside those that clients send credentials in (`is_client_credential`).
const ALWAYS: [&[u8]; 4] = [
    b"set-cookie",
    b"set-cookie2",
    b"www-authenticate",
    b"authentication-info",
];

/// The names of which the values are hidden.
pub(super) struct Hidden<'a> {
    configured: &'a [String],
    added: [&'a [String]; 2],
}

impl<'a> Hidden<'a> {
    /// For a request; `added` are the names of fields that configuration adds: keys of providers, values of grants.
    pub(super) fn of_request<const N: usize>(rules: &'a Captures, added: [&'a Vec<String>; N]) -> Self {
        let mut all: [&[String]; 2] = [&[], &[]];
        for (slot, names) in all.iter_mut().zip(added) {
            *slot = names;
        }
        Self {
            configured: &rules.redact_headers,
            added: all,
        }
    }

    /// For an answer.
    pub(super) fn of_answer(rules: &'a Captures) -> Self {
        Self {
            configured: &rules.redact_headers,
            added: [&[], &[]],
        }
    }

    fn hides(&self, name: &[u8]) -> bool {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        is_client_credential(name)
            || ALWAYS.iter().any(|known| is(known))
            || self.configured.iter().any(|known| is(known.as_bytes()))
            || self
                .added
                .iter()
                .any(|names| names.iter().any(|known| is(known.as_bytes())))
    }
}

/// Fields of a head with the values of credentials replaced.
pub(super) fn fields<'b>(pairs: impl Iterator<Item = (&'b [u8], &'b [u8])>, hidden: &Hidden<'_>) -> Fields {
    let mut out = Fields::with_capacity(24);
    for (name, value) in pairs {
        let value = if hidden.hides(name) { HIDDEN } else { value };
        let value = if name.eq_ignore_ascii_case(b"location") || name.eq_ignore_ascii_case(b"referer") {
            query::with_credentials_hidden(value).into_owned()
        } else {
            value.to_vec()
        };
        out.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    out
}

/// Path and query with the values of credentials replaced.
pub(super) fn target(target: &[u8]) -> String {
    let hidden = query::with_credentials_hidden(target);
    String::from_utf8_lossy(&hidden).into_owned()
}

/// Method and target of a head that we wrote, and the lines of its fields.
pub(super) fn request(head: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (line, fields) = cut(head, b"\r\n");
    let (method, rest) = cut(line, b" ");
    let (target, _) = cut(rest, b" ");
    (method, target, fields)
}

/// The lines of the fields of a message that we wrote, and its body.
pub(super) fn answer(message: &[u8]) -> (&[u8], &[u8]) {
    let (head, body) = cut(message, b"\r\n\r\n");
    let (_, fields) = cut(head, b"\r\n");
    (fields, body)
}

/// Names and values of fields, one a line, as we wrote them. What belongs to the connection and not to the message is left
/// out.
pub(super) fn lines(fields: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = fields;
    std::iter::from_fn(move || {
        let (line, after) = cut(rest, b"\r\n");
        rest = after;
        (!line.is_empty()).then(|| cut(line, b": "))
    })
    .filter(|(name, _)| !name.eq_ignore_ascii_case(b"connection"))
}

/// What stands before and behind the first `mark`; nothing behind if there is none.
fn cut<'a>(text: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    match memchr::memmem::find(text, mark) {
        Some(at) => (
            text.get(..at).unwrap_or_default(),
            text.get(at + mark.len()..).unwrap_or_default(),
        ),
        None => (text, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-canary";

    #[test]
    fn values_of_credentials_are_hidden_by_name() {
        let rules = Captures {
            redact_headers: vec!["x-our-own".into()],
            ..Captures::default()
        };
        let added = [vec!["x-added".to_owned()], vec!["x-granted".to_owned()]];
        let hidden = Hidden::of_request(&rules, [&added[0], &added[1]]);
        let check = |name: &str, is_hidden: bool| {
            let head = format!("POST /v1 HTTP/1.1\r\nhost: h\r\n{name}: {CANARY}\r\n\r\n");
            let (_, _, lines_of) = request(head.as_bytes());
            let found = fields(lines(lines_of), &hidden);
            assert_eq!(found.len(), 2, "{name}");
            assert_eq!(found[0], ("host".to_owned(), b"h".to_vec()));
            let expected = if is_hidden { HIDDEN } else { CANARY.as_bytes() };
            assert_eq!(found[1], (name.to_owned(), expected.to_vec()));
        };
        for name in [
            "authorization",
            "Authorization",
            "proxy-authorization",
            "x-api-key",
            "X-API-Key",
            "api-key",
            "x-goog-api-key",
            "cookie",
            "set-cookie",
            "x-amz-security-token",
            "x-our-own",
            "X-Our-Own",
            "x-added",
            "X-Granted",
        ] {
            check(name, true);
        }
        for name in [
            "x-apikeys",
            "content-type",
            "x-ratelimit-remaining-tokens",
            "etag",
        ] {
            check(name, false);
        }
    }

    #[test]
    fn values_of_credentials_are_hidden_in_queries() {
        let check = |given: &str, expected: &str| assert_eq!(target(given.as_bytes()), expected);
        check("/v1/x?key=abc&alt=sse", "/v1/x?key=***&alt=sse");
        check("/x?a=1&KEY=abc", "/x?a=1&KEY=***");
        check("/x?%6bey=abc", "/x?%6bey=***");
        check("/x?$key=abc&access_token=d", "/x?$key=***&access_token=***");
        check(
            "/x?X-Amz-Signature=s&X-Amz-Credential=c%2F1&b=2",
            "/x?X-Amz-Signature=***&X-Amz-Credential=***&b=2",
        );
        check(
            "/x?x-amz-this-name-is-longer-than-there-is-room=s",
            "/x?x-amz-this-name-is-longer-than-there-is-room=***",
        );
        check("/x?keys=1&monkey=2&key", "/x?keys=1&monkey=2&key");
        check("/x", "/x");
        let rules = Captures::default();
        let moved = [(b"location".as_slice(), b"https://h/x?key=abc".as_slice())];
        let found = fields(moved.into_iter(), &Hidden::of_answer(&rules));
        assert_eq!(found, [("location".to_owned(), b"https://h/x?key=***".to_vec())]);
    }

    #[test]
    fn a_message_of_ours_falls_into_its_parts() {
        let message =
            b"HTTP/1.1 403 Forbidden\r\na: 1\r\nconnection: close\r\nb: x: y\r\n\r\nbody\r\n\r\nmore";
        let (fields_of, body) = answer(message);
        assert_eq!(body, b"body\r\n\r\nmore");
        let found: Vec<_> = lines(fields_of).collect();
        assert_eq!(found, [(b"a".as_slice(), b"1".as_slice()), (b"b", b"x: y")]);
    }
}
