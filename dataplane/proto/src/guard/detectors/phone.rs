//! Telephone numbers: with a country code (E.164), and in the spellings that are usual in some countries. A bare row of digits is
//! one only behind a word that says so.

use super::digits::Number;
use super::{Detector, Sink, View};

/// Digits of an international number, at most (E.164).
const DIGITS_MAX: usize = 15;
const WORDS: &[&str] = &[
    "phone",
    "telephone",
    "tel",
    "call",
    "mobile",
    "cell",
    "fax",
    "whatsapp",
    "sms",
    "telefon",
    "handy",
    "mobil",
    "telefono",
    "téléphone",
    "portable",
    "phone number",
];

/// Country calling codes of one and two digits; all others that begin like none of them have three (ITU-T E.164 annex, 2025).
const ONE: &[u32] = &[1, 7];
const TWO: &[u32] = &[
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58,
    60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// A group of digits stands at `at`; a sign before it may say what it is: `+49 …`, `(555) …`.
pub(super) fn with_sign(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    let before = |back: usize| at.checked_sub(back).and_then(|at| view.at(at));
    let alone = |start: usize| {
        let sign = start.checked_sub(1).and_then(|before| view.at(before));
        sign.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b')' | b'=' | b'_'))
            || view.begins(start) && sign.is_some_and(|byte| byte.is_ascii_alphabetic())
    };
    match (before(2), before(1)) {
        (Some(b'('), Some(b'+')) | (Some(b'+'), Some(b'(')) if alone(at - 2) => {
            international(view, at - 2, at, sink);
        }
        (_, Some(b'+')) if alone(at - 1) => international(view, at - 1, at, sink),
        (_, Some(b'(')) if alone(at - 1) => area_code(view, at - 1, at, sink),
        _ => {}
    }
}

/// Digits in groups, parentheses allowed: the digits, where each group ends, and whether the text ends before the number does.
struct Dialled {
    digits: [u8; DIGITS_MAX + 1],
    count: usize,
    groups: usize,
    end: usize,
    /// Behind each group: how many digits there are up to it, and where it ends.
    stops: [(usize, usize); DIGITS_MAX + 1],
    open: bool,
}

impl Dialled {
    /// The most groups, two or more, that have so many digits, and where they end: what follows a number may be another one.
    fn stop(&self, counts: std::ops::RangeInclusive<usize>) -> Option<(usize, usize)> {
        let stops = self.stops.get(1..self.groups)?;
        stops
            .iter()
            .rev()
            .copied()
            .find(|(count, _)| counts.contains(count))
    }
}

fn dialled(view: View<'_>, from: usize) -> Dialled {
    let mut out = Dialled {
        digits: [0; DIGITS_MAX + 1],
        count: 0,
        groups: 0,
        end: from,
        stops: [(0, from); DIGITS_MAX + 1],
        open: false,
    };
    let mut at = from;
    loop {
        let (count, group) = (out.count, at);
        while let Some(digit) = view.at(at).filter(u8::is_ascii_digit) {
            match out.digits.get_mut(out.count) {
                Some(slot) => *slot = digit - b'0',
                None => {
                    // A group that makes it too long does not belong to it.
                    out.count = count;
                    return out;
                }
            }
            out.count += 1;
            at += 1;
        }
        if at > group {
            if out.count > DIGITS_MAX {
                out.count = count;
                return out;
            }
            out.end = at;
            if let Some(stop) = out.stops.get_mut(out.groups) {
                *stop = (out.count, at);
            }
            out.groups += 1;
        }
        let gap = view.run(at, 3, |byte| {
            matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
        });
        if view.open_at(gap) && gap - at < 3 {
            out.open = true;
            return out;
        }
        if gap == at || !view.at(gap).is_some_and(|byte| byte.is_ascii_digit()) {
            return out;
        }
        at = gap;
    }
}

fn international(view: View<'_>, start: usize, digits: usize, sink: &mut Sink<'_>) {
    let number = dialled(view, digits);
    if number.open {
        return sink.more(start);
    }
    let least = if number.groups > 1 { 8 } else { 10 };
    let digits = number.digits.get(..number.count).unwrap_or_default();
    if number.count >= least && country(digits) && view.ends(number.end) && !flat(digits) {
        sink.found(Detector::Phone, start..number.end);
    }
}

fn country(digits: &[u8]) -> bool {
    let code = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |n, digit| n * 10 + u32::from(*digit))
    };
    let three = matches!(
        code(3),
        211..=213 | 216 | 218 | 220..=269 | 290 | 291 | 297..=299 | 350..=359 | 370..=389 | 420 | 421 | 423 | 500..=509
            | 590..=599 | 670..=692 | 800 | 808 | 850 | 852 | 853 | 855 | 856 | 870 | 880..=883 | 886 | 888 | 960..=979
            | 992..=998
    );
    ONE.contains(&code(1)) || TWO.contains(&code(2)) || three
}

/// Placeholders: the same digit again and again.
fn flat(digits: &[u8]) -> bool {
    let tail = digits.get(digits.len().saturating_sub(7)..).unwrap_or_default();
    tail.windows(2).all(|two| two.first() == two.last())
}

/// `(555) 123-4567`, `(030) 1234567`.
fn area_code(view: View<'_>, start: usize, digits: usize, sink: &mut Sink<'_>) {
    let close = view.run(digits, 6, |byte| byte.is_ascii_digit());
    if view.open_at(close) && close - digits < 6 {
        return sink.more(start);
    }
    if view.at(close) != Some(b')') || !(2..=5).contains(&(close - digits)) {
        return;
    }
    let number = dialled(view, digits);
    if number.open {
        return sink.more(start);
    }
    let all = number.digits.get(..number.count).unwrap_or_default();
    let stop = match all.first() {
        Some(0) if close - digits >= 3 && all.get(1) != Some(&0) => number.stop(9..=12),
        Some(2..=9) if close - digits == 3 && all.get(3).is_some_and(|digit| *digit >= 2) => {
            number.stop(10..=10)
        }
        _ => None,
    };
    if let Some((count, end)) = stop
        && view.ends(end)
        && !flat(all.get(..count).unwrap_or_default())
    {
        sink.found(Detector::Phone, start..end);
    }
}

/// Groups of national numbers that begin with 0: France; United Kingdom; Germany and its neighbours.
const NATIONAL: &[(&[usize], &[u8])] = &[
    (&[2, 2, 2, 2, 2], b" .-"),
    (&[3, 4, 4], b" -"),
    (&[5, 6], b" "),
    (&[4, 3, 4], b" -"),
    (&[5, 3, 3], b" "),
    (&[4, 7], b" /-"),
    (&[4, 8], b" /-"),
    (&[3, 8], b" /-"),
    (&[3, 7], b" /-"),
];

/// Numbers without a sign before them.
pub(super) fn national(view: View<'_>, number: &Number, sink: &mut Sink<'_>) {
    if number.joined_before {
        return;
    }
    let digits = number.digits(12);
    let found = match (digits.first(), digits.get(1)) {
        (Some(0), Some(0)) => abroad(number),
        (Some(0), _) => {
            let mut shapes = NATIONAL.iter();
            shapes.find_map(|(lens, kinds)| number.even(lens, kinds))
        }
        _ => north_american(view, number),
    };
    let found = found.or_else(|| {
        let bare = (9..=12).find_map(|len| number.plain(len))?;
        view.near(number.start, WORDS).then_some(bare)
    });
    let at_most = digits.get(..9).unwrap_or_default();
    if let Some(end) = found.filter(|_| !flat(at_most)) {
        sink.found(Detector::Phone, number.start..end);
    }
}

/// `0049 30 …`
fn abroad(number: &Number) -> Option<usize> {
    let shapes: [&[usize]; 6] = [
        &[4, 2, 7],
        &[4, 2, 8],
        &[4, 3, 7],
        &[4, 3, 8],
        &[4, 2, 3, 4],
        &[4, 3, 3, 4],
    ];
    let end = shapes.into_iter().find_map(|lens| number.even(lens, b" -"))?;
    country(number.digits(6).get(2..)?).then_some(end)
}

/// `555-123-4567`, also behind `1-`; with spaces only where a word says what it is.
fn north_american(view: View<'_>, number: &Number) -> Option<usize> {
    let (end, skip) = match number.even(&[3, 3, 4], b"-.") {
        Some(end) => (end, 0),
        None => match number.even(&[1, 3, 3, 4], b"-.") {
            Some(end) if number.digits(1) == [1] => (end, 1),
            _ => {
                let end = number.even(&[3, 3, 4], b" ")?;
                (view.near(number.start, WORDS).then_some(end)?, 0)
            }
        },
    };
    let digits = number.digits(11).get(skip..)?;
    let begins = |at: usize| digits.get(at).is_some_and(|digit| *digit >= 2);
    (begins(0) && begins(3)).then_some(end)
}
