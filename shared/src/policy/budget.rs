//! Which quotas count for a call.
//!
//! Every quota that any capability names which covers `provider/model` counts, whether that capability grants the model
//! or another does. A capability without `models` covers every model. A credential's scope takes no quota away.
//!
//! A quota that is named and not defined, or whose definition cannot be read, lets nothing pass, and a pattern that does
//! not parse covers every model here: a slip of the pen must not turn a budget into none. A quota that is disabled is as
//! if nobody named it.

use std::collections::HashMap;

use super::{Granted, Origin, Rules};
use crate::quota::Unit;
use crate::quota::name::{Template, Values};
use crate::snapshot::{Admission, Quota, QuotaLimit};

/// The quotas of one epoch, ready for use.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    quotas: Vec<Budget>,
    by_name: HashMap<Box<str>, usize>,
}

/// A quota that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// As defined; not disabled, with one limit at least.
    pub quota: Quota,
    /// Its name, taken apart.
    pub template: Template,
    /// Whether the definition can be used. If not, whoever it counts for is refused.
    pub usable: bool,
}

/// A quota that counts for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counting<'a> {
    /// Its name, with placeholders.
    pub name: &'a str,
    /// The capability that names it first.
    pub origin: Origin,
    /// Index for [`Rules::budget`]; `None`: not defined, or it cannot be read. Then the call is refused.
    pub budget: Option<usize>,
}

impl Budgets {
    pub(super) fn new(quotas: &[Quota]) -> Self {
        let mut out = Self::default();
        for quota in quotas {
            let template = Template::parse(&quota.name);
            let usable = template.is_ok() && !quota.limits.is_empty();
            // A name that cannot be read has no buckets; what is put in its place is never filled in.
            let template = template.unwrap_or_default();
            out.by_name
                .entry(quota.name.as_str().into())
                .or_insert(out.quotas.len());
            out.quotas.push(Budget {
                quota: quota.clone(),
                template,
                usable,
            });
        }
        out
    }
}

impl Rules {
    /// A quota by its index in [`Counting::budget`].
    #[must_use]
    pub fn budget(&self, index: usize) -> Option<&Budget> {
        self.budgets.quotas.get(index).filter(|budget| budget.usable)
    }

    /// The quotas that count when a principal calls a model of a provider, each once, in the order in which its
    /// capabilities name them.
    #[must_use]
    pub fn counting<'a>(&'a self, granted: &'a Granted, provider: &str, model: &str) -> Vec<Counting<'a>> {
        let mut out: Vec<Counting<'a>> = Vec::new();
        for (origin, rule) in granted.rules(self) {
            if rule.quotas.is_empty() || !(rule.unread || rule.covers(provider, model)) {
                continue;
            }
            for name in &rule.quotas {
                if out.iter().any(|before| before.name == &**name) {
                    continue;
                }
                let defined = self.budgets.by_name.get(name).copied();
                let budget = defined.and_then(|at| self.budgets.quotas.get(at));
                if budget.is_some_and(|budget| budget.quota.disabled) {
                    continue;
                }
                out.push(Counting {
                    name,
                    origin,
                    budget: defined.filter(|_| budget.is_some_and(|budget| budget.usable)),
                });
            }
        }
        out
    }
}

impl Budget {
    /// Calls `with` for the name of each bucket that counts for a call, as [`Template::fill`] writes it into `scratch`:
    /// one, or with `<group>` one for each of the principal's groups, doubled ones once. `values.group` is not read.
    pub fn names(
        &self,
        groups: &[String],
        values: Values<'_>,
        scratch: &mut String,
        mut with: impl FnMut(&str),
    ) {
        if !self.template.of_group() || groups.is_empty() {
            self.template.fill(&Values { group: "", ..values }, scratch);
            return with(scratch);
        }
        for (at, group) in groups.iter().enumerate() {
            if groups.iter().take(at).any(|before| before == group) {
                continue;
            }
            self.template.fill(&Values { group, ..values }, scratch);
            with(scratch);
        }
    }

    /// The limit of a unit.
    #[must_use]
    pub fn limit(&self, unit: Unit) -> Option<&QuotaLimit> {
        self.quota.limits.iter().find(|limit| limit.unit == unit)
    }

    /// Whether a request must state a bound on what it can use.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.quota.admission == Admission::Strict
    }
}
