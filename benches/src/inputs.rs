//! Inputs that look like what clients and providers send.

use std::fmt::Write;

/// The head of a request as an official client library sends it.
#[must_use]
pub fn request_head() -> Vec<u8> {
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate\r\n\
      Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
      User-Agent: OpenAI/Python 3.54.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 3.54.0\r\n\
      X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n\
      X-Stainless-Runtime-Version: 3.11.7\r\nAuthorization: Bearer invented\r\nX-Stainless-Async: false\r\n\
      x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: 1024\r\n\r\n"
        .to_vec()
}

/// A chat request body of about so many bytes, its text full of escapes like code is.
#[must_use]
pub fn chat_request(bytes: usize) -> Vec<u8> {
    let mut body = String::from("{\"messages\":[");
    let mut n = 0;
    while body.len() < bytes {
        let comma = if n == 0 { "" } else { "," };
        write!(
            body,
            "{comma}{{\"role\":\"user\",\"content\":\"fn step_{n}() {{\\n\\tprintln!(\\\"{{}}\\\", {n});\\n}}\\n\
             // the quick brown fox jumps over the lazy dog, and then once more, for good measure\"}}"
        )
        .ok();
        n += 1;
    }
    body.push_str("],\"model\":\"gpt-5.5\",\"stream\":true,\"max_tokens\":1024}");
    body.into_bytes()
}

/// A chat stream of so many content events, a usage event and the end marker.
#[must_use]
pub fn chat_stream(events: usize) -> Vec<u8> {
    let mut body = String::new();
    let lead = "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1795300000,\
                \"model\":\"gpt-5.5-2026-10-01\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\",";
    for n in 0..events {
        write!(
            body,
            "{lead}\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" word{n}\"}},\"logprobs\":null,\
             \"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"aB3dE6gH9\"}}\n\n"
        )
        .ok();
    }
    write!(
        body,
        "{lead}\"choices\":[{{\"index\":0,\"delta\":{{}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\
         \"usage\":null}}\n\n{lead}\"choices\":[],\"usage\":{{\"prompt_tokens\":1200,\"completion_tokens\":{events},\
         \"total_tokens\":{},\"prompt_tokens_details\":{{\"cached_tokens\":1024}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":0}}}}}}\n\ndata: [DONE]\n\n",
        1200 + events
    )
    .ok();
    body.into_bytes()
}

/// A Messages stream of so many content events.
#[must_use]
pub fn messages_stream(events: usize) -> Vec<u8> {
    let mut body = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01\",\"type\":\"message\",\
         \"role\":\"assistant\",\"model\":\"claude-opus-4-8\",\"content\":[],\"stop_reason\":null,\"usage\":{\
         \"input_tokens\":10,\"cache_creation_input_tokens\":200,\"cache_read_input_tokens\":3000,\
         \"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
         \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    );
    for n in 0..events {
        write!(
            body,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\
             \"type\":\"text_delta\",\"text\":\" word{n}\"}}}}\n\n"
        )
        .ok();
    }
    write!(
        body,
        "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\nevent: message_delta\n\
         data: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\
         \"usage\":{{\"output_tokens\":{events}}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    )
    .ok();
    body.into_bytes()
}

/// A body in chunks of so many bytes, with its end.
#[must_use]
pub fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(chunk) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
