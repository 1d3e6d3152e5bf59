//! Who was active when: a bit a person, so that people of any stretch of time are counted by joining rows.
//!
//! A row changes when somebody sends the first request of an hour, or the first of a day to a model: what was written
//! lately is remembered, so that nearly every request changes nothing.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _};

use crate::store::StoreError;
use crate::store::detail::{TextId, int};

/// Stands for requests to whatever model, or to none.
pub(in crate::store) const ANY_MODEL: TextId = -1;
/// People in a row.
const BLOCK: u32 = 4_096;
/// Bits that are remembered as set.
const REMEMBERED: usize = 32 << 10;

/// A set of people by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Set(Vec<u8>);

impl Set {
    /// Adds the people of a row.
    pub(in crate::store) fn join(&mut self, block: u32, people: &[u8]) {
        let from = usize::try_from(block.saturating_mul(BLOCK / 8)).unwrap_or(usize::MAX);
        let Some(to) = from.checked_add(people.len()) else {
            return;
        };
        if self.0.len() < to {
            self.0.resize(to, 0);
        }
        for (bits, more) in self.0.iter_mut().skip(from).zip(people) {
            *bits |= more;
        }
    }

    /// Adds another set.
    pub(in crate::store) fn add(&mut self, other: &Self) {
        self.join(0, &other.0);
    }

    /// How many they are.
    pub(in crate::store) fn count(&self) -> u64 {
        self.0.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Their numbers.
    pub(in crate::store) fn numbers(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.0).flat_map(|(at, bits)| {
            (0..8u32)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| at.saturating_mul(8).saturating_add(bit))
        })
    }
}

/// Sets bits, most of them not twice.
#[derive(Default)]
pub(super) struct Active {
    set: HashSet<(TextId, u64, u32)>,
}

impl Active {
    /// Marks a person as active.
    pub(super) fn mark(
        &mut self,
        connection: &Connection,
        model: TextId,
        bucket: u64,
        person: u32,
    ) -> Result<(), StoreError> {
        if self.set.len() >= REMEMBERED {
            self.forget();
        }
        if !self.set.insert((model, bucket, person)) {
            return Ok(());
        }
        let block = person / BLOCK;
        let found: Option<Vec<u8>> = connection
            .prepare_cached("SELECT people FROM active WHERE model = ? AND bucket = ? AND block = ?")?
            .query_row((model, int(bucket), block), |row| row.get(0))
            .optional()?;
        let mut people = found.unwrap_or_default();
        if set_bit(&mut people, person % BLOCK) {
            write(connection, model, bucket, block, &people)?;
        }
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.set = HashSet::new();
    }
}

fn write(
    connection: &Connection,
    model: TextId,
    bucket: u64,
    block: u32,
    people: &[u8],
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO active (model,bucket,block,people) VALUES (?,?,?,?) \
             ON CONFLICT DO UPDATE SET people = excluded.people",
        )?
        .execute((model, int(bucket), block, people))?;
    Ok(())
}

/// Sets a bit; whether it was not set.
fn set_bit(people: &mut Vec<u8>, bit: u32) -> bool {
    let at = usize::try_from(bit / 8).unwrap_or(0);
    if people.len() <= at {
        people.resize(at + 1, 0);
    }
    let Some(bits) = people.get_mut(at) else {
        return false;
    };
    let was = *bits;
    *bits |= 1 << (bit % 8);
    was != *bits
}

/// Fills the table from `rollups`.
pub(super) fn fill(connection: &Connection) -> Result<(), StoreError> {
    let any = "SELECT -1, r.bucket, p.number FROM rollups r JOIN people p ON p.user = r.user WHERE r.level = 3600 \
               ORDER BY r.bucket";
    let models = "SELECT r.model, r.bucket, p.number FROM rollups r JOIN people p ON p.user = r.user \
                  WHERE r.level = 86400 AND r.model <> 0 ORDER BY r.bucket";
    for sql in [any, models] {
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query([])?;
        let (mut sets, mut at) = (BTreeMap::<(TextId, u32), Vec<u8>>::new(), 0);
        while let Some(row) = rows.next()? {
            let (model, bucket, person): (TextId, u64, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if bucket != at {
                flush(connection, at, &mut sets)?;
                at = bucket;
            }
            set_bit(sets.entry((model, person / BLOCK)).or_default(), person % BLOCK);
        }
        flush(connection, at, &mut sets)?;
    }
    Ok(())
}

fn flush(
    connection: &Connection,
    bucket: u64,
    sets: &mut BTreeMap<(TextId, u32), Vec<u8>>,
) -> Result<(), StoreError> {
    for ((model, block), people) in std::mem::take(sets) {
        write(connection, model, bucket, block, &people)?;
    }
    Ok(())
}

/// The sets of people in buckets of a stretch of time (Unix seconds, `to` not included), in order.
pub(in crate::store) fn read(
    connection: &Connection,
    model: TextId,
    from: u64,
    to: u64,
    mut each: impl FnMut(u64, u32, &[u8]),
) -> Result<(), StoreError> {
    let mut select = connection.prepare_cached(READ)?;
    let mut rows = select.query((model, int(from), int(to)))?;
    while let Some(row) = rows.next()? {
        let people = row
            .get_ref(2)?
            .as_blob()
            .map_err(|_| StoreError::Column("people"))?;
        each(row.get(0)?, row.get(1)?, people);
    }
    Ok(())
}

/// The statement of [`read`].
pub(in crate::store) const READ: &str = "SELECT bucket, block, people FROM active WHERE model = ? AND bucket >= ? AND bucket < ? ORDER BY bucket, block";
