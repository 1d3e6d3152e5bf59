//! Query parameters: each known, each once, each readable; everything else is a 400 that names it.

use axum::http::Uri;
use sluice_shared::units::UnixMicros;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::principal::decode;
use super::problem::Problem;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters {
    list: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the query of a request that knows the parameters `known`.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        Self::read_lists(uri, known, &[])
    }

    /// The same, where the parameters `lists` may stand several times.
    pub(super) fn read_lists(uri: &Uri, known: &[&str], lists: &[&str]) -> Result<Self, Problem> {
        let mut list: Vec<(String, String)> = Vec::new();
        for pair in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (form(name), form(value)) else {
                return Err(Problem::bad_parameter(name, "is not percent-encoded UTF-8"));
            };
            if !known.contains(&name.as_str()) {
                return Err(Problem::unknown_parameter(&name, known));
            }
            if !lists.contains(&name.as_str()) && list.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_parameter(&name, "stands twice"));
            }
            list.push((name, value));
        }
        Ok(Self { list })
    }

    /// A text; an empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.list.iter().find(|(other, _)| other == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Every value of a list.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let all = self
            .list
            .iter()
            .filter(|(other, value)| other == name && !value.is_empty());
        all.map(|(_, value)| value.clone()).collect()
    }

    /// A moment: RFC 3339, or Unix seconds with up to six decimals.
    pub(super) fn time(&self, name: &str) -> Result<Option<UnixMicros>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match parse_time(text) {
            Some(time) => Ok(Some(time)),
            None => Err(Problem::bad_parameter(
                name,
                "must be RFC 3339 (2026-11-22T10:00:00Z) or Unix seconds",
            )),
        }
    }

    /// A number within bounds.
    pub(super) fn number(&self, name: &str, min: u32, max: u32, default: u32) -> Result<u32, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        match text
            .parse()
            .ok()
            .filter(|value| digits && (min..=max).contains(value))
        {
            Some(value) => Ok(value),
            None => Err(Problem::bad_parameter(
                name,
                format_args!("must be a number from {min} to {max}"),
            )),
        }
    }

    /// A count of 63 bits.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let count = text
            .parse::<u64>()
            .ok()
            .filter(|count| digits && *count <= i64::MAX.unsigned_abs());
        match count {
            Some(count) => Ok(Some(count)),
            None => Err(Problem::bad_parameter(name, "must be a whole number below 2^63")),
        }
    }

    /// Yes or no.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Problem::bad_parameter(name, "must be true or false")),
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        if let Some(found) = all.iter().copied().find(|it| word(*it) == text) {
            return Ok(Some(found));
        }
        let words: Vec<&str> = all.iter().map(|it| word(*it)).collect();
        Err(Problem::bad_parameter(
            name,
            format_args!("must be one of {}", words.join(", ")),
        ))
    }
}

/// `+` is a space in a query, except that nobody encodes the one of a time zone: `+` before digits stays.
fn form(text: &str) -> Option<String> {
    decode(text.as_bytes())
}

/// Reads a moment after 1970; digits behind the microsecond are dropped.
pub(crate) fn parse_time(text: &str) -> Option<UnixMicros> {
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if seconds.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let micros: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        return seconds
            .parse::<u64>()
            .ok()?
            .checked_mul(1_000_000)?
            .checked_add(micros)
            .map(UnixMicros);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000)
        .ok()
        .map(UnixMicros)
}

/// A moment in UTC with six decimals, e.g. `2026-11-22T10:00:00.000000Z`.
pub(crate) fn show_time(time: UnixMicros) -> String {
    let nanos = i128::from(time.0) * 1_000;
    let Ok(t) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return "9999-12-31T23:59:59.999999Z".into();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.microsecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(parse_time(text).map(|t| t.0), expected, "{text}");
        check("0", Some(0));
        check("1795341600", Some(1_795_341_600_000_000));
        check("1795341600.5", Some(1_795_341_600_500_000));
        check("1795341600.1234567", Some(1_795_341_600_123_456));
        check("1970-01-01T00:00:01Z", Some(1_000_000));
        check("1970-01-01T01:00:01.000001+01:00", Some(1_000_001));
        check("2026-11-22T10:00:00Z", Some(1_795_341_600_000_000));
        for refused in [
            "",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "-1",
            "now",
            "2026-11-22",
            "1969-12-31T23:59:59Z",
            "99999999999999999999",
        ] {
            check(refused, None);
        }
        assert_eq!(
            show_time(UnixMicros(1_795_341_600_000_001)),
            "2026-11-22T10:00:00.000001Z"
        );
        assert_eq!(show_time(UnixMicros(u64::MAX)), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn unknown_doubled_and_unreadable_parameters_are_named() {
        let check = |query: &str, name: &str| {
            let uri: Uri = format!("/api/requests?{query}").parse().unwrap();
            let problem = Parameters::read(&uri, &["user", "limit"]).unwrap_err();
            assert!(format!("{problem:?}").contains(name), "{query}: {problem:?}");
        };
        check("usr=a", "usr");
        check("user=a&user=b", "user");
        check("user=%ff", "user");
        check("user=%", "user");
        let uri: Uri = "/x?user=a%26b+c&limit=".parse().unwrap();
        let read = Parameters::read(&uri, &["user", "limit"]).unwrap();
        assert_eq!((read.text("user"), read.text("limit")), (Some("a&b+c"), None));
    }
}
