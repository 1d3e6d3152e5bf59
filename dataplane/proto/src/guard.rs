//! The built-in guardrails: what requests and answers must not contain, ask for or do.
//!
//! ```text
//! snapshot::Guardrail ─▶ Rule (compiled once per epoch) ─▶ GuardSet (the rules of one candidate)
//!                                                          ├─ request(): edits, verdicts, refusal
//!                                                          └─ answers(): the engine for what streams back
//! ```
//!
//! [`Guards`] compiles all rules of a snapshot; a [`GuardSet`] is a handle on some of them that shards share. Texts are looked
//! through by an [`Engine`]: built-in detectors, the operator's expressions and phrases. Rules are independent of each
//! other: all of them look at the same bytes, and the first by name that refuses has the word.

mod base64ish;
mod check;
mod detectors;
mod engine;
mod injection;
mod patterns;
mod phrases;
mod request;
mod rule;
pub mod stream;
mod structure;
mod text;
mod tools;
mod walk;

use std::sync::Arc;

use sluice_shared::api::ApiKind;
use sluice_shared::snapshot::Guardrail;
use sluice_shared::usage::Verdict;

use crate::json::Facts;
use crate::splice::Edit;

pub use check::{Problem, check};
pub use detectors::{ABOUT, About, DETECTORS, GROUPS, Group};
pub use engine::{Engine, Found, Lane, Settled};
pub use injection::INJECTION;
pub use patterns::{PATTERN_BYTES_MAX, PATTERN_WINDOW_BYTES};
pub use rule::Rule;

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guardrail {rule}: {part}: {what}")]
pub struct GuardError {
    /// Name of the rule.
    pub rule: String,
    /// Part of it: `detectors`, `patterns` or `phrases`.
    pub part: &'static str,
    /// What is wrong.
    pub what: String,
}

/// All rules of a snapshot, compiled. Takes milliseconds: not for a shard.
#[derive(Debug, Default)]
pub struct Guards {
    rules: Vec<Arc<Rule>>,
}

impl Guards {
    /// Compiles rules, in the order of the snapshot.
    ///
    /// # Errors
    ///
    /// [`GuardError`] names the first rule that cannot be used.
    pub fn compile(rules: &[Guardrail]) -> Result<Self, GuardError> {
        let rules = rules.iter().map(|rule| Rule::compile(rule).map(Arc::new));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// Some of the rules, by their index; an index that is none is left out.
    #[must_use]
    pub fn set(&self, indices: &[usize]) -> GuardSet {
        let mut rules: Vec<_> = indices
            .iter()
            .filter_map(|at| self.rules.get(*at).cloned())
            .collect();
        rules.sort_by(|a, b| a.spec().name.cmp(&b.spec().name));
        if rules.is_empty() {
            return GuardSet::default();
        }
        let numbered = || rules.iter().cloned().enumerate();
        GuardSet(Some(Arc::new(Rules {
            requests: Engine::new(numbered().filter(|(_, rule)| rule.spec().on_requests)),
            answers: Engine::new(numbered().filter(|(_, rule)| rule.spec().on_answers)),
            rules,
        })))
    }
}

/// The rules that hold for a call, by name. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct GuardSet(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    rules: Vec<Arc<Rule>>,
    requests: Engine,
    answers: Engine,
}

/// What is to be done with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestVerdict {
    /// Redactions: sorted, disjoint, in absolute offsets of the body. With `blocked` they are what a capture must not hold.
    pub edits: Vec<Edit>,
    /// What was found, one for each rule and detector; at most [`sluice_shared::usage::VERDICTS_MAX`].
    pub verdicts: Vec<Verdict>,
    /// The call is refused.
    pub blocked: Option<Blocked>,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Name of the rule.
    pub rule: String,
    /// What the client reads.
    pub message: String,
}

impl GuardSet {
    fn rules(&self) -> &[Arc<Rule>] {
        self.0.as_ref().map_or(&[], |rules| &rules.rules)
    }

    /// Whether no rule holds.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a rule looks at requests.
    #[must_use]
    pub fn guards_requests(&self) -> bool {
        self.rules().iter().any(|rule| rule.spec().on_requests)
    }

    /// Whether a rule looks at answers.
    #[must_use]
    pub fn guards_answers(&self) -> bool {
        self.rules().iter().any(|rule| rule.spec().on_answers)
    }

    /// The rule with this index; [`Found::rule`] and [`Settled::rule`] are such.
    #[must_use]
    pub fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules().get(index).map(|rule| &**rule)
    }

    /// How many rules hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules().len()
    }

    /// What looks through the texts of answers; `None`: no rule does.
    #[must_use]
    pub fn answers(&self) -> Option<&Engine> {
        self.0
            .as_ref()
            .map(|rules| &rules.answers)
            .filter(|engine| !engine.is_empty())
    }

    /// What looks through the texts of requests; `None`: no rule does.
    #[must_use]
    pub fn requests(&self) -> Option<&Engine> {
        self.0
            .as_ref()
            .map(|rules| &rules.requests)
            .filter(|engine| !engine.is_empty())
    }

    /// Most bytes of an answer's text that are held back: the largest that a rule on answers allows.
    #[must_use]
    pub fn hold_back_bytes(&self) -> usize {
        let of = self.rules().iter().filter(|rule| rule.spec().on_answers);
        let most = of.map(|rule| rule.spec().hold_back_bytes).max().unwrap_or(0);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// Longest that an answer's text is held back, in milliseconds.
    #[must_use]
    pub fn hold_back_ms(&self) -> u32 {
        let of = self.rules().iter().filter(|rule| rule.spec().on_answers);
        of.map(|rule| rule.spec().hold_back_ms).max().unwrap_or(0)
    }

    /// Judges the body of a request, a JSON document that [`crate::json::BodyScan`] has accepted, or a form. `facts` are
    /// those of this very body.
    #[must_use]
    pub fn request(&self, kind: ApiKind, model: &str, facts: &Facts, body: &[u8]) -> RequestVerdict {
        let _ = model;
        request::judge(self, kind, facts, body)
    }
}
