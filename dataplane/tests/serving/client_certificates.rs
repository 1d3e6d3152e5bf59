//! Client certificates over real handshakes: which are refused and counted under which reason, and which are not.

use std::sync::Arc;

use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyUsagePurpose,
    NameConstraints, SerialNumber,
};
use rustls::ClientConfig;
use sluice_shared::snapshot::{ClientAuth, Identity as Sources, SourceKind, TrustBundle};
use sluice_shared::usage::Ended;
use time::{Duration, OffsetDateTime};

use crate::support::client::{End, chat, chat_stream, get};
use crate::support::pki::{Authority, Identity, counter, dns, email, uri};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup, wait_until};

/// A gateway that asks for certificates, and its authorities.
struct Asking {
    gateway: Gateway,
    server: Authority,
    /// Vouches for people and hosts.
    people: Authority,
    /// Vouches for `prod.example`.
    prod: Authority,
    /// Vouches for `test.example`.
    test: Authority,
    admin: Arc<ClientConfig>,
}

const REVOKED: u64 = 4_711;

impl Asking {
    fn start(upstream: &Upstream, client: ClientAuth) -> Self {
        let (server, people, prod, test) = (
            Authority::new(),
            Authority::new(),
            Authority::new(),
            Authority::new(),
        );
        let mut snapshot = plain(upstream.address);
        snapshot.listeners = vec![server.gateway().listener(client)];
        snapshot.identity = Sources {
            sources: vec![SourceKind::Mtls, SourceKind::Loopback],
            certificates: vec![
                TrustBundle {
                    ca_pem: people.pem.clone(),
                    crl_pem: people.revocation_list(REVOKED),
                    email: true,
                    dns: true,
                    ..TrustBundle::default()
                },
                TrustBundle {
                    trust_domain: Some("prod.example".into()),
                    ca_pem: prod.pem.clone(),
                    ..TrustBundle::default()
                },
                TrustBundle {
                    trust_domain: Some("test.example".into()),
                    ca_pem: test.pem.clone(),
                    ..TrustBundle::default()
                },
            ],
            ..snapshot.identity
        };
        let gateway = Gateway::start(Setup::new(snapshot));
        let admin = server.config(Some(&people.client(&[email("admin@example.com")])));
        Self {
            gateway,
            server,
            people,
            prod,
            test,
            admin,
        }
    }

    fn metric(&self, sample: &str) -> u64 {
        let mut client = self.gateway.secure_client(&self.admin);
        client.send(get("/metrics"));
        counter(&client.answer().text(), sample)
    }

    fn failures(&self, reason: &str) -> u64 {
        self.metric(&format!("sluice_tls_failures_total{{reason=\"{reason}\"}}"))
    }

    fn is_let_in(&self, identity: &Identity) -> bool {
        let mut let_in = Vec::new();
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let config = self.server.config_of(Some(identity), &[version]);
            let mut client = self.gateway.secure_client(&config);
            client.try_send(get("/healthz"));
            let answer = client.try_answer(false);
            if let Err(cut) = &answer {
                assert_ne!(cut.end, End::Fin, "refused without an alert");
            }
            let_in.push(answer.is_ok());
        }
        assert_eq!(let_in[0], let_in[1], "the versions differ");
        let_in[0]
    }
}

type Change<'a> = Box<dyn FnOnce(&mut CertificateParams) + 'a>;

/// Red if any of these certificates opens the door, or is counted as something else.
#[test]
fn every_bad_certificate_is_refused_and_counted() {
    let upstream = Upstream::plain();
    let asking = Asking::start(&upstream, ClientAuth::Required);
    let now = OffsetDateTime::now_utc();
    let person = |change: Change<'_>| {
        asking.people.sign(|params| {
            params.subject_alt_names = vec![email("alice@example.com")];
            change(params);
        })
    };
    let workload = |names: &[&str]| {
        asking
            .prod
            .client(&names.iter().map(|name| uri(name)).collect::<Vec<_>>())
    };
    let constrained = asking.people.intermediate(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("inside.example".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    let mut deep = asking.people.intermediate(|_| {});
    for _ in 0..7 {
        deep = deep.intermediate(|_| {});
    }
    let stranger = Authority::new();
    let mut mute = person(Box::new(|_| {}));
    mute.chain.truncate(1);
    let cases: Vec<(&str, &str, Identity)> = vec![
        (
            "expired",
            "expired",
            person(Box::new(|p| {
                p.not_before = now - Duration::days(3);
                p.not_after = now - Duration::minutes(1);
            })),
        ),
        (
            "not yet valid",
            "not_yet_valid",
            person(Box::new(|p| p.not_before = now + Duration::days(1))),
        ),
        (
            "for servers",
            "wrong_usage",
            person(Box::new(|p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
        ),
        (
            "of an unknown authority",
            "unknown_ca",
            stranger.client(&[email("alice@example.com")]),
        ),
        (
            "an unknown authority for the domain",
            "unknown_ca",
            stranger.client(&[uri("spiffe://prod.example/a")]),
        ),
        (
            "another domain's authority",
            "unknown_ca",
            asking.test.client(&[uri("spiffe://prod.example/a")]),
        ),
        (
            "people's authority for a workload",
            "unknown_ca",
            asking.people.client(&[uri("spiffe://prod.example/a")]),
        ),
        (
            "a domain's authority for a person",
            "unknown_ca",
            asking.prod.client(&[email("alice@example.com")]),
        ),
        (
            "outside the name constraints",
            "name_constraints",
            constrained.client(&[dns("outside.example")]),
        ),
        (
            "two URI names",
            "uri_name",
            workload(&["spiffe://prod.example/a", "spiffe://prod.example/b"]),
        ),
        (
            "two URI names of two domains",
            "uri_name",
            workload(&["spiffe://prod.example/a", "spiffe://test.example/a"]),
        ),
        (
            "a URI name that is no SPIFFE id",
            "uri_name",
            workload(&["https://prod.example/a"]),
        ),
        (
            "a SPIFFE id without a path",
            "uri_name",
            workload(&["spiffe://prod.example"]),
        ),
        (
            "an unknown domain",
            "unknown_domain",
            workload(&["spiffe://other.example/a"]),
        ),
        (
            "revoked",
            "revoked",
            person(Box::new(|p| p.serial_number = Some(SerialNumber::from(REVOKED)))),
        ),
        (
            "an authority's own",
            "ca_leaf",
            person(Box::new(|p| {
                p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            })),
        ),
        (
            "one that may sign",
            "ca_leaf",
            person(Box::new(|p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign])),
        ),
        (
            "no name",
            "no_login",
            person(Box::new(|p| p.subject_alt_names.clear())),
        ),
        (
            "two people",
            "no_login",
            person(Box::new(|p| {
                p.subject_alt_names.push(email("bob@example.com"));
            })),
        ),
        (
            "a name that is no login",
            "no_login",
            asking.people.client(&[dns("*.example.com")]),
        ),
        (
            "a chain of nine",
            "chain_too_long",
            deep.client(&[email("alice@example.com")]),
        ),
        (
            "64 KiB",
            "too_large",
            person(Box::new(|p| {
                p.custom_extensions.push(CustomExtension::from_oid_content(
                    &[1, 3, 6, 1, 4, 1, 99_999, 1],
                    vec![0x04; 64 << 10],
                ));
            })),
        ),
    ];
    let count = cases.len();
    for (what, reason, identity) in cases {
        let before = asking.failures(reason);
        assert!(!asking.is_let_in(&identity), "{what} is let in");
        // Once for each version of TLS.
        assert_eq!(asking.failures(reason), before + 2, "{what}");
    }
    println!("client certificates: {count} bad ones, each refused over TLS 1.2 and 1.3 and counted");
    // None at all.
    let mut client = asking.gateway.secure_client(&asking.server.config(None));
    client.try_send(get("/healthz"));
    assert!(client.try_answer(false).is_err());
    assert_eq!(asking.failures("no_certificate"), 1);
    assert!(upstream.requests().is_empty());
}

/// Red if a good certificate is refused.
#[test]
fn good_certificates_are_let_in() {
    let upstream = Upstream::plain();
    let asking = Asking::start(&upstream, ClientAuth::Optional);
    let mut deep = asking.people.intermediate(|_| {});
    for _ in 0..5 {
        deep = deep.intermediate(|_| {});
    }
    let constrained = asking.people.intermediate(|params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("inside.example".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    for (what, identity) in [
        asking.people.client(&[email("alice@example.com")]),
        asking.people.client(&[dns("agent.example.com")]),
        asking.prod.client(&[uri("spiffe://prod.example/ns/a")]),
        // A workload's host names do not matter.
        asking
            .test
            .client(&[uri("spiffe://test.example/b"), dns("a.example"), dns("*.example")]),
        deep.client(&[email("alice@example.com")]),
        constrained.client(&[dns("agent.inside.example")]),
    ]
    .iter()
    .enumerate()
    {
        assert!(asking.is_let_in(identity), "certificate {what} is refused");
    }
    assert_eq!(asking.metric("sluice_client_certificates_total"), 13);
    // One that is shown must hold although none need be.
    assert!(!asking.is_let_in(&asking.people.client(&[uri("spiffe://prod.example/ns/a")])));
    assert_eq!(asking.failures("unknown_ca"), 2);
    // Asked for and not shown.
    let mut client = asking.gateway.secure_client(&asking.server.config(None));
    client.send(chat("m"));
    assert_eq!(client.answer().status, 200);
}

/// Red if a record says somebody else than the certificate proves, or a certificate counts where an address that is
/// asked first is known.
#[test]
fn the_holder_of_the_certificate_is_who_calls() {
    let upstream = Upstream::plain();
    let asking = Asking::start(&upstream, ClientAuth::Optional);
    let mut expected: Vec<String> = Vec::new();
    let call = |identity: Option<&Identity>| {
        let mut client = asking.gateway.secure_client(&asking.server.config(identity));
        // Twice: what is remembered is the same person.
        for _ in 0..2 {
            client.send(chat("m"));
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    };
    let logins = || -> Vec<String> {
        let records = asking.gateway.records();
        records.into_iter().map(|record| record.user).collect()
    };
    let alice = asking.people.client(&[email("alice@example.com")]);
    let agent = asking.people.client(&[dns("agent.example.com")]);
    let id = "spiffe://prod.example/ns/a/sa/b";
    let workload = asking.prod.client(&[uri(id)]);
    for (identity, login) in [
        (Some(&alice), "alice@example.com"),
        (Some(&agent), "agent.example.com"),
        (None, "(loopback)"),
        (Some(&workload), id),
        (Some(&alice), "alice@example.com"),
    ] {
        call(identity);
        expected.extend([login.to_owned(), login.to_owned()]);
        asking.gateway.wait_records(expected.len());
        assert_eq!(logins(), expected);
    }
    // The address is asked first and known.
    asking.gateway.control.publish(|snapshot| {
        snapshot.identity.sources = vec![SourceKind::Loopback, SourceKind::Mtls];
    });
    call(Some(&alice));
    expected.extend(["(loopback)".to_owned(), "(loopback)".to_owned()]);
    asking.gateway.wait_records(expected.len());
    assert_eq!(logins(), expected);
    // Certificates are checked and count for nothing.
    asking.gateway.control.publish(|snapshot| {
        snapshot.identity.sources = vec![SourceKind::Loopback];
    });
    call(Some(&workload));
    expected.extend(["(loopback)".to_owned(), "(loopback)".to_owned()]);
    asking.gateway.wait_records(expected.len());
    assert_eq!(logins(), expected);
}

/// Red if a stream outlives the certificate that opened it.
#[test]
fn the_end_of_a_certificate_cuts_its_streams() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk("data: {\"choices\":[]}\n\n");
        exchange.until_closed();
    });
    let asking = Asking::start(&upstream, ClientAuth::Required);
    let short = asking.people.sign(|params| {
        params.subject_alt_names = vec![email("alice@example.com")];
        params.not_after = OffsetDateTime::now_utc() + Duration::seconds(3);
    });
    let mut lasting = asking.gateway.secure_client(&asking.admin);
    lasting.send(chat_stream("m"));
    lasting.wait_for(b"choices");
    let mut client = asking.gateway.secure_client(&asking.server.config(Some(&short)));
    client.send(chat_stream("m"));
    client.wait_for(b"choices");
    let (_, end) = client.rest();
    assert!(matches!(end, End::Reset | End::Truncated), "{end:?}");
    upstream.closed_at(1);
    assert!(!upstream.is_closed(0), "another's stream was cut");
    let records = asking.gateway.wait_records(1);
    assert_eq!(records[0].ended, Ended::ClientGone);
    // The same certificate does not come in again.
    let mut client = asking.gateway.secure_client(&asking.server.config(Some(&short)));
    client.try_send(get("/healthz"));
    assert!(client.try_answer(false).is_err());
    wait_until("it is counted", || asking.failures("expired") == 1);
}

/// Red if other authorities count only after a restart, or a change of them touches whom they still vouch for.
#[test]
fn bundles_change_without_a_restart() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.body();
        exchange.begin_events();
        exchange.chunk("data: {\"choices\":[]}\n\n");
        exchange.until_closed();
    });
    let asking = Asking::start(&upstream, ClientAuth::Required);
    let next = Authority::new();
    let new = next.client(&[uri("spiffe://prod.example/a")]);
    let old = asking.prod.client(&[uri("spiffe://prod.example/a")]);
    let bob = asking.people.sign(|params| {
        params.subject_alt_names = vec![email("bob@example.com")];
        params.serial_number = Some(SerialNumber::from(REVOKED + 1));
    });
    assert!(!asking.is_let_in(&new) && asking.is_let_in(&old));
    let stream = |identity: &Identity| {
        let mut client = asking
            .gateway
            .secure_client(&asking.server.config(Some(identity)));
        client.send(chat_stream("m"));
        client.wait_for(b"choices");
        client
    };
    let mut of_old = stream(&old);
    let mut of_bob = stream(&bob);
    let mut idle = asking.gateway.secure_client(&asking.server.config(Some(&old)));
    idle.send(get("/healthz"));
    idle.answer();
    let withdrawn = || asking.metric("sluice_client_certificates_withdrawn_total");
    // One authority more.
    asking.gateway.control.publish(|snapshot| {
        snapshot.identity.certificates[1].ca_pem.push_str(&next.pem);
    });
    assert!(asking.is_let_in(&new) && asking.is_let_in(&old));
    idle.send(get("/healthz"));
    assert_eq!(idle.answer().status, 200);
    let mut of_new = stream(&new);
    // One less: who hangs on it is cut.
    asking.gateway.control.publish(|snapshot| {
        snapshot.identity.certificates[1].ca_pem.clone_from(&next.pem);
    });
    assert!(asking.is_let_in(&new) && !asking.is_let_in(&old));
    for client in [&mut of_old, &mut idle] {
        let (_, end) = client.rest();
        assert!(matches!(end, End::Reset | End::Truncated), "{end:?}");
    }
    wait_until("two are cut", || withdrawn() == 2);
    assert!(
        !upstream.is_closed(1) && !upstream.is_closed(2),
        "others were cut"
    );
    // Revoked in mid-stream.
    asking.gateway.control.publish(|snapshot| {
        snapshot.identity.certificates[0].crl_pem = asking.people.revocation_list(REVOKED + 1);
    });
    let (_, end) = of_bob.rest();
    assert!(matches!(end, End::Reset | End::Truncated), "{end:?}");
    wait_until("one more is cut", || withdrawn() == 3);
    // The same proof is worth something else: other groups.
    asking.gateway.control.publish(|snapshot| {
        snapshot.identity.certificates[1].groups = vec!["group:b".into()];
    });
    of_new.rest();
    wait_until("the last is cut", || withdrawn() == 4);
    asking.gateway.wait_records(3);
}
