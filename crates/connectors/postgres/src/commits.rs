//! What the commits of runs brought: `_floodmark_commits`, a line for each run of the ledger that committed anything.

use crate::{failure::to, link::Db, state};
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
    let ids: Vec<&str> = runs.iter().map(|run| run.run.as_str()).collect();
    let texts: HashMap<String, String> = db
        .query("SELECT run, commits FROM _floodmark_commits WHERE run = ANY ($1)", &[&ids])
        .and_then(|rows| rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect())
        .map_err(to("read the run ledger"))?;
    for run in runs {
        if let Some(text) = texts.get(&run.run) {
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
    // PostgreSQL holds every character but one, which JSON writes as an escape.
    crash::at(Point::WriteRun, || {
        db.execute(
            "INSERT INTO _floodmark_commits VALUES ($1, $2, $3) ON CONFLICT (run) DO UPDATE SET commits = excluded.commits",
            &[&run.run, &run.pipeline, &run.commits.text()],
        )
        .map_err(to("write the run ledger"))
    })?;
    Ok(())
}

/// Drops the lines of runs that are in the ledger no more.
pub(crate) fn prune(db: &Db, pipeline: &str) -> Result<()> {
    crash::at(Point::WriteRun, || {
        db.execute(
            "DELETE FROM _floodmark_commits c WHERE pipeline = $1
               AND NOT EXISTS (SELECT FROM _floodmark_runs r WHERE r.run = c.run)",
            &[&pipeline],
        )
        .map_err(to("drop lines of the run ledger"))
    })?;
    Ok(())
}
