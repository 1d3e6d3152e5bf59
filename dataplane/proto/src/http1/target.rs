//! The request target (RFC 9112 §3.2, RFC 3986).

use super::bytes::{is_hex_pair, is_path_byte, is_query_byte};
use super::{Method, Reject};

/// Accepts the origin form, `1*("/" segment) ["?" query]`, and `*` with OPTIONS.
///
/// The absolute form would bring a second host that may disagree with `Host`, the authority form belongs to CONNECT:
/// both are refused, and a gateway that clients reach by a base URL has no need of them. Bytes outside `pchar` are
/// refused rather than encoded, among them `#`, `\`, `"`, `<`, `>`, `^`, `` ` ``, `{`, `|`, `}`, `[`, `]`, controls
/// and everything above 0x7E; a percent sign must be followed by two hex digits. Dot segments, doubled slashes and
/// encoded slashes are within the grammar: the path table refuses them where it must.
pub(super) fn check(target: &[u8], method: Method) -> Result<(), Reject> {
    if target == b"*" && method == Method::Options {
        return Ok(());
    }
    if target.first() != Some(&b'/') {
        return Err(Reject::TargetForm);
    }
    let end = target
        .iter()
        .position(|&b| !is_path_byte(b))
        .unwrap_or(target.len());
    let mut rest = target.get(end..).unwrap_or_default();
    let mut in_query = false;
    while let Some((&b, after)) = rest.split_first() {
        match b {
            b'%' if is_hex_pair(after, 0) => rest = after.get(2..).unwrap_or_default(),
            b'?' => {
                in_query = true;
                rest = after;
            }
            _ if (in_query && is_query_byte(b)) || is_path_byte(b) => rest = after,
            _ => return Err(Reject::TargetBytes),
        }
    }
    Ok(())
}
