//! Deliveries to receivers on real sockets: what they are told, and what becomes of events when receivers or we fail.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sluice_shared::ids::ShardId;
use sluice_shared::snapshot::{BaseUrl, HookEvent, HookPart, Secret};
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::capture::EventUse;

use super::*;
use crate::store::captures::{CaptureBatch, CaptureRows as _, NewCapture};
use crate::store::outbox::{DeadQuery, HookState, events_of};
use crate::store::{Batch, Sqlite};

/// A wait that lasts longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const PARTS: [HookPart; 8] = [
    HookPart::Tools,
    HookPart::RequestBody,
    HookPart::UserMessage,
    HookPart::ResponseBody,
    HookPart::RawResponses,
    HookPart::EstimatedCost,
    HookPart::Grants,
    HookPart::Quotas,
];
const REQUEST: &str = r#"{"model":"m","messages":[{"role":"user","content":"weather?"}],"n":1.0}"#;
const ANSWER: &str = concat!(
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":",
    "\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"look\",",
    "\"arguments\":\"{\\\"a\\\":\"}}]}}]}\n\n",
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":",
    "[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: [DONE]\n\n",
);

/// Every capture has the same bodies, but those that were purged.
#[derive(Default)]
struct Bodiless {
    purged: Mutex<Vec<RequestId>>,
}

impl Bodies for Bodiless {
    fn bytes(&self, id: RequestId) -> Read<'_, Option<u64>> {
        let there = !lock(&self.purged).contains(&id);
        Box::pin(async move { Ok(there.then_some(200 << 20)) })
    }

    fn read(&self, id: RequestId, (request, answer): (bool, bool)) -> Read<'_, Option<Stored>> {
        let there = !lock(&self.purged).contains(&id);
        let body = |wanted: bool, body: &str| if wanted { body.into() } else { Vec::new() };
        let stored = Stored {
            api: ApiKind::OpenAiChat,
            content_type: Some("text/event-stream".into()),
            request: body(request, REQUEST),
            answer: body(answer, ANSWER),
        };
        Box::pin(async move { Ok(there.then_some(stored)) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a receiver answers to the n-th request; `None`: nothing, for ever.
type Script = dyn Fn(usize) -> Option<StatusCode> + Send + Sync;

/// A web service that takes events.
#[derive(Clone)]
struct Taker {
    hook: Hook,
    taken: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Taker {
    async fn start(name: &str, script: impl Fn(usize) -> Option<StatusCode> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Mutex<Vec<(HeaderMap, Bytes)>>>::default();
        let script: Arc<Script> = Arc::new(script);
        let (log, count) = (taken.clone(), Arc::new(AtomicUsize::new(0)));
        let answer = move |headers: HeaderMap, body: Bytes| {
            let (log, script, count) = (log.clone(), script.clone(), count.clone());
            async move {
                let number = count.fetch_add(1, Ordering::Relaxed);
                lock(&log).push((headers, body));
                match script(number) {
                    Some(status) => status,
                    None => std::future::pending().await,
                }
            }
        };
        let router = Router::new()
            .fallback(move |State(()): State<()>, headers: HeaderMap, body: Bytes| answer(headers, body));
        tokio::spawn(async move { axum::serve(listener, router.with_state(())).await });
        let hook = Hook {
            name: name.into(),
            base: BaseUrl {
                tls: false,
                host: address.ip().to_string(),
                port: address.port(),
                path: "/events".into(),
                authority: address.to_string(),
            },
            query: "k=v".into(),
            key: Secret("hook-key".into()),
            timeout_ms: 30_000,
            ..Hook::default()
        };
        Self { hook, taken }
    }

    /// How often each event came.
    fn ids(&self) -> HashMap<String, usize> {
        let mut out = HashMap::new();
        for (headers, _) in lock(&self.taken).iter() {
            let id = headers["x-sluice-event-id"].to_str().unwrap();
            *out.entry(id.to_owned()).or_default() += 1;
        }
        out
    }

    fn count(&self) -> usize {
        lock(&self.taken).len()
    }
}

fn id(number: u32) -> RequestId {
    RequestId::new(1, ShardId(0), number, 7)
}

fn record(number: u32) -> UsageRecord {
    let mut record = crate::store::tests::record(u64::from(number), 1_000_000);
    record.request_id = id(number);
    record.path = "/v1/chat/completions".into();
    record.session = Some("s-1".into());
    record
}

/// Who is told, of what.
fn told(hook: &str, event: HookEvent, parts: &[HookPart]) -> EventUse {
    EventUse {
        hook: hook.into(),
        events: 1 << event as u8,
        send: parts.iter().fold(0, |bits, part| bits | 1 << *part as u16),
        grants: r#"{"example.com/cap/x":[1]}"#.into(),
    }
}

/// A store with captures whose events wait.
struct Lab {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    bodies: Arc<Bodiless>,
    documents: watch::Sender<Arc<Document>>,
    clock: Arc<AtomicU64>,
    segment: u64,
    captures: u64,
}

const START: u64 = 1_800_000_000_000_000;

impl Lab {
    async fn new(hooks: &[&Hook]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path()).await.unwrap();
        let segment = store.open_segment(false, UnixMicros(1)).await.unwrap();
        let document = Document {
            hooks: hooks.iter().map(|hook| (*hook).clone()).collect(),
            ..Document::default()
        };
        Self {
            folder,
            store: Arc::new(store),
            bodies: Arc::default(),
            documents: watch::Sender::new(Arc::new(document)),
            clock: Arc::new(AtomicU64::new(START)),
            segment,
            captures: 0,
        }
    }

    /// Stores captures of requests with these numbers, as the reader of captures does.
    async fn capture(&mut self, numbers: std::ops::Range<u32>, uses: &[EventUse]) {
        let mut batch = CaptureBatch {
            now: UnixMicros(self.clock.load(Ordering::Relaxed)),
            ..CaptureBatch::default()
        };
        for number in numbers {
            let record = record(number);
            batch.captures.push(NewCapture {
                segment: self.segment,
                number: self.captures,
                offset: 64,
                length: 1,
                request_id: id(number),
                time: record.time,
                user: record.user.clone(),
                provider: record.provider.clone(),
                model: record.model_asked.clone(),
                api: record.api,
                status: 200,
                ended: Ended::Complete,
                flags: 0,
                request_bytes: 1,
                request_kept: 1,
                answer_bytes: 1,
                answer_kept: 1,
                session: None,
                agent: None,
                kept: false,
                calls: Vec::new(),
                events: events_of(uses, &record, "/v1/chat/completions", "m", 1),
            });
            self.captures += 1;
        }
        self.store.add_captures(&batch).await.unwrap();
    }

    fn settings(&self, kill: Option<Arc<dyn Fn(Step) -> bool + Send + Sync>>) -> Settings {
        let clock = self.clock.clone();
        Settings {
            idle: Duration::from_millis(2),
            care: Duration::from_millis(5),
            pauses: (Duration::from_micros(100), Duration::from_millis(1)),
            // It goes on at each look, so that pauses pass.
            now: Arc::new(move || UnixMicros(clock.fetch_add(1_000, Ordering::Relaxed))),
            kill,
        }
    }

    fn deliver(&self, kill: Option<Arc<dyn Fn(Step) -> bool + Send + Sync>>) -> JoinHandle<()> {
        let deliverer = Deliverer::new(
            self.store.clone(),
            self.bodies.clone(),
            self.documents.subscribe(),
            self.settings(kill),
        );
        tokio::spawn(deliverer.run())
    }

    async fn state(&self, hook: &str) -> HookState {
        let states = self.store.hook_states().await.unwrap();
        let found = states.into_iter().find(|state| state.hook == hook);
        found.unwrap_or_default()
    }

    async fn until(&self, what: &str, hook: &str, done: impl Fn(&HookState) -> bool) -> HookState {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let state = self.state(hook).await;
                if done(&state) {
                    return state;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        match waited.await {
            Ok(state) => state,
            Err(_) => panic!("{what}: {:?}", self.state(hook).await),
        }
    }
}

/// Red if an event is made of a request that was not completed, or of one without tool calls for those that want such.
#[test]
fn which_requests_make_events() {
    let uses = [
        told("all", HookEvent::EntireRequest, &[]),
        told("tools", HookEvent::ToolCallEntireRequest, &[]),
    ];
    let check = |change: fn(&mut UsageRecord), calls: usize, expected: &[(&str, HookEvent)]| {
        let mut record = record(1);
        change(&mut record);
        let events = events_of(&uses, &record, "/", "m", calls);
        let found: Vec<_> = events
            .iter()
            .map(|event| (event.hook.as_str(), event.event))
            .collect();
        assert_eq!(found, expected);
    };
    let all = ("all", HookEvent::EntireRequest);
    let tools = ("tools", HookEvent::ToolCallEntireRequest);
    check(|_| {}, 0, &[all]);
    check(|_| {}, 1, &[all, tools]);
    check(|record| record.tool_calls = 2, 0, &[all, tools]);
    check(|record| record.status = 500, 0, &[all]);
    for ended in [
        Ended::ClientGone,
        Ended::UpstreamFailed,
        Ended::CutByQuota,
        Ended::Blocked,
        Ended::Aborted,
    ] {
        let mut record = record(1);
        record.ended = ended;
        assert_eq!(events_of(&uses, &record, "/", "m", 1), [], "{ended:?}");
    }
}

/// Red if a receiver is not told what is stored, or the key, the ids or the parts are wrong.
#[tokio::test]
async fn a_receiver_is_told_everything_once() {
    let taker = Taker::start("taker", |_| Some(StatusCode::OK)).await;
    let mut lab = Lab::new(&[&taker.hook]).await;
    let mut used = told("taker", HookEvent::EntireRequest, &PARTS);
    used.events |= 1 << HookEvent::ToolCallEntireRequest as u8;
    lab.capture(1..2, &[used]).await;
    assert!(lab.store.awaited(lab.segment).await.unwrap());
    let running = lab.deliver(None);
    let state = lab
        .until("delivered", "taker", |state| state.delivered == 2)
        .await;
    assert_eq!((state.waiting, state.dead, state.failed), (0, 0, 0));
    assert!(state.last_delivered.is_some() && state.last_error.is_empty());
    assert!(
        !lab.store.awaited(lab.segment).await.unwrap(),
        "the segment may go"
    );
    running.abort();
    let taken = lock(&taker.taken).clone();
    let (headers, body) = taken
        .iter()
        .find(|(headers, _)| headers["x-sluice-event"] == "tool_call_entire_request")
        .unwrap();
    assert_eq!(headers["authorization"], "Bearer hook-key");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        headers["x-sluice-event-id"],
        format!("{}.tool_call_entire_request", id(1))
    );
    assert_eq!(headers["x-sluice-request-id"], id(1).to_string());
    let text = std::str::from_utf8(body).unwrap();
    assert!(
        text.ends_with(&format!(r#","request_body":{REQUEST}}}"#)),
        "as it was: {text}"
    );
    let told: Value = serde_json::from_str(text).unwrap();
    assert_eq!(told["tool_calls"], json!([{"name": "look", "params": {"a": 1}}]));
    assert_eq!(told["user_message"], "weather?");
    assert_eq!(
        told["response_body"]["choices"][0]["message"]["tool_calls"][0]["function"]["name"],
        "look"
    );
    let events = told["raw_responses"].as_array().unwrap();
    assert_eq!((events.len(), &events[2]), (3, &json!("[DONE]")));
    let metadata = &told["metadata"];
    assert_eq!(metadata["login_name"], "user1");
    assert_eq!(metadata["session_id"], "s-1");
    assert_eq!(
        (&metadata["model"], &metadata["provider"]),
        (&json!("m"), &json!("openai"))
    );
    assert_eq!(metadata["estimated_cost"]["dollars"], json!(1e-8));
    assert_eq!(metadata["estimated_cost"]["usage"]["output_tokens"], 1);
    assert_eq!(metadata["grants"], json!({"example.com/cap/x": [1]}));
    assert_eq!(metadata["quotas"], json!({}));
    assert_eq!(taker.ids().len(), 2);
}

/// Red if a kill at any step loses an event, or delivers one again under another id.
#[tokio::test]
async fn a_kill_at_any_step_loses_nothing() {
    const EVENTS: u32 = 20;
    let mut again = HashMap::new();
    for step in [Step::Taken, Step::Sent, Step::Noted] {
        for after in [0, 1, 3] {
            let taker = Taker::start("taker", |_| Some(StatusCode::OK)).await;
            let mut lab = Lab::new(&[&taker.hook]).await;
            lab.capture(
                0..EVENTS,
                &[told("taker", HookEvent::EntireRequest, &[HookPart::RequestBody])],
            )
            .await;
            let reached = Arc::new(AtomicUsize::new(0));
            let kill: Arc<dyn Fn(Step) -> bool + Send + Sync> = {
                let reached = reached.clone();
                Arc::new(move |at| at == step && reached.fetch_add(1, Ordering::Relaxed) >= after)
            };
            // The worker dies, again and again, until the process does.
            let running = lab.deliver(Some(kill));
            tokio::time::timeout(PATIENCE, async {
                while reached.load(Ordering::Relaxed) <= after {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await
            .expect("the step is reached");
            running.abort();
            let _ = running.await;
            // Another process opens the store.
            let store: Arc<dyn Store> = Arc::new(Sqlite::open(lab.folder.path()).await.unwrap());
            lab.store = store;
            let running = lab.deliver(None);
            lab.until("delivered", "taker", |state| state.waiting == 0).await;
            running.abort();
            let ids = taker.ids();
            assert_eq!(
                ids.len(),
                EVENTS as usize,
                "{step:?} {after}: every event came, and no other"
            );
            again.insert(step, again.get(&step).unwrap_or(&0) + taker.count() - ids.len());
            assert_eq!(lab.state("taker").await.dead, 0);
        }
    }
    assert!(
        again[&Step::Sent] > 0,
        "what was sent and not noted came again: {again:?}"
    );
}

/// Red if a hook that hangs, or one that is not there, delays the events of another.
#[tokio::test]
async fn a_slow_receiver_delays_nobody_else() {
    let slow = Taker::start("slow", |_| None).await;
    let quick = Taker::start("quick", |_| Some(StatusCode::NO_CONTENT)).await;
    let mut dead = slow.hook.clone();
    dead.name = "dead".into();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    dead.base.authority = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let mut lab = Lab::new(&[&slow.hook, &quick.hook, &dead]).await;
    let uses =
        ["slow", "quick", "dead"].map(|name| told(name, HookEvent::EntireRequest, &[HookPart::ResponseBody]));
    lab.capture(0..50, &uses).await;
    let running = lab.deliver(None);
    let quick_state = lab
        .until("the quick one is told", "quick", |state| state.delivered == 50)
        .await;
    assert_eq!((quick_state.waiting, quick_state.failed), (0, 0));
    let slow_state = lab.state("slow").await;
    assert_eq!((slow_state.waiting, slow_state.delivered), (50, 0));
    assert_eq!(slow.count(), 1, "one capture of 200 MB is in memory at a time");
    let dead_state = lab.until("tries fail", "dead", |state| state.failed > 0).await;
    assert!(
        dead_state.last_error.contains("onnection refused"),
        "{}",
        dead_state.last_error
    );
    assert!(
        !dead_state.last_error.contains("k=v"),
        "{}",
        dead_state.last_error
    );
    running.abort();
}

/// Red if a failed try is not tried again, is taken for delivered, or is given up before its time.
#[tokio::test]
async fn failures_are_tried_again_until_they_are_too_old() {
    let answers = [500, 302, 404, 429];
    let taker = Taker::start("taker", move |number| {
        let status = answers.get(number).copied().unwrap_or(200);
        Some(StatusCode::from_u16(status).unwrap())
    })
    .await;
    let mut lab = Lab::new(&[&taker.hook]).await;
    lab.capture(0..1, &[told("taker", HookEvent::EntireRequest, &[])])
        .await;
    let running = lab.deliver(None);
    let state = lab
        .until("delivered", "taker", |state| state.delivered == 1)
        .await;
    assert_eq!(
        (state.failed, state.dead, state.last_error.as_str()),
        (4, 0, "answered with status 429")
    );
    running.abort();
    assert_eq!((taker.count(), taker.ids().len()), (5, 1));

    let down = Taker::start("down", |_| Some(StatusCode::SERVICE_UNAVAILABLE)).await;
    let mut lab = Lab::new(&[&down.hook]).await;
    lab.capture(0..3, &[told("down", HookEvent::EntireRequest, &[])])
        .await;
    let running = lab.deliver(None);
    lab.until("tries", "down", |state| state.failed > 3).await;
    assert_eq!(lab.state("down").await.dead, 0);
    let day = u64::try_from(AGE_MAX.as_micros()).unwrap();
    lab.clock.fetch_add(day, Ordering::Relaxed);
    let state = lab.until("dead letters", "down", |state| state.dead == 3).await;
    assert_eq!((state.waiting, state.died), (0, 3));
    assert!(
        lab.store.awaited(lab.segment).await.unwrap(),
        "they may be retried"
    );
    // By hand: one waits again, one goes, the last is kept for its time.
    let letters = lab
        .store
        .dead_events(&DeadQuery {
            limit: 10,
            ..DeadQuery::default()
        })
        .await
        .unwrap();
    assert_eq!(letters.len(), 3);
    assert!(
        letters
            .iter()
            .all(|letter| letter.error.contains("503") || letter.error == TOO_OLD),
        "{letters:?}"
    );
    assert!(lab.store.delete_event(letters[0].id).await.unwrap());
    assert!(!lab.store.delete_event(letters[0].id).await.unwrap());
    let tries = down.count();
    assert!(
        lab.store
            .retry_event(letters[1].id, UnixMicros(lab.clock.load(Ordering::Relaxed)))
            .await
            .unwrap()
    );
    lab.until("tried again", "down", |_| down.count() > tries).await;
    lab.clock.fetch_add(9 * day, Ordering::Relaxed);
    lab.until("gone", "down", |state| state.dead + state.waiting <= 1)
        .await;
    running.abort();
}

/// Red if events of a hook that the document does not have any more wait for ever, or are lost.
#[tokio::test]
async fn events_of_a_hook_that_is_gone_are_dead_letters() {
    let taker = Taker::start("taker", |_| Some(StatusCode::OK)).await;
    let mut lab = Lab::new(&[]).await;
    lab.capture(
        0..2,
        &[told("taker", HookEvent::EntireRequest, &[HookPart::UserMessage])],
    )
    .await;
    let running = lab.deliver(None);
    lab.until("dead letters", "taker", |state| state.dead == 2).await;
    assert_eq!(taker.count(), 0);
    let query = DeadQuery {
        hook: Some("taker".into()),
        limit: 10,
        ..DeadQuery::default()
    };
    let letters = lab.store.dead_events(&query).await.unwrap();
    assert_eq!(letters[0].error, NO_HOOK);
    // It is back, and somebody retries; the bodies of one are gone meanwhile.
    lock(&lab.bodies.purged).push(letters[0].request_id);
    let hooks = vec![taker.hook.clone()];
    lab.documents.send_replace(Arc::new(Document {
        hooks,
        ..Document::default()
    }));
    for letter in &letters {
        let now = UnixMicros(lab.clock.load(Ordering::Relaxed));
        assert!(lab.store.retry_event(letter.id, now).await.unwrap());
    }
    let state = lab
        .until("one is told, one cannot be", "taker", |state| {
            state.delivered == 1 && state.dead == 1
        })
        .await;
    assert_eq!(
        (state.last_error.as_str(), taker.count()),
        ("its capture is gone", 1)
    );
    running.abort();
}

/// Red if an event is there without its capture, or twice.
#[tokio::test]
async fn events_come_and_go_with_their_transaction() {
    let taker = Taker::start("taker", |_| Some(StatusCode::OK)).await;
    let mut lab = Lab::new(&[&taker.hook]).await;
    let uses = [told("taker", HookEvent::EntireRequest, &[])];
    lab.capture(0..2, &uses).await;
    assert_eq!(lab.state("taker").await.waiting, 2);
    // The same capture again fails as a whole.
    let batch = CaptureBatch {
        captures: vec![NewCapture {
            segment: lab.segment,
            number: 99,
            offset: 0,
            length: 1,
            request_id: id(0),
            time: UnixMicros(1),
            user: String::new(),
            provider: String::new(),
            model: String::new(),
            api: ApiKind::OpenAiChat,
            status: 200,
            ended: Ended::Complete,
            flags: 0,
            request_bytes: 0,
            request_kept: 0,
            answer_bytes: 0,
            answer_kept: 0,
            session: None,
            agent: None,
            kept: true,
            calls: Vec::new(),
            events: events_of(
                &[told("other", HookEvent::EntireRequest, &[])],
                &record(0),
                "/",
                "m",
                0,
            ),
        }],
        ..CaptureBatch::default()
    };
    assert!(lab.store.add_captures(&batch).await.is_err());
    assert_eq!(lab.state("other").await.waiting, 0);
    // Records are another road and make no events.
    let batch = Batch {
        records: vec![record(5)],
        ..Batch::default()
    };
    lab.store.ingest(&batch).await.unwrap();
    assert_eq!(lab.state("taker").await.waiting, 2);
}

#[test]
fn pauses_double_up_to_the_longest() {
    let pauses = (Duration::from_secs(1), Duration::from_secs(600));
    for (tries, expected) in [
        (0, 1),
        (1, 2),
        (5, 32),
        (9, 512),
        (10, 600),
        (31, 600),
        (u32::MAX, 600),
    ] {
        assert_eq!(backoff(pauses, tries), Duration::from_secs(expected), "{tries}");
    }
    let pause = Duration::from_secs(10);
    assert_eq!(jitter(pause, 0), pause / 2);
    assert_eq!(jitter(pause, u32::MAX), pause);
}
