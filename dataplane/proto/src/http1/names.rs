//! Which header fields may cross the gateway.
//!
//! Names are compared without regard to ASCII case. For identity and credentials an underscore counts as a hyphen:
//! CGI-style servers cannot tell `X_Forwarded_For` from `X-Forwarded-For`, so one would pass for the other.

use super::ConnectionTokens;

/// Whether a field is meant for one connection only (RFC 9110 §7.6.1): the known ones, and those that `Connection`
/// names. `head` is the slice that was parsed.
#[must_use]
pub fn hop_by_hop(name: &[u8], connection: &ConnectionTokens, head: &[u8]) -> bool {
    let known = match name.len() {
        2 => name.eq_ignore_ascii_case(b"te"),
        7 => name.eq_ignore_ascii_case(b"trailer") || name.eq_ignore_ascii_case(b"upgrade"),
        10 => name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive"),
        14 => name.eq_ignore_ascii_case(b"http2-settings"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        18 => name.eq_ignore_ascii_case(b"proxy-authenticate"),
        19 => name.eq_ignore_ascii_case(b"proxy-authorization"),
        25 => name.eq_ignore_ascii_case(b"proxy-authentication-info"),
        _ => false,
    };
    known || connection.nominates(name, head)
}

/// Whether a field says how the body ends. It is never forwarded as received.
#[must_use]
pub fn is_framing(name: &[u8]) -> bool {
    match name.len() {
        14 => name.eq_ignore_ascii_case(b"content-length"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

/// Whether a field claims to say who or where the caller is. From a client such a claim is worthless, towards a
/// provider it would be believed or leak: always removed.
#[must_use]
pub fn is_identity_header(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| same(start, prefix));
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'x') => {
            X_PREFIXES.iter().any(|prefix| starts(prefix)) || X_NAMES.iter().any(|known| same(name, known))
        }
        Some(b't' | b'f' | b'r' | b'c' | b'v' | b'w' | b's' | b'a') => {
            PREFIXES.iter().any(|prefix| starts(prefix)) || NAMES.iter().any(|known| same(name, known))
        }
        _ => false,
    }
}

/// `X-…` families: forwarding proxies, authenticating proxies, identity-aware proxies, this gateway's own.
const X_PREFIXES: [&[u8]; 8] = [
    b"x-forwarded-",
    b"x-webauth-",
    b"x-sluice-",
    b"x-authenticated-",
    b"x-auth-request-",
    b"x-remote-",
    b"x-tailscale-",
    b"x-goog-authenticated-user-",
];

const X_NAMES: [&[u8]; 11] = [
    b"x-forwarded",
    b"x-forward-for",
    b"x-real-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-originating-ip",
    b"x-original-forwarded-for",
    b"x-envoy-external-address",
    b"x-envoy-internal",
    b"x-goog-iap-jwt-assertion",
    b"x-ssl-client-cert",
];

const PREFIXES: [&[u8]; 3] = [b"tailscale-", b"remote-", b"cf-access-"];

const NAMES: [&[u8]; 10] = [
    b"forwarded",
    b"true-client-ip",
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"client-ip",
    b"client-cert",
    b"client-cert-chain",
    b"fastly-client-ip",
    b"via",
    b"ssl-client-cert",
];

/// Whether a field carries a credential of the client. Each is removed before the provider's own is set.
///
/// Cookies count: no model API uses them, and a browser sends those of the dashboard, which shares the address, with
/// every request. The `X-Amz-*` fields of a request signed for someone else are of no use and reveal the key's name.
#[must_use]
pub fn is_client_credential(name: &[u8]) -> bool {
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'a' | b'c' | b'o' | b'p' | b'x') => CREDENTIALS.iter().any(|known| same(name, known)),
        _ => false,
    }
}

const CREDENTIALS: [&[u8]; 18] = [
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"proxy-authorization",
    b"cookie",
    b"cookie2",
    b"apikey",
    b"x-apikey",
    b"x-auth-token",
    b"x-access-token",
    b"x-goog-iam-authorization-token",
    b"x-amz-security-token",
    b"x-amz-date",
    b"x-amz-content-sha256",
    b"x-amz-signature",
    b"ocp-apim-subscription-key",
    b"x-authorization",
];

/// Equal without regard to case, `_` counting as `-`. `known` is in lower case with hyphens.
fn same(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name
            .iter()
            .zip(known)
            .all(|(&b, &k)| b.to_ascii_lowercase() == k || (b == b'_' && k == b'-'))
}
