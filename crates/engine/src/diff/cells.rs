//! Encoded rows, taken apart again.

use floodmark_core::{DataType, encoding::Form};
use std::cmp::Ordering;

/// The cells of an encoded row: their texts, `None` for NULL.
pub(crate) fn cells(row: &[u8]) -> Vec<Option<&[u8]>> {
    let (mut out, mut rest) = (Vec::new(), row);
    while let Some((cell, more)) = first(rest) {
        out.push(cell);
        rest = more;
    }
    out
}

/// The bytes of the first cells of a row.
pub(crate) fn prefix(row: &[u8], cells: usize) -> &[u8] {
    let mut rest = row;
    for _ in 0..cells {
        match first(rest) {
            Some((_, more)) => rest = more,
            None => break,
        }
    }
    &row[..row.len() - rest.len()]
}

fn first(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return Some((None, rest));
    }
    let colon = bytes.iter().position(|b| *b == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let (cell, rest) = bytes[colon + 1..].split_at_checked(length)?;
    Some((Some(cell), rest))
}

/// A cell of a column of a type as it is shown: a date is compared as its midnight, and told as a date.
pub(crate) fn shown(cell: Option<&[u8]>, data_type: DataType) -> Option<String> {
    let text = String::from_utf8_lossy(cell?);
    let date = text.strip_suffix(" 00:00:00").filter(|_| data_type == DataType::Date);
    Some(date.unwrap_or(&text).to_owned())
}

/// The order in which keys are told.
pub(crate) fn compare(a: &[u8], b: &[u8], forms: &[Form]) -> Ordering {
    let (left, right) = (cells(a), cells(b));
    let each = left.iter().zip(&right).zip(forms).map(|((a, b), form)| match (a, b, form) {
        (Some(a), Some(b), Form::Number) => numbers(a, b),
        _ => a.cmp(b),
    });
    each.fold(Ordering::Equal, Ordering::then)
}

/// Numbers without an exponent, by value.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let size = |digits: &[u8]| digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let absolute = |a: &[u8], b: &[u8]| size(a).cmp(&size(b)).then_with(|| a.cmp(b));
    match (a.strip_prefix(b"-"), b.strip_prefix(b"-")) {
        (None, None) => absolute(a, b),
        (Some(a), Some(b)) => absolute(b, a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::{Value, encoding};

    #[test]
    fn cells_are_what_was_encoded() {
        let (mut row, mut scratch) = (Vec::new(), String::new());
        for value in [Value::Int(12), Value::Null, Value::Text("a:-1:b".into()), Value::Text(String::new())] {
            encoding::put(&value, &mut row, &mut scratch);
        }
        assert_eq!(cells(&row), [Some(&b"12"[..]), None, Some(b"a:-1:b"), Some(b"")]);
        assert_eq!(prefix(&row, 2), b"2:12-");
        assert_eq!((prefix(&row, 0), prefix(&row, 9)), (&b""[..], &row[..]));
    }

    #[test]
    fn a_date_is_shown_as_one_and_a_moment_at_midnight_is_not() {
        let (mut row, mut scratch) = (Vec::new(), String::new());
        encoding::put(&Value::Date(1), &mut row, &mut scratch);
        let cell = cells(&row)[0];
        assert_eq!(shown(cell, DataType::Date).as_deref(), Some("1970-01-02"));
        assert_eq!(shown(cell, DataType::Timestamp { nanos: false }).as_deref(), Some("1970-01-02 00:00:00"));
        assert_eq!(shown(None, DataType::Date), None);
    }

    #[test]
    fn numbers_sort_by_value() {
        let mut texts = ["10", "9", "-10", "-9", "9.5", "0", "-0.5", "9.25"].map(str::as_bytes);
        texts.sort_by(|a, b| numbers(a, b));
        assert_eq!(texts, ["-10", "-9", "-0.5", "0", "9", "9.25", "9.5", "10"].map(str::as_bytes));
    }
}
