//! The file of the index: what is found, what goes, and what kills leave.

use sluice_shared::ids::{RequestId, ShardId};

use super::file::Entry;
use super::*;

const DAY: u64 = 86_400_000_000;

fn entry(number: u64, segment: u64, time: u64, user: &str, text: &str) -> Entry {
    Entry {
        segment,
        number,
        time: UnixMicros(time),
        request_id: RequestId::new(time / 1_000, ShardId(0), u32::try_from(number).unwrap(), 7),
        user: user.to_owned(),
        text: text.to_owned(),
    }
}

fn query(text: &str) -> TextQuery {
    TextQuery {
        words: Words::parse(text).unwrap(),
        user: None,
        since: None,
        until: None,
        after: None,
        limit: 100,
    }
}

fn times(index: &Index, query: &TextQuery) -> Vec<u64> {
    index
        .find(query)
        .unwrap()
        .iter()
        .map(|(time, _)| time.0)
        .collect()
}

#[test]
fn words_and_phrases_are_found_newest_first_within_what_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open_or_make(&folder.path().join(FILE)).unwrap();
    let entries = [
        entry(0, 1, DAY + 5, "alice", "The invoice of the Café is overdue"),
        entry(1, 1, DAY + 9, "bob", "An overdue invoice; who:alice"),
        entry(2, 1, 3 * DAY, "alice", "invoices are fine"),
        entry(3, 1, DAY + 7, "alice", "nothing of interest"),
    ];
    index.add(&entries, (1, 3)).unwrap();
    assert_eq!(index.reached().unwrap(), (1, 3));
    let check = |text: &str, expected: &[u64]| assert_eq!(times(&index, &query(text)), expected, "{text}");
    check("invoice", &[DAY + 9, DAY + 5]);
    check("INVOICE overdue", &[DAY + 9, DAY + 5]);
    check("\"overdue invoice\"", &[DAY + 9]);
    check("cafe", &[DAY + 5]);
    check("invo*", &[3 * DAY, DAY + 9, DAY + 5]);
    check("nothing overdue", &[]);
    check("NOT", &[]);
    let of = |user: &str, text: &str| {
        times(
            &index,
            &TextQuery {
                user: Some(user.into()),
                ..query(text)
            },
        )
    };
    assert_eq!(of("alice", "invo*"), [3 * DAY, DAY + 5]);
    assert_eq!(of("bob", "invo*"), [DAY + 9]);
    assert_eq!(of("carol", "invo*"), [] as [u64; 0]);
    let within = TextQuery {
        since: Some(UnixMicros(DAY + 9)),
        until: Some(UnixMicros(3 * DAY)),
        ..query("invo*")
    };
    assert_eq!(times(&index, &within), [DAY + 9]);
}

#[test]
fn pages_join_also_within_a_moment_and_over_days() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open_or_make(&folder.path().join(FILE)).unwrap();
    // Three share each moment; they come in no order.
    let entries: Vec<Entry> = (0..300u64)
        .map(|n| entry(n, 1, (n * 7_919 % 300) / 3 * (DAY / 20), "u", "word"))
        .collect();
    for some in entries.chunks(41) {
        index.add(some, (1, some.last().unwrap().number)).unwrap();
    }
    let mut expected: Vec<Place> = entries.iter().map(|e| (e.time, e.request_id)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = index
            .find(&TextQuery {
                after,
                limit: 7,
                ..query("word")
            })
            .unwrap();
        after = page.last().copied();
        found.extend(page.iter().copied());
        if page.len() < 7 {
            break;
        }
    }
    assert_eq!(found, expected);
}

/// Whether a text stands anywhere in the bytes of the file or of its log.
fn holds(path: &Path, text: &str) -> bool {
    ["", "-wal"].iter().any(|suffix| {
        let mut path = path.to_owned().into_os_string();
        path.push(suffix);
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[test]
fn what_is_purged_is_gone_from_the_bytes_and_room_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let mut index = Index::open_or_make(&path).unwrap();
    let many = |segment: u64, word: &str, day: u64| -> Vec<Entry> {
        (0..400)
            .map(|n| {
                entry(
                    n,
                    segment,
                    day * DAY + segment * 1_000 + n,
                    "u",
                    &format!("{word} number{n} {}", "filler ".repeat(n as usize % 50)),
                )
            })
            .collect()
    };
    index.add(&many(1, "zebraword", 5), (1, 399)).unwrap();
    index.add(&many(2, "walrusword", 5), (2, 399)).unwrap();
    index.add(&many(3, "ottersword", 6), (3, 399)).unwrap();
    assert_eq!(index.segments().unwrap(), [1, 2, 3]);
    assert!(holds(&path, "zebraword"), "the test sees what is there");
    // A part of a day, then a whole one.
    index.forget(&[1]).unwrap();
    assert!(!holds(&path, "zebraword"));
    assert_eq!(times(&index, &query("zebraword")), [] as [u64; 0]);
    assert_eq!(
        times(
            &index,
            &TextQuery {
                limit: 1_000,
                ..query("walrusword")
            }
        )
        .len(),
        400
    );
    assert!(holds(&path, "walrusword") && holds(&path, "ottersword"));
    let before = std::fs::metadata(&path).unwrap().len();
    index.forget(&[2, 3]).unwrap();
    assert!(!holds(&path, "walrusword") && !holds(&path, "ottersword"));
    assert!(
        std::fs::metadata(&path).unwrap().len() < before / 2,
        "room comes back"
    );
    assert_eq!(index.segments().unwrap(), [] as [u64; 0]);
    // What is reached stays: nothing is read twice.
    assert_eq!(index.reached().unwrap(), (3, 399));
}

#[test]
fn a_file_that_is_none_or_of_another_version_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, "this is no database, whatever its name says".repeat(500)).unwrap();
    let mut index = Index::open_or_make(&path).unwrap();
    index.add(&[entry(0, 4, DAY, "u", "word")], (4, 0)).unwrap();
    drop(index);
    let index = Index::open_or_make(&path).unwrap();
    assert_eq!(
        (index.reached().unwrap(), times(&index, &query("word")).len()),
        ((4, 0), 1)
    );
    drop(index);
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert_eq!(Index::open_or_make(&path).unwrap().reached().unwrap(), (0, -1));
}
