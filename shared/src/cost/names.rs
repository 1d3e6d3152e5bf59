//! From the name a call uses for a model to the names the table may have for it.

use super::table::{self, GEO};

/// Vendors whose own list is tried where the basis does not say who bills.
const HOMES: &[&str] = &[
    "openai",
    "anthropic",
    "gemini",
    "xai",
    "mistral",
    "deepseek",
    "perplexity",
    "cohere",
    "voyage",
    "zai",
    "moonshot",
];

/// Prefixes of Bedrock's geographic inference profiles, which may cost more than the base.
const REGIONS: &[&str] = &[
    "us.", "eu.", "apac.", "jp.", "au.", "ca.", "sa.", "us-gov.", "me.", "af.",
];

/// A row that may price a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) basis: &'static str,
    pub(super) name: String,
    /// What was done to the name that was given.
    pub(super) how: &'static str,
}

/// Basis and name of every row that may price this model, the most exact first.
pub(super) fn candidates(basis: &str, model: &str) -> Vec<Candidate> {
    let basis = basis.to_ascii_lowercase();
    let model = model.trim().to_ascii_lowercase();
    if model.is_empty() || model.len() > 512 {
        return Vec::new();
    }
    let mut names = Names(Vec::new());
    let bases = bases(&basis, &model);
    if bases.contains(&"bedrock") {
        bedrock_names(&model, &mut names);
    }
    plain_names(&model, &mut names);
    let each = |(name, how): (String, &'static str)| {
        let with = move |basis: &&'static str| Candidate {
            basis,
            name: name.clone(),
            how,
        };
        bases.iter().map(with).collect::<Vec<_>>()
    };
    names.0.into_iter().flat_map(each).collect()
}

/// Names in the order in which they are tried, each once, and how each was made.
struct Names(Vec<(String, &'static str)>);

impl Names {
    fn push(&mut self, name: impl Into<String>, how: &'static str) {
        let name = name.into();
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, how));
        }
    }
}

/// Whose lists are looked at.
fn bases(basis: &str, model: &str) -> Vec<&'static str> {
    match basis {
        "" | "openrouter" | "litellm" | "vercel_ai_gateway" => {
            let mut bases = match model.split_once('/').map(|(vendor, _)| vendor) {
                Some("openai") => vec!["openai"],
                Some("anthropic") => vec!["anthropic"],
                Some("google") => vec!["gemini"],
                Some("x-ai" | "xai") => vec!["xai"],
                Some("mistralai" | "mistral") => vec!["mistral"],
                Some("deepseek" | "deepseek-ai") => vec!["deepseek"],
                Some("perplexity") => vec!["perplexity"],
                Some("cohere") => vec!["cohere"],
                Some("moonshotai" | "moonshot") => vec!["moonshot"],
                Some("z-ai" | "zai") => vec!["zai"],
                Some("voyage" | "voyageai") => vec!["voyage"],
                Some("models") | None => HOMES.to_vec(),
                Some(vendor) if basis.is_empty() => match table::basis(vendor) {
                    Some(own) => vec![own],
                    None => HOMES.to_vec(),
                },
                Some(_) => Vec::new(),
            };
            if let Some(own) = table::basis(basis) {
                bases.insert(0, own);
            }
            bases
        }
        "azure" | "azure_ai" => vec!["azure", "openai"],
        "gemini" | "google" | "google_ai" => vec!["gemini"],
        "vertex" | "vertex_ai" => vec!["vertex", "gemini", "anthropic", "mistral"],
        "bedrock" | "bedrock_converse" | "bedrock_mantle" => vec!["bedrock"],
        other => table::basis(other).into_iter().collect(),
    }
}

/// Bedrock: `us.anthropic.claude-…-v1:0`, or an ARN that ends in it.
fn bedrock_names(model: &str, names: &mut Names) {
    let id = model.rsplit('/').next().unwrap_or(model);
    names.push(
        id,
        if id == model {
            "as named"
        } else {
            "without its path"
        },
    );
    let (region, base) = match REGIONS.iter().find_map(|region| id.strip_prefix(region)) {
        Some(base) => (true, base),
        None => (false, id.strip_prefix("global.").unwrap_or(id)),
    };
    let with_region = |name: &str| {
        if region {
            format!("{GEO}{name}")
        } else {
            name.to_owned()
        }
    };
    let how = if region {
        "geographic profile of the model"
    } else {
        "global profile of the model"
    };
    names.push(with_region(base), how);
    // Only the longer of two names for the same model has the version.
    let unversioned = base.split(':').next().unwrap_or(base);
    let unversioned = unversioned.strip_suffix("-v1").unwrap_or(unversioned);
    names.push(with_region(unversioned), "without the version");
    names.push(with_region(undated(unversioned)), "without the date and version");
    // A body names Claude without the vendor and the version.
    if base.starts_with("claude-") {
        for version in ["", "-v1", "-v1:0", "-v2:0"] {
            names.push(
                with_region(&format!("anthropic.{base}{version}")),
                "with Bedrock's vendor and version",
            );
        }
    }
}

/// The name as it is, without its path, and then without what only tells versions apart.
fn plain_names(model: &str, names: &mut Names) {
    names.push(model, "as named");
    if let Some((_, rest)) = model.split_once('/') {
        names.push(rest, "without its vendor");
    }
    let name = model.rsplit('/').next().unwrap_or(model);
    names.push(name, "without its path");
    let name = name.strip_suffix("[1m]").unwrap_or(name);
    let name = name.split('@').next().unwrap_or(name);
    // `ft:gpt-4o-2024-08-06:our-team::id` costs what every fine-tuned model of its base does.
    if let Some(base) = name.strip_prefix("ft:").and_then(|rest| rest.split(':').next()) {
        names.push(format!("ft:{base}"), "fine-tuned, by its base model");
        names.push(format!("ft:{}", undated(base)), "fine-tuned, by its base model");
        return;
    }
    // A version after a colon, as in `gpt-3.5-turbo-instruct:20230824-v2`; `:free` is another product.
    let name = match name.split_once(':') {
        Some((base, version)) if version.starts_with(|first: char| first.is_ascii_digit()) => base,
        _ => name,
    };
    names.push(name, "without the version");
    let shorter = name.strip_suffix("-latest").unwrap_or(name);
    let shorter = undated(shorter);
    names.push(shorter, "without the date");
    names.push(shorter.strip_suffix("-0").unwrap_or(shorter), "without -0");
    if let Some(rest) = shorter.strip_prefix("gpt-35-") {
        names.push(format!("gpt-3.5-{rest}"), "as OpenAI spells it");
    }
    if shorter.starts_with("text-embedding-") {
        names.push(shorter.trim_end_matches("-v2"), "without -v2");
    }
    if let Some(claude) = claude(shorter) {
        names.push(claude, "as Anthropic spells it");
    }
}

/// Without `-20250929` or `-2025-08-07` at the end.
fn undated(name: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((base, day)) = name.rsplit_once('-') {
        if day.len() == 8 && digits(day) && day.starts_with("20") {
            return base;
        }
        if day.len() == 2
            && digits(day)
            && let Some((base, month)) = base.rsplit_once('-')
            && month.len() == 2
            && digits(month)
            && let Some((base, year)) = base.rsplit_once('-')
            && year.len() == 4
            && year.starts_with("20")
            && digits(year)
        {
            return base;
        }
    }
    name
}

/// Resellers write `claude-haiku-4.5` or `claude-4.5-haiku` for `claude-haiku-4-5`.
fn claude(name: &str) -> Option<String> {
    let rest = name.strip_prefix("claude-")?;
    let number =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let (first, second) = rest.split_once('-')?;
    match (number(first), number(second)) {
        (false, true) => Some(format!("claude-{first}-{}", second.replace('.', "-"))),
        (true, false) if second.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            // Claude 3 puts the number first itself.
            if first.starts_with('3') {
                Some(format!("claude-{}-{second}", first.replace('.', "-")))
            } else {
                Some(format!("claude-{second}-{}", first.replace('.', "-")))
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::cost::price_for;

    #[test]
    fn names_find_their_own_row_and_no_other() {
        let check = |basis: &str, model: &str, want: Option<&str>| {
            let got = price_for(basis, model).map(|price| format!("{}/{}", price.basis, price.model));
            assert_eq!(got.as_deref(), want, "{basis} {model}");
        };
        check(
            "anthropic",
            "claude-sonnet-4-5",
            Some("anthropic/claude-sonnet-4-5"),
        );
        check(
            "anthropic",
            "claude-sonnet-4-5-20250929",
            Some("anthropic/claude-sonnet-4-5"),
        );
        check(
            "anthropic",
            "claude-sonnet-4-5[1m]",
            Some("anthropic/claude-sonnet-4-5"),
        );
        check(
            "anthropic",
            "Claude-Haiku-4-5-20251001",
            Some("anthropic/claude-haiku-4-5"),
        );
        check(
            "anthropic",
            "claude-sonnet-4-0",
            Some("anthropic/claude-sonnet-4"),
        );
        check(
            "anthropic",
            "claude-3-5-haiku-latest",
            Some("anthropic/claude-3-5-haiku"),
        );
        check(
            "vertex",
            "claude-sonnet-4-5@20250929",
            Some("vertex/claude-sonnet-4-5"),
        );
        check(
            "vertex",
            "claude-haiku-4-5@20251001",
            Some("anthropic/claude-haiku-4-5"),
        );
        check(
            "vertex",
            "publishers/anthropic/models/claude-opus-4-8",
            Some("anthropic/claude-opus-4-8"),
        );
        check("vertex", "gemini-2.5-pro", Some("gemini/gemini-2.5-pro"));
        check(
            "gemini",
            "models/gemini-2.5-flash",
            Some("gemini/gemini-2.5-flash"),
        );
        check(
            "openrouter",
            "anthropic/claude-haiku-4.5",
            Some("anthropic/claude-haiku-4-5"),
        );
        check(
            "openrouter",
            "anthropic/claude-4.5-haiku-20251001",
            Some("anthropic/claude-haiku-4-5"),
        );
        check("openrouter", "google/gemini-2.5-flash:free", None);
        check("openrouter", "someone/gpt-4o", None);
        check("openai", "gpt-4o-2024-08-06", Some("openai/gpt-4o"));
        check("openai", "gpt-4o-2024-05-13", Some("openai/gpt-4o-2024-05-13"));
        check("openai", "gpt-4o-mini", Some("openai/gpt-4o-mini"));
        check("openai", "gpt-4o-mini-nonsense", None);
        check("openai", "gpt-4", Some("openai/gpt-4"));
        check("openai", "gpt-4o-minimal", None);
        check("openai", "gpt", None);
        check("openai", "", None);
        check("openai", "claude-sonnet-4-5", None);
        check("azure", "gpt-5-nano-2025-08-07", Some("azure/gpt-5-nano"));
        check("azure", "gpt-4.1-2025-04-14", Some("openai/gpt-4.1"));
        check("groq", "gpt-4o", None);
        check("nobody", "gpt-4o", None);
        check("", "gpt-4o", Some("openai/gpt-4o"));
        check("", "claude-opus-4-8", Some("anthropic/claude-opus-4-8"));
        check(
            "bedrock",
            "arn:aws:bedrock:us-east-1:1234:inference-profile/us.anthropic.claude-sonnet-4-6",
            Some("bedrock/anthropic.claude-sonnet-4-6"),
        );
        check(
            "bedrock",
            "eu.amazon.nova-lite-v1:0",
            Some("bedrock/eu.amazon.nova-lite-v1:0"),
        );
        check(
            "bedrock",
            "us.amazon.nova-lite-v1:0",
            Some("bedrock/amazon.nova-lite-v1:0"),
        );
        check(
            "bedrock",
            "us.amazon.titan-embed-text-v2:0",
            Some("bedrock/amazon.titan-embed-text-v2:0"),
        );
        check(
            "bedrock",
            "claude-haiku-4-5-20251001",
            Some("bedrock/anthropic.claude-haiku-4-5-20251001-v1:0"),
        );
        check("bedrock", "gpt-4o", None);
    }

    /// Rates of input and output in millionths of a dollar for a million tokens.
    #[track_caller]
    fn costs(basis: &str, model: &str, want: Option<(u64, u64)>) {
        let rates = price_for(basis, model).map(|price| price.rates);
        let got = rates.map(|rates| (rates.input / 1_000, rates.output / 1_000));
        assert_eq!(got, want, "{basis} {model}");
    }

    #[test]
    fn regions_of_bedrock_have_their_own_price() {
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        for (region, want) in [
            ("", (3_000_000, 15_000_000)),
            ("global.", (3_000_000, 15_000_000)),
            ("us.", (3_300_000, 16_500_000)),
            ("eu.", (3_300_000, 16_500_000)),
            ("apac.", (3_300_000, 16_500_000)),
            ("jp.", (3_300_000, 16_500_000)),
            ("au.", (3_300_000, 16_500_000)),
            ("us-gov.", (3_600_000, 18_000_000)),
        ] {
            costs("bedrock", &format!("{region}{sonnet}"), Some(want));
            let arn = format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{region}{sonnet}");
            costs("bedrock", &arn, Some(want));
        }
        costs("bedrock", "eu.amazon.nova-lite-v1:0", Some((78_000, 312_000)));
        costs("bedrock", "us.amazon.nova-lite-v1:0", Some((60_000, 240_000)));
        costs(
            "bedrock",
            "us.meta.llama3-3-70b-instruct-v1:0",
            Some((720_000, 720_000)),
        );
        costs("bedrock", "us.openai.gpt-5.4", Some((2_750_000, 16_500_000)));
        costs("bedrock", "global.openai.gpt-5.4", Some((2_500_000, 15_000_000)));
        costs("bedrock_mantle", "openai.gpt-oss-120b", Some((150_000, 600_000)));
        costs("bedrock", "us-east-1/no-such-model", None);
        costs("bedrock", "mars.anthropic.claude-sonnet-4-6", None);
    }

    #[test]
    fn vendors_dates_and_versions_are_cut() {
        costs("openai", "gpt-5-2025-08-07", Some((1_250_000, 10_000_000)));
        costs("openai", "gpt-5-2025-8-7", None);
        costs("openai", "gpt-5-20250807", Some((1_250_000, 10_000_000)));
        costs(
            "openai",
            "ft:gpt-4o-2024-08-06:acme::a1b2",
            Some((3_750_000, 15_000_000)),
        );
        costs(
            "openai",
            "ft:gpt-4o-mini-2024-07-18:acme:x:a1",
            Some((300_000, 1_200_000)),
        );
        costs("openai", "ft:gpt-9:acme::a1b2", None);
        costs("openai", "gpt-image-1", Some((5_000_000, 40_000_000)));
        costs("openrouter", "openai/gpt-5", Some((1_250_000, 10_000_000)));
        costs("openrouter", "x-ai/grok-4.3", Some((1_250_000, 2_500_000)));
        costs(
            "openrouter",
            "mistralai/mistral-large-2512",
            Some((500_000, 1_500_000)),
        );
        costs(
            "openrouter",
            "deepseek/deepseek-v4-pro",
            Some((1_320_000, 3_960_000)),
        );
        costs(
            "openrouter",
            "google/gemini-2.5-pro",
            Some((1_250_000, 10_000_000)),
        );
        costs("openrouter", "google/gemini-2.5-pro:nitro", None);
        costs(
            "vercel_ai_gateway",
            "openai/gpt-4.1",
            Some((2_000_000, 8_000_000)),
        );
        costs("", "anthropic/claude-opus-4-8", Some((5_000_000, 25_000_000)));
        costs("", "groq/openai/gpt-oss-120b", Some((150_000, 600_000)));
        costs("azure", "gpt-4.1-2025-04-14", Some((2_000_000, 8_000_000)));
        costs("azure", "gpt-35-turbo", Some((500_000, 1_500_000)));
        costs("azure", "eu/gpt-4.1", Some((2_200_000, 8_800_000)));
        costs("azure", "grok-4.6", Some((2_000_000, 6_000_000)));
        costs(
            "anthropic",
            "claude-sonnet-4-5-latest",
            Some((3_000_000, 15_000_000)),
        );
        costs("anthropic", "claude-sonnet-4-5-20250929-extra", None);
        costs("anthropic", "claude-sonnet-4-50", None);
        costs("gemini", "models/gemini-2.5-flash-lite", Some((100_000, 400_000)));
        costs(
            "vertex",
            "publishers/google/models/gemini-2.5-flash",
            Some((300_000, 2_500_000)),
        );
        costs("mistral", "mistral-small-latest", Some((150_000, 600_000)));
        costs("cohere", "command-r-plus-08-2024", Some((2_500_000, 10_000_000)));
        costs("perplexity", "sonar-pro", Some((3_000_000, 15_000_000)));
        costs("no_such_list", "gpt-5", None);
    }

    #[test]
    fn no_name_makes_it_stumble() {
        let long = "a/".repeat(400);
        for name in [
            "", " ", "/", ":", "@", "-", "-latest", "ft:", "ft::", "geo:", "us.", "[1m]", "é", &long,
        ] {
            for basis in ["", "openai", "bedrock", "azure", "openrouter", "é"] {
                assert_eq!(price_for(basis, name), None, "{basis} {name}");
            }
        }
    }
}
