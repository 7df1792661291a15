//! `floodmark backfill` while other things go on: runs, another backfill, kills.

use floodmark_testkit::{
    crash::{await_stopped, send},
    floodmark, scratch,
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Days of the source, before the pipeline's start and after it.
const DAYS: i64 = 60;

/// A table with some rows a day, and a pipeline that begins on its thirtieth day.
fn project(load: &str) -> TempDir {
    let folder = scratch().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("source.db")).unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE s (id bigint, n bigint, day date);
         WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < {DAYS} * 5 - 1)
         INSERT INTO s SELECT n, n * 7, date('2024-01-01', (n / 5) || ' days') FROM d"
    ))
    .unwrap();
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ url: 'sqlite:///source.db', table: s }}\n    \
         destination: {{ url: 'sqlite:///out.db', table: t }}\n    watermark: {{ column: day, start: '2024-01-31' }}\n    \
         commit_every: 10\n{load}"
    );
    fs::write(folder.path().join("floodmark.yaml"), yaml).unwrap();
    folder
}

pub(super) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(floodmark().unwrap());
    command.current_dir(folder).env("NO_COLOR", "1").args(["--format", "json"]).args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(super) fn told(child: Child) -> (Option<i32>, Value) {
    let (exit, object, _) = said(child);
    (exit, object)
}

/// With what it said beside its result.
pub(super) fn said(child: Child) -> (Option<i32>, Value, String) {
    let ran = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let object = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    (ran.status.code(), object, String::from_utf8_lossy(&ran.stderr).into_owned())
}

fn call(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    told(command(folder, arguments).spawn().unwrap())
}

const ALL: [&str; 6] = ["backfill", "t", "--from", "2024-01-01", "--to", "2024-01-31"];

/// Stopped at a crash point.
fn stopped(folder: &Path, at: &str) -> Child {
    let child = command(folder, &ALL).env("FLOODMARK_CRASH", format!("{at}=stop")).spawn().unwrap();
    await_stopped(&child).unwrap();
    child
}

fn sum(folder: &Path) -> (i64, i64, i64) {
    let db = rusqlite::Connection::open(folder.join("out.db")).unwrap();
    db.query_row("SELECT count(*), count(DISTINCT id), sum(n) FROM t", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .unwrap()
}

const LOADS: [&str; 4] = [
    "    key: [id]\n",
    "    load: insert_only\n    key: [id]\n",
    "    load: append\n",
    "    load: delete_insert\n    window: [day]\n",
];

fn whole() -> (i64, i64, i64) {
    (DAYS * 5, DAYS * 5, (0..DAYS * 5).map(|n| n * 7).sum())
}

#[test]
fn p7_runs_go_on_while_a_backfill_does() {
    for load in LOADS {
        let folder = project(load);
        let (ended, report) = call(folder.path(), &["run"]);
        assert_eq!((ended, &report["rows"]["inserted"]), (Some(0), &150.into()), "{load}: {report:#}");
        let child = stopped(folder.path(), "committed:before:3");
        let source = rusqlite::Connection::open(folder.path().join("source.db")).unwrap();
        source.execute_batch("INSERT INTO s VALUES (1000, 1, '2024-03-05'); DELETE FROM s WHERE id = 999").unwrap();
        let (ended, report) = call(folder.path(), &["run"]);
        assert_eq!((ended, &report["rows"]["inserted"]), (Some(0), &1.into()), "{load}: {report:#}");
        let (ended, report) = call(folder.path(), &ALL);
        assert_eq!((ended, &report["status"]), (Some(3), &"busy".into()), "{load}: {report:#}");
        send(&child, "CONT").unwrap();
        let (ended, report) = told(child);
        assert_eq!((ended, &report["rows"]["inserted"]), (Some(0), &150.into()), "{load}: {report:#}");
        assert_eq!(report["watermark"]["after"], "2024-03-05", "{load}: it stays where the run left it: {report:#}");
        let (rows, keys, total) = whole();
        assert_eq!(sum(folder.path()), (rows + 1, keys + 1, total + 1), "{load}");
        let (ended, report) = call(folder.path(), &["run"]);
        assert_eq!((ended, &report["watermark"]["after"]), (Some(0), &"2024-03-05".into()), "{load}: {report:#}");
        assert_eq!(sum(folder.path()).0, rows + 1, "{load}");
    }
}

#[test]
fn p2_p7_killed_again_and_again_it_goes_on_where_it_was() {
    for load in LOADS {
        let folder = project(load);
        for at in ["mid-chunk:before:2", "committed:before:1", "load-commit:before:2", "load-commit:after:3", "sealed"]
        {
            let child = command(folder.path(), &ALL).env("FLOODMARK_CRASH", format!("{at}=abort")).spawn().unwrap();
            assert_ne!(told(child).0, Some(0), "{load}: it did not meet {at}");
        }
        let (ended, report) = call(folder.path(), &ALL);
        assert_eq!(ended, Some(0), "{load}: {report:#}");
        let (ended, report) = call(folder.path(), &["run"]);
        assert_eq!(ended, Some(0), "{load}: {report:#}");
        assert_eq!(sum(folder.path()), whole(), "{load}");
        let (ended, report) = call(folder.path(), &[&ALL[..], &["--force", "--by", "1w"]].concat());
        assert_eq!((ended, &report["rows"]["inserted"]), (Some(0), &0.into()), "{load}: {report:#}");
        assert_eq!(sum(folder.path()), whole(), "{load}");
    }
}

/// A signal that comes while intervals are planned is heard before any of them is loaded.
#[test]
fn a_signal_is_heard_while_intervals_are_planned() {
    let folder = project(LOADS[0]);
    assert_eq!(call(folder.path(), &["run"]).0, Some(0));
    let many = ["backfill", "t", "--from", "1900-01-01", "--to", "2024-01-31"];
    for (signal, code) in [("int", 130), ("term", 143)] {
        let child = command(folder.path(), &many).env("FLOODMARK_CRASH", format!("planned={signal}")).spawn().unwrap();
        let (ended, report) = told(child);
        assert_eq!((ended, &report["backfill"]["loaded"]), (Some(code), &0.into()), "{report:#}");
        assert_eq!(report["backfill"]["intervals"], 0, "it was heard before they were known: {report:#}");
    }
}

/// What cannot be filled leaves nothing where there was nothing.
#[test]
fn p10_a_first_backfill_of_nothing_leaves_no_database() {
    let folder = project(LOADS[0]);
    let there = || {
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = there();
    let ranges: [&[&str]; 4] = [
        &["--from", "2024-02-01", "--to", "2024-01-01"],
        &["--from", "yesterday", "--to", "2024-01-01"],
        &["--from", "2024-01-01", "--to", "2024-02-01", "--by", "1h"],
        &["--from", "2024-01-01", "--to", "2024-02-01", "--column", "nowhere"],
    ];
    for range in ranges {
        let (ended, report) = call(folder.path(), &[&["backfill", "t"][..], range].concat());
        assert_eq!((ended, there()), (Some(2), before.clone()), "{range:?}: {report:#}");
    }
}

/// An interval with more rows than a transaction takes is loaded in parts, and goes on behind the last of them.
#[test]
fn p2_a_large_interval_is_loaded_in_parts_with_receipts_of_their_own() {
    for load in ["    key: [id]\n", "    load: append\n"] {
        let folder = project(load);
        let source = rusqlite::Connection::open(folder.path().join("source.db")).unwrap();
        source
            .execute_batch(
                "DELETE FROM s; WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 29999)
                 INSERT INTO s SELECT n, 1, date('2020-01-01', (n / 30) || ' days') FROM d",
            )
            .unwrap();
        let yaml = folder.path().join("floodmark.yaml");
        fs::write(&yaml, fs::read_to_string(&yaml).unwrap().replace("commit_every: 10\n", "commit_every: 700\n"))
            .unwrap();
        let whole = ["backfill", "t", "--from", "2020-01-01", "--to", "2024-01-01", "--by", "10y"];
        let child = command(folder.path(), &whole).env("FLOODMARK_CRASH", "committed:before:9=abort").spawn().unwrap();
        assert_ne!(told(child).0, Some(0), "{load}");
        let kept = sum(folder.path()).0;
        let receipts = || {
            let (_, status) = call(folder.path(), &["backfill", "t", "--status"]);
            status["intervals"].as_array().unwrap().clone()
        };
        assert!((8..=9).contains(&receipts().len()), "{load}: {} receipts", receipts().len());
        assert!((8 * 690..=9 * 720).contains(&kept), "{load}: {kept} rows are kept");
        let (ended, report) = call(folder.path(), &whole);
        assert_eq!((ended, &report["rows"]["inserted"]), (Some(0), &(30_000 - kept).into()), "{load}: {report:#}");
        assert_eq!(report["rows"]["unchanged"], 0, "{load}: {report:#}");
        assert_eq!(sum(folder.path()), (30_000, 30_000, 30_000), "{load}");
        // With the last of them there is one for all of it.
        let all = receipts();
        let of = |field: &str| all[0][field].to_string();
        assert_eq!(all.len(), 1, "{load}: {all:?}");
        assert_eq!([of("from"), of("to"), of("rows")], ["\"2020-01-01\"", "\"2024-01-01\"", "30000"], "{load}");
    }
}

/// A thousand rows in ten files, each with rows of every day, and a transaction for each file.
fn ten_files(fields: &str) -> TempDir {
    let folder = scratch().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for file in 0..10 {
        let row = |n: i64| format!("{n},{},2024-01-{:02}\n", n * 7, n % 28 + 1);
        let rows: String = (file * 100..(file + 1) * 100).map(row).collect();
        fs::write(folder.path().join(format!("data/{file}.csv")), format!("id,n,day\n{rows}")).unwrap();
    }
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ files: 'data/*.csv' }}\n    \
         destination: {{ url: 'sqlite:///out.db', table: t }}\n    key: id\n    watermark: day\n    commit_every: 100\n{fields}"
    );
    fs::write(folder.path().join("floodmark.yaml"), yaml).unwrap();
    folder
}

const MONTH: [&str; 8] = ["backfill", "t", "--from", "2024-01-01", "--to", "2024-02-01", "--by", "1mo"];

/// The fourth transaction is never committed.
fn killed_at_the_fourth(folder: &Path, arguments: &[&str]) {
    let child = command(folder, arguments).env("FLOODMARK_CRASH", "sealed:before:4=abort").spawn().unwrap();
    assert_eq!(told(child).0, None);
    assert_eq!(sum(folder).0, 300);
}

/// Files give no rows in order: what a killed backfill committed of a large interval is in, stays, and is not written again;
/// it stays open until the last of its rows.
#[test]
fn p2_a_large_interval_of_files_goes_on_where_it_was_killed() {
    let folder = ten_files("");
    let receipts = || {
        let (_, status) = call(folder.path(), &["backfill", "t", "--status"]);
        let all = status["intervals"].as_array().unwrap().clone();
        all.iter()
            .map(|entry| (entry["rows"].as_i64().unwrap(), entry["settled"].as_bool().unwrap()))
            .collect::<Vec<_>>()
    };
    killed_at_the_fourth(folder.path(), &MONTH);
    assert_eq!(receipts(), [(300, false)], "it stays open");
    // What is in is known, and what is not is missing.
    let (ended, found) = call(folder.path(), &["verify", "t"]);
    assert_eq!(
        (ended, &found["rows"]["missing"], &found["rows"]["extra"]),
        (Some(4), &700.into(), &0.into()),
        "{found:#}"
    );
    let (ended, report) = call(folder.path(), &MONTH);
    let rows = |outcome: &str| report["rows"][outcome].as_i64();
    assert_eq!((ended, rows("read"), rows("unchanged"), rows("inserted")), (Some(0), Some(1000), Some(300), Some(700)));
    assert_eq!((sum(folder.path()), receipts()), ((1000, 1000, (0..1000).map(|n| n * 7).sum()), vec![(1000, true)]));
    assert_eq!(call(folder.path(), &["verify", "t"]).0, Some(0));
    // Each commit brought its own rows, and no others.
    let (_, shown) = call(folder.path(), &["runs", "show", report["run"].as_str().unwrap()]);
    let of_slices =
        |commit: &Value| commit["slices"].as_array().unwrap().iter().filter_map(|s| s["read"].as_i64()).sum();
    let brought: Vec<i64> = shown["commits"].as_array().unwrap().iter().map(of_slices).collect();
    assert_eq!(brought.iter().filter(|rows| **rows > 0).collect::<Vec<_>>(), [&100; 10], "{shown:#}");
}

/// What a killed run has yet to load is not for a backfill to say, though it has the run's lock: where no version tells old
/// rows from new ones.
#[test]
fn p7_a_backfill_leaves_an_unfinished_run_as_it_is() {
    let folder = ten_files("    version: none\n");
    killed_at_the_fourth(folder.path(), &["run"]);
    let unfinished = || call(folder.path(), &["state", "show", "t"]).1["pending"].clone();
    let before = unfinished();
    assert_eq!(before["value"], "2024-01-28", "{before:#}");
    let (ended, report) = call(folder.path(), &["backfill", "t", "--from", "2024-01-01", "--to", "2024-01-03"]);
    assert_eq!((ended, unfinished()), (Some(0), before), "{report:#}");
    let (ended, report) = call(folder.path(), &["run"]);
    assert_eq!((ended, &report["watermark"]["after"]), (Some(0), &"2024-01-28".into()), "{report:#}");
    assert_eq!(sum(folder.path()).0, 1000);
}
