//! Sums of tool calls against the calls themselves, and their bounds.

use sluice_shared::api::ApiKind;
use sluice_shared::ids::{RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::Ended;

use super::super::captures::{CaptureBatch, CaptureRows as _, NewCapture, NewToolCall, Purge, ToolCallQuery};
use super::super::verdicts::tests::Numbers;
use super::*;

/// The beginning of an hour.
const START: u64 = 1_795_341_600;

fn capture(number: u64, time: u64, user: &str, calls: &[(&str, bool)]) -> NewCapture {
    let call = |(name, hosted): &(&str, bool)| NewToolCall {
        name: (*name).to_owned(),
        call_id: "c".into(),
        arguments: "{}".into(),
        arguments_bytes: 2,
        hosted: *hosted,
    };
    NewCapture {
        segment: 1,
        number,
        offset: 0,
        length: 1,
        request_id: RequestId::new(number, ShardId(0), 0, 7),
        time: UnixMicros(time * 1_000_000 + 5),
        user: user.into(),
        provider: "p".into(),
        model: "m".into(),
        api: ApiKind::OpenAiChat,
        status: 200,
        ended: Ended::Complete,
        flags: 0,
        request_bytes: 0,
        request_kept: 0,
        answer_bytes: 0,
        answer_kept: 0,
        session: None,
        agent: None,
        kept: true,
        calls: calls.iter().map(call).collect(),
        events: Vec::new(),
    }
}

async fn store() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    assert_eq!(store.open_segment(true, UnixMicros(0)).await.unwrap(), 1);
    (folder, store)
}

async fn add(store: &Sqlite, captures: Vec<NewCapture>) {
    let batch = CaptureBatch {
        captures,
        ..CaptureBatch::default()
    };
    store.add_captures(&batch).await.unwrap();
}

fn hours(from: u64, to: u64) -> ToolSumsQuery {
    ToolSumsQuery {
        from: START + from * 3_600,
        to: START + to * 3_600,
        step: 3_600,
        top: 2,
        open: true,
        ..ToolSumsQuery::default()
    }
}

#[tokio::test]
async fn sums_are_what_the_calls_add_up_to_and_outlive_them() {
    const NAMES: [&str; 5] = ["read", "write", "bash", "search", "später"];
    for seed in 0..4 {
        let (_folder, store) = store().await;
        let mut numbers = Numbers(seed);
        let mut number = 0;
        for _ in 0..30 {
            let mut batch = Vec::new();
            for _ in 0..numbers.below(6) {
                number += 1;
                let mut calls = Vec::new();
                for _ in 0..numbers.below(4) {
                    let name = NAMES[usize::try_from(numbers.below(5)).unwrap()];
                    calls.push((name, numbers.below(3) == 0));
                }
                let (time, user) = (START + numbers.below(5 * 3_600), format!("u{}", numbers.below(3)));
                batch.push(capture(number, time, &user, &calls));
            }
            // For hooks alone: their calls get no rows.
            number += 1;
            let mut other = capture(number, START, "u0", &[("read", false)]);
            other.kept = false;
            batch.push(other);
            add(&store, batch).await;
        }
        let query = ToolCallQuery {
            limit: 10_000,
            ..ToolCallQuery::default()
        };
        let calls = store.tool_calls(&query).await.unwrap();
        assert!(calls.len() > 30);
        // What is purged stays summed.
        let all = Purge {
            captures: true,
            tools: true,
        };
        while store.purge_rows(1, all, 1_000).await.unwrap() {}
        assert!(store.tool_calls(&query).await.unwrap().is_empty());
        for user in [None, Some("u1".to_owned())] {
            let query = ToolSumsQuery {
                user: user.clone(),
                ..hours(1, 4)
            };
            let mut tools: BTreeMap<String, ToolSum> = BTreeMap::new();
            let mut lines: BTreeMap<(String, u64), u64> = BTreeMap::new();
            let mut expected = ToolSums::default();
            for call in &calls {
                let (second, theirs) = (
                    call.time.0 / 1_000_000,
                    user.as_ref().is_none_or(|u| *u == call.user),
                );
                if !theirs || second < query.from || second >= query.to {
                    continue;
                }
                let hour = second / 3_600 * 3_600;
                *expected.all.entry(hour).or_default() += 1;
                expected.calls += 1;
                expected.hosted += u64::from(call.hosted);
                *lines.entry((call.name.clone(), hour)).or_default() += 1;
                let tool = tools.entry(call.name.clone()).or_default();
                tool.calls += 1;
                tool.hosted += u64::from(call.hosted);
                tool.last = tool.last.max(call.time.0);
            }
            for (name, tool) in &mut tools {
                let since = query.from * 1_000_000;
                let used = calls
                    .iter()
                    .filter(|call| call.name == *name && call.time.0 >= since);
                let users: HashSet<&str> = used.map(|call| call.user.as_str()).collect();
                tool.name.clone_from(name);
                tool.users = Some(if user.is_some() { 1 } else { users.len() as u64 });
            }
            expected.tools = tools.into_values().collect();
            expected.tools.sort_by_key(|tool| std::cmp::Reverse(tool.calls));
            let top = expected.tools.iter().take(2);
            expected.series = top
                .map(|tool| {
                    let line = lines.iter().filter(|((name, _), _)| *name == tool.name);
                    line.map(|((_, hour), calls)| (*hour, *calls)).collect()
                })
                .collect();
            assert_eq!(
                store.tool_sums(&query).await.unwrap(),
                expected,
                "seed {seed}, {user:?}"
            );
        }
        let over = ToolSumsQuery {
            open: false,
            ..hours(0, 5)
        };
        let found = store.tool_sums(&over).await.unwrap();
        assert!(found.tools.iter().all(|tool| tool.users.is_none()));
    }
}

#[tokio::test]
async fn names_that_a_model_makes_up_are_bounded() {
    let (_folder, store) = store().await;
    let names: Vec<String> = (0..NAMES_MAX + 100).map(|n| format!("made-up-{n}")).collect();
    for (number, some) in (1..).zip(names.chunks(100)) {
        let calls: Vec<(&str, bool)> = some.iter().map(|name| (name.as_str(), false)).collect();
        add(&store, vec![capture(number, START, "u", &calls)]).await;
        // As after a restart.
        store.writer().tools.forget();
    }
    // A name that is known still counts by itself; in the next hour all do.
    add(
        &store,
        vec![capture(
            100,
            START + 1,
            "u",
            &[("made-up-3", false), ("late", false)],
        )],
    )
    .await;
    add(&store, vec![capture(101, START + 3_600, "u", &[("late", false)])]).await;
    let rows = |hour: u64| -> (u64, u64) {
        let sql = "SELECT count(*), sum(calls) FROM tool_sums WHERE user = -1 AND hour = ?";
        let writer = store.writer();
        writer
            .connection
            .query_row(sql, [int(hour)], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    let most = NAMES_MAX as u64;
    assert_eq!(rows(START), (most + 1, most + 102));
    assert_eq!(rows(START + 3_600), (1, 1));
    let found = store.tool_sums(&hours(0, 1)).await.unwrap();
    assert_eq!(
        found.tools.first().map(|tool| (tool.name.as_str(), tool.calls)),
        Some(("made-up-3", 2))
    );
    assert!(
        found
            .tools
            .iter()
            .all(|tool| !tool.name.is_empty() && tool.name != "late")
    );
    assert_eq!(found.calls, most + 102);
}

#[test]
fn long_names_are_cut_at_a_character() {
    let check = |name: &str, expected: usize| assert_eq!(cut(name).len(), expected, "{name}");
    check("", 0);
    check(&"x".repeat(NAME_BYTES_MAX), NAME_BYTES_MAX);
    check(&"x".repeat(NAME_BYTES_MAX + 1), NAME_BYTES_MAX);
    check(&format!("x{}", "é".repeat(NAME_BYTES_MAX)), NAME_BYTES_MAX - 1);
}

/// A store of the version before there were sums: what is kept of calls then is summed once.
#[tokio::test]
async fn calls_of_before_are_summed_when_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(super::super::FILE)).unwrap();
    for script in [
        include_str!("../schema/0001.sql"),
        include_str!("../schema/0002.sql"),
        include_str!("../schema/0003.sql"),
        include_str!("../schema/0004.sql"),
        include_str!("../schema/0005.sql"),
        include_str!("../schema/0006.sql"),
        include_str!("../schema/0007.sql"),
        include_str!("../schema/0008.sql"),
    ] {
        old.execute_batch(script).unwrap();
    }
    old.pragma_update(None, "user_version", 8).unwrap();
    old.execute_batch("INSERT INTO texts (id, text) VALUES (1, 'u1'), (2, 'u2')")
        .unwrap();
    let mut insert = old
        .prepare(
            "INSERT INTO tool_calls (segment,capture,call,request_id,time,user,provider,model,name,call_id,arguments,\
             arguments_bytes,hosted) VALUES (1,?1,0,x'00',?2,?3,0,0,?4,'','',0,?5)",
        )
        .unwrap();
    let long = "n".repeat(NAME_BYTES_MAX + 5);
    let calls = [
        (0, 1, "read", 0),
        (1, 1, "read", 1),
        (2, 2, "read", 0),
        (3_600, 2, long.as_str(), 0),
    ];
    for (number, (second, user, name, hosted)) in (0..).zip(calls) {
        let time = int((START + second) * 1_000_000);
        insert.execute(params![number, time, user, name, hosted]).unwrap();
    }
    // More names in an hour than count by name.
    for number in 10..10 + NAMES_MAX + 5 {
        let time = int((START + 7_200) * 1_000_000);
        let name = format!("made-up-{number:04}");
        insert
            .execute(params![int(number as u64), time, 1, name, 0])
            .unwrap();
    }
    drop(insert);
    drop(old);
    let store = Sqlite::open(folder.path()).await.unwrap();
    let found = store.tool_sums(&hours(0, 2)).await.unwrap();
    let told: Vec<(&str, u64, u64, Option<u64>)> = found
        .tools
        .iter()
        .map(|tool| (tool.name.as_str(), tool.calls, tool.hosted, tool.users))
        .collect();
    let cut = &long[..NAME_BYTES_MAX];
    assert_eq!(told, [("read", 3, 1, Some(2)), (cut, 1, 0, Some(1))]);
    let own = ToolSumsQuery {
        user: Some("u1".into()),
        ..hours(0, 2)
    };
    assert_eq!(store.tool_sums(&own).await.unwrap().calls, 2);
    let many = store.tool_sums(&hours(2, 3)).await.unwrap();
    assert_eq!(many.calls, NAMES_MAX as u64 + 5);
    let rows: u64 = store
        .writer()
        .connection
        .query_row(
            "SELECT count(*) FROM tool_sums WHERE user = -1 AND hour = ?",
            [int(START + 7_200)],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, NAMES_MAX as u64 + 1);
}
