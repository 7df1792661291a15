//! What became of each of several comparisons, in a line for all of them and one for each that is not equal.

use super::{
    layout,
    terminal::{self, agree, clean, count, style},
};
use floodmark_core::Error;
use floodmark_engine::verify::Verification;
use std::time::Duration;

/// What became of a pipeline.
pub(crate) struct Verdict {
    pipeline: String,
    /// The exit code it would have alone.
    pub(crate) code: u8,
    ending: Ending,
    /// In a few words.
    told: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Equal,
    Differs,
    Busy,
    Failed,
}

impl Ending {
    /// The word, for one and for several.
    fn word(self, several: bool) -> &'static str {
        match (self, several) {
            (Ending::Equal, _) => "equal",
            (Ending::Differs, false) => "differs",
            (Ending::Differs, true) => "differ",
            (Ending::Busy, _) => "busy",
            (Ending::Failed, _) => "failed",
        }
    }
}

impl Verdict {
    /// Of a comparison.
    pub(crate) fn found(found: &Verification, differences: u8) -> Verdict {
        let (pipeline, rows) = (found.pipeline.clone(), found.report.counts.all());
        let (code, ending, told) = match (found.differs(), rows) {
            (false, _) => (0, Ending::Equal, String::new()),
            (true, 0) => (differences, Ending::Differs, "different columns, equal rows".to_owned()),
            (true, rows) => (differences, Ending::Differs, agree(rows, "row", "differs", "differ")),
        };
        Verdict { pipeline, code, ending, told }
    }

    /// Whether it came to a comparison.
    pub(crate) fn compared(&self) -> bool {
        matches!(self.ending, Ending::Equal | Ending::Differs)
    }

    /// Of one that did not come to its end.
    pub(crate) fn failed(pipeline: &str, error: &Error) -> Verdict {
        let ending = if error.code() == floodmark_core::Code::Busy { Ending::Busy } else { Ending::Failed };
        let told = format!("{} {}", error.code().number(), clean(&error.to_string()).replace('\n', " "));
        Verdict { pipeline: pipeline.to_owned(), code: error.exit_code(), ending, told }
    }
}

/// `12 pipelines: 9 equal, 2 differ, 1 failed`
pub(crate) fn line(verdicts: &[Verdict]) -> String {
    let of = |ending| verdicts.iter().filter(|verdict| verdict.ending == ending).count();
    let endings = [Ending::Equal, Ending::Differs, Ending::Busy, Ending::Failed].into_iter();
    let told = endings.map(|ending| (ending, of(ending))).filter(|(_, n)| *n > 0);
    let told: Vec<String> = told.map(|(ending, n)| format!("{n} {}", ending.word(n > 1))).collect();
    format!("{}: {}", count(verdicts.len() as u64, "pipeline"), told.join(", "))
}

/// All of them, for people.
pub(crate) fn total(verdicts: &[Verdict], elapsed: Duration) -> String {
    let mut out = layout::flow("", &[line(verdicts), terminal::seconds(elapsed)], 2);
    let others: Vec<&Verdict> = verdicts.iter().filter(|verdict| verdict.ending != Ending::Equal).collect();
    let width = others.iter().map(|verdict| verdict.pipeline.chars().count()).max().unwrap_or(0);
    for verdict in others {
        let style = if verdict.ending == Ending::Busy { style::WARNING } else { style::ERROR };
        let word = verdict.ending.word(false);
        let lead = format!("{style}{word:<7}{}  {:<width$}  ", style::RESET, clean(&verdict.pipeline));
        out.push_str(&layout::hanging(&format!("{lead}{}", verdict.told), 9));
    }
    out
}
