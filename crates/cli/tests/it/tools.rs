//! `init`, `explain`, `schema`, `completions`, `fingerprint`.

use crate::support::{Scratch, shown};

#[test]
fn init_makes_a_project_and_never_overwrites() {
    let scratch = Scratch::new();
    insta::assert_snapshot!("init", shown(&scratch.run(&["init", "shop"])));
    scratch.write("shop/README.md", "mine");
    std::fs::remove_file(scratch.path().join("shop/floodmark.yaml")).unwrap();
    insta::assert_snapshot!("init_again", shown(&scratch.run(&["init", "shop"])));
    assert_eq!(scratch.read("shop/README.md"), "mine");
    assert!(!scratch.path().join("shop/floodmark.yaml").exists(), "a refusal writes nothing");
}

#[test]
fn init_says_how_to_get_there() {
    let scratch = Scratch::new();
    assert!(scratch.ok(&["init", "it's mine"]).contains(r"cd 'it'\''s mine' && floodmark run"));
}

#[test]
fn explain_prints_a_page() {
    let scratch = Scratch::new();
    assert!(scratch.ok(&["explain", "fm0301"]).starts_with("# FM0301: a value does not fit its column\n"));
    assert_eq!(scratch.ok(&["explain"]).lines().count(), floodmark_core::Code::ALL.len());
    let value = scratch.one(&["explain", "FM0501"]);
    assert_eq!((&value["code"], &value["title"]), (&"FM0501".into(), &"another run holds this pipeline".into()));
    insta::assert_snapshot!("explain_unknown", shown(&scratch.run(&["explain", "FM031"])));
}

#[test]
fn schema_is_json() {
    let scratch = Scratch::new();
    let schema: serde_json::Value = serde_json::from_str(&scratch.ok(&["schema"])).unwrap();
    assert_eq!(schema, floodmark_config::json_schema());
    assert_eq!(schema, scratch.one(&["schema"]));
}

#[test]
fn completions_know_the_commands() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = scratch.ok(&["completions", shell]);
        assert!(script.contains("fingerprint") && script.contains("delete-when"), "{shell}");
        assert!(script.contains("full-refresh") && !script.contains("newest run in the ledger"), "{shell}");
        assert!(!script.contains("--newest"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let scratch = Scratch::new();
    let mut child = scratch.command(&["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is() {
    let scratch = Scratch::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = scratch.command(&["schema"]).stdout(full).output().unwrap();
    let ran = scratch.ran(&output);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error[FM0604]: the output cannot be written\n"), "{}", ran.stderr);
}

#[test]
fn fingerprint_of_no_database() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["fingerprint", "sqlite:///none.db", "orders"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.starts_with("error[FM0401]"), "{}", ran.stderr);
    assert_eq!(scratch.run(&["fingerprint", "orders.db", "orders"]).code, 2);
}
