//! Names and what is known of them, as a state machine: questions, findings and time in, replies and lookups out.
//!
//! - A good answer counts for 30 s. It is kept for an hour, and serves in the place of a lookup that fails or that
//!   takes longer than a second, so that a name server that is down does not stop what worked before.
//! - A failure counts for a second: enough that a storm of requests does not become a storm of lookups.
//! - One lookup per name is open at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_shared::units::MonoMicros;

use super::ResolveError;

/// Age to which a good answer is used without a lookup, in microseconds.
pub const FRESH_US: u64 = 30_000_000;
/// Age to which a good answer replaces a failing lookup, in microseconds.
pub const KEPT_US: u64 = 3_600_000_000;
/// Age to which a failure is used without a lookup, in microseconds.
pub const FAILED_US: u64 = 1_000_000;
/// Time given to a lookup where an older answer is at hand, in microseconds.
pub const PATIENCE_US: u64 = 1_000_000;
/// Names that are remembered at most; more than there can be providers.
pub const NAMES_MAX: usize = 4_096;
/// Lookups that are open at most.
pub const OPEN_MAX: usize = 1_024;
/// Questions that wait for one lookup at most.
pub const ASKERS_MAX: usize = 16_384;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Index of the shard.
    pub shard: usize,
    /// Ticket of its question.
    pub ticket: u64,
}

/// Addresses in the order of the resolver, never empty, or why there are none.
pub type Resolution = Result<Arc<[IpAddr]>, ResolveError>;

/// What is to be done after a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// Answers for shards.
    pub replies: Vec<(Asker, Resolution)>,
    /// Names to look up.
    pub lookups: Vec<Arc<str>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct ResolverCache {
    names: HashMap<Arc<str>, Name>,
    open: usize,
}

#[derive(Debug, Default)]
struct Name {
    good: Option<(Arc<[IpAddr]>, MonoMicros)>,
    failed: Option<(ResolveError, MonoMicros)>,
    lookup: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: MonoMicros,
    askers: Vec<Asker>,
}

impl Name {
    fn kept(&self, now: MonoMicros) -> Option<Arc<[IpAddr]>> {
        let (addresses, at) = self.good.as_ref()?;
        (now.since(*at) < KEPT_US).then(|| Arc::clone(addresses))
    }

    fn settled(&self, now: MonoMicros) -> Option<Resolution> {
        if let Some((addresses, at)) = &self.good
            && now.since(*at) < FRESH_US
        {
            return Some(Ok(Arc::clone(addresses)));
        }
        let (error, at) = self.failed.as_ref()?;
        if now.since(*at) >= FAILED_US {
            return None;
        }
        Some(self.kept(now).ok_or_else(|| error.clone()))
    }

    fn overdue(&self, now: MonoMicros) -> bool {
        self.good.is_some()
            && self
                .lookup
                .as_ref()
                .is_some_and(|l| now.since(l.since) >= PATIENCE_US)
    }
}

impl ResolverCache {
    /// A shard asks for a name.
    pub fn ask(&mut self, host: &str, asker: Asker, now: MonoMicros, out: &mut Actions) {
        if !self.names.contains_key(host) && self.names.len() >= NAMES_MAX {
            self.names
                .retain(|_, n| n.lookup.is_some() || n.kept(now).is_some());
        }
        let full = self.names.len() >= NAMES_MAX;
        let key: Arc<str> = match self.names.get_key_value(host) {
            Some((key, _)) => Arc::clone(key),
            None if full => {
                out.replies.push((asker, Err(ResolveError::Busy)));
                return;
            }
            None => host.into(),
        };
        let name = self.names.entry(Arc::clone(&key)).or_default();
        if let Some(result) = name.settled(now) {
            out.replies.push((asker, result));
        } else if let Some(open) = &mut name.lookup {
            let late = now.since(open.since) >= PATIENCE_US;
            match name.good.as_ref().filter(|(_, at)| now.since(*at) < KEPT_US) {
                Some((addresses, _)) if late => out.replies.push((asker, Ok(Arc::clone(addresses)))),
                _ if open.askers.len() >= ASKERS_MAX => {
                    out.replies.push((asker, Err(ResolveError::Busy)));
                }
                _ => open.askers.push(asker),
            }
        } else if self.open >= OPEN_MAX {
            let result = name.kept(now).ok_or(ResolveError::Busy);
            out.replies.push((asker, result));
        } else {
            let askers = vec![asker];
            name.lookup = Some(Open { since: now, askers });
            self.open += 1;
            out.lookups.push(key);
        }
    }

    /// A lookup has ended.
    pub fn found(&mut self, host: &str, result: Resolution, now: MonoMicros, out: &mut Actions) {
        let Some(name) = self.names.get_mut(host) else {
            return;
        };
        let Some(open) = name.lookup.take() else { return };
        self.open -= 1;
        let result = match result {
            Ok(addresses) => {
                name.failed = None;
                name.good = Some((Arc::clone(&addresses), now));
                Ok(addresses)
            }
            Err(error) => {
                name.failed = Some((error.clone(), now));
                name.kept(now).ok_or(error)
            }
        };
        out.replies
            .extend(open.askers.into_iter().map(|asker| (asker, result.clone())));
    }

    /// When [`Self::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoMicros> {
        if self.open == 0 {
            return None;
        }
        let waits = |n: &&Name| n.good.is_some() && n.lookup.as_ref().is_some_and(|l| !l.askers.is_empty());
        let since = self
            .names
            .values()
            .filter(waits)
            .filter_map(|n| Some(n.lookup.as_ref()?.since));
        since.min().map(|at| MonoMicros(at.0.saturating_add(PATIENCE_US)))
    }

    /// Answers those whose lookup takes too long with the last good answer.
    pub fn expire(&mut self, now: MonoMicros, out: &mut Actions) {
        if self.open == 0 {
            return;
        }
        for name in self.names.values_mut().filter(|n| n.overdue(now)) {
            let Some(addresses) = name.kept(now) else { continue };
            if let Some(open) = &mut name.lookup {
                let late = open
                    .askers
                    .drain(..)
                    .map(|asker| (asker, Ok(Arc::clone(&addresses))));
                out.replies.extend(late);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    struct Sim {
        cache: ResolverCache,
        now: MonoMicros,
        tickets: u64,
    }

    impl Sim {
        fn new() -> Self {
            Self {
                cache: ResolverCache::default(),
                now: MonoMicros(S),
                tickets: 0,
            }
        }

        /// Steps, in the words of the test: what came back as `lookup` or `ticket=answer`.
        fn run(&mut self, step: impl FnOnce(&mut ResolverCache, MonoMicros, u64, &mut Actions)) -> String {
            let mut actions = Actions::default();
            self.tickets += 1;
            step(&mut self.cache, self.now, self.tickets, &mut actions);
            let mut words: Vec<String> = actions.lookups.iter().map(|h| format!("lookup {h}")).collect();
            words.extend(actions.replies.iter().map(|(asker, result)| match result {
                Ok(addresses) => format!("{}={}", asker.ticket, addresses[0]),
                Err(error) => format!("{}!{error:?}", asker.ticket),
            }));
            words.join(" ")
        }

        fn ask(&mut self, host: &str) -> String {
            self.run(|cache, now, ticket, out| cache.ask(host, Asker { shard: 0, ticket }, now, out))
        }

        fn found(&mut self, host: &str, last: Option<u8>) -> String {
            let result = match last {
                Some(n) => Ok(Arc::from([IpAddr::from([10, 0, 0, n])])),
                None => Err(ResolveError::Failed("down".into())),
            };
            self.run(|cache, now, _, out| cache.found(host, result, now, out))
        }

        fn expire(&mut self) -> String {
            self.run(|cache, now, _, out| cache.expire(now, out))
        }

        fn pass(&mut self, us: u64) {
            self.now.0 += us;
        }
    }

    #[test]
    fn one_lookup_serves_all_who_ask_and_counts_for_its_time() {
        let mut sim = Sim::new();
        assert_eq!(sim.ask("a"), "lookup a");
        assert_eq!(sim.ask("a"), "");
        assert_eq!(sim.ask("b"), "lookup b", "names do not wait for each other");
        assert_eq!(sim.found("a", Some(1)), "1=10.0.0.1 2=10.0.0.1");
        sim.pass(FRESH_US - 1);
        assert_eq!(sim.ask("a"), "5=10.0.0.1");
        sim.pass(1);
        assert_eq!(sim.ask("a"), "lookup a");
        assert_eq!(sim.found("a", Some(2)), "6=10.0.0.2");
        assert_eq!(sim.found("a", Some(3)), "", "nobody asked for that");
        assert_eq!(sim.found("never", Some(3)), "");
    }

    #[test]
    fn the_last_good_answer_stands_in_for_an_hour() {
        let mut sim = Sim::new();
        sim.ask("a");
        sim.found("a", Some(1));
        sim.pass(KEPT_US - 1);
        assert_eq!(sim.ask("a"), "lookup a");
        assert_eq!(sim.found("a", None), "3=10.0.0.1");
        sim.pass(1);
        assert_eq!(
            sim.ask("a"),
            "5!Failed(\"down\")",
            "an hour has passed; the failure still counts"
        );
        sim.pass(FAILED_US);
        assert_eq!(sim.ask("a"), "lookup a");
        assert_eq!(sim.found("a", None), "6!Failed(\"down\")");
    }

    #[test]
    fn a_hanging_lookup_is_not_waited_for_when_an_answer_is_at_hand() {
        let mut sim = Sim::new();
        assert_eq!(sim.ask("a"), "lookup a");
        assert_eq!(
            sim.cache.next_deadline(),
            None,
            "there is nothing to fall back to"
        );
        sim.found("a", Some(1));
        sim.pass(FRESH_US);
        assert_eq!(sim.ask("a"), "lookup a");
        assert_eq!(
            sim.cache.next_deadline(),
            Some(MonoMicros(sim.now.0 + PATIENCE_US))
        );
        sim.pass(PATIENCE_US - 1);
        assert_eq!(sim.expire(), "");
        sim.pass(1);
        assert_eq!(sim.expire(), "3=10.0.0.1");
        assert_eq!(sim.cache.next_deadline(), None);
        assert_eq!(sim.ask("a"), "6=10.0.0.1");
        assert_eq!(sim.found("a", Some(2)), "");
        assert_eq!(sim.ask("a"), "8=10.0.0.2");
    }

    #[test]
    fn failures_count_for_a_second() {
        let mut sim = Sim::new();
        sim.ask("a");
        assert_eq!(sim.found("a", None), "1!Failed(\"down\")");
        assert_eq!(sim.ask("a"), "3!Failed(\"down\")");
        sim.pass(FAILED_US);
        assert_eq!(sim.ask("a"), "lookup a");
    }

    #[test]
    fn everything_is_bounded() {
        let mut sim = Sim::new();
        for n in 0..OPEN_MAX {
            assert_eq!(sim.ask(&format!("h{n}")), format!("lookup h{n}"));
        }
        assert!(sim.ask("one-more").ends_with("!Busy"));
        for n in 0..OPEN_MAX {
            sim.found(&format!("h{n}"), Some(1));
        }
        for n in OPEN_MAX..2 * NAMES_MAX {
            sim.ask(&format!("h{n}"));
            sim.found(&format!("h{n}"), Some(1));
        }
        assert_eq!(sim.cache.names.len(), NAMES_MAX);
        sim.pass(KEPT_US);
        assert_eq!(sim.ask("new"), "lookup new", "what is too old makes room");
    }
}
