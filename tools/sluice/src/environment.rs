//! The environment: taken at the start, kept where no other process can read it, handed on without being shown.
//!
//! Provider keys come in variables, and `/proc/PID/environ` shows what a process was started with for as long as it
//! lives. So [`take`] moves everything into a sealed memory file and overwrites the values in the original block, all but
//! the few that this program itself reads. The control plane, which resolves `${env:NAME}`, inherits the file, not the
//! variables; the data plane and the mock provider get neither.

#![allow(
    unsafe_code,
    reason = "the block that the kernel shows is written to by its address; memory files and inherited descriptors have no safe form"
)]

use std::collections::HashMap;
use std::ffi::{CStr, OsString, c_char};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use zeroize::Zeroizing;

/// Names the descriptor of the memory file for a child that may see the environment.
pub(crate) const HANDED_OVER: &str = "SLUICE_ENVIRONMENT";
/// Names the listening sockets that a child inherits.
pub(crate) const LISTEN_FDS: &str = "SLUICE_LISTEN_FDS";
/// Largest environment that is taken over from a parent, in bytes; the kernel's own limit is below that.
const BYTES_MAX: u64 = 16 << 20;

/// Variables that every child gets. All others stay behind, provider keys first of all: the data plane learns keys
/// from the sealed snapshot and nowhere else.
const HARMLESS: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LLVM_PROFILE_FILE",
    "MONOIO_FORCE_LEGACY_DRIVER",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "SLUICE_BARE",
    "SLUICE_LOG",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "TZ",
];

/// Variables beside those that this program itself reads; none may hold a secret.
const SETTINGS: &[&str] = &[
    "COLUMNS",
    "NO_COLOR",
    "SLUICE_CONFIG",
    "SLUICE_DATA",
    "SLUICE_DRAIN",
    HANDED_OVER,
    "SLUICE_LISTEN",
    LISTEN_FDS,
    "SLUICE_LOG_FORMAT",
    "SLUICE_MOCK",
    "SLUICE_SHARDS",
    "SLUICE_USER",
];

/// Everything that was in the environment, `NAME=VALUE` with a zero byte behind each.
#[derive(Debug)]
enum Taken {
    Sealed(OwnedFd),
    /// Where no memory file can be made.
    Memory(Zeroizing<Vec<u8>>),
}

static TAKEN: OnceLock<Taken> = OnceLock::new();

unsafe extern "C" {
    /// The variables as the C library and the standard library see them.
    static environ: *const *mut c_char;
}

fn stays(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| HARMLESS.contains(&name) || SETTINGS.contains(&name))
}

/// Takes the environment. The first thing in `main`: no other thread may run, nobody may have read a variable.
pub(crate) fn take() {
    let mut all = Zeroizing::new(Vec::new());
    let mut removed: Vec<OsString> = Vec::new();
    // SAFETY: `environ` is null or a null-terminated array of C strings. No other thread runs, so nobody changes it or
    // holds a reference into it. The strings lie in this process's own stack segment (or heap, had a library set one)
    // and are writable; only bytes between `=` and the final zero are written, so each stays a C string.
    unsafe {
        let mut at = environ;
        let mut bytes = 0;
        while !at.is_null() && !(*at).is_null() {
            bytes += CStr::from_ptr(*at).to_bytes_with_nul().len();
            at = at.add(1);
        }
        // Once and large enough: growing would leave copies behind.
        all.reserve_exact(bytes);
        at = environ;
        while !at.is_null() && !(*at).is_null() {
            let entry = CStr::from_ptr(*at).to_bytes_with_nul();
            all.extend_from_slice(entry);
            if let Some(equals) = memchr::memchr(b'=', entry)
                && let Some((name, value)) = entry.split_at_checked(equals)
                && !name.is_empty()
                && !stays(name)
            {
                use std::os::unix::ffi::OsStringExt as _;
                removed.push(OsString::from_vec(name.to_vec()));
                let (from, count) = (equals + 1, value.len().saturating_sub(2));
                std::ptr::write_bytes((*at).add(from), 0, count);
            }
            at = at.add(1);
        }
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
        for name in removed {
            // What is gone must look gone, not empty.
            std::env::remove_var(name);
        }
    }
    let handed_over = std::env::var(HANDED_OVER).ok().and_then(|text| inherit(&text));
    let taken = match handed_over {
        Some(file) => Taken::Sealed(file),
        None => seal(&all).map_or_else(|_| Taken::Memory(all), Taken::Sealed),
    };
    // A second call finds nothing that the first has left.
    TAKEN.set(taken).ok();
}

/// A memory file that nobody can change.
fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string; the call keeps no pointer.
    let raw = unsafe {
        libc::memfd_create(
            c"sluice-environment".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        )
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us, nobody else owns it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: the descriptor is open; F_ADD_SEALS takes an integer.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

/// Takes over the memory file of a parent; nothing else has these seals. No further process inherits it.
fn inherit(text: &str) -> Option<OwnedFd> {
    let fd: RawFd = text.parse().ok().filter(|fd| *fd > 2)?;
    let wanted = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK;
    // SAFETY: both take integers; a number that is no descriptor is an error, not a fault.
    let (seals, marked) = unsafe {
        (
            libc::fcntl(fd, libc::F_GET_SEALS),
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC),
        )
    };
    if seals < 0 || seals & wanted != wanted || marked < 0 {
        return None;
    }
    // SAFETY: the descriptor is open (just checked) and was handed over by the parent for nobody but us.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The memory file, for a child that may see everything.
pub(crate) fn memory_file() -> Option<BorrowedFd<'static>> {
    match TAKEN.get()? {
        Taken::Sealed(file) => Some(file.as_fd()),
        Taken::Memory(_) => None,
    }
}

/// The harmless part of this process's environment.
pub(crate) fn harmless() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| HARMLESS.contains(&name)))
        .collect()
}

/// The whole environment, as configurations may refer to it; what is not UTF-8 cannot be referred to. Read anew at each
/// call, so that no copy stays behind.
pub(crate) fn readable() -> HashMap<String, String> {
    match TAKEN.get() {
        Some(Taken::Sealed(file)) => {
            contents(file.as_fd()).map_or_else(|_| HashMap::new(), |all| parse(&all))
        }
        Some(Taken::Memory(all)) => parse(all),
        None => HashMap::new(),
    }
}

fn contents(file: BorrowedFd<'_>) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::from(file.try_clone_to_owned()?);
    let bytes = file.metadata()?.len();
    if bytes > BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut all = Zeroizing::new(vec![0; usize::try_from(bytes).unwrap_or_default()]);
    file.read_exact_at(&mut all, 0)?;
    Ok(all)
}

fn parse(all: &[u8]) -> HashMap<String, String> {
    all.split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_lists_are_sorted_and_name_no_secret() {
        assert!(HARMLESS.is_sorted());
        assert!(SETTINGS.is_sorted());
        for name in HARMLESS.iter().chain(SETTINGS) {
            assert!(
                !["KEY", "TOKEN", "SECRET", "PASSWORD"]
                    .iter()
                    .any(|word| name.contains(word)),
                "{name}"
            );
        }
        assert!(
            harmless()
                .iter()
                .all(|(name, _)| HARMLESS.contains(&name.to_str().unwrap()))
        );
    }

    #[test]
    fn every_option_finds_its_variable_after_the_environment_was_taken() {
        let program = crate::cli::Cli::command();
        let mut commands = vec![&program];
        commands.extend(program.get_subcommands());
        commands.extend(program.get_subcommands().flat_map(clap::Command::get_subcommands));
        for argument in commands.iter().flat_map(|command| command.get_arguments()) {
            if let Some(name) = argument.get_env() {
                assert!(stays(name.as_encoded_bytes()), "{name:?} is not in SETTINGS");
            }
        }
    }

    #[test]
    fn a_memory_file_gives_back_what_was_sealed_and_cannot_be_changed() {
        let file = seal(b"A=1\0B=x=y\0NOTHING\0C=\0D=\xff\0").unwrap();
        let read = parse(&contents(file.as_fd()).unwrap());
        let mut read: Vec<_> = read.into_iter().collect();
        read.sort();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read, [pair("A", "1"), pair("B", "x=y"), pair("C", "")]);
        assert!(File::from(file).write_at(b"x", 0).is_err());
    }

    #[test]
    fn only_a_sealed_memory_file_is_taken_over() {
        use std::os::fd::IntoRawFd as _;
        let file = seal(b"A=1\0").unwrap();
        let fd = file.into_raw_fd();
        assert!(inherit(&fd.to_string()).is_some());
        let plain = tempfile::tempfile().unwrap();
        assert!(inherit(&plain.as_raw_fd().to_string()).is_none());
        for wrong in ["", "-1", "0", "2", "99999", "x"] {
            assert!(inherit(wrong).is_none(), "{wrong}");
        }
    }
}
