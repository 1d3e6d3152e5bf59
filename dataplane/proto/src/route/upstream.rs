//! The path that the provider gets: base URL's path + canonical suffix.

use super::Route;
use super::classify::version_segment;

/// Appends the path for the provider whose base URL has the path `base_path` (`""`, `/`, `/v1`, `/openai/v1/` …).
///
/// The client's own prefix falls away. If the base path holds a version segment, ours is dropped (`…/v1` + `/v1/…`); if
/// neither has one, the API's usual version is put in. `/openai` of Azure's deployments is collapsed likewise.
/// `model` replaces the model in the path (an alias, or a name freed of its provider prefix) and is
/// percent-encoded; without it, the path's bytes stay as they came. It has no effect on a route whose model is not in the path.
///
/// `path` must be the path that `route` was made from; the query is the caller's.
pub fn upstream_path(base_path: &str, route: &Route, path: &[u8], model: Option<&str>, out: &mut Vec<u8>) {
    let base = base_path.trim_end_matches('/');
    out.extend_from_slice(base.as_bytes());
    let base_versioned = base.split('/').any(version_segment);
    let mut start = route.suffix_start;
    if base_versioned {
        start = route.unversioned_start;
    } else if let (false, Some(version)) = (route.has_version, route.default_version) {
        out.push(b'/');
        out.extend_from_slice(version.as_bytes());
    }
    if let Some(prefix) = own_prefix(base, path.get(start..).unwrap_or_default()) {
        start = start.saturating_add(prefix);
    }
    match (&route.model, model) {
        (Some(place), Some(model)) => {
            out.extend_from_slice(path.get(start..place.start).unwrap_or_default());
            encode_segment(model, out);
            out.extend_from_slice(path.get(place.range().end..).unwrap_or_default());
        }
        _ => out.extend_from_slice(path.get(start..).unwrap_or_default()),
    }
}

/// Length of what the suffix begins with and the provider must not see (again): `/ollama` is ours alone; `/openai`
/// of a deployment may stand in the base path already.
fn own_prefix(base: &str, suffix: &[u8]) -> Option<usize> {
    if suffix.starts_with(b"/ollama/api/") {
        return Some("/ollama".len());
    }
    (suffix.starts_with(b"/openai/deployments/") && base.ends_with("/openai")).then_some("/openai".len())
}

/// Percent-encodes all but `[A-Za-z0-9._~-]`, `@` and `+`, so that the model stays one segment.
fn encode_segment(model: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-' | b'@' | b'+') {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}
