//! Where to look for what a list is filtered by: the table `seen` names the seconds in which a value occurs: a user, a
//! provider, a model, a status, the code of an error, the name of who gave a verdict.
//!
//! A full index would cost every record three or four insertions. A row per value and second costs close to nothing
//! when there is traffic, and a filtered list reads only seconds in which all its values occur. What it reads in vain is
//! therefore bounded by the seconds in which the values meet without one record having them all.

use std::collections::HashSet;

use rusqlite::Connection;

use super::detail::TextId;

/// Rows that are remembered as written.
const REMEMBERED: usize = 16 << 10;

/// The value of a status. Numbers of texts are not negative.
pub(super) fn status_value(status: u16) -> i64 {
    -1 - i64::from(status)
}

/// The value of a class of statuses: 4 for 4xx.
pub(super) fn class_value(class: u16) -> i64 {
    -100_000 - i64::from(class)
}

/// The value by which a range of statuses is found, if there is one.
pub(super) fn range_value(low: u16, high: u16) -> Option<i64> {
    let class = low.is_multiple_of(100) && high.checked_sub(low) == Some(99);
    match (low == high, class) {
        (true, _) => Some(status_value(low)),
        (false, true) => Some(class_value(low / 100)),
        (false, false) => None,
    }
}

/// The values of a record.
pub(super) fn values(
    user: TextId,
    provider: TextId,
    model_asked: TextId,
    model_answered: Option<TextId>,
    status: u16,
) -> impl Iterator<Item = i64> {
    [
        Some(user),
        Some(provider),
        Some(model_asked),
        model_answered,
        Some(status_value(status)),
        Some(class_value(status / 100)),
    ]
    .into_iter()
    .flatten()
}

/// Writes rows of `seen`, most of them not twice.
#[derive(Default)]
pub(super) struct Seen {
    written: HashSet<(i64, u64)>,
}

impl Seen {
    /// Belongs to the transaction of the connection: if that is rolled back, call [`Self::forget`].
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        rows: impl Iterator<Item = (i64, u64)>,
    ) -> rusqlite::Result<()> {
        let mut insert =
            connection.prepare_cached("INSERT OR IGNORE INTO seen (value,second) VALUES (?,?)")?;
        for row in rows {
            if self.written.len() >= REMEMBERED {
                self.forget();
            }
            if self.written.insert(row) {
                insert.execute((row.0, super::detail::int(row.1)))?;
            }
        }
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.written = HashSet::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_found_alone_and_by_its_class() {
        for status in [0, 99, 100, 200, 429, 599, 999, u16::MAX] {
            let of: Vec<i64> = values(1, 2, 3, None, status).collect();
            assert!(of.contains(&range_value(status, status).unwrap()));
            let low = status / 100 * 100;
            if let Some(high) = low.checked_add(99) {
                assert!(of.contains(&range_value(low, high).unwrap()));
            }
            assert_eq!(of.iter().filter(|value| **value >= 0).count(), 3);
        }
        assert_eq!(range_value(200, 204), None);
        assert_eq!(range_value(299, 200), None);
    }
}
