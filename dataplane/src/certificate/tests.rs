//! Who is proven by which certificate under which bundles. What is refused is told over sockets, in `tests/serving`.

use std::slice::from_ref;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use sluice_shared::snapshot::TrustBundle;
use time::{Duration, OffsetDateTime};

use super::{Trust, mono_at};
use crate::clock;
use crate::metrics::entrance::TlsFailure;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn sign(&self, names: &[SanType], seconds: i64) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = OffsetDateTime::now_utc() + Duration::seconds(seconds);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }

    fn bundle(&self) -> TrustBundle {
        TrustBundle {
            ca_pem: self.pem.clone(),
            ..TrustBundle::default()
        }
    }
}

fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn trust(bundles: &[TrustBundle]) -> Arc<Trust> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Trust::compile(bundles, true, &provider).unwrap()
}

#[test]
fn the_name_that_counts_is_the_login() {
    let (people, hosts, both, prod) = (
        Authority::new("people"),
        Authority::new("hosts"),
        Authority::new("both"),
        Authority::new("prod"),
    );
    let robots = Authority::new("robots");
    let trust = trust(&[
        TrustBundle {
            email: true,
            groups: vec!["group:a".into(), "group:b".into()],
            ..people.bundle()
        },
        TrustBundle {
            dns: true,
            ..hosts.bundle()
        },
        TrustBundle {
            email: true,
            dns: true,
            ..both.bundle()
        },
        TrustBundle {
            trust_domain: Some("prod.example".into()),
            groups: vec!["group:prod".into()],
            ..prod.bundle()
        },
        TrustBundle {
            tags: vec!["tag:ci".into(), "tag:robot".into()],
            ..robots.bundle()
        },
    ]);
    let check = |authority: &Authority,
                 names: &[SanType],
                 login: Result<&str, TlsFailure>,
                 rest: (&[&str], &[&str])| {
        let leaf = authority.sign(names, 60);
        let found = trust.admit(from_ref(&leaf));
        let Ok(login) = login else {
            assert_eq!(found.map(|c| c.principal.login.clone()), Err(login.unwrap_err()));
            return;
        };
        let principal = found.unwrap().principal;
        assert_eq!(principal.login, login);
        assert_eq!(principal.source, "mtls");
        let (tags, groups) = rest;
        assert_eq!(principal.tags, tags);
        assert_eq!(principal.groups, groups);
        let hash = digest(&SHA256, &leaf);
        let hex: String = hash.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(principal.node, hex);
        assert!(principal.capabilities.is_empty() && principal.scope.is_none());
    };
    let alice = email("alice@example.com");
    let agent = dns("agent.example");
    let none: (&[&str], &[&str]) = (&[], &[]);
    let no_login = Err(TlsFailure::NoLogin);
    check(
        &people,
        from_ref(&alice),
        Ok("alice@example.com"),
        (&[], &["group:a", "group:b"]),
    );
    check(&people, from_ref(&agent), no_login, none);
    check(
        &people,
        &[alice.clone(), agent.clone()],
        Ok("alice@example.com"),
        (&[], &["group:a", "group:b"]),
    );
    check(
        &people,
        &[alice.clone(), email("bob@example.com")],
        no_login,
        none,
    );
    check(&people, &[email("tag:x,tag:y@example.com")], no_login, none);
    check(&hosts, from_ref(&agent), Ok("agent.example"), none);
    check(&hosts, from_ref(&alice), no_login, none);
    check(&hosts, &[agent.clone(), dns("b.example")], no_login, none);
    check(&hosts, &[dns("*.example")], no_login, none);
    check(
        &both,
        &[agent.clone(), alice.clone()],
        Ok("alice@example.com"),
        none,
    );
    check(&both, from_ref(&agent), Ok("agent.example"), none);
    // A bad e-mail name is not made good by a host name.
    check(&both, &[agent.clone(), email("a b@example.com")], no_login, none);
    check(&both, &[], no_login, none);
    let id = "spiffe://prod.example/ns/a/sa/b";
    check(&prod, &[uri(id)], Ok(id), (&[], &["group:prod"]));
    check(
        &prod,
        &[uri(id), alice.clone(), dns("*.example")],
        Ok(id),
        (&[], &["group:prod"]),
    );
    check(&prod, from_ref(&alice), Err(TlsFailure::UnknownCa), none);
    check(&people, &[uri(id)], Err(TlsFailure::UnknownCa), none);
    check(
        &prod,
        &[uri("spiffe://dev.example/a")],
        Err(TlsFailure::UnknownDomain),
        none,
    );
    check(
        &robots,
        &[],
        Ok("tag:ci,tag:robot"),
        (&["tag:ci", "tag:robot"], &[]),
    );
    check(
        &robots,
        &[alice],
        Ok("tag:ci,tag:robot"),
        (&["tag:ci", "tag:robot"], &[]),
    );
}

#[test]
fn the_earliest_end_of_the_chain_is_the_end() {
    let authority = Authority::new("root");
    let trust = trust(&[TrustBundle {
        email: true,
        ..authority.bundle()
    }]);
    let names = [email("alice@example.com")];
    let before = clock::mono_now().0;
    let leaf = authority.sign(&names, 3_600);
    let other = authority.sign(&names, 600);
    let after = clock::mono_now().0;
    let alone = trust.admit(from_ref(&leaf)).unwrap().until.0;
    let both = trust.admit(&[leaf, other]).unwrap().until.0;
    // A certificate counts whole seconds, and its last one is its own.
    let second = 1_000_000;
    for (found, life) in [(alone, 3_600 * second), (both, 600 * second)] {
        assert!(
            before + life - second <= found && found <= after + life + 2 * second,
            "{before} {found}"
        );
    }
    assert!(mono_at(0).0 <= clock::mono_now().0);
    assert!(mono_at(i64::MAX).0 > after);
    assert_eq!(trust.admit(&[]).unwrap_err(), TlsFailure::NoCertificate);
}

/// No flip and no cut of a certificate is believed, and none is a panic.
#[test]
fn a_damaged_certificate_proves_nobody() {
    let authority = Authority::new("root");
    let trust = trust(&[TrustBundle {
        email: true,
        ..authority.bundle()
    }]);
    let leaf = authority.sign(&[email("alice@example.com")], 3_600).to_vec();
    for cut in 0..leaf.len() {
        let damaged = CertificateDer::from(leaf[..cut].to_vec());
        assert!(trust.admit(&[damaged]).is_err(), "cut at {cut}");
    }
    for bit in 0..leaf.len() * 8 {
        let mut damaged = leaf.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            trust.admit(&[CertificateDer::from(damaged)]).is_err(),
            "bit {bit}"
        );
    }
}

#[test]
fn bundles_that_cannot_be_read_are_refused() {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let good = Authority::new("root").bundle();
    let broken_pem = good.ca_pem.replace("MII", "!!!");
    for bad in [
        TrustBundle::default(),
        TrustBundle {
            ca_pem: broken_pem,
            ..TrustBundle::default()
        },
        TrustBundle {
            crl_pem: "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".into(),
            ..good.clone()
        },
    ] {
        assert!(Trust::compile(&[good.clone(), bad], false, &provider).is_err());
    }
    assert!(Trust::compile(&[], false, &provider).is_ok());
}
