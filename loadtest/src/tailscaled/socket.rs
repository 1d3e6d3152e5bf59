//! The daemon behind a Unix socket that goes away and comes back.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::Tailscaled;

/// A Unix socket on which a daemon is served; gone when it is dropped.
pub struct Socket {
    daemon: Tailscaled,
    path: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

impl Socket {
    /// Serves the daemon at `path`.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn bind(daemon: &Tailscaled, path: &Path) -> io::Result<Self> {
        let mut socket = Self {
            daemon: daemon.clone(),
            path: path.to_owned(),
            accepting: None,
        };
        socket.up()?;
        Ok(socket)
    }

    /// The daemon is gone, and its socket with it.
    pub fn down(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.daemon.stop();
        // It may have been removed by hand.
        let _ = std::fs::remove_file(&self.path);
    }

    /// It is back.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn up(&mut self) -> io::Result<()> {
        let listener = UnixListener::bind(&self.path)?;
        // As the daemon's: everybody may connect, the peer's credentials decide the rest.
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o666))?;
        self.daemon.start();
        let daemon = self.daemon.clone();
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let daemon = daemon.clone();
                tokio::spawn(async move { daemon.attend(stream).await });
            }
        }));
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.down();
    }
}
