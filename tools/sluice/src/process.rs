//! What a process of ours takes away from itself: core dumps, the eyes of its neighbours, privileges.

#![allow(unsafe_code, reason = "none of these calls has a safe form")]

/// `CAP_DAC_OVERRIDE`: to read and write files whoever owns them.
const DAC_OVERRIDE: u32 = 1;
/// Version 3 of the kernel's capability sets: two words each.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// More than any kernel knows.
const CAPABILITIES_MAX: libc::c_ulong = 63;

/// Names the process for `ps` and closes it: no core dump, no ptrace and no look into `/proc/PID/{environ,mem,fd}` by other
/// processes of the same user, no privilege by running another program, files for their owner only. To be called
/// before the first thread starts, since threads have their own.
pub(crate) fn harden(name: &str) {
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    let no_core = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: PR_SET_NAME reads up to 16 bytes, of which the last is 0; `setrlimit` reads one struct; the others take
    // integers.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, bytes.as_ptr());
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
        libc::umask(0o077);
    }
}

/// Whether the process runs as root.
pub(crate) fn is_root() -> bool {
    own_uid() == 0
}

/// The process's user.
pub(crate) fn own_uid() -> u32 {
    // SAFETY: never fails.
    unsafe { libc::geteuid() }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWords {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives every capability up, for this thread and all it starts. Root, where it stays root, keeps the one for reading
/// and writing files: those of the data directory may be another user's.
///
/// # Errors
/// What the kernel says; taking away is always allowed.
pub(crate) fn drop_capabilities() -> std::io::Result<()> {
    let kept = if is_root() { 1 << DAC_OVERRIDE } else { 0 };
    let header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let words = [
        CapabilityWords {
            effective: kept,
            permitted: kept,
            inheritable: 0,
        },
        CapabilityWords::default(),
    ];
    empty_bounding_set(kept != 0);
    // Only what is there can be kept.
    let mut held = [CapabilityWords::default(); 2];
    // SAFETY: `prctl` takes integers here. `capget` writes two sets and `capset` reads two, as version 3 says; header and
    // sets live for the calls.
    unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if libc::syscall(libc::SYS_capget, &raw const header, held.as_mut_ptr()) == -1 {
            return Err(std::io::Error::last_os_error());
        }
        let mut words = words;
        for (word, held) in words.iter_mut().zip(held) {
            word.effective &= held.permitted;
            word.permitted &= held.permitted;
        }
        if libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) == -1 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Empties the set of capabilities that could ever be had again; one may stay. Only root can, so it comes before root is
/// given up; for others nothing comes back anyway, because of `PR_SET_NO_NEW_PRIVS`.
pub(crate) fn empty_bounding_set(keep_files: bool) {
    for capability in 0..=CAPABILITIES_MAX {
        if !keep_files || u32::try_from(capability) != Ok(DAC_OVERRIDE) {
            // SAFETY: takes integers.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
    }
}
