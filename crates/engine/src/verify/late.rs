//! Rows that came, or changed, behind the watermark: the runs read beyond it, and never saw them.

use super::{
    boundary::Boundary,
    closed::Closed,
    filled::{Axis, Filled},
};
use crate::diff::{Candidate, Kind, Misfit, Paired, cells};
use floodmark_core::{
    DataType, Error, Result, Value, encoding,
    pipeline::{Load, Pipeline},
    state::Mark,
};
use std::cmp::Ordering;

const SECOND: i128 = 1_000_000_000;

/// Late rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Rows that the table lacks.
    pub missing: u64,
    /// Rows that the table has as they were before.
    pub changed: u64,
    /// The lowest cursor among them.
    pub oldest: String,
    /// How far that is behind the watermark.
    pub behind: String,
    /// The `lookback` with which the next run reads all of them; `None` where none does: an `append` takes none, and of
    /// files those are read that changed.
    pub lookback: Option<String>,
}

/// Looks at the rows that differ.
pub(super) struct Finder<'a> {
    mark: Option<&'a Mark>,
    /// What backfills loaded, where there were any.
    filled: Option<&'a Filled>,
    /// Only keys count: other columns are there to tell what was read.
    keys_only: bool,
    /// The watermark as a cell.
    cell: Vec<u8>,
    /// What becomes of rows at the watermark.
    at_mark: AtMark<'a>,
    lookback: bool,
    /// The columns that were compared as text when rows were last looked at.
    misfits: Vec<Misfit>,
    pub(super) found: Counted,
    /// Why it could not be told what was loaded.
    failed: Option<Error>,
}

/// What is known of rows at the watermark that the table lacks.
pub(super) enum AtMark<'a> {
    /// No run reads them again.
    Passed,
    /// The next run brings them.
    Comes,
    /// An `append` has loaded those that its ledger has, and the next run brings the others.
    Known(Boundary<'a>),
    /// The next run brings them, but for those whose history is at an end.
    Open(Closed<'a>),
}

impl AtMark<'_> {
    fn forget(&mut self) {
        match self {
            AtMark::Passed | AtMark::Comes => {}
            AtMark::Known(boundary) => boundary.forget(),
            AtMark::Open(closed) => closed.forget(),
        }
    }
}

/// How many there are of each kind.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Rows at the watermark that are missing until the next run, and those that neither a run nor a backfill has read.
    pub(super) waiting: u64,
    /// Those of them that no run reads, since they lie in a gap between backfills.
    pub(super) gaps: u64,
    /// Rows that the table has as they were before they changed to where neither has read.
    pub(super) moved: u64,
    /// Rows that no run brings back because their history is at an end.
    pub(super) closed: u64,
    missing: u64,
    changed: u64,
    oldest: Option<Value>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        pipeline: &Pipeline,
        mark: Option<&'a Mark>,
        filled: Option<&'a Filled>,
        keys_only: bool,
        at_mark: AtMark<'a>,
    ) -> Self {
        let mark = mark.filter(|_| pipeline.cursor().is_some());
        let mut cell = Vec::new();
        if let Some(mark) = mark {
            encoding::put(&mark.value, &mut cell, &mut String::new());
        }
        Finder {
            mark,
            filled,
            keys_only,
            cell,
            at_mark,
            lookback: pipeline.load != Load::Append && pipeline.source.files().is_none(),
            misfits: Vec::new(),
            found: Counted::default(),
            failed: None,
        }
    }

    /// Whether a row that differs is a difference.
    pub(super) fn judge(&mut self, paired: &Paired, candidate: &Candidate<'_>) -> bool {
        // A comparison that met what is no value of its type has begun again.
        if self.misfits != paired.shape.misfits {
            self.misfits.clone_from(&paired.shape.misfits);
            self.found = Counted::default();
            self.at_mark.forget();
        }
        if self.keys_only && candidate.kind == Kind::Different {
            return false;
        }
        if let Some(gap) = self.unread(paired, candidate) {
            match candidate.kind {
                Kind::Different => self.found.moved += 1,
                _ if gap => self.found.gaps += 1,
                _ => self.found.waiting += 1,
            }
            return false;
        }
        let (Some(mark), Some(row)) = (self.mark, candidate.left) else { return true };
        let Some(at) = paired.pairs.iter().position(|p| p.name == mark.column) else { return true };
        let Some(Some(cursor)) = cells(row).get(at).copied() else { return true };
        let text = String::from_utf8_lossy(cursor);
        let mut cell = Vec::new();
        encoding::put(&Value::Text(text.clone().into_owned()), &mut cell, &mut String::new());
        if cell == self.cell && !matches!(self.at_mark, AtMark::Passed) {
            let lost = candidate.kind != Kind::Missing || self.is_lost(paired, candidate, row);
            self.found.waiting += u64::from(!lost);
            return lost;
        }
        // No `lookback` reads it, and it does not lie behind the watermark.
        if cell == self.cell && !self.lookback {
            return true;
        }
        let value = decoded(&text, mark.data_type);
        // What a backfill loaded ahead of the watermark is not behind it.
        if value.as_ref().is_some_and(|value| value.compare(&mark.value) == Some(Ordering::Greater)) {
            return true;
        }
        match candidate.kind {
            Kind::Missing => self.found.missing += 1,
            Kind::Different => self.found.changed += 1,
            Kind::Extra => return true,
        }
        let older = |value: &Value| {
            self.found.oldest.as_ref().is_none_or(|oldest| value.compare(oldest) == Some(Ordering::Less))
        };
        if let Some(value) = value.filter(older) {
            self.found.oldest = Some(value);
        }
        true
    }

    /// Whether a row at the watermark that the table lacks is one that no run brings.
    fn is_lost(&mut self, paired: &Paired, candidate: &Candidate<'_>, row: &[u8]) -> bool {
        let lost = match &mut self.at_mark {
            AtMark::Passed => Ok(true),
            AtMark::Comes => Ok(false),
            AtMark::Known(boundary) => boundary.was_loaded(paired, row, candidate.times),
            AtMark::Open(closed) => closed.holds(paired, candidate.key).inspect(|lost| {
                self.found.closed += u64::from(*lost);
            }),
        };
        lost.unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            false
        })
    }

    /// What was found, once all rows were looked at.
    pub(super) fn done(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Whether a row of the source lies where neither a run nor a backfill has read, and then whether no run will.
    fn unread(&self, paired: &Paired, candidate: &Candidate<'_>) -> Option<bool> {
        let (filled, row) = (self.filled?, candidate.left?);
        let cells = cells(row);
        let value = |axis: &Axis| {
            let at = paired.pairs.iter().position(|p| p.name == axis.column)?;
            match cells.get(at).copied()? {
                Some(cell) => decoded(&String::from_utf8_lossy(cell), axis.data_type),
                None => Some(Value::Null),
            }
        };
        (!filled.read(value)).then(|| filled.in_gap(value))
    }

    /// What was late; `None` where nothing was.
    pub(super) fn late(&self) -> Option<Late> {
        let (mark, oldest) = (self.mark?, self.found.oldest.as_ref()?);
        let behind = behind(&mark.value, oldest)?;
        Some(Late {
            missing: self.found.missing,
            changed: self.found.changed,
            oldest: oldest.to_string(),
            lookback: self.lookback.then(|| behind.clone()),
            behind,
        })
    }
}

/// A value out of its cell: the encoding has an instant without the zone, which is always the same, and a date as its
/// midnight.
pub(crate) fn decoded(cell: &str, data_type: DataType) -> Option<Value> {
    let zone = if matches!(data_type, DataType::TimestampTz { .. }) { "+00:00" } else { "" };
    let cell = if data_type == DataType::Date { cell.strip_suffix(" 00:00:00").unwrap_or(cell) } else { cell };
    Value::parse(&format!("{cell}{zone}"), data_type)
}

/// How far a value lies behind the watermark, rounded up to what can be read: `90s`, `15m`, `3h`, `2d`, or a number.
fn behind(mark: &Value, oldest: &Value) -> Option<String> {
    let whole = |span: i128, unit: i128| (span + unit - 1).div_euclid(unit);
    Some(match (mark, oldest) {
        (Value::Int(a), Value::Int(b)) => (i128::from(*a) - i128::from(*b)).to_string(),
        (Value::Decimal(a, s), Value::Decimal(b, t)) if s == t => {
            whole(a.checked_sub(*b)?, 10_i128.pow(u32::from(*s))).to_string()
        }
        (Value::Date(a), Value::Date(b)) => format!("{}d", i64::from(*a) - i64::from(*b)),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::TimestampTz(a), Value::TimestampTz(b)) => {
            let seconds = whole(a - b, SECOND).max(1);
            match seconds {
                s if s <= 120 => format!("{s}s"),
                s if s <= 120 * 60 => format!("{}m", whole(s, 60)),
                s if s <= 48 * 3600 => format!("{}h", whole(s, 3600)),
                s => format!("{}d", whole(s, 86_400)),
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_of_their_cells() {
        for value in [Value::Date(19_000), Value::Timestamp(1_000), Value::TimestampTz(-1_000), Value::Decimal(1050, 2)]
        {
            let data_type = match value {
                Value::Date(_) => DataType::Date,
                Value::Timestamp(_) => DataType::Timestamp { nanos: false },
                Value::TimestampTz(_) => DataType::TimestampTz { nanos: false },
                _ => DataType::Decimal(9, 2),
            };
            let mut cell = Vec::new();
            encoding::put(&value, &mut cell, &mut String::new());
            let text = String::from_utf8_lossy(cells(&cell)[0].unwrap()).into_owned();
            assert_eq!(decoded(&text, data_type), Some(value), "{text}");
        }
    }

    #[test]
    fn a_distance_is_rounded_up_to_a_unit_one_reads() {
        let at = |seconds: i128| Value::Timestamp(seconds * SECOND);
        let of = |seconds: i128| behind(&at(1_000_000), &at(1_000_000 - seconds)).unwrap();
        assert_eq!([1, 90, 121, 7200, 7201, 172_800, 172_801].map(of), ["1s", "90s", "3m", "120m", "3h", "48h", "3d"]);
        assert_eq!(behind(&Value::Timestamp(SECOND), &Value::Timestamp(1)).as_deref(), Some("1s"));
        assert_eq!(behind(&Value::Date(10), &Value::Date(3)).as_deref(), Some("7d"));
        assert_eq!(behind(&Value::Int(10), &Value::Int(-3)).as_deref(), Some("13"));
        assert_eq!(behind(&Value::Decimal(105, 1), &Value::Decimal(11, 1)).as_deref(), Some("10"));
        assert_eq!(behind(&Value::Text("b".into()), &Value::Text("a".into())), None);
    }
}
