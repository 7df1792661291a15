//! Runs that wrote nothing, as files beside the state: they decide nothing, so that no entry of a table's log is made of them.

use chrono::{DateTime, Utc};
use floodmark_connect::kept;
use floodmark_core::{
    Counts, Error, Result,
    state::{RunRecord, WatermarkMove},
};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// A run, and where it is noted.
pub(crate) struct Note {
    pub(crate) path: Path,
    pub(crate) run: RunRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    run: String,
    pipeline: String,
    status: String,
    load: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    counts: Counts,
    watermark: Option<(String, Option<String>, Option<String>)>,
    error: Option<String>,
    commits: String,
}

pub(crate) fn written(run: &RunRecord) -> Result<Vec<u8>> {
    let line = Line {
        run: run.run.clone(),
        pipeline: run.pipeline.clone(),
        status: run.status.clone(),
        load: run.load.clone(),
        started_at: run.started_at,
        finished_at: run.finished_at,
        counts: run.counts,
        watermark: run.watermark.clone().map(|WatermarkMove { column, before, after }| (column, before, after)),
        error: run.error.clone(),
        commits: run.commits.text(),
    };
    serde_json::to_vec(&line).map_err(|e| Error::internal("a run has no JSON form").cause(e))
}

pub(crate) fn read(bytes: &[u8]) -> std::result::Result<RunRecord, String> {
    let line: Line = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok(RunRecord {
        run: line.run,
        pipeline: line.pipeline,
        status: line.status,
        load: line.load,
        started_at: line.started_at,
        finished_at: line.finished_at,
        counts: line.counts,
        watermark: line.watermark.map(|(column, before, after)| WatermarkMove { column, before, after }),
        error: line.error,
        commits: kept::commits(&line.commits).map_err(|e| e.to_string())?,
    })
}
