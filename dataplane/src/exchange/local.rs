//! What the data plane answers itself: health, metrics, the root, and the model lists in their three formats.

use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode, ErrorFamily};
use sluice_proto::http1::{Method, emit};
use sluice_proto::route::{Endpoint, Route};
use sluice_proto::splice::write_json_string;
use sluice_shared::api::Flag;
use sluice_shared::cost::{PriceBook, decimal};

use super::{Head, refuse};
use crate::answer::connection;
use crate::config::{Config, Provider};
use crate::downstream::{Downstream, Next};
use crate::policy::Policy;

/// Answers a caller who has passed the gate; `caller` is `None` where everybody passes.
pub(super) async fn answer(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    route: &Route,
    endpoint: Endpoint,
    caller: Option<&Policy>,
) -> Next {
    const TEXT: &str = "text/plain; charset=utf-8";
    match (endpoint, caller) {
        (Endpoint::Healthz, _) => reply(conn, head, 200, TEXT, b"ok\n").await,
        (Endpoint::Readyz, _) => reply(conn, head, 200, TEXT, b"ready\n").await,
        (Endpoint::Root, _) => {
            let text = b"Sluice, an AI gateway. Dashboard: /ui/\n";
            reply(conn, head, 200, TEXT, text).await
        }
        (Endpoint::Metrics, Some(_)) => metrics(conn, head).await,
        (Endpoint::ModelsList | Endpoint::ModelsOne, Some(policy)) => {
            models(conn, config, head, route, policy).await
        }
        (Endpoint::Api(_) | Endpoint::ResponsesById | Endpoint::ControlPlane, _)
        | (Endpoint::Metrics | Endpoint::ModelsList | Endpoint::ModelsOne, None) => {
            // The gate lets nobody come here; if it did, nothing would be given away.
            let answer = ErrorAnswer::new(ErrorCode::Internal, "this page has no answer");
            refuse(conn, head, ErrorFamily::Plain, &answer).await
        }
    }
}

/// In whose words a refusal is written.
pub(super) fn family(head: &Head, route: &Route) -> ErrorFamily {
    match route.endpoint {
        Endpoint::ModelsList | Endpoint::ModelsOne => Format::of(head, route).family(),
        Endpoint::Api(kind) => kind.error_family(),
        Endpoint::ResponsesById => ErrorFamily::OpenAi,
        Endpoint::Root
        | Endpoint::Healthz
        | Endpoint::Readyz
        | Endpoint::Metrics
        | Endpoint::ControlPlane => ErrorFamily::Plain,
    }
}

async fn metrics(conn: &mut Downstream, head: &Head) -> Next {
    let Some(text) = conn.shard.clone().render_metrics().await else {
        return Next::Close;
    };
    reply(
        conn,
        head,
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        text.as_bytes(),
    )
    .await
}

/// In whose format a model list is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    OpenAi,
    Anthropic,
    Gemini,
}

impl Format {
    fn of(head: &Head, route: &Route) -> Self {
        if route.gemini_style || head.find("x-goog-api-key").is_some() {
            Self::Gemini
        } else if head.find("anthropic-version").is_some() {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    fn family(self) -> ErrorFamily {
        match self {
            Self::OpenAi => ErrorFamily::OpenAi,
            Self::Anthropic => ErrorFamily::Anthropic,
            Self::Gemini => ErrorFamily::Google,
        }
    }

    /// Whether a provider's models can be called by clients of this format.
    fn lists(self, provider: &Provider) -> bool {
        let any = |flags: &[Flag]| flags.iter().any(|flag| provider.spec.serves(*flag));
        match self {
            Self::OpenAi => true,
            Self::Anthropic => any(&[Flag::AnthropicMessages, Flag::GoogleRawPredict]),
            Self::Gemini => any(&[Flag::GeminiGenerateContent, Flag::GoogleGenerateContent]),
        }
    }
}

async fn models(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    route: &Route,
    policy: &Policy,
) -> Next {
    let format = Format::of(head, route);
    let listed = granted(config, policy, format);
    let mut body = Vec::with_capacity(4_096);
    match &route.model {
        None => write_list(format, &listed, config.prices(), &mut body),
        Some(asked) => {
            let Some(entry) = listed.iter().find(|entry| entry.model == asked.name) else {
                let message = format!("the model {} does not exist here or is not granted", asked.name);
                let answer = ErrorAnswer::new(ErrorCode::ModelNotFound, message);
                return refuse(conn, head, format.family(), &answer).await;
            };
            write_entry(format, entry, config.prices(), &mut body);
        }
    }
    reply(conn, head, 200, "application/json", &body).await
}

/// A model that the caller may use.
struct Entry<'a> {
    model: &'a str,
    provider: &'a Provider,
}

/// What is granted, without duplicates; the provider that would be tried first. Globs name no model and are not
/// listed; aliases are, under their own name.
fn granted<'a>(config: &'a Config, policy: &Policy, format: Format) -> Vec<Entry<'a>> {
    let mut seen = std::collections::HashSet::new();
    let mut out = Vec::new();
    for provider in &config.providers {
        if !format.lists(provider) {
            continue;
        }
        for model in provider.spec.models.iter().filter(|model| !model.contains('*')) {
            if policy.grants(config, &provider.spec.id, model) && seen.insert(model.as_str()) {
                out.push(Entry { model, provider });
            }
        }
    }
    for alias in config.aliases() {
        let target = alias.to.as_str();
        let bare = target
            .split_once('/')
            .filter(|(id, _)| config.providers.iter().any(|p| p.spec.id == *id));
        let name = bare.map_or(target, |(_, rest)| rest);
        let entry = out
            .iter()
            .find(|entry| entry.model == name)
            .map(|entry| entry.provider);
        if let Some(provider) = entry
            && seen.insert(alias.from.as_str())
        {
            out.push(Entry {
                model: &alias.from,
                provider,
            });
        }
    }
    out
}

fn write_list(format: Format, entries: &[Entry<'_>], prices: &PriceBook, out: &mut Vec<u8>) {
    out.extend_from_slice(match format {
        Format::OpenAi => br#"{"object":"list","data":["#,
        Format::Anthropic => br#"{"data":["#,
        Format::Gemini => br#"{"models":["#,
    });
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_entry(format, entry, prices, out);
    }
    out.push(b']');
    if format == Format::Anthropic {
        out.extend_from_slice(br#","has_more":false,"first_id":"#);
        write_optional(entries.first().map(|e| e.model), out);
        out.extend_from_slice(br#","last_id":"#);
        write_optional(entries.last().map(|e| e.model), out);
    }
    out.push(b'}');
}

fn write_optional(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => write_json_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_entry(format: Format, entry: &Entry<'_>, prices: &PriceBook, out: &mut Vec<u8>) {
    let spec = &entry.provider.spec;
    match format {
        Format::OpenAi => {
            out.extend_from_slice(br#"{"id":"#);
            write_json_string(entry.model, out);
            out.extend_from_slice(br#","object":"model","created":0,"owned_by":"#);
            write_json_string(&spec.id, out);
            // One client library insists on these two.
            out.extend_from_slice(br#","type":"base","capabilities":{"completion_chat":"#);
            out.extend_from_slice(if spec.serves(Flag::OpenAiChat) {
                b"true"
            } else {
                b"false"
            });
            out.extend_from_slice(br#"},"supported_endpoints":["#);
            let mut first = true;
            for (flag, path) in ENDPOINTS {
                if spec.serves(*flag) {
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    write_json_string(path, out);
                }
            }
            out.extend_from_slice(br#"],"metadata":{"provider":{"id":"#);
            write_json_string(&spec.id, out);
            out.extend_from_slice(br#","name":"#);
            write_json_string(&spec.name, out);
            out.extend_from_slice(br#","description":"#);
            write_json_string(&spec.description, out);
            out.extend_from_slice(b"}}");
            write_pricing(prices, &spec.id, entry.model, out);
            out.push(b'}');
        }
        Format::Anthropic => {
            out.extend_from_slice(br#"{"type":"model","id":"#);
            write_json_string(entry.model, out);
            out.extend_from_slice(br#","display_name":"#);
            write_json_string(entry.model, out);
            out.extend_from_slice(br#","created_at":"1970-01-01T00:00:00Z"}"#);
        }
        Format::Gemini => {
            out.extend_from_slice(br#"{"name":"#);
            write_json_string(&format!("models/{}", entry.model), out);
            out.extend_from_slice(br#","displayName":"#);
            write_json_string(entry.model, out);
            out.extend_from_slice(
                br#","supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}"#,
            );
        }
    }
}

/// The endpoints that a family of a provider's API means.
const ENDPOINTS: &[(Flag, &str)] = &[
    (Flag::OpenAiChat, "/v1/chat/completions"),
    (Flag::OpenAiResponses, "/v1/responses"),
    (Flag::AnthropicMessages, "/v1/messages"),
    (
        Flag::GeminiGenerateContent,
        "/v1beta/models/{model}:generateContent",
    ),
    (
        Flag::GoogleGenerateContent,
        "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent",
    ),
    (
        Flag::GoogleRawPredict,
        "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
    ),
    (Flag::BedrockModelInvoke, "/bedrock/model/{model}/invoke"),
    (Flag::BedrockConverse, "/bedrock/model/{model}/converse"),
    (Flag::Ollama, "/ollama/api/chat"),
];

/// `pricing` in US dollars a token (a fee in dollars apiece), as exact decimal strings; absent for a model without a price.
fn write_pricing(prices: &PriceBook, provider: &str, model: &str, out: &mut Vec<u8>) {
    let Some(price) = prices.price_for(provider, model) else {
        return;
    };
    let rates = &price.rates;
    let tokens = [
        ("input", Some(rates.input)),
        ("output", Some(rates.output)),
        ("input_cache_read", Some(rates.cache_read)),
        ("input_cache_write", Some(rates.cache_write_5m)),
        ("internal_reasoning", rates.reasoning),
        ("input_audio", rates.audio_input),
        ("output_audio", rates.audio_output),
        ("input_image", rates.image_input),
        ("output_image", rates.image_output),
    ];
    let pieces = [
        ("request", price.request),
        ("web_search", price.search),
        ("image", price.per_image),
    ];
    let tokens = tokens.map(|(name, rate)| (name, rate.map(decimal::dollars_a_token)));
    let pieces = pieces.map(|(name, fee)| (name, fee.map(decimal::dollars)));
    out.extend_from_slice(br#","pricing":{"#);
    let mut first = true;
    for (name, amount) in tokens.into_iter().chain(pieces) {
        let Some(amount) = amount else { continue };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_json_string(name, out);
        out.push(b':');
        write_json_string(&amount, out);
    }
    out.push(b'}');
}

/// Sends a small answer of our own.
async fn reply(conn: &mut Downstream, head: &Head, status: u16, content_type: &str, body: &[u8]) -> Next {
    // A body that nobody asked for is not read; the connection ends instead.
    let keep_alive = head.parsed.keep_alive && !head.parsed.framing.has_body();
    let id = conn.shard.next_request_id();
    let mut out = Vec::with_capacity(256 + body.len());
    emit::status_line(&mut out, status);
    emit::field(&mut out, b"content-type", content_type.as_bytes());
    emit::field(&mut out, b"x-sluice-request-id", &id.hex());
    emit::content_length(&mut out, body.len() as u64);
    connection(&mut out, head.parsed.version, keep_alive);
    emit::end_head(&mut out);
    if head.parsed.method != Method::Head {
        out.extend_from_slice(body);
    }
    match (conn.write(&out).await, keep_alive) {
        (true, true) => Next::KeepAlive,
        (true, false) => Next::Linger,
        (false, _) => Next::Close,
    }
}
