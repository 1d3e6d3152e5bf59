//! What is kept of requests and answers.

use rkyv::{Archive, Deserialize, Serialize};

/// Everything of a share: a million millionths.
pub const SHARE_ALL: u32 = 1_000_000;

/// What is kept of requests and answers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Captures {
    /// Anything is kept at all.
    pub enabled: bool,
    /// Share of requests that is captured where nothing else is said, in millionths.
    pub share: u32,
    /// A request that cannot be captured is refused with 503 instead of being served without.
    pub fail_closed: bool,
    /// Most bytes of one body that are kept; the rest is cut off and the capture says so.
    pub body_bytes_max: u64,
    /// Most bytes of a data plane's captures that wait on disk for the control plane.
    pub buffer_bytes_max: u64,
    /// Header names, in lower case, whose values are redacted besides those that always are.
    pub redact_headers: Vec<String>,
}

impl Default for Captures {
    fn default() -> Self {
        Self {
            enabled: true,
            share: SHARE_ALL,
            fail_closed: false,
            body_bytes_max: 32 << 20,
            buffer_bytes_max: 2 << 30,
            redact_headers: Vec::new(),
        }
    }
}
