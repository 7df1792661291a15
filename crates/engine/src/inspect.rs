//! What `check` can tell of a run before it: from headers, first rows and footers of the files it would read.

use crate::{
    by_file::{self, FileColumns},
    extract, names, plan, registry,
    run::{other_watermark, unsafe_combinations},
};
use floodmark_connect::{
    Destination, ReadPlan, Slice, Source, Stop,
    source::{Glance, Glimpse},
};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema,
    clock::{Clock as _, SystemClock},
    pipeline::{CursorNulls, OnBadRow, Pipeline, SchemaPolicy},
    schema::{Difference, differences, evolve},
    state::State,
    watermark::bounds,
};
use floodmark_sql::Condition;
use std::collections::HashSet;

/// Something a run would stop at, or pass over.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong, and what was probably meant.
    pub error: Error,
    /// Whether a run must stop at it. `false`: rows that were not looked at may decide otherwise, or it has no effect.
    pub certain: bool,
}

impl Finding {
    fn certain(error: Error) -> Self {
        Finding { error, certain: true }
    }
}

/// Looks at what the next run of a pipeline would read, or where that is nothing, at all of its source. Reads little of
/// it, and changes nothing. An error is one that would end the run before it reads a row.
pub fn source(pipeline: &Pipeline, source: &dyn Source, stop: &Stop) -> Result<Vec<Finding>> {
    unsafe_combinations(pipeline)?;
    let destination = registry::destination(&pipeline.destination.url).ok();
    let state = destination.as_deref().and_then(|d| remembered(pipeline, d));
    if let Some(error) = state.as_ref().and_then(|state| other_watermark(pipeline, state)) {
        return Err(error);
    }
    let slices = source.slices(stop)?;
    let known = state.clone().unwrap_or_default();
    let rejected = HashSet::new();
    let known = plan::Known { state: &known, rejected: &rejected, other_settings: false };
    let readings = plan::plan(pipeline, source, slices.clone(), &known, stop)?.readings;
    let reads = !readings.is_empty();
    let (slices, skip): (Vec<Slice>, Vec<u64>) = match reads {
        true => readings.into_iter().map(|r| (r.slice, r.skip_rows)).unzip(),
        false => (slices, Vec::new()),
    };
    let pinned = match (&state, &pipeline.transform) {
        (None, _) => None,
        (Some(state), None) => state.schema.as_ref(),
        (Some(state), Some(_)) => state.source_schema.as_ref(),
    };
    let request = names::survey_request(pipeline, pinned);
    let glance = source.glance(&slices, &request, stop)?;
    let look = Look { pipeline, slices: &slices, glance: &glance, pinned, reads };
    let mut found = look.columns(destination.as_deref(), state.as_ref())?;
    let suits = destination.as_deref().map_or(Ok(()), |destination| destination.suits(pipeline));
    if let Err(error) = suits
        && error.code() == Code::TableShape
    {
        found.push(Finding::certain(error));
    }
    if reads && !found.iter().any(|f| f.certain) {
        found.extend(look.first_rows(source, &skip, stop)?);
    }
    Ok(found)
}

/// What is looked at.
struct Look<'a> {
    pipeline: &'a Pipeline,
    slices: &'a [Slice],
    glance: &'a Glance,
    /// The columns of the source that are pinned.
    pinned: Option<&'a Schema>,
    /// A run would read these files, so that each must have what it needs.
    reads: bool,
}

impl Look<'_> {
    /// Compares the columns a pipeline names with those of its source and of its table, where that was loaded.
    fn columns(&self, destination: Option<&dyn Destination>, state: Option<&State>) -> Result<Vec<Finding>> {
        let (pipeline, reads) = (self.pipeline, self.reads);
        let table = state.and_then(|s| s.schema.as_ref());
        let Glance { schema, whole, slices: glimpses } = self.glance;
        let whole = *whole;
        let files = files(self.slices, glimpses);
        let unknown = by_file::unknown_sources(pipeline, schema, &files);
        if !unknown.is_empty() {
            return Ok(unknown.into_iter().map(|error| Finding { error, certain: whole }).collect());
        }
        let named = names::rename_all(pipeline, schema)?;
        let arriving = match &pipeline.transform {
            None => named,
            Some(transform) => match floodmark_sql::output_schema(transform, &over(self.pinned, &named)) {
                Ok(made) => made,
                Err(failure) => {
                    return Ok(vec![Finding { certain: failure.certain(whole), error: failure.error }]);
                }
            },
        };
        let target = over(table, &arriving);
        let mut found = Vec::new();
        if let Some(pinned) = table.filter(|_| reads && pipeline.schema == SchemaPolicy::Freeze)
            && let Err(error) = by_file::frozen(pipeline, pinned, &arriving, &files)
        {
            let seen = |d: &Difference| whole || !matches!(d, Difference::Missing(_));
            found.push(Finding { error, certain: differences(pinned, &arriving).iter().any(seen) });
        }
        if let Some(Err(error)) = destination.map(|d| names::check(&target, d.capabilities())) {
            found.push(Finding::certain(error));
        }
        let missing = by_file::missing(pipeline, &arriving, &files);
        found.extend(missing.into_iter().map(|error| Finding { error, certain: whole }));
        // One that is adopted may have them; and a table that is there is asked by its destination as well.
        let apart = by_file::unpartitioned(pipeline, &target, &files);
        found.extend(apart.into_iter().map(|error| Finding { error, certain: whole && !pipeline.adopt }));
        if found.is_empty()
            && reads
            && let Some((at, error)) = by_file::lacking(pipeline, &files)
        {
            found.push(Finding { error, certain: glimpses[at].whole });
        }
        found.extend(names::unused(pipeline, &target).into_iter().map(|error| Finding { error, certain: false }));
        if table.is_some() {
            found.extend(names::refused_type(pipeline, &target).map(Finding::certain));
        }
        found.extend(cursor(pipeline, &target, state));
        if self.pinned.is_none() {
            found.extend(names::ordered_text(pipeline, &target).map(Finding::certain));
        }
        if let Some(condition) = &pipeline.delete_when
            && let Err(failure) = Condition::new(condition, &target)
        {
            found.push(Finding { certain: failure.certain(whole), error: failure.error });
        }
        Ok(found)
    }

    /// The first row, among the first ones of each file, that a run would not load. `skip`: by file, rows that are loaded.
    fn first_rows(&self, source: &dyn Source, skip: &[u64], stop: &Stop) -> Result<Option<Finding>> {
        let (pipeline, schema) = (self.pipeline, &self.glance.schema);
        let types = over(self.pinned, &names::rename_all(pipeline, schema)?);
        let mut plan = ReadPlan {
            schema: names::read_as(pipeline, schema, &types),
            required: extract::required(pipeline),
            ..ReadPlan::default()
        };
        let marked = pipeline.cursor().filter(|w| w.nulls == CursorNulls::Fail && pipeline.transform.is_none());
        plan.required.extend(marked.map(|w| (names::source_name(pipeline, &w.column).to_owned(), Code::NullCursor)));
        // Rows that name their own columns may have it further on; these do not.
        for (name, _) in &plan.required {
            if plan.schema.get(name).is_none() {
                plan.schema.columns.push(Column::new(name, DataType::Text));
            }
        }
        for (slice, skip) in self.slices.iter().zip(skip).take(self.glance.slices.len()) {
            plan.skip_rows = *skip;
            let bad = source.first_bad(slice, &plan, stop)?.into_iter().map(|row| row.error);
            // A row without a watermark value is no bad row that could be set aside.
            let fails = |e: &Error| pipeline.on_bad_row == OnBadRow::Fail || e.code() == Code::NullCursor;
            if let Some(error) = bad.into_iter().find(fails) {
                return Ok(Some(Finding::certain(error)));
            }
        }
        Ok(None)
    }
}

/// A watermark that its column's type does not go with. Where nothing settles the type, later rows may.
fn cursor(pipeline: &Pipeline, target: &Schema, state: Option<&State>) -> Option<Finding> {
    let spec = pipeline.cursor()?;
    let column = target.get(&spec.column)?;
    let pinned = state.and_then(|s| s.schema.as_ref()?.get(&spec.column)).is_some_and(|c| !c.undecided);
    let mark = state.and_then(|s| s.watermark.as_ref()).filter(|m| m.data_type == column.data_type);
    let error = bounds(spec, mark.map(|m| &m.value), column.data_type, SystemClock.now()).err()?;
    Some(Finding { error, certain: pinned || names::asked_type(pipeline, &spec.column).is_some() })
}

fn files<'a>(slices: &'a [Slice], glimpses: &'a [Glimpse]) -> Vec<FileColumns<'a>> {
    let file =
        |(slice, g): (&'a Slice, &'a Glimpse)| FileColumns { name: &slice.name, schema: &g.schema, rows: g.rows };
    slices.iter().zip(glimpses).map(file).collect()
}

/// What arrives, in the types that are pinned already.
fn over(pinned: Option<&Schema>, arriving: &Schema) -> Schema {
    pinned.map_or_else(|| arriving.clone(), |pinned| evolve(pinned, arriving).0)
}

/// The state of an earlier load of the same table. One that cannot be read is another part's business.
fn remembered(pipeline: &Pipeline, destination: &dyn Destination) -> Option<State> {
    if !destination.exists() {
        return None;
    }
    let state = destination.ledger().ok()?.state(&pipeline.name).ok()??;
    (state.table.as_ref() == Some(&pipeline.destination.table) && state.schema.is_some()).then_some(state)
}
