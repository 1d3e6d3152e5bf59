//! What a request is charged that its process did not survive.
//!
//! Its draft says what was reserved. Nobody knows what the provider did after the death, so a reservation stands for what
//! is not known; what is known counts.

use sluice_shared::quota::{Charge, Unit};
use sluice_shared::usage::UsageRecord;

/// Turns reservations into charges: the cost and the tokens where they are known, else what was reserved for them; a
/// request that was sent counts as one; one that runs no more occupies nothing.
pub(crate) fn settle(record: &mut UsageRecord) {
    let usage = &record.usage;
    let (input, output) = (usage.input, usage.output);
    let tokens = input
        .zip(output)
        .map(|(input, output)| input.saturating_add(output))
        .or(usage.total);
    // One of two counts is the least that it can have been.
    let least = input.or(output).unwrap_or(0);
    let cost = record.cost;
    let charged = |charge: &Charge| {
        let amount = match charge.unit {
            Unit::Usd => cost.map_or(charge.amount, |cost| cost.0),
            Unit::Tokens => tokens.unwrap_or_else(|| charge.amount.max(least)),
            Unit::Requests => charge.amount,
            Unit::Concurrency => 0,
        };
        Charge { amount, ..*charge }
    };
    let charges: Vec<Charge> = record.charges.iter().map(charged).collect();
    record.charges = charges.into_iter().filter(|charge| charge.amount > 0).collect();
}

#[cfg(test)]
mod tests {
    use sluice_shared::api::ApiKind;
    use sluice_shared::ids::{Epoch, RequestId, ShardId};
    use sluice_shared::units::{NanoUsd, UnixMicros};

    use super::*;

    /// Reserved: 100 of each unit, one request.
    fn check(known: [Option<u64>; 3], cost: Option<u64>, charged: &[(Unit, u64)]) {
        let mut record = UsageRecord::draft(
            RequestId([1; 16]),
            UnixMicros(1),
            ShardId(0),
            Epoch(1),
            ApiKind::OpenAiChat,
        );
        [record.usage.input, record.usage.output, record.usage.total] = known;
        record.cost = cost.map(NanoUsd);
        let reserved = [
            (Unit::Usd, 100),
            (Unit::Tokens, 100),
            (Unit::Requests, 1),
            (Unit::Concurrency, 1),
        ];
        record.charges = reserved
            .into_iter()
            .zip(1..)
            .map(|((unit, amount), bucket)| Charge { bucket, unit, amount })
            .collect();
        let before = record.clone();
        settle(&mut record);
        let found: Vec<(Unit, u64)> = record.charges.iter().map(|c| (c.unit, c.amount)).collect();
        assert_eq!(found, charged, "{known:?} {cost:?}");
        record.charges.clone_from(&before.charges);
        assert_eq!(record, before, "nothing else changes");
    }

    #[test]
    fn what_is_known_counts_and_a_reservation_stands_for_the_rest() {
        use Unit::{Requests, Tokens, Usd};
        check([None; 3], None, &[(Usd, 100), (Tokens, 100), (Requests, 1)]);
        check(
            [Some(30), Some(5), None],
            Some(7),
            &[(Usd, 7), (Tokens, 35), (Requests, 1)],
        );
        check(
            [Some(30), None, None],
            None,
            &[(Usd, 100), (Tokens, 100), (Requests, 1)],
        );
        check(
            [Some(300), None, None],
            Some(900),
            &[(Usd, 900), (Tokens, 300), (Requests, 1)],
        );
        check(
            [None, Some(300), None],
            None,
            &[(Usd, 100), (Tokens, 300), (Requests, 1)],
        );
        check(
            [None, None, Some(44)],
            None,
            &[(Usd, 100), (Tokens, 44), (Requests, 1)],
        );
        check([Some(0), Some(0), None], Some(0), &[(Requests, 1)]);
        check(
            [Some(u64::MAX), Some(1), None],
            Some(u64::MAX),
            &[(Usd, u64::MAX), (Tokens, u64::MAX), (Requests, 1)],
        );
    }
}
