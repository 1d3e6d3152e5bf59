//! A message to a web service, and what its answer means.
//!
//! No redirect is followed: one is an answer like any other, and none that means success. What an answer says is shown
//! shortened, without control characters, and without the key should the receiver quote it.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use sluice_shared::snapshot::Authorization;

use super::sink::SendError;
use crate::config::domain::Endpoint;
use crate::web;

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest pause that a receiver may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How long a message may take where the document says nothing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A web service that takes messages.
pub(super) struct Service {
    client: reqwest::Client,
    headers: HeaderMap,
    /// What must not be shown.
    secrets: Vec<String>,
}

/// An answer that means success.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
}

/// How the key is sent.
pub(super) enum Scheme {
    /// As the document says.
    Document,
    /// `authorization: Splunk KEY`
    Splunk,
}

impl Service {
    pub(super) fn open(endpoint: &Endpoint, scheme: Scheme) -> Result<Self, String> {
        let timeout = match endpoint.timeout_ms {
            0 => TIMEOUT,
            ms => Duration::from_millis(ms),
        };
        let client = web::client(endpoint.ca_pem.as_deref(), timeout).map_err(|error| web::shown(&error))?;
        let mut headers = HeaderMap::new();
        let mut put = |name: &str, value: &str| -> Result<(), String> {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| "the name of a header cannot be sent".to_owned())?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of header {name} cannot be sent"))?;
            value.set_sensitive(true);
            headers.append(name, value);
            Ok(())
        };
        let key = endpoint.key.0.as_str();
        if !key.is_empty() {
            match (scheme, endpoint.authorization) {
                (Scheme::Splunk, _) => put("authorization", &format!("Splunk {key}"))?,
                (Scheme::Document, Authorization::Bearer) => put("authorization", &format!("Bearer {key}"))?,
                (Scheme::Document, Authorization::XApiKey) => put("x-api-key", key)?,
                (Scheme::Document, Authorization::XGoogApiKey) => put("x-goog-api-key", key)?,
            }
        }
        for header in &endpoint.headers {
            put(&header.name, &header.value.0)?;
        }
        let mut secrets: Vec<String> = endpoint
            .headers
            .iter()
            .map(|header| header.value.0.clone())
            .chain([key.to_owned()])
            .filter(|secret| !secret.is_empty())
            .collect();
        // What contains another must go first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Ok(Self {
            client,
            headers,
            secrets,
        })
    }

    /// Sends a message; every answer but a 2xx is an error.
    pub(super) async fn post(
        &self,
        url: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Answer, SendError> {
        let sent = self
            .client
            .post(url)
            .headers(self.headers.clone())
            .header("content-type", content_type)
            .body(body)
            .send()
            .await;
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(error) => return Err(SendError::Later(self.hide(&web::shown(&error)), None)),
        };
        let status = answer.status().as_u16();
        let pause = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| pause(value.to_str().ok()?));
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => {
                    let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
                    body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
                    if body.len() >= ANSWER_BYTES_MAX {
                        break;
                    }
                }
                Ok(None) => break,
                // The status counts: the message was taken or not.
                Err(_) if !(200..300).contains(&status) => break,
                Err(error) => return Err(SendError::Later(self.hide(&web::shown(&error)), None)),
            }
        }
        match judge(
            status,
            pause,
            &self.hide(&web::tidy(&String::from_utf8_lossy(&body))),
        ) {
            None => Ok(Answer { body }),
            Some(error) => Err(error),
        }
    }

    /// Text without secrets.
    pub(super) fn hide(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// What a status means; `None`: success.
fn judge(status: u16, pause: Option<Duration>, said: &str) -> Option<SendError> {
    let why = if said.is_empty() {
        format!("answered with status {status}")
    } else {
        format!("answered with status {status}: {said}")
    };
    match status {
        200..300 => None,
        413 => Some(SendError::TooLarge(why)),
        408 | 425 | 429 | 500..600 => Some(SendError::Later(why, pause)),
        _ => Some(SendError::Refused(why)),
    }
}

/// `Retry-After` in seconds; dates are not read, the own pause counts then.
fn pause(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_they_say() {
        let later = |after: Option<u64>| {
            let after = after.map(Duration::from_secs);
            move |status: u16| Some(SendError::Later(format!("answered with status {status}"), after))
        };
        assert_eq!(judge(200, None, "x"), None);
        assert_eq!(judge(204, None, ""), None);
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(
                judge(status, Some(Duration::from_secs(3)), ""),
                later(Some(3))(status)
            );
        }
        for status in [301, 307, 400, 401, 403, 404] {
            assert!(
                matches!(judge(status, None, ""), Some(SendError::Refused(_))),
                "{status}"
            );
        }
        assert!(matches!(judge(413, None, ""), Some(SendError::TooLarge(_))));
    }

    #[test]
    fn pauses_are_seconds_with_a_bound() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(pause(text), expected.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check("0", Some(0));
        check("99999999999999999999999", Some(3_600));
        check("Fri, 31 Dec 1999 23:59:59 GMT", None);
        check("", None);
        check("-1", None);
    }
}
