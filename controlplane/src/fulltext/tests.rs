//! The file of the index: what is found, what goes, and what kills leave.

use std::task::Poll;

use serde_json::json;
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::usage::UsageRecord;
use sluice_shared::wire::capture::Opened;

use super::file::Entry;
use super::*;
use crate::captures::Captures;
use crate::seeding::{SeedCapture, Seeder};
use crate::store::captures::SegmentState;
use crate::store::{Sqlite, Store};

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
                    &format!(
                        "{word} number{n} {}",
                        "filler ".repeat(usize::try_from(n % 50).unwrap())
                    ),
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

/// A data directory with captures: one an hour, each with a word of its own.
struct World {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    index: Arc<FullText>,
}

const CAPTURES: u32 = 150;

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let document = r#"{"providers": {"p": {"baseurl": "http://x", "models": ["m"]}}}"#;
        let mut seeder = Seeder::new(folder.path(), document, runtime.handle().clone()).unwrap();
        for n in 0..CAPTURES {
            // A quarter of an hour apart: four to a segment.
            let time = UnixMicros(10 * DAY + u64::from(n) * 900_000_000);
            let id = RequestId::new(time.0 / 1_000, ShardId(0), n, 7);
            let mut record = UsageRecord::draft(id, time, ShardId(0), Epoch(1), ApiKind::OpenAiChat);
            record.user = format!("user{}", n % 2);
            let opened = Opened {
                request_id: id,
                time,
                epoch: Epoch(1),
                api: ApiKind::OpenAiChat,
                stream: false,
                user: record.user.clone(),
                node: String::new(),
                method: "POST".into(),
                target: "/v1/chat/completions".into(),
                provider: "p".into(),
                model: "m".into(),
                headers: Vec::new(),
                keep: true,
                events: Vec::new(),
            };
            let capture = SeedCapture {
                opened,
                request: json!({ "messages": [{ "role": "user", "content": format!("question{n}x common") }] })
                    .to_string()
                    .into_bytes(),
                answer_head: None,
                answer: json!({ "choices": [{ "message": { "role": "assistant", "content": format!("answer{n}x") } }] })
                    .to_string()
                    .into_bytes(),
                record,
            };
            seeder.capture(capture, time).unwrap();
        }
        seeder.finish().unwrap();
        let store: Arc<dyn Store> = Arc::new(runtime.block_on(Sqlite::open(folder.path())).unwrap());
        let index = FullText::new(folder.path());
        Self {
            runtime,
            folder,
            store,
            index,
        }
    }

    fn indexer(&self) -> Indexer {
        Indexer {
            index: self.index.clone(),
            store: self.store.clone(),
            captures: Captures::new(self.folder.path(), self.store.clone()),
            settings: Settings::default(),
        }
    }

    /// Indexes all that there is.
    fn settle(&self) {
        let indexer = self.indexer();
        while self.runtime.block_on(indexer.turn(true)).unwrap() {}
    }

    fn find(&self, text: &str) -> usize {
        let query = TextQuery {
            limit: 1_000,
            ..query(text)
        };
        self.runtime.block_on(self.index.find(query)).unwrap().len()
    }

    fn is_whole(&self) {
        assert_eq!(self.find("common"), usize::try_from(CAPTURES).unwrap());
        for n in 0..CAPTURES {
            assert_eq!(
                (
                    self.find(&format!("question{n}x")),
                    self.find(&format!("answer{n}x"))
                ),
                (1, 1),
                "{n}"
            );
        }
    }
}

#[test]
fn every_capture_is_found_once_wherever_the_work_was_cut_short() {
    let mut world = World::new();
    world.settle();
    world.is_whole();
    // From the beginning, and each turn dropped after some steps of its future.
    world.runtime.block_on(world.indexer().turn(false)).unwrap();
    assert!(
        !world.folder.path().join(FILE).exists(),
        "nobody wants it: it is gone"
    );
    assert_eq!(world.find("common"), 0);
    for steps in (0..60).chain([200, 1_000]) {
        world.index = FullText::new(world.folder.path());
        let indexer = world.indexer();
        world.runtime.block_on(async {
            let mut turn = std::pin::pin!(indexer.turn(true));
            for _ in 0..steps {
                let over =
                    std::future::poll_fn(|context| Poll::Ready(turn.as_mut().poll(context).is_ready())).await;
                if over {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    world.settle();
    world.is_whole();
}

#[test]
fn words_go_with_their_segments() {
    let world = World::new();
    world.settle();
    let path = world.folder.path().join(FILE);
    assert!(path.exists());
    let segments = world.runtime.block_on(world.store.segments()).unwrap();
    let first = &segments[0];
    world
        .runtime
        .block_on(world.store.set_segment(first.number, SegmentState::Doomed, None))
        .unwrap();
    world.settle();
    let gone = usize::try_from(first.captures).unwrap();
    assert!(gone > 1);
    assert_eq!(world.find("common"), usize::try_from(CAPTURES).unwrap() - gone);
    assert_eq!((world.find("question0x"), world.find("question100x")), (0, 1));
}
