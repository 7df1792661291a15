//! Whom alerts go to, how that fares, and tests of it: for programs here, for people in `pages::alerts`.

use super::{
    App,
    api::{ApiError, ErrorView, page::Asked},
};
use crate::{alert::Station, at::At};
use axum::{Json, extract::State, http::StatusCode};
use floodmark_core::outlet::Way;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertsView {
    /// Whether it is this server that tells: of several beside a project one does.
    pub(crate) tells: bool,
    /// Whom to tell.
    pub(crate) items: Vec<ChannelView>,
}

/// Whom alerts go to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelView {
    pub(crate) name: String,
    /// `webhook` or `command`.
    pub(crate) kind: &'static str,
    /// The host it is posted to, or the program that is started; nothing secret.
    pub(crate) to: Option<String>,
    /// `ok`, `failing`, `unset` (something it needs is missing) or `off`.
    pub(crate) status: &'static str,
    /// Why messages do not arrive.
    pub(crate) message: Option<String>,
    /// Since when they do not.
    pub(crate) failing_since: Option<At>,
    /// When one arrived last since the server is there.
    pub(crate) last_arrived: Option<At>,
    /// Messages that arrived since then, and tries that did not.
    pub(crate) arrived: u64,
    pub(crate) lost: u64,
    /// What it is told of: `failed`, `late`.
    pub(crate) on: Vec<&'static str>,
    /// Pipelines and families it is told of; empty means all.
    pub(crate) pipelines: Vec<String>,
    pub(crate) remind_seconds: f64,
    pub(crate) steady_seconds: f64,
    /// What it was told and is not over.
    pub(crate) told: Vec<ToldView>,
}

/// A trouble that was told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToldView {
    pub(crate) pipeline: String,
    /// `failed` or `late`.
    pub(crate) trouble: &'static str,
    pub(crate) since: At,
    pub(crate) told_at: At,
}

impl From<&Station> for ChannelView {
    fn from(station: &Station) -> Self {
        let channel = &station.channel;
        let (kind, to) = match &channel.way {
            Way::Webhook(endpoint) => ("webhook", endpoint.url.get().map(ToString::to_string)),
            Way::Command { line, .. } => ("command", line.get().map(ToString::to_string)),
        };
        let unready = channel.unready();
        let failing = station.failing.as_ref();
        let status = match (&unready, failing) {
            _ if channel.is_off() => "off",
            (Some(_), _) => "unset",
            (None, Some(_)) => "failing",
            (None, None) => "ok",
        };
        let told = station.told.iter().flat_map(|(pipeline, of)| of.iter().map(move |told| (pipeline, told)));
        ChannelView {
            name: channel.name.clone(),
            kind,
            to,
            status,
            message: unready.or_else(|| failing.map(|failing| failing.why.clone())),
            failing_since: failing.map(|failing| At(failing.since)),
            last_arrived: station.last.map(At),
            arrived: station.arrived,
            lost: station.lost,
            on: channel.on.iter().map(|trouble| trouble.name()).collect(),
            pipelines: channel.pipelines.clone(),
            remind_seconds: channel.remind.as_secs_f64(),
            steady_seconds: channel.steady.as_secs_f64(),
            told: told
                .map(|(pipeline, (trouble, told))| ToldView {
                    pipeline: pipeline.clone(),
                    trouble: trouble.name(),
                    since: At(told.since),
                    told_at: At(told.told),
                })
                .collect(),
        }
    }
}

pub(super) fn view(app: &App) -> AlertsView {
    let board = app.shared.board();
    AlertsView { tells: board.desk.tells, items: board.desk.stations.iter().map(ChannelView::from).collect() }
}

/// Whom alerts go to, and how that fares.
#[utoipa::path(get, path = "/alerts", responses((status = 200, body = AlertsView), (status = 401, description = "A token is needed.", body = ErrorView)))]
pub(super) async fn alerts(State(app): State<App>) -> Json<AlertsView> {
    Json(view(&app))
}

/// Which of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// This one alone.
    channel: Option<String>,
}

/// Sends a test, to one of them or all. What became of it is told by `GET /alerts`.
#[utoipa::path(post, path = "/alerts/test", operation_id = "test_alerts", params(Which), responses((status = 202, description = "It is sent.", body = AlertsView), (status = 400, description = "What stands behind the question mark is wrong.", body = ErrorView), (status = 401, description = "A token is needed.", body = ErrorView), (status = 403, description = "It comes from another site.", body = ErrorView), (status = 404, description = "There is no such thing.", body = ErrorView)))]
pub(super) async fn test(
    State(app): State<App>,
    Asked(which): Asked<Which>,
) -> Result<(StatusCode, Json<AlertsView>), ApiError> {
    if app.shared.test_alerts(which.channel.as_deref()) {
        return Ok((StatusCode::ACCEPTED, Json(view(&app))));
    }
    Err(ApiError::unknown(match which.channel {
        Some(name) => format!("there is nobody called {name:?} under `alerts:`"),
        None => "there is nobody under `alerts:`".into(),
    }))
}
