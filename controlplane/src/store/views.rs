//! Connections for questions whose answers are added up from many rows: these go through the statement's rows where they
//! are, on a thread that may wait. A few at a time; each sees one moment of the file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::StoreError;

/// Questions that are answered at a time; the others wait.
const AT_A_TIME: usize = 3;
/// Cache of a connection, in KiB.
const CACHE_KIB: i64 = 8 << 10;

/// The connections.
pub(super) struct Views {
    path: PathBuf,
    permits: Semaphore,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Views {
    /// For the store in a file, which is opened when somebody asks.
    pub(super) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            permits: Semaphore::new(AT_A_TIME),
            idle: Arc::default(),
        }
    }

    /// Answers a question.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let early = || StoreError::Column("(the query ended early)");
        let _permit = self.permits.acquire().await.map_err(|_| early())?;
        let idle = self.idle.clone();
        let path = self.path.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match free {
                Some(connection) => connection,
                None => open(&path)?,
            };
            let answer = {
                let view = connection.unchecked_transaction()?;
                question(&view)?
            };
            // A connection whose question failed is closed.
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            Ok(answer)
        });
        answered.await.unwrap_or_else(|_| Err(early()))
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "query_only", "on")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}
