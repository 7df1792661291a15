//! `run`: twice, several at a time, and one that fails among others.

use crate::support::{Scratch, keys, shown};

const URL: &str = "sqlite:///shop.db";

#[test]
fn a_terminal_is_not_overrun_and_a_pipe_gets_a_record_a_line() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let narrow = scratch.ok(&["state", "reset", "orders", "--yes"]) + &scratch.ok(&["run"]);
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    assert!(narrow.contains("updated_at → 2024-02-14 17:55:00"), "{narrow}");
    for command in ["run", "runs"] {
        let piped = scratch.command(&[command]).env_remove("COLUMNS").output().unwrap();
        let piped = scratch.ran(&piped).stdout;
        let records: Vec<&str> = piped.lines().filter(|line| !line.starts_with("STARTED")).collect();
        assert!(!records.is_empty() && records.iter().all(|line| line.contains("orders")), "{piped}");
    }
    let list = scratch.ok(&["runs"]);
    assert!(list.starts_with("STARTED") && !list.contains("RESULT"), "a heading over nothing: {list}");
}

#[test]
fn a_second_run_has_nothing_to_do() {
    let scratch = Scratch::project();
    insta::assert_snapshot!("run_first", shown(&scratch.run(&["run"])));
    let before = scratch.fingerprint(URL, "orders");
    insta::assert_snapshot!("run_second", shown(&scratch.run(&["run"])));
    assert_eq!(scratch.fingerprint(URL, "orders"), before);
    assert!(before.starts_with("fm1-6-"), "{before}");
}

#[test]
fn a_run_that_was_killed_between_chunks_is_partial_until_the_next() {
    let scratch = Scratch::project();
    let file = scratch.read("floodmark.yaml") + "    commit_every: 1\n";
    scratch.write("floodmark.yaml", &file);
    let killed = scratch.command(&["run"]).env("FLOODMARK_CRASH", "load-commit:after:1=abort").output().unwrap();
    assert!(!killed.status.success());
    let records = scratch.json(&["runs"], 0);
    assert_eq!(records[0]["status"], "partial", "{records:?}");
    let shown = scratch.ok(&["runs", "show", records[0]["run"].as_str().unwrap()]);
    assert!(shown.contains("partial: it is still running, or was killed"), "{shown}");
    scratch.ok(&["run"]);
    let list = scratch.ok(&["runs"]);
    assert!(list.contains("loaded") && list.contains("partial"), "in the words of `run`: {list}");
}

#[test]
fn what_is_added_is_loaded() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let file = "data/orders-2024-02.csv";
    let text = scratch.read(file) + "1007,Gus Meyer,20095,15.00,paid,2024-02-20 10:00:00\n";
    scratch.write(file, &text);
    let value = scratch.one(&["run"]);
    assert_eq!(value["rows"]["inserted"], 1, "{value}");
    assert_eq!(value["watermark"]["before"], "2024-02-14 17:55:00");
    assert_eq!(value["watermark"]["after"], "2024-02-20 10:00:00");
}

#[test]
fn json_has_the_keys_of_the_specification() {
    let scratch = Scratch::project();
    let value = scratch.one(&["run"]);
    assert_eq!(keys(&value), ["pipeline", "run", "status", "load", "rows", "watermark", "seconds"]);
    assert_eq!(
        keys(&value["rows"]),
        [
            "read",
            "transformed",
            "skipped",
            "rejected",
            "superseded",
            "stale",
            "unchanged",
            "inserted",
            "updated",
            "deleted",
            "delete_noop",
            "removed"
        ]
    );
    assert_eq!(keys(&value["watermark"]), ["column", "before", "after"]);
    assert_eq!((&value["status"], &value["load"]), (&"ok".into(), &"upsert".into()));
    assert_eq!(
        (&value["rows"]["read"], &value["rows"]["inserted"], &value["rows"]["superseded"]),
        (&7.into(), &6.into(), &1.into())
    );
    assert!(value["rows"]["transformed"].is_null());
    assert!(value["watermark"]["before"].is_null());
    assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
}

/// Three pipelines, the second of which has a value that does not fit.
fn three() -> Scratch {
    let scratch = Scratch::new();
    let pipeline = |n: &str| {
        format!(
            "  {n}:\n    source: {{ files: {n}.csv }}\n    destination: {{ url: 'sqlite:///{n}.db', table: {n} }}\n    key: id\n    version: none\n    columns: {{ n: bigint }}\n"
        )
    };
    let file = ["a", "b", "c"].map(pipeline).concat();
    scratch.write("floodmark.yaml", &format!("version: 1\npipelines:\n{file}"));
    scratch.write("a.csv", "id,n\n1,1\n");
    scratch.write("b.csv", "id,n\n1,1\n2,12a\n");
    scratch.write("c.csv", "id,n\n1,1\n2,2\n");
    scratch
}

#[test]
fn one_that_fails_stops_no_other() {
    for jobs in ["1", "3"] {
        let scratch = three();
        let mut objects = scratch.json(&["run", "--jobs", jobs], 1);
        objects.sort_by_key(|o| o["pipeline"].to_string());
        let status: Vec<&str> = objects.iter().map(|o| o["status"].as_str().unwrap()).collect();
        assert_eq!(status, ["ok", "failed", "ok"], "{objects:?}");
        let error = &objects[1]["error"];
        assert_eq!(keys(error), ["code", "message", "place", "state", "help"]);
        assert_eq!(error["code"], "FM0301");
        assert_eq!(keys(&error["place"]), ["file", "line", "row", "column", "value"]);
        assert_eq!((&error["place"]["line"], &error["place"]["column"]), (&3.into(), &"n".into()));
        assert!(objects[0].get("error").is_none());
    }
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let scratch = three();
    let ran = scratch.run(&["run"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in [
        "error[FM0301]: ",
        "b.csv:3",
        "column \"n\"",
        "\"12a\"",
        "  state: ",
        "  help: ",
        "  more: floodmark explain FM0301\n",
    ] {
        assert!(ran.stderr.contains(part), "{part} is not in {}", ran.stderr);
    }
    assert!(ran.stdout.contains("3 pipelines: 2 loaded, 1 failed"), "{}", ran.stdout);
}

#[test]
fn only_the_named_ones_run() {
    let scratch = three();
    let objects = scratch.json(&["run", "c", "a", "c"], 0);
    let names: Vec<&str> = objects.iter().map(|o| o["pipeline"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "a"]);
}

#[test]
fn a_full_refresh_asks_first() {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let before = scratch.fingerprint(URL, "orders");
    let ran = scratch.run(&["run", "--full-refresh"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!("not_confirmed", shown(&ran));
    let value = scratch.one(&["run", "--full-refresh", "--yes"]);
    assert_eq!(value["rows"]["inserted"], 6, "{value}");
    assert_eq!(scratch.fingerprint(URL, "orders"), before);
}

#[test]
fn runs_are_on_record() {
    let scratch = Scratch::project();
    let run = scratch.one(&["run"])["run"].as_str().unwrap().to_owned();
    scratch.ok(&["run"]);
    let runs = scratch.json(&["runs"], 0);
    assert_eq!(runs.last().unwrap()["run"], run.as_str());
    assert_eq!(scratch.json(&["runs", "orders", "--limit", "1"], 0).len(), 1);
    let value = scratch.one(&["runs", "show", &run, "--destination", URL]);
    assert_eq!((&value["status"], &value["rows"]["inserted"]), (&"ok".into(), &6.into()));
    // As much of the id as is shown is enough, in capitals too.
    let listed = scratch.ok(&["runs"]);
    let short =
        listed.lines().rev().find_map(|line| line.split(' ').find(|word| run.starts_with(word) && word.len() > 9));
    let short = short.unwrap().to_uppercase();
    assert!(short.len() < run.len(), "{listed}");
    assert!(scratch.ok(&["runs", "show", &short]).contains("7 read: 6 inserted, 1 superseded"));
    assert_eq!(scratch.run(&["runs", "show", "none"]).code, 2);
    let ran = scratch.run(&["runs", "show", "0"]);
    assert!(ran.code == 2 && ran.stderr.contains("several runs have an id that begins with \"0\""), "{ran:?}");
    assert!(ran.stderr.contains(&run), "{}", ran.stderr);
}

#[test]
fn a_failed_run_is_listed_with_its_reason() {
    let scratch = Scratch::new();
    scratch.write("data.csv", "id,n\n1,1\n2,12a\n");
    let args = ["load", "data.csv", URL, "--key", "id", "--column", "n=bigint"];
    assert_eq!(scratch.run(&args).code, 1);
    let listed = scratch.ok(&["runs", "--destination", URL]);
    let reason = "    FM0301 the value is not a bigint (data.csv:3, column \"n\", value \"12a\")";
    assert_eq!(listed.lines().nth(2), Some(reason), "{listed}");
}

#[test]
fn what_is_printed_for_people_fits_the_width() {
    let scratch = Scratch::new();
    scratch.write("floodmark.yaml", "version: 1\npipelines:\n  a_fairly_long_name:\n    source: { files: 'data/*.csv' }\n    destination: { url: 'sqlite:///t.db' }\n    key: id\n    watermark: at\n    on_bad_row: reject\n");
    let rows: String =
        (1..60).map(|n| format!("{n},2024-01-{:02} 10:00:00,12345678.25,name {n}\n", n % 28 + 1)).collect();
    let header = "id,at,a_column_of_some_width,another_column_of_some_width\n";
    scratch.write("data/a.csv", &format!("{header}{rows}1,2024-01-01 00:00:00,1\n"));
    let commands: [&[&str]; 7] =
        [&["plan"], &["run"], &["run"], &["runs"], &["state", "show"], &["rejects", "list"], &["prove"]];
    for columns in [None, Some(100)] {
        for args in commands {
            let mut command = scratch.command(args);
            command.envs(columns.map(|n| ("COLUMNS", n.to_string())));
            let ran = scratch.ran(&command.output().unwrap());
            assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
            let widest = ran.stdout.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest > 40 && widest <= columns.unwrap_or(80), "{args:?} is {widest} wide:\n{}", ran.stdout);
        }
    }
}

#[test]
fn a_directory_stands_for_its_pipeline_file() {
    let scratch = Scratch::new();
    scratch.ok(&["init", "shop"]);
    assert_eq!(scratch.one(&["run", "-f", "shop"])["status"], "ok");
    let ran = scratch.run(&["run", "-f", "."]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("floodmark.yaml"), "{}", ran.stderr);
}

#[test]
fn a_table_that_was_emptied_is_told_of() {
    let scratch = Scratch::new();
    scratch.write(
        "floodmark.yaml",
        "version: 1\npipelines:\n  t:\n    source: { files: t.csv }\n    destination: { url: 'sqlite:///t.db' }\n    load: overwrite\n    allow_empty: true\n",
    );
    scratch.write("t.csv", "id\n1\n2\n");
    scratch.ok(&["run"]);
    scratch.write("t.csv", "id\n");
    let said = scratch.ok(&["run"]);
    assert!(said.contains("0 read: 2 removed from the table"), "{said}");
}

#[test]
fn a_damaged_file_is_an_error_and_no_crash_report() {
    let scratch = Scratch::new();
    scratch.write(
        "floodmark.yaml",
        "version: 1\npipelines:\n  t:\n    source: { files: a.parquet }\n    destination: { url: 'sqlite:///t.db' }\n    load: append\n",
    );
    let mut bytes = include_bytes!("../../../../examples/shop/data/events.parquet").to_vec();
    // The offset of a page: the decoder takes for granted that it is not negative.
    bytes[467_655] ^= 83;
    std::fs::write(scratch.path().join("a.parquet"), bytes).unwrap();
    let ran = scratch.run(&["run"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("FM0208") && ran.stderr.contains("its structure contradicts itself"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn log_lines_are_keys_and_values() {
    let scratch = Scratch::new();
    scratch.write("data.csv", "id,n\n1,1\n2\n");
    let args = ["load", "data.csv", URL, "--key", "id", "--on-bad-row", "reject", "-v"];
    let ran = scratch.run(&args);
    assert_eq!(ran.code, 0, "{ran:?}");
    for line in [
        " INFO planned pipeline=data slices=1 rows=2\n",
        " INFO first rejected row pipeline=data file=data.csv line=3 reason=\"FM0305 the row has 1 field, the header 2\"\n",
        " INFO committed pipeline=data read=2 inserted=1 updated=0 ",
    ] {
        assert!(ran.stderr.contains(line), "{line} is not in {}", ran.stderr);
    }
    assert!(!ran.stderr.contains(['{', '}']) && !ran.stderr.contains("Some("), "{}", ran.stderr);
    // For programs the counts are numbers.
    scratch.write("data.csv", "id,n\n1,5\n");
    let ran = scratch.run(&[&args[..], &["--log-format", "json"]].concat());
    let lines = ran.stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let committed: Vec<_> = lines.filter(|line| line["fields"]["message"] == "committed").collect();
    assert_eq!(committed.iter().map(|line| &line["fields"]["updated"]).collect::<Vec<_>>(), [1], "{ran:?}");
}

#[test]
fn quiet_is_heard_where_something_went_wrong() {
    let scratch = Scratch::project();
    for arguments in [&["run", "--quiet"][..], &["run", "--quiet", "--full-refresh", "--yes"], &["verify", "--quiet"]] {
        let ran = scratch.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""), "{arguments:?}");
    }
    // What was asked to be shown is.
    assert!(scratch.ok(&["runs", "--quiet"]).contains("orders"));
    assert_eq!(scratch.json(&["run", "--quiet"], 0).len(), 1);
    scratch.write("data/orders-2024-09.csv", "id,nothing\n");
    let ran = scratch.run(&["run", "--quiet"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("FM0"), "{}", ran.stderr);
}
