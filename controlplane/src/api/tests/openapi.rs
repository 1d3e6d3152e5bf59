//! The description of the API: whole, the same as the one in `docs`, and about the routes that are there.

use std::collections::BTreeSet;

use super::routes::ROUTES;
use super::*;
use crate::api::openapi::{FRAGMENTS, document, documented};

/// `SLUICE_BLESS=1` writes the file anew.
#[test]
fn the_file_in_docs_is_what_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let now = format!("{:#}\n", document());
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == now,
        "docs/openapi.json is not what the gateway serves; write it anew with\n  SLUICE_BLESS=1 cargo test -p sluice-controlplane --lib api::tests::openapi"
    );
}

#[test]
fn fragments_are_json_and_say_everything() {
    for (name, text) in FRAGMENTS {
        let fragment: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fragment["description"].is_string(), "{name} has no description");
        assert!(fragment["paths"].is_object(), "{name} has no paths");
    }
    let mut ids = BTreeSet::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let at = format!("{method} {path}");
            let id = operation["operationId"]
                .as_str()
                .unwrap_or_else(|| panic!("{at} has no operationId"));
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].is_string(), "{at} has no summary");
        }
    }
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let described: BTreeSet<String> = document()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{method} {path}"))
        })
        .collect();
    let routes: BTreeSet<String> = ROUTES
        .iter()
        .filter(|route| !route.path.starts_with("/ui"))
        .map(|route| (route.method.name(), documented(route.path)))
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    assert_eq!(described, routes);
}

/// Every reference leads somewhere.
#[test]
fn references_lead_somewhere() {
    fn walk(value: &Value, seen: &mut u32) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference
                        .strip_prefix('#')
                        .expect("references stay in the document");
                    assert!(document().pointer(pointer).is_some(), "{reference} leads nowhere");
                    *seen += 1;
                }
                members.values().for_each(|value| walk(value, seen));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, seen)),
            _ => {}
        }
    }
    let mut seen = 0;
    walk(document(), &mut seen);
    assert!(seen > 10);
}
