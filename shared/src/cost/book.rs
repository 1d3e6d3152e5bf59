//! The prices of a configuration: the product's table, with what the document says laid over it.
//!
//! For a call of a provider, in this order:
//!
//! 1. `prices`: an entry for the name that was asked, or else answered. An entry without a star goes before one with, a
//!    longer one before a shorter one; so `openai/gpt-5` goes before `gpt-5`, and that before `gpt-*`.
//! 2. `model_cost_map` of the provider: the first rule that matches the name says as which model the call is priced, and by
//!    what factor. That model is looked for in `prices`, then in the table.
//! 3. The table, at the provider's `cost_basis`.
//!
//! What an entry of `prices` does not say is as in the table. The factor of a rule does not change an entry that
//! was found in step 1.

use std::collections::HashMap;

use super::{Above, Price, Rates, Tier, cost_by, in_order, names, table};
use crate::glob::Glob;
use crate::snapshot::{self, PriceOverride, RateOverride, Snapshot};
use crate::units::NanoUsd;
use crate::usage::Usage;

/// A factor that changes nothing, in millionths.
const ONE_PPM: u64 = 1_000_000;

/// Prices as a configuration has them. Looking one up takes microseconds: keep what was found until the configuration
/// changes.
#[derive(Clone, Debug, Default)]
pub struct PriceBook {
    /// In the order in which they are tried.
    overrides: Vec<(Pattern, PriceOverride)>,
    providers: HashMap<String, Provider>,
}

#[derive(Clone, Debug, Default)]
struct Provider {
    basis: String,
    rules: Vec<(Pattern, snapshot::CostRule)>,
}

/// A price, and how it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The price; `None` means unpriced.
    pub price: Option<Price>,
    /// The entry of `prices` that has a say in it.
    pub entry: Option<String>,
    /// What was done, in order, for people.
    pub steps: Vec<String>,
}

/// A pattern, or the text of one that is no pattern, which then matches itself only.
#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    glob: Option<Glob>,
    /// It begins with the id of a provider.
    of_provider: bool,
}

impl Pattern {
    fn new(text: &str, of_provider: bool) -> Self {
        Self {
            text: text.to_owned(),
            glob: Glob::parse(text).ok().filter(|glob| !glob.is_exact()),
            of_provider,
        }
    }

    fn matches(&self, model: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.matches(model),
            None => self.text == model,
        }
    }

    fn matches_call(&self, provider: &str, model: &str) -> bool {
        let pair = match &self.glob {
            Some(glob) => glob.matches_pair(provider, model),
            None => {
                let rest = self.text.strip_prefix(provider);
                rest.and_then(|rest| rest.strip_prefix('/')) == Some(model)
            }
        };
        pair || (!self.of_provider && self.matches(model))
    }
}

impl PriceBook {
    /// The prices of a configuration. A pattern that is none matches the model of that very name.
    #[must_use]
    pub fn compile(snapshot: &Snapshot) -> Self {
        let provider = |provider: &snapshot::Provider| {
            let rule = |rule: &snapshot::CostRule| (Pattern::new(&rule.pattern, false), rule.clone());
            let of = Provider {
                basis: provider.cost_basis.clone(),
                rules: provider.cost_map.iter().map(rule).collect(),
            };
            (provider.id.clone(), of)
        };
        let providers: HashMap<_, _> = snapshot.providers.iter().map(provider).collect();
        let of_provider = |pattern: &str| {
            let first = pattern.split_once('/').map(|(first, _)| first);
            first.is_some_and(|first| providers.contains_key(first))
        };
        let entry = |entry: &PriceOverride| {
            let pattern = Pattern::new(&entry.pattern, of_provider(&entry.pattern));
            (pattern, entry.clone())
        };
        let mut overrides: Vec<_> = snapshot.prices.iter().map(entry).collect();
        overrides.sort_by(|(a, _), (b, _)| {
            let key = |pattern: &Pattern| (pattern.glob.is_some(), std::cmp::Reverse(pattern.text.len()));
            key(a).cmp(&key(b)).then_with(|| a.text.cmp(&b.text))
        });
        Self { overrides, providers }
    }

    /// The price list that a provider bills by; empty: told by the model's name.
    #[must_use]
    pub fn basis(&self, provider: &str) -> &str {
        self.providers
            .get(provider)
            .map(|provider| provider.basis.as_str())
            .unwrap_or_default()
    }

    /// Whether a provider of this id is configured.
    #[must_use]
    pub fn knows(&self, provider: &str) -> bool {
        self.providers.contains_key(provider)
    }

    /// The price of a call: `asked` is the name that was sent to the provider, `answered` the one that its answer states.
    /// `None` means unpriced. A provider that is not configured is looked up by the model's name alone.
    #[must_use]
    pub fn price_of_call(&self, provider: &str, asked: &str, answered: Option<&str>) -> Option<Price> {
        self.explain(provider, asked, answered).price
    }

    /// The price that a model has before it is called.
    #[must_use]
    pub fn price_for(&self, provider: &str, model: &str) -> Option<Price> {
        self.price_of_call(provider, model, None)
    }

    /// [`cost`](super::cost), with side work at the prices of this configuration.
    #[must_use]
    pub fn cost(&self, provider: &str, price: &Price, usage: &Usage) -> Option<NanoUsd> {
        cost_by(price, usage, &|model| self.price_for(provider, model))
    }

    /// [`Self::price_of_call`], and how it was found.
    #[must_use]
    pub fn explain(&self, provider: &str, asked: &str, answered: Option<&str>) -> Found {
        self.explain_at(provider, None, asked, answered)
    }

    /// [`Self::explain`] at another basis than the provider's.
    #[must_use]
    pub fn explain_at(
        &self,
        provider: &str,
        basis: Option<&str>,
        asked: &str,
        answered: Option<&str>,
    ) -> Found {
        let mut found = Found::default();
        let none = Provider::default();
        let configured = self.providers.get(provider).unwrap_or(&none);
        let basis = basis.unwrap_or(&configured.basis);
        let spoken = [Some(asked), answered];
        let spoken = || spoken.into_iter().flatten();

        if let Some(name) = spoken().find(|name| self.entry(provider, name).is_some()) {
            let mut from_table = Vec::new();
            let row = in_table(basis, in_order(basis, asked, answered), &mut from_table);
            self.lay_over(provider, name, row, from_table, &mut found);
            return found;
        }
        let rule = spoken().find_map(|name| {
            let rules = &configured.rules;
            let (pattern, rule) = rules.iter().find(|(pattern, _)| pattern.matches(name))?;
            Some((name, pattern, rule))
        });
        let Some((name, pattern, rule)) = rule else {
            found.price = in_table(basis, in_order(basis, asked, answered), &mut found.steps);
            return found;
        };
        let priced_as = Some(rule.priced_as.as_str()).filter(|name| !name.is_empty());
        found.steps.push(match priced_as {
            Some(priced_as) => format!(
                "model_cost_map: {name} matches {}, priced as {priced_as}",
                pattern.text
            ),
            None => format!("model_cost_map: {name} matches {}", pattern.text),
        });
        match priced_as {
            None => found.price = in_table(basis, in_order(basis, asked, answered), &mut found.steps),
            Some(name) => {
                let mut from_table = Vec::new();
                let row = in_table(basis, (name, name), &mut from_table)
                    .or_else(|| in_table("", (name, name), &mut from_table));
                if self.entry(provider, name).is_some() {
                    self.lay_over(provider, name, row, from_table, &mut found);
                } else {
                    found.price = row;
                    found.steps.append(&mut from_table);
                }
            }
        }
        if rule.adjustment_ppm != ONE_PPM && found.price.is_some() {
            let factor = super::decimal::dollars(rule.adjustment_ppm.saturating_mul(1_000));
            found
                .steps
                .push(format!("model_cost_map: every rate times {factor}"));
            found.price = found.price.and_then(|price| price.scaled(rule.adjustment_ppm));
        }
        found
    }

    fn entry(&self, provider: &str, model: &str) -> Option<&(Pattern, PriceOverride)> {
        let mut entries = self.overrides.iter();
        entries.find(|(pattern, _)| pattern.matches_call(provider, model))
    }

    /// What `prices` says about a name, over a row of the table.
    fn lay_over(
        &self,
        provider: &str,
        name: &str,
        row: Option<Price>,
        steps: Vec<String>,
        found: &mut Found,
    ) {
        let Some((pattern, entry)) = self.entry(provider, name) else {
            return;
        };
        let row = row.filter(|_| !entry.alone);
        if row.is_some() {
            found.steps.extend(steps);
        }
        found
            .steps
            .push(format!("prices: {name} matches the entry {}", pattern.text));
        found.entry = Some(pattern.text.clone());
        found.price = laid_over(entry, row, name);
    }
}

/// The first row that one of the two names leads to.
fn in_table(basis: &str, (first, second): (&str, &str), steps: &mut Vec<String>) -> Option<Price> {
    let second = Some(second).filter(|second| *second != first);
    for name in std::iter::once(first).chain(second) {
        for candidate in names::candidates(basis, name) {
            if let Some(price) = table::find(candidate.basis, &candidate.name) {
                steps.push(format!(
                    "table: {name}, {}, is {}/{}",
                    candidate.how, price.basis, price.model
                ));
                return Some(price);
            }
        }
    }
    let basis = if basis.is_empty() { "any vendor" } else { basis };
    steps.push(format!("table: no row for {first} at {basis}"));
    None
}

/// An entry over a row; `None` where neither says what anything costs.
fn laid_over(entry: &PriceOverride, row: Option<Price>, name: &str) -> Option<Price> {
    let said = &entry.rates;
    if row.is_none() && *said == RateOverride::default() {
        [entry.request, entry.per_image, entry.per_second]
            .iter()
            .flatten()
            .next()?;
    }
    let mut price = row.unwrap_or_else(|| {
        let input = said.input.unwrap_or(0);
        Price {
            model: name.to_owned().into(),
            rates: Rates {
                input,
                output: 0,
                cache_read: input,
                cache_write_5m: input,
                cache_write_1h: said.cache_write_5m.unwrap_or(input),
                ..Rates::default()
            },
            ..Price::default()
        }
    });
    price.rates = over(said, &price.rates);
    if let Some(above) = entry.above {
        price.above = Some(Above {
            tokens: above.tokens,
            rates: over(&above.rates, &price.rates),
        })
        .filter(|above| above.tokens > 0);
    }
    for said in &entry.tiers {
        let known = price.tiers.iter_mut().find(|tier| tier.tier == said.tier);
        match known {
            Some(tier) => tier.rates = over(&said.rates, &tier.rates),
            None => {
                let rates = over(&said.rates, &price.rates);
                price.tiers.push(Tier {
                    tier: said.tier,
                    above: price.above.and_then(|above| above.like(&rates, &price.rates)),
                    rates,
                });
            }
        }
    }
    for (fee, said) in [
        (&mut price.request, entry.request),
        (&mut price.search, entry.search),
        (&mut price.file_search, entry.file_search),
        (&mut price.code_session, entry.code_session),
        (&mut price.per_image, entry.per_image),
        (&mut price.per_second, entry.per_second),
        (&mut price.context, entry.context),
        (&mut price.max_output, entry.max_output),
    ] {
        *fee = said.or(*fee);
    }
    price.source = "prices in the document".into();
    price.check = "".into();
    price.date = "".into();
    Some(price)
}

fn over(said: &RateOverride, rates: &Rates) -> Rates {
    Rates {
        input: said.input.unwrap_or(rates.input),
        output: said.output.unwrap_or(rates.output),
        cache_read: said.cache_read.unwrap_or(rates.cache_read),
        cache_write_5m: said.cache_write_5m.unwrap_or(rates.cache_write_5m),
        cache_write_1h: said.cache_write_1h.unwrap_or(rates.cache_write_1h),
        reasoning: said.reasoning.or(rates.reasoning),
        audio_input: said.audio_input.or(rates.audio_input),
        audio_output: said.audio_output.or(rates.audio_output),
        image_input: said.image_input.or(rates.image_input),
        image_output: said.image_output.or(rates.image_output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{AboveOverride, CostRule, TierOverride};
    use crate::usage::{ServiceTier, SideUsage};

    const USD: u64 = 1_000_000_000;

    fn rule(pattern: &str, priced_as: &str, adjustment_ppm: u64) -> CostRule {
        CostRule {
            pattern: pattern.into(),
            priced_as: priced_as.into(),
            adjustment_ppm,
        }
    }

    fn entry(pattern: &str, input: u64) -> PriceOverride {
        PriceOverride {
            pattern: pattern.into(),
            rates: RateOverride {
                input: Some(input * USD),
                ..RateOverride::default()
            },
            ..PriceOverride::default()
        }
    }

    fn book(rules: Vec<CostRule>, prices: Vec<PriceOverride>) -> PriceBook {
        let provider = |id: &str, basis: &str, rules: &[CostRule]| snapshot::Provider {
            id: id.into(),
            cost_basis: basis.into(),
            cost_map: rules.to_vec(),
            ..snapshot::Provider::default()
        };
        PriceBook::compile(&Snapshot {
            providers: vec![
                provider("oai", "openai", &rules),
                provider("aws", "bedrock", &rules),
                provider("own", "", &rules),
            ],
            prices,
            ..Snapshot::default()
        })
    }

    #[track_caller]
    fn input(book: &PriceBook, provider: &str, asked: &str, answered: Option<&str>, want: Option<u64>) {
        let found = book.explain(provider, asked, answered);
        let got = found.price.as_ref().map(|price| price.rates.input);
        assert_eq!(got, want, "{provider} {asked} {answered:?}: {:#?}", found.steps);
        assert!(!found.steps.is_empty());
    }

    #[test]
    fn without_entries_the_table_is_asked_at_the_providers_basis() {
        let book = book(Vec::new(), Vec::new());
        input(&book, "oai", "gpt-4.1", None, Some(2 * USD));
        input(
            &book,
            "oai",
            "my-deployment",
            Some("gpt-4.1-2025-04-14"),
            Some(2 * USD),
        );
        input(&book, "oai", "claude-opus-4-8", None, None);
        input(&book, "own", "claude-opus-4-8", None, Some(5 * USD));
        input(&book, "gone", "claude-opus-4-8", None, Some(5 * USD));
        let haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
        input(
            &book,
            "aws",
            haiku,
            Some("claude-haiku-4-5-20251001"),
            Some(USD * 11 / 10),
        );
        assert_eq!(book.basis("aws"), "bedrock");
        assert_eq!(book.basis("gone"), "");
    }

    #[test]
    fn the_most_exact_entry_counts() {
        let prices = vec![
            entry("**", 1),
            entry("gpt-*", 2),
            entry("gpt-4.1", 3),
            entry("oai/gpt-4.1", 4),
            entry("own/*", 5),
            entry("openai/*", 6),
        ];
        let book = book(Vec::new(), prices);
        input(&book, "oai", "gpt-4.1", None, Some(4 * USD));
        input(&book, "own", "gpt-4.1", None, Some(3 * USD));
        input(&book, "oai", "gpt-4.1-mini", None, Some(2 * USD));
        // Of two patterns the longer, whatever the order in the document.
        input(&book, "own", "x", None, Some(5 * USD));
        input(&book, "own", "openai/gpt-oss", None, Some(6 * USD));
        // `own` is a provider, so `own/*` is no pattern for models.
        input(&book, "oai", "own/x", None, Some(USD));
        // What was asked goes before what was answered.
        input(&book, "oai", "gpt-4.1", Some("gpt-4.1-mini"), Some(4 * USD));
        input(&book, "aws", "deployment", Some("gpt-4.1"), Some(USD));
    }

    #[test]
    fn an_entry_changes_what_it_says_and_nothing_else() {
        let said = PriceOverride {
            pattern: "gpt-6-sol".into(),
            rates: RateOverride {
                output: Some(7 * USD),
                ..RateOverride::default()
            },
            tiers: vec![TierOverride {
                tier: ServiceTier::Batch,
                rates: RateOverride {
                    input: Some(USD / 4),
                    ..RateOverride::default()
                },
            }],
            search: Some(1),
            ..PriceOverride::default()
        };
        let list = crate::cost::price_for("openai", "gpt-6-sol").unwrap();
        let found = book(Vec::new(), vec![said.clone()]).explain("oai", "gpt-6-sol", None);
        let price = found.price.unwrap();
        assert_eq!(found.entry.as_deref(), Some("gpt-6-sol"));
        assert_eq!(price.rates.output, 7 * USD);
        assert_eq!(price.rates.cache_read, list.rates.cache_read);
        assert_eq!(price.above, list.above);
        assert_eq!(price.tiers[0].rates.input, USD / 4);
        assert_eq!(price.tiers[0].rates.output, list.tiers[0].rates.output);
        assert_eq!((price.search, price.file_search), (Some(1), list.file_search));
        assert_eq!(
            (price.context, &*price.source),
            (list.context, "prices in the document")
        );

        // Without the table, cached tokens cost what input costs, and nothing is left of tiers and fees.
        let alone = PriceOverride {
            alone: true,
            rates: RateOverride {
                input: Some(2 * USD),
                ..said.rates
            },
            tiers: Vec::new(),
            ..said
        };
        let price = book(Vec::new(), vec![alone])
            .price_for("oai", "gpt-6-sol")
            .unwrap();
        assert_eq!(
            (price.rates.cache_read, price.rates.cache_write_1h),
            (2 * USD, 2 * USD)
        );
        assert_eq!((price.above, price.tiers.len(), price.context), (None, 0, None));
    }

    #[test]
    fn an_entry_prices_what_the_table_does_not_know() {
        let mut known = entry("in-house", 2);
        known.rates.cache_write_5m = Some(3 * USD);
        known.above = Some(AboveOverride {
            tokens: 100,
            rates: RateOverride {
                input: Some(4 * USD),
                ..RateOverride::default()
            },
        });
        known.tiers = vec![TierOverride {
            tier: ServiceTier::Flex,
            rates: RateOverride {
                input: Some(USD),
                ..RateOverride::default()
            },
        }];
        let fee = PriceOverride {
            pattern: "rerank".into(),
            request: Some(5),
            ..PriceOverride::default()
        };
        let silent = PriceOverride {
            pattern: "silent".into(),
            context: Some(5),
            ..PriceOverride::default()
        };
        let book = book(Vec::new(), vec![known, fee, silent]);
        let price = book.price_for("own", "in-house").unwrap();
        assert_eq!((&*price.model, price.rates.cache_read), ("in-house", 2 * USD));
        assert_eq!((price.rates.cache_write_1h, price.rates.output), (3 * USD, 0));
        assert_eq!(price.rates_for(None, 101).input, 4 * USD);
        assert_eq!(price.rates_for(Some(ServiceTier::Flex), 100).input, USD);
        assert_eq!(price.rates_for(Some(ServiceTier::Flex), 101).input, 2 * USD);
        assert_eq!(book.price_for("own", "rerank").unwrap().request, Some(5));
        assert_eq!(book.price_for("own", "silent"), None);

        // `above` at 0 takes the long-context rates away.
        let mut flat = entry("gemini-2.5-pro", 1);
        flat.above = Some(AboveOverride::default());
        let price = self::book(Vec::new(), vec![flat])
            .price_for("own", "gemini-2.5-pro")
            .unwrap();
        assert_eq!(price.above, None);
    }

    #[test]
    fn the_first_rule_that_matches_says_as_what_a_call_is_priced() {
        let rules = vec![
            rule("deploy-*", "gpt-4.1", ONE_PPM),
            rule("deploy-mini", "gpt-4.1-mini", ONE_PPM),
            rule("claude-*", "claude-opus-4-8", 900_000),
            rule("gpt-5*", "", 2_000_000),
            rule("mine", "in-house", 500_000),
            rule("lost", "no-such-model", ONE_PPM),
        ];
        let prices = vec![entry("in-house", 8), entry("deploy-own", 9)];
        let book = book(rules, prices);
        input(&book, "oai", "deploy-mini", None, Some(2 * USD));
        // The list of the basis has no Claude: its vendor's has.
        input(&book, "oai", "claude-x", None, Some(4_500_000_000));
        input(&book, "oai", "gpt-5-2025-08-07", None, Some(2_500_000_000));
        input(&book, "oai", "alias", Some("gpt-5"), Some(2_500_000_000));
        // The document's own price of the other model, and then the factor.
        input(&book, "own", "mine", None, Some(4 * USD));
        // An entry for the name itself goes before every rule.
        input(&book, "oai", "deploy-own", None, Some(9 * USD));
        input(&book, "oai", "lost", None, None);
        let found = book.explain("oai", "gpt-5", None);
        assert_eq!(found.steps.len(), 3, "{:#?}", found.steps);
        assert_eq!(found.steps[2], "model_cost_map: every rate times 2");
    }

    #[test]
    fn names_that_are_no_pattern_match_themselves() {
        let book = book(
            vec![rule("odd name?", "gpt-4.1", ONE_PPM)],
            vec![entry("größe [1]", 3)],
        );
        input(&book, "own", "größe [1]", None, Some(3 * USD));
        input(&book, "own", "größe 1", None, None);
        input(&book, "oai", "odd name?", None, Some(2 * USD));
    }

    #[test]
    fn side_work_is_priced_by_the_book() {
        let mut advisor = entry("advisor", 10);
        advisor.rates.output = Some(100 * USD);
        let book = book(Vec::new(), vec![advisor]);
        let price = book.price_for("oai", "gpt-4.1").unwrap();
        let usage = Usage {
            input: Some(1),
            output: Some(0),
            side: vec![SideUsage {
                model: Some("advisor".into()),
                input: Some(3),
                output: Some(1),
                ..SideUsage::default()
            }],
            ..Usage::default()
        };
        // 2 + 3 × 10 + 100 millionths of a dollar
        assert_eq!(book.cost("oai", &price, &usage), Some(NanoUsd(132_000)));
        assert_eq!(crate::cost::cost(&price, &usage), None);
    }
}
