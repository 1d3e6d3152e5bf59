//! HuJSON text as a tree that knows where each value stands.
//!
//! HuJSON is JSON with comments and trailing commas, and nothing else: no single quotes, no bare words, no hexadecimal
//! numbers. The tree keeps byte offsets; [`Lines`] turns them into line and column when a message is written.

use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

/// Largest document that is read, in bytes.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// A value and the byte offsets at which it begins and ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) end: usize,
    pub(crate) value: Value,
}

/// A JSON value. Numbers stay text, so that nothing is rounded before somebody knows what they mean.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

impl Value {
    /// What the value is, with its article, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value as JSON without white space; of duplicate keys the last, at its own place.
    pub(crate) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let text = |text: &str, out: &mut String| out.push_str(&serde_json::Value::from(text).to_string());
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::Text(value) => text(value, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.value.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut last = std::collections::HashMap::new();
                for (index, member) in members.iter().enumerate() {
                    last.insert(member.key.as_str(), index);
                }
                out.push('{');
                let mut first = true;
                for (index, member) in members.iter().enumerate() {
                    if last.get(member.key.as_str()) != Some(&index) {
                        continue;
                    }
                    if !first {
                        out.push(',');
                    }
                    first = false;
                    text(&member.key, out);
                    out.push(':');
                    member.node.value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// A key with its value, in the order of the document; duplicates are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_at: usize,
    pub(crate) node: Node,
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) at: usize,
    pub(crate) text: String,
}

/// Reads a text. `Ok(None)` if it holds nothing but white space and comments.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(SyntaxError {
            at: 0,
            text: format!("the document is longer than {DOCUMENT_BYTES_MAX} bytes"),
        });
    }
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(text, &CollectOptions::default(), &options) {
        Ok(parsed) => Ok(parsed.value.map(node)),
        Err(error) => {
            let mut said = error.kind().to_string();
            if let Some(first) = said.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            Err(SyntaxError {
                at: error.range().start,
                text: said,
            })
        }
    }
}

/// A tree of a value that was no text: it stands nowhere.
pub(crate) fn of_json(value: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.to_string()),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(of_json).collect()),
        Json::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| Member {
                    key: key.clone(),
                    key_at: 0,
                    node: of_json(value),
                })
                .collect(),
        ),
    };
    Node { at: 0, end: 0, value }
}

fn node(value: ast::Value<'_>) -> Node {
    match value {
        ast::Value::StringLit(v) => Node {
            at: v.range.start,
            end: v.range.end,
            value: Value::Text(v.value.into_owned()),
        },
        ast::Value::NumberLit(v) => Node {
            at: v.range.start,
            end: v.range.end,
            value: Value::Number(v.value.to_owned()),
        },
        ast::Value::BooleanLit(v) => Node {
            at: v.range.start,
            end: v.range.end,
            value: Value::Bool(v.value),
        },
        ast::Value::NullKeyword(v) => Node {
            at: v.range.start,
            end: v.range.end,
            value: Value::Null,
        },
        ast::Value::Array(v) => Node {
            at: v.range.start,
            end: v.range.end,
            value: Value::Array(v.elements.into_iter().map(node).collect()),
        },
        ast::Value::Object(v) => Node {
            at: v.range.start,
            end: v.range.end,
            value: Value::Object(
                v.properties
                    .into_iter()
                    .map(|p| Member {
                        key_at: p.range.start,
                        key: p.name.into_string(),
                        node: node(p.value),
                    })
                    .collect(),
            ),
        },
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    /// Line and column of a byte offset, both counted from 1, columns in characters.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let end = (start..=at.min(self.text.len()))
            .rev()
            .find(|e| self.text.is_char_boundary(*e))
            .unwrap_or(start);
        let column = self
            .text
            .get(start..end)
            .map_or(0, |before| before.chars().count());
        (line, column + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_all_that_is_added_to_json() {
        let parsed = parse("// a\n{ \"a\": [1, 2,], /* b */ \"b\": null, }")
            .unwrap()
            .unwrap();
        let Value::Object(members) = parsed.value else {
            panic!("no object")
        };
        assert_eq!(
            members.iter().map(|m| m.key.as_str()).collect::<Vec<_>>(),
            ["a", "b"]
        );
        for refused in [
            "{a: 1}",
            "{'a': 1}",
            "{\"a\": 0x1}",
            "{\"a\": +1}",
            "{\"a\": .5}",
            "{\"a\": NaN}",
            "{\"a\" 1}",
            "{\"a\": 1 \"b\": 2}",
            "{\"a\": 1",
            "{} {}",
            "\"open",
            "/* open",
            "[1 2]",
            "{\"a\": }",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
        assert_eq!(parse("  // nothing\n"), Ok(None));
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "{\n  \"ü\": 1\n}\n";
        let lines = Lines::new(text);
        let check = |needle: &str, expected: (usize, usize)| {
            assert_eq!(lines.position(text.find(needle).unwrap()), expected, "{needle}");
        };
        check("{", (1, 1));
        check("\"ü", (2, 3));
        check("1", (2, 8));
        check("}", (3, 1));
        assert_eq!(lines.position(usize::MAX), (4, 1));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_an_overflow() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"{\"a\":".repeat(100_000)).is_err());
    }
}
