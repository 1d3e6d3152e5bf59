//! Which addresses the daemon is asked about at all, and how.
//!
//! An unknown address *with a port* makes the daemon sleep with its main lock held, which any outsider could cause. So
//! only addresses that a tailnet gives to nodes are asked about, and those by the bare address. With userspace
//! networking peers come from loopback ports, and only the exact port says who it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What an answer of the daemon is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Address; IPv4 mapped into IPv6.
    pub(crate) address: [u8; 16],
    /// The exact port; `None`: all connections from the address.
    pub(crate) port: Option<u16>,
}

impl Key {
    /// The key of a peer; `None` if the daemon is not to be asked.
    pub(super) fn of(address: [u8; 16], port: u16, userspace: bool) -> Option<Self> {
        let ip = IpAddr::from(address).to_canonical();
        let address = sluice_shared::snapshot::address_bits(ip);
        if is_tailnet(ip) {
            Some(Self { address, port: None })
        } else if userspace && ip.is_loopback() {
            Some(Self {
                address,
                port: Some(port),
            })
        } else {
            None
        }
    }

    /// The value of `addr` in a question.
    pub(super) fn addr(&self) -> String {
        let ip = IpAddr::from(self.address).to_canonical();
        match self.port {
            None => ip.to_string(),
            Some(port) => SocketAddr::new(ip, port).to_string(),
        }
    }
}

/// Whether a tailnet gives this address to nodes: 100.64.0.0/10 without 100.115.92.0/23 (ChromeOS uses that), and
/// fd7a:115c:a1e0::/48.
fn is_tailnet(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let within = |net: Ipv4Addr, prefix: u32| (v4.to_bits() ^ net.to_bits()) >> (32 - prefix) == 0;
            within(Ipv4Addr::new(100, 64, 0, 0), 10) && !within(Ipv4Addr::new(100, 115, 92, 0), 23)
        }
        IpAddr::V6(v6) => {
            let net = Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0);
            (v6.to_bits() ^ net.to_bits()) >> (128 - 48) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tailnet_addresses_are_asked_about() {
        let check = |address: &str, with_device: Option<&str>, userspace: Option<&str>| {
            let ip: IpAddr = address.parse().unwrap();
            let octets = match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let addr = |userspace| Key::of(octets, 4000, userspace).map(|key| key.addr());
            assert_eq!(addr(false).as_deref(), with_device, "{address}");
            assert_eq!(addr(true).as_deref(), userspace, "{address} in userspace");
        };
        let asked = |address: &str| check(address, Some(address), Some(address));
        let not_asked = |address: &str| check(address, None, None);
        not_asked("100.63.255.255");
        asked("100.64.0.0");
        asked("100.115.91.255");
        not_asked("100.115.92.0");
        not_asked("100.115.93.255");
        asked("100.115.94.0");
        asked("100.127.255.255");
        not_asked("100.128.0.0");
        not_asked("10.0.0.1");
        not_asked("192.168.1.1");
        not_asked("8.8.8.8");
        not_asked("0.0.0.0");
        not_asked("fd7a:115c:a1df:ffff::1");
        asked("fd7a:115c:a1e0::");
        asked("fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff");
        not_asked("fd7a:115c:a1e1::");
        not_asked("fe80::1");
        not_asked("::");
        // The tailnet's IPv4 network spelled as IPv6, mapped: unmapped first.
        check(
            "::ffff:100.101.102.103",
            Some("100.101.102.103"),
            Some("100.101.102.103"),
        );
        // Not mapped but compatible or translated: other addresses.
        not_asked("::100.101.102.103");
        not_asked("64:ff9b::100.101.102.103");
        check("127.0.0.1", None, Some("127.0.0.1:4000"));
        check("127.9.9.9", None, Some("127.9.9.9:4000"));
        check("::ffff:127.0.0.1", None, Some("127.0.0.1:4000"));
        check("::1", None, Some("[::1]:4000"));
    }
}
