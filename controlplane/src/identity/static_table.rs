//! The `static` source: networks whose addresses are trustworthy (WireGuard, a VPC), each with a login or tags.
//!
//! The narrowest network that holds an address counts; of equal ones the first in the document.

use std::collections::HashMap;

use sluice_shared::wire::control::Principal;

use super::{Verdict, readable};
use crate::config::domain::Network;

pub(super) struct StaticTable {
    /// Prefix lengths in use, longest first, each with its networks by masked address.
    levels: Vec<(u8, HashMap<u128, Network>)>,
}

impl StaticTable {
    pub(super) fn new(networks: &[Network]) -> Self {
        let mut levels: HashMap<u8, HashMap<u128, Network>> = HashMap::new();
        for network in networks {
            let key = masked(network.address, network.prefix);
            levels
                .entry(network.prefix)
                .or_default()
                .entry(key)
                .or_insert_with(|| network.clone());
        }
        let mut levels: Vec<_> = levels.into_iter().collect();
        levels.sort_by_key(|(prefix, _)| std::cmp::Reverse(*prefix));
        Self { levels }
    }

    fn find(&self, address: [u8; 16]) -> Option<&Network> {
        self.levels
            .iter()
            .find_map(|(prefix, networks)| networks.get(&masked(address, *prefix)))
    }

    pub(super) fn whois(&self, address: [u8; 16]) -> Verdict {
        let Some(network) = self.find(address) else {
            return Verdict::pass();
        };
        let login = if network.tags.is_empty() {
            network.login.clone()
        } else {
            network.tags.join(",")
        };
        Verdict::Known {
            principal: Principal {
                source: "static".into(),
                login,
                node: readable(address).to_string(),
                tags: network.tags.clone(),
                groups: network.groups.clone(),
                ..Principal::default()
            },
            whole_address: true,
            age_ms: u64::MAX,
        }
    }
}

fn masked(address: [u8; 16], prefix: u8) -> u128 {
    let bits = u128::from_be_bytes(address);
    match prefix {
        0 => 0,
        prefix => bits & (u128::MAX << (128 - u32::from(prefix.min(128)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::domain::network;

    #[test]
    fn the_narrowest_network_counts() {
        let entry = |cidr: &str, login: &str, tags: &[&str]| {
            let (address, prefix) = network(cidr).unwrap();
            Network {
                address,
                prefix,
                login: login.into(),
                tags: tags.iter().map(|t| (*t).into()).collect(),
                groups: vec!["group:x".into()],
            }
        };
        let table = StaticTable::new(&[
            entry("::/0", "v6", &[]),
            entry("10.0.0.0/8", "wide", &[]),
            entry("10.1.0.0/16", "narrow", &[]),
            entry("10.1.0.0/16", "second", &[]),
            entry("10.1.2.3", "", &["tag:a", "tag:b"]),
        ]);
        let check = |address: &str, expected: &str, node: &str| {
            let bits = sluice_shared::snapshot::address_bits(address.parse().unwrap());
            let Verdict::Known { principal, .. } = table.whois(bits) else {
                panic!("{address}")
            };
            assert_eq!(
                (principal.login.as_str(), principal.node.as_str()),
                (expected, node),
                "{address}"
            );
        };
        check("10.9.9.9", "wide", "10.9.9.9");
        check("10.1.9.9", "narrow", "10.1.9.9");
        check("10.1.2.3", "tag:a,tag:b", "10.1.2.3");
        check("fd7a::1", "v6", "fd7a::1");
        check("192.168.0.1", "v6", "192.168.0.1");
    }
}
