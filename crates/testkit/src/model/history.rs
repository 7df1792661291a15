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
    /// `backfill`.
    Fill(Fill),
    /// `verify`, where the model knows what it must say.
    Verify,
}

/// A `backfill`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fill {
    /// `--from` and `--to`; none with `--missing` alone.
    pub(super) range: Option<(Value, Value)>,
    /// `--by`: a number, days, or hours of a time.
    pub(super) by: Option<By>,
    pub(super) jobs: usize,
    pub(super) force: bool,
    pub(super) missing: bool,
    pub(super) how: Filling,
}

/// How long an interval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Number(u32),
    Days(u32),
    Hours(u32),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filling {
    Plain,
    /// Killed in these ways, one after the other, then run to its end.
    Killed(Vec<Kill>),
    /// Killed, and what happens next happens to what it left.
    Broken(Kill),
    /// A run begins at the same moment; both wait for each other.
    Beside,
}

/// When a process is killed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kill {
    /// So many microseconds after its start.
    After(u64),
    /// At a crash point, where it meets it.
    At(String),
}

impl Fill {
    /// The words of the command line.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec!["backfill".to_owned(), "t".to_owned()];
        if let Some((from, until)) = &self.range {
            for (flag, value) in [("--from", from), ("--to", until)] {
                words.extend([flag.to_owned(), value.plain().replace(' ', "T")]);
            }
        }
        let step = self.by.map(|by| match by {
            By::Number(n) => n.to_string(),
            By::Days(n) => format!("{n}d"),
            By::Hours(n) => format!("{n}h"),
        });
        words.extend(step.into_iter().flat_map(|step| ["--by".to_owned(), step]));
        if self.jobs > 1 {
            words.extend(["--jobs".to_owned(), self.jobs.to_string()]);
        }
        let flags = [("--force", self.force), ("--missing", self.missing)];
        words.extend(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| (*flag).to_owned()));
        words
    }
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
