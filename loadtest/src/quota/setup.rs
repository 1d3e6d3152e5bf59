//! The budgets that are tried, and the document that declares them.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::Mode;
use super::lab::dollars;
use super::plan::Model;

/// Quota of dollars, tokens, requests and seats that everybody shares.
pub(super) const POT: &str = "pot";
/// Ample quota of one's own, beside it.
pub(super) const OWN: &str = "own:<user>";
pub(super) const SUM: &str = "sum";
pub(super) const COUNT: &str = "count";
pub(super) const SEATS: &str = "seats";
/// What nobody uses up.
pub(super) const AMPLE: u64 = 1 << 50;

/// Amounts of the quotas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) mode: Mode,
    /// Nanodollars.
    pub(super) pot: u64,
    /// Nanodollars a minute.
    pub(super) pot_a_minute: u64,
    /// Requests at a time.
    pub(super) pot_seats: u64,
    /// Nanodollars.
    pub(super) sum: u64,
    pub(super) count: u64,
    pub(super) seats: u64,
}

impl Setup {
    /// With so much money in the pot, never refilled.
    pub(super) const fn new(mode: Mode, pot: u64) -> Self {
        Self {
            mode,
            pot,
            pot_a_minute: 0,
            pot_seats: AMPLE,
            sum: AMPLE,
            count: AMPLE,
            seats: AMPLE,
        }
    }

    /// The document, for a provider at this address.
    pub(super) fn document(&self, upstream: SocketAddr) -> Value {
        let mode = self.mode.name();
        let mut pot = json!({
            "capacity": dollars(self.pot), "tokens": AMPLE, "requests": AMPLE, "concurrency": self.pot_seats,
            "admission": mode,
        });
        if self.pot_a_minute > 0 {
            pot["rate"] = json!(format!("{}/min", dollars(self.pot_a_minute)));
        }
        let quotas = json!({
            POT: pot,
            OWN: {"capacity": dollars(AMPLE), "tokens": AMPLE, "admission": mode},
            SUM: {"capacity": dollars(self.sum), "admission": mode},
            COUNT: {"requests": self.count, "admission": mode},
            SEATS: {"concurrency": self.seats, "admission": mode},
        });
        let mut capabilities =
            vec![json!({"role": "admin", "models": ["mock/**"], "read_metrics": true, "read_pricing": true})];
        capabilities.extend(Model::ALL.map(|model| {
            let named = quotas_of(model).map(|name| json!({"bucket": name}));
            json!({"role": "user", "models": [format!("mock/{}", model.name())], "quotas": named.collect::<Vec<_>>()})
        }));
        let prices: Map<String, Value> = Map::new();
        json!({
            "providers": {"mock": {
                "baseurl": format!("http://{upstream}"),
                "apikey": "mock-key",
                "models": Model::ALL.map(Model::name),
                "compatibility": {"openai_chat": true, "anthropic_messages": true},
            }},
            "quotas": quotas,
            "prices": prices,
            "grants": [{"src": ["(loopback)"], "capabilities": capabilities}],
        })
    }
}

/// Names of the quotas that count for a model.
pub(super) fn quotas_of(model: Model) -> impl Iterator<Item = &'static str> {
    let names: &[&str] = match model {
        Model::Pot => &[POT, OWN],
        Model::Sum => &[SUM],
        Model::Count => &[COUNT],
        Model::Seats => &[SEATS],
    };
    names.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_its_quotas() {
        let setup = Setup {
            pot_a_minute: 60,
            ..Setup::new(Mode::Strict, 1_500_000_000)
        };
        let document = setup.document(SocketAddr::from(([127, 0, 0, 1], 9)));
        assert_eq!(document["quotas"][POT]["capacity"], "$1.500000000");
        assert_eq!(document["quotas"][POT]["rate"], "$0.000000060/min");
        for model in Model::ALL {
            for name in quotas_of(model) {
                assert_eq!(document["quotas"][name]["admission"], "strict", "{name}");
            }
        }
    }
}
