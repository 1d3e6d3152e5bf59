//! The JSON Schema: checked in, and in agreement with the examples and the page that describes every key.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::super::hujson;
use super::super::keys::{Object, Shape, Unit, objects};
use super::super::schema::schema;
use super::files;

#[test]
fn the_schema_is_the_checked_in_one() {
    files::checked_in("sluice.schema.json", &schema());
}

/// Problems of a value, by the part of JSON Schema that we write; patterns aside.
fn problems(schema: &Json, root: &Json, value: &Json, at: &str, out: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        problems(target.expect("references lead somewhere"), root, value, at, out);
    }
    if let Some(all) = schema["anyOf"].as_array() {
        let good = all.iter().any(|one| {
            let mut inner = Vec::new();
            problems(one, root, value, at, &mut inner);
            inner.is_empty()
        });
        if !good {
            out.push(format!("{at}: none of several"));
        }
    }
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    if let Some(expected) = schema["type"].as_str()
        && expected != kind
        && (expected, kind) != ("number", "integer")
    {
        out.push(format!("{at}: {kind} instead of {expected}"));
        return;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        out.push(format!("{at}: {value} is none of the words"));
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        out.push(format!("{at}: {value} is not the constant"));
    }
    if let (Some(min), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < min
    {
        out.push(format!("{at}: under the minimum"));
    }
    if let (Some(max), Some(number)) = (schema["maximum"].as_f64(), value.as_f64())
        && number > max
    {
        out.push(format!("{at}: over the maximum"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        problems(&schema["items"], root, item, &format!("{at}[{index}]"), out);
    }
    if let Some(members) = value.as_object() {
        for needed in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(needed.as_str().unwrap()) {
                out.push(format!("{at}: without {needed}"));
            }
        }
        for (key, member) in members {
            let at = format!("{at}.{key}");
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(property), _) => problems(property, root, member, &at, out),
                (None, Json::Bool(false)) => out.push(format!("{at}: unknown")),
                (None, inner) => problems(inner, root, member, &at, out),
            }
        }
    }
}

fn problems_of(text: &str) -> Vec<String> {
    let schema: Json = serde_json::from_str(&schema()).unwrap();
    let node = hujson::parse(text).unwrap().unwrap();
    let value: Json = serde_json::from_str(&node.value.compact()).unwrap();
    let mut out = Vec::new();
    problems(&schema, &schema, &value, "", &mut out);
    out
}

#[test]
fn the_schema_agrees_with_the_examples() {
    for name in ["aperture", "budgets", "laptop", "no-tailnet", "tailnet"] {
        let text = std::fs::read_to_string(files::docs(&format!("examples/{name}.hujson"))).unwrap();
        assert_eq!(problems_of(&text), Vec::<String>::new(), "{name}");
    }
    let check = |text: &str, expected: &[&str]| assert_eq!(problems_of(text), expected, "{text}");
    check("{}", &[": without \"providers\""]);
    check(r#"{"providers": {}, "limit": {}}"#, &[".limit: unknown"]);
    check(
        r#"{"providers": {"p": {"basurl": 1, "baseurl": 5, "weight": -1, "authorization": "basic"}}}"#,
        &[
            ".providers.p: without \"models\"",
            ".providers.p.basurl: unknown",
            ".providers.p.baseurl: integer instead of string",
            ".providers.p.weight: under the minimum",
            ".providers.p.authorization: \"basic\" is none of the words",
        ],
    );
    check(
        r#"{"providers": {}, "limits": {"head_bytes": 1}}"#,
        &[".limits.head_bytes: none of several"],
    );
    check(
        r#"{"providers": {}, "grants": [{"src": ["*"], "capabilities": [{"models": ["a", 1]}]}]}"#,
        &[".grants[0].capabilities[0].models: none of several"],
    );
}

#[test]
fn defaults_are_values_that_their_keys_take() {
    let schema: Json = serde_json::from_str(&schema()).unwrap();
    for object in objects() {
        for key in object.keys.iter().filter(|key| !key.default.is_empty()) {
            let pointer = if object.name == "document" {
                format!("/properties/{}", key.name)
            } else {
                format!("/$defs/{}/properties/{}", object.name, key.name)
            };
            let property = schema.pointer(&pointer).unwrap();
            let mut out = Vec::new();
            problems(property, &schema, &property["default"], "", &mut out);
            assert_eq!(out, Vec::<String>::new(), "{}.{}", object.name, key.name);
        }
    }
    assert_eq!(schema["properties"]["limits"]["default"], json!({}));
}

/// How a page calls a shape.
fn called(shape: &Shape) -> String {
    match shape {
        Shape::Any => "anything".into(),
        Shape::Text => "text".into(),
        Shape::Bool => "true or false".into(),
        Shape::Integer(min, max) if min == max => min.to_string(),
        Shape::Integer(min, i64::MAX) => format!("integer from {min}"),
        Shape::Integer(min, max) => format!("integer, {min} to {max}"),
        Shape::Factor => "number from 0".into(),
        Shape::Duration => "duration or 0".into(),
        Shape::Quantity(Unit::Bytes, min, max) => format!("size, {min} to {max}"),
        Shape::Quantity(Unit::Millis, min, max) => format!("duration, {min} to {max} ms"),
        Shape::Quantity(Unit::Count, min, max) => format!("integer, {min} to {max}"),
        Shape::Word(words) => words
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", "),
        Shape::Pattern(_, example) => format!("text, e.g. `\"{example}\"`"),
        Shape::List(inner) => match inner {
            Shape::Word(_) => format!("array of {}", called(inner)),
            _ => format!("array: {}", called(inner)),
        },
        Shape::OneOrMany(inner) => format!("{}, or an array", called(inner)),
        Shape::Map(inner) => format!("object: name → {}", called(inner)),
        Shape::Object(object) => format!("[{}](#{})", object.name, anchor(object)),
        Shape::AnyOf(shapes) => shapes.iter().map(called).collect::<Vec<_>>().join(" or "),
    }
}

fn anchor(object: &Object) -> String {
    format!("keys-of-{}", object.name.replace('_', "-"))
}

fn reference() -> String {
    let mut out = String::new();
    for object in objects() {
        let _ = write!(
            out,
            "### Keys of {}\n\n{}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n",
            object.name.replace('_', "-"),
            object.about
        );
        for key in object.keys {
            let default = match (key.needed, key.default) {
                (true, _) => "needed".into(),
                (false, "") => "none".into(),
                (false, default) => format!("`{default}`"),
            };
            let about = key
                .about
                .replace('|', "\\|")
                .replace('<', "`<")
                .replace('>', ">`");
            let about = about.replace("->`", "→").replace("*", "\\*");
            let _ = writeln!(
                out,
                "| `{}` | {} | {default} | {about} |",
                key.name,
                called(&key.shape)
            );
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_page_lists_every_key() {
    let page = std::fs::read_to_string(files::docs("CONFIGURATION.md")).unwrap();
    let (begin, end) = ("<!-- keys: written by a test -->\n\n", "<!-- end of keys -->");
    let (before, rest) = page
        .split_once(begin)
        .expect("the page marks where the keys begin");
    let (_, after) = rest.split_once(end).expect("the page marks where the keys end");
    files::checked_in(
        "CONFIGURATION.md",
        &format!("{before}{begin}{}{end}{after}", reference()),
    );
}
