//! The document as checked values: nothing here needs checking again.
//!
//! Leaves that the data plane reads as they are (addresses, headers, bounds) are the snapshot's own types; what
//! compiling still has to decide (order, flags, who is left out) is in types of this module.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use sluice_shared::snapshot::{
    Alias, AuthMode, Authorization, BaseUrl, BearerMode, Captures, CostRule, Grant, Guardrail, Header, Hook,
    Limits, Listener, PriceOverride, Quota, Secret, SourceKind, Timeouts, TrustBundle,
};

/// A whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) providers: Vec<Provider>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) aliases: Vec<Alias>,
    /// By name.
    pub(crate) quotas: Vec<Quota>,
    pub(crate) identity: Identity,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) limits: Limits,
    pub(crate) api_rates: ApiRates,
    /// Prices of the operator, in the order of the document.
    pub(crate) prices: Vec<PriceOverride>,
    /// Hooks that are not disabled.
    pub(crate) hooks: Vec<Hook>,
    /// By name.
    pub(crate) guardrails: Vec<Guardrail>,
    /// What is captured.
    pub(crate) captures: Captures,
    /// Where captures are kept; `None`: in the data directory.
    pub(crate) capture_store: Option<S3>,
    /// Captures are not made searchable.
    pub(crate) no_full_text: bool,
    /// How long things are kept.
    pub(crate) retention: Retention,
    /// By name.
    pub(crate) exporters: Vec<Exporter>,
    /// Every file that was read for it, sorted; a change of one is a change of the document.
    pub(crate) files: Vec<PathBuf>,
}

/// How fast one principal may ask the admin API; 0: as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiRates {
    pub(crate) reads_per_s: u64,
    pub(crate) changes_per_s: u64,
}

impl Default for ApiRates {
    fn default() -> Self {
        Self {
            reads_per_s: 50,
            changes_per_s: 5,
        }
    }
}

/// A provider that can be used, or could if it were not disabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) base: BaseUrl,
    pub(crate) models: Vec<String>,
    pub(crate) flags: BTreeSet<u8>,
    pub(crate) authorization: Authorization,
    pub(crate) auth_mode: AuthMode,
    pub(crate) key: Secret,
    pub(crate) add_headers: Vec<Header>,
    pub(crate) preference: i32,
    pub(crate) weight: u32,
    pub(crate) disabled: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) connections_max: u32,
    pub(crate) ca_pem: Option<String>,
    pub(crate) cost_basis: String,
    pub(crate) cost_map: Vec<CostRule>,
    pub(crate) capture_share: Option<u32>,
}

/// How long bodies are kept, and what goes then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retention {
    pub(crate) keep: Keep,
    /// Nothing goes before every exporter that takes it has it.
    pub(crate) require_export: bool,
    /// Captures go.
    pub(crate) purge_captures: bool,
    /// Tool calls go.
    pub(crate) purge_tools: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep: Keep::Forever,
            require_export: false,
            purge_captures: true,
            purge_tools: false,
        }
    }
}

/// How long bodies are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    #[default]
    Forever,
    /// None are kept at all.
    Nothing,
    Millis(u64),
}

/// A place where records are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exporter {
    /// Key in the document: its cursor is kept under it.
    pub(crate) name: String,
    /// Seconds between exports; never 0.
    pub(crate) every_s: u64,
    /// Most records of one object or message; never 0.
    pub(crate) limit: u64,
    /// What is sent.
    pub(crate) what: BTreeSet<Exported>,
    pub(crate) sink: Sink,
    pub(crate) disabled: bool,
}

/// What an exporter sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Exported {
    /// Usage records.
    Requests,
    /// Heads and bodies, with the usage record.
    Captures,
    /// The audit of administrators' acts.
    Audit,
    /// Marks of budgets.
    QuotaEvents,
}

/// How and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Object storage.
    S3 { target: S3, format: S3Format },
    /// A JSON array by POST.
    Webhook(Endpoint),
    /// Splunk's HTTP event collector: one JSON event after the other.
    Hec {
        endpoint: Endpoint,
        index: String,
        source: String,
        sourcetype: String,
    },
    /// OpenTelemetry over HTTP, protobuf; the paths `/v1/logs`, `/v1/traces` and `/v1/metrics` are put behind the URL.
    Otlp {
        endpoint: Endpoint,
        logs: bool,
        traces: bool,
        metrics: bool,
    },
}

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum S3Format {
    /// JSON lines, zstd.
    Jsonl,
    /// Aperture's record, CBOR, zstd.
    Cbor,
    /// Apache Parquet; usage rows only.
    Parquet,
}

/// A bucket of S3 or of what speaks like it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct S3 {
    /// Its URL; empty: Amazon's own.
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) region: String,
    /// Put before object names, without a slash at its end.
    pub(crate) prefix: String,
    /// Empty: what the environment of the host offers.
    pub(crate) access_key_id: String,
    pub(crate) access_secret: Secret,
}

/// A web service that takes records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// http:// or https://.
    pub(crate) url: String,
    pub(crate) key: Secret,
    pub(crate) authorization: Authorization,
    pub(crate) headers: Vec<Header>,
    /// How long one message may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// Certificates trusted instead of the built-in roots, PEM.
    pub(crate) ca_pem: Option<String>,
}

/// Where principals come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Asked in this order.
    pub(crate) sources: Vec<SourceKind>,
    /// Networks of the `static` source.
    pub(crate) networks: Vec<Network>,
    /// How long an answer counts, in milliseconds.
    pub(crate) age_ms_max: u64,
    /// What a bearer credential may do beside a proof of the connection.
    pub(crate) bearer: BearerMode,
    /// How the tailnet's daemon is asked.
    pub(crate) tailscale: Tailscale,
    /// Issuers of the `oidc` source.
    pub(crate) issuers: Vec<Issuer>,
    /// Trust of the `mtls` source.
    pub(crate) certificates: Vec<TrustBundle>,
}

/// How the tailnet's daemon is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tailscale {
    /// Its Unix socket.
    pub(crate) socket: PathBuf,
    /// The daemon runs without a network device: peers come from loopback ports that it alone can name.
    pub(crate) userspace: bool,
    /// Nodes that were shared in from another tailnet are let in.
    pub(crate) allow_shared: bool,
    /// Who may own the socket beside root, by user id; for tests and daemons that run as a user.
    pub(crate) owner: Option<u32>,
}

impl Default for Tailscale {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/var/run/tailscale/tailscaled.sock"),
            userspace: false,
            allow_shared: false,
            owner: None,
        }
    }
}

/// An issuer of JSON web tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// The `iss` claim, byte for byte.
    pub(crate) issuer: String,
    /// One of these must be in the `aud` claim; never empty.
    pub(crate) audiences: Vec<String>,
    /// Signature algorithms that are accepted, e.g. `RS256`; asymmetric ones only, never empty.
    pub(crate) algorithms: Vec<String>,
    /// Where the keys are; empty: what the discovery document of the issuer says.
    pub(crate) jwks_url: String,
    /// Certificates trusted for the issuer's server instead of the built-in roots, PEM.
    pub(crate) ca_pem: Option<String>,
    /// Claim that becomes the login; `sub` by default.
    pub(crate) login_claim: String,
    /// Put before the login, so that two issuers cannot name the same person by accident.
    pub(crate) login_prefix: String,
    /// Claim with a list of groups; empty: none.
    pub(crate) groups_claim: String,
    /// Claim with a list of tags: such a token is a machine's, not a person's; empty: none.
    pub(crate) tags_claim: String,
}

/// Five minutes: long enough that a busy connection never waits, short enough that a removed entry does not linger.
pub(crate) const IDENTITY_AGE_MS: u64 = 300_000;

impl Default for Identity {
    fn default() -> Self {
        Self {
            sources: vec![SourceKind::Loopback],
            networks: Vec::new(),
            age_ms_max: IDENTITY_AGE_MS,
            bearer: BearerMode::Narrow,
            tailscale: Tailscale::default(),
            issuers: Vec::new(),
            certificates: Vec::new(),
        }
    }
}

/// Whose a network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// Network address, IPv4 mapped into IPv6.
    pub(crate) address: [u8; 16],
    /// Leading bits of the mapped address that count.
    pub(crate) prefix: u8,
    /// Login; empty if `tags` is not.
    pub(crate) login: String,
    /// Sorted, without duplicates.
    pub(crate) tags: Vec<String>,
    /// Sorted, without duplicates.
    pub(crate) groups: Vec<String>,
}

/// Reads `10.0.0.0/8`, `fd7a::/48` or a single address; bits behind the prefix are cleared.
pub(crate) fn network(text: &str) -> Option<([u8; 16], u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => {
            let digits =
                !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
            (address, Some(prefix.parse::<u8>().ok().filter(|_| digits)?))
        }
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (widest, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    let prefix = prefix.unwrap_or(widest);
    if prefix > widest {
        return None;
    }
    let prefix = prefix + offset;
    let mask = if prefix == 0 {
        0
    } else {
        u128::MAX << (128 - u32::from(prefix))
    };
    let bits = u128::from_be_bytes(sluice_shared::snapshot::address_bits(address)) & mask;
    Some((bits.to_be_bytes(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_masked() {
        let check = |text: &str, expected: Option<(&str, u8)>| {
            let expected = expected.map(|(a, p)| (a.parse::<std::net::Ipv6Addr>().unwrap().octets(), p));
            assert_eq!(network(text), expected, "{text}");
        };
        check("10.1.2.3", Some(("::ffff:10.1.2.3", 128)));
        check("10.1.2.3/8", Some(("::ffff:10.0.0.0", 104)));
        check("0.0.0.0/0", Some(("::ffff:0:0", 96)));
        check("fd7a::1/16", Some(("fd7a::", 16)));
        check("::/0", Some(("::", 0)));
        for refused in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "x/8",
            "10.0.0.0/8/8",
        ] {
            check(refused, None);
        }
    }
}
