//! `/ui/`: the dashboard, as files of this program.
//!
//! The page that everything begins with carries a nonce of its own answer, for the style elements that an editor inserts;
//! scripts come from files alone, and no script may make markup of a text (trusted types, none of them allowed). Every route of
//! the dashboard is that page: which one it is, is found out in the browser.

use std::borrow::Cow;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use sluice_ui::{Asset, INDEX, MISSING, NONCE_PLACEHOLDER};

use super::principal::decode;
use super::problem::Problem;

/// Files whose names hold a hash of their content never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Bytes of a nonce before they are encoded.
const NONCE_BYTES: usize = 16;
/// What a page may do that is written here and not in the dashboard: nothing but look like something.
const PLAIN_POLICY: &str = "default-src 'none'; style-src 'sha256-PLAIN'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

pub(super) async fn begin() -> Redirect {
    Redirect::permanent("/ui/")
}

pub(super) async fn index(headers: HeaderMap) -> Result<Response, Problem> {
    serve("", &headers)
}

pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    serve(&path, &headers)
}

fn serve(path: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    if let Some(reason) = MISSING {
        return Ok(missing(reason));
    }
    if let Some(asset) = sluice_ui::asset(path).filter(|asset| asset.path != INDEX) {
        return Ok(static_file(asset, headers));
    }
    // What looks like a file and is none is not a route of the dashboard either. Names of people and models have dots.
    if path.starts_with("assets/") {
        return Err(Problem::not_found("the dashboard has no such file"));
    }
    page()
}

/// The page, with a nonce that nobody knows before.
fn page() -> Result<Response, Problem> {
    let mut random = [0; NONCE_BYTES];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Problem::internal())?;
    let nonce = URL_SAFE_NO_PAD.encode(random);
    let index = sluice_ui::asset(INDEX).map(Asset::identity).unwrap_or_default();
    let text = String::from_utf8_lossy(&index).replace(NONCE_PLACEHOLDER, &nonce);
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    Ok((headers, text).into_response())
}

/// A file in the shortest form that the client takes.
fn static_file(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let caching = if asset.hashed { FOR_EVER } else { "no-cache" };
    let common = [
        (header::ETAG, asset.etag),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "accept-encoding"),
    ];
    if matches(headers, asset.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let (encoding, bytes): (Option<&str>, Cow<'static, [u8]>) = if accepts(headers, "br") {
        (Some("br"), Cow::Borrowed(asset.brotli))
    } else if accepts(headers, "gzip") {
        (Some("gzip"), Cow::Borrowed(asset.gzip))
    } else {
        (None, asset.identity())
    };
    let kind = [(header::CONTENT_TYPE, asset.mime)];
    let mut response = (common, kind, bytes.into_owned()).into_response();
    if let Some(encoding) = encoding {
        let value = axum::http::HeaderValue::from_static(encoding);
        response.headers_mut().insert(header::CONTENT_ENCODING, value);
    }
    response
}

/// Whether the client has the file already.
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    lists.filter_map(|value| value.to_str().ok()).any(|list| {
        list.split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
    })
}

/// Whether the client takes a coding. One with the weight 0 is refused; other weights do not matter among what we have.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter();
    lists.filter_map(|value| value.to_str().ok()).any(|list| {
        list.split(',').any(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
            let refused = parts.any(|part| {
                part.strip_prefix("q=")
                    .and_then(|weight| weight.parse::<f32>().ok())
                    .is_some_and(|weight| weight <= 0.0)
            });
            named && !refused
        })
    })
}

/// 404, as there is nothing at this address in this build; in words, as whoever asks is a person.
fn missing(reason: &str) -> Response {
    let text = format!(
        "<p>The dashboard is not part of this build: {}.</p>\
         <p>It is built with the gateway where npm and Node 20.19 or newer are there: install them and run \
         <code>cargo build --release</code> again.</p>\
         <p>Everything that it shows is in the API: <a href=\"/aperture/openapi.json\">its description</a>, \
         <a href=\"/api/usage\">usage</a>, <a href=\"/api/requests\">requests</a>.</p>",
        escape(reason)
    );
    plain(StatusCode::NOT_FOUND, "The dashboard is not here", &text)
}

/// For somebody without a role who comes with a browser; `None` for everybody else.
pub(super) fn refused(uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    let asks = headers.get_all(header::ACCEPT).iter();
    let page = asks
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.contains("text/html"));
    if !page || !uri.path().starts_with("/ui") {
        return None;
    }
    let login = headers
        .get("x-sluice-login")
        .and_then(|value| decode(value.as_bytes()));
    let who = match login.filter(|login| !login.is_empty()) {
        Some(login) => format!(
            "The gateway knows you as <strong><bdi>{}</bdi></strong>.",
            escape(&login)
        ),
        None => "The gateway does not know who you are.".to_owned(),
    };
    let text = format!(
        "<p>{who} No role is granted to you, so there is nothing to show.</p>\
         <p>Ask whoever runs this gateway for the role <code>user</code>, in a grant of its configuration.</p>"
    );
    Some(plain(StatusCode::FORBIDDEN, "Access denied", &text))
}

const STYLE: &str = "body{font:16px/1.6 system-ui,sans-serif;max-width:38rem;margin:14vh auto;padding:0 1.5rem;\
                     color:#14191c;background:#fff}code{font-size:.92em}a{color:#0b6b78}\
                     @media(prefers-color-scheme:dark){body{color:#e7ecee;background:#101416}a{color:#55bdc9}}";

fn plain(status: StatusCode, title: &str, text: &str) -> Response {
    let digest = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    let hash = base64::engine::general_purpose::STANDARD.encode(digest);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title} · Sluice</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{text}</main></body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            PLAIN_POLICY.replace("PLAIN", &hash),
        ),
    ];
    (status, headers, html).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
