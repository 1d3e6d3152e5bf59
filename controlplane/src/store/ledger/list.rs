//! Lists of buckets, in the order of their names or of their use.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sluice_shared::quota::{Unit, unsigned};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Bucket;

use super::rows::{ACCOUNT, NAME, Stored, leases, name};
use super::{Among, BucketId, BucketOrder, BucketQuery, BucketRow, used_ppm};
use crate::store::StoreError;
use crate::store::detail::int;

/// Longest literal beginning of a template that names are looked up by; longer names may have been cut.
const PREFIX_BYTES_MAX: usize = 128;

/// A stretch of names that a statement reads, each bounded by an index.
#[derive(Default)]
struct Stretch<'a> {
    quota: Option<&'a str>,
    name: Option<&'a str>,
    prefix: Option<&'a str>,
}

/// Buckets, refilled up to now.
pub(in crate::store) fn buckets(
    connection: &Connection,
    query: &BucketQuery,
    now: UnixMicros,
) -> Result<Vec<BucketRow>, StoreError> {
    let all = [Stretch::default()];
    let stretches: Vec<Stretch<'_>> = match &query.among {
        None => all.into(),
        Some(among) => among.iter().map(Stretch::of).collect(),
    };
    if query.order == BucketOrder::Used {
        return most_used(connection, query, &stretches, now);
    }
    let mut rows = Vec::new();
    for stretch in &stretches {
        read(connection, query, stretch, &mut |found| rows.push(found))?;
    }
    // Each was read as if it were alone.
    let order = |row: &(u64, _, Stored)| {
        let bucket: &Bucket = &row.1;
        (bucket.name.clone(), bucket.quota.clone(), bucket.unit)
    };
    if stretches.len() > 1 {
        rows.sort_by_cached_key(order);
        rows.dedup_by_key(|row| row.0);
        rows.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
    }
    rows.into_iter()
        .map(|found| finish(connection, found, now))
        .collect()
}

/// Those that are used most. Use changes with the time, so there is no index of it: all that may be meant are looked at, and no
/// more of them kept than are asked for.
fn most_used(
    connection: &Connection,
    query: &BucketQuery,
    stretches: &[Stretch<'_>],
    now: UnixMicros,
) -> Result<Vec<BucketRow>, StoreError> {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let place = |ppm: u64, bucket: &Bucket| {
        let Bucket { quota, name, unit } = bucket.clone();
        (Reverse(ppm), name, quota, unit)
    };
    let after = query.after.as_ref().map(|(ppm, bucket)| place(*ppm, bucket));
    let mut largest: BTreeMap<(Reverse<u64>, String, String, Unit), Found> = BTreeMap::new();
    for stretch in stretches {
        read(connection, query, stretch, &mut |found| {
            let mut account = found.2.account;
            account.refill(now);
            let ppm = used_ppm(&account);
            let last = largest.last_key_value().map(|((Reverse(least), ..), _)| *least);
            if largest.len() >= limit && last.is_some_and(|least| ppm < least) {
                return;
            }
            let place = place(ppm, &found.1);
            if after.as_ref().is_some_and(|after| place <= *after) {
                return;
            }
            largest.insert(place, found);
            if largest.len() > limit {
                largest.pop_last();
            }
        })?;
    }
    let found = largest.into_values();
    found.map(|found| finish(connection, found, now)).collect()
}

/// The bucket of a number, refilled up to now.
pub(in crate::store) fn bucket(
    connection: &Connection,
    id: BucketId,
    now: UnixMicros,
) -> Result<Option<BucketRow>, StoreError> {
    let sql = format!("SELECT {NAME},id,{ACCOUNT} FROM buckets WHERE id = ?");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([int(id)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let found = (row.get(3)?, name(row, 0)?, Stored::read(row, 4)?);
    finish(connection, found, now).map(Some)
}

/// A bucket that was read, refilled up to now, with what is leased of it.
fn finish(
    connection: &Connection,
    (id, bucket, stored): Found,
    now: UnixMicros,
) -> Result<BucketRow, StoreError> {
    let mut account = stored.account;
    account.refill(now);
    let leases = leases(connection, id)?;
    let leased = leases
        .iter()
        .map(|lease| unsigned(lease.outstanding(account.terms, account.as_of)));
    Ok(BucketRow {
        id,
        bucket,
        account,
        leased: leased.fold(0, u64::saturating_add),
    })
}

type Found = (u64, Bucket, Stored);

fn read(
    connection: &Connection,
    query: &BucketQuery,
    stretch: &Stretch<'_>,
    each: &mut dyn FnMut(Found),
) -> Result<(), StoreError> {
    let mut bound: Vec<Value> = Vec::new();
    let mut filter = vec!["1".to_owned()];
    let mut must = |condition: &str, value: Value| {
        bound.push(value);
        filter.push(format!("{condition} ?{}", bound.len()));
    };
    let text = |text: &str| Value::Text(text.to_owned());
    for quota in [query.quota.as_deref(), stretch.quota].into_iter().flatten() {
        must("quota =", text(quota));
        // Every name of a quota begins like its template.
        must("name >=", text(literal(quota)));
        if let Some(end) = after_prefix(literal(quota)) {
            must("name <", text(&end));
        }
    }
    for name in [query.name.as_deref(), stretch.name].into_iter().flatten() {
        must("name =", text(name));
    }
    if let Some(prefix) = stretch.prefix {
        must("name >=", text(prefix));
        if let Some(end) = after_prefix(prefix) {
            must("name <", text(&end));
        }
    }
    if let Some(id) = query.id {
        must("id =", Value::Integer(int(id)));
    }
    if let Some(unit) = query.unit {
        must("unit =", Value::Integer(i64::from(unit as u8)));
    }
    if let Some(search) = &query.search {
        bound.push(text(&search.to_ascii_lowercase()));
        filter.push(format!("instr(lower(name), ?{}) > 0", bound.len()));
    }
    let by_name = query.order == BucketOrder::Name;
    if let Some((_, after)) = query.after.as_ref().filter(|_| by_name) {
        for value in [text(&after.name), text(&after.quota)] {
            bound.push(value);
        }
        bound.push(Value::Integer(i64::from(after.unit as u8)));
        let last = bound.len();
        filter.push(format!(
            "(name,quota,unit) > (?{},?{},?{last})",
            last - 2,
            last - 1
        ));
    }
    let mut sql = format!(
        "SELECT {NAME},id,{ACCOUNT} FROM buckets WHERE {}",
        filter.join(" AND ")
    );
    if by_name {
        bound.push(Value::Integer(i64::from(query.limit)));
        sql += &format!(" ORDER BY name, quota, unit LIMIT ?{}", bound.len());
    }
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(params_from_iter(bound))?;
    while let Some(row) = rows.next()? {
        each((row.get(3)?, name(row, 0)?, Stored::read(row, 4)?));
    }
    Ok(())
}

impl<'a> Stretch<'a> {
    fn of(among: &'a Among) -> Self {
        match among {
            Among::Name { quota, name } => Self {
                quota: Some(quota),
                name: Some(name),
                prefix: None,
            },
            Among::Prefix { quota, prefix } => Self {
                quota: Some(quota),
                name: None,
                prefix: Some(prefix),
            },
        }
    }
}

/// What every name of a quota begins with: its template up to the first placeholder.
fn literal(quota: &str) -> &str {
    let end = quota.find('<').unwrap_or(quota.len()).min(PREFIX_BYTES_MAX);
    let end = (0..=end).rev().find(|at| quota.is_char_boundary(*at));
    quota.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The least text that is greater than all that begin so, in the order of their bytes; `None`: there is none.
pub(in crate::store) fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The next character; the gap of surrogates is none.
        if let Some(next) = (u32::from(last) + 1..=0x0010_ffff).find_map(char::from_u32) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
