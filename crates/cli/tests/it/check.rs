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
    // Rows of JSON beyond the first ones may have the key.
    let scratch = one("key: id\nversion: none");
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
    scratch.write("data/b.csv", "id,other\n1,2024-01-01\n");
    assert_eq!(scratch.run(&["check"]).code, 0);
    scratch.write("data/c.csv", "");
    let ran = scratch.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stdout.contains("FM0203") && ran.stdout.contains("c.csv"), "{}", ran.stdout);
}
