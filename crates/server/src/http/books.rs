//! What is read of a ledger when somebody looks: too much to be kept at hand for every pipeline.

use super::App;
use crate::page::view::Coverage;
use chrono::{DateTime, Utc};
use floodmark_connect::destination::{KeptReject, Ledger};
use floodmark_core::{
    Code, Error, Result,
    coverage::{Grid, Known},
    pipeline::Pipeline,
    state::{RESHAPED, RunRecord},
    url::ConnectionUrl,
};
use floodmark_engine::registry;
use std::sync::Arc;

/// Rejects that are shown of a pipeline.
pub(super) const REJECTS: usize = 100;

/// What there is of a pipeline beside what is at hand.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// `None` where nothing is in, or it has no axis.
    pub(super) coverage: Option<Coverage>,
    /// When its columns changed last.
    pub(super) reshaped: Option<DateTime<Utc>>,
    /// The oldest ones, at most [`REJECTS`].
    pub(super) rejects: Vec<KeptReject>,
    pub(super) all_rejects: usize,
}

/// Where a pipeline's ledger is.
fn place(app: &App, name: &str) -> Result<ConnectionUrl> {
    let board = app.shared.board();
    let pipeline = board.entry(name).and_then(|entry| entry.declared.pipeline.as_ref().ok());
    let unknown = || Error::new(Code::UnknownPipeline, format!("there is no pipeline {name:?}"));
    pipeline.map(|pipeline| pipeline.destination.url.clone()).ok_or_else(unknown)
}

/// Looks into a ledger. Nothing is seen of a database that a process has for itself.
async fn read<T: Default + Send + 'static>(
    app: &App,
    url: ConnectionUrl,
    look: impl FnOnce(&dyn Ledger) -> Result<T> + Send + 'static,
) -> Result<T> {
    let shared = Arc::clone(&app.shared);
    let looked = tokio::task::spawn_blocking(move || {
        if !shared.board().open(&url) {
            return Ok(T::default());
        }
        let look = || {
            let destination = registry::destination(&url)?;
            if destination.exists() { look(destination.ledger()?.as_ref()) } else { Ok(T::default()) }
        };
        let looked = look();
        shared.board().close(&url);
        looked
    });
    looked.await.unwrap_or_else(|_| Err(Error::internal("a ledger could not be read")))
}

/// Of a pipeline.
pub(super) async fn shelf(app: &App, name: &str) -> Result<Shelf> {
    let url = place(app, name)?;
    let name = name.to_owned();
    let pipeline = app.shared.board().entry(&name).and_then(|entry| entry.declared.pipeline.clone().ok());
    read(app, url, move |ledger| {
        let mut rejects = ledger.rejects(Some(&name))?;
        let all_rejects = rejects.len();
        rejects.truncate(REJECTS);
        let settings = ledger.state(&name)?.and_then(|state| state.settings).unwrap_or_default();
        let reshaped = settings.get(RESHAPED).and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        // A pipeline without a column to go along has nothing to be drawn.
        let coverage = pipeline.and_then(|pipeline| covered(&pipeline, ledger).unwrap_or_default());
        Ok(Shelf { coverage, reshaped: reshaped.map(|at| at.to_utc()), rejects, all_rejects })
    })
    .await
}

/// What of a pipeline's axis is in.
fn covered(pipeline: &Pipeline, ledger: &dyn Ledger) -> Result<Option<Coverage>> {
    let covered = floodmark_engine::Coverage::read(pipeline, None, ledger)?;
    let Some(axis) = &covered.axis else { return Ok(None) };
    let (start, watermark) = (covered.start.as_deref(), covered.watermark.as_ref());
    let known = Known { axis, entries: &covered.entries, start, watermark };
    Ok(Grid::new(known, None, None)?.map(|grid| Coverage { column: covered.column, grid }))
}

/// A run by its whole id, with what its commits brought.
pub(super) async fn run(app: &App, id: &str) -> Result<Option<RunRecord>> {
    let known = {
        let board = app.shared.board();
        let all = board.entries.iter().filter_map(|entry| entry.known.as_ref()).flat_map(|known| &known.runs);
        all.into_iter().find(|run| run.run == id).cloned()
    };
    // One that has ended does not change.
    if known.as_ref().is_some_and(|run| run.finished_at.is_some()) {
        return Ok(known);
    }
    let mut urls: Vec<ConnectionUrl> = Vec::new();
    let names: Vec<String> = app.shared.board().entries.iter().map(|entry| entry.declared.name.clone()).collect();
    for name in names {
        if let Ok(url) = place(app, &name)
            && !urls.contains(&url)
        {
            urls.push(url);
        }
    }
    for url in urls {
        let id = id.to_owned();
        let found = read(app, url, move |ledger| Ok(ledger.runs_like(&id, 2)?.into_iter().find(|run| run.run == id)));
        if let Ok(Some(run)) = found.await {
            return Ok(Some(run));
        }
    }
    Ok(known)
}
