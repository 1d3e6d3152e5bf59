//! The Unix socket as the link needs it: connecting without waiting, whose socket it is, bytes with descriptors.
#![allow(
    unsafe_code,
    reason = "peer credentials and passed descriptors have no safe interface"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "constants and sizes of structs of the system's interface"
)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Descriptors taken with one read at most; a control plane sends one.
const DESCRIPTORS_MAX: usize = 4;
/// Room for them, as `CMSG_SPACE` counts on 64-bit systems, in words that are aligned for a `cmsghdr`.
const CONTROL_WORDS: usize = 8;

/// Connects to a socket file; an error instead of waiting if its queue is full.
pub(super) fn connect(path: &Path) -> io::Result<OwnedFd> {
    // SAFETY: all zeros is a valid `sockaddr_un`.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    // One byte stays 0, the end of the name.
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let what = "the data directory's path is too long for a Unix socket";
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, what));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain system call.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is a whole `sockaddr_un` of that length.
    let connected = unsafe { libc::connect(fd, (&raw const address).cast(), length) };
    if connected == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// User of the process that listens at the other end.
pub(super) fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into a struct of that size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(credentials.uid)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Our own user.
pub(super) fn own_uid() -> u32 {
    // SAFETY: never fails.
    unsafe { libc::geteuid() }
}

/// Reads what is there, and the descriptors that came with it; 0 bytes is the end.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zeros is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: the message names buffers of ours that live for the call, with their true lengths.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let mut count = 0;
    // SAFETY: the kernel has filled `message` and `control`; the macros stay inside `msg_controllen`.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                let bytes = (*header).cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                for index in 0..bytes / size_of::<RawFd>() {
                    // Each is ours from here on, whatever is done with it.
                    descriptors.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                    count += 1;
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 || count > DESCRIPTORS_MAX {
        let what = "more descriptors than any frame carries";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(received)
}

/// Sends what fits, without waiting and without a signal if nobody listens any more.
pub(super) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: a buffer of ours with its true length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Waits until the bell or the socket has something, or the time is over.
pub(super) fn wait(
    bell: BorrowedFd<'_>,
    socket: Option<(BorrowedFd<'_>, bool)>,
    timeout_ms: i32,
) -> io::Result<()> {
    let entry = |fd: RawFd, events| libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    let watched = match socket {
        Some((fd, true)) => entry(fd.as_raw_fd(), libc::POLLIN | libc::POLLOUT),
        Some((fd, false)) => entry(fd.as_raw_fd(), libc::POLLIN),
        // A negative descriptor is skipped.
        None => entry(-1, 0),
    };
    let mut entries = [entry(bell.as_raw_fd(), libc::POLLIN), watched];
    // SAFETY: two valid entries that live for the call.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), 2, timeout_ms) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Seals of a memory file.
pub(super) fn seals(file: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: plain system call.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    if seals < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(seals)
}
