//! Loads that are not kept: they go on in a copy of the state, and nothing is written into the lake.

use crate::{
    destination::{LakeDestination, refuse_repartitioned},
    failure,
    rows::Shared,
    session::{self, Now},
};
use floodmark_connect::{Chunk, LoadPlan, Rehearsal, Sample, Session, Stop, aside::Aside};
use floodmark_core::{
    Code, Counts, Error, Result, Schema,
    pipeline::Pipeline,
    state::{FileEntry, IntervalEntry, RunRecord, State},
};
use floodmark_sqlite::bench::Bench;
use std::{collections::HashSet, time::Duration};

pub(crate) struct LakeRehearsal {
    destination: LakeDestination,
    now: Now,
    bench: Bench,
    rows: Shared,
    begun: bool,
    stop: Stop,
    _folder: Aside,
}

impl LakeRehearsal {
    pub(crate) fn open(destination: &LakeDestination, pipeline: &str, stop: &Stop) -> Result<LakeRehearsal> {
        let folder = failure::scratch_folder()?;
        let now = session::look(&destination.keeper(pipeline), destination, folder.path())?;
        let rows = Shared::none(destination)?;
        let bench = Bench::rehearse(&now.file, pipeline, Box::new(rows.clone()), stop)?;
        Ok(LakeRehearsal {
            destination: destination.clone(),
            now,
            bench,
            rows,
            begun: false,
            stop: stop.clone(),
            _folder: folder,
        })
    }
}

impl LakeRehearsal {
    /// Whether the pipeline still stands where it stood when the rows were made ready.
    fn look_again(&self, pipeline: &str) -> Result<()> {
        let stand = session::stand(&self.destination.keeper(pipeline), &self.destination)?;
        if stand.number == self.now.number {
            return Ok(());
        }
        Err(Error::new(Code::Busy, format!("a run of pipeline {pipeline:?} came in between"))
            .state("nothing was written; the other run goes on")
            .help("once more, and the plan begins where that run leaves off"))
    }
}

impl Session for LakeRehearsal {
    fn state(&self) -> &State {
        self.bench.asked().state()
    }

    fn table(&self, table: &str) -> Result<Option<Schema>> {
        if let Some(columns) = self.bench.columns(table)?.filter(|_| self.begun) {
            return Ok(Some(columns));
        }
        Ok(self.destination.lake().table(table)?.snapshot()?.map(|snapshot| snapshot.schema))
    }

    fn load(&mut self, plan: &LoadPlan<'_>, chunk: &mut dyn Chunk) -> Result<Counts> {
        if !std::mem::replace(&mut self.begun, true) {
            let mut rows = self.destination.rows(&self.now, plan, self.bench.asked().state(), &self.stop)?;
            self.look_again(&plan.target.pipeline.name)?;
            self.destination.refuse_shared(self.bench.asked().state(), &plan.target)?;
            rows.brought = Some(HashSet::new());
            if let Some(snapshot) = &rows.snapshot {
                self.bench.shape(&plan.target.pipeline.destination.table, &snapshot.schema)?;
            }
            *self.rows.lock() = rows;
        }
        self.bench.session().load(plan, chunk)
    }

    fn rejected(&self) -> Result<HashSet<String>> {
        self.bench.asked().rejected()
    }

    fn goes_on(&self, pipeline: &Pipeline) -> Result<()> {
        refuse_repartitioned(self.now.snapshot.as_deref(), pipeline)?;
        self.bench.asked().goes_on(pipeline)
    }

    fn intervals(&self, column: &str) -> Result<Vec<IntervalEntry>> {
        self.bench.asked().intervals(column)
    }

    fn receipt(&self, run: &str) -> Result<Option<RunRecord>> {
        self.bench.asked().receipt(run)
    }

    fn step_aside(self: Box<Self>, _run: &str, _wait: Option<Duration>) -> Result<Box<dyn Session>> {
        Err(Error::new(Code::Internal, "a rehearsal goes on beside nothing"))
    }

    fn record(&mut self, _run: &RunRecord, _files: &[(String, Option<FileEntry>)]) -> Result<()> {
        Ok(())
    }
}

impl Rehearsal for LakeRehearsal {
    fn samples(&self, limit: usize) -> Result<Vec<Sample>> {
        self.bench.samples(limit)
    }
}
