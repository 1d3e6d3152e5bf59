//! Credentials from the question to the answer.

use std::path::Path;

use serde_json::json;
use sluice_shared::snapshot::Secret;

use super::*;
use crate::identity::oidc::Settings;
use crate::identity::oidc::tests::lab::{Says, Server, Signer, now, with};
use crate::identity::token::tests::{admin, next, open, wish};

pub(in crate::identity) fn bearer(token: &str) -> Proof {
    Proof::Bearer {
        token: Secret(token.to_owned()),
    }
}

fn identity(sources: &[SourceKind], issuers: &[domain::Issuer]) -> domain::Identity {
    domain::Identity {
        sources: sources.to_vec(),
        issuers: issuers.to_vec(),
        ..domain::Identity::default()
    }
}

const BOTH: [SourceKind; 2] = [SourceKind::Oidc, SourceKind::Token];

/// A service with a data directory.
pub(in crate::identity) struct Bench {
    pub(in crate::identity) folder: tempfile::TempDir,
    pub(in crate::identity) proofs: Arc<Proofs>,
    tokens: Arc<Tokens>,
}

impl Bench {
    pub(in crate::identity) async fn new(issuers: &[domain::Issuer]) -> Self {
        Self::with(issuers, Settings::default()).await
    }

    pub(in crate::identity) async fn with(issuers: &[domain::Issuer], settings: Settings) -> Self {
        Self::at(tempfile::tempdir().unwrap(), issuers, settings).await
    }

    /// The same data directory, another process.
    pub(in crate::identity) async fn restarted(self, issuers: &[domain::Issuer], settings: Settings) -> Self {
        Self::at(self.folder, issuers, settings).await
    }

    async fn at(folder: tempfile::TempDir, issuers: &[domain::Issuer], settings: Settings) -> Self {
        let tokens = open(folder.path()).await;
        let data: &Path = folder.path();
        let proofs = Proofs::with_settings(&identity(&BOTH, issuers), data, tokens.clone(), settings);
        Self {
            folder,
            proofs,
            tokens,
        }
    }

    pub(in crate::identity) async fn prove(&self, token: &str) -> IdentityAnswer {
        self.proofs.prove(&bearer(token)).await
    }
}

fn known(answer: IdentityAnswer) -> (Principal, u64) {
    match answer {
        IdentityAnswer::Known {
            principal,
            whole_address: false,
            age_ms_max,
        } => (principal, age_ms_max),
        other => panic!("{other:?}"),
    }
}

fn word(answer: &IdentityAnswer) -> &'static str {
    match answer {
        IdentityAnswer::Known { .. } => "known",
        IdentityAnswer::Unknown { .. } => "unknown",
        IdentityAnswer::Refused { .. } => "refused",
        IdentityAnswer::Foreign { .. } => "foreign",
        IdentityAnswer::Unavailable { .. } => "unavailable",
    }
}

#[tokio::test]
async fn the_shape_decides_who_is_asked() {
    let bench = Bench::new(&[]).await;
    let check = async |text: &str, expected: &str| {
        let answer = bench.prove(text).await;
        assert_eq!(word(&answer), expected, "{text}: {answer:?}");
    };
    check("", "foreign").await;
    check("sk-proj-abc", "foreign").await;
    check("sk-ant-api03-abc", "foreign").await;
    check("AIzaSyA", "foreign").await;
    check("SLT_x", "foreign").await;
    check("slt_", "refused").await;
    check("slt_x", "refused").await;
    check(&format!("slt_{}", "A".repeat(42)), "refused").await;
    check(&format!("slt_{}", "A".repeat(44)), "refused").await;
    check(&format!("slt_{}+", "A".repeat(42)), "refused").await;
    check(&format!("slt_{}", "A".repeat(43)), "refused").await;
    check("eyJh.eyJp.c2ln", "foreign").await;
    check(&"x".repeat(BEARER_BYTES_MAX), "foreign").await;
    check(&"x".repeat(BEARER_BYTES_MAX + 1), "refused").await;
    let served = Proof::Served {
        login: "alice".into(),
        capabilities: String::new(),
    };
    assert_eq!(word(&bench.proofs.prove(&served).await), "foreign");
}

#[tokio::test]
async fn a_source_that_is_not_in_the_document_knows_nobody() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let bench = Bench::new(&[server.issuer()]).await;
    let jwt = key.token(&json!({"alg": "EdDSA", "kid": "a"}), &with(json!({})));
    let (_, secret) = bench.tokens.create(wish("alice"), &admin()).await.unwrap();
    let check = async |sources: &[SourceKind], expected: [&str; 2]| {
        bench.proofs.replace(&identity(sources, &[server.issuer()]));
        for (text, expected) in [&jwt, &secret.0].into_iter().zip(expected) {
            assert_eq!(word(&bench.prove(text).await), expected, "{sources:?}");
        }
    };
    check(&[SourceKind::Loopback], ["foreign", "foreign"]).await;
    check(&[SourceKind::Token], ["foreign", "known"]).await;
    check(&[SourceKind::Oidc], ["known", "foreign"]).await;
    check(&BOTH, ["known", "known"]).await;
}

#[tokio::test]
async fn a_changed_document_names_what_it_changes() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let other = domain::Issuer {
        issuer: "https://other.example".into(),
        ..server.issuer()
    };
    let issuers = [server.issuer(), other.clone()];
    let bench = Bench::new(&issuers).await;
    let head = json!({"alg": "EdDSA", "kid": "a"});
    let first = key.token(&head, &with(json!({})));
    let second = key.token(&head, &with(json!({"iss": other.issuer})));
    let bad = Signer::ed().token(&head, &with(json!({})));
    let (_, secret) = bench.tokens.create(wish("alice"), &admin()).await.unwrap();
    let ask_all = async || {
        for text in [&first, &second, &secret.0] {
            known(bench.prove(text).await);
        }
        assert_eq!(word(&bench.prove(&bad).await), "refused");
    };
    let these = |texts: &[&str]| {
        let mut names: Vec<[u8; 32]> = texts.iter().map(|text| hash(text.as_bytes())).collect();
        names.sort_unstable();
        ChangedProofs::These(names)
    };
    ask_all().await;
    assert_eq!(bench.proofs.replace(&identity(&BOTH, &issuers)), these(&[]));
    let mut changed = other.clone();
    changed.login_prefix = "other:".into();
    assert_eq!(
        bench
            .proofs
            .replace(&identity(&BOTH, &[server.issuer(), changed])),
        these(&[&second])
    );
    assert_eq!(known(bench.prove(&second).await).0.login, "other:alice");
    assert_eq!(
        bench.proofs.replace(&identity(&[SourceKind::Token], &issuers)),
        these(&[&first, &second])
    );
    bench.proofs.replace(&identity(&BOTH, &issuers));
    ask_all().await;
    assert_eq!(
        bench.proofs.replace(&identity(&[SourceKind::Oidc], &issuers)),
        these(&[&secret.0])
    );
    assert_eq!(
        bench.proofs.replace(&identity(&[SourceKind::Oidc], &[])),
        these(&[&first, &second])
    );
}

#[tokio::test]
async fn what_had_to_be_forgotten_is_revoked_with_everything() {
    let bench = Bench::new(&[]).await;
    let setting = bench.proofs.setting();
    for number in 0..=KNOWN_MAX {
        let known = Known {
            principal: Principal::default(),
            basis: Basis::Token,
            until: Instant::now() + Duration::from_secs(300),
        };
        let remembered = bench
            .proofs
            .remember(&setting, hash(&number.to_le_bytes()), known);
        assert!(remembered.is_some());
        let miss = bench
            .proofs
            .remember_miss(&setting, hash(&number.to_be_bytes()), &foreign());
        assert!(miss);
    }
    assert!(bench.proofs.cache().known.len() <= KNOWN_MAX);
    assert!(bench.proofs.cache().misses.len() <= MISSES_MAX);
    let same = identity(&BOTH, &[]);
    assert_eq!(bench.proofs.replace(&same), ChangedProofs::Everything);
    assert_eq!(bench.proofs.replace(&same), ChangedProofs::These(vec![]));
}

#[tokio::test]
async fn a_token_that_is_revoked_is_refused_though_it_was_known() {
    let bench = Bench::new(&[]).await;
    let mut told = bench.proofs.revocations();
    let (info, secret) = bench.tokens.create(wish("alice"), &admin()).await.unwrap();
    assert_eq!(known(bench.prove(&secret.0).await).0.login, "alice");
    bench.tokens.revoke(&info.id, &admin()).await.unwrap();
    // The name that data planes know it by.
    let name = hash(&bearer(&secret.0).canonical());
    assert_eq!(next(&mut told).await, name);
    assert_eq!(word(&bench.prove(&secret.0).await), "refused");
    let bench = bench.restarted(&[], Settings::default()).await;
    assert_eq!(word(&bench.prove(&secret.0).await), "refused");
}

#[tokio::test]
async fn answers_run_out_with_what_they_rest_on() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let bench = Bench::new(&[server.issuer()]).await;
    let check = async |exp: u64, at_most: u64| {
        let token = key.token(&json!({"alg": "EdDSA", "kid": "a"}), &with(json!({"exp": exp})));
        let (_, age) = known(bench.prove(&token).await);
        assert!((1..=at_most).contains(&age), "{exp}: {age}");
        // From the cache no longer than that.
        let (_, again) = known(bench.prove(&token).await);
        assert!(again <= age);
    };
    check(now() + 86_400, 300_000).await;
    check(now() + 100, 100_000).await;
    check(now() - 30, 1_000).await;
    let mut short = identity(&BOTH, &[server.issuer()]);
    short.age_ms_max = 7_000;
    bench.proofs.replace(&short);
    let (_, secret) = bench.tokens.create(wish("alice"), &admin()).await.unwrap();
    assert!(known(bench.prove(&secret.0).await).1 <= 7_000);
    let token = key.token(&json!({"alg": "EdDSA", "kid": "a"}), &with(json!({"jti": "new"})));
    assert!(known(bench.prove(&token).await).1 <= 7_000);
    // A token that ends soon counts no longer than that.
    let soon = token::NewToken {
        expires_at: Some(sluice_shared::units::UnixMicros((now() + 5) * 1_000_000)),
        ..wish("alice")
    };
    let (_, secret) = bench.tokens.create(soon, &admin()).await.unwrap();
    assert!(known(bench.prove(&secret.0).await).1 <= 5_000);
}

#[tokio::test]
async fn credentials_that_begin_alike_share_nothing() {
    let bench = Bench::new(&[]).await;
    let setting = bench.proofs.setting();
    let prefix = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoi";
    let (mut left, mut right) = (prefix.to_owned(), prefix.to_owned());
    for number in 0..1_000_000_u32 {
        left.truncate(prefix.len());
        right.truncate(prefix.len());
        left.push_str(&format!("{number:08}A"));
        right.push_str(&format!("{number:08}B"));
        let (name, other) = (hash(left.as_bytes()), hash(right.as_bytes()));
        assert_ne!(name, other);
        // What is remembered for one is never found for the other.
        if number % 16 == 0 {
            let known = Known {
                principal: Principal::default(),
                basis: Basis::Token,
                until: Instant::now() + Duration::from_secs(300),
            };
            assert!(bench.proofs.remember(&setting, name, known).is_some());
        }
        assert!(bench.proofs.cached(&other).is_none());
    }
    assert!(bench.proofs.cache().known.len() > 60_000);
}

#[tokio::test]
async fn a_document_that_changes_meanwhile_decides() {
    let (key, server) = (Signer::ed(), Server::new().await);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let keys = json!({"keys": [key.jwk("a")]}).to_string();
    server.say("/keys", Says::Held(gate.clone(), keys));
    let bench = Bench::new(&[server.issuer()]).await;
    let token = key.token(&json!({"alg": "EdDSA", "kid": "a"}), &with(json!({})));
    let (proofs, asked) = (bench.proofs.clone(), bearer(&token));
    let asking = tokio::spawn(async move { proofs.prove(&asked).await });
    while server.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    // The question waits for keys while the document changes.
    let mut changed = server.issuer();
    changed.login_prefix = "new:".into();
    bench.proofs.replace(&identity(&BOTH, &[changed]));
    gate.add_permits(1);
    assert_eq!(known(asking.await.unwrap()).0.login, "new:alice");
    assert_eq!(known(bench.prove(&token).await).0.login, "new:alice");
    assert_eq!(server.asked().len(), 1);
}
