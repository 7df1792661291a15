//! The rows of a data file, a row group at a time.

use super::{DataFile, columns, object::Object};
use crate::{failure, lake::Table, log::Snapshot, store::runtime};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{Field, Schema as ArrowSchema, SchemaRef},
};
use floodmark_core::{Code, Column, Error, Result, Value};
use futures::StreamExt;
use object_store::path::Path;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::RowSelection,
    async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder},
};
use std::sync::Arc;

const ROWS: usize = 8192;

type Builder = ParquetRecordBatchStreamBuilder<Object>;

/// Where the values of a column come from.
enum From {
    File(String),
    Constant(Value),
    Nowhere,
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
        self.read_some(snapshot, file, columns, None)
    }

    /// The same of some of its rows, by their places, which rise: the others are not decoded where that can be.
    pub(crate) fn read_some(
        &self,
        snapshot: &Snapshot,
        file: &DataFile,
        columns: &[&str],
        places: Option<&[u32]>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        let wanted = columns.iter().map(|name| snapshot.column(name).cloned()).collect::<Result<Vec<Column>>>()?;
        let name = format!("{}/{}", self.name, file.location);
        let builder = open(self, &file.location, file.size)?;
        let inside = Arc::clone(builder.schema());
        let from = |column: &Column| {
            if let Some((_, value)) = file.partition.iter().find(|(name, _)| *name == column.name) {
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
        if let Some(places) = places {
            let one = |place: &u32| *place as usize..*place as usize + 1;
            let all = usize::try_from(file.rows).map_err(|e| Error::internal("a file has too many rows").cause(e))?;
            builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(places.iter().map(one), all));
        }
        let stream = builder.build();
        let stream = stream.map_err(|e| failure::parquet("read", &name, e))?;
        let fields = wanted.iter().map(|c| Field::new(&c.name, c.data_type.to_arrow(), true));
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        Ok(Box::new(Rows {
            stream,
            schema,
            wanted,
            sources,
            name,
            left: Some(places.map_or(file.rows, |places| places.len() as u64)),
        }))
    }
}

fn open(table: &Table, path: &Path, size: u64) -> Result<Builder> {
    let reader = Object { store: Arc::clone(&table.place.store), path: path.clone(), size };
    runtime()?.block_on(Builder::new(reader)).map_err(|e| {
        if let Some((what, help)) = floodmark_objects::of_credentials(&e.to_string()) {
            let file = format!("{}/{path}", table.name);
            return Error::new(Code::DestinationOpen, what).in_file(file).help(help).cause(e);
        }
        let gone = Error::new(Code::DestinationOpen, "a data file of the table cannot be read")
            .in_file(format!("{}/{path}", table.name))
            .help("where it is gone: another program's vacuum may have taken it while this run went on; run again")
            .help("where it is broken: restore an older version of the table");
        gone.cause(e)
    })
}

/// How many rows a file has whose log entry does not say.
pub(crate) fn count_rows(table: &Table, path: &Path, size: u64) -> Result<u64> {
    let builder = open(table, path, size)?;
    let rows = builder.metadata().file_metadata().num_rows();
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
            None => Some(Err(self.miscounted())),
            Some(Err(e)) => Some(Err(failure::parquet("read", &self.name, e))),
            Some(Ok(batch)) => match left.checked_sub(batch.num_rows() as u64) {
                Some(left) => {
                    self.left = Some(left);
                    return Some(self.convert(&batch));
                }
                None => Some(Err(self.miscounted())),
            },
        };
        self.left = None;
        answer
    }
}

impl Rows {
    /// Numbers and accounting go by what the log says.
    fn miscounted(&self) -> Error {
        Error::new(Code::BadFormat, "a file has another number of rows than the table's log says")
            .in_file(&self.name)
            .help("the log or the file is wrong: ask who wrote it")
    }
}
