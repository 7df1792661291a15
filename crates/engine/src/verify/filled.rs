//! Where runs and backfills have read: what backfills loaded before the runs' beginning, beyond their watermark, or along
//! another column.

use crate::backfill::began;
use floodmark_core::{
    DataType, Value,
    interval::{Interval, joined},
    pipeline::{CursorNulls, Pipeline},
    state::{IntervalEntry, Mark, State},
};
use std::cmp::Ordering;

/// Where runs and backfills have read.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    /// That of the watermark first, then those that backfills went along beside it.
    axes: Vec<Axis>,
}

/// A column along which rows were read.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) column: String,
    pub(crate) data_type: DataType,
    /// In order, and apart from each other.
    intervals: Vec<Interval>,
    /// How far the pipeline's runs came, where it is theirs.
    runs: Option<Runs>,
}

#[derive(Debug, Clone)]
struct Runs {
    start: Option<Value>,
    /// They leave out what lies at the `start` itself.
    exclusive: bool,
    /// They read what has no value there.
    nulls: bool,
    mark: Option<Value>,
}

/// Where the pipeline's runs began, whatever the file says by now.
pub(super) fn start(pipeline: &Pipeline, state: &State) -> Option<String> {
    began(state, pipeline.cursor()?.start.as_deref())
}

/// The intervals of a column in the type it has today, joined where they meet.
pub(super) fn intervals(entries: &[IntervalEntry], column: &str, data_type: DataType) -> Vec<Interval> {
    let read = |value: &Value| Value::parse(&value.to_string(), data_type);
    let of = entries.iter().filter(|entry| entry.column == column);
    joined(of.filter_map(|entry| Interval::new(read(&entry.interval.from)?, read(&entry.interval.until)?)).collect())
}

/// The columns along which backfills went.
pub(super) fn columns(entries: &[IntervalEntry]) -> Vec<&str> {
    let mut columns: Vec<&str> = entries.iter().map(|entry| entry.column.as_str()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

impl Filled {
    /// `None` where no backfill was, and rows before the runs' beginning do not count (`whole`). `entries`: its receipts.
    pub(super) fn of(
        pipeline: &Pipeline,
        state: &State,
        mark: Option<&Mark>,
        entries: &[IntervalEntry],
        whole: bool,
    ) -> Option<Filled> {
        let spec = pipeline.cursor()?;
        let type_of = |name: &str| state.schema.as_ref().and_then(|schema| schema.get(name)).map(|c| c.data_type);
        let data_type = mark.map(|mark| mark.data_type).or_else(|| type_of(&spec.column))?;
        let own = Axis {
            column: spec.column.clone(),
            data_type,
            intervals: intervals(entries, &spec.column, data_type),
            runs: Some(Runs {
                start: start(pipeline, state).and_then(|start| Value::parse(&start, data_type)),
                exclusive: spec.exclusive,
                nulls: spec.nulls != CursorNulls::Exclude,
                mark: mark.map(|mark| mark.value.clone()),
            }),
        };
        let beside = columns(entries).into_iter().filter(|column| *column != spec.column).filter_map(|column| {
            let data_type = type_of(column)?;
            let intervals = intervals(entries, column, data_type);
            Some(Axis { column: column.to_owned(), data_type, intervals, runs: None })
        });
        let axes: Vec<Axis> = std::iter::once(own).chain(beside).filter(|a| a.runs.is_some() || a.any()).collect();
        (whole || axes.iter().any(Axis::any)).then_some(Filled { axes })
    }

    pub(crate) fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Whether backfills went along another column than the watermark's, so that no range of that holds what was read.
    pub(super) fn aside(&self) -> bool {
        self.axes.iter().any(|axis| axis.runs.is_none())
    }

    fn own(&self) -> Option<(&Axis, &Runs)> {
        self.axes.iter().find_map(|axis| Some((axis, axis.runs.as_ref()?)))
    }

    /// The lowest value of the watermark's column that may be in.
    pub(super) fn lowest(&self) -> Option<Value> {
        let (own, runs) = self.own()?;
        let lower = |a: &&Value, b: &&Value| a.compare(b).unwrap_or(Ordering::Equal);
        let start = runs.start.as_ref()?;
        own.intervals.iter().map(|interval| &interval.from).chain([start]).min_by(lower).cloned()
    }

    /// The last value that backfills loaded ahead of the watermark; `None` where that is nothing.
    pub(super) fn ahead(&self, mark: &Value) -> Option<Value> {
        let (own, _) = self.own()?;
        let ahead = |last: &Value| last.compare(mark) == Some(Ordering::Greater);
        let higher = |a: &Value, b: &Value| a.compare(b).unwrap_or(Ordering::Equal);
        own.intervals.iter().filter_map(|interval| own.before(&interval.until)).filter(ahead).max_by(higher)
    }

    /// Whether a row that neither has read lies where no run will: in a gap that backfills left.
    pub(super) fn in_gap(&self, value: impl Fn(&Axis) -> Option<Value>) -> bool {
        let of_runs = self.own().and_then(|(axis, runs)| Some((value(axis)?, runs)));
        self.axes.iter().any(Axis::any) && of_runs.is_some_and(|(value, runs)| !value.is_null() && !runs.come(&value))
    }

    /// Whether a run or a backfill has read a row. `value`: what it has in a column; `None` where that is not known.
    pub(crate) fn read(&self, value: impl Fn(&Axis) -> Option<Value>) -> bool {
        self.axes.iter().any(|axis| value(axis).is_none_or(|value| axis.read(&value)))
    }
}

impl Axis {
    fn any(&self) -> bool {
        !self.intervals.is_empty()
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

    /// Whether what has a value in the column was read along it. What has none lies in no interval.
    fn read(&self, value: &Value) -> bool {
        if value.is_null() {
            return self.runs.as_ref().is_some_and(|runs| runs.nulls);
        }
        let by_runs = self.runs.as_ref().is_some_and(|runs| runs.read(value));
        let last = self.intervals.partition_point(|interval| interval.from.compare(value) != Some(Ordering::Greater));
        by_runs || last.checked_sub(1).is_some_and(|last| self.intervals[last].holds(value))
    }
}

impl Runs {
    fn read(&self, value: &Value) -> bool {
        self.mark.as_ref().is_some_and(|mark| value.compare(mark) != Some(Ordering::Greater))
            && self.not_before_start(value)
    }

    /// Whether the next one reads what they have not read.
    fn come(&self, value: &Value) -> bool {
        match &self.mark {
            Some(mark) => value.compare(mark) == Some(Ordering::Greater),
            None => self.not_before_start(value),
        }
    }

    fn not_before_start(&self, value: &Value) -> bool {
        self.start.as_ref().is_none_or(|start| match value.compare(start) {
            Some(Ordering::Less) => false,
            Some(Ordering::Equal) => !self.exclusive,
            _ => true,
        })
    }
}
