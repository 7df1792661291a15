//! Spans of OpenTelemetry, by a clock that does not go back.

use floodmark_core::Code;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::{
    borrow::Cow,
    time::{Instant, SystemTime},
};

/// The time as it was when a trace began, and what passed since: whoever sets the clock meanwhile takes no span out of the one
/// it lies in.
#[derive(Debug, Clone, Copy)]
struct Clock {
    at: SystemTime,
    since: Instant,
}

impl Clock {
    fn now(self) -> SystemTime {
        self.at + self.since.elapsed()
    }
}

/// Why something failed: a short name of the kind, and what it means. Both are constants: what an error says of rows is no
/// matter of traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// As `error.type` has it: `FM0301`.
    pub kind: &'static str,
    /// In a few words.
    pub meaning: &'static str,
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Failure { kind: code.number(), meaning: code.title() }
    }
}

/// Something that goes on, with all that happens in it. One that is dropped has ended.
#[derive(Debug)]
pub(crate) struct Open {
    tracer: SdkTracer,
    span: Span,
    clock: Clock,
    /// For what lies in it.
    inner: Context,
}

/// A part of it that goes on.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) attributes: Vec<KeyValue>,
    began: SystemTime,
}

impl Open {
    /// Begins, as a part of what is done in `parent`, where that is known.
    pub(crate) fn begin(
        tracer: &SdkTracer,
        parent: &Context,
        name: impl Into<Cow<'static, str>>,
        attributes: Vec<KeyValue>,
    ) -> Open {
        let clock = Clock { at: SystemTime::now(), since: Instant::now() };
        let builder = SpanBuilder::from_name(name).with_start_time(clock.at).with_attributes(attributes);
        let span = tracer.build_with_context(builder, parent);
        let inner = Context::new().with_remote_span_context(span.span_context().clone());
        Open { tracer: tracer.clone(), span, clock, inner }
    }

    /// What those who work for it belong to.
    pub(crate) fn inner(&self) -> &Context {
        &self.inner
    }

    pub(crate) fn set(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.span.set_attributes(attributes);
    }

    /// What it begins with.
    pub(crate) fn first(&self, name: &'static str) -> Part {
        Part { name, attributes: Vec::new(), began: self.clock.at }
    }

    /// The part is over, and another one begins where it ended.
    pub(crate) fn turn(&self, part: &mut Part, next: &'static str, failure: Option<&Failure>) {
        let now = self.clock.now();
        let over = std::mem::replace(part, Part { name: next, attributes: Vec::new(), began: now });
        self.close(over, now, failure);
    }

    /// It is over, with its last part.
    pub(crate) fn end(mut self, part: Option<Part>, failure: Option<&Failure>) {
        let now = self.clock.now();
        if let Some(part) = part {
            self.close(part, now, failure);
        }
        fail(&mut self.span, failure);
        self.span.end_with_timestamp(now);
    }

    fn close(&self, part: Part, now: SystemTime, failure: Option<&Failure>) {
        let builder = SpanBuilder::from_name(part.name).with_start_time(part.began).with_attributes(part.attributes);
        let mut span = self.tracer.build_with_context(builder, &self.inner);
        fail(&mut span, failure);
        span.end_with_timestamp(now);
    }
}

fn fail(span: &mut Span, failure: Option<&Failure>) {
    let Some(Failure { kind, meaning }) = failure else { return };
    span.set_attribute(KeyValue::new("error.type", *kind));
    span.set_status(Status::error(format!("{kind} {meaning}")));
}
