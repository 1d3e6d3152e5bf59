//! The control plane as a whole, as `sluice controlplane` runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/http.rs"]
mod http;
#[path = "support/journal.rs"]
mod journal;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use sluice_controlplane::store::{self, GroupBy, UsageQuery};
use sluice_controlplane::{Error, Options};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::snapshot::{Sealed, address_bits};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::control::{HEADER_BYTES, Header, IdentityAnswer, ToControl, ToData};
use sluice_shared::wire::journal::Entry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

fn start(options: Options) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    Running {
        stop,
        task: tokio::spawn(async move { sluice_controlplane::run(options, shutdown).await }),
    }
}

/// Waits for something that another process, or thread, makes true.
async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it comes true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn hear(stream: &mut UnixStream) -> ToData {
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).unwrap();
    let header = Header::parse(&head).unwrap();
    let mut payload = vec![0; header.payload_bytes];
    stream.read_exact(&mut payload).unwrap();
    header.to_data(&payload).unwrap()
}

fn options(data: &Path) -> Options {
    Options {
        data_dir: data.join("data"),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_document_to_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.hujson");
    std::fs::write(folder.path().join("key"), "sk-canary\n").unwrap();
    std::fs::write(
        &file,
        r#"{ // the key stands beside the document
        "providers": {"p": {"baseurl": "http://x", "models": ["m"], "apikey": "${file:key}"}},
        "identity": {"sources": ["loopback"]},
        "grants": [{"src": ["*"], "capabilities": [{"role": "admin"}]}]}"#,
    )
    .unwrap();
    let options = Options {
        config_file: Some(file.clone()),
        ..options(folder.path())
    };
    let data = options.data_dir.clone();
    let running = start(options.clone());

    let mut stream = until(|| UnixStream::connect(data.join("control.sock")).ok()).await;
    stream
        .write_all(
            &ToControl::Hello {
                pid: 1,
                incarnation: 1,
                epoch: Epoch(0),
            }
            .encode()
            .unwrap(),
        )
        .unwrap();
    assert!(matches!(
        hear(&mut stream),
        ToData::Snapshot { epoch: Epoch(1), .. }
    ));
    let copy = Sealed::open(&std::fs::read(data.join("snapshot.bin")).unwrap())
        .unwrap()
        .to_owned()
        .unwrap();
    assert_eq!(
        (copy.epoch, copy.providers[0].key.0.as_str()),
        (Epoch(1), "sk-canary")
    );
    let address = address_bits("127.0.0.1".parse().unwrap());
    stream
        .write_all(
            &ToControl::WhoIs {
                ticket: 1,
                address,
                port: 2,
            }
            .encode()
            .unwrap(),
        )
        .unwrap();
    assert!(matches!(
        hear(&mut stream),
        ToData::Identity {
            answer: IdentityAnswer::Known { .. },
            ..
        }
    ));

    let mut writer = journal::Writer::new(&data, 1);
    let id = RequestId::new(1, ShardId(0), 1, 1);
    let mut record = UsageRecord::draft(id, UnixMicros(5), ShardId(0), Epoch(1), ApiKind::OpenAiChat);
    (record.ended, record.user) = (Ended::Complete, "alice".into());
    writer.append(0, &Entry::Usage(Box::new(record)));
    let socket = data.join("api.sock");
    let list = until(|| http::get(&socket, "/api/requests").filter(|l| l["requests"][0].is_object())).await;
    assert_eq!(
        (
            list["requests"][0]["user"].as_str(),
            list["next_cursor"].is_null()
        ),
        (Some("alice"), true)
    );

    assert!(
        matches!(start(options.clone()).task.await.unwrap(), Err(Error::Running(_))),
        "one at a time"
    );

    std::fs::write(&file, "{\n\"providers\": {},\n]").unwrap();
    let health =
        until(|| http::get(&socket, "/api/health").filter(|h| h["config"]["rejected"].is_object())).await;
    assert_eq!(health["config"]["rejected"]["errors"][0]["line"], 3, "{health:#}");
    assert_eq!(
        (health["epoch"].as_u64(), health["data_planes"].as_u64()),
        (Some(1), Some(1))
    );
    assert!(!health.to_string().contains("canary"));

    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    // Without a control plane the store can still be asked; with the broken document it starts on the last good one.
    let by_user = UsageQuery::all(GroupBy::User);
    let groups = store::open_read_only(&data)
        .await
        .unwrap()
        .usage(&by_user)
        .await
        .unwrap();
    assert_eq!((groups[0].key.as_str(), groups[0].totals.requests), ("alice", 1));
    let running = start(options);
    let health = until(|| http::get(&socket, "/api/health")).await;
    assert_eq!(
        (health["status"].as_str(), health["epoch"].as_u64()),
        (Some("degraded"), Some(2))
    );
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_document_and_key_the_mock_is_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        mock_url: Some("http://127.0.0.1:9".into()),
        ..options(folder.path())
    };
    let socket = options.data_dir.join("api.sock");
    let running = start(options.clone());
    let providers = until(|| http::get(&socket, "/api/providers")).await;
    assert_eq!(providers["providers"][0]["id"], "mock");
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
    let environment = HashMap::from([("OPENAI_API_KEY".to_owned(), "k".to_owned())]);
    let running = start(Options {
        environment,
        ..options
    });
    let providers = until(|| http::get(&socket, "/api/providers")).await;
    assert_eq!(providers["providers"][0]["id"], "openai");
    running.stop.send(()).unwrap();
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.hujson");
    let with_file = Options {
        config_file: Some(file.clone()),
        ..options(folder.path())
    };
    let fails = async |options: Options| {
        sluice_controlplane::run(options, std::future::pending())
            .await
            .expect_err("it does not start")
            .to_string()
    };
    assert_eq!(
        fails(with_file.clone()).await,
        format!("cannot read {}", file.display())
    );
    std::fs::write(&file, "{\"providers\": {}, \"grants\": [}").unwrap();
    let said = fails(with_file).await;
    assert!(
        said.starts_with(&format!("{}:1:30: the document does not parse", file.display())),
        "{said}"
    );
    let taken = Options {
        data_dir: file.join("data"),
        ..Options::default()
    };
    assert!(fails(taken).await.starts_with("cannot use the data directory"));
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    std::fs::write(
        folder.path().join("data").join(store::FILE),
        "no database at all, but long enough to be one".repeat(99),
    )
    .unwrap();
    assert_eq!(fails(options(folder.path())).await, "cannot open the store");
}
