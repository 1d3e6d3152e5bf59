//! Where something stands in a body, and what stands around it, masked.

use std::ops::Range;

use serde_json::Value;

/// Bytes that are shown on each side of a finding.
const AROUND_BYTES: usize = 40;
/// What is found stands for so many characters, however many it has.
const MASK: &str = "•••";
/// Shortest finding of which the ends are shown, in characters.
const ENDS_CHARS_MIN: usize = 6;
/// Longest path that is shown.
const PATH_BYTES_MAX: usize = 200;
/// Longest replacement that is shown.
const WITH_BYTES_MAX: usize = 100;

/// A finding's bytes in one of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) text: usize,
    pub(super) range: Range<usize>,
}

/// Everything that was found, in order.
pub(super) type Masks = Vec<Place>;

/// Everything that was found, so that no snippet shows what another rule found.
pub(super) fn masks<'a>(places: impl Iterator<Item = &'a Place>) -> Masks {
    let mut all: Vec<Place> = places.cloned().collect();
    all.sort_by_key(|place| (place.text, place.range.start));
    all
}

/// A text that was looked through.
#[derive(Debug)]
pub(super) struct Text<'a> {
    bytes: &'a [u8],
    /// Of an answer: where it stands.
    path: Option<String>,
    /// Of an answer: the key that it is the value of.
    name: &'a str,
}

impl<'a> Text<'a> {
    /// The body of a request: findings are somewhere in its strings.
    pub(super) const fn request(body: &'a [u8]) -> Self {
        Self {
            bytes: body,
            path: None,
            name: "",
        }
    }

    /// Every string of an answer, but for what says nothing: ids, types, signatures.
    pub(super) fn of_answer(answer: &'a Value, limit: usize, out: &mut Vec<Self>) {
        walk(answer, "", &mut "answer".to_owned(), limit, out);
    }

    pub(super) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) const fn name(&self) -> &'a str {
        self.name
    }

    /// Where a finding stands, e.g. `request.messages[0].content`.
    pub(super) fn place(&self, range: &Range<usize>) -> String {
        match &self.path {
            Some(path) => path.clone(),
            None => cut(&path_at(self.bytes, range.start), PATH_BYTES_MAX),
        }
    }

    /// A finding with what stands around it; `with` is what takes its place.
    pub(super) fn snippet(&self, place: &Place, all: &Masks, with: Option<&str>) -> String {
        let range = place.range.clone();
        let (from, to) = self.around(&range);
        let mut out = String::new();
        if from.cut {
            out.push('…');
        }
        out += &self.masked(place.text, from.at..range.start, all);
        match with {
            Some(with) => out += &cut(with, WITH_BYTES_MAX),
            None => out += &ends(&self.plain(range.clone())),
        }
        out += &self.masked(place.text, range.end..to.at, all);
        if to.cut {
            out.push('…');
        }
        out
    }

    /// Up to where the surroundings of a finding are shown: not beyond the string that it stands in.
    fn around(&self, range: &Range<usize>) -> (Edge, Edge) {
        let quote = |at: usize| {
            let escaped = self.bytes.get(..at).unwrap_or_default().iter().rev();
            let slashes = escaped.take_while(|byte| **byte == b'\\').count();
            self.path.is_none() && self.bytes.get(at) == Some(&b'"') && slashes % 2 == 0
        };
        let mut from = range.start;
        while from > 0 && range.start - from < AROUND_BYTES && !quote(from - 1) {
            from -= 1;
        }
        let cut_before = from > 0 && !quote(from - 1);
        while from < range.start && !self.is_boundary(from) {
            from += 1;
        }
        let mut to = range.end;
        while to < self.bytes.len() && to - range.end < AROUND_BYTES && !quote(to) {
            to += 1;
        }
        let cut_behind = to < self.bytes.len() && !quote(to);
        while to > range.end && !self.is_boundary(to) {
            to -= 1;
        }
        (
            Edge {
                at: from,
                cut: cut_before,
            },
            Edge {
                at: to,
                cut: cut_behind,
            },
        )
    }

    /// Whether a character begins here, and no escape is cut.
    fn is_boundary(&self, at: usize) -> bool {
        let inside = self.bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let before = self.bytes.get(at.saturating_sub(6)..at).unwrap_or_default();
        !inside && (self.path.is_some() || !before.contains(&b'\\'))
    }

    /// A stretch with everything masked that any rule found in it.
    fn masked(&self, text: usize, range: Range<usize>, all: &Masks) -> String {
        let mut out = String::new();
        let mut at = range.start;
        for other in all.iter().filter(|place| place.text == text) {
            let (start, end) = (other.range.start.max(at), other.range.end.min(range.end));
            if start < end {
                out += &self.plain(at..start);
                out += MASK;
                at = end;
            }
        }
        out += &self.plain(at..range.end);
        out
    }

    /// What a stretch says, escapes read.
    fn plain(&self, range: Range<usize>) -> String {
        let text = String::from_utf8_lossy(self.bytes.get(range).unwrap_or_default());
        if self.path.is_some() {
            return text.into_owned();
        }
        serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.into_owned())
    }
}

struct Edge {
    at: usize,
    /// The text goes on there.
    cut: bool,
}

/// A finding without what makes it one: its first and last characters.
fn ends(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next_back()) {
        (Some(first), Some(last)) if text.chars().count() >= ENDS_CHARS_MIN => {
            format!("{first}{MASK}{last}")
        }
        _ => MASK.to_owned(),
    }
}

/// The beginning of a text.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", text.get(..end.unwrap_or(0)).unwrap_or_default())
}

const SAY_NOTHING: [&str; 9] = [
    "id",
    "object",
    "type",
    "role",
    "model",
    "signature",
    "encrypted_content",
    "system_fingerprint",
    "thoughtSignature",
];

fn walk<'a>(value: &'a Value, name: &'a str, path: &mut String, limit: usize, out: &mut Vec<Text<'a>>) {
    if out.len() >= limit {
        return;
    }
    let length = path.len();
    match value {
        Value::String(text) if !SAY_NOTHING.contains(&name) => out.push(Text {
            bytes: text.as_bytes(),
            path: Some(cut(path, PATH_BYTES_MAX)),
            name,
        }),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                walk(item, name, path, limit, out);
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push('.');
                path.push_str(name);
                walk(member, name, path, limit, out);
                path.truncate(length);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The path of the value that a byte of a JSON document stands in.
fn path_at(body: &[u8], place: usize) -> String {
    enum Step {
        Item(usize),
        Key(String),
    }
    let mut steps: Vec<Step> = Vec::new();
    let (mut at, mut last): (usize, Option<Range<usize>>) = (0, None);
    while let Some(byte) = body.get(at).filter(|_| at <= place) {
        match byte {
            b'"' => {
                let start = at + 1;
                at = start;
                while let Some(byte) = body.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                if at >= place {
                    break;
                }
                last = Some(start..at);
            }
            b':' => {
                let key = last.take().and_then(|range| body.get(range)).unwrap_or_default();
                if let Some(step) = steps.last_mut() {
                    *step = Step::Key(String::from_utf8_lossy(key).into_owned());
                }
            }
            b'{' => steps.push(Step::Key(String::new())),
            b'[' => steps.push(Step::Item(0)),
            b'}' | b']' => {
                steps.pop();
            }
            b',' => {
                if let Some(Step::Item(number)) = steps.last_mut() {
                    *number = number.saturating_add(1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut out = "request".to_owned();
    for step in &steps {
        match step {
            Step::Item(number) => out.push_str(&format!("[{number}]")),
            Step::Key(key) if key.is_empty() => {}
            Step::Key(key) => {
                out.push('.');
                out.push_str(key);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_paths() {
        let body = br#"{"model": "m", "messages": [{"role":"user","content":"hi \"x\""}, {"content":[{"type":"text","text":"secret"}]}], "n": 1}"#;
        let check = |needle: &str, expected: &str| {
            let text = std::str::from_utf8(body).unwrap();
            assert_eq!(path_at(body, text.find(needle).unwrap()), expected, "{needle}");
        };
        check("hi", "request.messages[0].content");
        check("x\\\"\"", "request.messages[0].content");
        check("secret", "request.messages[1].content[0].text");
        check("m\",", "request.model");
        check("1}", "request.n");
        assert_eq!(path_at(b"\"", 5), "request");
        assert_eq!(path_at(b"{\"a\\", 9), "request");
    }

    #[test]
    fn snippets_show_neither_what_was_found_nor_what_another_rule_found() {
        let body = br#"{"content":"line\n mail bob@example.com and 4111111111111111 please"}"#;
        let text = Text::request(body);
        let find = |needle: &str| {
            let whole = std::str::from_utf8(body).unwrap();
            let at = whole.find(needle).unwrap();
            Place {
                text: 0,
                range: at..at + needle.len(),
            }
        };
        let (mail, card) = (find("bob@example.com"), find("4111111111111111"));
        let all = masks([&card, &mail].into_iter());
        assert_eq!(
            text.snippet(&mail, &all, None),
            "line\n mail b•••m and ••• please"
        );
        assert_eq!(
            text.snippet(&card, &all, Some("[CARD]")),
            "line\n mail ••• and [CARD] please"
        );
    }

    #[test]
    fn what_is_far_is_left_out_and_no_character_is_cut() {
        let long = "é".repeat(100) + "SECRET" + &"ü".repeat(100);
        let answer = serde_json::json!({ "choices": [{ "message": { "content": long, "role": "SECRET" } }] });
        let mut texts = Vec::new();
        Text::of_answer(&answer, 10, &mut texts);
        assert_eq!(texts.len(), 1);
        let place = Place {
            text: 0,
            range: 200..206,
        };
        let text = texts.first().unwrap();
        assert_eq!(text.place(&place.range), "answer.choices[0].message.content");
        let around = AROUND_BYTES / 2;
        assert_eq!(
            text.snippet(&place, &Vec::new(), None),
            format!("…{}S•••T{}…", "é".repeat(around), "ü".repeat(around))
        );
        let mut few = Vec::new();
        Text::of_answer(&answer, 0, &mut few);
        assert!(few.is_empty());
    }

    #[test]
    fn short_findings_show_nothing_of_themselves() {
        let check = |text: &str, expected: &str| assert_eq!(ends(text), expected, "{text}");
        check("", "•••");
        check("12345", "•••");
        check("123456", "1•••6");
        check("äbcdeö", "ä•••ö");
    }
}
