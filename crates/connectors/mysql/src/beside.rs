//! Loads beside the runs of a pipeline.

use crate::{
    ddl::{self, Name, Shape},
    failure::to,
    intervals,
    link::Db,
    literal::text,
    receipts, state, swap,
};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
    refusal,
};
use floodmark_core::{
    Error, Result,
    state::{Commit, State},
};

/// Raises the token of such loads, which is none of the runs', and returns it.
pub(crate) fn raise_token(db: &Db, pipeline: &str) -> Result<i64> {
    let sql = format!(
        "INSERT INTO _floodmark_beside (pipeline, token) VALUES ({}, 1) ON DUPLICATE KEY UPDATE token = token + 1",
        text(pipeline)
    );
    crash::at(Point::RaiseToken, || db.execute(&sql).map_err(to("raise the fencing token")))?;
    token(db, pipeline)?.ok_or_else(|| Error::internal("the token was not there after it was raised"))
}

/// The newest token; `None` where nothing was ever loaded beside the pipeline's runs.
pub(crate) fn token(db: &Db, pipeline: &str) -> Result<Option<i64>> {
    let sql = format!("SELECT token FROM _floodmark_beside WHERE pipeline = {}", text(pipeline));
    Ok(db.query_opt(&sql).map_err(to("read the fencing token"))?.and_then(|row| row.number(0)))
}

/// Whether the pipeline still stands as `known`, for which the rows were made ready; in any case, `known` is how it stands
/// afterwards. The table is looked at and left as it is.
pub(crate) fn look(
    db: &Db,
    pipeline: &str,
    known: &mut State,
    plan: &LoadPlan<'_>,
    name: &Name,
    shape: &Shape<'_>,
) -> Result<()> {
    let now = state::read(db, pipeline)?.unwrap_or_default();
    let was = std::mem::replace(known, now);
    refusal::moved_on(pipeline, &was, known)?;
    let target = &plan.target;
    let table = &target.pipeline.destination.table;
    if plan.forget || !target.changes.is_empty() || known.table.as_ref() != Some(table) {
        return Err(Error::internal(format!("a load beside the runs of pipeline {pipeline:?} would change its table")));
    }
    swap::refuse_unfinished(db, pipeline)?;
    state::refuse_shared(db, pipeline, table, name)?;
    state::refuse_other_load(db, pipeline, target.pipeline.load)?;
    ddl::suits(db, name, shape)
}

/// Writes what such a load commits beside its rows: position, schema, settings and files are the runs' own. The token is
/// looked at under a lock, so that none is raised before the commit.
pub(crate) fn write(db: &Db, pipeline: &str, token: i64, commit: &Commit) -> Result<()> {
    let sql = format!(
        "SELECT token FROM _floodmark_beside WHERE pipeline = {} AND token = {token} FOR UPDATE",
        text(pipeline)
    );
    if db.query_opt(&sql).map_err(to("read the fencing token"))?.is_none() {
        return Err(refusal::fenced(pipeline));
    }
    receipts::forget_rejects(db, pipeline, commit)?;
    intervals::write(db, pipeline, commit)?;
    receipts::write_run(db, &commit.run)
}
