//! Where a string of an answer stands, and so what it is: part of a text that goes on in the next event, something that
//! stands for itself, or the protocol's own business.
//!
//! What is known of the formats decides only which strings are *joined*. A string in a place that nobody knows is looked
//! at all the same, by itself, or joined with its like if it stands in a `delta`.

use std::hash::{DefaultHasher, Hash, Hasher};

use sluice_shared::api::{ApiKind, Flag};

use super::tape::{Kind, Node, Tape, is, wide};

/// How a string says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// A string of JSON.
    Text,
    /// A string of JSON that holds JSON, or the next piece of it.
    Args,
    /// A number.
    Bare,
    /// Bytes outside of any JSON.
    Raw,
}

/// A text that goes on from event to event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LaneKey {
    /// The choice, candidate or item that it belongs to.
    pub(super) scope: u64,
    /// Everything else that tells it from others.
    pub(super) path: u64,
}

/// A string to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its value in the tape.
    pub(super) node: u32,
    pub(super) form: Form,
    /// `None`: it stands for itself.
    pub(super) lane: Option<LaneKey>,
    /// It is a key and not a value.
    pub(super) key: bool,
}

/// Which texts end with an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ends {
    #[default]
    None,
    All,
    /// Those of one choice, candidate or item.
    Scope(u64),
}

/// What is in an event.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) places: Vec<Place>,
    /// Values that repeat the text in pieces, and go when it is changed.
    pub(super) logprobs: Vec<u32>,
    /// Names of tools that are called.
    pub(super) tools: Vec<u32>,
    pub(super) ends: Ends,
    /// It repeats what came before.
    pub(super) repeats: bool,
}

/// What an event is part of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub(super) kind: ApiKind,
    pub(super) doc: &'a [u8],
    /// Its name outside of the document; empty for none.
    pub(super) name: &'a [u8],
    /// It is all of the body.
    pub(super) whole: bool,
}

/// Keys whose string is the protocol's own: words of a list, names of models, times.
const PROTOCOL: &[&[u8]] = &[
    b"type",
    b"object",
    b"model",
    b"role",
    b"finish_reason",
    b"finishReason",
    b"native_finish_reason",
    b"stop_reason",
    b"stopReason",
    b"done_reason",
    b"status",
    b"system_fingerprint",
    b"service_tier",
    b"serviceTier",
    b"obfuscation",
    b"created_at",
    b"createTime",
    b"modelVersion",
    b"trafficType",
    b"mimeType",
    b"mime_type",
    b"media_type",
    b"modality",
];

/// Keys of what is signed or encrypted, or no text: a change would break it, and nothing can be read in it.
const SEALED: &[&[u8]] = &[
    b"signature",
    b"thoughtSignature",
    b"thought_signature",
    b"encrypted_content",
    b"encrypted_index",
    b"encryptedContent",
    b"redactedContent",
    b"b64_json",
    b"partial_image_b64",
    b"embedding",
    b"bytes",
];

/// Keys of text that goes on in the next event.
const FLOWING: &[&[u8]] = &[
    b"content",
    b"text",
    b"refusal",
    b"reasoning",
    b"reasoning_content",
    b"thinking",
    b"response",
    b"completion",
    b"generation",
    b"outputText",
    b"output_text",
    b"transcript",
    b"arguments",
    b"partial_json",
    b"input",
];

/// Keys of objects whose keys and values the model chose.
const FREE: &[&[u8]] = &[b"input", b"args", b"arguments", b"json", b"structuredContent"];

/// Arrays whose elements are told apart.
const CHOICES: &[&[u8]] = &[b"choices", b"candidates", b"outputs", b"generations"];
const CALLS: &[&[u8]] = &[b"tool_calls"];

/// Types of objects that are calls of tools.
const CALL_TYPES: &[&[u8]] = &[
    b"tool_use",
    b"server_tool_use",
    b"mcp_tool_use",
    b"function_call",
    b"custom_tool_call",
    b"mcp_call",
];

/// Members of an event that say which item it is about.
const POSITIONS: &[&[u8]] = &[b"index", b"content_index", b"summary_index", b"contentBlockIndex"];

fn one_of(doc: &[u8], node: &Node, names: &[&[u8]]) -> bool {
    !node.key.is_empty() && names.iter().any(|name| is(doc, &node.key, name))
}

/// Finds everything that is to be looked at.
pub(super) fn find(event: &Event<'_>, tape: &Tape, found: &mut Found) {
    let doc = event.doc;
    found.places.clear();
    found.logprobs.clear();
    found.tools.clear();
    let root = root(tape);
    let kind = root.and_then(|root| tape.said(doc, root, b"type"));
    let name = kind.unwrap_or(event.name);
    found.repeats = repeats(name);
    found.ends = ends(event, tape, root, name);
    let flows = !found.repeats;
    let mut free_until = 0;
    let mut index = 0_u32;
    while let Some(node) = tape.node(index) {
        let free = index < free_until;
        let at = index;
        index = index.saturating_add(1);
        if free && !node.key.is_empty() {
            found.places.push(Place {
                node: at,
                form: Form::Text,
                lane: None,
                key: true,
            });
        }
        match node.kind {
            Kind::Object | Kind::Array if free => {}
            Kind::Object | Kind::Array => {
                if one_of(doc, node, &[b"logprobs", b"logprobsResult"]) {
                    found.logprobs.push(at);
                    index = node.next.max(index);
                } else if one_of(doc, node, FREE) {
                    free_until = node.next;
                } else if !known_key(doc, node) {
                    found.places.push(Place {
                        node: at,
                        form: Form::Text,
                        lane: None,
                        key: true,
                    });
                }
            }
            Kind::Bare => {
                if free && node.at.len() > 4 || !free && !is_literal(doc, node) {
                    found.places.push(Place {
                        node: at,
                        form: Form::Bare,
                        lane: None,
                        key: false,
                    });
                }
            }
            Kind::String => {
                if !free {
                    if !known_key(doc, node) {
                        found.places.push(Place {
                            node: at,
                            form: Form::Text,
                            lane: None,
                            key: true,
                        });
                    }
                    if is(doc, &node.key, b"name") && is_call(doc, tape, at) {
                        found.tools.push(at);
                    }
                    if is_sealed(event, tape, at, node) {
                        continue;
                    }
                }
                if node.at.is_empty() {
                    continue;
                }
                let form = if !free && is_args(doc, tape, at, node, name) {
                    Form::Args
                } else {
                    Form::Text
                };
                let lane = if free {
                    None
                } else if event.whole {
                    in_parts(doc, tape, at, node).then(|| lane(event, tape, root, at, b""))
                } else {
                    (flows && (one_of(doc, node, FLOWING) || in_delta(doc, tape, at)))
                        .then(|| lane(event, tape, root, at, name))
                };
                found.places.push(Place {
                    node: at,
                    form,
                    lane,
                    key: false,
                });
            }
        }
    }
}

/// The object that an event is; an element of an array stands in what was opened before it.
fn root(tape: &Tape) -> Option<u32> {
    let mut nodes = tape.nodes().iter().zip(0_u32..);
    nodes.find_map(|(node, at)| (node.kind == Kind::Object).then_some(at))
}

/// Whether a key reads like those of protocols; others are looked at, in case that text stands there.
fn known_key(doc: &[u8], node: &Node) -> bool {
    let key = doc.get(wide(&node.key)).unwrap_or_default();
    let digits = key.iter().filter(|byte| byte.is_ascii_digit()).count();
    key.is_empty()
        || key.len() <= 48
            && digits <= 4
            && key
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$' | b'.'))
}

/// Whether a bare value is a number, `true`, `false` or `null`.
fn is_literal(doc: &[u8], node: &Node) -> bool {
    let bare = doc.get(wide(&node.at)).unwrap_or_default();
    matches!(bare, b"true" | b"false" | b"null")
        || bare
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
}

fn is_sealed(event: &Event<'_>, tape: &Tape, at: u32, node: &Node) -> bool {
    let doc = event.doc;
    let key = doc.get(wide(&node.key)).unwrap_or_default();
    if key == b"id" || key.ends_with(b"_id") || key.ends_with(b"Id") {
        return true;
    }
    if PROTOCOL.contains(&key) || SEALED.contains(&key) {
        return true;
    }
    let bedrock = matches!(
        event.kind.flag(),
        Flag::BedrockConverse | Flag::BedrockModelInvoke
    );
    let parent = tape.parent(at);
    match key {
        // Padding of random length.
        b"p" => bedrock && parent.is_some_and(|parent| tape.parent(parent).is_none()),
        // Sound, pictures, and what was thought and sealed.
        b"data" => parent.is_some_and(|parent| {
            tape.said(doc, parent, b"type") == Some(b"redacted_thinking")
                || tape.member(doc, parent, b"mimeType").is_some()
                || tape.member(doc, parent, b"mime_type").is_some()
                || tape.member(doc, parent, b"media_type").is_some()
                || tape
                    .node(parent)
                    .is_some_and(|parent| one_of(doc, parent, &[b"audio", b"inlineData", b"inline_data"]))
        }),
        _ => false,
    }
}

/// Whether a string holds JSON of the model's.
fn is_args(doc: &[u8], tape: &Tape, at: u32, node: &Node, name: &[u8]) -> bool {
    if one_of(doc, node, &[b"arguments", b"partial_json"]) {
        return true;
    }
    if is(doc, &node.key, b"delta") {
        return memchr::memmem::find(name, b"arguments").is_some();
    }
    is(doc, &node.key, b"input")
        && tape
            .parent(at)
            .and_then(|parent| tape.node(parent))
            .is_some_and(|parent| is(doc, &parent.key, b"toolUse"))
}

/// Whether `name`, a member, names a tool that is called.
fn is_call(doc: &[u8], tape: &Tape, at: u32) -> bool {
    let Some(parent) = tape.parent(at) else {
        return false;
    };
    let Some(node) = tape.node(parent) else {
        return false;
    };
    if one_of(doc, node, &[b"functionCall", b"function_call", b"toolUse"]) {
        return true;
    }
    if is(doc, &node.key, b"function") {
        // In answers that repeat the request, tools that are offered look almost alike.
        let holder = tape.parent(parent);
        let list = holder.and_then(|holder| tape.parent(holder));
        return list
            .and_then(|list| tape.node(list))
            .is_some_and(|list| is(doc, &list.key, b"tool_calls"));
    }
    tape.said(doc, parent, b"type")
        .is_some_and(|kind| CALL_TYPES.contains(&kind))
}

/// Whether a string stands in a `delta` or is one.
fn in_delta(doc: &[u8], tape: &Tape, at: u32) -> bool {
    let mut at = Some(at);
    while let Some(index) = at {
        if tape.node(index).is_some_and(|node| is(doc, &node.key, b"delta")) {
            return true;
        }
        at = tape.parent(index);
    }
    false
}

/// Whether a string is one of several that together are one text: parts, or blocks that citations divide.
fn in_parts(doc: &[u8], tape: &Tape, at: u32, node: &Node) -> bool {
    let list = tape.parent(at).and_then(|object| tape.parent(object));
    is(doc, &node.key, b"text")
        && list
            .and_then(|list| tape.node(list))
            .is_some_and(|list| list.kind == Kind::Array && one_of(doc, list, &[b"parts", b"content"]))
}

/// Whether an event of this name says again what others said before.
fn repeats(name: &[u8]) -> bool {
    (name.starts_with(b"response.") || name.ends_with(b".done"))
        && memchr::memmem::find(name, b"delta").is_none()
}

fn ends(event: &Event<'_>, tape: &Tape, root: Option<u32>, name: &[u8]) -> Ends {
    let Some(root) = root else { return Ends::None };
    let doc = event.doc;
    match name {
        b"message_delta" | b"message_stop" | b"messageStop" | b"contentBlockStart" | b"error" => {
            return Ends::All;
        }
        b"content_block_start" => {
            let block = tape.member(doc, root, b"content_block");
            let kind = block.and_then(|block| tape.said(doc, block, b"type"));
            return if kind == Some(b"text") {
                Ends::None
            } else {
                Ends::All
            };
        }
        _ => {}
    }
    if let Some(rest) = name.strip_prefix(b"response.") {
        if matches!(rest, b"completed" | b"incomplete" | b"failed") {
            return Ends::All;
        }
        if rest.ends_with(b"done") {
            return Ends::Scope(scope(event, tape, root, None));
        }
        return Ends::None;
    }
    if tape.said(doc, root, b"done") == Some(b"true") {
        return Ends::All;
    }
    for list in CHOICES {
        let Some(list) = tape.member(doc, root, list) else {
            continue;
        };
        let Some(end) = tape.node(list).map(|node| node.next) else {
            continue;
        };
        let mut ended = Ends::None;
        let mut element = list.saturating_add(1);
        let mut ordinal = 0;
        while element < end {
            let Some(node) = tape.node(element) else { break };
            let why = [&b"finish_reason"[..], b"finishReason", b"stop_reason"]
                .iter()
                .find_map(|key| tape.said(doc, element, key));
            if why.is_some_and(|why| !why.is_empty() && why != b"null") {
                let scope = scope(event, tape, root, Some((element, ordinal)));
                ended = match ended {
                    Ends::None => Ends::Scope(scope),
                    _ => Ends::All,
                };
            }
            ordinal += 1;
            element = node.next.max(element.saturating_add(1));
        }
        return ended;
    }
    Ends::None
}

/// The choice, candidate or item that something belongs to.
fn scope(event: &Event<'_>, tape: &Tape, root: u32, choice: Option<(u32, u64)>) -> u64 {
    let doc = event.doc;
    let stated = match choice {
        Some((element, _)) => tape.said(doc, element, b"index"),
        None => tape.said(doc, root, b"output_index"),
    };
    let stated = stated.and_then(|digits| std::str::from_utf8(digits).ok());
    let ordinal = choice.map_or(0, |(_, ordinal)| ordinal);
    stated.and_then(|digits| digits.parse().ok()).unwrap_or(ordinal)
}

/// The text that a string is part of.
fn lane(event: &Event<'_>, tape: &Tape, root: Option<u32>, at: u32, name: &[u8]) -> LaneKey {
    let doc = event.doc;
    let mut hasher = DefaultHasher::new();
    let mut choice = None;
    let mut index = at;
    let mut text = false;
    if let Some(node) = tape.node(at) {
        text = is(doc, &node.key, b"text");
    }
    while let Some(node) = tape.node(index) {
        let key = doc.get(wide(&node.key)).unwrap_or_default();
        // What begins with its block goes on in deltas.
        match key {
            b"content_block" => b"delta".hash(&mut hasher),
            b"" => {}
            _ => key.hash(&mut hasher),
        }
        let Some(parent) = tape.parent(index) else { break };
        if let Some(list) = tape.node(parent).filter(|list| list.kind == Kind::Array) {
            let choices = one_of(doc, list, CHOICES);
            if choices || one_of(doc, list, CALLS) {
                let ordinal = ordinal(tape, parent, index);
                if choices && choice.is_none() {
                    choice = Some((index, ordinal));
                } else {
                    let stated = tape.said(doc, index, b"index");
                    match stated {
                        Some(stated) => stated.hash(&mut hasher),
                        None => ordinal.to_string().as_bytes().hash(&mut hasher),
                    }
                }
            }
        }
        index = parent;
    }
    let name = if name == b"content_block_start" {
        b"content_block_delta"
    } else {
        name
    };
    name.hash(&mut hasher);
    let Some(root) = root else {
        return LaneKey {
            scope: 0,
            path: hasher.finish(),
        };
    };
    // Text is one over all blocks of a message: citations divide it in the middle of a sentence.
    let blocks = matches!(name, b"content_block_delta" | b"contentBlockDelta");
    if !(text && blocks) {
        for position in POSITIONS {
            tape.said(doc, root, position).hash(&mut hasher);
        }
    }
    LaneKey {
        scope: scope(event, tape, root, choice),
        path: hasher.finish(),
    }
}

/// How many elements stand before one.
fn ordinal(tape: &Tape, list: u32, element: u32) -> u64 {
    let mut at = list.saturating_add(1);
    let mut before = 0;
    while at < element {
        let Some(node) = tape.node(at) else { break };
        at = node.next.max(at.saturating_add(1));
        before += 1;
    }
    before
}
