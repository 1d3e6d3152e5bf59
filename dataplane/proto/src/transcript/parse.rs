//! JSON to [`Value`]s with a bound on their number: in a hostile document every second byte can be a value, and a value
//! takes forty times the room. Depth is bounded by serde_json, at 128.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values that may still be read.
pub(super) struct Budget {
    left: u32,
    exceeded: bool,
}

impl Budget {
    pub(super) const fn new(values_max: u32) -> Self {
        Self {
            left: values_max,
            exceeded: false,
        }
    }

    /// Whether something was left unread, for want of budget or otherwise.
    pub(super) const fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// Notes that something was left unread for another reason.
    pub(super) const fn overlook(&mut self) {
        self.exceeded = true;
    }

    /// Values that may still be read.
    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    /// Reads one document; `None` where it is not JSON or too much.
    pub(super) fn parse(&mut self, json: &[u8]) -> Option<Value> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let value = One(self).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(value)
    }

    fn take<E: Error>(&mut self) -> Result<(), E> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.exceeded = true;
                Err(E::custom("too many values"))
            }
        }
    }
}

struct One<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(One(&mut *self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(One(&mut *self.0))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_reads_until_the_budget_is_spent() {
        let json = r#"{"a":[1,-2,3.5,"x",null,true],"b":{"é":"\u00e9\ud83d\ude00"},"a":{}}"#;
        let expected: Value = serde_json::from_str(json).unwrap();
        let mut budget = Budget::new(100);
        assert_eq!(budget.parse(json.as_bytes()), Some(expected));
        assert_eq!(budget.left(), 100 - 11);

        let mut budget = Budget::new(3);
        assert_eq!(budget.parse(b"[1,2]"), Some(serde_json::json!([1, 2])));
        assert!(!budget.exceeded());
        assert_eq!(budget.parse(b"[1,2]"), None);
        assert!(budget.exceeded());
    }

    #[test]
    fn no_document_no_value() {
        for bad in ["", "{", "[1,]", "{} {}", "\"\u{1}\"", "nul"] {
            assert_eq!(Budget::new(100).parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Budget::new(100).parse(b"\"\xff\""), None);
        assert_eq!(Budget::new(1000).parse("[".repeat(500).as_bytes()), None);
    }
}
