//! What can be set, and where from: options of the process, the model's suffix, headers of one request.

use std::fmt;
use std::str::FromStr;

/// Most events an answer may be asked to have.
const EVENTS_MAX: u32 = 1_000_000;
/// Most bytes of text an answer may be asked to have.
const TEXT_BYTES_MAX: u32 = 64 << 20;
/// Longest pause that may be asked for, in milliseconds.
const PAUSE_MS_MAX: u32 = 3_600_000;

/// Options of a mock process.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct MockOptions {
    /// What every answer is like, unless the request says otherwise.
    #[command(flatten)]
    pub settings: Settings,
    /// Requests kept in the ledger; the oldest go first.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub ledger_max: usize,
    /// Request headers that the ledger notes, in lower case.
    #[arg(long = "ledger-header", value_name = "NAME")]
    pub ledger_headers: Vec<String>,
    /// Further model names for the model lists (any model is served).
    #[arg(long = "model", value_name = "NAME")]
    pub models: Vec<String>,
}

/// What an answer is like. Every field is also a header `x-mock-NAME` and a model suffix `+NAME=VALUE`, where NAME
/// is the long option.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Content events of a stream, words of another answer
    #[arg(long, value_name = "N")]
    pub events: Option<u32>,
    /// Bytes of the answer's text in all
    #[arg(long, value_name = "N")]
    pub text_bytes: Option<u32>,
    /// The answer's text itself
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Begin each content event with its six-digit number, so that loss and disorder show
    #[arg(long)]
    pub numbered: bool,
    /// Pause before each event after the first, in milliseconds
    #[arg(long, value_name = "MS")]
    pub gap_ms: Option<u32>,
    /// Pause before the first byte of the answer's body, in milliseconds
    #[arg(long, value_name = "MS")]
    pub first_byte_ms: Option<u32>,
    /// Pause before the answer's head, in milliseconds
    #[arg(long, value_name = "MS")]
    pub head_ms: Option<u32>,
    /// Input tokens to state (otherwise: body bytes / 4)
    #[arg(long, value_name = "N")]
    pub input_tokens: Option<u32>,
    /// Output tokens to state (otherwise: content events)
    #[arg(long, value_name = "N")]
    pub output_tokens: Option<u32>,
    /// Of the input tokens: read from the provider's cache
    #[arg(long, value_name = "N")]
    pub cached_tokens: Option<u32>,
    /// Of the output tokens: reasoning
    #[arg(long, value_name = "N")]
    pub reasoning_tokens: Option<u32>,
    /// When an OpenAI chat stream states its usage: asked, always, never
    #[arg(long, value_name = "WHEN")]
    pub usage: Option<UsageSent>,
    /// Answer with this status and the provider's error body, e.g. 400, 401, 403, 429, 500, 529
    #[arg(long, value_name = "CODE")]
    pub status: Option<u16>,
    /// `retry-after` of an error, in seconds
    #[arg(long, value_name = "S")]
    pub retry_after: Option<u32>,
    /// fin:N, reset:N, stall:N, half:N or error:N: what happens after N events (no N: before the head)
    #[arg(long, value_name = "FAULT")]
    pub fault: Option<Fault>,
    /// Body framing: chunked, length, close
    #[arg(long, value_name = "HOW")]
    pub framing: Option<Framing>,
    /// Compress the answer: none, gzip, deflate (whether the client takes it or not)
    #[arg(long, value_name = "CODING")]
    pub compress: Option<Compress>,
    /// Add `x-mock-body-crc32c` (hex, of the body before chunking) and `x-mock-body-events` to the answer
    #[arg(long)]
    pub verify: bool,
    /// Answer with a JSON description of the request: every header, body length and CRC-32C
    #[arg(long)]
    pub echo: bool,
    /// Answer as soon as the head is there, without reading the body
    #[arg(long)]
    pub early: bool,
    /// One write an event even where no pause lies between
    #[arg(long)]
    pub write_each: bool,
}

impl Settings {
    /// Sets one field by its name (the long option without dashes). An unknown name is an error, so that a
    /// misspelt header does not pass for a working one.
    ///
    /// # Errors
    /// A sentence naming what is wrong.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let n = |max: u32| match value.trim().parse::<u32>() {
            Ok(n) if n <= max => Ok(Some(n)),
            _ => Err(format!("`{name}` wants a number up to {max}, not `{value}`")),
        };
        match name {
            "events" => self.events = n(EVENTS_MAX)?,
            "text-bytes" => self.text_bytes = n(TEXT_BYTES_MAX)?,
            "text" => self.text = Some(value.to_owned()),
            "numbered" => self.numbered = switch(name, value)?,
            "gap-ms" => self.gap_ms = n(PAUSE_MS_MAX)?,
            "first-byte-ms" => self.first_byte_ms = n(PAUSE_MS_MAX)?,
            "head-ms" => self.head_ms = n(PAUSE_MS_MAX)?,
            "input-tokens" => self.input_tokens = n(u32::MAX)?,
            "output-tokens" => self.output_tokens = n(u32::MAX)?,
            "cached-tokens" => self.cached_tokens = n(u32::MAX)?,
            "reasoning-tokens" => self.reasoning_tokens = n(u32::MAX)?,
            "usage" => self.usage = Some(value.parse()?),
            "status" => {
                let status = n(599)?.and_then(|n| u16::try_from(n).ok()).filter(|n| *n >= 200);
                self.status = Some(status.ok_or("`status` wants 200 to 599")?);
            }
            "retry-after" => self.retry_after = n(u32::MAX)?,
            "fault" => self.fault = Some(value.parse()?),
            "framing" => self.framing = Some(value.parse()?),
            "compress" => self.compress = Some(value.parse()?),
            "verify" => self.verify = switch(name, value)?,
            "echo" => self.echo = switch(name, value)?,
            "early" => self.early = switch(name, value)?,
            "write-each" => self.write_each = switch(name, value)?,
            _ => return Err(format!("unknown mock setting `{name}`")),
        }
        Ok(())
    }

    /// Applies the suffix of a model name: what follows the first `+` that has a `=` behind it.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_from_model(&mut self, model: &str) -> Result<(), String> {
        let mut parts = model.split('+');
        let _name = parts.next();
        for part in parts {
            if let Some((name, value)) = part.split_once('=') {
                self.set(name, value)?;
            }
        }
        Ok(())
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value.trim() {
        "1" | "true" | "on" | "yes" => Ok(true),
        "0" | "false" | "off" | "no" => Ok(false),
        _ => Err(format!("`{name}` wants 1 or 0, not `{value}`")),
    }
}

/// What goes wrong, and after how many whole events on the wire; `None` means before the head.
///
/// An answer that is no stream counts as one event: with 0 the fault comes behind the head, with more in the middle
/// of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed in good order, but without the end of the body.
    Fin(Option<u32>),
    /// The connection is reset.
    Reset(Option<u32>),
    /// Nothing more comes, until the peer closes (10 minutes at most).
    Stall(Option<u32>),
    /// Half of the next event, then FIN.
    Half(Option<u32>),
    /// The API's error event in the middle of the stream, then a clean end.
    Error(Option<u32>),
}

impl Fault {
    /// Whole events before it; `None`: before the head.
    #[must_use]
    pub fn after(self) -> Option<u32> {
        match self {
            Self::Fin(n) | Self::Reset(n) | Self::Stall(n) | Self::Half(n) | Self::Error(n) => n,
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, count) = match text.split_once([':', '.']) {
            Some((name, n)) => (
                name,
                Some(
                    n.trim()
                        .parse()
                        .map_err(|_| format!("`{text}`: no number behind the colon"))?,
                ),
            ),
            None => (text, None),
        };
        match name.trim() {
            "fin" | "cut" => Ok(Self::Fin(count)),
            "reset" | "rst" => Ok(Self::Reset(count)),
            "stall" => Ok(Self::Stall(count)),
            "half" => Ok(Self::Half(count)),
            "error" => Ok(Self::Error(count.or(Some(0)))),
            _ => Err(format!(
                "unknown fault `{text}`: fin, reset, stall, half or error, with :N"
            )),
        }
    }
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!(concat!("unknown ", $what, " `{}`: ", $($text, " "),+), text)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}

words! {
    /// How the end of an answer's body is marked.
    Framing, "framing" {
        /// `transfer-encoding: chunked`, one chunk an event.
        Chunked = "chunked",
        /// `content-length`.
        Length = "length",
        /// By closing the connection.
        Close = "close",
    }
}

words! {
    /// Content coding of an answer.
    Compress, "coding" {
        /// None, whatever the process's default is.
        None = "none",
        /// RFC 1952, flushed at each event.
        Gzip = "gzip",
        /// RFC 1950 (zlib), flushed at each event.
        Deflate = "deflate",
    }
}

words! {
    /// When an OpenAI chat or completions stream states its usage.
    UsageSent, "usage" {
        /// If `stream_options.include_usage` asks for it, in an extra chunk with empty `choices`: OpenAI.
        Asked = "asked",
        /// Unasked, in the finish chunk: Mistral, DeepSeek and others.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_model_suffixes_set_the_same_fields() {
        let mut by_header = Settings::default();
        for (name, value) in [
            ("events", "200"),
            ("gap-ms", "20"),
            ("fault", "reset:3"),
            ("numbered", "1"),
        ] {
            by_header.set(name, value).unwrap();
        }
        let mut by_model = Settings::default();
        by_model
            .set_from_model("mock-gpt+events=200+gap-ms=20+fault=reset.3+numbered=1")
            .unwrap();
        assert_eq!(by_header, by_model);
        assert_eq!(by_header.fault, Some(Fault::Reset(Some(3))));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("events", "many"),
            ("events", "9999999"),
            ("status", "99"),
            ("fault", "fin:x"),
            ("nothing", "1"),
        ] {
            assert!(settings.set(name, value).is_err(), "{name}={value}");
        }
        assert_eq!(settings, Settings::default());
        assert!(
            settings.set_from_model("qwen+coder").is_ok(),
            "a plus sign alone is part of the name"
        );
    }
}
