//! What is new? From what there is now and what the receipts say was loaded before.

use floodmark_connect::{Files, Range, Slice, Source, Stop};
use floodmark_core::{
    Code, Error, Result,
    pipeline::{ChangedFiles, LateRows, Load, Pipeline, STDIN},
    state::{FileEntry, State, TRANSFORMED},
    wording,
};
use std::{collections::HashSet, path::PathBuf};

/// A slice to be read, and how.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) slice: Slice,
    /// Rows at the beginning that are committed already.
    pub(crate) skip_rows: u64,
    /// Seen before: rows at or behind the watermark are known. A slice never seen may hold older rows that are not.
    pub(crate) known: bool,
    /// Rows of it were set aside when it was read before: one behind the watermark may be corrected by now. All its rows
    /// are read again, and the version rule knows those that are loaded.
    pub(crate) heals: bool,
    /// Its earlier rows in the table go before these are added.
    pub(crate) replace: bool,
    /// What was known of it.
    pub(crate) entry: Option<FileEntry>,
    /// Where along the watermark its rows are wanted from, where a file's own statistics may tell which lie before.
    pub(crate) wanted: Option<Range>,
}

/// What a run will do with the slices there are.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) readings: Vec<Reading>,
    /// Entries to write for slices whose rows are loaded: another modification time, another name (the entry of the
    /// old one goes).
    pub(crate) touched: Vec<(String, Option<FileEntry>)>,
}

/// What earlier runs left.
pub(crate) struct Known<'a> {
    pub(crate) state: &'a State,
    /// Slices of which rejects are kept.
    pub(crate) rejected: &'a HashSet<String>,
    /// The pipeline's settings are not those of the last load.
    pub(crate) other_settings: bool,
}

/// How a slice stands to its ledger entry.
enum Standing {
    New,
    Unchanged,
    Touched(FileEntry),
    /// The load of this very content stopped half-way.
    Unfinished(FileEntry),
    Changed(FileEntry),
}

fn standing(source: &dyn Files, slice: &Slice, entry: Option<&FileEntry>, stop: &Stop) -> Result<Standing> {
    let Some(entry) = entry.cloned() else { return Ok(Standing::New) };
    // Times may be those of a copy, or of whole seconds, in which a store takes several states: its tag tells them apart.
    let same = if slice.tag.is_none() && entry.size == slice.size && entry.modified == slice.modified {
        true
    } else {
        entry.size == slice.size && source.hash(slice, stop)? == entry.hash
    };
    Ok(match (same, entry.complete) {
        (true, true) if entry.modified == slice.modified => Standing::Unchanged,
        (true, true) => Standing::Touched(FileEntry { modified: slice.modified, ..entry }),
        (true, false) => Standing::Unfinished(entry),
        (false, _) => Standing::Changed(entry),
    })
}

/// Decides what to read.
pub(crate) fn plan(
    pipeline: &Pipeline,
    source: &dyn Source,
    slices: Vec<Slice>,
    known: &Known<'_>,
    stop: &Stop,
) -> Result<Plan> {
    let state = known.state;
    let Some(source) = source.files() else { return Ok(tables(slices, state)) };
    refuse_half_loaded(pipeline, &slices, state)?;
    let mut plan = Plan::default();
    let mut unchanged = Vec::new();
    let there: HashSet<&str> = slices.iter().map(|slice| slice.name.as_str()).collect();
    let mut gone: Vec<_> = state.files.iter().filter(|(name, _)| !there.contains(name.as_str())).collect();
    for slice in slices {
        if pipeline.at_least_once {
            plan.readings.push(fresh(slice, None));
            continue;
        }
        match standing(source, &slice, state.files.get(&slice.name), stop)? {
            Standing::New => match renamed(pipeline, source, &slice, &gone, stop)? {
                Some(at) => {
                    let (name, entry) = gone.swap_remove(at);
                    plan.touched.push((name.clone(), None));
                    plan.touched.push((slice.name, Some(FileEntry { modified: slice.modified, ..entry.clone() })));
                }
                None => plan.readings.push(fresh(slice, None)),
            },
            Standing::Unchanged => unchanged.push(slice),
            Standing::Touched(entry) => {
                plan.touched.push((slice.name.clone(), Some(entry)));
                unchanged.push(slice);
            }
            Standing::Unfinished(entry) => plan.readings.push(unfinished(pipeline, slice, entry)),
            Standing::Changed(entry) => {
                let reading = changed(pipeline, source, slice, entry, state, stop)?;
                plan.readings.push(reading);
            }
        }
    }
    refuse_mixed(pipeline, &plan.readings)?;
    if begins_anew(pipeline, state, &plan.readings) {
        plan.readings.extend(unchanged.drain(..).map(|s| {
            let entry = state.files.get(&s.name).cloned();
            fresh(s, entry)
        }));
        for reading in &mut plan.readings {
            reading.skip_rows = 0;
            reading.replace = reading.entry.as_ref().is_some_and(|entry| entry.rows > 0);
        }
        plan.readings.sort_by(|a, b| a.slice.name.cmp(&b.slice.name));
        // What is read gets a new entry anyway.
        plan.touched.clear();
    }
    if pipeline.recognises() {
        plan.readings.iter_mut().for_each(|r| r.heals = r.known && known.rejected.contains(&r.slice.name));
    }
    // Where absence means something, one changed file makes every file count; so does one that is gone, and a table that is
    // what its files say under other settings.
    if pipeline.full_read() && (!plan.readings.is_empty() || !gone.is_empty() || known.other_settings) {
        plan.readings.extend(unchanged.into_iter().map(|s| fresh(s, None)));
        plan.readings.iter_mut().for_each(|r| r.skip_rows = 0);
        plan.readings.sort_by(|a, b| a.slice.name.cmp(&b.slice.name));
        // Once the table is without them, what is gone is no news.
        plan.touched.extend(gone.into_iter().map(|(name, _)| (name.clone(), None)));
    }
    Ok(plan)
}

/// A table or a query has no receipt to go by: what is new is what lies behind the watermark, and all of it where there is
/// none.
fn tables(slices: Vec<Slice>, state: &State) -> Plan {
    let known = state.watermark.is_some();
    let readings = slices.into_iter().map(|s| Reading { known, ..fresh(s, None) }).collect();
    Plan { readings, touched: Vec::new() }
}

/// Rejects are read whole, and once: no receipt is kept of the file they come in.
pub(crate) fn replay(pipeline: &Pipeline, slices: Vec<Slice>, state: &State) -> Result<Plan> {
    let refuse = |what: &str| {
        Err(Error::new(Code::Unsafe, format!("{what}: rejected rows are loaded behind all others"))
            .state("nothing was written")
            .help(format!("first `floodmark run {}`", pipeline.name)))
    };
    if state.table.is_none() {
        return refuse("the pipeline has loaded nothing, or was reset");
    }
    // Of rows that are still to come some may be older, and the watermark would pass them by.
    if state.pending.is_some() || state.files.values().any(|entry| !entry.complete && entry.rows > 0) {
        return refuse("the load of its files was interrupted");
    }
    let by_file = pipeline.load == Load::Append && pipeline.watermark.is_none() && pipeline.transform.is_none();
    let unknown =
        slices.iter().find(|s| !state.files.contains_key(&s.name) && s.name != STDIN && s.name != TRANSFORMED);
    if let (true, Some(slice)) = (by_file && !pipeline.at_least_once, unknown) {
        return Err(Error::new(
            Code::Unsafe,
            format!(
                "{} is not in the file ledger under that name: replayed rows would not be known as its own",
                slice.name
            ),
        )
        .state("nothing was written")
        .help("give a renamed file its name back; or load the rows as a file of their own, and drop these rejects"));
    }
    Ok(Plan { readings: slices.into_iter().map(|s| fresh(s, None)).collect(), touched: Vec::new() })
}

/// Rows a transform made belong to no file. An `append` tells rows that are loaded from late ones by their file, so behind
/// a transform it can do so only where all files of a run are known ones, or none is.
fn refuse_mixed(pipeline: &Pipeline, readings: &[Reading]) -> Result<()> {
    let tells = pipeline.load == Load::Append && pipeline.late_rows() != LateRows::Skip;
    if !tells || pipeline.transform.is_none() || pipeline.watermark.is_none() {
        return Ok(());
    }
    let (Some(known), Some(new)) = (readings.iter().find(|r| r.known), readings.iter().find(|r| !r.known)) else {
        return Ok(());
    };
    Err(Error::new(
        Code::LateRows,
        format!(
            "{} has changed since it was loaded and {} is new, and behind the transform their rows cannot be told apart",
            known.slice.name, new.slice.name
        ),
    )
    .state("nothing was written")
    .help("load them one after the other: move the new files away, run, move them back, run")
    .help("or leave out rows behind the watermark whatever file they are in: `late_rows: skip` under `watermark:`")
    .help("with a key and `load: upsert` neither is needed: a row is loaded once, however often it comes"))
}

/// Whether an interrupted first load of an `append` by watermark begins once more, in place of all it brought. The file
/// it was in the middle of has changed, so the highest value may have been of a row that is gone; what else it loaded
/// reaches further than the rows read from now on, and a watermark behind it would have those rows added again.
fn begins_anew(pipeline: &Pipeline, state: &State, readings: &[Reading]) -> bool {
    let changed = |r: &Reading| r.replace && r.entry.as_ref().is_some_and(|entry| !entry.complete);
    pipeline.load == Load::Append
        && pipeline.watermark.is_some()
        && state.watermark.is_none()
        && state.pending.is_some()
        && readings.iter().any(changed)
}

/// Which of the files that are gone the slice is, under another name: under `append` its rows would be added again. A
/// copy of a file that is still there is not meant: equal files are equal rows.
fn renamed(
    pipeline: &Pipeline,
    source: &dyn Files,
    slice: &Slice,
    gone: &[(&String, &FileEntry)],
    stop: &Stop,
) -> Result<Option<usize>> {
    let alike = |entry: &FileEntry| entry.complete && entry.size == slice.size && entry.rows > 0;
    let append = pipeline.load == Load::Append && pipeline.watermark.is_none();
    if !append || !gone.iter().any(|(_, entry)| alike(entry)) {
        return Ok(None);
    }
    let hash = source.hash(slice, stop)?;
    Ok(gone.iter().position(|(_, entry)| alike(entry) && entry.hash == hash))
}

/// An append that stopped half-way and whose file is gone (renamed, most likely) would add the renamed file's rows to
/// those that are in.
fn refuse_half_loaded(pipeline: &Pipeline, slices: &[Slice], state: &State) -> Result<()> {
    if pipeline.load != Load::Append || pipeline.at_least_once {
        return Ok(());
    }
    let half = state
        .files
        .iter()
        .find(|(name, entry)| !entry.complete && entry.rows > 0 && !slices.iter().any(|slice| slice.name == **name));
    let Some((name, entry)) = half else { return Ok(()) };
    Err(Error::new(
        Code::ChangedFile,
        format!(
            "{} of {name:?} {} loaded before its load was interrupted, and the file is gone",
            wording::count(entry.rows, "row"),
            wording::verb(entry.rows, "was", "were")
        ),
    )
    .state("nothing was written")
    .help("put the file back under its name, and the load goes on after them")
    .help("or load everything again with `--full-refresh`"))
}

fn fresh(slice: Slice, entry: Option<FileEntry>) -> Reading {
    Reading { slice, skip_rows: 0, known: false, heals: false, replace: false, entry, wanted: None }
}

fn unfinished(pipeline: &Pipeline, slice: Slice, entry: FileEntry) -> Reading {
    if entry.rows == 0 {
        // Read to its end, but `settle` left rows behind: the watermark tells them from the loaded ones.
        return Reading { known: true, ..fresh(slice, Some(entry)) };
    }
    if pipeline.whole() {
        // The pipeline has changed since: this run merges everything anyway, an append in place of what is there.
        return Reading { replace: pipeline.load == Load::Append, ..fresh(slice, Some(entry)) };
    }
    Reading { skip_rows: entry.rows, ..fresh(slice, Some(entry)) }
}

fn changed(
    pipeline: &Pipeline,
    source: &dyn Files,
    slice: Slice,
    entry: FileEntry,
    state: &State,
    stop: &Stop,
) -> Result<Reading> {
    let append = pipeline.load == Load::Append;
    if !entry.complete {
        // Half of an older content is in the table. A keyed load puts the newer over it; an append takes it out first.
        return Ok(Reading { known: entry.rows == 0, replace: append && entry.rows > 0, ..fresh(slice, Some(entry)) });
    }
    // An append that had no watermark yet knows its rows by file, not by cursor.
    let unmarked = append && state.watermark.is_none() && entry.lineage.is_some();
    if pipeline.watermark.is_some() && !unmarked {
        return Ok(Reading { known: true, ..fresh(slice, Some(entry)) });
    }
    let path: PathBuf = slice.path.clone();
    match pipeline.changed_files {
        ChangedFiles::Reload => Ok(Reading { replace: append, ..fresh(slice, Some(entry)) }),
        ChangedFiles::Fail => Err(Error::new(Code::ChangedFile, "a file that was loaded before has changed")
            .in_file(path)
            .state("nothing was written")
            .help("put new rows into a new file")
            .help("or set `changed_files: reload` to load it again in place of its earlier rows, or `append_tail` if it only grew")),
        ChangedFiles::AppendTail => {
            if slice.size >= entry.size && source.hash_prefix(&slice, entry.size, stop)? == entry.hash {
                if !source.row_ends_at(&slice, entry.size)? {
                    return Err(Error::new(Code::ChangedFile, "the last row that was loaded of a file has grown, or may have")
                        .in_file(path)
                        .state("nothing was written")
                        .help("`changed_files: append_tail` needs plain text files whose rows are complete when they are read")
                        .help("set `changed_files: reload` to load it again in place of its earlier rows"));
                }
                return Ok(Reading { skip_rows: entry.rows, ..fresh(slice, Some(entry)) });
            }
            Err(Error::new(Code::ChangedFile, "the part of a file that was loaded before has changed")
                .in_file(path)
                .state("nothing was written")
                .help("`changed_files: append_tail` needs files that only grow at their end")
                .help("set `changed_files: reload` to load it again in place of its earlier rows"))
        }
    }
}
