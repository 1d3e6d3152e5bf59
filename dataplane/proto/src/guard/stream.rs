//! Guarding answers: what a model says is looked at while it passes, whatever pieces it comes in.
//!
//! ```text
//! body ─ cut into units (events, messages, lines, the whole) ─ strings of each unit ─ lanes ─ judged ─ handed on
//!          cut                                                  tape, place           lane            unit
//! ```
//!
//! - A *lane* is a text that goes on from event to event: the content of a choice, a block, the arguments of a tool call.
//!   It is matched on what it says, escapes decoded, across events. Every other string is matched by itself.
//! - An event is *held* while text of it may be the beginning of something that is looked for, and everything behind it
//!   with it, so that the order stays. It is released when that is decided, when more text is held than the rules allow,
//!   when the time is up ([`AnswerGuard::deadline_ms`]), or when its text ends.
//! - What is redacted is replaced in the first string that says of it and taken out of the others. No other byte changes.
//! - What cannot be read passes no rule that could redact or block: the answer ends there ([`Step::Unreadable`]).
//!
//! Rules that only note what they find (and all in shadow mode) hold nothing back: the bytes pass as they come.
//!
//! Bounds: a unit of [`UNIT_BYTES_MAX`], [`HELD_BYTES_MAX`] of units that wait, [`LANES_MAX`] lanes of which each keeps
//! what it holds and some hundred bytes.

mod cut;
mod inner;
mod lane;
mod place;
mod rules;
mod tape;
mod text;
mod unit;

use std::collections::{HashMap, VecDeque};

use sluice_shared::api::{ApiKind, Flag};
use sluice_shared::usage::Verdict;

use super::GuardSet;
use crate::error_body::StreamFraming;
use cut::{Cutter, Framing, Uncut};
use lane::{Lane, Said, Work};
use place::{Ends, Event, Form, Found, LaneKey};
use rules::{Act, Rules};
use tape::{Tape, wide};
use unit::Unit;

pub use cut::UNIT_BYTES_MAX;

/// Most bytes of units that wait; 4 MiB. Beyond, an answer that must not pass unseen ends.
pub const HELD_BYTES_MAX: usize = 4 << 20;

/// Most texts that go on at the same time. With more, those before are judged as they stand.
pub const LANES_MAX: usize = 256;

/// Tools of which a verdict is remembered.
const TOOLS_MAX: usize = 64;

/// How an answer goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// What may pass has been handed on.
    Go,
    /// A rule blocks it. What was handed on with this may still be sent, and nothing else.
    Blocked {
        /// What the client reads.
        message: String,
    },
    /// It cannot be read, and rules want it read. As before.
    Unreadable {
        /// Why.
        why: &'static str,
    },
}

enum Mode {
    /// Nothing but white space has come.
    Undecided(Vec<u8>),
    Cut(Cutter),
    /// It passes unread.
    Pass,
    /// It has ended.
    Over,
}

/// Looks at one answer. See the module.
pub struct AnswerGuard {
    rules: Rules,
    kind: ApiKind,
    media: Media,
    streaming_expected: bool,
    acts: bool,
    mode: Mode,
    units: VecDeque<Unit>,
    /// Number of the first of them.
    base: u64,
    units_bytes: usize,
    lanes: HashMap<LaneKey, Lane>,
    once: Lane,
    tape: Tape,
    found: Found,
    work: Work,
    said: Vec<u8>,
    counts: Vec<Count>,
    tools: Vec<(usize, String)>,
    unread: Option<&'static str>,
    /// Rule, and the first unit that must not be handed on.
    blocked: Option<(usize, u64)>,
    /// Whole documents of an array have been handed on.
    begun: bool,
}

/// How often a rule's detector has found something.
struct Count {
    rule: usize,
    what: u16,
    count: u32,
}

/// What the headers say of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Sse,
    Messages,
    Lines,
    Json,
    Text,
    /// It may be JSON that calls itself bytes.
    Bytes,
    Opaque,
}

impl Media {
    fn of(content_type: Option<&str>) -> Self {
        let media = content_type.unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        let media = media.to_ascii_lowercase();
        match media.as_str() {
            "text/event-stream" => Self::Sse,
            "application/vnd.amazon.eventstream" => Self::Messages,
            "application/x-ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/x-jsonl" => Self::Lines,
            "" | "application/json" | "text/json" => Self::Json,
            "application/octet-stream" => Self::Bytes,
            other if other.ends_with("+json") => Self::Json,
            other if other.starts_with("text/") => Self::Text,
            _ => Self::Opaque,
        }
    }
}

impl std::fmt::Debug for AnswerGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerGuard")
            .field("kind", &self.kind)
            .field("units", &self.units.len())
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}

impl AnswerGuard {
    /// A guard for the answer to a call, or `None` where no rule looks at answers. `encoded`: the provider has compressed it.
    /// Answers of every status are looked at: what a provider says of an error may repeat the request.
    #[must_use]
    pub fn new(
        set: GuardSet,
        kind: ApiKind,
        content_type: Option<&str>,
        encoded: bool,
        streaming_expected: bool,
    ) -> Option<Self> {
        if !set.guards_answers() {
            return None;
        }
        let rules = Rules::new(set);
        let media = Media::of(content_type);
        let acts = rules.acts();
        let mut guard = Self {
            rules,
            kind,
            media,
            streaming_expected,
            acts,
            mode: Mode::Undecided(Vec::new()),
            units: VecDeque::new(),
            base: 0,
            units_bytes: 0,
            lanes: HashMap::new(),
            once: Lane::default(),
            tape: Tape::default(),
            found: Found::default(),
            work: Work::default(),
            said: Vec::new(),
            counts: Vec::new(),
            tools: Vec::new(),
            unread: None,
            blocked: None,
            begun: false,
        };
        if encoded {
            guard.unreadable("it is compressed");
        } else if media == Media::Opaque {
            guard.unreadable("its type is not one that can be read");
        }
        Some(guard)
    }

    /// Why the answer cannot pass, if that is known before its body.
    #[must_use]
    pub fn refused(&self) -> Option<&'static str> {
        self.unread.filter(|_| self.acts)
    }

    /// Whether bytes may change, or the answer may end before its end: its length cannot be announced.
    #[must_use]
    pub const fn acts(&self) -> bool {
        self.acts
    }

    /// Whether the head of the answer may be sent; until then another answer can take its place.
    #[must_use]
    pub fn lets_head_pass(&self) -> bool {
        match &self.mode {
            _ if !self.acts => true,
            _ if self.unread.is_some() => false,
            Mode::Undecided(_) => matches!(self.media, Media::Sse | Media::Messages | Media::Lines),
            Mode::Cut(cutter) => cutter.framing() != Framing::Document || self.media == Media::Sse,
            Mode::Pass | Mode::Over => true,
        }
    }

    /// How the stream is divided, for an event that ends it.
    #[must_use]
    pub fn framing(&self) -> StreamFraming {
        match &self.mode {
            Mode::Cut(cutter) => match cutter.framing() {
                Framing::Sse => StreamFraming::Sse,
                Framing::Messages => StreamFraming::EventStream,
                Framing::Lines | Framing::Row => StreamFraming::Ndjson,
                Framing::Array => StreamFraming::JsonArray,
                Framing::Document | Framing::Text => StreamFraming::Opaque,
            },
            _ => StreamFraming::Opaque,
        }
    }

    /// Whether anything of the body has been handed on.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.mode {
            Mode::Undecided(head) => head.len(),
            Mode::Cut(cutter) => cutter.held().saturating_add(self.units_bytes),
            Mode::Pass | Mode::Over => 0,
        }
    }

    /// When what is held must be judged as it stands ([`Self::expire`]); in the milliseconds that [`Self::feed`] is given.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let first = self.units.front()?;
        Some(first.since_ms.saturating_add(self.rules.hold_ms()))
    }

    /// Takes the next piece of the body and appends what may be sent.
    pub fn feed(&mut self, body: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Step {
        if !self.acts {
            out.extend_from_slice(body);
            // What is noted aside goes nowhere.
            let mut aside = Vec::new();
            let _ = self.take(body, now_ms, &mut aside);
            return Step::Go;
        }
        self.take(body, now_ms, out)
    }

    fn take(&mut self, body: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Step {
        let before = out.len();
        let joined;
        let mut body = body;
        if let Mode::Undecided(head) = &mut self.mode {
            if body.is_empty() {
                return self.refuse();
            }
            if !head.is_empty() {
                head.extend_from_slice(body);
                joined = std::mem::take(head);
                body = &joined;
            }
            let Some(first) = first_significant(body) else {
                *head = body.to_vec();
                if head.len() > UNIT_BYTES_MAX {
                    self.unreadable("it is too long");
                }
                return self.refuse();
            };
            match self.choose(first) {
                Some(framing) => self.mode = Mode::Cut(Cutter::new(framing)),
                None => self.unreadable("its type is not one that can be read"),
            }
        }
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Cut(mut cutter) => {
                let framing = cutter.framing();
                let cut = cutter.feed(body, |unit| self.unit(unit, framing, now_ms));
                // A unit may have ended it.
                if self.unread.is_none() {
                    self.mode = Mode::Cut(cutter);
                }
                match cut {
                    Ok(()) => {}
                    Err(Uncut::TooLong) => self.unreadable("a part of it is too long"),
                    Err(Uncut::Damaged) => self.unreadable("it is no event stream"),
                }
            }
            Mode::Pass => {
                self.mode = Mode::Pass;
                out.extend_from_slice(body);
            }
            other => self.mode = other,
        }
        self.release(out);
        if self.units_bytes > HELD_BYTES_MAX && self.unread.is_none() {
            self.unreadable("too much of it is undecided");
        }
        self.begun |= out.len() > before;
        self.step()
    }

    /// Judges what is held as it stands and appends it. To be called when [`Self::deadline_ms`] has passed, and when the
    /// provider has broken off.
    pub fn expire(&mut self, out: &mut Vec<u8>) -> Step {
        let before = out.len();
        self.end_lanes(Ends::All);
        self.release(out);
        self.begun |= out.len() > before;
        self.step()
    }

    /// Ends the body and appends what is left of it.
    pub fn finish(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Step {
        if !self.acts {
            let mut aside = Vec::new();
            let _ = self.end(now_ms, &mut aside);
            return Step::Go;
        }
        self.end(now_ms, out)
    }

    fn end(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Step {
        match std::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Undecided(head) => out.extend_from_slice(&head),
            Mode::Cut(mut cutter) => {
                let framing = cutter.framing();
                cutter.finish(|unit| self.unit(unit, framing, now_ms));
                self.mode = Mode::Cut(cutter);
                self.end_lanes(Ends::All);
                self.release(out);
            }
            Mode::Pass | Mode::Over => {}
        }
        self.step()
    }

    /// What was found, and whether anything could not be looked at.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let counted = self.counts.iter();
        let mut verdicts: Vec<_> = counted
            .filter_map(|one| self.rules.verdict(one.rule, one.what, one.count))
            .collect();
        let tools = self.tools.iter();
        verdicts.extend(tools.filter_map(|(rule, name)| self.rules.verdict_on_tool(*rule, name)));
        if let Some(why) = self.unread {
            verdicts.extend(self.rules.unread(why));
        }
        verdicts
    }

    fn refuse(&self) -> Step {
        self.step()
    }

    fn step(&self) -> Step {
        match (self.blocked, self.unread) {
            (Some((rule, _)), _) if self.acts => Step::Blocked {
                message: self.rules.message(rule),
            },
            (None, Some(why)) if self.acts => Step::Unreadable { why },
            _ => Step::Go,
        }
    }

    /// Chooses by the first significant byte where the headers leave a choice.
    fn choose(&self, first: u8) -> Option<Framing> {
        let gemini = matches!(
            self.kind.flag(),
            Flag::GeminiGenerateContent | Flag::GoogleGenerateContent
        );
        let bedrock = matches!(self.kind.flag(), Flag::BedrockConverse | Flag::BedrockModelInvoke);
        Some(match (self.media, first) {
            (Media::Opaque, _) => return None,
            (Media::Messages, _) => Framing::Messages,
            (Media::Lines, _) => Framing::Lines,
            (Media::Bytes | Media::Json, 0) if bedrock => Framing::Messages,
            (Media::Json | Media::Bytes | Media::Text, b'{')
                if self.kind == ApiKind::OllamaChat && self.streaming_expected =>
            {
                Framing::Row
            }
            (_, b'[') if gemini && self.streaming_expected => Framing::Array,
            (_, b'{' | b'[') => Framing::Document,
            (Media::Sse, _) => Framing::Sse,
            (Media::Json | Media::Bytes, b'd' | b'e' | b'i' | b'r' | b':') if self.streaming_expected => {
                Framing::Sse
            }
            // Pages and texts that call themselves JSON are looked at as what they are.
            (Media::Json | Media::Text, _) => Framing::Text,
            (Media::Bytes, _) => return None,
        })
    }

    fn unreadable(&mut self, why: &'static str) {
        self.unread.get_or_insert(why);
        self.mode = if self.acts { Mode::Over } else { Mode::Pass };
        if !self.acts {
            self.units.clear();
            self.units_bytes = 0;
            self.lanes.clear();
        }
    }

    /// Looks at a unit, and keeps it until it may go.
    fn unit(&mut self, raw: &[u8], framing: Framing, now_ms: u64) {
        if self.blocked.is_some() || self.unread.is_some() {
            return;
        }
        let Ok(unit) = Unit::new(raw.to_vec(), framing, self.kind, now_ms, &mut self.tape) else {
            self.unreadable("an event of it is damaged");
            return;
        };
        let number = self.base.saturating_add(self.units.len() as u64);
        self.units_bytes = self.units_bytes.saturating_add(unit.len());
        self.units.push_back(unit);
        self.odd(number);
        let whole = framing == Framing::Document;
        let read = match self.units.back() {
            Some(unit) if unit.is_end => {
                self.end_lanes(Ends::All);
                return;
            }
            Some(unit) if unit.is_text => Ok(()),
            Some(unit) => self.tape.read(unit.doc()),
            None => return,
        };
        if read.is_err() {
            self.unreadable("an event of it is too complex");
            return;
        }
        let mut found = std::mem::take(&mut self.found);
        let mut open = 0_u32;
        if let Some(unit) = self.units.back() {
            let doc = unit.doc();
            if unit.is_text {
                found.places.clear();
                found.logprobs.clear();
                found.tools.clear();
                found.ends = Ends::None;
                found.repeats = false;
            } else {
                let event = Event {
                    kind: self.kind,
                    doc,
                    name: unit.name(),
                    whole,
                };
                place::find(&event, &self.tape, &mut found);
            }
        }
        if found.repeats {
            // What it says again is decided first.
            self.end_lanes(found.ends);
            found.ends = Ends::None;
        }
        if self.lanes.len() > LANES_MAX {
            self.end_lanes(Ends::All);
            self.lanes.clear();
        }
        let Self {
            rules,
            units,
            lanes,
            once,
            tape,
            work,
            said,
            ..
        } = self;
        if let Some(unit) = units.back() {
            let doc = unit.doc();
            if unit.is_text && !doc.is_empty() {
                let key = LaneKey { scope: 0, path: 0 };
                let lane = lanes.entry(key).or_default();
                open += 1;
                let place = Said {
                    unit: number,
                    span: 0..doc.len(),
                    form: Form::Raw,
                };
                lane.add(place, doc, rules, work);
            }
            for place in &found.places {
                let Some(node) = tape.node(place.node) else {
                    continue;
                };
                let span = wide(if place.key { &node.key } else { &node.at });
                let content = doc.get(span.clone()).unwrap_or_default();
                if content.is_empty() {
                    continue;
                }
                said.clear();
                text::decode(content, said);
                let place_of = Said {
                    unit: number,
                    span,
                    form: place.form,
                };
                open += 1;
                let args = place.form == Form::Args;
                match place.lane {
                    Some(key) => {
                        let lane = lanes.entry(key).or_insert_with(|| {
                            let mut lane = Lane::default();
                            lane.begin(args, b"");
                            lane
                        });
                        lane.add(place_of, said, rules, work);
                    }
                    None => {
                        let name = if place.key { 0..0 } else { wide(&node.key) };
                        once.begin(args, doc.get(name).unwrap_or_default());
                        once.add(place_of, said, rules, work);
                        once.flush(rules, work);
                    }
                }
            }
        }
        self.called(&found);
        if let Some(unit) = self.units.back_mut() {
            unit.open = unit.open.saturating_add(open);
            for at in &found.logprobs {
                if let Some(node) = self.tape.node(*at) {
                    let result = tape::is(unit.doc(), &node.key, b"logprobsResult");
                    unit.repeats_in(wide(&node.at), result);
                }
            }
        }
        let repeats = found.repeats;
        let ends = found.ends;
        self.found = found;
        self.settle(repeats);
        self.end_lanes(ends);
        self.tape.relax();
    }

    /// Looks at what stands beside the document of the last unit.
    fn odd(&mut self, number: u64) {
        let Self {
            rules,
            units,
            once,
            work,
            ..
        } = self;
        let Some(unit) = units.back_mut() else { return };
        let mut changes = Vec::new();
        for range in &unit.odd {
            let bytes = unit.odd_bytes(range);
            once.begin(false, b"");
            let place = Said {
                unit: number,
                span: range.clone(),
                form: Form::Raw,
            };
            once.add(place, bytes, rules, work);
            once.flush(rules, work);
            changes.append(&mut work.changes);
            work.freed.clear();
        }
        for change in changes {
            let text = change.by.map(|(rule, what)| rules.replacement(rule, what));
            let at = change.said.span.start;
            unit.change_odd(at + change.part.start..at + change.part.end, text.as_deref());
        }
        self.settle(false);
    }

    /// Judges the tools that the last unit calls.
    fn called(&mut self, found: &Found) {
        let number = self
            .base
            .saturating_add(self.units.len() as u64)
            .saturating_sub(1);
        let Some(unit) = self.units.back() else { return };
        let doc = unit.doc();
        let read = |at: Option<u32>| {
            let node = self.tape.node(at?)?;
            let mut name = Vec::new();
            text::decode(doc.get(wide(&node.at))?, &mut name);
            String::from_utf8(name).ok().filter(|name| !name.is_empty())
        };
        let mut broken = Vec::new();
        for &at in &found.tools {
            let Some(name) = read(Some(at)) else { continue };
            let parent = self.tape.parent(at);
            let server = parent.and_then(|parent| {
                let label = self.tape.member(doc, parent, b"server_label");
                read(label.or_else(|| self.tape.member(doc, parent, b"server_name")))
            });
            for rule in self.rules.broken_by(&name, server.as_deref()) {
                broken.push((rule, name.clone()));
            }
        }
        for (rule, name) in broken {
            if self.rules.act(rule) != Act::Note && self.blocked.is_none() {
                self.blocked = Some((rule, number));
            }
            if self.tools.len() < TOOLS_MAX && !self.tools.iter().any(|(r, n)| *r == rule && *n == name) {
                self.tools.push((rule, name));
            }
        }
    }

    fn count(&mut self, rule: usize, what: u16) {
        let known = self
            .counts
            .iter_mut()
            .find(|one| one.rule == rule && one.what == what);
        match known {
            Some(one) => one.count = one.count.saturating_add(1),
            None => self.counts.push(Count { rule, what, count: 1 }),
        }
    }

    /// Ends texts: what is held of them is judged as it stands.
    fn end_lanes(&mut self, ends: Ends) {
        if ends == Ends::None {
            return;
        }
        let rules = &self.rules;
        for (key, lane) in &mut self.lanes {
            let ended = match ends {
                Ends::All => true,
                Ends::Scope(scope) => key.scope == scope,
                Ends::None => false,
            };
            if ended && !lane.is_idle() {
                lane.flush(rules, &mut self.work);
            }
        }
        self.settle(false);
    }

    /// Does what the looking came to.
    fn settle(&mut self, repeats: bool) {
        for (rule, what, number) in std::mem::take(&mut self.work.found) {
            // What is said again was found before.
            let known = |one: &Count| one.rule == rule && one.what == what;
            if !(repeats && self.counts.iter().any(known)) {
                self.count(rule, what);
            }
            if self.rules.act(rule) == Act::Block {
                let first = self.blocked.map_or(number, |(_, first)| first.min(number));
                self.blocked = Some((self.blocked.map_or(rule, |(rule, _)| rule), first));
            }
        }
        for change in std::mem::take(&mut self.work.changes) {
            let at = change.said.unit.checked_sub(self.base);
            let at = at.and_then(|at| usize::try_from(at).ok());
            if let Some(unit) = at.and_then(|at| self.units.get_mut(at)) {
                let text = change.by.map(|(rule, what)| self.rules.replacement(rule, what));
                unit.change(&change, text.as_deref());
            }
        }
        let mut freed = std::mem::take(&mut self.work.freed);
        for number in freed.drain(..) {
            let at = number.checked_sub(self.base);
            let at = at.and_then(|at| usize::try_from(at).ok());
            if let Some(unit) = at.and_then(|at| self.units.get_mut(at)) {
                unit.open = unit.open.saturating_sub(1);
            }
        }
        self.work.freed = freed;
    }

    /// Hands on what is decided.
    fn release(&mut self, out: &mut Vec<u8>) {
        while let Some(unit) = self.units.front() {
            let first = self.blocked.map(|(_, first)| first);
            if self.acts && (unit.open > 0 || first.is_some_and(|first| first <= self.base)) {
                break;
            }
            if let Some(unit) = self.units.pop_front() {
                self.base = self.base.saturating_add(1);
                self.units_bytes = self.units_bytes.saturating_sub(unit.len());
                unit.write(out);
            }
        }
        if self.blocked.is_some() && self.acts {
            self.units.clear();
            self.units_bytes = 0;
            self.lanes.clear();
        }
    }
}

/// The first byte that is neither white space nor part of a byte order mark.
fn first_significant(body: &[u8]) -> Option<u8> {
    let silent = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf);
    body.iter().copied().find(|byte| !silent(byte))
}
