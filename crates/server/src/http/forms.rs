//! What buttons do. A form brings what only these pages know, and leads back to one of them.

use super::{App, pages};
use crate::{board::Refusal, page::inside, work::Task};
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use std::time::Duration;

/// Who has no token waits before trying another.
const WRONG: Duration = Duration::from_secs(1);

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/pipelines/{name}/{what}", post(pipeline))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/retry", post(retry))
        .route("/alerts/test", post(test_alerts))
        .route("/login", get(login).post(log_in))
        .route("/logout", post(log_out))
}

/// A button's form.
#[derive(Debug, Deserialize)]
struct Button {
    form: String,
    from: Option<String>,
    to: Option<String>,
    by: Option<String>,
    /// That what is missing is to be loaded, and no range.
    missing: Option<String>,
}

pub(super) fn foreign(app: &App) -> Response {
    pages::message(app, StatusCode::FORBIDDEN, "the server was started anew since this page was made")
}

fn refused(app: &App, refusal: Refusal) -> Response {
    let (status, text) = match refusal {
        Refusal::Unknown(text) => (StatusCode::NOT_FOUND, text),
        Refusal::Wrong(text) => (StatusCode::UNPROCESSABLE_ENTITY, text),
        Refusal::Over(text) => (StatusCode::CONFLICT, text),
    };
    pages::message(app, status, &text)
}

async fn pipeline(
    State(app): State<App>,
    Path((name, what)): Path<(String, String)>,
    Form(button): Form<Button>,
) -> Response {
    if !app.gate.is_form(&button.form) {
        return foreign(&app);
    }
    let link = pages::link(&name);
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let task = match what.as_str() {
        "run" => Task::Run {},
        "refresh" => Task::FullRefresh {},
        "plan" => Task::Plan {},
        "verify" => Task::Verify {},
        "repair" => Task::Repair {},
        "replay" => Task::Replay {},
        "backfill" => {
            let missing = given(button.missing).is_some();
            Task::Backfill { from: given(button.from), to: given(button.to), by: given(button.by), missing }
        }
        "pause" | "resume" => {
            let paused = what == "pause";
            return match app.shared.pause(&name, paused) {
                Ok(()) => {
                    Redirect::to(&format!("{link}?told={}", if paused { "paused" } else { "resumed" })).into_response()
                }
                Err(refusal) => refused(&app, refusal),
            };
        }
        _ => return pages::message(&app, StatusCode::NOT_FOUND, &what),
    };
    match app.shared.ask(&name, task) {
        Ok(id) => Redirect::to(&format!("/jobs/{id}?told=asked")).into_response(),
        Err(refusal) => refused(&app, refusal),
    }
}

/// The button that sends a test.
#[derive(Debug, Deserialize)]
struct Test {
    form: String,
    channel: String,
}

async fn test_alerts(State(app): State<App>, Form(test): Form<Test>) -> Response {
    if !app.gate.is_form(&test.form) {
        return foreign(&app);
    }
    if app.shared.test_alerts(Some(&test.channel)) {
        return Redirect::to("/alerts?told=tested").into_response();
    }
    pages::message(&app, StatusCode::NOT_FOUND, &format!("there is nobody called {:?} to tell", test.channel))
}

async fn cancel(State(app): State<App>, Path(id): Path<String>, Form(button): Form<Button>) -> Response {
    if !app.gate.is_form(&button.form) {
        return foreign(&app);
    }
    match app.shared.cancel(&id) {
        Ok(()) => Redirect::to(&format!("/jobs/{id}?told=cancelled")).into_response(),
        Err(refusal) => refused(&app, refusal),
    }
}

async fn retry(State(app): State<App>, Path(id): Path<String>, Form(button): Form<Button>) -> Response {
    if !app.gate.is_form(&button.form) {
        return foreign(&app);
    }
    match app.shared.retry(&id) {
        Ok(new) => Redirect::to(&format!("/jobs/{new}?told=asked")).into_response(),
        Err(refusal) => refused(&app, refusal),
    }
}

/// Where a login leads.
#[derive(Debug, Default, Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

async fn login(State(app): State<App>, Query(next): Query<Next>) -> Response {
    pages::login(&app, &next.next, false)
}

/// The form that asks for the token.
#[derive(Deserialize)]
struct Entry {
    token: String,
    #[serde(default)]
    next: String,
}

async fn log_in(State(app): State<App>, headers: HeaderMap, Form(entry): Form<Entry>) -> Response {
    if !app.gate.is_token(entry.token.trim()) {
        tokio::time::sleep(WRONG).await;
        return pages::login(&app, &entry.next, true);
    }
    let secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https");
    let mut response = Redirect::to(inside(&entry.next)).into_response();
    if let Some(cookie) = app.gate.cookie(app.shared.clock.now(), secure).and_then(|cookie| cookie.parse().ok()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

async fn log_out(State(app): State<App>, Form(button): Form<Button>) -> Response {
    if !app.gate.is_form(&button.form) {
        return foreign(&app);
    }
    let mut response = Redirect::to("/login").into_response();
    if let Ok(cookie) = app.gate.no_cookie().parse() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
