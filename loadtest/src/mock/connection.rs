//! One connection: requests one after another, answers event by event, faults on the socket itself.
//!
//! While an answer is being sent the connection is also read, so that a peer that leaves is noticed at once and the
//! ledger knows when. What a peer sends ahead is kept for the next request.

use std::fmt::Write as _;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::answer::{Answer, Draft, DraftBody, ID_PLACEHOLDER};
use super::ask::{Ask, mock_setting};
use super::head::{Head, ReadError, has_body, read_body, read_head};
use super::ledger::{Ending, Entry};
use super::reply::Reply;
use super::route::{Kind, classify};
use super::settings::{Compress, Fault, Framing};
use super::{
    State, anthropic, bedrock, errors, gemini, lock, ollama, openai_chat, openai_other, openai_responses,
    unix_micros,
};

/// Bytes a peer may send ahead before it is no longer listened to.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// How long a stalled answer waits for its peer to give up.
const STALL: Duration = Duration::from_secs(600);
/// How long unread bytes are drained after an early answer.
const DRAIN: Duration = Duration::from_secs(5);
/// Entries that one call of the ledger gives at most.
const LEDGER_PAGE_MAX: usize = 10_000;

/// Counts one thing that is open, while it lives.
struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    fn up(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection until either side is done with it.
pub(super) async fn run(stream: TcpStream, state: Arc<State>) {
    let _without_it_only_slower = stream.set_nodelay(true);
    state.stats.connections_total.fetch_add(1, Ordering::Relaxed);
    let _open = Gauge::up(&state.stats.connections_open);
    let mut buffer = BytesMut::new();
    while exchange(&stream, &mut buffer, &state).await == Next::KeepAlive {}
}

#[derive(PartialEq, Eq, Debug, Clone, Copy)]
enum Next {
    KeepAlive,
    Close,
}

/// How sending an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    ended: Ending,
    events: usize,
}

/// One request and its answer.
async fn exchange(stream: &TcpStream, buffer: &mut BytesMut, state: &State) -> Next {
    let head = match read_head(stream, buffer).await {
        Ok(head) => head,
        Err(ReadError::Closed { .. }) => return Next::Close,
        Err(ReadError::Bad(status, message)) => {
            refuse(stream, status, message).await;
            return Next::Close;
        }
    };
    let (kind, path_model) = classify(head.method(), head.target());
    let _open = Gauge::up(&state.stats.requests_open);
    let seq = kind
        .counts()
        .then(|| lock(&state.ledger).begin(entry(&head, kind, &state.options.ledger_headers)));
    let early = state.options.settings.early || matches!(head.field("x-mock-early"), Some("1" | "true"));
    let body = if early {
        Bytes::new()
    } else {
        if head.expects_continue() && has_body(&head) {
            let _seen_by_the_read = write_all(stream, b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        match read_body(stream, buffer, &head).await {
            Ok(body) => body,
            Err(error) => {
                let ended = match error {
                    ReadError::Closed { reset: true } => Ending::ClientReset,
                    ReadError::Closed { reset: false } => Ending::ClientClosed,
                    ReadError::Bad(status, message) => {
                        refuse(stream, status, message).await;
                        Ending::Refused
                    }
                };
                finish(state, seq, Sent { ended, events: 0 });
                return Next::Close;
            }
        }
    };
    let id = state.answer_id();
    let answer = answer(state, kind, path_model, &head, &body, &id);
    if let Some(seq) = seq
        && let Some(entry) = lock(&state.ledger).entry(seq)
    {
        entry.answer_id = Some(id.clone());
        entry.model.clone_from(&answer.model);
        entry.stream = answer.stream;
        entry.input_tokens = answer.input;
        entry.output_tokens = answer.output;
        entry.body_bytes = body.len() as u64;
        entry.body_crc32c = format!("{:08x}", crc32c::crc32c(&body));
        entry.events = answer.frames.len() as u64;
    }
    let _stream_open = answer.stream.then(|| {
        let gauge = Gauge::up(&state.stats.streams_open);
        state.stats.streams_open_max.fetch_max(
            state.stats.streams_open.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        gauge
    });
    let close = early || head.wants_close() || answer.framing == Framing::Close;
    let sent = send(stream, buffer, &answer, &id, head.method() == "HEAD", close).await;
    if let Some(seq) = seq
        && sent.ended == Ending::Complete
        && let Some(entry) = lock(&state.ledger).entry(seq)
    {
        entry.status = answer.status;
    }
    finish(state, seq, sent);
    if sent.ended != Ending::Complete {
        return Next::Close;
    }
    if close {
        shut(stream);
        let _enough = timeout(DRAIN, drain(stream)).await;
        return Next::Close;
    }
    Next::KeepAlive
}

fn entry(head: &Head, kind: Kind, noted: &[String]) -> Entry {
    let noted = noted
        .iter()
        .filter_map(|name| Some((name.clone(), head.field(name)?.to_owned())));
    Entry {
        seq: 0,
        id: head.field("x-mock-id").map(str::to_owned),
        answer_id: None,
        gateway_id: head.field("x-sluice-request-id").map(str::to_owned),
        api: kind.name().to_owned(),
        headers: noted.collect(),
        target: head.target().to_owned(),
        model: String::new(),
        stream: false,
        status: 0,
        input_tokens: 0,
        output_tokens: 0,
        body_bytes: 0,
        body_crc32c: String::new(),
        events: 0,
        events_sent: 0,
        ended: Ending::Running,
        started_us: unix_micros(),
        ended_us: 0,
    }
}

fn finish(state: &State, seq: Option<u64>, sent: Sent) {
    let Some(seq) = seq else { return };
    let now = unix_micros();
    if let Some(entry) = lock(&state.ledger).entry(seq) {
        entry.ended = sent.ended;
        entry.events_sent = sent.events as u64;
        entry.ended_us = now;
    }
}

/// The answer to a request: from the cache, or rendered now.
fn answer(
    state: &State,
    kind: Kind,
    path_model: Option<String>,
    head: &Head,
    body: &Bytes,
    id: &str,
) -> Arc<Answer> {
    let key = cache_key(kind, head, body);
    let shared = kind.counts() && head.field("x-mock-echo").is_none();
    if shared && let Some(answer) = state.cached(key) {
        return answer;
    }
    let ask = match Ask::new(
        kind,
        path_model.clone(),
        head,
        body.clone(),
        &state.options.settings,
    ) {
        Ok(ask) => ask,
        Err(message) => {
            let settings = &state.options.settings;
            let draft = errors::draft(kind, 400, &message, settings, id);
            return Arc::new(Answer::new(draft, settings, "", !head.old));
        }
    };
    // Checksums cover the ids of Bedrock's events and of compressed answers, so those are not shared.
    let checksummed = kind.family() == super::route::Family::Bedrock
        || !matches!(ask.settings.compress, None | Some(Compress::None));
    let shared = shared && !checksummed && !ask.settings.echo;
    let rendered_id = if shared { ID_PLACEHOLDER } else { id };
    let draft = draft(
        state,
        &ask,
        head,
        path_model,
        rendered_id,
        unix_micros() / 1_000_000,
    );
    let answer = Arc::new(Answer::new(draft, &ask.settings, &ask.model, !head.old));
    if shared {
        state.keep(key, &answer);
    }
    answer
}

/// Everything that an answer depends on. The body is taken as length and CRC-32C: two requests that differ only in
/// bodies of equal length and checksum get the same answer, which a mock can bear.
fn cache_key(kind: Kind, head: &Head, body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    head.target().hash(&mut hasher);
    head.old.hash(&mut hasher);
    for (name, value) in head.fields() {
        if mock_setting(name).is_some_and(|setting| setting != "id") {
            name.hash(&mut hasher);
            value.hash(&mut hasher);
        }
    }
    body.len().hash(&mut hasher);
    crc32c::crc32c(body).hash(&mut hasher);
    hasher.finish()
}

/// What a request is answered with; `now` in Unix seconds.
fn draft(state: &State, ask: &Ask, head: &Head, path_model: Option<String>, id: &str, now: u64) -> Draft {
    match ask.kind {
        Kind::Root => {
            return Draft::whole(
                "text/plain; charset=utf-8",
                b"the mock provider of Sluice\n".to_vec(),
            );
        }
        Kind::Models => return openai_other::models(head, path_model, &state.options),
        Kind::Ledger => return ledger_page(state, ask),
        Kind::Stats => return Draft::json(&stats(state)),
        Kind::Reset => {
            lock(&state.ledger).clear();
            return Draft::json(&json!({"reset": true}));
        }
        _ => {}
    }
    if ask.settings.echo {
        return Draft::json(&echo(ask, head));
    }
    if let Some(status) = ask.settings.status.filter(|status| *status >= 300) {
        let message = format!("the mock was told to answer {status}");
        return errors::draft(ask.kind, status, &message, &ask.settings, id);
    }
    if ask.kind == Kind::Unknown {
        let upgrade = head.field("upgrade").is_some();
        let (status, message) = match upgrade {
            true => (426, "the mock speaks no websockets"),
            false => (404, "the mock knows no such path"),
        };
        return errors::draft(ask.kind, status, message, &ask.settings, id);
    }
    let mut draft = provider(ask, &Reply::new(ask, id, now));
    if let Some(status) = ask.settings.status {
        draft.status = status;
    }
    draft
}

/// The answer in the shape of the kind's provider.
pub(super) fn provider(ask: &Ask, reply: &Reply) -> Draft {
    match ask.kind {
        Kind::Chat | Kind::Completions => openai_chat::answer(ask, reply),
        Kind::Responses => openai_responses::answer(ask, reply),
        Kind::ResponsesInputTokens => openai_responses::input_tokens(ask),
        Kind::Embeddings => openai_other::embeddings(ask, reply),
        Kind::Images => openai_other::images(ask, reply),
        Kind::Speech => openai_other::speech(ask, reply),
        Kind::Transcription => openai_other::transcription(ask, reply),
        Kind::Moderations => openai_other::moderations(ask, reply),
        Kind::Rerank => openai_other::rerank(ask, reply),
        Kind::Messages | Kind::VertexRaw | Kind::VertexRawStream => anthropic::answer(ask, reply),
        Kind::CountTokens | Kind::VertexRawCount => anthropic::count(ask),
        Kind::GeminiGenerate
        | Kind::GeminiStream
        | Kind::GeminiCount
        | Kind::GeminiEmbed
        | Kind::GeminiBatchEmbed
        | Kind::VertexPredict => gemini::answer(ask, reply),
        Kind::BedrockInvoke
        | Kind::BedrockInvokeStream
        | Kind::BedrockConverse
        | Kind::BedrockConverseStream
        | Kind::BedrockCount => bedrock::answer(ask, reply),
        Kind::OllamaChat | Kind::OllamaGenerate | Kind::OllamaEmbed | Kind::OllamaEmbeddings => {
            ollama::answer(ask, reply)
        }
        Kind::Models | Kind::Root | Kind::Ledger | Kind::Stats | Kind::Reset | Kind::Unknown => {
            Draft::whole("text/plain", Vec::new())
        }
    }
}

fn echo(ask: &Ask, head: &Head) -> Value {
    json!({
        "method": head.method(),
        "target": head.target(),
        "headers": head.fields().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
        "body_bytes": ask.raw.len(),
        "body_crc32c": format!("{:08x}", crc32c::crc32c(&ask.raw)),
        "model": ask.model,
        "input_tokens": ask.input_tokens(),
    })
}

fn ledger_page(state: &State, ask: &Ask) -> Draft {
    let number = |name: &str| ask.query(name).and_then(|text| text.parse::<usize>().ok());
    let since = number("since").unwrap_or(0) as u64;
    let limit = number("limit").unwrap_or(1000).min(LEDGER_PAGE_MAX);
    let ledger = lock(&state.ledger);
    let (total, dropped) = ledger.counts();
    Draft::json(&json!({"total": total, "dropped": dropped, "entries": ledger.since(since, limit)}))
}

fn stats(state: &State) -> Value {
    let (total, dropped) = lock(&state.ledger).counts();
    let stats = &state.stats;
    let read = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
    json!({
        "connections_open": read(&stats.connections_open),
        "connections_total": read(&stats.connections_total),
        // This very request is one of them.
        "requests_open": read(&stats.requests_open).saturating_sub(1),
        "streams_open": read(&stats.streams_open),
        "streams_open_max": read(&stats.streams_open_max),
        "requests_total": total,
        "ledger_dropped": dropped,
    })
}

/// Sends an answer with its pauses and faults.
async fn send(
    stream: &TcpStream,
    buffer: &mut BytesMut,
    answer: &Answer,
    id: &str,
    head_only: bool,
    close: bool,
) -> Sent {
    let body = answer.body_with_id(id);
    let head = response_head(answer, &body, close, id);
    let settings = &answer.settings;
    let mut sending = Sending {
        stream,
        gone: pin!(gone(stream, buffer)),
        events: 0,
    };
    let pause = |ms: Option<u32>| Duration::from_millis(u64::from(ms.unwrap_or(0)));
    let outcome: Result<(), Stop> = async {
        sending.wait(pause(settings.head_ms)).await?;
        if let Some(fault) = settings.fault.filter(|fault| fault.after().is_none()) {
            return sending.fault(fault, &head).await;
        }
        if head_only || matches!(answer.status, 204 | 304) {
            return sending.write(&head).await;
        }
        sending
            .body(
                answer,
                head,
                &body,
                pause(settings.first_byte_ms),
                pause(settings.gap_ms),
            )
            .await
    }
    .await;
    let ended = match outcome {
        Ok(()) => Ending::Complete,
        Err(Stop::Cut) => Ending::Cut,
        Err(Stop::Gone { reset: true }) => Ending::ClientReset,
        Err(Stop::Gone { reset: false }) => Ending::ClientClosed,
    };
    Sent {
        ended,
        events: sending.events,
    }
}

/// Why sending ended before its time.
enum Stop {
    Cut,
    Gone { reset: bool },
}

/// Sending with an eye on the peer.
struct Sending<'a, F> {
    stream: &'a TcpStream,
    gone: Pin<&'a mut F>,
    events: usize,
}

impl<F: Future<Output = bool>> Sending<'_, F> {
    async fn body(
        &mut self,
        answer: &Answer,
        mut head: Vec<u8>,
        body: &[u8],
        first: Duration,
        gap: Duration,
    ) -> Result<(), Stop> {
        let fault = answer
            .settings
            .fault
            .filter(|fault| !matches!(fault, Fault::Error(_)));
        if !first.is_zero() {
            self.write(&head).await?;
            head.clear();
            self.wait(first).await?;
        }
        if let Some(fault) = fault {
            self.write(&head).await?;
            return self.faulty(answer, body, gap, fault).await;
        }
        if gap.is_zero() && !answer.settings.write_each {
            head.extend_from_slice(body);
            self.write(&head).await?;
            self.events = answer.frames.len();
            return Ok(());
        }
        // The head goes with the first event, the end of the body with the last.
        let mut timer = pin!(sleep_until(Instant::now()));
        let begin = Instant::now();
        let last = answer.frames.len().saturating_sub(1);
        let mut start = 0;
        for (at, frame) in answer.frames.iter().enumerate() {
            if at > 0 && !gap.is_zero() {
                self.until(
                    timer.as_mut(),
                    begin + gap.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX)),
                )
                .await?;
            }
            let end = if at == last { body.len() } else { frame.end };
            let bytes = body.get(start..end).unwrap_or_default();
            if at == 0 && !head.is_empty() {
                head.extend_from_slice(bytes);
                self.write(&head).await?;
            } else {
                self.write(bytes).await?;
            }
            self.events += 1;
            start = end;
        }
        if answer.frames.is_empty() {
            head.extend_from_slice(body);
            self.write(&head).await?;
        }
        Ok(())
    }

    /// Whole events as far as the fault lets them, then the fault.
    async fn faulty(
        &mut self,
        answer: &Answer,
        body: &[u8],
        gap: Duration,
        fault: Fault,
    ) -> Result<(), Stop> {
        let after = fault.after().unwrap_or(0) as usize;
        let mut start = 0;
        if !answer.stream && after > 0 {
            self.write(body.get(..body.len() / 2).unwrap_or_default()).await?;
            start = body.len() / 2;
        } else {
            for (at, frame) in answer.frames.iter().take(after).enumerate() {
                if at > 0 {
                    self.wait(gap).await?;
                }
                self.write(body.get(start..frame.end).unwrap_or_default()).await?;
                self.events += 1;
                start = frame.end;
            }
        }
        let next = answer
            .frames
            .get(self.events)
            .map_or(body.len(), |frame| frame.end);
        self.fault(fault, body.get(start..next.max(start)).unwrap_or_default())
            .await
    }

    /// `next` is what would have been sent.
    async fn fault(&mut self, fault: Fault, next: &[u8]) -> Result<(), Stop> {
        match fault {
            Fault::Stall(_) => self.wait(STALL).await?,
            Fault::Reset(_) => {
                let _else_it_is_a_fin = self.stream.set_zero_linger();
            }
            Fault::Half(_) => self.write(next.get(..next.len() / 2).unwrap_or_default()).await?,
            Fault::Fin(_) | Fault::Error(_) => {}
        }
        Err(Stop::Cut)
    }

    async fn wait(&mut self, pause: Duration) -> Result<(), Stop> {
        if pause.is_zero() {
            return Ok(());
        }
        let deadline = Instant::now() + pause;
        self.until(pin!(sleep_until(deadline)), deadline).await
    }

    async fn until(&mut self, mut timer: Pin<&mut Sleep>, deadline: Instant) -> Result<(), Stop> {
        timer.as_mut().reset(deadline);
        tokio::select! {
            biased;
            reset = self.gone.as_mut() => Err(Stop::Gone { reset }),
            () = timer => Ok(()),
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(0) => return Err(Stop::Gone { reset: false }),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::select! {
                        biased;
                        reset = self.gone.as_mut() => return Err(Stop::Gone { reset }),
                        ready = self.stream.writable() => if ready.is_err() {
                            return Err(Stop::Gone { reset: true });
                        },
                    }
                }
                Err(_) => return Err(Stop::Gone { reset: true }),
            }
        }
        Ok(())
    }
}

/// Ends when the peer has closed; true if by a reset. Keeps what the peer sends ahead.
async fn gone(stream: &TcpStream, buffer: &mut BytesMut) -> bool {
    loop {
        if stream.readable().await.is_err() {
            return true;
        }
        if buffer.len() > AHEAD_BYTES_MAX {
            return std::future::pending().await;
        }
        match stream.try_read_buf(buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return true,
        }
    }
}

fn response_head(answer: &Answer, body: &[u8], close: bool, id: &str) -> Vec<u8> {
    let mut head = String::with_capacity(512);
    let _infallible = write!(head, "HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    head.push_str(&answer.fields);
    if answer.framing == Framing::Chunked {
        head.push_str("transfer-encoding: chunked\r\n");
    }
    if answer.settings.verify {
        let _infallible = write!(head, "x-mock-body-crc32c: {:08x}\r\n", answer.crc(body));
    }
    if close {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    head.replace(ID_PLACEHOLDER, id).into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        529 => "Overloaded",
        _ => "Status",
    }
}

/// Answers what is no request, and closes.
async fn refuse(stream: &TcpStream, status: u16, message: &str) {
    let body = json!({"error": message}).to_string();
    let answer = Draft {
        status,
        body: DraftBody::Whole(body.into_bytes()),
        ..Draft::whole("application/json", Vec::new())
    };
    let answer = Answer::new(answer, &super::Settings::default(), "", true);
    let body = answer.body_with_id("");
    let mut bytes = response_head(&answer, &body, true, "");
    bytes.extend_from_slice(&body);
    let _gone_already = write_all(stream, &bytes).await;
    shut(stream);
    let _enough = timeout(DRAIN, drain(stream)).await;
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends our direction, so that the peer reads the answer before it hears of bytes left unread.
fn shut(stream: &TcpStream) {
    use std::os::fd::AsFd as _;
    if let Ok(fd) = stream.as_fd().try_clone_to_owned() {
        let _closed_already = std::net::TcpStream::from(fd).shutdown(std::net::Shutdown::Write);
    }
}

async fn drain(stream: &TcpStream) {
    let mut sink = vec![0; 16 << 10];
    loop {
        match stream.try_read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stream.readable().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
