//! Which keys this load has met already, and what became of them: what makes `superseded` exact.

use super::stage::Stage;
use crate::{
    failure::to,
    link::{Db, List},
    tuples,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Error, Result, merge::Standing};
use floodmark_merge::standings::{KEYS, Standings, id, standing};
use hashbrown::HashMap;

/// The keys met, in memory as far as that goes.
pub(super) struct Seen {
    memory: Standings,
    /// Where the others are.
    spilled: Option<Stage>,
    most: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { memory: Standings::default(), spilled: None, most: KEYS }
    }
}

impl Seen {
    /// What became of keys by their hashes, where they were met.
    pub(super) fn get(&self, db: &Db, hashes: &[u64]) -> Result<Vec<Option<Standing>>> {
        let mut out: Vec<Option<Standing>> = hashes.iter().map(|hash| self.memory.get(*hash)).collect();
        let Some(spilled) = &self.spilled else { return Ok(out) };
        let asked: Vec<i64> = hashes.iter().map(|hash| id(*hash) as i64).collect();
        let fail = to("look up keys that were met");
        let sql = format!("SELECT id, standing FROM {} WHERE id IN (SELECT unnest($1::bigint[]))", spilled.name);
        let mut found: HashMap<u64, Option<Standing>> = HashMap::new();
        for row in &db.query(&sql, &[&List(&asked)]).map_err(&fail)? {
            let (met, number): (i64, i64) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
            found.insert(met as u64, standing(number as u64));
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
        if self.spilled.is_none() {
            self.spilled = Some(Stage::make(db, "_floodmark_seen", &COLUMNS)?);
        }
        let whole = self.spilled.as_ref().ok_or_else(|| Error::internal("no table for keys that were met"))?;
        let part = Stage::make(db, "_floodmark_spill", &COLUMNS)?;
        let memory = std::mem::take(&mut self.memory);
        part.send(db, |writer| {
            for (id, number) in memory.entries() {
                let out = writer.row(2)?;
                tuples::put(out, Some(&(id as i64).to_be_bytes()));
                tuples::put(out, Some(&(number as i64).to_be_bytes()));
            }
            Ok(())
        })?;
        let fail = to("note keys that were met");
        let older = format!("DELETE FROM {} w USING {} p WHERE w.id = p.id", whole.name, part.name);
        crash::at(Point::Temporary, || db.execute(&older, &[]).map_err(&fail))?;
        let newer = format!("INSERT INTO {} SELECT id, standing FROM {}", whole.name, part.name);
        crash::at(Point::Temporary, || db.execute(&newer, &[]).map_err(&fail))?;
        Ok(())
    }
}

/// A key's id, and what became of it.
const COLUMNS: [(&str, DataType); 2] = [("id", DataType::BigInt), ("standing", DataType::BigInt)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Step;

    #[test]
    fn spilled_keys_are_remembered() {
        let db = Db::connect(&crate::instance::Instance::in_memory(&[]).unwrap()).unwrap();
        let _step = Step::begin(&db, false).unwrap();
        let mut seen = Seen { most: 2, ..Seen::default() };
        let keys = [(8, Standing::Inserted), (16, Standing::Stale), (u64::MAX, Standing::Deleted)];
        seen.set(&db, keys.into_iter()).unwrap();
        assert_eq!(seen.memory.len(), 0);
        seen.set(&db, [(8, Standing::Updated)].into_iter()).unwrap();
        let all = [8, 16, 24, u64::MAX];
        let expected = [Some(Standing::Updated), Some(Standing::Stale), None, Some(Standing::Deleted)];
        assert_eq!(seen.get(&db, &all).unwrap(), expected);
        seen.set(&db, [(32, Standing::Inserted)].into_iter()).unwrap();
        assert_eq!(seen.memory.len(), 0);
        assert_eq!(seen.get(&db, &all).unwrap(), expected);
    }
}
