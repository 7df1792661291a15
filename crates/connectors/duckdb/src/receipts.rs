//! The run ledger and the kept rejects: `_floodmark_runs` and `_floodmark_rejects`.

use crate::{
    commits,
    failure::to,
    link::{Db, List, Row},
    raw::Failure,
};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    crash::{self, Point},
    destination::{KeptReject, RejectQuery, RunQuery},
};
use floodmark_core::{
    Code, Counts, Error, Result,
    commits::Commits,
    state::{Commit, Reject, RunRecord, WatermarkMove},
};
use std::collections::HashSet;

const RUN_COLUMNS: &str = "run, pipeline, status, load, started_at, finished_at, read, transformed, skipped, rejected,
  superseded, stale, unchanged, inserted, updated, deleted, delete_noop, removed, watermark_column, watermark_before,
  watermark_after, error";

/// Keeps rows that a run set aside.
pub(crate) fn keep_rejects(db: &Db, pipeline: &str, run: &str, rejects: &[Reject]) -> Result<()> {
    for part in rejects.chunks(1000) {
        let text = |of: &dyn Fn(&Reject) -> &str| -> Vec<String> { part.iter().map(|r| of(r).to_owned()).collect() };
        let lines: Vec<i64> = part.iter().map(|r| r.line as i64).collect();
        let columns: Vec<Option<String>> = part.iter().map(|r| r.column.clone()).collect();
        crash::at(Point::Rejects, || {
            db.execute(
                "INSERT INTO _floodmark_rejects (pipeline, run, file, line, \"column\", reason, raw)
                 SELECT $1, $2, unnest($3::text[]), unnest($4::bigint[]), unnest($5::text[]), unnest($6::text[]),
                   unnest($7::text[])",
                &[
                    &pipeline,
                    &run,
                    &List(&text(&|r| &r.slice)),
                    &List(&lines),
                    &List(&columns),
                    &List(&text(&|r| &r.reason)),
                    &List(&text(&|r| &r.raw)),
                ],
            )
            .map_err(to("write the rejects"))
        })?;
    }
    Ok(())
}

/// Slices that rejects are kept of.
pub(crate) fn rejected_slices(db: &Db, pipeline: &str) -> Result<HashSet<String>> {
    db.query("SELECT DISTINCT file FROM _floodmark_rejects WHERE pipeline = $1", &[&pipeline])
        .and_then(|rows| rows.iter().map(|r| r.try_get(0)).collect())
        .map_err(to("read the rejects"))
}

/// Rejects that came anew with this run, or are no rejects any more.
pub(crate) fn forget_rejects(db: &Db, pipeline: &str, commit: &Commit) -> Result<()> {
    let replayed = &commit.replayed;
    if !replayed.is_empty() && drop_rejects(db, pipeline, replayed)? != replayed.len() as u64 {
        return Err(Error::new(
            Code::Busy,
            "some of the rejected rows were replayed, dropped or read again in the meantime",
        )
        .state("nothing was written")
        .help(format!("see what is left: floodmark rejects list {pipeline}")));
    }
    let run = &commit.run.run;
    let earlier = "WHERE pipeline = $1 AND file IN (SELECT unnest($2::text[])) AND run <> $3";
    let all = format!("DELETE FROM _floodmark_rejects {earlier}");
    let again = format!("{all} AND raw IN (SELECT raw FROM _floodmark_rejects WHERE pipeline = $1 AND run = $3)");
    let doubt = format!("UPDATE _floodmark_rejects SET doubtful = true {earlier}");
    for (slices, statements) in [(&commit.reread, &[&all][..]), (&commit.skimmed, &[&again, &doubt])] {
        for sql in statements.iter().filter(|_| !slices.is_empty()) {
            crash::at(Point::Rejects, || {
                db.execute(sql, &[&pipeline, &List(slices), &run]).map_err(to("drop the rejects of an earlier reading"))
            })?;
        }
    }
    Ok(())
}

/// Forgets the rejects of a pipeline.
pub(crate) fn forget_all_rejects(db: &Db, pipeline: &str) -> Result<()> {
    crash::at(Point::Rejects, || {
        db.execute("DELETE FROM _floodmark_rejects WHERE pipeline = $1", &[&pipeline]).map_err(to("forget the rejects"))
    })?;
    Ok(())
}

/// Drops rejects by number; returns how many there were.
pub(crate) fn drop_rejects(db: &Db, pipeline: &str, ids: &[i64]) -> Result<u64> {
    crash::at(Point::Rejects, || {
        db.execute(
            "DELETE FROM _floodmark_rejects WHERE pipeline = $1 AND id IN (SELECT unnest($2::bigint[]))",
            &[&pipeline, &List(ids)],
        )
        .map_err(to("drop rejects"))
    })
}

/// Writes a run's line in the place of an earlier one, with what its commits brought.
pub(crate) fn write_run(db: &Db, run: &RunRecord) -> Result<()> {
    let c = &run.counts;
    let n = |v: u64| v as i64;
    let w = run.watermark.as_ref();
    let names: Vec<&str> = RUN_COLUMNS.split(',').map(str::trim).collect();
    let marks: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
    let sql = format!("INSERT INTO _floodmark_runs ({RUN_COLUMNS}) VALUES ({})", marks.join(", "));
    crash::at(Point::WriteRun, || {
        db.execute("DELETE FROM _floodmark_runs WHERE run = $1", &[&run.run]).map_err(to("write the run ledger"))
    })?;
    crash::at(Point::WriteRun, || {
        db.execute(
            &sql,
            &[
                &run.run,
                &run.pipeline,
                &run.status,
                &run.load,
                &run.started_at,
                &run.finished_at,
                &n(c.read),
                &c.transformed.map(n),
                &n(c.skipped),
                &n(c.rejected),
                &n(c.superseded),
                &n(c.stale),
                &n(c.unchanged),
                &n(c.inserted),
                &n(c.updated),
                &n(c.deleted),
                &n(c.delete_noop),
                &n(c.removed),
                &w.map(|w| w.column.clone()),
                &w.and_then(|w| w.before.clone()),
                &w.and_then(|w| w.after.clone()),
                &run.error,
            ],
        )
        .map_err(to("write the run ledger"))
    })?;
    commits::write(db, run)
}

/// Drops old lines of the run ledger. The newest run that committed anything stays: it says how the table was loaded, and that
/// it was. So do lines of runs that never ended.
pub(crate) fn prune_runs(db: &Db, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
    let newest = "SELECT run FROM _floodmark_runs WHERE pipeline = $1";
    let order = "ORDER BY started_at DESC, run DESC LIMIT";
    let sql = format!(
        "DELETE FROM _floodmark_runs WHERE pipeline = $1 AND finished_at IS NOT NULL AND started_at < $2
           AND run NOT IN ({newest} {order} $3)
           AND run IS DISTINCT FROM ({newest} AND (status = 'ok' OR read > 0) AND load <> 'repair' {order} 1)"
    );
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let dropped = crash::at(Point::WriteRun, || {
        db.execute(&sql, &[&pipeline, &before, &keep]).map_err(to("drop lines of the run ledger"))
    })?;
    commits::prune(db, pipeline)?;
    Ok(dropped)
}

/// Runs, newest first.
pub(crate) fn runs(db: &Db, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
    let RunQuery { pipeline, status, id, before, limit } = *query;
    let (began, run) = before.map_or((None, None), |(began, run)| (Some(began), Some(run)));
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM _floodmark_runs
         WHERE ($1::text IS NULL OR pipeline = $1) AND ($2::text IS NULL OR starts_with(run, $2))
           AND ($3::text IS NULL OR status = $3)
           AND ($4::timestamptz IS NULL OR started_at < $4 OR (started_at = $4 AND run < $5::text))
         ORDER BY started_at DESC, run DESC LIMIT $6"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut runs: Vec<RunRecord> = db
        .query(&sql, &[&pipeline, &id, &status, &began, &run, &limit])
        .and_then(|rows| rows.iter().map(run_record).collect())
        .map_err(to("read the run ledger"))?;
    commits::read(db, &mut runs)?;
    Ok(runs)
}

fn run_record(r: &Row) -> Result<RunRecord, Failure> {
    let n = |at: usize| -> Result<u64, Failure> { Ok(r.try_get::<Option<i64>>(at)?.unwrap_or(0) as u64) };
    let column: Option<String> = r.try_get(18)?;
    Ok(RunRecord {
        run: r.try_get(0)?,
        pipeline: r.try_get(1)?,
        status: r.try_get(2)?,
        load: r.try_get(3)?,
        started_at: r.try_get(4)?,
        finished_at: r.try_get(5)?,
        counts: Counts {
            read: n(6)?,
            transformed: r.try_get::<Option<i64>>(7)?.map(|v| v as u64),
            skipped: n(8)?,
            rejected: n(9)?,
            superseded: n(10)?,
            stale: n(11)?,
            unchanged: n(12)?,
            inserted: n(13)?,
            updated: n(14)?,
            deleted: n(15)?,
            delete_noop: n(16)?,
            removed: n(17)?,
        },
        watermark: match column {
            None => None,
            Some(column) => Some(WatermarkMove { column, before: r.try_get(19)?, after: r.try_get(20)? }),
        },
        error: r.try_get(21)?,
        commits: Commits::default(),
    })
}

/// Kept rejects, by number.
pub(crate) fn rejects(db: &Db, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
    let kept = |r: &Row| -> Result<KeptReject, Failure> {
        Ok(KeptReject {
            id: r.try_get(0)?,
            pipeline: r.try_get(1)?,
            run: r.try_get(2)?,
            doubtful: r.try_get(8)?,
            reject: Reject {
                slice: r.try_get(3)?,
                line: r.try_get::<i64>(4)? as u64,
                column: r.try_get(5)?,
                reason: r.try_get(6)?,
                raw: r.try_get(7)?,
            },
        })
    };
    db.query(
        "SELECT id, pipeline, run, file, line, \"column\", reason, raw, doubtful FROM _floodmark_rejects
         WHERE ($1::text IS NULL OR pipeline = $1) AND id > $2 ORDER BY id LIMIT $3",
        &[&query.pipeline, &query.after, &query.most()],
    )
    .and_then(|rows| rows.iter().map(kept).collect())
    .map_err(to("read the rejects"))
}

/// How many there are of a pipeline.
pub(crate) fn count_rejects(db: &Db, pipeline: &str) -> Result<u64> {
    db.query_one("SELECT count(*) FROM _floodmark_rejects WHERE pipeline = $1", &[&pipeline])
        .and_then(|row| row.try_get::<i64>(0))
        .map(|n| n as u64)
        .map_err(to("read the rejects"))
}
