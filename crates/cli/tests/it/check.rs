//! `check`, and mistakes of the pipeline file.

use crate::support::{Scratch, keys, shown};

#[test]
fn a_good_project() {
    let scratch = Scratch::project();
    insta::assert_snapshot!("check", shown(&scratch.run(&["check"])));
    let value = scratch.one(&["check"]);
    assert_eq!(keys(&value), ["pipeline", "status", "files", "errors", "warnings"]);
    assert_eq!(value["files"], 2);
}

#[test]
fn what_cannot_work_and_what_is_unwise() {
    let scratch = Scratch::new();
    scratch.write(
        "floodmark.yaml",
        "version: 1\npipelines:\n  clicks:\n    source: { files: 'data/clicks-*.csv' }\n    destination: { url: 'sqlite:///missing/shop.db', table: clicks }\n    load: append\n    append: at_least_once\n",
    );
    let ran = scratch.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    for part in [
        "error[FM0401]",
        "error[FM0201]",
        "warning: every run adds every row again",
        "1 pipeline checked: 2 errors, 1 warning",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in {}", ran.stdout);
    }
    let value = &scratch.json(&["check"], 2)[0];
    assert_eq!(value["status"], "failed");
    assert_eq!(value["warnings"][0]["rule"], "at-least-once");
    assert_eq!(value["errors"].as_array().unwrap().len(), 2);
}

#[test]
fn mistakes_are_told_all_at_once() {
    let scratch = Scratch::project();
    let file =
        scratch.read("floodmark.yaml").replace("load: upsert  ", "load: upsrt   ").replace("watermark:", "watermrk:");
    scratch.write("floodmark.yaml", &file);
    for command in ["run", "check", "runs"] {
        let ran = scratch.run(&[command]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains("watermrk") && ran.stderr.contains("upsrt"), "{}", ran.stderr);
        assert!(!ran.stderr.contains('\u{1b}'), "colour in a pipe");
    }
    let value = &scratch.json(&["run"], 2)[0];
    assert_eq!(keys(value), ["status", "error", "mistakes"]);
    assert_eq!(value["mistakes"].as_array().unwrap().len(), 2);
}

#[test]
fn an_unknown_pipeline_gets_a_suggestion() {
    let scratch = Scratch::project();
    insta::assert_snapshot!("unknown_pipeline", shown(&scratch.run(&["run", "ordrs"])));
    assert_eq!(scratch.run(&["state", "show", "ordrs"]).code, 2);
}

/// A project of one pipeline over `data/*`.
fn one(fields: &str) -> Scratch {
    let scratch = Scratch::new();
    let fields: String = fields.lines().map(|line| format!("    {line}\n")).collect();
    let source = "source: { files: 'data/*' }\n    destination: { url: 'sqlite:///t.db' }";
    scratch.write("floodmark.yaml", &format!("version: 1\npipelines:\n  t:\n    {source}\n{fields}"));
    scratch
}

#[test]
fn columns_that_the_source_does_not_have_are_named_with_what_was_meant() {
    let header = "id,updated_at,email,zip,day\n1,2024-01-01,a@b,00501,1\n";
    let cases = [
        ("key: idd", "`key` names column \"idd\"", "did you mean \"id\"?"),
        ("key: id\nwatermark: updatd_at", "`watermark` names column \"updatd_at\"", "did you mean \"updated_at\"?"),
        ("key: id\nversion: update_at", "`version` names column \"update_at\"", "did you mean \"updated_at\"?"),
        ("load: delete_insert\nwindow: dya", "`window` names column \"dya\"", "did you mean \"day\"?"),
        ("key: id\nversion: none\ncolumns: { e_mail: { from: emial } }", "`from` names", "did you mean \"email\"?"),
        (
            "key: id\nversion: none\ncolumns: { emial: { not_null: true } }",
            "`columns` names",
            "did you mean \"email\"?",
        ),
        ("key: id\nversion: none\ndelete_when: emial = 'x'", "`delete_when`", "did you mean \"email\"?"),
        ("key: id\nversion: none\ntransform: SELECT id, emial FROM source", "transform", "did you mean \"email\"?"),
        ("key: mail\nversion: none\ntransform: SELECT id, email AS maill FROM source", "`key` names", "\"maill\"?"),
    ];
    for (fields, says, meant) in cases {
        let scratch = one(fields);
        scratch.write("data/a.csv", header);
        let ran = scratch.run(&["check"]);
        assert_eq!(ran.code, 2, "{fields}: {ran:?}");
        assert!(ran.stdout.contains(says) && ran.stdout.contains(meant), "{fields}: {}", ran.stdout);
        assert!(!scratch.path().join("t.db").exists());
        // The same in a run.
        let ran = scratch.run(&["run"]);
        assert_eq!(ran.code, 1, "{fields}: {ran:?}");
        assert!(ran.stderr.contains(says) && ran.stderr.contains(meant), "{fields}: {}", ran.stderr);
    }
}

#[test]
fn what_only_may_be_wrong_is_a_warning() {
    // Settings of a column that no file has yet stop no run.
    let scratch = one("key: id\nversion: none\ncolumns: { zpi: text }");
    scratch.write("data/a.csv", "id,zip\n1,00501\n");
    for command in ["check", "run"] {
        let ran = scratch.run(&[command]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("`columns` names column \"zpi\"") && said.contains("did you mean \"zip\"?"), "{said}");
    }
    // A type may yet become another, and what is wrong with it for the first rows stops a run.
    for (fields, says) in [
        ("key: id\nwatermark: flag", "cannot be a watermark"),
        ("key: id\nwatermark: { column: id, start: soon }", "`start: soon` is not a bigint"),
    ] {
        let scratch = one(fields);
        scratch.write("data/a.csv", "id,flag\n1,true\n");
        let (check, run) = (scratch.run(&["check"]), scratch.run(&["run"]));
        assert_eq!(check.code, 0, "{check:?}");
        assert!(check.stdout.contains("warning: ") && check.stdout.contains(says), "{}", check.stdout);
        assert!(run.code != 0 && run.stderr.contains(says), "{}", run.stderr);
    }
    // Rows of JSON beyond the first ones may have the key.
    let scratch = one("key: id\nversion: none\non_bad_row: reject");
    let rows: String = (0..60_000).map(|n| format!("{{\"n\": {n}, \"some_name\": \"a\"}}\n")).collect();
    scratch.write("data/a.jsonl", &(rows + "{\"id\": 1}\n"));
    let ran = scratch.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("warning: `key` names column \"id\""), "{}", ran.stdout);
}

#[test]
fn every_file_is_looked_at() {
    let scratch = one("load: append\nwatermark: at");
    scratch.write("data/a.csv", "id,at\n1,2024-01-01\n");
    scratch.write("data/b.csv", "id,other\n");
    assert_eq!(scratch.run(&["check"]).code, 0, "a file without rows lacks nothing");
    scratch.write("data/c.csv", "");
    let ran = scratch.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains("FM0203") && ran.stdout.contains("c.csv"), "{}", ran.stdout);
}

/// The file `new` beside one that is loaded, or that is new as well: `check` says what `run` then stops at, and where.
fn stops_at(fields: &str, loaded: bool, new: (&str, &str), says: &[&str]) {
    let scratch = one(fields);
    scratch.write("data/a.csv", "id,at,n\n1,2024-01-01,1\n");
    if loaded {
        scratch.ok(&["run"]);
    }
    scratch.write(new.0, new.1);
    let (check, run) = (scratch.run(&["check"]), scratch.run(&["run"]));
    assert_eq!((check.code, run.code), (2, 1), "{fields}: {check:?} {run:?}");
    for part in says {
        assert!(check.stdout.contains(part), "{fields}: {part} is not in {}", check.stdout);
        assert!(run.stderr.contains(part), "{fields}: {part} is not in {}", run.stderr);
    }
}

#[test]
fn what_a_run_would_stop_at_is_an_error_that_names_the_file() {
    const KEYED: &str = "key: id\nwatermark: at";
    let lacks = |text: &str| format!("a file has no column {text:?}");
    // Alone, a file without the column may as well be a mistake of the pipeline file.
    for (text, missing) in [("id,n\n2,2\n", "at"), ("at,n\n2024-01-02,2\n", "id")] {
        let (new, names) = (("data/b.csv", text), format!("names column {missing:?}, which the file does not have"));
        stops_at(KEYED, true, new, &["FM0404", &names, "--> data/b.csv"]);
        stops_at(KEYED, false, new, &[&lacks(missing), "--> data/b.csv"]);
    }
    let frozen = format!("{KEYED}\nschema: freeze");
    let new = ("data/b.csv", "id,at,n,x\n2,2024-01-02,2,y\n");
    stops_at(&frozen, true, new, &["FM0405", "new column \"x\" (text)", "--> data/b.csv"]);
    let new = ("data/b.csv", "id,at\n2,2024-01-02\n");
    stops_at(&frozen, true, new, &["FM0405", "column \"n\" is missing", "--> data/b.csv"]);
    stops_at(KEYED, true, ("data/b.csv", "id,at,n\n2,,2\n"), &["FM0304", "data/b.csv", "column \"at\""]);
    stops_at(KEYED, true, ("data/b.csv", "id,at,n\n2,2024-01-02,x\n"), &["FM0301", "--> data/b.csv:2, column \"n\""]);
    stops_at(KEYED, false, ("data/b.csv", "id,at,n\n\n,2024-01-02,1\n"), &["FM0302", "--> data/b.csv:3"]);
    stops_at(KEYED, false, ("data/b.csv", "id,at,n\n2,2024-01-02\n"), &["FM0305", "--> data/b.csv:2"]);
    stops_at(KEYED, false, ("data/b.jsonl", "{\"id\": 2, \"at\": \"2024-01-02\"}\n[]\n"), &["FM0208", "b.jsonl:2"]);
    stops_at("load: append\nchanged_files: fail", true, ("data/a.csv", "id,at,n\n"), &["FM0210", "data/a.csv"]);
    let other = "key: id\nwatermark: n";
    stops_at(other, false, ("data/b.csv", "id,n,_floodmark_x\n2,2,2\n"), &["FM0204", "_floodmark_x"]);
}

#[test]
fn what_is_loaded_or_set_aside_stops_nothing() {
    // A file that was loaded when the pipeline asked for less is not read again.
    let scratch = one("key: id\nversion: none");
    scratch.write("data/a.csv", "id,n\n1,1\n");
    scratch.ok(&["run"]);
    let file = scratch.read("floodmark.yaml").replace("version: none", "watermark: at");
    scratch.write("floodmark.yaml", &file);
    scratch.write("data/b.csv", "id,n,at\n2,2,2024-01-01\n");
    assert_eq!(scratch.run(&["check"]).code, 0);
    scratch.ok(&["run"]);
    // Bad rows that the pipeline sets aside.
    let scratch = one("key: id\nversion: none\non_bad_row: reject");
    scratch.write("data/a.csv", "id,n\n1,1\n,2\n3\n");
    assert_eq!(scratch.run(&["check"]).code, 0);
    assert_eq!(scratch.one(&["run"])["rows"]["rejected"], 2);
}
