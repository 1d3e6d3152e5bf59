//! How keys come, go, and stay: each fetch is counted at the issuer.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_shared::wire::control::IdentityAnswer;

use super::lab::{ISSUER, Says, Server, Signer, with};
use crate::config::domain;
use crate::identity::oidc::fetch::BODY_BYTES_MAX;
use crate::identity::oidc::key_set::KEYS_MAX;
use crate::identity::oidc::{Settings, WAITING_MAX};
use crate::identity::proof::tests::{Bench, bearer};
use crate::identity::token::hash;
use crate::identity::token::tests::next;

fn token(signer: &Signer, kid: &str, number: usize) -> String {
    let claims = with(json!({"sub": format!("user{number}")}));
    signer.token(&json!({"alg": "EdDSA", "kid": kid}), &claims)
}

fn is_known(answer: &IdentityAnswer) -> bool {
    matches!(answer, IdentityAnswer::Known { .. })
}

fn is_refused(answer: &IdentityAnswer) -> bool {
    matches!(answer, IdentityAnswer::Refused { .. })
}

fn is_unavailable(answer: &IdentityAnswer) -> bool {
    matches!(answer, IdentityAnswer::Unavailable { .. })
}

/// Fetches whenever a key is missing.
fn eager() -> Settings {
    Settings {
        pause: Duration::ZERO,
        pause_none: Duration::ZERO,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_crowd_makes_one_fetch() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let bench = Arc::new(Bench::new(&[server.issuer()]).await);
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..30 {
        let (bench, token) = (bench.clone(), token(&key, "a", number));
        crowd.spawn(async move { bench.prove(&token).await });
    }
    assert!(crowd.join_all().await.iter().all(is_known));
    assert_eq!(server.asked(), ["/keys"]);
}

#[tokio::test]
async fn a_slow_issuer_does_not_hold_everybody_up() {
    let (key, server) = (Signer::ed(), Server::new().await);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let keys = json!({"keys": [key.jwk("a")]}).to_string();
    server.say("/keys", Says::Held(gate.clone(), keys));
    let bench = Arc::new(Bench::new(&[server.issuer()]).await);
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (bench, token) = (bench.clone(), token(&key, "a", number));
        crowd.spawn(async move { bench.prove(&token).await });
    }
    // Whoever finds no room is told so while the others wait.
    for _ in 0..100 - WAITING_MAX {
        let answer = crowd.join_next().await.unwrap().unwrap();
        assert!(is_unavailable(&answer), "{answer:?}");
    }
    gate.add_permits(1);
    assert!(crowd.join_all().await.iter().all(is_known));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn unknown_keys_make_at_most_one_fetch_a_minute() {
    let (key, thief, server) = (Signer::ed(), Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let bench = Bench::new(&[server.issuer()]).await;
    for number in 0..200 {
        let answer = bench.prove(&token(&thief, &format!("kid{number}"), number)).await;
        assert!(is_refused(&answer), "{answer:?}");
    }
    assert!(is_known(&bench.prove(&token(&key, "a", 0)).await));
    assert_eq!(server.asked().len(), 1);
    // Without the pause each is looked for.
    let bench = Bench::with(&[server.issuer()], eager()).await;
    for number in 0..3 {
        assert!(is_refused(&bench.prove(&token(&thief, "x", number)).await));
    }
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn keys_rotate_hot_and_what_the_old_one_signed_is_revoked() {
    let (old, new, server) = (Signer::ed(), Signer::ed(), Server::new().await);
    server.publish(&[old.jwk("old")]);
    let bench = Bench::with(&[server.issuer()], eager()).await;
    let running = tokio::spawn(bench.proofs.clone().run());
    let mut told = bench.proofs.revocations();
    let (first, second, third) = (
        token(&old, "old", 1),
        token(&new, "new", 2),
        token(&old, "old", 3),
    );
    assert!(is_known(&bench.prove(&first).await));
    assert!(is_refused(&bench.prove(&second).await));
    // For a while both.
    server.publish(&[old.jwk("old"), new.jwk("new")]);
    let again = token(&new, "new", 4);
    assert!(is_known(&bench.prove(&again).await));
    assert!(is_known(&bench.prove(&first).await));
    // Then the old one goes; a kid that nobody has makes us look.
    server.publish(&[new.jwk("new")]);
    assert!(is_refused(&bench.prove(&token(&new, "nobody", 5)).await));
    assert_eq!(next(&mut told).await, hash(first.as_bytes()));
    assert!(is_refused(&bench.prove(&first).await));
    assert!(is_refused(&bench.prove(&third).await));
    assert!(is_known(&bench.prove(&again).await));
    running.abort();
}

#[tokio::test]
async fn keys_survive_a_restart_while_the_issuer_is_down() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let issuer = server.issuer();
    let bench = Bench::new(std::slice::from_ref(&issuer)).await;
    assert!(is_known(&bench.prove(&token(&key, "a", 0)).await));
    let folder = bench.folder.path().join("jwks");
    server.stop().await;
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );

    let again = bench
        .restarted(std::slice::from_ref(&issuer), Settings::default())
        .await;
    assert!(is_known(&again.prove(&token(&key, "a", 1)).await));
    // Whether this key is a new one, nobody can say now; that is not the caller's fault.
    assert!(is_unavailable(&again.prove(&token(&key, "b", 1)).await));
    // A signature that does not hold is one that does not hold.
    assert!(is_refused(&again.prove(&token(&Signer::ed(), "a", 1)).await));

    let too_old = Settings {
        kept: Duration::ZERO,
        ..Settings::default()
    };
    let old = again.restarted(std::slice::from_ref(&issuer), too_old).await;
    assert!(is_unavailable(&old.prove(&token(&key, "a", 2)).await));

    // Another address of the keys is another matter, and so is what is not ours.
    let mut moved = issuer.clone();
    moved.jwks_url.push('2');
    let moved = old.restarted(&[moved], Settings::default()).await;
    assert!(is_unavailable(&moved.prove(&token(&key, "a", 3)).await));
    std::fs::write(file.path(), "{").unwrap();
    let garbage = moved.restarted(&[issuer], Settings::default()).await;
    assert!(is_unavailable(&garbage.prove(&token(&key, "a", 4)).await));
}

#[tokio::test]
async fn bad_answers_are_no_keys_and_do_not_displace_good_ones() {
    let (key, server, elsewhere) = (Signer::ed(), Server::new().await, Server::new().await);
    let good = json!({"keys": [key.jwk("a")]}).to_string();
    elsewhere.say("/keys", Says::Json(good.clone()));
    let quick = Settings {
        patience: Duration::from_millis(100),
        ..eager()
    };
    let many: Vec<Value> = (0..=KEYS_MAX)
        .map(|number| key.jwk(&number.to_string()))
        .collect();
    let padded = format!("{}{good}", " ".repeat(BODY_BYTES_MAX));
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n{good}", "x".repeat(1 << 20));
    let cut = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}",
        good.len(),
        &good[..20]
    );
    let cases = [
        ("nothing is said", Says::Silence),
        ("no end", Says::Endless),
        ("longer than the cap", Says::Json(padded)),
        ("endless head", Says::Bytes(head.into_bytes())),
        ("cut", Says::Bytes(cut.into_bytes())),
        ("not HTTP", Says::Bytes(b"SSH-2.0-x\r\n".to_vec())),
        ("closed at once", Says::Bytes(vec![])),
        ("a page", Says::Json("<html>login</html>".into())),
        ("another object", Says::Json("{}".into())),
        ("keys is no list", Says::Json(r#"{"keys":{}}"#.into())),
        ("no keys", Says::Json(r#"{"keys":[]}"#.into())),
        (
            "no key that can be used",
            Says::Json(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#.into()),
        ),
        ("keys twice", Says::Json(r#"{"keys":[],"keys":[]}"#.into())),
        ("too many keys", Says::Json(json!({"keys": many}).to_string())),
        ("not found", Says::Status(404)),
        ("an error", Says::Status(500)),
        ("no content", Says::Status(204)),
        (
            "redirect to another origin",
            Says::Redirect(elsewhere.url("/keys")),
        ),
        ("redirect in circles", Says::Redirect("/keys".into())),
        ("redirect to nowhere", Says::Redirect(String::new())),
    ];
    for (number, (name, says)) in cases.into_iter().enumerate() {
        let bench = Bench::with(&[server.issuer()], quick).await;
        server.say("/keys", says.clone());
        let answer = bench.prove(&token(&key, "a", number)).await;
        assert!(is_unavailable(&answer), "{name}: {answer:?}");
        // The same where good keys are there already.
        let patient = Bench::with(&[server.issuer()], eager()).await;
        server.say("/keys", Says::Json(good.clone()));
        assert!(
            is_known(&patient.prove(&token(&key, "a", number)).await),
            "{name}"
        );
        let bench = patient.restarted(&[server.issuer()], quick).await;
        server.say("/keys", says);
        let answer = bench.prove(&token(&key, "b", number)).await;
        assert!(is_unavailable(&answer), "{name}: {answer:?}");
        assert!(is_known(&bench.prove(&token(&key, "a", number)).await), "{name}");
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
    // Within the origin a redirect is followed.
    server.say("/keys", Says::Redirect("/moved".into()));
    server.say("/moved", Says::Json(good));
    let bench = Bench::new(&[server.issuer()]).await;
    assert!(is_known(&bench.prove(&token(&key, "a", 0)).await));
}

#[tokio::test]
async fn keys_are_discovered() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let issuer = domain::Issuer {
        issuer: server.url("/realm"),
        jwks_url: String::new(),
        ..server.issuer()
    };
    let well_known = "/realm/.well-known/openid-configuration";
    let say = |iss: &str| {
        let document = json!({"issuer": iss, "jwks_uri": server.url("/keys")});
        server.say(well_known, Says::Json(document.to_string()));
    };
    let claims = with(json!({"iss": issuer.issuer}));
    let token = key.token(&json!({"alg": "EdDSA", "kid": "a"}), &claims);
    say(ISSUER);
    let bench = Bench::with(std::slice::from_ref(&issuer), eager()).await;
    assert!(is_unavailable(&bench.prove(&token).await));
    assert_eq!(server.asked(), [well_known]);
    say(&issuer.issuer);
    assert!(is_known(&bench.prove(&token).await));
    assert_eq!(server.asked(), [well_known, well_known, "/keys"]);
}

#[tokio::test]
async fn an_issuer_in_the_clear_is_not_asked() {
    let key = Signer::ed();
    let server = Server::new().await;
    server.publish(&[key.jwk("a")]);
    for url in [
        "http://issuer.example/keys",
        "http://192.0.2.1/keys",
        "file:///keys",
        "keys",
    ] {
        let issuer = domain::Issuer {
            jwks_url: url.into(),
            ..server.issuer()
        };
        let bench = Bench::new(&[issuer]).await;
        assert!(is_unavailable(&bench.prove(&token(&key, "a", 0)).await), "{url}");
    }
}

#[tokio::test]
async fn tls_is_verified() {
    let authority = rcgen::CertifiedIssuer::self_signed(
        {
            let mut parameters = rcgen::CertificateParams::default();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters
        },
        rcgen::KeyPair::generate().unwrap(),
    )
    .unwrap();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .signed_by(&leaf_key, &authority)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let server = Server::start(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await;
    let key = Signer::ed();
    server.publish(&[key.jwk("a")]);
    let issuer = |host: &str, ca_pem: Option<String>| domain::Issuer {
        jwks_url: format!("https://{host}:{}/keys", server.address.port()),
        ca_pem,
        ..server.issuer()
    };
    let ask = async |issuer: domain::Issuer| Bench::new(&[issuer]).await.prove(&token(&key, "a", 0)).await;
    assert!(is_known(&ask(issuer("localhost", Some(authority.pem()))).await));
    // Another name, the world's roots, another authority: no.
    assert!(is_unavailable(
        &ask(issuer("127.0.0.1", Some(authority.pem()))).await
    ));
    assert!(is_unavailable(&ask(issuer("localhost", None)).await));
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    assert!(is_unavailable(
        &ask(issuer("localhost", Some(other.cert.pem()))).await
    ));
    assert_eq!(server.asked(), ["/keys"]);
}

#[tokio::test]
async fn keys_are_fetched_before_anybody_asks() {
    let (key, server) = (Signer::ed(), Server::new().await);
    server.publish(&[key.jwk("a")]);
    let bench = Bench::new(&[server.issuer()]).await;
    bench.proofs.keep_fresh().await;
    assert_eq!(server.asked().len(), 1);
    // They are young now.
    bench.proofs.keep_fresh().await;
    assert!(is_known(&bench.proofs.prove(&bearer(&token(&key, "a", 0))).await));
    assert_eq!(server.asked().len(), 1);
}
