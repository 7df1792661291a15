//! All pipelines.

use super::{Told, fill, frame};
use crate::{http::App, page};
use axum::{
    extract::{Query, State},
    response::Html,
};
use serde::Deserialize;

/// Which pipelines.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    q: String,
    #[serde(default)]
    is: String,
}

pub(super) async fn page(State(app): State<App>, Query(which): Query<Which>, Query(told): Query<Told>) -> Html<String> {
    let frame = frame(&app, &told);
    let cards = {
        let board = app.shared.board();
        let card = |entry| fill::card(&board, entry, app.shared.program.as_ref(), frame.now);
        board.entries.iter().map(card).collect()
    };
    let view = page::view::Overview { cards, search: which.q.trim().to_owned(), filter: which.is };
    Html(page::overview(&frame, &view))
}
