//! A pipeline with every default filled in: what the engine runs. `config` and the `load` command both end here.

use crate::{state::Settings, types::DataType, url::ConnectionUrl};
use std::{path::PathBuf, time::Duration};

macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// As written in the pipeline file, with the value.
            pub const NAMES: &[(&str, $name)] = &[$(($text, $name::$variant),)*];
        }
    };
}

/// One source into one table.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name; state is kept under it.
    pub name: String,
    /// Where rows come from.
    pub source: SourceSpec,
    /// Where they go.
    pub destination: DestinationSpec,
    /// The load strategy.
    pub load: Load,
    /// Columns that identify a row.
    pub key: Vec<String>,
    /// Where the last run stopped.
    pub watermark: Option<WatermarkSpec>,
    /// Which of two copies of a row is newer.
    pub version: Option<String>,
    /// `delete_insert`: the columns whose values a batch replaces; empty means its keys.
    pub window: Vec<String>,
    /// What an incoming NULL does to an existing value, unless a column says otherwise.
    pub on_null: OnNull,
    /// SQL condition that marks a row as a delete.
    pub delete_when: Option<String>,
    /// How a marked or absent row goes.
    pub deletes: Deletes,
    /// What happens to table rows that a full read no longer holds.
    pub absent_rows: AbsentRows,
    /// SQL over the table `source`.
    pub transform: Option<String>,
    /// Per-column settings, in file order.
    pub columns: Vec<ColumnSpec>,
    /// What may change about the columns.
    pub schema: SchemaPolicy,
    /// What a bad row does.
    pub on_bad_row: OnBadRow,
    /// How many rejects are too many; `None` is no limit.
    pub max_rejects: Option<RejectLimit>,
    /// What a loaded file that changed does.
    pub changed_files: ChangedFiles,
    /// Whether an `overwrite` may empty the table.
    pub allow_empty: bool,
    /// Whether the first load may take over a table that holds rows already: replace them (`overwrite`,
    /// `absent_rows: delete`), or add to them after the pipeline loaded another table.
    pub adopt: bool,
    /// `append: at_least_once`: add every row again on every run.
    pub at_least_once: bool,
    /// Rows per destination transaction, where a load may be committed in parts.
    pub commit_every: u64,
    /// When and how `serve` runs it.
    pub service: Service,
    /// Whose days and months a backfill counts, and whose clocks a schedule goes by.
    pub timezone: chrono_tz::Tz,
}

/// When and how `serve` runs a pipeline.
#[derive(Debug, Clone)]
pub struct Service {
    /// A cron expression, or `@every` and a duration.
    pub schedule: Option<String>,
    /// Pipelines and families that come first.
    pub after: Vec<String>,
    /// What becomes of times at which it could not be run.
    pub catch_up: CatchUp,
    /// By how much of this, at most, a run is put off.
    pub jitter: Option<Duration>,
    /// How often a run that failed is tried again.
    pub retries: u64,
    /// How long after it failed first; each further time it is twice as long.
    pub retry_delay: Duration,
    /// A run that takes longer is stopped.
    pub timeout: Option<Duration>,
    /// How old what is loaded may become.
    pub freshness: Option<Duration>,
}

/// The default of `Service::retry_delay`.
pub const RETRY_DELAY: Duration = Duration::from_secs(30);

impl Default for Service {
    fn default() -> Self {
        Service {
            schedule: None,
            after: Vec::new(),
            catch_up: CatchUp::Latest,
            jitter: None,
            retries: 0,
            retry_delay: RETRY_DELAY,
            timeout: None,
            freshness: None,
        }
    }
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum SourceSpec {
    /// Files by pattern, or standard input.
    Files(FileSource),
    /// A table or a query of a database.
    Database(DatabaseSource),
    /// Rows that a program hands over, such as a data frame; by what ledgers and messages call them.
    Handed(String),
}

impl SourceSpec {
    /// The files, where it is files.
    pub fn files(&self) -> Option<&FileSource> {
        match self {
            SourceSpec::Files(files) => Some(files),
            SourceSpec::Database(_) | SourceSpec::Handed(_) => None,
        }
    }

    /// Whether standard input is among what is read.
    pub fn reads_stdin(&self) -> bool {
        self.files().is_some_and(FileSource::reads_stdin)
    }
}

/// The column in which PostgreSQL keeps, of every row of a table, the number of the transaction that wrote it.
pub const XMIN: &str = "xmin";

/// What is read of a database.
#[derive(Debug, Clone)]
pub struct DatabaseSource {
    /// The database.
    pub url: ConnectionUrl,
    /// What of it.
    pub relation: Relation,
    /// How many sessions read a large table at most.
    pub readers: usize,
}

/// Rows of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// A table or view, as the user wrote it.
    Table(String),
    /// The result of a statement in the database's own SQL.
    Query(String),
}

impl Relation {
    /// What ledgers call it.
    pub fn name(&self) -> &str {
        match self {
            Relation::Table(table) => table,
            Relation::Query(_) => "query",
        }
    }

    /// What messages call it.
    pub fn described(&self) -> String {
        match self {
            Relation::Table(table) => format!("table {table}"),
            Relation::Query(_) => "a query".to_owned(),
        }
    }
}

impl DatabaseSource {
    /// Whether the database keeps that column beside the rows.
    pub fn hides(&self, column: &str) -> bool {
        let postgres = matches!(self.url.scheme(), "postgres" | "postgresql");
        postgres && column == XMIN && matches!(self.relation, Relation::Table(_))
    }
}

/// Files of one kind.
#[derive(Debug, Clone)]
pub struct FileSource {
    /// Glob patterns (absolute, or relative to the process); `-` is standard input, and a URL an object of a store.
    pub patterns: Vec<String>,
    /// Settings and credentials of the store that the patterns lie in, where they are written down.
    pub store: Option<ConnectionUrl>,
    /// Resolved against this when relative; names in the ledger are relative to it, so that a project can move.
    pub base: PathBuf,
    /// `None` goes by the name's extension, then by content.
    pub format: Option<FileFormat>,
    /// CSV dialect.
    pub csv: CsvOptions,
    /// The largest row read, in bytes; a larger one is an error that says where.
    pub max_row_bytes: usize,
    /// Folders `column=value` of a file's path are columns of its rows.
    pub hive_partitions: bool,
}

impl Default for FileSource {
    fn default() -> Self {
        FileSource {
            patterns: Vec::new(),
            store: None,
            base: PathBuf::new(),
            format: None,
            csv: CsvOptions::default(),
            max_row_bytes: MAX_ROW_BYTES,
            hive_partitions: false,
        }
    }
}

impl FileSource {
    /// Whether standard input is among what is read.
    pub fn reads_stdin(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern == STDIN)
    }
}

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields; `None` goes by the header line among `,` `;` tab `|`.
    pub delimiter: Option<u8>,
    /// Around fields.
    pub quote: u8,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Column names where there is no header, or in its place.
    pub names: Vec<String>,
    /// Unquoted text that means NULL, beside nothing at all.
    pub null: Option<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { delimiter: None, quote: b'"', header: true, names: Vec::new(), null: None }
    }
}

/// The pattern, and the slice, that is standard input.
pub const STDIN: &str = "-";

/// The default of `FileSource::max_row_bytes`.
pub const MAX_ROW_BYTES: usize = 16 << 20;
/// The default of `DatabaseSource::readers`.
pub const READERS: usize = 1;
/// The default of `Pipeline::commit_every`.
pub const COMMIT_EVERY: u64 = 1_000_000;
/// The same in a lake, where each commit makes files of its own, and an upsert may write those anew that the one before made.
pub const COMMIT_EVERY_OF_LAKE: u64 = 10_000_000;

/// Where rows go.
#[derive(Debug, Clone)]
pub struct DestinationSpec {
    /// The database.
    pub url: ConnectionUrl,
    /// The table, as the user wrote it.
    pub table: String,
    /// A lake: the columns by which a new table's files are kept apart. Empty means not at all, or as the table has it.
    pub partition_by: Vec<String>,
    /// A lake: how large files become, in bytes, about; `None` leaves it to the lake.
    pub file_size: Option<u64>,
}

choices! {
    /// The load strategies.
    Load {
        /// Adds the new rows.
        Append = "append",
        /// The table becomes the source.
        Overwrite = "overwrite",
        /// Inserts new keys, updates existing ones.
        Upsert = "upsert",
        /// Inserts new keys, leaves existing rows alone.
        InsertOnly = "insert_only",
        /// Replaces what the batch covers.
        DeleteInsert = "delete_insert",
        /// Keeps history.
        Scd2 = "scd2",
    }
}

impl Load {
    /// Whether a table that was loaded with `before` may be loaded with this from now on. An append knows no rows by
    /// their key, and a history has more than one row a key; all others keep one row a key, or replace.
    pub fn may_follow(self, before: Load) -> bool {
        let kind = |load| match load {
            Load::Append => 0,
            Load::Scd2 => 1,
            Load::Overwrite | Load::Upsert | Load::InsertOnly | Load::DeleteInsert => 2,
        };
        kind(self) == kind(before)
    }

    /// As written in the pipeline file.
    pub fn name(self) -> &'static str {
        Load::NAMES.iter().find(|(_, l)| *l == self).map_or("", |(n, _)| n)
    }
}

/// The watermark's settings.
#[derive(Debug, Clone)]
pub struct WatermarkSpec {
    /// The cursor column (of the transform's output where there is one).
    pub column: String,
    /// The source keeps the column beside its rows: it knows which rows changed since a value of it, and loads them without
    /// it.
    pub hidden: bool,
    /// Rows before this are never loaded; read by the column's type. A moment without an offset is in UTC.
    pub start: Option<String>,
    /// Re-read this much before the watermark.
    pub lookback: Option<Span>,
    /// Leave rows younger than this for the next run.
    pub settle: Option<Span>,
    /// `boundary: exclusive`: plain `>` instead of `>=` with recognition of the rows at the boundary.
    pub exclusive: bool,
    /// What a row without a cursor does.
    pub nulls: CursorNulls,
    /// Rows at or behind the watermark in a file never seen before; `None` is the default of the strategy.
    pub late_rows: Option<LateRows>,
}

/// A distance on the cursor's axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// For dates and timestamps.
    Time(Duration),
    /// For numbers.
    Number(u64),
}

choices! {
    /// What a row without a cursor does.
    CursorNulls {
        /// Fails the run, with the count.
        Fail = "fail",
        /// Loads it; the watermark is not moved by it.
        Include = "include",
        /// Leaves it out, counted as skipped.
        Exclude = "exclude",
    }
}
choices! {
    /// Rows behind the watermark in a file never seen before.
    LateRows {
        /// Loads them; the version rule keeps it safe.
        Load = "load",
        /// Fails the run, with counts and remedies.
        Fail = "fail",
        /// Leaves them out, counted as skipped and warned about.
        Skip = "skip",
    }
}
choices! {
    /// What an incoming NULL does to an existing value.
    OnNull {
        /// Writes it (INSERT OR REPLACE).
        Overwrite = "overwrite",
        /// Keeps the existing value (pandas' combine_first).
        Keep = "keep",
    }
}
choices! {
    /// How a deleted row goes.
    Deletes {
        /// Out of the table; a tombstone keeps its key and version.
        Hard = "hard",
        /// Stays, with `is_deleted` set.
        Soft = "soft",
    }
}
choices! {
    /// Table rows that a full read no longer holds.
    AbsentRows {
        /// Stay.
        Keep = "keep",
        /// Are deleted, as `deletes` says.
        Delete = "delete",
        /// `scd2`: their current version is closed.
        Close = "close",
    }
}
choices! {
    /// What may change about the columns.
    SchemaPolicy {
        /// New columns are added, types widen without loss.
        Evolve = "evolve",
        /// Any difference fails the run.
        Freeze = "freeze",
    }
}
choices! {
    /// What a bad row does.
    OnBadRow {
        /// Fails the run.
        Fail = "fail",
        /// Goes to `_floodmark_rejects`.
        Reject = "reject",
    }
}
choices! {
    /// What a loaded file that changed does.
    ChangedFiles {
        /// Loads it again in place of its earlier rows.
        Reload = "reload",
        /// Fails the run.
        Fail = "fail",
        /// Loads only what was added at its end; fails when the old part changed.
        AppendTail = "append_tail",
    }
}
choices! {
    /// What becomes of times of a schedule at which a pipeline could not be run.
    CatchUp {
        /// One run makes up for all of them.
        Latest = "latest",
        /// A run for each.
        All = "all",
        /// They are left out.
        None = "none",
    }
}
choices! {
    /// File formats.
    FileFormat {
        /// Delimited text.
        Csv = "csv",
        /// One JSON object a line.
        Jsonl = "jsonl",
        /// One array of JSON objects.
        Json = "json",
        /// Apache Parquet.
        Parquet = "parquet",
        /// Arrow IPC, file or stream (Feather).
        Arrow = "arrow",
    }
}

/// How many rejects are too many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RejectLimit {
    /// More than this many rows.
    Rows(u64),
    /// More than this share of the rows read, in percent.
    Percent(f64),
}

/// Settings of one column.
#[derive(Debug, Clone, Default)]
pub struct ColumnSpec {
    /// Its name in the table.
    pub name: String,
    /// Its name in the source, where they differ.
    pub from: Option<String>,
    /// Its type, in place of the inferred one.
    pub data_type: Option<DataType>,
    /// NULL is a bad row.
    pub not_null: bool,
    /// In place of the pipeline's.
    pub on_null: Option<OnNull>,
}

impl Pipeline {
    /// The watermark, where rows carry its column.
    pub fn cursor(&self) -> Option<&WatermarkSpec> {
        self.watermark.as_ref().filter(|w| !w.hidden)
    }

    /// What decides which rows are in the table and what they hold, by field: where it changes, rows that are loaded stay
    /// as they were.
    pub fn settings(&self) -> Settings {
        fn name<T: Copy + PartialEq>(names: &[(&str, T)], value: T) -> String {
            names.iter().find(|(_, v)| *v == value).map_or_else(String::new, |(name, _)| (*name).to_owned())
        }
        let watermark = self.watermark.as_ref();
        let columns = self.columns.iter().map(|c| {
            let of = c.data_type.map(|t| t.to_string()).unwrap_or_default();
            format!("{} {} {of} {} {:?}", c.name, c.from.as_deref().unwrap_or_default(), c.not_null, c.on_null)
        });
        let all = [
            ("load", self.load.name().to_owned()),
            ("version", self.version.clone().unwrap_or_default()),
            ("window", self.window.join(", ")),
            ("on_null", name(OnNull::NAMES, self.on_null)),
            ("delete_when", self.delete_when.clone().unwrap_or_default()),
            ("deletes", name(Deletes::NAMES, self.deletes)),
            ("absent_rows", name(AbsentRows::NAMES, self.absent_rows)),
            ("transform", self.transform.clone().unwrap_or_default()),
            ("columns", columns.collect::<Vec<_>>().join("; ")),
            ("start", watermark.and_then(|w| w.start.clone()).unwrap_or_default()),
            ("nulls", watermark.map(|w| name(CursorNulls::NAMES, w.nulls)).unwrap_or_default()),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether rows that are loaded may come again, older or newer, and change nothing that is right.
    pub fn recognises(&self) -> bool {
        match self.load {
            Load::InsertOnly => true,
            Load::Upsert | Load::Scd2 => self.version.is_some(),
            Load::Append | Load::Overwrite | Load::DeleteInsert => false,
        }
    }

    /// Whether the whole run is one destination transaction.
    ///
    /// Strategies that replace, loads whose rows map to no source position or may yet be refused as a whole, and
    /// `insert_only`: after a part of it were committed, the rest would leave that part's rows alone as existing ones,
    /// and which of two copies of a new key stays would depend on where the run was cut (P8). With `settle` rows
    /// are left for later, and a run that goes on after a kill would take them for loaded.
    pub fn whole(&self) -> bool {
        matches!(self.load, Load::Overwrite | Load::InsertOnly | Load::DeleteInsert | Load::Scd2)
            || self.transform.is_some()
            || self.absent_rows != AbsentRows::Keep
            || (self.on_bad_row == OnBadRow::Reject && self.max_rejects.is_some())
            || self.watermark.as_ref().is_some_and(|w| w.settle.is_some())
    }

    /// Whether any column keeps its value against an incoming NULL.
    pub fn keeps_nulls(&self) -> bool {
        self.on_null == OnNull::Keep || self.columns.iter().any(|c| c.on_null == Some(OnNull::Keep))
    }

    /// Whether a NULL of that column keeps the existing value.
    pub fn keeps_null(&self, column: &str) -> bool {
        let own = self.columns.iter().find(|c| c.name == column).and_then(|c| c.on_null);
        own.unwrap_or(self.on_null) == OnNull::Keep
    }

    /// Whether every run must read every file once any has changed, because absence means something.
    pub fn full_read(&self) -> bool {
        self.watermark.is_none() && (self.load == Load::Overwrite || self.absent_rows != AbsentRows::Keep)
    }

    /// What rows behind the watermark in a new file do.
    pub fn late_rows(&self) -> LateRows {
        let default = if self.load == Load::Append { LateRows::Fail } else { LateRows::Load };
        self.watermark.as_ref().and_then(|w| w.late_rows).unwrap_or(default)
    }
}
