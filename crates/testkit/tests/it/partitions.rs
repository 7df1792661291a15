//! Columns out of the folders of a path, by the real program.

use super::backfill::{command, said, told};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use floodmark_testkit::scratch;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;

fn project(source: &str, rest: &str) -> TempDir {
    let folder = scratch().unwrap();
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ {source} }}\n    \
         destination: {{ url: 'sqlite:///out.db', table: t }}\n{rest}"
    );
    fs::write(folder.path().join("floodmark.yaml"), yaml).unwrap();
    folder
}

fn put(folder: &TempDir, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn call(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    told(command(folder, arguments).spawn().unwrap())
}

fn table(folder: &TempDir, columns: &str) -> Vec<String> {
    let db = rusqlite::Connection::open(folder.path().join("out.db")).unwrap();
    let mut rows = db.prepare(&format!("SELECT {columns} FROM t ORDER BY 1")).unwrap();
    rows.query_map([], |row| row.get::<_, String>(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn parquet(ids: &[i64]) -> Vec<u8> {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), None).unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    writer.write(&RecordBatch::try_new(schema, vec![ids]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

const ALL: &str = "id || '|' || coalesce(day, 'NULL') || '|' || coalesce(place, 'NULL') || '|' || typeof(day)";

#[test]
fn folders_are_columns_of_every_format() {
    let rest = "    load: upsert\n    key: id\n    columns: { day: { type: date } }\n";
    let folder = project("files: 'in/**/*', hive_partitions: true", rest);
    put(&folder, "in/day=2024-01-01/place=a%2Fb%20c/a.csv", "id\n1\n2\n");
    put(&folder, "in/day=2024-01-02/place=007/b.jsonl", "{\"id\":3}\n");
    put(&folder, "in/day=2024-01-03/place=__HIVE_DEFAULT_PARTITION__/c.parquet", parquet(&[4]));
    put(&folder, "in/day=2024-01-04/d.csv", "id,place\n5,here\n");
    put(&folder, "in/day=2024-01-05/place=x/e.csv", "id,place\n6,x\n");
    let (exit, run) = call(folder.path(), &["run"]);
    assert_eq!(exit, Some(0), "{run:#}");
    let rows = table(&folder, ALL);
    assert_eq!(
        rows,
        [
            "1|2024-01-01|a/b c|text",
            "2|2024-01-01|a/b c|text",
            "3|2024-01-02|007|text",
            "4|2024-01-03|NULL|text",
            "5|2024-01-04|here|text",
            "6|2024-01-05|x|text"
        ]
    );
    let (exit, run) = call(folder.path(), &["run"]);
    assert_eq!((exit, &run["status"]), (Some(0), &json!("nothing_new")), "{run:#}");
}

#[test]
fn without_being_asked_for_they_are_none_and_the_flag_asks() {
    let folder = scratch().unwrap();
    put(&folder, "day=1/a.csv", "id\n1\n");
    let load = |flags: &[&str], db: &str| {
        call(folder.path(), &[&["load", "*/*.csv", db, "--table", "t", "--load", "append"], flags].concat())
    };
    let (exit, run) = load(&[], "sqlite:///plain.db");
    assert_eq!(exit, Some(0), "{run:#}");
    assert!(rusqlite::Connection::open(folder.path().join("plain.db")).unwrap().prepare("SELECT day FROM t").is_err());
    let (exit, run) = load(&["--hive-partitions"], "sqlite:///out.db");
    assert_eq!(exit, Some(0), "{run:#}");
    assert_eq!(table(&folder, "id || '|' || day"), ["1|1"]);
}

#[test]
fn a_file_that_contradicts_its_path_and_a_value_of_another_type_are_told() {
    let rest = "    load: upsert\n    key: id\n    columns: { day: { type: date } }\n";
    for (path, bytes, message) in [
        ("in/day=2024-01-05/e.csv", "id,day\n6,2024-01-06\n", "another value than the file's path, \"2024-01-05\""),
        ("in/day=2024-01-05/e.csv", "id,day\n6,\n", "another value than the file's path"),
        ("in/day=someday/e.csv", "id\n6\n", "the path gives is not a date"),
        ("in/day=2024-01-05/day=2024-01-06/e.csv", "id\n6\n", "twice"),
    ] {
        let folder = project("files: 'in/**/*.csv', hive_partitions: true", rest);
        put(&folder, path, bytes);
        let (exit, run) = call(folder.path(), &["run"]);
        assert_eq!(exit, Some(1), "{run:#}");
        assert!(run["error"]["message"].as_str().unwrap().contains(message), "{run:#}");
        assert!(run.to_string().contains("e.csv"), "{run:#}");
    }
}

/// Rows that were set aside come back with the columns of their file's path.
#[test]
fn a_rejected_row_keeps_the_columns_of_its_path() {
    let rest = "    load: upsert\n    key: id\n    on_bad_row: reject\n    columns: { n: { not_null: true }, day: { type: date } }\n";
    let folder = project("files: 'in/**/*.csv', hive_partitions: true", rest);
    put(&folder, "in/day=2024-01-05/a.csv", "id,n\n1,1\n2,\n");
    let (exit, run) = call(folder.path(), &["run"]);
    assert_eq!((exit, &run["rows"]["rejected"]), (Some(0), &json!(1)), "{run:#}");
    let yaml = fs::read_to_string(folder.path().join("floodmark.yaml")).unwrap();
    fs::write(folder.path().join("floodmark.yaml"), yaml.replace("n: { not_null: true }, ", "")).unwrap();
    let (exit, replayed) = call(folder.path(), &["rejects", "replay", "t"]);
    assert_eq!(exit, Some(0), "{replayed:#}");
    assert_eq!(table(&folder, "id || '|' || day || '|' || coalesce(n, '')"), ["1|2024-01-05|1", "2|2024-01-05|"]);
}

/// Where the watermark is such a column, files behind it are not decoded, and counted all the same.
#[test]
fn files_behind_the_watermark_are_not_read() {
    let rest =
        "    load: append\n    watermark: { column: day, late_rows: skip }\n    columns: { day: { type: date } }\n";
    let folder = project("files: 'in/**/*.parquet', hive_partitions: true", rest);
    put(&folder, "in/day=2024-01-02/a.parquet", parquet(&[1, 2]));
    assert_eq!(call(folder.path(), &["run"]).0, Some(0));
    let mut damaged = parquet(&[3, 4, 5]);
    damaged[4..24].fill(0xff);
    put(&folder, "in/day=2024-01-01/late.parquet", &damaged);
    put(&folder, "in/day=2024-01-03/b.parquet", parquet(&[6]));
    let (exit, run, beside) = said(command(folder.path(), &["run"]).spawn().unwrap());
    assert_eq!(exit, Some(0), "{run:#}");
    let rows = &run["rows"];
    assert_eq!((&rows["read"], &rows["skipped"], &rows["inserted"]), (&json!(4), &json!(3), &json!(1)), "{run:#}");
    assert!(beside.contains("3 rows behind the watermark"), "{beside}");
    put(&folder, "in/day=2024-01-04/c.parquet", &damaged);
    assert_eq!(call(folder.path(), &["run"]).0, Some(1));
}
