//! Hashes of rows that a database works out itself, so that tables are compared without moving them.
//!
//! All calls see the state that the source's last survey saw.

use crate::{Batches, Range, Stop};
use floodmark_core::{
    DataType, Result, Schema, Value,
    encoding::{Digest, Form},
};

/// A column that is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Hashed {
    /// Its name in the source.
    pub name: String,
    /// The type it is read as.
    pub data_type: DataType,
    /// The form in which it is compared.
    pub form: Form,
    /// The family of types that it is hashed as, where servers hash in their own way.
    pub family: Option<Family>,
}

/// Types whose values a server's own hash functions give the same hash where they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// true or false.
    Truth,
    /// Whole numbers.
    Whole,
    /// Exact numbers.
    Exact,
    /// Floating-point numbers.
    Double,
    /// Texts, byte by byte.
    Text,
    /// Bytes.
    Bytes,
    /// Days.
    Day,
    /// Date and time without a zone.
    Moment,
    /// Date and time with one.
    Instant,
    /// Time of day.
    Time,
}

impl Family {
    /// The family in which values of both can be hashed.
    pub fn of(self, other: Family) -> Option<Family> {
        match (self, other) {
            (a, b) if a == b => Some(a),
            (Family::Whole, Family::Exact) | (Family::Exact, Family::Whole) => Some(Family::Exact),
            (Family::Day, Family::Moment) | (Family::Moment, Family::Day) => Some(Family::Moment),
            _ => None,
        }
    }
}

/// How rows are put into segments. Rows that are equal on both sides are in the segment of the same number.
#[derive(Debug, Clone, PartialEq)]
pub enum Split {
    /// By the value of a column, which need not be one of those compared. Segment 0 are rows without one; segment `n` + 1
    /// begins with bound `n` - 1, which belongs to it, and ends before the next.
    Axis {
        /// The column, with its form.
        column: Hashed,
        /// In ascending order, each once, none NULL.
        bounds: Vec<Value>,
    },
    /// By the highest bits of the row's own hash, so many of them.
    Content(u32),
}

impl Split {
    /// How many segments there are.
    pub fn segments(&self) -> usize {
        match self {
            Split::Axis { bounds, .. } => bounds.len() + 2,
            Split::Content(bits) => 1 << bits,
        }
    }

    /// The segment of a value of the axis.
    pub fn of_value(&self, value: &Value) -> u32 {
        let Split::Axis { bounds, .. } = self else { return 0 };
        if value.is_null() {
            return 0;
        }
        let below = bounds.partition_point(|b| b.compare(value).is_some_and(std::cmp::Ordering::is_le));
        below as u32 + 1
    }

    /// The segment of a row's hash.
    pub fn of_hash(&self, hash: u64) -> u32 {
        match self {
            Split::Content(bits) if *bits > 0 => (hash >> (64 - bits)) as u32,
            _ => 0,
        }
    }
}

/// What is asked of rows.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The columns that are compared, in the order they are encoded in.
    pub columns: Vec<Hashed>,
    /// Hashed by the server's own functions, in place of MD5 of the encoding.
    pub native: bool,
    /// Which rows belong together.
    pub split: Split,
    /// Only these rows: exactly these.
    pub range: Option<Range>,
}

/// What a database can work out of its rows.
pub trait Digests: Send + Sync {
    /// Which hash functions it has of its own: two sources that say the same hash equal values alike. `None`: none that
    /// could be relied on.
    fn native(&self, stop: &Stop) -> Result<Option<String>>;

    /// The family in which its own functions hash a column that is compared in this form.
    fn family(&self, column: &Hashed, stop: &Stop) -> Result<Option<Family>>;

    /// Whether it can encode the columns, and compare the axis and the range exactly as is done here.
    fn can(&self, ask: &Ask, stop: &Stop) -> Result<bool>;

    /// About how many rows there are; 0 where nothing is known of that.
    fn estimate(&self, stop: &Stop) -> Result<u64>;

    /// Some values of the axis, about so many, from all over the rows, none NULL. `segments`: only of these.
    fn sample(&self, ask: &Ask, segments: Option<&[u32]>, about: u64, stop: &Stop) -> Result<Vec<Value>>;

    /// Number of rows and sum of hashes of the segments that have rows, in no order. `segments`: only of these.
    fn digests(&self, ask: &Ask, segments: Option<&[u32]>, stop: &Stop) -> Result<Vec<(u32, Digest)>>;

    /// The rows of some segments: exactly these. `schema`: the columns to produce, as in `Source::read`.
    fn rows(&self, ask: &Ask, segments: &[u32], schema: &Schema, stop: &Stop) -> Result<Box<dyn Batches>>;
}

/// The condition that a row lies in a run of segments, which is the same in every SQL: the first of them holds the rows
/// without a value. `parts`: how the column compares with the ends that the run has.
pub fn condition(name: &str, parts: &[String], run: (u32, u32)) -> String {
    match run {
        (0, 0) => format!("{name} IS NULL"),
        (0, _) if parts.is_empty() => "true".to_owned(),
        (0, _) => format!("{name} IS NULL OR {}", parts.join(" AND ")),
        _ if parts.is_empty() => format!("{name} IS NOT NULL"),
        _ => parts.join(" AND "),
    }
}

/// The part of an axis that a run of segments covers, NULL apart: where it begins, and where it ends, which is no part of it.
pub fn ends(bounds: &[Value], (first, last): (u32, u32)) -> (Option<&Value>, Option<&Value>) {
    let from = (first as usize).checked_sub(2).and_then(|at| bounds.get(at));
    let until = (last as usize).checked_sub(1).and_then(|at| bounds.get(at));
    (from, until)
}

/// Runs of neighbouring segments, first and last, of segments in ascending order.
pub fn runs(segments: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &segment in segments {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == segment => *last = segment,
            _ => runs.push((segment, segment)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_segment_it_begins() {
        let column = Hashed { name: "id".into(), data_type: DataType::BigInt, form: Form::Number, family: None };
        let split = Split::Axis { column, bounds: vec![Value::Int(10), Value::Int(20)] };
        let of = |n| split.of_value(&Value::Int(n));
        assert_eq!([of(9), of(10), of(19), of(20), of(99)], [1, 2, 2, 3, 3]);
        assert_eq!((split.of_value(&Value::Null), split.segments()), (0, 4));
        assert_eq!(split.of_value(&Value::Decimal(199, 1)), 2);
        let Split::Axis { bounds, .. } = &split else { return };
        assert_eq!(ends(bounds, (1, 1)), (None, Some(&Value::Int(10))));
        assert_eq!(ends(bounds, (2, 3)), (Some(&Value::Int(10)), None));
    }

    #[test]
    fn a_hash_goes_by_its_highest_bits() {
        assert_eq!(Split::Content(4).of_hash(0xf000_0000_0000_0000), 15);
        assert_eq!(Split::Content(0).of_hash(u64::MAX), 0);
    }

    #[test]
    fn neighbours_are_one_run() {
        assert_eq!(runs(&[0, 1, 2, 5, 7, 8]), [(0, 2), (5, 5), (7, 8)]);
        assert_eq!(runs(&[]), []);
    }
}
