//! Values and states out of bits: all that Floodmark itself can write, and nothing else.

use arbitrary::{Result, Unstructured};
use floodmark_core::{
    Column, DataType, Schema, Value,
    interval::{Axis, Interval, Tz},
    state::{FileEntry, IntervalEntry, Lineage, Mark, Memory, Remembered, State},
};
use std::collections::{BTreeMap, HashMap};

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Any type there is.
pub(crate) fn data_type(bits: &mut Unstructured<'_>) -> Result<DataType> {
    Ok(match bits.int_in_range(0..=10)? {
        0 => DataType::Bool,
        1 => DataType::BigInt,
        2 => {
            let precision = bits.int_in_range(1..=38)?;
            DataType::Decimal(precision, bits.int_in_range(0..=precision)?)
        }
        3 => DataType::Double,
        4 => DataType::Text,
        5 => DataType::Bytes,
        6 => DataType::Date,
        7 => DataType::Time,
        8 => DataType::Timestamp { nanos: bits.arbitrary()? },
        9 => DataType::TimestampTz { nanos: bits.arbitrary()? },
        _ => DataType::Json,
    })
}

/// Any value that a column of the type can hold, at the precision it holds.
pub(crate) fn value(bits: &mut Unstructured<'_>, data_type: DataType) -> Result<Value> {
    Ok(match data_type {
        DataType::Bool => Value::Bool(bits.arbitrary()?),
        DataType::BigInt => Value::Int(bits.arbitrary()?),
        DataType::Decimal(p, s) => {
            let end = 10i128.pow(u32::from(p)) - 1;
            Value::Decimal(bits.int_in_range(-end..=end)?, s)
        }
        DataType::Double => Value::Double(bits.arbitrary()?),
        DataType::Text | DataType::Json => Value::Text(bits.arbitrary()?),
        DataType::Bytes => Value::Bytes(bits.arbitrary()?),
        DataType::Date => Value::Date(bits.arbitrary()?),
        DataType::Time => Value::Time(bits.int_in_range(0..=DAY_NANOS - 1)?),
        DataType::Timestamp { nanos } => Value::Timestamp(moment(bits, nanos)?),
        DataType::TimestampTz { nanos } => Value::TimestampTz(moment(bits, nanos)?),
    })
}

/// 64 bits of the column's unit, as nanoseconds.
fn moment(bits: &mut Unstructured<'_>, nanos: bool) -> Result<i128> {
    let units: i64 = bits.arbitrary()?;
    Ok(i128::from(units) * if nanos { 1 } else { 1000 })
}

fn schema(bits: &mut Unstructured<'_>) -> Result<Schema> {
    let mut columns = Vec::new();
    // A table without columns is none.
    for _ in 0..bits.int_in_range(1..=3)? {
        let column = Column::new(bits.arbitrary::<String>()?, data_type(bits)?);
        columns.push(Column { undecided: bits.arbitrary()?, ..column });
    }
    Ok(Schema { columns })
}

fn file(bits: &mut Unstructured<'_>) -> Result<FileEntry> {
    let lineage = match bits.arbitrary()? {
        false => None,
        true => Some(Lineage { ranges: bits.arbitrary()?, rows: bits.arbitrary()?, fingerprint: bits.arbitrary()? }),
    };
    Ok(FileEntry {
        size: bits.arbitrary()?,
        modified: bits.arbitrary()?,
        hash: bits.arbitrary()?,
        rows: bits.arbitrary()?,
        complete: bits.arbitrary()?,
        lineage,
    })
}

/// What is remembered of keys: each thing once.
fn memories(bits: &mut Unstructured<'_>) -> Result<Vec<Memory>> {
    let mut once = BTreeMap::new();
    for _ in 0..bits.int_in_range(0..=3)? {
        let mut key: Vec<String> = bits.arbitrary()?;
        let mut version: Option<String> = bits.arbitrary()?;
        let what = match bits.int_in_range(0..=4)? {
            0 => Remembered::Tombstone,
            1 => Remembered::Kept(bits.arbitrary()?),
            2 => Remembered::Seen,
            3 => {
                (key, version) = (vec![bits.arbitrary()?, format!("{:032x}", bits.arbitrary::<u128>()?)], None);
                Remembered::Boundary
            }
            _ => Remembered::Deleted,
        };
        // What tells one from another; of moments, which always have a version, also that.
        let which = match (&what, &version) {
            (Remembered::Tombstone, _) => "tombstone".to_owned(),
            (Remembered::Boundary, _) => "boundary".to_owned(),
            (Remembered::Kept(column), _) => format!("kept {column}"),
            (Remembered::Seen | Remembered::Deleted, Some(at)) => format!("moment {at}"),
            (Remembered::Seen | Remembered::Deleted, None) => continue,
        };
        once.insert((which, key.clone()), Memory { what, key, version });
    }
    Ok(once.into_values().collect())
}

/// A state of a pipeline that has run, or the empty one, and what it remembers.
pub(crate) fn state(bits: &mut Unstructured<'_>) -> Result<(State, Vec<Memory>)> {
    if bits.ratio(1u8, 16u8)? {
        return Ok((State::default(), Vec::new()));
    }
    let (column, of): (String, DataType) = (bits.arbitrary()?, data_type(bits)?);
    let mut mark = || -> Result<Option<Mark>> {
        if bits.arbitrary()? {
            return Ok(None);
        }
        let value = value(bits, of)?;
        // No watermark is one: it has no order.
        let ordered = !matches!(value, Value::Double(v) if v.is_nan());
        Ok(ordered.then(|| Mark { column: column.clone(), data_type: of, value }))
    };
    let (watermark, pending) = (mark()?, mark()?);
    let mut files = HashMap::new();
    for _ in 0..bits.int_in_range(0..=2)? {
        files.insert(bits.arbitrary()?, file(bits)?);
    }
    let moment = bits.int_in_range(0..=4_000_000_000i64)?;
    let state = State {
        token: 0,
        table: Some(format!("t{}", bits.arbitrary::<&str>()?)),
        schema: Some(schema(bits)?),
        source_schema: if bits.arbitrary()? { Some(schema(bits)?) } else { None },
        settings: bits.arbitrary()?,
        watermark,
        pending,
        files: files.into(),
        updated_at: chrono::DateTime::from_timestamp(moment, bits.int_in_range(0..=999_999_999)?),
    };
    Ok((state, memories(bits)?))
}

/// Receipts of intervals, as a state lists them: in the order of their texts, none twice.
pub(crate) fn intervals(bits: &mut Unstructured<'_>) -> Result<Vec<IntervalEntry>> {
    let mut intervals: Vec<IntervalEntry> = Vec::new();
    for _ in 0..bits.int_in_range(0..=3)? {
        let data_type = data_type(bits)?;
        // Only such columns are filled.
        if Axis::new("at", data_type, Tz::UTC).is_err() {
            continue;
        }
        let (from, until) = (value(bits, data_type)?, value(bits, data_type)?);
        let Some(interval) = Interval::new(from, until) else { continue };
        intervals.push(IntervalEntry {
            column: bits.arbitrary()?,
            data_type,
            interval,
            run: bits.arbitrary()?,
            rows: u64::from(bits.arbitrary::<u32>()?),
            highest: if bits.arbitrary()? { Some(value(bits, data_type)?) } else { None },
            settled: bits.arbitrary()?,
            loaded_at: chrono::DateTime::from_timestamp(bits.int_in_range(0..=4_000_000_000)?, 0).unwrap_or_default(),
        });
    }
    let place = |entry: &IntervalEntry| {
        (entry.column.clone(), entry.interval.from.to_string(), entry.interval.until.to_string())
    };
    intervals.sort_by_key(place);
    intervals.dedup_by_key(|entry| place(entry));
    Ok(intervals)
}
