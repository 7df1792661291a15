//! Events, as OpenLineage 2-0-2 has them, without input or output.

use crate::naming::{self, Dataset};
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_core::{Counts, Schema, pipeline::Pipeline, state::WatermarkMove};
use serde_json::{Map, Value, json};

/// Who makes events. It has no address of its own.
const PRODUCER: &str = concat!("urn:floodmark:", env!("CARGO_PKG_VERSION"));
const SPEC: &str = "https://openlineage.io/spec";

/// What becomes of a run, in the words of OpenLineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end.
    Complete,
    /// It failed.
    Fail,
    /// It was told to end.
    Abort,
}

/// What there is to tell of a run that is over.
#[derive(Debug, Clone)]
pub struct Finish<'a> {
    /// How.
    pub outcome: Outcome,
    /// As ledgers have it: `ok`, `nothing_new`, `failed`.
    pub status: &'a str,
    /// Rows by outcome, of what was committed.
    pub counts: Counts,
    /// How the watermark moved, where there is one.
    pub watermark: Option<&'a WatermarkMove>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A run that is told of.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) load: &'static str,
    pub(crate) began: DateTime<Utc>,
    /// When it was due.
    pub(crate) due: Option<DateTime<Utc>>,
    pub(crate) inputs: Vec<Dataset>,
    pub(crate) output: Option<Dataset>,
    /// The table's columns, once they are known.
    pub(crate) schema: Option<Schema>,
}

impl Run {
    pub(crate) fn of(pipeline: &Pipeline, id: &str, began: DateTime<Utc>, due: Option<DateTime<Utc>>) -> Run {
        Run {
            id: id.to_owned(),
            job: pipeline.name.clone(),
            load: pipeline.load.name(),
            began,
            due,
            inputs: naming::inputs(pipeline),
            output: naming::output(pipeline),
            schema: None,
        }
    }

    /// That it began.
    pub(crate) fn start(&self, namespace: &str) -> Value {
        self.event(namespace, "START", self.began, Map::new(), None)
    }

    /// That it ended.
    pub(crate) fn end(&self, namespace: &str, finish: &Finish<'_>, now: DateTime<Utc>) -> Value {
        let kind = match finish.outcome {
            Outcome::Complete => "COMPLETE",
            Outcome::Fail => "FAIL",
            Outcome::Abort => "ABORT",
        };
        let mut facets = Map::new();
        if let Some(error) = &finish.error {
            let error = json!({ "message": error, "programmingLanguage": "RUST" });
            facets.insert("errorMessage".into(), facet("facets/1-0-1/ErrorMessageRunFacet.json", error));
        }
        let rows = serde_json::to_value(finish.counts).unwrap_or_default();
        facets.insert("floodmark_rows".into(), own("rows", rows));
        facets.insert("floodmark_run".into(), own("run", json!({ "status": finish.status, "load": self.load })));
        if let Some(moved) = finish.watermark {
            let moved = json!({ "column": moved.column, "before": moved.before, "after": moved.after });
            facets.insert("floodmark_watermark".into(), own("watermark", moved));
        }
        self.event(namespace, kind, now, facets, Some(&finish.counts))
    }

    fn event(
        &self,
        namespace: &str,
        kind: &str,
        at: DateTime<Utc>,
        mut facets: Map<String, Value>,
        counts: Option<&Counts>,
    ) -> Value {
        let engine = json!({ "version": env!("CARGO_PKG_VERSION"), "name": "floodmark", "openlineageAdapterVersion": env!("CARGO_PKG_VERSION") });
        facets.insert("processing_engine".into(), facet("facets/1-1-1/ProcessingEngineRunFacet.json", engine));
        if let Some(due) = self.due {
            let due = json!({ "nominalStartTime": moment(due) });
            facets.insert("nominalTime".into(), facet("facets/1-0-1/NominalTimeRunFacet.json", due));
        }
        let job = json!({ "processingType": "BATCH", "integration": "FLOODMARK", "jobType": "PIPELINE" });
        json!({
            "eventType": kind,
            "eventTime": moment(at),
            "producer": PRODUCER,
            "schemaURL": format!("{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"),
            "run": { "runId": self.id, "facets": facets },
            "job": {
                "namespace": namespace,
                "name": self.job,
                "facets": { "jobType": facet("facets/2-0-4/JobTypeJobFacet.json", job) },
            },
            "inputs": self.inputs.iter().map(|dataset| self.input(dataset, counts)).collect::<Vec<_>>(),
            "outputs": self.output.iter().map(|dataset| self.output(dataset, counts)).collect::<Vec<_>>(),
        })
    }

    fn input(&self, dataset: &Dataset, counts: Option<&Counts>) -> Value {
        let mut facets = Map::new();
        // Which rows came from which of several is not known here.
        if let (Some(counts), 1) = (counts, self.inputs.len()) {
            let rows = json!({ "rowCount": counts.read });
            facets.insert("inputStatistics".into(), facet("facets/1-0-0/InputStatisticsInputDatasetFacet.json", rows));
        }
        json!({ "namespace": dataset.namespace, "name": dataset.name, "facets": {}, "inputFacets": facets })
    }

    fn output(&self, dataset: &Dataset, counts: Option<&Counts>) -> Value {
        let (mut facets, mut written) = (Map::new(), Map::new());
        if let Some(schema) = &self.schema {
            let fields: Vec<Value> = schema
                .columns
                .iter()
                .zip(1..)
                .map(|(column, place)| {
                    json!({ "name": column.name, "type": column.data_type.to_string(), "ordinal_position": place })
                })
                .collect();
            facets.insert("schema".into(), facet("facets/1-2-0/SchemaDatasetFacet.json", json!({ "fields": fields })));
        }
        if let Some(counts) = counts {
            let rows = json!({ "rowCount": counts.inserted + counts.updated });
            written
                .insert("outputStatistics".into(), facet("facets/1-0-2/OutputStatisticsOutputDatasetFacet.json", rows));
        }
        json!({ "namespace": dataset.namespace, "name": dataset.name, "facets": facets, "outputFacets": written })
    }
}

/// A facet of the specification, by where its schema is.
fn facet(schema: &str, fields: Value) -> Value {
    let name = schema.rsplit('/').next().unwrap_or(schema).trim_end_matches(".json");
    with(format!("{SPEC}/{schema}#/$defs/{name}"), fields)
}

/// One of ours; docs/serve.md says what is in it.
fn own(name: &str, fields: Value) -> Value {
    with(format!("urn:floodmark:facet:{name}:1"), fields)
}

fn with(schema: String, fields: Value) -> Value {
    let mut facet = json!({ "_producer": PRODUCER, "_schemaURL": schema });
    if let (Value::Object(facet), Value::Object(fields)) = (&mut facet, fields) {
        facet.extend(fields);
    }
    facet
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
