//! What a run says, to the Python object that listens.

use crate::caller::Caller;
use floodmark_cli::embed::Host;
use floodmark_core::event::Event;
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Calls `object(json)`, `note(text)`, `warning(text, help)` and `event(json)` of a Python object.
pub(crate) struct Listener {
    object: Arc<Py<PyAny>>,
    caller: Caller,
    /// Whether anybody wants to know what happens on the way: asking Python costs.
    watched: bool,
    /// What it raised: it is for the caller, and not for the run.
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Listener {
    pub(crate) fn new(object: Arc<Py<PyAny>>, watched: bool, caller: Caller) -> Self {
        Listener { object, caller, watched, raised: Arc::default() }
    }

    /// What the object raised, first.
    pub(crate) fn raised(&self) -> Arc<Mutex<Option<PyErr>>> {
        Arc::clone(&self.raised)
    }

    fn call(&self, work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()> + Send + 'static) {
        let object = Arc::clone(&self.object);
        if let Err(error) = self.caller.call(move |py| work(object.bind(py))) {
            self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.caller.stop();
        }
    }
}

impl Host for Listener {
    fn object(&self, value: &Value) {
        let text = value.to_string();
        self.call(move |to| to.call_method1("object", (text,)).map(drop));
    }

    fn note(&self, text: &str) {
        let text = text.to_owned();
        self.call(move |to| to.call_method1("note", (text,)).map(drop));
    }

    fn warning(&self, text: &str, help: Option<&str>) {
        let (text, help) = (text.to_owned(), help.map(str::to_owned));
        self.call(move |to| to.call_method1("warning", (text, help)).map(drop));
    }

    fn event(&self, event: &Event) {
        if !self.watched {
            return;
        }
        let Some(event) = told(event) else { return };
        let text = event.to_string();
        self.call(move |to| to.call_method1("event", (text,)).map(drop));
    }
}

/// An event as an object; warnings come by a way of their own.
fn told(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Started { pipeline, run } => json!({"kind": "started", "pipeline": pipeline, "run": run}),
        Event::Surveying { pipeline, bytes } => json!({"kind": "surveying", "pipeline": pipeline, "bytes": bytes}),
        Event::Planned { pipeline, slices, rows } => {
            json!({"kind": "planned", "pipeline": pipeline, "slices": slices, "rows": rows})
        }
        Event::Intervals { pipeline, column, intervals, from, until, .. } => json!({
            "kind": "intervals", "pipeline": pipeline, "column": column, "intervals": intervals, "from": from, "to": until,
        }),
        Event::Filling { pipeline, from, until, done, intervals } => json!({
            "kind": "filling", "pipeline": pipeline, "from": from, "to": until, "done": done, "intervals": intervals,
        }),
        Event::Progress { pipeline, rows } => json!({"kind": "progress", "pipeline": pipeline, "rows": rows}),
        Event::Committed { pipeline, counts } => {
            json!({"kind": "committed", "pipeline": pipeline, "rows": counts.read})
        }
        Event::Trial { pipeline, what } => json!({"kind": "trial", "pipeline": pipeline, "what": what}),
        Event::Finished { pipeline } => json!({"kind": "finished", "pipeline": pipeline}),
        _ => return None,
    })
}
