//! Runs of all pipelines, newest first, and what goes on or waits.

use super::{
    parts::Work,
    pipeline::Listed,
    view::{Frame, Runs},
};
use askama::Template;

#[derive(Template)]
#[template(path = "page/runs.html")]
struct Page<'a> {
    frame: &'a Frame,
    works: Vec<(&'a str, Work<'a>)>,
    runs: Vec<(&'a str, Listed<'a>)>,
}

/// The page.
pub(crate) fn runs(frame: &Frame, view: &Runs) -> String {
    super::rendered(&Page {
        frame,
        works: view.jobs.iter().map(|(name, job)| (name.as_str(), Work::new(frame, name, job, true))).collect(),
        runs: view.runs.iter().map(|(name, run)| (name.as_str(), Listed::new(run, frame.now))).collect(),
    })
}
