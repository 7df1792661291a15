//! How rows get in, by load strategy. All of it runs inside the load's transaction.

mod append;
mod fates;
mod history;
mod joined;
mod keyed;
mod lineage;
mod look;
mod memory;
mod moments;
mod normal;
mod part;
mod seen;
mod stage;
mod staged;
mod window;
mod within;
mod write;

pub(crate) use floodmark_merge::fresh::Fresh;
pub(crate) use lineage::sweep as sweep_lineage;

use crate::{
    boundary::{Boundary, Kept},
    ddl::{self, Name, Table},
    failure::to,
    link::Db,
    receipts,
};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
};
use floodmark_core::{
    Counts, Error, Result, Schema,
    pipeline::Load,
    state::{BoundaryChange, Lineage, Reject},
};
use floodmark_merge::incoming;

/// What is to be merged into what.
pub(crate) struct Job<'a> {
    pub(crate) db: &'a Db,
    pub(crate) plan: &'a LoadPlan<'a>,
    pub(crate) name: &'a Name,
    pub(crate) table: &'a Table,
    /// The table was made in this transaction.
    pub(crate) created: bool,
}

impl Job<'_> {
    fn schema(&self) -> &Schema {
        self.plan.target.schema
    }

    /// Whether the part of the table that the chunk is all of counts as the window of a `delete_insert`.
    fn is_window(&self) -> bool {
        let within = self.plan.within.as_ref();
        within
            .is_some_and(|within| matches!(self.plan.target.pipeline.window.as_slice(), [one] if *one == within.column))
    }
}

/// The rows of a chunk.
pub(crate) type Incoming<'a> = incoming::Incoming<'a, Beside<'a>>;

/// What is kept beside the table, within the load's transaction.
pub(crate) struct Beside<'a> {
    db: &'a Db,
    pipeline: &'a str,
    run: &'a str,
    pub(crate) boundary: Boundary<'a>,
}

impl<'a> Beside<'a> {
    pub(crate) fn new(db: &'a Db, pipeline: &'a str, run: &'a str) -> Result<Self> {
        Ok(Beside { db, pipeline, run, boundary: Boundary::new(Kept { db, pipeline })? })
    }
}

impl incoming::Beside for Beside<'_> {
    fn loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        self.boundary.loaded(file, hashes)
    }

    fn change(&mut self, change: &BoundaryChange) -> Result<()> {
        self.boundary.change(change)
    }

    fn keep(&mut self, rejects: &[Reject]) -> Result<()> {
        receipts::keep_rejects(self.db, self.pipeline, self.run, rejects)
    }
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) lineage: Vec<(usize, Lineage)>,
}

/// Merges all rows into the plan's table.
pub(crate) fn run(job: &Job<'_>, fresh: &mut Fresh, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let pipeline = job.plan.target.pipeline;
    let keyed = !pipeline.key.is_empty();
    match pipeline.load {
        Load::Append if job.plan.within.as_ref().is_some_and(|within| within.whole) => within::replace(job, incoming),
        Load::Append if job.plan.within.is_some() => within::add(job, incoming),
        Load::Append => append::run(job, incoming),
        Load::Overwrite if !keyed && job.plan.within.is_some() => within::replace(job, incoming),
        Load::DeleteInsert if !keyed && job.is_window() => within::replace(job, incoming),
        Load::Overwrite if !keyed => {
            let sql = format!("DELETE FROM {}", job.name);
            let fail = to("empty the table");
            let removed = match job.created {
                true => 0,
                false => crash::at(Point::EmptyTable, || job.db.execute(&sql, &[]).map_err(fail))?,
            };
            let mut outcome = append::run(job, incoming)?;
            outcome.counts.removed = removed;
            Ok(outcome)
        }
        Load::DeleteInsert if !keyed => window::run(job, incoming),
        Load::Scd2 => history::run(job, incoming),
        Load::Upsert | Load::InsertOnly | Load::Overwrite | Load::DeleteInsert => keyed::run(job, fresh, incoming),
    }
}

/// Whether the table holds no row.
pub(crate) fn is_empty(db: &Db, name: &Name) -> Result<bool> {
    db.query_one(&format!("SELECT count(*) = 0 FROM (SELECT 1 FROM {name} LIMIT 1) any_row"), &[])
        .and_then(|row| row.try_get(0))
        .map_err(to("read the table"))
}

/// How many rows the table holds.
pub(crate) fn count(db: &Db, name: &Name) -> Result<u64> {
    db.query_one(&format!("SELECT count(*) FROM {name}"), &[])
        .and_then(|row| row.try_get::<i64>(0))
        .map(|n| n as u64)
        .map_err(to("count the table's rows"))
}

/// The condition that two tables' rows have the same key: ours is `left` (a name with its point), the table's `right`.
fn same_key(table: &Table, key: &[String], left: &str, right: &str) -> Result<String> {
    let mut parts = Vec::with_capacity(key.len());
    for name in key {
        let column = table.get(name).ok_or_else(|| Error::internal(format!("no key column {name:?} in the table")))?;
        parts.push(format!("{} = {}", column.there(right), column.write(&format!("{left}{}", ddl::quote(name)))));
    }
    Ok(parts.join(" AND "))
}
