//! State outside a run, as far as it is the same in every destination: what a change is made of, and that there is nothing
//! where nothing was ever loaded.

use crate::destination::{KeptReject, Ledger, RejectQuery, RunQuery, StateChange};
use chrono::{DateTime, Utc};
use floodmark_core::{
    Code, Counts, Error, Result,
    commits::Commits,
    state::{BoundaryChange, Commit, IntervalEntry, Memory, RunRecord, State},
};

/// The tables of a state, read and written one at a time. Whoever has these has a [`Ledger`].
pub trait Books: Send {
    /// A connection to the database.
    type Db;

    /// The one to read through.
    fn db(&self) -> &Self::Db;

    /// Does the work in one transaction, under the pipeline's lock, where the state's tables are. `Code::Busy` when a run
    /// holds the pipeline.
    fn change<T>(&self, pipeline: &str, work: impl FnOnce(&Self::Db) -> Result<T>) -> Result<T>;

    /// Whether the state's tables are there; an error when a newer Floodmark wrote them.
    fn present(db: &Self::Db) -> Result<bool>;

    /// Pipelines with any state, by name.
    fn pipelines(db: &Self::Db) -> Result<Vec<String>>;

    /// A pipeline's state.
    fn read(db: &Self::Db, pipeline: &str) -> Result<Option<State>>;

    /// Raises the fencing token and returns it.
    fn raise_token(db: &Self::Db, pipeline: &str) -> Result<i64>;

    /// Forgets all of a pipeline but its token, runs and rejects.
    fn forget(db: &Self::Db, pipeline: &str) -> Result<()>;

    /// Forgets where it stands. What it remembers of keys stays.
    fn forget_position(db: &Self::Db, pipeline: &str) -> Result<()>;

    /// Writes where it stands, with nothing there before.
    fn write_position(db: &Self::Db, pipeline: &str, table: &str, token: i64, commit: &Commit) -> Result<()>;

    /// Receipts of intervals, in no order.
    fn intervals(db: &Self::Db, pipeline: &str) -> Result<Vec<IntervalEntry>>;

    /// Writes them, with none there before.
    fn put_intervals(db: &Self::Db, pipeline: &str, intervals: &[IntervalEntry]) -> Result<()>;

    /// Drops lines of the run ledger: of ended runs that began before `before`, but for the newest `keep`. Returns how many.
    fn prune_runs(db: &Self::Db, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64>;

    /// What it remembers of keys, by key.
    fn memories(db: &Self::Db, pipeline: &str) -> Result<Vec<Memory>>;

    /// Writes that, with nothing there before.
    fn put_memories(db: &Self::Db, pipeline: &str, memories: &[Memory]) -> Result<()>;

    /// The hashes of the rows at the watermark that an `append` remembers, one after the other.
    fn at_watermark(db: &Self::Db, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()>;

    /// Runs, newest first.
    fn runs(db: &Self::Db, query: &RunQuery<'_>) -> Result<Vec<RunRecord>>;

    /// Kept rejects, by number.
    fn rejects(db: &Self::Db, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>>;

    /// How many there are of a pipeline.
    fn count_rejects(db: &Self::Db, pipeline: &str) -> Result<u64>;

    /// Drops rejects; returns how many there were.
    fn drop_rejects(db: &Self::Db, pipeline: &str, ids: &[i64]) -> Result<u64>;
}

/// What is read, and nothing where there is no state.
fn read<B: Books, T: Default>(books: &B, look: impl FnOnce(&B::Db) -> Result<T>) -> Result<T> {
    if B::present(books.db())? { look(books.db()) } else { Ok(T::default()) }
}

impl<B: Books> Ledger for B {
    fn pipelines(&self) -> Result<Vec<String>> {
        read(self, B::pipelines)
    }

    fn state(&self, pipeline: &str) -> Result<Option<State>> {
        read(self, |db| B::read(db, pipeline))
    }

    fn memories(&self, pipeline: &str) -> Result<Vec<Memory>> {
        read(self, |db| B::memories(db, pipeline))
    }

    fn at_watermark(&self, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
        read(self, |db| B::at_watermark(db, pipeline, take))
    }

    fn change_state(&mut self, pipeline: &str, change: StateChange<'_>) -> Result<()> {
        self.change(pipeline, |db| {
            if let StateChange::Move { seen, .. } = change {
                let now = B::read(db, pipeline)?.map(|now| State { token: seen.token, ..now });
                if now.as_ref() != Some(seen) {
                    return Err(Error::new(Code::Busy, format!("pipeline {pipeline:?} ran in the meantime"))
                        .state("nothing was changed")
                        .help("look at `floodmark state show` and decide again"));
                }
            }
            let token = B::raise_token(db, pipeline)?;
            let write = |state: &State| {
                let table = state.table.as_deref().unwrap_or_default();
                B::write_position(db, pipeline, table, token, &commit(pipeline, state))
            };
            match change {
                StateChange::Forget => B::forget(db, pipeline),
                StateChange::Move { to, .. } => {
                    B::forget_position(db, pipeline)?;
                    write(to)
                }
                StateChange::Import { state, memories, intervals } => {
                    B::forget(db, pipeline)?;
                    write(state)?;
                    B::put_memories(db, pipeline, memories)?;
                    B::put_intervals(db, pipeline, intervals)
                }
            }
        })
    }

    fn intervals(&self, pipeline: &str) -> Result<Vec<IntervalEntry>> {
        read(self, |db| B::intervals(db, pipeline))
    }

    fn runs(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunRecord>> {
        self.find_runs(&RunQuery { pipeline, limit, ..RunQuery::default() })
    }

    fn runs_like(&self, id: &str, limit: usize) -> Result<Vec<RunRecord>> {
        self.find_runs(&RunQuery { id: Some(id), limit, ..RunQuery::default() })
    }

    fn find_runs(&self, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
        read(self, |db| B::runs(db, query))
    }

    fn rejects(&self, pipeline: Option<&str>) -> Result<Vec<KeptReject>> {
        self.find_rejects(&RejectQuery { pipeline, after: i64::MIN, limit: usize::MAX })
    }

    fn find_rejects(&self, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
        read(self, |db| B::rejects(db, query))
    }

    fn count_rejects(&self, pipeline: &str) -> Result<u64> {
        read(self, |db| B::count_rejects(db, pipeline))
    }

    fn drop_rejects(&mut self, pipeline: &str, ids: &[i64]) -> Result<u64> {
        self.change(pipeline, |db| B::drop_rejects(db, pipeline, ids))
    }

    fn prune_runs(&mut self, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
        self.change(pipeline, |db| B::prune_runs(db, pipeline, before, keep))
    }
}

/// A state as what a run would commit to have it so.
fn commit(pipeline: &str, state: &State) -> Commit {
    let now = chrono::Utc::now();
    let run = RunRecord {
        run: String::new(),
        pipeline: pipeline.to_owned(),
        status: "state".into(),
        load: String::new(),
        started_at: now,
        finished_at: Some(now),
        counts: Counts::default(),
        watermark: None,
        error: None,
        commits: Commits::default(),
    };
    Commit {
        schema: state.schema.clone().unwrap_or_default(),
        source_schema: state.source_schema.clone(),
        settings: state.settings.clone(),
        watermark: state.watermark.clone(),
        pending: state.pending.clone(),
        boundary: BoundaryChange { anew: true, added: Vec::new() },
        files: state.files.iter().map(|(name, file)| (name.clone(), file.clone())).collect(),
        reread: Vec::new(),
        skimmed: Vec::new(),
        replayed: Vec::new(),
        intervals: Vec::new(),
        absorbed: Vec::new(),
        run,
    }
}
