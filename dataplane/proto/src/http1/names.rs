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
    let (families, names) = match name {
        [b'x' | b'X', b'-' | b'_', third, ..] => x_identity(third.to_ascii_lowercase()),
        [first, ..] => identity(first.to_ascii_lowercase()),
        [] => return false,
    };
    families
        .iter()
        .any(|family| name.get(..family.len()).is_some_and(|start| same(start, family)))
        || names.iter().any(|known| same(name, known))
}

/// Prefixes of families, and whole names.
type Names = (&'static [&'static [u8]], &'static [&'static [u8]]);

/// `X-…`, by the letter behind it: forwarding, authenticating and identity-aware proxies, and this gateway's own.
fn x_identity(third: u8) -> Names {
    match third {
        b'a' => (
            &[
                b"x-authenticated-",
                b"x-auth-request-",
                b"x-authentik-",
                b"x-amzn-oidc-",
                b"x-appengine-user-",
            ],
            &[b"x-azure-clientip", b"x-azure-socketip"],
        ),
        b'c' => (
            &[b"x-client-cert", b"x-consumer-", b"x-credential-"],
            &[
                b"x-client-ip",
                b"x-client-dn",
                b"x-client-verify",
                b"x-cluster-client-ip",
            ],
        ),
        b'e' => (&[], &[b"x-envoy-external-address", b"x-envoy-internal"]),
        b'f' => (&[b"x-forwarded-"], &[b"x-forwarded", b"x-forward-for"]),
        b'g' => (&[b"x-goog-authenticated-user-"], &[b"x-goog-iap-jwt-assertion"]),
        b'm' => (&[b"x-ms-client-principal", b"x-ms-token-"], &[]),
        b'o' => (&[], &[b"x-originating-ip", b"x-original-forwarded-for"]),
        b'p' => (&[b"x-pomerium-"], &[b"x-proxyuser-ip"]),
        b'r' => (&[b"x-remote-"], &[b"x-real-ip"]),
        b's' => (&[b"x-sluice-", b"x-ssl-client-"], &[b"x-spiffe-id"]),
        b't' => (&[b"x-tailscale-"], &[]),
        b'u' => (&[], &[b"x-userinfo"]),
        b'v' => (&[b"x-vouch-"], &[]),
        b'w' => (&[b"x-webauth-"], &[]),
        _ => (&[], &[]),
    }
}

/// The others, by their first letter.
fn identity(first: u8) -> Names {
    match first {
        b'c' => (
            &[b"cf-access-"],
            &[
                b"cf-connecting-ip",
                b"cf-connecting-ipv6",
                b"client-ip",
                b"client-cert",
                b"client-cert-chain",
            ],
        ),
        b'f' => (&[], &[b"forwarded", b"fastly-client-ip"]),
        b'r' => (&[b"remote-"], &[]),
        b's' => (&[b"ssl-client-"], &[]),
        b't' => (&[b"tailscale-"], &[b"true-client-ip"]),
        b'v' => (&[], &[b"via"]),
        _ => (&[], &[]),
    }
}

/// One name of every family and every single name that [`is_identity_header`] knows, in lower case with hyphens, for
/// tests that go through all of them.
#[doc(hidden)]
#[must_use]
pub fn identity_samples() -> Vec<String> {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let mut out = Vec::new();
    for letter in b'a'..=b'z' {
        for (families, names) in [x_identity(letter), identity(letter)] {
            out.extend(families.iter().map(|family| {
                let joint = if family.ends_with(b"-") { "user" } else { "-user" };
                text(family) + joint
            }));
            out.extend(names.iter().map(|name| text(name)));
        }
    }
    out
}

/// Whether a field carries a credential of the client. Each is removed before the provider's own is set.
///
/// Cookies count: no model API uses them, and a browser sends those of the dashboard, which shares the address, with
/// every request. The `X-Amz-*` fields of a request signed for someone else are of no use and reveal the key's name.
#[must_use]
pub fn is_client_credential(name: &[u8]) -> bool {
    let known: &[&[u8]] = match name.len() {
        6 => &[b"cookie", b"apikey"],
        7 => &[b"api-key", b"cookie2"],
        8 => &[b"x-apikey"],
        9 => &[b"x-api-key"],
        10 => &[b"x-amz-date"],
        12 => &[b"x-auth-token"],
        13 => &[b"authorization"],
        14 => &[b"x-goog-api-key", b"x-access-token"],
        15 => &[b"x-authorization", b"x-amz-signature"],
        19 => &[b"proxy-authorization"],
        20 => &[b"x-amz-security-token", b"x-amz-content-sha256"],
        25 => &[b"ocp-apim-subscription-key"],
        30 => &[b"x-goog-iam-authorization-token"],
        _ => return false,
    };
    known.iter().any(|known| same(name, known))
}

/// Equal without regard to case, `_` counting as `-`. `known` is in lower case with hyphens.
pub(super) fn same(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len()
        && name
            .iter()
            .zip(known)
            .all(|(&b, &k)| b.to_ascii_lowercase() == k || (b == b'_' && k == b'-'))
}
