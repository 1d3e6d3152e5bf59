//! Splunk's HTTP event collector: JSON events one behind the other.
//!
//! After "Format events for HTTP Event Collector" and "HTTP Event Collector error codes" of Splunk's documentation: an event
//! has `time` in seconds with decimals, `host`, `source`, `sourcetype`, `index` and the payload in `event`. Success is a 200
//! whose body says `"code":0`; 503 (code 9) says that the server is busy; 400 with code 7 that the index is not one.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::http::{Scheme, Service};
use super::item::{Batch, Item};
use super::sink::{SendError, Sending, Sink};
use crate::config::domain::Endpoint;

/// Where events are taken if the document's URL names no path.
const PATH: &str = "/services/collector/event";

pub(super) struct Hec {
    service: Service,
    url: String,
    host: String,
    index: String,
    source: String,
    sourcetype: String,
}

impl Hec {
    pub(super) fn open(
        endpoint: &Endpoint,
        index: &str,
        source: &str,
        sourcetype: &str,
    ) -> Result<Self, String> {
        Ok(Self {
            service: Service::open(endpoint, Scheme::Splunk)?,
            url: address(&endpoint.url),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .map(|name| name.trim().to_owned())
                .unwrap_or_default(),
            index: index.to_owned(),
            source: source.to_owned(),
            sourcetype: sourcetype.to_owned(),
        })
    }

    fn event(&self, item: &Item) -> Value {
        let mut out = Map::new();
        let us = item.time_us();
        // A number with six decimals, exactly; a float would round it.
        let time: serde_json::Number = format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
            .parse()
            .unwrap_or_else(|_| serde_json::Number::from(us / 1_000_000));
        out.insert("time".into(), Value::Number(time));
        for (name, value) in [
            ("host", &self.host),
            ("source", &self.source),
            ("sourcetype", &self.sourcetype),
            ("index", &self.index),
        ] {
            if !value.is_empty() {
                out.insert(name.into(), value.as_str().into());
            }
        }
        out.insert("event".into(), item.json());
        Value::Object(out)
    }
}

/// The URL of the document, with the usual path if it has none.
fn address(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let bare = rest.find('/').is_none_or(|at| rest.len() == at + 1);
    if bare {
        format!("{}{PATH}", url.trim_end_matches('/'))
    } else {
        url.to_owned()
    }
}

impl Sink for Hec {
    fn send<'a>(&'a self, batch: &'a Batch) -> Sending<'a> {
        Box::pin(async move {
            let mut body = String::new();
            for item in &batch.items {
                let _ = writeln!(body, "{}", self.event(item));
            }
            let answer = self
                .service
                .post(&self.url, "application/json", body.into_bytes())
                .await?;
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            if said["code"].as_u64() == Some(0) {
                return Ok(());
            }
            let said = crate::web::tidy(&String::from_utf8_lossy(&answer.body));
            Err(SendError::Refused(
                self.service
                    .hide(&format!("did not say that it took the events: {said}")),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_path_is_put_behind_a_bare_address() {
        let check = |url: &str, expected: &str| assert_eq!(address(url), expected);
        check("https://h:8088", "https://h:8088/services/collector/event");
        check("https://h:8088/", "https://h:8088/services/collector/event");
        check("https://h/own", "https://h/own");
        check("https://h/services/collector", "https://h/services/collector");
    }
}
