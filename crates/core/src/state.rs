//! What a destination remembers of a pipeline: plain data, written and read only by destinations.

use crate::{accounting::Counts, commits::Commits, interval::Interval, schema::Schema, types::DataType, value::Value};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The newest format of the `_floodmark_*` tables; an older one is migrated, a newer one refused.
pub const FORMAT: i64 = 1;

/// Everything kept for one pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Raised at every acquisition of the lock; checked inside every commit.
    pub token: i64,
    /// The table it loads.
    pub table: Option<String>,
    /// Columns and types of the table, pinned by the first load.
    pub schema: Option<Schema>,
    /// Columns and types the source is read with, where a `transform` stands between it and the table.
    pub source_schema: Option<Schema>,
    /// The watermark with its column and type.
    pub watermark: Option<Mark>,
    /// The highest cursor committed by a load that is not complete yet; becomes the watermark when it is.
    pub pending: Option<Mark>,
    /// The file ledger, by slice name: it may be large, and whoever changes nothing in it shares it.
    pub files: Arc<HashMap<String, FileEntry>>,
    /// What decided about the rows of the last load ([`Pipeline::settings`](crate::pipeline::Pipeline::settings)).
    pub settings: Option<Settings>,
    /// When the last run committed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Fields of the pipeline file with what they say, for those that decide about rows.
pub type Settings = BTreeMap<String, String>;

/// Beside those: the `start` there was when the watermark came to be, and so the first value that runs have read; empty where
/// they read from the beginning.
pub const BEGAN: &str = "began";

/// Beside those: when the table's columns last changed, as RFC 3339; none where they never did.
pub const RESHAPED: &str = "reshaped";

/// Beside those: which table of the source the watermark is of, where it says nothing of another one of the same name.
pub const SOURCE: &str = "source_table";

/// A cursor value that knows its column and type.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The cursor column.
    pub column: String,
    /// Its type.
    pub data_type: DataType,
    /// The value, exact.
    pub value: Value,
}

/// How the rows at the watermark change that an `append` remembers, by file and hash. They may be as many as the rows of
/// the table: what is new among them is handed on in parts, and all of them are nowhere in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundaryChange {
    /// Those there were go first: the watermark has moved on from them.
    pub anew: bool,
    /// What comes on top, once for each row.
    pub added: Vec<(Arc<str>, u128)>,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Size in bytes when it was read.
    pub size: u64,
    /// Modification time then, in nanoseconds since the epoch.
    pub modified: i64,
    /// Hash of its bytes then.
    pub hash: u128,
    /// Rows of it that are committed.
    pub rows: u64,
    /// Whether that is all of them. `false`: the load stopped between chunks, or `settle` left rows behind.
    pub complete: bool,
    /// For `append` without a watermark: which rows of the table are its own.
    pub lineage: Option<Lineage>,
}

/// The receipt of an interval that a backfill loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct IntervalEntry {
    /// The column along which it lies.
    pub column: String,
    /// That column's type.
    pub data_type: DataType,
    /// From where to where.
    pub interval: Interval,
    /// The run that loaded it.
    pub run: String,
    /// Rows of the source that lie in it.
    pub rows: u64,
    /// The highest value among them.
    pub highest: Option<Value>,
    /// Whether that was all there will be: it lies in the past, and no transaction of the source was open that may still
    /// commit rows there.
    pub settled: bool,
    /// When it was loaded.
    pub loaded_at: DateTime<Utc>,
}

/// Which rows of a table came from a file: ranges of physical row ids, and what must be found there. Checked against
/// the table before any of them is replaced, so that renumbered or edited rows are never deleted by mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// First and last row id of each committed chunk, inclusive.
    pub ranges: Vec<(i64, i64)>,
    /// How many rows.
    pub rows: u64,
    /// Sum of their row hashes.
    pub fingerprint: u128,
}

/// What is remembered of a key, or of a row, because the table cannot say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What it is.
    pub what: Remembered,
    /// The key, each part as text, in the key's order; of a row its file and its hash.
    pub key: Vec<String>,
    /// A version as text; `None` where that is NULL.
    pub version: Option<String>,
}

impl Memory {
    /// The file and the hash of a remembered row; `None` where the key is no such thing, written as it always is.
    pub fn row(key: &[String]) -> Option<(&str, u128)> {
        let [file, digits] = key else { return None };
        let hash = u128::from_str_radix(digits, 16).ok().filter(|hash| format!("{hash:032x}") == *digits)?;
        Some((file, hash))
    }
}

/// Kinds of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// The version at which a row was deleted.
    Tombstone,
    /// `on_null: keep`: how old this column's value is, where it is older than its row.
    Kept(String),
    /// `scd2`: an unchanged content was seen again.
    Seen,
    /// `scd2`: a delete where nothing stood.
    Deleted,
    /// `append`: a row loaded at the watermark.
    Boundary,
}

/// One line of the run ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// UUID v7.
    pub run: String,
    /// The pipeline.
    pub pipeline: String,
    /// `ok`, `failed`, `interrupted`, `nothing_new`, or `partial` for a chunk that is not the last.
    pub status: String,
    /// The load strategy.
    pub load: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Rows by outcome.
    pub counts: Counts,
    /// The watermark's column, value before and after, as text.
    pub watermark: Option<WatermarkMove>,
    /// The error's code and text, for a run that failed.
    pub error: Option<String>,
    /// What its commits brought, in order.
    pub commits: Commits,
}

impl RunRecord {
    /// Takes over what the ledger has of the same run.
    pub fn take_committed(&mut self, kept: RunRecord) {
        (self.counts, self.watermark, self.commits) = (kept.counts, kept.watermark, kept.commits);
    }
}

/// What the ledger has as the strategy of a run that repaired a table: it decides nothing about later ones.
pub const REPAIR: &str = "repair";

/// How a watermark moved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WatermarkMove {
    /// Its column.
    pub column: String,
    /// Text form, `None` when there was none.
    pub before: Option<String>,
    /// Text form, `None` when there is none.
    pub after: Option<String>,
}

/// What rejects of a `transform`'s result are put down to, in the place of a file: they belong to none.
pub const TRANSFORMED: &str = "transform";

/// A row that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The file (or table) it came from.
    pub slice: String,
    /// Line in a text file, row elsewhere; from 1.
    pub line: u64,
    /// The column at fault, when one is.
    pub column: Option<String>,
    /// Code and reason.
    pub reason: String,
    /// The row as it stood in the source, whole.
    pub raw: String,
}

/// What one transaction writes beside rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The pinned schema after it.
    pub schema: Schema,
    /// The source's, where there is a `transform`.
    pub source_schema: Option<Schema>,
    /// The watermark after it (unchanged for a chunk that is not the last).
    pub watermark: Option<Mark>,
    /// The highest cursor of an unfinished load.
    pub pending: Option<Mark>,
    /// What becomes of the rows at the boundary.
    pub boundary: BoundaryChange,
    /// Ledger entries to write.
    pub files: Vec<(String, FileEntry)>,
    /// Slices whose every row is being read and judged: rejects that earlier runs kept of them go.
    pub reread: Vec<String>,
    /// Slices of which rows behind the watermark are left out: of the rejects that earlier runs kept of them those go that
    /// this run rejects again. Of the others it cannot be told whether their row is loaded now: they become doubtful.
    pub skimmed: Vec<String>,
    /// Rejects that were read once more, by number: they go.
    pub replayed: Vec<i64>,
    /// What decided about the rows.
    pub settings: Option<Settings>,
    /// Intervals whose rows are in with this: an entry of the same column and ends goes first.
    pub intervals: Vec<IntervalEntry>,
    /// Intervals whose entries go, as these hold them.
    pub absorbed: Vec<(String, Interval)>,
    /// The run's receipt so far.
    pub run: RunRecord,
}

impl Lineage {
    /// Takes in rows that were added after these.
    pub fn extend(&mut self, more: Lineage) {
        self.rows += more.rows;
        self.fingerprint = self.fingerprint.wrapping_add(more.fingerprint);
        for (first, last) in more.ranges {
            match self.ranges.last_mut() {
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => self.ranges.push((first, last)),
            }
        }
    }
}
