//! How providers do: requests, errors and latencies of the last hour, in memory.
//!
//! Of each provider there is a slot a minute, of each of its models one for ten minutes. A request counts in the slot in
//! which it ended. Only requests that a provider was chosen for and that Sluice itself did not end count; which of them
//! are the provider's fault says [`is_blamed`]. Latencies are those of requests that went well: a refusal that comes at
//! once makes nobody fast.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};

pub(crate) use super::histogram::Histogram;
use super::seconds::{end_of, second_of};

/// How far the figures reach back, in seconds.
pub(crate) const HOUR_S: u64 = 3_600;
/// What a provider's state is judged by: this many seconds, and the present minute.
pub(crate) const WINDOW_S: u64 = 300;
/// Length of a slot of a provider and of a model, in seconds.
const SLOT_S: (u64, u64) = (60, 600);
/// Providers and, of each, models that are known at a time.
const PROVIDERS_MAX: usize = 256;
const MODELS_MAX: usize = 128;
/// Different statuses of a slot.
const STATUSES_MAX: usize = 32;
/// From this many requests on half of them failing means that the provider fails.
const FAILING_FROM: u64 = 5;

/// Whether a request failed and the provider is to blame: it answered with a status of 500 or more or with 429, or it did
/// not answer as it should. Requests that it refused because of what they said are the client's.
pub(crate) const fn is_blamed(status: u16, ended: Ended) -> bool {
    status >= 500 || status == 429 || matches!(ended, Ended::UpstreamFailed)
}

/// How a provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There was no request in the window.
    Idle,
    /// At least half of five or more requests failed.
    Failing,
    /// At least one in twenty failed.
    Degraded,
    /// Anything else.
    Ok,
}

impl State {
    pub(crate) const fn of(requests: u64, errors: u64) -> Self {
        if requests == 0 {
            Self::Idle
        } else if requests >= FAILING_FROM && errors.saturating_mul(2) >= requests {
            Self::Failing
        } else if errors > 0 && errors.saturating_mul(20) >= requests {
            Self::Degraded
        } else {
            Self::Ok
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Failing => "failing",
            Self::Degraded => "degraded",
            Self::Ok => "ok",
        }
    }
}

/// Figures of a stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    /// Of these: failed, and the provider is to blame.
    pub(crate) errors: u64,
    /// Requests by status, those with 400 or more; 0: none was sent.
    pub(crate) by_status: BTreeMap<u16, u64>,
    pub(crate) ttft: Histogram,
    pub(crate) duration: Histogram,
}

/// The last error that a provider is to blame for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastError {
    pub(crate) time: UnixMicros,
    pub(crate) code: Option<String>,
    pub(crate) status: u16,
}

/// What is known of a provider.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Of the window.
    pub(crate) window: Figures,
    pub(crate) last_error: Option<LastError>,
}

/// What is known of a provider's last hour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hour {
    /// Start of each minute in Unix seconds, oldest first, the present one last.
    pub(crate) minutes: Vec<(u64, Figures)>,
    /// By name; those with most requests first.
    pub(crate) models: Vec<(String, Figures)>,
}

/// What is known of all of them.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<String, Provider>>);

#[derive(Debug)]
struct Provider {
    minutes: Slots,
    models: HashMap<String, Slots>,
    last_error: Option<LastError>,
}

/// A ring of slots that covers an hour and the slot that has begun.
#[derive(Debug)]
struct Slots {
    length_s: u64,
    /// Number of the slot since 1970 and its figures, at the place of its number.
    ring: Vec<(u64, Figures)>,
}

impl Slots {
    fn new(length_s: u64) -> Self {
        Self {
            length_s,
            ring: Vec::new(),
        }
    }

    const fn count(&self) -> u64 {
        HOUR_S / self.length_s + 1
    }

    /// The slot of a second, emptied if it held an older one; `None` if it has left the ring.
    fn at(&mut self, second: u64) -> Option<&mut Figures> {
        let number = second / self.length_s;
        let place = usize::try_from(number % self.count()).ok()?;
        if self.ring.len() <= place {
            self.ring.resize_with(place + 1, Default::default);
        }
        let (held, figures) = self.ring.get_mut(place)?;
        if *held < number {
            (*held, *figures) = (number, Figures::default());
        }
        (*held == number).then_some(figures)
    }

    /// The figures of a slot.
    fn get(&self, number: u64) -> Option<&Figures> {
        let place = usize::try_from(number % self.count()).ok()?;
        let (held, figures) = self.ring.get(place)?;
        (*held == number).then_some(figures)
    }

    /// Sums of what lies in the last seconds, whole slots.
    fn sum(&self, now: u64, seconds: u64) -> Figures {
        let last = now / self.length_s;
        let first = now.saturating_sub(seconds) / self.length_s;
        let mut sum = Figures::default();
        for number in first.max(last.saturating_sub(self.count() - 1))..=last {
            if let Some(figures) = self.get(number) {
                sum.merge(figures);
            }
        }
        sum
    }

    fn is_empty(&self, now: u64) -> bool {
        let last = now / self.length_s;
        let first = last.saturating_sub(self.count() - 1);
        (first..=last).all(|number| self.get(number).is_none())
    }
}

impl Figures {
    fn count(&mut self, record: &UsageRecord, blamed: bool) {
        self.requests = self.requests.saturating_add(1);
        self.errors = self.errors.saturating_add(u64::from(blamed));
        let status = record.status;
        if status >= 400 || status == 0 {
            let room = self.by_status.len() < STATUSES_MAX;
            if room || self.by_status.contains_key(&status) {
                let count = self.by_status.entry(status).or_default();
                *count = count.saturating_add(1);
            }
        } else if !blamed && record.ended == Ended::Complete {
            self.duration.add(record.duration_us);
            if let Some(ttft) = record.ttft_us {
                self.ttft.add(ttft);
            }
        }
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        for (status, more) in &other.by_status {
            let count = self.by_status.entry(*status).or_default();
            *count = count.saturating_add(*more);
        }
        self.ttft.merge(&other.ttft);
        self.duration.merge(&other.duration);
    }
}

impl Health {
    /// Takes in finished requests.
    pub(crate) fn feed(&self, records: &[UsageRecord], now: UnixMicros) {
        let now = second_of(now);
        let mut providers = self.lock();
        for record in records {
            let ours = matches!(record.ended, Ended::Blocked | Ended::CutByQuota | Ended::Aborted);
            let end = end_of(record).min(now);
            if record.provider.is_empty() || ours || end.saturating_add(HOUR_S) < now {
                continue;
            }
            let Some(provider) = room(&mut providers, &record.provider, PROVIDERS_MAX, now) else {
                continue;
            };
            provider.count(record, end, now);
        }
    }

    /// What is known of a provider.
    pub(crate) fn of(&self, provider: &str, now: UnixMicros) -> View {
        let providers = self.lock();
        let found = providers.get(provider);
        found.map_or_else(View::default, |provider| View {
            window: provider.minutes.sum(second_of(now), WINDOW_S),
            last_error: provider.last_error.clone(),
        })
    }

    /// The last hour of a provider.
    pub(crate) fn hour(&self, provider: &str, now: UnixMicros) -> Hour {
        let now = second_of(now);
        let providers = self.lock();
        let found = providers.get(provider);
        let last = now / SLOT_S.0;
        let first = last.saturating_sub(HOUR_S / SLOT_S.0 - 1);
        let figures = |number| found.and_then(|provider| provider.minutes.get(number));
        let minutes = (first..=last)
            .map(|number| (number * SLOT_S.0, figures(number).cloned().unwrap_or_default()))
            .collect();
        let mut models: Vec<(String, Figures)> = found
            .into_iter()
            .flat_map(|provider| &provider.models)
            .map(|(name, slots)| (name.clone(), slots.sum(now, HOUR_S)))
            .filter(|(_, figures)| figures.requests > 0)
            .collect();
        models.sort_by(|(a, of_a), (b, of_b)| of_b.requests.cmp(&of_a.requests).then_with(|| a.cmp(b)));
        Hour { minutes, models }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Provider>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider {
    fn new() -> Self {
        Self {
            minutes: Slots::new(SLOT_S.0),
            models: HashMap::new(),
            last_error: None,
        }
    }

    fn count(&mut self, record: &UsageRecord, end: u64, now: u64) {
        let blamed = is_blamed(record.status, record.ended);
        if let Some(figures) = self.minutes.at(end) {
            figures.count(record, blamed);
        }
        if let Some(figures) =
            model_room(&mut self.models, &record.model_asked, now).and_then(|slots| slots.at(end))
        {
            figures.count(record, blamed);
        }
        let time = UnixMicros(record.time.0.saturating_add(record.duration_us));
        let newer = self.last_error.as_ref().is_none_or(|last| last.time <= time);
        if blamed && newer {
            self.last_error = Some(LastError {
                time,
                code: record.error.clone(),
                status: record.status,
            });
        }
    }
}

/// The entry of a provider; where there is no room, one that has done nothing for an hour goes.
fn room<'a>(
    providers: &'a mut HashMap<String, Provider>,
    name: &str,
    max: usize,
    now: u64,
) -> Option<&'a mut Provider> {
    if !providers.contains_key(name) {
        if providers.len() >= max {
            providers.retain(|_, provider| !provider.minutes.is_empty(now));
        }
        if providers.len() >= max {
            return None;
        }
        providers.insert(name.to_owned(), Provider::new());
    }
    providers.get_mut(name)
}

/// The same for a model.
fn model_room<'a>(models: &'a mut HashMap<String, Slots>, name: &str, now: u64) -> Option<&'a mut Slots> {
    if !models.contains_key(name) {
        if models.len() >= MODELS_MAX {
            models.retain(|_, slots| !slots.is_empty(now));
        }
        if models.len() >= MODELS_MAX {
            return None;
        }
        models.insert(name.to_owned(), Slots::new(SLOT_S.1));
    }
    models.get_mut(name)
}

#[cfg(test)]
mod tests {
    use sluice_shared::usage::Known;

    use super::*;
    use crate::store::tests::record;

    const NOW: UnixMicros = UnixMicros(1_795_341_600_000_000);

    /// Statuses and ends of requests at one provider, a minute before now.
    fn of(list: &[(u16, Ended)]) -> View {
        let health = Health::default();
        let records: Vec<UsageRecord> = list
            .iter()
            .map(|(status, ended)| {
                let mut record = record(1, NOW.0 - 60_000_000);
                (record.status, record.ended) = (*status, *ended);
                record.usage_known = Known::Unknown;
                record
            })
            .collect();
        health.feed(&records, NOW);
        health.of("openai", NOW)
    }

    #[test]
    fn only_what_the_provider_did_is_its_fault() {
        let check = |status: u16, ended: Ended, counted: u64, blamed: u64| {
            let window = of(&[(status, ended)]).window;
            assert_eq!(
                (window.requests, window.errors),
                (counted, blamed),
                "{status} {ended:?}"
            );
        };
        check(200, Ended::Complete, 1, 0);
        check(400, Ended::Complete, 1, 0);
        check(404, Ended::Complete, 1, 0);
        check(429, Ended::Complete, 1, 1);
        check(500, Ended::Complete, 1, 1);
        check(529, Ended::Complete, 1, 1);
        check(200, Ended::UpstreamFailed, 1, 1);
        check(0, Ended::UpstreamFailed, 1, 1);
        check(200, Ended::ClientGone, 1, 0);
        // Sluice's own doing.
        check(403, Ended::Blocked, 0, 0);
        check(429, Ended::Blocked, 0, 0);
        check(200, Ended::CutByQuota, 0, 0);
        check(0, Ended::Aborted, 0, 0);
    }

    #[test]
    fn states_follow_the_share_of_errors() {
        let check = |requests: u64, errors: u64, name: &str| {
            assert_eq!(State::of(requests, errors).name(), name, "{errors} of {requests}");
        };
        check(0, 0, "idle");
        check(1, 0, "ok");
        check(1, 1, "degraded");
        check(4, 4, "degraded");
        check(5, 2, "degraded");
        check(5, 3, "failing");
        check(6, 3, "failing");
        check(20, 1, "degraded");
        check(21, 1, "ok");
        check(u64::MAX, 1, "ok");
        check(u64::MAX, u64::MAX, "failing");
    }

    #[test]
    fn figures_are_of_their_time_and_of_their_model() {
        let health = Health::default();
        let mut records = Vec::new();
        for (minutes_ago, model, status) in [
            (0, "a", 200),
            (2, "a", 200),
            (2, "b", 503),
            (30, "a", 200),
            (70, "a", 200),
        ] {
            let mut record = record(1, NOW.0 - minutes_ago * 60_000_000);
            record.model_asked = model.into();
            record.status = status;
            record.error = (status == 503).then(|| "overloaded".into());
            record.ttft_us = Some(40_000);
            record.duration_us = 90_000;
            records.push(record);
        }
        health.feed(&records, NOW);
        let view = health.of("openai", NOW);
        assert_eq!((view.window.requests, view.window.errors), (3, 1));
        assert_eq!(view.window.by_status, BTreeMap::from([(503, 1)]));
        let shown = view.window.ttft.percentile(95).unwrap();
        assert!(shown.abs_diff(40_000) < 1_280, "{shown}");
        assert_eq!(view.last_error.unwrap().code.as_deref(), Some("overloaded"));
        let hour = health.hour("openai", NOW);
        assert_eq!(hour.minutes.len(), 60);
        assert_eq!(hour.minutes.iter().map(|(_, f)| f.requests).sum::<u64>(), 4);
        assert_eq!(hour.minutes.last().unwrap().0, NOW.0 / 60_000_000 * 60);
        let models: Vec<_> = hour
            .models
            .iter()
            .map(|(m, f)| (m.as_str(), f.requests))
            .collect();
        assert_eq!(models, [("a", 3), ("b", 1)]);
        // A day later nothing is left, and the ring serves anew.
        let later = UnixMicros(NOW.0 + 86_400_000_000);
        assert_eq!(health.of("openai", later).window, Figures::default());
        assert!(health.hour("openai", later).models.is_empty());
        assert_eq!(health.of("unheard-of", NOW).window.requests, 0);
    }

    #[test]
    fn made_up_names_take_bounded_room() {
        let health = Health::default();
        for number in 0..MODELS_MAX as u64 + 50 {
            let mut one = record(number, NOW.0);
            one.model_asked = format!("m{number}");
            health.feed(&[one], NOW);
        }
        assert_eq!(health.hour("openai", NOW).models.len(), MODELS_MAX);
        assert_eq!(health.of("openai", NOW).window.requests, MODELS_MAX as u64 + 50);
        for number in 0..PROVIDERS_MAX as u64 + 50 {
            let mut one = record(number, NOW.0);
            one.provider = format!("p{number}");
            health.feed(&[one], NOW);
        }
        assert_eq!(health.lock().len(), PROVIDERS_MAX);
        // Whoever has done nothing for an hour makes room.
        let later = UnixMicros(NOW.0 + 7_200_000_000);
        let mut one = record(1, later.0);
        one.provider = "new".into();
        health.feed(&[one], later);
        assert_eq!(health.of("new", later).window.requests, 1);
    }
}
