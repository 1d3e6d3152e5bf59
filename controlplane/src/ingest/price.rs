//! What a request that its process did not survive has cost, by what is known of it.
//!
//! The data plane prices every request that it ends itself; only those that recovery ends are priced here, by the same
//! table and the price list of the provider as it is configured now.

use std::sync::Arc;

use sluice_shared::cost;
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::{Known, UsageRecord};

use crate::publish::Publisher;

/// Price lists of the configured providers.
#[derive(Clone, Default)]
pub(crate) struct Bases {
    publisher: Option<Arc<Publisher>>,
}

impl Bases {
    pub(crate) const fn of(publisher: Arc<Publisher>) -> Self {
        Self {
            publisher: Some(publisher),
        }
    }

    fn of_provider(&self, id: &str) -> String {
        let current = self.publisher.as_ref().and_then(|publisher| publisher.current());
        let provider = current
            .as_ref()
            .and_then(|p| p.snapshot.providers.iter().find(|p| p.id == id));
        provider
            .map(|provider| provider.cost_basis.clone())
            .unwrap_or_default()
    }
}

/// Fills in cost and whether there is a price.
pub(super) fn settle(record: &mut UsageRecord, bases: &Bases) {
    if !record.api.billed() {
        (record.cost, record.priced) = (Some(NanoUsd(0)), true);
        return;
    }
    let basis = bases.of_provider(&record.provider);
    let price = cost::price_of_call(&basis, &record.model_asked, record.model_answered.as_deref());
    record.priced = price.is_some();
    record.cost = price
        .filter(|_| record.usage_known != Known::Unknown)
        .and_then(|price| cost::cost(price, &record.usage));
}
