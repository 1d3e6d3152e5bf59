//! One request from its head to its end: the phases, each one function.
//!
//! head → identify → body → admit → forward → relay → settle. A phase either hands on or ends the exchange with an
//! error in the caller's own format. Everything before the first byte of the answer lives in one boxed future
//! ([`prepare`]), so that a running stream, which may last for an hour, holds none of it.

use std::cell::OnceCell;
use std::pin::Pin;
use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode, ErrorFamily};
use sluice_proto::http1::{Framing, RequestHead, Version, parse_request, query};
use sluice_proto::json::Facts;
use sluice_proto::route::{Access, Endpoint, Method as RouteMethod, PathError, Route, classify, valid_model};
use sluice_proto::session::session;
use sluice_proto::splice::{Edit, Edits, include_usage, replace_model};
use sluice_shared::api::{ApiKind, Flag};
use sluice_shared::usage::Ended;
use smallvec::SmallVec;

use crate::answer::{Answer, Expect};
use crate::body::{self, Body, BodyFail, Scan};
use crate::clock;
use crate::config::{Config, Provider};
use crate::downstream::{Downstream, Next, error_bytes, rejected};
use crate::identity::facts::Basis;
use crate::policy::{Candidate, Policy, Verdict};
use crate::quota::need::Call;
use crate::shard::Held;
use crate::tally::Tally;
use crate::upstream::Upstream;

mod budget;
pub(crate) mod caller;
mod control;
mod forward;
mod head;
mod inspect;
mod local;
mod relay;

/// Longest `user-agent` that is recorded, in bytes.
const USER_AGENT_BYTES_MAX: usize = 256;

/// A request whose answer has begun to arrive.
pub(crate) struct Live {
    upstream: Upstream,
    answer: Answer,
    /// `None` for what is relayed to the control plane.
    tally: Option<Tally>,
    provider: Option<std::sync::Arc<Provider>>,
    /// The request went out whole; only then can the connection be used again.
    sent_whole: bool,
    /// Bytes of the answer that lie in the shard's scratch space; nothing is awaited before they are used.
    first_bytes: usize,
    first_byte_ms: u64,
    pool_idle_ms: u64,
    pool_idle_count: u64,
    idle_ms: u64,
    /// Memory that guardrails hold of the answer.
    held: Held,
    held_bytes_max: u64,
}

/// What preparing a request came to.
enum Prepared {
    Done(Next),
    Live(Box<Live>),
}

/// A parsed head and the bytes it was parsed from.
struct Head {
    bytes: Vec<u8>,
    parsed: RequestHead,
}

impl Head {
    fn find(&self, name: &str) -> Option<&[u8]> {
        self.parsed.headers.find(&self.bytes, name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// Runs one exchange.
pub(crate) async fn run(conn: &mut Downstream, config: &Rc<Config>, head_bytes: usize) -> Next {
    let next = match prepared(conn, config, head_bytes).await {
        Prepared::Done(next) => next,
        Prepared::Live(live) => relay::run(conn, live).await,
    };
    conn.watch.rests_on(Basis::address_only());
    next
}

/// [`prepare`] in a box. Made outside of any async function, so that no running stream keeps room for it.
fn prepared<'a>(
    conn: &'a mut Downstream,
    config: &'a Rc<Config>,
    head_bytes: usize,
) -> Pin<Box<dyn Future<Output = Prepared> + 'a>> {
    Box::pin(prepare(conn, config, head_bytes))
}

async fn prepare(conn: &mut Downstream, config: &Rc<Config>, head_bytes: usize) -> Prepared {
    let mut bytes = conn.shard.take_buffer();
    bytes.extend_from_slice(conn.buf.get(..head_bytes).unwrap_or_default());
    conn.buf.drain(..head_bytes.min(conn.buf.len()));
    if conn.buf.is_empty() {
        let buf = std::mem::take(&mut conn.buf);
        conn.shard.give_buffer(buf);
    }
    let parsed = match parse_request(&bytes, &config.head_limits) {
        Ok(parsed) => parsed,
        Err(reject) => {
            let answer = rejected(reject);
            conn.shard.metrics.borrow_mut().reject(answer.code.name());
            return Prepared::Done(
                conn.refuse(ErrorFamily::Plain, &answer, None, Version::Http11)
                    .await,
            );
        }
    };
    let head = Head { bytes, parsed };
    caller::count_claims(conn, config, &head);
    let prepared = dispatch(conn, config, &head).await;
    conn.shard.give_buffer(head.bytes);
    prepared
}

async fn dispatch(conn: &mut Downstream, config: &Rc<Config>, head: &Head) -> Prepared {
    let path = head.parsed.path(&head.bytes);
    let serves = conn.serves(config);
    let route = match classify(RouteMethod::parse(head.parsed.method.as_str().as_bytes()), path) {
        Ok(route) => route,
        // A web socket is asked for by GET on a path that takes POST: say what would help, not what is wrong.
        Err(PathError::MethodNotAllowed { .. }) if head.parsed.upgrade => {
            let kind = classify(RouteMethod::Post, path)
                .ok()
                .and_then(|route| route.kind());
            let family = kind.map_or(ErrorFamily::Plain, ApiKind::error_family);
            return Prepared::Done(refuse(conn, head, family, &upgrade_refused()).await);
        }
        Err(error) => {
            let answer = ErrorAnswer::from_path(error);
            conn.shard.metrics.borrow_mut().reject(answer.code.name());
            return Prepared::Done(refuse(conn, head, ErrorFamily::Plain, &answer).await);
        }
    };
    let served = match route.endpoint {
        Endpoint::Api(_) | Endpoint::ResponsesById | Endpoint::ModelsList | Endpoint::ModelsOne => serves.llm,
        Endpoint::ControlPlane => serves.admin,
        Endpoint::Root | Endpoint::Healthz | Endpoint::Readyz | Endpoint::Metrics => true,
    };
    if !served {
        let answer = ErrorAnswer::from_path(PathError::NotFound);
        return Prepared::Done(refuse(conn, head, ErrorFamily::Plain, &answer).await);
    }
    if matches!(route.endpoint, Endpoint::ControlPlane)
        && let Err(answer) = control::guard(conn, config, head)
    {
        conn.shard.metrics.borrow_mut().reject(answer.code.name());
        return Prepared::Done(refuse(conn, head, ErrorFamily::Plain, &answer).await);
    }
    if head.parsed.upgrade {
        let family = route.kind().map_or(ErrorFamily::Plain, ApiKind::error_family);
        return Prepared::Done(refuse(conn, head, family, &upgrade_refused()).await);
    }
    let access = route.endpoint.access();
    if matches!(access, Access::RoleAndModel | Access::RoleAndAnyModel) {
        let kind = route.kind().unwrap_or(ApiKind::OpenAiResponses);
        return call(conn, config, head, &route, kind).await;
    }
    let caller = match caller::admit(conn, config, head, access).await {
        Ok(caller) => caller.map(|caller| caller.policy),
        Err(answer) => {
            conn.shard.metrics.borrow_mut().reject(answer.code.name());
            let family = local::family(head, &route);
            return Prepared::Done(refuse(conn, head, family, &answer).await);
        }
    };
    match (route.endpoint, caller) {
        (Endpoint::ControlPlane, Some(policy)) => control::relay(conn, config, head, &policy).await,
        (endpoint, caller) => {
            Prepared::Done(local::answer(conn, config, head, &route, endpoint, caller.as_deref()).await)
        }
    }
}

fn upgrade_refused() -> ErrorAnswer {
    let message = "this gateway serves no web sockets here; send the request by POST";
    ErrorAnswer::new(ErrorCode::UpgradeRequired, message)
}

/// Refuses a request that leaves no record.
async fn refuse(conn: &mut Downstream, head: &Head, family: ErrorFamily, answer: &ErrorAnswer) -> Next {
    if head.parsed.framing.has_body() || !head.parsed.keep_alive {
        return conn.refuse(family, answer, None, head.parsed.version).await;
    }
    let id = conn.shard.next_request_id();
    let bytes = error_bytes(family, answer, id, head.parsed.version, true);
    if conn.write(&bytes).await {
        Next::KeepAlive
    } else {
        Next::Close
    }
}

/// A call of an LLM API: identified, read, admitted, forwarded.
async fn call(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    route: &Route,
    kind: ApiKind,
) -> Prepared {
    let started = clock::mono_now();
    let mut tally = Tally::open(&conn.shard, config.epoch, kind, started);
    if let Some(record) = tally.record() {
        record.path = String::from_utf8_lossy(head.parsed.path(&head.bytes)).into_owned();
        record.user_agent = head
            .text("user-agent")
            .map(|agent| cut(agent, USER_AGENT_BYTES_MAX).to_owned());
    }
    match admitted(conn, config, head, route, kind, &mut tally).await {
        Ok(admitted) => forward::run(conn, config, head, route, tally, admitted).await,
        Err(Refusal::Answer { answer, body_read }) => {
            Prepared::Done(refuse_call(conn, head, kind, tally, &answer, body_read, Ended::Blocked).await)
        }
        Err(Refusal::Gone) => {
            tally.settle(Ended::ClientGone, 0, None, 0);
            Prepared::Done(Next::Close)
        }
    }
}

/// Why a call goes no further.
enum Refusal {
    Answer { answer: ErrorAnswer, body_read: bool },
    Gone,
}

/// A call that may be forwarded.
struct Admitted {
    policy: Rc<Policy>,
    verdict: Rc<Verdict>,
    body: Body,
    facts: Facts,
    stream: bool,
    /// The usage chunk must be asked for, and held back from the client.
    withhold_usage: bool,
    is_form: bool,
    /// The client's credential is ours: no provider may see it.
    own_credential: bool,
    /// The model as the client named it; empty where a call names none.
    asked: String,
    /// Whether the answer's usage counts. A stored response states its usage at every look at it; counting each would
    /// bill one answer many times, so those records say "unknown".
    counts: bool,
    /// Nobody bills it: it touches no quota.
    free: bool,
}

async fn admitted(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    route: &Route,
    kind: ApiKind,
    tally: &mut Tally,
) -> Result<Admitted, Refusal> {
    let unread = !head.parsed.framing.has_body();
    let early = |answer: ErrorAnswer| Refusal::Answer {
        answer,
        body_read: unread,
    };
    let access = route.endpoint.access();
    let caller = caller::identify(conn, config, head).await.map_err(early)?;
    let policy = caller.policy;
    if let Some(record) = tally.record() {
        record.user.clone_from(&policy.principal.login);
        record.node.clone_from(&policy.principal.node);
        record.tags.clone_from(&policy.principal.tags);
    }
    // The record says who they were even of those who are let in no further.
    caller::permit(&policy, access).map_err(early)?;
    if let Err(reject) = head.parsed.refuse_encoded(&head.bytes) {
        return Err(early(ErrorAnswer::new(
            ErrorCode::UnsupportedEncoding,
            reject.reason(),
        )));
    }
    let by_id = is_by_id(route);
    let content_type = head.find("content-type");
    let mut scan = if by_id || !head.parsed.method.expects_body() {
        Scan::Nobody
    } else {
        Scan::new(kind, content_type).map_err(early)?
    };
    let is_form = matches!(scan, Scan::Multipart(_));
    let bytes_max = config.limits.body_bytes_for(kind);
    let framing = if matches!(head.parsed.framing, Framing::None) {
        Framing::Length(0)
    } else {
        head.parsed.framing
    };
    let body = body::read(
        conn,
        config,
        framing,
        head.parsed.expect_continue,
        bytes_max,
        &mut scan,
    )
    .await
    .map_err(|fail| match fail {
        BodyFail::Refuse(answer) => Refusal::Answer {
            answer,
            body_read: false,
        },
        BodyFail::Gone => Refusal::Gone,
    })?;
    if let Some(record) = tally.record() {
        record.request_bytes = body.bytes;
    }
    let judged = judge(config, head, route, kind, tally, &policy, scan, &body);
    let Judged {
        verdict,
        facts,
        stream,
        asked,
    } = match judged {
        Ok(judged) => judged,
        Err(answer) => {
            tally.watched(config, None);
            let body = body.chunks.iter().map(Vec::as_slice);
            tally.capture_unsent(config, (&head.bytes, &head.parsed), body);
            return Err(Refusal::Answer {
                answer,
                body_read: true,
            });
        }
    };
    let withhold_usage = wants_usage(kind, stream, is_form, &facts);
    Ok(Admitted {
        policy,
        verdict,
        body,
        facts,
        stream,
        withhold_usage,
        is_form,
        own_credential: caller.own_credential,
        asked,
        counts: !by_id,
        free: by_id || route.free || !kind.billed(),
    })
}

/// What a call whose body was read asks for.
struct Judged {
    verdict: Rc<Verdict>,
    facts: Facts,
    stream: bool,
    asked: String,
}

/// What a body asks for, and whether the caller may have it.
fn judge(
    config: &Config,
    head: &Head,
    route: &Route,
    kind: ApiKind,
    tally: &mut Tally,
    policy: &Policy,
    mut scan: Scan,
    body: &Body,
) -> Result<Judged, ErrorAnswer> {
    let facts = scan.finish()?;
    let stream = wants_stream(route, kind, &facts);
    let asked = asked_model(route, &facts)?;
    if let Some(record) = tally.record() {
        record.model_asked.clone_from(&asked);
        record.stream = stream;
        let chunks: SmallVec<[&[u8]; 16]> = body.chunks.iter().map(Vec::as_slice).collect();
        let session = session(kind, |name| head.find(name), &facts, &chunks);
        record.session = session.key;
        record.session_source = session.source;
        record.agent = session.agent;
        record.parent = session.parent;
    }
    let verdict = decide(config, policy, route, kind, &asked)?;
    Ok(Judged {
        verdict,
        facts,
        stream,
        asked,
    })
}

/// Whether a call names a stored answer and no model.
fn is_by_id(route: &Route) -> bool {
    route.endpoint.access() == Access::RoleAndAnyModel
}

/// The model that a call names; empty where a call names none.
fn asked_model(route: &Route, facts: &Facts) -> Result<String, ErrorAnswer> {
    if is_by_id(route) {
        Ok(String::new())
    } else {
        model_of(route, facts)
    }
}

/// Whether a stream is asked for.
fn wants_stream(route: &Route, kind: ApiKind, facts: &Facts) -> bool {
    route
        .stream_by_path
        .unwrap_or_else(|| facts.stream.unwrap_or_else(|| streams_by_default(kind)))
}

/// Whether the usage chunk must be asked for, and held back from the client.
fn wants_usage(kind: ApiKind, stream: bool, is_form: bool, facts: &Facts) -> bool {
    stream
        && !is_form
        && matches!(kind, ApiKind::OpenAiChat | ApiKind::OpenAiCompletions)
        && include_usage(facts).is_some()
}

/// Who may serve the model that a call names, if it is granted.
fn decide(
    config: &Config,
    policy: &Policy,
    route: &Route,
    kind: ApiKind,
    asked: &str,
) -> Result<Rc<Verdict>, ErrorAnswer> {
    let verdict = if is_by_id(route) {
        policy.any(config, Flag::OpenAiResponses)
    } else {
        policy.verdict(config, kind.flag(), asked)
    };
    match &*verdict {
        Verdict::Allowed(_) => {}
        Verdict::NotGranted => {
            let what = if asked.is_empty() {
                "this API".to_owned()
            } else {
                format!("model {asked}")
            };
            let message = format!(
                "access denied: {what} is not granted to {}; ask the administrator of this gateway",
                policy.principal.login
            );
            return Err(ErrorAnswer::new(ErrorCode::ModelNotGranted, message));
        }
        Verdict::NotServed => {
            let message = format!("no provider of this gateway serves the model {asked} on this API");
            return Err(ErrorAnswer::new(ErrorCode::ModelNotFound, message));
        }
    }
    Ok(verdict)
}

impl Admitted {
    /// The call as it goes to a candidate.
    fn call<'a>(&'a self, kind: ApiKind, candidate: &'a Candidate) -> Call<'a> {
        let spec = &candidate.provider.spec;
        Call {
            kind,
            provider: &spec.id,
            model: &candidate.model,
            basis: &spec.cost_basis,
            facts: &self.facts,
            is_form: self.is_form,
            body_bytes: self.body.bytes,
            chunks: &self.body.chunks,
            lowered: None,
            outside: OnceCell::new(),
        }
    }
}

/// Ollama streams unless told not to.
const fn streams_by_default(kind: ApiKind) -> bool {
    matches!(kind, ApiKind::OllamaChat)
}

/// The one model that a call names.
fn model_of(route: &Route, facts: &Facts) -> Result<String, ErrorAnswer> {
    let body_model = facts.model.as_ref().map(|fact| fact.value.as_str());
    if let Some(path_model) = &route.model {
        // Claude on Vertex and on Bedrock names no model in the body; others may repeat the path's.
        if body_model.is_some_and(|model| !route.body_model_agrees(model)) {
            let message = "the model in the body is not the model in the path";
            return Err(ErrorAnswer::new(ErrorCode::BadRequest, message));
        }
        return Ok(path_model.name.clone());
    }
    let Some(model) = body_model else {
        return Err(ErrorAnswer::new(
            ErrorCode::BadRequest,
            "the request names no model: \"model\" is missing",
        ));
    };
    if !valid_model(model) {
        let message = "the model name is empty, too long, or holds characters that model names do not have";
        return Err(ErrorAnswer::new(ErrorCode::InvalidModel, message));
    }
    Ok(model.to_owned())
}

/// Refuses a call: the record first, then the answer in the caller's format.
async fn refuse_call(
    conn: &mut Downstream,
    head: &Head,
    kind: ApiKind,
    mut tally: Tally,
    answer: &ErrorAnswer,
    body_read: bool,
    ended: Ended,
) -> Next {
    conn.shard.metrics.borrow_mut().reject(answer.code.name());
    if let Some(record) = tally.record() {
        record.error = Some(answer.code.name().to_owned());
    }
    let keep_alive = body_read && head.parsed.keep_alive;
    let bytes = error_bytes(
        kind.error_family(),
        answer,
        tally.request_id,
        head.parsed.version,
        keep_alive,
    );
    tally.capture_own_answer(answer.status, &bytes);
    tally.settle(ended, answer.status, None, 0);
    match (conn.write(&bytes).await, keep_alive) {
        (true, true) => Next::KeepAlive,
        (true, false) => Next::Linger,
        (false, _) => Next::Close,
    }
}

/// Cuts a text at a character's border.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// The edits of a body for one candidate; `clamped` are those that lower its limit on output, `guarded` those of
/// guardrails.
fn edits_for(
    admitted: &Admitted,
    candidate: &Candidate,
    model_in_path: bool,
    clamped: SmallVec<[Edit; 1]>,
    guarded: &[Edit],
) -> Result<Edits, ErrorAnswer> {
    let mut edits = Vec::new();
    edits.extend(clamped);
    if admitted.withhold_usage {
        edits.extend(include_usage(&admitted.facts));
    }
    if !model_in_path && candidate.model != admitted.asked {
        if admitted.is_form {
            if let Some(fact) = &admitted.facts.model {
                let with = bytes::Bytes::from(candidate.model.clone());
                edits.push(Edit {
                    at: fact.span.clone(),
                    with,
                });
            }
        } else {
            edits.extend(replace_model(&admitted.facts, &candidate.model));
        }
    }
    // What is replaced as a whole needs no redaction.
    let is_replaced = |within: &Edit| {
        let inside = |ours: &Edit| ours.at.start <= within.at.start && within.at.end <= ours.at.end;
        edits.iter().any(|ours| !ours.at.is_empty() && inside(ours))
    };
    let kept: Vec<Edit> = guarded
        .iter()
        .filter(|edit| !is_replaced(edit))
        .cloned()
        .collect();
    edits.extend(kept);
    Edits::new(edits).map_err(|error| ErrorAnswer::new(ErrorCode::Internal, error.to_string()))
}

/// What the answer is expected to be.
fn expectation(
    head: &Head,
    kind: ApiKind,
    tally: &Tally,
    admitted: &Admitted,
    candidate: &Candidate,
) -> Expect {
    let guards = &candidate.guards;
    Expect {
        method: head.parsed.method,
        version: head.parsed.version,
        keep_alive: head.parsed.keep_alive,
        meter: (admitted.counts && !tally.is_bare()).then_some(kind),
        stream: admitted.stream,
        withhold_usage: admitted.withhold_usage,
        may_cut: tally.may_cut(),
        guard: guards.guards_answers().then(|| (guards.clone(), kind)),
        request_id: tally.request_id.hex(),
    }
}

/// The query to send on, without the client's credentials unless they are to pass; empty or beginning with `?`.
fn forwarded_query(head: &Head, passthrough: bool, out: &mut Vec<u8>) {
    let target = head.parsed.target.of(&head.bytes);
    let clean = if passthrough {
        target.into()
    } else {
        query::without_credentials(target)
    };
    if let Some(at) = memchr::memchr(b'?', &clean) {
        out.extend_from_slice(clean.get(at..).unwrap_or_default());
    }
}
