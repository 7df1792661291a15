//! Many tables at once: a family of pipelines, the report of a run, and the commands that take its names.

use crate::{
    server::Shop,
    support::{Scratch, files, keys, shown},
};
use std::{
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// A shop in SQLite: two tables with a key, one without, one with a value that does not fit, and a view.
const SHOP: &str = "
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
    CREATE TABLE lines (order_id BIGINT, nr BIGINT, what TEXT, PRIMARY KEY (order_id, nr));
    INSERT INTO lines VALUES (1, 1, 'apple'), (1, 2, 'pear'), (2, 1, 'plum');
    CREATE TABLE log (at TIMESTAMP, message TEXT);
    INSERT INTO log VALUES ('2024-01-01 10:00:00', 'opened');
    CREATE TABLE prices (id INTEGER PRIMARY KEY, cents BIGINT);
    INSERT INTO prices VALUES (1, 250), (2, 'five');
    CREATE VIEW names AS SELECT name FROM customers;";

const FILE: &str = "version: 1
pipelines:
  shop:
    source: { url: 'sqlite:///source.db', tables: '*' }
    destination: { url: 'sqlite:///out.db' }
";

fn shop(sql: &str, file: &str) -> Scratch {
    let scratch = Scratch::new();
    execute(&scratch, "source.db", sql);
    scratch.write("floodmark.yaml", file);
    scratch
}

fn execute(scratch: &Scratch, database: &str, sql: &str) {
    rusqlite::Connection::open(scratch.path().join(database)).unwrap().execute_batch(sql).unwrap();
}

fn names(objects: &[serde_json::Value]) -> Vec<&str> {
    objects.iter().map(|o| o["pipeline"].as_str().unwrap()).collect()
}

fn statuses(objects: &[serde_json::Value]) -> Vec<&str> {
    objects.iter().map(|o| o["status"].as_str().unwrap()).collect()
}

#[test]
fn one_report_says_what_became_of_each() {
    let scratch = shop(SHOP, FILE);
    // So wide that no time, long or short, is wrapped.
    let said = |command: &str| {
        let ran = scratch.ran(&scratch.command(&[command]).env("COLUMNS", "200").output().unwrap());
        // The time of a failed run stands behind its word, and nothing between.
        let line = |line: &str| match line.split_once("failed   ") {
            Some((name, _)) => format!("{name}failed\n"),
            None => format!("{line}\n"),
        };
        shown(&ran).lines().map(line).collect::<String>()
    };
    insta::assert_snapshot!("tables_first", said("run"));
    execute(&scratch, "source.db", "UPDATE prices SET cents = 5 WHERE id = 2");
    insta::assert_snapshot!("tables_mended", said("run"));
    insta::assert_snapshot!("tables_checked", said("check"));
}

#[test]
fn reports_come_in_the_same_order_however_many_run_at_a_time() {
    for jobs in ["1", "2", "8"] {
        let scratch = shop(SHOP, FILE);
        let objects = scratch.json(&["run", "--jobs", jobs], 1);
        assert_eq!(names(&objects), ["shop.customers", "shop.lines", "shop.log", "shop.prices"]);
        assert_eq!(statuses(&objects), ["ok", "ok", "ok", "failed"]);
        assert_eq!(objects[3]["error"]["code"], "FM0301");
    }
}

/// More tables than one writer at a time can load at once, each waiting for its turn.
#[test]
fn many_tables_into_one_file_wait_for_each_other() {
    let tables: String = (0..12)
        .map(|n| {
            format!(
                "CREATE TABLE t{n} (id INTEGER PRIMARY KEY, x TEXT);
                 WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 5000)
                 INSERT INTO t{n} SELECT i, hex(randomblob(20)) FROM r;"
            )
        })
        .collect();
    let scratch = shop(&tables, FILE);
    let objects = scratch.json(&["run", "--jobs", "12"], 0);
    assert!(objects.len() == 12 && objects.iter().all(|o| o["rows"]["inserted"] == 5000), "{objects:?}");
    let again = scratch.json(&["run", "--jobs", "12"], 0);
    assert!(again.iter().all(|o| o["status"] == "nothing_new" && o["rows"]["unchanged"] == 5000), "{again:?}");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_all_that_run_and_starts_no_more() {
    let tables: String = (0..8)
        .map(|n| {
            format!(
                "CREATE TABLE t{n} (id INTEGER PRIMARY KEY, x TEXT);
                 WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 60000)
                 INSERT INTO t{n} SELECT i, i FROM r;"
            )
        })
        .collect();
    let scratch = shop(&tables, FILE);
    let child = scratch.command(&["run", "-j", "3"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let ran = scratch.ran(&child.wait_with_output().unwrap());
    // On a quick machine all may be done already.
    if ran.code != 0 {
        assert_eq!(ran.code, 130, "{ran:?}");
        assert!(ran.stderr.contains("8 pipelines were not started") || ran.stdout.contains("failed"), "{ran:?}");
    }
    let objects = scratch.json(&["run", "--jobs", "3"], 0);
    assert_eq!(objects.len(), 8);
    for n in 0..8 {
        assert!(scratch.fingerprint("sqlite:///out.db", &format!("t{n}")).starts_with("fm1-60000-"));
    }
}

#[test]
fn a_family_and_its_tables_go_by_name() {
    let scratch = shop(SHOP, FILE);
    scratch.json(&["run", "shop"], 1);
    assert_eq!(names(&scratch.json(&["run", "shop.log", "shop.lines", "shop.log"], 0)), ["shop.log", "shop.lines"]);
    assert_eq!(names(&scratch.json(&["run", "shop.log", "shop"], 1))[..2], ["shop.log", "shop.customers"]);
    let wrong = scratch.run(&["run", "shop.lnes"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("did you mean \"shop.lines\"?"), "{wrong:?}");
    let wrong = scratch.run(&["run", "shp"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("did you mean \"shop\"?"), "{wrong:?}");
    for command in [&["plan", "shop.lines"][..], &["check", "shop.lines"], &["prove", "shop.lines"]] {
        assert_eq!(names(&scratch.json(command, 0)), ["shop.lines"], "{command:?}");
    }
}

#[test]
fn what_is_kept_of_a_family_is_shown_without_its_source() {
    let file = format!("{FILE}    overrides: {{ prices: {{ on_bad_row: reject }} }}\n");
    let scratch = shop(SHOP, &file);
    scratch.json(&["run"], 0);
    let kept = std::fs::read(scratch.path().join("source.db")).unwrap();
    std::fs::remove_file(scratch.path().join("source.db")).unwrap();
    let all = ["shop.customers", "shop.lines", "shop.log", "shop.prices"];
    assert_eq!(names(&scratch.json(&["state", "show"], 0)), all);
    assert_eq!(names(&scratch.json(&["state", "show", "shop"], 0)), all);
    assert_eq!(names(&scratch.json(&["runs", "shop"], 0)).len(), 4);
    assert_eq!(names(&scratch.json(&["runs", "shop.log"], 0)), ["shop.log"]);
    assert_eq!(names(&scratch.json(&["rejects", "list", "shop"], 0)), ["shop.prices"]);
    assert_eq!(names(&scratch.json(&["rejects", "list", "shop.prices"], 0)), ["shop.prices"]);
    let exported = scratch.one(&["state", "export", "shop"]);
    assert_eq!(exported["pipelines"].as_array().unwrap().len(), 4, "{exported}");
    // What changes a state is about one pipeline.
    for command in
        [&["state", "reset", "shop"][..], &["rejects", "replay", "shop"], &["rejects", "drop", "--all", "shop"]]
    {
        let ran = scratch.run(&[command, &["--yes"]].concat());
        assert!(
            ran.code == 2 && ran.stderr.contains("name one of them, such as shop.customers"),
            "{command:?}: {ran:?}"
        );
    }
    let reset = scratch.one(&["state", "reset", "shop.log", "--yes"]);
    assert_eq!(reset["reset"], true);
    // A run needs it, and says so under the family's name.
    let failed = scratch.json(&["run"], 1);
    assert_eq!((names(&failed), &failed[0]["error"]["code"]), (vec!["shop"], &"FM0201".into()));
    assert!(failed[0]["run"].is_null() && failed[0]["load"].is_null(), "{failed:?}");
    std::fs::write(scratch.path().join("source.db"), kept).unwrap();
    execute(&scratch, "source.db", "UPDATE prices SET cents = 5 WHERE id = 2");
    scratch.write("floodmark.yaml", &file.replace("reject }", "reject, columns: { cents: text } }"));
    let replayed = scratch.run(&["rejects", "replay", "shop.prices"]);
    assert_eq!(replayed.code, 1, "its column is pinned: {replayed:?}");
    assert!(replayed.stderr.contains("cents"), "{replayed:?}");
}

#[test]
fn a_plan_changes_no_byte_and_says_what_a_run_says() {
    let scratch = shop(SHOP, FILE);
    scratch.json(&["run"], 1);
    execute(&scratch, "source.db", "INSERT INTO customers VALUES (3, 'Cy'); DROP TABLE log");
    let before = files(scratch.path());
    let planned = scratch.json(&["plan"], 1);
    assert_eq!(files(scratch.path()), before);
    let ran = scratch.json(&["run"], 1);
    assert_eq!(statuses(&planned), statuses(&ran));
    assert_eq!(planned[0]["rows"], ran[0]["rows"]);
}

#[test]
fn the_other_pipelines_of_the_file_run_whatever_becomes_of_a_family() {
    let one = "  one:\n    source: { files: one.csv }\n    destination: { url: 'sqlite:///out.db' }\n    key: id\n";
    let file = FILE.replace("source.db', tables: '*'", "none.db', tables: '*'") + one;
    let scratch = shop(SHOP, &file);
    scratch.write("one.csv", "id\n1\n");
    let objects = scratch.json(&["run"], 1);
    assert_eq!((names(&objects), statuses(&objects)), (vec!["shop", "one"], vec!["failed", "ok"]));
    assert_eq!(keys(&objects[0]), ["pipeline", "run", "status", "load", "rows", "watermark", "seconds", "error"]);
    // A family that is not meant is not asked.
    assert_eq!(names(&scratch.json(&["run", "one"], 0)), ["one"]);
    let checked = scratch.json(&["check"], 2);
    assert_eq!((names(&checked), statuses(&checked)), (vec!["shop", "one"], vec!["failed", "ok"]));
}

#[test]
fn a_full_refresh_names_all_tables() {
    let scratch = shop(SHOP, &FILE.replace("tables: '*'", "tables: [customers, lines]"));
    scratch.json(&["run"], 0);
    let ran = scratch.run(&["run", "--full-refresh"]);
    assert!(ran.code == 2 && ran.stderr.contains("empties customers, lines"), "{ran:?}");
    let objects = scratch.json(&["run", "--full-refresh", "--yes"], 0);
    assert_eq!(objects.iter().map(|o| o["rows"]["inserted"].as_u64().unwrap()).sum::<u64>(), 5);
}

#[test]
fn one_line_loads_many_tables_as_lines_of_their_own_would() {
    let scratch = shop(SHOP, "");
    let base = ["load", "sqlite:///source.db", "sqlite:///out.db"];
    let line = |more: &[&'static str]| [&base[..], more].concat();
    let objects = scratch.json(&line(&["--source-tables", "*", "--source-exclude", "prices", "-j", "2"]), 0);
    assert_eq!(names(&objects), ["customers", "lines", "log"]);
    // The state is that of the table's own line.
    let one = scratch.one(&line(&["--source-table", "customers", "--key", "id"]));
    assert_eq!((&one["status"], &one["rows"]["unchanged"]), (&"nothing_new".into(), &2.into()));
    let named = scratch.json(&line(&["--source-tables", "l*", "--pipeline", "n", "--table", "raw_{table}"]), 0);
    assert_eq!(names(&named), ["n.lines", "n.log"]);
    assert!(scratch.fingerprint("sqlite:///out.db", "raw_lines").starts_with("fm1-3-"));
    let ran = scratch.run(&line(&["--source-tables", "x*"]));
    assert!(ran.code == 1 && ran.stderr.contains("no table matches `x*`"), "{ran:?}");
    let ran = scratch.run(&line(&["--source-tables", "log", "--load", "upsert"]));
    assert!(ran.code == 2 && ran.stderr.contains("--source-exclude 'log'"), "{ran:?}");
    let ran = scratch.run(&["load", "a.csv", "sqlite:///out.db", "--source-tables", "*"]);
    assert!(ran.code == 2 && ran.stderr.contains("about files"), "{ran:?}");
}

const SERVER: &str = "
    CREATE TABLE customers (id bigint PRIMARY KEY, name text); INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
    CREATE TABLE lines (nr int, order_id int, what text, PRIMARY KEY (order_id, nr));
    INSERT INTO lines VALUES (1, 1, 'apple'), (2, 1, 'pear'); CREATE TABLE log (message text); INSERT INTO log VALUES ('x');
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE parts1 PARTITION OF parts DEFAULT;
    INSERT INTO parts VALUES (1); CREATE SCHEMA sales; CREATE TABLE sales.customers (id int PRIMARY KEY);";

#[test]
fn out_of_postgresql() {
    let (server, scratch) = (Shop::new(), Scratch::new());
    let mut client = server.client();
    client.batch_execute(SERVER).unwrap();
    scratch.write(
        "floodmark.yaml",
        &format!(
            "version: 1\nconnections: {{ shop: '{}' }}\npipelines:\n  shop:\n    source: {{ connection: shop, tables: 'public.*' }}\n    destination: {{ url: 'sqlite:///out.db' }}\n    absent_rows: delete\n",
            server.url
        ),
    );
    let objects = scratch.json(&["run", "--jobs", "3"], 0);
    assert_eq!(names(&objects), ["shop.customers", "shop.lines", "shop.log", "shop.parts"]);
    client
        .batch_execute("DELETE FROM lines WHERE nr = 1; CREATE TABLE fresh (id int PRIMARY KEY); DROP TABLE log")
        .unwrap();
    let ran = scratch.run(&["run", "--format", "json"]);
    assert!(ran.code == 0 && ran.stderr.contains("shop.log was loaded before"), "{ran:?}");
    let objects: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(names(&objects), ["shop.customers", "shop.fresh", "shop.lines", "shop.parts"]);
    assert_eq!((&objects[2]["rows"]["removed"], &objects[2]["rows"]["unchanged"]), (&1.into(), &1.into()));
    let all = ["load", &server.url, "sqlite:///all.db", "--source-tables", "*.customers"];
    assert_eq!(names(&scratch.json(&all, 0)), ["public.customers", "sales.customers"]);
    assert!(scratch.fingerprint("sqlite:///all.db", "public_customers").starts_with("fm1-2-"));
}

#[test]
fn into_postgresql() {
    let server = Shop::new();
    let scratch =
        shop(SHOP, &FILE.replace("'sqlite:///out.db'", &format!("'{}', table: 'copy_{{table}}'", server.url)));
    for (code, expected) in [(1, ["ok", "ok", "ok", "failed"]), (1, ["nothing_new", "nothing_new", "ok", "failed"])] {
        assert_eq!(statuses(&scratch.json(&["run", "--jobs", "4"], code)), expected);
    }
    let mut client = server.client();
    let count = |client: &mut postgres::Client, table: &str| -> i64 {
        client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
    };
    assert_eq!(["copy_customers", "copy_lines", "copy_log"].map(|table| count(&mut client, table)), [2, 3, 1]);
    // The key is the table's own, in its order.
    execute(&scratch, "source.db", "UPDATE lines SET what = 'fig' WHERE order_id = 2 AND nr = 1");
    let objects = scratch.json(&["run", "shop.lines"], 0);
    assert_eq!((&objects[0]["rows"]["updated"], &objects[0]["rows"]["unchanged"]), (&1.into(), &2.into()));
}
