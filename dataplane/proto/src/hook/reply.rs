//! What a hook answers to `pre_request`.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest message that a client is told, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1_024;
/// Status of a refusal that names none, or none that a refusal can have.
pub const STATUS_BLOCKED: u16 = 403;

/// What a hook decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The request goes on as it is.
    Allow,
    /// The request ends here.
    Block {
        /// Status for the client, 400 to 599.
        status: u16,
        /// What the client reads, cleaned; empty: nothing was said.
        message: String,
    },
    /// The request goes on with this body, a JSON object as the hook wrote it.
    Modify(&'a [u8]),
}

/// Why an answer is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Not JSON, or not of the right shape.
    #[error("the answer is not the JSON that was expected")]
    Shape,
    /// An `action` that is none.
    #[error("the answer names an unknown action")]
    Action,
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    action: std::borrow::Cow<'a, str>,
    #[serde(default)]
    status_code: Option<i64>,
    #[serde(default)]
    message: Option<String>,
    #[serde(borrow, default)]
    request_body: Option<&'a RawValue>,
}

impl<'a> Reply<'a> {
    /// Reads an answer. `modify` without an object in `request_body` counts as `allow`.
    ///
    /// # Errors
    /// It is no decision.
    pub fn read(body: &'a [u8]) -> Result<Self, BadReply> {
        // Only an object has the shape: what derives from a struct would read an array, too.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(BadReply::Shape);
        }
        let shape: Shape<'a> = serde_json::from_slice(body).map_err(|_| BadReply::Shape)?;
        match &*shape.action {
            "allow" => Ok(Self::Allow),
            "block" => Ok(Self::Block {
                status: shape
                    .status_code
                    .and_then(|status| u16::try_from(status).ok())
                    .filter(|status| (400..=599).contains(status))
                    .unwrap_or(STATUS_BLOCKED),
                message: clean(shape.message.as_deref().unwrap_or_default()),
            }),
            "modify" => {
                let body = shape.request_body.map(|body| body.get().trim());
                let object = body.filter(|body| body.starts_with('{'));
                Ok(object.map_or(Self::Allow, |body| Self::Modify(body.as_bytes())))
            }
            _ => Err(BadReply::Action),
        }
    }
}

/// A text for people: control characters become spaces, and it ends after [`MESSAGE_BYTES_MAX`] bytes.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MESSAGE_BYTES_MAX));
    for c in text.trim().chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > MESSAGE_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}
