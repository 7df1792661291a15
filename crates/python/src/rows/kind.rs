//! What the values of a column have in common.

use super::value::Value;
use floodmark_core::{Code, DataType, Error, Result, error::Place};

/// Whole numbers that every double up to it can be.
const EXACT: u64 = 1 << 53;
/// Digits of the longest decimal.
const DIGITS: usize = 38;

/// Kinds of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but NULL.
    #[default]
    None,
    Bool,
    Int,
    Decimal,
    Double,
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Json,
    /// Of kinds that no type holds together.
    Mixed,
}

impl Kind {
    fn of(value: &Value) -> Kind {
        match value {
            Value::Null => Kind::None,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) => Kind::Int,
            Value::Decimal(_) => Kind::Decimal,
            Value::Double(_) => Kind::Double,
            Value::Text(_) => Kind::Text,
            Value::Bytes(_) => Kind::Bytes,
            Value::Date(_) => Kind::Date,
            Value::Time(_) => Kind::Time,
            Value::Timestamp(_) => Kind::Timestamp,
            Value::TimestampTz(_) => Kind::TimestampTz,
            Value::Json(_) => Kind::Json,
        }
    }

    /// In words of Python.
    fn name(self) -> &'static str {
        match self {
            Kind::None => "None",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Decimal => "Decimal",
            Kind::Double => "float",
            Kind::Text => "str",
            Kind::Bytes => "bytes",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Timestamp => "datetime without a time zone",
            Kind::TimestampTz => "datetime with a time zone",
            Kind::Json => "lists or dicts",
            Kind::Mixed => "several kinds",
        }
    }

    fn join(self, other: Kind) -> Kind {
        use Kind::*;
        match (self, other) {
            (a, b) if a == b => a,
            (None, kind) | (kind, None) => kind,
            (Int, Decimal) | (Decimal, Int) => Decimal,
            (Int, Double) | (Double, Int) => Double,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            _ => Mixed,
        }
    }
}

/// What was seen of a column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Typed {
    pub(crate) kind: Kind,
    /// The first value of another kind than those before it: which kinds, and in which rows.
    clash: Option<((Kind, u64), (Kind, u64))>,
    /// The first value that is not NULL.
    first: Option<(Kind, u64)>,
    /// The largest whole number, without its sign, and its row.
    largest: (u64, u64),
    /// Digits before the point, and behind it.
    digits: (usize, usize),
    nanos: bool,
    /// Bytes are among them, which have no text that says all of them.
    bytes: bool,
    /// The column is given a type, so that what holds its values on the way may be text.
    asked: bool,
    /// That type is text, so that each value is told by itself.
    text: bool,
}

impl Typed {
    /// Nothing is seen yet.
    pub(crate) fn new(asked: bool, text: bool) -> Self {
        Typed { asked, text, ..Typed::default() }
    }

    /// One more value.
    pub(crate) fn see(&mut self, value: &Value, row: u64) {
        let kind = Kind::of(value);
        if kind == Kind::None {
            return;
        }
        match value {
            Value::Int(v) if v.unsigned_abs() > self.largest.0 => self.largest = (v.unsigned_abs(), row),
            Value::Decimal(text) => {
                let text = text.trim_start_matches('-');
                let (before, behind) = text.split_once('.').unwrap_or((text, ""));
                let before = before.trim_start_matches('0').len();
                self.digits = (self.digits.0.max(before), self.digits.1.max(behind.len()));
            }
            Value::Bytes(_) => self.bytes = true,
            Value::Timestamp(text) | Value::TimestampTz(text) => self.nanos |= has_nanos(text),
            _ => {}
        }
        self.take(kind, (kind, row));
    }

    fn take(&mut self, kind: Kind, found: (Kind, u64)) {
        let first = *self.first.get_or_insert(found);
        let joined = self.kind.join(kind);
        if joined == Kind::Mixed {
            self.clash.get_or_insert((first, found));
        }
        self.kind = joined;
    }

    /// Those of later rows.
    pub(crate) fn join(&mut self, later: &Typed) {
        let Some(first) = later.first else { return };
        // What clashes among them may clash with a row before them, too, which is the one to name.
        let known = |found: &(Kind, u64)| self.kind.join(found.0) == Kind::Mixed;
        let clash = later.clash.map(|(one, other)| match self.first.filter(|_| known(&other)) {
            Some(before) => (before, other),
            None => (one, other),
        });
        self.clash = self.clash.or(clash);
        self.take(later.kind, first);
        self.largest = self.largest.max(later.largest);
        self.digits = (self.digits.0.max(later.digits.0), self.digits.1.max(later.digits.1));
        self.nanos |= later.nanos;
        self.bytes |= later.bytes;
    }

    /// An error where no type holds all values.
    pub(crate) fn one_kind(&self, name: &str) -> Result<()> {
        if self.asked && !self.bytes {
            return Ok(());
        }
        let mixed = |one: (&str, u64), other: (&str, u64)| {
            let message = format!("column {name:?} holds {} (row {}) and {} (row {})", one.0, one.1, other.0, other.1);
            let error = Error::new(Code::BadValue, message)
                .at(Place { row: Some(other.1), column: Some(name.to_owned()), ..Place::default() })
                .help("make its values of one kind before the rows are handed over");
            Err(match self.bytes {
                true => error,
                false => error.help(format!("or have each kept as its text: columns={{{name:?}: \"text\"}}")),
            })
        };
        match (self.kind, self.clash, self.first) {
            (Kind::Mixed, Some((one, other)), _) => mixed((one.0.name(), one.1), (other.0.name(), other.1)),
            (Kind::Double, _, Some(first)) if self.largest.0 > EXACT => {
                mixed(("float", first.1), ("an int that no float is", self.largest.1))
            }
            _ => Ok(()),
        }
    }

    /// The type that holds all values; `None` where all are NULL.
    pub(crate) fn data_type(&self, name: &str) -> Result<Option<DataType>> {
        self.one_kind(name)?;
        Ok(Some(match self.kind {
            Kind::None => return Ok(None),
            Kind::Bytes => DataType::Bytes,
            _ if self.text => DataType::Text,
            Kind::Bool => DataType::Bool,
            Kind::Int => DataType::BigInt,
            Kind::Decimal => return self.decimal(name).map(Some),
            Kind::Double => DataType::Double,
            Kind::Text | Kind::Mixed => DataType::Text,
            Kind::Date => DataType::Date,
            Kind::Time => DataType::Time,
            Kind::Timestamp => DataType::Timestamp { nanos: self.nanos },
            Kind::TimestampTz => DataType::TimestampTz { nanos: self.nanos },
            Kind::Json => DataType::Json,
        }))
    }

    fn decimal(&self, name: &str) -> Result<DataType> {
        let whole = self.largest.0.checked_ilog10().map_or(0, |log| log as usize + 1);
        let (before, behind) = (self.digits.0.max(whole), self.digits.1);
        let digits = (before + behind).max(1);
        match (u8::try_from(digits), u8::try_from(behind)) {
            (Ok(digits), Ok(behind)) if usize::from(digits) <= DIGITS => Ok(DataType::Decimal(digits, behind)),
            _ => Err(Error::new(
                Code::BadValue,
                format!("column {name:?} needs numbers of {digits} digits, and {DIGITS} are the most there are"),
            )
            .at(Place { column: Some(name.to_owned()), ..Place::default() })
            .help(format!("keep them as text: columns={{{name:?}: \"text\"}}, and hand over str"))),
        }
    }
}

/// Whether the text of a moment has more than microseconds.
fn has_nanos(text: &str) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).skip(6);
    digits.into_iter().any(|digit| digit != b'0')
}
