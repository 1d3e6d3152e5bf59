//! Entries, the file beside them, and what a start finds.

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::ledger::tests::store;
use crate::store::FILE;
use crate::store::audit::AuditQuery;
use crate::store::audit::chain::{AuditEntry, Break};

fn open(folder: &Path) -> Arc<Audit> {
    Audit::open(store(folder), folder).unwrap()
}

fn act(audit: &Audit, subject: &str) -> u64 {
    audit
        .record_blocking(
            "root",
            "n1",
            action::QUOTA_REFILL,
            subject,
            &json!({"amount": "$5"}),
        )
        .unwrap()
}

async fn all(audit: &Audit) -> Vec<AuditEntry> {
    let query = AuditQuery {
        limit: 1_000,
        ..AuditQuery::default()
    };
    let mut all = audit.store.audit(&query).await.unwrap();
    all.reverse();
    all
}

/// A connection that keeps to no rules.
fn intruder(folder: &Path, statement: &str) {
    let connection = Connection::open(folder.join(FILE)).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER IF EXISTS audit_stays; DROP TRIGGER IF EXISTS audit_is_kept; \
             DROP TRIGGER IF EXISTS audit_is_written_once",
        )
        .unwrap();
    connection.execute_batch(statement).unwrap();
}

#[tokio::test]
async fn acts_are_on_record_before_they_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    let number = audit
        .record(
            "jürg",
            "n1",
            action::TOKEN_CREATE,
            "<b>id</b>",
            json!({"name": "ci\u{0}"}),
        )
        .await
        .unwrap();
    assert_eq!(number, 1);
    let entries = all(&audit).await;
    assert_eq!(
        (entries[0].actor.as_str(), entries[0].subject.as_str()),
        ("jürg", "<b>id</b>")
    );
    assert_eq!(entries[0].detail, r#"{"name":"ci\u0000"}"#);
    let kept = audit.verify(None).unwrap();
    assert_eq!(kept.verified.broken, 0);
    assert_eq!(kept.file, Some(kept.verified.head));
    // Whatever is too long is cut, and stays one entry.
    let long = json!({ "x": "y".repeat(DETAIL_BYTES_MAX) });
    audit
        .record(&"a".repeat(5_000), "", action::CONFIG_SAVE, "s", long)
        .await
        .unwrap();
    let entries = all(&audit).await;
    assert_eq!(entries[1].actor.len(), TEXT_MAX);
    assert_eq!(
        entries[1].detail,
        format!(r#"{{"left_out_bytes":{}}}"#, DETAIL_BYTES_MAX + 8)
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_and_notes_wait() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    act(&audit, "first");
    intruder(
        folder.path(),
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'full'); END",
    );
    let refused = audit
        .record("root", "", action::QUOTA_REFILL, "second", json!({}))
        .await;
    assert!(refused.is_err());
    for number in 0..WAITING_MAX + 3 {
        audit.note(
            "(file)",
            "",
            action::CONFIG_FILE,
            &format!("note {number}"),
            &json!({}),
        );
    }
    assert_eq!(all(&audit).await.len(), 1);
    intruder(folder.path(), "DROP TRIGGER full");
    act(&audit, "third");
    let entries = all(&audit).await;
    assert_eq!(entries.len(), 1 + WAITING_MAX + 2);
    assert_eq!(entries[1].subject, "note 0");
    let lost = &entries[WAITING_MAX + 1];
    assert_eq!(
        (lost.action.as_str(), lost.detail.as_str()),
        (action::AUDIT_LOST, r#"{"notes":3}"#)
    );
    assert_eq!(entries.last().unwrap().subject, "third");
    assert_eq!(audit.verify(None).unwrap().verified.broken, 0);
}

#[tokio::test]
async fn the_file_finds_a_tail_that_was_cut_with_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    for number in 0..5 {
        act(&audit, &format!("{number}"));
    }
    let noted = audit.verify(None).unwrap().verified.head;
    let before = all(&audit).await;
    intruder(folder.path(), "DELETE FROM audit WHERE seq > 3");
    let third = before[2].hash;
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection
        .execute("UPDATE audit_head SET seq = 3, hash = ?", [third.as_slice()])
        .unwrap();
    let missing = [Break::Missing { first: 4, last: 5 }];
    assert_eq!(audit.verify(None).unwrap().verified.breaks, missing);
    drop(audit);

    // A start goes on, and says so in the chain.
    let audit = open(folder.path());
    let entries = all(&audit).await;
    assert_eq!(
        (entries[3].seq, entries[3].action.as_str()),
        (4, action::AUDIT_BROKEN)
    );
    let detail: Value = serde_json::from_str(&entries[3].detail).unwrap();
    assert_eq!(
        (&detail["kept"]["seq"], &detail["found"]["seq"]),
        (&json!(5), &json!(3))
    );
    // The file follows the new chain; whoever noted the old end finds it out.
    assert_eq!(audit.verify(None).unwrap().verified.broken, 0);
    act(&audit, "again");
    assert_eq!(
        audit.verify(Some(noted)).unwrap().verified.breaks,
        [Break::Rewritten {
            seq: 5,
            noted: Noted::Caller
        }]
    );
}

#[tokio::test]
async fn a_file_that_is_behind_is_no_break_and_a_missing_one_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(folder.path());
    act(&audit, "first");
    let file = folder.path().join(file::NAME);
    let behind = std::fs::read(&file).unwrap();
    act(&audit, "second");
    // As a kill between the entry and the file leaves it.
    std::fs::write(&file, behind).unwrap();
    drop(audit);
    let audit = open(folder.path());
    assert_eq!(all(&audit).await.len(), 2);
    assert_eq!(audit.verify(None).unwrap().verified.broken, 0);
    act(&audit, "third");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(audit.verify(None).unwrap().file, None);
    drop(audit);
    let audit = open(folder.path());
    let entries = all(&audit).await;
    assert_eq!(entries[3].action, action::AUDIT_BROKEN);
    assert!(file.exists());
}
