//! `plan`: what it says, how it exits, and that nothing is left of it.

use crate::support::{Ran, Scratch, files, keys, shown};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

const URL: &str = "sqlite:///shop.db";

/// Plans, and nothing in the folder may be different after it.
fn plan(scratch: &Scratch, args: &[&str]) -> Ran {
    let before = files(scratch.path());
    let ran = scratch.run(&[&["plan"], args].concat());
    let after = files(scratch.path());
    let differ: Vec<&PathBuf> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(differ.is_empty(), "{differ:?} changed: {ran:?}");
    ran
}

fn planned(scratch: &Scratch, code: i32, args: &[&str]) -> serde_json::Value {
    let ran = plan(scratch, &[args, &["--format", "json"]].concat());
    assert_eq!(ran.code, code, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// One order changed, one new, and a column more.
fn changed() -> Scratch {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    scratch.write(
        "data/orders-2024-03.csv",
        "order_id,customer,zip,amount,status,updated_at,note\n\
         1003,Chiara Russo,00184,250,returned,2024-03-01 08:00:00,\"one line\nand another\"\n\
         1008,Hana Sato,60311,12.5,paid,2024-03-02 10:00:00,\n\
         1001,Nakamura,04109,0,open,2024-01-01 00:00:00,\n",
    );
    scratch
}

#[test]
fn a_plan_before_the_first_run() {
    let scratch = Scratch::project();
    insta::assert_snapshot!("plan_first", shown(&plan(&scratch, &[])));
    assert!(!scratch.path().join("shop.db").exists());
}

#[test]
fn a_plan_of_changes() {
    let scratch = changed();
    insta::assert_snapshot!("plan_changes", shown(&plan(&scratch, &["orders", "--samples", "1"])));
    insta::assert_snapshot!("plan_no_samples", shown(&plan(&scratch, &["--samples", "0"])));
    scratch.ok(&["run"]);
    insta::assert_snapshot!("plan_nothing", shown(&plan(&scratch, &[])));
}

#[test]
fn colours_are_for_terminals() {
    let scratch = changed();
    let output = scratch.command(&["plan"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    let text = scratch.ran(&output).stdout;
    for sign in ["\u{1b}[32m+\u{1b}[0m", "~\u{1b}[0m"] {
        assert!(text.contains(sign), "{sign:?} is not in {text:?}");
    }
    assert!(!plan(&scratch, &[]).stdout.contains('\u{1b}'));
}

#[test]
fn a_plan_for_programs_is_the_run_and_what_it_changes() {
    let scratch = changed();
    let mut plan = planned(&scratch, 0, &[]);
    let ran = scratch.one(&["run"]);
    let mut all = keys(&ran);
    all.push("changes");
    assert_eq!(keys(&plan), all);
    for key in ["pipeline", "status", "load", "rows", "watermark"] {
        assert_eq!(plan[key], ran[key], "{key}");
    }
    assert!(plan["run"].is_null());
    // The file's size is that of its text here.
    plan["changes"]["files"]["read"][0]["bytes"] = 0.into();
    insta::assert_snapshot!("plan_json", format!("{:#}", plan["changes"]));
}

#[test]
fn exit_codes() {
    let scratch = changed();
    assert_eq!(plan(&scratch, &["--detailed-exitcode"]).code, 4);
    assert_eq!(plan(&scratch, &[]).code, 0);
    scratch.ok(&["run"]);
    assert_eq!(plan(&scratch, &["--detailed-exitcode"]).code, 0);
    // The same rows in another file: read, and nothing to do but to note the file.
    let march = scratch.read("data/orders-2024-03.csv");
    scratch.write("data/orders-2024-04.csv", &march);
    assert_eq!(planned(&scratch, 0, &["--detailed-exitcode"])["rows"]["read"], 3);
    scratch.write("data/orders-2024-05.csv", &march.replace("12.5", "12.5x"));
    let failed = planned(&scratch, 1, &["--detailed-exitcode"]);
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&"failed".into(), &"FM0301".into()));
    assert_eq!(failed["changes"]["files"]["read"].as_array().unwrap().len(), 2, "{failed}");
    assert_eq!(plan(&scratch, &["nobody"]).code, 2);
    assert_eq!(plan(&scratch, &["--samples", "all"]).code, 2);
}

/// A database of somebody else's: its journal mode, its pages and its triggers are none of a plan's business.
#[test]
fn a_database_that_was_never_loaded_stays_as_it_is() {
    let scratch = Scratch::project();
    let db = rusqlite::Connection::open(scratch.path().join("shop.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer, zip, amount, status, updated_at);
         CREATE TABLE log (order_id, old, new);
         CREATE TRIGGER changed AFTER UPDATE ON orders
           BEGIN INSERT INTO log VALUES (OLD.order_id, OLD.status, NEW.status); END;
         INSERT INTO orders VALUES (1001, 'Aiko', '04109', 1.0, 'open', '2023-01-01 00:00:00');",
    )
    .unwrap();
    drop(db);
    let plan = planned(&scratch, 0, &[]);
    assert_eq!((&plan["rows"]["inserted"], &plan["rows"]["updated"]), (&5.into(), &1.into()), "{plan}");
    let updated = &plan["changes"]["samples"][5];
    assert_eq!((&updated["change"], &updated["key"]["order_id"]), (&"updated".into(), &1001.into()), "{plan}");
    assert_eq!(updated["columns"]["status"]["before"], "open", "{plan}");
    assert!(!scratch.path().join("shop.db-floodmark").exists());
    assert_eq!(scratch.one(&["run"])["rows"], plan["rows"]);
}

/// Rows enough that a plan takes a while, loaded once and all of them changed since.
fn large() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(
        "floodmark.yaml",
        "version: 1\npipelines:\n  big:\n    source: { files: big.csv }\n    destination: { url: 'sqlite:///shop.db', table: big }\n    key: id\n    version: none\n    commit_every: 7000\n",
    );
    let rows = |text: &str| (0..60_000).map(|n| format!("{n},{text} {n}\n")).collect::<String>();
    scratch.write("big.csv", &format!("id,text\n{}", rows("before")));
    scratch.ok(&["run"]);
    scratch.write("big.csv", &format!("id,text\n{}", rows("after it changed")));
    scratch
}

fn start(scratch: &Scratch, args: &[&str]) -> Child {
    scratch.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_plan_leaves_nothing() {
    let scratch = large();
    let before = (scratch.fingerprint(URL, "big"), scratch.ok(&["state", "show"]), scratch.ok(&["runs"]));
    let database = fs::read(scratch.path().join("shop.db")).unwrap();
    for pause in [20, 100, 300, 600] {
        let mut child = start(&scratch, &["plan"]);
        thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(database == fs::read(scratch.path().join("shop.db")).unwrap(), "killed after {pause} ms");
        let after = (scratch.fingerprint(URL, "big"), scratch.ok(&["state", "show"]), scratch.ok(&["runs"]));
        assert_eq!(after, before, "killed after {pause} ms");
    }
    let plan = scratch.one(&["plan"]);
    assert_eq!(plan["rows"]["updated"], 60_000, "{plan}");
    assert!(database == fs::read(scratch.path().join("shop.db")).unwrap());
    for left in ["shop.db-wal", "shop.db-shm"] {
        assert!(!scratch.path().join(left).exists(), "{left}");
    }
    assert_eq!(scratch.one(&["run"])["rows"], plan["rows"]);
}

/// A run is never turned away because of a plan: it waits for its end, or the plan finds it at work and is busy.
#[test]
fn a_plan_stands_in_no_runs_way() {
    let scratch = large();
    let mut plan = start(&scratch, &["plan"]);
    thread::sleep(Duration::from_millis(250));
    assert_eq!(scratch.one(&["run"])["rows"]["updated"], 60_000);
    assert!(matches!(plan.wait().unwrap().code(), Some(0 | 3)));
    scratch.write("big.csv", &scratch.read("big.csv").replace("after", "again"));
    let mut run = start(&scratch, &["run"]);
    let mut codes = Vec::new();
    while run.try_wait().unwrap().is_none() {
        codes.push(scratch.run(&["plan", "--format", "json"]).code);
    }
    assert!(run.wait().unwrap().success());
    assert!(codes.contains(&3) && codes.iter().all(|code| matches!(code, 0 | 3)), "{codes:?}");
    assert_eq!(scratch.one(&["plan", "--wait=60s"])["status"], "nothing_new");
}
