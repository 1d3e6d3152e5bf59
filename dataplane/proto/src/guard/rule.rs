//! One rule, compiled.

use std::ops::Range;

use sluice_shared::snapshot::{GuardAction, Guardrail};
use sluice_shared::usage::Action;

use super::GuardError;
use super::detectors::{DETECTORS, Mask, View, named};
use super::injection::INJECTION;
use super::patterns::Pattern;
use super::phrases::Phrases;

/// First of the numbers that stand for patterns in [`super::Found::detector`].
const PATTERN: u16 = 0x1000;
/// A phrase of the operator.
const PHRASE: u16 = 0x2000;
/// A phrase of the built-in list.
const PROMPT_INJECTION: u16 = 0x3000;

/// A rule, ready to be used.
#[derive(Debug)]
pub struct Rule {
    spec: Guardrail,
    mask: Mask,
    patterns: Vec<Pattern>,
    phrases: Option<Phrases>,
}

impl Rule {
    pub(super) fn compile(spec: &Guardrail) -> Result<Self, GuardError> {
        let failed = |part: &'static str, what: String| GuardError {
            rule: spec.name.clone(),
            part,
            what,
        };
        let mut mask = 0;
        for name in &spec.detectors {
            mask |=
                named(name).ok_or_else(|| failed("detectors", format!("no detector is called {name:?}")))?;
        }
        let patterns = spec.patterns.iter().map(|pattern| Pattern::new(&pattern.regex));
        let patterns = patterns.collect::<Result<_, _>>();
        let own = spec.phrases.iter().map(|phrase| (phrase.as_str(), PHRASE));
        let built_in = INJECTION.iter().filter(|_| spec.prompt_injection);
        let phrases = Phrases::new(own.chain(built_in.map(|phrase| (*phrase, PROMPT_INJECTION))));
        Ok(Self {
            mask,
            patterns: patterns.map_err(|what| failed("patterns", what))?,
            phrases: phrases.map_err(|error| failed("phrases", error.to_string()))?,
            spec: spec.clone(),
        })
    }

    /// As it stands in the configuration.
    #[must_use]
    pub const fn spec(&self) -> &Guardrail {
        &self.spec
    }

    /// Name of what found something: a detector, a pattern's name, `phrase` or `prompt_injection`.
    #[must_use]
    pub fn what(&self, detector: u16) -> &str {
        match detector {
            PHRASE => "phrase",
            PROMPT_INJECTION => "prompt_injection",
            PATTERN..PHRASE => {
                let pattern = self.spec.patterns.get(usize::from(detector - PATTERN));
                pattern.map_or("pattern", |pattern| &pattern.name)
            }
            built_in => DETECTORS
                .get(usize::from(built_in))
                .copied()
                .unwrap_or("detector"),
        }
    }

    /// What takes the place of a finding.
    #[must_use]
    pub fn replacement(&self, detector: u16) -> String {
        let what = self.what(detector);
        match self.spec.replacement.as_str() {
            "" => format!("[REDACTED:{what}]"),
            text => text.replace("{detector}", what),
        }
    }

    /// What the client reads when the rule refuses its call.
    #[must_use]
    pub fn message(&self) -> String {
        match self.spec.message.as_str() {
            "" => format!(
                "blocked by the guardrail {:?}; ask your administrator",
                self.spec.name
            ),
            text => text.to_owned(),
        }
    }

    /// The action on a finding that can be redacted, as verdicts name it.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self.spec.action {
            GuardAction::Log => Action::Log,
            GuardAction::Redact => Action::Redact,
            GuardAction::Block => Action::Block,
        }
    }

    /// The action on what cannot be redacted: tools, caps, fields, keys.
    #[must_use]
    pub const fn action_whole(&self) -> Action {
        match self.spec.action {
            GuardAction::Log => Action::Log,
            GuardAction::Redact | GuardAction::Block => Action::Block,
        }
    }

    /// Whether it is only said what would be done.
    #[must_use]
    pub const fn shadow(&self) -> bool {
        self.spec.shadow
    }

    /// Whether a tool may be offered and called. `mcp__SERVER__tool` is one of a server.
    #[must_use]
    pub fn allows_tool(&self, name: &str) -> bool {
        super::tools::allows(&self.spec.tools, name)
    }

    /// Whether tools of an MCP server may be offered and called.
    #[must_use]
    pub fn allows_server(&self, server: &str) -> bool {
        super::tools::allows_server(&self.spec.tools, server)
    }

    pub(super) const fn mask(&self) -> Mask {
        self.mask
    }

    pub(super) const fn looks_at_text(&self) -> bool {
        self.mask != 0 || !self.patterns.is_empty() || self.phrases.is_some()
    }

    /// Whether it looks for expressions or phrases, which may be short.
    pub(super) const fn has_own(&self) -> bool {
        !self.patterns.is_empty() || self.phrases.is_some()
    }

    /// Longest match of its patterns and phrases, in bytes.
    pub(super) fn longest(&self) -> usize {
        let patterns = self.patterns.iter().map(Pattern::longest).max().unwrap_or(0);
        patterns.max(self.phrases.as_ref().map_or(0, Phrases::longest))
    }

    /// Looks for its patterns and phrases from `from` on; returns the first byte of what the end of the text cuts.
    pub(super) fn search(
        &self,
        view: View<'_>,
        from: usize,
        mut found: impl FnMut(u16, Range<usize>),
    ) -> usize {
        let mut hold = view.text.len();
        for (at, pattern) in self.patterns.iter().enumerate() {
            let source = PATTERN
                .saturating_add(u16::try_from(at).unwrap_or(u16::MAX))
                .min(PHRASE - 1);
            hold = hold.min(pattern.search(view, from, |range| found(source, range)));
        }
        if let Some(phrases) = &self.phrases {
            hold = hold.min(phrases.search(view, from, found));
        }
        hold
    }
}
