//! Alerts of `serve`: real servers, real commands, real webhooks.

#![cfg(unix)]

use crate::{
    hook::{Hook, Says},
    serve::{FORM, Served, form, project, wait},
    support::Scratch,
};
use serde_json::Value;
use std::{os::unix::fs::PermissionsExt, path::Path, thread, time::Duration};

/// What is posted or written, but for when.
fn events(body: &Value) -> Vec<String> {
    let alerts = body["alerts"].as_array().unwrap().iter();
    alerts
        .map(|alert| format!("{} {}", alert["pipeline"].as_str().unwrap_or_default(), alert["event"].as_str().unwrap()))
        .collect()
}

fn heard(hook: &Hook) -> Vec<String> {
    hook.posted().iter().flat_map(|posted| events(&posted.body)).collect()
}

/// A project whose second file has a value that does not fit, with these fields and this at the end of its file.
fn failing(fields: &str, alerts: &str) -> Scratch {
    let scratch = project(&format!("columns: {{ amount: bigint }}\n{fields}"));
    scratch.write("data/2.csv", "id,amount,updated_at\n3,many,2026-01-03\n");
    scratch.write("floodmark.yaml", &format!("{}{alerts}\n", scratch.read("floodmark.yaml")));
    scratch
}

fn mend(scratch: &Scratch) {
    scratch.write("data/2.csv", "id,amount,updated_at\n3,300,2026-01-03\n");
}

fn served(scratch: &Scratch, hook: &Hook) -> Served {
    let mut command = scratch.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("HOOK", hook.url()).env("TOKEN", "hunter2");
    Served::by(command)
}

fn script(scratch: &Scratch, name: &str, text: &str) {
    scratch.write(name, &format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(scratch.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// However often it fails, whoever is killed in between, and with two servers beside the project: one alert, and one that it
/// is over.
#[test]
fn a_failure_is_told_once_and_so_is_its_end() {
    let hook = Hook::new(&[Says::Status(200)]);
    let scratch = failing(
        "schedule: \"@every 1s\"\nretries: 1\nretry_delay: 500ms",
        "alerts:\n  ops: { webhook: \"${HOOK}\", token: \"${TOKEN}\", steady: 1s }",
    );
    let (one, other) = (served(&scratch, &hook), served(&scratch, &hook));
    wait("the alert", || (!hook.posted().is_empty()).then_some(()));
    // It fails each second meanwhile.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(heard(&hook), ["orders failed"]);
    let told = hook.posted().remove(0);
    assert_eq!(told.path, "/services/hunter2?key=hunter2");
    assert!(told.headers.contains("authorization: bearer hunter2"), "{}", told.headers);
    let text = told.body["text"].as_str().unwrap();
    // Somebody else's runs count as well, as far as they are known.
    let failures = told.body["alerts"][0]["failures"].as_u64().unwrap();
    assert!((2..=6).contains(&failures), "{text}");
    assert!(text.contains("FM0301") && text.contains("floodmark.yaml"), "{text}");
    assert_eq!(told.body["alerts"][0]["code"], "FM0301");
    // Nobody needs the one that told.
    let told_by = [&one, &other].map(|served| served.get("/api/v1/alerts")["tells"] == true);
    assert_eq!(told_by.iter().filter(|tells| **tells).count(), 1, "{told_by:?}");
    let (teller, left) = if told_by[0] { (one, other) } else { (other, one) };
    teller.signal("KILL");
    teller.end();
    wait("the other to tell", || (left.get("/api/v1/alerts")["tells"] == true).then_some(()));
    let told = left.get("/api/v1/alerts")["items"][0]["told"].clone();
    assert_eq!((&told[0]["pipeline"], &told[0]["trouble"]), (&"orders".into(), &"failed".into()));
    thread::sleep(Duration::from_secs(2));
    mend(&scratch);
    wait("that it is over", || (heard(&hook).len() > 1).then_some(()));
    thread::sleep(Duration::from_secs(2));
    assert_eq!(heard(&hook), ["orders failed", "orders recovered"]);
    assert_eq!(hook.posted()[0].body["alerts"][0]["id"], hook.posted()[1].body["alerts"][0]["id"]);
    assert!(!hook.posted().iter().any(|posted| posted.body.to_string().contains("hunter2")));
}

/// Who does not answer, or not well, holds nothing up: pages, log and metrics say so, and it arrives later.
#[test]
fn who_cannot_be_told_holds_up_no_load_and_is_told_later() {
    let hook = Hook::new(&[Says::Status(500), Says::Status(200)]);
    let silent = Hook::new(&[Says::Nothing]);
    let scratch = failing(
        "",
        &format!(
            "alerts:\n  ops: {{ webhook: \"${{HOOK}}\" }}\n  silent: {{ webhook: \"http://{}/x\" }}\n  slow: {{ command: ./slow.sh }}\n  unset: {{ webhook: \"${{NOT_SET}}\" }}\n  off: {{ webhook: \"${{NOT_SET:-}}\" }}",
            silent.address
        ),
    );
    script(&scratch, "slow.sh", "touch begun; sleep 15");
    let pipelines = scratch.read("floodmark.yaml").replace(
        "\nalerts:",
        "\n  well:\n    source: { files: \"data/1.csv\" }\n    destination: { url: \"sqlite:///well.db\", table: well }\n    key: id\n    schedule: \"@every 1s\"\nalerts:",
    );
    scratch.write("floodmark.yaml", &pipelines);
    let served = served(&scratch, &hook);
    let order = served.post("/api/v1/jobs", "{\"pipeline\": \"orders\"}");
    assert_eq!(order.status, 202);
    wait("all of them", || {
        (!hook.posted().is_empty() && !silent.posted().is_empty() && scratch.path().join("begun").exists())
            .then_some(())
    });
    let before = scratch.json(&["runs", "well", "--limit", "1000"], 0).len();
    thread::sleep(Duration::from_secs(3));
    let after = scratch.json(&["runs", "well", "--limit", "1000"], 0).len();
    assert!(after > before, "loads go on: {before}, {after}");
    let items = served.get("/api/v1/alerts")["items"].clone();
    let of = |name: &str| items.as_array().unwrap().iter().find(|item| item["name"] == name).unwrap().clone();
    assert_eq!((&of("ops")["status"], &of("off")["status"]), (&"failing".into(), &"off".into()));
    assert!(of("ops")["message"].as_str().unwrap().ends_with("it answered 500"), "{}", of("ops"));
    assert_eq!(of("unset")["message"], "`${NOT_SET}` is not set");
    let page = served.ask("GET", "/", &[], "").body;
    assert!(page.contains("Alerts do not arrive at") && page.contains("it answered 500"), "{page}");
    let metrics = served.ask("GET", "/metrics", &[], "").body;
    assert!(metrics.contains("floodmark_alerts_failing{channel=\"ops\"} 1"), "{metrics}");
    assert!(metrics.contains("floodmark_alerts_total{channel=\"ops\",result=\"lost\"} 1"), "{metrics}");
    for path in ["/", "/alerts", "/api/v1/alerts", "/metrics"] {
        assert!(!served.ask("GET", path, &[], "").body.contains("hunter2"), "{path}");
    }
    wait("it to arrive", || (hook.posted().len() == 2).then_some(()));
    assert_eq!(heard(&hook), ["orders failed", "orders failed"]);
    wait("that to be known", || {
        let metrics = served.ask("GET", "/metrics", &[], "").body;
        metrics.contains("floodmark_alerts_failing{channel=\"ops\"} 0").then_some(())
    });
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let kept = std::fs::read(scratch.path().join(".floodmark/serve.sqlite")).unwrap();
    assert!(!kept.windows(7).any(|part| part == b"hunter2"));
}

#[test]
fn a_command_is_told_what_is_late_and_when_it_is_fresh_again() {
    let scratch = project("freshness: 1s");
    // Each message is a line.
    script(
        &scratch,
        "tell.sh",
        "cat >> told; echo >> told; echo \"$1 $FLOODMARK_ALERT_EVENT $FLOODMARK_ALERT_PIPELINES\" >> env",
    );
    scratch.write(
        "floodmark.yaml",
        &format!(
            "{}alerts: {{ desk: {{ command: [./tell.sh, x], on: late, steady: 1s }} }}\n",
            scratch.read("floodmark.yaml")
        ),
    );
    scratch.ok(&["run"]);
    let told = || std::fs::read_to_string(scratch.path().join("told")).unwrap_or_default();
    let served = Served::start(&scratch, &[]);
    wait("the alert", || (told().lines().count() == 1).then_some(()));
    assert_eq!(scratch.read("env"), "x late orders\n");
    let first: Value = serde_json::from_str(told().lines().next().unwrap()).unwrap();
    assert_eq!(first["alerts"][0]["loaded_until"], "2026-01-03T00:00:00Z");
    assert_eq!(first["alerts"][0]["freshness_seconds"], 1.0);
    // Rows of a day that is not over: nothing is late.
    scratch.write("data/2.csv", "id,amount,updated_at\n3,300,2999-01-03\n");
    scratch.ok(&["run"]);
    served.post("/api/v1/jobs", "{\"pipeline\": \"orders\"}");
    wait("that it is over", || (told().lines().count() == 2).then_some(()));
    let last: Value = serde_json::from_str(told().lines().last().unwrap()).unwrap();
    assert_eq!(events(&last), ["orders recovered"]);
    // What was told is forgotten with the file, and told again.
    drop(served);
    std::fs::remove_dir_all(scratch.path().join(".floodmark")).unwrap();
    let _served = Served::start(&scratch, &[]);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(told().lines().count(), 2);
}

#[test]
fn a_test_can_be_sent_before_anything_fails() {
    let hook = Hook::new(&[Says::Status(200)]);
    let scratch = project("");
    let none = scratch.run(&["serve", "--test-alert"]);
    assert!(none.code == 2 && none.stderr.contains("there is nobody under `alerts:`"), "{none:?}");
    script(&scratch, "page.sh", "exit 3");
    let good = scratch.read("floodmark.yaml");
    scratch.write("floodmark.yaml", &format!("{good}alerts: {{ ops: {{ webhook: \"${{HOOK}}\" }} }}\n"));
    let command = |args: &[&str]| {
        let mut command = scratch.command(args);
        command.env("HOOK", hook.url());
        scratch.ran(&command.output().unwrap())
    };
    let tested = command(&["serve", "--test-alert"]);
    assert_eq!((tested.code, tested.stdout.as_str()), (0, "ops: a test arrived\n"), "{tested:?}");
    scratch.write(
        "floodmark.yaml",
        &format!("{good}alerts: {{ ops: {{ webhook: \"${{HOOK}}\" }}, pager: {{ command: [./page.sh, hunter2] }} }}\n"),
    );
    let tested = command(&["serve", "--test-alert"]);
    assert_eq!(tested.code, 1);
    assert!(tested.stdout.contains("pager: a test did not arrive: ./page.sh ended with exit code 3"), "{tested:?}");
    assert!(!format!("{tested:?}").contains("hunter2"));
    // The same by a button, and for programs.
    let served = served(&scratch, &hook);
    let page = served.ask("GET", "/alerts", &[], "");
    assert!(page.body.contains("not tried yet"), "{}", page.body);
    let pressed = served.ask("POST", "/alerts/test", &[FORM], &format!("form={}&channel=ops", form(&page.body)));
    assert!(pressed.status == 303 && pressed.head.contains("location: /alerts?told=tested"), "{}", pressed.head);
    wait("the test", || (hook.posted().len() == 3).then_some(()));
    wait("that to be known", || (served.get("/api/v1/alerts")["items"][0]["status"] == "ok").then_some(()));
    assert_eq!(served.post("/api/v1/alerts/test?channel=pager", "").status, 202);
    wait("that it fails", || (served.get("/api/v1/alerts")["items"][1]["status"] == "failing").then_some(()));
    assert_eq!(served.post("/api/v1/alerts/test?channel=nobody", "").status, 404);
    assert_eq!(served.ask("POST", "/alerts/test", &[FORM], "form=0&channel=ops").status, 403);
    assert_eq!(heard(&hook), [" test", " test", " test"]);
}

/// Whoever loads need not have what is needed to tell somebody.
#[test]
fn what_alerts_need_nobody_else_does() {
    let scratch = project("");
    scratch.write(
        "floodmark.yaml",
        &format!("{}alerts: {{ ops: {{ webhook: \"${{NOT_SET}}\" }} }}\n", scratch.read("floodmark.yaml")),
    );
    scratch.ok(&["run"]);
    let checked = scratch.run(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stderr.contains("alerts to \"ops\" cannot be sent from here"), "{checked:?}");
    assert!(
        checked.stdout.contains("0 errors, 1 warning\n") || checked.stdout.contains("0 errors, 2 warnings\n"),
        "{checked:?}"
    );
    let tested = scratch.run(&["serve", "--test-alert"]);
    assert!(tested.code == 1 && tested.stdout.contains("`${NOT_SET}` is not set"), "{tested:?}");
    assert!(!Path::new(&scratch.path().join(".floodmark")).exists());
}

/// The example is run as its page says.
#[test]
fn the_example_tells_its_program() {
    let from = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/alerts"));
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("data")).unwrap();
    for file in ["floodmark.yaml", "alert.sh", "data/orders-1.csv"] {
        std::fs::copy(from.join(file), scratch.path().join(file)).unwrap();
    }
    let with_path = |args: &[&str]| {
        let mut command = scratch.command(args);
        command.env("PATH", std::env::var("PATH").unwrap());
        command
    };
    let tested = scratch.ran(&with_path(&["serve", "--test-alert"]).output().unwrap());
    assert_eq!(
        (tested.code, tested.stdout.as_str()),
        (0, "slack: it is switched off\nlog: a test arrived\n"),
        "{tested:?}"
    );
    assert!(scratch.read("alerts.log").starts_with("test: This is a test."), "{}", scratch.read("alerts.log"));
    scratch.ok(&["run"]);
    assert_eq!(scratch.read("lineage.ndjson").lines().count(), 2);
    let _served = Served::by(with_path(&["serve", "--listen", "127.0.0.1:0"]));
    wait("the alert", || scratch.read("alerts.log").contains("\nlate: orders is late, since 2026-03-02").then_some(()));
}
