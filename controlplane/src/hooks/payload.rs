//! What a hook is told of a request that is over, made when it is told.

use serde::de::IgnoredAny;
use serde_json::Value;
use sluice_proto::hook::{BucketState, EstimatedCost, Metadata, Payload, Tool};
use sluice_proto::transcript;
use sluice_shared::snapshot::HookPart;
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::Usage;

use super::Stored;
use crate::store::BucketRow;
use crate::store::outbox::Event;

/// Which bodies an event needs: request, answer.
pub(super) fn needs(event: &Event) -> (bool, bool) {
    let any = |parts: &[HookPart]| parts.iter().any(|part| sends(event, *part));
    (
        any(&[HookPart::RequestBody, HookPart::UserMessage]),
        any(&[HookPart::Tools, HookPart::ResponseBody, HookPart::RawResponses]),
    )
}

pub(super) fn sends(event: &Event, part: HookPart) -> bool {
    event.send & (1 << part as u16) != 0
}

/// The payload of an event. Takes a while with large bodies: not for a thread that serves.
pub(super) fn write(
    event: &Event,
    stored: Option<&Stored>,
    buckets: &[BucketRow],
    cost_basis: &str,
) -> Vec<u8> {
    let detail = &event.detail;
    let request = stored.map(|stored| stored.request.as_slice()).unwrap_or_default();
    let request = Some(request).filter(|body| serde_json::from_slice::<IgnoredAny>(body).is_ok());
    let user_message = request
        .filter(|_| sends(event, HookPart::UserMessage))
        .zip(stored)
        .and_then(|(body, stored)| {
            let value: Value = serde_json::from_slice(body).ok()?;
            transcript::user_message(stored.api, &value)
        });
    let answered = stored
        .filter(|stored| !stored.answer.is_empty())
        .map(|stored| transcript::reassemble(stored.api, stored.content_type.as_deref(), &stored.answer));
    let answer = answered.as_ref().and_then(|answered| answered.answer.as_ref());
    let calls = match (answer, stored) {
        (Some(answer), Some(stored)) => transcript::tool_calls(stored.api, answer),
        _ => Vec::new(),
    };
    let tools: Vec<Tool<'_>> = calls
        .iter()
        .map(|call| Tool {
            name: &call.name,
            params: Some(call.arguments.as_str()).filter(|arguments| !arguments.is_empty()),
        })
        .collect();
    let answer = answer
        .filter(|_| sends(event, HookPart::ResponseBody))
        .map(Value::to_string);
    let events = answered
        .as_ref()
        .and_then(|answered| answered.events.as_ref())
        .filter(|_| sends(event, HookPart::RawResponses))
        .and_then(|events| serde_json::to_string(events).ok());
    let [
        input,
        output,
        cached_read,
        cache_write,
        cache_write_5m,
        cache_write_1h,
        reasoning,
        input_image,
        output_image,
        web_searches,
    ] = detail.usage;
    let usage = Usage {
        input,
        output,
        cached_read,
        cache_write,
        cache_write_5m,
        cache_write_1h,
        reasoning,
        input_image,
        output_image,
        web_searches,
        ..Usage::default()
    };
    let states: Vec<BucketState<'_>> = buckets
        .iter()
        .map(|row| BucketState {
            name: &row.bucket.name,
            unit: row.bucket.unit,
            current: Some(row.account.balance),
            terms: row.account.terms,
        })
        .collect();
    let request_id = event.request_id.to_string();
    let payload = Payload {
        event: event.event,
        metadata: Metadata {
            login_name: &detail.login,
            user_agent: &detail.user_agent,
            url: &detail.url,
            model: &detail.model,
            provider: &detail.provider,
            tailnet_name: "",
            stable_node_id: &detail.node,
            request_id: &request_id,
            session_id: &detail.session,
            estimated_cost: sends(event, HookPart::EstimatedCost).then_some(EstimatedCost {
                cost: detail.cost.map(NanoUsd),
                cost_basis,
                usage: &usage,
            }),
            grants: sends(event, HookPart::Grants).then_some(event.grants.as_str()),
            quotas: sends(event, HookPart::Quotas).then_some(states.as_slice()),
        },
        tool_calls: sends(event, HookPart::Tools).then_some(tools.as_slice()),
        user_message: sends(event, HookPart::UserMessage).then_some(user_message.as_deref()),
        response_body: sends(event, HookPart::ResponseBody).then_some(answer.as_deref()),
        raw_responses: sends(event, HookPart::RawResponses).then_some(events.as_deref()),
        request_body: sends(event, HookPart::RequestBody),
    };
    let written = payload.write();
    let mut out = written.before;
    if let Some(after) = written.after {
        out.extend_from_slice(request.unwrap_or(b"null"));
        out.extend_from_slice(after);
    }
    out
}
