//! Loads beside the runs of a pipeline.

use crate::{ddl, failure::to, state};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
    refusal,
};
use floodmark_core::{
    Error, Result,
    state::{Commit, State},
};
use rusqlite::{Connection, OptionalExtension};

/// Raises the token of such loads, which is none of the runs', and returns it.
pub(crate) fn raise_token(db: &Connection, pipeline: &str) -> Result<i64> {
    crash::at(Point::RaiseToken, || {
        db.query_row(
            "INSERT INTO _floodmark_beside (pipeline, token) VALUES (?1, 1)
             ON CONFLICT (pipeline) DO UPDATE SET token = token + 1 RETURNING token",
            [pipeline],
            |r| r.get(0),
        )
        .map_err(to("raise the fencing token"))
    })
}

/// The newest token; `None` where nothing was ever loaded beside the pipeline's runs.
pub(crate) fn token(db: &Connection, pipeline: &str) -> Result<Option<i64>> {
    db.query_row("SELECT token FROM _floodmark_beside WHERE pipeline = ?1", [pipeline], |r| r.get(0))
        .optional()
        .map_err(to("read the fencing token"))
}

/// Whether the pipeline still stands as `known`, for which the rows were made ready; in any case, `known` is how it stands
/// afterwards.
pub(crate) fn look(db: &Connection, pipeline: &str, known: &mut State, plan: &LoadPlan<'_>) -> Result<()> {
    let now = state::read(db, pipeline)?.unwrap_or_default();
    let was = std::mem::replace(known, now);
    refusal::moved_on(pipeline, &was, known)?;
    let target = &plan.target;
    let table = &target.pipeline.destination.table;
    if plan.forget || !target.changes.is_empty() || known.table.as_ref() != Some(table) {
        return Err(Error::internal(format!("a load beside the runs of pipeline {pipeline:?} would change its table")));
    }
    if ddl::table(db, table)?.is_none() {
        return Err(Error::internal(format!("table {table:?} is not there for a load beside runs")));
    }
    state::refuse_shared(db, pipeline, table)?;
    state::refuse_other_load(db, pipeline, target.pipeline.load)?;
    if ddl::keyed(db, target.pipeline)? { Ok(()) } else { Err(refusal::other_key(target.pipeline)) }
}

/// Writes what such a load commits beside its rows: position, schema, settings and files are the runs' own. Nobody else
/// writes between the look at the token and the commit.
pub(crate) fn write(db: &Connection, pipeline: &str, token: i64, commit: &Commit) -> Result<()> {
    if self::token(db, pipeline)? != Some(token) {
        return Err(refusal::fenced(pipeline));
    }
    state::forget_rejects(db, pipeline, commit)?;
    state::write_intervals(db, pipeline, commit)?;
    state::write_run(db, &commit.run)
}
