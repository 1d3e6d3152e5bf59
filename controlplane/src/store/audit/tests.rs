//! The chain in a real file, and what happens to one that somebody else writes to.

use std::path::Path;
use std::sync::Arc;

use super::super::FILE;
use super::chain::Break;
use super::*;

fn entry(subject: &str) -> NewEntry {
    NewEntry {
        time: UnixMicros(7),
        actor: "root".into(),
        node: "n1".into(),
        action: "quota.refill".into(),
        subject: subject.into(),
        detail: r#"{"amount":"$5"}"#.into(),
    }
}

async fn store(folder: &Path, entries: u64) -> Sqlite {
    let store = Sqlite::open(folder).await.unwrap();
    for number in 1..=entries {
        store.append_audit(&[entry(&format!("bucket {number}"))]).unwrap();
    }
    store
}

/// A connection that keeps to no rules.
fn intruder(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join(FILE)).unwrap();
    connection
        .execute_batch("DROP TRIGGER audit_is_written_once; DROP TRIGGER audit_stays; DROP TRIGGER audit_is_kept; DROP TRIGGER audit_head_is_kept")
        .unwrap();
    connection
}

#[tokio::test]
async fn entries_read_back_in_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 3).await;
    let end = store.append_audit(&[entry("four"), entry("five")]).unwrap();
    assert_eq!(end.seq, 5);
    let query = AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    let all = store.audit(&query).await.unwrap();
    let subjects: Vec<&str> = all.iter().map(|e| e.subject.as_str()).collect();
    assert_eq!(subjects, ["five", "four", "bucket 3", "bucket 2", "bucket 1"]);
    assert_eq!((all[0].seq, all[0].hash), (end.seq, end.hash));
    assert_eq!(store.audit_hash(5).unwrap(), Some(end.hash));
    assert_eq!(store.audit_hash(6).unwrap(), None);
    let verified = store.verify_audit(&[]).unwrap();
    assert_eq!((verified.entries, verified.broken, verified.head), (5, 0, end));
    // Opened again, it goes on.
    drop(store);
    let store = Sqlite::open(folder.path()).await.unwrap();
    assert_eq!(store.audit_end().unwrap(), end);
    store.append_audit(&[entry("six")]).unwrap();
    assert_eq!(store.verify_audit(&[]).unwrap().breaks, []);
}

#[tokio::test]
async fn lists_are_filtered_and_pages_join() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    for number in 0..20u64 {
        let new = NewEntry {
            time: UnixMicros(100 + number),
            actor: format!("actor{}", number % 2),
            action: format!("action{}", number % 3),
            ..entry("x")
        };
        store.append_audit(&[new]).unwrap();
    }
    let numbers = async |query: AuditQuery| -> Vec<u64> {
        let all = store.audit(&query).await.unwrap();
        all.iter().map(|e| e.seq).collect()
    };
    let all = AuditQuery {
        limit: 100,
        ..AuditQuery::default()
    };
    let of = |actor: Option<&str>, action: Option<&str>| AuditQuery {
        actor: actor.map(str::to_owned),
        action: action.map(str::to_owned),
        ..all.clone()
    };
    assert_eq!(numbers(of(Some("actor1"), Some("action0"))).await, [16, 10, 4]);
    assert_eq!(numbers(of(None, Some("action2"))).await, [18, 15, 12, 9, 6, 3]);
    assert_eq!(numbers(of(Some("' OR 1=1"), None)).await, [] as [u64; 0]);
    let within = AuditQuery {
        since: Some(UnixMicros(105)),
        until: Some(UnixMicros(108)),
        ..all.clone()
    };
    assert_eq!(numbers(within).await, [8, 7, 6]);
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = numbers(AuditQuery {
            before,
            limit: 3,
            ..all.clone()
        })
        .await;
        let Some(last) = page.last() else { break };
        before = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, (1..=20).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_database_refuses_changes() {
    let folder = tempfile::tempdir().unwrap();
    let _store = store(folder.path(), 3).await;
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    for (statement, expected) in [
        ("UPDATE audit SET subject = 'mine' WHERE seq = 2", "not changed"),
        ("DELETE FROM audit WHERE seq = 2", "not deleted"),
        ("DELETE FROM audit", "not deleted"),
        ("DELETE FROM audit_head", "not deleted"),
        (
            "REPLACE INTO audit SELECT seq,time,'me',node,action,subject,detail,hash FROM audit",
            "written once",
        ),
        ("INSERT INTO audit_head VALUES (2, 0, x'00')", "CHECK"),
    ] {
        let error = other.execute(statement, []).unwrap_err().to_string();
        assert!(error.contains(expected), "{statement}: {error}");
    }
}

#[tokio::test]
async fn what_an_intruder_does_is_found() {
    let check = async |statement: &str, expected: &[Break]| {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), 6).await;
        intruder(folder.path()).execute_batch(statement).unwrap();
        assert_eq!(store.verify_audit(&[]).unwrap().breaks, expected, "{statement}");
        // And stays found, whatever is written behind it.
        store.append_audit(&[entry("later")]).unwrap();
        let after = store.verify_audit(&[]).unwrap();
        assert!(after.broken > 0, "{statement}");
    };
    check(
        "UPDATE audit SET actor = 'me' WHERE seq = 3",
        &[Break::Changed { seq: 3 }],
    )
    .await;
    check(
        "UPDATE audit SET time = 8 WHERE seq = 6",
        &[Break::Changed { seq: 6 }],
    )
    .await;
    check(
        "UPDATE audit SET hash = x'' WHERE seq = 3",
        &[Break::Changed { seq: 3 }, Break::Changed { seq: 4 }],
    )
    .await;
    check(
        "DELETE FROM audit WHERE seq IN (2, 3)",
        &[Break::Missing { first: 2, last: 3 }],
    )
    .await;
    check(
        "DELETE FROM audit WHERE seq > 4",
        &[Break::Missing { first: 5, last: 6 }],
    )
    .await;
    check("DELETE FROM audit", &[Break::Missing { first: 1, last: 6 }]).await;
    check(
        "DELETE FROM audit WHERE seq = 3; \
         INSERT INTO audit SELECT 3, time, 'me', node, action, subject, detail, hash FROM audit WHERE seq = 2",
        &[Break::Changed { seq: 3 }, Break::Changed { seq: 4 }],
    )
    .await;
}

#[tokio::test]
async fn entries_of_many_threads_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(store(folder.path(), 0).await);
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0..20 {
                    store
                        .append_audit(&[entry(&format!("{thread} {number}"))])
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let verified = store.verify_audit(&[]).unwrap();
    assert_eq!((verified.entries, verified.broken), (160, 0));
}
