//! Which rollups add up to a stretch of time: whole days where they fit, hours and minutes towards the edges, single
//! records for what is left. So a year costs as little to sum as its number of days, and no edge is rounded.

/// Where a part of the sum is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The records themselves.
    Raw,
    Minute,
    Hour,
    Day,
}

impl Level {
    pub(crate) const ROLLUPS: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Length of a bucket in seconds.
    pub(crate) const fn seconds(self) -> u64 {
        match self {
            Self::Raw => 0,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    const fn finer(self) -> Self {
        match self {
            Self::Day => Self::Hour,
            Self::Hour => Self::Minute,
            Self::Minute | Self::Raw => Self::Raw,
        }
    }
}

/// A stretch of time, in Unix microseconds, `to` not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) level: Level,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Covers `from..to` exactly once, with buckets no longer than `longest`. At most seven parts, in order of time.
pub(crate) fn cover(from: u64, to: u64, longest: Level) -> Vec<Part> {
    let mut out = Vec::new();
    split(from, to, longest, &mut out);
    out
}

fn split(from: u64, to: u64, level: Level, out: &mut Vec<Part>) {
    if from >= to {
        return;
    }
    let width = level.seconds() * 1_000_000;
    if width == 0 {
        out.push(Part { level, from, to });
        return;
    }
    let first = from.div_ceil(width).saturating_mul(width);
    let last = to / width * width;
    if first >= last {
        return split(from, to, level.finer(), out);
    }
    split(from, first, level.finer(), out);
    out.push(Part {
        level,
        from: first,
        to: last,
    });
    split(last, to, level.finer(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_is_covered_once_with_whole_buckets() {
        const HOUR: u64 = 3_600_000_000;
        let mut seed = 88_172_645_463_325_252u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..20_000 {
            let from = random(100 * 24 * HOUR);
            let length =
                [random(2_000_000), random(HOUR), random(300 * HOUR)][usize::try_from(random(3)).unwrap()];
            let to = from + length;
            for longest in [Level::Raw, Level::Minute, Level::Hour, Level::Day] {
                let parts = cover(from, to, longest);
                assert!(parts.len() <= 7);
                let mut at = from;
                for part in &parts {
                    assert_eq!(part.from, at, "{parts:?}");
                    assert!(part.to > part.from && part.level <= longest);
                    if part.level != Level::Raw {
                        let width = part.level.seconds() * 1_000_000;
                        assert_eq!((part.from % width, part.to % width), (0, 0));
                    }
                    at = part.to;
                }
                assert_eq!(at, to.max(from));
                let raw: u64 = parts
                    .iter()
                    .filter(|p| p.level == Level::Raw)
                    .map(|p| p.to - p.from)
                    .sum();
                assert!(
                    longest == Level::Raw || raw < 120_000_000,
                    "records are read for the edges only"
                );
            }
        }
        assert!(cover(0, i64::MAX.unsigned_abs(), Level::Day).len() <= 7);
        assert_eq!(cover(0, u64::MAX, Level::Day).first().map(|p| p.from), Some(0));
        assert_eq!(cover(5, 5, Level::Day), []);
    }
}
