//! The scanner's state machine.
//!
//! One state, a depth, and one bit per open bracket (object or array). Strings, the bulk of every body, go by
//! [`plain_prefix`]; the rest goes a byte at a time. What policy wants to know happens at `pending` (the slot of
//! the value to come) and `inside` (the watched object that is open at depth 2); both are [`Slot::None`] nearly always, so
//! the plain path pays a comparison for them.

use super::keys::{KEY_BYTES_MAX, KeyTable, Lookup, Slot};
use super::text::plain_prefix;
use super::utf8::{Utf8Check, Utf8Fault};
use super::{
    ConfigObject, ConfigShape, Facts, JsonLimits, JsonReason, JsonReject, OutputLimit, StreamOptions,
    StringFact,
};

/// Longest session string kept, in bytes.
const SESSION_BYTES_MAX: usize = 256;
/// Longest `metadata.user_id` kept, in bytes: it may hold a JSON object.
const USER_ID_BYTES_MAX: usize = 1024;
/// Longest `service_tier` kept, in bytes.
const SERVICE_TIER_BYTES_MAX: usize = 64;
/// Longest model name taken, in bytes.
const MODEL_BYTES_MAX: usize = crate::route::MODEL_BYTES_MAX;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The document.
    Start,
    /// A value.
    Value,
    /// A value or `]`.
    FirstElement,
    /// A key or `}`.
    FirstKey,
    /// A key.
    Key,
    /// A colon.
    Colon,
    /// A comma or a closing bracket.
    After,
    /// The rest of a string.
    Str,
    /// The byte after a backslash.
    Escape,
    /// More digits of `\uXXXX`.
    Hex,
    /// The backslash of a low surrogate.
    LowBackslash,
    /// The `u` of a low surrogate.
    LowU,
    /// The rest of a number.
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Word,
    /// White space.
    Done,
}

/// How far a number has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Int,
    Dot,
    Fraction,
    E,
    ESign,
    Exponent,
}

impl Number {
    /// The next state; `None`: the byte is not part of the number.
    #[inline]
    const fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus | Self::Int, b'0'..=b'9') => Self::Int,
            (Self::Zero | Self::Int, b'.') => Self::Dot,
            (Self::Dot | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Int | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::ESign,
            (Self::E | Self::ESign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }

    /// Whether a number may end here.
    const fn complete(self) -> bool {
        matches!(self, Self::Zero | Self::Int | Self::Fraction | Self::Exponent)
    }
}

/// The type of a value, for the checks on watched ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    String,
    Number,
    True,
    False,
    Null,
    Object,
    Array,
}

/// Incremental scanner of one request body.
#[derive(Clone, Debug)]
pub struct BodyScan {
    table: &'static KeyTable,
    limits: JsonLimits,
    utf8: Utf8Check,
    state: State,
    /// Open brackets.
    depth: u8,
    /// Bit 0: the innermost one is an object; bit 1: the one around it; and so on.
    objects: u128,
    tokens: u32,
    /// The string at hand is a key.
    in_key: bool,
    /// The string or number at hand goes into `capture`.
    capturing: bool,
    /// Bound of `capture`; beyond it `overflow` is set and nothing more is kept.
    capture_max: usize,
    overflow: bool,
    capture: Vec<u8>,
    /// `\uXXXX` so far, and its digits still to come.
    hex: u16,
    hex_left: u8,
    /// A high surrogate that waits for its low one, else 0.
    high: u16,
    /// Bytes of the number at hand.
    number_len: u8,
    /// What must still come of `true`, `false` or `null`.
    word: &'static [u8],
    /// Slot of the value to come or at hand.
    pending: Slot,
    pending_name: &'static str,
    pending_kind: Kind,
    /// Where the value at hand, or the key being captured, begins.
    start: u64,
    /// The watched object that is open at depth 2.
    inside: Slot,
    /// Policy keys seen at depth 1, and in `inside`: one bit each.
    seen: u64,
    seen_inside: u64,
    /// Absolute offset of the chunk at hand.
    base: u64,
    facts: Facts,
    failed: Option<JsonReject>,
}

const NOT_UTF8: &str = "a byte sequence that is not UTF-8";

type Fault = (usize, JsonReason);

const fn syntax<T>(at: usize, what: &'static str) -> Result<T, Fault> {
    Err((at, JsonReason::Syntax(what)))
}

impl BodyScan {
    /// A scanner that looks for the keys of `table`. `limits.depth_max` above 128 counts as 128.
    #[must_use]
    pub fn new(table: &'static KeyTable, limits: JsonLimits) -> Self {
        Self {
            table,
            limits: JsonLimits {
                depth_max: limits.depth_max.min(128),
                ..limits
            },
            utf8: Utf8Check::default(),
            state: State::Start,
            depth: 0,
            objects: 0,
            tokens: 0,
            in_key: false,
            capturing: false,
            capture_max: 0,
            overflow: false,
            capture: Vec::new(),
            hex: 0,
            hex_left: 0,
            high: 0,
            number_len: 0,
            word: b"",
            pending: Slot::None,
            pending_name: "",
            pending_kind: Kind::Null,
            start: 0,
            inside: Slot::None,
            seen: 0,
            seen_inside: 0,
            base: 0,
            facts: Facts::default(),
            failed: None,
        }
    }

    /// Takes the next piece of the body.
    ///
    /// # Errors
    ///
    /// The first fault of the body; the same again on every later call. It does not depend on where the body was cut.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), JsonReject> {
        if let Some(reject) = self.failed {
            return Err(reject);
        }
        let outcome = match self.utf8.feed(chunk) {
            Ok(()) => self.run(chunk),
            // An earlier fault goes first; the machine may see the faulty character's first byte, as it would after a cut.
            Err(Utf8Fault::At(at)) => {
                let until = at.saturating_add(1).min(chunk.len());
                self.run(chunk.get(..until).unwrap_or_default())
                    .and_then(|()| syntax(at, NOT_UTF8))
            }
            Err(Utf8Fault::Before(back)) => {
                self.base = self.base.saturating_sub(as_u64(back));
                syntax(0, NOT_UTF8)
            }
        };
        match outcome {
            Ok(()) => {
                self.base = self.base.saturating_add(as_u64(chunk.len()));
                Ok(())
            }
            Err((at, reason)) => self.fail(at, reason),
        }
    }

    /// Ends the body and gives the facts.
    ///
    /// # Errors
    ///
    /// A fault found before, or a document that is not complete.
    pub fn finish(&mut self) -> Result<Facts, JsonReject> {
        if let Some(reject) = self.failed {
            return Err(reject);
        }
        match self.state {
            State::Done => {
                self.facts.tokens = self.tokens;
                self.facts.bytes = self.base;
                Ok(std::mem::take(&mut self.facts))
            }
            State::Start => self.fail(0, JsonReason::Syntax("the body is empty")),
            _ => self.fail(
                0,
                JsonReason::Syntax("the body ends in the middle of the document"),
            ),
        }
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.base
    }

    #[cold]
    fn fail<T>(&mut self, at: usize, reason: JsonReason) -> Result<T, JsonReject> {
        // Faults of watched keys and values carry their own beginning.
        let offset = match reason {
            JsonReason::Duplicate(_) | JsonReason::CaseVariant(_) | JsonReason::WrongType { .. } => {
                self.start
            }
            JsonReason::Syntax(_) | JsonReason::Limit(_) => self.offset(at),
        };
        let reject = JsonReject { offset, reason };
        self.failed = Some(reject);
        Err(reject)
    }

    fn offset(&self, at: usize) -> u64 {
        self.base.saturating_add(as_u64(at))
    }

    fn run(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        let mut at = 0usize;
        while let Some(&byte) = chunk.get(at) {
            match self.state {
                State::Str => at = self.string(chunk, at)?,
                State::Number(number) => at = self.number(number, chunk, at)?,
                State::Escape | State::Hex | State::LowBackslash | State::LowU => {
                    self.escape(byte, at)?;
                    at += 1;
                }
                State::Word => {
                    at = self.word(chunk, at)?;
                }
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => at += 1,
                State::After => {
                    self.after(byte, at)?;
                    at += 1;
                }
                State::FirstKey | State::Key => {
                    self.key(byte, at)?;
                    at += 1;
                }
                State::Colon => {
                    if byte != b':' {
                        return syntax(at, "expected a colon");
                    }
                    self.state = State::Value;
                    at += 1;
                }
                State::Value | State::FirstElement => at = self.value(byte, chunk, at)?,
                State::Start => {
                    if byte != b'{' {
                        return syntax(at, "expected an object");
                    }
                    self.count_token(at)?;
                    self.open(true, at)?;
                    self.facts.top_level_object_open = self.offset(at).saturating_add(1);
                    at += 1;
                }
                State::Done => return syntax(at, "bytes after the end of the document"),
            }
        }
        Ok(())
    }

    /// The rest of a string, or as much of it as is there.
    #[inline]
    fn string(&mut self, chunk: &[u8], mut at: usize) -> Result<usize, Fault> {
        loop {
            let rest = chunk.get(at..).unwrap_or_default();
            let plain = plain_prefix(rest);
            if self.capturing {
                self.keep(rest.get(..plain).unwrap_or_default());
            }
            at += plain;
            match rest.get(plain..).unwrap_or_default() {
                [] => return Ok(at),
                [b'"', ..] => {
                    self.end_string(at)?;
                    return Ok(at + 1);
                }
                // The usual escapes, without a turn through the machine.
                [b'\\', b'n' | b'"' | b'\\' | b't' | b'/' | b'r' | b'b' | b'f', ..] if !self.capturing => {
                    at += 2;
                }
                [b'\\', b'u', a, b, c, d, ..] if !self.capturing && lone_unit(*a, *b, *c, *d) => at += 6,
                [b'\\', ..] => {
                    self.state = State::Escape;
                    return Ok(at + 1);
                }
                _ => return syntax(at, "a control character in a string"),
            }
        }
    }

    #[inline]
    fn end_string(&mut self, at: usize) -> Result<(), Fault> {
        if self.in_key {
            self.state = State::Colon;
            if self.capturing {
                return self.end_key(at);
            }
            return Ok(());
        }
        self.end_value(at + 1)
    }

    /// A byte of an escape sequence.
    fn escape(&mut self, byte: u8, at: usize) -> Result<(), Fault> {
        match self.state {
            State::Escape => {
                let plain = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => {
                        (self.hex, self.hex_left) = (0, 4);
                        self.state = State::Hex;
                        return Ok(());
                    }
                    _ => return syntax(at, "an unknown escape in a string"),
                };
                if self.capturing {
                    self.keep(&[plain]);
                }
                self.state = State::Str;
            }
            State::Hex => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    b'A'..=b'F' => byte - b'A' + 10,
                    _ => return syntax(at, "\\u must be followed by four hexadecimal digits"),
                };
                self.hex = self.hex << 4 | u16::from(digit);
                self.hex_left -= 1;
                if self.hex_left == 0 {
                    self.end_hex(at)?;
                }
            }
            State::LowBackslash if byte == b'\\' => self.state = State::LowU,
            State::LowU if byte == b'u' => {
                (self.hex, self.hex_left) = (0, 4);
                self.state = State::Hex;
            }
            _ => return syntax(at, "half of a surrogate pair in a string"),
        }
        Ok(())
    }

    /// Four digits are there.
    fn end_hex(&mut self, at: usize) -> Result<(), Fault> {
        let high = std::mem::take(&mut self.high);
        let code = match (high, self.hex) {
            (0, 0xd800..=0xdbff) => {
                self.high = self.hex;
                self.state = State::LowBackslash;
                return Ok(());
            }
            (0, 0xdc00..=0xdfff) => return syntax(at, "half of a surrogate pair in a string"),
            (0, code) => u32::from(code),
            (high, low @ 0xdc00..=0xdfff) => {
                0x1_0000 + (u32::from(high - 0xd800) << 10 | u32::from(low - 0xdc00))
            }
            _ => return syntax(at, "half of a surrogate pair in a string"),
        };
        if self.capturing {
            let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            self.keep(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.state = State::Str;
        Ok(())
    }

    #[inline]
    fn number(&mut self, mut number: Number, chunk: &[u8], mut at: usize) -> Result<usize, Fault> {
        while let Some(&byte) = chunk.get(at) {
            let Some(next) = number.step(byte) else {
                if !number.complete() {
                    return syntax(at, "a malformed number");
                }
                self.end_value(at)?;
                return Ok(at);
            };
            if self.number_len >= self.limits.number_bytes_max {
                return Err((at, JsonReason::Limit("a number is too long")));
            }
            self.number_len += 1;
            if self.capturing {
                self.keep(&[byte]);
            }
            number = next;
            at += 1;
        }
        self.state = State::Number(number);
        Ok(at)
    }

    #[inline]
    fn word(&mut self, chunk: &[u8], mut at: usize) -> Result<usize, Fault> {
        while let Some((&wanted, rest)) = self.word.split_first() {
            let Some(&byte) = chunk.get(at) else { return Ok(at) };
            if byte != wanted {
                return syntax(at, "expected a value");
            }
            self.word = rest;
            at += 1;
        }
        self.end_value(at)?;
        Ok(at)
    }

    #[inline]
    fn after(&mut self, byte: u8, at: usize) -> Result<(), Fault> {
        let in_object = self.objects & 1 == 1;
        match (byte, in_object) {
            (b',', true) => self.state = State::Key,
            (b',', false) => self.state = State::Value,
            (b'}', true) | (b']', false) => self.close(at),
            (_, true) => return syntax(at, "expected a comma or a closing brace"),
            (_, false) => return syntax(at, "expected a comma or a closing bracket"),
        }
        Ok(())
    }

    #[inline]
    fn key(&mut self, byte: u8, at: usize) -> Result<(), Fault> {
        match byte {
            b'"' => {
                self.count_token(at)?;
                self.in_key = true;
                self.state = State::Str;
                if self.depth == 1 || (self.depth == 2 && self.inside != Slot::None) {
                    self.start = self.offset(at);
                    self.begin_capture(KEY_BYTES_MAX);
                }
                Ok(())
            }
            b'}' if self.state == State::FirstKey => {
                self.close(at);
                Ok(())
            }
            _ => syntax(at, "expected a key in double quotes"),
        }
    }

    /// A value begins, or an array ends. Scalars go on at once, without a turn through the machine.
    #[inline]
    fn value(&mut self, byte: u8, chunk: &[u8], at: usize) -> Result<usize, Fault> {
        let kind = match byte {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            b']' if self.state == State::FirstElement => {
                self.close(at);
                return Ok(at + 1);
            }
            _ => return syntax(at, "expected a value"),
        };
        if self.pending != Slot::None {
            self.begin_watched(kind, at)?;
        }
        self.count_token(at)?;
        self.word = match kind {
            Kind::Object | Kind::Array => {
                self.open(kind == Kind::Object, at)?;
                return Ok(at + 1);
            }
            Kind::String => {
                self.in_key = false;
                self.state = State::Str;
                return self.string(chunk, at + 1);
            }
            Kind::Number => {
                self.number_len = 1;
                if self.capturing {
                    self.keep(&[byte]);
                }
                let number = match byte {
                    b'-' => Number::Minus,
                    b'0' => Number::Zero,
                    _ => Number::Int,
                };
                return self.number(number, chunk, at + 1);
            }
            Kind::True => b"rue",
            Kind::False => b"alse",
            Kind::Null => b"ull",
        };
        self.state = State::Word;
        self.word(chunk, at + 1)
    }

    #[inline]
    fn count_token(&mut self, at: usize) -> Result<(), Fault> {
        if self.tokens >= self.limits.tokens_max {
            return Err((at, JsonReason::Limit("too many keys and values")));
        }
        self.tokens += 1;
        Ok(())
    }

    #[inline]
    fn open(&mut self, object: bool, at: usize) -> Result<(), Fault> {
        if self.depth >= self.limits.depth_max {
            return Err((at, JsonReason::Limit("nested too deeply")));
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.state = if object {
            State::FirstKey
        } else {
            State::FirstElement
        };
        Ok(())
    }

    #[inline]
    fn close(&mut self, at: usize) {
        let empty = self.state == State::FirstKey;
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.state = State::After;
        match self.depth {
            0 => {
                self.facts.is_empty_object = empty;
                self.state = State::Done;
            }
            1 if self.inside != Slot::None => self.end_inside(empty, at),
            _ => {}
        }
    }

    #[inline]
    fn end_value(&mut self, end: usize) -> Result<(), Fault> {
        self.state = State::After;
        if self.pending == Slot::None {
            Ok(())
        } else {
            self.end_watched(end)
        }
    }

    fn begin_capture(&mut self, max: usize) {
        self.capture.clear();
        self.capture_max = max;
        self.overflow = false;
        self.capturing = true;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.overflow || self.capture.len().saturating_add(bytes.len()) > self.capture_max {
            // No use in going on: the value is dropped or refused, and a key this long is no policy key.
            (self.overflow, self.capturing) = (true, false);
        } else {
            self.capture.extend_from_slice(bytes);
        }
    }

    /// A captured key is complete.
    fn end_key(&mut self, at: usize) -> Result<(), Fault> {
        self.capturing = false;
        if self.overflow {
            return Ok(());
        }
        let (table, seen) = match KeyTable::nested(self.inside) {
            Some(table) if self.depth == 2 => (table, &mut self.seen_inside),
            _ => (self.table, &mut self.seen),
        };
        match table.lookup(&self.capture) {
            Lookup::Unknown => Ok(()),
            Lookup::Variant(name) => Err((at, JsonReason::CaseVariant(name))),
            Lookup::Exact { index, name, slot } => {
                let bit = 1u64 << (index & 63);
                if *seen & bit != 0 {
                    return Err((at, JsonReason::Duplicate(name)));
                }
                *seen |= bit;
                if slot != Slot::Guard {
                    self.pending = slot;
                    self.pending_name = name;
                }
                Ok(())
            }
        }
    }

    /// A watched value begins.
    #[cold]
    fn begin_watched(&mut self, kind: Kind, at: usize) -> Result<(), Fault> {
        self.start = self.offset(at);
        self.pending_kind = kind;
        let wrong =
            |key: &'static str, expected: &'static str| Err((at, JsonReason::WrongType { key, expected }));
        let name = self.pending_name;
        match (self.pending, kind) {
            (Slot::Model, Kind::String) => self.begin_capture(MODEL_BYTES_MAX),
            (Slot::Model, _) => return wrong(name, "a string"),
            (Slot::Stream | Slot::Background | Slot::IncludeUsage, Kind::True | Kind::False | Kind::Null) => {
            }
            (Slot::Stream | Slot::Background | Slot::IncludeUsage, _) => return wrong(name, "true or false"),
            (Slot::MaxTokens | Slot::Choices, Kind::Number) => {
                self.begin_capture(usize::from(self.limits.number_bytes_max));
            }
            (Slot::MaxTokens | Slot::Choices, Kind::Null) => {}
            (Slot::MaxTokens | Slot::Choices, _) => return wrong(name, "a number"),
            (Slot::StreamOptions, Kind::Object) => {
                let open = self.start.saturating_add(1);
                self.facts.stream_options = Some(StreamOptions {
                    span: self.start..open,
                    is_null: false,
                    open,
                    is_empty: false,
                    include_usage: None,
                    include_usage_span: None,
                });
                self.enter();
            }
            (Slot::Prompts, Kind::String) => {
                self.facts.dialogue.get_or_insert(self.start);
                self.pending = Slot::None;
            }
            (Slot::StreamOptions, Kind::Null) => {}
            (Slot::StreamOptions, _) => return wrong(name, "an object"),
            (Slot::Metadata | Slot::ClientMetadata, Kind::Object) => self.enter(),
            // What is in them is not watched.
            (Slot::Dialogue, _) => {
                self.facts.dialogue = Some(self.start);
                self.pending = Slot::None;
            }
            (Slot::System, _) => {
                self.facts.system = Some(self.start);
                self.pending = Slot::None;
            }
            (Slot::Prompts, Kind::Array) => {
                self.facts.dialogue.get_or_insert(self.start);
                // The array itself is counted after this.
                self.facts.prompts = self.tokens.saturating_add(1);
                self.enter();
            }
            (
                Slot::GenerationConfig | Slot::InferenceConfig | Slot::TextGenerationConfig | Slot::Options,
                kind,
            ) => {
                let shape = match kind {
                    Kind::Object => ConfigShape::Object {
                        open: self.start.saturating_add(1),
                        is_empty: false,
                    },
                    Kind::Null => ConfigShape::Null(self.start..self.start),
                    _ => ConfigShape::Other,
                };
                self.facts.generation_config = Some(ConfigObject { name, shape });
                match kind {
                    Kind::Object => self.enter(),
                    Kind::Null => {}
                    _ => self.pending = Slot::None,
                }
            }
            (
                Slot::PromptCacheKey | Slot::PreviousResponseId | Slot::SessionId | Slot::LitellmSessionId,
                Kind::String,
            ) => self.begin_capture(SESSION_BYTES_MAX),
            (Slot::UserId, Kind::String) => self.begin_capture(USER_ID_BYTES_MAX),
            (Slot::ServiceTier, Kind::String) => self.begin_capture(SERVICE_TIER_BYTES_MAX),
            (Slot::Store, Kind::True | Kind::False) => {}
            // A type of no use: nothing is known then, and the provider may complain.
            _ => self.pending = Slot::None,
        }
        Ok(())
    }

    /// The value just begun is an object whose members are watched.
    fn enter(&mut self) {
        self.inside = self.pending;
        self.seen_inside = 0;
        self.pending = Slot::None;
    }

    /// A watched object at depth 2 is closed.
    #[cold]
    fn end_inside(&mut self, empty: bool, at: usize) {
        let end = self.offset(at).saturating_add(1);
        if let (Slot::StreamOptions, Some(options)) = (self.inside, &mut self.facts.stream_options) {
            options.span.end = end;
            options.is_empty = empty;
        }
        match (self.inside, &mut self.facts.generation_config) {
            (Slot::Prompts, _) => self.facts.prompts = self.tokens.saturating_sub(self.facts.prompts),
            (
                Slot::GenerationConfig | Slot::InferenceConfig | Slot::TextGenerationConfig | Slot::Options,
                Some(ConfigObject {
                    shape: ConfigShape::Object { is_empty, .. },
                    ..
                }),
            ) => *is_empty = empty,
            _ => {}
        }
        self.inside = Slot::None;
    }

    /// A watched value that is no object is complete; it ends before `end`.
    #[cold]
    fn end_watched(&mut self, end: usize) -> Result<(), Fault> {
        let span = self.start..self.offset(end);
        let slot = std::mem::replace(&mut self.pending, Slot::None);
        let captured = std::mem::replace(&mut self.capturing, false);
        let truth = match self.pending_kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        };
        let text =
            || (captured && !self.overflow).then(|| String::from_utf8_lossy(&self.capture).into_owned());
        let facts = &mut self.facts;
        match slot {
            Slot::Model => match text() {
                Some(value) => facts.model = Some(StringFact { value, span }),
                None => {
                    let expected = "a string of at most 256 bytes";
                    return Err((
                        end,
                        JsonReason::WrongType {
                            key: self.pending_name,
                            expected,
                        },
                    ));
                }
            },
            Slot::Stream => facts.stream = truth,
            Slot::StreamOptions => {
                facts.stream_options = Some(StreamOptions {
                    open: span.start,
                    span,
                    is_null: true,
                    is_empty: false,
                    include_usage: None,
                    include_usage_span: None,
                });
            }
            Slot::IncludeUsage => {
                if let Some(options) = &mut facts.stream_options {
                    options.include_usage = truth;
                    options.include_usage_span = Some(span);
                }
            }
            Slot::MaxTokens => {
                let value = text().and_then(|text| whole(&text));
                facts.max_tokens = facts.max_tokens.max(value);
                facts.output_limits.push(OutputLimit {
                    name: self.pending_name,
                    value,
                    span,
                });
            }
            Slot::Choices => facts.choices = facts.choices.max(text().and_then(|text| whole(&text))),
            Slot::PromptCacheKey => facts.prompt_cache_key = text(),
            Slot::PreviousResponseId => facts.previous_response_id = text(),
            Slot::UserId => facts.metadata_user_id = text(),
            Slot::SessionId => facts.client_metadata_session_id = text(),
            Slot::LitellmSessionId => facts.litellm_session_id = text(),
            Slot::Background => facts.background = truth,
            Slot::Store => facts.store = truth,
            Slot::ServiceTier => facts.service_tier = text(),
            Slot::GenerationConfig | Slot::InferenceConfig | Slot::TextGenerationConfig | Slot::Options => {
                if let Some(config) = &mut facts.generation_config {
                    config.shape = ConfigShape::Null(span);
                }
            }
            Slot::None
            | Slot::Guard
            | Slot::Dialogue
            | Slot::System
            | Slot::Metadata
            | Slot::ClientMetadata
            | Slot::Prompts => {}
        }
        Ok(())
    }
}

/// Whether `\uABCD` is a character by itself, that is, no half of a surrogate pair.
const fn lone_unit(a: u8, b: u8, c: u8, d: u8) -> bool {
    a.is_ascii_hexdigit()
        && b.is_ascii_hexdigit()
        && c.is_ascii_hexdigit()
        && d.is_ascii_hexdigit()
        && !(matches!(a, b'd' | b'D') && matches!(b, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'))
}

/// A JSON number as a count, rounded up; `None` if negative.
fn whole(text: &str) -> Option<u64> {
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number: f64 = text.parse().ok()?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "negative numbers are excluded, and the cast saturates above u64::MAX"
    )]
    (number >= 0.0).then_some(number.ceil() as u64)
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
