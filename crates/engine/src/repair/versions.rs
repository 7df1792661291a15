//! `deletes: soft`: at which version a row that goes is marked.
//!
//! What the row itself claims is whatever was written into it by hand, and a version that is too new would keep out the row's
//! return for ever. The delete that the source speaks of has a version of its own; a row that it never had has none.

use super::found::hash;
use crate::{
    cast,
    diff::{Encoder, Paired, Side, columns},
    verify::{Ground, apart},
};
use arrow::{
    array::{ArrayRef, new_null_array},
    compute::concat,
};
use floodmark_connect::{Stop, digests::Split};
use floodmark_core::{
    Column, Result, Schema, Value,
    pipeline::{AbsentRows, Deletes, Load, Pipeline},
};
use std::collections::HashMap;

/// The versions of deletes.
pub(super) struct Versions {
    pub(super) column: Column,
    /// Those that the source speaks of, by the hash of the key.
    known: HashMap<u128, Value>,
}

impl Versions {
    /// `None` where rows do not keep one: where they are gone, or where whatever comes back is taken.
    pub(super) fn of(
        pipeline: &Pipeline,
        ground: &Ground<'_>,
        paired: &Paired,
        schema: &Schema,
        stop: &Stop,
    ) -> Result<Option<Versions>> {
        let marked = pipeline.deletes == Deletes::Soft && pipeline.load != Load::Scd2;
        let asked = marked && pipeline.absent_rows != AbsentRows::Delete;
        let column = pipeline.version.as_deref().filter(|_| asked).and_then(|name| schema.get(name));
        let Some(column) = column.filter(|column| !pipeline.key.contains(&column.name)) else { return Ok(None) };
        let mut versions = Versions { column: column.clone(), known: HashMap::new() };
        if let Some(expected) = &ground.expected {
            let spec = apart(&expected.source(), "is_deleted")?;
            versions.read(&Side::open(&spec, true, stop)?, paired)?;
        }
        Ok(Some(versions))
    }

    fn read(&mut self, side: &Side<'_>, paired: &Paired) -> Result<()> {
        let (pairs, split) = (&paired.pairs[..paired.key], Split::Content(0));
        let mut wanted = columns(pairs, true, &split);
        wanted.columns.extend(side.schema.get(&self.column.name).cloned());
        let mut encoder = Encoder::new(pairs, true, &split);
        side.read(&wanted, |rows| {
            let Some(array) = rows.column_by_name(&self.column.name) else { return Ok(()) };
            let versions = cast::exact(array, &self.column.data_type.to_arrow())?.array;
            let mut encoded = encoder.over(&rows)?;
            let mut at = 0;
            while let Some(row) = encoded.next()? {
                let version = Value::from_array(versions.as_ref(), at, self.column.data_type)?;
                self.known.insert(hash(row.bytes), version);
                at += 1;
            }
            Ok(())
        })
    }

    /// Those of some keys.
    pub(super) fn array(&self, keys: &[u128]) -> Result<ArrayRef> {
        let data_type = self.column.data_type;
        let of = |key| self.known.get(key).unwrap_or(&Value::Null).to_scalar(data_type);
        let each: Vec<ArrayRef> = keys.iter().map(|key| Ok(of(key)?.into_inner())).collect::<Result<_>>()?;
        let each: Vec<&dyn arrow::array::Array> = each.iter().map(AsRef::as_ref).collect();
        Ok(if each.is_empty() { new_null_array(&data_type.to_arrow(), 0) } else { concat(&each)? })
    }
}
