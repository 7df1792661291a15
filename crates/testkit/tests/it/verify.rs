//! `floodmark verify`: the table holds what the source holds as far as it was loaded, and what differs is named.

use crate::diff::{Places, counts, told_as};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const ORDERS: &str =
    "CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(40), amount numeric(12,2), updated_at timestamp(6))";

/// A pipeline from a table of one database into another.
fn pipeline(places: &Places, from: &str, into: &str, more: &str) {
    let yaml = format!(
        "version: 1\npipelines:\n  orders:\n    source: {{ url: '{from}', table: orders }}\n    \
         destination: {{ url: '{into}', table: loaded }}\n    key: [id]\n{more}"
    );
    fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
}

const WATERMARK: &str = "    watermark: { column: updated_at }\n";

fn verify(places: &Places, code: i32, more: &[&str]) -> Value {
    let (ended, report) = places.json(&[&["verify"], more].concat());
    assert_eq!(ended, code, "{report:#}");
    report
}

fn run(places: &Places) {
    let (ended, report) = places.json(&["run"]);
    assert_eq!(ended, 0, "{report:#}");
}

fn told(report: &Value) -> Vec<String> {
    told_as(report, "source", "table")
}

/// Rows that were inserted an hour ago and more, so that the watermark may move to the last of them.
fn filled(places: &Places) {
    places.postgres(&format!(
        "{ORDERS}; INSERT INTO orders SELECT n, 'note ' || n, n / 7.0, timestamp '2024-01-01' + n * interval '1 minute'
         FROM generate_series(1, 5000) n"
    ));
}

#[test]
fn what_was_loaded_is_equal_and_what_is_newer_is_not_loaded_yet() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), (_, mysql)] = places.databases();
    filled(&places);
    for into in [&sqlite, &mysql, &postgres] {
        pipeline(&places, &postgres, into, WATERMARK);
        run(&places);
        let report = verify(&places, 0, &[]);
        assert_eq!((&report["expected"], &report["table"]["rows"]), (&"source".into(), &5000.into()), "{report:#}");
        assert_eq!(report["watermark"]["value"], "2024-01-04 11:20:00", "{report:#}");
    }
    // New rows, one of them at the watermark itself, and one that changed since.
    places.postgres(
        "INSERT INTO orders VALUES (6001, 'new', 1, '2024-02-01'), (6002, 'new', 1, '2024-01-04 11:20:00');
         UPDATE orders SET note = 'changed', updated_at = '2024-02-02' WHERE id = 17",
    );
    for into in [&sqlite, &mysql, &postgres] {
        pipeline(&places, &postgres, into, WATERMARK);
        let report = verify(&places, 0, &[]);
        assert_eq!((&report["not_loaded"], &report["changed_since"]), (&2.into(), &1.into()), "{report:#}");
        run(&places);
        let report = verify(&places, 0, &[]);
        assert_eq!((&report["not_loaded"], &report["table"]["rows"]), (&0.into(), &5002.into()), "{report:#}");
    }
}

#[test]
fn rows_that_differ_are_named_with_their_columns() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), (_, mysql)] = places.databases();
    filled(&places);
    for (into, change) in
        [(&sqlite, Places::sqlite as fn(&Places, &str)), (&mysql, Places::mysql), (&postgres, Places::postgres)]
    {
        pipeline(&places, &postgres, into, WATERMARK);
        run(&places);
        change(
            &places,
            "UPDATE loaded SET note = 'other' WHERE id = 42; DELETE FROM loaded WHERE id = 4000;
             INSERT INTO loaded (id, note) VALUES (-1, 'nobody''s')",
        );
        let report = verify(&places, 4, &["--html", "report.html"]);
        assert_eq!(counts(&report), [1, 1, 1], "{report:#}");
        assert_eq!(told(&report), ["different 42 note note 42→other", "extra -1", "missing 4000"]);
        assert_eq!(report["by_column"]["note"], 1);
        let page = fs::read_to_string(places.path().join("report.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("3 rows differ") && !page.contains("<script"), "{page}");
        // Only what is asked for.
        assert_eq!(counts(&verify(&places, 4, &["--columns", "amount"])), [1, 1, 0]);
        let report = verify(&places, 4, &["--where", "id > 3000"]);
        assert_eq!(told(&report), ["missing 4000"], "{report:#}");
        let report = verify(&places, 4, &["--by", "1h"]);
        assert_eq!((&report["axis"], counts(&report)), (&"updated_at".into(), [1, 1, 1]), "{report:#}");
        verify(&places, 4, &["--sample", "100%"]);
        let one = |seed: &str| verify_any(&places, &["--sample", "1", "--seed", seed]);
        assert_eq!(one("7")["segments"], one("7")["segments"]);
        assert_eq!(one("7")["segments"]["compared"], 1);
    }
}

fn verify_any(places: &Places, more: &[&str]) -> Value {
    places.json(&[&["verify"], more].concat()).1
}

#[test]
fn late_rows_are_told_with_the_lookback_that_reads_them() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), _] = places.databases();
    filled(&places);
    pipeline(&places, &postgres, &sqlite, WATERMARK);
    run(&places);
    // They come behind the watermark: no run without a lookback sees them.
    places.postgres(
        "INSERT INTO orders VALUES (7001, 'late', 1, '2024-01-04 11:00:00'), (7002, 'late', 1, '2024-01-04 09:00:30');
         UPDATE orders SET note = 'late' WHERE id = 4990",
    );
    run(&places);
    let report = verify(&places, 4, &["--late"]);
    let late = &report["late"];
    assert_eq!((&late["missing"], &late["changed"]), (&2.into(), &1.into()), "{report:#}");
    assert_eq!((&late["oldest"], &late["lookback"]), (&"2024-01-04 09:00:30".into(), &"3h".into()), "{report:#}");
    pipeline(&places, &postgres, &sqlite, "    watermark: { column: updated_at, lookback: 3h }\n");
    run(&places);
    assert!(verify(&places, 0, &["--late"])["late"].is_null());
}

/// A source that is written to, and runs that load from it, while both are compared: never is a row said to differ.
#[test]
fn what_goes_on_meanwhile_is_no_difference() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), (_, mysql)] = places.databases();
    places.postgres(&format!(
        "{ORDERS}; CREATE SEQUENCE version; ALTER TABLE orders ADD v bigint DEFAULT nextval('version');
        INSERT INTO orders SELECT n, 'note', n, now() FROM generate_series(1, 3000) n"
    ));
    for into in [&sqlite, &mysql, &postgres] {
        pipeline(&places, &postgres, into, "    watermark: { column: v }\n");
        run(&places);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..40 {
                    places.postgres(&format!(
                        "UPDATE orders SET note = 'round {round}', v = nextval('version') WHERE id % 40 = {round};
                         INSERT INTO orders SELECT 10000 + {round} * 3000 + n, 'new', n, now(), nextval('version') FROM generate_series(1, 100) n
                         ON CONFLICT DO NOTHING"
                    ));
                    thread::sleep(Duration::from_millis(20));
                }
            });
            while !writer.is_finished() {
                let mut program = Command::new(floodmark_testkit::floodmark().unwrap());
                program.current_dir(places.path()).args(["run"]).stdout(Stdio::null()).stderr(Stdio::null());
                let mut loading = program.spawn().unwrap();
                let report = verify_any(&places, &[]);
                loading.wait().unwrap();
                assert!(
                    report["status"] == "equal" || report["notes"].as_array().is_some_and(|n| !n.is_empty()),
                    "{report:#}"
                );
            }
        });
        run(&places);
        assert_eq!(verify(&places, 0, &[])["not_loaded"], 0);
    }
}

/// Where a row of the table is none of the source's, the pipeline itself says what should be there.
#[test]
fn transforms_deletes_duplicates_and_history_are_exact() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), _] = places.databases();
    filled(&places);
    places.postgres("UPDATE orders SET note = 'gone' WHERE id % 100 = 0");
    for (load, broken) in [
        (
            "    transform: SELECT id, upper(note) AS note, updated_at FROM source WHERE id < 4000\n",
            "note = 'x' WHERE id = 3",
        ),
        ("    delete_when: note = 'gone'\n", "note = 'x' WHERE id = 3"),
        ("    delete_when: note = 'gone'\n    deletes: soft\n", "note = 'x' WHERE id = 3"),
        ("    load: scd2\n", "note = 'x' WHERE id = 3"),
        ("    load: insert_only\n", "id = -3 WHERE id = 3"),
        ("    on_null: keep\n", "note = 'x' WHERE id = 3"),
    ] {
        places.sqlite("DROP TABLE IF EXISTS loaded; DROP TABLE IF EXISTS _floodmark_state; DROP TABLE IF EXISTS _floodmark_tombstones");
        let _ = fs::remove_file(places.path().join("t.db"));
        pipeline(&places, &postgres, &sqlite, &format!("{WATERMARK}{load}"));
        run(&places);
        places.postgres(
            "UPDATE orders SET amount = amount + 1, updated_at = updated_at + interval '1 year' WHERE id = 17",
        );
        run(&places);
        verify(&places, 0, &[]);
        places.sqlite(&format!("UPDATE loaded SET {broken}"));
        let report = verify(&places, 4, &[]);
        assert!(counts(&report).iter().sum::<u64>() > 0, "{load}: {report:#}");
    }
}

#[test]
fn a_null_that_keeps_a_value_agrees_with_it() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), _] = places.databases();
    filled(&places);
    pipeline(&places, &postgres, &sqlite, &format!("{WATERMARK}    on_null: keep\n"));
    run(&places);
    places.postgres("UPDATE orders SET note = NULL, updated_at = '2025-01-01' WHERE id = 5");
    run(&places);
    verify(&places, 0, &[]);
    pipeline(&places, &postgres, &sqlite, WATERMARK);
    assert_eq!(counts(&verify(&places, 4, &[])), [0, 0, 1]);
}

/// A file that came later counts, though its name is earlier; and so does the window that was delivered again.
#[test]
fn files_count_in_the_order_in_which_runs_met_them() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), (_, mysql)] = places.databases();
    let lake = format!("delta://{}", places.path().join("lake").display());
    let put = |name: &str, rows: &str| {
        fs::write(places.path().join("in").join(name), format!("id,day,note\n{rows}")).unwrap();
    };
    for into in [&sqlite, &postgres, &mysql, &lake] {
        for (load, left) in [
            ("load: upsert\n    key: id", 3),
            ("load: insert_only\n    key: id", 3),
            ("load: scd2\n    key: id", 3),
            ("load: delete_insert\n    window: day", 2),
            ("load: delete_insert\n    window: day\n    key: id", 2),
        ] {
            let _ = fs::remove_dir_all(places.path().join("in"));
            fs::create_dir(places.path().join("in")).unwrap();
            let table = format!("met_{}", load.replace(|c: char| !c.is_ascii_lowercase(), "_"));
            let yaml = format!(
                "version: 1\npipelines:\n  {table}:\n    source: {{ files: 'in/*.csv' }}\n    {load}\n    \
                 destination: {{ url: '{into}', table: {table} }}\n"
            );
            fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
            put("b.csv", "1,2024-01-01,b\n2,2024-01-01,b\n");
            put("c.csv", "3,2024-01-02,c\n");
            run(&places);
            put("a.csv", "1,2024-01-01,a\n");
            run(&places);
            let report = verify(&places, 0, &["--scratch", "."]);
            assert_eq!((&report["expected"], &report["table"]["rows"]), (&"loaded".into(), &left.into()), "{report:#}");
            // What was loaded again is the newest.
            put("b.csv", "1,2024-01-01,other\n2,2024-01-01,other\n");
            run(&places);
            verify(&places, 0, &["--scratch", "."]);
            let (ended, report) = places.json(&["verify", "--repair", "--yes"]);
            assert_eq!(ended, 0, "{report:#}");
        }
    }
}

/// A reject that is loaded later is a row of its file, and not the file once more.
#[test]
fn rejects_that_are_loaded_later_leave_their_file_where_it_is() {
    let places = Places::new();
    let [(_, sqlite), ..] = places.databases();
    fs::create_dir(places.path().join("in")).unwrap();
    let put = |name: &str, rows: &str| fs::write(places.path().join("in").join(name), format!("id,v\n{rows}")).unwrap();
    let project = |columns: &str| {
        let yaml = format!(
            "version: 1\npipelines:\n  t:\n    source: {{ files: 'in/*.csv' }}\n    key: id\n    on_bad_row: reject\n{columns}    \
             destination: {{ url: '{sqlite}', table: loaded }}\n"
        );
        fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
    };
    project("    columns: { v: { not_null: true } }\n");
    put("b.csv", "1,b\n2,b\n3,\n");
    run(&places);
    put("a.csv", "1,a\n");
    run(&places);
    project("");
    let (ended, replayed) = places.json(&["rejects", "replay", "t"]);
    assert_eq!((ended, &replayed["rows"]["inserted"]), (0, &1.into()), "{replayed:#}");
    verify(&places, 0, &[]);
}

/// What is gone may have held what the table's rows are: nothing older is put in their place.
#[test]
fn rows_of_files_that_are_gone_are_not_put_back_to_older_ones() {
    let places = Places::new();
    let [(_, sqlite), ..] = places.databases();
    fs::create_dir(places.path().join("in")).unwrap();
    let put = |name: &str, rows: &str| fs::write(places.path().join("in").join(name), format!("id,v\n{rows}")).unwrap();
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ files: 'in/*.csv' }}\n    key: id\n    version: v\n    \
         destination: {{ url: '{sqlite}', table: loaded }}\n"
    );
    fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
    put("1.csv", "1,1\n2,1\n");
    run(&places);
    put("2.csv", "2,2\n");
    run(&places);
    let rows = || {
        let db = rusqlite::Connection::open(places.path().join("t.db")).unwrap();
        let mut read = db.prepare("SELECT id || ' ' || v FROM loaded ORDER BY id").unwrap();
        read.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    let refused = |words: &str| {
        for more in [&["--repair", "--yes"][..], &["--repair", "--dry-run"]] {
            let report = verify(&places, 1, more);
            assert_eq!(report["error"]["code"], "FM0605", "{report:#}");
            assert!(report["error"]["message"].as_str().unwrap().contains(words), "{report:#}");
        }
        assert_eq!(rows(), ["1 1", "2 2"]);
    };
    fs::rename(places.path().join("in/2.csv"), places.path().join("2.csv")).unwrap();
    refused("are gone");
    fs::rename(places.path().join("2.csv"), places.path().join("in/2.csv")).unwrap();
    verify(&places, 0, &[]);
    // As long as it was, and later.
    put("2.csv", "3,3\n");
    refused("have changed");
    run(&places);
    assert_eq!(rows(), ["1 1", "2 2", "3 3"]);
}

/// A version that brought what was there already has no row of its own.
#[test]
fn a_version_that_brought_nothing_new_keeps_a_repair_away() {
    let places = Places::new();
    let [(_, sqlite), ..] = places.databases();
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ files: a.csv }}\n    load: scd2\n    key: id\n    version: v\n    \
         destination: {{ url: '{sqlite}', table: loaded }}\n"
    );
    fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
    fs::write(places.path().join("a.csv"), "id,v,x\n5,11,x\n5,17,x\n6,12,y\n").unwrap();
    run(&places);
    places.sqlite("UPDATE loaded SET x = 'other' WHERE id = 5");
    let report = verify(&places, 1, &["--repair", "--yes"]);
    assert_eq!(report["error"]["code"], "FM0605", "{report:#}");
    assert!(report["error"]["help"].to_string().contains("--full-refresh"), "{report:#}");
    assert_eq!(counts(&verify(&places, 4, &[])), [0, 0, 1]);
}

#[test]
fn what_cannot_be_verified_says_why() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), _] = places.databases();
    filled(&places);
    pipeline(&places, &postgres, &sqlite, WATERMARK);
    assert_eq!(verify(&places, 1, &[])["error"]["code"], "FM0605");
    assert_eq!(verify_any(&places, &["nobody"])["error"]["code"], "FM0104");
    run(&places);
    assert_eq!(verify(&places, 2, &["--columns", "nothing"])["error"]["code"], "FM0107");
    assert_eq!(verify(&places, 2, &["--by", "nothing"])["error"]["code"], "FM0107");
}

/// What backfills loaded before the `start` is compared, too; what lies between is not loaded yet.
#[test]
fn history_that_was_filled_in_is_compared_and_what_lies_between_is_not_loaded_yet() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), _] = places.databases();
    filled(&places);
    for more in ["", "    transform: SELECT id, upper(note) AS note, amount, updated_at FROM source\n"] {
        let start = "    watermark: { column: updated_at, start: '2024-01-03' }\n";
        pipeline(&places, &postgres, &sqlite, &format!("{start}{more}"));
        let (ended, report) = places.json(&["run", "--full-refresh", "--yes"]);
        assert_eq!(ended, 0, "{report:#}");
        let (ended, report) = places.json(&["backfill", "orders", "--from", "2024-01-01", "--to", "2024-01-02"]);
        assert_eq!((ended, &report["rows"]["inserted"]), (0, &1439.into()), "{report:#}");
        let report = verify(&places, 0, &[]);
        assert_eq!((&report["not_loaded"], &report["gaps"]), (&0.into(), &1440.into()), "{report:#}");
        places.sqlite("DELETE FROM loaded WHERE id IN (5, 4000); UPDATE loaded SET amount = '0' WHERE id = 7");
        let report = verify(&places, 4, &[]);
        assert_eq!(counts(&report), [2, 0, 1], "{report:#}");
    }
}

/// Thousands of rows at the watermark itself, of which an `append` knows each: those that are gone from the table are missing,
/// also where a server works out the hashes, and come back once.
#[test]
fn what_an_append_loaded_at_its_watermark_is_missing_where_it_is_gone() {
    let places = Places::new();
    let [(_, sqlite), (_, postgres), (_, mysql)] = places.databases();
    let rows = "INSERT INTO orders WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 900)
         SELECT n % 300, 'note', n % 3, '2024-01-01' FROM n";
    let table = ORDERS.replace(" PRIMARY KEY", "");
    for (source, at) in [(&postgres, Places::postgres as fn(&Places, &str)), (&mysql, Places::mysql)] {
        at(&places, &format!("{table}; {rows}"));
        for (into, change) in
            [(&sqlite, Places::sqlite as fn(&Places, &str)), (&mysql, Places::mysql), (&postgres, Places::postgres)]
        {
            pipeline(&places, source, into, &format!("{WATERMARK}    load: append\n"));
            let yaml = fs::read_to_string(places.path().join("floodmark.yaml")).unwrap().replace("    key: [id]\n", "");
            fs::write(places.path().join("floodmark.yaml"), yaml).unwrap();
            let (ended, report) = places.json(&["run", "--full-refresh", "--yes"]);
            assert_eq!(ended, 0, "{report:#}");
            change(&places, "DELETE FROM loaded WHERE id < 10");
            at(&places, "INSERT INTO orders VALUES (5, 'new', 1, '2024-01-01')");
            let report = verify(&places, 4, &[]);
            assert_eq!((counts(&report), &report["not_loaded"]), ([30, 0, 0], &1.into()), "{report:#}");
            let (ended, report) = places.json(&["verify", "--repair"]);
            assert_eq!((ended, &report["repair"]["rows"]["inserted"]), (0, &30.into()), "{report:#}");
            let (ended, report) = places.json(&["run"]);
            assert_eq!((ended, &report["rows"]["inserted"]), (0, &1.into()), "{report:#}");
            at(&places, "DELETE FROM orders WHERE note = 'new'");
            assert_eq!(counts(&verify(&places, 4, &[])), [0, 1, 0]);
        }
        at(&places, "DROP TABLE orders");
    }
}
