//! Credentials of this gateway's own kind among the fields of a request.
//!
//! Clients are made to send a key somewhere; most of what they send is a provider's key or a placeholder, and nobody's
//! business here. Only values of one of two shapes are looked at:
//!
//! - a gateway token: `slt_` and 43 characters of base64url (32 bytes);
//! - a JSON web token in its compact form (RFC 7519 §3, RFC 7515 §7.1): three parts of base64url between dots, the
//!   first beginning with `eyJ`, as every JSON object does. The last may be empty, so that an unsigned token is refused
//!   for what it is rather than overlooked.
//!
//! Whatever the place, the spelling of the name (letter case, `_` for `-`) or the number of fields, all of them are
//! seen: two that differ are ambiguous, for one reader would take the first and another the last.

use memchr::memchr;
use sluice_shared::wire::control::BEARER_BYTES_MAX;

use super::names::same;
use super::{RequestHead, query};

/// Characters of a gateway token behind its mark.
const TOKEN_CHARACTERS: usize = 43;
const TOKEN_MARK: &[u8] = b"slt_";

/// Which shapes are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Gateway tokens.
    pub token: bool,
    /// JSON web tokens.
    pub jwt: bool,
}

/// Why a request's credentials cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Two different credentials of our shapes.
    #[error("the request shows two different credentials of this gateway's kind")]
    Ambiguous,
    /// Longer than [`BEARER_BYTES_MAX`].
    #[error("the credential is longer than any token")]
    TooLong,
}

/// The one credential of our shapes in a request: in `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `api-key`,
/// or as the parameter `key`. `head` is the slice that was parsed.
///
/// # Errors
/// There are two different ones, or it is too long.
pub fn find<'a>(
    parsed: &'a RequestHead,
    head: &'a [u8],
    shapes: Shapes,
) -> Result<Option<&'a [u8]>, CredentialError> {
    if shapes == Shapes::default() {
        return Ok(None);
    }
    let mut found: Option<&'a [u8]> = None;
    let fields = parsed
        .headers
        .pairs(head)
        .filter_map(|(name, value)| credential(name, value));
    let parameters = query::keys(parsed.target.of(head));
    for value in fields.chain(parameters) {
        if !has_shape(value, shapes) {
            continue;
        }
        if found.is_some_and(|other| other != value) {
            return Err(CredentialError::Ambiguous);
        }
        found = Some(value);
    }
    match found {
        Some(value) if value.len() > BEARER_BYTES_MAX => Err(CredentialError::TooLong),
        found => Ok(found),
    }
}

/// What a field shows as a credential, if it is one of the fields that do.
#[must_use]
pub fn credential<'a>(name: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let known: &[u8] = match name.len() {
        7 => b"api-key",
        9 => b"x-api-key",
        13 => return same(name, b"authorization").then(|| bearer(value)).flatten(),
        14 => b"x-goog-api-key",
        _ => return None,
    };
    same(name, known).then_some(value)
}

/// What follows the scheme `Bearer` and its spaces (RFC 6750 §2.1); schemes have no letter case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(memchr(b' ', value)?)?;
    scheme.eq_ignore_ascii_case(b"bearer").then(|| rest.trim_ascii())
}

/// Whether a value has one of the shapes.
#[must_use]
pub fn has_shape(value: &[u8], shapes: Shapes) -> bool {
    (shapes.token && is_token(value)) || (shapes.jwt && is_jwt(value))
}

/// `slt_` and 43 characters of base64url.
#[must_use]
pub fn is_token(value: &[u8]) -> bool {
    value
        .strip_prefix(TOKEN_MARK)
        .is_some_and(|rest| rest.len() == TOKEN_CHARACTERS && rest.iter().all(|&b| base64url(b)))
}

fn is_jwt(value: &[u8]) -> bool {
    if !value.starts_with(b"eyJ") {
        return false;
    }
    let mut parts = value.split(|&b| b == b'.');
    let mut next = || parts.next().filter(|part| part.iter().all(|&b| base64url(b)));
    let (Some(_), Some(payload), Some(_)) = (next(), next(), next()) else {
        return false;
    };
    !payload.is_empty() && parts.next().is_none()
}

const fn base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Entry for fuzzing: whatever the head, an answer; what is found stands in the head and has the shape.
#[doc(hidden)]
pub fn fuzz_credential(data: &[u8]) {
    let shapes = Shapes {
        token: true,
        jwt: true,
    };
    let Ok(parsed) = super::parse_request(data, &super::HeadLimits::default()) else {
        return;
    };
    if let Ok(Some(found)) = find(&parsed, data, shapes) {
        assert!(has_shape(found, shapes) && memchr::memmem::find(data, found).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, parse_request};

    const A: &str = "slt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "slt_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";
    const BOTH: Shapes = Shapes {
        token: true,
        jwt: true,
    };

    fn find_in(target: &str, fields: &str, shapes: Shapes) -> Result<Option<String>, CredentialError> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let parsed = parse_request(head.as_bytes(), &HeadLimits::default()).unwrap();
        fuzz_credential(head.as_bytes());
        find(&parsed, head.as_bytes(), shapes)
            .map(|found| found.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[test]
    fn every_place_and_spelling_is_seen() {
        let check = |target: &str, fields: &str, expected: Option<&str>| {
            let found = find_in(target, fields, BOTH);
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{target} {fields:?}");
        };
        let field = |fields: String, expected| check("/", &fields, expected);
        for value in [A, JWT, "eyJhbGciOiJub25lIn0.e30."] {
            for name in ["x-api-key", "x-goog-api-key", "api-key"] {
                for spelling in [
                    name.to_owned(),
                    name.to_uppercase(),
                    name.replace('-', "_"),
                    name.replacen('-', "_", 1),
                ] {
                    field(format!("{spelling}: {value}\r\n"), Some(value));
                    field(format!("{spelling}:{value}  \r\n"), Some(value));
                    field(
                        format!("{spelling}: {value}\r\n{spelling}: {value}\r\n"),
                        Some(value),
                    );
                    field(
                        format!("{spelling}: {value}\r\nConnection: {spelling}\r\n"),
                        Some(value),
                    );
                }
                // Not a scheme's place.
                field(format!("{name}: Bearer {value}\r\n"), None);
            }
            for scheme in ["Bearer", "bearer", "BEARER", "Bearer  "] {
                field(format!("Authorization: {scheme} {value}\r\n"), Some(value));
                field(format!("AUTHORIZATION: {scheme} {value}\r\n"), Some(value));
            }
            for scheme in ["", "Basic ", "Bearer", "Bearer\t", "Token ", "Bearer x "] {
                field(format!("Authorization: {scheme}{value}\r\n"), None);
            }
            for target in [
                format!("/?key={value}"),
                format!("/p?a=b&key={value}&c"),
                format!("/?%6Bey={value}"),
                format!("/?KEY={value}"),
                format!("/?$key={value}"),
            ] {
                check(&target, "", Some(value));
            }
            for target in [
                format!("/?akey={value}"),
                format!("/?a={value}"),
                format!("/{value}"),
            ] {
                check(&target, "", None);
            }
            field(format!("Cookie: {value}\r\nX-Auth-Token: {value}\r\n"), None);
        }
    }

    #[test]
    fn other_values_are_none_of_ours() {
        let check = |value: &str| {
            let fields = format!("x-api-key: {value}\r\nAuthorization: Bearer {value}\r\n");
            assert_eq!(find_in("/", &fields, BOTH), Ok(None), "{value}");
        };
        let shorter = &A[..A.len() - 1];
        let longer = format!("{A}A");
        let foreign = A.replace("AAA", "A+A");
        for value in [
            "",
            "sk-ant-api03-abc",
            "anything",
            "slt_",
            shorter,
            &longer,
            &foreign,
            &A.to_uppercase(),
            "SLT_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "eyJ",
            "eyJhbGciOiJFUzI1NiJ9",
            "eyJhbGciOiJFUzI1NiJ9.e30",
            "eyJhbGciOiJFUzI1NiJ9..c2ln",
            "eyJhbGciOiJFUzI1NiJ9.e30.c2ln.e30.c2ln",
            "eyJhbGciOiJFUzI1NiJ9.e30=.c2ln",
            "abc.def.ghi",
        ] {
            check(value);
        }
    }

    #[test]
    fn shapes_that_are_not_asked_for_are_not_seen() {
        let token = Shapes {
            token: true,
            jwt: false,
        };
        let jwt = Shapes {
            token: false,
            jwt: true,
        };
        let fields = format!("x-api-key: {A}\r\nAuthorization: Bearer {JWT}\r\n");
        assert_eq!(find_in("/", &fields, token), Ok(Some(A.into())));
        assert_eq!(find_in("/", &fields, jwt), Ok(Some(JWT.into())));
        assert_eq!(find_in("/", &fields, Shapes::default()), Ok(None));
        assert_eq!(find_in("/", &fields, BOTH), Err(CredentialError::Ambiguous));
    }

    #[test]
    fn two_that_differ_are_ambiguous_wherever_they_stand() {
        let places = |value: &str| {
            [
                ("/".to_owned(), format!("Authorization: Bearer {value}\r\n")),
                ("/".to_owned(), format!("x-api-key: {value}\r\n")),
                ("/".to_owned(), format!("X_Api_Key: {value}\r\n")),
                ("/".to_owned(), format!("x-goog-api-key: {value}\r\n")),
                ("/".to_owned(), format!("api_key: {value}\r\n")),
                (format!("/?key={value}"), String::new()),
            ]
        };
        for (target, fields) in places(A) {
            for (other_target, other_fields) in places(B) {
                let target = if target.len() > 1 { &target } else { &other_target };
                if target.contains(A) && other_target.contains(B) {
                    continue;
                }
                let both = format!("{fields}{other_fields}");
                assert_eq!(
                    find_in(target, &both, BOTH),
                    Err(CredentialError::Ambiguous),
                    "{both}"
                );
                let same = both.replace(B, A);
                assert_eq!(find_in(&target.replace(B, A), &same, BOTH), Ok(Some(A.into())));
            }
        }
        assert_eq!(
            find_in(&format!("/?key={A}&key={B}"), "", BOTH),
            Err(CredentialError::Ambiguous)
        );
    }

    #[test]
    fn a_token_too_long_to_be_one_is_refused() {
        let long = format!("eyJ{}.e30.c2ln", "A".repeat(BEARER_BYTES_MAX));
        let fields = format!("Authorization: Bearer {long}\r\n");
        assert_eq!(find_in("/", &fields, BOTH), Err(CredentialError::TooLong));
    }
}
