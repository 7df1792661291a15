//! Values of every type over every pair of databases, there and back again: a table's fingerprint is that of its copy.

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
        StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    },
    datatypes::{Field, Schema},
};
use floodmark_testkit::{Mysql, Postgres, floodmark, scratch};
use std::{fs::File, path::Path, process::Command, sync::Arc};

/// The largest decimal there is.
const MOST: i128 = 10i128.pow(38) - 1;

/// From 0001-01-01 to 9999-12-31, in days and in microseconds.
const DAYS: [i32; 2] = [-719_162, 2_932_896];
const MICROS: [i64; 2] = [-62_135_596_800_000_000, 253_402_300_799_999_999];

/// What MySQL's `timestamp` holds of instants: from one second after the epoch until 2038.
const INSTANTS: [i64; 2] = [1_000_000, 2_147_483_647_999_999];

/// Rows whose values are at the edges of what all databases here hold; the last of them all NULL.
fn values() -> RecordBatch {
    let decimal = |values: [i128; 4], scale| {
        let array = Decimal128Array::from_iter(values.map(Some).into_iter().chain([None]));
        Arc::new(array.with_precision_and_scale(38, scale).unwrap()) as ArrayRef
    };
    let moments = |[first, last]: [i64; 2]| {
        TimestampMicrosecondArray::from(vec![
            Some(first),
            Some(last),
            Some(1_709_164_800_000_001),
            Some(last - 1),
            None,
        ])
    };
    let every_byte: Vec<u8> = (0..=255).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), Some(false), None]))),
        ("whole", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(-1), Some(0), None]))),
        ("money", decimal([MOST, -MOST, 1, 0], 2)),
        ("small", decimal([MOST, -MOST, 1, 0], 30)),
        ("large", decimal([MOST, -MOST, 1, 0], 0)),
        ("real", {
            let values = vec![Some(f64::MAX), Some(f64::MIN_POSITIVE), Some(0.1 + 0.2), Some(-1.0 / 3.0), None];
            Arc::new(Float64Array::from(values))
        }),
        ("words", {
            let values = ["", " a\tb\r\n\\N \\ 'q' \"d\" `b` ", "h\u{e9}\u{1f600}\u{fffd}", "NULL"];
            Arc::new(StringArray::from_iter(values.map(Some).into_iter().chain([None])))
        }),
        ("raw", {
            let values = vec![Some(every_byte.as_slice()), Some(b""), Some(b"\0"), Some(b"\\N\n\t"), None];
            Arc::new(BinaryArray::from(values))
        }),
        ("day", Arc::new(Date32Array::from(vec![Some(DAYS[0]), Some(DAYS[1]), Some(-1), Some(0), None]))),
        ("clock", {
            let values = vec![Some(0), Some(86_399_999_999), Some(1), Some(43_200_000_000), None];
            Arc::new(Time64MicrosecondArray::from(values))
        }),
        ("local", Arc::new(moments(MICROS))),
        ("instant", Arc::new(moments(INSTANTS).with_timezone("UTC"))),
    ];
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut program = Command::new(floodmark().unwrap());
    let output = program.current_dir(folder).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What MySQL calls boolean is a number of one digit, which may be a 2: a column of truths has to be called one.
fn copy(folder: &Path, from: &str, table: &str, to: &str, into: &str) {
    let source = if table.is_empty() { vec![] } else { vec!["--source-table", table] };
    let load = ["load", from, to, "--table", into, "--load", "upsert", "--key", "id", "--column", "truth=boolean"];
    run(folder, &[&load[..], &source].concat());
}

#[test]
fn every_type_goes_to_every_database_and_back() {
    let folder = scratch().unwrap();
    let path = folder.path();
    let batch = values();
    let file = File::create(path.join("values.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let postgres = Postgres::empty().unwrap();
    let mysql = Mysql::empty().unwrap();
    let databases = [
        ("sqlite", "sqlite:///values.db".to_owned()),
        #[cfg(feature = "duckdb")]
        ("duckdb", "duckdb:///values.duckdb".to_owned()),
        ("postgres", postgres.url().to_owned()),
        ("mysql", mysql.url().to_owned()),
    ];
    let print = |url: &str, table: &str| run(path, &["fingerprint", url, table]);
    for (from, source) in &databases {
        copy(path, "values.parquet", "", source, "t");
        let first = print(source, "t");
        for (to, destination) in &databases {
            let (there, back) = (format!("there_{from}_{to}"), format!("back_{from}_{to}"));
            copy(path, source, "t", destination, &there);
            copy(path, destination, &there, source, &back);
            assert_eq!(print(destination, &there), first, "{from} → {to}");
            assert_eq!(print(source, &back), first, "{from} → {to} → {from}");
        }
    }
    let prints: Vec<String> = databases.iter().map(|(_, url)| print(url, "t")).collect();
    assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
}
