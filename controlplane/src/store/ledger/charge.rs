//! Charges of stored records.

use rusqlite::{Connection, OptionalExtension as _};
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;

use super::history::{Event, add_event};
use super::rows::{ACCOUNT, NAME, Stored, charge_lease, name};
use super::{BucketId, QuotaEvent, mark};
use crate::store::detail::int;
use crate::store::{StoreError, When};

/// Charges of a batch, gathered from records that were really inserted.
#[derive(Default)]
pub(in crate::store) struct Charges(Vec<Due>);

/// One charge and when it fell due.
struct Due {
    bucket: BucketId,
    /// When its request ended.
    at: UnixMicros,
    charge: Charge,
}

/// What charging did.
#[derive(Default)]
pub(in crate::store) struct Charged {
    /// Charges of buckets that are gone.
    pub(in crate::store) dropped: u64,
    /// Marks that were reached.
    pub(in crate::store) events: Vec<QuotaEvent>,
}

impl Charges {
    /// Takes those of a record.
    pub(in crate::store) fn of(&mut self, record: &UsageRecord, when: When) {
        let ended = UnixMicros(record.time.0.saturating_add(record.duration_us));
        let at = ended.max(when.since).min(when.now);
        let due = |charge: &Charge| Due {
            bucket: charge.bucket,
            at,
            charge: *charge,
        };
        // Running requests are counted while they run, by their lease.
        let charged = record.charges.iter().filter(|c| c.unit != Unit::Concurrency);
        self.0.extend(charged.map(due));
    }
}

/// Takes charges off their buckets, of each in the order in which its requests ended, and notes them in the holder's
/// leases.
pub(in crate::store) fn charge(
    connection: &Connection,
    mut charges: Charges,
    holder: u64,
    now: UnixMicros,
) -> Result<Charged, StoreError> {
    let mut done = Charged::default();
    charges.0.sort_by_key(|due| (due.bucket, due.at));
    for dues in charges.0.chunk_by(|a, b| a.bucket == b.bucket) {
        let Some(id) = dues.first().map(|due| due.bucket) else {
            continue;
        };
        let sql = format!("SELECT {ACCOUNT},{NAME} FROM buckets WHERE id = ?");
        let found = connection
            .prepare_cached(&sql)?
            .query_row([int(id)], |row| Ok((Stored::read(row, 0)?, name(row, 9))))
            .optional()?;
        let Some((mut stored, bucket)) = found else {
            done.dropped = done.dropped.saturating_add(dues.len() as u64);
            continue;
        };
        let bucket = bucket?;
        for due in dues {
            if due.charge.unit != bucket.unit {
                done.dropped = done.dropped.saturating_add(1);
                continue;
            }
            let account = &mut stored.account;
            account.refill(due.at.min(now));
            stored.mark = mark::rearmed(stored.mark, account);
            account.charge(due.charge.amount, due.at, now);
            for percent in mark::crossed(stored.mark, account) {
                stored.mark = percent;
                let event = Event {
                    time: now,
                    bucket: &bucket,
                    percent,
                    account,
                };
                done.events.push(add_event(connection, &event)?);
            }
        }
        stored.update(connection, id)?;
        let own = dues.iter().filter(|due| due.charge.unit == bucket.unit);
        charge_lease(connection, id, holder, own.map(|due| due.charge.amount))?;
    }
    Ok(done)
}
