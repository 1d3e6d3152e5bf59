//! Entry for benchmarks: how much a request needs, without a shard.

use std::cell::OnceCell;

use sluice_proto::json::{BodyScan, Facts, JsonLimits, KeyTable};
use sluice_shared::api::ApiKind;
use sluice_shared::cost::{Price, price_for};
use sluice_shared::quota::estimate::{Estimates, Sample};
use sluice_shared::quota::{Terms, Unit};
use sluice_shared::snapshot::{Admission, Quota, QuotaLimit};

use super::{Call, clamp_max_tokens, need};

/// A chat request to a priced model of which something was learnt.
#[derive(Debug)]
pub struct Asked {
    facts: Facts,
    chunks: Vec<Vec<u8>>,
    estimates: Estimates,
    price: Option<Price>,
    limit: QuotaLimit,
    quota: Quota,
}

impl Asked {
    /// The request with this body, under a limit in dollars.
    #[must_use]
    pub fn new(body: &[u8], admission: Admission) -> Self {
        let mut scan = BodyScan::new(KeyTable::for_kind(ApiKind::OpenAiChat), JsonLimits::DEFAULT);
        let facts = scan.feed(body).and_then(|()| scan.finish()).unwrap_or_default();
        let mut asked = Self {
            facts,
            chunks: body.chunks(64 << 10).map(<[u8]>::to_vec).collect(),
            estimates: Estimates::new(),
            price: price_for("openai", "gpt-5.5"),
            limit: QuotaLimit {
                unit: Unit::Usd,
                terms: Terms::default(),
            },
            quota: Quota {
                admission,
                clamp_max_tokens: true,
                ..Quota::default()
            },
        };
        for n in 0..400 {
            for model in ["gpt-5.5", "gpt-5.5-mini", "o9"] {
                asked.learn(model, n);
            }
        }
        asked
    }

    /// Learns from an answer of so many tokens.
    pub fn learn(&mut self, model: &str, output: u64) {
        let sample = Sample {
            request_bytes: 4_000,
            input: Some(1_000),
            response_bytes: output.saturating_mul(5),
            output: Some(output),
            stream: true,
        };
        self.estimates.learn("openai", model, &sample);
    }

    fn call(&self) -> Call<'_> {
        Call {
            kind: ApiKind::OpenAiChat,
            provider: "openai",
            model: "gpt-5.5",
            basis: "openai",
            facts: &self.facts,
            is_form: false,
            body_bytes: self.facts.bytes,
            chunks: &self.chunks,
            lowered: None,
            outside: OnceCell::new(),
        }
    }

    /// What it needs, in nanodollars; 0 if that has no bound.
    #[must_use]
    pub fn need(&self) -> u64 {
        let price = self.price.as_ref();
        let need = need(&self.limit, &self.quota, &self.call(), &self.estimates, price);
        need.map_or(0, |need| need.amount)
    }

    /// Output tokens that it may have with so many nanodollars left; 0 if too few.
    #[must_use]
    pub fn clamp(&self, free: u64) -> u64 {
        let price = self.price.as_ref();
        let clamp = clamp_max_tokens(
            &self.limit,
            &self.quota,
            &self.call(),
            &self.estimates,
            price,
            free,
        );
        clamp.map_or(0, |clamp| clamp.max_tokens)
    }
}
