//! Which keys this load has met already, and what became of them: what makes `superseded` exact.

use crate::failure::to;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Result, merge::Standing as Fate};
use hashbrown::HashTable;
use rusqlite::{Connection, OptionalExtension};

/// Keys held in memory before they go to a temporary table: about 9 bytes each, twice that while growing.
const IN_MEMORY: usize = 3_500_000;

/// A set of key hashes with a fate each. The hash keeps 61 bits: a collision within one load (about one in 4 million
/// for a million keys) can move a row from one outcome to another in the report, never change the table.
pub(super) struct Seen<'db> {
    db: &'db Connection,
    memory: HashTable<u64>,
    spilled: bool,
}

const FATE_BITS: u64 = 7;

/// Spreads an id over the table: its low bits are always zero, and buckets are chosen by low bits.
fn place(id: u64) -> u64 {
    (id >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<'db> Seen<'db> {
    pub(super) fn new(db: &'db Connection) -> Self {
        Seen { db, memory: HashTable::new(), spilled: false }
    }

    pub(super) fn get(&self, hash: u64) -> Result<Option<Fate>> {
        let id = hash & !FATE_BITS;
        if let Some(entry) = self.memory.find(place(id), |e| e & !FATE_BITS == id) {
            return Ok(Fate::ALL.get((entry & FATE_BITS) as usize).copied());
        }
        if !self.spilled {
            return Ok(None);
        }
        let fate: Option<i64> = self
            .db
            .prepare_cached("SELECT fate FROM temp._floodmark_seen WHERE id = ?1")
            .and_then(|mut s| s.query_row([id as i64], |r| r.get(0)).optional())
            .map_err(to("look up a key"))?;
        Ok(fate.and_then(|f| Fate::ALL.get(usize::try_from(f).ok()?).copied()))
    }

    pub(super) fn set(&mut self, hash: u64, fate: Fate) -> Result<()> {
        let id = hash & !FATE_BITS;
        let new = id | fate as u64;
        if let Some(entry) = self.memory.find_mut(place(id), |e| e & !FATE_BITS == id) {
            *entry = new;
            return Ok(());
        }
        if self.memory.len() >= IN_MEMORY {
            self.spill()?;
        }
        self.memory.insert_unique(place(id), new, |e| place(e & !FATE_BITS));
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        let fail = to("spill keys to a temporary table");
        if !self.spilled {
            crash::at(Point::Temporary, || {
                self.db
                    .execute_batch(
                        "DROP TABLE IF EXISTS temp._floodmark_seen;
                         CREATE TEMP TABLE _floodmark_seen (id INTEGER PRIMARY KEY, fate INTEGER NOT NULL)",
                    )
                    .map_err(&fail)
            })?;
            self.spilled = true;
        }
        let mut entries: Vec<u64> = self.memory.drain().collect();
        entries.sort_unstable();
        let mut insert =
            self.db.prepare_cached("INSERT OR REPLACE INTO temp._floodmark_seen VALUES (?1, ?2)").map_err(&fail)?;
        for entry in entries {
            crash::at(Point::Temporary, || {
                insert.execute([(entry & !FATE_BITS) as i64, (entry & FATE_BITS) as i64]).map_err(&fail)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spilled_keys_are_remembered() {
        let db = Connection::open_in_memory().unwrap();
        let mut seen = Seen::new(&db);
        seen.set(8, Fate::Inserted).unwrap();
        seen.set(16, Fate::Stale).unwrap();
        seen.spill().unwrap();
        seen.set(8, Fate::Updated).unwrap();
        assert_eq!(seen.get(8).unwrap(), Some(Fate::Updated));
        assert_eq!(seen.get(16).unwrap(), Some(Fate::Stale));
        assert_eq!(seen.get(24).unwrap(), None);
    }
}
