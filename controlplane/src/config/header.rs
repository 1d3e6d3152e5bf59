//! The checking of headers that a document adds.

use sluice_shared::snapshot::{Header, Secret};

/// Fields that frame a message or belong to one connection: the data plane alone sets them.
const OWN: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads `Name: value`. The error never holds the value.
pub(crate) fn parse(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("must be written \"Name: value\"")?;
    let name = name.trim();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        return Err("has a name that is not a header name".into());
    }
    let lower = name.to_ascii_lowercase();
    if OWN.contains(&lower.as_str()) {
        return Err(format!("sets {lower}, which belongs to the connection"));
    }
    let value = value.trim_matches([' ', '\t']);
    if value.len() > 8_192 {
        return Err(format!("{lower} has a value longer than 8192 bytes"));
    }
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(format!(
            "{lower} has a value with line breaks or control characters"
        ));
    }
    Ok(Header {
        name: name.to_owned(),
        value: Secret(value.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_or_refused() {
        let good = |text: &str, name: &str, value: &str| {
            let header = parse(text).unwrap();
            assert_eq!(
                (header.name.as_str(), header.value.0.as_str()),
                (name, value),
                "{text}"
            );
        };
        good("X-Team: blue", "X-Team", "blue");
        good("x-a:b: c ", "x-a", "b: c");
        good("x-empty:", "x-empty", "");
        for refused in [
            "",
            "no colon",
            ": v",
            "a b: c",
            "x: a\r\nb: c",
            "x: a\nb",
            "x: \u{0}",
            "Host: x",
            "content-length: 3",
            "Transfer-Encoding: chunked",
            "ü: x",
        ] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
        assert!(!parse("x: secret\n").unwrap_err().contains("secret"));
    }
}
