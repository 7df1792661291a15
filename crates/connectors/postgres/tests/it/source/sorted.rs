//! Rows in the order of a column, and its ends.

use super::{Database, drain, survey, table};
use floodmark_connect::{Range, ReadPlan, Source, Stop};
use floodmark_core::{Code, DataType, Schema, Value, watermark::Bounds};

fn made() -> Database {
    let database = Database::new();
    database
        .client()
        .batch_execute(
            "CREATE COLLATION natural_order (provider = icu, locale = 'en-u-kn-true');
             CREATE TABLE t (id int, x text COLLATE natural_order, c char(3), n numeric, d date, at timestamptz, o oid, u uuid,
                             j json, b bool);
             INSERT INTO t VALUES
               (3, 'b', 'b', 10, '2024-01-03', '2024-01-01 00:00:00.5+02', 7, 'ffffffff-0000-0000-0000-000000000000', '1', true),
               (1, 'B', 'B', 9.5, '0999-12-31', '2024-01-01 00:00:00+00', 4000000000, '0fffffff-0000-0000-0000-000000000000', '2', false),
               (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
               (2, 'x10', 'x', -1.25, '10000-01-01', '2024-01-01 01:00:00+00', 8, 'afffffff-0000-0000-0000-000000000000', '3', true),
               (0, 'x9', '', 0, '2024-01-02', '1999-01-01 00:00:00+00', 9, '00000000-0000-0000-0000-000000000000', '0', false);
             CREATE TABLE nothing (id int, x text); INSERT INTO nothing VALUES (NULL, 'a')",
        )
        .unwrap();
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
    schema.columns.iter_mut().filter(|c| c.name == "o").for_each(|c| c.data_type = DataType::Text);
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
    database.client().batch_execute("INSERT INTO t (id, x) VALUES (-7, 'zzz')").unwrap();
    let extent = |column: &str| {
        let data_type = schema.get(column).unwrap().data_type;
        source.extent(column, data_type, &Stop::default()).unwrap()
    };
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(extent("id"), Some(Some((Value::Int(0), Value::Int(3)))));
    assert_eq!(extent("x"), Some(Some((text("B"), text("x9")))));
    assert_eq!(extent("c"), Some(Some((text(""), text("x")))));
    assert_eq!(extent("n"), Some(Some((Value::Decimal(-1_250_000_000, 9), Value::Decimal(10_000_000_000, 9)))));
    // A year that has no text of its own is left to whoever reads the rows.
    assert_eq!(extent("d"), None);
    let at = |text: &str| Value::parse(text, DataType::TimestampTz { nanos: false }).unwrap();
    assert_eq!(extent("at"), Some(Some((at("1999-01-01 00:00:00Z"), at("2024-01-01 01:00:00Z")))));
    // What has no order of ours, or none at all, is not told.
    assert_eq!((extent("b"), extent("j")), (None, None));
    let nothing = table(&database, "nothing");
    assert_eq!(nothing.extent("id", DataType::BigInt, &Stop::default()).unwrap(), Some(None));
    assert_eq!(nothing.extent("x", DataType::Date, &Stop::default()).unwrap(), None);
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
    assert_eq!(read("x", Value::Text("B".into()), Value::Text("x9".into())), ["1", "3", "2"]);
    let at = |text: &str| Value::parse(text, DataType::TimestampTz { nanos: false }).unwrap();
    assert_eq!(read("at", at("1999-01-01 00:00:00Z"), at("2024-01-01 00:00:00Z")), ["0", "3"]);
}

#[test]
fn readers_at_the_same_time_see_the_same() {
    let database = made();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    database.client().batch_execute("DELETE FROM t WHERE id = 1").unwrap();
    let open = || {
        let plan = ReadPlan { schema: schema.clone(), range: Some(range("id")), sorted: true, ..ReadPlan::default() };
        source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default()).unwrap()
    };
    let (one, other) = (open(), open());
    assert_eq!(
        source.extent("id", DataType::BigInt, &Stop::default()).unwrap(),
        Some(Some((Value::Int(0), Value::Int(3))))
    );
    assert_eq!((drain(one).unwrap().covered, drain(other).unwrap().covered), (4, 4));
}
