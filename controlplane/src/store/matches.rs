//! Whether a record that has just come is one that a query wants: what a list says of stored records, for the live tail.

use sluice_shared::usage::UsageRecord;

use super::RequestQuery;

impl RequestQuery {
    /// Whether the query wants the record, wherever its page begins and ends.
    pub(crate) fn matches(&self, record: &UsageRecord) -> bool {
        // Every field by name: one that is added must be thought of here.
        let Self {
            since,
            until,
            filter,
            after: _,
            limit: _,
        } = self;
        since.is_none_or(|since| record.time >= since)
            && until.is_none_or(|until| record.time < until)
            && filter.matches(record)
    }
}
