//! Journals written by hand, read exactly once, whatever happens in between.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::ledger::Ask;
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Ended, Known, UsageRecord};
use sluice_shared::wire::control::BucketRef;
use sluice_shared::wire::inflight::Counter;
use sluice_shared::wire::journal::{Entry, SEGMENT_HEADER_BYTES, SegmentHeader, encode, record_bytes};

use super::*;
use crate::ledger::Clock;
use crate::ledger::tests::{bucket, quota};
use crate::store::{BucketQuery, BucketRow, LeaseAsk, LeaseOutcome, RequestQuery, Sqlite};
use journal::Writer;

#[path = "../../tests/support/journal.rs"]
mod journal;

/// Ceiling of the one budget there is.
const CAPACITY: u64 = 100_000;
/// A bucket that is not defined.
const NOBODYS: u64 = 77;

/// A record that is charged, also to a bucket that is gone.
fn charged(number: u32, bucket: u64) -> UsageRecord {
    let mut record = record(number);
    let charge = |bucket, unit, amount| Charge { bucket, unit, amount };
    record.charges = vec![
        charge(bucket, Unit::Usd, u64::from(number) + 1),
        charge(NOBODYS, Unit::Usd, 5),
    ];
    record
}

fn record(number: u32) -> UsageRecord {
    let id = RequestId::new(1_000, ShardId(0), number, 9);
    let mut record = UsageRecord::draft(
        id,
        UnixMicros(u64::from(number) + 1),
        ShardId(0),
        Epoch(1),
        ApiKind::OpenAiChat,
    );
    record.ended = Ended::Complete;
    record.status = 200;
    record.user = "alice".into();
    record.usage.input = Some(u64::from(number));
    record.usage_known = Known::Reported;
    record
}

/// A control plane's reading side, with its own runtime for the store.
struct Reader {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    status: Arc<Status>,
    ingest: Ingest,
}

impl Reader {
    fn new(data: &Path, kill: Option<Arc<dyn Fn(Step) -> bool + Send + Sync>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(runtime.block_on(Sqlite::open(data)).unwrap());
        let status = Arc::new(Status::new(Instant::now()));
        let settings = Settings {
            probe: Duration::ZERO,
            kill,
            ..Settings::default()
        };
        let bases = price::Bases::default();
        let ingest = Ingest::new(
            data,
            store.clone(),
            Ledger::new(store.clone(), Clock::start(), &[quota("q", CAPACITY)]),
            runtime.handle().clone(),
            status.clone(),
            bases,
            settings,
        );
        Self {
            runtime,
            store,
            status,
            ingest,
        }
    }

    /// A data plane takes all that is free in the budget.
    fn lease(&self, holder: u64) -> u64 {
        let ask = LeaseAsk {
            bucket: BucketRef::Named(bucket("q")),
            terms: quota("q", CAPACITY).limits[0].terms,
            holder,
            ask: Ask {
                seq: 1,
                first: 1,
                ..Ask::default()
            },
            last: true,
        };
        let none = BTreeSet::new();
        let lease = self.store.lease(std::slice::from_ref(&ask), UnixMicros(1), &none);
        let outcome = self.runtime.block_on(lease).unwrap();
        match outcome.as_slice() {
            [LeaseOutcome::Granted { bucket, .. }] => *bucket,
            other => panic!("{other:?}"),
        }
    }

    fn budget(&self) -> BucketRow {
        let query = BucketQuery {
            limit: 2,
            ..BucketQuery::default()
        };
        let mut rows = self
            .runtime
            .block_on(self.store.buckets(&query, UnixMicros(1)))
            .unwrap();
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    /// What a record was charged to the budget adds up to what is missing in it.
    fn agrees(&self, bucket: u64) {
        let sum: u64 = self
            .stored()
            .iter()
            .flat_map(|record| &record.charges)
            .filter(|charge| charge.bucket == bucket)
            .map(|charge| charge.amount)
            .sum();
        let account = self.budget().account;
        assert_eq!(account.charged, sum);
        assert_eq!(account.balance, i64::try_from(CAPACITY - sum).unwrap());
    }

    fn stored(&self) -> Vec<UsageRecord> {
        let query = RequestQuery {
            limit: 100_000,
            ..RequestQuery::default()
        };
        let mut records = self
            .runtime
            .block_on(self.store.requests(&query))
            .unwrap()
            .records;
        records.reverse();
        records
    }
}

#[test]
fn records_come_in_order_of_every_shard_and_read_segments_go() {
    let data = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), None);
    assert!(!reader.ingest.pass().unwrap(), "nothing yet");
    let mut expected = Vec::new();
    for round in 0..10u32 {
        for n in round * 100..round * 100 + 100 {
            writer.usage(u16::try_from(n % 3).unwrap(), &record(n));
            expected.push(record(n));
        }
        assert!(reader.ingest.pass().unwrap());
        assert_eq!(reader.stored(), expected);
        assert!(!reader.ingest.pass().unwrap(), "nothing twice");
    }
    let segments = names(&writer.directory)
        .unwrap()
        .into_iter()
        .filter(|n| n.ends_with(".seg"))
        .count();
    assert_eq!(segments, 6, "the present one and the next of each shard");
    assert!(
        writer.rows.values().all(|(number, _)| *number > 3),
        "several segments were filled"
    );

    writer.append(
        0,
        &Entry::Amend {
            request_id: record(0).request_id,
            ended: Ended::ClientGone,
            duration_us: 77,
        },
    );
    reader.ingest.pass().unwrap();
    assert_eq!(
        (reader.stored()[0].ended, reader.stored()[0].duration_us),
        (Ended::ClientGone, 77)
    );
    assert_eq!(reader.status.figures().records, 1_000);
}

#[test]
fn a_batch_is_bounded_and_the_rest_follows() {
    let data = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(data.path(), 1);
    let sizes = Arc::new(Mutex::new(0));
    let commits = sizes.clone();
    let kill = move |step| {
        *commits.lock().unwrap() += usize::from(step == Step::Committed);
        false
    };
    let mut reader = Reader::new(data.path(), Some(Arc::new(kill)));
    let records = u32::try_from(2 * BATCH_MAX + 276).unwrap();
    for n in 0..records {
        writer.usage(u16::try_from(n % 2).unwrap(), &record(n));
    }
    reader.ingest.pass().unwrap();
    assert_eq!(reader.stored().len(), 2 * BATCH_MAX + 276);
    assert!(
        *sizes.lock().unwrap() >= 3,
        "no more than {BATCH_MAX} a transaction"
    );
}

#[test]
fn a_dead_incarnation_leaves_aborted_records_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(data.path(), 7);
    let mut reader = Reader::new(data.path(), None);
    writer.usage(0, &record(1));
    reader.ingest.pass().unwrap();
    writer.usage(0, &record(2));
    let mut running = record(3);
    (running.status, running.usage.input, running.provider) = (0, None, "p".into());
    running.model_asked = "gpt-4o".into();
    // Slot 0: recorded, but the process died before it freed the slot. Slot 2: running.
    let counters = [(Counter::Input, 50), (Counter::Output, 5), (Counter::Status, 200)];
    writer.in_flight(0, &[Some((&record(2), &[])), None, Some((&running, &counters))]);
    assert!(reader.ingest.pass().unwrap());
    assert_eq!(
        reader.stored().len(),
        2,
        "while the process lives, its table says nothing"
    );
    writer.die();
    assert!(reader.ingest.pass().unwrap());
    let stored = reader.stored();
    let ends: Vec<Ended> = stored.iter().map(|r| r.ended).collect();
    assert_eq!(ends, [Ended::Complete, Ended::Complete, Ended::Aborted]);
    let aborted = &stored[2];
    assert_eq!(
        (aborted.usage.input, aborted.usage.output, aborted.status),
        (Some(50), Some(5), 200)
    );
    assert_eq!(aborted.usage_known, Known::Partial);
    assert!(
        aborted.priced && aborted.cost.is_some_and(|c| c.0 > 0),
        "{aborted:?}"
    );
    assert_eq!(
        names(&data.path().join("journal")).unwrap(),
        [] as [String; 0],
        "the directory is gone"
    );
    assert!(!reader.ingest.pass().unwrap());
    assert_eq!(reader.status.figures().aborted, 1);
}

#[test]
fn damage_is_counted_and_kept_and_the_row_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), None);
    for n in 0..4 {
        writer.usage(0, &record(n));
    }
    // Flip a bit in the third record's payload.
    let each = record_bytes(encode(&Entry::Usage(Box::new(record(2)))).unwrap().len()) as u64;
    let file = File::options()
        .read(true)
        .write(true)
        .open(writer.segment(0, 0))
        .unwrap();
    let at = SEGMENT_HEADER_BYTES as u64 + 2 * each + 40;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();

    reader.ingest.pass().unwrap();
    assert_eq!(reader.stored(), [record(0), record(1)]);
    reader.ingest.pass().unwrap();
    assert!(writer.segment(0, 0).exists(), "its shard may still write there");
    let mut n = 4;
    while writer.rows[&0].0 == 0 {
        writer.usage(0, &record(n));
        n += 1;
    }
    writer.usage(0, &record(n));
    while reader.ingest.pass().unwrap() {}
    let users: Vec<u64> = reader.stored().iter().map(|r| r.time.0 - 1).collect();
    assert_eq!(
        users,
        [0, 1, u64::from(n) - 1, u64::from(n)],
        "the rest of the segment is skipped"
    );
    let kept = names(&data.path().join("journal").join(DAMAGED)).unwrap();
    assert_eq!(kept, ["00000001-000-00000000.damaged"]);
    assert_eq!(reader.status.figures().damaged, 1);

    // The same in a dead incarnation: nothing to wait for.
    let file = File::options().write(true).open(writer.segment(0, 1)).unwrap();
    file.write_all_at(&9_999_999u32.to_le_bytes(), writer.rows[&0].1)
        .unwrap();
    writer.die();
    while reader.ingest.pass().unwrap() {}
    assert_eq!(names(&data.path().join("journal")).unwrap(), [DAMAGED]);
    assert_eq!(
        names(&data.path().join("journal").join(DAMAGED)).unwrap().len(),
        2
    );
    assert_eq!(reader.stored().len(), 4);
}

#[test]
fn foreign_and_unfinished_files_do_no_harm() {
    let data = tempfile::tempdir().unwrap();
    let journal = data.path().join("journal");
    let mut writer = Writer::new(data.path(), 3);
    std::fs::create_dir_all(journal.join(".new-1")).unwrap();
    std::fs::create_dir_all(journal.join("00000009x")).unwrap();
    std::fs::write(journal.join("last"), "3").unwrap();
    std::fs::write(writer.directory.join("x.seg"), "?").unwrap();
    std::fs::write(writer.directory.join(".000-00000009.seg"), "?").unwrap();
    // A segment whose header is not written, and one that was made a moment ago with nothing but a header.
    std::fs::write(writer.segment(1, 0), []).unwrap();
    let header = SegmentHeader {
        incarnation: 3,
        shard: ShardId(2),
        number: 0,
    };
    std::fs::write(writer.segment(2, 0), header.encode()).unwrap();
    writer.usage(0, &record(1));
    let mut reader = Reader::new(data.path(), None);
    reader.ingest.pass().unwrap();
    assert!(!reader.ingest.pass().unwrap());
    assert_eq!(reader.stored(), [record(1)]);
    assert!(writer.segment(2, 0).exists() && writer.segment(1, 0).exists());
    // Of another incarnation: not ours to read.
    std::fs::write(
        writer.segment(3, 0),
        SegmentHeader {
            incarnation: 4,
            ..header
        }
        .encode(),
    )
    .unwrap();
    writer.die();
    while reader.ingest.pass().unwrap() {}
    assert_eq!(reader.stored(), [record(1)]);
    assert_eq!(reader.status.figures().damaged, 1);
    assert!(!writer.directory.exists());
}

#[test]
fn a_number_used_again_is_another_incarnation() {
    let data = tempfile::tempdir().unwrap();
    let mut n = 0;
    // Killed at each step of the end of number 1; the next data plane takes the number as soon as it is free.
    for step in [Step::Finished, Step::Renamed, Step::Forgotten] {
        let mut writer = Writer::new(data.path(), 1);
        writer.usage(0, &record(n));
        writer.die();
        let mut reader = Reader::new(data.path(), Some(Arc::new(move |at| at == step)));
        assert!(matches!(reader.ingest.pass(), Err(IngestError::Killed(at)) if at == step));
        drop(reader);
        let free = !data.path().join("journal/00000001").exists();
        assert_eq!(free, step != Step::Finished);
        let mut next = Writer::new(data.path(), if free { 1 } else { 2 });
        next.usage(0, &record(n + 1));
        let mut reader = Reader::new(data.path(), None);
        while reader.ingest.pass().unwrap() {}
        next.usage(0, &record(n + 2));
        while reader.ingest.pass().unwrap() {}
        next.die();
        while reader.ingest.pass().unwrap() {}
        n += 3;
        assert_eq!(
            reader.stored(),
            (0..n).map(record).collect::<Vec<_>>(),
            "{step:?}"
        );
        assert_eq!(names(&data.path().join("journal")).unwrap(), [] as [String; 0]);
    }
}

#[test]
fn a_kill_at_any_step_loses_nothing_and_doubles_nothing() {
    // First run: how often is each step reached? Then one run for each: killed there, started again, carried on.
    let reached = scenario(None);
    assert_eq!(reached.len(), 8, "every step occurs: {reached:?}");
    let mut runs = 0;
    for (step, times) in reached {
        for nth in 1..=times {
            scenario(Some((step, nth)));
            runs += 1;
        }
    }
    assert!(runs >= 30, "{runs}");
}

/// Two incarnations, several segments, damage, aborted requests; returns how often each step was reached.
fn scenario(kill_at: Option<(Step, usize)>) -> HashMap<Step, usize> {
    let data = tempfile::tempdir().unwrap();
    let counts: Arc<Mutex<HashMap<Step, usize>>> = Arc::default();
    let hook = || -> Arc<dyn Fn(Step) -> bool + Send + Sync> {
        let counts = counts.clone();
        Arc::new(move |step| {
            let mut counts = counts.lock().unwrap();
            let count = counts.entry(step).or_default();
            *count += 1;
            kill_at == Some((step, *count))
        })
    };
    // Before anything is read: whoever has no journal has no lease.
    let mut first = Writer::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), Some(hook()));
    let budget = reader.lease(1);
    let record = |number| charged(number, budget);
    let mut kills = 0;
    let mut pass = |reader: &mut Reader, data: &Path| {
        loop {
            match reader.ingest.pass() {
                Ok(true) => {}
                Ok(false) => return,
                Err(IngestError::Killed(_)) => {
                    kills += 1;
                    reader.agrees(budget);
                    *reader = Reader::new(data, Some(hook()));
                    reader.agrees(budget);
                }
                Err(error) => panic!("{}", chain(&error)),
            }
        }
    };
    let mut expected = Vec::new();
    for n in 0..60 {
        first.usage(u16::try_from(n % 2).unwrap(), &record(n));
        expected.push(record(n));
        if n % 20 == 19 {
            pass(&mut reader, data.path());
        }
    }
    // Damage at the very end: nothing behind it is lost.
    let (number, offset) = first.rows[&0];
    let file = File::options()
        .write(true)
        .open(first.segment(0, number))
        .unwrap();
    file.write_all_at(&5_000_000u32.to_le_bytes(), offset).unwrap();
    let mut aborted = record(60);
    aborted.ended = Ended::Aborted;
    aborted.usage.input = None;
    first.in_flight(
        1,
        &[
            Some((&record(59), &[])),
            Some((&aborted, &[(Counter::Status, 200)])),
        ],
    );
    (aborted.usage_known, aborted.duration_us) = (Known::Unknown, 0);
    expected.push(aborted);
    first.die();
    let mut second = Writer::new(data.path(), 2);
    reader.lease(2);
    for n in 61..80 {
        second.usage(0, &record(n));
        expected.push(record(n));
    }
    pass(&mut reader, data.path());
    second.append(
        0,
        &Entry::Amend {
            request_id: record(70).request_id,
            ended: Ended::ClientGone,
            duration_us: 5,
        },
    );
    (expected[70].ended, expected[70].duration_us) = (Ended::ClientGone, 5);
    pass(&mut reader, data.path());
    assert_eq!(kills, usize::from(kill_at.is_some()), "{kill_at:?}");
    let (stored, ids) = (reader.stored(), |list: &[UsageRecord]| {
        list.iter().map(|r| r.time.0).collect::<Vec<_>>()
    });
    assert_eq!(ids(&stored), ids(&expected), "{kill_at:?}");
    assert_eq!(stored, expected, "{kill_at:?}");
    reader.agrees(budget);
    assert_eq!(
        reader.budget().account.charged,
        (1..=80).sum::<u64>(),
        "{kill_at:?}"
    );
    assert_eq!(
        reader.runtime.block_on(reader.store.holders()).unwrap(),
        [2],
        "the dead one's lease has ended: {kill_at:?}"
    );
    let query = crate::store::UsageQuery::all(crate::store::GroupBy::User);
    let groups = reader.runtime.block_on(reader.store.usage(&query)).unwrap();
    assert_eq!(groups[0].totals.requests, expected.len() as u64, "{kill_at:?}");
    let mut left = names(&data.path().join("journal")).unwrap();
    left.sort();
    assert_eq!(left, ["00000002", DAMAGED], "{kill_at:?}");
    drop(reader);
    Arc::into_inner(counts).unwrap().into_inner().unwrap()
}

#[test]
fn requests_that_their_process_did_not_survive_are_charged() {
    let data = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(data.path(), 7);
    let mut reader = Reader::new(data.path(), None);
    let budget = reader.lease(7);
    let reserved = |number: u32, unit: Unit, amount: u64| {
        let mut record = record(number);
        (record.status, record.usage.input, record.provider) = (0, None, "p".into());
        record.model_asked = "gpt-4o".into();
        record.charges = vec![Charge {
            bucket: budget,
            unit,
            amount,
        }];
        record
    };
    // Nothing is known of the first; of the second the cost; the third was recorded before its slot was freed.
    let (silent, known) = (reserved(1, Unit::Usd, 1_000), reserved(2, Unit::Usd, 1_000));
    let settled = charged(3, budget);
    writer.usage(0, &settled);
    let counters = [(Counter::Input, 4), (Counter::Output, 2), (Counter::Status, 200)];
    let in_slot = reserved(3, Unit::Usd, 1_000);
    writer.in_flight(
        0,
        &[
            Some((&silent, &[])),
            Some((&known, &counters)),
            Some((&in_slot, &[])),
        ],
    );
    writer.die();
    while reader.ingest.pass().unwrap() {}
    let stored = reader.stored();
    let charges: Vec<u64> = stored.iter().map(|record| record.charges[0].amount).collect();
    let cost = stored[1].cost.unwrap_or(NanoUsd(0)).0;
    assert!(cost > 0 && cost != 1_000, "{cost}");
    assert_eq!(charges, [1_000, cost, 4]);
    assert_eq!(reader.status.figures().charges_dropped, 1);
    reader.agrees(budget);
    assert_eq!(reader.budget().leased, 0);
}
