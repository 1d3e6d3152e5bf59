//! Numbers that states give to people. A plain row of digits is one only where its name stands beside it: checksums of one
//! digit let every tenth number pass.

use super::bank::luhn;
use super::digits::Number;
use super::{Detector, Sink, View};

/// Numbers that consist of digits.
pub(super) fn number(view: View<'_>, number: &Number, sink: &mut Sink<'_>) {
    if number.joined_before {
        return;
    }
    es_dni(view, number, sink);
    let mut judge = |detector: Detector, found: Option<usize>| {
        if let Some(end) = found {
            sink.found(detector, number.start..end);
        }
    };
    let named = |words: &[&str]| view.near(number.start, words);
    // The first group says what it can be at all.
    match number.first_len() {
        1 | 13 | 15 => judge(Detector::FrNir, fr_nir(number)),
        2 => {
            judge(Detector::DeTaxId, de_tax_id(number, named));
            judge(Detector::BrCnpj, br_cnpj(number, named));
        }
        3 | 9 => {
            judge(Detector::Ssn, ssn(number, named));
            judge(Detector::BrCpf, br_cpf(number, named));
            judge(Detector::NlBsn, nl_bsn(number, named));
            judge(Detector::CaSin, ca_sin(number, named));
        }
        4 => judge(Detector::InAadhaar, in_aadhaar(number, named)),
        6 | 8 | 10 => judge(Detector::SePersonnummer, se_personnummer(number, named)),
        11 => {
            judge(Detector::DeTaxId, de_tax_id(number, named));
            judge(Detector::BrCpf, br_cpf(number, named));
            judge(Detector::PlPesel, pl_pesel(number, named));
        }
        12 => {
            judge(Detector::SePersonnummer, se_personnummer(number, named));
            judge(Detector::InAadhaar, in_aadhaar(number, named));
        }
        14 => judge(Detector::BrCnpj, br_cnpj(number, named)),
        _ => {}
    }
}

fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n, digit| n * 10 + u64::from(*digit))
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum()
}

fn same(digits: &[u8]) -> bool {
    digits.windows(2).all(|two| two.first() == two.last())
}

fn part(digits: &[u8], at: std::ops::Range<usize>) -> u64 {
    value(digits.get(at).unwrap_or_default())
}

/// Area, group and serial number as the Social Security Administration says which are never given out.
fn ssn(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WORDS: &[&str] = &[
        "ssn",
        "social security",
        "social security number",
        "soc sec",
        "taxpayer id",
        "itin",
    ];
    let digits = number.digits(9);
    let (area, group, serial) = (part(digits, 0..3), part(digits, 3..5), part(digits, 5..9));
    let given = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    // Printed in advertisements, and never anybody's since.
    let printed = matches!(
        (area, group, serial),
        (78, 5, 1120) | (219, 9, 9999) | (123, 45, 6789)
    );
    if !given || printed {
        return None;
    }
    let hyphens = number.even(&[3, 2, 4], b"-");
    hyphens.or_else(|| {
        let bare = number.even(&[3, 2, 4], b" .").or_else(|| number.plain(9))?;
        named(WORDS).then_some(bare)
    })
}

/// Eight digits and a letter that follows from them (Spanish Ministry of the Interior).
fn es_dni(view: View<'_>, number: &Number, sink: &mut Sink<'_>) {
    if !sink.wants(Detector::EsDni) || number.first_len() != 8 {
        return;
    }
    let mut letter = number.start + 8;
    if matches!(view.at(letter), Some(b'-' | b' ')) {
        letter += 1;
    }
    checked(view, number.start, letter, part(number.digits(8), 0..8), sink);
}

/// `X`, `Y` or `Z`, seven digits and a letter.
pub(super) fn nie(view: View<'_>, start: usize, end: usize, sink: &mut Sink<'_>) {
    let first = match view.at(start) {
        Some(b'X' | b'x') => 0,
        Some(b'Y' | b'y') => 1,
        Some(b'Z' | b'z') => 2,
        _ => return,
    };
    let digits = view.run(start + 1, 8, |byte| byte.is_ascii_digit());
    if !sink.wants(Detector::EsDni) || digits > start + 8 {
        return;
    }
    if view.open_at(end) && digits == end {
        return sink.more(start);
    }
    if digits != start + 8 {
        return;
    }
    let digits = view.slice(start + 1..start + 8).iter();
    let number = digits.fold(first, |n, digit| n * 10 + u64::from(digit.wrapping_sub(b'0')));
    let hyphen = usize::from(view.at(start + 8) == Some(b'-'));
    checked(view, start, start + 8 + hyphen, number, sink);
}

fn checked(view: View<'_>, start: usize, letter: usize, number: u64, sink: &mut Sink<'_>) {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    if view.open_at(letter) || view.open_at(letter + 1) {
        return sink.more(start);
    }
    let expected = usize::try_from(number % 23).ok().and_then(|at| LETTERS.get(at));
    let found = view.at(letter).map(|byte| byte.to_ascii_uppercase());
    if expected.copied() == found && view.ends(letter + 1) {
        sink.found(Detector::EsDni, start..letter + 1);
    }
}

/// Two letters, six digits, one letter; letters that are not used as HMRC's manual NIM39110 has them. `AB123456C`.
pub(super) fn nino(view: View<'_>, start: usize, end: usize, sink: &mut Sink<'_>) {
    if !sink.wants(Detector::GbNino) || end - start > 9 || !nino_prefix(view, start) {
        return;
    }
    if view.open_at(end) {
        return sink.more(start);
    }
    let digits = view.slice(start + 2..end.min(start + 8));
    let suffix = matches!(view.at(start + 8), Some(b'A'..=b'D'));
    if end - start == 9 && digits.iter().all(u8::is_ascii_digit) && suffix {
        sink.found(Detector::GbNino, start..end);
    }
}

/// `AB 12 34 56 C`: the number stands at its first digits.
pub(super) fn nino_grouped(view: View<'_>, number: &Number, sink: &mut Sink<'_>) {
    let Some(start) = number.start.checked_sub(3) else {
        return;
    };
    let spaced = view.at(start + 2) == Some(b' ') && view.begins(start);
    let Some(end) = number.even(&[2, 2, 2], b" ") else {
        return;
    };
    if !spaced || !nino_prefix(view, start) {
        return;
    }
    if view.open_at(end + 2) {
        return sink.more(start);
    }
    let suffix = view.at(end) == Some(b' ') && matches!(view.at(end + 1), Some(b'A'..=b'D'));
    if suffix && view.ends(end + 2) {
        sink.found(Detector::GbNino, start..end + 2);
    }
}

fn nino_prefix(view: View<'_>, start: usize) -> bool {
    let (Some(first), Some(second)) = (view.at(start), view.at(start + 1)) else {
        return false;
    };
    let upper = first.is_ascii_uppercase() && second.is_ascii_uppercase();
    let unused = b"DFIQUV".contains(&first) || b"DFIQUVO".contains(&second);
    let reserved = matches!(
        &[first, second],
        b"BG" | b"GB" | b"NK" | b"KN" | b"TN" | b"NT" | b"ZZ"
    );
    upper && !unused && !reserved
}

/// Sex, year, month, place, order, and 97 less the rest modulo 97 (INSEE). Corsica's letters aside.
fn fr_nir(number: &Number) -> Option<usize> {
    let end = number
        .plain(15)
        .or_else(|| number.even(&[1, 2, 2, 2, 3, 3, 2], b" .-"))
        .or_else(|| number.even(&[13, 2], b" "))?;
    let digits = number.digits(15);
    let sex = matches!(part(digits, 0..1), 1..=4 | 7 | 8);
    let month = matches!(part(digits, 3..5), 1..=12 | 20..=42 | 50..=99);
    let key = 97 - part(digits, 0..13) % 97;
    (sex && month && part(digits, 13..15) == key).then_some(end)
}

/// Eleven digits of which one of the first ten occurs twice or thrice, with an ISO 7064 MOD 11,10 check digit (BZSt).
fn de_tax_id(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WORDS: &[&str] = &[
        "steuer id",
        "steuerid",
        "steueridentifikationsnummer",
        "identifikationsnummer",
        "idnr",
        "id nr",
        "tin",
        "tax id",
        "steuernummer",
    ];
    let grouped = number.even(&[2, 3, 3, 3], b" ");
    let end = grouped.or_else(|| number.plain(11))?;
    let digits = number.digits(11);
    let mut counts = [0_u8; 10];
    for digit in digits.iter().take(10) {
        if let Some(count) = counts.get_mut(usize::from(*digit)) {
            *count += 1;
        }
    }
    let repeated =
        counts.iter().filter(|count| **count > 1).count() == 1 && counts.iter().all(|count| *count <= 3);
    let product = digits.iter().take(10).fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let check = (11 - product) % 10;
    let right = digits.first() != Some(&0) && repeated && digits.last().map(|d| u32::from(*d)) == Some(check);
    (right && (grouped.is_some() || named(WORDS))).then_some(end)
}

/// Nine digits and two check digits (Receita Federal).
fn br_cpf(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    let grouped = number.shaped(&[3, 3, 3, 2], b"..-");
    let end = grouped.or_else(|| number.plain(11))?;
    let digits = number.digits(11);
    let check = |count: usize, first: u32| {
        let weights: Vec<u32> = (2..=first).rev().collect();
        let rest = weighted(digits.get(..count).unwrap_or_default(), &weights) * 10 % 11;
        rest % 10
    };
    let right = !same(digits)
        && part(digits, 9..10) == u64::from(check(9, 10))
        && part(digits, 10..11) == u64::from(check(10, 11));
    (right && (grouped.is_some() || named(&["cpf"]))).then_some(end)
}

/// Twelve digits and two check digits (Receita Federal).
fn br_cnpj(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let grouped = number.shaped(&[2, 3, 3, 4, 2], b"../-");
    let end = grouped.or_else(|| number.plain(14))?;
    let digits = number.digits(14);
    let check = |count: usize| {
        let weights = WEIGHTS.get(13 - count..).unwrap_or_default();
        let rest = weighted(digits.get(..count).unwrap_or_default(), weights) % 11;
        if rest < 2 { 0 } else { 11 - rest }
    };
    let right = !same(digits)
        && part(digits, 12..13) == u64::from(check(12))
        && part(digits, 13..14) == u64::from(check(13));
    (right && (grouped.is_some() || named(&["cnpj"]))).then_some(end)
}

/// Nine digits that pass the eleven test.
fn nl_bsn(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WORDS: &[&str] = &[
        "bsn",
        "burgerservicenummer",
        "sofinummer",
        "sofi nummer",
        "sofi",
        "citizen service number",
    ];
    let end = number.plain(9).or_else(|| number.even(&[3, 3, 3], b" ."))?;
    let digits = number.digits(9);
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]);
    let right = sum % 11 == u32::from(digits.last().copied().unwrap_or(11)) && !same(digits);
    (right && named(WORDS)).then_some(end)
}

/// Birth date with the century in the month, and a weighted check digit.
fn pl_pesel(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    let end = number.plain(11)?;
    let digits = number.digits(11);
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let date = day(part(digits, 2..4) % 20, part(digits, 4..6));
    (sum.is_multiple_of(10) && date && named(&["pesel"])).then_some(end)
}

/// Birth date (the day plus 60 in coordination numbers) and a Luhn digit over the last ten.
fn se_personnummer(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WORDS: &[&str] = &[
        "personnummer",
        "personnr",
        "pnr",
        "samordningsnummer",
        "personal number",
        "swedish id",
    ];
    let shapes = [
        (number.even(&[6, 4], b"-"), 0, false),
        (number.even(&[8, 4], b"-"), 2, false),
        (number.plain(10), 0, true),
        (number.plain(12), 2, true),
    ];
    let (end, century, bare) = shapes
        .into_iter()
        .find_map(|(end, century, bare)| Some((end?, century, bare)))?;
    let digits = number.digits(century + 10);
    let digits = digits.get(century..)?;
    let born = part(digits, 4..6);
    let date = day(part(digits, 2..4), if born > 60 { born - 60 } else { born });
    let epoch = century == 0 || matches!(part(number.digits(2), 0..2), 18..=20);
    (date && epoch && luhn(digits) && (!bare || named(WORDS))).then_some(end)
}

fn day(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Twelve digits, the first from 2 to 9, with a Verhoeff check digit (UIDAI).
fn in_aadhaar(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WORDS: &[&str] = &["aadhaar", "aadhar", "uidai", "uid"];
    let alone = number.groups() == 3 && !number.spaced_before;
    let grouped = number.even(&[4, 4, 4], b" -");
    let end = grouped.or_else(|| number.plain(12))?;
    let digits = number.digits(12);
    let right = digits.first() >= Some(&2) && !same(digits) && verhoeff(digits);
    (right && (grouped.is_some() && alone || named(WORDS))).then_some(end)
}

/// Verhoeff's check over the dihedral group of order ten.
fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut check = 0;
    for (at, digit) in digits.iter().rev().enumerate() {
        let mut digit = *digit;
        for _ in 0..at % 8 {
            digit = PERMUTED.get(usize::from(digit)).copied().unwrap_or_default();
        }
        check = multiplied(check, digit);
    }
    check == 0
}

/// Multiplication in the dihedral group: 0 to 4 turn, 5 to 9 turn and flip.
const fn multiplied(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a - 5 + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Nine digits with a Luhn check digit.
fn ca_sin(number: &Number, named: impl Fn(&[&str]) -> bool) -> Option<usize> {
    const WORDS: &[&str] = &[
        "sin",
        "nas",
        "social insurance",
        "social insurance number",
        "assurance sociale",
    ];
    let end = number.plain(9).or_else(|| number.even(&[3, 3, 3], b" -"))?;
    let digits = number.digits(9);
    (luhn(digits) && !matches!(digits.first(), Some(0 | 8)) && named(WORDS)).then_some(end)
}

/// Letters for names, birth date and place, and a check letter (Agenzia delle Entrate; digits may be replaced by letters where
/// two people would share one).
pub(super) fn codice_fiscale(view: View<'_>, start: usize, end: usize, sink: &mut Sink<'_>) {
    const LEN: usize = 16;
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    if !sink.wants(Detector::ItCodiceFiscale) || end - start > LEN {
        return;
    }
    if view.open_at(end) {
        return sink.more(start);
    }
    let code = view.slice(start..end).to_ascii_uppercase();
    let digit = |byte: u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(&byte);
    let fits = code.iter().enumerate().all(|(at, byte)| match at {
        0..=5 | 11 | 15 => byte.is_ascii_uppercase(),
        8 => b"ABCDEHLMPRST".contains(byte),
        _ => digit(*byte),
    });
    if code.len() != LEN || !fits {
        return;
    }
    let sum: u32 = code
        .iter()
        .take(LEN - 1)
        .enumerate()
        .map(|(at, byte)| {
            let value = if byte.is_ascii_digit() {
                byte - b'0'
            } else {
                byte.wrapping_sub(b'A')
            };
            let odd = ODD.get(usize::from(value)).copied().unwrap_or_default();
            if at % 2 == 0 { odd } else { u32::from(value) }
        })
        .sum();
    if code.last().map(|byte| u32::from(byte.wrapping_sub(b'A'))) == Some(sum % 26) {
        sink.found(Detector::ItCodiceFiscale, start..end);
    }
}
