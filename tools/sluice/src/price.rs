//! `sluice price`: what a model costs, by which steps that was found, and what given usage costs, line by line.
//!
//! Nobody is asked: the prices are those of a document, of the configuration that the data directory keeps, or of the
//! built-in table. They are found and added up by the functions that the gateway itself uses.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sluice_shared::cost::{self, Found, Line, Price, PriceBook, Rates, TABLE_VERSION, decimal};
use sluice_shared::snapshot::{Sealed, Snapshot};
use sluice_shared::usage::{ServiceTier, Usage};

use crate::cli::PriceOptions;
use crate::client::{columns, printable};
use crate::environment;

/// The model has no price.
const UNPRICED: u8 = 3;

/// Prints lines for people, or JSON.
///
/// # Errors
/// A bad document, a provider that it does not have, a tier that nobody has.
pub(crate) fn run(options: &PriceOptions) -> Result<ExitCode> {
    let usage = usage(options)?;
    let (book, providers, model, origin) = prices(options)?;
    let ids = match &options.provider {
        Some(id) => vec![id.clone()],
        None if providers.is_empty() => vec![String::new()],
        None => providers,
    };
    let mut priced = true;
    let mut answers = Vec::new();
    let mut text = String::new();
    for id in ids {
        let basis = options.basis.as_deref();
        let found = book.explain_at(&id, basis, &model, options.answered.as_deref());
        priced &= found.price.is_some();
        if options.json {
            answers.push(as_json(&id, &found, usage.as_ref()));
        } else {
            as_text(&mut text, &model, &id, &found, usage.as_ref());
        }
    }
    if options.json {
        let answer = json!({
            "model": model, "prices_of": origin, "table_version": *TABLE_VERSION, "prices": answers,
        });
        println!("{answer:#}");
    } else {
        println!("{}prices of {origin}; table {}", printable(&text), *TABLE_VERSION);
    }
    Ok(if priced {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNPRICED)
    })
}

/// The prices, the providers that serve the model, the name that they get, and where the prices are from.
fn prices(options: &PriceOptions) -> Result<(PriceBook, Vec<String>, String, String)> {
    let (snapshot, origin);
    let (book, providers, name) = if let Some(file) = &options.config {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        origin = file.display().to_string();
        match sluice_controlplane::prices_of(&text, &environment::readable(), folder, &options.model) {
            Ok(prices) => prices,
            Err(report) => {
                for line in report.lines(&origin) {
                    eprintln!("{line}");
                }
                bail!("the document cannot be used");
            }
        }
    } else {
        (snapshot, origin) = kept(&options.instance.data)?;
        sluice_controlplane::prices_in(&snapshot, &options.model)
    };
    let model = match &options.provider {
        Some(id) if !book.knows(id) => bail!("there is no provider {id}"),
        Some(_) => options.model.clone(),
        None if providers.is_empty() => options.model.clone(),
        None => name,
    };
    Ok((book, providers, model, origin))
}

/// The configuration that the data directory keeps; an empty one where there is none.
fn kept(data: &Path) -> Result<(Snapshot, String)> {
    let path = data.join("snapshot.bin");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Snapshot::default(), "the built-in table".to_owned()));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let sealed = Sealed::open(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
    let snapshot = sealed.to_owned().context("cannot read the configuration")?;
    let origin = format!("configuration {} in {}", snapshot.epoch.0, data.display());
    Ok((snapshot, origin))
}

/// The usage that is asked about; `None` if no count is given.
fn usage(options: &PriceOptions) -> Result<Option<Usage>> {
    let tier = match options.tier.as_deref() {
        None | Some("default" | "standard") => None,
        Some(word) => match ServiceTier::parse(word) {
            Some(tier) => Some(tier),
            None => bail!("{word:?} is no tier; known are batch, flex, priority"),
        },
    };
    let written_1h = options.written_1h;
    let cache_write = match (options.written, written_1h) {
        (None, None) => None,
        (short, long) => Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0))),
    };
    let usage = Usage {
        input: options.input,
        cached_read: options.cached,
        cache_write,
        cache_write_5m: options.written,
        cache_write_1h: written_1h,
        output: options.output,
        reasoning: options.reasoning,
        input_audio: options.audio_input,
        input_image: options.image_input,
        output_audio: options.audio_output,
        output_image: options.image_output,
        images: options.images,
        audio_ms: options.seconds.map(|seconds| seconds.saturating_mul(1_000)),
        web_searches: options.searches,
        file_searches: options.file_searches,
        code_sessions: options.code_sessions,
        ..Usage::default()
    };
    if usage == Usage::default() {
        return Ok(None);
    }
    let parts = [usage.cached_read, usage.cache_write];
    let parts = parts.into_iter().flatten().fold(0, u64::saturating_add);
    if usage.input.is_none() && (parts > 0 || usage.input_audio.is_some() || usage.input_image.is_some()) {
        bail!("--input says how long the whole prompt is; the other counts are parts of it");
    }
    Ok(Some(Usage { tier, ..usage }))
}

fn as_json(provider: &str, found: &Found, usage: Option<&Usage>) -> Value {
    let mut out = json!({
        "provider": if provider.is_empty() { Value::Null } else { provider.into() },
        "priced": found.price.is_some(),
        "overridden": found.entry.is_some(),
        "steps": found.steps,
    });
    let Some(price) = &found.price else { return out };
    out["price"] = sluice_controlplane::price_json(price);
    if let Some(usage) = usage {
        let line = |line: &Line| {
            json!({
                "what": line.what, "count": line.count, "rate": decimal::dollars(line.rate), "per": line.per,
                "usd": amount(line),
            })
        };
        out["lines"] = cost::lines(price, usage).iter().map(line).collect();
        out["cost"] = cost::cost(price, usage)
            .map(|cost| decimal::dollars(cost.0))
            .into();
    }
    out
}

/// What a line comes to, in dollars; exact, however small.
fn amount(line: &Line) -> String {
    let product = u128::from(line.count) * u128::from(line.rate);
    let per = u128::from(line.per).max(1);
    let (whole, rest) = (product / per, product % per);
    let whole = u64::try_from(whole).map_or_else(|_| "too much".to_owned(), decimal::dollars);
    if rest == 0 { whole } else { format!("{whole}…") }
}

fn as_text(out: &mut String, model: &str, provider: &str, found: &Found, usage: Option<&Usage>) {
    let at = if provider.is_empty() {
        String::new()
    } else {
        format!(" at {provider}")
    };
    let Some(price) = &found.price else {
        let _ = writeln!(out, "{model}{at}: unpriced");
        steps(out, found);
        out.push('\n');
        return;
    };
    let _ = writeln!(out, "{model}{at}: US dollars for a million tokens");
    steps(out, found);
    let _ = match (&*price.check, &*price.date) {
        ("", _) => writeln!(out, "  source: {}", price.source),
        (check, date) => writeln!(out, "  source: {}, {date}; second source: {check}", price.source),
    };
    let _ = write!(out, "{}", columns(&table(price)));
    for (what, fee) in [
        ("a request", price.request),
        ("a web search", price.search),
        ("a file search", price.file_search),
        ("a code session", price.code_session),
        ("an image, where no tokens are stated", price.per_image),
        ("a second of audio, where no tokens are stated", price.per_second),
    ] {
        if let Some(fee) = fee {
            let _ = writeln!(out, "  ${} for {what}", decimal::dollars(fee));
        }
    }
    for (what, tokens) in [("context", price.context), ("output at most", price.max_output)] {
        if let Some(tokens) = tokens {
            let _ = writeln!(out, "  {what}: {tokens} tokens");
        }
    }
    if let Some(usage) = usage {
        sum(out, price, usage);
    }
    out.push('\n');
}

fn steps(out: &mut String, found: &Found) {
    for step in &found.steps {
        let _ = writeln!(out, "  {step}");
    }
}

/// A column for each set of rates, a row for each kind of token.
fn table(price: &Price) -> Vec<Vec<String>> {
    let mut sets: Vec<(String, &Rates)> = vec![("ordinary".to_owned(), &price.rates)];
    let above = |name: &str, tokens: u64| format!("{name} above {tokens}");
    if let Some(long) = &price.above {
        sets.push((above("", long.tokens).trim().to_owned(), &long.rates));
    }
    for tier in &price.tiers {
        sets.push((tier.tier.name().to_owned(), &tier.rates));
        if let Some(long) = &tier.above {
            sets.push((above(tier.tier.name(), long.tokens), &long.rates));
        }
    }
    type Rate = fn(&Rates) -> Option<u64>;
    let kinds: [(&str, Rate); 10] = [
        ("input", |rates| Some(rates.input)),
        ("output", |rates| Some(rates.output)),
        ("cache read", |rates| Some(rates.cache_read)),
        ("cache write 5m", |rates| Some(rates.cache_write_5m)),
        ("cache write 1h", |rates| Some(rates.cache_write_1h)),
        ("reasoning", |rates| rates.reasoning),
        ("audio input", |rates| rates.audio_input),
        ("audio output", |rates| rates.audio_output),
        ("image input", |rates| rates.image_input),
        ("image output", |rates| rates.image_output),
    ];
    let head = std::iter::once(" ".to_owned()).chain(sets.iter().map(|(name, _)| name.clone()));
    let mut rows = vec![head.collect::<Vec<_>>()];
    for (name, rate) in kinds {
        let cells: Vec<Option<u64>> = sets.iter().map(|(_, rates)| rate(rates)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells = cells
            .into_iter()
            .map(|cell| cell.map(decimal::dollars).unwrap_or_default());
        rows.push(std::iter::once(format!("  {name}")).chain(cells).collect());
    }
    rows
}

fn sum(out: &mut String, price: &Price, usage: &Usage) {
    let unit = |line: &Line| match line.per {
        1 => "each",
        1_000 => "a second",
        _ => "a million",
    };
    let mut rows: Vec<Vec<String>> = cost::lines(price, usage)
        .iter()
        .map(|line| {
            vec![
                format!("  {}", line.what),
                line.count.to_string(),
                format!("× ${} {}", decimal::dollars(line.rate), unit(line)),
                format!("= ${}", amount(line)),
            ]
        })
        .collect();
    let total = match cost::cost(price, usage) {
        Some(cost) => format!("= ${}", decimal::dollars(cost.0)),
        None => "not known".to_owned(),
    };
    let tier = usage.tier.map_or("ordinary", ServiceTier::name);
    let tier = if usage.tier.is_some() && !price.tiers.iter().any(|row| Some(row.tier) == usage.tier) {
        format!("{tier} tier, which has no rates of its own")
    } else {
        format!("{tier} tier")
    };
    rows.push(vec!["  cost".to_owned(), String::new(), tier, total]);
    out.push_str(&columns(&rows));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(model: &str, usage: Option<&Usage>) -> String {
        let found = PriceBook::default().explain("", model, None);
        let mut out = String::new();
        as_text(&mut out, model, "", &found, usage);
        out
    }

    #[test]
    fn steps_rates_and_the_sum_are_shown() {
        let usage = Usage {
            input: Some(12_000),
            cached_read: Some(8_000),
            output: Some(901),
            tier: Some(ServiceTier::Flex),
            ..Usage::default()
        };
        let text = shown("gpt-5-2025-08-07", Some(&usage));
        // 4,000 × 0.625 + 8,000 × 0.0625 + 901 × 5 millionths of a dollar
        for line in [
            "gpt-5-2025-08-07: US dollars for a million tokens\n",
            "  table: gpt-5-2025-08-07, without the date, is openai/gpt-5\n",
            "ordinary  batch",
            "  cache read      0.125",
            "  $0.01 for a web search\n",
            "  output at most: 128000 tokens\n",
            "× $0.625 a million",
            "= $0.0025\n",
            "= $0.004505\n",
            "flex tier",
            "= $0.007505\n",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
        let text = shown("no-such-model", None);
        assert!(
            text.starts_with("no-such-model: unpriced\n  table: no row for no-such-model"),
            "{text}"
        );
    }

    #[test]
    fn a_line_is_exact_or_says_that_it_is_not() {
        let line = |count, rate, per| Line {
            what: "x",
            count,
            rate,
            per,
        };
        assert_eq!(amount(&line(3, 1_000_000, 1_000_000)), "0.000000003");
        assert_eq!(amount(&line(3, 500_000, 1_000_000)), "0.000000001…");
        assert_eq!(amount(&line(u64::MAX, u64::MAX, 1)), "too much");
    }
}
