//! What a commit says of the units whose rows are in it.

use super::tally::{Tally, number};
use crate::shape::Shaper;
use chrono::{DateTime, Utc};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Value,
    commits::{SliceKind, SliceShare},
    interval::Interval,
    pipeline::{Load, Pipeline},
    state::{IntervalEntry, Mark},
    wording,
};

/// A part of the axis that is loaded as one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    pub(crate) interval: Interval,
    /// The unit as it was asked for, of which this is what was not in, or as much as one transaction takes.
    pub(crate) whole: Interval,
    /// No row is to come there.
    pub(crate) settled: bool,
}

/// What was loaded of a unit before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) rows: u64,
    /// Some of it before the table's columns changed.
    pub(crate) reshaped: bool,
}

/// The units of one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Receipts<'r> {
    pub(crate) column: &'r str,
    pub(crate) data_type: DataType,
    pub(crate) units: &'r [Unit],
    /// By unit: entries that make up the whole with it. There is one for all of it from then on, so that a ledger does not
    /// tell where a backfill was broken off.
    pub(crate) kin: Vec<Vec<IntervalEntry>>,
    /// What entries say is in, where units are loaded once more.
    pub(crate) before: Before,
    /// Entries that go, as these units or their kin hold them.
    pub(crate) absorbed: Vec<Interval>,
    /// An `append` whose watermark moves with the rows: where that is.
    pub(crate) reaches: Option<Option<Value>>,
    /// Nothing was known of the highest number beforehand: an interval is settled as far as its own rows go, since numbers grow
    /// and more may come behind them.
    pub(crate) grows: bool,
    /// Nothing of the backfill comes after these.
    pub(crate) last: bool,
}

impl Receipts<'_> {
    /// Entries for the ledger. `done`: no row of theirs comes with a later commit; until then they stay open.
    pub(crate) fn entries(
        &self,
        shaper: &Shaper<'_>,
        run: &str,
        done: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<IntervalEntry>> {
        let tally = tally(shaper)?;
        let entry = |(at, unit): (usize, &Unit)| {
            let (met, highest) = tally.met(at);
            let kin = self.kin.get(at).map_or(&[][..], Vec::as_slice);
            let last = highest.as_ref().and_then(|value| number(value).ok()).map(|highest| highest + 1);
            let over = !self.grows || last == number(&unit.interval.until).ok();
            let highest = kin.iter().filter_map(|entry| entry.highest.clone()).chain(highest);
            IntervalEntry {
                column: self.column.to_owned(),
                data_type: self.data_type,
                interval: if kin.is_empty() { unit.interval.clone() } else { unit.whole.clone() },
                run: run.to_owned(),
                rows: met + kin.iter().map(|entry| entry.rows).sum::<u64>(),
                highest: highest.max_by_key(|value| number(value).ok()),
                settled: done && unit.settled && over && kin.iter().all(|entry| entry.settled),
                loaded_at: now,
            }
        };
        Ok(self.units.iter().enumerate().map(entry).collect())
    }

    /// Rows of the units that were met so far.
    pub(crate) fn met(&self, shaper: &Shaper<'_>) -> u64 {
        shaper.units().map_or(0, |tally| (0..self.units.len()).map(|at| tally.met(at).0).sum())
    }

    /// The units as one part of the source, of which a commit brings so many rows.
    pub(crate) fn share(&self, read: u64, rejected: u64) -> Option<SliceShare> {
        let (first, last) = (self.units.first()?, self.units.last()?);
        Some(SliceShare {
            kind: SliceKind::Interval,
            name: self.column.to_owned(),
            through: None,
            slices: self.units.len() as u64,
            from: Some(first.interval.from.to_string()),
            until: Some(last.interval.until.to_string()),
            read,
            skipped: 0,
            rejected,
        })
    }

    /// Entries that go.
    pub(crate) fn absorbed(&self) -> Vec<(String, Interval)> {
        self.absorbed.iter().map(|interval| (self.column.to_owned(), interval.clone())).collect()
    }

    /// Whether the watermark moves, or rows came at where it is.
    pub(crate) fn moves(&self, shaper: &Shaper<'_>) -> bool {
        self.reached(shaper).is_some()
    }

    /// Where it stands then.
    pub(crate) fn watermark(&self, shaper: &Shaper<'_>, stored: Option<Mark>) -> Option<Mark> {
        let mark = |value| Mark { column: self.column.to_owned(), data_type: self.data_type, value };
        self.reached(shaper).map(mark).or(stored)
    }

    fn reached(&self, shaper: &Shaper<'_>) -> Option<Value> {
        let from = self.reaches.as_ref()?;
        let tally = shaper.units()?;
        let highest = (0..self.units.len()).filter_map(|at| tally.met(at).1).max_by_key(|v| number(v).ok())?;
        let behind = from.as_ref().is_some_and(|from| highest.compare(from) == Some(std::cmp::Ordering::Less));
        (!behind).then_some(highest)
    }

    /// Rows that were loaded are there, and what comes of the source answers to them. Where fewer do than were loaded and the
    /// table's columns have changed, they are not what they were: what would be added beside them is the same rows once more.
    /// What the source has changed in them otherwise makes other rows, however many of them a transaction takes.
    pub(crate) fn refuse_others(&self, shaper: &Shaper<'_>, pipeline: &Pipeline, sum: &Counts) -> Result<()> {
        let came = self.met(shaper);
        let known = came.saturating_sub(sum.inserted);
        let Before { rows, reshaped } = self.before;
        let others = reshaped && known < rows;
        if pipeline.load != Load::Append || sum.inserted == 0 || !others {
            return Ok(());
        }
        let what = match (self.units.first(), self.units.last()) {
            (Some(first), Some(last)) => format!("[{}, {})", first.interval.from, last.interval.until),
            _ => String::new(),
        };
        Err(Error::new(
            Code::Unsafe,
            format!(
                "{} of {} in {what} {} loaded before, and {} of them {} in the source as before: {} would be added \
                 beside them",
                wording::count(rows, "row"),
                self.column,
                wording::verb(rows, "was", "were"),
                if known == 0 { "none".to_owned() } else { wording::grouped(known) },
                wording::verb(known.max(1), "is", "are"),
                wording::count(sum.inserted, "row")
            ),
        )
        .state("nothing of this part was written, and what is committed stays")
        .help("under `append` a row is its content: where a column came, went or changed since, its rows are others")
        .help(format!(
            "load everything anew with `floodmark run {} --full-refresh`, or give the pipeline a key and `load: upsert`",
            pipeline.name
        )))
    }

    /// A part of the table is not emptied because the source has nothing of it any more, unless that is asked for.
    pub(crate) fn refuse_empty(&self, pipeline: &Pipeline, sum: &Counts) -> Result<()> {
        let came = sum.inserted + sum.updated + sum.unchanged + sum.stale + sum.deleted + sum.delete_noop;
        if pipeline.load != Load::DeleteInsert || pipeline.allow_empty || came > 0 || sum.removed == 0 {
            return Ok(());
        }
        let what = self.units.first().map(|unit| unit.interval.to_string()).unwrap_or_default();
        let rows = wording::count(sum.removed, "row");
        Err(Error::new(
            Code::EmptyReplace,
            format!("the source holds no rows of {} in {what}, and the table holds {rows} of it", self.column),
        )
        .state("the interval stands as it was")
        .help("check the source; if its rows are gone for good, set `allow_empty: true`"))
    }
}

fn tally<'a>(shaper: &'a Shaper<'_>) -> Result<&'a Tally> {
    shaper.units().ok_or_else(|| Error::internal("receipts of units that nobody counted"))
}
