//! Files that change, well and badly.

use sluice_shared::ids::Epoch;
use tokio::sync::watch;

use super::*;
use crate::publish::Published;

struct Fixture {
    folder: tempfile::TempDir,
    file: PathBuf,
    publisher: Arc<Publisher>,
    state: Arc<ConfigState>,
    published: watch::Receiver<Option<Published>>,
}

fn text(provider: &str) -> String {
    format!(
        r#"{{"providers": {{"{provider}": {{"baseurl": "http://x", "models": ["m"]}}}},
        "grants": [{{"src": ["*"], "capabilities": [{{"role": "admin"}}]}}]}}"#
    )
}

fn source(folder: &Path, file: Option<PathBuf>) -> Source {
    Source {
        file,
        mock_url: None,
        environment: HashMap::new(),
        listen: None,
        data: folder.to_owned(),
    }
}

impl Fixture {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluice.hujson");
        std::fs::write(&file, text("first")).unwrap();
        let source = source(folder.path(), Some(file.clone()));
        let First {
            loaded,
            rejected,
            seen,
        } = source.first().unwrap();
        assert!(rejected.is_none());
        let publisher = Arc::new(Publisher::open(folder.path()));
        publisher.publish(loaded.document.clone()).unwrap();
        source.keep(&loaded);
        let identities = Arc::new(Identities::new(&loaded.document.identity));
        let link = Link::new(publisher.clone(), identities.clone());
        let state = Arc::new(ConfigState::new(source.name(), loaded.report, None));
        let reload = Reload {
            source,
            publisher: publisher.clone(),
            identities,
            link,
            state: state.clone(),
            seen,
        };
        let published = publisher.subscribe();
        tokio::spawn(reload.watch());
        Self {
            folder,
            file,
            publisher,
            state,
            published,
        }
    }

    /// Writes until the change is seen: the watch may begin a moment after the test does.
    async fn until(&mut self, change: impl Fn(), seen: impl Fn(&Self) -> bool) {
        let all = async {
            while !seen(self) {
                change();
                let _ = tokio::time::timeout(Duration::from_millis(1_500), self.published.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .expect("the change is noticed");
    }

    fn provider(&self) -> String {
        self.publisher.current().unwrap().snapshot.providers[0].id.clone()
    }
}

#[tokio::test]
async fn written_and_replaced_files_are_noticed_and_bad_ones_change_nothing() {
    let mut f = Fixture::start();
    let (file, folder) = (f.file.clone(), f.folder.path().to_owned());
    f.until(
        || std::fs::write(&file, text("second")).unwrap(),
        |f| f.provider() == "second",
    )
    .await;

    // As editors do: a new file takes the name.
    let replace = |content: &str| {
        std::fs::write(folder.join("tmp"), content).unwrap();
        std::fs::rename(folder.join("tmp"), &file).unwrap();
    };
    f.until(|| replace(&text("third")), |f| f.provider() == "third")
        .await;
    let epoch = f.publisher.current().unwrap().epoch;

    f.until(
        || replace("{\"providers\": {},\n oops}"),
        |f| f.state.view().rejected.is_some(),
    )
    .await;
    let rejected = f.state.view().rejected.unwrap();
    assert_eq!(
        (rejected.errors[0].line, rejected.errors[0].column),
        (2, 2),
        "{rejected:?}"
    );
    assert_eq!(
        (f.provider().as_str(), f.publisher.current().unwrap().epoch),
        ("third", epoch)
    );
    assert_eq!(
        f.state.view().report.summary,
        "1 provider (third), 1 grant, 0 aliases, 1 listener"
    );

    f.until(
        || drop(std::fs::remove_file(&file)),
        |f| {
            f.state
                .view()
                .rejected
                .is_some_and(|r| r.errors[0].text.starts_with("cannot be read"))
        },
    )
    .await;
    assert_eq!(f.provider(), "third");

    f.until(|| replace(&text("fourth")), |f| f.provider() == "fourth")
        .await;
    assert!(f.state.view().rejected.is_none());
}

#[tokio::test]
async fn the_same_text_is_no_change() {
    let mut f = Fixture::start();
    let file = f.file.clone();
    f.until(
        || std::fs::write(&file, text("second")).unwrap(),
        |f| f.provider() == "second",
    )
    .await;
    let epoch = f.publisher.current().unwrap().epoch;
    std::fs::write(&file, text("second")).unwrap();
    f.until(
        || std::fs::write(&file, text("third")).unwrap(),
        |f| f.provider() == "third",
    )
    .await;
    assert_eq!(f.publisher.current().unwrap().epoch, Epoch(epoch.0 + 1));
}

#[test]
fn a_start_with_a_broken_document_uses_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.hujson");
    let source = source(folder.path(), Some(file.clone()));
    assert!(matches!(source.first(), Err(Error::ConfigRead { .. })));
    std::fs::write(&file, "{oops").unwrap();
    let Err(Error::Config { report, .. }) = source.first() else {
        panic!("a broken first document is refused")
    };
    assert_eq!((report.errors[0].line, report.errors[0].column), (1, 2));
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(matches!(source.first(), Err(Error::ConfigRead { .. })));

    std::fs::write(&file, text("good")).unwrap();
    let First { loaded, .. } = source.first().unwrap();
    source.keep(&loaded);
    std::fs::write(&file, "").unwrap();
    let First { loaded, rejected, .. } = source.first().unwrap();
    assert_eq!(loaded.document.providers[0].id, "good");
    assert_eq!(rejected.unwrap().errors[0].text, "the document is empty");
}

#[test]
fn an_address_from_outside_replaces_the_listeners() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source {
        listen: Some("0.0.0.0:9999".parse().unwrap()),
        environment: HashMap::from([("OPENAI_API_KEY".into(), "k".into())]),
        ..source(folder.path(), None)
    };
    let First { loaded, .. } = source.first().unwrap();
    let listeners: Vec<&str> = loaded
        .document
        .listeners
        .iter()
        .map(|l| l.address.as_str())
        .collect();
    assert_eq!(
        (listeners, source.name().as_str()),
        (vec!["0.0.0.0:9999"], "built-in document")
    );
}
