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
fn where_there_is_no_database_nothing_is_said_to_be_well() {
    let scratch = Scratch::new();
    for command in [&["rejects", "list"][..], &["runs"], &["state", "show"]] {
        let ran = scratch.run(&[command, &["--destination", "sqlite:///nope.db"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("There is no database yet: sqlite:///nope.db"), "{command:?}: {}", ran.stderr);
    }
    assert!(!scratch.path().join("nope.db").exists());
}

#[test]
fn a_pipeline_where_a_number_belongs_is_told_what_takes_its_name() {
    let scratch = project("bigint");
    for (command, meant) in [("drop", "floodmark rejects drop --all orders"), ("show", "floodmark rejects list orders")]
    {
        let ran = scratch.run(&["rejects", command, "orders"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("rejected rows go by number") && ran.stderr.contains(meant), "{}", ran.stderr);
    }
    let ran = scratch.run(&["rejects", "drop"]);
    assert!(ran.code == 2 && ran.stderr.contains("<IDS|--all <NAME>>"), "{}", ran.stderr);
    assert_eq!(scratch.run(&["rejects", "drop", "1", "--all", "orders"]).code, 2, "one or the other");
}

#[test]
fn rows_set_aside_are_told_with_the_first_reason_and_where_they_are() {
    let scratch = project("bigint");
    let first = "the first at orders.csv:3, column \"n\": FM0301 the value is not a bigint: \"12a\"\n";
    let ran = scratch.run(&["plan"]);
    let would = format!(
        "warning: orders: 2 rows would be rejected, {first}  help: a run keeps them aside: floodmark rejects list orders\n"
    );
    assert!(ran.stderr.contains(&would), "{}", ran.stderr);
    let were =
        format!("warning: orders: 2 rows were rejected, {first}  help: look at them: floodmark rejects list orders\n");
    assert_eq!(scratch.run(&["run"]).stderr, were);
    assert_eq!(scratch.run(&["run"]).stderr, "", "an idle run rejects nothing");
    let ran = scratch.run(&["-f", "floodmark.yaml", "rejects", "replay", "orders"]);
    assert!(ran.stderr.contains("2 rows were rejected"), "{}", ran.stderr);
    assert!(ran.stderr.contains("floodmark rejects list orders -f floodmark.yaml\n"), "{}", ran.stderr);
    let url = "sqlite:///it's.db";
    let ran =
        scratch.run(&["load", "orders.csv", url, "--key", "id", "--column", "n=bigint", "--on-bad-row", "reject"]);
    let told = ran.stderr.rsplit_once("help: look at them: floodmark ").unwrap().1.trim_end();
    assert_eq!(told, r"rejects list orders --destination 'sqlite:///it'\''s.db'");
    assert_eq!(scratch.json(&["rejects", "list", "orders", "--destination", url], 0).len(), 2);
    for quiet in ["--quiet", "--format=json"] {
        scratch.ok(&["state", "reset", "orders", "--yes"]);
        assert_eq!(scratch.run(&["run", quiet]).stderr, "");
    }
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
        assert_eq!(kept[0]["file"], "orders.csv");
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

#[test]
fn replayed_rows_of_an_append_belong_to_their_file() {
    let scratch = project("bigint");
    let file = scratch.read("floodmark.yaml").replace("    key: id\n    version: none\n", "    load: append\n");
    scratch.write("floodmark.yaml", &format!("{file}    changed_files: reload\n"));
    scratch.ok(&["run"]);
    let nulls = scratch.read("floodmark.yaml").replace("files: orders.csv }", "files: orders.csv, null: 12a }");
    scratch.write("floodmark.yaml", &nulls);
    let value = scratch.one(&["rejects", "replay", "orders"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["rejected"]), (&1.into(), &1.into()), "{value}");
    assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
    // Loaded again, the file's rows take the place of all that came of it.
    scratch.write("orders.csv", "id;n\n1;1\n2;2\n3;3\n4;4\n");
    let value = scratch.one(&["run"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["removed"]), (&4.into(), &3.into()), "{value}");
    assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-4-"));
    assert!(scratch.json(&["rejects", "list"], 0).is_empty());
}

#[test]
fn a_replayed_row_at_the_watermark_is_known_when_its_file_grows() {
    let scratch = project("bigint");
    let file = scratch.read("floodmark.yaml");
    let file = file.replace("    key: id\n    version: none\n", "    load: append\n    watermark: id\n");
    scratch.write("floodmark.yaml", &file);
    scratch.write("orders.csv", "id;n\n1;1\n2;x\n3;3\n4;x\n");
    scratch.ok(&["run"]);
    scratch.write("floodmark.yaml", &file.replace("files: orders.csv }", "files: orders.csv, null: x }"));
    assert_eq!(scratch.one(&["rejects", "replay", "orders"])["rows"]["inserted"], 2);
    scratch.write("orders.csv", "id;n\n1;1\n2;x\n3;3\n4;x\n5;5\n");
    let value = scratch.one(&["run"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["skipped"]), (&1.into(), &4.into()), "{value}");
    assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-5-"));
}

#[test]
fn what_a_transform_made_does_not_go_through_it_again() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id,n\n1,10\n2,20\n,30\n");
    let file = |load: &str| {
        format!(
            "version: 1\npipelines:\n  orders:\n    source: {{ files: orders.csv }}\n    destination: {{ url: 'sqlite:///shop.db', table: orders }}\n    load: append\n    transform: SELECT id, n * 2 AS n FROM source\n    on_bad_row: reject\n{load}"
        )
    };
    scratch.write("floodmark.yaml", &file("    columns: { id: { not_null: true } }\n"));
    let value = scratch.one(&["run"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["rejected"]), (&2.into(), &1.into()), "{value}");
    assert_eq!(scratch.json(&["rejects", "list"], 0)[0]["file"], "transform");
    scratch.write("floodmark.yaml", &file(""));
    assert_eq!(scratch.one(&["rejects", "replay", "orders"])["rows"]["inserted"], 1);
    scratch.write("expected.csv", "id,n\n1,20\n2,40\n,60\n");
    scratch.ok(&["load", "expected.csv", "sqlite:///shop.db", "--table", "expected", "--load", "append"]);
    let fingerprint = |table: &str| scratch.fingerprint("sqlite:///shop.db", table);
    assert_eq!(fingerprint("orders"), fingerprint("expected"), "60, not 120, in the last row");
    assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
}

#[test]
fn a_transform_that_meets_a_bad_row_again_keeps_it_once() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id,n\n1,10\n,20\n");
    scratch.write(
        "floodmark.yaml",
        "version: 1\npipelines:\n  orders:\n    source: { files: orders.csv }\n    destination: { url: 'sqlite:///shop.db', table: orders }\n    key: id\n    version: none\n    transform: SELECT * FROM source\n    on_bad_row: reject\n",
    );
    scratch.ok(&["run"]);
    scratch.write("orders.csv", "id,n\n1,10\n,20\n3,30\n");
    scratch.ok(&["run"]);
    assert_eq!(scratch.json(&["rejects", "list"], 0).len(), 1);
}

#[test]
fn there_is_nothing_to_replay_into_after_a_reset() {
    let scratch = project("bigint");
    scratch.ok(&["run"]);
    scratch.ok(&["state", "reset", "orders", "--yes"]);
    let ran = scratch.run(&["rejects", "replay", "orders"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("FM0106") && ran.stderr.contains("floodmark run orders"), "{}", ran.stderr);
    assert_eq!(scratch.json(&["rejects", "list"], 0).len(), 2);
}

#[test]
fn bytes_that_were_kept_as_digits_are_not_loaded_as_those() {
    let scratch = Scratch::new();
    scratch.write("orders.csv", "id,n\n1,a\n,b\n");
    scratch.write(
        "floodmark.yaml",
        "version: 1\npipelines:\n  orders:\n    source: { files: orders.csv }\n    destination: { url: 'sqlite:///shop.db', table: orders }\n    key: id\n    version: none\n    transform: SELECT id, arrow_cast(n, 'Binary') AS n FROM source\n    on_bad_row: reject\n",
    );
    scratch.ok(&["run"]);
    let file = scratch.read("floodmark.yaml").replace("key: id\n", "key: n\n");
    scratch.write("floodmark.yaml", &file);
    let ran = scratch.run(&["rejects", "replay", "orders"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("1 row holds bytes and is left alone"), "{ran:?}");
    assert_eq!(scratch.json(&["rejects", "list"], 0).len(), 1);
}

/// A pipeline `t` of `lines` over `data/*`, which sets bad rows aside.
fn pipeline(scratch: &Scratch, lines: &str) {
    let head = "version: 1\npipelines:\n  t:\n    source: { files: 'data/*' }\n    destination: { url: 'sqlite:///t.db', table: t }\n    on_bad_row: reject\n";
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    scratch.write("floodmark.yaml", &format!("{head}{lines}"));
}

const BY_WATERMARK: &str = "load: append\nwatermark: v\ncolumns: { n: { type: bigint } }";

#[test]
fn what_may_be_loaded_by_now_is_not_replayed_under_append() {
    let scratch = Scratch::new();
    pipeline(&scratch, BY_WATERMARK);
    scratch.write("data/a.csv", "id,v,n\n1,1,1\n2,2,x\n");
    scratch.ok(&["run"]);
    // The row is corrected in its file, ahead of the watermark, and loaded with it.
    scratch.write("data/a.csv", "id,v,n\n1,1,1\n2,2,2\n3,3,3\n");
    assert_eq!(scratch.one(&["run"])["rows"]["inserted"], 2);
    let kept = scratch.json(&["rejects", "list"], 0);
    assert_eq!((kept.len(), &kept[0]["doubtful"]), (1, &true.into()));
    let ran = scratch.run(&["rejects", "replay", "t"]);
    assert!(ran.stderr.contains("1 row is left alone: the file was read again since"), "{ran:?}");
    assert!(scratch.fingerprint("sqlite:///t.db", "t").starts_with("fm1-3-"));
}

#[test]
fn a_full_refresh_forgets_the_rejects_of_files_that_are_gone() {
    let scratch = Scratch::new();
    pipeline(&scratch, BY_WATERMARK);
    scratch.write("data/a.csv", "id,v,n\n1,1,1\n");
    scratch.write("data/b.csv", "id,v,n\n2,2,x\n");
    scratch.ok(&["run"]);
    std::fs::remove_file(scratch.path().join("data/b.csv")).unwrap();
    assert_eq!(scratch.one(&["run", "--full-refresh", "--yes"])["rows"]["inserted"], 1);
    assert!(scratch.json(&["rejects", "list"], 0).is_empty());
}

#[test]
fn equal_rows_of_one_line_are_all_replayed() {
    let scratch = Scratch::new();
    let lines = "load: append\ncolumns: { n: { not_null: true } }";
    pipeline(&scratch, lines);
    scratch.write("data/a.json", "[{\"id\":1,\"n\":1},{\"id\":2,\"n\":null},{\"id\":2,\"n\":null}]");
    assert_eq!(scratch.one(&["run"])["rows"]["rejected"], 2);
    pipeline(&scratch, "load: append");
    assert_eq!(scratch.one(&["rejects", "replay", "t"])["rows"]["inserted"], 2);
}

#[test]
fn a_replay_leaves_no_row_for_later_and_one_without_a_cursor_holds_up_no_other() {
    let scratch = Scratch::new();
    let lines = "key: id\nwatermark: { column: v, settle: 1h }\ncolumns: { n: { type: bigint } }";
    pipeline(&scratch, lines);
    scratch.write("data/a.csv", "id,v,n\n1,2024-01-01 00:00:00,1\n2,9999-01-01 00:00:00,x\n3,,x\n");
    assert_eq!(scratch.one(&["run"])["rows"]["rejected"], 2);
    let nulls = scratch.read("floodmark.yaml").replace("files: 'data/*' }", "files: 'data/*', null: x }");
    scratch.write("floodmark.yaml", &nulls);
    let value = scratch.one(&["rejects", "replay", "t"]);
    assert_eq!((&value["rows"]["inserted"], &value["rows"]["rejected"]), (&1.into(), &1.into()), "{value}");
    assert_eq!(value["watermark"]["after"], value["watermark"]["before"], "rows that no run has read may be older");
    assert_eq!(scratch.json(&["rejects", "list"], 0).len(), 1);
}

#[test]
fn a_frozen_schema_takes_rejects_that_lack_a_column_and_none_that_bring_one() {
    let scratch = Scratch::new();
    let lines = "load: append\nschema: freeze\ncolumns: { n: { not_null: true } }";
    pipeline(&scratch, lines);
    scratch.write("data/a.jsonl", "{\"id\":1,\"n\":1,\"s\":\"a\"}\n{\"id\":2}\n");
    assert_eq!(scratch.one(&["run"])["rows"]["rejected"], 1);
    pipeline(&scratch, "load: append\nschema: freeze");
    assert_eq!(scratch.one(&["rejects", "replay", "t"])["rows"]["inserted"], 1);
}

#[test]
fn a_renamed_file_of_an_append_does_not_know_replayed_rows_as_its_own() {
    let scratch = Scratch::new();
    pipeline(&scratch, "load: append\ncolumns: { n: { not_null: true } }");
    scratch.write("data/a.csv", "id,n\n1,1\n2,\n");
    scratch.ok(&["run"]);
    std::fs::rename(scratch.path().join("data/a.csv"), scratch.path().join("data/b.csv")).unwrap();
    scratch.ok(&["run"]);
    pipeline(&scratch, "load: append");
    let ran = scratch.run(&["rejects", "replay", "t"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(scratch.fingerprint("sqlite:///t.db", "t").starts_with("fm1-1-"));
    // Under its own name again it does.
    std::fs::rename(scratch.path().join("data/b.csv"), scratch.path().join("data/a.csv")).unwrap();
    scratch.ok(&["run"]);
    scratch.ok(&["rejects", "replay", "t"]);
    scratch.write("data/a.csv", "id,n\n1,1\n2,2\n");
    assert_eq!(scratch.one(&["run"])["rows"]["removed"], 2);
    assert!(scratch.fingerprint("sqlite:///t.db", "t").starts_with("fm1-2-"));
}

#[test]
fn a_row_that_is_no_row_is_rejected_again_and_holds_up_no_other_file() {
    let scratch = Scratch::new();
    pipeline(&scratch, "key: id\nversion: none\ncolumns: { n: { type: bigint } }");
    scratch.write("data/a.csv", "id,n,\"a \"\"b\"\"\"\n1,1,x\n2\n");
    scratch.write("data/b.jsonl", "{\"id\":3,\"n\":3}\n{\"id\":4,\n");
    assert_eq!(scratch.one(&["run"])["rows"]["rejected"], 2);
    {
        let values = scratch.json(&["rejects", "replay", "t"], 0);
        let rejected: u64 = values.iter().map(|v| v["rows"]["rejected"].as_u64().unwrap()).sum();
        assert_eq!(rejected, 2, "{values:?}");
    }
    let kept = scratch.json(&["rejects", "list"], 0);
    let places: Vec<_> = kept.iter().map(|k| (k["file"].as_str().unwrap(), k["line"].as_u64().unwrap())).collect();
    assert_eq!(places, [("data/a.csv", 3), ("data/b.jsonl", 2)]);
}
