//! Every message with its path, line and column; what the rest of a document becomes.

use sluice_shared::snapshot::{AuthMode, Authorization, Role, Source};

use super::*;

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
    let admin = r#""grants": [{"src": ["*"], "capabilities": [{"role": "admin"}]}],"#;
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
fn every_warning_says_where() {
    let check = |part: &str, expected: &[&str]| assert_eq!(warnings(part), expected, "{part}");

    // The document as a whole.
    check(r#""model_aliases": {}"#, &[]);
    check(
        r#""provider": {}"#,
        &[r#"2:1 provider: unknown config key "provider"; did you mean "providers"?"#],
    );
    check(r#""zzz": {}"#, &[r#"2:1 zzz: unknown config key "zzz""#]);
    check(
        r#""limits": {}, "limits": {}"#,
        &[r#"2:15 limits: duplicate key "limits"; the last one counts"#],
    );
    check(
        r#""limits": 3"#,
        &["2:11 limits: expected an object, found a number"],
    );
    check(
        r#""auto_cost_basis": "yes""#,
        &["2:20 auto_cost_basis: expected true or false, found a string"],
    );

    // Providers.
    let provider = |fields: &str| format!(r#""providers": {{"p": {{{fields}}}}}"#);
    let good = r#""baseurl": "http://x", "models": ["m"]"#;
    let more = |fields: &str| provider(&format!("{good}, {fields}"));
    check(
        r#""providers": {}"#,
        &["2:14 providers: no providers: no model can be served"],
    );
    check(
        r#""providers": []"#,
        &["2:14 providers: expected an object, found an array"],
    );
    check(
        r#""providers": {"a b": {}}"#,
        &[
            r#"2:15 providers["a b"]: provider id must be 1 to 64 of A-Z a-z 0-9 . _ -; the provider is left out"#,
        ],
    );
    check(
        &provider(r#""models": ["m"]"#),
        &["2:15 providers.p: provider without baseurl; it is left out"],
    );
    check(
        &provider(r#""basurl": "http://x", "baseurl": "http://x", "models": ["m"]"#),
        &[r#"2:21 providers.p.basurl: unknown config key "basurl"; did you mean "baseurl"?"#],
    );
    check(
        &provider(r#""baseurl": 5, "models": ["m"]"#),
        &["2:32 providers.p.baseurl: expected a string, found a number"],
    );
    check(
        &provider(r#""baseurl": "x", "models": ["m"]"#),
        &["2:32 providers.p.baseurl: baseurl needs a scheme, http:// or https://; the provider is left out"],
    );
    check(
        &provider(r#""baseurl": "http://x""#),
        &["2:15 providers.p: provider without models: nothing is routed to it"],
    );
    check(
        &provider(r#""baseurl": "http://x", "models": ["m", 3, ""]"#),
        &[
            "2:60 providers.p.models[1]: expected a string, found a number",
            "2:63 providers.p.models[2]: is no model name (1 to 256 bytes, no control characters)",
        ],
    );
    check(
        &more(r#""authorization": "basic""#),
        &[
            r#"2:78 providers.p.authorization: invalid authorization "basic"; known are bearer, x-api-key, x-goog-api-key; the provider is left out"#,
        ],
    );
    check(
        &more(r#""auth_mode": "both""#),
        &[
            r#"2:74 providers.p.auth_mode: invalid auth_mode "both"; known are override, passthrough, none; the provider is left out"#,
        ],
    );
    check(
        &more(r#""apikey": "keyfile::e30=""#),
        &[
            "2:71 providers.p.apikey: service-account key files (keyfile::) need a later version; the provider is left out",
        ],
    );
    check(
        &more(r#""apikey": "a b""#),
        &[
            "2:71 providers.p.apikey: holds spaces, line breaks or other characters that no key has; the provider is left out",
        ],
    );
    check(
        &more(r#""compatibility": {"openai_chta": true, "openai_chat": 1}"#),
        &[
            "2:78 providers.p.compatibility: no flag is true: the provider serves no endpoint",
            r#"2:79 providers.p.compatibility.openai_chta: unknown config key "openai_chta"; did you mean "openai_chat"?"#,
            "2:115 providers.p.compatibility.openai_chat: expected true or false, found a number",
        ],
    );
    check(
        &more(r#""add_headers": ["x", "host: a", "a: b"]"#),
        &[
            r#"2:77 providers.p.add_headers[0]: bad add_headers entry: must be written "Name: value"; it is left out"#,
            "2:82 providers.p.add_headers[1]: bad add_headers entry: sets host, which belongs to the connection; it is left out",
        ],
    );
    check(
        &more(r#""add_headers": ["x: a\nb"]"#),
        &[
            "2:77 providers.p.add_headers[0]: bad add_headers entry: x has a value with line breaks or control characters; it is left out",
        ],
    );
    check(
        &more(r#""preference": 1.5, "weight": -1, "max_connections": "many""#),
        &[
            "2:75 providers.p.preference: expected an integer from -2147483648 to 2147483647, found 1.5",
            "2:90 providers.p.weight: expected an integer from 0 to 1000000, found -1",
            "2:113 providers.p.max_connections: expected an integer, found a string",
        ],
    );
    check(
        &more(r#""timeouts": {"connect": 5, "idle": "10x", "tota": "1s"}"#),
        &[
            r#"2:85 providers.p.timeouts.connect: expected a duration with its unit, e.g. "500ms", "10s", "5m""#,
            r#"2:96 providers.p.timeouts.idle: expected a duration with its unit, e.g. "500ms", "10s", "5m""#,
            r#"2:103 providers.p.timeouts.tota: unknown config key "tota"; did you mean "total"?"#,
        ],
    );
    check(
        &more(r#""tls": {"ca_file": "/nowhere.pem"}"#),
        &[
            "2:80 providers.p.tls.ca_file: cannot read /nowhere.pem: No such file or directory (os error 2); the provider is left out",
        ],
    );
    check(
        &more(r#""model_cost_map": [{"as": "a"}, {"match": "b", "adjustment": -1}]"#),
        &[
            "2:80 providers.p.model_cost_map[0]: cost rule without match; it is left out",
            "2:93 providers.p.model_cost_map[1]: adjustment must be a number that is not negative; the rule is left out",
        ],
    );
    check(
        &more(r#""disabled": true, "apikey": "${env:NONE}""#),
        &["2:89 providers.p.apikey: secret ${env:NONE} is not resolved: the variable is not set"],
    );

    // Grants.
    let admin = r#"{"src": ["*"], "capabilities": [{"role": "admin"}]}"#;
    let grant = |grant: &str| format!(r#""grants": [{admin},{grant}]"#);
    let capability = |fields: &str| grant(&format!(r#"{{"src": ["*"], "capabilities": [{{{fields}}}]}}"#));
    check(
        r#""grants": []"#,
        &[
            "2:1 grants: providers but no grants: nobody may call a model",
            "2:1 grants: no grant gives the role admin",
        ],
    );
    check(
        r#""grants": [{"src": ["*"], "capabilities": [{"role": "user"}]}]"#,
        &["2:1 grants: no grant gives the role admin"],
    );
    check(
        &grant(r#"{"capabilities": []}"#),
        &["2:64 grants[1]: grant without src: it is for nobody"],
    );
    check(
        &grant(r#"{"src": [], "app": {}}"#),
        &[
            r#"2:64 grants[1]: grant without capabilities: neither app["tailscale.com/cap/aperture"] nor capabilities"#,
            "2:72 grants[1].src: grant without a usable src: it is for nobody",
        ],
    );
    check(
        &grant(r#"{"src": ["autogroup:all", "10.0.0.0/33", "*"], "capabilities": []}"#),
        &[
            r#"2:73 grants[1].src[0]: unknown "autogroup:all"; known are autogroup:member and autogroup:tagged"#,
            r#"2:90 grants[1].src[1]: "10.0.0.0/33" is neither a network nor a login"#,
        ],
    );
    check(
        &grant(r#"{"src": ["*"], "caps": [], "capabilities": []}"#),
        &[r#"2:79 grants[1].caps: unknown grant field "caps""#],
    );
    check(
        &capability(r#""role": "root""#),
        &[
            r#"2:105 grants[1].capabilities[0].role: unknown role "root"; known are admin and user; the capability is left out"#,
        ],
    );
    check(
        &capability(r#""model": "p/**""#),
        &[r#"2:97 grants[1].capabilities[0].model: unknown grant field "model"; did you mean "models"?"#],
    );
    check(
        &capability(r#""models": ["q/**", "p/*", "*/x", 4]"#),
        &[
            r#"2:108 grants[1].capabilities[0].models[0]: names an unknown provider "q"; did you mean "p"?"#,
            "2:130 grants[1].capabilities[0].models[3]: expected a string, found a number",
        ],
    );
    check(
        &capability(r#""models": {}"#),
        &["2:107 grants[1].capabilities[0].models: expected a string, found an object"],
    );
    check(
        &capability(r#""quotas": [{"bucket": "daily"}], "send_hooks": [{"name": "pii", "events": ["x"]}]"#),
        &[
            r#"2:119 grants[1].capabilities[0].quotas[0].bucket: names an unknown quota "daily""#,
            r#"2:154 grants[1].capabilities[0].send_hooks[0].name: names an unknown hook "pii""#,
            r#"2:172 grants[1].capabilities[0].send_hooks[0].events[0]: unknown word "x""#,
        ],
    );
    check(
        &capability(r#""mcp_tools": "files/*""#),
        &[r#"2:110 grants[1].capabilities[0].mcp_tools: names an unknown MCP server "files""#],
    );
    check(
        &capability(r#""read_metrics": "yes""#),
        &["2:113 grants[1].capabilities[0].read_metrics: expected true or false, found a string"],
    );

    // The other parts that are acted on.
    check(
        r#""model_aliases": {"a": 1, "b": "b", "c": ""}"#,
        &[
            "2:24 model_aliases.a: expected a string, found a number",
            "2:32 model_aliases.b: alias stands for itself; it is left out",
            "2:42 model_aliases.c: alias and target must be model names; the alias is left out",
        ],
    );
    check(
        r#""identity": {"sources": ["loopback", "tailscale", "dns"]}"#,
        &[
            r#"2:51 identity.sources[2]: unknown identity source "dns"; known are tailscale, loopback, static, mtls, oidc, token, serve_headers"#,
        ],
    );
    check(
        r#""identity": {"sources": []}"#,
        &["2:13 identity: no identity source is left: nobody is let in"],
    );
    check(
        r#""identity": {"sources": ["static"], "static": [{"login": "a"}, {"cidr": "x", "login": "a"}, {"cidr": "::1"},
{"cidr": "::1", "login": "a", "tags": ["tag:a"]}, {"cidr": "::1", "tags": ["a"]}, {"cidr": "::1", "login": "(loopback)"}]}"#,
        &[
            "2:47 identity.static: has no usable entry: the source proves nobody",
            "2:48 identity.static[0]: network without cidr; it is left out",
            r#"2:73 identity.static[1].cidr: is no network, e.g. "10.0.0.0/8"; it is left out"#,
            "2:93 identity.static[2]: needs either a login or tags (a tagged device is no person); it is left out",
            "3:1 identity.static[3]: needs either a login or tags (a tagged device is no person); it is left out",
            r#"3:76 identity.static[4].tags[0]: must begin with "tag:" and hold no comma; the network is left out"#,
            "3:83 identity.static[5]: has a login that looks like a tag or a source; it is left out",
        ],
    );
    check(
        r#""identity": {"static": [{"cidr": "::1", "login": "a"}], "max_age": "5"}"#,
        &[
            r#"2:24 identity.static: has no effect: "static" is not among the sources"#,
            r#"2:68 identity.max_age: expected a duration with its unit, e.g. "500ms", "10s", "5m""#,
        ],
    );
    check(
        r#""listeners": [{"address": ":8080"}]"#,
        &[
            "2:14 listeners: no listener is left; 127.0.0.1:8080 is used",
            r#"2:27 listeners[0].address: expected IP:port, e.g. "127.0.0.1:8080" or "[::]:8080"; it is left out"#,
        ],
    );
    check(
        r#""listeners": [{"address": "[::]:1"}, {"address": "[::]:1"}, {"address": "[::]:2", "serves": ["mcp"]}, {}]"#,
        &[
            "2:38 listeners[1]: address [::]:1 stands twice",
            "2:93 listeners[2].serves: listener serves nothing; it is left out",
            r#"2:94 listeners[2].serves[0]: a listener cannot serve "mcp"; known are llm and admin"#,
            "2:103 listeners[3]: listener without address; it is left out",
        ],
    );
    check(
        r#""limits": {"head_bytes": "64", "head_ms": "soon", "in_flight": "9", "body_byte": 1, "drain_ms": -1}"#,
        &[
            "2:26 limits.head_bytes: 64 is out of bounds; allowed are 1024 to 1048576",
            r#"2:43 limits.head_ms: expected a duration, e.g. "10s" or a number of milliseconds"#,
            "2:64 limits.in_flight: expected an integer, found a string",
            r#"2:69 limits.body_byte: unknown config key "body_byte"; did you mean "body_bytes"?"#,
            "2:97 limits.drain_ms: expected an integer",
        ],
    );

    // Parts that a later version acts on.
    check(
        r#""quotas": {"daily:<usr>": {"capacity": 5}, "x": 1}"#,
        &[
            r#"2:12 quotas["daily:<usr>"]: bad quota template: "<usr>"; known are <user> <node> <group> <model> <provider> <session>"#,
            r#"2:40 quotas["daily:<usr>"].capacity: expected a string, found a number"#,
            "2:49 quotas.x: expected an object, found a number",
        ],
    );
    check(
        r#""hooks": {"a": {}, "b": {"url": "ftp://x"}, "c": {"url": "http://x", "fail_policy": "maybe"}}"#,
        &[
            "2:11 hooks.a: hook without url",
            "2:33 hooks.b.url: hook url must begin with http:// or https://",
            r#"2:85 hooks.c.fail_policy: invalid fail_policy "maybe"; known are fail_open, fail_closed"#,
        ],
    );
    check(
        r#""exporters": {"s3": {"prefix": "a/"}}"#,
        &[
            "2:15 exporters.s3: exporter without bucket_name",
            "2:32 exporters.s3.prefix: prefix must not end in /",
        ],
    );
    check(
        r#""database": 1"#,
        &["2:13 database: expected an object, found a number"],
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
    let noticed: Vec<&str> = report.notices.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(
        noticed,
        [
            "grants[0].app[\"tailscale.com/cap/aperture\"][1].quotas",
            "grants[0].app[\"tailscale.com/cap/aperture\"][1].send_hooks",
            "quotas",
            "hooks",
            "exporters",
            "database"
        ]
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
        "1 provider (anthropic), 1 grant, 0 aliases, 1 listener"
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
fn no_cut_and_no_flip_panics_or_shows_a_secret() {
    let whole = with(
        r#""providers": {"p": {"baseurl": "http://x/y", "models": ["m"], "apikey": "${env:KEY}",
        "add_headers": ["x: ${env:KEY}"]}}, "limits": {"head_ms": "2s"}, "identity": {"max_age": "1m"}"#,
    );
    let look = |text: &str| {
        let (document, report) = both(text);
        assert_eq!(document.is_some(), report.usable(), "{text}");
        let shown = format!("{report:?}{document:?}");
        assert!(!shown.contains("sk-canary"), "{shown}");
    };
    for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        look(&whole[..cut]);
    }
    let mut bytes = whole.into_bytes();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            look(text);
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn the_examples_of_the_documentation_work_and_every_key_is_in_it() {
    let page = include_str!("../../../docs/CONFIGURATION.md");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("keys/openai"), "k").unwrap();
    let environment = HashMap::from([("ANTHROPIC_API_KEY".to_owned(), "k".to_owned())]);
    let examples: Vec<&str> = page
        .split("```jsonc\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let report = check_in(example, &environment, folder.path());
        assert_eq!((report.errors, report.warnings), (vec![], vec![]), "{example}");
    }
    // Every key that a wrong one could have meant is described.
    for object in [&keys::PROVIDER, &keys::LIMITS, &keys::CAPABILITY] {
        for key in object.keys {
            assert!(
                page.contains(&format!("`{}`", key.name)),
                "{}.{} is not described",
                object.name,
                key.name
            );
        }
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
