//! Forms, whole and cut at every byte.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that breaks here fails, as it should; bodies of tests are small"
)]

use sluice_proto::multipart::{MultipartFacts, MultipartReject, MultipartScan, boundary};

fn scan_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<MultipartFacts, MultipartReject> {
    let mut scan = MultipartScan::new(b"B");
    for piece in pieces {
        scan.feed(piece)?;
    }
    scan.finish()
}

fn scan(body: &[u8]) -> Result<MultipartFacts, &'static str> {
    let whole = scan_pieces(std::iter::once(body));
    if body.len() < 2000 {
        for cut in 0..=body.len() {
            let (left, right) = body.split_at(cut);
            assert_eq!(scan_pieces([left, right].into_iter()), whole, "cut at {cut}");
        }
        for size in 1..=9 {
            assert_eq!(scan_pieces(body.chunks(size)), whole, "pieces of {size}");
        }
    }
    whole.map_err(|reject| reject.reason)
}

fn field(name: &str, value: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

const FILE: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--\r\r\n--A\0\r\n-model\r\n";

#[test]
fn the_model_is_found_wherever_it_is() {
    for body in [
        format!("{}{FILE}--B--\r\n", field("model", "whisper-1")),
        format!("{FILE}{}--B--\r\n", field("model", "whisper-1")),
        format!("{FILE}{}{FILE}--B--", field("model", "whisper-1")),
    ] {
        let facts = scan(body.as_bytes()).unwrap();
        let model = facts.model.unwrap();
        assert_eq!(model.value, "whisper-1");
        assert_eq!(
            &body[model.span.start as usize..model.span.end as usize],
            "whisper-1"
        );
        assert_eq!(facts.bytes, body.len() as u64);
    }
    let facts = scan(format!("{}{FILE}--B--\r\n", field("stream", "true")).as_bytes()).unwrap();
    assert_eq!((facts.stream, facts.model, facts.parts), (Some(true), None, 2));
    let odd = "--B\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-disposition:form-data;name=model\r\n\r\n\r\n--B--";
    assert_eq!(scan(odd.as_bytes()).unwrap().model.unwrap().value, "");
}

#[test]
fn forms_that_two_readers_could_read_in_two_ways() {
    let check = |body: &str, reason: &str| assert_eq!(scan(body.as_bytes()), Err(reason), "{body:?}");
    let twice = "the fields \"model\" and \"stream\" must not occur twice";
    let spelt = "the fields \"model\" and \"stream\" must be spelt in exactly this way";
    let plain = "the fields \"model\" and \"stream\" must be plain UTF-8";
    check(
        &format!("{}{FILE}{}--B--", field("model", "a"), field("model", "a")),
        twice,
    );
    check(
        &format!("{}{}--B--", field("stream", "true"), field("stream", "true")),
        twice,
    );
    check(&format!("{}--B--", field("Model", "a")), spelt);
    check(&format!("{}--B--", field(" model", "a")), spelt);
    check(
        &format!("{}--B--", field("stream", "1")),
        "the field \"stream\" must be true or false",
    );
    check(
        &format!("{}--B--", field("mod%65l", "a")),
        "an escape in the name of a field",
    );
    check(
        &format!("{}--B--", field("mo\\del", "a")),
        "an escape in the name of a field",
    );
    check(
        &format!("{}--B--", field("x\"; name=\"model", "a")),
        "two names in one part",
    );
    check(
        &format!("{}--B--", field("model\"; filename=\"m", "a")),
        "the fields \"model\" and \"stream\" must not be files",
    );
    check(
        &format!("{}--B--", field("file\"; filename*=utf-8''x; name*=\"model", "a")),
        "an unknown parameter in a content-disposition",
    );
    check(
        &format!("{}--B--", field("f\"; filename=\"\\\"; name=\"model", "a")),
        "a quoted name does not end",
    );
    check(
        "--B\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--B--",
        plain,
    );
    check(
        "--B\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\na\r\n--B--",
        plain,
    );
    check(
        "--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\na\r\n--B--",
        "two content-dispositions in one part",
    );
    check(
        "--B\r\nContent-Disposition: form-data;\r\n name=\"model\"\r\n\r\na\r\n--B--",
        "a folded line in the head of a part",
    );
    check(
        "--B\r\nX: y\r\n\r\na\r\n--B--",
        "a part without content-disposition",
    );
    check("--B\r\n\r\na\r\n--B--", "a part without content-disposition");
    check(
        &format!("preamble\r\n{}--B--", field("a", "a")),
        "the form does not begin with its boundary",
    );
    check(
        &format!("\r\n{}--B--", field("a", "a")),
        "the form does not begin with its boundary",
    );
    check("--B \r\n", "unexpected bytes after a boundary");
    check("--B\n", "unexpected bytes after a boundary");
    check("--Bx\r\n", "unexpected bytes after a boundary");
    check("--B--\r\nepilogue", "bytes after the end of the form");
    check("--B--x", "bytes after the end of the form");
    for cut in [0, 3, 20, 60] {
        let body = format!("{}--B--", field("model", "a"));
        check(
            &body[..cut.min(body.len() - 3)],
            "the form ends before its closing boundary",
        );
    }
}

#[test]
fn bounds_one_under_and_one_over() {
    let model = |len: usize| scan(format!("{}--B--", field("model", &"m".repeat(len))).as_bytes());
    assert_eq!(model(512).unwrap().model.unwrap().value.len(), 512);
    assert_eq!(model(513), Err("the value of a field is too long"));
    assert_eq!(model(100_000), Err("the value of a field is too long"));
    let parts = |count: usize| scan(format!("{}--B--", field("a", "b").repeat(count)).as_bytes());
    assert_eq!(parts(128).unwrap().parts, 128);
    assert_eq!(parts(129), Err("too many parts"));
    let head = |len: usize| {
        let start = "Content-Disposition: form-data; name=\"a\"\r\nX: ";
        let filler = "x".repeat(len - start.len() - 4);
        scan(format!("--B\r\n{start}{filler}\r\n\r\nb\r\n--B--").as_bytes())
    };
    assert!(head(8192).is_ok());
    assert_eq!(head(8193), Err("the head of a part is too large"));
    let file = format!(
        "{}--B--",
        field("file\"; filename=\"f", &"\r\n--A".repeat(200_000))
    );
    assert!(scan(file.as_bytes()).is_ok());
}

#[test]
fn boundaries() {
    let check = |content_type: &str, expected: Result<&str, ()>| {
        let got = boundary(content_type.as_bytes());
        assert_eq!(
            got.as_deref().map_err(|_| ()),
            expected.map(str::as_bytes),
            "{content_type}: {got:?}"
        );
    };
    check("multipart/form-data; boundary=abc", Ok("abc"));
    check(
        "Multipart/Form-Data;BOUNDARY=\"a b:c\" ; charset=utf-8",
        Ok("a b:c"),
    );
    check(
        &format!("multipart/form-data; boundary={}", "b".repeat(70)),
        Ok(&"b".repeat(70)),
    );
    check(
        &format!("multipart/form-data; boundary={}", "b".repeat(71)),
        Err(()),
    );
    check("multipart/form-data", Err(()));
    check("multipart/form-data; charset=x", Err(()));
    check("multipart/mixed; boundary=abc", Err(()));
    check("multipart/form-data; boundary=", Err(()));
    check("multipart/form-data; boundary=a; boundary=b", Err(()));
    check("multipart/form-data; boundary=\"a", Err(()));
    check("multipart/form-data; boundary=\"a\\b\"", Err(()));
    check("multipart/form-data; boundary=\"a \"", Err(()));
    check("multipart/form-data; boundary=a b", Err(()));
    check("multipart/form-data; boundary=ä", Err(()));
    check("multipart/form-data; boundary=\"a\r\n\"", Err(()));
}
