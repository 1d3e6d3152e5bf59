//! A large JSON document reduced while it passes: its shape and short members stay, bulk goes.
//!
//! Strings over [`STRING_BYTES_MAX`] are dropped with their member, scalars in arrays after the first [`SCALARS_MAX`] are dropped, members
//! named in [`BULK`] too (embeddings, log probabilities, images). Once the result is [`SKELETON_BYTES_MAX`] long,
//! only members named in [`WANTED`], at most two levels deep, are still added. The result is a valid document
//! also where the input breaks off: an unfinished member is taken back, and so is an unfinished usage object,
//! since half a count would be a wrong one.

const STRING_BYTES_MAX: usize = 4096;
const SCALARS_MAX: u32 = 32;
const SKELETON_BYTES_MAX: usize = 512 * 1024;
const SKELETON_BYTES_HARD_MAX: usize = 640 * 1024;
const DEPTH_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 128;

const BULK: &[&[u8]] = &[
    b"embedding",
    b"embeddings_float",
    b"logprobs",
    b"top_logprobs",
    b"b64_json",
    b"words",
    b"segments",
    b"encrypted_content",
];

const WANTED: &[&[u8]] = &[
    b"usage",
    b"usageMetadata",
    b"model",
    b"modelVersion",
    b"id",
    b"type",
    b"status",
    b"error",
    b"service_tier",
    b"stop_reason",
    b"stopReason",
    b"incomplete_details",
    b"response",
    b"message",
    b"metrics",
    b"done",
    b"done_reason",
    b"prompt_eval_count",
    b"eval_count",
    b"prompt_token_count",
    b"generation_token_count",
    b"inputTextTokenCount",
    b"amazon-bedrock-invocationMetrics",
    b"responseId",
    b"promptFeedback",
    b"cost",
    b"delta",
];

/// Of a member named like this, everything inside is kept.
const KEPT_WHOLE: &[&[u8]] = &[
    b"usage",
    b"usageMetadata",
    b"metrics",
    b"amazon-bedrock-invocationMetrics",
    b"error",
    b"incomplete_details",
    b"promptFeedback",
];

const USAGE: &[&[u8]] = &[
    b"usage",
    b"usageMetadata",
    b"metrics",
    b"amazon-bedrock-invocationMetrics",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    String {
        key: bool,
        emit: bool,
        escape: bool,
        len: usize,
    },
    Scalar {
        emit: bool,
    },
}

struct Frame {
    object: bool,
    /// Elements written to the result.
    written: u32,
    /// Elements seen.
    seen: u32,
    /// Length of the result before the member that holds this container.
    rollback: usize,
    usage: bool,
    /// Everything inside is kept.
    whole: bool,
}

/// See the module.
pub(crate) struct Skeleton {
    out: Vec<u8>,
    stack: Vec<Frame>,
    token: Token,
    key: Vec<u8>,
    expect_key: bool,
    /// Depth inside a container that is not written; 0 means writing.
    skipped: u64,
    /// Length of the result before the member being written.
    member: usize,
    done: bool,
}

impl Skeleton {
    pub(crate) fn new() -> Self {
        Self {
            out: Vec::with_capacity(4096),
            stack: Vec::new(),
            token: Token::None,
            key: Vec::new(),
            expect_key: false,
            skipped: 0,
            member: 0,
            done: false,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.token {
                Token::String {
                    key,
                    emit,
                    escape: true,
                    len,
                } => {
                    self.put_in_string(&[byte], key, emit);
                    self.token = Token::String {
                        key,
                        emit,
                        escape: false,
                        len: len.saturating_add(1),
                    };
                    at += 1;
                }
                Token::String {
                    key,
                    emit,
                    escape: false,
                    len,
                } => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let run = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    let len = len.saturating_add(run);
                    let emit = if emit && len > STRING_BYTES_MAX {
                        self.drop_member()
                    } else {
                        emit
                    };
                    self.put_in_string(rest.get(..run).unwrap_or_default(), key, emit);
                    at += run;
                    match rest.get(run) {
                        Some(b'"') => {
                            if key {
                                self.expect_key = false;
                            } else if emit {
                                self.out.push(b'"');
                            }
                            self.token = Token::None;
                            at += 1;
                        }
                        Some(_) => {
                            self.put_in_string(b"\\", key, emit);
                            self.token = Token::String {
                                key,
                                emit,
                                escape: true,
                                len: len.saturating_add(1),
                            };
                            at += 1;
                        }
                        None => {
                            self.token = Token::String {
                                key,
                                emit,
                                escape: false,
                                len,
                            }
                        }
                    }
                }
                Token::Scalar { emit } => match byte {
                    b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' => {
                        self.token = Token::None;
                    }
                    _ => {
                        if emit {
                            self.out.push(byte);
                        }
                        at += 1;
                    }
                },
                Token::None => {
                    self.structural(byte);
                    at += 1;
                }
            }
        }
    }

    fn put_in_string(&mut self, bytes: &[u8], key: bool, emit: bool) {
        if key {
            let free = KEY_BYTES_MAX.saturating_sub(self.key.len());
            if bytes.len() <= free {
                self.key.extend_from_slice(bytes);
            } else {
                // Too long to be a name anybody knows; what stands for it is valid in any case.
                self.key.clear();
                self.key.extend_from_slice(b"...");
            }
        } else if emit {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Takes back the member being written; its value is too long.
    fn drop_member(&mut self) -> bool {
        self.out.truncate(self.member);
        if let Some(frame) = self.stack.last_mut() {
            frame.written = frame.written.saturating_sub(1);
        }
        false
    }

    fn structural(&mut self, byte: u8) {
        if self.skipped > 0 {
            match byte {
                b'{' | b'[' => self.skipped = self.skipped.saturating_add(1),
                b'}' | b']' => self.skipped -= 1,
                b'"' => {
                    self.token = Token::String {
                        key: false,
                        emit: false,
                        escape: false,
                        len: 0,
                    }
                }
                _ => {}
            }
            return;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b':' => {}
            b',' => self.expect_key = self.stack.last().is_some_and(|frame| frame.object),
            b'}' | b']' => {
                if let Some(frame) = self.stack.pop() {
                    self.out.push(if frame.object { b'}' } else { b']' });
                    self.member = self.out.len();
                }
                self.expect_key = false;
                self.done |= self.stack.is_empty();
            }
            b'"' if self.expect_key => {
                self.key.clear();
                self.token = Token::String {
                    key: true,
                    emit: false,
                    escape: false,
                    len: 0,
                };
            }
            b'"' => {
                let emit = self.begin_value(true);
                if emit {
                    self.out.push(b'"');
                }
                self.token = Token::String {
                    key: false,
                    emit,
                    escape: false,
                    len: 0,
                };
            }
            b'{' | b'[' => {
                let rollback = self.out.len();
                if self.stack.len() < DEPTH_MAX && self.begin_value(false) {
                    self.out.push(byte);
                    let key = self.key.as_slice();
                    let usage = USAGE.contains(&key);
                    let whole =
                        KEPT_WHOLE.contains(&key) || self.stack.last().is_some_and(|frame| frame.whole);
                    self.stack.push(Frame {
                        object: byte == b'{',
                        written: 0,
                        seen: 0,
                        rollback,
                        usage,
                        whole,
                    });
                    self.expect_key = byte == b'{';
                    self.key.clear();
                    self.member = self.out.len();
                } else {
                    self.skipped = 1;
                }
            }
            _ => {
                let emit = self.begin_value(true);
                if emit {
                    self.out.push(byte);
                }
                self.token = Token::Scalar { emit };
            }
        }
    }

    /// Decides whether the value that begins now is written, and writes what stands before it.
    fn begin_value(&mut self, scalar: bool) -> bool {
        if self.done {
            return false;
        }
        let depth = self.stack.len();
        let len = self.out.len();
        let Some(frame) = self.stack.last_mut() else {
            self.member = len;
            return true;
        };
        frame.seen = frame.seen.saturating_add(1);
        let key = self.key.as_slice();
        let wanted = if frame.object {
            !BULK.contains(&key)
                && (frame.whole || len < SKELETON_BYTES_MAX || (depth <= 2 && WANTED.contains(&key)))
        } else {
            (frame.whole || len < SKELETON_BYTES_MAX) && !(scalar && frame.seen > SCALARS_MAX)
        };
        if !wanted || len >= SKELETON_BYTES_HARD_MAX {
            return false;
        }
        self.member = len;
        if frame.written > 0 {
            self.out.push(b',');
        }
        frame.written = frame.written.saturating_add(1);
        if frame.object {
            self.out.push(b'"');
            self.out.extend_from_slice(&self.key);
            self.out.extend_from_slice(b"\":");
        }
        true
    }

    /// The reduced document, and whether the input had come to its end.
    pub(crate) fn finish(mut self) -> (Vec<u8>, bool) {
        let whole = self.done;
        match self.token {
            Token::String {
                key: false,
                emit: true,
                ..
            }
            | Token::Scalar { emit: true }
                if !whole =>
            {
                self.out.truncate(self.member);
            }
            _ => {}
        }
        if let Some(first) = self.stack.iter().position(|frame| frame.usage) {
            if let Some(frame) = self.stack.get(first) {
                self.out.truncate(frame.rollback);
            }
            self.stack.truncate(first);
        }
        while let Some(frame) = self.stack.pop() {
            self.out.push(if frame.object { b'}' } else { b']' });
        }
        (self.out, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(json: &[u8], step: usize) -> (String, bool) {
        let mut skeleton = Skeleton::new();
        for piece in json.chunks(step) {
            skeleton.feed(piece);
        }
        let (out, whole) = skeleton.finish();
        (String::from_utf8(out).unwrap(), whole)
    }

    #[test]
    fn a_small_document_stays_and_a_cut_one_is_closed() {
        let json = br#"{"a":[1,{"b":"x\"y\\"},"z"],"usage":{"n":12,"m":3},"c":null,"d":-1.5e3}"#;
        for step in 1..json.len() {
            assert_eq!(
                reduce(json, step),
                (String::from_utf8(json.to_vec()).unwrap(), true)
            );
        }
        for cut in 1..json.len() {
            let (out, whole) = reduce(&json[..cut], 3);
            assert!(!whole);
            let value: serde_json::Value =
                serde_json::from_str(&out).unwrap_or_else(|_| panic!("{cut}: {out}"));
            if let Some(usage) = value.get("usage") {
                assert_eq!(usage, &serde_json::json!({"n": 12, "m": 3}), "{cut}");
            }
        }
    }

    #[test]
    fn bulk_goes_and_usage_after_it_stays() {
        let text = "é\\u00e9".repeat(100_000);
        let numbers = vec!["0.125"; 50_000].join(",");
        let json = format!(
            r#"{{"data":[{{"embedding":[{numbers}]}},{{"b64":"{text}"}}],"list":[{numbers}],"usage":{{"prompt_tokens":5}}}}"#
        );
        for step in [1, 7, 4096, json.len()] {
            let (out, whole) = reduce(json.as_bytes(), step);
            assert!(whole && out.len() < 4096, "{}", out.len());
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(value["usage"]["prompt_tokens"], 5);
        }
        let many = vec![r#"{"content":"some words"}"#; 100_000].join(",");
        let json = format!(r#"{{"items":[{many}],"noise":"x","usage":{{"prompt_tokens":5}}}}"#);
        let (out, whole) = reduce(json.as_bytes(), 4096);
        assert!(whole && out.len() <= SKELETON_BYTES_HARD_MAX);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (value["usage"]["prompt_tokens"].as_u64(), value.get("noise")),
            (Some(5), None)
        );
    }
}
