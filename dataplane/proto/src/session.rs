//! Which conversation a request belongs to, which agent in it made the call, and who started that agent.
//!
//! Clients say it in headers or in the body; for those that say nothing, the conversation's beginning is its
//! [fingerprint]. Every value is made by the client: it groups records within one authenticated principal and
//! proves nothing. Two principals can have the same key.

mod agent;
mod cursor;
mod digest;
mod fingerprint;
mod key;

use sluice_shared::api::ApiKind;
use sluice_shared::usage::SessionSource;

use crate::json::Facts;

/// Longest id taken, in bytes. A longer one, an empty one and one with control characters are passed over.
pub const ID_BYTES_MAX: usize = 256;

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The conversation; see [`SessionSource`] for where it comes from.
    pub key: Option<String>,
    /// Where the key comes from; `None` exactly where there is no key.
    pub source: SessionSource,
    /// The agent within the session that made the call; `None`: the main one, or nothing is said.
    pub agent: Option<String>,
    /// The agent, thread or session that started this one.
    pub parent: Option<String>,
}

/// Reads it from a request. `header` looks a header up by its lower-case name; `body` is the body that `facts` were read
/// from, in its chunks.
#[must_use]
pub fn session<'a>(
    kind: ApiKind,
    header: impl Fn(&str) -> Option<&'a [u8]>,
    facts: &Facts,
    body: &[&[u8]],
) -> Session {
    let (agent, parent) = agent::agent(&header);
    let named = key::by_client(&header, facts).or_else(|| {
        let print = fingerprint::fingerprint(kind, facts, body)?;
        Some((print, SessionSource::Fingerprint))
    });
    let (key, source) = match named {
        Some((key, source)) => (Some(key), source),
        None => (None, SessionSource::None),
    };
    Session {
        key,
        source,
        agent,
        parent,
    }
}

/// The first of these headers that holds an acceptable id.
fn by_header<'a>(header: &impl Fn(&str) -> Option<&'a [u8]>, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| acceptable(std::str::from_utf8(header(name)?).ok()?.trim()).map(str::to_owned))
}

fn acceptable(value: &str) -> Option<&str> {
    (!value.is_empty() && value.len() <= ID_BYTES_MAX && !value.chars().any(char::is_control))
        .then_some(value)
}
