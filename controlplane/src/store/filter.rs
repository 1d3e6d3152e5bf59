//! Which requests a list shows: one matcher for what is stored and for what comes in.
//!
//! It is in two parts. [`Filter::admits`] asks what a row says without its texts, so that a list that reads many rows
//! for few unpacks no more of them than it must; [`Filter::matches`] is all of it.

use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Action, Capture, Ended, UsageRecord};

use super::rollup::is_error;
use super::sessions::SessionId;

/// What an agent is called that is none beside the main one.
pub(crate) const MAIN_AGENT: &str = "main";

/// Which error is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Whatever counts as an error in sums.
    Any,
    /// A code.
    Code(String),
}

/// Which verdict is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Any,
    Of(Action),
}

/// What requests are filtered by beside their time; nothing: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) user: Option<String>,
    /// As asked for or as answered.
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    /// Lowest and highest status.
    pub(crate) status: Option<(u16, u16)>,
    /// Key, or id in 32 hexadecimal digits.
    pub(crate) session: Option<String>,
    /// [`MAIN_AGENT`]: none beside the main one.
    pub(crate) agent: Option<String>,
    pub(crate) api: Option<ApiKind>,
    pub(crate) ended: Option<Ended>,
    pub(crate) error: Option<Failure>,
    pub(crate) stream: Option<bool>,
    /// Whether there are tool calls in the answer.
    pub(crate) tools: Option<bool>,
    /// Nanodollars; what has no known cost is below any.
    pub(crate) cost_min: Option<u64>,
    pub(crate) duration_min_us: Option<u64>,
    pub(crate) verdict: Option<Judgement>,
    /// Name of a guardrail or a hook that gave a verdict.
    pub(crate) rule: Option<String>,
    pub(crate) capture: Option<Capture>,
}

/// Nothing is asked, or what is asked is so.
fn ok<T>(asked: Option<T>, is: impl FnOnce(T) -> bool) -> bool {
    asked.is_none_or(is)
}

impl Filter {
    /// Of this login only.
    pub(crate) fn of(user: Option<String>) -> Self {
        Self {
            user,
            ..Self::default()
        }
    }

    /// All that is asked of what stands in a record beside user, provider, models, its error's code and names of judges.
    pub(crate) fn admits(&self, r: &UsageRecord) -> bool {
        ok(self.status, |(low, high)| (low..=high).contains(&r.status))
            && ok(self.agent.as_deref(), |agent| {
                r.agent.as_deref().map_or(agent == MAIN_AGENT, |of| of == agent)
            })
            && ok(self.api, |api| r.api == api)
            && ok(self.ended, |ended| r.ended == ended)
            && ok(self.error.as_ref(), |error| {
                *error != Failure::Any || is_error(r.status, r.ended)
            })
            && ok(self.stream, |stream| r.stream == stream)
            && ok(self.tools, |tools| (r.tool_calls > 0) == tools)
            && ok(self.cost_min, |min| r.cost.is_some_and(|cost| cost.0 >= min))
            && ok(self.duration_min_us, |min| r.duration_us >= min)
            && ok(self.verdict, |wanted| match wanted {
                Judgement::Any => !r.verdicts.is_empty(),
                Judgement::Of(action) => r.verdicts.iter().any(|verdict| verdict.action == action),
            })
            && ok(self.capture, |capture| r.capture == capture)
    }

    /// All that is asked.
    pub(crate) fn matches(&self, r: &UsageRecord) -> bool {
        ok(self.user.as_ref(), |user| r.user == *user)
            && ok(self.provider.as_ref(), |provider| r.provider == *provider)
            && ok(self.model.as_ref(), |model| {
                r.model_asked == *model || r.model_answered.as_ref() == Some(model)
            })
            && ok(self.error.as_ref(), |error| match error {
                Failure::Any => true,
                Failure::Code(code) => r.error.as_ref() == Some(code),
            })
            && ok(self.rule.as_ref(), |rule| {
                r.verdicts.iter().any(|verdict| verdict.name == *rule)
            })
            && ok(self.session.as_deref(), |session| {
                r.session.as_deref().is_some_and(|key| {
                    key == session || SessionId::parse(session) == Some(SessionId::of(&r.user, key))
                })
            })
            && self.admits(r)
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::units::NanoUsd;

    use super::super::tests::{full, record};
    use super::*;

    #[test]
    fn each_question_is_answered_by_its_field() {
        let some = full();
        let other = {
            let mut other = record(2, 5);
            (other.user, other.provider, other.status) = ("someone".into(), "p".into(), 200);
            other
        };
        let check = |what: &str, filter: Filter| {
            assert!(filter.matches(&some), "{what}");
            assert!(!filter.matches(&other), "{what}");
        };
        let f = Filter::default;
        assert!(f().matches(&some) && f().matches(&other));
        check("user", Filter::of(Some(some.user.clone())));
        check(
            "model asked",
            Filter {
                model: Some(some.model_asked.clone()),
                ..f()
            },
        );
        check(
            "model answered",
            Filter {
                model: some.model_answered.clone(),
                ..f()
            },
        );
        check(
            "provider",
            Filter {
                provider: Some(some.provider.clone()),
                ..f()
            },
        );
        check(
            "session",
            Filter {
                session: some.session.clone(),
                ..f()
            },
        );
        let id = SessionId::of(&some.user, "s").to_string();
        check(
            "session's id",
            Filter {
                session: Some(id),
                ..f()
            },
        );
        check(
            "agent",
            Filter {
                agent: some.agent.clone(),
                ..f()
            },
        );
        check(
            "error",
            Filter {
                error: some.error.clone().map(Failure::Code),
                ..f()
            },
        );
        check(
            "stream",
            Filter {
                stream: Some(true),
                ..f()
            },
        );
        check(
            "tools",
            Filter {
                tools: Some(true),
                ..f()
            },
        );
        check(
            "duration",
            Filter {
                duration_min_us: Some(some.duration_us),
                ..f()
            },
        );
        check(
            "any verdict",
            Filter {
                verdict: Some(Judgement::Any),
                ..f()
            },
        );
        check(
            "verdict",
            Filter {
                verdict: Some(Judgement::Of(Action::Redact)),
                ..f()
            },
        );
        check(
            "rule",
            Filter {
                rule: Some("pii".into()),
                ..f()
            },
        );
        check(
            "capture",
            Filter {
                capture: Some(Capture::Written),
                ..f()
            },
        );
    }

    #[test]
    fn edges_of_the_questions() {
        let check = |filter: Filter, change: &dyn Fn(&mut UsageRecord), expected: bool| {
            let mut r = record(2, 5);
            (r.status, r.ended) = (200, Ended::Complete);
            change(&mut r);
            assert_eq!(filter.matches(&r), expected, "{filter:?} {r:?}");
        };
        let f = Filter::default;
        let main = || Filter {
            agent: Some(MAIN_AGENT.into()),
            ..f()
        };
        check(main(), &|_| {}, true);
        check(main(), &|r| r.agent = Some("Explore".into()), false);
        let cost = || Filter {
            cost_min: Some(10),
            ..f()
        };
        check(cost(), &|r| r.cost = Some(NanoUsd(10)), true);
        check(cost(), &|r| r.cost = Some(NanoUsd(9)), false);
        check(
            Filter {
                cost_min: Some(0),
                ..f()
            },
            &|r| r.cost = None,
            false,
        );
        let any = || Filter {
            error: Some(Failure::Any),
            ..f()
        };
        check(any(), &|_| {}, false);
        check(any(), &|r| r.status = 429, true);
        check(any(), &|r| r.ended = Ended::Aborted, true);
        check(any(), &|r| r.ended = Ended::ClientGone, false);
        let status = || Filter {
            status: Some((400, 499)),
            ..f()
        };
        check(status(), &|r| r.status = 400, true);
        check(status(), &|r| r.status = 499, true);
        check(status(), &|r| r.status = 500, false);
        check(
            Filter {
                api: Some(ApiKind::OllamaChat),
                ..f()
            },
            &|_| {},
            false,
        );
        check(
            Filter {
                ended: Some(Ended::Complete),
                ..f()
            },
            &|_| {},
            true,
        );
        check(
            Filter {
                tools: Some(false),
                ..f()
            },
            &|r| r.tool_calls = 1,
            false,
        );
        // A key of another's session is not that of the id.
        let id = SessionId::of("alice", "k").to_string();
        let session = || Filter {
            session: Some(id.clone()),
            ..f()
        };
        let of = |user: &'static str| {
            move |r: &mut UsageRecord| (r.user, r.session) = (user.into(), Some("k".into()))
        };
        check(session(), &of("alice"), true);
        check(session(), &of("bob"), false);
    }
}
