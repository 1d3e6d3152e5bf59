//! What a request says, for hooks that are sent more than its bytes.

use serde_json::Value;
use sluice_shared::api::ApiKind;

use crate::transcript;

/// What a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// Tools that it offers, by name.
    pub tools: Vec<String>,
    /// Text of the last message of the user.
    pub user_message: Option<String>,
}

impl Spoken {
    /// Reads a request body; one that cannot be read says nothing.
    #[must_use]
    pub fn read(kind: ApiKind, body: &[u8]) -> Self {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        Self {
            tools: transcript::tools_offered(kind, &request),
            user_message: transcript::user_message(kind, &request),
        }
    }
}
