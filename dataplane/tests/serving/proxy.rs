//! PROXY headers over sockets: required from configured senders, unknown from everybody else, and believed.

use sluice_proto::proxy_v2::SIGNATURE;
use sluice_shared::snapshot::{ClientAuth, Listener, NetworkPrefix, address_bits};

use crate::support::client::{Client, chat_stream, get};
use crate::support::pki::{Authority, counter};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup, wait_until};

fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend_from_slice(&[0x20 | command, family]);
    out.extend_from_slice(&u16::try_from(block.len()).unwrap().to_be_bytes());
    out.extend_from_slice(block);
    out
}

/// On behalf of an IPv4 client.
fn on_behalf_of(address: [u8; 4], port: u16) -> Vec<u8> {
    let block = [&address[..], &[127, 0, 0, 1], &port.to_be_bytes(), &[0, 80]].concat();
    header(1, 0x11, &block)
}

fn local() -> Vec<u8> {
    header(0, 0, &[])
}

fn network(text: &str, prefix: u8) -> NetworkPrefix {
    NetworkPrefix {
        address: address_bits(text.parse().unwrap()),
        prefix,
    }
}

fn start(upstream: &Upstream, senders: Vec<NetworkPrefix>) -> Gateway {
    let mut snapshot = plain(upstream.address);
    snapshot.limits.head_ms = 300;
    snapshot.listeners = vec![Listener {
        llm: true,
        admin: true,
        proxy_senders: senders,
        ..Listener::default()
    }];
    Gateway::start(Setup::new(snapshot))
}

fn refusals(gateway: &Gateway, reason: &str) -> u64 {
    let answer = gateway.call([local(), get("/metrics")].concat());
    counter(
        &answer.text(),
        &format!("sluice_proxy_refusals_total{{reason=\"{reason}\"}}"),
    )
}

/// Red if a configured sender can leave the header out, or a broken one is passed over.
#[test]
fn a_sender_must_say_whose_connection_it_is() {
    let upstream = Upstream::plain();
    let gateway = start(&upstream, vec![network("127.0.0.1", 128)]);
    for good in [
        local(),
        on_behalf_of([192, 0, 2, 7], 4_000),
        header(1, 0, &[1, 2, 3]),
        header(1, 0x21, &[7; 36]),
    ] {
        let whole = [good.clone(), get("/healthz")].concat();
        assert_eq!(gateway.call(&whole).status, 200);
        // However it is cut.
        for at in [1, 12, 15, 16, good.len() - 1, good.len(), good.len() + 1] {
            let mut client = gateway.client();
            client.send_split(&whole, at);
            assert_eq!(client.answer().status, 200, "cut at {at}");
        }
    }
    let long = header(1, 0x11, &[0; 5_000]);
    for (what, reason, bytes) in [
        ("none", "missing", get("/healthz")),
        (
            "version 1",
            "missing",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
        ),
        ("a wrong version", "malformed", {
            let mut bytes = local();
            bytes[12] = 0x11;
            bytes
        }),
        ("datagrams", "malformed", header(1, 0x12, &[0; 12])),
        ("too short", "malformed", header(1, 0x11, &[0; 11])),
        ("too long", "too_long", long),
        // Half of it, then silence.
        ("half", "timeout", on_behalf_of([192, 0, 2, 7], 1)[..20].to_vec()),
    ] {
        let before = refusals(&gateway, reason);
        let mut client = gateway.client();
        client.send(bytes);
        let (said, _) = client.rest();
        assert!(said.is_empty(), "{what}: {said:?}");
        wait_until(what, || refusals(&gateway, reason) == before + 1);
    }
    let mut client = gateway.client();
    client.send(&local()[..5]);
    client.wait_read();
    drop(client);
    wait_until("the end is counted", || refusals(&gateway, "closed") == 1);
}

/// Red if anybody else can say that it is somebody else.
#[test]
fn nobody_else_is_believed() {
    let upstream = Upstream::plain();
    for senders in [vec![], vec![network("10.0.0.0", 96 + 8), network("::1", 128)]] {
        let gateway = start(&upstream, senders);
        assert_eq!(gateway.call(get("/healthz")).status, 200);
        for header in [on_behalf_of([192, 0, 2, 7], 1), local()] {
            let answer = gateway.call([header, get("/healthz")].concat());
            assert_eq!(answer.status, 400);
        }
        assert!(gateway.control.asked().is_empty());
    }
}

/// Red if the identity is asked for the balancer's address, or a revocation of the client's address passes its streams by.
#[test]
fn the_address_is_the_clients() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk("data: {\"choices\":[]}\n\n");
        exchange.until_closed();
    });
    let gateway = start(&upstream, vec![network("127.0.0.0", 96 + 8)]);
    let mut v6 = address_bits("2001:db8::7".parse().unwrap()).to_vec();
    v6.extend_from_slice(&[0; 16]);
    v6.extend_from_slice(&[0x12, 0x34, 0, 80]);
    let mut streams: Vec<Client> = Vec::new();
    for header in [on_behalf_of([192, 0, 2, 7], 4_000), header(1, 0x21, &v6), local()] {
        let mut client = gateway.client();
        client.send([header, chat_stream("m")].concat());
        client.wait_for(b"choices");
        streams.push(client);
    }
    let own = streams[2].stream.local_addr().unwrap();
    let asked = gateway.control.asked();
    let expected: Vec<([u8; 16], u16)> = [
        ("192.0.2.7", 4_000),
        ("2001:db8::7", 0x1234),
        ("127.0.0.1", own.port()),
    ]
    .map(|(address, port)| (address_bits(address.parse().unwrap()), port))
    .to_vec();
    assert_eq!(asked, expected);
    gateway.control.revoke(Some(expected[0].0));
    streams[0].rest();
    upstream.closed_at(0);
    assert!(!upstream.is_closed(1) && !upstream.is_closed(2));
    gateway.control.revoke(Some(expected[1].0));
    streams[1].rest();
    assert!(!upstream.is_closed(2));
}

/// Red if the header is looked for inside of TLS, or bytes of the handshake are lost with it.
#[test]
fn the_header_comes_before_tls() {
    let upstream = Upstream::plain();
    let authority = Authority::new();
    let mut snapshot = plain(upstream.address);
    snapshot.listeners = vec![Listener {
        proxy_senders: vec![network("127.0.0.1", 128)],
        ..authority.gateway().listener(ClientAuth::None)
    }];
    let gateway = Gateway::start(Setup::new(snapshot));
    let mut client = gateway.client();
    client.send(on_behalf_of([192, 0, 2, 7], 4_000));
    let mut client = client.secure(&authority.config(None));
    client.send(get("/v1/models"));
    assert_eq!(client.answer().status, 200);
    let expected = (address_bits("192.0.2.7".parse().unwrap()), 4_000);
    assert_eq!(gateway.control.asked(), [expected]);
    // Without it, the handshake is no header.
    let mut client = gateway.secure_client(&authority.config(None));
    client.try_send(get("/healthz"));
    assert!(client.try_answer(false).is_err());
}
