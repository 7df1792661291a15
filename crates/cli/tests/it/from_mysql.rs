//! Loads out of MySQL and MariaDB.

use crate::support::Scratch;
use floodmark_testkit::Mysql;
use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const ORDERS: &str = "CREATE TABLE orders (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, name varchar(20),
                        updated_at timestamp(6) NOT NULL DEFAULT now(6) ON UPDATE now(6));
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
    let (shop, scratch) = (Mysql::empty().unwrap(), Scratch::new());
    let mut client = shop.client();
    client.run(ORDERS);
    let url = shop.url();
    let mut args = vec!["load", url, "sqlite:///copy.db", "--source-table", "orders"];
    args.extend(["--load", load, "--watermark", cursor]);
    if load != "append" {
        args.extend(["--key", "id"]);
    }
    scratch.one(&args);
    assert_eq!(names(&scratch), "a b");
    let mut late = shop.client();
    late.run("START TRANSACTION; INSERT INTO orders (name) VALUES ('late')");
    thread::sleep(Duration::from_millis(100));
    client.run("INSERT INTO orders (name) VALUES ('early')");
    let first = scratch.one(&args);
    // Rows of an append that lie beyond what is sure wait for the next run; a keyed load knows them again.
    assert_eq!(names(&scratch), if load == "append" { "a b" } else { "a b early" }, "{first}");
    late.run("COMMIT");
    let second = scratch.one(&args);
    assert_eq!(names(&scratch), "a b early late", "{first} {second}");
    let idle = scratch.one(&args);
    assert_eq!(idle["status"], "nothing_new", "{idle}");
    assert_eq!(names(&scratch), "a b early late");
    // The watermark is where a run without a late commit leaves it.
    let highest = client.one(&format!("SET time_zone = '+00:00'; SELECT max({cursor}) FROM orders"));
    let mark = idle["watermark"]["after"].as_str().unwrap();
    assert_eq!(mark.trim_end_matches("+00:00"), highest.trim_end_matches('0'), "{idle}");
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
    let (shop, scratch) = (Mysql::empty().unwrap(), Scratch::new());
    let mut client = shop.client();
    client.run(ORDERS);
    scratch.write(
        "floodmark.yaml",
        &format!(
            "version: 1
connections:
  shop: {}
pipelines:
  orders:
    source: {{ connection: shop, table: {}.orders }}
    destination: {{ url: 'sqlite:///copy.db' }}
    key: [id]
    watermark: {{ column: updated_at }}
  loud:
    source: {{ connection: shop, query: \"SELECT id, upper(name) AS name FROM orders\" }}
    destination: {{ url: 'sqlite:///copy.db' }}
    load: overwrite
",
            shop.url().replacen("mysql:", "mariadb:", 1),
            shop.name
        ),
    );
    let checked = scratch.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let planned = scratch.run(&["plan"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.stdout.contains("2 inserted") || planned.stdout.contains("insert"), "{planned:?}");
    let read = |objects: &[serde_json::Value]| objects.iter().map(|o| o["rows"]["read"].as_u64()).collect::<Vec<_>>();
    assert_eq!(read(&scratch.json(&["run"], 0)), [Some(2), Some(2)]);
    client.run("UPDATE orders SET name = 'c' WHERE id = 2");
    let again = scratch.json(&["run", "orders"], 0);
    assert_eq!(again[0]["rows"]["updated"].as_u64(), Some(1), "{again:?}");
    assert_eq!(names(&scratch), "a c");
}

/// Numbers that no type of 64 bits holds, and days that are none.
#[test]
fn what_the_server_has_beside_others_is_exact_or_told() {
    let (shop, scratch) = (Mysql::empty().unwrap(), Scratch::new());
    shop.client().run(
        "SET sql_mode = ''; CREATE TABLE t (id bigint unsigned PRIMARY KEY, paid tinyint(1), day date);
         INSERT INTO t VALUES (18446744073709551615, 2, '2024-01-01'), (1, 0, '0000-00-00')",
    );
    let url = shop.url();
    let args = ["load", url, "sqlite:///copy.db", "--table", "t", "--key", "id"];
    let ran = scratch.run(&args);
    assert_eq!(ran.code, 1, "{ran:?}");
    for said in ["FM0301", "0000-00-00", "column \"day\"", "nullif(day"] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    assert!(!ran.stderr.contains("watermark@") && !ran.stdout.contains("watermark@"), "{ran:?}");
    let query = ["--query", "SELECT id, paid, nullif(day, 0) AS day FROM t"];
    scratch.ok(&[&args[..], &query].concat());
    let db = rusqlite::Connection::open(scratch.path().join("copy.db")).unwrap();
    let row = |sql: &str| db.query_row(sql, [], |r| r.get::<_, String>(0)).unwrap();
    assert_eq!(
        row(
            "SELECT group_concat(id || ' ' || paid || ' ' || coalesce(day, '-'), ', ') FROM (SELECT * FROM t ORDER BY paid)"
        ),
        "1 0 -, 18446744073709551615 2 2024-01-01"
    );
}

/// A connection that goes in the middle of its rows: nothing of them is loaded, and the next attempt loads them all.
#[test]
fn a_source_that_breaks_off_is_read_again() {
    let (shop, scratch) = (Mysql::empty().unwrap(), Scratch::new());
    let mut client = shop.client();
    client.run(
        "CREATE TABLE t (id int, x text); INSERT INTO t SELECT seq, repeat('x', 40) FROM seq_1_to_150000;
         CREATE TABLE gate (open int); INSERT INTO gate VALUES (0)",
    );
    let url = shop.url();
    let query = "SELECT id + IF(id = 140000 AND (SELECT open FROM gate) = 0, SLEEP(60), 0) AS id, x FROM t";
    let args = ["load", url, "sqlite:///copy.db", "--table", "t", "--key", "id", "--query", query];
    let child = scratch.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let asleep =
        format!("SELECT id FROM information_schema.processlist WHERE db = '{}' AND state = 'User sleep'", shop.name);
    let id = loop {
        assert!(Instant::now() < deadline, "it does not come to the gate");
        match client.run(&asleep).first() {
            Some(row) => break row[0].clone(),
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    client.run(&format!("UPDATE gate SET open = 1; KILL {id}"));
    let ran = scratch.ran(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("the source's server failed to") && ran.stderr.contains("trying again in"), "{ran:?}");
    assert!(ran.stdout.contains("150,000 inserted"), "{ran:?}");
    assert_eq!(scratch.one(&args)["rows"]["unchanged"], 150_000);
}
