//! `providers`: upstreams and how they are addressed, paid and trusted.

use std::collections::BTreeSet;

use sluice_shared::api::Flag;
use sluice_shared::snapshot::{AuthMode, CostRule, Secret};

use super::domain::Provider;
use super::hujson::Value;
use super::keys::{self, MODEL_BYTES_MAX};
use super::message::Messages;
use super::reader::{Field, Fields};
use super::secret::Sources;
use super::{base_url, captures, endpoint, limits, units};

/// Reads `providers`. Those that cannot be used are reported and left out.
pub(crate) fn read(
    field: &Field<'_>,
    secrets: Sources<'_>,
    infer_cost_basis: bool,
    messages: &mut Messages<'_>,
) -> Vec<Provider> {
    let Some(fields) = field.open_names(messages) else {
        return Vec::new();
    };
    if fields.is_empty() {
        field.warn(messages, "no providers: no model can be served");
    }
    fields
        .all()
        .filter_map(|(id, field)| provider(id, &field, secrets, infer_cost_basis, messages))
        .collect()
}

fn provider(
    id: &str,
    field: &Field<'_>,
    secrets: Sources<'_>,
    infer_cost_basis: bool,
    messages: &mut Messages<'_>,
) -> Option<Provider> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if id.is_empty() || id.len() > 64 || !id.bytes().all(valid) {
        messages.warn(
            field.key_at,
            &field.path,
            "provider id must be 1 to 64 of A-Z a-z 0-9 . _ -; the provider is left out",
        );
        return None;
    }
    let fields = field.open(&keys::PROVIDER, messages)?;
    let disabled = fields
        .field("disabled")
        .and_then(|f| f.boolean(messages))
        .unwrap_or(false);
    let text = |key: &str, messages: &mut Messages<'_>| {
        fields
            .field(key)
            .and_then(|f| f.text(messages))
            .unwrap_or_default()
            .to_owned()
    };
    let name = Some(text("name", messages))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| id.to_owned());
    let description = text("description", messages);

    let Some(base) = fields.field("baseurl") else {
        messages.warn(
            field.key_at,
            &field.path,
            "provider without baseurl; it is left out",
        );
        return None;
    };
    let base = {
        let expanded = base
            .text(messages)
            .and_then(|text| endpoint::expand(&base, text, disabled, secrets, messages))?;
        match base_url::parse(&expanded) {
            Ok(url) => url,
            Err(error) => {
                let error = endpoint::wrong_url(&base, expanded, error);
                base.warn(messages, format!("baseurl {error}; the provider is left out"));
                return None;
            }
        }
    };

    let left_out = "; the provider is left out";
    let key = match fields.field("apikey") {
        None => String::new(),
        Some(f) => {
            let key = endpoint::key(&f, left_out, disabled, secrets, messages)?;
            if key.starts_with("keyfile::") {
                f.warn(
                    messages,
                    "service-account key files (keyfile::) need a later version; the provider is left out",
                );
                return None;
            }
            key
        }
    };
    let authorization = endpoint::authorization(&fields, left_out, messages)?;
    let auth_mode = match fields.field("auth_mode") {
        None => AuthMode::Override,
        Some(f) => match f.word(left_out, messages)? {
            "passthrough" => AuthMode::Passthrough,
            "none" => AuthMode::None,
            _ => AuthMode::Override,
        },
    };

    let flags = flags(&fields, messages);
    let models = models(field, &fields, messages);
    let add_headers = endpoint::add_headers(&fields, disabled, secrets, messages);
    let ca_pem = endpoint::ca_pem(&fields, left_out, secrets, messages)?;

    let host = base.host.clone();
    let integer =
        |key: &str, messages: &mut Messages<'_>| fields.field(key).and_then(|f| f.integer(messages));
    let cost_basis = match fields.field("cost_basis") {
        Some(f) => f.text(messages).unwrap_or_default().to_owned(),
        None if infer_cost_basis => infer_basis(&host, &flags).to_owned(),
        None => String::new(),
    };
    Some(Provider {
        id: id.to_owned(),
        name,
        description,
        base,
        models,
        flags,
        authorization,
        auth_mode,
        key: Secret(key),
        add_headers,
        preference: integer("preference", messages)
            .and_then(|v| i32::try_from(v).ok())
            .unwrap_or(0),
        weight: integer("weight", messages)
            .and_then(|v| u32::try_from(v).ok())
            .unwrap_or(1),
        disabled,
        timeouts: fields
            .field("timeouts")
            .map(|f| limits::timeouts(&f, messages))
            .unwrap_or_default(),
        connections_max: integer("max_connections", messages)
            .and_then(|v| u32::try_from(v).ok())
            .unwrap_or(0),
        ca_pem,
        cost_basis,
        // What cannot be read captures nothing beyond what is asked for elsewhere.
        capture_share: fields
            .field("capture")
            .and_then(|f| captures::share(&f, messages)),
        cost_map: fields
            .field("model_cost_map")
            .map(|f| cost_map(&f, messages))
            .unwrap_or_default(),
    })
}

/// Without the block, a provider is taken for OpenAI-compatible; with it, only what it names is served.
fn flags(fields: &Fields<'_>, messages: &mut Messages<'_>) -> BTreeSet<u8> {
    let Some(block) = fields.field("compatibility") else {
        return BTreeSet::from([Flag::OpenAiChat as u8]);
    };
    let mut out = BTreeSet::new();
    if let Some(fields) = block.open(&keys::COMPATIBILITY, messages) {
        for flag in Flag::ALL {
            if fields.field(flag.name()).and_then(|f| f.boolean(messages)) == Some(true) {
                out.insert(*flag as u8);
            }
        }
    }
    if out.is_empty() {
        block.warn(messages, "no flag is true: the provider serves no endpoint");
    }
    out
}

fn models(provider: &Field<'_>, fields: &Fields<'_>, messages: &mut Messages<'_>) -> Vec<String> {
    let Some(field) = fields.field("models") else {
        messages.warn(
            provider.key_at,
            &provider.path,
            "provider without models: nothing is routed to it",
        );
        return Vec::new();
    };
    let mut out: Vec<String> = Vec::new();
    for (item, text) in field.texts(messages).unwrap_or_default() {
        if !model_name(text) {
            item.warn(
                messages,
                format!("is no model name (1 to {MODEL_BYTES_MAX} bytes, no control characters)"),
            );
        } else if !out.iter().any(|known| known == text) {
            out.push(text.to_owned());
        }
    }
    out
}

/// Whether a text can be a model name or a glob over model names.
pub(crate) fn model_name(text: &str) -> bool {
    (1..=MODEL_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn cost_map(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<CostRule> {
    let mut out = Vec::new();
    for item in field.array(messages).unwrap_or_default() {
        let Some(fields) = item.open(&keys::COST_RULE, messages) else {
            continue;
        };
        let text = |key: &str, messages: &mut Messages<'_>| {
            fields
                .field(key)
                .and_then(|f| f.text(messages))
                .unwrap_or_default()
                .to_owned()
        };
        let (pattern, priced_as) = (text("match", messages), text("as", messages));
        let adjustment = match fields.field("adjustment") {
            None => Some(1_000_000),
            Some(f) => match &f.node.value {
                Value::Number(text) => units::factor_ppm(text),
                _ => None,
            },
        };
        match adjustment {
            Some(adjustment_ppm) if model_name(&pattern) => {
                out.push(CostRule {
                    pattern,
                    priced_as,
                    adjustment_ppm,
                });
            }
            Some(_) => item.warn(messages, "cost rule without match; it is left out"),
            None => item.warn(
                messages,
                "adjustment must be a number that is not negative; the rule is left out",
            ),
        }
    }
    out
}

/// The price list that a provider most probably bills by: by its host, else by the wire formats it serves.
fn infer_basis(host: &str, flags: &BTreeSet<u8>) -> &'static str {
    let hosts = [
        ("api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("aiplatform.googleapis.com", "vertex"),
        ("amazonaws.com", "bedrock"),
        ("openai.azure.com", "azure"),
        ("openrouter.ai", "openrouter"),
        ("api.groq.com", "groq"),
        ("api.mistral.ai", "mistral"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "xai"),
        ("api.together.xyz", "together_ai"),
        ("api.fireworks.ai", "fireworks_ai"),
        ("api.cohere.com", "cohere"),
        ("api.cohere.ai", "cohere"),
        ("services.ai.azure.com", "azure"),
        ("cognitiveservices.azure.com", "azure"),
        ("api.aws", "bedrock"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
        ("api.moonshot.ai", "moonshot"),
        ("api.z.ai", "zai"),
        ("api.voyageai.com", "voyage"),
        ("cloud.databricks.com", "databricks"),
        ("ai-gateway.vercel.sh", "vercel_ai_gateway"),
    ];
    for (suffix, basis) in hosts {
        let inside = host
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || rest.ends_with('-'));
        if inside {
            return basis;
        }
    }
    let by_flag = [
        (Flag::AnthropicMessages, "anthropic"),
        (Flag::GeminiGenerateContent, "gemini"),
        (Flag::GoogleGenerateContent, "vertex"),
        (Flag::GoogleRawPredict, "vertex"),
        (Flag::BedrockConverse, "bedrock"),
        (Flag::BedrockModelInvoke, "bedrock"),
    ];
    // Several families at once say nothing about who bills: the model name alone has to do.
    match by_flag
        .iter()
        .filter(|(flag, _)| flags.contains(&(*flag as u8)))
        .collect::<Vec<_>>()
        .as_slice()
    {
        [(_, basis)] if !flags.contains(&(Flag::OpenAiChat as u8)) => basis,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_lists_are_guessed_by_host_then_by_flag() {
        let check = |host: &str, flags: &[Flag], expected: &str| {
            let flags = flags.iter().map(|flag| *flag as u8).collect();
            assert_eq!(infer_basis(host, &flags), expected, "{host}");
        };
        check("api.openai.com", &[Flag::OpenAiChat], "openai");
        check("evilapi.openai.com.example", &[], "");
        check("notapi.openai.comx", &[], "");
        check("xapi.openai.com", &[], "");
        check("us-central1-aiplatform.googleapis.com", &[], "vertex");
        check("bedrock-runtime.us-east-1.amazonaws.com", &[], "bedrock");
        check("bedrock-mantle.us-east-1.api.aws", &[Flag::OpenAiChat], "bedrock");
        check("team.openai.azure.com", &[], "azure");
        check("team.services.ai.azure.com", &[], "azure");
        check("api.perplexity.ai", &[], "perplexity");
        check("api.z.ai", &[], "zai");
        check("notapi.z.ai", &[], "");
        check("gw.example", &[Flag::AnthropicMessages], "anthropic");
        check("gw.example", &[Flag::AnthropicMessages, Flag::OpenAiChat], "");
        check("localhost", &[Flag::OpenAiChat], "");
    }
}
