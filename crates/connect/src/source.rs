//! What a source must do.

use crate::{Stop, digests::Digests};
use arrow::array::RecordBatch;
use floodmark_core::{Code, DataType, Error, Result, Schema, Value, watermark::Bounds};
use std::{collections::HashMap, sync::Arc};

/// A part of a source that rows come from: a file, a table, a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its name in the ledger; stable when the project moves.
    pub name: String,
    /// Where it is now, for messages and opening.
    pub path: std::path::PathBuf,
    /// Bytes; 0 where that is not known.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch; 0 where there is none.
    pub modified: i64,
    /// What a store calls the state of its bytes (an ETag), where it lies in one: other bytes have another, so that nobody
    /// has to look at them. It is hashed in place of them.
    pub tag: Option<String>,
}

/// What is asked of a survey.
#[derive(Debug, Clone, Default)]
pub struct SurveyRequest {
    /// Types pinned by an earlier load or by `columns:`, by the column's name in the source. Values that do not fit
    /// are reported by type (`Guess::against`), not as errors.
    pub pinned: HashMap<String, DataType>,
    /// The watermark's column, by its name in the source.
    pub cursor: Option<String>,
    /// The highest cursor loaded so far, less what is to be read again: rows before it are skipped, so that a source that
    /// makes its rows may leave them out.
    pub from: Option<Value>,
}

/// What a source holds, learnt from all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Columns by their names in the source, in the order they first appear, over all slices.
    pub schema: Schema,
    /// By slice, in the order asked: rows, and a hash of the slice's bytes.
    pub slices: Vec<(u64, u128)>,
    /// By slice, in the order asked: its own columns, with the types of its own values.
    pub columns: Vec<Arc<Schema>>,
    /// Which table this is, where a watermark of another one of the same name says nothing of it.
    pub table: Option<String>,
    /// How far the watermark may move, where rows that come later may carry a lower cursor than rows that are there now:
    /// a transaction that began before this one may commit after it. [`Value::Null`] is nowhere at all.
    pub horizon: Option<Value>,
    /// Why that is nowhere, where a person can do something about it: a sentence that ends with what.
    pub held: Option<String>,
}

/// What a first look at a source shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Columns by their names in the source. Types of text are those of the rows looked at.
    pub schema: Schema,
    /// Whether there can be no column beside these.
    pub whole: bool,
    /// By slice, in the order asked, as many as were looked at.
    pub slices: Vec<Glimpse>,
}

/// What a first look at one slice shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// Its own columns, as in [`Glance::schema`].
    pub schema: Arc<Schema>,
    /// Whether it can have no column beside these.
    pub whole: bool,
    /// Whether it has a row, good or bad.
    pub rows: bool,
}

/// How a slice is to be read.
#[derive(Debug, Clone, Default)]
pub struct ReadPlan {
    /// Columns to produce, by their names in the source, with the types to convert to. A column the slice lacks is
    /// left out of the batches; `Batch::rows` keeps this order.
    pub schema: Schema,
    /// Rows to leave out at the beginning (they are committed already).
    pub skip_rows: u64,
    /// Columns, by source name, in which NULL makes a bad row, with the code to say so. A source that cannot keep such
    /// a row as it stands may leave this to the engine, which checks again.
    pub required: Vec<(String, Code)>,
    /// Rows that are wanted, where that is not all of them. A source may give others too: the engine looks again. A file's
    /// are counted all the same where they are not given ([`Batch::left_out`]).
    pub range: Option<Range>,
    /// Rows come in the order of the range's column, where the source can do that ([`Source::sorts`]).
    pub sorted: bool,
    /// How many may read at the same time, at most; 0 leaves that to the source.
    pub readers: usize,
}

/// A part of the cursor's axis, in the terms of the source.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The cursor's column, by its name in the source.
    pub column: String,
    /// From where to where.
    pub bounds: Bounds,
    /// Whether rows without a cursor are wanted as well.
    pub nulls: bool,
}

/// A row that cannot be turned into the planned types.
#[derive(Debug)]
pub struct BadRow {
    /// Its number in the slice, from 1, bad rows counted.
    pub row: u64,
    /// Line in a text file, from 1.
    pub line: Option<u64>,
    /// What is wrong, with place and remedy.
    pub error: Error,
    /// The row as it stands in the source (for columnar files: its cells as JSON).
    pub raw: String,
}

/// Some consecutive rows of a slice.
#[derive(Debug)]
pub struct Batch {
    /// The good rows, in source order.
    pub rows: RecordBatch,
    /// The bad ones among them, in source order.
    pub bad: Vec<BadRow>,
    /// Number in the slice, from 1, of the first row this batch covers, bad rows counted.
    pub first_row: u64,
    /// How many rows it covers: good, bad, and left out.
    pub covered: u64,
    /// Rows that were not read, as none of them lies in the range that was planned. A batch that has some has no others.
    pub left_out: u64,
}

/// The lowest and the highest value of a column; `None` where every row has NULL there, or there is no row.
pub type Extent = Option<(Value, Value)>;

/// Batches of a slice in order. Dropping it stops its threads.
pub trait Batches: Iterator<Item = Result<Batch>> + Send {}
impl<T: Iterator<Item = Result<Batch>> + Send> Batches for T {}

/// A source. Reading never changes it; every method may be called again.
pub trait Source: Send + Sync {
    /// The slices there are now, in the order their rows count as arriving. An error when there is none.
    fn slices(&self, stop: &Stop) -> Result<Vec<Slice>>;

    /// Whether it gives rows in the order of a column where that is asked for.
    fn sorts(&self) -> bool;

    /// Whether ranges of the column that meet can be read at the same time, at no more cost than one: each gives its own rows
    /// and no others, and is found without looking through all of them. Elsewhere a range is a hint: a row may come with the
    /// range beside its own, too.
    fn divides(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<bool>;

    /// Where the slices are files: each loaded once, with a receipt in the file ledger, its rows known by their position.
    /// `None` where they are tables or queries, which every run reads anew, and whose rows come in no order.
    fn files(&self) -> Option<&dyn Files>;

    /// Whether its rows come in an order that means something: of two rows with equal key and version the later one counts.
    fn ordered(&self) -> bool {
        self.files().is_some()
    }

    /// Where a database can hash its rows itself. `None`: rows are read, and hashed by whoever reads them.
    fn digests(&self) -> Option<&dyn Digests> {
        None
    }

    /// The columns of the slices as far as that is cheap to tell: headers, first rows, footers, catalogs.
    fn glance(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Glance>;

    /// The bad rows among the first ones that `read` would give of a slice, as many as are cheap to look at. None of them
    /// says nothing of the others.
    fn first_bad(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Vec<BadRow>>;

    /// The lowest and the highest value of a column in what the last survey saw, where the source can tell without giving
    /// its rows: `Some(None)` where there is none. `None` where it cannot.
    fn extent(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<Option<Extent>>;

    /// Looks at all of the slices for their columns and types: every row of text, the footer of a columnar file, the
    /// catalog of a database. What `read` gives afterwards is what was there at this moment.
    fn survey(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Survey>;

    /// Reads a slice. The batches of a file, put together, are the same rows in the same order every time, whatever the
    /// number of threads; an item that is an error ends the stream.
    fn read(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>>;
}

/// What can be asked of slices that are files.
pub trait Files {
    /// The hash a survey would give a slice, without parsing it. Used to tell a touched file from a changed one.
    fn hash(&self, slice: &Slice, stop: &Stop) -> Result<u128>;

    /// The hash of the first `bytes` of a slice, to tell a file that grew from one that changed.
    fn hash_prefix(&self, slice: &Slice, bytes: u64, stop: &Stop) -> Result<u128>;

    /// Whether a row ends at that many bytes, so that what follows are rows of their own. `false` where that cannot be
    /// told.
    fn row_ends_at(&self, slice: &Slice, bytes: u64) -> Result<bool>;
}
