//! What a request asks for: tools, limits, numbers of messages and images, fields.

use std::ops::Range;

use sluice_shared::api::ApiKind;

use super::request::Tally;
use super::text::Text;
use super::tools::{self, Offered};
use super::walk::{Frame, Place, Value, Visitor, walk};
use super::{GuardSet, Rule};
use crate::json::Facts;

pub(super) fn judge(set: &GuardSet, _kind: ApiKind, facts: &Facts, body: &[u8], tally: &mut Tally<'_>) {
    let rules =
        || (0..set.len()).filter_map(|at| Some((at, set.rule(at).filter(|rule| rule.spec().on_requests)?)));
    if !rules().any(|(_, rule)| concerns(rule)) {
        return;
    }
    let paths = |rule: &Rule| {
        let spec = rule.spec();
        spec.require
            .iter()
            .chain(&spec.forbid)
            .cloned()
            .collect::<Vec<_>>()
    };
    let mut seen = Structure {
        tools_wanted: rules().any(|(_, rule)| tools::concerns(&rule.spec().tools)),
        paths: rules()
            .flat_map(|(_, rule)| paths(rule))
            .map(|path| (path, false))
            .collect(),
        opened: (0, 0..0),
        messages: 0,
        images: 0,
        tools: Vec::new(),
        unread: false,
        key: Text::default(),
    };
    walk(body, Place::Api, &mut seen);
    for (index, rule) in rules() {
        let spec = rule.spec();
        if seen.unread && tools::concerns(&spec.tools) {
            tally.whole(index, "tools");
        }
        for tool in &seen.tools {
            let name = tool.name.as_deref().unwrap_or_default();
            let server = tool.server.as_deref();
            if server.is_some_and(|server| !tools::allows_server(&spec.tools, server))
                || !tools::allows(&spec.tools, name)
            {
                tally.whole(index, &format!("tool:{name}"));
            }
        }
        let over = |asked: Option<u64>, cap: Option<u64>| matches!((asked, cap), (Some(asked), Some(cap)) if asked > cap);
        for (what, asked, cap) in [
            ("max_tokens", facts.max_tokens, spec.caps.max_tokens),
            ("messages", Some(seen.messages), spec.caps.messages),
            ("images", Some(seen.images), spec.caps.images),
        ] {
            if over(asked, cap) {
                tally.whole(index, what);
            }
        }
        let has = |path: &String| seen.paths.iter().any(|(known, there)| known == path && *there);
        for path in spec.require.iter().filter(|path| !has(path)) {
            tally.whole(index, &format!("require:{path}"));
        }
        for path in spec.forbid.iter().filter(|path| has(path)) {
            tally.whole(index, &format!("forbid:{path}"));
        }
    }
}

fn concerns(rule: &Rule) -> bool {
    let spec = rule.spec();
    let caps = &spec.caps;
    tools::concerns(&spec.tools)
        || caps.max_tokens.is_some()
        || caps.messages.is_some()
        || caps.images.is_some()
        || !spec.require.is_empty()
        || !spec.forbid.is_empty()
}

struct Structure {
    tools_wanted: bool,
    /// Fields that rules speak of, and whether they are there.
    paths: Vec<(String, bool)>,
    /// Where the last container at the top level began, and its key.
    opened: (usize, Range<usize>),
    messages: u64,
    images: u64,
    tools: Vec<Offered>,
    /// What names tools could not be read.
    unread: bool,
    key: Text,
}

impl Structure {
    /// Notes the field that the innermost of `path` has come to. Elements of lists are looked through: `messages.name` is the name of
    /// any message.
    fn field(&mut self, body: &[u8], path: &[Frame]) {
        if !path.last().is_some_and(|frame| frame.object) {
            return;
        }
        let mut paths = std::mem::take(&mut self.paths);
        for (wanted, there) in &mut paths {
            if *there {
                continue;
            }
            let mut parts = wanted.rsplit('.');
            let mut keys = path.iter().rev().filter(|frame| frame.object);
            *there = loop {
                match (parts.next(), keys.next()) {
                    (None, None) => break true,
                    (Some(part), Some(frame)) if self.is(body, &frame.key, part) => {}
                    _ => break false,
                }
            };
        }
        self.paths = paths;
    }

    fn is(&mut self, body: &[u8], key: &Range<usize>, name: &str) -> bool {
        let raw = body.get(key.clone()).unwrap_or_default();
        if !raw.contains(&b'\\') {
            return raw == name.as_bytes();
        }
        self.key.decode(raw);
        self.key.bytes() == name.as_bytes()
    }

    /// Pictures, as each API says that something is one.
    fn image(&mut self, body: &[u8], path: &[Frame], value: &Value) {
        let Some((frame, outer)) = path.split_last() else {
            return;
        };
        let key = body.get(frame.key.clone()).unwrap_or_default();
        let parent = outer
            .last()
            .map_or(&[][..], |frame| body.get(frame.key.clone()).unwrap_or_default());
        let image = match value {
            Value::String { raw, .. } => {
                let text = body.get(raw.clone()).unwrap_or_default();
                match key {
                    b"type" => matches!(text, b"image" | b"image_url" | b"input_image"),
                    b"mimeType" | b"mime_type" => {
                        matches!(
                            parent,
                            b"inlineData" | b"inline_data" | b"fileData" | b"file_data"
                        ) && text.starts_with(b"image/")
                    }
                    // A list of them, of a message or of the request.
                    b"images" => !frame.object,
                    _ => false,
                }
            }
            Value::Open { object, .. } => *object && key == b"image" && frame.object,
            Value::Number(_) | Value::Word(_) => false,
        };
        // A tool's arguments may say `image`, too.
        if image && frame.place == Place::Api {
            self.images = self.images.saturating_add(1);
        }
    }
}

impl Visitor for Structure {
    fn key(&mut self, _: &[u8], _: &[Frame], _: Range<usize>, _: bool) {}

    fn value(&mut self, body: &[u8], path: &[Frame], value: Value) {
        if let [top, list] = path
            && top.object
            && !list.object
            && matches!(
                body.get(list.key.clone()),
                Some(b"messages" | b"contents" | b"input")
            )
        {
            self.messages = self.messages.saturating_add(1);
        }
        self.image(body, path, &value);
        let null = matches!(&value, Value::Word(range) if body.get(range.clone()) == Some(b"null"));
        if !null {
            self.field(body, path);
        }
        if let Value::Open { at, .. } = value
            && let [top] = path
        {
            self.opened = (at, top.key.clone());
        }
    }

    fn close(&mut self, body: &[u8], path: &[Frame], _: &Frame, end: usize) {
        let [_] = path else {
            return;
        };
        let (opened, key) = self.opened.clone();
        let key = body.get(key).unwrap_or_default();
        let mut text = Text::default();
        text.decode(key);
        let key = text.bytes();
        if !self.tools_wanted || !tools::KEYS.contains(&key) {
            return;
        }
        match serde_json::from_slice(body.get(opened..end).unwrap_or_default()) {
            Ok(value) => self.tools.extend(tools::offered(key, &value)),
            Err(_) => self.unread = true,
        }
    }
}
