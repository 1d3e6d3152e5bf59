//! The budgets that a request has to meet: what it reserves before it is sent, or why it goes no further.
//!
//! A candidate's quotas are known with its verdict, their buckets with the caller's policy; so a request that meets its
//! budgets costs a look at each bucket. All of them are reserved or none. A quota that cannot be used refuses.

use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode};
use sluice_proto::splice::Edit;
use sluice_shared::api::ApiKind;
use sluice_shared::cost::Price;
use sluice_shared::policy::Budget;
use sluice_shared::quota::name::Values;
use sluice_shared::quota::{Terms, Unit, unsigned};
use sluice_shared::snapshot::{Admission, OnExhausted, Quota};
use smallvec::SmallVec;

use super::Admitted;
use crate::config::Config;
use crate::downstream::Downstream;
use crate::metrics::quotas::Refused;
use crate::policy::{Candidate, Counted, Policy};
use crate::quota::need::{self, Call, Clamp};
use crate::quota::{Short, Want};
use crate::tally::{Line, Lines, Spend};
use crate::wait::{unless_gone, watch_gone};

mod words;

/// Why a request is not sent.
pub(super) enum Denied {
    /// This is the answer.
    Answer(ErrorAnswer),
    /// The client left meanwhile.
    Gone,
}

/// What a request got.
#[derive(Default)]
pub(super) struct Reserved {
    /// What is reserved; `None` where no quota counts.
    pub(super) spend: Option<Spend>,
    /// The request is sent with a lower limit on its output: the change of its body.
    pub(super) edits: SmallVec<[Edit; 1]>,
}

/// Times that a request is tried with ever lower limits on its output.
const CLAMPS_MAX: usize = 8;

/// Reserves what a request to this candidate needs.
pub(super) async fn reserve(
    conn: &Downstream,
    config: &Config,
    kind: ApiKind,
    session: Option<&str>,
    admitted: &Admitted,
    candidate: &Candidate,
) -> Result<Reserved, Denied> {
    if candidate.quotas.is_empty() || admitted.free || conn.shard.process.bare {
        return Ok(Reserved::default());
    }
    let mut asked = Asked {
        conn,
        config,
        session,
        admitted,
        candidate,
        call: admitted.call(kind, candidate),
    };
    let mut edits = SmallVec::new();
    for clamps in 0..=CLAMPS_MAX {
        let mut lines = Lines::new();
        let mut wants = Wants::new();
        let mut beyond = None;
        for counted in &candidate.quotas {
            asked.want(counted, &mut lines, &mut wants, &mut beyond)?;
        }
        if let Some(clamp) = beyond.filter(|_| clamps < CLAMPS_MAX) {
            asked.lower(clamp, &mut edits);
            continue;
        }
        let reserved = {
            let mut gone = watch_gone(&conn.sock, &conn.watch);
            unless_gone(conn.shard.reserve(&wants), &mut gone).await
        };
        let short = match reserved {
            None => return Err(Denied::Gone),
            Some(Ok(reservation)) => {
                let spend = Some(Spend::new(reservation, lines));
                return Ok(Reserved { spend, edits });
            }
            Some(Err(short)) => short,
        };
        match asked.clamp(&short).filter(|_| clamps < CLAMPS_MAX) {
            Some(clamp) => asked.lower(clamp, &mut edits),
            None => return Err(Denied::Answer(asked.short(&short, &lines, &wants))),
        }
    }
    Err(Denied::Gone)
}

type Wants = SmallVec<[Want; 4]>;

/// A request that asks for its budgets.
struct Asked<'a> {
    conn: &'a Downstream,
    config: &'a Config,
    session: Option<&'a str>,
    admitted: &'a Admitted,
    candidate: &'a Candidate,
    call: Call<'a>,
}

impl<'a> Asked<'a> {
    fn budget(&self, counted: &Counted) -> Option<(usize, &'a Budget)> {
        let index = counted.budget?;
        let budget = self.config.published.rules.budget(index)?;
        Some((index, budget))
    }

    fn policy(&self) -> &'a Policy {
        &self.admitted.policy
    }

    /// What the request names.
    fn values(&self) -> Values<'a> {
        Values {
            model: &self.candidate.model,
            provider: &self.candidate.provider.spec.id,
            session: self.session,
            ..Values::default()
        }
    }

    /// The price of the call, for a quota that limits dollars.
    fn price(&self, quota: &Quota) -> Option<Rc<Price>> {
        let money = quota.limits.iter().any(|limit| limit.unit == Unit::Usd);
        let (provider, model) = (self.call.provider, self.call.model);
        money
            .then(|| self.conn.shard.price(provider, model, None))
            .flatten()
    }

    /// Goes on with a lower limit on the output; the edits of the last one hold.
    fn lower(&mut self, clamp: Clamp, edits: &mut SmallVec<[Edit; 1]>) {
        self.call.lowered = Some(clamp.max_tokens);
        *edits = clamp.edits;
    }

    /// A lower limit on the output with which the request fits into what is left, where the quota wants that.
    fn clamp(&self, short: &Short) -> Option<Clamp> {
        let Short::Exhausted { index, free, .. } = short else {
            return None;
        };
        let (_, budget, at, _) = self.bucket(*index)?;
        let quota = &budget.quota;
        let limit = quota.limits.get(at)?;
        let price = self.price(quota);
        let estimates = self.conn.shard.estimates.borrow();
        let free = unsigned(*free);
        need::clamp_max_tokens(limit, quota, &self.call, &estimates, price.as_deref(), free)
    }

    /// The quota, the limit of it and the name of the bucket of a want. The names are put together anew: buckets do not keep theirs.
    fn bucket(&self, index: usize) -> Option<(&'a Counted, &'a Budget, usize, String)> {
        let principal = &self.policy().principal;
        let values = Values {
            user: &principal.login,
            node: &principal.node,
            ..self.values()
        };
        let mut before = 0;
        for counted in &self.candidate.quotas {
            let (_, budget) = self.budget(counted)?;
            let mut found = None;
            budget.names(&principal.groups, values, &mut String::new(), |name| {
                let limits = budget.quota.limits.len();
                if (before..before + limits).contains(&index) {
                    found = Some((index - before, name.to_owned()));
                }
                before += limits;
            });
            if let Some((at, name)) = found {
                return Some((counted, budget, at, name));
            }
        }
        None
    }

    /// What one quota wants. `beyond`: a lower limit on the output where the request wants more than a bucket ever holds.
    /// It is lowered before anything is asked for, since nobody would be asked to return what they hold for more than that.
    fn want(
        &self,
        counted: &Counted,
        lines: &mut Lines,
        wants: &mut Wants,
        beyond: &mut Option<Clamp>,
    ) -> Result<(), Denied> {
        let Some((index, budget)) = self.budget(counted) else {
            return Err(Denied::Answer(self.undefined(&counted.name)));
        };
        let shard = &self.conn.shard;
        let quota = &budget.quota;
        let price = self.price(quota);
        let money = quota.limits.iter().any(|limit| limit.unit == Unit::Usd);
        if money && price.is_none() && quota.refuse_unpriced {
            return Err(Denied::Answer(self.unpriced(quota)));
        }
        let mut needs: SmallVec<[u64; 4]> = SmallVec::new();
        {
            let estimates = shard.estimates.borrow();
            for limit in &quota.limits {
                match need::need(limit, quota, &self.call, &estimates, price.as_deref()) {
                    Ok(need) => {
                        let most = limit.terms.capacity;
                        if need.amount > most && beyond.is_none() {
                            let price = price.as_deref();
                            *beyond =
                                need::clamp_max_tokens(limit, quota, &self.call, &estimates, price, most);
                        }
                        needs.push(need.amount);
                    }
                    Err(unbounded) => return Err(Denied::Answer(self.unbounded(quota, unbounded.what))),
                }
            }
        }
        let mut needs = needs.iter().copied().cycle();
        let cut = quota.on_exhausted == OnExhausted::Cut;
        let strict = quota.admission == Admission::Strict;
        let find = |quota: &str, name: &str, unit| shard.bucket(quota, name, unit);
        self.policy().each_bucket(
            find,
            self.config,
            index,
            budget,
            self.values(),
            |limit, bucket| {
                lines.push(Line {
                    quota: counted.name.clone(),
                    unit: limit.unit,
                    cut,
                    strict,
                });
                wants.push(Want {
                    bucket,
                    need: needs.next().unwrap_or(0),
                });
            },
        );
        Ok(())
    }

    fn undefined(&self, name: &str) -> ErrorAnswer {
        self.refused(name, Refused::Undefined);
        tracing::warn!(
            login = %self.policy().principal.login,
            provider = %self.candidate.provider.spec.id,
            model = %self.candidate.model,
            quota = name,
            "a quota counts that is not defined or cannot be read: refused"
        );
        ErrorAnswer::new(ErrorCode::QuotaUndefined, words::undefined(name))
    }

    fn unpriced(&self, quota: &Quota) -> ErrorAnswer {
        self.refused(&quota.name, Refused::Unpriced);
        let message = words::unpriced(
            &quota.name,
            &self.candidate.provider.spec.id,
            &self.candidate.model,
        );
        ErrorAnswer::new(ErrorCode::UnpricedModel, message)
    }

    fn unbounded(&self, quota: &Quota, what: &str) -> ErrorAnswer {
        self.refused(&quota.name, Refused::Unbounded);
        ErrorAnswer::new(ErrorCode::CannotBound, words::unbounded(&quota.name, what))
    }

    /// The answer where a bucket has too little.
    fn short(&self, short: &Short, lines: &Lines, wants: &[Want]) -> ErrorAnswer {
        let (Short::Exhausted { index, .. } | Short::Unavailable { index } | Short::Undefined { index }) =
            short;
        let (Some(line), Some(want), Some((counted, budget, _, bucket))) =
            (lines.get(*index), wants.get(*index), self.bucket(*index))
        else {
            return ErrorAnswer::new(ErrorCode::Internal, "a bucket has no name");
        };
        match short {
            Short::Undefined { .. } => self.undefined(&counted.name),
            Short::Unavailable { .. } => {
                self.refused(&counted.name, Refused::Unavailable);
                tracing::warn!(quota = %counted.name, %bucket, "what is left of a bucket cannot be found out: refused");
                ErrorAnswer::new(ErrorCode::QuotaUnavailable, words::unavailable(&bucket))
            }
            Short::Exhausted {
                retry_after_s,
                free,
                terms,
                ..
            } => {
                self.refused(&counted.name, Refused::Exhausted);
                let status = budget.quota.deny_status;
                self.exhausted(
                    &bucket,
                    line.unit,
                    want.need,
                    *free,
                    *terms,
                    *retry_after_s,
                    status,
                )
            }
        }
    }

    fn exhausted(
        &self,
        bucket: &str,
        unit: Unit,
        need: u64,
        free: i64,
        terms: Terms,
        retry_after_s: Option<u32>,
        status: u16,
    ) -> ErrorAnswer {
        // More than it ever holds will never be there; a place becomes free when somebody is done.
        let retry_after_s = match unit {
            Unit::Concurrency => Some(1),
            _ => retry_after_s.filter(|_| need <= terms.capacity),
        };
        tracing::warn!(
            login = %self.policy().principal.login,
            provider = %self.candidate.provider.spec.id,
            model = %self.candidate.model,
            bucket,
            unit = unit.name(),
            need,
            free,
            retry_after_s,
            "quota exceeded: refused"
        );
        let message = words::exhausted(bucket, unit, need, free, terms, retry_after_s);
        let answer = ErrorAnswer::new(ErrorCode::QuotaExceeded, message);
        let answer = match status {
            400 | 403 => answer.with_status(status),
            _ => answer,
        };
        match retry_after_s {
            Some(seconds) => answer.retry_after(seconds),
            None => answer,
        }
    }

    fn refused(&self, quota: &str, why: Refused) {
        self.conn.shard.metrics.borrow_mut().quotas.refuse(quota, why);
    }
}
