//! What the rules of a call say of its answer.

use sluice_shared::snapshot::GuardAction;
use sluice_shared::usage::{Action, Judge, Verdict};

use crate::guard::GuardSet;
use crate::guard::engine::Engine;
use crate::guard::rule::Rule;

/// Longest description in a verdict, in bytes.
const WHAT_BYTES_MAX: usize = 128;

/// What is done with what a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Note,
    Redact,
    Block,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rules {
    set: GuardSet,
    acts: bool,
}

impl Rules {
    pub(super) fn new(set: GuardSet) -> Self {
        let rules = Self { set, acts: false };
        let acts = rules.on_answers().any(|(at, _)| rules.act(at) != Act::Note);
        Self { acts, ..rules }
    }

    fn on_answers(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let all = (0..self.set.len()).filter_map(|at| Some((at, self.set.rule(at)?)));
        all.filter(|(_, rule)| rule.spec().on_answers)
    }

    /// Whether any of them changes or ends anything.
    pub(super) const fn acts(&self) -> bool {
        self.acts
    }

    /// What looks through texts.
    pub(super) fn engine(&self) -> Option<&Engine> {
        self.set.answers()
    }

    /// Most bytes of a text that are held.
    pub(super) fn hold_bytes(&self) -> usize {
        self.set.hold_back_bytes()
    }

    /// Longest time that something is held, in milliseconds.
    pub(super) fn hold_ms(&self) -> u64 {
        u64::from(self.set.hold_back_ms())
    }

    /// What a rule does with what it finds.
    pub(super) fn act(&self, rule: usize) -> Act {
        let Some(rule) = self.set.rule(rule) else {
            return Act::Note;
        };
        match rule.spec().action {
            _ if rule.shadow() => Act::Note,
            GuardAction::Log => Act::Note,
            GuardAction::Redact => Act::Redact,
            GuardAction::Block => Act::Block,
        }
    }

    /// What takes the place of something found.
    pub(super) fn replacement(&self, rule: usize, detector: u16) -> String {
        self.set
            .rule(rule)
            .map_or_else(String::new, |rule| rule.replacement(detector))
    }

    /// What the client reads when a rule blocks.
    pub(super) fn message(&self, rule: usize) -> String {
        self.set.rule(rule).map_or_else(String::new, Rule::message)
    }

    /// The rules that a call of a tool breaks.
    pub(super) fn broken_by(&self, tool: &str, server: Option<&str>) -> Vec<usize> {
        // A tool of a server goes by the name that it has in requests.
        let full = server.map(|server| format!("mcp__{server}__{tool}"));
        let name = full.as_deref().unwrap_or(tool);
        let broken = self.on_answers().filter(|(_, rule)| !rule.allows_tool(name));
        broken.map(|(at, _)| at).collect()
    }

    /// The verdict on something found.
    pub(super) fn verdict(&self, rule: usize, detector: u16, count: u32) -> Option<Verdict> {
        let rule = self.set.rule(rule)?;
        Some(said(rule, rule.action(), rule.what(detector), count))
    }

    /// The verdict on a tool that is called.
    pub(super) fn verdict_on_tool(&self, rule: usize, tool: &str) -> Option<Verdict> {
        let rule = self.set.rule(rule)?;
        let tool: String = tool.chars().filter(|c| !c.is_control()).collect();
        Some(said(rule, rule.action_whole(), &format!("tool:{tool}"), 1))
    }

    /// The verdicts on an answer that cannot be read: those that want it read end it, the others note that.
    pub(super) fn unread(&self, why: &str) -> Vec<Verdict> {
        let what = format!("not inspected: {why}");
        let all = self.on_answers();
        all.map(|(_, rule)| said(rule, rule.action_whole(), &what, 1))
            .collect()
    }
}

fn said(rule: &Rule, action: Action, what: &str, count: u32) -> Verdict {
    let what = what.get(..what.floor_char_boundary(WHAT_BYTES_MAX));
    Verdict {
        judge: Judge::Guardrail,
        name: rule.spec().name.clone(),
        action,
        shadow: rule.shadow(),
        on_answer: true,
        what: what.unwrap_or_default().to_owned(),
        count,
        took_us: 0,
    }
}
