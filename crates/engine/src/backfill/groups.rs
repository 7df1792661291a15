//! Units in groups: each group is read by several readers at once, and loaded by one transaction.

use super::{
    Done, Fill, Surveyed,
    ground::Ground,
    receipt::{Before, Receipts, Unit},
    tally::{Tally, number},
};
use crate::{
    extract::{Extract, Items},
    load::{Chunks, Parts},
    names,
    run::Work,
    shape::Shaper,
};
use arrow::array::{Array, ArrayRef};
use floodmark_connect::{
    LoadPlan, Range, ReadPlan, Session, Slice, Source, Stop,
    crash::{self, Point},
    destination::Within,
    source::Extent,
};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema, Value,
    event::Event,
    interval::Interval,
    pipeline::{CursorNulls, Load, Pipeline},
    state::RunRecord,
    watermark::Bounds,
};
use std::thread;

/// The most units of one transaction.
const MOST: usize = 10_000;

/// Units that are loaded in the same way.
pub(super) struct Pass<'p, 'w> {
    pub(super) work: &'p Work<'w>,
    pub(super) fill: &'p Fill<'p>,
    pub(super) surveyed: &'p Surveyed,
    /// Under the pipeline's own lock.
    pub(super) held: bool,
    pub(super) done: &'p mut Done,
    /// Rows of a unit, by those that were loaded.
    pub(super) rows_each: Option<f64>,
}

impl Pass<'_, '_> {
    /// Loads the units in order. `last`: nothing comes after them.
    pub(super) fn load(
        &mut self,
        session: &mut dyn Session,
        ground: &mut Ground<'_>,
        units: &[Unit],
        last: bool,
        run: &mut RunRecord,
    ) -> Result<()> {
        let mut at = 0;
        while at < units.len() {
            at += self.group(session, ground, units, at, last, run)?;
        }
        Ok(())
    }

    /// Loads the next units, from the one at `at` on: as many as one transaction takes, or one of them in parts. Returns how
    /// many.
    pub(super) fn group(
        &mut self,
        session: &mut dyn Session,
        ground: &mut Ground<'_>,
        units: &[Unit],
        at: usize,
        last: bool,
        run: &mut RunRecord,
    ) -> Result<usize> {
        let Some(first) = units.get(at) else { return Ok(0) };
        self.work.engine.stop.check()?;
        // Rows of a unit as far as it can be told; the next group goes by what came.
        let rows_each = match self.rows_each {
            Some(each) => Some(each),
            None => self.estimate(ground, units),
        };
        let most = self.work.pipeline.commit_every as f64;
        let mut several = rows_each.map_or(1, |each| (most / each.max(0.001)) as usize);
        // The source may be read through for another transaction: that saves little after a kill if only a few rows are left.
        if units.len() - at <= several + several / 2 {
            several = units.len() - at;
        }
        let group = self.alike(&units[at..], several);
        let parts = if group.len() == 1 { self.parts(ground, first, rows_each)? } else { Vec::new() };
        let before = run.counts.read - run.counts.skipped;
        match parts.len() {
            0 | 1 => {
                self.tell(ground, &first.interval);
                self.transaction(session, ground, group, last && at + group.len() == units.len(), run)?;
            }
            count => {
                for (n, part) in parts.iter().enumerate() {
                    let last = last && at + 1 == units.len() && n + 1 == count;
                    self.tell(ground, &part.interval);
                    self.transaction(session, ground, std::slice::from_ref(part), last, run)?;
                }
            }
        }
        self.done.loaded += group.len();
        self.done.open += group.iter().filter(|unit| ground.is_open(&unit.interval)).count();
        let came = (run.counts.read - run.counts.skipped - before) as f64 / group.len() as f64;
        self.rows_each = Some(rows_each.map_or(came, |each| each.max(came)));
        Ok(group.len())
    }

    /// Says what is loaded next.
    fn tell(&self, ground: &Ground<'_>, interval: &Interval) {
        self.work.engine.observer.observe(&Event::Filling {
            pipeline: self.work.pipeline.name.clone(),
            from: ground.axis.shown(&interval.from),
            until: ground.axis.shown(&interval.until),
            done: self.done.loaded as u64,
            intervals: self.done.units as u64,
        });
    }

    /// How many of the units, from the first on, may share a transaction: at most `several`.
    fn alike<'u>(&self, units: &'u [Unit], several: usize) -> &'u [Unit] {
        let pipeline = self.work.pipeline;
        // Where a part of the table is replaced, that there is nothing to replace it with is said of each.
        let most = match pipeline.load {
            Load::DeleteInsert if !pipeline.window.is_empty() => 1,
            _ => several.clamp(1, MOST),
        };
        // What is read is all that lies between the first and the last of them.
        let joined = |pair: &&[Unit]| pair[0].interval.until == pair[1].interval.from;
        let run = 1 + units.windows(2).take_while(joined).count();
        &units[..most.min(run).min(units.len())]
    }

    /// Rows of a unit, were they spread evenly over all the source holds.
    fn estimate(&self, ground: &Ground<'_>, units: &[Unit]) -> Option<f64> {
        let Some(Some((lowest, highest))) = &ground.extent else { return None };
        let all: u64 = self.surveyed.survey.slices.iter().map(|(rows, _)| rows).sum();
        let unit = &units.first()?.interval;
        let length = |from: &Value, to: &Value| Some((number(to).ok()? - number(from).ok()?) as f64);
        let share = length(&unit.from, &unit.until)? / (length(lowest, highest)? + 1.0);
        (self.work.source.files().is_none() && all > 1).then(|| all as f64 * share.min(1.0))
    }

    /// A unit that is too large for a transaction, in parts of as many rows as one takes: the parts have receipts of their
    /// own, so that after a kill it goes on behind the last of them. Where nothing says how large it is, that is looked at.
    fn parts(&self, ground: &Ground<'_>, unit: &Unit, rows: Option<f64>) -> Result<Vec<Unit>> {
        let pipeline = self.work.pipeline;
        let every = pipeline.commit_every;
        let large = rows.is_none_or(|rows| rows > 1.5 * every as f64);
        let plain = pipeline.transform.is_none() && self.work.source.sorts();
        if !large || !plain || pipeline.whole() {
            return Ok(Vec::new());
        }
        let name = names::source_name(pipeline, self.fill.column);
        let plan = ReadPlan {
            schema: Schema { columns: vec![Column::new(name, ground.axis.data_type)] },
            range: Some(self.range(&unit.interval)),
            sorted: true,
            ..ReadPlan::default()
        };
        let (mut parts, mut from, mut met) = (Vec::new(), unit.interval.from.clone(), 0);
        for reading in &self.surveyed.readings {
            for batch in self.work.source.read(&reading.slice, &plan, &self.work.engine.stop)? {
                let batch = batch?.rows;
                let rows = batch.num_rows() as u64;
                // Where in the batch the next part begins, were all rows of this one before it: there may be several.
                let mut at = every - met;
                while at < rows {
                    let end = Value::from_array(batch.column(0).as_ref(), at as usize, ground.axis.data_type)?;
                    let part = Interval::new(from.clone(), end.clone());
                    if let Some(part) = part.filter(|part| part.common(&unit.interval).as_ref() == Some(part)) {
                        parts.push(Unit { whole: unit.whole.clone(), ..ground.unit(part) });
                        from = end;
                    }
                    at += every;
                }
                met = every - (at - rows);
            }
        }
        let rest = Interval::new(from, unit.interval.until.clone());
        parts.extend(rest.map(|rest| Unit { whole: unit.whole.clone(), ..ground.unit(rest) }));
        Ok(parts)
    }

    /// Whether units are in with one commit or not at all. Rows that come in no order, of which any may be the last of its
    /// unit, are committed a part at a time, where loading them again changes nothing; they stay open until the last.
    fn is_whole(&self) -> bool {
        self.work.pipeline.whole() || self.work.source.sorts()
    }

    /// An interval as the source is asked for it.
    fn range(&self, interval: &Interval) -> Range {
        Range {
            column: names::source_name(self.work.pipeline, self.fill.column).to_owned(),
            bounds: Bounds {
                from: Some(interval.from.clone()),
                exclusive: false,
                until: None,
                before: Some(interval.until.clone()),
            },
            nulls: false,
        }
    }

    /// Whether the source finds a range by itself, so that it costs nothing to read less at a time.
    fn divides(&self, ground: &Ground<'_>) -> Result<bool> {
        let name = names::source_name(self.work.pipeline, self.fill.column);
        self.work.source.divides(name, ground.axis.data_type, &self.work.engine.stop)
    }

    /// What is read at the same time: the span of the units, in as many parts as there are jobs.
    fn ranges(&self, ground: &Ground<'_>, units: &[Unit]) -> Result<Vec<Range>> {
        let (Some(first), Some(last)) = (units.first(), units.last()) else { return Ok(Vec::new()) };
        let (from, until) = (number(&first.interval.from)?, number(&last.interval.until)?);
        // Beyond what the source holds there is nothing to share out.
        let (low, high) = match &ground.extent {
            Some(Some((lowest, highest))) => (number(lowest)?.clamp(from, until), number(highest)?.clamp(from, until)),
            _ => (from, until),
        };
        let data_type = ground.axis.data_type;
        let jobs = match self.divides(ground)? {
            true => self.fill.options.jobs.max(1) as i128,
            false => 1,
        };
        // A moment between two that the source can tell apart would be of both parts.
        let least = match data_type {
            DataType::Timestamp { .. } | DataType::TimestampTz { .. } => 1000,
            _ => 1,
        };
        let mut ends: Vec<i128> =
            (1..jobs).map(|n| (low + (high - low) / jobs * n).div_euclid(least) * least).collect();
        ends.retain(|end| from < *end && *end < until);
        ends.dedup();
        let mut ranges = Vec::new();
        let mut start = first.interval.from.clone();
        for end in ends.into_iter().filter_map(|end| ground.value(end)).chain([last.interval.until.clone()]) {
            ranges.extend(Interval::new(start, end.clone()).map(|part| self.range(&part)));
            start = end;
        }
        // Rows without a value belong to no part, and are one too many where they are to fail.
        let fails = self.work.pipeline.cursor().is_some_and(|w| w.nulls == CursorNulls::Fail && ground.own);
        ranges.iter_mut().take(1).for_each(|range| range.nulls = fails);
        Ok(ranges)
    }

    fn transaction(
        &mut self,
        session: &mut dyn Session,
        ground: &mut Ground<'_>,
        units: &[Unit],
        last: bool,
        run: &mut RunRecord,
    ) -> Result<()> {
        let (work, pipeline, schemas) = (self.work, self.work.pipeline, &self.surveyed.schemas);
        let (Some(first), Some(end)) = (units.first(), units.last()) else { return Ok(()) };
        let append = pipeline.load == Load::Append;
        if self.held {
            connected(pipeline, ground, &first.interval)?;
        }
        let reaches = (append && self.held).then(|| ground.mark.clone().or_else(|| ground.start.clone()));
        let data_type = ground.axis.data_type;
        let tally = Tally::new(self.fill.column, data_type, units.iter().map(|unit| &unit.interval))?;
        let shaper = Shaper::of_units(pipeline, &schemas.target, work.can, tally, reaches.clone())?;
        let replaces = append || (pipeline.load == Load::DeleteInsert && !pipeline.window.is_empty());
        let span = Interval { from: first.interval.from.clone(), until: end.interval.until.clone() };
        let within = replaces.then(|| Within { column: self.fill.column.to_owned(), interval: span, whole: false });
        // What is loaded once more is not all new yet.
        let kin: Vec<Vec<_>> = match self.fill.options.force {
            true => Vec::new(),
            false => units.iter().map(|unit| ground.kin(unit)).collect(),
        };
        let absorbed = ground.absorbed(units, &kin);
        let before = units
            .iter()
            .map(|unit| ground.before(&unit.interval))
            .fold(Before::default(), |a, b| Before { rows: a.rows + b.rows, reshaped: a.reshaped || b.reshaped });
        let grows = !ground.axis.is_time() && ground.extent.is_none();
        let receipts =
            Receipts { column: self.fill.column, data_type, units, kin, before, absorbed, reaches, grows, last };
        let table = work.source.files().is_none();
        let ranges = self.ranges(ground, units)?;
        // Where ranges cannot be found by themselves, the source is read through once, by several.
        let readers = if ranges.len() > 1 { 1 } else { self.fill.options.jobs };
        thread::scope(|scope| {
            let extract = Extract {
                pipeline,
                source: work.source,
                readings: &self.surveyed.readings,
                read_as: &schemas.read_as,
                range: None,
                readers,
                stop: &work.engine.stop,
            };
            let items: Items<'_, '_> = match table && pipeline.transform.is_none() {
                true => extract.start_several(scope, ranges),
                false => extract.start(scope)?,
            };
            let mut chunks = Chunks::new(Parts {
                pipeline,
                readings: &self.surveyed.readings,
                surveyed: &self.surveyed.survey.slices,
                items,
                shaper,
                schema: &schemas.target,
                source_schema: schemas.source.as_ref(),
                replay: None,
                state: session.state().clone(),
                record: run.clone(),
                observer: work.engine.observer.as_ref(),
                clock: work.engine.clock.clone(),
                whole: self.is_whole(),
                lineage: false,
                by_file: false,
                from: None,
                receipts: Some(receipts),
            });
            while !chunks.done {
                let plan = LoadPlan {
                    target: work.target(schemas, &[], run),
                    replace: Vec::new(),
                    lineage: false,
                    forget: false,
                    full: false,
                    ordered: !table,
                    within: within.clone(),
                };
                session.load(&plan, &mut chunks)?;
                run.clone_from(chunks.record());
                crash::reached(Point::Committed)?;
                chunks.committed();
            }
            Ok::<(), Error>(())
        })?;
        ground.mark = match (&ground.mark, session.state().watermark.as_ref()) {
            (_, Some(mark)) if ground.own => Some(mark.value.clone()),
            (mark, _) => mark.clone(),
        };
        ground.learn(session.intervals(self.fill.column)?);
        Ok(())
    }
}

/// An `append` goes ahead of its watermark with nothing between.
pub(super) fn connected(pipeline: &Pipeline, ground: &Ground<'_>, interval: &Interval) -> Result<()> {
    if pipeline.load != Load::Append || ground.connects(&interval.from) {
        return Ok(());
    }
    let name = &pipeline.name;
    let stands = ground.mark.as_ref().map_or_else(
        || "nothing is loaded yet, and the source holds rows before it".to_owned(),
        |mark| format!("the watermark is {mark}"),
    );
    Err(Error::new(
        Code::Unsafe,
        format!("an `append` cannot load {interval} with a gap before it: {stands}, and its runs would add the same rows again"),
    )
    .state("nothing of it was written")
    .help(format!("begin where it ends, or let `floodmark run {name}` load up to there"))
    .help("with a key and `load: upsert` the order is no matter"))
}

/// The lowest and the highest value of a column, read through.
pub(super) fn extent<'s>(
    source: &dyn Source,
    slices: impl Iterator<Item = &'s Slice>,
    name: &str,
    data_type: DataType,
    stop: &Stop,
) -> Result<Extent> {
    let plan = ReadPlan { schema: Schema { columns: vec![Column::new(name, data_type)] }, ..ReadPlan::default() };
    let mut found: Extent = None;
    for slice in slices {
        for batch in source.read(slice, &plan, stop)? {
            let rows = batch?.rows;
            let Some((low, high)) =
                rows.column_by_name(name).and_then(|array| ends(array, data_type).transpose()).transpose()?
            else {
                continue;
            };
            found = Some(match found {
                None => (low, high),
                Some((lowest, highest)) => (
                    if low.compare(&lowest) == Some(std::cmp::Ordering::Less) { low } else { lowest },
                    if high.compare(&highest) == Some(std::cmp::Ordering::Greater) { high } else { highest },
                ),
            });
        }
    }
    Ok(found)
}

/// The lowest and the highest value of an array.
fn ends(array: &ArrayRef, data_type: DataType) -> Result<Option<(Value, Value)>> {
    let mut found: Option<(Value, Value)> = None;
    for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
        let value = Value::from_array(array.as_ref(), row, data_type)?;
        found = Some(match found {
            None => (value.clone(), value),
            Some((low, high)) if value.compare(&low) == Some(std::cmp::Ordering::Less) => (value, high),
            Some((low, high)) if value.compare(&high) == Some(std::cmp::Ordering::Greater) => (low, value),
            Some(pair) => pair,
        });
    }
    Ok(found)
}
