//! From where on a file's rows are wanted: what lies before need not be read where the file itself tells that it does.

use crate::{names, plan::Reading};
use floodmark_connect::Range;
use floodmark_core::{
    DataType, Value,
    pipeline::{CursorNulls, LateRows, Load, Pipeline},
    watermark::Bounds,
};
use std::cmp::Ordering;

/// The range outside of which no row of a file counts. Rows that are left out by it are left out by the shaper, too, were
/// they read, and are counted alike. `None`: all of them are looked at. Behind a transform the cursor is another's.
pub(crate) fn wanted(
    pipeline: &Pipeline,
    bounds: &Bounds,
    data_type: DataType,
    stored: Option<&Value>,
    reading: &Reading,
) -> Option<Range> {
    let spec = pipeline.cursor().filter(|_| pipeline.transform.is_none())?;
    let start = spec.start.as_ref().and_then(|start| Value::parse(start, data_type));
    let late = late(pipeline.late_rows(), stored, start.as_ref(), reading.known, reading.heals);
    let marked = match stored {
        Some(stored) if reading.known && !reading.heals => {
            let from = if pipeline.load == Load::Append { stored } else { bounds.from.as_ref().unwrap_or(stored) };
            Some((from.clone(), bounds.exclusive))
        }
        Some(stored) if late => Some((stored.clone(), false)),
        _ => None,
    };
    let (from, exclusive) = later(start.map(|start| (start, spec.exclusive)), marked)?;
    // A row that waits for time to pass keeps its file from being done with, wherever else it lies.
    if bounds.until.as_ref().is_some_and(|until| until.compare(&from) != Some(Ordering::Greater)) {
        return None;
    }
    Some(Range {
        column: names::source_name(pipeline, &spec.column).to_owned(),
        bounds: Bounds { from: Some(from), exclusive, until: None, before: None },
        // A row without a value is not a late one.
        nulls: late || spec.nulls != CursorNulls::Exclude,
    })
}

/// Whether all rows of a file before the watermark count as late ones. With a `start` those before it do not, and a file's
/// statistics do not tell how many these are: then rows of a new file are looked at, each.
pub(crate) fn late(
    late_rows: LateRows,
    stored: Option<&Value>,
    start: Option<&Value>,
    known: bool,
    heals: bool,
) -> bool {
    stored.is_some() && start.is_none() && !known && !heals && late_rows != LateRows::Load
}

/// The one that leaves out more.
fn later(a: Option<(Value, bool)>, b: Option<(Value, bool)>) -> Option<(Value, bool)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(match a.0.compare(&b.0) {
            Some(Ordering::Greater) => a,
            Some(Ordering::Equal) => (a.0, a.1 || b.1),
            _ => b,
        }),
        (a, b) => a.or(b),
    }
}
