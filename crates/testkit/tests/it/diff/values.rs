//! Values of every type: their hashes are the same wherever they are worked out.

use super::{Places, counts, told};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
        StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    },
    datatypes::{Field, Schema},
};
use serde_json::Value;
use std::{fs::File, path::Path, sync::Arc};

/// Enough that a segment is a small part of them.
const ROWS: i64 = 6_000;

/// Numbers in no order, the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn among<T: Clone>(&mut self, values: &[T]) -> T {
        values[(self.next() % values.len() as u64) as usize].clone()
    }

    /// A value, or in one of eight cases none.
    fn maybe<T>(&mut self, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
        (!self.next().is_multiple_of(8)).then(|| value(self))
    }
}

fn column<T>(random: &mut Random, value: impl Fn(&mut Random) -> T) -> Vec<Option<T>> {
    (0..ROWS).map(|_| random.maybe(&value)).collect()
}

/// What every database here holds, and what each writes in its own way.
fn values() -> RecordBatch {
    let mut random = Random(7);
    let r = &mut random;
    let texts = ["", " ", "a", "A", "a ", "-", "3:a-", "NULL", "\\N", "é\u{1f600}", "it's\n\"q\"", "0", "00"];
    let doubles =
        [0.0, -0.0, 0.1, 1.0, -1.5, 1e15, 3.7e20, -1e-5, 123_456_789.125, 1.0 / 3.0, 1e-4, 4e-9, 99_999_999_999_999.9];
    let decimals = |r: &mut Random, scale: i8| {
        let values = column(r, |r| {
            i128::from(r.next() as i64) % 10_i128.pow(1 + (r.next() % 18) as u32) * 10_i128.pow((r.next() % 3) as u32)
        });
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(30, scale).unwrap()) as ArrayRef
    };
    let moment = |r: &mut Random, from: i64, to: i64| {
        from + (r.next() % (to - from) as u64) as i64 / 10_i64.pow((r.next() % 7) as u32) * 10_i64.pow(0)
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|n| n * 37 - 50_000)))),
        ("truth", Arc::new(BooleanArray::from(column(r, |r| r.next().is_multiple_of(2))))),
        ("whole", Arc::new(Int64Array::from(column(r, |r| r.next() as i64 >> (r.next() % 64))))),
        ("money", decimals(r, 2)),
        ("small", decimals(r, 12)),
        ("large", decimals(r, 0)),
        ("real", Arc::new(Float64Array::from(column(r, |r| r.among(&doubles))))),
        ("words", Arc::new(StringArray::from(column(r, |r| r.among(&texts))))),
        ("raw", {
            let values = column(r, |r| (0..r.next() % 5).map(|_| r.next() as u8).collect::<Vec<u8>>());
            Arc::new(BinaryArray::from_iter(values))
        }),
        ("day", Arc::new(Date32Array::from(column(r, |r| -719_162 + (r.next() % 3_652_059) as i32)))),
        ("clock", Arc::new(Time64MicrosecondArray::from(column(r, |r| moment(r, 0, 86_400_000_000))))),
        (
            "local",
            Arc::new(TimestampMicrosecondArray::from(column(r, |r| {
                moment(r, -62_135_596_800_000_000, 253_402_300_799_999_999)
            }))),
        ),
        ("instant", {
            let values = column(r, |r| moment(r, 1_000_000, 2_147_483_647_999_999));
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        }),
    ];
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

fn write(path: &Path, batch: &RecordBatch) {
    let mut writer = parquet::arrow::ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Of a database that hashes by itself hardly any rows are fetched: those values that part the others.
fn fetched_little(report: &Value) -> bool {
    ["first", "second"].iter().all(|side| {
        let side = &report[side];
        let server =
            side["name"].as_str().unwrap().contains("://") && !side["name"].as_str().unwrap().starts_with("sqlite");
        let by_itself = side["hashed_by"] == "database";
        server == by_itself && side["rows"] == ROWS && (!server || side["transferred"].as_u64().unwrap() < 600)
    })
}

/// A file and three databases with one content. A hash that some database made of it in another way would have rows
/// fetched.
#[test]
fn one_content_has_one_hash_everywhere() {
    let places = Places::new();
    write(&places.path().join("values.parquet"), &values());
    for (_, url) in places.databases() {
        places.load("values.parquet", &url, "t", &["--load", "upsert", "--key", "id"]);
    }
    let tables: Vec<String> = places.databases().iter().map(|(_, url)| format!("{url}#t")).collect();
    let all: Vec<&str> = ["values.parquet"].into_iter().chain(tables.iter().map(String::as_str)).collect();
    for first in &all {
        for second in &all {
            let report = places.diff(0, first, second, &["--key", "id"]);
            assert_eq!(report["columns"].as_array().unwrap().len(), 13, "{report:#}");
            if !fetched_little(&report) {
                let one = |c: &str| places.diff(0, first, second, &["--key", "id", "--columns", c]);
                let columns = report["columns"].as_array().unwrap().iter().filter_map(|c| c.as_str());
                let wrong: Vec<&str> = columns.filter(|c| !fetched_little(&one(c))).collect();
                panic!("{first} and {second} have other hashes of {wrong:?}: {report:#}");
            }
        }
    }
    // By content, too, where no key says which row is which.
    for second in &all {
        let report = places.diff(0, all[0], second, &["--key", "words", "--columns", "whole,real"]);
        assert_eq!(counts(&report), [0; 3], "{report:#}");
    }
}

/// In every column in turn one value is another: that row is named, with that column.
#[test]
fn one_value_that_differs_is_found_in_every_column() {
    let places = Places::new();
    write(&places.path().join("values.parquet"), &values());
    for (_, url) in places.databases() {
        places.load("values.parquet", &url, "t", &["--load", "upsert", "--key", "id"]);
    }
    let names =
        ["truth", "whole", "money", "small", "large", "real", "words", "raw", "day", "clock", "local", "instant"];
    for (at, name) in names.into_iter().enumerate() {
        let id = at as i64 * 37 * 450 - 50_000;
        let change = |null: &str| {
            format!("UPDATE t SET \"{name}\" = CASE WHEN \"{name}\" IS NULL THEN {null} END WHERE id = {id}")
        };
        let literal = match name {
            "truth" => ["1", "true", "1"],
            "words" => ["'new'"; 3],
            "raw" => ["x'00'", "'\\x00'::bytea", "x'00'"],
            "day" => ["'2024-01-01'", "date '2024-01-01'", "'2024-01-01'"],
            "clock" => ["'10:00:00'", "time '10:00:00'", "'10:00:00'"],
            "local" => ["'2024-01-01 10:00:00'", "timestamp '2024-01-01 10:00:00'", "'2024-01-01 10:00:00'"],
            "instant" => {
                ["'2024-01-01 10:00:00+00:00'", "timestamptz '2024-01-01 10:00:00+00'", "'2024-01-01 10:00:00'"]
            }
            "money" | "small" | "large" => ["'1'", "1", "1"],
            _ => ["1"; 3],
        };
        places.sqlite(&change(literal[0]));
        let [sqlite, postgres, mysql] = places.databases().map(|(_, url)| format!("{url}#t"));
        let changed = |report: &Value| {
            assert_eq!(counts(report), [0, 0, 1], "{name}: {report:#}");
            assert!(told(report)[0].starts_with(&format!("different {id} {name} ")), "{report:#}");
        };
        changed(&places.diff(4, &sqlite, &postgres, &["--key", "id"]));
        changed(&places.diff(4, &mysql, &sqlite, &["--key", "id"]));
        places.postgres(&change(literal[1]));
        changed(&places.diff(4, &postgres, &mysql, &["--key", "id"]));
        places.mysql(&change(literal[2]));
        places.diff(0, &postgres, &mysql, &["--key", "id"]);
    }
}
