//! Finds the number of a value by a hash of its key. The keys stay in the values, so that a million entries cost ten
//! bytes each; many small tables, so that the growth of one is no pause.

use hashbrown::HashTable;

const TABLES: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Index {
    tables: Box<[HashTable<u32>]>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            tables: (0..TABLES).map(|_| HashTable::new()).collect(),
        }
    }
}

impl Index {
    fn table(&self, hash: u64) -> Option<&HashTable<u32>> {
        self.tables.get(number(hash))
    }

    /// The number of the value whose key has this hash and for which `same` holds.
    pub(crate) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        self.table(hash)?.find(hash, |at| same(*at)).copied()
    }

    /// Adds a number that is not there yet; `hash_of` tells the hash of any number that is.
    pub(crate) fn insert(&mut self, hash: u64, at: u32, hash_of: impl Fn(u32) -> u64) {
        if let Some(table) = self.tables.get_mut(number(hash)) {
            table.insert_unique(hash, at, |at| hash_of(*at));
        }
    }

    /// Forgets a number.
    pub(crate) fn remove(&mut self, hash: u64, at: u32) {
        if let Some(table) = self.tables.get_mut(number(hash))
            && let Ok(entry) = table.find_entry(hash, |other| *other == at)
        {
            entry.remove();
        }
    }
}

/// Which table: by bits that the tables themselves look at last.
fn number(hash: u64) -> usize {
    usize::from((hash >> 40).to_le_bytes()[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_until_it_is_taken_out() {
        let mut index = Index::default();
        let hash = |n: u32| u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..10_000 {
            assert_eq!(index.find(hash(n), |at| at == n), None);
            index.insert(hash(n), n, hash);
        }
        for n in (0..10_000).step_by(3) {
            index.remove(hash(n), n);
        }
        for n in 0..10_000 {
            let expected = (n % 3 != 0).then_some(n);
            assert_eq!(index.find(hash(n), |at| at == n), expected);
        }
    }
}
