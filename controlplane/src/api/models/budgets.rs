//! Which budgets a call of a model would be charged to, and what is in them.

use std::collections::HashMap;

use serde_json::{Value, json};
use sluice_shared::quota::Terms;
use sluice_shared::quota::name::{Placeholder, Values};
use sluice_shared::quota::{Unit, unsigned};

use super::super::problem::Problem;
use super::super::quotas::percent_used;
use super::Look;
use crate::store::{BucketQuery, BucketRow};

/// Buckets that are looked up for one answer.
const BUCKETS_MAX: usize = 256;
/// Buckets of one name: one for each unit.
const BUCKETS_MAX_OF_ONE: u32 = 4;

/// Buckets that were looked up, by quota and name.
#[derive(Default)]
pub(super) struct Budgets {
    known: HashMap<(String, String), Vec<BucketRow>>,
}

impl Budgets {
    /// The buckets of the caller that count for a model of a provider. Those of sessions depend on the session.
    pub(super) async fn of(
        &mut self,
        look: &Look<'_>,
        provider: &str,
        model: &str,
    ) -> Result<Vec<Value>, Problem> {
        let mut out = Vec::new();
        for counting in look.rules.counting(&look.granted, provider, model) {
            let Some(budget) = counting.budget.and_then(|at| look.rules.budget(at)) else {
                continue;
            };
            let mut fields = budget.template.placeholders();
            if fields.any(|field| field == Placeholder::Session) {
                continue;
            }
            let values = Values {
                user: &look.proven.login,
                node: &look.proven.node,
                group: "",
                model,
                provider,
                session: None,
            };
            let (mut names, mut scratch) = (Vec::new(), String::new());
            budget.names(&look.proven.groups, values, &mut scratch, |name| {
                names.push(name.to_owned());
            });
            for name in names {
                let rows = self.rows(look, counting.name, &name).await?;
                for limit in &budget.quota.limits {
                    let row = rows.and_then(|rows| rows.iter().find(|row| row.bucket.unit == limit.unit));
                    let (terms, balance) = match row {
                        Some(row) => (row.account.terms, Some(row.account.balance)),
                        // Nobody has asked for it yet: it is full.
                        None => (limit.terms, rows.map(|_| limit.terms.ceiling())),
                    };
                    out.push(bucket(counting.name, &name, limit.unit, &terms, balance));
                }
            }
        }
        Ok(out)
    }

    /// What the store knows of a name; `None`: not looked up any more.
    async fn rows(
        &mut self,
        look: &Look<'_>,
        quota: &str,
        name: &str,
    ) -> Result<Option<&[BucketRow]>, Problem> {
        let key = (quota.to_owned(), name.to_owned());
        if !self.known.contains_key(&key) {
            if self.known.len() >= BUCKETS_MAX {
                return Ok(None);
            }
            let query = BucketQuery {
                quota: Some(quota.to_owned()),
                name: Some(name.to_owned()),
                limit: BUCKETS_MAX_OF_ONE,
                ..BucketQuery::default()
            };
            let rows = look.shown.store.buckets(&query, look.shown.ledger.now()).await?;
            self.known.insert(key.clone(), rows);
        }
        Ok(self.known.get(&key).map(Vec::as_slice))
    }
}

fn bucket(quota: &str, name: &str, unit: Unit, terms: &Terms, balance: Option<i64>) -> Value {
    debug_assert!(
        unsigned(terms.ceiling()) <= terms.capacity,
        "a ceiling is a capacity"
    );
    json!({
        "quota": quota,
        "bucket": name,
        "unit": unit.name(),
        "balance": balance,
        "capacity": terms.capacity,
        "percent_used": balance.map(|balance| percent_used(terms, balance)),
    })
}
