//! Loads out of PostgreSQL, and into a table of it that others write to.

use crate::{server::Shop, support::Scratch};
use postgres::Client;
use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const ORDERS: &str = "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text,
                        updated_at timestamptz NOT NULL DEFAULT now());
                      INSERT INTO orders (name) VALUES ('a'), ('b')";

/// The names in the loaded table, in order.
fn names(scratch: &Scratch) -> String {
    let db = rusqlite::Connection::open(scratch.path().join("copy.db")).unwrap();
    let all = db.prepare("SELECT name FROM orders ORDER BY name").and_then(|mut statement| {
        statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
    });
    all.unwrap_or_default().join(" ")
}

/// P4: a row whose transaction began before a run, and is committed after it, is loaded by the next run, once.
fn a_late_commit_is_loaded(load: &str, cursor: &str) {
    let (shop, scratch) = (Shop::new(), Scratch::new());
    let mut client = shop.client();
    client.batch_execute(ORDERS).unwrap();
    let mut args = vec!["load", shop.url.as_str(), "sqlite:///copy.db", "--source-table", "orders"];
    args.extend(["--load", load, "--watermark", cursor]);
    if load != "append" {
        args.extend(["--key", "id"]);
    }
    scratch.one(&args);
    assert_eq!(names(&scratch), "a b");
    let mut late = shop.client();
    late.batch_execute("BEGIN; INSERT INTO orders (name) VALUES ('late')").unwrap();
    client.batch_execute("INSERT INTO orders (name) VALUES ('early')").unwrap();
    let first = scratch.one(&args);
    // Rows of an append that lie beyond what is sure wait for the next run; a keyed load knows them again.
    assert_eq!(names(&scratch), if load == "append" { "a b" } else { "a b early" }, "{first}");
    late.batch_execute("COMMIT").unwrap();
    let second = scratch.one(&args);
    assert_eq!(names(&scratch), "a b early late", "{first} {second}");
    let idle = scratch.one(&args);
    assert_eq!(idle["status"], "nothing_new", "{idle}");
    assert_eq!(names(&scratch), "a b early late");
    // The watermark is where a run without a late commit leaves it.
    let highest: String = client.query_one(&format!("SELECT max({cursor})::text FROM orders"), &[]).unwrap().get(0);
    let mark = idle["watermark"]["after"].as_str().unwrap();
    assert_eq!(mark.trim_end_matches(":00"), highest, "{idle}");
}

#[test]
fn p4_a_late_commit_is_loaded_by_an_upsert_by_time() {
    a_late_commit_is_loaded("upsert", "updated_at");
}

#[test]
fn p4_a_late_commit_is_loaded_by_an_append_by_time() {
    a_late_commit_is_loaded("append", "updated_at");
}

#[test]
fn p4_a_late_commit_is_loaded_by_an_upsert_by_number() {
    a_late_commit_is_loaded("upsert", "id");
}

#[test]
fn p4_a_late_commit_is_loaded_by_an_append_by_number() {
    a_late_commit_is_loaded("append", "id");
}

#[test]
fn a_pipeline_file_names_a_table_or_a_query() {
    let (shop, scratch) = (Shop::new(), Scratch::new());
    let mut client = shop.client();
    client.batch_execute(ORDERS).unwrap();
    scratch.write(
        "floodmark.yaml",
        &format!(
            "version: 1
connections:
  shop: {}
pipelines:
  orders:
    source: {{ connection: shop, table: public.orders }}
    destination: {{ url: 'sqlite:///copy.db' }}
    key: [id]
    watermark: {{ column: updated_at }}
  loud:
    source: {{ connection: shop, query: \"SELECT id, upper(name) AS name FROM orders\" }}
    destination: {{ url: 'sqlite:///copy.db' }}
    load: overwrite
  long:
    source: {{ connection: shop, table: orders }}
    destination: {{ connection: shop, table: long_names }}
    key: [id]
    transform: SELECT id, name || '!' AS name FROM source
",
            shop.url
        ),
    );
    let checked = scratch.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let read = |objects: &[serde_json::Value]| objects.iter().map(|o| o["rows"]["read"].as_u64()).collect::<Vec<_>>();
    assert_eq!(read(&scratch.json(&["run"], 0)), [Some(2), Some(2), Some(2)]);
    client.batch_execute("UPDATE orders SET name = 'c', updated_at = now() WHERE id = 2").unwrap();
    // The row at the watermark, which is read again, and the one that changed.
    let again = scratch.json(&["run", "orders"], 0);
    assert_eq!(
        (again[0]["rows"]["read"].as_u64(), again[0]["rows"]["updated"].as_u64()),
        (Some(2), Some(1)),
        "{again:?}"
    );
    assert_eq!(names(&scratch), "a c");
    let long = client.query("SELECT name FROM long_names ORDER BY id", &[]).unwrap();
    assert_eq!(long.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), ["a!", "b!"]);
}

/// A backend that goes in the middle of its rows: nothing of them is loaded, and the next run loads them all.
#[test]
fn a_source_that_breaks_off_is_read_again() {
    let (shop, scratch) = (Shop::new(), Scratch::new());
    let mut client = shop.client();
    client
        .batch_execute(
            "CREATE TABLE t (id int, x text); INSERT INTO t SELECT g, repeat('x', 40) FROM generate_series(1, 150000) g;
             CREATE TABLE gate (open bool); INSERT INTO gate VALUES (false);
             CREATE FUNCTION pass(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN
               IF $1 = 140000 AND NOT (SELECT open FROM gate) THEN PERFORM pg_sleep(60); END IF; RETURN $1; END'",
        )
        .unwrap();
    let args = [
        "load",
        &shop.url,
        "sqlite:///copy.db",
        "--table",
        "t",
        "--key",
        "id",
        "--query",
        "SELECT pass(id) AS id, x FROM t",
    ];
    let child = scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let asleep = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event = 'PgSleep' AND query LIKE 'COPY%'";
    while client.query(asleep, &[]).unwrap().is_empty() {
        assert!(Instant::now() < deadline, "it does not come to the gate");
        thread::sleep(Duration::from_millis(20));
    }
    // What was read is not kept, and all of it is read again.
    client.batch_execute("UPDATE gate SET open = true").unwrap();
    let ran = scratch.ran(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stderr.contains("the source's PostgreSQL failed to") && ran.stderr.contains("trying again in"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("150,000 inserted"), "{ran:?}");
    assert_eq!(scratch.one(&args)["rows"]["unchanged"], 150_000);
}

/// P5: a newer copy that another program commits while a load waits for its row is not written over.
#[test]
fn p5_a_copy_committed_meanwhile_is_not_written_over() {
    let (shop, scratch) = (Shop::new(), Scratch::new());
    scratch.write("t.csv", "id,v,at\n1,old,2024-01-01\n");
    let args = ["load", "t.csv", shop.url.as_str(), "--key", "id", "--version", "at"];
    scratch.one(&args);
    let mut other = shop.client();
    other.batch_execute("BEGIN; UPDATE t SET v = 'newest', at = '2026-01-01'").unwrap();
    scratch.write("t.csv", "id,v,at\n1,older,2025-01-01\n");
    let load = scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut client = shop.client();
    while client.query_one(waits, &[]).unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < deadline, "the load did not come to the row");
        thread::sleep(Duration::from_millis(10));
    }
    other.batch_execute("COMMIT").unwrap();
    let ended = load.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
    let row = |client: &mut Client| client.query_one("SELECT v FROM t", &[]).unwrap().get::<_, String>(0);
    assert_eq!(row(&mut client), "newest");
    let again = scratch.one(&args);
    assert_eq!(again["rows"]["stale"], 1, "{again}");
    assert_eq!(row(&mut client), "newest");
}
