//! Tables and queries that are read.

use crate::{at, url};
use arrow::{array::RecordBatch, compute::concat_batches};
use floodmark_connect::{Destination, Range, ReadPlan, Source, Stop, SurveyRequest};
use floodmark_core::{Code, Column, DataType, Schema, Value, pipeline::Relation, watermark::Bounds};
use floodmark_duckdb::{DuckdbSource, catalog, filtered, outside};
use std::path::PathBuf;

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

fn place(sql: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.duckdb");
    outside::execute(&file, sql).unwrap();
    Place { _folder: folder, file }
}

fn source(place: &Place, relation: Relation) -> DuckdbSource {
    DuckdbSource::new(&url(&place.file), relation).unwrap()
}

/// All rows, and how many were bad.
fn read(source: &DuckdbSource, plan: &ReadPlan) -> (RecordBatch, Vec<u64>) {
    let stop = Stop::default();
    let slices = source.slices(&Stop::default()).unwrap();
    source.survey(&slices, &SurveyRequest::default(), &stop).unwrap();
    let (mut parts, mut bad) = (Vec::new(), Vec::new());
    for batch in source.read(&slices[0], plan, &stop).unwrap() {
        let batch = batch.unwrap();
        bad.extend(batch.bad.iter().map(|row| row.row));
        // Each says where it stands and what it is.
        for place in batch.bad.iter().map(|row| row.error.place().unwrap()) {
            assert!(place.row.is_some() && place.column.is_some() && place.value.is_some(), "{place:?}");
        }
        parts.push(batch.rows);
    }
    (concat_batches(&plan.schema.to_arrow(), &parts).unwrap(), bad)
}

fn column(rows: &RecordBatch, at: usize, data_type: DataType) -> Vec<String> {
    (0..rows.num_rows()).map(|row| Value::from_array(rows.column(at), row, data_type).unwrap().to_string()).collect()
}

#[test]
fn every_type_is_read_exactly() {
    let place = place(
        "CREATE TABLE t (a UTINYINT, b UBIGINT, c HUGEINT, d FLOAT, e UUID, f INTEGER[], g TIMESTAMP_NS, h ENUM('x', 'y'),
           i TIMESTAMP_S, j STRUCT(p INTEGER, q VARCHAR));
         INSERT INTO t VALUES (255, 18446744073709551615, 99999999999999999999999999999999999999, 0.5,
           'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', [1, NULL], '2024-01-01 00:00:00.123456789', 'y', '2024-01-01 10:00:00',
           {'p': 1, 'q': 'z'})",
    );
    let source = source(&place, Relation::Table("t".into()));
    let slices = source.slices(&Stop::default()).unwrap();
    let survey = source.survey(&slices, &SurveyRequest::default(), &Stop::default()).unwrap();
    let plan = ReadPlan { schema: survey.schema.clone(), ..ReadPlan::default() };
    let (rows, bad) = read(&source, &plan);
    let found: Vec<String> =
        survey.schema.columns.iter().enumerate().map(|(at, c)| column(&rows, at, c.data_type).remove(0)).collect();
    let expected = [
        "255",
        "18446744073709551615",
        "99999999999999999999999999999999999999",
        "0.5",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "[1, NULL]",
        "2024-01-01 00:00:00.123456789",
        "y",
        "2024-01-01 10:00:00",
        "{'p': 1, 'q': z}",
    ];
    assert_eq!((found.as_slice(), bad), (expected.map(str::to_owned).as_slice(), Vec::new()));
}

#[test]
fn what_is_no_value_of_ours_is_a_bad_row() {
    let place = place(
        "CREATE TABLE t (day DATE, moment TIMESTAMP, clock TIME);
         INSERT INTO t VALUES ('2024-01-01', '2024-01-01', '10:00:00'), ('infinity', NULL, NULL), (NULL, '-infinity', NULL),
           (NULL, NULL, '24:00:00'), (NULL, NULL, NULL)",
    );
    let source = source(&place, Relation::Table("t".into()));
    let schema = source
        .glance(&source.slices(&Stop::default()).unwrap(), &SurveyRequest::default(), &Stop::default())
        .unwrap()
        .schema;
    let (rows, bad) = read(&source, &ReadPlan { schema, ..ReadPlan::default() });
    assert_eq!((rows.num_rows(), bad), (2, vec![2, 3, 4]));
}

#[test]
fn a_range_is_read_in_order_and_exactly() {
    let place = place(
        "CREATE TABLE t AS SELECT i AS id, '2024-01-01'::TIMESTAMP + to_hours(i::INTEGER) AS at FROM range(100) r(i)",
    );
    let source = source(&place, Relation::Query("SELECT * FROM t ORDER BY id DESC -- all".into()));
    let zone = DataType::Timestamp { nanos: false };
    let schema = Schema { columns: vec![Column::new("id", DataType::BigInt), Column::new("at", zone)] };
    let hour = |n: i128| Value::Timestamp(1_704_067_200_000_000_000 + n * 3_600_000_000_000);
    let bounds = Bounds { from: Some(hour(10)), exclusive: true, until: None, before: Some(hour(14)) };
    let range = Some(Range { column: "at".into(), bounds, nulls: false });
    let (rows, _) = read(&source, &ReadPlan { schema, range, sorted: true, ..ReadPlan::default() });
    assert_eq!(column(&rows, 0, DataType::BigInt), ["11", "12", "13"]);
    assert!(source.divides("at", zone, &Stop::default()).unwrap());
    let extent = source.extent("at", zone, &Stop::default()).unwrap();
    assert_eq!(extent, Some(Some((hour(0), hour(99)))));
}

#[test]
fn columns_are_converted_exactly_or_are_bad() {
    let place = place("CREATE TABLE t AS SELECT * FROM (VALUES ('7'), ('seven'), (NULL)) v(n)");
    let source = source(&place, Relation::Table("main.T".into()));
    let schema = Schema { columns: vec![Column::new("n", DataType::BigInt)] };
    let (rows, bad) = read(&source, &ReadPlan { schema, ..ReadPlan::default() });
    assert_eq!((column(&rows, 0, DataType::BigInt), bad), (vec!["7".to_owned(), Value::Null.to_string()], vec![2]));
}

#[test]
fn tables_are_listed_with_their_keys_and_misspelt_ones_are_told() {
    let place = place(
        "CREATE TABLE orders (b INTEGER, a INTEGER, PRIMARY KEY (a, b)); CREATE VIEW seen AS SELECT * FROM orders;
         CREATE SCHEMA sales; CREATE TABLE sales.items (x INTEGER)",
    );
    let listed = catalog(&url(&place.file)).unwrap();
    let found: Vec<(String, bool, String)> =
        listed.tables.iter().map(|t| (t.written(), t.own, t.key.join(","))).collect();
    let is = |name: &str, own, key: &str| (name.to_owned(), own, key.to_owned());
    assert_eq!(found, [is("main.orders", true, "a,b"), is("main.seen", false, ""), is("sales.items", true, "")]);
    let error = source(&place, Relation::Table("order".into())).slices(&Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::SourceMissing);
    assert!(error.advice()[0].contains("\"orders\""), "{error:?}");
}

/// What is loaded into the file that is read does not show up among the rows that are read.
#[test]
fn a_file_is_read_while_this_process_loads_into_it() {
    let place = place("CREATE TABLE t AS SELECT 1 AS id");
    let destination = at(&place.file);
    let session = destination.open("p", "r", None, &Stop::default()).unwrap();
    let source = source(&place, Relation::Table("t".into()));
    let schema = Schema { columns: vec![Column::new("id", DataType::BigInt)] };
    let (rows, _) = read(&source, &ReadPlan { schema, ..ReadPlan::default() });
    assert_eq!(rows.num_rows(), 1);
    drop(session);
}

#[test]
fn a_schema_called_like_the_file_is_read() {
    let place = place("CREATE SCHEMA s; CREATE TABLE s.s.t AS SELECT range AS id FROM range(3)");
    let table = Relation::Table("s.t".into());
    let some = filtered(&url(&place.file), &table, "id > 0").unwrap();
    for (relation, ids) in [(table, vec!["0", "1", "2"]), (some, vec!["1", "2"])] {
        let schema = Schema { columns: vec![Column::new("id", DataType::BigInt)] };
        let (rows, _) = read(&source(&place, relation), &ReadPlan { schema, ..ReadPlan::default() });
        assert_eq!(column(&rows, 0, DataType::BigInt), ids);
    }
}

/// Whoever opens the file next must not find it open.
#[cfg(target_os = "linux")]
#[test]
fn a_read_that_is_dropped_or_at_its_end_has_let_go_of_the_file() {
    let place = place("CREATE TABLE t AS SELECT range AS id, repeat('x', 100) AS text FROM range(500000)");
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        files
            .filter_map(|file| std::fs::read_link(file.unwrap().path()).ok())
            .filter(|file| *file == place.file)
            .count()
    };
    let sorted = "SELECT * FROM t ORDER BY hash(id)";
    for (relation, takes) in [(Relation::Table("t".into()), 1), (Relation::Query(sorted.into()), 0)] {
        for _ in 0..5 {
            let source = source(&place, relation.clone());
            let (slices, stop) = (source.slices(&Stop::default()).unwrap(), Stop::default());
            let schema = source.survey(&slices, &SurveyRequest::default(), &stop).unwrap().schema;
            let mut rows = source.read(&slices[0], &ReadPlan { schema, ..ReadPlan::default() }, &stop).unwrap();
            for _ in 0..takes {
                rows.next().unwrap().unwrap();
            }
            drop(source);
            assert_eq!(open(), 1);
            drop(rows);
            assert_eq!(open(), 0);
        }
    }
    let source = source(&place, Relation::Query("SELECT id FROM t LIMIT 10".into()));
    let (slices, stop) = (source.slices(&Stop::default()).unwrap(), Stop::default());
    let schema = source.survey(&slices, &SurveyRequest::default(), &stop).unwrap().schema;
    let mut rows = source.read(&slices[0], &ReadPlan { schema, ..ReadPlan::default() }, &stop).unwrap();
    drop(source);
    assert_eq!((rows.by_ref().count(), open()), (1, 0));
}

/// What a column's collation takes for older is not left out.
#[test]
fn a_text_range_is_read_by_its_bytes() {
    let place = place(
        "CREATE TABLE t (w VARCHAR COLLATE NOCASE); INSERT INTO t VALUES ('Z'), ('a'), ('z'), ('A'), ('B'), (NULL)",
    );
    let source = source(&place, Relation::Table("t".into()));
    let bounds = Bounds { from: Some(Value::Text("Z".into())), exclusive: true, until: None, before: None };
    let range = Some(Range { column: "w".into(), bounds, nulls: false });
    let schema = Schema { columns: vec![Column::new("w", DataType::Text)] };
    let (rows, _) = read(&source, &ReadPlan { schema, range, sorted: true, ..ReadPlan::default() });
    assert_eq!(column(&rows, 0, DataType::Text), ["a", "z"]);
    let extent = source.extent("w", DataType::Text, &Stop::default()).unwrap();
    assert_eq!(extent, Some(Some((Value::Text("A".into()), Value::Text("z".into())))));
}
