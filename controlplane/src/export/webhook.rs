//! Any web service: a JSON array of items by POST; 2xx means taken.

use serde_json::Value;

use super::http::{Scheme, Service};
use super::item::{Batch, Item};
use super::sink::{Sending, Sink};
use crate::config::domain::Endpoint;

pub(super) struct Webhook {
    service: Service,
    url: String,
}

impl Webhook {
    pub(super) fn open(endpoint: &Endpoint) -> Result<Self, String> {
        Ok(Self {
            service: Service::open(endpoint, Scheme::Document)?,
            url: endpoint.url.clone(),
        })
    }
}

impl Sink for Webhook {
    fn send<'a>(&'a self, batch: &'a Batch) -> Sending<'a> {
        Box::pin(async move {
            let items: Vec<Value> = batch.items.iter().map(Item::json).collect();
            let body = Value::Array(items).to_string().into_bytes();
            self.service.post(&self.url, "application/json", body).await?;
            Ok(())
        })
    }
}
