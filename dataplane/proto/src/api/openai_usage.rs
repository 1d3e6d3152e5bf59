//! OpenAI's usage objects, under both sets of names, and the ways in which compatible servers differ.

use sluice_shared::units::NanoUsd;
use sluice_shared::usage::Usage;

use super::note;
use crate::meter::tree::View;

/// Reads a usage object; `None` where it states no count.
///
/// `input` includes cached and written tokens, `output` includes reasoning. A total above their sum is explained,
/// in this order, by reasoning stated beside the output (xAI), by audio stated beside the prompt (Mistral), and
/// otherwise by thinking that has no name (Gemini's OpenAI endpoint): it counts as output.
pub(crate) fn read(usage: View<'_>, notes: &mut Vec<&'static str>) -> Option<Usage> {
    let count = |key: &str| usage.get(key).and_then(View::count);
    let first = |keys: &[&str]| keys.iter().find_map(|key| count(key));
    let stated_input = first(&["prompt_tokens", "input_tokens"]);
    let stated_output = first(&["completion_tokens", "output_tokens"]);
    let total = count("total_tokens");
    if stated_input.is_none() && stated_output.is_none() && total.is_none() {
        return None;
    }
    let input_details = [
        "prompt_tokens_details",
        "input_tokens_details",
        "input_token_details",
    ]
    .iter()
    .find_map(|key| usage.get(key));
    let output_details = [
        "completion_tokens_details",
        "output_tokens_details",
        "output_token_details",
    ]
    .iter()
    .find_map(|key| usage.get(key));
    let of_input = |key: &str| {
        input_details
            .and_then(|details| details.get(key))
            .and_then(View::count)
    };
    let of_output = |key: &str| {
        output_details
            .and_then(|details| details.get(key))
            .and_then(View::count)
    };

    let reasoning = of_output("reasoning_tokens")
        .or_else(|| count("reasoning_tokens"))
        .unwrap_or(0);
    let audio = of_input("audio_tokens").unwrap_or(0);
    let (mut input, mut output) = match (stated_input, stated_output) {
        (None, None) => (total.unwrap_or(0), 0),
        (input, output) => (input.unwrap_or(0), output.unwrap_or(0)),
    };
    let more = total.unwrap_or(0).saturating_sub(input.saturating_add(output));
    if more > 0 {
        if more == reasoning {
            output = output.saturating_add(more);
            note(notes, "reasoning_outside_completion");
        } else if more == audio {
            input = input.saturating_add(more);
            note(notes, "audio_outside_prompt");
        } else if more == reasoning.saturating_add(audio) {
            output = output.saturating_add(reasoning);
            input = input.saturating_add(audio);
            note(notes, "reasoning_outside_completion");
            note(notes, "audio_outside_prompt");
        } else {
            output = output.saturating_add(more);
            note(notes, "unnamed_tokens_in_total");
        }
    }
    let cached = of_input("cached_tokens")
        .or_else(|| first(&["prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens"]))
        .unwrap_or(0);
    let written = of_input("cache_write_tokens").unwrap_or(0);
    if cached > input {
        note(notes, "cached_exceeds_input");
    } else if cached.saturating_add(written) > input {
        note(notes, "cache_read_and_write_overlap");
    }
    if reasoning > output {
        note(notes, "reasoning_exceeds_output");
    }
    let cached_details = input_details.and_then(|details| details.get("cached_tokens_details"));
    Some(Usage {
        input: Some(input),
        input_uncached: Some(input.saturating_sub(cached).saturating_sub(written)),
        cached_read: Some(cached),
        cache_write: Some(written),
        output: Some(output),
        reasoning: Some(reasoning),
        total,
        input_audio: of_input("audio_tokens"),
        input_image: of_input("image_tokens"),
        cached_audio: cached_details
            .and_then(|details| details.get("audio_tokens"))
            .and_then(View::count),
        output_audio: of_output("audio_tokens"),
        output_image: of_output("image_tokens"),
        audio_ms: count("prompt_audio_seconds").map(|seconds| seconds.saturating_mul(1000)),
        web_searches: ["server_tool_use_details", "server_tool_use"]
            .iter()
            .find_map(|key| usage.path(&[key, "web_search_requests"]))
            .or_else(|| usage.path(&["server_side_tool_usage_details", "web_search_calls"]))
            .or_else(|| usage.get("num_search_queries"))
            .and_then(View::count),
        stated_cost: stated_cost(usage),
        ..Usage::default()
    })
}

/// The cost that the provider states: OpenRouter `cost` and Perplexity `cost.total_cost` in US dollars, xAI
/// `cost_in_usd_ticks` of 1e-10 US dollars.
fn stated_cost(usage: View<'_>) -> Option<NanoUsd> {
    if let Some(ticks) = usage.get("cost_in_usd_ticks") {
        return ticks.decimal(-1).map(NanoUsd);
    }
    let cost = usage.get("cost")?;
    cost.decimal(9)
        .or_else(|| cost.get("total_cost")?.decimal(9))
        .map(NanoUsd)
}
