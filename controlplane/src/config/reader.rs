//! Typed reading of the tree: every value that is taken carries its path, every mismatch becomes a warning.
//!
//! [`Fields`] is an object whose members are taken by name; what nobody knows is reported by [`Fields::open`], with the
//! nearest known name. A key that stands twice is reported, and the last one counts, as JSON readers commonly do.

use super::hujson::{Member, Node, Value};
use super::keys::{self, Key, Object, Shape};
use super::message::Messages;
use super::nearest::nearest;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    pub(crate) path: String,
    pub(crate) node: &'a Node,
    /// Where the key stands, or the value if it has no key.
    pub(crate) key_at: usize,
    /// What is known about the key; `None` for items, names and the root.
    pub(crate) key: Option<&'static Key>,
}

/// An object with its place.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    pub(crate) path: String,
    pub(crate) at: usize,
    members: &'a [Member],
    /// `None` where the keys are names that the operator chose.
    object: Option<&'static Object>,
}

impl<'a> Field<'a> {
    pub(crate) const fn root(node: &'a Node) -> Self {
        Self {
            path: String::new(),
            node,
            key_at: node.at,
            key: None,
        }
    }

    fn mismatch(&self, expected: &str, messages: &mut Messages<'_>) {
        messages.warn(
            self.node.at,
            &self.path,
            format!("expected {expected}, found {}", self.node.value.kind()),
        );
    }

    pub(crate) fn warn(&self, messages: &mut Messages<'_>, text: impl Into<String>) {
        messages.warn(self.node.at, &self.path, text);
    }

    pub(crate) fn text(&self, messages: &mut Messages<'_>) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.mismatch("a string", messages);
                None
            }
        }
    }

    /// One of the words that the key's table names; `left_out` says what becomes of the part otherwise.
    pub(crate) fn word(&self, left_out: &str, messages: &mut Messages<'_>) -> Option<&'a str> {
        let text = self.text(messages)?;
        let known = match self.key.map(|key| &key.shape) {
            Some(Shape::Word(words)) => *words,
            _ => &[],
        };
        if known.contains(&text) {
            return Some(text);
        }
        let key = self.key.map_or("word", |key| key.name);
        self.warn(
            messages,
            format!(
                "invalid {key} {}; known are {}{left_out}",
                shown(text),
                known.join(", ")
            ),
        );
        None
    }

    pub(crate) fn boolean(&self, messages: &mut Messages<'_>) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.mismatch("true or false", messages);
                None
            }
        }
    }

    /// An integer within the bounds that the key's table states.
    pub(crate) fn integer(&self, messages: &mut Messages<'_>) -> Option<i64> {
        let (min, max) = match self.key.map(|key| &key.shape) {
            Some(Shape::Integer(min, max)) => (*min, *max),
            _ => (i64::MIN, i64::MAX),
        };
        let Value::Number(text) = &self.node.value else {
            self.mismatch("an integer", messages);
            return None;
        };
        let value = text
            .parse::<i64>()
            .ok()
            .filter(|value| (min..=max).contains(value));
        if value.is_none() {
            self.warn(
                messages,
                format!("expected an integer from {min} to {max}, found {text}"),
            );
        }
        value
    }

    pub(crate) fn array(&self, messages: &mut Messages<'_>) -> Option<Vec<Self>> {
        let Value::Array(nodes) = &self.node.value else {
            self.mismatch("an array", messages);
            return None;
        };
        let item = |(index, node): (usize, &'a Node)| Self {
            path: format!("{}[{index}]", self.path),
            node,
            key_at: node.at,
            key: None,
        };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// An array of strings; items of another type are reported and left out.
    pub(crate) fn texts(&self, messages: &mut Messages<'_>) -> Option<Vec<(Self, &'a str)>> {
        let items = self.array(messages)?;
        Some(
            items
                .into_iter()
                .filter_map(|item| item.text(messages).map(|text| (item, text)))
                .collect(),
        )
    }

    /// One string, or an array of them.
    pub(crate) fn one_or_many(&self, messages: &mut Messages<'_>) -> Option<Vec<(Self, &'a str)>> {
        match self.node.value {
            Value::Array(_) => self.texts(messages),
            _ => Some(vec![(self.clone(), self.text(messages)?)]),
        }
    }

    /// An object with known keys; others are reported.
    pub(crate) fn open(&self, object: &'static Object, messages: &mut Messages<'_>) -> Option<Fields<'a>> {
        debug_assert!(
            keys::objects().iter().any(|known| std::ptr::eq(*known, object)),
            "{} is not part of the schema",
            object.name
        );
        self.members(Some(object), messages)
    }

    /// An object whose keys are names that the operator chose.
    pub(crate) fn open_names(&self, messages: &mut Messages<'_>) -> Option<Fields<'a>> {
        self.members(None, messages)
    }

    fn members(&self, object: Option<&'static Object>, messages: &mut Messages<'_>) -> Option<Fields<'a>> {
        let Value::Object(members) = &self.node.value else {
            self.mismatch("an object", messages);
            return None;
        };
        let fields = Fields {
            path: self.path.clone(),
            at: self.node.at,
            members,
            object,
        };
        fields.report(messages);
        Some(fields)
    }
}

impl<'a> Fields<'a> {
    /// The value of a known key.
    pub(crate) fn field(&self, key: &str) -> Option<Field<'a>> {
        debug_assert!(
            self.object.is_none_or(|object| object.key(key).is_some()),
            "{key} is not a known key of {}",
            self.path
        );
        self.members
            .iter()
            .rev()
            .find(|member| member.key == key)
            .map(|member| self.of(member))
    }

    /// Every member once, in the order of the document; of duplicates the last.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> + '_ {
        let members = self.members;
        members
            .iter()
            .enumerate()
            .filter(move |(at, member)| !members.iter().skip(at + 1).any(|later| later.key == member.key))
            .map(|(_, member)| (member.key.as_str(), self.of(member)))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn of(&self, member: &'a Member) -> Field<'a> {
        Field {
            path: join(&self.path, &member.key),
            node: &member.node,
            key_at: member.key_at,
            key: self.object.and_then(|object| object.key(&member.key)),
        }
    }

    fn report(&self, messages: &mut Messages<'_>) {
        let known = self.object.map(Object::names).unwrap_or_default();
        let mut seen: std::collections::HashSet<&str> = std::collections::HashSet::new();
        for member in self.members {
            let path = join(&self.path, &member.key);
            if !seen.insert(&member.key) {
                messages.warn(
                    member.key_at,
                    &path,
                    format!("duplicate key {:?}; the last one counts", member.key),
                );
                continue;
            }
            if let Some(object) = self.object.filter(|_| !known.contains(&member.key.as_str())) {
                let hint = nearest(&member.key, &known)
                    .map_or_else(String::new, |k| format!("; did you mean {k:?}?"));
                messages.warn(
                    member.key_at,
                    &path,
                    format!("{} {:?}{hint}", object.unknown, member.key),
                );
            }
        }
    }
}

/// A short word as it was written; anything else may be a key that stands in the wrong place.
pub(crate) fn shown(text: &str) -> String {
    let plain = text.len() <= 16
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_');
    if plain {
        format!("{text:?}")
    } else {
        "(not shown)".to_owned()
    }
}

/// `a.b`, with the key quoted if it is not plain.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || !key.chars().all(plain) {
        return format!("{path}[{key:?}]");
    }
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
