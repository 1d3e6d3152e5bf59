//! The session that the client names.

use sluice_shared::usage::SessionSource;

use super::{acceptable, by_header};
use crate::json::{BodyScan, Facts, JsonLimits, KeyTable};

/// The session key and where it stands.
///
/// Order, most telling first: Claude Code's header, the session inside `metadata.user_id`, Codex's headers and body
/// field, the generic session headers, LiteLLM's, the prompt cache key, the response that this one continues.
pub(super) fn by_client<'a>(
    header: &impl Fn(&str) -> Option<&'a [u8]>,
    facts: &Facts,
) -> Option<(String, SessionSource)> {
    let header = |names: &[&str]| by_header(header, names).map(|key| (key, SessionSource::Header));
    let body = |value: &Option<String>| {
        let key = acceptable(value.as_deref()?)?.to_owned();
        Some((key, SessionSource::Body))
    };
    header(&["x-claude-code-session-id"])
        .or_else(|| body(&session_of_user_id(facts.metadata_user_id.as_deref()?)))
        .or_else(|| header(&["session-id", "session_id"]))
        .or_else(|| body(&facts.client_metadata_session_id))
        .or_else(|| header(&["thread-id", "conversation_id"]))
        .or_else(|| header(&["x-opencode-session", "x-session-id", "x-session-affinity"]))
        .or_else(|| header(&["x-client-session-id", "vscode-sessionid"]))
        .or_else(|| header(&["x-litellm-session-id"]))
        .or_else(|| body(&facts.litellm_session_id))
        .or_else(|| body(&facts.prompt_cache_key))
        .or_else(|| body(&facts.previous_response_id))
}

/// The session in Claude Code's `metadata.user_id`: `user_…_account_…_session_<uuid>`, or (from 2.1.78) a JSON object
/// in a string with the key `session_id`. Any other user id names a user and no session.
fn session_of_user_id(user_id: &str) -> Option<String> {
    if user_id.starts_with('{') {
        let mut scan = BodyScan::new(KeyTable::USER_ID, JsonLimits::DEFAULT);
        scan.feed(user_id.as_bytes()).ok()?;
        return scan.finish().ok()?.client_metadata_session_id;
    }
    let (_, session) = user_id
        .starts_with("user_")
        .then(|| user_id.rsplit_once("_session_"))??;
    Some(session.to_owned())
}
