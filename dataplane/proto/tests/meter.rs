//! One transcript for each rule by which usage is read, written by hand; a naive reader beside the meter.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_proto::eventstream;
use sluice_proto::meter::{
    BedrockCounts, Meter, Outcome, ResponseFacts, fuzz, meter_body, meter_named, meter_recording,
};
use sluice_shared::api::ApiKind;
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::{Known, ServiceTier};

const SSE: Option<&str> = Some("text/event-stream");

fn facts(content_type: Option<&str>) -> ResponseFacts<'_> {
    ResponseFacts {
        content_type,
        ..ResponseFacts::default()
    }
}

/// Reads a body whole, byte by byte and without the gate; all three must agree.
#[track_caller]
fn read(kind: ApiKind, content_type: Option<&str>, body: &[u8]) -> Outcome {
    let whole = meter_body(kind, facts(content_type), body);
    let mut bytes = Meter::new(kind, facts(content_type));
    for byte in body.chunks(1) {
        bytes.feed(byte);
    }
    assert_eq!(bytes.finish(false), whole, "byte by byte");
    let mut plain = Meter::new(kind, facts(content_type)).ungated();
    plain.feed(body);
    assert_eq!(plain.finish(false), whole, "without the gate");
    whole
}

fn chat(events: &[Value]) -> Vec<u8> {
    let mut out = String::new();
    for event in events {
        out.push_str(&format!("data: {event}\n\n"));
    }
    out.push_str("data: [DONE]\n\n");
    out.into_bytes()
}

fn named(events: &[Value]) -> Vec<u8> {
    let mut out = String::new();
    for event in events {
        out.push_str(&format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().unwrap()
        ));
    }
    out.into_bytes()
}

/// input, uncached, cached read, cache write, output, reasoning
fn counts(outcome: &Outcome) -> [Option<u64>; 6] {
    let usage = &outcome.usage;
    [
        usage.input,
        usage.input_uncached,
        usage.cached_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
    ]
}

fn some(counts: [u64; 6]) -> [Option<u64>; 6] {
    counts.map(Some)
}

#[track_caller]
fn check_chat_usage(usage: &Value, want: [u64; 6], notes: &[&str]) {
    let body = json!({"model": "m", "choices": [{"finish_reason": "stop"}], "usage": usage}).to_string();
    let outcome = read(ApiKind::OpenAiChat, Some("application/json"), body.as_bytes());
    assert_eq!(
        (counts(&outcome), outcome.notes.as_slice()),
        (some(want), notes),
        "{usage}"
    );
    assert_eq!((outcome.known, outcome.complete), (Known::Reported, true));
}

#[test]
fn chat_usage_objects_of_compatible_servers() {
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}),
        [10, 10, 0, 0, 4, 0],
        &[],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 3}}),
        [10, 1, 6, 3, 4, 0],
        &[],
    );
    // DeepSeek, Mistral, others.
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "prompt_cache_hit_tokens": 6}),
        [10, 4, 6, 0, 4, 0],
        &[],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "num_cached_tokens": 6}),
        [10, 4, 6, 0, 4, 0],
        &[],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "cached_tokens": 6}),
        [10, 4, 6, 0, 4, 0],
        &[],
    );
    // Reasoning inside, beside (xAI), unnamed (Gemini's OpenAI endpoint); audio beside (Mistral).
    let reasoning = json!({"reasoning_tokens": 3});
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "completion_tokens_details": reasoning}),
        [10, 10, 0, 0, 4, 3],
        &[],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 17, "completion_tokens_details": reasoning}),
        [10, 10, 0, 0, 7, 3],
        &["reasoning_outside_completion"],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 20}),
        [10, 10, 0, 0, 10, 0],
        &["unnamed_tokens_in_total"],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 388, "prompt_tokens_details": {"audio_tokens": 375}}),
        [384, 384, 0, 0, 4, 0],
        &["audio_outside_prompt"],
    );
    // Never below zero.
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 161}}),
        [10, 0, 161, 0, 4, 0],
        &["cached_exceeds_input"],
    );
    check_chat_usage(
        &json!({"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 8}}),
        [10, 0, 8, 8, 4, 0],
        &["cache_read_and_write_overlap"],
    );
}

#[test]
fn stated_costs_are_exact() {
    for (usage, want) in [
        (json!({"prompt_tokens": 1, "cost": 0.0133176}), Some(13_317_600)),
        (
            json!({"prompt_tokens": 1, "cost": {"total_cost": 0.00614}}),
            Some(6_140_000),
        ),
        (
            json!({"prompt_tokens": 1, "cost_in_usd_ticks": 1_641_500}),
            Some(164_150),
        ),
        (json!({"prompt_tokens": 1, "cost": 0}), Some(0)),
        (json!({"prompt_tokens": 1, "cost": -1}), None),
        (json!({"prompt_tokens": 1}), None),
    ] {
        let body = json!({"usage": usage}).to_string();
        let outcome = read(ApiKind::OpenAiChat, None, body.as_bytes());
        assert_eq!(outcome.usage.stated_cost, want.map(NanoUsd), "{usage}");
    }
}

#[test]
fn chat_streams() {
    let delta = |text: &str| json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}], "usage": null});
    let finish = json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": null});
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14});
    let extra = json!({"id": "c1", "model": "m", "choices": [], "usage": usage});

    let outcome = read(
        ApiKind::OpenAiChat,
        SSE,
        &chat(&[delta("a"), delta("b"), finish.clone(), extra.clone()]),
    );
    assert_eq!(counts(&outcome), some([10, 10, 0, 0, 4, 0]));
    assert_eq!(
        (outcome.known, outcome.complete, outcome.done_marker),
        (Known::Reported, true, true)
    );
    assert_eq!(
        (
            outcome.model.as_deref(),
            outcome.stop_reason.as_deref(),
            outcome.response_id.as_deref()
        ),
        (Some("m"), Some("stop"), Some("c1"))
    );
    assert_eq!(outcome.events, 5);

    // Nobody asked for usage: unknown, not 0.
    let outcome = read(ApiKind::OpenAiChat, SSE, &chat(&[delta("a"), finish.clone()]));
    assert_eq!(
        (counts(&outcome), outcome.known, outcome.complete),
        ([None; 6], Known::Unknown, true)
    );

    // Usage in the finish chunk, in `x_groq`, in every chunk as a running total without `[DONE]`.
    let mut in_finish = finish.clone();
    in_finish["usage"] = usage.clone();
    assert_eq!(
        read(ApiKind::OpenAiChat, SSE, &chat(&[delta("a"), in_finish]))
            .usage
            .output,
        Some(4)
    );
    let mut groq = finish.clone();
    groq["x_groq"] = json!({"id": "r", "usage": usage});
    assert_eq!(
        read(ApiKind::OpenAiChat, SSE, &chat(&[delta("a"), groq]))
            .usage
            .output,
        Some(4)
    );
    let mut running = String::new();
    for n in 1..=9 {
        let mut event = if n < 9 { delta("a") } else { finish.clone() };
        event["usage"] = json!({"prompt_tokens": 10, "completion_tokens": n});
        running.push_str(&format!("data: {event}\r\n\r\n"));
    }
    let outcome = read(ApiKind::OpenAiChat, SSE, running.as_bytes());
    assert_eq!(
        (outcome.usage.output, outcome.known, outcome.complete),
        (Some(9), Known::Reported, true)
    );

    // Cut before the end: the running total stays, as partial; the table of running requests sees it too.
    let mut meter = Meter::new(ApiKind::OpenAiChat, facts(SSE));
    meter.feed(&running.as_bytes()[..running.len() * 3 / 4]);
    assert!(!meter.at_end_marker());
    let seen = meter.so_far().output.unwrap();
    let outcome = meter.finish(true);
    assert_eq!(
        (outcome.usage.output, outcome.known, outcome.complete),
        (Some(seen), Known::Partial, false)
    );

    // Azure's first chunk, two choices, empty words.
    let azure = json!({"choices": [], "model": "", "prompt_filter_results": []});
    let two = |index: u64, reason: &str| json!({"model": "m", "choices": [{"index": index, "delta": {}, "finish_reason": reason}]});
    let outcome = read(
        ApiKind::OpenAiChat,
        SSE,
        &chat(&[azure, delta("a"), two(1, "length"), two(0, "stop"), two(0, "")]),
    );
    assert_eq!(outcome.stop_reason.as_deref(), Some("stop"));
    assert_eq!(outcome.stop_reasons, ["stop", "length"]);
    assert_eq!(outcome.model.as_deref(), Some("m"));
}

#[test]
fn chat_tool_calls_are_counted_once() {
    let call =
        |value: Value| json!({"model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [value]}}]});
    let body = chat(&[
        call(
            json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}),
        ),
        call(json!({"index": 0, "function": {"arguments": "{\"tool_calls\":"}})),
        call(json!({"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "1}"}})),
        call(json!({"index": 1, "id": "call_2", "function": {"name": "f", "arguments": "{}"}})),
        call(json!({"index": 2, "id": "", "function": {"name": "g", "arguments": "{}"}})),
    ]);
    assert_eq!(read(ApiKind::OpenAiChat, SSE, &body).tool_calls, 3);
    let body = json!({"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"name": "f"}}, {"id": "b"}]}}]}).to_string();
    assert_eq!(read(ApiKind::OpenAiChat, None, body.as_bytes()).tool_calls, 2);
}

#[test]
fn errors_inside_a_stream() {
    let delta = json!({"model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]});
    let error = json!({"error": {"message": "bad", "type": "server_error", "code": 502}});
    let outcome = read(ApiKind::OpenAiChat, SSE, &chat(&[delta.clone(), error]));
    let stated = outcome.stream_error.unwrap();
    assert_eq!(
        (
            stated.kind.as_deref(),
            stated.code.as_deref(),
            stated.message.as_deref()
        ),
        (Some("server_error"), Some("502"), Some("bad"))
    );
    assert!(!outcome.complete);
    // llama.cpp: a field that the standard does not know.
    let body = format!("data: {delta}\n\nerror: {{\"message\":\"failed to decode\"}}\n\n");
    let outcome = read(ApiKind::OpenAiChat, SSE, body.as_bytes());
    assert_eq!(
        outcome.stream_error.unwrap().message.as_deref(),
        Some("failed to decode")
    );
    assert!(!outcome.complete);
    // llama.cpp, newer: inside an object.
    let body = format!("data: {delta}\n\nerror: {{\"error\":{{\"message\":\"gone\",\"code\":500}}}}\n\n");
    assert_eq!(
        read(ApiKind::OpenAiChat, SSE, body.as_bytes())
            .stream_error
            .unwrap()
            .code
            .as_deref(),
        Some("500")
    );
}

fn anthropic(delta_usage: &Value) -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-x", "usage": {
            "input_tokens": 20, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20}, "output_tokens": 1, "service_tier": "standard"}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t1", "name": "f"}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "message_delta usage"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": delta_usage}),
        json!({"type": "message_stop"}),
    ]
}

#[test]
fn anthropic_streams() {
    let outcome = read(
        ApiKind::AnthropicMessages,
        SSE,
        &named(&anthropic(&json!({"output_tokens": 9}))),
    );
    assert_eq!(counts(&outcome), some([170, 20, 100, 50, 9, 0]));
    assert_eq!(
        (outcome.usage.cache_write_5m, outcome.usage.cache_write_1h),
        (Some(30), Some(20))
    );
    assert_eq!(
        (outcome.known, outcome.complete, outcome.tool_calls),
        (Known::Reported, true, 1)
    );
    assert_eq!(
        (outcome.stop_reason.as_deref(), outcome.service_tier.as_deref()),
        (Some("tool_use"), Some("standard"))
    );

    // Totals replace; null does not; input grows; the split goes stale.
    let grown = json!({"input_tokens": 404_500, "cache_creation_input_tokens": 70, "cache_read_input_tokens": null, "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 5}, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}});
    let outcome = read(ApiKind::AnthropicMessages, SSE, &named(&anthropic(&grown)));
    assert_eq!(counts(&outcome), some([404_670, 404_500, 100, 70, 9, 5]));
    assert_eq!(
        (outcome.usage.cache_write_5m, outcome.usage.cache_write_1h),
        (Some(50), Some(20))
    );
    assert_eq!(
        (outcome.usage.web_searches, outcome.usage.web_fetches),
        (Some(2), Some(1))
    );
    assert_eq!(
        outcome.notes,
        ["input_grows_in_message_delta", "cache_write_split_stale"]
    );

    // `event:` lines are not needed; Claude on Vertex is the same.
    let plain: String = anthropic(&json!({"output_tokens": 9}))
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let outcome = read(ApiKind::VertexRawPredict, SSE, plain.as_bytes());
    assert_eq!(
        (counts(&outcome), outcome.complete),
        (some([170, 20, 100, 50, 9, 0]), true)
    );

    // The client hung up: what `message_start` said stays.
    let events = anthropic(&json!({"output_tokens": 9}));
    let mut meter = Meter::new(ApiKind::AnthropicMessages, facts(SSE));
    meter.feed(&named(&events[..4]));
    assert_eq!((meter.so_far().input, meter.at_end_marker()), (Some(170), false));
    let outcome = meter.finish(true);
    assert_eq!(
        (counts(&outcome), outcome.known, outcome.complete),
        (some([170, 20, 100, 50, 1, 0]), Known::Partial, false)
    );

    // An error after 200.
    let mut events = events;
    events.truncate(4);
    events.push(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}));
    let outcome = read(ApiKind::AnthropicMessages, SSE, &named(&events));
    assert_eq!(
        outcome.stream_error.unwrap().kind.as_deref(),
        Some("overloaded_error")
    );
    assert_eq!((outcome.known, outcome.complete), (Known::Partial, false));
}

#[test]
fn anthropic_side_work_is_billed_beside() {
    let usage = json!({"input_tokens": 162, "output_tokens": 11, "iterations": [
        {"type": "compaction", "input_tokens": 99_195, "output_tokens": 81},
        {"type": "message", "input_tokens": 162, "output_tokens": 11},
        {"type": "advisor_message", "model": "claude-y", "input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 2}]});
    let body = json!({"type": "message", "model": "claude-x", "stop_reason": "end_turn", "usage": usage})
        .to_string();
    let outcome = read(ApiKind::AnthropicMessages, None, body.as_bytes());
    assert_eq!(counts(&outcome), some([162, 162, 0, 0, 11, 0]));
    let side: Vec<_> = outcome
        .usage
        .side
        .iter()
        .map(|s| (s.kind.as_str(), s.model.as_deref(), s.input, s.output))
        .collect();
    assert_eq!(
        side,
        [
            ("compaction", None, Some(99_195), Some(81)),
            ("advisor_message", Some("claude-y"), Some(12), Some(2))
        ]
    );
}

#[test]
fn responses_streams() {
    let usage = json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 17});
    let item = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"});
    let stream = |end: &str, status: &str, details: Value| {
        named(&[
            json!({"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress", "usage": null}}),
            json!({"type": "response.output_item.added", "item": item}),
            json!({"type": "response.output_text.delta", "delta": "response.completed"}),
            json!({"type": "response.output_item.done", "item": item}),
            json!({"type": end, "response": {"id": "resp_1", "model": "m", "status": status, "incomplete_details": details,
                "output": [item, {"type": "web_search_call", "id": "ws_1"}, {"type": "web_search_call", "id": "ws_2"}, {"type": "image_generation_call"}], "usage": usage}}),
        ])
    };
    let outcome = read(
        ApiKind::OpenAiResponses,
        SSE,
        &stream("response.completed", "completed", Value::Null),
    );
    assert_eq!(counts(&outcome), some([10, 4, 4, 2, 7, 5]));
    assert_eq!(
        (
            outcome.stop_reason.as_deref(),
            outcome.complete,
            outcome.tool_calls
        ),
        (Some("completed"), true, 1)
    );
    assert_eq!(
        (outcome.usage.web_searches, outcome.usage.hosted_tools),
        (Some(2), Some(1))
    );
    let outcome = read(
        ApiKind::OpenAiResponses,
        SSE,
        &stream(
            "response.incomplete",
            "incomplete",
            json!({"reason": "max_output_tokens"}),
        ),
    );
    assert_eq!(
        (outcome.stop_reason.as_deref(), outcome.complete),
        (Some("incomplete:max_output_tokens"), true)
    );
    // Cut: the call that was announced is counted, usage is unknown.
    let body = stream("response.completed", "completed", Value::Null);
    let mut meter = Meter::new(ApiKind::OpenAiResponses, facts(SSE));
    meter.feed(&body[..body.len() / 2]);
    let outcome = meter.finish(true);
    assert_eq!(
        (outcome.tool_calls, outcome.known, outcome.complete),
        (1, Known::Unknown, false)
    );
    // An error event that ends the stream.
    let body = named(&[
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": null}),
    ]);
    let outcome = read(ApiKind::OpenAiResponses, SSE, &body);
    assert_eq!(
        outcome.stream_error.unwrap().code.as_deref(),
        Some("rate_limit_exceeded")
    );
    assert!(!outcome.complete);
    // In the background: nothing yet.
    let outcome = read(
        ApiKind::OpenAiResponses,
        None,
        br#"{"id":"resp_1","status":"queued","usage":null,"output":[]}"#,
    );
    assert_eq!(
        (outcome.known, outcome.stop_reason.as_deref()),
        (Known::Unknown, Some("queued"))
    );
}

fn gemini_chunks() -> Vec<Value> {
    vec![
        json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"trafficType": "ON_DEMAND"}, "modelVersion": "gemini-x"}),
        json!({"candidates": [{"content": {"parts": [{"text": "b"}]}}], "usageMetadata": {"promptTokenCount": 447, "totalTokenCount": 447}, "modelVersion": "gemini-x"}),
        json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {}}}]}}],
            "usageMetadata": {"promptTokenCount": 900, "candidatesTokenCount": 800, "totalTokenCount": 1700}, "modelVersion": "gemini-x"}),
        json!({"candidates": [{"content": {"parts": [{"text": "c"}]}, "finishReason": "STOP"}], "modelVersion": "gemini-x", "responseId": "r1",
            "usageMetadata": {"promptTokenCount": 13, "cachedContentTokenCount": 5, "toolUsePromptTokenCount": 100, "candidatesTokenCount": 20,
                "thoughtsTokenCount": 30, "totalTokenCount": 163, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}, {"modality": "AUDIO", "tokenCount": 6}, {"modality": 2, "tokenCount": 4}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}], "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 8}]}}),
    ]
}

#[test]
fn gemini_streams() {
    let sse: String = gemini_chunks()
        .iter()
        .map(|chunk| format!("data: {chunk}\r\n\r\n"))
        .collect();
    let list = gemini_chunks()
        .iter()
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join("\n,\r\n");
    let array = format!("[{list}\n]");
    for (content_type, body) in [
        (SSE, sse.as_str()),
        (Some("application/json"), array.as_str()),
        (None, array.as_str()),
    ] {
        let outcome = read(ApiKind::GeminiGenerate, content_type, body.as_bytes());
        assert_eq!(counts(&outcome), some([113, 108, 5, 0, 50, 30]));
        assert_eq!(
            (outcome.usage.input_audio, outcome.usage.input_image),
            (Some(6), Some(4))
        );
        assert_eq!(
            (
                outcome.usage.cached_audio,
                outcome.usage.output_image,
                outcome.usage.total
            ),
            (Some(2), Some(8), Some(163))
        );
        assert_eq!(
            (outcome.known, outcome.complete, outcome.tool_calls),
            (Known::Reported, true, 2)
        );
        assert_eq!(
            (outcome.stop_reason.as_deref(), outcome.model.as_deref()),
            (Some("STOP"), Some("gemini-x"))
        );
    }
    // Cut after the second chunk: the last object with counts stands.
    let mut meter = Meter::new(ApiKind::VertexGenerate, facts(None));
    let two: String = gemini_chunks()[..2]
        .iter()
        .map(|chunk| format!("data: {chunk}\r\n\r\n"))
        .collect();
    meter.feed(two.as_bytes());
    meter.feed(b"data: {\"candidates\": [{\"content\": {\"pa");
    assert_eq!(meter.so_far().input, Some(447));
    let outcome = meter.finish(true);
    assert_eq!(
        (outcome.usage.input, outcome.known, outcome.complete),
        (Some(447), Known::Partial, false)
    );
    // An error in the middle, as event and as the last element of an array.
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    for body in [
        format!("{two}data: {error}\r\n\r\n"),
        format!("[{},{error}]", gemini_chunks()[1]),
    ] {
        let outcome = read(ApiKind::GeminiGenerate, None, body.as_bytes());
        let stated = outcome.stream_error.unwrap();
        assert_eq!(
            (stated.kind.as_deref(), stated.code.as_deref()),
            (Some("UNAVAILABLE"), Some("503"))
        );
        assert_eq!((outcome.known, outcome.complete), (Known::Partial, false));
    }
    // Blocked prompts, numbers as reasons.
    let outcome = read(
        ApiKind::GeminiGenerate,
        None,
        br#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
    );
    assert_eq!(
        (outcome.stop_reason.as_deref(), outcome.known, outcome.complete),
        (Some("blocked:SAFETY"), Known::Unknown, true)
    );
    let outcome = read(
        ApiKind::VertexGenerate,
        None,
        br#"{"candidates":[{"finishReason":2}],"usageMetadata":{"promptTokenCount":5}}"#,
    );
    assert_eq!(
        (outcome.stop_reason.as_deref(), outcome.usage.output),
        (Some("2"), Some(0))
    );
}

fn message(kind: &str, payload: &str) -> Vec<u8> {
    eventstream::write(
        &[
            (":event-type", kind),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        payload.as_bytes(),
    )
}

fn chunk(vendor: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let packed = base64::engine::general_purpose::STANDARD.encode(vendor.to_string());
    message("chunk", &json!({"bytes": packed, "p": "abcdef"}).to_string())
}

#[test]
fn bedrock_converse() {
    let usage = r#"{"inputTokens":11,"cacheReadInputTokens":5,"cacheWriteInputTokens":1028,"outputTokens":236,"totalTokens":1280,"cacheDetails":[{"ttl":"1h","inputTokens":1000},{"ttl":"5m","inputTokens":28}]}"#;
    let events = [
        message("messageStart", r#"{"role":"assistant"}"#),
        message(
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t1","name":"f"}}}"#,
        ),
        message(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#,
        ),
        message("messageStop", r#"{"stopReason":"tool_use"}"#),
        message(
            "metadata",
            &format!(r#"{{"usage":{usage},"metrics":{{"latencyMs":1}}}}"#),
        ),
    ];
    let outcome = read(ApiKind::BedrockConverse, None, &events.concat());
    assert_eq!(counts(&outcome), some([1044, 11, 5, 1028, 236, 0]));
    assert_eq!(
        (outcome.usage.cache_write_5m, outcome.usage.cache_write_1h),
        (Some(28), Some(1000))
    );
    assert_eq!(
        (outcome.known, outcome.complete, outcome.tool_calls),
        (Known::Reported, true, 1)
    );
    assert_eq!(outcome.stop_reason.as_deref(), Some("tool_use"));
    // No end: not complete, though nothing is broken.
    let outcome = read(ApiKind::BedrockConverse, None, &events[..4].concat());
    assert_eq!((outcome.known, outcome.complete), (Known::Unknown, false));
    // An exception in the stream.
    let exception = eventstream::write(
        &[
            (":message-type", "exception"),
            (":exception-type", "throttlingException"),
        ],
        br#"{"message":"Too many tokens"}"#,
    );
    let outcome = read(
        ApiKind::BedrockConverse,
        None,
        &[events[0].clone(), exception].concat(),
    );
    let stated = outcome.stream_error.unwrap();
    assert_eq!(
        (stated.kind.as_deref(), stated.message.as_deref()),
        (Some("throttlingException"), Some("Too many tokens"))
    );
    assert!(!outcome.complete);
    let json = format!(
        r#"{{"output":{{"message":{{"content":[{{"toolUse":{{"name":"f"}}}}]}}}},"stopReason":"tool_use","usage":{usage}}}"#
    );
    let outcome = read(ApiKind::BedrockConverse, None, json.as_bytes());
    assert_eq!(
        (counts(&outcome), outcome.tool_calls),
        (some([1044, 11, 5, 1028, 236, 0]), 1)
    );
}

#[test]
fn bedrock_invoke_streams() {
    let metrics = json!({"inputTokenCount": 392, "outputTokenCount": 97});
    // Claude: the body goes first, the metrics are below it.
    let mut events = anthropic(&json!({"output_tokens": 133}));
    events[5]["amazon-bedrock-invocationMetrics"] = metrics.clone();
    let body: Vec<u8> = events.iter().flat_map(chunk).collect();
    let outcome = read(ApiKind::BedrockInvoke, None, &body);
    assert_eq!(counts(&outcome), some([170, 20, 100, 50, 133, 0]));
    assert_eq!(
        (outcome.usage_from, outcome.complete, outcome.tool_calls),
        (Some("body"), true, 1)
    );
    assert_eq!(outcome.notes, ["invocation_metrics_differ_from_body"]);
    // Vendors: (events, input, output, reason)
    let with = |mut event: Value| {
        event["amazon-bedrock-invocationMetrics"] = metrics.clone();
        event
    };
    for (vendor, events, want, reason) in [
        (
            "mistral",
            vec![
                json!({"outputs": [{"text": "a", "stop_reason": null}]}),
                with(json!({"outputs": [{"text": "", "stop_reason": "stop"}]})),
            ],
            (392, 97),
            "stop",
        ),
        (
            "cohere",
            vec![
                json!({"text": "a", "is_finished": false}),
                with(json!({"is_finished": true, "finish_reason": "COMPLETE"})),
            ],
            (392, 97),
            "COMPLETE",
        ),
        (
            "llama",
            vec![
                json!({"generation": "a", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": null}),
                with(
                    json!({"generation": "", "prompt_token_count": null, "generation_token_count": 97, "stop_reason": "length"}),
                ),
            ],
            (392, 97),
            "length",
        ),
        (
            "titan",
            vec![with(
                json!({"outputText": "a", "inputTextTokenCount": 392, "totalOutputTextTokenCount": 97, "completionReason": "FINISH"}),
            )],
            (392, 97),
            "FINISH",
        ),
        (
            "nova",
            vec![
                json!({"messageStart": {"role": "assistant"}}),
                json!({"messageStop": {"stopReason": "end_turn"}}),
                with(json!({"metadata": {"usage": {"inputTokens": 7, "outputTokens": 53}}})),
            ],
            (7, 53),
            "end_turn",
        ),
    ] {
        let body: Vec<u8> = events.iter().flat_map(chunk).collect();
        let outcome = read(ApiKind::BedrockInvoke, None, &body);
        assert_eq!(
            (outcome.usage.input, outcome.usage.output),
            (Some(want.0), Some(want.1)),
            "{vendor}"
        );
        assert_eq!(
            (outcome.stop_reason.as_deref(), outcome.complete),
            (Some(reason), true),
            "{vendor}"
        );
    }
}

#[test]
fn bedrock_invoke_headers_fill_what_the_body_leaves_out() {
    let bedrock = BedrockCounts {
        input: Some(30),
        output: Some(51),
        cache_read: Some(4),
        cache_write: None,
    };
    let check = |body: &str, want: [u64; 6], from: &str| {
        let facts = ResponseFacts {
            bedrock,
            ..facts(None)
        };
        let outcome = meter_body(ApiKind::BedrockInvoke, facts, body.as_bytes());
        assert_eq!(
            (counts(&outcome), outcome.usage_from),
            (some(want), Some(from)),
            "{body}"
        );
    };
    check(
        r#"{"outputs":[{"stop_reason":"stop"}]}"#,
        [34, 30, 4, 0, 51, 0],
        "headers",
    );
    check(
        r#"{"output":{},"usage":{"inputTokens":30}}"#,
        [34, 30, 4, 0, 51, 0],
        "body",
    );
    check(
        r#"{"inputTextTokenCount":18,"results":[{"tokenCount":50},{"tokenCount":2}]}"#,
        [22, 18, 4, 0, 52, 0],
        "body",
    );
    let unknown = meter_body(ApiKind::BedrockInvoke, facts(None), br#"{"results":[]}"#);
    assert_eq!((unknown.known, unknown.usage_from), (Known::Unknown, None));
}

#[test]
fn ollama_streams_and_documents() {
    let body = b"{\"model\":\"llama3\",\"message\":{\"content\":\"a\"},\"done\":false}\n{\"model\":\"llama3\",\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]},\"done\":false}\n{\"model\":\"llama3\",\"done\":true,\"done_reason\":\"stop\",\"eval_count\":63}\n";
    for content_type in [Some("application/x-ndjson"), Some("application/json"), None] {
        let outcome = read(ApiKind::OllamaChat, content_type, body);
        // A cached prompt has no count.
        assert_eq!(
            (counts(&outcome), outcome.complete, outcome.tool_calls),
            (some([0, 0, 0, 0, 63, 0]), true, 1)
        );
        assert_eq!(outcome.stop_reason.as_deref(), Some("stop"));
    }
    let outcome = read(ApiKind::OllamaChat, None, &body[..body.len() - 80]);
    assert_eq!((outcome.known, outcome.complete), (Known::Unknown, false));
    let outcome = read(
        ApiKind::OllamaEmbed,
        None,
        br#"{"model":"m","embeddings":[[0.1,0.2]],"prompt_eval_count":7}"#,
    );
    assert_eq!(
        (outcome.usage.input, outcome.usage.output, outcome.complete),
        (Some(7), Some(0), true)
    );
    let mut meter = meter_named(
        "ollama",
        ResponseFacts {
            status: 404,
            ..facts(None)
        },
    )
    .unwrap();
    meter.feed(b"{\"error\":\"model not found\"}");
    assert_eq!(
        meter.finish(false).error.unwrap().message.as_deref(),
        Some("model not found")
    );
}

#[test]
fn media_counting_and_predictions() {
    let read = |kind, body: &str| read(kind, None, body.as_bytes());
    assert_eq!(
        counts(&read(
            ApiKind::OpenAiEmbeddings,
            r#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#
        )),
        some([5, 5, 0, 0, 0, 0])
    );
    // Voyage states only a total.
    assert_eq!(
        counts(&read(
            ApiKind::OpenAiEmbeddings,
            r#"{"usage":{"total_tokens":5}}"#
        )),
        some([5, 5, 0, 0, 0, 0])
    );
    let outcome = read(
        ApiKind::OpenAiImages,
        r#"{"data":[{"b64_json":"AAAA"},{"url":"x"}],"usage":{"input_tokens":50,"output_tokens":4160,"input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":4100}}}"#,
    );
    assert_eq!(
        (
            outcome.images,
            outcome.usage.input_image,
            outcome.usage.output_image
        ),
        (Some(2), Some(40), Some(4100))
    );
    assert_eq!(outcome.usage.images, Some(2));
    // DALL·E states no tokens: the images are what is billed.
    let outcome = read(ApiKind::OpenAiImages, r#"{"data":[{"url":"x"}]}"#);
    assert_eq!(
        (outcome.usage.images, outcome.usage.input, outcome.known),
        (Some(1), None, Known::Reported)
    );
    let outcome = read(
        ApiKind::OpenAiAudio,
        r#"{"text":"a","usage":{"type":"duration","seconds":4.5}}"#,
    );
    assert_eq!(
        (outcome.usage.audio_ms, outcome.usage.input, outcome.known),
        (Some(4500), None, Known::Reported)
    );
    let outcome = read(
        ApiKind::OpenAiAudio,
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\ndata: {\"type\":\"transcript.text.done\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":37,\"input_token_details\":{\"audio_tokens\":37},\"output_tokens\":12}}\n\n",
    );
    assert_eq!(
        (outcome.usage.input_audio, outcome.usage.output, outcome.complete),
        (Some(37), Some(12), true)
    );
    for (kind, body) in [
        (ApiKind::AnthropicCountTokens, r#"{"input_tokens":671}"#),
        (ApiKind::GeminiCountTokens, r#"{"totalTokens":671}"#),
        (ApiKind::BedrockCountTokens, r#"{"inputTokens":671}"#),
    ] {
        let outcome = read(kind, body);
        assert_eq!(
            (outcome.counted_tokens, outcome.known, outcome.complete),
            (Some(671), Known::Unknown, true)
        );
    }
    let outcome = read(
        ApiKind::VertexPredict,
        r#"{"predictions":[{"embeddings":{"statistics":{"token_count":4}}},{"embeddings":{"statistics":{"token_count":6}}}]}"#,
    );
    assert_eq!(outcome.usage.input, Some(10));
    let outcome = meter_body(
        ApiKind::OpenAiAudio,
        facts(Some("audio/mpeg")),
        b"{\"usage\":{\"input_tokens\":1}}",
    );
    assert_eq!((outcome.known, outcome.complete), (Known::Unknown, true));
}

#[test]
fn transcripts_and_batches_add_up() {
    let done = |input: u64, output: u64| json!({"direction": "received", "data": {"type": "response.done", "response": {"status": "completed", "usage": {"input_tokens": input, "output_tokens": output, "total_tokens": input + output}}}});
    let lines = format!(
        "{}\n{}\n{{\"direction\":\"sent\",\"data\":{{\"type\":\"response.done\"}}}}\n",
        done(5, 2),
        done(7, 3)
    );
    let outcome = meter_recording("openai-realtime", facts(None), lines.as_bytes()).unwrap();
    assert_eq!(
        (counts(&outcome), outcome.usage.total),
        (some([12, 12, 0, 0, 5, 0]), Some(17))
    );
    let result = |n: u64| json!({"custom_id": n.to_string(), "result": {"type": "succeeded", "message": {"model": "claude-x", "usage": {"input_tokens": n, "output_tokens": 1}}}});
    let lines = format!(
        "{}\n{}\n{{\"result\":{{\"type\":\"errored\"}}}}\n",
        result(20),
        result(19)
    );
    let outcome = meter_recording(
        "anthropic-batches",
        facts(Some("application/x-jsonl")),
        lines.as_bytes(),
    )
    .unwrap();
    assert_eq!(
        (outcome.usage.input, outcome.usage.output, outcome.items),
        (Some(39), Some(2), Some(3))
    );
    assert!(meter_recording("no-such-format", facts(None), b"").is_none());
}

#[test]
fn errors_in_the_shapes_of_providers() {
    for (body, kind, code, message) in [
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"c"}}"#,
            Some("invalid_request_error"),
            Some("c"),
            "m",
        ),
        (
            r#"{"type":"error","error":{"type":"not_found_error","message":"m"}}"#,
            Some("not_found_error"),
            None,
            "m",
        ),
        (
            r#"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#,
            Some("NOT_FOUND"),
            Some("404"),
            "m",
        ),
        (
            r#"[{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}]"#,
            Some("NOT_FOUND"),
            Some("404"),
            "m",
        ),
        (
            r#"{"code":"invalid-argument","error":"m"}"#,
            None,
            Some("invalid-argument"),
            "m",
        ),
        (r#"{"detail":"m"}"#, None, None, "m"),
        (r#"{"message":"m"}"#, None, None, "m"),
        (
            r#"{"object":"error","message":"m","type":"t","code":3}"#,
            Some("t"),
            Some("3"),
            "m",
        ),
        (
            r#"{"detail":[{"loc":["body"],"msg":"m"}]}"#,
            None,
            None,
            "loc body msg m",
        ),
    ] {
        for api in [
            ApiKind::OpenAiChat,
            ApiKind::GeminiGenerate,
            ApiKind::AnthropicMessages,
            ApiKind::BedrockInvoke,
        ] {
            // The content type is not to be trusted.
            let facts = ResponseFacts {
                status: 400,
                ..facts(Some("application/octet-stream"))
            };
            let outcome = meter_body(api, facts, body.as_bytes());
            let error = outcome.error.unwrap_or_else(|| panic!("{} {body}", api.name()));
            assert_eq!(
                (
                    error.kind.as_deref(),
                    error.code.as_deref(),
                    error.message.as_deref()
                ),
                (kind, code, Some(message)),
                "{body}"
            );
            assert_eq!((outcome.known, outcome.complete), (Known::Unknown, true));
        }
    }
    let facts = ResponseFacts {
        status: 502,
        ..facts(Some("text/html"))
    };
    let outcome = meter_body(ApiKind::OpenAiChat, facts, b"<html>Bad Gateway</html>");
    assert_eq!(
        (outcome.error, outcome.complete, outcome.known),
        (None, true, Known::Unknown)
    );
}

#[test]
fn large_documents_keep_their_usage() {
    let image = "A".repeat(20 << 20);
    let body = format!(
        r#"{{"created":1,"data":[{{"b64_json":"{image}"}}],"usage":{{"input_tokens":50,"output_tokens":4160}}}}"#
    );
    let mut meter = Meter::new(ApiKind::OpenAiImages, facts(None));
    for piece in body.as_bytes().chunks(65_536) {
        meter.feed(piece);
    }
    let outcome = meter.finish(false);
    assert_eq!(
        (outcome.usage.input, outcome.usage.output, outcome.known),
        (Some(50), Some(4160), Known::Reported)
    );

    let vector = vec!["0.0123456789"; 1536].join(",");
    let list = vec![format!(r#"{{"embedding":[{vector}],"index":0}}"#); 400].join(",");
    let body = format!(r#"{{"model":"m","data":[{list}],"usage":{{"prompt_tokens":77,"total_tokens":77}}}}"#);
    let outcome = meter_body(ApiKind::OpenAiEmbeddings, facts(None), body.as_bytes());
    assert_eq!(
        (outcome.usage.input, outcome.model.as_deref(), outcome.complete),
        (Some(77), Some("m"), true)
    );

    // One event that is too long to be kept: the last of a stream that made an image.
    let long = json!({"type": "response.completed", "response": {"id": "r", "model": "m", "status": "completed",
        "output": [{"type": "image_generation_call", "result": "A".repeat(3 << 20)}], "usage": {"input_tokens": 5, "output_tokens": 6}}});
    let body = named(&[long]);
    for step in [body.len(), 10_000] {
        let mut meter = Meter::new(ApiKind::OpenAiResponses, facts(SSE));
        for piece in body.chunks(step) {
            meter.feed(piece);
        }
        let outcome = meter.finish(false);
        assert_eq!(
            (outcome.usage.input, outcome.complete, outcome.known),
            (Some(5), true, Known::Reported)
        );
    }
}

#[test]
fn a_document_that_breaks_off_keeps_whole_counts_only() {
    let body = br#"{"id":"m","model":"claude-x","usage":{"input_tokens":20,"output_tokens":1234},"content":[{"type":"text","text":"abc"}]}"#;
    for cut in 0..body.len() {
        let mut meter = Meter::new(ApiKind::AnthropicMessages, facts(None));
        meter.feed(&body[..cut]);
        let outcome = meter.finish(true);
        assert!(!outcome.complete);
        assert!(
            matches!(counts(&outcome)[4], None | Some(1234)),
            "{cut}: half a count"
        );
        let want = if outcome.usage.is_known() {
            Known::Partial
        } else {
            Known::Unknown
        };
        assert_eq!(outcome.known, want);
    }
}

#[test]
fn a_bomb_ends_the_metering_and_nothing_else() {
    let zeros = vec![b' '; 64 << 20];
    let packed = zstd::encode_all(zeros.as_slice(), 3).unwrap();
    let facts = ResponseFacts {
        content_encoding: Some("zstd"),
        ..facts(SSE)
    };
    let mut meter = Meter::new(ApiKind::OpenAiChat, facts);
    meter.feed(&packed);
    meter.feed(b"anything");
    assert_eq!(meter.finish(false).known, Known::Unknown);
    let outcome = meter_body(
        ApiKind::OpenAiChat,
        ResponseFacts {
            content_encoding: Some("sdch"),
            ..facts
        },
        b"{}",
    );
    assert_eq!((outcome.known, outcome.complete), (Known::Unknown, true));
}

#[test]
fn fuzz_entry_points_run() {
    let bodies = [
        chat(&[json!({"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 1}})]),
        named(&anthropic(&json!({"output_tokens": 9}))),
        message("metadata", r#"{"usage":{"inputTokens":1}}"#),
        b"[{\"usageMetadata\":{\"promptTokenCount\":1}}]".to_vec(),
        b"{\"done\":true,\"eval_count\":1}\n{".to_vec(),
        vec![b'['; 5000],
        b"{\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":18446744073709551615,\"total_tokens\":1e400}}".to_vec(),
    ];
    for body in bodies {
        for kind in 0..u8::try_from(ApiKind::ALL.len()).unwrap() {
            for (seed, encoding) in [(0, 0), (1, 3), (7, 4), (100, 5), (254, 6), (255, 1)] {
                let mut data = vec![kind, seed, encoding];
                data.extend_from_slice(&body);
                fuzz::fuzz_meter(&data);
            }
        }
    }
    fuzz::fuzz_meter(b"ab");
}

/// The usage of a stream, read the slow and plain way: every event parsed, nothing skipped.
fn naive(kind: ApiKind, events: &[Value]) -> [Option<u64>; 2] {
    let mut result = [None, None];
    let mut claude = [0_u64; 4];
    for event in events {
        match kind {
            ApiKind::OpenAiChat => {
                let usage = if event["usage"].is_object() {
                    &event["usage"]
                } else {
                    &event["x_groq"]["usage"]
                };
                if usage.is_object() {
                    result = [
                        usage["prompt_tokens"].as_u64(),
                        usage["completion_tokens"].as_u64(),
                    ];
                }
            }
            ApiKind::OpenAiResponses => {
                let end = matches!(
                    event["type"].as_str(),
                    Some("response.completed" | "response.incomplete" | "response.failed")
                );
                if end && event["response"]["usage"].is_object() {
                    let usage = &event["response"]["usage"];
                    result = [usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64()];
                }
            }
            ApiKind::AnthropicMessages => {
                let usage = match event["type"].as_str() {
                    Some("message_start") => &event["message"]["usage"],
                    Some("message_delta") => &event["usage"],
                    _ => continue,
                };
                for (slot, key) in claude.iter_mut().zip([
                    "input_tokens",
                    "cache_read_input_tokens",
                    "cache_creation_input_tokens",
                    "output_tokens",
                ]) {
                    if let Some(count) = usage[key].as_u64() {
                        *slot = count;
                        result = [Some(0), Some(0)];
                    }
                }
                if result[0].is_some() {
                    result = [Some(claude[0] + claude[1] + claude[2]), Some(claude[3])];
                }
            }
            _ => {
                let usage = &event["usageMetadata"];
                let count = |key: &str| usage[key].as_u64();
                if usage
                    .as_object()
                    .is_some_and(|usage| usage.keys().any(|key| key.ends_with("TokenCount")))
                {
                    result = [
                        Some(count("promptTokenCount").unwrap_or(0)),
                        Some(
                            count("candidatesTokenCount").unwrap_or(0)
                                + count("thoughtsTokenCount").unwrap_or(0),
                        ),
                    ];
                }
            }
        }
    }
    result
}

fn any_event(kind: ApiKind) -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("word"),
        Just("\"usage\":{\"prompt_tokens\":9}"),
        Just("finish_reason\":\"stop\""),
        Just("usageMetadata"),
        Just("message_delta"),
        Just("\\\"error\":{}"),
        Just("[DONE]"),
        Just("é\n"),
    ];
    (0_u8..8, 0_u64..1000, 0_u64..1000, words).prop_map(move |(shape, a, b, text)| match kind {
        ApiKind::OpenAiChat => match shape {
            0 => json!({"choices": [], "usage": {"prompt_tokens": a, "completion_tokens": b}}),
            1 => json!({"usage": {"prompt_tokens": a, "completion_tokens": b}, "choices": [{"index": 0, "delta": {"content": text}}]}),
            2 => json!({"model": "m", "choices": [{"index": 0, "finish_reason": "stop"}], "usage": null}),
            3 => json!({"choices": [], "x_groq": {"usage": {"prompt_tokens": a, "completion_tokens": b}}}),
            _ => json!({"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}], "usage": null}),
        },
        ApiKind::OpenAiResponses => match shape {
            0 => json!({"type": "response.completed", "response": {"usage": {"input_tokens": a, "output_tokens": b}}}),
            1 => json!({"type": "response.incomplete", "response": {"usage": {"input_tokens": a, "output_tokens": b}}}),
            2 => json!({"type": "response.created", "response": {"model": "m", "usage": null}}),
            _ => json!({"type": "response.output_text.delta", "delta": text}),
        },
        ApiKind::AnthropicMessages => match shape {
            0 => json!({"type": "message_start", "message": {"usage": {"input_tokens": a, "cache_read_input_tokens": b, "output_tokens": 1}}}),
            1 => json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": b}}),
            2 => json!({"type": "message_delta", "usage": {"input_tokens": a, "cache_creation_input_tokens": b, "output_tokens": null}}),
            _ => json!({"type": "content_block_delta", "delta": {"text": text}}),
        },
        _ => match shape {
            0 => json!({"usageMetadata": {"promptTokenCount": a, "candidatesTokenCount": b, "thoughtsTokenCount": 3}}),
            1 => json!({"usageMetadata": {"trafficType": "ON_DEMAND"}, "candidates": [{"content": {"parts": [{"text": text}]}}]}),
            2 => json!({"usageMetadata": {"promptTokenCount": a}, "candidates": [{"finishReason": "STOP"}]}),
            _ => json!({"usageMetadata": {"promptTokenCount": a, "candidatesTokenCount": b}, "candidates": [{"content": {"parts": [{"text": text}]}}], "modelVersion": "m"}),
        },
    })
}

fn streams() -> impl Strategy<Value = (ApiKind, Vec<Value>)> {
    prop_oneof![
        Just(ApiKind::OpenAiChat),
        Just(ApiKind::OpenAiResponses),
        Just(ApiKind::AnthropicMessages),
        Just(ApiKind::GeminiGenerate),
    ]
    .prop_flat_map(|kind| (Just(kind), proptest::collection::vec(any_event(kind), 0..30)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_meter_reads_like_the_naive_one((kind, events) in streams(), names in any::<bool>(), step in 1_usize..200) {
        let mut body = String::new();
        for event in &events {
            match event["type"].as_str() {
                Some(name) if names => body.push_str(&format!("event: {name}\ndata: {event}\n\n")),
                _ => body.push_str(&format!("data: {event}\n\n")),
            }
        }
        let mut gated = Meter::new(kind, facts(SSE));
        let mut plain = Meter::new(kind, facts(SSE)).ungated();
        for piece in body.as_bytes().chunks(step) {
            gated.feed(piece);
            plain.feed(piece);
        }
        let want = naive(kind, &events);
        let so_far = gated.so_far();
        prop_assert_eq!([so_far.input, so_far.output], want);
        let (gated, plain) = (gated.finish(false), plain.finish(false));
        prop_assert_eq!([gated.usage.input, gated.usage.output], want);
        prop_assert_eq!(gated.usage, plain.usage);
        prop_assert_eq!((gated.stop_reason, gated.tool_calls, gated.known, gated.complete),
            (plain.stop_reason, plain.tool_calls, plain.known, plain.complete));
    }
}

#[test]
fn the_tier_is_the_answers() {
    let check = |kind: ApiKind, content_type: Option<&'static str>, body: &str, want: Option<ServiceTier>| {
        let outcome = read(kind, content_type, body.as_bytes());
        assert_eq!(outcome.usage.tier, want, "{body}");
    };
    let (flex, priority) = (Some(ServiceTier::Flex), Some(ServiceTier::Priority));
    let chat = |tier: &str| {
        format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":1}},"service_tier":{tier}}}"#
        )
    };
    check(ApiKind::OpenAiChat, None, &chat("\"flex\""), flex);
    check(ApiKind::OpenAiChat, None, &chat("\"priority\""), priority);
    check(ApiKind::OpenAiChat, None, &chat("\"default\""), None);
    check(ApiKind::OpenAiChat, None, &chat("\"scale\""), None);
    check(ApiKind::OpenAiChat, None, &chat("\"unheard-of\""), None);
    check(ApiKind::OpenAiChat, None, &chat("null"), None);
    check(ApiKind::OpenAiChat, None, &chat("7"), None);
    let message = |tier: &str| {
        format!(
            r#"{{"type":"message","usage":{{"input_tokens":1,"output_tokens":1,"service_tier":"{tier}"}}}}"#
        )
    };
    check(ApiKind::AnthropicMessages, None, &message("standard"), None);
    check(ApiKind::AnthropicMessages, None, &message("priority"), priority);
    check(
        ApiKind::AnthropicMessages,
        None,
        &message("batch"),
        Some(ServiceTier::Batch),
    );
    let gemini = |word: &str| {
        format!(r#"{{"candidates":[],"usageMetadata":{{"promptTokenCount":1,"totalTokenCount":1,{word}}}}}"#)
    };
    check(
        ApiKind::GeminiGenerate,
        None,
        &gemini(r#""serviceTier":"flex""#),
        flex,
    );
    check(
        ApiKind::GeminiGenerate,
        None,
        &gemini(r#""serviceTier":"standard""#),
        None,
    );
    check(
        ApiKind::VertexGenerate,
        None,
        &gemini(r#""trafficType":"ON_DEMAND_PRIORITY""#),
        priority,
    );
    check(
        ApiKind::VertexGenerate,
        None,
        &gemini(r#""trafficType":"ON_DEMAND""#),
        None,
    );
    check(ApiKind::VertexGenerate, None, &gemini(r#""trafficType":1"#), None);
    let converse = r#"{"usage":{"inputTokens":1,"outputTokens":1},"serviceTier":{"type":"priority"}}"#;
    check(ApiKind::BedrockConverse, None, converse, priority);
}

#[test]
fn hosted_tools_are_counted_by_what_is_billed() {
    let call = |kind: &str, more: &str| format!(r#"{{"type":"{kind}","id":"x"{more}}}"#);
    let body = format!(
        r#"{{"object":"response","status":"completed","output":[{},{},{},{},{}],"usage":{{"input_tokens":1,"output_tokens":1}}}}"#,
        call("file_search_call", ""),
        call("file_search_call", ""),
        call("code_interpreter_call", r#","container_id":"cntr_1""#),
        call("code_interpreter_call", r#","container_id":"cntr_1""#),
        call("code_interpreter_call", r#","container_id":"cntr_2""#),
    );
    let usage = read(ApiKind::OpenAiResponses, None, body.as_bytes()).usage;
    assert_eq!(
        (
            usage.hosted_tools,
            usage.file_searches,
            usage.code_sessions,
            usage.web_searches
        ),
        (Some(5), Some(2), Some(2), None)
    );
}
