//! A stream where none is expected: its events joined by the rule for what is not known.

use serde_json::Value;

use super::body::Event;
use super::join::{Object, join};

#[derive(Default)]
pub(super) struct Loose {
    answer: Object,
}

impl super::Fold for Loose {
    fn event(&mut self, event: &Event) {
        for (key, value) in event.value.as_object().into_iter().flatten() {
            if key != "error" {
                join(&mut self.answer, key, value);
            }
        }
    }

    fn finish(self: Box<Self>) -> Option<Value> {
        (!self.answer.is_empty()).then_some(Value::Object(self.answer))
    }
}
