//! The wanted part of the cursor's axis as a condition the server can go by. What it leaves out the engine would leave out;
//! what it lets through the engine looks at again.

use super::{
    columns::{Column, Kind},
    names::{bytes, quote},
};
use floodmark_connect::Range;
use floodmark_core::{Value, text};

/// The condition on `t`; nothing where the server would not compare as we do.
pub(crate) fn condition(columns: &[Column], range: &Range) -> Option<String> {
    let column = columns.iter().find(|c| c.name == range.column)?;
    let name = format!("t.{}", quote(&column.name));
    let bounds = &range.bounds;
    let mut parts = Vec::new();
    if let Some(from) = &bounds.from {
        let (value, compared) = comparison(column, &name, from, Edge::From)?;
        parts.push(format!("{compared} {} {value}", if bounds.exclusive { ">" } else { ">=" }));
    }
    if let Some(until) = &bounds.until {
        let (value, compared) = comparison(column, &name, until, Edge::Until)?;
        parts.push(format!("{compared} <= {value}"));
    }
    if let Some(before) = &bounds.before {
        let (value, compared) = comparison(column, &name, before, Edge::Until)?;
        parts.push(format!("{compared} < {value}"));
    }
    if parts.is_empty() && range.nulls {
        return None;
    }
    Some(match (parts.is_empty(), range.nulls) {
        (true, _) => format!("{name} IS NOT NULL"),
        (false, true) => format!("({} OR {name} IS NULL{})", parts.join(" AND "), odd(column, &name)),
        (false, false) => parts.join(" AND "),
    })
}

/// Values that no cursor has and that the server sorts before all others. Where rows without a cursor are to be seen, so are
/// these.
pub(crate) fn odd(column: &Column, name: &str) -> String {
    match column.kind {
        Kind::Date => format!(" OR {name} < DATE'0001-01-01'"),
        Kind::Local | Kind::Moment => format!(" OR {name} < TIMESTAMP'0001-01-01 00:00:00'"),
        Kind::Time => format!(" OR {name} < TIME'00:00:00'"),
        _ => String::new(),
    }
}

/// Which end of the range a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    From,
    Until,
}

/// The value as a literal, and the column as it is compared with that.
pub(super) fn comparison(column: &Column, name: &str, value: &Value, edge: Edge) -> Option<(String, String)> {
    let plain = |literal: String| Some((literal, name.to_owned()));
    match (column.kind, value) {
        (Kind::Int { .. } | Kind::Decimal { .. } | Kind::Bits, Value::Int(_) | Value::Decimal(..)) => {
            plain(value.to_string())
        }
        // With an exponent it is a double, and no decimal.
        (Kind::Real { .. }, Value::Double(number)) if number.is_finite() => plain(format!("{number:e}")),
        (Kind::Date, Value::Date(_)) => plain(format!("DATE'{}'", common_era(value)?)),
        (Kind::Time, Value::Time(nanos)) => {
            let time = Value::Time(micros(i128::from(*nanos), edge)?.try_into().ok()?);
            plain(format!("TIME'{time}'"))
        }
        (Kind::Local, Value::Timestamp(nanos)) | (Kind::Moment, Value::TimestampTz(nanos)) => {
            plain(format!("TIMESTAMP'{}'", common_era(&Value::Timestamp(micros(*nanos, edge)?))?))
        }
        // By the bytes of its UTF-8, as the cursor does, and not by the column's collation, which may take A and a, or a word
        // with a blank behind it, for the same.
        (Kind::Text, Value::Text(text)) => {
            Some((bytes(text.as_bytes()), format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")))
        }
        _ => None,
    }
}

/// Nanoseconds as whole microseconds, so that rather more is read than less.
fn micros(nanos: i128, edge: Edge) -> Option<i128> {
    let down = nanos.div_euclid(1000);
    let up = edge == Edge::Until && down * 1000 != nanos;
    (down + i128::from(up)).checked_mul(1000)
}

/// A date or moment of the years 1 to 9999, which the server has.
fn common_era(value: &Value) -> Option<String> {
    let first = text::parse_date(b"0001-01-01")?;
    let last = text::parse_date(b"9999-12-31")?;
    let day = match value {
        Value::Date(days) => i128::from(*days),
        Value::Timestamp(nanos) => nanos.div_euclid(86_400_000_000_000),
        _ => return None,
    };
    (i128::from(first)..=i128::from(last)).contains(&day).then(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::{DataType, watermark::Bounds};

    const INT: Kind = Kind::Int { filled: false };

    fn said(kind: Kind, from: Option<Value>, exclusive: bool, until: Option<Value>, nulls: bool) -> Option<String> {
        let range = Range { column: "at".into(), bounds: Bounds { from, exclusive, until, before: None }, nulls };
        condition(&[Column::new("at", kind, DataType::Text)], &range)
    }

    #[test]
    fn values_are_literals_of_their_type() {
        let from = |kind, value| said(kind, Some(value), false, None, false);
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(from(INT, Value::Int(-5)), is("t.`at` >= -5"));
        assert_eq!(from(Kind::Decimal { filled: false }, Value::Decimal(-1050, 2)), is("t.`at` >= -10.50"));
        assert_eq!(from(Kind::Real { single: true }, Value::Double(0.25)), is("t.`at` >= 2.5e-1"));
        assert_eq!(from(Kind::Date, Value::Date(0)), is("t.`at` >= DATE'1970-01-01'"));
        assert_eq!(
            from(Kind::Moment, Value::TimestampTz(1_500_000)),
            is("t.`at` >= TIMESTAMP'1970-01-01 00:00:00.0015'")
        );
        assert_eq!(
            from(Kind::Text, Value::Text("it's \\".into())),
            is("CAST(CONVERT(t.`at` USING utf8mb4) AS BINARY) >= x'69742773205c'")
        );
    }

    #[test]
    fn the_ends_are_as_they_were_asked_for() {
        let day = |n| Some(Value::Date(n));
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(
            said(Kind::Date, day(0), true, day(1), true),
            is(
                "(t.`at` > DATE'1970-01-01' AND t.`at` <= DATE'1970-01-02' OR t.`at` IS NULL OR t.`at` < DATE'0001-01-01')"
            )
        );
        assert_eq!(said(INT, Some(Value::Int(1)), false, None, true), is("(t.`at` >= 1 OR t.`at` IS NULL)"));
        assert_eq!(said(Kind::Date, None, false, None, true), None);
        assert_eq!(said(Kind::Date, None, false, None, false), is("t.`at` IS NOT NULL"));
        let nanos = |n| Some(Value::Timestamp(n));
        assert_eq!(
            said(Kind::Local, nanos(1), false, nanos(1), false),
            is("t.`at` >= TIMESTAMP'1970-01-01 00:00:00' AND t.`at` <= TIMESTAMP'1970-01-01 00:00:00.000001'")
        );
    }

    #[test]
    fn the_end_of_an_interval_is_none_of_it() {
        let said = |kind, from, before| {
            let bounds = Bounds { from: Some(from), exclusive: false, until: None, before: Some(before) };
            condition(&[Column::new("at", kind, DataType::Text)], &Range { column: "at".into(), bounds, nulls: false })
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(said(INT, Value::Int(1), Value::Int(2)), is("t.`at` >= 1 AND t.`at` < 2"));
        // The server holds whole microseconds: what lies before a part of one lies before the next.
        assert_eq!(
            said(Kind::Moment, Value::TimestampTz(0), Value::TimestampTz(1)),
            is("t.`at` >= TIMESTAMP'1970-01-01 00:00:00' AND t.`at` < TIMESTAMP'1970-01-01 00:00:00.000001'")
        );
    }

    #[test]
    fn what_the_server_would_compare_in_another_way_is_left_to_the_engine() {
        let from = |kind, value| said(kind, Some(value), false, None, false);
        assert_eq!(from(Kind::Local, Value::Text("2024".into())), None);
        assert_eq!(from(Kind::Real { single: false }, Value::Double(f64::INFINITY)), None);
        assert_eq!(from(Kind::Date, Value::Date(-2_000_000)), None);
        assert_eq!(from(Kind::Local, Value::Timestamp(i128::MAX / 2)), None);
    }
}
