//! Saving through the API: checked more strictly than a file, because somebody is there to be told.

use std::sync::Arc;

use super::history::Author;
use super::named::Stamps;
use super::{Configuration, Loaded, Present, Turn, change, redact, write};
use crate::audit::{AuditError, action};
use crate::config::domain::Document;
use crate::config::{Message, Report};
use crate::link::chain;

/// A document that somebody wants to be used.
pub(crate) struct Save<'a> {
    /// As it was sent; markers stand for the secrets of the document in use.
    pub(crate) text: String,
    pub(crate) author: Author,
    /// Which document it is to replace.
    pub(crate) if_match: IfMatch,
    /// What else is wrong with it, e.g. that it shuts its author out. Sees the document in use, then the new one.
    pub(crate) check: Check<'a>,
}

/// A check of a new document against the present one.
pub(crate) type Check<'a> = &'a (dyn Fn(&Document, &Document) -> Option<Message> + Sync);

/// Which document a save may replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    Any,
    /// Only one with one of these entity tags.
    Tags(Vec<String>),
}

impl IfMatch {
    fn holds(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// A document that is in use now.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) present: Arc<Present>,
    pub(crate) notices: Vec<Message>,
}

/// Why a document was not saved. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// Somebody was faster.
    #[error("the document in use is another one")]
    Conflict { etag: String },
    /// With places in the text that was sent.
    #[error("the document cannot be used")]
    Invalid(Report),
    #[error("cannot write {0}")]
    Write(String, #[source] std::io::Error),
    #[error("the document was not published")]
    Publish(String),
    #[error("the save could not be put on record")]
    Audit(#[from] AuditError),
}

impl Configuration {
    /// Saves a document and takes it into use.
    pub(crate) fn save(&self, save: Save<'_>) -> Result<Saved, SaveError> {
        let mut turn = self.turn();
        // What happened to the file a moment ago counts first: nobody's edit is overwritten unseen.
        self.look_in(&mut turn);
        let etag = turn.present.version.etag();
        if !save.if_match.holds(&etag) {
            return Err(SaveError::Conflict { etag });
        }
        let (loaded, stamps) = examine(&turn, &save.text, save.check)?;
        let notices = loaded.report.notices.clone();
        self.publisher
            .examine(&loaded.document)
            .map_err(|error| SaveError::Publish(chain(&error)))?;

        let target = turn.source.target();
        // What is not on record is not done: the entry comes first, and one of a failure may follow.
        let subject = target.display().to_string();
        let mut detail = change(
            turn.history.next(),
            &loaded.report.summary,
            Some(&turn.present.text),
            &loaded.text,
        );
        if let (Some(detail), false) = (detail.as_object_mut(), save.author.note.is_empty()) {
            detail.insert("note".into(), save.author.note.as_str().into());
        }
        let (name, node) = (&save.author.name, &save.author.node);
        self.audit
            .record_blocking(name, node, action::CONFIG_SAVE, &subject, &detail)?;
        let saved = self.put_into_use(&mut turn, loaded, stamps, &save.author);
        if let Err(error) = &saved {
            let why = serde_json::json!({ "error": chain(error) });
            self.audit
                .note(name, node, action::CONFIG_NOT_SAVED, &subject, &why);
        }
        saved.map(|present| Saved { present, notices })
    }

    /// Writes a document to its file and takes it into use; if that fails, nothing has changed.
    fn put_into_use(
        &self,
        turn: &mut Turn,
        loaded: Loaded,
        stamps: Stamps,
        author: &Author,
    ) -> Result<Arc<Present>, SaveError> {
        let target = turn.source.target();
        let failed = |error| SaveError::Write(target.display().to_string(), error);
        let before = turn.seen.clone();
        write::write(&target, &loaded.text).map_err(failed)?;
        let first = turn.source.file.is_none();
        turn.source.file = Some(target.clone());
        turn.seen = Some(loaded.text.clone());
        let taken = self.take(turn, loaded, author);
        if let Err(error) = taken {
            // Back to what was there: the file must not hold what was refused.
            let back = match before.filter(|_| !first) {
                Some(text) => write::write(&target, &text).map(|()| turn.seen = Some(text)),
                None => {
                    turn.source.file = None;
                    crate::files::remove(&target)
                }
            };
            if let Err(error) = back {
                tracing::error!(%error, "cannot write {} back", target.display());
            }
            return Err(SaveError::Publish(chain(&error)));
        }
        turn.stamps = stamps.and(&turn.present.document.files).unread(&target);
        if first {
            tracing::warn!(
                "{} is the configuration from now on, also after a restart; before it was the built-in document",
                target.display()
            );
            self.state.moved(turn.source.name());
        }
        self.file.send_replace(Some(target));
        Ok(turn.present.clone())
    }

    /// What a save of this text would say.
    pub(crate) fn examine(&self, text: &str, check: Check<'_>) -> Report {
        match examine(&self.turn(), text, check) {
            Ok((loaded, _)) => loaded.report,
            Err(SaveError::Invalid(report)) => report,
            Err(_) => Report::default(),
        }
    }
}

/// Fills markers in and checks; warnings are reasons enough to refuse.
fn examine(turn: &Turn, text: &str, check: Check<'_>) -> Result<(Loaded, Stamps), SaveError> {
    let restored = redact::restore(text, &turn.present.text);
    let place = |list: Vec<Message>| -> Vec<Message> {
        list.into_iter().map(|message| restored.place(message)).collect()
    };
    let target = turn.source.target();
    let stamps = Stamps::default().naming(target.parent(), &[&restored.text]);
    let mut report = match turn.source.load_in(target.parent(), restored.text.clone()) {
        Ok(mut loaded) => {
            if restored.errors.is_empty() && loaded.report.warnings.is_empty() {
                match check(&turn.present.document, &loaded.document) {
                    None => {
                        loaded.report.notices = place(loaded.report.notices);
                        return Ok((loaded, stamps));
                    }
                    Some(message) => loaded.report.errors.push(message),
                }
            }
            loaded.report
        }
        Err(report) => report,
    };
    report.errors = place(report.errors);
    report.warnings = place(report.warnings);
    report.notices = place(report.notices);
    // A marker that stands for nothing has its own message; what the check makes of it is beside the point.
    report.errors.extend(restored.errors);
    report
        .errors
        .sort_by_key(|message| (message.line, message.column));
    report.summary = "not usable".into();
    Err(SaveError::Invalid(report))
}
