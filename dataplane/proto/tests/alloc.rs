//! An event of a stream that holds no usage costs no allocation, whole or cut in two.

#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sluice_proto::eventstream;
use sluice_proto::meter::{Meter, ResponseFacts};
use sluice_shared::api::ApiKind;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is thread-local and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    run();
    COUNT.with(Cell::get) - before
}

const CHAT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
const ANTHROPIC: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" usage and message_start\"}      }\n\n";
const RESPONSES: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[],\"obfuscation\":\"x0\"}\n\n";
const GEMINI: &str = "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \" word\"}],\"role\": \"model\"}}],\"usageMetadata\": {\"promptTokenCount\": 4,\"candidatesTokenCount\": 9,\"totalTokenCount\": 13},\"modelVersion\": \"gemini-2.5-flash\"}\r\n\r\n";
const OLLAMA: &str = "{\"model\":\"llama3\",\"created_at\":\"2025-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\" word\"},\"done\":false}\n";

fn check(kind: ApiKind, content_type: &str, event: &[u8]) {
    let facts = ResponseFacts {
        content_type: Some(content_type),
        ..ResponseFacts::default()
    };
    let mut meter = Meter::new(kind, facts);
    // Warm: the model's name is found, the buffers have their size.
    for _ in 0..8 {
        meter.feed(event);
        let (head, tail) = event.split_at(event.len() - 3);
        meter.feed(head);
        meter.feed(tail);
    }
    let whole = allocations(|| {
        for _ in 0..1000 {
            meter.feed(event);
        }
    });
    let cut = allocations(|| {
        for at in (1..event.len()).cycle().take(1000) {
            let (head, tail) = event.split_at(at);
            meter.feed(head);
            meter.feed(tail);
        }
    });
    assert_eq!(meter.events(), 2016, "{}", kind.name());
    assert_eq!(
        (whole, cut),
        (0, 0),
        "{}: allocations for 1,000 events whole and cut",
        kind.name()
    );
}

#[test]
fn ordinary_events_allocate_nothing() {
    check(ApiKind::OpenAiChat, "text/event-stream", CHAT.as_bytes());
    check(
        ApiKind::AnthropicMessages,
        "text/event-stream",
        ANTHROPIC.as_bytes(),
    );
    check(
        ApiKind::OpenAiResponses,
        "text/event-stream",
        RESPONSES.as_bytes(),
    );
    check(ApiKind::GeminiGenerate, "text/event-stream", GEMINI.as_bytes());
    check(ApiKind::OllamaChat, "application/x-ndjson", OLLAMA.as_bytes());
    let headers = [(":message-type", "event"), (":event-type", "contentBlockDelta")];
    let message = eventstream::write(
        &headers,
        br#"{"contentBlockIndex":0,"delta":{"text":" word"},"p":"abc"}"#,
    );
    check(
        ApiKind::BedrockConverse,
        "application/vnd.amazon.eventstream",
        &message,
    );
    let headers = [(":message-type", "event"), (":event-type", "chunk")];
    let packed = "eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIsImRlbHRhIjp7InRleHQiOiIgd29yZCJ9fQ==";
    let message = eventstream::write(
        &headers,
        format!("{{\"bytes\":\"{packed}\",\"p\":\"abc\"}}").as_bytes(),
    );
    check(
        ApiKind::BedrockInvoke,
        "application/vnd.amazon.eventstream",
        &message,
    );
}
