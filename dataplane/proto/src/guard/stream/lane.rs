//! A text that goes on from event to event, and the strings that say it.
//!
//! The engine judges the text ([`engine::Lane`]); here stands where each of its bytes was said, so that what is found can be
//! changed there, and which events are free to go because all they say is judged.
//!
//! ```text
//! strings of events   │ "He is al" │ "ice@exa" │ "mple.com" │ …    offsets of the lane
//! text                  H e   i s   a l i c e @ e x a m p l e …    offsets of the text; the same where nothing is escaped
//!                                  └ settled: what is before may go
//! ```
//!
//! In a lane of arguments, the text is what their JSON says, run by run ([`super::inner`]): each string in it is a text of
//! its own, and a number is one that is replaced whole.

use std::collections::VecDeque;
use std::ops::Range;

use super::inner::{Inner, Run, Token};
use super::place::Form;
use super::rules::{Act, Rules};
use crate::guard::engine::{self, Settled};

/// Longest name of a value that is kept.
const NAME_BYTES_MAX: usize = 64;

/// A string of an event, as a change finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Number of its unit.
    pub(super) unit: u64,
    /// Its content in the unit's document.
    pub(super) span: Range<usize>,
    pub(super) form: Form,
}

/// A part of a string that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) said: Said,
    /// What changes of what the string says.
    pub(super) part: Range<usize>,
    pub(super) by: By,
    /// What the part is in arguments.
    pub(super) run: Run,
}

/// Rule and detector of what stands in a place afterwards; `None`: nothing does.
type By = Option<(usize, u16)>;

/// What came of looking.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) changes: Vec<Change>,
    /// Rule, detector, and the unit in which it begins.
    pub(super) found: Vec<(usize, u16, u64)>,
    /// Units of which a string was judged.
    pub(super) freed: Vec<u64>,
    settled: Vec<Settled>,
}

#[derive(Debug)]
struct Piece {
    said: Said,
    /// Offsets in the lane.
    at: Range<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pieces: VecDeque<Piece>,
    /// Offset behind the last of them.
    end: u64,
    judge: engine::Lane,
    /// Bytes of the text that the engine has.
    pushed: u64,
    /// Those that it has not.
    fresh: Vec<u8>,
    /// Offsets of the text and of the lane that belong together; between them both grow alike.
    map: VecDeque<(u64, u64)>,
    /// Where the text ends in the lane.
    text_end: u64,
    inner: Option<Inner>,
    run: Run,
    /// What names the value that the run is.
    name: Vec<u8>,
    /// The beginning of the run, and of the string before it.
    head: Vec<u8>,
    last: Vec<u8>,
}

impl Lane {
    /// Makes it a new one.
    pub(super) fn begin(&mut self, args: bool, name: &[u8]) {
        self.pieces.clear();
        self.end = 0;
        self.restart(if args { Run::Bare } else { Run::Text });
        self.inner = args.then(Inner::new);
        self.name.clear();
        self.name
            .extend_from_slice(name.get(..name.len().min(NAME_BYTES_MAX)).unwrap_or_default());
        self.last.clear();
    }

    /// Whether all of it is judged.
    pub(super) fn is_idle(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Takes the next string, which says `text`.
    pub(super) fn add(&mut self, said: Said, text: &[u8], rules: &Rules, work: &mut Work) {
        if rules.engine().is_none() {
            // Nobody looks for anything in texts.
            work.freed.push(said.unit);
            return;
        }
        let from = self.end;
        self.end = from.saturating_add(text.len() as u64);
        self.pieces.push_back(Piece {
            said,
            at: from..self.end,
        });
        match self.inner.take() {
            None => self.take(from, text),
            Some(mut inner) => {
                inner.feed(text, |token| match token {
                    Token::Plain(at, bytes) => self.take(at, bytes),
                    Token::Byte(at, byte) => self.take(at, &[byte]),
                    Token::Escape(at, to, c) => {
                        self.take(at, c.encode_utf8(&mut [0; 4]).as_bytes());
                        self.text_end = to;
                    }
                    Token::Break(at, run, by) => self.next_run(at, run, by, rules, work),
                });
                self.inner = Some(inner);
            }
        }
        if self.run != Run::Bare {
            self.push(rules, work);
        }
        if self.held() > rules.hold_bytes() {
            self.judge_held(rules, work);
        }
        self.free(work);
    }

    /// What is held is judged as it stands; more may come.
    pub(super) fn flush(&mut self, rules: &Rules, work: &mut Work) {
        self.judge_held(rules, work);
        // Half an escape says nothing yet.
        while let Some(piece) = self.pieces.pop_front() {
            work.freed.push(piece.said.unit);
        }
    }

    fn held(&self) -> usize {
        self.judge.held().saturating_add(self.fresh.len())
    }

    fn judge_held(&mut self, rules: &Rules, work: &mut Work) {
        if self.pushed == 0 && !self.fresh.is_empty() && self.run == Run::Bare {
            self.scan(rules, work);
            return;
        }
        self.push(rules, work);
        if let Some(engine) = rules.engine() {
            self.judge.flush(engine, &mut work.settled);
        }
        self.apply(rules, work);
    }

    /// Appends text that was said from this offset on.
    fn take(&mut self, at: u64, bytes: &[u8]) {
        let text = self.pushed.saturating_add(self.fresh.len() as u64);
        let expected = self
            .map
            .back()
            .map(|(from, lane)| lane.saturating_add(text.saturating_sub(*from)));
        if expected != Some(at) {
            self.map.push_back((text, at));
        }
        self.fresh.extend_from_slice(bytes);
        self.text_end = at.saturating_add(bytes.len() as u64);
        if self.inner.is_none() && self.run == Run::String {
            let room = NAME_BYTES_MAX.saturating_sub(self.head.len()).min(bytes.len());
            self.head.extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
    }

    /// Gives the engine what it has not.
    fn push(&mut self, rules: &Rules, work: &mut Work) {
        if self.fresh.is_empty() {
            return;
        }
        if self.pushed == 0 && !self.name.is_empty() {
            self.judge = engine::Lane::named(&self.name);
        }
        let Some(engine) = rules.engine() else { return };
        self.judge.push(engine, &self.fresh, &mut work.settled);
        self.pushed = self.pushed.saturating_add(self.fresh.len() as u64);
        self.fresh.clear();
        self.apply(rules, work);
    }

    /// Judges a run that is whole and that the engine has nothing of.
    fn scan(&mut self, rules: &Rules, work: &mut Work) {
        if let Some(engine) = rules.engine() {
            let mut found = Vec::new();
            engine.scan_value(&self.name, &self.fresh, &mut found);
            let wide = |at: usize| self.pushed.saturating_add(at as u64);
            work.settled.extend(found.into_iter().map(|found| Settled {
                rule: found.rule,
                detector: found.detector,
                range: wide(found.range.start)..wide(found.range.end),
                continues: false,
            }));
        }
        self.apply(rules, work);
    }

    /// A run of arguments has ended.
    fn next_run(&mut self, at: u64, run: Run, by: u8, rules: &Rules, work: &mut Work) {
        if self.pushed == 0 {
            if !self.fresh.is_empty() {
                self.scan(rules, work);
            }
        } else {
            self.push(rules, work);
            if let Some(engine) = rules.engine() {
                self.judge.finish(engine, &mut work.settled);
            }
            self.apply(rules, work);
        }
        match by {
            b'"' if self.run == Run::String => std::mem::swap(&mut self.last, &mut self.head),
            b':' => self.name = std::mem::take(&mut self.last),
            b',' | b'{' | b'}' => self.name.clear(),
            _ => {}
        }
        self.restart(run);
        self.text_end = at;
    }

    fn restart(&mut self, run: Run) {
        if self.pushed > 0 {
            self.judge = engine::Lane::default();
        }
        self.pushed = 0;
        self.fresh.clear();
        if self.fresh.capacity() > 64 * 1024 {
            self.fresh = Vec::new();
        }
        self.map.clear();
        self.text_end = 0;
        self.head.clear();
        self.run = run;
    }

    /// Offset in the lane of an offset of the text.
    fn lane_at(&self, text: u64) -> u64 {
        if text >= self.pushed.saturating_add(self.fresh.len() as u64) {
            return self.text_end;
        }
        let after = self.map.partition_point(|(from, _)| *from <= text);
        let entry = after.checked_sub(1).and_then(|at| self.map.get(at));
        entry.map_or(0, |(from, lane)| lane.saturating_add(text - from))
    }

    /// Notes what the engine has found, and changes what is to be changed.
    fn apply(&mut self, rules: &Rules, work: &mut Work) {
        if work.settled.is_empty() {
            return;
        }
        let mut settled = std::mem::take(&mut work.settled);
        settled.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
        let mut united: Option<(Range<u64>, By)> = None;
        for one in settled.drain(..) {
            if !one.continues {
                let unit = self.unit_at(self.lane_at(one.range.start));
                work.found.push((one.rule, one.detector, unit));
            }
            if rules.act(one.rule) == Act::Note {
                continue;
            }
            let by = (!one.continues).then_some((one.rule, one.detector));
            match &mut united {
                Some((range, first)) if one.range.start < range.end => {
                    range.end = range.end.max(one.range.end);
                    *first = first.or(by);
                }
                _ => {
                    if let Some((range, by)) = united.replace((one.range, by)) {
                        self.change(&range, by, work);
                    }
                }
            }
        }
        if let Some((range, by)) = united {
            self.change(&range, by, work);
        }
        work.settled = settled;
    }

    /// Changes a part of the text: the first string that says of it says what takes its place, the others nothing.
    fn change(&self, text: &Range<u64>, by: By, work: &mut Work) {
        let mut lane = self.lane_at(text.start)..self.lane_at(text.end);
        if self.run == Run::Bare {
            // What stands between commas is replaced whole, so that it stays JSON.
            let blank = |byte: &&u8| byte.is_ascii_whitespace();
            let lead = self.fresh.iter().take_while(blank).count() as u64;
            let trail = self.fresh.iter().rev().take_while(blank).count() as u64;
            let len = self.fresh.len() as u64;
            lane = self.lane_at(lead)..self.lane_at(len.saturating_sub(trail));
        }
        let mut by = by;
        let behind = self.pieces.partition_point(|piece| piece.at.end <= lane.start);
        for piece in self.pieces.range(behind..) {
            let (start, end) = (lane.start.max(piece.at.start), lane.end.min(piece.at.end));
            if start >= end {
                break;
            }
            let local = |at: u64| usize::try_from(at - piece.at.start).unwrap_or(usize::MAX);
            work.changes.push(Change {
                said: piece.said.clone(),
                part: local(start)..local(end),
                by: by.take(),
                run: self.run,
            });
        }
    }

    fn unit_at(&self, lane: u64) -> u64 {
        let behind = self.pieces.partition_point(|piece| piece.at.end <= lane);
        let piece = self.pieces.get(behind).or_else(|| self.pieces.back());
        piece.map_or(0, |piece| piece.said.unit)
    }

    /// Lets go of the strings that are judged.
    fn free(&mut self, work: &mut Work) {
        let settled = match self.run {
            Run::Bare if self.fresh.iter().all(u8::is_ascii_whitespace) => u64::MAX,
            Run::Bare => 0,
            Run::Text | Run::String => self.judge.settled(),
        };
        let free = if settled >= self.pushed && self.run != Run::Bare || settled == u64::MAX {
            let unfinished = self.inner.as_ref().and_then(Inner::unfinished);
            unfinished.unwrap_or(self.end)
        } else {
            self.lane_at(settled)
        };
        while self.pieces.front().is_some_and(|piece| piece.at.end <= free) {
            if let Some(piece) = self.pieces.pop_front() {
                work.freed.push(piece.said.unit);
            }
        }
        // What was said before is not asked for any more.
        while self.map.get(1).is_some_and(|(from, _)| *from <= settled) && settled != u64::MAX {
            self.map.pop_front();
        }
    }
}
