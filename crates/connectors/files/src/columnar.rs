//! Parquet, Arrow IPC, and Arrow batches that a program hands over: types from the footer or schema message, rows batch by
//! batch.

use crate::{
    bad,
    bytes::{Bytes, Failure},
    exact, nested,
    open::read_error,
    panics::caught,
    partitions::Partitions,
    pruned::{self, Footer},
    row_groups::RowGroups,
};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions},
    compute::filter_record_batch,
    datatypes::{DataType as ArrowType, Schema as ArrowSchema, SchemaRef},
    ipc::reader::{FileReader, StreamReader},
};
use floodmark_connect::{BadRow, Batch, ReadPlan, Stop};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema,
    error::{Place, shorten},
    pipeline::FileFormat,
};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use std::{
    collections::VecDeque,
    io::{BufReader, Read, Seek},
    ops::Range,
};

/// Rows decoded at once.
const BATCH_ROWS: usize = 8192;

pub(crate) type Decoded = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A columnar file, opened.
enum Opened {
    Parquet(Box<ParquetRecordBatchReaderBuilder<Bytes>>, Bytes),
    File(BufReader<Bytes>, SchemaRef),
    Stream(BufReader<Bytes>, SchemaRef),
}

fn damaged(name: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Code::BadFormat, "the file is damaged or of a kind that is not supported")
        .in_file(name)
        .help("fetch or write the file again; codecs read here: snappy, gzip, zstd, lz4, none")
        .cause(cause)
}

/// The decoders check what they read, but not everything: a panic in them is about the file, too. What a store said of reads
/// that failed comes before what they make of it.
fn guarded<T>(name: &str, failure: &Failure, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    let decoded = caught(decode).unwrap_or_else(|| Err(damaged(name, "its structure contradicts itself")));
    decoded.map_err(|e| failure.take().unwrap_or(e))
}

impl Opened {
    fn new(mut file: Bytes, format: FileFormat, name: &str) -> Result<Opened> {
        if format == FileFormat::Parquet {
            file.hold_end().map_err(|e| read_error(name, e))?;
            let copy = file.try_clone().map_err(|e| read_error(name, e))?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(name, e))?;
            return Ok(Opened::Parquet(Box::new(builder), copy));
        }
        let size = file.size().map_err(|e| read_error(name, e))?;
        let mut head = Vec::new();
        (&mut file).take(8).read_to_end(&mut head).map_err(|e| read_error(name, e))?;
        let again = |mut file: Bytes| -> Result<BufReader<Bytes>> {
            file.rewind().map_err(|e| read_error(name, e))?;
            Ok(BufReader::with_capacity(1 << 20, file))
        };
        let copy = file.try_clone().map_err(|e| read_error(name, e))?;
        if head.starts_with(b"ARROW1") {
            let schema = FileReader::try_new(again(file)?, None).map_err(|e| damaged(name, e))?.schema();
            Ok(Opened::File(again(copy)?, schema))
        } else {
            // The reader allocates what the first message says it is long, so that must be looked at before.
            let length = match head.as_slice() {
                [0xff, 0xff, 0xff, 0xff, length @ ..] => <[u8; 4]>::try_from(length).ok().map(u32::from_le_bytes),
                _ => None,
            };
            if length.is_none_or(|length| u64::from(length) > size) {
                return Err(damaged(name, "it begins neither like an Arrow file nor like an Arrow stream"));
            }
            let schema = StreamReader::try_new(again(file)?, None).map_err(|e| damaged(name, e))?.schema();
            Ok(Opened::Stream(again(copy)?, schema))
        }
    }

    fn schema(&self) -> SchemaRef {
        match self {
            Opened::Parquet(builder, _) => builder.schema().clone(),
            Opened::File(_, schema) | Opened::Stream(_, schema) => schema.clone(),
        }
    }

    fn columns(&self, name: &str) -> Result<Schema> {
        columns(&self.schema(), name, "where the file is written")
    }

    /// By row group, whether it is to be read, where that is not all of them.
    fn wanted(&self, plan: &ReadPlan, partitions: &Partitions, name: &str) -> Result<Option<Vec<bool>>> {
        let Opened::Parquet(builder, _) = self else { return Ok(None) };
        let footer = Footer { metadata: builder.metadata(), schema: builder.schema() };
        Ok(pruned::wanted(footer, plan, partitions, name)?.filter(|wanted| wanted.contains(&false)))
    }

    /// The rows of row groups that are not wanted, counted from 0.
    fn left_out(&self, wanted: &[bool]) -> VecDeque<Range<u64>> {
        let Opened::Parquet(builder, _) = self else { return VecDeque::new() };
        let mut end = 0;
        let rows = builder.metadata().row_groups().iter().map(|group| {
            let start = end;
            end += u64::try_from(group.num_rows()).unwrap_or(0);
            start..end
        });
        rows.zip(wanted).filter(|(_, wanted)| !**wanted).map(|(rows, _)| rows).collect()
    }

    /// Batches of these columns, from row `skip` on where the format allows it; and how many rows that leaves out. Of a Parquet
    /// file only row groups that are wanted, where that is not all of them.
    fn read(self, columns: Vec<usize>, skip: u64, wanted: Option<&[bool]>, name: &str) -> Result<(Decoded, u64)> {
        Ok(match self {
            Opened::Parquet(builder, file) if wanted.is_some() || matches!(file, Bytes::Object(_)) => {
                let groups =
                    RowGroups::new(&builder, file, columns, skip, wanted, BATCH_ROWS).map_err(|e| damaged(name, e))?;
                let owner = name.to_owned();
                (Box::new(groups.map(move |batch| batch.map_err(|e| damaged(&owner, e)))), skip)
            }
            Opened::Parquet(builder, _) => {
                let owner = name.to_owned();
                let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
                let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
                let offset = usize::try_from(skip).unwrap_or(usize::MAX);
                let decoded = builder.with_offset(offset).build().map_err(|e| damaged(name, e))?;
                (Box::new(decoded.map(move |batch| batch.map_err(|e| damaged(&owner, e)))), skip)
            }
            Opened::File(file, _) => {
                let owner = name.to_owned();
                let decoded = FileReader::try_new(file, Some(columns)).map_err(|e| damaged(name, e))?;
                (Box::new(decoded.map(move |batch| batch.map_err(|e| damaged(&owner, e)))), 0)
            }
            Opened::Stream(file, _) => {
                let owner = name.to_owned();
                let decoded = StreamReader::try_new(file, Some(columns)).map_err(|e| damaged(name, e))?;
                (Box::new(decoded.map(move |batch| batch.map_err(|e| damaged(&owner, e)))), 0)
            }
        })
    }
}

/// Columns with their types; what no destination holds, and names that cannot be told apart, are errors. `remedy`: where
/// they can be put right.
pub(crate) fn columns(arrow: &ArrowSchema, name: &str, remedy: &str) -> Result<Schema> {
    let mut schema = Schema::default();
    for (i, field) in arrow.fields().iter().enumerate() {
        let place = || Place { file: Some(name.into()), column: Some(field.name().clone()), ..Place::default() };
        let data_type = DataType::from_arrow(field.data_type())
            .ok_or_else(|| exact::unsupported(field.data_type(), remedy).at(place()))?;
        if let Some(before) = schema.index(field.name()) {
            let message = format!("columns {} and {} have the same name", before + 1, i + 1);
            return Err(Error::new(Code::BadHeader, message).at(place()).help(format!("rename one {remedy}")));
        }
        if field.name().is_empty() {
            let message = format!("column {} of {} has no name", i + 1, arrow.fields().len());
            return Err(Error::new(Code::BadHeader, message).in_file(name).help(format!("name it {remedy}")));
        }
        let undecided = *field.data_type() == ArrowType::Null;
        schema.columns.push(Column { undecided, ..Column::new(field.name(), data_type) });
    }
    Ok(schema)
}

/// Columns and number of rows. A Parquet file is asked for its footer only; an Arrow file must be walked through.
pub(crate) fn survey(file: Bytes, format: FileFormat, name: &str, stop: &Stop) -> Result<(Schema, u64)> {
    guarded(name, &file.failure(), || {
        let opened = Opened::new(file, format, name)?;
        let schema = opened.columns(name)?;
        let rows = match opened {
            Opened::Parquet(builder, _) => rows_of(&builder),
            other => {
                let mut rows = 0;
                for batch in other.read(Vec::new(), 0, None, name)?.0 {
                    stop.check()?;
                    rows += batch?.num_rows() as u64;
                }
                rows
            }
        };
        Ok((schema, rows))
    })
}

/// The columns, and how many rows the beginning has.
pub(crate) fn glance(file: Bytes, format: FileFormat, name: &str) -> Result<(Schema, u64)> {
    guarded(name, &file.failure(), || {
        let opened = Opened::new(file, format, name)?;
        let schema = opened.columns(name)?;
        let rows = match opened {
            Opened::Parquet(builder, _) => rows_of(&builder),
            other => match other.read(Vec::new(), 0, None, name)?.0.next() {
                None => 0,
                Some(first) => first?.num_rows() as u64,
            },
        };
        Ok((schema, rows))
    })
}

/// Rows as the footer has them.
fn rows_of(builder: &ParquetRecordBatchReaderBuilder<Bytes>) -> u64 {
    u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0)
}

/// Batches of a columnar file in the planned types.
pub(crate) struct ColumnarBatches {
    decoded: Decoded,
    failure: Failure,
    /// Planned columns that the file has, and where they are in a decoded batch.
    schema: Schema,
    positions: Vec<usize>,
    name: String,
    /// Rows before the next batch.
    passed: u64,
    skip: u64,
    /// Rows that are not decoded, counted from 0: where the next batch would begin with them they are passed over.
    left_out: VecDeque<Range<u64>>,
    stop: Stop,
    done: bool,
}

/// Reads the planned columns, of a file whose path gives some of them.
pub(crate) fn read(
    file: Bytes,
    format: FileFormat,
    name: &str,
    plan: &ReadPlan,
    partitions: &Partitions,
    stop: &Stop,
) -> Result<ColumnarBatches> {
    let failure = file.failure();
    guarded(name, &failure.clone(), || {
        let opened = Opened::new(file, format, name)?;
        let arrow = opened.schema();
        let mut schema = Schema::default();
        let mut places = Vec::new();
        for column in &plan.schema.columns {
            if let Some(at) = arrow.fields().iter().position(|f| *f.name() == column.name) {
                schema.columns.push(column.clone());
                places.push(at);
            }
        }
        // Decoders keep file order whatever the order asked for.
        let mut sorted = places.clone();
        sorted.sort_unstable();
        let positions = places.iter().map(|p| sorted.partition_point(|s| s < p)).collect();
        let wanted = opened.wanted(plan, partitions, name)?;
        let left_out = wanted.as_ref().map(|wanted| opened.left_out(wanted)).unwrap_or_default();
        let (decoded, passed) = opened.read(sorted, plan.skip_rows, wanted.as_deref(), name)?;
        let (name, stop) = (name.to_owned(), stop.clone());
        Ok(ColumnarBatches {
            decoded,
            failure,
            schema,
            positions,
            name,
            passed,
            skip: plan.skip_rows,
            left_out,
            stop,
            done: false,
        })
    })
}

/// Batches that a program hands over, with all of their columns.
pub(crate) fn handed(
    arrow: &ArrowSchema,
    decoded: Decoded,
    name: &str,
    plan: &ReadPlan,
    stop: &Stop,
) -> ColumnarBatches {
    let position = |column: &Column| arrow.fields().iter().position(|f| *f.name() == column.name);
    let there = plan.schema.columns.iter().filter_map(|column| Some((column.clone(), position(column)?)));
    let (columns, positions) = there.unzip();
    let (name, stop) = (name.to_owned(), stop.clone());
    let schema = Schema { columns };
    let failure = Failure::default();
    ColumnarBatches {
        decoded,
        failure,
        schema,
        positions,
        name,
        passed: 0,
        skip: plan.skip_rows,
        left_out: VecDeque::new(),
        stop,
        done: false,
    }
}

impl Iterator for ColumnarBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.done {
            return None;
        }
        let name = self.name.clone();
        let failure = self.failure.clone();
        let next = guarded(&name, &failure, || self.advance());
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl ColumnarBatches {
    fn advance(&mut self) -> Result<Option<Batch>> {
        loop {
            self.stop.check()?;
            if let Some(rows) = self.left_out.pop_front_if(|rows| rows.start <= self.passed) {
                let before = self.passed;
                let left_out = rows.end.saturating_sub(before);
                if left_out == 0 {
                    continue;
                }
                self.passed += left_out;
                let rows = RecordBatch::new_empty(self.schema.to_arrow());
                return Ok(Some(Batch { rows, bad: Vec::new(), first_row: before + 1, covered: left_out, left_out }));
            }
            let Some(batch) = self.decoded.next() else { return Ok(None) };
            let mut batch = batch?;
            let rows = batch.num_rows() as u64;
            let ahead = self.skip.saturating_sub(self.passed).min(rows);
            batch = batch.slice(ahead as usize, (rows - ahead) as usize);
            let first_row = self.passed + ahead + 1;
            self.passed += rows;
            if batch.num_rows() == 0 {
                continue;
            }
            return self.convert(&batch, first_row).map(Some);
        }
    }

    fn convert(&self, batch: &RecordBatch, first_row: u64) -> Result<Batch> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.positions.len());
        // By row, the first column that does not fit.
        let mut lost: Vec<(usize, usize)> = Vec::new();
        for (i, (column, &at)) in self.schema.columns.iter().zip(&self.positions).enumerate() {
            let (array, rows) = exact::convert(batch.column(at), column.data_type).map_err(|e| {
                e.at(Place {
                    file: Some(self.name.clone().into()),
                    column: Some(column.name.clone()),
                    ..Place::default()
                })
            })?;
            arrays.push(array);
            lost.extend(rows.into_iter().map(|row| (row, i)));
        }
        lost.sort_unstable();
        lost.dedup_by_key(|(row, _)| *row);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let mut rows = RecordBatch::try_new_with_options(self.schema.to_arrow(), arrays, &options)?;
        let mut bad = Vec::with_capacity(lost.len());
        if !lost.is_empty() {
            let mut keep = vec![true; batch.num_rows()];
            for (row, i) in lost {
                keep[row] = false;
                bad.push(self.bad_row(batch, row, i, first_row)?);
            }
            rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
        }
        Ok(Batch { rows, bad, first_row, covered: batch.num_rows() as u64, left_out: 0 })
    }

    fn bad_row(&self, batch: &RecordBatch, row: usize, column: usize, first_row: u64) -> Result<BadRow> {
        let Column { name, data_type, .. } = &self.schema.columns[column];
        let number = first_row + row as u64;
        let one = batch.column(self.positions[column]).slice(row, 1);
        let value = exact::text(&one);
        let place = Place {
            file: Some(self.name.clone().into()),
            line: None,
            row: Some(number),
            column: Some(name.clone()),
            value: value.as_deref().map(shorten),
        };
        let error = bad::does_not_fit(name, *data_type, place);
        Ok(BadRow { row: number, line: None, error, raw: nested::row_to_json(batch, row)? })
    }
}
