//! One run of one pipeline, from lock to receipt.

use crate::{
    attempt::Rows,
    by_file::{self, FileColumns},
    extract::{Extract, Item},
    load::{Chunks, Parts, logical, movement, record},
    names,
    plan::{self, Known, Plan, Reading},
    preview::Preview,
    prove::disorder::Disorder,
    reach,
    shape::Shaper,
};
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_connect::{
    Capabilities, LoadPlan, Range, Session, Slice, Source, Stop, Survey, Target,
    crash::{self, Point},
};
use floodmark_core::{
    Code, Counts, DataType, Error, Result, Schema, Value,
    clock::{SharedClock, SystemClock},
    event::{Event, Observer, Silent},
    pipeline::{CursorNulls, LateRows, Load, Pipeline, SchemaPolicy},
    reshaping::{RESHAPINGS, note},
    schema::{Change, evolve},
    state::{BEGAN, Mark, RESHAPED, RunRecord, SOURCE, Settings, State, WatermarkMove},
    watermark::{Bounds, bounds},
    wording,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a run may be told beside its pipeline.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// How long to wait for another run of the pipeline: `Some(ZERO)` not at all, `None` for ever.
    pub wait: Option<Duration>,
    /// Forget state and rows first, in the same transaction as the load.
    pub full_refresh: bool,
    /// Take rows from the source in batches of at most so many, so that small chunks can be committed of a small source.
    pub batch_rows: Option<usize>,
    /// The source holds rejected rows of an earlier run.
    pub replay: Option<Replay>,
    /// Run only while this is the newest run in the pipeline's ledger (empty: while there is none): else somebody who decided
    /// the same was quicker, and the run is busy. Looked at under the pipeline's lock.
    pub newest: Option<String>,
}

/// Rejected rows that go through their pipeline once more, all in one transaction.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The slice they came from: what becomes of them is put down to it.
    pub slice: String,
    /// Their numbers; they are dropped with the commit that loads the rows, or rejects them anew.
    pub rejects: Vec<i64>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It loaded what there was.
    Ok,
    /// There was nothing to load.
    NothingNew,
    /// It failed; see the error.
    Failed,
    /// Another run holds the pipeline.
    Busy,
}

impl Status {
    /// As in `--format json`.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::NothingNew => "nothing_new",
            Status::Failed => "failed",
            Status::Busy => "busy",
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The pipeline.
    pub pipeline: String,
    /// The run's id; empty where there was none.
    pub run: String,
    /// How it ended.
    pub status: Status,
    /// The load strategy; `None` where it did not come to that: the settings of the pipeline cannot be run.
    pub load: Option<Load>,
    /// Rows by outcome, of what was committed.
    pub counts: Counts,
    /// How the watermark moved, where there is one.
    pub watermark: Option<WatermarkMove>,
    /// Wall time.
    pub elapsed: Duration,
    /// Why it failed or is busy.
    pub error: Option<Error>,
}

impl Outcome {
    /// Of a pipeline that could not be run at all.
    pub fn refused(pipeline: String, error: Error) -> Self {
        Outcome {
            pipeline,
            run: String::new(),
            status: Status::Failed,
            load: None,
            counts: Counts::default(),
            watermark: None,
            elapsed: Duration::ZERO,
            error: Some(error),
        }
    }
}

/// Runs pipelines. Clock, observer and stop request are injected.
#[derive(Clone)]
pub struct Engine {
    /// Time and ids.
    pub clock: SharedClock,
    /// Who is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Set by a signal.
    pub stop: Stop,
}

impl Default for Engine {
    fn default() -> Self {
        Engine { clock: Arc::new(SystemClock), observer: Arc::new(Silent), stop: Stop::default() }
    }
}

impl Engine {
    /// Runs one pipeline to its end. Never panics; an error is part of the outcome.
    pub fn run(&self, pipeline: &Pipeline, options: &RunOptions) -> Outcome {
        let how = options.batch_rows.map(|rows| Disorder { cut: Some(rows), ..Disorder::default() });
        self.run_in(how, pipeline, options)
    }

    /// Runs one pipeline over rows that the caller hands over, whatever its source is said to be. After a lost server they
    /// are read once more; a source that cannot do that says so.
    pub fn run_handed(&self, source: &dyn Source, pipeline: &Pipeline, options: &RunOptions) -> Outcome {
        self.run_from(&Rows::Handed(source), pipeline, options)
    }

    /// The same, with the source in disorder.
    pub(crate) fn run_in(&self, how: Option<Disorder>, pipeline: &Pipeline, options: &RunOptions) -> Outcome {
        self.run_from(&Rows::Own(how), pipeline, options)
    }

    fn run_from(&self, rows: &Rows<'_>, pipeline: &Pipeline, options: &RunOptions) -> Outcome {
        self.outcome(pipeline, |run| {
            self.locked(pipeline, options, rows, run)?;
            crash::reached(Point::Released)
        })
    }

    /// What became of `work`, which fills in the record of its run.
    pub(crate) fn outcome(&self, pipeline: &Pipeline, work: impl FnOnce(&mut RunRecord) -> Result<()>) -> Outcome {
        let began = Instant::now();
        let mut run = record(pipeline, &self.clock.run_id(), self.clock.now());
        self.observer.observe(&Event::Started { pipeline: pipeline.name.clone(), run: run.run.clone() });
        let result = work(&mut run);
        let (status, error) = match result {
            Ok(()) if run.counts.changed() || run.counts.rejected > 0 => (Status::Ok, None),
            Ok(()) => (Status::NothingNew, None),
            Err(error) if error.code() == Code::Busy => (Status::Busy, Some(error)),
            Err(error) => (Status::Failed, Some(error)),
        };
        self.observer.observe(&Event::Finished { pipeline: pipeline.name.clone() });
        Outcome {
            pipeline: pipeline.name.clone(),
            run: run.run,
            status,
            load: Some(pipeline.load),
            counts: run.counts,
            watermark: run.watermark,
            elapsed: began.elapsed(),
            error,
        }
    }
}

/// Combinations that only the engine knows to be unsafe; `config` finds the others with their place in the file.
pub(crate) fn unsafe_combinations(pipeline: &Pipeline) -> Result<()> {
    let table = &pipeline.destination.table;
    if ["_floodmark_", "sqlite_"].iter().any(|own| table.to_ascii_lowercase().starts_with(own)) {
        return Err(Error::new(Code::Unsafe, format!("a table cannot be called {table:?}"))
            .state("nothing was written")
            .help("names that begin with _floodmark_ or sqlite_ are kept: choose another"));
    }
    let refuse =
        |what: &str, help: &str| Err(Error::new(Code::Unsafe, what.to_owned()).state("nothing was written").help(help));
    let Some(watermark) = &pipeline.watermark else {
        let again = pipeline.load == Load::Append && !pipeline.at_least_once && pipeline.source.files().is_none();
        return match again {
            true => refuse(
                "an `append` cannot tell the rows of a table or query that it loaded from new ones",
                "name a column that grows as `watermark`, or give the pipeline a key and `load: upsert`",
            ),
            false => Ok(()),
        };
    };
    if pipeline.load == Load::Append && watermark.lookback.is_some() {
        return refuse(
            "`append` cannot re-read rows behind the watermark: it has no key to recognise them by",
            "give the pipeline a key and `load: upsert`, or leave `lookback` out",
        );
    }
    if pipeline.load == Load::Append && watermark.nulls == CursorNulls::Include {
        return refuse(
            "`append` cannot recognise rows without a watermark value when it reads their file again",
            "give the pipeline a key and `load: upsert`, or set `nulls: exclude`",
        );
    }
    Ok(())
}

/// The stored watermark is of another column than the pipeline's.
pub(crate) fn other_watermark(pipeline: &Pipeline, state: &State) -> Option<Error> {
    let now = &pipeline.watermark.as_ref()?.column;
    let mark = state.watermark.as_ref().filter(|mark| mark.column != *now)?;
    let message = format!("the stored watermark is of column {:?}, and the pipeline now names {now:?}", mark.column);
    Some(
        Error::new(Code::Unsafe, message)
            .help(format!("begin anew with `floodmark state reset {}` or `--full-refresh`", pipeline.name)),
    )
}

/// A run that holds its pipeline's lock.
pub(crate) struct Work<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) options: &'a RunOptions,
    pub(crate) source: &'a dyn Source,
    pub(crate) can: Capabilities,
}

/// Schemas of a run: how the source is read, what the table becomes.
pub(crate) struct Schemas {
    pub(crate) read_as: Schema,
    pub(crate) source: Option<Schema>,
    /// The columns rows arrive with, under the table's names.
    arriving: Schema,
    pub(crate) target: Schema,
    pub(crate) changes: Vec<Change>,
}

impl Work<'_> {
    pub(crate) fn warn(&self, message: String) {
        self.engine.observer.observe(&Event::Warning { pipeline: self.pipeline.name.clone(), message });
    }

    pub(crate) fn shaped(&self, table: &Schema) {
        let event = Event::Shaped { pipeline: self.pipeline.name.clone(), table: table.clone() };
        self.engine.observer.observe(&event);
    }

    /// A change of the loaded table, said before it is made.
    pub(crate) fn told(&self, change: &Change) -> String {
        let table = &self.pipeline.destination.table;
        match change {
            Change::Add(column) => {
                format!("table {table:?} gets a new column, {:?} of type {}", column.name, column.data_type)
            }
            Change::Widen { name, from, to } => {
                let text = match to {
                    DataType::Decimal(..) if !self.can.decimal => {
                        "; this database keeps decimals as text: compare them with CAST(… AS REAL), or give the column \
                         a type under `columns:`"
                    }
                    _ => "",
                };
                format!("column {name:?} of table {table:?} becomes {to}, and was {from}{text}")
            }
        }
    }

    /// The state this run starts from: none at all on a full refresh, and where the table it speaks of is gone.
    pub(crate) fn state(&self, session: &dyn Session, existing: Option<&Schema>) -> State {
        let state = session.state();
        let fresh = State { token: state.token, ..State::default() };
        if self.options.full_refresh {
            return fresh;
        }
        let table = &self.pipeline.destination.table;
        match &state.table {
            Some(before) if before != table => {
                self.warn(format!(
                    "the pipeline loaded table {before:?} before; {table:?} is loaded from the beginning. If that was a \
                     pipeline of the same name in another project, rename one of the two: they share their state"
                ));
                fresh
            }
            Some(_) if existing.is_none() => {
                self.warn(format!("table {table:?} is gone; it is loaded from the beginning"));
                fresh
            }
            _ => state.clone(),
        }
    }

    /// `preview` is told what is read, where somebody wants to know.
    pub(crate) fn run(
        &self,
        session: &mut dyn Session,
        slices: Vec<Slice>,
        run: &mut RunRecord,
        mut preview: Option<&mut Preview>,
    ) -> Result<()> {
        let existing = session.table(&self.pipeline.destination.table)?;
        let mut state = self.state(session, existing.as_ref());
        if let Some(error) = other_watermark(self.pipeline, &state) {
            return Err(error);
        }
        if let Some(spec) = &self.pipeline.watermark {
            run.watermark = Some(movement(&spec.column, state.watermark.as_ref()));
        }
        // A replay goes by settings of its own.
        let changed = changed_settings(self.pipeline, &state).filter(|_| self.options.replay.is_none());
        // Where every run reads and judges everything, this one does so by the new settings.
        if let Some(changed) = changed.as_ref().filter(|_| !self.pipeline.full_read()) {
            self.warn(changed.clone());
        }
        let there = slices.len();
        let replay = self.options.replay.as_ref();
        let Plan { mut readings, touched } = match replay {
            None => {
                let known = Known { state: &state, rejected: &session.rejected()?, other_settings: changed.is_some() };
                plan::plan(self.pipeline, self.source, slices, &known, &self.engine.stop)?
            }
            Some(_) => plan::replay(self.pipeline, slices, &state)?,
        };
        let by_file = self.source.files().is_some();
        if let Some(preview) = preview.as_mut().filter(|_| by_file) {
            preview.planned(there, &readings, &state);
        }
        crash::reached(Point::Planned)?;
        if readings.is_empty() {
            if let Some(schema) = &state.schema {
                self.shaped(schema);
                session.goes_on(self.pipeline)?;
            }
            // An attempt before this one may have committed all there was.
            run.status = if run.counts.changed() { "ok" } else { "nothing_new" }.into();
            run.finished_at = Some(self.engine.clock.now());
            return session.record(run, &touched);
        }
        if self.pipeline.destination.url.in_memory() {
            self.warn(format!(
                "{} is a database in memory: its tables and its state are gone when this run ends; name a file to keep \
                 them, such as sqlite:///warehouse.db",
                self.pipeline.destination.url
            ));
        }
        if self.pipeline.at_least_once {
            self.warn("`append: at_least_once` adds every row again on every run".to_owned());
        }
        // Rows of a table have no place at which a load could go on: it is read from its beginning.
        if !by_file {
            state.pending = None;
        } else if let Some(stale) = self.settle_pending(&mut state, &readings) {
            self.warn(stale);
        }

        let (schemas, survey) = self.schemas(&readings, &state, existing.as_ref(), None)?;
        if let Some(table) = &survey.table {
            same_table(self.pipeline, &mut state, table)?;
        }
        let planned: u64 = survey.slices.iter().map(|(rows, _)| rows).sum();
        let previewed = preview.is_some();
        if let Some(preview) = preview {
            preview.surveyed(&survey.slices);
        }
        if schemas.read_as.columns.is_empty() && schemas.target.columns.is_empty() && planned > 0 {
            return Err(self.first_bad_row(&readings, &schemas.read_as)?);
        }
        // A program may have no rows yet, and cannot tell then what columns they would have.
        let nothing = !by_file && planned == 0 && schemas.target.columns.is_empty();
        if nothing && !self.pipeline.full_read() {
            run.status = "nothing_new".into();
            run.finished_at = Some(self.engine.clock.now());
            return session.record(run, &touched);
        }
        names::check(&schemas.target, self.can)?;
        // Rejected rows may be few and broken: what one of them lacks makes it bad again, and no other.
        if replay.is_none() {
            self.needed(&schemas, &by_file::of(&readings, &survey))?;
        }
        // A table that is loaded goes on as it began, and one that its owner made has the types he gave it.
        let begun = state.schema.is_some() || (existing.is_some() && !self.options.full_refresh);
        let text = if begun { None } else { names::ordered_text(self.pipeline, &schemas.target) };
        if let Some(error) = text.or_else(|| names::refused_type(self.pipeline, &schemas.target)) {
            return Err(error);
        }
        for unused in names::unused(self.pipeline, &schemas.target) {
            self.warn(format!("{}: {}", unused.message(), unused.advice().join("; ")));
        }
        if !previewed && begun {
            schemas.changes.iter().for_each(|change| self.warn(self.told(change)));
        }
        if let Some(emptied) = emptied(self.pipeline, &schemas).filter(|_| begun && replay.is_none()) {
            self.warn(emptied);
        }
        self.shaped(&schemas.target);
        let type_of = |name: &str| schemas.target.get(name).map(|c| c.data_type);
        let append = self.pipeline.load == Load::Append;
        let bounds = match &self.pipeline.watermark {
            None => None,
            Some(spec) => {
                let data_type = type_of(&spec.column).filter(|_| !spec.hidden);
                let data_type = data_type.or(spec.hidden.then_some(DataType::BigInt));
                let data_type = data_type.ok_or_else(|| Error::internal("a watermark without a type"))?;
                state.watermark = restate(state.watermark.take(), data_type)?;
                state.pending = restate(state.pending.take(), data_type)?;
                let stored = state.watermark.as_ref().map(|m| &m.value);
                Some((bounds(spec, stored, data_type, run.started_at)?, data_type))
            }
        };
        let range = bounds.as_ref().and_then(|(bounds, _)| self.range(bounds, &readings));
        if let Some((bounds, data_type)) = bounds.as_ref().filter(|_| by_file && replay.is_none()) {
            let stored = state.watermark.as_ref().map(|mark| &mark.value);
            for reading in &mut readings {
                reading.wanted = reach::wanted(self.pipeline, bounds, *data_type, stored, reading);
            }
        }
        let horizon = bounds.as_ref().and_then(|(_, data_type)| horizon(&survey, *data_type));
        if let Some(held) = &survey.held {
            self.warn(held.clone());
        }
        let shaper = Shaper::new(
            self.pipeline,
            &schemas.target,
            self.can,
            bounds,
            state.watermark.as_ref(),
            state.pending.as_ref(),
            horizon,
        )?;
        self.engine.observer.observe(&Event::Planned {
            pipeline: self.pipeline.name.clone(),
            slices: readings.len(),
            rows: by_file.then(|| planned - readings.iter().map(|r| r.skip_rows).sum::<u64>().min(planned)),
        });
        crash::reached(Point::Surveyed)?;
        // Rows of an append that may yet be refused, or that must be told from those at the stored watermark.
        let append_after = append && self.pipeline.watermark.is_some() && state.watermark.is_some();
        let late_refused = self.pipeline.late_rows() == LateRows::Fail && state.watermark.is_some();
        // Between chunks a reader would miss the rows a reload takes out, and so would the table after a failure.
        let reloads = readings.iter().any(|r| r.replace);
        // A run that goes on after a kill knows how many rows of a file are in, not that it had been loaded before.
        let known = readings.iter().any(|r| r.known);
        // Rows of a table have no place from which a load could go on, nor an order by which a part of it comes first.
        let whole = self.pipeline.whole()
            || !by_file
            || append_after
            || late_refused
            || reloads
            || known
            || replay.is_some()
            || self.options.full_refresh;
        let lineage = append && self.pipeline.transform.is_none() && !self.pipeline.at_least_once && by_file;

        std::thread::scope(|scope| {
            let extract = Extract {
                pipeline: self.pipeline,
                source: self.source,
                readings: &readings,
                read_as: &schemas.read_as,
                range: range.as_ref(),
                readers: 0,
                stop: &self.engine.stop,
            };
            let mut chunks = Chunks::new(Parts {
                pipeline: self.pipeline,
                readings: &readings,
                surveyed: &survey.slices,
                items: extract.start(scope)?,
                shaper,
                schema: &schemas.target,
                // What a transform made is replayed without it, and says nothing of the source.
                source_schema: schemas.source.as_ref().or(state.source_schema.as_ref().filter(|_| replay.is_some())),
                replay,
                state: state.clone(),
                record: run.clone(),
                observer: self.engine.observer.as_ref(),
                clock: self.engine.clock.clone(),
                whole,
                lineage,
                by_file,
                from: range.as_ref().and_then(|range| range.bounds.from.clone()),
                receipts: None,
            });
            let mut first = true;
            while !chunks.done {
                let target = Target {
                    pipeline: self.pipeline,
                    schema: &schemas.target,
                    changes: if first { &schemas.changes } else { &[] },
                    version: self.pipeline.version.as_deref().and_then(type_of),
                    now: i128::from(logical(run.started_at, &state).timestamp_micros()) * 1000,
                    run: &run.run,
                };
                let plan = LoadPlan {
                    target,
                    replace: if first { replaced(&readings) } else { Vec::new() },
                    lineage,
                    forget: first && self.options.full_refresh,
                    full: self.pipeline.full_read(),
                    ordered: self.source.ordered(),
                    within: None,
                };
                session.load(&plan, &mut chunks)?;
                run.clone_from(chunks.record());
                crash::reached(Point::Committed)?;
                chunks.committed();
                first = false;
            }
            Ok::<(), Error>(())
        })?;
        if !touched.is_empty() {
            session.record(run, &touched)?;
        }
        Ok(())
    }

    /// The part of the cursor's axis that the source need not look beyond. Behind a transform the cursor is another's, and
    /// a file never seen before may hold rows of any.
    fn range(&self, bounds: &Bounds, readings: &[Reading]) -> Option<Range> {
        let spec = self.pipeline.watermark.as_ref()?;
        let told = self.source.files().is_none() && (self.pipeline.transform.is_none() || spec.hidden);
        (told && readings.iter().all(|r| !r.heals)).then(|| Range {
            column: names::source_name(self.pipeline, &spec.column).to_owned(),
            bounds: bounds.clone(),
            nulls: spec.nulls != CursorNulls::Exclude,
        })
    }

    /// Rows, and none of them good enough to name a column: what is wrong with the first.
    fn first_bad_row(&self, readings: &[Reading], read_as: &Schema) -> Result<Error> {
        std::thread::scope(|scope| {
            let (pipeline, source, stop) = (self.pipeline, self.source, &self.engine.stop);
            let mut items =
                Extract { pipeline, source, readings, read_as, range: None, readers: 0, stop }.start(scope)?;
            while let Some(item) = items.next()? {
                if let Item::Rows { bad, .. } | Item::Read { bad, .. } = item
                    && let Some(row) = bad.into_iter().next()
                {
                    return Ok(row.error.state("nothing was written"));
                }
            }
            Err(Error::internal("rows without columns, and none of them bad"))
        })
    }

    /// An unfinished load whose file changed is no longer resumed: what it had reached counts for nothing.
    fn settle_pending(&self, state: &mut State, readings: &[Reading]) -> Option<String> {
        let resumed = readings.iter().any(|r| r.skip_rows > 0);
        let changed =
            readings.iter().find(|r| r.skip_rows == 0 && r.entry.as_ref().is_some_and(|e| !e.complete && e.rows > 0));
        let changed = changed.filter(|_| !resumed)?;
        state.pending = None;
        Some(format!("{} changed while its load was interrupted; it is read from its beginning", changed.slice.name))
    }

    /// Surveys the source and settles every column's type. `axis`: the column of the table whose horizon is asked for in the
    /// place of the watermark's.
    pub(crate) fn schemas(
        &self,
        readings: &[Reading],
        state: &State,
        existing: Option<&Schema>,
        axis: Option<&str>,
    ) -> Result<(Schemas, Survey)> {
        let pipeline = self.pipeline;
        let freeze = pipeline.schema == SchemaPolicy::Freeze;
        // A table somebody else made pins its columns' types before the first load does.
        let control = ["valid_from", "valid_to", "is_current", "is_deleted"];
        let pinned = state.schema.clone().or_else(|| {
            let mut schema = existing.cloned()?;
            schema.columns.retain(|c| !control.contains(&c.name.as_str()));
            Some(schema).filter(|_| !self.options.full_refresh)
        });
        let pinned_source = if pipeline.transform.is_some() { state.source_schema.clone() } else { pinned.clone() };
        let slices: Vec<Slice> = readings.iter().map(|r| r.slice.clone()).collect();
        self.engine
            .observer
            .observe(&Event::Surveying { pipeline: pipeline.name.clone(), bytes: slices.iter().map(|s| s.size).sum() });
        let mut request = names::survey_request(pipeline, pinned_source.as_ref());
        request.from = self.reads_from(state);
        if let Some(axis) = axis {
            request.cursor = Some(names::source_name(pipeline, axis).to_owned());
        }
        let survey = self.source.survey(&slices, &request, &self.engine.stop)?;
        let files = by_file::of(readings, &survey);
        if let Some(error) = by_file::unknown_sources(pipeline, &survey.schema, &files).into_iter().next() {
            return Err(error);
        }
        let surveyed = names::rename_all(pipeline, &survey.schema)?;
        let evolved = |pinned: Option<&Schema>, arriving: &Schema| {
            pinned.map_or_else(|| (arriving.clone(), Vec::new()), |pinned| evolve(pinned, arriving))
        };
        // The types to read with: what is pinned, widened where that loses nothing. What still does not fit is a bad row.
        let (read_types, changes) = evolved(pinned_source.as_ref(), &surveyed);
        let read_as = names::read_as(pipeline, &survey.schema, &read_types);
        let schemas = match &pipeline.transform {
            None => Schemas { read_as, source: None, arriving: surveyed, target: read_types, changes },
            Some(transform) => {
                let mut made = floodmark_sql::output_schema(transform, &names::rename_all(pipeline, &read_as)?)?;
                for column in &mut made.columns {
                    column.data_type = names::asked_type(pipeline, &column.name).unwrap_or(column.data_type);
                }
                let (target, changes) = evolved(pinned.as_ref(), &made);
                Schemas { read_as, source: Some(read_types), arriving: made, target, changes }
            }
        };
        // A few rows need not have every column that their files had.
        let spared = |schemas: &Schemas| self.options.replay.is_some() && schemas.changes.is_empty();
        if let Some(pinned) = pinned.as_ref().filter(|_| freeze && !spared(&schemas)) {
            by_file::frozen(pipeline, pinned, &schemas.arriving, &files)?;
        }
        Ok((schemas, survey))
    }

    /// Where a source that makes its rows may begin. `None` where that is the beginning, or behind a transform, whose cursor is
    /// another; what is wrong with the settings is told when the type of the column is known.
    fn reads_from(&self, state: &State) -> Option<Value> {
        if self.pipeline.transform.is_some() {
            return None;
        }
        let (spec, mark) = (self.pipeline.cursor()?, state.watermark.as_ref()?);
        bounds(spec, Some(&mark.value), mark.data_type, self.engine.clock.now()).ok()?.from
    }

    /// Whether every column that the pipeline cannot do without arrives, and with every file.
    pub(crate) fn needed(&self, schemas: &Schemas, files: &[FileColumns<'_>]) -> Result<()> {
        let Schemas { arriving, target, .. } = schemas;
        let missing = by_file::missing(self.pipeline, arriving, files).into_iter().next();
        // A source that has no columns at all has no rows either (`[]`).
        let missing = missing.filter(|_| !arriving.columns.is_empty() || target.columns.is_empty());
        match missing.or_else(|| by_file::lacking(self.pipeline, files).map(|(_, error)| error)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Settings with where runs began: from the `start` there was when the watermark came to be, whatever the file says since.
/// And with when the table's columns changed, and how: rows of before are others since, where a row is its content.
pub(crate) fn begun(
    mut settings: Settings,
    pipeline: &Pipeline,
    state: &State,
    target: &Schema,
    run: &str,
    now: DateTime<Utc>,
) -> Settings {
    let notes = note(state.settings.as_ref(), state.schema.as_ref(), target, run, now);
    settings.extend(notes.map(|notes| (RESHAPINGS.to_owned(), notes)));
    let before = state.settings.as_ref().and_then(|before| before.get(RESHAPED)).cloned();
    let changed = state.schema.as_ref().is_some_and(|schema| schema != target);
    let reshaped = if changed { Some(now.to_rfc3339_opts(SecondsFormat::Millis, true)) } else { before };
    settings.extend(reshaped.map(|at| (RESHAPED.to_owned(), at)));
    let source = state.settings.as_ref().and_then(|before| before.get(SOURCE)).cloned();
    settings.extend(source.map(|source| (SOURCE.to_owned(), source)));
    let Some(spec) = &pipeline.watermark else { return settings };
    let began = match (&state.watermark, &state.settings) {
        (Some(_), Some(before)) => before.get(BEGAN).or_else(|| before.get("start")).cloned(),
        _ => spec.start.clone(),
    };
    settings.insert(BEGAN.to_owned(), began.unwrap_or_default());
    settings
}

/// What a load of a part leaves as settings: those of the last load of all there was, or its own where there was none.
pub(crate) fn settings_of_part(
    pipeline: &Pipeline,
    state: &State,
    target: &Schema,
    run: &str,
    now: DateTime<Utc>,
) -> Option<Settings> {
    let settings = state.settings.clone().unwrap_or_else(|| pipeline.settings());
    Some(begun(settings, pipeline, state, target, run, now))
}

/// Takes note of the source's table, where the watermark is of this one alone; an error where it is of another.
fn same_table(pipeline: &Pipeline, state: &mut State, table: &str) -> Result<()> {
    let settings = state.settings.get_or_insert_with(|| pipeline.settings());
    let before = settings.insert(SOURCE.to_owned(), table.to_owned());
    match before.filter(|before| state.watermark.is_some() && before != table) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Code::SourceRead,
            "the source's table is another one than was loaded: it was made anew since",
        )
        .state("nothing was written; the table and the watermark are as they were")
        .help(
            "what the watermark says of the former table says nothing of this one: load it whole with `--full-refresh`",
        )),
    }
}

/// Settings that are not those of the last load, and what that means.
pub(crate) fn changed_settings(pipeline: &Pipeline, state: &State) -> Option<String> {
    let (before, now) = (state.settings.as_ref()?, pipeline.settings());
    let mut names: Vec<&String> = before
        .keys()
        .chain(now.keys())
        .filter(|name| {
            ![BEGAN, RESHAPED, RESHAPINGS, SOURCE].contains(&name.as_str()) && before.get(*name) != now.get(*name)
        })
        .collect();
    names.sort();
    names.dedup();
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let (has, what) = (wording::verb(names.len() as u64, "has", "have"), names.join(", "));
    (!names.is_empty()).then(|| {
        format!(
            "{what} {has} changed since the last load: rows that were loaded before stay as they are, until `--full-refresh` \
             loads everything again"
        )
    })
}

/// Columns of the table that no row brings, where a row says all of what it replaces.
fn emptied(pipeline: &Pipeline, schemas: &Schemas) -> Option<String> {
    let says_all = matches!(pipeline.load, Load::Overwrite | Load::DeleteInsert);
    let lacks = schemas.target.columns.iter().filter(|c| schemas.arriving.get(&c.name).is_none());
    let names: Vec<String> = lacks.map(|c| format!("{:?}", c.name)).collect();
    let (column, are) =
        (wording::verb(names.len() as u64, "column", "columns"), wording::verb(names.len() as u64, "is", "are"));
    (says_all && !names.is_empty()).then(|| {
        format!("{column} {} of the table {are} not in the source: NULL in every row that is loaded", names.join(", "))
    })
}

fn replaced(readings: &[Reading]) -> Vec<(&str, &floodmark_core::state::FileEntry)> {
    let replace = readings.iter().filter(|r| r.replace);
    replace.filter_map(|r| Some((r.slice.name.as_str(), r.entry.as_ref()?))).collect()
}

/// How far the watermark may move, in its column's type: nowhere, where a transform made another of it.
fn horizon(survey: &Survey, data_type: DataType) -> Option<Value> {
    let horizon = survey.horizon.as_ref()?;
    Some(Value::parse(&horizon.to_string(), data_type).unwrap_or(Value::Null))
}

/// A stored mark in the type its column has now (a date that became a timestamp).
fn restate(mark: Option<Mark>, data_type: DataType) -> Result<Option<Mark>> {
    let Some(mark) = mark else { return Ok(None) };
    if mark.data_type == data_type {
        return Ok(Some(mark));
    }
    let text = mark.value.to_string();
    let value = Value::parse(&text, data_type).ok_or_else(|| {
        Error::new(
            Code::Unsafe,
            format!("the stored watermark {text} is a {}, and the column is now {data_type}", mark.data_type),
        )
        .help("begin anew with `floodmark state reset` or `--full-refresh`")
    })?;
    Ok(Some(Mark { column: mark.column, data_type, value }))
}
