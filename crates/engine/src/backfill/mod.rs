//! `floodmark backfill`: a range of the axis, unit by unit, each with its receipt (P7).
//!
//! Units that the pipeline's runs do not read, or that the version rule keeps safe, are loaded beside them, under a lock of
//! their own; the others under the pipeline's, as a run would. The watermark moves only over what is in without a gap.

mod ground;
mod groups;
mod receipt;
mod still;
mod tally;

pub(crate) use ground::began;
pub(crate) use receipt::Receipts;
pub(crate) use tally::Tally;

use crate::{
    by_file, names,
    plan::Reading,
    prove::disorder::{Disorder, Disordered},
    registry,
    run::{
        Engine, Outcome, RunOptions, Schemas, Work, changed_settings, other_watermark, settings_of_part,
        unsafe_combinations,
    },
};
use floodmark_connect::{
    Destination, LoadPlan, Session, Slice, Source, Survey, Target,
    crash::{self, Point},
    destination::Ledger,
    source::Extent,
};
use floodmark_core::{
    Code, Counts, Error, Result, Schema, Value,
    commits::Committed,
    event::Event,
    interval::{Axis, Step},
    pipeline::{Load, Pipeline},
    state::{BoundaryChange, Commit, IntervalEntry, Mark, RunRecord, State, WatermarkMove},
    wording,
};
use ground::Ground;
use groups::Pass;
use receipt::Unit;
use std::time::Duration;
use still::Still;

/// So many intervals may not be what was meant.
const MANY: usize = 10_000;

/// What is to be filled, and how.
#[derive(Debug, Clone, Default)]
pub struct BackfillOptions {
    /// The first value that is loaded.
    pub from: Option<String>,
    /// The first value that is not.
    pub until: Option<String>,
    /// The column along which it goes, where that is not the pipeline's own.
    pub column: Option<String>,
    /// How long a unit is: by default a day of a date or timestamp, and all of a number's range.
    pub step: Option<Step>,
    /// How many parts are read at the same time.
    pub jobs: usize,
    /// Only what neither a backfill nor the pipeline's runs have loaded.
    pub missing: bool,
    /// Also what is in.
    pub force: bool,
    /// How long to wait for another backfill or run, as [`RunOptions::wait`].
    pub wait: Option<Duration>,
}

/// What became of a backfill.
#[derive(Debug)]
pub struct Backfilled {
    /// As of a run.
    pub outcome: Outcome,
    /// The column along which it went.
    pub column: String,
    /// Units there were to load.
    pub units: usize,
    /// Units that are in now.
    pub loaded: usize,
    /// Units among them to which rows may still come.
    pub open: usize,
}

/// What of a pipeline's axis is in.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// The column along which it is filled.
    pub column: String,
    /// Its values; `None` where nothing was ever loaded.
    pub axis: Option<Axis>,
    /// Receipts, in order.
    pub entries: Vec<IntervalEntry>,
    /// The watermark, where the axis is its own.
    pub watermark: Option<Value>,
    /// Where its runs began.
    pub start: Option<String>,
}

impl Coverage {
    /// By a ledger that is open.
    ///
    /// # Errors
    /// Where it cannot be read, or the pipeline has no column along which it could be filled.
    pub fn read(pipeline: &Pipeline, column: Option<&str>, ledger: &dyn Ledger) -> Result<Coverage> {
        let column = ground::column(pipeline, column)?.to_owned();
        let mut entries = ledger.intervals(&pipeline.name)?;
        entries.retain(|entry| entry.column == column);
        entries.sort_by(|a, b| a.interval.from.compare(&b.interval.from).unwrap_or(std::cmp::Ordering::Equal));
        let own = pipeline.cursor().filter(|spec| spec.column == column);
        let state = ledger.state(&pipeline.name)?.unwrap_or_default();
        let data_type = state.schema.as_ref().and_then(|schema| schema.get(&column)).map(|c| c.data_type);
        let axis = data_type.map(|data_type| Axis::new(&column, data_type, pipeline.timezone)).transpose()?;
        let start = own.and_then(|spec| began(&state, spec.start.as_deref()));
        let watermark = state.watermark.filter(|_| own.is_some()).map(|mark| mark.value);
        Ok(Coverage { column, axis, entries, watermark, start })
    }
}

/// A backfill of one pipeline.
pub(crate) struct Fill<'a> {
    options: &'a BackfillOptions,
    column: &'a str,
}

impl Fill<'_> {
    fn step(&self, axis: &Axis) -> Option<Step> {
        self.options.step.or(axis.is_time().then_some(Step::Days(1)))
    }
}

/// What is known of the source.
struct Surveyed {
    readings: Vec<Reading>,
    schemas: Schemas,
    survey: Survey,
}

impl Engine {
    /// Fills a range of a pipeline's axis. Never panics; an error is part of the outcome.
    pub fn backfill(&self, pipeline: &Pipeline, options: &BackfillOptions) -> Backfilled {
        self.backfill_in(None, pipeline, options)
    }

    /// The same, with the source in disorder.
    pub(crate) fn backfill_in(
        &self,
        how: Option<&Disorder>,
        pipeline: &Pipeline,
        options: &BackfillOptions,
    ) -> Backfilled {
        let mut done = Done::default();
        let outcome = self.outcome(pipeline, |run| {
            unsafe_combinations(pipeline)?;
            ground::refuse(pipeline)?;
            let fill = Fill { options, column: ground::column(pipeline, options.column.as_deref())? };
            fill.column.clone_into(&mut done.column);
            self.attempts(pipeline, run, |run, lost| self.fill(how, pipeline, &fill, run, lost, &mut done))?;
            crash::reached(Point::Released)
        });
        Backfilled { outcome, column: done.column, units: done.units, loaded: done.loaded, open: done.open }
    }

    /// What of a pipeline's axis is in. Nothing is locked or changed.
    pub fn coverage(&self, pipeline: &Pipeline, column: Option<&str>) -> Result<Coverage> {
        Coverage::read(pipeline, column, registry::destination(&pipeline.destination.url)?.ledger()?.as_ref())
    }

    fn fill(
        &self,
        how: Option<&Disorder>,
        pipeline: &Pipeline,
        fill: &Fill<'_>,
        run: &mut RunRecord,
        lost: bool,
        done: &mut Done,
    ) -> Result<()> {
        let source: Box<dyn Source> = match how {
            None => registry::source(&pipeline.source)?,
            Some(how) => Box::new(Disordered { inner: registry::source(&pipeline.source)?, how: how.clone() }),
        };
        let destination = registry::destination(&pipeline.destination.url)?;
        let slices = source.slices(&self.stop)?;
        let run_options = RunOptions { wait: fill.options.wait, ..RunOptions::default() };
        let work = Work {
            engine: self,
            pipeline,
            options: &run_options,
            source: source.as_ref(),
            can: destination.capabilities(),
        };
        let Prepared { surveyed, movement, first } = self.prepare(&work, fill, destination.as_ref(), &slices, run)?;
        // What the first transaction loaded is no unit any more, be it settled or not.
        let (mut session, begun) = match first {
            Some((mut owner, units)) => {
                run.watermark = movement;
                match self.first(&work, fill, owner.as_mut(), &surveyed, &units, run, done) {
                    Ok(loaded) => (owner.step_aside(&run.run, fill.options.wait)?, Some(units[loaded..].to_vec())),
                    Err(error) => return self.failed(owner.as_mut(), run, error),
                }
            }
            None => {
                let session = destination.open_beside(&pipeline.name, &run.run, fill.options.wait, &self.stop)?;
                self.observer.observe(&Event::Locked { pipeline: pipeline.name.clone() });
                if lost && let Some(kept) = session.receipt(&run.run)? {
                    run.take_committed(kept);
                }
                run.watermark = movement;
                (session, None)
            }
        };
        let seen = Seen { surveyed, slices: &slices, begun };
        match self.both(&work, fill, destination.as_ref(), session.as_mut(), seen, run, done) {
            Ok(()) => Ok(()),
            Err(error) => self.failed(session.as_mut(), run, error),
        }
    }

    /// The table as it is to be, made or changed where it is not: what goes on beside runs changes nothing of it. A table
    /// that is not there is made by the first transaction that loads rows, so that one which fails leaves none.
    fn prepare(
        &self,
        work: &Work<'_>,
        fill: &Fill<'_>,
        destination: &dyn Destination,
        slices: &[Slice],
        run: &mut RunRecord,
    ) -> Result<Prepared> {
        let pipeline = work.pipeline;
        let known = match destination.exists() {
            true => destination.ledger()?.state(&pipeline.name)?.unwrap_or_default(),
            false => State::default(),
        };
        if known.schema.is_some() && known.table.as_ref() == Some(&pipeline.destination.table) {
            let surveyed = work.look(fill, slices, &known, None)?;
            if surveyed.schemas.changes.is_empty() {
                return Ok(Prepared { surveyed, movement: work.movement(&known), first: None });
            }
        }
        // What cannot be filled makes no database either.
        let looked = match destination.exists() {
            true => None,
            false => {
                let surveyed = work.look(fill, slices, &known, None)?;
                self.first_units(work, fill, &surveyed, &known, Vec::new(), run)?;
                Some(surveyed)
            }
        };
        let mut session = destination.open(&pipeline.name, &run.run, work.options.wait, &self.stop)?;
        let made = (|| {
            let existing = session.table(&pipeline.destination.table)?;
            let state = work.state(session.as_ref(), existing.as_ref());
            let fresh = state.schema.is_none() && existing.is_none();
            let mut surveyed = match looked.filter(|_| fresh) {
                Some(looked) => looked,
                None => work.look(fill, slices, &state, existing.as_ref())?,
            };
            work.fits(&surveyed, !fresh)?;
            // What cannot be filled makes no table.
            let units = self.first_units(work, fill, &surveyed, &state, session.intervals(fill.column)?, run)?;
            let movement = work.movement(&state);
            if fresh && !units.is_empty() {
                return Ok((surveyed, movement, Some(units)));
            }
            let commit = work.still(&state, &surveyed.schemas, state.watermark.clone(), run);
            work.load_still(session.as_mut(), &surveyed.schemas, commit, run)?;
            surveyed.schemas.changes.clear();
            Ok((surveyed, movement, None))
        })();
        match made {
            Ok((surveyed, movement, units)) => {
                Ok(Prepared { surveyed, movement, first: units.map(|units| (session, units)) })
            }
            Err(error) => {
                self.failed(session.as_mut(), run, error).and(Err(Error::internal("a failure that was none")))
            }
        }
    }

    /// The units there are before anything is loaded, if they can be.
    fn first_units(
        &self,
        work: &Work<'_>,
        fill: &Fill<'_>,
        surveyed: &Surveyed,
        state: &State,
        entries: Vec<IntervalEntry>,
        run: &RunRecord,
    ) -> Result<Vec<Unit>> {
        let ground = work.ground(fill, surveyed, state, entries, run)?;
        let units = ground.units(fill, &self.stop)?;
        if let Some(unit) = units.first().filter(|unit| !is_beside(work.pipeline, &ground, unit)) {
            groups::connected(work.pipeline, &ground, &unit.interval)?;
        }
        Ok(units)
    }

    /// Loads the first units of a table that is not there yet, in the session that may make it; returns how many. Of an
    /// `append`, whose watermark goes with its rows, all of them.
    #[expect(clippy::too_many_arguments, reason = "one backfill's parts, each of another lifetime")]
    fn first(
        &self,
        work: &Work<'_>,
        fill: &Fill<'_>,
        session: &mut dyn Session,
        surveyed: &Surveyed,
        units: &[Unit],
        run: &mut RunRecord,
        done: &mut Done,
    ) -> Result<usize> {
        crash::reached(Point::Planned)?;
        let state = session.state().clone();
        let mut ground = work.ground(fill, surveyed, &state, session.intervals(fill.column)?, run)?;
        (done.units, done.loaded, done.open) = (units.len(), 0, 0);
        self.tell(work, fill, &ground, units);
        crash::reached(Point::Surveyed)?;
        let append = work.pipeline.load == Load::Append;
        let settled = if append { work.settled(&ground, units) } else { units.to_vec() };
        if settled.is_empty() {
            run.status = "nothing_new".into();
            run.finished_at = Some(self.clock.now());
            return session.record(run, &[]).map(|()| units.len());
        }
        let mut pass = Pass { work, fill, surveyed, held: append, done, rows_each: None };
        match append {
            true => pass.load(session, &mut ground, &settled, true, run).map(|()| units.len()),
            false => pass.group(session, &mut ground, units, 0, true, run),
        }
    }

    /// Says what is about to be loaded.
    fn tell(&self, work: &Work<'_>, fill: &Fill<'_>, ground: &Ground<'_>, units: &[Unit]) {
        let pipeline = work.pipeline.name.clone();
        self.observer.observe(&Event::Planned { pipeline: pipeline.clone(), slices: units.len(), rows: None });
        let (Some(first), Some(last)) = (units.first(), units.last()) else { return };
        let step = fill.step(&ground.axis);
        if let Some(step) = step.filter(|_| units.len() > MANY) {
            let minutes = match step {
                Step::Time(each) if !each.as_secs().is_multiple_of(3600) => "; `m` is a minute, and `mo` a month",
                _ => "",
            };
            work.warn(format!(
                "{} of {} each (`--by {step}`), and each has a receipt of its own{minutes}",
                wording::count(units.len() as u64, "interval"),
                step.words()
            ));
        }
        self.observer.observe(&Event::Intervals {
            pipeline,
            column: fill.column.to_owned(),
            intervals: units.len() as u64,
            step: step.map(Step::words),
            from: ground.axis.shown(&first.interval.from),
            until: ground.axis.shown(&last.interval.until),
        });
    }

    /// What can be loaded beside the pipeline's runs, then what cannot; then the watermark.
    #[expect(clippy::too_many_arguments, reason = "one backfill's parts, each of another lifetime")]
    fn both(
        &self,
        work: &Work<'_>,
        fill: &Fill<'_>,
        destination: &dyn Destination,
        session: &mut dyn Session,
        Seen { surveyed, slices, begun }: Seen<'_>,
        run: &mut RunRecord,
        done: &mut Done,
    ) -> Result<()> {
        let pipeline = work.pipeline;
        let state = session.state().clone();
        let mut ground = work.ground(fill, &surveyed, &state, session.intervals(fill.column)?, run)?;
        let units = match begun {
            Some(units) => units,
            None => {
                crash::reached(Point::Planned)?;
                let units = ground.units(fill, &self.stop)?;
                // What an attempt before this one loaded is in, and no unit any more.
                (done.units, done.loaded, done.open) = (units.len(), 0, 0);
                self.tell(work, fill, &ground, &units);
                units
            }
        };
        let (beside, held): (Vec<Unit>, Vec<Unit>) =
            units.into_iter().partition(|unit| is_beside(pipeline, &ground, unit));
        crash::reached(Point::Surveyed)?;
        let mut pass = Pass { work, fill, surveyed: &surveyed, held: false, done: &mut *done, rows_each: None };
        pass.load(session, &mut ground, &beside, held.is_empty(), run)?;
        if !held.is_empty() {
            // The runs' own ground, as they would load it: what the source holds is looked at with the lock in hand.
            let mut owner = destination.open(&pipeline.name, &run.run, fill.options.wait, &self.stop)?;
            let state = owner.state().clone();
            let surveyed = work.look(fill, slices, &state, None)?;
            if !surveyed.schemas.changes.is_empty() {
                return Err(
                    Error::new(Code::SchemaChange, "the source's columns changed during the backfill").transient()
                );
            }
            let mut ground = work.ground(fill, &surveyed, &state, owner.intervals(fill.column)?, run)?;
            let held = match pipeline.load {
                Load::Append => {
                    // A gap is one also where what lies beyond it waits.
                    if let Some(first) = held.first() {
                        groups::connected(pipeline, &ground, &first.interval)?;
                    }
                    work.settled(&ground, &held)
                }
                _ => held,
            };
            if held.is_empty() && !run.counts.changed() {
                run.status = "nothing_new".into();
                run.finished_at = Some(self.clock.now());
                return owner.record(run, &[]);
            }
            let mut pass = Pass { work, fill, surveyed: &surveyed, held: true, done: &mut *done, rows_each: None };
            pass.load(owner.as_mut(), &mut ground, &held, true, run)?;
            drop(owner);
            return self.move_on(work, fill, destination, &surveyed, &ground, run);
        }
        if done.units == 0 && !run.counts.changed() {
            run.status = "nothing_new".into();
            run.finished_at = Some(self.clock.now());
            session.record(run, &[])?;
        }
        self.move_on(work, fill, destination, &surveyed, &ground, run)
    }

    /// Moves the watermark where it may move. That of an `append` went with its rows.
    fn move_on(
        &self,
        work: &Work<'_>,
        fill: &Fill<'_>,
        destination: &dyn Destination,
        surveyed: &Surveyed,
        ground: &Ground<'_>,
        run: &mut RunRecord,
    ) -> Result<()> {
        let moves = ground.own && work.pipeline.load != Load::Append && ground.advanced().is_some();
        if moves { self.advance(work, fill, destination, surveyed, run) } else { Ok(()) }
    }

    /// Moves the watermark over what is in without a gap. A run that holds the pipeline is not waited for, unless that was
    /// asked for: what it reads again is known.
    fn advance(
        &self,
        work: &Work<'_>,
        fill: &Fill<'_>,
        destination: &dyn Destination,
        surveyed: &Surveyed,
        run: &mut RunRecord,
    ) -> Result<()> {
        let pipeline = work.pipeline;
        let mut session = match destination.open(&pipeline.name, &run.run, work.options.wait, &self.stop) {
            Err(error) if error.code() == Code::Busy => {
                work.warn(
                    "the watermark stays where it is, as a run holds the pipeline: the next backfill moves it".into(),
                );
                return Ok(());
            }
            session => session?,
        };
        let state = session.state().clone();
        let ground = work.ground(fill, surveyed, &state, session.intervals(fill.column)?, run)?;
        let Some(value) = ground.advanced().filter(|_| state.schema.as_ref() == Some(&surveyed.schemas.target)) else {
            return Ok(());
        };
        let mark = Mark { column: fill.column.to_owned(), data_type: ground.axis.data_type, value };
        if let Some(moved) = &mut run.watermark {
            moved.after = Some(mark.value.to_string());
        }
        let status = if run.counts.changed() { "ok" } else { "nothing_new" };
        let mut commit = work.still(&state, &surveyed.schemas, Some(mark), run);
        status.clone_into(&mut commit.run.status);
        let now = self.clock.now();
        commit.run.finished_at = Some(now);
        commit.run.commits.push(Committed {
            commits: 1,
            at: now,
            counts: Counts::default(),
            watermark: commit.watermark.as_ref().map(|mark| mark.value.to_string()),
            bytes: None,
            slices: Vec::new(),
        });
        work.load_still(session.as_mut(), &surveyed.schemas, commit, run)
    }
}

/// A backfill that may begin.
struct Prepared {
    surveyed: Surveyed,
    /// How the watermark stands before it.
    movement: Option<WatermarkMove>,
    /// Where the table is not there yet: the session that may make it, and what is to be loaded.
    first: Option<(Box<dyn Session>, Vec<Unit>)>,
}

/// What is known when units are loaded beside runs.
struct Seen<'s> {
    surveyed: Surveyed,
    slices: &'s [Slice],
    /// What is left of the units where the first of them made the table.
    begun: Option<Vec<Unit>>,
}

/// How far a backfill came.
#[derive(Debug, Default)]
pub(crate) struct Done {
    column: String,
    units: usize,
    loaded: usize,
    open: usize,
}

/// Whether a unit may be loaded while the pipeline's runs go on: what they load meanwhile is newer, and stays; or lies
/// elsewhere.
fn is_beside(pipeline: &Pipeline, ground: &Ground<'_>, unit: &Unit) -> bool {
    let behind = |end: &Option<Value>| {
        end.as_ref().is_some_and(|end| unit.interval.until.compare(end) != Some(std::cmp::Ordering::Greater))
    };
    match pipeline.load {
        Load::InsertOnly => true,
        Load::Upsert | Load::Scd2 => pipeline.version.is_some(),
        Load::Append => behind(&ground.mark),
        Load::DeleteInsert => behind(&ground.reach) && (pipeline.key.is_empty() || pipeline.version.is_some()),
        Load::Overwrite => false,
    }
}

impl Work<'_> {
    /// What the source has, and what of it becomes which column.
    fn look(&self, fill: &Fill<'_>, slices: &[Slice], state: &State, existing: Option<&Schema>) -> Result<Surveyed> {
        if let Some(error) = other_watermark(self.pipeline, state) {
            return Err(error);
        }
        if let Some(changed) = changed_settings(self.pipeline, state) {
            self.warn(changed);
        }
        let reading = |slice: &Slice| Reading {
            slice: slice.clone(),
            skip_rows: 0,
            // Of what was rejected of it before, some may not be read this time.
            known: true,
            heals: false,
            replace: false,
            entry: None,
            wanted: None,
        };
        let readings: Vec<Reading> = slices.iter().map(reading).collect();
        let (schemas, survey) = self.schemas(&readings, state, existing, Some(fill.column))?;
        if schemas.target.get(fill.column).is_none() {
            let code = if fill.options.column.is_some() { Code::BadArgument } else { Code::TableShape };
            return Err(Error::new(
                code,
                format!("nothing is to be filled along {:?}: the table has no such column", fill.column),
            )
            .state("nothing was written")
            .help(wording::suggest(fill.column, "its columns are", &schemas.target.names())));
        }
        self.needed(&schemas, &by_file::of(&readings, &survey))?;
        self.shaped(&schemas.target);
        Ok(Surveyed { readings, schemas, survey })
    }

    /// Whether the destination can hold the table, as a run would ask.
    fn fits(&self, surveyed: &Surveyed, begun: bool) -> Result<()> {
        let target = &surveyed.schemas.target;
        names::check(target, self.can)?;
        let text = if begun { None } else { names::ordered_text(self.pipeline, target) };
        if let Some(error) = text.or_else(|| names::refused_type(self.pipeline, target)) {
            return Err(error);
        }
        if begun {
            surveyed.schemas.changes.iter().for_each(|change| self.warn(self.told(change)));
        }
        Ok(())
    }

    /// Units of an `append` as far as the source's open transactions leave them settled.
    fn settled(&self, ground: &Ground<'_>, units: &[Unit]) -> Vec<Unit> {
        let settled = ground.before_horizon(units.to_vec());
        if settled.last() != units.last() {
            self.warn(
                "transactions that are open in the source may still commit rows there: what lies beyond them waits for the \
                 next backfill or run"
                    .into(),
            );
        }
        settled
    }

    fn movement(&self, state: &State) -> Option<WatermarkMove> {
        let spec = self.pipeline.watermark.as_ref()?;
        Some(crate::load::movement(&spec.column, state.watermark.as_ref()))
    }

    /// What is known of the axis.
    fn ground<'g>(
        &'g self,
        fill: &'g Fill<'g>,
        surveyed: &Surveyed,
        state: &State,
        entries: Vec<IntervalEntry>,
        run: &RunRecord,
    ) -> Result<Ground<'g>> {
        let column = surveyed.schemas.target.get(fill.column);
        let data_type = column.ok_or_else(|| Error::internal("an axis without a type"))?.data_type;
        let horizon = surveyed.survey.horizon.as_ref();
        let horizon = horizon.map(|h| Value::parse(&h.to_string(), data_type).unwrap_or(Value::Null));
        let mut ground = Ground::new(self, fill, data_type, state, entries, horizon, run.started_at)?;
        ground.extent = self.extent(fill, surveyed, data_type)?;
        Ok(ground)
    }

    /// The lowest and the highest value that the source has there, where that can be told.
    fn extent(
        &self,
        fill: &Fill<'_>,
        surveyed: &Surveyed,
        data_type: floodmark_core::DataType,
    ) -> Result<Option<Extent>> {
        if self.pipeline.transform.is_some() {
            return Ok(None);
        }
        let name = names::source_name(self.pipeline, fill.column);
        if let Some(extent) = self.source.extent(name, data_type, &self.engine.stop)? {
            return Ok(Some(extent));
        }
        groups::extent(self.source, surveyed.readings.iter().map(|r| &r.slice), name, data_type, &self.engine.stop)
            .map(Some)
    }

    /// What a transaction without rows writes.
    fn still(&self, state: &State, schemas: &Schemas, watermark: Option<Mark>, run: &RunRecord) -> Commit {
        Commit {
            schema: schemas.target.clone(),
            source_schema: schemas.source.clone(),
            watermark,
            pending: state.pending.clone(),
            boundary: BoundaryChange::default(),
            files: Vec::new(),
            reread: Vec::new(),
            skimmed: Vec::new(),
            replayed: Vec::new(),
            settings: settings_of_part(self.pipeline, state, &schemas.target, &run.run, self.engine.clock.now()),
            intervals: Vec::new(),
            absorbed: Vec::new(),
            run: RunRecord { status: "partial".into(), ..run.clone() },
        }
    }

    fn load_still(&self, session: &mut dyn Session, schemas: &Schemas, commit: Commit, run: &RunRecord) -> Result<()> {
        let plan = LoadPlan {
            target: self.target(schemas, &schemas.changes, run),
            replace: Vec::new(),
            lineage: false,
            forget: false,
            full: false,
            ordered: true,
            within: None,
        };
        session.load(&plan, &mut Still { commit: Some(commit) }).map(drop)
    }

    fn target<'t>(
        &'t self,
        schemas: &'t Schemas,
        changes: &'t [floodmark_core::schema::Change],
        run: &'t RunRecord,
    ) -> Target<'t> {
        Target {
            pipeline: self.pipeline,
            schema: &schemas.target,
            changes,
            version: self.pipeline.version.as_deref().and_then(|v| schemas.target.get(v)).map(|c| c.data_type),
            now: i128::from(run.started_at.timestamp_micros()) * 1000,
            run: &run.run,
        }
    }
}
