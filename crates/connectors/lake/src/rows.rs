//! The rows of a table, for a load that goes on elsewhere: those it may meet are brought from the files, and those that meet
//! none go into new ones as they come.

use crate::{
    ahead,
    data::{DataFile, Known, Layout, Opened, Which, Writer, from_file, nulls},
    destination::LakeDestination,
    find::{Brought, Found, find, parts},
    lake::Table,
    log::Snapshot,
};
use arrow::array::{RecordBatch, RecordBatchOptions};
use floodmark_connect::Stop;
use floodmark_core::{Column, Error, Result, Schema, pipeline::Pipeline};
use floodmark_sqlite::bench::{Elsewhere, Put, Wanted};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The table as a load found it, and what the load has written already.
pub(crate) struct Rows {
    pub(crate) table: Table,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// The columns by which files are kept apart.
    pub(crate) partition_by: Vec<String>,
    /// How large files become, in bytes, about; `None` is as ever.
    pub(crate) file_size: Option<u64>,
    /// Nothing of what was there is there any more.
    pub(crate) cleared: bool,
    pub(crate) writer: Option<Writer>,
    /// The first number that no row has yet: none of a file the pipeline knows, and once the writer gives some, none of the table.
    pub(crate) next: i64,
    /// Columns by which rows are found.
    pub(crate) finders: Vec<String>,
    pub(crate) stop: Stop,
    /// In a rehearsal each row is brought once: what the first chunk did to it, the second one sees.
    pub(crate) brought: Option<Brought>,
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

    /// Opens one of its files.
    pub(crate) fn open<'r>(&'r self, file: &'r DataFile, known: &Known) -> Result<Opened<'r>> {
        let snapshot = self.snapshot.as_ref().ok_or_else(|| Error::internal("a file of no table"))?;
        self.table.open_known(snapshot, file, known)
    }

    /// Rows of a file in the columns and types of another schema, which is wider.
    pub(crate) fn read<'s>(
        &self,
        opened: &Opened<'_>,
        schema: &'s Schema,
        which: Which<'_>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send + 's>> {
        let is_there = |name: &&str| self.snapshot.as_ref().is_some_and(|there| there.schema.get(name).is_some());
        let there: Vec<&str> = schema.names().into_iter().filter(is_there).collect();
        Ok(Box::new(opened.read(&there, which)?.map(move |batch| fitted(&batch?, schema))))
    }

    fn first_number(&self) -> Result<i64> {
        let last = self.files()?.iter().flat_map(|file| file.numbers.iter().flatten()).map(|(_, last)| *last).max();
        Ok(last.map_or(self.next, |last| self.next.max(last + 1)))
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
        let brought = Mutex::new(guard.brought.take());
        let parts = parts(guard.files()?)?;
        let done = ahead::each(
            &parts,
            ahead::threads(parts.len()),
            |_, part, send| find(&guard, part, wanted, schema, &brought, send),
            |Found { rows, file, places }| put(&rows, file, &places),
        );
        guard.brought = brought.into_inner().unwrap_or_else(PoisonError::into_inner);
        done
    }

    fn add(&mut self, rows: &RecordBatch, schema: &Schema, numbered: bool) -> Result<Option<(i64, i64)>> {
        let mut guard = self.lock();
        if guard.writer.is_none() {
            guard.next = guard.first_number()?;
            let layout = guard.layout(schema, numbered.then_some(guard.next));
            guard.writer = Some(Writer::new(&guard.table, layout)?);
        }
        if let Some(field) = rows.schema().fields().iter().find(|field| schema.get(field.name()).is_none()) {
            return Err(Error::internal(format!("the table is to have no column {:?}", field.name())));
        }
        let whole = fitted(rows, schema)?;
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
