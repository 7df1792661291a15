//! A lake as a destination: opening it, its locks, and what is asked of it outside a run.

use crate::{
    copy, failure,
    keeper::Keeper,
    lake::Lake,
    ledger::LakeLedger,
    log::{Snapshot, check_partitions, stored_alike},
    rehearsal::LakeRehearsal,
    rows::{Rows, Shared, finders},
    session::{self, LakeSession, Now},
};
use floodmark_connect::{
    Capabilities, Destination, Differences, LoadPlan, Rehearsal, Session, Stop, Target, destination::Ledger, refusal,
};
use floodmark_core::{
    Code, Error, Result, Schema,
    fingerprint::{Fingerprint, RowHasher},
    pipeline::Pipeline,
    schema::Change,
    state::State,
    url::ConnectionUrl,
};
use floodmark_sqlite::{
    SqliteDestination,
    bench::{self, Bench, Side},
    lock::{self, Lock, Name},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The most columns of a table: those of the scratch database.
const MAX_COLUMNS: usize = 2000;

/// A folder of tables by URL, on this machine or in an object store.
#[derive(Clone)]
pub struct LakeDestination {
    lake: Arc<Lake>,
}

impl LakeDestination {
    /// Nothing is asked of it yet.
    pub fn new(url: &ConnectionUrl) -> Result<Self> {
        Ok(LakeDestination { lake: Arc::new(Lake::open(url)?) })
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.lake
    }

    pub(crate) fn keeper(&self, pipeline: &str) -> Keeper {
        Keeper::new(&self.lake, pipeline)
    }

    /// Where the locks are: in the lake, or on this machine where the lake is elsewhere. Runs on two machines keep each other
    /// from nothing but the commit, of which one is done.
    fn locks(&self) -> PathBuf {
        match self.lake.path() {
            Some(path) => path.join("_floodmark/locks"),
            None => std::env::temp_dir().join("floodmark-locks").join(lock::file_name(self.lake.name())),
        }
    }

    pub(crate) fn lock(
        &self,
        name: Name<'_>,
        holder: &str,
        wait: Option<Duration>,
        stop: &Stop,
    ) -> Result<Option<Lock>> {
        let folder = self.locks();
        fs::create_dir_all(&folder).map_err(|e| {
            Error::new(Code::DestinationOpen, format!("the folder of locks {} cannot be made", folder.display()))
                .state("nothing was written")
                .help("give write permission on the folder above it")
                .cause(e)
        })?;
        Lock::acquire(&folder, name, holder, wait, stop).map(Some)
    }

    fn hold(&self, name: Name<'_>, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Option<Lock>> {
        // Before there is a lock, as that makes a folder.
        self.probe()?;
        let since = chrono::Utc::now().format("%Y-%m-%d %H:%M:%SZ");
        self.lock(name, &format!("run {run} (process {}) since {since}", std::process::id()), wait, stop)
    }

    /// A scratch database with the state as it is, and the token that it has.
    pub(crate) fn bench(
        &self,
        now: &Now,
        pipeline: &str,
        side: Side,
        raise: bool,
        rows: Shared,
        stop: &Stop,
    ) -> Result<Bench> {
        let bench = Bench::open(&now.file, pipeline, side, raise, Box::new(rows), stop)?;
        bench.record(&now.noted(), &[])?;
        Ok(bench)
    }

    /// The table that a plan loads, as it is now.
    pub(crate) fn rows(&self, now: &Now, plan: &LoadPlan<'_>, state: &State, stop: &Stop) -> Result<Rows> {
        let name = &plan.target.pipeline.destination.table;
        let table = self.lake.table(name)?;
        let snapshot = match &now.pointer {
            Some(pointer) if pointer.table.as_ref() == Some(name) => now.snapshot.clone(),
            _ => table.snapshot()?.map(Arc::new),
        };
        if snapshot.is_none() {
            self.lake.refuse_within(name)?;
        }
        let schema = joined(snapshot.as_ref().map(|snapshot| &snapshot.schema), plan.target.schema);
        if let Some(snapshot) = &snapshot {
            refuse_other_types(&table.name, snapshot, plan)?;
            refuse_other_partitions(&table.name, snapshot, &schema)?;
        }
        let spec = &plan.target.pipeline.destination;
        let partition_by = partitions(&table.name, snapshot.as_deref(), &spec.partition_by, &schema)?;
        Ok(Rows {
            table,
            snapshot,
            partition_by,
            file_size: spec.file_size,
            cleared: false,
            writer: None,
            next: first_number(state),
            finders: finders(plan.target.pipeline),
            stop: stop.clone(),
            brought: None,
        })
    }

    /// Two pipelines that load one table undo each other's work, and neither notices.
    pub(crate) fn refuse_shared(&self, state: &State, target: &Target<'_>) -> Result<()> {
        let (pipeline, table) = (&target.pipeline.name, &target.pipeline.destination.table);
        if state.schema.is_some() && state.table.as_ref() == Some(table) {
            return Ok(());
        }
        let folder = failure::scratch_folder()?;
        for other in Keeper::pipelines(&self.lake)?.into_iter().filter(|other| other != pipeline) {
            let keeper = self.keeper(&other);
            // The tables of the others are not looked at: one of them may be broken.
            if keeper.pointer()?.and_then(|pointer| pointer.table).as_ref() != Some(table) {
                continue;
            }
            let now = session::look(&keeper, self, folder.path())?;
            let Some(state) = bench::ledger(&now.file)?.state(&other)? else { continue };
            if state.table.as_ref() == Some(table) {
                let mut files: Vec<String> = state.files.keys().cloned().collect();
                files.sort();
                files.truncate(2);
                return Err(refusal::shared(pipeline, table, &other, &files));
            }
        }
        Ok(())
    }
}

/// The partitions that a pipeline names must be those of the table, where it is there.
pub(crate) fn refuse_repartitioned(there: Option<&Snapshot>, pipeline: &Pipeline) -> Result<()> {
    let Some(there) = there else { return Ok(()) };
    partitions(there.table().name(), Some(there), &pipeline.destination.partition_by, &there.schema).map(drop)
}

/// The columns by which the files of a table are kept apart: its own; of a new one those that the pipeline names.
fn partitions(table: &str, there: Option<&Snapshot>, named: &[String], schema: &Schema) -> Result<Vec<String>> {
    match there {
        None => check_partitions(table, schema, named).map(|()| named.to_vec()),
        Some(there) if named.is_empty() || there.partition_by == named => Ok(there.partition_by.clone()),
        Some(there) => {
            let has = match there.partition_by.as_slice() {
                [] => "has no partitions".to_owned(),
                columns => format!("is partitioned by {}", columns.join(", ")),
            };
            let what = format!("`partition_by` says {}, and the table {has}", named.join(", "));
            Err(failure::unsuited(table, what).help(
                "a table keeps the partitions it was made with: take `partition_by` out, or give the table a new name: \
                 that one is made with them, and loaded from the beginning",
            ))
        }
    }
}

/// The first number that no row of the pipeline's files has, also of those that the table does not have any more: a row with the
/// number of another would be taken for it.
fn first_number(state: &State) -> i64 {
    let lineages = state.files.values().filter_map(|file| file.lineage.as_ref());
    lineages.flat_map(|lineage| &lineage.ranges).map(|(_, last)| last + 1).max().unwrap_or(1)
}

/// Another program may have changed the table since the pipeline loaded it, or put another one in its place: a column of another
/// type, or with another name but for its case, could be neither read nor written.
fn refuse_other_types(table: &str, there: &Snapshot, plan: &LoadPlan<'_>) -> Result<()> {
    let pipeline = plan.target.pipeline;
    if plan.forget {
        return Ok(());
    }
    let is_called = |wanted: &str, name: &str| wanted != name && wanted.to_lowercase() == name.to_lowercase();
    let called = plan.target.schema.names().into_iter().find_map(|wanted| {
        let name = there.schema.names().into_iter().find(|name| is_called(wanted, name))?;
        there.schema.get(wanted).is_none().then_some((wanted, name))
    });
    if let Some((wanted, name)) = called {
        let what = format!("column {name:?} of the table is {wanted:?} in the pipeline");
        return Err(changed_by_another(table, what, pipeline));
    }
    let widens = |name: &str| {
        plan.target
            .changes
            .iter()
            .any(|change| matches!(change, Change::Widen { name: widened, .. } if widened == name))
    };
    let other = plan.target.schema.columns.iter().find_map(|wanted| {
        let before = there.schema.get(&wanted.name)?;
        let becomes = stored_alike(before, wanted) || widens(&wanted.name);
        (!becomes).then_some((&wanted.name, before.data_type, wanted.data_type))
    });
    let Some((name, before, after)) = other else { return Ok(()) };
    let what = format!("column {name:?} of the table is {before}, and the pipeline loads it as {after}");
    Err(changed_by_another(table, what, pipeline))
}

fn changed_by_another(table: &str, what: String, pipeline: &Pipeline) -> Error {
    failure::unsuited(table, what)
        .help(
            "another program has changed the table, or put another one in its place: bring back the one that was there",
        )
        .help(format!("or load it anew, which drops its rows: `floodmark run {} --full-refresh`", pipeline.name))
        .help("or load into another table")
}

/// The values of partition columns stand in the log as texts, also those of files that are gone, and some readers read all of
/// them as the type of now.
fn refuse_other_partitions(table: &str, there: &Snapshot, schema: &Schema) -> Result<()> {
    let other = there.partition_by.iter().find_map(|name| {
        let (before, after) = (there.schema.get(name)?, schema.get(name)?);
        (before.data_type != after.data_type).then_some((name, before.data_type, after.data_type))
    });
    let Some((name, before, after)) = other else { return Ok(()) };
    let what = format!("column {name:?}, which the table is partitioned by, would become {after}; it is {before}");
    Err(failure::unsuited(table, what)
        .help(format!(
            "keep its type: `columns: {{{name}: {{type: \"{before}\"}}}}`, with a bad row for what does not fit"
        ))
        .help("or load into a new table"))
}

/// The columns that a table has after a load: its own, as wide as the target has them, and the new ones.
fn joined(before: Option<&Schema>, target: &Schema) -> Schema {
    let mut columns = before.map(|schema| schema.columns.clone()).unwrap_or_default();
    for column in &target.columns {
        match columns.iter_mut().find(|c| c.name == column.name) {
            Some(there) => there.data_type = column.data_type,
            None => columns.push(column.clone()),
        }
    }
    Schema { columns }
}

impl Destination for LakeDestination {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            decimal: true,
            nan: true,
            case_sensitive: false,
            nanoseconds: false,
            zero_character: true,
            max_columns: MAX_COLUMNS,
            max_name: usize::MAX,
            transactional_schema: true,
        }
    }

    fn exists(&self) -> bool {
        self.lake.path().is_none_or(|path| path.try_exists().unwrap_or(true))
    }

    fn probe(&self) -> Result<()> {
        self.lake.probe()?;
        self.lake.refuse_in_table()
    }

    fn suits(&self, pipeline: &Pipeline) -> Result<()> {
        if pipeline.destination.partition_by.is_empty() {
            return Ok(());
        }
        let snapshot = self.lake.table(&pipeline.destination.table)?.snapshot()?;
        refuse_repartitioned(snapshot.as_ref(), pipeline)
    }

    fn open(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let lock = self.hold(Name::Pipeline(pipeline), run, wait, stop)?;
        Ok(Box::new(LakeSession::open(self, pipeline, Side::Run, lock, stop)?))
    }

    fn open_beside(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let lock = self.hold(Name::Beside(pipeline), run, wait, stop)?;
        Ok(Box::new(LakeSession::open(self, pipeline, Side::Beside, lock, stop)?))
    }

    fn rehearse(&self, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Rehearsal>> {
        self.probe()?;
        lock::look(&self.locks(), Name::Pipeline(pipeline), wait, stop)?;
        Ok(Box::new(LakeRehearsal::open(self, pipeline, stop)?))
    }

    fn ledger(&self) -> Result<Box<dyn Ledger>> {
        if !self.exists() {
            return Err(Error::new(Code::DestinationOpen, format!("there is no lake at {} yet", self.lake.name()))
                .help("check the path; the first run creates it"));
        }
        Ok(Box::new(LakeLedger::new(self.clone())?))
    }

    fn fingerprint(&self, table: &str) -> Result<Fingerprint> {
        let found = self.lake.table(table)?;
        let Some(snapshot) = found.snapshot()? else {
            return Err(Error::new(Code::TableShape, format!("there is no table {table:?} in {}", self.lake.name())));
        };
        let mut schema = snapshot.schema.clone();
        schema.columns.sort_by(|a, b| a.name.cmp(&b.name));
        let names = schema.names();
        let (mut print, mut hasher) = (Fingerprint::default(), RowHasher::default());
        for file in snapshot.files()? {
            for batch in found.read(&snapshot, file, &names)? {
                let batch = batch?;
                for row in 0..batch.num_rows() {
                    print.add(hasher.row(&batch, &schema, row)?);
                }
            }
        }
        Ok(print)
    }

    fn copy(&self, folder: &Path, without: &Pipeline, stop: &Stop) -> Result<ConnectionUrl> {
        copy::copy(self, folder, without, stop)
    }

    /// A copy is all in its folder.
    fn sweep(&self) {}

    fn differences(&self, other: &ConnectionUrl, pipeline: &Pipeline, limit: usize) -> Result<Differences> {
        let folder = failure::scratch_folder()?;
        let here = copy::rows(self, pipeline, &folder.path().join("here.db"))?;
        let there = copy::rows(&LakeDestination::new(other)?, pipeline, &folder.path().join("there.db"))?;
        SqliteDestination::new(&here)?.differences(&there, pipeline, limit)
    }
}
