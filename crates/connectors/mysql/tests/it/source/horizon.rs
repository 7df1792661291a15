//! How far the watermark may move while transactions are open.

use super::{Mysql, drain, open, query, survey, table};
use floodmark_connect::{Range, Source, Stop, SurveyRequest};
use floodmark_core::{Code, Value, pipeline::Relation, watermark::Bounds};
use floodmark_mysql::MysqlSource;
use floodmark_testkit::mysql::Client;
use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

const SECOND: i128 = 1_000_000_000;

fn database() -> (Mysql, Client) {
    let database = Mysql::empty().unwrap();
    let mut client = database.client();
    client.run(
        "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, at timestamp(6) NOT NULL DEFAULT current_timestamp(6), local datetime,
           day date DEFAULT (utc_date()), x varchar(9));
         INSERT INTO t (x) VALUES ('a'), ('b')",
    );
    (database, client)
}

fn horizon(source: &MysqlSource, cursor: &str) -> Value {
    survey(source, Some(cursor)).unwrap().horizon.unwrap()
}

fn moment(source: &MysqlSource) -> i128 {
    let Value::TimestampTz(moment) = horizon(source, "at") else { panic!("no moment") };
    moment
}

/// The moment it is, in nanoseconds.
fn now(client: &mut Client) -> i128 {
    let micros: i128 = client.one("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").parse().unwrap();
    micros * 1000
}

#[test]
fn moments_are_capped_by_the_oldest_open_transaction() {
    let (database, mut client) = database();
    let source = table(&database, "t");
    assert_eq!(survey(&source, None).unwrap().horizon, None);

    let mut slow = database.client();
    slow.run("START TRANSACTION; INSERT INTO t (x) VALUES ('slow')");
    let since = now(&mut slow);
    thread::sleep(Duration::from_millis(2500));
    for source in [table(&database, "t"), query(&database, "SELECT * FROM t")] {
        let at = moment(&source);
        assert!(since - 3 * SECOND < at && at < since, "{since} {at}");
    }
    let Value::Timestamp(local) = horizon(&source, "local") else { panic!("no moment") };
    // Sessions write local time: that of UTC or of the server, whichever is earlier.
    let behind: i128 = client.one("SELECT LEAST(0, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()))").parse().unwrap();
    let since_local = since + behind * SECOND;
    assert!(local % SECOND == SECOND - 1000, "{local}");
    assert!(since_local - 4 * SECOND < local && local < since_local, "{since_local} {local}");
    assert!(matches!(horizon(&source, "day"), Value::Date(_)));
    slow.run("COMMIT");
    // Others' tests have transactions open, but none for long.
    let deadline = Instant::now() + Duration::from_secs(60);
    while moment(&source) <= since {
        assert!(Instant::now() < deadline, "it does not move on");
    }
}

/// P4: a row whose transaction began before the run and is committed after it is read by the next run.
#[test]
fn p4_what_is_committed_late_lies_beyond_the_horizon() {
    let (database, mut client) = database();
    let source = table(&database, "t");
    let mut slow = database.client();
    slow.run("START TRANSACTION; INSERT INTO t (x) VALUES ('late')");
    thread::sleep(Duration::from_millis(1100));
    client.run("INSERT INTO t (x) VALUES ('later')");
    let surveyed = survey(&source, Some("at")).unwrap();
    let rows = drain(open(&source, &surveyed.schema, None)).unwrap().rows;
    assert!(rows.iter().all(|row| row[4] != "late") && rows.iter().any(|row| row[4] == "later"));
    slow.run("COMMIT");
    let bounds = Bounds { from: surveyed.horizon, exclusive: true, until: None, before: None };
    survey(&source, None).unwrap();
    let range = Range { column: "at".into(), bounds, nulls: false };
    let rows = drain(open(&source, &surveyed.schema, Some(range))).unwrap().rows;
    assert!(rows.iter().any(|row| row[4] == "late"), "{rows:?}");
}

/// One that waits for its row, or works for long, has read the clock when it began.
#[test]
fn a_statement_that_runs_counts_from_its_beginning() {
    let (database, mut client) = database();
    let since = now(&mut client);
    let mut slow = database.client();
    slow.begin("INSERT INTO t (x) SELECT SLEEP(4)");
    thread::sleep(Duration::from_millis(2500));
    let at = moment(&table(&database, "t"));
    assert!(since - 3 * SECOND < at && at < since + SECOND, "{since} {at}");
    slow.end();
}

/// A reader that takes an hour holds up no other pipeline: what only reads brings no rows.
#[test]
fn readers_of_floodmark_itself_count_for_nothing() {
    let (database, mut client) = database();
    client.run("INSERT INTO t (x) SELECT 'x' FROM seq_1_to_200000");
    let first = table(&database, "t");
    let schema = survey(&first, Some("id")).unwrap().schema;
    let reading = open(&first, &schema, None);
    thread::sleep(Duration::from_millis(1500));
    // It reads on, and still: a number waits for nobody.
    let began = Instant::now();
    assert!(matches!(horizon(&table(&database, "t"), "id"), Value::Int(_) | Value::Null));
    let mut list = database.client();
    let open = list.run(
        "SELECT trx_is_read_only FROM information_schema.innodb_trx WHERE trx_mysql_thread_id IN \
        (SELECT id FROM information_schema.processlist WHERE db = DATABASE())",
    );
    assert!(open.iter().any(|row| row[0] == "1"), "{open:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    drop(reading);
}

#[test]
fn a_stop_ends_a_survey_that_takes_its_time() {
    let (database, _client) = database();
    let source = query(&database, "SELECT seq AS id, SLEEP(1) AS slow FROM seq_1_to_60");
    let stop = Stop::default();
    let flag = stop.flag();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        flag.store(15, Ordering::Relaxed);
    });
    let request = SurveyRequest { cursor: Some("slow".into()), ..SurveyRequest::default() };
    let began = Instant::now();
    let error = source.survey(&source.slices(&Stop::default()).unwrap(), &request, &stop).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted, "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn numbers_wait_for_those_who_write() {
    let (database, mut client) = database();
    let source = table(&database, "t");
    // The first commits a lower number than the one that is there.
    let mut slow = database.client();
    slow.run("START TRANSACTION; INSERT INTO t (x) VALUES ('c')");
    client.run("INSERT INTO t (x) VALUES ('d')");
    let began = Instant::now();
    let commit = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
        slow.run("COMMIT");
    });
    let surveyed = survey(&source, Some("id")).unwrap();
    commit.join().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(surveyed.horizon, Some(Value::Int(4)));
    // What it waited for is in the snapshot.
    let read = drain(open(&source, &surveyed.schema, None)).unwrap();
    assert_eq!(read.rows.len(), 4);
}

/// A pool's connections may lie in a transaction for hours.
#[test]
fn a_transaction_that_has_written_nothing_is_not_waited_for() {
    let (database, mut client) = database();
    let mut idle = database.client();
    idle.run("START TRANSACTION; SELECT count(*) FROM t; SELECT id FROM t LIMIT 1 FOR UPDATE");
    thread::sleep(Duration::from_millis(2500));
    let since = now(&mut client) - 2 * SECOND;
    let began = Instant::now();
    assert!(moment(&table(&database, "t")) > since);
    assert_eq!(horizon(&table(&database, "t"), "id"), Value::Int(2));
    assert!(began.elapsed() < Duration::from_secs(8));
    // What it writes from now on is beyond.
    assert_eq!(idle.run("INSERT INTO t (x) VALUES ('c'); SELECT last_insert_id()").concat(), ["3"]);
}

#[test]
fn texts_have_a_highest_value_by_their_bytes() {
    let (database, mut client) = database();
    client.run("INSERT INTO t (x) VALUES ('B'), ('b '), ('a')");
    assert_eq!(horizon(&table(&database, "t"), "x"), Value::Text("b ".into()));
}

#[test]
fn an_empty_table_has_no_number_to_go_by() {
    let (database, mut client) = database();
    client.run("TRUNCATE t");
    assert_eq!(horizon(&table(&database, "t"), "id"), Value::Null);
}

#[test]
fn who_does_not_end_in_time_holds_the_watermark_where_it_is() {
    let (database, mut client) = database();
    client.run("START TRANSACTION; INSERT INTO t (x) VALUES ('c')");
    let began = Instant::now();
    assert_eq!(horizon(&table(&database, "t"), "id"), Value::Null);
    assert!(began.elapsed() >= Duration::from_secs(10));
}

/// A user who may not see the transactions of others loads all the same; the watermark stays.
#[test]
fn what_is_hidden_holds_the_watermark_where_it_is() {
    let (database, mut client) = database();
    let blind = database.user(&format!("GRANT SELECT ON {}.* TO {{}}", database.name));
    let source = || super::source(&database.url_as(&blind.name, "pw"), Relation::Table("t".into()));
    let own = source();
    let surveyed = survey(&own, Some("at")).unwrap();
    assert_eq!(surveyed.horizon, Some(Value::Null));
    assert!(surveyed.held.unwrap().contains("GRANT PROCESS"));
    assert_eq!(drain(open(&own, &surveyed.schema, None)).unwrap().rows.len(), 2);
    assert_eq!(horizon(&own, "id"), Value::Null);
    client.run(&format!("GRANT PROCESS ON *.* TO {}@'%'", blind.name));
    assert!(matches!(horizon(&source(), "at"), Value::TimestampTz(_)));
}

#[test]
fn a_cursor_that_the_source_does_not_have_moves_nowhere() {
    let (database, _client) = database();
    assert_eq!(horizon(&table(&database, "t"), "made"), Value::Null);
    assert!(table(&database, "t").slices(&Stop::default()).is_ok());
}

/// Who prepares and leaves may have rows committed by another, at any time.
#[test]
fn a_prepared_transaction_holds_the_watermark_where_it_is() {
    let (database, mut client) = database();
    let name = &database.name;
    let mut leaver = database.client();
    leaver.run(&format!("XA START '{name}'; INSERT INTO t (x) VALUES ('late'); XA END '{name}'; XA PREPARE '{name}'"));
    drop(leaver);
    for cursor in ["at", "id"] {
        let surveyed = survey(&table(&database, "t"), Some(cursor)).unwrap();
        assert_eq!(surveyed.horizon, Some(Value::Null));
        assert!(surveyed.held.unwrap().contains("XA RECOVER"));
    }
    client.run(&format!("XA COMMIT '{name}'"));
    assert_eq!(horizon(&table(&database, "t"), "id"), Value::Int(3));
}

/// The server counts the values of each index some seconds after many rows changed, and notes them in transactions that
/// belong to no session either.
#[test]
fn the_servers_own_transactions_hold_nothing() {
    let (database, mut client) = database();
    let columns: Vec<String> = (0..16).map(|n| format!("c{n}")).collect();
    let indexes: Vec<String> = (0..60).map(|n| format!("INDEX i{n} ({})", columns.join(", "))).collect();
    client.run(&format!("CREATE TABLE w0 (id int, {} int, {})", columns.join(" int, "), indexes.join(", ")));
    client.run(&(1..30).map(|n| format!("CREATE TABLE w{n} LIKE w0;")).collect::<String>());
    client.run(&(0..30).map(|n| format!("INSERT INTO w{n} (id) SELECT seq FROM seq_1_to_300;")).collect::<String>());
    let mut noted = || {
        let count = "SELECT COUNT(*) FROM mysql.innodb_table_stats
                     WHERE database_name = DATABASE() AND table_name LIKE 'w%' AND n_rows = 300";
        client.one(count).parse::<u32>().unwrap()
    };
    let source = table(&database, "t");
    let deadline = Instant::now() + Duration::from_secs(60);
    while noted() < 10 {
        assert_eq!(survey(&source, Some("at")).unwrap().held, None);
        assert!(Instant::now() < deadline, "the server is not done in time");
    }
}
