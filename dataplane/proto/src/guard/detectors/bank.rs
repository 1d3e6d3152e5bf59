//! Cards (ISO/IEC 7812) and bank accounts (ISO 13616).

use super::digits::Number;
use super::{Detector, Sink, View};

/// Groups in which card numbers are printed.
const CARDS: &[&[usize]] = &[
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 1],
    &[19],
    &[18],
    &[17],
    &[16],
    &[15],
    &[14],
    &[13],
];

pub(super) fn card(number: &Number, sink: &mut Sink<'_>) {
    let first = number.digits(1).first();
    let length = matches!(number.first_len(), 4 | 13..=19);
    if !sink.wants(Detector::Card) || number.joined_before || !length || !matches!(first, Some(2..=6)) {
        return;
    }
    for lens in CARDS {
        let end = match lens {
            [one] => number.plain(*one),
            groups => number.even(groups, b" -."),
        };
        let Some(end) = end else {
            continue;
        };
        let digits = number.digits(lens.iter().sum());
        if issued(digits) && luhn(digits) {
            return sink.found(Detector::Card, number.start..end);
        }
    }
}

/// Whether the prefix is one that issuers use at this length (ISO/IEC 7812 registrations as card networks publish them).
fn issued(digits: &[u8]) -> bool {
    let prefix = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |n, digit| n * 10 + u32::from(*digit))
    };
    match digits.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(3), 300..=305 | 309) || matches!(prefix(2), 36 | 38 | 39),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || matches!(prefix(2), 51..=55 | 62 | 65)
                || matches!(prefix(3), 644..=649)
                || matches!(prefix(4), 2221..=2720 | 3528..=3589 | 6011 | 2200..=2204 | 5018 | 5020 | 5038 | 6304 | 6759)
        }
        17 | 18 => prefix(2) == 62,
        19 => prefix(1) == 4 || matches!(prefix(2), 62 | 65) || matches!(prefix(4), 6011),
        _ => false,
    }
}

/// The Luhn check (ISO/IEC 7812-1 annex B).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            match at % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// Lengths by country (SWIFT's IBAN registry, 2025).
const IBANS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// A word that begins with two letters and a digit stands at `start`.
pub(super) fn iban(view: View<'_>, start: usize, sink: &mut Sink<'_>) {
    if !sink.wants(Detector::Iban) {
        return;
    }
    let head = view.slice(start..start + 2).to_ascii_uppercase();
    let Some((_, len)) = IBANS.iter().find(|(country, _)| *country == head.as_slice()) else {
        return;
    };
    // The remainder is taken of the account first and the head after, so the head waits.
    let mut waiting = [0_u8; 4];
    let mut remainder = 0_u32;
    let mut at = start;
    let mut grouped = None;
    for count in 0..*len {
        if count > 0 && count % 4 == 0 {
            let gap = matches!(view.at(at), Some(b' ' | b'-'));
            if *grouped.get_or_insert(gap) && gap {
                at += 1;
            }
        }
        let Some(byte) = view.at(at) else {
            if !view.ended {
                sink.more(start);
            }
            return;
        };
        if !byte.is_ascii_alphanumeric() || matches!(count, 2 | 3) && !byte.is_ascii_digit() {
            return;
        }
        match waiting.get_mut(count) {
            Some(slot) => *slot = byte,
            None => remainder = take(remainder, byte),
        }
        at += 1;
    }
    if view.open_at(at) {
        return sink.more(start);
    }
    let remainder = waiting.into_iter().fold(remainder, take);
    if remainder == 1 && view.ends(at) {
        sink.found(Detector::Iban, start..at);
    }
}

/// Mod 97 of what was taken and a character: letters are 10 to 35.
fn take(remainder: u32, byte: u8) -> u32 {
    match byte.to_ascii_uppercase() {
        digit @ b'0'..=b'9' => (remainder * 10 + u32::from(digit - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter.saturating_sub(b'A')) + 10) % 97,
    }
}
