//! Amounts of budgets as people write them, exact to the smallest: dollars to the nanodollar, counts to one.
//!
//! What [`show`] and [`show_rate`] write reads back as the same amount.

use std::fmt;

use sluice_shared::quota::{AMOUNT_MAX, Rate, Unit};

/// Words for the time that a refill is for, with their microseconds; a month has 30 days.
pub(crate) const PERIODS: [(&str, u64); 6] = [
    ("sec", 1_000_000),
    ("min", 60_000_000),
    ("hour", 3_600_000_000),
    ("day", 86_400_000_000),
    ("week", 604_800_000_000),
    ("month", 2_592_000_000_000),
];
/// Suffixes of counts, with the zeros that they stand for.
const SUFFIXES: [(char, usize); 3] = [('k', 3), ('M', 6), ('B', 9)];
/// Decimals of a dollar that count.
const DOLLAR_DECIMALS: usize = 9;

/// Why a text is no amount. Nothing of the text is in it: a secret may stand in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AmountError {
    NotANumber(Unit),
    Negative,
    TooLarge(Unit),
    TooFine(Unit),
    NoPeriod(Unit),
    Period,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber(Unit::Usd) => f.write_str("expected an amount of dollars, e.g. \"$10.00\""),
            Self::NotANumber(unit) => {
                write!(f, "expected a number of {}, e.g. 5000 or \"5k\"", counted(*unit))
            }
            Self::Negative => f.write_str("is negative; an amount is 0 or more"),
            Self::TooLarge(unit) => write!(f, "is too large; at most {}", show(AMOUNT_MAX, *unit)),
            Self::TooFine(Unit::Usd) => {
                f.write_str("has more than nine decimals; the smallest amount is $0.000000001")
            }
            Self::TooFine(unit) => write!(f, "is no whole number of {}", counted(*unit)),
            Self::NoPeriod(Unit::Usd) => {
                write!(f, "expected an amount per {}, e.g. \"$5.00/day\"", periods())
            }
            Self::NoPeriod(_) => write!(f, "expected a number per {}, e.g. \"5k/day\"", periods()),
            Self::Period => write!(f, "has an unknown time behind the /; known are {}", periods()),
        }
    }
}

const fn counted(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "dollars",
        Unit::Tokens => "tokens",
        Unit::Requests | Unit::Concurrency => "requests",
    }
}

fn periods() -> String {
    PERIODS.map(|(name, _)| name).join(", ")
}

/// Reads `$10`, `$0.25` for dollars, `5000`, `5k`, `1.5M`, `2B` for counts, in the smallest amount of the unit.
pub(crate) fn amount(text: &str, unit: Unit) -> Result<u64, AmountError> {
    let (digits, zeros) = match unit {
        Unit::Usd => {
            if text.starts_with("-$") || text.starts_with("$-") {
                return Err(AmountError::Negative);
            }
            let digits = text.strip_prefix('$').ok_or(AmountError::NotANumber(unit))?;
            (digits, DOLLAR_DECIMALS)
        }
        Unit::Tokens | Unit::Requests | Unit::Concurrency => {
            let suffix = SUFFIXES
                .iter()
                .find_map(|(suffix, zeros)| Some((text.strip_suffix(*suffix)?, *zeros)));
            suffix.unwrap_or((text, 0))
        }
    };
    let (digits, negative) = digits
        .strip_prefix('-')
        .map_or((digits, false), |digits| (digits, true));
    let (whole, decimals) = match digits.split_once('.') {
        None => (digits, ""),
        Some((_, "")) => return Err(AmountError::NotANumber(unit)),
        Some((whole, decimals)) => (whole, decimals),
    };
    let plain = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(decimals) {
        return Err(AmountError::NotANumber(unit));
    }
    if negative {
        return Err(AmountError::Negative);
    }
    if decimals.len() > zeros {
        return Err(AmountError::TooFine(unit));
    }
    // The digits behind the point, moved before it.
    let all = format!("{whole}{decimals:0<zeros$}");
    let all = all.trim_start_matches('0');
    match all.parse::<u64>() {
        _ if all.is_empty() => Ok(0),
        Ok(amount) if amount <= AMOUNT_MAX => Ok(amount),
        _ => Err(AmountError::TooLarge(unit)),
    }
}

/// Reads an amount for a time, `$5.00/day`, `10k/hour`.
pub(crate) fn rate(text: &str, unit: Unit) -> Result<Rate, AmountError> {
    let Some((before, period)) = text.split_once('/') else {
        // A text that is no amount either is told so.
        return Err(match amount(text, unit) {
            Ok(_) | Err(AmountError::NotANumber(_)) => AmountError::NoPeriod(unit),
            Err(error) => error,
        });
    };
    let amount = amount(before, unit)?;
    let known = PERIODS.iter().find(|(name, _)| *name == period);
    let (_, per_us) = known.ok_or(AmountError::Period)?;
    Ok(if amount == 0 {
        Rate::NONE
    } else {
        Rate {
            amount,
            per_us: *per_us,
        }
    })
}

/// An amount for people, exact: `$9.40`, `1.5M`, `1234567`.
pub(crate) fn show(amount: u64, unit: Unit) -> String {
    if unit == Unit::Usd {
        let (dollars, nanos) = (amount / 1_000_000_000, amount % 1_000_000_000);
        let nanos = format!("{nanos:09}");
        let (cents, rest) = nanos.split_at_checked(2).unwrap_or((&nanos, ""));
        return format!("${dollars}.{cents}{}", rest.trim_end_matches('0'));
    }
    for (suffix, factor) in [('B', 1_000_000_000), ('M', 1_000_000), ('k', 1_000)] {
        // At most one decimal: more is harder to read than the digits.
        let step = factor / 10;
        if amount >= factor && amount.is_multiple_of(step) {
            let (whole, tenth) = (amount / factor, amount % factor / step);
            return match tenth {
                0 => format!("{whole}{suffix}"),
                _ => format!("{whole}.{tenth}{suffix}"),
            };
        }
    }
    amount.to_string()
}

/// A balance for people: a debt has a minus before it.
pub(crate) fn show_balance(balance: i64, unit: Unit) -> String {
    let minus = if balance < 0 { "-" } else { "" };
    format!("{minus}{}", show(balance.unsigned_abs(), unit))
}

/// A refill for people, `$5.00/day`; `None`: there is none.
pub(crate) fn show_rate(rate: Rate, unit: Unit) -> Option<String> {
    if rate.amount == 0 || rate.per_us == 0 {
        return None;
    }
    let amount = show(rate.amount, unit);
    let known = PERIODS.iter().find(|(_, per_us)| *per_us == rate.per_us);
    Some(match known {
        Some((name, _)) => format!("{amount}/{name}"),
        None => format!("{amount}/{} s", rate.per_us / 1_000_000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_or_refused() {
        use AmountError::{Negative, NotANumber, TooFine, TooLarge};
        let check = |text: &str, unit: Unit, expected: Result<u64, AmountError>| {
            assert_eq!(amount(text, unit), expected, "{text}");
        };
        for (text, expected) in [
            ("$10.00", 10_000_000_000),
            ("$0", 0),
            ("$0.000000001", 1),
            ("$007", 7_000_000_000),
            ("$1152921504.606846976", 1 << 60),
            ("$0000000000000000000000000000000000000001", 1_000_000_000),
        ] {
            check(text, Unit::Usd, Ok(expected));
        }
        for (text, error) in [
            ("$1152921504.606846977", TooLarge(Unit::Usd)),
            ("$18446744073.709551616", TooLarge(Unit::Usd)),
            (
                "$99999999999999999999999999999999999999999999",
                TooLarge(Unit::Usd),
            ),
            ("$0.0000000001", TooFine(Unit::Usd)),
            ("$-1", Negative),
            ("-$1.50", Negative),
            ("-1", NotANumber(Unit::Usd)),
        ] {
            check(text, Unit::Usd, Err(error));
        }
        for text in [
            "", "$", "10", "10.00", "$.5", "$5.", "$1e3", "$1,000", "$ 1", "$1_0", "$+1", "€5", "$١", "$1k",
            "$NaN", "$--1", "$1.2.3", "$1/day", "free",
        ] {
            let expected = if text == "$--1" {
                Negative
            } else {
                NotANumber(Unit::Usd)
            };
            check(text, Unit::Usd, Err(expected));
        }
        for (text, expected) in [
            ("0", 0),
            ("5000", 5_000),
            ("5k", 5_000),
            ("1.5M", 1_500_000),
            ("0.001k", 1),
            ("2B", 2_000_000_000),
            ("1152921504606846976", 1 << 60),
        ] {
            check(text, Unit::Tokens, Ok(expected));
        }
        for (text, error) in [
            ("1152921504606846977", TooLarge(Unit::Requests)),
            ("1152921505B", TooLarge(Unit::Requests)),
            ("1.5", TooFine(Unit::Requests)),
            ("1.0001k", TooFine(Unit::Requests)),
            ("-1", Negative),
            ("-1k", Negative),
            ("1e6", NotANumber(Unit::Requests)),
            ("k", NotANumber(Unit::Requests)),
            ("5K", NotANumber(Unit::Requests)),
            ("5 k", NotANumber(Unit::Requests)),
            ("$5", NotANumber(Unit::Requests)),
            ("5kM", NotANumber(Unit::Requests)),
        ] {
            check(text, Unit::Requests, Err(error));
        }
    }

    #[test]
    fn rates_are_for_a_known_time() {
        let check = |text: &str, unit: Unit, expected: Result<(u64, u64), AmountError>| {
            let expected = expected.map(|(amount, per_s)| Rate {
                amount,
                per_us: per_s * 1_000_000,
            });
            assert_eq!(rate(text, unit), expected, "{text}");
        };
        let usd = Unit::Usd;
        check("$5.00/day", usd, Ok((5_000_000_000, 86_400)));
        check("$1/sec", usd, Ok((1_000_000_000, 1)));
        check("$1/min", usd, Ok((1_000_000_000, 60)));
        check("$0.000000001/month", usd, Ok((1, 2_592_000)));
        check("$0/day", usd, Ok((0, 0)));
        check("10k/hour", Unit::Tokens, Ok((10_000, 3_600)));
        check("7/week", Unit::Requests, Ok((7, 604_800)));
        check("$5.00", usd, Err(AmountError::NoPeriod(usd)));
        check("five", usd, Err(AmountError::NoPeriod(usd)));
        check("$-5", usd, Err(AmountError::Negative));
        check("5/day", usd, Err(AmountError::NotANumber(usd)));
        check("$2000000000/day", usd, Err(AmountError::TooLarge(usd)));
        for text in [
            "$5/fortnight",
            "$5/",
            "$5/Day",
            "$5/day/day",
            "$5/ day",
            "$5/year",
        ] {
            check(text, usd, Err(AmountError::Period));
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        let check = |number: u64, unit: Unit, expected: &str| {
            assert_eq!(show(number, unit), expected);
            assert_eq!(amount(expected, unit), Ok(number), "{expected}");
        };
        for (number, expected) in [
            (0, "$0.00"),
            (1, "$0.000000001"),
            (9_400_000_000, "$9.40"),
            (9_401_000_000, "$9.401"),
            (1 << 60, "$1152921504.606846976"),
        ] {
            check(number, Unit::Usd, expected);
        }
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (1_100, "1.1k"),
            (1_150, "1150"),
            (1_500_000, "1.5M"),
            (1_550_000, "1550k"),
            (2_000_000_000, "2B"),
            (1_234_567, "1234567"),
            (1 << 60, "1152921504606846976"),
        ] {
            check(number, Unit::Tokens, expected);
        }
        // Numbers of every size: a small generator of our own, so that a failure comes again.
        let mut random = 0x5EED_0004_u64;
        for round in 0..20_000 {
            random ^= random >> 12;
            random ^= random << 25;
            random ^= random >> 27;
            let number = random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> (4 + round % 60);
            for unit in [Unit::Usd, Unit::Tokens] {
                let text = show(number, unit);
                assert_eq!(amount(&text, unit), Ok(number), "{text}");
            }
        }
        let shown = |text: &str, unit: Unit| show_rate(rate(text, unit).unwrap(), unit);
        for (text, unit) in [
            ("$5.00/day", Unit::Usd),
            ("1.5M/month", Unit::Tokens),
            ("3/sec", Unit::Requests),
        ] {
            assert_eq!(shown(text, unit).as_deref(), Some(text));
        }
        assert_eq!(shown("$0/day", Unit::Usd), None);
        assert_eq!(show_balance(-120_000_000, Unit::Usd), "-$0.12");
        assert_eq!(show_balance(i64::MIN, Unit::Requests), "-9223372036854775808");
    }
}
