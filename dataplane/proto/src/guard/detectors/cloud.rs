//! Secrets without a shape of their own, found by what stands before them.

use super::{Detector, Sink, View, word};

/// Bytes between a name and its value, at most.
const GAP_BYTES_MAX: usize = 16;

const fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

const fn lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

/// A literal that announces a secret stands at `at`. What is held back is the secret alone: the announcement is still in
/// sight when it comes.
pub(super) fn keyword(view: View<'_>, at: usize, literal: &[u8], sink: &mut Sink<'_>) {
    let behind = at + literal.len();
    match literal {
        b"AccountKey=" | b"AccessKey=" => azure_key(view, behind, sink),
        b"sig=" => azure_signature(view, at, behind, sink),
        b"private_key_id" => {
            if sink.wants(Detector::GcpServiceAccount) {
                let value = view.run(behind, GAP_BYTES_MAX, |byte| !byte.is_ascii_alphanumeric());
                exactly(view, value, 40, lower_hex, Detector::GcpServiceAccount, sink);
            }
        }
        _ => {
            if sink.wants(Detector::AwsSecretKey) {
                aws_secret(view, at, sink);
            }
        }
    }
}

/// The value of a key that says that it is an AWS secret.
pub(super) fn named(view: View<'_>, sink: &mut Sink<'_>) {
    let tail = view.name.len().saturating_sub(40);
    if sink.wants(Detector::AwsSecretKey)
        && !view.cut
        && names_aws_secret(view.name.get(tail..).unwrap_or_default())
    {
        let value = view.run(0, GAP_BYTES_MAX, |byte| !base64(byte));
        exactly(view, value, 40, base64, Detector::AwsSecretKey, sink);
    }
}

/// 64 bytes in base64 for accounts, 32 for shared access keys (Azure's documentation, 2025).
fn azure_key(view: View<'_>, value: usize, sink: &mut Sink<'_>) {
    if !sink.wants(Detector::AzureKey) {
        return;
    }
    let end = view.run(value, 89, |byte| base64(byte) || byte == b'=');
    if view.open_at(end) && end - value <= 88 {
        sink.more(value);
    } else if matches!(end - value, 44 | 88) && view.at(end - 1) == Some(b'=') {
        sink.found(Detector::AzureKey, value..end);
    }
}

/// An HMAC-SHA256 in base64, its signs escaped for URLs or not.
fn azure_signature(view: View<'_>, at: usize, value: usize, sink: &mut Sink<'_>) {
    let before = at.checked_sub(1).and_then(|at| view.at(at));
    if !sink.wants(Detector::AzureSas) || !matches!(before, Some(b'?' | b'&' | b';' | b'"' | b'\'')) {
        return;
    }
    let end = view.run(value, 136, |byte| base64(byte) || matches!(byte, b'=' | b'%'));
    if view.open_at(end) {
        return sink.more(value);
    }
    let signature = view.slice(value..end);
    let escapes = signature.iter().filter(|byte| **byte == b'%').count();
    if matches!(signature.len().saturating_sub(escapes * 2), 43 | 44) {
        sink.found(Detector::AzureSas, value..end);
    }
}

/// `secret` stands at `at`: does it go on as the name of an AWS secret access key, with one behind it?
fn aws_secret(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    let to = view.run(at, 24, |byte| {
        byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b' ')
    });
    if !names_aws_secret(view.slice(at..to)) {
        return;
    }
    let mut at = to;
    while at < to + GAP_BYTES_MAX {
        at = view.run(at, GAP_BYTES_MAX, |byte| !base64(byte));
        let end = view.run(at, 41, base64);
        if view.open_at(end) || end - at == 40 {
            return exactly(view, at, 40, base64, Detector::AwsSecretKey, sink);
        }
        if end == at {
            return;
        }
        at = end;
    }
}

/// Whether a name says `secret access key` or `secret key`, however it is put together.
fn names_aws_secret(name: &[u8]) -> bool {
    let plain: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .map(u8::to_ascii_lowercase)
        .collect();
    let says = |words: &[u8]| plain.windows(words.len()).any(|window| window == words);
    says(b"secretaccesskey") || says(b"secretkey")
}

/// Exactly `len` bytes of a class, drawn by lot.
fn exactly(
    view: View<'_>,
    at: usize,
    len: usize,
    class: fn(u8) -> bool,
    detector: Detector,
    sink: &mut Sink<'_>,
) {
    let end = view.run(at, len + 1, class);
    if view.open_at(end) && end - at <= len {
        if end > at {
            sink.more(at);
        }
        return;
    }
    let value = view.slice(at..end);
    let other = |byte: &u8| match detector {
        Detector::AwsSecretKey => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_digit(),
    };
    let mixed = value.iter().any(u8::is_ascii_lowercase) && value.iter().any(other);
    if value.len() == len && mixed && (view.at(end) != Some(b'=')) && !view.at(end).is_some_and(word) {
        sink.found(detector, at..end);
    }
}
