//! What a request shows of who it is from, and what a caller's principal rests on.

use std::borrow::Cow;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use sluice_shared::snapshot::{self, BearerMode, NetworkPrefix, Secret, SourceKind, in_network};
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::{Principal, Proof, Whom};

/// SHA-256 of a proof ([`Proof::canonical`]).
pub(crate) type Hash = [u8; 32];

/// What the document says about proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Some source goes by the address of the peer.
    pub(crate) by_address: bool,
    /// Client certificates are believed, and before any of these.
    pub(crate) mtls: Option<bool>,
    pub(crate) token: bool,
    pub(crate) oidc: bool,
    pub(crate) served: bool,
    pub(crate) mode: BearerMode,
}

impl Rules {
    pub(crate) fn of(identity: &snapshot::Identity) -> Self {
        let sources = identity.sources.as_slice();
        let place = |kind| sources.iter().position(|source| *source == kind);
        let by_address = sources.iter().position(|source| source.by_address());
        Self {
            // Without a list the control plane is asked, which says no.
            by_address: sources.is_empty() || by_address.is_some(),
            mtls: place(SourceKind::Mtls).map(|mtls| by_address.is_none_or(|other| mtls < other)),
            token: place(SourceKind::Token).is_some(),
            oidc: place(SourceKind::Oidc).is_some(),
            served: place(SourceKind::ServeHeaders).is_some(),
            mode: identity.bearer,
        }
    }
}

/// What a request shows.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) address: [u8; 16],
    pub(crate) port: u16,
    /// Whom the client's certificate proves, and until when.
    pub(crate) certificate: Option<(&'a Arc<Principal>, MonoMicros)>,
    pub(crate) served: Served<'a>,
    pub(crate) bearer: Option<Token<'a>>,
}

/// A credential of our shape.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    text: &'a str,
    pub(crate) hash: Hash,
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl<'a> Token<'a> {
    /// `bytes` have one of the shapes, so they are ASCII.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Some(Self {
            text: std::str::from_utf8(bytes).ok()?,
            hash: finish(context),
        })
    }

    pub(crate) fn proof(&self) -> Proof {
        Proof::Bearer {
            token: Secret(self.text.to_owned()),
        }
    }
}

/// What the headers of `tailscale serve` say, on a listener that stands behind it.
#[derive(Debug)]
pub(crate) enum Served<'a> {
    /// The listener does not, or the peer is not this machine: the headers mean nothing.
    NotHere,
    /// Nobody. The address, which is this machine's, proves nothing here.
    Nobody,
    /// The request cannot be believed.
    Refused(&'static str),
    User {
        login: Cow<'a, str>,
        capabilities: Cow<'a, str>,
        hash: Hash,
    },
}

impl<'a> Served<'a> {
    pub(crate) fn user(login: Cow<'a, str>, capabilities: Cow<'a, str>) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"\0served\0");
        context.update(&(login.len() as u64).to_le_bytes());
        context.update(login.as_bytes());
        context.update(capabilities.as_bytes());
        let hash = finish(context);
        Self::User {
            login,
            capabilities,
            hash,
        }
    }

    pub(crate) fn hash(&self) -> Option<Hash> {
        match self {
            Self::User { hash, .. } => Some(*hash),
            Self::NotHere | Self::Nobody | Self::Refused(_) => None,
        }
    }

    pub(crate) fn proof(&self) -> Option<Proof> {
        match self {
            Self::User {
                login, capabilities, ..
            } => Some(Proof::Served {
                login: login.clone().into_owned(),
                capabilities: capabilities.clone().into_owned(),
            }),
            Self::NotHere | Self::Nobody | Self::Refused(_) => None,
        }
    }
}

fn finish(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.iter_mut()
        .zip(context.finish().as_ref())
        .for_each(|(to, byte)| *to = *byte);
    hash
}

/// The proofs that a principal rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Basis {
    pub(crate) address: bool,
    pub(crate) served: Option<Hash>,
    pub(crate) bearer: Option<Hash>,
}

impl Basis {
    /// The address and nothing else.
    pub(crate) const fn address_only() -> Self {
        Self {
            address: true,
            served: None,
            bearer: None,
        }
    }

    /// Whether what is said about `whom` concerns a request from `address` that rests on this.
    pub(crate) fn concerns(&self, whom: Whom, address: [u8; 16]) -> bool {
        match whom {
            Whom::Everyone => true,
            Whom::Address(forgotten) => self.address && forgotten == address,
            Whom::Proof(forgotten) => self.served == Some(forgotten) || self.bearer == Some(forgotten),
        }
    }
}

/// Whether "unknown" about one port of an address holds for the others. Not where a proxy of the tailnet's daemon
/// lends its own address to many: on this machine and within tailnets.
pub(crate) fn unknown_on_every_port(address: [u8; 16]) -> bool {
    !is_loopback(address)
        && !TAILNETS
            .iter()
            .any(|net| in_network(address, net.address, net.prefix))
}

/// `100.64.0.0/10` (RFC 6598, mapped into IPv6) and Tailscale's unique local prefix.
const TAILNETS: [NetworkPrefix; 2] = [
    NetworkPrefix {
        address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 100, 64, 0, 0],
        prefix: 96 + 10,
    },
    NetworkPrefix {
        address: [0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        prefix: 48,
    },
];

/// `127.0.0.0/8` or `::1`.
pub(crate) fn is_loopback(address: [u8; 16]) -> bool {
    let v6 = std::net::Ipv6Addr::from(address);
    v6.to_ipv4_mapped()
        .map_or_else(|| v6.is_loopback(), |v4| v4.is_loopback())
}

#[cfg(test)]
mod tests {
    use ring::digest::digest;

    use super::*;

    /// Red if the control plane, which revokes by this name, would call a proof by another.
    #[test]
    fn a_proof_has_the_same_name_in_both_planes() {
        let name = |proof: &Proof| digest(&SHA256, &proof.canonical()).as_ref().to_vec();
        for text in ["slt_a", "eyJ.e30.", ""] {
            let token = Token::new(text.as_bytes()).unwrap();
            assert_eq!(token.hash.to_vec(), name(&token.proof()));
            assert_eq!(format!("{token:?}"), "***");
        }
        for (login, capabilities) in [("a@b", ""), ("ü", "{}"), ("", "x")] {
            let served = Served::user(login.into(), capabilities.into());
            let proof = served.proof().unwrap();
            assert_eq!(served.hash().unwrap().to_vec(), name(&proof));
        }
        assert_ne!(
            Served::user("ab".into(), "c".into()).hash(),
            Served::user("a".into(), "bc".into()).hash()
        );
    }

    #[test]
    fn some_addresses_stand_for_many_callers() {
        let check = |text: &str, loopback: bool, every_port: bool| {
            let address = snapshot::address_bits(text.parse().unwrap());
            assert_eq!(
                (is_loopback(address), unknown_on_every_port(address)),
                (loopback, every_port),
                "{text}"
            );
        };
        check("127.0.0.1", true, false);
        check("127.255.0.9", true, false);
        check("::1", true, false);
        check("128.0.0.1", false, true);
        check("10.0.0.1", false, true);
        check("::2", false, true);
        check("100.64.0.0", false, false);
        check("100.127.255.255", false, false);
        check("100.63.255.255", false, true);
        check("100.128.0.0", false, true);
        check("fd7a:115c:a1e0::1", false, false);
        check("fd7a:115c:a1e1::1", false, true);
    }

    /// Red if a revocation ends what does not rest on it, or leaves what does.
    #[test]
    fn a_request_is_concerned_by_what_it_rests_on() {
        let here = [1; 16];
        let bases = [
            Basis::address_only(),
            Basis {
                served: Some([2; 32]),
                ..Basis::default()
            },
            Basis {
                address: true,
                served: None,
                bearer: Some([3; 32]),
            },
            Basis::default(),
        ];
        let check = |whom: Whom, expected: [bool; 4]| {
            assert_eq!(
                bases.map(|basis| basis.concerns(whom, here)),
                expected,
                "{whom:?}"
            );
        };
        check(Whom::Everyone, [true; 4]);
        check(Whom::Address(here), [true, false, true, false]);
        check(Whom::Address([9; 16]), [false; 4]);
        check(Whom::Proof([2; 32]), [false, true, false, false]);
        check(Whom::Proof([3; 32]), [false, false, true, false]);
        check(Whom::Proof([9; 32]), [false; 4]);
    }
}
