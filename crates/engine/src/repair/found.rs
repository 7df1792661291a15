//! What a comparison found, as far as a repair has to know it.

use crate::{
    diff::{Candidate, Kind, Paired, Part, cells},
    verify::decoded,
};
use floodmark_core::{Value, interval::Interval};
use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};
use xxhash_rust::xxh3::xxh3_128;

/// Rows that differ. They are known by a hash of their key, or of all of them where there is none.
pub(super) struct Found {
    keyed: bool,
    /// The column along which rows without a key are taken out.
    axis: Option<String>,
    /// The columns that were compared.
    pub(super) paired: Option<Paired>,
    /// Rows that are missing, and how often: only without a key.
    pub(super) missing: HashMap<u128, u64>,
    /// Keys that are only in the table.
    pub(super) extra: HashSet<u128>,
    /// Where rows are that are only in the table: only without a key.
    places: Vec<Value>,
}

impl Found {
    pub(super) fn new(keyed: bool, axis: Option<&str>) -> Self {
        Found {
            keyed,
            axis: axis.map(str::to_owned),
            paired: None,
            missing: HashMap::new(),
            extra: HashSet::new(),
            places: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, paired: &Paired, candidate: &Candidate<'_>) {
        // A comparison that met what is no value of its type has begun again with that column as text.
        if self.paired.as_ref().is_none_or(|before| before.shape.misfits != paired.shape.misfits) {
            self.paired = Some(paired.clone());
            (self.missing, self.extra, self.places) = Default::default();
        }
        match (candidate.kind, self.keyed) {
            (Kind::Missing, false) => *self.missing.entry(hash(candidate.key)).or_default() += 1,
            (Kind::Extra, true) => {
                self.extra.insert(hash(candidate.key));
            }
            (Kind::Extra, false) => self.places.extend(self.place(paired, candidate.key)),
            _ => {}
        }
    }

    fn place(&self, paired: &Paired, row: &[u8]) -> Option<Value> {
        let at = paired.pairs.iter().position(|pair| Some(&pair.name) == self.axis.as_ref())?;
        let cell = cells(row).get(at).copied()??;
        decoded(&String::from_utf8_lossy(cell), paired.pairs[at].right.data_type)
    }

    /// The parts of the axis in which rows are that only the table holds, no larger than need be. `before`: none of it lies
    /// there or behind.
    pub(super) fn intervals(&self, parts: &[Part], before: Option<&Value>) -> Vec<Interval> {
        let less = |a: &Value, b: &Value| a.compare(b) == Some(Ordering::Less);
        let of = |part: &Part| {
            let inside = |place: &&Value| {
                part.from.as_ref().is_none_or(|from| !less(place, from))
                    && part.until.as_ref().is_none_or(|until| less(place, until))
            };
            let order = |a: &&Value, b: &&Value| a.compare(b).unwrap_or(Ordering::Equal);
            let places = || self.places.iter().filter(inside).filter(|place| before.is_none_or(|end| less(place, end)));
            let (first, last) = (places().min_by(order)?, places().max_by(order)?);
            Interval::new(first.clone(), behind(last)?)
        };
        parts.iter().filter_map(of).collect()
    }
}

/// The first value behind another.
fn behind(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Int(v) => Value::Int(v.checked_add(1)?),
        Value::Decimal(v, scale) => Value::Decimal(v.checked_add(1)?, *scale),
        Value::Date(v) => Value::Date(v.checked_add(1)?),
        Value::Timestamp(v) => Value::Timestamp(v.checked_add(1)?),
        Value::TimestampTz(v) => Value::TimestampTz(v.checked_add(1)?),
        Value::Text(v) => Value::Text(format!("{v}\0")),
        _ => return None,
    })
}

/// What a row, or its key, is known by.
pub(super) fn hash(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_what_is_to_go_and_no_more_than_lies_between() {
        let mut found = Found::new(false, Some("n"));
        found.places = [7, 3, 21, 25].map(Value::Int).to_vec();
        let part =
            |from: Option<i64>, until: Option<i64>| Part { from: from.map(Value::Int), until: until.map(Value::Int) };
        let parts = [part(None, Some(10)), part(Some(10), Some(20)), part(Some(20), None)];
        let told = |before: Option<i64>| {
            let found = found.intervals(&parts, before.map(Value::Int).as_ref());
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(None), "[3, 8) [21, 26)");
        assert_eq!(told(Some(25)), "[3, 8) [21, 22)");
        assert_eq!(told(Some(3)), "");
        assert_eq!(behind(&Value::Int(i64::MAX)), None);
        assert_eq!(behind(&Value::Text("a".into())), Some(Value::Text("a\0".into())));
    }
}
