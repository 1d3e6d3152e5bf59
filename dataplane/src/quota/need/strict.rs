//! The most that a request can use, or why nobody can say.
//!
//! A token of a prompt stands for at least one byte of what the model is given, and the model is given the body, unpacked
//! and laid out by the provider's template. So the prompt has at most as many tokens as the body has bytes, and what the
//! template adds: [`TEMPLATE_TOKENS`], and [`TEMPLATE_TOKENS_EACH`] for every key and value. A picture has at most
//! [`IMAGE_TOKENS`], however few its bytes are. What else is brought in (files, pages, stored conversations, films) is
//! bounded by the model's context window alone. Tools that the provider runs have no bound at all: each of their
//! turns is another prompt.

use sluice_proto::splice::OutputKey;
use sluice_shared::api::ApiKind;
use sluice_shared::cost::Price;
use sluice_shared::quota::{AMOUNT_MAX, Unit};

use super::{Call, Unbounded, generates, money};

/// Tokens that a provider puts around what it is given: template, hidden instructions, those for the use of tools. Of 482
/// recorded requests the one with the most had 430, beyond its bytes and what is counted for each key and value.
pub(super) const TEMPLATE_TOKENS: u64 = 2_048;
/// The same for every key and value of the body.
pub(super) const TEMPLATE_TOKENS_EACH: u64 = 4;
/// Tokens of a picture: above what any vendor documents (OpenAI's `original` detail: 10,000 patches), but for…
pub(super) const IMAGE_TOKENS: u64 = 16_384;
/// …this family, which counts 33 times as many as its sisters, at a price as much lower.
const IMAGE_TOKENS_4O_MINI: u64 = 49_152;
/// Words in the names of models that search or run code unasked, or pass a request on to whom they like.
const SEARCHING: &[&str] = &[
    "search",
    "research",
    "sonar",
    "compound",
    ":online",
    "openrouter/auto",
];

const fn unbounded<T>(what: &'static str) -> Result<T, Unbounded> {
    Err(Unbounded { what })
}

/// The largest amount that the call can take. `open`: an answer without a limit counts as the largest amount there is,
/// since its limit can be put in.
pub(super) fn bound(
    call: &Call<'_>,
    unit: Unit,
    price: Option<&Price>,
    open: bool,
) -> Result<u64, Unbounded> {
    if call.is_form || call.kind == ApiKind::OpenAiAudio {
        return unbounded("what is sent as a form, and sound, cannot be bounded beforehand");
    }
    if call.kind == ApiKind::OpenAiImages {
        return images(call, unit, price);
    }
    if call.kind == ApiKind::VertexPredict && !call.model.contains("embed") {
        return unbounded("predictions of this model have no limit");
    }
    let input = input(call, price)?;
    let output = match output(call, price) {
        Some(output) => output,
        None if open && OutputKey::of(call.kind, call.basis, call.model).is_some() => return Ok(AMOUNT_MAX),
        None => return unbounded("the request sets no limit on output tokens (max_tokens)"),
    };
    Ok(match (unit, price) {
        (Unit::Usd, Some(price)) => money::most(price, input, output),
        (Unit::Usd, None) => 0,
        _ => input.saturating_add(output),
    })
}

/// Most tokens of the prompt.
pub(super) fn input(call: &Call<'_>, price: Option<&Price>) -> Result<u64, Unbounded> {
    let outside = call.outside();
    let searching = SEARCHING.iter().any(|word| call.model.contains(word));
    if outside.tools || (searching && generates(call.kind)) {
        return unbounded("tools that the provider runs (search, code, MCP) can use any number of tokens");
    }
    if outside.models && call.basis == "openrouter" {
        return unbounded("the provider may choose another model");
    }
    if outside.limits {
        return unbounded("a limit on output tokens stands where it is not looked for");
    }
    if call.facts.background == Some(true) {
        return unbounded("the usage of an answer in the background is not known in time");
    }
    let context = price.and_then(|price| price.context);
    if outside.content || call.facts.previous_response_id.is_some() || call.model.contains(":prompt/") {
        return context.map_or_else(
            || unbounded("it brings in other content, and how much the model can read is not known"),
            Ok,
        );
    }
    let image = if call.model.contains("4o-mini") {
        IMAGE_TOKENS_4O_MINI
    } else {
        IMAGE_TOKENS
    };
    let bytes = u64::from(call.facts.tokens)
        .saturating_mul(TEMPLATE_TOKENS_EACH)
        .saturating_add(call.body_bytes)
        .saturating_add(u64::from(outside.images).saturating_mul(image))
        .saturating_add(TEMPLATE_TOKENS);
    Ok(bytes.min(context.unwrap_or(u64::MAX)))
}

/// Most tokens of the answer; `None`: nothing limits it.
fn output(call: &Call<'_>, price: Option<&Price>) -> Option<u64> {
    if !generates(call.kind) {
        return Some(0);
    }
    let most = price
        .and_then(|price| price.max_output)
        .map(|most| most.saturating_mul(answers(call)));
    match (allowed(call), most) {
        (Some(allowed), Some(most)) => Some(allowed.min(most)),
        (allowed, most) => allowed.or(most),
    }
}

/// Tokens of all answers together that the request allows; `None`: it sets no limit.
pub(super) fn allowed(call: &Call<'_>) -> Option<u64> {
    let key = OutputKey::of(call.kind, call.basis, call.model)?;
    let each = match (key.limit(call.facts), call.lowered) {
        (Some(asked), Some(lowered)) => asked.min(lowered),
        (asked, lowered) => asked.or(lowered)?,
    };
    Some(each.saturating_mul(answers(call)))
}

/// Answers that are generated at once.
pub(super) fn answers(call: &Call<'_>) -> u64 {
    let choices = match call.kind {
        ApiKind::OpenAiChat
        | ApiKind::OpenAiCompletions
        | ApiKind::GeminiGenerate
        | ApiKind::VertexGenerate => call.facts.choices.unwrap_or(1).max(1),
        _ => 1,
    };
    let prompts = match call.kind {
        ApiKind::OpenAiCompletions => u64::from(call.facts.prompts.max(1)),
        _ => 1,
    };
    choices.saturating_mul(prompts)
}

/// Generated pictures are bounded where each has its price, or as many tokens as the model makes at most.
fn images(call: &Call<'_>, unit: Unit, price: Option<&Price>) -> Result<u64, Unbounded> {
    let count = call.facts.choices.unwrap_or(1).max(1);
    let input = input(call, price)?;
    let by_piece = price.and_then(|price| price.per_image.filter(|_| price.rates.output == 0));
    let tokens = price
        .and_then(|price| price.max_output)
        .map(|most| most.saturating_mul(count));
    match (unit, price, by_piece, tokens) {
        (Unit::Usd, Some(price), Some(each), _) => {
            Ok(money::most(price, input, 0).saturating_add(each.saturating_mul(count)))
        }
        (Unit::Usd, Some(price), None, Some(tokens)) => {
            Ok(money::most(price, input, tokens).max(price.per_image.unwrap_or(0).saturating_mul(count)))
        }
        (Unit::Usd, None, ..) => Ok(0),
        (Unit::Tokens, _, _, Some(tokens)) => Ok(input.saturating_add(tokens)),
        _ => unbounded("what a generated picture takes is not known"),
    }
}
