//! What a session knows of a table that held no row when it began: every key in it is one that the session put there.

use crate::sieve::Sieve;
use hashbrown::HashTable;

/// Keys that are held one by one, in about 10 MB; those of a larger table are in a sieve.
const KEYS: usize = 900_000;

/// A table that was empty, or was not.
pub struct Fresh {
    /// Whether it was.
    pub empty: bool,
    met: HashTable<u64>,
    sieve: Option<Sieve>,
    /// The highest key by its bytes: one above it is new, whatever the sieve takes it for. Most large sources come about in
    /// the order of their key.
    highest: Vec<u8>,
    most: usize,
}

impl Fresh {
    /// No key was met yet.
    pub fn new(empty: bool) -> Self {
        Fresh { empty, met: HashTable::new(), sieve: None, highest: Vec::new(), most: KEYS }
    }

    /// Whether a key was surely not met before. Others may not have been, either: they are looked up.
    #[inline]
    pub fn meet(&mut self, hash: u64, key: &[u8]) -> bool {
        let above = key > self.highest.as_slice();
        if above {
            self.highest.clear();
            self.highest.extend_from_slice(key);
        }
        if let Some(sieve) = &mut self.sieve {
            return sieve.insert(hash) || above;
        }
        if self.met.find(hash, |h| *h == hash).is_some() {
            return false;
        }
        self.met.insert_unique(hash, hash, |h| *h);
        if self.met.len() >= self.most {
            let sieve = self.sieve.insert(Sieve::default());
            for hash in std::mem::take(&mut self.met) {
                sieve.insert(hash);
            }
        }
        true
    }

    /// Whether the keys are too many to tell each of them.
    pub fn is_full(&self) -> bool {
        self.sieve.is_some()
    }

    /// Forgets the keys: from now on all are looked up, as in any table.
    pub fn spend(&mut self) {
        *self = Fresh::new(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn a_key_that_was_met_is_never_new() {
        for most in [2, KEYS] {
            let mut fresh = Fresh { most, ..Fresh::new(true) };
            let mut meet = |key: u32| fresh.meet(xxh3_64(&key.to_be_bytes()), &key.to_be_bytes());
            // Downwards, so that none lies above the others.
            assert!((0..1000).rev().all(&mut meet));
            assert!(!(0..1000).any(&mut meet));
            assert!((1000..2000).all(&mut meet));
        }
    }

    #[test]
    fn a_key_above_all_others_is_new_whatever_its_hash() {
        let mut fresh = Fresh { most: 2, ..Fresh::new(true) };
        let mut meet = |(hash, key): (u64, u8)| fresh.meet(hash, &[key]);
        assert_eq!([(1, 5), (2, 3), (1, 6), (1, 6), (1, 4)].map(&mut meet), [true, true, true, false, false]);
    }
}
