//! Runs as traces of OpenTelemetry: a span for each run, with its phases within. `settings` says what the environment wants,
//! `context` which span a process belongs to, `run` what is in a span, all without input or output; `delivery` gets spans out.
//! No run waits for that, and none fails by it.
//!
//! Nothing is global: another program that runs a command has its own providers, which are left alone.

mod context;
mod delivery;
mod run;
mod settings;
mod span;

pub use run::{End, Kind};
pub use span::Failure;

use chrono::{DateTime, Utc};
use delivery::Delivery;
use floodmark_core::{event::Event, pipeline::Pipeline};
use opentelemetry::{Context, InstrumentationScope, KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use run::Going;
use span::Open;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long what is not sent when all is over may take still.
const LAST: Duration = Duration::from_secs(2);
/// Spans that wait, at most; what does not fit is left out. Not the environment's to say: memory for all is taken at once.
const WAITING: usize = 2048;
/// Spans that are sent together.
const TOGETHER: usize = 512;

const SERVICE_NAME: &str = "service.name";
const SERVICE_VERSION: &str = "service.version";

/// Somebody who is told what did not arrive, once, when all is over.
type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// Traces runs. What is not sent when it goes is waited for, for some moments.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// What all of this belongs to.
    parent: Context,
    delivery: Arc<Delivery>,
    warn: Warn,
    /// Runs that go on, by their pipelines.
    runs: Mutex<BTreeMap<String, Going>>,
}

impl Traces {
    /// As the environment says; `None` where it names no collector. `warn` is told why nothing can be sent, and what did not
    /// arrive.
    pub fn from_env(
        lookup: &dyn Fn(&str) -> Option<String>,
        warn: impl Fn(&str) + Send + Sync + 'static,
    ) -> Option<Traces> {
        Traces::new(lookup, Box::new(warn)).unwrap_or_else(|(warn, why)| {
            warn(&format!("no traces are sent: {why}"));
            None
        })
    }

    fn new(lookup: settings::Lookup<'_>, warn: Warn) -> Result<Option<Traces>, (Warn, String)> {
        let url = match settings::endpoint(lookup) {
            Ok(Some(url)) => url,
            Ok(None) => return Ok(None),
            Err(why) => return Err((warn, why)),
        };
        let delivery = Delivery::to(url);
        let exporter = match delivery.exporter() {
            Ok(exporter) => exporter,
            Err(why) => return Err((warn, why)),
        };
        let parent = context::given(lookup).unwrap_or_else(|why| {
            warn(&why);
            None
        });
        let config = BatchConfigBuilder::default().with_max_queue_size(WAITING).with_max_export_batch_size(TOGETHER);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource()).build();
        let scope = InstrumentationScope::builder("floodmark").with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.tracer_with_scope(scope);
        let parent = parent.unwrap_or_default();
        Ok(Some(Traces { provider, tracer, parent, delivery, warn, runs: Mutex::default() }))
    }

    /// A run of the pipeline is about to begin. `due`: when it should, where a schedule says so.
    pub fn begin(&self, kind: Kind, pipeline: &Pipeline, due: Option<DateTime<Utc>>) {
        let going = Going::begin(&self.tracer, &self.parent, kind, pipeline, due);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.name.clone(), going);
    }

    /// What happens during a run.
    pub fn observe(&self, event: &Event) {
        let (Event::Started { pipeline, .. }
        | Event::Locked { pipeline }
        | Event::Surveying { pipeline, .. }
        | Event::Planned { pipeline, .. }
        | Event::Intervals { pipeline, .. }
        | Event::Filling { pipeline, .. }
        | Event::Progress { pipeline, .. }
        | Event::Sealed { pipeline }
        | Event::Committed { pipeline, .. }
        | Event::Retrying { pipeline, .. }) = event
        else {
            return;
        };
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(going) = runs.get_mut(pipeline) {
            going.observe(event);
        }
    }

    /// The run is over.
    pub fn end(&self, pipeline: &str, end: &End) {
        let going = self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
        if let Some(going) = going {
            going.end(end);
        }
    }

    /// Something begins that processes are started for. It belongs to nothing else: whoever started this process is no part of
    /// each thing that it does later.
    pub fn job(&self, attributes: Vec<(&'static str, String)>) -> Job {
        Job(Open::begin(&self.tracer, &Context::new(), "job", texts(attributes)))
    }

    /// Sends what is not sent, within some moments. Nothing is traced from here on.
    pub fn close(&self) {
        self.delivery.end_by(Instant::now() + LAST);
        match self.provider.shutdown_with_timeout(LAST) {
            Err(OTelSdkError::AlreadyShutdown) => {}
            over => {
                if let Some(lost) = self.delivery.lost(over.is_ok()) {
                    (self.warn)(&lost);
                }
            }
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.close();
    }
}

/// Something that processes are started for.
pub struct Job(Open);

impl Job {
    /// What these are to find in their environment, so that their spans lie within.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        context::handed_on(self.0.inner())
    }

    /// It is over.
    pub fn end(mut self, attributes: Vec<(&'static str, String)>, failure: Option<&Failure>) {
        self.0.set(texts(attributes));
        self.0.end(None, failure);
    }
}

fn texts(attributes: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect()
}

/// What the environment says of this service, and what it is where that says nothing.
fn resource() -> Resource {
    let (mut resource, given) = (Resource::builder(), Resource::builder().build());
    if given.get(&SERVICE_NAME.into()).is_none_or(|name| name.as_str().starts_with("unknown_service")) {
        resource = resource.with_service_name("floodmark");
    }
    if given.get(&SERVICE_VERSION.into()).is_none() {
        resource = resource.with_attribute(KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")));
    }
    resource.build()
}

#[cfg(test)]
mod tests;
