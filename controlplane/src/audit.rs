//! The audit: who did what to the gateway, written before it is done.
//!
//! An act that needs a record is refused if the record cannot be written ([`Audit::record`]). What has happened already,
//! such as a change of the document's file, is noted ([`Audit::note`]): if that fails, it waits in memory and is written
//! before the next entry. Entries hold no secrets and no bodies: numbers, names, paths.
//!
//! The chain's end is also kept in the file `audit.head` of the data directory and told in the log, entry by entry. The
//! file is written after the entry: it may be behind after a crash, and never ahead of a store that nobody touched. If the
//! two do not fit when the gateway starts, that is an entry of its own, so that going on does not cover it up.

mod file;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::link::chain as said;
use crate::reload::now;
use crate::store::audit::NewEntry;
use crate::store::audit::chain::{Link, Noted, Verified};
use crate::store::{Store, StoreError};

/// Longest actor, node, action or subject, in characters; the rest is cut.
const TEXT_MAX: usize = 1_024;
/// Longest detail, in bytes; a longer one is replaced by its length.
const DETAIL_BYTES_MAX: usize = 64 << 10;
/// Notes that wait; when there are more, they are counted.
const WAITING_MAX: usize = 256;

/// What is done: the words that entries are filtered by.
pub(crate) mod action {
    /// A document was saved through the API, or a version taken into use again.
    pub(crate) const CONFIG_SAVE: &str = "config.save";
    /// The save before did not come about.
    pub(crate) const CONFIG_NOT_SAVED: &str = "config.not_saved";
    /// The document changed because a file did.
    pub(crate) const CONFIG_FILE: &str = "config.file";
    /// A bucket was refilled.
    pub(crate) const QUOTA_REFILL: &str = "quota.refill";
    /// A token was made.
    pub(crate) const TOKEN_CREATE: &str = "token.create";
    /// A token was ended.
    pub(crate) const TOKEN_REVOKE: &str = "token.revoke";
    /// A dead letter of a hook was made to wait again.
    pub(crate) const HOOK_RETRY: &str = "hook.retry";
    /// A dead letter of a hook was removed.
    pub(crate) const HOOK_DELETE: &str = "hook.delete";
    /// An admin looked into the capture of another person.
    pub(crate) const CAPTURE_VIEW: &str = "capture.view";
    /// An exporter was told to run at once.
    pub(crate) const EXPORT_RUN: &str = "export.run";
    /// The chain did not fit what was kept beside it when the gateway started.
    pub(crate) const AUDIT_BROKEN: &str = "audit.broken";
    /// Notes that could not be written and were too many to wait.
    pub(crate) const AUDIT_LOST: &str = "audit.lost";
}

/// Actor of what the gateway does by itself.
pub(crate) const GATEWAY: &str = "(gateway)";

/// Why something is not on record.
#[derive(Debug, thiserror::Error)]
#[error("the audit could not be written")]
pub(crate) struct AuditError(#[from] StoreError);

/// The audit of a gateway.
pub(crate) struct Audit {
    store: Arc<dyn Store>,
    file: PathBuf,
    /// Whoever holds this appends; the file follows in the same order.
    waiting: Mutex<Waiting>,
}

/// Notes that could not be written yet.
#[derive(Default)]
struct Waiting {
    notes: VecDeque<NewEntry>,
    lost: u64,
}

impl Audit {
    /// Opens the audit of a data directory.
    pub(crate) fn open(store: Arc<dyn Store>, data: &Path) -> Result<Arc<Self>, StoreError> {
        let audit = Self {
            store,
            file: data.join(file::NAME),
            waiting: Mutex::default(),
        };
        audit.compare()?;
        Ok(Arc::new(audit))
    }

    /// Puts an act on record, durably, before it is done. `detail` holds no secrets. Gives the entry's number.
    pub(crate) async fn record(
        self: &Arc<Self>,
        actor: &str,
        node: &str,
        action: &str,
        subject: &str,
        detail: Value,
    ) -> Result<u64, AuditError> {
        let (this, entry) = (self.clone(), entry(actor, node, action, subject, &detail));
        match tokio::task::spawn_blocking(move || this.write(entry)).await {
            Ok(written) => written,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this future with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// The same on a thread that may wait.
    pub(crate) fn record_blocking(
        &self,
        actor: &str,
        node: &str,
        action: &str,
        subject: &str,
        detail: &Value,
    ) -> Result<u64, AuditError> {
        self.write(entry(actor, node, action, subject, detail))
    }

    /// Notes what has happened already. Waits for the disk; if it cannot be written now, it will be with the next entry.
    pub(crate) fn note(&self, actor: &str, node: &str, action: &str, subject: &str, detail: &Value) {
        let mut waiting = self.waiting();
        if waiting.notes.len() < WAITING_MAX {
            waiting
                .notes
                .push_back(entry(actor, node, action, subject, detail));
        } else {
            waiting.lost += 1;
        }
        if let Err(error) = self.append(&mut waiting, None) {
            tracing::error!(error = %said(&error), action, subject, "the audit could not be written; the note waits");
        }
    }

    /// Walks along the whole chain; `noted` is what the caller has kept of it. On a thread that may wait.
    pub(crate) fn verify(&self, noted: Option<Link>) -> Result<Kept, StoreError> {
        // Read first: it is never ahead of the entries that are there then.
        let file = file::read(&self.file);
        let mut known = Vec::new();
        known.extend(file.map(|link| (Noted::File, link)));
        known.extend(noted.map(|link| (Noted::Caller, link)));
        let verified = self.store.verify_audit(&known)?;
        Ok(Kept { verified, file })
    }

    fn write(&self, entry: NewEntry) -> Result<u64, AuditError> {
        let mut waiting = self.waiting();
        self.append(&mut waiting, Some(entry)).map(|link| link.seq)
    }

    /// Writes what waits, and an entry behind it.
    fn append(&self, waiting: &mut Waiting, entry: Option<NewEntry>) -> Result<Link, AuditError> {
        let mut entries: Vec<NewEntry> = waiting.notes.iter().cloned().collect();
        if waiting.lost > 0 {
            let lost = json!({ "notes": waiting.lost });
            entries.push(self::entry(GATEWAY, "", action::AUDIT_LOST, "audit", &lost));
        }
        entries.extend(entry);
        let end = self.store.append_audit(&entries)?;
        *waiting = Waiting::default();
        for (entry, back) in entries.iter().zip((0..entries.len() as u64).rev()) {
            tracing::info!(
                seq = end.seq.saturating_sub(back),
                actor = %entry.actor.escape_debug(),
                action = %entry.action,
                subject = %entry.subject.escape_debug(),
                head = %hex(&end.hash),
                "audit"
            );
        }
        // The entries are there: that the file is behind is no reason to refuse anything.
        if let Err(error) = file::write(&self.file, end) {
            tracing::warn!(%error, "cannot keep the end of the audit in {}", self.file.display());
        }
        Ok(end)
    }

    /// Compares the store with the file; a difference becomes an entry.
    fn compare(&self) -> Result<(), StoreError> {
        let end = self.store.audit_end()?;
        let kept = file::read(&self.file);
        let found = match kept {
            None if end.seq == 0 => return Ok(()),
            None => None,
            Some(kept) if kept.seq == 0 => Some(kept.hash),
            Some(kept) => self.store.audit_hash(kept.seq)?,
        };
        if kept.is_some_and(|kept| found == Some(kept.hash)) {
            return Ok(());
        }
        let show = |link: Option<Link>| link.map(|link| json!({"seq": link.seq, "hash": hex(&link.hash)}));
        let detail = json!({ "kept": show(kept), "found": show(Some(end)) });
        tracing::error!(%detail, "the audit is not the one whose end was kept in {}", self.file.display());
        self.note(GATEWAY, "", action::AUDIT_BROKEN, "audit", &detail);
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a walk found, and what the file says.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) verified: Verified,
    pub(crate) file: Option<Link>,
}

/// Reads a hash as [`hex`] writes it.
pub(crate) use file::{hex, unhex};

fn entry(actor: &str, node: &str, action: &str, subject: &str, detail: &Value) -> NewEntry {
    let cut = |text: &str| text.chars().take(TEXT_MAX).collect();
    let mut text = detail.to_string();
    if text.len() > DETAIL_BYTES_MAX {
        text = json!({ "left_out_bytes": text.len() }).to_string();
    }
    NewEntry {
        time: now(),
        actor: cut(actor),
        node: cut(node),
        action: cut(action),
        subject: cut(subject),
        detail: text,
    }
}
