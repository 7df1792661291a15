//! What the commits of runs brought: `_floodmark_commits`, a line for each run of the ledger that committed anything.

use crate::{
    failure::to,
    link::{Db, List},
};
use floodmark_connect::{
    crash::{self, Point},
    kept,
};
use floodmark_core::{Result, state::RunRecord};
use std::collections::HashMap;

/// Fills in what is kept of these runs.
pub(crate) fn read(db: &Db, runs: &mut [RunRecord]) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = runs.iter().map(|run| run.run.as_str()).collect();
    let sql = "SELECT run, commits FROM _floodmark_commits WHERE run IN (SELECT unnest($1::text[]))";
    let texts: HashMap<String, String> = db
        .query(sql, &[&List(&ids)])
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
    let fail = to("write the run ledger");
    let earlier = "DELETE FROM _floodmark_commits WHERE run = $1";
    crash::at(Point::WriteRun, || db.execute(earlier, &[&run.run]).map_err(&fail))?;
    crash::at(Point::WriteRun, || {
        db.execute(
            "INSERT INTO _floodmark_commits VALUES ($1, $2, $3)",
            &[&run.run, &run.pipeline, &run.commits.text()],
        )
        .map_err(&fail)
    })?;
    Ok(())
}

/// Drops the lines of runs that are in the ledger no more.
pub(crate) fn prune(db: &Db, pipeline: &str) -> Result<()> {
    crash::at(Point::WriteRun, || {
        db.execute(
            "DELETE FROM _floodmark_commits c WHERE pipeline = $1
               AND NOT EXISTS (SELECT 1 FROM _floodmark_runs r WHERE r.run = c.run)",
            &[&pipeline],
        )
        .map_err(to("drop lines of the run ledger"))
    })?;
    Ok(())
}
