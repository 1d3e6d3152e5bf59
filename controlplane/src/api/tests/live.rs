//! The live stream over the socket, and what is said of providers.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use sluice_shared::units::UnixMicros;
use sluice_shared::usage::UsageRecord;

use super::*;
use crate::reload::now;

/// A reader of server-sent events.
struct Events {
    stream: UnixStream,
    status: u16,
    head: String,
    raw: Vec<u8>,
    text: String,
    ended: bool,
}

impl Events {
    fn open(path: &Path, role: &str, login: &str, target: &str) -> Self {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: x\r\nx-sluice-role: {role}\r\nx-sluice-login: {login}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut events = Self {
            stream,
            status: 0,
            head: String::new(),
            raw: Vec::new(),
            text: String::new(),
            ended: false,
        };
        while events.head.is_empty() {
            assert!(events.read(), "closed before the head");
            let end = events.raw.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                events.head = String::from_utf8(events.raw.drain(..end + 4).collect()).unwrap();
            }
        }
        events.status = events.head.split(' ').nth(1).unwrap().parse().unwrap();
        events
    }

    fn read(&mut self) -> bool {
        let mut piece = [0; 4_096];
        let n = self.stream.read(&mut piece).unwrap();
        self.raw.extend_from_slice(&piece[..n]);
        n > 0
    }

    /// Takes whole chunks out of what was read.
    fn dechunk(&mut self) {
        while let Some(line) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if self.raw.len() < line + 2 + size + 2 {
                return;
            }
            self.ended |= size == 0;
            let chunk: Vec<u8> = self.raw.drain(..line + 2 + size + 2).collect();
            self.text
                .push_str(std::str::from_utf8(&chunk[line + 2..line + 2 + size]).unwrap());
        }
    }

    /// The next event; `None` at the proper end of the stream.
    fn next(&mut self) -> Option<(String, Value)> {
        loop {
            self.dechunk();
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                    return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            if self.ended {
                return None;
            }
            assert!(self.read(), "the stream broke off");
        }
    }
}

/// A request that has just ended.
fn ended(number: u64, at: UnixMicros) -> UsageRecord {
    let mut record = record(number, at.0 - 90_000);
    (record.duration_us, record.ttft_us) = (90_000, Some(40_000));
    record
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(),
        "{what}"
    );
}

fn later(time: UnixMicros, seconds: u64) -> UnixMicros {
    UnixMicros(time.0 + seconds * 1_000_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_of_seconds_and_of_records_that_are_asked_for() {
    let api = Api::start().await;
    let live = &api.shown.live;
    let mut events = Events::open(
        &api.path,
        "admin",
        "root",
        "/api/live?tail=true&status=5xx&model=model0",
    );
    assert_eq!(events.status, 200);
    for line in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-store\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        assert!(events.head.contains(line), "{}", events.head);
    }
    assert_eq!(events.next().unwrap().0, "history");
    // Of these only the tenth is an error of the even model.
    let began = now();
    let records: Vec<UsageRecord> = (5..=14).map(|number| ended(number, began)).collect();
    live.feed(&records, began);
    let (name, request) = events.next().unwrap();
    assert_eq!(
        (name.as_str(), &request["input"], &request["status"]),
        ("request", &json!(10), &json!(500))
    );
    let listed = requests::record(&records[5]);
    assert_eq!(request, listed, "the same as in a list");
    live.tick(later(began, 3));
    let mut sum = 0;
    let mut seconds = Vec::new();
    while sum < 10 {
        let (name, now) = events.next().unwrap();
        assert_eq!(name, "now");
        sum += now["last"]["requests"].as_u64().unwrap();
        seconds.push(now["last"]["time"].clone());
        assert_eq!(now["in_flight"], Value::Null, "no data plane is there to say");
    }
    assert_eq!(sum, 10, "{seconds:?}");
    let target = "/api/live?limit=5";
    let (status, _, body) = api.ask(Some("admin"), "root", "GET", target);
    assert_eq!(status, 400);
    assert!(body["detail"].as_str().unwrap().contains("\"limit\""), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_watch_themselves() {
    let api = Api::start().await;
    let live = &api.shown.live;
    let (status, _, body) = api.ask(Some("user"), "user1", "GET", "/api/live?user=user2");
    assert_eq!(
        (status, &body["type"]),
        (404, &json!("urn:sluice:problem:not-found"))
    );
    let mut own = Events::open(&api.path, "user", "user1", "/api/live?tail=true");
    let mut one = Events::open(&api.path, "admin", "root", "/api/live?tail=true&user=user2");
    assert_eq!(
        (own.next().unwrap().0, one.next().unwrap().0),
        ("history".into(), "history".into())
    );
    let began = now();
    let records: Vec<UsageRecord> = (1..=9).map(|number| ended(number, began)).collect();
    live.feed(&records, began);
    live.tick(later(began, 3));
    for (events, login) in [(&mut own, "user1"), (&mut one, "user2")] {
        let (mut seen, mut sum) = (0, 0);
        while sum < 3 {
            match events.next().unwrap() {
                (name, data) if name == "request" => {
                    assert_eq!(data["user"], login);
                    seen += 1;
                }
                (name, data) => {
                    assert_eq!(name, "now");
                    sum += data["last"]["requests"].as_u64().unwrap();
                }
            }
        }
        assert_eq!((seen, sum), (3, 3), "{login}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_few_and_free_when_their_holder_has_gone() {
    let api = Api::start().await;
    let live = &api.shown.live;
    let open = || Events::open(&api.path, "user", "user1", "/api/live");
    let mut seats: Vec<Events> = (0..8).map(|_| open()).collect();
    assert!(seats.iter().all(|seat| seat.status == 200));
    let (status, _, body) = api.ask(Some("user"), "user1", "GET", "/api/live");
    assert_eq!(
        (status, &body["type"]),
        (503, &json!("urn:sluice:problem:no-seat"))
    );
    drop(seats.pop());
    until("the seat is free", || live.viewers() == 7).await;
    assert_eq!(open().status, 200);
    drop(seats);
    until("all seats are free", || live.viewers() == 0).await;
}

/// Red if the API waits for streams, or cuts them instead of ending them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_control_plane_stops() {
    let api = Api::start().await;
    let path = api.path.with_file_name("second.sock");
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let serving = tokio::spawn(serve(
        OwnListener::bind(&path).unwrap(),
        api.shown.clone(),
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        },
    ));
    let mut events = Events::open(&path, "admin", "root", "/api/live");
    assert_eq!(events.next().unwrap().0, "history");
    api.shown.live.close();
    stop.send_replace(true);
    assert_eq!(events.next(), None);
    let served = tokio::time::timeout(Duration::from_secs(20), serving).await;
    served.expect("the API stops").unwrap().unwrap();
    assert_eq!(Events::open(&api.path, "admin", "root", "/api/live").status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_show_how_they_do() {
    let api = Api::start().await;
    let began = now();
    let records: Vec<UsageRecord> = (1..=10).map(|number| ended(number, began)).collect();
    api.shown.live.feed(&records, began);
    let list = api.admin("/api/providers");
    let health = &list["providers"][0]["health"];
    // The fifth and the tenth failed.
    assert_eq!(health["state"], "degraded");
    assert_eq!((&health["requests"], &health["errors"]), (&json!(10), &json!(2)));
    assert_eq!(health["by_status"], json!({"500": 2}));
    assert_eq!(health["last_error"]["status"], 500);
    let ttft = health["ttft_ms"]["p95"].as_f64().unwrap();
    assert!((38.7..=41.3).contains(&ttft), "{ttft}");
    assert_eq!(health["pool"], Value::Null);
    assert_eq!(list["providers"][1]["health"]["state"], "idle");
    let one = api.admin("/api/providers/openai");
    assert_eq!(one["health"]["requests"], 10);
    assert_eq!(one["models"], json!(["gpt-*"]));
    let minutes = one["minutes"].as_array().unwrap();
    let requests: u64 = minutes.iter().map(|m| m["requests"].as_u64().unwrap()).sum();
    assert_eq!((minutes.len(), requests), (60, 10));
    assert_eq!(one["by_model"].as_array().unwrap().len(), 2);
    assert!(!one.to_string().contains("canary"));
    for (role, target, expected) in [
        ("admin", "/api/providers/off", 404),
        ("admin", "/api/providers/none", 404),
        ("user", "/api/providers/openai", 403),
    ] {
        let (status, _, _) = api.ask(Some(role), "user1", "GET", target);
        assert_eq!(status, expected, "{role} {target}");
    }
}
