//! From what a load did in its scratch database to the entry of the table's log that makes it so.

use crate::{
    data::{DataFile, Known, Left, Which, Writer, discard},
    destination::LakeDestination,
    keeper::{Keeper, Pointer},
    lake::Table,
    log::{Change, Operation, Outcome, Reads, Snapshot, must_rewrite},
    patches,
    rows::{Rows, Shared},
    session::{self, Now},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
};
use floodmark_connect::{
    Stop, Target,
    crash::{self, Point},
};
use floodmark_core::{Code, Counts, Error, Result, Schema, pipeline::Load};
use floodmark_sqlite::bench::{Became, Bench, Stay};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// A file of less than this part of what is wanted is joined with others when it is written anew.
const SMALL: u64 = 32;

/// What is to be made lasting.
pub(crate) struct Publication<'a> {
    /// What it was decided on.
    pub(crate) now: &'a Now,
    /// Writes the new state into a file.
    pub(crate) save: &'a dyn Fn(&Path) -> Result<()>,
    /// What is done by the commit.
    pub(crate) point: Point,
    /// What became of the table; `None` where only the state is another.
    pub(crate) load: Option<Loaded<'a>>,
}

/// A load that is done in the scratch database.
pub(crate) struct Loaded<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) rows: &'a Shared,
    pub(crate) target: &'a Target<'a>,
    /// Rows of the run before this load, and with it.
    pub(crate) before: Counts,
    pub(crate) counts: Counts,
    pub(crate) stop: &'a Stop,
}

/// Commits it. When this fails, nothing of it is there, unless the answer to the commit itself was lost.
pub(crate) fn publish(
    destination: &LakeDestination,
    keeper: &Keeper,
    folder: &Path,
    publication: Publication<'_>,
) -> Result<()> {
    let Publication { now, save, point, load } = publication;
    let number = chrono::Utc::now().timestamp_micros().max(now.number.map_or(0, |number| number + 1));
    let file = session::scratch(folder);
    match load {
        Some(load) => {
            let mut rows = load.rows.lock();
            let written = Files::write(&load, &mut rows)?;
            save(&file)?;
            let table = &load.target.pipeline.destination.table;
            if now.pointer.as_ref().is_none_or(|pointer| pointer.table.is_none()) {
                // Before the first commit: a table without the pipeline's state is one that it has not loaded.
                let state = now.pointer.as_ref().and_then(|pointer| pointer.state);
                keeper.point(&Pointer { table: Some(table.clone()), state })?;
            }
            keeper.keep(number, &file)?;
            let files = rows.files()?;
            let remove: Vec<&DataFile> = written.remove.iter().map(|at| &files[*at]).collect();
            let metrics = metrics(&load.before, &load.counts, written.add.len(), remove.len());
            let change = Change {
                transaction: Some((&keeper.application, number)),
                schema: written.changed.then_some(&written.schema),
                partition_by: &rows.partition_by,
                add: &written.add,
                remove: &remove,
                reads: written.reads,
                data_change: true,
                operation: Operation { name: operation(load.target.pipeline.load), metrics: &metrics },
            };
            let done = load.stop.check().and_then(|()| commit(&rows.table, rows.snapshot.as_deref(), &change, point));
            done.map_err(|error| undone(keeper, number, error, || written.discard(&rows.table)))?;
            if rows.table.is_folder() {
                // Who reads the folder alone would read rows that are the table's no more.
                let gone: Vec<DataFile> = remove.into_iter().cloned().collect();
                discard(&rows.table, &gone);
            }
            if now.pointer.as_ref().is_some_and(|pointer| pointer.table.as_ref().is_some_and(|before| before != table))
            {
                keeper.point(&Pointer { table: Some(table.clone()), state: None })?;
            }
        }
        None => {
            save(&file)?;
            keeper.keep(number, &file)?;
            match (&now.snapshot, now.pointer.as_ref().and_then(|pointer| pointer.table.as_deref())) {
                (Some(snapshot), Some(name)) => {
                    let change = Change {
                        transaction: Some((&keeper.application, number)),
                        schema: None,
                        partition_by: &[],
                        add: &[],
                        remove: &[],
                        reads: Reads::Nothing,
                        data_change: false,
                        operation: Operation { name: "FLOODMARK STATE", metrics: &[] },
                    };
                    commit(&destination.lake().table(name)?, Some(snapshot), &change, point)
                        .map_err(|error| undone(keeper, number, error, || ()))?;
                }
                (_, table) => keeper.point(&Pointer { table: table.map(str::to_owned), state: Some(number) })?,
            }
        }
    }
    keeper.sweep(number, &now.notes);
    Ok(())
}

/// Commits it; what came in between is told as an error that passes by itself.
fn commit(table: &Table, snapshot: Option<&Snapshot>, change: &Change<'_>, point: Point) -> Result<()> {
    match crash::at(point, || table.commit(snapshot, change))? {
        Outcome::Done(_) => Ok(()),
        Outcome::Moved => Err(between("another load of this pipeline")),
        Outcome::Changed(what) => Err(between(&what)),
    }
}

fn between(what: &str) -> Error {
    Error::new(Code::DestinationBusy, format!("while this load went on, the table changed: {what}"))
        .state("nothing was written; what the other one wrote stands")
        .help("run again: it begins with what is there now")
        .transient()
}

/// Takes back what a commit that was not done left. Where it may have been done, nothing is taken back.
fn undone(keeper: &Keeper, number: i64, error: Error, discard: impl FnOnce()) -> Error {
    if matches!(error.code(), Code::DestinationBusy | Code::Interrupted) {
        keeper.discard(number);
        discard();
    }
    error
}

/// The files of the table after a load: new ones, and which of the old ones go.
struct Files {
    schema: Schema,
    changed: bool,
    add: Vec<DataFile>,
    /// By their place in the snapshot.
    remove: Vec<usize>,
    reads: Reads,
}

impl Files {
    fn write(load: &Loaded<'_>, rows: &mut Rows) -> Result<Files> {
        let name = &load.target.pipeline.destination.table;
        let schema = load.bench.columns(name)?.ok_or_else(|| Error::internal("a load without a table"))?;
        let before = rows.snapshot.as_ref().map(|snapshot| &snapshot.schema);
        // Files tell nothing of a column that was added: it is NULL there, which a mark must not be.
        let marks = before.is_some_and(|before| {
            ["is_deleted", "is_current"].iter().any(|mark| schema.get(mark).is_some() && before.get(mark).is_none())
        });
        let all = marks || before.is_some_and(|before| must_rewrite(before, &schema));
        let stay = stay(rows, before != Some(&schema) || all)?;
        let became = load.bench.became(name, &stay)?;
        let mut left: BTreeMap<u32, Left> = BTreeMap::new();
        if !rows.cleared {
            became.left(|file, row, columns| {
                left.entry(file).or_default().push(row, columns);
                Ok(())
            })?;
        }
        let append = load.target.pipeline.load == Load::Append && left.is_empty() && !all && !rows.cleared;
        let mut files = Files {
            changed: before != Some(&schema),
            schema,
            add: Vec::new(),
            remove: Vec::new(),
            reads: if append { Reads::Nothing } else { Reads::Table },
        };
        files.remove = match (rows.cleared, all) {
            (true, _) | (_, true) => (0..rows.files()?.len()).collect(),
            _ => left.keys().map(|file| *file as usize).collect(),
        };
        files.fill(load, rows, (&stay, &became), left).inspect_err(|_| files.discard(&rows.table))?;
        Ok(files)
    }

    fn fill(
        &mut self,
        load: &Loaded<'_>,
        rows: &mut Rows,
        (stay, became): (&Stay, &Became<'_>),
        mut left: BTreeMap<u32, Left>,
    ) -> Result<()> {
        if let Some(writer) = rows.writer.take() {
            self.add = crash::at(Point::DataFile, || writer.finish())?;
        }
        let straight = count(&self.add);
        let (mut writer, mut patches) = (None, Vec::new());
        if !rows.cleared {
            for at in self.remove.clone() {
                load.stop.check()?;
                let gone = left.remove(&(at as u32)).unwrap_or_default();
                match stay.files.binary_search(&(at as u32)) {
                    _ if gone.gone.len() as u64 == rows.files()?[at].rows => {}
                    Ok(_) => patches.push((at as u32, gone)),
                    Err(_) => self.rewrite(rows, at, &gone.gone, &mut writer)?,
                }
            }
        }
        // What has come is encoded meanwhile.
        became.arrived(|batch| self.writer(rows, &mut writer)?.write(batch))?;
        if let Some(snapshot) = rows.snapshot.as_deref().filter(|_| !patches.is_empty()) {
            let layout = rows.layout(&self.schema, None);
            let others = |file, places| became.changed(file, places);
            self.add.extend(patches::write(rows, snapshot, &layout, &patches, others)?);
        }
        if let Some(writer) = writer {
            self.add.extend(crash::at(Point::DataFile, || writer.finish())?);
        }
        self.check(rows, straight, became)
    }

    /// Whether the files have as many rows as they must: whatever went wrong on the way, no row is lost without a word.
    fn check(&self, rows: &Rows, straight: i64, became: &Became<'_>) -> Result<()> {
        let there = rows.files()?;
        let (brought, now) = became.counts()?;
        let stayed = if rows.cleared { 0 } else { count(there) - brought };
        let left = count(there) - count(self.remove.iter().map(|at| &there[*at]));
        let (expected, found) = (stayed + now + straight, left + count(&self.add));
        if expected == found {
            return Ok(());
        }
        let what = format!("the files of the table would have {found} rows, and {expected} are the load's");
        Err(Error::internal(what).state("nothing was written"))
    }

    fn writer<'w>(&self, rows: &Rows, writer: &'w mut Option<Writer>) -> Result<&'w mut Writer> {
        if writer.is_none() {
            *writer = Some(Writer::new(&rows.table, rows.layout(&self.schema, None))?);
        }
        writer.as_mut().ok_or_else(|| Error::internal("a writer that is not there"))
    }

    /// What stays of a file goes into a new one; where its rows have numbers, into one of its own.
    fn rewrite(&mut self, rows: &Rows, at: usize, gone: &[u32], writer: &mut Option<Writer>) -> Result<()> {
        let file: &DataFile = &rows.files()?[at];
        let mut own = None;
        let writer = if file.numbers.is_some() { &mut own } else { writer };
        let (mut left, mut first) = (gone.iter().copied().peekable(), 0u32);
        for batch in rows.read(&rows.open(file, &Known::default())?, &self.schema, Which::All)? {
            let batch = marked(batch?)?;
            let count = batch.num_rows() as u32;
            let stays: Vec<bool> = (first..first + count).map(|row| left.next_if_eq(&row).is_none()).collect();
            first += count;
            let batch = match stays.iter().all(|stays| *stays) {
                true => batch,
                false => filter_record_batch(&batch, &BooleanArray::from(stays))?,
            };
            self.writer(rows, writer)?.write(&batch)?;
        }
        if let (Some(numbers), Some(writer)) = (&file.numbers, own) {
            let all = numbers.iter().flat_map(|(first, last)| *first..=*last).zip(0u32..);
            let mut left = gone.iter().copied().peekable();
            let mut stay = all.filter(|(_, row)| left.next_if_eq(row).is_none()).map(|(number, _)| number);
            for mut file in crash::at(Point::DataFile, || writer.finish())? {
                file.numbers = Some(ranges(stay.by_ref().take(file.rows as usize)));
                self.add.push(file);
            }
        }
        Ok(())
    }

    fn discard(&self, table: &Table) {
        discard(table, &self.add);
    }
}

fn count<'f>(files: impl IntoIterator<Item = &'f DataFile>) -> i64 {
    files.into_iter().map(|file| file.rows.cast_signed()).sum()
}

/// In which files a changed row keeps its place. Small ones are joined instead, and numbers belong to rows as they came.
/// `all`: every file is written anew, or has other columns now.
fn stay(rows: &Rows, all: bool) -> Result<Stay> {
    let mut stay = Stay { files: Vec::new(), by: rows.partition_by.clone() };
    if rows.cleared || all {
        return Ok(stay);
    }
    let least = rows.layout(&Schema::default(), None).target / SMALL;
    for (file, at) in rows.files()?.iter().zip(0u32..) {
        if file.numbers.is_none() && file.size >= least {
            stay.files.push(at);
        }
    }
    Ok(stay)
}

/// What the history of the table says a load was.
fn operation(load: Load) -> &'static str {
    match load {
        Load::Append | Load::Overwrite => "WRITE",
        _ => "MERGE",
    }
}

/// Of this commit alone, as readers of the history add them up.
fn metrics(before: &Counts, counts: &Counts, added: usize, removed: usize) -> [(&'static str, u64); 5] {
    let here = |count: fn(&Counts) -> u64| count(counts).saturating_sub(count(before));
    [
        ("numTargetRowsInserted", here(|counts| counts.inserted)),
        ("numTargetRowsUpdated", here(|counts| counts.updated)),
        ("numTargetRowsDeleted", here(|counts| counts.deleted + counts.removed)),
        ("numTargetFilesAdded", added as u64),
        ("numTargetFilesRemoved", removed as u64),
    ]
}

/// Numbers that follow each other, as ranges.
fn ranges(numbers: impl Iterator<Item = i64>) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Marks that a file does not have yet.
fn marked(batch: RecordBatch) -> Result<RecordBatch> {
    let fill = |(field, array): (&Arc<arrow::datatypes::Field>, &ArrayRef)| -> ArrayRef {
        match field.name().as_str() {
            name @ ("is_deleted" | "is_current") if array.null_count() > 0 && array.as_boolean_opt().is_some() => {
                let marks = array.as_boolean().iter().map(|mark| Some(mark.unwrap_or(name == "is_current")));
                Arc::new(marks.collect::<BooleanArray>())
            }
            _ => Arc::clone(array),
        }
    };
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(fill).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}
