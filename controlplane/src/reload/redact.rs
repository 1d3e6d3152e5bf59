//! Documents as they are shown: with [`MARKER`] in the place of secrets, and what such a document means when it
//! comes back.
//!
//! A secret is a string that stands where secrets stand (`apikey`, `add_headers`, keys that sound like one, also
//! misspelt), one that looks like a provider's key wherever it stands, and one that repeats such a string. References (`${env:…}`,
//! `${file:…}`) are no secrets. Comments are searched too: people comment keys out. The marker says nothing about the
//! secret, not even its length.
//!
//! Coming back, a marker stands for the present secret at the same path. Positions in arrays are no names: where
//! several entries of an array have a secret at the same place, the entry must be recognised by the rest of it, or by its
//! `src`. What cannot be told apart is refused, never guessed, because a guess would send one provider's key to another.

use std::collections::HashSet;
use std::ops::Range;

use jsonc_parser::common::Range as Span;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, ast, parse_to_ast};

use crate::config::Message;

/// What stands where a secret is.
pub(crate) const MARKER: &str = "***";

/// The text with every secret replaced; `None` if it does not parse, because then nobody knows what is one.
pub(crate) fn redact(text: &str) -> Option<String> {
    let found = Found::read(text)?;
    let mut edits: Vec<(Range<usize>, String)> = found
        .spots
        .iter()
        .map(|spot| (spot.span.clone(), quoted(&spot.shown())))
        .collect();
    for comment in &found.comments {
        if let Some(inside) = text.get(comment.clone()) {
            edits.push((comment.clone(), redact_comment(inside, &found.secrets())));
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    Some(splice(text, &edits))
}

/// Paths of the secrets that `text` has otherwise than `before`, for a history that shows no secret.
pub(crate) fn changed(before: &str, text: &str) -> Vec<String> {
    let list = |text| Found::read(text).map(|found| found.spots).unwrap_or_default();
    let (old, new) = (list(before), list(text));
    let key = |spot: &Spot| (spot.path.clone(), spot.value.clone());
    let (old_keys, new_keys): (HashSet<_>, HashSet<_>) =
        (old.iter().map(key).collect(), new.iter().map(key).collect());
    let mut paths: Vec<String> = old_keys
        .symmetric_difference(&new_keys)
        .map(|(path, _)| path.clone())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A document that came back, with its markers filled in.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) text: String,
    /// Markers that stand for nothing, in the words of a check.
    pub(crate) errors: Vec<Message>,
    fills: Vec<Fill>,
}

/// A filled-in marker: its place is wider or narrower in the restored text than in the one that the admin sees.
#[derive(Debug)]
struct Fill {
    line: usize,
    /// First column of it in the restored text, in characters from 1.
    column: usize,
    restored: usize,
    sent: usize,
}

impl Restored {
    /// A place in the restored text as a place in the text that was sent. Columns would otherwise tell lengths.
    pub(crate) fn place(&self, mut message: Message) -> Message {
        let fills = self.fills.iter().filter(|fill| fill.line == message.line);
        let mut back = 0_usize;
        let mut forth = 0_usize;
        for fill in fills {
            if message.column >= fill.column + fill.restored {
                back += fill.restored;
                forth += fill.sent;
            } else if message.column > fill.column {
                message.column = fill.column;
            }
        }
        message.column = (message.column + forth).saturating_sub(back).max(1);
        message
    }
}

/// Fills the markers of `text` with the secrets of `present`, the document in use.
pub(crate) fn restore(text: &str, present: &str) -> Restored {
    let mut restored = Restored {
        text: text.to_owned(),
        errors: Vec::new(),
        fills: Vec::new(),
    };
    // A text that does not parse is refused for that; there is nothing to fill in.
    let Some(sent) = Found::read(text) else {
        return restored;
    };
    if sent.marked.is_empty() {
        return restored;
    }
    let kept = Found::read(present).unwrap_or_default();
    let mut edits = Vec::new();
    for spot in &sent.marked {
        let error = match find(spot, &kept.spots) {
            Ok(value) => {
                edits.push((spot.span.clone(), quoted(&spot.filled(value))));
                continue;
            }
            Err(Missing::Nowhere) if !spot.expected => continue,
            Err(Missing::Nowhere) => {
                "is redacted, but the present document has no secret at this path to keep; write it out"
            }
            Err(Missing::Ambiguous) => {
                "is redacted, and several entries of the present document could be meant; write it out"
            }
        };
        let (line, column) = position(text, spot.span.start);
        restored.errors.push(Message {
            path: spot.path.clone(),
            line,
            column,
            text: error.to_owned(),
        });
    }
    restored.text = splice(text, &edits);
    let mut grown: (usize, usize) = (0, 0);
    for (span, value) in &edits {
        // Both kinds of string literal hold no line break, so lines stay the same.
        let at = (span.start + grown.1).saturating_sub(grown.0);
        let (line, column) = position(&restored.text, at);
        restored.fills.push(Fill {
            line,
            column,
            restored: value.chars().count(),
            sent: text.get(span.clone()).map_or(0, |t| t.chars().count()),
        });
        grown = (grown.0 + span.len(), grown.1 + value.len());
    }
    restored
}

enum Missing {
    Nowhere,
    Ambiguous,
}

/// The one secret that a marker stands for.
fn find<'a>(marked: &Spot, spots: &'a [Spot]) -> Result<&'a str, Missing> {
    let one = |list: &[&'a Spot]| -> Option<&'a str> {
        let first = list.first()?;
        list.iter()
            .all(|spot| spot.secret() == first.secret())
            .then(|| first.secret())
    };
    let alike: Vec<&Spot> = spots
        .iter()
        .filter(|spot| spot.place == marked.place && spot.header == marked.header)
        .collect();
    if alike.is_empty() {
        return Err(Missing::Nowhere);
    }
    for same in [
        (|a: &Spot, b: &Spot| a.entry == b.entry) as fn(&Spot, &Spot) -> bool,
        |a, b| a.owner.is_some() && a.owner == b.owner,
    ] {
        let list: Vec<&Spot> = alike.iter().copied().filter(|spot| same(spot, marked)).collect();
        if !list.is_empty() {
            return one(&list).ok_or(Missing::Ambiguous);
        }
    }
    // An entry that is not recognised: a secret must not move to another one unseen.
    match alike.as_slice() {
        [only] if only.path == marked.path => Ok(only.secret()),
        _ => Err(Missing::Ambiguous),
    }
}

/// A string of a document that is a secret, or a marker.
#[derive(Debug, Clone)]
struct Spot {
    /// As messages write it, with positions in arrays.
    path: String,
    /// The same with `[]` for every position.
    place: String,
    span: Range<usize>,
    value: String,
    /// `add_headers`: lower-case name; only what stands behind it is secret.
    header: Option<String>,
    /// The outermost entry of an array that holds it, redacted; empty outside of arrays.
    entry: String,
    /// Its `src`.
    owner: Option<String>,
    /// A secret belongs here, so that a marker cannot be a text that happens to look like one.
    expected: bool,
}

impl Spot {
    /// What is secret in it.
    fn secret(&self) -> &str {
        match (&self.header, self.value.split_once(':')) {
            (Some(_), Some((_, value))) => value,
            _ => &self.value,
        }
    }

    fn shown(&self) -> String {
        self.filled_with_space(MARKER)
    }

    fn filled(&self, secret: &str) -> String {
        match (&self.header, self.value.split_once(':')) {
            (Some(_), Some((name, _))) => format!("{name}:{secret}"),
            _ => secret.to_owned(),
        }
    }

    fn filled_with_space(&self, text: &str) -> String {
        match (&self.header, self.value.split_once(':')) {
            (Some(_), Some((name, _))) => format!("{name}: {text}"),
            _ => text.to_owned(),
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    spots: Vec<Spot>,
    marked: Vec<Spot>,
    comments: Vec<Range<usize>>,
}

impl Found {
    fn read(text: &str) -> Option<Self> {
        let collect = CollectOptions {
            comments: CommentCollectionStrategy::AsTokens,
            tokens: true,
        };
        // A byte-order mark is no part of the document.
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let shift = text.len() - body.len();
        let parsed = parse_to_ast(body, &collect, &ParseOptions::default()).ok()?;
        let mut found = Self::default();
        for token in parsed.tokens.iter().flatten() {
            if matches!(token.token, Token::CommentLine(_) | Token::CommentBlock(_)) {
                found
                    .comments
                    .push(token.range.start + shift..token.range.end + shift);
            }
        }
        let Some(root) = &parsed.value else {
            return Some(found);
        };
        let mut walk = Walk {
            found: &mut found,
            shift,
            known: None,
        };
        walk.value(root, &At::default());
        // A second look for strings that repeat a secret of the first.
        let known = found.secrets();
        if !known.is_empty() {
            let comments = std::mem::take(&mut found.comments);
            found = Self {
                comments,
                ..Self::default()
            };
            let mut walk = Walk {
                found: &mut found,
                shift,
                known: Some(known),
            };
            walk.value(root, &At::default());
        }
        Some(found)
    }

    /// Secrets that are long enough to be looked for elsewhere.
    fn secrets(&self) -> Vec<String> {
        let mut list: Vec<String> = self
            .spots
            .iter()
            .map(|spot| spot.secret().trim().to_owned())
            .filter(|secret| secret.len() >= 8)
            .collect();
        // The longest first: one may be part of another.
        list.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        list.dedup();
        list
    }
}

/// Where a walk stands.
#[derive(Debug, Clone, Default)]
struct At<'a> {
    path: String,
    place: String,
    /// Key of the value, or of the nearest object member above it.
    key: &'a str,
    within: Within,
    /// The outermost entry of an array.
    entry: Option<&'a ast::Value<'a>>,
}

/// What kind of container a walk is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Plain,
    /// Every string is `Name: secret`.
    HeaderList,
    /// Every string is a secret.
    Secrets,
}

struct Walk<'f> {
    found: &'f mut Found,
    /// Bytes before the text that was parsed.
    shift: usize,
    known: Option<Vec<String>>,
}

impl Walk<'_> {
    fn value<'a>(&mut self, value: &'a ast::Value<'a>, at: &At<'a>) {
        match value {
            ast::Value::Object(object) => {
                for property in &object.properties {
                    let key = property.name.as_str();
                    let within = match at.within {
                        Within::Secrets => Within::Secrets,
                        _ if is_headers(key) => match property.value {
                            ast::Value::Array(_) => Within::HeaderList,
                            _ => Within::Secrets,
                        },
                        _ if is_secret_member(at.key, property) => Within::Secrets,
                        other => other,
                    };
                    let inner = At {
                        path: join(&at.path, key),
                        place: join(&at.place, key),
                        key,
                        within,
                        entry: at.entry,
                    };
                    self.value(&property.value, &inner);
                }
            }
            ast::Value::Array(array) => {
                for (index, item) in array.elements.iter().enumerate() {
                    // The entries of a list of headers are told apart by their names.
                    let entry = at
                        .entry
                        .or_else(|| (at.within != Within::HeaderList).then_some(item));
                    let inner = At {
                        path: format!("{}[{index}]", at.path),
                        place: format!("{}[]", at.place),
                        entry,
                        ..at.clone()
                    };
                    self.value(item, &inner);
                }
            }
            ast::Value::StringLit(text) => self.text(text, at),
            // A number where a key belongs is a mistake of type, and may be the key all the same.
            ast::Value::NumberLit(number) if at.within == Within::Secrets => {
                let spot = self.spot(at, number.range, number.value, None);
                self.found.spots.push(spot);
            }
            ast::Value::NumberLit(_) | ast::Value::BooleanLit(_) | ast::Value::NullKeyword(_) => {}
        }
    }

    fn spot(&self, at: &At<'_>, range: Span, value: &str, header: Option<String>) -> Spot {
        Spot {
            path: at.path.clone(),
            place: at.place.clone(),
            span: range.start + self.shift..range.end + self.shift,
            value: value.to_owned(),
            header,
            entry: at.entry.map_or_else(String::new, canonical),
            owner: at.entry.and_then(owner),
            expected: at.within != Within::Plain,
        }
    }

    fn text(&mut self, text: &ast::StringLit<'_>, at: &At<'_>) {
        let value = text.value.as_ref();
        let header = match at.within {
            Within::HeaderList => value
                .split_once(':')
                .map(|(name, _)| name.trim().to_ascii_lowercase()),
            Within::Plain | Within::Secrets => None,
        };
        let part = match (&header, value.split_once(':')) {
            (Some(_), Some((_, rest))) => rest.trim(),
            _ => value,
        };
        let marked = part == MARKER;
        let repeats = || {
            let known = self.known.iter().flatten();
            known.into_iter().any(|secret| value.contains(secret.as_str()))
        };
        let stands = at.within != Within::Plain;
        let secret = !part.is_empty()
            && !is_reference(part)
            && (stands || marked || looks_like_key(value) || is_url_with_secret(value) || repeats());
        if !secret || (stands && at.within == Within::Secrets && is_word(at.key, value)) {
            return;
        }
        let spot = self.spot(at, text.range, value, header);
        if marked {
            self.found.marked.push(spot);
        } else {
            self.found.spots.push(spot);
        }
    }
}

/// The entry of an array without its secrets, so that the shown one and the present one are equal.
fn canonical(value: &ast::Value<'_>) -> String {
    fn write(value: &ast::Value<'_>, above: &str, within: Within, out: &mut String) {
        match value {
            ast::Value::Object(object) => {
                out.push('{');
                for property in &object.properties {
                    let key = property.name.as_str();
                    out.push_str(&quoted(key));
                    out.push(':');
                    let within = match within {
                        Within::Plain if is_headers(key) => Within::HeaderList,
                        Within::Plain if is_secret_member(above, property) => Within::Secrets,
                        other => other,
                    };
                    write(&property.value, key, within, out);
                    out.push(',');
                }
                out.push('}');
            }
            ast::Value::Array(array) => {
                out.push('[');
                for item in &array.elements {
                    write(item, above, within, out);
                    out.push(',');
                }
                out.push(']');
            }
            ast::Value::StringLit(text) => match within {
                Within::Plain
                    if text.value == MARKER
                        || looks_like_key(&text.value)
                        || is_url_with_secret(&text.value) =>
                {
                    out.push_str(MARKER);
                }
                Within::Plain => out.push_str(&quoted(&text.value)),
                Within::HeaderList => {
                    let name = text.value.split_once(':').map_or("", |(name, _)| name);
                    out.push_str(&quoted(&name.trim().to_ascii_lowercase()));
                }
                Within::Secrets => out.push_str(MARKER),
            },
            ast::Value::NumberLit(_) if within == Within::Secrets => out.push_str(MARKER),
            ast::Value::NumberLit(number) => out.push_str(number.value),
            ast::Value::BooleanLit(value) => out.push_str(if value.value { "true" } else { "false" }),
            ast::Value::NullKeyword(_) => out.push_str("null"),
        }
    }
    let mut out = String::new();
    write(value, "", Within::Plain, &mut out);
    out
}

/// Whom an entry is for.
fn owner(value: &ast::Value<'_>) -> Option<String> {
    let ast::Value::Object(object) = value else {
        return None;
    };
    let src = object.properties.iter().find(|p| p.name.as_str() == "src")?;
    Some(canonical(&src.value))
}

fn is_headers(key: &str) -> bool {
    let key = squeezed(key);
    key == "addheaders" || key == "headers" || distance(&key, "addheaders") <= 2
}

/// Whether a key sounds as if a secret stood behind it.
fn is_secret_key(key: &str) -> bool {
    let key = squeezed(key);
    // Counts of tokens, paths of files and names of variables are none.
    if key.ends_with("tokens") || key.ends_with("file") || key.ends_with("path") || key.ends_with("url") {
        return false;
    }
    const WORDS: [&str; 13] = [
        "apikey",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "token",
        "credential",
        "privatekey",
        "accesskey",
        "authkey",
        "signingkey",
        "encryptionkey",
        "accountkey",
    ];
    WORDS.iter().any(|word| key.contains(word)) || distance(&key, "apikey") <= 2
}

/// Whether the strings of a member are secrets. Keys of objects are names that somebody chose, and so are aliases.
fn is_secret_member(above: &str, property: &ast::ObjectProp<'_>) -> bool {
    const PLAIN: [&str; 6] = [
        "apikey",
        "secret",
        "password",
        "credentials",
        "privatekey",
        "token",
    ];
    let key = property.name.as_str();
    match property.value {
        ast::Value::Object(_) => PLAIN.contains(&squeezed(key).as_str()),
        _ => above != "model_aliases" && is_secret_key(key),
    }
}

fn squeezed(key: &str) -> String {
    key.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Edits between two short words.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Words of the document itself behind keys that sound secret, e.g. a hook's `authorization`.
fn is_word(key: &str, value: &str) -> bool {
    matches!(key, "authorization" | "bearer") && value.len() <= 16
}

/// Nothing but placeholders, perhaps behind a scheme: what they stand for is not in the document.
fn is_reference(value: &str) -> bool {
    let mut rest = value.trim();
    for scheme in ["Bearer ", "Basic ", "Token ", "bearer ", "basic ", "token "] {
        rest = rest.strip_prefix(scheme).unwrap_or(rest);
    }
    if rest.is_empty() {
        return false;
    }
    while let Some(inside) = rest.strip_prefix("${") {
        let Some((name, after)) = inside.split_once('}') else {
            return false;
        };
        if !name.starts_with("env:") && !name.starts_with("file:") {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// Beginnings that providers and platforms give to their keys.
fn looks_like_key(value: &str) -> bool {
    const BEGINNINGS: [&str; 16] = [
        "sk-",
        "sk_",
        "pk-",
        "rk_",
        "slt_",
        "gsk_",
        "xai-",
        "AIza",
        "AKIA",
        "ghp_",
        "gho_",
        "github_pat_",
        "hf_",
        "glpat-",
        "xoxb-",
        "tskey-",
    ];
    let value = value.trim();
    let long = value.len() >= 12 && !value.contains(char::is_whitespace);
    let token = value.starts_with("eyJ") && value.matches('.').count() == 2;
    (long && (token || BEGINNINGS.iter().any(|b| value.starts_with(b))))
        || value.contains("-----BEGIN PRIVATE KEY")
        || value.contains("PRIVATE KEY-----")
}

/// `https://user:password@host`, `https://host/?key=…`.
fn is_url_with_secret(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').is_some_and(|(user, _)| {
        user.split_once(':')
            .is_some_and(|(_, p)| !p.is_empty() && !is_reference(p))
    });
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    password
        || query.split('&').any(|pair| {
            pair.split_once('=').is_some_and(|(name, value)| {
                (is_secret_key(name) || name == "key" || name == "sig")
                    && !value.is_empty()
                    && !is_reference(value)
            })
        })
}

/// A comment with the secrets in it replaced: repeated ones, what looks like a key, and strings behind secret keys.
fn redact_comment(text: &str, known: &[String]) -> String {
    let mut out = text.to_owned();
    for secret in known {
        out = out.replace(secret.as_str(), MARKER);
    }
    let mut words = String::with_capacity(out.len());
    let mut rest = out.as_str();
    let mut behind_key = false;
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
        let assigned = matches!(before.trim_matches([' ', '\t', '"', '\'']), ":" | "=");
        let telling = word.len() >= 8 && word.bytes().any(|b| b.is_ascii_digit());
        let secret = looks_like_key(word) || (behind_key && assigned && telling);
        words.push_str(before);
        words.push_str(if secret { MARKER } else { word });
        behind_key = is_secret_key(word);
        rest = after;
    }
    words.push_str(rest);
    quoted_behind_keys(&words)
}

/// `"apikey": "value"` in free text: the value is replaced.
fn quoted_behind_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut secret = false;
    while let Some(start) = rest.find('"') {
        let (before, from) = rest.split_at(start + 1);
        // A string in a comment that never ends is taken to reach the comment's end.
        let end = end_of_string(from).unwrap_or(from.len());
        let (inside, after) = from.split_at(end);
        let follows = before.trim_start_matches([' ', '\t', '\n', '\r', '/', '*']);
        let value =
            secret && (follows.starts_with(':') || follows.starts_with('[') || follows.starts_with(','));
        let is_key = after.trim_start_matches('"').trim_start().starts_with(':');
        out.push_str(before);
        if value && !is_key && !is_reference(inside) && !inside.is_empty() {
            match inside.split_once(':') {
                Some((name, _)) if !name.contains(' ') => out.push_str(&format!("{name}: {MARKER}")),
                _ => out.push_str(MARKER),
            }
        } else {
            out.push_str(inside);
        }
        if is_key {
            secret = is_secret_key(inside) || is_headers(inside);
        }
        rest = after;
        if let Some(closed) = rest.strip_prefix('"') {
            out.push('"');
            rest = closed;
        }
    }
    out.push_str(rest);
    out
}

fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn splice(text: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, value) in edits {
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(value);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Line and column of a byte offset, from 1, columns in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (line, before.get(start..).map_or(0, |l| l.chars().count()) + 1)
}

/// The spelling of paths in messages.
fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || !key.chars().all(plain) {
        format!("{path}[{key:?}]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests;
