//! What others leave of a lake's table: older columns, other names, numbers that were given already, half of a first commit.

use super::{
    backfill::{command, said},
    patched::files,
};
use floodmark_testkit::scratch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::{fs, path::Path};

fn project(folder: &Path, lake: &str, settings: &str) {
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ files: 'in/*.csv' }}\n    {settings}\n    \
         destination: {{ url: '{lake}', table: t }}\n"
    );
    fs::write(folder.join("floodmark.yaml"), yaml).unwrap();
    fs::create_dir(folder.join("in")).unwrap();
}

fn put(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("in").join(name), text).unwrap();
}

/// The exit code, what became of the rows, and what was said.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let (exit, result, said) = said(command(folder, arguments).spawn().unwrap());
    (exit, result["rows"].clone(), format!("{result}{said}"))
}

fn fails_with(folder: &Path, code: &str, words: &str) {
    let (exit, _, said) = run(folder, &["run"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains(code) && said.contains(words), "{said}");
}

/// Puts an entry behind the log of a Delta table: no file, and the columns of the first entry, changed by `change`.
fn replaced(folder: &Path, change: impl Fn(&mut Value)) {
    let log = folder.join("lake/t/_delta_log");
    let first = fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
    let first = first.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut about = first.into_iter().find_map(|action| action.get("metaData").cloned()).unwrap();
    let mut schema: Value = serde_json::from_str(about["schemaString"].as_str().unwrap()).unwrap();
    change(&mut schema["fields"]);
    about["schemaString"] = schema.to_string().into();
    let mut entry = vec![json!({ "metaData": about })];
    for (file, _) in files(folder) {
        let name = file.file_name().unwrap().to_str().unwrap();
        entry.push(
            json!({ "remove": { "path": name, "dataChange": true, "deletionTimestamp": 1_700_000_000_000_i64 } }),
        );
    }
    let entry: Vec<String> = entry.iter().map(Value::to_string).collect();
    let next =
        fs::read_dir(&log).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"));
    fs::write(log.join(format!("{:020}.json", next.count())), entry.join("\n")).unwrap();
}

#[test]
fn numbers_of_rows_that_are_gone_are_not_given_again() {
    for (lake, folder_only) in [("delta:///lake", false), ("parquet:///lake", true)] {
        let folder = scratch().unwrap();
        let folder = folder.path();
        project(folder, lake, "load: append");
        put(folder, "a.csv", "id,x\n1,a\n2,a\n");
        assert_eq!(run(folder, &["run"]).0, Some(0));
        put(folder, "b.csv", "id,x\n3,b\n4,b\n");
        assert_eq!(run(folder, &["run"]).1["inserted"], 2);
        fs::remove_file(folder.join("in/b.csv")).unwrap();
        assert_eq!(run(folder, &["verify", "--repair", "--delete-extra", "--yes"]).0, Some(0));
        put(folder, "c.csv", "id,x\n5,c\n6,c\n");
        assert_eq!(run(folder, &["run"]).1["inserted"], 2);
        // Its own rows are gone, and those of the other file are not taken for them.
        put(folder, "b.csv", "id,x\n3,new\n4,new\n");
        fails_with(folder, "FM0210", "cannot be told apart");
        if folder_only {
            continue;
        }
        let rows = files(folder).into_iter().flat_map(|(file, _)| {
            ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap().build().unwrap()
        });
        assert_eq!(rows.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4);
    }
}

#[test]
fn columns_of_before_a_load_widened_them_are_refused() {
    for settings in ["load: append", "key: id", "load: overwrite"] {
        let folder = scratch().unwrap();
        let folder = folder.path();
        project(folder, "delta:///lake", settings);
        put(folder, "a.csv", "id,n\n1,10\n");
        assert_eq!(run(folder, &["run"]).0, Some(0));
        put(folder, "b.csv", "id,n\n2,0.5\n");
        assert_eq!(run(folder, &["run"]).0, Some(0));
        replaced(folder, |_| ());
        put(folder, "c.csv", "id,n\n3,1.5\n");
        fails_with(folder, "FM0404", "column \\\"n\\\" of the table is bigint");
        let (exit, _, said) = run(folder, &["run", "--full-refresh", "--yes"]);
        assert_eq!(exit, Some(0), "{said}");
    }
}

#[test]
fn columns_of_another_type_or_case_are_refused() {
    for settings in ["load: append", "key: id", "load: overwrite"] {
        for (change, words) in
            [(("type", "string"), "of the table is text"), (("name", "N"), "column \\\"N\\\" of the table")]
        {
            let folder = scratch().unwrap();
            let folder = folder.path();
            project(folder, "delta:///lake", settings);
            put(folder, "a.csv", "id,n\n1,10\n");
            assert_eq!(run(folder, &["run"]).0, Some(0));
            replaced(folder, |fields| fields[1][change.0] = change.1.into());
            put(folder, "b.csv", "id,n\n2,20\n");
            fails_with(folder, "FM0404", words);
        }
    }
}

#[test]
fn what_a_kill_in_the_first_commit_leaves_is_no_table_of_somebody() {
    for (lake, log) in [("delta:///lake", "_delta_log"), ("parquet:///lake", "_floodmark")] {
        let folder = scratch().unwrap();
        let folder = folder.path();
        project(folder, lake, "key: id");
        let left = folder.join("lake/t").join(log);
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join(".01933f2e-7d3c-7a10-8000-000000000001.tmp"), "{").unwrap();
        put(folder, "a.csv", "id,n\n1,10\n");
        let (exit, rows, said) = run(folder, &["run"]);
        assert_eq!((exit, &rows["inserted"]), (Some(0), &1.into()), "{said}");
    }
}

/// Most writers leave NaN out of their bounds of doubles.
#[test]
fn bounds_of_doubles_hide_no_nan() {
    for (load, met) in [("load: upsert\n    key: x", "updated"), ("load: delete_insert\n    window: x", "removed")] {
        let folder = scratch().unwrap();
        let folder = folder.path();
        project(
            folder,
            "delta:///lake",
            &format!("{load}\n    transform: SELECT CAST(x AS DOUBLE) AS x, v FROM source"),
        );
        put(folder, "a.csv", "x,v\n300,a\nNaN,a\n");
        assert_eq!(run(folder, &["run"]).1["inserted"], 2);
        let entry = folder.join("lake/t/_delta_log").join(format!("{:020}.json", 0));
        let mut log = fs::read_to_string(&entry).unwrap();
        for bounds in ["minValues", "maxValues"] {
            let none = format!(r#"\"{bounds}\":{{\"v\""#);
            assert!(log.contains(&none), "{log}");
            log = log.replace(&none, &format!(r#"\"{bounds}\":{{\"x\":300.0,\"v\""#));
        }
        fs::write(entry, log).unwrap();
        put(folder, "b.csv", "x,v\nNaN,b\n");
        let (exit, rows, said) = run(folder, &["run"]);
        assert_eq!((exit, &rows[met]), (Some(0), &1.into()), "{load}: {said}");
    }
}
