//! IP addresses. Those that lead nowhere are not found: loopback, unspecified, broadcast, and the ones set aside for
//! documentation (RFC 5737, RFC 3849). Private addresses are: they show how a network is built.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::digits::Number;
use super::{Detector, Sink, View, word};

/// Longest text of an address of version 6, with one of version 4 at its end.
const V6_BYTES_MAX: usize = 45;

/// A word that begins with a digit.
pub(super) fn v4(view: View<'_>, number: &Number, sink: &mut Sink<'_>) {
    if number.joined_before || number.groups() < 4 {
        return;
    }
    // Groups may go on behind a space; what counts is the first four.
    let end = view.run(number.start, 16, |byte| byte.is_ascii_digit() || byte == b'.');
    let text = view.slice(number.start..end);
    let text = text.strip_suffix(b".").unwrap_or(text);
    let end = number.start + text.len();
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<Ipv4Addr>().ok());
    let version = || {
        view.near(
            number.start,
            &[
                "version", "ver", "v", "release", "build", "chrome", "safari", "edg",
            ],
        ) || view.slice(number.start.saturating_sub(1)..number.start) == b"/"
    };
    let ends = view.ends(end) && !(view.at(end) == Some(b'-') && view.at(end + 1).is_some_and(word));
    if let Some(address) = parsed.filter(|_| ends)
        && !quiet_v4(address)
        && !version()
    {
        sink.found(Detector::Ip, number.start..end);
    }
}

fn quiet_v4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    address.is_loopback() || address.is_broadcast() || address.is_documentation() || first == 0
}

const fn v6_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

/// A word with a digit from `start` to `end`: is it part of an address of version 6?
pub(super) fn v6(view: View<'_>, start: usize, end: usize, sink: &mut Sink<'_>) {
    let colon = |at: Option<usize>| at.and_then(|at| view.at(at)) == Some(b':');
    if !colon(start.checked_sub(1)) && !colon(Some(end)) || end - start > 4 {
        return;
    }
    let from = view.run_back(start, V6_BYTES_MAX, v6_byte);
    let to = view.run(start, V6_BYTES_MAX, v6_byte);
    if view.open_at(to) && to - from <= V6_BYTES_MAX {
        return sink.more(from);
    }
    let text = view.slice(from..to);
    let trimmed = text.trim_ascii_end();
    let mut to = from + trimmed.len();
    while let Some(last) = to.checked_sub(1).filter(|last| *last >= from) {
        let single = view.at(last) == Some(b':') && !colon(last.checked_sub(1));
        if view.at(last) != Some(b'.') && !single {
            break;
        }
        to = last;
    }
    let text = view.slice(from..to);
    let first = text.split(|byte| *byte == b':').next().unwrap_or_default();
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<Ipv6Addr>().ok());
    if let Some(address) = parsed
        && first.len() >= 3
        && text.len() >= 6
        && view.begins(from)
        && view.ends(to)
        && !quiet_v6(address)
    {
        sink.found(Detector::Ip, from..to);
    }
}

fn quiet_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    address.is_loopback() || address.is_unspecified() || (first, second) == (0x2001, 0x0db8)
}

/// An address that the end of the text cuts.
pub(super) fn unfinished(view: View<'_>, sink: &mut Sink<'_>) {
    let len = view.text.len();
    let from = view.run_back(len, V6_BYTES_MAX, v6_byte);
    if view.slice(from..len).contains(&b':') && view.begins(from) {
        sink.more(from);
    }
}
