//! What of an axis is in: a cell for each day (or month, or part of the numbers), in rows, to be drawn.

use crate::{
    Result, Value,
    interval::{Axis, Interval, Step, gaps},
    state::IntervalEntry,
};
use std::cmp::Ordering;

/// Days are shown one by one for at most so many; months beyond.
const MOST_DAYS: usize = 800;
/// Cells of a row of numbers.
const ACROSS: u64 = 60;

/// How a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// Not of the range.
    Beyond,
    /// Nothing of it is in.
    Missing,
    /// Some of it is in.
    Part,
    /// All of it was loaded, and rows may still come.
    Open,
    /// By the pipeline's runs.
    Run,
    /// By a backfill.
    Filled,
}

impl Stands {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Stands::Beyond => "",
            Stands::Missing => "missing",
            Stands::Part => "partly in",
            Stands::Open => "open: rows may still come",
            Stands::Run => "by runs",
            Stands::Filled => "by backfill",
        }
    }

    /// For styles.
    pub fn class(self) -> &'static str {
        match self {
            Stands::Beyond => "beyond",
            Stands::Missing => "missing",
            Stands::Part => "part",
            Stands::Open => "open",
            Stands::Run => "run",
            Stands::Filled => "filled",
        }
    }
}

/// What is known of an axis.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its values.
    pub axis: &'a Axis,
    /// Receipts of intervals.
    pub entries: &'a [IntervalEntry],
    /// Where runs began, as they read it: not in the pipeline's zone.
    pub start: Option<&'a str>,
    /// The watermark, where the axis is its own.
    pub watermark: Option<&'a Value>,
}

/// Cells in rows.
#[derive(Debug, Clone)]
pub struct Grid {
    /// From where to where.
    pub range: Interval,
    /// What a cell is, for people.
    pub cell: String,
    /// What stands above a column, where columns have names: days of the month, or months.
    pub columns: Vec<String>,
    /// Each with its name.
    pub rows: Vec<(String, Vec<(Stands, Interval)>)>,
    /// Of the range, in order.
    pub missing: Vec<Interval>,
}

impl Grid {
    /// Of a range, or of all that is known; `None` where that is nothing.
    ///
    /// # Errors
    /// Where the range cannot be cut into units.
    pub fn new(known: Known<'_>, from: Option<Value>, until: Option<Value>) -> Result<Option<Grid>> {
        let Known { axis, entries, watermark, .. } = known;
        let start = known.start.and_then(|start| Value::parse(start, axis.data_type));
        let ends = entries.iter().flat_map(|entry| [&entry.interval.from, &entry.interval.until]);
        let seen: Vec<&Value> = ends.chain(start.as_ref()).chain(watermark).collect();
        let order = |a: &&&Value, b: &&&Value| a.compare(b).unwrap_or(Ordering::Equal);
        let lowest = from.or_else(|| seen.iter().min_by(order).map(|v| (*v).clone()));
        let highest = until.or_else(|| seen.iter().max_by(order).map(|v| (*v).clone()));
        let (Some(lowest), Some(highest)) = (lowest, highest) else { return Ok(None) };
        let Some(range) = Interval::new(lowest.clone(), highest) else { return Ok(None) };
        let run = watermark.cloned().and_then(|mark| Interval::new(start.unwrap_or_else(|| lowest.clone()), mark));
        let settled: Vec<Interval> = entries.iter().filter(|e| e.settled).map(|e| e.interval.clone()).collect();
        let mut all: Vec<Interval> = entries.iter().map(|e| e.interval.clone()).collect();
        all.extend(run.clone());
        let stands = |part: &Interval| {
            let of = |done: &[Interval]| gaps(part, done).is_empty();
            if of(&settled) {
                Stands::Filled
            } else if run.iter().any(|run| of(std::slice::from_ref(run))) {
                Stands::Run
            } else if of(&all) {
                Stands::Open
            } else if all.iter().any(|done| done.common(part).is_some()) {
                Stands::Part
            } else {
                Stands::Missing
            }
        };
        let Units { cell, columns, rows } =
            if axis.is_time() { calendar(axis, &range)? } else { stretch(axis, &range)? };
        let rows = rows
            .into_iter()
            .map(|(label, cells)| {
                let cells = cells.into_iter().map(|whole| match whole.common(&range) {
                    Some(part) => (stands(&part), whole),
                    None => (Stands::Beyond, whole),
                });
                (label, cells.collect())
            })
            .collect();
        Ok(Some(Grid { missing: gaps(&range, &all), range, cell, columns, rows }))
    }

    /// The kinds of cells there are.
    pub fn met(&self) -> Vec<Stands> {
        [Stands::Filled, Stands::Run, Stands::Open, Stands::Part, Stands::Missing]
            .into_iter()
            .filter(|cell| self.rows.iter().any(|(_, cells)| cells.iter().any(|(met, _)| met == cell)))
            .collect()
    }
}

/// Parts of a range in rows.
struct Units {
    cell: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Interval>)>,
}

/// A row for each month with its days, or for each year with its months.
fn calendar(axis: &Axis, range: &Interval) -> Result<Units> {
    let days = axis.cut(&whole(axis, range, Step::Months(1)), Some(Step::Days(1)));
    let by_day = days.as_ref().is_ok_and(|days| days.len() <= MOST_DAYS);
    let (step, row, cell) = match by_day {
        true => (Step::Days(1), Step::Months(1), "a day each"),
        false => (Step::Months(1), Step::Months(12), "a month each"),
    };
    let rows = axis.cut(&whole(axis, range, row), Some(row))?;
    let rows = rows.iter().map(|part| {
        let shown = axis.shown(&part.from);
        let label = shown.get(..if by_day { 7 } else { 4 }).unwrap_or(&shown).to_owned();
        Ok((label, axis.cut(part, Some(step))?))
    });
    let columns = (1..=if by_day { 31 } else { 12 }).map(|n: u32| n.to_string()).collect();
    Ok(Units { cell: cell.to_owned(), columns, rows: rows.collect::<Result<_>>()? })
}

/// The range, widened to whole units.
fn whole(axis: &Axis, range: &Interval, step: Step) -> Interval {
    let from = axis.floor(&range.from, step).unwrap_or_else(|| range.from.clone());
    let units = Interval::new(from.clone(), range.until.clone()).and_then(|r| axis.cut(&r, Some(step)).ok());
    // The last unit is cut off where the range ends: it goes on to where the one after it begins.
    let last = units.and_then(|units| axis.next(&units.last()?.from, step));
    Interval { from, until: last.unwrap_or_else(|| range.until.clone()) }
}

/// One row of cells of equal length.
fn stretch(axis: &Axis, range: &Interval) -> Result<Units> {
    let length =
        range.until.to_string().parse::<f64>().unwrap_or(0.0) - range.from.to_string().parse::<f64>().unwrap_or(0.0);
    let step = ((length / ACROSS as f64).ceil() as u64).max(1);
    let cells = axis.cut(range, Some(Step::Number(step)))?;
    Ok(Units { cell: format!("{step} each"), columns: Vec::new(), rows: vec![(range.from.to_string(), cells)] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DataType;
    use chrono::DateTime;

    fn entry(axis: &Axis, from: &str, until: &str, settled: bool) -> IntervalEntry {
        IntervalEntry {
            column: "day".into(),
            data_type: axis.data_type,
            interval: Interval::new(axis.parse(from).unwrap(), axis.parse(until).unwrap()).unwrap(),
            run: String::new(),
            rows: 1,
            highest: None,
            settled,
            loaded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn grid(axis: &Axis, entries: &[IntervalEntry], watermark: Option<&Value>) -> Option<Grid> {
        Grid::new(Known { axis, entries, start: None, watermark }, None, None).unwrap()
    }

    #[test]
    fn each_day_stands_as_what_loaded_it() {
        let axis = Axis::new("day", DataType::Date, chrono_tz::Tz::UTC).unwrap();
        let entries = [entry(&axis, "2024-01-30", "2024-02-01", true), entry(&axis, "2024-02-02", "2024-02-03", false)];
        let grid = grid(&axis, &entries, None).unwrap();
        let stands: Vec<(&str, Vec<Stands>)> = grid
            .rows
            .iter()
            .map(|(name, cells)| (name.as_str(), cells.iter().map(|(stands, _)| *stands).collect()))
            .collect();
        assert_eq!(stands[0].0, "2024-01");
        assert_eq!(stands[0].1[28..], [Stands::Beyond, Stands::Filled, Stands::Filled]);
        assert_eq!(stands[1].1[..3], [Stands::Missing, Stands::Open, Stands::Beyond]);
        assert_eq!(grid.missing.len(), 1);
        assert_eq!(grid.met(), [Stands::Filled, Stands::Open, Stands::Missing]);
    }

    #[test]
    fn of_nothing_there_is_no_grid() {
        let axis = Axis::new("day", DataType::Date, chrono_tz::Tz::UTC).unwrap();
        assert!(grid(&axis, &[], None).is_none());
    }
}
