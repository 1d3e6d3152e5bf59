//! One try to deliver an event.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sluice_shared::snapshot::{Authorization, Hook};

use super::TIMEOUT_MAX;
use crate::store::outbox::Event;
use crate::web::{self, WebError};

/// Bytes of an answer that are read, so that its connection can be used again; the answer itself says nothing.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A hook, ready to be told.
pub(super) struct Receiver {
    client: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

impl Receiver {
    pub(super) fn new(hook: &Hook) -> Result<Self, WebError> {
        let timeout = match hook.timeout_ms {
            0 => TIMEOUT_MAX,
            limit => Duration::from_millis(limit).min(TIMEOUT_MAX),
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        if !hook.key.0.is_empty() {
            let key = hook.key.0.as_str();
            let (name, value) = match hook.authorization {
                Authorization::Bearer => ("authorization", format!("Bearer {key}")),
                Authorization::XApiKey => ("x-api-key", key.to_owned()),
                Authorization::XGoogApiKey => ("x-goog-api-key", key.to_owned()),
            };
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| WebError::Client("the key cannot stand in a header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Self {
            client: web::client(hook.ca_pem.as_deref(), timeout)?,
            url: url(hook, true),
            headers,
        })
    }

    /// Delivers an event.
    ///
    /// # Errors
    /// Why it was not taken, for people.
    pub(super) async fn deliver(&self, event: &Event, payload: Vec<u8>) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("the hook's URL cannot be used".to_owned());
        }
        let sent = self
            .client
            .post(&self.url)
            .headers(self.headers.clone())
            .header("x-sluice-event", event.event.name())
            .header("x-sluice-event-id", event.stable_id())
            .header("x-sluice-request-id", event.request_id.to_string())
            .body(payload)
            .send()
            .await;
        let mut answer = sent.map_err(|error| web::shown(&error))?;
        if !answer.status().is_success() {
            return Err(format!("answered with status {}", answer.status().as_u16()));
        }
        let mut read = 0;
        while read < ANSWER_BYTES_MAX {
            match answer.chunk().await {
                Ok(Some(piece)) => read += piece.len(),
                // It has the event; how its answer ends changes nothing.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}

/// Where a hook lives; its query, which may hold credentials, only if that is asked for. Empty: its address cannot be used.
pub(crate) fn url(hook: &Hook, query: bool) -> String {
    let base = &hook.base;
    if base.host.is_empty() {
        return String::new();
    }
    let scheme = if base.tls { "https" } else { "http" };
    let slash = if base.path.starts_with('/') { "" } else { "/" };
    let mut url = format!("{scheme}://{}{slash}{}", base.authority, base.path);
    if query && !hook.query.is_empty() {
        url.push('?');
        url.push_str(&hook.query);
    }
    url
}
