//! A Parquet file whose columns are encoded side by side: encoding takes most of the time of a load, and no column needs
//! another one. A column of a row group may be taken over from another file as it lies there.

use arrow::{
    array::{Array, RecordBatch},
    datatypes::SchemaRef,
};
use bytes::{Buf, Bytes};
use parquet::{
    arrow::arrow_writer::{
        ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions,
        compute_leaves,
    },
    basic::{Encoding, PageType},
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        properties::WriterPropertiesBuilder,
        reader::{ChunkReader, Length},
        writer::SerializedFileWriter,
    },
    schema::types::SchemaDescriptor,
};
use std::{
    collections::HashMap,
    io::{self, Write},
    mem,
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Rows that are encoded at once.
const ROWS: usize = 1 << 16;

/// For fewer, threads are not worth their beginning.
const SHARED: usize = 1 << 14;

/// Fewer are not encoded by themselves.
const FEW: usize = 1 << 12;

/// The most rows of a row group.
const GROUP: usize = 1 << 20;

/// Threads for one file, with the one that asks, at most.
const THREADS: usize = 4;

/// How many threads encode, where that many files are written at once.
pub(super) fn threads(files: usize) -> usize {
    (thread::available_parallelism().map_or(1, NonZero::get) / files.max(1)).clamp(1, THREADS)
}

/// A column of a row group, encoded already.
pub(super) struct Encoded {
    /// Its pages, as they lie in the file that it is from.
    pub(super) pages: Bytes,
    /// What that file says of it.
    pub(super) close: ColumnCloseResult,
}

enum Column {
    Writer(Box<ArrowColumnWriter>),
    Encoded(Box<Encoded>),
}

impl Column {
    fn writer(&self) -> Option<&ArrowColumnWriter> {
        if let Column::Writer(writer) = self { Some(writer) } else { None }
    }
}

/// The columns of a file, of which its row groups are made, by several threads where there are some.
#[derive(Clone)]
pub(super) struct Columns {
    factory: Arc<ArrowRowGroupWriterFactory>,
    /// Of columns that do not try a dictionary.
    plain: Arc<ArrowRowGroupWriterFactory>,
    schema: SchemaRef,
    /// How many bytes may wait.
    ahead: usize,
    /// How many threads encode.
    threads: usize,
}

impl Columns {
    /// Each row group is encoded by so many threads.
    pub(super) fn by(self, threads: usize) -> Columns {
        Columns { threads, ..self }
    }

    /// Begins a row group that has these columns, by their places. Rows that are written have the others, and end with those
    /// that these columns have. `plain`: which of the others try no dictionary.
    pub(super) fn begin(
        &self,
        mut encoded: HashMap<usize, Encoded>,
        plain: impl Fn(usize) -> bool,
    ) -> Result<RowGroup> {
        let column = |(at, (with, without))| match encoded.remove(&at) {
            Some(encoded) => Column::Encoded(Box::new(encoded)),
            None => Column::Writer(Box::new(if plain(at) { without } else { with })),
        };
        // The number of a row group is of no account: nothing is encrypted.
        let writers = self.factory.create_column_writers(0)?.into_iter().zip(self.plain.create_column_writers(0)?);
        let columns = writers.enumerate().map(column).collect();
        Ok(RowGroup { of: self.clone(), columns, rows: 0, waiting: Vec::new(), waiting_rows: 0, waiting_bytes: 0 })
    }
}

/// Whether a dictionary of a column became too large, or was not tried: of the next row group's it would again, and to fill
/// one takes longer than to write what it was to save.
pub(super) fn outgrew(column: &ColumnChunkMetaData) -> bool {
    let is_data = |page| matches!(page, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
    match (column.page_encoding_stats(), column.page_encoding_stats_mask()) {
        (Some(pages), _) => pages.iter().any(|page| is_data(page.page_type) && page.encoding == Encoding::PLAIN),
        (None, Some(of_data)) => of_data.is_set(Encoding::PLAIN),
        (None, None) => false,
    }
}

/// A row group that is being made.
pub(super) struct RowGroup {
    of: Columns,
    columns: Vec<Column>,
    /// Rows that are encoded.
    rows: usize,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

/// A row group that is encoded, column by column.
pub(super) struct Finished(Vec<FinishedColumn>);

enum FinishedColumn {
    Made(Box<ArrowColumnChunk>),
    Encoded(Box<Encoded>),
}

impl RowGroup {
    pub(super) fn write(&mut self, rows: RecordBatch) -> Result<()> {
        for column in rows.columns() {
            self.waiting_bytes += column.to_data().get_slice_memory_size()?;
        }
        self.waiting_rows += rows.num_rows();
        self.waiting.push(rows);
        if self.waiting_rows >= ROWS || self.waiting_bytes >= self.of.ahead { self.encode() } else { Ok(()) }
    }

    /// Encodes what waits, unless it is little.
    fn catch_up(&mut self) -> Result<()> {
        if self.waiting_rows >= FEW || self.waiting_bytes >= self.of.ahead / 4 { self.encode() } else { Ok(()) }
    }

    /// What it will have in the file, about.
    pub(super) fn unfinished(&self) -> usize {
        self.columns.iter().filter_map(Column::writer).map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    fn memory(&self) -> usize {
        let columns = self.columns.iter().filter_map(Column::writer);
        self.waiting_bytes + columns.map(ArrowColumnWriter::memory_size).sum::<usize>()
    }

    pub(super) fn finish(mut self) -> Result<Finished> {
        self.encode()?;
        let finished = |column| {
            Ok(match column {
                Column::Writer(writer) => FinishedColumn::Made(Box::new(writer.close()?)),
                Column::Encoded(encoded) => FinishedColumn::Encoded(encoded),
            })
        };
        self.columns.into_iter().map(finished).collect::<Result<_>>().map(Finished)
    }

    fn encode(&mut self) -> Result<()> {
        let waiting = mem::take(&mut self.waiting);
        let rows = mem::take(&mut self.waiting_rows);
        self.waiting_bytes = 0;
        if rows == 0 {
            return Ok(());
        }
        self.rows += rows;
        let fields = self.of.schema.fields();
        // No type of a table is nested: a column of it is one of the file.
        let columns = fields.iter().zip(&mut self.columns).filter_map(|(field, column)| match column {
            Column::Writer(writer) => Some((field, writer)),
            Column::Encoded(_) => None,
        });
        let columns = Mutex::new(columns.enumerate());
        let work = || {
            loop {
                let next = columns.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((at, (field, column))) = next else { return Ok(()) };
                for rows in &waiting {
                    for leaf in compute_leaves(field, rows.column(at))? {
                        column.write(&leaf)?;
                    }
                }
            }
        };
        let threads = if rows < SHARED { 1 } else { self.of.threads.min(fields.len()) };
        thread::scope(|scope| {
            // Where no thread can be made, there is one all the same.
            let spawn = |_| thread::Builder::new().name("parquet".to_owned()).spawn_scoped(scope, work).ok();
            let others: Vec<_> = (1..threads).filter_map(spawn).collect();
            let own = work();
            let panicked = |_| Err(ParquetError::General("an encoder panicked".to_owned()));
            others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).fold(own, Result::and)
        })
    }
}

pub(super) struct ParquetFile<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Columns,
    /// Columns that [outgrew] their dictionary in the last row group.
    outgrown: Vec<bool>,
    /// The row group that is not finished; none where it has no row yet.
    group: Option<RowGroup>,
}

impl<W: Write + Send> ParquetFile<W> {
    pub(super) fn new(
        sink: W,
        schema: &SchemaRef,
        properties: WriterPropertiesBuilder,
        ahead: usize,
        threads: usize,
    ) -> Result<Self> {
        let (_, plain) = begin(io::sink(), schema, properties.clone().set_dictionary_enabled(false))?;
        let (writer, factory) = begin(sink, schema, properties)?;
        let (factory, plain, schema) = (Arc::new(factory), Arc::new(plain), SchemaRef::clone(schema));
        let columns = Columns { factory, plain, schema, ahead, threads };
        Ok(ParquetFile { writer, columns, outgrown: Vec::new(), group: None })
    }

    pub(super) fn write(&mut self, rows: RecordBatch) -> Result<()> {
        let group = match &mut self.group {
            Some(group) => group,
            None => {
                let plain = |at| self.outgrown.get(at).is_some_and(|outgrown| *outgrown);
                self.group.insert(self.columns.begin(HashMap::new(), plain)?)
            }
        };
        group.write(rows)?;
        if group.rows >= GROUP { self.end_group() } else { Ok(()) }
    }

    /// Encodes what waits, unless it is little.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        self.group.as_mut().map_or(Ok(()), RowGroup::catch_up)
    }

    /// Of what row groups are made that are put behind the others by [`ParquetFile::append`].
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What columns there are, as the file will tell it.
    pub(super) fn described(&self) -> &SchemaDescriptor {
        self.writer.schema_descr()
    }

    /// What the unfinished row group will have in the file, about.
    pub(super) fn unfinished(&self) -> usize {
        self.group.as_ref().map_or(0, RowGroup::unfinished)
    }

    pub(super) fn memory(&self) -> usize {
        self.group.as_ref().map_or(0, RowGroup::memory)
    }

    /// Bytes of the row groups that are finished.
    pub(super) fn written(&self) -> usize {
        self.writer.bytes_written()
    }

    pub(super) fn end_group(&mut self) -> Result<()> {
        self.group.take().map_or(Ok(()), |group| self.append(group.finish()?))
    }

    pub(super) fn append(&mut self, Finished(columns): Finished) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in columns {
            match column {
                FinishedColumn::Made(chunk) => chunk.append_to_row_group(&mut group)?,
                FinishedColumn::Encoded(encoded) => {
                    let start = encoded.close.metadata.byte_range().0;
                    group.append_column(&Pages { start, bytes: encoded.pages }, encoded.close)?;
                }
            }
        }
        let closed = group.close()?;
        self.outgrown = closed.columns().iter().map(outgrew).collect();
        Ok(())
    }

    pub(super) fn close(mut self) -> Result<ParquetMetaData> {
        self.end_group()?;
        self.writer.close()
    }
}

/// A file, and what makes its columns.
fn begin<W: Write + Send>(
    sink: W,
    schema: &SchemaRef,
    properties: WriterPropertiesBuilder,
) -> Result<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory)> {
    let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(sink, SchemaRef::clone(schema), options)?.into_serialized_writer()
}

/// A piece of a file, from some place on.
struct Pages {
    start: u64,
    bytes: Bytes,
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Pages {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let from = from.filter(|from| *from <= self.bytes.len());
        let from =
            from.ok_or_else(|| ParquetError::General("a column begins elsewhere than its file says".to_owned()))?;
        Ok(self.bytes.slice(from..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.get_read(start)?.into_inner();
        match length <= rest.len() {
            true => Ok(rest.slice(..length)),
            false => Err(ParquetError::EOF("a column is shorter than its file says".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{ArrayRef, AsArray, Int64Array, StringArray},
        datatypes::Int64Type,
    };
    use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::properties::WriterProperties};

    fn rows(first: i64, count: i64) -> RecordBatch {
        let ids = Arc::new(Int64Array::from_iter_values(first..first + count)) as ArrayRef;
        let text = |id: i64| (id % 3 != 0).then(|| format!("row {id}"));
        let texts = Arc::new(StringArray::from_iter((first..first + count).map(text))) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true)]).unwrap()
    }

    #[test]
    fn rows_keep_their_order_and_columns_their_rows() {
        let mut file = Vec::new();
        let mut writer =
            ParquetFile::new(&mut file, &rows(0, 1).schema(), WriterProperties::builder(), 1 << 20, 2).unwrap();
        let (mut first, mut count) = (0, 1);
        while first < GROUP as i64 + 100_000 {
            writer.write(rows(first, count)).unwrap();
            first += count;
            count = count * 3 % 40_009;
        }
        assert!(writer.memory() > 0 && writer.written() > 0);
        assert_eq!(writer.close().unwrap().num_row_groups(), 2);
        let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap().build().unwrap();
        let mut next = 0;
        for batch in read {
            let batch = batch.unwrap();
            assert_eq!(batch, rows(next, batch.num_rows() as i64));
            assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), next);
            next += batch.num_rows() as i64;
        }
        assert_eq!(next, first);
    }

    #[test]
    fn a_column_that_outgrew_its_dictionary_tries_none_in_the_next_row_group() {
        let mut file = Vec::new();
        let few = |first: i64, count: i64| {
            let values = Arc::new(Int64Array::from_iter_values((first..first + count).map(|id| id % 7))) as ArrayRef;
            let ids = Arc::clone(rows(first, count).column(0));
            RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("few", values, true)]).unwrap()
        };
        let properties = WriterProperties::builder();
        let mut writer = ParquetFile::new(&mut file, &few(0, 1).schema(), properties, 1 << 20, 2).unwrap();
        for first in [0, 200_000] {
            writer.write(few(first, 200_000)).unwrap();
            writer.end_group().unwrap();
        }
        let footer = writer.close().unwrap();
        let has =
            |group: usize, column: usize| footer.row_group(group).column(column).dictionary_page_offset().is_some();
        assert_eq!([has(0, 0), has(0, 1), has(1, 0), has(1, 1)], [true, true, false, true]);
        assert!(outgrew(footer.row_group(1).column(0)) && !outgrew(footer.row_group(1).column(1)));
        // As readers are told of it.
        let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap();
        let group = read.metadata().row_group(0);
        assert!(outgrew(group.column(0)) && !outgrew(group.column(1)));
    }

    #[test]
    fn a_file_without_rows_is_one() {
        let mut file = Vec::new();
        let writer =
            ParquetFile::new(&mut file, &rows(0, 1).schema(), WriterProperties::builder(), 1 << 20, 2).unwrap();
        assert_eq!(writer.close().unwrap().file_metadata().num_rows(), 0);
        let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap().build().unwrap();
        assert_eq!(read.count(), 0);
    }
}
