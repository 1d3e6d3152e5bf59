//! The books: what the provider served, what the gateway recorded, what its buckets say.
//!
//! The rules, each a fault where it is broken:
//! 1. what reached the provider has exactly one record, and nothing has two;
//! 2. a record of a whole answer charges what the provider's own account says, in every bucket that counts for it;
//! 3. a refused request charges nothing and never reached the provider;
//! 4. any other record (left, broken, aborted) charges at most what its request could cost;
//! 5. what a bucket has charged is the sum over the records;
//! 6. balance = capacity + refill − charged;
//! 7. charged ≤ capacity + refill + what running requests may use beyond their reservations.

use std::collections::{BTreeMap, BTreeSet};

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Usd,
    Tokens,
    Requests,
    Concurrency,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Usd, Self::Tokens, Self::Requests, Self::Concurrency];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
            Self::Concurrency => "concurrency",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.name() == name)
    }
}

/// A bucket as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) quota: String,
    pub(super) bucket: String,
    pub(super) unit: Unit,
    pub(super) capacity: u64,
    pub(super) balance: i64,
    pub(super) charged: u64,
}

/// What a record says was taken from a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) bucket: u64,
    pub(super) unit: Unit,
    pub(super) amount: u64,
}

/// A record of the gateway.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) ended: String,
    pub(super) status: u64,
    pub(super) cost: Option<u64>,
    pub(super) charges: Vec<Charge>,
}

/// What is known of a request without the gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// It reached the provider.
    pub(super) served: bool,
    /// What its answer cost and counted, by the provider's own account; of a whole answer.
    pub(super) used: BTreeMap<Unit, u64>,
    /// The most that it may be charged.
    pub(super) most: BTreeMap<Unit, u64>,
    /// Names of the quotas that count for it.
    pub(super) quotas: Vec<&'static str>,
}

/// What came into a bucket beside what it began with: at least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refill {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Everything that is compared.
pub(super) struct Books<'a> {
    pub(super) known: &'a BTreeMap<u64, Known>,
    pub(super) records: &'a [Record],
    pub(super) accounts: &'a [Account],
    /// By bucket; none: nothing came in.
    pub(super) refills: &'a BTreeMap<u64, Refill>,
    /// By bucket: what may be charged beyond what was there.
    pub(super) beyond: &'a BTreeMap<u64, u64>,
}

impl Books<'_> {
    /// Every place where a rule is broken, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.each_once(&mut faults);
        for record in self.records {
            self.charges(record, &mut faults);
        }
        for account in self.accounts {
            self.account(account, &mut faults);
        }
        faults
    }

    fn each_once(&self, faults: &mut Vec<String>) {
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for record in self.records {
            *counts.entry(record.number).or_default() += 1;
        }
        for (number, count) in &counts {
            if *count > 1 {
                faults.push(format!("request {number} has {count} records"));
            }
        }
        for (number, known) in self.known {
            if known.served && !counts.contains_key(number) {
                faults.push(format!("request {number} reached the provider and has no record"));
            }
        }
    }

    fn charges(&self, record: &Record, faults: &mut Vec<String>) {
        let number = record.number;
        let Some(known) = self.known.get(&number) else {
            faults.push(format!("a record of request {number}, which nobody sent"));
            return;
        };
        let ended = record.ended.as_str();
        if ended == "blocked" {
            if known.served || !record.charges.is_empty() {
                faults.push(format!(
                    "request {number} was refused; at the provider: {}, charges {:?}",
                    known.served, record.charges
                ));
            }
            return;
        }
        if ended == "complete" && record.status == 200 {
            let expected = self.expected(known);
            let charged: BTreeMap<u64, u64> = record.charges.iter().map(|c| (c.bucket, c.amount)).collect();
            let cost = known.used.get(&Unit::Usd).copied();
            if charged != expected || charged.len() != record.charges.len() {
                faults.push(format!(
                    "request {number} is complete and charges {:?}, by the provider's account {expected:?}",
                    record.charges
                ));
            }
            if cost.is_some_and(|cost| cost > 0) && record.cost != cost {
                faults.push(format!(
                    "request {number} cost {:?}, by the provider's account {cost:?}",
                    record.cost
                ));
            }
            return;
        }
        for charge in &record.charges {
            let most = known.most.get(&charge.unit).copied().unwrap_or(0);
            if charge.amount > most {
                faults.push(format!(
                    "request {number} ended as {ended} and charges {} {}; it could use {most}",
                    charge.amount,
                    charge.unit.name()
                ));
            }
        }
    }

    /// What a whole answer charges in which bucket.
    fn expected(&self, known: &Known) -> BTreeMap<u64, u64> {
        self.accounts
            .iter()
            .filter(|account| known.quotas.contains(&account.quota.as_str()))
            .filter_map(|account| Some((account.id, *known.used.get(&account.unit)?)))
            .filter(|(_, amount)| *amount > 0)
            .collect()
    }

    /// Sum of what the records charge to a bucket.
    pub(super) fn recorded(&self, account: &Account) -> u64 {
        let charges = self.records.iter().flat_map(|record| &record.charges);
        charges
            .filter(|charge| charge.bucket == account.id && charge.unit == account.unit)
            .map(|charge| charge.amount)
            .sum()
    }

    fn account(&self, account: &Account, faults: &mut Vec<String>) {
        let name = format!("{} ({})", account.bucket, account.unit.name());
        let recorded = self.recorded(account);
        if recorded != account.charged {
            faults.push(format!(
                "{name}: charged {}, the records say {recorded}",
                account.charged
            ));
        }
        let refill = self.refills.get(&account.id).copied().unwrap_or_default();
        let after = |came: u64| i128::from(account.capacity) + i128::from(came) - i128::from(account.charged);
        let balance = i128::from(account.balance);
        if balance < after(refill.least) || balance > after(refill.most) {
            faults.push(format!(
                "{name}: balance {balance}; by capacity {}, charges {} and refill it is {} to {}",
                account.capacity,
                account.charged,
                after(refill.least),
                after(refill.most)
            ));
        }
        let beyond = self.beyond.get(&account.id).copied().unwrap_or(0);
        let over = -after(refill.most);
        if over > i128::from(beyond) {
            faults.push(format!(
                "{name}: charged {}, {over} more than there was, {beyond} more are allowed",
                account.charged
            ));
        }
    }
}

/// Charges of records that ended like this in one bucket.
pub(super) fn charged_by_ending(records: &[Record], bucket: u64) -> BTreeMap<String, (usize, u64)> {
    let mut sums: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for record in records {
        let sum = sums.entry(record.ended.clone()).or_default();
        sum.0 += 1;
        sum.1 += record
            .charges
            .iter()
            .filter(|charge| charge.bucket == bucket)
            .map(|charge| charge.amount)
            .sum::<u64>();
    }
    sums
}

/// Numbers of requests that are recorded as complete.
pub(super) fn complete(records: &[Record]) -> BTreeSet<u64> {
    let complete = records
        .iter()
        .filter(|record| record.ended == "complete" && record.status == 200);
    complete.map(|record| record.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, ended: &str, amount: u64) -> Record {
        let charges = [(1, Unit::Usd, amount), (2, Unit::Requests, 1)];
        Record {
            number,
            ended: ended.into(),
            status: 200,
            cost: Some(amount),
            charges: charges
                .into_iter()
                .filter(|_| amount > 0)
                .map(|(bucket, unit, amount)| Charge { bucket, unit, amount })
                .collect(),
        }
    }

    fn account(id: u64, unit: Unit, capacity: u64, charged: u64) -> Account {
        Account {
            id,
            quota: "pot".into(),
            bucket: "pot".into(),
            unit,
            capacity,
            balance: i64::try_from(capacity).unwrap() - i64::try_from(charged).unwrap(),
            charged,
        }
    }

    struct World {
        known: BTreeMap<u64, Known>,
        records: Vec<Record>,
        accounts: Vec<Account>,
        refills: BTreeMap<u64, Refill>,
        beyond: BTreeMap<u64, u64>,
    }

    /// 1 whole, 2 left, 3 refused.
    fn world() -> World {
        let known = |served| Known {
            served,
            used: [(Unit::Usd, 60), (Unit::Requests, 1)].into(),
            most: [(Unit::Usd, 90), (Unit::Requests, 1)].into(),
            quotas: vec!["pot"],
        };
        World {
            known: [(1, known(true)), (2, known(true)), (3, known(false))].into(),
            records: vec![
                record(1, "complete", 60),
                record(2, "client_gone", 30),
                record(3, "blocked", 0),
            ],
            accounts: vec![account(1, Unit::Usd, 100, 90), account(2, Unit::Requests, 10, 2)],
            refills: BTreeMap::new(),
            beyond: BTreeMap::new(),
        }
    }

    fn faults(world: &World) -> Vec<String> {
        Books {
            known: &world.known,
            records: &world.records,
            accounts: &world.accounts,
            refills: &world.refills,
            beyond: &world.beyond,
        }
        .faults()
    }

    #[test]
    fn right_books_have_no_fault() {
        assert_eq!(faults(&world()), Vec::<String>::new());
        let world = world();
        assert_eq!(
            charged_by_ending(&world.records, 1).get("client_gone"),
            Some(&(1, 30))
        );
        assert_eq!(complete(&world.records), [1].into());
    }

    #[test]
    fn each_rule_has_teeth() {
        fn check(word: &str, change: impl Fn(&mut World)) {
            let mut world = world();
            change(&mut world);
            let faults = faults(&world);
            assert!(
                faults.iter().any(|fault| fault.contains(word)),
                "{word}: {faults:?}"
            );
        }
        check("has no record", |w| drop(w.records.remove(1)));
        check("has 2 records", |w| w.records.push(record(2, "aborted", 0)));
        check("nobody sent", |w| w.records.push(record(9, "complete", 60)));
        check("by the provider's account", |w| {
            w.records[0].charges[0].amount = 61;
        });
        check("by the provider's account", |w| w.records[0].charges.truncate(1));
        check("by the provider's account", |w| {
            let twice = w.records[0].charges[0];
            w.records[0].charges.push(twice);
        });
        check("cost Some(7)", |w| w.records[0].cost = Some(7));
        check("was refused", |w| w.records[2] = record(3, "blocked", 5));
        check("was refused", |w| w.known.get_mut(&3).unwrap().served = true);
        check("it could use 90", |w| w.records[1].charges[0].amount = 91);
        check("the records say 90", |w| w.accounts[0].charged = 89);
        check("balance 11", |w| w.accounts[0].balance = 11);
        check("more than there was", |w| {
            w.accounts[0].capacity = 89;
            w.accounts[0].balance = -1;
        });
    }

    #[test]
    fn refills_and_the_stated_excess_are_allowed() {
        let mut world = world();
        world.accounts[0].capacity = 80;
        world.accounts[0].balance = -5;
        world.refills.insert(1, Refill { least: 3, most: 6 });
        world.beyond.insert(1, 4);
        assert_eq!(faults(&world), Vec::<String>::new());
        world.beyond.insert(1, 3);
        assert_eq!(faults(&world).len(), 1, "{:?}", faults(&world));
        world.beyond.insert(1, 4);
        world.accounts[0].balance = -3;
        assert_eq!(faults(&world).len(), 1, "{:?}", faults(&world));
    }
}
