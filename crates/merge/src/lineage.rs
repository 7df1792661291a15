//! Which rows of an appended table came from which file, by their contents: equal rows cannot be told apart, and need not
//! be, as long as it is known how often a file brought each.

use crate::cell::{self, Cell, Cells};
use floodmark_core::{
    Code, DataType, Error, Value,
    state::{FileEntry, Lineage},
    wording,
};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

/// Hashes that wait while rows are on their way.
const WAITING: usize = 1_000_000;

/// The contents of rows on their way, by slice, until they are written down.
#[derive(Default)]
pub struct Contents {
    waiting: Vec<(usize, Vec<u128>)>,
    count: usize,
    bytes: Vec<u8>,
}

impl Contents {
    /// Notes the rows of a batch.
    pub fn add(&mut self, slice: usize, cells: &[Cells<'_>], rows: usize) {
        if self.waiting.last().is_none_or(|(s, _)| *s != slice) {
            self.waiting.push((slice, Vec::new()));
        }
        let Some((_, hashes)) = self.waiting.last_mut() else { return };
        for row in 0..rows {
            self.bytes.clear();
            for cell in cells.iter().filter(|cell| !cell.is_null(row)) {
                name(cell.name(), &mut self.bytes);
                cell.canonical(row, &mut self.bytes);
            }
            hashes.push(xxh3_128(&self.bytes));
        }
        self.count += rows;
    }

    /// Whether they are so many that they must be written down.
    pub fn is_full(&self) -> bool {
        self.count >= WAITING
    }

    /// Takes those that wait.
    pub fn take(&mut self) -> Vec<(usize, Vec<u128>)> {
        self.count = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// A column's name before its cell. NULLs are left out with theirs, so that a column added later changes nothing.
fn name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// The content of a row of the table: its columns in the table's order, by name, type and cell.
pub fn content<'a>(row: impl Iterator<Item = (&'a str, DataType, Cell<'a>)>, bytes: &mut Vec<u8>) -> u128 {
    bytes.clear();
    for (column, data_type, cell) in row {
        // What is no value of the column's type was written by somebody else.
        match cell::decode(cell, data_type) {
            Some(Value::Null) => {}
            Some(value) => {
                name(column, bytes);
                cell::canonical(&value, bytes);
            }
            None => cell::put(bytes, cell),
        }
    }
    xxh3_128(bytes)
}

/// Counts hashes that were written down, sixteen bytes each.
pub fn count(bytes: &[u8], contents: &mut HashMap<u128, u32>) {
    for hash in bytes.chunks_exact(16).filter_map(|part| part.try_into().ok()) {
        *contents.entry(u128::from_be_bytes(hash)).or_default() += 1;
    }
}

/// Adds what was written down of a slice to what was before.
pub fn add(kept: &mut Vec<(usize, Lineage)>, slice: usize, lineage: Lineage) {
    match kept.iter_mut().find(|(s, _)| *s == slice) {
        None => kept.push((slice, lineage)),
        Some((_, whole)) => whole.extend(lineage),
    }
}

/// What is known of a file's earlier rows, where it brought any.
///
/// # Errors
/// Where it brought some, and nothing is known of them.
pub fn known<'e>(file: &str, table: &str, entry: &'e FileEntry) -> Result<Option<&'e Lineage>, Error> {
    match &entry.lineage {
        Some(lineage) => Ok(Some(lineage).filter(|lineage| lineage.rows > 0)),
        None if entry.rows == 0 => Ok(None),
        None => Err(Error::new(
            Code::ChangedFile,
            format!("{file:?} changed, and which rows of table {table:?} are its own is not known"),
        )
        .state("nothing was written")
        .help("a `transform` makes rows that belong to no file: give the pipeline a key and `load: upsert`, or a watermark")
        .help("or load everything again with `--full-refresh`")),
    }
}

/// The error where a file's earlier rows are not found as they were loaded.
pub fn untold(file: &str, table: &str, rows: u64) -> Error {
    Error::new(
        Code::ChangedFile,
        format!(
            "{file:?} changed, and its {} cannot be told apart in table {table:?} any more",
            wording::count(rows, "earlier row")
        ),
    )
    .state("nothing was written")
    .help("rows were edited or deleted by another program, or the pipeline's state was brought here from elsewhere")
    .help("load everything again with `--full-refresh`, or set `changed_files: append_tail` if files only grow")
}
