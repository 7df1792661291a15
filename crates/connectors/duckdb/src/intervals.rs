//! Receipts of intervals: `_floodmark_intervals`.

use crate::{
    failure::to,
    link::{Db, List, Row},
    raw::Failure,
    state,
};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    crash::{self, Point},
    kept,
};
use floodmark_core::{
    Result,
    interval::Interval,
    state::{Commit, IntervalEntry},
};

/// How many receipts one statement writes: few enough that its parameters stay small.
const AT_ONCE: usize = 10_000;

/// A pipeline's receipts, in no order; of one column where one is named.
pub(crate) fn read(db: &Db, pipeline: &str, column: Option<&str>) -> Result<Vec<IntervalEntry>> {
    // A database that no run has come to since has not got the table.
    if !state::there(db, "intervals")? {
        return Ok(Vec::new());
    }
    let rows = db
        .query(
            "SELECT \"column\", type, \"from\", until, run, rows, highest, settled, loaded_at FROM _floodmark_intervals
             WHERE pipeline = $1 AND ($2::text IS NULL OR \"column\" = $2)",
            &[&pipeline, &column],
        )
        .map_err(to("read the receipts of intervals"))?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<IntervalEntry> {
    type Columns = (String, String, String, String, String, i64, Option<String>, bool, DateTime<Utc>);
    let get = || -> Result<Columns, Failure> {
        Ok((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            row.try_get(8)?,
        ))
    };
    let (column, type_name, from, until, run, rows, highest, settled, loaded_at) =
        get().map_err(to("read the receipts of intervals"))?;
    let (data_type, interval, highest) = kept::interval(&type_name, &from, &until, highest.as_deref())?;
    Ok(IntervalEntry { column, data_type, interval, run, rows: rows as u64, highest, settled, loaded_at })
}

/// Writes the receipts of a commit's intervals, and takes those out that it absorbs.
pub(crate) fn write(db: &Db, pipeline: &str, commit: &Commit) -> Result<()> {
    for part in commit.absorbed.chunks(AT_ONCE) {
        take_out(db, pipeline, part)?;
    }
    put(db, pipeline, &commit.intervals)
}

fn take_out(db: &Db, pipeline: &str, part: &[(String, Interval)]) -> Result<()> {
    let text = |of: &dyn Fn(&(String, Interval)) -> String| -> Vec<String> { part.iter().map(of).collect() };
    crash::at(Point::WriteInterval, || {
        db.execute(
            "DELETE FROM _floodmark_intervals i USING (
               SELECT unnest($2::text[]) AS \"column\", unnest($3::text[]) AS \"from\", unnest($4::text[]) AS until) a
             WHERE i.pipeline = $1 AND i.\"column\" = a.\"column\" AND i.\"from\" = a.\"from\" AND i.until = a.until",
            &[
                &pipeline,
                &List(&text(&|(column, _)| column.clone())),
                &List(&text(&|(_, interval)| interval.from.to_string())),
                &List(&text(&|(_, interval)| interval.until.to_string())),
            ],
        )
        .map_err(to("write the receipts of intervals"))
    })?;
    Ok(())
}

/// Writes receipts in the place of earlier ones.
pub(crate) fn put(db: &Db, pipeline: &str, intervals: &[IntervalEntry]) -> Result<()> {
    for part in intervals.chunks(AT_ONCE) {
        let text = |of: &dyn Fn(&IntervalEntry) -> String| -> Vec<String> { part.iter().map(of).collect() };
        let rows: Vec<i64> = part.iter().map(|entry| entry.rows as i64).collect();
        let highest: Vec<Option<String>> =
            part.iter().map(|entry| entry.highest.as_ref().map(ToString::to_string)).collect();
        let settled: Vec<bool> = part.iter().map(|entry| entry.settled).collect();
        let loaded_at: Vec<DateTime<Utc>> = part.iter().map(|entry| entry.loaded_at).collect();
        let absorbed: Vec<(String, Interval)> =
            part.iter().map(|entry| (entry.column.clone(), entry.interval.clone())).collect();
        take_out(db, pipeline, &absorbed)?;
        crash::at(Point::WriteInterval, || {
            db.execute(
                "INSERT INTO _floodmark_intervals SELECT $1, unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
                   unnest($5::text[]), unnest($6::text[]), unnest($7::bigint[]), unnest($8::text[]), unnest($9::boolean[]),
                   unnest($10::timestamptz[])",
                &[
                    &pipeline,
                    &List(&text(&|entry| entry.column.clone())),
                    &List(&text(&|entry| entry.data_type.to_string())),
                    &List(&text(&|entry| entry.interval.from.to_string())),
                    &List(&text(&|entry| entry.interval.until.to_string())),
                    &List(&text(&|entry| entry.run.clone())),
                    &List(&rows),
                    &List(&highest),
                    &List(&settled),
                    &List(&loaded_at),
                ],
            )
            .map_err(to("write the receipts of intervals"))
        })?;
    }
    Ok(())
}
