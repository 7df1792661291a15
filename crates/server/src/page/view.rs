//! What pages show. Plain data, filled by whoever reads boards and ledgers; nothing here reads anything.

use crate::sandbox;
use chrono::{DateTime, Utc};
use floodmark_core::{Counts, coverage::Grid};
use std::time::Duration;

/// What every page has around it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The project, in a word or two; empty for whoever has not logged in.
    pub(crate) project: String,
    /// What a form brings along, so that it is known to be one of these pages'; empty for whoever has not logged in.
    pub(crate) form: String,
    /// Whether somebody has logged in, and so can log out.
    pub(crate) can_log_out: bool,
    /// Whether there is a page to try things on.
    pub(crate) can_try: bool,
    pub(crate) now: DateTime<Utc>,
    /// What became of a button that was pressed.
    pub(crate) notice: Option<String>,
    /// Why the pipeline file, as it is now, cannot be read; what is shown is the file before that.
    pub(crate) mistakes: Option<String>,
    /// Channels at which alerts do not arrive, and why.
    pub(crate) unsent: Vec<(String, String)>,
}

/// Whom alerts go to.
#[derive(Debug, Clone)]
pub(crate) struct Alerts {
    /// Whether it is this server that tells.
    pub(crate) tells: bool,
    pub(crate) channels: Vec<ChannelLine>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct ChannelLine {
    pub(crate) name: String,
    /// A host or a program, nothing secret.
    pub(crate) to: String,
    pub(crate) reach: Reach,
    /// Why messages do not arrive.
    pub(crate) message: Option<String>,
    pub(crate) since: Option<DateTime<Utc>>,
    /// When one arrived last.
    pub(crate) last: Option<DateTime<Utc>>,
    /// `failed`, `late`.
    pub(crate) on: Vec<&'static str>,
    /// Empty means all.
    pub(crate) pipelines: Vec<String>,
    /// What was told and is not over.
    pub(crate) told: Vec<ToldLine>,
}

/// Whether messages arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Ok,
    Failing,
    Off,
}

/// A trouble that was told.
#[derive(Debug, Clone)]
pub(crate) struct ToldLine {
    pub(crate) pipeline: String,
    pub(crate) trouble: &'static str,
    pub(crate) since: DateTime<Utc>,
    pub(crate) told: DateTime<Utc>,
}

/// How a pipeline stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Its last run failed, or broke off.
    Failed,
    /// It cannot be run as the file is.
    Broken,
    /// Its ledger cannot be read.
    Unknown,
    /// What is loaded is older than `freshness`.
    Late,
    Running,
    /// Something is due, and waits for something else.
    Waiting,
    /// It was never run.
    New,
    /// It does not run by itself.
    Paused,
    Ok,
}

/// How a run ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Ok,
    NothingNew,
    Failed,
    /// Told to stop, or killed.
    Interrupted,
    /// Some of it is in.
    Partial,
    /// It came to its end, and there was nothing to load: a plan, a comparison.
    Done,
    /// A comparison found some.
    Differences,
    /// Somebody else's run was first.
    Busy,
    Running,
    /// It has not begun.
    Waiting,
}

impl Ended {
    /// As ledgers and the API write it; what is no such word has not ended.
    pub(crate) fn parse(status: &str) -> Ended {
        match status {
            "ok" => Ended::Ok,
            "nothing_new" => Ended::NothingNew,
            "failed" | "refused" | "timed_out" => Ended::Failed,
            "interrupted" | "cancelled" | "stopped" => Ended::Interrupted,
            "partial" => Ended::Partial,
            "differences" => Ended::Differences,
            "busy" => Ended::Busy,
            "waiting" => Ended::Waiting,
            _ => Ended::Running,
        }
    }

    /// Whether it came to a good end.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Ended::Ok | Ended::NothingNew | Ended::Done)
    }

    /// Whether something of it may not be in.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Ended::Failed | Ended::Interrupted | Ended::Partial)
    }
}

/// Up to where rows are loaded.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) column: String,
    /// As the state has it.
    pub(crate) value: String,
    /// The moment that is, where it is one.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// What went wrong, in what state the data is, and what to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble {
    /// Such as `FM0107`.
    pub(crate) code: Option<String>,
    /// In a sentence.
    pub(crate) what: String,
    /// What state the data is in.
    pub(crate) state: Option<String>,
    /// What to do, one thing each.
    pub(crate) help: Vec<String>,
    /// Since when.
    pub(crate) since: Option<DateTime<Utc>>,
    /// When it is tried again by itself.
    pub(crate) again: Option<DateTime<Utc>>,
}

impl Trouble {
    /// From a ledger's line, which is `FM0107 what happened`, or only what happened.
    pub(crate) fn told(line: &str) -> Trouble {
        let line = line.trim();
        let code = line.split_once(' ').filter(|(code, _)| is_code(code));
        let (code, what) = code.map_or((None, line), |(code, what)| (Some(code.to_owned()), what.trim()));
        Trouble { code, what: what.to_owned(), ..Trouble::default() }
    }
}

/// Whether that is what an error code looks like: only then is there a page to lead to.
pub(crate) fn is_code(text: &str) -> bool {
    text.strip_prefix("FM").is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A run, in a line.
#[derive(Debug, Clone)]
pub(crate) struct RunLine {
    pub(crate) id: String,
    pub(crate) ended: Ended,
    /// The load strategy, or what else it did: `backfill`, `repair`.
    pub(crate) load: String,
    pub(crate) began: DateTime<Utc>,
    pub(crate) over: Option<DateTime<Utc>>,
    pub(crate) rows: Counts,
    /// The watermark after it.
    pub(crate) mark: Option<String>,
    pub(crate) trouble: Option<Trouble>,
}

/// A run of the past, as little as a small picture needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past {
    pub(crate) ended: Ended,
    /// Rows that it wrote.
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
}

/// When a pipeline runs next.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    At(DateTime<Utc>),
    /// Once these were loaded.
    After(Vec<String>),
    Paused(DateTime<Utc>),
    /// Only when somebody asks for it.
    Asked,
}

/// Work that waits or goes on.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// What it is, in a few words: `run`, `backfill from 2024-01-01 to 2024-02-01`.
    pub(crate) task: String,
    /// Whether it has begun.
    pub(crate) runs: bool,
    /// It was told to end.
    pub(crate) ending: bool,
    /// What it waits for, in a sentence.
    pub(crate) waits: Option<String>,
    pub(crate) began: Option<DateTime<Utc>>,
    /// In a few words.
    pub(crate) phase: String,
    pub(crate) done: u64,
    pub(crate) all: Option<u64>,
    /// `rows` or `intervals`.
    pub(crate) unit: String,
}

/// A pipeline in the overview.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) family: Option<String>,
    pub(crate) standing: Standing,
    /// Where its rows come from, and where they go; without a secret.
    pub(crate) source: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) mark: Option<Mark>,
    /// How old what is loaded may become.
    pub(crate) freshness: Option<Duration>,
    /// Whether it is older.
    pub(crate) late: bool,
    /// The newest run that looked for what is new.
    pub(crate) last: Option<RunLine>,
    /// When the last good run ended.
    pub(crate) last_good: Option<DateTime<Utc>>,
    pub(crate) next: Next,
    /// Oldest first; the last ones are drawn.
    pub(crate) past: Vec<Past>,
    /// Kept rejects.
    pub(crate) rejects: u64,
    /// There for `Failed`, `Broken`, `Unknown`.
    pub(crate) trouble: Option<Trouble>,
    /// What goes on comes first.
    pub(crate) jobs: Vec<Job>,
    /// The newest backfill that this server did, where not all of it is in.
    pub(crate) undone: Option<Undone>,
}

/// All pipelines, and which of them are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    pub(crate) cards: Vec<Card>,
    /// `q` of the query: words that names, tables, sources and families hold.
    pub(crate) search: String,
    /// `is` of the query: `failed`, `late`, `running`, `paused`, `ok`; anything else is all.
    pub(crate) filter: String,
}

/// A pipeline with all that is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) card: Card,
    /// `upsert`, `append`, …
    pub(crate) load: Option<String>,
    pub(crate) key: Vec<String>,
    pub(crate) destination: Option<String>,
    /// As the file has it, with its time zone.
    pub(crate) schedule: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) after: Vec<String>,
    /// Newest first.
    pub(crate) runs: Vec<RunLine>,
    /// Whether the ledger may have older ones.
    pub(crate) older: bool,
    pub(crate) coverage: Option<Coverage>,
    pub(crate) columns: Vec<Column>,
    /// When they changed last.
    pub(crate) reshaped: Option<DateTime<Utc>>,
    /// What was noted of how, newest first.
    pub(crate) changes: Vec<ColumnChange>,
    /// The first of `card.rejects`.
    pub(crate) rejects: Vec<Reject>,
    /// What of it deserves a thought, where that stands beside no line.
    pub(crate) lints: Vec<Lint>,
    /// Its lines in the file.
    pub(crate) lines: Vec<FileLine>,
}

/// A line of the file.
#[derive(Debug, Clone)]
pub(crate) struct FileLine {
    pub(crate) number: usize,
    /// Without a secret.
    pub(crate) text: String,
    /// What is wrong with it, or deserves a thought.
    pub(crate) notes: Vec<LineNote>,
}

/// Something about a line.
#[derive(Debug, Clone)]
pub(crate) struct LineNote {
    /// Whether the file cannot be read for it.
    pub(crate) mistake: bool,
    /// A code, or the name of a warning.
    pub(crate) name: String,
    pub(crate) message: String,
    /// Why it matters.
    pub(crate) reason: Option<String>,
    /// What to do.
    pub(crate) help: Vec<String>,
}

/// Work that did not come to its end, and can be done once more.
#[derive(Debug, Clone)]
pub(crate) struct Undone {
    pub(crate) id: String,
    /// What it is, in a few words.
    pub(crate) task: String,
    /// How it ended: `failed`, `was stopped`.
    pub(crate) how: &'static str,
    pub(crate) trouble: Trouble,
}

/// A column of its table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: String,
    /// No value was seen yet, so its type may still change.
    pub(crate) undecided: bool,
}

/// What became of a column.
#[derive(Debug, Clone)]
pub(crate) struct ColumnChange {
    pub(crate) at: DateTime<Utc>,
    /// The run that made it.
    pub(crate) run: String,
    pub(crate) column: String,
    pub(crate) became: Became,
}

/// What it became, types in words.
#[derive(Debug, Clone)]
pub(crate) enum Became {
    /// It is new.
    Added(String),
    /// It had another type.
    Retyped(String, String),
    /// Its first value said what type it has.
    Decided(String),
    /// It is no column of the table any more.
    Removed,
}

/// A row that could not be loaded.
#[derive(Debug, Clone)]
pub(crate) struct Reject {
    pub(crate) id: i64,
    /// File and line, or table and row.
    pub(crate) place: String,
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
    pub(crate) raw: String,
    /// The file was read again since, and the row may be loaded by now.
    pub(crate) doubtful: bool,
}

/// What of an axis is in.
#[derive(Debug, Clone)]
pub(crate) struct Coverage {
    pub(crate) column: String,
    pub(crate) grid: Grid,
}

/// What deserves a thought, as `floodmark check` tells it.
#[derive(Debug, Clone)]
pub(crate) struct Lint {
    /// Such as `no-version`.
    pub(crate) name: String,
    pub(crate) message: String,
    /// Why it matters.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// Runs of all pipelines.
#[derive(Debug, Clone)]
pub(crate) struct Runs {
    /// With their pipelines; what goes on comes first.
    pub(crate) jobs: Vec<(String, Job)>,
    /// With their pipelines; newest first.
    pub(crate) runs: Vec<(String, RunLine)>,
}

/// What is done with a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Load,
    Reload,
    Plan,
    Backfill,
    Verify,
    Repair,
    Replay,
}

/// A run, or what else was done, in full.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) pipeline: String,
    pub(crate) deed: Deed,
    pub(crate) line: RunLine,
    /// `its schedule`, `somebody asked`, …
    pub(crate) cause: Option<String>,
    /// From 1.
    pub(crate) attempt: u64,
    pub(crate) mark: Option<MarkMove>,
    pub(crate) bytes: Option<u64>,
    /// While it waits or goes on.
    pub(crate) job: Option<Job>,
    /// What a plan or a comparison printed.
    pub(crate) printed: Option<String>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) slices: Vec<Slice>,
    /// Oldest first.
    pub(crate) events: Vec<Event>,
    /// The work that it was, where that can be done once more.
    pub(crate) again: Option<String>,
    /// The runs before and after it.
    pub(crate) older: Option<String>,
    pub(crate) newer: Option<String>,
}

/// How a watermark moved.
#[derive(Debug, Clone)]
pub(crate) struct MarkMove {
    pub(crate) column: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// One commit, or several told together.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) commits: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) rows: Counts,
    pub(crate) mark: Option<String>,
    pub(crate) bytes: Option<u64>,
}

/// What of a slice came with a run.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    pub(crate) name: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) read: u64,
    pub(crate) skipped: u64,
    pub(crate) rejected: u64,
}

/// What it told.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: DateTime<Utc>,
    /// `started`, `committed`, `warning`, …
    pub(crate) kind: String,
    /// In a sentence.
    pub(crate) text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ledgers_and_work_say_is_understood() {
        assert!(["ok", "nothing_new"].into_iter().all(|status| Ended::parse(status).is_good()));
        assert_eq!(["differences", "busy"].map(Ended::parse), [Ended::Differences, Ended::Busy]);
        assert_eq!(["failed", "timed_out"].map(Ended::parse), [Ended::Failed; 2]);
        assert_eq!(["interrupted", "cancelled"].map(Ended::parse), [Ended::Interrupted; 2]);
        assert_eq!(["partial", "running", ""].map(Ended::parse), [Ended::Partial, Ended::Running, Ended::Running]);
    }

    #[test]
    fn the_code_of_a_ledgers_line_leads_to_its_page() {
        let told = Trouble::told("FM0402 the server is gone");
        assert_eq!((told.code.as_deref(), told.what.as_str()), (Some("FM0402"), "the server is gone"));
        for line in ["FM04 x", "FM040x it", "the server", "FM0402", ""] {
            assert_eq!(Trouble::told(line).code, None, "{line}");
            assert_eq!(Trouble::told(line).what, line);
        }
    }
}

/// Where a visitor tries things.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// `None` before the first attempt.
    pub(crate) id: Option<String>,
    pub(crate) known: sandbox::Known,
}
