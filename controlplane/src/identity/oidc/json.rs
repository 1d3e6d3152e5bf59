//! JSON as a token may hold it: a member that stands twice is refused at any depth, because two readers could take
//! different ones (RFC 7519 §4 leaves it to the reader; ours refuses).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads an object without doubled members. `None` for everything else, also for bytes behind the object.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// Every text that stands under a name at the top of an object, also if it stands there more than once. Empty if the
/// bytes are no object.
pub(super) fn texts_under(bytes: &[u8], name: &str) -> Vec<String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found = reader.deserialize_map(Under(name)).unwrap_or_default();
    if reader.end().is_ok() { found } else { Vec::new() }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without doubled members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            out.push(item);
        }
        Ok(out.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if out.insert(key, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(out.into())
    }
}

struct Under<'a>(&'a str);

impl<'de> Visitor<'de> for Under<'_> {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<String>, A::Error> {
        let mut out = Vec::new();
        while let Some(key) = members.next_key::<String>()? {
            if key != self.0 {
                members.next_value::<IgnoredAny>()?;
            } else if let Value::String(text) = members.next_value()? {
                out.push(text);
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_objects_without_doubles_are_read() {
        let check = |text: &str, good: bool| {
            let read = object(text.as_bytes());
            assert_eq!(read.is_some(), good, "{text}");
            if let Some(map) = read {
                assert_eq!(Value::Object(map), serde_json::from_str::<Value>(text).unwrap());
            }
        };
        check(r#"{"a":1,"b":[null,true,-1,1.5,"x",{"a":{}}]}"#, true);
        check(" {} ", true);
        check(r#"{"a":1,"a":1}"#, false);
        check(r#"{"a":1,"\u0061":1}"#, false);
        check(r#"{"x":{"a":1,"a":2}}"#, false);
        check(r#"{"x":[{"a":1,"a":2}]}"#, false);
        check(r#"{"a":1}{"a":1}"#, false);
        check(r#"{"a":1} x"#, false);
        check("[]", false);
        check("", false);
        check("{", false);
        check("\u{feff}{}", false);
        check(r#"{"a":1e999}"#, false);
        check(r#"{"a":"\ud800"}"#, false);
        check(&format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200)), false);
        assert!(object(b"{\"a\":\"\xff\"}").is_none());
    }

    #[test]
    fn every_claim_to_an_issuer_is_seen() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(texts_under(text.as_bytes(), "iss"), expected, "{text}");
        };
        check(r#"{"iss":"a","x":{"iss":"c"},"iss":"b","iss":1}"#, &["a", "b"]);
        check(r#"{"\u0069ss":"a"}"#, &["a"]);
        check("{}", &[]);
        check("[1]", &[]);
        check(r#"{"iss":"a""#, &[]);
        check(r#"{"iss":"a"} {}"#, &[]);
    }
}
