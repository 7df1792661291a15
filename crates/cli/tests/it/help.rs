//! Help and usage errors.

use crate::support::{Scratch, shown};

#[test]
fn help() {
    let scratch = Scratch::new();
    insta::assert_snapshot!(scratch.ok(&["--help"]));
}

#[test]
fn help_of_each_command() {
    let scratch = Scratch::new();
    for command in [
        "init",
        "run",
        "plan",
        "prove",
        "backfill",
        "verify",
        "diff",
        "serve",
        "check",
        "state",
        "runs",
        "rejects",
        "fingerprint",
        "optimize",
        "explain",
        "completions",
    ] {
        insta::assert_snapshot!(format!("help_{command}"), scratch.ok(&[command, "-h"]));
    }
}

#[test]
fn load_has_a_flag_for_every_field() {
    let scratch = Scratch::new();
    let help = scratch.ok(&["load", "--help"]);
    for field in floodmark_config::load_flags() {
        let flag = field.flag.unwrap();
        let option = format!("--{flag}");
        assert!(
            help.split_whitespace().any(|word| word == option || word.starts_with(&format!("{option}["))),
            "{flag}"
        );
    }
    for flag in ["--table", "--pipeline", "--load", "--key", "--watermark", "--version", "--on-null", "--wait"] {
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn usage_errors() {
    let scratch = Scratch::new();
    for (name, args) in [
        ("no_command", &[][..]),
        ("unknown_command", &["rnu"]),
        ("unknown_flag", &["run", "--job", "2"]),
        ("load_without_destination", &["load", "orders.csv"]),
        ("bad_wait", &["run", "--wait=soon"]),
        ("no_file", &["run"]),
    ] {
        insta::assert_snapshot!(format!("usage_{name}"), shown(&scratch.run(args)));
    }
}

#[test]
fn usage_errors_for_programs() {
    let scratch = Scratch::new();
    for args in [&["run", "--nope"][..], &["load"], &["run"], &["explain", "FM9999"], &["load", "a.csv", "nowhere"]] {
        let objects = scratch.json(args, 2);
        assert_eq!(objects.len(), 1, "{args:?}");
        assert_eq!(objects[0]["status"], "failed");
        let error = objects[0]["error"].as_object().unwrap();
        let keys: Vec<&str> = error.keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "message", "place", "state", "help"], "{args:?}");
        assert!(error["code"].as_str().unwrap().starts_with("FM01"), "{args:?}: {error:?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{args:?}");
    }
    insta::assert_snapshot!(scratch.json(&["load"], 2)[0].to_string());
}

#[test]
fn the_format_may_come_from_the_environment() {
    let scratch = Scratch::new();
    let output = scratch.command(&["run", "--nope"]).env("FLOODMARK_FORMAT", "json").output().unwrap();
    assert!(scratch.ran(&output).stdout.starts_with(r#"{"status":"failed""#));
}
