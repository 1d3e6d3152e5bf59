//! What a request asks for, whatever its format.

use bytes::Bytes;
use serde_json::Value;

use super::head::Head;
use super::route::Kind;
use super::settings::Settings;

/// A request, understood.
pub(super) struct Ask {
    pub(super) kind: Kind,
    /// From path or body, with its suffix; empty if the request names none.
    pub(super) model: String,
    pub(super) stream: bool,
    /// `stream_options.include_usage`.
    pub(super) usage_asked: bool,
    /// The body as JSON; null if it is none.
    pub(super) body: Value,
    pub(super) raw: Bytes,
    /// Path and query as received.
    pub(super) target: String,
    /// `x-mock-tool`, which works like the marker in a prompt.
    pub(super) tool: Option<String>,
    pub(super) settings: Settings,
}

impl Ask {
    /// Puts together process options, model suffix and headers, in this order of strength.
    ///
    /// # Errors
    /// A sentence naming the setting that cannot be.
    pub(super) fn new(
        kind: Kind,
        path_model: Option<String>,
        head: &Head,
        raw: Bytes,
        defaults: &Settings,
    ) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(&raw).unwrap_or(Value::Null);
        let model = path_model
            .or_else(|| body.get("model").and_then(Value::as_str).map(str::to_owned))
            .or_else(|| form_field(&raw, "model"))
            .unwrap_or_default();
        let mut settings = defaults.clone();
        settings.set_from_model(&model)?;
        let mut tool = None;
        for (name, value) in head.fields() {
            let Some(setting) = mock_setting(name) else {
                continue;
            };
            match setting.as_str() {
                "id" => {}
                "tool" => tool = Some(value.to_owned()),
                _ => settings.set(&setting, value)?,
            }
        }
        let asked = body.get("stream").and_then(Value::as_bool);
        let stream = match kind {
            Kind::GeminiStream
            | Kind::VertexRawStream
            | Kind::BedrockInvokeStream
            | Kind::BedrockConverseStream => true,
            // Ollama streams unless told not to.
            Kind::OllamaChat | Kind::OllamaGenerate => asked.unwrap_or(true),
            Kind::Chat | Kind::Completions | Kind::Responses | Kind::Messages | Kind::Images => {
                asked.unwrap_or(false)
            }
            Kind::Transcription => form_field(&raw, "stream").is_some_and(|v| v == "true"),
            Kind::Speech => body.get("stream_format").and_then(Value::as_str) == Some("sse"),
            _ => false,
        };
        let usage_asked = body
            .pointer("/stream_options/include_usage")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let target = head.target().to_owned();
        Ok(Self {
            kind,
            model,
            stream,
            usage_asked,
            body,
            raw,
            target,
            tool,
            settings,
        })
    }

    /// The stated rule: bytes of the body as received, divided by 4, rounded up.
    pub(super) fn input_tokens(&self) -> u64 {
        match self.settings.input_tokens {
            Some(n) => u64::from(n),
            None => self.raw.len().div_ceil(4) as u64,
        }
    }

    /// A parameter of the query string.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name).map(|(_, v)| v))
    }
}

/// The setting that a header names, lower case without `x-mock-`.
pub(super) fn mock_setting(header: &str) -> Option<String> {
    let prefix = header.get(..7)?;
    prefix
        .eq_ignore_ascii_case("x-mock-")
        .then(|| header.get(7..).unwrap_or("").to_ascii_lowercase())
}

/// A text field of a multipart form: enough for `model` and `stream`, no full parser.
fn form_field(body: &[u8], name: &str) -> Option<String> {
    let needle = format!("name=\"{name}\"");
    let at = memchr::memmem::find(body, needle.as_bytes())?;
    let rest = body.get(at..)?;
    let start = memchr::memmem::find(rest, b"\r\n\r\n")? + 4;
    let value = rest.get(start..)?;
    let end = memchr::memmem::find(value, b"\r\n")?.min(256);
    std::str::from_utf8(value.get(..end)?).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_fields_are_found() {
        let body =
            b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nxx\r\n--b\r\n\
            Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";
        assert_eq!(form_field(body, "model").as_deref(), Some("whisper-1"));
        assert_eq!(form_field(body, "stream"), None);
        assert_eq!(form_field(b"name=\"model\"", "model"), None);
    }

    #[test]
    fn mock_headers_are_known_in_any_case() {
        assert_eq!(mock_setting("X-Mock-Gap-Ms").as_deref(), Some("gap-ms"));
        assert_eq!(mock_setting("x-mocking"), None);
        assert_eq!(mock_setting("x-m"), None);
    }
}
