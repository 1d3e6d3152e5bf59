//! Answers put together from recorded streams, against what was recorded without a stream, against the meter, and
//! against a naive reading of the same bytes.
//!
//! The recordings are not part of this repository. They are looked for in `$SLUICE_FIXTURES`, then beside the
//! project in `../shared/fixtures`; without them every test here says so and passes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skip must be visible")]

#[path = "transcript_fixtures/naive.rs"]
mod naive;
#[path = "transcript_fixtures/recordings.rs"]
mod recordings;
#[path = "transcript_fixtures/shape.rs"]
mod shape;

use std::collections::BTreeMap;

use recordings::{Recording, recordings};
use serde_json::Value;
use shape::Shape;
use sluice_proto::meter::{Outcome, ResponseFacts, meter_body};
use sluice_proto::transcript::{Reassembled, reassemble, tool_calls};
use sluice_shared::api::ApiKind;

/// Runs a check over recordings and prints how many passed it.
#[track_caller]
fn each(what: &str, wanted: impl Fn(&Recording) -> bool, mut check: impl FnMut(&Recording) -> Vec<String>) {
    let (mut tried, mut failed) = (0, Vec::new());
    for recording in recordings().iter().filter(|recording| wanted(recording)) {
        tried += 1;
        let wrong = check(recording);
        if !wrong.is_empty() {
            failed.push(format!("{}\n    {}", recording.name, wrong.join("\n    ")));
        }
    }
    eprintln!("{what}: {} of {tried} recordings", tried - failed.len());
    assert!(
        failed.is_empty(),
        "{what}: {} of {tried} differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(tried > 0 || recordings().is_empty(), "{what}: nothing was tried");
}

fn put_together(recording: &Recording) -> Reassembled {
    reassemble(recording.kind, recording.content_type(), &recording.body)
}

fn differ<T: PartialEq + std::fmt::Debug>(wrong: &mut Vec<String>, what: &str, got: &T, want: &T) {
    if got != want {
        wrong.push(format!("{what}: got {got:?}, want {want:?}"));
    }
}

#[test]
fn an_answer_without_a_stream_is_its_own() {
    each(
        "not streamed",
        |r| r.framing == "json",
        |recording| {
            let mut wrong = Vec::new();
            let whole = put_together(recording);
            differ(
                &mut wrong,
                "answer",
                &whole.answer,
                &serde_json::from_slice(&recording.body).ok(),
            );
            differ(&mut wrong, "events", &whole.events, &None);
            if recording.status < 400 {
                differ(&mut wrong, "complete", &whole.complete, &recording.complete());
            }
            wrong
        },
    );
}

/// What is not in the answers without a stream, and why: part of the recording's name, the path, the reason.
const EXPLAINED: &[(&str, &str, &str)] = &[
    (
        "anthropic-messages/",
        ".content[text_editor_code_execution_tool_result]",
        COPIED,
    ),
    (
        "anthropic-messages/",
        ".content[bash_code_execution_tool_result].content.content",
        COPIED,
    ),
    ("anthropic-messages/", ".content[tool_search_tool_result]", COPIED),
    ("anthropic-messages/", ".content[mcp_tool_", COPIED),
    ("anthropic-messages/", ".content[tool_use].caller", COPIED),
    (
        "bedrock-converse/",
        ".output.message.content[toolResult]",
        DOCUMENTED,
    ),
    (
        "bedrock-converse/",
        ".output.message.content[reasoningContent]",
        DOCUMENTED,
    ),
    (
        "bedrock-converse/",
        ".output.message.content[citationsContent]",
        DOCUMENTED,
    ),
    (
        "bedrock-converse/",
        ".trace.guardrail.",
        "keyed by the id of the guardrail",
    ),
    (
        "bedrock-invoke/",
        ".amazon-bedrock-invocationMetrics",
        "headers where nothing is streamed",
    ),
    ("bedrock-invoke/", ".metrics", NOVA),
    ("bedrock-invoke/", ".trace", NOVA),
    ("bedrock-invoke/", ".output.message.content[toolUse]", DOCUMENTED),
    ("bedrock-invoke/", ".content[tool_use]", DOCUMENTED),
    ("compat-chat/azure", ".latency_checkpoint", COPIED),
    ("compat-chat/", ".choices[].finish_reason: is null", BROKEN),
    ("compat-chat/", ".error", BROKEN),
    (
        "groq-model-web-search-tool-stream",
        ".x_groq.id",
        "not stated in this stream",
    ),
    ("compat-chat/groq", ".choices[].message.channel", COPIED),
    ("compat-chat/huggingface", ".sla_metrics", COPIED),
    (
        "compat-chat/litellm",
        ".stream_options",
        "this proxy repeats the request's own",
    ),
    ("compat-chat/openrouter", ".usage.server_tool_use_details", COPIED),
    (
        "compat-chat/openrouter",
        ".usage.cost_details.upstream_inference_cost",
        COPIED,
    ),
    (
        "compat-chat/openrouter",
        ".choices[].message.annotations[url_citation].url_citation.content",
        COPIED,
    ),
    (
        "gemini-generate/",
        ".candidates[].content.parts[]: unknown: {\"thoughtSignature\"",
        "parts of built-in tools, never recorded otherwise",
    ),
    (
        "gemini-generate/",
        ".candidates[].groundingMetadata.groundingChunks[].retrievedContext.customMetadata",
        COPIED,
    ),
    ("gemini-generate/", ".candidates[].urlContextMetadata", COPIED),
    (
        "openai-audio/",
        ".segments[text]",
        "segments with speakers, never recorded otherwise",
    ),
    ("openai-chat/", ".moderation", COPIED),
];

const COPIED: &str = "as the provider sent it, in one piece; not in the recordings without a stream";
const DOCUMENTED: &str = "documented so by the provider; not in the recordings without a stream";
const NOVA: &str = "Nova's streams end with an empty one";
const BROKEN: &str = "the stream broke off with an error";

#[test]
fn a_streamed_answer_has_the_shape_of_one_that_was_not() {
    let mut learned: BTreeMap<ApiKind, Shape> = BTreeMap::new();
    for recording in recordings()
        .iter()
        .filter(|r| r.framing == "json" && r.status < 400)
    {
        if let Ok(answer) = serde_json::from_slice(&recording.body) {
            learned.entry(recording.kind).or_default().learn(&answer);
        }
    }
    let mut used = vec![0_u32; EXPLAINED.len()];
    each("shape", Recording::streamed, |recording| {
        let whole = put_together(recording);
        let mut wrong = Vec::new();
        let Some(answer) = whole.answer else {
            return vec!["no answer".to_owned()];
        };
        differ(&mut wrong, "complete", &whole.complete, &recording.complete());
        differ(
            &mut wrong,
            "events",
            &whole.events.is_some_and(|events| !events.is_empty()),
            &true,
        );
        if recording.kind == ApiKind::OpenAiResponses {
            // The last event has the whole answer, in the provider's own shape.
            let events = naive::sse_events(&recording.body);
            let last = events
                .iter()
                .rfind(|event| event.get("response").is_some())
                .unwrap();
            differ(&mut wrong, "the last response", &answer, &last["response"]);
        } else if let Some(shape) = learned.get(&recording.kind) {
            let mut found = Vec::new();
            shape.compare(&answer, String::new(), &mut found);
            let asked = recording.sidecar["expected"]["usage_present"] == true;
            for difference in found {
                if !asked
                    && (difference.starts_with(".usage: missing")
                        || difference == ".usage: is null, not {\"object\"}: null")
                {
                    continue;
                }
                let why = EXPLAINED.iter().position(|(name, path, _)| {
                    recording.name.contains(name) && difference.starts_with(path)
                });
                match why.and_then(|why| used.get_mut(why)) {
                    Some(times) => *times += 1,
                    None => wrong.push(difference),
                }
            }
        }
        wrong
    });
    for ((name, path, reason), times) in EXPLAINED.iter().zip(used) {
        eprintln!("explained {times} times: {name} {path}: {reason}");
        assert!(
            times > 0 || recordings().is_empty(),
            "no longer needed: {name} {path}"
        );
    }
}

fn metered(recording: &Recording, content_type: Option<&str>, body: &[u8]) -> Outcome {
    let facts = ResponseFacts {
        content_type,
        bedrock: recording.bedrock_counts(),
        ..ResponseFacts::default()
    };
    meter_body(recording.kind, facts, body)
}

#[test]
fn the_meter_reads_the_same_in_the_answer_as_in_the_stream() {
    each("meter", Recording::streamed, |recording| {
        let whole = put_together(recording);
        let stream = metered(recording, recording.content_type(), &recording.body);
        let json = whole.answer.unwrap_or_default().to_string();
        let answer = metered(recording, Some("application/json"), json.as_bytes());
        let mut wrong = Vec::new();
        differ(&mut wrong, "usage", &answer.usage, &stream.usage);
        differ(&mut wrong, "model", &answer.model, &stream.model);
        differ(&mut wrong, "stop", &answer.stop_reason, &stream.stop_reason);
        differ(&mut wrong, "stops", &answer.stop_reasons, &stream.stop_reasons);
        differ(&mut wrong, "calls", &answer.tool_calls, &stream.tool_calls);
        // A failed response states less of its error than the event before it.
        let error = |outcome: &Outcome| {
            outcome
                .stream_error
                .clone()
                .map(|error| (error.code, error.message))
        };
        differ(&mut wrong, "error", &error(&answer), &error(&stream));
        differ(&mut wrong, "tier", &answer.service_tier, &stream.service_tier);
        differ(&mut wrong, "id", &answer.response_id, &stream.response_id);
        differ(&mut wrong, "hosted", &answer.hosted_tools, &stream.hosted_tools);
        let expected = &recording.sidecar["expected"];
        for (field, got) in [("input", answer.usage.input), ("output", answer.usage.output)] {
            let disputed = expected["disputed"]
                .as_array()
                .is_some_and(|all| all.iter().any(|name| name == field));
            if !disputed {
                differ(&mut wrong, field, &got, &expected[field].as_u64());
            }
        }
        let stop = match &expected["stop_reason"] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        differ(&mut wrong, "stop by the sidecar", &answer.stop_reason, &stop);
        wrong
    });
}

/// Recordings whose deltas are not the texts of their answer.
const NOT_ONE_TEXT: &[(&str, &str)] = &[
    (
        "openai-sse-openai-phase-1",
        "most of its deltas were left out when it was recorded",
    ),
    FOUR,
];

const FOUR: (&str, &str) = (
    "openai-sse-openai-reasoning-encrypted-content-1",
    "four responses one after the other; the last one counts",
);

#[test]
fn texts_are_those_of_a_naive_reading() {
    let mut bytes = 0;
    each("texts", Recording::streamed, |recording| {
        let whole = put_together(recording);
        let got = naive::texts_of_answer(recording.kind, &whole.answer.unwrap_or_default());
        let want = naive::texts_of_stream(recording.kind, &recording.framing, &recording.body);
        let mut wrong = Vec::new();
        if let Some((_, why)) = NOT_ONE_TEXT
            .iter()
            .find(|(name, _)| recording.name.contains(name))
        {
            eprintln!("texts not compared: {}: {why}", recording.name);
            return wrong;
        }
        bytes += want.said.len() + want.thought.len();
        differ(&mut wrong, "said", &got.said, &want.said);
        differ(&mut wrong, "thought", &got.thought, &want.thought);
        wrong
    });
    eprintln!("texts: {bytes} bytes compared");
    assert!(bytes > 20_000 || recordings().is_empty());
}

#[test]
fn tool_calls_are_those_of_a_naive_reading() {
    let (mut with, mut all, mut hosted) = (0, 0, 0);
    each(
        "tool calls",
        |r| r.status < 400,
        |recording| {
            if recording.name.contains(FOUR.0) {
                eprintln!("calls not compared: {}: {}", recording.name, FOUR.1);
                return Vec::new();
            }
            let whole = put_together(recording);
            let answer = whole.answer.unwrap_or_default();
            let got = tool_calls(recording.kind, &answer);
            let want = naive::calls(recording.kind, &recording.framing, &recording.body);
            let mut wrong = Vec::new();
            let plain: Vec<naive::Call> = got
                .iter()
                .filter(|call| !call.hosted)
                .map(|call| naive::Call::new(&call.id, &call.name, &call.arguments))
                .map(|call| {
                    if recording.body_has("partialArgs") {
                        call.flat()
                    } else {
                        call
                    }
                })
                .collect();
            differ(&mut wrong, "calls", &plain, &want);
            with += u32::from(!got.is_empty());
            all += got.len();
            hosted += got.iter().filter(|call| call.hosted).count();
            for call in got
                .iter()
                .filter(|call| whole.complete && !call.arguments.is_empty())
            {
                // A custom tool of OpenAI's takes free text.
                if serde_json::from_str::<Value>(&call.arguments).is_err()
                    && !recording.body_has("custom_tool_call")
                    && !recording.body_has("\"custom\"")
                {
                    wrong.push(format!("arguments are no JSON: {call:?}"));
                }
            }
            // The meter leaves out what was there before `tool_calls`, and searches for tools by the client.
            if recording.body_has("\"function_call\": {") || recording.body_has("tool_search_call") {
                return wrong;
            }
            let outcome = metered(recording, recording.content_type(), &recording.body);
            differ(
                &mut wrong,
                "number by the meter",
                &u32::try_from(plain.len()).unwrap(),
                &outcome.tool_calls,
            );
            wrong
        },
    );
    eprintln!("tool calls: {with} recordings have {all}, {hosted} of them hosted");
    assert!(all > 100 || recordings().is_empty());
}

#[test]
fn a_response_built_from_its_events_is_the_one_it_ends_with() {
    let mut items = 0;
    each(
        "built",
        |r| r.kind == ApiKind::OpenAiResponses && r.streamed(),
        |recording| {
            let whole = put_together(recording).answer.unwrap_or_default();
            // Without the last event, and without the finished forms of the items.
            let deltas: String = naive::sse_events(&recording.body)
                .iter()
                .filter(|event| {
                    let kind = event["type"].as_str().unwrap_or_default();
                    !matches!(
                        kind,
                        "response.completed"
                            | "response.incomplete"
                            | "response.failed"
                            | "response.output_item.done"
                    )
                })
                .map(|event| format!("data: {event}\n\n"))
                .collect();
            let built = reassemble(recording.kind, None, deltas.as_bytes());
            let mut wrong = Vec::new();
            differ(&mut wrong, "complete", &built.complete, &false);
            let list = |answer: &Value| answer["output"].as_array().cloned().unwrap_or_default();
            let (got, want) = (list(&built.answer.unwrap_or_default()), list(&whole));
            differ(&mut wrong, "items", &got.len(), &want.len());
            items += want.len();
            for (got, want) in got.iter().zip(&want) {
                // What these say comes with the finished item only.
                if matches!(want["type"].as_str(), Some("tool_search_call" | "program")) {
                    differ(&mut wrong, "id", &got["id"], &want["id"]);
                    continue;
                }
                for key in [
                    "type",
                    "id",
                    "name",
                    "call_id",
                    "arguments",
                    "input",
                    "code",
                    "content",
                    "summary",
                    "role",
                ] {
                    if want.get(key).is_some_and(|value| !value.is_null()) {
                        differ(&mut wrong, key, &got[key], &want[key]);
                    }
                }
            }
            wrong
        },
    );
    eprintln!("built: {items} items");
}

#[test]
fn a_cut_stream_gives_the_beginning() {
    let mut tried = 0;
    each(
        "cut",
        |_| true,
        |recording| {
            let whole = put_together(recording);
            let full = naive::texts_of_answer(recording.kind, &whole.answer.unwrap_or_default());
            let mut wrong = Vec::new();
            let step = (recording.body.len() / 40).max(1);
            for cut in (0..recording.body.trim_ascii_end().len()).step_by(step) {
                tried += 1;
                let part = reassemble(recording.kind, recording.content_type(), &recording.body[..cut]);
                let _ = tool_calls(recording.kind, part.answer.as_ref().unwrap_or(&Value::Null));
                let said = naive::texts_of_answer(recording.kind, &part.answer.unwrap_or_default());
                // A document can be cut before the word that its text was thought, and choices grow side by side.
                let begins = if recording.framing == "json" {
                    said.said.is_empty()
                        || full.said.contains(&said.said)
                        || full.thought.contains(&said.said)
                } else {
                    full.said.starts_with(&said.said) || recording.name.contains("multi")
                };
                if !begins {
                    wrong.push(format!(
                        "cut at {cut}: {:?} is not how {:?} begins",
                        said.said, full.said
                    ));
                }
                if part.complete && recording.framing == "json" {
                    wrong.push(format!("cut at {cut}: complete"));
                }
            }
            wrong
        },
    );
    eprintln!("cut: {tried} cuts");
}
