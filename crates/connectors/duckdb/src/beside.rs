//! Loads beside the runs of a pipeline.

use crate::{
    ddl::{self, Name},
    failure::to,
    intervals,
    link::Db,
    receipts, state,
};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
    refusal,
};
use floodmark_core::{
    DataType, Error, Result,
    state::{Commit, State},
};

/// Raises the token of such loads, which is none of the runs', and returns it.
pub(crate) fn raise_token(db: &Db, pipeline: &str) -> Result<i64> {
    crash::at(Point::RaiseToken, || state::raise(db, "_floodmark_beside", pipeline))
}

/// The newest token; `None` where nothing was ever loaded beside the pipeline's runs.
pub(crate) fn token(db: &Db, pipeline: &str) -> Result<Option<i64>> {
    db.query_opt("SELECT token FROM _floodmark_beside WHERE pipeline = $1", &[&pipeline])
        .and_then(|row| row.map(|r| r.try_get(0)).transpose())
        .map_err(to("read the fencing token"))
}

/// Whether the pipeline still stands as `known`, for which the rows were made ready; in any case, `known` is how it stands
/// afterwards. The table is looked at and left as it is. `at`: the type of the moments of a history.
pub(crate) fn look(
    db: &Db,
    pipeline: &str,
    known: &mut State,
    plan: &LoadPlan<'_>,
    name: &Name,
    at: DataType,
) -> Result<()> {
    let now = state::read(db, pipeline)?.unwrap_or_default();
    let was = std::mem::replace(known, now);
    refusal::moved_on(pipeline, &was, known)?;
    let target = &plan.target;
    let table = &target.pipeline.destination.table;
    if plan.forget || !target.changes.is_empty() || known.table.as_ref() != Some(table) {
        return Err(Error::internal(format!("a load beside the runs of pipeline {pipeline:?} would change its table")));
    }
    state::refuse_shared(db, pipeline, table, name)?;
    state::refuse_other_load(db, pipeline, target.pipeline.load)?;
    ddl::suits(db, target.pipeline, name, target.schema, at)
}

/// Writes what such a load commits beside its rows: position, schema, settings and files are the runs' own. Nobody else
/// writes between the look at the token and the commit.
pub(crate) fn write(db: &Db, pipeline: &str, token: i64, commit: &Commit) -> Result<()> {
    if self::token(db, pipeline)? != Some(token) {
        return Err(refusal::fenced(pipeline));
    }
    receipts::forget_rejects(db, pipeline, commit)?;
    intervals::write(db, pipeline, commit)?;
    receipts::write_run(db, &commit.run)
}
