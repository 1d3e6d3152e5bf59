//! Many streams at once on one budget that is nearly used up, and what the books say after each wave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::books::{Account, Books, Known, Record, Refill, Unit, charged_by_ending, complete};
use super::client::{Outcome, Told, play};
use super::lab::{Lab, PATIENCE, Plane};
use super::plan::Plan;
use super::refusals::{Ask, false_refusals};
use super::setup::{POT, quotas_of};
use super::{Mode, client};
use crate::mock::Ending;
use crate::report::Row;

/// After an answer's last byte the gateway still has to settle it, on a machine that does other things.
const SETTLE_US: u64 = 500_000;
/// A plane that is started again needs a moment until all its connections stand.
const RECONNECT_US: u64 = 1_000_000;
const PAUSE: Duration = Duration::from_millis(50);
/// Faults that a report shows.
const FAULTS_SHOWN: usize = 12;

/// A request, and the most that it can use.
struct Planned {
    plan: Plan,
    most: BTreeMap<Unit, u64>,
}

impl Planned {
    fn most(&self, unit: Unit) -> u64 {
        self.most.get(&unit).copied().unwrap_or(0)
    }
}

/// Everything that was asked of one gateway.
#[derive(Default)]
pub(super) struct History {
    plans: BTreeMap<u64, Planned>,
    told: BTreeMap<u64, Told>,
    /// From a kill until the gateway served again.
    kills: Vec<(Plane, u64, u64)>,
    /// Moments at which nothing ran and nothing was reserved.
    quiet: Vec<u64>,
    /// What came in by hand, by bucket.
    pub(super) by_hand: BTreeMap<u64, u64>,
    /// Nanodollars a minute into the pot, and since when at the latest and at the earliest.
    pub(super) pot_a_minute: u64,
    begun_us: u64,
}

/// The books as they stand when nothing runs.
pub(super) struct Settled {
    pub(super) accounts: Vec<Account>,
    pub(super) records: Vec<Record>,
    pub(super) faults: Vec<String>,
}

impl Settled {
    /// The account of a quota of the scenarios, if it was ever asked for.
    pub(super) fn account(&self, quota: &str, unit: Unit) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.quota == quota && account.unit == unit)
    }
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            begun_us: client::unix_us(),
            ..Self::default()
        }
    }

    /// A number that no request bears.
    pub(super) fn next(&self) -> u64 {
        self.plans.last_key_value().map_or(1, |(number, _)| number + 1)
    }

    /// Plays all of them at once, and meanwhile a kill after a pause.
    pub(super) async fn wave(
        &mut self,
        lab: &mut Lab,
        plans: Vec<Plan>,
        kill: Option<(Plane, Duration)>,
    ) -> Result<()> {
        let mut running = JoinSet::new();
        for plan in plans {
            self.plan(plan.clone());
            let gateway = lab.gateway;
            running.spawn(async move { play(gateway, &plan).await });
        }
        if let Some((plane, pause)) = kill {
            tokio::time::sleep(pause).await;
            let from = client::unix_us();
            lab.kill(plane).await?;
            self.kills.push((plane, from, client::unix_us()));
        }
        while let Some(told) = running.join_next().await {
            let told = told?;
            self.told.insert(told.number, told);
        }
        Ok(())
    }

    /// Plays them, so many at a time.
    pub(super) async fn queue(&mut self, lab: &Lab, plans: Vec<Plan>, at_a_time: usize) -> Result<()> {
        let gateway = lab.gateway;
        let mut running = JoinSet::new();
        for plan in plans {
            while running.len() >= at_a_time {
                self.take(running.join_next().await)?;
            }
            self.plan(plan.clone());
            running.spawn(async move { play(gateway, &plan).await });
        }
        while !running.is_empty() {
            self.take(running.join_next().await)?;
        }
        Ok(())
    }

    fn take(&mut self, told: Option<Result<Told, tokio::task::JoinError>>) -> Result<()> {
        if let Some(told) = told {
            let told = told?;
            self.told.insert(told.number, told);
        }
        Ok(())
    }

    /// Plays one.
    pub(super) async fn one(&mut self, lab: &Lab, plan: &Plan) -> Outcome {
        self.plan(plan.clone());
        let told = play(lab.gateway, plan).await;
        let outcome = told.outcome.clone();
        self.told.insert(told.number, told);
        outcome
    }

    /// This one will be played.
    pub(super) fn plan(&mut self, plan: Plan) {
        let most = plan.most();
        self.plans.insert(plan.number, Planned { plan, most });
    }

    /// Something came into a bucket that nobody put in.
    pub(super) fn came(&mut self, bucket: u64, amount: u64) {
        *self.by_hand.entry(bucket).or_default() += amount;
    }

    /// Those that were told since a number.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = &Told> {
        self.told.range(number..).map(|(_, told)| told)
    }

    /// What is known of each request without the gateway.
    fn known(&self, lab: &Lab) -> (BTreeMap<u64, Known>, bool) {
        let mut quiet = true;
        let mut known: BTreeMap<u64, Known> = self
            .plans
            .iter()
            .map(|(number, planned)| {
                let known = Known {
                    most: planned.most.clone(),
                    quotas: quotas_of(planned.plan.model).collect(),
                    ..Known::default()
                };
                (*number, known)
            })
            .collect();
        for entry in lab.mock.entries(0, usize::MAX) {
            quiet &= entry.ended != Ending::Running;
            let number = entry.id.as_deref().and_then(|id| id.parse().ok());
            let Some(number) = number else { continue };
            if let (Some(known), Some(planned)) = (known.get_mut(&number), self.plans.get(&number)) {
                known.served = true;
                known.used = planned.plan.used(&entry);
            }
        }
        (known, quiet)
    }

    fn refills(&self, accounts: &[Account]) -> BTreeMap<u64, Refill> {
        let elapsed_us = client::unix_us().saturating_sub(self.begun_us);
        let came = u128::from(self.pot_a_minute) * u128::from(elapsed_us) / 60_000_000;
        let refill = |account: &Account| {
            let by_hand = self.by_hand.get(&account.id).copied().unwrap_or(0);
            let pot = account.quota == POT && account.unit == Unit::Usd;
            let came = if pot {
                u64::try_from(came).unwrap_or(u64::MAX)
            } else {
                0
            };
            Refill {
                least: by_hand,
                // What was not full at a moment may have been a rounding short of it.
                most: by_hand.saturating_add(came),
            }
        };
        accounts
            .iter()
            .map(|account| (account.id, refill(account)))
            .collect()
    }

    /// How much a bucket may be charged beyond what there was: nothing where the most was reserved, else what could run
    /// at once, all of it the dearest.
    fn beyond(&self, mode: Mode, accounts: &[Account]) -> BTreeMap<u64, u64> {
        if mode == Mode::Strict {
            return BTreeMap::new();
        }
        let edges = self
            .told
            .values()
            .flat_map(|told| [(told.begun_us, 1_i64), (told.ended_us, -1)]);
        let mut edges: Vec<(u64, i64)> = edges.collect();
        edges.sort_unstable_by_key(|(at, step)| (*at, -step));
        let (mut running, mut together) = (0_i64, 0_i64);
        for (_, step) in edges {
            running += step;
            together = together.max(running);
        }
        let most = |unit| {
            let each = self.plans.values().map(|planned| planned.most(unit));
            each.max().unwrap_or(0)
        };
        let (money, tokens) = (most(Unit::Usd), most(Unit::Tokens));
        let together = u64::try_from(together).unwrap_or(0);
        let beyond = |account: &Account| match account.unit {
            Unit::Usd => together * money,
            Unit::Tokens => together * tokens,
            Unit::Requests | Unit::Concurrency => 0,
        };
        accounts
            .iter()
            .map(|account| (account.id, beyond(account)))
            .collect()
    }

    fn compare(&self, lab: &Lab, mode: Mode, accounts: Vec<Account>, records: Vec<Record>) -> Settled {
        let (known, quiet) = self.known(lab);
        let mut faults = Books {
            known: &known,
            records: &records,
            accounts: &accounts,
            refills: &self.refills(&accounts),
            beyond: &self.beyond(mode, &accounts),
        }
        .faults();
        if !quiet {
            faults.push("the provider still serves requests whose clients are done".into());
        }
        // Whoever saw a whole answer has a record that says so.
        let recorded = complete(&records);
        for told in self.told.values() {
            if told.outcome == Outcome::Complete && !recorded.contains(&told.number) {
                faults.push(format!(
                    "the client of request {} has a whole answer, its record has not",
                    told.number
                ));
            }
        }
        // And who was refused by the gateway has one, too.
        let numbers: BTreeSet<u64> = records.iter().map(|record| record.number).collect();
        for told in self.told.values() {
            if matches!(told.outcome, Outcome::Refused { .. }) && !numbers.contains(&told.number) {
                faults.push(format!("request {} was refused and has no record", told.number));
            }
        }
        Settled {
            accounts,
            records,
            faults,
        }
    }

    /// Waits until the books balance, or for as long as anything may take; and until nothing is reserved.
    pub(super) async fn settled(&mut self, lab: &Lab, mode: Mode) -> Result<Settled> {
        let begin = Instant::now();
        loop {
            // First the records: a charge is in both or in none, but a record may come between.
            let records = lab.records().await?;
            let accounts = lab.accounts().await?;
            let mut settled = self.compare(lab, mode, accounts, records);
            let reserved = lab.gauge("sluice_quota_reservations").await?;
            if reserved != Some(0) {
                settled.faults.push(format!(
                    "requests hold reservations when nothing runs: {reserved:?}"
                ));
            }
            if settled.faults.is_empty() || begin.elapsed() > PATIENCE / 4 {
                self.quiet.push(client::unix_us());
                return Ok(settled);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the gateway was being started again while this request ran.
    fn disturbed(&self, told: &Told) -> bool {
        self.kills
            .iter()
            .any(|(_, from, to)| told.ended_us >= *from && told.begun_us <= to.saturating_add(RECONNECT_US))
    }

    /// Whether a killed data plane may still have had something while this request ran: until nothing was reserved.
    fn lease_was_out(&self, told: &Told) -> bool {
        self.kills.iter().any(|(plane, from, _)| {
            *plane == Plane::Data && told.ended_us >= *from && told.begun_us <= self.quiet_after(*from)
        })
    }

    /// The first moment from then on at which nothing was reserved.
    fn quiet_after(&self, at_us: u64) -> u64 {
        let quiet = self.quiet.iter().copied().find(|quiet| *quiet >= at_us);
        quiet.unwrap_or(u64::MAX)
    }

    /// The numbers of those that were refused although the pot would have sufficed.
    fn refused_falsely(&self, settled: &Settled) -> Vec<u64> {
        let Some(account) = settled.account(POT, Unit::Usd) else {
            return Vec::new();
        };
        let charged: BTreeMap<u64, u64> = settled
            .records
            .iter()
            .map(|record| {
                let ours = record.charges.iter().filter(|charge| charge.bucket == account.id);
                (record.number, ours.map(|charge| charge.amount).sum())
            })
            .collect();
        let asks: Vec<Ask> = self
            .told
            .values()
            .filter_map(|told| {
                let planned = self.plans.get(&told.number)?;
                quotas_of(planned.plan.model).find(|name| *name == POT)?;
                let quiet_us = self.quiet_after(told.ended_us);
                Some(Ask {
                    number: told.number,
                    begun_us: told.begun_us,
                    ended_us: told.ended_us,
                    settled_us: match told.outcome {
                        // Nobody knows how long the gateway took to notice.
                        Outcome::Broken(_) | Outcome::Left => quiet_us,
                        Outcome::Complete | Outcome::Refused { .. } => {
                            quiet_us.min(told.ended_us.saturating_add(SETTLE_US))
                        }
                    },
                    need: planned.most(Unit::Usd),
                    charged: charged.get(&told.number).copied().unwrap_or(0),
                    refused: told.over_budget(),
                })
            })
            .collect();
        // Only what was there from the beginning: when a refill came is not known so well.
        false_refusals(account.capacity, &asks)
    }

    /// Writes into the row what the waves showed, and what was not as it must be.
    pub(super) fn judge(&self, row: &mut Row, mode: Mode, settled: &Settled) {
        let count =
            |outcome: fn(&Outcome) -> bool| self.told.values().filter(|told| outcome(&told.outcome)).count();
        row.figure("requests", self.told.len());
        row.figure("whole", count(|outcome| *outcome == Outcome::Complete));
        row.figure("left", count(|outcome| *outcome == Outcome::Left));
        row.figure(
            "refused over budget",
            self.told.values().filter(|told| told.over_budget()).count(),
        );
        row.figure(
            "broken by kills",
            count(|outcome| matches!(outcome, Outcome::Broken(_))),
        );
        for told in self.told.values() {
            let accident = match &told.outcome {
                Outcome::Complete | Outcome::Left => false,
                Outcome::Refused { status, .. } => *status != 429,
                Outcome::Broken(_) => true,
            };
            if accident && !self.disturbed(told) {
                row.faults
                    .push(format!("request {}: {:?}", told.number, told.outcome));
            }
        }
        let (in_kills, falsely): (Vec<u64>, Vec<u64>) =
            self.refused_falsely(settled).into_iter().partition(|number| {
                let told = self.told.get(number);
                told.is_some_and(|told| self.lease_was_out(told))
            });
        row.figure("refused falsely", falsely.len());
        row.figure("refused while a dead plane's lease was out", in_kills.len());
        row.demand(falsely.is_empty(), || format!("refused falsely: {falsely:?}"));
        if let Some(account) = settled.account(POT, Unit::Usd) {
            row.figure("capacity", account.capacity);
            row.figure("charged", account.charged);
            row.figure("balance", account.balance);
            let beyond = self.beyond(mode, &settled.accounts);
            row.figure("allowed beyond", beyond.get(&account.id).copied().unwrap_or(0));
            let sums = charged_by_ending(&settled.records, account.id);
            let sums: Vec<String> = sums
                .iter()
                .map(|(ending, (count, sum))| format!("{ending} {count} ({sum})"))
                .collect();
            row.figure("records (charged)", sums.join(", "));
        }
        faults(row, settled);
    }
}

/// The faults of the books, the first of them.
pub(super) fn faults(row: &mut Row, settled: &Settled) {
    row.faults
        .extend(settled.faults.iter().take(FAULTS_SHOWN).cloned());
    if let Some(more) = settled.faults.len().checked_sub(FAULTS_SHOWN + 1) {
        row.faults.push(format!("and {} more", more + 1));
    }
}
