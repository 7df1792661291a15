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
