//! The database is away: at the start, for a while, or there and silent.

use super::{Hosted, SECRET, Scratch, Served, shop, wait};
use floodmark_testkit::proxy::{Fault, Proxy};
use serde_json::Value;
use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

/// The shop, and a pipeline of a file beside it.
fn beside(url: &str) -> Scratch {
    let scratch = shop(url);
    scratch.write("near/1.csv", super::ROWS);
    let near = "  near:\n    source: { files: \"near/*.csv\" }\n    destination: { url: \"sqlite:///near.db\", table: near }\n    key: id\n    watermark: updated_at\n    schedule: \"@every 1s\"\n";
    scratch.write("floodmark.yaml", &format!("{}{near}", scratch.read("floodmark.yaml")));
    scratch
}

/// The pipeline beside goes on: what comes now is loaded.
fn goes_on(served: &Served, scratch: &Scratch, day: u32) {
    let began = Instant::now();
    scratch.write(&format!("near/{day}.csv"), &format!("id,amount,updated_at\n{day},1,2026-01-{day:02}\n"));
    let mark = format!("2026-01-{day:02}");
    served.until("near", "the pipeline beside", |near| near["watermark"]["value"] == *mark);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Every page is there, soon, and says why nothing newer is known.
fn says_so(served: &Served, kind: &str) {
    for (path, status) in [("/", 200), ("/pipelines/orders", 200), ("/runs", 200), ("/api/v1/pipelines", 200)] {
        let began = Instant::now();
        let page = served.ask("GET", path, &[], "");
        assert!(page.status == status && !page.body.contains(SECRET), "{kind} {path}: {}", page.body);
        assert!(began.elapsed() < Duration::from_secs(8), "{kind} {path}: {:?}", began.elapsed());
        if path != "/runs" {
            assert!(page.body.contains("127.0.0.1"), "{kind} {path}: {}", page.body);
        }
    }
    let began = Instant::now();
    let state = served.ask("GET", "/api/v1/pipelines/orders/state", &[], "");
    assert!(state.status == 502 && !state.body.contains(SECRET), "{kind}: {} {}", state.status, state.body);
    assert!(began.elapsed() < Duration::from_secs(8), "{kind}: {:?}", began.elapsed());
    assert_eq!(served.ask("GET", "/healthz", &[], "").status, 200);
}

fn is_unknown(orders: &Value) -> bool {
    orders["status"] == "unknown"
}

#[test]
fn a_database_that_is_down_at_the_start_and_comes_back() {
    for hosted in Hosted::each() {
        let network = Proxy::to(hosted.address()).unwrap();
        network.set_down(true);
        let scratch = beside(&hosted.url_at(network.address()));
        let served = Served::by(scratch.command(&["-v", "serve", "--listen", "127.0.0.1:0"]));
        served.until("orders", "that it is away", is_unknown);
        wait("that it knows what it can know", || (served.ask("GET", "/readyz", &[], "").status == 200).then_some(()));
        says_so(&served, hosted.kind());
        goes_on(&served, &scratch, 4);
        // A run fails, and says why; no line of it is in any ledger.
        let job = served.ended(&served.order(r#"{"pipeline": "orders"}"#));
        assert_eq!(job["status"], "failed", "{job}");
        let message = job["message"].as_str().unwrap();
        assert!(message.contains(&network.address().to_string()) && !message.contains(SECRET), "{message}");
        let page = served.ask("GET", &format!("/jobs/{}", job["id"].as_str().unwrap()), &[], "").body;
        assert!(page.contains("What to do") && !page.contains(SECRET), "{page}");
        network.set_down(false);
        let began = Instant::now();
        served.until("orders", "that it is back", |orders| orders["status"] == "new");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(served.ended(&served.order(r#"{"pipeline": "orders"}"#))["status"], "ok");
        let log = served.log();
        for said in ["ledgers cannot be read", "ledgers can be read again"] {
            assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
        }
        assert!(!log.contains(SECRET), "{log}");
    }
}

#[test]
fn a_database_that_goes_away_and_comes_back_while_runs_go_on() {
    for hosted in Hosted::each() {
        let network = Proxy::to(hosted.address()).unwrap();
        let scratch = beside(&hosted.url_at(network.address()));
        super::super::large(&scratch);
        let served = Served::start(&scratch, &[]);
        let job = served.order(r#"{"pipeline": "orders"}"#);
        served.until("orders", "the run", |orders| orders["jobs"][0]["progress"]["done"].as_u64() > Some(0));
        network.set_down(true);
        network.strike(Fault::Reset);
        let ended = served.ended(&job);
        assert_eq!(ended["status"], "failed", "{ended}");
        served.until("orders", "that it is away", is_unknown);
        says_so(&served, hosted.kind());
        goes_on(&served, &scratch, 4);
        network.set_down(false);
        let job = served.ended(&served.order(r#"{"pipeline": "orders"}"#));
        assert_eq!(job["status"], "ok", "{job}");
        served.until("orders", "all to be well", |orders| orders["status"] == "ok");
        assert_eq!(super::count(&hosted, "orders"), "400000");
    }
}

/// What takes a connection and never says a word is waited for by nobody else.
#[test]
fn a_database_that_is_silent_holds_nobody_up() {
    for hosted in Hosted::each() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let scratch = beside(&hosted.url_at(silent.local_addr().unwrap()));
        // As often as can be, and more of them than may go on at a time.
        let file = scratch.read("floodmark.yaml");
        let into = "    destination: { connection: shop";
        let often = format!("    schedule: \"@every 1s\"\n{into}");
        scratch.write("floodmark.yaml", &file.replace(into, &often));
        let served = Served::start(&scratch, &["--grace", "2s"]);
        goes_on(&served, &scratch, 4);
        // As many as there are threads, at once.
        thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| {
                    let began = Instant::now();
                    let page = served.ask("GET", "/pipelines/orders", &[], "");
                    assert_eq!(page.status, 200);
                    assert!(began.elapsed() < Duration::from_secs(8), "{}: {:?}", hosted.kind(), began.elapsed());
                });
            }
        });
        let began = Instant::now();
        let page = served.ask("GET", "/pipelines/near", &[], "").body;
        assert!(page.contains("2026-01-04") && began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        goes_on(&served, &scratch, 5);
        served.until("orders", "that it is silent", |orders| {
            ["unknown", "running"].contains(&orders["status"].as_str().unwrap())
        });
        assert_eq!(served.ask("GET", "/readyz", &[], "").status, 200);
        let began = Instant::now();
        served.signal("TERM");
        assert_eq!(served.end(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

/// Tables of a family are looked up when its source can be asked, and stay while it cannot.
#[test]
fn the_source_of_a_family_is_away_and_comes_back() {
    for hosted in Hosted::each() {
        hosted.asked("CREATE TABLE one (id int PRIMARY KEY)");
        hosted.asked("CREATE TABLE two (id int PRIMARY KEY)");
        let network = Proxy::to(hosted.address()).unwrap();
        network.set_down(true);
        let scratch = Scratch::new();
        let url = hosted.url_at(network.address());
        let family = format!(
            "version: 1\npipelines:\n  all:\n    source: {{ url: \"{url}\", tables: \"*\" }}\n    destination: {{ url: \"sqlite:///out.db\" }}\n"
        );
        scratch.write("floodmark.yaml", &family);
        let served = Served::start(&scratch, &[]);
        let all = served.get("/api/v1/pipelines/all");
        assert!(all["status"] == "broken" && !all.to_string().contains(SECRET), "{all}");
        network.set_down(false);
        let names = || -> Vec<String> {
            let all = served.get("/api/v1/pipelines")["items"].as_array().unwrap().clone();
            all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        wait("its tables", || Some(names()).filter(|names| names.len() == 2));
        let job = served.order(&format!(r#"{{"pipeline": "{}"}}"#, names()[0]));
        assert_eq!(served.ended(&job)["status"], "nothing_new");
        let before = names();
        network.set_down(true);
        // A file that is saved again is read again, with all that it takes.
        scratch.write("floodmark.yaml", &format!("{family}# again\n"));
        thread::sleep(Duration::from_secs(4));
        assert_eq!(names(), before, "{}", hosted.kind());
    }
}
