//! Runs, told in events of OpenLineage: START when a run begins to load, COMPLETE, FAIL or ABORT when it is over. `naming` says
//! what datasets are called, `event` what an event holds, both without input or output; `outlet` gets events out. No run waits
//! for that, and none fails by it.

mod event;
mod naming;
mod outlet;

pub use event::{Finish, Outcome};

use chrono::{DateTime, Utc};
use event::Run;
use floodmark_core::{event::Event, outlet::LineageSpec, pipeline::Pipeline};
use outlet::Outlet;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Tells of runs. What is not posted when it goes is waited for, for some seconds.
pub struct Lineage {
    namespace: String,
    outlet: Outlet,
    /// Runs that go on, by their pipelines.
    runs: Mutex<BTreeMap<String, Going>>,
}

struct Going {
    pipeline: Pipeline,
    due: Option<DateTime<Utc>>,
    /// Once it has an id.
    run: Option<Run>,
    /// Whether its START is out.
    told: bool,
}

impl Lineage {
    /// As the pipeline file says; `None` where it is switched off. `warn` is told of what does not arrive: the pipeline (empty
    /// where that is all of them), and why.
    pub fn new(spec: &LineageSpec, warn: impl Fn(&str, String) + Send + Sync + 'static) -> Option<Lineage> {
        (!outlet::is_off(spec)).then(|| Lineage {
            namespace: spec.namespace.clone(),
            outlet: Outlet::new(spec, Box::new(warn)),
            runs: Mutex::default(),
        })
    }

    /// A run of the pipeline is about to begin. `due`: when it should, where a schedule says so.
    pub fn begin(&self, pipeline: &Pipeline, due: Option<DateTime<Utc>>) {
        let going = Going { pipeline: pipeline.clone(), due, run: None, told: false };
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.name.clone(), going);
    }

    /// What happens during a run. One that finds another at work, or is overtaken, is told of by nothing.
    pub fn observe(&self, event: &Event) {
        let (pipeline, begins) = match event {
            Event::Started { pipeline, .. } | Event::Shaped { pipeline, .. } => (pipeline, false),
            Event::Surveying { pipeline, .. }
            | Event::Planned { pipeline, .. }
            | Event::Intervals { pipeline, .. }
            | Event::Committed { pipeline, .. } => (pipeline, true),
            _ => return,
        };
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(going) = runs.get_mut(pipeline) else { return };
        match event {
            Event::Started { run, .. } => going.run = Some(Run::of(&going.pipeline, run, Utc::now(), going.due)),
            Event::Shaped { table, .. } => {
                if let Some(run) = &mut going.run {
                    run.schema = Some(table.clone());
                }
            }
            _ => {}
        }
        if begins {
            self.start(pipeline, going);
        }
    }

    fn start(&self, pipeline: &str, going: &mut Going) {
        if let Some(run) = going.run.as_ref().filter(|_| !std::mem::replace(&mut going.told, true)) {
            self.outlet.send(pipeline, run.start(&self.namespace));
        }
    }

    /// The run is over; `None` where it came to nothing: another one was at work.
    pub fn end(&self, pipeline: &str, finish: Option<&Finish<'_>>) {
        let going = self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
        let (Some(mut going), Some(finish)) = (going, finish) else { return };
        self.start(pipeline, &mut going);
        if let Some(run) = &going.run {
            self.outlet.send(pipeline, run.end(&self.namespace, finish, Utc::now()));
        }
    }
}

#[cfg(test)]
mod tests;
