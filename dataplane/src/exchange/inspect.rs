//! Who looks at a request before it is forwarded: guardrails, then hooks, for each provider that is about to be tried.
//!
//! Guardrails change parts of the body or end the request. Hooks follow in their order, each with the body as the one
//! before left it; each is asked once for a request, so another provider is not judged anew by a hook that has spoken, and
//! the round ends. A hook that puts another body in the place of the client's changes everything that follows from it:
//! it is scanned like a client's, guardrails look at it, its model must be granted and is routed and priced anew
//! ([`Look::Rerouted`]). The record keeps the model that the client asked for.
//!
//! A hook that cannot be heard decides nothing: its policy does.

use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode};
use sluice_proto::hook::{
    BucketState, EstimatedCost, Metadata, Payload, Reply, Spoken, Tool, Written, clean,
};
use sluice_proto::http1::query;
use sluice_proto::route::Route;
use sluice_proto::splice::{Edit, Edits};
use sluice_shared::api::ApiKind;
use sluice_shared::policy::HookUse;
use sluice_shared::quota::Unit;
use sluice_shared::quota::name::Values;
use sluice_shared::snapshot::{HookEvent, HookPart};
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::{Action, Judge, UsageRecord, VERDICTS_MAX, Verdict};
use smallvec::SmallVec;

use super::{Admitted, Head, asked_model, decide, wants_stream, wants_usage};
use crate::body::{Body, Scan};
use crate::clock;
use crate::config::Config;
use crate::downstream::Downstream;
use crate::hooks::config::Hook;
use crate::hooks::{Fail, Question, call};
use crate::limits;
use crate::metrics::HookOutcome;
use crate::policy::Candidate;
use crate::quota::need;
use crate::shard::Held;
use crate::tally::Tally;

/// Longest text that says what a judge found, in bytes.
const WHAT_BYTES_MAX: usize = 128;
/// What a parsed value takes beside its text, in bytes; a bound for counting, not a measurement.
const VALUE_BYTES: u64 = 128;

/// What has looked at a request so far.
#[derive(Default)]
pub(super) struct Inspection {
    /// Hooks that have been asked, by their index.
    asked: SmallVec<[usize; 4]>,
    /// Guardrails that have judged the present body.
    guarded: Option<Vec<usize>>,
    /// What they change in it; of a request that they refuse, what nobody may see of it.
    edits: Vec<Edit>,
}

/// What looking at a request came to.
pub(super) enum Look {
    /// It may be sent to this candidate.
    Go,
    /// It has another body, and other candidates: begin with the first.
    Rerouted,
    /// This is the answer.
    Refused(ErrorAnswer),
    /// The client left meanwhile.
    Gone,
}

impl Inspection {
    /// Changes of the present body that guardrails want.
    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits
    }
}

/// A request that is looked at.
pub(super) struct Subject<'a> {
    pub(super) conn: &'a Downstream,
    pub(super) config: &'a Rc<Config>,
    pub(super) head: &'a Head,
    pub(super) route: &'a Route,
    pub(super) kind: ApiKind,
}

impl Subject<'_> {
    /// Lets everybody look who has not yet.
    pub(super) async fn look(
        &self,
        tally: &mut Tally,
        admitted: &mut Admitted,
        inspection: &mut Inspection,
        candidate: &Candidate,
    ) -> Look {
        if let Err(answer) = self.guard(tally, admitted, inspection, candidate) {
            return Look::Refused(answer);
        }
        for used in &candidate.watch.hooks {
            if !used.at(HookEvent::PreRequest) || inspection.asked.contains(&used.hook) {
                continue;
            }
            let Some(hook) = self.config.hooks.get(used.hook) else {
                continue;
            };
            inspection.asked.push(used.hook);
            match self
                .ask(tally, admitted, inspection, candidate, *used, hook)
                .await
            {
                Asked::Next => {}
                Asked::Replaced(body, held) => {
                    inspection.edits.clear();
                    inspection.guarded = None;
                    if let Err(answer) = self.replace(admitted, body, held) {
                        let message =
                            format!("hook {} changed the request: {}", hook.spec.name, answer.message);
                        return Look::Refused(ErrorAnswer {
                            message: message.into(),
                            ..answer
                        });
                    }
                    if let Some(record) = tally.record() {
                        record.stream = admitted.stream;
                    }
                    return Look::Rerouted;
                }
                Asked::Refused(answer) => return Look::Refused(answer),
                Asked::Gone => return Look::Gone,
            }
        }
        Look::Go
    }

    /// Lets the candidate's guardrails judge the present body, unless they have.
    fn guard(
        &self,
        tally: &mut Tally,
        admitted: &Admitted,
        inspection: &mut Inspection,
        candidate: &Candidate,
    ) -> Result<(), ErrorAnswer> {
        let indices = &candidate.watch.guardrails;
        if inspection.guarded.as_ref() == Some(indices) {
            return Ok(());
        }
        let judged_before = inspection.guarded.replace(indices.clone()).is_some();
        inspection.edits.clear();
        if !candidate.guards.guards_requests() || admitted.body.bytes == 0 {
            return Ok(());
        }
        let verdict = {
            let judge = |body: &[u8]| {
                candidate
                    .guards
                    .request(self.kind, &candidate.model, &admitted.facts, body)
            };
            match &admitted.body.chunks[..] {
                [whole] => judge(whole),
                chunks => {
                    let bytes = admitted.body.bytes;
                    let mut held = Held::none(&self.conn.shard.process);
                    if !held.grow(bytes, self.config.limits.buffer_bytes) {
                        let message = "the gateway holds as many request bytes as it may; try again shortly";
                        return Err(ErrorAnswer::new(ErrorCode::Overloaded, message));
                    }
                    let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
                    chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
                    judge(&whole)
                }
            }
        };
        inspection.edits = verdict.edits;
        if let Some(record) = tally.record() {
            for found in verdict.verdicts {
                // Another provider's guardrails find in the same body what was found before.
                let same = |known: &Verdict| {
                    (known.judge, &known.name, known.action, &known.what)
                        == (found.judge, &found.name, found.action, &found.what)
                };
                if !(judged_before && record.verdicts.iter().any(same)) {
                    add_verdict(record, found);
                }
            }
        }
        match verdict.blocked {
            None => Ok(()),
            Some(blocked) => {
                tracing::info!(rule = %blocked.rule, request = %tally.request_id, "a guardrail blocked a request");
                Err(ErrorAnswer::new(ErrorCode::GuardrailBlocked, blocked.message))
            }
        }
    }

    async fn ask(
        &self,
        tally: &mut Tally,
        admitted: &Admitted,
        inspection: &Inspection,
        candidate: &Candidate,
        used: HookUse,
        hook: &Hook,
    ) -> Asked {
        // From here on the request may take long: a crash must leave its record.
        if !tally.occupy() {
            let message = "as many requests run as may; try again shortly";
            return Asked::Refused(ErrorAnswer::new(ErrorCode::Overloaded, message));
        }
        let began = clock::mono_now();
        let answered = self
            .call(tally, admitted, inspection, candidate, used, hook)
            .await;
        let took_us = clock::mono_now().since(began);
        let name = &hook.spec.name;
        let count = |outcome| {
            let mut metrics = self.conn.shard.metrics.borrow_mut();
            metrics.hooks.count(name, outcome, took_us);
        };
        let Some(answered) = answered else {
            count(HookOutcome::Gone);
            return Asked::Gone;
        };
        let note = |tally: &mut Tally, action, what: &str| {
            if let Some(record) = tally.record() {
                let verdict = Verdict {
                    judge: Judge::Hook,
                    name: name.clone(),
                    action,
                    shadow: false,
                    on_answer: false,
                    what: super::cut(&clean(what), WHAT_BYTES_MAX).to_owned(),
                    count: 1,
                    took_us,
                };
                add_verdict(record, verdict);
            }
        };
        match answered {
            Ok(Decision::Allow) => {
                count(HookOutcome::Allow);
                note(tally, Action::Allow, "");
                Asked::Next
            }
            Ok(Decision::Block { status, message }) => {
                count(HookOutcome::Block);
                note(tally, Action::Block, &message);
                tracing::info!(hook = %name, status, request = %tally.request_id, "a hook blocked a request");
                let message = if message.is_empty() {
                    format!("blocked by the hook {name} of this gateway; ask its administrator")
                } else {
                    message
                };
                Asked::Refused(ErrorAnswer::new(ErrorCode::GuardrailBlocked, message).with_status(status))
            }
            Ok(Decision::Modify(body, held)) => {
                count(HookOutcome::Modify);
                note(tally, Action::Modify, "");
                Asked::Replaced(body, held)
            }
            Err(fail) => {
                let why = fail.reason();
                note(tally, Action::Failed, &why);
                let closed = hook.spec.fail_closed;
                tracing::warn!(hook = %name, %why, fail_closed = closed, request = %tally.request_id, "a hook failed");
                if !closed {
                    count(HookOutcome::FailedOpen);
                    return Asked::Next;
                }
                count(HookOutcome::FailedClosed);
                let message = format!("the hook {name} must judge this request and cannot: {why}");
                Asked::Refused(ErrorAnswer::new(ErrorCode::HookFailed, message))
            }
        }
    }

    /// Calls the hook and reads its answer.
    async fn call(
        &self,
        tally: &mut Tally,
        admitted: &Admitted,
        inspection: &Inspection,
        candidate: &Candidate,
        used: HookUse,
        hook: &Hook,
    ) -> Option<Result<Decision, Fail>> {
        let limits = &self.config.limits;
        let request_id = tally.request_id.to_string();
        let mut held = Held::none(&self.conn.shard.process);
        let edits = Edits::new(inspection.edits.clone()).unwrap_or_default();
        let written = {
            let record = tally.record()?;
            self.payload(record, &request_id, admitted, &edits, candidate, used)
        };
        let written = match written {
            Ok(written) => written,
            Err(fail) => return Some(Err(fail)),
        };
        if !held.grow(written.before.len() as u64, limits.buffer_bytes) {
            return Some(Err(Fail::Busy));
        }
        let replaceable = !admitted.is_form && admitted.body.bytes > 0;
        let reply_bytes_max = if replaceable {
            // The other body and the JSON around it.
            let body = limits.body_bytes_for(self.kind);
            body.saturating_add(limits::HOOK_REPLY_BYTES)
                .min(limits::HOOK_REPLY_BODY_BYTES)
        } else {
            limits::HOOK_REPLY_BYTES
        };
        let question = Question {
            event: HookEvent::PreRequest.name(),
            request_id: &request_id,
            payload: &written,
            body: replaceable.then_some((&edits, admitted.body.chunks.as_slice())),
            reply_bytes_max,
            memory_bytes_max: limits.buffer_bytes,
        };
        let pool_idle = (limits.pool_idle_ms, limits.pool_idle_count);
        let answered = match call(self.conn, hook, &question, pool_idle).await? {
            Ok(answered) => answered,
            Err(fail) => return Some(Err(fail)),
        };
        Some(match Reply::read(&answered.body) {
            Err(bad) => Err(Fail::Reply(bad)),
            Ok(Reply::Allow) => Ok(Decision::Allow),
            Ok(Reply::Block { status, message }) => Ok(Decision::Block { status, message }),
            Ok(Reply::Modify(_)) if !replaceable => {
                Err(Fail::Cannot("a request without a JSON body cannot be modified"))
            }
            Ok(Reply::Modify(body)) => {
                let body = body.to_vec();
                // The answer goes now, so what it took is what the copy takes.
                Ok(Decision::Modify(body, answered.held))
            }
        })
    }

    /// What the hook is told.
    fn payload(
        &self,
        record: &UsageRecord,
        request_id: &str,
        admitted: &Admitted,
        edits: &Edits,
        candidate: &Candidate,
        used: HookUse,
    ) -> Result<Written, Fail> {
        let spec = &candidate.provider.spec;
        let shard = &self.conn.shard;
        let principal = &admitted.policy.principal;
        let target = query::without_credentials(self.head.parsed.target.of(&self.head.bytes));
        let url = String::from_utf8_lossy(&target);
        let spoken = self.spoken(admitted, edits, used)?;
        let tools: Vec<Tool<'_>> = spoken
            .tools
            .iter()
            .map(|name| Tool { name, params: None })
            .collect();
        let call = admitted.call(self.kind, candidate);
        let (usage, cost) = if used.sends(HookPart::EstimatedCost) && self.kind.billed() && !admitted.free {
            let price = shard.price(&spec.id, &candidate.model, None);
            need::foreseen(&call, &shard.estimates.borrow(), price.as_deref())
        } else {
            let free = (admitted.free || !self.kind.billed()).then_some(0);
            (sluice_shared::usage::Usage::default(), free)
        };
        let grants = used
            .sends(HookPart::Grants)
            .then(|| admitted.policy.app_json(self.config));
        let buckets = if used.sends(HookPart::Quotas) {
            self.buckets(admitted, candidate, record.session.as_deref())
        } else {
            Vec::new()
        };
        let states: Vec<BucketState<'_>> = buckets.iter().map(State::shown).collect();
        let payload = Payload {
            event: HookEvent::PreRequest,
            metadata: Metadata {
                login_name: &principal.login,
                user_agent: record.user_agent.as_deref().unwrap_or_default(),
                url: &url,
                model: &candidate.model,
                provider: &spec.id,
                tailnet_name: "",
                stable_node_id: &principal.node,
                request_id,
                session_id: record.session.as_deref().unwrap_or_default(),
                estimated_cost: used.sends(HookPart::EstimatedCost).then(|| EstimatedCost {
                    cost: cost.map(NanoUsd),
                    cost_basis: self.config.prices().basis(&spec.id),
                    usage: &usage,
                }),
                grants: grants.as_deref(),
                quotas: used.sends(HookPart::Quotas).then_some(states.as_slice()),
            },
            tool_calls: used.sends(HookPart::Tools).then_some(tools.as_slice()),
            user_message: used
                .sends(HookPart::UserMessage)
                .then_some(spoken.user_message.as_deref()),
            response_body: None,
            raw_responses: None,
            request_body: used.sends(HookPart::RequestBody),
        };
        Ok(payload.write())
    }

    /// The buckets that count, as far as this process knows them.
    fn buckets(&self, admitted: &Admitted, candidate: &Candidate, session: Option<&str>) -> Vec<State> {
        let principal = &admitted.policy.principal;
        let values = Values {
            user: &principal.login,
            node: &principal.node,
            model: &candidate.model,
            provider: &candidate.provider.spec.id,
            session,
            ..Values::default()
        };
        let mut out = Vec::new();
        let mut scratch = String::new();
        for counted in &candidate.quotas {
            let Some(budget) = counted
                .budget
                .and_then(|at| self.config.published.rules.budget(at))
            else {
                continue;
            };
            let quota = &budget.quota;
            budget.names(&principal.groups, values, &mut scratch, |name| {
                for limit in &quota.limits {
                    out.push(State {
                        name: name.to_owned(),
                        unit: limit.unit,
                        current: self.conn.shard.bucket(&quota.name, name, limit.unit).left(),
                        terms: limit.terms,
                    });
                }
            });
        }
        out
    }

    /// What the request says, for the parts that need it.
    fn spoken(&self, admitted: &Admitted, edits: &Edits, used: HookUse) -> Result<Spoken, Fail> {
        let needed = used.sends(HookPart::Tools) || used.sends(HookPart::UserMessage);
        if !needed || admitted.is_form || admitted.body.bytes == 0 {
            return Ok(Spoken::default());
        }
        let bytes = admitted.body.bytes;
        // Held while it is parsed: the body in one piece, and its values.
        let mut held = Held::none(&self.conn.shard.process);
        let values = u64::from(admitted.facts.tokens).saturating_mul(VALUE_BYTES);
        let most = bytes.saturating_mul(2).saturating_add(values);
        if !held.grow(most, self.config.limits.buffer_bytes) {
            return Err(Fail::Busy);
        }
        let mut text = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        edits
            .pieces(&admitted.body.chunks)
            .for_each(|piece| text.extend_from_slice(piece));
        Ok(Spoken::read(self.kind, &text))
    }

    /// Puts another body in the place of the present one, and everything that follows from it.
    fn replace(&self, admitted: &mut Admitted, body: Vec<u8>, held: Held) -> Result<(), ErrorAnswer> {
        let bytes_max = self.config.limits.body_bytes_for(self.kind);
        if body.len() as u64 > bytes_max {
            let message = format!("the request body is larger than {bytes_max} bytes");
            return Err(ErrorAnswer::new(ErrorCode::BodyTooLarge, message));
        }
        let mut scan = Scan::new(self.kind, None)?;
        scan.feed(&body)?;
        let facts = scan.finish()?;
        let asked = asked_model(self.route, &facts)?;
        admitted.verdict = decide(self.config, &admitted.policy, self.route, self.kind, &asked)?;
        admitted.stream = wants_stream(self.route, self.kind, &facts);
        admitted.withhold_usage = wants_usage(self.kind, admitted.stream, admitted.is_form, &facts);
        admitted.asked = asked;
        admitted.facts = facts;
        admitted.body = Body::of(body, held);
        Ok(())
    }
}

/// What asking a hook came to.
enum Asked {
    Next,
    Replaced(Vec<u8>, Held),
    Refused(ErrorAnswer),
    Gone,
}

/// What a hook decided, in memory of our own.
enum Decision {
    Allow,
    Block { status: u16, message: String },
    Modify(Vec<u8>, Held),
}

/// A bucket that counts.
struct State {
    name: String,
    unit: Unit,
    current: Option<i64>,
    terms: sluice_shared::quota::Terms,
}

impl State {
    fn shown(&self) -> BucketState<'_> {
        BucketState {
            name: &self.name,
            unit: self.unit,
            current: self.current,
            terms: self.terms,
        }
    }
}

/// Adds a verdict to a record, whose number of them is bounded: the last place is for one that ends the request.
fn add_verdict(record: &mut UsageRecord, verdict: Verdict) {
    if record.verdicts.len() < VERDICTS_MAX {
        record.verdicts.push(verdict);
    } else if verdict.action == Action::Block
        && let Some(last) = record.verdicts.last_mut()
    {
        *last = verdict;
    }
}
