//! `sluice export`: records of a span of time as a table or as lines, read from the data directory beside or without a
//! running instance.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use sluice_controlplane::{ExportSelection, export_records};
use sluice_shared::units::UnixMicros;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::ExportOptions;
use crate::usage::span_s;

/// Writes the records to a file or to standard output.
///
/// # Errors
/// There is no store, it cannot be read, or the file cannot be written.
pub(crate) fn run(options: &ExportOptions) -> Result<ExitCode> {
    let selection = ExportSelection {
        since: moment(options.since.as_deref(), OffsetDateTime::now_utc())?,
        until: moment(options.until.as_deref(), OffsetDateTime::now_utc())?,
        user: options.user.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let data = &options.instance.data;
    let format = options.format.into();
    let count = match &options.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            let mut out = BufWriter::new(file);
            let count = runtime.block_on(export_records(data, &selection, format, &mut out))?;
            out.flush()?;
            count
        }
        None => runtime.block_on(export_records(
            data,
            &selection,
            format,
            &mut BufWriter::new(io::stdout()),
        ))?,
    };
    eprintln!("{count} records");
    Ok(ExitCode::SUCCESS)
}

/// A span back from now (`24h`), Unix seconds, or RFC 3339.
fn moment(text: Option<&str>, now: OffsetDateTime) -> Result<Option<UnixMicros>> {
    let Some(text) = text else { return Ok(None) };
    let now_s = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let seconds = if let Some(span) = span_s(text) {
        now_s.saturating_sub(span)
    } else if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse()?
    } else {
        let time = OffsetDateTime::parse(text, &Rfc3339)
            .with_context(|| format!("{text:?} is no time: 24h, Unix seconds or 2026-11-22T10:00:00Z"))?;
        let micros = time.unix_timestamp_nanos() / 1_000;
        let Ok(micros) = u64::try_from(micros) else {
            bail!("{text} is before 1970");
        };
        return Ok(Some(UnixMicros(micros)));
    };
    Ok(Some(UnixMicros(seconds.saturating_mul(1_000_000))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spans_seconds_and_dates() {
        let now = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
        let check = |text: &str, expected: Option<u64>| {
            let found = moment(Some(text), now).ok().flatten();
            assert_eq!(found, expected.map(UnixMicros), "{text}");
        };
        check("1h", Some(996_400_000_000));
        check("7", Some(7_000_000));
        check("1970-01-01T00:00:01.5Z", Some(1_500_000));
        check("1969-12-31T23:59:59Z", None);
        check("yesterday", None);
        check("", None);
        assert_eq!(moment(None, now).unwrap(), None);
    }
}
