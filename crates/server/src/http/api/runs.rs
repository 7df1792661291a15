//! Runs of the ledgers.

use super::{
    ApiError,
    page::{Asked, Limit, Page, Within, cut},
};
use crate::http::{App, books, view::RunView};
use axum::{Json, extract::State};
use floodmark_core::state::RunRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How a run ended, or that some of it is in.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    Ok,
    NothingNew,
    Failed,
    Interrupted,
    Partial,
}

impl RunStatus {
    fn name(self) -> &'static str {
        match self {
            RunStatus::Ok => "ok",
            RunStatus::NothingNew => "nothing_new",
            RunStatus::Failed => "failed",
            RunStatus::Interrupted => "interrupted",
            RunStatus::Partial => "partial",
        }
    }
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of this one alone.
    pipeline: Option<String>,
    /// That ended so.
    #[param(value_type = Option<RunStatus>)]
    status: Option<RunStatus>,
    /// So many at most; 50 where nothing is said.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
    /// Those behind this run: `next` of the page before.
    after: Option<String>,
}

/// Runs of the ledgers, newest first.
#[utoipa::path(get, path = "/runs", params(Which), responses(
    (status = 200, body = Page<RunView>),
    (status = 404, description = "There is no such pipeline, or no such run to go on behind.", body = super::ErrorView),
    (status = 502, description = "A ledger cannot be read.", body = super::ErrorView)
))]
pub(super) async fn runs(State(app): State<App>, Asked(which): Asked<Which>) -> Result<Json<Page<RunView>>, ApiError> {
    let (name, limit) = (which.pipeline.as_deref(), Limit::of(which.limit));
    if let Some(name) = name.filter(|name| app.shared.board().entry(name).is_none()) {
        return Err(ApiError::unknown(format!("there is no pipeline {name:?}")));
    }
    let after = match &which.after {
        Some(id) => Some(found(&app, id).await?),
        None => None,
    };
    let mut all = books::runs(&app, name, which.status.map(RunStatus::name), after.as_ref(), limit + 1).await?;
    let next = cut(&mut all, limit, |run| run.run.clone());
    Ok(Json(Page { items: all.iter().map(RunView::from).collect(), next }))
}

/// One run.
#[utoipa::path(get, path = "/runs/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = RunView),
    (status = 404, description = "There is no such run.", body = super::ErrorView),
    (status = 502, description = "A ledger cannot be read.", body = super::ErrorView)
))]
pub(super) async fn run(State(app): State<App>, Within(id): Within<String>) -> Result<Json<RunView>, ApiError> {
    Ok(Json(RunView::from(&found(&app, &id).await?)))
}

async fn found(app: &App, id: &str) -> Result<RunRecord, ApiError> {
    books::run(app, id).await?.ok_or_else(|| ApiError::unknown(format!("there is no run {id:?}")))
}
