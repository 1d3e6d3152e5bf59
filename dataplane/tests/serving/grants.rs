//! Grants as they meet requests: lists of capabilities, floating headers, tags, what the network grants, scopes.

use sluice_shared::snapshot::{
    Alias, Capability, Grant, Header, Role, Secret, Snapshot, Source, address_bits,
};
use sluice_shared::wire::control::{Principal, Scope};

use crate::support::client::{chat, get};
use crate::support::control::Who;
use crate::support::setup::{plain, provider, snapshot};
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

fn role(role: Role) -> Capability {
    Capability {
        role: Some(role),
        grants_models: true,
        ..Capability::default()
    }
}

/// A role beside capabilities that name models.
fn bare_role(of: Role) -> Capability {
    Capability {
        grants_models: false,
        ..role(of)
    }
}

fn models(patterns: &[&str]) -> Capability {
    Capability {
        models: Some(patterns.iter().map(|&pattern| pattern.into()).collect()),
        grants_models: true,
        ..Capability::default()
    }
}

fn adding(name: &str, value: &str, capability: Capability) -> Capability {
    Capability {
        add_headers: vec![Header {
            name: name.into(),
            value: Secret(value.into()),
        }],
        ..capability
    }
}

fn grant(sources: Vec<Source>, capabilities: Vec<Capability>) -> Grant {
    Grant {
        sources,
        capabilities,
        ..Grant::default()
    }
}

fn login(name: &str) -> Source {
    Source::Login(name.into())
}

fn person(login: &str) -> Principal {
    Principal {
        source: "tailscale".into(),
        login: login.into(),
        ..Principal::default()
    }
}

fn device(tags: &[&str]) -> Principal {
    Principal {
        tags: tags.iter().map(|&tag| tag.into()).collect(),
        ..person(&tags.join(","))
    }
}

/// Two providers, `a` preferred, and a gateway that somebody is known to.
struct Bench {
    upstream: Upstream,
    gateway: Gateway,
}

impl Bench {
    fn start() -> Self {
        let upstream = Upstream::plain();
        let providers = vec![provider("a", upstream.address), provider("b", upstream.address)];
        let snapshot = Snapshot {
            aliases: vec![Alias {
                from: "best".into(),
                to: "b/m".into(),
            }],
            ..snapshot(providers)
        };
        let gateway = Gateway::start(Setup::new(snapshot).who(Who::Unknown));
        Self { upstream, gateway }
    }

    /// Makes this the caller, and these the grants.
    fn set(&self, principal: Principal, grants: Vec<Grant>) {
        self.gateway.control.publish(|snapshot| snapshot.grants = grants);
        self.gateway.control.set_who(Who::Somebody(principal));
        self.gateway.revoke_all();
    }

    /// Status and error code of a call.
    fn call(&self, model: &str) -> (u16, Option<String>) {
        let answer = self.gateway.call(chat(model));
        (answer.status, answer.field("x-sluice-error").map(str::to_owned))
    }

    fn check(&self, model: &str, expected: Result<(), &str>) {
        let expected = match expected {
            Ok(()) => (200, None),
            Err(code) => (403, Some(code.to_owned())),
        };
        assert_eq!(self.call(model), expected, "{model}");
    }
}

const NO_ROLE: Result<(), &str> = Err("no_role");
const DENIED: Result<(), &str> = Err("model_not_granted");

/// Red if a list of capabilities gives more or less than it says.
#[test]
fn roles_and_models_of_a_list() {
    let bench = Bench::start();
    let everybody = |capabilities| vec![grant(vec![Source::Any], capabilities)];
    bench.set(person("alice@example.com"), everybody(vec![]));
    bench.check("m", NO_ROLE);
    // The same caller on the same connection, under one epoch after the other.
    let check = |capabilities: Vec<Capability>, model: &str, expected| {
        bench
            .gateway
            .control
            .publish(|snapshot| snapshot.grants = everybody(capabilities));
        bench.check(model, expected);
    };
    check(vec![role(Role::User)], "m", Ok(()));
    check(vec![role(Role::User)], "best", Ok(()));
    check(vec![models(&["**"])], "m", NO_ROLE);
    check(vec![bare_role(Role::User)], "m", DENIED);
    check(vec![bare_role(Role::User), models(&["a/m*"])], "m", Ok(()));
    check(vec![bare_role(Role::User), models(&["a/m*"])], "x", DENIED);
    // Not granted on `a`, the second provider takes it.
    check(vec![bare_role(Role::User), models(&["b/m"])], "m", Ok(()));
    check(vec![bare_role(Role::User), models(&["b/m"])], "a/m", DENIED);
    check(vec![bare_role(Role::User), models(&["b/m"])], "best", Ok(()));
    check(vec![bare_role(Role::User), models(&["a/*"])], "best", DENIED);
    assert_eq!(bench.upstream.requests().len(), 5);
}

/// Red if a header goes out without its model, twice, or because of a capability that matches nothing.
#[test]
fn floating_headers_follow_the_models() {
    let bench = Bench::start();
    bench.set(
        person("alice@example.com"),
        vec![
            grant(
                vec![Source::Any],
                vec![
                    bare_role(Role::User),
                    adding("x-float", "everywhere", Capability::default()),
                ],
            ),
            grant(
                vec![Source::Member],
                vec![adding("x-some", "first", models(&["*/m"]))],
            ),
            grant(
                vec![login("alice@example.com")],
                vec![adding("X-Some", "second", models(&["**"]))],
            ),
            grant(
                vec![Source::Tagged],
                vec![adding("x-never", "never", Capability::default())],
            ),
        ],
    );
    for (model, some) in [("m", "first"), ("other", "second"), ("m", "first")] {
        bench.check(model, Ok(()));
        let request = bench.upstream.last();
        assert_eq!(request.fields("x-float"), ["everywhere"]);
        assert_eq!(request.fields("x-some"), [some], "{model}");
        assert!(request.fields("x-never").is_empty());
    }
}

/// Red if a device gets what a person is granted, a person what a tag is, or one tag less than all.
#[test]
fn sources_mean_whom_they_say() {
    let bench = Bench::start();
    let check = |source: Source, principal: Principal, matches: bool| {
        let shown = format!("{source:?} for {principal:?}");
        bench.set(principal, vec![grant(vec![source], vec![role(Role::User)])]);
        let expected = if matches { 200 } else { 403 };
        assert_eq!(bench.call("m").0, expected, "{shown}");
    };
    let two = || device(&["tag:ci", "tag:prod"]);
    check(login("tag:ci,tag:prod"), two(), true);
    check(login("tag:prod"), two(), true);
    check(login("tag:pro"), two(), false);
    check(login("tag:ci"), person("tag:ci"), false);
    check(login("tag:ci,tag:prod"), person("tag:ci,tag:prod"), false);
    let posing = Principal {
        login: "alice@example.com".into(),
        ..two()
    };
    check(login("alice@example.com"), posing, false);
    check(login("alice@example.com"), person("alice@example.com"), true);
    check(Source::Member, two(), false);
    check(Source::Loopback, person("(loopback)"), false);
    let network = |text: &str, prefix| Source::Network {
        address: address_bits(text.parse().unwrap()),
        prefix,
    };
    check(network("127.0.0.0", 96 + 8), two(), true);
    check(network("10.0.0.0", 96 + 8), two(), false);
}

/// Red if what the network's policy grants is not united with the document's grants, or a scope widens anything.
#[test]
fn the_networks_grants_are_united_and_a_scope_takes_away() {
    let bench = Bench::start();
    let alice = |capabilities: Vec<Capability>, scope: Option<Scope>| Principal {
        capabilities,
        scope,
        ..person("alice@example.com")
    };
    // All from the network, none from the document.
    bench.set(alice(vec![role(Role::User)], None), Vec::new());
    bench.check("m", Ok(()));
    // The role from one, the models from the other, in both directions.
    let roles = || vec![grant(vec![Source::Any], vec![bare_role(Role::User)])];
    bench.set(alice(vec![models(&["a/m"])], None), roles());
    bench.check("m", Ok(()));
    bench.check("x", DENIED);
    let document = || vec![grant(vec![Source::Any], vec![models(&["a/m"])])];
    bench.set(alice(vec![bare_role(Role::User)], None), document());
    bench.check("m", Ok(()));
    bench.check("x", DENIED);

    let scope = |role: Option<Role>, models: Option<&[&str]>| {
        Some(Scope {
            role,
            models: models.map(|globs| globs.iter().map(|&glob| glob.into()).collect()),
        })
    };
    let admins = || vec![grant(vec![Source::Any], vec![role(Role::Admin)])];
    bench.set(alice(Vec::new(), scope(None, Some(&["*/m"]))), admins());
    bench.check("m", Ok(()));
    bench.check("x", DENIED);
    let role_of = |bench: &Bench| {
        let seen = bench.gateway.call(get("/api/x")).text();
        let line = seen.lines().find_map(|line| line.strip_prefix("x-sluice-role: "));
        line.map(|role| role.trim().to_owned())
    };
    assert_eq!(role_of(&bench).as_deref(), Some("admin"));
    bench.set(alice(Vec::new(), scope(Some(Role::User), None)), admins());
    bench.check("x", Ok(()));
    assert_eq!(role_of(&bench).as_deref(), Some("user"));
    bench.set(alice(Vec::new(), scope(Some(Role::User), Some(&[]))), admins());
    bench.check("m", DENIED);
    // A scope gives nothing by itself.
    bench.set(
        alice(Vec::new(), scope(Some(Role::Admin), Some(&["**"]))),
        Vec::new(),
    );
    bench.check("m", NO_ROLE);
}

/// Red if a configuration that cannot work takes the place of one that does, or nobody is told.
#[test]
fn a_broken_pattern_is_refused_before_any_shard_sees_it() {
    let upstream = Upstream::plain();
    let gateway = Gateway::start(Setup::new(plain(upstream.address)));
    assert_eq!(gateway.call(chat("m")).status, 200);
    let reason = gateway
        .control
        .publish_refused(|snapshot| snapshot.providers[0].models = vec!["gpt-[45]".into()]);
    assert!(
        reason.contains("provider main: models: the character '['"),
        "{reason}"
    );
    assert_eq!(gateway.call(chat("m")).status, 200);
}
