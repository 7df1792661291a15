//! Rows in the order of a column, and its ends.

use super::{Mysql, drain, survey, table};
use floodmark_connect::{Range, ReadPlan, Source, Stop};
use floodmark_core::{Code, DataType, Schema, Value, watermark::Bounds};

fn made() -> Mysql {
    let database = Mysql::empty().unwrap();
    database.client().run(
        "SET sql_mode = ''; SET time_zone = '+00:00';
         CREATE TABLE t (id int, x varchar(2000) COLLATE utf8mb4_general_ci, c char(3), n decimal(9,2), z int(5) zerofill,
                         d date, at timestamp(6) NULL, f float, e enum('b', 'a', 'C', 'z'), b bit(4), j json, u bigint unsigned);
         INSERT INTO t VALUES
           (3, 'b', 'b', 10, 7, '2024-01-03', '2024-01-01 00:00:00.5', 0.1, 'b', 8, '1', 18446744073709551615),
           (1, 'B', 'B', 9.5, 40, '0999-12-31', '2024-01-01 00:00:00', 3e10, 'a', 2, '2', 9),
           (2, CONCAT(REPEAT('x', 1500), 'b'), 'x', -1.25, 8, '9999-12-31', '2024-01-01 01:00:00', -7, 'C', 4, '3', 10),
           (0, CONCAT(REPEAT('x', 1500), 'a'), '', 0, 9, '2024-01-02', '1999-01-01 00:00:00', 0.25, 'z', 1, '0', 0),
           (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
         CREATE TABLE nothing (id int, d date); INSERT INTO nothing VALUES (NULL, '0000-00-00')",
    );
    database
}

fn range(column: &str) -> Range {
    let bounds = Bounds { from: None, exclusive: false, until: None, before: None };
    Range { column: column.into(), bounds, nulls: false }
}

#[test]
fn rows_come_in_the_order_of_a_column() {
    let database = made();
    let source = table(&database, "t");
    let mut schema = survey(&source, None).unwrap().schema;
    // Numbers that are kept as text come as texts are sorted.
    schema.columns.iter_mut().filter(|c| c.name == "u").for_each(|c| c.data_type = DataType::Text);
    assert!(source.sorts());
    for column in &schema.columns {
        let plan = ReadPlan {
            schema: Schema::new([(column.name.as_str(), column.data_type)]),
            range: Some(range(&column.name)),
            sorted: true,
            ..ReadPlan::default()
        };
        let read = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default());
        if column.data_type == DataType::Json {
            assert_eq!(read.err().map(|e| e.code()), Some(Code::Unsafe));
            continue;
        }
        let rows = drain(read.unwrap()).unwrap().rows;
        let values: Vec<Value> = rows.iter().map(|row| Value::parse(&row[0], column.data_type).unwrap()).collect();
        assert_eq!(values.len(), 4, "{}", column.name);
        assert!(values.is_sorted_by(|a, b| a.compare(b).is_some_and(|o| o.is_le())), "{}: {values:?}", column.name);
    }
}

#[test]
fn the_ends_of_a_column_are_those_of_the_survey() {
    let database = made();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    database.client().run("INSERT INTO t (id, x) VALUES (-7, 'zzz')");
    let extent = |column: &str| {
        let data_type = schema.get(column).unwrap().data_type;
        source.extent(column, data_type, &Stop::default()).unwrap()
    };
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(extent("id"), Some(Some((Value::Int(0), Value::Int(3)))));
    assert_eq!(extent("x"), Some(Some((text("B"), text(&format!("{}b", "x".repeat(1500)))))));
    assert_eq!(extent("c"), Some(Some((text(""), text("x")))));
    assert_eq!(extent("e"), Some(Some((text("C"), text("z")))));
    assert_eq!(extent("n"), Some(Some((Value::Decimal(-125, 2), Value::Decimal(1000, 2)))));
    assert_eq!(extent("z"), Some(Some((Value::Int(7), Value::Int(40)))));
    assert_eq!(extent("u"), Some(Some((Value::Decimal(0, 0), Value::Decimal(u64::MAX.into(), 0)))));
    assert_eq!(extent("f"), Some(Some((Value::Double(-7.0), Value::Double(f64::from(3e10_f32))))));
    let day = |text: &str| Value::parse(text, DataType::Date).unwrap();
    assert_eq!(extent("d"), Some(Some((day("0999-12-31"), day("9999-12-31")))));
    let at = |text: &str| Value::parse(text, DataType::TimestampTz { nanos: false }).unwrap();
    assert_eq!(extent("at"), Some(Some((at("1999-01-01 00:00:00Z"), at("2024-01-01 01:00:00Z")))));
    // What has no order of ours, or none at all, is not told.
    assert_eq!((extent("b"), extent("j")), (None, None));
    let nothing = table(&database, "nothing");
    assert_eq!(nothing.extent("id", DataType::BigInt, &Stop::default()).unwrap(), Some(None));
    // A day that is none is no end.
    assert_eq!(nothing.extent("d", DataType::Date, &Stop::default()).unwrap(), Some(None));
}

#[test]
fn an_interval_ends_before_its_end() {
    let database = made();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let read = |column: &str, from, before| {
        let bounds = Bounds { from: Some(from), exclusive: false, until: None, before: Some(before) };
        let plan = ReadPlan {
            schema: schema.clone(),
            range: Some(Range { column: column.into(), bounds, nulls: false }),
            sorted: true,
            ..ReadPlan::default()
        };
        let batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default()).unwrap();
        drain(batches).unwrap().rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(read("id", Value::Int(1), Value::Int(3)), ["1", "2"]);
    assert_eq!(read("x", Value::Text("B".into()), Value::Text("x".into())), ["1", "3"]);
    let at = |text: &str| Value::parse(text, DataType::TimestampTz { nanos: false }).unwrap();
    assert_eq!(read("at", at("1999-01-01 00:00:00Z"), at("2024-01-01 00:00:00.5Z")), ["0", "1"]);
}

/// One connection sees the snapshot: who reads at the same time waits for it, and sees the same.
#[test]
fn readers_take_turns() {
    let database = made();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    database.client().run("DELETE FROM t WHERE id = 1");
    let plan = ReadPlan { schema, range: Some(range("id")), sorted: true, ..ReadPlan::default() };
    let slice = &source.slices(&Stop::default()).unwrap()[0];
    let open = || source.read(slice, &plan, &Stop::default()).unwrap();
    let one = open();
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..3).map(|_| scope.spawn(|| drain(open()).unwrap().covered)).collect();
        let ends = scope.spawn(|| source.extent("id", DataType::BigInt, &Stop::default()).unwrap());
        assert_eq!(drain(one).unwrap().covered, 4);
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 4));
        assert_eq!(ends.join().unwrap(), Some(Some((Value::Int(0), Value::Int(3)))));
    });
    // Who is told to stop does not wait, and one that goes before the end lets the next one read.
    let held = open();
    let stop = Stop::default();
    stop.flag().store(15, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(source.read(slice, &plan, &stop).err().map(|e| e.code()), Some(Code::Interrupted));
    drop(held);
    // Also one that goes at once, while the server has said nothing yet.
    (0..50).for_each(|_| drop(open()));
    assert_eq!(drain(open()).unwrap().covered, 4);
}
