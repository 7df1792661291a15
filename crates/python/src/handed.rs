//! Rows of a Python program, as a source.

use crate::{
    caller::Caller,
    capsule::{self, Reader},
    rows::{Asked, Made},
};
use arrow::{
    array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions, RecordBatchReader},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use floodmark_core::{Code, Error, Result, Value};
use floodmark_files::{ArrowStream, Handed};
use pyo3::{
    exceptions::{PyException, PyTypeError},
    prelude::*,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// An object of `floodmark._data.Rows`.
pub(crate) struct Rows {
    /// What ledgers and messages call the rows.
    pub(crate) name: String,
    /// Whether they can be read again.
    again: bool,
    /// Whether what is given depends on where reading begins.
    positioned: bool,
    columns: Asked,
    /// `open(from)` gives `(kind, object, ordered)`.
    open: Arc<Py<PyAny>>,
}

impl Rows {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Rows {
            name: object.getattr("name")?.extract()?,
            again: object.getattr("again")?.extract()?,
            positioned: object.getattr("positioned")?.extract()?,
            columns: Asked { typed: object.getattr("typed")?.extract()?, texts: object.getattr("texts")?.extract()? },
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
    /// Rows that came one by one, kept, and where they begin.
    made: Mutex<Option<(Option<Value>, Made)>>,
    /// Whether the order of what was opened last means something.
    ordered: AtomicBool,
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

/// The batches of an object, and the names of columns that have no type: `floodmark._data` gives both.
fn import(given: &Bound<'_, PyAny>) -> PyResult<Reader> {
    let (object, typeless): (Bound<'_, PyAny>, Vec<String>) = given.extract()?;
    let Some(reader) = capsule::import(&object)? else {
        let kind = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "batches came before, and now a {kind}, which has no Arrow interface"
        )));
    };
    Ok(if typeless.is_empty() { reader } else { Box::new(Typeless::new(reader, &typeless)) })
}

/// Batches of which some columns have no type, whatever type they come with.
struct Typeless {
    reader: Reader,
    schema: SchemaRef,
}

impl Typeless {
    fn new(reader: Reader, typeless: &[String]) -> Self {
        let field = |field: &FieldRef| match typeless.contains(field.name()) {
            true => Arc::new(Field::new(field.name(), DataType::Null, true)),
            false => field.clone(),
        };
        let schema = Arc::new(Schema::new(reader.schema().fields().iter().map(field).collect::<Vec<FieldRef>>()));
        Typeless { reader, schema }
    }
}

impl Iterator for Typeless {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        let rows = batch.num_rows();
        let array = |(field, array): (&FieldRef, &ArrayRef)| match field.data_type() {
            DataType::Null => Arc::new(NullArray::new(rows)),
            _ => array.clone(),
        };
        let arrays = self.schema.fields().iter().zip(batch.columns()).map(array).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Some(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options))
    }
}

impl RecordBatchReader for Typeless {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl FromPython {
    pub(crate) fn new(rows: Rows, caller: Caller) -> Self {
        FromPython {
            rows,
            caller,
            cause: Cause::default(),
            given: Mutex::default(),
            made: Mutex::default(),
            ordered: AtomicBool::new(true),
        }
    }

    pub(crate) fn cause(&self) -> Cause {
        Arc::clone(&self.cause)
    }

    fn asked(&self, from: Option<&Value>) -> Result<Opened> {
        let (open, from) = (Arc::clone(&self.rows.open), from.map(position));
        let opened = self.caller.call(move |py| {
            let (kind, object, ordered): (String, Bound<'_, PyAny>, bool) = open.bind(py).call1((from,))?.extract()?;
            let opened = match kind.as_str() {
                "rows" => Opened::Rows(object.unbind()),
                "batches" => Opened::Batches(object.unbind()),
                _ => Opened::Stream(import(&object)?),
            };
            Ok((opened, ordered))
        });
        let (opened, ordered) = opened.map_err(|error| raised(&self.caller, &self.cause, error))?;
        self.ordered.store(ordered, Ordering::Relaxed);
        Ok(opened)
    }
}

impl Handed for FromPython {
    fn name(&self) -> &str {
        &self.rows.name
    }

    fn ordered(&self) -> bool {
        self.ordered.load(Ordering::Relaxed)
    }

    fn positioned(&self) -> bool {
        self.rows.positioned
    }

    fn open(&self, from: Option<&Value>) -> Result<ArrowStream> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *made {
            // What begins elsewhere may lack rows that are asked for now.
            Some((begun, made)) if !self.rows.positioned || begun.as_ref() == from => return made.read(),
            _ => *made = None,
        }
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if *given {
            return Err(Error::new(Code::SourceMissing, "the rows were read before the server was lost, and are gone")
                .help("hand them over again: what is loaded already is recognised"));
        }
        *given = !self.rows.again;
        match self.asked(from)? {
            Opened::Stream(reader) => Ok(stream(reader)),
            Opened::Batches(iterator) => self.batches(iterator),
            Opened::Rows(iterator) => {
                let new = Made::take(iterator, &self.rows.columns, &self.caller, &self.cause, &self.rows.name)?;
                made.insert((from.cloned(), new)).1.read()
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
        let next = self
            .caller
            .call(move |py| iterator.bind(py).try_iter()?.next().transpose()?.map(|chunk| import(&chunk)).transpose());
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

fn stream(reader: Reader) -> ArrowStream {
    ArrowStream { schema: reader.schema(), batches: Box::new(reader.map(|batch| batch.map_err(unreadable))) }
}

fn unreadable(cause: ArrowError) -> Error {
    Error::new(Code::SourceRead, "the rows that are handed over cannot be read")
        .help("see what the program says that makes them")
        .cause(cause)
}

/// What Python raised, as an error of the run; the exception itself is kept for who called.
pub(crate) fn raised(caller: &Caller, cause: &Cause, error: PyErr) -> Error {
    // What is no `Exception` is no failure: Ctrl-C, `SystemExit`, a task that is cancelled.
    let (failed, told) = Python::attach(|py| {
        let name = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
        (error.is_instance_of::<PyException>(py), name)
    });
    cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    if !failed {
        caller.stop();
        return caller.stopped().unwrap_or_else(|| Error::internal("it goes on after an interruption"));
    }
    // Its text may hold what no ledger is to keep, such as an address with a key in it.
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
