//! What a session knows of a table that held no row when it began: every key in it is one that the session put there.

use hashbrown::HashTable;

/// Keys held in memory: about 9 bytes each, twice that while growing. Past that, keys are looked up as in any table.
const KEYS: usize = 3_500_000;

/// A table that was empty, or was not.
pub struct Fresh {
    /// Whether it was.
    pub empty: bool,
    met: HashTable<u64>,
}

impl Fresh {
    /// No key was met yet.
    pub fn new(empty: bool) -> Self {
        Fresh { empty, met: HashTable::new() }
    }

    /// Whether a key was not met before. Of two keys with one hash the second counts as met, and is looked up.
    #[inline]
    pub fn meet(&mut self, hash: u64) -> bool {
        if self.met.find(hash, |h| *h == hash).is_some() {
            return false;
        }
        self.met.insert_unique(hash, hash, |h| *h);
        true
    }

    /// Whether there are as many keys as may be held.
    pub fn is_full(&self) -> bool {
        self.met.len() >= KEYS
    }
}
