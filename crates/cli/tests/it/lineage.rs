//! Events of OpenLineage: real runs, into a file and to a real server.

#![cfg(unix)]

use crate::{
    hook::{Hook, Says},
    serve::{Served, project, wait},
    support::{Ran, Scratch},
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The project with this at the end of its file.
fn telling(fields: &str, lineage: &str) -> Scratch {
    let scratch = project(fields);
    scratch.write(
        "floodmark.yaml",
        &format!("{}lineage: {{ namespace: shop, {lineage} }}\n", scratch.read("floodmark.yaml")),
    );
    scratch
}

fn events(scratch: &Scratch) -> Vec<Value> {
    let text = std::fs::read_to_string(scratch.path().join("lineage.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| format!("{} {}", event["job"]["name"].as_str().unwrap(), event["eventType"].as_str().unwrap()))
        .collect()
}

fn run(scratch: &Scratch, hook: &Hook, args: &[&str]) -> Ran {
    let mut command = scratch.command(args);
    command.env("LINEAGE", hook.url()).env("TOKEN", "hunter2");
    scratch.ran(&command.output().unwrap())
}

#[test]
fn every_run_is_told_of_in_a_file_and_to_a_server() {
    let hook = Hook::new(&[Says::Status(201)]);
    let scratch =
        telling("columns: { amount: bigint }", "url: \"${LINEAGE}\", token: \"${TOKEN}\", file: lineage.ndjson");
    assert_eq!(run(&scratch, &hook, &["run"]).code, 0);
    assert_eq!(run(&scratch, &hook, &["run"]).code, 0);
    scratch.write("data/2.csv", "id,amount,updated_at\n3,many,2026-01-03\n");
    assert_eq!(run(&scratch, &hook, &["run"]).code, 1);
    let filled = run(&scratch, &hook, &["backfill", "orders", "--from", "2025-01-01", "--to", "2025-01-02"]);
    assert_ne!(filled.code, 2, "{filled:?}");
    // What only looks, and trials on copies, are no runs.
    assert_eq!(run(&scratch, &hook, &["plan"]).code, 1);
    std::fs::remove_file(scratch.path().join("data/2.csv")).unwrap();
    let proven = run(&scratch, &hook, &["prove"]);
    assert_eq!(proven.code, 0, "{proven:?}");
    let told = events(&scratch);
    let kinds = kinds(&told);
    assert_eq!(
        kinds[..6],
        ["START", "COMPLETE", "START", "COMPLETE", "START", "FAIL"].map(|kind| format!("orders {kind}"))
    );
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    let posted: Vec<Value> = hook.posted().into_iter().map(|posted| posted.body).collect();
    assert_eq!(posted, told);
    assert!(hook.posted().iter().all(|posted| posted.headers.contains("authorization: bearer hunter2")));
    let first = &told[1];
    let run = scratch.json(&["runs", "orders", "--limit", "100"], 0).pop().unwrap();
    assert_eq!(first["run"]["runId"], run["run"]);
    assert_eq!(told[0]["run"]["runId"], run["run"]);
    let folder = std::fs::canonicalize(scratch.path()).unwrap();
    assert_eq!(first["inputs"][0]["name"].as_str().unwrap(), folder.join("data").to_str().unwrap());
    assert_eq!(first["outputs"][0]["name"].as_str().unwrap(), format!("{}:orders", folder.join("shop.db").display()));
    let schema = &first["outputs"][0]["facets"]["schema"]["fields"];
    assert_eq!((&schema[1]["name"], &schema[1]["type"]), (&"amount".into(), &"bigint".into()));
    assert_eq!(first["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"], 2);
    assert_eq!(first["run"]["facets"]["floodmark_watermark"]["after"], "2026-01-02");
    assert_eq!(told[3]["run"]["facets"]["floodmark_run"]["status"], "nothing_new");
    assert_eq!(told[3]["outputs"][0]["facets"]["schema"], first["outputs"][0]["facets"]["schema"]);
    let error = told[5]["run"]["facets"]["errorMessage"]["message"].as_str().unwrap();
    assert!(error.starts_with("FM0301 "), "{error}");
    assert!(!format!("{told:?}").contains("hunter2"));
}

#[test]
fn nobody_who_is_to_be_told_makes_a_load_fail() {
    let silent = Hook::new(&[Says::Nothing]);
    let broken = Hook::new(&[Says::Status(500)]);
    let scratch = telling("", "url: \"${LINEAGE}\"");
    for (hook, told) in [(&silent, "no answer within 3 s"), (&broken, "it answered 500")] {
        let began = Instant::now();
        let ran = run(&scratch, hook, &["run"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert!(ran.stderr.contains("not posted to `lineage`") && ran.stderr.contains(told), "{ran:?}");
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
    let unset = scratch.run(&["run"]);
    assert_eq!(unset.code, 0, "{unset:?}");
    assert!(unset.stderr.contains("runs are not told of by `lineage`: `${LINEAGE}` is not set"), "{unset:?}");
    let checked = scratch.run(&["check"]);
    assert!(checked.code == 0 && checked.stderr.contains("`lineage` cannot be posted from here"), "{checked:?}");
    let full = telling("", "file: /dev/full");
    let ran = full.run(&["run"]);
    assert!(ran.code == 0 && ran.stderr.contains("lineage cannot be written"), "{ran:?}");
}

#[test]
fn a_run_of_a_schedule_says_when_it_was_due() {
    let scratch = telling("schedule: \"@every 1s\"", "file: lineage.ndjson");
    let served = Served::start(&scratch, &[]);
    wait("a run", || (events(&scratch).len() >= 2).then_some(()));
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let told = events(&scratch);
    let due = told[0]["run"]["facets"]["nominalTime"]["nominalStartTime"].as_str().unwrap();
    assert!(due.ends_with(".000Z") && due <= told[0]["eventTime"].as_str().unwrap(), "{due}");
}
