//! A bounded table. What was used since its turn came last stays, the rest goes one by one, oldest first; nothing is
//! ever thrown away all at once.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Places that one insertion looks at in vain at most; bounds what it costs.
const LOOKS_MAX: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Table<K, V> {
    entries: HashMap<K, Place<V>>,
    /// Whose turn it is to go; also holds places that were since removed, which are skipped.
    order: VecDeque<(u64, K)>,
    entries_max: usize,
    stamps: u64,
}

#[derive(Debug)]
struct Place<V> {
    value: V,
    stamp: u64,
    used: bool,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table for at most this many entries (at least 1). Its room is set aside at once, so that no later
    /// insertion has to move everything.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let entries_max = entries_max.max(1);
        Self {
            entries: HashMap::with_capacity(entries_max.saturating_add(1)),
            order: VecDeque::with_capacity(entries_max.saturating_mul(2)),
            entries_max,
            stamps: 0,
        }
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An entry, which counts as used by that. Costs no allocation.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        let place = self.entries.get_mut(key)?;
        place.used = true;
        Some(&mut place.value)
    }

    /// An entry, without counting that as use.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|place| &place.value)
    }

    /// Puts an entry in, in place of one with the same key. Where the table is full, another goes.
    pub fn insert(&mut self, key: K, value: V) {
        if let Some(place) = self.entries.get_mut(&key) {
            place.value = value;
            return;
        }
        self.stamps += 1;
        let stamp = self.stamps;
        let used = false;
        self.entries.insert(key, Place { value, stamp, used });
        self.order.push_back((stamp, key));
        self.make_room();
    }

    fn make_room(&mut self) {
        for look in 0..LOOKS_MAX {
            let full = self.entries.len() > self.entries_max;
            if !full && self.order.len() < self.entries_max.saturating_mul(2) {
                return;
            }
            let Some((stamp, key)) = self.order.pop_front() else {
                return;
            };
            let Some(place) = self.entries.get_mut(&key).filter(|place| place.stamp == stamp) else {
                continue;
            };
            if full && (!place.used || look + 1 == LOOKS_MAX) {
                self.entries.remove(&key);
            } else {
                place.used = place.used && !full;
                self.order.push_back((stamp, key));
            }
        }
        // Only removed places were found: one living entry goes nevertheless.
        while self.entries.len() > self.entries_max {
            let Some((stamp, key)) = self.order.pop_front() else {
                return;
            };
            if self.entries.get(&key).is_some_and(|place| place.stamp == stamp) {
                self.entries.remove(&key);
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|place| place.value)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_oldest_goes_one_by_one() {
        let mut table = Table::new(4);
        for n in 0..4 {
            table.insert(n, n);
        }
        assert_eq!(table.get(&0).copied(), Some(0));
        table.insert(4, 4);
        let left = |table: &Table<i32, i32>| (0..10).filter(|n| table.peek(n).is_some()).collect::<Vec<_>>();
        assert_eq!(left(&table), [0, 2, 3, 4], "0 was used, so 1 was the oldest");
        table.insert(2, 20);
        assert_eq!((table.len(), table.peek(&2)), (4, Some(&20)));
        table.insert(5, 5);
        table.insert(6, 6);
        assert_eq!(left(&table), [0, 4, 5, 6], "0 has had its second turn");
        table.insert(7, 7);
        assert_eq!(left(&table), [0, 5, 6, 7]);
        assert_eq!(table.remove(&6), Some(6));
        table.insert(8, 8);
        assert_eq!(left(&table), [0, 5, 7, 8], "what was removed made the room");
        table.insert(9, 9);
        assert_eq!(left(&table), [5, 7, 8, 9], "and a use counts for one turn only");
        table.clear();
        assert!(table.is_empty());
    }

    /// Red if removals let the order grow without bound, or the table is ever larger than it may be.
    #[test]
    fn the_table_stays_within_its_bounds_whatever_comes() {
        let mut table = Table::new(16);
        let mut random = 1_u64;
        let mut most = 0;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (random >> 33) % 64;
            match (random >> 40) % 4 {
                0 | 1 => table.insert(key, key),
                2 => drop(table.remove(&key)),
                _ => drop(table.get(&key)),
            }
            assert!(table.len() <= 16);
            most = most.max(table.order.len());
        }
        assert!(most <= 48, "{most}");
        let mut full = Table::new(8);
        for n in 0..1_000 {
            full.insert(n, ());
            for used in 0..n {
                full.get(&used);
            }
            assert!(full.len() <= 8);
        }
    }
}
