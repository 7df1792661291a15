//! One pipeline.

use super::{Asked, fill, frame, message};
use crate::{
    Program,
    board::{Board, Entry},
    facts::RUNS,
    http::{App, books},
    page::{
        self,
        view::{Became, Card, Column, ColumnChange, FileLine, LineNote, Lint, Pipeline, Reject},
    },
};
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use floodmark_config::{Note, Written};
use floodmark_connect::destination::KeptReject;
use floodmark_core::{
    error::shorten,
    reshaping::{Reshaping, Step},
};
use std::sync::Arc;

pub(super) async fn page(State(app): State<App>, Path(name): Path<String>, Query(told): Asked) -> Response {
    // What cannot be read now is told by the pipeline's status.
    let (shelf, written) = tokio::join!(books::shelf(&app, &name), written(&app, &name));
    let shelf = shelf.unwrap_or_default();
    let frame = frame(&app, &told);
    let view = {
        let board = app.shared.board();
        board.entry(&name).map(|entry| made(&board, entry, shelf, written, app.shared.program.as_ref(), frame.now))
    };
    match view {
        Some(view) => Html(page::pipeline(&frame, &view)).into_response(),
        None => message(&app, StatusCode::NOT_FOUND, &format!("there is no pipeline {name:?}")),
    }
}

/// A pipeline as the file has it now.
async fn written(app: &App, name: &str) -> Option<Written> {
    let lints = {
        let board = app.shared.board();
        board.entry(name)?.declared.pipeline.as_ref().map(floodmark_config::lint).unwrap_or_default()
    };
    let (program, name) = (Arc::clone(&app.shared.program), name.to_owned());
    tokio::task::spawn_blocking(move || program.written(&name, &lints)).await.ok()?
}

fn made(
    board: &Board,
    entry: &Entry,
    shelf: books::Shelf,
    written: Option<Written>,
    program: &dyn Program,
    now: DateTime<Utc>,
) -> Pipeline {
    let declared = entry.declared.pipeline.as_ref().ok();
    let service = declared.map(|pipeline| &pipeline.service);
    let schedule = service.and_then(|service| service.schedule.clone());
    let known = entry.known.as_ref();
    let runs = known.map(|known| known.runs.as_slice()).unwrap_or_default();
    let schema = known.and_then(|known| known.schema.as_ref());
    let column = |column: &floodmark_core::schema::Column| Column {
        name: column.name.clone(),
        data_type: column.data_type.to_string(),
        undecided: column.undecided,
    };
    let lint = |lint: floodmark_config::Lint| Lint {
        name: lint.name.to_owned(),
        message: lint.message,
        reason: lint.reason.to_owned(),
        remedy: lint.remedy.to_owned(),
    };
    let card = fill::card(board, entry, program, now);
    Pipeline {
        // Read a moment ago, where the card's were read after the last run.
        card: Card { rejects: card.rejects.max(shelf.all_rejects), ..card },
        load: declared.map(|pipeline| pipeline.load.name().to_owned()),
        key: declared.map(|pipeline| pipeline.key.clone()).unwrap_or_default(),
        destination: declared.map(|pipeline| pipeline.destination.url.to_string()),
        // `@every` goes by no clock of anybody's.
        timezone: declared
            .filter(|_| schedule.as_ref().is_some_and(|schedule| !schedule.starts_with("@every")))
            .map(|pipeline| pipeline.timezone.name().to_owned()),
        schedule,
        after: service.map(|service| service.after.clone()).unwrap_or_default(),
        runs: runs.iter().map(|run| fill::line(board, run)).collect(),
        older: runs.len() == RUNS,
        coverage: shelf.coverage,
        columns: schema.map(|schema| schema.columns.iter().map(column).collect()).unwrap_or_default(),
        reshaped: shelf.reshaped,
        changes: shelf.history.iter().rev().flat_map(changes).collect(),
        rejects: shelf.rejects.iter().map(reject).collect(),
        // What has a line stands beside it.
        lints: match &written {
            Some(_) => Vec::new(),
            None => declared.map(floodmark_config::lint).unwrap_or_default().into_iter().map(lint).collect(),
        },
        lines: written.map(lines).unwrap_or_default(),
    }
}

fn lines(written: Written) -> Vec<FileLine> {
    let note = |note: &Note| LineNote {
        mistake: note.mistake,
        name: note.name.clone(),
        message: note.message.clone(),
        reason: note.reason.map(str::to_owned),
        help: note.help.clone(),
    };
    let of = |number: usize| written.notes.iter().filter(move |note| note.line == number).map(note).collect();
    let numbered = (written.first..).zip(written.lines);
    numbered.map(|(number, text)| FileLine { number, text, notes: of(number) }).collect()
}

fn changes(reshaping: &Reshaping) -> impl Iterator<Item = ColumnChange> {
    reshaping.steps.iter().map(|step| {
        let (column, became) = match step {
            Step::Added { column, data_type } => (column, Became::Added(data_type.to_string())),
            Step::Retyped { column, from, to } => (column, Became::Retyped(from.to_string(), to.to_string())),
            Step::Decided { column, data_type } => (column, Became::Decided(data_type.to_string())),
            Step::Removed { column } => (column, Became::Removed),
        };
        ColumnChange { at: reshaping.at, run: reshaping.run.clone(), column: column.clone(), became }
    })
}

fn reject(kept: &KeptReject) -> Reject {
    Reject {
        id: kept.id,
        place: format!("{}:{}", kept.reject.slice, kept.reject.line),
        column: kept.reject.column.clone(),
        reason: kept.reject.reason.clone(),
        raw: shorten(&kept.reject.raw),
        doubtful: kept.doubtful,
    }
}
