//! Whether a record that has just come is one that a query wants: what SQL says of stored records, for the live tail.

use sluice_shared::usage::UsageRecord;

use super::RequestQuery;

impl RequestQuery {
    /// Whether the query wants the record, wherever its page begins and ends.
    pub(crate) fn matches(&self, record: &UsageRecord) -> bool {
        // Every field by name: one that is added must be thought of here.
        let Self {
            since,
            until,
            user,
            model,
            provider,
            status,
            after: _,
            limit: _,
        } = self;
        let is_model = |name: &String| {
            record.model_asked == *name || record.model_answered.as_deref() == Some(name.as_str())
        };
        since.is_none_or(|since| record.time >= since)
            && until.is_none_or(|until| record.time < until)
            && user.as_ref().is_none_or(|user| record.user == *user)
            && model.as_ref().is_none_or(is_model)
            && provider
                .as_ref()
                .is_none_or(|provider| record.provider == *provider)
            && status.is_none_or(|(low, high)| (low..=high).contains(&record.status))
    }
}
