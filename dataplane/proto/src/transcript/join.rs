//! How pieces add up.
//!
//! Known fields are joined by their own rules, in the file of their format. For what nobody knows yet: a text is
//! appended to the text before it, unless it says the same again; an object is joined member by member; a list is
//! appended to; a number or word takes the place of the one before; `null` never displaces anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::parse::Budget;

pub(super) type Object = Map<String, Value>;

/// Deepest nesting in which unknown objects are joined member by member.
const DEPTH_MAX: u8 = 16;

/// Appends a text to a member. What stood there and is no text is displaced.
pub(super) fn append(object: &mut Object, key: &str, more: &str) {
    match object.get_mut(key) {
        Some(Value::String(text)) => text.push_str(more),
        Some(other) => *other = Value::String(more.to_owned()),
        None => {
            object.insert(key.to_owned(), Value::String(more.to_owned()));
        }
    }
}

/// Appends the items to a list member. What stood there and is no list is displaced.
pub(super) fn extend(object: &mut Object, key: &str, more: &[Value]) {
    list(object, key).extend_from_slice(more);
}

/// The list that is a member, made if there is none.
pub(super) fn list<'o>(object: &'o mut Object, key: &str) -> &'o mut Vec<Value> {
    let slot = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    match slot {
        Value::Array(list) => list,
        // Made one just now.
        _ => unreachable!("a list"),
    }
}

/// The object that is a member, made if there is none.
pub(super) fn member<'o>(object: &'o mut Object, key: &str) -> &'o mut Object {
    as_object(object.entry(key).or_insert_with(|| Value::Object(Object::new())))
}

/// A value as an object; whatever else it is, is displaced by an empty one.
pub(super) fn as_object(slot: &mut Value) -> &mut Object {
    if !slot.is_object() {
        *slot = Value::Object(Object::new());
    }
    match slot {
        Value::Object(object) => object,
        // Made one just now.
        _ => unreachable!("an object"),
    }
}

/// Sets a member; `null` only where there is nothing yet.
pub(super) fn put(object: &mut Object, key: &str, value: &Value) {
    if !value.is_null() || !object.contains_key(key) {
        object.insert(key.to_owned(), value.clone());
    }
}

/// Sets a member unless it already says something: a value that is neither `null` nor an empty text.
pub(super) fn put_first(object: &mut Object, key: &str, value: &Value) {
    if object.get(key).is_none_or(is_blank) {
        put(object, key, value);
    }
}

/// Sets a member unless the new value says nothing and the old one does.
pub(super) fn put_last(object: &mut Object, key: &str, value: &Value) {
    if !is_blank(value) || object.get(key).is_none_or(is_blank) {
        put(object, key, value);
    }
}

pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Joins a member by the rule for what is not known.
pub(super) fn join(object: &mut Object, key: &str, more: &Value) {
    join_at(object, key, more, DEPTH_MAX);
}

fn join_at(object: &mut Object, key: &str, more: &Value, depth: u8) {
    match (object.get_mut(key), more) {
        (Some(Value::String(text)), Value::String(more)) => {
            if text != more {
                text.push_str(more);
            }
        }
        (Some(Value::Array(items)), Value::Array(more)) => items.extend_from_slice(more),
        (Some(Value::Object(inner)), Value::Object(more)) if depth > 0 => {
            for (key, value) in more {
                join_at(inner, key, value, depth - 1);
            }
        }
        _ => put(object, key, more),
    }
}

/// Appends base64 to base64. A piece may have been encoded by itself, and end in padding.
pub(super) fn append_base64(object: &mut Object, key: &str, more: &str) {
    if let Some(Value::String(text)) = object.get_mut(key)
        && text.ends_with('=')
        && let Some(from) = text.len().checked_sub(4)
        && let Some(Ok(mut bytes)) = text.get(from..).map(|tail| BASE64.decode(tail))
        && let Ok(rest) = BASE64.decode(more)
    {
        text.truncate(from);
        bytes.extend_from_slice(&rest);
        text.push_str(&BASE64.encode(bytes));
        return;
    }
    append(object, key, more);
}

/// A list's element for an index that a provider gave: made at the end of the list if it lies beyond it.
pub(super) fn element(list: &mut Vec<Value>, index: u64) -> &mut Value {
    let index = usize::try_from(index).unwrap_or(usize::MAX).min(list.len());
    if index == list.len() {
        list.push(Value::Null);
    }
    list.get_mut(index)
        .unwrap_or_else(|| unreachable!("made just now"))
}

/// A member that is a number without sign.
pub(super) fn count(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

/// A member that is a text.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// A member that is a text with something in it.
pub(super) fn word<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    text(value, key).filter(|text| !text.is_empty())
}

/// The items of a member that is a list.
pub(super) fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Most JSON values in the arguments of all calls of one answer; what is beyond stays text.
pub(super) const ARGUMENT_VALUES_MAX: u32 = 1_000_000;

/// Arguments as the model made them, piece by piece: an object where they are JSON, else the text as it is. None at all
/// is an empty object.
pub(super) fn arguments(json: &str, budget: &mut Budget) -> Value {
    if json.trim_ascii().is_empty() {
        return Value::Object(Object::new());
    }
    budget
        .parse(json.as_bytes())
        .unwrap_or_else(|| Value::String(json.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_members() {
        let check = |before: Value, more: Value, expected: Value| {
            let mut object = as_object(&mut json!({ "k": before })).clone();
            join(&mut object, "k", &more);
            assert_eq!(object.get("k"), Some(&expected), "{before} and {more}");
        };
        check(json!("a"), json!("b"), json!("ab"));
        check(json!("assistant"), json!("assistant"), json!("assistant"));
        check(json!("a"), json!(null), json!("a"));
        check(json!(null), json!("a"), json!("a"));
        check(json!([1]), json!([2]), json!([1, 2]));
        check(json!(1), json!(2), json!(2));
        check(json!(false), json!(true), json!(true));
        check(
            json!({"a": "x", "n": {"m": 1}}),
            json!({"a": "y", "n": {"o": 2}}),
            json!({"a": "xy", "n": {"m": 1, "o": 2}}),
        );
    }

    #[test]
    fn base64_in_pieces() {
        let check = |pieces: &[&str], expected: &str| {
            let mut object = Object::new();
            for piece in pieces {
                append_base64(&mut object, "data", piece);
            }
            let got = object.get("data").and_then(Value::as_str).unwrap();
            assert_eq!(got, expected);
        };
        // One encoding cut at a multiple of four, at another place, and pieces encoded one by one.
        check(&["YWJj", "ZGVm"], "YWJjZGVm");
        check(&["YW", "JjZA=="], "YWJjZA==");
        check(&["YQ==", "YmM=", "ZA=="], "YWJjZA==");
        check(&["YQ==", "?"], "YQ==?");
        check(&["="], "=");
    }
}
