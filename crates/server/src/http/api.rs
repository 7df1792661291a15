//! `/api/v1`: what there is to know and to ask for, as JSON.

use super::{
    App, events, guard,
    view::{self, JobView, PipelineView, RunView},
};
use crate::{at::At, board::Refusal, work::Task};
use axum::{
    Json, Router,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, State, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Lists have at most so many.
const MOST: usize = 1000;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/project", get(project))
        .route("/pipelines", get(pipelines))
        .route("/pipelines/{name}", get(one_pipeline))
        .route("/pipelines/{name}/pause", post(pause))
        .route("/pipelines/{name}/resume", post(resume))
        .route("/runs", get(runs).post(start))
        .route("/jobs", get(jobs))
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/events", get(events::of_job))
        .route("/events", get(events::all))
        .fallback(async || ApiError::unknown("there is no such path"))
        .method_not_allowed_fallback(async || ApiError {
            status: StatusCode::METHOD_NOT_ALLOWED,
            message: "not that way".into(),
        })
}

/// An error, told as an object.
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn unknown(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    fn wrong(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::UNPROCESSABLE_ENTITY, message: message.into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        guard::refused(self.status, &self.message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(message) => ApiError::unknown(message),
            Refusal::Wrong(message) => ApiError::wrong(message),
            Refusal::Over(message) => ApiError { status: StatusCode::CONFLICT, message },
        }
    }
}

/// A body that is JSON of that form; what is wrong with it is told as all errors are.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read = Json::<T>::from_request(request, state).await;
        read.map(|Json(value)| Body(value))
            .map_err(|error: JsonRejection| ApiError { status: error.status(), message: error.body_text() })
    }
}

/// What stands behind the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Asked(value))
            .map_err(|error| ApiError { status: StatusCode::BAD_REQUEST, message: error.body_text() })
    }
}

/// A list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    items: Vec<T>,
}

/// The project.
#[derive(Debug, Serialize)]
struct ProjectView {
    /// The pipeline file.
    file: String,
    /// What is wrong with the file as it is now; then the pipelines are those that it had before.
    mistakes: Option<String>,
    /// How many pipelines there are.
    pipelines: usize,
    /// How many pieces of work may go on at a time, and how many do.
    jobs: usize,
    running: usize,
    /// Since when the server is there.
    since: At,
}

async fn project(State(app): State<App>) -> Json<ProjectView> {
    let board = app.shared.board();
    Json(ProjectView {
        file: app.shared.program.file().display().to_string(),
        mistakes: board.mistakes.clone(),
        pipelines: board.entries.len(),
        jobs: board.limits.jobs,
        running: board.jobs.values().filter(|job| job.is_running()).count(),
        since: At(board.since),
    })
}

async fn pipelines(State(app): State<App>) -> Json<List<PipelineView>> {
    let now = app.shared.clock.now();
    let board = app.shared.board();
    Json(List { items: board.entries.iter().map(|entry| view::pipeline(&board, entry, now)).collect() })
}

async fn one_pipeline(State(app): State<App>, Path(name): Path<String>) -> Result<Json<PipelineView>, ApiError> {
    let now = app.shared.clock.now();
    let board = app.shared.board();
    let entry = board.entry(&name).ok_or_else(|| ApiError::unknown(format!("there is no pipeline {name:?}")))?;
    Ok(Json(view::pipeline(&board, entry, now)))
}

/// Which runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    pipeline: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
}

async fn runs(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<List<RunView>>, ApiError> {
    let board = app.shared.board();
    if let Some(name) = which.pipeline.as_ref().filter(|name| board.entry(name).is_none()) {
        return Err(ApiError::unknown(format!("there is no pipeline {name:?}")));
    }
    let of = |name: &str| which.pipeline.as_deref().is_none_or(|wanted| wanted == name);
    let known = board.entries.iter().filter(|entry| of(&entry.declared.name)).filter_map(|entry| entry.known.as_ref());
    let is = |run: &&floodmark_core::state::RunRecord| which.status.as_ref().is_none_or(|status| *status == run.status);
    let mut all: Vec<_> = known.flat_map(|known| &known.runs).filter(is).collect();
    all.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.run.cmp(&a.run)));
    all.truncate(which.limit.unwrap_or(50).min(MOST));
    Ok(Json(List { items: all.into_iter().map(RunView::from).collect() }))
}

/// What is to be done with which pipeline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    pipeline: String,
    #[serde(default)]
    task: Option<Task>,
}

async fn start(State(app): State<App>, Body(order): Body<Order>) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let id = app.shared.ask(&order.pipeline, order.task.unwrap_or(Task::Run {}))?;
    Ok((StatusCode::ACCEPTED, Json(shown(&app, &id)?)))
}

fn shown(app: &App, id: &str) -> Result<JobView, ApiError> {
    let board = app.shared.board();
    board.jobs.get(id).map(JobView::from).ok_or_else(|| ApiError::unknown(format!("there is no work {id:?}")))
}

/// Which work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichJobs {
    pipeline: Option<String>,
    limit: Option<usize>,
}

async fn jobs(State(app): State<App>, Asked(which): Asked<WhichJobs>) -> Json<List<JobView>> {
    let board = app.shared.board();
    let of = |name: &str| which.pipeline.as_deref().is_none_or(|wanted| wanted == name);
    let mut all: Vec<_> = board.jobs.values().filter(|job| of(&job.pipeline)).collect();
    all.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| b.id.cmp(&a.id)));
    all.truncate(which.limit.unwrap_or(50).min(MOST));
    Json(List { items: all.into_iter().map(JobView::from).collect() })
}

async fn job(State(app): State<App>, Path(id): Path<String>) -> Result<Json<JobView>, ApiError> {
    Ok(Json(shown(&app, &id)?))
}

async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<(StatusCode, Json<JobView>), ApiError> {
    app.shared.cancel(&id)?;
    Ok((StatusCode::ACCEPTED, Json(shown(&app, &id)?)))
}

async fn pause(app: State<App>, name: Path<String>) -> Result<Json<PipelineView>, ApiError> {
    app.shared.pause(&name, true)?;
    one_pipeline(app, name).await
}

async fn resume(app: State<App>, name: Path<String>) -> Result<Json<PipelineView>, ApiError> {
    app.shared.pause(&name, false)?;
    one_pipeline(app, name).await
}
