//! Files without mistakes, and what they come out as.

use super::{EXAMPLE, env, parse, pipeline};
use floodmark_config::{Project, lint};
use floodmark_core::{
    DataType,
    pipeline::{AbsentRows, Load, RejectLimit, Span},
};
use std::{path::Path, time::Duration};

#[test]
fn the_example_comes_out_with_every_default_filled_in() {
    let project = parse(EXAMPLE).unwrap_or_else(|e| panic!("{e}"));
    let [orders, events, products, stock] = &project.pipelines[..] else { panic!("four pipelines") };
    assert_eq!(orders.load, Load::Upsert);
    assert_eq!(orders.version.as_deref(), Some("updated_at"));
    let w = orders.watermark.as_ref().unwrap();
    assert_eq!(w.start.as_deref(), Some("2024-01-01"));
    assert_eq!(w.lookback, Some(Span::Time(Duration::from_secs(900))));
    assert_eq!(orders.max_rejects, Some(RejectLimit::Percent(1.0)));
    assert_eq!(orders.columns[2].data_type, Some(DataType::Decimal(12, 2)));
    assert!(orders.keeps_null("note") && !orders.keeps_null("zip"));
    let files = orders.source.files().unwrap();
    assert_eq!(files.csv.null.as_deref(), Some("NA"));
    assert_eq!(files.max_row_bytes, 64 << 20);
    assert_eq!(orders.destination.url.file_path().unwrap(), Some("shop/warehouse.db".into()));

    assert_eq!(events.destination.table, "events");
    assert_eq!(events.destination.url.file_path().unwrap(), Some("/data/events.db".into()));
    assert_eq!(events.version, None);
    assert_eq!(events.commit_every, 50_000);
    assert_eq!(products.absent_rows, AbsentRows::Close);
    assert_eq!(stock.absent_rows, AbsentRows::Delete);
    assert_eq!(stock.key, ["sku", "on"]);
}

#[test]
fn scalars_are_taken_as_written() {
    for written in ["2024-01-01", "1.10", "007", "0x1F", "1e3", "null", "~", "yes", "2024-01-01 00:00:00.000000001"] {
        let project = parse(&pipeline(&format!("key: id\nwatermark: {{ column: at, start: {written} }}"))).unwrap();
        assert_eq!(project.pipelines[0].watermark.as_ref().unwrap().start.as_deref(), Some(written));
    }
}

#[test]
fn a_commit_into_a_lake_has_more_rows() {
    let of = |url: &str, lines: &str| {
        let text = format!(
            "version: 1\npipelines:\n  p: {{ source: {{ files: a.csv }}, destination: {{ url: '{url}' }}, key: id{lines} }}\n"
        );
        parse(&text).unwrap_or_else(|e| panic!("{e}")).pipelines[0].commit_every
    };
    assert_eq!(of("sqlite:///w.db", ""), 1_000_000);
    assert_eq!(of("delta:///lake", ""), 10_000_000);
    assert_eq!(of("parquet+s3://bucket/lake", ""), 10_000_000);
    assert_eq!(of("delta:///lake", ", commit_every: 7"), 7);
}

#[test]
fn secrets_come_from_the_environment_and_from_files_beside_the_pipeline_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "fr0m-file\n").unwrap();
    std::fs::write(dir.path().join("t.sql"), "SELECT *\nFROM source\n").unwrap();
    let path = dir.path().join("floodmark.yaml");
    let text = "version: 1\nconnections:\n  a: postgres://u:${SHOP_PASSWORD}${file:pw}@h/${DB:-shop}\n  m: \"sqlite://\"\npipelines:\n  p: { source: { files: a.csv }, destination: { connection: \"${WAREHOUSE}\" }, key: id, transform: \"${file:t.sql}\" }\n";
    std::fs::write(&path, text).unwrap();
    let project = Project::open(&path, &env).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(project.connections[0].1.to_string(), "postgres://u:***@h/shop");
    let p = &project.pipelines[0];
    assert_eq!(p.destination.url.file_path().unwrap(), Some(dir.path().join("secret-place.db")));
    assert_eq!(p.transform.as_deref(), Some("SELECT *\nFROM source"));
}

#[test]
fn an_alias_stands_for_a_whole_value() {
    let text = "version: 1\npipelines:\n  a: { source: { files: a.csv }, destination: &d { url: sqlite:///w.db }, key: &k [id] }\n  b: { source: { files: b.csv }, destination: *d, key: *k }\n";
    let project = parse(text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        (project.pipelines[1].destination.table.as_str(), &project.pipelines[1].key[..]),
        ("b", &["id".to_owned()][..])
    );
}

#[test]
fn the_lint_tells_what_is_unsafe_and_only_that() {
    let names = |lines: &str| -> Vec<&'static str> {
        let project = parse(&pipeline(lines)).unwrap_or_else(|e| panic!("{e}"));
        lint(&project.pipelines[0]).iter().map(|l| l.name).collect()
    };
    assert_eq!(names("key: id\nwatermark: at"), [""; 0]);
    assert_eq!(names("load: append\nwatermark: at"), [""; 0]);
    assert_eq!(names("key: id"), ["no-version"]);
    assert_eq!(names("load: append\nappend: at_least_once"), ["at-least-once"]);
    assert_eq!(names("key: id\nwatermark: at\ndeletes: soft"), ["soft-nothing"]);
    assert_eq!(names("load: overwrite\nallow_empty: true"), ["allow-empty"]);
    assert_eq!(
        names("key: id\nwatermark: { column: at, boundary: exclusive, nulls: include, late_rows: skip }"),
        ["exclusive-boundary", "cursor-nulls", "late-rows-skipped"]
    );
    assert_eq!(names("load: append\nwatermark: { column: at, late_rows: load }"), ["late-rows-append"]);
    let memory = Project::parse(
        Path::new("f"),
        "version: 1\npipelines:\n  a: { source: { files: a.csv }, destination: { url: \"sqlite://\" }, load: overwrite }\n",
        &env,
    );
    assert_eq!(lint(&memory.unwrap().pipelines[0])[0].name, "in-memory");
    // A table that is read whole holds no old copies.
    let whole = |source: &str| {
        let text = pipeline("key: id").replace("{ files: orders.csv }", source);
        lint(&parse(&text).unwrap_or_else(|e| panic!("{e}")).pipelines[0]).len()
    };
    assert_eq!(whole("{ url: sqlite:///s.db, table: orders }"), 0);
    assert_eq!(whole("{ url: sqlite:///s.db, query: SELECT 1 }"), 1);
}

#[test]
fn files_below_a_store_have_its_settings_and_names_without_them() {
    let text = "version: 1
connections: { lake: \"s3://lake/2024?endpoint=http://here&secret_access_key=geheim\" }
pipelines:
  t:
    source: { connection: lake, files: [\"in/*.csv\", b.csv] }
    destination: { url: \"sqlite:///w.db\" }
    key: id
  u:
    source: { files: \"gs://other/*.csv\" }
    destination: { url: \"sqlite:///w.db\" }
    key: id
";
    let project = parse(text).unwrap_or_else(|e| panic!("{e}"));
    let files: Vec<_> = project.pipelines.iter().map(|p| p.source.files().unwrap()).collect();
    assert_eq!(files[0].patterns, ["s3://lake/2024/in/*.csv", "s3://lake/2024/b.csv"]);
    assert!(files[0].store.as_ref().unwrap().written().contains("geheim"));
    assert!(!format!("{:?}", files[0]).contains("geheim"));
    assert_eq!(files[1].patterns, ["gs://other/*.csv"]);
    assert_eq!(files[1].store, None);
}
