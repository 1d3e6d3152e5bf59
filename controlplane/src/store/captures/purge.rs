//! Rows of segments that go, and the pages that they leave.

use rusqlite::{Connection, TransactionBehavior, params};

use super::super::StoreError;
use super::super::detail::int;
use super::super::outbox;
use super::{Purge, natural};

pub(super) fn awaited(connection: &Connection, segment: u64) -> Result<bool, StoreError> {
    outbox::awaited(connection, segment)
}

/// Removes rows in the order in which they lie in the file.
pub(super) fn rows(
    connection: &mut Connection,
    segment: u64,
    purge: Purge,
    limit: u32,
) -> Result<bool, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut gone = 0;
    if purge.tools {
        gone += transaction
            .prepare_cached(
                "DELETE FROM tool_calls WHERE (segment, capture, call) IN \
                 (SELECT segment, capture, call FROM tool_calls WHERE segment = ?1 LIMIT ?2)",
            )?
            .execute(params![int(segment), limit])?;
    }
    if purge.captures {
        gone += transaction
            .prepare_cached(
                "DELETE FROM captures WHERE (segment, number) IN \
                 (SELECT segment, number FROM captures WHERE segment = ?1 LIMIT ?2)",
            )?
            .execute(params![int(segment), limit])?;
    }
    transaction.commit()?;
    Ok(gone > 0)
}

pub(super) fn give_back(connection: &Connection, pages: u32) -> Result<u64, StoreError> {
    let free = |connection: &Connection| -> Result<u64, StoreError> {
        let free = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        natural(free, "freelist_count")
    };
    // 2: incremental. Files of earlier versions that were too large to be rewritten keep their free pages for later rows.
    let mode: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if mode != 2 || free(connection)? == 0 {
        return Ok(0);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    // A page goes with each step.
    while rows.next()?.is_some() {}
    free(connection)
}
