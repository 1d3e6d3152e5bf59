//! The few system calls that neither the standard library nor tokio wraps: sealed memory files, passing a descriptor
//! over a Unix socket. Everything unsafe of this crate is here.

#![allow(unsafe_code, reason = "system calls without a safe wrapper in std or tokio")]

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};

/// Makes a memory file with these bytes that nobody, not even we, can change, grow or shrink.
pub(crate) fn sealed_memory(name: &std::ffi::CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a valid C string for the duration of the call; the call keeps no pointer.
    let raw = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us, nobody else owns it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    file.write_all(bytes)?;
    // The receiver shares our file position: a plain read must begin at the start.
    file.rewind()?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: the descriptor is open; F_ADD_SEALS takes an integer and no pointer.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

/// Sends `bytes` and, with their first byte, a descriptor. Returns how many bytes went out; the descriptor went with
/// them if that is at least one. Does not block on a non-blocking socket.
pub(crate) fn send_with_descriptor(socket: RawFd, bytes: &[u8], descriptor: RawFd) -> io::Result<usize> {
    // A control message must be aligned as its header is; u64 is enough on every target.
    let mut control = [0u64; 8];
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let length = u32::try_from(size_of::<RawFd>()).unwrap_or(u32::MAX);
    // SAFETY: all-zero bytes are a valid `msghdr`, which holds integers and pointers only.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE is arithmetic on its argument.
    let space = unsafe { libc::CMSG_SPACE(length) };
    debug_assert!(space as usize <= size_of_val(&control), "one descriptor fits");
    message.msg_controllen = space as _;
    // SAFETY: `msg_control` points to `control`, which is large enough for one header with one descriptor and aligned
    // for it, so CMSG_FIRSTHDR is not null and CMSG_DATA lies inside `control`.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(length) as _;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(descriptor);
    }
    // SAFETY: `message` points to `part` and `control`, which outlive the call; the kernel only reads them.
    let sent = unsafe {
        libc::sendmsg(
            socket,
            &raw const message,
            libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Whose process this is.
pub(crate) fn own_uid() -> u32 {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// Receives bytes and a descriptor that came with them.
#[cfg(test)]
pub(crate) fn receive_with_descriptor(
    socket: RawFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = [0u64; 8];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all-zero bytes are a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `message` points to `part` and `control`, which outlive the call.
    let received = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled `control` as `msg_controllen` says; a null header means that nothing came.
    let descriptor = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            None
        } else {
            Some(OwnedFd::from_raw_fd(
                libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned(),
            ))
        }
    };
    Ok((received, descriptor))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn sealed_memory_cannot_be_changed() {
        let file = File::from(sealed_memory(c"test", b"abc").unwrap());
        let mut text = String::new();
        (&file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(1).is_err());
        assert!(file.set_len(9).is_err());
    }
}
