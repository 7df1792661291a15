//! What the table should hold, made by the pipeline itself: loaded from its beginning into a database in a temporary folder.

use crate::{
    prove::disorder::Disorder,
    registry,
    run::{Engine, RunOptions},
};
use floodmark_core::{
    Code, Error, Result,
    event::Silent,
    pipeline::{ColumnSpec, DatabaseSource, Pipeline, Relation, SourceSpec},
    state::State,
    url::ConnectionUrl,
    wording,
};
use std::{collections::HashSet, path::Path, sync::Arc};
use tempfile::TempDir;

const TABLE: &str = "expected";

/// The database, which is gone when this is dropped.
pub(crate) struct Expected {
    /// Files that were loaded are gone.
    pub(crate) gone: bool,
    /// Rows of the source are rejected.
    pub(crate) rejected: bool,
    url: ConnectionUrl,
    _folder: TempDir,
}

impl Expected {
    /// Its table.
    pub(super) fn source(&self) -> SourceSpec {
        let relation = Relation::Table(TABLE.to_owned());
        SourceSpec::Database(DatabaseSource { url: self.url.clone(), relation, readers: 1 })
    }
}

/// Loads it. Of files only those are read that were loaded.
pub(super) fn load(
    engine: &Engine,
    pipeline: &Pipeline,
    state: &State,
    scratch: &Path,
    notes: &mut Vec<String>,
) -> Result<Expected> {
    let folder = tempfile::Builder::new().prefix("floodmark-verify-").tempdir_in(scratch).map_err(|e| {
        Error::new(Code::DestinationOpen, format!("nothing can be loaded into {}", scratch.display()))
            .help("name another folder: --scratch DIR")
            .cause(e)
    })?;
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", folder.path().join("expected.db").display()))?;
    let mut own = pipeline.clone();
    own.destination.url = url.clone();
    TABLE.clone_into(&mut own.destination.table);
    own.allow_empty = true;
    if pipeline.transform.is_none() {
        pin(&mut own, state);
    }
    let only = files(pipeline, state, notes)?;
    let gone = only.as_ref().is_some_and(|only| state.files.keys().any(|name| !only.contains(name)));
    let how = only.map(|only| Disorder { only: Some(only), ..Disorder::default() });
    let quiet = Engine { observer: Arc::new(Silent), ..engine.clone() };
    let loaded = quiet.run_in(how, &own, &RunOptions::default());
    match loaded.error {
        None => Ok(Expected { gone, rejected: loaded.counts.rejected > 0, url, _folder: folder }),
        Some(error) if error.code() == Code::Interrupted => Err(error),
        Some(error) => Err(error
            .reworded(|text| text.replace("nothing was written", "nothing was changed"))
            .help("what the table should hold is loaded from the pipeline's beginning, which failed: correct the source or the pipeline first")),
    }
}

/// The types the table's columns have.
fn pin(pipeline: &mut Pipeline, state: &State) {
    for column in state.schema.iter().flat_map(|s| &s.columns).filter(|c| !c.undecided) {
        match pipeline.columns.iter_mut().find(|c| c.name == column.name) {
            Some(spec) => spec.data_type = spec.data_type.or(Some(column.data_type)),
            None => pipeline.columns.push(ColumnSpec {
                name: column.name.clone(),
                data_type: Some(column.data_type),
                ..ColumnSpec::default()
            }),
        }
    }
}

/// The files that were loaded; `None` where the source has none.
fn files(pipeline: &Pipeline, state: &State, notes: &mut Vec<String>) -> Result<Option<HashSet<String>>> {
    if pipeline.source.files().is_none() {
        return Ok(None);
    }
    let there = registry::source(&pipeline.source)?.slices()?;
    let loaded = |name: &str| state.files.get(name);
    let new = there.iter().filter(|slice| loaded(&slice.name).is_none()).count() as u64;
    let changed =
        there.iter().filter(|slice| loaded(&slice.name).is_some_and(|e| e.size != slice.size || !e.complete)).count()
            as u64;
    let gone = state.files.keys().filter(|name| !there.iter().any(|slice| slice.name == **name)).count() as u64;
    for (files, what) in [
        (new, "not loaded yet, and left out"),
        (changed, "changed since, or not loaded to the end"),
        (gone, "gone: their rows look as if they were too many"),
    ] {
        if files > 0 {
            notes.push(format!("{} {what}", wording::agree(files, "file", "is", "are")));
        }
    }
    let names: HashSet<String> =
        there.into_iter().map(|slice| slice.name).filter(|name| loaded(name).is_some()).collect();
    if names.is_empty() && !state.files.is_empty() {
        return Err(super::unverified("the files that were loaded are gone").help("put them back where they were"));
    }
    Ok(Some(names))
}
