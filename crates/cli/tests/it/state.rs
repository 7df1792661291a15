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
