//! Where segments begin and end.

use super::{columns::Pair, side::Side};
use floodmark_connect::digests::{Ask, Hashed, Split};
use floodmark_core::{
    Column, DataType, Result, Schema, Value,
    encoding::Form,
    interval::{Axis, Step, Tz},
};
use std::cmp::Ordering;

/// Rows of a segment, as far as that can be told beforehand; and how many segments there are at most.
const ROWS: u64 = 1000;
const MOST: u64 = 4096;
/// Segments where nothing is known of how many rows there are.
const UNKNOWN: u64 = 64;
/// Sampled values for each segment.
const VALUES: u64 = 4;

/// What the segments are to be ranges of.
#[derive(Debug, Clone, PartialEq)]
pub struct By {
    /// The column, by its name in the second.
    pub column: String,
    /// How long a range is; `None`: so that ranges have about as many rows each.
    pub step: Option<Step>,
    /// Whose days and months count, for instants.
    pub zone: Tz,
}

impl By {
    /// Ranges of a column, in which as many rows lie each.
    pub fn column(name: &str) -> By {
        By { column: name.to_owned(), step: None, zone: Tz::UTC }
    }

    /// Whether the column has ranges of such a length.
    pub(crate) fn fits(&self, pair: &Pair) -> bool {
        let Some(step) = self.step else { return true };
        let time = [&pair.left, &pair.right].map(|c| c.data_type);
        let any = |of: fn(&DataType) -> bool| time.iter().any(of);
        match step {
            Step::Number(_) => any(|t| matches!(t, DataType::BigInt | DataType::Decimal(..))),
            Step::Time(_) => any(|t| matches!(t, DataType::Timestamp { .. } | DataType::TimestampTz { .. })),
            Step::Days(_) | Step::Months(_) => {
                any(|t| matches!(t, DataType::Date | DataType::Timestamp { .. } | DataType::TimestampTz { .. }))
            }
        }
    }
}

/// Whether both sides order the column's values alike.
pub(crate) fn orders(pair: &Pair) -> bool {
    let exact = |c: &Column| matches!(c.data_type, DataType::BigInt | DataType::Decimal(..));
    match pair.form {
        Form::Number => exact(&pair.left) && exact(&pair.right),
        Form::Text => true,
        // What is read as text has no order.
        Form::Moment | Form::Instant => [&pair.left, &pair.right].iter().all(|c| c.data_type != DataType::Text),
        Form::Bytes | Form::Time => false,
    }
}

/// How many segments are made of so many rows.
pub(crate) fn segments(rows: Option<u64>) -> u64 {
    rows.map_or(UNKNOWN, |rows| (rows / ROWS).clamp(1, MOST))
}

/// Bits of hashes that tell as many segments.
pub(crate) fn bits(rows: Option<u64>) -> u32 {
    segments(rows).next_power_of_two().trailing_zeros()
}

/// How many values are asked for.
pub(crate) fn values(rows: Option<u64>) -> u64 {
    segments(rows) * VALUES
}

/// An axis without bounds.
pub(crate) fn axis(pair: &Pair, left: bool) -> Hashed {
    pair.hashed(left)
}

/// Bounds that part the sampled values into so many segments of about as many values, or, with a step, into steps.
pub(crate) fn bounds(pair: &Pair, sampled: Vec<Value>, segments: u64, by: Option<&By>) -> Vec<Value> {
    let mut values: Vec<Value> = sampled.into_iter().filter_map(|v| rounded(pair, v)).collect();
    values.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
    if let Some(step) = by.and_then(|by| by.step)
        && let Some(bounds) = stepped(&values, step, by.map_or(Tz::UTC, |by| by.zone))
    {
        return bounds;
    }
    let wanted = usize::try_from(segments).unwrap_or(usize::MAX);
    let mut bounds: Vec<Value> = (1..wanted.min(values.len().max(1)))
        .filter_map(|n| values.get(n * values.len() / wanted.min(values.len().max(1))).cloned())
        .collect();
    bounds.dedup();
    // Nothing lies before the smallest that was seen, or nearly nothing.
    if bounds.first() == values.first() {
        bounds.drain(..bounds.len().min(1));
    }
    bounds
}

/// A value that both sides have, near that one.
fn rounded(pair: &Pair, value: Value) -> Option<Value> {
    const MICRO: i128 = 1000;
    let whole = [&pair.left, &pair.right].iter().any(|c| c.data_type == DataType::BigInt);
    let days = [&pair.left, &pair.right].iter().all(|c| c.data_type == DataType::Date);
    Some(match value {
        Value::Decimal(v, s) if whole => Value::Int(i64::try_from(v.div_euclid(10_i128.pow(u32::from(s)))).ok()?),
        Value::Date(v) if !days => Value::Timestamp(i128::from(v) * 86_400_000_000_000),
        Value::Timestamp(v) => Value::Timestamp(v - v.rem_euclid(MICRO)),
        Value::TimestampTz(v) => Value::TimestampTz(v - v.rem_euclid(MICRO)),
        Value::Text(text) if text.len() > 400 || text.contains('\0') => return None,
        Value::Null => return None,
        other => other,
    })
}

/// The ends of the steps in which values lie. Where none does there is one segment, however long, so that a value far from all
/// others costs them nothing.
fn stepped(values: &[Value], step: Step, zone: Tz) -> Option<Vec<Value>> {
    let data_type = match values.first()? {
        Value::Int(_) => DataType::BigInt,
        Value::Decimal(_, scale) => DataType::Decimal(38, *scale),
        Value::Date(_) => DataType::Date,
        Value::Timestamp(_) => DataType::Timestamp { nanos: true },
        Value::TimestampTz(_) => DataType::TimestampTz { nanos: true },
        _ => return None,
    };
    let axis = Axis { data_type, zone };
    let mut bounds: Vec<Value> = Vec::new();
    for value in values {
        // Within the step that was last.
        if bounds.last().is_some_and(|end| value.compare(end) == Some(Ordering::Less)) {
            continue;
        }
        let from = axis.floor(value, step)?;
        if bounds.last() != Some(&from) {
            bounds.push(from.clone());
        }
        bounds.push(axis.next(&from, step)?);
    }
    // Of too many steps some are one.
    let each = bounds.len().div_ceil(MOST as usize).max(1);
    Some(bounds.into_iter().step_by(each).collect())
}

/// Some values of the axis, of the side that gives them more cheaply; and how many rows that has, where they were counted.
pub(crate) fn sample(
    sides: &[Side<'_>; 2],
    asks: &[Ask; 2],
    pushed: [bool; 2],
    segments: Option<&[u32]>,
    about: u64,
    stop: &floodmark_connect::Stop,
) -> Result<(Vec<Value>, Option<u64>)> {
    for at in [1, 0] {
        if let (true, Some(digests)) = (pushed[at], sides[at].digests()) {
            let values = digests.sample(&asks[at], segments, about, stop)?;
            sides[at].sampled(values.len());
            // A table without rows tells nothing of the other.
            if !values.is_empty() {
                return Ok((values, None));
            }
        }
    }
    for at in [1, 0].into_iter().filter(|at| !pushed[*at]) {
        let (values, rows) = read(&sides[at], &asks[at].split, about)?;
        if !values.is_empty() {
            return Ok((values, Some(rows)));
        }
    }
    Ok((Vec::new(), Some(0)))
}

/// Every so many-th value of a column, more sparsely the more there are.
fn read(side: &Side<'_>, split: &Split, about: u64) -> Result<(Vec<Value>, u64)> {
    let Split::Axis { column, .. } = split else { return Ok((Vec::new(), 0)) };
    let schema = Schema::new([(column.name.as_str(), column.data_type)]);
    let (mut kept, mut every, mut seen) = (Vec::new(), 1_u64, 0_u64);
    side.read(&schema, |rows| {
        let at = rows.schema().index_of(&column.name)?;
        for row in 0..rows.num_rows() {
            seen += 1;
            if seen.is_multiple_of(every) {
                let value = Value::from_array(rows.column(at).as_ref(), row, column.data_type)?;
                kept.extend(Some(value).filter(|v| !v.is_null()));
            }
            if kept.len() as u64 > about * 2 {
                let mut odd = false;
                kept.retain(|_| {
                    odd = !odd;
                    odd
                });
                every *= 2;
            }
        }
        Ok(())
    })?;
    Ok((kept, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(left: DataType, right: DataType) -> Pair {
        Pair {
            name: "k".into(),
            left: Column::new("k", left),
            right: Column::new("k", right),
            form: Form::of(left, right).unwrap(),
            null_agrees: false,
        }
    }

    #[test]
    fn bounds_part_the_values_evenly() {
        let whole = pair(DataType::BigInt, DataType::Decimal(9, 2));
        let sampled: Vec<Value> = (0..100).rev().map(|n| Value::Decimal(n * 100 + 50, 2)).collect();
        assert_eq!(bounds(&whole, sampled, 4, None), [25, 50, 75].map(Value::Int));
        assert_eq!(bounds(&whole, vec![Value::Int(7); 50], 4, None), []);
        assert_eq!(bounds(&whole, Vec::new(), 4, None), []);
        assert_eq!(bounds(&whole, vec![Value::Int(1), Value::Int(2)], 100, None), [Value::Int(2)]);
    }

    #[test]
    fn steps_begin_at_whole_ones_and_lie_where_values_do() {
        let moment = DataType::Timestamp { nanos: false };
        let at = |hours: i128| Value::Timestamp(hours * 3_600_000_000_000);
        let by = |step| By { step: Some(step), ..By::column("k") };
        let found = bounds(&pair(moment, moment), vec![at(25), at(70)], 9, Some(&by(Step::Days(1))));
        assert_eq!(found, [at(24), at(48), at(72)]);
        let number = pair(DataType::BigInt, DataType::BigInt);
        let numbers = vec![Value::Int(-5), Value::Int(12), Value::Int(-6), Value::Int(i64::MAX / 2)];
        let found = bounds(&number, numbers, 9, Some(&by(Step::Number(10))));
        let far = i64::MAX / 2 / 10 * 10;
        assert_eq!(found, [-10, 0, 10, 20, far, far + 10].map(Value::Int));
        let day = pair(DataType::Date, DataType::Date);
        let found = bounds(&day, vec![Value::Date(19_750), Value::Date(19_800)], 9, Some(&by(Step::Months(1))));
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"]
        );
        let many: Vec<Value> = (0..20_000).map(|n| Value::Int(n * 10)).collect();
        assert!(bounds(&number, many, 9, Some(&by(Step::Number(1)))).len() <= MOST as usize);
    }

    #[test]
    fn a_step_fits_its_column() {
        let fits = |data_type, step| By { step: Some(step), ..By::column("k") }.fits(&pair(data_type, data_type));
        assert!(fits(DataType::BigInt, Step::Number(3)) && fits(DataType::Date, Step::Months(1)));
        assert!(!fits(DataType::BigInt, Step::Days(1)) && !fits(DataType::Text, Step::Number(1)));
        assert!(!fits(DataType::Date, Step::Time(std::time::Duration::from_secs(60))));
    }

    #[test]
    fn only_what_both_order_alike_is_an_axis() {
        use DataType::{BigInt, Bool, Bytes, Date, Double, Text};
        let of = |a, b| orders(&pair(a, b));
        assert!(of(BigInt, DataType::Decimal(9, 2)) && of(Text, Text) && of(Date, Date));
        assert!(!of(BigInt, Double) && !of(Bool, Bool) && !of(Bytes, Bytes));
    }
}
