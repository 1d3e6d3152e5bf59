//! What is written, which fields cross the gateway, and which query parameters do not.

use std::borrow::Cow;

use proptest::prelude::*;
use sluice_proto::http1::emit::{self, InvalidField};
use sluice_proto::http1::query::without_credentials;
use sluice_proto::http1::{
    ConnectionTokens, Framing, HeadLimits, Method, hop_by_hop, is_client_credential, is_framing,
    is_identity_header, parse_request, parse_response,
};

#[test]
fn chunk_headers() {
    let header = |len: usize| {
        let mut out = [0; emit::CHUNK_HEADER_BYTES_MAX];
        let written = emit::chunk_header(len, &mut out);
        String::from_utf8(out[..written].to_vec()).unwrap()
    };
    for len in (1..5_000).chain([0xffff, 0x1_0000, 0xfff_ffff, usize::MAX >> 1, usize::MAX]) {
        assert_eq!(header(len), format!("{len:x}\r\n"));
    }
}

#[test]
fn heads() {
    let mut out = Vec::new();
    emit::status_line(&mut out, 200);
    emit::field(&mut out, b"X-A", b"b");
    emit::framing(&mut out, Framing::Length(12));
    emit::close(&mut out);
    emit::end_head(&mut out);
    assert_eq!(
        out,
        b"HTTP/1.1 200 OK\r\nX-A: b\r\ncontent-length: 12\r\nconnection: close\r\n\r\n"
    );

    let mut out = Vec::new();
    emit::request_line(&mut out, Method::Post, b"/v1/messages?beta=true");
    emit::field(&mut out, b"host", b"a");
    emit::framing(&mut out, Framing::Chunked);
    emit::framing(&mut out, Framing::None);
    emit::framing(&mut out, Framing::UntilClose);
    emit::end_head(&mut out);
    assert_eq!(
        out,
        b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        parse_request(&out, &HeadLimits::default()).map(|head| head.framing),
        Ok(Framing::Chunked)
    );
}

#[test]
fn every_status_has_a_line_that_parses() {
    for status in 200..=599 {
        let mut out = Vec::new();
        emit::status_line(&mut out, status);
        emit::end_head(&mut out);
        let parsed = parse_response(&out, Method::Get, &HeadLimits::default()).unwrap();
        assert_eq!(parsed.status, status);
        assert_eq!(parsed.reason.of(&out), emit::reason_phrase(status).as_bytes());
        assert!(!emit::reason_phrase(status).is_empty());
    }
    assert_eq!(
        (emit::reason_phrase(599), emit::reason_phrase(499)),
        ("Server Error", "Client Closed Request")
    );
    let parsed = parse_response(emit::CONTINUE, Method::Post, &HeadLimits::default()).unwrap();
    assert!(parsed.is_interim());
}

#[test]
fn fields_from_elsewhere_cannot_inject() {
    for (name, value, fine) in [
        ("X-User", "alice@example.com", true),
        ("X-User", "", true),
        ("X-User", "a\tb \u{e9} \"x\", y", true),
        ("X-User", "a\r\nX-Admin: 1", false),
        ("X-User", "a\nb", false),
        ("X-User", "a\rb", false),
        ("X-User", "a\0b", false),
        ("X-User", "a\u{7f}", false),
        ("X-User: a\r\nX-Admin", "1", false),
        ("", "a", false),
        ("X User", "a", false),
        ("X-User:", "a", false),
        ("X-\u{e9}", "a", false),
    ] {
        let mut out = Vec::new();
        let result = emit::try_field(&mut out, name.as_bytes(), value.as_bytes());
        assert_eq!(
            result,
            if fine { Ok(()) } else { Err(InvalidField) },
            "{name:?} {value:?}"
        );
        let expected = if fine {
            format!("{name}: {value}\r\n")
        } else {
            String::new()
        };
        assert_eq!(out, expected.as_bytes());
    }
}

#[test]
fn names() {
    let none = ConnectionTokens::default();
    for name in [
        "Connection",
        "keep-alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "HTTP2-Settings",
        "Proxy-Authentication-Info",
    ] {
        assert!(hop_by_hop(name.as_bytes(), &none, b""), "{name}");
    }
    for name in [
        "Content-Length",
        "Host",
        "Accept",
        "Trailers",
        "T",
        "Connectio",
        "Keep_Alive",
        "Proxy-Authorizatio",
        "",
    ] {
        assert!(!hop_by_hop(name.as_bytes(), &none, b""), "{name}");
    }
    assert!(is_framing(b"Content-length") && is_framing(b"TRANSFER-ENCODING"));
    assert!(!is_framing(b"Content_Length") && !is_framing(b"Content-Encoding") && !is_framing(b"TE"));

    let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-One, close\r\nConnection: x-two\r\nX-ONE: 1\r\nX-Two: 2\r\nX-Three: 3\r\n\r\n";
    let parsed = parse_request(head, &HeadLimits::default()).unwrap();
    for (name, expected) in [
        ("x-one", true),
        ("X-TWO", true),
        ("x-three", false),
        ("close", false),
        ("x-o", false),
    ] {
        assert_eq!(
            hop_by_hop(name.as_bytes(), &parsed.connection, head),
            expected,
            "{name}"
        );
    }
}

#[test]
fn identity_names_in_every_spelling() {
    for name in [
        "Tailscale-User-Login",
        "Tailscale-User-Name",
        "Tailscale-App-Capabilities",
        "Tailscale-Funnel-Request",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded",
        "Forwarded",
        "X-Real-IP",
        "X-Webauth-User",
        "X-Webauth-Email",
        "X-Sluice-User",
        "X-Sluice-Error",
        "X-Remote-User",
        "Remote-User",
        "Remote-Groups",
        "X-Authenticated-User",
        "X-Authenticated-Userid",
        "X-Auth-Request-User",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Goog-Authenticated-User-Email",
        "X-Goog-IAP-JWT-Assertion",
        "Cf-Access-Authenticated-User-Email",
        "Fastly-Client-IP",
        "Client-Cert",
        "Via",
    ] {
        for spelling in [
            name.to_owned(),
            name.to_lowercase(),
            name.to_uppercase(),
            name.replace('-', "_"),
            name.replacen('-', "_", 1),
        ] {
            assert!(is_identity_header(spelling.as_bytes()), "{spelling}");
        }
    }
    for name in [
        "X-Forward",
        "X-Request-Id",
        "User-Agent",
        "X-Team",
        "X-App",
        "X-Stainless-Retry-Count",
        "Session-Id",
        "X-Claude-Code-Session-Id",
        "Anthropic-Beta",
        "X-Session-Id",
        "Tailscale",
        "",
        "X-",
        "Content-Type",
        "Client",
        "X-Sluice",
        "Removed",
        "Originator",
        "X-Goog-Api-Client",
        "X-Codex-Window-Id",
        "Accept",
    ] {
        assert!(!is_identity_header(name.as_bytes()), "{name}");
    }
}

#[test]
fn credential_names() {
    for name in [
        "Authorization",
        "x-api-key",
        "X-Goog-Api-Key",
        "api-key",
        "Proxy-Authorization",
        "Cookie",
        "X-Amz-Security-Token",
        "x_api_key",
        "API_KEY",
        "X-Amz-Date",
        "Ocp-Apim-Subscription-Key",
        "X-Auth-Token",
        "Cookie2",
        "ApiKey",
        "X-ApiKey",
        "X-Access-Token",
        "X-Authorization",
        "X-Amz-Signature",
        "X-Amz-Content-Sha256",
        "X-Goog-IAM-Authorization-Token",
    ] {
        assert!(is_client_credential(name.as_bytes()), "{name}");
    }
    for name in [
        "Anthropic-Version",
        "X-Api-Version",
        "Api-Version",
        "Accept",
        "Set-Cookie",
        "X-Amzn-Bedrock-Trace",
        "OpenAI-Organization",
        "",
        "key",
        "X-Amz-Target",
        "Authorizatio",
        "Content-Type",
    ] {
        assert!(!is_client_credential(name.as_bytes()), "{name}");
    }
}

#[test]
fn query_credentials() {
    for (target, expected) in [
        ("/a", "/a"),
        ("/a?", "/a?"),
        ("/a?b=c", "/a?b=c"),
        ("/a?key=k", "/a"),
        ("/a?key", "/a"),
        ("/a?key=", "/a"),
        ("/a?key=k&alt=sse", "/a?alt=sse"),
        ("/a?alt=sse&key=k", "/a?alt=sse"),
        ("/a?a=1&key=k&b=2", "/a?a=1&b=2"),
        ("/a?key=1&key=2", "/a"),
        ("/a?api_key=k&access_token=t&x", "/a?x"),
        ("/a?KEY=k&Api-Key=x&apikey=y&oauth_token=z&$key=w", "/a"),
        ("/a?k%65y=k&%6b%65%79=k&a=%6b", "/a?a=%6b"),
        (
            "/a?keys=k&monkey=x&key_=y&mykey=z",
            "/a?keys=k&monkey=x&key_=y&mykey=z",
        ),
        ("/a?&&key=k&&b=%20c+d&", "/a?&&&b=%20c+d&"),
        ("/key=k?a=key=k", "/key=k?a=key=k"),
        ("/a?b=c?key=k", "/a?b=c?key=k"),
        ("/a?b=1;key=k", "/a?b=1;key=k"),
        ("/a?%=1&key%=2&%6=3", "/a?%=1&key%=2&%6=3"),
        (
            "/a?a-very-long-parameter-name=1&key=k",
            "/a?a-very-long-parameter-name=1",
        ),
        ("*", "*"),
    ] {
        let kept = without_credentials(target.as_bytes());
        assert_eq!(kept.escape_ascii().to_string(), expected, "{target}");
        assert_eq!(matches!(kept, Cow::Borrowed(_)), target == expected, "{target}");
    }
}

proptest! {
    #[test]
    fn query_credentials_leave_the_rest(parameters in prop::collection::vec("[a-z]{4,8}=[ -%'-~]{0,6}", 1..6), at in any::<prop::sample::Index>()) {
        let plain: Vec<String> = parameters;
        let mut with_key = plain.clone();
        with_key.insert(at.index(plain.len() + 1), "key=AIza".to_owned());
        let kept = without_credentials(format!("/p?{}", with_key.join("&")).as_bytes()).into_owned();
        prop_assert_eq!(kept, format!("/p?{}", plain.join("&")).into_bytes());
    }
}
