//! Pages: made here, whole, to be read without a script. A script of ours keeps them up to date.

mod overview;
mod pipeline;
mod run;
mod runs;

use super::{App, words};
use crate::http::view::PipelineView;
use askama::Template;
use axum::{
    Router,
    extract::Query,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;

/// Told to browsers beside the name of a file, so that a newer program's is fetched.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(overview::page))
        .route("/runs", get(runs::page))
        .route("/runs/{id}", get(run::of_run))
        .route("/jobs/{id}", get(run::of_job))
        .route("/pipelines/{name}", get(pipeline::page))
        .route(
            "/assets/style.css",
            get(async || asset("text/css; charset=utf-8", include_str!("../../../assets/style.css"))),
        )
        .route(
            "/assets/live.js",
            get(async || asset("text/javascript; charset=utf-8", include_str!("../../../assets/live.js"))),
        )
        .route("/assets/icon.svg", get(async || asset("image/svg+xml", include_str!("../../../assets/icon.svg"))))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}

/// What stands around every page.
pub(super) struct Shell {
    /// Which of the pages this is.
    pub(super) here: &'static str,
    pub(super) file: String,
    /// Its last two parts.
    pub(super) short: String,
    /// What forms bring.
    pub(super) form: String,
    /// Whether somebody has logged in.
    pub(super) asks: bool,
    pub(super) mistakes: Option<String>,
    /// What became of a form.
    pub(super) notice: Option<String>,
}

/// What a page may be told by the one before it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Told {
    #[serde(default)]
    told: Option<String>,
}

impl Shell {
    pub(super) fn new(app: &App, here: &'static str, told: &Told) -> Shell {
        let file = app.shared.program.file();
        let parts: Vec<String> = file.iter().rev().take(2).map(|part| part.to_string_lossy().into_owned()).collect();
        Shell {
            here,
            file: file.display().to_string(),
            short: parts.into_iter().rev().collect::<Vec<_>>().join("/"),
            form: app.gate.form.clone(),
            asks: app.gate.asks(),
            mistakes: app.shared.board().mistakes.clone(),
            notice: told.told.as_deref().and_then(notice),
        }
    }
}

/// Only what these pages say themselves is said: a link from elsewhere cannot put words here.
fn notice(told: &str) -> Option<String> {
    let text = match told {
        "asked" => "It is being done.",
        "waits" => "It begins as soon as it may.",
        "cancelled" => "It was told to end.",
        "paused" => "It does not run by itself any more.",
        "resumed" => "It runs by itself again.",
        _ => return None,
    };
    Some(text.to_owned())
}

/// A moment as pages show it.
pub(super) struct When {
    pub(super) exact: String,
    pub(super) minute: String,
    pub(super) ago: String,
}

impl When {
    pub(super) fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> When {
        When {
            exact: at.to_rfc3339_opts(SecondsFormat::Secs, true),
            minute: words::minute(at),
            ago: words::ago(at, now),
        }
    }
}

/// The path of a pipeline's page.
pub(super) fn link(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let name: String =
        name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    format!("/pipelines/{name}")
}

/// A status as a person says it.
pub(super) fn word(status: &str) -> &str {
    match status {
        "ok" => "well",
        "failed" => "failed",
        "late" => "late",
        "running" => "running",
        "waiting" => "waiting",
        "paused" => "paused",
        "new" => "never run",
        "broken" => "cannot run",
        "unknown" => "not reachable",
        "nothing_new" => "nothing new",
        "timed_out" => "took too long",
        "differences" => "differences found",
        other => other,
    }
}

/// How the end of a run looks.
pub(super) fn class(status: &str) -> &'static str {
    match status {
        "ok" | "nothing_new" => "ok",
        "partial" | "running" | "ending" => "running",
        "waiting" => "waiting",
        "differences" => "late",
        "cancelled" | "stopped" | "busy" => "paused",
        _ => "failed",
    }
}

/// The one thing to do with a pipeline: where a form goes, and what it says.
pub(super) fn act(view: &PipelineView) -> Option<(String, String)> {
    let link = link(&view.name);
    match view.status {
        "running" | "waiting" | "broken" => None,
        "failed" => Some((format!("{link}/run"), "Run again".into())),
        "unknown" => Some((format!("{link}/run"), "Try again".into())),
        "paused" => Some((format!("{link}/resume"), "Resume".into())),
        _ => Some((format!("{link}/run"), "Run now".into())),
    }
}

fn rendered(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    shell: Shell,
    heading: String,
    text: String,
}

/// A page that says one thing.
pub(super) fn message(app: &App, status: StatusCode, heading: &str, text: &str) -> Response {
    let shell = Shell::new(app, "", &Told::default());
    let page = Message { shell, heading: heading.to_owned(), text: text.to_owned() };
    (status, rendered(&page)).into_response()
}

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct Login {
    pub(super) next: String,
    pub(super) wrong: bool,
}

/// The form that asks for the token.
pub(super) fn login(next: String, wrong: bool) -> Response {
    let status = if wrong { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, rendered(&Login { next, wrong })).into_response()
}

type Asked = Query<Told>;
