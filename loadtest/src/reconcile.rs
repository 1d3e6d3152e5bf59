//! The books after a kill: what the client saw, what the mock served, what the gateway recorded.
//!
//! Each request bears a number. The rules:
//! 1. what the client saw complete has exactly one record, and it says `complete`;
//! 2. what reached the mock has exactly one record;
//! 3. nothing has more than one record, and no request id occurs twice;
//! 4. there is no record of a request that was never sent.

use std::collections::{BTreeMap, BTreeSet};

/// What the client knows of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The whole right answer came.
    Complete,
    /// Bytes of it were sent, the answer did not come or was cut.
    Broken,
    /// The gateway answered with an error of its own.
    Refused,
}

/// One record of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) request_id: String,
    /// The number in the model's name.
    pub(crate) number: u64,
    pub(crate) ended: String,
}

/// The outcome of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) sent: usize,
    pub(crate) complete: usize,
    pub(crate) broken: usize,
    pub(crate) refused: usize,
    pub(crate) at_mock: usize,
    pub(crate) records: usize,
    /// Records by how they say the request ended.
    pub(crate) by_ending: BTreeMap<String, usize>,
    /// Rule 1: complete for the client, without a record.
    pub(crate) complete_unrecorded: Vec<u64>,
    /// Rule 1: complete for the client, recorded otherwise.
    pub(crate) complete_misrecorded: Vec<(u64, String)>,
    /// Rule 2: at the mock, without a record.
    pub(crate) mock_unrecorded: Vec<u64>,
    /// Rule 3: with more than one record.
    pub(crate) doubled: Vec<u64>,
    /// Rule 3: request ids that occur twice.
    pub(crate) ids_doubled: Vec<String>,
    /// Rule 4.
    pub(crate) unknown: Vec<u64>,
}

impl Books {
    /// How many rules are broken, each occurrence counted.
    pub(crate) fn faults(&self) -> usize {
        self.complete_unrecorded.len()
            + self.complete_misrecorded.len()
            + self.mock_unrecorded.len()
            + self.doubled.len()
            + self.ids_doubled.len()
            + self.unknown.len()
    }
}

/// Compares the three accounts.
pub(crate) fn reconcile(seen: &BTreeMap<u64, Seen>, at_mock: &BTreeSet<u64>, records: &[Record]) -> Books {
    let mut by_number: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut books = Books {
        records: records.len(),
        at_mock: at_mock.len(),
        ..Books::default()
    };
    for record in records {
        by_number.entry(record.number).or_default().push(record);
        *ids.entry(&record.request_id).or_default() += 1;
        *books.by_ending.entry(record.ended.clone()).or_default() += 1;
    }
    books.ids_doubled = ids
        .iter()
        .filter(|(_, n)| **n > 1)
        .map(|(id, _)| (*id).to_owned())
        .collect();
    for (number, found) in &by_number {
        if found.len() > 1 {
            books.doubled.push(*number);
        }
        if !seen.contains_key(number) {
            books.unknown.push(*number);
        }
    }
    for (number, seen) in seen {
        let found = by_number.get(number);
        match seen {
            Seen::Complete => {
                books.complete += 1;
                match found.and_then(|found| found.first()) {
                    None => books.complete_unrecorded.push(*number),
                    Some(record) if record.ended != "complete" => {
                        books.complete_misrecorded.push((*number, record.ended.clone()));
                    }
                    Some(_) => {}
                }
            }
            Seen::Broken => books.broken += 1,
            Seen::Refused => books.refused += 1,
        }
        books.sent += 1;
        if found.is_none() && *seen != Seen::Complete && at_mock.contains(number) {
            books.mock_unrecorded.push(*number);
        }
    }
    books
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, number: u64, ended: &str) -> Record {
        Record {
            request_id: id.into(),
            number,
            ended: ended.into(),
        }
    }

    /// 1 complete, 2 broken at the mock, 3 broken before it, 4 refused.
    fn world() -> (BTreeMap<u64, Seen>, BTreeSet<u64>, Vec<Record>) {
        let seen = [
            (1, Seen::Complete),
            (2, Seen::Broken),
            (3, Seen::Broken),
            (4, Seen::Refused),
        ];
        let records = vec![
            record("a", 1, "complete"),
            record("b", 2, "aborted"),
            record("c", 4, "blocked"),
        ];
        (seen.into(), [1, 2].into(), records)
    }

    #[test]
    fn right_books_have_no_fault() {
        let (seen, mock, records) = world();
        let books = reconcile(&seen, &mock, &records);
        assert_eq!(books.faults(), 0, "{books:?}");
        assert_eq!(
            (
                books.sent,
                books.complete,
                books.broken,
                books.refused,
                books.at_mock
            ),
            (4, 1, 2, 1, 2)
        );
        assert_eq!(books.by_ending.get("aborted"), Some(&1));
    }

    #[test]
    fn each_rule_has_teeth() {
        fn check(change: impl Fn(&mut Vec<Record>), expected: impl Fn(&Books) -> bool) {
            let (seen, mock, mut records) = world();
            change(&mut records);
            let books = reconcile(&seen, &mock, &records);
            assert_eq!(books.faults(), 1, "{books:?}");
            assert!(expected(&books), "{books:?}");
        }
        check(|r| drop(r.remove(0)), |b| b.complete_unrecorded == [1]);
        check(
            |r| r[0].ended = "aborted".into(),
            |b| b.complete_misrecorded == [(1, "aborted".into())],
        );
        check(|r| drop(r.remove(1)), |b| b.mock_unrecorded == [2]);
        check(|r| r.push(record("d", 2, "aborted")), |b| b.doubled == [2]);
        check(|r| r.push(record("d", 99, "complete")), |b| b.unknown == [99]);
        check(|r| r[2].request_id = "a".into(), |b| b.ids_doubled == ["a"]);
    }
}
