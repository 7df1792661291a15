//! What a session knows of a table that held no row when it began: every key in it is one that the session put there.

use hashbrown::HashTable;

/// Keys held in memory: about 9 bytes each, twice that while growing.
const KEYS: usize = 3_500_000;

/// A table that was empty, or was not.
pub struct Fresh {
    /// Whether it was.
    pub empty: bool,
    met: HashTable<u64>,
    /// The highest key by its bytes. Past the keys that are held, one above it is new, and of the others that cannot be
    /// told: most large sources come in the order of their key.
    highest: Vec<u8>,
    most: usize,
}

impl Fresh {
    /// No key was met yet.
    pub fn new(empty: bool) -> Self {
        Fresh { empty, met: HashTable::new(), highest: Vec::new(), most: KEYS }
    }

    /// Whether a key was surely not met before. Others may not have been, either: they are looked up.
    #[inline]
    pub fn meet(&mut self, hash: u64, key: &[u8]) -> bool {
        let above = key > self.highest.as_slice();
        if above {
            self.highest.clear();
            self.highest.extend_from_slice(key);
        }
        if self.is_full() {
            return above;
        }
        if self.met.find(hash, |h| *h == hash).is_some() {
            return false;
        }
        self.met.insert_unique(hash, hash, |h| *h);
        true
    }

    /// Whether there are as many keys as may be held.
    pub fn is_full(&self) -> bool {
        self.met.len() >= self.most
    }

    /// Forgets the keys: from now on all are looked up, as in any table.
    pub fn spend(&mut self) {
        *self = Fresh::new(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_what_is_held_only_a_higher_key_is_new() {
        let mut fresh = Fresh { most: 2, ..Fresh::new(true) };
        let mut meet = |key: u8| fresh.meet(u64::from(key), &[key]);
        assert_eq!([5, 5, 3].map(&mut meet), [true, false, true]);
        // 4 was not met, and that is not known any more.
        assert_eq!([4, 6, 6, 5, 7].map(&mut meet), [false, true, false, false, true]);
    }
}
