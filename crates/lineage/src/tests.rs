//! Events, held to OpenLineage's own schemas.

use super::*;
use floodmark_core::{
    Column, Counts, DataType, Schema,
    outlet::{Endpoint, Given, Secret, WebUrl},
    state::WatermarkMove,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const RUN: &str = "0195a3b2-7c1e-7000-8000-000000000001";

/// The schemas by their addresses.
fn schemas() -> HashMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openlineage");
    let mut files = vec![folder.join("OpenLineage.json")];
    files.extend(std::fs::read_dir(folder.join("facets")).unwrap().map(|file| file.unwrap().path()));
    let read = |path| serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap();
    files.into_iter().map(read).map(|schema| (schema["$id"].as_str().unwrap().to_owned(), schema)).collect()
}

/// Whether a value fits a schema, for the keywords that those of OpenLineage use.
struct Check {
    schemas: HashMap<String, Value>,
}

impl Check {
    fn resolve(&self, id: &str, reference: &str) -> (String, &Value) {
        let (document, pointer) = reference.split_once('#').unwrap();
        let id = if document.is_empty() { id } else { document };
        let schema = self.schemas.get(id).unwrap_or_else(|| panic!("there is no copy of {id}"));
        (id.to_owned(), schema.pointer(pointer).unwrap_or_else(|| panic!("{reference} is nothing")))
    }

    fn fits(&self, id: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let fail = |why: &str| Err(format!("{value} {why} {schema}"));
        for (keyword, with) in schema.as_object().unwrap() {
            let all = || with.as_array().unwrap().iter();
            match keyword.as_str() {
                "$ref" => {
                    let (id, schema) = self.resolve(id, with.as_str().unwrap());
                    self.fits(&id, schema, value)?;
                }
                "allOf" => all().try_for_each(|schema| self.fits(id, schema, value))?,
                "anyOf" if !all().any(|schema| self.fits(id, schema, value).is_ok()) => return fail("fits none of"),
                "enum" if !all().any(|one| one == value) => return fail("is none of"),
                "type" => {
                    let is = match value {
                        Value::String(_) => "string",
                        Value::Number(_) => "integer",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                        _ => "other",
                    };
                    if is != with.as_str().unwrap() {
                        return fail("is not of the type of");
                    }
                }
                "required" => {
                    if let Some(name) = all().find(|name| value.get(name.as_str().unwrap()).is_none()) {
                        return fail(&format!("lacks {name} of"));
                    }
                }
                "properties" => {
                    for (name, schema) in with.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            self.fits(id, schema, value)?;
                        }
                    }
                }
                "additionalProperties" => {
                    for (_, value) in value.as_object().unwrap().iter().filter(|_| with.is_object()) {
                        self.fits(id, with, value)?;
                    }
                }
                "items" => value.as_array().unwrap().iter().try_for_each(|item| self.fits(id, with, item))?,
                "format" => {
                    let text = value.as_str().unwrap();
                    let right = match with.as_str().unwrap() {
                        "date-time" => text.parse::<DateTime<Utc>>().is_ok(),
                        "uri" => {
                            text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
                        }
                        "uuid" => text.len() == 36 && text.split('-').count() == 5,
                        other => panic!("{other} is not checked"),
                    };
                    if !right {
                        return fail("is not in the form of");
                    }
                }
                "anyOf" | "enum" | "description" | "example" => {}
                other => panic!("{other} is not checked"),
            }
        }
        Ok(())
    }

    /// An event, and each of its facets by the schema it names.
    fn event(&self, event: &Value) {
        let (id, schema) = self.resolve("", event["schemaURL"].as_str().unwrap());
        self.fits(&id, schema, event).unwrap_or_else(|why| panic!("{why}"));
        let mut facets = vec![&event["run"]["facets"], &event["job"]["facets"]];
        for dataset in [&event["inputs"], &event["outputs"]].into_iter().flat_map(|all| all.as_array().unwrap()) {
            facets.extend(["facets", "inputFacets", "outputFacets"].into_iter().filter_map(|name| dataset.get(name)));
        }
        for (name, facet) in facets.into_iter().flat_map(|all| all.as_object().unwrap()) {
            let url = facet["_schemaURL"].as_str().unwrap();
            if url.starts_with("urn:floodmark:facet:") {
                assert!(name.starts_with("floodmark_"), "{name}");
                continue;
            }
            let (id, schema) = self.resolve("", url);
            self.fits(&id, schema, facet).unwrap_or_else(|why| panic!("{name}: {why}"));
            // Consumers know a facet by its name.
            let properties = self.schemas[&id]["properties"].as_object().unwrap();
            assert!(properties.contains_key(name), "{name} is not the name that {id} gives it");
        }
    }
}

fn pipeline() -> Pipeline {
    let text = "version: 1\npipelines:\n  orders:\n    source: { url: \"postgres://app:hunter2@db/shop\", table: orders }\n    destination: { url: \"mysql://app:hunter2@dw:3307/raw\", table: orders }\n    key: id\n    watermark: at\n";
    floodmark_config::Project::parse(Path::new("floodmark.yaml"), text, &|_| None).unwrap().pipelines.remove(0)
}

fn spec(file: Option<&Path>, url: Option<&str>) -> LineageSpec {
    let endpoint = url.map(|url| Endpoint {
        url: Given::Is(WebUrl::parse(url).unwrap()),
        token: Some(Given::Is(Secret::new("hunter2"))),
    });
    LineageSpec { namespace: "shop".into(), endpoint, file: file.map(Path::to_owned) }
}

fn finish(outcome: Outcome) -> Finish<'static> {
    Finish { outcome, status: "ok", counts: Counts::default(), watermark: None, error: None }
}

fn started() -> Event {
    Event::Started { pipeline: "orders".into(), run: RUN.into() }
}

fn planned() -> Event {
    Event::Planned { pipeline: "orders".into(), slices: 1, rows: None }
}

/// What a run of these events leaves in a file.
fn told(events: &[Event], finish: Option<&Finish<'_>>) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lineage.ndjson");
    let lineage = Lineage::new(&spec(Some(&file), None), |_, why| panic!("{why}")).unwrap();
    lineage.begin(&pipeline(), DateTime::from_timestamp(1_780_000_000, 0));
    events.iter().for_each(|event| lineage.observe(event));
    lineage.end("orders", finish);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_is_told_as_openlineage_wants_it() {
    let table = Schema { columns: vec![Column::new("id", DataType::BigInt)] };
    let moved = WatermarkMove { column: "at".into(), before: None, after: Some("2026-03-04".into()) };
    let finish = Finish {
        status: "failed",
        counts: Counts { read: 7, inserted: 4, updated: 2, rejected: 1, ..Counts::default() },
        watermark: Some(&moved),
        error: Some("FM0402 the server closed the connection".into()),
        ..finish(Outcome::Fail)
    };
    let shaped = Event::Shaped { pipeline: "orders".into(), table };
    let told = told(&[started(), shaped, planned()], Some(&finish));
    let check = Check { schemas: schemas() };
    told.iter().for_each(|event| check.event(event));
    let [start, end] = &told[..] else { panic!("two events: {told:?}") };
    assert_eq!((&start["eventType"], &end["eventType"]), (&"START".into(), &"FAIL".into()));
    assert_eq!((&start["run"]["runId"], &end["run"]["runId"]), (&RUN.into(), &RUN.into()));
    assert_eq!((&end["job"]["namespace"], &end["job"]["name"]), (&"shop".into(), &"orders".into()));
    assert_eq!(end["inputs"][0]["name"], "shop.public.orders");
    assert_eq!(end["outputs"][0]["namespace"], "mysql://dw:3307");
    assert_eq!(end["outputs"][0]["facets"]["schema"]["fields"][0]["type"], "bigint");
    assert_eq!(end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"], 6);
    assert_eq!(end["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"], 7);
    assert_eq!(end["run"]["facets"]["nominalTime"]["nominalStartTime"], "2026-05-28T20:26:40.000Z");
    assert_eq!(end["run"]["facets"]["floodmark_watermark"]["after"], "2026-03-04");
    assert_eq!(end["run"]["facets"]["floodmark_rows"]["rejected"], 1);
    assert!(!format!("{told:?}").contains("hunter2"));
}

#[test]
fn each_run_is_told_once_and_one_that_came_to_nothing_is_not() {
    let kinds = |events: &[Event], finish: Option<&Finish<'_>>| -> Vec<String> {
        told(events, finish).iter().map(|event| event["eventType"].as_str().unwrap().to_owned()).collect()
    };
    // Nothing new: it never came to a plan, and is told all the same.
    assert_eq!(kinds(&[started()], Some(&finish(Outcome::Complete))), ["START", "COMPLETE"]);
    let attempts = [started(), planned(), planned()];
    assert_eq!(kinds(&attempts, Some(&finish(Outcome::Abort))), ["START", "ABORT"]);
    assert_eq!(kinds(&[started()], None), [""; 0]);
    assert_eq!(kinds(&[], Some(&finish(Outcome::Fail))), [""; 0], "the file does not allow it");
}

#[test]
fn nobody_who_does_not_answer_holds_a_run_up() {
    let warned: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = Arc::clone(&warned);
    let warn = move |pipeline: &str, why: String| all.lock().unwrap().push(format!("{pipeline}: {why}"));
    // A server that takes what it is sent, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hunter2", silent.local_addr().unwrap());
    let lineage = Lineage::new(&spec(None, Some(&url)), warn).unwrap();
    let began = Instant::now();
    for _ in 0..50 {
        lineage.begin(&pipeline(), None);
        [started(), planned()].iter().for_each(|event| lineage.observe(event));
        lineage.end("orders", Some(&finish(Outcome::Complete)));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(lineage);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let warned = warned.lock().unwrap();
    assert!(warned.len() == 1 && warned[0].starts_with("orders: 100 events were not posted"), "{warned:?}");
    assert!(!warned[0].contains("hunter2"), "{warned:?}");
}

#[test]
fn what_is_switched_off_or_missing_is_told_or_not() {
    let off = LineageSpec {
        namespace: "shop".into(),
        endpoint: Some(Endpoint { url: Given::Empty, token: None }),
        file: None,
    };
    assert!(Lineage::new(&off, |_, why| panic!("{why}")).is_none());
    let warned: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = Arc::clone(&warned);
    let unset =
        LineageSpec { endpoint: Some(Endpoint { url: Given::Unset("`${X}` is not set".into()), token: None }), ..off };
    drop(Lineage::new(&unset, move |_, why| all.lock().unwrap().push(why)));
    assert_eq!(*warned.lock().unwrap(), ["runs are not told of by `lineage`: `${X}` is not set"]);
}
