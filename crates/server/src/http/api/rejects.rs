//! Rows that could not be loaded.

use super::{
    ApiError,
    page::{Asked, ByNumber, Limit, Numbered, Within, cut},
    shown,
};
use crate::{
    http::{App, books, view::JobView},
    work::Task,
};
use axum::{Json, extract::State, http::StatusCode};
use floodmark_connect::destination::{KeptReject, RejectQuery};
use serde::Serialize;
use utoipa::ToSchema;

/// In a list a row has at most so many characters: it may be as long as a file.
const SHOWN: usize = 1000;

/// A row that could not be loaded; keys as `floodmark rejects` prints them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectView {
    /// Its number in the database that keeps it.
    id: i64,
    pipeline: String,
    /// The run that set it aside.
    run: String,
    /// The file or table it came from.
    file: String,
    /// Its line or row there, from 1.
    line: u64,
    /// The column at fault, where one is.
    column: Option<String>,
    /// Code and reason.
    reason: String,
    /// The row as it stands in the source.
    raw: String,
    /// Whether that is all of it: a list has the beginning of a long one.
    whole: bool,
    /// The file was read again since, and the row may be loaded by now.
    doubtful: bool,
}

fn view(kept: KeptReject, most: usize) -> RejectView {
    let mut raw = kept.reject.raw;
    let end = raw.char_indices().nth(most).map(|(at, _)| at);
    if let Some(end) = end {
        raw.truncate(end);
    }
    RejectView {
        id: kept.id,
        pipeline: kept.pipeline,
        run: kept.run,
        file: kept.reject.slice,
        line: kept.reject.line,
        column: kept.reject.column,
        reason: kept.reject.reason,
        raw,
        whole: end.is_none(),
        doubtful: kept.doubtful,
    }
}

/// Kept rejects of a pipeline, by number.
#[utoipa::path(get, path = "/pipelines/{name}/rejects", operation_id = "rejects", params(("name" = String, Path), ByNumber), responses((status = 200, body = Numbered<RejectView>)))]
pub(super) async fn list(
    State(app): State<App>,
    Within(name): Within<String>,
    Asked(which): Asked<ByNumber>,
) -> Result<Json<Numbered<RejectView>>, ApiError> {
    let (limit, after) = (Limit::of(which.limit), which.behind());
    let (mut kept, total) = books::of(&app, &name, move |pipeline, ledger| {
        let query = RejectQuery { pipeline: Some(&pipeline.name), after, limit: limit + 1 };
        Ok((ledger.find_rejects(&query)?, ledger.count_rejects(&pipeline.name)?))
    })
    .await?;
    let next = cut(&mut kept, limit, |kept| kept.id);
    Ok(Json(Numbered { items: kept.into_iter().map(|kept| view(kept, SHOWN)).collect(), next, total }))
}

/// One of them, whole.
#[utoipa::path(get, path = "/pipelines/{name}/rejects/{id}", operation_id = "reject", params(("name" = String, Path), ("id" = i64, Path)), responses((status = 200, body = RejectView)))]
pub(super) async fn one(
    State(app): State<App>,
    Within((name, id)): Within<(String, i64)>,
) -> Result<Json<RejectView>, ApiError> {
    let found = books::of(&app, &name, move |pipeline, ledger| {
        let Some(after) = id.checked_sub(1) else { return Ok(Vec::new()) };
        ledger.find_rejects(&RejectQuery { pipeline: Some(&pipeline.name), after, limit: 1 })
    });
    let kept = found.await?.into_iter().find(|kept| kept.id == id);
    let kept = kept.ok_or_else(|| ApiError::unknown(format!("{name:?} has no rejected row {id}")))?;
    Ok(Json(view(kept, usize::MAX)))
}

/// Has them loaded again: the same as the task `replay`.
#[utoipa::path(post, path = "/pipelines/{name}/rejects/replay", operation_id = "replay_rejects", params(("name" = String, Path)), responses(
    (status = 202, description = "It was begun, or waits.", body = JobView),
    (status = 404, description = "There is no such pipeline.", body = super::ErrorView),
    (status = 409, description = "The server is about to stop.", body = super::ErrorView),
    (status = 422, description = "The pipeline cannot be run as the file is.", body = super::ErrorView)
))]
pub(super) async fn replay(
    State(app): State<App>,
    Within(name): Within<String>,
) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let id = app.shared.ask(&name, Task::Replay {})?;
    Ok((StatusCode::ACCEPTED, Json(shown(&app, &id)?)))
}
