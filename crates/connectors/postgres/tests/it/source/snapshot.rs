//! A run sees one state of the database.

use super::{Database, all, drain, open, survey, table};

const ROWS: &str = "CREATE TABLE t (id int, n int); INSERT INTO t SELECT g, g FROM generate_series(1, 200000) g";

#[test]
fn what_is_read_is_what_was_there_when_it_was_surveyed() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(ROWS).unwrap();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    client.batch_execute("UPDATE t SET n = -1; DELETE FROM t WHERE id % 2 = 0; INSERT INTO t VALUES (0, 0)").unwrap();
    // One reads on while a second begins, which takes another connection; in between somebody writes.
    let mut first = open(&source, &schema, None);
    let begun = first.next().unwrap().unwrap();
    let second = open(&source, &schema, None);
    client.batch_execute("UPDATE t SET n = -2; DELETE FROM t WHERE id % 3 = 0").unwrap();
    let whole = |rows: &[Vec<String>]| rows.len() == 200_000 && rows.iter().all(|row| row[0] == row[1]);
    assert!(whole(&drain(second).unwrap().rows));
    let first = drain(std::iter::once(Ok(begun)).chain(first)).unwrap();
    assert!(whole(&first.rows));
    assert!(whole(&drain(open(&source, &schema, None)).unwrap().rows));
    // The next survey sees the present.
    assert!(!whole(&all(&source).rows));
}

/// A snapshot of before would see the table as empty.
#[test]
fn a_truncate_waits_for_the_reader() {
    let database = Database::new();
    let mut client = database.client();
    client.batch_execute(ROWS).unwrap();
    let source = table(&database, "t");
    let schema = survey(&source, None).unwrap().schema;
    let truncate = std::thread::spawn(move || client.batch_execute("TRUNCATE t"));
    let mut watcher = database.client();
    let waits = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted";
    while watcher.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(drain(open(&source, &schema, None)).unwrap().rows.len(), 200_000);
    drop(source);
    truncate.join().unwrap().unwrap();
    assert_eq!(all(&table(&database, "t")).rows.len(), 0);
}
