//! Which conversation a request belongs to, as far as the client says.
//!
//! Every value is made by the client: it groups records within one authenticated principal and proves nothing.

use crate::json::Facts;

/// Longest session key, in bytes.
const SESSION_BYTES_MAX: usize = 256;

/// The session that the client names, or `None`. `header` looks a header up by its lower-case name.
///
/// Order, most telling first: Claude Code's header, the session inside `metadata.user_id`, Codex's headers and body
/// field, the generic session headers, LiteLLM's, the prompt cache key, the response that this one continues. A value
/// that is empty, longer than [`SESSION_BYTES_MAX`] or holds a control character is passed over.
#[must_use]
pub fn session_key<'a>(header: impl Fn(&str) -> Option<&'a [u8]>, facts: &Facts) -> Option<String> {
    let by_header = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| acceptable(std::str::from_utf8(header(name)?).ok()?.trim()).map(str::to_owned))
    };
    let by_body = |value: &Option<String>| acceptable(value.as_deref()?).map(str::to_owned);

    by_header(&["x-claude-code-session-id"])
        .or_else(|| session_of_user_id(facts.metadata_user_id.as_deref()?))
        .or_else(|| by_header(&["session-id", "session_id"]))
        .or_else(|| by_body(&facts.client_metadata_session_id))
        .or_else(|| by_header(&["thread-id", "conversation_id"]))
        .or_else(|| by_header(&["x-opencode-session", "x-session-id", "x-session-affinity"]))
        .or_else(|| by_header(&["x-client-session-id", "vscode-sessionid"]))
        .or_else(|| by_header(&["x-litellm-session-id"]))
        .or_else(|| by_body(&facts.litellm_session_id))
        .or_else(|| by_body(&facts.prompt_cache_key))
        .or_else(|| by_body(&facts.previous_response_id))
}

/// The session in Claude Code's `metadata.user_id`: `user_…_account_…_session_<uuid>`, or (from 2.1.78) a JSON object
/// in a string with the key `session_id`. Any other user id names a user and no session.
fn session_of_user_id(user_id: &str) -> Option<String> {
    if user_id.starts_with('{') {
        let mut scan =
            crate::json::BodyScan::new(crate::json::KeyTable::USER_ID, crate::json::JsonLimits::DEFAULT);
        scan.feed(user_id.as_bytes()).ok()?;
        let inner = scan.finish().ok()?;
        return acceptable(inner.client_metadata_session_id.as_deref()?).map(str::to_owned);
    }
    let (_, session) = user_id
        .starts_with("user_")
        .then(|| user_id.rsplit_once("_session_"))??;
    acceptable(session).map(str::to_owned)
}

fn acceptable(value: &str) -> Option<&str> {
    (!value.is_empty() && value.len() <= SESSION_BYTES_MAX && !value.chars().any(char::is_control))
        .then_some(value)
}
