//! `state`: shown, changed, moved.

use crate::support::Scratch;

const URL: &str = "sqlite:///shop.db";

#[test]
fn show() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let value = scratch.one(&["state", "show"]);
    assert_eq!((&value["pipeline"], &value["table"]), (&"orders".into(), &"orders".into()));
    assert_eq!(value["watermark"]["value"], "2024-02-14 17:55:00");
    assert_eq!(value["files"][0]["rows"], 4);
    assert_eq!(value["files"][1]["complete"], true);
    let zip = value["schema"].as_array().unwrap().iter().find(|c| c["name"] == "zip").unwrap();
    assert_eq!(zip["type"], "text", "a leading zero is kept");
    let text = scratch.ok(&["state", "show", "--destination", URL]);
    assert!(text.contains("watermark  updated_at = 2024-02-14 17:55:00 (timestamp)"), "{text}");
    assert!(text.contains("data/orders-2024-01.csv  4 rows"), "{text}");
}

#[test]
fn a_watermark_set_back_is_read_from_again() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    assert_eq!(scratch.run(&["state", "set", "orders", "--watermark", "yesterday"]).code, 2);
    assert_eq!(scratch.run(&["state", "set", "orders", "--watermark", "2024-02-01"]).code, 2, "it needs a yes");
    let value = scratch.one(&["state", "set", "orders", "--watermark", "2024-02-01", "--yes"]);
    assert_eq!(value["watermark"]["after"], "2024-02-01 00:00:00");
    let value = scratch.one(&["run"]);
    assert_eq!(value["rows"]["unchanged"], 3, "{value}");
    assert_eq!(value["watermark"]["after"], "2024-02-14 17:55:00");
}

#[test]
fn a_watermark_set_to_what_it_is_forgets_nothing() {
    let scratch = Scratch::project();
    let append = scratch.read("floodmark.yaml").replace("load: upsert", "load: append");
    let keyless: String = append.lines().filter(|l| !l.contains("key:")).map(|l| format!("{l}\n")).collect();
    scratch.write("floodmark.yaml", &keyless);
    scratch.ok(&["run"]);
    let before = scratch.fingerprint(URL, "orders");
    let value = scratch.one(&["state", "set", "orders", "--watermark", "2024-02-14 17:55:00"]);
    assert_eq!(value["watermark"]["after"], value["watermark"]["before"]);
    assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
    assert_eq!(scratch.fingerprint(URL, "orders"), before);
}

#[test]
fn a_watermark_that_cannot_be_set_is_told_why() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    scratch.ok(&["state", "reset", "orders", "--yes"]);
    let set = ["state", "set", "orders", "--watermark", "2024-02-01"];
    let ran = scratch.run(&set);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("the type of column \"updated_at\" is not known"), "{}", ran.stderr);
    assert!(ran.stderr.contains("give `start:` under `watermark:`"), "{}", ran.stderr);
    let ran = scratch.run(&[&set[..], &["--destination", URL]].concat());
    assert!(ran.stderr.contains("its pipeline file is not at hand"), "{}", ran.stderr);
    let file = scratch.read("floodmark.yaml");
    let unmarked: String = file.lines().filter(|l| !l.contains("watermark:")).map(|l| format!("{l}\n")).collect();
    scratch.write("floodmark.yaml", &unmarked);
    let ran = scratch.run(&set);
    assert!(ran.stderr.contains("has no watermark to set"), "{}", ran.stderr);
}

#[test]
fn reset_makes_the_next_run_read_everything() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let before = scratch.fingerprint(URL, "orders");
    let ran = scratch.run(&["state", "reset", "orders"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("reads everything again"), "{}", ran.stderr);
    scratch.ok(&["state", "reset", "orders", "--yes"]);
    let value = scratch.one(&["run"]);
    assert_eq!((&value["rows"]["read"], &value["rows"]["unchanged"]), (&7.into(), &6.into()), "{value}");
    assert_eq!(scratch.fingerprint(URL, "orders"), before);
}

#[test]
fn what_is_exported_comes_back() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let exported = scratch.ok(&["state", "export"]);
    assert!(exported.starts_with("{\n  \"floodmark_state\": 1,"), "{exported}");
    scratch.write("state.json", &exported);
    scratch.ok(&["state", "reset", "orders", "--yes"]);
    scratch.ok(&["state", "import", "state.json", "--yes"]);
    assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
    assert_eq!(scratch.run(&["state", "import", "state.json"]).code, 2, "it would replace what is there");
    scratch.write("state.json", &exported.replace("\"floodmark_state\": 1", "\"floodmark_state\": 9"));
    let ran = scratch.run(&["state", "import", "state.json", "--yes"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error[FM0503]"), "{}", ran.stderr);
}

#[test]
fn before_the_first_run_there_is_nothing_to_show() {
    let scratch = Scratch::project();
    for args in
        [&["state", "show"][..], &["state", "show", "orders"], &["runs"], &["rejects", "list"], &["state", "export"]]
    {
        let ran = scratch.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        let ran = scratch.run(&[args, &["--destination", URL]].concat());
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    }
    assert!(scratch.ok(&["state", "show"]).contains("orders  has never run"));
    assert_eq!(scratch.one(&["state", "show"])["known"], false);
    assert!(scratch.run(&["runs"]).stderr.contains("There is no database yet: sqlite:///shop.db"));
    assert_eq!(scratch.run(&["state", "set", "orders", "--watermark", "2024-01-01", "--yes"]).code, 2);
    scratch.ok(&["state", "reset", "orders"]);
    assert!(!scratch.path().join("shop.db").exists(), "reading makes no database");
    // A database that is there and has no state yet is the same.
    std::fs::File::create(scratch.path().join("shop.db")).unwrap();
    assert!(scratch.ok(&["state", "show"]).contains("orders  has never run"));
    scratch.ok(&["runs"]);
}

#[test]
fn without_a_pipeline_file_the_database_can_be_named() {
    let scratch = Scratch::new();
    for args in [&["state", "show"][..], &["runs"], &["rejects", "list"]] {
        let ran = scratch.run(args);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("--destination sqlite:///"), "{}", ran.stderr);
    }
    assert!(!scratch.run(&["run"]).stderr.contains("--destination"));
}

#[test]
fn what_was_deleted_stays_deleted_where_the_state_is_moved_to() {
    let scratch = Scratch::new();
    let file = "version: 1\npipelines:\n  t:\n    source: { files: 'data/*.csv' }\n    destination: { url: 'sqlite:///a.db' }\n    key: id\n    version: v\n    delete_when: op = 'D'\n";
    scratch.write("floodmark.yaml", file);
    scratch.write("data/1.csv", "id,v,op\n1,1,I\n2,1,I\n");
    scratch.ok(&["run"]);
    scratch.write("data/2.csv", "id,v,op\n1,5,D\n");
    assert_eq!(scratch.one(&["run"])["rows"]["deleted"], 1);
    let exported = scratch.ok(&["state", "export"]);
    scratch.write("state.json", &exported);
    std::fs::copy(scratch.path().join("a.db"), scratch.path().join("b.db")).unwrap();
    scratch.write("floodmark.yaml", &file.replace("a.db", "b.db"));
    scratch.ok(&["state", "reset", "t", "--yes"]);
    scratch.ok(&["state", "import", "state.json", "--yes"]);
    let tombstones =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["pipelines"][0]["remembered"].clone();
    assert_eq!(tombstones(&scratch.ok(&["state", "export"])), tombstones(&exported));
    scratch.write("data/3.csv", "id,v,op\n1,3,I\n");
    let value = scratch.one(&["run"]);
    assert_eq!((&value["rows"]["stale"], &value["rows"]["inserted"]), (&1.into(), &0.into()), "{value}");
}

#[test]
fn names_there_are_to_choose_from_are_said_once() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let ran = scratch.run(&["state", "show", "nope"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("there are: orders\n"), "{}", ran.stderr);
}
