//! `append`: which rows at the watermark were loaded. A run knows them again by their hashes and adds none of them, so that
//! one which the table lacks is missing, and not one that the next run brings.

use crate::{
    cast,
    diff::{Encoder, Paired, alike, columns, within},
    registry,
    shape::{rebuild, row_hash},
};
use arrow::{array::RecordBatch, datatypes::Field};
use floodmark_connect::{Range, ReadPlan, Source, Stop, digests::Split};
use floodmark_core::{
    Error, Result, Schema, Value, fingerprint::RowHasher, pipeline::Pipeline, state::Mark, watermark::Bounds,
};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_128;

/// What the ledger remembers of the rows at the watermark, held against what the source has there.
pub(super) struct Boundary<'a> {
    pipeline: &'a Pipeline,
    mark: &'a Mark,
    /// The table's columns.
    loaded: &'a Schema,
    /// What the table is compared with, as of the moment at which it is.
    source: &'a dyn Source,
    /// Its name of a column of the table.
    left_name: &'a (dyn Fn(&str) -> String + Sync),
    stop: &'a Stop,
    /// Rows by the hash of what is compared of them; `None` until the first is asked for.
    rows: Option<HashMap<u128, Copies>>,
}

/// Rows that are alike in what is compared.
#[derive(Debug, Clone, Copy, Default)]
struct Copies {
    /// In the source.
    there: u64,
    /// Those that runs have loaded.
    loaded: u64,
    /// Missing ones that were asked for.
    asked: u64,
}

impl Copies {
    /// Whether the next of so many missing copies was loaded. The others are in the table: what was loaded beyond them is lost.
    fn next_was_loaded(&mut self, missing: u64) -> bool {
        let held = self.there.saturating_sub(missing);
        self.asked += 1;
        self.asked <= self.loaded.saturating_sub(held).min(missing)
    }
}

impl<'a> Boundary<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        mark: &'a Mark,
        loaded: &'a Schema,
        source: &'a dyn Source,
        left_name: &'a (dyn Fn(&str) -> String + Sync),
        stop: &'a Stop,
    ) -> Self {
        Boundary { pipeline, mark, loaded, source, left_name, stop, rows: None }
    }

    /// Other columns are compared from now on.
    pub(super) fn forget(&mut self) {
        self.rows = None;
    }

    /// Whether the next copy of a row at the watermark that the table lacks was loaded. `row`: what is compared of it;
    /// `missing`: how many copies are.
    pub(super) fn was_loaded(&mut self, paired: &Paired, row: &[u8], missing: u64) -> Result<bool> {
        if self.rows.is_none() {
            self.rows = Some(self.read(paired)?);
        }
        let copies = self.rows.as_mut().and_then(|rows| rows.get_mut(&xxh3_128(row)));
        Ok(copies.is_some_and(|copies| copies.next_was_loaded(missing)))
    }

    fn read(&self, paired: &Paired) -> Result<HashMap<u128, Copies>> {
        let (split, pairs) = (Split::Content(0), &paired.pairs);
        let mut schema = columns(pairs, true, &split);
        // A row is known by all that was loaded of it, whatever is compared.
        let mut names = Vec::new();
        for column in &self.loaded.columns {
            let pair = pairs.iter().find(|pair| pair.name == column.name);
            let there = || alike(&paired.left, &(self.left_name)(&column.name)).cloned();
            let Some(own) = pair.map(|pair| pair.left.clone()).or_else(there) else { continue };
            names.push((own.name.clone(), column));
            if schema.get(&own.name).is_none() {
                schema.columns.push(own);
            }
        }
        let Some((cursor, of)) = names.iter().find(|(_, column)| column.name == self.mark.column).cloned() else {
            return Ok(HashMap::new());
        };
        let at = Some(self.mark.value.clone());
        let bounds = Bounds { from: at.clone(), exclusive: false, until: at, before: None };
        let range = Range { column: cursor, bounds, nulls: false };
        let plan = ReadPlan { schema, range: Some(range.clone()), ..ReadPlan::default() };
        let mut whole: HashMap<u128, (u128, u64, u64)> = HashMap::new();
        let (mut encoder, mut hasher) = (Encoder::new(pairs, true, &split), RowHasher::default());
        for slice in self.source.slices(self.stop)? {
            for batch in self.source.read(&slice, &plan, self.stop)? {
                self.stop.check()?;
                let rows = batch?.rows;
                let own = self.as_loaded(&rows, &names)?;
                let at = own.column_by_name(&self.mark.column).cloned();
                let at = at.ok_or_else(|| Error::internal("the watermark's column was asked for and not given"))?;
                let mut encoded = encoder.over(&rows)?;
                let mut row = 0;
                while let Some(compared) = encoded.next()? {
                    let value = Value::from_array(at.as_ref(), row, of.data_type)?;
                    if within(&range, &Value::parse(&value.to_string(), self.mark.data_type).unwrap_or(Value::Null)) {
                        let hash = row_hash(&mut hasher, &own, self.loaded, row)?;
                        whole.entry(hash).or_insert_with(|| (xxh3_128(compared.bytes), 0, 0)).1 += 1;
                    }
                    row += 1;
                }
            }
        }
        let ledger = registry::destination(&self.pipeline.destination.url)?.ledger()?;
        ledger.at_watermark(&self.pipeline.name, &mut |hash| {
            if let Some((_, _, loaded)) = whole.get_mut(&hash) {
                *loaded += 1;
            }
        })?;
        let mut out: HashMap<u128, Copies> = HashMap::new();
        for (compared, there, loaded) in whole.into_values() {
            let copies = out.entry(compared).or_default();
            copies.there += there;
            copies.loaded += loaded.min(there);
        }
        Ok(out)
    }

    /// Rows under the names and in the types of the table, as a run shapes them. What does not fit was never loaded.
    fn as_loaded(&self, rows: &RecordBatch, names: &[(String, &floodmark_core::Column)]) -> Result<RecordBatch> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (name, column) in names {
            let Some(array) = rows.column_by_name(name) else { continue };
            let to = column.data_type.to_arrow();
            fields.push(Field::new(&column.name, to.clone(), true));
            arrays.push(cast::exact(array, &to)?.array);
        }
        rebuild(fields, arrays, rows.num_rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_missing_copies_those_were_loaded_that_the_table_does_not_hold() {
        let lost = |there: u64, loaded: u64, missing: u64| {
            let mut copies = Copies { there, loaded, asked: 0 };
            (0..missing).filter(|_| copies.next_was_loaded(missing)).count()
        };
        // None is in the table: all that were loaded are lost.
        assert_eq!((lost(1, 1, 1), lost(3, 2, 3), lost(1, 0, 1)), (1, 2, 0));
        // Two are there, and two were loaded: the third is new. With three loaded it is lost.
        assert_eq!((lost(3, 2, 1), lost(3, 3, 1)), (0, 1));
    }
}
