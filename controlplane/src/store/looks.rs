//! Connections that read beside the one that writes, for questions that may take a moment: a few, so that who asks much
//! waits for himself, and each is used by one question at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::StoreError;

/// Questions that are answered at a time.
const CONNECTIONS_MAX: usize = 4;
/// Pages that a connection keeps, in KiB.
const CACHE_KIB: i64 = 8 << 10;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 64;

/// Connections to one file.
pub(super) struct Looks {
    path: PathBuf,
    flags: OpenFlags,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Looks {
    /// Connections to a file that somebody writes here (`own`) or elsewhere.
    pub(super) fn new(path: &Path, own: bool) -> Arc<Self> {
        let access = if own {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        } else {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        };
        Arc::new(Self {
            path: path.to_owned(),
            flags: access | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }

    /// Looks something up on a thread that may wait.
    pub(super) async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Never closed.
        let permit = self.permits.clone().acquire_owned().await;
        let looks = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            // Held until the answer is there, whether or not somebody still waits for it.
            let _permit = permit;
            let connection = looks.take()?;
            let found = look(&connection);
            looks.idle().push(connection);
            found
        });
        looked
            .await
            .unwrap_or_else(|_| Err(StoreError::Column("(the query ended early)")))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open_with_flags(&self.path, self.flags)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "query_only", "on")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }
}
