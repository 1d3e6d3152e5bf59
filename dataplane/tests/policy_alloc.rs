//! What a known principal costs: no allocation per request, little memory per principal, nothing at a swap.
#![allow(unsafe_code, reason = "counting allocations takes an allocator")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test fail by panic, as the test does; figures are printed"
)]

use std::sync::Arc;

use sluice_dataplane::control_link::Published;
use sluice_dataplane::policy::probe::Peers;
use sluice_dataplane::quota::node::{Handle, Node, Outcome, Shard, Wants};
use sluice_shared::api::Flag;
use sluice_shared::ids::Epoch;
use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::snapshot::{
    Capability, Grant, Header, Provider, Quota, QuotaLimit, Role, Sealed, Secret, Snapshot, Source, seal,
};
use sluice_shared::wire::control::Principal;

#[path = "support/alloc.rs"]
mod alloc;

use alloc::counted as spent;

const TERMS: Terms = Terms {
    capacity: 1_000_000,
    rate: Rate::NONE,
};

/// A grant for everybody, one that adds a header to some models, and one for each of a thousand logins.
fn published(epoch: u64) -> Arc<Published> {
    let provider = |id: &str| Provider {
        id: id.into(),
        models: vec!["m-*".into()],
        flags: u16::MAX,
        ..Provider::default()
    };
    let everybody = Grant {
        sources: vec![Source::Any],
        capabilities: vec![
            Capability {
                role: Some(Role::User),
                ..Capability::default()
            },
            Capability {
                models: Some(vec!["**".into()]),
                grants_models: true,
                add_headers: vec![Header {
                    name: "x-team".into(),
                    value: Secret("blue".into()),
                }],
                ..Capability::default()
            },
        ],
        ..Grant::default()
    };
    let personal = (0..1_000).map(|n| Grant {
        sources: vec![Source::Login(format!("user-{n}@example.com"))],
        capabilities: vec![Capability {
            models: Some(vec![format!("a/m-{n}")]),
            grants_models: true,
            ..Capability::default()
        }],
        ..Grant::default()
    });
    let snapshot = Snapshot {
        epoch: Epoch(epoch),
        providers: vec![provider("a"), provider("b")],
        grants: std::iter::once(everybody).chain(personal).collect(),
        ..Snapshot::default()
    };
    let sealed = Sealed::open(&seal(&snapshot).unwrap()).unwrap();
    Arc::new(Published::new(sealed).unwrap())
}

fn address(n: u32) -> [u8; 16] {
    u128::from(n).to_be_bytes()
}

fn principal(n: u32) -> Arc<Principal> {
    Arc::new(Principal {
        source: "static".into(),
        login: format!("user-{n}@example.com"),
        ..Principal::default()
    })
}

#[test]
fn a_known_principal_and_model_allocate_nothing() {
    let mut peers = Peers::default();
    peers.adopt(&published(1)).unwrap();
    assert!(peers.remember(address(1), principal(1)));
    assert!(peers.remember(address(2_000), principal(2_000)));
    let (first, _, candidates) = spent(|| peers.check(address(1), Flag::OpenAiChat, "m-5"));
    assert_eq!(candidates, Some(2));
    assert!(
        first > 0,
        "the verdict comes to be with the first request, which shows that counting works"
    );
    peers.check(address(2_000), Flag::AnthropicMessages, "m-5");
    for _ in 0..100 {
        for (of, flag) in [(1, Flag::OpenAiChat), (2_000, Flag::AnthropicMessages)] {
            let (calls, _, candidates) = spent(|| peers.check(address(of), flag, "m-5"));
            assert_eq!((calls, candidates), (0, Some(2)));
        }
    }
}

/// Red if finding the buckets of a request allocates once they are open, or another than the first time is found.
#[test]
fn the_buckets_of_a_known_principal_are_at_hand() {
    let limit = |unit| QuotaLimit { unit, terms: TERMS };
    let quota = |name: &str| Quota {
        name: name.into(),
        limits: vec![limit(Unit::Usd), limit(Unit::Requests)],
        ..Quota::default()
    };
    let names = ["daily:<user>", "all", "<user>/<model>", "gone"];
    let snapshot = Snapshot {
        epoch: Epoch(1),
        providers: vec![Provider {
            id: "a".into(),
            models: vec!["m-*".into()],
            flags: u16::MAX,
            ..Provider::default()
        }],
        grants: vec![Grant {
            sources: vec![Source::Any],
            capabilities: vec![Capability {
                role: Some(Role::User),
                grants_models: true,
                quotas: names.iter().map(|&name| name.into()).collect(),
                ..Capability::default()
            }],
            ..Grant::default()
        }],
        quotas: names[..3].iter().map(|&name| quota(name)).collect(),
        ..Snapshot::default()
    };
    let sealed = Sealed::open(&seal(&snapshot).unwrap()).unwrap();
    let mut peers = Peers::default();
    peers.adopt(&Arc::new(Published::new(sealed).unwrap())).unwrap();
    for n in [1, 2] {
        assert!(peers.remember(address(n), principal(n)));
    }
    let mut node = Node::new(1, TERMS).unwrap();
    let mut shard = node.seed(0).unwrap().shard();
    let find = |shard: &Shard, of: u32, model: &str| {
        let mut found = Vec::with_capacity(8);
        let mut at = 0;
        let (calls, _, ()) = spent(|| {
            peers.budgets(address(of), Flag::OpenAiChat, model, shard, |handle| {
                found.push(handle);
                at += 1;
            });
        });
        assert_eq!(
            at, 6,
            "three quotas of two limits; what is not defined has no buckets"
        );
        (calls, found)
    };
    let (first, found) = find(&shard, 1, "m-1");
    assert!(
        first > 0,
        "they come to be with the first request, which shows that counting works"
    );
    // Reserving opens them.
    let wants: Vec<(Handle, u64)> = found.iter().map(|handle| (handle.clone(), 1)).collect();
    let mut outcome = shard.reserve(&Wants::new(&wants));
    while let Outcome::Waiting(waiting) = outcome {
        node.turn();
        shard.turn();
        outcome = shard.resume(waiting);
    }
    assert!(matches!(outcome, Outcome::Held(_)), "{outcome:?}");
    find(&shard, 1, "m-1");
    for _ in 0..100 {
        let (calls, again) = find(&shard, 1, "m-1");
        assert_eq!(calls, 0);
        assert!(found.iter().zip(&again).all(|(one, other)| one.is(other)));
    }
    // Another model: the last two are others. Another principal: only the shared ones are the same.
    let same = |other: &[Handle]| -> Vec<bool> { found.iter().zip(other).map(|(a, b)| a.is(b)).collect() };
    let (_, other) = find(&shard, 1, "m-2");
    assert_eq!(same(&other), [true, true, true, true, false, false]);
    let (_, other) = find(&shard, 2, "m-1");
    assert_eq!(same(&other), [false, false, true, true, false, false]);
}

#[test]
fn many_principals_are_small_and_a_swap_touches_none() {
    const PRINCIPALS: u32 = 100_000;
    let mut peers = Peers::default();
    // Held on to, as the control link does: it frees what no shard uses any more.
    let first = published(1);
    peers.adopt(&first).unwrap();
    let everybody: Vec<Arc<Principal>> = (0..PRINCIPALS).map(principal).collect();
    let (_, bytes, ()) = spent(|| {
        for (n, principal) in (0..).zip(&everybody) {
            assert!(peers.remember(address(n), Arc::clone(principal)));
            assert_eq!(peers.check(address(n), Flag::OpenAiChat, "m-7"), Some(2));
        }
    });
    let each = bytes / i64::from(PRINCIPALS);
    println!(
        "{each} bytes for each of {PRINCIPALS} principals of a shard (map, policy, verdicts; 1,000 of them with a grant of their own)"
    );
    assert!(each < 256, "{each}");

    // The new epoch is prepared elsewhere; what the shard does then does not grow with the principals.
    let next = published(2);
    let (calls, _, adopted) = spent(|| peers.adopt(&next));
    adopted.unwrap();
    println!("{calls} allocator calls to adopt an epoch with 1,000 grants, {PRINCIPALS} principals known");
    assert!(calls < 200, "{calls}");
    // The first request afterwards compiles one policy, and frees one.
    let (calls, _, candidates) = spent(|| peers.check(address(99_999), Flag::OpenAiChat, "m-7"));
    assert_eq!(candidates, Some(2));
    println!("{calls} allocator calls for the first request of a principal after that");
    assert!(calls < 100, "{calls}");
}
