//! The `loopback` source: whoever reaches us from this machine, for development and for one-person machines.

use std::net::IpAddr;

use sluice_shared::wire::control::Principal;

use super::{Verdict, readable};

/// Login and node of the loopback principal.
const LOOPBACK: &str = "(loopback)";

pub(super) fn whois(address: [u8; 16]) -> Verdict {
    let inside = match readable(address) {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback(),
    };
    if !inside {
        return Verdict::pass();
    }
    Verdict::Known {
        principal: Principal {
            source: "loopback".into(),
            login: LOOPBACK.into(),
            node: LOOPBACK.into(),
            ..Principal::default()
        },
        whole_address: true,
        age_ms: u64::MAX,
    }
}
