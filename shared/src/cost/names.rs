//! From the name a call uses for a model to the names the table may have for it.

use super::table::GEO;

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

/// Basis and name of every row that may price this model, the most exact first.
pub(super) fn candidates(basis: &str, model: &str) -> Vec<(&'static str, String)> {
    let basis = basis.to_ascii_lowercase();
    let model = model.trim().to_ascii_lowercase();
    if model.is_empty() || model.len() > 512 {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let bases = bases(&basis, &model);
    if bases.contains(&"bedrock") {
        bedrock_names(&model, &mut names);
    }
    plain_names(&model, &mut names);
    for name in names {
        for basis in &bases {
            found.push((*basis, name.clone()));
        }
    }
    found
}

/// Whose lists are looked at.
fn bases(basis: &str, model: &str) -> Vec<&'static str> {
    match basis {
        "" | "openrouter" | "litellm" | "vercel_ai_gateway" => {
            match model.split_once('/').map(|(vendor, _)| vendor) {
                Some("openai") => vec!["openai"],
                Some("anthropic") => vec!["anthropic"],
                Some("google") => vec!["gemini"],
                Some("x-ai" | "xai") => vec!["xai"],
                Some("mistralai" | "mistral") => vec!["mistral"],
                Some("deepseek") => vec!["deepseek"],
                Some("perplexity") => vec!["perplexity"],
                Some("cohere") => vec!["cohere"],
                Some("moonshotai") => vec!["moonshot"],
                Some("z-ai" | "zai") => vec!["zai"],
                Some("models") | None => HOMES.to_vec(),
                Some(_) if basis.is_empty() => HOMES.to_vec(),
                Some(_) => Vec::new(),
            }
        }
        "azure" | "azure_ai" => vec!["azure", "openai"],
        "gemini" | "google" | "google_ai" => vec!["gemini"],
        "vertex" | "vertex_ai" => vec!["gemini", "anthropic", "mistral"],
        "bedrock" | "bedrock_converse" | "bedrock_mantle" => vec!["bedrock"],
        other => crate::cost::all()
            .iter()
            .map(|price| price.basis)
            .find(|known| *known == other)
            .into_iter()
            .collect(),
    }
}

/// Bedrock: `us.anthropic.claude-…-v1:0`, or an ARN that ends in it.
fn bedrock_names(model: &str, names: &mut Vec<String>) {
    let id = model.rsplit('/').next().unwrap_or(model);
    push(names, id.to_owned());
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
    push(names, with_region(base));
    // A body names Claude without the vendor and the version.
    if base.starts_with("claude-") {
        for version in ["", "-v1", "-v1:0", "-v2:0"] {
            push(names, with_region(&format!("anthropic.{base}{version}")));
        }
    }
}

/// The name as it is, without its path, and then without what only tells versions apart.
fn plain_names(model: &str, names: &mut Vec<String>) {
    push(names, model.to_owned());
    let name = model.rsplit('/').next().unwrap_or(model);
    push(names, name.to_owned());
    let name = name.strip_suffix("[1m]").unwrap_or(name);
    let name = name.split('@').next().unwrap_or(name);
    // A version after a colon, as in `gpt-3.5-turbo-instruct:20230824-v2`; `:free` is another product.
    let name = match name.split_once(':') {
        Some((base, version)) if version.starts_with(|first: char| first.is_ascii_digit()) => base,
        _ => name,
    };
    push(names, name.to_owned());
    let shorter = name.strip_suffix("-latest").unwrap_or(name);
    let shorter = undated(shorter);
    push(names, shorter.to_owned());
    push(names, shorter.strip_suffix("-0").unwrap_or(shorter).to_owned());
    if let Some(rest) = shorter.strip_prefix("gpt-35-") {
        push(names, format!("gpt-3.5-{rest}"));
    }
    if shorter.starts_with("text-embedding-") {
        push(names, shorter.trim_end_matches("-v2").to_owned());
    }
    if let Some(claude) = claude(shorter) {
        push(names, claude);
    }
}

fn push(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
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
            Some("anthropic/claude-sonnet-4-5"),
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
        check("azure", "gpt-5-nano-2025-08-07", Some("openai/gpt-5-nano"));
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
            Some("bedrock/us.amazon.nova-lite-v1:0"),
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
}
