//! The wanted part of the cursor's axis as a condition the server can go by. What it leaves out the engine would leave out;
//! what it lets through the engine looks at again.

use super::columns::{Column, Kind};
use crate::ddl::{literal, quote};
use floodmark_connect::Range;
use floodmark_core::{Value, text};

/// The condition on `t`; nothing where the server would not compare as we do. `utf8`: its texts are in UTF-8, whose bytes
/// sort as ours.
pub(crate) fn condition(columns: &[Column], range: &Range, utf8: bool) -> Option<String> {
    let column = columns.iter().find(|c| c.name == range.column)?;
    let bounds = &range.bounds;
    let mut parts = Vec::new();
    if let Some(from) = &bounds.from {
        let (value, compared) = comparison(column, from, Edge::From, utf8)?;
        parts.push(format!("{compared} {} {value}", if bounds.exclusive { ">" } else { ">=" }));
    }
    if let Some(until) = &bounds.until {
        let (value, compared) = comparison(column, until, Edge::Until, utf8)?;
        parts.push(format!("{compared} <= {value}"));
    }
    if let Some(before) = &bounds.before {
        let (value, compared) = comparison(column, before, Edge::Until, utf8)?;
        parts.push(format!("{compared} < {value}"));
    }
    if parts.is_empty() && range.nulls {
        return None;
    }
    let name = format!("t.{}", quote(&column.name));
    Some(match (parts.is_empty(), range.nulls) {
        (true, _) => format!("{name} IS NOT NULL"),
        (false, true) => format!("({} OR {name} IS NULL)", parts.join(" AND ")),
        (false, false) => parts.join(" AND "),
    })
}

/// Whether the server compares such values as we do, with ends that are whole microseconds.
pub(crate) fn is_exact(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric | Kind::Date | Kind::Timestamp | Kind::TimestampTz
    )
}

/// Which end of the range a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    From,
    Until,
}

/// The value as a literal, and the column as it is compared with that.
pub(super) fn comparison(column: &Column, value: &Value, edge: Edge, utf8: bool) -> Option<(String, String)> {
    let name = format!("t.{}", quote(&column.name));
    let typed = |text: String, of: &str| Some((format!("{}::{of}", literal(&text)), name.clone()));
    match (column.kind, value) {
        (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid, Value::Int(_)) => typed(value.to_string(), "bigint"),
        (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid, Value::Decimal(..))
        | (Kind::Numeric, Value::Int(_) | Value::Decimal(..)) => typed(value.to_string(), "numeric"),
        (Kind::Float4 | Kind::Float8, Value::Double(_)) => typed(value.to_string(), "double precision"),
        (Kind::Date, Value::Date(_)) => typed(common_era(value)?, "date"),
        (Kind::Time, Value::Time(nanos)) => {
            typed(Value::Time(whole(i128::from(*nanos), edge)?.try_into().ok()?).to_string(), "time")
        }
        (Kind::Timestamp, Value::Timestamp(nanos)) => {
            typed(common_era(&Value::Timestamp(whole(*nanos, edge)?))?, "timestamp")
        }
        (Kind::TimestampTz, Value::TimestampTz(nanos)) => {
            typed(common_era(&Value::TimestampTz(whole(*nanos, edge)?))?, "timestamptz")
        }
        (Kind::Text | Kind::Padded | Kind::Uuid | Kind::Other, Value::Text(text)) if utf8 && !text.contains('\0') => {
            Some((literal(text), format!("{name}::text COLLATE \"C\"")))
        }
        _ => None,
    }
}

/// Nanoseconds as whole microseconds, so that rather more is read than less.
fn whole(nanos: i128, edge: Edge) -> Option<i128> {
    let down = nanos.div_euclid(1000);
    let up = edge == Edge::Until && down * 1000 != nanos;
    (down + i128::from(up)).checked_mul(1000)
}

/// A date or moment as the server reads it: of the years 1 to 9999, which need no words of its own.
fn common_era(value: &Value) -> Option<String> {
    let written = value.to_string();
    let first = text::parse_date(b"0001-01-01")?;
    let last = text::parse_date(b"9999-12-31")?;
    let day = match value {
        Value::Date(days) => i128::from(*days),
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => nanos.div_euclid(86_400_000_000_000),
        _ => return None,
    };
    (i128::from(first)..=i128::from(last)).contains(&day).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::{DataType, watermark::Bounds};

    fn column(kind: Kind) -> Column {
        Column::new("at", kind, DataType::Text)
    }

    fn said(kind: Kind, from: Option<Value>, exclusive: bool, until: Option<Value>, nulls: bool) -> Option<String> {
        let range = Range { column: "at".into(), bounds: Bounds { from, exclusive, until, before: None }, nulls };
        condition(&[column(kind)], &range, true)
    }

    #[test]
    fn values_are_literals_of_their_type() {
        let from = |kind, value| said(kind, Some(value), false, None, false);
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(from(Kind::Int4, Value::Int(-5)), is(r#"t."at" >= '-5'::bigint"#));
        assert_eq!(from(Kind::Numeric, Value::Decimal(-1050, 2)), is(r#"t."at" >= '-10.50'::numeric"#));
        assert_eq!(from(Kind::Float8, Value::Double(f64::INFINITY)), is(r#"t."at" >= 'inf'::double precision"#));
        assert_eq!(from(Kind::Date, Value::Date(0)), is(r#"t."at" >= '1970-01-01'::date"#));
        assert_eq!(
            from(Kind::TimestampTz, Value::TimestampTz(1_500_000)),
            is(r#"t."at" >= '1970-01-01 00:00:00.0015+00:00'::timestamptz"#)
        );
        assert_eq!(
            from(Kind::Text, Value::Text(r#"it's \ "" $$"#.into())),
            is(r#"t."at"::text COLLATE "C" >= 'it''s \ "" $$'"#)
        );
    }

    #[test]
    fn the_ends_are_as_they_were_asked_for() {
        let day = |n| Some(Value::Date(n));
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(
            said(Kind::Date, day(0), true, day(1), true),
            is(r#"(t."at" > '1970-01-01'::date AND t."at" <= '1970-01-02'::date OR t."at" IS NULL)"#)
        );
        assert_eq!(said(Kind::Date, None, false, None, true), None);
        assert_eq!(said(Kind::Date, None, false, None, false), is(r#"t."at" IS NOT NULL"#));
        let nanos = |n| Some(Value::Timestamp(n));
        assert_eq!(
            said(Kind::Timestamp, nanos(1), false, nanos(1), false),
            is(r#"t."at" >= '1970-01-01 00:00:00'::timestamp AND t."at" <= '1970-01-01 00:00:00.000001'::timestamp"#)
        );
    }

    #[test]
    fn the_end_of_an_interval_is_none_of_it() {
        let said = |kind, from, before| {
            let bounds = Bounds { from: Some(from), exclusive: false, until: None, before: Some(before) };
            condition(&[column(kind)], &Range { column: "at".into(), bounds, nulls: false }, true)
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(
            said(Kind::Date, Value::Date(0), Value::Date(1)),
            is(r#"t."at" >= '1970-01-01'::date AND t."at" < '1970-01-02'::date"#)
        );
        // The server holds whole microseconds: what lies before a part of one lies before the next.
        assert_eq!(
            said(Kind::Timestamp, Value::Timestamp(0), Value::Timestamp(1)),
            is(r#"t."at" >= '1970-01-01 00:00:00'::timestamp AND t."at" < '1970-01-01 00:00:00.000001'::timestamp"#)
        );
        assert_eq!(
            said(Kind::Text, Value::Text("a".into()), Value::Text("b".into())),
            is(r#"t."at"::text COLLATE "C" >= 'a' AND t."at"::text COLLATE "C" < 'b'"#)
        );
    }

    #[test]
    fn what_the_server_would_compare_in_another_way_is_left_to_the_engine() {
        let from = |kind, value| said(kind, Some(value), false, None, false);
        assert_eq!(from(Kind::Timestamp, Value::Text("2024".into())), None);
        assert_eq!(from(Kind::Text, Value::Text("a\0b".into())), None);
        assert_eq!(from(Kind::Date, Value::Date(-2_000_000)), None);
        assert_eq!(from(Kind::Timestamp, Value::Timestamp(i128::MAX / 2)), None);
        let range = Range {
            column: "at".into(),
            bounds: Bounds { from: Some(Value::Text("a".into())), exclusive: false, until: None, before: None },
            nulls: false,
        };
        assert_eq!(condition(&[column(Kind::Text)], &range, false), None);
        assert_eq!(condition(&[], &range, true), None);
    }
}
