//! Ingest: from the journal's files into the store, each record exactly once.
//!
//! A data plane process owns a directory of the journal, its *incarnation*, and holds the lock in it while it lives.
//! One pass looks at every incarnation: it reads what the shards have published since, stores it together with the
//! cursors in one transaction, and only then deletes segments that are read to their end. When the lock is free, the
//! process is dead: what is left is read, occupied in-flight slots become `aborted` records, and the directory goes.
//!
//! Why nothing is lost and nothing counts twice, whatever is killed at whatever instruction: a record is in the store
//! or its segment still exists, because segments go after the commit; it is in the store once, because its request id
//! is unique there and sums are taken of inserted rows only. Cursors merely save reading again. What a record used of
//! budgets is charged in the transaction that inserts it, and so once.
//!
//! Captures, which lie in the same directories, are another reader's (`captures.rs`): a directory is let go of when that one
//! has nothing left in it.
//!
//! The end of an incarnation has four steps, each of which may be the last before a kill: commit of the last records
//! with a mark, which ends its leases of budgets, too; `NNNNNNNN` renamed to `NNNNNNNN.done`, which frees the number; the mark removed; the directory removed.
//! A mark without a `.done` directory therefore means that `NNNNNNNN` is still the dead one, however numbers are used
//! again.

mod endings;
mod incarnation;
mod pace;
pub(crate) mod price;
mod segment;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sluice_shared::units::UnixMicros;
use tokio::runtime::Handle;

use crate::files;
use crate::ledger::{Ledger, settle_aborted};
use crate::link::chain;
use crate::live::Live;
use crate::reload;
use crate::store::{Batch, Store, StoreError, When};
pub(crate) use endings::{Endings, is_of_captures};
use incarnation::{Incarnation, Progress};
pub(crate) use pace::Pace;
pub(crate) use status::Status;

/// Records of one transaction: enough to make its fixed costs small, and about two megabytes in memory.
const BATCH_MAX: usize = 2_048;
/// Records a second from which on they are gathered longer.
const GATHER_FROM: u64 = 500;
/// Where damaged segments are kept, beside the journal.
const DAMAGED: &str = "damaged";

/// What tests change.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Pause while little comes; where nothing does, they become longer.
    pub(crate) idle: Duration,
    /// Pause under load. A record in the journal is safe from a kill of either process: the wait costs nobody anything
    /// but sight of it, and a transaction for many records costs little more than one for a few.
    pub(crate) gather: Duration,
    /// Pause between looks at a lock.
    pub(crate) probe: Duration,
    /// What the reader of captures is told.
    pub(crate) endings: Arc<Endings>,
    /// Who shows what is going on.
    pub(crate) live: Arc<Live>,
    /// Asked at every step; `true` ends the pass as a kill would.
    pub(crate) kill: Option<Arc<dyn Fn(Step) -> bool + Send + Sync>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_millis(40),
            gather: Duration::from_millis(200),
            probe: Duration::from_millis(250),
            endings: Arc::default(),
            live: Live::new(reload::now()),
            kill: None,
        }
    }
}

/// Moments at which a kill matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    BatchRead,
    Committed,
    SegmentRemoved,
    DamagedMoved,
    Recovered,
    Finished,
    Renamed,
    Forgotten,
}

/// Why a pass ended early. The next one begins from the cursors in the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    #[error("cannot read the journal at {0}")]
    Journal(PathBuf, #[source] io::Error),
    #[error("cannot store records")]
    Store(#[from] StoreError),
    #[error("killed at {0:?}")]
    Killed(Step),
}

/// The reader of a journal.
pub(crate) struct Ingest {
    root: PathBuf,
    store: Arc<dyn Store>,
    ledger: Arc<Ledger>,
    runtime: Handle,
    status: Arc<Status>,
    bases: price::Bases,
    settings: Settings,
    incarnations: BTreeMap<u64, Incarnation>,
    cleaned: bool,
    /// When all journals had last been read to their end, by the ledger's clock; 0: not yet.
    caught_up: UnixMicros,
    buffer: Vec<u8>,
}

impl Ingest {
    /// Reads the journal under `data`; waits for the store on `runtime`.
    pub(crate) fn new(
        data: &Path,
        store: Arc<dyn Store>,
        ledger: Arc<Ledger>,
        runtime: Handle,
        status: Arc<Status>,
        bases: price::Bases,
        settings: Settings,
    ) -> Self {
        Self {
            root: data.join("journal"),
            store,
            ledger,
            runtime,
            status,
            bases,
            settings,
            incarnations: BTreeMap::new(),
            cleaned: false,
            caught_up: UnixMicros(0),
            buffer: vec![0; segment::BUFFER_BYTES],
        }
    }

    /// Runs until `stop` is sent to or dropped, then once more.
    pub(crate) fn run(mut self, stop: &Receiver<()>) {
        let mut stopping = false;
        // Before anything new is stored, so that nothing is seen twice.
        let recalled = self.settings.live.recall(&*self.store, reload::now());
        if let Err(error) = self.runtime.block_on(recalled) {
            tracing::warn!(error = %chain(&error), "what was going on before the start could not be read");
        }
        let mut last = Instant::now();
        let mut pace = Pace::new(self.settings.idle, last);
        loop {
            let before = self.status.figures().records;
            let passed = self.pass();
            let came = self.status.figures().records.saturating_sub(before);
            let pause = match passed {
                Ok(_) if self.is_load(came, last.elapsed()) => self.settings.gather,
                Ok(found) => pace.pause(found, Instant::now()),
                Err(error) => {
                    let text = chain(&error);
                    if self.status.failed(&text) {
                        tracing::error!(error = %text, "ingest stopped; it is tried again every second");
                    }
                    Duration::from_secs(1)
                }
            };
            if stopping {
                return;
            }
            last = Instant::now();
            stopping = !matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
        }
    }

    /// Whether records that came in this time are many.
    fn is_load(&self, came: u64, time: Duration) -> bool {
        let time = time.max(self.settings.idle).as_millis();
        u128::from(came) * 1_000 >= time * u128::from(GATHER_FROM)
    }

    /// One look at everything. Whether anything was found; after an error everything is read anew from the store.
    pub(crate) fn pass(&mut self) -> Result<bool, IngestError> {
        let began = self.ledger.now();
        let found = self.try_pass();
        match &found {
            Ok(_) => {
                self.status.caught_up(Instant::now());
                self.caught_up = began;
            }
            Err(_) => {
                self.incarnations.clear();
                self.cleaned = false;
            }
        }
        found
    }

    fn try_pass(&mut self) -> Result<bool, IngestError> {
        if !self.cleaned {
            self.clean()?;
            // Whoever has a lease has a directory since before.
            self.runtime.block_on(self.ledger.end_orphans(|| self.list()))?;
            self.cleaned = true;
        }
        for number in self.settings.endings.all() {
            self.end(number)?;
        }
        let ended = self.settings.endings.all();
        let numbers: BTreeSet<u64> = self.list()?.difference(&ended).copied().collect();
        self.incarnations.retain(|number, _| numbers.contains(number));
        for number in &numbers {
            if !self.incarnations.contains_key(number) {
                let cursors = self.runtime.block_on(self.store.cursors(*number))?;
                let directory = self.root.join(directory_name(*number));
                self.incarnations
                    .insert(*number, Incarnation::new(*number, directory, &cursors));
            }
        }
        self.status.set_incarnations(numbers.len());
        let mut found = false;
        for number in numbers {
            found |= self.read(number)?;
        }
        Ok(found)
    }

    /// Reads one incarnation until nothing more is there, and ends it if its process is dead.
    fn read(&mut self, number: u64) -> Result<bool, IngestError> {
        let Some(incarnation) = self.incarnations.get_mut(&number) else {
            return Ok(false);
        };
        // Before reading: what a process wrote before it died is all there once it is known to be dead.
        incarnation
            .probe(&self.settings)
            .map_err(|e| IngestError::Journal(incarnation.directory.clone(), e))?;
        let mut found = false;
        loop {
            let mut batch = Batch {
                holder: number,
                ..Batch::default()
            };
            let progress = incarnation
                .read(&mut batch, BATCH_MAX, &mut self.buffer, &self.status)
                .map_err(|e| IngestError::Journal(incarnation.directory.clone(), e))?;
            reached(&self.settings, Step::BatchRead)?;
            if !batch.is_empty() {
                found = true;
                batch.when = When {
                    since: self.caught_up,
                    now: self.ledger.now(),
                };
                let done = self.runtime.block_on(self.store.ingest(&batch))?;
                self.status.stored(&batch, &done);
                self.ledger.ingested(&done);
                if done.inserted > 0 {
                    self.settings.live.feed(&batch.records, reload::now());
                }
                reached(&self.settings, Step::Committed)?;
            }
            for path in incarnation.take_obsolete() {
                files::remove(&path).map_err(|e| IngestError::Journal(path, e))?;
                reached(&self.settings, Step::SegmentRemoved)?;
            }
            match progress {
                Progress::More => {}
                Progress::Damaged(path) => {
                    self.put_aside(number, &path)?;
                    reached(&self.settings, Step::DamagedMoved)?;
                    // Read on from what is there now.
                    self.incarnations.remove(&number);
                    return Ok(true);
                }
                Progress::Waiting => return Ok(found),
                Progress::Exhausted => break,
            }
        }
        let mut recovery = incarnation
            .recover()
            .map_err(|e| IngestError::Journal(incarnation.directory.clone(), e))?;
        price::settle(&mut recovery.records, &self.bases);
        recovery.records.iter_mut().for_each(settle_aborted);
        reached(&self.settings, Step::Recovered)?;
        if recovery.damaged > 0 {
            tracing::error!(
                incarnation = number,
                slots = recovery.damaged,
                "damaged in-flight slots"
            );
            self.status.damaged(recovery.damaged);
        }
        let when = When {
            since: self.caught_up,
            now: self.ledger.now(),
        };
        let done = self
            .runtime
            .block_on(self.store.finish(number, &recovery.records, when))?;
        self.status.aborted(&done);
        self.ledger.ingested(&done);
        if done.inserted > 0 {
            self.settings.live.feed(&recovery.records, reload::now());
        }
        tracing::info!(
            incarnation = number,
            aborted = done.inserted,
            "journal of a dead data plane is stored"
        );
        reached(&self.settings, Step::Finished)?;
        self.incarnations.remove(&number);
        self.settings.endings.ended(number);
        self.end(number)?;
        Ok(true)
    }

    /// Moves a damaged segment out of the way, for people.
    fn put_aside(&self, number: u64, path: &Path) -> Result<(), IngestError> {
        let folder = self.root.join(DAMAGED);
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let to = folder.join(format!("{}-{name}.damaged", directory_name(number)));
        let fail = |error| IngestError::Journal(path.to_owned(), error);
        std::fs::create_dir_all(&folder).map_err(fail)?;
        std::fs::rename(path, &to).map_err(fail)?;
        files::sync_folder(&folder).map_err(fail)?;
        tracing::error!(segment = %path.display(), kept = %to.display(), "damaged journal segment; the rest of it is skipped");
        Ok(())
    }

    /// Lets go of an incarnation whose records are stored, once its captures are, too.
    fn end(&self, number: u64) -> Result<(), IngestError> {
        let directory = self.root.join(directory_name(number));
        let left = endings::has_captures(&directory).map_err(|e| IngestError::Journal(directory, e))?;
        if left {
            return Ok(());
        }
        self.discard(number)?;
        self.settings.endings.forget(number);
        Ok(())
    }

    /// The last three steps of an incarnation's end.
    fn discard(&self, number: u64) -> Result<(), IngestError> {
        let directory = self.root.join(directory_name(number));
        let done = self.root.join(format!("{}.done", directory_name(number)));
        let fail = |error| IngestError::Journal(directory.clone(), error);
        if !done.exists() {
            match std::fs::rename(&directory, &done) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(fail)?,
            }
            files::sync_folder(&self.root).map_err(fail)?;
        }
        reached(&self.settings, Step::Renamed)?;
        self.runtime.block_on(self.store.forget(number))?;
        reached(&self.settings, Step::Forgotten)?;
        match std::fs::remove_dir_all(&done) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(fail),
        }
    }

    /// Goes on with ends that were cut short.
    fn clean(&self) -> Result<(), IngestError> {
        for number in self.runtime.block_on(self.store.finished())? {
            self.settings.endings.ended(number);
            self.end(number)?;
        }
        for name in self.names()? {
            if name
                .strip_suffix(".done")
                .is_some_and(|stem| number_of(stem).is_some())
            {
                let path = self.root.join(&name);
                std::fs::remove_dir_all(&path).map_err(|e| IngestError::Journal(path, e))?;
            }
        }
        Ok(())
    }

    fn list(&self) -> Result<BTreeSet<u64>, IngestError> {
        Ok(self.names()?.iter().filter_map(|name| number_of(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>, IngestError> {
        names(&self.root).map_err(|e| IngestError::Journal(self.root.clone(), e))
    }
}

fn reached(settings: &Settings, step: Step) -> Result<(), IngestError> {
    match &settings.kill {
        Some(kill) if kill(step) => Err(IngestError::Killed(step)),
        _ => Ok(()),
    }
}

/// Names in a directory that are text; none if the directory is missing.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// Name of an incarnation's directory.
pub(crate) fn directory_name(number: u64) -> String {
    format!("{number:08}")
}

/// Reads eight or more digits, as numbers are written in names.
pub(crate) fn number_of(text: &str) -> Option<u64> {
    let well = text.len() >= 8 && text.bytes().all(|b| b.is_ascii_digit());
    well.then(|| text.parse().ok())
        .flatten()
        .filter(|number| directory_name(*number) == text)
}

#[cfg(test)]
mod tests;
