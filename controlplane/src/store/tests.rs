//! What every backend must do.

use std::collections::BTreeMap;

use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::{
    Action, Capture, Judge, Known, ServiceTier, SessionSource, SideUsage, Usage, Verdict,
};

use super::*;

fn id(number: u64) -> RequestId {
    RequestId::new(
        number / 1_000,
        ShardId(0),
        u32::try_from(number % 1_000).unwrap(),
        7,
    )
}

/// A record at a moment, in microseconds.
pub(crate) fn record(number: u64, time: u64) -> UsageRecord {
    let mut record = UsageRecord::draft(
        id(number),
        UnixMicros(time),
        ShardId(1),
        Epoch(3),
        ApiKind::OpenAiChat,
    );
    record.user = format!("user{}", number % 3);
    record.provider = "openai".into();
    record.model_asked = format!("model{}", number % 2);
    record.status = if number.is_multiple_of(5) { 500 } else { 200 };
    record.ended = Ended::Complete;
    record.usage_known = Known::Reported;
    record.usage.input = Some(number);
    record.usage.output = Some(1);
    record.cost = (!number.is_multiple_of(4)).then_some(NanoUsd(10));
    record
}

pub(crate) fn full() -> UsageRecord {
    let mut record = record(9, 1_700_000_000_123_456);
    record.node = "node".into();
    record.tags = vec!["tag:a".into(), "tag:ü\"".into()];
    record.path = "/v1/x".into();
    record.model_answered = Some("m-2".into());
    record.stream = true;
    record.usage = Usage {
        input: Some(1),
        input_uncached: Some(2),
        cached_read: Some(3),
        cache_write: Some(4),
        cache_write_5m: Some(5),
        cache_write_1h: Some(6),
        output: Some(7),
        reasoning: Some(8),
        total: Some(9),
        input_audio: Some(10),
        input_image: Some(11),
        cached_audio: Some(12),
        output_audio: Some(13),
        output_image: Some(14),
        audio_ms: Some(15),
        web_searches: Some(16),
        web_fetches: Some(17),
        hosted_tools: Some(18),
        images: Some(26),
        tier: Some(ServiceTier::Flex),
        file_searches: Some(27),
        code_sessions: Some(28),
        stated_cost: Some(NanoUsd(19)),
        side: vec![SideUsage {
            kind: "compaction".into(),
            model: Some("m".into()),
            input: Some(20),
            ..SideUsage::default()
        }],
    };
    record.priced = true;
    record.stop_reason = Some("stop".into());
    record.tool_calls = 21;
    record.error = Some("e".into());
    record.ttft_us = Some(22);
    record.queued_us = Some(30);
    record.attempts = 31;
    record.duration_us = 23;
    record.session = Some("s".into());
    record.user_agent = Some("ua".into());
    record.request_bytes = 24;
    record.response_bytes = 25;
    record.charges = vec![
        Charge {
            bucket: 1,
            unit: Unit::Usd,
            amount: 1 << 60,
        },
        Charge {
            bucket: u64::MAX,
            unit: Unit::Requests,
            amount: 1,
        },
    ];
    record.session_source = SessionSource::Header;
    record.agent = Some("agent".into());
    record.parent = Some("parent".into());
    record.capture = Capture::Written;
    record.verdicts = vec![
        Verdict {
            judge: Judge::Guardrail,
            name: "pii".into(),
            action: Action::Redact,
            shadow: true,
            on_answer: false,
            what: "email".into(),
            count: 29,
            took_us: 0,
        },
        Verdict {
            judge: Judge::Hook,
            name: "n".repeat(200),
            action: Action::Failed,
            shadow: false,
            on_answer: true,
            what: "timeout".into(),
            count: 1,
            took_us: 30,
        },
    ];
    record
}

async fn store() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    (folder, store)
}

fn batch(records: Vec<UsageRecord>) -> Batch {
    Batch {
        records,
        ..Batch::default()
    }
}

fn query(limit: u32) -> RequestQuery {
    RequestQuery {
        limit,
        ..RequestQuery::default()
    }
}

#[tokio::test]
async fn records_read_back_as_they_were() {
    let (folder, store) = store().await;
    let sparse = record(1, 5);
    store.ingest(&batch(vec![full(), sparse.clone()])).await.unwrap();
    assert_eq!(
        store.requests(&query(10)).await.unwrap().records,
        [full(), sparse]
    );
    // Largest numbers are kept as the largest the database knows, never refused.
    let mut huge = record(2, u64::MAX);
    huge.usage.input = Some(u64::MAX);
    huge.cost = Some(NanoUsd(u64::MAX));
    store.ingest(&batch(vec![huge])).await.unwrap();
    drop(store);
    let store = Sqlite::open(folder.path()).await.unwrap();
    assert_eq!(
        store.requests(&query(10)).await.unwrap().records.len(),
        2,
        "the latest moment is after every list's end"
    );
    assert!(store.bytes() > 0);
}

#[tokio::test]
async fn a_record_counts_once_however_often_it_comes() {
    let (_folder, store) = store().await;
    let all: Vec<UsageRecord> = (0..200).map(|n| record(n, n * 7_000_000)).collect();
    let done = store.ingest(&batch(all[..100].to_vec())).await.unwrap();
    assert_eq!(
        done,
        Ingested {
            inserted: 100,
            ..Ingested::default()
        }
    );
    let done = store.ingest(&batch(all[50..200].to_vec())).await.unwrap();
    assert_eq!(
        done,
        Ingested {
            inserted: 100,
            duplicates: 50,
            ..Ingested::default()
        }
    );
    let done = store
        .ingest(&batch(vec![all[3].clone(), all[3].clone()]))
        .await
        .unwrap();
    assert_eq!(
        done,
        Ingested {
            duplicates: 2,
            ..Ingested::default()
        }
    );
    compare_sums(&store, &all).await;
    assert_eq!(store.requests(&query(1_000)).await.unwrap().records.len(), 200);
}

/// The naive sums beside those of the store, over many stretches of time.
async fn compare_sums(store: &Sqlite, all: &[UsageRecord]) {
    const MINUTE: u64 = 60_000_000;
    let stretches = [
        (None, None),
        (Some(0), Some(MINUTE)),
        (Some(7_000_000), Some(21 * MINUTE + 1)),
        (Some(1), None),
        (None, Some(13 * MINUTE + 500_000)),
        (Some(MINUTE), Some(MINUTE)),
        (Some(9 * MINUTE), Some(3 * MINUTE)),
    ];
    for (since, until) in stretches {
        for by in GroupBy::ALL {
            for (user, model, provider) in [
                (None, None, None),
                (Some("user1"), None, None),
                (None, Some("model1"), None),
                (None, None, Some("openai")),
                (Some("user2"), Some("model0"), Some("openai")),
            ] {
                let query = UsageQuery {
                    since: since.map(UnixMicros),
                    until: until.map(UnixMicros),
                    user: user.map(str::to_owned),
                    model: model.map(str::to_owned),
                    provider: provider.map(str::to_owned),
                    ..UsageQuery::all(by)
                };
                let mut expected: BTreeMap<String, Totals> = BTreeMap::new();
                for r in all {
                    let inside = since.is_none_or(|s| r.time.0 >= s) && until.is_none_or(|u| r.time.0 < u);
                    let counted = if r.provider.is_empty() { "" } else { &r.model_asked };
                    let asked = user.is_none_or(|u| u == r.user)
                        && model.is_none_or(|m| m == counted)
                        && provider.is_none_or(|p| p == r.provider);
                    if !inside || !asked {
                        continue;
                    }
                    let second = r.time.0 / 1_000_000;
                    let key = match by {
                        GroupBy::User => r.user.clone(),
                        GroupBy::Model if r.provider.is_empty() => String::new(),
                        GroupBy::Model => r.model_asked.clone(),
                        GroupBy::Provider => r.provider.clone(),
                        GroupBy::Api => r.api.name().to_owned(),
                        GroupBy::Hour => (second / 3_600 * 3_600).to_string(),
                        GroupBy::Day => (second / 86_400 * 86_400).to_string(),
                    };
                    let t = expected.entry(key).or_default();
                    t.requests += 1;
                    t.errors += u64::from(
                        r.status >= 400 || matches!(r.ended, Ended::UpstreamFailed | Ended::Aborted),
                    );
                    let billed = r.api.billed() && !r.provider.is_empty();
                    t.unknown += u64::from(billed && r.status < 400 && r.usage_known == Known::Unknown);
                    t.unpriced += u64::from(billed && r.usage_known != Known::Unknown && r.cost.is_none());
                    t.input += r.usage.input.unwrap_or(0);
                    t.output += r.usage.output.unwrap_or(0);
                    t.cost_nanousd += r.cost.map_or(0, |c| c.0);
                }
                let found = store.usage(&query).await.unwrap();
                let found: BTreeMap<String, Totals> = found.into_iter().map(|g| (g.key, g.totals)).collect();
                assert_eq!(found, expected, "{query:?}");
            }
        }
    }
}

#[tokio::test]
async fn sums_agree_with_adding_up_records() {
    let (_folder, store) = store().await;
    let mut all: Vec<UsageRecord> = (0..400).map(|n| record(n, n * n * 1_013_007)).collect();
    for (n, r) in all.iter_mut().enumerate() {
        match n % 7 {
            1 => r.provider = String::new(),
            2 => (r.usage_known, r.cost, r.usage) = (Known::Unknown, None, Usage::default()),
            3 => (r.api, r.usage_known) = (ApiKind::AnthropicCountTokens, Known::Unknown),
            4 => (r.status, r.ended) = (0, Ended::ClientGone),
            5 => r.ended = Ended::UpstreamFailed,
            _ => {}
        }
    }
    for part in all.chunks(75) {
        store.ingest(&batch(part.to_vec())).await.unwrap();
    }
    compare_sums(&store, &all).await;
}

#[tokio::test]
async fn amendments_change_the_end_and_the_sums_once() {
    let (_folder, store) = store().await;
    let mut records: Vec<UsageRecord> = (1..4).map(|n| record(n, n)).collect();
    let amend = |n: u64, ended| Amend {
        request_id: id(n),
        ended,
        duration_us: 99,
    };
    let amends = vec![
        amend(1, Ended::ClientGone),
        amend(2, Ended::UpstreamFailed),
        amend(77, Ended::ClientGone),
    ];
    let batch = Batch {
        records: records.clone(),
        amends,
        ..Batch::default()
    };
    for _ in 0..2 {
        store.ingest(&batch).await.unwrap();
        (records[0].ended, records[0].duration_us) = (Ended::ClientGone, 99);
        (records[1].ended, records[1].duration_us) = (Ended::UpstreamFailed, 99);
        compare_sums(&store, &records).await;
        let mut stored = store.requests(&query(10)).await.unwrap().records;
        stored.reverse();
        assert_eq!(stored, records);
    }
}

#[tokio::test]
async fn wild_figures_do_not_stop_the_sums() {
    let (_folder, store) = store().await;
    for round in 0..3 {
        let wild: Vec<UsageRecord> = (0..10)
            .map(|n| {
                let mut r = record(round * 10 + n, n);
                r.usage.input = Some(u64::MAX);
                r.cost = Some(NanoUsd(u64::MAX));
                r
            })
            .collect();
        store.ingest(&batch(wild)).await.unwrap();
    }
    for until in [None, Some(UnixMicros(1_000))] {
        let query = UsageQuery {
            until,
            ..UsageQuery::all(GroupBy::Provider)
        };
        let groups = store.usage(&query).await.unwrap();
        assert_eq!(groups[0].totals.requests, 30);
        assert!(groups[0].totals.input >= 1 << 61);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged_without_gaps() {
    let (_folder, store) = store().await;
    // Five records share each moment, so that pages end inside one.
    let all: Vec<UsageRecord> = (0..100).map(|n| record(n, n / 5 * 1_000)).collect();
    store.ingest(&batch(all.clone())).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .requests(&RequestQuery { after, ..query(7) })
            .await
            .unwrap()
            .records;
        let Some(last) = page.last() else { break };
        after = Some((last.time, last.request_id));
        seen.extend(page);
    }
    let mut expected = all.clone();
    expected.sort_by_key(|r| std::cmp::Reverse((r.time, r.request_id)));
    assert_eq!(seen, expected);

    let check = async |query: RequestQuery, keep: &dyn Fn(&UsageRecord) -> bool| {
        let found = store
            .requests(&RequestQuery {
                limit: 1_000,
                ..query.clone()
            })
            .await
            .unwrap()
            .records;
        let kept: Vec<UsageRecord> = expected.iter().filter(|r| keep(r)).cloned().collect();
        assert_eq!(found, kept, "{query:?}");
        assert!(!kept.is_empty());
    };
    let q = RequestQuery::default();
    check(
        RequestQuery {
            filter: Filter {
                user: Some("user1".into()),
                ..Filter::default()
            },
            ..q.clone()
        },
        &|r| r.user == "user1",
    )
    .await;
    check(
        RequestQuery {
            filter: Filter {
                model: Some("model1".into()),
                ..Filter::default()
            },
            ..q.clone()
        },
        &|r| r.model_asked == "model1",
    )
    .await;
    check(
        RequestQuery {
            filter: Filter {
                provider: Some("openai".into()),
                ..Filter::default()
            },
            ..q.clone()
        },
        &|_| true,
    )
    .await;
    check(
        RequestQuery {
            filter: Filter {
                status: Some((500, 599)),
                ..Filter::default()
            },
            ..q.clone()
        },
        &|r| r.status == 500,
    )
    .await;
    check(
        RequestQuery {
            since: Some(UnixMicros(3_000)),
            until: Some(UnixMicros(9_000)),
            filter: Filter {
                user: Some("user2".into()),
                ..Filter::default()
            },
            ..q
        },
        &|r| (3_000..9_000).contains(&r.time.0) && r.user == "user2",
    )
    .await;
}

#[tokio::test]
async fn cursors_and_marks_survive_and_go() {
    let (folder, store) = store().await;
    let cursor = |shard: u16, segment: u64, offset: u64| Cursor {
        incarnation: 4,
        shard: ShardId(shard),
        segment,
        offset,
    };
    let cursors = vec![cursor(0, 1, 64), cursor(1, 0, 128), cursor(0, 2, 80)];
    store
        .ingest(&Batch {
            cursors,
            ..Batch::default()
        })
        .await
        .unwrap();
    drop(store);
    let store = Sqlite::open(folder.path()).await.unwrap();
    assert_eq!(
        store.cursors(4).await.unwrap(),
        [cursor(0, 2, 80), cursor(1, 0, 128)]
    );
    assert_eq!(store.cursors(5).await.unwrap(), []);
    let mut aborted = record(1, 1);
    aborted.ended = Ended::Aborted;
    let done = store
        .finish(4, &[aborted.clone()], When::default())
        .await
        .unwrap();
    assert_eq!(done.inserted, 1);
    assert_eq!(
        store
            .finish(4, &[aborted], When::default())
            .await
            .unwrap()
            .inserted,
        0
    );
    assert_eq!(
        (store.cursors(4).await.unwrap(), store.finished().await.unwrap()),
        (vec![], vec![4])
    );
    store.forget(4).await.unwrap();
    assert_eq!(store.finished().await.unwrap(), [] as [u64; 0]);
}

#[tokio::test]
async fn readers_find_the_store_or_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        open_read_only(folder.path()).await,
        Err(StoreError::Missing(_))
    ));
    let store = Sqlite::open(folder.path()).await.unwrap();
    store.ingest(&batch(vec![record(1, 1)])).await.unwrap();
    let by_user = UsageQuery::all(GroupBy::User);
    let beside = open_read_only(folder.path()).await.unwrap();
    assert_eq!(beside.usage(&by_user).await.unwrap().len(), 1);
    drop((store, beside));
    let alone = open_read_only(folder.path()).await.unwrap();
    assert_eq!(alone.usage(&by_user).await.unwrap().len(), 1);
    drop(alone);
    let store = Sqlite::open(folder.path()).await.unwrap();
    store.set_version(99).await;
    drop(store);
    assert!(matches!(
        Sqlite::open(folder.path()).await,
        Err(StoreError::Newer { found: 99, .. })
    ));
    assert!(matches!(
        open_read_only(folder.path()).await,
        Err(StoreError::Newer { found: 99, .. })
    ));
}

/// The steps of a statement, none of which may look at a whole table or sort what it found.
pub(super) fn assert_bounded(store: &Sqlite, sql: &str) {
    let plan = plan(store, sql);
    for step in &plan {
        let walks = step.starts_with("SCAN") || step.contains("TEMP B-TREE");
        assert!(!walks, "{sql}: {plan:?}");
    }
}

/// What SQLite would do for a statement, step by step.
pub(super) fn plan(store: &Sqlite, sql: &str) -> Vec<String> {
    let writer = store.writer();
    let mut statement = writer
        .connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let plan = statement.raw_query().mapped(|row| row.get(3));
    let plan: Vec<String> = plan.collect::<Result<_, _>>().unwrap();
    assert!(!plan.is_empty(), "{sql}");
    plan
}
