//! `delete_insert` without a key: each window the batch covers is replaced, unless it holds the same rows already.

use super::{Batches, Outcome, insert_sql, types};
use crate::{bind, ddl, failure::to};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
};
use floodmark_core::Result;
use rusqlite::{Connection, Statement};
use xxhash_rust::xxh3::xxh3_128;

const STAGE: &str = "_floodmark_stage";

pub(super) fn run(db: &Connection, plan: &LoadPlan<'_>, batches: &mut dyn Batches) -> Result<Outcome> {
    let pipeline = plan.target.pipeline;
    let table = ddl::quote(&pipeline.destination.table);
    let window: Vec<String> = pipeline.window.iter().map(|w| ddl::quote(w)).collect();
    let fail = to("replace a window");
    let make =
        format!("DROP TABLE IF EXISTS temp.{STAGE}; CREATE TEMP TABLE {STAGE} AS SELECT * FROM {table} WHERE 0;");
    crash::at(Point::Temporary, || db.execute_batch(&make).map_err(&fail))?;
    stage(db, plan, batches)?;
    let index = format!("CREATE INDEX temp.{STAGE}_window ON {STAGE} ({})", window.join(", "));
    crash::at(Point::Temporary, || db.execute_batch(&index).map_err(&fail))?;

    let names = ddl::list(plan.target.schema.names());
    let same_window: Vec<String> = window.iter().enumerate().map(|(n, w)| format!("{w} IS ?{}", n + 1)).collect();
    let same_window = same_window.join(" AND ");
    let mut outcome = Outcome::default();
    let mut windows = db.prepare(&format!("SELECT DISTINCT {} FROM temp.{STAGE}", window.join(", "))).map_err(&fail)?;
    let mut new_rows = db.prepare(&format!("SELECT {names} FROM temp.{STAGE} WHERE {same_window}")).map_err(&fail)?;
    let mut old_rows = db.prepare(&format!("SELECT {names} FROM {table} WHERE {same_window}")).map_err(&fail)?;
    let mut delete = db.prepare(&format!("DELETE FROM {table} WHERE {same_window}")).map_err(&fail)?;
    let mut insert = db
        .prepare(&format!(
            "INSERT INTO {table} ({names}) SELECT {names} FROM temp.{STAGE} WHERE {same_window} ORDER BY rowid"
        ))
        .map_err(&fail)?;
    let mut found = windows.query([]).map_err(&fail)?;
    while let Some(row) = found.next().map_err(&fail)? {
        let values: Vec<rusqlite::types::Value> =
            (0..window.len()).map(|n| row.get(n)).collect::<rusqlite::Result<_>>().map_err(&fail)?;
        let (new, old) = (content(&mut new_rows, &values)?, content(&mut old_rows, &values)?);
        if new == old {
            outcome.counts.unchanged += new.0;
            continue;
        }
        let replace = |statement: &mut Statement<'_>| {
            crash::at(Point::ReplaceWindow, || {
                statement.execute(rusqlite::params_from_iter(&values)).map(|n| n as u64).map_err(&fail)
            })
        };
        outcome.counts.removed += replace(&mut delete)?;
        outcome.counts.inserted += replace(&mut insert)?;
    }
    Ok(outcome)
}

/// Number and sum of hashes of the rows of one window.
fn content(select: &mut Statement<'_>, window: &[rusqlite::types::Value]) -> Result<(u64, u128)> {
    let fail = to("compare a window");
    let columns = select.column_count();
    let mut rows = select.query(rusqlite::params_from_iter(window)).map_err(&fail)?;
    let (mut count, mut sum, mut bytes) = (0u64, 0u128, Vec::new());
    while let Some(row) = rows.next().map_err(&fail)? {
        bytes.clear();
        for at in 0..columns {
            bind::encode(row.get_ref(at).map_err(&fail)?, &mut bytes);
        }
        count += 1;
        sum = sum.wrapping_add(xxh3_128(&bytes));
    }
    Ok((count, sum))
}

/// Puts all rows into the temporary table; it has the table's columns.
pub(super) fn stage(db: &Connection, plan: &LoadPlan<'_>, batches: &mut dyn Batches) -> Result<()> {
    let fail = to("stage rows");
    let mut scratch = String::new();
    while let Some(batch) = batches.next()? {
        let types = types(&batch, plan.target.schema)?;
        let cells = bind::columns(&batch.rows, &types)?;
        let schema = batch.rows.schema();
        let mut names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        if batch.delete.is_some() {
            names.push(super::history::DELETE);
        }
        let sql = insert_sql(STAGE, &names).replacen("INTO ", "INTO temp.", 1);
        let mut insert = db.prepare_cached(&sql).map_err(&fail)?;
        for row in 0..batch.rows.num_rows() {
            for (n, cell) in cells.iter().enumerate() {
                cell.bind(&mut insert, n + 1, row, &mut scratch).map_err(&fail)?;
            }
            if let Some(delete) = &batch.delete {
                insert.raw_bind_parameter(cells.len() + 1, delete.value(row)).map_err(&fail)?;
            }
            crash::at(Point::Temporary, || insert.raw_execute().map_err(&fail))?;
        }
    }
    Ok(())
}
