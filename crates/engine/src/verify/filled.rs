//! What backfills loaded of the watermark's axis, before the pipeline's `start` or beyond its watermark.

use crate::registry;
use floodmark_core::{DataType, Result, Value, interval::Interval, pipeline::Pipeline, state::Mark};
use std::cmp::Ordering;

/// Where runs and backfills have read.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    pub(crate) column: String,
    pub(crate) data_type: DataType,
    intervals: Vec<Interval>,
    start: Option<Value>,
    /// Runs leave out what lies at the `start` itself.
    exclusive: bool,
    mark: Option<Value>,
}

impl Filled {
    /// `None` where no backfill was.
    pub(super) fn of(pipeline: &Pipeline, mark: Option<&Mark>) -> Result<Option<Filled>> {
        let Some(spec) = pipeline.cursor() else { return Ok(None) };
        let ledger = registry::destination(&pipeline.destination.url)?.ledger()?;
        let mut entries = ledger.intervals(&pipeline.name)?;
        entries.retain(|entry| entry.column == spec.column);
        let Some(data_type) = entries.first().map(|entry| entry.data_type) else { return Ok(None) };
        Ok(Some(Filled {
            column: spec.column.clone(),
            data_type,
            intervals: entries.into_iter().map(|entry| entry.interval).collect(),
            start: spec.start.as_deref().and_then(|start| Value::parse(start, data_type)),
            exclusive: spec.exclusive,
            mark: mark.map(|mark| mark.value.clone()),
        }))
    }

    /// The lowest value that may be in.
    pub(super) fn lowest(&self) -> Option<Value> {
        let start = self.start.as_ref()?;
        let lower = |a: &&Value, b: &&Value| a.compare(b).unwrap_or(Ordering::Equal);
        self.intervals.iter().map(|interval| &interval.from).chain([start]).min_by(lower).cloned()
    }

    /// The last value that backfills loaded ahead of the watermark; `None` where that is nothing.
    pub(super) fn ahead(&self, mark: &Value) -> Option<Value> {
        let ahead = |last: &Value| last.compare(mark) == Some(Ordering::Greater);
        let higher = |a: &Value, b: &Value| a.compare(b).unwrap_or(Ordering::Equal);
        self.intervals.iter().filter_map(|interval| self.before(&interval.until)).filter(ahead).max_by(higher)
    }

    /// The last value of the column's type that is before another. What databases keep of a moment is whole microseconds.
    fn before(&self, end: &Value) -> Option<Value> {
        let least = match self.data_type {
            DataType::Timestamp { nanos: false } | DataType::TimestampTz { nanos: false } => 1000,
            _ => 1,
        };
        Some(match end {
            Value::Int(v) => Value::Int(v.checked_sub(1)?),
            Value::Decimal(v, scale) => Value::Decimal(v.checked_sub(1)?, *scale),
            Value::Date(v) => Value::Date(v.checked_sub(1)?),
            Value::Timestamp(v) => Value::Timestamp(v - least),
            Value::TimestampTz(v) => Value::TimestampTz(v - least),
            _ => return None,
        })
    }

    /// Whether a run or a backfill has read there.
    pub(crate) fn read(&self, value: &Value) -> bool {
        let not_before = |start: &Value| match value.compare(start) {
            Some(Ordering::Less) => false,
            Some(Ordering::Equal) => !self.exclusive,
            _ => true,
        };
        let by_runs = self.mark.as_ref().is_some_and(|mark| value.compare(mark) != Some(Ordering::Greater))
            && self.start.as_ref().is_none_or(not_before);
        by_runs || self.intervals.iter().any(|interval| interval.holds(value))
    }
}
