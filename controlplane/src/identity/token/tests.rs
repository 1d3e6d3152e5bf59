//! Life of a token: made, used, narrowed, revoked, expired, and all of it again after a restart.

use sluice_shared::wire::control::Scope;

use super::new::{DAY, LIFETIME_MAX};
use super::*;
use crate::store::Sqlite;

const HOUR: Duration = Duration::from_secs(3_600);

pub(in crate::identity) async fn open(folder: &std::path::Path) -> Arc<Tokens> {
    Tokens::open(Arc::new(Sqlite::open(folder).await.unwrap()))
        .await
        .unwrap()
}

pub(in crate::identity) fn admin() -> Author {
    Author {
        login: "root@example.com".into(),
        role: Role::Admin,
        scoped: false,
    }
}

fn user(login: &str) -> Author {
    Author {
        login: login.into(),
        role: Role::User,
        scoped: false,
    }
}

pub(in crate::identity) fn wish(login: &str) -> NewToken {
    NewToken {
        name: "ci".into(),
        login: Some(login.into()),
        ..NewToken::default()
    }
}

/// The next revocation; nothing but a hang takes longer.
pub(in crate::identity) async fn next(told: &mut broadcast::Receiver<[u8; 32]>) -> [u8; 32] {
    tokio::time::timeout(Duration::from_secs(60), told.recv())
        .await
        .expect("no revocation is told")
        .unwrap()
}

fn ask(tokens: &Tokens, secret: &Secret) -> Verdict {
    tokens.check(&secret.0, &hash(secret.0.as_bytes()))
}

fn known(verdict: Verdict) -> (Principal, Duration) {
    match verdict {
        Verdict::Known { principal, remaining } => (principal, remaining),
        Verdict::Refused(reason) => panic!("{reason}"),
    }
}

#[tokio::test]
async fn a_token_is_its_login_within_its_scope() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let new = NewToken {
        groups: vec!["group:b".into(), "group:a".into(), "group:b".into()],
        models: Some(vec!["openai/**".into()]),
        role: Some("user".into()),
        ..wish("alice@example.com")
    };
    let (info, secret) = tokens.create(new, &admin()).await.unwrap();
    assert_eq!(info.expires_at.0 - info.created_at.0, 90 * DAY);
    assert_eq!(info.created_by, "root@example.com");
    let (principal, remaining) = known(ask(&tokens, &secret));
    assert!(remaining <= Duration::from_micros(90 * DAY));
    assert_eq!(
        principal,
        Principal {
            source: "token".into(),
            login: "alice@example.com".into(),
            node: format!("token:{}", info.id),
            groups: vec!["group:a".into(), "group:b".into()],
            scope: Some(Scope {
                models: Some(vec!["openai/**".into()]),
                role: Some(Role::User),
            }),
            ..Principal::default()
        }
    );
    let tagged = NewToken {
        login: None,
        tags: vec!["tag:ci".into(), "tag:build".into()],
        ..wish("")
    };
    let (_, secret) = tokens.create(tagged, &admin()).await.unwrap();
    let (principal, _) = known(ask(&tokens, &secret));
    assert_eq!(principal.login, "tag:build,tag:ci");
    assert_eq!(principal.tags, ["tag:build", "tag:ci"]);
}

#[tokio::test]
async fn wishes_that_are_refused_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let check = async |author: Author, new: NewToken, expected: &str| {
        let error = tokens.create(new, &author).await.unwrap_err();
        assert!(error.is_callers());
        assert!(error.to_string().contains(expected), "{error} / {expected}");
    };
    let alice = || wish("alice");
    let now = unix_micros();
    let texts = |text: &str, count: usize| (0..count).map(|n| format!("{text}{n}")).collect::<Vec<_>>();
    check(
        admin(),
        NewToken {
            name: String::new(),
            ..alice()
        },
        "needs a name",
    )
    .await;
    check(
        admin(),
        NewToken {
            name: "x".repeat(129),
            ..alice()
        },
        "longer than 128",
    )
    .await;
    check(
        admin(),
        NewToken {
            name: "a\nb".into(),
            ..alice()
        },
        "control",
    )
    .await;
    check(
        admin(),
        NewToken {
            login: None,
            ..alice()
        },
        "either a login or tags",
    )
    .await;
    check(
        admin(),
        NewToken {
            tags: vec!["tag:x".into()],
            ..alice()
        },
        "not both",
    )
    .await;
    check(admin(), wish("tag:ci"), "looks like a tag").await;
    check(admin(), wish("(loopback)"), "looks like a tag").await;
    check(admin(), wish("group:x"), "looks like a tag").await;
    check(admin(), wish("a\u{7}"), "control").await;
    check(admin(), wish(&"x".repeat(257)), "longer than 256").await;
    check(
        admin(),
        NewToken {
            login: None,
            tags: vec!["ci".into()],
            ..alice()
        },
        "no tag",
    )
    .await;
    check(
        admin(),
        NewToken {
            login: None,
            tags: vec!["tag:a,tag:b".into()],
            ..alice()
        },
        "no tag",
    )
    .await;
    check(
        admin(),
        NewToken {
            login: None,
            tags: texts("tag:", 65),
            ..alice()
        },
        "more than 64 tags",
    )
    .await;
    check(
        admin(),
        NewToken {
            groups: vec!["x".into()],
            ..alice()
        },
        "no group",
    )
    .await;
    check(
        admin(),
        NewToken {
            role: Some("root".into()),
            ..alice()
        },
        "unknown role \"root\"",
    )
    .await;
    check(
        admin(),
        NewToken {
            models: Some(vec![]),
            ..alice()
        },
        "models is empty",
    )
    .await;
    check(
        admin(),
        NewToken {
            models: Some(vec!["a b".into()]),
            ..alice()
        },
        "bad glob \"a b\"",
    )
    .await;
    check(
        admin(),
        NewToken {
            models: Some(texts("m", 65)),
            ..alice()
        },
        "more than 64 models",
    )
    .await;
    check(
        admin(),
        NewToken {
            expires_at: Some(UnixMicros(now - 1)),
            ..alice()
        },
        "past",
    )
    .await;
    check(
        admin(),
        NewToken {
            expires_at: Some(UnixMicros(0)),
            ..alice()
        },
        "past",
    )
    .await;
    check(
        admin(),
        NewToken {
            expires_at: Some(UnixMicros(now + LIFETIME_MAX + DAY)),
            ..alice()
        },
        "ten years",
    )
    .await;
    check(
        admin(),
        NewToken {
            expires_at: Some(UnixMicros(u64::MAX)),
            ..alice()
        },
        "ten years",
    )
    .await;
    // Nobody gives more than they have.
    check(
        user("alice"),
        NewToken {
            role: Some("admin".into()),
            ..alice()
        },
        "above your own",
    )
    .await;
    check(user("bob"), alice(), "your own login").await;
    check(
        user("alice"),
        NewToken {
            groups: vec!["group:x".into()],
            ..alice()
        },
        "your own login",
    )
    .await;
    check(
        user("alice"),
        NewToken {
            login: None,
            tags: vec!["tag:x".into()],
            ..alice()
        },
        "your own login",
    )
    .await;
    check(
        Author {
            scoped: true,
            ..admin()
        },
        alice(),
        "limited to some models",
    )
    .await;
    assert_eq!(tokens.list(), []);
    // What a user makes for their own login stays a user's, even if that login becomes an admin.
    let (info, _) = tokens.create(alice(), &user("alice")).await.unwrap();
    assert_eq!(info.scope.role, Some(Role::User));
}

#[tokio::test]
async fn what_is_not_in_force_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let (info, secret) = tokens.create(wish("alice"), &admin()).await.unwrap();
    let check = |text: &str, expected: &'static str| {
        assert_eq!(
            tokens.check(text, &hash(text.as_bytes())),
            Verdict::Refused(expected),
            "{text}"
        );
    };
    check(&format!("{PREFIX}{}", "A".repeat(43)), "unknown token");
    check(&secret.0[..46], "malformed token");
    check(&format!("{}A", secret.0), "malformed token");
    check(&secret.0.replace(PREFIX, "SLT_"), "malformed token");
    known(ask(&tokens, &secret));
    tokens.revoke(&info.id, &admin()).await.unwrap();
    check(&secret.0, "token was revoked");
}

#[tokio::test]
async fn an_end_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let running = tokio::spawn(tokens.clone().run());
    let mut told = tokens.revocations();
    let (info, revoked) = tokens.create(wish("alice"), &admin()).await.unwrap();
    let hour = NewToken {
        expires_at: Some(UnixMicros(unix_micros() + 3_600_000_000)),
        ..wish("alice")
    };
    let (_, expired) = tokens.create(hour, &admin()).await.unwrap();
    let (_, lives) = tokens.create(wish("alice"), &admin()).await.unwrap();
    tokens.revoke(&info.id, &admin()).await.unwrap();
    assert_eq!(next(&mut told).await, hash(revoked.0.as_bytes()));
    assert!(known(ask(&tokens, &expired)).1 <= HOUR);
    tokens.advance(HOUR);
    assert_eq!(next(&mut told).await, hash(expired.0.as_bytes()));
    assert_eq!(ask(&tokens, &expired), Verdict::Refused("token has expired"));
    known(ask(&tokens, &lives));
    running.abort();
}

#[tokio::test]
async fn users_see_only_their_own_as_revocable() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let (info, secret) = tokens.create(wish("alice"), &admin()).await.unwrap();
    for (id, author) in [("nosuchid", admin()), (info.id.as_str(), user("bob"))] {
        let error = tokens.revoke(id, &author).await.unwrap_err();
        assert!(matches!(error, TokenError::Unknown(_)), "{error}");
    }
    known(ask(&tokens, &secret));
    let first = tokens.revoke(&info.id, &user("alice")).await.unwrap();
    // Again is no error and no second moment.
    let second = tokens.revoke(&info.id, &admin()).await.unwrap();
    assert!(first.revoked_at.is_some());
    assert_eq!(first.revoked_at, second.revoked_at);
}

#[tokio::test]
async fn a_thousand_tokens_survive_a_restart_without_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let mut secrets = Vec::new();
    for number in 0..1_000 {
        let new = NewToken {
            models: (number % 2 == 0).then(|| vec![format!("p/m{number}")]),
            role: (number % 3 == 0).then(|| "user".into()),
            ..wish(&format!("user{number}"))
        };
        secrets.push(tokens.create(new, &admin()).await.unwrap());
    }
    for (info, _) in secrets.iter().step_by(10) {
        tokens.revoke(&info.id, &admin()).await.unwrap();
    }
    known(ask(&tokens, &secrets[1].1));
    tokens.write_uses().await;
    let before = tokens.list();
    assert_eq!(before.len(), 1_000);
    assert_eq!(
        before.iter().filter(|info| info.revoked_at.is_some()).count(),
        100
    );
    assert_eq!(
        before.iter().filter(|info| info.last_used_at.is_some()).count(),
        1
    );
    drop(tokens);
    let tokens = open(folder.path()).await;
    assert_eq!(tokens.list(), before);
    for (number, (info, secret)) in secrets.iter().enumerate() {
        if number % 10 == 0 {
            assert_eq!(ask(&tokens, secret), Verdict::Refused("token was revoked"));
        } else {
            let (principal, _) = known(ask(&tokens, secret));
            assert_eq!(principal.login, format!("user{number}"));
            assert_eq!(principal.scope, Some(info.scope.clone()));
        }
    }
}

#[tokio::test]
async fn nothing_shown_holds_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = open(folder.path()).await;
    let (info, secret) = tokens.create(wish("alice"), &admin()).await.unwrap();
    let shown = format!(
        "{info:?} {secret:?} {:?} {:?}",
        tokens.list(),
        ask(&tokens, &secret)
    );
    let rest = &secret.0[PREFIX.len()..];
    // Nowhere in the store, neither whole nor in part.
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let part = &rest.as_bytes()[..8];
        assert!(!bytes.windows(8).any(|window| window == part), "{name}");
    }
    for start in 0..rest.len() - 6 {
        assert!(!shown.contains(&rest[start..start + 7]));
    }
}

#[tokio::test]
async fn ended_tokens_go_after_a_year() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(folder.path()).await.unwrap());
    let token = |id: &str, expires: u64, revoked: Option<u64>| StoredToken {
        hash: hash(id.as_bytes()),
        info: TokenInfo {
            id: id.into(),
            name: id.into(),
            login: "alice".into(),
            tags: vec![],
            groups: vec![],
            scope: Scope::default(),
            created_by: "root".into(),
            created_at: UnixMicros(1),
            expires_at: UnixMicros(expires),
            last_used_at: None,
            revoked_at: revoked.map(UnixMicros),
        },
    };
    let now = unix_micros();
    let long_ago = now - KEPT_AFTER_END - DAY;
    for stored in [
        token("expired", long_ago, None),
        token("revoked", now + DAY, Some(long_ago)),
        token("lately", now - DAY, None),
        token("lives", now + DAY, None),
    ] {
        store.add_token(&stored).await.unwrap();
    }
    let tokens = Tokens::open(store).await.unwrap();
    let names: Vec<String> = tokens.list().into_iter().map(|info| info.id).collect();
    assert_eq!(names, ["lately", "lives"]);
}
