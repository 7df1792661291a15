//! Where reading begins and ends on the cursor's axis (P4).

use crate::{
    error::{Code, Error, Result},
    pipeline::{Span, WatermarkSpec},
    types::DataType,
    value::Value,
};
use chrono::{DateTime, Utc};

/// The part of the cursor's axis a run reads. Rows equal to `from` are read (`>=`) unless `exclusive`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Rows before it are skipped. `None`: from the beginning.
    pub from: Option<Value>,
    /// Whether `from` itself is left out.
    pub exclusive: bool,
    /// Rows after it are left for a later run (`settle`).
    pub until: Option<Value>,
    /// Rows at it and after it are none of this run's: an interval ends there.
    pub before: Option<Value>,
}

/// Bounds from the settings, the stored watermark and the present moment.
pub fn bounds(spec: &WatermarkSpec, stored: Option<&Value>, data_type: DataType, now: DateTime<Utc>) -> Result<Bounds> {
    if matches!(data_type, DataType::Bool | DataType::Bytes | DataType::Json) {
        return Err(Error::new(
            Code::Unsafe,
            format!("column {:?} is {data_type} and cannot be a watermark", spec.column),
        )
        .state("nothing was written")
        .help("choose a column that grows: a number, a date or a timestamp"));
    }
    let start = match &spec.start {
        None => None,
        Some(text) => Some(Value::parse(text, data_type).ok_or_else(|| {
            Error::new(
                Code::BadValue,
                format!("`start: {text}` is not a {data_type}, the type of column {:?}", spec.column),
            )
            .state("nothing was written")
            .help("write it as the column's values are written")
        })?),
    };
    let from = match stored {
        None => start,
        Some(mark) => {
            let back = match spec.lookback {
                None => mark.clone(),
                Some(span) => shift_back(mark, span).ok_or_else(|| unit_error("lookback", &spec.column, data_type))?,
            };
            match start {
                Some(start) if start.compare(&back) == Some(std::cmp::Ordering::Greater) => Some(start),
                _ => Some(back),
            }
        }
    };
    let until = match spec.settle {
        None => None,
        Some(span) => {
            let now = now_as(data_type, now).ok_or_else(|| {
                Error::new(Code::Unsafe, format!("`settle` waits for time to pass, and column {:?} is a {data_type}", spec.column))
                    .state("nothing was written")
                    .help("it needs a date or a timestamp as the watermark's column: leave `settle` out, or name another column")
            })?;
            Some(shift_back(&now, span).ok_or_else(|| unit_error("settle", &spec.column, data_type))?)
        }
    };
    // A lookback re-reads what lies at its end too.
    Ok(Bounds { from, exclusive: spec.exclusive && spec.lookback.is_none(), until, before: None })
}

fn unit_error(what: &str, column: &str, data_type: DataType) -> Error {
    Error::new(Code::Unsafe, format!("`{what}` does not fit column {column:?}, a {data_type}"))
        .state("nothing was written")
        .help("give a duration (15m, 2h, 3d) for dates and timestamps, a whole number for integers")
}

fn now_as(data_type: DataType, now: DateTime<Utc>) -> Option<Value> {
    let nanos = i128::from(now.timestamp()) * 1_000_000_000 + i128::from(now.timestamp_subsec_nanos());
    match data_type {
        DataType::Date => Some(Value::Date((nanos.div_euclid(86_400_000_000_000)) as i32)),
        DataType::Timestamp { .. } => Some(Value::Timestamp(nanos)),
        DataType::TimestampTz { .. } => Some(Value::TimestampTz(nanos)),
        _ => None,
    }
}

/// `value` minus `span`; `None` where the two do not go together. A day is the least step of a date, rounded so that
/// more is read rather than less.
fn shift_back(value: &Value, span: Span) -> Option<Value> {
    match (value, span) {
        (Value::Int(v), Span::Number(n)) => Some(Value::Int(v.saturating_sub_unsigned(n))),
        (Value::Decimal(v, s), Span::Number(n)) => {
            Some(Value::Decimal(v.checked_sub(i128::from(n).checked_mul(10i128.checked_pow(u32::from(*s))?)?)?, *s))
        }
        (Value::Double(v), Span::Number(n)) => Some(Value::Double(v - n as f64)),
        (Value::Date(v), Span::Time(d)) => Some(Value::Date(v - i32::try_from(d.as_secs().div_ceil(86_400)).ok()?)),
        (Value::Timestamp(v), Span::Time(d)) => Some(Value::Timestamp(v - i128::try_from(d.as_nanos()).ok()?)),
        (Value::TimestampTz(v), Span::Time(d)) => Some(Value::TimestampTz(v - i128::try_from(d.as_nanos()).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::CursorNulls;
    use std::time::Duration;

    fn spec() -> WatermarkSpec {
        WatermarkSpec {
            column: "at".into(),
            hidden: false,
            start: None,
            lookback: None,
            settle: None,
            exclusive: false,
            nulls: CursorNulls::Fail,
            late_rows: None,
        }
    }

    #[test]
    fn the_later_of_start_and_watermark_counts() {
        let at = |s: Option<&str>, stored: Option<i64>| {
            let spec = WatermarkSpec { start: s.map(Into::into), ..spec() };
            bounds(&spec, stored.map(Value::Int).as_ref(), DataType::BigInt, Utc::now()).unwrap().from
        };
        assert_eq!(at(None, None), None);
        assert_eq!(at(Some("5"), None), Some(Value::Int(5)));
        assert_eq!(at(Some("5"), Some(3)), Some(Value::Int(5)));
        assert_eq!(at(Some("5"), Some(9)), Some(Value::Int(9)));
    }

    #[test]
    fn lookback_reads_more_never_less() {
        let spec = WatermarkSpec { lookback: Some(Span::Time(Duration::from_secs(60))), ..spec() };
        let b = bounds(&spec, Some(&Value::Date(100)), DataType::Date, Utc::now()).unwrap();
        assert_eq!(b.from, Some(Value::Date(99)));
        assert!(bounds(&spec, Some(&Value::Int(1)), DataType::BigInt, Utc::now()).is_err());
    }
}
