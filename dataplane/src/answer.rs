//! One answer on its way through: bytes of the provider in, bytes for the client out, the meter beside.
//!
//! No IO here. The caller reads into a buffer, calls [`Answer::push`], sends what lies in `out`. The body passes
//! unchanged; only its framing is written anew, and the usage chunk that we asked for ourselves is held back.
//! [`Answer::cut`] ends a stream before its end, behind a whole event.

use sluice_proto::error_body::StreamFraming;
use sluice_proto::guard::GuardSet;
use sluice_proto::guard::stream::{AnswerGuard, Step};
use sluice_proto::http1::{
    BadAnswer, BodyDecoder, BodyError, Framing, HeadLimits, HeadScanner, INTERIM_ANSWERS_MAX, Kind, Method,
    ResponseHead, Version, emit, parse_response,
};
use sluice_proto::meter::{BedrockCounts, Meter, Outcome, ResponseFacts};
use sluice_proto::sse::UsageChunkFilter;
use sluice_shared::api::ApiKind;
use sluice_shared::usage::Verdict;

use crate::capture::Tap;

mod boundary;

use boundary::Boundaries;

/// What the answer is an answer to.
pub(crate) struct Expect {
    /// Method that was sent to the provider.
    pub(crate) method: Method,
    /// Version the client speaks.
    pub(crate) version: Version,
    /// Whether the client's connection may live on.
    pub(crate) keep_alive: bool,
    /// Kind to meter; `None`: not metered.
    pub(crate) meter: Option<ApiKind>,
    /// A stream was asked for.
    pub(crate) stream: bool,
    /// We asked for the usage chunk, the client did not.
    pub(crate) withhold_usage: bool,
    /// A stream may have to be cut.
    pub(crate) may_cut: bool,
    /// Guardrails that look at it, and what it is an answer of.
    pub(crate) guard: Option<(GuardSet, ApiKind)>,
    /// Identity of the request, told to the client; empty for none.
    pub(crate) request_id: [u8; 32],
}

/// Why an answer cannot be passed on (any further).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its head breaks the protocol.
    Head(BadAnswer),
    /// More interim answers than anybody needs.
    InterimFlood,
    /// Its body breaks its framing, or ends early.
    Body(BodyError),
}

impl Fault {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Head(bad) => bad.reason(),
            Self::InterimFlood => "the provider sent too many interim answers",
            Self::Body(error) => error.reason(),
        }
    }
}

/// The state of one answer.
pub(crate) struct Answer {
    expect: Expect,
    limits: HeadLimits,
    stage: Stage,
    interim: u32,
    /// Status of the final head; 0 before it.
    pub(crate) status: u16,
    /// Whether the provider's connection may be used again.
    pub(crate) reusable: bool,
    /// Whether the client's connection may be used again.
    pub(crate) client_keep_alive: bool,
    /// Body bytes written for the client.
    pub(crate) body_bytes: u64,
    chunked_out: bool,
    /// The end of the body is shown by closing.
    pub(crate) close_delimited: bool,
    body: BodyDecoder,
    meter: Option<Box<Meter>>,
    filter: Option<Box<Filter>>,
    events: Option<Box<Events>>,
    /// Who keeps the answer.
    tap: Option<Tap>,
    guard: Option<Box<Guarded>>,
    /// The time by the shard's clock, in milliseconds, for what guardrails hold.
    pub(crate) now_ms: u64,
}

/// An answer that guardrails look at.
struct Guarded {
    guard: AnswerGuard,
    kept: Vec<u8>,
    /// The head, while another answer may take its place: as it came, and as the client would get it.
    head: Option<Box<HeldHead>>,
    stop: Option<Step>,
    /// What was found has been told.
    asked: bool,
}

struct HeldHead {
    parsed: ResponseHead,
    bytes: Vec<u8>,
    written: Vec<u8>,
}

struct Filter {
    chunk: UsageChunkFilter,
    kept: Vec<u8>,
}

/// What cutting a stream takes.
struct Events {
    framing: StreamFraming,
    boundaries: Boundaries,
    /// The body bytes that the last push appended.
    last: Option<Written>,
}

/// Body bytes in a buffer of what the client gets.
struct Written {
    /// Where their framing begins.
    from: usize,
    /// Where they begin.
    body_from: usize,
    body_to: usize,
    /// How many of them are whole events; `None`: they lie within one event, or in what has none.
    whole: Option<usize>,
}

/// What became of cutting a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Behind a whole event and the news: the client reads why, and then the end.
    Told,
    /// Nothing can be said in this stream: it must break off.
    Untold,
    /// An event has begun; it is to be tried again with the next bytes.
    NotYet,
}

enum Stage {
    /// Waiting for a head; the bytes of an incomplete one.
    Head(HeadScanner, Vec<u8>),
    Body,
    Done,
}

impl Answer {
    pub(crate) fn new(expect: Expect, limits: HeadLimits) -> Self {
        Self {
            client_keep_alive: expect.keep_alive,
            expect,
            limits,
            stage: Stage::Head(HeadScanner::new(Kind::Response, limits), Vec::new()),
            interim: 0,
            status: 0,
            reusable: false,
            body_bytes: 0,
            chunked_out: false,
            close_delimited: false,
            body: BodyDecoder::new(Framing::None),
            meter: None,
            filter: None,
            events: None,
            tap: None,
            guard: None,
            now_ms: 0,
        }
    }

    /// The answer is captured.
    pub(crate) fn captured(mut self, tap: Option<&Tap>) -> Self {
        self.tap = tap.cloned();
        self
    }

    /// Whether the provider has begun to answer.
    pub(crate) fn is_heard(&self) -> bool {
        self.status != 0
    }

    /// Whether the head has been passed on, so that no other answer can take its place.
    pub(crate) fn has_begun(&self) -> bool {
        self.status != 0 && self.guard.as_ref().is_none_or(|guarded| guarded.head.is_none())
    }

    /// Why guardrails let it go no further. What was written with the push that brought it may be sent.
    pub(crate) fn stopped(&self) -> Option<&Step> {
        self.guard.as_ref()?.stop.as_ref()
    }

    /// When what guardrails hold is to be judged as it stands ([`Self::expire`]), by the clock of [`Self::now_ms`].
    pub(crate) fn held_until_ms(&self) -> Option<u64> {
        let guarded = self.guard.as_ref()?;
        guarded.guard.deadline_ms().filter(|_| guarded.stop.is_none())
    }

    /// Bytes that guardrails hold.
    pub(crate) fn held_bytes(&self) -> usize {
        self.guard
            .as_ref()
            .map_or(0, |guarded| guarded.guard.held_bytes())
    }

    /// What guardrails say of it; the first call has it.
    pub(crate) fn take_verdicts(&mut self) -> Vec<Verdict> {
        let Some(guarded) = self.guard.as_mut().filter(|guarded| !guarded.asked) else {
            return Vec::new();
        };
        guarded.asked = true;
        guarded.guard.verdicts()
    }

    /// Judges what guardrails hold as it stands, and appends what the client gets of it.
    pub(crate) fn expire(&mut self, out: &mut Vec<u8>) {
        if let Some(events) = &mut self.events {
            events.last = None;
        }
        let Some(mut guarded) = self.guard.take() else {
            return;
        };
        if guarded.stop.is_none() && matches!(self.stage, Stage::Body) {
            guarded.kept.clear();
            let step = guarded.guard.expire(&mut guarded.kept);
            self.guarded(&mut guarded, step, false, out);
        }
        self.guard = Some(guarded);
    }

    /// Ends a stream that guardrails let go no further, with what `tell` writes; behind what the last push wrote.
    pub(crate) fn stop(
        &mut self,
        out: &mut Vec<u8>,
        tell: impl FnOnce(StreamFraming, &mut Vec<u8>) -> bool,
    ) -> Cut {
        let Some(guarded) = self.guard.as_ref().filter(|_| self.has_begun()) else {
            return Cut::Untold;
        };
        let framing = guarded.guard.framing();
        let begun = guarded.guard.has_begun();
        let mut news = Vec::new();
        let told = match framing {
            StreamFraming::Opaque => false,
            // The elements so far are whole: one more and the end make it an array.
            StreamFraming::JsonArray => {
                news.push(if begun { b',' } else { b'[' });
                let told = tell(framing, &mut news);
                news.push(b']');
                told
            }
            StreamFraming::Sse | StreamFraming::EventStream | StreamFraming::Ndjson => {
                tell(framing, &mut news)
            }
        };
        self.client_keep_alive = false;
        self.reusable = false;
        if !told {
            return Cut::Untold;
        }
        if let Some(tap) = &self.tap {
            tap.answer(&news);
        }
        self.write_body(&news, out);
        if self.chunked_out {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Cut::Told
    }

    /// Whether the whole answer has been passed on.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Whether the provider has said all of it, be it passed on or not.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_done() || matches!(self.stage, Stage::Body) && self.body.is_done()
    }

    /// The meter, while the body runs.
    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.meter.as_deref()
    }

    /// Takes bytes as they came from the provider (they are decoded in place) and appends what the client gets.
    ///
    /// # Errors
    /// A [`Fault`]; if nothing had begun, `out` is as before and another answer may be given.
    pub(crate) fn push(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(events) = &mut self.events {
            events.last = None;
        }
        let mut carried;
        let mut rest: &mut [u8] = bytes;
        while let Stage::Head(scanner, held) = &mut self.stage {
            if rest.is_empty() {
                return Ok(());
            }
            // The common case is a head that lies wholly in the first read: it is parsed where it is.
            let found = if held.is_empty() {
                scanner.scan(rest)
            } else {
                held.extend_from_slice(rest);
                scanner.scan(held)
            };
            let Some(head_bytes) = found.map_err(|reject| Fault::Head(BadAnswer::from(reject)))? else {
                if held.is_empty() {
                    held.extend_from_slice(rest);
                }
                return Ok(());
            };
            if !held.is_empty() {
                carried = std::mem::take(held);
                rest = &mut carried;
            }
            let (head, body) = rest.split_at_mut(head_bytes.min(rest.len()));
            let parsed = parse_response(head, self.expect.method, &self.limits).map_err(Fault::Head)?;
            rest = body;
            if parsed.is_interim() {
                self.interim += 1;
                if self.interim > INTERIM_ANSWERS_MAX {
                    return Err(Fault::InterimFlood);
                }
                self.stage = Stage::Head(HeadScanner::new(Kind::Response, self.limits), Vec::new());
                continue;
            }
            self.begin(&parsed, head, out);
        }
        self.pass(rest, out)
    }

    /// The provider has closed its side.
    ///
    /// # Errors
    /// The answer had not ended.
    pub(crate) fn finish_eof(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self.stage {
            Stage::Done => Ok(()),
            Stage::Head(..) => Err(Fault::Body(BodyError::Truncated)),
            Stage::Body => {
                self.reusable = false;
                self.body.finish_eof().map_err(Fault::Body)?;
                if let Some(mut guarded) = self.guard.take() {
                    if guarded.stop.is_none() {
                        guarded.kept.clear();
                        let step = guarded.guard.finish(self.now_ms, &mut guarded.kept);
                        self.guarded(&mut guarded, step, true, out);
                    }
                    self.guard = Some(guarded);
                }
                if self.stopped().is_none() {
                    self.end(out);
                }
                Ok(())
            }
        }
    }

    /// Whether the body is a stream of which a part is worth something, so that it can be cut.
    pub(crate) fn is_cuttable(&self) -> bool {
        self.events.is_some() && self.has_begun() && matches!(self.stage, Stage::Body)
    }

    /// Ends a stream before its end. To be called right after [`Self::push`], with what it wrote: what is not a whole
    /// event is taken back from `out`, and `tell` puts the news behind; it returns whether there are any.
    ///
    /// The body ends properly behind the news. A stream that broke off there would lose them on its way: browsers' and
    /// Node's `fetch` drop what they have read and not handed on when a body turns out to be broken.
    pub(crate) fn cut(
        &mut self,
        out: &mut Vec<u8>,
        tell: impl FnOnce(StreamFraming, &mut Vec<u8>) -> bool,
    ) -> Cut {
        let Some(events) = &mut self.events else {
            return Cut::Untold;
        };
        let framing = events.framing;
        let mut news = Vec::new();
        match framing {
            StreamFraming::JsonArray | StreamFraming::Opaque => return Cut::Untold,
            StreamFraming::Sse | StreamFraming::EventStream | StreamFraming::Ndjson => {}
        }
        let mut kept = Vec::new();
        match events.last.take() {
            Some(Written { whole: None, .. }) => return Cut::NotYet,
            None if !events.boundaries.is_between() => return Cut::NotYet,
            None => {}
            Some(Written {
                from,
                body_from,
                body_to,
                whole: Some(whole),
            }) => {
                let body = out.get(body_from..body_to).unwrap_or_default();
                kept.extend_from_slice(body.get(..whole).unwrap_or_default());
                self.body_bytes = self.body_bytes.saturating_sub(body.len() as u64);
                out.truncate(from);
            }
        }
        if !tell(framing, &mut news) {
            self.write_body(&kept, out);
            return Cut::Untold;
        }
        self.write_body(&kept, out);
        self.write_body(&news, out);
        if self.chunked_out {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        self.client_keep_alive = false;
        self.reusable = false;
        Cut::Told
    }

    /// What the meter read; `cut` if the answer did not come to its end.
    pub(crate) fn take_outcome(&mut self, cut: bool) -> Option<Outcome> {
        self.meter.take().map(|meter| meter.finish(cut))
    }

    fn begin(&mut self, parsed: &ResponseHead, head: &[u8], out: &mut Vec<u8>) {
        self.status = parsed.status;
        self.reusable = parsed.keep_alive;
        self.body = BodyDecoder::new(parsed.framing);
        let header = |name: &str| {
            parsed
                .headers
                .find(head, name)
                .and_then(|v| std::str::from_utf8(v).ok())
        };
        let encoded = header("content-encoding").is_some_and(|v| !v.eq_ignore_ascii_case("identity"));
        if let Some(kind) = self.expect.meter {
            let count = |name: &str| header(name).and_then(|v| v.parse().ok());
            let bedrock = if kind == ApiKind::BedrockInvoke {
                BedrockCounts {
                    input: count("x-amzn-bedrock-input-token-count"),
                    output: count("x-amzn-bedrock-output-token-count"),
                    cache_read: count("x-amzn-bedrock-cache-read-input-token-count"),
                    cache_write: count("x-amzn-bedrock-cache-write-input-token-count"),
                }
            } else {
                BedrockCounts::default()
            };
            self.meter = Some(Box::new(Meter::new(
                kind,
                ResponseFacts {
                    status: parsed.status,
                    content_type: header("content-type"),
                    content_encoding: header("content-encoding"),
                    bedrock,
                    streaming_expected: self.expect.stream,
                },
            )));
        }
        // The extra chunk can only be found in a stream that we can read; an encoded one passes with it.
        if self.expect.withhold_usage && parsed.status == 200 && !encoded && parsed.framing.has_body() {
            self.filter = Some(Box::new(Filter {
                chunk: UsageChunkFilter::new(),
                kept: Vec::new(),
            }));
        }
        if self.expect.may_cut && parsed.status == 200 && parsed.framing.has_body() {
            let framing = stream_framing(header("content-type"), self.expect.stream);
            self.events = framing.map(|framing| {
                let framing = if encoded { StreamFraming::Opaque } else { framing };
                Box::new(Events {
                    framing,
                    boundaries: Boundaries::new(framing),
                    last: None,
                })
            });
        }
        let guard = self.expect.guard.take().filter(|_| parsed.framing.has_body());
        let guard = guard.and_then(|(set, kind)| {
            AnswerGuard::new(set, kind, header("content-type"), encoded, self.expect.stream)
        });
        // A length that was announced leaves no room for anything else.
        let acts = guard.as_ref().is_some_and(AnswerGuard::acts);
        let reframed = self.filter.is_some() || self.events.is_some() || acts;
        let framing = match (parsed.framing, reframed, self.expect.version) {
            (Framing::None, _, _) => Framing::None,
            (Framing::Length(n), false, _) => Framing::Length(n),
            (_, _, Version::Http11) => Framing::Chunked,
            (_, _, Version::Http10) => Framing::UntilClose,
        };
        self.chunked_out = framing == Framing::Chunked;
        self.close_delimited = framing == Framing::UntilClose;
        if self.close_delimited {
            self.client_keep_alive = false;
        }
        let mut written = Vec::new();
        let waits = guard.as_ref().is_some_and(|guard| !guard.lets_head_pass());
        let target = if waits { &mut written } else { &mut *out };
        self.write_head(parsed, head, framing, target);
        if !waits && let Some(tap) = &self.tap {
            tap.answer_head(parsed, head);
        }
        self.guard = guard.map(|guard| {
            let stop = guard.refused().map(|why| Step::Unreadable { why });
            let head = waits.then(|| {
                Box::new(HeldHead {
                    parsed: parsed.clone(),
                    bytes: head.to_vec(),
                    written,
                })
            });
            Box::new(Guarded {
                guard,
                kept: Vec::new(),
                head,
                stop,
                asked: false,
            })
        });
        self.stage = Stage::Body;
    }

    fn write_head(&self, parsed: &ResponseHead, head: &[u8], framing: Framing, out: &mut Vec<u8>) {
        emit::status_line(out, parsed.status);
        for (name, value) in parsed.end_to_end(head) {
            if !is_ours(name) {
                emit::field(out, name, value);
            }
        }
        if self.expect.request_id[0] != 0 {
            emit::field(out, b"x-sluice-request-id", &self.expect.request_id);
        }
        match (framing, parsed.content_length) {
            // HEAD and 304 speak of a body that does not come.
            (Framing::None, Some(length)) if parsed.status != 204 => emit::content_length(out, length),
            _ => emit::framing(out, framing),
        }
        connection(out, self.expect.version, self.client_keep_alive);
        emit::end_head(out);
    }

    fn pass(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if matches!(self.stage, Stage::Done) {
            self.reusable &= bytes.is_empty();
            return Ok(());
        }
        let decoded = self.body.decode_in_place(bytes).map_err(Fault::Body)?;
        if decoded.consumed < bytes.len() {
            // Bytes behind the end of a message that nobody asked for: never touch that connection again.
            self.reusable = false;
        }
        let body = bytes.get(..decoded.body).unwrap_or_default();
        if let Some(meter) = &mut self.meter {
            meter.feed(body);
        }
        match self.guard.take() {
            None => self.hand_on(body, out),
            Some(mut guarded) => {
                if guarded.stop.is_none() {
                    guarded.kept.clear();
                    let mut step = guarded.guard.feed(body, self.now_ms, &mut guarded.kept);
                    if step == Step::Go && self.body.is_done() {
                        step = guarded.guard.finish(self.now_ms, &mut guarded.kept);
                    }
                    self.guarded(&mut guarded, step, self.body.is_done(), out);
                }
                self.guard = Some(guarded);
            }
        }
        if self.body.is_done() && self.stopped().is_none() {
            self.end(out);
        }
        Ok(())
    }

    /// Hands on what guardrails let pass.
    fn guarded(&mut self, guarded: &mut Guarded, step: Step, ended: bool, out: &mut Vec<u8>) {
        let go = step == Step::Go;
        // Of an answer that is stopped before anything of it was handed on, nothing is.
        let passes = guarded.guard.lets_head_pass() || ended || !guarded.kept.is_empty();
        if (go || !guarded.kept.is_empty())
            && passes
            && let Some(head) = guarded.head.take()
        {
            out.extend_from_slice(&head.written);
            if let Some(tap) = &self.tap {
                tap.answer_head(&head.parsed, &head.bytes);
            }
        }
        if !go {
            guarded.stop = Some(step);
        }
        self.hand_on(&guarded.kept, out);
    }

    /// Hands on bytes of the body that nobody changes any more.
    fn hand_on(&mut self, body: &[u8], out: &mut Vec<u8>) {
        if let Some(tap) = &self.tap {
            tap.answer(body);
        }
        match self.filter.take() {
            None => self.write_body(body, out),
            Some(mut filter) => {
                filter.kept.clear();
                filter.chunk.feed(body, &mut filter.kept);
                self.write_body(&filter.kept, out);
                self.filter = Some(filter);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(mut filter) = self.filter.take() {
            filter.kept.clear();
            filter.chunk.finish(&mut filter.kept);
            self.write_body(&filter.kept, out);
        }
        if self.chunked_out {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        self.stage = Stage::Done;
    }

    fn write_body(&mut self, body: &[u8], out: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        self.body_bytes = self.body_bytes.saturating_add(body.len() as u64);
        let from = out.len();
        if self.chunked_out {
            let mut size = [0; 18];
            let digits = emit::chunk_header(body.len(), &mut size);
            out.extend_from_slice(size.get(..digits).unwrap_or_default());
        }
        let body_from = out.len();
        out.extend_from_slice(body);
        let body_to = out.len();
        if self.chunked_out {
            out.extend_from_slice(b"\r\n");
        }
        if let Some(events) = &mut self.events {
            let whole = events.boundaries.feed(body);
            events.last = Some(Written {
                from,
                body_from,
                body_to,
                whole,
            });
        }
    }
}

/// How a body is divided into events, as far as its type says; `None` for one that is worth nothing in parts.
fn stream_framing(content_type: Option<&str>, streaming_expected: bool) -> Option<StreamFraming> {
    let media = content_type.unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let is = |known: &str| media.eq_ignore_ascii_case(known);
    if is("text/event-stream") {
        Some(StreamFraming::Sse)
    } else if is("application/vnd.amazon.eventstream") {
        Some(StreamFraming::EventStream)
    } else if is("application/x-ndjson") || is("application/jsonl") || is("application/json-lines") {
        Some(StreamFraming::Ndjson)
    } else if !streaming_expected {
        None
    } else if is("application/json") {
        Some(StreamFraming::JsonArray)
    } else {
        Some(StreamFraming::Opaque)
    }
}

/// Writes the `connection` field where the version's default does not say it.
pub(crate) fn connection(out: &mut Vec<u8>, version: Version, keep_alive: bool) {
    match (version, keep_alive) {
        (Version::Http11, true) | (Version::Http10, false) => {}
        (Version::Http11, false) => emit::close(out),
        (Version::Http10, true) => emit::field(out, b"connection", b"keep-alive"),
    }
}

/// Names that only Sluice may use towards clients.
fn is_ours(name: &[u8]) -> bool {
    name.get(..9)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"x-sluice-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect() -> Expect {
        Expect {
            method: Method::Post,
            version: Version::Http11,
            keep_alive: true,
            meter: None,
            stream: false,
            withhold_usage: false,
            may_cut: false,
            guard: None,
            request_id: [b'a'; 32],
        }
    }

    /// Feeds `input` in pieces of `step` bytes.
    fn run(expect: Expect, input: &[u8], step: usize) -> (Result<(), Fault>, Vec<u8>, Answer) {
        let mut answer = Answer::new(expect, HeadLimits::default());
        let mut out = Vec::new();
        for piece in input.chunks(step) {
            if let Err(fault) = answer.push(&mut piece.to_vec(), &mut out) {
                return (Err(fault), out, answer);
            }
        }
        (Ok(()), out, answer)
    }

    /// The body of what was written, framing removed.
    fn body_of(out: &[u8]) -> Vec<u8> {
        let at = memchr::memmem::find(out, b"\r\n\r\n").unwrap() + 4;
        let head = parse_response(&out[..at], Method::Post, &HeadLimits::default()).unwrap();
        let mut rest = out[at..].to_vec();
        let mut decoder = BodyDecoder::new(head.framing);
        let decoded = decoder.decode_in_place(&mut rest).unwrap();
        assert!(decoder.is_done());
        rest.truncate(decoded.body);
        rest
    }

    #[test]
    fn every_cut_passes_the_same_body() {
        let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Kept: 1\r\n\r\n\
            5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Late: gone\r\n\r\n";
        let length = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Kept: 1\r\n\r\nhello world";
        for input in [chunked.as_slice(), length] {
            for step in 1..=input.len() {
                let (result, out, answer) = run(expect(), input, step);
                assert_eq!(result, Ok(()));
                assert!(answer.is_done() && answer.reusable, "step {step}");
                assert_eq!(body_of(&out), b"hello world", "step {step}");
                assert_eq!(answer.body_bytes, 11);
                let text = String::from_utf8_lossy(&out).into_owned();
                assert!(
                    text.contains("X-Kept: 1\r\n") && !text.contains("X-Late"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn interim_answers_are_dropped_and_counted() {
        let one = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(3);
        let input = [one.as_slice(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"].concat();
        for step in 1..=input.len() {
            let (result, out, answer) = run(expect(), &input, step);
            assert_eq!((result, answer.is_done(), answer.status), (Ok(()), true, 200));
            assert!(!String::from_utf8_lossy(&out).contains("Link"));
        }
        let flood = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(40);
        assert_eq!(run(expect(), &flood, 4096).0, Err(Fault::InterimFlood));
    }

    #[test]
    fn bytes_behind_the_end_condemn_the_connection() {
        let input = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n";
        let (result, out, answer) = run(expect(), input, input.len());
        assert_eq!((result, answer.is_done(), answer.reusable), (Ok(()), true, false));
        assert!(out.ends_with(b"\r\n\r\nok"));
    }

    #[test]
    fn an_early_end_is_a_fault_and_has_no_last_chunk() {
        let input = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let (result, mut out, mut answer) = run(expect(), input, 7);
        assert_eq!(result, Ok(()));
        assert_eq!(
            answer.finish_eof(&mut out),
            Err(Fault::Body(BodyError::Truncated))
        );
        assert!(!out.ends_with(b"0\r\n\r\n"));
    }

    #[test]
    fn a_close_delimited_answer_ends_with_the_connection() {
        let input = b"HTTP/1.0 200 OK\r\n\r\nall of it";
        let (_, mut out, mut answer) = run(expect(), input, 5);
        assert!(!answer.is_done());
        assert_eq!(answer.finish_eof(&mut out), Ok(()));
        assert_eq!(body_of(&out), b"all of it");
        assert!(!answer.reusable);
    }

    #[test]
    fn an_old_client_gets_no_chunks() {
        let input = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let old = Expect {
            version: Version::Http10,
            ..expect()
        };
        let (_, out, answer) = run(old, input, 9);
        assert!(answer.close_delimited && !answer.client_keep_alive);
        assert!(out.ends_with(b"\r\n\r\nok"), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn a_foreign_use_of_our_names_is_dropped() {
        let input = b"HTTP/1.1 200 OK\r\nX-Sluice-Error: fake\r\nContent-Length: 0\r\n\r\n";
        let text = String::from_utf8(run(expect(), input, 99).1).unwrap();
        assert!(
            !text.contains("fake") && text.contains("x-sluice-request-id: aaaa"),
            "{text}"
        );
    }

    /// Feeds pieces of `step` bytes and cuts from byte `cut_at` of the body on; what the client got, and how it went.
    fn cut_run(head: &str, body: &[u8], step: usize, cut_at: usize) -> (Option<Cut>, Vec<u8>) {
        let expect = Expect {
            may_cut: true,
            stream: true,
            ..expect()
        };
        let mut answer = Answer::new(expect, HeadLimits::default());
        let mut got = Vec::new();
        answer.push(&mut head.as_bytes().to_vec(), &mut got).unwrap();
        let mut fed = 0;
        for piece in body.chunks(step) {
            let mut out = Vec::new();
            answer.push(&mut piece.to_vec(), &mut out).unwrap();
            fed += piece.len();
            let mut cut = None;
            if fed >= cut_at && answer.is_cuttable() {
                cut = Some(answer.cut(&mut out, |framing, out| {
                    assert_ne!(framing, StreamFraming::Opaque);
                    out.extend_from_slice(b"NEWS");
                    true
                }));
            }
            got.extend_from_slice(&out);
            if let Some(cut @ (Cut::Told | Cut::Untold)) = cut {
                assert!(cut == Cut::Untold || !answer.client_keep_alive && !answer.reusable);
                return (Some(cut), got);
            }
        }
        (None, got)
    }

    #[test]
    fn a_stream_is_cut_behind_a_whole_event() {
        let events = ["data: 1\n\n", "data: two\n\n", "data: 3\n\n"];
        let body = events.concat();
        let ends: Vec<usize> = events
            .iter()
            .scan(0, |at, event| {
                *at += event.len();
                Some(*at)
            })
            .collect();
        // A length that was announced is given up; what ends with the connection stays so.
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            body.len() + 100
        );
        for step in 1..=body.len() {
            for cut_at in 0..body.len() {
                let (cut, got) = cut_run(&head, body.as_bytes(), step, cut_at);
                assert_eq!(cut, Some(Cut::Told), "step {step} from {cut_at}");
                let text = body_of(&got);
                let kept = text.strip_suffix(b"NEWS").unwrap();
                assert!(
                    kept.is_empty() || ends.contains(&kept.len()),
                    "{}",
                    text.escape_ascii()
                );
                assert!(body.as_bytes().starts_with(kept));
                // Nothing whole is lost: the piece that was cut in began behind it, or within it.
                let fed = cut_at.max(1).div_ceil(step) * step;
                let whole = ends.iter().filter(|&&end| end <= fed.min(body.len())).max();
                assert!(
                    kept.len() >= whole.copied().unwrap_or(0),
                    "step {step} from {cut_at}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_place_for_news_is_cut_without() {
        for (kind, encoding, cuttable) in [
            ("text/event-stream", "Content-Encoding: gzip\r\n", true),
            ("application/json", "", true),
            ("audio/mpeg", "", true),
        ] {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{encoding}Transfer-Encoding: chunked\r\n\r\n"
            );
            let (cut, got) = cut_run(&head, b"3\r\n[{}\r\n", 99, 1);
            assert_eq!(cut, cuttable.then_some(Cut::Untold), "{kind}");
            assert!(got.ends_with(b"3\r\n[{}\r\n"), "{}", got.escape_ascii());
        }
        assert_eq!(stream_framing(Some("application/json"), false), None);
        assert_eq!(stream_framing(Some("image/png"), false), None);
        assert_eq!(
            stream_framing(Some("application/x-ndjson"), false),
            Some(StreamFraming::Ndjson)
        );
        assert_eq!(
            stream_framing(Some("application/vnd.amazon.eventstream"), true),
            Some(StreamFraming::EventStream)
        );
    }

    #[test]
    fn nothing_is_cut_that_may_not_be() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n";
        let (_, out, answer) = run(expect(), head.as_bytes(), 4096);
        assert!(!answer.is_cuttable());
        assert!(String::from_utf8_lossy(&out).contains("content-length: 9"));
        // A whole answer is whole: nothing is left to be cut.
        let expect = Expect {
            may_cut: true,
            ..expect()
        };
        let (_, out, answer) = run(expect, &[head.as_bytes(), b"data: 1\n\n"].concat(), 4096);
        assert!(answer.is_done() && !answer.is_cuttable());
        assert_eq!(body_of(&out), b"data: 1\n\n");
    }
}
