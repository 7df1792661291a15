//! What is read of a ledger when somebody looks: too much to be kept at hand for every pipeline.

use super::App;
use crate::page::view::Coverage;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use floodmark_connect::destination::{KeptReject, Ledger, RejectQuery, RunQuery};
use floodmark_core::{
    Error, Result,
    coverage::{Grid, Known},
    pipeline::Pipeline,
    reshaping::{Reshaping, noted},
    state::{RESHAPED, RunRecord, State},
    url::ConnectionUrl,
};
use floodmark_engine::registry;
use futures::future::join_all;
use std::sync::Arc;

/// A run's id is no longer.
const LONGEST: usize = 64;

/// Rejects that are shown of a pipeline.
pub(super) const REJECTS: usize = 100;

/// What there is of a pipeline beside what is at hand.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// `None` where nothing is in, or it has no axis.
    pub(super) coverage: Option<Coverage>,
    /// When its columns changed last.
    pub(super) reshaped: Option<DateTime<Utc>>,
    /// What was noted of how, oldest first.
    pub(super) history: Vec<Reshaping>,
    /// The oldest ones, at most [`REJECTS`].
    pub(super) rejects: Vec<KeptReject>,
    pub(super) all_rejects: u64,
}

/// Why nothing can be told of a pipeline's ledger.
#[derive(Debug)]
pub(super) enum Unread {
    /// There is no such pipeline.
    Unknown(String),
    /// It cannot be run as the file is, so that nobody knows where its ledger is.
    Broken(String),
    /// A process has the database for itself.
    Held,
    /// It cannot be read.
    Failed(Error),
}

impl Unread {
    /// As an answer.
    pub(super) fn told(self) -> (StatusCode, String) {
        match self {
            Unread::Unknown(message) => (StatusCode::NOT_FOUND, message),
            Unread::Broken(message) => (StatusCode::CONFLICT, message),
            Unread::Held => {
                let message = "a run has the database for itself; ask again when it has ended";
                (StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
            }
            Unread::Failed(error) => (StatusCode::BAD_GATEWAY, error.to_string()),
        }
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Unread::Failed(error)
    }
}

/// Looks into a ledger; nothing is seen of a database that is not there.
async fn read<T: Default + Send + 'static>(
    app: &App,
    url: ConnectionUrl,
    look: impl FnOnce(&dyn Ledger) -> Result<T> + Send + 'static,
) -> Result<T, Unread> {
    let (shared, place, at) = (Arc::clone(&app.shared), app.shared.sessions.place(&url), url.clone());
    let looked = place.ask(move || {
        if !shared.board().open(&at) {
            return Err(Unread::Held);
        }
        let look = || {
            let destination = registry::destination(&at)?;
            if destination.exists() { look(destination.ledger()?.as_ref()) } else { Ok(T::default()) }
        };
        let looked = look();
        shared.board().close(&at);
        looked.map_err(Unread::Failed)
    });
    let looked = looked.await.map_err(|silent| silent.told(&url))?;
    looked.unwrap_or_else(|| Err(Error::internal("a ledger could not be read").into()))
}

/// Looks into a pipeline's ledger.
pub(super) async fn of<T: Default + Send + 'static>(
    app: &App,
    name: &str,
    look: impl FnOnce(&Pipeline, &dyn Ledger) -> Result<T> + Send + 'static,
) -> Result<T, Unread> {
    let pipeline = {
        let board = app.shared.board();
        let entry = board.entry(name).ok_or_else(|| Unread::Unknown(format!("there is no pipeline {name:?}")))?;
        entry.declared.pipeline.clone().map_err(Unread::Broken)?
    };
    read(app, pipeline.destination.url.clone(), move |ledger| look(&pipeline, ledger)).await
}

/// Where ledgers are, each place once: all of them, or that of a pipeline.
fn places(app: &App, name: Option<&str>) -> Vec<ConnectionUrl> {
    let board = app.shared.board();
    let of = board.entries.iter().filter(|entry| name.is_none_or(|name| entry.declared.name == name));
    let mut urls: Vec<ConnectionUrl> = Vec::new();
    for pipeline in of.filter_map(|entry| entry.declared.pipeline.as_ref().ok()) {
        if !urls.contains(&pipeline.destination.url) {
            urls.push(pipeline.destination.url.clone());
        }
    }
    urls
}

/// Of a pipeline.
pub(super) async fn shelf(app: &App, name: &str) -> Result<Shelf, Unread> {
    of(app, name, |pipeline, ledger| {
        let name = &pipeline.name;
        let query = RejectQuery { pipeline: Some(name), after: i64::MIN, limit: REJECTS };
        let rejects = ledger.find_rejects(&query)?;
        let all_rejects = if rejects.len() < REJECTS { rejects.len() as u64 } else { ledger.count_rejects(name)? };
        let (reshaped, history) = reshaped(&ledger.state(name)?.unwrap_or_default());
        // A pipeline without a column to go along has nothing to be drawn.
        let coverage = covered(pipeline, ledger).unwrap_or_default();
        Ok(Shelf { coverage, reshaped, history, rejects, all_rejects })
    })
    .await
}

/// When columns changed last, and what was noted of how, oldest first.
pub(super) fn reshaped(state: &State) -> (Option<DateTime<Utc>>, Vec<Reshaping>) {
    let at = state.settings.as_ref().and_then(|settings| settings.get(RESHAPED));
    let at = at.and_then(|at| DateTime::parse_from_rfc3339(at).ok()).map(|at| at.to_utc());
    (at, noted(state.settings.as_ref()))
}

/// What of a pipeline's axis is in.
fn covered(pipeline: &Pipeline, ledger: &dyn Ledger) -> Result<Option<Coverage>> {
    let covered = floodmark_engine::Coverage::read(pipeline, None, ledger)?;
    Ok(grid(&covered)?.map(|grid| Coverage { column: covered.column, grid }))
}

/// The same in cells; `None` where nothing is in.
pub(super) fn grid(covered: &floodmark_engine::Coverage) -> Result<Option<Grid>> {
    let Some(axis) = &covered.axis else { return Ok(None) };
    let (start, watermark) = (covered.start.as_deref(), covered.watermark.as_ref());
    Grid::new(Known { axis, entries: &covered.entries, start, watermark }, None, None)
}

/// Runs, newest first: of a pipeline or of all that the file has, with this status or any, behind this one or from the first.
pub(super) async fn runs(
    app: &App,
    name: Option<&str>,
    status: Option<&'static str>,
    after: Option<&RunRecord>,
    limit: usize,
) -> Result<Vec<RunRecord>, Unread> {
    let look = |url| {
        let (pipeline, last) = (name.map(str::to_owned), after.cloned());
        read(app, url, move |ledger| {
            let before = last.as_ref().map(|run| (run.started_at, run.run.as_str()));
            ledger.find_runs(&RunQuery { pipeline: pipeline.as_deref(), status, before, limit, ..RunQuery::default() })
        })
    };
    let mut all = Vec::new();
    for found in join_all(places(app, name).into_iter().map(look)).await {
        match found {
            Ok(found) => all.extend(found),
            // Of several ledgers one that cannot be read now does not hide the others: what is known of it has to do.
            Err(Unread::Held) => all.extend(at_hand(app, name, status, after)),
            Err(Unread::Failed(_)) if name.is_none() => all.extend(at_hand(app, name, status, after)),
            Err(error) => return Err(error),
        }
    }
    all.sort_by(|a, b| b.started_at.cmp(&a.started_at).then_with(|| b.run.cmp(&a.run)));
    all.dedup_by(|a, b| a.run == b.run);
    all.truncate(limit);
    Ok(all)
}

fn at_hand(app: &App, name: Option<&str>, status: Option<&str>, after: Option<&RunRecord>) -> Vec<RunRecord> {
    let board = app.shared.board();
    let of = board.entries.iter().filter(|entry| name.is_none_or(|name| entry.declared.name == name));
    let runs = of.filter_map(|entry| entry.known.as_ref()).flat_map(|known| &known.runs);
    let is = |run: &&RunRecord| {
        status.is_none_or(|status| status == run.status)
            && after.is_none_or(|after| (run.started_at, &run.run) < (after.started_at, &after.run))
    };
    runs.filter(is).cloned().collect()
}

/// A run by its whole id, with what its commits brought.
pub(super) async fn run(app: &App, id: &str) -> Result<Option<RunRecord>, Unread> {
    // No run is called so, and not every database takes every text.
    if id.is_empty() || id.len() > LONGEST || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(None);
    }
    let known = {
        let board = app.shared.board();
        let all = board.entries.iter().filter_map(|entry| entry.known.as_ref()).flat_map(|known| &known.runs);
        all.into_iter().find(|run| run.run == id).cloned()
    };
    // Where it is known, the ledger is asked for what its commits brought; what is known has to do where it cannot be read.
    let look = |url| {
        let id = id.to_owned();
        read(app, url, move |ledger| Ok(ledger.runs_like(&id, 2)?.into_iter().find(|run| run.run == id)))
    };
    let places = places(app, known.as_ref().map(|run| run.pipeline.as_str()));
    let mut unread = None;
    for found in join_all(places.into_iter().map(look)).await {
        match found {
            Ok(Some(run)) => return Ok(Some(run)),
            Ok(None) => {}
            Err(error) => unread = Some(error),
        }
    }
    // Where a ledger cannot be read, nobody knows that it has no such run.
    if let (None, Some(error)) = (&known, unread) { Err(error) } else { Ok(known) }
}
