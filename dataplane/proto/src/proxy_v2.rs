//! The header of the PROXY protocol, version 2: a balancer's word on whose connection it passes on.
//!
//! ```text
//!  0                        12        13       14        16                  16 + length
//!  | 0D 0A 0D 0A 00 0D 0A 51 49 54 0A | 2 cmd | fam proto | length (BE) | addresses … TLVs … |
//! ```
//!
//! Bytes in, a decision out; nothing is read beyond the header, so what follows it belongs to the connection. TLVs are
//! skipped. Source: "The PROXY protocol", versions 1 & 2 (HAProxy), section 2.2. Where the text leaves a choice:
//! datagrams and Unix sockets are refused, since no listener of ours can have accepted them; `LOCAL` and the
//! family `UNSPEC` leave the connection's own addresses as they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header begins with.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part, in bytes.
pub const FIXED_BYTES: usize = 16;
/// Longest header, TLVs included, in bytes. The protocol has no limit below 64 KiB; senders keep below 536 bytes unless
/// they pass certificates on.
pub const HEADER_BYTES_MAX: usize = 4 << 10;

const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The connection comes from the sender itself (a health check), or from where it cannot say.
    Sender,
    /// The connection comes from here.
    Peer(SocketAddr),
}

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes are needed in all, and no more than that may be read.
    Needs(usize),
    /// A whole header of `bytes`.
    Done {
        /// Whose connection it is.
        origin: Origin,
        /// Bytes of the header; what follows is the connection's.
        bytes: usize,
    },
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It does not begin with the signature: no header, or one of version 1.
    #[error("no PROXY v2 header")]
    Missing,
    /// Version, command, family or length that the protocol does not have or that cannot be meant.
    #[error("PROXY v2 header is malformed")]
    Malformed,
    /// Longer than [`HEADER_BYTES_MAX`].
    #[error("PROXY v2 header is too long")]
    TooLong,
}

/// Reads a header from the start of a connection. Call it again with more bytes as long as it needs them.
///
/// # Errors
/// See [`ProxyError`]; the connection is to be closed.
pub fn parse(input: &[u8]) -> Result<Progress, ProxyError> {
    let signed = input.len().min(SIGNATURE.len());
    if input.get(..signed) != SIGNATURE.get(..signed) {
        return Err(ProxyError::Missing);
    }
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Progress::Needs(FIXED_BYTES));
    };
    let [.., version_and_command, family_and_protocol, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bytes = FIXED_BYTES + length;
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed),
    };
    if bytes > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let addresses = match (is_local, family_and_protocol) {
        // What a local connection says about addresses is to be skipped, whatever it is.
        (true, _) | (false, 0x00) => 0,
        (false, 0x11) => IPV4_BYTES,
        (false, 0x21) => IPV6_BYTES,
        (false, _) => return Err(ProxyError::Malformed),
    };
    if length < addresses {
        return Err(ProxyError::Malformed);
    }
    let Some(rest) = rest.get(..length) else {
        return Ok(Progress::Needs(bytes));
    };
    let origin = match addresses {
        IPV4_BYTES => ipv4(rest)?,
        IPV6_BYTES => ipv6(rest)?,
        _ => Origin::Sender,
    };
    Ok(Progress::Done { origin, bytes })
}

/// Source address, destination address, source port, destination port.
fn ipv4(block: &[u8]) -> Result<Origin, ProxyError> {
    let (source, rest) = block.split_first_chunk::<4>().ok_or(ProxyError::Malformed)?;
    let port = port_behind::<4>(rest)?;
    Ok(Origin::Peer(SocketAddr::new(
        IpAddr::V4(Ipv4Addr::from(*source)),
        port,
    )))
}

fn ipv6(block: &[u8]) -> Result<Origin, ProxyError> {
    let (source, rest) = block.split_first_chunk::<16>().ok_or(ProxyError::Malformed)?;
    let port = port_behind::<16>(rest)?;
    Ok(Origin::Peer(SocketAddr::new(
        IpAddr::V6(Ipv6Addr::from(*source)),
        port,
    )))
}

fn port_behind<const ADDRESS_BYTES: usize>(block: &[u8]) -> Result<u16, ProxyError> {
    let (_destination, rest) = block
        .split_first_chunk::<ADDRESS_BYTES>()
        .ok_or(ProxyError::Malformed)?;
    let (port, _) = rest.split_first_chunk::<2>().ok_or(ProxyError::Malformed)?;
    Ok(u16::from_be_bytes(*port))
}

/// For the fuzzer: a header is read the same however its bytes arrive, and never asks for less than it has.
///
/// # Panics
/// When that does not hold.
pub fn fuzz(input: &[u8]) {
    let whole = parse(input);
    let mut at = 0;
    loop {
        let so_far = input.get(..at).unwrap_or_default();
        match parse(so_far) {
            Ok(Progress::Needs(bytes)) => {
                assert!(bytes > at && bytes <= HEADER_BYTES_MAX, "{bytes} at {at}");
                if bytes > input.len() {
                    assert!(matches!(whole, Ok(Progress::Needs(_)) | Err(_)));
                    return;
                }
                at += 1;
            }
            found => {
                assert_eq!(found, whole, "at {at}");
                if let Ok(Progress::Done { bytes, .. }) = found {
                    assert_eq!(bytes, at, "read beyond the header");
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend_from_slice(&[version_and_command, family]);
        out.extend_from_slice(&u16::try_from(block.len()).unwrap().to_be_bytes());
        out.extend_from_slice(block);
        out
    }

    const V4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];

    fn v6() -> Vec<u8> {
        let mut block = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        block.extend_from_slice(&[0; 16]);
        block.extend_from_slice(&[0xff, 0xff, 0, 80]);
        block
    }

    #[test]
    fn headers_say_whose_connection_it_is() {
        let check = |input: Vec<u8>, expected: Result<Origin, ProxyError>| {
            let bytes = input.len();
            let expected = expected.map(|origin| Progress::Done { origin, bytes });
            assert_eq!(parse(&input), expected, "{input:02x?}");
            // What follows is not looked at.
            let mut more = input;
            more.extend_from_slice(b"GET / HTTP/1.1\r\n");
            assert_eq!(parse(&more), expected);
            fuzz(&more);
        };
        let peer = |text: &str| Ok(Origin::Peer(text.parse().unwrap()));
        check(header(0x21, 0x11, V4), peer("192.0.2.7:8080"));
        check(header(0x21, 0x21, &v6()), peer("[2001:db8::7]:65535"));
        // TLVs behind the addresses.
        check(
            header(0x21, 0x11, &[V4, &[4, 0, 3, 1, 2, 3]].concat()),
            peer("192.0.2.7:8080"),
        );
        check(header(0x20, 0x00, &[]), Ok(Origin::Sender));
        check(header(0x20, 0x11, V4), Ok(Origin::Sender));
        check(header(0x20, 0xff, &[1, 2, 3]), Ok(Origin::Sender));
        check(header(0x21, 0x00, &[]), Ok(Origin::Sender));
        check(header(0x21, 0x00, &[9; 40]), Ok(Origin::Sender));
        let bad = Err(ProxyError::Malformed);
        for version in [0x00, 0x11, 0x22, 0x2f, 0x31, 0xff] {
            check(header(version, 0x11, V4), bad);
        }
        // Datagrams, Unix sockets, families that do not exist.
        for family in [0x01, 0x10, 0x12, 0x22, 0x20, 0x31, 0x32, 0x41, 0xff] {
            check(header(0x21, family, &[0; 216]), bad);
        }
        check(header(0x21, 0x11, &V4[..11]), bad);
        check(header(0x21, 0x21, &v6()[..35]), bad);
        check(
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            Err(ProxyError::Missing),
        );
        check(b"GET / HTTP/1.1\r\n\r\n".to_vec(), Err(ProxyError::Missing));
        let longest = [V4, &vec![0; HEADER_BYTES_MAX - FIXED_BYTES - V4.len()]].concat();
        check(header(0x21, 0x11, &longest), peer("192.0.2.7:8080"));
        let one_over = [longest, vec![0]].concat();
        check(header(0x21, 0x11, &one_over), Err(ProxyError::TooLong));
    }

    #[test]
    fn a_cut_header_asks_for_the_rest_and_no_more() {
        for whole in [
            header(0x21, 0x11, V4),
            header(0x21, 0x21, &v6()),
            header(0x20, 0x00, &[]),
        ] {
            for cut in 0..whole.len() {
                let needs = if cut < FIXED_BYTES {
                    FIXED_BYTES
                } else {
                    whole.len()
                };
                assert_eq!(parse(&whole[..cut]), Ok(Progress::Needs(needs)), "cut at {cut}");
            }
            fuzz(&whole);
        }
    }

    /// Every bit of the fixed part matters; a flip in the addresses gives another address, never another length.
    #[test]
    fn no_flip_is_taken_for_the_same_header() {
        let whole = header(0x21, 0x11, V4);
        let intact = parse(&whole);
        let source = FIXED_BYTES..FIXED_BYTES + 4;
        let port = FIXED_BYTES + 8..FIXED_BYTES + 10;
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = parse(&flipped);
            fuzz(&flipped);
            let at = bit / 8;
            if at < SIGNATURE.len() {
                assert_eq!(found, Err(ProxyError::Missing), "bit {bit}");
            } else if at < FIXED_BYTES || source.contains(&at) || port.contains(&at) {
                assert_ne!(found, intact, "bit {bit}");
            } else {
                // The destination is not used.
                assert_eq!(found, intact, "bit {bit}");
            }
        }
    }

    /// Random changes of good headers, several at once.
    #[test]
    fn mutations_are_read_the_same_however_they_arrive() {
        let seeds = [
            header(0x21, 0x11, V4),
            header(0x21, 0x21, &v6()),
            header(0x20, 0, &[]),
            header(0x21, 0x11, &[V4, &[4, 0, 3, 1, 2, 3]].concat()),
        ];
        let mut state = 1u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap()
        };
        for round in 0..30_000 {
            let mut input = seeds[round % seeds.len()].clone();
            for _ in 0..=next() % 4 {
                let at = next() % input.len();
                match next() % 4 {
                    0 => input[at] = next().to_le_bytes()[0],
                    1 => input[at] ^= 1 << (next() % 8),
                    2 => input.truncate(at.max(1)),
                    _ => input.insert(at, next().to_le_bytes()[0]),
                }
            }
            fuzz(&input);
        }
    }

    #[test]
    fn an_own_encoder_and_the_parser_agree() {
        // A walk over addresses and ports by a fixed step, both families.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bytes = state.to_be_bytes();
            let port = [bytes[6], bytes[7]];
            let v4 = [&bytes[..4], &[10, 0, 0, 1], &port, &[0, 80]].concat();
            let Ok(Progress::Done { origin, .. }) = parse(&header(0x21, 0x11, &v4)) else {
                panic!("{v4:?}");
            };
            let expected = IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]);
            assert_eq!(
                origin,
                Origin::Peer(SocketAddr::new(expected, u16::from_be_bytes(port)))
            );
            let long = [&bytes[..], &bytes[..], &[0; 16], &port, &[0, 80]].concat();
            let Ok(Progress::Done { origin, .. }) = parse(&header(0x21, 0x21, &long)) else {
                panic!("{long:?}");
            };
            let mut octets = [0; 16];
            octets.copy_from_slice(&long[..16]);
            let expected = IpAddr::from(octets);
            assert_eq!(
                origin,
                Origin::Peer(SocketAddr::new(expected, u16::from_be_bytes(port)))
            );
        }
    }
}
