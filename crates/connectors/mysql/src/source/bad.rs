//! What is said of rows whose values no type of ours holds.

use super::{
    cells::shown,
    columns::{Kind, Wanted},
};
use crate::wire::Row;
use floodmark_connect::BadRow;
use floodmark_core::{
    Code, DataType, Error,
    error::{Place, shorten},
};

/// The row whose cell `at` does not fit.
pub(crate) fn row(row: Row<'_>, wanted: &[Wanted], at: usize, number: u64) -> BadRow {
    let text = |at: usize| row.get(at).map(|bytes| shown(&wanted[at], bytes));
    let cells = wanted.iter().enumerate().map(|(at, w)| (w.name.clone(), text(at).into()));
    let raw = serde_json::Value::Object(cells.collect()).to_string();
    let Wanted { name, kind, data_type } = &wanted[at];
    let value = text(at).unwrap_or_default();
    let error = Error::new(Code::BadValue, format!("a value is not a {data_type}"))
        .help(remedy(name, *kind, *data_type, &value))
        .help("or keep such rows aside: `on_bad_row: reject`")
        .at(Place { column: Some(name.clone()), value: Some(shorten(&value)), ..Place::default() });
    BadRow { row: number, line: None, error, raw }
}

fn remedy(name: &str, kind: Kind, data_type: DataType, value: &str) -> String {
    let text = format!("`columns: {{{name}: {{type: text}}}}`");
    match (kind, data_type) {
        (Kind::Decimal { .. }, DataType::Decimal(_, scale)) => {
            let (other, why) = match fraction(value) > usize::from(scale) {
                true => (18.max(fraction(value)), "has more digits after the point"),
                false => (0, "is larger"),
            };
            format!(
                "it {why}: a decimal has 38 digits, of which the type says how many are behind the point \
                 (`columns: {{{name}: {{type: decimal(38,{other})}}}}`), and {text} takes every number"
            )
        }
        (Kind::Date | Kind::Local | Kind::Moment, _) if is_zero(value) => format!(
            "no calendar has this day: keep it as it is with {text}, or have the source say that there is none: \
             `query: SELECT …, nullif({name}, 0) AS {name} FROM …`"
        ),
        (Kind::Time, DataType::Time) => {
            format!("it is no time of a day, but a span of time: keep it as it is with {text}")
        }
        (Kind::Bytes, DataType::Text) => {
            format!("the bytes are not UTF-8: keep them with `columns: {{{name}: {{type: bytes}}}}`")
        }
        _ => format!("give the column a type that holds it: {text}"),
    }
}

/// A date with a month or day 0.
fn is_zero(value: &str) -> bool {
    value.get(5..7) == Some("00") || value.get(8..10) == Some("00")
}

/// Digits after the point that are not zeros at the end.
fn fraction(value: &str) -> usize {
    value.split_once('.').map_or(0, |(_, digits)| digits.trim_end_matches('0').len())
}
