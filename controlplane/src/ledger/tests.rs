//! The ledger as data planes see it.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::store::Sqlite;

/// A store in a folder, opened from wherever.
pub(crate) fn store(folder: &Path) -> Arc<dyn Store> {
    let folder = folder.to_owned();
    let opened = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(Sqlite::open(&folder)).unwrap()
    });
    Arc::new(opened.join().unwrap())
}

/// A ledger without quotas.
pub(crate) fn empty(folder: &Path) -> Arc<Ledger> {
    Ledger::new(store(folder), Clock::start(), &[])
}

/// A clock that stands, and what moves it.
pub(crate) fn clock(at: u64) -> (Clock, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(at));
    (Clock::Set(time.clone()), time)
}
