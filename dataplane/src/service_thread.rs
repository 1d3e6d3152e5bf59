//! Threads that serve the shards.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

/// Starts a thread without which the data plane cannot work. If it panics, the process ends: a data plane whose
/// journal or names are silently dead is worse than one that its supervisor restarts.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.into()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            let thread = std::thread::current();
            tracing::error!(
                thread = thread.name(),
                "service thread panicked, the process ends"
            );
            std::process::abort();
        }
    })
}
