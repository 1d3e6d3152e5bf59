//! False positives: all detectors over the texts of recorded traffic, in which nobody said a secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_proto::guard::GuardSet;
use sluice_proto::transcript::reassemble;
use sluice_shared::api::ApiKind;

use crate::{rule, set};

/// Findings in the recordings' texts, checked in: more means that a detector has become careless. What they are stands in
/// `docs/GUARDRAILS.md`.
const FINDINGS_MAX: usize = 10;

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("SLUICE_FIXTURES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    named.into_iter().chain([beside]).find(|folder| folder.is_dir())
}

#[test]
fn recorded_texts_hold_next_to_nothing() {
    let Some(folder) = folder() else {
        eprintln!("skipped: no recordings at ../shared/fixtures or $SLUICE_FIXTURES");
        return;
    };
    let set = set(rule(&["all"]));
    let mut found = Findings::default();
    for api in std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        for file in std::fs::read_dir(api.path()).unwrap().flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let sidecar: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            found.texts(&set, &sidecar["request"]["body"]);
            let kind = ApiKind::parse(sidecar["api"].as_str().unwrap_or_default());
            let body = std::fs::read(path.with_extension("body")).unwrap();
            let media = sidecar["response"]["headers"]["content-type"].as_str();
            let answer = kind.and_then(|kind| reassemble(kind, media, &body).answer);
            found.texts(&set, &answer.unwrap_or_default());
        }
    }
    assert!(
        found.bytes > 1 << 20,
        "the recordings were read: {} bytes",
        found.bytes
    );
    println!(
        "{} texts, {} bytes: {} findings {:?}",
        found.texts,
        found.bytes,
        found.total(),
        found.by_detector
    );
    for example in &found.examples {
        println!("{example}");
    }
    assert!(found.total() <= FINDINGS_MAX);
}

#[derive(Default)]
struct Findings {
    texts: usize,
    bytes: usize,
    by_detector: BTreeMap<String, usize>,
    examples: Vec<String>,
}

impl Findings {
    fn total(&self) -> usize {
        self.by_detector.values().sum()
    }

    fn texts(&mut self, set: &GuardSet, value: &Value) {
        match value {
            Value::String(text) => {
                self.texts += 1;
                self.bytes += text.len();
                for (name, text) in crate::found(set, text) {
                    *self.by_detector.entry(name.clone()).or_default() += 1;
                    let example = format!("{name}: {text:?}");
                    if !self.examples.contains(&example) && self.examples.len() < 200 {
                        self.examples.push(example);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.texts(set, value)),
            Value::Object(fields) => fields.values().for_each(|value| self.texts(set, value)),
            _ => {}
        }
    }
}
