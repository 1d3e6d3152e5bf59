//! What the requests of a minute have of what lists are filtered by: one row a minute (table `zones`).
//!
//! A list whose filter few requests pass reads only minutes in which somebody may pass it. A row costs a batch one
//! upsert, whatever the minute holds, and a year of them is read in a moment. It may say more of its minute than is so
//! (after an amendment, or if two conditions are met by different requests), never less.

use std::collections::BTreeMap;

use rusqlite::Connection;
use sluice_shared::api::ApiKind;
use sluice_shared::usage::{Action, Capture, Ended, UsageRecord};

use super::StoreError;
use super::detail::int;
use super::filter::{Failure, Filter, Judgement};
use super::rollup::is_error;

/// Seconds of a zone.
pub(super) const SECONDS: u64 = 60;

/// Bits of `flags`, by enumerations whose order is part of the file's layout.
const ENDED_AT: u32 = 0;
const STREAM_AT: u32 = 8;
const TOOLS_AT: u32 = 10;
const CAPTURE_AT: u32 = 12;
const ACTION_AT: u32 = 16;
const VERDICT_AT: u32 = 24;
const ERROR_AT: u32 = 25;
const PRICED_AT: u32 = 26;

fn ended(ended: Ended) -> u64 {
    1 << (ENDED_AT + ended as u32)
}

fn stream(stream: bool) -> u64 {
    1 << (STREAM_AT + u32::from(stream))
}

fn tools(tools: bool) -> u64 {
    1 << (TOOLS_AT + u32::from(tools))
}

fn capture(capture: Capture) -> u64 {
    1 << (CAPTURE_AT + capture as u32)
}

fn action(action: Action) -> u64 {
    1 << (ACTION_AT + action as u32)
}

fn api(api: ApiKind) -> u64 {
    1 << (api as u32)
}

/// What a row holds, or what is asked of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Zone {
    /// A bit for each wire format.
    apis: u64,
    flags: u64,
    /// Largest cost, in nanodollars, and longest duration.
    cost: u64,
    duration_us: u64,
}

impl Zone {
    fn of(r: &UsageRecord) -> Self {
        let mut flags = ended(r.ended) | stream(r.stream) | tools(r.tool_calls > 0) | capture(r.capture);
        for verdict in &r.verdicts {
            flags |= action(verdict.action) | 1 << VERDICT_AT;
        }
        if is_error(r.status, r.ended) {
            flags |= 1 << ERROR_AT;
        }
        if r.cost.is_some() {
            flags |= 1 << PRICED_AT;
        }
        Self {
            apis: api(r.api),
            flags,
            cost: r.cost.map_or(0, |cost| cost.0),
            duration_us: r.duration_us,
        }
    }

    fn add(&mut self, more: Self) {
        self.apis |= more.apis;
        self.flags |= more.flags;
        self.cost = self.cost.max(more.cost);
        self.duration_us = self.duration_us.max(more.duration_us);
    }

    /// What a minute must have for a record that passes the filter; `None` if every minute may hold one.
    pub(super) fn asked(filter: &Filter) -> Option<Self> {
        let mut flags = 0;
        let mut need = |bits: Option<u64>| flags |= bits.unwrap_or(0);
        need(filter.ended.map(ended));
        need(filter.stream.map(stream));
        need(filter.tools.map(tools));
        need(filter.capture.map(capture));
        need(filter.verdict.map(|wanted| match wanted {
            Judgement::Any => 1 << VERDICT_AT,
            Judgement::Of(of) => action(of),
        }));
        need(filter.rule.as_ref().map(|_| 1 << VERDICT_AT));
        need(
            filter
                .error
                .as_ref()
                .and_then(|error| (*error == Failure::Any).then_some(1 << ERROR_AT)),
        );
        need(filter.cost_min.map(|_| 1 << PRICED_AT));
        let asked = Self {
            apis: filter.api.map_or(0, api),
            flags,
            cost: filter.cost_min.unwrap_or(0),
            duration_us: filter.duration_min_us.unwrap_or(0),
        };
        (asked != Self::default()).then_some(asked)
    }

    /// The newest minute up to one that has all of this.
    pub(super) fn newest(
        &self,
        connection: &Connection,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, StoreError> {
        let mut select = connection.prepare_cached(
            "SELECT minute FROM zones WHERE minute BETWEEN ?1 AND ?2 AND apis & ?3 = ?3 AND flags & ?4 = ?4 \
             AND cost >= ?5 AND duration_us >= ?6 ORDER BY minute DESC LIMIT 1",
        )?;
        let mut rows = select.query([
            from,
            to,
            int(self.apis),
            int(self.flags),
            int(self.cost),
            int(self.duration_us),
        ])?;
        Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
    }
}

/// Zones of a batch.
#[derive(Default)]
pub(super) struct Zones(BTreeMap<u64, Zone>);

impl Zones {
    /// A record that was inserted, or is otherwise than when it was.
    pub(super) fn add(&mut self, r: &UsageRecord) {
        let minute = super::rollup::second(r.time) / SECONDS;
        self.0.entry(minute).or_default().add(Zone::of(r));
    }

    /// Belongs to the transaction of the connection.
    pub(super) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut upsert = connection.prepare_cached(
            "INSERT INTO zones (minute,apis,flags,cost,duration_us) VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET \
             apis = apis | excluded.apis, flags = flags | excluded.flags, cost = max(cost, excluded.cost), \
             duration_us = max(duration_us, excluded.duration_us)",
        )?;
        for (minute, zone) in &self.0 {
            upsert.execute([
                int(*minute),
                int(zone.apis),
                int(zone.flags),
                int(zone.cost),
                int(zone.duration_us),
            ])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_conditions_share_a_bit() {
        let mut bits = Vec::new();
        bits.extend(Ended::ALL.iter().map(|it| ended(*it)));
        bits.extend([stream(false), stream(true), tools(false), tools(true)]);
        bits.extend(Capture::ALL.iter().map(|it| capture(*it)));
        bits.extend(Action::ALL.iter().map(|it| action(*it)));
        bits.extend([1 << VERDICT_AT, 1 << ERROR_AT, 1 << PRICED_AT]);
        let all = bits.iter().fold(0u64, |all, bit| {
            assert_eq!(all & bit, 0);
            all | bit
        });
        assert_eq!(usize::try_from(all.count_ones()).unwrap(), bits.len());
        assert!(
            ApiKind::ALL.len() < 63 && all < 1 << 62,
            "they fit a signed number"
        );
    }
}
