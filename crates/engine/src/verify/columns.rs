//! Columns that the pipeline loads, and that the table lacks or has as another type: rows that agree in all others are not
//! what they should be. And what to do about them, and about values that are none of their column's.

use super::Way;
use crate::{diff::Shape, names};
use floodmark_core::{
    Schema,
    pipeline::{Pipeline, SchemaPolicy},
};

/// Columns of the source that the table lacks, by their names in the table. `loaded`: the columns there were when it was
/// loaded last. A frozen pipeline loads no others.
pub(super) fn lacking(pipeline: &Pipeline, loaded: Option<&Schema>, way: Way, shape: &Shape) -> Vec<String> {
    let own = |name: &String| match way {
        Way::Direct => names::renamed(pipeline, name).to_owned(),
        Way::Loaded => name.clone(),
    };
    let is_loaded = |name: &str| loaded.is_some_and(|schema| schema.get(name).is_some());
    let wanted = |name: &String| pipeline.schema == SchemaPolicy::Evolve || is_loaded(name);
    shape.only_left.iter().map(own).filter(wanted).collect()
}

/// What to do about them.
pub(super) fn remedies(pipeline: &Pipeline, lacking: &[String], shape: &Shape) -> Vec<String> {
    let (name, table) = (&pipeline.name, &pipeline.destination.table);
    let mut told: Vec<String> = lacking
        .iter()
        .map(|column| {
            format!(
                "table {table:?} has no column {column:?}, which the pipeline loads: the next run that loads rows adds it \
                 (floodmark run {name}), and a repair behind it fills it in rows that are there (floodmark verify {name} \
                 --repair); `--full-refresh` does both"
            )
        })
        .collect();
    told.extend(shape.retyped.iter().map(|(column, made, has)| {
        format!(
            "column {column:?} of table {table:?} is {has}, and was loaded as {made}: give it that type again, or load \
             everything anew: floodmark run {name} --full-refresh"
        )
    }));
    told.extend(shape.misfits.iter().map(|misfit| match misfit.sides {
        [true, _] => format!("no run loads what is no value of {:?}: correct it in the source", misfit.column),
        _ => format!(
            "what is no value of {:?} nobody loaded: correct it in the table, or let a repair load its row again \
             (floodmark verify {name} --repair)",
            misfit.column
        ),
    }));
    told
}
