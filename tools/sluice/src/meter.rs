//! `sluice meter`: what would be metered in an answer, for people who debug a bill.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use sluice_proto::meter::{BedrockCounts, Outcome, ResponseFacts, meter_named};
use sluice_shared::api::ApiKind;
use sluice_shared::cost;
use sluice_shared::usage::Known;

use crate::cli::MeterOptions;

/// Prints one JSON object.
///
/// # Errors
/// If a file cannot be read or an option makes no sense.
pub(crate) fn run(options: &MeterOptions) -> Result<ExitCode> {
    let body = read(&options.body)?;
    let asked = match &options.request {
        Some(path) => model_of(&read(path)?).with_context(|| format!("in {}", path.display()))?,
        None => None,
    };
    let asked = options.model.clone().or(asked);
    let headers = options
        .header
        .iter()
        .map(|line| header(line))
        .collect::<Result<Vec<_>>>()?;
    let find = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    };
    let facts = ResponseFacts {
        status: options.status,
        content_type: options.content_type.as_deref().or_else(|| find("content-type")),
        content_encoding: options
            .content_encoding
            .as_deref()
            .or_else(|| find("content-encoding")),
        bedrock: BedrockCounts {
            input: count(find("x-amzn-bedrock-input-token-count"))?,
            output: count(find("x-amzn-bedrock-output-token-count"))?,
            cache_read: count(find("x-amzn-bedrock-cache-read-input-token-count"))?,
            cache_write: count(find("x-amzn-bedrock-cache-write-input-token-count"))?,
        },
        streaming_expected: options.stream,
    };
    // Kinds that the gateway serves, and formats that only files come in (batches, realtime transcripts).
    let Some(mut meter) = meter_named(&options.api, facts) else {
        let names: Vec<&str> = ApiKind::ALL.iter().map(|kind| kind.name()).collect();
        bail!(
            "unknown API kind {:?}; known are {}",
            options.api,
            names.join(", ")
        );
    };
    meter.feed(&body);
    let outcome = meter.finish(options.cut);
    println!(
        "{:#}",
        report(&options.api, &outcome, asked.as_deref(), &options.cost_basis)
    );
    Ok(ExitCode::SUCCESS)
}

/// The outcome, its fields named like those of a request record.
fn report(api: &str, outcome: &Outcome, asked: Option<&str>, cost_basis: &str) -> Value {
    let usage = &outcome.usage;
    let kind = ApiKind::parse(api);
    let model = outcome.model.as_deref().or(asked);
    let (priced, cost) = cost(kind, outcome, asked, cost_basis);
    let error = outcome.error.as_ref().or(outcome.stream_error.as_ref());
    let mut out = Map::new();
    for (name, value) in [
        ("api", json!(kind.map_or(api, |kind| kind.name()))),
        ("model", json!(model)),
        ("usage_known", json!(outcome.known.name())),
        ("complete", json!(outcome.complete)),
        ("input", json!(usage.input)),
        ("input_uncached", json!(usage.input_uncached)),
        ("cached_read", json!(usage.cached_read)),
        ("cache_write", json!(usage.cache_write)),
        ("cache_write_5m", json!(usage.cache_write_5m)),
        ("cache_write_1h", json!(usage.cache_write_1h)),
        ("output", json!(usage.output)),
        ("reasoning", json!(usage.reasoning)),
        ("total", json!(usage.total)),
        ("input_audio", json!(usage.input_audio)),
        ("input_image", json!(usage.input_image)),
        ("cached_audio", json!(usage.cached_audio)),
        ("output_audio", json!(usage.output_audio)),
        ("output_image", json!(usage.output_image)),
        ("audio_ms", json!(usage.audio_ms)),
        ("web_searches", json!(usage.web_searches)),
        ("web_fetches", json!(usage.web_fetches)),
        ("hosted_tools", json!(usage.hosted_tools)),
        ("stated_cost_nanousd", json!(usage.stated_cost.map(|cost| cost.0))),
        ("stop_reason", json!(outcome.stop_reason)),
        ("stop_reasons", json!(outcome.stop_reasons)),
        ("tool_calls", json!(outcome.tool_calls)),
        ("counted_tokens", json!(outcome.counted_tokens)),
        ("service_tier", json!(outcome.service_tier)),
        ("response_id", json!(outcome.response_id)),
        ("priced", json!(priced)),
        ("cost_nanousd", json!(cost)),
    ] {
        out.insert(name.to_owned(), value);
    }
    if let Some(error) = error {
        out.insert(
            "error".to_owned(),
            json!({ "type": error.kind, "code": error.code, "message": error.message }),
        );
    }
    let side: Vec<Value> = usage
        .side
        .iter()
        .map(|side| {
            json!({
                "kind": side.kind, "model": side.model, "input": side.input, "input_uncached": side.input_uncached,
                "cached_read": side.cached_read, "cache_write": side.cache_write,
                "cache_write_5m": side.cache_write_5m, "cache_write_1h": side.cache_write_1h, "output": side.output,
            })
        })
        .collect();
    if !side.is_empty() {
        out.insert("side".to_owned(), Value::Array(side));
    }
    Value::Object(out)
}

/// Whether the model has a price, and what the call cost by it.
fn cost(kind: Option<ApiKind>, outcome: &Outcome, asked: Option<&str>, basis: &str) -> (bool, Option<u64>) {
    if kind.is_some_and(|kind| !kind.billed()) {
        return (true, Some(0));
    }
    let answered = outcome.model.as_deref();
    let Some(asked) = asked.or(answered) else {
        return (false, None);
    };
    let price = cost::price_of_call(basis, asked, answered);
    let cost = price
        .as_ref()
        .filter(|_| outcome.known != Known::Unknown)
        .and_then(|price| cost::cost(price, &outcome.usage));
    (price.is_some(), cost.map(|cost| cost.0))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn model_of(request: &[u8]) -> Result<Option<String>> {
    let request: Value = serde_json::from_slice(request).context("the request is not JSON")?;
    Ok(request.get("model").and_then(Value::as_str).map(str::to_owned))
}

fn header(line: &str) -> Result<(String, &str)> {
    let (name, value) = line
        .split_once(':')
        .with_context(|| format!("a header is `name: value`, not {line:?}"))?;
    Ok((name.trim().to_ascii_lowercase(), value.trim()))
}

fn count(value: Option<&str>) -> Result<Option<u64>> {
    value
        .map(|value| {
            value
                .parse()
                .with_context(|| format!("{value:?} is no token count"))
        })
        .transpose()
}
