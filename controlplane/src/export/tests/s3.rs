//! Object storage: a real S3-compatible server, and one that fails in every way.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::Value;
use sluice_shared::snapshot::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::config::domain::{S3, S3Format};
use crate::store::{RequestQuery, export::Kept};

/// The server, as long as a test has it: it ends with it, also when the test fails.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts moto's server, which `cargo xtask ci` installs below `target/`; `None`, with a line that says so: there is
    /// none.
    #[allow(clippy::print_stderr, reason = "a test that does not run says so")]
    fn start() -> Option<Self> {
        let own = std::env::current_exe().unwrap();
        let program = own.ancestors().nth(3).unwrap().join("s3-server/bin/moto_server");
        if !program.exists() {
            eprintln!(
                "SKIPPED: S3 tests against a real server; {} is missing (cargo xtask s3-server makes it)",
                program.display()
            );
            return None;
        }
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = child.stderr.take().unwrap();
        let mut server = Self {
            child,
            url: String::new(),
        };
        // It says which port it got; the end of its output is the end of the waiting.
        let (mut text, mut piece) = (String::new(), [0; 512]);
        let port = loop {
            let count = said.read(&mut piece).unwrap();
            assert_ne!(count, 0, "the server ended: {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
            let found = text.split_once("http://127.0.0.1:").map(|(_, rest)| rest);
            let digits = found.and_then(|rest| rest.split_once(|c: char| !c.is_ascii_digit()));
            if let Some((port, _)) = digits {
                break port.to_owned();
            }
        };
        // What it says of requests must go somewhere, or it stops at a full pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        server.url = format!("http://127.0.0.1:{port}");
        Some(server)
    }

    /// A bucket of its own.
    async fn bucket(&self, name: &str) -> S3 {
        let client = web::client(None, Duration::from_secs(30)).unwrap();
        let made = client.put(format!("{}/{name}", self.url)).send().await.unwrap();
        assert!(made.status().is_success());
        bucket(&self.url, name)
    }
}

use crate::{objects, web};

fn bucket(url: &str, name: &str) -> S3 {
    S3 {
        endpoint: url.to_owned(),
        bucket: name.to_owned(),
        prefix: "audit/sluice".into(),
        access_key_id: "AKIA-canary".into(),
        access_secret: Secret("canary-secret".into()),
        ..S3::default()
    }
}

/// Objects of a bucket by name, read with the library.
async fn objects_of(target: &S3) -> BTreeMap<String, Vec<u8>> {
    let store: Arc<dyn ObjectStore> = objects::open(target).unwrap();
    let listed = store
        .list_with_delimiter(Some(&Path::from(target.prefix.as_str())))
        .await
        .unwrap();
    let mut out = BTreeMap::new();
    for object in listed.objects {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        out.insert(object.location.to_string(), bytes.to_vec());
    }
    out
}

struct Bodies;

impl ReadCaptures for Bodies {
    fn read(&self, id: RequestId) -> Reading<'_> {
        let captured = Captured {
            method: "POST".into(),
            target: "/v1/chat/completions".into(),
            request_headers: vec![
                ("accept".into(), b"*/*".to_vec()),
                ("accept".into(), b"x".to_vec()),
            ],
            request_body: id.to_string().into_bytes(),
            request_bytes: 32,
            request_cut: false,
            status: 200,
            answer_headers: Vec::new(),
            answer_body: vec![0xff, 1],
            answer_bytes: 2,
            answer_cut: false,
            assembled: Some(serde_json::json!({"a": 1})),
        };
        Box::pin(async move { Ok(Some(captured)) })
    }
}

/// Exports records 1 to 7, three an object, and gives the objects and the records as the store has them, oldest first.
async fn exported(
    server: &Server,
    name: &str,
    format: S3Format,
) -> (
    World,
    BTreeMap<String, Vec<u8>>,
    Vec<sluice_shared::usage::UsageRecord>,
) {
    let target = server.bucket(name).await;
    let world = World::new().await;
    world
        .wants(&[("e", Wants::REQUESTS.and(Wants::CAPTURES).and(Wants::QUOTA_EVENTS))])
        .await;
    world.records(1..=7).await;
    world.store.execute_for_tests("UPDATE export_log SET capture = 1");
    world.store.execute_for_tests(
        "INSERT INTO quota_events (time,quota,name,unit,percent,balance,capacity) VALUES (7,'q','b',0,80,-5,9)",
    );
    let store: Arc<dyn Store> = world.store.clone();
    let sink = sink::open(&domain::Sink::S3 {
        target: target.clone(),
        format,
    })
    .unwrap();
    let mut exporter = Exporter::new("e", 3, sink, store, Arc::new(Bodies), clock);
    while exporter.step().await.unwrap() != Step::Idle {}
    let query = RequestQuery {
        limit: 100,
        ..RequestQuery::default()
    };
    let mut records = world.store.requests(&query).await.unwrap().records;
    records.reverse();
    (world, objects_of(&target).await, records)
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    zstd::decode_all(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_in_a_real_bucket_are_what_the_store_has() {
    let Some(server) = Server::start() else { return };
    let (world, objects, records) = exported(&server, "lines", S3Format::Jsonl).await;
    let id = world.store.export_place("e").await.unwrap().unwrap().id;
    let names: Vec<&str> = objects.keys().map(String::as_str).collect();
    let name = |first, last| format!("audit/sluice/e-{id}-{first:016}-{last:016}.jsonl.zst");
    assert_eq!(names, [name(1, 3), name(4, 6), name(7, 8)]);
    let lines: Vec<Value> = objects
        .values()
        .flat_map(|bytes| {
            let text = String::from_utf8(unpacked(bytes)).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<Value>>()
        })
        .collect();
    assert_eq!(lines.len(), 8);
    for (line, record) in lines.iter().zip(&records) {
        let shown = crate::api::requests::record(record);
        for (name, value) in shown.as_object().unwrap() {
            if name != "capture" {
                assert_eq!(line[name], *value, "{name}");
            }
        }
        assert_eq!(line["captured"]["request"]["body"], record.request_id.to_string());
        assert_eq!(line["captured"]["answer"]["assembled"]["a"], 1);
    }
    assert_eq!(lines[7]["type"], "quota_event");
    assert_eq!(lines[7]["percent"], 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_a_real_bucket_read_back_as_cbor() {
    use ciborium::Value as Cbor;
    let Some(server) = Server::start() else { return };
    let (_world, objects, records) = exported(&server, "records", S3Format::Cbor).await;
    let mut read = Vec::new();
    for (name, bytes) in &objects {
        if name.ends_with(".cbor.zstd") {
            let mut bytes: &[u8] = &unpacked(bytes);
            while !bytes.is_empty() {
                read.push(ciborium::from_reader::<Cbor, _>(&mut bytes).unwrap());
            }
        } else {
            assert!(name.ends_with(".other.jsonl.zst"), "{name}");
        }
    }
    assert_eq!(objects.len(), 4, "three of requests, one of the mark");
    assert_eq!(read.len(), records.len());
    let member = |map: &Cbor, path: &str| -> Cbor {
        path.split('.').fold(map.clone(), |map, name| {
            let entries = map.into_map().unwrap();
            let found = entries.into_iter().find(|(key, _)| key.as_text() == Some(name));
            found.unwrap_or_else(|| panic!("{path}")).1
        })
    };
    for (cbor, r) in read.iter().zip(&records) {
        let text = |path: &str| member(cbor, path).into_text().unwrap();
        let number = |path: &str| u64::try_from(member(cbor, path).into_integer().unwrap()).unwrap();
        assert_eq!(number("ver"), 2);
        assert_eq!(text("identity.login_name"), r.user);
        assert_eq!(text("model"), format!("openai/{}", r.model_asked));
        assert_eq!(text("api_type"), r.api.name());
        assert_eq!(text("capture_id"), r.request_id.to_string());
        assert_eq!(text("timestamp"), crate::api::parameters::show_time(r.time));
        assert_eq!(number("usage.input_tokens"), r.usage.input.unwrap());
        assert_eq!(number("status_code"), u64::from(r.status));
        assert_eq!(number("duration_ms"), r.duration_us / 1_000);
        if r.cost.is_some() {
            assert_eq!(member(cbor, "estimated_cost.dollars"), Cbor::Float(1e-8));
        }
        assert_eq!(
            member(cbor, "capture.rawRequestBody"),
            Cbor::Bytes(r.request_id.to_string().into_bytes())
        );
        assert_eq!(
            member(cbor, "capture.rawResponseBody"),
            Cbor::Bytes(vec![0xff, 1])
        );
        assert_eq!(text("capture.responseBody"), r#"{"a":1}"#);
        let twice = Cbor::Array(vec![Cbor::Text("*/*".into()), Cbor::Text("x".into())]);
        assert_eq!(member(cbor, "capture.requestHeaders.accept"), twice);
        assert_eq!(text("sluice.capture"), "stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_in_a_real_bucket_have_every_row() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;
    let Some(server) = Server::start() else { return };
    let (_world, objects, records) = exported(&server, "tables", S3Format::Parquet).await;
    let mut ids = Vec::new();
    for (_, bytes) in objects.iter().filter(|(name, _)| name.ends_with(".parquet")) {
        let file = SerializedFileReader::new(hyper::body::Bytes::from(bytes.clone())).unwrap();
        for row in file.get_row_iter(None).unwrap() {
            ids.push(row.unwrap().get_string(0).unwrap().clone());
        }
    }
    let expected: Vec<String> = records.iter().map(|r| r.request_id.to_string()).collect();
    assert_eq!(ids, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_said_to_be_missing() {
    let Some(server) = Server::start() else { return };
    let sink = sink::open(&domain::Sink::S3 {
        target: bucket(&server.url, "nowhere"),
        format: S3Format::Jsonl,
    })
    .unwrap();
    let Err(SendError::Refused(why)) = sink.send(&small()).await else {
        panic!("refused");
    };
    assert!(why.contains("NoSuchBucket") || why.contains("not found"), "{why}");
}

fn small() -> Batch {
    Batch {
        exporter: "e".into(),
        id: "0a".into(),
        first: 1,
        last: 1,
        items: vec![item::Item::Request(Box::new(item::RequestItem {
            record: record(1, 5),
            capture: Kept::None,
            captured: None,
        }))],
    }
}

/// How a server without manners treats a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Answers with a status.
    Status(u16),
    /// Reads a little of the request and hangs up.
    Cut,
}

/// A server that treats connections as told, then well. Counts them.
async fn rude(manners: Vec<Manner>) -> (String, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        let mut manners = manners.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let manner = manners.next().unwrap_or(Manner::Status(200));
            let mut buffer = vec![0; 64 << 10];
            let _ = stream.read(&mut buffer).await;
            if let Manner::Status(status) = manner {
                let body = "<Error><Code>Told</Code><Message>as told</Message></Error>";
                let answer = format!(
                    "HTTP/1.1 {status} Told\r\netag: \"1\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    (url, count)
}

#[tokio::test]
async fn a_store_without_manners_is_asked_again_or_not() {
    let send = async |manners: Vec<Manner>| {
        let (url, count) = rude(manners).await;
        let sink = sink::open(&domain::Sink::S3 {
            target: bucket(&url, "b"),
            format: S3Format::Jsonl,
        })
        .unwrap();
        let sent = sink.send(&small()).await;
        (sent, count.load(Ordering::Relaxed))
    };
    // Busy, and hanging up in the middle: the library asks again.
    let busy = Manner::Status(503);
    assert_eq!(send(vec![busy, busy]).await, (Ok(()), 3));
    assert_eq!(send(vec![Manner::Cut]).await, (Ok(()), 2));
    // Busy for longer: the exporter's own pauses are for that.
    let (sent, count) = send(vec![busy; 20]).await;
    assert!(matches!(sent, Err(SendError::Later(..))), "{sent:?}");
    assert_eq!(count, 4);
    // Not allowed: asked once.
    let (sent, count) = send(vec![Manner::Status(403); 20]).await;
    let Err(SendError::Refused(why)) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(count, 1);
    assert!(
        !why.contains("canary-secret") && !why.contains("AKIA-canary"),
        "{why}"
    );
}
