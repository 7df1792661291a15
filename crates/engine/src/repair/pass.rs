//! What differs, in transactions: one, but where the rows that go and those that come are told apart in different ways.

use super::{
    found::{Found, hash},
    rows::{Place, Rows, Wanted},
    stream::Stream,
    versions::Versions,
};
use crate::{
    cast,
    diff::{Encoder, Paired, Part, Report, Side, columns as read_columns},
    load::logical,
    run::Engine,
    shape::Shaper,
    verify::{Ground, unverified},
};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::Field,
};
use floodmark_connect::{
    Capabilities, LoadPlan, Session, Target,
    crash::{self, Point},
    destination::Within,
    digests::Split,
};
use floodmark_core::{
    Column, Counts, Error, Result, Schema,
    event::Event,
    interval::Interval,
    pipeline::{Load, Pipeline},
    state::{RunRecord, State},
};

/// A repair whose differences are known.
pub(super) struct Mending<'m> {
    pub(super) engine: &'m Engine,
    pub(super) pipeline: &'m Pipeline,
    pub(super) state: &'m State,
    pub(super) ground: &'m Ground<'m>,
    pub(super) report: &'m Report,
    pub(super) found: Found,
    pub(super) can: Capabilities,
    /// Windows that the source no longer holds go, too.
    pub(super) delete_extra: bool,
}

/// One transaction.
struct Pass {
    /// How its rows are merged.
    load: Load,
    /// The part of the table that its rows are all of.
    within: Option<Interval>,
    deletes: Vec<RecordBatch>,
    /// Where its rows are read; `None`: nothing comes.
    place: Option<Place>,
    /// Only rows that are missing come, as often as they are.
    missing: bool,
}

impl Mending<'_> {
    /// Loads what is to be written, and takes out what is to go.
    pub(super) fn load(
        mut self,
        session: &mut dyn Session,
        write: bool,
        delete: bool,
        run: &mut RunRecord,
    ) -> Result<()> {
        let paired = self.found.paired.clone().ok_or_else(|| Error::internal("differences of no columns"))?;
        let passes = self.passes(&paired, write, delete)?;
        let count = passes.len();
        if count == 0 {
            return Err(unverified(
                "the rows that the source does not hold cannot be told from others along any column",
            )
            .help(format!("load the table anew: floodmark run {} --full-refresh", self.pipeline.name)));
        }
        for (at, pass) in passes.into_iter().enumerate() {
            self.engine.stop.check()?;
            self.transaction(session, &paired, pass, at + 1 == count, run)?;
        }
        Ok(())
    }

    fn passes(&mut self, paired: &Paired, write: bool, delete: bool) -> Result<Vec<Pass>> {
        let pipeline = self.pipeline;
        let place = self.place(paired);
        let pass = |load, deletes, place| Pass { load, within: None, deletes, place, missing: false };
        let mut passes = Vec::new();
        if self.ground.keyed {
            let deletes = if delete { self.keys_to_go(paired)? } else { Vec::new() };
            let (load, rows) = (pipeline.load, write.then_some(place));
            match load {
                // A history goes on by its own rule; of other tables the source says what they hold.
                Load::Scd2 => passes.push(pass(load, deletes, rows)),
                Load::InsertOnly => {
                    if !deletes.is_empty() {
                        passes.push(pass(Load::Upsert, deletes, None));
                    }
                    passes.extend(rows.map(|rows| pass(load, Vec::new(), Some(rows))));
                }
                _ => passes.push(pass(Load::Upsert, deletes, rows)),
            }
            return Ok(passes);
        }
        match pipeline.load {
            Load::Overwrite => passes.push(pass(Load::Overwrite, Vec::new(), Some(Place::All(self.range())))),
            Load::DeleteInsert => passes.push(pass(Load::DeleteInsert, Vec::new(), Some(place))),
            _ if write => passes.push(Pass { missing: true, ..pass(pipeline.load, Vec::new(), Some(place)) }),
            _ => {}
        }
        if delete && (pipeline.load == Load::Append || (pipeline.load == Load::DeleteInsert && self.delete_extra)) {
            passes.extend(self.replaced(paired));
        }
        Ok(passes)
    }

    /// Parts of the table that are to hold what the source does and nothing else.
    fn replaced(&self, paired: &Paired) -> Vec<Pass> {
        let Some(axis) = self.report.axis.as_ref().and_then(|axis| paired.pairs.iter().find(|p| p.name == *axis))
        else {
            return Vec::new();
        };
        let end = self.end();
        let intervals = self.found.intervals(&self.report.parts, end.as_ref().map(|(_, value)| value));
        let place = |interval: &Interval| Place::Parts {
            column: axis.left.name.clone(),
            parts: vec![Part { from: Some(interval.from.clone()), until: Some(interval.until.clone()) }],
            nulls: false,
        };
        let load = if self.pipeline.load == Load::Append { Load::Append } else { Load::Overwrite };
        intervals
            .into_iter()
            .map(|interval| Pass {
                load,
                place: Some(place(&interval)),
                within: Some(interval),
                deletes: Vec::new(),
                missing: false,
            })
            .collect()
    }

    /// Where an `append` cannot tell what is loaded from what is not: at its watermark, and behind it.
    fn end(&self) -> Option<(String, floodmark_core::Value)> {
        let spec = self.pipeline.cursor().filter(|_| self.pipeline.load == Load::Append)?;
        let mark = self.state.watermark.as_ref()?;
        Some(((self.ground.comparison.left_name)(&spec.column), mark.value.clone()))
    }

    /// As far as the pipeline has read.
    fn range(&self) -> Option<floodmark_connect::Range> {
        self.ground.comparison.sides[0].range.clone()
    }

    /// Where rows differ, as the source is asked for it.
    fn place(&self, paired: &Paired) -> Place {
        let axis = self.report.axis.as_ref().and_then(|axis| paired.pairs.iter().find(|p| p.name == *axis));
        let Some(pair) = axis else { return Place::All(self.range()) };
        Place::Parts {
            column: pair.left.name.clone(),
            parts: self.report.parts.clone(),
            nulls: self.report.segments.iter().any(|segment| segment.null && segment.counts.all() > 0),
        }
    }

    /// The keys of rows that only the table holds, as the table has them.
    fn keys_to_go(&mut self, paired: &Paired) -> Result<Vec<RecordBatch>> {
        let side = Side::open(&self.ground.comparison.sides[1], false, &self.engine.stop)?;
        let (pairs, split) = (&paired.pairs[..paired.key], Split::Content(0));
        let mut encoder = Encoder::new(pairs, false, &split);
        let place = match self.place(paired) {
            Place::Parts { column, parts, nulls } => {
                let pair = paired.pairs.iter().find(|p| p.left.name == column);
                let column = pair.map_or(column, |pair| pair.right.name.clone());
                Place::Parts { column, parts, nulls }
            }
            Place::All(_) => Place::All(side.range.cloned()),
        };
        let schema = self.state.schema.as_ref().ok_or_else(|| Error::internal("a repair of what was never loaded"))?;
        let versions = Versions::of(self.pipeline, self.ground, paired, schema, &self.engine.stop)?;
        let extra = &mut self.found.extra;
        let mut batches = Vec::new();
        for range in place.ranges() {
            side.read_range(&read_columns(pairs, false, &split), range.as_ref(), |rows| {
                let (mut keep, mut gone) = (Vec::with_capacity(rows.num_rows()), Vec::new());
                let mut encoded = encoder.over(&rows)?;
                while let Some(row) = encoded.next()? {
                    let key = hash(row.bytes);
                    keep.push(extra.remove(&key));
                    gone.extend(keep.last().filter(|goes| **goes).map(|_| key));
                }
                let rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
                let at = versions.as_ref().map(|of| Ok::<_, Error>((&of.column, of.array(&gone)?))).transpose()?;
                batches.extend(keys(&rows, &self.pipeline.key, pairs, schema, at)?);
                Ok(())
            })?;
        }
        Ok(batches)
    }

    fn transaction(
        &self,
        session: &mut dyn Session,
        paired: &Paired,
        pass: Pass,
        last: bool,
        run: &mut RunRecord,
    ) -> Result<()> {
        let schema = self.state.schema.as_ref().ok_or_else(|| Error::internal("a repair of what was never loaded"))?;
        let merged = merged(self.pipeline, pass.load, !pass.deletes.is_empty());
        // Rows are ready: conditions and watermarks have chosen them.
        let plain = Pipeline { delete_when: None, watermark: None, ..merged.clone() };
        let shaper = Shaper::new(&plain, schema, self.can, None, None, None, None)?;
        let side = Side::open(&self.ground.comparison.sides[0], true, &self.engine.stop)?;
        let rows = match pass.place {
            None => None,
            Some(place) => Some(self.rows(paired, &side.schema, place, pass.missing, pass.within.is_some(), schema)?),
        };
        let mut stream = Stream {
            pipeline: &merged,
            deletes: pass.deletes,
            rows,
            shaper,
            state: self.state,
            record: run.clone(),
            last,
            counts: Counts::default(),
            observer: self.engine.observer.as_ref(),
            clock: self.engine.clock.clone(),
        };
        let type_of = |name: &str| schema.get(name).map(|c| c.data_type);
        let column = self.report.axis.clone().unwrap_or_default();
        let plan = LoadPlan {
            target: Target {
                pipeline: &merged,
                schema,
                changes: &[],
                version: merged.version.as_deref().and_then(type_of),
                now: i128::from(logical(run.started_at, self.state).timestamp_micros()) * 1000,
                run: &run.run,
            },
            replace: Vec::new(),
            lineage: false,
            forget: false,
            full: false,
            ordered: true,
            within: pass.within.map(|interval| Within { column, interval, whole: true }),
        };
        session.load(&plan, &mut stream)?;
        run.clone_from(&stream.record);
        crash::reached(Point::Committed)?;
        let (pipeline, counts) = (self.pipeline.name.clone(), run.counts);
        self.engine.observer.observe(&Event::Committed { pipeline, counts });
        Ok(())
    }

    fn rows<'r>(
        &'r self,
        paired: &'r Paired,
        there: &Schema,
        place: Place,
        missing: bool,
        replaces: bool,
        target: &Schema,
    ) -> Result<Rows<'r>> {
        let comparison = &self.ground.comparison;
        let find = |name: &str| {
            let mut alike = there.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(name));
            there.get(name).or_else(|| alike.next().filter(|_| alike.next().is_none()))
        };
        // As they were compared, where they were.
        let typed = |column: &Column| {
            let pair = paired.pairs.iter().find(|pair| pair.left.name == column.name);
            pair.map_or_else(|| Column::new(&column.name, column.data_type), |pair| pair.left.clone())
        };
        let columns: Vec<(Column, String)> = target
            .columns
            .iter()
            .filter_map(|c| Some((typed(find(&(comparison.left_name)(&c.name))?), c.name.clone())))
            .collect();
        let filled = self.ground.filled.as_ref().map(|filled| {
            let names = filled.axes().iter().map(|axis| (comparison.left_name)(&axis.column)).collect::<Vec<_>>();
            (names, filled)
        });
        let range = comparison.sides[0].range.as_ref();
        let before = if replaces { self.end() } else { None };
        let mut beside = Schema { columns: paired.pairs.iter().map(|pair| pair.left.clone()).collect() };
        let judged = range.map(|range| range.column.as_str()).into_iter();
        let judged = judged.chain(filled.iter().flat_map(|(columns, _)| columns).map(String::as_str));
        beside.columns.extend(judged.filter_map(|name| there.get(name)).map(typed));
        let wanted =
            Wanted { place, range, filled, before, missing: missing.then(|| (paired, self.found.missing.clone())) };
        Rows::new(comparison.sides[0].source.as_ref(), columns, beside, wanted, &self.engine.stop)
    }
}

/// The pipeline as its rows are merged: whatever version the table claims, the source is right.
fn merged(pipeline: &Pipeline, load: Load, deletes: bool) -> Pipeline {
    let mut merged = Pipeline { load, ..pipeline.clone() };
    if load != Load::Scd2 {
        merged.version = None;
    }
    if !matches!(load, Load::DeleteInsert) {
        merged.window = Vec::new();
    }
    // What is to go is named.
    merged.absent_rows = floodmark_core::pipeline::AbsentRows::Keep;
    merged.delete_when = deletes.then(|| "true".to_owned());
    merged
}

/// Key columns of rows under the table's names and in its types, and the version at which they go where that is kept. A row
/// without a key cannot be named.
fn keys(
    rows: &RecordBatch,
    key: &[String],
    pairs: &[crate::diff::Pair],
    schema: &Schema,
    version: Option<(&Column, ArrayRef)>,
) -> Result<Option<RecordBatch>> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    let mut named = vec![true; rows.num_rows()];
    for (name, pair) in key.iter().zip(pairs) {
        let array = rows
            .column_by_name(&pair.right.name)
            .ok_or_else(|| Error::internal("a key column was asked for and not given"))?;
        let column = schema.get(name);
        let to = column.map_or_else(|| array.data_type().clone(), |column| column.data_type.to_arrow());
        let cast = cast::exact(array, &to)?;
        for (row, named) in named.iter_mut().enumerate() {
            *named &= cast.array.is_valid(row) && cast.bad.as_ref().is_none_or(|bad| !bad.value(row));
        }
        fields.push(Field::new(name, to, true));
        arrays.push(cast.array);
    }
    if let Some((column, array)) = version {
        fields.push(Field::new(&column.name, column.data_type.to_arrow(), true));
        arrays.push(array);
    }
    let rows =
        filter_record_batch(&crate::shape::rebuild(fields, arrays, rows.num_rows())?, &BooleanArray::from(named))?;
    Ok((rows.num_rows() > 0).then_some(rows))
}
