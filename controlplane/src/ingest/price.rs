//! What a request that its process did not survive has cost, by what is known of it.
//!
//! The data plane prices every request that it ends itself; only those that recovery ends are priced here, by the prices of
//! the configuration as it is now.

use std::sync::Arc;

use sluice_shared::cost::PriceBook;
use sluice_shared::snapshot::Snapshot;
use sluice_shared::units::NanoUsd;
use sluice_shared::usage::{Known, UsageRecord};

use crate::publish::Publisher;

/// Where the prices of the configuration come from.
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
}

/// Fills in cost and whether there is a price. The prices are compiled once for all: requests may be waiting for the lease
/// that ends with this.
pub(super) fn settle(records: &mut [UsageRecord], bases: &Bases) {
    if records.is_empty() {
        return;
    }
    let current = bases.publisher.as_ref().and_then(|publisher| publisher.current());
    let none = Snapshot::default();
    let snapshot = current.as_ref().map_or(&none, |current| &current.snapshot);
    let prices = PriceBook::compile(snapshot);
    for record in records {
        price(record, snapshot, &prices);
    }
}

fn price(record: &mut UsageRecord, snapshot: &Snapshot, prices: &PriceBook) {
    if !record.api.billed() {
        (record.cost, record.priced) = (Some(NanoUsd(0)), true);
        return;
    }
    let sent = sent(snapshot, &record.provider, &record.model_asked);
    let price = prices.price_of_call(&record.provider, sent, record.model_answered.as_deref());
    record.priced = price.is_some();
    record.cost = price
        .filter(|_| record.usage_known != Known::Unknown)
        .and_then(|price| prices.cost(&record.provider, &price, &record.usage));
}

/// The name that the provider got for what the client asked: aliases and the provider's prefix are gone.
fn sent<'a>(snapshot: &'a Snapshot, provider: &str, asked: &'a str) -> &'a str {
    let alias = snapshot.aliases.iter().find(|alias| alias.from == asked);
    let name = alias.map_or(asked, |alias| alias.to.as_str());
    name.strip_prefix(provider)
        .filter(|_| !provider.is_empty())
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use sluice_shared::api::ApiKind;
    use sluice_shared::ids::{Epoch, RequestId, ShardId};
    use sluice_shared::snapshot::{Alias, PriceOverride, Provider, RateOverride};
    use sluice_shared::units::UnixMicros;
    use sluice_shared::usage::Usage;

    use super::*;

    fn snapshot() -> Snapshot {
        let alias = |from: &str, to: &str| Alias {
            from: from.into(),
            to: to.into(),
        };
        Snapshot {
            providers: vec![Provider {
                id: "oai".into(),
                cost_basis: "openai".into(),
                ..Provider::default()
            }],
            aliases: vec![alias("fast", "oai/gpt-4o-mini"), alias("mine", "in-house")],
            prices: vec![PriceOverride {
                pattern: "in-house".into(),
                rates: RateOverride {
                    input: Some(2_000_000_000),
                    ..RateOverride::default()
                },
                ..PriceOverride::default()
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_recovered_record_is_priced_by_the_name_that_was_sent() {
        let check = |asked: &str, want: Option<u64>| {
            let id = RequestId::new(1, ShardId(0), 0, 0);
            let mut record = UsageRecord::draft(id, UnixMicros(0), ShardId(0), Epoch(1), ApiKind::OpenAiChat);
            record.provider = "oai".into();
            record.model_asked = asked.into();
            record.usage_known = Known::Partial;
            record.usage = Usage {
                input: Some(100),
                output: Some(10),
                ..Usage::default()
            };
            price(&mut record, &snapshot(), &PriceBook::compile(&snapshot()));
            assert_eq!(record.cost.map(|cost| cost.0), want, "{asked}");
            assert_eq!(record.priced, want.is_some(), "{asked}");
        };
        // 100 × 0.15 + 10 × 0.6 = 21 millionths
        check("gpt-4o-mini", Some(21_000));
        check("oai/gpt-4o-mini", Some(21_000));
        check("fast", Some(21_000));
        check("mine", Some(200_000));
        check("unheard-of", None);
    }
}
