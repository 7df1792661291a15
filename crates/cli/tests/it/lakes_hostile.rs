//! Lakes with which something is wrong: what is said of it, and that nothing else suffers.

use crate::{
    lakes::{LAKE, load, parquet},
    support::Scratch,
};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

const KEYED: [&str; 2] = ["--key", "id"];

/// Runs what fails, and says what it said.
fn error(scratch: &Scratch, args: &[&str]) -> Value {
    let ran = scratch.run(&[args, &["--format", "json"]].concat());
    assert_ne!(ran.code, 0, "{args:?}: {ran:?}");
    let object: Value = serde_json::from_str(ran.stdout.lines().last().unwrap_or_default()).unwrap_or_default();
    assert!(object["error"].is_object(), "{args:?}: {ran:?}");
    object["error"].clone()
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap_or_default()
}

#[test]
fn other_partitions_are_told_before_there_is_something_to_load() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,day,v\n1,mon,a\n");
    let pipeline = |by: &str| {
        format!(
            "version: 1\npipelines:\n  t:\n    source: {{ files: a.csv }}\n    destination: {{ url: \"{LAKE}\", table: t{by} }}\n    \
             load: upsert\n    key: id\n"
        )
    };
    let run = ["run", "--file", "p.yaml"];
    scratch.write("p.yaml", &pipeline(", partition_by: day"));
    scratch.ok(&run);
    scratch.ok(&run);
    scratch.ok(&["check", "--file", "p.yaml"]);
    scratch.write("p.yaml", &pipeline(", partition_by: v"));
    for args in [&run[..], &["plan", "--file", "p.yaml"]] {
        let error = error(&scratch, args);
        assert_eq!(message(&error), "`partition_by` says v, and the table is partitioned by day", "{args:?}");
    }
    let ran = scratch.run(&["check", "--file", "p.yaml"]);
    assert!(ran.code == 2 && ran.stdout.contains("`partition_by` says v"), "{ran:?}");
    // As is said there: a new table, from the beginning.
    scratch.write("p.yaml", &pipeline("2, partition_by: v"));
    assert_eq!(scratch.one(&run)["rows"]["inserted"], 1);
    assert_eq!(parquet(&scratch, "t2")[0].parent(), Some(Path::new("v=a")));
}

#[test]
fn sizes_of_files_are_written_as_in_the_pipeline_file() {
    let scratch = Scratch::new();
    for id in 0..4 {
        scratch.write(&format!("{id}.csv"), &format!("id,v\n{id},a\n"));
        scratch.ok(&load(&format!("{id}.csv"), "t", &["--load", "append"]));
    }
    let sizes = parquet(&scratch, "t").into_iter().map(|file| fs::metadata(scratch.path().join("lake/t").join(file)));
    let least = sizes.map(|file| file.unwrap().len()).min().unwrap();
    // None of them is small beside that.
    let told = scratch.one(&["optimize", LAKE, "t", "--file-size", &least.to_string()]);
    assert_eq!(told["files_compacted"], 0, "{told}");
    let told = scratch.one(&["optimize", LAKE, "t", "--file-size", "64KiB"]);
    assert_eq!(told["files_compacted"], 4, "{told}");
    let ran = scratch.run(&["optimize", LAKE, "t", "--file-size", "large"]);
    assert!(ran.code == 2 && ran.stderr.contains("64MiB"), "{ran:?}");
}

#[test]
fn what_a_killed_load_left_in_the_folder_for_temporary_files_goes_with_the_next_one() {
    let scratch = Scratch::new();
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let left = scratch.path().join(format!("tmp/floodmark-lake-{}-0123456789abcdef", child.id()));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("0.db"), "rows").unwrap();
    scratch.write("a.csv", "id,v\n1,a\n");
    let output = scratch.command(&load("a.csv", "t", &KEYED)).env("TMPDIR", scratch.path().join("tmp")).output();
    let ran = scratch.ran(&output.unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let there: Vec<_> = fs::read_dir(scratch.path().join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(there.is_empty(), "{there:?}");
}

#[test]
fn dates_that_differ_are_told_as_dates() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,day,at\n1,2024-01-01,2024-01-01 00:00:00\n");
    scratch.write("b.csv", "id,day,at\n1,2024-01-02,2024-01-02 00:00:00\n");
    scratch.ok(&load("a.csv", "t", &KEYED));
    let told = scratch.json(&["diff", "b.csv", &format!("{LAKE}#t"), "--key", "id"], 4);
    let told = told.last().unwrap().to_string();
    assert!(told.contains("\"2024-01-01\"") && told.contains("\"2024-01-02\""), "{told}");
    assert!(told.contains("\"2024-01-01 00:00:00\"") && told.contains("\"2024-01-02 00:00:00\""), "{told}");
}
