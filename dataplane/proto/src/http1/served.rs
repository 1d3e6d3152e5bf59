//! The identity headers of `tailscale serve`, read as strictly as they are written.
//!
//! `tailscale serve` removes what the client sent under the exact names and sets its own: `Tailscale-User-Login`, for
//! tailnet peers that are people; `Tailscale-App-Capabilities`, where it was told to; `Tailscale-Funnel-Request: ?1` for
//! whoever comes from the internet. It does not remove other spellings (`Tailscale_User_Login`), so a request with any
//! of these is nobody's. Text that is not ASCII comes as encoded-words of the Q encoding in UTF-8 (RFC 2047 §4.2).

use std::borrow::Cow;

use super::RequestHead;
use super::names::same;

/// Longest login, in bytes, decoded.
pub const LOGIN_BYTES_MAX: usize = 1_024;
/// Longest `Tailscale-App-Capabilities`, in bytes, decoded.
pub const CAPABILITIES_BYTES_MAX: usize = 32 << 10;

const LOGIN: &[u8] = b"tailscale-user-login";
const CAPABILITIES: &[u8] = b"tailscale-app-capabilities";
const FUNNEL: &[u8] = b"tailscale-funnel-request";

/// What the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served<'a> {
    /// They name nobody: a tagged device, somebody outside the tailnet, a process on this machine.
    Nobody,
    /// They name a person.
    User {
        /// The login, never empty.
        login: Cow<'a, str>,
        /// JSON; empty if absent.
        capabilities: Cow<'a, str>,
    },
}

/// Why a request with such headers is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServedError {
    /// It came through Funnel, from the internet.
    #[error("requests through Funnel come from nobody that is known")]
    Funnel,
    /// A header stands twice, in another spelling, or is named by `Connection`.
    #[error("the identity headers are ambiguous")]
    Ambiguous,
    /// A value is no text, or too long.
    #[error("the identity headers cannot be read")]
    Value,
}

/// Reads the headers. Only for a listener that stands behind `tailscale serve`, and a peer that is this machine.
///
/// # Errors
/// See [`ServedError`].
pub fn served<'a>(parsed: &'a RequestHead, head: &'a [u8]) -> Result<Served<'a>, ServedError> {
    let mut login = None;
    let mut capabilities = None;
    for (name, value) in parsed.headers.pairs(head) {
        if same(name, FUNNEL) {
            return Err(ServedError::Funnel);
        }
        let place = if same(name, LOGIN) {
            &mut login
        } else if same(name, CAPABILITIES) {
            &mut capabilities
        } else {
            continue;
        };
        let exact = !name.contains(&b'_') && !parsed.connection.nominates(name, head);
        if !exact || place.replace(value).is_some() {
            return Err(ServedError::Ambiguous);
        }
    }
    let Some(login) = login else {
        return Ok(Served::Nobody);
    };
    let login = text(login, LOGIN_BYTES_MAX).ok_or(ServedError::Value)?;
    if login.is_empty() {
        return Err(ServedError::Value);
    }
    let capabilities = match capabilities {
        None => Cow::Borrowed(""),
        Some(value) => text(value, CAPABILITIES_BYTES_MAX).ok_or(ServedError::Value)?,
    };
    Ok(Served::User { login, capabilities })
}

/// A value as text: printable ASCII as it stands, or nothing but encoded-words with single spaces between, which fall
/// away (RFC 2047 §6.2). `None`: neither, above `bytes_max`, or with a control character.
#[must_use]
pub fn text(value: &[u8], bytes_max: usize) -> Option<Cow<'_, str>> {
    if !value.starts_with(b"=?") {
        let plain = value.len() <= bytes_max && value.iter().all(|&b| b == b' ' || b.is_ascii_graphic());
        return std::str::from_utf8(value)
            .ok()
            .filter(|_| plain)
            .map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(value.len().min(bytes_max));
    for word in value.split(|&b| b == b' ') {
        encoded_word(word, &mut out)?;
        if out.len() > bytes_max {
            return None;
        }
    }
    let text = String::from_utf8(out).ok()?;
    (!text.chars().any(char::is_control)).then_some(Cow::Owned(text))
}

/// `=?utf-8?q?…?=`, letter case of charset and encoding aside.
fn encoded_word(word: &[u8], out: &mut Vec<u8>) -> Option<()> {
    const MARK: &[u8] = b"=?utf-8?q?";
    let (mark, rest) = word.split_at_checked(MARK.len())?;
    let mut rest = rest.strip_suffix(b"?=")?;
    if !mark.eq_ignore_ascii_case(MARK) {
        return None;
    }
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'_' => out.push(b' '),
            b'=' => {
                let [high, low, tail @ ..] = tail else { return None };
                let digit = |byte: u8| {
                    char::from(byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                out.push(digit(*high)? << 4 | digit(*low)?);
                rest = tail;
            }
            b'?' => return None,
            byte if byte.is_ascii_graphic() => out.push(byte),
            _ => return None,
        }
    }
    Some(())
}

/// Entry for fuzzing: whatever the bytes, an answer; a text that is given is bounded and without control characters.
#[doc(hidden)]
pub fn fuzz_served(data: &[u8]) {
    for bytes_max in [0, 8, LOGIN_BYTES_MAX] {
        if let Some(text) = text(data, bytes_max) {
            assert!(text.len() <= bytes_max && !text.chars().any(char::is_control));
        }
    }
    if let Ok(parsed) = super::parse_request(data, &super::HeadLimits::default())
        && let Ok(Served::User { login, capabilities }) = served(&parsed, data)
    {
        assert!(!login.is_empty() && login.len() <= LOGIN_BYTES_MAX);
        assert!(capabilities.len() <= CAPABILITIES_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, parse_request};

    #[test]
    fn values_are_text_or_nothing() {
        let check = |value: &str, expected: Option<&str>| {
            assert_eq!(text(value.as_bytes(), 40).as_deref(), expected, "{value}");
            for cut in 0..value.len() {
                fuzz_served(&value.as_bytes()[..cut]);
            }
        };
        check("alice@example.com", Some("alice@example.com"));
        check("A B", Some("A B"));
        check("", Some(""));
        check("=?utf-8?q?J=C3=BCrgen_M=C3=BCller?=", Some("Jürgen Müller"));
        check("=?UTF-8?Q?a=3D=3Fb?=", Some("a=?b"));
        check("=?utf-8?q?J=c3=bc?= =?utf-8?q?rgen?=", Some("Jürgen"));
        check("=?utf-8?q??=", Some(""));
        // A rune cut between two words is put together.
        check("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", Some("ü"));
        for bad in [
            "=?utf-8?q?J=C3?=",
            "=?utf-8?q?=FF?=",
            "=?utf-8?q?a=0D=0Ab?=",
            "=?utf-8?q?=7F?=",
            "=?utf-8?q?=C2=85?=",
            "=?utf-8?q?=0?=",
            "=?utf-8?q?=GG?=",
            "=?utf-8?q?a?b?=",
            "=?utf-8?q?a",
            "=?utf-8?q?=",
            "=?utf-8?b?YQ==?=",
            "=?iso-8859-1?q?=FC?=",
            "=?utf-8?q?a?=b",
            "=?utf-8?q?a?=  =?utf-8?q?b?=",
            "=?utf-8?q?a?= b",
            "=?utf-8?q?a\tb?=",
            "j\u{fc}rgen",
            "a\tb",
            "this is a plain value of more than forty bytes",
            "=?utf-8?q?this_is_an_encoded_value_of_more_than_forty_bytes?=",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn only_the_exact_headers_once_name_somebody() {
        let check = |fields: &str, expected: Result<Option<(&str, &str)>, ServedError>| {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let parsed = parse_request(head.as_bytes(), &HeadLimits::default()).unwrap();
            let found = served(&parsed, head.as_bytes());
            let expected = expected.map(|user| match user {
                None => Served::Nobody,
                Some((login, capabilities)) => Served::User {
                    login: login.into(),
                    capabilities: capabilities.into(),
                },
            });
            assert_eq!(found, expected, "{fields:?}");
        };
        let login = "Tailscale-User-Login: a@b\r\n";
        check("", Ok(None));
        check(
            "Tailscale-User-Name: A\r\nX-Forwarded-For: 100.64.0.1\r\n",
            Ok(None),
        );
        check(login, Ok(Some(("a@b", ""))));
        check(&login.to_lowercase(), Ok(Some(("a@b", ""))));
        check(
            "TAILSCALE-USER-LOGIN: =?utf-8?q?=C3=BC@b?=\r\n",
            Ok(Some(("ü@b", ""))),
        );
        let capabilities = "Tailscale-App-Capabilities: {\"c\":[{\"role\":\"user\"}]}\r\n";
        check(
            &format!("{login}{capabilities}"),
            Ok(Some(("a@b", "{\"c\":[{\"role\":\"user\"}]}"))),
        );
        check(capabilities, Ok(None));
        for other in [
            "Tailscale_User_Login: x\r\n",
            "Tailscale-User_Login: x\r\n",
            "tailscale_user-login: a@b\r\n",
            "Tailscale-User-Login: a@b\r\n",
            "Tailscale-App_Capabilities: {}\r\n",
            "Connection: tailscale-user-login\r\n",
        ] {
            check(&format!("{login}{other}"), Err(ServedError::Ambiguous));
            check(&format!("{other}{login}"), Err(ServedError::Ambiguous));
        }
        check("Tailscale_User_Login: a@b\r\n", Err(ServedError::Ambiguous));
        check(
            &format!("{login}{capabilities}{capabilities}"),
            Err(ServedError::Ambiguous),
        );
        for funnel in [
            "Tailscale-Funnel-Request: ?1\r\n",
            "tailscale_funnel_request:\r\n",
        ] {
            check(funnel, Err(ServedError::Funnel));
            check(&format!("{login}{funnel}"), Err(ServedError::Funnel));
        }
        check("Tailscale-User-Login:\r\n", Err(ServedError::Value));
        check("Tailscale-User-Login: =?utf-8?q??=\r\n", Err(ServedError::Value));
        check("Tailscale-User-Login: \u{fc}\r\n", Err(ServedError::Value));
        check(
            &format!("{login}Tailscale-App-Capabilities: \u{fc}\r\n"),
            Err(ServedError::Value),
        );
    }
}
