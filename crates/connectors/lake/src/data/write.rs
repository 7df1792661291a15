//! From batches to data files that belong to nobody yet.

use super::{
    DataFile, columns,
    file::push_range,
    lasting::Lasting,
    open::OpenFile,
    rows::{Part, Splitter},
};
use crate::{failure, lake::Table};
use arrow::{
    array::{Array, AsArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType as Arrow, Field, Float64Type, Schema as ArrowSchema, SchemaRef},
    row::OwnedRow,
};
use floodmark_core::{Code, DataType, Error, Result, Schema, error::Place};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::{self, JoinHandle},
};

/// Encoded bytes of a row group: what a reader holds of a file at once.
pub(super) const ROW_GROUP: usize = 48 << 20;

/// What all unfinished row groups may hold together; and how many files are open at once, where there are many partitions.
const UNFINISHED: usize = 192 << 20;
const OPEN: usize = 64;

/// Batches that wait for the encoder.
const WAITING: usize = 4;

/// What files look like.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The columns of the batches, in this order and in the types of `Schema::to_arrow`.
    pub schema: Schema,
    /// The table's partition columns.
    pub partition_by: Vec<String>,
    /// Columns of a narrower type than ours in the table's files: what does not fit is refused.
    pub narrow: Vec<(String, Arrow)>,
    /// Columns that the table does not let be NULL.
    pub required: Vec<String>,
    /// Columns to keep statistics of beside the first 32: keys and cursors.
    pub statistics: Vec<String>,
    /// How large files become, about.
    pub target: u64,
    /// The number of the first row, where rows have numbers that last: they are counted in the order in which rows lie in
    /// the files, which within a batch is by partition.
    pub numbered: Option<i64>,
}

impl Layout {
    /// Files of 128 MiB without partitions or numbers.
    pub fn new(schema: Schema) -> Layout {
        let none = Vec::new;
        let (partition_by, required, statistics) = (none(), none(), none());
        let narrow = Vec::new();
        Layout { schema, partition_by, narrow, required, statistics, target: 128 << 20, numbered: None }
    }

    /// The columns of files.
    pub(super) fn in_files(&self) -> SchemaRef {
        columns::file_schema(&self.schema, &self.partition_by, &self.narrow)
    }

    /// Refuses rows that the table does not take.
    pub(super) fn check(&self, batch: &RecordBatch) -> Result<()> {
        for name in &self.required {
            if batch.column_by_name(name).is_some_and(|column| column.null_count() > 0) {
                return Err(Error::new(Code::NullValue, "a column that the table does not let be NULL is NULL")
                    .at(Place { column: Some(name.clone()), ..Place::default() })
                    .state("nothing was written")
                    .help("see where the NULL comes from, or make the table's column nullable"));
            }
        }
        for (name, narrow) in &self.narrow {
            if let Some(array) = batch.column_by_name(name).filter(|_| self.partition_by.contains(name)) {
                columns::narrowed(array, name, narrow)?;
            }
        }
        Ok(())
    }

    /// Rows as they lie in files, where the partition columns are left out, and the names of columns with a NaN. They may be
    /// of some of the columns.
    pub(super) fn in_file(&self, rows: &RecordBatch) -> Result<(RecordBatch, Vec<String>)> {
        let (mut fields, mut arrays, mut not_numbers) = (Vec::new(), Vec::new(), Vec::new());
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            let name = field.name();
            if self.partition_by.contains(name) {
                continue;
            }
            let column = self.schema.get(name);
            let column = column.ok_or_else(|| Error::internal("a batch has other columns than its table"))?;
            if column.data_type == DataType::Double
                && array.as_primitive::<Float64Type>().values().iter().any(|v| v.is_nan())
            {
                not_numbers.push(name.clone());
            }
            let array = columns::to_file(array, name, column.data_type)?;
            let array = match self.narrow.iter().find(|(narrow, _)| narrow == name) {
                Some((name, narrow)) => columns::narrowed(&array, name, narrow)?,
                None => array,
            };
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok((RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), arrays, &options)?, not_numbers))
    }
}

/// Writes files of a table; on a thread of its own, so that rows are made and encoded at the same time. Dropped before it
/// is finished it deletes what it wrote, as far as the store goes along.
pub struct Writer {
    batches: Option<SyncSender<RecordBatch>>,
    encoding: Option<JoinHandle<Result<Vec<DataFile>>>>,
    table: Table,
}

impl Writer {
    /// Nothing is made before the first row.
    pub fn new(table: &Table, layout: Layout) -> Result<Writer> {
        let mut encoder = Encoder::new(table.clone(), layout)?;
        let (batches, coming) = sync_channel::<RecordBatch>(WAITING);
        let encode = move || {
            while let Some(batch) = next(&coming, &mut encoder) {
                if let Err(error) = batch.and_then(|batch| encoder.write(&batch)) {
                    encoder.discard();
                    return Err(error);
                }
            }
            encoder.finish()
        };
        let encoding =
            thread::Builder::new().name("parquet".to_owned()).spawn(encode).map_err(|e| failure::threads(&e))?;
        Ok(Writer { batches: Some(batches), encoding: Some(encoding), table: table.clone() })
    }

    /// An error may be that of an earlier batch.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let sent = self.batches.as_ref().is_some_and(|batches| batches.send(batch.clone()).is_ok());
        if sent { Ok(()) } else { self.end().and_then(|_| Err(Error::internal("the Parquet encoder ended too early"))) }
    }

    /// The files, all in the store. They are nobody's until they are committed.
    pub fn finish(mut self) -> Result<Vec<DataFile>> {
        self.end()
    }

    fn end(&mut self) -> Result<Vec<DataFile>> {
        self.batches = None;
        match self.encoding.take().map(JoinHandle::join) {
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(Error::internal("the Parquet encoder panicked")),
            None => Err(Error::internal("files were written to a writer that had ended")),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.encoding.is_some()
            && let Ok(files) = self.end()
        {
            discard(&self.table, &files);
        }
    }
}

/// The next batch. While none is there what has come is encoded, so that no processor waits until there are many.
fn next(coming: &Receiver<RecordBatch>, encoder: &mut Encoder) -> Option<Result<RecordBatch>> {
    match coming.try_recv() {
        Ok(batch) => Some(Ok(batch)),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) => match encoder.catch_up() {
            Ok(()) => coming.recv().ok().map(Ok),
            Err(error) => Some(Err(error)),
        },
    }
}

pub(crate) fn discard(table: &Table, files: &[DataFile]) {
    for file in files {
        let _ = table.place.delete(&file.location);
    }
}

struct Encoder {
    table: Table,
    layout: Layout,
    arrow: SchemaRef,
    splitter: Splitter,
    next: Option<i64>,
    open: HashMap<OwnedRow, OpenFile>,
    done: Vec<DataFile>,
    lasting: Lasting,
}

impl Encoder {
    fn new(table: Table, layout: Layout) -> Result<Encoder> {
        let splitter = Splitter::new(&layout.schema, &layout.partition_by)?;
        let arrow = layout.schema.to_arrow();
        if layout.in_files().fields().is_empty() {
            return Err(Error::new(Code::TableShape, "every column of the table is a partition column")
                .help("leave a column for the files"));
        }
        let next = layout.numbered;
        Ok(Encoder {
            table,
            layout,
            arrow,
            splitter,
            next,
            open: HashMap::new(),
            done: Vec::new(),
            lasting: Lasting::default(),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.schema().fields().iter().map(|f| (f.name(), f.data_type())).ne(self
            .arrow
            .fields()
            .iter()
            .map(|f| (f.name(), f.data_type())))
        {
            return Err(Error::internal("a batch has other columns than its table"));
        }
        self.layout.check(batch)?;
        for part in self.splitter.split(batch, &self.layout.schema)? {
            self.write_part(part)?;
        }
        Ok(())
    }

    fn catch_up(&mut self) -> Result<()> {
        self.open.values_mut().try_for_each(OpenFile::catch_up)
    }

    fn write_part(&mut self, part: Part) -> Result<()> {
        let (rows, not_numbers) = self.layout.in_file(&part.rows)?;
        let count = rows.num_rows() as u64;
        if !self.open.contains_key(&part.key) {
            if self.open.len() >= OPEN {
                self.close_largest()?;
            }
            let open = OpenFile::start(&self.table, &self.layout, part.values, 1)?;
            self.open.insert(part.key.clone(), open);
        }
        let Some(open) = self.open.get_mut(&part.key) else { return Err(Error::internal("a file is not open")) };
        open.write(rows, not_numbers)?;
        if let Some(first) = self.next {
            let last = i64::try_from(count).ok().and_then(|count| first.checked_add(count - 1));
            let last =
                last.filter(|last| *last < i64::MAX).ok_or_else(|| Error::internal("rows have run out of numbers"))?;
            push_range(&mut open.numbers, (first, last));
            self.next = Some(last + 1);
        }
        if open.writer.unfinished() >= ROW_GROUP {
            open.end_group()?;
        }
        if (open.writer.written() + open.writer.unfinished()) as u64 >= self.layout.target {
            self.close(&part.key)?;
        } else if self.open.len() > 1 && self.open.values().map(|open| open.writer.memory()).sum::<usize>() > UNFINISHED
        {
            self.close_largest()?;
        }
        Ok(())
    }

    fn close_largest(&mut self) -> Result<()> {
        let size = |open: &OpenFile| open.writer.written() + open.writer.memory();
        let largest = self.open.iter().max_by_key(|(_, open)| size(open)).map(|(key, _)| key.clone());
        largest.map_or(Ok(()), |key| self.close(&key))
    }

    fn close(&mut self, key: &OwnedRow) -> Result<()> {
        if let Some(open) = self.open.remove(key) {
            let numbered = self.next.is_some();
            let file = open.close(&self.layout, numbered)?;
            self.done.push(file);
            self.done.last().map_or(Ok(()), |file| self.lasting.begin(&self.table, file))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<DataFile>> {
        let keys: Vec<OwnedRow> = self.open.keys().cloned().collect();
        let closed = keys.iter().try_for_each(|key| self.close(key)).and_then(|()| self.lasting.end());
        match closed {
            Ok(()) => Ok(self.done),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    fn discard(&mut self) {
        for (_, open) in self.open.drain() {
            open.abandon();
        }
        discard(&self.table, &self.done);
    }
}
