//! Ranges, and readings that end before their end.

use super::{Mysql, drain, open, query, survey, table};
use floodmark_connect::{Range, ReadPlan, Source, Stop};
use floodmark_core::{Code, Value, watermark::Bounds};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

#[test]
fn the_server_reads_the_range_alone() {
    let database = Mysql::empty().unwrap();
    database.client().run(
        "SET sql_mode = '';
         CREATE TABLE t (id bigint unsigned, at datetime(6), ts timestamp NULL, x varchar(9), n decimal(9,2), f float, d date);
         SET time_zone = '+00:00';
         INSERT INTO t SELECT seq, '2024-01-01' + INTERVAL seq DAY, '2024-01-01' + INTERVAL seq DAY, char(96 + seq),
           seq / 2.0, seq / 10, '2024-01-01' + INTERVAL seq DAY FROM seq_1_to_9;
         INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL), (10, NULL, NULL, '\u{e4}', NULL, NULL, '0000-00-00')",
    );
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let covered = |column: &str, from: Option<Value>, exclusive, until: Option<Value>, nulls| {
        let range = Range { column: column.into(), bounds: Bounds { from, exclusive, until, before: None }, nulls };
        drain(open(&source, &schema, Some(range))).unwrap().covered
    };
    let int = |n| Some(Value::Decimal(n, 0));
    assert_eq!(covered("id", int(8), false, None, false), 3);
    assert_eq!(covered("id", int(8), true, None, false), 2);
    assert_eq!(covered("id", int(8), true, int(9), true), 2);
    assert_eq!(covered("id", int(-1), false, None, false), 10);
    assert_eq!(covered("id", None, false, None, false), 10);
    assert_eq!(covered("id", None, false, None, true), 11);
    let day = |n: i128| Some(Value::Timestamp((19_723 + n) * 86_400_000_000_000));
    assert_eq!(covered("at", day(7), false, day(8), false), 2);
    // A nanosecond before a row is not behind it, whichever end it is.
    let near = Some(Value::Timestamp((19_723 + 8) * 86_400_000_000_000 + 1));
    assert_eq!(covered("at", near.clone(), false, None, false), 2);
    assert_eq!(covered("at", None, false, near, false), 8);
    assert_eq!(covered("ts", Some(Value::TimestampTz((19_723 + 7) * 86_400_000_000_000)), false, None, false), 3);
    assert_eq!(covered("x", Some(Value::Text("h".into())), false, None, false), 3);
    assert_eq!(covered("n", Some(Value::Decimal(4000, 3)), false, None, false), 2);
    // What is stored of 0.9 in 32 bits.
    assert_eq!(covered("f", Some(Value::Double(f64::from(0.9_f32))), false, None, false), 1);
    // A day that is none is seen where days that are missing are.
    assert_eq!(covered("d", Some(Value::Date(19_730)), false, None, true), 5);
    assert_eq!(covered("d", Some(Value::Date(19_730)), false, None, false), 3);
    // Another type than the column's is for the engine to compare.
    assert_eq!(covered("at", Some(Value::Text("2024-01-09".into())), false, None, false), 11);
}

/// The cursor compares texts byte by byte; most collations do not.
#[test]
fn texts_are_compared_by_their_bytes() {
    let database = Mysql::empty().unwrap();
    database.client().run(
        "CREATE TABLE t (x varchar(9) COLLATE utf8mb4_general_ci); INSERT INTO t VALUES ('a'), ('B'), ('b '), ('b'), ('\u{e4}')",
    );
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let from = |text: &str, exclusive| {
        let bounds = Bounds { from: Some(Value::Text(text.into())), exclusive, until: None, before: None };
        let range = Range { column: "x".into(), bounds, nulls: false };
        let mut rows: Vec<String> = drain(open(&source, &schema, Some(range))).unwrap().rows.concat();
        rows.sort();
        rows
    };
    assert_eq!(from("a", false), ["a", "b", "b ", "\u{e4}"]);
    assert_eq!(from("b", true), ["b ", "\u{e4}"]);
}

#[test]
fn rows_can_be_passed_over() {
    let database = Mysql::empty().unwrap();
    database
        .client()
        .run("CREATE TABLE t (n time); INSERT INTO t VALUES ('1:00'), ('25:00'), ('3:00'), ('25:00'), ('5:00')");
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

/// More rows than wait anywhere on the way.
fn many(database: &Mysql) {
    database
        .client()
        .run("CREATE TABLE t (id int, x text); INSERT INTO t SELECT seq, repeat('x', 200) FROM seq_1_to_400000");
}

/// Connections that send rows.
fn sending(database: &Mysql) -> Vec<String> {
    let sql = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{}' AND command <> 'Sleep' AND id <> CONNECTION_ID()",
        database.name
    );
    database.client().run(&sql).concat()
}

#[test]
fn a_killed_connection_is_an_error_and_no_end() {
    let database = Mysql::empty().unwrap();
    many(&database);
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let mut batches = open(&source, &schema, None);
    batches.next().unwrap().unwrap();
    let ids = sending(&database);
    assert_eq!(ids.len(), 1);
    database.client().run(&format!("KILL {}", ids[0]));
    let error = batches.find_map(Result::err).unwrap();
    assert_eq!(error.code(), Code::SourceRead, "{error:?}");
    assert!(error.is_transient(), "{error:?}");
    assert!(batches.next().is_none());
    drop(batches);
    // The source comes back with the next survey.
    survey(&source, None).unwrap();
    assert_eq!(drain(open(&source, &schema, None)).unwrap().covered, 400_000);
}

#[test]
fn an_error_in_the_middle_is_told() {
    let database = Mysql::empty().unwrap();
    database.client().run("CREATE TABLE two (n int); INSERT INTO two VALUES (1), (2)");
    let source = query(&database, "SELECT IF(seq = 150000, (SELECT n FROM two), seq) AS n FROM seq_1_to_200000");
    let schema = survey(&source, None).unwrap().schema;
    let error = drain(open(&source, &schema, None)).err().unwrap();
    assert_eq!(error.code(), Code::SourceRead);
    assert!(error.to_string().contains("more than 1 row"), "{error}");
}

#[test]
fn a_reader_that_goes_ends_the_statement_and_keeps_the_snapshot() {
    let database = Mysql::empty().unwrap();
    many(&database);
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let mut batches = open(&source, &schema, None);
    batches.next().unwrap().unwrap();
    assert_eq!(sending(&database).len(), 1);
    drop(batches);
    assert_eq!(sending(&database).len(), 0);
    database.client().run("DELETE FROM t");
    assert_eq!(drain(open(&source, &schema, None)).unwrap().covered, 400_000);
}

#[test]
fn a_stop_ends_a_statement_that_takes_its_time() {
    let database = Mysql::empty().unwrap();
    let source = query(&database, "SELECT SLEEP(1) AS x FROM seq_1_to_60");
    let schema = survey(&source, None).unwrap().schema;
    let stop = Stop::default();
    let plan = ReadPlan { schema, ..ReadPlan::default() };
    let mut batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &stop).unwrap();
    let flag = stop.flag();
    let began = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.store(15, Ordering::Relaxed);
    });
    assert_eq!(batches.next().unwrap().unwrap_err().code(), Code::Interrupted);
    drop(batches);
    assert!(began.elapsed() < Duration::from_secs(10));
}
