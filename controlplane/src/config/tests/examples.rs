//! The example documents: the good ones are good and hold every key, the broken ones say what is written beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::hujson::{self, Node, Value};
use super::super::keys::{self, Key, Object, Shape};
use super::super::{check_in, load};
use super::files;

const GOOD: [&str; 6] = ["aperture", "audit", "budgets", "laptop", "no-tailnet", "tailnet"];

fn read(path: &str) -> String {
    std::fs::read_to_string(files::docs(path)).unwrap()
}

#[test]
fn good_examples_are_good() {
    let folder = files::folder();
    let mut said = String::new();
    for name in GOOD {
        let text = read(&format!("examples/{name}.hujson"));
        let (document, report) = load(&text, &files::environment(), Some(folder.path()));
        assert!(document.is_some(), "{name}: {:?}", report.errors);
        for line in report.lines(&format!("{name}.hujson")) {
            let _ = writeln!(said, "{line}");
        }
    }
    files::checked_in("examples/expected.txt", &said);
    // What they may be warned of is meant to be seen there.
    assert_eq!(
        said.lines().filter(|line| line.starts_with("warning: ")).count(),
        2,
        "{said}"
    );
}

#[test]
fn broken_examples_say_what_is_wrong() {
    let folder = files::docs("examples/broken");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".hujson"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 23);
    let mut said = String::new();
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let report = check_in(&text, &std::collections::HashMap::new(), &folder);
        assert!(!report.clean(), "{name}");
        for line in report.lines(name) {
            let _ = writeln!(said, "{line}");
        }
    }
    files::checked_in("examples/broken/expected.txt", &said);
}

/// Keys that a document uses, by object.
fn used(node: &Node, shape: &'static Shape, out: &mut BTreeMap<&'static str, BTreeSet<String>>) {
    match (shape, &node.value) {
        (Shape::Object(object), Value::Object(_)) => used_in(node, object, out),
        (Shape::Map(inner), Value::Object(members)) => {
            members.iter().for_each(|member| used(&member.node, inner, out));
        }
        (Shape::List(inner) | Shape::OneOrMany(inner), Value::Array(items)) => {
            items.iter().for_each(|item| used(item, inner, out));
        }
        (Shape::AnyOf(shapes), _) => shapes.iter().for_each(|shape| used(node, shape, out)),
        _ => {}
    }
}

fn used_in(node: &Node, object: &'static Object, out: &mut BTreeMap<&'static str, BTreeSet<String>>) {
    let Value::Object(members) = &node.value else {
        return;
    };
    for member in members {
        out.entry(object.name).or_default().insert(member.key.clone());
        if let Some(key) = object.key(&member.key) {
            // Aperture's spelling of capabilities stands below a key that is not in a table.
            if key.name == "app"
                && let Value::Object(apps) = &member.node.value
            {
                static LIST: Shape = Shape::List(&Shape::Object(&keys::CAPABILITY));
                for app in apps.iter().filter(|app| app.key == keys::CAPABILITY_KEY) {
                    used(&app.node, &LIST, out);
                }
            }
            used(&member.node, &key.shape, out);
        }
    }
}

#[test]
fn every_key_stands_in_an_example() {
    let mut found = BTreeMap::new();
    for name in GOOD {
        let root = hujson::parse(&read(&format!("examples/{name}.hujson")))
            .unwrap()
            .unwrap();
        used_in(&root, &keys::DOCUMENT, &mut found);
    }
    for object in keys::objects() {
        let empty = BTreeSet::new();
        let used = found.get(object.name).unwrap_or(&empty);
        for Key { name, .. } in object.keys {
            assert!(
                used.contains(*name),
                "{}.{name} stands in no example",
                object.name
            );
        }
    }
}

#[test]
fn a_changed_file_alone_makes_another_document() {
    let folder = files::folder();
    let text = read("examples/no-tailnet.hujson");
    let document = || load(&text, &files::environment(), Some(folder.path())).0.unwrap();
    let before = document();
    let names: Vec<String> = before
        .files
        .iter()
        .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "keys/openai",
            "tls/ca.pem",
            "tls/cert.pem",
            "tls/crl.pem",
            "tls/key.pem"
        ]
    );
    assert_eq!(before, document());
    std::fs::write(folder.path().join("keys/openai"), "sk-rotated").unwrap();
    let after = document();
    assert_ne!(before, after);
    assert_eq!(after.providers[0].key.0, "sk-rotated");
    // A file that is missing is watched, too: the document gets usable when it appears.
    std::fs::remove_file(folder.path().join("keys/openai")).unwrap();
    let (none, report) = load(&text, &files::environment(), Some(folder.path()));
    assert!(none.is_none() && report.files.contains(&folder.path().join("keys/openai")));
}
