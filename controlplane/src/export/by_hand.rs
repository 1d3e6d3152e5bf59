//! Exports by hand: records of a span of time as a table or as lines, newest first, a page at a time.

use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;
use tokio::sync::mpsc;

use super::item::{Item, RequestItem};
use super::table::{GROUP_ROWS, Parquet, csv_header, csv_line};
use crate::store::export::Kept;
use crate::store::{Filter, Page, Reader, RequestQuery, Store, StoreError, open_read_only};

/// Records that are read at once.
const PAGE: u32 = 1_000;
/// Pages that wait for a slow reader.
const PAGES_WAITING: usize = 2;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A line a record, values between commas (RFC 4180).
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Which records are exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// From here on.
    pub since: Option<UnixMicros>,
    /// Up to, and without, this.
    pub until: Option<UnixMicros>,
    /// Of this login only.
    pub user: Option<String>,
}

/// Why records were not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// What was read cannot be written.
    #[error("cannot write")]
    Write(#[from] std::io::Error),
    /// The table cannot be written.
    #[error("cannot write the table: {0}")]
    Table(String),
}

impl Selection {
    fn first_page(&self) -> RequestQuery {
        RequestQuery {
            since: self.since,
            until: self.until,
            filter: Filter::of(self.user.clone()),
            limit: PAGE,
            ..RequestQuery::default()
        }
    }
}

/// Makes the query that of the page behind `page`; `false`: there is none.
fn next_page(query: &mut RequestQuery, page: &Page) -> bool {
    let last = page.records.last();
    let full = page.records.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
    let last = last
        .map(|record| (record.time, record.request_id))
        .filter(|_| full);
    query.after = page.cut.or(last);
    query.after.is_some()
}

/// A record as a line of text.
fn line(format: ExportFormat, record: &UsageRecord) -> String {
    if format == ExportFormat::Csv {
        return csv_line(record);
    }
    let item = Item::Request(Box::new(RequestItem {
        record: record.clone(),
        capture: Kept::None,
        captured: None,
    }));
    let mut json = item.json();
    // Whether it is still there was not looked at: what the record says counts.
    json["capture"] = record.capture.name().into();
    format!("{json}\n")
}

/// Writes the records of a data directory, beside or without a running control plane; how many there were.
///
/// # Errors
/// There is no store, it cannot be read, or `out` cannot be written.
pub async fn export_records(
    data_dir: &Path,
    selection: &Selection,
    format: ExportFormat,
    out: &mut (impl Write + Send),
) -> Result<u64, ExportError> {
    let reader = open_read_only(data_dir).await?;
    if format == ExportFormat::Parquet {
        return table(&reader, selection, out).await;
    }
    if format == ExportFormat::Csv {
        out.write_all(csv_header().as_bytes())?;
    }
    let (mut query, mut count) = (selection.first_page(), 0u64);
    loop {
        let page = reader.requests(&query).await?;
        for record in &page.records {
            out.write_all(line(format, record).as_bytes())?;
        }
        count = count.saturating_add(page.records.len() as u64);
        if !next_page(&mut query, &page) {
            break;
        }
    }
    out.flush()?;
    Ok(count)
}

async fn table(
    reader: &Reader,
    selection: &Selection,
    out: &mut (impl Write + Send),
) -> Result<u64, ExportError> {
    let failed = |error: parquet::errors::ParquetError| ExportError::Table(error.to_string());
    let mut file = Parquet::begin(out).map_err(failed)?;
    let (mut query, mut count, mut rows) = (selection.first_page(), 0u64, Vec::new());
    loop {
        let page = reader.requests(&query).await?;
        let more = next_page(&mut query, &page);
        count = count.saturating_add(page.records.len() as u64);
        rows.extend(page.records);
        if rows.len() >= GROUP_ROWS || (!more && !rows.is_empty()) {
            file.group(&rows.iter().collect::<Vec<_>>()).map_err(failed)?;
            rows.clear();
        }
        if !more {
            break;
        }
    }
    file.finish().map_err(failed)?;
    Ok(count)
}

/// The body of an answer that is written while it is read. If the store fails half-way, the connection is cut: nobody
/// takes a part for the whole.
pub(crate) struct Lines(mpsc::Receiver<Result<Bytes, StoreError>>);

impl Lines {
    /// Begins to write records; stops when the reader is gone.
    pub(crate) fn begin(store: Arc<dyn Store>, selection: &Selection, format: ExportFormat) -> Self {
        let (pages, body) = mpsc::channel(PAGES_WAITING);
        let mut query = selection.first_page();
        tokio::spawn(async move {
            if format == ExportFormat::Csv && pages.send(Ok(csv_header().into())).await.is_err() {
                return;
            }
            loop {
                let page = match store.requests(&query).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::error!("export by hand: {}", crate::link::chain(&error));
                        let _ = pages.send(Err(error)).await;
                        return;
                    }
                };
                let text: String = page.records.iter().map(|record| line(format, record)).collect();
                if !text.is_empty() && pages.send(Ok(text.into())).await.is_err() {
                    return;
                }
                if !next_page(&mut query, &page) {
                    return;
                }
            }
        });
        Self(body)
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        self.0
            .poll_recv(context)
            .map(|page| page.map(|page| page.map(Frame::data)))
    }
}
