//! Bodies made to be expensive. What they cost is bounded by counting what is looked at, not by a clock: a search that is
//! not linear would not come back within the patience of whoever runs this.

use sluice_proto::guard::Lane;
use sluice_proto::json::Facts;
use sluice_shared::api::ApiKind;

use crate::{rule, set};

const MIB: usize = 1 << 20;

fn judge(body: &str) -> sluice_proto::guard::RequestVerdict {
    let set = set(rule(&["all"]));
    set.request(ApiKind::OpenAiChat, "m", &Facts::default(), body.as_bytes())
}

#[test]
fn a_string_of_32_mib_is_looked_through() {
    let body = format!(
        r#"{{"a":"{} jo@example.org"}}"#,
        "lorem ipsum dolor ".repeat(32 * MIB / 18)
    );
    assert_eq!(judge(&body).edits.len(), 1);
}

#[test]
fn candidates_without_end_stay_linear() {
    let candidates = [
        "1",
        "12 ",
        "4111 ",
        "4111-1111-",
        "a@",
        "@",
        "@a.",
        "eyJ",
        "eyJ.",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "sk-",
        "AKIA",
        "secret ",
        "secret access key ",
        "://a:",
        "DE89 ",
        "DE89",
        "1.1.1.1.",
        "a:1:",
        "+49",
        "(212) ",
        "AB 12 ",
        "x://",
        "sig=",
        "\\n1",
        "ignore ",
        "12:AA",
        "fe80:",
        "\u{a0}1",
        "-----BEGIN PRIVATE KEY-----AAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJub25lIn0.AAAAAAAAAAA.",
        "eyJ-",
        "sk-proj-",
        "sk-proj-Ab1c2d3",
        "-----END ",
        "-----BEGIN PRIVATE KEY-----AAAAAAAAAAAAAAAAAAAA-----END -",
    ];
    for candidate in candidates {
        let text = candidate.repeat(MIB / 16 / candidate.len()).replace('\\', "\\\\");
        let body = format!(r#"{{"a":"{text}"}}"#);
        judge(&body);
    }
}

#[test]
fn nesting_and_garbage_do_no_harm() {
    let deep = format!("{}{}", r#"{"a":["#.repeat(500), "]}".repeat(500));
    assert_eq!(judge(&deep).edits, []);
    for garbage in [
        "",
        "{",
        "{\"",
        "{\"a",
        "{\"a\":\"\\",
        "{\"a\":\"\\u",
        "{\"a\":\"\\ud800",
        "}}}}",
        "--",
        "--\r\n",
        "--B\r\n\r\n",
        "\"\\",
    ] {
        judge(garbage);
    }
    let half = r#"{"a":"\ud800\udc0x jo@example.org \ud83d"}"#;
    assert_eq!(judge(half).edits.len(), 1);
}

#[test]
fn a_lane_keeps_little_however_much_passes() {
    let set = set(rule(&["all"]));
    let engine = set.answers().unwrap();
    for piece in [
        "word and word. ",
        "4111222333444550",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0",
        "aaaa@",
        "://a:bbb",
    ] {
        let (mut lane, mut out, mut most) = (Lane::default(), Vec::new(), 0);
        for _ in 0..20_000 {
            lane.push(engine, piece.as_bytes(), &mut out);
            most = most.max(lane.held());
            out.clear();
        }
        assert!(most <= 4_096, "{piece:?}: {most} bytes were held");
    }
}
