//! Lakes with which something is wrong: what is said of it, and that nothing else suffers.

use crate::{
    lakes::{LAKE, follows_versions, load, parquet},
    support::{Scratch, files},
};
use serde_json::{Value, json};
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

fn code(error: &Value) -> &str {
    error["code"].as_str().unwrap_or_default()
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap_or_default()
}

/// The actions of a table's first version.
fn first_version(scratch: &Scratch, table: &str) -> Vec<Value> {
    let entry = scratch.read(&format!("lake/{table}/_delta_log/00000000000000000000.json"));
    entry.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_table_that_another_one_took_the_place_of_is_told_by_its_columns() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    scratch.ok(&load("a.csv", "t", &KEYED));
    scratch.write("texts.csv", "id,v\nx,a\n");
    scratch.ok(&load("texts.csv", "other", &KEYED));
    // As another program overwrites a table, its schema with it.
    let path = |action: &Value| action["path"].as_str().unwrap().to_owned();
    let mut entry = Vec::new();
    for action in first_version(&scratch, "other") {
        if action["add"].is_object() {
            let file = path(&action["add"]);
            let lake = scratch.path().join("lake");
            fs::copy(lake.join("other").join(&file), lake.join("t").join(&file)).unwrap();
        }
        if action["add"].is_object() || action["metaData"].is_object() {
            entry.push(action.to_string());
        }
    }
    for action in first_version(&scratch, "t").iter().filter(|action| action["add"].is_object()) {
        let remove = json!({ "path": path(&action["add"]), "deletionTimestamp": 1, "dataChange": true });
        entry.push(json!({ "remove": remove }).to_string());
    }
    scratch.write("lake/t/_delta_log/00000000000000000001.json", &format!("{}\n", entry.join("\n")));
    let before = scratch.fingerprint(LAKE, "t");
    scratch.write("b.csv", "id,v\n2,b\n");
    for loads in [&KEYED[..], &["--key", "id", "--load", "insert_only"]] {
        let error = error(&scratch, &load("b.csv", "t", loads));
        assert_eq!(code(&error), "FM0404", "{loads:?}: {error}");
        assert_eq!(message(&error), "column \"id\" of the table is text, and the pipeline loads it as bigint");
        assert_eq!(scratch.fingerprint(LAKE, "t"), before, "{loads:?}");
    }
    // As is said there.
    scratch.ok(&load("b.csv", "t", &["--key", "id", "--full-refresh", "--yes"]));
    scratch.ok(&["load", "b.csv", "sqlite:///one.db", "--table", "t", "--key", "id"]);
    assert_eq!(scratch.fingerprint(LAKE, "t"), scratch.fingerprint("sqlite:///one.db", "t"));
}

#[test]
fn a_broken_table_stops_no_load_of_another() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    for table in ["broken", "whole"] {
        scratch.ok(&load("a.csv", table, &KEYED));
    }
    scratch.write("lake/broken/_delta_log/00000000000000000000.json", "no JSON");
    scratch.ok(&load("a.csv", "new", &KEYED));
    scratch.write("b.csv", "id,v\n2,b\n");
    scratch.ok(&load("b.csv", "whole", &KEYED));
    error(&scratch, &load("b.csv", "broken", &KEYED));
    // Two pipelines of one table are found all the same.
    let second = format!(
        "version: 1\npipelines:\n  second:\n    source: {{ files: a.csv }}\n    \
         destination: {{ url: \"{LAKE}\", table: whole }}\n    load: upsert\n    key: id\n"
    );
    scratch.write("second.yaml", &second);
    let error = error(&scratch, &["run", "--file", "second.yaml"]);
    assert!(message(&error).contains("is loaded by pipeline \"whole\""), "{error}");
}

#[test]
fn versions_whose_files_are_gone_are_told_with_what_helps() {
    let scratch = Scratch::new();
    follows_versions(&scratch);
    let append = ["--load", "append"];
    for (n, file) in ["1.csv", "2.csv", "3.csv"].into_iter().enumerate() {
        scratch.write(file, &format!("id,v\n{n},a\n"));
        scratch.ok(&load(file, "t", &append));
        if n == 0 {
            scratch.ok(&["run", "--file", "news.yaml"]);
        }
    }
    let before = parquet(&scratch, "t");
    scratch.ok(&["optimize", LAKE, "t"]);
    for file in before {
        fs::remove_file(scratch.path().join("lake/t").join(file)).unwrap();
    }
    let error = error(&scratch, &["run", "--file", "news.yaml"]);
    assert_eq!(code(&error), "FM0202", "{error}");
    assert_eq!(message(&error), "the files that version 1 of the table brought are gone");
    assert!(error["help"].to_string().contains("--full-refresh"), "{error}");
    let whole = scratch.one(&["run", "--file", "news.yaml", "--full-refresh", "--yes"]);
    assert_eq!(whole["rows"]["inserted"], 3, "{whole}");
}

#[test]
fn an_empty_text_that_would_be_a_partition_is_told_with_its_row() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,day,v\n1,mon,a\n7,\"\",b\n");
    let apart = ["--key", "id", "--partition-by", "day", "--null", "NULL"];
    let error = error(&scratch, &load("a.csv", "t", &apart));
    assert_eq!(code(&error), "FM0307", "{error}");
    assert!(message(&error).contains("\"day\"") && message(&error).contains("id = 7"), "{error}");
    assert_eq!(error["place"]["column"], "day", "{error}");
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

#[test]
fn what_a_table_asks_for_and_is_not_done_is_refused_by_its_name() {
    for (protocol, property, said) in [
        (r#""minReaderVersion":4,"minWriterVersion":2"#, None, "version 4 of Delta readers"),
        (r#""minReaderVersion":1,"minWriterVersion":8"#, None, "version 8 of Delta writers"),
        (r#""minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["rowTracking"]"#, None, "\"rowTracking\""),
        (
            r#""minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]"#,
            Some(r#""delta.enableDeletionVectors":"true""#),
            "deletion vectors",
        ),
        (
            r#""minReaderVersion":2,"minWriterVersion":5"#,
            Some(r#""delta.columnMapping.mode":"name""#),
            "column mapping",
        ),
    ] {
        let scratch = Scratch::new();
        scratch.write("a.csv", "id,v\n1,a\n");
        scratch.ok(&load("a.csv", "t", &KEYED));
        let mut entry = format!(r#"{{"protocol":{{{protocol}}}}}"#);
        if let Some(property) = property {
            let first = scratch.read("lake/t/_delta_log/00000000000000000000.json");
            let about = first.lines().find(|line| line.starts_with("{\"metaData\"")).unwrap();
            assert!(about.contains("\"configuration\":{"), "{about}");
            // Each column has the name that it has in files.
            let named = |about: String, n: u8| {
                let of = format!(
                    r#"\"metadata\":{{\"delta.columnMapping.id\":{n},\"delta.columnMapping.physicalName\":\"c{n}\"}}"#
                );
                about.replacen(r#"\"metadata\":{}"#, &of, 1)
            };
            let about = &named(named(about.to_owned(), 1), 2);
            entry = format!(
                "{entry}\n{}",
                about.replacen("\"configuration\":{", &format!("\"configuration\":{{{property}"), 1)
            );
        }
        scratch.write("lake/t/_delta_log/00000000000000000001.json", &entry);
        let before = files(&scratch.path().join("lake/t/_delta_log"));
        scratch.write("a.csv", "id,v\n1,b\n2,b\n");
        let error = error(&scratch, &load("a.csv", "t", &KEYED));
        assert!(code(&error) == "FM0404" && message(&error).contains(said), "{said}: {error}");
        assert!(error["state"].as_str().is_some_and(|state| state.contains("nothing was written")), "{error}");
        assert!(files(&scratch.path().join("lake/t/_delta_log")) == before, "{said}");
    }
}

/// As another program turns it on that sets a property of the table.
#[test]
fn a_feature_for_columns_that_there_are_not_is_no_reason_to_refuse() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n2,b\n");
    scratch.ok(&load("a.csv", "t", &KEYED));
    let protocol = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["variantType"],"writerFeatures":["appendOnly","invariants","variantType"]}}"#;
    scratch.write("lake/t/_delta_log/00000000000000000001.json", protocol);
    scratch.write("a.csv", "id,v\n2,c\n3,d\n");
    let ran = scratch.one(&load("a.csv", "t", &KEYED));
    assert_eq!((&ran["rows"]["updated"], &ran["rows"]["inserted"]), (&1.into(), &1.into()), "{ran}");
    scratch.ok(&["optimize", LAKE, "t"]);
}

/// The store's client reads them by itself, and panics over what makes no request.
#[test]
fn variables_of_the_environment_that_make_no_request_are_named() {
    let scratch = Scratch::new();
    let client = [("AZURE_CLIENT_ID", "a"), ("AZURE_CLIENT_SECRET", "s")];
    for (url, name, value, others) in [
        ("gs://b/a.csv", "GCE_METADATA_HOST", "", &[][..]),
        ("gs://b/a.csv", "GCE_METADATA_ROOT", "x\n", &[]),
        ("gs://b/a.csv", "GCE_METADATA_IP", "a b", &[]),
        ("az://c/a.csv", "IDENTITY_ENDPOINT", "", &[]),
        ("az://c/a.csv", "IDENTITY_ENDPOINT", "http://[::1", &[]),
        ("az://c/a.csv", "IDENTITY_HEADER", "x\ny", &[("IDENTITY_ENDPOINT", "http://127.0.0.1:1")]),
        ("az://c/a.csv", "AZURE_STORAGE_TOKEN", "x\ny", &[]),
        ("az://c/a.csv", "AZURE_TENANT_ID", "a b", &client),
        ("az://c/a.csv", "AZURE_AUTHORITY_HOST", "http://u:geheim@127.0.0.1:1", &client),
        ("s3://b/a.csv", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "a b", &[]),
        ("s3://b/a.csv", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "é", &[]),
    ] {
        let args = ["load", url, "sqlite:///e.db", "--table", "t", "--key", "id"];
        let env = [&[(name, value), ("AZURE_STORAGE_ACCOUNT_NAME", "acct")], others].concat();
        let ran = scratch.ran(&scratch.command(&args).envs(env).output().unwrap());
        assert!(
            ran.code == 2 && ran.stderr.contains(name) && ran.stderr.contains("FM0105"),
            "{name}={value:?}: {ran:?}"
        );
        assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("geheim"), "{name}={value:?}: {ran:?}");
    }
}
