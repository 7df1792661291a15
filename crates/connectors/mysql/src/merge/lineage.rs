//! Which rows of an appended table came from which file, so that a file that changed can be loaded in place of what it
//! held before.
//!
//! Rows of an `append` need no key of their own, and equal ones cannot be told apart, nor need they be: it is enough to know
//! the *contents* that a file brought, and how often each. So `_floodmark_lineage` keeps the hashes of a file's rows, 16
//! bytes each and some ten thousand in one of its rows, and a reload takes out as many rows of each content, by the primary
//! key of the table: where it was made here without a key, that is a column that `SELECT *` does not show. For that it reads
//! the table once; loading pays for 16 bytes a row. Where a content is not found as often as it was loaded, somebody changed
//! the table, and nothing is taken out at all.

use super::{
    Job, same_key,
    stage::{Column, Stage},
};
use crate::{
    codec,
    ddl::ROW,
    failure::to,
    link::Db,
    literal::{self, text},
    state,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    Code, DataType, Error, Result,
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
                let pipeline = text(&job.plan.target.pipeline.name);
                let hashes = literal::bytes(&bytes);
                let sql = format!("INSERT INTO _floodmark_lineage (pipeline, hashes) VALUES ({pipeline}, {hashes})");
                let fail = to("write which rows are a file's own");
                crash::at(Point::WriteFile, || job.db.execute(&sql).map_err(&fail))?;
                let row = job.db.query_one("SELECT LAST_INSERT_ID()").map_err(&fail)?;
                let id: i64 = row.number(0).ok_or_else(|| Error::internal("a row got no number"))?;
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
    if job.table.primary.is_empty() {
        let message =
            format!("{file:?} changed, and table {table:?} has no primary key by which its rows could be taken out");
        return Err(Error::new(Code::ChangedFile, message).state("nothing was written").help(format!(
            "give it one: ALTER TABLE … ADD COLUMN `{ROW}` bigint unsigned NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY"
        )));
    }
    let places = find(job, &mut wanted)?;
    if (places.len() as u64) < lineage.rows {
        return Err(untold(file, table, lineage.rows));
    }
    let key = &job.table.primary;
    let columns = key.iter().map(|name| match job.table.get(name) {
        Some(found) => Column::of(job, name, found.data_type),
        None => Column::own(name, DataType::BigInt),
    });
    let stage = Stage::make(job.db, "_floodmark_places", columns.collect(), &[])?;
    crash::at(Point::Temporary, || {
        job.db.copy_in(&stage.inlet(), |writer| {
            for place in &places {
                place.iter().try_for_each(|cell| writer.cell(cell.as_deref()))?;
                writer.end()?;
            }
            Ok(())
        })
    })?;
    let same = same_key(key.iter().map(String::as_str), "w.", "t.");
    let sql = format!("DELETE t FROM {} w STRAIGHT_JOIN {} t ON {same}", stage.name, job.name);
    let gone =
        crash::at(Point::RemoveLineage, || job.db.execute(&sql).map_err(to("delete the earlier rows of a file")))?.rows;
    if gone != lineage.rows {
        return Err(Error::internal(format!("{gone} rows of a file were deleted, and {} were found", lineage.rows)));
    }
    Ok(gone)
}

/// The contents a file brought, and how often each.
fn contents(job: &Job<'_>, lineage: &Lineage) -> Result<HashMap<u128, u32>> {
    let mut out = HashMap::new();
    let ids: Vec<String> =
        lineage.ranges.iter().flat_map(|(first, last)| *first..=*last).map(|id| id.to_string()).collect();
    for part in ids.chunks(64) {
        let sql = format!(
            "SELECT hashes FROM _floodmark_lineage WHERE pipeline = {} AND id IN ({})",
            text(&job.plan.target.pipeline.name),
            part.join(", ")
        );
        for row in &job.db.query(&sql).map_err(to("read which rows are a file's own"))? {
            count(row.bytes(0).unwrap_or_default(), &mut out);
        }
    }
    Ok(out)
}

/// Where in the table a row is: the cells of its primary key.
type Place = Vec<Option<Vec<u8>>>;

/// Reads the table for the wanted contents. Its rows stay as they are until the transaction ends.
fn find(job: &Job<'_>, wanted: &mut HashMap<u128, u32>) -> Result<Vec<Place>> {
    let columns: Vec<_> = job.schema().columns.iter().filter_map(|c| job.table.get(&c.name)).collect();
    let key: Vec<(&String, DataType)> = (job.table.primary.iter())
        .map(|name| (name, job.table.get(name).map_or(DataType::BigInt, |found| found.data_type)))
        .collect();
    let names = key.iter().map(|(name, _)| name.as_str()).chain(columns.iter().map(|c| c.name.as_str()));
    let sql = format!("SELECT {} FROM {} FOR UPDATE", crate::ddl::list(names), job.name);
    let fail = to("read the table");
    let (mut places, mut bytes, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = job.db.stream(&sql).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        cells.clear();
        let mut ends = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let start = cells.len() + 4;
            let sent = row.get(key.len() + at);
            codec::neutral(sent, column.data_type, &mut cells);
            ends.push(sent.map(|_| (start, cells.len())));
        }
        let row_cells =
            columns.iter().zip(&ends).map(|(c, at)| (c.name.as_str(), c.data_type, at.map(|(a, b)| &cells[a..b])));
        if let Some(left) = wanted.get_mut(&content(row_cells, &mut bytes)).filter(|left| **left > 0) {
            *left -= 1;
            let place = key.iter().enumerate().map(|(at, (_, data_type))| {
                let sent = row.get(at);
                let mut cell = Vec::new();
                codec::neutral(sent, *data_type, &mut cell);
                sent.map(|_| cell.split_off(4))
            });
            places.push(place.collect());
        }
    }
    Ok(places)
}

/// Drops lines of the ledger that no file's entry names any more.
pub(crate) fn sweep(db: &Db, pipeline: &str) -> Result<()> {
    let named: Vec<String> = state::lineage_ids(db, pipeline)?.iter().map(i64::to_string).collect();
    let not = if named.is_empty() { String::new() } else { format!(" AND id NOT IN ({})", named.join(", ")) };
    let sql = format!("DELETE FROM _floodmark_lineage WHERE pipeline = {}{not}", text(pipeline));
    crash::at(Point::WriteFile, || db.execute(&sql).map_err(to("drop which rows were a file's own")))?;
    Ok(())
}
