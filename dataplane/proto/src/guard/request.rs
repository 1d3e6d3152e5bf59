//! A rule set's judgement on the body of a request.
//!
//! Every string value is decoded and looked through, whatever it is for, with these exceptions, which would break the call
//! when edited or cannot be read:
//!
//! - where the API gives keys their meaning (not in arguments, results and schemas of tools, nor in metadata): ids, signatures of
//!   thoughts, encrypted content, the model, types and roles ([`protected`]);
//! - files in base64: strings of 256 bytes or more of nothing else, also behind `data:…;base64,` ([`super::base64ish`]), and
//!   shorter ones that are the value of `data`.
//!
//! Strings called `arguments` that hold JSON are walked as JSON: what the tool will read is what is looked at. Keys and numbers
//! are looked at where they are the client's own; a number that is found gives way to a string, a key cannot be redacted and
//! is treated as what breaks a cap.

use std::ops::Range;

use bytes::Bytes;
use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Action, Judge, VERDICTS_MAX, Verdict};

use super::engine::{Engine, Found};
use super::text::{Text, whole_characters};
use super::walk::{Frame, Place, Value, Visitor, walk};
use super::{Blocked, GuardSet, RequestVerdict, base64ish, structure};
use crate::json::Facts;
use crate::splice::{Edit, write_json_string};

/// No detector finds anything in a shorter text.
const TEXT_BYTES_MIN: usize = 6;
/// Digits of the shortest number that a detector finds.
const NUMBER_BYTES_MIN: usize = 9;
/// Longest description of a finding in a verdict, in bytes.
const WHAT_BYTES_MAX: usize = 128;

pub(super) fn judge(set: &GuardSet, kind: ApiKind, facts: &Facts, body: &[u8]) -> RequestVerdict {
    let mut tally = Tally::new(set);
    let form = body.starts_with(b"--");
    let mut edits = Vec::new();
    if let Some(engine) = set.requests() {
        let mut texts = Texts::new(engine, &mut tally);
        if form {
            texts.form(body);
        } else {
            walk(body, Place::Api, &mut texts);
        }
        edits = texts.edits;
    }
    if !form {
        structure::judge(set, kind, facts, body, &mut tally);
    }
    tally.verdict(edits)
}

/// What rules found, counted.
pub(super) struct Tally<'a> {
    set: &'a GuardSet,
    counts: Vec<Count>,
}

struct Count {
    rule: usize,
    what: String,
    action: Action,
    count: u32,
}

impl<'a> Tally<'a> {
    pub(super) const fn new(set: &'a GuardSet) -> Self {
        Self {
            set,
            counts: Vec::new(),
        }
    }

    fn count(&mut self, rule: usize, what: &str, action: Action) {
        let known = |count: &&mut Count| count.rule == rule && count.action == action && count.what == what;
        if let Some(known) = self.counts.iter_mut().find(known) {
            known.count = known.count.saturating_add(1);
            return;
        }
        let mut end = what.len().min(WHAT_BYTES_MAX);
        while !what.is_char_boundary(end) {
            end -= 1;
        }
        if self.counts.len() < VERDICTS_MAX {
            self.counts.push(Count {
                rule,
                what: what.get(..end).unwrap_or_default().to_owned(),
                action,
                count: 1,
            });
        } else if let Some(last) = self
            .counts
            .iter_mut()
            .rev()
            .find(|count| count.rule == rule && count.action == action)
        {
            last.count = last.count.saturating_add(1);
        } else if action == Action::Block
            && let Some(last) = self.counts.last_mut()
        {
            // A refusal must not go unsaid.
            *last = Count {
                rule,
                what: what.get(..end).unwrap_or_default().to_owned(),
                action,
                count: 1,
            };
        }
    }

    /// Something that cannot be redacted.
    pub(super) fn whole(&mut self, rule: usize, what: &str) {
        if let Some(spec) = self.set.rule(rule) {
            self.count(rule, what, spec.action_whole());
        }
    }

    fn verdict(self, edits: Vec<Redaction>) -> RequestVerdict {
        let Self { set, mut counts } = self;
        counts.sort_by_key(|count| count.rule);
        let verdicts = counts.iter().filter_map(|count| {
            let rule = set.rule(count.rule)?;
            Some(Verdict {
                judge: Judge::Guardrail,
                name: rule.spec().name.clone(),
                action: count.action,
                shadow: rule.shadow(),
                on_answer: false,
                what: count.what.clone(),
                count: count.count,
                took_us: 0,
            })
        });
        let blocked = counts.iter().find_map(|count| {
            let rule = set.rule(count.rule)?;
            (count.action == Action::Block && !rule.shadow()).then(|| Blocked {
                rule: rule.spec().name.clone(),
                message: rule.message(),
            })
        });
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let edits = merged(edits).into_iter().map(|edit| Edit {
            at: wide(edit.range.start)..wide(edit.range.end),
            with: Bytes::from(edit.with),
        });
        RequestVerdict {
            edits: edits.collect(),
            verdicts: verdicts.collect(),
            blocked,
        }
    }
}

/// Raw bytes and what takes their place.
#[derive(Clone, Debug)]
struct Redaction {
    range: Range<usize>,
    with: Vec<u8>,
}

/// Unites redactions of several rules that overlap; the first gives the replacement.
fn merged(mut edits: Vec<Redaction>) -> Vec<Redaction> {
    edits.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end)));
    let mut out: Vec<Redaction> = Vec::with_capacity(edits.len());
    for edit in edits {
        match out.last_mut() {
            Some(last) if edit.range.start < last.range.end => {
                last.range.end = last.range.end.max(edit.range.end);
            }
            _ => out.push(edit),
        }
    }
    out
}

/// Looks through the texts that go by.
struct Texts<'a, 'b> {
    engine: &'a Engine,
    tally: &'a mut Tally<'b>,
    edits: Vec<Redaction>,
    text: Text,
    name: Text,
    found: Vec<Found>,
}

impl<'a, 'b> Texts<'a, 'b> {
    fn new(engine: &'a Engine, tally: &'a mut Tally<'b>) -> Self {
        Self {
            engine,
            tally,
            edits: Vec::new(),
            text: Text::default(),
            name: Text::default(),
            found: Vec::new(),
        }
    }

    /// Counts what was found and redacts it; `raw` says where a part of the text stands in the body.
    fn redact(
        &mut self,
        text: &[u8],
        raw: impl Fn(&Range<usize>) -> Range<usize>,
        written: impl Fn(&str) -> Vec<u8>,
    ) {
        let mut found = std::mem::take(&mut self.found);
        for found in found.drain(..) {
            let Some(rule) = self.tally.set.rule(found.rule) else {
                continue;
            };
            self.tally
                .count(found.rule, rule.what(found.detector), rule.action());
            if rule.action() != Action::Log && !rule.shadow() {
                self.edits.push(Redaction {
                    range: raw(&whole_characters(text, &found.range)),
                    with: written(&rule.replacement(found.detector)),
                });
            }
        }
        self.found = found;
    }

    fn string(&mut self, body: &[u8], frame: &Frame, raw: Range<usize>, escaped: bool) {
        let key = body.get(frame.key.clone()).unwrap_or_default();
        let bytes = body.get(raw.clone()).unwrap_or_default();
        if bytes.len() < self.engine.shortest(TEXT_BYTES_MIN)
            || frame.place == Place::Api && protected(key, bytes)
        {
            return;
        }
        if base64ish::file(bytes) {
            return;
        }
        if !escaped {
            self.engine.scan_value(key, bytes, &mut self.found);
            if !self.found.is_empty() {
                self.redact(
                    bytes,
                    |part| raw.start + part.start..raw.start + part.end,
                    escaped_json,
                );
            }
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        text.decode(bytes);
        let decoded = text.bytes();
        if key == b"arguments" && is_document(decoded) {
            let mut inner = Texts::new(self.engine, self.tally);
            walk(decoded, Place::Free, &mut inner);
            for edit in inner.edits {
                let part = text.raw(&edit.range);
                self.edits.push(Redaction {
                    range: raw.start + part.start..raw.start + part.end,
                    with: escaped_json(&String::from_utf8_lossy(&edit.with)),
                });
            }
        } else {
            self.engine.scan_value(key, decoded, &mut self.found);
            if !self.found.is_empty() {
                let place = |part: &Range<usize>| {
                    let part = text.raw(part);
                    raw.start + part.start..raw.start + part.end
                };
                self.redact(decoded, place, escaped_json);
            }
        }
        self.text = text;
    }

    /// A form: its fields are looked at, its files are not.
    fn form(&mut self, body: &[u8]) {
        let line = memchr::memmem::find(body, b"\r\n").unwrap_or(body.len());
        let mut delimiter = b"\r\n".to_vec();
        delimiter.extend_from_slice(body.get(..line).unwrap_or_default());
        let finder = memchr::memmem::Finder::new(&delimiter);
        let mut at = line + 2;
        while let Some(rest) = body.get(at..) {
            let end = finder.find(rest).unwrap_or(rest.len());
            let part = rest.get(..end).unwrap_or_default();
            if let Some(head) = memchr::memmem::find(part, b"\r\n\r\n") {
                let (head, text) = (
                    part.get(..head).unwrap_or_default(),
                    part.get(head + 4..).unwrap_or_default(),
                );
                let file = head
                    .to_ascii_lowercase()
                    .windows(8)
                    .any(|window| window == b"filename");
                if !file {
                    let start = at + end - text.len();
                    self.engine.scan_value(field(head), text, &mut self.found);
                    self.redact(
                        text,
                        |part| start + part.start..start + part.end,
                        |with| with.replace(['\r', '\n'], " ").into_bytes(),
                    );
                }
            }
            at += end + delimiter.len();
            at += 2;
        }
    }
}

/// Name of a form's field.
fn field(head: &[u8]) -> &[u8] {
    let begin = memchr::memmem::find(head, b"name=\"").map_or(head.len(), |at| at + 6);
    let name = head.get(begin..).unwrap_or_default();
    let end = memchr::memchr(b'"', name).unwrap_or(name.len());
    name.get(..end).unwrap_or_default()
}

fn is_document(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// A text as it stands between the quotes of a JSON string.
fn escaped_json(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_string(text, &mut out);
    out.pop();
    if !out.is_empty() {
        out.remove(0);
    }
    out
}

/// Strings that the API gave out and wants back as they were, or that say what something is.
fn protected(key: &[u8], value: &[u8]) -> bool {
    match key {
        b"id"
        | b"tool_use_id"
        | b"tool_call_id"
        | b"toolUseId"
        | b"call_id"
        | b"item_id"
        | b"response_id"
        | b"previous_response_id"
        | b"file_id"
        | b"signature"
        | b"thoughtSignature"
        | b"thought_signature"
        | b"encrypted_content"
        | b"encrypted_index"
        | b"redactedContent"
        | b"model"
        | b"type"
        | b"role"
        | b"media_type"
        | b"mime_type"
        | b"mimeType" => true,
        // Files, sounds, and thoughts that the provider hides.
        b"data" | b"bytes" | b"b64_json" => {
            value.len() >= 64
                && value
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte))
        }
        _ => false,
    }
}

impl Visitor for Texts<'_, '_> {
    fn key(&mut self, body: &[u8], path: &[Frame], raw: Range<usize>, escaped: bool) {
        let bytes = body.get(raw).unwrap_or_default();
        let own = path.last().is_some_and(|frame| frame.place == Place::Free);
        let name = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        if bytes.len() < self.engine.shortest(TEXT_BYTES_MIN) || !own && bytes.iter().all(name) {
            return;
        }
        let mut text = std::mem::take(&mut self.name);
        if escaped {
            text.decode(bytes);
            self.engine.scan_value(b"", text.bytes(), &mut self.found);
        } else {
            self.engine.scan_value(b"", bytes, &mut self.found);
        }
        self.name = text;
        for found in self.found.drain(..) {
            if let Some(rule) = self.tally.set.rule(found.rule) {
                self.tally.whole(found.rule, rule.what(found.detector));
            }
        }
    }

    fn value(&mut self, body: &[u8], path: &[Frame], value: Value) {
        let Some(frame) = path.last() else {
            return;
        };
        match value {
            Value::String { raw, escaped } => self.string(body, frame, raw, escaped),
            Value::Number(range) if frame.place == Place::Free && range.len() >= NUMBER_BYTES_MIN => {
                let digits = body.get(range.clone()).unwrap_or_default();
                let key = body.get(frame.key.clone()).unwrap_or_default();
                self.engine.scan_value(key, digits, &mut self.found);
                if !self.found.is_empty() {
                    self.redact(
                        digits,
                        |_| range.clone(),
                        |with| {
                            let mut out = Vec::new();
                            write_json_string(with, &mut out);
                            out
                        },
                    );
                }
            }
            Value::Number(_) | Value::Word(_) | Value::Open { .. } => {}
        }
    }
}
