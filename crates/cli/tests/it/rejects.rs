//! `rejects`: kept, shown, loaded after all, dropped.

use crate::support::Scratch;

/// One pipeline that keeps bad rows aside, with two of them: lines 3 and 5.
fn project(column: &str) -> Scratch {
    let scratch = Scratch::new();
    settings(&scratch, column);
    scratch.write("orders.csv", "id;n\n1;1\n2;12a\n3;3\n4;x\n");
    scratch
}

fn settings(scratch: &Scratch, column: &str) {
    scratch.write(
        "floodmark.yaml",
        &format!("version: 1\npipelines:\n  orders:\n    source: {{ files: orders.csv }}\n    destination: {{ url: 'sqlite:///shop.db', table: orders }}\n    key: id\n    version: none\n    columns: {{ n: {column} }}\n    on_bad_row: reject\n"),
    );
}

#[test]
fn listed_shown_and_dropped() {
    let scratch = project("bigint");
    assert_eq!(scratch.one(&["run"])["rows"]["rejected"], 2);
    let kept = scratch.json(&["rejects", "list"], 0);
    let places: Vec<_> = kept.iter().map(|k| (k["file"].as_str().unwrap(), k["line"].as_u64().unwrap())).collect();
    assert_eq!(places, [("orders.csv", 3), ("orders.csv", 5)]);
    assert_eq!((&kept[0]["column"], &kept[0]["raw"]), (&"n".into(), &"2;12a".into()));
    let id = kept[0]["id"].to_string();
    assert!(scratch.ok(&["rejects", "show", &id]).contains("2;12a"));
    assert_eq!(scratch.run(&["rejects", "drop", &id]).code, 2, "it needs a yes");
    assert_eq!(scratch.one(&["rejects", "drop", &id, "--yes"])["dropped"], 1);
    assert_eq!(scratch.run(&["rejects", "show", &id]).code, 2);
    assert_eq!(scratch.one(&["rejects", "drop", "--all", "orders", "--yes"])["dropped"], 1);
    assert!(scratch.json(&["rejects", "list", "orders"], 0).is_empty());
}

#[test]
fn a_replay_that_fails_again_keeps_the_rows_and_their_lines() {
    let scratch = project("bigint");
    scratch.ok(&["run"]);
    for _ in 0..2 {
        let value = scratch.one(&["rejects", "replay", "orders"]);
        assert_eq!((&value["rows"]["read"], &value["rows"]["rejected"]), (&2.into(), &2.into()), "{value}");
        let kept = scratch.json(&["rejects", "list"], 0);
        let lines: Vec<_> = kept.iter().map(|k| (k["line"].as_u64().unwrap(), k["raw"].as_str().unwrap())).collect();
        assert_eq!(lines, [(3, "2;12a"), (5, "4;x")]);
        assert!(kept[0]["file"].as_str().unwrap().starts_with("orders.csv~replay-"), "{kept:?}");
    }
}

#[test]
fn a_replay_after_a_correction_loads_them() {
    let scratch = project("bigint");
    scratch.ok(&["run"]);
    scratch.ok(&["state", "reset", "orders", "--yes"]);
    std::fs::remove_file(scratch.path().join("shop.db")).ok();
    settings(&scratch, "bigint");
    scratch.ok(&["run"]);
    assert_eq!(scratch.json(&["rejects", "list"], 0).len(), 2);
    // The values stand for nothing after all: the source says so now.
    let file = scratch.read("floodmark.yaml").replace("files: orders.csv }", "files: orders.csv, null: 12a }");
    scratch.write("floodmark.yaml", &file);
    let value = scratch.one(&["rejects", "replay", "orders"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["rejected"]), (&1.into(), &1.into()), "{value}");
    let kept = scratch.json(&["rejects", "list"], 0);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["raw"], "4;x");
    assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-3-"));
}

#[test]
fn a_replay_that_would_replace_the_table_is_refused() {
    let scratch = project("bigint");
    let file = scratch.read("floodmark.yaml").replace("    key: id\n    version: none\n", "    load: overwrite\n");
    scratch.write("floodmark.yaml", &file);
    scratch.ok(&["run"]);
    let ran = scratch.run(&["rejects", "replay", "orders"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.starts_with("error[FM0106]"), "{}", ran.stderr);
}

#[test]
fn another_type_needs_a_full_refresh_and_that_takes_the_rejects_along() {
    let scratch = project("bigint");
    scratch.ok(&["run"]);
    settings(&scratch, "text");
    for args in [&["check"][..], &["rejects", "replay", "orders"]] {
        let ran = scratch.run(args);
        assert_ne!(ran.code, 0, "{ran:?}");
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains("FM0406") && said.contains("--full-refresh"), "{said}");
    }
    assert_eq!(scratch.json(&["rejects", "list"], 0).len(), 2);
    let value = scratch.one(&["run", "--full-refresh", "--yes"]);
    assert_eq!(value["rows"]["inserted"], 4, "{value}");
    assert!(scratch.json(&["rejects", "list"], 0).is_empty());
}

#[test]
fn a_transform_corrects_the_values_on_the_way() {
    let scratch = project("bigint");
    scratch.ok(&["run"]);
    // The type asked for would hold for the column as it is read, too.
    let file = scratch.read("floodmark.yaml").replace("    columns: { n: bigint }\n", "")
        + "    transform: SELECT id, try_cast(trim(trailing 'a' from cast(n AS text)) AS bigint) AS n FROM source\n";
    scratch.write("floodmark.yaml", &file);
    let value = scratch.one(&["rejects", "replay", "orders"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["rejected"]), (&2.into(), &0.into()), "{value}");
    assert!(scratch.json(&["rejects", "list"], 0).is_empty());
    assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
}
