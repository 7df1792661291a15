//! `delete_insert` without a key: each window the batch covers is replaced, unless it holds the same rows already.
//!
//! Two windows hold the same rows when as many are in them, and the sums of their contents' hashes are equal: rows are
//! hashed on their way into the temporary table, and once more as the table has them.

use super::{
    Incoming, Job, Outcome,
    stage::{self, Column, PLACE, Stage},
};
use crate::{codec, ddl, failure::to, literal};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{DataType, Error, Result};
use floodmark_merge::{
    cell::{Cell, Cells},
    lineage::content,
    slots::type_of,
};
use std::collections::HashMap;

/// What a window's column values are, and the rows that are in it.
#[derive(Default)]
struct Held {
    rows: u64,
    sum: u128,
    /// In the table.
    there_rows: u64,
    there_sum: u128,
}

type Windows = HashMap<Vec<Option<Vec<u8>>>, Held>;

pub(super) fn run(job: &Job<'_>, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let pipeline = job.plan.target.pipeline;
    let (db, fail) = (job.db, to("replace a window"));
    let stage = make(job, &[])?;
    let mut windows: Windows = HashMap::new();
    let (mut cell_bytes, mut bytes) = (Vec::new(), Vec::new());
    stage::fill(job, &stage, incoming, &[], &mut |cells, row| {
        let cells = neutral(cells, row, &mut cell_bytes)?;
        let column =
            |name: &String| cells.iter().find(|(n, ..)| n == name).and_then(|(.., cell)| cell.map(<[u8]>::to_vec));
        let held = windows.entry(pipeline.window.iter().map(column).collect()).or_default();
        held.rows += 1;
        held.sum = held.sum.wrapping_add(content(cells.into_iter(), &mut bytes));
        Ok(Vec::new())
    })?;
    let columns = |job: &Job<'_>| {
        let of = |w: &String| Ok(Column::of(job, w, type_of(job.schema(), w)?));
        pipeline.window.iter().map(of).collect::<Result<Vec<_>>>()
    };
    let index: Vec<&str> = pipeline.window.iter().map(String::as_str).collect();
    let covered = Stage::make(db, "_floodmark_windows", columns(job)?, &index)?;
    send(job, &covered, windows.keys())?;
    look(job, &covered, &mut windows)?;
    let changed = Stage::make(db, "_floodmark_changed", columns(job)?, &index)?;
    let differs = |held: &Held| (held.rows, held.sum) != (held.there_rows, held.there_sum);
    send(job, &changed, windows.iter().filter(|(_, held)| differs(held)).map(|(window, _)| window))?;

    let mut outcome = Outcome::default();
    outcome.counts.unchanged = windows.values().filter(|held| !differs(held)).map(|held| held.rows).sum();
    let delete = format!(
        "DELETE t FROM {} t WHERE EXISTS (SELECT 1 FROM {} w WHERE {})",
        job.name,
        changed.name,
        same_window(job, "w.", "t.")
    );
    outcome.counts.removed = crash::at(Point::ReplaceWindow, || db.execute(&delete).map_err(&fail))?.rows;
    let names = ddl::list(job.schema().names());
    let insert = format!(
        "INSERT INTO {} ({names}) SELECT {names} FROM {} s WHERE EXISTS (SELECT 1 FROM {} w WHERE {}) ORDER BY s.{PLACE}",
        job.name,
        stage.name,
        changed.name,
        same_window(job, "w.", "s.")
    );
    outcome.counts.inserted = crash::at(Point::ReplaceWindow, || db.execute(&insert).map_err(&fail))?.rows;
    Ok(outcome)
}

/// The cells of a row, with names and types.
fn neutral<'c>(
    cells: &'c [Cells<'_>],
    row: usize,
    bytes: &'c mut Vec<u8>,
) -> Result<Vec<(&'c str, DataType, Cell<'c>)>> {
    bytes.clear();
    let mut ends = Vec::with_capacity(cells.len());
    for cell in cells {
        let start = bytes.len() + 4;
        cell.put(row, bytes)?;
        ends.push((!cell.is_null(row)).then_some((start, bytes.len())));
    }
    let bytes = &*bytes;
    Ok(cells.iter().zip(ends).map(|(c, at)| (c.name(), c.data_type, at.map(|(a, b)| &bytes[a..b]))).collect())
}

fn send<'w>(job: &Job<'_>, stage: &Stage, windows: impl Iterator<Item = &'w Vec<Option<Vec<u8>>>>) -> Result<()> {
    crash::at(Point::Temporary, || {
        job.db.copy_in(&stage.inlet(), |writer| {
            for window in windows {
                window.iter().try_for_each(|cell| writer.cell(cell.as_deref()))?;
                writer.end()?;
            }
            Ok(())
        })
    })?;
    Ok(())
}

/// Notes what the table holds of the windows.
fn look(job: &Job<'_>, covered: &Stage, windows: &mut Windows) -> Result<()> {
    let columns = job.schema().columns.iter().map(|c| job.table.find(&c.name)).collect::<Result<Vec<_>>>()?;
    let cells: Vec<String> = columns.iter().map(|c| format!("t.{}", literal::name(&c.name))).collect();
    let sql = format!(
        "SELECT {} FROM {} t WHERE EXISTS (SELECT 1 FROM {} w WHERE {}) FOR UPDATE",
        cells.join(", "),
        job.name,
        covered.name,
        same_window(job, "w.", "t.")
    );
    let place = |name: &String| columns.iter().position(|c| ddl::same_name(&c.name, name));
    let window = job.plan.target.pipeline.window.iter().map(place).collect::<Option<Vec<_>>>();
    let window = window.ok_or_else(|| Error::internal("a window column is not in the table"))?;
    let fail = to("read the windows");
    let (mut hashed, mut bytes) = (Vec::new(), Vec::new());
    let mut rows = job.db.stream(&sql).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        bytes.clear();
        let mut ends = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            let start = bytes.len() + 4;
            codec::neutral(row.get(at), column.data_type, &mut bytes);
            ends.push(row.get(at).map(|_| (start, bytes.len())));
        }
        let cell = |at: usize| ends[at].map(|(a, b)| &bytes[a..b]);
        let key: Vec<Option<Vec<u8>>> = window.iter().map(|at| cell(*at).map(<[u8]>::to_vec)).collect();
        // One that is equal to a window of the source only for the server: it goes with that window.
        let held = windows.entry(key).or_default();
        let names = job.schema().columns.iter().zip(&columns);
        let row_cells = names.enumerate().map(|(at, (c, found))| (c.name.as_str(), found.data_type, cell(at)));
        held.there_rows += 1;
        held.there_sum = held.there_sum.wrapping_add(content(row_cells, &mut hashed));
    }
    Ok(())
}

/// A temporary table with the target's columns, and a row's place and mark. `index`: the columns it is looked up by.
pub(super) fn make(job: &Job<'_>, index: &[&str]) -> Result<Stage> {
    let mut columns: Vec<Column> = job.schema().columns.iter().map(|c| Column::of(job, &c.name, c.data_type)).collect();
    columns.push(Column::own(PLACE, DataType::BigInt));
    columns.push(Column::own(stage::DELETE, DataType::Bool));
    Stage::make(job.db, "_floodmark_stage", columns, index)
}

/// The condition that two rows are of the same window, NULLs being equal: ours is `left` (a name with its point), the table's
/// `right`.
pub(super) fn same_window(job: &Job<'_>, left: &str, right: &str) -> String {
    let names = job.plan.target.pipeline.window.iter().map(|name| literal::name(name));
    names.map(|name| format!("{right}{name} <=> {left}{name}")).collect::<Vec<_>>().join(" AND ")
}
