//! Rows on their way in and out: as cells of [`floodmark_merge::cell`], or whole batches at once.

use crate::{codec, raw::Feeder};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
        Int64Builder, RecordBatch, StringBuilder, Time64NanosecondBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{
        DataType as ArrowType, Date32Type, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
        TimestampNanosecondType,
    },
};
use floodmark_core::{DataType, Error, Result};
use floodmark_merge::cell;
pub(crate) use floodmark_merge::cell::{Cell, put};
use std::{collections::HashMap, sync::Arc};

/// Rows that are put together before they are sent.
const SEND: usize = 2048;

/// Sends rows into one table.
pub(crate) struct Writer {
    feeder: Feeder,
    columns: Vec<Column>,
    schema: SchemaRef,
    row: Vec<u8>,
    waiting: usize,
    sent: u64,
    begun: bool,
}

impl Writer {
    pub(crate) fn new(feeder: Feeder, types: Vec<DataType>) -> Self {
        let columns: Vec<Column> = types.into_iter().map(Column::new).collect();
        let field = |(n, column): (usize, &Column)| Field::new(format!("c{n}"), column.arrow(), true);
        let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
        Writer { feeder, columns, schema, row: Vec::new(), waiting: 0, sent: 0, begun: false }
    }

    /// Begins a row of so many cells, which are to be [`put`] into the buffer.
    #[inline]
    pub(crate) fn row(&mut self, cells: usize) -> Result<&mut Vec<u8>> {
        debug_assert_eq!(cells, self.columns.len());
        self.take()?;
        if self.waiting >= SEND {
            self.send()?;
        }
        self.begun = true;
        Ok(&mut self.row)
    }

    /// Takes the row that was begun.
    fn take(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.begun) {
            return Ok(());
        }
        let broken = || Error::internal("a row is not made of cells");
        let mut rest = self.row.as_slice();
        for column in &mut self.columns {
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            let length = i32::from_be_bytes(*length);
            let (cell, after) = match usize::try_from(length) {
                Err(_) => (None, after),
                Ok(length) => {
                    after.split_at_checked(length).map(|(cell, after)| (Some(cell), after)).ok_or_else(broken)?
                }
            };
            column.append(cell).ok_or_else(broken)?;
            rest = after;
        }
        self.row.clear();
        self.waiting += 1;
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        if self.waiting > 0 {
            self.waiting = 0;
            let arrays = self.columns.iter_mut().map(Column::finish).collect();
            let batch = RecordBatch::try_new(self.schema.clone(), arrays)?;
            self.batch(&batch)?;
        }
        Ok(())
    }

    /// Sends rows as they are, whose columns are those of the table in the types that are read.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.sent += batch.num_rows() as u64;
        if self.feeder.send(batch) { Ok(()) } else { Err(unwanted()) }
    }

    /// Ends it; how many rows went in.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.take()?;
        self.send()?;
        if self.feeder.finish() { Ok(self.sent) } else { Err(unwanted()) }
    }
}

/// The statement that takes the rows has failed, and says why.
fn unwanted() -> Error {
    Error::internal("rows are not taken any more")
}

/// A column that is being filled with cells.
enum Column {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Double(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64NanosecondBuilder),
    Moment(TimestampMicrosecondBuilder, bool),
}

impl Column {
    fn new(data_type: DataType) -> Column {
        match data_type {
            DataType::Bool => Column::Bool(BooleanBuilder::new()),
            DataType::BigInt => Column::Int(Int64Builder::new()),
            DataType::Decimal(p, s) => {
                let of = ArrowType::Decimal128(p, s.cast_signed());
                Column::Decimal(Decimal128Builder::new().with_data_type(of), p, s)
            }
            DataType::Double => Column::Double(Float64Builder::new()),
            DataType::Text | DataType::Json => Column::Text(StringBuilder::new()),
            DataType::Bytes => Column::Bytes(BinaryBuilder::new()),
            DataType::Date => Column::Date(Date32Builder::new()),
            DataType::Time => Column::Time(Time64NanosecondBuilder::new()),
            DataType::Timestamp { .. } => Column::Moment(TimestampMicrosecondBuilder::new(), false),
            DataType::TimestampTz { .. } => {
                Column::Moment(TimestampMicrosecondBuilder::new().with_timezone("UTC"), true)
            }
        }
    }

    fn arrow(&self) -> ArrowType {
        match self {
            Column::Bool(_) => ArrowType::Boolean,
            Column::Int(_) => ArrowType::Int64,
            Column::Decimal(_, p, s) => ArrowType::Decimal128(*p, s.cast_signed()),
            Column::Double(_) => ArrowType::Float64,
            Column::Text(_) => ArrowType::Utf8,
            Column::Bytes(_) => ArrowType::Binary,
            Column::Date(_) => ArrowType::Date32,
            Column::Time(_) => ArrowType::Time64(TimeUnit::Nanosecond),
            Column::Moment(_, zoned) => ArrowType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into())),
        }
    }

    /// Nothing where the cell is none of the column's.
    fn append(&mut self, cell: Cell<'_>) -> Option<()> {
        let long = |bytes: &[u8]| Some(i64::from_be_bytes(bytes.try_into().ok()?));
        macro_rules! put {
            ($builder:expr, $read:expr) => {
                match cell {
                    None => $builder.append_null(),
                    Some(bytes) => $builder.append_value($read(bytes)?),
                }
            };
        }
        match self {
            Column::Bool(b) => put!(b, |bytes: &[u8]| Some(bytes == [1])),
            Column::Int(b) => put!(b, long),
            Column::Decimal(b, _, s) => put!(b, |bytes| cell::from_numeric(bytes, *s)),
            Column::Double(b) => put!(b, |bytes| long(bytes).map(|bits| f64::from_bits(bits.cast_unsigned()))),
            Column::Text(b) => put!(b, |bytes| std::str::from_utf8(bytes).ok()),
            Column::Bytes(b) => put!(b, Some),
            Column::Date(b) => put!(b, |bytes| infinite_day(bytes).or_else(|| cell::day(bytes))),
            Column::Time(b) => put!(b, |bytes| long(bytes)?.checked_mul(1000)),
            Column::Moment(b, _) => put!(b, |bytes| infinite_moment(bytes).or_else(|| cell::moment(bytes))),
        }
        Some(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Bool(b) => Arc::new(b.finish()),
            Column::Int(b) => Arc::new(b.finish()),
            Column::Decimal(b, ..) => Arc::new(b.finish()),
            Column::Double(b) => Arc::new(b.finish()),
            Column::Text(b) => Arc::new(b.finish()),
            Column::Bytes(b) => Arc::new(b.finish()),
            Column::Date(b) => Arc::new(b.finish()),
            Column::Time(b) => Arc::new(b.finish()),
            Column::Moment(b, _) => Arc::new(b.finish()),
        }
    }
}

/// One row that came in.
#[derive(Debug)]
pub(crate) struct Tuple<'a> {
    bytes: &'a [u8],
    /// Where each cell stands; a length of -1 is NULL.
    cells: &'a [(usize, i32)],
}

impl Tuple<'_> {
    pub(crate) fn cell(&self, at: usize) -> Cell<'_> {
        let (start, length) = *self.cells.get(at)?;
        self.bytes.get(start..start + usize::try_from(length).ok()?)
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64> {
        let bytes = self.cell(at).and_then(|b| b.try_into().ok());
        bytes.map(i64::from_be_bytes).ok_or_else(|| Error::internal("a number that was read is none"))
    }
}

/// DuckDB's infinity for the one of a cell.
fn infinite_day(bytes: &[u8]) -> Option<i32> {
    match i32::from_be_bytes(bytes.try_into().ok()?) {
        i32::MAX => Some(i32::MAX),
        i32::MIN => Some(-i32::MAX),
        _ => None,
    }
}

fn infinite_moment(bytes: &[u8]) -> Option<i64> {
    match i64::from_be_bytes(bytes.try_into().ok()?) {
        i64::MAX => Some(i64::MAX),
        i64::MIN => Some(-i64::MAX),
        _ => None,
    }
}

/// The cells of a column's infinities, by row: none of our values, they are kept as they are.
fn infinities(array: &dyn Array) -> HashMap<usize, Vec<u8>> {
    let day = |value: i32| match value {
        i32::MAX => Some(i32::MAX.to_be_bytes().to_vec()),
        value if value == -i32::MAX => Some(i32::MIN.to_be_bytes().to_vec()),
        _ => None,
    };
    let moment = |value: i64| match value {
        i64::MAX => Some(i64::MAX.to_be_bytes().to_vec()),
        value if value == -i64::MAX => Some(i64::MIN.to_be_bytes().to_vec()),
        _ => None,
    };
    let all = |cell: &dyn Fn(usize) -> Option<Vec<u8>>| {
        let rows = (0..array.len()).filter(|row| array.is_valid(*row));
        rows.filter_map(|row| Some((row, cell(row)?))).collect()
    };
    if let Some(days) = array.as_primitive_opt::<Date32Type>() {
        all(&|row| day(days.value(row)))
    } else if let Some(moments) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        all(&|row| moment(moments.value(row)))
    } else if let Some(moments) = array.as_primitive_opt::<TimestampNanosecondType>() {
        all(&|row| moment(moments.value(row)))
    } else {
        HashMap::new()
    }
}

/// Every row of a batch as cells.
pub(crate) fn each(batch: &RecordBatch, take: &mut dyn FnMut(&Tuple<'_>) -> Result<()>) -> Result<()> {
    let types =
        batch.schema_ref().fields().iter().map(|f| codec::of_arrow(f.data_type())).collect::<Result<Vec<_>>>()?;
    let columns = cell::columns(batch, &types, &codec::HOLDS)?;
    let infinities: Vec<_> = batch.columns().iter().map(|array| infinities(array)).collect();
    let (mut bytes, mut cells) = (Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        bytes.clear();
        cells.clear();
        for (column, infinities) in columns.iter().zip(&infinities) {
            let start = bytes.len();
            match infinities.get(&row) {
                Some(infinity) => put(&mut bytes, Some(infinity)),
                None => column.put(row, &mut bytes)?,
            }
            let length = bytes.get(start..start + 4).and_then(|b| b.try_into().ok()).map_or(-1, i32::from_be_bytes);
            cells.push((start + 4, length));
        }
        take(&Tuple { bytes: &bytes, cells: &cells })?;
    }
    Ok(())
}
