//! Web services that are asked about calls or told of them.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Authorization, BaseUrl, Secret};
use crate::api::named_enum;

/// A hook that is not disabled.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Hook {
    /// Key in the document.
    pub name: String,
    /// Where it lives; `path` holds its whole path.
    pub base: BaseUrl,
    /// Query of its URL without the question mark; empty: none.
    pub query: String,
    /// Its key; empty: none is sent.
    pub key: Secret,
    /// How the key is sent.
    pub authorization: Authorization,
    /// How long one call may take, connecting included, in milliseconds; 0: no limit.
    pub timeout_ms: u64,
    /// A call that the hook fails to judge gets 503 instead of going on.
    pub fail_closed: bool,
    /// Higher is called first; [`super::Snapshot::hooks`] is in that order already, equal ones by name.
    pub preference: i32,
    /// PEM certificates trusted instead of the built-in roots.
    pub ca_pem: Option<String>,
}

/// What a capability says of a hook.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct SendHook {
    /// Name of a [`Hook`]; one that is not defined is passed over.
    pub name: String,
    /// Bit `event as u8` is set for each [`HookEvent`] that it is called at.
    pub events: u8,
    /// Bit `part as u8` is set for each [`HookPart`] that it is sent.
    pub send: u16,
}

named_enum! {
    /// When a hook is called.
    HookEvent {
        /// Before a request is sent to a provider; the call waits for the answer.
        PreRequest = "pre_request",
        /// After every request that a provider answered; nobody waits.
        EntireRequest = "entire_request",
        /// After those whose answer called tools; nobody waits.
        ToolCallEntireRequest = "tool_call_entire_request",
    }
}

named_enum! {
    /// What a hook is sent beside the metadata.
    HookPart {
        /// Tool calls of the answer; before the request: tools that it offers.
        Tools = "tools",
        /// The request body as it is.
        RequestBody = "request_body",
        /// Text of the last message of the user.
        UserMessage = "user_message",
        /// The answer as one JSON object.
        ResponseBody = "response_body",
        /// The events of a streamed answer.
        RawResponses = "raw_responses",
        /// What it cost, or may cost.
        EstimatedCost = "estimated_cost",
        /// Values of the matching grants under capability keys that are not Sluice's.
        Grants = "grants",
        /// State of the buckets that count.
        Quotas = "quotas",
    }
}

impl SendHook {
    /// Whether it is called at an event.
    #[must_use]
    pub const fn at(&self, event: HookEvent) -> bool {
        self.events & (1 << event as u8) != 0
    }

    /// Whether it is sent a part.
    #[must_use]
    pub const fn sends(&self, part: HookPart) -> bool {
        self.send & (1 << part as u8) != 0
    }
}
