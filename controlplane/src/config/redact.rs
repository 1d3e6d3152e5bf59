//! Where the secrets of a document stand, told a second time and in another way than the redaction of the API does: its tests
//! compare the two.
//!
//! Judged by the key, at any depth, known or not: a misspelt `api_key` holds a key all the same.

use super::hujson::{self, Node, Value};
use super::reader::join;

/// A value that must not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretSpan {
    /// Place in the document, e.g. `providers.openai.apikey`, `providers.openai.add_headers[0]`.
    pub(crate) path: String,
    /// Byte offset at which the value begins, its quotes included.
    pub(crate) start: usize,
    /// Byte offset behind the value.
    pub(crate) end: usize,
    /// What may be shown of a text before its secret part: `Authorization: ` of a header, else nothing.
    pub(crate) keep: String,
    /// The value only refers to secrets, `${env:NAME}` or `${file:PATH}`: it may be shown.
    pub(crate) reference: bool,
}

/// Finds every value that is a secret by its key, in the order of the document; of duplicate keys all. `None` if the
/// text does not parse: then nothing of it can be shown.
pub(crate) fn secrets_in(text: &str) -> Option<Vec<SecretSpan>> {
    // Offsets count from the beginning of the text, its byte-order mark included.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let shift = text.len() - body.len();
    let root = hujson::parse(body).ok()?;
    let mut out = Vec::new();
    if let Some(root) = root {
        visit(&root, "", Kind::Plain, &mut out);
    }
    for span in &mut out {
        span.start += shift;
        span.end += shift;
    }
    Some(out)
}

/// What the keys above a value say about it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    /// Whatever stands here is secret.
    Secret,
    /// Texts are `Name: value`, and every value is secret: which names carry credentials is the provider's business.
    Headers,
}

fn visit(node: &Node, path: &str, kind: Kind, out: &mut Vec<SecretSpan>) {
    match &node.value {
        Value::Null | Value::Bool(_) => {}
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{path}[{index}]"), kind, out);
            }
        }
        Value::Object(members) => {
            for member in members {
                let inner = match kind {
                    Kind::Secret => Kind::Secret,
                    _ => kind_of(&member.key),
                };
                visit(&member.node, &join(path, &member.key), inner, out);
            }
        }
        Value::Number(_) if kind == Kind::Plain => {}
        Value::Number(_) => out.push(span(node, path, "", false)),
        Value::Text(text) => match kind {
            Kind::Secret if !text.is_empty() => out.push(span(node, path, "", only_refers(text))),
            Kind::Headers => match text.split_once(':') {
                Some((name, value)) => {
                    let space = value.len() - value.trim_start().len();
                    let keep = text.get(..name.len() + 1 + space).unwrap_or_default();
                    let value = value.trim();
                    if !value.is_empty() {
                        out.push(span(node, path, keep, only_refers(value)));
                    }
                }
                None => out.push(span(node, path, "", only_refers(text))),
            },
            Kind::Plain if userinfo(text) => out.push(span(node, path, "", false)),
            Kind::Plain | Kind::Secret => {}
        },
    }
}

fn span(node: &Node, path: &str, keep: &str, reference: bool) -> SecretSpan {
    SecretSpan {
        path: path.to_owned(),
        start: node.at,
        end: node.end,
        keep: keep.to_owned(),
        reference,
    }
}

fn kind_of(key: &str) -> Kind {
    let plain: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if plain == "addheaders" || plain == "headers" {
        return Kind::Headers;
    }
    // Settings about credentials, not credentials.
    let about = ["tokens", "file", "url", "claim", "prefix", "mode"];
    if about.iter().any(|suffix| plain.ends_with(suffix)) {
        return Kind::Plain;
    }
    let words = [
        "apikey",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "credential",
        "privatekey",
        "token",
    ];
    if words.iter().any(|word| plain.contains(word)) {
        Kind::Secret
    } else {
        Kind::Plain
    }
}

/// Whether a text consists of placeholders and of nothing that could be a secret itself.
fn only_refers(text: &str) -> bool {
    let mut rest = text.trim();
    // `Bearer ${env:KEY}` is the common spelling of a header.
    for scheme in ["Bearer ", "bearer ", "Basic ", "basic "] {
        rest = rest.strip_prefix(scheme).unwrap_or(rest);
    }
    let mut any = false;
    while let Some(inside) = rest.strip_prefix("${") {
        let Some((inside, after)) = inside.split_once('}') else {
            return false;
        };
        if !inside.starts_with("env:") && !inside.starts_with("file:") {
            return false;
        }
        any = true;
        rest = after;
    }
    any && rest.is_empty()
}

/// `scheme://user:password@host`: refused as an address, but it may stand in a document all the same.
fn userinfo(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        authority.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_their_key() {
        let text = r#"{ // a comment with "apikey": "x"
          "providers": {
            "a": {"baseurl": "https://a", "apikey": "sk-1", "models": ["token-x"]},
            "b": {"baseurl": "https://u:p@b", "apikey": "${env:B}", "api_key": 5, "add_headers": ["Authorization: Bearer sk-2",
                  "X-A: ${file:a}", "Authorization: Bearer ${env:B}", "X-Empty: ", "sk-3"]},
            "c": {"apikey": "sk-\u0034", "apikey": "sk-5", "max_tokens": "9", "key_file": "k"},
          },
          "exporters": {"s3": {"access_key_id": "AK", "access_secret": "sk-6"}},
          "hooks": {"h": {"apikey": {"odd": ["sk-7"]}}},
        }"#;
        let found: Vec<(String, &str, String, bool)> = secrets_in(text)
            .unwrap()
            .into_iter()
            .map(|s| (s.path, &text[s.start..s.end], s.keep, s.reference))
            .collect();
        let row =
            |path: &str, value, keep: &str, reference| (path.to_owned(), value, keep.to_owned(), reference);
        assert_eq!(
            found,
            [
                row("providers.a.apikey", "\"sk-1\"", "", false),
                row("providers.b.baseurl", "\"https://u:p@b\"", "", false),
                row("providers.b.apikey", "\"${env:B}\"", "", true),
                row("providers.b.api_key", "5", "", false),
                row(
                    "providers.b.add_headers[0]",
                    "\"Authorization: Bearer sk-2\"",
                    "Authorization: ",
                    false
                ),
                row("providers.b.add_headers[1]", "\"X-A: ${file:a}\"", "X-A: ", true),
                row(
                    "providers.b.add_headers[2]",
                    "\"Authorization: Bearer ${env:B}\"",
                    "Authorization: ",
                    true
                ),
                row("providers.b.add_headers[4]", "\"sk-3\"", "", false),
                row("providers.c.apikey", "\"sk-\\u0034\"", "", false),
                row("providers.c.apikey", "\"sk-5\"", "", false),
                row("exporters.s3.access_secret", "\"sk-6\"", "", false),
                row("hooks.h.apikey.odd[0]", "\"sk-7\"", "", false),
            ]
        );
        assert_eq!(secrets_in("{"), None);
        assert_eq!(secrets_in("// nothing"), Some(vec![]));
        let marked = "\u{feff}{\"apikey\": \"x\"}";
        let spans = secrets_in(marked).unwrap();
        assert_eq!(&marked[spans[0].start..spans[0].end], "\"x\"");
    }

    #[test]
    fn a_reference_holds_nothing_but_placeholders() {
        let check = |text: &str, expected: bool| assert_eq!(only_refers(text), expected, "{text}");
        check("${env:A}", true);
        check("${env:A}${file:b}", true);
        check("Bearer ${env:A}", true);
        check("sk-${env:A}", false);
        check("${env:A}x", false);
        check("${vault:A}", false);
        check("${env:A", false);
        check("", false);
    }
}
