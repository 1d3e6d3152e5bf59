//! Values under capability keys that are not Sluice's: handed to hooks as they are, never read.
//!
//! A policy writes a list of values under each key; the lists of all grants that match a principal, and of what came
//! with it, are one list, in their order. A value that is no list counts as a list of it, `null` as an empty one.

use std::fmt::Write;

use super::{Granted, Rules};
use crate::snapshot::AppValue;

impl Rules {
    /// The values that a principal is granted under keys that are not Sluice's, as a JSON object of lists:
    /// `{"example.com/cap/reviewer":[{"level":2}]}`. Without any: `{}`.
    #[must_use]
    pub fn app_json(&self, granted: &Granted) -> String {
        let from_grants = granted.grants.iter().flat_map(|index| {
            let grant = usize::try_from(*index).ok().and_then(|at| self.grants.get(at));
            grant.map_or(&[][..], |grant| &grant.app)
        });
        united(from_grants.chain(&granted.app))
    }
}

fn united<'a>(values: impl Iterator<Item = &'a AppValue>) -> String {
    let mut keys: Vec<(&str, String)> = Vec::new();
    for value in values {
        let inner = elements(&value.json);
        match keys.iter_mut().find(|(key, _)| *key == value.key) {
            Some((_, list)) if inner.is_empty() || list.is_empty() => list.push_str(inner),
            Some((_, list)) => {
                list.push(',');
                list.push_str(inner);
            }
            None => keys.push((&value.key, inner.to_owned())),
        }
    }
    let mut out = String::from("{");
    for (at, (key, list)) in keys.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(key, &mut out);
        out.push_str(":[");
        out.push_str(list);
        out.push(']');
    }
    out.push('}');
    out
}

/// What stands between the brackets of a list; anything else is its one element.
fn elements(json: &str) -> &str {
    let json = json.trim();
    let list = json
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map(str::trim);
    match list {
        Some(inner) => inner,
        None if json == "null" => "",
        None => json,
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                // Writing into a string has no errors. Control characters lie in the first plane.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_one_key_are_one_list() {
        let check = |values: &[(&str, &str)], expected: &str| {
            let values: Vec<AppValue> = values
                .iter()
                .map(|(key, json)| AppValue {
                    key: (*key).into(),
                    json: (*json).into(),
                })
                .collect();
            assert_eq!(united(values.iter()), expected, "{values:?}");
        };
        check(&[], "{}");
        check(&[("a", r#"[{"x":[1]}]"#)], r#"{"a":[{"x":[1]}]}"#);
        check(
            &[
                ("a", "[1]"),
                ("b", "null"),
                ("a", " [ 2,3 ] "),
                ("a", "[]"),
                ("c", "\"[x]\""),
            ],
            r#"{"a":[1,2,3],"b":[],"c":["[x]"]}"#,
        );
        check(&[("a", "[]"), ("a", "[1]"), ("a", "{}")], r#"{"a":[1,{}]}"#);
        check(&[("a\"\\\n\u{85}", "[1]")], "{\"a\\\"\\\\\\u000a\\u0085\":[1]}");
    }
}
