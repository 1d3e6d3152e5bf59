//! OpenAI's streams of images, of speech and of transcription, and Mistral's transcription.

use serde_json::Value;

use super::body::Event;
use super::join::{Object, append, append_base64, extend, list, put, text};

/// `image_generation.*` and `image_edit.*`: each completed event is an image; partial ones stand in only where none is.
#[derive(Default)]
pub(super) struct Images {
    answer: Object,
    partial: Option<Value>,
}

impl super::Fold for Images {
    fn event(&mut self, event: &Event) {
        let (Some(fields), kind) = (event.value.as_object(), event.kind()) else {
            return;
        };
        let image = event.value.get("b64_json").or_else(|| event.value.get("url"));
        if kind.ends_with(".partial_image") {
            self.partial = image.map(|image| serde_json::json!({ "b64_json": image }));
        } else if !(kind.ends_with(".completed") || kind.ends_with(".done")) {
            return;
        }
        let whole = !kind.ends_with(".partial_image");
        let mut data = Object::new();
        for (key, value) in fields {
            match key.as_str() {
                "type" | "error" | "partial_image_index" | "sequence_number" => {}
                "created_at" => put(&mut self.answer, "created", value),
                "b64_json" | "url" | "revised_prompt" => put(&mut data, key, value),
                _ => put(&mut self.answer, key, value),
            }
        }
        if whole && !data.is_empty() {
            self.partial = None;
            list(&mut self.answer, "data").push(Value::Object(data));
        }
    }

    fn finish(mut self: Box<Self>) -> Option<Value> {
        if let Some(partial) = self.partial {
            list(&mut self.answer, "data").push(partial);
        }
        (!self.answer.is_empty()).then_some(Value::Object(self.answer))
    }
}

/// `transcript.text.*`, Mistral's `transcription.*`, and `speech.audio.*`.
#[derive(Default)]
pub(super) struct Audio {
    answer: Object,
}

impl super::Fold for Audio {
    fn event(&mut self, event: &Event) {
        let (Some(fields), kind) = (event.value.as_object(), event.kind()) else {
            return;
        };
        match kind {
            _ if kind.ends_with(".done") => {
                for (key, value) in fields
                    .iter()
                    .filter(|(key, _)| !matches!(key.as_str(), "type" | "error"))
                {
                    match (value, self.answer.get(key)) {
                        // The segments came one by one, and come again or not at all.
                        (Value::Array(items), Some(Value::Array(before)))
                            if items.is_empty() && !before.is_empty() => {}
                        _ => put(&mut self.answer, key, value),
                    }
                }
            }
            "transcript.text.segment" | "transcription.segment" => {
                let segment = fields.iter().filter(|(key, _)| *key != "type");
                let segment = segment.map(|(key, value)| (key.clone(), value.clone())).collect();
                list(&mut self.answer, "segments").push(Value::Object(segment));
            }
            _ => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("type" | "error", _) => {}
                        ("delta", Value::String(piece)) => append(&mut self.answer, "text", piece),
                        ("text", Value::String(_)) if kind.ends_with(".delta") => {
                            append(
                                &mut self.answer,
                                key,
                                text(&event.value, "text").unwrap_or_default(),
                            );
                        }
                        ("audio", Value::String(piece)) => append_base64(&mut self.answer, key, piece),
                        ("logprobs", Value::Array(items)) => extend(&mut self.answer, key, items),
                        _ => put(&mut self.answer, key, value),
                    }
                }
            }
        }
    }

    fn finish(self: Box<Self>) -> Option<Value> {
        (!self.answer.is_empty()).then_some(Value::Object(self.answer))
    }
}
