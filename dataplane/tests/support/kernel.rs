//! What the standard library does not say or do about sockets.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::{fs, io, mem, ptr};

use super::wait_until;

/// Ends a connection with a reset, even while another thread reads it.
pub fn reset(stream: &TcpStream) {
    // SAFETY: all zeros is a valid address of the unspecified family, which dissolves the association.
    let status = unsafe {
        let address: libc::sockaddr = mem::zeroed();
        libc::connect(
            stream.as_raw_fd(),
            &raw const address,
            libc::socklen_t::try_from(size_of_val(&address)).unwrap(),
        )
    };
    // A connection that the peer has ended meanwhile is as good as reset.
    let _ = status;
}

/// Fixes the size of a socket's receive buffer, which else grows as it is read.
pub fn receive_buffer(stream: &TcpStream, bytes: i32) {
    // SAFETY: the pointer and the size describe `bytes`.
    let status = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw const bytes).cast(),
            libc::socklen_t::try_from(size_of_val(&bytes)).unwrap(),
        )
    };
    assert_eq!(status, 0);
}

/// Waits until the process at `server` has read everything that `client` sent.
pub fn wait_all_read(client: SocketAddr, server: SocketAddr) {
    wait_until("what was sent is read", || {
        // A connection that is gone reads nothing more.
        socket(server, client).is_none_or(|(accepted, unread)| accepted && unread == 0)
    });
}

/// Waits until something lies unread in the socket at `local`.
pub fn wait_unread(local: SocketAddr, remote: SocketAddr) {
    wait_until("what was sent arrives", || {
        socket(local, remote).is_none_or(|(_, unread)| unread > 0)
    });
}

/// Whether a process owns this socket, and how many bytes lie unread in it; `None` if there is none.
fn socket(local: SocketAddr, remote: SocketAddr) -> Option<(bool, u64)> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let (local, remote) = (hex(local), hex(remote));
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.get(1..3)? != [local.as_str(), remote.as_str()] {
            return None;
        }
        let (_, unread) = words[4].split_once(':')?;
        Some((words[9] != "0", u64::from_str_radix(unread, 16).unwrap()))
    })
}

fn hex(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else {
        panic!("the tests use IPv4");
    };
    format!(
        "{:08X}:{:04X}",
        u32::from_ne_bytes(address.ip().octets()),
        address.port()
    )
}

/// A memory file with these bytes that can never change again.
pub fn sealed_memory_file(bytes: &[u8]) -> OwnedFd {
    // SAFETY: the name is a C string; the descriptor is new and owned by nobody else.
    let file = unsafe {
        let fd = libc::memfd_create(c"snapshot".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    io::Write::write_all(&mut fs::File::from(file.try_clone().unwrap()), bytes).unwrap();
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: integers only.
    let status = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    assert_eq!(status, 0);
    file
}

/// Sends bytes with a descriptor beside them.
pub fn send_with_descriptor(stream: &UnixStream, bytes: &[u8], file: &OwnedFd) -> io::Result<()> {
    let mut control = [0u64; 4];
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the message names buffers that live for the call, with their true lengths; the control buffer is
    // aligned and large enough for one descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast::<i32>(), file.as_raw_fd());
        libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    match usize::try_from(sent) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
