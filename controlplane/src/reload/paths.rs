//! Which paths of a document differ from those of another: what may be told of a change without telling a value.

use serde_json::Value;

use crate::config::parse_hujson;

/// Paths that are told.
const PATHS_MAX: usize = 100;
/// Longest path, in characters; keys are whatever somebody wrote.
const PATH_MAX: usize = 200;
/// Values deeper than this are compared as a whole.
const DEPTH_MAX: usize = 16;

/// The first paths that were added, removed or changed, in order, and how many more there are. A text that cannot be read
/// counts as an empty document.
pub(super) fn changed(before: &str, after: &str) -> (Vec<String>, usize) {
    let read = |text: &str| -> Value {
        let node = parse_hujson(text).ok().flatten();
        let value = node.and_then(|node| serde_json::from_str(&node.value.compact()).ok());
        value.unwrap_or_else(|| Value::Object(serde_json::Map::new()))
    };
    let mut found = Found::default();
    found.walk(&read(before), &read(after), "", DEPTH_MAX);
    (found.paths, found.more)
}

#[derive(Default)]
struct Found {
    paths: Vec<String>,
    more: usize,
}

impl Found {
    fn walk(&mut self, before: &Value, after: &Value, path: &str, depth: usize) {
        if before == after {
            return;
        }
        match (before, after, depth.checked_sub(1)) {
            (Value::Object(old), Value::Object(new), Some(depth)) => {
                let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
                keys.sort_unstable();
                keys.dedup();
                let dot = if path.is_empty() { "" } else { "." };
                for key in keys {
                    self.both(old.get(key), new.get(key), &format!("{path}{dot}{key}"), depth);
                }
            }
            (Value::Array(old), Value::Array(new), Some(depth)) => {
                for at in 0..old.len().max(new.len()) {
                    self.both(old.get(at), new.get(at), &format!("{path}[{at}]"), depth);
                }
            }
            _ => self.add(path),
        }
    }

    /// What came or went is told as a whole.
    fn both(&mut self, old: Option<&Value>, new: Option<&Value>, path: &str, depth: usize) {
        match (old, new) {
            (Some(old), Some(new)) => self.walk(old, new, path, depth),
            _ => self.add(path),
        }
    }

    fn add(&mut self, path: &str) {
        if self.paths.len() < PATHS_MAX {
            self.paths.push(path.chars().take(PATH_MAX).collect());
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_are_told_and_no_values() {
        let check = |before: &str, after: &str, expected: &[&str]| {
            assert_eq!(changed(before, after).0, expected, "{before} {after}");
        };
        check("{}", "{} // nothing", &[]);
        check(r#"{"a": {"k": 1, "l": 2}}"#, r#"{"a": {"l": 2, "k": 1,}}"#, &[]);
        check(
            r#"{"a": {"key": "secret"}}"#,
            r#"{"a": {"key": "other"}}"#,
            &["a.key"],
        );
        check(r#"{"a": 1}"#, r#"{"a": {"deep": "er"}}"#, &["a"]);
        check(r#"{"a": [1, 2]}"#, r#"{"a": [1, 3, 4]}"#, &["a[1]", "a[2]"]);
        check(r#"{"a": [{"x": 1}]}"#, r#"{"a": [{"x": 2}]}"#, &["a[0].x"]);
        check("", r#"{"b": 1, "a": {"c": 1}}"#, &["a", "b"]);
        check(r#"{"a": 1}"#, "oops", &["a"]);
    }

    #[test]
    fn many_are_counted_and_long_ones_cut() {
        let keys = |count: usize, length: usize| {
            let all: Vec<String> = (0..count).map(|n| format!("\"{n:0length$}\": 1")).collect();
            format!("{{{}}}", all.join(","))
        };
        let (paths, more) = changed("{}", &keys(250, 5));
        assert_eq!((paths.len(), more), (PATHS_MAX, 150));
        assert_eq!(changed("{}", &keys(1, 1_000)).0, ["0".repeat(PATH_MAX)]);
    }
}
