//! Which keys this load has met already, and what became of them: what makes `superseded` exact.

use floodmark_core::merge::Standing;
use hashbrown::HashTable;

/// A set of key hashes with a standing each, 8 bytes an entry. The hash keeps 61 bits: a collision within one load (about
/// one in 4 million for a million keys) can move a row from one outcome to another in the report, never change the table.
#[derive(Default)]
pub(super) struct Seen(HashTable<u64>);

const STANDING: u64 = 7;

/// Spreads an id over the table: its low bits are always zero, and buckets are chosen by low bits.
fn place(id: u64) -> u64 {
    (id >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Seen {
    pub(super) fn get(&self, hash: u64) -> Option<Standing> {
        let id = hash & !STANDING;
        let entry = self.0.find(place(id), |e| e & !STANDING == id)?;
        Standing::ALL.get((entry & STANDING) as usize).copied()
    }

    pub(super) fn set(&mut self, hash: u64, standing: Option<Standing>) {
        let Some(standing) = standing else { return };
        let id = hash & !STANDING;
        let new = id | standing as u64;
        match self.0.find_mut(place(id), |e| e & !STANDING == id) {
            Some(entry) => *entry = new,
            None => {
                self.0.insert_unique(place(id), new, |e| place(e & !STANDING));
            }
        }
    }
}
