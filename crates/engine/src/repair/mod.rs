//! `verify --repair`: rows that differ are loaded again, and rows that the source does not hold go, where the pipeline says so.
//!
//! Neither a run nor a backfill of the pipeline goes on meanwhile: both locks are held from before the comparison until all is
//! committed, so that nothing newer is there to be written over. The source is the truth as far as it was loaded, whatever
//! version a row of the table claims. The watermark stays where it is.

mod extras;
mod found;
mod outdated;
mod pass;
mod rows;
mod stream;
mod versions;

pub use extras::Extras;

use crate::{
    diff::{By, Report, alike},
    load::movement,
    registry,
    run::{Engine, Outcome, changed_settings, unsafe_combinations},
    verify::{self, Ground, Request, Verification},
};
use floodmark_connect::{
    Destination, Session, Stop,
    crash::{self, Point},
};
use floodmark_core::{
    Code, DataType, Error, Result, Schema,
    error::{Place, shorten},
    event::Event,
    pipeline::{Load, Pipeline},
    state::{REPAIR, RunRecord, State},
};
use found::Found;
use pass::Mending;
use std::time::{Duration, Instant};

/// How long a backfill that is to be waited for is left alone before it is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// How a table is repaired.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    /// Rows that the source does not hold go, also where the pipeline would leave them.
    pub delete_extra: bool,
    /// How long to wait for a run or a backfill, as [`crate::RunOptions::wait`].
    pub wait: Option<Duration>,
}

/// What a repair does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intent {
    /// Rows that are written: missing ones and different ones.
    pub write: u64,
    /// Rows that go.
    pub delete: u64,
    /// Rows that the source does not hold, and that stay.
    pub stay: u64,
    /// Why they do.
    pub why: Option<String>,
}

/// What became of a repair.
#[derive(Debug)]
pub struct Repaired {
    /// As of a run.
    pub outcome: Outcome,
    /// What differed; `None` where it did not come to that.
    pub before: Option<Verification>,
    /// What was to be done about it.
    pub intent: Intent,
    /// What differs still; `None` where nothing was written.
    pub after: Option<Verification>,
}

/// What an attempt at a repair found.
#[derive(Default)]
struct Told {
    before: Option<Verification>,
    intent: Intent,
    /// It loaded something.
    mended: bool,
}

impl Engine {
    /// Repairs a pipeline's table and verifies it again. Never panics; an error is part of the outcome.
    pub fn repair(&self, pipeline: &Pipeline, request: &Request<'_>, options: &RepairOptions) -> Repaired {
        let mut told = Told::default();
        let mut after = None;
        let outcome = self.outcome(pipeline, |run| {
            REPAIR.clone_into(&mut run.load);
            unsafe_combinations(pipeline)?;
            verify::can_be_told(pipeline)?;
            // What was never loaded is no reason to make a database.
            verify::state(pipeline)?;
            self.attempts(pipeline, run, |run, lost| self.mend(pipeline, request, options, run, lost, &mut told))?;
            crash::reached(Point::Released)?;
            if told.mended {
                let keyed = !pipeline.key.is_empty() && pipeline.load != Load::Append;
                let request = Request { whole: keyed && options.delete_extra, ..request.clone() };
                let found = self.verified(pipeline, &request);
                after =
                    Some(found.map_err(|error| error.state("the repair is committed, and was not looked at again"))?);
            }
            Ok(())
        });
        Repaired { outcome, before: told.before, intent: told.intent, after }
    }

    /// What a repair would do. Nothing is locked or changed.
    pub fn repair_plan(
        &self,
        pipeline: &Pipeline,
        request: &Request<'_>,
        options: &RepairOptions,
    ) -> Result<(Verification, Intent)> {
        let found = (|| {
            verify::can_be_told(pipeline)?;
            let state = verify::state(pipeline)?;
            let request = along(pipeline, &state, request, options);
            let ground = self.ground(pipeline, &request, &state)?;
            let extras = Extras::of(pipeline, &ground, options);
            let found = ground.compare(self, &request, &mut |_, _| {})?;
            refuse_misfits(pipeline, &found.report)?;
            let intent = intent(&found.report, &extras, ground.replaced_whole(pipeline));
            outdated::refuse(pipeline, &ground, &intent)?;
            Ok((found, intent))
        })();
        self.observer.observe(&Event::Finished { pipeline: pipeline.name.clone() });
        found.map_err(|error: Error| error.or_state("nothing was changed"))
    }

    /// `lost`: an attempt before this one lost its server, and may have committed more than it heard of.
    fn mend(
        &self,
        pipeline: &Pipeline,
        request: &Request<'_>,
        options: &RepairOptions,
        run: &mut RunRecord,
        lost: bool,
        told: &mut Told,
    ) -> Result<()> {
        let destination = registry::destination(&pipeline.destination.url)?;
        let (mut session, _beside) = self.both_locks(destination.as_ref(), pipeline, &run.run, options.wait)?;
        self.observer.observe(&Event::Locked { pipeline: pipeline.name.clone() });
        if lost && let Some(kept) = session.receipt(&run.run)? {
            let complete = kept.status == "ok";
            run.take_committed(kept);
            if complete {
                told.mended = true;
                return Ok(());
            }
        }
        let can = destination.capabilities();
        let mended = crash::reached(Point::Locked)
            .and_then(|()| self.mend_held(pipeline, request, options, session.as_mut(), can, run, told));
        match mended {
            Ok(()) => Ok(()),
            Err(error) => self.failed(session.as_mut(), run, error),
        }
    }

    /// The lock of runs, and that of backfills. A backfill takes them in the other order, so neither waits for the second with
    /// the first in hand.
    fn both_locks(
        &self,
        destination: &dyn Destination,
        pipeline: &Pipeline,
        run: &str,
        wait: Option<Duration>,
    ) -> Result<(Box<dyn Session>, Box<dyn Session>)> {
        let began = Instant::now();
        loop {
            let left = wait.map(|wait| wait.saturating_sub(began.elapsed()));
            let session = destination.open(&pipeline.name, run, left, &self.stop)?;
            match destination.open_beside(&pipeline.name, run, Some(Duration::ZERO), &self.stop) {
                Ok(beside) => return Ok((session, beside)),
                Err(error) if error.code() == Code::Busy && wait.is_none_or(|wait| began.elapsed() < wait) => {
                    drop(session);
                    self.rest(PAUSE)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one repair's parts, each of another lifetime")]
    fn mend_held(
        &self,
        pipeline: &Pipeline,
        request: &Request<'_>,
        options: &RepairOptions,
        session: &mut dyn Session,
        can: floodmark_connect::Capabilities,
        run: &mut RunRecord,
        told: &mut Told,
    ) -> Result<()> {
        let table = &pipeline.destination.table;
        let Some(there) = session.table(table)? else {
            return Err(verify::unverified(&format!("table {table:?} is gone"))
                .help(format!("load it anew: floodmark run {}", pipeline.name)));
        };
        let state = verify::state(pipeline)?;
        session.goes_on(pipeline)?;
        refuse_half_loaded(pipeline, &state, &self.stop)?;
        if let Some(error) = crate::run::other_watermark(pipeline, &state) {
            return Err(error);
        }
        if let Some(changed) = changed_settings(pipeline, &state) {
            self.observer.observe(&Event::Warning { pipeline: pipeline.name.clone(), message: changed });
        }
        if let Some(spec) = &pipeline.watermark {
            run.watermark = Some(movement(&spec.column, state.watermark.as_ref()));
        }
        let request = along(pipeline, &state, request, options);
        let ground = self.ground(pipeline, &request, &state)?;
        let extras = Extras::of(pipeline, &ground, options);
        let mut found = Found::new(ground.keyed, request.by.as_ref().map(|by| by.column.as_str()));
        let before = ground.compare(self, &request, &mut |paired, candidate| found.note(paired, candidate))?;
        refuse_misfits(pipeline, &before.report)?;
        told.intent = intent(&before.report, &extras, ground.replaced_whole(pipeline));
        outdated::refuse(pipeline, &ground, &told.intent)?;
        let Intent { write, delete, .. } = told.intent;
        let report = told.before.insert(before).report.clone();
        if write + delete == 0 {
            return Ok(());
        }
        refuse_lacking(pipeline, &state, &there)?;
        crash::reached(Point::Surveyed)?;
        told.mended = true;
        Mending {
            engine: self,
            pipeline,
            state: &state,
            ground: &ground,
            report: &report,
            found,
            can,
            delete_extra: options.delete_extra,
        }
        .load(session, write > 0, delete > 0, run)
    }
}

/// What of the differences is done away with. `whole`: rows that are to stay would go with those that are written.
fn intent(report: &Report, extras: &Extras, whole: bool) -> Intent {
    let counts = &report.counts;
    let (delete, stay) = match extras {
        Extras::Go => (counts.extra, 0),
        Extras::Stay(_) => (0, counts.extra),
    };
    let why = match extras {
        Extras::Stay(why) if stay > 0 => Some(why.clone()),
        _ => None,
    };
    let write = if whole && stay > 0 { 0 } else { counts.missing + counts.different };
    Intent { write, delete, stay, why }
}

/// Rows without a key are looked for, and taken out, along a column: the one that says what is loaded, where there is one.
fn along<'r>(pipeline: &Pipeline, state: &State, request: &Request<'r>, options: &RepairOptions) -> Request<'r> {
    let keyed = !pipeline.key.is_empty() && pipeline.load != Load::Append;
    let mut request = request.clone();
    request.whole = keyed && options.delete_extra;
    if keyed || (pipeline.load == Load::Overwrite && !options.delete_extra) {
        return request;
    }
    let sorts = |name: &&String| {
        let column = state.schema.as_ref().and_then(|schema| schema.get(name));
        column.is_some_and(|column| is_axis(column.data_type))
    };
    let cursor = pipeline.cursor().map(|spec| &spec.column);
    let window = (pipeline.load == Load::DeleteInsert).then(|| pipeline.window.first()).flatten();
    let own = match pipeline.load {
        Load::DeleteInsert => window.filter(sorts),
        _ => cursor.filter(sorts),
    };
    let other = || {
        let columns = state.schema.iter().flat_map(|schema| &schema.columns);
        columns.filter(|column| is_axis(column.data_type)).map(|column| &column.name).next()
    };
    let column = match (own, &request.by, cursor) {
        (Some(own), ..) => Some(own.clone()),
        // What lies behind the watermark and what does not is told along its own column alone.
        (None, _, Some(_)) => None,
        (None, Some(by), None) if pipeline.load == Load::Append => Some(by.column.clone()),
        (None, _, None) if pipeline.load == Load::Append && options.delete_extra => other().cloned(),
        _ => None,
    };
    let step = request.by.take().filter(|by| Some(&by.column) == column.as_ref()).and_then(|by| by.step);
    request.by = column.map(|column| By { step, ..By::column(&column) });
    request
}

/// Whether databases sort values of the type alike.
fn is_axis(data_type: DataType) -> bool {
    use DataType::{BigInt, Date, Decimal, Text, Timestamp, TimestampTz};
    matches!(data_type, BigInt | Decimal(..) | Date | Timestamp { .. } | TimestampTz { .. } | Text)
}

/// A row of the source that no run could load is loaded by no repair, and what lies beyond it is not told by its value.
fn refuse_misfits(pipeline: &Pipeline, report: &Report) -> Result<()> {
    let Some(misfit) = report.shape.misfits.iter().find(|misfit| misfit.sides[0]) else { return Ok(()) };
    let (column, value) = (Some(misfit.column.clone()), misfit.value.clone());
    let row = misfit.row.as_ref().map(|row| format!(", in the row {}", shorten(row))).unwrap_or_default();
    Err(Error::new(Code::BadValue, format!("the source holds what is no value of its column{row}"))
        .at(Place { column, value, ..Place::default() })
        .state("nothing was changed")
        .help("correct the value in the source, and repair again")
        .help(format!("or leave such rows out: `on_bad_row: reject`, and then floodmark run {}", pipeline.name)))
}

/// A column that is gone is not made again here: the table is still being read, and a server would wait for that reading's end.
fn refuse_lacking(pipeline: &Pipeline, state: &State, there: &Schema) -> Result<()> {
    let mut loaded = state.schema.iter().flat_map(|schema| &schema.columns);
    let Some(gone) = loaded.find(|column| alike(there, &column.name).is_none()) else { return Ok(()) };
    let (table, name) = (&pipeline.destination.table, &pipeline.name);
    let column = &gone.name;
    Err(Error::new(
        Code::TableShape,
        format!("table {table:?} has no column {column:?} any more, which the pipeline loads"),
    )
    .state("nothing was changed")
    .help(format!("let a run add it, and repair then: floodmark run {name}"))
    .help(format!("where a run finds nothing new: floodmark run {name} --full-refresh")))
}

/// Rows without a key that a load brings later would be there twice.
fn refuse_half_loaded(pipeline: &Pipeline, state: &State, stop: &Stop) -> Result<()> {
    if pipeline.load != Load::Append {
        return Ok(());
    }
    let run_first = |what: String| {
        Err(verify::unverified(&what)
            .help(format!("let a run load it first: floodmark run {}", pipeline.name))
            .help("an `append` cannot tell rows that it brings from rows that a repair has brought"))
    };
    if state.pending.is_some() {
        return run_first("a load is unfinished".into());
    }
    if pipeline.source.files().is_none() {
        return Ok(());
    }
    let source = registry::source(&pipeline.source)?;
    let Some(files) = source.files() else { return Ok(()) };
    for slice in source.slices(stop)? {
        let Some(entry) = state.files.get(&slice.name) else { continue };
        if !entry.complete {
            return run_first(format!("{} is loaded in part", slice.name));
        }
        let other_tag = slice.tag.is_some() && files.hash(&slice, stop)? != entry.hash;
        if other_tag || entry.size != slice.size || entry.modified != slice.modified {
            return run_first(format!("{} has changed since it was loaded", slice.name));
        }
    }
    Ok(())
}

impl Ground<'_> {
    /// Whether the table, or a window of it, is replaced as a whole, with rows that it may rightly hold.
    fn replaced_whole(&self, pipeline: &Pipeline) -> bool {
        !self.keyed && matches!(pipeline.load, Load::Overwrite | Load::DeleteInsert) && self.doubtful().is_some()
    }

    /// Whether its runs began somewhere, and no receipt says what was loaded before that.
    fn begins(&self) -> bool {
        self.filled.is_none() && self.start
    }

    /// Whether rows that the table should hold may be missing from what it was compared with.
    fn doubtful(&self) -> Option<&'static str> {
        let expected = self.expected.as_ref()?;
        match (expected.rejected, expected.gone) {
            (true, _) => Some("rows of the source are rejected, and these may be theirs"),
            (false, true) => Some("files that were loaded are gone, and these may be their rows"),
            (false, false) => None,
        }
    }
}
