//! The fingerprint of a conversation whose client names no session.
//!
//! A client without a server's memory sends the whole conversation with every turn, so its beginning stays what it was:
//! the fingerprint is a hash of the system prompt and of the first user message that has text. Only decoded text counts:
//! white space, escapes, the order of keys, marks for caches, whether a text stands in one part or in several, pictures
//! and everything said later change nothing.
//!
//! ```text
//! body  {"model":…,"messages":[{"role":"system",…},{"role":"user",…},…   ],"system":…}
//!                  └─ Facts::dialogue ──── read up to here ───┘                     └─ Facts::system
//! ```
//!
//! The scanner has noted where the two values begin and has checked that the body is JSON; nothing but their beginnings is
//! read again, [`SCAN_BYTES_MAX`] of each at most, of which [`TEXT_BYTES_MAX`] of decoded text count. Two
//! conversations that begin with the same words under the same system prompt have the same fingerprint.

use sluice_shared::api::ApiKind;

use super::cursor::Cursor;
use super::digest::Digest;
use crate::json::Facts;

/// Most bytes of the body read in search of each of the two texts.
pub(super) const SCAN_BYTES_MAX: usize = 256 << 10;

/// Most bytes of decoded text that count, of each of the two.
pub(super) const TEXT_BYTES_MAX: u64 = 32 << 10;

/// Deepest nesting of parts.
const DEPTH_MAX: u8 = 8;

/// `fp-` and 16 hexadecimal digits; `None` where there is no user message with text.
pub(super) fn fingerprint(kind: ApiKind, facts: &Facts, body: &[&[u8]]) -> Option<String> {
    if !is_conversation(kind) {
        return None;
    }
    let mut beginning = Beginning::default();
    beginning.dialogue(
        &mut Cursor::at(body, facts.dialogue?, SCAN_BYTES_MAX)?,
        google(kind),
    );
    let user = beginning.user?;
    if let Some(system) = facts.system.and_then(|at| Cursor::at(body, at, SCAN_BYTES_MAX)) {
        let mut cursor = system;
        texts(&mut cursor, &mut beginning.system, 0);
    }
    let mut both = Digest::default();
    both.add(&beginning.system.finish().to_le_bytes());
    both.add(&user.finish().to_le_bytes());
    Some(format!("fp-{:016x}", both.finish()))
}

/// Kinds whose requests carry a conversation, its turns in the order of time.
const fn is_conversation(kind: ApiKind) -> bool {
    match kind {
        ApiKind::OpenAiChat
        | ApiKind::OpenAiCompletions
        | ApiKind::OpenAiResponses
        | ApiKind::AnthropicMessages
        | ApiKind::AnthropicCountTokens
        | ApiKind::GeminiGenerate
        | ApiKind::GeminiCountTokens
        | ApiKind::VertexGenerate
        | ApiKind::VertexCountTokens
        | ApiKind::VertexRawPredict
        | ApiKind::BedrockInvoke
        | ApiKind::BedrockConverse
        | ApiKind::OllamaChat => true,
        ApiKind::OpenAiEmbeddings
        | ApiKind::OpenAiImages
        | ApiKind::OpenAiAudio
        | ApiKind::OpenAiModerations
        | ApiKind::OpenAiRerank
        | ApiKind::GeminiEmbed
        | ApiKind::VertexPredict
        | ApiKind::BedrockCountTokens
        | ApiKind::OllamaEmbed => false,
    }
}

const fn google(kind: ApiKind) -> bool {
    matches!(
        kind,
        ApiKind::GeminiGenerate
            | ApiKind::GeminiCountTokens
            | ApiKind::VertexGenerate
            | ApiKind::VertexCountTokens
    )
}

/// What a conversation begins with.
#[derive(Default)]
struct Beginning {
    system: Digest,
    user: Option<Digest>,
}

/// Who says a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Unknown,
    System,
    User,
    Other,
}

impl Beginning {
    /// Reads the messages up to the first of the user that has text.
    fn dialogue(&mut self, cursor: &mut Cursor<'_>, google: bool) {
        match cursor.significant() {
            // A prompt.
            Some(b'"') => {
                let mut said = Digest::default();
                text(cursor, &mut said);
                self.say(said);
            }
            // One message without the list.
            Some(b'{') => self.message(cursor, google),
            Some(b'[') => {
                cursor.step();
                while self.user.is_none() {
                    match cursor.significant() {
                        Some(b'"') => {
                            let mut said = Digest::default();
                            text(cursor, &mut said);
                            self.say(said);
                        }
                        Some(b'{') => self.message(cursor, google),
                        Some(b']' | b'}') | None => return,
                        Some(_) => cursor.skip(),
                    }
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, said: Digest) {
        if !said.is_empty() {
            self.user = Some(said);
        }
    }

    /// Reads one message; whose it is may be said at its end.
    fn message(&mut self, cursor: &mut Cursor<'_>, google: bool) {
        let mut role = Role::Unknown;
        let mut said = Digest::default();
        cursor.step();
        loop {
            match cursor.significant() {
                Some(b'"') => {}
                Some(b'}') => {
                    cursor.step();
                    break;
                }
                _ => break,
            }
            let mut name = Name::default();
            cursor.string(|piece| name.add(piece));
            let is_text = matches!(name.get(), b"content" | b"parts" | b"text");
            match (name.get(), cursor.significant()) {
                (b"role" | b"type", Some(b'"')) => {
                    let is_role = name.get() == b"role";
                    let mut word = Name::default();
                    cursor.string(|piece| word.add(piece));
                    role = match (is_role, word.get()) {
                        (true, b"user") => Role::User,
                        (true, b"system" | b"developer") => Role::System,
                        (true, _) => Role::Other,
                        // A part that stands in the list by itself, of OpenAI responses.
                        (false, b"input_text" | b"text") if role == Role::Unknown => Role::User,
                        _ => role,
                    };
                }
                (_, Some(_)) if is_text && role != Role::Other => texts(cursor, &mut said, 0),
                (_, Some(_)) => cursor.skip(),
                (_, None) => break,
            }
            if role == Role::User && said.is_full() {
                break;
            }
        }
        // Google's messages are the user's unless they say otherwise; and one that is too long to be read to its end is.
        if role == Role::Unknown && (google || cursor.is_spent()) {
            role = Role::User;
        }
        match role {
            Role::User => self.say(said),
            Role::System => self.system.add(&said.finish().to_le_bytes()),
            Role::Unknown | Role::Other => {}
        }
    }
}

/// Adds the texts of a value: a string, a list of parts, a part.
fn texts(cursor: &mut Cursor<'_>, said: &mut Digest, depth: u8) {
    match cursor.significant() {
        Some(b'"') => text(cursor, said),
        Some(b'[') if depth < DEPTH_MAX => {
            cursor.step();
            loop {
                match cursor.significant() {
                    Some(b']' | b'}') => return cursor.step(),
                    Some(b'"' | b'{' | b'[') => texts(cursor, said, depth.saturating_add(1)),
                    Some(_) => cursor.skip(),
                    None => return,
                }
            }
        }
        Some(b'{') if depth < DEPTH_MAX => {
            cursor.step();
            loop {
                match cursor.significant() {
                    Some(b'}') => return cursor.step(),
                    Some(b'"') => {}
                    _ => return,
                }
                let mut name = Name::default();
                cursor.string(|piece| name.add(piece));
                match (name.get(), cursor.significant()) {
                    (b"text" | b"content" | b"parts", Some(b'"' | b'{' | b'[')) => {
                        texts(cursor, said, depth.saturating_add(1));
                    }
                    (_, Some(_)) => cursor.skip(),
                    (_, None) => return,
                }
            }
        }
        Some(_) => cursor.skip(),
        None => {}
    }
}

fn text(cursor: &mut Cursor<'_>, said: &mut Digest) {
    cursor.string(|piece| said.add_text(piece));
}

/// A short word. A longer one is none of those that matter.
#[derive(Default)]
struct Name {
    bytes: [u8; 16],
    len: usize,
}

impl Name {
    fn add(&mut self, piece: &[u8]) {
        let to = self.len.saturating_add(piece.len());
        if let Some(room) = self.bytes.get_mut(self.len..to) {
            room.copy_from_slice(piece);
        }
        self.len = to;
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(b"?")
    }
}
