//! The lesson (`examples/lesson`): each project with exactly the results its README tells.

use crate::cases::root;
use floodmark_testkit::{Destination, Style, case, floodmark, play};
use std::{fs, process::Command};

fn lesson(name: &str) {
    let project = root().join("examples/lesson").join(name);
    let mut cases: Vec<_> = fs::read_dir(&project)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{name} has no case");
    for path in cases {
        let case =
            case::parse(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if let Err(failure) = play(&case, Some(&project), Style::AsWritten, Destination::Sqlite) {
            panic!("{}:{}: {}", path.display(), failure.line, failure.message);
        }
    }
}

#[test]
fn append_doubles_and_overwrite_does_not() {
    lesson("1-append-overwrite");
}

#[test]
fn a_watermark_loads_what_is_new() {
    lesson("2-watermark");
}

#[test]
fn upsert_in_both_directions() {
    lesson("3-upsert");
}

#[test]
fn a_dedup_load_twice_is_the_same_table() {
    lesson("4-dedup");
}

#[test]
fn a_stateful_run_remembers_in_the_destination() {
    lesson("5-stateful");
}

#[test]
fn the_mistakes_are_refused() {
    lesson("6-mistakes");
}

/// What is unsafe but allowed is a warning with a reason.
#[test]
fn the_lint_names_what_doubles_and_what_forgets() {
    for (file, part) in [("doubles.yaml", "at_least_once"), ("forgets.yaml", "gone when the run ends")] {
        let project = root().join("examples/lesson/6-mistakes");
        let output = Command::new(floodmark().unwrap())
            .current_dir(&project)
            .args(["check", "-f", file])
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{file}: {said}");
        assert!(said.contains(part), "{file}: {said}");
    }
}
