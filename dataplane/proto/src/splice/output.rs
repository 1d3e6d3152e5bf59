//! The limit on output tokens: which key has it in each API, and the smallest change that lowers it.

use bytes::Bytes;
use sluice_shared::api::ApiKind;
use smallvec::SmallVec;

use super::Edit;
use crate::json::{ConfigShape, Facts};

/// Where an API has its limit on output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputKey {
    /// The object that it stands in; `None`: the document itself.
    object: Option<&'static str>,
    /// Keys that the provider obeys. The first is the one that is put in where there is none.
    keys: &'static [&'static str],
}

impl OutputKey {
    /// The key of an API; `None` where answers have no such limit, or where the vendor of the model, whose own word it is,
    /// is not known. `basis` is the provider's price list, `model` the name sent to it.
    ///
    /// OpenAI's newer models refuse `max_tokens`, most compatible servers know nothing else.
    #[must_use]
    pub fn of(kind: ApiKind, basis: &str, model: &str) -> Option<Self> {
        let (object, keys): (_, &'static [_]) = match kind {
            ApiKind::OpenAiChat if matches!(basis, "openai" | "azure") => {
                (None, &["max_completion_tokens", "max_tokens"])
            }
            ApiKind::OpenAiChat => (None, &["max_tokens", "max_completion_tokens"]),
            ApiKind::OpenAiResponses => (None, &["max_output_tokens"]),
            ApiKind::OpenAiCompletions | ApiKind::AnthropicMessages | ApiKind::VertexRawPredict => {
                (None, &["max_tokens"])
            }
            ApiKind::GeminiGenerate | ApiKind::VertexGenerate => (
                Some("generationConfig"),
                &["maxOutputTokens", "max_output_tokens"],
            ),
            ApiKind::BedrockConverse => (Some("inferenceConfig"), &["maxTokens"]),
            ApiKind::BedrockInvoke => return Self::of_vendor(model),
            ApiKind::OllamaChat => (Some("options"), &["num_predict"]),
            _ => return None,
        };
        Some(Self { object, keys })
    }

    /// Bedrock's InvokeModel takes each vendor's own body.
    fn of_vendor(model: &str) -> Option<Self> {
        const VENDORS: &[(&str, Option<&str>, &[&str])] = &[
            ("anthropic.", None, &["max_tokens"]),
            (
                "amazon.nova",
                Some("inferenceConfig"),
                &["maxTokens", "max_new_tokens"],
            ),
            (
                "amazon.titan-text",
                Some("textGenerationConfig"),
                &["maxTokenCount"],
            ),
            ("meta.", None, &["max_gen_len"]),
            ("openai.", None, &["max_completion_tokens", "max_tokens"]),
            ("mistral.", None, &["max_tokens"]),
            ("cohere.command", None, &["max_tokens"]),
            ("ai21.", None, &["max_tokens"]),
            ("deepseek.", None, &["max_tokens"]),
            ("qwen.", None, &["max_tokens"]),
        ];
        VENDORS
            .iter()
            .find(|(vendor, ..)| model.contains(vendor))
            .map(|&(_, object, keys)| Self { object, keys })
    }

    /// The limit that a body sets, the largest if several keys do; `None`: it sets none.
    #[must_use]
    pub fn limit(&self, facts: &Facts) -> Option<u64> {
        let obeyed = facts
            .output_limits
            .iter()
            .filter(|limit| self.keys.contains(&limit.name));
        obeyed.filter_map(|limit| limit.value).max()
    }

    /// The edits after which a body allows no more than `most` tokens, whatever key a provider obeys: every higher limit
    /// is lowered, and where the API's own is not there, it is put in. `None` if there is no place for it.
    #[must_use]
    pub fn lower(&self, facts: &Facts, most: u64) -> Option<SmallVec<[Edit; 1]>> {
        let number = |before: &str, after: &str| Bytes::from(format!("{before}{most}{after}"));
        let higher = facts
            .output_limits
            .iter()
            .filter(|limit| limit.value.is_some_and(|value| value > most));
        let mut edits: SmallVec<[Edit; 1]> = higher
            .map(|limit| Edit {
                at: limit.span.clone(),
                with: number("", ""),
            })
            .collect();
        if self.limit(facts).is_some() {
            return Some(edits);
        }
        let first = self.keys.first()?;
        // There, but `null`, or negative for "no limit".
        let void = facts.output_limits.iter().find(|limit| {
            limit.value.is_none()
                && (limit.name == *first || (self.object.is_some() && self.keys.contains(&limit.name)))
        });
        if let Some(void) = void {
            edits.push(Edit {
                at: void.span.clone(),
                with: number("", ""),
            });
            return Some(edits);
        }
        let comma = |is_empty: bool| if is_empty { "" } else { "," };
        let top = facts.top_level_object_open;
        let edit = match (self.object, &facts.generation_config) {
            (None, _) => Edit {
                at: top..top,
                with: number(&format!("\"{first}\":"), comma(facts.is_empty_object)),
            },
            (Some(object), None) => Edit {
                at: top..top,
                with: number(
                    &format!("\"{object}\":{{\"{first}\":"),
                    &format!("}}{}", comma(facts.is_empty_object)),
                ),
            },
            (Some(object), Some(config)) if same(object, config.name) => match &config.shape {
                ConfigShape::Object { open, is_empty } => Edit {
                    at: *open..*open,
                    with: number(&format!("\"{first}\":"), comma(*is_empty)),
                },
                ConfigShape::Null(span) => Edit {
                    at: span.clone(),
                    with: number(&format!("{{\"{first}\":"), "}"),
                },
                ConfigShape::Other => return None,
            },
            (Some(_), Some(_)) => return None,
        };
        edits.push(edit);
        Some(edits)
    }
}

/// Whether two spellings name the same object.
fn same(object: &str, name: &str) -> bool {
    object == name || (object == "generationConfig" && name == "generation_config")
}
