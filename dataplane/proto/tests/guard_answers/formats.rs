//! Every format in which text flows: written with the text in given pieces, and read again as a client would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sluice_proto::eventstream::{self, EventStream};
use sluice_proto::ndjson::{Documents, Lines, Piece};
use sluice_proto::sse::{self, Scanner};
use sluice_shared::api::ApiKind;

/// How events are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    Sse,
    /// With CRLF, comments, ids, names behind the data, and the data on two lines.
    OddSse,
    NamedSse,
    Messages,
    Packed,
    Lines,
    Array,
    Document,
    Text,
}

/// A place in which text flows.
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) kind: ApiKind,
    pub(crate) frame: Frame,
    /// The text is in arguments: JSON in a string.
    pub(crate) args: bool,
    /// The event that says a piece; `(piece, is_first)`.
    pub(crate) event: fn(&str) -> Value,
    /// Where an event says it.
    pub(crate) path: &'static str,
    /// Events before and after.
    pub(crate) before: fn() -> Vec<Value>,
    pub(crate) after: fn() -> Vec<Value>,
}

fn none() -> Vec<Value> {
    Vec::new()
}

macro_rules! chat {
    ($delta:tt) => {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-5",
            "choices": [{"delta": $delta, "index": 0, "finish_reason": null}]})
    };
}

pub(crate) const FORMATS: &[Format] = &[
    Format {
        name: "chat",
        kind: ApiKind::OpenAiChat,
        frame: Frame::Sse,
        args: false,
        event: |t| chat!({"content": t}),
        path: "/choices/0/delta/content",
        before: || vec![chat!({"role": "assistant", "content": ""})],
        after: || vec![json!({"choices": [{"delta": {}, "index": 0, "finish_reason": "stop"}]})],
    },
    Format {
        name: "chat, odd fields",
        kind: ApiKind::OpenAiChat,
        frame: Frame::OddSse,
        args: false,
        event: |t| chat!({"content": t}),
        path: "/choices/0/delta/content",
        before: none,
        after: none,
    },
    Format {
        name: "chat reasoning",
        kind: ApiKind::OpenAiChat,
        frame: Frame::Sse,
        args: false,
        event: |t| chat!({"reasoning_content": t}),
        path: "/choices/0/delta/reasoning_content",
        before: none,
        after: none,
    },
    Format {
        name: "chat, a delta that nobody knows",
        kind: ApiKind::OpenAiChat,
        frame: Frame::Sse,
        args: false,
        event: |t| chat!({"musings": t}),
        path: "/choices/0/delta/musings",
        before: none,
        after: none,
    },
    Format {
        name: "chat arguments",
        kind: ApiKind::OpenAiChat,
        frame: Frame::Sse,
        args: true,
        event: |t| chat!({"tool_calls": [{"index": 0, "function": {"arguments": t}}]}),
        path: "/choices/0/delta/tool_calls/0/function/arguments",
        before: || {
            vec![
                chat!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "note", "arguments": ""}}]}),
            ]
        },
        after: none,
    },
    Format {
        name: "completions",
        kind: ApiKind::OpenAiCompletions,
        frame: Frame::Sse,
        args: false,
        event: |t| json!({"object": "text_completion", "choices": [{"text": t, "index": 0, "logprobs": null}]}),
        path: "/choices/0/text",
        before: none,
        after: none,
    },
    Format {
        name: "responses",
        kind: ApiKind::OpenAiResponses,
        frame: Frame::NamedSse,
        args: false,
        event: |t| json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": t}),
        path: "/delta",
        before: || vec![json!({"type": "response.created", "response": {"id": "resp_1", "output": []}})],
        after: none,
    },
    Format {
        name: "responses arguments",
        kind: ApiKind::OpenAiResponses,
        frame: Frame::NamedSse,
        args: true,
        event: |t| json!({"type": "response.function_call_arguments.delta", "output_index": 1, "delta": t}),
        path: "/delta",
        before: none,
        after: none,
    },
    Format {
        name: "responses reasoning",
        kind: ApiKind::OpenAiResponses,
        frame: Frame::NamedSse,
        args: false,
        event: |t| json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": t}),
        path: "/delta",
        before: none,
        after: none,
    },
    Format {
        name: "anthropic",
        kind: ApiKind::AnthropicMessages,
        frame: Frame::NamedSse,
        args: false,
        event: |t| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}}),
        path: "/delta/text",
        before: || {
            vec![
                json!({"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"input_tokens": 3}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ]
        },
        after: || {
            vec![
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
                json!({"type": "message_stop"}),
            ]
        },
    },
    Format {
        name: "anthropic thinking",
        kind: ApiKind::VertexRawPredict,
        frame: Frame::NamedSse,
        args: false,
        event: |t| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": t}}),
        path: "/delta/thinking",
        before: none,
        after: none,
    },
    Format {
        name: "anthropic arguments",
        kind: ApiKind::AnthropicMessages,
        frame: Frame::NamedSse,
        args: true,
        event: |t| json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": t}}),
        path: "/delta/partial_json",
        before: || {
            vec![
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "note", "input": {}}}),
            ]
        },
        after: || vec![json!({"type": "content_block_stop", "index": 1})],
    },
    Format {
        name: "gemini",
        kind: ApiKind::GeminiGenerate,
        frame: Frame::OddSse,
        args: false,
        event: |t| json!({"candidates": [{"content": {"parts": [{"text": t}], "role": "model"}}], "usageMetadata": {"promptTokenCount": 4}}),
        path: "/candidates/0/content/parts/0/text",
        before: none,
        after: none,
    },
    Format {
        name: "gemini array",
        kind: ApiKind::VertexGenerate,
        frame: Frame::Array,
        args: false,
        event: |t| json!({"candidates": [{"content": {"parts": [{"text": t}], "role": "model"}}]}),
        path: "/candidates/0/content/parts/0/text",
        before: none,
        after: || {
            vec![json!({"candidates": [{"content": {"parts": [], "role": "model"}, "finishReason": "STOP"}]})]
        },
    },
    Format {
        name: "converse",
        kind: ApiKind::BedrockConverse,
        frame: Frame::Messages,
        args: false,
        event: |t| json!({"contentBlockIndex": 0, "delta": {"text": t}, "p": "abcdefgh"}),
        path: "/delta/text",
        before: none,
        after: none,
    },
    Format {
        name: "converse arguments",
        kind: ApiKind::BedrockConverse,
        frame: Frame::Messages,
        args: true,
        event: |t| json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": t}}}),
        path: "/delta/toolUse/input",
        before: none,
        after: none,
    },
    Format {
        name: "invoke anthropic",
        kind: ApiKind::BedrockInvoke,
        frame: Frame::Packed,
        args: false,
        event: |t| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}}),
        path: "/delta/text",
        before: none,
        after: none,
    },
    Format {
        name: "invoke llama",
        kind: ApiKind::BedrockInvoke,
        frame: Frame::Packed,
        args: false,
        event: |t| json!({"generation": t, "prompt_token_count": null, "stop_reason": null}),
        path: "/generation",
        before: none,
        after: none,
    },
    Format {
        name: "invoke titan",
        kind: ApiKind::BedrockInvoke,
        frame: Frame::Packed,
        args: false,
        event: |t| json!({"outputText": t, "index": 0}),
        path: "/outputText",
        before: none,
        after: none,
    },
    Format {
        name: "invoke mistral",
        kind: ApiKind::BedrockInvoke,
        frame: Frame::Packed,
        args: false,
        event: |t| json!({"outputs": [{"text": t, "stop_reason": null}]}),
        path: "/outputs/0/text",
        before: none,
        after: none,
    },
    Format {
        name: "ollama",
        kind: ApiKind::OllamaChat,
        frame: Frame::Lines,
        args: false,
        event: |t| json!({"model": "llama3", "created_at": "2026-01-01T00:00:00.123456789Z", "message": {"role": "assistant", "content": t}, "done": false}),
        path: "/message/content",
        before: none,
        after: || {
            vec![json!({"model": "llama3", "message": {"role": "assistant", "content": ""}, "done": true})]
        },
    },
    Format {
        name: "ollama thinking",
        kind: ApiKind::OllamaChat,
        frame: Frame::Lines,
        args: false,
        event: |t| json!({"message": {"role": "assistant", "content": "", "thinking": t}, "done": false}),
        path: "/message/thinking",
        before: none,
        after: none,
    },
    Format {
        name: "ollama generate",
        kind: ApiKind::OllamaChat,
        frame: Frame::Lines,
        args: false,
        event: |t| json!({"response": t, "done": false}),
        path: "/response",
        before: none,
        after: none,
    },
    Format {
        name: "plain text",
        kind: ApiKind::OpenAiAudio,
        frame: Frame::Text,
        args: false,
        event: |t| json!(t),
        path: "",
        before: none,
        after: none,
    },
    Format {
        name: "blocks of a document",
        kind: ApiKind::AnthropicMessages,
        frame: Frame::Document,
        args: false,
        event: |t| json!({"type": "text", "text": t}),
        path: "/text",
        before: none,
        after: none,
    },
    Format {
        name: "transcript",
        kind: ApiKind::OpenAiAudio,
        frame: Frame::Sse,
        args: false,
        event: |t| json!({"type": "transcript.text.delta", "delta": t}),
        path: "/delta",
        before: none,
        after: none,
    },
];

impl Format {
    pub(crate) const fn content_type(&self) -> &'static str {
        match self.frame {
            Frame::Sse | Frame::OddSse | Frame::NamedSse => "text/event-stream",
            Frame::Messages | Frame::Packed => "application/vnd.amazon.eventstream",
            Frame::Lines => "application/x-ndjson",
            Frame::Array | Frame::Document => "application/json",
            Frame::Text => "text/plain; charset=utf-8",
        }
    }

    pub(crate) fn streams(&self) -> bool {
        self.frame != Frame::Document
    }

    /// A body that says the pieces one after another. In arguments they are pieces of JSON text.
    pub(crate) fn body(&self, pieces: &[&str]) -> Vec<u8> {
        let mut events = (self.before)();
        events.extend(pieces.iter().map(|piece| (self.event)(piece)));
        events.extend((self.after)());
        self.frame_events(&events)
    }

    pub(crate) fn frame_events(&self, events: &[Value]) -> Vec<u8> {
        let mut body = Vec::new();
        for (at, event) in events.iter().enumerate() {
            let text = event.to_string();
            match self.frame {
                Frame::Sse => body.extend(format!("data: {text}\n\n").bytes()),
                Frame::NamedSse => {
                    let name = event["type"].as_str().unwrap();
                    body.extend(format!("event: {name}\ndata: {text}\n\n").bytes());
                }
                Frame::OddSse => {
                    // A line may end wherever JSON allows white space.
                    let (first, rest) = text.split_at(1);
                    body.extend(
                        format!(": ping\r\nid: {at}\r\ndata:{first}\r\nevent: message\r\ndata: {rest}\r\nretry: 5\r\n\r\n")
                            .bytes(),
                    );
                }
                Frame::Messages => {
                    let headers = [(":event-type", "contentBlockDelta"), (":message-type", "event")];
                    body.extend(eventstream::write(&headers, text.as_bytes()));
                }
                Frame::Packed => {
                    let payload = json!({"bytes": STANDARD.encode(&text), "p": "abcdef"}).to_string();
                    let headers = [(":event-type", "chunk"), (":message-type", "event")];
                    body.extend(eventstream::write(&headers, payload.as_bytes()));
                }
                Frame::Lines => body.extend(format!("{text}\n").bytes()),
                Frame::Array => {
                    body.extend(if at == 0 { "[" } else { "\n,\r\n" }.bytes());
                    body.extend(text.bytes());
                }
                Frame::Document => {}
                Frame::Text => body.extend(event.as_str().unwrap().bytes()),
            }
        }
        match self.frame {
            Frame::Sse if self.kind != ApiKind::OpenAiAudio => body.extend(b"data: [DONE]\n\n"),
            Frame::Array => body.extend(b"\n]\n"),
            Frame::Document => body = json!({"id": "msg_1", "content": events}).to_string().into_bytes(),
            _ => {}
        }
        body
    }

    /// The documents of a body, read strictly.
    pub(crate) fn events(&self, body: &[u8]) -> Vec<Value> {
        let mut events = Vec::new();
        let mut read = |bytes: &[u8]| {
            let event: Value = serde_json::from_slice(bytes).unwrap_or_else(|error| {
                panic!("{}: {error}: {}", self.name, bytes.escape_ascii());
            });
            events.push(event);
        };
        let whole = |piece: Piece<'_>| match piece {
            Piece::Whole(bytes) => bytes.to_vec(),
            _ => panic!("a long event"),
        };
        match self.frame {
            Frame::Sse | Frame::OddSse | Frame::NamedSse => {
                let mut scanner = Scanner::default();
                scanner.feed(body, |piece| {
                    let raw = whole(piece);
                    let mut joined = Vec::new();
                    let data = sse::fields(&raw, &mut joined).data.unwrap();
                    if data != b"[DONE]" {
                        read(data);
                    }
                });
                let mut left = 0;
                scanner.finish(|_| left += 1);
                assert_eq!(left, 0, "an event is not ended");
            }
            Frame::Messages | Frame::Packed => {
                let mut stream = EventStream::default();
                stream.feed(body, |found| match found {
                    eventstream::Found::Message(message) if self.frame == Frame::Packed => {
                        let outer: Value = serde_json::from_slice(message.payload).unwrap();
                        read(&STANDARD.decode(outer["bytes"].as_str().unwrap()).unwrap());
                    }
                    eventstream::Found::Message(message) => read(message.payload),
                    other => panic!("{other:?}"),
                });
                assert!(stream.at_boundary());
            }
            Frame::Lines => Lines::default().feed(body, |piece| read(&whole(piece))),
            Frame::Array => {
                let all: Value = serde_json::from_slice(body).unwrap();
                let mut documents = Documents::of_array();
                documents.feed(body, |piece| read(&whole(piece)));
                assert_eq!(all.as_array().unwrap().len(), events.len());
            }
            Frame::Document => {
                let all: Value = serde_json::from_slice(body).unwrap();
                events = all["content"].as_array().unwrap().clone();
            }
            Frame::Text => events.push(Value::String(String::from_utf8(body.to_vec()).unwrap())),
        }
        events
    }

    /// What a client has read in the end. Of arguments, the value of `note`.
    pub(crate) fn said(&self, body: &[u8]) -> String {
        let said: String = self
            .events(body)
            .iter()
            .filter_map(|event| event.pointer(self.path)?.as_str().map(str::to_owned))
            .collect();
        if !self.args {
            return said;
        }
        let args: Value =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{}: {error}: {said}", self.name));
        args["note"].as_str().unwrap().to_owned()
    }

    /// What the pieces of a text are cut from: the text, or arguments that hold it.
    pub(crate) fn written(&self, text: &str) -> String {
        if self.args {
            json!({"n": 1, "note": text}).to_string()
        } else {
            text.to_owned()
        }
    }
}
