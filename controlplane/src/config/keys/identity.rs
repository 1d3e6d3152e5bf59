//! Keys of `identity` and `listeners`.

use super::{Object, Shape, key, object, required};

static SOURCES: [&str; 7] = [
    "tailscale",
    "loopback",
    "static",
    "mtls",
    "oidc",
    "token",
    "serve_headers",
];
pub(crate) static ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
static SERVES: [&str; 2] = ["llm", "admin"];
static TAG: Shape = Shape::Pattern("^tag:[^,]+$", "tag:ci");
static GROUP: Shape = Shape::Pattern("^group:[^,]+$", "group:eng");

pub(crate) static IDENTITY: Object = object(
    "identity",
    "Where principals come from.",
    &[
        key(
            "sources",
            Shape::List(&Shape::Word(&SOURCES)),
            r#"["tailscale", "loopback"]"#,
            "Ways to prove who calls, asked in this order.",
        ),
        key(
            "static",
            Shape::List(&Shape::Object(&NETWORK)),
            "[]",
            "Networks whose source addresses cannot be forged (WireGuard, a VPC); the narrowest that holds the address counts.",
        ),
        key(
            "max_age",
            Shape::Duration,
            r#""5m""#,
            "How long an answer of a source counts; at least 1 s.",
        ),
        key(
            "bearer",
            Shape::Word(&["narrow", "replace"]),
            r#""narrow""#,
            "What a token may do beside a proof of the connection. narrow: it must name the same principal and its scope takes away; replace: its principal is used instead.",
        ),
        key(
            "tailscale",
            Shape::Object(&TAILSCALE),
            "{}",
            "How the tailnet's daemon is asked.",
        ),
        key(
            "oidc",
            Shape::List(&Shape::Object(&ISSUER)),
            "[]",
            "Issuers of JSON web tokens.",
        ),
        key(
            "mtls",
            Shape::List(&Shape::Object(&BUNDLE)),
            "[]",
            "Authorities of client certificates; at most one bundle for a trust domain, and one without.",
        ),
    ],
);

pub(crate) static NETWORK: Object = object(
    "network",
    "Whose a network is.",
    &[
        required("cidr", Shape::Text, "Network or address, e.g. 10.0.0.0/8."),
        key("login", Shape::Text, "", "Whose; either this or tags."),
        key(
            "tags",
            Shape::List(&TAG),
            "[]",
            "Tags of a device, which is no person; either this or login.",
        ),
        key("groups", Shape::List(&GROUP), "[]", "Groups."),
    ],
);

pub(crate) static TAILSCALE: Object = object(
    "tailscale",
    "How the tailnet's daemon is asked.",
    &[
        key(
            "socket",
            Shape::Pattern("^/", "/var/run/tailscale/tailscaled.sock"),
            r#""/var/run/tailscale/tailscaled.sock""#,
            "Absolute path of its Unix socket.",
        ),
        key(
            "userspace",
            Shape::Bool,
            "false",
            "The daemon runs without a network device: peers come from loopback ports that it alone can name.",
        ),
        key(
            "allow_shared",
            Shape::Bool,
            "false",
            "Let in nodes that were shared in from another tailnet.",
        ),
        key(
            "owner",
            Shape::Integer(0, u32::MAX as i64),
            "0",
            "User id that may own the socket beside root.",
        ),
    ],
);

pub(crate) static ISSUER: Object = object(
    "issuer",
    "An issuer of JSON web tokens.",
    &[
        required(
            "issuer",
            Shape::Text,
            "The iss claim, byte for byte; https, or http on loopback.",
        ),
        required(
            "audience",
            Shape::OneOrMany(&Shape::Text),
            "One of these must be in the aud claim.",
        ),
        key(
            "algorithms",
            Shape::List(&Shape::Word(&ALGORITHMS)),
            r#"["RS256", "ES256"]"#,
            "Signature algorithms that are accepted; symmetric ones and none never are.",
        ),
        key(
            "jwks_url",
            Shape::Text,
            "",
            "Where the keys are; if it is not given, what the issuer's discovery document says.",
        ),
        key(
            "ca_file",
            Shape::Text,
            "",
            "PEM certificates trusted for the issuer's server instead of the public ones, at most 1 MiB.",
        ),
        key(
            "login_claim",
            Shape::Text,
            r#""sub""#,
            "Claim that becomes the login.",
        ),
        key(
            "login_prefix",
            Shape::Text,
            r#""""#,
            "Put before the login, so that two issuers cannot name the same person by accident.",
        ),
        key("groups_claim", Shape::Text, "", "Claim with a list of groups."),
        key(
            "tags_claim",
            Shape::Text,
            "",
            "Claim with a list of tags; a token with tags is a machine's, not a person's.",
        ),
    ],
);

pub(crate) static BUNDLE: Object = object(
    "bundle",
    "Authorities that client certificates are checked against.",
    &[
        key(
            "trust_domain",
            Shape::Pattern("^[a-z0-9._-]{1,255}$", "prod.example.com"),
            "",
            "SPIFFE trust domain: certificates with a URI name in it are checked against this bundle and no other. Without it the bundle is for certificates without a URI name.",
        ),
        required(
            "ca_file",
            Shape::Text,
            "PEM certificates of the authorities, at most 1 MiB.",
        ),
        key(
            "crl_file",
            Shape::Text,
            "",
            "PEM revocation lists, at most 16 MiB.",
        ),
        key(
            "accept",
            Shape::List(&Shape::Word(&["email", "dns"])),
            "[]",
            "Names of a certificate that may be the login; only without trust_domain.",
        ),
        key(
            "groups",
            Shape::List(&GROUP),
            "[]",
            "Groups of everybody proven by this bundle.",
        ),
        key(
            "tags",
            Shape::List(&TAG),
            "[]",
            "Tags of everybody proven by this bundle; the login then is the tags.",
        ),
    ],
);

pub(crate) static LISTENER: Object = object(
    "listener",
    "An address to listen on.",
    &[
        required(
            "address",
            Shape::Pattern("^.+:[0-9]{1,5}$", "127.0.0.1:8080"),
            "IP:port; [::]:port for IPv6.",
        ),
        key(
            "serves",
            Shape::List(&Shape::Word(&SERVES)),
            r#"["llm", "admin"]"#,
            "llm: the endpoints of LLM clients; admin: /ui, /api, /aperture.",
        ),
        key("tls", Shape::Object(&LISTENER_TLS), "", "Terminates TLS."),
        key(
            "serve_headers",
            Shape::Bool,
            "false",
            "Stands behind tailscale serve: its identity headers are believed. Loopback addresses only.",
        ),
        key(
            "proxy_protocol",
            Shape::List(&Shape::Text),
            "[]",
            "Networks of balancers that send a PROXY protocol v2 header; from them, and only from them, one is required.",
        ),
        key(
            "hosts",
            Shape::List(&Shape::Text),
            "[]",
            "Names that the Host of admin requests may have, beside addresses and localhost.",
        ),
    ],
);

pub(crate) static LISTENER_TLS: Object = object(
    "listener_tls",
    "How a listener terminates TLS.",
    &[
        required(
            "cert_file",
            Shape::Text,
            "PEM certificate chain, leaf first, at most 1 MiB.",
        ),
        required(
            "key_file",
            Shape::Text,
            "PEM private key of the leaf, at most 64 KiB.",
        ),
        key(
            "client",
            Shape::Word(&["none", "optional", "required"]),
            r#""none""#,
            "Whether clients show a certificate.",
        ),
    ],
);

#[cfg(test)]
mod tests {
    #[test]
    fn the_sources_are_those_of_the_gateway() {
        let sources = sluice_shared::snapshot::SourceKind::ALL.map(|kind| kind.name());
        assert_eq!(super::SOURCES, sources);
    }
}
