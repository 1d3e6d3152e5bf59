//! JSON Schema as far as the description uses it. A word that is not known here is a mistake of the description, so that
//! nothing in it goes unchecked.

use serde_json::{Map, Value, json};

use crate::api::openapi::document;
use crate::api::parameters::parse_time;

/// What is wrong with a value by the schema at a place of the document.
pub(super) fn problems(pointer: &str, value: &Value) -> Vec<String> {
    let schema = at(pointer);
    let mut out = Vec::new();
    judge(schema, value, "", &mut out);
    out
}

fn at(pointer: &str) -> &'static Value {
    document()
        .pointer(pointer)
        .unwrap_or_else(|| panic!("{pointer} is not in the description"))
}

fn referenced(schema: &Value) -> Option<&'static Value> {
    let reference = schema["$ref"].as_str()?;
    Some(at(reference.trim_start_matches('#')))
}

fn judge(schema: &Value, value: &Value, place: &str, out: &mut Vec<String>) {
    let Some(words) = schema.as_object() else {
        if *schema == json!(false) {
            out.push(format!("{place}: is not described"));
        }
        return;
    };
    for (word, rule) in words {
        let wrong = match word.as_str() {
            "$ref" => {
                judge(referenced(schema).unwrap(), value, place, out);
                None
            }
            "allOf" => {
                rule.as_array()
                    .unwrap()
                    .iter()
                    .for_each(|one| judge(one, value, place, out));
                None
            }
            "anyOf" => none_of(rule, value, place),
            "type" => {
                (!types(rule).iter().any(|wanted| is(value, wanted))).then(|| format!("{value} is no {rule}"))
            }
            "enum" => {
                (!rule.as_array().unwrap().contains(value)).then(|| format!("{value} is none of {rule}"))
            }
            "const" => (value != rule).then(|| format!("{value} is not {rule}")),
            "minimum" => number(value)
                .filter(|n| *n < number(rule).unwrap())
                .map(|_| format!("{value} < {rule}")),
            "maximum" => number(value)
                .filter(|n| *n > number(rule).unwrap())
                .map(|_| format!("{value} > {rule}")),
            "multipleOf" => value
                .as_i64()
                .filter(|n| n.checked_rem(rule.as_i64().unwrap()) != Some(0))
                .map(|n| format!("{n} is no multiple of {rule}")),
            "minLength" | "maxLength" => text(value)
                .map(|text| text.chars().count())
                .filter(|length| !within(word, *length, rule))
                .map(|_| format!("{value} has not its length")),
            "minItems" | "maxItems" => value
                .as_array()
                .filter(|items| !within(word, items.len(), rule))
                .map(|_| format!("{word} is {rule}")),
            "pattern" => text(value)
                .filter(|text| !regex::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
                .map(|_| format!("{value} does not match {rule}")),
            "format" => text(value)
                .filter(|text| !formatted(rule.as_str().unwrap(), text))
                .map(|_| format!("{value} is no {rule}")),
            "required" => {
                let members = value.as_object();
                let missing = rule.as_array().unwrap().iter().filter(|name| {
                    members.is_some_and(|members| !members.contains_key(name.as_str().unwrap()))
                });
                let missing: Vec<&Value> = missing.collect();
                (!missing.is_empty()).then(|| format!("{missing:?} are missing"))
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = rule.get(name) {
                        judge(schema, member, &format!("{place}/{name}"), out);
                    }
                }
                None
            }
            "additionalProperties" | "unevaluatedProperties" => {
                let mut known = Map::new();
                members(schema, word == "unevaluatedProperties", &mut known);
                for (name, member) in value.as_object().into_iter().flatten() {
                    if !known.contains_key(name) {
                        judge(rule, member, &format!("{place}/{name}"), out);
                    }
                }
                None
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    judge(rule, item, &format!("{place}/{n}"), out);
                }
                None
            }
            "description" | "title" | "example" | "default" | "contentMediaType" => None,
            _ => panic!("{word:?} in {schema} is not known to the tests"),
        };
        out.extend(wrong.map(|wrong| format!("{place}: {wrong}")));
    }
}

/// Why none of several schemas fits: what the nearest says.
fn none_of(schemas: &Value, value: &Value, place: &str) -> Option<String> {
    let judged = schemas.as_array().unwrap().iter().map(|one| {
        let mut out = Vec::new();
        judge(one, value, place, &mut out);
        out
    });
    let nearest = judged.min_by_key(Vec::len).unwrap();
    (!nearest.is_empty()).then(|| nearest.join("; "))
}

/// Members that a schema speaks of; `deep`: those count as well that stand in what it is put together from.
fn members(schema: &Value, deep: bool, out: &mut Map<String, Value>) {
    out.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    if deep {
        for one in schema["allOf"].as_array().into_iter().flatten() {
            members(one, true, out);
        }
        if let Some(other) = referenced(schema) {
            members(other, true, out);
        }
    }
}

/// Whether a length keeps to the bound whose name begins with `min` or `max`.
fn within(word: &str, length: usize, rule: &Value) -> bool {
    let (length, bound) = (length as u64, rule.as_u64().unwrap());
    if word.starts_with("min") {
        length >= bound
    } else {
        length <= bound
    }
}

fn types(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind:?} is no type"),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn formatted(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.contains('T') && text.ends_with('Z') && parse_time(text).is_some(),
        "uri" => text.contains(':') && !text.contains(char::is_whitespace),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => panic!("{format:?} is not known to the tests"),
    }
}

/// A description that fits everything would say nothing.
#[test]
fn what_is_not_described_is_found() {
    let check = |name: &str, value: Value, expected: usize| {
        let mut group = json!({
            "key": "k", "requests": 1, "errors": 0, "unknown": 0, "unpriced": 0, "input": 0, "input_uncached": 0,
            "cached_read": 0, "cache_write": 0, "output": 0, "reasoning": 0, "cost_nanousd": 0,
        });
        if value == json!("missing") {
            group.as_object_mut().unwrap().shift_remove(name);
        } else {
            group[name] = value;
        }
        let found = problems("/components/schemas/UsageGroup", &group);
        assert_eq!(found.len(), expected, "{name}: {found:?}");
    };
    check("key", json!("k"), 0);
    check("key", json!("missing"), 1);
    check("requests", json!("missing"), 1);
    check("new", json!(1), 1);
    check("requests", json!("1"), 1);
    check("requests", json!(-1), 1);
    check("requests", json!(1.5), 1);
    check("requests", json!(null), 1);
    let check = |schema: &str, value: Value, fits: bool| {
        let found = problems(&format!("/components/schemas/{schema}"), &value);
        assert_eq!(found.is_empty(), fits, "{schema} {value}: {found:?}");
    };
    check("Time", json!("2026-11-22T10:00:00.000000Z"), true);
    check("Time", json!("2026-11-22T10:00:00+01:00"), false);
    check("Time", json!("yesterday"), false);
    check("Time", json!(null), false);
    check("MaybeTime", json!(null), true);
    check("RequestId", json!("00000000000000000000000000000001"), true);
    check("RequestId", json!("0000000000000000000000000000000G"), false);
    check("SessionSource", json!("header"), true);
    check("SessionSource", json!("footer"), false);
    check("HealthForUsers", json!({"status": "ok", "epoch": 1}), true);
    check(
        "HealthForUsers",
        json!({"status": "ok", "epoch": 1, "uptime_s": 1}),
        false,
    );
}
