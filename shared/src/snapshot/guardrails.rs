//! Guardrails: what requests and answers must not contain, ask for or do.

use rkyv::{Archive, Deserialize, Serialize};

use crate::api::named_enum;

/// A rule of the built-in guardrails.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Guardrail {
    /// Key in the document.
    pub name: String,
    /// It holds for every call; otherwise where a capability names it ([`super::Capability::guardrails`]).
    pub everyone: bool,
    /// Globs over `provider/model` that it holds for; `None`: every model.
    pub models: Option<Vec<String>>,
    /// Requests are looked at.
    pub on_requests: bool,
    /// Answers are looked at, streamed ones too.
    pub on_answers: bool,
    /// What happens to what `detectors`, `patterns` and `phrases` find. What breaks the other parts of a rule cannot be
    /// redacted: it is blocked, or with [`GuardAction::Log`] noted.
    pub action: GuardAction,
    /// Findings are recorded, and nothing is done.
    pub shadow: bool,
    /// Names of built-in detectors.
    pub detectors: Vec<String>,
    /// Expressions of the operator.
    pub patterns: Vec<GuardPattern>,
    /// Phrases that are looked for without regard to letter case and white space.
    pub phrases: Vec<String>,
    /// The built-in list of phrases that try to override instructions is looked for, too.
    pub prompt_injection: bool,
    /// Tools that may be offered and called.
    pub tools: ToolRule,
    /// Most of what a request may ask for.
    pub caps: GuardCaps,
    /// Fields that a request must have: paths of keys with dots.
    pub require: Vec<String>,
    /// Fields that a request must not have.
    pub forbid: Vec<String>,
    /// What redacted text is replaced by; `{detector}` stands for the name of what found it. Empty: `[REDACTED:{detector}]`.
    pub replacement: String,
    /// What the client reads when it is refused; empty: a text that names the rule.
    pub message: String,
    /// Most bytes of an answer's text that are held back while a match may still be coming.
    pub hold_back_bytes: u32,
    /// Longest that they are held back when the provider pauses, in milliseconds. Then what is held is judged as it
    /// stands and handed on.
    pub hold_back_ms: u32,
}

/// An expression of the operator.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct GuardPattern {
    /// Named in findings.
    pub name: String,
    /// In the syntax of the `regex` crate, which matches in linear time.
    pub regex: String,
}

/// Tools that may be offered and called, by globs in which `*` stands for any text.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct ToolRule {
    /// Only these; empty: all.
    pub allow: Vec<String>,
    /// None of these, whatever `allow` says.
    pub deny: Vec<String>,
    /// Only tools of these MCP servers (`mcp__SERVER__tool`, or a server that the request names); empty: all. Tools of
    /// no server are not concerned.
    pub allow_servers: Vec<String>,
    /// No tools of these MCP servers.
    pub deny_servers: Vec<String>,
}

/// Most of what a request may ask for; `None`: no limit.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct GuardCaps {
    /// Tokens of output that it may ask for. A request that names no limit passes.
    pub max_tokens: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
    /// Images in the messages.
    pub images: Option<u64>,
}

named_enum! {
    /// What happens to what a guardrail finds.
    GuardAction {
        /// It is noted.
        Log = "log",
        /// It is replaced.
        Redact = "redact",
        /// The call is refused, or the answer ended.
        Block = "block",
    }
}

#[allow(clippy::derivable_impls, reason = "the macro derives nothing of the kind")]
impl Default for GuardAction {
    fn default() -> Self {
        Self::Block
    }
}
