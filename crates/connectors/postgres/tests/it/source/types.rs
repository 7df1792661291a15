//! Values of every type, and those that no type of ours holds.

use super::{Database, all, drain, open, query, survey, table};
use floodmark_connect::{Source, Stop, SurveyRequest};
use floodmark_core::{Code, DataType, Schema};
use floodmark_postgres::types::READ;

const TZ: DataType = DataType::TimestampTz { nanos: false };
const TS: DataType = DataType::Timestamp { nanos: false };

/// Type, a value of it, ours, and the value as ours.
const TYPES: &[(&str, &str, DataType, &str)] = &[
    ("boolean", "false", DataType::Bool, "false"),
    ("smallint", "-32768", DataType::BigInt, "-32768"),
    ("integer", "2147483647", DataType::BigInt, "2147483647"),
    ("bigint", "-9223372036854775808", DataType::BigInt, "-9223372036854775808"),
    ("oid", "4294967295", DataType::BigInt, "4294967295"),
    ("real", "0.1", DataType::Double, "0.10000000149011612"),
    ("double precision", "0.1", DataType::Double, "0.1"),
    ("double precision", "-Infinity", DataType::Double, "-inf"),
    ("numeric(12,2)", "-12.3", DataType::Decimal(12, 2), "-12.30"),
    (
        "numeric(38,38)",
        "0.00000000000000000000000000000000000001",
        DataType::Decimal(38, 38),
        "0.00000000000000000000000000000000000001",
    ),
    ("numeric(5,-2)", "1234567", DataType::Decimal(7, 0), "1234600"),
    (
        "numeric",
        "12345678901234567890123456789.123456789",
        DataType::Decimal(38, 9),
        "12345678901234567890123456789.123456789",
    ),
    ("numeric(50,20)", "-1.00000000000000000001", DataType::Decimal(38, 20), "-1.00000000000000000001"),
    ("text", "h\u{e9} ''\"\\ \u{1f600}\n", DataType::Text, "h\u{e9} '\"\\ \u{1f600}\n"),
    ("varchar(5)", "a b", DataType::Text, "a b"),
    ("char(5)", " a\n ", DataType::Text, " a\n"),
    ("char(5)", "", DataType::Text, ""),
    ("name", "n", DataType::Text, "n"),
    ("\"char\"", "x", DataType::Text, "x"),
    ("json", "{\"b\" : 1.0, \"a\":1}", DataType::Json, "{\"b\" : 1.0, \"a\":1}"),
    ("jsonb", "{\"b\" : 1.0, \"a\":1}", DataType::Json, "{\"a\": 1, \"b\": 1.0}"),
    ("bytea", "\\x00ff", DataType::Bytes, "00ff"),
    ("uuid", "6F1B3C1E-0000-4000-8000-00000000000f", DataType::Text, "6f1b3c1e-0000-4000-8000-00000000000f"),
    ("date", "2024-02-29", DataType::Date, "2024-02-29"),
    ("date", "0001-01-01", DataType::Date, "0001-01-01"),
    ("time", "23:59:59.999999", DataType::Time, "23:59:59.999999"),
    ("time(0)", "12:00:00", DataType::Time, "12:00:00"),
    ("timetz", "12:00:00+02", DataType::Text, "12:00:00+02"),
    ("timestamp", "1969-12-31 23:59:59.999999", TS, "1969-12-31 23:59:59.999999"),
    ("timestamptz", "2024-01-01 12:00:00+02", TZ, "2024-01-01 10:00:00+00:00"),
    ("interval", "1 mon 2 days 03:00", DataType::Text, "1 mon 2 days 03:00:00"),
    ("integer[]", "{1,NULL,3}", DataType::Text, "{1,NULL,3}"),
    ("bytea[]", "{\"\\\\x00ff\"}", DataType::Text, "{\"\\\\x00ff\"}"),
    ("timestamptz[]", "{2024-01-01 12:00:00+02}", DataType::Text, "{\"2024-01-01 10:00:00+00\"}"),
    ("int4range", "[1,5]", DataType::Text, "[1,6)"),
    ("mood", "ok", DataType::Text, "ok"),
    ("pair", "(1,\"a b\")", DataType::Text, "(1,\"a b\")"),
    ("cents", "5", DataType::Decimal(12, 2), "5.00"),
    ("code", "ab ", DataType::Text, "ab"),
    ("point", "(1,2)", DataType::Text, "(1,2)"),
    ("inet", "10.0.0.1/24", DataType::Text, "10.0.0.1/24"),
    ("bit(3)", "101", DataType::Text, "101"),
    ("xml", "<a/>", DataType::Text, "<a/>"),
    ("tsvector", "a b", DataType::Text, "'a' 'b'"),
    ("pg_lsn", "0/10", DataType::Text, "0/10"),
];

fn everything(database: &Database) {
    let columns: Vec<String> = (0..TYPES.len()).map(|n| format!("c{n} {}", TYPES[n].0)).collect();
    let values: Vec<String> = TYPES.iter().map(|(t, value, ..)| format!("'{value}'::{t}")).collect();
    let nulls = vec!["NULL"; TYPES.len()].join(", ");
    let sql = format!(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
         CREATE DOMAIN cents AS numeric(12,2); CREATE DOMAIN code AS char(5);
         CREATE TABLE t ({}); INSERT INTO t VALUES ({}), ({nulls})",
        columns.join(", "),
        values.join(", ")
    );
    database.client().batch_execute(&sql).unwrap();
}

#[test]
fn every_type_arrives_exactly() {
    let database = Database::new();
    everything(&database);
    // Of a table, and of a query.
    for source in [table(&database, "t"), query(&database, "SELECT * FROM t;")] {
        let schema = survey(&source, None).unwrap().schema;
        let read = drain(open(&source, &schema, None)).unwrap();
        assert_eq!((read.rows.len(), read.bad.len()), (2, 0));
        for (n, (name, _, data_type, value)) in TYPES.iter().enumerate() {
            assert_eq!(schema.columns[n].data_type, *data_type, "{name}");
            assert_eq!(read.rows[0][n], *value, "{name}");
            assert_eq!(read.rows[1][n], "NULL", "{name}");
        }
    }
}

#[test]
fn every_type_can_be_had_as_text() {
    let database = Database::new();
    everything(&database);
    let source = table(&database, "t");
    let names = survey(&source, None).unwrap().schema;
    let schema = Schema::new(names.names().into_iter().map(|name| (name, DataType::Text)));
    let read = drain(open(&source, &schema, None)).unwrap();
    assert_eq!((read.rows.len(), read.bad.len()), (2, 0));
    let of = |name: &str| read.rows[0][TYPES.iter().position(|(t, ..)| *t == name).unwrap()].clone();
    assert_eq!(of("real"), "0.1");
    assert_eq!(of("bytea"), "\\x00ff");
    assert_eq!(of("timestamptz"), "2024-01-01 10:00:00+00");
    assert_eq!(of("boolean"), "false");
}

#[test]
fn what_no_type_holds_is_a_bad_row_with_its_remedy() {
    let database = Database::new();
    database
        .client()
        .batch_execute(
            "CREATE TABLE t (id int, n numeric, day date, at timestamptz);
             INSERT INTO t VALUES (1, 1.5, '2024-01-01', '2024-01-01 00:00:00+00'), (2, 'NaN', NULL, NULL),
               (3, 1.0000000001, NULL, NULL), (4, 1e30, NULL, NULL), (5, 0, 'infinity', NULL), (6, 0, NULL, '-infinity')",
        )
        .unwrap();
    let source = table(&database, "t");
    let read = all(&source);
    assert_eq!(read.rows, [["1", "1.500000000", "2024-01-01", "2024-01-01 00:00:00+00:00"]]);
    let told: Vec<(u64, String, String)> = read
        .bad
        .iter()
        .map(|bad| {
            assert_eq!(bad.error.code(), Code::BadValue);
            let place = bad.error.place().unwrap();
            (bad.row, place.column.clone().unwrap(), place.value.clone().unwrap())
        })
        .collect();
    let is = |row, column: &str, value: &str| (row, column.to_owned(), value.to_owned());
    assert_eq!(
        told,
        [
            is(2, "n", "NaN"),
            is(3, "n", "1.0000000001"),
            is(4, "n", "1000000000000000000000000000000"),
            is(5, "day", "infinity"),
            is(6, "at", "-infinity")
        ]
    );
    assert_eq!(read.bad[3].raw, r#"{"id":"5","n":"0","day":"infinity","at":null}"#);
    assert!(read.bad[1].error.advice()[0].contains("columns: {n: {type: decimal(38,18)}}"), "{:?}", read.bad[1].error);
    // The type that the message names takes them.
    let schema = Schema::new([("n", DataType::Decimal(38, 18))]);
    survey(&source, None).unwrap();
    let read = drain(open(&source, &schema, None)).unwrap();
    assert_eq!(read.rows[1], ["1.000000000100000000"]);
}

/// A type pinned by an earlier load, or asked for.
#[test]
fn other_types_are_read_as_far_as_they_are_exact() {
    let database = Database::new();
    database
        .client()
        .batch_execute(
            "CREATE TABLE t (i int, d date, s timestamp, n numeric(10,2), x text, f double precision);
             INSERT INTO t VALUES (5, '2024-01-01', '2024-01-01', 3.00, '7', 0.25),
               (5, '2024-01-01', '2024-01-01 12:00', 3.50, 'a', 0.25)",
        )
        .unwrap();
    let source = table(&database, "t");
    survey(&source, None).unwrap();
    let schema = Schema::new([
        ("i", DataType::Decimal(10, 2)),
        ("d", TS),
        ("n", DataType::BigInt),
        ("x", DataType::BigInt),
        ("s", DataType::Date),
        ("f", DataType::Decimal(5, 3)),
    ]);
    let read = drain(open(&source, &schema, None)).unwrap();
    assert_eq!(read.rows, [["5.00", "2024-01-01 00:00:00", "3", "7", "2024-01-01", "0.250"]]);
    assert_eq!(read.bad[0].error.place().unwrap().column.as_deref(), Some("n"));
}

#[test]
fn a_number_without_limits_is_what_it_was_pinned_to() {
    let database = Database::new();
    database.client().batch_execute("CREATE TABLE t (n numeric, m numeric(9,1))").unwrap();
    let pinned = [("n", DataType::Decimal(38, 18)), ("m", DataType::Decimal(38, 18))];
    let request = SurveyRequest { pinned: pinned.map(|(n, t)| (n.to_owned(), t)).into(), ..SurveyRequest::default() };
    let source = table(&database, "t");
    let slices = source.slices(&Stop::default()).unwrap();
    let expected = Schema::new([("n", DataType::Decimal(38, 18)), ("m", DataType::Decimal(9, 1))]);
    assert_eq!(source.survey(&slices, &request, &Default::default()).unwrap().schema, expected);
    let glance = source.glance(&slices, &request, &Default::default()).unwrap();
    assert_eq!((glance.schema, glance.whole), (expected, true));
}

#[test]
fn types_are_read_as_the_page_says() {
    let database = Database::new();
    let columns: Vec<String> = READ.iter().enumerate().map(|(n, (t, _))| format!("c{n} {t}")).collect();
    database.client().batch_execute(&format!("CREATE TABLE t ({})", columns.join(", "))).unwrap();
    let found = survey(&table(&database, "t"), None).unwrap().schema;
    let expected: Vec<DataType> = READ.iter().map(|(_, ours)| *ours).collect();
    assert_eq!(found.columns.iter().map(|c| c.data_type).collect::<Vec<_>>(), expected);
}
