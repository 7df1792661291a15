//! Rows from the slices in order: straight from the source, or through the transform.

use crate::{
    names::{renamed, source_name},
    plan::Reading,
    shape::rebuild,
};
use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Field, SchemaRef};
use crossbeam_channel::{Receiver, bounded, unbounded};
use floodmark_connect::{
    BadRow, Batches, Range, ReadPlan, Source, Stop,
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result, Schema, pipeline::Pipeline};
use floodmark_sql::Transform;
use std::thread::{Scope, ScopedJoinHandle};

/// What comes out of extraction, in order.
pub(crate) enum Item {
    /// Rows of a slice (an index into the readings) under the table's names, with the bad ones among them.
    Rows {
        slice: usize,
        rows: RecordBatch,
        bad: Vec<BadRow>,
        /// Rows of the slice this covers; the number of the first, from 1.
        covered: u64,
        first_row: u64,
        /// Rows that the source did not read, as they are not wanted.
        left_out: u64,
    },
    /// Rows a transform made; they belong to no slice.
    Made(RecordBatch),
    /// Rows went into the transform, and these bad ones did not.
    Read { slice: usize, covered: u64, bad: Vec<BadRow> },
    /// A slice is read to its end.
    End { slice: usize },
}

/// Everything extraction needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Extract<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) source: &'a dyn Source,
    pub(crate) readings: &'a [Reading],
    /// Columns by source name, with the types to read them in.
    pub(crate) read_as: &'a Schema,
    /// The part of the cursor's axis that is wanted, where that is not all of it.
    pub(crate) range: Option<&'a Range>,
    /// How many sessions may read it at the same time, where that was asked for.
    pub(crate) readers: usize,
    pub(crate) stop: &'a Stop,
}

/// Slices one after the other.
struct Slices<'a> {
    extract: Extract<'a>,
    at: usize,
    open: Option<Box<dyn Batches>>,
}

impl Iterator for Slices<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        self.step().transpose()
    }
}

impl Slices<'_> {
    fn step(&mut self) -> Result<Option<Item>> {
        let extract = self.extract;
        let Some(reading) = extract.readings.get(self.at) else { return Ok(None) };
        extract.stop.check()?;
        let plan = ReadPlan {
            schema: extract.read_as.clone(),
            skip_rows: reading.skip_rows,
            required: required(extract.pipeline),
            range: reading.wanted.as_ref().or(extract.range).cloned(),
            sorted: false,
            readers: extract.readers,
        };
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(extract.source.read(&reading.slice, &plan, extract.stop)?),
        };
        let Some(batch) = open.next().transpose()? else {
            self.open = None;
            self.at += 1;
            return Ok(Some(Item::End { slice: self.at - 1 }));
        };
        crash::reached(Point::MidExtract)?;
        let fields = batch
            .rows
            .schema()
            .fields()
            .iter()
            .map(|f| f.as_ref().clone().with_name(renamed(extract.pipeline, f.name())))
            .collect();
        let rows = rebuild(fields, batch.rows.columns().to_vec(), batch.rows.num_rows())?;
        Ok(Some(Item::Rows {
            slice: self.at,
            rows,
            bad: batch.bad,
            covered: batch.covered,
            first_row: batch.first_row,
            left_out: batch.left_out,
        }))
    }
}

/// Columns that must not be NULL, by source name. With a transform that is for its output to show; where a row may be a
/// delete, which needs its key alone, for the condition.
pub(crate) fn required(pipeline: &Pipeline) -> Vec<(String, Code)> {
    if pipeline.transform.is_some() {
        return Vec::new();
    }
    let key = pipeline.key.iter().map(|k| (k.as_str(), Code::NullKey));
    let told = pipeline.delete_when.is_none();
    let not_null = pipeline.columns.iter().filter(|c| told && c.not_null).map(|c| (c.name.as_str(), Code::NullValue));
    key.chain(not_null).map(|(name, code)| (source_name(pipeline, name).to_owned(), code)).collect()
}

/// All items of a run.
pub(crate) enum Items<'scope, 'a> {
    Straight(StraightItems<'a>),
    Transformed(Transformed<'scope>),
    Several(Several<'scope>),
}

/// Parts of the axis read at the same time, in no order.
pub(crate) struct Several<'scope> {
    items: Receiver<Result<Item>>,
    readers: Vec<ScopedJoinHandle<'scope, ()>>,
}

/// Items of each reader that wait to be taken.
const AHEAD: usize = 2;

pub(crate) struct StraightItems<'a>(Slices<'a>);

pub(crate) struct Transformed<'scope> {
    transform: Transform,
    /// What the feeding thread has to say beside rows.
    beside: Receiver<Result<Item>>,
    feeder: Option<ScopedJoinHandle<'scope, ()>>,
    done: bool,
}

impl<'a> Extract<'a> {
    /// Starts reading. With a transform, a thread in `scope` feeds it; dropping the result ends the thread.
    pub(crate) fn start<'scope>(self, scope: &'scope Scope<'scope, 'a>) -> Result<Items<'scope, 'a>> {
        let slices = Slices { extract: self, at: 0, open: None };
        let Some(sql) = &self.pipeline.transform else { return Ok(Items::Straight(StraightItems(slices))) };
        let schema = crate::names::rename_all(self.pipeline, self.read_as)?.to_arrow();
        let (input, transform) = Transform::start(sql, &schema)?;
        let (say, beside) = unbounded();
        let feeder = scope.spawn(move || {
            let mut wanted = true;
            for item in slices {
                let item = match item {
                    Ok(Item::Rows { slice, rows, bad, covered, .. }) => {
                        match all_columns(&schema, &rows) {
                            Err(error) => Err(error),
                            Ok(rows) => {
                                // A statement may need no more of them (a LIMIT). Which are read is no matter of when it
                                // says so: all are.
                                wanted = wanted && input.send(rows).is_ok();
                                Ok(Item::Read { slice, covered, bad })
                            }
                        }
                    }
                    other => other,
                };
                let failed = item.is_err();
                if say.send(item).is_err() || failed {
                    return;
                }
            }
        });
        Ok(Items::Transformed(Transformed { transform, beside, feeder: Some(feeder), done: false }))
    }
}

impl<'a> Extract<'a> {
    /// Reads parts of the axis at the same time, each by a thread of its own; dropping the result ends them. Nothing tells
    /// when a slice is read to its end.
    pub(crate) fn start_several<'scope>(
        self,
        scope: &'scope Scope<'scope, 'a>,
        ranges: Vec<Range>,
    ) -> Items<'scope, 'a> {
        let (say, items) = bounded(AHEAD * ranges.len());
        let read = |range: Range| {
            let say = say.clone();
            scope.spawn(move || {
                let extract = Extract { range: Some(&range), ..self };
                for item in (Slices { extract, at: 0, open: None }) {
                    let ended = item.is_err();
                    if matches!(item, Ok(Item::End { .. })) {
                        continue;
                    }
                    if say.send(item).is_err() || ended {
                        return;
                    }
                }
            })
        };
        let readers = ranges.into_iter().map(read).collect();
        Items::Several(Several { items, readers })
    }
}

impl Items<'_, '_> {
    /// The next item, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Item>> {
        match self {
            Items::Straight(items) => items.0.next().transpose(),
            Items::Transformed(items) => items.next(),
            Items::Several(items) => items.next(),
        }
    }
}

impl Several<'_> {
    fn next(&mut self) -> Result<Option<Item>> {
        if let Ok(item) = self.items.recv() {
            return item.map(Some);
        }
        match self.readers.drain(..).map(ScopedJoinHandle::join).any(|ended| ended.is_err()) {
            true => Err(Error::internal("a reading thread panicked")),
            false => Ok(None),
        }
    }
}

impl Transformed<'_> {
    fn next(&mut self) -> Result<Option<Item>> {
        if let Ok(item) = self.beside.try_recv() {
            return item.map(Some);
        }
        if !self.done {
            if let Some(rows) = self.transform.next_batch()? {
                return Ok(Some(Item::Made(rows)));
            }
            self.done = true;
        }
        // The statement is through; what the feeder still says (ends of slices, an error) is not lost.
        if let Ok(item) = self.beside.recv() {
            return item.map(Some);
        }
        if let Some(feeder) = self.feeder.take()
            && feeder.join().is_err()
        {
            return Err(Error::internal("the reading thread panicked"));
        }
        Ok(None)
    }
}

/// The batch with every column of the table `source`, NULL where the file has none.
fn all_columns(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    let arrays = schema
        .fields()
        .iter()
        .map(|f: &std::sync::Arc<Field>| {
            rows.column_by_name(f.name()).cloned().unwrap_or_else(|| new_null_array(f.data_type(), rows.num_rows()))
        })
        .collect();
    rebuild(schema.fields().iter().map(|f| f.as_ref().clone()).collect(), arrays, rows.num_rows())
}
