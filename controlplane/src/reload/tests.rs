//! Files that change, well and badly.

use std::time::Duration;

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
    configuration: Arc<Configuration>,
}

fn text(provider: &str) -> String {
    format!(
        r#"{{"providers": {{"{provider}": {{"baseurl": "http://x", "models": ["m"]}}}},
        "identity": {{"sources": ["loopback"]}},
        "grants": [{{"src": ["*"], "capabilities": [{{"role": "admin"}}]}}]}}"#
    )
}

fn source(folder: &Path, file: Option<PathBuf>) -> Source {
    Source {
        file,
        mock_url: None,
        environment: HashMap::new(),
        listen: Vec::new(),
        data: folder.to_owned(),
    }
}

impl Fixture {
    /// A document in a file, watched.
    fn start() -> Self {
        let this = Self::still(&text("first"));
        tokio::spawn(this.configuration.clone().watch());
        this
    }

    /// The same without anybody who looks.
    fn still(first: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sluice.hujson");
        std::fs::write(&file, first).unwrap();
        let source = source(folder.path(), Some(file.clone()));
        Self::of(folder, file, source)
    }

    fn of(folder: tempfile::TempDir, file: PathBuf, source: Source) -> Self {
        let First {
            loaded,
            rejected,
            seen,
        } = source.first().unwrap();
        assert!(rejected.is_none());
        let publisher = Arc::new(Publisher::open(folder.path()));
        let epoch = publisher.publish(loaded.document.clone()).unwrap();
        source.keep(&loaded);
        let identities = Arc::new(Identities::new(&loaded.document.identity));
        let ledger = crate::ledger::tests::empty(folder.path());
        let link = Link::new(publisher.clone(), identities.clone(), ledger.clone());
        let state = Arc::new(ConfigState::new(source.name(), loaded.report.clone(), None));
        let audit = Audit::open(crate::ledger::tests::store(folder.path()), folder.path()).unwrap();
        let parts = Parts {
            publisher: publisher.clone(),
            identities,
            ledger,
            link,
            audit,
            state: state.clone(),
        };
        let configuration = Configuration::new(source, loaded, seen, epoch, parts);
        let published = publisher.subscribe();
        Self {
            folder,
            file,
            publisher,
            state,
            published,
            configuration,
        }
    }

    fn save(&self, text: &str, if_match: IfMatch) -> Result<Saved, SaveError> {
        self.configuration.save(Save {
            text: text.to_owned(),
            author: Author::new("alice"),
            if_match,
            check: &|_, _| None,
        })
    }

    fn epoch(&self) -> u64 {
        self.publisher.current().unwrap().epoch.0
    }

    fn authors(&self) -> Vec<String> {
        self.configuration
            .history(|history| history.list().map(|v| v.author.clone()).collect())
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

    f.until(
        || replace(&text("fourth")),
        |f| f.provider() == "fourth" && f.state.view().rejected.is_none(),
    )
    .await;
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
        listen: vec!["0.0.0.0:9999".parse().unwrap()],
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

/// Red if an address on the command line takes a listener's names, TLS or PROXY senders away, or lets headers be forged.
#[test]
fn addresses_from_outside_keep_what_else_the_listeners_are() {
    let at = |addresses: &[&str], listeners: &[Listener]| {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        listeners_at(&addresses, listeners)
    };
    let inner = Listener {
        address: "127.0.0.1:0".into(),
        admin: true,
        serve_headers: true,
        hosts: vec!["ai.example.com".into()],
        ..Listener::default()
    };
    let outer = Listener {
        address: "0.0.0.0:443".into(),
        llm: true,
        tls: Some(sluice_shared::snapshot::ListenerTls::default()),
        ..Listener::default()
    };
    let moved = |listener: &Listener, address: &str| Listener {
        address: address.into(),
        ..listener.clone()
    };
    let both = [inner.clone(), outer.clone()];
    assert_eq!(
        at(&["127.0.0.1:5", "0.0.0.0:6"], &both),
        [moved(&inner, "127.0.0.1:5"), moved(&outer, "0.0.0.0:6")]
    );
    let everything = |listener: &Listener| Listener {
        llm: true,
        admin: true,
        ..listener.clone()
    };
    assert_eq!(
        at(&["127.0.0.1:5"], &both),
        [moved(&everything(&inner), "127.0.0.1:5")]
    );
    assert!(!at(&["10.0.0.1:5"], &both)[0].serve_headers);
    assert!(at(&["10.0.0.1:5"], &[outer, inner])[0].tls.is_some());
}

#[test]
fn a_save_writes_the_file_and_counts_once() {
    let f = Fixture::still(&text("first"));
    let etag = f.configuration.present().version.etag();
    let saved = f
        .save(
            &format!("// kept\n{}", text("second")),
            IfMatch::Tags(vec![etag.clone()]),
        )
        .unwrap();
    assert_eq!(
        (saved.present.epoch.0, f.epoch(), f.provider().as_str()),
        (2, 2, "second")
    );
    let written = std::fs::read_to_string(&f.file).unwrap();
    assert_eq!(written, format!("// kept\n{}", text("second")));
    // The watch finds what it knows.
    f.configuration.look();
    assert_eq!(f.epoch(), 2);
    assert_eq!(f.authors(), ["alice", "(file)"]);

    // The old tag is gone; so is the new one once the file was edited, even if nobody has looked yet.
    assert!(matches!(
        f.save(&text("x"), IfMatch::Tags(vec![etag])),
        Err(SaveError::Conflict { .. })
    ));
    let etag = saved.present.version.etag();
    std::fs::write(&f.file, text("edited")).unwrap();
    let Err(SaveError::Conflict { etag: newest }) = f.save(&text("x"), IfMatch::Tags(vec![etag])) else {
        panic!("an edit of the file is not overwritten")
    };
    assert_eq!((f.provider().as_str(), f.epoch()), ("edited", 3));
    f.save(&text("third"), IfMatch::Tags(vec![newest])).unwrap();
    f.save(&text("fourth"), IfMatch::Any).unwrap();
    assert_eq!(f.authors(), ["alice", "alice", "(file)", "alice", "(file)"]);
    assert_eq!(f.epoch(), 5);
}

#[test]
fn a_save_is_refused_for_warnings_and_by_its_check_and_changes_nothing() {
    let f = Fixture::still(&text("first"));
    let before = std::fs::read_to_string(&f.file).unwrap();
    let refused = |text: &str, path: &str, line: usize| {
        let Err(SaveError::Invalid(report)) = f.save(text, IfMatch::Any) else {
            panic!("{text} is refused")
        };
        let all: Vec<_> = report.errors.iter().chain(&report.warnings).collect();
        assert!(
            all.iter().any(|m| m.path == path && m.line == line),
            "{text}: {report:?}"
        );
    };
    refused("", "", 1);
    refused("// nothing", "", 1);
    refused("{", "", 1);
    refused("{}", "", 1);
    refused(
        &text("x").replace("\"models\"", "\n\"modles\""),
        "providers.x.modles",
        2,
    );
    refused(
        &text("x").replace("\"baseurl\"", "\"apikey\": \"***\", \"baseurl\""),
        "providers.x.apikey",
        1,
    );
    let check = |_: &Document, _: &Document| Some(whole_document("not you".into()));
    let save = Save {
        text: text("x"),
        author: Author::new("alice"),
        if_match: IfMatch::Any,
        check: &check,
    };
    assert!(matches!(f.configuration.save(save), Err(SaveError::Invalid(_))));
    assert_eq!((f.epoch(), f.provider().as_str()), (1, "first"));
    assert_eq!(std::fs::read_to_string(&f.file).unwrap(), before);
    assert_eq!(f.authors(), ["(file)"]);
}

#[test]
fn what_cannot_be_written_is_not_used() {
    let f = Fixture::still(&text("first"));
    std::fs::remove_file(&f.file).unwrap();
    std::fs::create_dir(&f.file).unwrap();
    assert!(matches!(
        f.save(&text("second"), IfMatch::Any),
        Err(SaveError::Write(..))
    ));
    assert_eq!((f.epoch(), f.provider().as_str()), (1, "first"));

    // Nor is what cannot be published left in the file.
    let f = Fixture::still(&text("first"));
    std::fs::create_dir(f.folder.path().join("snapshot.bin.new")).unwrap();
    assert!(matches!(
        f.save(&text("second"), IfMatch::Any),
        Err(SaveError::Publish(_))
    ));
    assert_eq!(std::fs::read_to_string(&f.file).unwrap(), text("first"));
    assert_eq!(f.provider(), "first");
    std::fs::remove_dir(f.folder.path().join("snapshot.bin.new")).unwrap();
    f.configuration.look();
    f.save(&text("second"), IfMatch::Any).unwrap();
    assert_eq!(f.provider(), "second");
}

#[tokio::test]
async fn the_first_save_makes_the_file_that_counts_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let environment = HashMap::from([("OPENAI_API_KEY".into(), "k".into())]);
    let start = |folder: &Path| Source {
        environment: environment.clone(),
        ..source(folder, None)
    };
    let built_in = start(folder.path()).or_saved();
    assert_eq!(built_in.file, None);
    let saved = folder.path().join(SAVED);
    let mut f = Fixture::of(folder, saved.clone(), built_in);
    tokio::spawn(f.configuration.clone().watch());
    assert_eq!(f.authors(), ["(built-in)"]);
    f.save(&text("mine"), IfMatch::Any).unwrap();
    assert_eq!(std::fs::read_to_string(&saved).unwrap(), text("mine"));
    assert_eq!(f.state.view().source, saved.display().to_string());
    // It is watched like any other.
    f.until(
        || std::fs::write(&saved, text("edited")).unwrap(),
        |f| f.provider() == "edited",
    )
    .await;
    let again = start(f.folder.path()).or_saved();
    assert_eq!(again.file.as_deref(), Some(saved.as_path()));
    assert_eq!(again.first().unwrap().loaded.document.providers[0].id, "edited");
    let named = source(f.folder.path(), Some("/elsewhere".into())).or_saved();
    assert_eq!(named.file.as_deref(), Some(Path::new("/elsewhere")));
}

#[test]
fn a_file_that_the_document_names_reloads_it() {
    let with_key = text("first").replace("\"baseurl\"", "\"apikey\": \"${file:key}\", \"baseurl\"");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "one").unwrap();
    let file = folder.path().join("sluice.hujson");
    std::fs::write(&file, &with_key).unwrap();
    let source = source(folder.path(), Some(file.clone()));
    let f = Fixture::of(folder, file, source);
    let secret = || f.publisher.current().unwrap().snapshot.providers[0].key.0.clone();
    assert_eq!((secret().as_str(), f.epoch()), ("one", 1));
    f.configuration.look();
    assert_eq!(f.epoch(), 1);
    std::fs::write(&key, "two-").unwrap();
    f.configuration.look();
    assert_eq!((secret().as_str(), f.epoch()), ("two-", 2));
    assert_eq!(f.authors().len(), 1, "the text is the same version");

    std::fs::remove_file(&key).unwrap();
    f.configuration.look();
    let rejected = f.state.view().rejected.unwrap();
    assert!(rejected.errors[0].text.contains("${file:key}"), "{rejected:?}");
    assert_eq!((secret().as_str(), f.epoch()), ("two-", 2));
    std::fs::write(&key, "three").unwrap();
    f.configuration.look();
    assert_eq!((secret().as_str(), f.epoch()), ("three", 3));
    assert!(f.state.view().rejected.is_none());
}

#[allow(clippy::print_stdout, reason = "the count is part of what the run shows")]
#[test]
fn rapid_rewrites_always_leave_the_last_good_document() {
    let f = Fixture::still(&text("first"));
    let (mut good, mut epoch) = ("first".to_owned(), f.epoch());
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut refused = 0;
    for round in 0..200 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let name = format!("p{round}");
        let whole = text(&name);
        let at = usize::try_from(seed).unwrap_or(0) % whole.len();
        match seed % 5 {
            0 => std::fs::write(&f.file, &whole[..at]).unwrap(),
            1 => std::fs::write(&f.file, [&whole.as_bytes()[..at], &[0xff]].concat()).unwrap(),
            2 => std::fs::remove_file(&f.file).unwrap_or_default(),
            _ => {
                std::fs::write(f.folder.path().join("tmp"), &whole).unwrap();
                std::fs::rename(f.folder.path().join("tmp"), &f.file).unwrap();
                good = name;
            }
        }
        f.configuration.look();
        refused += u32::from(f.state.view().rejected.is_some());
        assert_eq!(f.provider(), good, "round {round}");
        assert!(f.epoch() >= epoch, "round {round}");
        epoch = f.epoch();
    }
    assert!(refused > 40, "{refused}");
    assert!(epoch > 80, "{epoch}");
    println!("200 rewrites, {refused} refused, epoch {epoch}");
}
