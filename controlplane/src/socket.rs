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
                    Ok(peer) if is_trusted(peer.uid(), sys::own_uid()) => return stream,
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

/// Our own user, and root, who could do everything anyway.
const fn is_trusted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn only_our_own_user_and_root_are_heard() {
        let check = |peer, own, expected| assert_eq!(is_trusted(peer, own), expected, "{peer} at {own}");
        check(1000, 1000, true);
        check(0, 1000, true);
        check(1001, 1000, false);
        check(1000, 0, false);
        check(u32::MAX, 1000, false);
    }

    /// Red if a process of another user gets a word out of a socket of ours, even where the file's mode lets it connect.
    #[tokio::test]
    #[allow(clippy::print_stdout, reason = "says that it skips")]
    async fn a_peer_of_another_user_is_shut_out() {
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            println!("skipped: only root can become another user");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(folder.path(), 0o755);
        let path = folder.path().join("x.sock");
        let listener = OwnListener::bind(&path).unwrap();
        open(&path, 0o666);
        let stranger = std::thread::spawn(move || {
            become_nobody();
            let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
            let _ = stream.write_all(b"hello");
            let mut answer = Vec::new();
            // Closed or reset, never answered.
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        let heard = tokio::task::spawn_blocking(move || stranger.join().unwrap());
        tokio::select! {
            _ = listener.accept() => panic!("a stranger was let in"),
            heard = heard => assert_eq!(heard.unwrap(), b""),
        }
    }

    /// Changes the user of this thread alone; libraries do it for all threads, the call itself does not.
    #[allow(unsafe_code, reason = "the user of one thread has no safe form")]
    fn become_nobody() {
        // SAFETY: integer arguments only; the thread ends with the test that started it.
        let status = unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
        assert_eq!(status, 0);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        drop(OwnListener::bind(&path).unwrap());
        let listener = OwnListener::bind(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let (ours, theirs) = tokio::join!(listener.accept(), UnixStream::connect(&path));
        assert!(theirs.is_ok());
        drop(ours);
        std::fs::write(folder.path().join("y.sock"), "not a socket").unwrap();
        assert!(OwnListener::bind(&folder.path().join("y.sock")).is_ok());
    }
}
