//! Traces, as a collector gets them.

use super::*;
use floodmark_core::{Code, Counts};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    thread,
};

const RUN: &str = "0195a3b2-7c1e-7000-8000-000000000001";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Requests = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A collector that answers so, and what it got. `None`: it takes what it is sent, and says nothing.
fn collector(answer: Option<&'static [u8]>) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:hunter2@{}/hunter2", listener.local_addr().unwrap());
    let requests: Requests = Arc::default();
    let all = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                head.push_str(&std::mem::take(&mut line).to_lowercase());
            }
            assert!(head.starts_with("post /hunter2/v1/traces http/1.1"), "{head}");
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            all.lock().unwrap().push(ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
            match answer {
                Some(answer) => stream.write_all(answer).unwrap(),
                None => thread::sleep(Duration::from_secs(30)),
            }
        }
    });
    (url, requests)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn traces(url: &str, parent: &str) -> (Option<Traces>, Arc<Mutex<Vec<String>>>) {
    let warned: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = Arc::clone(&warned);
    let lookup = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(url.to_owned()),
        "TRACEPARENT" => Some(parent.to_owned()),
        _ => None,
    };
    (Traces::from_env(&lookup, move |why| all.lock().unwrap().push(why.to_owned())), warned)
}

fn pipeline() -> Pipeline {
    let text = "version: 1\npipelines:\n  orders:\n    source: { url: \"postgres://app:hunter2@db/shop\", table: orders }\n    destination: { url: \"mysql://app:hunter2@dw:3307/raw?ssl-key-password=hunter2\", table: orders }\n    key: id\n    watermark: at\n";
    floodmark_config::Project::parse(Path::new("floodmark.yaml"), text, &|_| None).unwrap().pipelines.remove(0)
}

fn name() -> String {
    "orders".into()
}

fn begun() -> Vec<Event> {
    vec![
        Event::Started { pipeline: name(), run: RUN.into() },
        Event::Locked { pipeline: name() },
        Event::Surveying { pipeline: name(), bytes: 9 },
        Event::Planned { pipeline: name(), slices: 1, rows: Some(7) },
    ]
}

/// A chunk that brings the run to so many rows.
fn chunk(rows: u64) -> [Event; 3] {
    let counts = Counts { read: rows, inserted: rows, ..Counts::default() };
    [
        Event::Progress { pipeline: name(), rows },
        Event::Sealed { pipeline: name() },
        Event::Committed { pipeline: name(), counts },
    ]
}

fn end(failure: Option<Failure>) -> End {
    let counts = Counts { read: 7, inserted: 7, ..Counts::default() };
    End { status: if failure.is_some() { "failed" } else { "ok" }, counts, failure }
}

/// What a run of these events leaves with a collector.
fn told(kind: Kind, parent: &str, events: &[Event], end: &End) -> Vec<Span> {
    let (url, requests) = collector(Some(OK));
    let (traces, warned) = traces(&url, parent);
    let traces = traces.unwrap();
    traces.begin(kind, &pipeline(), DateTime::from_timestamp(1_780_000_000, 0));
    events.iter().for_each(|event| traces.observe(event));
    traces.end("orders", end);
    drop(traces);
    assert!(warned.lock().unwrap().is_empty(), "{warned:?}");
    let requests = requests.lock().unwrap();
    assert!(!format!("{requests:?}").contains("hunter2"), "{requests:?}");
    spans(&requests)
}

fn spans(requests: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let scopes = requests.iter().flat_map(|request| &request.resource_spans).flat_map(|of| &of.scope_spans);
    let mut spans: Vec<Span> = scopes.flat_map(|scope| scope.spans.clone()).collect();
    // Each before its parts, also where nothing took any time.
    let last = |span: &Span| span.name == "lock";
    spans.sort_by_key(|span| (span.start_time_unix_nano, last(span), u64::MAX - span.end_time_unix_nano));
    spans
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let value = span.attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The run, once all else was seen to lie within, one phase after the other.
fn nested(spans: &[Span]) -> &Span {
    let run = spans.iter().find(|span| attribute(span, "floodmark.pipeline").is_some()).unwrap();
    let mut at = run.start_time_unix_nano;
    for phase in spans.iter().filter(|span| span.span_id != run.span_id) {
        assert_eq!((&phase.trace_id, &phase.parent_span_id), (&run.trace_id, &run.span_id), "{}", phase.name);
        assert_eq!(phase.start_time_unix_nano, at, "{} begins where the one before it ended", phase.name);
        assert!(phase.end_time_unix_nano >= at);
        at = phase.end_time_unix_nano;
    }
    assert_eq!(run.end_time_unix_nano, at);
    run
}

#[test]
fn a_run_is_a_span_and_its_phases_lie_within() {
    let events = [begun(), chunk(4).to_vec(), chunk(7).to_vec()].concat();
    let spans = told(Kind::Run, "", &events, &end(None));
    let run = nested(&spans);
    let mut phases = names(&spans);
    phases.retain(|name| *name != "run");
    assert_eq!(phases, ["lock", "plan", "survey", "load", "commit", "load", "commit", "record"]);
    assert!(run.parent_span_id.is_empty() && run.trace_id.len() == 16 && run.span_id.len() == 8);
    assert_ne!(hex(&run.trace_id), "0".repeat(32));
    for (name, value) in [
        ("floodmark.run", RUN),
        ("floodmark.pipeline", "orders"),
        ("floodmark.load", "upsert"),
        ("floodmark.table", "orders"),
        ("floodmark.due", "2026-05-28T20:26:40.000Z"),
        ("floodmark.status", "ok"),
        ("floodmark.slices", "1"),
        ("floodmark.rows.planned", "7"),
        ("floodmark.rows.inserted", "7"),
        ("floodmark.rows.rejected", "0"),
        ("floodmark.commits", "2"),
    ] {
        assert_eq!(attribute(run, name).as_deref(), Some(value), "{name}");
    }
    let destination = attribute(run, "floodmark.destination").unwrap();
    assert!(destination.starts_with("mysql://app:") && destination.contains("@dw:3307/raw"), "{destination}");
    assert_eq!(run.status.as_ref().map_or(0, |status| status.code), StatusCode::Unset as i32);
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    assert_eq!(attribute(of("survey")[0], "floodmark.bytes").as_deref(), Some("9"));
    assert_eq!(attribute(of("load")[1], "floodmark.rows.read").as_deref(), Some("3"));
    assert_eq!(attribute(of("commit")[0], "floodmark.rows.inserted").as_deref(), Some("4"));
    assert_eq!(attribute(of("commit")[1], "floodmark.rows.inserted").as_deref(), Some("3"));
    assert_eq!(attribute(of("commit")[1], "floodmark.rows.updated"), None);
}

#[test]
fn what_fails_says_why_by_its_code_alone() {
    let busy = Event::Retrying { pipeline: name(), code: Code::DestinationWrite };
    let events = [begun(), vec![busy], begun()[1..].to_vec()].concat();
    let spans = told(Kind::Run, "", &events, &end(Some(Code::BadValue.into())));
    let run = nested(&spans);
    let failed: Vec<(&str, String, String)> = spans
        .iter()
        .filter(|span| span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32))
        .map(|span| (span.name.as_str(), attribute(span, "error.type").unwrap(), span.status.clone().unwrap().message))
        .collect();
    let told = |name, code: &str, title: &str| (name, code.to_owned(), format!("{code} {title}"));
    let last = |name| told(name, "FM0301", "a value does not fit its column");
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed.contains(&told("load", "FM0402", "the destination refused a write")), "{failed:?}");
    assert!(failed.contains(&last("load")) && failed.contains(&last("run")), "{failed:?}");
    assert_eq!(attribute(run, "floodmark.status").as_deref(), Some("failed"));
    assert_eq!(names(&spans).into_iter().filter(|name| *name == "pause").count(), 1);
}

#[test]
fn backfills_and_repairs_have_phases_of_their_own() {
    let filling =
        Event::Filling { pipeline: name(), from: "geheim".into(), until: "geheim".into(), done: 0, intervals: 2 };
    let survey = [Event::Surveying { pipeline: name(), bytes: 0 }, Event::Locked { pipeline: name() }].to_vec();
    let events =
        [survey, begun()[3..].to_vec(), vec![filling.clone()], chunk(4).to_vec(), vec![filling], chunk(7).to_vec()];
    let spans = told(Kind::Backfill, "", &events.concat(), &end(None));
    nested(&spans);
    let phases = ["plan", "survey", "plan", "load", "commit", "load", "commit", "record"];
    assert_eq!(names(&spans).into_iter().filter(|name| *name != "backfill").collect::<Vec<_>>(), phases);
    assert!(!format!("{spans:?}").contains("geheim"), "where a range ends is a value");
    let events = [begun()[..2].to_vec(), chunk(7).to_vec()].concat();
    let spans = told(Kind::Repair, "", &events, &end(None));
    nested(&spans);
    let phases = ["lock", "compare", "load", "commit", "record"];
    assert_eq!(names(&spans).into_iter().filter(|name| *name != "repair").collect::<Vec<_>>(), phases);
}

#[test]
fn a_trace_has_an_end_however_many_commits_there_are() {
    let chunks = (1..=3000).flat_map(chunk);
    let events: Vec<Event> = begun().into_iter().chain(chunks).collect();
    let spans = told(Kind::Run, "", &events, &end(None));
    let run = nested(&spans);
    assert_eq!(attribute(run, "floodmark.commits").as_deref(), Some("3000"));
    assert_eq!(names(&spans).into_iter().filter(|name| *name == "commit").count(), 500);
    let last = spans.last().unwrap();
    assert_eq!((last.name.as_str(), attribute(last, "floodmark.rows.read").as_deref()), ("load", Some("2500")));
}

#[test]
fn a_run_belongs_to_whoever_started_it() {
    let spans = told(Kind::Run, PARENT, &begun(), &end(None));
    let run = nested(&spans);
    assert_eq!(hex(&run.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&run.parent_span_id), "b7ad6b7169203331");
    // Whoever is not recorded wants none of his parts recorded.
    assert!(told(Kind::Run, &PARENT.replace("-01", "-00"), &begun(), &end(None)).is_empty());
    let (url, requests) = collector(Some(OK));
    let (traces, warned) = traces(&url, "nonsense");
    traces.as_ref().unwrap().begin(Kind::Run, &pipeline(), None);
    traces.as_ref().unwrap().end("orders", &end(None));
    drop(traces);
    assert_eq!(*warned.lock().unwrap(), ["TRACEPARENT is no trace context of W3C, and is not followed"]);
    assert_eq!(names(&spans_of(&requests)), ["run", "lock"]);
}

fn spans_of(requests: &Requests) -> Vec<Span> {
    spans(&requests.lock().unwrap())
}

#[test]
fn a_job_hands_its_span_on_and_belongs_to_nobody() {
    let (url, requests) = collector(Some(OK));
    let (of_server, _) = traces(&url, PARENT);
    let of_server = of_server.unwrap();
    let job = of_server.job(vec![("floodmark.task", "run".into())]);
    let environment = job.environment();
    let handed = environment.iter().find(|(name, _)| *name == "TRACEPARENT").unwrap().1.clone();
    assert!(environment.contains(&("TRACESTATE", String::new())), "{environment:?}");
    let (child, _) = traces(&url, &handed);
    let child = child.unwrap();
    child.begin(Kind::Run, &pipeline(), None);
    child.end("orders", &end(None));
    drop(child);
    job.end(vec![("floodmark.status", "ok".into())], None);
    of_server.close();
    let spans = spans_of(&requests);
    assert_eq!(names(&spans), ["job", "run", "lock"]);
    assert!(spans[0].parent_span_id.is_empty());
    assert_eq!((&spans[1].trace_id, &spans[1].parent_span_id), (&spans[0].trace_id, &spans[0].span_id));
    assert_eq!(attribute(&spans[0], "floodmark.task").as_deref(), Some("run"));
    assert_eq!(attribute(&spans[0], "floodmark.status").as_deref(), Some("ok"));
}

#[test]
fn no_collector_holds_anything_up_or_is_told_of_with_a_secret() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://me:hunter2@{}/hunter2", listener.local_addr().unwrap())
    };
    let refused = b"HTTP/1.1 400 No hunter2\r\ncontent-length: 7\r\nconnection: close\r\n\r\nhunter2";
    let away = b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let throttled = b"HTTP/1.1 503 Later\r\nretry-after: 300\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    // ExportTracePartialSuccess { rejected_spans: 2 }.
    let in_part = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n\x0a\x02\x08\x02";
    for (url, told) in [
        (nobody, "cannot be reached"),
        (collector(None).0, "no answer"),
        (collector(Some(refused)).0, "traces: 7 spans were not sent; no load is touched by it"),
        (collector(Some(away)).0, "it answered 307"),
        (collector(Some(throttled)).0, "it answered 503"),
        (collector(Some(in_part)).0, "traces: 2 spans were not sent; no load is touched by it"),
        ("http://[::1/hunter2".into(), "no traces are sent"),
    ] {
        let (traces, warned) = traces(&url, "");
        let began = Instant::now();
        if let Some(traces) = &traces {
            traces.begin(Kind::Run, &pipeline(), None);
            [begun(), chunk(7).to_vec()].concat().iter().for_each(|event| traces.observe(event));
            traces.end("orders", &end(None));
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        }
        drop(traces);
        assert!(began.elapsed() < Duration::from_millis(3500), "{told}: {:?}", began.elapsed());
        let warned = warned.lock().unwrap();
        assert!(warned.len() == 1 && warned[0].contains(told), "{told}: {warned:?}");
        assert!(!warned[0].contains("hunter2"), "{warned:?}");
    }
}
