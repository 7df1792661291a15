//! What the commits of runs brought: `_floodmark_commits`, a line for each run of the ledger that committed anything.

use crate::{failure::to, state};
use floodmark_connect::{
    crash::{self, Point},
    kept,
};
use floodmark_core::{Result, state::RunRecord};
use rusqlite::{Connection, OptionalExtension, params};

/// Fills in what is kept of these runs.
pub(crate) fn read(db: &Connection, runs: &mut [RunRecord]) -> Result<()> {
    // State tables that nobody has written to since it came into use do not have it yet.
    if !state::there(db, "_floodmark_commits")? {
        return Ok(());
    }
    let fail = to("read the run ledger");
    let mut select = db.prepare("SELECT commits FROM _floodmark_commits WHERE run = ?1").map_err(&fail)?;
    for run in runs {
        let text: Option<String> = select.query_row([&run.run], |r| r.get(0)).optional().map_err(&fail)?;
        if let Some(text) = text {
            run.commits = kept::commits(&text)?;
        }
    }
    Ok(())
}

/// Writes a run's line in the place of an earlier one.
pub(crate) fn write(db: &Connection, run: &RunRecord) -> Result<()> {
    if run.commits.is_empty() {
        return Ok(());
    }
    crash::at(Point::WriteRun, || {
        db.prepare_cached("INSERT OR REPLACE INTO _floodmark_commits VALUES (?1, ?2, ?3)")
            .and_then(|mut s| s.execute(params![run.run, run.pipeline, run.commits.text()]))
            .map_err(to("write the run ledger"))
    })?;
    Ok(())
}

/// Drops the lines of runs that are in the ledger no more.
pub(crate) fn prune(db: &Connection, pipeline: &str) -> Result<()> {
    crash::at(Point::WriteRun, || {
        db.execute(
            "DELETE FROM _floodmark_commits WHERE pipeline = ?1
               AND run NOT IN (SELECT run FROM _floodmark_runs WHERE pipeline = ?1)",
            [pipeline],
        )
        .map_err(to("drop lines of the run ledger"))
    })?;
    Ok(())
}
