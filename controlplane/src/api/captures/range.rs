//! One range of bytes (RFC 9110 §14). Several ranges, other units and what cannot be read count as none, as §14.2 allows.

use axum::http::{HeaderMap, header};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    All,
    /// From the first byte to the last, both included.
    Part(usize, usize),
    /// Bytes that are not there.
    Nothing,
}

/// Reads the field `range` for a body of `length` bytes.
pub(super) fn asked(headers: &HeaderMap, length: usize) -> Asked {
    let mut fields = headers.get_all(header::RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Asked::All;
    };
    let spec = field.to_str().ok().and_then(|text| {
        let (unit, set) = text.split_once('=')?;
        unit.trim().eq_ignore_ascii_case("bytes").then_some(set.trim())
    });
    let Some((first, last)) = spec.and_then(|set| set.split_once('-')) else {
        return Asked::All;
    };
    // A number that is too large for us is beyond every body.
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(usize::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), _) if last.is_empty() => part(first, usize::MAX, length),
        (Some(first), Some(last)) if first <= last => part(first, last, length),
        (None, Some(0)) if first.is_empty() => Asked::Nothing,
        (None, Some(suffix)) if first.is_empty() => part(length.saturating_sub(suffix), usize::MAX, length),
        _ => Asked::All,
    }
}

fn part(first: usize, last: usize, length: usize) -> Asked {
    match length.checked_sub(1) {
        Some(end) if first <= end => Asked::Part(first, last.min(end)),
        _ => Asked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let check = |field: &str, expected: Asked| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, field.parse().unwrap());
            assert_eq!(asked(&headers, 10), expected, "{field}");
        };
        check("bytes=0-0", Asked::Part(0, 0));
        check("bytes=2-4", Asked::Part(2, 4));
        check("BYTES=2-", Asked::Part(2, 9));
        check("bytes=-3", Asked::Part(7, 9));
        check("bytes=-30", Asked::Part(0, 9));
        check("bytes=9-99999999999999999999999", Asked::Part(9, 9));
        check("bytes=10-", Asked::Nothing);
        check("bytes=99999999999999999999999-", Asked::Nothing);
        check("bytes=-0", Asked::Nothing);
        for ignored in [
            "bytes=4-2",
            "bytes=0-1,3-4",
            "bytes",
            "bytes=",
            "bytes=-",
            "lines=0-1",
            "bytes=a-b",
            "bytes=+1-2",
        ] {
            check(ignored, Asked::All);
        }
        let mut headers = HeaderMap::new();
        assert_eq!(asked(&headers, 10), Asked::All);
        headers.insert(header::RANGE, "bytes=0-".parse().unwrap());
        assert_eq!(asked(&headers, 0), Asked::Nothing);
        headers.append(header::RANGE, "bytes=1-".parse().unwrap());
        assert_eq!(asked(&headers, 10), Asked::All);
    }
}
