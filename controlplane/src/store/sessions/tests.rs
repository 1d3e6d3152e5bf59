//! Sessions against what their records add up to, whatever order, batch or repetition they come in.

use rusqlite::Connection;
use sluice_shared::usage::{Ended, Known};

use super::super::audit::AuditRows as _;
use super::super::tests::record;
use super::super::{Amend, Batch, FILE, Sqlite, Store as _, rollup};
use super::*;

async fn store() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    (folder, store)
}

async fn ingest(store: &Sqlite, records: &[UsageRecord], amends: &[Amend]) {
    let batch = Batch {
        records: records.to_vec(),
        amends: amends.to_vec(),
        ..Batch::default()
    };
    store.ingest(&batch).await.unwrap();
}

/// Record `number` of a session of `user`, a second after the one before.
fn of(number: u64, user: &str, key: &str) -> UsageRecord {
    let mut r = record(number, 1_000_000 * number);
    r.user = user.into();
    r.session = Some(key.into());
    r.session_source = SessionSource::Header;
    r.duration_us = 10 * number;
    r.tool_calls = u32::try_from(number % 3).unwrap();
    r
}

/// A conversation: main agent, two agents of it, one of these with its own, two models, an error, one unpriced.
fn conversation() -> Vec<UsageRecord> {
    let agents = [
        (None, None),
        (Some("a"), None),
        (None, None),
        (Some("b"), Some("a")),
        (Some("c"), Some("a")),
        (None, None),
        (Some("b"), None),
    ];
    (1..)
        .zip(agents)
        .map(|(number, (agent, parent))| {
            let mut r = of(number, "alice", "k");
            r.agent = agent.map(str::to_owned);
            r.parent = parent.map(str::to_owned);
            r.node = format!("node{number}");
            r.user_agent = Some(if number == 1 {
                "codex_exec/1".into()
            } else {
                format!("other/{number}")
            });
            r
        })
        .collect()
}

/// What records add up to, by the rule of the rollups.
fn added<'a>(records: impl IntoIterator<Item = &'a UsageRecord>) -> Sum {
    let mut sum = Sum::default();
    for r in records {
        sum.add(&Sum {
            totals: rollup::contribution(r, !r.provider.is_empty()),
            tool_calls: u64::from(r.tool_calls),
            busy_us: r.duration_us,
        });
    }
    sum
}

/// A session and its parts are what its records say.
async fn check(store: &Sqlite, records: &[UsageRecord], what: &str) {
    let (first, last) = (
        records.iter().min_by_key(|r| r.time).unwrap(),
        records.iter().max_by_key(|r| r.time).unwrap(),
    );
    let key = first.session.as_deref().unwrap();
    let id = SessionId::of(&first.user, key);
    let found = store.session(id).await.unwrap().unwrap();
    let session = &found.session;
    assert_eq!(session.sum, added(records), "{what}");
    assert_eq!((session.first, session.last), (first.time, last.time), "{what}");
    assert_eq!(
        (session.id, session.user.as_str(), session.key.as_str()),
        (id, first.user.as_str(), key)
    );
    assert_eq!(
        (&session.node, &session.user_agent),
        (&last.node, &first.user_agent),
        "{what}"
    );
    assert_eq!(session.source, first.session_source);
    for agent in &found.agents {
        let own: Vec<&UsageRecord> = records
            .iter()
            .filter(|r| r.agent.as_ref() == Some(&agent.agent))
            .collect();
        assert_eq!(agent.sum, added(own.iter().copied()), "{what}: {}", agent.agent);
        assert_eq!(agent.first, own.iter().map(|r| r.time).min().unwrap());
        assert_eq!(agent.last, own.iter().map(|r| r.time).max().unwrap());
    }
    let named = records.iter().filter_map(|r| r.agent.as_ref());
    let named: std::collections::BTreeSet<_> = named.collect();
    assert_eq!(found.agents.len(), named.len(), "{what}");
    let mut models = Sum::default();
    for model in &found.models {
        let own = records.iter().filter(|r| {
            let counted = if r.provider.is_empty() { "" } else { &r.model_asked };
            counted == model.model
        });
        assert_eq!(model.sum, added(own), "{what}: {}", model.model);
        models.add(&model.sum);
    }
    assert_eq!(models, session.sum, "{what}: models add up");
    let requests = store.session_requests(session.number, None, 1_000).await.unwrap();
    let mut expected = records.to_vec();
    expected.sort_by_key(|r| std::cmp::Reverse((r.time, r.request_id)));
    assert_eq!(requests, expected, "{what}");
}

#[tokio::test]
async fn a_session_is_what_its_records_add_up_to_in_any_order_and_batch() {
    let mut all = conversation();
    all[5].provider.clear();
    all[6].ended = Ended::Aborted;
    all[3].usage_known = Known::Unknown;
    let mut order: Vec<usize> = (0..all.len()).collect();
    let mut seed = 7u64;
    for round in 0..24 {
        let (_folder, store) = store().await;
        for at in 1..order.len() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let other = usize::try_from(seed >> 33).unwrap() % (at + 1);
            if round > 1 {
                order.swap(at, other);
            }
        }
        if round == 1 {
            order.reverse();
        }
        let mixed: Vec<UsageRecord> = order.iter().map(|at| all[*at].clone()).collect();
        for part in mixed.chunks(1 + round % 7) {
            ingest(&store, part, &[]).await;
            // Again, as after a kill between commit and removal.
            ingest(&store, part, &[]).await;
        }
        check(&store, &all, &format!("round {round}: {order:?}")).await;
        let found = store.session(SessionId::of("alice", "k")).await.unwrap().unwrap();
        assert_eq!(found.session.client, Client::Codex);
        let parents: Vec<_> = found
            .agents
            .iter()
            .map(|a| (a.agent.as_str(), a.parent.as_deref()))
            .collect();
        assert_eq!(parents, [("a", None), ("b", Some("a")), ("c", Some("a"))]);
    }
}

#[tokio::test]
async fn a_key_is_a_session_within_one_principal_only() {
    let (_folder, store) = store().await;
    let alice = [of(1, "alice", "k"), of(4, "alice", "k")];
    let bob = [of(2, "bob", "k")];
    let mut loose = of(3, "alice", "k");
    loose.session = None;
    // Neither does a login run into a key.
    let split = [of(5, "alic", "ek")];
    let nobody = of(6, "", "k");
    ingest(
        &store,
        &[&alice[..], &bob, &split, &[loose, nobody]].concat(),
        &[],
    )
    .await;
    check(&store, &alice, "alice").await;
    check(&store, &bob, "bob").await;
    check(&store, &split, "alic").await;
    let all = store
        .sessions(&SessionQuery {
            limit: 10,
            ..SessionQuery::default()
        })
        .await
        .unwrap();
    assert_eq!(all.len(), 3, "what has no key, and nobody, has no session");
}

#[tokio::test]
async fn amendments_and_aborted_records_count() {
    let (_folder, store) = store().await;
    let mut all = conversation();
    ingest(&store, &all, &[]).await;
    let amend = |r: &mut UsageRecord, ended, duration_us| {
        (r.ended, r.duration_us) = (ended, duration_us);
        Amend {
            request_id: r.request_id,
            ended,
            duration_us,
        }
    };
    let worse = amend(&mut all[2], Ended::UpstreamFailed, 1);
    let longer = amend(&mut all[3], Ended::ClientGone, 1 << 40);
    ingest(&store, &[], &[worse, longer]).await;
    check(&store, &all, "worse").await;
    let better = amend(&mut all[2], Ended::Complete, 77);
    // Said twice it counts once.
    ingest(&store, &[], &[better.clone(), better]).await;
    check(&store, &all, "better").await;
    let mut aborted = of(8, "alice", "k");
    aborted.ended = Ended::Aborted;
    store
        .finish(1, std::slice::from_ref(&aborted), super::super::When::default())
        .await
        .unwrap();
    all.push(aborted);
    check(&store, &all, "aborted").await;
}

#[tokio::test]
async fn sums_that_would_overflow_stay_at_their_bound() {
    let (_folder, store) = store().await;
    let mut wild = [of(1, "alice", "k"), of(2, "alice", "k")];
    for r in &mut wild {
        r.usage.input = Some(u64::MAX);
        r.duration_us = u64::MAX;
    }
    for r in wild {
        ingest(&store, &[r], &[]).await;
    }
    let found = store.session(SessionId::of("alice", "k")).await.unwrap().unwrap();
    assert_eq!(
        (found.session.sum.totals.input, found.session.sum.busy_us),
        (rollup::CAP, rollup::CAP)
    );
}

#[tokio::test]
async fn lists_are_filtered_and_pages_join() {
    let (_folder, store) = store().await;
    let mut all = Vec::new();
    for number in 0..60u64 {
        let mut r = of(number, &format!("u{}", number % 4), &format!("k{}", number % 20));
        r.model_asked = format!("m{}", number % 3);
        r.user_agent = Some(if number % 20 < 5 { "curl/8" } else { "codex_x/1" }.into());
        all.push(r);
    }
    for part in all.chunks(7) {
        ingest(&store, part, &[]).await;
    }
    let every = SessionQuery {
        limit: 100,
        ..SessionQuery::default()
    };
    // Sessions k0 to k19; the last request of each is 40 to 59.
    let keys = async |query: &SessionQuery| -> Vec<u64> {
        let all = store.sessions(query).await.unwrap();
        all.iter().map(|s| s.key[1..].parse().unwrap()).collect()
    };
    let down = |range: std::ops::Range<u64>, keep: &dyn Fn(u64) -> bool| -> Vec<u64> {
        range.rev().filter(|n| keep(*n)).collect()
    };
    assert_eq!(keys(&every).await, down(0..20, &|_| true));
    let user = |name: &str| Some(name.to_owned());
    for at in 0..=20u64 {
        let query = SessionQuery {
            since: Some(UnixMicros(1_000_000 * (40 + at))),
            ..every.clone()
        };
        assert_eq!(keys(&query).await, down(at..20, &|_| true));
        let query = SessionQuery {
            until: Some(UnixMicros(1_000_000 * (40 + at))),
            ..every.clone()
        };
        assert_eq!(keys(&query).await, down(0..at, &|_| true));
    }
    for bits in 1u8..8 {
        let query = SessionQuery {
            user: (bits & 1 != 0).then(|| "u1".to_owned()),
            client: (bits & 2 != 0).then_some(Client::Curl),
            model: (bits & 4 != 0).then(|| "m2".to_owned()),
            ..every.clone()
        };
        let expected = down(0..20, &|n| {
            let mine = all.iter().filter(|r| r.session == Some(format!("k{n}")));
            (bits & 1 == 0 || n % 4 == 1)
                && (bits & 2 == 0 || n < 5)
                && (bits & 4 == 0 || mine.into_iter().any(|r| r.model_asked == "m2"))
        });
        assert_eq!(keys(&query).await, expected, "{query:?}");
        for limit in 1..4 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = SessionQuery {
                    after,
                    limit,
                    ..query.clone()
                };
                let found = store.sessions(&page).await.unwrap();
                let Some(last) = found.last() else { break };
                after = Some((last.last, last.number));
                seen.extend(keys(&page).await);
            }
            assert_eq!(seen, expected, "{query:?} by {limit}");
        }
    }
    for none in [
        SessionQuery {
            user: user("nobody"),
            ..every.clone()
        },
        SessionQuery {
            model: user("none"),
            ..every.clone()
        },
        SessionQuery {
            client: Some(Client::Aider),
            ..every.clone()
        },
    ] {
        assert_eq!(keys(&none).await, [] as [u64; 0]);
    }
    // A page of a session's requests follows the other.
    let number = store
        .session(SessionId::of("u1", "k1"))
        .await
        .unwrap()
        .unwrap()
        .session
        .number;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.session_requests(number, after, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.time, last.request_id));
        seen.push(last.time.0 / 1_000_000);
    }
    assert_eq!(seen, [41, 21, 1]);
}

#[tokio::test]
async fn sessions_know_who_started_them() {
    let (_folder, store) = store().await;
    let mut child = of(2, "alice", "child");
    child.parent = Some("main".into());
    let mut own = of(3, "alice", "own");
    own.parent = Some("own".into());
    let mut foreign = of(4, "bob", "child");
    foreign.parent = Some("main".into());
    ingest(&store, &[child, of(1, "alice", "main"), own, foreign], &[]).await;
    let main = SessionId::of("alice", "main");
    let found = store.session(main).await.unwrap().unwrap();
    let keys: Vec<&str> = found.children.iter().map(|s| s.key.as_str()).collect();
    assert_eq!(keys, ["child"], "others have another session of that key");
    let child = store
        .session(SessionId::of("alice", "child"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(child.session.parent, Some(main));
    let own = store
        .session(SessionId::of("alice", "own"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(own.session.parent, None, "nobody starts himself");
}

#[tokio::test]
async fn tools_are_those_of_the_session_within_its_principal() {
    let (folder, store) = store().await;
    ingest(
        &store,
        &[of(1, "alice", "k"), of(2, "bob", "k"), of(3, "alice", "other")],
        &[],
    )
    .await;
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    let calls = [
        ("alice", "k", "Bash"),
        ("alice", "k", "Grep"),
        ("alice", "k", "Bash"),
        ("bob", "k", "Edit"),
        ("alice", "other", "Read"),
    ];
    for (call, (user, session, name)) in (0i64..).zip(calls) {
        other
            .execute(
                "INSERT INTO tool_calls (segment,capture,call,request_id,time,user,provider,model,session,agent,name,\
                 call_id,arguments,arguments_bytes,hosted) SELECT 1,1,?,x'00',1,id,0,0,?,NULL,?,'c','{}',2,0 FROM texts \
                 WHERE text = ?",
                (call, session, name, user),
            )
            .unwrap();
    }
    let found = store.session(SessionId::of("alice", "k")).await.unwrap().unwrap();
    let tools: Vec<_> = found.tools.iter().map(|t| (t.name.as_str(), t.calls)).collect();
    assert_eq!(tools, [("Bash", 2), ("Grep", 1)]);
}

#[tokio::test]
async fn a_store_of_an_earlier_version_goes_on_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let old = [of(1, "alice", "k"), of(2, "alice", "k")];
    // What the third version had: no tables but its own.
    {
        let store = Sqlite::open(folder.path()).await.unwrap();
        ingest(&store, &old, &[]).await;
        drop(store);
        let other = Connection::open(folder.path().join(FILE)).unwrap();
        let mut select = other
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .unwrap();
        let names: Vec<String> = select
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        drop(select);
        let third = [
            "texts",
            "requests",
            "seen",
            "rollups",
            "cursors",
            "finished",
            "tokens",
            "buckets",
            "leases",
            "refills",
            "quota_events",
        ];
        for name in names.iter().filter(|name| !third.contains(&name.as_str())) {
            other.execute_batch(&format!("DROP TABLE {name}")).unwrap();
        }
        other.pragma_update(None, "user_version", 3).unwrap();
    }
    let store = Sqlite::open(folder.path()).await.unwrap();
    let requests = store
        .requests(&super::super::RequestQuery {
            limit: 10,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(requests.records.len(), 2);
    let id = SessionId::of("alice", "k");
    assert_eq!(
        store.session(id).await.unwrap(),
        None,
        "earlier records are not gathered"
    );
    // An amendment of one of them has no session to correct.
    let amend = Amend {
        request_id: old[0].request_id,
        ended: Ended::ClientGone,
        duration_us: 5,
    };
    let new = [of(3, "alice", "k")];
    ingest(&store, &new, &[amend]).await;
    check(&store, &new, "after the change of version").await;
    assert_eq!(store.audit_end().unwrap().seq, 0);
}

#[tokio::test]
async fn no_list_of_sessions_is_sorted_or_scanned() {
    let (_folder, store) = store().await;
    for bits in 0u8..16 {
        let has = |bit: u8| (bits >> bit & 1 == 1).then_some(i64::from(bit));
        let query = SessionQuery {
            client: has(2).map(|_| Client::Codex),
            after: has(3).map(|_| (UnixMicros(5), 1)),
            limit: 5,
            ..SessionQuery::default()
        };
        let (sql, _) = read::list_sql(&query, [has(0), has(1)]);
        crate::store::tests::assert_bounded(&store, &sql);
    }
}

#[test]
fn ids_are_stable_and_read_back() {
    let id = SessionId::of("alice@example.com", "ses_1");
    assert_eq!(SessionId::parse(&id.to_string()), Some(id));
    // What was given out must be found for ever.
    assert_eq!(id.to_string(), "918361670dc2ecc886a2671aea344974");
    assert_ne!(SessionId::of("a", "b"), SessionId::of("ab", ""));
    for broken in [
        "",
        "0",
        &"g".repeat(32),
        &"0".repeat(33),
        "+0000000000000000000000000000000",
    ] {
        assert_eq!(SessionId::parse(broken), None, "{broken}");
    }
}

#[tokio::test]
async fn rows_that_something_else_changed_are_not_believed() {
    let (folder, store) = store().await;
    ingest(&store, &[of(1, "alice", "k")], &[]).await;
    let id = SessionId::of("alice", "k");
    for change in [
        "source = 99",
        "client = -1",
        "parent = x'00'",
        "errors = -1",
        "first = -1",
    ] {
        let other = Connection::open(folder.path().join(FILE)).unwrap();
        let column = change.split(' ').next().unwrap();
        let before: rusqlite::types::Value = other
            .query_row(&format!("SELECT {column} FROM sessions"), [], |row| row.get(0))
            .unwrap();
        other
            .execute(&format!("UPDATE sessions SET {change}"), [])
            .unwrap();
        assert!(store.session(id).await.is_err(), "{change}");
        other
            .execute(&format!("UPDATE sessions SET {column} = ?"), [before])
            .unwrap();
        assert!(store.session(id).await.is_ok(), "{change}");
    }
}
