//! The rows of a data file, a row group at a time.

use super::{DataFile, columns, object::Object};
use crate::{failure, lake::Table, log::Snapshot, store::runtime};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{Field, Schema as ArrowSchema, SchemaRef},
};
use bytes::Bytes;
use floodmark_connect::source::Range;
use floodmark_core::{Code, Column, Error, Result, Value};
use floodmark_files::Footer;
use futures::StreamExt;
use object_store::path::Path;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection},
        async_reader::{AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder},
    },
    file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};
use std::sync::{Arc, Mutex, PoisonError};

const ROWS: usize = 8192;

type Builder = ParquetRecordBatchStreamBuilder<Object>;

/// Where the values of a column come from.
enum From {
    File(String),
    Constant(Value),
    Nowhere,
}

/// Which rows of a file are read.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    /// Those of some row groups.
    Groups(&'a Groups),
    /// Of those the ones at these places in the file, which rise: the others are not decoded where that can be.
    At(&'a Groups, &'a [u32]),
    /// The row groups that may hold a row of a range; rows beside it come, too.
    Range(&'a Range),
}

/// Row groups that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Groups {
    /// By their numbers.
    groups: std::ops::Range<usize>,
    /// The places of their rows in the file.
    pub(crate) rows: std::ops::Range<u32>,
}

impl Groups {
    /// Of one of them, its number.
    pub(crate) fn first(&self) -> usize {
        self.groups.start
    }
}

/// A footer that is read once, whoever needs it first.
#[derive(Default)]
pub(crate) struct Known(Mutex<Option<ArrowReaderMetadata>>);

/// A data file whose footer is known.
pub(crate) struct Opened<'a> {
    table: &'a Table,
    snapshot: &'a Snapshot,
    file: &'a DataFile,
    footer: ArrowReaderMetadata,
    name: String,
}

impl Table {
    /// The rows of a file as batches in the types of `Schema::to_arrow`, with these columns in this order. A column that the
    /// file lacks is NULL; narrower types of older files are widened.
    pub fn read(
        &self,
        snapshot: &Snapshot,
        file: &DataFile,
        columns: &[&str],
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        self.open_file(snapshot, file)?.read(columns, Which::All)
    }

    pub(crate) fn open_file<'a>(&'a self, snapshot: &'a Snapshot, file: &'a DataFile) -> Result<Opened<'a>> {
        self.open_known(snapshot, file, &Known::default())
    }

    pub(crate) fn open_known<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        file: &'a DataFile,
        known: &Known,
    ) -> Result<Opened<'a>> {
        let mut known = known.0.lock().unwrap_or_else(PoisonError::into_inner);
        let footer = match &*known {
            Some(footer) => footer.clone(),
            None => known.insert(footer(self, &file.location, file.size)?).clone(),
        };
        Ok(Opened { table: self, snapshot, file, footer, name: format!("{}/{}", self.name, file.location) })
    }
}

impl Opened<'_> {
    pub(crate) fn footer(&self) -> &ParquetMetaData {
        self.footer.metadata()
    }

    /// Its row groups, one by one.
    pub(crate) fn groups(&self) -> Result<Vec<Groups>> {
        let mut first = 0u32;
        let groups = self.footer().row_groups().iter().enumerate().map(|(at, group)| {
            let end = u32::try_from(group.num_rows()).ok().and_then(|rows| first.checked_add(rows));
            let rows = first..end.ok_or_else(|| self.broken("it has too many rows"))?;
            first = rows.end;
            Ok(Groups { groups: at..at + 1, rows })
        });
        let groups = groups.collect::<Result<Vec<_>>>()?;
        if u64::from(first) == self.file.rows { Ok(groups) } else { Err(self.miscounted()) }
    }

    /// A share of its row groups, of so many; `None` where it has fewer, and this share has none.
    pub(crate) fn share(&self, share: usize, of: usize) -> Result<Option<Groups>> {
        let groups = self.groups()?;
        let part = groups.len() * share / of..groups.len() * (share + 1) / of;
        let ends = groups[part.clone()].first().zip(groups[part.clone()].last());
        Ok(ends.map(|(first, last)| Groups { groups: part, rows: first.rows.start..last.rows.end }))
    }

    /// The footer with what it says of pages.
    pub(crate) fn with_pages(&self) -> Result<ParquetMetaData> {
        let footer = ParquetMetaDataReader::new_with_metadata(self.footer().clone());
        let mut reader = footer.with_page_index_policy(PageIndexPolicy::Optional);
        let mut object = self.object();
        let loaded = runtime()?.block_on(reader.load_page_index(&mut object));
        loaded.and_then(|()| reader.finish()).map_err(|e| failure::parquet("read", &self.name, e))
    }

    /// Some of its rows, as [`Table::read`] gives them.
    pub(crate) fn read(
        &self,
        columns: &[&str],
        which: Which<'_>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        let wanted = columns.iter().map(|name| self.snapshot.column(name).cloned()).collect::<Result<Vec<Column>>>()?;
        let builder = Builder::new_with_metadata(self.object(), self.footer.clone());
        let inside = Arc::clone(builder.schema());
        let from = |column: &Column| {
            if let Some((_, value)) = self.file.partition.iter().find(|(name, _)| *name == column.name) {
                From::Constant(value.clone())
            } else if inside.index_of(&column.name).is_ok() {
                From::File(column.name.clone())
            } else {
                From::Nowhere
            }
        };
        let sources: Vec<From> = wanted.iter().map(from).collect();
        let roots = sources.iter().filter_map(|from| match from {
            From::File(name) => inside.index_of(name).ok(),
            _ => None,
        });
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let mut builder = builder.with_projection(mask).with_batch_size(ROWS);
        let mut rows = self.file.rows;
        match which {
            Which::All => {}
            Which::Groups(Groups { groups, rows: there }) => {
                builder = builder.with_row_groups(groups.clone().collect());
                rows = there.len() as u64;
            }
            Which::At(Groups { groups, rows: there }, places) => {
                let one = |place: &u32| (place - there.start) as usize..(place - there.start) as usize + 1;
                let chosen = RowSelection::from_consecutive_ranges(places.iter().map(one), there.len());
                builder = builder.with_row_groups(groups.clone().collect()).with_row_selection(chosen);
                rows = places.len() as u64;
            }
            Which::Range(range) => {
                if let Some((groups, left_out)) = self.within(range) {
                    builder = builder.with_row_groups(groups);
                    rows = rows.checked_sub(left_out).ok_or_else(|| self.miscounted())?;
                }
            }
        }
        let stream = builder.build().map_err(|e| failure::parquet("read", &self.name, e))?;
        let fields = wanted.iter().map(|c| Field::new(&c.name, c.data_type.to_arrow(), true));
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        Ok(Box::new(Rows { stream, schema, wanted, sources, name: self.name.clone(), left: Some(rows) }))
    }

    /// The row groups that may hold a row of a range, and how many rows the others have: by the footer, whose bounds are those of
    /// the values, where the log's may be rounded. `None` where nothing can be told.
    fn within(&self, range: &Range) -> Option<(Vec<usize>, u64)> {
        let footer = Footer { metadata: self.footer(), schema: self.footer.schema() };
        let wanted = footer.may_hold(range, self.snapshot.schema.get(&range.column)?.data_type)?;
        let rows = |group: usize| u64::try_from(footer.metadata.row_group(group).num_rows()).ok();
        let (groups, others): (Vec<usize>, Vec<usize>) = (0..wanted.len()).partition(|group| wanted[*group]);
        Some((groups, others.into_iter().map(rows).sum::<Option<u64>>()?))
    }

    /// The bytes of a column in a row group, as they lie there.
    pub(crate) fn chunk(&self, column: &ColumnChunkMetaData) -> Result<Bytes> {
        let (start, length) = column.byte_range();
        let got = runtime()?.block_on(self.object().get_bytes(start..start + length));
        got.map_err(|e| failure::parquet("read", &self.name, e))
    }

    pub(crate) fn broken(&self, what: &str) -> Error {
        failure::parquet("read", &self.name, what)
    }

    pub(crate) fn miscounted(&self) -> Error {
        miscounted(&self.name)
    }

    pub(crate) fn file(&self) -> &DataFile {
        self.file
    }

    fn object(&self) -> Object {
        object(self.table, &self.file.location, self.file.size)
    }
}

fn object(table: &Table, path: &Path, size: u64) -> Object {
    Object { store: Arc::clone(&table.place.store), path: path.clone(), size }
}

fn footer(table: &Table, path: &Path, size: u64) -> Result<ArrowReaderMetadata> {
    let mut object = object(table, path, size);
    let loaded = ArrowReaderMetadata::load_async(&mut object, ArrowReaderOptions::new());
    runtime()?.block_on(loaded).map_err(|e| {
        if let Some((what, help)) = floodmark_objects::of_credentials(&e.to_string()) {
            let file = format!("{}/{path}", table.name);
            return Error::new(Code::DestinationOpen, what).in_file(file).help(help).cause(e);
        }
        let unread = Error::new(Code::DestinationOpen, "a data file of the table cannot be read")
            .in_file(format!("{}/{path}", table.name))
            .help("where it is gone: another program's vacuum may have taken it while this run went on; run again")
            .help("where it is broken: restore an older version of the table");
        let unread = if failure::is_gone(&e.to_string()) { unread.transient() } else { unread };
        unread.cause(e)
    })
}

/// How many rows a file has whose log entry does not say.
pub(crate) fn count_rows(table: &Table, path: &Path, size: u64) -> Result<u64> {
    let rows = footer(table, path, size)?.metadata().file_metadata().num_rows();
    u64::try_from(rows).map_err(|_| failure::parquet("read", path.as_ref(), "its footer has a negative number of rows"))
}

struct Rows {
    stream: ParquetRecordBatchStream<Object>,
    schema: SchemaRef,
    wanted: Vec<Column>,
    sources: Vec<From>,
    name: String,
    /// Rows that the log says are still to come; nothing after the end.
    left: Option<u64>,
}

impl Rows {
    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.wanted.len());
        for (column, from) in self.wanted.iter().zip(&self.sources) {
            arrays.push(match from {
                From::Nowhere => columns::nulls(column.data_type, rows),
                From::Constant(value) => {
                    let one = value.to_scalar(column.data_type)?.into_inner();
                    take(&one, &UInt32Array::from(vec![0; rows]), None)?
                }
                From::File(name) => {
                    let found = batch.column_by_name(name);
                    let found = found.ok_or_else(|| Error::internal("a column was not read"))?;
                    columns::from_file(found, name, column.data_type).map_err(|e| e.in_file(&self.name))?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.left?;
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(e) => return Some(Err(e)),
        };
        let next = runtime.block_on(self.stream.next());
        let answer = match next {
            None if left == 0 => None,
            None => Some(Err(miscounted(&self.name))),
            Some(Err(e)) => Some(Err(failure::parquet("read", &self.name, e))),
            Some(Ok(batch)) => match left.checked_sub(batch.num_rows() as u64) {
                Some(left) => {
                    self.left = Some(left);
                    return Some(self.convert(&batch));
                }
                None => Some(Err(miscounted(&self.name))),
            },
        };
        self.left = None;
        answer
    }
}

/// Numbers and accounting go by what the log says.
fn miscounted(name: &str) -> Error {
    Error::new(Code::BadFormat, "a file has another number of rows than the table's log says")
        .in_file(name)
        .help("the log or the file is wrong: ask who wrote it")
}
