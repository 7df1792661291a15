//! Traces of OpenTelemetry: real runs, to a real server.

#![cfg(unix)]

use crate::{
    hook::{Hook, Says},
    serve::{Served, project, wait},
    support::{Ran, Scratch},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use prost::Message;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, Instant},
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn command(scratch: &Scratch, hook: &Hook, args: &[&str]) -> Command {
    let mut command = scratch.command(args);
    command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", hook.url());
    command
}

fn run(scratch: &Scratch, hook: &Hook, args: &[&str]) -> Ran {
    scratch.ran(&command(scratch, hook, args).output().unwrap())
}

fn sent(hook: &Hook) -> Vec<ResourceSpans> {
    let requests = hook.posted().into_iter().map(|posted| {
        assert!(!String::from_utf8_lossy(&posted.bytes).contains("hunter2"));
        ExportTraceServiceRequest::decode(posted.bytes.as_slice()).unwrap()
    });
    requests.flat_map(|request| request.resource_spans).collect()
}

fn spans(hook: &Hook) -> Vec<Span> {
    sent(hook).into_iter().flat_map(|of| of.scope_spans).flat_map(|scope| scope.spans).collect()
}

/// Those that hold all others.
fn tops(spans: &[Span]) -> Vec<&Span> {
    let own = |id: &[u8]| spans.iter().any(|span| span.span_id == id);
    spans.iter().filter(|span| !own(&span.parent_span_id)).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |attribute: &KeyValue| match attribute.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The phases of a span, each once, in order; all of them lie in it.
fn phases<'a>(spans: &'a [Span], of: &Span) -> Vec<&'a str> {
    let mut parts: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == of.span_id).collect();
    parts.sort_by_key(|part| (part.start_time_unix_nano, part.end_time_unix_nano));
    for part in &parts {
        assert_eq!(part.trace_id, of.trace_id);
        assert!(of.start_time_unix_nano <= part.start_time_unix_nano, "{part:?}");
        assert!(part.start_time_unix_nano <= part.end_time_unix_nano, "{part:?}");
        assert!(part.end_time_unix_nano <= of.end_time_unix_nano, "{part:?}");
    }
    let mut names: Vec<&str> = parts.into_iter().map(|part| part.name.as_str()).collect();
    names.dedup();
    names
}

#[test]
fn every_run_is_a_trace() {
    let hook = Hook::new(&[Says::Status(200)]);
    let scratch = project("columns: { amount: bigint }");
    assert_eq!(run(&scratch, &hook, &["run"]).code, 0);
    assert_eq!(run(&scratch, &hook, &["run"]).code, 0);
    scratch.write("data/2.csv", "id,amount,updated_at\n3,geheim,2026-01-03\n");
    assert_eq!(run(&scratch, &hook, &["run"]).code, 1);
    std::fs::remove_file(scratch.path().join("data/2.csv")).unwrap();
    let filled =
        run(&scratch, &hook, &["backfill", "orders", "--from", "2025-12-01", "--to", "2026-01-02", "--by", "1mo"]);
    assert_eq!(filled.code, 0, "{filled:?}");
    let edited = rusqlite::Connection::open(scratch.path().join("shop.db")).unwrap();
    edited.execute("UPDATE orders SET amount = 7 WHERE id = 2", []).unwrap();
    let repaired = run(&scratch, &hook, &["verify", "--repair"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let loaded = run(&scratch, &hook, &["load", "data/1.csv", "sqlite:///other.db", "--table", "other", "--key", "id"]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let told = spans(&hook);
    // What only looks, and trials on copies, are no runs.
    assert_eq!(run(&scratch, &hook, &["plan"]).code, 0);
    assert_eq!(run(&scratch, &hook, &["prove"]).code, 0);
    assert_eq!(spans(&hook).len(), told.len());
    let runs = tops(&told);
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["run", "run", "run", "backfill", "repair", "run"]);
    let phases: Vec<Vec<&str>> = runs.iter().map(|run| phases(&told, run)).collect();
    assert_eq!(phases[0], ["lock", "plan", "survey", "load", "commit", "record"]);
    assert_eq!(phases[1], ["lock", "plan"]);
    assert_eq!(phases[2], ["lock", "plan", "survey", "load"]);
    // One month is behind the watermark, the other one ahead of it.
    assert_eq!(phases[3], ["plan", "survey", "plan", "load", "commit", "load", "commit", "record"]);
    assert_eq!(phases[4], ["lock", "compare", "load", "commit", "record"]);
    let of = |at: usize| texts(&runs[at].attributes);
    assert_eq!(of(0)["floodmark.status"], "ok");
    assert_eq!(of(0)["floodmark.rows.inserted"], "2");
    assert_eq!(of(0)["floodmark.destination"], "sqlite:///shop.db");
    let first = scratch.json(&["runs", "orders", "--limit", "100"], 0).pop().unwrap();
    assert_eq!(of(0)["floodmark.run"], first["run"].as_str().unwrap());
    assert_eq!(of(1)["floodmark.status"], "nothing_new");
    assert_eq!((of(2)["floodmark.status"].as_str(), of(2)["error.type"].as_str()), ("failed", "FM0301"));
    let status = runs[2].status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "FM0301 a value does not fit its column"));
    assert_eq!(of(4)["floodmark.rows.updated"], "1");
    assert_eq!(of(5)["floodmark.table"], "other");
    assert!(!format!("{told:?}").contains("geheim"), "a value is nobody's to trace");
    assert_eq!(runs.iter().map(|run| &run.trace_id).collect::<BTreeSet<_>>().len(), 6);
}

#[test]
fn the_standard_variables_say_who_and_where_and_whose() {
    let hook = Hook::new(&[Says::Status(200)]);
    let scratch = project("");
    let with = |variables: &[(&str, &str)]| {
        let mut command = scratch.command(&["run"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}/base/", hook.address));
        command.envs(variables.iter().copied());
        let ran = scratch.ran(&command.output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hunter2,x-two=a%20b");
    let ran =
        with(&[headers, ("TRACEPARENT", PARENT), ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")]);
    assert_eq!(ran.stderr.matches("warning").count(), 0, "{ran:?}");
    let posted = hook.posted();
    assert_eq!(posted[0].path, "/base/v1/traces");
    for header in ["x-api-key: hunter2\r\n", "x-two: a b\r\n", "content-type: application/x-protobuf\r\n"] {
        assert!(posted[0].headers.contains(header), "{}", posted[0].headers);
    }
    let resource = sent(&hook)[0].resource.clone().unwrap();
    let resource = texts(&resource.attributes);
    assert_eq!(
        (resource["service.name"].as_str(), resource["deployment.environment.name"].as_str()),
        ("floodmark", "test")
    );
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let told = spans(&hook);
    let top = tops(&told)[0];
    assert_eq!((hex(&top.trace_id), hex(&top.parent_span_id)), (PARENT[3..35].into(), PARENT[36..52].into()));
    with(&[("OTEL_SERVICE_NAME", "loads"), ("OTEL_RESOURCE_ATTRIBUTES", "service.version=7")]);
    let resource = sent(&hook).last().unwrap().resource.clone().unwrap();
    let resource = texts(&resource.attributes);
    assert_eq!((resource["service.name"].as_str(), resource["service.version"].as_str()), ("loads", "7"));
    let before = hook.posted().len();
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ("TRACEPARENT", &PARENT.replace("-01", "-00")),
    ] {
        let ran = with(&[off]);
        assert!(!ran.stderr.contains("trace"), "{off:?} {ran:?}");
    }
    let ran = with(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert!(ran.stderr.contains("no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL is not http/protobuf"), "{ran:?}");
    assert_eq!(hook.posted().len(), before);
    let ran = with(&[("TRACEPARENT", "nonsense"), ("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615")]);
    assert!(ran.stderr.contains("TRACEPARENT is no trace context"), "{ran:?}");
    assert!(hook.posted().len() > before, "it is traced all the same");
}

#[test]
fn no_collector_makes_a_load_fail_or_wait() {
    let silent = Hook::new(&[Says::Nothing]);
    let broken = Hook::new(&[Says::Status(500)]);
    let scratch = project("");
    let plain = Instant::now();
    assert_eq!(scratch.run(&["run"]).code, 0);
    let plain = plain.elapsed();
    let gone = "http://me:hunter2@127.0.0.1:1/hunter2".to_owned();
    for (url, told) in [(silent.url(), "no answer"), (broken.url(), "it answered 500"), (gone, "it cannot be reached")]
    {
        let began = Instant::now();
        let mut command = scratch.command(&["run", "--full-refresh", "--yes"]);
        let ran = scratch.ran(&command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        // Two seconds at its end, and what a busy machine takes.
        assert!(began.elapsed() < plain + Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(ran.stderr.matches("not sent; no load is touched by it").count(), 1, "{ran:?}");
        // Lines are wrapped.
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(told) && !said.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn work_of_a_server_and_its_runs_are_one_trace() {
    let hook = Hook::new(&[Says::Status(200)]);
    let scratch = project("schedule: \"@every 1s\"");
    let mut command = command(&scratch, &hook, &["serve", "--listen", "127.0.0.1:0"]);
    command.env("TRACEPARENT", PARENT);
    let served = Served::by(command);
    // Those of a run are sent when its process ends, those of the server after some seconds.
    wait("traces", || (spans(&hook).iter().filter(|span| span.name == "run").count() >= 2).then_some(()));
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let told = spans(&hook);
    let jobs: Vec<&Span> = told.iter().filter(|span| span.name == "job").collect();
    let runs: Vec<&Span> = told.iter().filter(|span| span.name == "run").collect();
    assert!(jobs.len() >= 2, "{told:?}");
    for run in runs {
        let job = jobs.iter().find(|job| job.span_id == run.parent_span_id).unwrap();
        assert_eq!(job.trace_id, run.trace_id);
        // Clocks of two processes of one machine.
        assert!(job.start_time_unix_nano <= run.start_time_unix_nano);
        assert!(job.end_time_unix_nano >= run.end_time_unix_nano);
        let (job, run) = (texts(&job.attributes), texts(&run.attributes));
        assert_eq!((job["floodmark.task"].as_str(), job["floodmark.cause"].as_str()), ("run", "schedule"));
        assert_eq!(job["floodmark.due"], run["floodmark.due"]);
        assert!(job["floodmark.status"] != "ok" || job["floodmark.run"] == run["floodmark.run"]);
    }
    // Each piece of work is a trace of its own, and none a part of what the server was started in.
    let traces: BTreeSet<_> = jobs.iter().map(|job| &job.trace_id).collect();
    assert_eq!(traces.len(), jobs.len());
    assert!(jobs.iter().all(|job| job.parent_span_id.is_empty()));
    assert_eq!(texts(&jobs[0].attributes)["floodmark.status"], "ok");
}

#[test]
fn work_that_fails_says_so_without_a_value() {
    let hook = Hook::new(&[Says::Status(200)]);
    let scratch = project("columns: { amount: bigint }");
    scratch.write("data/2.csv", "id,amount,updated_at\n3,geheim,2026-01-03\n");
    let served = Served::by(command(&scratch, &hook, &["serve", "--listen", "127.0.0.1:0"]));
    let job = served.order(r#"{"pipeline": "orders", "task": {"kind": "run"}}"#);
    assert_eq!(served.ended(&job)["status"], "failed");
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let told = spans(&hook);
    let top = tops(&told)[0];
    let of = texts(&top.attributes);
    assert_eq!((top.name.as_str(), of["floodmark.job"].as_str()), ("job", job.as_str()));
    assert_eq!((of["floodmark.cause"].as_str(), of["floodmark.status"].as_str()), ("asked", "failed"));
    assert_eq!(of["error.type"], "FM0301");
    assert_eq!(top.status.clone().unwrap().message, "FM0301 a value does not fit its column");
    assert!(!format!("{told:?}").contains("geheim"));
}
