//! Tokens that this gateway issues, for jobs without an identity of the network.
//!
//! A token is shown once. What is kept is its SHA-256: in the store, and in memory in a map by that hash, so that a check
//! asks no database and compares nothing byte by byte; whoever measures its time learns about a hash, not about a token.
//! Whatever ends a token (revocation, expiry) is told at once to everybody who listens, so that running streams end.

mod new;
mod secret;
#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use sluice_shared::snapshot::{Role, Secret};
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Principal;
use tokio::sync::{Notify, broadcast};

pub(crate) use new::{NewToken, TokenError};
pub(crate) use secret::{NoRandom, PREFIX, hash};

use crate::link::chain;
pub(crate) use crate::store::TokenInfo;
use crate::store::{Store, StoreError, StoredToken};

/// How often uses are written, at most.
const USES_EVERY: Duration = Duration::from_secs(60);
/// Tokens stay in the list this long after their end.
const KEPT_AFTER_END: u64 = 365 * new::DAY;
/// Revocations that a listener may lag behind; then it must forget everything.
const REVOCATIONS_MAX: usize = 1_024;

/// Who makes or revokes tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// Login, or tags joined by `,`.
    pub(crate) login: String,
    /// Present role; nobody gives away more than this.
    pub(crate) role: Role,
    /// Came with a credential that is limited to some models: could otherwise rid itself of the limit.
    pub(crate) scoped: bool,
}

/// What is said about a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In force for so long still.
    Known {
        principal: Principal,
        remaining: Duration,
    },
    /// Ours by its looks, and not in force.
    Refused(&'static str),
}

/// A token in memory.
struct Held {
    token: StoredToken,
    /// Unix microseconds; 0: never.
    used: AtomicU64,
    /// What of it the store knows.
    used_stored: AtomicU64,
    /// The end by expiry was told.
    told: bool,
}

#[derive(Default)]
struct Book {
    by_hash: HashMap<[u8; 32], Held>,
    by_id: HashMap<String, [u8; 32]>,
}

/// The tokens of a gateway.
pub(crate) struct Tokens {
    store: Arc<dyn Store>,
    book: RwLock<Book>,
    /// One author at a time, so that the bound on their number holds.
    making: tokio::sync::Mutex<()>,
    revocations: broadcast::Sender<[u8; 32]>,
    /// The next expiry may be another.
    changed: Notify,
    #[cfg(test)]
    ahead: std::sync::Mutex<Duration>,
}

impl Tokens {
    /// Reads the tokens of a store.
    pub(crate) async fn open(store: Arc<dyn Store>) -> Result<Arc<Self>, StoreError> {
        let before = UnixMicros(unix_micros().saturating_sub(KEPT_AFTER_END));
        store.prune_tokens(before).await?;
        let mut book = Book::default();
        let now = UnixMicros(unix_micros());
        for token in store.tokens().await? {
            let told = token.info.expires_at <= now;
            book.insert(token, told);
        }
        Ok(Arc::new(Self {
            store,
            book: RwLock::new(book),
            making: tokio::sync::Mutex::default(),
            revocations: broadcast::channel(REVOCATIONS_MAX).0,
            changed: Notify::new(),
            #[cfg(test)]
            ahead: std::sync::Mutex::default(),
        }))
    }

    /// Hashes of credentials that are good no more.
    pub(crate) fn revocations(&self) -> broadcast::Receiver<[u8; 32]> {
        self.revocations.subscribe()
    }

    /// Tells the listeners that a credential is good no more.
    pub(super) fn tell(&self, hash: [u8; 32]) {
        // Nobody may be listening.
        let _ = self.revocations.send(hash);
    }

    /// Whose a token is, now. `hash` is the SHA-256 of the whole of it.
    pub(super) fn check(&self, token: &str, hash: &[u8; 32]) -> Verdict {
        if !secret::well_formed(token) {
            return Verdict::Refused("malformed token");
        }
        let verdict = self.in_force(hash);
        if matches!(verdict, Verdict::Known { .. })
            && let Some(held) = self.read().by_hash.get(hash)
        {
            held.used.store(self.now().0, Ordering::Relaxed);
        }
        verdict
    }

    /// The same without the token itself, and without counting as a use.
    pub(super) fn in_force(&self, hash: &[u8; 32]) -> Verdict {
        let now = self.now();
        let book = self.read();
        let Some(Held { token, .. }) = book.by_hash.get(hash) else {
            return Verdict::Refused("unknown token");
        };
        if token.info.revoked_at.is_some() {
            return Verdict::Refused("token was revoked");
        }
        if token.info.expires_at <= now {
            return Verdict::Refused("token has expired");
        }
        Verdict::Known {
            principal: principal(&token.info),
            remaining: Duration::from_micros(token.info.expires_at.0 - now.0),
        }
    }

    /// Makes a token. The secret is in the answer and nowhere else. `first` sees the token before it is stored, on a
    /// thread that may wait; if it refuses, there is none.
    pub(crate) async fn create_if(
        &self,
        new: NewToken,
        author: &Author,
        first: impl FnOnce(&TokenInfo) -> Result<(), TokenError> + Send + 'static,
    ) -> Result<(TokenInfo, Secret), TokenError> {
        let _making = self.making.lock().await;
        let now = self.now();
        let checked = new::check(new, author, now)?;
        if self
            .read()
            .by_hash
            .values()
            .filter(|held| lives(&held.token.info, now))
            .count()
            >= new::TOKENS_MAX
        {
            return Err(TokenError::Full);
        }
        let mut id = secret::id()?;
        while self.read().by_id.contains_key(&id) {
            id = secret::id()?;
        }
        let secret = secret::generate()?;
        let info = TokenInfo {
            id,
            name: checked.name,
            login: checked.login,
            tags: checked.tags,
            groups: checked.groups,
            scope: checked.scope,
            created_by: author.login.clone(),
            created_at: now,
            expires_at: checked.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let token = StoredToken {
            hash: hash(secret.0.as_bytes()),
            info: info.clone(),
        };
        let token = self
            .in_store(move |store, wait| {
                first(&token.info)?;
                wait.block_on(store.add_token(&token))?;
                Ok(token)
            })
            .await?;
        tracing::info!(
            id = %info.id,
            name = %info.name,
            login = %info.login,
            tags = %info.tags.join(","),
            author = %author.login,
            expires_at = info.expires_at.0 / 1_000_000,
            "token created"
        );
        self.write().insert(token, false);
        self.changed.notify_one();
        Ok((info, secret))
    }

    /// Makes a token without asking anybody first.
    #[cfg(test)]
    pub(crate) async fn create(
        &self,
        new: NewToken,
        author: &Author,
    ) -> Result<(TokenInfo, Secret), TokenError> {
        self.create_if(new, author, |_| Ok(())).await
    }

    /// Every token, oldest first; also those that ended within the last year.
    pub(crate) fn list(&self) -> Vec<TokenInfo> {
        let book = self.read();
        let mut list: Vec<TokenInfo> = book.by_hash.values().map(Held::info).collect();
        list.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        list
    }

    /// A token that an author may end.
    pub(crate) fn find(&self, id: &str, author: &Author) -> Result<TokenInfo, TokenError> {
        let book = self.read();
        let held = book.by_hash.get(&book.find(id, author)?);
        held.map(Held::info).ok_or_else(|| unknown(id))
    }

    /// Ends a token, at once, and durably when this returns. If it cannot be stored, the token is ended nevertheless, up
    /// to the next start; the error says so. One that is revoked already stays as it is.
    pub(crate) async fn revoke(&self, id: &str, author: &Author) -> Result<TokenInfo, TokenError> {
        let now = self.now();
        let (hash, info) = {
            let mut book = self.write();
            let hash = book.find(id, author)?;
            let held = book.by_hash.get_mut(&hash).ok_or_else(|| unknown(id))?;
            held.token.info.revoked_at.get_or_insert(now);
            (hash, held.info())
        };
        self.tell(hash);
        tracing::info!(id = %info.id, name = %info.name, login = %info.login, author = %author.login, "token revoked");
        let id = info.id.clone();
        self.in_store(move |store, wait| Ok(wait.block_on(store.revoke_token(&id, now))?))
            .await?;
        Ok(info)
    }

    /// Tells of expiries when they happen, and writes uses, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut uses = tokio::time::interval(USES_EVERY);
        uses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = self.tell_expired();
            let expiry = tokio::time::sleep(next.min(USES_EVERY));
            tokio::select! {
                _ = uses.tick() => self.write_uses().await,
                () = expiry => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Tells of tokens that have expired since the last look; says when the next one will.
    fn tell_expired(&self) -> Duration {
        let now = self.now();
        let mut next = Duration::MAX;
        for (hash, held) in &mut self.write().by_hash {
            if held.told {
                continue;
            }
            match held.token.info.expires_at.0.checked_sub(now.0) {
                Some(remaining) if remaining > 0 => next = next.min(Duration::from_micros(remaining)),
                _ => {
                    held.told = true;
                    self.tell(*hash);
                }
            }
        }
        next
    }

    /// Writes when tokens were last used, those that were used since the last time.
    pub(crate) async fn write_uses(&self) {
        let uses: Vec<(String, UnixMicros)> = self
            .read()
            .by_hash
            .values()
            .filter_map(|held| {
                let used = held.used.load(Ordering::Relaxed);
                (held.used_stored.swap(used, Ordering::Relaxed) != used)
                    .then(|| (held.token.info.id.clone(), UnixMicros(used)))
            })
            .collect();
        if uses.is_empty() {
            return;
        }
        let written = self
            .in_store(move |store, wait| Ok(wait.block_on(store.tokens_used(&uses))?))
            .await;
        if let Err(error) = written {
            tracing::warn!(error = %chain(&error), "cannot note when tokens were used");
        }
    }

    /// Writes beside the runtime: a transaction waits for the disk, and for a batch of ingest before it.
    async fn in_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store, tokio::runtime::Handle) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, TokenError> {
        let (store, wait) = (self.store.clone(), tokio::runtime::Handle::current());
        match tokio::task::spawn_blocking(move || work(store.as_ref(), wait)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "tests turn the clock of one service")]
    fn now(&self) -> UnixMicros {
        UnixMicros(unix_micros())
    }

    #[cfg(test)]
    fn now(&self) -> UnixMicros {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        UnixMicros(unix_micros() + u64::try_from(ahead.as_micros()).unwrap())
    }

    /// Turns the clock.
    #[cfg(test)]
    pub(super) fn advance(&self, by: Duration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
        self.changed.notify_one();
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.book.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The token with its last use, stored or not.
    fn info(&self) -> TokenInfo {
        let used = self.used.load(Ordering::Relaxed);
        TokenInfo {
            last_used_at: (used != 0).then_some(UnixMicros(used)),
            ..self.token.info.clone()
        }
    }
}

impl Book {
    fn find(&self, id: &str, author: &Author) -> Result<[u8; 32], TokenError> {
        let hash = self.by_id.get(id).ok_or_else(|| unknown(id))?;
        let held = self.by_hash.get(hash).ok_or_else(|| unknown(id))?;
        if author.role != Role::Admin && held.token.info.login != author.login {
            // To a user, the tokens of others do not exist.
            return Err(unknown(id));
        }
        Ok(*hash)
    }

    /// `told`: the end by expiry needs no telling any more.
    fn insert(&mut self, token: StoredToken, told: bool) {
        let used = token.info.last_used_at.map_or(0, |time| time.0);
        self.by_id.insert(token.info.id.clone(), token.hash);
        self.by_hash.insert(
            token.hash,
            Held {
                token,
                used: AtomicU64::new(used),
                used_stored: AtomicU64::new(used),
                told,
            },
        );
    }
}

fn unknown(id: &str) -> TokenError {
    TokenError::Unknown(id.chars().take(64).collect())
}

fn lives(token: &TokenInfo, now: UnixMicros) -> bool {
    token.revoked_at.is_none() && token.expires_at > now
}

fn principal(token: &TokenInfo) -> Principal {
    Principal {
        source: "token".into(),
        login: if token.tags.is_empty() {
            token.login.clone()
        } else {
            token.tags.join(",")
        },
        node: format!("token:{}", token.id),
        tags: token.tags.clone(),
        groups: token.groups.clone(),
        scope: Some(token.scope.clone()),
        ..Principal::default()
    }
}

/// Now, in Unix microseconds.
fn unix_micros() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
