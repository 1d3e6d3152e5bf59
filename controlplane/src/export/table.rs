//! Usage rows as tables: CSV (RFC 4180) and Apache Parquet.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;

use crate::api::requests::record as record_json;

/// The first line of a CSV.
pub(crate) fn csv_header() -> String {
    let draft = UsageRecord::draft(
        RequestId([0; 16]),
        UnixMicros(0),
        ShardId(0),
        Epoch(0),
        ApiKind::OpenAiChat,
    );
    let names: Vec<String> = match record_json(&draft) {
        Value::Object(fields) => fields.keys().map(|name| cell(name)).collect(),
        _ => Vec::new(),
    };
    names.join(",") + "\r\n"
}

/// A line of a CSV: what `/api/requests` shows, in its order. What is not known is empty; lists are JSON.
pub(crate) fn csv_line(record: &UsageRecord) -> String {
    let cells: Vec<String> = match record_json(record) {
        Value::Object(fields) => fields.values().map(csv_cell).collect(),
        _ => Vec::new(),
    };
    cells.join(",") + "\r\n"
}

fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => cell(text),
        Value::Array(list) if list.is_empty() => String::new(),
        // Numbers begin with a digit.
        Value::Number(number) => number.to_string(),
        other => cell(&other.to_string()),
    }
}

/// A cell of a CSV. What a spreadsheet would take for a formula gets a quote in front, and quotes around what needs them.
pub(crate) fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// Rows of one group of a Parquet file; they are held in memory until it is written.
pub(crate) const GROUP_ROWS: usize = 10_000;

/// How a column is found in a record.
enum Column {
    Text(fn(&UsageRecord) -> Option<String>),
    Number(fn(&UsageRecord) -> Option<u64>),
    Small(fn(&UsageRecord) -> i32),
    Flag(fn(&UsageRecord) -> bool),
}

use Column::{Flag, Number, Small, Text};

/// The columns: type in the schema's words, name, where from. Version 1 of the layout: columns may be added, none is ever
/// changed.
const COLUMNS: [(&str, &str, Column); 36] = [
    (
        "REQUIRED BYTE_ARRAY",
        "request_id (STRING)",
        Text(|r| Some(r.request_id.to_string())),
    ),
    (
        "REQUIRED INT64",
        "time (TIMESTAMP(MICROS,true))",
        Number(|r| Some(r.time.0)),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "user (STRING)",
        Text(|r| Some(r.user.clone())),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "node (STRING)",
        Text(|r| Some(r.node.clone())),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "tags (STRING)",
        Text(|r| Some(r.tags.join(","))),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "api (STRING)",
        Text(|r| Some(r.api.name().to_owned())),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "path (STRING)",
        Text(|r| Some(r.path.clone())),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "provider (STRING)",
        Text(|r| Some(r.provider.clone())),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "model_asked (STRING)",
        Text(|r| Some(r.model_asked.clone())),
    ),
    (
        "OPTIONAL BYTE_ARRAY",
        "model_answered (STRING)",
        Text(|r| r.model_answered.clone()),
    ),
    ("REQUIRED INT32", "status", Small(|r| i32::from(r.status))),
    ("REQUIRED BOOLEAN", "stream", Flag(|r| r.stream)),
    (
        "REQUIRED BYTE_ARRAY",
        "ended (STRING)",
        Text(|r| Some(r.ended.name().to_owned())),
    ),
    ("OPTIONAL BYTE_ARRAY", "error (STRING)", Text(|r| r.error.clone())),
    (
        "REQUIRED BYTE_ARRAY",
        "usage_known (STRING)",
        Text(|r| Some(r.usage_known.name().to_owned())),
    ),
    ("OPTIONAL INT64", "input", Number(|r| r.usage.input)),
    (
        "OPTIONAL INT64",
        "input_uncached",
        Number(|r| r.usage.input_uncached),
    ),
    ("OPTIONAL INT64", "cached_read", Number(|r| r.usage.cached_read)),
    ("OPTIONAL INT64", "cache_write", Number(|r| r.usage.cache_write)),
    ("OPTIONAL INT64", "output", Number(|r| r.usage.output)),
    ("OPTIONAL INT64", "reasoning", Number(|r| r.usage.reasoning)),
    ("OPTIONAL INT64", "web_searches", Number(|r| r.usage.web_searches)),
    (
        "OPTIONAL INT64",
        "cost_nanousd",
        Number(|r| r.cost.map(|cost| cost.0)),
    ),
    ("REQUIRED BOOLEAN", "priced", Flag(|r| r.priced)),
    (
        "OPTIONAL BYTE_ARRAY",
        "stop_reason (STRING)",
        Text(|r| r.stop_reason.clone()),
    ),
    (
        "REQUIRED INT64",
        "tool_calls",
        Number(|r| Some(r.tool_calls.into())),
    ),
    ("OPTIONAL INT64", "ttft_us", Number(|r| r.ttft_us)),
    ("REQUIRED INT64", "duration_us", Number(|r| Some(r.duration_us))),
    (
        "OPTIONAL BYTE_ARRAY",
        "session (STRING)",
        Text(|r| r.session.clone()),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "session_source (STRING)",
        Text(|r| Some(r.session_source.name().to_owned())),
    ),
    ("OPTIONAL BYTE_ARRAY", "agent (STRING)", Text(|r| r.agent.clone())),
    (
        "OPTIONAL BYTE_ARRAY",
        "parent (STRING)",
        Text(|r| r.parent.clone()),
    ),
    (
        "OPTIONAL BYTE_ARRAY",
        "user_agent (STRING)",
        Text(|r| r.user_agent.clone()),
    ),
    (
        "REQUIRED INT64",
        "request_bytes",
        Number(|r| Some(r.request_bytes)),
    ),
    (
        "REQUIRED INT64",
        "response_bytes",
        Number(|r| Some(r.response_bytes)),
    ),
    (
        "REQUIRED BYTE_ARRAY",
        "capture (STRING)",
        Text(|r| Some(r.capture.name().to_owned())),
    ),
];

/// A Parquet file in the making.
pub(crate) struct Parquet<W: Write + Send>(SerializedFileWriter<W>);

impl<W: Write + Send> Parquet<W> {
    pub(crate) fn begin(out: W) -> Result<Self, ParquetError> {
        let mut schema = String::from("message sluice_usage {\n");
        for (kind, name, _) in &COLUMNS {
            schema.push_str(&format!("  {kind} {name};\n"));
        }
        schema.push('}');
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by(concat!("sluice ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let schema = Arc::new(parse_message_type(&schema)?);
        SerializedFileWriter::new(out, schema, Arc::new(properties)).map(Self)
    }

    /// Writes rows as one group.
    pub(crate) fn group(&mut self, records: &[&UsageRecord]) -> Result<(), ParquetError> {
        let mut group = self.0.next_row_group()?;
        for (kind, _, column) in &COLUMNS {
            write_column(&mut group, kind.starts_with("OPTIONAL"), column, records)?;
        }
        group.close()?;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), ParquetError> {
        self.0.close()?;
        Ok(())
    }
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    optional: bool,
    column: &Column,
    records: &[&UsageRecord],
) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns".into()));
    };
    // One level a row where a value may be missing: 1 it is there, 0 it is not.
    let levels = |there: Vec<bool>| -> Option<Vec<i16>> {
        optional.then(|| there.into_iter().map(i16::from).collect())
    };
    match column {
        Text(of) => {
            let values: Vec<Option<String>> = records.iter().map(|r| of(r)).collect();
            let levels = levels(values.iter().map(Option::is_some).collect());
            let texts = values.into_iter().filter(|value| !optional || value.is_some());
            let texts: Vec<ByteArray> = texts
                .map(|value| ByteArray::from(value.unwrap_or_default().into_bytes()))
                .collect();
            writer
                .typed::<ByteArrayType>()
                .write_batch(&texts, levels.as_deref(), None)?;
        }
        Number(of) => {
            let values: Vec<Option<u64>> = records.iter().map(|r| of(r)).collect();
            let levels = levels(values.iter().map(Option::is_some).collect());
            let numbers = values.into_iter().filter(|value| !optional || value.is_some());
            let numbers: Vec<i64> = numbers
                .map(|value| i64::try_from(value.unwrap_or(0)).unwrap_or(i64::MAX))
                .collect();
            writer
                .typed::<Int64Type>()
                .write_batch(&numbers, levels.as_deref(), None)?;
        }
        Small(of) => {
            let numbers: Vec<i32> = records.iter().map(|r| of(r)).collect();
            writer.typed::<Int32Type>().write_batch(&numbers, None, None)?;
        }
        Flag(of) => {
            let flags: Vec<bool> = records.iter().map(|r| of(r)).collect();
            writer.typed::<BoolType>().write_batch(&flags, None, None)?;
        }
    }
    writer.close()
}

/// A whole file in memory.
pub(super) fn parquet(records: &[&UsageRecord]) -> Result<Vec<u8>, ParquetError> {
    let mut out = Vec::new();
    let mut file = Parquet::begin(&mut out)?;
    for some in records.chunks(GROUP_ROWS) {
        file.group(some)?;
    }
    file.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{full, record};

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        let check = |text: &str, expected: &str| assert_eq!(cell(text), expected);
        check("plain", "plain");
        check("", "");
        check("a,b", "\"a,b\"");
        check("say \"x\"", "\"say \"\"x\"\"\"");
        check("two\r\nlines", "\"two\r\nlines\"");
        check("=1+1", "'=1+1");
        check("+1", "'+1");
        check("-1", "'-1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\tx", "'\tx");
        check("=a,b", "\"'=a,b\"");
        check("a=b", "a=b");
    }

    #[test]
    fn every_line_has_a_cell_for_every_name() {
        let names = csv_header();
        let names: Vec<&str> = names.trim_end().split(',').collect();
        let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
        let mut r = record(1, 5);
        r.user = "=cmd".into();
        let line = csv_line(&r);
        assert!(line.ends_with("\r\n"));
        let cells: Vec<&str> = line.trim_end().split(',').collect();
        assert_eq!(cells.len(), names.len());
        assert_eq!(cells[at("user")], "'=cmd");
        assert_eq!(cells[at("request_id")], r.request_id.to_string());
        assert_eq!(cells[at("input")], "1");
        assert_eq!(cells[at("cached_read")], "", "unknown is empty, not 0");
    }

    #[test]
    fn parquet_reads_back_as_it_was() {
        use parquet::file::reader::{FileReader as _, SerializedFileReader};
        use parquet::record::RowAccessor as _;

        let records = [full(), record(1, 7), record(4, 8)];
        let bytes = parquet(&records.iter().collect::<Vec<_>>()).unwrap();
        let file = SerializedFileReader::new(hyper::body::Bytes::from(bytes)).unwrap();
        let rows: Vec<_> = file
            .get_row_iter(None)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows.len(), records.len());
        for (row, r) in rows.iter().zip(&records) {
            let all: Vec<(&String, &parquet::record::Field)> = row.get_column_iter().collect();
            assert_eq!(all.len(), COLUMNS.len());
            for ((name, field), (kind, column_name, column)) in all.into_iter().zip(&COLUMNS) {
                assert_eq!(column_name.split(' ').next(), Some(name.as_str()));
                use parquet::record::Field;
                let expected = match column {
                    Text(of) => of(r).map_or(Field::Null, Field::Str),
                    Number(of) if *column_name == "time (TIMESTAMP(MICROS,true))" => {
                        Field::TimestampMicros(i64::try_from(of(r).unwrap()).unwrap())
                    }
                    Number(of) => of(r).map_or(Field::Null, |n| Field::Long(i64::try_from(n).unwrap())),
                    Small(of) => Field::Int(of(r)),
                    Flag(of) => Field::Bool(of(r)),
                };
                assert_eq!(*field, expected, "{kind} {name}");
            }
        }
        assert_eq!(rows[1].get_string(0).unwrap(), &records[1].request_id.to_string());
    }
}
