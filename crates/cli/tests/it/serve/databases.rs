//! Projects whose ledgers lie in PostgreSQL and MariaDB: what is told of them, what is done, and what becomes of it where the
//! database is away.

mod away;
mod hosted;

use super::{FORM, Served, form, wait};
use crate::support::Scratch;
use hosted::{Hosted, SECRET};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

const ROWS: &str = "id,amount,updated_at\n1,100,2026-01-01\n2,200,2026-01-02\n";
const BAD: &str = "id,amount,updated_at\n7,many,2026-01-03\n8,9,2026-01-03\n";

/// The pipelines `orders` (files), `copied` (a table, after it), `strict` (fails over a bad row) and `lenient` (keeps it).
fn shop(url: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("data/1.csv", ROWS);
    scratch.write("bad/1.csv", BAD);
    scratch.write(
        "floodmark.yaml",
        &format!(
            r#"version: 1
connections: {{ shop: "{url}" }}
pipelines:
  orders:
    source: {{ files: "data/*.csv" }}
    destination: {{ connection: shop, table: orders }}
    key: id
    watermark: {{ column: updated_at, start: 2026-01-01 }}
    commit_every: 20000
  copied:
    source: {{ connection: shop, table: orders }}
    destination: {{ connection: shop, table: copied }}
    key: id
    watermark: updated_at
    after: orders
  strict:
    source: {{ files: "bad/*.csv" }}
    destination: {{ connection: shop, table: strict }}
    key: id
    columns: {{ amount: bigint }}
  lenient:
    source: {{ files: "bad/*.csv" }}
    destination: {{ connection: shop, table: lenient }}
    key: id
    columns: {{ amount: bigint }}
    on_bad_row: reject
"#
        ),
    );
    scratch
}

/// Presses a button of a page; returns where it led to.
fn press(served: &Served, page: &str, path: &str) -> String {
    let page = served.ask("GET", page, &[], "").body;
    assert!(page.contains(&format!("action=\"{path}\"")), "{path}: {page}");
    let pressed = served.ask("POST", path, &[FORM], &format!("form={}", form(&page)));
    assert_eq!(pressed.status, 303, "{}", pressed.body);
    let led = pressed.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    led.split('?').next().unwrap().to_owned()
}

fn count(hosted: &Hosted, table: &str) -> String {
    hosted.asked(&format!("SELECT count(*) FROM {table}")).remove(0)
}

#[test]
fn ledgers_are_read_told_and_worked_on_where_they_lie() {
    for hosted in Hosted::each() {
        let scratch = shop(&hosted.url());
        let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("FLOODMARK_LOG", "trace");
        let served = Served::by(command);
        served.until("orders", "its ledger", |orders| orders["read_at"].is_string());
        assert_eq!(served.get("/api/v1/pipelines/orders")["status"], "new");
        // A run by a button, and one that follows it.
        let job = press(&served, "/", "/pipelines/orders/run");
        assert_eq!(served.ended(job.strip_prefix("/jobs/").unwrap())["status"], "ok");
        let orders = served.until("orders", "its ledger", |orders| orders["status"] == "ok");
        assert_eq!(orders["watermark"]["value"], "2026-01-02", "{orders}");
        served.until("copied", "the run that follows", |copied| copied["status"] == "ok");
        assert_eq!((count(&hosted, "orders"), count(&hosted, "copied")), ("2".into(), "2".into()));
        // The API tells of a ledger what the command line does.
        let told = served.get("/api/v1/runs?pipeline=orders")["items"][0].clone();
        let listed = &scratch.json(&["runs", "orders"], 0)[0];
        for key in ["run", "status", "rows", "watermark", "seconds", "error"] {
            assert_eq!(told[key], listed[key], "{}: {key}", hosted.kind());
        }
        let run = told["run"].as_str().unwrap().to_owned();
        assert_eq!(served.get("/api/v1/pipelines/orders/state")["watermark"]["value"], "2026-01-02");
        assert_eq!(served.get("/api/v1/pipelines/orders/schema")["columns"].as_array().unwrap().len(), 3);
        assert_eq!(served.get("/api/v1/pipelines/orders/files")["items"].as_array().unwrap().len(), 1);
        let fill = r#"{"pipeline": "orders", "task": {"kind": "backfill", "from": "2025-11-01", "to": "2025-11-03"}}"#;
        // There is nothing of that time.
        assert_eq!(served.ended(&served.order(fill))["status"], "nothing_new");
        assert_eq!(served.get("/api/v1/pipelines/orders/intervals")["items"].as_array().unwrap().len(), 2);
        assert_eq!(served.get("/api/v1/pipelines/orders/coverage")["gaps"], 1);
        for (path, said) in [
            ("/".to_owned(), "2026-01-02"),
            ("/pipelines/orders".to_owned(), "What of its history is in"),
            (format!("/runs/{run}"), "2026-01-02"),
            ("/runs".to_owned(), "orders"),
        ] {
            let page = served.ask("GET", &path, &[], "");
            assert!(page.status == 200 && page.body.contains(said), "{path} {said}: {}", page.body);
        }
        // One that fails, with the page of its error.
        let job = served.order(r#"{"pipeline": "strict"}"#);
        assert_eq!(served.ended(&job)["status"], "failed");
        let strict = served.until("strict", "the failure", |strict| strict["status"] == "failed");
        let failed = strict["last_run"]["run"].as_str().unwrap();
        for path in ["/".to_owned(), "/pipelines/strict".to_owned(), format!("/runs/{failed}")] {
            let page = served.ask("GET", &path, &[], "").body;
            for said in ["/errors/FM0301", "What to do", "Retry"] {
                assert!(page.contains(said), "{path} {said}: {page}");
            }
        }
        // Rejects, and their replay by a button.
        assert_eq!(served.ended(&served.order(r#"{"pipeline": "lenient"}"#))["status"], "ok");
        served.until("lenient", "its reject", |lenient| lenient["rejects"] == 1);
        assert!(served.get("/api/v1/pipelines/lenient/rejects")["items"][0]["raw"].as_str().unwrap().contains("many"));
        let (bad, mended) = ("\"bad/*.csv\" }", "\"bad/*.csv\", null: many }");
        let lenient = scratch.read("floodmark.yaml").split_once("  lenient:").unwrap().1.replace(bad, mended);
        let others = scratch.read("floodmark.yaml").split_once("  lenient:").unwrap().0.to_owned();
        scratch.write("floodmark.yaml", &format!("{others}  lenient:{lenient}"));
        let job = press(&served, "/", "/pipelines/lenient/replay");
        assert_eq!(served.ended(job.strip_prefix("/jobs/").unwrap())["status"], "ok");
        served.until("lenient", "no rejects", |lenient| lenient["rejects"] == 0);
        assert_eq!(count(&hosted, "lenient"), "2");
        // What failed is put right by its button.
        scratch.write("bad/1.csv", &BAD.replace("many", "5"));
        let job = press(&served, "/", "/pipelines/strict/run");
        assert_eq!(served.ended(job.strip_prefix("/jobs/").unwrap())["status"], "ok");
        served.until("strict", "all to be well", |strict| strict["status"] == "ok");
        assert!(served.ask("GET", "/", &[], "").body.contains("All 4 tables are up to date"));
        // Of a source that is not there others are named that are somebody's.
        let missing = format!(
            "version: 1\npipelines:\n  m:\n    source: {{ url: \"{0}\", table: zzzzzzzz }}\n    destination: {{ url: \"{0}\", table: m }}\n    key: id\n",
            hosted.url()
        );
        scratch.write("missing.yaml", &missing);
        let said = scratch.run(&["--file", "missing.yaml", "run"]).stderr;
        assert!(said.contains("copied") && !said.contains("_floodmark_") && !said.contains(SECRET), "{said}");
        nothing_is_secret(&served, &scratch, &[&run, failed]);
        served.signal("TERM");
        assert_eq!(served.end(), Some(0));
    }
}

/// The password is on no page, in no answer, no stream and no file.
fn nothing_is_secret(served: &Served, scratch: &Scratch, runs: &[&str]) {
    let mut paths: Vec<String> =
        ["/", "/runs", "/alerts", "/help", "/metrics", "/api/v1/openapi.json"].map(str::to_owned).into();
    for path in ["project", "pipelines", "runs", "jobs", "alerts", "events?seconds=1"] {
        paths.push(format!("/api/v1/{path}"));
    }
    for name in ["orders", "copied", "strict", "lenient"] {
        paths.push(format!("/pipelines/{name}"));
        for path in ["", "/state", "/files", "/schema", "/coverage", "/intervals", "/rejects"] {
            paths.push(format!("/api/v1/pipelines/{name}{path}"));
        }
    }
    runs.iter().for_each(|run| paths.extend([format!("/runs/{run}"), format!("/api/v1/runs/{run}")]));
    for job in served.get("/api/v1/jobs")["items"].as_array().unwrap() {
        let id = job["id"].as_str().unwrap();
        paths.extend([format!("/jobs/{id}"), format!("/api/v1/jobs/{id}"), format!("/api/v1/jobs/{id}/events")]);
    }
    for path in paths {
        let answer = served.ask("GET", &path, &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.contains(SECRET) && !answer.head.contains(SECRET), "{path}: {}", answer.body);
    }
    let log = served.log();
    assert!(!log.contains(SECRET), "{log}");
    for file in ["serve.sqlite", "serve.sqlite-wal"] {
        let kept = std::fs::read(scratch.path().join(".floodmark").join(file)).unwrap_or_default();
        assert!(!kept.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{file}");
    }
}

/// Servers on two machines know of each other by the database alone.
#[test]
fn servers_in_two_folders_run_each_time_once() {
    for hosted in Hosted::each() {
        let every_second = |scratch: &Scratch| {
            let file = scratch.read("floodmark.yaml");
            scratch.write(
                "floodmark.yaml",
                &file.replace("    commit_every", "    schedule: \"* * * * * *\"\n    commit_every"),
            );
        };
        let folders = [shop(&hosted.url()), shop(&hosted.url())];
        folders.iter().for_each(every_second);
        let servers = [Served::start(&folders[0], &[]), Served::start(&folders[1], &[])];
        let runs = || folders[0].json(&["runs", "orders", "--limit", "1000"], 0);
        wait("some runs", || (runs().len() >= 8).then_some(()));
        servers.iter().for_each(|served| served.signal("TERM"));
        assert!(servers.into_iter().all(|served| served.end() == Some(0)));
        let mut by_second: BTreeMap<String, usize> = BTreeMap::new();
        for run in runs() {
            assert_ne!(run["status"], "failed", "{}: {run}", hosted.kind());
            *by_second.entry(run["started_at"].as_str().unwrap()[..19].to_owned()).or_default() += 1;
        }
        assert!(by_second.values().all(|runs| *runs == 1), "{}: {by_second:?}", hosted.kind());
        assert_eq!(count(&hosted, "orders"), "2");
    }
}

#[test]
fn what_goes_on_in_a_database_is_cancelled_and_gone_on_with() {
    for hosted in Hosted::each() {
        let scratch = shop(&hosted.url());
        super::large(&scratch);
        let served = Served::start(&scratch, &[]);
        let job = served.order(r#"{"pipeline": "orders"}"#);
        let running =
            served.until("orders", "the run", |orders| orders["jobs"][0]["progress"]["done"].as_u64() > Some(0));
        let page = served.ask("GET", "/", &[], "").body;
        assert!(page.contains("being loaded") && page.contains(&format!("/jobs/{job}/cancel")), "{running} {page}");
        press(&served, "/", &format!("/jobs/{job}/cancel"));
        let ended = served.ended(&job);
        assert!(["cancelled", "ok"].contains(&ended["status"].as_str().unwrap()), "{}: {ended}", hosted.kind());
        let read = |orders: &Value| orders["read_at"].as_str() >= ended["finished_at"].as_str();
        let orders = served.until("orders", "its ledger to be read again", read);
        let left = ["interrupted", "ok"].contains(&orders["last_run"]["status"].as_str().unwrap());
        assert!(left, "{}: {orders}", hosted.kind());
        let again = served.order(r#"{"pipeline": "orders"}"#);
        assert!(["ok", "nothing_new"].contains(&served.ended(&again)["status"].as_str().unwrap()));
        assert_eq!(count(&hosted, "orders"), "400000");
        let runs = scratch.json(&["runs", "orders"], 0);
        let inserted: u64 = runs.iter().map(|run| run["rows"]["inserted"].as_u64().unwrap()).sum();
        assert_eq!(inserted, 400_000 + 2 - 2, "{}", hosted.kind());
    }
}

/// However many pipelines there are, and however many people look at them.
#[test]
fn sessions_of_a_server_are_few() {
    for hosted in Hosted::each() {
        let scratch = Scratch::new();
        scratch.write("data/1.csv", ROWS);
        let mut file = format!("version: 1\nconnections: {{ shop: \"{}\" }}\npipelines:\n", hosted.url());
        for n in 0..50 {
            file.push_str(&format!(
                "  p{n}:\n    source: {{ files: \"data/*.csv\" }}\n    destination: {{ connection: shop, table: t{n} }}\n    key: id\n    schedule: \"@every 5s\"\n"
            ));
        }
        scratch.write("floodmark.yaml", &file);
        let served = Served::start(&scratch, &[]);
        let began = Instant::now();
        let (mut most, mut looked) = (0, 0);
        thread::scope(|scope| {
            let watch: Vec<_> = (0..12)
                .map(|who| {
                    let served = &served;
                    scope.spawn(move || {
                        while began.elapsed() < Duration::from_secs(8) {
                            let page = served.ask("GET", &format!("/pipelines/p{}", 4 * who), &[], "");
                            assert_eq!(page.status, 200);
                        }
                    })
                })
                .collect();
            while !watch.iter().all(thread::ScopedJoinHandle::is_finished) {
                (most, looked) = (most.max(hosted.sessions()), looked + 1);
            }
        });
        println!("{}: {most} sessions at most, in {looked} looks", hosted.kind());
        assert!(most > 0 && looked > 10, "{most} {looked}");
        // Two that read ledgers for pages, one that looks at all of them, and what two runs have.
        assert!(most <= 2 + 1 + 2 * 2, "{}: {most} sessions", hosted.kind());
    }
}
