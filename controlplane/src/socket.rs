//! Unix sockets of the data directory: private, replaced when stale, and only our own user (or root) is heard.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use crate::{files, sys};

/// A listening socket whose peers are checked by the kernel's credentials.
#[derive(Debug)]
pub(crate) struct OwnListener {
    listener: UnixListener,
    path: PathBuf,
}

impl OwnListener {
    /// Listens at `path`. Whatever stands there is stale: the caller holds the lock of the data directory.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        // Bound under another name first, so that nobody can connect before the permissions are set.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let fresh = path.with_file_name(name);
        files::remove(&fresh)?;
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// The next peer that may talk to us; others are closed at once.
    pub(crate) async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == sys::own_uid() || peer.uid() == 0 => return stream,
                    Ok(peer) => {
                        tracing::warn!(socket = %self.path.display(), uid = peer.uid(), "peer of another user refused");
                    }
                    Err(error) => {
                        tracing::warn!(socket = %self.path.display(), %error, "peer without credentials refused");
                    }
                },
                Err(error) => {
                    tracing::warn!(socket = %self.path.display(), %error, "accept failed");
                    // Out of descriptors: trying again at once would spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}
