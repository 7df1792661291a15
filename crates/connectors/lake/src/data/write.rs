//! From batches to data files that belong to nobody yet.

use super::{
    DataFile, columns,
    encode::ParquetFile,
    file::push_range,
    hive,
    rows::{Part, Splitter},
    sink::{Shared, Sink},
    stats,
};
use crate::{failure, lake::Table};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType as Arrow, Float64Type, SchemaRef},
    row::OwnedRow,
};
use chrono::Utc;
use floodmark_core::{Code, DataType, Error, Result, Schema, Value, error::Place};
use object_store::path::Path;
use parquet::{
    arrow::arrow_writer::ArrowWriterOptions,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};
use uuid::Uuid;

/// Encoded bytes of a row group: what a reader holds of a file at once.
const ROW_GROUP: usize = 48 << 20;

/// What all unfinished row groups may hold together; and how many files are open at once, where there are many partitions.
const UNFINISHED: usize = 192 << 20;
const OPEN: usize = 64;

/// Bytes of rows that a file gathers before it encodes them; and where many files are open at once.
const AHEAD: usize = 16 << 20;
const AHEAD_OF_PARTITION: usize = 1 << 20;

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
            for batch in coming {
                if let Err(error) = encoder.write(&batch) {
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

pub(crate) fn discard(table: &Table, files: &[DataFile]) {
    for file in files {
        let _ = table.place.delete(&file.location);
    }
}

struct Open {
    writer: ParquetFile<Shared>,
    sink: Shared,
    location: Path,
    partition: Vec<(String, Value)>,
    rows: u64,
    numbers: Vec<(i64, i64)>,
    not_numbers: BTreeSet<String>,
}

struct Encoder {
    table: Table,
    layout: Layout,
    arrow: SchemaRef,
    in_files: SchemaRef,
    splitter: Splitter,
    next: Option<i64>,
    open: HashMap<OwnedRow, Open>,
    done: Vec<DataFile>,
}

impl Encoder {
    fn new(table: Table, layout: Layout) -> Result<Encoder> {
        let splitter = Splitter::new(&layout.schema, &layout.partition_by)?;
        let (arrow, in_files) =
            (layout.schema.to_arrow(), columns::file_schema(&layout.schema, &layout.partition_by, &layout.narrow));
        if in_files.fields().is_empty() {
            return Err(Error::new(Code::TableShape, "every column of the table is a partition column")
                .help("leave a column for the files"));
        }
        let next = layout.numbered;
        Ok(Encoder { table, layout, arrow, in_files, splitter, next, open: HashMap::new(), done: Vec::new() })
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
        for name in &self.layout.required {
            if batch.column_by_name(name).is_some_and(|column| column.null_count() > 0) {
                return Err(Error::new(Code::NullValue, "a column that the table does not let be NULL is NULL")
                    .at(Place { column: Some(name.clone()), ..Place::default() })
                    .state("nothing was written")
                    .help("see where the NULL comes from, or make the table's column nullable"));
            }
        }
        for (name, narrow) in &self.layout.narrow {
            if let Some(array) = batch.column_by_name(name).filter(|_| self.layout.partition_by.contains(name)) {
                columns::narrowed(array, name, narrow)?;
            }
        }
        for part in self.splitter.split(batch, &self.layout.schema)? {
            self.write_part(part)?;
        }
        Ok(())
    }

    fn write_part(&mut self, part: Part) -> Result<()> {
        let (arrays, not_numbers) = self.in_file(&part.rows)?;
        let rows = RecordBatch::try_new(self.in_files.clone(), arrays)?;
        let count = rows.num_rows() as u64;
        if !self.open.contains_key(&part.key) {
            if self.open.len() >= OPEN {
                self.close_largest()?;
            }
            let open = self.start(part.values)?;
            self.open.insert(part.key.clone(), open);
        }
        let Some(open) = self.open.get_mut(&part.key) else { return Err(Error::internal("a file is not open")) };
        let failed = |e| failure::parquet("written", &format!("{}/{}", self.table.name, open.location), e);
        open.writer.write(rows).map_err(failed)?;
        open.rows += count;
        open.not_numbers.extend(not_numbers);
        if let Some(first) = self.next {
            let last = i64::try_from(count).ok().and_then(|count| first.checked_add(count - 1));
            let last =
                last.filter(|last| *last < i64::MAX).ok_or_else(|| Error::internal("rows have run out of numbers"))?;
            push_range(&mut open.numbers, (first, last));
            self.next = Some(last + 1);
        }
        if open.writer.unfinished() >= ROW_GROUP {
            open.writer.end_group().map_err(failed)?;
        }
        if (open.writer.written() + open.writer.unfinished()) as u64 >= self.layout.target {
            self.close(&part.key)?;
        } else if self.open.len() > 1 && self.open.values().map(|open| open.writer.memory()).sum::<usize>() > UNFINISHED
        {
            self.close_largest()?;
        }
        Ok(())
    }

    /// The columns as they lie in files, and the names of those with a NaN.
    fn in_file(&self, rows: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<String>)> {
        let mut arrays = Vec::with_capacity(rows.num_columns());
        let mut not_numbers = Vec::new();
        for (column, array) in self.layout.schema.columns.iter().zip(rows.columns()) {
            if self.layout.partition_by.contains(&column.name) {
                continue;
            }
            if column.data_type == DataType::Double
                && array.as_primitive::<Float64Type>().values().iter().any(|v| v.is_nan())
            {
                not_numbers.push(column.name.clone());
            }
            let array = columns::to_file(array, &column.name, column.data_type)?;
            arrays.push(match self.layout.narrow.iter().find(|(name, _)| *name == column.name) {
                Some((name, narrow)) => columns::narrowed(&array, name, narrow)?,
                None => array,
            });
        }
        Ok((arrays, not_numbers))
    }

    fn start(&self, partition: Vec<(String, Value)>) -> Result<Open> {
        let mut path = String::new();
        for (column, value) in &partition {
            path.push_str(&hive::folder(column, value)?);
            path.push('/');
        }
        path.push_str(&format!("part-{}.zstd.parquet", Uuid::now_v7()));
        let location = Path::parse(&path).map_err(|e| Error::internal("a data file's name is no path").cause(e))?;
        let sink =
            Sink::open(&self.table.place.store, &location)?.map_err(|e| self.table.write_failed(&location, &e))?;
        let sink = Shared::new(sink);
        let level = ZstdLevel::try_new(1).map_err(|e| Error::internal("zstd has no level 1").cause(e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(concat!("floodmark ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let most = if self.layout.partition_by.is_empty() { AHEAD } else { AHEAD_OF_PARTITION };
        let ahead = most.min(usize::try_from(self.layout.target / 8).unwrap_or(most));
        let writer = ParquetFile::new(sink.clone(), &self.in_files, options, ahead)
            .map_err(|e| failure::parquet("written", &format!("{}/{location}", self.table.name), e))?;
        let (numbers, not_numbers) = (Vec::new(), BTreeSet::new());
        Ok(Open { writer, sink, location, partition, rows: 0, numbers, not_numbers })
    }

    fn close_largest(&mut self) -> Result<()> {
        let size = |open: &Open| open.writer.written() + open.writer.memory();
        let largest = self.open.iter().max_by_key(|(_, open)| size(open)).map(|(key, _)| key.clone());
        largest.map_or(Ok(()), |key| self.close(&key))
    }

    fn close(&mut self, key: &OwnedRow) -> Result<()> {
        let Some(open) = self.open.remove(key) else { return Ok(()) };
        let name = format!("{}/{}", self.table.name, open.location);
        let closed = open.writer.close().map_err(|e| failure::parquet("written", &name, e));
        let sink = open.sink.back().ok_or_else(|| Error::internal("a file is still written to"))?;
        let metadata = match closed {
            Ok(metadata) => metadata,
            Err(e) => {
                sink.abandon();
                return Err(e);
            }
        };
        let written = sink.finish().and_then(|size| self.table.place.sync(&open.location).map(|()| size));
        let size = written.map_err(|e| failure::parquet("written", &name, e))?;
        let Layout { schema, statistics, .. } = &self.layout;
        let columns = stats::bounds(&metadata, &self.in_files, schema, statistics, &open.not_numbers)?;
        self.done.push(DataFile {
            path: open.location.as_ref().replace('%', "%25"),
            location: open.location,
            size,
            modified: Utc::now().timestamp_millis(),
            rows: open.rows,
            columns,
            partition: open.partition,
            numbers: self.next.is_some().then_some(open.numbers),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<DataFile>> {
        let keys: Vec<OwnedRow> = self.open.keys().cloned().collect();
        for key in keys {
            if let Err(error) = self.close(&key) {
                self.discard();
                return Err(error);
            }
        }
        Ok(self.done)
    }

    fn discard(&mut self) {
        for (_, open) in self.open.drain() {
            drop(open.writer);
            if let Some(sink) = open.sink.back() {
                sink.abandon();
            }
        }
        discard(&self.table, &self.done);
    }
}
