//! Values as they come back, and what the log says of them.

use super::{Folder, append, columns, contents, rows, written};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
        StringArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    },
    compute::{SortColumn, lexsort_to_indices, take_record_batch},
};
use floodmark_core::{Code, DataType, Schema, Value};
use floodmark_lake::{Change, DataFile, Layout, Outcome, Table};
use std::sync::Arc;

const ALL: [(&str, DataType); 13] = [
    ("id", DataType::BigInt),
    ("bool", DataType::Bool),
    ("decimal", DataType::Decimal(38, 9)),
    ("double", DataType::Double),
    ("text", DataType::Text),
    ("bytes", DataType::Bytes),
    ("date", DataType::Date),
    ("time", DataType::Time),
    ("ts", DataType::Timestamp { nanos: false }),
    ("tz", DataType::TimestampTz { nanos: false }),
    ("ts_ns", DataType::Timestamp { nanos: true }),
    ("tz_ns", DataType::TimestampTz { nanos: true }),
    ("json", DataType::Json),
];

fn everything() -> RecordBatch {
    let zoned = |array: TimestampMicrosecondArray| array.with_timezone("UTC");
    let decimals = Decimal128Array::from(vec![Some(i128::pow(10, 38) - 1), Some(-1), None]);
    let texts = vec![Some("\u{10ffff}".repeat(40)), Some("a'\"\\/%\u{0}\n".to_owned()), None];
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MIN), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(decimals.with_precision_and_scale(38, 9).unwrap()),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-0.0), Some(f64::NEG_INFINITY)])),
        Arc::new(StringArray::from(texts)),
        Arc::new(BinaryArray::from(vec![Some(&[0u8, 255][..]), Some(b""), None])),
        Arc::new(Date32Array::from(vec![Some(2_932_896), Some(-719_162), None])),
        Arc::new(Time64NanosecondArray::from(vec![Some(86_399_999_999_999), Some(0), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            Some(253_402_300_799_999_999),
            Some(-62_135_596_800_000_000),
            None,
        ])),
        Arc::new(zoned(TimestampMicrosecondArray::from(vec![Some(1), Some(-1), None]))),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1_000), Some(-1_000), None])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1_000), Some(-1_000), None]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec![Some("{\"a\":[1.0]}"), Some("[]"), None])),
    ];
    RecordBatch::try_new(Schema::new(ALL).to_arrow(), arrays).unwrap()
}

fn create(table: &Table, schema: &Schema, partition_by: &[String], files: &[DataFile]) {
    let change = Change { schema: Some(schema), partition_by, ..append(files, "floodmark:maker", 1) };
    assert_eq!(table.commit(None, &change).unwrap(), Outcome::Done(0));
}

#[test]
fn every_type_comes_back_as_it_was() {
    Folder::both(|folder| every_type_comes_back_as_it_was_in(&folder));
}

fn every_type_comes_back_as_it_was_in(folder: &Folder) {
    let table = folder.table();
    let schema = Schema::new(ALL);
    create(&table, &schema, &[], &written(&table, Layout::new(schema.clone()), &everything()));
    let snapshot = table.snapshot().unwrap().unwrap();
    assert_eq!(snapshot.schema, schema);
    // NaN is not equal to itself.
    assert_eq!(format!("{:?}", contents(&table, &snapshot)), format!("{:?}", everything()));
    if folder.is_delta() {
        let log = std::fs::read_to_string(folder.path().join("_delta_log/00000000000000000000.json")).unwrap();
        assert!(log.contains("\"minReaderVersion\":3") && log.contains("timestampNtz"), "{log}");
    }
}

#[test]
fn a_table_without_such_a_column_asks_for_no_feature() {
    let folder = Folder::new();
    let table = folder.table();
    create(&table, &columns(), &[], &[]);
    let log = std::fs::read_to_string(folder.path().join("_delta_log/00000000000000000000.json")).unwrap();
    assert!(log.contains("\"minReaderVersion\":1,\"minWriterVersion\":2}"), "{log}");
    let schema =
        Schema::new([("id", DataType::BigInt), ("name", DataType::Text), ("at", DataType::Timestamp { nanos: false })]);
    let now = table.snapshot().unwrap().unwrap();
    table.commit(Some(&now), &Change { schema: Some(&schema), ..append(&[], "floodmark:x", 1) }).unwrap();
    let log = std::fs::read_to_string(folder.path().join("_delta_log/00000000000000000001.json")).unwrap();
    assert!(log.contains("[\"appendOnly\",\"invariants\",\"timestampNtz\"]"), "{log}");
    assert_eq!(table.snapshot().unwrap().unwrap().schema, schema);
}

/// What a writer knows of a file is what a reader of the log knows, and no value lies outside of it.
#[test]
fn bounds_hold_all_values() {
    Folder::both(|folder| bounds_hold_all_values_in(&folder));
}

fn bounds_hold_all_values_in(folder: &Folder) {
    let table = folder.table();
    let schema = Schema::new(ALL);
    let files = written(&table, Layout::new(schema.clone()), &everything());
    create(&table, &schema, &[], &files);
    let snapshot = table.snapshot().unwrap().unwrap();
    let read = snapshot.files().unwrap().iter().map(|file| (file, true));
    for (file, read) in files.iter().map(|file| (file, false)).chain(read) {
        assert_eq!(file.rows, 3);
        for (i, column) in schema.columns.iter().enumerate() {
            let bounds = &file.columns[&column.name];
            let values: Vec<Value> = (0..3)
                .map(|row| Value::from_array(everything().column(i), row, column.data_type).unwrap())
                .filter(|value| !value.is_null())
                .collect();
            assert_eq!(bounds.nulls, Some(3 - values.len() as u64), "{}", column.name);
            for value in &values {
                let (min, max) = (bounds.min.as_ref(), bounds.max.as_ref());
                assert!(
                    min.is_none_or(|min| min.compare(value).unwrap().is_le()),
                    "{}: {min:?} {value:?}",
                    column.name
                );
                assert!(
                    max.is_none_or(|max| max.compare(value).unwrap().is_ge()),
                    "{}: {max:?} {value:?}",
                    column.name
                );
            }
            let known = bounds.min.is_some() && bounds.max.is_some();
            let unordered = ["bytes", "json", "double"].contains(&column.name.as_str());
            // In a log they may be another writer's, who has rounded them.
            let rounded = read && column.name == "decimal";
            assert_eq!(known, !unordered && !rounded, "{}: {bounds:?}", column.name);
        }
    }
}

#[test]
fn digits_that_delta_has_not_are_told() {
    let folder = Folder::new();
    let table = folder.table();
    let schema = Schema::new([("at", DataType::Timestamp { nanos: true })]);
    let array: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001]));
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![array]).unwrap();
    let mut writer = floodmark_lake::Writer::new(&table, Layout::new(schema)).unwrap();
    writer.write(&batch).unwrap();
    assert_eq!(writer.finish().unwrap_err().code(), Code::Unstorable);
}

/// Texts that mean something to file systems, URLs and stores.
const HOSTILE: [&str; 12] =
    ["a/b", "a%2Fb", "..", ".", "ä ö", "x=y", "a\\b", "'\"", "\u{1}\n\t", "#?&+", "__HIVE_DEFAULT_PARTITION__", "CON"];

#[test]
fn hostile_values_are_partitions_like_others() {
    Folder::both(|folder| hostile_values_are_partitions_like_others_in(&folder));
}

fn hostile_values_are_partitions_like_others_in(folder: &Folder) {
    let table = folder.table();
    let schema =
        Schema::new([("k/%", DataType::Text), ("d", DataType::Timestamp { nanos: false }), ("id", DataType::BigInt)]);
    let partition_by = vec!["k/%".to_owned(), "d".to_owned()];
    let texts: Vec<Option<&str>> = HOSTILE.iter().map(|text| Some(*text)).chain([None]).collect();
    let count = i64::try_from(texts.len()).unwrap();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(texts)),
        Arc::new(TimestampMicrosecondArray::from_iter((0..count).map(|n| (n != 3).then_some(n * 1_000_001)))),
        Arc::new(Int64Array::from_iter_values(0..count)),
    ];
    let batch = RecordBatch::try_new(schema.to_arrow(), arrays).unwrap();
    let layout = Layout { partition_by: partition_by.clone(), numbered: Some(100), ..Layout::new(schema.clone()) };
    let files = written(&table, layout, &batch);
    assert_eq!(files.len(), batch.num_rows());
    create(&table, &schema, &partition_by, &files);
    let snapshot = table.snapshot().unwrap().unwrap();
    let sorted = |batch: &RecordBatch| {
        let by = SortColumn { values: batch.column(2).clone(), options: None };
        take_record_batch(batch, &lexsort_to_indices(&[by], None).unwrap()).unwrap()
    };
    assert_eq!(sorted(&contents(&table, &snapshot)), batch);
    let mut numbers: Vec<(i64, i64)> =
        snapshot.files().unwrap().iter().flat_map(|f| f.numbers.clone().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (100..100 + count).map(|n| (n, n)).collect::<Vec<_>>());
    // And each of them can be taken out by what the log says of it.
    let all: Vec<&DataFile> = snapshot.files().unwrap().iter().collect();
    let change = Change { remove: &all, ..append(&[], "floodmark:x", 1) };
    table.commit(Some(&snapshot), &change).unwrap();
    assert_eq!(table.snapshot().unwrap().unwrap().files().unwrap(), []);
}

#[test]
fn an_empty_text_is_no_partition_and_some_names_are_no_columns() {
    let folder = Folder::new();
    let table = folder.table();
    let layout = Layout { partition_by: vec!["name".to_owned()], ..Layout::new(columns()) };
    let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec![""]))];
    let batch = RecordBatch::try_new(columns().to_arrow(), arrays).unwrap();
    let mut writer = floodmark_lake::Writer::new(&table, layout).unwrap();
    writer.write(&batch).unwrap();
    assert_eq!(writer.finish().unwrap_err().code(), Code::Unstorable);
    for names in [["a", "A"], ["a", ""]] {
        let schema = Schema::new(names.map(|name| (name, DataType::Text)));
        let change = Change { schema: Some(&schema), ..append(&[], "floodmark:maker", 1) };
        assert_eq!(table.commit(None, &change).unwrap_err().code(), Code::TableShape, "{names:?}");
    }
}

#[test]
fn a_file_ends_where_it_is_large_enough_and_another_follows() {
    let folder = Folder::new();
    let table = folder.table();
    let layout = Layout { target: 20_000, numbered: Some(1), ..Layout::new(columns()) };
    let mut writer = floodmark_lake::Writer::new(&table, layout).unwrap();
    for n in 0..20 {
        writer.write(&rows(n * 1000..n * 1000 + 1000)).unwrap();
    }
    let files = writer.finish().unwrap();
    assert!(files.len() > 3, "{}", files.len());
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 20_000);
    let mut next = 1;
    for file in &files {
        let last = next + i64::try_from(file.rows).unwrap() - 1;
        assert_eq!(file.numbers, Some(vec![(next, last)]));
        next = last + 1;
    }
    create(&table, &columns(), &[], &files);
    assert_eq!(super::ids(&table).len(), 20_000);
}
