//! What a request brings in beside its own bytes: files, pages and stored conversations, pictures, tools that the provider
//! runs. Needed only to bound what it can cost.
//!
//! [`Outside::find`] walks over the strings of a body that [`super::BodyScan`] has accepted, keys and values of every
//! depth, and compares the short ones with what the API's documentation calls such things (OpenAI, Anthropic, Gemini,
//! Bedrock, read in autumn 2026; and the compatible servers' own words). Strings are compared after unescaping, so a spelling
//! does not hide one. Text inside of a string is never mistaken for a key: quotes in it are escaped.
//!
//! It errs on the side of finding: a schema that describes a field called `file_id` counts as one.

use memchr::memchr;
use sluice_shared::api::ApiKind;

use super::text::plain_prefix;

/// What was found in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The model is given text, sound or films that are not in the body as text: by reference, by address, or encoded.
    pub content: bool,
    /// The provider runs tools, as often as the model wants.
    pub tools: bool,
    /// Other models may serve the request, at other prices.
    pub models: bool,
    /// A limit on output tokens stands where it is not looked for.
    pub limits: bool,
    /// Pictures, at most.
    pub images: u32,
}

/// Longest string that is compared, unescaped; none of the names is longer.
const NAME_BYTES_MAX: usize = 48;

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Nothing,
    Content,
    Tools,
    Models,
    Limit,
    Image,
}

/// The key that a value belongs to, as far as values are judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Type,
    Id,
    MimeType,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between strings.
    Between,
    /// In a string.
    Inside,
    /// Behind a backslash in a string.
    Escape,
    /// That many digits of `\uXXXX` are still to come.
    Hex(u8),
    /// A string has ended; a colon makes it a key.
    Behind,
}

struct Walk {
    kind: ApiKind,
    at: At,
    name: [u8; NAME_BYTES_MAX],
    len: usize,
    hex: u32,
    key: Key,
    found: Outside,
}

impl Outside {
    /// Looks through a JSON body in any pieces.
    #[must_use]
    pub fn find<C: AsRef<[u8]>>(kind: ApiKind, chunks: &[C]) -> Self {
        let mut walk = Walk::new(kind);
        for chunk in chunks {
            walk.feed(chunk.as_ref());
        }
        walk.found
    }
}

impl Walk {
    fn new(kind: ApiKind) -> Self {
        Self {
            kind,
            at: At::Between,
            name: [0; NAME_BYTES_MAX],
            len: 0,
            hex: 0,
            key: Key::Other,
            found: Outside::default(),
        }
    }

    fn feed(&mut self, mut rest: &[u8]) {
        loop {
            match self.at {
                At::Between => {
                    let Some(quote) = first_quote(rest) else { return };
                    rest = rest.get(quote.saturating_add(1)..).unwrap_or_default();
                    self.len = 0;
                    self.at = At::Inside;
                }
                At::Inside => {
                    let (text, tail) = rest.split_at(plain_prefix(rest).min(rest.len()));
                    self.keep(text);
                    rest = match tail {
                        [] => return,
                        [b'"', tail @ ..] => {
                            self.at = At::Behind;
                            tail
                        }
                        // The escapes of a long text, which no longer matter, without a turn through the states.
                        [b'\\', b'u', _, _, _, _, tail @ ..] if self.len > NAME_BYTES_MAX => tail,
                        [b'\\', escaped, tail @ ..] if *escaped != b'u' => {
                            self.keep(&[unescaped(*escaped)]);
                            tail
                        }
                        [b'\\', tail @ ..] => {
                            self.at = At::Escape;
                            tail
                        }
                        // No JSON has a control character here.
                        [_, tail @ ..] => tail,
                    };
                }
                At::Escape => {
                    let Some((&byte, tail)) = rest.split_first() else {
                        return;
                    };
                    rest = tail;
                    self.at = if byte == b'u' {
                        self.hex = 0;
                        At::Hex(4)
                    } else {
                        self.keep(&[unescaped(byte)]);
                        At::Inside
                    };
                }
                At::Hex(left) => {
                    let Some((&byte, tail)) = rest.split_first() else {
                        return;
                    };
                    rest = tail;
                    self.hex = (self.hex << 4) | char::from(byte).to_digit(16).unwrap_or(0);
                    self.at = if left > 1 {
                        At::Hex(left.saturating_sub(1))
                    } else {
                        self.keep(&[u8::try_from(self.hex).unwrap_or(0)]);
                        At::Inside
                    };
                }
                At::Behind => {
                    let blank = |byte: &u8| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
                    let Some(next) = rest.iter().position(blank) else {
                        return;
                    };
                    rest = rest.get(next..).unwrap_or_default();
                    self.judge(rest.first() == Some(&b':'));
                    self.at = At::Between;
                }
            }
        }
    }

    /// Keeps what fits; a string that does not fit is longer than any name.
    #[inline]
    fn keep(&mut self, text: &[u8]) {
        if self.len > NAME_BYTES_MAX {
            return;
        }
        let to = self.len.saturating_add(text.len());
        if let Some(room) = self.name.get_mut(self.len..to) {
            room.copy_from_slice(text);
        }
        self.len = to;
    }

    fn judge(&mut self, is_key: bool) {
        let name = self.name.get(..self.len);
        if is_key {
            self.key = match name {
                Some(b"type") => Key::Type,
                Some(b"id") => Key::Id,
                Some(b"mimeType" | b"mime_type") => Key::MimeType,
                _ => Key::Other,
            };
        }
        let mark = match (name, is_key, self.key) {
            // Longer than any name. A media type can be that long.
            (None, false, Key::MimeType) => Mark::Content,
            (None, ..) => Mark::Nothing,
            (Some(name), true, _) => key(self.kind, name),
            (Some(name), false, Key::Type) => kind_of(name),
            // An item of a stored conversation may be named by its id alone.
            (Some(_), false, Key::Id) if self.kind == ApiKind::OpenAiResponses => Mark::Content,
            (Some(name), false, Key::MimeType) if google(self.kind) => media(name),
            (Some(_), false, _) => Mark::Nothing,
        };
        let found = &mut self.found;
        match mark {
            Mark::Nothing => {}
            Mark::Content => found.content = true,
            Mark::Tools => found.tools = true,
            Mark::Models => found.models = true,
            Mark::Limit => found.limits = true,
            Mark::Image => found.images = found.images.saturating_add(1),
        }
    }
}

/// What an escape stands for, as far as names can hold it: a slash.
const fn unescaped(escaped: u8) -> u8 {
    if escaped == b'/' { b'/' } else { 0 }
}

/// The next quote. It is near, unless there is a long list of numbers.
fn first_quote(bytes: &[u8]) -> Option<usize> {
    let near = bytes.iter().take(8).position(|byte| *byte == b'"');
    near.or_else(|| memchr(b'"', bytes))
}

const fn google(kind: ApiKind) -> bool {
    matches!(
        kind,
        ApiKind::GeminiGenerate | ApiKind::GeminiEmbed | ApiKind::VertexGenerate | ApiKind::VertexPredict
    )
}

/// Keys that say it whatever their value is.
fn key(kind: ApiKind, name: &[u8]) -> Mark {
    match kind {
        ApiKind::GeminiGenerate
        | ApiKind::GeminiEmbed
        | ApiKind::GeminiCountTokens
        | ApiKind::VertexGenerate
        | ApiKind::VertexCountTokens
        | ApiKind::VertexPredict => match name {
            b"cachedContent" | b"cached_content" | b"fileData" | b"file_data" | b"fileUri" | b"file_uri" => {
                Mark::Content
            }
            b"googleSearch"
            | b"google_search"
            | b"googleSearchRetrieval"
            | b"google_search_retrieval"
            | b"codeExecution"
            | b"code_execution"
            | b"urlContext"
            | b"url_context"
            | b"googleMaps"
            | b"google_maps"
            | b"fileSearch"
            | b"file_search"
            | b"computerUse"
            | b"computer_use"
            | b"enterpriseWebSearch"
            | b"enterprise_web_search"
            | b"retrieval"
            | b"mcpServers"
            | b"mcp_servers"
            | b"parallelAiSearch"
            | b"parallel_ai_search" => Mark::Tools,
            b"inlineData" | b"inline_data" => Mark::Image,
            _ => Mark::Nothing,
        },
        ApiKind::AnthropicMessages | ApiKind::AnthropicCountTokens | ApiKind::VertexRawPredict => {
            messages_key(name)
        }
        ApiKind::BedrockConverse | ApiKind::BedrockInvoke | ApiKind::BedrockCountTokens => match name {
            b"document" | b"video" | b"audio" | b"s3Location" | b"s3Uri" | b"promptVariables" => {
                Mark::Content
            }
            b"systemTool" | b"system_tool" => Mark::Tools,
            b"image" | b"images" => Mark::Image,
            b"max_tokens"
            | b"max_completion_tokens"
            | b"max_gen_len"
            | b"max_new_tokens"
            | b"maxTokenCount"
                if matches!(kind, ApiKind::BedrockConverse) =>
            {
                Mark::Limit
            }
            _ => messages_key(name),
        },
        ApiKind::OllamaChat | ApiKind::OllamaEmbed => match name {
            b"images" => Mark::Content,
            _ => Mark::Nothing,
        },
        ApiKind::OpenAiResponses if matches!(name, b"prompt" | b"conversation") => Mark::Content,
        _ => match name {
            b"file_id" | b"file_ids" | b"file_url" | b"file_data" | b"input_audio" | b"audio"
            | b"video_url" | b"audio_url" | b"document_url" | b"cached_content" => Mark::Content,
            b"web_search_options"
            | b"search_parameters"
            | b"plugins"
            | b"vector_store_ids"
            | b"mcp_servers" => Mark::Tools,
            b"models" => Mark::Models,
            b"image_url" => Mark::Image,
            _ => Mark::Nothing,
        },
    }
}

/// Keys of Anthropic's messages, wherever they are served.
fn messages_key(name: &[u8]) -> Mark {
    match name {
        b"file_id" => Mark::Content,
        b"mcp_servers" | b"container" | b"fallbacks" => Mark::Tools,
        // Of pictures, and of documents, which say so themselves.
        b"source" => Mark::Image,
        _ => Mark::Nothing,
    }
}

/// Values of `type`.
fn kind_of(name: &[u8]) -> Mark {
    const CONTENT: &[&[u8]] = &[
        b"item_reference",
        b"input_file",
        b"input_audio",
        b"file",
        b"document",
        b"document_url",
        b"container_upload",
        b"video_url",
        b"input_video",
        b"audio_url",
    ];
    // By their beginnings: the vendors put dates behind them, and name what comes back after them.
    const TOOLS: &[&[u8]] = &[
        b"web_search",
        b"web_fetch",
        b"file_search",
        b"tool_search",
        b"x_search",
        b"live_search",
        b"collections_search",
        b"code_interpreter",
        b"code_execution",
        b"bash_code_execution",
        b"text_editor_code_execution",
        b"computer",
        b"mcp",
        b"image_generation",
        b"server_tool_use",
        b"advisor",
        b"browser",
        b"openrouter:",
        b"retrieval",
        b"builtin_function",
        b"shell",
        b"compact_",
    ];
    // Dated tools of Anthropic's that the client runs, and what only takes away.
    const HARMLESS: &[&[u8]] = &[b"bash_20", b"text_editor_20", b"memory_20", b"clear_"];
    let begins = |words: &[&[u8]]| words.iter().any(|word| name.starts_with(word));
    if CONTENT.contains(&name) {
        Mark::Content
    } else if begins(TOOLS) || (dated(name) && !begins(HARMLESS)) {
        Mark::Tools
    } else {
        Mark::Nothing
    }
}

/// Whether a name ends in `_` and a date of this century: so Anthropic calls the tools that it knows of.
fn dated(name: &[u8]) -> bool {
    name.len()
        .checked_sub(9)
        .and_then(|from| name.get(from..))
        .is_some_and(|end| end.starts_with(b"_20") && end.iter().skip(1).all(u8::is_ascii_digit))
}

/// A media type: a picture is counted, text is text, and everything else may be of any length.
fn media(name: &[u8]) -> Mark {
    if name.starts_with(b"image/") || name.starts_with(b"text/") {
        Mark::Nothing
    } else {
        Mark::Content
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What is found in a body, whole and in pieces of every size.
    #[track_caller]
    fn check(kind: ApiKind, body: &str, expected: Outside) {
        let _: Value = serde_json::from_str(body).unwrap();
        assert_eq!(Outside::find(kind, &[body.as_bytes()]), expected, "{body}");
        for size in 1..=body.len() {
            let pieces: Vec<_> = body.as_bytes().chunks(size).collect();
            assert_eq!(
                Outside::find(kind, &pieces),
                expected,
                "{body} in pieces of {size}"
            );
        }
    }

    const NOTHING: Outside = Outside {
        content: false,
        tools: false,
        models: false,
        limits: false,
        images: 0,
    };
    const CONTENT: Outside = Outside {
        content: true,
        ..NOTHING
    };
    const TOOLS: Outside = Outside {
        tools: true,
        ..NOTHING
    };

    #[test]
    fn requests_of_every_api() {
        use ApiKind as K;
        let image = Outside { images: 1, ..NOTHING };
        check(
            K::OpenAiChat,
            r#"{"model":"m","messages":[{"role":"user","content":"say \"file_id\": \\\"web_search\\\""}]}"#,
            NOTHING,
        );
        check(
            K::OpenAiChat,
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}"#,
            image,
        );
        check(
            K::OpenAiChat,
            r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"f"}}]}]}"#,
            CONTENT,
        );
        check(
            K::OpenAiChat,
            r#"{"tools":[{"type":"function","function":{"name":"web_search"}}]}"#,
            NOTHING,
        );
        check(K::OpenAiChat, r#"{"web_search_options":{}}"#, TOOLS);
        check(
            K::OpenAiChat,
            r#"{"models":["a","b"]}"#,
            Outside {
                models: true,
                ..NOTHING
            },
        );
        check(
            K::OpenAiChat,
            r#"{"tools":[{"type":"openrouter:web_search"}]}"#,
            TOOLS,
        );
        check(
            K::OpenAiResponses,
            r#"{"tools":[{"type" : "web_search_preview_2025_03_11"}]}"#,
            TOOLS,
        );
        check(
            K::OpenAiResponses,
            r#"{"tools":[{"type":"function","name":"mcp"},{"type":"custom"},{"type":"local_shell"}]}"#,
            NOTHING,
        );
        check(K::OpenAiResponses, r#"{"input":[{"id":"msg_1"}]}"#, CONTENT);
        check(
            K::OpenAiResponses,
            r#"{"tools":[{"parameters":{"properties":{"id":{"type":["string","null"]}}}}]}"#,
            NOTHING,
        );
        check(K::OpenAiResponses, r#"{"prompt":{"id":"pmpt_1"}}"#, CONTENT);
        check(K::OpenAiCompletions, r#"{"prompt":"x"}"#, NOTHING);
        check(K::OpenAiResponses, r#"{"conversation":"c"}"#, CONTENT);
        check(
            K::AnthropicMessages,
            r#"{"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":""}}]}]}"#,
            image,
        );
        check(
            K::AnthropicMessages,
            r#"{"content":[{"type":"document","title":"t"}]}"#,
            CONTENT,
        );
        check(
            K::AnthropicMessages,
            r#"{"tools":[{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728"},{"type":"memory_20250818"}]}"#,
            NOTHING,
        );
        check(
            K::AnthropicMessages,
            r#"{"tools":[{"type":"web_search_20250305"}]}"#,
            TOOLS,
        );
        check(
            K::AnthropicMessages,
            r#"{"tools":[{"type":"something_20301231"}]}"#,
            TOOLS,
        );
        check(K::AnthropicMessages, r#"{"mcp_servers":[]}"#, TOOLS);
        check(
            K::GeminiGenerate,
            r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image\/png","data":""}}]}]}"#,
            image,
        );
        check(
            K::GeminiGenerate,
            r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"application/pdf","data":""}}]}]}"#,
            Outside {
                content: true,
                ..image
            },
        );
        check(
            K::VertexGenerate,
            r#"{"contents":[{"parts":[{"fileData":{"fileUri":"gs://"}}]}]}"#,
            CONTENT,
        );
        check(K::GeminiGenerate, r#"{"tools":[{"googleSearch":{}}]}"#, TOOLS);
        check(
            K::GeminiGenerate,
            r#"{"tools":[{"functionDeclarations":[{"name":"googleSearch"}]}],"generationConfig":{"responseMimeType":"application/json"}}"#,
            NOTHING,
        );
        check(K::GeminiGenerate, r#"{"cachedContent":"c"}"#, CONTENT);
        check(
            K::BedrockConverse,
            r#"{"messages":[{"content":[{"image":{"format":"png"}}]}]}"#,
            image,
        );
        check(
            K::BedrockConverse,
            r#"{"content":[{"document":{"format":"pdf"}}]}"#,
            CONTENT,
        );
        check(
            K::BedrockConverse,
            r#"{"additionalModelRequestFields":{"max_tokens":9}}"#,
            Outside {
                limits: true,
                ..NOTHING
            },
        );
        check(K::BedrockInvoke, r#"{"max_tokens":9}"#, NOTHING);
        check(K::OllamaChat, r#"{"messages":[{"images":["AA=="]}]}"#, CONTENT);
    }

    #[test]
    fn escapes_hide_nothing() {
        let kind = ApiKind::OpenAiChat;
        check(kind, r#"{"f\u0069le_id":"f"}"#, CONTENT);
        check(kind, r#"{"type":"\u0066\u0069\u006c\u0065"}"#, CONTENT);
        check(
            kind,
            r#"{"t\u0079pe":"\u0077\u0065\u0062\u005F\u0073\u0065\u0061\u0072\u0063\u0068"}"#,
            TOOLS,
        );
        check(kind, r#"{"\u0166ile_id":"f","\ud83d\ude00":"file_id"}"#, NOTHING);
        check(kind, r#"{"file_id\n":1,"file_id\\":2,"\"file_id":3}"#, NOTHING);
        let long = format!(r#"{{"{}file_id":1}}"#, "x".repeat(60));
        check(kind, &long, NOTHING);
    }

    fn judged(walk: &mut Walk, text: &str, is_key: bool, under: Key) -> Key {
        (walk.len, walk.key) = (0, under);
        walk.keep(text.as_bytes());
        walk.judge(is_key);
        walk.key
    }

    /// The same from a parsed document.
    fn naive(walk: &mut Walk, value: &Value, under: Key) {
        match value {
            Value::String(text) => {
                judged(walk, text, false, under);
            }
            Value::Array(values) => values.iter().for_each(|value| naive(walk, value, under)),
            Value::Object(members) => {
                for (name, value) in members {
                    let key = judged(walk, name, true, Key::Other);
                    naive(walk, value, key);
                }
            }
            _ => {}
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            prop::sample::select(vec![
                "type",
                "id",
                "file_id",
                "image_url",
                "source",
                "mimeType",
                "image/png",
                "audio/ogg",
                "inlineData",
                "googleSearch",
                "web_search",
                "document",
                "memory_20250818",
                "x_20250818",
                "models",
                "prompt",
                "max_tokens",
                "images",
                "",
            ])
            .prop_map(str::to_owned),
            "[a-z\"\\\\/\n\u{e9}\u{1f600}]{0,60}",
        ];
        let leaf = prop_oneof![
            text.clone().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            Just(Value::Null),
            // Of one kind each: behind an object, a string would stand under the object's last key.
            proptest::collection::vec(text.clone(), 0..3).prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let members = proptest::collection::vec((text.clone(), inner), 0..4);
            let object = members.prop_map(|members| members.into_iter().collect::<Value>());
            prop_oneof![
                object.clone(),
                proptest::collection::vec(object, 0..3).prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_parser_finds_the_same(kind in 0u8..22, document in documents(), size in 1usize..40, ascii in any::<bool>()) {
            let kind = ApiKind::from_index(kind).unwrap();
            let mut body = serde_json::to_string_pretty(&document).unwrap();
            if ascii {
                // Every letter of a string that can be escaped is.
                body = body.replace('i', "\\u0069").replace('_', "\\u005F").replace('/', "\\/");
            }
            let mut expected = Walk::new(kind);
            naive(&mut expected, &document, Key::Other);
            let pieces: Vec<_> = body.as_bytes().chunks(size).collect();
            prop_assert_eq!(Outside::find(kind, &pieces), expected.found, "{}", body);
        }
    }
}
