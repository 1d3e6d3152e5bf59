//! Sizes, durations and factors as people write them.

/// Reads a size: `512`, `512B`, `64KiB`, `32MiB`, `1GiB`, and the decimal `kB`, `MB`, `GB`. In bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads a duration as Go writes it: `500ms`, `10s`, `1.5s`, `1h30m`; also `d` for days; `0` alone. In milliseconds,
/// rounded up, so that a duration that is not zero never becomes zero.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let end = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, after) = rest.split_at_checked(end)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let factor: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(number, factor)?)?;
        rest = after;
    }
    if text.is_empty() {
        return None;
    }
    u64::try_from(nanos.div_ceil(1_000_000)).ok()
}

/// Reads a factor that is not negative, e.g. `1`, `0.85`, `1.5e0` is refused. In millionths, rounded down.
pub(crate) fn factor_ppm(text: &str) -> Option<u64> {
    u64::try_from(scaled(text, 1_000_000)?).ok()
}

/// `number` (decimal, at most 18 digits on either side of the point) times `factor`, rounded down.
fn scaled(number: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let plain = |digits: &str| digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let value = |digits: &str| {
        if digits.is_empty() {
            Some(0)
        } else {
            digits.parse::<u128>().ok()
        }
    };
    let whole = value(whole)?.checked_mul(factor)?;
    let power = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_add(value(fraction)?.checked_mul(factor)? / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(size(text), expected, "{text}");
        check("512", Some(512));
        check("512B", Some(512));
        check("64KiB", Some(65_536));
        check("32 MiB", Some(32 << 20));
        check("1GB", Some(1_000_000_000));
        check("18446744073709551615GiB", None);
        for refused in ["", "MiB", "1.5MiB", "-1", "1TiBx", "1 mib", "ü"] {
            check(refused, None);
        }
    }

    #[test]
    fn durations() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(duration_ms(text), expected, "{text}");
        check("0", Some(0));
        check("0s", Some(0));
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("1.5s", Some(1_500));
        check("1h30m", Some(5_400_000));
        check("30d", Some(2_592_000_000));
        check("1ns", Some(1));
        for refused in [
            "",
            "10",
            "s",
            "1x",
            "-1s",
            "1s2",
            "1..5s",
            ".s",
            "99999999999999999999s",
            "1e3s",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn factors() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(factor_ppm(text), expected, "{text}");
        check("1", Some(1_000_000));
        check("0.85", Some(850_000));
        check("0", Some(0));
        check("1.0000001", Some(1_000_000));
        check("-1", None);
        check("1e3", None);
        check("", None);
    }
}
