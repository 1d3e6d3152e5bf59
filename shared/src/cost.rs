//! What a request cost, in integer nanodollars.
//!
//! Three steps, each of them a file: a model's name is brought to the form that a price list has it in ([`names`]), the
//! row is read from the product's table ([`table`]: the text `cost/prices.txt`), and what the operator's document says
//! about prices is laid over it ([`book`]). A model without a price is a state ("unpriced"), not 0. The cost that some
//! providers state is kept beside ([`Usage::stated_cost`]) and not used.
//!
//! A sum is exact: each count times its rate in 128 bits, added up, rounded once, half up, to a nanodollar.
//!
//! Simplifications: storage of caches and files, images in the prompt billed by the piece, speech billed by the character
//! and Vertex' surcharge for regional endpoints are not priced, because no answer states them.

#![deny(clippy::float_arithmetic)]

mod book;
mod bound;
pub mod decimal;
mod names;
mod table;

use std::borrow::Cow;

pub use book::{Found, PriceBook};
pub use bound::upper_bound;
pub use table::{TABLE_VERSION, all};

use crate::units::NanoUsd;
use crate::usage::{ServiceTier, SideUsage, Usage};

/// Nanodollars for a million tokens: the unit of every rate. 1 USD for a million tokens is 1,000,000,000.
pub type Rate = u64;

/// Tokens that a rate is for.
const TOKENS_PER_RATE: u128 = 1_000_000;

/// What tokens cost. A rate "apart" is `None` where such tokens cost what the others do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Apart: reasoning tokens.
    pub reasoning: Option<Rate>,
    /// Apart: audio in the prompt, not cached.
    pub audio_input: Option<Rate>,
    /// Apart: generated audio.
    pub audio_output: Option<Rate>,
    /// Apart: images in the prompt, not cached.
    pub image_input: Option<Rate>,
    /// Apart: generated images.
    pub image_output: Option<Rate>,
}

/// Rates of the whole request where its input, cache included, is above a number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Above {
    /// The number of tokens.
    pub tokens: u64,
    /// The rates.
    pub rates: Rates,
}

/// What tokens cost in a service tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The tier, as the answer names it.
    pub tier: ServiceTier,
    /// Its rates.
    pub rates: Rates,
    /// Its rates for long inputs.
    pub above: Option<Above>,
}

/// Price of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Who bills.
    pub basis: Cow<'static, str>,
    /// The model as the table names it.
    pub model: Cow<'static, str>,
    /// Rates of an ordinary request.
    pub rates: Rates,
    /// Its rates for long inputs.
    pub above: Option<Above>,
    /// Tiers that cost something else, each at most once.
    pub tiers: Vec<Tier>,
    /// Every request, whatever its size, in nanodollars.
    pub request: Option<u64>,
    /// One hosted web search, in nanodollars.
    pub search: Option<u64>,
    /// One search in uploaded files, in nanodollars.
    pub file_search: Option<u64>,
    /// One session of a hosted code interpreter, in nanodollars.
    pub code_session: Option<u64>,
    /// One generated image, in nanodollars, where the answer states no tokens.
    pub per_image: Option<u64>,
    /// One second of audio, in nanodollars, where the answer states no tokens.
    pub per_second: Option<u64>,
    /// Most tokens of prompt and answer together, or of the prompt where the provider limits the two apart.
    pub context: Option<u64>,
    /// Most generated tokens.
    pub max_output: Option<u64>,
    /// Where the row was read.
    pub source: Cow<'static, str>,
    /// What a second source says: `agree`, `alone` where it does not know the model, or why this figure was chosen.
    pub check: Cow<'static, str>,
    /// When, as YYYY-MM-DD.
    pub date: Cow<'static, str>,
}

impl Price {
    /// Rates of a request of this tier with this much input. A tier without rates of its own costs what the ordinary one
    /// does.
    #[must_use]
    pub fn rates_for(&self, tier: Option<ServiceTier>, input: u64) -> &Rates {
        let tier = tier.and_then(|tier| self.tiers.iter().find(|row| row.tier == tier));
        let (rates, above) = match tier {
            Some(tier) => (&tier.rates, &tier.above),
            None => (&self.rates, &self.above),
        };
        match above {
            Some(above) if input > above.tokens => &above.rates,
            _ => rates,
        }
    }

    /// What so many tokens cost at ordinary rates with nothing cached, rounded up; the fee for a request is included.
    /// `None` if it does not fit.
    #[must_use]
    pub fn estimate(&self, input: u64, output: u64) -> Option<NanoUsd> {
        let rates = self.rates_for(None, input);
        bound::sum_up(&[(input, rates.input), (output, rates.output)], self.request)
    }

    /// Every rate and fee times `ppm` millionths, rounded half up. `None` if one does not fit.
    #[must_use]
    pub fn scaled(&self, ppm: u64) -> Option<Self> {
        let fee = |fee: Option<u64>| fee.map_or(Some(None), |fee| scale(fee, ppm, 1_000_000).map(Some));
        let all = |rates: &Rates| rates.map(|rate| scale(rate, ppm, 1_000_000));
        let above = |above: Option<Above>| match above {
            Some(above) => all(&above.rates).map(|rates| Some(Above { rates, ..above })),
            None => Some(None),
        };
        let tiers = self.tiers.iter().map(|tier| {
            Some(Tier {
                tier: tier.tier,
                rates: all(&tier.rates)?,
                above: above(tier.above)?,
            })
        });
        Some(Self {
            rates: all(&self.rates)?,
            above: above(self.above)?,
            tiers: tiers.collect::<Option<_>>()?,
            request: fee(self.request)?,
            search: fee(self.search)?,
            file_search: fee(self.file_search)?,
            code_session: fee(self.code_session)?,
            per_image: fee(self.per_image)?,
            per_second: fee(self.per_second)?,
            ..self.clone()
        })
    }
}

impl Rates {
    /// Each rate through `change`.
    fn map(&self, change: impl Fn(Rate) -> Option<Rate>) -> Option<Self> {
        let apart = |rate: Option<Rate>| rate.map_or(Some(None), |rate| change(rate).map(Some));
        Some(Self {
            input: change(self.input)?,
            output: change(self.output)?,
            cache_read: change(self.cache_read)?,
            cache_write_5m: change(self.cache_write_5m)?,
            cache_write_1h: change(self.cache_write_1h)?,
            reasoning: apart(self.reasoning)?,
            audio_input: apart(self.audio_input)?,
            audio_output: apart(self.audio_output)?,
            image_input: apart(self.image_input)?,
            image_output: apart(self.image_output)?,
        })
    }

    /// The rates apart that are not stated, in the proportion that `input` (for what is read) and `output` (for what is
    /// generated) have to those of `base`.
    fn apart_like(&mut self, base: &Self) {
        let like = |rate: Option<Rate>, mine: Rate, theirs: Rate| {
            rate.and_then(|rate| {
                if theirs == 0 {
                    Some(rate)
                } else {
                    scale(rate, mine, theirs)
                }
            })
        };
        self.reasoning = self
            .reasoning
            .or_else(|| like(base.reasoning, self.output, base.output));
        self.audio_input = self
            .audio_input
            .or_else(|| like(base.audio_input, self.input, base.input));
        self.image_input = self
            .image_input
            .or_else(|| like(base.image_input, self.input, base.input));
        self.audio_output = self
            .audio_output
            .or_else(|| like(base.audio_output, self.output, base.output));
        self.image_output = self
            .image_output
            .or_else(|| like(base.image_output, self.output, base.output));
    }
}

impl Above {
    /// The long-input rates of a tier whose ordinary rates are `own` where those of this price are `base`: in proportion.
    fn like(&self, own: &Rates, base: &Rates) -> Option<Self> {
        let like = |long: Rate, mine: Rate, theirs: Rate| match theirs {
            0 => Some(long),
            _ => scale(long, mine, theirs),
        };
        let long = &self.rates;
        let mut rates = Rates {
            input: like(long.input, own.input, base.input)?,
            output: like(long.output, own.output, base.output)?,
            cache_read: like(long.cache_read, own.cache_read, base.cache_read)?,
            cache_write_5m: like(long.cache_write_5m, own.cache_write_5m, base.cache_write_5m)?,
            cache_write_1h: like(long.cache_write_1h, own.cache_write_1h, base.cache_write_1h)?,
            ..Rates::default()
        };
        rates.apart_like(long);
        Some(Self {
            tokens: self.tokens,
            rates,
        })
    }
}

/// `value × over / under`, rounded half up; `None` if it does not fit or `under` is 0.
fn scale(value: u64, over: u64, under: u64) -> Option<u64> {
    let (value, over, under) = (u128::from(value), u128::from(over), u128::from(under));
    let twice = value.checked_mul(over)?.checked_mul(2)?.checked_add(under)?;
    u64::try_from(twice.checked_div(under.checked_mul(2)?)?).ok()
}

/// The price of a model at a basis; `None` means unpriced.
///
/// `basis` is a provider's `cost_basis`: `openai`, `anthropic`, `gemini`, `vertex`, `bedrock`, `azure`, `openrouter`, `groq` …;
/// empty: the vendor is told by the model's name. The name may carry a path (`models/…`, an ARN), a vendor
/// (`openai/gpt-4o`), a date (`-20250929`, `-2025-08-07`, `@20250929`), `-latest`, or Bedrock's region and version. What
/// remains must be equal to a row's name: a family is never guessed, so `gpt-4o` cannot price `gpt-4o-mini`.
#[must_use]
pub fn price_for(basis: &str, model: &str) -> Option<Price> {
    names::candidates(basis, model)
        .into_iter()
        .find_map(|name| table::find(name.basis, &name.name))
}

/// The price of a call. What the answer names goes first, since what was asked may be an alias or an Azure
/// deployment; on Bedrock what was asked goes first, since only it says which region's price holds.
#[must_use]
pub fn price_of_call(basis: &str, asked: &str, answered: Option<&str>) -> Option<Price> {
    let (first, second) = in_order(basis, asked, answered);
    price_for(basis, first).or_else(|| price_for(basis, second))
}

/// What was asked and what was answered, the one that prices better first.
fn in_order<'a>(basis: &str, asked: &'a str, answered: Option<&'a str>) -> (&'a str, &'a str) {
    match answered {
        Some(answered) if !basis.starts_with("bedrock") => (answered, asked),
        Some(answered) => (asked, answered),
        None => (asked, asked),
    }
}

/// What a number of things costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was consumed.
    pub what: &'static str,
    /// How much of it.
    pub count: u64,
    /// Nanodollars for `per` of it.
    pub rate: u64,
    /// 1,000,000 for tokens, 1,000 for milliseconds of audio, 1 for pieces.
    pub per: u64,
}

/// Cost of a request: each count times its rate, summed exactly and rounded once, half up, to a nanodollar.
///
/// `None`: nothing is known that the model is billed by, a piece of side work has no price, or the sum does not fit. A
/// count that is missing beside known ones adds nothing. "Of which" counts (audio, images, reasoning, cached tokens) are
/// taken out of the count they belong to, never more than it holds. The tier is the one that the answer named.
#[must_use]
pub fn cost(price: &Price, usage: &Usage) -> Option<NanoUsd> {
    cost_by(price, usage, &|model| price_for(&price.basis, model))
}

/// [`cost`], with the price of side work's models by `side`.
fn cost_by(price: &Price, usage: &Usage, side: &dyn Fn(&str) -> Option<Price>) -> Option<NanoUsd> {
    let mut sum: u128 = 0;
    let mut add = |line: Line| {
        let scale = TOKENS_PER_RATE.checked_div(u128::from(line.per))?;
        let part = u128::from(line.count).checked_mul(u128::from(line.rate))?;
        sum = sum.checked_add(part.checked_mul(scale)?)?;
        Some(())
    };
    let mut known = parts(price, usage, &mut add)?;
    for work in &usage.side {
        let theirs = match &work.model {
            Some(model) => Some(side(model)?),
            None => None,
        };
        known |= parts(
            theirs.as_ref().unwrap_or(price),
            &as_usage(work, usage.tier),
            &mut add,
        )?;
    }
    if !known {
        return None;
    }
    let rounded = sum.checked_add(TOKENS_PER_RATE / 2)? / TOKENS_PER_RATE;
    u64::try_from(rounded).ok().map(NanoUsd)
}

/// The lines that [`cost`] adds up, side work left out; those of which there is nothing are left out, too.
#[must_use]
pub fn lines(price: &Price, usage: &Usage) -> Vec<Line> {
    let mut out = Vec::new();
    let _ = parts(price, usage, &mut |line| {
        out.push(line);
        Some(())
    });
    out
}

/// Hands every line to `add`. Whether anything is known that the model is billed by.
fn parts(price: &Price, usage: &Usage, add: &mut dyn FnMut(Line) -> Option<()>) -> Option<bool> {
    let mut line = |what: &'static str, count: Option<u64>, rate: Option<u64>, per: u64| match (count, rate) {
        (Some(count), Some(rate)) if count > 0 => add(Line {
            what,
            count,
            rate,
            per,
        }),
        _ => Some(()),
    };
    let counted = usage.input.is_some() || usage.output.is_some();
    let images = usage.images.filter(|_| !counted && price.per_image.is_some());
    let audio_ms = usage.audio_ms.filter(|_| !counted && price.per_second.is_some());
    if counted {
        tokens(price, usage, &mut line)?;
    }
    line("images", images, price.per_image, 1)?;
    line("audio, ms", audio_ms, price.per_second, 1_000)?;
    let known = counted || images.is_some() || audio_ms.is_some();
    if known {
        line("request", Some(1), price.request, 1)?;
        line("web searches", usage.web_searches, price.search, 1)?;
        line("file searches", usage.file_searches, price.file_search, 1)?;
        line("code sessions", usage.code_sessions, price.code_session, 1)?;
    }
    Some(known)
}

fn tokens(
    price: &Price,
    usage: &Usage,
    line: &mut dyn FnMut(&'static str, Option<u64>, Option<u64>, u64) -> Option<()>,
) -> Option<()> {
    const MILLION: u64 = 1_000_000;
    // A provider that states more cached tokens than there were in the prompt does not bill more than the prompt.
    let input = usage.input.unwrap_or(u64::MAX);
    let read = usage.cached_read.unwrap_or(0).min(input);
    let write = usage.cache_write.unwrap_or(0).min(input - read);
    let write_1h = usage.cache_write_1h.unwrap_or(0).min(write);
    let room = input - read - write;
    let uncached = match usage.input_uncached {
        Some(uncached) => uncached.min(room),
        None if usage.input.is_some() => room,
        None => 0,
    };
    let output = usage.output.unwrap_or(0);
    let rates = price.rates_for(usage.tier, usage.input.unwrap_or(0));

    let mut text = uncached;
    let fresh_audio = usage
        .input_audio
        .map(|audio| audio.saturating_sub(usage.cached_audio.unwrap_or(0)));
    for (what, tokens, rate) in [
        ("audio input", fresh_audio, rates.audio_input),
        ("image input", usage.input_image, rates.image_input),
    ] {
        if let (Some(tokens), Some(_)) = (tokens, rate) {
            let tokens = tokens.min(text);
            text -= tokens;
            line(what, Some(tokens), rate, MILLION)?;
        }
    }
    line("input", Some(text), Some(rates.input), MILLION)?;
    line("cache read", Some(read), Some(rates.cache_read), MILLION)?;
    line(
        "cache write 5m",
        Some(write - write_1h),
        Some(rates.cache_write_5m),
        MILLION,
    )?;
    line(
        "cache write 1h",
        Some(write_1h),
        Some(rates.cache_write_1h),
        MILLION,
    )?;
    let mut text = output;
    for (what, tokens, rate) in [
        ("audio output", usage.output_audio, rates.audio_output),
        ("image output", usage.output_image, rates.image_output),
        ("reasoning", usage.reasoning, rates.reasoning),
    ] {
        if let (Some(tokens), Some(_)) = (tokens, rate) {
            let tokens = tokens.min(text);
            text -= tokens;
            line(what, Some(tokens), rate, MILLION)?;
        }
    }
    line("output", Some(text), Some(rates.output), MILLION)
}

fn as_usage(side: &SideUsage, tier: Option<ServiceTier>) -> Usage {
    Usage {
        input: side.input,
        input_uncached: side.input_uncached,
        cached_read: side.cached_read,
        cache_write: side.cache_write,
        cache_write_5m: side.cache_write_5m,
        cache_write_1h: side.cache_write_1h,
        output: side.output,
        tier,
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests;
