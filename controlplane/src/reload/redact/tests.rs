use super::*;

fn shown(text: &str) -> String {
    redact(text).unwrap()
}

#[test]
fn secrets_are_replaced_wherever_they_stand() {
    let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
    check(r#"{"apikey": "k"}"#, r#"{"apikey": "***"}"#);
    check(r#"{"apikey": ""}"#, r#"{"apikey": ""}"#);
    check(
        r#"{"api_key": "k", "ApiKey": "l"}"#,
        r#"{"api_key": "***", "ApiKey": "***"}"#,
    );
    check(
        r#"{"apikye": "k", "apkey": "l"}"#,
        r#"{"apikye": "***", "apkey": "***"}"#,
    );
    check(r#"{"apikey": "${env:K}"}"#, r#"{"apikey": "${env:K}"}"#);
    check(r#"{"apikey": "a${env:K}"}"#, r#"{"apikey": "***"}"#);
    check(
        r#"{"add_headers": ["X-A: b", "Authorization: Bearer ${file:k}", "Auth: Bearer b", "nocolon"]}"#,
        r#"{"add_headers": ["X-A: ***", "Authorization: Bearer ${file:k}", "Auth: ***", "***"]}"#,
    );
    check(r#"{"headers": {"a": "b"}}"#, r#"{"headers": {"a": "***"}}"#);
    check(
        r#"{"authorization": "x-api-key", "models": ["gpt-*"]}"#,
        r#"{"authorization": "x-api-key", "models": ["gpt-*"]}"#,
    );
    check(
        r#"{"authorization": "sk-1234567890ab"}"#,
        r#"{"authorization": "***"}"#,
    );
    check(
        r#"{"description": "sk-1234567890ab"}"#,
        r#"{"description": "***"}"#,
    );
    check(
        r#"{"apikey": "hunter2hunter2", "name": "my hunter2hunter2"}"#,
        r#"{"apikey": "***", "name": "***"}"#,
    );
    check(r#"{"url": "https://u:p@h/"}"#, r#"{"url": "***"}"#);
    check(r#"{"url": "https://h/?key=p"}"#, r#"{"url": "***"}"#);
    check(r#"{"url": "https://h/?x=p"}"#, r#"{"url": "https://h/?x=p"}"#);
    check(
        r#"{"access_key_secret": "a", "tokens": "5"}"#,
        r#"{"access_key_secret": "***", "tokens": "5"}"#,
    );
    check(
        r#"{"key_file": "a.pem", "jwks_url": "https://x"}"#,
        r#"{"key_file": "a.pem", "jwks_url": "https://x"}"#,
    );
    check(
        r#"{"my-token": {"baseurl": "http://x"}}"#,
        r#"{"my-token": {"baseurl": "http://x"}}"#,
    );
    check(
        r#"{"model_aliases": {"a-token": "b"}}"#,
        r#"{"model_aliases": {"a-token": "b"}}"#,
    );
    check(
        r#"{"env": {"GITHUB_TOKEN": "x"}}"#,
        r#"{"env": {"GITHUB_TOKEN": "***"}}"#,
    );
    check("{\"apikey\": \"a\\\"b\\u00fc\"}", r#"{"apikey": "***"}"#);
    check(
        "\u{feff}{\"apikey\": \"k\"} // sk-1234567890ab",
        "\u{feff}{\"apikey\": \"***\"} // ***",
    );
    check(
        r#"{"api_key": 5, "apikey": {"odd": ["k"]}}"#,
        r#"{"api_key": "***", "apikey": {"odd": ["***"]}}"#,
    );
    assert_eq!(redact("{oops"), None);
}

#[test]
fn comments_keep_their_words_and_lose_their_secrets() {
    let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
    check("{} // a word", "{} // a word");
    check("{\n// \"apikey\": \"k\",\n}", "{\n// \"apikey\": \"***\",\n}");
    check("{\n/* old: sk-1234567890ab, x */}", "{\n/* old: ***, x */}");
    check(
        "{\"apikey\": \"hunter2hunter2\"} // was hunter2hunter2!",
        "{\"apikey\": \"***\"} // was ***!",
    );
    check(
        "{// \"add_headers\": [\"X-A: b\", \"X-C: d\"]\n}",
        "{// \"add_headers\": [\"X-A: ***\", \"X-C: ***\"]\n}",
    );
    check(
        "{// \"apikey\": \"${env:K}\"\n}",
        "{// \"apikey\": \"${env:K}\"\n}",
    );
    check("{// \"apikey\": \"open\n}", "{// \"apikey\": \"***\n}");
    check("{// apikey = abcd1234efgh\n}", "{// apikey = ***\n}");
    check("{// api_key: 'abcd1234efgh'\n}", "{// api_key: '***'\n}");
    check(
        "{// the token: see the documents\n}",
        "{// the token: see the documents\n}",
    );
    check("{// say \"hello\": \"you\"\n}", "{// say \"hello\": \"you\"\n}");
}

#[test]
fn what_was_shown_comes_back_as_it_was() {
    for text in [
        r#"{"providers": {"a": {"apikey": "one"}, "b": {"apikey": "two", "add_headers": ["X-A: 1", "X-B: 2"]}}}"#,
        r#"{"grants": [{"src": ["a"], "capabilities": [{"add_headers": ["X: 1"]}]},
                       {"src": ["b"], "capabilities": [{"add_headers": ["X: 2"]}]}]}"#,
        "// comment\n{\n  \"apikey\": \"a\\\"b\", // more\n}\n",
        r#"{"hooks": {"h": {"url": "https://u:p@h/", "apikey": "x"}}}"#,
    ] {
        let restored = restore(&shown(text), text);
        assert_eq!(restored.errors, [], "{text}");
        assert_eq!(
            Found::read(&restored.text)
                .unwrap()
                .spots
                .iter()
                .map(|s| s.value.clone())
                .collect::<Vec<_>>(),
            Found::read(text)
                .unwrap()
                .spots
                .iter()
                .map(|s| s.value.clone())
                .collect::<Vec<_>>(),
        );
        assert_eq!(shown(&restored.text), shown(text));
    }
}

#[test]
fn a_secret_never_moves_to_where_it_was_not() {
    let check = |present: &str, sent: &str, expected: Result<&str, &str>| {
        let restored = restore(sent, present);
        match expected {
            Ok(text) => {
                assert_eq!(restored.errors, [], "{sent}");
                assert_eq!(restored.text, text);
            }
            Err(path) => {
                let paths: Vec<&str> = restored.errors.iter().map(|m| m.path.as_str()).collect();
                assert_eq!(paths, [path], "{sent}");
            }
        }
    };
    let present = r#"{"providers": {"a": {"apikey": "one"}, "b": {"apikey": "two"}}}"#;
    check(
        present,
        r#"{"providers": {"b": {"apikey": "***"}}}"#,
        Ok(r#"{"providers": {"b": {"apikey": "two"}}}"#),
    );
    check(
        present,
        r#"{"providers": {"c": {"apikey": "***"}}}"#,
        Err("providers.c.apikey"),
    );
    check(present, r#"{"apikey": "***"}"#, Err("apikey"));
    check("{", r#"{"apikey": "***"}"#, Err("apikey"));
    check(
        present,
        r#"{"providers": {"a": {"apikey": "new"}}}"#,
        Ok(r#"{"providers": {"a": {"apikey": "new"}}}"#),
    );
    check(
        present,
        r#"{"description": "***"}"#,
        Ok(r#"{"description": "***"}"#),
    );

    // Headers go by name, not by position.
    let present = r#"{"add_headers": ["X-A: 1", "X-B: 2"]}"#;
    check(
        present,
        r#"{"add_headers": ["x-b: ***", "X-New: 3"]}"#,
        Ok(r#"{"add_headers": ["x-b: 2", "X-New: 3"]}"#),
    );
    check(present, r#"{"add_headers": ["X-C: ***"]}"#, Err("add_headers[0]"));

    // Entries of arrays go by their content, or by whom they are for.
    let grant = |src: &str, key: &str, more: &str| {
        format!(r#"{{"src": ["{src}"], "c": [{{"add_headers": ["X: {key}"]{more}}}]}}"#)
    };
    let grants = |list: &[String]| format!(r#"{{"grants": [{}]}}"#, list.join(", "));
    let present = grants(&[grant("a", "1", ""), grant("b", "2", "")]);
    check(
        &present,
        &grants(&[grant("b", "***", "")]),
        Ok(&grants(&[grant("b", "2", "")])),
    );
    check(
        &present,
        &grants(&[grant("b", "***", ""), grant("a", "***", r#", "models": "m""#)]),
        Ok(&grants(&[
            grant("b", "2", ""),
            grant("a", "1", r#", "models": "m""#),
        ])),
    );
    check(
        &present,
        &grants(&[grant("c", "***", "")]),
        Err("grants[0].c[0].add_headers[0]"),
    );
    let only = grants(&[grant("a", "1", "")]);
    check(
        &only,
        &grants(&[grant("c", "***", "")]),
        Ok(&grants(&[grant("c", "1", "")])),
    );
    check(
        &only,
        &grants(&[grant("new", "***", ""), grant("a", "***", "")]),
        // The entry at the only candidate's own position is taken for it: it is the one that was edited.
        Ok(&grants(&[grant("new", "1", ""), grant("a", "1", "")])),
    );
    let twins = grants(&[grant("a", "1", ""), grant("a", "2", "")]);
    check(
        &twins,
        &grants(&[grant("a", "***", "")]),
        Err("grants[0].c[0].add_headers[0]"),
    );
}

#[test]
fn places_are_told_in_the_text_that_was_sent() {
    let present = r#"{"apikey": "a-very-long-secret-value"}"#;
    let sent = "{\n\"apikey\": \"***\", \"basurl\": 1\n}";
    let restored = restore(sent, present);
    let at = restored.text.lines().nth(1).unwrap().find("\"basurl").unwrap() + 1;
    let message = |line, column| Message {
        path: String::new(),
        line,
        column,
        text: String::new(),
    };
    let placed = restored.place(message(2, at));
    assert_eq!(
        (placed.line, placed.column),
        (2, sent.lines().nth(1).unwrap().find("\"basurl").unwrap() + 1)
    );
    assert_eq!(restored.place(message(2, 1)).column, 1);
    assert_eq!(restored.place(message(2, 11)).column, 11);
    assert_eq!(
        restored.place(message(2, 20)).column,
        11,
        "within the secret: its beginning"
    );
    assert_eq!(restored.place(message(3, 1)).column, 1);
}

#[test]
fn changed_secrets_are_named_without_their_values() {
    let before = r#"{"providers": {"a": {"apikey": "one"}, "b": {"apikey": "two"}}}"#;
    let after = r#"{"providers": {"a": {"apikey": "one"}, "b": {"apikey": "three"}, "c": {"apikey": "x"}}}"#;
    assert_eq!(
        changed(before, after),
        ["providers.b.apikey", "providers.c.apikey"]
    );
    assert_eq!(changed(before, before), [] as [&str; 0]);
}

#[test]
fn cut_texts_are_redacted_or_refused_and_never_show_the_secret() {
    let text = "{\n  // old \"apikey\": \"sk-canary-0000000\"\n  \"providers\": {\"ü\": {\"apikey\": \"canary-1111\", \"add_headers\": [\"X: canary-2222\"]}}\n}";
    for end in 0..=text.len() {
        let Some(cut) = text.get(..end) else { continue };
        if let Some(shown) = redact(cut) {
            assert!(!shown.contains("canary"), "{end}: {shown}");
        }
        let _ = restore(cut, text);
        let _ = restore(text, cut);
    }
}

#[test]
fn what_the_check_of_documents_calls_a_secret_is_never_shown() {
    for text in [
        r#"{"providers": {"a": {"baseurl": "https://a", "apikey": "sk-1", "models": ["token-x"]},
            "b": {"baseurl": "https://u:pppp@b", "apikey": "${env:B}", "api_key": 5, "add_headers": ["Authorization: Bearer sk-2",
                  "X-A: ${file:a}", "Authorization: Bearer ${env:B}", "X-Empty: ", "sk-3"]}}}"#,
        r#"{"exporters": {"s3": {"access_key_id": "AK", "access_secret": "sk-6"}}, "hooks": {"h": {"apikey": {"odd": ["sk-7"]}}}}"#,
        r#"{"grants": [{"src": ["*"], "capabilities": [{"add_headers": ["X: y1", "Z: y2"]}]}]}"#,
    ] {
        let spans = crate::config::secrets_in(text).unwrap();
        assert!(!spans.is_empty());
        let found = Found::read(text).unwrap();
        for span in spans.iter().filter(|span| !span.reference) {
            assert!(
                found
                    .spots
                    .iter()
                    .any(|spot| spot.path == span.path && spot.span == (span.start..span.end)),
                "{span:?}"
            );
        }
        for span in spans.iter().filter(|span| span.reference) {
            assert!(!found.spots.iter().any(|spot| spot.path == span.path), "{span:?}");
        }
    }
}
