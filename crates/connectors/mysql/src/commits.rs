//! What the commits of runs brought: `_floodmark_commits`, a line for each run of the ledger that committed anything.

use crate::{failure::to, link::Db, literal::text, state};
use floodmark_connect::{
    crash::{self, Point},
    kept,
};
use floodmark_core::{Result, state::RunRecord};
use std::collections::HashMap;

/// Fills in what is kept of these runs.
pub(crate) fn read(db: &Db, runs: &mut [RunRecord]) -> Result<()> {
    // A database that no run has come to since has not got the table.
    if runs.is_empty() || !state::there(db, "commits")? {
        return Ok(());
    }
    let ids: Vec<String> = runs.iter().map(|run| text(&run.run)).collect();
    let sql = format!("SELECT run, commits FROM _floodmark_commits WHERE run IN ({})", ids.join(", "));
    let rows = db.query(&sql).map_err(to("read the run ledger"))?;
    let texts: HashMap<&str, &str> = rows.iter().filter_map(|row| Some((row.text(0)?, row.text(1)?))).collect();
    for run in runs {
        if let Some(text) = texts.get(run.run.as_str()) {
            run.commits = kept::commits(text)?;
        }
    }
    Ok(())
}

/// Writes a run's line in the place of an earlier one.
pub(crate) fn write(db: &Db, run: &RunRecord) -> Result<()> {
    if run.commits.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "REPLACE INTO _floodmark_commits (run, pipeline, commits) VALUES ({}, {}, {})",
        text(&run.run),
        text(&run.pipeline),
        text(&run.commits.text())
    );
    crash::at(Point::WriteRun, || db.execute(&sql).map_err(to("write the run ledger")))?;
    Ok(())
}

/// Drops the lines of runs that are in the ledger no more.
pub(crate) fn prune(db: &Db, pipeline: &str) -> Result<()> {
    let sql = format!(
        "DELETE c FROM _floodmark_commits c LEFT JOIN _floodmark_runs r ON r.run = c.run
         WHERE c.pipeline = {} AND r.run IS NULL",
        text(pipeline)
    );
    crash::at(Point::WriteRun, || db.execute(&sql).map_err(to("drop lines of the run ledger")))?;
    Ok(())
}
