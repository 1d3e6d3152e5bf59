//! The ledger of the fake control plane: real accounts, kept in memory, one holder.
//!
//! It reads no journal. What the data plane has charged stays outstanding on its lease, as it does with a real ledger
//! that has not come to read the journal yet.

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_shared::quota::ledger::{Account, Ask, Lease};
use sluice_shared::quota::{Terms, Unit};
use sluice_shared::snapshot::Snapshot;
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::{Bucket, BucketRef, LeaseAnswer};

/// How the ledger is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    #[default]
    Well,
    /// It says that it cannot answer.
    Unavailable,
    /// It says nothing.
    Silent,
}

struct Kept {
    id: u64,
    bucket: Bucket,
    account: Account,
    lease: Lease,
}

/// The buckets that were asked about.
#[derive(Default)]
pub struct Ledger {
    kept: Vec<Kept>,
    last_id: u64,
    asked: u64,
    pub mood: Mood,
}

fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMicros(u64::try_from(since.as_micros()).unwrap())
}

/// Terms that a configuration gives a bucket.
fn defined(snapshot: &Snapshot, bucket: &Bucket) -> Option<Terms> {
    let quota = snapshot.quotas.iter().find(|quota| quota.name == bucket.quota)?;
    let limit = quota.limits.iter().find(|limit| limit.unit == bucket.unit)?;
    Some(limit.terms)
}

impl Ledger {
    /// Answers a question; `None`: says nothing.
    pub fn answer(&mut self, snapshot: &Snapshot, bucket: &BucketRef, ask: &Ask) -> Option<LeaseAnswer> {
        self.asked += 1;
        match self.mood {
            Mood::Well => {}
            Mood::Unavailable => return Some(LeaseAnswer::Unavailable { seq: ask.seq }),
            Mood::Silent => return None,
        }
        let undefined = Some(LeaseAnswer::Undefined { seq: ask.seq });
        // A definition that is gone takes its buckets with it.
        self.kept.retain(|kept| defined(snapshot, &kept.bucket).is_some());
        let at = match bucket {
            BucketRef::Numbered(id) => self.kept.iter().position(|kept| kept.id == *id),
            BucketRef::Named(bucket) => {
                let known = self.kept.iter().position(|kept| kept.bucket == *bucket);
                known.or_else(|| self.open(snapshot, bucket))
            }
        };
        let Some(kept) = at.and_then(|at| self.kept.get_mut(at)) else {
            return undefined;
        };
        if let Some(terms) = defined(snapshot, &kept.bucket) {
            kept.account.set_terms(terms, now());
        }
        let grant = kept.account.answer(&mut kept.lease, &[], ask, now())?;
        Some(LeaseAnswer::Granted {
            bucket: kept.id,
            grant,
        })
    }

    fn open(&mut self, snapshot: &Snapshot, bucket: &Bucket) -> Option<usize> {
        let terms = defined(snapshot, bucket)?;
        self.last_id += 1;
        self.kept.push(Kept {
            id: self.last_id,
            bucket: bucket.clone(),
            account: Account::open(terms, now()),
            lease: Lease::new(1, now()),
        });
        Some(self.kept.len() - 1)
    }

    /// Questions so far.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Number of a bucket; 0 if nobody has asked about it.
    pub fn id(&self, name: &str, unit: Unit) -> u64 {
        let mut kept = self.kept.iter();
        let found = kept.find(|kept| kept.bucket.name == name && kept.bucket.unit == unit);
        found.map_or(0, |kept| kept.id)
    }

    /// Names and units of all buckets, sorted.
    pub fn names(&self) -> Vec<(String, Unit)> {
        let mut out: Vec<_> = self
            .kept
            .iter()
            .map(|kept| (kept.bucket.name.clone(), kept.bucket.unit))
            .collect();
        out.sort();
        out
    }

    /// Adds to a bucket by hand; its number.
    pub fn add(&mut self, name: &str, unit: Unit, amount: u64) -> u64 {
        let id = self.id(name, unit);
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.id == id) {
            kept.account.add(amount, now());
        }
        id
    }

    /// Takes note of what records say, as the control plane does when it has read the journal.
    pub fn ingest<'a>(&mut self, charges: impl Iterator<Item = &'a sluice_shared::quota::Charge>) {
        for charge in charges {
            if let Some(kept) = self.kept.iter_mut().find(|kept| kept.id == charge.bucket) {
                kept.account.charge(charge.amount, now(), now());
                kept.lease.charge(charge.amount);
            }
        }
    }
}
