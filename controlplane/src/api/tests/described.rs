//! Answers against the description: whatever any test of the API is answered has to be what `openapi.json` says.

use std::fmt;

use super::routes::ROUTES;
use super::schema::problems;
use super::*;
use crate::api::openapi::{document, documented};

/// An answer as it came over the socket.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The lines of the head; each ends with a line end.
    pub(super) head: String,
    /// Without the framing of chunks.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A field of the head; empty: there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = fields.filter(|(other, _)| *other == name);
        found.next().map_or("", |(_, value)| value)
    }

    /// The body as JSON; `null`: it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.head, String::from_utf8_lossy(&self.body))
    }
}

/// Sends the bytes of a request, whose first line names method and target, and reads the answer to its end. Panics if it
/// is not as the API is described.
pub(super) fn ask(path: &Path, request: &[u8]) -> Answer {
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    // An answer may come before a large body is taken.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..at].to_vec()).unwrap() + "\r\n";
    let mut answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: bytes[at + 4..].to_vec(),
    };
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = whole(&answer.body);
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap();
    let mut words = std::str::from_utf8(line).unwrap().split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    check(method, target, &answer);
    answer
}

fn whole(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let at = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[at + 2..at + 2 + size]);
        chunks = &chunks[at + 2 + size + 2..];
    }
}

/// The path of the description that a target is one of.
fn described(target: &str) -> Option<&'static str> {
    let path = target.split('?').next().unwrap_or_default();
    let fits = |route: &str| {
        let (mut asked, mut wanted) = (path.split('/'), route.split('/'));
        loop {
            match (asked.next(), wanted.next()) {
                (Some(_), Some(rest)) if rest.starts_with("{*") => return true,
                (Some(word), Some(name)) if name.starts_with('{') => {
                    if word.is_empty() {
                        return false;
                    }
                }
                (Some(word), Some(name)) if word == name => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    };
    // What is spelled out goes before what has names in it.
    let mut all: Vec<&str> = ROUTES
        .iter()
        .map(|route| route.path)
        .filter(|path| fits(path))
        .collect();
    all.sort_by_key(|path| path.matches('{').count());
    all.first().copied()
}

/// Where a place of the document leads, references followed.
fn resolve(pointer: &str) -> (String, &'static Value) {
    let mut pointer = pointer.to_owned();
    loop {
        let found = document().pointer(&pointer);
        let found = found.unwrap_or_else(|| panic!("{pointer} is not in the description"));
        match found["$ref"].as_str() {
            Some(reference) => pointer = reference.trim_start_matches('#').to_owned(),
            None => return (pointer, found),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

/// Panics if an answer is not one that the description knows.
fn check(method: &str, target: &str, answer: &Answer) {
    let Some(route) = described(target) else {
        assert_eq!(answer.status, 404, "{target} is no route\n{answer}");
        return;
    };
    // The dashboard's files are no part of the API; its tests look at them.
    if route.starts_with("/ui") {
        return;
    }
    let at = format!("{method} {target}");
    let method = if method == "HEAD" { "GET" } else { method };
    let has = |method: &str| {
        ROUTES
            .iter()
            .any(|route_| route_.path == route && route_.method.name() == method.to_lowercase())
    };
    if !has(method) {
        assert_eq!(answer.status, 405, "{at}\n{answer}");
        return;
    }
    let operation = format!("/paths/{}/{}", escaped(&documented(route)), method.to_lowercase());
    let responses = &document().pointer(&operation).unwrap()["responses"];
    let status = answer.status.to_string();
    assert!(
        !responses[&status].is_null(),
        "{at}: {status} is not described\n{answer}"
    );
    let (place, response) = resolve(&format!("{operation}/responses/{status}"));
    for (name, _) in response["headers"].as_object().into_iter().flatten() {
        let (place, header) = resolve(&format!("{place}/headers/{}", escaped(name)));
        let value = answer.header(&name.to_lowercase());
        if value.is_empty() {
            assert_ne!(header["required"], true, "{at}: {name} is missing\n{answer}");
            continue;
        }
        let value = match header["schema"]["type"].as_str() {
            Some("integer") => serde_json::from_str(value).unwrap_or_default(),
            _ => Value::from(value),
        };
        let found = problems(&format!("{place}/schema"), &value);
        assert!(found.is_empty(), "{at}: {name}: {found:?}");
    }
    let kind = answer
        .header("content-type")
        .split(';')
        .next()
        .unwrap_or_default();
    let Some(content) = response["content"].as_object() else {
        assert_eq!(
            (kind, answer.body.len()),
            ("", 0),
            "{at}: no body is described\n{answer}"
        );
        return;
    };
    assert!(
        content.contains_key(kind),
        "{at}: {kind:?} is not described\n{answer}"
    );
    // The answer to a HEAD has no body.
    if kind.ends_with("json") && !answer.body.is_empty() {
        let body: Value =
            serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{at}: {error}\n{answer}"));
        let found = problems(&format!("{place}/content/{}/schema", escaped(kind)), &body);
        assert!(found.is_empty(), "{at}: {found:#?}\n{answer}");
    }
}

/// The examples are what they explain.
#[test]
fn examples_are_valid() {
    fn walk(value: &Value, pointer: &str, seen: &mut u32) {
        match value {
            Value::Object(members) => {
                for (name, inner) in members {
                    if name == "example" && !pointer.ends_with("/properties") {
                        let schema = if members.contains_key("schema") {
                            format!("{pointer}/schema")
                        } else {
                            pointer.to_owned()
                        };
                        let found = problems(&schema, inner);
                        assert!(found.is_empty(), "{pointer}: {found:#?}");
                        *seen += 1;
                    } else {
                        walk(inner, &format!("{pointer}/{}", escaped(name)), seen);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    walk(item, &format!("{pointer}/{at}"), seen);
                }
            }
            _ => {}
        }
    }
    let mut seen = 0;
    for part in ["paths", "components"] {
        walk(&document()[part], &format!("/{part}"), &mut seen);
    }
    assert!(seen > 50, "{seen}");
}

/// What a handler takes is what is described, no more and no less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_those_that_handlers_know() {
    let api = Api::start().await;
    for route in ROUTES.iter().filter(|route| !route.path.starts_with("/ui")) {
        let method = route.method.name();
        let (target, _) = matrix::probe(route.method, route.path).unwrap();
        let path = target.split('?').next().unwrap();
        let request = format!(
            "{} {path}?nonsense=1 HTTP/1.1\r\nhost: x\r\nx-sluice-role: admin\r\nx-sluice-login: root\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            method.to_uppercase()
        );
        let answer = ask(&api.path, request.as_bytes());
        let at = format!("{method} {}", route.path);
        assert_eq!(answer.status, 400, "{at} takes any parameter\n{answer}");
        let body = answer.json();
        let mut known: Vec<&str> = body["known"]
            .as_array()
            .unwrap_or_else(|| panic!("{at} does not say which it knows\n{answer}"))
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let operation = format!("/paths/{}/{method}", escaped(&documented(route.path)));
        let parameters = document().pointer(&operation).unwrap()["parameters"].as_array();
        let mut told: Vec<&str> = (0..parameters.map_or(0, Vec::len))
            .map(|n| resolve(&format!("{operation}/parameters/{n}")).1)
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        known.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, known, "{at}");
    }
}
