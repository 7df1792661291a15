//! What the server has its own program do: each piece of work is a process.

use crate::{
    admit::{Hindrance, Lane},
    at::At,
};
use chrono::{DateTime, Utc};
use floodmark_core::Counts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use utoipa::ToSchema;

/// Events that are kept of one piece of work; the newest ones.
pub(crate) const EVENTS: usize = 400;

/// Values have at most so many characters.
const LONGEST: usize = 200;

/// What is to be done with a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Task {
    /// Load what is new.
    Run {},
    /// Forget state and rows, and load everything again.
    FullRefresh {},
    /// Show what a run would do.
    Plan {},
    /// Load a range of its history.
    Backfill {
        /// The first value that is loaded.
        #[schema(
            min_length = 1,
            max_length = 200,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        from: Option<String>,
        /// The first that is not.
        #[schema(
            min_length = 1,
            max_length = 200,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        to: Option<String>,
        /// How long an interval is.
        #[schema(
            min_length = 1,
            max_length = 200,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        by: Option<String>,
        /// Only what neither a backfill nor a run has loaded.
        #[serde(default)]
        missing: bool,
    },
    /// Compare its table with its source.
    Verify {},
    /// The same, and load what differs again.
    Repair {},
    /// Load its rejected rows again.
    Replay {},
}

impl Task {
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Task::Run {} | Task::FullRefresh {} | Task::Replay {} | Task::Repair {} => Lane::Run,
            Task::Backfill { .. } => Lane::Beside,
            Task::Plan {} | Task::Verify {} => Lane::Look,
        }
    }

    /// As it is asked for.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Task::Run {} => "run",
            Task::FullRefresh {} => "full_refresh",
            Task::Plan {} => "plan",
            Task::Backfill { .. } => "backfill",
            Task::Verify {} => "verify",
            Task::Repair {} => "repair",
            Task::Replay {} => "replay",
        }
    }

    /// Why it cannot be asked for so; `None` where it can.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let Task::Backfill { from, to, by, missing } = self else { return None };
        let texts = [from, to, by];
        let odd = |text: &String| {
            text.trim().is_empty() || text.chars().any(char::is_control) || text.chars().count() > LONGEST
        };
        if texts.into_iter().flatten().any(odd) {
            return Some("from, to and by are values such as 2024-01-01 and 1d");
        }
        let range = from.is_some() && to.is_some();
        (!range && !*missing).then_some("a backfill needs from and to, or missing")
    }

    /// The command line after the program's name. Names and values stand where no hyphen makes a flag of them.
    /// `newest`, `due`: of a run that was decided on here, the newest one that was known then, and the time it is for.
    pub(crate) fn arguments(&self, pipeline: &str, newest: Option<&str>, due: Option<DateTime<Utc>>) -> Vec<String> {
        let mut line: Vec<String> = match self {
            Task::Run {} => vec!["run".into()],
            Task::FullRefresh {} => vec!["run".into(), "--full-refresh".into(), "--yes".into()],
            Task::Plan {} => vec!["plan".into()],
            Task::Backfill { from, to, by, missing } => {
                let mut line = vec!["backfill".to_owned()];
                let values = [("from", from), ("to", to), ("by", by)];
                line.extend(values.into_iter().filter_map(|(flag, v)| Some(format!("--{flag}={}", v.as_ref()?))));
                line.extend(missing.then(|| "--missing".to_owned()));
                line
            }
            Task::Verify {} => vec!["verify".into()],
            Task::Repair {} => vec!["verify".into(), "--repair".into(), "--yes".into()],
            Task::Replay {} => vec!["rejects".into(), "replay".into()],
        };
        line.extend(newest.map(|newest| format!("--newest={newest}")));
        line.extend(due.map(|due| format!("--due={}", due.to_rfc3339())));
        line.extend(["--format=json", "--quiet", "--"].map(str::to_owned));
        line.push(pipeline.to_owned());
        line
    }
}

/// Why it is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Cause {
    /// It was due at that time.
    Schedule { tick: At },
    /// The pipelines it follows have been loaded, the last of them then.
    After { tick: At },
    /// Somebody asked for it.
    Asked,
}

impl Cause {
    pub(crate) fn tick(&self) -> Option<DateTime<Utc>> {
        match self {
            Cause::Schedule { tick } | Cause::After { tick } => Some(tick.0),
            Cause::Asked => None,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// Well.
    Ok,
    /// Well, and there was nothing new.
    NothingNew,
    /// A comparison found differences.
    Differences,
    /// It failed, or its process died.
    Failed,
    /// The pipeline file does not allow it.
    Refused,
    /// Another run holds the pipeline, or was quicker.
    Busy,
    /// Somebody ended it.
    Cancelled,
    /// It took longer than its pipeline's `timeout`.
    TimedOut,
    /// The server was told to stop.
    Stopped,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            End::Ok => "ok",
            End::NothingNew => "nothing_new",
            End::Differences => "differences",
            End::Failed => "failed",
            End::Refused => "refused",
            End::Busy => "busy",
            End::Cancelled => "cancelled",
            End::TimedOut => "timed_out",
            End::Stopped => "stopped",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<End> {
        serde_json::from_value(Value::String(name.to_owned())).ok()
    }

    /// Whether trying again may help.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, End::Failed | End::TimedOut)
    }
}

/// Why a process is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Cancelled,
    TimedOut,
    Stopped,
}

/// Where a piece of work stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// It has not begun.
    Waiting(Option<Hindrance>),
    /// Its process goes on.
    Running,
    /// Its process was told to end, and is killed at that time.
    Ending { why: Ending, kill: DateTime<Utc>, killed: bool },
    /// It is over.
    Ended(End),
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    /// In a few words.
    pub(crate) phase: String,
    /// Rows, or intervals of a backfill.
    pub(crate) done: u64,
    /// Of how many, where that is known.
    pub(crate) all: Option<u64>,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// Rows by outcome, of what is committed.
    pub(crate) counts: Option<Counts>,
}

/// Something that its process told, with the time it came.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) number: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) event: Value,
}

/// A piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) task: Task,
    pub(crate) cause: Cause,
    /// From 1.
    pub(crate) attempt: u64,
    pub(crate) since: DateTime<Utc>,
    pub(crate) began: Option<DateTime<Utc>>,
    pub(crate) ended: Option<DateTime<Utc>>,
    pub(crate) stage: Stage,
    /// The run in the ledger that it is.
    pub(crate) run: Option<String>,
    /// The newest run in the ledger when it was decided on.
    pub(crate) basis: Option<String>,
    pub(crate) progress: Progress,
    pub(crate) events: VecDeque<Said>,
    pub(crate) told: u64,
    /// What it printed at its end.
    pub(crate) result: Option<Value>,
    /// Why it failed, in a sentence.
    pub(crate) message: Option<String>,
}

impl Job {
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Ending { .. })
    }

    pub(crate) fn end(&self) -> Option<End> {
        if let Stage::Ended(end) = self.stage { Some(end) } else { None }
    }

    /// Takes note of what its process told.
    pub(crate) fn said(&mut self, event: Value, at: DateTime<Utc>) {
        self.follow(&event);
        self.told += 1;
        let said = Said { number: self.told, at, event };
        // Of progress only the last counts.
        let progress = |said: &Said| said.event["kind"] == "progress";
        if progress(&said) && self.events.back().is_some_and(progress) {
            self.events.pop_back();
        }
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(said);
    }

    fn follow(&mut self, event: &Value) {
        let number = |name: &str| event[name].as_u64();
        let progress = &mut self.progress;
        match event["kind"].as_str().unwrap_or_default() {
            "started" => {
                self.run = event["run"].as_str().map(str::to_owned);
                progress.phase = "looking for what is new".into();
            }
            "surveying" => progress.phase = "reading types".into(),
            "planned" => {
                progress.phase = "loading".into();
                (progress.unit, progress.all) = ("rows", number("rows").filter(|rows| *rows > 0));
            }
            "intervals" => {
                progress.phase = "filling".into();
                (progress.unit, progress.all) = ("intervals", number("intervals"));
            }
            "filling" => (progress.unit, progress.done) = ("intervals", number("done").unwrap_or(progress.done)),
            "progress" if progress.unit != "intervals" => {
                progress.done = number("rows").unwrap_or(progress.done);
            }
            "committed" => progress.counts = serde_json::from_value(event["rows"].clone()).ok(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_value_becomes_a_flag() {
        let fill = Task::Backfill { from: Some("-5".into()), to: Some("--yes".into()), by: None, missing: false };
        assert_eq!(
            fill.arguments("--file", None, None),
            ["backfill", "--from=-5", "--to=--yes", "--format=json", "--quiet", "--", "--file"]
        );
        let run = Task::Run {}.arguments("orders", Some(""), Some(DateTime::UNIX_EPOCH));
        assert_eq!(
            run,
            ["run", "--newest=", "--due=1970-01-01T00:00:00+00:00", "--format=json", "--quiet", "--", "orders"]
        );
    }

    #[test]
    fn a_backfill_says_what_of() {
        let fill = |from: Option<&str>, to: Option<&str>, missing| Task::Backfill {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            by: None,
            missing,
        };
        assert_eq!(fill(Some("2024-01-01"), Some("2024-02-01"), false).mistake(), None);
        assert_eq!(fill(None, None, true).mistake(), None);
        assert!(fill(Some("2024-01-01"), None, false).mistake().is_some());
        assert!(fill(Some(" "), Some("2024-02-01"), false).mistake().is_some());
        assert!(fill(Some("a\nb"), Some("2024-02-01"), false).mistake().is_some());
    }
}
