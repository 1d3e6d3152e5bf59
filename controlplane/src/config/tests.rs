//! Every message with its path, line and column; what the rest of a document becomes.

use sluice_shared::quota::{Rate, Terms, Unit};
use sluice_shared::snapshot::{AuthMode, Authorization, HookEvent, HookPart, QuotaLimit, Role, Source};

use super::*;

mod examples;
mod files;
mod messages;
mod mutations;
mod quotas;
mod schema;

fn environment() -> HashMap<String, String> {
    HashMap::from([("KEY".to_owned(), "sk-canary".to_owned())])
}

fn both(text: &str) -> (Option<Document>, Report) {
    load(text, &environment(), None)
}

fn document(text: &str) -> Document {
    let (document, report) = both(text);
    document.unwrap_or_else(|| panic!("{:?}", report.errors))
}

/// Wraps a part of a document so that nothing else in it is worth a warning. The part begins at line 2, column 1.
fn with(part: &str) -> String {
    let admin = r#""grants": [{"src": ["*"], "capabilities": [{"role": "admin", "models": "**"}]}],"#;
    let provider = r#""providers": {"p": {"baseurl": "http://x", "models": ["m"]}},"#;
    let grants = if part.contains("\"grants\"") { "" } else { admin };
    let providers = if part.contains("\"providers\"") {
        ""
    } else {
        provider
    };
    format!("{{{providers}{grants}\n{part}}}")
}

/// Warnings of a part, each as `line:column path: text`.
fn warnings(part: &str) -> Vec<String> {
    let (_, report) = both(&with(part));
    assert!(report.usable(), "{part}: {:?}", report.errors);
    report
        .warnings
        .iter()
        .map(|m| format!("{}:{} {}: {}", m.line, m.column, m.path, m.text))
        .collect()
}

#[test]
fn documents_that_cannot_be_used() {
    let check = |text: &str, expected: &str| {
        let (document, report) = both(text);
        assert!(document.is_none() && !report.usable(), "{text}");
        assert_eq!(
            report.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [expected],
            "{text}"
        );
    };
    check("", "1:1: the document is empty");
    check("// only a comment\n", "1:1: the document is empty");
    check("\n {}", "2:2: the document is empty");
    check("[]", "1:1: the document must be an object, found an array");
    check(
        "{\"a\": 1,\n  \"b\" 2}",
        "2:7: the document does not parse: expected colon after the string or word in object property",
    );
    check(
        "{\"a\": [1,\n2",
        "1:7: the document does not parse: unterminated array",
    );
    check(
        "\u{feff}{'a': 1}",
        "1:2: the document does not parse: single-quoted strings are not allowed",
    );
    check(
        &with(r#""providers": {"p": {"baseurl": "http://x", "models": [], "apikey": "${env:NONE}"}}"#),
        "2:68: providers.p.apikey: secret ${env:NONE} is not resolved: the variable is not set",
    );
    check(
        &with(r#""providers": {"p": {"baseurl": "http://${file:/nowhere/x}", "models": []}}"#),
        "2:32: providers.p.baseurl: secret ${file:/nowhere/x} is not resolved: No such file or directory (os error 2)",
    );
    check(
        &with(
            r#""grants": [{"src": ["*"], "capabilities": [{"role": "admin", "add_headers": ["x: ${env:NONE}"]}]}]"#,
        ),
        "2:78: grants[0].capabilities[0].add_headers[0]: secret ${env:NONE} is not resolved: the variable is not set",
    );
}

#[test]
fn a_key_in_the_wrong_place_is_not_shown() {
    let provider = |fields: &str| format!(r#""providers": {{"p": {{"models": ["m"], {fields}}}}}"#);
    for part in [
        provider(r#""baseurl": "http://x", "authorization": "sk-canary-1234""#),
        provider(r#""baseurl": "http://x", "auth_mode": "Sk-Canary sk-canary""#),
        provider(r#""baseurl": "http://x:${env:KEY}""#),
        provider(r#""baseurl": "${env:KEY}""#),
        provider(r#""baseurl": "http://x", "apikey": "sk-canary ${env:KEY}""#),
        provider(r#""baseurl": "http://x", "add_headers": ["sk-canary"]"#),
    ] {
        let said = warnings(&part);
        assert!(
            !said.is_empty() && !said.concat().to_lowercase().contains("canary"),
            "{said:?}"
        );
    }
}

#[test]
fn a_document_in_apertures_words_applies_unchanged() {
    let text = r#"
{
  "providers": { "anthropic": { "baseurl": "https://api.anthropic.com", "apikey": "${env:KEY}",
      "authorization": "x-api-key", "models": ["claude-sonnet-4-5"],
      "compatibility": { "openai_chat": false, "anthropic_messages": true } } },
  "grants": [ { "src": ["*"], "app": { "tailscale.com/cap/aperture": [
      { "role": "user" },
      { "models": "**", "quotas": [ { "bucket": "daily:<user>" } ],
        "send_hooks": [ { "name": "pii", "events": ["pre_request"], "send": ["request_body", "user_message"] } ] } ] } } ],
  "quotas": { "daily:<user>": { "capacity": "$10.00", "rate": "$5.00/day", "on_exceed": "reject" } },
  "hooks": { "pii": { "url": "http://guard:8080/scrub", "timeout": "5s", "fail_policy": "fail_open", "preference": 0 } },
  "exporters": { "s3": { "bucket_name": "audit", "region": "us-east-1", "every": 3600, "limit": 1000 } },
  "database": { "retention": { "duration": "30d", "require_export": false, "purge": ["captures"] } },
}"#;
    let (document, report) = both(text);
    let document = document.unwrap();
    let warned: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warned, ["6:3: grants: no grant gives the role admin"]);
    assert!(report.notices.is_empty(), "{:?}", report.notices);
    let hook = &document.hooks[0];
    assert_eq!(
        (hook.name.as_str(), hook.timeout_ms, hook.fail_closed),
        ("pii", 5_000, false)
    );
    let exporter = &document.exporters[0];
    assert_eq!(
        (exporter.name.as_str(), exporter.every_s, exporter.limit),
        ("s3", 3_600, 1_000)
    );
    assert_eq!(exporter.what, BTreeSet::from([domain::Exported::Captures]));
    assert_eq!(document.retention.keep, domain::Keep::Millis(30 * 86_400_000));
    let sent = &document.grants[0].capabilities[1].send_hooks[0];
    assert!(sent.at(HookEvent::PreRequest) && !sent.at(HookEvent::EntireRequest));
    assert!(
        sent.sends(HookPart::RequestBody)
            && sent.sends(HookPart::UserMessage)
            && !sent.sends(HookPart::Tools)
    );
    let provider = &document.providers[0];
    assert_eq!(
        (provider.authorization, provider.key.0.as_str()),
        (Authorization::XApiKey, "sk-canary")
    );
    assert_eq!(provider.cost_basis, "anthropic");
    let capabilities = &document.grants[0].capabilities;
    assert_eq!(capabilities[0].role, Some(Role::User));
    assert_eq!(
        capabilities[1].models.as_deref(),
        Some(["**".to_owned()].as_slice())
    );
    assert_eq!(
        report.summary,
        "1 provider (anthropic), 1 grant, 0 aliases, 1 listener, 1 quota, 1 hook, 1 exporter"
    );
    assert_eq!(capabilities[1].quotas, ["daily:<user>"]);
    assert_eq!(
        document.quotas[0].limits,
        [QuotaLimit {
            unit: Unit::Usd,
            terms: Terms {
                capacity: 10_000_000_000,
                rate: Rate {
                    amount: 5_000_000_000,
                    per_us: 86_400_000_000
                },
            },
        }]
    );
}

#[test]
fn what_a_document_becomes() {
    let p = |fields: &str| {
        let text = with(&format!(
            r#""providers": {{"p": {{"baseurl": "http://x", "models": ["m"], {fields}}}}}"#
        ));
        document(&text).providers.remove(0)
    };
    use sluice_shared::api::Flag;
    let flags = |fields: &str| p(fields).flags.into_iter().collect::<Vec<_>>();
    assert_eq!(
        flags(""),
        [Flag::OpenAiChat as u8],
        "the default of an absent block"
    );
    assert_eq!(
        flags(r#""compatibility": {"ollama": true}"#),
        [Flag::Ollama as u8],
        "a block replaces the default"
    );
    assert_eq!(flags(r#""compatibility": {}"#), [] as [u8; 0]);
    assert_eq!(
        p(r#""auth_mode": "passthrough""#).auth_mode,
        AuthMode::Passthrough
    );
    assert_eq!(
        p(r#""timeouts": {"connect": "1s", "idle": 0}"#)
            .timeouts
            .connect_ms,
        1_000
    );
    assert_eq!(
        p(r#""timeouts": {"connect": "1s", "idle": 0}"#).timeouts.idle_ms,
        0
    );
    assert_eq!(
        p(r#""model_cost_map": [{"match": "x-*", "as": "y", "adjustment": 0.5}]"#).cost_map[0].adjustment_ppm,
        500_000
    );
    assert_eq!((p("").name.as_str(), p("").weight, p("").preference), ("p", 1, 0));
    assert_eq!(
        p(r#""preference": 1, "preference": -7"#).preference,
        -7,
        "the last of duplicates counts"
    );

    let limits = document(&with(
        r#""limits": {"body_bytes": "1MiB", "head_ms": "2s", "drain_ms": 0, "in_flight": 7}"#,
    ))
    .limits;
    assert_eq!(
        (
            limits.body_bytes,
            limits.head_ms,
            limits.drain_ms,
            limits.in_flight
        ),
        (1 << 20, 2_000, 0, 7)
    );
    let identity = document(&with(
        r#""identity": {"sources": ["static", "loopback", "static"], "max_age": "30s",
        "static": [{"cidr": "10.0.0.0/8", "tags": ["tag:b", "tag:a", "tag:b"], "groups": ["group:x"]}]}"#,
    ))
    .identity;
    assert_eq!(
        identity.sources,
        [
            sluice_shared::snapshot::SourceKind::Static,
            sluice_shared::snapshot::SourceKind::Loopback
        ]
    );
    assert_eq!(
        (identity.networks[0].tags.join(","), identity.age_ms_max),
        ("tag:a,tag:b".into(), 30_000)
    );

    let sources = document(&with(
        r#""grants": [{"src": ["*", "a@x", "tag:t", "group:g", "10.0.0.0/8", "::1", "(loopback)", "autogroup:member", "autogroup:tagged"],
        "capabilities": [{"role": "admin"}]}]"#,
    ))
    .grants
    .remove(0)
    .sources;
    assert!(matches!(
        sources.as_slice(),
        [
            Source::Any,
            Source::Login(_),
            Source::Login(_),
            Source::Group(_),
            Source::Network { prefix: 104, .. },
            Source::Network { prefix: 128, .. },
            Source::Loopback,
            Source::Member,
            Source::Tagged
        ]
    ));
}

#[test]
fn doubt_never_widens_a_grant() {
    let capability = |fields: &str| {
        let text = with(&format!(
            r#""grants": [{{"src": ["*"], "capabilities": [{{{fields}}}]}}]"#
        ));
        document(&text).grants.remove(0).capabilities.pop()
    };
    let check = |fields: &str, expected: Option<(bool, Option<Vec<&str>>)>| {
        let found = capability(fields).map(|c| (c.grants_models, c.models));
        let expected = expected.map(|(g, m)| (g, m.map(|m| m.into_iter().map(str::to_owned).collect())));
        assert_eq!(found, expected, "{fields}");
    };
    check(r#""role": "user""#, Some((true, None)));
    check(r#""models": "p/**""#, Some((true, Some(vec!["p/**"]))));
    check(
        r#""models": ["p/**", "*/x"]"#,
        Some((true, Some(vec!["p/**", "*/x"]))),
    );
    check(r#""read_metrics": true"#, Some((false, None)));
    check(r#""quotas": []"#, Some((false, None)));
    check(r#""role": "user", "model": "p/**""#, Some((true, Some(vec![]))));
    check(r#""role": "user", "modles": "p/**""#, Some((true, Some(vec![]))));
    check(r#""role": "usr""#, None);
    check(r#""role": "user", "models": 5"#, None);
    check(r#""role": "user", "models": [5, ""]"#, Some((true, Some(vec![]))));
}

#[test]
fn the_default_document_is_a_good_one() {
    let check = |variables: &[&str], mock: Option<&str>, expected: &[&str]| {
        let environment = variables
            .iter()
            .map(|name| ((*name).to_owned(), "k".to_owned()))
            .collect();
        let (document, report) = load(&default_document(&environment, mock), &environment, None);
        let found: Vec<String> = document.unwrap().providers.into_iter().map(|p| p.id).collect();
        assert_eq!(found, expected);
        let warned: Vec<String> = report.warnings.iter().map(|m| m.text.clone()).collect();
        let none: &[&str] = if expected.is_empty() {
            &["no providers: no model can be served"]
        } else {
            &[]
        };
        assert_eq!(
            (warned, report.notices),
            (none.iter().map(|t| (*t).to_owned()).collect(), vec![])
        );
    };
    check(&[], None, &[]);
    check(&[], Some("http://127.0.0.1:9"), &["mock"]);
    check(&["OPENAI_API_KEY"], Some("http://127.0.0.1:9"), &["openai"]);
    check(
        &["GOOGLE_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY"],
        None,
        &["anthropic", "gemini"],
    );
    let all = [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "MISTRAL_API_KEY",
        "DEEPSEEK_API_KEY",
        "XAI_API_KEY",
        "GROQ_API_KEY",
        "OPENROUTER_API_KEY",
    ];
    check(
        &all,
        None,
        &[
            "openai",
            "anthropic",
            "gemini",
            "mistral",
            "deepseek",
            "xai",
            "groq",
            "openrouter",
        ],
    );
}

#[test]
fn the_examples_of_the_pages_work() {
    let pages = [
        include_str!("../../../docs/CONFIGURATION.md"),
        include_str!("../../../docs/QUOTAS.md"),
    ];
    let folder = files::folder();
    let examples: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.split("```jsonc\n").skip(1))
        .filter_map(|rest| rest.split("\n```").next())
        .collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let report = check_in(example, &files::environment(), folder.path());
        assert_eq!((report.errors, report.warnings), (vec![], vec![]), "{example}");
    }
}

#[test]
fn addresses_are_known_without_the_secrets() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(listen_addresses(text, &HashMap::new()), expected, "{text}");
    };
    check(
        &with(
            r#""providers": {"p": {"baseurl": "http://x", "apikey": "${file:keys/none}"}}, "listeners": [{"address": "[::]:1"}]"#,
        ),
        &["[::]:1"],
    );
    check(&with(r#""limits": {}"#), &["127.0.0.1:8080"]);
    check("{", &["127.0.0.1:8080"]);
}
