//! SQLite as a source: parts of it, in order, and what several reads see.

use floodmark_connect::{Range, ReadPlan, Slice, Source, Stop, SurveyRequest};
use floodmark_core::{DataType, Schema, Value, pipeline::Relation, url::ConnectionUrl, watermark::Bounds};
use floodmark_sqlite::SqliteSource;
use std::path::Path;

fn source(path: &Path, sql: &str) -> SqliteSource {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", path.display())).unwrap();
    SqliteSource::new(&url, Relation::Table("t".into())).unwrap()
}

fn surveyed(source: &SqliteSource) -> Slice {
    let slices = source.slices(&Stop::default()).unwrap();
    source.survey(&slices, &SurveyRequest::default(), &Stop::default()).unwrap();
    slices.into_iter().next().unwrap()
}

fn plan(data_type: DataType, from: Option<&str>, before: Option<&str>, sorted: bool) -> ReadPlan {
    let value = |text: &str| Value::parse(text, data_type).unwrap();
    let bounds = Bounds { from: from.map(value), exclusive: false, until: None, before: before.map(value) };
    ReadPlan {
        schema: Schema::new([("at", data_type)]),
        range: Some(Range { column: "at".into(), bounds, nulls: false }),
        sorted,
        ..ReadPlan::default()
    }
}

/// The values that come, without bad rows.
fn read(source: &SqliteSource, slice: &Slice, plan: &ReadPlan) -> Vec<String> {
    let data_type = plan.schema.columns[0].data_type;
    let batches = source.read(slice, plan, &Stop::default()).unwrap();
    let mut out = Vec::new();
    for batch in batches {
        let rows = batch.unwrap().rows;
        out.extend(
            (0..rows.num_rows())
                .map(|row| Value::from_array(rows.column(0).as_ref(), row, data_type).unwrap().to_string()),
        );
    }
    out
}

/// Type, declaration, what is stored (in SQL) in disorder, and the values in order.
type Axis = (DataType, &'static str, &'static str, &'static [&'static str]);

const AXES: &[Axis] = &[
    (DataType::BigInt, "INTEGER", "9, 10, -1, 2", &["-1", "2", "9", "10"]),
    (DataType::Double, "REAL", "1.5, -2, 1e300", &["-2.0", "1.5", "1e300"]),
    (DataType::Text, "TEXT COLLATE NOCASE", "'b', 'B', 'a', '10', '9'", &["10", "9", "B", "a", "b"]),
    (DataType::Decimal(10, 2), "DECIMAL(10,2)", "9.5, 10, '-3.25', 100", &["-3.25", "9.50", "10.00", "100.00"]),
    (DataType::Decimal(10, 2), "TEXT", "'9.50', '10.00', '-3.25'", &["-3.25", "9.50", "10.00"]),
    (
        DataType::Date,
        "DATE",
        "'2024-01-02', '+12024-01-01', '2024-01-01'",
        &["2024-01-01", "2024-01-02", "+12024-01-01"],
    ),
    (
        DataType::TimestampTz { nanos: false },
        "TIMESTAMPTZ",
        "'2024-01-01T01:00:00+02:00', '2024-01-01 00:00:00+00:00', '2023-12-31T23:30:00Z'",
        &["2023-12-31 23:00:00+00:00", "2023-12-31 23:30:00+00:00", "2024-01-01 00:00:00+00:00"],
    ),
    (DataType::Time, "TIME", "'10:00:00.5', '10:00:00', '09:00:00'", &["09:00:00", "10:00:00", "10:00:00.5"]),
];

#[test]
fn rows_come_in_order_and_from_where_to_where() {
    for (data_type, declared, stored, values) in AXES {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<String> = stored.split(", ").map(|v| format!("({v})")).collect();
        let sql = format!("CREATE TABLE t (at {declared}); INSERT INTO t VALUES (NULL), {}", rows.join(", "));
        let source = source(&dir.path().join("s.db"), &sql);
        let slice = surveyed(&source);
        let ends = (values[0], values[values.len() - 1]);
        let value = |text: &str| Value::parse(text, *data_type).unwrap();
        let extent = source.extent("at", *data_type, &Stop::default()).unwrap();
        assert_eq!(extent, Some(Some((value(ends.0), value(ends.1)))), "{data_type}");
        let all = read(&source, &slice, &plan(*data_type, None, None, true));
        assert_eq!(all, [&["NULL"], *values].concat(), "{data_type}");
        // What lies within is never left out, and comes in order.
        for from in 0..values.len() {
            for before in from + 1..values.len() {
                let found = read(&source, &slice, &plan(*data_type, Some(values[from]), Some(values[before]), true));
                let within = |v: &&String| values[from..before].contains(&v.as_str());
                let found: Vec<&String> = found.iter().filter(within).collect();
                assert_eq!(found, values[from..before].iter().collect::<Vec<_>>(), "{data_type}");
            }
        }
    }
}

#[test]
fn there_may_be_no_lowest_value() {
    let dir = tempfile::tempdir().unwrap();
    let source =
        source(&dir.path().join("s.db"), "CREATE TABLE t (at INTEGER, day DATE); INSERT INTO t VALUES (NULL, 'x')");
    surveyed(&source);
    for (column, data_type) in [("at", DataType::BigInt), ("day", DataType::Date)] {
        assert_eq!(source.extent(column, data_type, &Stop::default()).unwrap(), Some(None));
    }
}

/// Rows that come between a survey and its reads are in none of these, however many go on at once; and the database is let
/// go when they end.
#[test]
fn reads_at_the_same_time_see_what_the_survey_saw() {
    for mode in ["WAL", "DELETE"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let rows = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) INSERT INTO t SELECT i FROM n";
        let source = source(&path, &format!("PRAGMA journal_mode = {mode}; CREATE TABLE t (at INTEGER); {rows}"));
        let slice = surveyed(&source);
        let writer = rusqlite::Connection::open(&path).unwrap();
        writer.busy_timeout(std::time::Duration::ZERO).unwrap();
        let moved = writer.execute("UPDATE t SET at = at + 1000000", []);
        assert_eq!(moved.is_ok(), mode == "WAL", "{mode}: others write where that does no harm");
        let halves =
            [plan(DataType::BigInt, None, Some("50000"), false), plan(DataType::BigInt, Some("50000"), None, false)];
        let open: Vec<_> = halves.iter().map(|plan| source.read(&slice, plan, &Stop::default()).unwrap()).collect();
        let counted: Vec<usize> = std::thread::scope(|scope| {
            let counts = open.into_iter().map(|half| scope.spawn(|| half.map(|b| b.unwrap().rows.num_rows()).sum()));
            counts.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(counted, [50_000, 50_000], "{mode}");
        writer.execute("UPDATE t SET at = 7", []).unwrap_or_else(|e| panic!("{mode}: the database is still held: {e}"));
        let later = read(&source, &slice, &plan(DataType::BigInt, None, None, false));
        assert!(later.iter().all(|v| v == "7"), "{mode}: a later read begins anew");
    }
}

/// A read that nobody takes to its end lets the next one go on.
#[test]
fn a_dropped_read_ends_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199999) INSERT INTO t SELECT i FROM n";
    let source = source(&dir.path().join("s.db"), &format!("CREATE TABLE t (at INTEGER); {rows}"));
    let slice = surveyed(&source);
    let whole = plan(DataType::BigInt, None, None, false);
    let mut first = source.read(&slice, &whole, &Stop::default()).unwrap();
    first.next().unwrap().unwrap();
    let second = source.read(&slice, &whole, &Stop::default()).unwrap();
    drop(first);
    assert_eq!(second.map(|b| b.unwrap().rows.num_rows()).sum::<usize>(), 200_000);
}

/// Whoever opens or deletes the file next must not find it open; a sort that takes long is broken off for that.
#[cfg(target_os = "linux")]
#[test]
fn a_read_that_is_dropped_has_let_go_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let rows = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
                INSERT INTO t SELECT i, (i * 7919) % 1000003 FROM n";
    let source = source(&path, &format!("CREATE TABLE t (at INTEGER, v INTEGER); {rows}"));
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", path.display())).unwrap();
    drop(source);
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok()).filter(|file| *file == path).count()
    };
    let long = "SELECT at FROM t, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) ORDER BY v, at";
    for (relation, takes) in [(Relation::Table("t".into()), 1), (Relation::Query(long.into()), 0)] {
        let source = SqliteSource::new(&url, relation).unwrap();
        let slice = surveyed(&source);
        let mut rows = source.read(&slice, &plan(DataType::BigInt, None, None, false), &Stop::default()).unwrap();
        for _ in 0..takes {
            rows.next().unwrap().unwrap();
        }
        drop(source);
        assert_eq!(open(), 1);
        let since = std::time::Instant::now();
        drop(rows);
        assert_eq!(open(), 0);
        assert!(since.elapsed() < std::time::Duration::from_secs(1), "it took {:?}", since.elapsed());
    }
}
