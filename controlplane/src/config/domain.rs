//! The document as checked values: nothing here needs checking again.
//!
//! Leaves that the data plane reads as they are (addresses, headers, bounds) are the snapshot's own types; what
//! compiling still has to decide (order, flags, who is left out) is in types of this module.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sluice_shared::snapshot::{
    Alias, AuthMode, Authorization, BaseUrl, CostRule, Grant, Header, Limits, Listener, Secret, Timeouts,
};

/// A whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) providers: Vec<Provider>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) identity: Identity,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) limits: Limits,
}

/// A provider that can be used, or could if it were not disabled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) base: BaseUrl,
    pub(crate) models: Vec<String>,
    pub(crate) flags: BTreeSet<u8>,
    pub(crate) authorization: Authorization,
    pub(crate) auth_mode: AuthMode,
    pub(crate) key: Secret,
    pub(crate) add_headers: Vec<Header>,
    pub(crate) preference: i32,
    pub(crate) weight: u32,
    pub(crate) disabled: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) connections_max: u32,
    pub(crate) ca_pem: Option<String>,
    pub(crate) cost_basis: String,
    pub(crate) cost_map: Vec<CostRule>,
}

/// Where principals come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Asked in this order.
    pub(crate) sources: Vec<SourceKind>,
    /// Networks of the `static` source.
    pub(crate) networks: Vec<Network>,
    /// How long an answer counts, in milliseconds.
    pub(crate) age_ms_max: u64,
}

/// Five minutes: long enough that a busy connection never waits, short enough that a removed entry does not linger.
pub(crate) const IDENTITY_AGE_MS: u64 = 300_000;

impl Default for Identity {
    fn default() -> Self {
        Self {
            sources: vec![SourceKind::Loopback],
            networks: Vec::new(),
            age_ms_max: IDENTITY_AGE_MS,
        }
    }
}

/// An identity source of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Loopback,
    Static,
}

/// Whose a network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// Network address, IPv4 mapped into IPv6.
    pub(crate) address: [u8; 16],
    /// Leading bits of the mapped address that count.
    pub(crate) prefix: u8,
    /// Login; empty if `tags` is not.
    pub(crate) login: String,
    /// Sorted, without duplicates.
    pub(crate) tags: Vec<String>,
    /// Sorted, without duplicates.
    pub(crate) groups: Vec<String>,
}

/// Reads `10.0.0.0/8`, `fd7a::/48` or a single address; bits behind the prefix are cleared.
pub(crate) fn network(text: &str) -> Option<([u8; 16], u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => {
            let digits =
                !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
            (address, Some(prefix.parse::<u8>().ok().filter(|_| digits)?))
        }
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (widest, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    let prefix = prefix.unwrap_or(widest);
    if prefix > widest {
        return None;
    }
    let prefix = prefix + offset;
    let mask = if prefix == 0 {
        0
    } else {
        u128::MAX << (128 - u32::from(prefix))
    };
    let bits = u128::from_be_bytes(sluice_shared::snapshot::address_bits(address)) & mask;
    Some((bits.to_be_bytes(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_masked() {
        let check = |text: &str, expected: Option<(&str, u8)>| {
            let expected = expected.map(|(a, p)| (a.parse::<std::net::Ipv6Addr>().unwrap().octets(), p));
            assert_eq!(network(text), expected, "{text}");
        };
        check("10.1.2.3", Some(("::ffff:10.1.2.3", 128)));
        check("10.1.2.3/8", Some(("::ffff:10.0.0.0", 104)));
        check("0.0.0.0/0", Some(("::ffff:0:0", 96)));
        check("fd7a::1/16", Some(("fd7a::", 16)));
        check("::/0", Some(("::", 0)));
        for refused in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "x/8",
            "10.0.0.0/8/8",
        ] {
            check(refused, None);
        }
    }
}
