//! A history: a pipeline, and what happens to its files and its runs.

use super::{
    row::{Content, Value},
    settings::Settings,
};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct History {
    pub(super) settings: Settings,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A file is written: new, changed or grown.
    Write(String, Content),
    /// A file goes; nothing happens where there is none.
    Remove(String),
    /// A new modification time, the same bytes.
    Touch(String),
    /// `commit_every` from now on.
    Chunks(Option<u64>),
    /// `state reset`: everything is read again into the table as it is.
    Reset,
    /// `state set --watermark`.
    SetMark(Value),
    /// A run is killed after so many microseconds, and what happens next happens to what it left.
    Kill(u64),
    Run(How),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    Plain,
    /// On one processor, so that one thread parses.
    OneThread,
    /// `--full-refresh`.
    Refresh,
    /// Killed so many microseconds after each start, then run to the end.
    Killed(Vec<u64>),
    /// So many at the same moment.
    Several(usize),
}

impl How {
    /// Whether what a single clean run reports can be asked for.
    pub(super) fn plain(&self) -> bool {
        matches!(self, How::Plain | How::OneThread | How::Refresh)
    }
}
