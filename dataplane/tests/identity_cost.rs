//! What it costs to know a caller: nothing that the system or the allocator would notice, however many there are.
#![allow(
    unsafe_code,
    reason = "counting allocations takes an allocator, forbidding system calls takes one"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test fail by panic, as the test does; figures are printed"
)]

use std::sync::Arc;
use std::time::Instant;

use ring::digest::{SHA256, digest};
use sluice_dataplane::identity::probe::{Looked, Probe};
use sluice_dataplane::identity::{IdentityAnswer, Key};
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Capability, Grant, Identity, Role, Snapshot, Source, SourceKind};
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::Principal;

#[path = "support/alloc.rs"]
mod alloc;

fn allocations(run: impl FnOnce()) -> u64 {
    alloc::counted(run).0
}

const NOW: MonoMicros = MonoMicros(1_000_000);
const LATER: MonoMicros = MonoMicros(2_000_000);
const PRINCIPALS: u32 = 100_000;

fn snapshot(epoch: u64) -> Snapshot {
    let grant = |n: u32| Grant {
        sources: vec![Source::Login(format!("user{n}@example.com"))],
        capabilities: vec![Capability {
            role: Some(Role::User),
            models: None,
            grants_models: true,
            ..Capability::default()
        }],
        ..Grant::default()
    };
    Snapshot {
        epoch: Epoch(epoch),
        grants: (0..20).map(grant).collect(),
        identity: Identity {
            sources: vec![SourceKind::Static, SourceKind::Token],
            ..Identity::default()
        },
        ..Snapshot::default()
    }
}

fn known(n: u32) -> IdentityAnswer {
    IdentityAnswer::Known {
        principal: Arc::new(Principal {
            login: format!("user{n}@example.com"),
            ..Principal::default()
        }),
        whole_address: true,
    }
}

fn address(n: u32) -> [u8; 16] {
    let [a, b, c, d] = n.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10 + a, b, c, d]
}

fn peer(n: u32) -> Key {
    Key::Peer {
        address: address(n),
        port: 1,
    }
}

fn token(n: u32) -> String {
    format!("slt_{n:T>43}")
}

fn proof(n: u32) -> Key {
    Key::Proof(digest(&SHA256, token(n).as_bytes()).as_ref().try_into().unwrap())
}

fn head(fields: &str) -> Vec<u8> {
    format!(
        "POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nanthropic-version: 2023-06-01\r\nUser-Agent: client/1.0\r\n{fields}Content-Length: 2\r\n\r\n"
    )
    .into_bytes()
}

/// A request without a credential from a known address, one with a token from an address that nobody knows, one with a
/// token that narrows, and one with a foreign key from a known address.
fn requests(n: u32) -> [([u8; 16], Vec<u8>, Looked); 4] {
    let with = |n| head(&format!("Authorization: Bearer {}\r\n", token(n)));
    let role = Looked::Known((n < 20).then_some(Role::User));
    [
        (address(n), head(""), role),
        (address(2 * PRINCIPALS), with(n), role),
        (address(n), with(n), role),
        (address(n), head("x-api-key: sk-provider\r\n"), role),
    ]
}

fn learnt(principals: u32) -> Probe {
    let mut probe = Probe::new(&snapshot(1)).unwrap();
    for n in 0..principals {
        probe.learn(peer(n), &known(n), LATER);
        probe.learn(proof(n), &known(n), LATER);
    }
    probe.learn(peer(2 * PRINCIPALS), &IdentityAnswer::Unknown, LATER);
    probe
}

/// Red if a caller who is known costs an allocation, on whatever connection, by address or by token.
#[test]
fn a_known_caller_costs_no_allocation() {
    let mut probe = learnt(50);
    let all: Vec<_> = (0..50).flat_map(requests).collect();
    let first = allocations(|| {
        for (address, head, expected) in &all {
            assert_eq!(probe.look(*address, head, NOW), *expected);
        }
    });
    assert!(
        first > 0,
        "policies come to be at the first look, which shows that counting works"
    );
    for _ in 0..20 {
        for (address, head, expected) in &all {
            let mut looked = Looked::Refused;
            assert_eq!(allocations(|| looked = probe.look(*address, head, NOW)), 0);
            assert_eq!(looked, *expected);
        }
    }
    // A new configuration costs each principal one compilation, and then nothing again.
    probe.publish(&snapshot(2)).unwrap();
    let (address, head, expected) = &all[0];
    assert!(allocations(|| assert_eq!(probe.look(*address, head, NOW), *expected)) > 0);
    assert_eq!(
        allocations(|| assert_eq!(probe.look(*address, head, NOW), *expected)),
        0
    );
}

/// What a child that may make no system call but `write` and `exit` came to: its exit status, or the signal.
fn forbidden_system_calls(run: impl FnOnce() -> bool) -> Result<i32, i32> {
    // SAFETY: the child runs on its one thread, touches only memory that was made before, and leaves by `exit`.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) != 0 {
                libc::syscall(libc::SYS_exit, 77);
            }
            let good = run();
            libc::syscall(libc::SYS_exit, if good { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        if libc::WIFSIGNALED(status) {
            Err(libc::WTERMSIG(status))
        } else {
            Ok(libc::WEXITSTATUS(status))
        }
    }
}

/// Red if a caller who is known costs a system call: the kernel ends whoever makes one here.
#[test]
fn a_known_caller_costs_no_system_call() {
    let mut probe = learnt(8);
    let all: Vec<_> = (0..8).flat_map(requests).collect();
    for (address, head, _) in &all {
        let _ = probe.look(*address, head, NOW);
    }
    // SAFETY: no arguments, no effect.
    let caught = forbidden_system_calls(|| unsafe { libc::getppid() > 0 });
    if caught == Ok(77) {
        println!("SKIPPED: this system cannot forbid system calls");
        return;
    }
    assert_eq!(caught, Err(libc::SIGKILL), "forbidding works");
    let quiet = forbidden_system_calls(|| {
        (0..1_000).all(|_| {
            all.iter()
                .all(|(address, head, expected)| probe.look(*address, head, NOW) == *expected)
        })
    });
    assert_eq!(quiet, Ok(0));
    println!("{} look-ups, 0 system calls", all.len() * 1_000);
}

/// Red if 100,000 principals push each other out, or a crowd of nobodies does.
#[test]
fn a_hundred_thousand_principals_stay_known() {
    let mut probe = learnt(PRINCIPALS);
    for n in 0..PRINCIPALS {
        let mut made_up = [0; 32];
        made_up[..4].copy_from_slice(&n.to_be_bytes());
        let reason = "no such token".into();
        probe.learn(Key::Proof(made_up), &IdentityAnswer::Refused { reason }, LATER);
        let stranger = Key::Peer {
            address: address(2 * PRINCIPALS + n),
            port: 1,
        };
        probe.learn(stranger, &IdentityAnswer::Unknown, LATER);
    }
    probe.learn(peer(2 * PRINCIPALS), &IdentityAnswer::Unknown, LATER);
    let mut spent = std::time::Duration::ZERO;
    let mut looks = 0;
    for n in (0..PRINCIPALS).step_by(7) {
        for (address, head, expected) in requests(n) {
            assert_eq!(probe.look(address, &head, NOW), expected, "principal {n}");
            let start = Instant::now();
            let _ = probe.look(address, &head, NOW);
            spent += start.elapsed();
            looks += 1;
        }
    }
    assert_eq!(
        probe.look(address(0), &head(""), LATER),
        Looked::Asks(peer(0)),
        "too old"
    );
    println!(
        "{PRINCIPALS} principals by address and by token: {} ns a look-up, parsing included (unoptimised build: {})",
        spent.as_nanos() / looks,
        cfg!(debug_assertions)
    );
}
