//! Cells as a case writes them and as a database holds them.

use rusqlite::types::{Value, ValueRef};
use std::fmt;

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// `NULL`.
    Null,
    /// `true` or `false`; a database without booleans holds 1 and 0.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Real(f64),
    /// Text; written in quotes where it would read as something else.
    Text(String),
    /// Bytes: `x'00ff'`.
    Bytes(Vec<u8>),
}

impl Cell {
    /// Reads a cell of a case.
    pub(crate) fn parse(text: &str) -> Result<Cell, String> {
        let text = text.trim();
        Ok(match text {
            "NULL" => Cell::Null,
            "true" => Cell::Bool(true),
            "false" => Cell::Bool(false),
            _ if text.starts_with('"') => {
                Cell::Text(serde_json::from_str(text).map_err(|e| format!("{text} is no quoted text: {e}"))?)
            }
            _ if text.starts_with("x'") && text.ends_with('\'') && text.len() > 2 => {
                Cell::Bytes(bytes(&text[2..text.len() - 1]).ok_or_else(|| format!("{text} is not in hexadecimal"))?)
            }
            "" => return Err("an empty cell: write \"\" for empty text, NULL for nothing".to_owned()),
            _ => match number(text) {
                Some(number) => number,
                None => Cell::Text(text.to_owned()),
            },
        })
    }

    /// Whether a database's value is the one a case asks for.
    pub(crate) fn matches(&self, found: &Cell) -> bool {
        match (self, found) {
            (Cell::Bool(a), Cell::Int(b)) | (Cell::Int(b), Cell::Bool(a)) => i64::from(*a) == *b,
            (Cell::Real(a), Cell::Real(b)) => a == b,
            (Cell::Int(a), Cell::Real(b)) | (Cell::Real(b), Cell::Int(a)) => *a as f64 == *b,
            (a, b) => a == b,
        }
    }
}

fn number(text: &str) -> Option<Cell> {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
    if !text.bytes().all(plain) || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    // `007` stays text: that a leading zero is kept is what many cases are about.
    let digits = text.trim_start_matches('-');
    if digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") || text.starts_with('+') {
        return None;
    }
    text.parse().map(Cell::Int).ok().or_else(|| text.parse().map(Cell::Real).ok())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match Value::try_from(value) {
            Ok(Value::Null) => Cell::Null,
            Ok(Value::Integer(v)) => Cell::Int(v),
            Ok(Value::Real(v)) => Cell::Real(v),
            Ok(Value::Text(v)) => Cell::Text(v),
            Ok(Value::Blob(v)) => Cell::Bytes(v),
            // Text that is not UTF-8 is shown, and equals nothing a case can write.
            Err(_) => Cell::Bytes(value.as_bytes().unwrap_or_default().to_vec()),
        }
    }
}

impl fmt::Display for Cell {
    /// As a case writes it: reading it back gives the same cell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("NULL"),
            Cell::Bool(v) => write!(f, "{v}"),
            Cell::Int(v) => write!(f, "{v}"),
            Cell::Real(v) => write!(f, "{v:?}"),
            Cell::Text(v) if v.contains(['|', '\n', '"']) || Cell::parse(v) != Ok(self.clone()) => {
                write!(f, "{}", serde_json::Value::from(v.as_str()))
            }
            Cell::Text(v) => f.write_str(v),
            Cell::Bytes(v) => {
                f.write_str("x'")?;
                v.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str("'")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_leading_zero_is_text_and_a_number_is_not() {
        assert_eq!(Cell::parse("007"), Ok(Cell::Text("007".into())));
        assert_eq!(Cell::parse("7"), Ok(Cell::Int(7)));
        assert_eq!(Cell::parse("\"7\""), Ok(Cell::Text("7".into())));
        assert!(!Cell::Int(7).matches(&Cell::Text("7".into())));
        assert!(!Cell::Null.matches(&Cell::Text(String::new())));
        assert!(Cell::Int(2).matches(&Cell::Real(2.0)));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(text in "\\PC*", n: i64) {
            for cell in [Cell::Text(text), Cell::Int(n), Cell::Bytes(n.to_le_bytes().to_vec())] {
                prop_assert_eq!(Cell::parse(&cell.to_string()), Ok(cell));
            }
        }
    }
}
