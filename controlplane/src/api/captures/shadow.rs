//! `GET /api/captures/{id}/shadow`: what the guardrails of the configuration in use would find in a capture, those in shadow
//! mode included.
//!
//! Each rule looks by itself, as if it redacted: so it is known where each finding stands. What was found is shown with all
//! but its ends masked, whichever rule found it. The request is looked through as calls are; of the answer every text of
//! the object that it was put together to.

mod snippet;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};
use sluice_proto::guard::{GuardSet, Guards};
use sluice_proto::json::{BodyScan, JsonLimits, KeyTable};
use sluice_shared::api::ApiKind;
use sluice_shared::glob::Glob;
use sluice_shared::snapshot::{GuardAction, Guardrail};
use sluice_shared::usage::Action;
use tokio::sync::Semaphore;

use super::super::Shown;
use super::super::guardrails::on;
use super::super::parameters::Parameters;
use super::super::principal::Principal;
use super::super::problem::Problem;
use super::{find, on_record};
use crate::captures::Part;
use crate::store::captures::{ANSWER_CUT, ANSWER_ENCODED, REQUEST_CUT, REQUEST_ENCODED};
use snippet::{Place, Text};

/// Findings of a rule that are shown.
const SHOWN_MAX: usize = 20;
/// Texts of an answer that are looked through.
const TEXTS_MAX: usize = 20_000;
/// Longest body that is looked through.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Captures that are looked through at a time, of all who ask; the others wait.
static LOOKING: Semaphore = Semaphore::const_new(2);

pub(in super::super) async fn shadow(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let capture = find(&shown, &principal, &id).await?;
    on_record(&shown, &principal, &capture, "shadow").await?;
    let published = shown.publisher.current().ok_or_else(Problem::internal)?;
    // Never closed.
    let _permit = LOOKING.acquire().await;
    let request = if capture.flags & (REQUEST_CUT | REQUEST_ENCODED) == 0 {
        Some(shown.captures.part(&capture, Part::Request).await?)
    } else {
        None
    };
    let answer = if capture.flags & (ANSWER_CUT | ANSWER_ENCODED) == 0 {
        Some(shown.captures.assembled(&capture).await?)
    } else {
        None
    };
    let call = Call {
        kind: capture.api,
        provider: capture.provider,
        model: capture.model,
        request: request.filter(|body| body.len() <= BODY_BYTES_MAX),
        answer: answer.filter(|body| body.len() <= BODY_BYTES_MAX),
    };
    let snapshot = published.snapshot.clone();
    let looked = tokio::task::spawn_blocking(move || call.look(&snapshot.guardrails));
    match looked.await {
        Ok(Some(found)) => Ok(Json(found)),
        _ => Err(Problem::internal()),
    }
}

/// What was captured; `None`: not whole, or not readable.
struct Call {
    kind: ApiKind,
    provider: String,
    model: String,
    request: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

/// What a rule found.
struct Finding {
    place: Place,
    what: String,
    /// What would take its place.
    with: String,
}

impl Call {
    fn look(&self, rules: &[Guardrail]) -> Option<Value> {
        let holding: Vec<&Guardrail> = rules.iter().filter(|rule| self.is_meant(rule)).collect();
        // As if each redacted: a finding is where an edit is.
        let probes: Vec<Guardrail> = holding.iter().map(|rule| probe(rule)).collect();
        let guards = Guards::compile(&probes).ok()?;
        let mut texts = Vec::new();
        let request = self.request.as_deref().and_then(|body| {
            let mut scan = BodyScan::new(KeyTable::for_kind(self.kind), JsonLimits::DEFAULT);
            scan.feed(body).ok()?;
            Some((body, scan.finish().ok()?))
        });
        if let Some((body, _)) = request {
            texts.push(Text::request(body));
        }
        let said: Option<Value> = self
            .answer
            .as_deref()
            .and_then(|body| serde_json::from_slice(body).ok());
        let behind = texts.len();
        if let Some(answer) = &said {
            Text::of_answer(answer, TEXTS_MAX, &mut texts);
        }
        let mut found: Vec<Vec<Finding>> = Vec::new();
        let mut whole: Vec<Vec<(String, u32)>> = Vec::new();
        for at in 0..probes.len() {
            let set = guards.set(&[at]);
            let (mut findings, mut structure) = (Vec::new(), Vec::new());
            if let Some((body, facts)) = request.as_ref().filter(|_| set.guards_requests()) {
                let verdict = set.request(self.kind, &self.model, facts, body);
                for edit in verdict.edits {
                    let range = usize::try_from(edit.at.start).ok()?..usize::try_from(edit.at.end).ok()?;
                    let what = String::from_utf8_lossy(&edit.with).trim_matches('"').to_owned();
                    findings.push(Finding {
                        with: replacement(holding.get(at)?, &what),
                        what,
                        place: Place { text: 0, range },
                    });
                }
                let verdicts = verdict.verdicts.into_iter();
                structure = verdicts
                    .filter(|verdict| verdict.action == Action::Block)
                    .map(|verdict| (verdict.what, verdict.count))
                    .collect();
            }
            answers(&set, holding.get(at)?, &texts, behind, &mut findings);
            found.push(findings);
            whole.push(structure);
        }
        let all = snippet::masks(found.iter().flatten().map(|finding| &finding.place));
        let rules = holding.iter().zip(found.iter().zip(&whole));
        let rules: Vec<Value> = rules
            .map(|(rule, (found, whole))| show(rule, found, whole, &texts, &all))
            .collect();
        Some(json!({
            "looked_at": { "request": request.is_some(), "answer": said.is_some() },
            "rules": rules,
        }))
    }

    /// Whether a rule can hold for the call; whether it does may depend on who made it.
    fn is_meant(&self, rule: &Guardrail) -> bool {
        let models = rule.models.as_ref();
        models.is_none_or(|patterns| {
            patterns.iter().any(|pattern| {
                // A pattern that does not parse covers every model.
                Glob::parse(pattern).map_or(true, |glob| glob.matches_pair(&self.provider, &self.model))
            })
        })
    }
}

/// A rule that says where it finds what.
fn probe(rule: &Guardrail) -> Guardrail {
    Guardrail {
        action: GuardAction::Redact,
        shadow: false,
        replacement: "{detector}".to_owned(),
        ..rule.clone()
    }
}

fn replacement(rule: &Guardrail, what: &str) -> String {
    match rule.replacement.as_str() {
        "" => format!("[REDACTED:{what}]"),
        text => text.replace("{detector}", what),
    }
}

/// Looks through the texts of an answer, those from `first` on.
fn answers(set: &GuardSet, rule: &Guardrail, texts: &[Text<'_>], first: usize, out: &mut Vec<Finding>) {
    let Some(engine) = set.answers() else { return };
    let mut hits = Vec::new();
    for (at, text) in texts.iter().enumerate().skip(first) {
        hits.clear();
        engine.scan_value(text.name().as_bytes(), text.bytes(), &mut hits);
        for hit in hits.drain(..) {
            let what = set
                .rule(hit.rule)
                .map(|rule| rule.what(hit.detector).to_owned())
                .unwrap_or_default();
            out.push(Finding {
                with: replacement(rule, &what),
                what,
                place: Place {
                    text: at,
                    range: hit.range,
                },
            });
        }
    }
}

fn show(
    rule: &Guardrail,
    found: &[Finding],
    whole: &[(String, u32)],
    texts: &[Text<'_>],
    all: &snippet::Masks,
) -> Value {
    let redacts = rule.action == GuardAction::Redact;
    let mut list: Vec<Value> = Vec::new();
    for (what, count) in whole {
        list.push(json!({ "where": "request", "before": null, "after": null, "what": what, "count": count }));
    }
    for finding in found {
        let Some(text) = texts.get(finding.place.text) else {
            continue;
        };
        let before = text.snippet(&finding.place, all, None);
        let after = redacts.then(|| text.snippet(&finding.place, all, Some(&finding.with)));
        list.push(json!({
            "where": text.place(&finding.place.range),
            "before": before,
            "after": after,
            "what": finding.what,
            "count": 1,
        }));
        if list.len() >= SHOWN_MAX {
            break;
        }
    }
    let more = found.len().saturating_add(whole.len()).saturating_sub(list.len());
    json!({
        "name": rule.name,
        "action": rule.action.name(),
        "shadow": rule.shadow,
        "on": on(rule),
        "everyone": rule.everyone,
        "found": list,
        "more": more,
    })
}

#[cfg(test)]
mod tests;
