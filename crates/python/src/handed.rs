//! Rows of a Python program, as a source.

use crate::{
    caller::Caller,
    capsule::{self, Reader},
    rows::{self, Made},
};
use arrow::{
    array::{RecordBatch, RecordBatchReader},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use floodmark_core::{Code, Error, Result, Value};
use floodmark_files::{ArrowStream, Handed};
use pyo3::{exceptions::PyKeyboardInterrupt, prelude::*};
use std::sync::{Arc, Mutex, PoisonError};

/// An object of `floodmark._data.Rows`.
pub(crate) struct Rows {
    /// What ledgers and messages call the rows.
    pub(crate) name: String,
    ordered: bool,
    /// Whether they can be read again.
    again: bool,
    /// Columns that are given a type: their values may be of several kinds.
    typed: Vec<String>,
    /// All columns, where some are nothing but NULL and left out of what is given.
    columns: Option<Vec<String>>,
    /// `open(from)` gives `(kind, object)`.
    open: Arc<Py<PyAny>>,
}

impl Rows {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Rows {
            name: object.getattr("name")?.extract()?,
            ordered: object.getattr("ordered")?.extract()?,
            again: object.getattr("again")?.extract()?,
            typed: object.getattr("typed")?.extract()?,
            columns: object.getattr("columns")?.extract()?,
            open: Arc::new(object.getattr("open")?.unbind()),
        })
    }
}

/// What Python raised while rows were made: the cause of the run's error.
pub(crate) type Cause = Arc<Mutex<Option<PyErr>>>;

/// Rows that are asked for on the thread that called.
pub(crate) struct FromPython {
    rows: Rows,
    caller: Caller,
    cause: Cause,
    /// Whether they were given out, where that can be done but once.
    given: Mutex<bool>,
    /// Rows that came one by one, kept.
    made: Mutex<Option<Made>>,
}

/// What `open` gave.
enum Opened {
    /// Batches by the Arrow interface.
    Stream(Reader),
    /// An iterator over objects that have it.
    Batches(Py<PyAny>),
    /// An iterator over dicts.
    Rows(Py<PyAny>),
}

impl FromPython {
    pub(crate) fn new(rows: Rows, caller: Caller) -> Self {
        FromPython { rows, caller, cause: Cause::default(), given: Mutex::default(), made: Mutex::default() }
    }

    pub(crate) fn cause(&self) -> Cause {
        Arc::clone(&self.cause)
    }

    fn asked(&self, from: Option<&Value>) -> Result<Opened> {
        let (open, from) = (Arc::clone(&self.rows.open), from.map(position));
        let opened = self.caller.call(move |py| {
            let (kind, object): (String, Bound<'_, PyAny>) = open.bind(py).call1((from,))?.extract()?;
            match kind.as_str() {
                "rows" => Ok(Opened::Rows(object.unbind())),
                "batches" => Ok(Opened::Batches(object.unbind())),
                _ => match capsule::import(&object)? {
                    Some(reader) => Ok(Opened::Stream(reader)),
                    None => Err(pyo3::exceptions::PyTypeError::new_err("no Arrow stream")),
                },
            }
        });
        opened.map_err(|error| raised(&self.caller, &self.cause, error))
    }
}

impl Handed for FromPython {
    fn name(&self) -> &str {
        &self.rows.name
    }

    fn ordered(&self) -> bool {
        self.rows.ordered
    }

    fn open(&self, from: Option<&Value>) -> Result<ArrowStream> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &mut *made {
            return made.read();
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if *given {
            return Err(Error::new(Code::SourceMissing, "the rows were read before the server was lost, and are gone")
                .help("hand them over again: what is loaded already is recognised"));
        }
        *given = !self.rows.again;
        match self.asked(from)? {
            Opened::Stream(reader) => Ok(stream(reader, self.rows.columns.as_deref())),
            Opened::Batches(iterator) => self.batches(iterator),
            Opened::Rows(iterator) => {
                let new = Made::take(iterator, &self.rows.typed, &self.caller, &self.cause, &self.rows.name)?;
                made.insert(new).read()
            }
        }
    }
}

impl FromPython {
    /// Batches that are made one by one: the first says what the columns are.
    fn batches(&self, iterator: Py<PyAny>) -> Result<ArrowStream> {
        let mut chunks =
            Chunks { iterator: Arc::new(iterator), caller: self.caller.clone(), cause: self.cause(), open: None };
        let Some(first) = chunks.advance()? else {
            return Ok(ArrowStream { schema: Arc::new(Schema::empty()), batches: Box::new(std::iter::empty()) });
        };
        let schema = first.schema();
        chunks.open = Some(first);
        let (columns, name) = (schema.clone(), self.rows.name.clone());
        let batches = chunks.map(move |batch| aligned(&batch?, &columns, &name));
        Ok(ArrowStream { schema, batches: Box::new(batches) })
    }
}

/// Batches of one object after the other.
struct Chunks {
    iterator: Arc<Py<PyAny>>,
    caller: Caller,
    cause: Cause,
    open: Option<Reader>,
}

impl Chunks {
    fn advance(&self) -> Result<Option<Reader>> {
        let iterator = Arc::clone(&self.iterator);
        let next = self.caller.call(move |py| {
            let Some(chunk) = iterator.bind(py).try_iter()?.next().transpose()? else { return Ok(None) };
            match capsule::import(&chunk)? {
                Some(reader) => Ok(Some(reader)),
                None => Err(pyo3::exceptions::PyTypeError::new_err(format!(
                    "a generator of batches gave a {}, which has no Arrow interface",
                    chunk.get_type().name()?
                ))),
            }
        });
        next.map_err(|error| raised(&self.caller, &self.cause, error))
    }
}

impl Iterator for Chunks {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            if let Some(batch) = self.open.as_mut().and_then(Iterator::next) {
                return Some(batch.map_err(unreadable));
            }
            match self.advance() {
                Ok(Some(reader)) => self.open = Some(reader),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A batch with its columns where those of the first are.
fn aligned(batch: &RecordBatch, columns: &SchemaRef, name: &str) -> Result<RecordBatch> {
    let schema = batch.schema();
    if schema.fields().len() == columns.fields().len()
        && schema.fields().iter().zip(columns.fields()).all(|(one, other)| one.name() == other.name())
    {
        return Ok(batch.clone());
    }
    let differ = |column: &str, what: &str| {
        Error::new(
            Code::BadHeader,
            format!(
                "a batch {what} column {column:?}, and the first one {}",
                match what {
                    "has no" => "has it",
                    _ => "has not",
                }
            ),
        )
        .in_file(name)
        .help("give every batch the same columns")
    };
    if let Some(more) = schema.fields().iter().find(|f| columns.index_of(f.name()).is_err()) {
        return Err(differ(more.name(), "has a"));
    }
    let order = columns.fields().iter().map(|f| schema.index_of(f.name()).map_err(|_| differ(f.name(), "has no")));
    Ok(batch.project(&order.collect::<Result<Vec<usize>>>()?)?)
}

fn stream(reader: Reader, columns: Option<&[String]>) -> ArrowStream {
    let schema = reader.schema();
    let batches = reader.map(|batch| batch.map_err(unreadable));
    let Some(columns) = columns else { return ArrowStream { schema, batches: Box::new(batches) } };
    let field = |name: &String| {
        let there = schema.field_with_name(name).cloned();
        there.unwrap_or_else(|_| Field::new(name, DataType::Null, true))
    };
    let all = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<Field>>()));
    let schema = all.clone();
    ArrowStream { schema, batches: Box::new(batches.map(move |batch| rows::filled(&batch?, &all))) }
}

fn unreadable(cause: arrow::error::ArrowError) -> Error {
    Error::new(Code::SourceRead, "the rows that are handed over cannot be read")
        .help("see what the program says that makes them")
        .cause(cause)
}

/// What Python raised, as an error of the run; the exception itself is kept for who called.
pub(crate) fn raised(caller: &Caller, cause: &Cause, error: PyErr) -> Error {
    let interrupted = Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py));
    if interrupted {
        caller.stop();
        return caller.stopped().unwrap_or_else(|| Error::internal("it goes on after an interruption"));
    }
    // Its text may hold what no ledger is to keep, such as an address with a key in it.
    let told = Python::attach(|py| error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default());
    cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    Error::new(Code::SourceRead, format!("the rows could not be handed over: {told}"))
        .help("the exception it raised is the cause of this one")
}

/// A value of the cursor as `floodmark._values` reads it: moments by microseconds, rounded down, since a source that gives
/// too much is right and one that gives too little is not.
fn position(value: &Value) -> (&'static str, String) {
    match value {
        Value::Int(v) => ("int", v.to_string()),
        Value::Double(v) => ("float", v.to_string()),
        Value::Date(days) => ("date", days.to_string()),
        Value::Timestamp(nanos) => ("timestamp", nanos.div_euclid(1000).to_string()),
        Value::TimestampTz(nanos) => ("timestamptz", nanos.div_euclid(1000).to_string()),
        Value::Decimal(..) => ("decimal", value.to_string()),
        other => ("text", other.to_string()),
    }
}
