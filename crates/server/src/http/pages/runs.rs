//! Runs of all pipelines.

use super::{Asked, fill, frame};
use crate::{
    http::App,
    page::{self, view::Runs},
};
use axum::{
    extract::{Query, State},
    response::Html,
};

/// Runs on the page.
const MOST: usize = 200;

pub(super) async fn page(State(app): State<App>, Query(told): Asked) -> Html<String> {
    let frame = frame(&app, &told);
    let view = {
        let board = app.shared.board();
        let known = board.entries.iter().filter_map(|entry| entry.known.as_ref());
        let mut runs: Vec<_> = known.flat_map(|known| &known.runs).collect();
        runs.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.run.cmp(&a.run)));
        runs.truncate(MOST);
        let jobs = fill::unfinished(&board, None);
        Runs {
            jobs: jobs.into_iter().map(|job| (job.pipeline.clone(), fill::job(job))).collect(),
            runs: runs.into_iter().map(|run| (run.pipeline.clone(), fill::line(&board, run))).collect(),
        }
    };
    Html(page::runs(&frame, &view))
}
