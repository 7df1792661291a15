//! The rows of a batch by their keys, each beside what the table holds for it.

use crate::cell::{self, Cell, Holds};
use floodmark_connect::ShapedBatch;
use floodmark_core::{
    DataType, Error, Result, Schema, Value,
    merge::Standing,
    pipeline::{Deletes, Load, Pipeline},
};
use hashbrown::HashTable;
use std::rc::Rc;
use xxhash_rust::xxh3::xxh3_64;

/// The target's types of a batch's columns, in the batch's order.
pub fn types(schema: &Schema, batch: &ShapedBatch) -> Result<Vec<DataType>> {
    batch.rows.schema_ref().fields().iter().map(|f| type_of(schema, f.name())).collect()
}

/// The type of one of the table's columns.
pub fn type_of(schema: &Schema, name: &str) -> Result<DataType> {
    let column = schema.get(name).map(|c| c.data_type);
    column.ok_or_else(|| Error::internal(format!("column {name:?} is not in the target")))
}

/// Where the columns of a batch stand among those that are merged.
pub struct Layout {
    /// The key's columns first, in the key's order; `is_deleted` last, where deletes are soft.
    pub names: Vec<String>,
    /// Their types.
    pub types: Vec<DataType>,
    /// How many of them are the key.
    pub key: usize,
    /// Where the version stands, if the batch has it.
    pub version: Option<usize>,
    /// Whether a NULL of the column keeps what is there.
    pub keeps: Vec<bool>,
    /// Where `is_deleted` stands.
    pub deleted: Option<usize>,
    /// Where each stands in the batch; nothing for one that the batch lacks.
    from: Vec<Option<usize>>,
}

impl Layout {
    /// `whole`: with the columns that the batch lacks, which it has in any case where a row may go and come back within it:
    /// one that comes back is new, and keeps nothing of the one that went.
    pub fn new(pipeline: &Pipeline, schema: &Schema, batch: &ShapedBatch, whole: bool) -> Result<Layout> {
        let whole = whole || (pipeline.delete_when.is_some() && pipeline.deletes == Deletes::Hard);
        let fields = batch.rows.schema_ref();
        let mut names: Vec<String> = pipeline.key.clone();
        for name in schema.names() {
            if !pipeline.key.iter().any(|k| k == name) && (whole || fields.index_of(name).is_ok()) {
                names.push(name.to_owned());
            }
        }
        let mut types = names.iter().map(|name| type_of(schema, name)).collect::<Result<Vec<_>>>()?;
        let mut from: Vec<_> = names.iter().map(|name| fields.index_of(name).ok()).collect();
        if let Some(missing) = (0..pipeline.key.len()).find(|n| from[*n].is_none()) {
            return Err(Error::internal(format!("a batch without key column {:?}", names[missing])));
        }
        let version = pipeline.version.as_deref();
        let place = |name: &str| names.iter().position(|n| n == name);
        let version_at = version.and_then(place).filter(|at| from[*at].is_some());
        let keeps = names
            .iter()
            .enumerate()
            .map(|(n, name)| n >= pipeline.key.len() && pipeline.keeps_null(name) && version != Some(name.as_str()));
        let mut keeps: Vec<bool> = keeps.collect();
        let mut deleted = None;
        if pipeline.deletes == Deletes::Soft && pipeline.load != Load::Scd2 {
            deleted = Some(names.len());
            names.push("is_deleted".to_owned());
            types.push(DataType::Bool);
            keeps.push(false);
            from.push(None);
        }
        Ok(Layout { key: pipeline.key.len(), version: version_at, names, types, keeps, deleted, from })
    }

    /// The columns beside the key and `is_deleted`.
    pub fn data(&self) -> std::ops::Range<usize> {
        self.key..self.deleted.unwrap_or(self.names.len())
    }

    /// Where a column stands.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }
}

/// Where a cell's bytes stand. A negative length is NULL, or that the batch has no such column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    start: u32,
    length: i32,
}

/// NULL.
pub const NULL: At = At { start: 0, length: -1 };
/// A column that the batch lacks.
pub const ABSENT: At = At { start: 0, length: -2 };

impl At {
    /// Whether it is NULL.
    pub fn is_null(self) -> bool {
        self.length == -1
    }

    /// Whether the batch has no such column.
    pub fn is_absent(self) -> bool {
        self.length == -2
    }
}

/// A row of the table: a cell for each column of the layout.
pub type Image = Rc<[At]>;

/// A key of the batch, and what is known of it.
pub struct Slot {
    /// The hash of the key.
    pub hash: u64,
    /// The table's row before the batch.
    pub before: Option<Image>,
    /// The row as it is by now.
    pub now: Option<Image>,
    /// What the server says of who wrote the row that was there before, where it does.
    pub seen: Option<At>,
    /// What became of the key's copies so far.
    pub standing: Option<Standing>,
    /// The version at which its row was deleted.
    pub tombstone: Option<Value>,
    /// The tombstone is to be written, or taken away.
    pub buried: bool,
    /// Columns whose value is older than their row, with the value's version.
    pub dated: Vec<(String, Value)>,
    /// They are to be written.
    pub redated: bool,
    /// The source holds it: it is not absent.
    pub stays: bool,
    key: Image,
}

/// A row that came in.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// Its key, among the slots.
    pub slot: usize,
    /// It marks a delete.
    pub delete: bool,
    cells: usize,
}

/// A batch and the table's part in it.
pub struct Slots {
    bytes: Vec<u8>,
    cells: Vec<At>,
    /// The rows, as they came.
    pub arrivals: Vec<Arrival>,
    /// Their keys, as they were first met.
    pub slots: Vec<Slot>,
    width: usize,
    /// A cell that is true.
    pub is_true: At,
    /// A cell that is false.
    pub is_false: At,
}

impl Slots {
    /// `schema`: the table's, whose types the batch has.
    pub fn new(layout: &Layout, schema: &Schema, batch: &ShapedBatch, holds: &'static Holds) -> Result<Slots> {
        let columns = cell::columns(&batch.rows, &types(schema, batch)?, holds)?;
        let rows = batch.rows.num_rows();
        let width = layout.names.len();
        let mut out = Slots {
            bytes: Vec::with_capacity(batch.rows.get_array_memory_size()),
            cells: Vec::with_capacity(rows * width),
            arrivals: Vec::with_capacity(rows),
            slots: Vec::new(),
            width,
            is_true: NULL,
            is_false: NULL,
        };
        out.is_true = out.keep(Some(&[1]))?;
        out.is_false = out.keep(Some(&[0]))?;
        let mut keys: HashTable<usize> = HashTable::with_capacity(rows);
        for row in 0..rows {
            let cells = out.cells.len();
            let start = out.bytes.len();
            let mut key_end = start;
            for (n, from) in layout.from.iter().enumerate() {
                let at = match from {
                    None => ABSENT,
                    Some(from) => out.put(|bytes| columns[*from].put(row, bytes))?,
                };
                out.cells.push(at);
                if n + 1 == layout.key {
                    key_end = out.bytes.len();
                }
            }
            let hash = xxh3_64(&out.bytes[start..key_end]);
            let key = &out.cells[cells..cells + layout.key];
            let same = |slot: &usize| out.same_cells(&out.slots[*slot].key, key);
            let slot = match keys.find(hash, same) {
                Some(slot) => *slot,
                None => {
                    let key: Image = key.into();
                    out.slots.push(Slot {
                        hash,
                        before: None,
                        now: None,
                        seen: None,
                        standing: None,
                        tombstone: None,
                        buried: false,
                        dated: Vec::new(),
                        redated: false,
                        stays: false,
                        key,
                    });
                    let new = out.slots.len() - 1;
                    keys.insert_unique(hash, new, |slot| out.slots[*slot].hash);
                    new
                }
            };
            let delete = batch.delete.as_ref().is_some_and(|d| d.value(row));
            out.arrivals.push(Arrival { slot, delete, cells });
        }
        Ok(out)
    }

    /// Takes in a cell that [`cell::put`] wrote.
    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<At> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        let too_large = || Error::internal("a batch is larger than its cells can say");
        let length = self.bytes.get(start..start + 4).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes);
        Ok(At { start: u32::try_from(start + 4).map_err(|_| too_large())?, length: length.ok_or_else(too_large)? })
    }

    /// Takes in a cell from elsewhere.
    pub fn keep(&mut self, cell: Cell<'_>) -> Result<At> {
        self.put(|bytes| {
            cell::put(bytes, cell);
            Ok(())
        })
    }

    /// The bytes of a cell; NULL also for one that is absent.
    pub fn cell(&self, at: At) -> Cell<'_> {
        let length = usize::try_from(at.length).ok()?;
        self.bytes.get(at.start as usize..at.start as usize + length)
    }

    /// The cells of a row that came in.
    pub fn arrival(&self, arrival: Arrival) -> &[At] {
        &self.cells[arrival.cells..arrival.cells + self.width]
    }

    /// The cells of a slot's key.
    pub fn key(&self, slot: usize) -> &[At] {
        &self.slots[slot].key
    }

    /// Whether two cells are equal.
    pub fn same(&self, a: At, b: At) -> bool {
        a == b || self.cell(a) == self.cell(b)
    }

    /// Whether all of them are.
    pub fn same_cells(&self, a: &[At], b: &[At]) -> bool {
        a.iter().zip(b).all(|(a, b)| self.same(*a, *b))
    }

    /// A cell as a value of its column; `None` where somebody else wrote what does not go with it.
    pub fn value(&self, layout: &Layout, column: usize, at: At) -> Option<Value> {
        cell::decode(self.cell(at), layout.types[column])
    }

    /// The key as it is remembered beside the table.
    pub fn key_text(&self, layout: &Layout, slot: usize) -> String {
        let parts: Vec<String> = (self.key(slot).iter().enumerate())
            .map(|(n, at)| self.value(layout, n, *at).unwrap_or(Value::Null).to_string())
            .collect();
        serde_json::Value::from(parts).to_string()
    }
}

/// A hash of a row's key, as [`Slots`] has it.
#[inline]
pub fn hash_key(key: &[&cell::Cells<'_>], row: usize, bytes: &mut Vec<u8>) -> Result<u64> {
    bytes.clear();
    key.iter().try_for_each(|cell| cell.put(row, bytes))?;
    Ok(xxh3_64(bytes))
}
