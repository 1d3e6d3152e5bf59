//! Keys of `hooks`.

use super::providers::{AUTHORIZATIONS, PROVIDER_TLS};
use super::{Object, Shape, key, object, required};

pub(crate) static FAIL_POLICIES: [&str; 2] = ["fail_open", "fail_closed"];

pub(crate) static HOOK: Object = object(
    "hook",
    "A web service that is asked about calls or told of them.",
    &[
        required(
            "url",
            Shape::Pattern("^[Hh][Tt][Tt][Pp][Ss]?://", "http://guard:8080/scrub"),
            "http:// or https://.",
        ),
        key(
            "apikey",
            Shape::Text,
            "",
            "Its key; ${env:NAME} and ${file:PATH} keep it out of the document.",
        ),
        key(
            "authorization",
            Shape::Word(&AUTHORIZATIONS),
            r#""bearer""#,
            "The header that carries the key.",
        ),
        key(
            "timeout",
            Shape::Duration,
            r#""5s""#,
            "How long it may take; 0: no limit.",
        ),
        key("disabled", Shape::Bool, "false", "As if it were not there."),
        key(
            "fail_policy",
            Shape::Word(&FAIL_POLICIES),
            r#""fail_open""#,
            "Whether a call goes on (fail_open) or gets 503 (fail_closed) when the hook fails. Events after the call never delay or fail anything.",
        ),
        key(
            "preference",
            Shape::Integer(i32::MIN as i64, i32::MAX as i64),
            "0",
            "The highest is called first; equal ones by name.",
        ),
        key(
            "tls",
            Shape::Object(&PROVIDER_TLS),
            "{}",
            "How its certificate is checked (Sluice).",
        ),
    ],
);
