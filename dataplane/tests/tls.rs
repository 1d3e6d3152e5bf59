//! TLS towards a rustls server in memory: every split, every kind of end, every certificate that is not to be trusted.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use sluice_dataplane::tls::{
    OUTGOING_BYTES_MAX, PLAINTEXT_BYTES_MAX, PlainRead, TlsConfig, TlsError, TlsStream,
};

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn config(&self) -> TlsConfig {
        TlsConfig::from_ca_pem(&self.pem).unwrap()
    }

    /// A server with a certificate for these names, changed by the test before it is signed.
    fn server_with(
        &self,
        names: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_with(names, rustls::ALL_VERSIONS, |_| {})
    }
}

/// Both ends and what is on its way between them.
struct Pair {
    client: TlsStream,
    server: ServerConnection,
    to_client: Vec<u8>,
    received: Vec<u8>,
}

impl Pair {
    fn new(config: &TlsConfig, server: &Arc<ServerConfig>, host: &str) -> Self {
        Self {
            client: TlsStream::new(config, host).unwrap(),
            server: ServerConnection::new(Arc::clone(server)).unwrap(),
            to_client: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Everything the client has to say reaches the server; the server's words wait in `to_client`.
    fn serve(&mut self) {
        let mut bytes = Vec::new();
        self.client.pending_ciphertext(&mut bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            // An alert of the client is an error here; the test looks at the client.
            let _ = self.server.process_new_packets();
            let mut plain = [0; 4_096];
            while let Ok(n @ 1..) = self.server.reader().read(&mut plain) {
                self.received.extend_from_slice(&plain[..n]);
            }
        }
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client).unwrap();
        }
    }

    /// Back and forth, the client getting at most `piece` bytes at once.
    fn handshake(&mut self, piece: usize) -> Result<(), TlsError> {
        for _ in 0..10_000 {
            self.serve();
            if !self.client.is_handshaking() && self.to_client.is_empty() {
                return Ok(());
            }
            let given: Vec<u8> = self.to_client.drain(..piece.min(self.to_client.len())).collect();
            assert!(!given.is_empty(), "both ends wait for each other");
            assert_eq!(self.client.ingest(&given)?, given.len());
        }
        panic!("no end of the handshake")
    }

    fn read_all(&mut self) -> (Vec<u8>, PlainRead) {
        let mut out = Vec::new();
        let mut buffer = [0; 1_000];
        loop {
            match self.client.read_plain(&mut buffer).unwrap() {
                PlainRead::Bytes(n) => out.extend_from_slice(&buffer[..n]),
                end => return (out, end),
            }
        }
    }
}

#[test]
fn every_split_of_an_exchange_gives_the_same_bytes() {
    let authority = Authority::new();
    let request = b"POST /v1/messages HTTP/1.1\r\n\r\n".repeat(3);
    let answer = b"data: {\"type\":\"message_stop\"}\n\n".repeat(40);
    for version in rustls::ALL_VERSIONS {
        let server = authority.server_with(&["api.example.com"], &[version], |_| {});
        for piece in [1, 2, 3, 5, 7, 64, 1_000, usize::MAX] {
            let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
            assert_eq!(
                pair.client.write_plain(&request),
                request.len(),
                "before the handshake"
            );
            pair.handshake(piece).unwrap();
            assert_eq!(pair.received, request);
            assert_eq!(pair.server.alpn_protocol(), Some(&b"http/1.1"[..]));
            pair.server.writer().write_all(&answer).unwrap();
            pair.server.send_close_notify();
            pair.serve();
            let ciphertext = std::mem::take(&mut pair.to_client);
            let mut got = Vec::new();
            for given in ciphertext.chunks(piece.min(ciphertext.len())) {
                assert_eq!(pair.client.ingest(given).unwrap(), given.len());
                got.extend(pair.read_all().0);
            }
            assert_eq!(got, answer, "{version:?} in pieces of {piece}");
            assert_eq!(pair.read_all().1, PlainRead::End);
        }
    }
}

#[test]
fn every_cut_of_an_answer_is_a_truncation_and_only_close_notify_is_an_end() {
    let authority = Authority::new();
    for version in rustls::ALL_VERSIONS {
        let server = authority.server_with(&["api.example.com"], &[version], |_| {});
        let mut cut = 0;
        loop {
            let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
            pair.handshake(usize::MAX).unwrap();
            pair.server.writer().write_all(b"data: [DONE]\n\n").unwrap();
            pair.server.send_close_notify();
            pair.serve();
            let whole = pair.to_client.len();
            pair.client.ingest(&pair.to_client[..cut]).unwrap();
            pair.client.ingest_end().unwrap();
            let mut buffer = [0; 64];
            let end = loop {
                match pair.client.read_plain(&mut buffer) {
                    Ok(PlainRead::Bytes(_)) => {}
                    end => break end,
                }
            };
            if cut == whole {
                assert!(matches!(end, Ok(PlainRead::End)), "{end:?}");
                break;
            }
            assert!(
                matches!(end, Err(TlsError::Truncated)),
                "{version:?} cut at {cut}: {end:?}"
            );
            cut += 1;
        }
    }
}

#[test]
fn an_end_within_the_handshake_is_a_truncation() {
    let authority = Authority::new();
    let server = authority.server(&["api.example.com"]);
    let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
    pair.serve();
    for byte in std::mem::take(&mut pair.to_client) {
        if !pair.client.is_handshaking() {
            break;
        }
        assert!(matches!(pair.client.ingest_end(), Err(TlsError::Truncated)));
        pair.client.ingest(&[byte]).unwrap();
    }
}

#[test]
fn certificates_that_prove_nothing_are_refused() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let check =
        |authority: &Authority, host: &str, server: Arc<ServerConfig>, wrong_name: bool, what: &str| {
            let mut pair = Pair::new(&authority.config(), &server, host);
            let error = pair.handshake(usize::MAX).unwrap_err();
            assert!(matches!(error, TlsError::Certificate(_)), "{what}: {error}");
            assert_eq!(error.is_wrong_name(), wrong_name, "{what}: {error}");
            assert_eq!(pair.received, b"", "{what}");
        };
    let api = "api.example.com";
    let all = rustls::ALL_VERSIONS;
    check(
        &authority,
        api,
        stranger.server(&[api]),
        false,
        "an authority that is not trusted",
    );
    check(
        &authority,
        api,
        authority.server(&["other.example.com"]),
        true,
        "another name",
    );
    check(
        &authority,
        "127.0.0.1",
        authority.server(&[api]),
        true,
        "a name for an address",
    );
    check(
        &authority,
        api,
        authority.server(&["127.0.0.1"]),
        true,
        "an address for a name",
    );
    check(
        &authority,
        "sub.api.example.com",
        authority.server(&["*.example.com"]),
        true,
        "a wildcard over two labels",
    );
    let expired = authority.server_with(&[api], all, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    check(&authority, api, expired, false, "expired");
    let early = authority.server_with(&[api], all, |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    });
    check(&authority, api, early, false, "not yet valid");
    let usage = authority.server_with(&[api], all, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    check(&authority, api, usage, false, "for another use");
}

#[test]
fn names_and_addresses_that_are_proven_are_accepted() {
    let authority = Authority::new();
    let check = |names: &[&str], host: &str| {
        let server = authority.server(names);
        let mut pair = Pair::new(&authority.config(), &server, host);
        pair.handshake(usize::MAX).unwrap();
    };
    check(&["api.example.com"], "api.example.com");
    check(&["*.example.com"], "api.example.com");
    check(&["127.0.0.1"], "127.0.0.1");
    check(&["::1"], "::1");
    for host in ["", "a b", "exa_mple..com", "http://x"] {
        let result = TlsStream::new(&authority.config(), host);
        assert!(matches!(result, Err(TlsError::ServerName)), "{host}");
    }
}

#[test]
fn only_certificates_are_trusted_that_the_pem_text_holds() {
    let (first, second) = (Authority::new(), Authority::new());
    let both = TlsConfig::from_ca_pem(&format!("{}\nsome words\n{}", first.pem, second.pem)).unwrap();
    for authority in [&first, &second] {
        let server = authority.server(&["api.example.com"]);
        Pair::new(&both, &server, "api.example.com")
            .handshake(usize::MAX)
            .unwrap();
    }
    let system = TlsConfig::system().unwrap();
    let server = first.server(&["api.example.com"]);
    let result = Pair::new(&system, &server, "api.example.com").handshake(usize::MAX);
    assert!(matches!(result, Err(TlsError::Certificate(_))));
    let damaged = first.pem.replace("MI", "!!");
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        &damaged,
    ] {
        assert!(
            matches!(TlsConfig::from_ca_pem(pem), Err(TlsError::Roots(_))),
            "{pem}"
        );
    }
}

#[test]
fn sessions_are_resumed_within_a_shard_and_not_across() {
    let authority = Authority::new();
    let server = authority.server(&["api.example.com"]);
    let config = authority.config();
    let (one, other) = (config.for_shard(), config.for_shard());
    let resumed = |config: &TlsConfig| {
        let mut pair = Pair::new(config, &server, "api.example.com");
        pair.handshake(usize::MAX).unwrap();
        pair.client.resumed().unwrap()
    };
    assert!(!resumed(&one));
    assert!(resumed(&one));
    assert!(resumed(&one.clone()), "clones share the sessions");
    assert!(!resumed(&other));
}

#[test]
fn nothing_is_buffered_without_a_bound() {
    let authority = Authority::new();
    let server = authority.server(&["api.example.com"]);
    let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
    pair.handshake(usize::MAX).unwrap();
    pair.server.set_buffer_limit(None);
    let answer: Vec<u8> = (0u32..300_000).map(|n| n.to_le_bytes()[1]).collect();
    pair.server.writer().write_all(&answer).unwrap();
    pair.server.send_close_notify();
    pair.serve();
    let ciphertext = std::mem::take(&mut pair.to_client);
    let mut rest = &ciphertext[..];
    let mut got = Vec::new();
    while !rest.is_empty() {
        let taken = pair.client.ingest(rest).unwrap();
        rest = &rest[taken..];
        let (plain, _) = pair.read_all();
        assert!(plain.len() <= 2 * PLAINTEXT_BYTES_MAX, "{} at once", plain.len());
        assert!(taken > 0 || !plain.is_empty(), "no progress");
        got.extend(plain);
    }
    assert_eq!(got, answer);

    let flood = vec![b'x'; 1 << 20];
    let taken = pair.client.write_plain(&flood);
    assert!(taken <= OUTGOING_BYTES_MAX, "{taken}");
    assert_eq!(pair.client.write_plain(&flood), 0);
    let mut out = Vec::new();
    assert!(pair.client.pending_ciphertext(&mut out) >= taken);
    assert!(!pair.client.wants_write());
    assert!(pair.client.write_plain(&flood) > 0);
}

#[test]
fn an_end_behind_more_plaintext_than_is_kept_is_still_seen() {
    let authority = Authority::new();
    let server = authority.server(&["api.example.com"]);
    let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
    pair.handshake(usize::MAX).unwrap();
    pair.server.set_buffer_limit(None);
    pair.server
        .writer()
        .write_all(&vec![b'x'; PLAINTEXT_BYTES_MAX + 1])
        .unwrap();
    pair.serve();
    let mut ciphertext = std::mem::take(&mut pair.to_client);
    while !ciphertext.is_empty()
        && pair.client.ingest(&ciphertext).is_ok_and(|n| {
            ciphertext.drain(..n);
            n > 0
        })
    {}
    pair.client.ingest_end().unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut got = 0;
    let end = loop {
        match pair.client.read_plain(&mut buffer) {
            Ok(PlainRead::Bytes(n)) => got += n,
            end => break end,
        }
    };
    assert!(got > 0 && matches!(end, Err(TlsError::Truncated)), "{end:?}");
}

#[test]
fn what_is_no_tls_is_an_error_and_never_plaintext() {
    let authority = Authority::new();
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
        &[0; 100],
        &[0xff; 100],
    ] {
        let mut stream = TlsStream::new(&authority.config(), "api.example.com").unwrap();
        assert!(matches!(stream.ingest(bytes), Err(TlsError::Protocol(_))));
    }
    let server = authority.server(&["api.example.com"]);
    let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
    pair.handshake(usize::MAX).unwrap();
    pair.server.writer().write_all(b"data: hello\n\n").unwrap();
    pair.serve();
    for byte in 5..pair.to_client.len() {
        let mut pair = Pair::new(&authority.config(), &server, "api.example.com");
        pair.handshake(usize::MAX).unwrap();
        pair.server.writer().write_all(b"data: hello\n\n").unwrap();
        pair.serve();
        pair.to_client[byte] ^= 0x10;
        assert!(pair.client.ingest(&pair.to_client).is_err(), "byte {byte}");
        let mut buffer = [0; 64];
        assert!(!matches!(
            pair.client.read_plain(&mut buffer),
            Ok(PlainRead::Bytes(_))
        ));
    }
}
