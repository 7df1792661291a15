//! Tables of which other programs read what is written here, and tables that they made: the `deltalake` package, and
//! DuckDB's extension for Delta.

use super::{Folder, append, columns, contents, ids, made, rows, written};
use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{Decimal128Type, Float64Type, Int64Type},
};
use floodmark_core::{Code, DataType, Schema, Value};
use floodmark_lake::{Change, DataFile, Layout, Outcome, Reads};
use std::{path::Path, process::Command, sync::Arc};

/// What the script prints.
fn ask(command: &str, folder: &Path, more: &[&str]) -> serde_json::Value {
    let python = std::env::var("FLOODMARK_TEST_DELTA")
        .expect("FLOODMARK_TEST_DELTA is not set: `cargo xtask services up` says what to set");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/kept.py");
    let out = Command::new(python).arg(script).arg(command).arg(folder).args(more).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_default()
}

#[test]
fn others_read_what_is_written_here() {
    let folder = Folder::new();
    let table = folder.table();
    let schema = Schema::new([
        ("id", DataType::BigInt),
        ("day", DataType::Date),
        ("a b,=;(x)", DataType::Text),
        ("time", DataType::Time),
        ("at", DataType::Timestamp { nanos: false }),
        ("price", DataType::Decimal(38, 2)),
    ]);
    let partition_by = vec!["day".to_owned(), "a b,=;(x)".to_owned()];
    let texts = ["x/y", "ä %25", "'", "=", " ", "a:b", "#?&+", "..", "x"];
    let count = i64::try_from(texts.len()).unwrap();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..count)),
        Arc::new(arrow::array::Date32Array::from_iter_values(0..9)),
        Arc::new(StringArray::from_iter_values(texts)),
        Arc::new(arrow::array::Time64NanosecondArray::from_iter_values((0..count).map(|n| n * 1_000_000_007))),
        Arc::new(arrow::array::TimestampMicrosecondArray::from_iter_values((0..count).map(|n| n * 1_000_000_007))),
        Arc::new(
            arrow::array::Decimal128Array::from_iter_values((0..count).map(i128::from))
                .with_precision_and_scale(38, 2)
                .unwrap(),
        ),
    ];
    let batch = RecordBatch::try_new(schema.to_arrow(), arrays).unwrap();
    let layout = Layout { partition_by: partition_by.clone(), numbered: Some(0), ..Layout::new(schema.clone()) };
    let files = written(&table, layout.clone(), &batch);
    let change = Change { schema: Some(&schema), partition_by: &partition_by, ..append(&files, "floodmark:maker", 7) };
    table.commit(None, &change).unwrap();
    let read = ask("read", &folder.path(), &[]);
    assert_eq!(read["names"], serde_json::json!(schema.names()));
    let all: Vec<i64> = (0..count).collect();
    assert_eq!((&read["ids"], &read["duck_ids"]), (&serde_json::json!(all), &serde_json::json!(all)), "{read}");
    assert_eq!((read["transaction"].as_i64(), &read["history"][0]), (Some(7), &serde_json::json!("WRITE")));
    for (filter, found) in
        [("id >= 4", 5), ("price = 0.03", 1), ("\"time\" > '00:00:05'", 4), ("\"at\" < '1970-01-01 00:16:00'", 1)]
    {
        assert_eq!(ask("filter", &folder.path(), &[filter]), found, "{filter}");
    }
    // What is removed here is gone there.
    let now = table.snapshot().unwrap().unwrap();
    let gone: Vec<&DataFile> = now.files().unwrap().iter().filter(|file| file.numbers != Some(vec![(8, 8)])).collect();
    assert_eq!(gone.len(), 8);
    let change = Change { remove: &gone, reads: Reads::Table, ..append(&[], "floodmark:maker", 8) };
    assert_eq!(table.commit(Some(&now), &change).unwrap(), Outcome::Done(1));
    let read = ask("read", &folder.path(), &[]);
    assert_eq!((&read["ids"], &read["duck_ids"]), (&serde_json::json!([8]), &serde_json::json!([8])), "{read}");
}

#[test]
fn a_log_with_checkpoints_is_read_by_others() {
    let folder = Folder::new();
    let table = folder.table();
    let mut now = made(&table, &rows(0..1));
    for n in 1..=203 {
        let layout = Layout { numbered: Some(n), ..Layout::new(columns()) };
        let files = written(&table, layout, &rows(n..n + 1));
        assert_eq!(
            table.commit(Some(&now), &append(&files, "floodmark:maker", n + 1)).unwrap(),
            Outcome::Done(n as u64)
        );
        now = now.refresh().unwrap();
    }
    assert!(folder.path().join("_delta_log/00000000000000000200.checkpoint.parquet").exists());
    // Only what lies behind the checkpoint is left to be read as entries.
    for version in 0..200 {
        std::fs::remove_file(folder.path().join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    let all: Vec<i64> = (0..=203).collect();
    assert_eq!(ids(&table), all);
    let read = table.snapshot().unwrap().unwrap();
    assert_eq!(read.transaction("floodmark:maker").unwrap(), Some(204));
    // Numbers and bounds have come through the checkpoint.
    let mut numbers: Vec<i64> =
        read.files().unwrap().iter().filter_map(|file| Some(file.numbers.as_ref()?[0].0)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=203).collect::<Vec<_>>());
    assert!(read.files().unwrap().iter().all(|file| file.columns["id"].min.is_some()));
    let read = ask("read", &folder.path(), &[]);
    assert_eq!((&read["ids"], &read["duck_ids"]), (&serde_json::json!(all), &serde_json::json!(all)));
}

#[test]
fn what_others_wrote_is_read_here() {
    for more in [&[][..], &["checkpoint"]] {
        let folder = Folder::new();
        let table = folder.table();
        ask("make", &folder.path(), more);
        let snapshot = table.snapshot().unwrap().unwrap();
        let types: Vec<DataType> = snapshot.schema.columns.iter().map(|column| column.data_type).collect();
        use DataType::*;
        let us = false;
        assert_eq!(
            types,
            [BigInt, BigInt, Double, Decimal(10, 2), Timestamp { nanos: us }, TimestampTz { nanos: us }, Text]
        );
        assert_eq!(snapshot.left_out(), [("list", "array".to_owned())]);
        assert_eq!(snapshot.column("list").unwrap_err().code(), Code::TableShape);
        assert_eq!(snapshot.partition_by, ["part"]);
        let read = contents(&table, &snapshot);
        let mut found: Vec<_> = (0..read.num_rows())
            .map(|row| {
                let id = read.column(0).as_primitive::<Int64Type>().value(row);
                let float = read.column(2);
                let float = float.is_valid(row).then(|| float.as_primitive::<Float64Type>().value(row));
                let amount = read.column(3);
                let amount = amount.is_valid(row).then(|| amount.as_primitive::<Decimal128Type>().value(row));
                let part = Value::from_array(read.column(6), row, Text).unwrap().to_string();
                (id, float.map(f64::to_bits), amount, part)
            })
            .collect();
        found.sort();
        let first = (1, Some(f64::from(0.1f32).to_bits()), Some(150), "a/b %".to_owned());
        let third = (3, None, None, "NULL".to_owned());
        assert_eq!(found, [first.clone(), first, third.clone(), third]);
        let bounds = snapshot.files().unwrap().iter().find_map(|file| file.columns.get("float")?.max.clone());
        assert_eq!(bounds, Some(Value::Double(f64::from(0.1f32))));
        let error = snapshot.check_writable(false).unwrap_err();
        assert!(error.message().contains("\"list\" is of type array"), "{error:?}");
    }
}

#[test]
fn others_append_beside_and_are_seen() {
    let folder = Folder::new();
    let table = folder.table();
    let before = made(&table, &rows(0..3));
    ask("append", &folder.path(), &[]);
    let files = written(&table, Layout::new(columns()), &rows(3..4));
    assert_eq!(table.commit(Some(&before), &append(&files, "floodmark:maker", 2)).unwrap(), Outcome::Done(2));
    assert_eq!(ids(&table), [0, 1, 2, 3, 1000]);
    let merge = Change { reads: Reads::Table, ..append(&files, "floodmark:other", 1) };
    let Outcome::Changed(what) = table.commit(Some(&before), &merge).unwrap() else { panic!("committed") };
    assert!(what.contains("delta-rs"), "{what}");
}

#[test]
fn what_a_table_asks_for_and_is_not_done_is_refused_by_name() {
    let refused = |properties: &[&str], removes: bool, word: &str| {
        let folder = Folder::new();
        let table = folder.table();
        let first = made(&table, &rows(0..3));
        let command = if properties.is_empty() { "constraint" } else { "properties" };
        ask(command, &folder.path(), properties);
        let now = first.refresh().unwrap();
        let all: Vec<&DataFile> = now.files().unwrap().iter().collect();
        let remove = if removes { &all[..] } else { &[] };
        let error = table.commit(Some(&now), &Change { remove, ..append(&[], "floodmark:x", 1) }).unwrap_err();
        assert_eq!(error.code(), Code::TableShape, "{error:?}");
        assert!(error.message().contains(word), "{error:?}");
        assert_eq!(error.data_state(), Some("nothing was written"));
    };
    refused(&["delta.appendOnly=true"], true, "new rows alone");
    refused(&["delta.enableChangeDataFeed=true"], true, "feed of its changes");
    refused(&["delta.setTransactionRetentionDuration=interval 1 days"], false, "forgets transactions");
    refused(&[], false, "CHECK constraints");
}
