//! The rows of a table, for a load that goes on elsewhere: those it may meet are brought from the files, and those that meet
//! none go into new ones as they come.

use crate::{
    data::{DataFile, Layout, Writer, from_file, nulls},
    destination::LakeDestination,
    lake::Table,
    log::Snapshot,
};
use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use floodmark_connect::Stop;
use floodmark_core::{Column, Error, Result, Schema, Value, pipeline::Pipeline};
use floodmark_sqlite::bench::{Elsewhere, Put, Values, Wanted};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The table as a load found it, and what the load has written already.
pub(crate) struct Rows {
    pub(crate) table: Table,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// The columns of new files, where rows go into them as they come.
    pub(crate) schema: Schema,
    /// The columns by which files are kept apart.
    pub(crate) partition_by: Vec<String>,
    /// How large files become, in bytes, about; `None` is as ever.
    pub(crate) file_size: Option<u64>,
    /// Nothing of what was there is there any more.
    pub(crate) cleared: bool,
    pub(crate) writer: Option<Writer>,
    /// The first number that no row has yet, once the writer gives some.
    pub(crate) next: i64,
    /// Columns by which rows are found.
    pub(crate) finders: Vec<String>,
    pub(crate) stop: Stop,
    /// In a rehearsal each row is brought once: what the first chunk did to it, the second one sees.
    pub(crate) brought: Option<HashSet<(u32, u32)>>,
}

impl Rows {
    pub(crate) fn files(&self) -> Result<&[DataFile]> {
        self.snapshot.as_ref().map_or(Ok(&[]), |snapshot| snapshot.files())
    }

    pub(crate) fn count(&self) -> Result<u64> {
        Ok(self.files()?.iter().map(|file| file.rows).sum())
    }

    /// How new files look.
    pub(crate) fn layout(&self, schema: &Schema, numbered: Option<i64>) -> Layout {
        let mut layout = Layout::new(schema.clone());
        layout.partition_by.clone_from(&self.partition_by);
        if let Some(snapshot) = &self.snapshot {
            layout.required.clone_from(&snapshot.required);
            layout.narrow = snapshot.narrow(schema);
        }
        layout.target = self.file_size.unwrap_or(layout.target);
        layout.statistics.clone_from(&self.finders);
        layout.numbered = numbered;
        layout
    }

    /// The rows of one of its files, or those at some places in it, in the columns and types of another schema, which is
    /// wider.
    pub(crate) fn read<'a>(
        &self,
        file: &DataFile,
        schema: &'a Schema,
        places: Option<&[u32]>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send + 'a>> {
        let Some(snapshot) = &self.snapshot else { return Ok(Box::new(std::iter::empty())) };
        let there: Vec<&str> = schema.names().into_iter().filter(|name| snapshot.schema.get(name).is_some()).collect();
        let batches = self.table.read_some(snapshot, file, &there, places)?;
        Ok(Box::new(batches.map(move |batch| fitted(&batch?, schema))))
    }

    fn first_number(&self) -> Result<i64> {
        let last = self.files()?.iter().flat_map(|file| file.numbers.iter().flatten()).map(|(_, last)| *last).max();
        Ok(last.map_or(1, |last| last + 1))
    }
}

/// The columns by which a pipeline finds rows: files are left out by what is known of them.
pub(crate) fn finders(pipeline: &Pipeline) -> Vec<String> {
    let cursor = pipeline.watermark.as_ref().map(|watermark| &watermark.column);
    pipeline.key.iter().chain(&pipeline.window).chain(&pipeline.version).chain(cursor).cloned().collect()
}

/// The same for both sides: who brings rows, and who commits what became of them.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Rows>>);

impl Shared {
    pub(crate) fn new(rows: Rows) -> Shared {
        Shared(Arc::new(Mutex::new(rows)))
    }

    /// Of no table: what is asked of it has no rows.
    pub(crate) fn none(destination: &LakeDestination) -> Result<Shared> {
        let table = destination.lake().table("none")?;
        Ok(Shared::new(Rows {
            table,
            snapshot: None,
            schema: Schema::default(),
            partition_by: Vec::new(),
            file_size: None,
            cleared: false,
            writer: None,
            next: 1,
            finders: Vec::new(),
            stop: Stop::default(),
            brought: None,
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Elsewhere for Shared {
    fn rows(&self) -> Result<u64> {
        self.lock().count()
    }

    fn bring(&mut self, wanted: &Wanted<'_>, schema: &Schema, put: &mut Put<'_>) -> Result<()> {
        let mut guard = self.lock();
        if guard.cleared {
            return Ok(());
        }
        let mut brought = guard.brought.take();
        for (at, file) in guard.files()?.iter().enumerate() {
            let at = u32::try_from(at).map_err(|_| Error::internal("more than 4 billion files"))?;
            let Some(marks) = marks(&guard, file, wanted, schema)? else { continue };
            let all = u32::try_from(file.rows).map_err(|e| Error::internal("a file has too many rows").cause(e))?;
            let places: Vec<u32> = (0..all)
                .filter(|row| marks.as_ref().is_none_or(|marks| marks.get(*row as usize) == Some(&true)))
                .filter(|row| brought.as_mut().is_none_or(|brought| brought.insert((at, *row))))
                .collect();
            if places.is_empty() {
                continue;
            }
            let some = (places.len() < all as usize).then_some(places.as_slice());
            let mut left = places.as_slice();
            for batch in guard.read(file, schema, some)? {
                guard.stop.check()?;
                let batch = batch?;
                let (here, rest) = left.split_at(batch.num_rows());
                put(&batch, at, here)?;
                left = rest;
            }
        }
        guard.brought = brought;
        Ok(())
    }

    fn add(&mut self, rows: &RecordBatch, numbered: bool) -> Result<Option<(i64, i64)>> {
        let mut guard = self.lock();
        if guard.writer.is_none() {
            guard.next = guard.first_number()?;
            let layout = guard.layout(&guard.schema, numbered.then_some(guard.next));
            guard.writer = Some(Writer::new(&guard.table, layout)?);
        }
        let whole = fitted(rows, &guard.schema)?;
        if let Some(writer) = &mut guard.writer {
            writer.write(&whole)?;
        }
        let (first, rows) = (guard.next, rows.num_rows() as i64);
        guard.next += rows;
        Ok((numbered && rows > 0).then_some((first, first + rows - 1)))
    }

    fn clear(&mut self) -> Result<u64> {
        let mut guard = self.lock();
        guard.cleared = true;
        guard.count()
    }
}

/// Rows with every column of a table, in its types: those that did not come are NULL.
fn fitted(rows: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let array = |column: &Column| match rows.column_by_name(&column.name) {
        Some(array) => from_file(array, &column.name, column.data_type),
        None => Ok(nulls(column.data_type, rows.num_rows())),
    };
    let columns = schema.columns.iter().map(array).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.to_arrow(), columns, &options)?)
}

/// Which rows of a file are wanted: none of them (`None`), all (`Some(None)`), or those that are marked.
fn marks(rows: &Rows, file: &DataFile, wanted: &Wanted<'_>, schema: &Schema) -> Result<Option<Option<Vec<bool>>>> {
    match wanted {
        Wanted::All => Ok(Some(None)),
        Wanted::Numbered(ranges) => Ok(numbered(file, ranges).map(Some)),
        Wanted::Rows { keys, windows, within } => {
            let keys = keys.filter(|keys| may_hold(file, keys));
            let windows = windows.filter(|windows| may_hold(file, windows));
            let within = within.filter(|within| {
                bounds(file, &within.column).is_none_or(|(low, high)| {
                    let (from, until) = (&within.interval.from, &within.interval.until);
                    !is_less(high, from) && !is_less(until, low)
                })
            });
            let names = keys.iter().chain(&windows).flat_map(|values| values.columns());
            let names: HashSet<&str> = names.chain(within.iter().map(|within| within.column.as_str())).collect();
            if names.is_empty() {
                return Ok(None);
            }
            let looked_at = schema.columns.iter().filter(|column| names.contains(column.name.as_str()));
            let looked_at = Schema { columns: looked_at.cloned().collect() };
            let mut marks = Vec::with_capacity(file.rows as usize);
            for batch in rows.read(file, &looked_at, None)? {
                rows.stop.check()?;
                let batch = batch?;
                let first = marks.len();
                marks.resize(first + batch.num_rows(), false);
                for values in keys.iter().chain(&windows) {
                    values.mark(&batch, &mut marks[first..])?;
                }
                if let Some(within) = within
                    && let (Some(array), Some(column)) =
                        (batch.column_by_name(&within.column), schema.get(&within.column))
                {
                    for row in 0..batch.num_rows() {
                        let inside = !array.is_null(row)
                            && within.interval.holds(&Value::from_array(array, row, column.data_type)?);
                        marks[first + row] |= inside;
                    }
                }
            }
            Ok(marks.contains(&true).then_some(Some(marks)))
        }
    }
}

fn numbered(file: &DataFile, ranges: &[(i64, i64)]) -> Option<Vec<bool>> {
    let numbers = file.numbers.as_ref()?;
    let wanted = |number: i64| ranges.iter().any(|(first, last)| (*first..=*last).contains(&number));
    let overlap = |(first, last): &(i64, i64)| ranges.iter().any(|(f, l)| f <= last && first <= l);
    if !numbers.iter().any(overlap) {
        return None;
    }
    Some(numbers.iter().flat_map(|(first, last)| *first..=*last).map(wanted).collect())
}

/// Whether a file may hold one of these values, as far as its statistics tell.
fn may_hold(file: &DataFile, values: &Values) -> bool {
    let Some(first) = values.columns().next() else { return true };
    match (bounds(file, first), values.bounds()) {
        _ if values.is_empty() => false,
        (Some((low, high)), Some((least, most))) => !(is_less(high, least) || is_less(most, low)),
        _ => true,
    }
}

/// Between which values a column's lie, where that is known. NULLs are not told of.
fn bounds<'f>(file: &'f DataFile, column: &str) -> Option<(&'f Value, &'f Value)> {
    if let Some((_, value)) = file.partition.iter().find(|(name, _)| name == column) {
        return (!value.is_null()).then_some((value, value));
    }
    let known = file.columns.get(column)?;
    known.min.as_ref().zip(known.max.as_ref())
}

/// Whether it is surely so.
fn is_less(a: &Value, b: &Value) -> bool {
    a.compare(b).is_some_and(std::cmp::Ordering::is_lt)
}
