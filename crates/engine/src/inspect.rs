//! What `check` can tell of a pipeline's columns before a run: from headers, first rows and footers.

use crate::{names, registry};
use floodmark_connect::{Source, Stop, source::Glance};
use floodmark_core::{Error, Result, Schema, pipeline::Pipeline, schema::evolve, state::State};
use floodmark_sql::Condition;

/// Something a run would stop at, or pass over.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong, and what was probably meant.
    pub error: Error,
    /// Whether a run must stop at it. `false`: rows that were not looked at may decide otherwise, or it has no effect.
    pub certain: bool,
}

/// Compares the columns a pipeline names with those of its source and its table. Reads little of the source, and
/// changes nothing. An error is one of reading.
pub fn columns(pipeline: &Pipeline, source: &dyn Source, stop: &Stop) -> Result<Vec<Finding>> {
    let Glance { schema, whole } = source.glance(&source.slices()?, stop)?;
    let mut found = Vec::new();
    let state = remembered(pipeline);
    let named = match names::rename_all(pipeline, &schema) {
        Ok(named) => named,
        Err(error) => return Ok(vec![Finding { error, certain: whole }]),
    };
    let pinned_source = state.as_ref().and_then(|s| s.source_schema.as_ref());
    let arriving = match &pipeline.transform {
        None => named,
        Some(transform) => match floodmark_sql::output_schema(transform, &over(pinned_source, &named)) {
            Ok(made) => made,
            Err(failure) => {
                let certain = whole && failure.by_name;
                return Ok(vec![Finding { error: failure.error, certain }]);
            }
        },
    };
    let target = over(state.as_ref().and_then(|s| s.schema.as_ref()), &arriving);
    found.extend(names::missing(pipeline, &arriving).into_iter().map(|error| Finding { error, certain: whole }));
    found.extend(names::unused(pipeline, &target).into_iter().map(|error| Finding { error, certain: false }));
    if state.is_some() {
        found.extend(names::refused_type(pipeline, &target).map(|error| Finding { error, certain: true }));
    }
    if let Some(condition) = &pipeline.delete_when
        && let Err(failure) = Condition::new(condition, &target)
    {
        found.push(Finding { error: failure.error, certain: whole && failure.by_name });
    }
    Ok(found)
}

/// What arrives, in the types that are pinned already.
fn over(pinned: Option<&Schema>, arriving: &Schema) -> Schema {
    let evolved = pinned.and_then(|pinned| evolve(pinned, arriving, false).ok());
    evolved.map_or_else(|| arriving.clone(), |(schema, _)| schema)
}

/// The state of an earlier load of the same table. One that cannot be read is another part's business.
fn remembered(pipeline: &Pipeline) -> Option<State> {
    let destination = registry::destination(&pipeline.destination.url).ok().filter(|d| d.exists())?;
    let state = destination.ledger().ok()?.state(&pipeline.name).ok()??;
    (state.table.as_ref() == Some(&pipeline.destination.table) && state.schema.is_some()).then_some(state)
}
