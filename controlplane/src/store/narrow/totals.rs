//! Sums of all users together: as many rows as `rollups` would have if there was one user.

use std::sync::LazyLock;

use rusqlite::{Connection, params_from_iter};

use super::upsert;
use crate::store::StoreError;
use crate::store::detail::int;
use crate::store::rollup::{self, Key, Sums};

static UPSERT: LazyLock<String> = LazyLock::new(|| {
    upsert(
        "totals",
        &["level", "bucket", "model", "provider", "api"],
        "level, bucket, model, provider, api",
        "",
    )
});

/// Adds the sums of a batch.
pub(super) fn add(connection: &Connection, sums: &Sums) -> Result<(), StoreError> {
    let mut together = Sums::new();
    for (key, totals) in sums {
        rollup::add(together.entry(Key { user: 0, ..*key }).or_default(), totals);
    }
    let mut upsert = connection.prepare_cached(&UPSERT)?;
    for (key, totals) in &together {
        let sums = rollup::columns(totals).map(int);
        let (level, bucket, api) = (int(key.level), int(key.bucket), key.api.name());
        let keys: [&dyn rusqlite::ToSql; 5] = [&level, &bucket, &key.model, &key.provider, &api];
        upsert.execute(params_from_iter(
            keys.into_iter()
                .chain(sums.iter().map(|sum| sum as &dyn rusqlite::ToSql)),
        ))?;
    }
    Ok(())
}

/// Changes the errors of one row.
pub(super) fn amend(connection: &Connection, key: &Key, errors: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE totals SET errors = max(errors + ?, 0) WHERE level = ? AND bucket = ? AND model = ? \
             AND provider = ? AND api = ?",
        )?
        .execute((
            errors,
            int(key.level),
            int(key.bucket),
            key.model,
            key.provider,
            key.api.name(),
        ))?;
    Ok(())
}
