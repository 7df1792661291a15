//! What is read of a ledger when somebody looks: too much to be kept at hand for every pipeline.

use super::App;
use floodmark_connect::destination::{KeptReject, Ledger};
use floodmark_core::{
    Code, Error, Result,
    state::{IntervalEntry, RunRecord},
    url::ConnectionUrl,
};
use floodmark_engine::registry;

/// Rejects that are shown of a pipeline.
pub(super) const REJECTS: usize = 100;

/// What there is of a pipeline beside what is at hand.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) intervals: Vec<IntervalEntry>,
    /// The oldest ones, at most [`REJECTS`].
    pub(super) rejects: Vec<KeptReject>,
    pub(super) all_rejects: usize,
}

/// Where a pipeline's ledger is, unless a process has that database for itself.
fn place(app: &App, name: &str) -> Result<Option<ConnectionUrl>> {
    let board = app.shared.board();
    let entry = board.entry(name).filter(|entry| entry.declared.pipeline.is_ok());
    let pipeline = entry.and_then(|entry| entry.declared.pipeline.as_ref().ok());
    let Some(pipeline) = pipeline else {
        return Err(Error::new(Code::UnknownPipeline, format!("there is no pipeline {name:?}")));
    };
    let url = pipeline.destination.url.clone();
    let taken = url.scheme() == "duckdb"
        && board.loading().iter().any(|other| {
            let other = board.entry(other).and_then(|entry| entry.declared.pipeline.as_ref().ok());
            other.is_some_and(|other| other.destination.url == url)
        });
    Ok((!taken).then_some(url))
}

async fn read<T: Default + Send + 'static>(
    url: Option<ConnectionUrl>,
    look: impl FnOnce(&dyn Ledger) -> Result<T> + Send + 'static,
) -> Result<T> {
    let Some(url) = url else { return Ok(T::default()) };
    let looked = tokio::task::spawn_blocking(move || {
        let destination = registry::destination(&url)?;
        if destination.exists() { look(destination.ledger()?.as_ref()) } else { Ok(T::default()) }
    });
    looked.await.unwrap_or_else(|_| Err(Error::internal("a ledger could not be read")))
}

/// Of a pipeline.
pub(super) async fn shelf(app: &App, name: &str) -> Result<Shelf> {
    let url = place(app, name)?;
    let name = name.to_owned();
    read(url, move |ledger| {
        let mut rejects = ledger.rejects(Some(&name))?;
        let all_rejects = rejects.len();
        rejects.truncate(REJECTS);
        Ok(Shelf { intervals: ledger.intervals(&name)?, rejects, all_rejects })
    })
    .await
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
        if let Ok(Some(url)) = place(app, &name)
            && !urls.contains(&url)
        {
            urls.push(url);
        }
    }
    for url in urls {
        let id = id.to_owned();
        let found = read(Some(url), move |ledger| Ok(ledger.runs_like(&id, 2)?.into_iter().find(|run| run.run == id)));
        if let Ok(Some(run)) = found.await {
            return Ok(Some(run));
        }
    }
    Ok(known)
}
