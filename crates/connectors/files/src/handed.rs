//! Rows that a program hands over as Arrow batches: a data frame, a stream, a generator.
//!
//! They are no file: nothing tells whether they were loaded before, so every run judges all of them, as it does the rows of
//! a query. They do have an order.

use crate::columnar;
use arrow::{
    array::{Array, RecordBatch},
    datatypes::{DataType as ArrowType, SchemaRef},
};
use floodmark_connect::{
    BadRow, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Extent, Glance, Glimpse},
};
use floodmark_core::{Code, DataType, Error, Result, Schema, Value, error::Place};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that are converted at once. A frame may come as one batch of millions; parts of it are no copies.
const ROWS: usize = 16_384;

/// Where messages say that a column can be put right.
const BEFORE: &str = "before the rows are handed over";

/// Batches with the columns of their schema, in order. An error ends them.
pub struct ArrowStream {
    /// The columns of every batch.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
}

/// What has the rows.
pub trait Handed: Send + Sync {
    /// What ledgers and messages call it.
    fn name(&self) -> &str;

    /// Whether the order of the rows that were opened last means something.
    fn ordered(&self) -> bool;

    /// Whether other rows are given where reading begins elsewhere.
    fn positioned(&self) -> bool;

    /// The rows from the first on. `from`: rows whose cursor lies before it are skipped, and need not be given. It is asked
    /// again where a run begins anew; what can be read but once says so.
    fn open(&self, from: Option<&Value>) -> Result<ArrowStream>;
}

/// What says of a column of text that it is JSON, as Arrow has it among its canonical extension types.
pub fn json_text() -> (String, String) {
    ("ARROW:extension:name".to_owned(), "arrow.json".to_owned())
}

/// A source over rows that are handed over.
pub struct HandedSource<H> {
    handed: H,
    /// Opened by a survey, and not read yet; and where it begins.
    opened: Mutex<Option<(Option<Value>, ArrowStream)>>,
    /// Of the last survey: where reading begins, and the columns of which nothing says what they are.
    surveyed: Mutex<(Option<Value>, Vec<String>)>,
}

impl<H: Handed> HandedSource<H> {
    /// Nothing is opened yet.
    pub fn new(handed: H) -> Self {
        HandedSource { handed, opened: Mutex::default(), surveyed: Mutex::default() }
    }

    /// The columns of what is to be read next.
    fn columns(&self, from: Option<&Value>) -> Result<Schema> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        // A run that begins anew may begin elsewhere.
        if opened.as_ref().is_some_and(|(begun, _)| self.handed.positioned() && begun.as_ref() != from) {
            *opened = None;
        }
        let (_, stream) = match &mut *opened {
            Some(stream) => stream,
            none => none.insert((from.cloned(), self.handed.open(from)?)),
        };
        let mut columns = columnar::columns(&stream.schema, self.handed.name(), BEFORE)?;
        let (name, of) = json_text();
        for (column, field) in columns.columns.iter_mut().zip(stream.schema.fields()) {
            if column.data_type == DataType::Text && field.metadata().get(&name) == Some(&of) {
                column.data_type = DataType::Json;
            }
        }
        Ok(columns)
    }
}

impl<H: Handed> Source for HandedSource<H> {
    fn slices(&self, _stop: &Stop) -> Result<Vec<Slice>> {
        let name = self.handed.name().to_owned();
        Ok(vec![Slice { path: name.clone().into(), name, size: 0, modified: 0, tag: None }])
    }

    fn ordered(&self) -> bool {
        self.handed.ordered()
    }

    fn sorts(&self) -> bool {
        false
    }

    fn divides(&self, _: &str, _: DataType, _: &Stop) -> Result<bool> {
        Ok(false)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, _: &Stop) -> Result<Glance> {
        let schema = self.columns(request.from.as_ref())?;
        let own = Arc::new(schema.clone());
        let slices = slices.iter().map(|_| Glimpse { schema: Arc::clone(&own), whole: true, rows: true }).collect();
        Ok(Glance { schema, whole: true, slices })
    }

    fn first_bad(&self, _: &Slice, _: &ReadPlan, _: &Stop) -> Result<Vec<BadRow>> {
        Ok(Vec::new())
    }

    fn extent(&self, _: &str, _: DataType, _: &Stop) -> Result<Option<Extent>> {
        Ok(None)
    }

    fn survey(&self, slices: &[Slice], request: &SurveyRequest, _: &Stop) -> Result<Survey> {
        let schema = self.columns(request.from.as_ref())?;
        let undecided = schema.columns.iter().filter(|c| c.undecided && !request.pinned.contains_key(&c.name));
        let undecided = undecided.map(|column| column.name.clone()).collect();
        *self.surveyed.lock().unwrap_or_else(PoisonError::into_inner) = (request.from.clone(), undecided);
        let own = Arc::new(schema.clone());
        // How many rows there are is not known; without columns there are none.
        let rows = u64::from(!schema.columns.is_empty());
        Ok(Survey {
            schema,
            slices: slices.iter().map(|_| (rows, 0)).collect(),
            columns: slices.iter().map(|_| Arc::clone(&own)).collect(),
            table: None,
            horizon: None,
            held: None,
        })
    }

    fn read(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (from, undecided) = self.surveyed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ArrowStream { schema, batches } = match opened {
            Some((_, stream)) => stream,
            None => self.handed.open(from.as_ref())?,
        };
        let name = slice.name.clone();
        let parts = Box::new(batches.map(move |batch| still_undecided(batch?, &undecided, &name)).flat_map(parts));
        Ok(Box::new(columnar::handed(&schema, parts, &slice.name, plan, stop)))
    }
}

/// The same batch, where columns that had no type in the first one have none in it.
fn still_undecided(batch: RecordBatch, undecided: &[String], name: &str) -> Result<RecordBatch> {
    for column in undecided {
        let found = batch.column_by_name(column).map(|array| array.data_type());
        if let Some(found) = found.filter(|found| **found != ArrowType::Null) {
            let message = format!("column {column:?} has no type in the first batch, and is {found} later on");
            return Err(Error::new(Code::BadFormat, message)
                .at(Place { file: Some(name.into()), column: Some(column.clone()), ..Place::default() })
                .help(format!(
                    "give it the same type in every batch, or say what it is: columns={{{column:?}: \"…\"}}"
                )));
        }
    }
    Ok(batch)
}

/// A batch in parts of a size that can be converted while others are loaded.
fn parts(batch: Result<RecordBatch>) -> impl Iterator<Item = Result<RecordBatch>> {
    let (batch, error) = match batch {
        Ok(batch) => (Some(batch), None),
        Err(error) => (None, Some(error)),
    };
    let cut = |batch: RecordBatch| {
        let rows = batch.num_rows();
        (0..rows).step_by(ROWS).map(move |at| Ok(batch.slice(at, ROWS.min(rows - at))))
    };
    batch.into_iter().flat_map(cut).chain(error.map(Err))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{ArrayRef, Int64Array},
        datatypes::{DataType as Arrow, Field, Schema as ArrowSchema},
    };
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// One batch of so many rows, which can be read so often.
    struct Frame {
        rows: i64,
        times: AtomicUsize,
    }

    impl Handed for Frame {
        fn name(&self) -> &str {
            "frame"
        }

        fn ordered(&self) -> bool {
            true
        }

        fn positioned(&self) -> bool {
            false
        }

        fn open(&self, _: Option<&Value>) -> Result<ArrowStream> {
            if self.times.fetch_sub(1, Ordering::Relaxed) == 0 {
                return Err(Error::new(Code::SourceMissing, "it is read"));
            }
            let schema = Arc::new(ArrowSchema::new(vec![Field::new("id", Arrow::Int64, false)]));
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..self.rows));
            let batch = RecordBatch::try_new(schema.clone(), vec![ids])?;
            Ok(ArrowStream { schema, batches: Box::new(std::iter::once(Ok(batch))) })
        }
    }

    #[test]
    fn a_large_batch_comes_in_parts_and_a_survey_reads_nothing() {
        let source = HandedSource::new(Frame { rows: 40_000, times: AtomicUsize::new(2) });
        let (slices, stop) = (source.slices(&Stop::default()).unwrap(), Stop::default());
        for _ in 0..2 {
            source.survey(&slices, &SurveyRequest::default(), &stop).unwrap();
            let survey = source.survey(&slices, &SurveyRequest::default(), &stop).unwrap();
            let plan = ReadPlan { schema: survey.schema, ..ReadPlan::default() };
            let batches: Vec<_> = source.read(&slices[0], &plan, &stop).unwrap().map(Result::unwrap).collect();
            let cut: Vec<_> = batches.iter().map(|b| (b.first_row, b.covered)).collect();
            assert_eq!(cut, [(1, 16_384), (16_385, 16_384), (32_769, 7_232)]);
        }
        let third = source.survey(&slices, &SurveyRequest::default(), &stop);
        assert_eq!(third.unwrap_err().code(), Code::SourceMissing);
    }
}
