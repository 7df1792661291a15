//! Row groups that lie before a range are not read, and counted all the same.

use crate::support::spec;
use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
    },
    datatypes::{Field, Schema as ArrowSchema},
};
use bytes::Bytes;
use floodmark_connect::{
    ReadPlan, Slice, Source, Stop,
    source::Range as Wanted,
    store::{Object, Store},
};
use floodmark_core::{Code, DataType, Result, Schema, Value, watermark::Bounds};
use floodmark_files::FileSourceReader;
use parquet::{
    arrow::ArrowWriter,
    file::properties::{EnabledStatistics, WriterProperties},
};
use std::{
    io::{self, Read},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Rows of a row group.
const GROUP: usize = 10;

/// The column `at`, and one that tells rows apart and takes most of the room.
fn parquet(at: ArrayRef, statistics: EnabledStatistics) -> Vec<u8> {
    let ids = (0..at.len()).map(|n| format!("row {n} {}", format!("{:x}", n * 7919).repeat(400)));
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(ids));
    let fields = vec![Field::new("id", ids.data_type().clone(), false), Field::new("at", at.data_type().clone(), true)];
    let schema = Arc::new(ArrowSchema::new(fields));
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).set_statistics_enabled(statistics).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![ids, at]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

fn source(bytes: Vec<u8>) -> (tempfile::TempDir, FileSourceReader) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.parquet"), bytes).unwrap();
    let source = FileSourceReader::new(spec(dir.path(), &["a.parquet"])).unwrap();
    (dir, source)
}

fn plan(source: &FileSourceReader) -> ReadPlan {
    let slices = source.slices(&Stop::default()).unwrap();
    let survey = source.survey(&slices, &Default::default(), &Stop::default()).unwrap();
    ReadPlan { schema: survey.schema, ..ReadPlan::default() }
}

fn from(value: Value) -> Wanted {
    let bounds = Bounds { from: Some(value), exclusive: false, until: None, before: None };
    Wanted { column: "at".into(), bounds, nulls: true }
}

/// Rows that come, with their numbers, and how many were left out.
fn read(source: &FileSourceReader, plan: &ReadPlan) -> (Vec<(u64, String)>, u64) {
    let (mut rows, mut left_out, mut next) = (Vec::new(), 0, plan.skip_rows + 1);
    for batch in source.read(&source.slices(&Stop::default()).unwrap()[0], plan, &Stop::default()).unwrap() {
        let batch = batch.unwrap();
        assert_eq!(batch.first_row, next);
        assert_eq!(batch.covered, batch.rows.num_rows() as u64 + batch.bad.len() as u64 + batch.left_out);
        for row in 0..batch.rows.num_rows() {
            let cell = |column: usize| {
                Value::from_array(batch.rows.column(column), row, plan.schema.columns[column].data_type).unwrap()
            };
            let id = cell(0).to_string();
            let id = id.split(' ').nth(1).unwrap().to_owned();
            rows.push((next + row as u64, format!("{id} {}", cell(1))));
        }
        next += batch.covered;
        left_out += batch.left_out;
    }
    (rows, left_out)
}

fn reach(source: &FileSourceReader, range: Wanted) -> u64 {
    read(source, &ReadPlan { range: Some(range), ..plan(source) }).1
}

#[test]
fn rows_of_a_range_are_those_there_would_be_with_everything_read() {
    const DAY: i64 = 86_400_000_000;
    let numbers = || (0..100i64).map(|n| (n / 3 * 7) % 130);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(numbers())),
        Arc::new(Int32Array::from_iter_values(numbers().map(|n| n as i32 - 50))),
        Arc::new(UInt64Array::from_iter_values(numbers().map(|n| u64::MAX - 130 + n as u64))),
        Arc::new(Date32Array::from_iter_values(numbers().map(|n| n as i32 - 60))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(numbers().map(|n| n * DAY + 5))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(numbers().map(|n| n * DAY - 1)).with_timezone("+02:00")),
        Arc::new(TimestampNanosecondArray::from_iter_values(numbers().map(|n| n * 1000 + 7))),
        Arc::new(
            Decimal128Array::from_iter_values(numbers().map(|n| i128::from(n) - 60))
                .with_precision_and_scale(20, 2)
                .unwrap(),
        ),
        // Longer than what statistics keep of a text.
        Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("é{n:03}{}", "x".repeat(100))))),
    ];
    for at in columns {
        let (_dir, source) = source(parquet(at, EnabledStatistics::Page));
        let plan = plan(&source);
        let data_type = plan.schema.columns[1].data_type;
        let all = read(&source, &plan).0;
        let loaded = loaded(&source);
        let mut most = 0;
        for row in (0..100).step_by(7) {
            let value = Value::from_array(loaded.as_ref(), row, data_type).unwrap();
            for (exclusive, skip_rows) in [(false, 0), (true, 0), (false, 1), (true, 10), (false, 25), (true, 200)] {
                let mut range = from(value.clone());
                range.bounds.exclusive = exclusive;
                let plan = ReadPlan { range: Some(range), skip_rows, ..plan.clone() };
                let (rows, left_out) = read(&source, &plan);
                assert_eq!(rows.len() as u64 + left_out, 100u64.saturating_sub(skip_rows), "{data_type}");
                let came: Vec<u64> = rows.iter().map(|(number, _)| *number).collect();
                for (number, text) in &all {
                    let cell = Value::from_array(loaded.as_ref(), *number as usize - 1, data_type).unwrap();
                    let order = cell.compare(&value).unwrap();
                    let wanted = if exclusive { order.is_gt() } else { order.is_ge() };
                    assert!(!wanted || *number <= skip_rows || came.contains(number), "{data_type}: {text}");
                }
                assert!(rows.iter().all(|row| all.contains(row)), "{data_type}");
                most = most.max(left_out);
            }
        }
        assert!(most >= 20, "{data_type}: only {most} rows were left out");
    }
}

/// The column in the type it is loaded with.
fn loaded(source: &FileSourceReader) -> ArrayRef {
    let plan = plan(source);
    let batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default()).unwrap();
    let arrays: Vec<ArrayRef> = batches.map(|batch| Arc::clone(batch.unwrap().rows.column(1))).collect();
    let arrays: Vec<&dyn arrow::array::Array> = arrays.iter().map(AsRef::as_ref).collect();
    arrow::compute::concat(&arrays).unwrap()
}

#[test]
fn what_statistics_do_not_tell_is_read() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let (_dir, plain) = source(parquet(Arc::clone(&numbers), EnabledStatistics::Chunk));
    assert_eq!(reach(&plain, from(Value::Int(50))), 50);
    let (_dir, untold) = source(parquet(numbers, EnabledStatistics::None));
    assert_eq!(reach(&untold, from(Value::Int(50))), 0);
    // Of NaN they say nothing.
    let doubles: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..100).map(|n| if n == 3 { f64::NAN } else { f64::from(n) })));
    let (_dir, doubles) = source(parquet(doubles, EnabledStatistics::Page));
    assert_eq!(reach(&doubles, from(Value::Double(50.0))), 0);
    // As text, 9 is behind 10.
    let mut as_text = ReadPlan { range: Some(from(Value::Text("50".into()))), ..plan(&plain) };
    as_text.schema.columns[1].data_type = DataType::Text;
    assert_eq!(read(&plain, &as_text).1, 0);
    // A value of another type than the column's, and a column that the file lacks.
    assert_eq!(reach(&plain, from(Value::Date(50))), 0);
    assert_eq!(reach(&plain, Wanted { column: "other".into(), ..from(Value::Int(50)) }), 0);
}

#[test]
fn rows_without_a_value_are_read_unless_they_do_not_count() {
    let some: ArrayRef = Arc::new((0..100).map(|n| (n != 7 && n / 10 != 2).then_some(n)).collect::<Int64Array>());
    let (_dir, source) = source(parquet(some, EnabledStatistics::Page));
    assert_eq!(reach(&source, from(Value::Int(50))), 30);
    // A row group with nothing else has no highest value.
    assert_eq!(reach(&source, Wanted { nulls: false, ..from(Value::Int(50)) }), 40);
}

#[test]
fn a_value_that_must_be_there_is_missed_wherever_its_row_lies() {
    let numbers: ArrayRef = Arc::new((0..100).map(|n| (n != 7).then_some(n)).collect::<Int64Array>());
    let (_dir, source) = source(parquet(numbers, EnabledStatistics::Page));
    let range = Wanted { nulls: false, ..from(Value::Int(50)) };
    let required = |name: &str| ReadPlan {
        range: Some(range.clone()),
        required: vec![(name.to_owned(), Code::NullKey)],
        ..plan(&source)
    };
    assert_eq!(read(&source, &required("id")).1, 50);
    assert_eq!(read(&source, &required("at")).1, 40);
    assert_eq!(read(&source, &required("nowhere")).1, 0);
}

/// A store of one object that counts what is asked of it.
struct Counting {
    bytes: Bytes,
    asked: Arc<AtomicU64>,
}

impl Store for Counting {
    fn find(&self, pattern: &str, _: &Stop) -> Result<Vec<Slice>> {
        let size = self.bytes.len() as u64;
        let tag = Some("1".to_owned());
        Ok(vec![Slice { name: pattern.to_owned(), path: pattern.into(), size, modified: 1, tag }])
    }

    fn open(&self, _: &Slice) -> Result<Arc<dyn Object>> {
        Ok(Arc::new(Counting { bytes: self.bytes.clone(), asked: Arc::clone(&self.asked) }))
    }
}

impl Object for Counting {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.asked.fetch_add(range.end - range.start, Ordering::Relaxed);
        Ok(self.bytes.slice(range.start as usize..range.end as usize))
    }

    fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        ranges.iter().map(|range| self.range(range.clone())).collect()
    }

    fn read_from(&self, start: u64) -> Box<dyn Read + Send + Sync> {
        // What a reader of a packed or text file would ask for at first.
        let end = self.size().min(start + 8192);
        Box::new(io::Cursor::new(self.range(start..end).unwrap()))
    }
}

#[test]
fn bytes_of_row_groups_that_are_left_out_are_not_asked_for() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let bytes = Bytes::from(parquet(numbers, EnabledStatistics::Chunk));
    let size = bytes.len() as u64;
    let asked = Arc::new(AtomicU64::new(0));
    let mut spec = spec(std::path::Path::new("/"), &["s3://b/a.parquet"]);
    spec.format = Some(floodmark_core::pipeline::FileFormat::Parquet);
    let store = Counting { bytes, asked: Arc::clone(&asked) };
    let source = FileSourceReader::new(spec).unwrap().with_store(Box::new(store));
    let all = plan(&source);
    let cost = |range: Option<Wanted>| {
        let before = asked.load(Ordering::Relaxed);
        let (rows, left_out) = read(&source, &ReadPlan { range, ..all.clone() });
        assert_eq!(rows.len() as u64 + left_out, 1000);
        asked.load(Ordering::Relaxed) - before
    };
    let whole = cost(None);
    let tenth = cost(Some(from(Value::Int(900))));
    let nothing = cost(Some(from(Value::Int(5000))));
    assert!(whole > size, "{whole} of {size}");
    assert!(nothing <= (64 << 10) + (16 << 10), "{nothing} for a footer");
    assert!(tenth - nothing < size / 8, "{tenth} of {size}, {nothing} of these for the footer");
}

#[test]
fn the_schema_of_rows_that_are_left_out_is_that_of_others() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20));
    let (_dir, source) = source(parquet(numbers, EnabledStatistics::Chunk));
    let plan = ReadPlan { range: Some(from(Value::Int(10))), ..plan(&source) };
    let batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default()).unwrap();
    let schemas: Vec<Schema> = batches
        .map(|batch| {
            let schema = batch.unwrap().rows.schema();
            let columns = schema.fields().iter();
            let column =
                |f: &Arc<Field>| floodmark_core::Column::new(f.name(), DataType::from_arrow(f.data_type()).unwrap());
            Schema { columns: columns.map(column).collect() }
        })
        .collect();
    assert_eq!(schemas, [plan.schema.clone(), plan.schema.clone()]);
}
