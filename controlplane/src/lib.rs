//! The control plane of Sluice: configuration, identity, the store of usage, the admin API.
//!
//! It serves no client and is on no request's path. It hands compiled snapshots to the data plane, answers who a peer
//! is, and moves what the data plane has journalled into the store. When it is gone, the data plane goes on; when it
//! comes back, it continues where the store says. Everything it keeps is in the data directory (`docs/OPERATING.md`).

mod api;
mod audit;
mod captures;
mod compile;
pub mod config;
mod export;
mod files;
mod fulltext;
mod hooks;
mod identity;
mod ingest;
mod ledger;
mod link;
mod live;
mod lock;
mod objects;
mod publish;
mod reload;
#[doc(hidden)]
pub mod seeding;
mod segments;
mod socket;
pub mod store;
mod sys;
mod web;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::watch;

use api::Shown;
pub use api::explain::{ExplainError, Question, explain};
pub use api::pricing::{price_json, prices_in, prices_of};
use audit::Audit;
use captures::{CaptureIngest, Captures, Care};
use export::Exports;
pub use export::by_hand::{ExportError, ExportFormat, Selection as ExportSelection, export_records};
use fulltext::{FullText, Indexer};
use hooks::Deliverer;
use identity::Identities;
#[doc(hidden)]
pub use identity::fuzz_localapi;
use identity::proof::Proofs;
use identity::token::Tokens;
use ingest::{Endings, Ingest};
use ledger::{Clock, Ledger};
use link::Link;
use live::Live;
use publish::Publisher;
pub use reload::SAVED as SAVED_CONFIG;
use reload::{ConfigState, Configuration, First, Parts, Source};
use socket::OwnListener;
use store::{Sqlite, Store, StoreError};

/// How a control plane is started. It reads no variable of the environment itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration document. Without one, [`config::default_document`] is used.
    pub config_file: Option<PathBuf>,
    /// Where everything is kept; made if it is missing.
    pub data_dir: PathBuf,
    /// Address of the built-in mock provider. Registered as `mock` if there is neither a document nor a provider key.
    pub mock_url: Option<String>,
    /// What `${env:…}` refers to, and where provider keys are looked for.
    pub environment: HashMap<String, String>,
    /// Addresses that the document's listeners have instead of their own, in its order; empty: their own.
    pub listen: Vec<SocketAddr>,
}

/// Why a control plane did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}")]
    DataDir {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Another control plane runs in the data directory.
    #[error("another control plane runs in {0}")]
    Running(PathBuf),
    /// The document cannot be read.
    #[error("cannot read {name}")]
    ConfigRead {
        /// The document.
        name: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The document cannot be used, and there is no earlier one that can.
    #[error("{name}:{}", .report.errors.first().map_or_else(String::new, ToString::to_string))]
    Config {
        /// The document.
        name: String,
        /// Everything that was found.
        report: Box<config::Report>,
    },
    /// A snapshot cannot be written.
    #[error("cannot publish the configuration: {0}")]
    Publish(String),
    /// The store cannot be used.
    #[error("cannot open the store")]
    Store(#[from] StoreError),
    /// A part of the control plane ended although it should not.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
}

/// Runs a control plane until `shutdown` is ready; then what is journalled is stored once more.
///
/// # Errors
/// It cannot start, or one of its parts ended: the supervisor starts it again.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let data = options.data_dir.clone();
    let in_data = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::DataDir { path, error }
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data)
        .map_err(in_data(&data))?;
    let lock_path = data.join("controlplane.lock");
    let Some(_lock) = lock::FileLock::take(&lock_path).map_err(in_data(&lock_path))? else {
        return Err(Error::Running(data));
    };

    objects::prepare(&options.environment);
    // The configuration comes first: a data plane may be waiting for it.
    let source = Source {
        file: options.config_file,
        mock_url: options.mock_url,
        environment: options.environment,
        listen: options.listen,
        data: data.clone(),
    }
    .or_saved();
    let First {
        loaded,
        rejected,
        seen,
    } = source.first()?;
    if rejected.is_none() {
        source.log(&loaded.report);
    }
    let publisher = Arc::new(Publisher::open(&data));
    let epoch = publisher
        .publish(loaded.document.clone())
        .map_err(|error| Error::Publish(link::chain(&error)))?;
    if rejected.is_none() {
        source.keep(&loaded);
    }
    tracing::info!(epoch = epoch.0, "configuration in use: {}", loaded.report.summary);
    let identities = Arc::new(Identities::new(&loaded.document.identity));
    // Credentials cannot be judged without the tokens in the store.
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&data).await?);
    let audit = Audit::open(store.clone(), &data)?;
    let tokens = Tokens::open(store.clone()).await?;
    let proofs = Proofs::new(&loaded.document.identity, &data, tokens.clone());
    identities.attach(&proofs);
    let state = Arc::new(ConfigState::new(source.name(), loaded.report.clone(), rejected));
    let control_path = data.join("control.sock");
    let control = OwnListener::bind(&control_path).map_err(in_data(&control_path))?;
    // Who hears from a data plane that we are ready may ask at once: it waits until the rest below is.
    let api_path = data.join("api.sock");
    let listener = OwnListener::bind(&api_path).map_err(in_data(&api_path))?;
    let quotas = publisher
        .current()
        .map(|published| published.snapshot.quotas.clone());
    let clock = Clock::start();
    store.resume(clock.now()).await?;
    let ledger = Ledger::new(store.clone(), clock, &quotas.unwrap_or_default());
    let link = Link::new(publisher.clone(), identities.clone(), ledger.clone());
    let mut serving = tokio::spawn(link.clone().serve(control));
    let parts = Parts {
        publisher: publisher.clone(),
        identities: identities.clone(),
        ledger: ledger.clone(),
        link: link.clone(),
        audit: audit.clone(),
        state: state.clone(),
    };
    let configuration = Configuration::new(source, loaded, seen, epoch, parts);
    let mut watching = tokio::spawn(configuration.clone().watch());

    let mut minding_tokens = tokio::spawn(tokens.clone().run());
    let mut minding_keys = tokio::spawn(proofs.run());
    let status = Arc::new(ingest::Status::new(Instant::now()));
    let endings = Arc::new(Endings::default());
    let live = Live::new(reload::now());
    let mut telling = tokio::spawn(live.clone().run(link.clone()));
    let ingest = Ingest::new(
        &data,
        store.clone(),
        ledger.clone(),
        Handle::current(),
        status.clone(),
        ingest::price::Bases::of(publisher.clone()),
        ingest::Settings {
            endings: endings.clone(),
            live: live.clone(),
            ..ingest::Settings::default()
        },
    );
    let (stop_ingest, stopped) = std::sync::mpsc::channel::<()>();
    let mut ingesting = tokio::task::spawn_blocking(move || ingest.run(&stopped));
    let captures = Captures::new(&data, store.clone());
    let capture_status = Arc::new(captures::Status::default());
    let settings = captures::Settings::default();
    let capture_ingest = CaptureIngest::new(
        &data,
        store.clone(),
        Handle::current(),
        capture_status.clone(),
        endings,
        settings.clone(),
    )
    .map_err(in_data(&data))?;
    let (stop_captures, stopped) = std::sync::mpsc::channel::<()>();
    let mut capturing = tokio::task::spawn_blocking(move || capture_ingest.run(&stopped));
    let care = Care::new(store.clone(), captures.clone(), capture_status.clone(), settings);
    let mut caring = tokio::spawn(care.run(configuration.documents()));
    let deliverer = Deliverer::new(
        store.clone(),
        captures.clone(),
        configuration.documents(),
        hooks::Settings::default(),
    );
    let mut delivering = tokio::spawn(deliverer.run());

    let full_text = FullText::new(&data);
    let indexer = Indexer {
        index: full_text.clone(),
        store: store.clone(),
        captures: captures.clone(),
        settings: fulltext::Settings::default(),
    };
    let mut indexing = tokio::spawn(indexer.run(configuration.documents()));

    let exports = Exports::new(store.clone(), captures.clone(), export::clock);
    let mut exporting = tokio::spawn(exports.clone().run(configuration.documents()));

    let shown = Arc::new(Shown {
        store,
        ledger,
        publisher,
        identities,
        link,
        audit,
        tokens: tokens.clone(),
        ingest: status,
        captures,
        full_text,
        capture_status,
        config: state,
        configuration,
        exports,
        live: live.clone(),
        started: Instant::now(),
    });
    let (stop_api, mut api_stopped) = watch::channel(false);
    let stop = async move {
        // Either the value changes or its owner is gone; both mean stop.
        let _ = api_stopped.wait_for(|stop| *stop).await;
    };
    let mut answering = tokio::spawn(api::serve(listener, shown, stop));

    let end = tokio::select! {
        () = shutdown => Ok(()),
        _ = &mut serving => Err(Error::Ended("the control socket")),
        _ = &mut watching => Err(Error::Ended("the watch on the document")),
        _ = &mut ingesting => Err(Error::Ended("ingest")),
        _ = &mut capturing => Err(Error::Ended("the ingest of captures")),
        _ = &mut caring => Err(Error::Ended("the care of captures")),
        _ = &mut indexing => Err(Error::Ended("the index of texts")),
        _ = &mut delivering => Err(Error::Ended("the delivery of events")),
        _ = &mut answering => Err(Error::Ended("the admin API")),
        _ = &mut minding_tokens => Err(Error::Ended("the care of tokens")),
        _ = &mut minding_keys => Err(Error::Ended("the care of keys")),
        _ = &mut exporting => Err(Error::Ended("the exports")),
        _ = &mut telling => Err(Error::Ended("the live figures")),
    };
    drop(stop_ingest);
    drop(stop_captures);
    caring.abort();
    indexing.abort();
    delivering.abort();
    telling.abort();
    // The API stops when its answers are finished, and these have no end of their own.
    live.close();
    stop_api.send_replace(true);
    serving.abort();
    watching.abort();
    minding_tokens.abort();
    minding_keys.abort();
    exporting.abort();
    if end.is_ok() {
        // Both have been told to stop and hold nothing that could wait for ever but one query or one transaction.
        let patience = std::time::Duration::from_secs(5);
        let _ = tokio::time::timeout(patience, ingesting).await;
        let _ = tokio::time::timeout(patience, capturing).await;
        let _ = tokio::time::timeout(patience, answering).await;
        let _ = tokio::time::timeout(patience, tokens.write_uses()).await;
    }
    end
}
