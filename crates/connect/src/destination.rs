//! What a destination must do.

use crate::{Differences, Rehearsal, Stop};
use arrow::array::{BooleanArray, RecordBatch};
use chrono::{DateTime, Utc};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Schema, Value,
    error::shorten,
    fingerprint::Fingerprint,
    interval::Interval,
    pipeline::Pipeline,
    schema::Change,
    state::{BoundaryChange, Commit, FileEntry, IntervalEntry, Memory, Reject, RunRecord, State},
    url::ConnectionUrl,
};
use std::{collections::HashSet, path::Path, time::Duration};

/// What a destination can hold and do, as data, so that `check` can explain before a run what cannot work.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities {
    /// Exact decimals; where not, they are kept as text.
    pub decimal: bool,
    /// NaN in a double column.
    pub nan: bool,
    /// Column names that differ only in the case of letters are different names.
    pub case_sensitive: bool,
    /// Parts of a microsecond in times and timestamps.
    pub nanoseconds: bool,
    /// The character U+0000 in text.
    pub zero_character: bool,
    /// The most columns a table may have.
    pub max_columns: usize,
    /// The most bytes a column's name may have.
    pub max_name: usize,
    /// Tables are made and changed by the load's own transaction. Where they are not, it is done before: of a load that
    /// fails, an empty table, a new column or a wider type may stay, and the next one goes on from there.
    pub transactional_schema: bool,
}

/// The table a pipeline loads, with every name checked.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The table's columns after this load.
    pub schema: &'a Schema,
    /// Steps from the pinned schema to it; empty for a first load, which creates the table if it is not there.
    pub changes: &'a [Change],
    /// The version column's type, where the pipeline has one.
    pub version: Option<DataType>,
    /// The logical time of the run, for what has no time of its own (`scd2`), in nanoseconds since the epoch.
    pub now: i128,
    /// The run's id, for staging names.
    pub run: &'a str,
}

/// Files whose rows a reload replaces, and which rows those are.
#[derive(Debug, Clone)]
pub struct LoadPlan<'a> {
    /// The table.
    pub target: Target<'a>,
    /// `append`: earlier rows of these files go before theirs are added.
    pub replace: Vec<(&'a str, &'a FileEntry)>,
    /// `append`: record which rows come from which slice.
    pub lineage: bool,
    /// `--full-refresh`: state and table go first, in the same transaction.
    pub forget: bool,
    /// Whether the chunk holds everything the run will load, so that absent rows can be told.
    pub full: bool,
    /// Whether the source's rows come in an order, so that of two copies of a row with equal versions the later counts.
    /// Where they do not, two that differ are an error ([`tied`]).
    pub ordered: bool,
    /// The chunk holds every row of the source in this part of the table, and none beyond it.
    pub within: Option<Within>,
}

/// A part of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// The column of the table along which it lies.
    pub column: String,
    /// From where to where. A row without a value there is in no part.
    pub interval: Interval,
    /// What else the table holds there goes, under `append`, too.
    pub whole: bool,
}

/// Two rows of a source without an order that have the same key and version and are not the same: neither is the one to
/// keep. `differing`: where they differ, with the value of either.
pub fn tied(pipeline: &Pipeline, key: &[Value], version: Option<&Value>, differing: &[(&str, Value, Value)]) -> Error {
    let of_key = pipeline.key.iter().zip(key).map(|(name, value)| format!("{name} = {}", shorten(&value.to_string())));
    let same = match (&pipeline.version, version) {
        (Some(name), Some(value)) => format!(" and the version {name} = {}", shorten(&value.to_string())),
        _ => String::new(),
    };
    let differ = differing.iter().map(|(name, one, other)| {
        format!("{name} is {} in one and {} in the other", shorten(&one.to_string()), shorten(&other.to_string()))
    });
    let message = format!(
        "two rows of the source have the key {}{same}, and differ: {}",
        of_key.collect::<Vec<_>>().join(", "),
        differ.collect::<Vec<_>>().join("; ")
    );
    let remedy = match pipeline.version {
        Some(_) => "name a key that tells them apart, or a `version` that says which is newer",
        None => "name a key that tells them apart, or a `version` column that says which is newer",
    };
    Error::new(Code::TiedRows, message)
        .state("the open transaction was rolled back")
        .help(remedy)
        .help("or decide with `query:`, for example by SELECT DISTINCT, or a GROUP BY of the key")
}

/// Rows ready to be merged.
#[derive(Debug, Clone)]
pub struct ShapedBatch {
    /// A subset of the target's columns, in the target's order and types. A column that is missing is absent from the
    /// input: kept where a row exists, NULL where it is new.
    pub rows: RecordBatch,
    /// Which rows mark a delete; only where the pipeline has a `delete_when`.
    pub delete: Option<BooleanArray>,
    /// Which slice they came from (an index into the run's slices).
    pub slice: usize,
}

/// The open transaction, as far as the rows on their way into it need it.
pub trait Transaction {
    /// Keeps a row that was set aside.
    fn keep(&mut self, reject: Reject) -> Result<()>;

    /// `append`: which of these rows at the stored watermark, asked for one after the other, were loaded by an earlier run,
    /// out of the file named or, where none is, out of any. Each row that was loaded answers to one.
    fn loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>>;

    /// `append`: writes what became of the rows at the watermark so far; the commit's own change comes on top. What
    /// [`Transaction::loaded`] answers stays the same.
    fn boundary(&mut self, change: &BoundaryChange) -> Result<()>;
}

/// What one transaction is to write: pulled by the destination, sealed by the engine.
pub trait Chunk {
    /// The next rows, or `None` at the chunk's end. Rows set aside on the way are handed to the transaction as they come.
    fn next(&mut self, transaction: &mut dyn Transaction) -> Result<Option<ShapedBatch>>;

    /// Whether every row read so far was handed over. Where some were set aside as bad, a key that did not come may be
    /// theirs: absence then means nothing.
    fn complete(&self) -> bool;

    /// Called once after the last batch, inside the transaction, with what became of the rows. Checks the accounting
    /// and returns what to write beside the rows; an error rolls everything back. `lineage` is by slice index.
    fn seal(&mut self, counts: Counts, lineage: Vec<(usize, floodmark_core::state::Lineage)>) -> Result<Commit>;
}

/// A destination.
pub trait Destination: Send + Sync {
    /// What it can hold and do.
    fn capabilities(&self) -> Capabilities;

    /// Whether it is there: `false` for a database that the first run will make. What cannot be told counts as there,
    /// so that opening it says why.
    fn exists(&self) -> bool;

    /// Whether it can be reached and written to, without changing anything.
    fn probe(&self) -> Result<()>;

    /// An error where a pipeline asks for what its table, as it is now, cannot become.
    fn suits(&self, _pipeline: &Pipeline) -> Result<()> {
        Ok(())
    }

    /// Takes the pipeline's lock (waiting for at most `wait`, `None` being forever), brings the state tables up to
    /// date, raises the fencing token and sweeps what dead runs left. An error with `Code::Busy` when another run
    /// holds the lock. The lock dies with the process, at once.
    fn open(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>>;

    /// Opens a session for parts of the table that the pipeline's runs are not reading, which may go on meanwhile. It takes
    /// a lock of its own (`Code::Busy` where another such session has it) and raises a token of its own, which its commits
    /// check. Its loads write rows, what is remembered of keys, intervals, rejects and the run's receipt. What a commit says
    /// of position, schema, settings and files is not looked at: these are the runs' own. Nothing is made or changed of the
    /// table: a plan with changes is a defect.
    ///
    /// [`Session::state`] is the pipeline's as of the opening, or of the last load. Each load looks, inside its transaction,
    /// whether table, schema and settings are still those; where a run changed them, nothing is written, and the error is
    /// transient.
    ///
    /// Transactions of one pipeline that load, of its runs and beside them, come one after the other: what one decides about
    /// a key, a window or a tombstone stands until it has committed.
    fn open_beside(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>>;

    /// Opens a session of which nothing is ever kept: rows, state, ledgers and token are as before once it is dropped,
    /// or its process killed, and where there is no database, no file or lock is made. Its loads count and refuse what
    /// those of `open` would.
    ///
    /// `Code::Busy` when a run holds the pipeline's lock (after waiting for it as `open` does). It takes no lock of its
    /// own: a run that comes meanwhile waits for its end at most.
    fn rehearse(&self, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Rehearsal>>;

    /// Reads and changes state outside a run. An error where there is no database; it is never made by asking.
    fn ledger(&self) -> Result<Box<dyn Ledger>>;

    /// The fingerprint of a table's content, and its schema as far as it is known.
    fn fingerprint(&self, table: &str) -> Result<Fingerprint>;

    /// A private copy of the whole database inside `folder`, in which `without` was never loaded: its table is dropped and
    /// its state and rejects are forgotten, as a full refresh would. Returns its URL, which holds no password, as other
    /// processes are told it. A database that is not there is copied as one that is not there.
    ///
    /// It is one committed state of the database, also while others write to it, and nothing of the original is changed:
    /// no file of it, no lock, no state. What the folder held under that name before is not looked at.
    fn copy(&self, folder: &Path, without: &Pipeline, stop: &Stop) -> Result<ConnectionUrl>;

    /// Takes away what copies left outside their folders, once these are gone. What cannot be taken away now is left to the
    /// next time.
    fn sweep(&self);

    /// How the pipeline's table differs in `other`, a database of the same kind: at most `limit` rows each that are only
    /// there, that have other values there, and that are only here. Rows are paired by the key; without one a row is its
    /// content.
    fn differences(&self, other: &ConnectionUrl, pipeline: &Pipeline, limit: usize) -> Result<Differences>;
}

/// A held lock on one pipeline. Dropping it lets go.
pub trait Session: Send {
    /// The state as of the lock's acquisition, or of this session's last commit.
    fn state(&self) -> &State;

    /// Columns and types of the pipeline's table as the database has it, or `None` where there is no such table.
    fn table(&self, table: &str) -> Result<Option<Schema>>;

    /// One transaction: schema changes, rows, and what `Chunk::seal` returns. Returns once it is durable. When it
    /// fails, nothing of it is there, unless the answer to the commit itself was lost: then all of it may be, and
    /// [`Session::receipt`] tells. `Code::Fenced` when a newer holder of the lock exists.
    ///
    /// A first load that would take rows out of a table it did not fill (`overwrite`, `absent_rows: delete`) is refused
    /// with their number, unless the pipeline says `adopt` or the plan says `forget`.
    fn load(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts>;

    /// Slices of which rejects are kept; a replay's belong to the slice they came from.
    fn rejected(&self) -> Result<HashSet<String>>;

    /// Whether the pipeline may go on from how it loaded its table: an error where its rows are found by another key now, or
    /// by one for the first time. `load` asks the same; this is for a run that has nothing to load.
    fn goes_on(&self, pipeline: &Pipeline) -> Result<()>;

    /// Receipts of intervals along a column, in no order.
    fn intervals(&self, column: &str) -> Result<Vec<IntervalEntry>>;

    /// What is committed of a run, as its ledger has it; `None` where nothing is.
    fn receipt(&self, run: &str) -> Result<Option<RunRecord>>;

    /// Lets go of the pipeline's runs and goes on beside them, as [`Destination::open_beside`] would: what the session knows
    /// of the table it may keep for as long as nobody else loads it.
    fn step_aside(self: Box<Self>, run: &str, wait: Option<Duration>) -> Result<Box<dyn Session>>;

    /// Puts a run that wrote nothing on record (`failed`, `interrupted`), and file entries whose rows need no
    /// load: a touched file's, a renamed file's new one (`None` takes its old one out). Durable when it returns.
    fn record(&mut self, run: &RunRecord, files: &[(String, Option<FileEntry>)]) -> Result<()>;
}

/// What was tidied up of a table whose files lie in a lake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Files that were written into others.
    pub compacted: u64,
    /// And how many those are.
    pub into: u64,
    /// Files that were deleted.
    pub deleted: u64,
    /// And their bytes.
    pub freed: u64,
}

/// A kept reject with where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReject {
    /// Its number, for `rejects show|replay|drop`.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// The run that rejected it.
    pub run: String,
    /// The file was read again since, and the row may be loaded by now.
    pub doubtful: bool,
    /// The row.
    pub reject: Reject,
}

/// How a pipeline's state is changed by hand. Its fencing token stays its own.
#[derive(Debug, Clone, Copy)]
pub enum StateChange<'a> {
    /// Forgets it: position, file ledger, intervals, boundary and what is remembered of keys.
    Forget,
    /// Puts `to` in the place of `seen`, on which the decision was made. What is remembered of keys stays: what was deleted
    /// must not come back because a position moved (P5). So do intervals, whose rows are there wherever the position is.
    Move {
        /// The state as it was read. Where it is another by now, nothing is changed (`Code::Busy`).
        seen: &'a State,
        /// What it becomes.
        to: &'a State,
    },
    /// Puts a state from elsewhere in its place, with what it remembers of keys.
    Import {
        /// What it becomes.
        state: &'a State,
        /// All it remembers from now on.
        memories: &'a [Memory],
        /// All that is loaded of intervals.
        intervals: &'a [IntervalEntry],
    },
}

/// Which runs of a ledger are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunQuery<'a> {
    /// Of this pipeline; of all where none is named.
    pub pipeline: Option<&'a str>,
    /// That ended so.
    pub status: Option<&'a str>,
    /// Whose id begins so.
    pub id: Option<&'a str>,
    /// Behind the run with this beginning and id, in the order in which they are listed.
    pub before: Option<(DateTime<Utc>, &'a str)>,
    /// At most so many.
    pub limit: usize,
}

impl<'a> RunQuery<'a> {
    /// One run.
    pub fn of(id: &'a str) -> Self {
        RunQuery { id: Some(id), limit: 1, ..RunQuery::default() }
    }
}

/// Which rejects are asked for.
#[derive(Debug, Clone, Copy)]
pub struct RejectQuery<'a> {
    /// Of this pipeline; of all where none is named.
    pub pipeline: Option<&'a str>,
    /// With a higher number than this.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
}

impl RejectQuery<'_> {
    /// The limit as databases take one.
    pub fn most(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }
}

/// State outside a run. Changing calls take the pipeline's lock for their duration and fail with `Code::Busy` when a
/// run holds it.
pub trait Ledger: Send {
    /// Pipelines with any state.
    fn pipelines(&self) -> Result<Vec<String>>;
    /// A pipeline's state, `None` where there is none.
    fn state(&self, pipeline: &str) -> Result<Option<State>>;
    /// What it remembers of keys beside the table, by key.
    fn memories(&self, pipeline: &str) -> Result<Vec<Memory>>;
    /// `append`: the hash of each row that was loaded at the stored watermark, as [`Transaction::loaded`] asks for them, one
    /// after the other: they may be as many as the rows of the table.
    fn at_watermark(&self, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()>;
    /// Changes a pipeline's state; comparing and writing are one transaction under the pipeline's lock.
    fn change_state(&mut self, pipeline: &str, change: StateChange<'_>) -> Result<()>;
    /// Receipts of intervals, in no order.
    fn intervals(&self, pipeline: &str) -> Result<Vec<IntervalEntry>>;
    /// The newest runs first; all pipelines where none is named.
    fn runs(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunRecord>>;
    /// The runs whose id begins so, newest first, at most `limit`.
    fn runs_like(&self, id: &str, limit: usize) -> Result<Vec<RunRecord>>;
    /// The runs that are asked for, newest first: the later ones, and of those that began together the higher id.
    fn find_runs(&self, query: &RunQuery<'_>) -> Result<Vec<RunRecord>>;
    /// Kept rejects, oldest first.
    fn rejects(&self, pipeline: Option<&str>) -> Result<Vec<KeptReject>>;
    /// The rejects that are asked for, by number.
    fn find_rejects(&self, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>>;
    /// How many rejects are kept of a pipeline.
    fn count_rejects(&self, pipeline: &str) -> Result<u64>;
    /// Drops rejects by id; returns how many there were.
    fn drop_rejects(&mut self, pipeline: &str, ids: &[i64]) -> Result<u64>;
    /// Drops the lines of ended runs that began before `before`, but for each pipeline's newest `keep`; returns how many.
    /// Nothing that decides about rows goes.
    fn prune_runs(&mut self, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64>;
}
