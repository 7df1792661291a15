//! `/api/v1`: what there is to know and to ask for, as JSON.

mod describe;
mod intervals;
pub(super) mod page;
mod rejects;
mod runs;
mod state;

use super::{
    App, alerts,
    books::Unread,
    events, guard,
    view::{self, JobView, PipelineView},
};
use crate::{at::At, board::Refusal, work::Task};
use axum::{
    Json, Router,
    extract::{FromRequest, Request, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use describe::Everywhere;
use page::{Asked, Limit, Within};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, OpenApi, ToSchema};

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/project", get(project))
        .route("/pipelines", get(pipelines))
        .route("/pipelines/{name}", get(one_pipeline))
        .route("/pipelines/{name}/pause", post(pause))
        .route("/pipelines/{name}/resume", post(resume))
        .route("/pipelines/{name}/state", get(state::state))
        .route("/pipelines/{name}/files", get(state::files))
        .route("/pipelines/{name}/schema", get(state::schema))
        .route("/pipelines/{name}/coverage", get(intervals::coverage))
        .route("/pipelines/{name}/intervals", get(intervals::intervals))
        .route("/pipelines/{name}/rejects", get(rejects::list))
        .route("/pipelines/{name}/rejects/{id}", get(rejects::one))
        .route("/pipelines/{name}/rejects/replay", post(rejects::replay))
        .route("/runs", get(runs::runs))
        .route("/runs/{id}", get(runs::run))
        .route("/jobs", get(jobs).post(start))
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/retry", post(retry))
        .route("/jobs/{id}/events", get(events::of_job))
        .route("/alerts", get(alerts::alerts))
        .route("/alerts/test", post(alerts::test))
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

    fn malformed(message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::BAD_REQUEST, message: message.into() }
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

impl From<Unread> for ApiError {
    fn from(why: Unread) -> Self {
        let (status, message) = why.told();
        ApiError { status, message }
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

/// What there is, for programs.
#[derive(OpenApi)]
#[openapi(
    info(title = "Floodmark", description = "Pipelines, their runs, and what is to be done with them."),
    servers((url = "/api/v1")),
    paths(
        project, pipelines, one_pipeline, pause, resume, state::state, state::files, state::schema, intervals::coverage,
        intervals::intervals, rejects::list, rejects::one, rejects::replay, runs::runs, runs::run, start, jobs, job, cancel, retry,
        events::of_job, events::all, alerts::alerts, alerts::test
    ),
    components(schemas(ErrorView, runs::RunStatus)),
    modifiers(&Everywhere)
)]
struct Document;

/// The document of this server.
async fn document(State(app): State<App>) -> Json<utoipa::openapi::OpenApi> {
    let document = Document::openapi();
    Json(if app.gate.asks() { describe::asking(document) } else { document })
}

/// An error.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described here, and made where it is told")]
pub(super) struct ErrorView {
    error: Message,
}

/// What is wrong, in a sentence.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described here, and made where it is told")]
struct Message {
    message: String,
}

/// A list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    items: Vec<T>,
}

/// The project.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProjectView {
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

/// The project, and what is wrong with its file.
#[utoipa::path(get, path = "/project", responses((status = 200, body = ProjectView)))]
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

/// All pipelines, in the order of the file.
#[utoipa::path(get, path = "/pipelines", responses((status = 200, body = List<PipelineView>)))]
async fn pipelines(State(app): State<App>) -> Json<List<PipelineView>> {
    let now = app.shared.clock.now();
    let board = app.shared.board();
    Json(List { items: board.entries.iter().map(|entry| view::pipeline(&board, entry, now)).collect() })
}

/// One pipeline.
#[utoipa::path(get, path = "/pipelines/{name}", operation_id = "pipeline", params(("name" = String, Path)), responses((status = 200, body = PipelineView), (status = 404, description = "There is no such thing.", body = ErrorView)))]
async fn one_pipeline(State(app): State<App>, Within(name): Within<String>) -> Result<Json<PipelineView>, ApiError> {
    let now = app.shared.clock.now();
    let board = app.shared.board();
    let entry = board.entry(&name).ok_or_else(|| ApiError::unknown(format!("there is no pipeline {name:?}")))?;
    Ok(Json(view::pipeline(&board, entry, now)))
}

/// What is to be done with which pipeline.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    pipeline: String,
    /// A run where nothing is said.
    #[serde(default)]
    task: Option<Task>,
}

/// Has something done with a pipeline.
#[utoipa::path(post, path = "/jobs", operation_id = "start_job", request_body = Order, responses((status = 202, description = "It was begun, or waits.", body = JobView), (status = 400, description = "The body is no JSON.", body = ErrorView), (status = 403, description = "It comes from another site.", body = ErrorView), (status = 404, description = "There is no such thing.", body = ErrorView), (status = 409, description = "The server is about to stop.", body = ErrorView), (status = 413, description = "The body is too large.", body = ErrorView), (status = 415, description = "The body is not said to be JSON.", body = ErrorView), (status = 422, description = "It cannot be done so.", body = ErrorView)))]
async fn start(State(app): State<App>, Body(order): Body<Order>) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let id = app.shared.ask(&order.pipeline, order.task.unwrap_or(Task::Run {}))?;
    Ok((StatusCode::ACCEPTED, Json(shown(&app, &id)?)))
}

fn shown(app: &App, id: &str) -> Result<JobView, ApiError> {
    let board = app.shared.board();
    board.jobs.get(id).map(JobView::from).ok_or_else(|| ApiError::unknown(format!("there is no work {id:?}")))
}

/// Which work.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WhichJobs {
    /// Of this pipeline alone.
    pipeline: Option<String>,
    /// So many at most; 50 where nothing is said.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
}

/// Work of this server, newest first.
#[utoipa::path(get, path = "/jobs", params(WhichJobs), responses((status = 200, body = List<JobView>)))]
async fn jobs(State(app): State<App>, Asked(which): Asked<WhichJobs>) -> Json<List<JobView>> {
    let board = app.shared.board();
    let of = |name: &str| which.pipeline.as_deref().is_none_or(|wanted| wanted == name);
    let mut all: Vec<_> = board.jobs.values().filter(|job| of(&job.pipeline)).collect();
    all.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| b.id.cmp(&a.id)));
    all.truncate(Limit::of(which.limit));
    Json(List { items: all.into_iter().map(JobView::from).collect() })
}

/// One piece of work.
#[utoipa::path(get, path = "/jobs/{id}", params(("id" = String, Path)), responses((status = 200, body = JobView), (status = 404, description = "There is no such thing.", body = ErrorView)))]
async fn job(State(app): State<App>, Within(id): Within<String>) -> Result<Json<JobView>, ApiError> {
    Ok(Json(shown(&app, &id)?))
}

/// Ends a piece of work: what is not committed is rolled back.
#[utoipa::path(post, path = "/jobs/{id}/cancel", operation_id = "cancel_job", params(("id" = String, Path)), responses((status = 202, description = "It was told to end.", body = JobView), (status = 403, description = "It comes from another site.", body = ErrorView), (status = 404, description = "There is no such thing.", body = ErrorView), (status = 409, description = "It is over already.", body = ErrorView)))]
async fn cancel(State(app): State<App>, Within(id): Within<String>) -> Result<(StatusCode, Json<JobView>), ApiError> {
    app.shared.cancel(&id)?;
    Ok((StatusCode::ACCEPTED, Json(shown(&app, &id)?)))
}

/// Asks for the same work once more, with all that was said of it.
#[utoipa::path(post, path = "/jobs/{id}/retry", operation_id = "retry_job", params(("id" = String, Path)), responses((status = 202, description = "It was begun, or waits.", body = JobView), (status = 404, description = "There is no such thing.", body = ErrorView), (status = 409, description = "It is not over yet.", body = ErrorView), (status = 422, description = "The pipeline cannot be run as the file is.", body = ErrorView)))]
async fn retry(State(app): State<App>, Within(id): Within<String>) -> Result<(StatusCode, Json<JobView>), ApiError> {
    let new = app.shared.retry(&id)?;
    Ok((StatusCode::ACCEPTED, Json(shown(&app, &new)?)))
}

/// Has a pipeline not run by itself.
#[utoipa::path(post, path = "/pipelines/{name}/pause", operation_id = "pause_pipeline", params(("name" = String, Path)), responses((status = 200, body = PipelineView), (status = 403, description = "It comes from another site.", body = ErrorView), (status = 404, description = "There is no such thing.", body = ErrorView)))]
async fn pause(app: State<App>, name: Within<String>) -> Result<Json<PipelineView>, ApiError> {
    app.shared.pause(&name.0, true)?;
    one_pipeline(app, name).await
}

/// Lets it again.
#[utoipa::path(post, path = "/pipelines/{name}/resume", operation_id = "resume_pipeline", params(("name" = String, Path)), responses((status = 200, body = PipelineView), (status = 403, description = "It comes from another site.", body = ErrorView), (status = 404, description = "There is no such thing.", body = ErrorView)))]
async fn resume(app: State<App>, name: Within<String>) -> Result<Json<PipelineView>, ApiError> {
    app.shared.pause(&name.0, false)?;
    one_pipeline(app, name).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a path describes it: the document is what clients are made from.
    #[test]
    fn every_path_is_described() {
        let routes = include_str!("api.rs").split(".route(\"").skip(1).filter_map(|part| part.split('"').next());
        let described = serde_json::to_value(Document::openapi()).unwrap();
        let described: Vec<&String> = described["paths"].as_object().unwrap().keys().collect();
        let mut count = 0;
        for route in routes.filter(|route| route.starts_with('/') && *route != "/openapi.json") {
            assert!(described.iter().any(|path| *path == route), "{route}");
            count += 1;
        }
        assert_eq!(count, described.len());
    }
}
