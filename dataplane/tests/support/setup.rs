//! Snapshots for tests.

use std::net::SocketAddr;

use sluice_shared::api::Flag;
use sluice_shared::ids::Epoch;
use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::snapshot::{
    BaseUrl, Capability, Grant, Hook, HookEvent, HookPart, Identity, PriceOverride, Provider, Quota,
    QuotaLimit, RateOverride, Role, Secret, SendHook, Snapshot, Source,
};

/// The key that a provider of these tests is given.
pub const PROVIDER_KEY: &str = "sk-provider-canary-0123456789";

/// A provider at this address that serves every API and every model.
pub fn provider(id: &str, address: SocketAddr) -> Provider {
    Provider {
        id: id.into(),
        name: id.into(),
        base: BaseUrl {
            tls: false,
            host: address.ip().to_string(),
            port: address.port(),
            path: String::new(),
            authority: address.to_string(),
        },
        models: vec!["**".into()],
        flags: Flag::ALL.iter().fold(0, |bits, flag| bits | 1 << *flag as u8),
        key: Secret(PROVIDER_KEY.into()),
        weight: 1,
        ..Provider::default()
    }
}

/// Everybody may do everything with these providers.
pub fn snapshot(providers: Vec<Provider>) -> Snapshot {
    Snapshot {
        epoch: Epoch(1),
        providers,
        grants: vec![Grant {
            sources: vec![Source::Any],
            capabilities: vec![Capability {
                role: Some(Role::Admin),
                models: None,
                grants_models: true,
                add_headers: Vec::new(),
                read_metrics: true,
                quotas: Vec::new(),
                ..Capability::default()
            }],
            ..Grant::default()
        }],
        identity: Identity {
            age_ms_max: 60_000,
            ..Identity::default()
        },
        ..Snapshot::default()
    }
}

/// One provider that serves everything to everybody.
pub fn plain(address: SocketAddr) -> Snapshot {
    snapshot(vec![provider("main", address)])
}

/// A quota with these limits, never refilled; `estimate`, 429.
pub fn quota(name: &str, limits: &[(Unit, u64)]) -> Quota {
    Quota {
        name: name.into(),
        limits: limits
            .iter()
            .map(|&(unit, capacity)| QuotaLimit {
                unit,
                terms: Terms {
                    capacity,
                    rate: Rate::NONE,
                },
            })
            .collect(),
        deny_status: 429,
        ..Quota::default()
    }
}

/// Everybody's calls of every model count for these quotas.
pub fn counting(mut snapshot: Snapshot, quotas: Vec<Quota>) -> Snapshot {
    let names = quotas.iter().map(|quota| quota.name.clone());
    snapshot.grants[0].capabilities[0].quotas.extend(names);
    snapshot.quotas.extend(quotas);
    snapshot
}

/// What models cost in these tests, in nanodollars: 1,000 a prompt token, 10,000 a generated one, 40,000,000 an image.
pub fn price(pattern: &str) -> PriceOverride {
    PriceOverride {
        pattern: pattern.into(),
        alone: true,
        rates: RateOverride {
            input: Some(1_000_000_000),
            output: Some(10_000_000_000),
            ..RateOverride::default()
        },
        per_image: Some(40_000_000),
        ..PriceOverride::default()
    }
}

/// The key that a hook of these tests is given.
pub const HOOK_KEY: &str = "hook-key-canary-0123456789";

/// A hook at this address, fail-open, with half a minute.
pub fn hook(name: &str, address: SocketAddr) -> Hook {
    Hook {
        name: name.into(),
        base: BaseUrl {
            tls: false,
            host: address.ip().to_string(),
            port: address.port(),
            path: "/judge".into(),
            authority: address.to_string(),
        },
        query: "v=1".into(),
        key: Secret(HOOK_KEY.into()),
        timeout_ms: 30_000,
        ..Hook::default()
    }
}

/// How a grant wires a hook before requests, with these parts.
pub fn before(name: &str, parts: &[HookPart]) -> SendHook {
    SendHook {
        name: name.into(),
        events: 1 << HookEvent::PreRequest as u8,
        send: parts.iter().fold(0, |bits, part| bits | 1 << *part as u16),
    }
}

/// Everybody's calls go by these hooks, with their bodies.
pub fn judged(mut snapshot: Snapshot, hooks: Vec<Hook>) -> Snapshot {
    let wired = hooks
        .iter()
        .map(|hook| before(&hook.name, &[HookPart::RequestBody]));
    snapshot.grants[0].capabilities[0].send_hooks.extend(wired);
    snapshot.hooks.extend(hooks);
    snapshot
}
