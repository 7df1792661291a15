//! Tables that hold rows already when a pipeline comes to them for the first time.

use crate::{
    ddl::{self, Name},
    failure::to,
    link::Db,
    literal, merge,
};
use floodmark_core::{
    Code, Error, Result,
    pipeline::{AbsentRows, Load, Pipeline},
    state::State,
    wording,
};

/// Refuses a first load that would take out rows somebody else put into the table, or add rows to it that may be in
/// it, unless the pipeline says `adopt`. `state` does not speak of this table.
///
/// A pipeline whose state was forgotten comes to its own table as if for the first time; the run ledger knows it.
pub(crate) fn refuse(db: &Db, pipeline: &Pipeline, name: &Name, state: &State) -> Result<()> {
    let table = &pipeline.destination.table;
    if pipeline.adopt || ddl::table(db, name)?.is_none() || merge::is_empty(db, name)? {
        return Ok(());
    }
    let moved = state.table.as_ref().filter(|before| *before != table);
    let takes_out = match pipeline.load {
        Load::Overwrite => Some("`load: overwrite` would replace them"),
        _ if pipeline.absent_rows == AbsentRows::Delete => Some("`absent_rows: delete` would take out most of them"),
        _ => None,
    };
    let rows = || merge::count(db, name).map(|n| wording::count(n, "row"));
    if let Some(takes_out) = takes_out {
        if moved.is_none() && has_loaded(db, &pipeline.name)? {
            return Ok(());
        }
        let message = format!("table {table:?} holds {} that this pipeline did not load: {takes_out}", rows()?);
        return Err(Error::new(Code::TableShape, message)
            .state("nothing was written")
            .help("load into another table, or empty this one first")
            .help("if they may go, and the table is this pipeline's from now on: `adopt: true`"));
    }
    if let (Load::Append, false, Some(before)) = (pipeline.load, pipeline.at_least_once, moved) {
        let name = &pipeline.name;
        let message = format!(
            "pipeline {name:?} loaded table {before:?} last, and table {table:?} holds {} already: what it loaded there \
             earlier would be added again",
            rows()?
        );
        return Err(Error::new(Code::TableShape, message)
            .state("nothing was written")
            .help(
                "another project may have a pipeline of the same name in this database: give one of them another name",
            )
            .help("if none of those rows came from this source: `adopt: true`; if all did: `--full-refresh`"));
    }
    Ok(())
}

/// Whether a run of it committed anything: one that failed later has the rows that it read until then.
pub(crate) fn has_loaded(db: &Db, pipeline: &str) -> Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM _floodmark_runs WHERE pipeline = {} AND (status = 'ok' OR `read` > 0))",
        literal::text(pipeline)
    );
    Ok(db.query_one(&sql).map_err(to("read the run ledger"))?.number(0) == Some(1))
}
