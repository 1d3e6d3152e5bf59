//! Root is for binding sockets and preparing the data directory; after that `sluice up` runs as somebody harmless.
//!
//! Whether the other user can work here is not calculated from modes but tried: on a thread that has become that user.
//! A user that was named must be able to; the one that is taken by default gives way, with a warning, so that a first
//! start as root in a home directory works.

#![allow(unsafe_code, reason = "becoming another user has no safe form")]

use std::ffi::{CStr, CString};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::instance::Instance;
use crate::process;

/// Taken by default if there is one.
const OWN_NAME: &str = "sluice";
/// Taken by default else: `nobody` on every Linux, with or without a line in `/etc/passwd`.
const NOBODY: u32 = 65_534;
/// Room for a line of the user database.
const PASSWD_BYTES_MAX: usize = 64 << 10;
/// More groups than anybody is in.
const GROUPS_MAX: usize = 4_096;

/// Somebody to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

/// A line of the user database.
struct Entry {
    name: CString,
    uid: libc::uid_t,
    gid: libc::gid_t,
}

impl User {
    /// Reads `NAME`, `UID` or `UID:GID`.
    fn find(text: &str) -> Result<Self> {
        let unknown = || format!("there is no user {text:?}");
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n != u32::MAX);
        if let Some((uid, gid)) = text.split_once(':') {
            let (Some(uid), Some(gid)) = (number(uid), number(gid)) else {
                bail!("--user wants NAME, UID or UID:GID, not {text:?}");
            };
            let groups = vec![gid];
            return Ok(Self { uid, gid, groups });
        }
        let entry = match number(text) {
            Some(uid) => match by_uid(uid) {
                Some(entry) => entry,
                None => {
                    return Ok(Self {
                        uid,
                        gid: uid,
                        groups: vec![uid],
                    });
                }
            },
            None => CString::new(text)
                .ok()
                .and_then(|name| by_name(&name))
                .with_context(unknown)?,
        };
        Ok(Self {
            uid: entry.uid,
            gid: entry.gid,
            groups: groups_of(&entry),
        })
    }

    /// Whom root becomes if nobody is named.
    fn by_default() -> Self {
        Self::find(OWN_NAME).unwrap_or_else(|_| Self {
            uid: NOBODY,
            gid: NOBODY,
            groups: vec![NOBODY],
        })
    }
}

fn by_name(name: &CStr) -> Option<Entry> {
    // SAFETY: `lookup` hands over an entry, a buffer and where to write the result, all valid for the call.
    lookup(|entry, buffer, bytes, found| unsafe {
        libc::getpwnam_r(name.as_ptr(), entry, buffer, bytes, found)
    })
}

fn by_uid(uid: libc::uid_t) -> Option<Entry> {
    // SAFETY: as above.
    lookup(|entry, buffer, bytes, found| unsafe { libc::getpwuid_r(uid, entry, buffer, bytes, found) })
}

fn lookup(
    ask: impl Fn(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> libc::c_int,
) -> Option<Entry> {
    let mut buffer = vec![0; PASSWD_BYTES_MAX];
    // SAFETY: all-zero bytes are a valid `passwd`, which holds integers and pointers.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let code = ask(&raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found);
    if code != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call has found an entry, so `pw_name` is a C string in `buffer`.
    let name = unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
    Some(Entry {
        name,
        uid: entry.pw_uid,
        gid: entry.pw_gid,
    })
}

fn groups_of(entry: &Entry) -> Vec<libc::gid_t> {
    let mut groups = vec![0; GROUPS_MAX];
    let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the name is a C string; at most `count` groups are written into `groups`.
    let found = unsafe {
        libc::getgrouplist(
            entry.name.as_ptr(),
            entry.gid,
            groups.as_mut_ptr(),
            &raw mut count,
        )
    };
    if found < 0 {
        return vec![entry.gid];
    }
    groups.truncate(usize::try_from(count).unwrap_or(0));
    groups
}

/// Gives up what the process needs no more. Returns a warning where root has to stay.
///
/// `works` says whether the configuration can be used; it is asked again as the other user.
///
/// # Errors
/// A user was named and there is none such, it cannot work here, or changing to it failed.
pub(super) fn settle(
    named: Option<&str>,
    instance: &Instance,
    works: impl Fn() -> Result<()> + Sync,
) -> Result<Option<String>> {
    let warning = become_harmless(named, instance, works)?;
    process::drop_capabilities().context("cannot give up capabilities")?;
    Ok(warning)
}

fn become_harmless(
    named: Option<&str>,
    instance: &Instance,
    works: impl Fn() -> Result<()> + Sync,
) -> Result<Option<String>> {
    let user = named.map(User::find).transpose()?;
    if !process::is_root() {
        return match user {
            Some(user) if user.uid != process::own_uid() => {
                bail!("only root can run as another user: --user needs a start as root")
            }
            _ => Ok(None),
        };
    }
    let asked_for = user.is_some();
    let user = user.unwrap_or_else(User::by_default);
    if user.uid == 0 {
        return Ok(None);
    }
    let fit = fits(&user, instance, asked_for, works);
    match fit {
        Ok(()) => {}
        Err(error) if asked_for => return Err(error.context(format!("cannot run as user {}", user.uid))),
        Err(error) => {
            return Ok(Some(format!(
                "running as root, since user {} cannot work here: {error:#}; remedy: put data and configuration where it \
                 can (--data /var/lib/sluice --config /etc/sluice/sluice.hujson), or name a user who can (--user NAME), or \
                 say --user root",
                user.uid
            )));
        }
    }
    instance.give_to(user.uid, user.gid)?;
    change_process(&user)?;
    Ok(None)
}

/// Whether the user can reach the data directory, start this program, and use the configuration.
fn fits(
    user: &User,
    instance: &Instance,
    asked_for: bool,
    works: impl Fn() -> Result<()> + Sync,
) -> Result<()> {
    let dir = instance.dir();
    if !instance.is_own() {
        bail!(
            "the data directory {} holds other files than Sluice's; give it one of its own",
            dir.display()
        );
    }
    let owner = dir.metadata().context("cannot look at the data directory")?.uid();
    if !asked_for && owner != 0 && owner != user.uid {
        bail!("the data directory {} belongs to user {owner}", dir.display());
    }
    std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            change_thread(user)?;
            std::fs::metadata(dir)
                .with_context(|| format!("it cannot reach the data directory {}", dir.display()))?;
            executable(c"/proc/self/exe").context("it may not execute this program")?;
            works()
        });
        tried.join().unwrap_or_else(|_| bail!("the attempt failed"))
    })
}

fn executable(path: &CStr) -> std::io::Result<()> {
    // SAFETY: the path is a C string.
    check(unsafe { libc::access(path.as_ptr(), libc::X_OK) }.into())
}

/// Changes this thread alone, for trying: the raw system calls know nothing of other threads.
fn change_thread(user: &User) -> Result<()> {
    // SAFETY: the list of groups is valid for the call; the others take integers.
    unsafe {
        check(libc::syscall(
            libc::SYS_setgroups,
            user.groups.len(),
            user.groups.as_ptr(),
        ))?;
        check(libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid))?;
        check(libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid))?;
    }
    Ok(())
}

/// Changes the whole process for good.
fn change_process(user: &User) -> Result<()> {
    process::empty_bounding_set(false);
    // SAFETY: the list of groups is valid for the call; the others take integers.
    let changed = unsafe {
        check(libc::setgroups(user.groups.len(), user.groups.as_ptr()).into())
            .and_then(|()| check(libc::setresgid(user.gid, user.gid, user.gid).into()))
            .and_then(|()| check(libc::setresuid(user.uid, user.uid, user.uid).into()))
    };
    changed.with_context(|| format!("cannot become user {}", user.uid))?;
    // SAFETY: takes integers. Changing the user sets the flag to the system's default, whatever that is.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    // SAFETY: takes an integer; must fail, or nothing was given up.
    if unsafe { libc::setuid(0) } == 0 {
        bail!("root could be had back");
    }
    Ok(())
}

fn check(result: libc::c_long) -> std::io::Result<()> {
    if result == -1 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives a directory and all in it to a user, without following links out of it.
///
/// # Errors
/// What the system says, and where.
pub(super) fn give(path: &Path, uid: u32, gid: u32) -> Result<()> {
    let failed = || format!("cannot give {} to user {uid}", path.display());
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).with_context(failed)?;
    if path.symlink_metadata().with_context(failed)?.is_dir() {
        for entry in std::fs::read_dir(path).with_context(failed)? {
            give(&entry.with_context(failed)?.path(), uid, gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(User::find("0").unwrap(), root);
        let user = User::find("4000000000:7").unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (4_000_000_000, 7, vec![7]));
        let unlisted = User::find("3999999999").unwrap();
        assert_eq!((unlisted.uid, unlisted.gid), (3_999_999_999, 3_999_999_999));
        for wrong in ["", "no such user", "1:", ":1", "a:b", "4294967295:1", "1:2:3"] {
            assert!(User::find(wrong).is_err(), "{wrong}");
        }
        assert_ne!(User::by_default().uid, 0);
    }
}
