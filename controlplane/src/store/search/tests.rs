//! What is found by a few letters, and by whom.

use sluice_shared::usage::SessionSource;

use super::super::tests::record;
use super::super::{Batch, Store as _};
use super::*;

const START: u64 = 1_795_341_600_000_000;

async fn stored() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let mut records = Vec::new();
    for number in 0..60u64 {
        let mut r = record(number, START + number);
        r.session = Some(format!("key-{}", number % 20));
        r.session_source = SessionSource::Header;
        records.push(r);
    }
    // Somebody without a session.
    let mut alone = record(60, START);
    (alone.user, alone.model_asked) = ("alone".into(), "model-alone".into());
    records.push(alone);
    let batch = Batch {
        records,
        ..Batch::default()
    };
    store.ingest(&batch).await.unwrap();
    for (name, user) in [("bash", 1), ("bash", 2), ("basic", 2), ("read", 1), ("", 1)] {
        let sql =
            format!("INSERT INTO tool_users SELECT '{name}', id, 1, 2 FROM texts WHERE text = 'user{user}'");
        store.execute_for_tests(&sql);
    }
    (folder, store)
}

async fn search(store: &Sqlite, text: &str, user: Option<&str>) -> SearchFound {
    let query = SearchQuery {
        text: text.into(),
        user: user.map(str::to_owned),
    };
    store.search(&query).await.unwrap()
}

#[tokio::test]
async fn names_are_found_by_their_beginnings() {
    let (_folder, store) = stored().await;
    let found = search(&store, "user", None).await;
    assert_eq!(found.people, ["user0", "user1", "user2"]);
    assert_eq!(search(&store, "ser", None).await.people, [] as [&str; 0]);
    assert_eq!(search(&store, "alo", None).await.people, ["alone"]);
    assert_eq!(search(&store, "model-", None).await.models, ["model-alone"]);
    assert_eq!(search(&store, "model1", None).await.models, ["model1"]);
    assert_eq!(search(&store, "ba", None).await.tools, ["bash", "basic"]);
    assert_eq!(search(&store, "ba", Some("user1")).await.tools, ["bash"]);
    let keys = |found: &SearchFound| found.sessions.iter().map(|s| s.key.clone()).collect::<Vec<_>>();
    let all = search(&store, "key-", None).await;
    assert_eq!(all.sessions.len(), FOUND_MAX);
    // Of each key there is a session for each user.
    assert_eq!(keys(&search(&store, "key-7", None).await), ["key-7"; 3]);
    assert_eq!(keys(&search(&store, "key-7", Some("user1")).await), ["key-7"]);
    assert_eq!(search(&store, "nothing", None).await, SearchFound::default());
    assert_eq!(
        search(&store, "key-7", Some("nobody")).await,
        SearchFound::default()
    );
    assert_eq!(search(&store, "user", Some("user1")).await.people, ["user1"]);
    assert_eq!(
        search(&store, "user2", Some("user1")).await.people,
        [] as [&str; 0]
    );
}

#[tokio::test]
async fn ids_are_found_by_their_first_digits() {
    let (_folder, store) = stored().await;
    let (mine, other) = (record(4, 0).request_id, record(5, 0).request_id);
    let text = mine.to_string();
    for digits in [DIGITS_MIN, 20, 32] {
        let found = search(&store, &text[..digits], None).await.requests;
        assert!(
            found.contains(&mine) && found.len() <= FOUND_MAX,
            "{digits}: {found:?}"
        );
    }
    assert_eq!(search(&store, &text[..7], None).await.requests, []);
    assert_eq!(search(&store, &text, None).await.requests, [mine]);
    assert_eq!(search(&store, &text, Some("user1")).await.requests, [mine]);
    assert_eq!(
        search(&store, &other.to_string(), Some("user1")).await.requests,
        []
    );
    let id = SessionId::of("user1", "key-4").to_string();
    for (digits, user, found) in [
        (32, None, true),
        (6, Some("user1"), true),
        (6, Some("user2"), false),
    ] {
        let sessions = search(&store, &id[..digits], user).await.sessions;
        assert_eq!(
            sessions.iter().any(|session| session.key == "key-4"),
            found,
            "{digits} {user:?}"
        );
    }
}

#[test]
fn digits_are_a_range_of_ids() {
    let check = |text: &str, expected: Option<(u8, u8, u8)>| {
        let found = id_range(text).map(|(low, high)| (low[0], high[0], high[1]));
        assert_eq!(found, expected, "{text}");
    };
    check("a", Some((0xa0, 0xaf, 0xff)));
    check("aB", Some((0xab, 0xab, 0xff)));
    check("ab-c", Some((0xab, 0xab, 0xcf)));
    check("", None);
    check("xy", None);
    check(&"a".repeat(33), None);
}

#[tokio::test]
async fn models_are_last_seen_when_they_were_used() {
    let (_folder, store) = stored().await;
    let seen = store.last_seen("model1").await.unwrap();
    assert_eq!(seen, Some(UnixMicros(START)));
    assert_eq!(store.last_seen("model7").await.unwrap(), None);
}
