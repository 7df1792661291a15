//! Ranges, and readings that end before their end.

use super::{Database, drain, open, readers::copying, survey, table, table_by};
use floodmark_connect::{Range, ReadPlan, Source, Stop};
use floodmark_core::{Code, DataType, Value, watermark::Bounds};
use std::{sync::atomic::Ordering, time::Duration};

#[test]
fn the_server_reads_the_range_alone() {
    let database = Database::new();
    database
        .client()
        .batch_execute(
            "CREATE TABLE t (id bigint, at timestamp, x text, n numeric(9,2));
             INSERT INTO t SELECT g, '2024-01-01'::timestamp + g * interval '1 day', chr(96 + g::int), g / 2.0
               FROM generate_series(1, 9) g;
             INSERT INTO t VALUES (NULL, NULL, NULL, NULL), (10, NULL, '\u{e4}', NULL)",
        )
        .unwrap();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let covered = |column: &str, from: Option<Value>, exclusive, until: Option<Value>, nulls| {
        let range = Range { column: column.into(), bounds: Bounds { from, exclusive, until, before: None }, nulls };
        drain(open(&source, &schema, Some(range))).unwrap().covered
    };
    let int = |n| Some(Value::Int(n));
    assert_eq!(covered("id", int(8), false, None, false), 3);
    assert_eq!(covered("id", int(8), true, None, false), 2);
    assert_eq!(covered("id", int(8), true, int(9), true), 2);
    assert_eq!(covered("id", None, false, None, false), 10);
    assert_eq!(covered("id", None, false, None, true), 11);
    let day = |n: i128| Some(Value::Timestamp((19_723 + n) * 86_400_000_000_000));
    assert_eq!(covered("at", day(7), false, day(8), false), 2);
    // A nanosecond before a row is not behind it, whichever end it is.
    let near = Some(Value::Timestamp((19_723 + 8) * 86_400_000_000_000 + 1));
    assert_eq!(covered("at", near.clone(), false, None, false), 2);
    assert_eq!(covered("at", None, false, near, false), 8);
    assert_eq!(covered("x", Some(Value::Text("h".into())), false, None, false), 3);
    assert_eq!(covered("n", Some(Value::Decimal(4000, 3)), false, None, false), 2);
    // Another type than the column's is for the engine to compare.
    assert_eq!(covered("at", Some(Value::Text("2024-01-09".into())), false, None, false), 11);
}

#[test]
fn rows_can_be_passed_over() {
    let database = Database::new();
    database
        .client()
        .batch_execute("CREATE TABLE t (n numeric); INSERT INTO t VALUES (1), ('NaN'), (3), ('NaN'), (5)")
        .unwrap();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let plan = ReadPlan { schema, skip_rows: 3, ..ReadPlan::default() };
    let batch = source
        .read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!((batch.first_row, batch.covered, batch.rows.num_rows()), (4, 2, 1));
    assert_eq!(batch.bad[0].row, 4);
}

/// The session that took the snapshot may be the last of several to be done.
#[test]
fn p8_what_is_read_at_the_same_time_and_after_it_is_of_one_snapshot() {
    let database = Database::new();
    many(&database);
    let source = table_by(&database, "t", 1);
    let schema = survey(&source, None).unwrap().schema;
    for _ in 0..2 {
        let (one, another) = (open(&source, &schema, None), open(&source, &schema, None));
        for batches in [another, one] {
            assert_eq!(batches.map(|batch| batch.unwrap().covered).sum::<u64>(), 400_000);
        }
        database.client().batch_execute("INSERT INTO t VALUES (0, NULL)").unwrap();
    }
}

#[test]
fn ranges_are_read_at_the_same_time_where_an_index_finds_them() {
    let database = Database::new();
    let made = "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, d int);
                CREATE INDEX ON t (a, b); CREATE INDEX ON t (c) WHERE c > 0; CREATE INDEX ON t USING hash (d)";
    database.client().batch_execute(made).unwrap();
    let source = table(&database, "t");
    survey(&source, None).unwrap();
    let divided = ["id", "a", "b", "c", "d"].map(|c| source.divides(c, DataType::BigInt, &Stop::default()).unwrap());
    assert_eq!(divided, [true, true, false, false, false]);
}

/// More rows than wait anywhere on the way.
fn many(database: &Database) {
    let mut client = database.client();
    let rows = "INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 400000) g";
    client.batch_execute(&format!("CREATE TABLE t (id int, x text); {rows}")).unwrap();
}

#[test]
fn a_killed_backend_is_an_error_and_no_end() {
    let database = Database::new();
    many(&database);
    let source = table_by(&database, "t", 1);
    let schema = survey(&source, None).unwrap().schema;
    let mut batches = open(&source, &schema, None);
    batches.next().unwrap().unwrap();
    let pids = copying(&database);
    assert_eq!(pids.len(), 1);
    database.client().execute("SELECT pg_terminate_backend($1)", &[&pids[0]]).unwrap();
    let error = batches.find_map(Result::err).unwrap();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    assert!(batches.next().is_none());
    drop(batches);
    // The source comes back with the next survey.
    survey(&source, None).unwrap();
    assert_eq!(drain(open(&source, &schema, None)).unwrap().covered, 400_000);
}

#[test]
fn an_error_in_the_middle_is_told() {
    let database = Database::new();
    let sql = "SELECT 1 / (100000 - g) AS n FROM generate_series(1, 200000) g";
    let source = super::query(&database, sql);
    let schema = survey(&source, None).unwrap().schema;
    let error = drain(open(&source, &schema, None)).err().unwrap();
    assert_eq!(error.code(), Code::SourceRead);
    assert!(error.to_string().contains("division by zero"), "{error}");
}

#[test]
fn a_reader_that_goes_ends_the_statement() {
    let database = Database::new();
    many(&database);
    let source = table_by(&database, "t", 1);
    let schema = survey(&source, None).unwrap().schema;
    let mut batches = open(&source, &schema, None);
    batches.next().unwrap().unwrap();
    assert_eq!(copying(&database).len(), 1);
    drop(batches);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(copying(&database).len(), 0);
}

#[test]
fn a_stop_ends_a_statement_that_takes_its_time() {
    let database = Database::new();
    let source = super::query(&database, "SELECT pg_sleep(60)::text AS x");
    let schema = survey(&source, None).unwrap().schema;
    let stop = Stop::default();
    let plan = ReadPlan { schema, ..ReadPlan::default() };
    let mut batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &stop).unwrap();
    let flag = stop.flag();
    let began = std::time::Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.store(15, Ordering::Relaxed);
    });
    assert_eq!(batches.next().unwrap().unwrap_err().code(), Code::Interrupted);
    drop(batches);
    assert!(began.elapsed() < Duration::from_secs(10));
}
