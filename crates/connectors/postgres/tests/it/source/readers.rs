//! Several sessions that read one table: the rows of one snapshot, each once, in the order in which one session reads them.

use super::{All, Database, drain, open, survey, table_by};
use floodmark_connect::{Batches, Range, ReadPlan, Source, Stop, SurveyRequest};
use floodmark_core::{Code, Value, pipeline::Relation, watermark::Bounds};
use floodmark_postgres::PostgresSource;
use postgres::Client;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

/// More rows than wait anywhere on the way: 80 MB of them.
const ROWS: &str = "CREATE TABLE t (id int, n int, x text) WITH (autovacuum_enabled = off);
                    INSERT INTO t SELECT g, g, repeat('x', 200) FROM generate_series(1, 300000) g";

/// A table of some 40 MB that has few rows.
const SPARSE: &str = "CREATE TABLE t (id int PRIMARY KEY, at date, x text) WITH (fillfactor = 10);
                      INSERT INTO t SELECT g, date '2024-01-01' + g / 100, repeat('x', 40) FROM generate_series(1, 50000) g";

/// The server's processes that copy, or have copied a part whose last rows wait.
pub(super) fn copying(database: &Database) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND state IN ('active', 'idle in transaction')
                 AND backend_type = 'client backend' AND query LIKE 'COPY%' ORDER BY backend_start";
    database.client().query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Waits until so many copy, in the order in which they connected.
pub(super) fn held(database: &Database, readers: usize) -> Vec<i32> {
    let since = Instant::now();
    loop {
        let pids = copying(database);
        if pids.len() == readers {
            // No more come.
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(copying(database), pids);
            return pids;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{} copy, and not {readers}", pids.len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The server has heard that a reading is over.
fn none_is_left(database: &Database, of: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'floodmark source' AND {of}"
    );
    let (mut client, since) = (database.client(), Instant::now());
    while client.query_one(&sql, &[]).unwrap().get::<_, i64>(0) > 0 {
        assert!(since.elapsed() < Duration::from_secs(5), "sessions are left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where the server itself looks through a table by several processes, that is for one session, and rows come in no order.
fn one_process(client: &mut Client) {
    let sql = "DO $$ BEGIN
                 EXECUTE format('ALTER DATABASE %I SET max_parallel_workers_per_gather = 0', current_database());
               END $$";
    client.batch_execute(sql).unwrap();
}

/// What is read, all columns in their own types.
fn by(database: &Database, name: &str, readers: usize, range: Option<Range>) -> All {
    let source = table_by(database, name, readers);
    let schema = survey(&source, None).unwrap().schema;
    drain(open(&source, &schema, range)).unwrap()
}

fn rest(first: floodmark_connect::Batch, batches: Box<dyn Batches>) -> All {
    drain(std::iter::once(Ok(first)).chain(batches)).unwrap()
}

/// Rows are changed, moved to other pages, deleted, added and cleared away: before the readers begin, when some of them have,
/// and in their middle.
#[test]
fn p4_p8_the_rows_are_those_of_one_snapshot_in_their_order() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(ROWS).unwrap();
    let mut change = |sql: &str| {
        client.batch_execute(sql).unwrap();
        client.batch_execute("VACUUM t").unwrap();
    };
    // Rows that were moved, and room that was freed, before the snapshot.
    change("UPDATE t SET n = id WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0");
    let expected = by(&database, "t", 1, None).rows;
    let source = table_by(&database, "t", 3);
    let schema = survey(&source, None).unwrap().schema;
    change(
        "UPDATE t SET n = -1 WHERE id <= 100000; DELETE FROM t WHERE id % 5 = 0;
         INSERT INTO t SELECT -g, g, 'new' FROM generate_series(1, 100000) g",
    );
    let mut batches = open(&source, &schema, None);
    let first = batches.next().unwrap().unwrap();
    change("UPDATE t SET n = -2, x = x || 'y' WHERE id % 2 = 0");
    held(&database, 3);
    change("UPDATE t SET n = -3; DELETE FROM t WHERE id % 3 = 0");
    let came = rest(first, batches);
    assert!(came.bad.is_empty());
    assert_eq!(came.covered, expected.len() as u64);
    assert!(came.rows == expected, "other rows, or in another order");
    // The snapshot is still there, for a second reading.
    assert!(drain(open(&source, &schema, None)).unwrap().rows == expected);
    drop(source);
    none_is_left(&database, "true");
    assert!(by(&database, "t", 3, None).rows == by(&database, "t", 1, None).rows);
}

/// Whole tables, and what a condition leaves of them: some columns, from a value on, up to one, with and without rows that
/// have none.
#[test]
fn p8_any_number_of_readers_gives_the_same_rows() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(SPARSE).unwrap();
    client.batch_execute("INSERT INTO t SELECT -g, NULL, 'none' FROM generate_series(1, 50) g").unwrap();
    one_process(&mut client);
    let range = |from, until, nulls| {
        let day = |day: Option<i32>| day.map(|day| Value::Date(19_723 + day));
        Some(Range {
            column: "at".into(),
            bounds: Bounds { from: day(from), exclusive: false, until: day(until), before: None },
            nulls,
        })
    };
    for (range, rows) in [
        (None, 50_050),
        (range(Some(100), None, false), 40_001),
        (range(Some(100), None, true), 40_051),
        (range(None, Some(99), true), 10_049),
        (range(Some(490), Some(490), false), 100),
    ] {
        let one = by(&database, "t", 1, range.clone());
        assert_eq!(one.covered, rows);
        for readers in [2, 5, 50] {
            assert!(by(&database, "t", readers, range.clone()).rows == one.rows, "{readers} readers, {range:?}");
        }
    }
    let bounds = Bounds { from: Some(Value::Int(0)), exclusive: false, until: None, before: None };
    let xmin = Range { column: "xmin".into(), bounds, nulls: true };
    let source = table_by(&database, "t", 3);
    let mut schema = survey(&source, Some("xmin")).unwrap().schema;
    schema.columns.retain(|column| column.name == "x");
    let rows = drain(open(&source, &schema, Some(xmin))).unwrap().rows;
    assert_eq!((rows.len(), rows[0].len()), (50_050, 1));
}

/// Rows that are no rows of ours are numbered as one reader numbers them.
#[test]
fn p9_bad_rows_and_rows_passed_over_are_counted_over_all_parts() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(SPARSE).unwrap();
    client
        .batch_execute(
            "ALTER TABLE t ADD n numeric(9, 2); UPDATE t SET n = id WHERE id % 2 = 0;
             UPDATE t SET n = 'NaN' WHERE id % 9973 = 0",
        )
        .unwrap();
    let one = by(&database, "t", 1, None);
    let came = by(&database, "t", 3, None);
    let bad = |all: &All| all.bad.iter().map(|bad| (bad.row, bad.raw.clone())).collect::<Vec<_>>();
    assert_eq!(bad(&one).len(), 5);
    assert_eq!(bad(&came), bad(&one));
    assert!(came.rows == one.rows);
    let source = table_by(&database, "t", 3);
    let schema = survey(&source, None).unwrap().schema;
    let plan = ReadPlan { schema, skip_rows: 30_001, ..ReadPlan::default() };
    let mut batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default()).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().first_row, 30_002);
    assert_eq!(batches.map(|batch| batch.unwrap()).last().map(|b| b.first_row + b.covered), Some(50_001));
}

/// Partitions in their order, those of partitions too: large, small, empty, with columns in another order.
#[test]
fn p8_partitions_and_heirs_are_read_in_the_order_of_one_reader() {
    let database = Database::new();
    database
        .client()
        .batch_execute(
            "CREATE TABLE p (id int NOT NULL, kind text, x text) PARTITION BY RANGE (id);
             CREATE TABLE \"p; -- \"\"1\" PARTITION OF p FOR VALUES FROM (100000) TO (200000) WITH (fillfactor = 10);
             CREATE TABLE p2 (gone int, x text, id int NOT NULL, kind text) WITH (fillfactor = 10);
             ALTER TABLE p2 DROP gone;
             ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (0) TO (100000);
             CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (200000) TO (300000) PARTITION BY LIST (kind);
             CREATE TABLE p3b PARTITION OF p3 FOR VALUES IN ('b');
             CREATE TABLE p3a PARTITION OF p3 FOR VALUES IN ('a') WITH (fillfactor = 10);
             CREATE TABLE p3rest PARTITION OF p3 DEFAULT;
             CREATE TABLE empty PARTITION OF p FOR VALUES FROM (300000) TO (400000);
             INSERT INTO p SELECT (g * 7919) % 300000, CASE WHEN g % 3 = 0 THEN 'b' WHEN g % 3 = 1 THEN 'a' ELSE 'c' END,
               repeat('x', 60) FROM generate_series(1, 120000) g;
             CREATE TABLE h (id int, x text) WITH (fillfactor = 10); CREATE TABLE h1 (more int) INHERITS (h);
             CREATE TABLE h2 (fillfactor int) INHERITS (h1) WITH (fillfactor = 10);
             INSERT INTO h SELECT g, repeat('h', 60) FROM generate_series(1, 30000) g;
             INSERT INTO h1 SELECT g, repeat('i', 60), 0 FROM generate_series(30001, 30100) g;
             INSERT INTO h2 SELECT g, repeat('j', 60), 0, 0 FROM generate_series(40001, 70000) g",
        )
        .unwrap();
    for (name, rows) in [("p", 120_000), ("h", 60_100)] {
        let one = by(&database, name, 1, None);
        assert_eq!(one.covered, rows, "{name}");
        assert!(by(&database, name, 4, None).rows == one.rows, "{name}");
    }
    let from = Bounds { from: Some(Value::Int(150_000)), exclusive: false, until: None, before: None };
    let range = Range { column: "id".into(), bounds: from, nulls: false };
    let one = by(&database, "p", 1, Some(range.clone()));
    assert_eq!(one.covered, 59_993);
    assert!(by(&database, "p", 4, Some(range)).rows == one.rows);
}

/// Who may read the whole need not be allowed its parts, and may see other rows there.
#[test]
fn rights_are_those_to_the_whole_table() {
    let database = Database::new();
    let mut client = database.client();
    let role = format!("reader_{}", std::process::id());
    one_process(&mut client);
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN;
             CREATE TABLE p (id int, x text) PARTITION BY LIST (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT;
             INSERT INTO p SELECT g % 2, repeat('x', 200) FROM generate_series(1, 300000) g;
             GRANT SELECT ON p TO {role};
             CREATE TABLE t (id int, x text); INSERT INTO t SELECT * FROM p; GRANT SELECT ON t TO {role}"
        ))
        .unwrap();
    let read = |name: &str, sessions: usize| {
        let relation = Relation::Table(name.to_owned());
        let source = PostgresSource::new(&database.url_as(&role), relation, 3).unwrap();
        let schema = survey(&source, None).unwrap().schema;
        let mut batches = open(&source, &schema, None);
        let first = batches.next().unwrap().unwrap();
        held(&database, sessions);
        rest(first, batches).covered
    };
    assert_eq!(read("p", 1), 300_000);
    client.batch_execute(&format!("GRANT SELECT ON p1, p2 TO {role}")).unwrap();
    assert_eq!(read("p", 3), 300_000);
    // A rule of a part is none of the whole, and the other way about.
    client.batch_execute("ALTER TABLE p1 ENABLE ROW LEVEL SECURITY").unwrap();
    assert_eq!(read("p", 1), 300_000);
    client
        .batch_execute(
            "ALTER TABLE p1 DISABLE ROW LEVEL SECURITY; ALTER TABLE p ENABLE ROW LEVEL SECURITY;
             CREATE POLICY few ON p USING (id = 1); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY most ON t USING (length(x) = 200)",
        )
        .unwrap();
    assert_eq!(read("p", 1), 150_000);
    assert_eq!(read("t", 3), 300_000);
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

/// A role, or a server, that has no connection left for a second reader.
#[test]
fn readers_that_find_no_room_are_left_out() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(ROWS).unwrap();
    for (limit, sessions) in [(1, 1), (2, 2)] {
        let role = format!("few_{limit}_{}", std::process::id());
        client
            .batch_execute(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit}; GRANT SELECT ON t TO {role}"))
            .unwrap();
        let source = PostgresSource::new(&database.url_as(&role), Relation::Table("t".into()), 4).unwrap();
        let (slices, stop) = (source.slices(&Stop::default()).unwrap(), Stop::default());
        let schema = source.survey(&slices, &SurveyRequest::default(), &stop).unwrap().schema;
        let plan = ReadPlan { schema, ..ReadPlan::default() };
        let mut batches = source.read(&slices[0], &plan, &stop).unwrap();
        let first = batches.next().unwrap().unwrap();
        held(&database, sessions);
        assert_eq!(rest(first, batches).covered, 300_000);
        drop(source);
        client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    }
}

/// Who waits for the table to himself waits for the first session. Others that came after him would wait for him, and the
/// first one's rows for theirs.
#[test]
fn a_lock_that_is_asked_for_meanwhile_keeps_other_readers_out_and_nothing_more() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(ROWS).unwrap();
    let source = table_by(&database, "t", 3);
    let schema = survey(&source, None).unwrap().schema;
    let truncate = std::thread::spawn(move || client.batch_execute("TRUNCATE t"));
    let mut watcher = database.client();
    let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while watcher.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 0 {
        std::thread::yield_now();
    }
    let began = Instant::now();
    let mut batches = open(&source, &schema, None);
    let first = batches.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(copying(&database).len(), 1);
    assert_eq!(rest(first, batches).covered, 300_000);
    assert!(began.elapsed() < Duration::from_secs(30));
    drop(source);
    truncate.join().unwrap().unwrap();
}

#[test]
fn p4_any_reader_that_is_ended_is_an_error_and_no_end() {
    let database = Database::new();
    database.client().batch_execute(ROWS).unwrap();
    for victim in 0..3 {
        let source = table_by(&database, "t", 3);
        let schema = survey(&source, None).unwrap().schema;
        let mut batches = open(&source, &schema, None);
        batches.next().unwrap().unwrap();
        let pids = held(&database, 3);
        database.client().execute("SELECT pg_terminate_backend($1)", &[&pids[victim]]).unwrap();
        let error = batches.find_map(Result::err).unwrap();
        assert_eq!(error.code(), Code::SourceRead, "{error:?}");
        assert!(error.is_transient(), "{error:?}");
        // The others are ended with it.
        assert!(batches.next().is_none());
        none_is_left(&database, "state = 'active'");
        survey(&source, None).unwrap();
        assert_eq!(drain(open(&source, &schema, None)).unwrap().covered, 300_000);
    }
}

#[test]
fn a_reading_that_is_dropped_or_stopped_leaves_no_session() {
    let database = Database::new();
    database.client().batch_execute(ROWS).unwrap();
    for waits in [true, false] {
        let source = table_by(&database, "t", 3);
        let schema = survey(&source, None).unwrap().schema;
        let mut batches = open(&source, &schema, None);
        batches.next().unwrap().unwrap();
        // Also while others are still connecting.
        if waits {
            held(&database, 3);
        }
        drop(batches);
        none_is_left(&database, "state = 'active'");
        drop(source);
        none_is_left(&database, "true");
    }
    let source = table_by(&database, "t", 2);
    let schema = survey(&source, None).unwrap().schema;
    let stop = Stop::default();
    let plan = ReadPlan { schema, ..ReadPlan::default() };
    let mut batches = source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &stop).unwrap();
    batches.next().unwrap().unwrap();
    held(&database, 2);
    stop.flag().store(15, Ordering::Relaxed);
    assert_eq!(batches.next().unwrap().unwrap_err().code(), Code::Interrupted);
    assert!(batches.next().is_none());
    drop((batches, source));
    none_is_left(&database, "true");
}
