//! Receipts of intervals: `_floodmark_intervals`.

use crate::{
    failure::to,
    link::{Db, Owned},
    literal::{optional, text},
    state,
};
use floodmark_connect::{
    crash::{self, Point},
    kept,
};
use floodmark_core::{
    Result,
    interval::Interval,
    state::{Commit, IntervalEntry},
};

/// Receipts that one statement removes.
const AT_ONCE: usize = 1000;

/// A pipeline's receipts, in no order; of one column where one is named.
pub(crate) fn read(db: &Db, pipeline: &str, column: Option<&str>) -> Result<Vec<IntervalEntry>> {
    // A database that no run has come to since has not got the table.
    if !state::there(db, "intervals")? {
        return Ok(Vec::new());
    }
    let of_column = column.map_or_else(String::new, |column| format!(" AND `column` = {}", text(column)));
    let sql = format!(
        "SELECT `column`, type, `from`, until, run, `rows`, highest, settled, loaded_at FROM _floodmark_intervals
         WHERE pipeline = {}{of_column}",
        text(pipeline)
    );
    db.query(&sql).map_err(to("read the receipts of intervals"))?.iter().map(entry).collect()
}

fn entry(row: &Owned) -> Result<IntervalEntry> {
    let part = |at: usize| row.text(at).unwrap_or_default();
    let (data_type, interval, highest) = kept::interval(part(1), part(2), part(3), row.text(6))?;
    let loaded_at = state::parse_moment(part(8)).ok_or_else(|| kept::damaged("the time", part(8)))?;
    Ok(IntervalEntry {
        column: part(0).to_owned(),
        data_type,
        interval,
        run: part(4).to_owned(),
        rows: row.number::<i64>(5).unwrap_or_default() as u64,
        highest,
        settled: row.number(7) == Some(1),
        loaded_at,
    })
}

/// The place of a receipt.
fn id(column: &str, interval: &Interval) -> String {
    state::id(
        &serde_json::Value::from(vec![column.to_owned(), interval.from.to_string(), interval.until.to_string()])
            .to_string(),
    )
}

/// Writes the receipts of a commit's intervals, and takes those out that it absorbs.
pub(crate) fn write(db: &Db, pipeline: &str, commit: &Commit) -> Result<()> {
    for part in commit.absorbed.chunks(AT_ONCE) {
        let ids: Vec<String> = part.iter().map(|(column, interval)| id(column, interval)).collect();
        let sql = format!(
            "DELETE FROM _floodmark_intervals WHERE pipeline = {} AND id IN ({})",
            text(pipeline),
            ids.join(", ")
        );
        crash::at(Point::WriteInterval, || db.execute(&sql).map_err(to("write the receipts of intervals")))?;
    }
    put(db, pipeline, &commit.intervals)
}

/// Writes receipts in the place of earlier ones.
pub(crate) fn put(db: &Db, pipeline: &str, intervals: &[IntervalEntry]) -> Result<()> {
    if intervals.is_empty() {
        return Ok(());
    }
    let values = intervals.iter().map(|entry| {
        format!(
            "({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
            text(pipeline),
            id(&entry.column, &entry.interval),
            text(&entry.column),
            text(&entry.data_type.to_string()),
            text(&entry.interval.from.to_string()),
            text(&entry.interval.until.to_string()),
            text(&entry.run),
            entry.rows as i64,
            optional(entry.highest.as_ref().map(ToString::to_string).as_deref()),
            u8::from(entry.settled),
            state::moment(entry.loaded_at)
        )
    });
    crash::at(Point::WriteInterval, || {
        db.with_values("REPLACE INTO _floodmark_intervals VALUES ", values, "")
            .map_err(to("write the receipts of intervals"))
    })?;
    Ok(())
}
