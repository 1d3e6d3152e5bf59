//! Who looks at a call: hooks, guardrails, captures.
//!
//! As with quotas, every capability counts that covers `provider/model`, whether it grants the model or another does, and a
//! pattern that does not parse covers every model: a slip of the pen must not switch a guardrail off.
//!
//! - A hook that several capabilities name is called once for each event that any of them names, and is sent what any of
//!   them sends.
//! - A guardrail for everyone holds for the models that it names; any other where a capability names it, within those models.
//! - A share of captures: the largest that a matching capability names, or else the document's; never above the provider's.

use std::collections::HashMap;

use super::{Granted, Rules, covers, globs};
use crate::glob::Glob;
use crate::snapshot::{HookEvent, HookPart, Snapshot};

/// What one epoch says about looking at calls.
#[derive(Debug, Default)]
pub(super) struct Watching {
    hooks: HashMap<Box<str>, usize>,
    guardrails: Vec<Guarded>,
    by_name: HashMap<Box<str>, usize>,
    /// Share that is captured where nothing else is said; `None`: captures are off.
    share: Option<u32>,
    /// What each provider says of it.
    provider_shares: Vec<Option<u32>>,
}

#[derive(Debug)]
struct Guarded {
    everyone: bool,
    /// `None`: every model, also where a pattern of it does not parse.
    models: Option<Box<[Glob]>>,
}

/// Who looks at the calls of a principal to a model of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Hooks, in the order in which they are called.
    pub hooks: Vec<HookUse>,
    /// Indices in [`Snapshot::guardrails`], ascending.
    pub guardrails: Vec<usize>,
    /// Share of the calls that is captured, in millionths.
    pub capture_share: u32,
}

/// A hook that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookUse {
    /// Index in [`Snapshot::hooks`].
    pub hook: usize,
    /// Bits of [`HookEvent`].
    pub events: u8,
    /// Bits of [`HookPart`].
    pub send: u16,
}

impl HookUse {
    /// Whether it is called at an event.
    #[must_use]
    pub const fn at(&self, event: HookEvent) -> bool {
        self.events & (1 << event as u8) != 0
    }

    /// Whether it is sent a part.
    #[must_use]
    pub const fn sends(&self, part: HookPart) -> bool {
        self.send & (1 << part as u8) != 0
    }
}

impl Watch {
    /// Whether nobody looks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty() && self.guardrails.is_empty() && self.capture_share == 0
    }

    /// Whether any hook is called at an event.
    #[must_use]
    pub fn at(&self, event: HookEvent) -> bool {
        self.hooks.iter().any(|hook| hook.at(event))
    }
}

impl Watching {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let name = |name: &String| name.as_str().into();
        let guarded = snapshot.guardrails.iter().map(|rule| Guarded {
            everyone: rule.everyone,
            models: rule
                .models
                .as_deref()
                .filter(|patterns| patterns.iter().all(|pattern| Glob::parse(pattern).is_ok()))
                .map(globs),
        });
        let hooks = snapshot.hooks.iter().enumerate();
        let rules = snapshot.guardrails.iter().enumerate();
        let captures = &snapshot.captures;
        Self {
            hooks: hooks.map(|(at, hook)| (name(&hook.name), at)).collect(),
            guardrails: guarded.collect(),
            by_name: rules.map(|(at, rule)| (name(&rule.name), at)).collect(),
            share: captures.enabled.then_some(captures.share),
            provider_shares: snapshot.providers.iter().map(|p| p.capture_share).collect(),
        }
    }
}

impl Rules {
    /// Who looks when a principal calls a model of the provider with this index; `model` is empty for calls that name none.
    #[must_use]
    pub fn watch(&self, granted: &Granted, at: usize, provider: &str, model: &str) -> Watch {
        let watching = &self.watching;
        let mut out = Watch::default();
        let mut share = None;
        let holds = |index: usize| {
            let models = watching.guardrails.get(index).map(|rule| rule.models.as_deref());
            models.is_some_and(|models| covers(models, provider, model))
        };
        let everyone = watching.guardrails.iter().enumerate();
        out.guardrails.extend(
            everyone
                .filter(|(index, rule)| rule.everyone && holds(*index))
                .map(|(index, _)| index),
        );
        for (_, rule) in granted.rules(self) {
            if !(rule.unread || rule.covers(provider, model)) {
                continue;
            }
            share = share.max(rule.capture_share);
            for named in &rule.guardrails {
                if let Some(&index) = watching.by_name.get(named)
                    && holds(index)
                    && !out.guardrails.contains(&index)
                {
                    out.guardrails.push(index);
                }
            }
            for named in &rule.send_hooks {
                let Some(&hook) = watching.hooks.get(named.name.as_str()) else {
                    continue;
                };
                match out.hooks.iter_mut().find(|before| before.hook == hook) {
                    Some(before) => {
                        before.events |= named.events;
                        before.send |= named.send;
                    }
                    None => out.hooks.push(HookUse {
                        hook,
                        events: named.events,
                        send: named.send,
                    }),
                }
            }
        }
        out.guardrails.sort_unstable();
        out.hooks.sort_unstable_by_key(|hook| hook.hook);
        let cap = watching.provider_shares.get(at).copied().flatten();
        out.capture_share = watching.share.map_or(0, |default| {
            let share = share.unwrap_or(default);
            cap.map_or(share, |cap| share.min(cap))
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Flag;
    use crate::policy::tests::{at, example, grant, login, models, person};
    use crate::snapshot::{Capability, Guardrail, Hook, SendHook, Source};

    const PRE: u8 = 1 << HookEvent::PreRequest as u8;
    const AFTER: u8 = 1 << HookEvent::EntireRequest as u8;
    const BODY: u16 = 1 << HookPart::RequestBody as u16;
    const COST: u16 = 1 << HookPart::EstimatedCost as u16;

    fn calling(patterns: &[&str], hooks: &[(&str, u8, u16)]) -> Capability {
        let hooks = hooks.iter().map(|&(name, events, send)| SendHook {
            name: name.into(),
            events,
            send,
        });
        Capability {
            send_hooks: hooks.collect(),
            ..models(patterns)
        }
    }

    fn looked_at(change: impl FnOnce(&mut Snapshot), model: &str) -> Watch {
        let mut snapshot = example(vec![grant(vec![Source::Any], vec![models(&["**"])])]);
        for name in ["first", "second"] {
            snapshot.hooks.push(Hook {
                name: name.into(),
                ..Hook::default()
            });
        }
        snapshot.guardrails = vec![
            Guardrail {
                name: "all".into(),
                everyone: true,
                ..Guardrail::default()
            },
            Guardrail {
                name: "claude".into(),
                everyone: true,
                models: Some(vec!["*/claude*".into()]),
                ..Guardrail::default()
            },
            Guardrail {
                name: "named".into(),
                ..Guardrail::default()
            },
        ];
        change(&mut snapshot);
        let rules = Rules::compile(&snapshot).unwrap();
        let granted = rules.granted(&person("alice@example.com"), at("100.64.0.1"));
        let provider = snapshot.providers.iter().position(|p| p.serves(Flag::OpenAiChat));
        let provider = provider.unwrap();
        rules.watch(&granted, provider, &snapshot.providers[provider].id, model)
    }

    #[test]
    fn hooks_of_all_matching_capabilities_are_united_in_their_order() {
        let watch = looked_at(
            |snapshot| {
                let capabilities = [
                    calling(&["**"], &[("second", PRE, BODY), ("nobody", PRE, BODY)]),
                    calling(&["*/gpt*"], &[("first", AFTER, 0), ("second", AFTER, COST)]),
                    calling(&["*/other"], &[("first", PRE, COST)]),
                ];
                for capability in capabilities {
                    snapshot
                        .grants
                        .push(grant(vec![login("alice@example.com")], vec![capability]));
                }
                snapshot.grants.push(grant(
                    vec![login("bob")],
                    vec![calling(&["**"], &[("first", PRE, BODY)])],
                ));
            },
            "gpt-5",
        );
        let uses = |hook, events, send| HookUse { hook, events, send };
        assert_eq!(
            watch.hooks,
            [uses(0, AFTER, 0), uses(1, PRE | AFTER, BODY | COST)]
        );
        assert!(watch.at(HookEvent::PreRequest) && !watch.at(HookEvent::ToolCallEntireRequest));
    }

    #[test]
    fn a_guardrail_holds_for_its_models_and_where_it_is_named() {
        assert_eq!(looked_at(|_| {}, "gpt-5").guardrails, [0]);
        assert_eq!(looked_at(|_| {}, "claude-9").guardrails, [0, 1]);
        let named = |pattern: &'static str| {
            move |snapshot: &mut Snapshot| {
                let mut capability = models(&[pattern]);
                capability.guardrails = vec!["named".into(), "all".into(), "nobody".into()];
                snapshot.grants.push(grant(vec![Source::Any], vec![capability]));
            }
        };
        assert_eq!(looked_at(named("*/gpt*"), "gpt-5").guardrails, [0, 2]);
        assert_eq!(looked_at(named("*/claude*"), "gpt-5").guardrails, [0]);
        // What cannot be read does not switch it off, on either side.
        assert_eq!(looked_at(named(""), "gpt-5").guardrails, [0, 2]);
        let broken = |snapshot: &mut Snapshot| snapshot.guardrails[1].models = Some(vec![String::new()]);
        assert_eq!(looked_at(broken, "gpt-5").guardrails, [0, 1]);
    }

    #[test]
    fn the_largest_share_counts_up_to_the_providers() {
        let share = |document: Option<u32>, provider: Option<u32>, grants: &[u32]| {
            looked_at(
                |snapshot| {
                    snapshot.captures.enabled = document.is_some();
                    snapshot.captures.share = document.unwrap_or(0);
                    for p in &mut snapshot.providers {
                        p.capture_share = provider;
                    }
                    for share in grants {
                        let mut capability = models(&["**"]);
                        capability.capture_share = Some(*share);
                        snapshot.grants.push(grant(vec![Source::Any], vec![capability]));
                    }
                },
                "gpt-5",
            )
            .capture_share
        };
        assert_eq!(share(Some(70), None, &[]), 70);
        assert_eq!(share(Some(70), None, &[0]), 0);
        assert_eq!(share(Some(70), None, &[90, 20]), 90);
        assert_eq!(share(Some(70), Some(30), &[90]), 30);
        assert_eq!(share(Some(70), Some(100), &[]), 70);
        assert_eq!(share(None, Some(100), &[90]), 0);
    }
}
