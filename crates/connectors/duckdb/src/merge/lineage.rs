//! Which rows of an appended table came from which file, so that a file that changed can be loaded in place of what it
//! held before.
//!
//! DuckDB gives a row no number that lasts: what it calls `rowid` changes when deleted rows are cleared away. But equal rows of
//! an `append` cannot be told apart, and need not be: it is enough to know the *contents* that a file brought, and how often
//! each. So `_floodmark_lineage` keeps the hashes of a file's rows, 16 bytes each and some ten thousand in one of its rows, and
//! a reload takes out as many rows of each content. For that it reads the table once; loading pays for 16 bytes a row. Where a
//! content is not found as often as it was loaded, somebody changed the table, and nothing is taken out at all.

use super::{Job, look::ROW, stage::Stage};
use crate::{
    failure::to,
    link::{Db, List},
    state, tuples,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    DataType, Error, Result,
    state::{FileEntry, Lineage},
};
use floodmark_merge::{
    cell::Cells,
    lineage::{self, Contents, content, count, untold},
};
use hashbrown::HashMap;

/// Hashes in one row of the ledger.
const TOGETHER: usize = 16_384;

/// The lines that a load adds to the ledger, by slice.
#[derive(Default)]
pub(super) struct Lines {
    waiting: Contents,
    kept: Vec<(usize, Lineage)>,
}

impl Lines {
    pub(super) fn add(&mut self, slice: usize, cells: &[Cells<'_>], rows: usize) {
        self.waiting.add(slice, cells, rows);
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.is_full()
    }

    /// Writes those that wait.
    pub(super) fn keep(&mut self, job: &Job<'_>) -> Result<()> {
        for (slice, hashes) in self.waiting.take() {
            let mut lineage = Lineage { rows: hashes.len() as u64, ..Lineage::default() };
            for part in hashes.chunks(TOGETHER) {
                let bytes: Vec<u8> = part.iter().flat_map(|hash| hash.to_be_bytes()).collect();
                let id: i64 = crash::at(Point::WriteFile, || {
                    job.db
                        .query_one(
                            "INSERT INTO _floodmark_lineage (pipeline, hashes) VALUES ($1, $2) RETURNING id",
                            &[&job.plan.target.pipeline.name, &bytes],
                        )
                        .and_then(|row| row.try_get(0))
                        .map_err(to("write which rows are a file's own"))
                })?;
                lineage.fingerprint = part.iter().fold(lineage.fingerprint, |sum, hash| sum.wrapping_add(*hash));
                lineage.ranges.push((id, id));
            }
            lineage::add(&mut self.kept, slice, lineage);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(usize, Lineage)> {
        self.kept
    }
}

/// Deletes a file's earlier rows, after making sure that exactly they are found.
pub(super) fn remove(job: &Job<'_>, file: &str, entry: &FileEntry) -> Result<u64> {
    let table = &job.plan.target.pipeline.destination.table;
    let Some(lineage) = lineage::known(file, table, entry)? else { return Ok(0) };
    let mut wanted = contents(job, lineage)?;
    let rows: u64 = wanted.values().map(|n| u64::from(*n)).sum();
    if rows != lineage.rows {
        return Err(untold(file, table, lineage.rows));
    }
    let places = find(job, &mut wanted)?;
    if (places.len() as u64) < lineage.rows {
        return Err(untold(file, table, lineage.rows));
    }
    let stage = Stage::make(job.db, "_floodmark_places", &[("place", DataType::BigInt)])?;
    stage.send(job.db, |writer| {
        for place in &places {
            tuples::put(writer.row(1)?, Some(&place.to_be_bytes()));
        }
        Ok(())
    })?;
    let sql = format!("DELETE FROM {} t USING {} p WHERE t.{ROW} = p.place", job.name, stage.name);
    let gone =
        crash::at(Point::RemoveLineage, || job.db.execute(&sql, &[]).map_err(to("delete the earlier rows of a file")))?;
    if gone != lineage.rows {
        return Err(Error::internal(format!("{gone} rows of a file were deleted, and {} were found", lineage.rows)));
    }
    Ok(gone)
}

/// The contents a file brought, and how often each.
fn contents(job: &Job<'_>, lineage: &Lineage) -> Result<HashMap<u128, u32>> {
    let ids: Vec<i64> = lineage.ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
    let fail = to("read which rows are a file's own");
    let rows = job
        .db
        .query(
            "SELECT hashes FROM _floodmark_lineage WHERE pipeline = $1 AND id IN (SELECT unnest($2::bigint[]))",
            &[&job.plan.target.pipeline.name, &List(&ids)],
        )
        .map_err(&fail)?;
    let mut out = HashMap::new();
    for row in &rows {
        let bytes: Vec<u8> = row.try_get(0).map_err(&fail)?;
        count(&bytes, &mut out);
    }
    Ok(out)
}

/// Reads the table for the wanted contents: where their rows stand.
fn find(job: &Job<'_>, wanted: &mut HashMap<u128, u32>) -> Result<Vec<i64>> {
    let columns: Vec<_> = job.schema().columns.iter().filter_map(|c| job.table.get(&c.name)).collect();
    let select: Vec<String> = [ROW.to_owned()].into_iter().chain(columns.iter().map(|c| c.read(""))).collect();
    let (mut places, mut bytes) = (Vec::new(), Vec::new());
    job.db.copy_out(&format!("SELECT {} FROM {}", select.join(", "), job.name), |row| {
        let cells = columns.iter().enumerate().map(|(at, c)| (c.name.as_str(), c.data_type, row.cell(at + 1)));
        if let Some(left) = wanted.get_mut(&content(cells, &mut bytes)).filter(|left| **left > 0) {
            *left -= 1;
            places.push(row.int(0)?);
        }
        Ok(())
    })?;
    Ok(places)
}

/// Drops lines of the ledger that no file's entry names any more.
pub(crate) fn sweep(db: &Db, pipeline: &str) -> Result<()> {
    let named = state::lineage_ids(db, pipeline)?;
    crash::at(Point::WriteFile, || {
        db.execute(
            "DELETE FROM _floodmark_lineage WHERE pipeline = $1 AND id NOT IN (SELECT unnest($2::bigint[]))",
            &[&pipeline, &List(&named)],
        )
        .map_err(to("drop which rows were a file's own"))
    })?;
    Ok(())
}
