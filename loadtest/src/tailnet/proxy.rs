//! The PROXY protocol, version 2, from the sender's side: how a load client speaks for an address of the tailnet.

use std::net::{IpAddr, SocketAddr};

/// What every header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_COMMAND: u8 = 0x21;
/// TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header that stands before everything else on a connection from `from` to `to`.
///
/// If one of both is an IPv6 address, the other is written as one, too.
pub(super) fn header(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.push(VERSION_COMMAND);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(target)) => {
            out.extend([TCP4, 0, 12]);
            out.extend(source.octets());
            out.extend(target.octets());
        }
        (source, target) => {
            out.extend([TCP6, 0, 36]);
            for ip in [source, target] {
                let wide = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                out.extend(wide.octets());
            }
        }
    }
    out.extend(from.port().to_be_bytes());
    out.extend(to.port().to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_bytes_of_the_specification() {
        let check = |from: &str, to: &str, expected: &[u8]| {
            let header = header(from.parse().unwrap(), to.parse().unwrap());
            assert_eq!(
                header.get(..12),
                Some(&b"\x0d\x0a\x0d\x0a\x00\x0d\x0aQUIT\x0a"[..])
            );
            assert_eq!(header.get(12..), Some(expected), "{from} {to}");
        };
        check(
            "100.64.1.2:258",
            "127.0.0.1:80",
            &[0x21, 0x11, 0, 12, 100, 64, 1, 2, 127, 0, 0, 1, 1, 2, 0, 80],
        );
        let mut six = vec![0x21, 0x21, 0, 36];
        six.extend([0xfd, 0x7a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        six.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, 0, 1, 0, 2]);
        check("[fd7a::9]:1", "127.0.0.1:2", &six);
    }
}
