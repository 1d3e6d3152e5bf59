//! Captures: heads and bodies on their way into the capture segments, while they pass.
//!
//! ```text
//! call ──wish──▶ Wanted ──open──▶ Open ──pieces as they pass──▶ settle writes the end, with the record
//!                   └── no room ──▶ Lost                        record.capture says what became of it
//! ```
//!
//! - **Nothing is held for it.** What passes is copied from the buffer where it lies into the mapped segment.
//! - **The account owns it** ([`crate::tally`]): whatever ends the request ends the capture, before its record is
//!   appended, so the record can say whether it is whole. What was produced is what was written and what was dropped.
//! - **It begins when a connection is there and a provider is about to get the request**, with the head as it is sent. The
//!   draft of the record, which a crash leaves, is written after that and says that there is something. Should another
//!   provider have to be tried after all, because a pooled connection turned out dead and no new one could be made, the
//!   capture gets no end and counts as dropped: one capture cannot tell of two requests.
//! - **A body that does not fit** (the limit for one body, a segment that is not ready) ends there; the totals in the end of
//!   the capture say how long it was.
//! - **A request that is refused once its body was read** is captured, too, with the head as the client sent it and the error
//!   that it got. It is told to no hook: no provider answered it.
//! - Values of credentials are replaced before they are written ([`redact`]).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sluice_proto::http1::{RequestHead, ResponseHead, is_identity_header};
use sluice_shared::ids::RequestId;
use sluice_shared::policy::Watch;
use sluice_shared::snapshot::{Captures, HookEvent, HookPart, SHARE_ALL};
use sluice_shared::usage::{Capture, UsageRecord};
use sluice_shared::wire::capture::{AnswerHead, Closed, EventUse, Fields, Kind, Opened};

use crate::config::Config;
use crate::policy::{Candidate, Policy};
use crate::shard::Shard;

mod redact;

use redact::Hidden;

/// Events that are told by a capture.
const AFTERWARDS: u8 = 1 << HookEvent::EntireRequest as u8 | 1 << HookEvent::ToolCallEntireRequest as u8;
/// Room that a capture needs beside the body of the request, where nothing may go uncaptured.
const HEADS_BYTES: usize = 64 << 10;
/// More than this of a request body need not find room at once: segments are made while it is sent.
const ROOM_BYTES_MAX: u64 = 4 << 20;
/// How often a large request body waits for a segment that is being made, and how long each time.
const WAITS_MAX: u32 = 20;
const WAIT: Duration = Duration::from_millis(1);

/// What becomes of the capture of a request.
#[derive(Default)]
pub(crate) struct Capturing {
    stage: Stage,
}

#[derive(Default)]
enum Stage {
    /// Nobody wants one.
    #[default]
    Off,
    /// It is none of the share that is captured.
    SampledOut,
    /// It is to begin with the next head that is sent.
    Wanted(Wish),
    /// It has begun.
    Open(Tap),
    /// There is no room for it.
    Lost,
}

/// Who wants a capture.
#[derive(Default)]
pub(crate) struct Wish {
    /// It is to be kept.
    keep: bool,
    /// Hooks that are told of the request once it is over.
    events: Vec<EventUse>,
}

fn wish(config: &Config, watch: Option<(&Watch, &Policy)>, id: RequestId) -> Stage {
    let captures = &config.captures;
    let share = match watch {
        Some((watch, _)) => watch.capture_share,
        None if captures.enabled => captures.share,
        None => 0,
    };
    let keep = in_share(id, share);
    let events = watch.map(|(watch, policy)| events(config, watch, policy));
    let events = events.unwrap_or_default();
    if keep || !events.is_empty() {
        Stage::Wanted(Wish { keep, events })
    } else if share > 0 {
        Stage::SampledOut
    } else {
        Stage::Off
    }
}

fn events(config: &Config, watch: &Watch, policy: &Policy) -> Vec<EventUse> {
    let afterwards = watch.hooks.iter().filter(|hook| hook.events & AFTERWARDS != 0);
    let told = afterwards.filter_map(|hook| {
        Some(EventUse {
            hook: config.hooks.get(hook.hook)?.spec.name.clone(),
            events: hook.events & AFTERWARDS,
            send: hook.send,
            grants: if hook.sends(HookPart::Grants) {
                policy.app_json(config)
            } else {
                String::new()
            },
        })
    });
    told.collect()
}

/// Whether a request is among the share, in millionths: by a hash of its id, so that all who ask agree.
fn in_share(id: RequestId, share: u32) -> bool {
    if share == 0 || share >= SHARE_ALL {
        return share > 0;
    }
    // Finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    let halves = id.0.as_chunks::<8>().0.iter();
    let mixed = halves.fold(0, |mixed, half| mixed ^ u64::from_le_bytes(*half));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = mixed ^ (mixed >> 31);
    mixed % u64::from(SHARE_ALL) < u64::from(share)
}

/// A capture that has begun. Clones write to the same one.
#[derive(Clone)]
pub(crate) struct Tap(Rc<State>);

struct State {
    shard: Rc<Shard>,
    number: u64,
    rules: Rc<Captures>,
    request: Passed,
    answer: Passed,
}

/// How much of a body has passed.
#[derive(Default)]
struct Passed {
    seen: Cell<u64>,
    kept: Cell<u64>,
    cut: Cell<bool>,
}

impl Tap {
    fn new(shard: &Rc<Shard>, number: u64, rules: &Rc<Captures>) -> Self {
        Self(Rc::new(State {
            shard: Rc::clone(shard),
            number,
            rules: Rc::clone(rules),
            request: Passed::default(),
            answer: Passed::default(),
        }))
    }

    /// A piece of the request body that begins `at` so many bytes behind its start. What has passed already is passed over: a
    /// request may be sent over a second connection.
    pub(crate) fn request(&self, at: u64, bytes: &[u8]) {
        let seen = self.0.request.seen.get();
        let known = usize::try_from(seen.saturating_sub(at)).unwrap_or(usize::MAX);
        if let Some(new) = bytes.get(known..) {
            self.pass(&self.0.request, Kind::RequestBody, new);
        }
    }

    /// Waits a moment if a large body is faster than segments are made.
    pub(crate) async fn catch_up(&self, bytes: usize) {
        for _ in 0..WAITS_MAX {
            {
                let row = self.0.shard.captures.borrow();
                if self.0.request.cut.get() || row.has_room(bytes) || !row.is_behind() {
                    return;
                }
            }
            monoio::time::sleep(WAIT).await;
        }
    }

    /// The head of the answer.
    pub(crate) fn answer_head(&self, parsed: &ResponseHead, bytes: &[u8]) {
        let hidden = Hidden::of_answer(&self.0.rules);
        let head = AnswerHead {
            status: parsed.status,
            headers: redact::fields(parsed.end_to_end(bytes), &hidden),
        };
        self.write_head(&head);
    }

    /// A piece of the answer's body.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        self.pass(&self.0.answer, Kind::AnswerBody, bytes);
    }

    /// An answer that Sluice made itself, as it goes out.
    pub(crate) fn own_answer(&self, status: u16, message: &[u8]) {
        let (fields, body) = redact::answer(message);
        let hidden = Hidden::of_answer(&self.0.rules);
        let head = AnswerHead {
            status,
            headers: redact::fields(redact::lines(fields), &hidden),
        };
        self.write_head(&head);
        self.answer(body);
    }

    fn write_head(&self, head: &AnswerHead) {
        let State { shard, number, .. } = &*self.0;
        if shard.captures.borrow_mut().answer_head(*number, head).is_err() {
            // A body without its head could not be read.
            self.0.answer.cut.set(true);
        }
    }

    fn pass(&self, passed: &Passed, kind: Kind, bytes: &[u8]) {
        let offset = passed.seen.get();
        passed.seen.set(offset.saturating_add(bytes.len() as u64));
        if passed.cut.get() || bytes.is_empty() {
            return;
        }
        let State {
            shard, number, rules, ..
        } = &*self.0;
        let left = rules.body_bytes_max.saturating_sub(passed.kept.get());
        let part = bytes
            .get(..usize::try_from(left).unwrap_or(usize::MAX))
            .unwrap_or(bytes);
        let written = shard.captures.borrow_mut().piece(*number, kind, offset, part);
        passed.kept.set(passed.kept.get().saturating_add(written as u64));
        if written < bytes.len() {
            // A body is kept from its start up to one place.
            passed.cut.set(true);
        }
    }
}

/// The head of a request, as it is sent or as it came.
struct Asked<'a> {
    method: &'a [u8],
    target: &'a [u8],
    headers: Fields,
}

impl Capturing {
    /// Says who looks at the request. `watch` is what grants and provider say, anew for each provider that is tried; without
    /// one, it is a request that reaches none, and the document's share holds.
    pub(crate) fn watched(
        &mut self,
        shard: &Shard,
        config: &Config,
        watch: Option<(&Watch, &Policy)>,
        record: &UsageRecord,
    ) {
        match &self.stage {
            Stage::Off | Stage::SampledOut | Stage::Wanted(_) => {
                self.stage = wish(config, watch, record.request_id);
            }
            Stage::Open(_) => {
                shard.captures.borrow_mut().give_up();
                self.stage = Stage::Lost;
            }
            Stage::Lost => {}
        }
    }

    /// Begins the capture with the head that a provider is to get. `false`: there is no room for it, and nothing may go
    /// uncaptured.
    pub(crate) fn open(
        &mut self,
        shard: &Rc<Shard>,
        config: &Config,
        candidate: &Candidate,
        record: &mut UsageRecord,
        head: &[u8],
        body_bytes: u64,
    ) -> bool {
        if let Stage::Wanted(wish) = &mut self.stage {
            let wish = std::mem::take(wish);
            let hidden = Hidden::of_request(
                &config.captures,
                [&candidate.provider.added_names, &candidate.added_names],
            );
            let (method, target, fields) = redact::request(head);
            let asked = Asked {
                method,
                target,
                headers: redact::fields(redact::lines(fields), &hidden),
            };
            self.begin(shard, config, &opened(record, &candidate.model, &wish, asked));
        }
        record.capture = self.so_far();
        !config.captures.fail_closed
            || match &self.stage {
                Stage::Off | Stage::SampledOut => true,
                Stage::Wanted(_) | Stage::Lost => false,
                Stage::Open(_) => {
                    let body_bytes = body_bytes.min(config.captures.body_bytes_max).min(ROOM_BYTES_MAX);
                    let need = usize::try_from(body_bytes).unwrap_or(usize::MAX);
                    let row = shard.captures.borrow();
                    row.has_room(need.saturating_add(HEADS_BYTES))
                }
            }
    }

    /// Captures a request that no provider gets, with its head as it came and the body that is given. Hooks are not told.
    pub(crate) fn unsent<'a>(
        &mut self,
        shard: &Rc<Shard>,
        config: &Config,
        record: &mut UsageRecord,
        model: &str,
        (bytes, parsed): (&[u8], &RequestHead),
        body: impl Iterator<Item = &'a [u8]>,
    ) {
        match &self.stage {
            Stage::Wanted(Wish { keep: true, .. }) => {}
            Stage::Wanted(_) => {
                self.stage = Stage::Off;
                return;
            }
            Stage::Off | Stage::SampledOut | Stage::Open(_) | Stage::Lost => return,
        }
        let wish = Wish {
            keep: true,
            events: Vec::new(),
        };
        let hidden = Hidden::of_request(&config.captures, []);
        let fields = parsed.end_to_end(bytes);
        let asked = Asked {
            method: parsed.method.as_str().as_bytes(),
            target: parsed.target.of(bytes),
            headers: redact::fields(fields.filter(|(name, _)| !is_identity_header(name)), &hidden),
        };
        self.begin(shard, config, &opened(record, model, &wish, asked));
        if let Stage::Open(tap) = &self.stage {
            for piece in body {
                tap.pass(&tap.0.request, Kind::RequestBody, piece);
            }
        }
        record.capture = self.so_far();
    }

    fn begin(&mut self, shard: &Rc<Shard>, config: &Config, opened: &Opened) {
        let number = shard.captures.borrow_mut().begin(opened);
        self.stage = match number {
            Ok(number) => Stage::Open(Tap::new(shard, number, &config.captures)),
            Err(_) => Stage::Lost,
        };
    }

    /// What the record of a running request says.
    const fn so_far(&self) -> Capture {
        match self.stage {
            Stage::Off | Stage::SampledOut => Capture::Off,
            Stage::Open(_) => Capture::Written,
            Stage::Wanted(_) | Stage::Lost => Capture::Dropped,
        }
    }

    /// The capture, if it has begun.
    pub(crate) const fn tap(&self) -> Option<&Tap> {
        match &self.stage {
            Stage::Open(tap) => Some(tap),
            _ => None,
        }
    }

    /// Ends the capture with the record, which learns what became of it, and counts it.
    pub(crate) fn settle(&mut self, shard: &Shard, mut record: Box<UsageRecord>) -> Box<UsageRecord> {
        record.capture = self.so_far();
        let stage = std::mem::take(&mut self.stage);
        let (mut truncated, mut kept) = (0, 0);
        if let Stage::Open(tap) = &stage {
            let State {
                number,
                request,
                answer,
                ..
            } = &*tap.0;
            truncated = u64::from(request.cut.get()) + u64::from(answer.cut.get());
            kept = request.kept.get().saturating_add(answer.kept.get());
            let closed = Closed {
                record: *record,
                request_bytes: request.seen.get(),
                answer_bytes: answer.seen.get(),
            };
            let ended = shard.captures.borrow_mut().close(*number, &closed);
            record = Box::new(closed.record);
            if ended.is_err() {
                record.capture = Capture::Dropped;
            }
        }
        let mut metrics = shard.metrics.borrow_mut();
        let counts = &mut metrics.counts;
        counts.capture_bytes += kept;
        match record.capture {
            Capture::Written => {
                counts.captures_written += 1;
                counts.captures_truncated += truncated;
            }
            Capture::Dropped => counts.captures_dropped += 1,
            Capture::Off => counts.captures_sampled_out += u64::from(matches!(stage, Stage::SampledOut)),
        }
        record
    }
}

fn opened(record: &UsageRecord, model: &str, wish: &Wish, asked: Asked<'_>) -> Opened {
    Opened {
        request_id: record.request_id,
        time: record.time,
        epoch: record.epoch,
        api: record.api,
        stream: record.stream,
        user: record.user.clone(),
        node: record.node.clone(),
        method: String::from_utf8_lossy(asked.method).into_owned(),
        target: redact::target(asked.target),
        provider: record.provider.clone(),
        model: model.to_owned(),
        headers: asked.headers,
        keep: wish.keep,
        events: wish.events.clone(),
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::ids::ShardId;

    use super::*;

    #[test]
    fn a_share_is_met_and_the_same_for_all_who_ask() {
        let among = |share: u32| {
            let ids = (0..20_000u32).map(|n| RequestId::new(1_700_000_000_000, ShardId(3), n, 77));
            ids.filter(|id| in_share(*id, share)).count()
        };
        assert_eq!((among(0), among(SHARE_ALL)), (0, 20_000));
        for (share, expected) in [
            (10_000, 200),
            (250_000, 5_000),
            (500_000, 10_000),
            (900_000, 18_000),
        ] {
            let found = among(share);
            // Four standard deviations of so many throws are less than 300.
            assert!(found.abs_diff(expected) < 300, "{share}: {found}");
            assert_eq!(among(share), found);
        }
    }
}
