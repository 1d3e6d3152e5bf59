//! What a request cost, in integer nanodollars, from the price table of the product.
//!
//! The table is the text `cost/prices.txt`: a row is one model at one *basis*, which is whoever sends the bill. A model
//! without a row has no price: that is a state ("unpriced"), not 0. The cost that some providers state is kept
//! beside ([`Usage::stated_cost`]) and not used.
//!
//! Simplifications: the price tiers of an answer (batch, flex, priority) are not applied, nor are storage, images
//! billed by the piece and audio billed by time.

#![deny(clippy::float_arithmetic)]

mod names;
mod table;

use crate::units::NanoUsd;
use crate::usage::{SideUsage, Usage};

/// Nanodollars for a million tokens: the unit of every rate. 1 USD for a million tokens is 1,000,000,000.
pub type Rate = u64;

/// Tokens that a rate is for.
const TOKENS_PER_RATE: u128 = 1_000_000;

/// The five rates that every model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Prompt tokens not cached.
    pub input: Rate,
    /// Generated tokens.
    pub output: Rate,
    /// Tokens read from the provider's cache; `input` where no discount is stated.
    pub cache_read: Rate,
    /// Tokens written to the cache for 5 minutes; `input` where no surcharge is stated.
    pub cache_write_5m: Rate,
    /// Tokens written to the cache for 1 hour; the 5-minute rate where none is stated.
    pub cache_write_1h: Rate,
}

/// Price of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Who bills.
    pub basis: &'static str,
    /// The model as the table names it.
    pub model: &'static str,
    /// Rates of an ordinary request.
    pub rates: Rates,
    /// Rates of the whole request where its input, cache included, is above this many tokens.
    pub above: Option<(u64, Rates)>,
    /// Reasoning tokens, where they cost something else than output.
    pub reasoning: Option<Rate>,
    /// Audio in the prompt, not cached.
    pub audio_input: Option<Rate>,
    /// Generated audio.
    pub audio_output: Option<Rate>,
    /// Images in the prompt, not cached.
    pub image_input: Option<Rate>,
    /// Generated images.
    pub image_output: Option<Rate>,
    /// Every request, whatever its size, in nanodollars.
    pub request: Option<u64>,
    /// One hosted web search, in nanodollars.
    pub search: Option<u64>,
    /// Set on a row of geographic inference profiles: percent of the base rates.
    pub geo_percent: Option<u64>,
    /// Where the row was read.
    pub source: &'static str,
    /// When, as YYYY-MM-DD.
    pub date: &'static str,
}

/// The price of a model at a basis; `None` means unpriced.
///
/// `basis` is a provider's `cost_basis`: `openai`, `anthropic`, `gemini`, `vertex`, `bedrock`, `azure`, `openrouter`, `groq` …;
/// empty: the vendor is told by the model's name. The name may carry a path (`models/…`, an ARN), a vendor
/// (`openai/gpt-4o`), a date (`-20250929`, `-2025-08-07`, `@20250929`), `-latest`, or Bedrock's region and version. What
/// remains must be equal to a row's name: a family is never guessed, so `gpt-4o` cannot price `gpt-4o-mini`.
#[must_use]
pub fn price_for(basis: &str, model: &str) -> Option<&'static Price> {
    names::candidates(basis, model)
        .into_iter()
        .find_map(|(basis, name)| table::find(basis, &name))
}

/// The price of a call. What the answer names goes first, since what was asked may be an alias or an Azure
/// deployment; on Bedrock what was asked goes first, since only it says which region's price holds.
#[must_use]
pub fn price_of_call(basis: &str, asked: &str, answered: Option<&str>) -> Option<&'static Price> {
    let (first, second) = match answered {
        Some(answered) if basis != "bedrock" => (answered, asked),
        Some(answered) => (asked, answered),
        None => (asked, asked),
    };
    price_for(basis, first).or_else(|| price_for(basis, second))
}

/// Every row of the table.
#[must_use]
pub fn all() -> &'static [Price] {
    table::rows()
}

/// Cost of a request: each count times its rate, summed exactly and rounded once, half up, to a nanodollar.
///
/// `None`: no token count is known, a piece of side work has no price, or the sum does not fit. A count that is
/// missing beside known ones adds nothing. "Of which" counts (audio, images, reasoning) are taken out of the count they
/// belong to, never more than it holds.
#[must_use]
pub fn cost(price: &Price, usage: &Usage) -> Option<NanoUsd> {
    if usage.input.is_none() && usage.output.is_none() {
        return None;
    }
    let mut sum = parts(price, usage)?;
    for side in &usage.side {
        let its = match &side.model {
            Some(model) => price_for(price.basis, model)?,
            None => price,
        };
        sum = sum.checked_add(parts(its, &as_usage(side))?)?;
    }
    let rounded = sum.checked_add(TOKENS_PER_RATE / 2)? / TOKENS_PER_RATE;
    u64::try_from(rounded).ok().map(NanoUsd)
}

/// Cost in nanodollars times a million.
fn parts(price: &Price, usage: &Usage) -> Option<u128> {
    let input = usage.input.unwrap_or(0);
    let rates = match price.above {
        Some((tokens, above)) if input > tokens => above,
        _ => price.rates,
    };
    let read = usage.cached_read.unwrap_or(0);
    let write = usage.cache_write.unwrap_or(0);
    let uncached = usage
        .input_uncached
        .unwrap_or_else(|| input.saturating_sub(read).saturating_sub(write));
    let write_1h = usage.cache_write_1h.unwrap_or(0).min(write);
    let output = usage.output.unwrap_or(0);

    let mut sum: u128 = 0;
    let mut add = |tokens: u64, rate: Rate| -> Option<()> {
        sum = sum.checked_add(u128::from(tokens).checked_mul(u128::from(rate))?)?;
        Some(())
    };
    let mut text = uncached;
    let audio = usage
        .input_audio
        .unwrap_or(0)
        .saturating_sub(usage.cached_audio.unwrap_or(0));
    for (tokens, rate) in [
        (audio, price.audio_input),
        (usage.input_image.unwrap_or(0), price.image_input),
    ] {
        if let Some(rate) = rate {
            let tokens = tokens.min(text);
            text -= tokens;
            add(tokens, rate)?;
        }
    }
    add(text, rates.input)?;
    add(read, rates.cache_read)?;
    add(write - write_1h, rates.cache_write_5m)?;
    add(write_1h, rates.cache_write_1h)?;
    let mut text = output;
    for (tokens, rate) in [
        (usage.output_audio, price.audio_output),
        (usage.output_image, price.image_output),
        (usage.reasoning, price.reasoning),
    ] {
        if let (Some(tokens), Some(rate)) = (tokens, rate) {
            let tokens = tokens.min(text);
            text -= tokens;
            add(tokens, rate)?;
        }
    }
    add(text, rates.output)?;
    if let Some(each) = price.request {
        sum = sum.checked_add(u128::from(each).checked_mul(TOKENS_PER_RATE)?)?;
    }
    if let (Some(searches), Some(each)) = (usage.web_searches, price.search) {
        sum = sum.checked_add(
            u128::from(searches)
                .checked_mul(u128::from(each))?
                .checked_mul(TOKENS_PER_RATE)?,
        )?;
    }
    Some(sum)
}

fn as_usage(side: &SideUsage) -> Usage {
    Usage {
        input: side.input,
        input_uncached: side.input_uncached,
        cached_read: side.cached_read,
        cache_write: side.cache_write,
        cache_write_5m: side.cache_write_5m,
        cache_write_1h: side.cache_write_1h,
        output: side.output,
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cost of `basis`/`model` for uncached, read, written 5m, written 1h and output tokens, by hand in `want`.
    #[track_caller]
    fn check(basis: &str, model: &str, tokens: [u64; 5], want: u64) {
        let [uncached, read, write_5m, write_1h, output] = tokens;
        let usage = Usage {
            input: Some(uncached + read + write_5m + write_1h),
            input_uncached: Some(uncached),
            cached_read: Some(read),
            cache_write: Some(write_5m + write_1h),
            cache_write_5m: Some(write_5m),
            cache_write_1h: Some(write_1h),
            output: Some(output),
            ..Usage::default()
        };
        let price = price_for(basis, model).unwrap_or_else(|| panic!("{basis} {model} has no price"));
        assert_eq!(cost(price, &usage), Some(NanoUsd(want)), "{basis} {model}");
    }

    #[test]
    fn hand_computed_costs() {
        // 1,000 × 3 + 10,000 × 0.3 + 2,000 × 3.75 + 400 × 6 + 500 × 15 = 23,400 millionths of a dollar
        check(
            "anthropic",
            "claude-sonnet-4-5-20250929",
            [1000, 10_000, 2000, 400, 500],
            23_400_000,
        );
        // A US profile costs 110 percent.
        check(
            "bedrock",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            [1000, 10_000, 2000, 400, 500],
            25_740_000,
        );
        check(
            "bedrock",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            [1000, 10_000, 2000, 400, 500],
            23_400_000,
        );
        check(
            "bedrock",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            [1000, 0, 0, 0, 0],
            3_000_000,
        );
        // 17 × 0.15 + 5 × 0.6 = 5.55 millionths
        check("openai", "gpt-4o-mini-2024-07-18", [17, 0, 0, 0, 5], 5_550);
        check("azure", "gpt-4o-mini", [17, 0, 0, 0, 5], 5_550);
        check("openrouter", "openai/gpt-4o-mini", [17, 0, 0, 0, 5], 5_550);
        check("", "gpt-4o-mini", [17, 0, 0, 0, 5], 5_550);
        // gpt-5.6 bills writes: 8 × 4 + 4,012 × 5 + 5 × 20 = 20,192
        check("openai", "gpt-5.6-sol", [8, 0, 4012, 0, 5], 20_192_000);
        check("openai", "gpt-4.1", [100, 300, 0, 0, 10], 430_000);
        // 202 in, 74 of them uncached: 74 × 1.25 + 128 × 0.2 + 205 × 2.5 = 630.6: what xAI itself stated
        check("xai", "grok-4.3", [74, 128, 0, 0, 205], 630_600);
        check("gemini", "models/gemini-2.5-flash", [1000, 0, 0, 0, 100], 550_000);
        check("vertex", "gemini-2.5-pro", [1000, 0, 0, 0, 100], 2_250_000);
        // 8 × 1 + 15 × 1 for the tokens and half a cent for the request
        check("perplexity", "sonar", [8, 0, 0, 0, 15], 5_023_000);
        check("groq", "openai/gpt-oss-120b", [1000, 0, 0, 0, 100], 210_000);
        check("bedrock", "amazon.nova-lite-v1:0", [1000, 0, 0, 0, 1000], 300_000);
    }

    #[test]
    fn the_whole_input_decides_the_long_context_rate() {
        // 2.5 and 15 instead of 1.25 and 10, and for cached tokens 0.25 instead of 0.125
        check("gemini", "gemini-2.5-pro", [200_000, 0, 0, 0, 1], 250_010_000);
        check("gemini", "gemini-2.5-pro", [200_001, 0, 0, 0, 1], 500_017_500);
        check("gemini", "gemini-2.5-pro", [1, 200_000, 0, 0, 0], 50_002_500);
    }

    #[test]
    fn rounding_happens_once_and_half_up() {
        let price = Price {
            rates: Rates {
                input: 500_000,
                output: 400_000,
                cache_read: 0,
                cache_write_5m: 0,
                cache_write_1h: 0,
            },
            above: None,
            ..price_for("openai", "gpt-4o").unwrap().clone()
        };
        let usage = |input, output| Usage {
            input: Some(input),
            output: Some(output),
            ..Usage::default()
        };
        assert_eq!(cost(&price, &usage(1, 0)), Some(NanoUsd(1)));
        assert_eq!(cost(&price, &usage(0, 1)), Some(NanoUsd(0)));
        assert_eq!(cost(&price, &usage(1, 1)), Some(NanoUsd(1)));
        assert_eq!(cost(&price, &usage(1, 2)), Some(NanoUsd(1)));
        assert_eq!(cost(&price, &usage(1, 3)), Some(NanoUsd(2)));
        assert_eq!(
            cost(&price, &usage(u64::MAX, u64::MAX)),
            Some(NanoUsd(16_602_069_666_338_596_454))
        );
        let dear = Price {
            rates: Rates {
                input: u64::MAX,
                ..price.rates
            },
            ..price
        };
        assert_eq!(cost(&dear, &usage(u64::MAX, 0)), None);
        assert_eq!(cost(&dear, &Usage::default()), None);
    }

    #[test]
    fn audio_images_and_searches_are_priced_apart() {
        let price = price_for("openai", "gpt-4o-audio-preview-2024-12-17").unwrap();
        let usage = Usage {
            input: Some(64),
            input_uncached: Some(64),
            output: Some(9),
            input_audio: Some(44),
            output_audio: Some(4),
            ..Usage::default()
        };
        // 20 × 2.5 + 44 × 40 + 5 × 10 + 4 × 80 = 2,180
        assert_eq!(cost(price, &usage), Some(NanoUsd(2_180_000)));
        // A share larger than the whole is cut to it.
        let usage = Usage {
            input_audio: Some(9999),
            output_audio: Some(9999),
            ..usage
        };
        assert_eq!(cost(price, &usage), Some(NanoUsd(64 * 40_000 + 9 * 80_000)));

        let price = price_for("anthropic", "claude-sonnet-4-6").unwrap();
        let usage = Usage {
            input: Some(1000),
            output: Some(10),
            web_searches: Some(3),
            ..Usage::default()
        };
        assert_eq!(
            cost(price, &usage),
            Some(NanoUsd(3_000_000 + 150_000 + 30_000_000))
        );
    }

    #[test]
    fn side_work_is_priced_at_its_own_model() {
        let price = price_for("anthropic", "claude-sonnet-5").unwrap();
        let side = |model: Option<&str>| SideUsage {
            kind: "advisor_message".to_owned(),
            model: model.map(str::to_owned),
            input: Some(1000),
            input_uncached: Some(1000),
            output: Some(100),
            ..SideUsage::default()
        };
        let with = |side: SideUsage| Usage {
            input: Some(10),
            output: Some(1),
            side: vec![side],
            ..Usage::default()
        };
        // 10 × 2 + 1 × 10 = 30; the advisor 1,000 × 5 + 100 × 25 = 7,500; at its own model 1,000 × 2 + 100 × 10 = 3,000
        assert_eq!(
            cost(price, &with(side(Some("claude-opus-4-8")))),
            Some(NanoUsd(7_530_000))
        );
        assert_eq!(cost(price, &with(side(None))), Some(NanoUsd(3_030_000)));
        assert_eq!(cost(price, &with(side(Some("claude-nobody-knows")))), None);
    }

    #[test]
    fn the_rest_of_a_write_is_5_minutes() {
        let price = price_for("anthropic", "claude-sonnet-4-6").unwrap();
        let usage = Usage {
            input: Some(300),
            input_uncached: Some(0),
            cache_write: Some(300),
            cache_write_1h: Some(100),
            ..Usage::default()
        };
        assert_eq!(cost(price, &usage), Some(NanoUsd(200 * 3750 + 100 * 6000)));
        let usage = Usage {
            cache_write_1h: None,
            ..usage
        };
        assert_eq!(cost(price, &usage), Some(NanoUsd(300 * 3750)));
    }

    #[test]
    fn bedrock_prices_by_the_region_asked_for() {
        let price = |asked, answered| price_of_call("bedrock", asked, answered).unwrap().rates.input;
        let us = price(
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            Some("claude-haiku-4-5-20251001"),
        );
        assert_eq!(us, 1_100_000_000);
        assert_eq!(
            price("global.anthropic.claude-haiku-4-5-20251001-v1:0", None),
            1_000_000_000
        );
        let azure = price_of_call("azure", "my-deployment", Some("gpt-4o-mini-2024-07-18")).unwrap();
        assert_eq!(azure.model, "gpt-4o-mini");
    }
}
