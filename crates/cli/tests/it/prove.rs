//! `prove`: what holds, what it finds broken, and that nothing of the user's is touched.

use crate::support::{Ran, Scratch, files, keys, shown};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A project with one pipeline into `t`, of two files with a key, a version and a word each.
fn project(settings: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("data/1.csv", "id,at,word\n1,2024-01-01,one\n2,2024-01-02,two\n3,2024-01-03,three\n");
    scratch.write("data/2.csv", "id,at,word\n2,2024-01-05,TWO\n4,2024-01-04,four\n5,2024-01-06,five\n");
    scratch.write("floodmark.yaml", &pipelines(&[("t", settings)]));
    scratch
}

fn pipelines(all: &[(&str, &str)]) -> String {
    let mut text = "version: 1\npipelines:\n".to_owned();
    for (name, settings) in all {
        text.push_str(&format!(
            "  {name}:\n    source: {{ files: \"data/*.csv\" }}\n    destination: {{ url: \"sqlite:///shop.db\", table: {name} }}\n"
        ));
        settings.lines().for_each(|line| text.push_str(&format!("    {}\n", line.trim_start())));
    }
    text
}

/// Proves, and nothing in the folder may be different after it, nor anything be left in the scratch folder.
fn prove(scratch: &Scratch, args: &[&str]) -> Ran {
    let before = files(scratch.path());
    let copies = tempfile::tempdir().unwrap();
    let mut command = scratch.command(&[&["prove", "--scratch", copies.path().to_str().unwrap()], args].concat());
    // Wide enough that no time, however long, wraps a line.
    let ran = scratch.ran(&command.env("COLUMNS", "120").output().unwrap());
    let after = files(scratch.path());
    let differ: Vec<&PathBuf> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(differ.is_empty(), "{differ:?} changed: {ran:?}");
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 0, "copies are left: {ran:?}");
    ran
}

fn certificate(scratch: &Scratch, code: i32) -> serde_json::Value {
    let ran = prove(scratch, &["--format", "json"]);
    assert_eq!(ran.code, code, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The verdicts of a promise's trials.
fn verdicts<'a>(certificate: &'a serde_json::Value, promise: &str) -> Vec<&'a str> {
    let trials = certificate["trials"].as_array().unwrap().iter();
    trials.filter(|t| t["promise"] == promise).map(|t| t["verdict"].as_str().unwrap()).collect()
}

/// The first trial of a promise that was broken.
fn broken<'a>(certificate: &'a serde_json::Value, promise: &str) -> &'a serde_json::Value {
    let mut trials = certificate["trials"].as_array().unwrap().iter();
    let found = trials.find(|t| t["promise"] == promise && t["verdict"] == "broken");
    assert!(found.is_some(), "{promise} is not broken: {certificate:#}");
    found.unwrap()
}

/// Times, which end a line of the table, taken out; and how two runs at once ended, which is theirs to decide.
fn steady(ran: &Ran) -> String {
    let mut out = String::new();
    for line in shown(ran).lines() {
        let words: Vec<&str> = line.rsplitn(3, ' ').collect();
        let line = match words[..] {
            ["s", time, rest] if time.parse::<f64>().is_ok() => format!("{} [time]", rest.trim_end()),
            _ => line.to_owned(),
        };
        let line = line.replace("the other left at once with exit code 3", "the other found nothing left");
        let line = match line.split_once("the sums of ") {
            Some((before, after)) => {
                format!("{before}the sums of [n]{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => line,
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn strategies_hold_and_say_what_they_do_not_promise() {
    let scratch = project("");
    scratch.write(
        "floodmark.yaml",
        &pipelines(&[
            ("upserted", "load: upsert\nkey: id\nwatermark: at"),
            ("latest", "load: upsert\nkey: id"),
            ("appended", "load: append"),
            ("marked", "load: append\nwatermark: at"),
            ("replaced", "load: overwrite"),
            ("history", "load: scd2\nkey: id\nwatermark: at"),
            ("kept", "load: insert_only\nkey: id\nversion: at"),
            ("days", "load: delete_insert\nwindow: at"),
        ]),
    );
    let ran = prove(&scratch, &[]);
    insta::assert_snapshot!("prove_strategies", steady(&ran));
    // Once more over a database that has all of it, and rows of others.
    scratch.ok(&["run"]);
    let again = prove(&scratch, &[]);
    assert_eq!(steady(&again), steady(&ran));
}

#[test]
fn a_certificate_for_programs_is_also_a_file() {
    let scratch = project("load: upsert\nkey: id\nwatermark: at");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("certificate.json");
    let ran = prove(&scratch, &["--format", "json", "--certificate", file.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), ran.stdout);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(keys(&found), ["pipeline", "status", "load", "table", "rows", "fingerprint", "trials", "seconds"]);
    assert_eq!(found["status"], "proven");
    assert_eq!(keys(&found["trials"][0]), ["promise", "trial", "verdict", "note", "rows", "fingerprint", "seconds"]);
    let mut promises: Vec<&str> =
        found["trials"].as_array().unwrap().iter().map(|t| t["promise"].as_str().unwrap()).collect();
    promises.dedup();
    assert_eq!(promises, ["P1", "P2", "P3", "P5", "P7", "P8", "P9"]);
    scratch.ok(&["run"]);
    assert_eq!(found["fingerprint"], scratch.fingerprint("sqlite:///shop.db", "t").trim());
}

#[test]
fn what_depends_on_time_or_chance_is_named() {
    for (call, name) in [("random()", "random()"), ("now()", "now()")] {
        let scratch =
            project(&format!("load: upsert\nkey: id\nversion: at\ntransform: SELECT id, at, {call} AS r FROM source"));
        let found = certificate(&scratch, 4);
        let trial = broken(&found, "P8");
        assert!(trial["note"].as_str().unwrap().contains(name), "{trial:#}");
        assert_eq!(trial["differences"]["rows"], 5, "{trial:#}");
        assert_eq!(trial["differences"]["samples"][0]["change"], "updated", "{trial:#}");
        assert_eq!(verdicts(&found, "P2"), ["not_tried", "not_tried"]);
        let text = prove(&scratch, &[]);
        assert_eq!(text.code, 4);
        assert!(text.stdout.contains("broken: P8 determinism (the same input"), "{}", text.stdout);
        assert!(text.stdout.contains("help: leave"), "{}", text.stdout);
    }
    let scratch =
        project("load: upsert\nkey: id\nversion: at\ntransform: SELECT id, at, current_date AS d FROM source");
    let found = certificate(&scratch, 0);
    assert!(found["trials"].to_string().contains("it calls current_date()"), "{found:#}");
}

#[test]
fn what_depends_on_order_is_named() {
    let scratch =
        project("load: upsert\nkey: id\nversion: at\ntransform: SELECT id, at, row_number() OVER () AS n FROM source");
    let found = certificate(&scratch, 4);
    let note = broken(&found, "P5")["note"].as_str().unwrap();
    assert!(note.contains("row_number() OVER (…) without ORDER BY"), "{note}");
    // Nor is it a tie where each key has several versions, of which the newest has another number each time.
    let newer =
        "id,at,word\n1,2025-01-01,a\n2,2025-01-01,b\n3,2025-01-01,c\n1,2025-01-02,d\n2,2025-01-02,e\n3,2025-01-02,f\n";
    scratch.write("data/3.csv", newer);
    let found = certificate(&scratch, 4);
    assert!(!found["trials"].to_string().contains("but for"), "{found:#}");
    // Sums over what is new are not sums over all.
    let scratch = project(
        "load: upsert\nkey: id\nversion: at\ntransform: SELECT id, max(at) AS at, count(*) AS n FROM source GROUP BY id",
    );
    let found = certificate(&scratch, 4);
    let trial = broken(&found, "P7");
    assert!(trial["note"].as_str().unwrap().contains("GROUP BY"), "{trial:#}");
    assert_eq!(trial["differences"]["rows"], 1, "{trial:#}");
}

#[test]
fn ties_are_told_and_break_nothing() {
    let scratch = project("load: upsert\nkey: id\nwatermark: at");
    scratch.write("data/3.csv", "id,at,word\n5,2024-01-06,FIVE\n");
    let found = certificate(&scratch, 0);
    assert!(found["trials"].to_string().contains("but for 1 tie"), "{found:#}");
}

#[test]
fn a_load_that_adds_everything_again_is_broken() {
    let scratch = project("load: append\nappend: at_least_once");
    let found = certificate(&scratch, 4);
    let trial = broken(&found, "P1");
    assert!(trial["note"].as_str().unwrap().contains("6 inserted"), "{trial:#}");
    assert!(trial["help"][0].as_str().unwrap().contains("at_least_once"), "{trial:#}");
    assert_eq!(verdicts(&found, "P2")[0], "broken", "{found:#}");
}

/// A database whose own triggers take the ledger away: what a run remembers is gone with the next one.
#[test]
fn a_ledger_that_is_lost_is_noticed() {
    let scratch = project("load: append");
    scratch.ok(&["run"]);
    let db = rusqlite::Connection::open(scratch.path().join("shop.db")).unwrap();
    db.execute_batch(
        "CREATE TRIGGER lost AFTER UPDATE OF token ON _floodmark_state BEGIN DELETE FROM _floodmark_files; END",
    )
    .unwrap();
    drop(db);
    let found = certificate(&scratch, 4);
    for promise in ["P1", "P2"] {
        assert_eq!(broken(&found, promise)["differences"]["samples"][0]["change"], "inserted", "{found:#}");
    }
}

/// Receipts that say a row too much, for the runs as for who compares them.
#[test]
fn wrong_sums_are_noticed() {
    let scratch = project("load: append");
    scratch.ok(&["run"]);
    let db = rusqlite::Connection::open(scratch.path().join("shop.db")).unwrap();
    db.execute_batch(
        "CREATE TRIGGER off AFTER INSERT ON _floodmark_runs WHEN NEW.inserted > 0
         BEGIN UPDATE _floodmark_runs SET inserted = inserted + 1 WHERE run = NEW.run; END",
    )
    .unwrap();
    drop(db);
    let found = certificate(&scratch, 4);
    let note = broken(&found, "P9")["note"].as_str().unwrap();
    assert!(note.contains("6 rows went in and 7 came out"), "{note}");
    let note = broken(&found, "P3")["note"].as_str().unwrap();
    assert_eq!(note, "the two runs inserted 7 rows in place of 6");
}

#[test]
fn what_fails_fails_as_a_run_would() {
    let scratch = project("");
    scratch
        .write("floodmark.yaml", &pipelines(&[("orders", "load: upsert\nkey: id\ncolumns: {word: {type: bigint}}")]));
    let ran = prove(&scratch, &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("FM0301") && ran.stderr.contains("data/1.csv"), "{}", ran.stderr);
    let found = certificate(&scratch, 1);
    assert_eq!((&found["status"], &found["error"]["code"]), (&"failed".into(), &"FM0301".into()));
    let ran = prove(&scratch, &["order"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("did you mean"), "{}", ran.stderr);
    for (settings, why) in [("files: \"-\", format: csv", "standard input"), ("files: none.csv", "FM0201")] {
        let text = scratch.read("floodmark.yaml").replace("files: \"data/*.csv\"", settings);
        let scratch = Scratch::new();
        scratch.write("floodmark.yaml", &text);
        let ran = prove(&scratch, &[]);
        assert!(ran.code != 0 && ran.stderr.contains(why), "{ran:?}");
    }
    let text = scratch.read("floodmark.yaml").replace("sqlite:///shop.db", "sqlite://");
    scratch.write("floodmark.yaml", &text);
    let ran = prove(&scratch, &[]);
    assert!(ran.code == 2 && ran.stderr.contains("in memory"), "{ran:?}");
}

/// A process that was killed leaves what it committed in the log, and only who loads may write it back.
#[test]
fn a_log_that_was_left_behind_stays() {
    let scratch = project("load: append");
    scratch.ok(&["run"]);
    let db = rusqlite::Connection::open(scratch.path().join("shop.db")).unwrap();
    db.execute_batch("CREATE TABLE others (id); INSERT INTO others VALUES (1)").unwrap();
    let left = project("load: append");
    for name in ["shop.db", "shop.db-wal"] {
        fs::copy(scratch.path().join(name), left.path().join(name)).unwrap();
    }
    drop(db);
    let read = || ["shop.db", "shop.db-wal"].map(|name| fs::read(left.path().join(name)).unwrap());
    let before = read();
    assert!(!before[1].is_empty());
    left.ok(&["prove"]);
    assert!(before == read());
    assert!(!left.path().join("shop.db-floodmark").exists());
}

/// Rows enough that trials take a while.
fn large() -> Scratch {
    let scratch = Scratch::new();
    let settings = "load: upsert\nkey: id\nversion: none";
    scratch.write("floodmark.yaml", &pipelines(&[("t", settings)]));
    let rows: String = (0..30_000).map(|n| format!("{n},word {n}\n")).collect();
    scratch.write("data/1.csv", &format!("id,word\n{rows}"));
    scratch
}

/// Proves `t`, and does something again and again until that is over; how often, and how it ended.
fn beside(scratch: &Scratch, mut work: impl FnMut(usize)) -> (usize, Ran) {
    let copies = tempfile::tempdir().unwrap();
    let mut command = scratch.command(&["prove", "t", "--scratch", copies.path().to_str().unwrap()]);
    let mut proving = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut times = 0;
    while proving.try_wait().unwrap().is_none() {
        times += 1;
        work(times);
        thread::sleep(Duration::from_millis(50));
    }
    (times, scratch.ran(&proving.wait_with_output().unwrap()))
}

#[test]
fn runs_go_on_beside_it() {
    let scratch = large();
    let other = pipelines(&[("t", "load: upsert\nkey: id\nversion: none"), ("other", "load: append")]);
    let (t, other) = other.split_at(other.find("  other:").unwrap());
    scratch.write("floodmark.yaml", &format!("{t}{}", other.replace("data/*.csv", "more/*.csv")));
    scratch.ok(&["run", "t"]);
    let table = scratch.fingerprint("sqlite:///shop.db", "t");
    let (runs, ran) = beside(&scratch, |run| {
        scratch.write(&format!("more/{run}.csv"), &format!("id\n{run}\n"));
        assert_eq!(scratch.one(&["run", "other"])["rows"]["inserted"], 1);
    });
    assert!(runs > 3, "the trials were over before a run could come between");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(scratch.fingerprint("sqlite:///shop.db", "other").starts_with(&format!("fm1-{runs}-")));
    assert_eq!(scratch.fingerprint("sqlite:///shop.db", "t"), table);
}

#[test]
fn files_that_come_while_it_reads_are_told_from_broken_promises() {
    let scratch = large();
    let (_, ran) = beside(&scratch, |n| {
        scratch.write(&format!("data/more-{n}.csv"), &format!("id,word\n{},more\n", 30_000 + n));
    });
    assert!(ran.code == 1 && ran.stderr.contains("FM0210") && ran.stderr.contains("data/more-"), "{ran:?}");
    assert!(!ran.stdout.contains("broken"), "{ran:?}");
}

#[test]
fn a_signal_ends_it_and_leaves_no_copies() {
    let scratch = large();
    for (pause, signal, code) in [(300, "TERM", 143), (1500, "INT", 130)] {
        let copies = tempfile::tempdir().unwrap();
        let args = ["prove", "--scratch", copies.path().to_str().unwrap()];
        let mut proving = scratch.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(pause));
        let sent = Command::new("kill").args(["-s", signal, &proving.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let since = Instant::now();
        assert_eq!(proving.wait().unwrap().code(), Some(code));
        assert!(since.elapsed() < Duration::from_secs(10));
        assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 0);
    }
    assert!(!scratch.path().join("shop.db").exists());
}
