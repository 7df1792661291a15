//! A table as an Arrow stream.

use crate::capsule;
use arrow::{
    array::{RecordBatch, RecordBatchReader},
    datatypes::SchemaRef,
    error::ArrowError,
};
use floodmark_connect::{Batches, ReadPlan, Source, Stop, SurveyRequest};
use floodmark_core::{
    Error, Result,
    pipeline::{DatabaseSource, Relation, SourceSpec},
    url::ConnectionUrl,
};
use floodmark_engine::registry;
use pyo3::{prelude::*, types::PyCapsule};

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
    let made = || {
        let read = Read { url: ConnectionUrl::parse(url)?, relation };
        read.source()?.slices()?;
        Ok(read)
    };
    py.detach(made).map_err(|error: Error| exception(py, &error))
}

impl Read {
    fn source(&self) -> Result<Box<dyn Source>> {
        let (url, relation) = (self.url.clone(), self.relation.clone());
        registry::source(&SourceSpec::Database(DatabaseSource { url, relation, readers: 1 }))
    }

    fn begin(&self) -> Result<Rows> {
        let (source, stop) = (self.source()?, Stop::default());
        let slices = source.slices()?;
        let schema = source.survey(&slices, &SurveyRequest::default(), &stop)?.schema;
        let arrow = schema.to_arrow();
        let plan = ReadPlan { schema, ..ReadPlan::default() };
        let batches = slices.iter().map(|slice| source.read(slice, &plan, &stop)).collect::<Result<Vec<_>>>()?;
        Ok(Rows { schema: arrow, batches, _source: source })
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
        let rows = py.detach(|| self.begin()).map_err(|error| exception(py, &error))?;
        capsule::export(py, Box::new(rows))
    }

    /// The columns and their types: `[("id", "bigint"), …]`.
    #[getter]
    fn columns(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let look = || {
            let source = self.source()?;
            let slices = source.slices()?;
            Ok(source.survey(&slices, &SurveyRequest::default(), &Stop::default())?.schema)
        };
        let schema = py.detach(look).map_err(|error: Error| exception(py, &error))?;
        Ok(schema.columns.into_iter().map(|column| (column.name, column.data_type.to_string())).collect())
    }

    fn __repr__(&self) -> String {
        format!("<floodmark.read of {} in {}>", self.relation.described(), self.url)
    }
}

/// Batches of a source, which lives as long.
struct Rows {
    schema: SchemaRef,
    /// By slice; the first is read to its end, and then gone.
    batches: Vec<Box<dyn Batches>>,
    _source: Box<dyn Source>,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(open) = self.batches.first_mut() {
            match open.next() {
                Some(Ok(mut batch)) => {
                    return Some(match batch.bad.is_empty() {
                        true => Ok(batch.rows),
                        false => Err(ArrowError::ExternalError(Box::new(batch.bad.swap_remove(0).error))),
                    });
                }
                Some(Err(error)) => return Some(Err(ArrowError::ExternalError(Box::new(error)))),
                None => drop(self.batches.remove(0)),
            }
        }
        None
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
