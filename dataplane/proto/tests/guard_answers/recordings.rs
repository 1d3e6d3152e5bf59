//! Recorded answers of real providers, through a guard that finds nothing in them: not a byte may change.
//!
//! The recordings are not part of this repository. They are looked for in `$SLUICE_FIXTURES`, then beside the project in
//! `../shared/fixtures`; without them the tests here say so and pass.

use std::path::PathBuf;

use serde_json::Value;
use sluice_proto::guard::Guards;
use sluice_proto::guard::stream::{AnswerGuard, Step};
use sluice_proto::meter::{Meter, ResponseFacts, meter_named};
use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::{GuardAction, GuardPattern, Guardrail, ToolRule};

use super::{guards, pass, rule};

struct Recording {
    name: String,
    api: String,
    sidecar: Value,
    body: Vec<u8>,
}

fn recordings() -> Vec<Recording> {
    let folder = match std::env::var_os("SLUICE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    };
    let Ok(folders) = std::fs::read_dir(&folder) else {
        eprintln!(
            "SKIPPED: no recordings at {} (set SLUICE_FIXTURES)",
            folder.display()
        );
        return Vec::new();
    };
    let mut all = Vec::new();
    for path in folders
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
    {
        let api = path.file_name().unwrap().to_string_lossy().into_owned();
        for file in std::fs::read_dir(&path)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
        {
            let Ok(body) = std::fs::read(file.with_extension("body")) else {
                continue;
            };
            if file.extension().is_some_and(|extension| extension == "json") {
                let sidecar = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
                let name = format!("{api}/{stem}");
                all.push(Recording {
                    name,
                    api: api.clone(),
                    sidecar,
                    body,
                });
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Recording {
    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.sidecar["response"]["headers"].as_object()?;
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?
            .1
            .as_str()
    }

    fn streams(&self) -> bool {
        self.sidecar["stream"].as_bool().unwrap_or(false)
    }

    /// `None`: it passes no gateway as one answer.
    fn guard(&self, guards: &Guards) -> Option<AnswerGuard> {
        let kind = match self.api.as_str() {
            "openai-audio"
                if self
                    .header("content-type")
                    .is_some_and(|kind| kind.starts_with("audio/")) =>
            {
                return None;
            }
            "ollama-native" => ApiKind::OllamaChat,
            other => ApiKind::parse(&other.replace('-', "_"))?,
        };
        let streams = self.streams() || self.sidecar["framing"] == "ndjson";
        AnswerGuard::new(
            guards.set(&[0]),
            kind,
            self.header("content-type"),
            false,
            streams,
        )
    }

    fn meter(&self) -> Meter {
        let facts = ResponseFacts {
            content_type: self.header("content-type"),
            streaming_expected: self.streams(),
            ..ResponseFacts::default()
        };
        meter_named(&self.api, facts).unwrap()
    }
}

/// A rule that finds nothing in any recording, and waits for something that often seems to begin.
fn harmless() -> Guardrail {
    Guardrail {
        detectors: Vec::new(),
        patterns: vec![GuardPattern {
            name: "never".into(),
            regex: "[a-z]+ [a-z]+ nobody says this".into(),
        }],
        phrases: vec!["the nobody says this either".into()],
        tools: ToolRule {
            deny: vec!["a tool that nobody has".into()],
            ..ToolRule::default()
        },
        ..rule(GuardAction::Block)
    }
}

#[test]
fn what_holds_nothing_passes_byte_for_byte() {
    let guards = guards(&[harmless()]);
    let mut passed = 0;
    for recording in recordings() {
        let body = &recording.body;
        if recording.guard(&guards).is_none() {
            continue;
        }
        let check = |what: &str, pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut guard = recording.guard(&guards).unwrap();
            let pieces: Vec<&[u8]> = pieces.collect();
            let (out, ended) = pass(&mut guard, pieces.into_iter());
            assert_eq!(ended, Step::Go, "{} {what}", recording.name);
            assert!(
                &out == body,
                "{} {what}: {} of {} bytes",
                recording.name,
                out.len(),
                body.len()
            );
            assert_eq!(guard.verdicts(), [], "{}", recording.name);
        };
        check("whole", &mut std::iter::once(body.as_slice()));
        check("in large pieces", &mut body.chunks(1400));
        if body.len() < 20_000 {
            check("in small pieces", &mut body.chunks(7));
            for cut in (0..body.len()).step_by(1 + body.len() / 16) {
                check("cut", &mut [&body[..cut], &body[cut..]].into_iter());
            }
        }
        passed += 1;
    }
    eprintln!("{passed} recordings pass unchanged");
}

#[test]
fn what_is_redacted_is_counted_as_before() {
    // Every word of some letters goes: hardly a text stays as it was.
    let guards = guards(&[Guardrail {
        detectors: Vec::new(),
        patterns: vec![GuardPattern {
            name: "words".into(),
            regex: "(?:[a-z]{3,6} ){2}".into(),
        }],
        replacement: "* ".into(),
        ..rule(GuardAction::Redact)
    }]);
    let mut changed = 0;
    for recording in recordings() {
        let Some(mut guard) = recording.guard(&guards) else {
            continue;
        };
        let (out, ended) = pass(&mut guard, recording.body.chunks(512));
        assert_eq!(ended, Step::Go, "{}", recording.name);
        changed += usize::from(out != recording.body);
        let outcome = |body: &[u8]| {
            let mut meter = recording.meter();
            meter.feed(body);
            let outcome = meter.finish(false);
            (
                outcome.usage,
                outcome.known,
                outcome.model,
                outcome.stop_reason,
                outcome.complete,
                outcome.tool_calls,
                outcome.events,
            )
        };
        assert_eq!(outcome(&out), outcome(&recording.body), "{}", recording.name);
    }
    eprintln!("{changed} recordings are changed");
}
