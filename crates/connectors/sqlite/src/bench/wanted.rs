//! Which rows of a table a load may meet.

use crate::bind::{self, Cells};
use arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::Int64Type,
};
use floodmark_connect::destination::Within;
use floodmark_core::{DataType, Error, Result, Schema, Value};
use hashbrown::HashSet;
use std::cmp::Ordering;
use xxhash_rust::xxh3::xxh3_64;

/// The rows that are to be brought. More of them do no harm.
#[derive(Debug)]
pub enum Wanted<'a> {
    /// Every row.
    All,
    /// Those with numbers in these ranges, first and last. All of them, or it is an error of the one who asks.
    Numbered(&'a [(i64, i64)]),
    /// Those to which one of these applies.
    Rows {
        /// With the key of a row that comes.
        keys: Option<&'a Values>,
        /// In a window of a row that comes.
        windows: Option<&'a Values>,
        /// In a part of the table.
        within: Option<&'a Within>,
    },
}

/// The values that rows of a load have in some columns.
#[derive(Debug)]
pub struct Values {
    columns: Vec<(String, DataType)>,
    /// A hash of each; two that are equal may be of different values, which brings a row too many.
    hashes: HashSet<u64>,
    /// The lowest and the highest value of the first column; `None` where one is NULL.
    bounds: Option<(Value, Value)>,
    any: bool,
}

impl Values {
    pub(super) fn new(columns: &[String], schema: &Schema) -> Result<Values> {
        let typed = |name: &String| {
            let column = schema.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the target")));
            column.map(|c| (name.clone(), c.data_type))
        };
        Ok(Values {
            columns: columns.iter().map(typed).collect::<Result<_>>()?,
            hashes: HashSet::new(),
            bounds: None,
            any: false,
        })
    }

    /// The columns' names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Between which values of the first column all of them lie.
    pub fn bounds(&self) -> Option<(&Value, &Value)> {
        self.bounds.as_ref().map(|(low, high)| (low, high))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// How many there are, or fewer where hashes are equal: as many as there are rows only if no two have the same.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let cells = cells(&self.columns, rows)?;
        let mut hashes = std::mem::take(&mut self.hashes);
        self.each(rows, |_, hash| {
            hashes.insert(hash);
        })?;
        self.hashes = hashes;
        if let (Some(first), true) = (cells.first(), rows.num_rows() > 0) {
            let all = 0..rows.num_rows();
            let low = all.clone().min_by(|a, b| first.order(*a, *b)).unwrap_or_default();
            let high = all.max_by(|a, b| first.order(*a, *b)).unwrap_or_default();
            self.widen(!first.has_nulls(), first.value(low), first.value(high));
        }
        Ok(())
    }

    fn widen(&mut self, plain: bool, low: Value, high: Value) {
        let first = !std::mem::replace(&mut self.any, true);
        let before = self.bounds.take();
        if !plain || (before.is_none() && !first) {
            return;
        }
        let pick =
            |a: Value, b: Value, wanted: Ordering| a.compare(&b).map(|order| if order == wanted { a } else { b });
        self.bounds = match before {
            None => Some((low, high)),
            Some((l, h)) => pick(l, low, Ordering::Less).zip(pick(h, high, Ordering::Greater)),
        };
    }

    /// Marks the rows that have one of them. The batch has at least these columns, of the same types.
    pub fn mark(&self, rows: &RecordBatch, marks: &mut [bool]) -> Result<()> {
        self.each(rows, |row, hash| marks[row] |= self.hashes.contains(&hash))
    }

    /// The hash of each row's values.
    fn each(&self, rows: &RecordBatch, mut take: impl FnMut(usize, u64)) -> Result<()> {
        // What most tables have as their key: a number is its own hash, and NULL one more.
        if let [(name, DataType::BigInt)] = self.columns.as_slice() {
            for (row, value) in array(rows, name)?.as_primitive::<Int64Type>().iter().enumerate() {
                take(row, value.map_or(NULL, i64::cast_unsigned));
            }
            return Ok(());
        }
        let (cells, mut bytes, mut scratch) = (cells(&self.columns, rows)?, Vec::new(), String::new());
        for row in 0..rows.num_rows() {
            bytes.clear();
            cells.iter().for_each(|cell| bind::encode(cell.plain(row, &mut scratch), &mut bytes));
            take(row, xxh3_64(&bytes));
        }
        Ok(())
    }
}

/// As the hash of NULL. A number with the same one brings a row too many.
const NULL: u64 = u64::MAX;

fn array<'r>(rows: &'r RecordBatch, name: &str) -> Result<&'r ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal(format!("a batch without {name:?}")))
}

fn cells<'a>(columns: &[(String, DataType)], rows: &'a RecordBatch) -> Result<Vec<Cells<'a>>> {
    columns.iter().map(|(name, data_type)| Cells::new(array(rows, name)?, *data_type)).collect()
}
