//! Rows, read by a thread of their own and handed over in batches.

use super::{Origin, columns::Columns, snapshot::Read};
use crate::{failure::unreadable, interrupt::Interrupt, link::Db};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
    compute::{concat_batches, filter_record_batch},
    datatypes::{
        DataType as ArrowType, Date32Type, Time64NanosecondType, TimestampMicrosecondType, TimestampNanosecondType,
    },
};
use floodmark_connect::{
    BadRow, Batch, ReadPlan, Stop,
    ahead::{self, Ahead, Taker},
    cells::{Cell, ColumnBuilder},
    source::Extent,
};
use floodmark_core::{
    Code, DataType, Error, Result, Schema, Value,
    error::{Place, shorten},
};

/// Rows of a batch.
const ROWS: usize = 16_384;
/// Bytes after which a batch ends early.
const BYTES: usize = 8 << 20;
/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// The statement that reads what a plan asks for, and the types in which it comes.
fn select(columns: &Columns, plan: &ReadPlan) -> Result<(String, Vec<DataType>)> {
    let natural = columns.schema();
    let types = plan.schema.columns.iter().map(|c| {
        let found = natural.columns.iter().find(|n| n.name.eq_ignore_ascii_case(&c.name));
        found.map(|n| n.data_type).ok_or_else(|| Error::internal(format!("the source has no column {:?}", c.name)))
    });
    let types = types.collect::<Result<Vec<_>>>()?;
    let mut list = plan.schema.names().iter().map(|name| columns.value(name)).collect::<Result<Vec<_>>>()?;
    if list.is_empty() {
        list.push("true".to_owned());
    }
    let mut sql = format!("SELECT {} FROM {}", list.join(", "), columns.from);
    if let Some(range) = &plan.range {
        if let Some(condition) = columns.condition(range) {
            sql.push_str(&format!(" WHERE {condition}"));
        }
        if plan.sorted {
            let planned = plan.schema.get(&range.column).map_or(DataType::Text, |c| c.data_type);
            sql.push_str(&format!(" ORDER BY {}", columns.order(&range.column, planned)?));
        }
    }
    Ok((sql, types))
}

/// The lowest and the highest value of a column; `None` where DuckDB does not order it as we do.
pub(super) fn extent(db: &Db, columns: &Columns, column: &str, data_type: DataType) -> Result<Option<Extent>> {
    if !columns.is_exact(column, data_type) {
        return Ok(None);
    }
    let value = columns.value(column)?;
    let sql = format!("SELECT min({value}), max({value}) FROM {}", columns.from);
    let mut rows = db.stream(&sql).map_err(unreadable)?;
    let mut extent = None;
    while let Some(batch) = rows.next().map_err(unreadable)? {
        let ends = [0, 1].map(|at| Value::from_array(batch.column(at), 0, data_type));
        let [low, high] = ends;
        extent = Some((low?, high?)).filter(|(low, _)| !low.is_null());
    }
    Ok(Some(extent))
}

/// Starts the reading thread, which waits for its turn.
pub(super) fn start(origin: Origin, mut read: Read, slice: String, plan: ReadPlan, stop: &Stop) -> Ahead {
    let whole = stop.clone();
    ahead::start(stop, move |taker| {
        let mut reader = Reader { slice, schema: plan.schema.clone(), taker, whole, first: 1 };
        reader.read(&origin, &mut read, &plan).map_err(|error| error.in_file(origin.path))
    })
}

struct Reader<'a> {
    slice: String,
    schema: Schema,
    taker: &'a Taker,
    /// Says when the run is to stop, and not only this read.
    whole: Stop,
    /// The number of the next row, from 1.
    first: u64,
}

impl Reader<'_> {
    fn read(&mut self, origin: &Origin, read: &mut Read, plan: &ReadPlan) -> Result<()> {
        let db = read.turn(&self.taker.stop)?;
        let (sql, types) = select(&origin.columns(db)?, plan)?;
        // A statement that is broken off takes its transaction along, which other reads may wait for.
        let stop = if db.instance.writes() { &self.whole } else { &self.taker.stop };
        let _watched = Interrupt::start(db.interrupts(), stop);
        let mut rows = db.stream(&sql).map_err(unreadable)?;
        let schema = rows.schema().clone();
        let (mut parts, mut count, mut bytes) = (Vec::new(), 0, 0);
        while let Some(part) = rows.next().map_err(unreadable)? {
            count += part.num_rows();
            bytes += part.get_array_memory_size();
            parts.push(part);
            if count >= ROWS || bytes >= BYTES {
                self.taker.stop.check()?;
                let whole = concat_batches(&schema, &std::mem::take(&mut parts))?;
                (count, bytes) = (0, 0);
                if !self.hand_over(&whole, &types)? {
                    return Ok(());
                }
            }
        }
        if count > 0 {
            self.hand_over(&concat_batches(&schema, &parts)?, &types)?;
        }
        Ok(())
    }

    /// `false` where nobody takes it.
    fn hand_over(&mut self, whole: &RecordBatch, types: &[DataType]) -> Result<bool> {
        let covered = whole.num_rows();
        let mut good = vec![true; covered];
        let mut misfits: Vec<(usize, usize)> = Vec::new();
        let mut arrays = Vec::with_capacity(types.len());
        for (at, (column, natural)) in self.schema.columns.iter().zip(types).enumerate() {
            let array = whole.column(at);
            let mut misfit = |row: usize| {
                if std::mem::replace(&mut good[row], false) {
                    misfits.push((row, at));
                }
            };
            beyond(array).into_iter().for_each(&mut misfit);
            arrays.push(match column.data_type == *natural {
                true => array.clone(),
                false => converted(array, *natural, column.data_type, &mut misfit)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(covered));
        let mut rows = RecordBatch::try_new_with_options(self.schema.to_arrow(), arrays, &options)?;
        let mut bad = Vec::new();
        if !misfits.is_empty() {
            misfits.sort_unstable();
            for (row, at) in misfits {
                bad.push(self.bad(whole, types, row, at)?);
            }
            rows = filter_record_batch(&rows, &BooleanArray::from(good))?;
        }
        let batch = Batch { rows, bad, first_row: self.first, covered: covered as u64, left_out: 0 };
        self.first += covered as u64;
        Ok(self.taker.give(batch))
    }

    fn bad(&self, whole: &RecordBatch, types: &[DataType], row: usize, at: usize) -> Result<BadRow> {
        let number = self.first + row as u64;
        let column = &self.schema.columns[at];
        let mut object = serde_json::Map::new();
        for (n, column) in self.schema.columns.iter().enumerate() {
            let value = shown(whole.column(n), row, types[n])?;
            object.insert(column.name.clone(), value.map_or(serde_json::Value::Null, Into::into));
        }
        let value = shown(whole.column(at), row, types[at])?.unwrap_or_default();
        let nowhere = !beyond(&whole.column(at).slice(row, 1)).is_empty();
        let error = Error::new(
            Code::BadValue,
            match nowhere {
                true => format!("{value} is no {} that another place could hold", types[at]),
                false => format!("a value is not a {}", column.data_type),
            },
        )
        .at(Place {
            file: Some(self.slice.clone().into()),
            row: Some(number),
            column: Some(column.name.clone()),
            value: Some(shorten(&value)),
            ..Place::default()
        })
        .help(match nowhere {
            true => {
                format!("correct it there, or say with `query: SELECT … CASE … END AS {}` what it means", column.name)
            }
            false => {
                format!("give the column a type that holds it: `columns: {{{}: {{type: text}}}}`", column.name)
            }
        })
        .help("or keep such rows aside: `on_bad_row: reject`");
        Ok(BadRow { row: number, line: None, error, raw: serde_json::Value::Object(object).to_string() })
    }
}

/// Rows with what is no day, moment or time of ours: an infinity, or the 24th hour.
fn beyond(array: &ArrayRef) -> Vec<usize> {
    let is: Box<dyn Fn(usize) -> bool> = match array.data_type() {
        ArrowType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            Box::new(move |row| days.value(row).unsigned_abs() >= i32::MAX.unsigned_abs())
        }
        ArrowType::Time64(_) => {
            let times = array.as_primitive::<Time64NanosecondType>();
            Box::new(move |row| times.value(row) >= DAY)
        }
        ArrowType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, _) => {
            let moments = array.as_primitive::<TimestampNanosecondType>();
            Box::new(move |row| moments.value(row).unsigned_abs() >= i64::MAX.unsigned_abs())
        }
        ArrowType::Timestamp(..) => {
            let moments = array.as_primitive::<TimestampMicrosecondType>();
            Box::new(move |row| moments.value(row).unsigned_abs() >= i64::MAX.unsigned_abs())
        }
        _ => return Vec::new(),
    };
    (0..array.len()).filter(|row| array.is_valid(*row) && is(*row)).collect()
}

/// The column in another type; what does not fit exactly is a misfit.
fn converted(
    array: &ArrayRef,
    natural: DataType,
    planned: DataType,
    misfit: &mut dyn FnMut(usize),
) -> Result<ArrayRef> {
    let mut out = ColumnBuilder::new(planned)?;
    for row in 0..array.len() {
        let value = Value::from_array(array, row, natural)?;
        let text = value.to_string();
        let cell = match &value {
            Value::Null => Cell::Null,
            Value::Int(v) => Cell::Int(*v),
            Value::Double(v) => Cell::Real(*v),
            Value::Bytes(v) => Cell::Bytes(v),
            _ => Cell::Text(text.as_bytes()),
        };
        if !out.append(cell) {
            out.append_null();
            misfit(row);
        }
    }
    Ok(out.finish())
}

/// A value for a person's eyes; `None` for NULL.
fn shown(array: &ArrayRef, row: usize, natural: DataType) -> Result<Option<String>> {
    let value = Value::from_array(array, row, natural)?;
    Ok(match value {
        Value::Null => None,
        _ if beyond(&array.slice(row, 1)).is_empty() => Some(value.to_string()),
        Value::Time(_) => Some("24:00:00".to_owned()),
        Value::Date(..0) | Value::Timestamp(..0) | Value::TimestampTz(..0) => Some("-infinity".to_owned()),
        _ => Some("infinity".to_owned()),
    })
}
