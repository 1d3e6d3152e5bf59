//! Lists of people that are sorted by what somebody asks for, and their pages: the cursor is the number of the last entry,
//! whose place is looked up anew, so that a page goes on where the one before ended, whatever has changed since.

use std::cmp::Ordering;

use super::parameters::Parameters;
use super::problem::Problem;
use crate::store::people::PersonRow;

/// Entries of a page, unless asked otherwise, and at most.
const LIMIT: (u32, u32) = (100, 1_000);

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Cost,
    Requests,
    Tokens,
    Errors,
    Days,
    First,
    Last,
    Login,
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Errors => "errors",
            Self::Days => "days",
            Self::First => "first",
            Self::Last => "last",
            Self::Login => "login",
        }
    }
}

/// An entry of such a list.
pub(super) trait Entry {
    fn person(&self) -> &PersonRow;
    /// Days with a request.
    fn days(&self) -> u64 {
        0
    }
}

impl Entry for PersonRow {
    fn person(&self) -> &PersonRow {
        self
    }
}

/// How a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    sort: Sort,
    descending: bool,
    search: Option<String>,
    limit: usize,
    after: Option<u32>,
}

impl Wanted {
    /// The parameters of a list.
    pub(super) const PARAMETERS: [&str; 5] = ["sort", "order", "search", "limit", "cursor"];

    /// Reads them, where the list may be sorted by `sorts`.
    pub(super) fn read(parameters: &Parameters, sorts: &[Sort], default: Sort) -> Result<Self, Problem> {
        let sort = parameters.word("sort", sorts, Sort::name)?.unwrap_or(default);
        let descending = match parameters.text("order") {
            None => sort != Sort::Login,
            Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(Problem::bad_parameter("order", "must be desc or asc")),
        };
        let limit = parameters.number("limit", 1, LIMIT.1, LIMIT.0)?;
        let after = parameters.text("cursor").map(|text| {
            text.parse()
                .ok()
                .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| Problem::bad_parameter("cursor", "is not one that this API gave"))
        });
        Ok(Self {
            sort,
            descending,
            search: parameters.text("search").map(str::to_lowercase),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            after: after.transpose()?,
        })
    }

    /// Sorts what is searched for.
    pub(super) fn all<T: Entry>(&self, mut entries: Vec<T>) -> Vec<T> {
        if let Some(search) = &self.search {
            entries.retain(|entry| entry.person().login.to_lowercase().contains(search));
        }
        entries.sort_by(|a, b| {
            let order = self.compare(a, b);
            let order = if self.descending { order.reverse() } else { order };
            // Every entry has one place, whatever it shares with others.
            order.then_with(|| a.person().number.cmp(&b.person().number))
        });
        entries
    }

    fn compare(&self, a: &impl Entry, b: &impl Entry) -> Ordering {
        let (x, y) = (a.person(), b.person());
        let tokens = |p: &PersonRow| p.totals.input.saturating_add(p.totals.output);
        match self.sort {
            Sort::Cost => x.totals.cost_nanousd.cmp(&y.totals.cost_nanousd),
            Sort::Requests => x.totals.requests.cmp(&y.totals.requests),
            Sort::Tokens => tokens(x).cmp(&tokens(y)),
            Sort::Errors => x.totals.errors.cmp(&y.totals.errors),
            Sort::Days => a.days().cmp(&b.days()),
            Sort::First => x.first.cmp(&y.first),
            Sort::Last => x.last.cmp(&y.last),
            Sort::Login => x.login.cmp(&y.login),
        }
    }

    /// The page of a sorted list, and the cursor of the next one.
    pub(super) fn page<'a, T: Entry>(&self, entries: &'a [T]) -> (&'a [T], Option<String>) {
        let from = match self.after {
            None => 0,
            // Whoever is gone from the list ends it.
            Some(after) => entries
                .iter()
                .position(|entry| entry.person().number == after)
                .map_or(entries.len(), |at| at + 1),
        };
        let rest = entries.get(from..).unwrap_or_default();
        let page = rest.get(..self.limit).unwrap_or(rest);
        let next = page.last().filter(|_| rest.len() > page.len());
        (page, next.map(|entry| entry.person().number.to_string()))
    }
}
