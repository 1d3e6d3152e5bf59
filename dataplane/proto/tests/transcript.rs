//! Answers put together from hand-written streams: one for each rule.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_proto::transcript::{
    DecodeError, Reassembled, ToolCall, decode, reassemble, tool_calls, tools_offered, user_message,
};
use sluice_shared::api::ApiKind;

fn sse(events: &[Value]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|event| format!("data: {event}\n\n").into_bytes())
        .collect()
}

/// One message of an AWS event stream.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_be_bytes()
    };
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let mut out = u32::try_from(16 + head.len() + payload.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    out.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc(&out));
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc(&out));
    out
}

fn aws(events: &[(&str, Value)]) -> Vec<u8> {
    let one = |(name, payload): &(&str, Value)| {
        message(
            &[(":message-type", "event"), (":event-type", name)],
            payload.to_string().as_bytes(),
        )
    };
    events.iter().flat_map(one).collect()
}

fn invoke(events: &[Value]) -> Vec<u8> {
    let pack = |event: &Value| base64::engine::general_purpose::STANDARD.encode(event.to_string());
    let chunks: Vec<(&str, Value)> = events
        .iter()
        .map(|event| ("chunk", json!({"bytes": pack(event), "p": "abc"})))
        .collect();
    aws(&chunks)
}

#[track_caller]
fn check(kind: ApiKind, body: &[u8], expected: Value) -> Reassembled {
    let whole = reassemble(kind, None, body);
    assert_eq!(
        whole.answer.as_ref(),
        Some(&expected),
        "{}",
        whole.answer.as_ref().unwrap_or(&Value::Null)
    );
    whole
}

/// A chat stream of these choices' chunks.
fn chat(choices: &[Value]) -> Vec<u8> {
    let chunks: Vec<Value> = choices
        .iter()
        .map(|choice| json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}))
        .collect();
    [sse(&chunks), b"data: [DONE]\n\n".to_vec()].concat()
}

/// The message that these deltas make.
#[track_caller]
fn check_message(deltas: &[Value], expected: Value) {
    let choices: Vec<Value> = deltas
        .iter()
        .map(|delta| json!({"index": 0, "delta": delta, "finish_reason": null}))
        .collect();
    let got = reassemble(ApiKind::OpenAiChat, None, &chat(&choices))
        .answer
        .unwrap();
    assert_eq!(got["choices"][0]["message"], expected, "{got}");
}

#[test]
fn chat_messages() {
    check_message(
        &[
            json!({"role": "assistant", "content": ""}),
            json!({"content": "a"}),
            json!({"content": "a"}),
            json!({}),
        ],
        json!({"role": "assistant", "content": "aa"}),
    );
    check_message(
        &[
            json!({"role": "assistant", "content": null, "refusal": ""}),
            json!({"refusal": "no"}),
            json!({"refusal": "no"}),
        ],
        json!({"role": "assistant", "content": null, "refusal": "nono"}),
    );
    check_message(
        &[
            json!({"reasoning_content": "th"}),
            json!({"reasoning_content": "ink", "content": null}),
            json!({"content": "x"}),
        ],
        json!({"reasoning_content": "think", "content": "x", "role": "assistant"}),
    );
    // What nobody knows is kept.
    check_message(
        &[
            json!({"role": "assistant", "channel": "analysis", "extra": {"a": "x", "n": 1}}),
            json!({"content": "c", "channel": "analysis", "extra": {"a": "y", "n": 2}, "list": [1]}),
            json!({"list": [2], "channel": null}),
        ],
        json!({"role": "assistant", "channel": "analysis", "extra": {"a": "xy", "n": 2}, "content": "c", "list": [1, 2]}),
    );
    check_message(
        &[
            json!({"audio": {"id": "a", "data": "YQ=="}}),
            json!({"audio": {"data": "Yg==", "transcript": "h"}}),
            json!({"audio": {"transcript": "i", "expires_at": 9}}),
        ],
        json!({"audio": {"id": "a", "data": "YWI=", "transcript": "hi", "expires_at": 9}, "role": "assistant", "content": null}),
    );
    check_message(
        &[
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]}),
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "u"}]}]}),
            json!({"content": "s"}),
            json!({"content": "s"}),
        ],
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "tu"}]}, {"type": "text", "text": "ss"}], "role": "assistant"}),
    );
    check_message(
        &[
            json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "a", "format": null}]}),
            json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "b", "format": "f"}, {"type": "reasoning.encrypted", "index": 1, "data": "d"}]}),
        ],
        json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "ab", "format": "f"}, {"type": "reasoning.encrypted", "index": 1, "data": "d"}],
            "role": "assistant", "content": null}),
    );
}

#[test]
fn chat_tool_calls() {
    let piece = |fields: Value| json!({"tool_calls": [fields]});
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let message = |calls: Value| json!({"role": "assistant", "content": null, "tool_calls": calls});
    let first = |index: u32, id: &str, name: &str| json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
    let more = |index: u32, text: &str| json!({"index": index, "function": {"arguments": text}});
    // By their numbers, mixed.
    check_message(
        &[
            piece(first(0, "a", "f")),
            piece(first(1, "b", "g")),
            piece(more(0, "{\"x\"")),
            piece(more(1, "{}")),
            piece(more(0, ":1}")),
        ],
        message(json!([call("a", "f", "{\"x\":1}"), call("b", "g", "{}")])),
    );
    // All of them numbered 0, or not at all, each with an id.
    check_message(
        &[
            piece(first(0, "a", "f")),
            piece(more(0, "1")),
            piece(first(0, "b", "f")),
            piece(more(0, "2")),
        ],
        message(json!([call("a", "f", "1"), call("b", "f", "2")])),
    );
    check_message(
        &[piece(call("a", "f", "1")), piece(call("b", "f", "2"))],
        message(json!([call("a", "f", "1"), call("b", "f", "2")])),
    );
    // The same id and name said again and again.
    check_message(
        &[piece(call("a", "f", "{")), piece(call("a", "f", "}"))],
        message(json!([call("a", "f", "{}")])),
    );
    // Neither number nor id: a name begins a call.
    check_message(
        &[
            piece(json!({"function": {"name": "f", "arguments": {"x": 1}}})),
            piece(json!({"function": {"name": "f", "arguments": "2"}})),
            piece(json!({"function": {"arguments": "3"}})),
        ],
        message(
            json!([{"function": {"name": "f", "arguments": "{\"x\":1}"}}, {"function": {"name": "f", "arguments": "23"}}]),
        ),
    );
    check_message(
        &[
            piece(json!({"index": 0, "id": "a", "type": "custom", "custom": {"name": "t", "input": "fr"}})),
            piece(json!({"index": 0, "custom": {"input": "ee"}})),
        ],
        message(json!([{"id": "a", "type": "custom", "custom": {"name": "t", "input": "free"}}])),
    );
    check_message(
        &[
            json!({"function_call": {"name": "f", "arguments": ""}}),
            json!({"function_call": {"arguments": "{}"}}),
        ],
        json!({"function_call": {"name": "f", "arguments": "{}"}, "role": "assistant", "content": null}),
    );
}

#[test]
fn chat_answers() {
    // Azure's first chunk, two choices, logprobs, a filter, and the chunk with the usage.
    let head = json!({"id": "", "object": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]});
    let chunk = |choice: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "obfuscation": "x", "usage": null, "choices": [choice]});
    let log = |token: &str| json!({"content": [{"token": token}], "refusal": null});
    let body = sse(&[
        head,
        chunk(
            json!({"index": 1, "delta": {"role": "assistant", "content": "B"}, "logprobs": log("B"), "finish_reason": null}),
        ),
        chunk(
            json!({"index": 0, "delta": {"role": "assistant", "content": "A"}, "logprobs": log("A"), "finish_reason": null, "content_filter_results": {"hate": {"filtered": false}}}),
        ),
        chunk(
            json!({"index": 0, "delta": {"content": "C"}, "logprobs": log("C"), "finish_reason": null, "content_filter_results": {}}),
        ),
        chunk(json!({"index": 1, "delta": {}, "logprobs": null, "finish_reason": "length"})),
        chunk(json!({"index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop"})),
        json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [], "usage": {"prompt_tokens": 3}}),
    ]);
    let whole = check(
        ApiKind::OpenAiChat,
        &body,
        json!({"id": "c", "object": "chat.completion", "model": "m", "created": 0, "choices": [
            {"index": 0, "logprobs": {"content": [{"token": "A"}, {"token": "C"}], "refusal": null}, "finish_reason": "stop",
             "content_filter_results": {"hate": {"filtered": false}}, "message": {"role": "assistant", "content": "AC"}},
            {"index": 1, "logprobs": {"content": [{"token": "B"}], "refusal": null}, "finish_reason": "length", "message": {"role": "assistant", "content": "B"}}],
            "prompt_filter_results": [{"prompt_index": 0}], "usage": {"prompt_tokens": 3}}),
    );
    assert!(whole.complete);
    assert_eq!(whole.events.unwrap().len(), 7);

    // Groq's usage, and Perplexity's whole messages beside the deltas.
    let body = sse(&[
        json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}, "message": {"role": "assistant", "content": "a"}}], "x_groq": {"id": "r"}}),
        json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "b"}, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage": {"total_tokens": 1}}}),
    ]);
    check(
        ApiKind::OpenAiChat,
        &body,
        json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "ab", "role": "assistant"}}], "x_groq": {"id": "r"}, "usage": {"total_tokens": 1}}),
    );

    // Completions.
    let text = |text: &str, tokens: Value| json!({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": text, "logprobs": {"tokens": tokens, "text_offset": [0]}, "finish_reason": null}]});
    check(
        ApiKind::OpenAiCompletions,
        &sse(&[text("a", json!(["a"])), text("b", json!(["b"]))]),
        json!({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "ab", "logprobs": {"tokens": ["a", "b"], "text_offset": [0, 0]}, "finish_reason": null}]}),
    );
}

#[test]
fn errors_inside_a_stream_are_seen() {
    let start = chat(&[json!({"index": 0, "delta": {"content": "a"}})]);
    let start = &start[..start.len() - b"data: [DONE]\n\n".len()];
    let error = |tail: &[u8]| {
        let whole = reassemble(ApiKind::OpenAiChat, None, &[start, tail].concat());
        assert!(!whole.complete);
        let answer = whole.answer.unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "a");
        answer["error"].clone()
    };
    assert_eq!(
        error(b"data: {\"error\":{\"message\":\"m\",\"code\":400}}\n\n"),
        json!({"message": "m", "code": 400})
    );
    assert_eq!(
        error(b"data: {\"code\":\"c\",\"error\":\"m\"}\n\n"),
        json!({"message": "m", "code": "c"})
    );
    assert_eq!(
        error(b"error: {\"code\":500,\"message\":\"m\"}\n\n"),
        json!({"code": 500, "message": "m"})
    );
    assert_eq!(error(b"error: broken\n\n"), json!({"message": "broken"}));

    let anthropic = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n";
    let whole = check(
        ApiKind::AnthropicMessages,
        anthropic,
        json!({"error": {"type": "overloaded_error", "message": "m"}}),
    );
    assert!(!whole.complete);

    let mut body = aws(&[("messageStart", json!({"role": "assistant"}))]);
    body.extend(message(
        &[
            (":message-type", "exception"),
            (":exception-type", "throttlingException"),
        ],
        br#"{"message":"slow"}"#,
    ));
    let whole = check(
        ApiKind::BedrockConverse,
        &body,
        json!({"output": {"message": {"role": "assistant", "content": []}}, "error": {"message": "slow", "type": "throttlingException"}}),
    );
    assert_eq!(
        whole.events.unwrap()[1],
        json!({"exception": {"message": "slow", "type": "throttlingException"}})
    );

    check(
        ApiKind::GeminiGenerate,
        br#"[{"error":{"code":500,"message":"m"}}]"#,
        json!({"error": {"code": 500, "message": "m"}}),
    );
    check(
        ApiKind::OllamaChat,
        b"{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n{\"error\":\"oom\"}\n",
        json!({"model": "m", "message": {"role": "assistant", "content": "a"}, "done": false, "error": "oom"}),
    );
    check(
        ApiKind::OpenAiResponses,
        &sse(&[json!({"type": "error", "code": "c", "message": "m", "param": null, "sequence_number": 3})]),
        json!({"error": {"code": "c", "message": "m", "param": null}}),
    );
}

fn anthropic() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 1, "service_tier": "standard"}}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "th"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "th"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "", "citations": []}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "x"}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {"cited_text": "q"}}}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"query\":\"q\"}"}}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"url": "u"}]}}),
        json!({"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "{\"a\": [1,"}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": " 2.0]}"}}),
        json!({"type": "content_block_start", "index": 5, "content_block": {"type": "tool_use", "id": "t2", "name": "g", "input": {}}}),
        json!({"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_start", "index": 6, "content_block": {"type": "new", "a": "x"}}),
        json!({"type": "content_block_delta", "index": 6, "delta": {"type": "new_delta", "a": "y", "n": 1}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null, "container": {"id": "ctr"}}, "usage": {"output_tokens": 9, "input_tokens": null}, "context_management": {"applied_edits": []}}),
        json!({"type": "message_stop"}),
    ]
}

fn anthropic_answer() -> Value {
    json!({"id": "msg", "type": "message", "role": "assistant", "model": "m", "content": [
        {"type": "thinking", "thinking": "thth", "signature": "sig"},
        {"type": "text", "text": "x", "citations": [{"cited_text": "q"}]},
        {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"url": "u"}]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, 2.0]}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
        {"type": "new", "a": "xy", "n": 1}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 9, "service_tier": "standard"},
        "container": {"id": "ctr"}, "context_management": {"applied_edits": []}})
}

#[test]
fn anthropic_messages_wherever_they_are_served() {
    let named: Vec<u8> = anthropic()
        .iter()
        .flat_map(|event| {
            format!(
                "event: {}\r\ndata: {event}  \r\n\r\n",
                event["type"].as_str().unwrap()
            )
            .into_bytes()
        })
        .collect();
    for kind in [ApiKind::AnthropicMessages, ApiKind::VertexRawPredict] {
        assert!(check(kind, &named, anthropic_answer()).complete);
    }
    let mut events = anthropic();
    let metrics = json!({"inputTokenCount": 3});
    events.last_mut().unwrap()["amazon-bedrock-invocationMetrics"] = metrics.clone();
    let mut expected = anthropic_answer();
    expected["amazon-bedrock-invocationMetrics"] = metrics;
    check(ApiKind::BedrockInvoke, &invoke(&events), expected);
    let calls = tool_calls(ApiKind::AnthropicMessages, &anthropic_answer());
    let call = |id: &str, name: &str, arguments: &str, hosted| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        hosted,
    };
    assert_eq!(
        calls,
        [
            call("srv", "web_search", r#"{"query":"q"}"#, true),
            call("t1", "f", r#"{"a":[1,2.0]}"#, false),
            call("t2", "g", "{}", false)
        ]
    );
    // Cut in the middle of arguments: they stay text.
    let cut = reassemble(ApiKind::AnthropicMessages, None, &sse(&anthropic()[..16]));
    assert!(!cut.complete);
    let answer = cut.answer.unwrap();
    assert_eq!(answer["content"][4]["input"], "{\"a\": [1,");
    assert_eq!(
        tool_calls(ApiKind::AnthropicMessages, &answer)[1].arguments,
        "{\"a\": [1,"
    );
}

#[test]
fn gemini_answers() {
    let chunk = |parts: Value, more: Value| {
        let mut chunk = json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}], "modelVersion": "g", "responseId": "r"});
        for (key, value) in more.as_object().unwrap() {
            if key == "usageMetadata" {
                chunk[key] = value.clone();
            } else {
                chunk["candidates"][0][key] = value.clone();
            }
        }
        chunk
    };
    let chunks = [
        chunk(
            json!([{"text": "th", "thought": true}]),
            json!({"usageMetadata": {"promptTokenCount": 1}}),
        ),
        chunk(
            json!([{"text": "th", "thought": true}, {"text": "a"}]),
            json!({"groundingMetadata": {"webSearchQueries": ["q"], "groundingChunks": [1]}}),
        ),
        chunk(
            json!([{"text": "a", "thoughtSignature": "s"}]),
            json!({"usageMetadata": {"trafficType": "ON_DEMAND"}}),
        ),
        chunk(
            json!([{"text": "b"}, {"functionCall": {"name": "f", "args": {"x": 1}}}, {"functionCall": {"name": "f", "args": {}}}]),
            json!({}),
        ),
        chunk(
            json!([{"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": ""}]),
            json!({"finishReason": "STOP",
            "groundingMetadata": {"groundingChunks": [], "groundingSupports": [2]}, "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 5}}),
        ),
    ];
    let expected = json!({"candidates": [{"content": {"parts": [{"text": "thth", "thought": true}, {"text": "aa", "thoughtSignature": "s"}, {"text": "b"},
        {"functionCall": {"name": "f", "args": {"x": 1}}}, {"functionCall": {"name": "f", "args": {}}}, {"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": ""}], "role": "model"},
        "index": 0, "groundingMetadata": {"webSearchQueries": ["q"], "groundingChunks": [1], "groundingSupports": [2]}, "finishReason": "STOP"}],
        "modelVersion": "g", "responseId": "r", "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 5}});
    assert!(check(ApiKind::GeminiGenerate, &sse(&chunks), expected.clone()).complete);
    let array = serde_json::to_string_pretty(&json!(chunks)).unwrap();
    let whole = check(ApiKind::VertexGenerate, array.as_bytes(), expected.clone());
    assert_eq!(whole.events.unwrap(), chunks);
    let calls = tool_calls(ApiKind::GeminiGenerate, &expected);
    let names: Vec<_> = calls
        .iter()
        .map(|call| (call.name.as_str(), call.arguments.as_str(), call.hosted))
        .collect();
    assert_eq!(
        names,
        [
            ("f", "{\"x\":1}", false),
            ("f", "{}", false),
            ("code_execution", "{\"language\":\"PYTHON\",\"code\":\"1\"}", true)
        ]
    );

    // Arguments in pieces, each at its place.
    let call = |call: Value| chunk(json!([{"functionCall": call}]), json!({}));
    let piece =
        |place: &str, kind: &str, value: Value| json!({"jsonPath": place, kind: value, "willContinue": true});
    let body = sse(&[
        call(json!({"name": "f", "willContinue": true})),
        call(json!({"partialArgs": [piece("$.a.list[0]", "stringValue", json!("x"))], "willContinue": true})),
        call(
            json!({"partialArgs": [piece("$.a.list[0]", "stringValue", json!("x")), piece("$.a.list[1]", "numberValue", json!(2))], "willContinue": true}),
        ),
        call(
            json!({"partialArgs": [piece("$['b']", "boolValue", json!(true)), piece("$.n", "nullValue", json!("NULL_VALUE"))], "willContinue": true}),
        ),
        call(json!({})),
        call(json!({"name": "g", "willContinue": true})),
        call(json!({})),
    ]);
    let answer = reassemble(ApiKind::VertexGenerate, None, &body).answer.unwrap();
    assert_eq!(
        answer["candidates"][0]["content"]["parts"],
        json!([{"functionCall": {"name": "f", "args": {"a": {"list": ["xx", 2]}, "b": true, "n": null}}}, {"functionCall": {"name": "g", "args": {}}}])
    );
}

#[test]
fn converse_and_nova() {
    let block = |index: u32, delta: Value| {
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}),
        )
    };
    let events = [
        ("messageStart", json!({"role": "assistant", "p": "a"})),
        block(0, json!({"reasoningContent": {"text": "th"}})),
        block(0, json!({"reasoningContent": {"text": "th"}})),
        block(0, json!({"reasoningContent": {"signature": "s"}})),
        block(1, json!({"text": "a"})),
        block(1, json!({"text": "a"})),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}),
        ),
        block(2, json!({"toolUse": {"input": "{\"x\":"}})),
        block(2, json!({"toolUse": {"input": "1}"}})),
        block(3, json!({"text": "cited"})),
        block(3, json!({"citation": {"title": "c"}})),
        block(3, json!({"text": " more"})),
        ("messageStop", json!({"stopReason": "tool_use", "p": "abcd"})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 4}, "p": "x"}),
        ),
    ];
    let expected = json!({"output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "thth", "signature": "s"}}}, {"text": "aa"},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"x": 1}}},
        {"citationsContent": {"content": [{"text": "cited more"}], "citations": [{"title": "c"}]}}]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 4}});
    let whole = check(ApiKind::BedrockConverse, &aws(&events), expected.clone());
    assert!(whole.complete);
    assert_eq!(
        whole.events.unwrap()[0],
        json!({"messageStart": {"role": "assistant", "p": "a"}})
    );
    let nova: Vec<Value> = events.iter().map(|(name, data)| json!({*name: data})).collect();
    check(ApiKind::BedrockInvoke, &invoke(&nova), expected.clone());
    assert_eq!(
        tool_calls(ApiKind::BedrockInvoke, &expected),
        [ToolCall {
            id: "t".into(),
            name: "f".into(),
            arguments: r#"{"x":1}"#.into(),
            hosted: false
        }]
    );
}

#[test]
fn other_vendors_on_bedrock() {
    let metrics = json!({"inputTokenCount": 1});
    let check = |events: &[Value], expected: Value| {
        let mut events = events.to_vec();
        let mut expected = expected;
        events.last_mut().unwrap()["amazon-bedrock-invocationMetrics"] = metrics.clone();
        expected["amazon-bedrock-invocationMetrics"] = metrics.clone();
        check(ApiKind::BedrockInvoke, &invoke(&events), expected);
    };
    check(
        &[
            json!({"outputText": "a", "index": 0, "totalOutputTextTokenCount": null, "completionReason": null, "inputTextTokenCount": 4}),
            json!({"outputText": "a", "index": 0, "totalOutputTextTokenCount": 2, "completionReason": "FINISH", "inputTextTokenCount": null}),
        ],
        json!({"results": [{"outputText": "aa", "tokenCount": 2, "completionReason": "FINISH"}], "inputTextTokenCount": 4}),
    );
    check(
        &[
            json!({"generation": "a", "prompt_token_count": 3, "generation_token_count": 1, "stop_reason": null}),
            json!({"generation": "b", "prompt_token_count": null, "generation_token_count": 2, "stop_reason": "stop"}),
        ],
        json!({"generation": "ab", "prompt_token_count": 3, "generation_token_count": 2, "stop_reason": "stop"}),
    );
    check(
        &[
            json!({"outputs": [{"text": "a", "stop_reason": null}]}),
            json!({"outputs": [{"text": "b", "stop_reason": "stop"}]}),
        ],
        json!({"outputs": [{"text": "ab", "stop_reason": "stop"}]}),
    );
    check(
        &[
            json!({"is_finished": false, "text": "a", "index": 0}),
            json!({"is_finished": false, "text": "x", "index": 1}),
            json!({"is_finished": true, "finish_reason": "COMPLETE", "text": "b", "index": 0}),
        ],
        json!({"generations": [{"text": "ab", "finish_reason": "COMPLETE"}, {"text": "x"}]}),
    );
    check(
        &[
            json!({"event_type": "text-generation", "text": "a", "is_finished": false}),
            json!({"event_type": "stream-end", "is_finished": true, "response": {"text": "a", "finish_reason": "COMPLETE"}}),
        ],
        json!({"text": "a", "finish_reason": "COMPLETE"}),
    );
    check(
        &[
            json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]}),
            json!({"id": "c", "choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}]}),
        ],
        json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ab"}}]}),
    );
}

#[test]
fn ollama_lines() {
    let lines = |lines: &[Value]| -> Vec<u8> {
        lines
            .iter()
            .flat_map(|line| format!("{line}\n").into_bytes())
            .collect()
    };
    let call = json!({"function": {"name": "f", "arguments": {"x": 1}}});
    let said = |message: Value, done: bool| json!({"model": "m", "created_at": "t", "message": message, "done": done});
    let mut last = said(json!({"role": "assistant", "content": ""}), true);
    last["eval_count"] = json!(4);
    let whole = check(
        ApiKind::OllamaChat,
        &lines(&[
            said(
                json!({"role": "assistant", "content": "", "thinking": "th"}),
                false,
            ),
            said(
                json!({"role": "assistant", "content": "a", "tool_calls": [call]}),
                false,
            ),
            said(
                json!({"role": "assistant", "content": "a", "tool_calls": [call]}),
                false,
            ),
            last,
        ]),
        json!({"model": "m", "created_at": "t", "message": {"role": "assistant", "content": "aa", "thinking": "th", "tool_calls": [call, call]}, "done": true, "eval_count": 4}),
    );
    assert!(whole.complete);
    assert_eq!(tool_calls(ApiKind::OllamaChat, &whole.answer.unwrap()).len(), 2);
    let whole = check(
        ApiKind::OllamaChat,
        &lines(&[
            json!({"model": "m", "response": "a", "done": false}),
            json!({"model": "m", "response": "a", "done": true, "context": [1, 2]}),
        ]),
        json!({"model": "m", "response": "aa", "done": true, "context": [1, 2]}),
    );
    assert_eq!(whole.events.unwrap().len(), 2);
    // Without a stream.
    let whole = check(
        ApiKind::OllamaChat,
        b"{\"model\":\"m\",\"response\":\"a\",\"done\":true}",
        json!({"model": "m", "response": "a", "done": true}),
    );
    assert_eq!((whole.events, whole.complete), (None, true));
}

#[test]
fn pictures_and_sound() {
    check(
        ApiKind::OpenAiImages,
        &sse(&[
            json!({"type": "image_generation.partial_image", "b64_json": "AA", "partial_image_index": 0, "created_at": 1, "size": "s"}),
            json!({"type": "image_generation.completed", "b64_json": "BB", "created_at": 2, "size": "s", "usage": {"total_tokens": 1}}),
        ]),
        json!({"created": 2, "size": "s", "data": [{"b64_json": "BB"}], "usage": {"total_tokens": 1}}),
    );
    check(
        ApiKind::OpenAiImages,
        &sse(&[json!({"type": "image_edit.partial_image", "b64_json": "AA", "partial_image_index": 0})]),
        json!({"data": [{"b64_json": "AA"}]}),
    );
    check(
        ApiKind::OpenAiAudio,
        &sse(&[
            json!({"type": "transcript.text.delta", "delta": "a"}),
            json!({"type": "transcript.text.delta", "delta": "b"}),
            json!({"type": "transcript.text.done", "text": "ab", "usage": {"type": "duration", "seconds": 1}}),
        ]),
        json!({"text": "ab", "usage": {"type": "duration", "seconds": 1}}),
    );
    check(
        ApiKind::OpenAiAudio,
        &sse(&[
            json!({"type": "speech.audio.delta", "audio": "YQ=="}),
            json!({"type": "speech.audio.delta", "audio": "Yg=="}),
            json!({"type": "speech.audio.done", "usage": {"total_tokens": 1}}),
        ]),
        json!({"audio": "YWI=", "usage": {"total_tokens": 1}}),
    );
    let speech = reassemble(ApiKind::OpenAiAudio, Some("audio/mpeg"), b"\xff\xfb\x90\x00");
    assert_eq!(
        speech,
        Reassembled {
            answer: None,
            events: None,
            complete: true
        }
    );
    let nothing = reassemble(ApiKind::OpenAiChat, None, b" \r\n");
    assert_eq!(
        nothing,
        Reassembled {
            answer: None,
            events: None,
            complete: false
        }
    );
}

#[test]
fn responses_from_their_events() {
    let response = |status: &str, output: Value| json!({"id": "resp", "object": "response", "status": status, "output": output});
    let at = |kind: &str, more: Value| {
        let mut event = json!({"type": format!("response.{kind}"), "output_index": 0});
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    };
    let created = json!({"type": "response.created", "response": response("in_progress", json!([]))});
    let check_item = |events: &[Value], expected: Value| {
        let mut all = vec![created.clone()];
        all.extend_from_slice(events);
        check(
            ApiKind::OpenAiResponses,
            &sse(&all),
            response("in_progress", json!([expected])),
        );
    };
    check_item(
        &[
            at(
                "output_item.added",
                json!({"item": {"type": "message", "id": "m", "role": "assistant", "content": []}}),
            ),
            at(
                "content_part.added",
                json!({"content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
            ),
            at(
                "output_text.delta",
                json!({"content_index": 0, "delta": "a", "logprobs": []}),
            ),
            at(
                "output_text.delta",
                json!({"content_index": 0, "delta": "a", "logprobs": [{"token": "a"}]}),
            ),
            at(
                "output_text.annotation.added",
                json!({"content_index": 0, "annotation_index": 0, "annotation": {"type": "url_citation"}}),
            ),
            at("refusal.delta", json!({"content_index": 1, "delta": "no"})),
        ],
        json!({"type": "message", "id": "m", "role": "assistant", "content": [
            {"type": "output_text", "text": "aa", "annotations": [{"type": "url_citation"}], "logprobs": [{"token": "a"}]}, {"refusal": "no", "type": "refusal"}]}),
    );
    check_item(
        &[
            at(
                "output_item.added",
                json!({"item": {"type": "reasoning", "id": "r", "summary": []}}),
            ),
            at(
                "reasoning_summary_part.added",
                json!({"summary_index": 0, "part": {"type": "summary_text", "text": ""}}),
            ),
            at(
                "reasoning_summary_text.delta",
                json!({"summary_index": 0, "delta": "s"}),
            ),
            at(
                "reasoning_summary_text.delta",
                json!({"summary_index": 1, "delta": "t"}),
            ),
            at("reasoning_text.delta", json!({"content_index": 0, "delta": "u"})),
        ],
        json!({"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}, {"type": "summary_text", "text": "t"}], "content": [{"type": "reasoning_text", "text": "u"}]}),
    );
    // Never announced.
    check_item(
        &[
            at(
                "function_call_arguments.delta",
                json!({"item_id": "f", "delta": "{"}),
            ),
            at(
                "function_call_arguments.delta",
                json!({"item_id": "f", "delta": "}"}),
            ),
            at(
                "function_call_arguments.done",
                json!({"item_id": "f", "arguments": ""}),
            ),
        ],
        json!({"type": "function_call", "id": "f", "arguments": "{}"}),
    );
    check_item(
        &[
            at(
                "output_item.added",
                json!({"item": {"type": "web_search_call", "id": "w", "status": "in_progress"}}),
            ),
            at("web_search_call.searching", json!({"item_id": "w"})),
        ],
        json!({"type": "web_search_call", "id": "w", "status": "searching"}),
    );
    check_item(
        &[
            at(
                "output_item.added",
                json!({"item": {"type": "message", "id": "m"}}),
            ),
            at(
                "output_item.done",
                json!({"item": {"type": "message", "id": "m", "status": "completed"}}),
            ),
        ],
        json!({"type": "message", "id": "m", "status": "completed"}),
    );
    // The last event has everything, or everything but the output.
    let item = json!({"type": "message", "id": "m"});
    let done = at("output_item.done", json!({"item": item}));
    let end = |kind: &str, response: Value| json!({"type": format!("response.{kind}"), "response": response});
    let other = json!([{"type": "message", "id": "x"}]);
    let whole = check(
        ApiKind::OpenAiResponses,
        &sse(&[
            created.clone(),
            done.clone(),
            end("completed", response("completed", other.clone())),
        ]),
        response("completed", other),
    );
    assert!(whole.complete);
    check(
        ApiKind::OpenAiResponses,
        &sse(&[
            created,
            done,
            end("incomplete", response("incomplete", json!([]))),
        ]),
        response("incomplete", json!([item])),
    );

    let output = json!({"output": [
        {"type": "function_call", "call_id": "c", "id": "fc", "name": "f", "arguments": "{ }"}, {"type": "custom_tool_call", "call_id": "d", "name": "t", "input": "free"},
        {"type": "local_shell_call", "call_id": "e", "action": {"command": ["ls"]}}, {"type": "mcp_call", "id": "m", "name": "x", "arguments": "{}"},
        {"type": "web_search_call", "id": "w", "action": {"query": "q"}}, {"type": "code_interpreter_call", "id": "i", "code": "1"}, {"type": "message"}]});
    let calls: Vec<_> = tool_calls(ApiKind::OpenAiResponses, &output)
        .into_iter()
        .map(|call| (call.id, call.name, call.arguments, call.hosted))
        .collect();
    let call = |id: &str, name: &str, arguments: &str, hosted| {
        (id.to_owned(), name.to_owned(), arguments.to_owned(), hosted)
    };
    assert_eq!(
        calls,
        [
            call("c", "f", "{ }", false),
            call("d", "t", "free", false),
            call("e", "local_shell", r#"{"command":["ls"]}"#, false),
            call("m", "x", "{}", true),
            call("w", "web_search", r#"{"query":"q"}"#, true),
            call("i", "code_interpreter", "\"1\"", true)
        ]
    );
}

#[test]
fn documents_that_were_cut_are_closed() {
    let check = |cut: &str, expected: Value| {
        let whole = reassemble(ApiKind::OpenAiChat, None, cut.as_bytes());
        assert_eq!((whole.answer, whole.complete), (Some(expected), false), "{cut}");
    };
    check(r#"{"id":"c","a":["x","y"#, json!({"id": "c", "a": ["x", "y"]}));
    check(r#"{"id":"c","a":{"b":1,"c"#, json!({"id": "c", "a": {"b": 1}}));
    check(r#"{"id":"c","a":"#, json!({"id": "c"}));
    check(r#"{"id":"c","a":[1,tr"#, json!({"id": "c", "a": [1]}));
    check(r#"{"id":"c\"#, json!({"id": "c"}));
    check(r#"{"id":"c\\"#, json!({"id": "c\\"}));
    check(r#"{"id":"c\u00"#, json!({"id": "c"}));
    check(r#"{"id":"c\ud83d\ude"#, json!({"id": "c"}));
    check(r#"{"id":"c\ud83d\ude00"#, json!({"id": "c😀"}));
    check(r#"{"id":"c","a":{},"#, json!({"id": "c", "a": {}}));
    let whole = reassemble(ApiKind::OpenAiChat, None, b"{\"id\":\"\xc3");
    assert_eq!(whole.answer, Some(json!({"id": ""})));
    assert_eq!(reassemble(ApiKind::OpenAiChat, None, b"{]").answer, None);
}

#[test]
fn encodings_one_over_the_other() {
    let plain = b"data: {}\n\n".repeat(50);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let brotli = |bytes: &[u8]| {
        let mut out = Vec::new();
        brotli::CompressorWriter::new(&mut out, 4096, 5, 20)
            .write_all(bytes)
            .unwrap();
        out
    };
    let check =
        |header: Option<&str>, body: &[u8], bytes_max: usize, expected: Result<&[u8], DecodeError>| {
            let got = decode(header, body, bytes_max);
            assert_eq!(
                got.as_deref(),
                expected.as_ref().map(|bytes| &**bytes),
                "{header:?}"
            );
        };
    let max = 10_000;
    check(None, &plain, max, Ok(&plain));
    check(Some("identity"), &plain, max, Ok(&plain));
    check(Some("gzip"), &gzip(&plain), max, Ok(&plain));
    check(
        Some("zstd"),
        &zstd::encode_all(plain.as_slice(), 1).unwrap(),
        max,
        Ok(&plain),
    );
    check(Some("gzip, br"), &brotli(&gzip(&plain)), max, Ok(&plain));
    check(
        Some(" GZIP ,identity,, br"),
        &brotli(&gzip(&plain)),
        max,
        Ok(&plain),
    );
    check(
        Some("br, gzip"),
        &brotli(&gzip(&plain)),
        max,
        Err(DecodeError::Damaged),
    );
    check(Some("snappy"), &plain, max, Err(DecodeError::Unknown));
    check(
        Some("gzip,gzip,gzip,gzip,gzip"),
        &plain,
        max,
        Err(DecodeError::TooMany),
    );
    check(
        Some("gzip"),
        b"text, and no gzip at all",
        max,
        Err(DecodeError::Damaged),
    );
    check(
        Some("gzip"),
        &gzip(&plain),
        plain.len() - 1,
        Err(DecodeError::TooLarge),
    );
    check(None, &plain, plain.len() - 1, Err(DecodeError::TooLarge));
    check(Some("gzip"), b"", max, Ok(b""));
    let bomb = gzip(&vec![0; 64 << 20]);
    check(Some("gzip"), &bomb, usize::MAX, Err(DecodeError::Damaged));
    check(Some("gzip"), &bomb, 1 << 20, Err(DecodeError::TooLarge));
    // A body that was cut gives its beginning.
    let encoded = gzip(&(0..2000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let half = decode(Some("gzip"), &encoded[..encoded.len() / 2], max).unwrap();
    assert!(!half.is_empty() && half.len() < 8000 && half.starts_with(&[0, 0, 0, 0, 1]));
}

#[test]
fn the_last_words_of_the_user() {
    let check = |kind: ApiKind, request: Value, expected: Option<&str>| {
        assert_eq!(user_message(kind, &request).as_deref(), expected, "{request}");
    };
    let chat = |messages: Value| json!({"messages": messages});
    check(
        ApiKind::OpenAiChat,
        chat(
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "tool", "content": "d"}]),
        ),
        Some("c"),
    );
    check(
        ApiKind::OpenAiChat,
        chat(
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]}]),
        ),
        Some("a\nb"),
    );
    check(
        ApiKind::OpenAiChat,
        chat(json!([{"role": "system", "content": "s"}])),
        None,
    );
    check(
        ApiKind::AnthropicMessages,
        chat(
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": []}, {"role": "user", "content": [{"type": "tool_result", "content": "r"}]}]),
        ),
        Some("a"),
    );
    check(ApiKind::OpenAiResponses, json!({"input": "a"}), Some("a"));
    check(
        ApiKind::OpenAiResponses,
        json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"type": "function_call_output", "output": "o"}]}),
        Some("a"),
    );
    check(
        ApiKind::GeminiGenerate,
        json!({"contents": [{"parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]}),
        Some("a"),
    );
    check(
        ApiKind::GeminiGenerate,
        json!({"contents": {"parts": {"text": "a"}}}),
        Some("a"),
    );
    check(
        ApiKind::BedrockConverse,
        chat(json!([{"role": "user", "content": [{"text": "a"}]}])),
        Some("a"),
    );
    check(
        ApiKind::OpenAiCompletions,
        json!({"prompt": ["a", "b"]}),
        Some("b"),
    );
    check(ApiKind::BedrockInvoke, json!({"inputText": "a"}), Some("a"));
    check(ApiKind::OpenAiImages, json!({"prompt": "a cat"}), Some("a cat"));
    check(ApiKind::OpenAiChat, json!(null), None);
}

#[test]
fn tools_that_are_offered() {
    let check = |kind: ApiKind, request: Value, expected: &[&str]| {
        assert_eq!(tools_offered(kind, &request), expected, "{request}");
    };
    check(
        ApiKind::OpenAiChat,
        json!({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}], "functions": [{"name": "h"}, {"name": "f"}]}),
        &["f", "g", "h"],
    );
    check(
        ApiKind::OpenAiResponses,
        json!({"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}, {"type": "mcp", "server_label": "s"}, {"type": "namespace", "name": "n", "tools": [{"name": "a"}]}]}),
        &["f", "web_search", "mcp:s", "n.a"],
    );
    check(
        ApiKind::AnthropicMessages,
        json!({"tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}], "mcp_servers": [{"name": "s"}]}),
        &["f", "bash", "mcp:s"],
    );
    check(
        ApiKind::GeminiGenerate,
        json!({"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, {"googleSearch": {}}]}),
        &["f", "g", "googleSearch"],
    );
    check(
        ApiKind::BedrockConverse,
        json!({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}, {"cachePoint": {"type": "default"}}]}}),
        &["f"],
    );
    check(
        ApiKind::OllamaChat,
        json!({"tools": [1, null, {"type": "function", "function": {"name": "f"}}]}),
        &["f"],
    );
    check(ApiKind::OpenAiChat, json!({"tools": "none"}), &[]);
}

/// A text of events whose fields have every wrong type, for every kind.
fn wild() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("type"),
        Just("index"),
        Just("choices"),
        Just("delta"),
        Just("message"),
        Just("content"),
        Just("tool_calls"),
        Just("function"),
        Just("id"),
        Just("name"),
        Just("arguments"),
        Just("usage"),
        Just("error"),
        Just("candidates"),
        Just("parts"),
        Just("functionCall"),
        Just("partialArgs"),
        Just("jsonPath"),
        Just("stringValue"),
        Just("willContinue"),
        Just("text"),
        Just("response"),
        Just("output"),
        Just("item"),
        Just("output_index"),
        Just("content_index"),
        Just("content_block"),
        Just("partial_json"),
        Just("x_groq"),
        Just("reasoning_details"),
        Just("audio"),
        Just("data"),
        Just("outputs"),
        Just("outputText"),
        Just("is_finished"),
        Just("contentBlockDelta"),
        Just("contentBlockIndex"),
        Just("toolUse"),
        Just("role"),
        Just("tools"),
        Just("messages"),
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "[a-z.=$\\[\\]0-9]{0,8}".prop_map(Value::from),
        Just(json!("content_block_delta")),
        Just(json!("message_start")),
        Just(json!("input_json_delta")),
        Just(json!("response.output_text.delta")),
        Just(json!("response.created")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(events in proptest::collection::vec(wild(), 0..6), cut in 0..2000_usize, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let lines: Vec<u8> = events.iter().flat_map(|event| format!("{event}\n").into_bytes()).collect();
        let named: Vec<(&str, Value)> = events.iter().map(|event| ("contentBlockDelta", event.clone())).collect();
        for kind in ApiKind::ALL {
            for mut body in [sse(&events), lines.clone(), json!(events).to_string().into_bytes(), aws(&named), invoke(&events), bytes.clone()] {
                body.truncate(cut.max(16));
                let whole = reassemble(*kind, None, &body);
                let answer = whole.answer.unwrap_or_default();
                let _ = tool_calls(*kind, &answer);
            }
            for event in &events {
                let _ = (tool_calls(*kind, event), user_message(*kind, event), tools_offered(*kind, event));
            }
        }
    }
}

#[test]
fn what_is_too_much_is_left_out_and_said() {
    // More values than are read from one body: the events before them count.
    let many = format!("{{\"choices\":[{}0]}}", "0,".repeat(4_000_000));
    let body = [
        chat(&[json!({"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"})]),
        format!("data: {many}\n\n").into_bytes(),
    ]
    .concat();
    let whole = reassemble(ApiKind::OpenAiChat, None, &body);
    assert!(!whole.complete);
    assert_eq!(whole.answer.unwrap()["choices"][0]["message"]["content"], "a");

    // Arguments of more values than are read from them stay text.
    let arguments = format!("[{}0]", "0,".repeat(1_000_000));
    let mut events = anthropic();
    events[15]["delta"]["partial_json"] = json!(arguments);
    events[16]["delta"]["partial_json"] = json!("");
    let whole = reassemble(ApiKind::AnthropicMessages, None, &sse(&events));
    assert!(whole.complete);
    let calls = tool_calls(ApiKind::AnthropicMessages, &whole.answer.unwrap());
    assert_eq!(
        (calls[1].arguments.len(), calls[2].arguments.as_str()),
        (arguments.len(), "{}")
    );

    // Events over a mebibyte: SSE is read, a message of an event stream is passed over and the answer is not whole.
    let long = "x".repeat(2 << 20);
    let got = reassemble(
        ApiKind::OpenAiChat,
        None,
        &chat(&[json!({"index": 0, "delta": {"content": long}})]),
    )
    .answer
    .unwrap();
    assert_eq!(
        got["choices"][0]["message"]["content"].as_str().map(str::len),
        Some(2 << 20)
    );
    let body = aws(&[
        (
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": {"text": long}}),
        ),
        ("metadata", json!({"usage": {"inputTokens": 1}})),
    ]);
    let whole = reassemble(ApiKind::BedrockConverse, None, &body);
    assert!(!whole.complete);
    assert_eq!(whole.answer.unwrap()["usage"]["inputTokens"], 1);
}
