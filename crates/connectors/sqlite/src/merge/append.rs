//! `append`, and the inserting half of an `overwrite` without a key.

use super::{Batches, Outcome, insert_sql, types};
use crate::{bind, ddl, failure::to};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
};
use floodmark_core::{
    Code, DataType, Error, Result,
    state::{FileEntry, Lineage},
};
use rusqlite::{Connection, types::ValueRef};
use xxhash_rust::xxh3::xxh3_128;

/// Inserts every row; where the plan asks for it, removes the earlier rows of reloaded files first and records which
/// row ids come from which slice.
pub(super) fn run(db: &Connection, plan: &LoadPlan<'_>, batches: &mut dyn Batches) -> Result<Outcome> {
    let table = &plan.target.pipeline.destination.table;
    let mut outcome = Outcome::default();
    for (file, entry) in &plan.replace {
        outcome.counts.removed += remove(db, plan, file, entry)?;
    }
    let fail = to("insert a row");
    let (mut scratch, mut bytes) = (String::new(), Vec::new());
    while let Some(batch) = batches.next()? {
        let types = types(&batch, plan.target.schema)?;
        let columns = bind::columns(&batch.rows, &types)?;
        let schema = batch.rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut insert = db.prepare_cached(&insert_sql(table, &names)).map_err(&fail)?;
        let mut lineage = Lineage::default();
        let mut first = 0;
        for row in 0..batch.rows.num_rows() {
            for (at, cells) in columns.iter().enumerate() {
                cells.bind(&mut insert, at + 1, row, &mut scratch).map_err(&fail)?;
            }
            crash::at(Point::Insert, || insert.raw_execute().map_err(&fail))?;
            if plan.lineage {
                if row == 0 {
                    first = db.last_insert_rowid();
                }
                bytes.clear();
                for (name, cells) in names.iter().zip(&columns) {
                    encode(name, cells.stored(row, &mut scratch), cells.data_type, &mut bytes);
                }
                lineage.rows += 1;
                lineage.fingerprint = lineage.fingerprint.wrapping_add(xxh3_128(&bytes));
            }
        }
        outcome.counts.inserted += batch.rows.num_rows() as u64;
        if lineage.rows > 0 {
            let last = db.last_insert_rowid();
            if last - first + 1 != lineage.rows as i64 {
                return Err(Error::internal("appended rows did not get consecutive row ids"));
            }
            lineage.ranges.push((first, last));
            add(&mut outcome.lineage, batch.slice, lineage);
        }
    }
    Ok(outcome)
}

/// A cell as it counts in a lineage: NULLs are left out, so that a column added later changes nothing, and a value counts
/// the same after its column became wider (a date that is a timestamp now, a whole number that is a decimal). A column that
/// somebody else made may keep a double without fractions as a whole number.
pub(super) fn encode(name: &str, stored: ValueRef<'_>, data_type: DataType, out: &mut Vec<u8>) {
    if stored == ValueRef::Null {
        return;
    }
    bind::encode(ValueRef::Text(name.as_bytes()), out);
    let narrow = match (data_type, stored) {
        (DataType::Timestamp { .. }, ValueRef::Text(text)) => {
            text.strip_suffix(b" 00:00:00").map_or(stored, ValueRef::Text)
        }
        (DataType::Decimal(..), ValueRef::Text(text)) => {
            let places = if text.contains(&b'.') { text.iter().rev().take_while(|c| **c == b'0').count() } else { 0 };
            let text = &text[..text.len() - places];
            let text = text.strip_suffix(b".").unwrap_or(text);
            floodmark_core::text::parse_i64(text).map_or(ValueRef::Text(text), ValueRef::Integer)
        }
        (DataType::Double, ValueRef::Integer(whole)) => ValueRef::Real(whole as f64),
        _ => stored,
    };
    bind::encode(narrow, out);
}

fn add(all: &mut Vec<(usize, Lineage)>, slice: usize, part: Lineage) {
    match all.iter_mut().find(|(s, _)| *s == slice) {
        None => all.push((slice, part)),
        Some((_, whole)) => whole.extend(part),
    }
}

/// Rows that got these numbers, the first and the last, are of a slice.
pub(crate) fn add_lineage(all: &mut Vec<(usize, Lineage)>, slice: usize, (first, last): (i64, i64)) {
    let rows = (last - first + 1) as u64;
    add(all, slice, Lineage { ranges: vec![(first, last)], rows, fingerprint: 0 });
}

/// Which rows of the table a file's earlier ones are; `None` where there are none.
pub(crate) fn known<'a>(table: &str, file: &str, entry: &'a FileEntry) -> Result<Option<&'a Lineage>> {
    match &entry.lineage {
        Some(lineage) => Ok(Some(lineage)),
        None if entry.rows == 0 => Ok(None),
        None => Err(Error::new(
            Code::ChangedFile,
            format!("{file:?} changed, and which rows of table {table:?} are its own is not known"),
        )
        .state("nothing was written")
        .help("a `transform` makes rows that belong to no file: give the pipeline a key and `load: upsert`, or a watermark")
        .help("or load everything again with `--full-refresh`")),
    }
}

/// Deletes a file's earlier rows, after making sure that exactly they are found.
fn remove(db: &Connection, plan: &LoadPlan<'_>, file: &str, entry: &FileEntry) -> Result<u64> {
    let table = &plan.target.pipeline.destination.table;
    let Some(lineage) = known(table, file, entry)? else { return Ok(0) };
    let rowid = rowid_name(db, table)?;
    let fail = to("find the earlier rows of a file");
    // In the order of names' first insertion: the order the hashes were made in does not matter to their sum, but the
    // order of cells within a row does, so it follows the table, as the batches do.
    let names = plan.target.schema.names();
    let sql = format!(
        "SELECT {} FROM {} WHERE {rowid} BETWEEN ?1 AND ?2",
        ddl::list(names.iter().copied()),
        ddl::quote(table)
    );
    let mut select = db.prepare(&sql).map_err(&fail)?;
    let (mut rows, mut sum, mut bytes) = (0u64, 0u128, Vec::new());
    for (first, last) in &lineage.ranges {
        let mut found = select.query([first, last]).map_err(&fail)?;
        while let Some(row) = found.next().map_err(&fail)? {
            bytes.clear();
            for (at, column) in plan.target.schema.columns.iter().enumerate() {
                encode(&column.name, row.get_ref(at).map_err(&fail)?, column.data_type, &mut bytes);
            }
            rows += 1;
            sum = sum.wrapping_add(xxh3_128(&bytes));
        }
    }
    if rows != lineage.rows || sum != lineage.fingerprint {
        return Err(Error::new(
            Code::ChangedFile,
            format!(
                "{file:?} changed, and its {} cannot be told apart in table {table:?} any more",
                floodmark_core::wording::count(lineage.rows, "earlier row")
            ),
        )
        .state("nothing was written")
        .help("rows were edited, deleted or renumbered (VACUUM) by another program")
        .help("load everything again with `--full-refresh`, or set `changed_files: append_tail` if files only grow"));
    }
    let mut delete =
        db.prepare(&format!("DELETE FROM {} WHERE {rowid} BETWEEN ?1 AND ?2", ddl::quote(table))).map_err(&fail)?;
    for (first, last) in &lineage.ranges {
        crash::at(Point::RemoveLineage, || {
            delete.execute([first, last]).map_err(to("delete the earlier rows of a file"))
        })?;
    }
    Ok(rows)
}

/// A name for the row id that no column has taken.
pub(crate) fn rowid_name(db: &Connection, table: &str) -> Result<&'static str> {
    let schema = ddl::table(db, table)?.unwrap_or_default();
    ["rowid", "_rowid_", "oid"]
        .into_iter()
        .find(|name| !schema.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)))
        .ok_or_else(|| {
            Error::new(
                Code::TableShape,
                format!("table {table:?} has columns rowid, _rowid_ and oid: its row ids have no name"),
            )
            .state("nothing was written")
            .help("rename one of them with `columns:`")
        })
}
