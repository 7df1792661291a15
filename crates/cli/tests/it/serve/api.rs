//! What ledgers keep, by the API: the same as on the command line, page by page.

use super::{Served, project};
use crate::support::{Scratch, keys};
use serde_json::Value;

/// All pages of a list, each of at most two.
fn all(served: &Served, path: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("{path}{}limit=2{after}", if path.contains('?') { '&' } else { '?' }));
        let part = page["items"].as_array().unwrap();
        assert!(part.len() <= 2 && (!part.is_empty() || page["next"].is_null()), "{page}");
        items.extend(part.iter().cloned());
        match &page["next"] {
            Value::Null => return items,
            Value::String(next) => after = format!("&after={}", next.replace('/', "%2F")),
            next => after = format!("&after={next}"),
        }
    }
}

/// The project, whose rows with no number are set aside.
fn lenient() -> Scratch {
    let scratch = project("on_bad_row: reject\ncolumns: { amount: bigint }");
    for n in 2..=6 {
        scratch.write(
            &format!("data/{n}.csv"),
            &format!("id,amount,updated_at\n{n}0,many,2026-01-0{n}\n{n}1,7,2026-01-0{n}\n"),
        );
    }
    scratch
}

#[test]
fn rejects_are_told_page_by_page_and_replayed() {
    let scratch = lenient();
    scratch.ok(&["run"]);
    let served = Served::start(&scratch, &[]);
    let told = all(&served, "/api/v1/pipelines/orders/rejects");
    let listed = scratch.json(&["rejects", "list", "orders"], 0);
    assert_eq!((told.len(), listed.len()), (5, 5));
    for (told, listed) in told.iter().zip(&listed) {
        for key in keys(listed) {
            assert_eq!(told[key], listed[key], "{key}");
        }
        let one = served.get(&format!("/api/v1/pipelines/orders/rejects/{}", told["id"]));
        assert_eq!(one, *told);
    }
    assert_eq!(served.get("/api/v1/pipelines/orders/rejects")["total"], 5);
    assert_eq!(served.get("/api/v1/pipelines/orders/state")["rejects"], 5);
    for n in 2..=6 {
        scratch.write(
            &format!("data/{n}.csv"),
            &format!("id,amount,updated_at\n{n}0,9,2026-01-0{n}\n{n}1,7,2026-01-0{n}\n"),
        );
    }
    let answer = served.post("/api/v1/pipelines/orders/rejects/replay", "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    let job = served.ended(answer.json()["id"].as_str().unwrap());
    assert_eq!(job["task"]["kind"], "replay", "{job}");
    for (path, status) in [("0", 404), ("-9223372036854775808", 404), ("many", 400), ("replay", 405)] {
        let answer = served.ask("GET", &format!("/api/v1/pipelines/orders/rejects/{path}"), &[], "");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

/// A row may be as long as a file: a list has its beginning.
#[test]
fn of_a_long_row_a_list_has_the_beginning() {
    let scratch = project("on_bad_row: reject\ncolumns: { amount: bigint }");
    let long = "ü".repeat(5000);
    scratch.write("data/2.csv", &format!("id,amount,updated_at\n3,{long},2026-01-03\n"));
    scratch.ok(&["run"]);
    let served = Served::start(&scratch, &[]);
    let listed = served.get("/api/v1/pipelines/orders/rejects")["items"][0].clone();
    assert_eq!((listed["raw"].as_str().unwrap().chars().count(), &listed["whole"]), (1000, &Value::Bool(false)));
    let one = served.get(&format!("/api/v1/pipelines/orders/rejects/{}", listed["id"]));
    assert!(one["raw"].as_str().unwrap().contains(&long) && one["whole"] == true, "{one}");
}

#[test]
fn what_of_a_history_is_in_is_told_with_its_gaps() {
    let scratch = project("");
    let begun = "watermark: { column: updated_at, start: 2026-01-01 }";
    scratch.write("floodmark.yaml", &scratch.read("floodmark.yaml").replace("watermark: updated_at", begun));
    let served = Served::start(&scratch, &[]);
    let empty = served.get("/api/v1/pipelines/orders/coverage");
    assert_eq!((&empty["column"], &empty["range"], &empty["gaps"]), (&Value::Null, &Value::Null, &0.into()));
    scratch.ok(&["run"]);
    for (from, to) in [("2025-11-01", "2025-11-02"), ("2025-11-04", "2025-11-05"), ("2025-11-07", "2025-11-09")] {
        scratch.ok(&["backfill", "orders", "--from", from, "--to", to]);
    }
    let told = all(&served, "/api/v1/pipelines/orders/intervals");
    let exported = scratch.ok(&["state", "export", "orders"]);
    assert_eq!(told.len(), 4, "{told:?}");
    for interval in &told {
        assert!(exported.contains(interval["from"].as_str().unwrap()), "{interval}");
    }
    let coverage = served.get("/api/v1/pipelines/orders/coverage");
    assert_eq!((&coverage["column"], &coverage["type"]), (&"updated_at".into(), &"date".into()));
    assert_eq!((&coverage["start"], &coverage["watermark"]), (&"2026-01-01".into(), &"2026-01-02".into()));
    let gaps = coverage["missing"].as_array().unwrap();
    assert_eq!((gaps.len(), &coverage["gaps"]), (3, &3.into()));
    assert_eq!((&gaps[0]["from"], &gaps[0]["to"]), (&"2025-11-02".into(), &"2025-11-04".into()));
}

#[test]
fn state_files_and_columns_are_told_with_their_history() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    assert_eq!(served.get("/api/v1/pipelines/orders/state")["known"], false);
    assert_eq!(served.get("/api/v1/pipelines/orders/schema")["columns"], Value::Array(Vec::new()));
    scratch.ok(&["run"]);
    assert_eq!(served.get("/api/v1/pipelines/orders/schema")["changed_at"], Value::Null);
    scratch.write("data/a 2.csv", "id,amount,updated_at,note\n3,1.5,2026-01-03,hello\n");
    scratch.ok(&["run"]);
    scratch.write("data/3.csv", "id,amount,updated_at\n4,7,2026-01-04\n");
    scratch.ok(&["run"]);
    let state = served.get("/api/v1/pipelines/orders/state");
    let shown = scratch.one(&["state", "show", "orders"]);
    for key in ["pipeline", "known", "table", "watermark", "pending", "token"] {
        assert_eq!(state[key], shown[key], "{key}");
    }
    let files = all(&served, "/api/v1/pipelines/orders/files");
    assert_eq!(Value::Array(files.clone()), shown["files"]);
    assert_eq!((&state["files"], &state["unfinished"]), (&3.into(), &0.into()));
    let schema = served.get("/api/v1/pipelines/orders/schema");
    let columns = shown["schema"].as_array().unwrap();
    assert_eq!((columns.len(), &state["columns"]), (4, &4.into()));
    for (told, shown) in schema["columns"].as_array().unwrap().iter().zip(columns) {
        assert_eq!((&told["name"], &told["type"]), (&shown["name"], &shown["type"]));
    }
    let changes = schema["changes"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        changes.iter().map(|c| (c["column"].as_str().unwrap(), c["kind"].as_str().unwrap())).collect();
    assert_eq!(told, [("amount", "retyped"), ("note", "added")]);
    assert_eq!(changes[0]["from"], "bigint");
    // Of the run that brought the column, not of the one after it.
    let runs = served.get("/api/v1/runs?pipeline=orders")["items"].clone();
    assert_eq!(changes[1]["run"], runs[1]["run"]);
    assert!(schema["changed_at"].is_string());
    // Whatever was is forgotten, and so is how it came.
    scratch.ok(&["run", "--full-refresh", "--yes"]);
    let schema = served.get("/api/v1/pipelines/orders/schema");
    assert_eq!((schema["columns"].as_array().unwrap().len(), &schema["changes"]), (4, &Value::Array(Vec::new())));
}

/// Far behind what is at hand.
#[test]
fn all_runs_of_a_ledger_are_told_page_by_page() {
    let scratch = project("");
    for _ in 0..7 {
        scratch.ok(&["run"]);
    }
    let served = Served::start(&scratch, &[]);
    for path in ["/api/v1/runs", "/api/v1/runs?pipeline=orders"] {
        let told = all(&served, path);
        let listed = scratch.json(&["runs", "--limit", "100"], 0);
        let ids = |runs: &[Value]| runs.iter().map(|run| run["run"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&told), ids(&listed), "{path}");
        assert_eq!(served.get(&format!("/api/v1/runs/{}", told[3]["run"].as_str().unwrap())), told[3]);
    }
    let well = all(&served, "/api/v1/runs?status=ok");
    assert_eq!((well.len(), all(&served, "/api/v1/runs?status=nothing_new").len()), (1, 6));
    for (path, status) in [
        ("/api/v1/runs?status=fine", 400),
        ("/api/v1/runs?limit=0", 400),
        ("/api/v1/runs?limit=1001", 400),
        ("/api/v1/runs?after=none", 404),
        ("/api/v1/runs/%00", 404),
        ("/api/v1/runs/%ff", 400),
        ("/api/v1/pipelines/orders/intervals?after=-1", 400),
    ] {
        let answer = served.ask("GET", path, &[], "");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
    }
}

/// Of a pipeline that is not known, or that the file does not let run, nothing is told but why.
#[test]
fn a_pipeline_that_cannot_be_read_says_why() {
    let scratch = project("");
    scratch.write(
        "floodmark.yaml",
        &format!(
            "{}  away:\n    source: {{ url: \"postgres://app:hunter2@127.0.0.1:1/shop\", table: a }}\n    destination: {{ url: \"postgres://app:hunter2@127.0.0.1:1/shop\", table: b }}\n    key: id\n",
            scratch.read("floodmark.yaml")
        ),
    );
    let served = Served::start(&scratch, &[]);
    for path in ["state", "files", "schema", "coverage", "intervals", "rejects", "rejects/1"] {
        assert_eq!(served.ask("GET", &format!("/api/v1/pipelines/ordres/{path}"), &[], "").status, 404, "{path}");
        let answer = served.ask("GET", &format!("/api/v1/pipelines/away/{path}"), &[], "");
        assert_eq!(answer.status, 502, "{path}: {}", answer.body);
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    // One that cannot be read hides no other.
    scratch.ok(&["run", "orders"]);
    assert_eq!(served.get("/api/v1/runs")["items"].as_array().unwrap().len(), 1);
    assert_eq!(served.ask("GET", "/api/v1/runs?pipeline=away", &[], "").status, 502);
}
