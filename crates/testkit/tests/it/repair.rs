//! `floodmark verify --repair` while other things go on: kills, runs, backfills, a source that is written to.

use crate::{
    backfill::{self, told},
    diff::Places,
};
use floodmark_testkit::{
    crash::{await_stopped, send},
    floodmark,
};
use serde_json::Value;
use std::{
    fs,
    process::{Child, Command},
};

const ROWS: i64 = 100;

/// A pipeline from a table of SQLite into a table of one of the three, loaded.
fn loaded(places: &Places, into: &str, load: &str) {
    drop(fs::remove_file(places.path().join("source.db")));
    let source = rusqlite::Connection::open(places.path().join("source.db")).unwrap();
    source
        .execute_batch(&format!(
            "PRAGMA journal_mode = wal;
             CREATE TABLE s (id bigint PRIMARY KEY, n bigint, at bigint);
             WITH RECURSIVE d(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM d WHERE n < {ROWS})
             INSERT INTO s SELECT n, n * 7, n FROM d"
        ))
        .unwrap();
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ url: 'sqlite:///source.db', table: s }}\n    \
         destination: {{ url: '{into}', table: t }}\n{load}"
    );
    fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
    let (ended, report) = places.json(&["run"]);
    assert_eq!(ended, 0, "{load}: {report:#}");
}

fn source(places: &Places, sql: &str) {
    rusqlite::Connection::open(places.path().join("source.db")).unwrap().execute_batch(sql).unwrap();
}

/// What somebody did to the table by hand.
const SPOILED: &str = "UPDATE t SET n = -1 WHERE id = 3; DELETE FROM t WHERE id BETWEEN 20 AND 60;
     INSERT INTO t (id, n, at) VALUES (500, 1, 5)";

const REPAIR: [&str; 5] = ["verify", "t", "--repair", "--delete-extra", "--yes"];

fn command(places: &Places, arguments: &[&str], crash: &str) -> Command {
    let mut command = backfill::command(places.path(), arguments);
    if !crash.is_empty() {
        command.env("FLOODMARK_CRASH", crash);
    }
    command
}

fn fingerprint(places: &Places, into: &str) -> String {
    let (ended, report) = places.json(&["fingerprint", into, "t"]);
    assert_eq!(ended, 0, "{report:#}");
    report["fingerprint"].to_string()
}

/// Lines of the ledger that repairs have.
fn receipts(places: &Places) -> Vec<Value> {
    let mut program = Command::new(floodmark().unwrap());
    let output = program.current_dir(places.path()).args(["runs", "t", "--limit", "1000", "--format", "json"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|run| run["load"] == "repair").collect()
}

/// With what a table without versions, and one with them, is loaded.
const LOADS: [(&str, bool); 5] = [
    ("    key: [id]\n    watermark: { column: at }\n", true),
    ("    key: [id]\n    load: overwrite\n", true),
    ("    load: append\n    watermark: { column: at }\n", false),
    ("    load: overwrite\n", true),
    ("    load: delete_insert\n    window: [at]\n", false),
];

/// What a repair meets, in its order.
const POINTS: [&str; 12] = [
    "take-commit",
    "locked",
    "surveyed",
    "mid-chunk",
    "sealed",
    "write-position",
    "write-run",
    "load-commit:before",
    "load-commit:after",
    "committed",
    "released",
    "reported",
];

/// Killed anywhere: the table is as it was or as it should be, and the next repair ends what is left.
fn killed(places: &Places, into: &str, spoil: &dyn Fn(&str), (load, once): (&str, bool)) {
    loaded(places, into, load);
    let whole = fingerprint(places, into);
    for at in POINTS {
        let why = format!("{into} {at} {load}");
        spoil(SPOILED);
        let spoiled = fingerprint(places, into);
        let before = receipts(places).len();
        let child = command(places, &REPAIR, &format!("{at}=abort")).spawn().unwrap();
        let (ended, _) = told(child);
        assert_ne!(ended, Some(0), "{why}: it did not meet it");
        let left = fingerprint(places, into);
        let committed = receipts(places).len() - before;
        if once {
            assert_eq!(committed, usize::from(left == whole), "{why}: a receipt is there if the rows are");
            assert!(left == whole || left == spoiled, "{why}: a part of it is there");
        }
        let (ended, report) = places.json(&REPAIR);
        assert_eq!((ended, &report["status"]), (0, &"equal".into()), "{why}: {report:#}");
        assert_eq!(fingerprint(places, into), whole, "{why}");
        let (ended, report) = places.json(&["run"]);
        let rows = &report["rows"];
        let writes = ["inserted", "updated", "deleted", "removed"].iter().map(|kind| rows[*kind].as_u64().unwrap());
        // An overwrite without a key writes all of it again.
        assert!(load.contains("load: overwrite\n") || writes.sum::<u64>() == 0, "{why}: {report:#}");
        assert_eq!((ended, fingerprint(places, into)), (0, whole.clone()), "{why}");
    }
    for receipt in receipts(places) {
        let count = |kind: &str| receipt["rows"][kind].as_u64().unwrap();
        let outcomes = ["skipped", "superseded", "stale", "unchanged", "inserted", "updated", "deleted", "delete_noop"];
        assert_eq!(count("read"), outcomes.iter().map(|kind| count(kind)).sum::<u64>(), "{receipt:#}");
    }
}

#[test]
fn p2_p9_a_repair_that_is_killed_leaves_all_or_nothing() {
    let places = Places::new();
    let into = "sqlite:///t.db";
    for load in LOADS {
        drop(fs::remove_dir_all(places.path()));
        fs::create_dir_all(places.path()).unwrap();
        killed(&places, into, &|sql| places.sqlite(sql), load);
    }
}

#[test]
fn p2_p9_a_repair_on_a_server_that_is_killed_leaves_all_or_nothing() {
    let places = Places::new();
    let [_, (_, postgres), (_, mysql)] = places.databases();
    killed(&places, &postgres, &|sql| places.postgres(sql), LOADS[0]);
    let statements = |sql: &str| sql.split(';').for_each(|one| places.mysql(one));
    killed(&places, &mysql, &statements, LOADS[0]);
}

#[cfg(feature = "duckdb")]
#[test]
fn p2_p9_a_repair_on_duckdb_that_is_killed_leaves_all_or_nothing() {
    let places = Places::new();
    let spoil = |sql: &str| floodmark_testkit::execute_on_duckdb(&places.path().join("t.duckdb"), sql).unwrap();
    killed(&places, "duckdb:///t.duckdb", &spoil, LOADS[0]);
}

fn stopped(places: &Places, arguments: &[&str], at: &str) -> Child {
    let child = command(places, arguments, &format!("{at}=stop")).spawn().unwrap();
    await_stopped(&child).unwrap();
    child
}

#[test]
fn p3_a_repair_and_a_run_never_go_on_at_the_same_time() {
    let places = Places::new();
    for (_, into) in places.databases() {
        loaded(&places, &into, LOADS[0].0);
        let spoil = "UPDATE t SET n = -1 WHERE id = 3";
        match into.split(':').next() {
            Some("sqlite") => places.sqlite(spoil),
            Some("mysql") => places.mysql(spoil),
            _ => places.postgres(spoil),
        }
        // A repair finds a run, or a backfill, at work.
        source(&places, "INSERT INTO s VALUES (1000, 1, 1000)");
        for (other, at) in
            [(&["run"][..], "mid-chunk"), (&["backfill", "t", "--from", "1", "--to", "5", "--force"], "planned")]
        {
            let child = stopped(&places, other, at);
            let (ended, report) = places.json(&["verify", "t", "--repair"]);
            assert_eq!((ended, &report["status"]), (3, &"busy".into()), "{into} {other:?}: {report:#}");
            send(&child, "CONT").unwrap();
            assert_eq!(told(child).0, Some(0), "{into} {other:?}");
        }
        // Runs and backfills find a repair; to verify is nobody's matter. Meanwhile a row changes in the source.
        source(&places, "UPDATE s SET n = 8, at = 2000 WHERE id = 3");
        source(&places, "UPDATE s SET n = 9 WHERE id = 4");
        let child = stopped(&places, &["verify", "t", "--repair"], "surveyed");
        assert_eq!(places.json(&["run"]).0, 3, "{into}");
        assert_eq!(places.json(&["backfill", "t", "--from", "1", "--to", "5", "--force"]).0, 3, "{into}");
        assert_eq!(places.json(&["verify", "t", "--repair"]).0, 3, "{into}");
        assert_eq!(places.json(&["verify", "t"]).0, 4, "{into}");
        source(&places, "UPDATE s SET n = 10, at = 2001 WHERE id = 4");
        send(&child, "CONT").unwrap();
        let (ended, report) = told(child);
        assert_eq!((ended, &report["changed_since"]), (Some(0), &2.into()), "{into}: {report:#}");
        assert_eq!(report["repair"]["watermark"]["after"], "1000", "{into}: {report:#}");
        let (ended, report) = places.json(&["run"]);
        assert_eq!((ended, &report["rows"]["updated"]), (0, &2.into()), "{into}: {report:#}");
        assert_eq!(places.json(&["verify", "t"]).0, 0, "{into}");
    }
}

/// With `--wait` a repair begins when the run is done, and compares what that left.
#[test]
fn a_repair_waits_for_a_run_where_it_is_told_to() {
    let places = Places::new();
    loaded(&places, "sqlite:///t.db", LOADS[0].0);
    places.sqlite("DELETE FROM t WHERE id = 9");
    source(&places, "INSERT INTO s VALUES (1000, 1, 1000)");
    let run = stopped(&places, &["run"], "mid-chunk");
    let waiting = command(&places, &["verify", "t", "--repair", "--wait=60s"], "").spawn().unwrap();
    send(&run, "CONT").unwrap();
    assert_eq!(told(run).0, Some(0));
    let (ended, report) = told(waiting);
    assert_eq!((ended, &report["repair"]["rows"]["inserted"]), (Some(0), &1.into()), "{report:#}");
    assert_eq!(report["table"]["rows"], ROWS + 1, "{report:#}");
}

/// Of a large table only the parts are read again in which rows differ, whatever its key is made of.
#[test]
fn only_the_parts_that_differ_are_read_again() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), (_, mysql)] = places.databases();
    for (columns, values, key) in [
        ("id bigint, n bigint", "n, n * 7", "[id]"),
        ("id varchar(40), n bigint", "'k' || n % 7 || '-' || n || '''', n * 7", "[id]"),
        ("a date, id numeric(12,2), n bigint", "date '2024-01-01' + n / 600, n / 4.0, n * 7", "[a, id]"),
    ] {
        let keys = key.trim_matches(['[', ']']);
        places.postgres(&format!(
            "DROP TABLE IF EXISTS s, t; CREATE TABLE s ({columns}, PRIMARY KEY ({keys}));
             INSERT INTO s SELECT {values} FROM generate_series(1, 30000) n; ANALYZE s"
        ));
        for (into, change) in
            [(&sqlite, Places::sqlite as fn(&Places, &str)), (&postgres, Places::postgres), (&mysql, Places::mysql)]
        {
            let yaml = format!(
                "version: 1\npipelines:\n  t:\n    source: {{ url: '{postgres}', table: s }}\n    \
                 destination: {{ url: '{into}', table: t }}\n    key: {key}\n    load: overwrite\n"
            );
            fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
            let (ended, report) = places.json(&["run", "--full-refresh", "--yes"]);
            assert_eq!(ended, 0, "{into} {columns}: {report:#}");
            change(&places, "UPDATE t SET n = -1 WHERE n = 700");
            change(&places, "DELETE FROM t WHERE n BETWEEN 140000 AND 140070");
            change(&places, "UPDATE t SET n = NULL WHERE n = 199990");
            let (ended, report) = places.json(&["verify", "t", "--repair"]);
            let rows = &report["repair"]["rows"];
            assert_eq!(
                (ended, &rows["inserted"], &rows["updated"]),
                (0, &11.into(), &2.into()),
                "{into} {columns}: {report:#}"
            );
            assert!(rows["read"].as_u64().unwrap() < 15_000, "{into} {columns}: {report:#}");
            let (ended, report) = places.json(&["run"]);
            assert_eq!((ended, &report["status"]), (0, &"nothing_new".into()), "{into} {columns}: {report:#}");
        }
    }
}
