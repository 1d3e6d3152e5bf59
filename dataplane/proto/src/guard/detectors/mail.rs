//! E-mail addresses and passwords in URLs.

use memchr::{memchr_iter, memmem};

use super::{Detector, Sink, View};

/// Longest local part (RFC 5321 §4.5.3.1.1). Of a longer run the end counts.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 254;
/// Longest user and password of a URL.
const USER_INFO_BYTES_MAX: usize = 160;

const fn local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

const fn domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

const fn user_info(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'/' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`' | b'?' | b'#'
        )
}

pub(super) fn search(view: View<'_>, sink: &mut Sink<'_>) {
    if sink.wants(Detector::Email) {
        for at in memchr_iter(b'@', view.text) {
            address(view, at, sink);
        }
        let len = view.text.len();
        let start = view.run_back(len, LOCAL_BYTES_MAX, local);
        if !view.ended && start < len {
            sink.more(start);
        }
    }
    if sink.wants(Detector::UrlPassword) {
        for at in memmem::find_iter(view.text, b"://") {
            credentials(view, at, sink);
        }
    }
}

fn address(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    let mut start = view.run_back(at, LOCAL_BYTES_MAX, local);
    if start > 0 && view.at(start - 1) == Some(b'\\') && view.begins(start + 1) {
        start += 1;
    }
    while start < at && matches!(view.at(start), Some(b'.' | b'-' | b'%')) {
        start += 1;
    }
    if start == at {
        return;
    }
    let mut end = view.run(at + 1, DOMAIN_BYTES_MAX, domain);
    if view.open_at(end) {
        return sink.more(start);
    }
    let name = view.slice(at + 1..end);
    if let Some(doubled) = name.windows(2).position(|two| two == b"..") {
        end = at + 1 + doubled;
    }
    while end > at + 1 && matches!(view.at(end - 1), Some(b'.' | b'-')) {
        end -= 1;
    }
    let name = view.slice(at + 1..end);
    let mut labels = name.split(|byte| *byte == b'.');
    let Some(top) = labels.next_back() else {
        return;
    };
    let first = labels.clone().next();
    let well_formed = labels.all(|label| (1..=63).contains(&label.len()) && !label.starts_with(b"-"));
    let top_level = (2..=24).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic)
        || top.starts_with(b"xn--") && top.len() <= 63;
    // `icon@2x.png` is a picture, and `git@host` the account of everybody.
    let picture = matches!(first, Some(b"1x" | b"2x" | b"3x" | b"4x"));
    let everybody = view.slice(start..at) == b"git";
    if first.is_some() && well_formed && top_level && !picture && !everybody {
        sink.found(Detector::Email, start..end);
    }
}

/// `scheme://user:password@host`: the password is found, the rest is not secret. `://` stands at `at`.
fn credentials(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    let start = at + 3;
    let end = view.run(start, USER_INFO_BYTES_MAX, user_info);
    let info = view.slice(start..end);
    let Some(colon) = info.iter().position(|byte| *byte == b':') else {
        return;
    };
    let password = start + colon + 1;
    if view.open_at(end) && info.len() < USER_INFO_BYTES_MAX {
        // Another `@` may follow: the last one counts.
        return sink.more(password);
    }
    let Some(sign) = info
        .iter()
        .rposition(|byte| *byte == b'@')
        .map(|sign| start + sign)
    else {
        return;
    };
    let scheme = at.checked_sub(1).and_then(|at| view.at(at));
    let host = view.at(sign + 1);
    let scheme = scheme.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let host = host.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[');
    if scheme && host && password < sign && !placeholder(view.slice(password..sign)) {
        sink.found(Detector::UrlPassword, password..sign);
    }
}

/// Words that stand for a password in documentation.
fn placeholder(password: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [
        b"password",
        b"passwd",
        b"pass",
        b"pwd",
        b"secret",
        b"yourpassword",
    ];
    let first = password.first().copied().unwrap_or_default();
    matches!(first, b'$' | b'{' | b'[' | b'%') && !password.iter().skip(1).all(u8::is_ascii_alphanumeric)
        || password.iter().all(|byte| *byte == first)
        || matches!(first, b'$')
        || WORDS.iter().any(|word| password.eq_ignore_ascii_case(word))
}
