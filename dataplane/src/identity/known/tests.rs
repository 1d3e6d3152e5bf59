//! Tests of what a shard remembers, where sockets would only be in the way: the place of a certificate among the sources,
//! ages, and what forgetting leaves.

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Capability, Grant, Identity, Role, Snapshot, Source, SourceKind};
use sluice_shared::wire::control::Scope;

use super::super::facts::Token;
use super::super::probe::compile;
use super::*;

const NOW: MonoMicros = MonoMicros(1_000);
const LATER: MonoMicros = MonoMicros(2_000);
const HERE: [u8; 16] = [1; 16];

fn config(epoch: u64, sources: &[SourceKind], mode: BearerMode) -> Config {
    let snapshot = Snapshot {
        epoch: Epoch(epoch),
        grants: vec![Grant {
            sources: vec![Source::Any],
            capabilities: vec![Capability {
                role: Some(Role::User),
                grants_models: true,
                ..Capability::default()
            }],
            ..Grant::default()
        }],
        identity: Identity {
            sources: sources.to_vec(),
            bearer: mode,
            ..Identity::default()
        },
        ..Snapshot::default()
    };
    compile(&snapshot, None).unwrap()
}

fn principal(login: &str) -> Arc<Principal> {
    Arc::new(Principal {
        login: login.into(),
        ..Principal::default()
    })
}

fn is(login: &str) -> IdentityAnswer {
    IdentityAnswer::Known {
        principal: principal(login),
        whole_address: true,
    }
}

fn facts<'a>(certificate: Option<&'a Arc<Principal>>, token: Option<&'a str>) -> Facts<'a> {
    Facts {
        address: HERE,
        port: 7,
        certificate: certificate.map(|principal| (principal, LATER)),
        served: Served::NotHere,
        bearer: token.and_then(|token| Token::new(token.as_bytes())),
    }
}

/// What looking up came to, as words.
fn looked(known: &mut Known, config: &Config, facts: &Facts<'_>, learnt: &Learnt, now: MonoMicros) -> String {
    match known.resolve(config, facts, learnt, now) {
        Step::AskConnection(_) => "asks about the connection".into(),
        Step::AskBearer(_) => "asks about the credential".into(),
        Step::Done(Resolved::Known(caller)) => format!(
            "{}{}{}{}",
            caller.policy.principal.login,
            if caller.basis.address { " by address" } else { "" },
            if caller.basis.bearer.is_some() {
                " by credential"
            } else {
                ""
            },
            if caller.policy.principal.scope.is_some() {
                ", scoped"
            } else {
                ""
            },
        ),
        Step::Done(Resolved::Unknown) => "unknown".into(),
        Step::Done(Resolved::ConnectionRefused(why)) => why.into(),
        Step::Done(Resolved::CredentialRefused(why)) => format!("refused: {why}"),
        Step::Done(Resolved::Conflict { connection, bearer }) => {
            format!("{} and {}", connection.login, bearer.login)
        }
        Step::Done(Resolved::Unavailable { retry_after_s }) => format!("unavailable {retry_after_s}"),
    }
}

/// Red if a certificate is heard in another place than the document gives it.
#[test]
fn a_certificate_has_its_place_among_the_sources() {
    use SourceKind::{Loopback, Mtls, Static, Token};
    let carol = principal("carol");
    let check =
        |sources: &[SourceKind], address: Option<IdentityAnswer>, token: Option<&str>, expected: &str| {
            let config = config(1, sources, BearerMode::Narrow);
            let mut known = Known::new();
            let learnt = Learnt {
                connection: address.clone().map(|answer| (answer, LATER)),
                bearer: token.map(|login| (is(login), LATER)),
            };
            let facts = facts(Some(&carol), token);
            let found = looked(&mut known, &config, &facts, &learnt, NOW);
            assert_eq!(found, expected, "{sources:?} {address:?} {token:?}");
        };
    let first = [Mtls, Static, Token];
    let last = [Static, Loopback, Mtls, Token];
    let down = || Some(IdentityAnswer::Unavailable { retry_after_s: 4 });
    check(&first, None, None, "carol");
    check(&first, Some(is("alice")), None, "carol");
    check(&first, down(), None, "carol");
    check(&first, None, Some("carol"), "carol by credential");
    check(&first, None, Some("dave"), "carol and dave");
    check(&last, None, None, "asks about the connection");
    check(&last, Some(is("alice")), None, "alice by address");
    check(&last, Some(IdentityAnswer::Unknown), None, "carol");
    check(&last, down(), None, "unavailable 4");
    check(&[Mtls], None, None, "carol");
    // Not believed where the document does not say so.
    check(&[Static], Some(IdentityAnswer::Unknown), None, "unknown");
    check(&[Token], None, None, "unknown");

    let config = config(1, &[Mtls], BearerMode::Narrow);
    let found = looked(
        &mut Known::new(),
        &config,
        &facts(Some(&carol), None),
        &Learnt::default(),
        LATER,
    );
    assert_eq!(found, "unknown", "past its time");
}

/// Red if something old, forgotten or of another principal is used.
#[test]
fn what_is_old_or_forgotten_is_asked_for_again() {
    let sources = [SourceKind::Static, SourceKind::Token];
    let narrow = config(1, &sources, BearerMode::Narrow);
    let mut known = Known::new();
    let peer = Key::Peer {
        address: HERE,
        port: 7,
    };
    let text = "slt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let hash = Token::new(text.as_bytes()).unwrap().hash;
    let look = |known: &mut Known, token: Option<&str>, now| {
        looked(known, &narrow, &facts(None, token), &Learnt::default(), now)
    };
    assert_eq!(look(&mut known, None, NOW), "asks about the connection");
    known.learn(peer, &is("alice"), LATER);
    assert_eq!(look(&mut known, None, NOW), "alice by address");
    assert_eq!(look(&mut known, None, LATER), "asks about the connection");
    assert_eq!(look(&mut known, Some(text), NOW), "asks about the credential");
    let mut scoped = Principal::clone(&principal("alice"));
    scoped.scope = Some(Scope::default());
    let scoped = IdentityAnswer::Known {
        principal: Arc::new(scoped),
        whole_address: true,
    };
    known.learn(Key::Proof(hash), &scoped, LATER);
    assert_eq!(
        look(&mut known, Some(text), NOW),
        "alice by address by credential, scoped"
    );
    // The same token now is somebody else's: the policy that was made of it before is not used.
    known.learn(Key::Proof(hash), &is("alice"), LATER);
    assert_eq!(
        look(&mut known, Some(text), NOW),
        "alice by address by credential"
    );
    known.learn(peer, &is("bob"), LATER);
    assert_eq!(look(&mut known, Some(text), NOW), "bob and alice");
    known.learn(peer, &IdentityAnswer::Unknown, LATER);
    assert_eq!(look(&mut known, Some(text), NOW), "alice by credential");
    assert_eq!(look(&mut known, None, NOW), "unknown");
    let reason = "revoked".into();
    known.learn(Key::Proof(hash), &IdentityAnswer::Refused { reason }, LATER);
    assert_eq!(look(&mut known, Some(text), NOW), "refused: revoked");
    known.forget_proof(&hash);
    assert_eq!(look(&mut known, Some(text), NOW), "asks about the credential");
    known.forget_address(&HERE);
    assert_eq!(look(&mut known, None, NOW), "asks about the connection");
    known.learn(peer, &is("alice"), LATER);
    known.learn(Key::Proof(hash), &is("alice"), LATER);
    known.forget_everyone();
    assert_eq!(look(&mut known, None, NOW), "asks about the connection");
    assert_eq!(look(&mut known, Some(text), NOW), "asks about the credential");
    // With `replace` nobody needs to be asked about the connection.
    let replace = config(2, &sources, BearerMode::Replace);
    known.learn(Key::Proof(hash), &is("dave"), LATER);
    let found = looked(
        &mut known,
        &replace,
        &facts(None, Some(text)),
        &Learnt::default(),
        NOW,
    );
    assert_eq!(found, "dave by credential");
}
