//! Bedrock: Converse and InvokeModel, JSON and the binary event stream with its two checksums a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::answer::Draft;
use super::anthropic;
use super::ask::Ask;
use super::reply::{Reply, argument_pieces};
use super::route::Kind;

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Answers every Bedrock operation.
pub(super) fn answer(ask: &Ask, reply: &Reply) -> Draft {
    let draft = match ask.kind {
        Kind::BedrockCount => return Draft::json(&json!({"inputTokens": reply.input})),
        Kind::BedrockConverse => Draft::json(&converse(reply)),
        Kind::BedrockConverseStream => Draft::events(EVENT_STREAM, converse_events(reply), exception()),
        Kind::BedrockInvokeStream => Draft::events(EVENT_STREAM, invoke_events(ask, reply), exception())
            .field("x-amzn-bedrock-content-type", "application/json"),
        _ => Draft::json(&invoke(ask, reply))
            .field("x-amzn-bedrock-input-token-count", reply.input.to_string())
            .field("x-amzn-bedrock-output-token-count", reply.output.to_string())
            .field("x-amzn-bedrock-invocation-latency", "1"),
    };
    draft
        .field("x-amzn-requestid", uuid(&reply.id))
        .counted(reply.input, reply.output)
}

/// The id in the shape of a UUID.
fn uuid(id: &str) -> String {
    let padded = format!("{id:0<32}");
    let part = |a: usize, b: usize| padded.get(a..b).unwrap_or("0").to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// One message: total length, header length, CRC-32 of both, headers, payload, CRC-32 of all before it.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    for (name, value) in headers {
        fields.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        fields.extend_from_slice(name.as_bytes());
        fields.push(7);
        fields.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        fields.extend_from_slice(value.as_bytes());
    }
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(16 + fields.len() + payload.len());
    out.extend_from_slice(&number(16 + fields.len() + payload.len()));
    out.extend_from_slice(&number(fields.len()));
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&fields);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

/// CRC-32 as in gzip, which the event stream uses.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    message(&headers, payload.to_string().as_bytes())
}

fn exception() -> Vec<u8> {
    let headers = [
        (":exception-type", "modelStreamErrorException"),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    message(
        &headers,
        br#"{"message":"the mock was told to fail here","originalStatusCode":424}"#,
    )
}

/// Padding of random length that the service adds against traffic analysis; here it follows from the place.
fn padding(at: usize) -> String {
    "abcdefghijklmnopqrstuvwxyz".chars().take(at % 26 + 1).collect()
}

fn converse_usage(reply: &Reply) -> Value {
    json!({
        "inputTokens": reply.uncached(),
        "outputTokens": reply.output,
        "totalTokens": reply.total(),
        "cacheReadInputTokens": reply.cached,
        "cacheWriteInputTokens": 0,
        "serverToolUsage": {},
    })
}

fn stop(reply: &Reply) -> &'static str {
    if reply.tool.is_some() {
        "tool_use"
    } else {
        "end_turn"
    }
}

fn converse(reply: &Reply) -> Value {
    let content = match &reply.tool {
        Some(call) => json!([{"toolUse": {
            "toolUseId": format!("tooluse_{}", reply.suffix()), "name": call.name, "input": call.input,
        }}]),
        None => json!([{"text": reply.text()}]),
    };
    json!({
        "metrics": {"latencyMs": 1},
        "output": {"message": {"content": content, "role": "assistant"}},
        "stopReason": stop(reply),
        "usage": converse_usage(reply),
    })
}

/// Names and payloads of a Converse stream.
fn converse_parts(reply: &Reply) -> Vec<(&'static str, Value)> {
    let mut parts = vec![("messageStart", json!({"p": padding(3), "role": "assistant"}))];
    let deltas: Vec<Value> = match &reply.tool {
        Some(call) => {
            let start =
                json!({"toolUse": {"name": call.name, "toolUseId": format!("tooluse_{}", reply.suffix())}});
            parts.push((
                "contentBlockStart",
                json!({"contentBlockIndex": 0, "p": padding(5), "start": start}),
            ));
            argument_pieces(call)
                .iter()
                .map(|piece| json!({"toolUse": {"input": piece}}))
                .collect()
        }
        None => reply.pieces.iter().map(|piece| json!({"text": piece})).collect(),
    };
    for (at, delta) in deltas.into_iter().enumerate() {
        parts.push((
            "contentBlockDelta",
            json!({"contentBlockIndex": 0, "delta": delta, "p": padding(at)}),
        ));
    }
    parts.push((
        "contentBlockStop",
        json!({"contentBlockIndex": 0, "p": padding(7)}),
    ));
    parts.push(("messageStop", json!({"p": padding(9), "stopReason": stop(reply)})));
    let metadata = json!({"metrics": {"latencyMs": 1}, "p": padding(11), "usage": converse_usage(reply)});
    parts.push(("metadata", metadata));
    parts
}

fn converse_events(reply: &Reply) -> Vec<Vec<u8>> {
    converse_parts(reply)
        .iter()
        .map(|(kind, payload)| event(kind, payload))
        .collect()
}

/// Whose body an InvokeModel call has, by the model's name; Claude's if nothing else is said.
enum Vendor {
    Anthropic,
    Nova,
    Titan,
    Llama,
}

fn vendor(model: &str) -> Vendor {
    if model.contains("nova") {
        Vendor::Nova
    } else if model.contains("titan") {
        Vendor::Titan
    } else if model.contains("llama") {
        Vendor::Llama
    } else {
        Vendor::Anthropic
    }
}

fn invoke(ask: &Ask, reply: &Reply) -> Value {
    match vendor(&ask.model) {
        Vendor::Anthropic => anthropic::whole(reply),
        Vendor::Nova => {
            let mut body = converse(reply);
            if let Some(fields) = body.as_object_mut() {
                fields.remove("metrics");
            }
            body
        }
        Vendor::Titan if ask.model.contains("embed") => json!({
            "embedding": super::openai_other::vector(0, 8), "inputTextTokenCount": reply.input,
        }),
        Vendor::Titan => json!({
            "inputTextTokenCount": reply.input,
            "results": [{"tokenCount": reply.output, "outputText": reply.text(), "completionReason": "FINISH"}],
        }),
        Vendor::Llama => json!({
            "generation": reply.text(),
            "prompt_token_count": reply.input,
            "generation_token_count": reply.output,
            "stop_reason": "stop",
        }),
    }
}

fn invoke_events(ask: &Ask, reply: &Reply) -> Vec<Vec<u8>> {
    let mut bodies: Vec<Value> = match vendor(&ask.model) {
        Vendor::Anthropic => anthropic::events(reply),
        Vendor::Nova => converse_parts(reply)
            .into_iter()
            .map(|(kind, payload)| json!({kind: payload}))
            .collect(),
        Vendor::Titan => {
            let last = reply.pieces.len().saturating_sub(1);
            reply
                .pieces
                .iter()
                .enumerate()
                .map(|(at, piece)| {
                    let end = at == last;
                    json!({
                        "outputText": piece,
                        "index": at,
                        "totalOutputTextTokenCount": if end { json!(reply.output) } else { Value::Null },
                        "completionReason": if end { json!("FINISH") } else { Value::Null },
                        "inputTextTokenCount": if at == 0 { json!(reply.input) } else { Value::Null },
                    })
                })
                .collect()
        }
        Vendor::Llama => {
            let mut bodies: Vec<Value> = reply
                .pieces
                .iter()
                .enumerate()
                .map(|(at, piece)| {
                    json!({
                        "generation": piece,
                        "prompt_token_count": if at == 0 { json!(reply.input) } else { Value::Null },
                        "generation_token_count": at + 1,
                        "stop_reason": null,
                    })
                })
                .collect();
            bodies.push(json!({
                "generation": "", "prompt_token_count": null, "generation_token_count": reply.output,
                "stop_reason": "stop",
            }));
            bodies
        }
    };
    if let Some(last) = bodies.last_mut() {
        last["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": reply.uncached(),
            "outputTokenCount": reply.output,
            "invocationLatency": 1,
            "firstByteLatency": 1,
            "cacheReadInputTokenCount": reply.cached,
            "cacheWriteInputTokenCount": 0,
        });
    }
    bodies
        .iter()
        .enumerate()
        .map(|(at, body)| {
            event(
                "chunk",
                &json!({"bytes": BASE64.encode(body.to_string()), "p": padding(at)}),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_lengths_and_checksums_where_they_belong() {
        let bytes = event("messageStop", &json!({"stopReason": "end_turn"}));
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, bytes.len());
        assert_eq!(number(8), crc32(&bytes[..8]));
        assert_eq!(number(bytes.len() - 4), crc32(&bytes[..bytes.len() - 4]));
        let headers = &bytes[12..12 + number(4) as usize];
        assert!(headers.starts_with(b"\x0b:event-type\x07\x00\x0bmessageStop"));
        assert_eq!(
            &bytes[12 + headers.len()..bytes.len() - 4],
            br#"{"stopReason":"end_turn"}"#
        );
    }

    #[test]
    fn the_checksum_is_the_one_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
