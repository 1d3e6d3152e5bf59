use proptest::prelude::*;

use super::*;
use crate::quota::name::Values;
use crate::quota::{Terms, Unit};
use crate::snapshot::{Alias, Grant, Quota, QuotaLimit, Secret, address_bits, in_network};
use crate::wire::control::Scope;

/// The definition: every grant is tried, every provider asked, every pattern read anew.
mod naive {
    use super::*;

    pub(super) fn applies(source: &Source, principal: &Principal, address: [u8; 16]) -> bool {
        let device = !principal.tags.is_empty();
        let good = |tag: &String| tag.starts_with("tag:") && !tag.contains(',');
        match source {
            Source::Any => true,
            Source::Login(name) if name.starts_with("tag:") => {
                let single = principal.tags.iter().any(|tag| good(tag) && tag == name);
                let all = principal.tags.iter().all(good) && principal.tags.join(",") == *name;
                device && (single || all)
            }
            Source::Login(name) => !device && !name.is_empty() && principal.login == *name,
            Source::Group(name) => principal.groups.iter().any(|group| group == name),
            Source::Network { address: net, prefix } => in_network(address, *net, *prefix),
            Source::Loopback => principal.source == "loopback",
            Source::Member => !device,
            Source::Tagged => device,
        }
    }

    pub(super) fn capabilities<'a>(
        snapshot: &'a Snapshot,
        principal: &'a Principal,
        address: [u8; 16],
    ) -> Vec<&'a Capability> {
        let matching = snapshot.grants.iter().filter(|grant| {
            let mut sources = grant.sources.iter();
            sources.any(|source| applies(source, principal, address))
        });
        matching
            .flat_map(|grant| &grant.capabilities)
            .chain(&principal.capabilities)
            .collect()
    }

    pub(super) fn role(capabilities: &[&Capability], principal: &Principal) -> Option<Role> {
        let role = capabilities.iter().filter_map(|c| c.role).max()?;
        let limit = principal.scope.as_ref().and_then(|scope| scope.role);
        Some(limit.map_or(role, |limit| role.min(limit)))
    }

    fn covers(models: Option<&Vec<String>>, provider: &str, model: &str) -> bool {
        let name = format!("{provider}/{model}");
        models.is_none_or(|globs| {
            globs
                .iter()
                .any(|glob| Glob::parse(glob).is_ok_and(|glob| glob.matches(&name)))
        })
    }

    pub(super) fn grants(
        capabilities: &[&Capability],
        principal: &Principal,
        provider: &str,
        model: &str,
    ) -> bool {
        role(capabilities, principal).is_some()
            && principal
                .scope
                .as_ref()
                .is_none_or(|scope| covers(scope.models.as_ref(), provider, model))
            && capabilities
                .iter()
                .any(|c| c.grants_models && covers(c.models.as_ref(), provider, model))
    }

    /// Names of the quotas that count, and whether each can be used.
    pub(super) fn counting(
        snapshot: &Snapshot,
        capabilities: &[&Capability],
        provider: &str,
        model: &str,
    ) -> Vec<(String, bool)> {
        let mut out: Vec<(String, bool)> = Vec::new();
        for capability in capabilities {
            let globs = capability.models.as_ref();
            let unread = globs.is_some_and(|globs| globs.iter().any(|glob| Glob::parse(glob).is_err()));
            if !unread && !covers(globs, provider, model) {
                continue;
            }
            for name in &capability.quotas {
                let defined = snapshot.quotas.iter().find(|quota| quota.name == *name);
                let counts = defined.is_none_or(|quota| !quota.disabled);
                if counts && out.iter().all(|(before, _)| before != name) {
                    out.push((
                        name.clone(),
                        defined.is_some_and(|quota| !quota.limits.is_empty()),
                    ));
                }
            }
        }
        out
    }

    /// Served, and the candidates: provider, model, header lines.
    pub(super) fn decide(
        snapshot: &Snapshot,
        principal: &Principal,
        address: [u8; 16],
        flag: Flag,
        asked: &str,
    ) -> (bool, Vec<(String, String, Vec<String>)>) {
        let capabilities = capabilities(snapshot, principal, address);
        let alias = snapshot.aliases.iter().find(|alias| alias.from == asked);
        let name = alias.map_or(asked, |alias| &alias.to);
        let lists = |provider: &Provider, model: &str| {
            let mut globs = provider.models.iter().map(|glob| Glob::parse(glob).unwrap());
            provider.serves(flag) && globs.any(|glob| glob.matches(model))
        };
        let mut serving: Vec<(&Provider, &str)> = Vec::new();
        if let Some((id, rest)) = name.split_once('/') {
            let addressed = snapshot.providers.iter().find(|p| p.id == id && lists(p, rest));
            serving.extend(addressed.map(|provider| (provider, rest)));
        }
        if serving.is_empty() {
            let all = snapshot.providers.iter().filter(|provider| lists(provider, name));
            serving.extend(all.map(|provider| (provider, name)));
        }
        let candidates = serving
            .iter()
            .filter(|(provider, model)| grants(&capabilities, principal, &provider.id, model))
            .map(|(provider, model)| {
                let mut lines: Vec<String> = Vec::new();
                let mut taken: Vec<String> = provider
                    .add_headers
                    .iter()
                    .map(|header| header.name.to_lowercase())
                    .collect();
                if !provider.key.0.is_empty() {
                    taken.push("authorization".into());
                }
                for capability in &capabilities {
                    if covers(capability.models.as_ref(), &provider.id, model) {
                        for header in &capability.add_headers {
                            let lower = header.name.to_lowercase();
                            if !taken.contains(&lower) {
                                lines.push(format!("{}: {}", header.name, header.value.0));
                                taken.push(lower);
                            }
                        }
                    }
                }
                (provider.id.clone(), (*model).to_owned(), lines)
            });
        (!serving.is_empty(), candidates.collect())
    }
}

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.into(),
        value: Secret(value.into()),
    }
}

fn provider(id: &str, models: &[&str], flags: &[Flag]) -> Provider {
    Provider {
        id: id.into(),
        models: models.iter().map(|&model| model.into()).collect(),
        flags: flags.iter().fold(0, |bits, flag| bits | 1 << *flag as u8),
        ..Provider::default()
    }
}

fn role(role: Role) -> Capability {
    Capability {
        role: Some(role),
        grants_models: true,
        ..Capability::default()
    }
}

pub(super) fn models(patterns: &[&str]) -> Capability {
    Capability {
        models: Some(patterns.iter().map(|&pattern| pattern.into()).collect()),
        grants_models: true,
        ..Capability::default()
    }
}

fn quota(name: &str) -> Quota {
    Quota {
        name: name.into(),
        limits: vec![QuotaLimit {
            unit: Unit::Usd,
            terms: Terms {
                capacity: 10,
                ..Terms::default()
            },
        }],
        ..Quota::default()
    }
}

fn naming(mut capability: Capability, quotas: &[&str]) -> Capability {
    capability.quotas = quotas.iter().map(|&name| name.into()).collect();
    capability
}

pub(super) fn login(name: &str) -> Source {
    Source::Login(name.into())
}

pub(super) fn grant(sources: Vec<Source>, capabilities: Vec<Capability>) -> Grant {
    Grant {
        sources,
        capabilities,
        ..Grant::default()
    }
}

pub(super) fn person(login: &str) -> Principal {
    Principal {
        source: "tailscale".into(),
        login: login.into(),
        ..Principal::default()
    }
}

fn device(tags: &[&str]) -> Principal {
    Principal {
        source: "tailscale".into(),
        login: tags.join(","),
        tags: tags.iter().map(|&tag| tag.into()).collect(),
        ..Principal::default()
    }
}

pub(super) fn at(address: &str) -> [u8; 16] {
    address_bits(address.parse().unwrap())
}

#[test]
fn a_source_means_whom_it_says() {
    let check = |source: Source, principal: &Principal, address: &str, expected: bool| {
        let shown = format!("{source} for {principal:?} at {address}");
        assert_eq!(applies(&source, principal, at(address)), expected, "{shown}");
        let snapshot = Snapshot {
            grants: vec![grant(vec![source], vec![role(Role::User)])],
            ..Snapshot::default()
        };
        let rules = Rules::compile(&snapshot).unwrap();
        let granted = rules.granted(principal, at(address));
        assert_eq!(granted.role.is_some(), expected, "by the index: {shown}");
    };
    let alice = person("alice@example.com");
    let ci = device(&["tag:ci"]);
    let two = device(&["tag:ci", "tag:prod"]);
    let home = "127.0.0.1";
    check(Source::Any, &alice, home, true);
    check(Source::Any, &ci, home, true);
    check(login("alice@example.com"), &alice, home, true);
    check(login("Alice@example.com"), &alice, home, false);
    check(login("bob@example.com"), &alice, home, false);
    check(login("tag:ci"), &ci, home, true);
    check(login("tag:ci"), &two, home, true);
    check(login("tag:prod"), &two, home, true);
    check(login("tag:ci,tag:prod"), &two, home, true);
    check(login("tag:prod,tag:ci"), &two, home, false);
    check(login("tag:ci,tag:prod"), &ci, home, false);
    check(login("tag:c"), &ci, home, false);
    check(Source::Member, &alice, home, true);
    check(Source::Member, &ci, home, false);
    check(Source::Tagged, &alice, home, false);
    check(Source::Tagged, &ci, home, true);

    // A person never takes a tag's grant, a device never a person's.
    check(login("tag:ci"), &person("tag:ci"), home, false);
    check(login("tag:ci,tag:prod"), &person("tag:ci,tag:prod"), home, false);
    let posing = Principal {
        login: "alice@example.com".into(),
        ..device(&["tag:ci"])
    };
    check(login("alice@example.com"), &posing, home, false);
    check(login("tag:ci"), &posing, home, true);
    check(
        login("alice@example.com"),
        &device(&["alice@example.com"]),
        home,
        false,
    );
    check(login("ci"), &device(&["ci"]), home, false);
    check(login("ci"), &ci, home, false);
    // One tag that reads like two, and a list with a stranger in it.
    check(
        login("tag:ci,tag:prod"),
        &device(&["tag:ci,tag:prod"]),
        home,
        false,
    );
    check(login("tag:ci,prod"), &device(&["tag:ci", "prod"]), home, false);
    check(login("tag:ci"), &device(&["tag:ci", "prod"]), home, true);
    // Nobody's login.
    check(login(""), &person(""), home, false);
    check(login(""), &device(&[""]), home, false);

    let group = |name: &str| Source::Group(name.into());
    let engineer = Principal {
        groups: vec!["group:eng".into()],
        ..person("alice@example.com")
    };
    check(group("group:eng"), &engineer, home, true);
    check(group("group:en"), &engineer, home, false);
    check(group("group:eng"), &person("group:eng"), home, false);
    check(login("group:eng"), &engineer, home, false);
    check(group("group:eng"), &device(&["group:eng"]), home, false);

    let loopback = Principal {
        source: "loopback".into(),
        login: "(loopback)".into(),
        ..Principal::default()
    };
    check(Source::Loopback, &loopback, home, true);
    check(Source::Loopback, &person("(loopback)"), home, false);
    check(Source::Loopback, &person("loopback"), home, false);

    let network = |net: &str, prefix: u8| Source::Network {
        address: at(net),
        prefix,
    };
    check(network("10.0.0.0", 96 + 8), &alice, "10.200.3.4", true);
    check(network("10.0.0.0", 96 + 8), &alice, "11.0.0.1", false);
    check(network("10.9.9.9", 96 + 8), &alice, "10.1.1.1", true);
    check(network("fd7a::", 16), &ci, "fd7a:1::2", true);
    check(network("fd7a::", 16), &ci, "10.0.0.1", false);
    check(network("::", 0), &ci, "10.0.0.1", true);
    check(network("10.0.0.1", 128), &ci, "10.0.0.1", true);
    check(network("10.0.0.1", 200), &ci, "10.0.0.2", false);
    check(login("10.0.0.1"), &person("alice"), "10.0.0.1", false);
}

/// Two providers, one alias; everything on the chat API, `anthropic` on messages besides.
pub(super) fn example(grants: Vec<Grant>) -> Snapshot {
    Snapshot {
        providers: vec![
            provider(
                "anthropic",
                &["claude-opus", "claude-haiku"],
                &[Flag::OpenAiChat, Flag::AnthropicMessages],
            ),
            provider("openai", &["gpt-*", "claude-opus"], &[Flag::OpenAiChat]),
        ],
        aliases: vec![Alias {
            from: "best".into(),
            to: "openai/gpt-5".into(),
        }],
        grants,
        ..Snapshot::default()
    }
}

/// `provider/model` of the candidates, or the refusal.
fn decided(snapshot: &Snapshot, principal: &Principal, flag: Flag, asked: &str) -> String {
    let rules = Rules::compile(snapshot).unwrap();
    let granted = rules.granted(principal, at("127.0.0.1"));
    match rules.decide(&granted, flag, asked) {
        Decision::NotServed => "not served".into(),
        Decision::NotGranted => "not granted".into(),
        Decision::Allowed(candidates) => {
            let shown = candidates.iter().map(|candidate| {
                let headers: Vec<_> = candidate
                    .headers
                    .iter()
                    .map(|h| format!(" {}:{}", h.name, h.value.0))
                    .collect();
                let id = &snapshot.providers[candidate.provider].id;
                format!("{id}/{}{}", candidate.model, headers.concat())
            });
            shown.collect::<Vec<_>>().join(", ")
        }
    }
}

#[test]
fn a_model_name_finds_its_providers() {
    let snapshot = example(vec![grant(vec![Source::Any], vec![role(Role::User)])]);
    let check = |flag: Flag, asked: &str, expected: &str| {
        assert_eq!(
            decided(&snapshot, &person("a"), flag, asked),
            expected,
            "{asked} on {}",
            flag.name()
        );
    };
    check(
        Flag::OpenAiChat,
        "claude-opus",
        "anthropic/claude-opus, openai/claude-opus",
    );
    check(Flag::AnthropicMessages, "claude-opus", "anthropic/claude-opus");
    check(Flag::OpenAiChat, "openai/claude-opus", "openai/claude-opus");
    check(Flag::AnthropicMessages, "openai/claude-opus", "not served");
    check(Flag::OpenAiChat, "best", "openai/gpt-5");
    check(Flag::AnthropicMessages, "best", "not served");
    check(Flag::OpenAiChat, "gpt-4", "openai/gpt-4");
    check(Flag::OpenAiChat, "llama", "not served");
    check(Flag::OpenAiChat, "anthropic/gpt-4", "not served");
    check(Flag::Ollama, "gpt-4", "not served");
    check(Flag::OpenAiChat, "", "not served");
}

#[test]
fn capabilities_are_united_and_a_scope_takes_away() {
    let scoped = |role: Option<Role>, models: Option<&[&str]>| Principal {
        scope: Some(Scope {
            role,
            models: models.map(|globs| globs.iter().map(|&glob| glob.into()).collect()),
        }),
        ..person("a")
    };
    let floating = Capability {
        add_headers: vec![header("X-Team", "blue"), header("x-team", "second")],
        ..Capability::default()
    };
    let check = |capabilities: Vec<Capability>,
                 principal: &Principal,
                 asked: &str,
                 expected: (Option<Role>, &str)| {
        // Two grants or one, from the document or from the network: it makes no difference.
        let apart = capabilities.iter().cloned();
        let apart = apart.map(|capability| grant(vec![Source::Any], vec![capability]));
        let own = Principal {
            capabilities: capabilities.clone(),
            ..principal.clone()
        };
        for (snapshot, principal) in [
            (
                example(vec![grant(vec![Source::Any], capabilities.clone())]),
                principal,
            ),
            (example(apart.collect()), principal),
            (example(Vec::new()), &own),
        ] {
            let rules = Rules::compile(&snapshot).unwrap();
            let granted = rules.granted(principal, at("127.0.0.1"));
            let seen = decided(&snapshot, principal, Flag::OpenAiChat, asked);
            assert_eq!((granted.role, seen.as_str()), expected, "{asked}, {principal:?}");
        }
    };
    let (user, admin) = (Some(Role::User), Some(Role::Admin));
    let a = person("a");
    check(vec![], &a, "gpt-5", (None, "not granted"));
    check(vec![role(Role::User)], &a, "gpt-5", (user, "openai/gpt-5"));
    check(
        vec![role(Role::User), role(Role::Admin)],
        &a,
        "gpt-5",
        (admin, "openai/gpt-5"),
    );
    check(vec![models(&["**"])], &a, "gpt-5", (None, "not granted"));
    check(vec![floating.clone()], &a, "gpt-5", (None, "not granted"));
    let only = Capability {
        grants_models: false,
        ..role(Role::User)
    };
    check(vec![only.clone()], &a, "gpt-5", (user, "not granted"));
    check(
        vec![only.clone(), models(&["openai/*"])],
        &a,
        "claude-opus",
        (user, "openai/claude-opus"),
    );
    check(
        vec![only.clone(), models(&["anthropic/*"])],
        &a,
        "gpt-5",
        (user, "not granted"),
    );
    check(
        vec![only.clone(), models(&["openai/gpt-[5]"])],
        &a,
        "gpt-5",
        (user, "not granted"),
    );
    check(
        vec![only, floating.clone(), models(&["openai/*"])],
        &a,
        "gpt-5",
        (user, "openai/gpt-5 X-Team:blue"),
    );
    let broken = Capability {
        add_headers: vec![
            header("x-a", "1\r\nhost: evil"),
            header("x b", "2"),
            header("", "3"),
        ],
        ..role(Role::User)
    };
    check(vec![broken], &a, "gpt-5", (user, "openai/gpt-5"));
    let everything = vec![role(Role::Admin), floating];
    check(
        everything.clone(),
        &scoped(user, None),
        "gpt-5",
        (user, "openai/gpt-5 X-Team:blue"),
    );
    check(
        everything.clone(),
        &scoped(None, Some(&["openai/*"])),
        "claude-opus",
        (admin, "openai/claude-opus X-Team:blue"),
    );
    check(
        everything.clone(),
        &scoped(None, Some(&[])),
        "gpt-5",
        (admin, "not granted"),
    );
    check(
        everything,
        &scoped(None, Some(&["["])),
        "gpt-5",
        (admin, "not granted"),
    );
    check(
        vec![],
        &scoped(admin, Some(&["**"])),
        "gpt-5",
        (None, "not granted"),
    );
    check(
        vec![role(Role::User)],
        &scoped(admin, Some(&["**"])),
        "gpt-5",
        (user, "openai/gpt-5"),
    );
}

#[test]
fn a_provider_that_lists_a_broken_pattern_is_refused() {
    let snapshot = Snapshot {
        providers: vec![provider("p", &["ok", "gpt-["], &[])],
        ..Snapshot::default()
    };
    let error = Rules::compile(&snapshot).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("provider p: models: the character '['"),
        "{error}"
    );
}

#[test]
fn what_is_missing_is_said() {
    let only = Capability {
        grants_models: false,
        ..role(Role::User)
    };
    let snapshot = example(vec![
        grant(vec![login("alice@example.com")], vec![role(Role::Admin)]),
        grant(
            vec![Source::Group("group:eng".into()), Source::Member],
            vec![only, models(&["anthropic/**"])],
        ),
        grant(vec![login("tag:ci")], vec![models(&["**"])]),
    ]);
    let rules = Rules::compile(&snapshot).unwrap();
    let check = |principal: &Principal, flag: Option<Flag>, model: &str, expected: &str| {
        let explained = rules.explain(principal, at("127.0.0.1"), flag, Some(model));
        let answer = explained.model.unwrap();
        let apis = answer.apis.iter().map(|api| {
            let tried: Vec<_> = api
                .candidates
                .iter()
                .filter(|c| c.granted)
                .map(|c| c.provider.as_str())
                .collect();
            api.missing.clone().unwrap_or_else(|| tried.join("+"))
        });
        let seen: Vec<String> = apis.chain(answer.missing).collect();
        assert_eq!(seen.join(" | "), expected, "{} {model}", principal.login);
    };
    let chat = Some(Flag::OpenAiChat);
    let alice = person("alice@example.com");
    let bob = Principal {
        groups: vec!["group:eng".into()],
        ..person("bob@example.com")
    };
    check(&alice, chat, "best", "openai");
    check(&alice, None, "claude-opus", "anthropic+openai | anthropic");
    check(&bob, chat, "claude-opus", "anthropic");
    check(
        &bob,
        chat,
        "best",
        "role user by grants[1] (group:eng, autogroup:member), but no capability names a glob that matches openai/gpt-5",
    );
    check(
        &bob,
        Some(Flag::Ollama),
        "gpt-5",
        "no enabled provider serves gpt-5 on ollama; served on: openai_chat",
    );
    check(
        &bob,
        chat,
        "llama",
        "no enabled provider serves llama on openai_chat; nor on any other | no enabled provider serves llama on any API",
    );
    check(&bob, None, "llama", "no enabled provider serves llama on any API");
    check(
        &device(&["tag:cd"]),
        chat,
        "gpt-5",
        "no role: no grant matches; the nearest, grants[2], is for \"tag:ci\"",
    );
    check(
        &device(&["tag:entirely-else"]),
        chat,
        "gpt-5",
        "no role: no grant matches",
    );
    check(
        &device(&["tag:ci"]),
        chat,
        "gpt-5",
        "no role: grants[2] (tag:ci) matches, but no capability of it names a role",
    );
    let scoped = Principal {
        scope: Some(Scope {
            models: Some(vec!["anthropic/*".into()]),
            role: Some(Role::User),
        }),
        ..alice
    };
    check(
        &scoped,
        chat,
        "gpt-5",
        "granted by grants[0] (alice@example.com), but the credential is limited to models that match anthropic/*",
    );
}

#[test]
fn an_explanation_names_grants_and_headers_but_never_a_value() {
    let with_header = Capability {
        add_headers: vec![header("X-Team", "canary-value")],
        read_metrics: true,
        ..role(Role::Admin)
    };
    let snapshot = example(vec![grant(
        vec![
            Source::Any,
            login("nobody"),
            Source::Network {
                address: at("127.0.0.0"),
                prefix: 104,
            },
        ],
        vec![with_header],
    )]);
    let principal = Principal {
        capabilities: vec![models(&["**"])],
        ..person("alice")
    };
    let rules = Rules::compile(&snapshot).unwrap();
    let explained = rules.explain(&principal, at("127.0.0.1"), None, Some("gpt-5"));
    assert!(!format!("{explained:?}").contains("canary-value"));
    assert!(!format!("{rules:?}").contains("canary-value"));
    let by = By {
        origin: Origin::Grant(0),
        sources: vec!["*".into(), "127.0.0.0/8".into()],
    };
    assert_eq!(explained.role, Some(Role::Admin));
    assert_eq!(explained.role_by, std::slice::from_ref(&by));
    assert_eq!(
        (explained.read_metrics, &explained.read_metrics_by),
        (true, &vec![by])
    );
    assert_eq!(explained.grants.len(), 2);
    assert_eq!(explained.grants[0].capabilities[0].headers, ["X-Team"]);
    assert_eq!(explained.grants[1].by.to_string(), "the network's own policy");
    let model = explained.model.unwrap();
    assert_eq!(model.served_on, [Flag::OpenAiChat]);
    let candidate = &model.apis[0].candidates[0];
    assert_eq!(candidate.headers, [("X-Team".into(), Origin::Grant(0))]);
    let both: Vec<_> = candidate.granted_by.iter().map(|by| by.origin).collect();
    assert_eq!(both, [Origin::Grant(0), Origin::Principal]);
    assert_eq!(model.apis[0].outcome, Outcome::Allowed);
}

#[test]
fn every_quota_that_any_matching_capability_names_counts() {
    let mut snapshot = example(vec![
        grant(
            vec![Source::Any],
            vec![
                role(Role::User),
                naming(Capability::default(), &["floating"]),
                naming(models(&["p/m1"]), &["m1", "floating"]),
                naming(models(&["q/**"]), &["q"]),
            ],
        ),
        grant(
            vec![login("alice")],
            vec![naming(
                role(Role::User),
                &["alice", "off", "empty", "nowhere", "bad<"],
            )],
        ),
        grant(
            vec![login("bob")],
            vec![naming(
                Capability {
                    models: Some(vec!["x/*[".into()]),
                    ..Capability::default()
                },
                &["unread"],
            )],
        ),
    ]);
    for name in ["floating", "m1", "q", "alice", "off", "empty", "bad<", "unread"] {
        let mut quota = quota(name);
        quota.disabled = name == "off";
        if name == "empty" {
            quota.limits.clear();
        }
        snapshot.quotas.push(quota);
    }
    let rules = Rules::compile(&snapshot).unwrap();
    let check = |principal: &Principal, provider: &str, model: &str, expected: &[&str]| {
        let granted = rules.granted(principal, at("10.0.0.1"));
        let counting = rules.counting(&granted, provider, model);
        let seen: Vec<String> = counting
            .iter()
            .map(|counting| {
                let budget = counting.budget.and_then(|at| rules.budget(at));
                assert_eq!(
                    budget.map(|b| b.quota.name.as_str()),
                    counting.budget.map(|_| counting.name)
                );
                format!("{}{}", counting.name, if budget.is_some() { "" } else { "!" })
            })
            .collect();
        assert_eq!(seen, expected, "{} {provider}/{model}", principal.login);
    };
    let (alice, bob, carol) = (person("alice"), person("bob"), person("carol"));
    check(&carol, "p", "m1", &["floating", "m1"]);
    check(&carol, "p", "m2", &["floating"]);
    check(&carol, "q", "m1", &["floating", "q"]);
    // What cannot be used refuses; what is disabled does not exist.
    check(
        &alice,
        "p",
        "m2",
        &["floating", "alice", "empty!", "nowhere!", "bad<!"],
    );
    // A pattern that cannot be read covers everything here, and grants nothing.
    check(&bob, "p", "m2", &["floating", "unread"]);
    // A scope takes no quota away, and what came with the principal counts, too.
    let scoped = Principal {
        scope: Some(Scope {
            role: None,
            models: Some(vec!["p/m1".into()]),
        }),
        capabilities: vec![naming(Capability::default(), &["m1", "q"])],
        ..person("carol")
    };
    check(&scoped, "p", "m2", &["floating", "m1", "q"]);
}

#[test]
fn an_explanation_names_quotas_and_buckets() {
    let mut snapshot = example(vec![grant(
        vec![Source::Any],
        vec![naming(
            role(Role::User),
            &["daily:<user>", "<group>/<model>", "gone"],
        )],
    )]);
    snapshot.quotas = vec![quota("daily:<user>"), quota("<group>/<model>")];
    let rules = Rules::compile(&snapshot).unwrap();
    let alice = Principal {
        groups: vec!["group:a".into(), "group:b".into(), "group:a".into()],
        ..person("alice")
    };
    let provider = &snapshot.providers[0];
    let model = provider.models[0].replace('*', "x");
    let explained = rules.explain(
        &alice,
        at("10.0.0.1"),
        None,
        Some(&format!("{}/{model}", provider.id)),
    );
    let answer = &explained.model.as_ref().unwrap().apis[0].candidates[0];
    let seen: Vec<(&str, bool, Vec<&str>)> = answer
        .quotas
        .iter()
        .map(|q| {
            (
                q.name.as_str(),
                q.usable,
                q.buckets.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    let (a, b) = (format!("group:a/{model}"), format!("group:b/{model}"));
    assert_eq!(
        seen,
        [
            ("daily:<user>", true, vec!["daily:alice"]),
            ("<group>/<model>", true, vec![a.as_str(), b.as_str()]),
            ("gone", false, vec![]),
        ]
    );
    assert_eq!(
        explained.grants[0].capabilities[0].quotas,
        ["daily:<user>", "<group>/<model>", "gone"]
    );
    // Without a group there is one bucket for all who have none.
    let explained = rules.explain(
        &person("bob"),
        at("10.0.0.1"),
        None,
        Some(&format!("{}/{model}", provider.id)),
    );
    let answer = &explained.model.as_ref().unwrap().apis[0].candidates[0];
    assert_eq!(answer.quotas[1].buckets, [format!("(none)/{model}")]);
    let budget = rules.budget(0).unwrap();
    assert!(budget.limit(Unit::Usd).is_some() && budget.limit(Unit::Tokens).is_none());
    let mut scratch = String::new();
    budget.names(&[], Values::default(), &mut scratch, |name| {
        assert_eq!(name, "daily:");
    });
}

fn any_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a@x",
        "b@x",
        "tag:a",
        "tag:b",
        "tag:a,tag:b",
        "(loopback)",
        "",
    ])
    .prop_map(String::from)
}

fn any_address() -> impl Strategy<Value = [u8; 16]> {
    prop::sample::select(vec![
        "10.0.0.1",
        "10.0.1.1",
        "10.1.0.1",
        "127.0.0.1",
        "fd7a::1",
        "fd7b::1",
    ])
    .prop_map(at)
}

fn any_source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Any),
        Just(Source::Loopback),
        Just(Source::Member),
        Just(Source::Tagged),
        any_name().prop_map(Source::Login),
        any_name().prop_map(Source::Login),
        "group:[ab]".prop_map(Source::Group),
        (any_address(), 90u8..=130).prop_map(|(address, prefix)| Source::Network { address, prefix }),
        (any_address(), 0u8..=24).prop_map(|(address, prefix)| Source::Network { address, prefix }),
    ]
}

fn any_glob() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "**", "p/**", "q/*", "*/m*", "p/m1", "q/q/m1", "*/*/m2", "m1", "bad[", "p/m2",
    ])
    .prop_map(String::from)
}

fn any_role() -> impl Strategy<Value = Option<Role>> {
    prop::sample::select(vec![None, None, Some(Role::User), Some(Role::Admin)])
}

fn any_globs() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec(any_glob(), 0..3))
}

fn any_header() -> impl Strategy<Value = Header> {
    ("(x-a|X-A|x-b|Authorization)", "[12]").prop_map(|(name, value)| header(&name, &value))
}

fn any_capability() -> impl Strategy<Value = Capability> {
    (
        any_role(),
        any_globs(),
        any::<bool>(),
        prop::collection::vec(any_header(), 0..3),
        any::<bool>(),
        prop::collection::vec("(a|b|gone|empty|off|g:<group>)", 0..3),
    )
        .prop_map(
            |(role, models, grants_models, add_headers, read_metrics, quotas)| Capability {
                quotas,
                role,
                models,
                grants_models,
                add_headers,
                read_metrics,
                ..Capability::default()
            },
        )
}

fn any_principal() -> impl Strategy<Value = Principal> {
    (
        prop::sample::select(vec!["loopback", "static", "tailscale"]),
        any_name(),
        prop::collection::vec(
            prop::sample::select(vec!["tag:a", "tag:b", "b@x", "tag:a,tag:b"]),
            0..3,
        ),
        prop::collection::vec("group:[ab]", 0..2),
        prop::collection::vec(any_capability(), 0..2),
        prop::option::of((any_role(), any_globs())),
    )
        .prop_map(|(source, login, tags, groups, capabilities, scope)| Principal {
            source: source.into(),
            login,
            tags: tags.into_iter().map(String::from).collect(),
            groups,
            capabilities,
            scope: scope.map(|(role, models)| Scope { role, models }),
            ..Principal::default()
        })
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let grants = (
        prop::collection::vec(any_source(), 0..3),
        prop::collection::vec(any_capability(), 0..3),
    )
        .prop_map(|(sources, capabilities)| grant(sources, capabilities));
    let served = prop::sample::select(vec!["m1", "m2", "m*", "q/m1", "q/*", "**", "p/m2"]);
    let providers = prop::collection::vec(
        (
            prop::collection::vec(served, 0..3),
            0u16..4,
            prop::collection::vec(any_header(), 0..2),
            "(|key)",
        ),
        3,
    );
    let aliases = prop::collection::vec(prop::sample::select(vec!["m1", "p/m1", "q/m1", "q/q/m1"]), 0..2);
    (prop::collection::vec(grants, 0..12), providers, aliases).prop_map(|(grants, providers, aliases)| {
        Snapshot {
            providers: ["p", "q", "r"]
                .iter()
                .zip(providers)
                .map(|(id, (models, flags, add_headers, key))| Provider {
                    flags,
                    add_headers,
                    key: Secret(key),
                    ..provider(id, &models, &[])
                })
                .collect(),
            aliases: aliases
                .into_iter()
                .zip(["alias", "m2"])
                .map(|(to, from)| Alias {
                    from: from.into(),
                    to: to.into(),
                })
                .collect(),
            grants,
            quotas: vec![
                quota("a"),
                quota("b"),
                quota("g:<group>"),
                Quota {
                    limits: Vec::new(),
                    ..quota("empty")
                },
                Quota {
                    disabled: true,
                    ..quota("off")
                },
            ],
            ..Snapshot::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn the_index_finds_what_trying_everything_finds(
        snapshot in any_snapshot(),
        principal in any_principal(),
        address in any_address(),
    ) {
        let rules = Rules::compile(&snapshot).unwrap();
        let granted = rules.granted(&principal, address);
        let capabilities = naive::capabilities(&snapshot, &principal, address);
        prop_assert_eq!(granted.role, naive::role(&capabilities, &principal));
        prop_assert_eq!(granted.read_metrics, capabilities.iter().any(|c| c.read_metrics));
        for flag in [Flag::OpenAiChat, Flag::OpenAiResponses] {
            for asked in ["m1", "m2", "m3", "q/m1", "p/m1", "q/q/m1", "p/q/m1", "r/m2", "alias", "x"] {
                let (served, expected) = naive::decide(&snapshot, &principal, address, flag, asked);
                let decision = rules.decide(&granted, flag, asked);
                let seen = match &decision {
                    Decision::NotServed => (false, Vec::new()),
                    Decision::NotGranted => (true, Vec::new()),
                    Decision::Allowed(candidates) => (true, candidates.iter().map(|candidate| {
                        let lines = candidate.headers.iter().map(|h| format!("{}: {}", h.name, h.value.0));
                        let id = snapshot.providers[candidate.provider].id.clone();
                        (id, candidate.model.to_owned(), lines.collect())
                    }).collect()),
                };
                prop_assert_eq!(seen, (served, expected), "{} on {}", asked, flag.name());
                if let Decision::Allowed(candidates) = &decision {
                    for candidate in candidates {
                        let id = &snapshot.providers[candidate.provider].id;
                        let expected = naive::counting(&snapshot, &capabilities, id, candidate.model);
                        let seen: Vec<(String, bool)> = candidate.quotas.iter()
                            .map(|counting| (counting.name.to_owned(), counting.budget.is_some()))
                            .collect();
                        prop_assert_eq!(seen, expected, "{} of {}", candidate.model, id);
                    }
                }
                // The explanation tells what the decision does.
                let explained = rules.explain(&principal, address, Some(flag), Some(asked));
                let api = &explained.model.as_ref().unwrap().apis[0];
                let outcome = match &decision {
                    Decision::NotServed => Outcome::NotServed,
                    Decision::NotGranted => Outcome::NotGranted,
                    Decision::Allowed(_) => Outcome::Allowed,
                };
                prop_assert_eq!(api.outcome, outcome);
                prop_assert_eq!(api.missing.is_some(), outcome != Outcome::Allowed);
                prop_assert_eq!(explained.role, granted.role);
            }
            let expected: Vec<usize> = snapshot.providers.iter().enumerate()
                .filter(|(_, p)| p.serves(flag)
                    && p.models.iter().any(|m| naive::grants(&capabilities, &principal, &p.id, m)))
                .map(|(at, _)| at).collect();
            match rules.decide_any(&granted, flag) {
                Decision::NotServed => prop_assert!(snapshot.providers.iter().all(|p| !p.serves(flag))),
                Decision::NotGranted => prop_assert!(expected.is_empty()),
                Decision::Allowed(candidates) => {
                    let seen: Vec<usize> = candidates.iter().map(|c| c.provider).collect();
                    prop_assert_eq!(seen, expected);
                }
            }
        }
    }
}
