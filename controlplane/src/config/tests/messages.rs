//! Every message with its place, as a table that a person reads: `messages.txt`, a part of a document a row, below it what is
//! said. `SLUICE_UPDATE=1` writes what is said now.
//!
//! A row is put into a document in which nothing else is worth a message; it begins at line 2, column 1.

use std::collections::HashMap;

use super::super::load;
use super::{files, with};

fn said(part: &str, folder: &std::path::Path) -> Vec<String> {
    let environment = HashMap::from([("KEY".to_owned(), "sk-canary".to_owned())]);
    let (document, report) = load(&with(part), &environment, Some(folder));
    assert_eq!(document.is_some(), report.usable());
    let kinds = [
        ("error", &report.errors),
        ("warning", &report.warnings),
        ("note", &report.notices),
    ];
    let said: Vec<String> = kinds
        .iter()
        .flat_map(|(kind, list)| list.iter().map(move |message| format!("{kind} {message}")))
        .collect();
    assert!(!said.concat().contains("sk-canary"), "{said:?}");
    said
}

#[test]
fn every_message_says_where() {
    let folder = files::folder();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/messages.txt");
    let table = std::fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let (mut rows, mut messages) = (0, std::collections::HashSet::new());
    for line in table.lines() {
        if let Some(part) = line.strip_prefix("> ") {
            rows += 1;
            written.push_str(line);
            written.push('\n');
            for message in said(part, folder.path()) {
                written.push_str(&message);
                written.push('\n');
                messages.insert(
                    message
                        .split_once(": ")
                        .map_or(String::new(), |(_, text)| text.to_owned()),
                );
            }
            written.push('\n');
        } else if line.starts_with('#') {
            written.push_str(line);
            written.push_str("\n\n");
        }
    }
    let written = format!("{}\n", written.trim_end());
    if std::env::var_os("SLUICE_UPDATE").is_some() {
        std::fs::write(&path, &written).unwrap();
    } else {
        assert_eq!(written, table);
    }
    assert!(
        rows >= 60 && messages.len() >= 90,
        "{rows} rows, {} messages",
        messages.len()
    );
}
