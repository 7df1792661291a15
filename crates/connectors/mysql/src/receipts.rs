//! The run ledger and the kept rejects: `_floodmark_runs` and `_floodmark_rejects`.

use crate::{
    commits,
    failure::to,
    link::{Db, Owned},
    literal::{optional, text},
    state,
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

const RUN_COLUMNS: &str =
    "run, pipeline, status, `load`, started_at, finished_at, `read`, transformed, skipped, rejected,
  superseded, stale, unchanged, inserted, updated, deleted, delete_noop, removed, watermark_column, watermark_before,
  watermark_after, error";

/// Keeps rows that a run set aside.
pub(crate) fn keep_rejects(db: &Db, pipeline: &str, run: &str, rejects: &[Reject]) -> Result<()> {
    if rejects.is_empty() {
        return Ok(());
    }
    let values = rejects.iter().map(|r| {
        format!(
            "({}, {}, {}, {}, {}, {}, {})",
            text(pipeline),
            text(run),
            text(&r.slice),
            r.line,
            optional(r.column.as_deref()),
            text(&r.reason),
            text(&r.raw)
        )
    });
    let before = "INSERT INTO _floodmark_rejects (pipeline, run, file, line, `column`, reason, raw) VALUES ";
    crash::at(Point::Rejects, || db.with_values(before, values, "").map_err(to("write the rejects")))?;
    Ok(())
}

/// Slices that rejects are kept of.
pub(crate) fn rejected_slices(db: &Db, pipeline: &str) -> Result<HashSet<String>> {
    let sql = format!("SELECT DISTINCT file FROM _floodmark_rejects WHERE pipeline = {}", text(pipeline));
    let rows = db.query(&sql).map_err(to("read the rejects"))?;
    Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
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
    let (mine, run) = (text(pipeline), text(&commit.run.run));
    let fail = to("drop the rejects of an earlier reading");
    for (slices, skimmed) in [(&commit.reread, false), (&commit.skimmed, true)] {
        for part in slices.chunks(1000) {
            let files = part.iter().map(|s| text(s)).collect::<Vec<_>>().join(", ");
            let earlier = format!("r.pipeline = {mine} AND r.file IN ({files}) AND r.run <> {run}");
            let statements = match skimmed {
                false => vec![format!("DELETE r FROM _floodmark_rejects r WHERE {earlier}")],
                true => vec![
                    format!(
                        "DELETE r FROM _floodmark_rejects r JOIN
                           (SELECT DISTINCT raw FROM _floodmark_rejects WHERE pipeline = {mine} AND run = {run}) n
                           ON n.raw = r.raw WHERE {earlier}"
                    ),
                    format!("UPDATE _floodmark_rejects r SET r.doubtful = 1 WHERE {earlier}"),
                ],
            };
            for sql in statements {
                crash::at(Point::Rejects, || db.execute(&sql).map_err(&fail))?;
            }
        }
    }
    Ok(())
}

/// Forgets the rejects of a pipeline.
pub(crate) fn forget_all_rejects(db: &Db, pipeline: &str) -> Result<()> {
    let sql = format!("DELETE FROM _floodmark_rejects WHERE pipeline = {}", text(pipeline));
    crash::at(Point::Rejects, || db.execute(&sql).map_err(to("forget the rejects")))?;
    Ok(())
}

/// Drops rejects by number; returns how many there were.
pub(crate) fn drop_rejects(db: &Db, pipeline: &str, ids: &[i64]) -> Result<u64> {
    let before = format!("DELETE FROM _floodmark_rejects WHERE pipeline = {} AND id IN (", text(pipeline));
    let ids = ids.iter().map(i64::to_string);
    crash::at(Point::Rejects, || db.with_values(&before, ids, ")").map_err(to("drop rejects")))
}

/// Writes a run's line in the place of an earlier one, with what its commits brought.
pub(crate) fn write_run(db: &Db, run: &RunRecord) -> Result<()> {
    let c = &run.counts;
    let w = run.watermark.as_ref();
    let of_mark = |part: Option<&String>| optional(part.map(String::as_str));
    let counts = [
        Some(c.read),
        c.transformed,
        Some(c.skipped),
        Some(c.rejected),
        Some(c.superseded),
        Some(c.stale),
        Some(c.unchanged),
        Some(c.inserted),
        Some(c.updated),
        Some(c.deleted),
        Some(c.delete_noop),
        Some(c.removed),
    ];
    let counts: Vec<String> = counts.iter().map(|n| n.map_or("NULL".to_owned(), |n| n.to_string())).collect();
    let sql = format!(
        "REPLACE INTO _floodmark_runs ({RUN_COLUMNS}) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        text(&run.run),
        text(&run.pipeline),
        text(&run.status),
        text(&run.load),
        state::moment(run.started_at),
        run.finished_at.map_or("NULL".to_owned(), state::moment),
        counts.join(", "),
        optional(w.map(|w| w.column.as_str())),
        of_mark(w.and_then(|w| w.before.as_ref())),
        of_mark(w.and_then(|w| w.after.as_ref())),
        optional(run.error.as_deref())
    );
    crash::at(Point::WriteRun, || db.execute(&sql).map_err(to("write the run ledger")))?;
    commits::write(db, run)
}

/// Drops old lines of the run ledger. The newest run that committed anything stays: it says how the table was loaded, and that
/// it was. So do lines of runs that never ended.
pub(crate) fn prune_runs(db: &Db, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
    let (mine, keep) = (text(pipeline), i64::try_from(keep).unwrap_or(i64::MAX));
    let newest = format!("SELECT run FROM _floodmark_runs WHERE pipeline = {mine}");
    let order = "ORDER BY started_at DESC, run DESC LIMIT";
    // The server takes a limit in a subquery only where that is a table of its own.
    let sql = format!(
        "DELETE r FROM _floodmark_runs r
         LEFT JOIN ({newest} {order} {keep}) k ON k.run = r.run
         LEFT JOIN ({newest} AND (status = 'ok' OR `read` > 0) AND `load` <> 'repair' {order} 1) l ON l.run = r.run
         WHERE r.pipeline = {mine} AND r.finished_at IS NOT NULL AND r.started_at < {} AND k.run IS NULL AND l.run IS NULL",
        state::moment(before)
    );
    let dropped = crash::at(Point::WriteRun, || db.execute(&sql).map_err(to("drop lines of the run ledger")))?.rows;
    commits::prune(db, pipeline)?;
    Ok(dropped)
}

/// Runs, newest first.
pub(crate) fn runs(db: &Db, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
    let RunQuery { pipeline, status, id, before, limit } = *query;
    let mut conditions = vec!["TRUE".to_owned()];
    conditions.extend(pipeline.map(|p| format!("pipeline = {}", text(p))));
    conditions.extend(status.map(|status| format!("status = {}", text(status))));
    conditions
        .extend(before.map(|(began, run)| format!("(started_at, run) < ({}, {})", state::moment(began), text(run))));
    conditions.extend(id.map(|id| format!("LEFT(run, {}) = {}", id.chars().count(), text(id))));
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM _floodmark_runs WHERE {} ORDER BY started_at DESC, run DESC LIMIT {limit}",
        conditions.join(" AND ")
    );
    let rows = db.query(&sql).map_err(to("read the run ledger"))?;
    let record = |row: &Owned| {
        run_record(row).ok_or_else(|| floodmark_connect::kept::damaged("the run", row.text(0).unwrap_or("")))
    };
    let mut runs = rows.iter().map(record).collect::<Result<Vec<RunRecord>>>()?;
    commits::read(db, &mut runs)?;
    Ok(runs)
}

fn run_record(r: &Owned) -> Option<RunRecord> {
    let n = |at: usize| r.number::<u64>(at).unwrap_or(0);
    let owned = |at: usize| r.text(at).map(str::to_owned);
    Some(RunRecord {
        run: owned(0)?,
        pipeline: owned(1)?,
        status: owned(2)?,
        load: owned(3)?,
        started_at: state::parse_moment(r.text(4)?)?,
        finished_at: r.text(5).and_then(state::parse_moment),
        counts: Counts {
            read: n(6),
            transformed: r.number(7),
            skipped: n(8),
            rejected: n(9),
            superseded: n(10),
            stale: n(11),
            unchanged: n(12),
            inserted: n(13),
            updated: n(14),
            deleted: n(15),
            delete_noop: n(16),
            removed: n(17),
        },
        watermark: owned(18).map(|column| WatermarkMove { column, before: owned(19), after: owned(20) }),
        error: owned(21),
        commits: Commits::default(),
    })
}

/// Kept rejects, by number.
pub(crate) fn rejects(db: &Db, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
    let condition = query.pipeline.map_or("TRUE".to_owned(), |p| format!("pipeline = {}", text(p)));
    let (after, most) = (query.after, query.most());
    let sql = format!(
        "SELECT id, pipeline, run, file, line, `column`, reason, raw, doubtful FROM _floodmark_rejects
         WHERE {condition} AND id > {after} ORDER BY id LIMIT {most}"
    );
    let kept = |r: &Owned| {
        let owned = |at: usize| r.text(at).unwrap_or_default().to_owned();
        KeptReject {
            id: r.number(0).unwrap_or_default(),
            pipeline: owned(1),
            run: owned(2),
            doubtful: r.number(8) == Some(1),
            reject: Reject {
                slice: owned(3),
                line: r.number(4).unwrap_or_default(),
                column: r.text(5).map(str::to_owned),
                reason: owned(6),
                raw: owned(7),
            },
        }
    };
    Ok(db.query(&sql).map_err(to("read the rejects"))?.iter().map(kept).collect())
}

/// How many there are of a pipeline.
pub(crate) fn count_rejects(db: &Db, pipeline: &str) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM _floodmark_rejects WHERE pipeline = {}", text(pipeline));
    let row = db.query_opt(&sql).map_err(to("read the rejects"))?;
    Ok(row.and_then(|row| row.number(0)).unwrap_or_default())
}
