//! A run that passes over row groups behind the watermark is the run that reads them: with the same counts, messages and table.
//! A file without statistics is read whole, so its runs say what those of the same rows with statistics must say.

use super::backfill::{command, said, told};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use floodmark_testkit::scratch;
use parquet::{
    arrow::ArrowWriter,
    file::properties::{EnabledStatistics, WriterProperties},
};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc};

type Row = (i64, Option<i64>);

fn write(path: &Path, rows: &[Row], statistics: bool) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let at: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
    let texts = rows.iter().map(|row| format!("{row:?}"));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    let fields = vec![
        field("id", DataType::Int64, false),
        field("changed", DataType::Int64, true),
        field("text", DataType::Utf8, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let kept = if statistics { EnabledStatistics::Page } else { EnabledStatistics::None };
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(5)).set_statistics_enabled(kept).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), schema.clone(), Some(properties)).unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![ids, at, texts]).unwrap()).unwrap();
    writer.close().unwrap();
}

/// The runs of a history and the table after each, without what differs from run to run.
fn history(settings: &str, column: &str, files: &[(&str, Vec<Row>)], statistics: bool) -> Vec<Value> {
    let folder = scratch().unwrap();
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ files: '*.parquet' }}\n    \
         destination: {{ url: 'sqlite:///out.db', table: t }}\n{settings}"
    );
    fs::write(folder.path().join("floodmark.yaml"), yaml).unwrap();
    let mut seen = Vec::new();
    for (name, rows) in files {
        write(&folder.path().join(name), rows, statistics);
        let (exit, run, beside) = said(command(folder.path(), &["run"]).spawn().unwrap());
        let warnings: Vec<&str> = beside.lines().filter(|line| line.starts_with("warning")).collect();
        let db = rusqlite::Connection::open(folder.path().join("out.db")).unwrap();
        let table = db
            .prepare(&format!("SELECT id || ' ' || coalesce({column}, '') || ' ' || text FROM t ORDER BY 1"))
            .and_then(|mut rows| rows.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>());
        seen.push(json!({
            "exit": exit, "rows": run["rows"], "watermark": run["watermark"], "status": run["status"],
            "error": run["error"]["message"], "warnings": warnings, "table": table.unwrap_or_default(),
        }));
    }
    seen
}

fn rows(ids: std::ops::Range<i64>) -> Vec<Row> {
    ids.map(|id| (id, Some(id))).collect()
}

#[test]
fn counts_messages_and_tables_are_those_of_a_whole_read() {
    let mut grown = rows(0..60);
    grown[3].1 = Some(58);
    let mut holes = rows(0..70);
    holes[12].1 = None;
    let late: Vec<Row> = (100..130).map(|id| (id, Some(id - 80))).collect();
    let files: Vec<(&str, Vec<Row>)> = vec![
        ("a.parquet", rows(0..40)),
        ("a.parquet", grown),
        ("b.parquet", late),
        ("c.parquet", rows(55..80)),
        ("a.parquet", holes),
    ];
    let settings = [
        "    load: append\n    watermark: changed\n",
        "    load: append\n    watermark: { column: changed, late_rows: skip, nulls: exclude }\n",
        "    load: append\n    watermark: { column: changed, late_rows: load, nulls: exclude }\n",
        "    load: append\n    watermark: { column: changed, start: 12, late_rows: skip, nulls: exclude }\n",
        "    load: upsert\n    key: id\n    watermark: changed\n",
        "    load: upsert\n    key: id\n    watermark: { column: changed, nulls: include }\n",
        "    load: upsert\n    key: id\n    watermark: { column: changed, nulls: exclude, lookback: 7, start: 20 }\n",
        "    load: upsert\n    key: id\n    watermark: { column: changed, late_rows: skip, start: 90, nulls: exclude }\n",
        "    load: upsert\n    key: id\n    watermark: { column: changed, boundary: exclusive, nulls: exclude }\n",
        "    load: insert_only\n    key: id\n    watermark: { column: changed, nulls: exclude }\n",
        "    load: scd2\n    key: id\n    watermark: { column: changed, nulls: exclude }\n",
        "    load: upsert\n    key: id\n    watermark: { column: at, nulls: exclude }\n    columns: { at: { from: changed } }\n",
        "    load: upsert\n    key: id\n    watermark: { column: changed, nulls: exclude }\n    transform: SELECT id, 100 - changed AS changed, text FROM source\n",
    ];
    for settings in settings {
        let column = if settings.contains("at:") { "at" } else { "changed" };
        let whole = history(settings, column, &files, false);
        assert_eq!(history(settings, column, &files, true), whole, "{settings}");
        if settings.contains("late_rows: skip, nulls: exclude }\n") && !settings.contains("start") {
            assert!(whole.iter().any(|run| run["warnings"].to_string().contains("behind the watermark")), "{whole:#?}");
        }
        let read = |run: &Value| run["rows"]["read"].as_u64().unwrap_or(0) > 0;
        assert!(whole.iter().filter(|run| read(run)).count() > 1, "{settings}: {whole:#?}");
    }
}

/// Nothing of a row group that is left out is looked at: bytes of it that are damaged are not met.
#[test]
fn what_lies_behind_the_watermark_is_not_looked_at() {
    let folder = scratch().unwrap();
    let yaml = "version: 1\npipelines:\n  t:\n    source: { files: '*.parquet' }\n    \
                destination: { url: 'sqlite:///out.db', table: t }\n    load: upsert\n    key: id\n    watermark: changed\n";
    fs::write(folder.path().join("floodmark.yaml"), yaml).unwrap();
    let run = || told(command(folder.path(), &["run"]).spawn().unwrap());
    let path = folder.path().join("a.parquet");
    write(&path, &rows(0..40), true);
    assert_eq!(run().0, Some(0));
    let damage = |from: i64| {
        write(&path, &rows(0..60), true);
        let mut bytes = fs::read(&path).unwrap();
        let text = format!("({from}, Some({from}))");
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        // The length of a page's first value.
        bytes[at - 4..at].copy_from_slice(&[0xff; 4]);
        fs::write(&path, bytes).unwrap();
        run()
    };
    assert_eq!(damage(45).0, Some(1));
    let (exit, run) = damage(15);
    assert_eq!(exit, Some(0), "{run:#}");
    assert_eq!((&run["rows"]["read"], &run["rows"]["skipped"]), (&json!(60), &json!(39)), "{run:#}");
    // 25 of its 60 rows were read.
    let size = fs::metadata(&path).unwrap().len();
    let (_, record) = told(command(folder.path(), &["runs", "show", run["run"].as_str().unwrap()]).spawn().unwrap());
    assert_eq!(record["bytes"], json!(size - size * 35 / 60), "{record:#}");
}
