//! Sums and lists of verdicts against what the records say, whatever batches, repetitions and amendments they come in.

use sluice_shared::usage::Ended;

use super::super::tests::record;
use super::super::{Amend, Batch, RequestQuery, Store as _};
use super::*;

const START: u64 = 1_795_341_600_000_000;
const ACTIONS: [Action; 6] = [
    Action::Allow,
    Action::Log,
    Action::Redact,
    Action::Modify,
    Action::Block,
    Action::Failed,
];

/// A generator whose numbers are the same in every run.
pub(in crate::store) struct Numbers(pub(in crate::store) u64);

impl Numbers {
    pub(in crate::store) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn judged(number: u64, numbers: &mut Numbers) -> UsageRecord {
    let mut record = record(number, START + number * 400_000_000);
    for _ in 0..numbers.below(4) {
        let judge = if numbers.below(2) == 0 {
            Judge::Hook
        } else {
            Judge::Guardrail
        };
        record.verdicts.push(Verdict {
            judge,
            name: format!("{}{}", judge.name(), numbers.below(3)),
            action: ACTIONS[usize::try_from(numbers.below(6)).unwrap()],
            shadow: numbers.below(3) == 0,
            on_answer: numbers.below(2) == 0,
            what: "x".into(),
            count: u32::try_from(numbers.below(5)).unwrap(),
            took_us: numbers.below(3) * 1_000,
        });
    }
    record
}

async fn stored(seed: u64) -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let mut numbers = Numbers(seed);
    let all: Vec<UsageRecord> = (1..200).map(|number| judged(number, &mut numbers)).collect();
    let mut at = 0;
    while at < all.len() {
        // Some come twice, in one batch or in two.
        let from = at.saturating_sub(usize::try_from(numbers.below(5)).unwrap());
        let to = (at + 1 + usize::try_from(numbers.below(20)).unwrap()).min(all.len());
        let mut records = all[from..to].to_vec();
        records.push(records[0].clone());
        let amends = vec![Amend {
            request_id: records[0].request_id,
            ended: Ended::ClientGone,
            duration_us: 7,
        }];
        let batch = Batch {
            records,
            amends,
            ..Batch::default()
        };
        store.ingest(&batch).await.unwrap();
        at = to;
    }
    (folder, store)
}

async fn everything(store: &Sqlite) -> Vec<UsageRecord> {
    let query = RequestQuery {
        limit: 10_000,
        ..RequestQuery::default()
    };
    store.requests(&query).await.unwrap().records
}

#[tokio::test]
async fn sums_are_what_the_records_add_up_to() {
    for seed in 0..8 {
        let (_folder, store) = stored(seed).await;
        let records = everything(&store).await;
        assert_eq!(records.len(), 199);
        let from = START / 1_000_000 + 3_600;
        let to = from + 10 * 3_600;
        let mut expected: BTreeMap<(u8, String, u8, bool), VerdictSum> = BTreeMap::new();
        let mut lines: BTreeMap<(u8, String), BTreeMap<u64, u64>> = BTreeMap::new();
        for record in &records {
            let second = record.time.0 / 1_000_000;
            if second < from || second >= to {
                continue;
            }
            for it in &record.verdicts {
                let key = (it.judge as u8, it.name.clone(), it.action as u8, it.shadow);
                let sum = expected.entry(key).or_insert_with(|| VerdictSum {
                    judge: it.judge,
                    name: it.name.clone(),
                    action: it.action,
                    shadow: it.shadow,
                    verdicts: 0,
                    found: 0,
                    timed: 0,
                    took_us: 0,
                    took_max_us: 0,
                    last: UnixMicros(0),
                });
                sum.verdicts += 1;
                sum.found += u64::from(it.count);
                sum.timed += u64::from(it.took_us > 0);
                sum.took_us += it.took_us;
                sum.took_max_us = sum.took_max_us.max(it.took_us);
                sum.last = sum.last.max(record.time);
                if it.action != Action::Allow {
                    let line = lines.entry((it.judge as u8, it.name.clone())).or_default();
                    *line.entry(second / 7_200 * 7_200).or_default() += 1;
                }
            }
        }
        let found = store.verdict_sums(from, to).await.unwrap();
        let key = |sum: &VerdictSum| (sum.judge as u8, sum.name.clone(), sum.action as u8, sum.shadow);
        let found: BTreeMap<_, _> = found.into_iter().map(|sum| (key(&sum), sum)).collect();
        assert!(expected.len() > 20);
        assert_eq!(found, expected, "seed {seed}");
        let series = store.verdict_series(from, to, 7_200).await.unwrap();
        let series: BTreeMap<_, _> = series
            .into_iter()
            .map(|((judge, name), line)| ((judge as u8, name), line))
            .collect();
        assert_eq!(series, lines, "seed {seed}");
    }
}

#[tokio::test]
async fn lists_hold_every_hit_that_is_asked_for_and_pages_join() {
    let (_folder, store) = stored(3).await;
    let records = everything(&store).await;
    let check = async |query: HitQuery| {
        let mut expected = Vec::new();
        for record in &records {
            for (number, it) in record.verdicts.iter().enumerate().rev() {
                let wanted = it.action != Action::Allow
                    && query.user.as_ref().is_none_or(|user| *user == record.user)
                    && query.name.as_ref().is_none_or(|name| *name == it.name)
                    && query.judge.is_none_or(|judge| judge == it.judge)
                    && query.action.is_none_or(|action| action == it.action)
                    && query.shadow.is_none_or(|shadow| shadow == it.shadow)
                    && query.since.is_none_or(|since| record.time >= since)
                    && query.until.is_none_or(|until| record.time < until);
                if wanted {
                    expected.push((record.request_id, u32::try_from(number).unwrap()));
                }
            }
        }
        assert!(!expected.is_empty(), "{query:?} asks for nothing");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = HitQuery {
                after,
                limit: 7,
                ..query.clone()
            };
            let page = store.verdict_hits(&query).await.unwrap();
            after = page
                .last()
                .map(|(record, number)| (record.time, record.request_id, *number));
            let full = page.len() == 7;
            found.extend(
                page.into_iter()
                    .map(|(record, number)| (record.request_id, number)),
            );
            if !full {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
    };
    for bits in 0u8..64 {
        let has = |bit: u8| bits >> bit & 1 == 1;
        check(HitQuery {
            user: has(0).then(|| "user1".into()),
            name: has(1).then(|| "hook1".into()),
            judge: has(2).then_some(Judge::Hook),
            action: has(3).then_some(Action::Redact),
            shadow: has(4).then_some(false),
            since: has(5).then_some(UnixMicros(START + 2_000_000_000)),
            until: has(5).then_some(UnixMicros(START + 79_000_000_000)),
            ..HitQuery::default()
        })
        .await;
    }
    let nobody = HitQuery {
        user: Some("nobody".into()),
        limit: 7,
        ..HitQuery::default()
    };
    assert!(store.verdict_hits(&nobody).await.unwrap().is_empty());
}

#[tokio::test]
async fn no_list_is_sorted_or_scanned() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    for bits in 0u8..16 {
        let has = |bit: u8| (bits >> bit & 1 == 1).then_some(i64::from(bit));
        let query = HitQuery {
            action: has(2).map(|_| Action::Block),
            after: has(3).map(|_| (UnixMicros(5), RequestId([1; 16]), 0)),
            limit: 5,
            ..HitQuery::default()
        };
        let (sql, _) = hits_sql(&query, [has(0), has(1)]);
        crate::store::tests::assert_bounded(&store, &sql);
    }
}
