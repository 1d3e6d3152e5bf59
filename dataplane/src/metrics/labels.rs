//! Label values that come from outside, numbered and bounded.
//!
//! The first [`PROVIDERS_MAX`] providers and the first [`MODELS_MAX`] pairs of provider and model get a number for the
//! life of the process; all others share [`LabelSlot::OTHER`]. First come, first named, and never renamed: a series
//! that moved to `other` and back would look like a counter that was reset. A model is only named when its
//! provider has stated usage for it, so names that clients make up do not take the places.
//!
//! All shards share one [`Labels`], so that their numbers mean the same; a name that is known costs no lock and no
//! write, a new one swaps the table.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Providers with a label of their own.
pub const PROVIDERS_MAX: usize = 64;
/// Pairs of provider and model with a label of their own.
pub const MODELS_MAX: usize = 64;
/// Pairs of provider and model, as it is named to the provider, of which estimates are shown.
pub const ESTIMATES_MAX: usize = 64;
/// Longest label value, in bytes; what is longer is cut.
const VALUE_BYTES_MAX: usize = 128;

/// The number of a label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSlot(pub(super) u8);

impl LabelSlot {
    /// Everything that has no number of its own.
    pub const OTHER: Self = Self(u8::MAX);
    /// No value at all, for requests that reached no provider.
    pub const NONE: Self = Self(u8::MAX - 1);
}

/// The numbered values of the process.
#[derive(Debug, Default)]
pub struct Labels {
    providers: ArcSwap<Vec<String>>,
    models: ArcSwap<Vec<(String, String)>>,
    /// The names that were sent are often not those that were answered: they take no places from the others.
    estimates: ArcSwap<Vec<(String, String)>>,
}

impl Labels {
    /// No values yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The number of a provider; [`LabelSlot::NONE`] for the empty id.
    #[must_use]
    pub fn provider(&self, id: &str) -> LabelSlot {
        if id.is_empty() {
            return LabelSlot::NONE;
        }
        let id = cut(id);
        slot(
            &self.providers,
            PROVIDERS_MAX,
            |known| known == id,
            || id.to_owned(),
        )
    }

    /// The number of a model at a provider.
    #[must_use]
    pub fn model(&self, provider: &str, model: &str) -> LabelSlot {
        pair(&self.models, MODELS_MAX, provider, model)
    }

    /// The number of a model of which something was learnt, named as the provider was sent it.
    #[must_use]
    pub fn estimate(&self, provider: &str, model: &str) -> LabelSlot {
        pair(&self.estimates, ESTIMATES_MAX, provider, model)
    }

    /// Provider and model of such a number.
    pub(super) fn estimate_names(&self, slot: LabelSlot) -> Option<(String, String)> {
        self.estimates.load().get(usize::from(slot.0)).cloned()
    }

    pub(super) fn provider_name(&self, slot: LabelSlot) -> String {
        match slot {
            LabelSlot::NONE => String::new(),
            LabelSlot(n) => match self.providers.load().get(usize::from(n)) {
                Some(id) => id.clone(),
                None => "other".into(),
            },
        }
    }

    pub(super) fn model_name(&self, slot: LabelSlot) -> String {
        match self.models.load().get(usize::from(slot.0)) {
            Some((_, model)) => model.clone(),
            None => "other".into(),
        }
    }
}

fn pair(table: &ArcSwap<Vec<(String, String)>>, places: usize, provider: &str, model: &str) -> LabelSlot {
    let (provider, model) = (cut(provider), cut(model));
    slot(
        table,
        places,
        |(p, m)| p == provider && m == model,
        || (provider.to_owned(), model.to_owned()),
    )
}

fn slot<T: Clone>(
    table: &ArcSwap<Vec<T>>,
    places: usize,
    same: impl Fn(&T) -> bool,
    make: impl Fn() -> T,
) -> LabelSlot {
    let find = |known: &[T]| known.iter().position(&same);
    let known = table.load();
    let index = find(&known).or_else(|| {
        if known.len() >= places {
            return None;
        }
        table.rcu(|known| {
            let mut more = Vec::clone(known);
            if find(&more).is_none() && more.len() < places {
                more.push(make());
            }
            more
        });
        find(&table.load())
    });
    index
        .and_then(|i| u8::try_from(i).ok())
        .map_or(LabelSlot::OTHER, LabelSlot)
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE_BYTES_MAX)]
}

const _: () = assert!(
    PROVIDERS_MAX < 0xfe && MODELS_MAX < 0xfe && ESTIMATES_MAX < 0xfe,
    "two numbers are taken"
);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn values_beyond_the_bound_share_one_label() {
        let labels = Labels::new();
        let first: Vec<_> = (0..MODELS_MAX)
            .map(|n| labels.model("p", &format!("m{n}")))
            .collect();
        for n in 0..10_000 {
            let slot = labels.model("p", &format!("m{n}"));
            assert_eq!(slot, first.get(n).copied().unwrap_or(LabelSlot::OTHER));
        }
        assert_eq!(labels.model_name(first[7]), "m7");
        assert_eq!(labels.model_name(LabelSlot::OTHER), "other");
        assert_eq!(labels.provider(""), LabelSlot::NONE);
        let long = "ü".repeat(500);
        assert_eq!(
            labels.provider_name(labels.provider(&long)).len(),
            VALUE_BYTES_MAX
        );
    }

    #[test]
    fn threads_agree_on_the_numbers() {
        let labels = Labels::new();
        let ask = |labels: &Labels, from: usize| -> Vec<LabelSlot> {
            let mut slots = vec![LabelSlot::OTHER; 100];
            for n in 0..100 {
                let n = (n + from) % 100;
                slots[n] = labels.provider(&format!("p{n}"));
            }
            slots
        };
        let asked: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|t| {
                    let labels = &labels;
                    scope.spawn(move || ask(labels, t * 25))
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let settled = ask(&labels, 0);
        assert_eq!(
            settled.iter().filter(|s| **s != LabelSlot::OTHER).count(),
            PROVIDERS_MAX
        );
        for slots in asked {
            assert_eq!(slots, settled);
        }
    }
}
