//! Which rows of an appended table came from which file, so that a file that changed can be loaded in place of what it
//! held before.
//!
//! PostgreSQL gives a row no number that lasts: its place (`ctid`) moves with every update, and other programs' rows lie
//! between. A column of our own would be in everybody's way. But equal rows of an `append` cannot be told apart, and need
//! not be: it is enough to know the *contents* that a file brought, and how often each. So `_floodmark_lineage` keeps the
//! hashes of a file's rows, 16 bytes each and some ten thousand in one of its rows, and a reload takes out as many rows
//! of each content. For that it reads the table once; loading pays for 16 bytes a row. Where a content is not found as
//! often as it was loaded, somebody changed the table, and nothing is taken out at all.

use super::{Job, stage::Stage};
use crate::{codec, codec::Cells, failure::to, link::Db, state, tuples};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    Code, Error, Result,
    state::{FileEntry, Lineage},
};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

/// Hashes in one row of the ledger.
const TOGETHER: usize = 16_384;

/// Hashes that wait while rows are on their way.
const WAITING: usize = 1_000_000;

/// The lines that a load adds to the ledger, by slice.
#[derive(Default)]
pub(super) struct Lines {
    waiting: Vec<(usize, Vec<u128>)>,
    count: usize,
    kept: Vec<(usize, Lineage)>,
    bytes: Vec<u8>,
}

impl Lines {
    pub(super) fn add(&mut self, slice: usize, cells: &[Cells<'_>], rows: usize) {
        if self.waiting.last().is_none_or(|(s, _)| *s != slice) {
            self.waiting.push((slice, Vec::new()));
        }
        let Some((_, hashes)) = self.waiting.last_mut() else { return };
        for row in 0..rows {
            self.bytes.clear();
            for cell in cells.iter().filter(|cell| !cell.is_null(row)) {
                name(cell.name(), &mut self.bytes);
                cell.canonical(row, &mut self.bytes);
            }
            hashes.push(xxh3_128(&self.bytes));
        }
        self.count += rows;
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= WAITING
    }

    /// Writes those that wait.
    pub(super) fn keep(&mut self, job: &Job<'_>) -> Result<()> {
        self.count = 0;
        for (slice, hashes) in self.waiting.drain(..) {
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
            match self.kept.iter_mut().find(|(s, _)| *s == slice) {
                None => self.kept.push((slice, lineage)),
                Some((_, whole)) => whole.extend(lineage),
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(usize, Lineage)> {
        self.kept
    }
}

/// A column's name before its cell. NULLs are left out with theirs, so that a column added later changes nothing.
fn name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// Deletes a file's earlier rows, after making sure that exactly they are found.
pub(super) fn remove(job: &Job<'_>, file: &str, entry: &FileEntry) -> Result<u64> {
    let table = &job.plan.target.pipeline.destination.table;
    let Some(lineage) = &entry.lineage else {
        if entry.rows == 0 {
            return Ok(0);
        }
        return Err(Error::new(Code::ChangedFile, format!("{file:?} changed, and which rows of table {table:?} are its own is not known"))
            .state("nothing was written")
            .help("a `transform` makes rows that belong to no file: give the pipeline a key and `load: upsert`, or a watermark")
            .help("or load everything again with `--full-refresh`"));
    };
    if lineage.rows == 0 {
        return Ok(0);
    }
    let mut wanted = contents(job, lineage)?;
    let rows: u64 = wanted.values().map(|n| u64::from(*n)).sum();
    if rows != lineage.rows {
        return Err(untold(file, table, lineage.rows));
    }
    // No row may move between being found and being deleted.
    let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", job.name);
    crash::at(Point::Temporary, || job.db.execute_batch(&lock).map_err(to("hold the table")))?;
    let places = find(job, &mut wanted)?;
    if (places.len() as u64) < lineage.rows {
        return Err(untold(file, table, lineage.rows));
    }
    let columns = [("part", "oid".to_owned()), ("place", "tid".to_owned())];
    let stage = Stage::make(job.db, "_floodmark_places", &columns)?;
    crash::at(Point::Temporary, || {
        job.db.copy_in(&format!("COPY {} FROM STDIN (FORMAT binary)", stage.name), |writer| {
            for (part, place) in &places {
                let out = writer.row(2)?;
                tuples::put(out, Some(part));
                tuples::put(out, Some(place));
            }
            Ok(())
        })
    })?;
    stage.analyze(job.db)?;
    let sql = format!(
        "DELETE FROM {0} t WHERE t.ctid = ANY (ARRAY(SELECT place FROM {1}))
           AND (t.tableoid, t.ctid) IN (SELECT part, place FROM {1})",
        job.name, stage.name
    );
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
            "SELECT hashes FROM _floodmark_lineage WHERE pipeline = $1 AND id = ANY ($2)",
            &[&job.plan.target.pipeline.name, &ids],
        )
        .map_err(&fail)?;
    let mut out = HashMap::new();
    for row in &rows {
        let bytes: &[u8] = row.try_get(0).map_err(&fail)?;
        for hash in bytes.chunks_exact(16).filter_map(|part| part.try_into().ok()) {
            *out.entry(u128::from_be_bytes(hash)).or_default() += 1;
        }
    }
    Ok(out)
}

/// Where in the table a row names its place: the table's part, and the place in it.
type Place = ([u8; 4], [u8; 6]);

/// Reads the table for the wanted contents.
fn find(job: &Job<'_>, wanted: &mut HashMap<u128, u32>) -> Result<Vec<Place>> {
    let columns: Vec<_> = job.schema().columns.iter().filter_map(|c| job.table.get(&c.name)).collect();
    let cells: Vec<String> = columns.iter().map(|c| c.read("")).collect();
    let select = ["tableoid".to_owned(), "ctid".to_owned()].into_iter().chain(cells).collect::<Vec<_>>().join(", ");
    let (mut places, mut bytes) = (Vec::new(), Vec::new());
    job.db.copy_out(&format!("COPY (SELECT {select} FROM {}) TO STDOUT (FORMAT binary)", job.name), |row| {
        bytes.clear();
        for (at, column) in columns.iter().enumerate() {
            let cell = row.cell(at + 2);
            // What is no value of the column's type was written by somebody else.
            match codec::decode(cell, column.data_type) {
                Some(floodmark_core::Value::Null) => {}
                Some(value) => {
                    name(&column.name, &mut bytes);
                    codec::canonical(&value, &mut bytes);
                }
                None => tuples::put(&mut bytes, cell),
            }
        }
        if let Some(left) = wanted.get_mut(&xxh3_128(&bytes)).filter(|left| **left > 0) {
            *left -= 1;
            let part = row.cell(0).and_then(|b| b.try_into().ok());
            let place = row.cell(1).and_then(|b| b.try_into().ok());
            places.push(part.zip(place).ok_or_else(|| Error::internal("a row without a place"))?);
        }
        Ok(())
    })?;
    Ok(places)
}

fn untold(file: &str, table: &str, rows: u64) -> Error {
    Error::new(
        Code::ChangedFile,
        format!(
            "{file:?} changed, and its {} cannot be told apart in table {table:?} any more",
            floodmark_core::wording::count(rows, "earlier row")
        ),
    )
    .state("nothing was written")
    .help("rows were edited or deleted by another program, or the pipeline's state was brought here from elsewhere")
    .help("load everything again with `--full-refresh`, or set `changed_files: append_tail` if files only grow")
}

/// Drops lines of the ledger that no file's entry names any more.
pub(crate) fn sweep(db: &Db, pipeline: &str) -> Result<()> {
    let named = state::lineage_ids(db, pipeline)?;
    crash::at(Point::WriteFile, || {
        db.execute("DELETE FROM _floodmark_lineage WHERE pipeline = $1 AND id <> ALL ($2)", &[&pipeline, &named])
            .map_err(to("drop which rows were a file's own"))
    })?;
    Ok(())
}
