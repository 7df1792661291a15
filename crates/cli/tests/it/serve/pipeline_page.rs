//! The page of a pipeline: its lines in the file, how its columns changed, and what failed and can be done once more.

use super::{FORM, Served, form, project, wait};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

/// What stands on it of a section.
fn section(page: &str, id: &str) -> String {
    let rest = page.split_once(&format!("<section id=\"{id}\"")).map(|(_, rest)| rest).unwrap_or_default();
    rest.split("</section>").next().unwrap_or_default().to_owned()
}

#[test]
fn a_backfill_that_failed_is_done_once_more_by_a_button() {
    let scratch = project("columns: { amount: bigint }");
    let served = Served::start(&scratch, &[]);
    served.ended(&served.order(r#"{"pipeline": "orders"}"#));
    scratch.write("data/old.csv", "id,amount,updated_at\n9,many,2025-11-01\n");
    let fill = r#"{"pipeline": "orders", "task": {"kind": "backfill", "from": "2025-11-01", "to": "2025-11-03"}}"#;
    let failed = served.order(fill);
    let ended = served.ended(&failed);
    assert_eq!(ended["status"], "failed");
    // What is new is loaded all the same: the pipeline is well.
    let read = |orders: &Value| orders["read_at"].as_str() >= ended["finished_at"].as_str();
    let orders = served.until("orders", "its ledger to be read again", read);
    assert_eq!((&orders["status"], &orders["last_run"]["status"]), (&"ok".into(), &"ok".into()), "{orders}");
    let page = served.ask("GET", "/pipelines/orders", &[], "").body;
    for said in ["The last backfill failed", "backfill from 2025-11-01 to 2025-11-03", "FM0301", "What to do"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let path = format!("/jobs/{failed}/retry");
    assert!(page.contains(&format!("action=\"{path}\"")), "{page}");
    assert!(served.ask("GET", &format!("/jobs/{failed}"), &[], "").body.contains(&path));
    // So does the overview, which has the same button, and where the value stands.
    let overview = served.ask("GET", "/", &[], "").body;
    for said in ["1 has a backfill that is not done", "Retry backfill", "2025-11-03 failed: ", "data/old.csv:2", &path]
    {
        assert!(overview.contains(said), "{said}: {overview}");
    }
    // A form of elsewhere does nothing, and what goes on or never was is not done once more.
    assert_eq!(served.ask("POST", &path, &[FORM], "form=0").status, 403);
    assert_eq!(served.post("/api/v1/jobs/none/retry", "").status, 404);
    scratch.write("data/old.csv", "id,amount,updated_at\n9,7,2025-11-01\n");
    let pressed = served.ask("POST", &path, &[FORM], &format!("form={}", form(&page)));
    assert_eq!(pressed.status, 303, "{}", pressed.body);
    let led = pressed.head.lines().find_map(|line| line.strip_prefix("location: /jobs/")).unwrap().to_owned();
    let again = served.ended(led.split('?').next().unwrap());
    assert_eq!((&again["status"], &again["task"]["from"]), (&"ok".into(), &"2025-11-01".into()), "{again}");
    let page = served.ask("GET", "/pipelines/orders", &[], "").body;
    assert!(!page.contains("The last backfill failed"), "{page}");
    assert!(served.ask("GET", "/", &[], "").body.contains("The table is up to date."));
}

#[test]
fn the_lines_of_the_file_stand_on_the_page_with_what_is_wrong_and_no_secret() {
    let scratch = project("");
    let file = scratch.read("floodmark.yaml");
    let away = "  away:\n    source: { url: \"postgres:\\/\\/app:hunter2@127.0.0.1:1/shop\", table: a }\n    destination: { url: \"postgres://app:${PW}@127.0.0.1:1/shop\", table: b }\n    key: id\n    watermark:\n      column: at\n      boundary: exclusive\n";
    scratch.write("floodmark.yaml", &format!("{file}{away}"));
    let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("PW", "s3cret-s3cret");
    let served = Served::by(command);
    let lines = section(&served.ask("GET", "/pipelines/away", &[], "").body, "file");
    let first = 1 + file.lines().count();
    assert!(lines.contains(&format!(">{first}</th>")) && lines.contains("${PW}"), "{lines}");
    for secret in ["hunter2", "s3cret"] {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
    // A warning stands below its line.
    let warned = lines.split("exclusive-boundary").next().unwrap();
    assert!(warned.contains("boundary: exclusive") && warned.contains(&format!(">{}</th>", first + 6)), "{lines}");
    // Whoever listens hears that the file has mistakes, and that it has none any more.
    let mut events = TcpStream::connect(&served.address).unwrap();
    let request = format!("GET /api/v1/events?seconds=60 HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    events.write_all(request.as_bytes()).unwrap();
    let mut events = BufReader::new(events);
    let mut heard = || {
        let mut line = String::new();
        while !line.starts_with("event: project") {
            line.clear();
            assert!(events.read_line(&mut line).unwrap() > 0, "the stream ended");
        }
        line.clear();
        events.read_line(&mut line).unwrap();
        line
    };
    scratch.write("floodmark.yaml", &format!("{file}{}", away.replace("boundary: exclusive", "bondary: exclusive")));
    assert!(heard().contains("bondary"));
    wait("the mistakes", || served.get("/api/v1/project")["mistakes"].as_str().map(str::to_owned));
    let lines = section(&served.ask("GET", "/pipelines/away", &[], "").body, "file");
    assert!(lines.contains("/errors/FM0102") && lines.contains("did you mean"), "{lines}");
    let others = section(&served.ask("GET", "/pipelines/orders", &[], "").body, "file");
    assert!(others.contains("key: id") && !others.contains("FM0102"), "{others}");
    scratch.write("floodmark.yaml", &file);
    assert!(heard().contains("\"mistakes\":null"));
}

#[test]
fn how_columns_changed_stands_on_the_page() {
    let scratch = project("");
    scratch.ok(&["run"]);
    scratch.write("data/2.csv", "id,amount,updated_at,<i>note\n3,1.5,2026-01-03,hello\n");
    scratch.ok(&["run"]);
    let served = Served::start(&scratch, &[]);
    let run = served.until("orders", "its ledger", |orders| orders["last_run"].is_object())["last_run"]["run"].clone();
    let columns = section(&served.ask("GET", "/pipelines/orders", &[], "").body, "columns");
    for said in ["How they changed", "bigint → decimal", "new, text", &format!("/runs/{}", run.as_str().unwrap())] {
        assert!(columns.contains(said), "{said}: {columns}");
    }
    assert!(!columns.contains("<i>"), "{columns}");
}
