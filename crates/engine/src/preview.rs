//! What a run would do: the run itself, in a session that keeps nothing.

use crate::{
    plan::Reading,
    registry,
    run::{Engine, Outcome, RunOptions, Work, unsafe_combinations},
};
use floodmark_connect::{Rehearsal, Sample};
use floodmark_core::{
    Code, Column, Error, Result, Schema,
    event::{Event, Observer},
    pipeline::Pipeline,
    schema::Change,
    state::{RunRecord, State},
    wording,
};
use std::{sync::Arc, time::Duration};

/// Why a file would be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was never loaded.
    New,
    /// It is not what it was when it was loaded.
    Changed,
    /// It grew, and only what was added is read.
    Grown,
    /// Its load stopped half-way, or left rows behind for later (`settle`).
    Unfinished,
    /// It is as it was, and read again: what is absent from all files counts, or every run reads everything.
    Again,
}

impl Why {
    /// As in `--format json`.
    pub fn name(self) -> &'static str {
        match self {
            Why::New => "new",
            Why::Changed => "changed",
            Why::Grown => "grown",
            Why::Unfinished => "unfinished",
            Why::Again => "again",
        }
    }
}

/// A file that a run would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileToRead {
    /// Its name in the ledger.
    pub file: String,
    /// Why it is read.
    pub why: Why,
    /// Its size.
    pub bytes: u64,
    /// Rows to read, bad ones counted; `None` where the plan did not get so far.
    pub rows: Option<u64>,
    /// Rows at its beginning that are loaded and passed over.
    pub loaded: u64,
}

/// What would change, beside what the counts say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// Files that are read, in the order their rows arrive.
    pub files: Vec<FileToRead>,
    /// How many files are not read: their rows are loaded.
    pub unchanged: usize,
    /// Whether the table is not there yet.
    pub creates: bool,
    /// Columns the table gets (all of them where it is created), and columns that become wider.
    pub schema: Vec<Change>,
    /// A few of the rows that change.
    pub samples: Vec<Sample>,
}

/// A run that did not happen.
#[derive(Debug)]
pub struct Previewed {
    /// What the run would report.
    pub outcome: Outcome,
    /// What it would change. Of one that would fail: the files alone.
    pub preview: Preview,
}

impl Previewed {
    /// Of a pipeline that could not be run at all.
    pub fn refused(pipeline: String, error: Error) -> Self {
        Previewed { outcome: Outcome::refused(pipeline, error), preview: Preview::default() }
    }

    /// Whether the run would change anything a reader of the table, or the next run, could tell: rows, columns, rejects
    /// or the watermark. Not a file's entry in the ledger.
    pub fn changes(&self) -> bool {
        let (outcome, preview) = (&self.outcome, &self.preview);
        let moves = outcome.watermark.as_ref().is_some_and(|w| w.before != w.after);
        outcome.counts.changed()
            || outcome.counts.rejected > 0
            || moves
            || preview.creates
            || !preview.schema.is_empty()
    }
}

impl Preview {
    pub(crate) fn planned(&mut self, there: usize, readings: &[Reading], state: &State) {
        self.unchanged = there - readings.len();
        self.files = readings
            .iter()
            .map(|r| FileToRead {
                file: r.slice.name.clone(),
                why: why(r, state),
                bytes: r.slice.size,
                rows: None,
                loaded: r.skip_rows,
            })
            .collect();
    }

    pub(crate) fn surveyed(&mut self, slices: &[(u64, u128)]) {
        for (file, (rows, _)) in self.files.iter_mut().zip(slices) {
            file.rows = Some(rows.saturating_sub(file.loaded));
        }
    }

    fn compare(&mut self, before: Option<&Schema>, after: Option<&Schema>) {
        let Some(after) = after else { return };
        self.creates = before.is_none();
        let change = |c: &Column| match before.and_then(|b| b.get(&c.name)) {
            None => Some(Change::Add(c.clone())),
            Some(old) if old.data_type != c.data_type => {
                Some(Change::Widen { name: c.name.clone(), from: old.data_type, to: c.data_type })
            }
            Some(_) => None,
        };
        self.schema = after.columns.iter().filter_map(change).collect();
    }
}

fn why(reading: &Reading, state: &State) -> Why {
    let slice = &reading.slice;
    let Some(entry) = state.files.get(&slice.name) else { return Why::New };
    let same = entry.size == slice.size && entry.modified == slice.modified;
    match (entry.complete, reading.skip_rows > 0) {
        (true, true) => Why::Grown,
        (true, false) if same => Why::Again,
        (false, true) => Why::Unfinished,
        (false, false) if same => Why::Unfinished,
        _ => Why::Changed,
    }
}

impl Engine {
    /// Does what `run` would, reports what it would, and keeps nothing of it. Of each kind of change at most `samples`
    /// rows are shown. `wait` is for a run that holds the pipeline.
    pub fn plan(&self, pipeline: &Pipeline, wait: Option<Duration>, samples: usize) -> Previewed {
        let engine = Engine { observer: Arc::new(Uncommitted(self.observer.clone())), ..self.clone() };
        let mut preview = Preview::default();
        let outcome = engine.outcome(pipeline, |run| {
            engine.rehearse(pipeline, wait, samples, run, &mut preview).map_err(|error| {
                let told_nothing = matches!(error.code(), Code::Interrupted | Code::Busy);
                error.or_state(match run.counts.accounted() {
                    _ if told_nothing => "nothing was written".to_owned(),
                    0 => "nothing was written, and a run would write nothing".to_owned(),
                    n => {
                        format!("nothing was written; a run would commit {} before it fails", wording::count(n, "row"))
                    }
                })
            })
        });
        Previewed { outcome, preview }
    }

    fn rehearse(
        &self,
        pipeline: &Pipeline,
        wait: Option<Duration>,
        samples: usize,
        run: &mut RunRecord,
        preview: &mut Preview,
    ) -> Result<(), Error> {
        unsafe_combinations(pipeline)?;
        let source = registry::source(&pipeline.source)?;
        let destination = registry::destination(&pipeline.destination.url)?;
        let slices = source.slices(&self.stop)?;
        let mut session: Box<dyn Rehearsal> = destination.rehearse(&pipeline.name, wait, &self.stop)?;
        let table = &pipeline.destination.table;
        let before = session.table(table)?;
        let options = RunOptions::default();
        let can = destination.capabilities();
        let work = Work { engine: self, pipeline, options: &options, source: source.as_ref(), can };
        work.run(session.as_mut(), slices, run, Some(preview))?;
        preview.compare(before.as_ref(), session.table(table)?.as_ref());
        preview.samples = session.samples(samples)?;
        Ok(())
    }
}

/// Passes on all but commits, of which there are none.
struct Uncommitted(Arc<dyn Observer>);

impl Observer for Uncommitted {
    fn observe(&self, event: &Event) {
        if !matches!(event, Event::Committed { .. }) {
            self.0.observe(event);
        }
    }
}
