//! Words that hold a digit, and numbers written in groups.
//!
//! Bytes without a digit are passed over in blocks, which the compiler vectorises. From the beginning of each word with a
//! digit the recognisers of numbers are asked: a number is a run of groups of digits with one separator between two of
//! them, read at most once for each of its groups and never beyond 20 digits, so that a text of nothing but digits costs a
//! constant for each byte.

use super::{Detector, Mask, Sink, View, address, bank, national, phone, word};

/// Detectors that need a digit.
pub(super) const ALL: Mask = Detector::Phone.bit()
    | Detector::Card.bit()
    | Detector::Iban.bit()
    | Detector::Ssn.bit()
    | Detector::GbNino.bit()
    | Detector::EsDni.bit()
    | Detector::FrNir.bit()
    | Detector::DeTaxId.bit()
    | Detector::ItCodiceFiscale.bit()
    | Detector::BrCpf.bit()
    | Detector::BrCnpj.bit()
    | Detector::NlBsn.bit()
    | Detector::PlPesel.bit()
    | Detector::SePersonnummer.bit()
    | Detector::InAadhaar.bit()
    | Detector::CaSin.bit()
    | Detector::Ip.bit()
    | Detector::TelegramToken.bit()
    | Detector::TwilioKey.bit();

/// Letters before the first digit of a word that matter: the longest beginning is that of a codice fiscale, and Twilio's ids
/// are 34 bytes in all.
const LETTERS_MAX: usize = 34;

pub(super) fn search(view: View<'_>, sink: &mut Sink<'_>) {
    let text = view.text;
    let mut from = 0;
    while let Some(digit) = next_digit(text, from) {
        let mut start = view.run_back(digit, (digit - from).min(LETTERS_MAX + 1), word);
        if start > 0 && view.at(start - 1) == Some(b'\\') && view.begins(start + 1) {
            start += 1;
        }
        let end = view.run(digit, usize::MAX, word);
        if view.begins(start) {
            if start == digit {
                number(view, start, sink);
            } else {
                letters_first(view, start, digit, end, sink);
            }
        }
        if sink.wants(Detector::Ip) {
            address::v6(view, start, end, sink);
        }
        from = end;
    }
    if !view.ended {
        unfinished(view, sink);
    }
}

/// Offset of the first digit from `from` on.
fn next_digit(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut passed = 0;
    for block in rest.chunks(64) {
        let any = block
            .iter()
            .fold(false, |any, byte| any | (byte.wrapping_sub(b'0') < 10));
        if any {
            let at = block.iter().position(u8::is_ascii_digit)?;
            return Some(from + passed + at);
        }
        passed += block.len();
    }
    None
}

/// A word of letters and digits.
fn letters_first(view: View<'_>, start: usize, digit: usize, end: usize, sink: &mut Sink<'_>) {
    match digit - start {
        1 => national::nie(view, start, end, sink),
        2 => {
            bank::iban(view, start, sink);
            national::nino(view, start, end, sink);
        }
        6 => national::codice_fiscale(view, start, end, sink),
        _ => {}
    }
    if sink.wants(Detector::TwilioKey) {
        twilio(view, start, end, sink);
    }
}

/// `AC` or `SK` and 32 hexadecimal digits.
fn twilio(view: View<'_>, start: usize, end: usize, sink: &mut Sink<'_>) {
    const LEN: usize = 34;
    let id = view.slice(start..end.min(start + LEN + 1));
    let (prefix, rest) = id.split_at(id.len().min(2));
    let hex = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    if !matches!(prefix, b"AC" | b"SK") || !rest.iter().all(hex) || id.len() > LEN {
        return;
    }
    if view.open_at(end) {
        sink.more(start);
    } else if id.len() == LEN {
        sink.found(Detector::TwilioKey, start..end);
    }
}

/// Most groups of a number.
const GROUPS_MAX: usize = 8;
/// Most digits of a number: a card's 19, and one to see that there are more.
const DIGITS_MAX: usize = 20;

/// A group of digits.
#[derive(Clone, Copy, Debug, Default)]
struct GroupOfDigits {
    len: usize,
    end: usize,
    /// What separates it from the next; 0: no group follows.
    separator: u8,
}

/// A number in groups.
pub(super) struct Number {
    pub(super) start: usize,
    digits: [u8; DIGITS_MAX],
    groups: [GroupOfDigits; GROUPS_MAX],
    count: usize,
    /// The last group runs into letters or more digits than are read.
    dirty: bool,
    /// It is part of a longer one by a sign that joins: `.` `-` `/` or a comma.
    pub(super) joined_before: bool,
    /// A digit and a space stand before it: it may be the end of a longer one.
    pub(super) spaced_before: bool,
}

/// Kinds of separators: what looks like a space or a hyphen is one.
fn separator(view: View<'_>, at: usize) -> Option<(u8, usize)> {
    match view.at(at)? {
        byte @ (b' ' | b'-' | b'.' | b'/') => Some((byte, 1)),
        0xC2 if view.at(at + 1) == Some(0xA0) => Some((b' ', 2)),
        0xE2 if view.at(at + 1) == Some(0x80) => match view.at(at + 2)? {
            0xAF | 0x89 => Some((b' ', 3)),
            0x90..=0x93 => Some((b'-', 3)),
            _ => None,
        },
        _ => None,
    }
}

impl Number {
    /// Reads the number that begins at `start`; `None`: the end of the text cuts it.
    fn read(view: View<'_>, start: usize) -> Option<Self> {
        let mut number = Self {
            start,
            digits: [0; DIGITS_MAX],
            groups: [GroupOfDigits::default(); GROUPS_MAX],
            count: 0,
            dirty: false,
            joined_before: false,
            spaced_before: false,
        };
        let mut total = 0;
        let mut at = start;
        loop {
            let first = at;
            while let Some(digit) = view.at(at).filter(u8::is_ascii_digit) {
                let Some(slot) = number.digits.get_mut(total) else {
                    number.dirty = true;
                    break;
                };
                *slot = digit - b'0';
                total += 1;
                at += 1;
            }
            let group = number.groups.get_mut(number.count)?;
            (group.len, group.end) = (at - first, at);
            number.count += 1;
            if number.dirty {
                break;
            }
            // Two bytes behind are looked at by some.
            if view.open_at(at + 3)
                && (view.open_at(at) || separator(view, at).is_some() || view.at(at) >= Some(0x80))
            {
                return None;
            }
            match separator(view, at) {
                Some((kind, bytes))
                    if number.count < GROUPS_MAX
                        && total < DIGITS_MAX
                        && view.at(at + bytes).is_some_and(|byte| byte.is_ascii_digit()) =>
                {
                    group.separator = kind;
                    at += bytes;
                }
                _ => break,
            }
        }
        number.dirty |= !view.ends(at);
        let before = |back: usize| start.checked_sub(back).and_then(|at| view.at(at));
        let digit_before = before(2).is_some_and(|byte| byte.is_ascii_digit());
        number.joined_before = digit_before && matches!(before(1), Some(b'.' | b'-' | b'/' | b','));
        number.spaced_before = digit_before && before(1) == Some(b' ');
        Some(number)
    }

    /// The first digits.
    pub(super) fn digits(&self, count: usize) -> &[u8] {
        self.digits.get(..count).unwrap_or_default()
    }

    pub(super) fn first_len(&self) -> usize {
        self.groups[0].len
    }

    pub(super) const fn groups(&self) -> usize {
        self.count
    }

    /// End of the number if its first groups are as long as `lens` with these separators between, and it is not the beginning of a
    /// longer one.
    pub(super) fn shaped(&self, lens: &[usize], separators: &[u8]) -> Option<usize> {
        if self.count < lens.len() || separators.len() + 1 != lens.len() {
            return None;
        }
        let like = self.groups.iter().zip(lens).all(|(group, len)| group.len == *len);
        let separated = self
            .groups
            .iter()
            .zip(separators)
            .all(|(group, kind)| group.separator == *kind);
        let last = self.groups.get(lens.len() - 1)?;
        let clean = if self.count == lens.len() {
            !self.dirty
        } else {
            last.separator == b' '
        };
        (like && separated && clean).then_some(last.end)
    }

    /// End of the number if it is one group of this length.
    pub(super) fn plain(&self, len: usize) -> Option<usize> {
        self.shaped(&[len], &[])
    }

    /// As [`Self::shaped`], with the same separator between all groups, one of those given.
    pub(super) fn even(&self, lens: &[usize], separators: &[u8]) -> Option<usize> {
        let kind = self.groups[0].separator;
        let all = [kind; GROUPS_MAX];
        if !separators.contains(&kind) {
            return None;
        }
        self.shaped(lens, all.get(..lens.len().checked_sub(1)?)?)
    }
}

/// A word that begins with a digit.
fn number(view: View<'_>, start: usize, sink: &mut Sink<'_>) {
    if short(view, start) {
        return;
    }
    let Some(number) = Number::read(view, start) else {
        return sink.more(beginning(view, start));
    };
    let total: usize = number.groups.iter().map(|group| group.len).sum();
    if sink.wants(Detector::Phone) {
        phone::with_sign(view, start, sink);
    }
    if sink.wants(Detector::GbNino) && number.first_len() == 2 {
        national::nino_grouped(view, &number, sink);
    }
    if total < 4 {
        return;
    }
    if sink.wants(Detector::Ip) {
        address::v4(view, &number, sink);
    }
    if total < 8 {
        return;
    }
    bank::card(&number, sink);
    national::number(view, &number, sink);
    if sink.wants(Detector::Phone) {
        phone::national(view, &number, sink);
    }
    if sink.wants(Detector::TelegramToken) {
        telegram(view, &number, sink);
    }
}

/// Whether a number is one group of fewer than eight digits without a sign before it: years, pages, amounts, which nothing looks
/// for. The end of the text must be out of sight.
fn short(view: View<'_>, start: usize) -> bool {
    let end = view.run(start, 8, |byte| byte.is_ascii_digit());
    let signed = matches!(start.checked_sub(1).and_then(|at| view.at(at)), Some(b'+' | b'('));
    let goes_on = || {
        separator(view, end)
            .is_some_and(|(_, bytes)| view.at(end + bytes).is_some_and(|byte| byte.is_ascii_digit()))
    };
    end - start < 8 && !signed && !view.open_at(end + 4) && !goes_on()
}

/// Where what a number may be part of begins: a sign of a telephone number, or the letters of a national insurance number.
fn beginning(view: View<'_>, start: usize) -> usize {
    let before = |back: usize| start.checked_sub(back).and_then(|at| view.at(at));
    match (before(2), before(1)) {
        (Some(b'+'), Some(b'(')) | (Some(b'('), Some(b'+')) => start - 2,
        (_, Some(b'+' | b'(')) => start - 1,
        (Some(b'A'..=b'Z'), Some(b' ')) if before(3).is_some_and(|byte| byte.is_ascii_uppercase()) => {
            start - 3
        }
        _ => start,
    }
}

/// The number of a bot, a colon, and 35 bytes of base64url.
fn telegram(view: View<'_>, number: &Number, sink: &mut Sink<'_>) {
    let colon = number.start + number.first_len();
    if !(8..=10).contains(&number.first_len()) || view.at(colon) != Some(b':') {
        return;
    }
    let end = view.run(colon + 1, 36, |byte| word(byte) || byte == b'-');
    if view.open_at(end) && end - colon <= 36 {
        sink.more(number.start);
    } else if end - colon == 36 && view.at(colon + 1) == Some(b'A') {
        sink.found(Detector::TelegramToken, number.start..end);
    }
}

/// What the end of the text cuts before its first digit.
fn unfinished(view: View<'_>, sink: &mut Sink<'_>) {
    let len = view.text.len();
    let mut start = view.run_back(len, LETTERS_MAX + 1, |byte| byte.is_ascii_alphanumeric());
    if start == len {
        let before = |back: usize| len.checked_sub(back).and_then(|at| view.at(at));
        match (before(1), before(2)) {
            (Some(b'+' | b'('), Some(b'+' | b'(')) => sink.more(len - 2),
            (Some(b'+' | b'('), _) => sink.more(len - 1),
            (Some(b' '), Some(b'A'..=b'Z')) => {
                start = view.run_back(len - 1, 3, |byte| byte.is_ascii_uppercase());
                if len - 1 - start == 2 && view.begins(start) {
                    sink.more(start);
                }
            }
            _ => {}
        }
    } else if view.begins(start) {
        let bytes = view.slice(start..len);
        let twilio = bytes.starts_with(b"AC") || bytes.starts_with(b"SK");
        if bytes.len() <= 6 || twilio && bytes.len() <= LETTERS_MAX {
            sink.more(start);
        }
    }
    if sink.wants(Detector::Ip) {
        address::unfinished(view, sink);
    }
}
