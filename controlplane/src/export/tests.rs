//! Exporters against receivers that fail in every way, and processes that end at every step.

mod crash;
mod receivers;
mod s3;
mod stand;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_shared::ids::RequestId;
use sluice_shared::usage::Capture;

use super::item::{Batch, Captured, Reading};
use super::sink::{Sending, Sink};
use super::*;
use crate::store::tests::record;
use crate::store::{self, ExportRows as _, Sqlite};

/// Where no captures are kept.
struct NoCaptures;

impl ReadCaptures for NoCaptures {
    fn read(&self, _: RequestId) -> Reading<'_> {
        Box::pin(async { Ok(None::<Captured>) })
    }
}

/// A store with exporters and records.
struct World {
    folder: tempfile::TempDir,
    store: Arc<Sqlite>,
}

fn exporter(name: &str, what: &[Exported], sink: domain::Sink) -> domain::Exporter {
    domain::Exporter {
        name: name.to_owned(),
        every_s: 10,
        limit: 3,
        what: what.iter().copied().collect(),
        sink,
        disabled: false,
    }
}

fn webhook(url: &str) -> domain::Sink {
    domain::Sink::Webhook(domain::Endpoint {
        url: url.to_owned(),
        timeout_ms: 5_000,
        ..domain::Endpoint::default()
    })
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path()).await.unwrap());
        Self { folder, store }
    }

    async fn wants(&self, wanted: &[(&str, Wants)]) {
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|(name, wants)| Wanted {
                name: (*name).to_owned(),
                wants: *wants,
                enabled: true,
            })
            .collect();
        self.store.set_exporters(&wanted).await.unwrap();
    }

    /// Stores records of these numbers, and tells their ids.
    async fn records(&self, numbers: std::ops::RangeInclusive<u64>) -> BTreeSet<RequestId> {
        let records: Vec<_> = numbers.map(|number| record(number, 1_000 + number)).collect();
        let ids = records.iter().map(|record| record.request_id).collect();
        let batch = store::Batch {
            records,
            ..store::Batch::default()
        };
        self.store.ingest(&batch).await.unwrap();
        ids
    }

    /// The process ends and another begins.
    async fn again(self) -> Self {
        let Self { folder, store } = self;
        drop(store);
        let store = Arc::new(Sqlite::open(folder.path()).await.unwrap());
        Self { folder, store }
    }

    fn worker(&self, name: &str, sink: impl Sink + 'static) -> Exporter {
        let store: Arc<dyn Store> = self.store.clone();
        Exporter::new(name, 3, Box::new(sink), store, Arc::new(NoCaptures), clock)
    }
}

/// What a receiver has.
#[derive(Debug, Clone, Default)]
struct Received(Arc<Mutex<Vec<Batch>>>);

impl Received {
    fn all(&self) -> Vec<Batch> {
        self.0.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<RequestId> {
        let all = self.all();
        let requests = all.iter().flat_map(Batch::requests);
        requests.map(|request| request.record.request_id).collect()
    }
}

/// A receiver that does what it is told to.
struct Told<F>(Received, F);

impl<F: Fn(&Received, &Batch) -> Result<(), SendError> + Send + Sync> Sink for Told<F> {
    fn send<'a>(&'a self, batch: &'a Batch) -> Sending<'a> {
        Box::pin(async move { (self.1)(&self.0, batch) })
    }
}

fn takes(received: &Received, batch: &Batch) -> Result<(), SendError> {
    received.0.lock().unwrap().push(batch.clone());
    Ok(())
}

fn later(_: &Received, _: &Batch) -> Result<(), SendError> {
    Err(SendError::Later("down".into(), None))
}

#[test]
fn pauses_grow_to_a_bound_and_differ() {
    for (failures, full) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (u32::MAX, 300)] {
        let full = Duration::from_secs(full);
        for _ in 0..50 {
            let pause = pause(failures);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
    }
    let some: BTreeSet<Duration> = (0..50).map(|_| pause(9)).collect();
    assert!(some.len() > 1, "they do not come back at once");
}

#[tokio::test]
async fn an_hour_without_the_receiver_loses_nothing_and_delays_nobody() {
    let world = World::new().await;
    // The database opens by the clock on the wall.
    tokio::time::pause();
    world
        .wants(&[("dead", Wants::REQUESTS), ("good", Wants::REQUESTS)])
        .await;
    let (dead, good) = (Received::default(), Received::default());
    let asked = Arc::new(AtomicU64::new(0));
    let back = tokio::time::Instant::now() + Duration::from_secs(3_600);
    let count = asked.clone();
    let dies = move |received: &Received, batch: &Batch| {
        if tokio::time::Instant::now() < back {
            count.fetch_add(1, Ordering::Relaxed);
            return later(received, batch);
        }
        takes(received, batch)
    };
    let every = Duration::from_secs(10);
    let reports = [Arc::new(Report::default()), Arc::new(Report::default())];
    let tasks = [
        tokio::spawn(run(
            world.worker("dead", Told(dead.clone(), dies)),
            every,
            reports[0].clone(),
            clock,
        )),
        tokio::spawn(run(
            world.worker("good", Told(good.clone(), takes)),
            every,
            reports[1].clone(),
            clock,
        )),
    ];
    let mut sent = BTreeSet::new();
    for minute in 0..60 {
        sent.extend(world.records(minute * 10 + 1..=minute * 10 + 5).await);
        tokio::time::sleep(Duration::from_secs(55)).await;
        let has: BTreeSet<RequestId> = good.ids().into_iter().collect();
        assert_eq!(has, sent, "minute {minute}: the other one is not delayed");
    }
    assert!(dead.all().is_empty());
    assert!(reports[0].said().error.is_some());
    let asked = asked.load(Ordering::Relaxed);
    assert!((15..=60).contains(&asked), "asked {asked} times in an hour");
    // The longest pause after it is back.
    tokio::time::sleep(Duration::from_secs(3_600 - 55 * 60) + PAUSE.1 + every).await;
    let ids = dead.ids();
    assert_eq!(ids.len(), sent.len(), "each once: no process ended");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), sent);
    assert!(reports[0].said().error.is_none());
    tasks.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_run_by_hand_ends_the_pause() {
    let world = World::new().await;
    tokio::time::pause();
    world.wants(&[("a", Wants::REQUESTS)]).await;
    let received = Received::default();
    let report = Arc::new(Report::default());
    let day = Duration::from_secs(86_400);
    let worker = world.worker("a", Told(received.clone(), takes));
    let task = tokio::spawn(run(worker, day, report.clone(), clock));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ids = world.records(1..=4).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(received.all().is_empty());
    report.kick.notify_one();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(received.ids().into_iter().collect::<BTreeSet<_>>(), ids);
    task.abort();
}

#[tokio::test]
async fn exporters_are_those_of_the_document() {
    let world = World::new().await;
    let exports = Exports::new(world.store.clone(), Arc::new(NoCaptures), clock);
    let what = [Exported::Requests];
    let one = exporter("one", &what, webhook("http://127.0.0.1:1/x"));
    let off = domain::Exporter {
        disabled: true,
        ..exporter("off", &what, webhook("http://user:pw@127.0.0.1:1/x?key=secret"))
    };
    exports.take(&[one.clone(), off.clone()]).await.unwrap();
    let list = exports.list().await.unwrap();
    let names: Vec<(&str, bool)> = list.iter().map(|it| (it.name.as_str(), it.disabled)).collect();
    assert_eq!(names, [("off", true), ("one", false)]);
    assert_eq!(
        list[0].place, "http://127.0.0.1:1/x?…",
        "credentials are not shown"
    );
    assert_eq!(exports.kick("one"), Some(true));
    assert_eq!(exports.kick("off"), Some(false));
    assert_eq!(exports.kick("none"), None);
    // One that cannot be opened says why, and takes no other with it.
    let broken = exporter(
        "broken",
        &what,
        domain::Sink::Webhook(domain::Endpoint {
            url: "http://127.0.0.1:1/".into(),
            ca_pem: Some("nothing".into()),
            ..domain::Endpoint::default()
        }),
    );
    exports.take(&[one, broken]).await.unwrap();
    let list = exports.list().await.unwrap();
    let names: Vec<&str> = list.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["broken", "one"]);
    let (_, why) = list[0].error.clone().unwrap();
    assert!(why.contains("certificates"), "{why}");
    assert_eq!(exports.kick("off"), None);
}

#[test]
fn a_record_says_what_became_of_its_capture() {
    let check = |record_says: Capture, log_says: Kept, expected: &str| {
        let mut record = record(1, 2);
        record.capture = record_says;
        let item = item::Item::Request(Box::new(item::RequestItem {
            record,
            capture: log_says,
            captured: None,
        }));
        assert_eq!(item.json()["capture"], expected, "{record_says:?} {log_says:?}");
    };
    use crate::store::export::Kept;
    check(Capture::Off, Kept::None, "off");
    check(Capture::Dropped, Kept::None, "dropped");
    check(Capture::Written, Kept::Stored, "stored");
    check(Capture::Written, Kept::Missing, "missing");
}
