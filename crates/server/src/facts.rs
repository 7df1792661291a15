//! What a destination's ledgers say of a pipeline: the truth, as of when it was read.

use crate::due::{How, Ran};
use chrono::{DateTime, Utc};
use floodmark_core::{
    Schema, Value,
    commits::{Commits, SliceKind},
    state::{Mark, REPAIR, RunRecord},
};
use std::collections::BTreeSet;

/// Runs that are kept of each pipeline.
pub(crate) const RUNS: usize = 60;

/// What is known of a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Newest first, at most [`RUNS`]; without what their commits brought, which is most of a run, and which the ledger is asked
    /// for when somebody looks at one.
    pub(crate) runs: Vec<RunRecord>,
    /// The same, as a schedule sees them.
    pub(crate) ran: Vec<Ran>,
    /// Those among them that loaded a part of the history, by the ledger or by who started them: one that failed before its
    /// first commit looks like any other run there.
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
        let filled = runs.iter().filter(|run| is_backfill(run)).map(|run| run.run.clone()).collect();
        for run in &mut runs {
            run.commits = Commits::default();
        }
        runs.shrink_to_fit();
        self.runs = runs;
        self.filled = BTreeSet::new();
        self.knowing(filled)
    }

    /// The same, where these runs are known to have loaded a part of the history, too.
    pub(crate) fn knowing(mut self, filled: BTreeSet<String>) -> Known {
        self.filled.extend(filled);
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

/// Whether the ledger has a part of the history as what it loaded.
pub(crate) fn is_backfill(run: &RunRecord) -> bool {
    let mut slices = run.commits.entries().iter().flat_map(|commit| &commit.slices);
    run.load != REPAIR && slices.any(|slice| slice.kind == SliceKind::Interval)
}

/// A run that is no backfill as a schedule sees it; `None` for a repair, which does not look for what is new either.
fn ran(run: &RunRecord) -> Option<Ran> {
    if run.load == REPAIR {
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
    use floodmark_core::{
        Counts,
        commits::{Committed, SliceShare},
    };

    fn run(id: &str, kind: SliceKind) -> RunRecord {
        let slice = SliceShare {
            kind,
            name: "orders.csv".into(),
            through: None,
            slices: 1,
            from: None,
            until: None,
            read: 1,
            skipped: 0,
            rejected: 0,
        };
        let mut commits = Commits::default();
        let at = DateTime::UNIX_EPOCH;
        let counts = Counts::default();
        commits.push(Committed { commits: 1, at, counts, watermark: None, bytes: None, slices: vec![slice] });
        RunRecord {
            run: id.into(),
            pipeline: "orders".into(),
            status: "ok".into(),
            load: "upsert".into(),
            started_at: at,
            finished_at: Some(at),
            counts,
            watermark: None,
            error: None,
            commits,
        }
    }

    #[test]
    fn what_commits_brought_is_not_kept_but_that_they_were_a_backfill_s_is() {
        let known = Known::default().with_runs(vec![run("b", SliceKind::Interval), run("a", SliceKind::File)]);
        assert!(known.runs.iter().all(|run| run.commits.is_empty()), "{known:?}");
        assert_eq!((known.ran.len(), known.last().map(|run| run.run.as_str())), (1, Some("a")));
        // Also where somebody else is known to have been one.
        let known = known.knowing(BTreeSet::from(["a".to_owned()]));
        assert_eq!((known.ran.len(), known.last()), (0, None));
    }

    #[test]
    fn a_watermark_that_is_a_day_reaches_to_its_end() {
        let until = |value| moment(&value).map(|at| at.to_rfc3339());
        assert_eq!(until(Value::Date(0)).as_deref(), Some("1970-01-02T00:00:00+00:00"));
        assert_eq!(until(Value::TimestampTz(1_500_000_000)).as_deref(), Some("1970-01-01T00:00:01.500+00:00"));
        assert_eq!(until(Value::Timestamp(i128::MAX)), None);
        assert_eq!(until(Value::Int(7)), None);
    }
}
