//! What is said of rows whose values no type of ours holds.

use super::{
    block::Block,
    columns::{Kind, Wanted},
    decode::shown,
};
use floodmark_connect::BadRow;
use floodmark_core::{
    Code, DataType, Error,
    error::{Place, shorten},
};

/// The row of a block whose cell `at` does not fit.
pub(crate) fn row(block: &Block, wanted: &[Wanted], row: usize, at: usize, number: u64) -> BadRow {
    let text = |at: usize, kind: Kind| block.cell(row, at).map(|bytes| shown(kind, bytes));
    let cells = wanted.iter().enumerate().map(|(at, w)| (w.name.clone(), text(at, w.kind).into()));
    let raw = serde_json::Value::Object(cells.collect()).to_string();
    let Wanted { name, kind, data_type } = &wanted[at];
    let value = text(at, *kind).unwrap_or_default();
    let error = Error::new(Code::BadValue, format!("a value is not a {data_type}"))
        .help(remedy(name, *kind, *data_type, &value))
        .help("or keep such rows aside: `on_bad_row: reject`")
        .at(Place { column: Some(name.clone()), value: Some(shorten(&value)), ..Place::default() });
    BadRow { row: number, line: None, error, raw }
}

fn remedy(name: &str, kind: Kind, data_type: DataType, value: &str) -> String {
    let finite = !matches!(value, "NaN" | "Infinity" | "-Infinity");
    match (kind, data_type) {
        (Kind::Numeric, DataType::Decimal(_, scale)) if finite => {
            let whole = value.split('.').next().map_or(0, |whole| whole.chars().filter(char::is_ascii_digit).count());
            let (other, why) = match fraction(value) > usize::from(scale) {
                true => (18.max(fraction(value)), "has more digits after the point"),
                false => (0, "is larger"),
            };
            let text = format!("`columns: {{{name}: {{type: text}}}}` takes every number");
            match other {
                other if other + whole > 38 => format!("it {why} than a decimal can have: {text}"),
                other => format!(
                    "it {why}: a decimal has 38 digits, of which the type says how many are behind the point \
                     (`columns: {{{name}: {{type: decimal(38,{other})}}}}`), and {text}"
                ),
            }
        }
        (Kind::Date | Kind::Timestamp | Kind::TimestampTz | Kind::Numeric, _) => format!(
            "keep what PostgreSQL has beside ordinary values as text, `columns: {{{name}: {{type: text}}}}`, or have the \
             source say something else: `query: SELECT …, nullif({name}, '{value}') AS {name} FROM …`"
        ),
        _ => format!("give the column a type that holds it: `columns: {{{name}: {{type: text}}}}`"),
    }
}

/// Digits after the point that are not zeros at the end.
fn fraction(value: &str) -> usize {
    value.split_once('.').map_or(0, |(_, digits)| digits.trim_end_matches('0').len())
}
