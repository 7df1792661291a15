//! Pages: what `crate::page` draws is filled here from the board, the ledgers and what work told.

mod alerts;
mod fill;
mod overview;
mod pipeline;
mod run;
mod runs;
mod trial;

use super::App;
use crate::{
    alert::Station,
    page::{self, view::Frame},
};
use axum::{
    Router,
    extract::{Path, Query, State},
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use floodmark_core::{Code, clock::SharedClock};
use serde::Deserialize;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(overview::page))
        .route("/runs", get(runs::page))
        .route("/runs/{id}", get(run::of_run))
        .route("/jobs/{id}", get(run::of_job))
        .route("/pipelines/{name}", get(pipeline::page))
        .route("/alerts", get(alerts::page))
        .route("/errors/{code}", get(code))
        .route("/help", get(help))
        .route("/assets/{file}", get(asset))
        .route("/try", get(trial::begin).post(trial::first))
        .route("/try/{id}", get(trial::page).post(trial::again))
        .fallback(async |State(app): State<App>, uri: Uri| message(&app, StatusCode::NOT_FOUND, uri.path()))
}

/// A file that pages load. Its path changes with what is in it.
async fn asset(uri: Uri) -> Response {
    match page::asset(uri.path()) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, page::KEPT)], asset.body)
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What a page may be told by the one before it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    told: Option<String>,
}

type Asked = Query<Told>;

/// What stands around a page.
fn frame(app: &App, told: &Told) -> Frame {
    let (mistakes, unsent) = {
        let board = app.shared.board();
        let why = |station: &Station| station.channel.unready().or_else(|| Some(station.failing.as_ref()?.why.clone()));
        let failing = board.desk.stations.iter().filter_map(|s| Some((s.channel.name.clone(), why(s)?)));
        (board.mistakes.clone(), failing.collect())
    };
    let file = app.shared.program.file();
    let parts: Vec<String> = file.iter().rev().take(2).map(|part| part.to_string_lossy().into_owned()).collect();
    Frame {
        project: parts.into_iter().rev().collect::<Vec<_>>().join("/"),
        form: app.gate.form.clone(),
        can_log_out: app.gate.asks(),
        can_try: app.sandbox.is_some(),
        now: app.shared.clock.now(),
        notice: told.told.as_deref().and_then(notice),
        mistakes,
        unsent,
    }
}

/// What stands around the page of whoever has not logged in: nothing of the project.
fn outside(clock: &SharedClock) -> Frame {
    Frame {
        project: String::new(),
        form: String::new(),
        can_log_out: false,
        can_try: false,
        now: clock.now(),
        notice: None,
        mistakes: None,
        unsent: Vec::new(),
    }
}

/// Only what these pages say themselves is said: a link from elsewhere cannot put words here.
fn notice(told: &str) -> Option<String> {
    let text = match told {
        "asked" => "It is being done, or begins as soon as it may.",
        "cancelled" => "It was told to end.",
        "paused" => "It does not run by itself any more.",
        "tested" => "A test is sent. Whether it arrived is told below in a moment.",
        "resumed" => "It runs by itself again.",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The path of a pipeline's page.
pub(crate) fn link(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let name: String =
        name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    format!("/pipelines/{name}")
}

/// A page that says one thing.
pub(super) fn message(app: &App, status: StatusCode, what: &str) -> Response {
    let html = page::problem(&frame(app, &Told::default()), status.as_u16(), what);
    (status, Html(html)).into_response()
}

/// The form that asks for the token.
pub(super) fn login(app: &App, next: &str, refused: bool) -> Response {
    let status = if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, Html(page::login(&outside(&app.shared.clock), next, refused))).into_response()
}

async fn help(State(app): State<App>) -> Html<String> {
    Html(page::help(&frame(&app, &Told::default())))
}

/// What an error code means.
async fn code(State(app): State<App>, Path(number): Path<String>) -> Response {
    let found = Code::parse(&number).and_then(|code| Some((code, app.shared.program.page(code)?)));
    let Some((code, text)) = found else {
        return message(&app, StatusCode::NOT_FOUND, &format!("there is no error code {number:?}"));
    };
    Html(page::error_code(&frame(&app, &Told::default()), code.number(), text)).into_response()
}
