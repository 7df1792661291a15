//! What the table should hold, read once more where it differs.

use super::found::hash;
use crate::{
    diff::{Encoder, Paired, Part, within},
    verify::Filled,
};
use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::Field,
};
use floodmark_connect::{Batches, Range, ReadPlan, Slice, Source, Stop, digests::Split};
use floodmark_core::{Error, Result, Schema, Value, watermark::Bounds};
use std::{cmp::Ordering, collections::HashMap};

/// Ranges that are asked for one by one; of more than these, neighbours are asked for as one.
const RANGES: usize = 64;

/// Where rows are to be read.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Everywhere, as far as the pipeline has read.
    All(Option<Range>),
    /// In parts of a column.
    Parts {
        column: String,
        parts: Vec<Part>,
        /// Rows without a value there, too.
        nulls: bool,
    },
}

impl Place {
    /// The ranges that hold all of it. What else they hold is left out row by row.
    pub(super) fn ranges(&self) -> Vec<Option<Range>> {
        let Place::Parts { column, parts, nulls, .. } = self else {
            let Place::All(range) = self else { return Vec::new() };
            return vec![range.clone()];
        };
        if *nulls {
            return vec![None];
        }
        let each = parts.len().div_ceil(RANGES).max(1);
        let range = |parts: &[Part]| {
            let (first, last) = (parts.first()?, parts.last()?);
            let bounds = Bounds { from: first.from.clone(), exclusive: false, until: None, before: last.until.clone() };
            Some(Range { column: column.clone(), bounds, nulls: false })
        };
        parts.chunks(each).map(range).collect()
    }
}

/// The rows that are wanted, of all that the source gives.
pub(super) struct Wanted<'r> {
    pub(super) place: Place,
    /// As far as the pipeline has read.
    pub(super) range: Option<&'r Range>,
    /// What neither runs nor backfills have read is left out.
    /// With the names of its columns there.
    pub(super) filled: Option<(Vec<String>, &'r Filled)>,
    /// Rows before this value alone.
    pub(super) before: Option<(String, Value)>,
    /// These rows alone, each so often.
    pub(super) missing: Option<(&'r Paired, HashMap<u128, u64>)>,
}

impl Wanted<'_> {
    fn of(&mut self, rows: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
        let mut keep = vec![true; rows.num_rows()];
        let mut judge = |column: &str, holds: &dyn Fn(&Value) -> bool| -> Result<()> {
            let (Some(array), Some(of)) = (rows.column_by_name(column), schema.get(column)) else { return Ok(()) };
            for (row, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
                *keep = holds(&Value::from_array(array.as_ref(), row, of.data_type)?);
            }
            Ok(())
        };
        if let Some(range) = self.range {
            judge(&range.column, &|value| within(range, value))?;
        }
        if let Some((column, end)) = &self.before {
            judge(column, &|value| value.compare(end) == Some(Ordering::Less))?;
        }
        if let Place::Parts { column, parts, nulls, .. } = &self.place {
            judge(column, &|value| if value.is_null() { *nulls } else { holds(parts, value) })?;
        }
        if let Some((columns, filled)) = &self.filled {
            let found = columns.iter().zip(filled.axes()).map(|(name, axis)| {
                let (array, of) = (rows.column_by_name(name)?, schema.get(name)?);
                Some((axis.column.as_str(), array, of.data_type))
            });
            let found: Vec<_> = found.flatten().collect();
            for (row, keep) in keep.iter_mut().enumerate().filter(|(_, keep)| **keep) {
                let values = found
                    .iter()
                    .map(|(name, array, data_type)| Ok((*name, Value::from_array(array.as_ref(), row, *data_type)?)));
                let values: Vec<(&str, Value)> = values.collect::<Result<_>>()?;
                *keep = filled
                    .read(|axis| values.iter().find(|(name, _)| *name == axis.column).map(|(_, value)| value.clone()));
            }
        }
        if let Some((paired, missing)) = &mut self.missing {
            let split = Split::Content(0);
            let mut encoder = Encoder::new(&paired.pairs, true, &split);
            let mut encoded = encoder.over(rows)?;
            let mut at = 0;
            while let Some(row) = encoded.next()? {
                if keep[at] {
                    let left = missing.get_mut(&hash(row.bytes)).filter(|left| **left > 0);
                    keep[at] = left.map(|left| *left -= 1).is_some();
                }
                at += 1;
            }
        }
        Ok(filter_record_batch(rows, &BooleanArray::from(keep))?)
    }
}

/// Whether a value lies in one of the parts, which are in order.
fn holds(parts: &[Part], value: &Value) -> bool {
    let less = |a: &Value, b: &Value| a.compare(b) == Some(Ordering::Less);
    let at = parts.partition_point(|part| part.until.as_ref().is_some_and(|until| !less(value, until)));
    parts.get(at).is_some_and(|part| part.from.as_ref().is_none_or(|from| !less(value, from)))
}

/// Reads them.
pub(super) struct Rows<'r> {
    source: &'r dyn Source,
    slices: Vec<Slice>,
    /// Columns by their names there.
    schema: Schema,
    /// By what they are called in the table.
    names: Vec<String>,
    ranges: Vec<Option<Range>>,
    wanted: Wanted<'r>,
    stop: &'r Stop,
    open: Option<Box<dyn Batches>>,
    at: usize,
}

impl<'r> Rows<'r> {
    /// `columns`: as they are called and read there, with what they are called in the table.
    pub(super) fn new(
        source: &'r dyn Source,
        columns: Vec<(floodmark_core::Column, String)>,
        mut beside: Schema,
        wanted: Wanted<'r>,
        stop: &'r Stop,
    ) -> Result<Self> {
        let (mut schema, mut names) = (Schema::default(), Vec::new());
        for (column, name) in columns {
            schema.columns.push(column);
            names.push(name);
        }
        // What rows are judged by is read, too, where the table has no such column.
        beside.columns.retain(|column| schema.get(&column.name).is_none());
        schema.columns.append(&mut beside.columns);
        let ranges = wanted.place.ranges();
        Ok(Rows { source, slices: source.slices(stop)?, schema, names, ranges, wanted, stop, open: None, at: 0 })
    }

    /// The next rows under the table's names, with how many were read for them; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        loop {
            self.stop.check()?;
            let (slice, range) = (self.at / self.ranges.len().max(1), self.at % self.ranges.len().max(1));
            let (Some(slice), Some(range)) = (self.slices.get(slice), self.ranges.get(range)) else { return Ok(None) };
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let plan = ReadPlan { schema: self.schema.clone(), range: range.clone(), ..ReadPlan::default() };
                    self.open.insert(self.source.read(slice, &plan, self.stop)?)
                }
            };
            let Some(batch) = open.next().transpose()? else {
                self.open = None;
                self.at += 1;
                continue;
            };
            if let Some(bad) = batch.bad.into_iter().next() {
                return Err(bad.error);
            }
            let read = batch.rows.num_rows() as u64;
            let rows = self.wanted.of(&batch.rows, &self.schema)?;
            return Ok(Some((read, self.named(&rows)?)));
        }
    }

    /// The table's columns of a batch.
    fn named(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let (mut fields, mut arrays): (Vec<Field>, _) = (Vec::new(), Vec::new());
        for (column, name) in self.schema.columns.iter().zip(&self.names) {
            let array = rows
                .column_by_name(&column.name)
                .ok_or_else(|| Error::internal("a column was asked for and not given"))?;
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array.clone());
        }
        crate::shape::rebuild(fields, arrays, rows.num_rows())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(from: Option<i64>, until: Option<i64>) -> Part {
        Part { from: from.map(Value::Int), until: until.map(Value::Int) }
    }

    #[test]
    fn parts_hold_their_first_value_and_not_their_last() {
        let parts = [part(None, Some(0)), part(Some(5), Some(7)), part(Some(9), None)];
        let held: Vec<i64> = (-1..11).filter(|n| holds(&parts, &Value::Int(*n))).collect();
        assert_eq!(held, [-1, 5, 6, 9, 10]);
        assert!(!holds(&[], &Value::Int(1)));
    }

    #[test]
    fn many_parts_are_read_in_few_ranges() {
        let place = |n: i64, nulls: bool| Place::Parts {
            column: "n".into(),
            parts: (0..n).map(|n| part(Some(n * 10), Some(n * 10 + 1))).collect(),
            nulls,
        };
        assert_eq!(
            (place(3, false).ranges().len(), place(3, true).ranges(), place(0, false).ranges().len()),
            (3, vec![None], 0)
        );
        let ranges = place(1000, false).ranges();
        assert!(ranges.len() <= RANGES);
        let ends = |range: &Option<Range>| range.as_ref().map(|r| (r.bounds.from.clone(), r.bounds.before.clone()));
        assert_eq!(ends(&ranges[0]), Some((Some(Value::Int(0)), Some(Value::Int(151)))));
    }
}
