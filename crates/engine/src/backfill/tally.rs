//! Which unit a row lies in, and what was met of each.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray},
    buffer::BooleanBuffer,
    datatypes as dt,
};
use floodmark_core::{DataType, Error, Result, Value, interval::Interval};

/// Units in order, and the rows met of each.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    column: String,
    data_type: DataType,
    /// From where to where, as whole numbers of the type's least step.
    ends: Vec<(i128, i128)>,
    met: Vec<Met>,
}

/// What was met of a unit.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    rows: u64,
    highest: Option<i128>,
}

impl Tally {
    /// Of units in order, none of which overlaps the next.
    pub(crate) fn new<'u>(
        column: &str,
        data_type: DataType,
        units: impl IntoIterator<Item = &'u Interval>,
    ) -> Result<Tally> {
        let ends: Vec<(i128, i128)> =
            units.into_iter().map(|u| Ok((number(&u.from)?, number(&u.until)?))).collect::<Result<_>>()?;
        let met = vec![Met::default(); ends.len()];
        Ok(Tally { column: column.to_owned(), data_type, ends, met })
    }

    /// The column along which the units lie.
    pub(crate) fn column(&self) -> &str {
        &self.column
    }

    pub(crate) fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Rows of the source in the unit at `at`, and the highest value among them.
    pub(crate) fn met(&self, at: usize) -> (u64, Option<Value>) {
        let met = self.met[at];
        (met.rows, met.highest.and_then(|highest| self.value(highest)))
    }

    /// Counts the rows that lie in a unit, and says which do.
    pub(crate) fn take(&mut self, array: &ArrayRef) -> Result<BooleanArray> {
        let kept;
        macro_rules! of {
            ($t:ty, $times:expr) => {{
                let array = array.as_primitive::<$t>();
                let values = array.values();
                let (ends, met) = (&self.ends, &mut self.met);
                kept = BooleanBuffer::collect_bool(array.len(), |row| {
                    array.is_valid(row) && note(ends, met, i128::from(values[row]) * $times)
                });
            }};
        }
        match self.data_type {
            DataType::BigInt => of!(dt::Int64Type, 1),
            DataType::Decimal(..) => of!(dt::Decimal128Type, 1),
            DataType::Date => of!(dt::Date32Type, 1),
            DataType::Timestamp { nanos: false } | DataType::TimestampTz { nanos: false } => {
                of!(dt::TimestampMicrosecondType, 1000)
            }
            DataType::Timestamp { nanos: true } | DataType::TimestampTz { nanos: true } => {
                of!(dt::TimestampNanosecondType, 1)
            }
            other => return Err(Error::internal(format!("units of a {other} column"))),
        }
        Ok(BooleanArray::new(kept, None))
    }

    fn value(&self, number: i128) -> Option<Value> {
        Some(match self.data_type {
            DataType::BigInt => Value::Int(number.try_into().ok()?),
            DataType::Decimal(_, scale) => Value::Decimal(number, scale),
            DataType::Date => Value::Date(number.try_into().ok()?),
            DataType::Timestamp { .. } => Value::Timestamp(number),
            _ => Value::TimestampTz(number),
        })
    }
}

/// Takes note of a value, where it lies in a unit.
fn note(ends: &[(i128, i128)], met: &mut [Met], value: i128) -> bool {
    let at = ends.partition_point(|(_, until)| *until <= value);
    let inside = ends.get(at).is_some_and(|(from, _)| *from <= value);
    if inside {
        met[at].rows += 1;
        met[at].highest = met[at].highest.max(Some(value));
    }
    inside
}

/// A value as a whole number of its type's least step.
pub(crate) fn number(value: &Value) -> Result<i128> {
    Ok(match value {
        Value::Int(v) => i128::from(*v),
        Value::Decimal(v, _) | Value::Timestamp(v) | Value::TimestampTz(v) => *v,
        Value::Date(v) => i128::from(*v),
        other => return Err(Error::internal(format!("{other} is no end of an interval"))),
    })
}
