//! Bounds that are not configurable, each with its reason. The configurable ones are in the snapshot
//! (`sluice_shared::snapshot::Limits`).

use std::time::Duration;

/// Bytes read from a socket at once. Also what a stream holds at most when its client stops reading, so it stays
/// under 64 KiB together with the framing around it.
pub(crate) const SCRATCH_BYTES: usize = 48 << 10;

/// Ciphertext read at once: one TLS record of the largest size and its overhead.
pub(crate) const CIPHER_BYTES: usize = (16 << 10) + 2_048;

/// Largest buffer that a shard keeps for reuse.
pub(crate) const SPARE_BUFFER_BYTES_MAX: usize = 32 << 10;

/// Buffers that a shard keeps for reuse.
pub(crate) const SPARE_BUFFERS_MAX: usize = 32;

/// Bytes of one link of a large request body's chain.
pub(crate) const BODY_CHUNK_BYTES: usize = 64 << 10;

/// A request whose head and body together are smaller goes out in one write.
pub(crate) const COALESCE_BYTES: usize = 32 << 10;

/// Principals that a shard remembers by address; 100,000 fit with room for those that come and go.
pub(crate) const KNOWN_PEERS_MAX: usize = 131_072;

/// Principals that a shard remembers by a proof in the request, and policies made from such proofs.
pub(crate) const KNOWN_PROOFS_MAX: usize = 131_072;

/// Addresses and proofs of nobody that a shard remembers, each.
pub(crate) const KNOWN_NOBODIES_MAX: usize = 16_384;

/// Questions about proofs that a shard has open for one address at most, so that one that shows made-up tokens leaves
/// room for the others.
pub(crate) const PROOF_QUESTIONS_MAX: u32 = 32;

/// Prices that a shard remembers by provider and model; when full, it starts over.
pub(crate) const KNOWN_PRICES_MAX: usize = 4_096;

/// How long a name is waited for; within the connect limit of a provider, which is usually shorter.
pub(crate) const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);

/// How long a request waits for what its buckets lack, in all. The control plane answers, or is given up, within it.
pub(crate) const QUOTA_PATIENCE: Duration = Duration::from_secs(2);

/// Connections that a shard has to one hook at most, each with a request that waits for its answer. A hook that is slower
/// than that fails the calls beyond.
pub(crate) const HOOK_CONNECTIONS_MAX: u32 = 1_024;

/// Longest answer of a hook that cannot bring another request body.
pub(crate) const HOOK_REPLY_BYTES: u64 = 64 << 10;

/// Longest answer of a hook that can; less where requests may be less.
pub(crate) const HOOK_REPLY_BODY_BYTES: u64 = 10 << 20;

/// How long a scrape waits for the other shards.
pub(crate) const METRICS_PATIENCE: Duration = Duration::from_secs(2);

/// What is still read and thrown away after a refusal, so that the client gets to read it (RFC 9112 §9.6).
pub(crate) const LINGER_BYTES_MAX: usize = 4 << 20;

/// How long that may take.
pub(crate) const LINGER_MS: u64 = 2_000;

/// A client that takes nothing for this long while an answer waits for it is cut.
pub(crate) const WRITE_STALL_MS: u64 = 600_000;

/// After this time an upload must have kept the configured rate.
pub(crate) const BODY_RATE_AFTER_MS: u64 = 10_000;

/// Interval between two attempts to accept when descriptors are used up.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const _: () = assert!(SCRATCH_BYTES < 64 << 10);
const _: () = assert!(COALESCE_BYTES <= SCRATCH_BYTES);
const _: () = assert!(CIPHER_BYTES >= (16 << 10) + 261);
const _: () = assert!(HOOK_REPLY_BYTES < HOOK_REPLY_BODY_BYTES);
