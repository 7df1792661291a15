//! `load`: the one-liner.

use crate::support::Scratch;

const URL: &str = "sqlite:///shop.db";

#[test]
fn the_table_is_named_by_the_file() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id,n,at\n1,10,2024-01-01\n2,20,2024-01-02\n");
    let args = ["load", "orders.csv", URL, "--key", "id", "--watermark", "at"];
    let value = scratch.one(&args);
    assert_eq!(
        (&value["pipeline"], &value["load"], &value["rows"]["inserted"]),
        (&"orders".into(), &"upsert".into(), &2.into())
    );
    assert_eq!(scratch.one(&args)["status"], "nothing_new");
    assert!(scratch.fingerprint(URL, "orders").starts_with("fm1-2-"));
}

#[test]
fn flags_say_what_the_file_would() {
    let scratch = Scratch::new();
    scratch.write("in.txt", "1;007;x\n2;;-\n");
    let value = scratch.one(&[
        "load",
        "in.txt",
        URL,
        "--table",
        "parts",
        "--pipeline",
        "p",
        "--file-format",
        "csv",
        "--delimiter",
        ";",
        "--header=false",
        "--names",
        "id,code,note",
        "--null",
        "-",
        "--load",
        "upsert",
        "--key",
        "id",
        "--version",
        "none",
        "--column",
        "code=text",
    ]);
    assert_eq!((&value["pipeline"], &value["rows"]["inserted"]), (&"p".into(), &2.into()));
    let state = scratch.one(&["state", "show", "p", "--destination", URL]);
    assert_eq!(state["table"], "parts");
    assert_eq!(state["schema"][1]["type"], "text");
}

#[test]
fn several_files_as_a_shell_hands_them_over() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id\n1\n");
    scratch.write("b.csv", "id\n2\n");
    let ran = scratch.run(&["load", "a.csv", "b.csv", URL, "--key", "id"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--table"), "{}", ran.stderr);
    let value = scratch.one(&["load", "a.csv", "b.csv", URL, "--key", "id", "--table", "t", "--version", "none"]);
    assert_eq!(value["rows"]["inserted"], 2, "{value}");
}

#[test]
fn standard_input() {
    use std::{io::Write as _, process::Stdio};
    let scratch = Scratch::new();
    let args = ["load", "-", URL, "--table", "t", "--key", "id", "--version", "none", "--file-format", "csv"];
    let mut child =
        scratch.command(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"id,n\n1,1\n").unwrap();
    let ran = scratch.ran(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(scratch.fingerprint(URL, "t").starts_with("fm1-1-"));
}

#[test]
fn an_unsafe_load_is_refused_and_says_what_to_do() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id\n1\n");
    let ran = scratch.run(&["load", "orders.csv", URL, "--load", "upsert"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--key"), "{}", ran.stderr);
    assert!(!scratch.path().join("shop.db").exists());
}

#[test]
fn a_key_that_has_no_use_is_refused() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id,n\n1,1\n1,2\n");
    let ran = scratch.run(&["load", "orders.csv", URL, "--load", "append", "--key", "id"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--key is of no use: append compares no keys"), "{}", ran.stderr);
    assert!(ran.stderr.contains("write --load upsert or --load insert_only"), "{}", ran.stderr);
    // A key that comes later is no news to files that are loaded, and yet not what the table was loaded with.
    scratch.ok(&["load", "orders.csv", URL, "--load", "append"]);
    let ran = scratch.run(&["load", "orders.csv", URL, "--key", "id"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("the table was loaded with `--load append`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`--full-refresh`"), "{}", ran.stderr);
    let value = scratch.one(&["load", "orders.csv", URL, "--key", "id", "--full-refresh", "--yes"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["superseded"]), (&1.into(), &1.into()), "{value}");
}

#[test]
fn a_database_in_memory_is_warned_about() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id\n1\n");
    for url in ["sqlite://", "sqlite::memory:", "sqlite:///:memory:"] {
        let ran = scratch.run(&["load", "orders.csv", url, "--load", "append"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let warning = format!("warning: orders: {url} is a database in memory: its tables and its state are gone");
        assert!(ran.stderr.starts_with(&warning), "{}", ran.stderr);
    }
    assert_eq!(scratch.run(&["load", "orders.csv", URL, "--load", "append"]).stderr, "");
}

#[test]
fn a_password_is_never_shown() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id\n1\n");
    for format in ["text", "json"] {
        let ran =
            scratch.run(&["load", "orders.csv", "nodb://app:s3cret@db/shop", "--key", "id", "--format", format, "-v"]);
        assert_ne!(ran.code, 0);
        assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_looked_for_where_load_was_called() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["load", "nope.csv", URL, "--key", "id"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no file matches \"nope.csv\", looked in \".\""), "{}", ran.stderr);
    let help = "  help: check the path; a relative one starts at the current directory\n";
    assert!(ran.stderr.contains(help), "{}", ran.stderr);
    assert!(!ran.stderr.contains("pipeline file"), "{}", ran.stderr);
}

#[test]
fn what_goes_wrong_is_told_in_flags() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id,at\n1,2024-01-01\n2,\n3,x\n");
    let says = |args: &[&str], code: i32| {
        let ran = scratch.run(&[&["load", "orders.csv", URL][..], args].concat());
        assert_eq!(ran.code, code, "{ran:?}");
        ran.stderr
    };
    let said = says(&["--key", "nr"], 1);
    assert!(said.contains("`--key` names column \"nr\""), "{said}");
    let said = says(&["--key", "id", "--column", "at=date"], 1);
    assert!(said.contains("`--column at=text`") && said.contains("`--on-bad-row reject`"), "{said}");
    scratch.write("orders.csv", "id,at\n1,2024-01-01\n2,\n");
    let said = says(&["--key", "id", "--watermark", "at"], 1);
    assert!(said.contains("`--watermark-nulls include`") && !said.contains("nulls:"), "{said}");
    // A database with a table of somebody else's.
    says(&["--key", "id"], 0);
    scratch.ok(&["state", "reset", "orders", "--yes", "--destination", URL]);
    let said = says(&["--load", "overwrite", "--pipeline", "p"], 1);
    assert!(said.contains("`--load overwrite`") && said.contains("`--adopt`"), "{said}");
}
