//! JSON Schema (2020-12) of the document, written from the tables that the readers use.
//!
//! Editors read it for completion and for descriptions; what decides is `sluice check`. Where the two differ the schema is
//! the wider one: it does not look into globs, addresses and files.

use serde_json::{Map, Value, json};

use super::keys::{DOCUMENT, Object, Shape, Unit, objects};

const DURATION: &str = "^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|μs|ms|s|m|h|d))+)$";
const SIZE: &str = "^[0-9]+ *(B|KiB|MiB|GiB|kB|KB|MB|GB)?$";

/// The schema as text, indented, with a line break at its end.
#[must_use]
pub fn schema() -> String {
    let mut root = Map::new();
    root.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    root.insert("title".into(), "Sluice configuration".into());
    root.extend(object(&DOCUMENT));
    let definitions = objects()
        .iter()
        .filter(|o| !std::ptr::eq(**o, &DOCUMENT))
        .map(|o| (o.name.to_owned(), Value::Object(object(o))))
        .collect::<Map<_, _>>();
    root.insert("$defs".into(), Value::Object(definitions));
    let mut text = format!("{:#}", Value::Object(root));
    text.push('\n');
    text
}

fn object(object: &Object) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("description".into(), object.about.into());
    out.insert("type".into(), "object".into());
    let mut properties = Map::new();
    for key in object.keys {
        let mut property = shape(&key.shape);
        property.insert("description".into(), key.about.into());
        if let Ok(default) = serde_json::from_str::<Value>(key.default) {
            property.insert("default".into(), default);
        }
        properties.insert(key.name.into(), Value::Object(property));
    }
    out.insert("properties".into(), Value::Object(properties));
    let needed: Vec<&str> = object
        .keys
        .iter()
        .filter(|key| key.needed)
        .map(|key| key.name)
        .collect();
    if !needed.is_empty() {
        out.insert("required".into(), needed.into());
    }
    out.insert("additionalProperties".into(), false.into());
    out
}

fn shape(of: &Shape) -> Map<String, Value> {
    let made = match of {
        Shape::Any => json!({}),
        Shape::Text => json!({ "type": "string" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer(min, max) if min == max => json!({ "const": min }),
        Shape::Integer(min, i64::MAX) => json!({ "type": "integer", "minimum": min }),
        Shape::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Factor => json!({ "type": "number", "minimum": 0 }),
        Shape::Duration => json!({ "anyOf": [
            { "type": "string", "pattern": DURATION, "examples": ["5s", "1h30m"] },
            { "const": 0 },
        ] }),
        Shape::Quantity(unit, min, max) => {
            let number = json!({ "type": "integer", "minimum": min, "maximum": max });
            match unit {
                Unit::Count => number,
                Unit::Bytes => json!({ "anyOf": [
                    { "type": "string", "pattern": SIZE, "examples": ["64KiB"] },
                    number,
                ] }),
                Unit::Millis => json!({ "anyOf": [
                    { "type": "string", "pattern": DURATION, "examples": ["10s"] },
                    number,
                ] }),
            }
        }
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Pattern(pattern, example) => {
            json!({ "type": "string", "pattern": pattern, "examples": [example] })
        }
        Shape::List(inner) => json!({ "type": "array", "items": shape(inner) }),
        Shape::OneOrMany(inner) => {
            json!({ "anyOf": [shape(inner), { "type": "array", "items": shape(inner) }] })
        }
        Shape::Map(inner) => json!({ "type": "object", "additionalProperties": shape(inner) }),
        Shape::Object(object) => json!({ "$ref": format!("#/$defs/{}", object.name) }),
        Shape::AnyOf(shapes) => json!({ "anyOf": shapes.iter().map(shape).collect::<Vec<_>>() }),
    };
    match made {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
