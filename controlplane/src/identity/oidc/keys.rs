//! The keys of one issuer: fetched, kept fresh, kept for a day where the issuer is down.
//!
//! A key set is replaced only by one that can be used. What was fetched last lies in the data directory, so that a restart
//! while the issuer is down changes nothing. Tokens cannot make us ask more often than once a minute.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use super::fetch::{self, FetchError};
use super::key_set::{KeySet, KeySetError};
use super::{Place, json};
use crate::config::domain;
use crate::files;
use crate::identity::token::hash;
use crate::link::chain;

/// Folder of key sets in the data directory.
const FOLDER: &str = "jwks";
/// Largest file of a kept key set, in bytes: a set may grow when it is written as a text.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// Patience and pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// For one fetch, discovery included twice.
    pub(crate) patience: Duration,
    /// Age at which a key set is fetched again.
    pub(crate) refresh: Duration,
    /// Pause between fetches because of a key that is not there, and between failed ones.
    pub(crate) pause: Duration,
    /// Pause between fetches while there are no keys at all.
    pub(crate) pause_none: Duration,
    /// Age up to which a key set is used if no newer one can be had.
    pub(crate) kept: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            refresh: Duration::from_secs(3_600),
            pause: Duration::from_secs(60),
            pause_none: Duration::from_secs(10),
            kept: Duration::from_secs(86_400),
        }
    }
}

/// Why there is no new key set.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot fetch {0}")]
    Fetch(String, #[source] FetchError),
    #[error("the discovery document is of another issuer, or names no keys that may be asked for")]
    Discovery,
    #[error("the key set {0}")]
    Set(#[from] KeySetError),
}

/// What is known about a wanted key.
pub(super) enum Found {
    /// It is in here.
    Set(Arc<KeySet>),
    /// The issuer has been asked lately and has no such key.
    Missing,
    /// The issuer would have to be asked and does not answer.
    Unavailable,
}

/// The keys of one issuer.
pub(super) struct Keys {
    issuer: String,
    /// Empty: by discovery.
    url: String,
    ca_pem: Option<String>,
    file: PathBuf,
    settings: Settings,
    state: Mutex<State>,
    /// One fetch at a time.
    fetching: tokio::sync::Mutex<()>,
    /// Told when keys are gone.
    changed: Arc<Notify>,
    /// Room for questions that wait, of all issuers together.
    waiting: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    set: Option<(Arc<KeySet>, SystemTime)>,
    attempts: u64,
    last: Option<Instant>,
    failed: bool,
}

impl Keys {
    /// The keys of an issuer, from the data directory if they are there and young enough.
    pub(super) fn new(issuer: &domain::Issuer, place: &Place) -> Self {
        let name: String = hash(issuer.issuer.as_bytes())
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let keys = Self {
            issuer: issuer.issuer.clone(),
            url: issuer.jwks_url.clone(),
            ca_pem: issuer.ca_pem.clone(),
            file: place.data.join(FOLDER).join(format!("{name}.json")),
            settings: place.settings,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            changed: place.changed.clone(),
            waiting: place.waiting.clone(),
        };
        keys.state().set = keys.load();
        keys
    }

    /// Whether the keys of a changed document are still these.
    pub(super) fn are_of(&self, issuer: &domain::Issuer) -> bool {
        (&self.issuer, &self.url, &self.ca_pem) == (&issuer.issuer, &issuer.jwks_url, &issuer.ca_pem)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key set, unless it is too old.
    pub(super) fn usable(&self) -> Option<Arc<KeySet>> {
        let state = self.state();
        let (set, fetched) = state.set.as_ref()?;
        (age(*fetched) <= self.settings.kept).then(|| set.clone())
    }

    /// A key set that holds what is wanted; the issuer is asked if ours does not and the pause is over.
    pub(super) async fn find(self: &Arc<Self>, wanted: impl Fn(&KeySet) -> bool) -> Found {
        let set = self.usable();
        let pause = match set {
            Some(set) if wanted(&set) => return Found::Set(set),
            Some(_) => self.settings.pause,
            None => self.settings.pause_none,
        };
        let Ok(_room) = self.waiting.try_acquire() else {
            return Found::Unavailable;
        };
        self.fetch_after(pause).await;
        match self.usable() {
            Some(set) if wanted(&set) => Found::Set(set),
            Some(_) if !self.state().failed => Found::Missing,
            _ => Found::Unavailable,
        }
    }

    /// Fetches if the keys have come of age.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let due = {
            let state = self.state();
            state.failed
                || state
                    .set
                    .as_ref()
                    .is_none_or(|(_, fetched)| age(*fetched) >= self.settings.refresh)
        };
        if due {
            self.fetch_after(self.settings.pause).await;
        }
    }

    /// Fetches unless that was tried within the pause. Whoever comes while a fetch is under way waits for that one.
    pub(super) async fn fetch_after(self: &Arc<Self>, pause: Duration) {
        let seen = self.state().attempts;
        let _fetching = self.fetching.lock().await;
        {
            let mut state = self.state();
            if state.attempts != seen || state.last.is_some_and(|last| last.elapsed() < pause) {
                return;
            }
            state.attempts += 1;
            state.last = Some(Instant::now());
        }
        // Whoever asked may go; the fetch is finished for the next one.
        let keys = self.clone();
        if let Err(error) = tokio::spawn(async move { keys.fetch_now().await }).await {
            tracing::error!(%error, issuer = %self.issuer, "a fetch of keys ended");
        }
    }

    async fn fetch_now(&self) {
        let fetched = self.fetch().await;
        let (text, set) = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                let have = self.usable().is_some();
                self.state().failed = true;
                tracing::warn!(issuer = %self.issuer, error = %chain(&error), kept = have, "no new keys of an issuer");
                return;
            }
        };
        let now = SystemTime::now();
        let old = {
            let mut state = self.state();
            state.failed = false;
            state.set.replace((Arc::new(set), now))
        };
        tracing::info!(issuer = %self.issuer, keys = self.usable().map_or(0, |set| set.len()), "keys of an issuer");
        if old.is_some() {
            self.changed.notify_one();
        }
        let (file, content) = (self.file.clone(), self.content(&text, now));
        let kept = tokio::task::spawn_blocking(move || keep(&file, &content)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(issuer = %self.issuer, %error, "cannot keep the keys of an issuer");
        }
    }

    async fn fetch(&self) -> Result<(String, KeySet), Failed> {
        let get = async |url: &str| {
            fetch::get(url, self.ca_pem.as_deref(), self.settings.patience)
                .await
                .map_err(|error| Failed::Fetch(url.to_owned(), error))
        };
        let url = if self.url.is_empty() {
            let document = get(&discovery_url(&self.issuer)).await?;
            discovered(&document, &self.issuer).ok_or(Failed::Discovery)?
        } else {
            self.url.clone()
        };
        let bytes = get(&url).await?;
        let set = KeySet::parse(&bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| KeySetError::Shape)?;
        Ok((text, set))
    }

    fn content(&self, text: &str, fetched: SystemTime) -> String {
        let seconds = fetched
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        serde_json::json!({"issuer": self.issuer, "url": self.url, "fetched": seconds, "jwks": text})
            .to_string()
    }

    fn load(&self) -> Option<(Arc<KeySet>, SystemTime)> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(&self.file)
            .ok()?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .ok()?;
        let kept = json::object(&bytes)?;
        let text = |name: &str| kept.get(name).and_then(Value::as_str);
        if text("issuer") != Some(&self.issuer) || text("url") != Some(&self.url) {
            return None;
        }
        let seconds = kept.get("fetched").and_then(Value::as_u64)?;
        let fetched = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        let set = KeySet::parse(text("jwks")?.as_bytes()).ok()?;
        // A file from the future would never grow old.
        (fetched <= SystemTime::now()).then(|| (Arc::new(set), fetched))
    }
}

fn keep(file: &std::path::Path, content: &str) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    files::replace(file, content.as_bytes())
}

fn age(since: SystemTime) -> Duration {
    since.elapsed().unwrap_or_default()
}

/// Where the discovery document is (OpenID Connect Discovery §4.1).
fn discovery_url(issuer: &str) -> String {
    format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    )
}

/// Where the keys are, if the document is the issuer's own (§4.3): not in the clear where the document came over TLS.
fn discovered(document: &[u8], issuer: &str) -> Option<String> {
    let document = json::object(document)?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return None;
    }
    let url = document.get("jwks_uri").and_then(Value::as_str)?;
    let downgraded = issuer.starts_with("https:") && !url.starts_with("https:");
    (!downgraded && fetch::can_be_asked(url)).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovery_document_speaks_for_its_issuer_only() {
        let check = |issuer: &str, document: &str, expected: Option<&str>| {
            assert_eq!(
                discovered(document.as_bytes(), issuer).as_deref(),
                expected,
                "{document}"
            );
        };
        let iss = "https://i.example";
        check(
            iss,
            r#"{"issuer":"https://i.example","jwks_uri":"https://keys.example/k"}"#,
            Some("https://keys.example/k"),
        );
        check(
            iss,
            r#"{"issuer":"https://i.example/","jwks_uri":"https://keys.example/k"}"#,
            None,
        );
        check(
            iss,
            r#"{"issuer":"https://i.example","jwks_uri":"http://127.0.0.1/k"}"#,
            None,
        );
        check(
            iss,
            r#"{"issuer":"https://i.example","jwks_uri":"http://keys.example/k"}"#,
            None,
        );
        check(iss, r#"{"issuer":"https://i.example","jwks_uri":7}"#, None);
        check(iss, r#"{"issuer":"https://i.example"}"#, None);
        check(
            iss,
            r#"{"issuer":"x","issuer":"https://i.example","jwks_uri":"https://k"}"#,
            None,
        );
        check(iss, "<html>", None);
        assert_eq!(
            discovery_url("https://i.example/realms/a/"),
            "https://i.example/realms/a/.well-known/openid-configuration"
        );
    }
}
