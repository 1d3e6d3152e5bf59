//! Dollars as exact decimals, in and out, without floating point.

/// Reads a decimal that is not negative (`3`, `0.0375`, `1.5e-6`) as that many dollars, in nanodollars. `None` for
/// anything else, for more than nine decimal places that count, and for what does not fit.
#[must_use]
pub fn nanodollars(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (mantissa, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || mantissa.len() > 40 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mut value: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
    }
    let places = i32::try_from(fraction.len()).ok()?;
    let shift = exponent.checked_add(9)?.checked_sub(places)?;
    let power = |by: u32| 10u128.checked_pow(by);
    let value = match u32::try_from(shift) {
        Ok(_) if value == 0 => 0,
        Ok(up) => value.checked_mul(power(up)?)?,
        Err(_) => {
            let unit = power(shift.unsigned_abs()).unwrap_or(u128::MAX);
            if !value.is_multiple_of(unit) {
                return None;
            }
            value / unit
        }
    };
    u64::try_from(value).ok()
}

/// Nanodollars as dollars, with as many places as it takes: `3`, `0.0375`.
#[must_use]
pub fn dollars(nanodollars: u64) -> String {
    places(nanodollars, 9)
}

/// Nanodollars for a million tokens as dollars for one token.
#[must_use]
pub fn dollars_a_token(rate: u64) -> String {
    places(rate, 15)
}

/// `value` over ten to the power of `decimals`, without zeros at the end.
fn places(value: u64, decimals: usize) -> String {
    let digits = format!("{value:0width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        let check = |text: &str, want: Option<u64>| assert_eq!(nanodollars(text), want, "{text}");
        check("0", Some(0));
        check("3", Some(3_000_000_000));
        check("0.0375", Some(37_500_000));
        check("12.5", Some(12_500_000_000));
        check("0.000000001", Some(1));
        check("0.0000000010", Some(1));
        check("1.5e-6", Some(1_500));
        check("15E-10", None);
        check("1e-9", Some(1));
        check("2e3", Some(2_000_000_000_000));
        check("0e99", Some(0));
        check("18446744073.709551615", Some(u64::MAX));
        check("18446744073.709551616", None);
        check("0.0000000001", None);
        for refused in [
            "",
            ".",
            ".5",
            "5.",
            "-1",
            "+1",
            "1,5",
            "0x1",
            "1e",
            "1e99",
            "1e-99999999999",
            "NaN",
            " 1",
            "1_0",
            "٣",
            "99999999999999999999999999999999999999999",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn decimals_are_written_exactly() {
        assert_eq!(dollars(0), "0");
        assert_eq!(dollars(3_000_000_000), "3");
        assert_eq!(dollars(37_500_000), "0.0375");
        assert_eq!(dollars(u64::MAX), "18446744073.709551615");
        assert_eq!(dollars_a_token(3_000_000_000), "0.000003");
        assert_eq!(dollars_a_token(150_000_000), "0.00000015");
        assert_eq!(dollars_a_token(0), "0");
        assert_eq!(dollars_a_token(2_000_000_000_000_000), "2");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(amount: u64) {
            proptest::prop_assert_eq!(nanodollars(&dollars(amount)), Some(amount));
        }
    }
}
