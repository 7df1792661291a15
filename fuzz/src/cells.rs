//! Whether a typed value says what its text says, judged without the readers under test.

use floodmark_core::{DataType, Value};

/// A number as its digits say it: sign, significant digits, and the power of ten of the last one.
#[derive(Debug, PartialEq, Eq)]
struct Exact {
    negative: bool,
    digits: Vec<u8>,
    power: i64,
}

/// Takes a number apart: optional minus, digits with an optional point, optional exponent. A zero has no digits and
/// keeps its sign.
fn exact(text: &str) -> Option<Exact> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].strip_prefix('+').unwrap_or(&rest[at + 1..]).parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: Vec<u8> = integer.bytes().chain(fraction.bytes()).collect();
    if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let end = all.iter().rposition(|d| *d != b'0').map_or(0, |at| at + 1);
    let begin = all.iter().position(|d| *d != b'0').unwrap_or(0);
    let digits = all[begin.min(end)..end].to_vec();
    let power = if digits.is_empty() { 0 } else { exponent - fraction.len() as i64 + (all.len() - end) as i64 };
    Some(Exact { negative, digits, power })
}

/// Whether a double is what a text says at the precision the text is printed with.
fn same_double(text: &str, value: f64) -> bool {
    let Some(said) = exact(text) else { return false };
    let printed = format!("{value:.*e}", said.digits.len().saturating_sub(1));
    exact(&printed).as_ref() == Some(&said)
}

/// Whether `value`, of type `data_type`, is what `text` says: no digit, zero or zone lost.
pub fn says_the_same(text: &str, value: &Value, data_type: DataType) -> bool {
    match value {
        Value::Bool(v) => text.eq_ignore_ascii_case(if *v { "true" } else { "false" }),
        Value::Int(v) => text == v.to_string(),
        Value::Decimal(..) => exact(text).is_some() && exact(text) == exact(&value.to_string()),
        Value::Double(v) => same_double(text, *v),
        Value::Text(v) => text == v,
        Value::Bytes(v) => text.as_bytes() == v,
        Value::Date(_) => text == value.to_string(),
        // Seconds may be left out and zones differ; what is written must at least read back as itself.
        Value::Time(_) | Value::Timestamp(_) | Value::TimestampTz(_) => same_moment(text, value, data_type),
        Value::Null => false,
    }
}

/// By chrono, which shares no code with the readers.
fn same_moment(text: &str, value: &Value, data_type: DataType) -> bool {
    if !reads_back(value, data_type) {
        return false;
    }
    let text = text.replacen('T', " ", 1);
    let naive = |text: &str| {
        let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
        let read = forms.iter().find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok());
        let midnight = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        read.or_else(midnight).map(|at| nanos(&at.and_utc()))
    };
    match value {
        Value::Timestamp(v) => naive(&text) == Some(*v),
        Value::TimestampTz(v) => {
            let forms = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z"];
            let zoned = text.replacen(['Z', 'z'], "+00:00", 1);
            // Blanks before the zone are allowed.
            let at = zoned.get(16..).and_then(|rest| rest.find(['+', '-'])).map(|at| at + 16);
            let Some(at) = at else { return false };
            let tight = format!("{}{}", zoned[..at].trim_end(), &zoned[at..]);
            forms
                .iter()
                .find_map(|form| chrono::DateTime::parse_from_str(&tight, form).ok())
                .is_some_and(|at| nanos(&at.to_utc()) == *v)
        }
        _ => true,
    }
}

fn nanos(at: &chrono::DateTime<chrono::Utc>) -> i128 {
    i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos())
}

/// Whether a value reads back from its own text, which is how the state and the tables keep it.
pub fn reads_back(value: &Value, data_type: DataType) -> bool {
    Value::parse(&value.to_string(), data_type).is_some_and(|again| identical(&again, value))
}

/// Equal, and doubles to the last bit.
pub fn identical(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}
