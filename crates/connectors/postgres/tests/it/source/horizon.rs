//! How far the watermark may move while transactions are open.

use super::{Database, query, survey, table};
use floodmark_connect::{Source, Stop, SurveyRequest};
use floodmark_core::{Code, Value, pipeline::Relation};
use floodmark_postgres::PostgresSource;
use postgres::Client;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

fn database() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.client();
    client
        .batch_execute(
            "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now(), local timestamp,
               day date DEFAULT current_date, x text);
             INSERT INTO t (x) VALUES ('a'), ('b')",
        )
        .unwrap();
    (database, client)
}

fn horizon(source: &PostgresSource, cursor: &str) -> Value {
    survey(source, Some(cursor)).unwrap().horizon.unwrap()
}

/// The moment the session's transaction began, in nanoseconds.
fn began(client: &mut Client) -> i128 {
    let micros: i64 = client.query_one("SELECT (extract(epoch FROM now()) * 1000000)::bigint", &[]).unwrap().get(0);
    i128::from(micros) * 1000
}

#[test]
fn moments_are_capped_by_the_oldest_open_transaction() {
    let (database, mut client) = database();
    let source = table(&database, "t");
    assert_eq!(survey(&source, None).unwrap().horizon, None);
    let before = began(&mut client);
    let Value::TimestampTz(idle) = horizon(&source, "at") else { panic!("no moment") };
    let after = began(&mut client);
    assert!(before <= idle && idle <= after, "nothing is open: {before} {idle} {after}");

    let mut open = database.client();
    open.batch_execute("BEGIN; SELECT 1").unwrap();
    let since = began(&mut open);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(horizon(&source, "at"), Value::TimestampTz(since - 1000));
    assert_eq!(horizon(&query(&database, "SELECT * FROM t"), "at"), Value::TimestampTz(since - 1000));
    assert_eq!(horizon(&source, "local"), Value::Timestamp(since - 1000));
    assert_eq!(horizon(&source, "day"), Value::Date((since / 86_400_000_000_000) as i32));
    open.batch_execute("COMMIT").unwrap();
    let Value::TimestampTz(later) = horizon(&source, "at") else { panic!("no moment") };
    assert!(later > since);
}

/// A reader that takes an hour holds up no other pipeline: what only reads brings no rows.
#[test]
fn readers_of_floodmark_itself_count_for_nothing() {
    let (database, mut client) = database();
    let (first, second) = (table(&database, "t"), table(&database, "t"));
    let schema = survey(&first, Some("at")).unwrap().schema;
    let reading = (super::open(&first, &schema, None), super::open(&first, &schema, None));
    let since = began(&mut client);
    let Value::TimestampTz(moment) = horizon(&second, "at") else { panic!("no moment") };
    assert!(moment >= since);
    drop(reading);
}

#[test]
fn a_stop_ends_a_survey_that_takes_its_time() {
    let (database, _client) = database();
    let source = query(&database, "SELECT 1 AS id, pg_sleep(60)::text AS slow");
    let stop = Stop::default();
    let flag = stop.flag();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.store(15, Ordering::Relaxed);
    });
    let request = SurveyRequest { cursor: Some("slow".into()), ..SurveyRequest::default() };
    let began = Instant::now();
    let error = source.survey(&source.slices(&Stop::default()).unwrap(), &request, &stop).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// Where sessions write local time, the earlier reading of the clock counts.
#[test]
fn a_moment_without_zone_is_read_in_the_earlier_zone() {
    let (database, mut client) = database();
    let mut open = database.client();
    open.batch_execute("BEGIN; SELECT 1").unwrap();
    let since = began(&mut open);
    let name: String = client.query_one("SELECT current_database()::text", &[]).unwrap().get(0);
    for (zone, hours) in [("Etc/GMT+5", -5), ("Etc/GMT-2", 0)] {
        client.batch_execute(&format!("ALTER DATABASE {name} SET TimeZone = '{zone}'")).unwrap();
        let moment = since - 1000 + hours * 3_600_000_000_000;
        assert_eq!(horizon(&table(&database, "t"), "local"), Value::Timestamp(moment), "{zone}");
    }
}

#[test]
fn numbers_wait_for_those_who_write() {
    let (database, mut client) = database();
    let source = table(&database, "t");
    assert_eq!(horizon(&source, "id"), Value::Int(2));
    assert_eq!(horizon(&source, "x"), Value::Text("b".into()));
    // One who only reads is not waited for.
    let mut reader = database.client();
    reader.batch_execute("BEGIN; TABLE t").unwrap();
    // One who took a number, and one who wrote, are: the first commits a lower number than the one that is there.
    let mut slow = database.client();
    slow.batch_execute("BEGIN; SELECT nextval(pg_get_serial_sequence('t', 'id'))").unwrap();
    client.batch_execute("INSERT INTO t (x) VALUES ('c')").unwrap();
    let began = Instant::now();
    let commit = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        slow.batch_execute("INSERT INTO t (id, x) OVERRIDING SYSTEM VALUE VALUES (3, 'd'); COMMIT").unwrap();
    });
    let surveyed = survey(&source, Some("id")).unwrap();
    commit.join().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(surveyed.horizon, Some(Value::Int(4)));
    // What it waited for is in the snapshot.
    let read = super::drain(super::open(&source, &surveyed.schema, None)).unwrap();
    assert_eq!(read.rows.len(), 4);
}

#[test]
fn an_empty_table_has_no_number_to_go_by() {
    let (database, mut client) = database();
    client.batch_execute("TRUNCATE t").unwrap();
    assert_eq!(horizon(&table(&database, "t"), "id"), Value::Null);
}

#[test]
fn who_does_not_end_in_time_holds_the_watermark_where_it_is() {
    let (database, mut client) = database();
    client.batch_execute("BEGIN; INSERT INTO t (x) VALUES ('c')").unwrap();
    let began = Instant::now();
    assert_eq!(horizon(&table(&database, "t"), "id"), Value::Null);
    assert!(began.elapsed() >= Duration::from_secs(10));
    // Moments need not wait.
    let began = Instant::now();
    assert!(matches!(horizon(&table(&database, "t"), "at"), Value::TimestampTz(_)));
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A role that may not see since when the transactions of others are open waits until they have ended.
#[test]
fn what_is_hidden_is_waited_for() {
    let (database, mut client) = database();
    let role = format!("blind_{}", std::process::id());
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}")).unwrap();
    let blind = || PostgresSource::new(&database.url_as(&role), Relation::Table("t".into()), 1).unwrap();
    let mut open = database.client();
    open.batch_execute("BEGIN; SELECT 1").unwrap();
    let since = began(&mut open);
    let commit = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        open.batch_execute("COMMIT").unwrap();
        open
    });
    let Value::TimestampTz(moment) = horizon(&blind(), "at") else { panic!("it ended in time") };
    assert!(moment > since, "what began before is over");
    let mut open = commit.join().unwrap();
    open.batch_execute("BEGIN; SELECT 1").unwrap();
    assert_eq!(horizon(&blind(), "at"), Value::Null);
    client.batch_execute(&format!("GRANT pg_read_all_stats TO {role}")).unwrap();
    assert_eq!(horizon(&blind(), "at"), Value::TimestampTz(began(&mut open) - 1000));
    open.batch_execute("COMMIT").unwrap();
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn a_cursor_that_the_source_does_not_have_moves_nowhere() {
    let (database, _client) = database();
    assert_eq!(horizon(&table(&database, "t"), "made"), Value::Null);
    assert!(table(&database, "t").slices(&Stop::default()).is_ok());
}
