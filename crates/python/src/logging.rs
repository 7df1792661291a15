//! What the engine logs, into Python's `logging`.

use pyo3::prelude::*;
use std::fmt::{self, Write};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry};

/// Hands every event to `logger.log(level, text)`. Once for a process; returns whether it is so from now on.
#[pyfunction]
pub(crate) fn log_into(logger: Py<PyAny>) -> bool {
    registry().with(Into(logger)).try_init().is_ok()
}

struct Into(Py<PyAny>);

/// As Python counts them.
fn level(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        _ => 10,
    }
}

impl<S: Subscriber> Layer<S> for Into {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // What others log is theirs: the reader of Delta's logs calls it an error that a new table has none, and what is trouble for
        // a load the load says itself.
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("floodmark")
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let number = level(*event.metadata().level());
        // An interpreter that is going down has nobody left to tell.
        let _ = Python::try_attach(|py| {
            let logger = self.0.bind(py);
            let wanted = logger.call_method1("isEnabledFor", (number,))?.is_truthy()?;
            if wanted {
                let mut text = Text::default();
                event.record(&mut text);
                logger.call_method1("log", (number, "%s", text.message + &text.fields))?;
            }
            Ok::<(), PyErr>(())
        });
    }
}

/// The message, and behind it every other field as ` key=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
