//! The control link against a control plane of the test's own, over a real socket.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]

use std::collections::VecDeque;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_dataplane::clock::mono_now;
use sluice_dataplane::control_link::{ControlLink, ControlLinkOptions};
use sluice_dataplane::identity::{IdentityAnswer, IdentityClient, Key};
use sluice_dataplane::mailbox::{MailboxReceiver, ShardMessage, mailbox};
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Limits, Snapshot, seal};
use sluice_shared::wire::control::{self, HEADER_BYTES, Header, Principal, ToControl, ToData, Whom};

const CHILD: &str = "SLUICE_CONTROL_TEST_CHILD";
const PATIENCE: Duration = Duration::from_secs(20);
const ALICE: [u8; 16] = [1; 16];

/// A link with its shards, and the directory where a control plane may listen.
struct Fixture {
    data: tempfile::TempDir,
    link: ControlLink,
    shards: Vec<(MailboxReceiver, VecDeque<ShardMessage>)>,
}

impl Fixture {
    fn start(data: tempfile::TempDir, cold_start_ms: u64) -> Self {
        let (mailboxes, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mailbox(64).unwrap()).unzip();
        let link = ControlLink::start(ControlLinkOptions {
            data_dir: data.path().to_owned(),
            incarnation: 7,
            mailboxes,
            cold_start_ms,
            captures: None,
        })
        .unwrap();
        let shards = receivers.into_iter().map(|r| (r, VecDeque::new())).collect();
        Self { data, link, shards }
    }

    fn client(&self, shard: usize) -> IdentityClient {
        self.link.identity(shard).unwrap()
    }

    fn listen(&self) -> UnixListener {
        let path = self.data.path().join("control.sock");
        let _ = fs::remove_file(&path);
        UnixListener::bind(path).unwrap()
    }

    /// The next message for a shard, waited for as a shard waits.
    fn next(&mut self, shard: usize) -> ShardMessage {
        let (receiver, waiting) = &mut self.shards[shard];
        let start = Instant::now();
        loop {
            if let Some(message) = waiting.pop_front() {
                return message;
            }
            assert!(start.elapsed() < PATIENCE, "no message came");
            readable(receiver.wake_fd().as_raw_fd(), 1_000);
            receiver.wakened();
            waiting.extend(std::iter::from_fn(|| receiver.next()));
        }
    }

    /// The next message must be the answer to this ticket.
    fn answer(&mut self, shard: usize, ticket: u64) -> IdentityAnswer {
        match self.next(shard) {
            ShardMessage::Identity {
                ticket: t, answer, ..
            } if t == ticket => answer,
            other => panic!("{other:?}"),
        }
    }

    fn epoch(&self) -> Option<u64> {
        let snapshot = self.link.snapshot();
        let snapshot = snapshot.load();
        snapshot.as_ref().map(|s| s.snapshot().epoch.0.to_native())
    }
}

#[allow(unsafe_code, reason = "the test waits as a runtime would")]
fn readable(fd: i32, timeout_ms: i32) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid entry that lives for the call.
    unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
}

/// The control plane's end of a connection.
struct Plane(UnixStream);

impl Plane {
    fn accept(listener: &UnixListener) -> Self {
        readable(listener.as_raw_fd(), 20_000);
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = listener.accept().expect("the link connects");
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn hear(&mut self) -> ToControl {
        let mut head = [0; HEADER_BYTES];
        self.0.read_exact(&mut head).unwrap();
        let header = Header::parse(&head).unwrap();
        let mut payload = vec![0; header.payload_bytes];
        self.0.read_exact(&mut payload).unwrap();
        header.to_control(&payload).unwrap()
    }

    /// The first frame of a connection: the epoch it tells.
    fn hello(&mut self) -> u64 {
        match self.hear() {
            ToControl::Hello {
                incarnation: 7,
                epoch,
                ..
            } => epoch.0,
            other => panic!("{other:?}"),
        }
    }

    /// The next question: its ticket and the port asked for.
    fn question(&mut self) -> (u64, u16) {
        match self.hear() {
            ToControl::WhoIs { ticket, port, .. } => (ticket, port),
            other => panic!("{other:?}"),
        }
    }

    fn say(&mut self, frame: &ToData) {
        self.0.write_all(&frame.encode().unwrap()).unwrap();
    }

    fn answer(&mut self, ticket: u64, login: &str, whole_address: bool, age_ms_max: u64) {
        let principal = Principal {
            login: login.into(),
            ..Principal::default()
        };
        self.say(&ToData::Identity {
            ticket,
            answer: control::IdentityAnswer::Known {
                principal,
                whole_address,
                age_ms_max,
            },
        });
    }

    fn send_snapshot(&mut self, epoch: u64, bytes: &[u8], seals: i32) {
        let frame = ToData::Snapshot {
            epoch: Epoch(epoch),
            bytes: bytes.len() as u64,
        };
        self.pass(&frame.encode().unwrap(), &[memory_file(bytes, seals)]);
    }

    /// Ends the connection as seen by the link: everything it sends is read until the end.
    fn ends(mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
    }

    #[allow(unsafe_code, reason = "passing descriptors has no safe interface")]
    fn pass(&mut self, bytes: &[u8], files: &[File]) {
        let mut control = [0u64; 16];
        let mut vector = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        let length = u32::try_from(files.len() * 4).unwrap();
        // SAFETY: `control` is aligned and large enough for 16 descriptors; all buffers live for the call.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut vector;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as usize;
            for (index, file) in files.iter().enumerate() {
                libc::CMSG_DATA(header)
                    .cast::<i32>()
                    .add(index)
                    .write_unaligned(file.as_raw_fd());
            }
            let sent = libc::sendmsg(self.0.as_raw_fd(), &raw const message, 0);
            assert_eq!(usize::try_from(sent), Ok(bytes.len()));
        }
    }
}

const SEALED: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;

#[allow(unsafe_code, reason = "memory files have no safe interface")]
fn memory_file(bytes: &[u8], seals: i32) -> File {
    // SAFETY: the name ends in NUL; the descriptor is new and owned by nobody else.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"snapshot".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        assert!(fd >= 0);
        File::from_raw_fd(fd)
    };
    file.write_all(bytes).unwrap();
    // SAFETY: plain system call.
    let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    assert_eq!(sealed, 0);
    file
}

fn peer(address: [u8; 16], port: u16) -> Key {
    Key::Peer { address, port }
}

fn snapshot(epoch: u64, identity_ms: u64) -> Vec<u8> {
    let snapshot = Snapshot {
        epoch: Epoch(epoch),
        limits: Limits {
            identity_ms,
            ..Limits::default()
        },
        ..Snapshot::default()
    };
    seal(&snapshot).unwrap().to_vec()
}

fn applied(epoch: u64) -> ToControl {
    ToControl::SnapshotApplied { epoch: Epoch(epoch) }
}

fn refused(frame: ToControl) -> (u64, String) {
    match frame {
        ToControl::SnapshotRefused { epoch, reason } => (epoch.0, reason),
        other => panic!("{other:?}"),
    }
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::yield_now();
    }
}

const NEVER_COLD: u64 = 3_600_000;

#[test]
fn a_snapshot_reaches_the_cell_and_every_shard_and_only_newer_ones_follow() {
    let mut fixture = Fixture::start(tempfile::tempdir().unwrap(), NEVER_COLD);
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    assert_eq!(plane.hello(), 0);
    plane.send_snapshot(5, &snapshot(5, 500), SEALED);
    assert_eq!(plane.hear(), applied(5));
    assert_eq!(fixture.epoch(), Some(5));
    for shard in 0..2 {
        let ShardMessage::Snapshot(sealed) = fixture.next(shard) else {
            panic!("a snapshot comes first")
        };
        assert_eq!(sealed.snapshot().epoch.0.to_native(), 5);
    }
    assert!(fixture.link.first_snapshot(Duration::ZERO).is_some());
    plane.send_snapshot(4, &snapshot(4, 500), SEALED);
    let (epoch, reason) = refused(plane.hear());
    assert!(epoch == 4 && reason.contains("older"), "{reason}");
    plane.send_snapshot(5, &snapshot(5, 500), SEALED);
    assert_eq!(plane.hear(), applied(5), "what is in use is as good as applied");
    plane.send_snapshot(6, &snapshot(6, 500), SEALED);
    assert_eq!(plane.hear(), applied(6));
    let ShardMessage::Snapshot(sealed) = fixture.next(0) else {
        panic!("the shard hears of the new one only")
    };
    assert_eq!(sealed.snapshot().epoch.0.to_native(), 6);
    let status = fixture.link.status_reader()();
    assert_eq!(
        (status.connected, status.epoch, status.snapshots_refused),
        (true, Epoch(6), 1)
    );
}

#[test]
fn what_is_not_sealed_whole_or_true_is_refused_and_the_old_one_stays() {
    let fixture = Fixture::start(tempfile::tempdir().unwrap(), NEVER_COLD);
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    plane.hello();
    plane.send_snapshot(1, &snapshot(1, 500), SEALED);
    assert_eq!(plane.hear(), applied(1));
    let good = snapshot(2, 500);
    let mut check = |send: &dyn Fn(&mut Plane), expected: &str| {
        send(&mut plane);
        let (_, reason) = refused(plane.hear());
        assert!(reason.contains(expected), "{reason}, not {expected}");
        assert_eq!(fixture.epoch(), Some(1));
    };
    for missing in [libc::F_SEAL_SHRINK, libc::F_SEAL_GROW, libc::F_SEAL_WRITE] {
        check(&|p| p.send_snapshot(2, &good, SEALED & !missing), "not sealed");
    }
    check(&|p| p.send_snapshot(3, &good, SEALED), "epoch 2 inside");
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    check(&|p| p.send_snapshot(2, &flipped, SEALED), "checksum");
    check(&|p| p.send_snapshot(2, &good[..90], SEALED), "length");
    check(&|p| p.send_snapshot(2, &[], SEALED), "length");
    let announce = |bytes: usize| {
        let frame = ToData::Snapshot {
            epoch: Epoch(2),
            bytes: bytes as u64,
        };
        frame.encode().unwrap()
    };
    check(
        &|p| p.pass(&announce(good.len() + 1), &[memory_file(&good, SEALED)]),
        "were announced",
    );
    check(
        &|p| p.0.write_all(&announce(good.len())).unwrap(),
        "no memory file",
    );
    let plain = tempfile::NamedTempFile::new().unwrap();
    fs::write(plain.path(), &good).unwrap();
    check(
        &|p| p.pass(&announce(good.len()), &[File::open(plain.path()).unwrap()]),
        "not sealed",
    );
    plane.send_snapshot(2, &good, SEALED);
    assert_eq!(plane.hear(), applied(2), "the connection has survived all that");
}

#[test]
fn a_snapshot_that_trickles_in_is_put_together() {
    let fixture = Fixture::start(tempfile::tempdir().unwrap(), NEVER_COLD);
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    plane.hello();
    let bytes = snapshot(3, 500);
    let frame = ToData::Snapshot {
        epoch: Epoch(3),
        bytes: bytes.len() as u64,
    };
    let frame = frame.encode().unwrap();
    // The descriptor comes with the first byte, as the kernel hands it over.
    plane.pass(&frame[..1], &[memory_file(&bytes, SEALED)]);
    for byte in &frame[1..] {
        plane.0.write_all(&[*byte]).unwrap();
    }
    assert_eq!(plane.hear(), applied(3));
}

#[test]
fn without_a_control_plane_the_copy_serves_until_there_is_one() {
    let data = tempfile::tempdir().unwrap();
    let copy = data.path().join("snapshot.bin");
    fs::write(&copy, snapshot(8, 500)).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o600)).unwrap();
    let fixture = Fixture::start(data, 0);
    let first = fixture.link.first_snapshot(PATIENCE).unwrap();
    assert_eq!(first.snapshot().epoch.0.to_native(), 8);
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    assert_eq!(plane.hello(), 8);
    plane.send_snapshot(9, &snapshot(9, 500), SEALED);
    assert_eq!(plane.hear(), applied(9));
}

#[test]
fn a_copy_that_others_may_write_or_that_is_damaged_does_not_serve() {
    let check = |mode: u32, change: fn(&mut Vec<u8>)| {
        let data = tempfile::tempdir().unwrap();
        let copy = data.path().join("snapshot.bin");
        let mut bytes = snapshot(8, 500);
        change(&mut bytes);
        fs::write(&copy, &bytes).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(mode)).unwrap();
        let fixture = Fixture::start(data, 0);
        // A good one, put there by rename, is found at the next look.
        let good = fixture.data.path().join("good");
        let listener = fixture.listen();
        let mut plane = Plane::accept(&listener);
        assert_eq!(plane.hello(), 0, "mode {mode:o}");
        assert_eq!(fixture.epoch(), None);
        fs::write(&good, snapshot(8, 500)).unwrap();
        fs::set_permissions(&good, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&good, &copy).unwrap();
        assert!(fixture.link.first_snapshot(PATIENCE).is_some());
    };
    check(0o622, |_| {});
    check(0o600, |bytes| bytes[50] ^= 4);
    check(0o600, |bytes| bytes.truncate(60));
    check(0o600, Vec::clear);
}

#[test]
fn whatever_a_broken_control_plane_sends_the_link_starts_over() {
    let mut fixture = Fixture::start(tempfile::tempdir().unwrap(), NEVER_COLD);
    let listener = fixture.listen();
    let revoke = ToData::Forget {
        whom: Whom::Everyone,
        cut: true,
    }
    .encode()
    .unwrap();
    let mut old_version = revoke.clone();
    old_version[4] ^= 1;
    let mut oversized = revoke.clone();
    oversized[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut flipped = revoke.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut plane = Plane::accept(&listener);
    plane.hello();
    plane.send_snapshot(2, &snapshot(2, 500), SEALED);
    assert_eq!(plane.hear(), applied(2));
    for bytes in [
        &old_version[..],
        &oversized,
        &flipped,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        plane.0.write_all(bytes).unwrap();
        plane.ends();
        plane = Plane::accept(&listener);
        assert_eq!(plane.hello(), 2);
    }
    let stray: Vec<_> = (0..5).map(|_| memory_file(b"x", SEALED)).collect();
    plane.pass(&revoke, &stray);
    plane.ends();
    plane = Plane::accept(&listener);
    plane.hello();
    plane.0.write_all(&revoke[..revoke.len() - 1]).unwrap();
    drop(plane);
    // A socket that was replaced is a new control plane.
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    assert_eq!(plane.hello(), 2);
    plane.say(&ToData::Forget {
        whom: Whom::Address(ALICE),
        cut: true,
    });
    assert!(matches!(fixture.next(0), ShardMessage::Snapshot(_)));
    // The frame with stray descriptors was well-formed and may have been acted on before they were noticed.
    loop {
        match fixture.next(0) {
            ShardMessage::Forget {
                whom: Whom::Everyone, ..
            } => {}
            ShardMessage::Forget { whom, cut } => {
                break assert_eq!((whom, cut), (Whom::Address(ALICE), true));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fixture.epoch(), Some(2));
}

#[test]
fn one_question_serves_all_shards_and_outlives_the_control_plane() {
    let mut fixture = Fixture::start(tempfile::tempdir().unwrap(), NEVER_COLD);
    let (first, second) = (fixture.client(0), fixture.client(1));
    // Asked before anybody listens: the question waits.
    first.ask(peer(ALICE, 40_000), None, 1).unwrap();
    second.ask(peer(ALICE, 40_001), None, 2).unwrap();
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    plane.hello();
    plane.send_snapshot(1, &snapshot(1, 1), SEALED);
    let mut tickets = Vec::new();
    while tickets.is_empty() {
        match plane.hear() {
            ToControl::WhoIs { ticket, .. } => tickets.push(ticket),
            ToControl::SnapshotApplied { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    plane.answer(tickets[0], "alice@example.com", true, 3_600_000);
    let known = |answer: IdentityAnswer| match answer {
        IdentityAnswer::Known { principal, .. } => principal,
        other => panic!("{other:?}"),
    };
    // Depending on how long the listener took, the askers were told 503 or alice; from now on it is alice.
    let mut principals = Vec::new();
    for (shard, client) in [(0, &first), (1, &second)] {
        for ticket in 10.. {
            client.ask(peer(ALICE, 50_000), None, ticket).unwrap();
            let answer = loop {
                match fixture.next(shard) {
                    ShardMessage::Identity {
                        ticket: t,
                        answer,
                        valid_until,
                    } if t == ticket => {
                        break (answer, valid_until);
                    }
                    ShardMessage::Identity { .. } | ShardMessage::Snapshot(_) => {}
                    other => panic!("{other:?}"),
                }
            };
            if let (IdentityAnswer::Known { .. }, valid_until) = &answer {
                assert!(*valid_until > mono_now());
                principals.push(known(answer.0));
                break;
            }
        }
    }
    assert!(
        Arc::ptr_eq(&principals[0], &principals[1]),
        "one principal for the process"
    );
    drop((plane, listener));
    let status = fixture.link.status_reader();
    wait_until("the loss", || !status().connected);
    first.ask(peer(ALICE, 50_001), None, 900).unwrap();
    assert_eq!(known(fixture.answer(0, 900)).login, "alice@example.com");
    // Patience is 1 ms since the snapshot came.
    first.ask(peer([9; 16], 1), None, 901).unwrap();
    assert!(matches!(
        fixture.answer(0, 901),
        IdentityAnswer::Unavailable { .. }
    ));
}

#[test]
fn a_revoked_address_is_asked_for_again() {
    let mut fixture = Fixture::start(tempfile::tempdir().unwrap(), NEVER_COLD);
    let client = fixture.client(0);
    let listener = fixture.listen();
    let mut plane = Plane::accept(&listener);
    plane.hello();
    plane.send_snapshot(1, &snapshot(1, 20_000), SEALED);
    assert_eq!(plane.hear(), applied(1));
    assert!(matches!(fixture.next(0), ShardMessage::Snapshot(_)));
    client.ask(peer(ALICE, 1), None, 1).unwrap();
    let (ticket, _) = plane.question();
    plane.answer(ticket, "alice", true, 3_600_000);
    assert!(matches!(fixture.answer(0, 1), IdentityAnswer::Known { .. }));
    plane.say(&ToData::Forget {
        whom: Whom::Address(ALICE),
        cut: true,
    });
    for shard in [0, 1] {
        loop {
            match fixture.next(shard) {
                ShardMessage::Forget { whom, cut } => {
                    break assert_eq!((whom, cut), (Whom::Address(ALICE), true));
                }
                ShardMessage::Snapshot(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    client.ask(peer(ALICE, 2), None, 2).unwrap();
    let (ticket, port) = plane.question();
    assert_eq!(port, 2);
    plane.say(&ToData::Identity {
        ticket,
        answer: control::IdentityAnswer::Unknown { age_ms_max: 1_000 },
    });
    assert_eq!(fixture.answer(0, 2), IdentityAnswer::Unknown);
}

#[test]
fn a_socket_of_another_user_is_not_talked_to() {
    if let Some(path) = std::env::var_os(CHILD) {
        let listener = UnixListener::bind(Path::new(&path).join("control.sock")).unwrap();
        let mut said = std::io::stdout();
        said.write_all(b"listening\n").unwrap();
        said.flush().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        std::process::exit(if heard.is_empty() { 0 } else { 3 });
    }
    let data = tempfile::tempdir().unwrap();
    fs::set_permissions(data.path(), Permissions::from_mode(0o777)).unwrap();
    // The program is copied to where the other user may run it.
    let program = data.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let child = Command::new(&program)
        .args([
            "a_socket_of_another_user_is_not_talked_to",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .uid_of_nobody()
        .spawn();
    let Ok(mut child) = child else {
        let _ = std::io::stderr().write_all(b"SKIPPED: only root can play another user\n");
        return;
    };
    let mut said = child.stdout.take().unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("listening") {
        let mut byte = [0];
        assert_eq!(said.read(&mut byte).unwrap(), 1, "the child listens");
        heard.push(byte[0]);
    }
    let fixture = Fixture::start(data, NEVER_COLD);
    assert!(
        child.wait().unwrap().success(),
        "it was connected to, and heard nothing"
    );
    assert_eq!(fixture.link.status_reader()().connects, 0);
}

trait OtherUser {
    fn uid_of_nobody(&mut self) -> &mut Self;
}

impl OtherUser for Command {
    fn uid_of_nobody(&mut self) -> &mut Self {
        use std::os::unix::process::CommandExt;

        self.uid(65_534)
    }
}
