//! One run of one pipeline, from lock to receipt.

use floodmark_connect::Stop;
use floodmark_core::{
    Counts, Error,
    clock::{SharedClock, SystemClock},
    event::{Observer, Silent},
    pipeline::{Load, Pipeline},
    state::WatermarkMove,
};
use std::{sync::Arc, time::Duration};

/// What a run may be told beside its pipeline.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// How long to wait for another run of the pipeline: `Some(ZERO)` not at all, `None` for ever.
    pub wait: Option<Duration>,
    /// Forget state and rows first, in the same transaction as the load.
    pub full_refresh: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It loaded what there was.
    Ok,
    /// There was nothing to load.
    NothingNew,
    /// It failed; see the error.
    Failed,
    /// Another run holds the pipeline.
    Busy,
}

impl Status {
    /// As in `--format json`.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::NothingNew => "nothing_new",
            Status::Failed => "failed",
            Status::Busy => "busy",
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The pipeline.
    pub pipeline: String,
    /// The run's id.
    pub run: String,
    /// How it ended.
    pub status: Status,
    /// The load strategy.
    pub load: Load,
    /// Rows by outcome, of what was committed.
    pub counts: Counts,
    /// How the watermark moved, where there is one.
    pub watermark: Option<WatermarkMove>,
    /// Wall time.
    pub elapsed: Duration,
    /// Why it failed or is busy.
    pub error: Option<Error>,
}

/// Runs pipelines. Clock, observer and stop request are injected.
#[derive(Clone)]
pub struct Engine {
    /// Time and ids.
    pub clock: SharedClock,
    /// Who is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Set by a signal.
    pub stop: Stop,
}

impl Default for Engine {
    fn default() -> Self {
        Engine { clock: Arc::new(SystemClock), observer: Arc::new(Silent), stop: Stop::default() }
    }
}

impl Engine {
    /// Runs one pipeline to its end. Never panics; an error is part of the outcome.
    pub fn run(&self, pipeline: &Pipeline, options: &RunOptions) -> Outcome {
        let _ = options;
        Outcome {
            pipeline: pipeline.name.clone(),
            run: self.clock.run_id(),
            status: Status::Failed,
            load: pipeline.load,
            counts: Counts::default(),
            watermark: None,
            elapsed: Duration::ZERO,
            error: Some(Error::internal("not built yet")),
        }
    }
}
