//! `serve`: real servers, real processes, real requests.

#![cfg(unix)]

mod api;
mod databases;
mod pipeline_page;

use crate::support::Scratch;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// Nothing here takes longer on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with its test.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    /// What it says to whoever looks at its log.
    said: Arc<Mutex<String>>,
    /// Its temporary folder: one that is killed leaves something there.
    _temporary: tempfile::TempDir,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.head, self.body))
    }
}

impl Served {
    pub(crate) fn start(scratch: &Scratch, args: &[&str]) -> Served {
        Served::by(scratch.command(&[&["serve", "--listen", "127.0.0.1:0"], args].concat()))
    }

    pub(crate) fn by(mut command: Command) -> Served {
        let temporary = tempfile::tempdir().unwrap();
        if !command.get_envs().any(|(name, _)| name == "TMPDIR") {
            command.env("TMPDIR", temporary.path());
        }
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::default();
        let mut served = Served { child, address: String::new(), said, _temporary: temporary };
        let mut err = BufReader::new(served.child.stderr.take().unwrap());
        let mut said = String::new();
        while err.read_line(&mut said).unwrap() > 0 {
            if let Some(at) = said.find("serving at http://") {
                said[at + "serving at http://".len()..].trim().clone_into(&mut served.address);
                let log = Arc::clone(&served.said);
                *log.lock().unwrap() = said;
                thread::spawn(move || {
                    let mut line = String::new();
                    while err.read_line(&mut line).is_ok_and(|n| n > 0) {
                        log.lock().unwrap().push_str(&std::mem::take(&mut line));
                    }
                });
                return served;
            }
        }
        panic!("it does not serve: {said}");
    }

    /// What it has logged so far.
    fn log(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Where it is, as `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = if headers.iter().any(|(name, _)| *name == "host") {
            String::new()
        } else {
            format!("host: {}\r\n", self.address)
        };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body)
    }

    fn pipeline(&self, name: &str) -> Value {
        self.get(&format!("/api/v1/pipelines/{name}"))
    }

    /// The pipeline, once it is so.
    pub(crate) fn until(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait(what, || Some(self.pipeline(name)).filter(&is))
    }

    /// A piece of work, once it has ended.
    pub(crate) fn ended(&self, job: &str) -> Value {
        let path = format!("/api/v1/jobs/{job}");
        wait("its end", || Some(self.get(&path)).filter(|job| !job["finished_at"].is_null()))
    }

    /// Asks for work; returns its id.
    pub(crate) fn order(&self, body: &str) -> String {
        let answer = self.post("/api/v1/jobs", body);
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; returns the exit code, where it was no signal.
    pub(crate) fn end(mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A project with the pipeline `orders` over a few rows, and these fields.
pub(crate) fn project(fields: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("data/1.csv", "id,amount,updated_at\n1,100,2026-01-01\n2,200,2026-01-02\n");
    let fields: String = fields.lines().map(|line| format!("    {line}\n")).collect();
    scratch.write(
        "floodmark.yaml",
        &format!(
            "version: 1\nconnections: {{ shop: \"sqlite:///shop.db\" }}\npipelines:\n  orders:\n    source: {{ files: \"data/*.csv\" }}\n    destination: {{ connection: shop, table: orders }}\n    key: id\n    watermark: updated_at\n{fields}"
        ),
    );
    scratch
}

/// A file that takes a while to load, in small commits.
pub(crate) fn large(scratch: &Scratch) {
    let mut rows = String::from("id,amount,updated_at\n");
    (0..400_000).for_each(|id| rows.push_str(&format!("{id},{id},2026-02-01\n")));
    scratch.write("data/large.csv", &rows);
}

fn runs(scratch: &Scratch) -> Vec<Value> {
    scratch.json(&["runs", "orders", "--limit", "1000"], 0)
}

#[test]
fn a_schedule_loads_what_is_new_and_the_api_says_so() {
    let scratch = project("schedule: \"* * * * * *\"");
    let served = Served::start(&scratch, &[]);
    let orders = served.until("orders", "the first run", |orders| orders["status"] == "ok");
    assert_eq!(orders["watermark"]["value"], "2026-01-02");
    assert_eq!(orders["loaded_until"], "2026-01-03T00:00:00Z");
    assert!(orders["destination"].as_str().unwrap().ends_with("/shop.db"));
    assert!(orders["next_run"].as_str().unwrap() > orders["last_run"]["started_at"].as_str().unwrap());
    scratch.write("data/2.csv", "id,amount,updated_at\n3,300,2026-01-03\n");
    served.until("orders", "the next file", |orders| orders["watermark"]["value"] == "2026-01-03");
    assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-3-"));
    assert_eq!(served.ask("GET", "/healthz", &[], "").status, 200);
    assert_eq!(served.ask("GET", "/readyz", &[], "").status, 200);
    // The keys of a run are those of the command line, with the same values.
    let told = served.get("/api/v1/runs?pipeline=orders&limit=1000");
    let told: BTreeMap<&str, &Value> =
        told["items"].as_array().unwrap().iter().map(|run| (run["run"].as_str().unwrap(), run)).collect();
    for run in runs(&scratch) {
        let Some(told) = told.get(run["run"].as_str().unwrap()) else { continue };
        for key in ["pipeline", "status", "load", "rows", "watermark", "seconds", "error"] {
            assert_eq!(told[key], run[key], "{key}");
        }
    }
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
}

#[test]
fn two_servers_on_one_project_run_each_time_once() {
    let scratch = project("schedule: \"* * * * * *\"");
    let (one, other) = (Served::start(&scratch, &[]), Served::start(&scratch, &[]));
    wait("some runs", || (scratch.path().join("shop.db").exists() && runs(&scratch).len() >= 8).then_some(()));
    [&one, &other].iter().for_each(|served| served.signal("TERM"));
    assert_eq!((one.end(), other.end()), (Some(0), Some(0)));
    let mut by_second: BTreeMap<String, usize> = BTreeMap::new();
    for run in runs(&scratch) {
        assert_ne!(run["status"], "failed", "{run}");
        *by_second.entry(run["started_at"].as_str().unwrap()[..19].to_owned()).or_default() += 1;
    }
    assert!(by_second.values().all(|runs| *runs == 1), "{by_second:?}");
}

/// Huge pages are for loads: a server takes half as much memory again with them.
#[cfg(target_os = "linux")]
#[test]
fn a_server_does_without_huge_pages_and_its_runs_have_them() {
    let scratch = project("commit_every: 20000");
    large(&scratch);
    let served = Served::start(&scratch, &[]);
    let has = |process: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).unwrap().trim() == "1"
    };
    let server = served.child.id().to_string();
    assert!(!has(&server));
    let job = served.order(r#"{"pipeline": "orders"}"#);
    served.until("orders", "the run", |orders| orders["jobs"][0]["progress"]["done"].as_u64() > Some(0));
    let tasks = std::fs::read_dir(format!("/proc/{server}/task")).unwrap();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<String> =
        children.flat_map(|all| all.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let runs: Vec<&String> = children.iter().filter(|child| !child.is_empty()).collect();
    assert!(runs.len() == 1 && has(runs[0]), "{runs:?}");
    served.ended(&job);
}

/// Whatever dies, and when: what was due is loaded by the next server, once.
#[test]
fn a_server_that_is_killed_in_the_middle_of_a_run_loses_nothing() {
    for forgets in [false, true] {
        let scratch = project("schedule: \"@every 1s\"\ncommit_every: 20000");
        large(&scratch);
        let served = Served::start(&scratch, &[]);
        let orders =
            served.until("orders", "the run", |orders| orders["jobs"][0]["progress"]["done"].as_u64() > Some(0));
        assert_eq!(orders["status"], "running");
        served.signal("KILL");
        assert_eq!(served.end(), None);
        if forgets {
            std::fs::remove_dir_all(scratch.path().join(".floodmark")).unwrap();
        }
        let served = Served::start(&scratch, &[]);
        served.until("orders", "its end", |orders| orders["last_run"]["status"] == "nothing_new");
        assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-400000-"));
        let inserted: u64 = runs(&scratch).iter().map(|run| run["rows"]["inserted"].as_u64().unwrap()).sum();
        assert_eq!(inserted, 400_000);
    }
}

#[test]
fn a_server_that_is_told_to_stop_takes_its_runs_along_and_the_next_one_goes_on() {
    let scratch = project("commit_every: 20000");
    large(&scratch);
    let served = Served::start(&scratch, &[]);
    let job = served.order(r#"{"pipeline": "orders"}"#);
    served.until("orders", "the run", |orders| orders["jobs"][0]["progress"]["done"].as_u64() > Some(0));
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let left = runs(&scratch);
    // On a quick machine it may have been done already.
    assert!(["interrupted", "ok"].contains(&left[0]["status"].as_str().unwrap()), "{left:?}");
    let served = Served::start(&scratch, &[]);
    if left[0]["status"] == "interrupted" {
        assert_eq!(served.get(&format!("/api/v1/jobs/{job}"))["status"], "stopped");
    }
    let again = served.order(r#"{"pipeline": "orders", "task": {"kind": "run"}}"#);
    assert_eq!(served.ended(&again)["result"]["rows"]["rejected"], 0);
    assert!(scratch.fingerprint("sqlite:///shop.db", "orders").starts_with("fm1-400000-"));
}

#[test]
fn what_goes_on_can_be_cancelled_and_a_pipeline_paused() {
    let scratch = project("schedule: \"@every 1s\"\ncommit_every: 20000");
    large(&scratch);
    let served = Served::start(&scratch, &[]);
    let orders = served.until("orders", "the run", |orders| orders["status"] == "running");
    assert!(served.post("/api/v1/pipelines/orders/pause", "").json()["paused_since"].is_string());
    let job = orders["jobs"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(served.post(&format!("/api/v1/jobs/{job}/cancel"), "").status, 202);
    let ended = served.ended(&job);
    assert!(["cancelled", "ok"].contains(&ended["status"].as_str().unwrap()), "{ended}");
    thread::sleep(Duration::from_millis(2500));
    let before = runs(&scratch).len();
    assert_eq!(served.pipeline("orders")["next_run"], Value::Null);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(runs(&scratch).len(), before, "it is paused");
    // Another server remembers it.
    drop(served);
    let served = Served::start(&scratch, &[]);
    assert!(served.pipeline("orders")["paused_since"].is_string());
    served.post("/api/v1/pipelines/orders/resume", "");
    served.until("orders", "a run", |orders| orders["last_run"]["status"] == "nothing_new");
}

#[test]
fn a_failure_is_told_with_its_reason_and_mended_by_one_request() {
    let scratch = project("schedule: \"@every 1s\"\nretries: 1\nretry_delay: 500ms");
    scratch.write("data/2.csv", "id,amount,updated_at\n3,many,2026-01-03\n");
    scratch.write(
        "floodmark.yaml",
        &scratch.read("floodmark.yaml").replace("key: id", "key: id\n    columns: { amount: bigint }"),
    );
    let served = Served::start(&scratch, &[]);
    let orders = served.until("orders", "the failure", |orders| orders["status"] == "failed");
    assert!(orders["message"].as_str().unwrap().starts_with("FM0301"), "{orders}");
    scratch.write("data/2.csv", "id,amount,updated_at\n3,300,2026-01-03\n");
    let job = served.ended(&served.order(r#"{"pipeline": "orders"}"#));
    assert!(["ok", "nothing_new", "busy"].contains(&job["status"].as_str().unwrap()), "{job}");
    served.until("orders", "all to be well", |orders| orders["status"] == "ok");
}

#[test]
fn a_pipeline_follows_another_one() {
    let scratch = project("");
    scratch.write(
        "floodmark.yaml",
        &format!(
            "{}  report:\n    source: {{ connection: shop, table: orders }}\n    destination: {{ url: \"sqlite:///report.db\", table: report }}\n    key: id\n    after: orders\n",
            scratch.read("floodmark.yaml")
        ),
    );
    let served = Served::start(&scratch, &[]);
    served.order(r#"{"pipeline": "orders"}"#);
    served.until("report", "the run that follows", |report| report["status"] == "ok");
    assert_eq!(served.get("/api/v1/jobs?pipeline=report")["items"][0]["cause"]["kind"], "after");
}

#[test]
fn a_file_that_is_changed_counts_and_one_with_mistakes_does_not() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    let good = scratch.read("floodmark.yaml");
    scratch.write("floodmark.yaml", &good.replace("key: id", "kee: id"));
    wait("the mistakes", || served.get("/api/v1/project")["mistakes"].as_str().map(str::to_owned));
    assert_eq!(served.pipeline("orders")["status"], "new");
    scratch.write("floodmark.yaml", &good.replace("  orders:", "  sales:"));
    wait("the other name", || (served.ask("GET", "/api/v1/pipelines/sales", &[], "").status == 200).then_some(()));
    assert_eq!(served.get("/api/v1/project")["mistakes"], Value::Null);
}

#[test]
fn nobody_is_let_in_without_the_token_and_no_other_site_changes_anything() {
    let scratch = project("");
    let open = scratch.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.code, 2, "{open:?}");
    assert!(open.stderr.contains("needs a token"), "{open:?}");
    let unset = scratch.run(&["serve", "--token-env", "NOT_THERE"]);
    assert!(unset.code == 2 && unset.stderr.contains("NOT_THERE holds no token"), "{unset:?}");
    let token = "a-token-that-nobody-guesses";
    let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0", "--token-env", "TOKEN"]);
    command.env("TOKEN", token);
    let served = Served::by(command);
    let bearer = format!("Bearer {token}");
    for path in ["/api/v1/pipelines", "/api/v1/runs", "/api/v1/nothing", "/", "/metrics"] {
        assert_eq!(served.ask("GET", path, &[], "").status, 401, "{path}");
        assert_eq!(served.ask("GET", path, &[("authorization", "Bearer wrong")], "").status, 401, "{path}");
    }
    assert_eq!(served.ask("POST", "/api/v1/jobs", &[], r#"{"pipeline": "orders"}"#).status, 401);
    assert_eq!(served.ask("GET", "/healthz", &[], "").status, 200);
    let well = [("authorization", bearer.as_str())];
    assert_eq!(served.ask("GET", "/api/v1/pipelines", &well, "").status, 200);
    // The name of another site that leads here, and a page of another site.
    assert_eq!(served.ask("GET", "/api/v1/pipelines", &[well[0], ("host", "evil.example")], "").status, 421);
    for from in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = served.ask("POST", "/api/v1/pipelines/orders/pause", &[well[0], from], "");
        assert_eq!(answer.status, 403, "{from:?}: {}", answer.body);
    }
    let answer = served.ask("GET", "/api/v1/pipelines", &well, "");
    for header in
        ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(answer.head.contains(header), "{header}: {}", answer.head);
    }
    assert!(!answer.body.contains(token));
}

#[test]
fn odd_requests_are_answered_with_what_is_wrong() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    let json = ("content-type", "application/json");
    for (method, path, headers, body, status) in [
        ("GET", "/api/v1/pipelines/..%2F..%2Fetc%2Fpasswd", &[][..], "", 404),
        ("GET", "/api/v1/pipelines/%00", &[], "", 404),
        ("GET", "/api/v1/runs?limit=many", &[], "", 400),
        ("GET", "/api/v1/runs?lmit=1", &[], "", 400),
        ("GET", "/api/v1/runs?pipeline=%27%3B+DROP+TABLE+orders", &[], "", 404),
        ("POST", "/api/v1/jobs", &[json], "{", 400),
        ("POST", "/api/v1/jobs", &[json], r#"{"pipeline": "ordres"}"#, 404),
        ("POST", "/api/v1/jobs", &[json], r#"{"pipeline": "orders", "task": {"kind": "drop"}}"#, 422),
        ("POST", "/api/v1/jobs", &[json], r#"{"pipeline": "orders", "task": {"kind": "backfill"}}"#, 422),
        ("POST", "/api/v1/jobs", &[("content-type", "text/plain")], r#"{"pipeline": "orders"}"#, 415),
        ("POST", "/api/v1/jobs/none/cancel", &[], "", 404),
        ("DELETE", "/api/v1/runs", &[], "", 405),
    ] {
        let answer = served.ask(method, path, headers, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
    }
    let large = format!(r#"{{"pipeline": "{}"}}"#, "x".repeat(100_000));
    assert_eq!(served.ask("POST", "/api/v1/jobs", &[json], &large).status, 413);
}

/// The secret that forms of a page bring.
pub(crate) fn form(page: &str) -> String {
    let at = page.find("name=\"form\" value=\"").unwrap() + "name=\"form\" value=\"".len();
    page[at..].split('"').next().unwrap().to_owned()
}

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn the_overview_says_what_failed_and_why_and_its_button_puts_it_right() {
    let scratch = project("");
    scratch.write(
        "floodmark.yaml",
        &scratch.read("floodmark.yaml").replace("key: id", "key: id\n    columns: { amount: bigint }"),
    );
    scratch.write("data/2.csv", "id,amount,updated_at\n3,<b>many</b>,2026-01-03\n");
    let served = Served::start(&scratch, &[]);
    let page = served.ask("GET", "/", &[], "");
    assert!(page.body.contains("never run"), "{}", page.body);
    let body = format!("form={}", form(&page.body));
    let pressed = served.ask("POST", "/pipelines/orders/run", &[FORM], &body);
    assert_eq!(pressed.status, 303, "{}", pressed.body);
    served.until("orders", "the failure", |orders| orders["status"] == "failed");
    let page = served.ask("GET", "/", &[], "");
    assert!(page.body.contains("0 of 1 tables are up to date") && page.body.contains("Retry"), "{}", page.body);
    assert!(page.body.contains("FM0301"), "{}", page.body);
    assert!(!page.body.contains("<b>many"), "a value became markup: {}", page.body);
    let run = served.pipeline("orders")["last_run"]["run"].as_str().unwrap().to_owned();
    let told = served.ask("GET", &format!("/runs/{run}"), &[], "");
    // What the process said of the data and of what to do, and where more is said.
    for said in ["The data", "What to do", "<code>on_bad_row: reject</code>", "href=\"/errors/FM0301\""] {
        assert!(told.body.contains(said), "{said}: {}", told.body);
    }
    assert!(served.ask("GET", "/errors/FM0301", &[], "").body.contains("What state your data is in"));
    assert_eq!(served.ask("GET", "/errors/FM9999", &[], "").status, 404);
    scratch.write("data/2.csv", "id,amount,updated_at\n3,300,2026-01-03\n");
    served.ask("POST", "/pipelines/orders/run", &[FORM], &body);
    served.until("orders", "all to be well", |orders| orders["status"] == "ok");
    let page = served.ask("GET", "/", &[], "");
    assert!(page.body.contains("The table is up to date") && page.body.contains("2026-01-03"), "{}", page.body);
    for path in ["/pipelines/orders", "/runs", "/help", "/?q=ord&is=ok"] {
        let answer = served.ask("GET", path, &[], "");
        assert!(answer.status == 200 && answer.body.contains("orders") || path == "/help", "{path}: {}", answer.body);
        // What the policy does not let in is not there.
        assert!(!answer.body.contains(" style=") && !answer.body.contains("<script>"), "{path}");
    }
    let assets: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 3, "{assets:?}");
    for path in assets {
        let answer = served.ask("GET", path, &[], "");
        assert!(answer.status == 200 && answer.head.contains("immutable"), "{path}: {}", answer.head);
    }
    assert_eq!(served.ask("GET", "/assets/app.css", &[], "").status, 404);
    let nowhere = served.ask("GET", "/nowhere", &[], "");
    assert!(nowhere.status == 404 && nowhere.body.contains("There is no such page"), "{}", nowhere.body);
    assert_eq!(served.ask("GET", "/pipelines/ordres", &[], "").status, 404);
    assert_eq!(served.ask("GET", "/runs/..%2F..%2Fetc", &[], "").status, 404);
    let metrics = served.ask("GET", "/metrics", &[], "").body;
    assert!(metrics.contains(r#"floodmark_pipeline_status{pipeline="orders",status="ok"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"floodmark_runs_total{pipeline="orders",status="failed"} 1"#), "{metrics}");
}

#[test]
fn a_plan_is_read_on_the_page_of_its_work_and_gaps_are_filled_by_a_button() {
    let scratch = project("");
    let begun = "watermark: { column: updated_at, start: 2026-01-01 }";
    scratch.write("floodmark.yaml", &scratch.read("floodmark.yaml").replace("watermark: updated_at", begun));
    let served = Served::start(&scratch, &[]);
    let body = format!("form={}", form(&served.ask("GET", "/", &[], "").body));
    let pressed = |what: &str, body: &str| {
        let answer = served.ask("POST", &format!("/pipelines/orders/{what}"), &[FORM], body);
        assert_eq!(answer.status, 303, "{what}: {}", answer.body);
        let location = answer.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        location.split('?').next().unwrap().to_owned()
    };
    let plan = pressed("plan", &body);
    served.ended(plan.strip_prefix("/jobs/").unwrap());
    let page = served.ask("GET", &plan, &[], "").body;
    assert!(page.contains("What would be done with") && page.contains("What it found"), "{page}");
    served.ended(pressed("run", &body).strip_prefix("/jobs/").unwrap());
    for (from, to) in [("2025-11-01", "2025-11-02"), ("2025-11-04", "2025-11-05")] {
        let fill = pressed("backfill", &format!("{body}&from={from}&to={to}&by="));
        served.ended(fill.strip_prefix("/jobs/").unwrap());
    }
    let page = served.ask("GET", "/pipelines/orders", &[], "").body;
    assert!(page.contains("What of its history is in") && page.contains("Fill 2 gaps"), "{page}");
    // What the button brings along: the gaps of the picture, also where the source has no rows.
    let button = page.split("<form ").find(|form| form.contains("name=\"missing\"")).unwrap();
    let value = |name: &str| {
        let text = button.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
        text.split('"').next().unwrap().to_owned()
    };
    let (from, to) = (value("from"), value("to"));
    assert_eq!((from.as_str(), to.as_str()), ("2025-11-01", "2026-01-02"));
    let filled = pressed("backfill", &format!("{body}&missing=true&from={from}&to={to}"));
    served.ended(filled.strip_prefix("/jobs/").unwrap());
    let page = served.ask("GET", "/pipelines/orders", &[], "").body;
    assert!(page.contains("What of its history is in") && !page.contains("gap"), "{page}");
}

#[test]
fn a_form_of_another_site_does_nothing() {
    let scratch = project("");
    let served = Served::start(&scratch, &[]);
    let right = format!("form={}", form(&served.ask("GET", "/", &[], "").body));
    for (headers, body) in [
        (&[FORM][..], "form=0"),
        (&[FORM], ""),
        (&[FORM, ("origin", "http://evil.example")], right.as_str()),
        (&[FORM, ("sec-fetch-site", "cross-site")], right.as_str()),
    ] {
        let answer = served.ask("POST", "/pipelines/orders/refresh", headers, body);
        assert!([403, 422].contains(&answer.status), "{headers:?} {body}: {}", answer.status);
    }
    assert_eq!(served.get("/api/v1/jobs")["items"].as_array().unwrap().len(), 0);
}

#[test]
fn a_person_logs_in_with_the_token_and_is_led_back() {
    let scratch = project("");
    let token = "a-token-that-nobody-guesses";
    let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0", "--token-env", "TOKEN"]);
    command.env("TOKEN", token);
    let served = Served::by(command);
    let html = ("accept", "text/html");
    let sent = served.ask("GET", "/pipelines/orders", &[html], "");
    assert!(sent.status == 303 && sent.head.contains("location: /login?next=/pipelines/orders"), "{}", sent.head);
    assert_eq!(served.ask("POST", "/login", &[FORM], "token=wrong&next=/").status, 401);
    let well = served.ask("POST", "/login", &[FORM], &format!("token={token}&next=//evil.example"));
    assert!(well.status == 303 && well.head.contains("location: /\r\n"), "{}", well.head);
    let cookie = well
        .head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let page = served.ask("GET", "/pipelines/orders", &[html, ("cookie", &cookie)], "");
    assert_eq!(page.status, 200);
    assert!(!page.body.contains(token));
    let body = format!("form={}", form(&page.body));
    let out = served.ask("POST", "/logout", &[FORM, ("cookie", &cookie)], &body);
    assert!(out.status == 303 && out.head.contains("Max-Age=0"), "{}", out.head);
}

#[test]
fn work_is_told_as_it_goes_on() {
    let scratch = project("commit_every: 20000");
    large(&scratch);
    let served = Served::start(&scratch, &[]);
    let job = served.order(r#"{"pipeline": "orders"}"#);
    // The stream ends with the work.
    let told = served.ask("GET", &format!("/api/v1/jobs/{job}/events"), &[], "");
    assert!(told.head.contains("text/event-stream"), "{}", told.head);
    for kind in ["started", "planned", "committed", "finished"] {
        assert!(told.body.contains(&format!("\"kind\":\"{kind}\"")), "{kind}: {}", told.body);
    }
    assert!(told.body.contains("\"status\":\"ok\""), "{}", told.body);
    // A server that stops hangs up on those who watch.
    let watching = TcpStream::connect(&served.address).unwrap();
    write!(&watching, "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", served.address).unwrap();
    thread::sleep(Duration::from_millis(200));
    served.signal("TERM");
    let began = Instant::now();
    assert_eq!(served.end(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// What is secret in a connection is on no page and in no answer.
#[test]
fn no_password_is_shown() {
    let scratch = project("");
    scratch.write(
        "floodmark.yaml",
        &format!(
            "{}  away:\n    source: {{ url: \"postgres://app:hunter2@127.0.0.1:1/shop?sslpassword=hunter2\", table: a }}\n    destination: {{ url: \"postgres://app:hunter2@127.0.0.1:1/shop\", table: b }}\n    key: id\n",
            scratch.read("floodmark.yaml")
        ),
    );
    let served = Served::start(&scratch, &[]);
    let job = served.order(r#"{"pipeline": "away"}"#);
    served.ended(&job);
    let paths = [
        "/",
        "/pipelines/away",
        "/runs",
        "/metrics",
        "/api/v1/project",
        "/api/v1/pipelines",
        "/api/v1/jobs",
        "/api/v1/runs",
        &format!("/jobs/{job}"),
        &format!("/api/v1/jobs/{job}/events"),
    ];
    for path in paths {
        let answer = served.ask("GET", path, &[], "");
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("hunter2"), "{path}: {}", answer.body);
    }
    let kept = std::fs::read(scratch.path().join(".floodmark/serve.sqlite")).unwrap();
    assert!(!kept.windows(7).any(|part| part == b"hunter2"));
}
