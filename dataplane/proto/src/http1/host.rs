//! `Host = uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).

use std::net::Ipv6Addr;

use super::bytes::{is_hex_pair, is_reg_name_byte};

/// Whether a `Host` value is within the grammar and not empty.
///
/// Decisions: an empty host is refused though RFC 3986 knows one, since an http URI has none (RFC 9110 §4.2.1); a
/// comma is refused though it is a sub-delimiter, since it is what a merge of two `Host` fields leaves; a port may be
/// empty, as in the grammar, but not above 65535; zone identifiers are refused, being no part of RFC 3986.
pub(super) fn is_valid(value: &[u8]) -> bool {
    let (host_is_valid, rest) = match value.split_first() {
        Some((b'[', after)) => {
            let Some(end) = memchr::memchr(b']', after) else {
                return false;
            };
            let (literal, rest) = after.split_at(end);
            (is_ip_literal(literal), rest.get(1..).unwrap_or_default())
        }
        _ => {
            let (name, rest) = value.split_at(memchr::memchr(b':', value).unwrap_or(value.len()));
            (!name.is_empty() && is_reg_name(name), rest)
        }
    };
    host_is_valid
        && match rest.split_first() {
            None => true,
            Some((b':', port)) => is_port(port),
            Some(_) => false,
        }
}

/// `*( unreserved / pct-encoded / sub-delims )` without the comma; IPv4 addresses are among these.
fn is_reg_name(name: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&b) = name.get(at) {
        match b {
            b'%' if is_hex_pair(name, at + 1) => at += 3,
            b',' => return false,
            _ if is_reg_name_byte(b) => at += 1,
            _ => return false,
        }
    }
    true
}

/// `IPv6address / IPvFuture`
fn is_ip_literal(literal: &[u8]) -> bool {
    match literal.split_first() {
        Some((b'v' | b'V', future)) => {
            let (version, rest) = future.split_at(memchr::memchr(b'.', future).unwrap_or(future.len()));
            let address = rest.get(1..).unwrap_or_default();
            !version.is_empty()
                && version.iter().all(u8::is_ascii_hexdigit)
                && !address.is_empty()
                && address.iter().all(|&b| is_reg_name_byte(b) || b == b':')
        }
        _ => std::str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}

/// `*DIGIT`, at most 65535.
fn is_port(port: &[u8]) -> bool {
    port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0u32, |sum, d| {
            sum.saturating_mul(10)
                .saturating_add(u32::from(d.saturating_sub(b'0')))
        }) <= 65_535
}
