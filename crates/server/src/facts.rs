//! What a destination's ledgers say of a pipeline: the truth, as of when it was read.

use crate::due::{How, Ran};
use chrono::{DateTime, Utc};
use floodmark_core::{
    Schema, Value,
    commits::SliceKind,
    state::{Mark, REPAIR, RunRecord},
};
use std::collections::BTreeSet;

/// Runs that are kept of each pipeline.
pub(crate) const RUNS: usize = 60;

/// What is known of a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Newest first, at most [`RUNS`].
    pub(crate) runs: Vec<RunRecord>,
    /// The same, as a schedule sees them.
    pub(crate) ran: Vec<Ran>,
    /// Those among them that loaded a part of the history, as far as only whoever started them knows: one that failed before its
    /// first commit looks like any other run in the ledger.
    pub(crate) filled: BTreeSet<String>,
    pub(crate) watermark: Option<Mark>,
    pub(crate) schema: Option<Schema>,
    /// Kept rejects.
    pub(crate) rejects: usize,
    /// Why the ledger could not be read this time; the rest is as it was read before.
    pub(crate) error: Option<String>,
    /// When it was read; `None` where it never could be.
    pub(crate) read_at: Option<DateTime<Utc>>,
}

impl Known {
    /// Takes over runs, newest first.
    pub(crate) fn with_runs(mut self, mut runs: Vec<RunRecord>) -> Known {
        runs.truncate(RUNS);
        self.ran = runs.iter().filter_map(ran).collect();
        self.runs = runs;
        self
    }

    /// The same, where these runs are known to have loaded a part of the history.
    pub(crate) fn knowing(mut self, filled: BTreeSet<String>) -> Known {
        if filled.is_empty() {
            return self;
        }
        self.filled = filled;
        self.ran = self.runs.iter().filter(|run| !self.filled.contains(&run.run)).filter_map(ran).collect();
        self
    }

    /// The id of the newest run, empty where there is none; `None` where that is not known.
    pub(crate) fn newest(&self) -> Option<String> {
        if self.error.is_some() {
            return None;
        }
        Some(self.runs.first().map(|run| run.run.clone()).unwrap_or_default())
    }

    /// When the last good run ended.
    pub(crate) fn well(&self) -> Option<DateTime<Utc>> {
        self.ran.iter().filter(|ran| ran.how == How::Well).map(|ran| ran.ended).max()
    }

    /// The newest run that loaded what is new, whatever became of it.
    pub(crate) fn last(&self) -> Option<&RunRecord> {
        self.runs.iter().filter(|run| !self.filled.contains(&run.run)).find(|run| ran(run).is_some())
    }

    /// The moment up to which rows are loaded, where the watermark is one.
    pub(crate) fn loaded_until(&self) -> Option<DateTime<Utc>> {
        moment(&self.watermark.as_ref()?.value)
    }
}

/// A date counts as its end: whatever was of that day is not older.
fn moment(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => {
            DateTime::from_timestamp_micros(i64::try_from(nanos.div_euclid(1_000)).ok()?)
        }
        Value::Date(days) => DateTime::from_timestamp((i64::from(*days) + 1).checked_mul(86_400)?, 0),
        _ => None,
    }
}

/// A run as a schedule sees it; `None` for one that did not look for what is new: a repair, a backfill.
fn ran(run: &RunRecord) -> Option<Ran> {
    let filled = run.commits.entries().iter().flat_map(|commit| &commit.slices);
    if run.load == REPAIR || filled.clone().any(|slice| slice.kind == SliceKind::Interval) {
        return None;
    }
    let how = match run.status.as_str() {
        "ok" | "nothing_new" => How::Well,
        "failed" => How::Failed,
        _ => How::Open,
    };
    Some(Ran { began: run.started_at, ended: run.finished_at.unwrap_or(run.started_at), how })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_that_is_a_day_reaches_to_its_end() {
        let until = |value| moment(&value).map(|at| at.to_rfc3339());
        assert_eq!(until(Value::Date(0)).as_deref(), Some("1970-01-02T00:00:00+00:00"));
        assert_eq!(until(Value::TimestampTz(1_500_000_000)).as_deref(), Some("1970-01-01T00:00:01.500+00:00"));
        assert_eq!(until(Value::Timestamp(i128::MAX)), None);
        assert_eq!(until(Value::Int(7)), None);
    }
}
