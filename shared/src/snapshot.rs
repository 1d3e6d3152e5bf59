//! The configuration as the data plane reads it: rkyv bytes behind a checksum, built once by the control plane,
//! checked once by the data plane, never changed afterwards.
//!
//! Layout of a sealed snapshot: 32 bytes of header, then the archive, 16-byte aligned.
//!
//! ```text
//! 0        8         12        16            24        32
//! | magic  | version | crc32c  | archive len | zero    | archive … |
//! ```
//!
//! rkyv's structural check lets most bit flips through, therefore the checksum over `version`, length and archive
//! comes first. Any change to these types changes [`VERSION`].

#![allow(missing_docs, reason = "rkyv derives undocumented twins of documented fields")]

use std::fmt;

use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};
use zeroize::Zeroize as _;

use crate::api::{ApiKind, Flag};
use crate::ids::Epoch;
use crate::quota::{Terms, Unit};
use crate::usage::ServiceTier;

pub mod captures;
pub mod guardrails;
pub mod hooks;

pub use captures::{Captures, SHARE_ALL};
pub use guardrails::{GuardAction, GuardCaps, GuardPattern, Guardrail, ToolRule};
pub use hooks::{Hook, HookEvent, HookPart, SendHook};

/// Version of the layout below. A data plane refuses every other.
pub const VERSION: u32 = 4;
/// Largest snapshot that is opened, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"SLUICECF";
const HEADER_BYTES: usize = 32;

/// A value that must never be shown: `Debug` prints stars only, and its memory is overwritten when it is dropped.
#[derive(Archive, Serialize, Deserialize, Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret(pub String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for ArchivedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The whole configuration of one epoch.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Snapshot {
    /// Generation; only ever grows.
    pub epoch: Epoch,
    /// Enabled providers, highest `preference` first, then by id.
    pub providers: Vec<Provider>,
    /// Exact model names rewritten before authorisation, sorted by `from`.
    pub aliases: Vec<Alias>,
    /// Who may do what; deny by default, additive.
    pub grants: Vec<Grant>,
    /// Where principals come from.
    pub identity: Identity,
    /// Addresses to listen on.
    pub listeners: Vec<Listener>,
    /// Bounds, all with defaults.
    pub limits: Limits,
    /// Budgets, by name; see [`Capability::quotas`].
    pub quotas: Vec<Quota>,
    /// Prices of the operator, in the order in which they are tried; see [`crate::cost::PriceBook`].
    pub prices: Vec<PriceOverride>,
    /// Hooks that are not disabled, highest `preference` first, then by name.
    pub hooks: Vec<Hook>,
    /// Guardrails, by name.
    pub guardrails: Vec<Guardrail>,
    /// What is kept of requests and answers.
    pub captures: Captures,
}

/// A configured upstream that serves models.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Provider {
    /// Key in the document, `[A-Za-z0-9._-]{1,64}`.
    pub id: String,
    /// For people; the id if none is given.
    pub name: String,
    /// For people.
    pub description: String,
    /// Where it lives.
    pub base: BaseUrl,
    /// Globs of model names it serves.
    pub models: Vec<String>,
    /// Bit `flag as u8` is set where the provider serves that family of endpoints.
    pub flags: u16,
    /// How the key is sent.
    pub authorization: Authorization,
    /// Whose credentials go to the provider.
    pub auth_mode: AuthMode,
    /// Provider key; empty if none.
    pub key: Secret,
    /// Headers set on every request to it, replacing the client's of the same name.
    pub add_headers: Vec<Header>,
    /// Higher is tried first.
    pub preference: i32,
    /// Share among equals; 1 by default.
    pub weight: u32,
    /// Limits of patience, per phase.
    pub timeouts: Timeouts,
    /// Connections a shard may have open to it; 0 means no limit of its own.
    pub connections_max: u32,
    /// PEM certificates trusted instead of the built-in roots.
    pub ca_pem: Option<String>,
    /// Price list to look models up in, e.g. `anthropic`; empty: by model name alone.
    pub cost_basis: String,
    /// Rewrites of the model name for pricing; first match wins.
    pub cost_map: Vec<CostRule>,
    /// Share of its requests that is captured at most, in millionths; `None`: nothing is said.
    pub capture_share: Option<u32>,
}

impl Provider {
    /// Whether the provider serves a family of endpoints.
    #[must_use]
    pub const fn serves(&self, flag: Flag) -> bool {
        self.flags & (1 << flag as u8) != 0
    }
}

/// A base URL, taken apart when the document was read.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct BaseUrl {
    /// `https`, verified; otherwise plain `http`.
    pub tls: bool,
    /// Host name or IP address (IPv6 without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path without a trailing slash, e.g. `/openai/v1`; may be empty.
    pub path: String,
    /// Value of the `host` header: host, and port unless it is the scheme's own.
    pub authority: String,
}

/// A header to set.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct Header {
    /// Field name, a token.
    pub name: String,
    /// Field value; may hold a credential, so it is never shown.
    pub value: Secret,
}

/// How a provider key is sent.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Authorization {
    /// `authorization: Bearer KEY`
    #[default]
    Bearer,
    /// `x-api-key: KEY`
    XApiKey,
    /// `x-goog-api-key: KEY`
    XGoogApiKey,
}

/// Whose credentials go to the provider.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum AuthMode {
    /// The client's are dropped, the provider key is sent.
    #[default]
    Override,
    /// The client's pass; no key is sent.
    Passthrough,
    /// The client's are dropped and none are sent.
    None,
}

/// Limits of patience towards a provider, in milliseconds; 0 means none.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Timeouts {
    /// TCP (and TLS) connection made.
    pub connect_ms: u64,
    /// First byte of the answer after the request was sent.
    pub first_byte_ms: u64,
    /// Silence within an answer.
    pub idle_ms: u64,
    /// The whole exchange; 0 by default, because live streams have no natural end.
    pub total_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            first_byte_ms: 600_000,
            idle_ms: 600_000,
            total_ms: 0,
        }
    }
}

/// A rewrite of a model name for pricing.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct CostRule {
    /// Glob over the model name.
    pub pattern: String,
    /// Model whose price is taken.
    pub priced_as: String,
    /// Factor in millionths: 1,000,000 leaves the price as it is.
    pub adjustment_ppm: u64,
}

/// What an operator says about the price of models. What is not said stays as the product's table has it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct PriceOverride {
    /// A model, or `provider/model`; each may be a glob.
    pub pattern: String,
    /// Nothing is taken from the table.
    pub alone: bool,
    /// Rates of an ordinary request.
    pub rates: RateOverride,
    /// Input tokens above which the whole request has other rates; `None`: as in the table.
    pub above: Option<AboveOverride>,
    /// Rates of service tiers.
    pub tiers: Vec<TierOverride>,
    /// Every request, in nanodollars.
    pub request: Option<u64>,
    /// One hosted web search, in nanodollars.
    pub search: Option<u64>,
    /// One search in uploaded files, in nanodollars.
    pub file_search: Option<u64>,
    /// One session of a hosted code interpreter, in nanodollars.
    pub code_session: Option<u64>,
    /// One generated image, in nanodollars.
    pub per_image: Option<u64>,
    /// One second of audio, in nanodollars.
    pub per_second: Option<u64>,
    /// Most tokens of prompt and answer together.
    pub context: Option<u64>,
    /// Most generated tokens.
    pub max_output: Option<u64>,
}

/// Rates in nanodollars for a million tokens; `None`: not said. Named as in [`crate::cost::Rates`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct RateOverride {
    /// Prompt tokens not cached.
    pub input: Option<u64>,
    /// Generated tokens.
    pub output: Option<u64>,
    /// Tokens read from the cache.
    pub cache_read: Option<u64>,
    /// Tokens written to the cache for 5 minutes.
    pub cache_write_5m: Option<u64>,
    /// Tokens written to the cache for 1 hour.
    pub cache_write_1h: Option<u64>,
    /// Reasoning tokens.
    pub reasoning: Option<u64>,
    /// Audio in the prompt.
    pub audio_input: Option<u64>,
    /// Generated audio.
    pub audio_output: Option<u64>,
    /// Images in the prompt.
    pub image_input: Option<u64>,
    /// Generated images.
    pub image_output: Option<u64>,
}

/// Rates of the whole request where its input is above a number of tokens.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct AboveOverride {
    /// The number of tokens.
    pub tokens: u64,
    /// The rates.
    pub rates: RateOverride,
}

/// Rates of a service tier.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct TierOverride {
    /// The tier.
    pub tier: ServiceTier,
    /// Its rates.
    pub rates: RateOverride,
}

/// A model name that stands for another.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Alias {
    /// Name that clients use.
    pub from: String,
    /// Name that is authorised and sent; may be `provider/model`.
    pub to: String,
}

/// One grant: capabilities for every source that matches.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Grant {
    /// Any of these must match the principal.
    pub sources: Vec<Source>,
    /// What they get.
    pub capabilities: Vec<Capability>,
    /// Values under other capability keys; handed to hooks as they are, never read.
    pub app: Vec<AppValue>,
}

/// A value under a capability key that is not Sluice's.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct AppValue {
    /// The key, e.g. `example.com/cap/reviewer`.
    pub key: String,
    /// The value as JSON text.
    pub json: String,
}

/// Whom a grant is for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Source {
    /// Every principal.
    Any,
    /// This login, or the sorted tags joined by `,`, or any single tag if it begins with `tag:`.
    Login(String),
    /// A group, written `group:x`.
    Group(String),
    /// Peer address inside a network; IPv4 is mapped into `::ffff:0:0/96`.
    Network {
        /// Network address.
        address: [u8; 16],
        /// Leading bits that count, 0 to 128.
        prefix: u8,
    },
    /// Principals of the `loopback` source.
    Loopback,
    /// Every principal that is a person.
    Member,
    /// Every principal that has tags.
    Tagged,
}

/// What a grant gives.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct Capability {
    /// Role; the highest of all matching capabilities counts.
    pub role: Option<Role>,
    /// Globs over `provider/model`; `None` means every model.
    pub models: Option<Vec<String>>,
    /// Whether this capability grants models at all: true for one that names `models`, and for one with a role where no
    /// capability of the same list names any.
    pub grants_models: bool,
    /// Headers added to requests of these models.
    pub add_headers: Vec<Header>,
    /// May read `/metrics`.
    pub read_metrics: bool,
    /// Names of [`Quota`]s that count for these models: all of them must pass, all are charged. A name that is not
    /// defined refuses.
    pub quotas: Vec<String>,
    /// Hooks that are called for these models, or for all if it names none.
    pub send_hooks: Vec<SendHook>,
    /// Names of [`Guardrail`]s that hold for these models, or for all if it names none.
    pub guardrails: Vec<String>,
    /// Share of these requests that is captured, in millionths; the largest of all that match counts. `None`: nothing is
    /// said.
    pub capture_share: Option<u32>,
}

/// What a principal may do beside calling models.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[rkyv(derive(Debug))]
pub enum Role {
    /// Own data only.
    User,
    /// Configuration, everybody's usage and logs.
    Admin,
}

/// A budget: one bucket for each value of the templates in its name and each of its limits.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Quota {
    /// Name, with templates: `<user>`, `<node>`, `<group>`, `<model>`, `<provider>`, `<session>`.
    pub name: String,
    /// What is limited, each unit at most once. Empty: the definition cannot be read, and everybody it counts for is
    /// refused.
    pub limits: Vec<QuotaLimit>,
    /// As if no grant named it.
    pub disabled: bool,
    /// What is reserved before a request is sent.
    pub admission: Admission,
    /// What happens to a stream that uses the bucket up.
    pub on_exhausted: OnExhausted,
    /// A request that asks for more output than is left is sent with a lower limit instead of being refused.
    pub clamp_max_tokens: bool,
    /// Status of a refusal: 400, 403 or 429.
    pub deny_status: u16,
    /// Whether a model without a price is refused under a limit in dollars.
    pub refuse_unpriced: bool,
}

/// One limit of a [`Quota`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct QuotaLimit {
    /// What is counted.
    pub unit: Unit,
    /// Ceiling and refill; [`Unit::Concurrency`] has no refill.
    pub terms: Terms,
}

/// What is reserved before a request is sent.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub enum Admission {
    /// What such requests have used so far.
    #[default]
    Estimate,
    /// The most that it can use.
    Strict,
    /// Nothing: any positive balance will do.
    Positive,
}

/// What happens to a stream that uses its bucket up.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub enum OnExhausted {
    /// It goes on to its end.
    #[default]
    Finish,
    /// It is ended with an error event.
    Cut,
}

/// Where principals come from.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Identity {
    /// How long a resolved identity counts without being asked for again, in milliseconds.
    pub age_ms_max: u64,
    /// Sources in the order of the document, each at most once.
    pub sources: Vec<SourceKind>,
    /// What a bearer credential may do beside a proof of the connection.
    pub bearer: BearerMode,
    /// Whom client certificates are believed from.
    pub certificates: Vec<TrustBundle>,
}

/// A way to prove who calls.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub enum SourceKind {
    /// The tailnet's daemon knows the address of the peer.
    Tailscale,
    /// The peer is this machine.
    Loopback,
    /// The document says whose network the address lies in.
    Static,
    /// A client certificate.
    Mtls,
    /// A JSON web token of a configured issuer.
    Oidc,
    /// A token that this gateway issued.
    Token,
    /// Headers of `tailscale serve` on a listener marked for it.
    ServeHeaders,
}

impl SourceKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Tailscale,
        Self::Loopback,
        Self::Static,
        Self::Mtls,
        Self::Oidc,
        Self::Token,
        Self::ServeHeaders,
    ];

    /// Its name in the document, in principals and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tailscale => "tailscale",
            Self::Loopback => "loopback",
            Self::Static => "static",
            Self::Mtls => "mtls",
            Self::Oidc => "oidc",
            Self::Token => "token",
            Self::ServeHeaders => "serve_headers",
        }
    }

    /// Whether the address of the peer is the proof: the control plane answers such questions.
    #[must_use]
    pub const fn by_address(self) -> bool {
        matches!(self, Self::Tailscale | Self::Loopback | Self::Static)
    }

    /// Whether the proof is a credential in the request.
    #[must_use]
    pub const fn by_bearer(self) -> bool {
        matches!(self, Self::Oidc | Self::Token)
    }
}

/// What a bearer credential may do beside a proof of the connection.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum BearerMode {
    /// It must name the same principal, and its scope takes away, never adds.
    #[default]
    Narrow,
    /// Its principal takes the place of the connection's.
    Replace,
}

/// Certificates that client certificates are checked against.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct TrustBundle {
    /// SPIFFE trust domain, lower case: certificates with a URI name in it are checked against this bundle and no other.
    /// `None`: certificates without a URI name.
    pub trust_domain: Option<String>,
    /// PEM certificates of the authorities.
    pub ca_pem: String,
    /// PEM revocation lists; empty if none.
    pub crl_pem: String,
    /// An e-mail name may be the login; only without `trust_domain`.
    pub email: bool,
    /// A DNS name may be the login; only without `trust_domain`.
    pub dns: bool,
    /// Groups of everybody proven by this bundle, `group:x`, sorted.
    pub groups: Vec<String>,
    /// Tags of everybody proven by this bundle, sorted; the login then is the tags.
    pub tags: Vec<String>,
}

/// An address to listen on.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Listener {
    /// `IP:port`.
    pub address: String,
    /// Serves the LLM endpoints.
    pub llm: bool,
    /// Serves `/ui`, `/api`, `/aperture`.
    pub admin: bool,
    /// Terminates TLS.
    pub tls: Option<ListenerTls>,
    /// Stands behind `tailscale serve`: its identity headers are believed. Loopback addresses only.
    pub serve_headers: bool,
    /// Senders of a PROXY protocol v2 header; from them, and only from them, one is required.
    pub proxy_senders: Vec<NetworkPrefix>,
    /// Names that the `Host` of admin requests may have, beside addresses and `localhost`; lower case, no port.
    pub hosts: Vec<String>,
}

/// How a listener terminates TLS.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct ListenerTls {
    /// PEM certificate chain, leaf first.
    pub cert_pem: String,
    /// PEM private key of the leaf.
    pub key_pem: Secret,
    /// Whether clients show a certificate.
    pub client: ClientAuth,
}

/// Whether clients show a certificate.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked; one that is shown must hold.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// A network.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct NetworkPrefix {
    /// Network address; IPv4 mapped into `::ffff:0:0/96`.
    pub address: [u8; 16],
    /// Leading bits that count, 0 to 128.
    pub prefix: u8,
}

/// Bounds of the data plane. Every one has a default, a unit in its name, and a test one under and one over.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Limits {
    /// Head of a message; over it: 431.
    pub head_bytes: u64,
    /// Header fields; over it: 431.
    pub header_count: u64,
    /// Request target; over it: 414.
    pub target_bytes: u64,
    /// Time for a whole request head, from its first byte; over it: 408.
    pub head_ms: u64,
    /// Request bodies of chat-like calls; over it: 413.
    pub body_bytes: u64,
    /// Request bodies of files and audio; over it: 413.
    pub file_body_bytes: u64,
    /// Silence within a request body; over it: 408.
    pub body_idle_ms: u64,
    /// Slowest body upload once 10 s have passed, in bytes a second; under it: 408.
    pub body_rate_bytes: u64,
    /// Idle keep-alive connection of a client.
    pub keep_alive_ms: u64,
    /// Idle keep-alive connection to a provider.
    pub pool_idle_ms: u64,
    /// Idle connections a shard keeps to one provider.
    pub pool_idle_count: u64,
    /// Bytes of request bodies and unsent answers held by the process; over it: 503.
    pub buffer_bytes: u64,
    /// Requests in flight in one shard; over it: 503.
    pub in_flight: u64,
    /// Client connections of the process; 0: half of the descriptor limit.
    pub connections: u64,
    /// Time for running requests when the process drains.
    pub drain_ms: u64,
    /// How long a new connection waits for its identity; then 503.
    pub identity_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            header_count: 100,
            target_bytes: 8 << 10,
            head_ms: 10_000,
            body_bytes: 32 << 20,
            file_body_bytes: 256 << 20,
            body_idle_ms: 30_000,
            body_rate_bytes: 1 << 10,
            keep_alive_ms: 75_000,
            pool_idle_ms: 50_000,
            pool_idle_count: 256,
            buffer_bytes: 1 << 30,
            in_flight: 8_192,
            connections: 0,
            drain_ms: 30_000,
            identity_ms: 500,
        }
    }
}

impl Limits {
    /// Largest request body of a kind of call, in bytes.
    #[must_use]
    pub const fn body_bytes_for(&self, kind: ApiKind) -> u64 {
        match kind {
            ApiKind::OpenAiAudio | ApiKind::OpenAiImages => self.file_body_bytes,
            _ => self.body_bytes,
        }
    }
}

/// Why a snapshot was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than its header says, or longer than allowed.
    #[error("snapshot has a wrong length")]
    Length,
    /// Not a snapshot.
    #[error("not a snapshot")]
    Magic,
    /// Made by another version.
    #[error("snapshot has layout version {0}, this build reads {VERSION}")]
    Version(u32),
    /// Bytes were changed or lost.
    #[error("snapshot checksum does not match")]
    Checksum,
    /// The checksum holds and the structure does not: a fault of the writer.
    #[error("snapshot structure is invalid")]
    Structure,
}

/// Serialises and seals a snapshot.
///
/// # Errors
/// Only if memory for the archive cannot be had.
pub fn seal(snapshot: &Snapshot) -> Result<AlignedVec, rancor::Error> {
    let archive = rkyv::to_bytes::<rancor::Error>(snapshot)?;
    let mut out = AlignedVec::with_capacity(HEADER_BYTES + archive.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&checksum(VERSION, &archive).to_le_bytes());
    out.extend_from_slice(&(archive.len() as u64).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&archive);
    Ok(out)
}

fn checksum(version: u32, archive: &[u8]) -> u32 {
    let head = crc32c::crc32c(&version.to_le_bytes());
    let length = crc32c::crc32c_append(head, &(archive.len() as u64).to_le_bytes());
    crc32c::crc32c_append(length, archive)
}

/// A snapshot that has passed every check; reading it costs nothing more. Its bytes hold provider keys and are overwritten
/// when it is dropped.
pub struct Sealed {
    bytes: AlignedVec,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.bytes.as_mut_slice().zeroize();
    }
}

impl Sealed {
    /// Copies `bytes` into aligned memory of our own (so that nobody can shrink it under us) and checks them.
    ///
    /// # Errors
    /// See [`OpenError`]; a snapshot that is refused changes nothing.
    pub fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(OpenError::Length);
        }
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(OpenError::Length)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(OpenError::Length)?;
        let (crc, rest) = rest.split_first_chunk::<4>().ok_or(OpenError::Length)?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or(OpenError::Length)?;
        let (zero, archive) = rest.split_first_chunk::<8>().ok_or(OpenError::Length)?;
        if magic != MAGIC || zero != &[0; 8] {
            return Err(OpenError::Magic);
        }
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        if u64::from_le_bytes(*length) != archive.len() as u64 {
            return Err(OpenError::Length);
        }
        if u32::from_le_bytes(*crc) != checksum(version, archive) {
            return Err(OpenError::Checksum);
        }
        let mut aligned = AlignedVec::with_capacity(archive.len());
        aligned.extend_from_slice(archive);
        rkyv::access::<ArchivedSnapshot, rancor::Error>(&aligned).map_err(|_| OpenError::Structure)?;
        Ok(Self { bytes: aligned })
    }

    /// The configuration itself, without a copy.
    #[must_use]
    #[allow(
        unsafe_code,
        reason = "one full check at opening instead of one at every access"
    )]
    pub fn snapshot(&self) -> &ArchivedSnapshot {
        // SAFETY: `open` ran the checked access over exactly these bytes, and they are private and never change.
        unsafe { rkyv::access_unchecked::<ArchivedSnapshot>(&self.bytes) }
    }

    /// An owned copy, for compiling lookup tables.
    ///
    /// # Errors
    /// Only if memory cannot be had.
    pub fn to_owned(&self) -> Result<Snapshot, rancor::Error> {
        rkyv::deserialize::<Snapshot, rancor::Error>(self.snapshot())
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("epoch", &self.snapshot().epoch)
            .finish_non_exhaustive()
    }
}

/// Maps an address into the 128 bits that [`Source::Network`] compares.
#[must_use]
pub fn address_bits(address: std::net::IpAddr) -> [u8; 16] {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    }
}

/// Whether `address` lies in the network `net`/`prefix`.
#[must_use]
pub fn in_network(address: [u8; 16], net: [u8; 16], prefix: u8) -> bool {
    let prefix = u32::from(prefix.min(128));
    let mask = if prefix == 0 {
        0
    } else {
        u128::MAX << (128 - prefix)
    };
    (u128::from_be_bytes(address) ^ u128::from_be_bytes(net)) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        Snapshot {
            epoch: Epoch(7),
            providers: vec![Provider {
                id: "anthropic".into(),
                models: vec!["claude-*".into()],
                key: Secret("sk-canary".into()),
                flags: 1 << Flag::AnthropicMessages as u8,
                ..Provider::default()
            }],
            grants: vec![Grant {
                sources: vec![
                    Source::Any,
                    Source::Network {
                        address: [0; 16],
                        prefix: 8,
                    },
                ],
                capabilities: vec![Capability {
                    role: Some(Role::Admin),
                    ..Capability::default()
                }],
                app: vec![AppValue {
                    key: "example.com/cap/x".into(),
                    json: "[1]".into(),
                }],
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn opens_what_was_sealed() {
        let sealed = Sealed::open(&seal(&example()).unwrap()).unwrap();
        assert_eq!(sealed.to_owned().unwrap(), example());
        assert_eq!(sealed.snapshot().providers[0].id.as_str(), "anthropic");
    }

    #[test]
    fn no_flip_and_no_cut_is_accepted() {
        let bytes = seal(&example()).unwrap();
        for cut in 0..bytes.len() {
            assert!(Sealed::open(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut flipped = bytes.to_vec();
        for bit in 0..flipped.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Sealed::open(&flipped).is_err(), "bit {bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// A snapshot as large as a real one: 64 KiB and at most one alignment more.
    fn large() -> AlignedVec {
        let mut snapshot = example();
        let filler = |number: usize| Provider {
            id: format!("provider-{number}"),
            models: vec![format!("model-{number}-*"), "**".into()],
            key: Secret(format!("sk-{number}")),
            description: "x".repeat(150),
            ..Provider::default()
        };
        while seal(&snapshot).unwrap().len() < (64 << 10) - 1_024 {
            let number = snapshot.providers.len();
            snapshot.providers.extend((number..number + 8).map(filler));
        }
        loop {
            let sealed = seal(&snapshot).unwrap();
            if sealed.len() >= 64 << 10 {
                return sealed;
            }
            snapshot.providers[0].description.push_str("0123456789abcdef");
        }
    }

    #[test]
    fn no_flip_and_no_cut_of_64_kib_is_accepted() {
        let bytes = large();
        assert!((64 << 10..80 << 10).contains(&bytes.len()), "{}", bytes.len());
        assert!(Sealed::open(&bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(Sealed::open(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut flipped = bytes.to_vec();
        let mut refused = [0u32; 5];
        for bit in 0..flipped.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            match Sealed::open(&flipped) {
                Ok(_) => panic!("bit {bit} is accepted"),
                Err(OpenError::Length) => refused[0] += 1,
                Err(OpenError::Magic) => refused[1] += 1,
                Err(OpenError::Version(_)) => refused[2] += 1,
                Err(OpenError::Checksum) => refused[3] += 1,
                Err(OpenError::Structure) => refused[4] += 1,
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(flipped, *bytes);
        // The header has 8 bytes of length, 16 that say what it is, 4 of version; all else is the checksum's.
        let rest = u32::try_from(bytes.len() * 8 - (8 + 16 + 4) * 8).unwrap();
        assert_eq!(refused, [64, 128, 32, rest, 0]);
        // A snapshot with something behind it, and one of the next version, are none either.
        flipped.push(0);
        assert!(matches!(Sealed::open(&flipped), Err(OpenError::Length)));
        flipped.pop();
        flipped[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        assert!(matches!(Sealed::open(&flipped), Err(OpenError::Version(v)) if v == VERSION + 1));
    }

    #[test]
    fn keys_are_never_shown() {
        let shown = format!(
            "{:?} {:?}",
            example(),
            Sealed::open(&seal(&example()).unwrap()).unwrap().snapshot()
        );
        assert!(!shown.contains("sk-canary"), "{shown}");
    }

    #[test]
    fn networks_compare_leading_bits() {
        let check = |address: &str, net: &str, prefix: u8, inside: bool| {
            let bits = |text: &str| address_bits(text.parse().unwrap());
            assert_eq!(
                in_network(bits(address), bits(net), prefix),
                inside,
                "{address} in {net}/{prefix}"
            );
        };
        check("10.1.2.3", "10.0.0.0", 96 + 8, true);
        check("11.1.2.3", "10.0.0.0", 96 + 8, false);
        check("fd7a::1", "fd7a::", 48, true);
        check("10.1.2.3", "::", 0, true);
        check("10.1.2.3", "10.1.2.3", 128, true);
        check("10.1.2.4", "10.1.2.3", 128, false);
    }
}
