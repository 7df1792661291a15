//! Values of every type, and those that no type of ours holds.

use super::{Mysql, all, drain, open, query, survey, table};
use floodmark_connect::{Source, Stop, SurveyRequest};
use floodmark_core::{Code, DataType, Schema};
use floodmark_mysql::types::READ;

const TZ: DataType = DataType::TimestampTz { nanos: false };
const TS: DataType = DataType::Timestamp { nanos: false };

/// Type, a value of it, ours, and the value as ours.
const TYPES: &[(&str, &str, DataType, &str)] = &[
    ("tinyint", "-128", DataType::BigInt, "-128"),
    ("tinyint(1)", "2", DataType::BigInt, "2"),
    ("boolean", "true", DataType::BigInt, "1"),
    ("tinyint unsigned", "255", DataType::BigInt, "255"),
    ("smallint", "-32768", DataType::BigInt, "-32768"),
    ("smallint unsigned", "65535", DataType::BigInt, "65535"),
    ("mediumint", "-8388608", DataType::BigInt, "-8388608"),
    ("int", "-2147483648", DataType::BigInt, "-2147483648"),
    ("int unsigned", "4294967295", DataType::BigInt, "4294967295"),
    ("int(6) zerofill", "42", DataType::BigInt, "42"),
    ("bigint", "-9223372036854775808", DataType::BigInt, "-9223372036854775808"),
    ("bigint unsigned", "18446744073709551615", DataType::Decimal(20, 0), "18446744073709551615"),
    ("bigint zerofill", "0", DataType::Decimal(20, 0), "0"),
    ("bit(1)", "b'1'", DataType::Bool, "true"),
    ("bit(9)", "b'111111111'", DataType::BigInt, "511"),
    ("bit(64)", "18446744073709551615", DataType::Decimal(20, 0), "18446744073709551615"),
    ("decimal(12,2)", "-12.3", DataType::Decimal(12, 2), "-12.30"),
    ("decimal(9,2) zerofill", "0.5", DataType::Decimal(9, 2), "0.50"),
    (
        "decimal(38,38)",
        "0.00000000000000000000000000000000000001",
        DataType::Decimal(38, 38),
        "0.00000000000000000000000000000000000001",
    ),
    (
        "decimal(38,0)",
        "-99999999999999999999999999999999999999",
        DataType::Decimal(38, 0),
        "-99999999999999999999999999999999999999",
    ),
    (
        "decimal(65,30)",
        "-1.000000000000000000000000000001",
        DataType::Decimal(38, 30),
        "-1.000000000000000000000000000001",
    ),
    ("float", "0.1", DataType::Double, "0.10000000149011612"),
    ("float", "16777217", DataType::Double, "16777216.0"),
    ("float(7,3)", "9777.217", DataType::Double, "9777.216796875"),
    ("double", "0.1", DataType::Double, "0.1"),
    ("double", "-1.7976931348623157e308", DataType::Double, "-1.7976931348623157e308"),
    ("double", "5e-324", DataType::Double, "5e-324"),
    ("double(20,2)", "12345678901234567.12", DataType::Double, "1.2345678901234568e16"),
    ("char(5)", "' a '", DataType::Text, " a"),
    ("varchar(20)", "'h\u{e9} ''\"\u{1f600}  '", DataType::Text, "h\u{e9} '\"\u{1f600}  "),
    ("varchar(5) character set latin1", "'\u{e9}'", DataType::Text, "\u{e9}"),
    ("varchar(5) character set ucs2", "'\u{e9}'", DataType::Text, "\u{e9}"),
    ("tinytext", "'t'", DataType::Text, "t"),
    ("longtext", "'l'", DataType::Text, "l"),
    ("enum('a','b')", "'b'", DataType::Text, "b"),
    ("set('x','y')", "'x,y'", DataType::Text, "x,y"),
    ("binary(3)", "x'01'", DataType::Bytes, "010000"),
    ("varbinary(9)", "x'00ff'", DataType::Bytes, "00ff"),
    ("mediumblob", "x'ff00'", DataType::Bytes, "ff00"),
    ("json", "'{\"b\" : 1.0}'", DataType::Json, "{\"b\" : 1.0}"),
    ("uuid", "'6F1B3C1E-0000-4000-8000-00000000000f'", DataType::Text, "6f1b3c1e-0000-4000-8000-00000000000f"),
    ("inet6", "'::1'", DataType::Text, "::1"),
    ("inet4", "'10.0.0.1'", DataType::Text, "10.0.0.1"),
    (
        "point",
        "ST_GeomFromText('POINT(1 0)', 4326)",
        DataType::Bytes,
        "e61000000101000000000000000000f03f0000000000000000",
    ),
    ("date", "'2024-02-29'", DataType::Date, "2024-02-29"),
    ("date", "'9999-12-31'", DataType::Date, "9999-12-31"),
    ("time", "'23:59:59'", DataType::Time, "23:59:59"),
    ("time(6)", "'00:00:00.000001'", DataType::Time, "00:00:00.000001"),
    ("datetime", "'1000-01-01 00:00:00'", TS, "1000-01-01 00:00:00"),
    ("datetime(6)", "'1969-12-31 23:59:59.999999'", TS, "1969-12-31 23:59:59.999999"),
    ("timestamp(3) NULL", "'2024-01-01 10:00:00.25'", TZ, "2024-01-01 10:00:00.25+00:00"),
    ("year", "1901", DataType::BigInt, "1901"),
    ("year", "'0000'", DataType::BigInt, "0"),
];

fn everything(database: &Mysql) {
    let columns: Vec<String> = (0..TYPES.len()).map(|n| format!("c{n} {}", TYPES[n].0)).collect();
    let values: Vec<&str> = TYPES.iter().map(|(_, value, ..)| *value).collect();
    let nulls = vec!["NULL"; TYPES.len()].join(", ");
    let sql = format!(
        "SET time_zone = '+00:00'; CREATE TABLE t ({}); INSERT INTO t VALUES ({}), ({nulls})",
        columns.join(", "),
        values.join(", ")
    );
    database.client().run(&sql);
}

#[test]
fn every_type_arrives_exactly() {
    let database = Mysql::empty().unwrap();
    everything(&database);
    // Of a table, and of a query.
    for source in [table(&database, "t"), query(&database, "SELECT * FROM t;")] {
        let schema = survey(&source, None).unwrap().schema;
        let read = drain(open(&source, &schema, None)).unwrap();
        assert_eq!((read.rows.len(), read.bad.len()), (2, 0), "{:?}", read.bad);
        for (n, (name, _, data_type, value)) in TYPES.iter().enumerate() {
            assert_eq!(schema.columns[n].data_type, *data_type, "{name}");
            assert_eq!(read.rows[0][n], *value, "{name}");
            assert_eq!(read.rows[1][n], "NULL", "{name}");
        }
    }
}

#[test]
fn every_type_can_be_had_as_text() {
    let database = Mysql::empty().unwrap();
    everything(&database);
    let source = table(&database, "t");
    let names = survey(&source, None).unwrap().schema;
    // Bytes that are no UTF-8 are not text.
    let textual = |name: &&str| !matches!(TYPES[name[1..].parse::<usize>().unwrap()].0, "varbinary(9)" | "mediumblob");
    let schema = Schema::new(names.names().into_iter().filter(textual).map(|name| (name, DataType::Text)));
    let read = drain(open(&source, &schema, None)).unwrap();
    assert_eq!((read.rows.len(), read.bad.len()), (2, 0), "{:?}", read.bad);
    let of = |name: &str| {
        let column = format!("c{}", TYPES.iter().position(|(t, ..)| *t == name).unwrap());
        read.rows[0][schema.names().iter().position(|n| **n == column).unwrap()].clone()
    };
    assert_eq!(of("float"), "0.1");
    assert_eq!(of("float(7,3)"), "9777.217");
    assert_eq!(of("int(6) zerofill"), "000042");
    assert_eq!(of("bit(64)"), "18446744073709551615");
    assert_eq!(of("timestamp(3) NULL"), "2024-01-01 10:00:00.250+00:00");
    assert_eq!(of("point"), "POINT(1 0)");
}

#[test]
fn what_no_type_holds_is_a_bad_row_with_its_remedy() {
    let database = Mysql::empty().unwrap();
    database.client().run(
        "SET sql_mode = ''; SET time_zone = '+00:00';
         CREATE TABLE t (id int, n decimal(40,2), day date, at datetime, ts timestamp NULL, span time, b varbinary(9));
         INSERT INTO t VALUES (1, 1.5, '2024-01-01', '2024-01-01', '2024-01-01', '10:00', 'a'),
           (2, 12345678901234567890123456789012345678, NULL, NULL, NULL, NULL, NULL),
           (3, 0, '0000-00-00', NULL, NULL, NULL, x'ff'), (4, 0, NULL, '2024-00-00', NULL, NULL, NULL),
           (5, 0, NULL, NULL, '0000-00-00', NULL, NULL), (6, 0, NULL, NULL, NULL, '-838:59:59', NULL),
           (7, 0, NULL, NULL, NULL, '24:00:00', NULL), (8, 0, '2024-02-00', NULL, NULL, NULL, NULL)",
    );
    let source = table(&database, "t");
    let read = all(&source);
    assert_eq!(
        read.rows,
        [["1", "1.50", "2024-01-01", "2024-01-01 00:00:00", "2024-01-01 00:00:00+00:00", "10:00:00", "61"]]
    );
    let told: Vec<(u64, &str, &str)> = read
        .bad
        .iter()
        .map(|bad| {
            assert_eq!(bad.error.code(), Code::BadValue);
            let place = bad.error.place().unwrap();
            (bad.row, place.column.as_deref().unwrap(), place.value.as_deref().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            (2, "n", "12345678901234567890123456789012345678.00"),
            (3, "day", "0000-00-00"),
            (4, "at", "2024-00-00 00:00:00"),
            (5, "ts", "0000-00-00 00:00:00"),
            (6, "span", "-838:59:59"),
            (7, "span", "24:00:00"),
            (8, "day", "2024-02-00"),
        ]
    );
    let raw = r#"{"id":"3","n":"0.00","day":"0000-00-00","at":null,"ts":null,"span":null,"b":"0xff"}"#;
    assert_eq!(read.bad[1].raw, raw);
    assert!(read.bad[0].error.advice()[0].contains("columns: {n: {type: decimal(38,0)}}"), "{:?}", read.bad[0].error);
    let zero = &read.bad[1].error.advice()[0];
    assert!(zero.contains("nullif(day, 0) AS day") && zero.contains("columns: {day: {type: text}}"), "{zero}");
    // What the messages name takes them.
    let schema = Schema::new([("day", DataType::Text), ("span", DataType::Text)]);
    survey(&source, None).unwrap();
    let read = drain(open(&source, &schema, None)).unwrap();
    assert_eq!((read.rows[2][0].as_str(), read.rows[5][1].as_str(), read.bad.len()), ("0000-00-00", "-838:59:59", 0));
    let source = query(&database, "SELECT id, nullif(day, 0) AS day FROM t WHERE id < 4");
    let read = all(&source);
    assert_eq!(read.rows, [["1", "2024-01-01"], ["2", "NULL"], ["3", "NULL"]]);
    assert_eq!(survey(&source, None).unwrap().schema.columns[1].data_type, DataType::Date);
}

/// A type pinned by an earlier load, or asked for.
#[test]
fn other_types_are_read_as_far_as_they_are_exact() {
    let database = Mysql::empty().unwrap();
    database.client().run(
        "CREATE TABLE t (i int, d date, s datetime, n decimal(10,2), x varchar(9), f double, b tinyint(1));
         INSERT INTO t VALUES (5, '2024-01-01', '2024-01-01', 3.00, '7', 0.25, 1),
           (5, '2024-01-01', '2024-01-01 12:00', 3.50, 'a', 0.25, 0), (5, NULL, NULL, NULL, NULL, NULL, 2)",
    );
    let source = table(&database, "t");
    survey(&source, None).unwrap();
    let schema = Schema::new([
        ("i", DataType::Decimal(10, 2)),
        ("d", TS),
        ("n", DataType::BigInt),
        ("x", DataType::BigInt),
        ("s", DataType::Date),
        ("f", DataType::Decimal(5, 3)),
        ("b", DataType::Bool),
    ]);
    let read = drain(open(&source, &schema, None)).unwrap();
    assert_eq!(read.rows, [["5.00", "2024-01-01 00:00:00", "3", "7", "2024-01-01", "0.250", "true"]]);
    let places: Vec<_> = read.bad.iter().map(|bad| bad.error.place().unwrap().column.as_deref().unwrap()).collect();
    assert_eq!(places, ["n", "b"]);
}

#[test]
fn a_number_of_too_many_digits_is_what_it_was_pinned_to() {
    let database = Mysql::empty().unwrap();
    database.client().run("CREATE TABLE t (n decimal(65,0), m decimal(9,1))");
    let pinned = [("n", DataType::Decimal(38, 18)), ("m", DataType::Decimal(38, 18))];
    let request = SurveyRequest { pinned: pinned.map(|(n, t)| (n.to_owned(), t)).into(), ..SurveyRequest::default() };
    let source = table(&database, "t");
    let slices = source.slices(&Stop::default()).unwrap();
    let expected = Schema::new([("n", DataType::Decimal(38, 18)), ("m", DataType::Decimal(9, 1))]);
    assert_eq!(source.survey(&slices, &request, &Default::default()).unwrap().schema, expected);
    let glance = source.glance(&slices, &request, &Default::default()).unwrap();
    assert_eq!((glance.schema, glance.whole), (expected, true));
}

/// Expressions have types, too.
#[test]
fn a_query_has_the_types_of_its_expressions() {
    let database = Mysql::empty().unwrap();
    let sql = "SELECT 1 AS i, 1.50 AS n, 'a' AS t, sum(x) AS s, count(*) AS c, avg(x) AS a, max(d) AS d, NULL AS e,
                 cast(1 AS unsigned) AS u, now() AS m
               FROM (SELECT 1 AS x, DATE'2024-01-01' AS d) AS q # the end";
    let schema = survey(&query(&database, sql), None).unwrap().schema;
    let types: Vec<DataType> = schema.columns.iter().map(|c| c.data_type).collect();
    assert_eq!(types[..4], [DataType::BigInt, DataType::Decimal(3, 2), DataType::Text, DataType::Decimal(32, 0)]);
    assert_eq!((types[4], types[6]), (DataType::BigInt, DataType::Date));
    assert_eq!(types[9], TS);
    assert!(schema.columns[7].undecided, "{schema:?}");
}

/// A double of any bits comes back as the same bits.
#[test]
fn doubles_are_the_same_bits() {
    let database = Mysql::empty().unwrap();
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let mut values = Vec::new();
    while values.len() < 5000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let value = f64::from_bits(bits ^ (bits >> 29));
        if value.is_finite() && value.is_normal() {
            values.push(value);
        }
    }
    let rows: Vec<String> = values.iter().enumerate().map(|(n, v)| format!("({n},{v:e})")).collect();
    database
        .client()
        .run(&format!("CREATE TABLE t (n int PRIMARY KEY, d double); INSERT INTO t VALUES {}", rows.join(",")));
    let source = query(&database, "SELECT d FROM t ORDER BY n LIMIT 5000");
    let read = all(&source);
    for (value, row) in values.iter().zip(&read.rows) {
        assert_eq!(row[0].parse::<f64>().unwrap().to_bits(), value.to_bits(), "{value:e}");
    }
    assert_eq!(read.rows.len(), values.len());
}

#[test]
fn types_are_read_as_the_page_says() {
    let database = Mysql::empty().unwrap();
    let columns: Vec<String> = READ.iter().enumerate().map(|(n, (t, _))| format!("c{n} {t}")).collect();
    database.client().run(&format!("CREATE TABLE t ({})", columns.join(", ")));
    let found = survey(&table(&database, "t"), None).unwrap().schema;
    for ((declared, ours), column) in READ.iter().zip(&found.columns) {
        assert_eq!(column.data_type, *ours, "{declared}");
    }
}
