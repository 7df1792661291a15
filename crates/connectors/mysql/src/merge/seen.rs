//! Which keys this load has met already, and what became of them: what makes `superseded` exact.

use super::stage::{Column, Stage};
use crate::{failure::to, link::Db};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Result, merge::Standing};
use floodmark_merge::standings::{KEYS, Standings, id, standing};
use hashbrown::HashMap;

/// Keys asked for at once.
const AT_ONCE: usize = 10_000;

/// The keys met, in memory as far as that goes.
pub(super) struct Seen {
    memory: Standings,
    /// Where the others are: newer ones have higher numbers.
    spilled: Option<Stage>,
    spills: i64,
    most: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { memory: Standings::default(), spilled: None, spills: 0, most: KEYS }
    }
}

impl Seen {
    /// What became of keys by their hashes, where they were met.
    pub(super) fn get(&self, db: &Db, hashes: &[u64]) -> Result<Vec<Option<Standing>>> {
        let mut out: Vec<Option<Standing>> = hashes.iter().map(|hash| self.memory.get(*hash)).collect();
        let Some(spilled) = &self.spilled else { return Ok(out) };
        let mut found: HashMap<u64, Option<Standing>> = HashMap::new();
        for part in hashes.chunks(AT_ONCE) {
            let asked: Vec<String> = part.iter().map(|hash| (id(*hash) as i64).to_string()).collect();
            let sql =
                format!("SELECT id, standing FROM {} WHERE id IN ({}) ORDER BY spill", spilled.name, asked.join(", "));
            for row in &db.query(&sql).map_err(to("look up keys that were met"))? {
                if let (Some(met), Some(number)) = (row.number::<i64>(0), row.number::<i64>(1)) {
                    found.insert(met as u64, standing(number as u64));
                }
            }
        }
        // What is in memory is newer.
        for (entry, hash) in out.iter_mut().zip(hashes) {
            *entry = entry.or_else(|| found.get(&id(*hash)).copied().flatten());
        }
        Ok(out)
    }

    /// Notes what became of keys.
    pub(super) fn set(&mut self, db: &Db, keys: impl Iterator<Item = (u64, Standing)>) -> Result<()> {
        keys.for_each(|(hash, standing)| self.memory.set(hash, standing));
        if self.memory.len() < self.most { Ok(()) } else { self.spill(db) }
    }

    fn spill(&mut self, db: &Db) -> Result<()> {
        let stage = match self.spilled.take() {
            Some(stage) => stage,
            None => {
                let columns = ["id", "standing", "spill"].map(|name| Column::own(name, DataType::BigInt));
                Stage::make(db, "_floodmark_seen", columns.into(), &["id"])?
            }
        };
        self.spills += 1;
        let (memory, spill) = (std::mem::take(&mut self.memory), self.spills);
        crash::at(Point::Temporary, || {
            db.copy_in(&stage.inlet(), |writer| {
                for (id, number) in memory.entries() {
                    [id as i64, number as i64, spill].into_iter().try_for_each(|n| writer.number(n))?;
                    writer.end()?;
                }
                Ok(())
            })
        })?;
        self.spilled = Some(stage);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Step, tests::connect};

    #[test]
    fn spilled_keys_are_remembered() {
        let db = connect();
        let _step = Step::begin(&db, false).unwrap();
        let mut seen = Seen { most: 2, ..Seen::default() };
        let keys = [(8, Standing::Inserted), (16, Standing::Stale), (u64::MAX, Standing::Deleted)];
        seen.set(&db, keys.into_iter()).unwrap();
        assert_eq!(seen.memory.len(), 0);
        seen.set(&db, [(8, Standing::Updated), (24, Standing::Stale)].into_iter()).unwrap();
        let found = seen.get(&db, &[8, 16, 24, 32, u64::MAX]).unwrap();
        let expected = [Standing::Updated, Standing::Stale, Standing::Stale].map(Some);
        assert_eq!(found[..3], expected);
        assert_eq!((found[3], found[4]), (None, Some(Standing::Deleted)));
    }
}
