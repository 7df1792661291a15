//! A table as an Arrow stream.

use crate::{caller, capsule, neighbours::Active};
use arrow::{
    array::{RecordBatch, RecordBatchReader},
    datatypes::SchemaRef,
    error::ArrowError,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use floodmark_connect::{Batches, ReadPlan, Source, Stop, SurveyRequest};
use floodmark_core::{
    Error, Result, Schema,
    pipeline::{DatabaseSource, Relation, SourceSpec},
    url::ConnectionUrl,
};
use floodmark_engine::registry;
use pyo3::{prelude::*, types::PyCapsule};
use std::{
    sync::atomic::Ordering,
    thread::{self, JoinHandle, ThreadId},
};

/// A table or a query, read anew each time its rows are asked for.
#[pyclass(frozen, module = "floodmark")]
pub(crate) struct Read {
    url: ConnectionUrl,
    relation: Relation,
}

/// Looks whether it is there.
#[pyfunction]
pub(crate) fn read(py: Python<'_>, url: &str, table: Option<String>, query: Option<String>) -> PyResult<Read> {
    let relation = match (table, query) {
        (_, Some(sql)) => Relation::Query(sql),
        (table, None) => Relation::Table(table.unwrap_or_default()),
    };
    let made = |stop: &Stop| {
        let read = Read { url: ConnectionUrl::parse(url)?, relation };
        read.source()?.slices(stop)?;
        Ok(read)
    };
    interruptible(py, made)
}

impl Read {
    fn source(&self) -> Result<Box<dyn Source>> {
        let (url, relation) = (self.url.clone(), self.relation.clone());
        registry::source(&SourceSpec::Database(DatabaseSource { url, relation, readers: 1 }))
    }

    fn begin(&self, stop: &Stop, caller: ThreadId) -> Result<Rows> {
        let source = self.source()?;
        let slices = source.slices(stop)?;
        let schema = source.survey(&slices, &SurveyRequest::default(), stop)?.schema;
        let arrow = schema.to_arrow();
        let plan = ReadPlan { schema, ..ReadPlan::default() };
        let batches = slices.iter().map(|slice| source.read(slice, &plan, stop)).collect::<Result<Vec<_>>>()?;
        Ok(Rows::new(arrow, batches, source, stop.clone(), caller))
    }

    fn columns(&self, stop: &Stop) -> Result<Schema> {
        let source = self.source()?;
        let slices = source.slices(stop)?;
        Ok(source.survey(&slices, &SurveyRequest::default(), stop)?.schema)
    }
}

/// Does what may take a while on another thread, so that Ctrl-C ends it.
fn interruptible<T: Send>(py: Python<'_>, work: impl FnOnce(&Stop) -> Result<T> + Send) -> PyResult<T> {
    let stop = Stop::default();
    let _active = Active::begin();
    let (done, raised) = caller::beside(py, &stop, |_| work(&stop))?;
    match raised {
        Some(raised) => Err(raised),
        None => done.map_err(|error| exception(py, &error)),
    }
}

#[pymethods]
impl Read {
    /// The rows, by the Arrow C stream interface.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer may ask for other types, and a producer need not have them.
        drop(requested_schema);
        let caller = thread::current().id();
        let rows = interruptible(py, |stop| self.begin(stop, caller))?;
        capsule::export(py, Box::new(rows))
    }

    /// The columns and their types: `[("id", "bigint"), …]`.
    #[getter(columns)]
    fn columns_and_types(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let schema = interruptible(py, |stop| self.columns(stop))?;
        Ok(schema.columns.into_iter().map(|column| (column.name, column.data_type.to_string())).collect())
    }

    fn __repr__(&self) -> String {
        format!("<floodmark.read of {} in {}>", self.relation.described(), self.url)
    }
}

type Item = Result<RecordBatch, ArrowError>;

/// Batches of a source, read by a thread of their own: who waits for one can look for Ctrl-C meanwhile.
struct Rows {
    schema: SchemaRef,
    /// Gone when nobody wants more.
    batches: Option<Receiver<Item>>,
    reader: Option<JoinHandle<()>>,
    stop: Stop,
    /// The thread that asked for the rows. Another one may be of a library that waits for it with the GIL in hand, and
    /// signals are none of its business.
    caller: ThreadId,
}

impl Rows {
    fn new(
        schema: SchemaRef,
        batches: Vec<Box<dyn Batches>>,
        source: Box<dyn Source>,
        stop: Stop,
        caller: ThreadId,
    ) -> Self {
        let (ready, taken) = bounded(1);
        let active = Active::begin();
        let reader = thread::spawn(move || {
            // By slice, each read to its end and then gone; the source lives as long.
            for batch in batches.into_iter().flatten() {
                let item = batch.map_err(external).and_then(|mut batch| match batch.bad.is_empty() {
                    true => Ok(batch.rows),
                    false => Err(external(batch.bad.swap_remove(0).error)),
                });
                let last = item.is_err();
                // Nobody is left to take it.
                if ready.send(item).is_err() || last {
                    break;
                }
            }
            drop((source, active));
        });
        Rows { schema, batches: Some(taken), reader: Some(reader), stop, caller }
    }

    /// The next batch. Ctrl-C ends the wait: it is an error of the stream, whose consumer knows no other way to stop, and is
    /// raised once more when that has come back to Python.
    fn waited(&self, py: Python<'_>, batches: &Receiver<Item>) -> Option<Item> {
        loop {
            match py.detach(|| batches.recv_timeout(caller::LOOK)) {
                Ok(item) => return Some(item),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if py.check_signals().is_err() {
                self.stop.flag().store(caller::SIGINT, Ordering::Relaxed);
                // Without it the error alone says so.
                let _ = py.import("_thread").and_then(|module| module.call_method0("interrupt_main"));
                return Some(Err(self
                    .stop
                    .check()
                    .map_or_else(external, |()| ArrowError::ComputeError(String::new()))));
            }
        }
    }
}

fn external(error: Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

impl Iterator for Rows {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let batches = self.batches.as_ref()?;
        let item = match thread::current().id() == self.caller {
            true => capsule::attached(|py| self.waited(py, batches)).unwrap_or_else(|| batches.recv().ok()),
            false => batches.recv().ok(),
        };
        if !matches!(item, Some(Ok(_))) {
            self.batches = None;
        }
        item
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.stop.flag().store(caller::SIGINT, Ordering::Relaxed);
        self.batches = None;
        // What was read is let go of when the stream is; elsewhere, a moment later.
        if let Some(reader) = self.reader.take().filter(|_| thread::current().id() == self.caller) {
            // It may log its end, for which it needs the GIL. A panic of it was told when it happened.
            let ended = capsule::attached(|py| py.detach(|| reader.join()));
            drop(ended);
        }
    }
}

impl RecordBatchReader for Rows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The exception of an error: `floodmark._errors` knows which class that is.
fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let text = floodmark_cli::embed::error(error).to_string();
    let made = py.import("floodmark._errors").and_then(|errors| errors.getattr("of_json")?.call1((text,)));
    made.map_or_else(|failed| failed, PyErr::from_value)
}
