//! Work as spans of OpenTelemetry: each process that is started for some finds in its environment that its own lie within.

use crate::work::{Cause, End, Job};
use chrono::SecondsFormat;
use floodmark_core::Code;
use floodmark_trace::{Failure, Job as Span, Traces};
use std::{collections::BTreeMap, process::Command, sync::Arc};

/// What goes on, where anybody wants to see it.
pub(crate) struct Traced {
    traces: Option<Arc<Traces>>,
    spans: BTreeMap<String, Span>,
}

impl Traced {
    pub(crate) fn new(traces: Option<Arc<Traces>>) -> Traced {
        Traced { traces, spans: BTreeMap::new() }
    }

    /// This command is about to be started for the work.
    pub(crate) fn begin(&mut self, job: &Job, command: &mut Command) {
        let Some(traces) = &self.traces else { return };
        let cause = match job.cause {
            Cause::Schedule { .. } => "schedule",
            Cause::After { .. } => "after",
            Cause::Asked => "asked",
        };
        let mut attributes = vec![
            ("floodmark.pipeline", job.pipeline.clone()),
            ("floodmark.job", job.id.clone()),
            ("floodmark.task", job.task.name().to_owned()),
            ("floodmark.cause", cause.to_owned()),
            ("floodmark.attempt", job.attempt.to_string()),
        ];
        let due = job.cause.tick().map(|due| due.to_rfc3339_opts(SecondsFormat::Millis, true));
        attributes.extend(due.map(|due| ("floodmark.due", due)));
        let span = traces.job(attributes);
        command.envs(span.environment());
        self.spans.insert(job.id.clone(), span);
    }

    /// It has ended. `job` is what is known of it, where that was not forgotten at once.
    pub(crate) fn end(&mut self, id: &str, job: Option<&Job>) {
        let Some(span) = self.spans.remove(id) else { return };
        let end = job.and_then(Job::end);
        let mut attributes: Vec<_> = end.map(|end| ("floodmark.status", end.name().to_owned())).into_iter().collect();
        attributes.extend(job.and_then(|job| job.run.clone()).map(|run| ("floodmark.run", run)));
        span.end(attributes, job.zip(end).and_then(|(job, end)| failure(job, end)).as_ref());
    }
}

/// Why it is no success, in constants: what a process says may hold what is in its rows.
fn failure(job: &Job, end: End) -> Option<Failure> {
    let code = job.result.as_ref().and_then(|result| Code::parse(result["error"]["code"].as_str()?));
    let told = |kind, meaning| Some(Failure { kind, meaning });
    match (end, code) {
        (End::Ok | End::NothingNew | End::Differences | End::Busy, _) => None,
        (End::Failed | End::Refused, Some(code)) => Some(code.into()),
        (End::Failed, None) => told("failed", "its process ended without a result"),
        (End::Refused, None) => told("refused", "the pipeline file does not allow it"),
        (End::TimedOut, _) => told("timed_out", "it took longer than the pipeline's timeout"),
        (End::Cancelled, _) => told("cancelled", "somebody ended it"),
        (End::Stopped, _) => told("stopped", "the server was told to stop"),
    }
}
