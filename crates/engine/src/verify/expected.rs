//! What the table should hold, made by the pipeline itself: loaded from its beginning into a database in a temporary folder.

use super::{filled, met};
use crate::{
    BackfillOptions,
    prove::disorder::Disorder,
    registry,
    run::{Engine, Outcome, RunOptions},
};
use floodmark_connect::{Slice, Stop};
use floodmark_core::{
    Code, Error, Result,
    event::Silent,
    interval::{Axis, Step},
    pipeline::{ColumnSpec, DatabaseSource, Load, Pipeline, Relation, SourceSpec},
    state::{FileEntry, IntervalEntry, State},
    url::ConnectionUrl,
    wording,
};
use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

const TABLE: &str = "expected";
/// Longer than what backfills loaded, as a rule: each range is one step.
const LONG: Step = Step::Months(12 * 1000);

/// The database, which is gone when this is dropped.
pub(crate) struct Expected {
    /// Files that were loaded are gone.
    pub(crate) gone: bool,
    /// Files that were loaded have changed since, or were not loaded to the end: a run reads them again.
    pub(crate) changed: bool,
    /// Files that runs have loaded are there no more.
    pub(crate) lost: bool,
    /// Files that runs have loaded were written since, and may have other contents.
    pub(crate) replaced: bool,
    /// Rows of the source are rejected.
    pub(crate) rejected: bool,
    url: ConnectionUrl,
    _folder: TempDir,
}

impl Expected {
    /// Its table.
    pub(crate) fn source(&self) -> SourceSpec {
        let relation = Relation::Table(TABLE.to_owned());
        SourceSpec::Database(DatabaseSource { url: self.url.clone(), relation, readers: 1 })
    }
}

/// Loads it. Of files only those are read that were loaded: by runs as a whole, of others what backfills read of them.
pub(super) fn load(
    engine: &Engine,
    pipeline: &Pipeline,
    state: &State,
    receipts: &[IntervalEntry],
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
    let files = files(pipeline, state, receipts, notes, &engine.stop)?;
    let says = |what: fn(&Files) -> bool| files.as_ref().is_some_and(what);
    let (gone, changed) = (says(|files| files.gone), says(|files| files.changed));
    let (lost, replaced) = (says(|files| files.lost), says(|files| files.replaced));
    let quiet = Engine { observer: Arc::new(Silent), ..engine.clone() };
    let mut rejected = 0;
    match &files {
        None => rejected += told(quiet.run_in(None, &own, &RunOptions::default()))?,
        Some(files) => {
            let mut there = Arc::new(HashSet::new());
            for group in by_runs(pipeline, state, files)? {
                Arc::make_mut(&mut there).extend(group);
                let how = Disorder { only: Some(Arc::clone(&there)), ..Disorder::default() };
                rejected += told(quiet.run_in(Some(how), &own, &RunOptions::default()))?;
            }
        }
    }
    for (there, receipts) in files.iter().flat_map(|files| files.by_receipts(receipts)) {
        let read = files.iter().flat_map(|files| &files.filled[..there]).map(|(name, _)| name);
        // A window is replaced by what all files hold of it; of those that are loaded runs have read all there is.
        let loaded = files.iter().filter(|_| pipeline.load == Load::DeleteInsert).flat_map(|files| &files.loaded);
        let only: HashSet<String> = read.chain(loaded).cloned().collect();
        let how = Disorder { only: Some(Arc::new(only)), ..Disorder::default() };
        for options in ranges(pipeline, state, &receipts) {
            rejected += told(quiet.backfill_in(Some(&how), &own, &options).outcome)?;
        }
    }
    Ok(Expected { gone, changed, lost, replaced, rejected: rejected > 0, url, _folder: folder })
}

/// The files that runs have loaded, as they loaded them: each group by a run of its own.
fn by_runs(pipeline: &Pipeline, state: &State, files: &Files) -> Result<Vec<Vec<String>>> {
    // Where backfills alone have read, there is nothing that runs loaded. Where nothing was loaded, the pipeline is made all
    // the same.
    if files.loaded.is_empty() {
        return Ok(if files.filled.is_empty() { vec![Vec::new()] } else { Vec::new() });
    }
    // Rows that are added replace none, in whatever order.
    let runs = match pipeline.load {
        Load::Append => Vec::new(),
        _ => registry::destination(&pipeline.destination.url)?.ledger()?.runs(Some(&pipeline.name), usize::MAX)?,
    };
    let rows = |name: &String| state.files.get(name).map(|entry| (name.clone(), entry.rows));
    Ok(met::groups(files.loaded.iter().filter_map(rows).collect(), &runs, !pipeline.window.is_empty()))
}

/// How many rows a load rejected.
fn told(loaded: Outcome) -> Result<u64> {
    match loaded.error {
        None => Ok(loaded.counts.rejected),
        Some(error) if error.code() == Code::Interrupted => Err(error),
        Some(error) => Err(error
            .reworded(|text| text.replace("nothing was written", "nothing was changed"))
            .help("what the table should hold is loaded from the pipeline's beginning, which failed: correct the source or the pipeline first")),
    }
}

/// What backfills loaded, in as few ranges as hold it and no more.
fn ranges(pipeline: &Pipeline, state: &State, receipts: &[IntervalEntry]) -> Vec<BackfillOptions> {
    let mut ranges = Vec::new();
    for column in filled::columns(receipts) {
        let found = state.schema.as_ref().and_then(|schema| schema.get(column));
        let Some(data_type) = found.map(|column| column.data_type) else { continue };
        let number = Axis::new(column, data_type, pipeline.timezone).is_ok_and(|axis| !axis.is_time());
        ranges.extend(filled::intervals(receipts, column, data_type).into_iter().map(|interval| BackfillOptions {
            from: Some(interval.from.to_string()),
            until: Some(interval.until.to_string()),
            column: Some(column.to_owned()),
            step: if number { None } else { Some(LONG) },
            force: true,
            ..BackfillOptions::default()
        }));
    }
    ranges
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

/// The files that make up the table.
struct Files {
    /// Those that runs have loaded.
    loaded: HashSet<String>,
    /// Those that only backfills have read, with when they were written, in that order.
    filled: Vec<(String, i64)>,
    /// Some that were loaded are gone, or have changed since only a backfill read them.
    gone: bool,
    /// Some have changed since, or were not loaded to the end.
    changed: bool,
    /// Some that runs have loaded are gone.
    lost: bool,
    /// Some that runs have loaded were written since.
    replaced: bool,
}

impl Files {
    /// Receipts by how many of the files that only backfills have read were there when they were loaded, which is all a backfill
    /// reads: the earlier receipts first.
    fn by_receipts(&self, receipts: &[IntervalEntry]) -> Vec<(usize, Vec<IntervalEntry>)> {
        let mut by: BTreeMap<usize, Vec<IntervalEntry>> = BTreeMap::new();
        for entry in receipts {
            let loaded_at = entry.loaded_at.timestamp_nanos_opt().unwrap_or_default();
            let there = self.filled.partition_point(|(_, modified)| *modified <= loaded_at);
            by.entry(there).or_default().push(entry.clone());
        }
        by.into_iter().filter(|(there, _)| *there > 0).collect()
    }
}

/// The files that were loaded; `None` where the source has none.
fn files(
    pipeline: &Pipeline,
    state: &State,
    receipts: &[IntervalEntry],
    notes: &mut Vec<String>,
    stop: &Stop,
) -> Result<Option<Files>> {
    if pipeline.source.files().is_none() {
        return Ok(None);
    }
    let there = registry::source(&pipeline.source)?.slices(stop)?;
    let loaded = |name: &str| state.files.get(name);
    // A backfill reads the files that are there. One that came since is no part of what it loaded.
    let last = receipts.iter().filter_map(|entry| entry.loaded_at.timestamp_nanos_opt()).max();
    let unknown = || there.iter().filter(|slice| loaded(&slice.name).is_none());
    let mut filled: Vec<(String, i64)> = unknown()
        .filter(|slice| last.is_some_and(|last| slice.modified <= last))
        .map(|slice| (slice.name.clone(), slice.modified))
        .collect();
    filled.sort_by_key(|(_, modified)| *modified);
    let new = unknown().count() as u64 - filled.len() as u64;
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
        there.iter().map(|slice| slice.name.clone()).filter(|name| loaded(name).is_some()).collect();
    if names.is_empty() && filled.is_empty() && (!state.files.is_empty() || last.is_some()) {
        return Err(super::unverified("the files that were loaded are gone").help("put them back where they were"));
    }
    let lost = gone > 0;
    let is_another = |slice: &Slice, entry: &FileEntry| entry.size != slice.size || entry.modified != slice.modified;
    let replaced = there.iter().any(|slice| loaded(&slice.name).is_some_and(|entry| is_another(slice, entry)));
    let gone = lost || (last.is_some() && new > 0);
    Ok(Some(Files { loaded: names, filled, gone, changed: changed > 0, lost, replaced }))
}
