//! A run sees one state of the database.

use super::{Mysql, all, drain, open, survey, table};
use std::{
    thread,
    time::{Duration, Instant},
};

const ROWS: &str = "CREATE TABLE t (id int, n int); INSERT INTO t SELECT seq, seq FROM seq_1_to_200000";

#[test]
fn what_is_read_is_what_was_there_when_it_was_surveyed() {
    let database = Mysql::empty().unwrap();
    let mut client = database.client();
    client.run(ROWS);
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    client.run("UPDATE t SET n = -1; DELETE FROM t WHERE id % 2 = 0; INSERT INTO t VALUES (0, 0)");
    let whole = |rows: &[Vec<String>]| rows.len() == 200_000 && rows.iter().all(|row| row[0] == row[1]);
    assert!(whole(&drain(open(&source, &schema, None)).unwrap().rows));
    client.run("UPDATE t SET n = -2; DELETE FROM t WHERE id % 3 = 0");
    assert!(whole(&drain(open(&source, &schema, None)).unwrap().rows));
    // The next survey sees the present.
    assert!(!whole(&all(&source).rows));
}

/// A snapshot of before would see the table as empty, or not at all.
#[test]
fn a_truncate_waits_for_the_reader() {
    let database = Mysql::empty().unwrap();
    let mut client = database.client();
    client.run(ROWS);
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let truncate = thread::spawn(move || client.run("TRUNCATE t"));
    let waits = format!(
        "SELECT count(*) FROM information_schema.processlist WHERE db = '{}' AND state LIKE 'Waiting for table metadata%'",
        database.name
    );
    let (mut watcher, since) = (database.client(), Instant::now());
    while watcher.one(&waits) == "0" {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not wait");
        thread::yield_now();
    }
    assert_eq!(drain(open(&source, &schema, None)).unwrap().rows.len(), 200_000);
    drop(source);
    truncate.join().unwrap();
    assert_eq!(all(&table(&database, "t")).rows.len(), 0);
}
