//! What a comparison found.

use floodmark_core::{DataType, Value};
use std::time::Duration;

/// How two tables differ.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What stands first.
    pub left: SideReport,
    /// What is held against it.
    pub right: SideReport,
    /// The columns rows are known by; empty where they are known by their content.
    pub key: Vec<String>,
    /// All columns that were compared, the key first.
    pub columns: Vec<String>,
    /// How the columns of the two differ.
    pub shape: Shape,
    /// Rows that differ.
    pub counts: Counts,
    /// By column, in how many rows it differs; only columns that do.
    pub by_column: Vec<(String, u64)>,
    /// Some of the rows that differ.
    pub samples: Vec<RowDifference>,
    /// Keys that several rows of the first have, and of the second, in what was looked at row by row.
    pub repeated: [u64; 2],
    /// What the segments are ranges of; `None` where rows went into them by their hash.
    pub axis: Option<String>,
    /// The segments, in the order of the axis; rows without a value of it first.
    pub segments: Vec<Segment>,
    /// Where rows differ: parts of the axis, in its order, neighbours as one.
    pub parts: Vec<Part>,
    /// Which of them were looked at, where that is not all.
    pub sampling: Option<Sampling>,
    /// How rows were hashed.
    pub hashed: Hashing,
    /// Rows of the first that were counted apart.
    pub beyond: u64,
    /// Rows of the second that differ, and whose row in the first was counted apart.
    pub changed_since: u64,
    /// Wall time.
    pub elapsed: Duration,
}

/// One of the two.
#[derive(Debug, Clone, Default)]
pub struct SideReport {
    /// What it is called.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Rows that were read, and not only hashed where they are.
    pub transferred: u64,
    /// Its own database worked out the hashes.
    pub pushed: bool,
}

/// How rows were hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hashing {
    /// By PostgreSQL's own functions.
    Native,
    /// By MD5 of the row encoding.
    Md5,
    /// Here, both of them.
    #[default]
    Here,
}

/// Which of two tables has which columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Columns that only the first has.
    pub only_left: Vec<String>,
    /// Columns that only the second has.
    pub only_right: Vec<String>,
    /// Columns whose values are never equal, by their types.
    pub incomparable: Vec<(String, DataType, DataType)>,
    /// Columns that hold what is no value of their type, and are compared as text.
    pub misfits: Vec<Misfit>,
    /// Columns of the second that are of another kind than they were made with: the type they had, the one they have.
    pub retyped: Vec<(String, DataType, DataType)>,
}

/// A column that holds what is no value of its type: text in a column of numbers, say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Its name in the second.
    pub column: String,
    /// Whether the first holds such a value, and the second. Where that is not known, both may.
    pub sides: [bool; 2],
    /// The value that was met.
    pub value: Option<String>,
    /// What was compared of its row, as JSON.
    pub row: Option<String>,
}

impl Shape {
    /// Whether the two have the same columns.
    pub fn differs(&self) -> bool {
        !(self.only_left.is_empty() && self.only_right.is_empty() && self.incomparable.is_empty())
    }
}

/// Rows that differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the first that the second lacks.
    pub missing: u64,
    /// Rows of the second that the first lacks.
    pub extra: u64,
    /// Rows that both have, and that are not the same.
    pub different: u64,
}

impl Counts {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    pub(crate) fn add(&mut self, kind: Kind, rows: u64) {
        *match kind {
            Kind::Missing => &mut self.missing,
            Kind::Extra => &mut self.extra,
            Kind::Different => &mut self.different,
        } += rows;
    }
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The second lacks it.
    Missing,
    /// The first lacks it.
    Extra,
    /// It is another one.
    Different,
}

impl Kind {
    /// As in `--format json`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Different => "different",
        }
    }
}

/// A row that differs. Values are texts as the row encoding has them; `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// How.
    pub kind: Kind,
    /// The key; the whole row where there is none.
    pub key: Vec<(String, Option<String>)>,
    /// Of a row that is in both the columns that differ: name, first value, second value.
    pub columns: Vec<(String, Option<String>, Option<String>)>,
    /// How many such rows there are, where rows are known by their content.
    pub times: u64,
}

/// A part of the axis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins, which belongs to it; `None`: at the beginning.
    pub from: Option<String>,
    /// Where it ends, which does not; `None`: at the end.
    pub until: Option<String>,
    /// Rows without a value of the axis.
    pub null: bool,
    /// Rows of the first.
    pub left: u64,
    /// Rows of the second.
    pub right: u64,
    /// How its rows differ.
    pub counts: Counts,
    /// Whether it was looked at.
    pub compared: bool,
}

/// A part of the axis, as values of the second: from the first, which belongs to it, to the second, which does not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// `None`: from the beginning.
    pub from: Option<Value>,
    /// `None`: to the end.
    pub until: Option<Value>,
}

/// A share of the segments that is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// How many: a number, or a share.
    pub wanted: Share,
    /// What chooses them.
    pub seed: u64,
}

/// How many of the segments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// So many.
    Segments(u64),
    /// So many in a hundred.
    Percent(f64),
}

impl Report {
    /// Whether there is any difference.
    pub fn differs(&self) -> bool {
        self.counts.all() > 0 || self.shape.differs()
    }
}
