//! State outside a run. The state of each pipeline is a file of its own; what is asked of all of them is put together.

use crate::{
    destination::LakeDestination,
    failure,
    keeper::Keeper,
    publish::{self, Publication},
    rows::Shared,
    session,
};
use chrono::{DateTime, Utc};
use floodmark_connect::{
    Stop,
    aside::Aside,
    crash::Point,
    destination::{KeptReject, Ledger, RejectQuery, RunQuery, StateChange},
};
use floodmark_core::{
    Result,
    state::{IntervalEntry, Memory, RunRecord, State},
};
use floodmark_sqlite::{
    bench::{self, Side},
    lock::Name,
};
use std::{cmp::Reverse, time::Duration};

pub(crate) struct LakeLedger {
    destination: LakeDestination,
    folder: Aside,
}

impl LakeLedger {
    pub(crate) fn new(destination: LakeDestination) -> Result<LakeLedger> {
        Ok(LakeLedger { destination, folder: failure::scratch_folder()? })
    }

    /// The books of one pipeline, as they are now.
    fn books(&self, pipeline: &str) -> Result<Box<dyn Ledger>> {
        let now = session::look(&self.destination.keeper(pipeline), &self.destination, self.folder.path())?;
        let rows = Shared::none(&self.destination)?;
        drop(self.destination.bench(&now, pipeline, Side::Run, false, rows, &Stop::default())?);
        bench::ledger(&now.file)
    }

    fn each<T>(&self, pipeline: Option<&str>, mut look: impl FnMut(&dyn Ledger) -> Result<Vec<T>>) -> Result<Vec<T>> {
        let names = match pipeline {
            Some(name) => vec![name.to_owned()],
            None => Keeper::pipelines(self.destination.lake())?,
        };
        let mut all = Vec::new();
        for name in names {
            all.extend(look(self.books(&name)?.as_ref())?);
        }
        Ok(all)
    }

    fn change<T>(&mut self, pipeline: &str, work: impl FnOnce(&mut dyn Ledger) -> Result<T>) -> Result<T> {
        let holder = format!("a change of its state (process {})", std::process::id());
        let _lock = self.destination.lock(Name::Pipeline(pipeline), &holder, Some(Duration::ZERO), &Stop::default())?;
        let keeper = self.destination.keeper(pipeline);
        let now = session::look(&keeper, &self.destination, self.folder.path())?;
        let rows = Shared::none(&self.destination)?;
        drop(self.destination.bench(&now, pipeline, Side::Run, false, rows, &Stop::default())?);
        let out = work(bench::ledger(&now.file)?.as_mut())?;
        let save = |into: &std::path::Path| bench::compact(&now.file, into);
        let publication = Publication { now: &now, save: &save, point: Point::ChangeCommit, load: None };
        publish::publish(&self.destination, &keeper, self.folder.path(), publication)?;
        Ok(out)
    }
}

impl Ledger for LakeLedger {
    fn pipelines(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in Keeper::pipelines(self.destination.lake())? {
            names.extend(self.books(&name)?.pipelines()?);
        }
        Ok(names)
    }

    fn state(&self, pipeline: &str) -> Result<Option<State>> {
        self.books(pipeline)?.state(pipeline)
    }

    fn memories(&self, pipeline: &str) -> Result<Vec<Memory>> {
        self.books(pipeline)?.memories(pipeline)
    }

    fn at_watermark(&self, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
        self.books(pipeline)?.at_watermark(pipeline, take)
    }

    fn change_state(&mut self, pipeline: &str, change: StateChange<'_>) -> Result<()> {
        self.change(pipeline, |books| books.change_state(pipeline, change))
    }

    fn intervals(&self, pipeline: &str) -> Result<Vec<IntervalEntry>> {
        self.books(pipeline)?.intervals(pipeline)
    }

    fn runs(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunRecord>> {
        self.find_runs(&RunQuery { pipeline, limit, ..RunQuery::default() })
    }

    fn runs_like(&self, id: &str, limit: usize) -> Result<Vec<RunRecord>> {
        self.find_runs(&RunQuery { id: Some(id), limit, ..RunQuery::default() })
    }

    fn find_runs(&self, query: &RunQuery<'_>) -> Result<Vec<RunRecord>> {
        let mut runs = self.each(query.pipeline, |books| books.find_runs(query))?;
        runs.sort_by(|a, b| Reverse((a.started_at, &a.run)).cmp(&Reverse((b.started_at, &b.run))));
        runs.truncate(query.limit);
        Ok(runs)
    }

    fn rejects(&self, pipeline: Option<&str>) -> Result<Vec<KeptReject>> {
        self.find_rejects(&RejectQuery { pipeline, after: i64::MIN, limit: usize::MAX })
    }

    fn find_rejects(&self, query: &RejectQuery<'_>) -> Result<Vec<KeptReject>> {
        let mut rejects = self.each(query.pipeline, |books| books.find_rejects(query))?;
        rejects.sort_by_key(|reject| reject.id);
        rejects.truncate(query.limit);
        Ok(rejects)
    }

    fn count_rejects(&self, pipeline: &str) -> Result<u64> {
        self.books(pipeline)?.count_rejects(pipeline)
    }

    fn drop_rejects(&mut self, pipeline: &str, ids: &[i64]) -> Result<u64> {
        self.change(pipeline, |books| books.drop_rejects(pipeline, ids))
    }

    fn prune_runs(&mut self, pipeline: &str, before: DateTime<Utc>, keep: usize) -> Result<u64> {
        self.change(pipeline, |books| books.prune_runs(pipeline, before, keep))
    }
}
