//! How Floodmark's values live in MySQL and MariaDB: between the neutral bytes of [`floodmark_merge::cell`] and the texts
//! that these servers take and give.

use crate::literal;
use floodmark_core::{
    Code, DataType, Error, Result, Value,
    error::{Place, shorten},
    text,
};
pub(crate) use floodmark_merge::cell::shown;
use floodmark_merge::cell::{self, Cell, Holds};

/// What the server takes: the years 1 to 9999; and in a `timestamp`, which is counted in 32 bits, from a second after
/// 1970-01-01 to 2038-01-19.
pub(crate) static HOLDS: Holds = Holds {
    server: "the server",
    zero_character: true,
    nan: false,
    days: -719_162..=2_932_896,
    micros: -62_135_596_800_000_000..=253_402_300_799_999_999,
    instants: 1_000_000..=2_147_483_647_999_999,
};

/// Digits behind the point that a `decimal` may have.
pub(crate) const MAX_SCALE: u8 = 30;

/// What marks a column of texts that are JSON: `json` itself would write them in another way (MySQL), or is no type of its
/// own (MariaDB).
pub(crate) const JSON: &str = "json";

/// The type a column is made with. `exact`: the collation by which only equal texts are equal; `key`: how many characters,
/// or four times as many bytes, of a value count in a key, where the column is part of one.
pub(crate) fn declared(data_type: DataType, exact: &str, key: Option<u32>) -> String {
    match data_type {
        DataType::Bool => "tinyint(1)".into(),
        DataType::BigInt => "bigint".into(),
        DataType::Decimal(p, s) => format!("decimal({p},{s})"),
        DataType::Double => "double".into(),
        DataType::Text | DataType::Json => {
            let kind = key.map_or_else(|| "longtext".to_owned(), |n| format!("varchar({n})"));
            format!("{kind} CHARACTER SET utf8mb4 COLLATE {exact}")
        }
        DataType::Bytes => key.map_or_else(|| "longblob".to_owned(), |n| format!("varbinary({})", n * 4)),
        DataType::Date => "date".into(),
        DataType::Time => "time(6)".into(),
        // Nanoseconds are taken where they are whole microseconds, and refused where not: none is lost.
        DataType::Timestamp { .. } => "datetime(6)".into(),
        DataType::TimestampTz { .. } => "timestamp(6)".into(),
    }
}

/// What of a column decides how a value gets in.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// Digits of a second that it keeps; more would be rounded without a word.
    pub(crate) digits: u8,
    /// Blanks at the end of a text do not come back.
    pub(crate) trims: bool,
}

impl Taken {
    pub(crate) fn new(name: &str, data_type: DataType) -> Taken {
        Taken { name: name.to_owned(), data_type, digits: 6, trims: false }
    }

    /// Appends the text of a value that is not NULL, without quotes; bytes in hexadecimal.
    pub(crate) fn put(&self, bytes: &[u8], out: &mut String) -> Result<()> {
        if let DataType::Text | DataType::Json = self.data_type {
            let text = std::str::from_utf8(bytes).map_err(|e| Error::internal("a text is not UTF-8").cause(e))?;
            if self.trims && text.ends_with(' ') {
                return Err(self.refused("blanks at the end of a text", text));
            }
            out.push_str(text);
            return Ok(());
        }
        let value = cell::decode(Some(bytes), self.data_type)
            .ok_or_else(|| Error::internal(format!("a cell is no {}", self.data_type)))?;
        let nanos = match &value {
            Value::Time(nanos) => i128::from(*nanos),
            Value::Timestamp(nanos) | Value::TimestampTz(nanos) => *nanos,
            _ => 0,
        };
        if self.digits < 6 && nanos % 10_i128.pow(9 - u32::from(self.digits)) != 0 {
            return Err(self.refused(&format!("more than {} digits of a second", self.digits), &value.to_string()));
        }
        match value {
            Value::Bool(v) => out.push(if v { '1' } else { '0' }),
            Value::Double(v) => {
                use std::fmt::Write;
                let _ = write!(out, "{v:e}");
            }
            Value::Bytes(v) => literal::put_hex(out, &v),
            Value::Timestamp(nanos) | Value::TimestampTz(nanos) => text::format_timestamp(nanos, false, out),
            other => {
                use std::fmt::Write;
                let _ = write!(out, "{other}");
            }
        }
        Ok(())
    }

    /// The value as it stands in a statement.
    pub(crate) fn literal(&self, cell: Cell<'_>) -> Result<String> {
        let Some(bytes) = cell else { return Ok("NULL".to_owned()) };
        let mut text = String::new();
        self.put(bytes, &mut text)?;
        Ok(if self.data_type == DataType::Bytes { format!("x'{text}'") } else { literal::text(&text) })
    }

    fn refused(&self, what: &str, value: &str) -> Error {
        Error::new(Code::Unstorable, format!("column {:?} of the table keeps no {what}", self.name))
            .at(Place { column: Some(self.name.clone()), value: Some(shorten(value)), ..Place::default() })
            .state("the open transaction was rolled back")
            .help("give the column a type that keeps them (ALTER TABLE … MODIFY …: datetime(6), varchar(n)), or correct the value with `transform`")
    }
}

/// What the server sent, in neutral bytes behind `out`. What is no value of the type (a date of zeros) stays as it is, and
/// equals none.
pub(crate) fn neutral(sent: Option<&[u8]>, data_type: DataType, out: &mut Vec<u8>) {
    let Some(bytes) = sent else { return cell::put(out, None) };
    match data_type {
        DataType::Text | DataType::Json | DataType::Bytes => return cell::put(out, Some(bytes)),
        DataType::BigInt => {
            if let Some(number) = std::str::from_utf8(bytes).ok().and_then(|t| t.parse::<i64>().ok()) {
                return cell::put(out, Some(&number.to_be_bytes()));
            }
        }
        DataType::Bool => {
            if let [digit @ (b'0' | b'1')] = bytes {
                return cell::put(out, Some(&[digit - b'0']));
            }
        }
        _ => {
            let value = std::str::from_utf8(bytes).ok().and_then(|text| Value::parse(text, data_type));
            if let Some(value) = value
                && cell::encode(&value, data_type, out).is_some()
            {
                return;
            }
        }
    }
    cell::put(out, Some(bytes));
}

/// The same as a value, for a person's eyes.
pub(crate) fn value(sent: Option<&[u8]>, data_type: DataType) -> Value {
    let mut bytes = Vec::new();
    neutral(sent, data_type, &mut bytes);
    shown(sent.map(|_| &bytes[4..]), data_type)
}
