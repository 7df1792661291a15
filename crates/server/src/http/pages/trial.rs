//! Where visitors try things. Looking makes nothing; the first thing that is tried makes a place for it, and leads there.

use super::{Told, frame, message};
use crate::{
    http::{App, forms},
    page::{self, view::Trial},
    sandbox::{Deed, Known, Moment, Recipe, Refused, Sandbox},
};
use axum::{
    Form,
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

/// What somebody chose and pressed.
#[derive(Deserialize)]
pub(super) struct Choice {
    form: String,
    load: String,
    key: String,
    watermark: String,
    first: String,
    second: String,
    #[serde(rename = "do")]
    deed: String,
    #[serde(default)]
    at: String,
}

pub(super) async fn begin(State(app): State<App>, uri: Uri) -> Response {
    if app.sandbox.is_none() {
        return nothing(&app, &uri);
    }
    shown(&app, None, Known::nothing())
}

pub(super) async fn page(State(app): State<App>, Path(id): Path<String>, uri: Uri) -> Response {
    let Some(sandbox) = &app.sandbox else { return nothing(&app, &uri) };
    match sandbox.look(&id).await {
        Ok(known) => shown(&app, Some(id), known),
        Err(refused) => told(&app, refused),
    }
}

pub(super) async fn first(State(app): State<App>, uri: Uri, Form(choice): Form<Choice>) -> Response {
    let Some(sandbox) = &app.sandbox else { return nothing(&app, &uri) };
    attempt(&app, sandbox, None, choice).await
}

pub(super) async fn again(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
    Form(choice): Form<Choice>,
) -> Response {
    let Some(sandbox) = &app.sandbox else { return nothing(&app, &uri) };
    attempt(&app, sandbox, Some(id), choice).await
}

async fn attempt(app: &App, sandbox: &Sandbox, id: Option<String>, choice: Choice) -> Response {
    if !app.gate.is_form(&choice.form) {
        return forms::foreign(app);
    }
    let moment = Moment::NAMES.iter().find(|(name, _)| *name == choice.at).map(|(_, moment)| *moment);
    let deed = match (choice.deed.as_str(), moment) {
        ("run", _) => Deed::Run,
        ("kill", Some(moment)) => Deed::Kill(moment),
        ("anew", _) => Deed::Anew,
        _ => return told(app, Refused::Wrong("there is no such button".into())),
    };
    // What may not be chosen makes no place.
    let recipe = match Recipe::new(&choice.load, &choice.key, &choice.watermark, [choice.first, choice.second]) {
        Ok(recipe) => recipe,
        Err(wrong) => return told(app, Refused::Wrong(wrong)),
    };
    match sandbox.attempt(id, recipe, deed).await {
        Ok(id) => Redirect::to(&format!("/try/{id}")).into_response(),
        Err(refused) => told(app, refused),
    }
}

fn shown(app: &App, id: Option<String>, known: Known) -> Response {
    Html(page::trial(&frame(app, &Told::default()), &Trial { id, known })).into_response()
}

fn nothing(app: &App, uri: &Uri) -> Response {
    message(app, StatusCode::NOT_FOUND, uri.path())
}

fn told(app: &App, refused: Refused) -> Response {
    match refused {
        Refused::Gone => message(app, StatusCode::NOT_FOUND, "what was tried here is removed: begin again at /try"),
        Refused::Wrong(text) => message(app, StatusCode::UNPROCESSABLE_ENTITY, &text),
        Refused::Full => {
            message(app, StatusCode::SERVICE_UNAVAILABLE, "others try things just now, or you do, elsewhere")
        }
        Refused::Failed(text) => message(app, StatusCode::INTERNAL_SERVER_ERROR, &text),
    }
}
