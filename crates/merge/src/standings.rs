//! Which keys a load has met already, and what became of them: what makes `superseded` exact.

use floodmark_core::merge::Standing;
use hashbrown::HashTable;

/// Keys held in memory before they go to a temporary table: about 9 bytes each, twice that while growing.
pub const KEYS: usize = 3_500_000;

/// Key hashes with a standing each, in eight bytes. The hash keeps 61 bits: a collision within one load (about one in 4
/// million for a million keys) can move a row from one outcome to another in the report, never change the table.
#[derive(Default)]
pub struct Standings(HashTable<u64>);

const STANDING: u64 = 7;

/// Spreads an id over the table: its low bits are always zero, and buckets are chosen by low bits.
fn place(id: u64) -> u64 {
    (id >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What is kept of a key's hash.
pub fn id(hash: u64) -> u64 {
    hash & !STANDING
}

/// The standing that was kept as a number.
pub fn standing(number: u64) -> Option<Standing> {
    Standing::ALL.get((number & STANDING) as usize).copied()
}

impl Standings {
    /// What became of a key, by its hash, where it was met.
    pub fn get(&self, hash: u64) -> Option<Standing> {
        self.0.find(place(id(hash)), |e| id(*e) == id(hash)).and_then(|e| standing(*e))
    }

    /// Notes what became of a key.
    pub fn set(&mut self, hash: u64, standing: Standing) {
        let new = id(hash) | standing as u64;
        match self.0.find_mut(place(id(hash)), |e| id(*e) == id(hash)) {
            Some(entry) => *entry = new,
            None => {
                self.0.insert_unique(place(id(hash)), new, |e| place(id(*e)));
            }
        }
    }

    /// How many keys were met.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Every key's id, and the number of its standing.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|entry| (id(*entry), entry & STANDING))
    }
}
