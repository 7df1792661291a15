//! What a backfill makes of the world, from `docs/backfill.md`: a range cut into intervals, each loaded once.

use super::{
    axis::{Range, gaps},
    history::{Fill, How, Step},
    merge,
    row::{Row, Value, get, same},
    scd2,
    settings::{AXIS, Deletes, Load, Nulls, Source, Version},
    world::{Expected, Failure, Gone, Incoming, Kept, World},
};
use std::collections::BTreeMap;

/// An interval that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) range: Range,
    /// The highest value among its rows when it was loaded.
    highest: Option<Value>,
    /// Rows are not to come any more.
    settled: bool,
}

/// What a backfill leaves, step by step.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    /// The world before, and after each thing that may have been committed: one that is killed leaves any of them.
    pub(super) stages: Vec<World>,
    pub(super) end: End,
}

/// How a backfill that is not killed ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Fails(Failure),
    /// Exit code 2, with that error.
    Refused(&'static str),
}

impl Filled {
    /// The world after it.
    pub(super) fn last(mut self) -> World {
        // There is one from the beginning.
        self.stages.pop().unwrap_or_else(|| unreachable!("a backfill without a world before it"))
    }
}

/// An interval on its way.
#[derive(Debug, Clone, Copy)]
struct Unit {
    range: Range,
    /// The interval as it was asked for, of which this is what was not in.
    whole: Range,
}

impl World {
    pub(super) fn fill(&self, fill: &Fill) -> Filled {
        let axis = self.settings.axis;
        let mut filled = Filled { stages: vec![self.clone()], end: End::Done };
        if self.disk.is_empty() {
            filled.end = End::Fails(Failure::NoFile);
            return filled;
        }
        let places: Vec<i64> = self.source().filter_map(|(_, row)| axis.place(&get(row, AXIS))).collect();
        let extent = places.iter().min().copied().zip(places.iter().max().copied());
        // What a transform makes of its source is not known before.
        let known = !self.settings.transform;
        let range = match &fill.range {
            Some((from, until)) => axis.place(from).zip(axis.place(until)),
            None if known => extent.map(|(lowest, highest)| (axis.floor(lowest, fill.by), highest + 1)),
            None => None,
        };
        let Some(range) = range else { return filled };
        if range.0 >= range.1 {
            filled.end = End::Refused("FM0107");
            return filled;
        }
        let units = self.units(fill, range, extent.filter(|_| known));
        let (beside, mut held): (Vec<Unit>, Vec<Unit>) = units.into_iter().partition(|unit| self.beside(unit));
        if self.server && self.settings.load == Load::Append && !axis.is_time() {
            if held.first().is_some_and(|first| !self.connects(first.range.0, extent)) {
                filled.end = End::Refused("FM0106");
                return filled;
            }
            // An append leaves to its runs what transactions of a server may still bring: numbers beyond the highest.
            let ahead = |unit: Unit| {
                let range = (unit.range.0, unit.range.1.min(extent?.1 + 1));
                let whole = if range == unit.range { unit.whole } else { range };
                (range.0 < range.1).then_some(Unit { range, whole })
            };
            held = held.into_iter().filter_map(ahead).collect();
        }
        let mut world = self.clone();
        for (unit, held) in beside.iter().map(|u| (u, false)).chain(held.iter().map(|u| (u, true))) {
            match world.unit(unit, held, fill.force, extent, &mut filled.stages) {
                End::Done => {}
                end => {
                    filled.end = end;
                    return filled;
                }
            }
        }
        if self.settings.watermark.is_some() && self.settings.load != Load::Append {
            world.advance(extent.filter(|_| known));
        }
        filled.stages.push(world);
        filled
    }

    /// What a backfill and a run at the same time may leave, with how each of them ends: the run comes at any moment of the
    /// backfill, before it or behind it.
    pub(super) fn beside_a_run(&self, fill: &Fill) -> Vec<(World, End, Expected)> {
        let filled = self.fill(fill);
        let run = Step::Run(How::Plain);
        let mut out = Vec::new();
        for mut world in filled.stages.clone() {
            let Some(expected) = world.step(&run) else { continue };
            let rest = world.fill(fill);
            out.push((rest.clone().last(), rest.end, expected));
        }
        let end = filled.end;
        let mut world = filled.last();
        out.extend(world.step(&run).map(|expected| (world, end, expected)));
        out
    }

    /// What `verify` must say: 0 where every row of the table is one of the source, and what it lacks is not loaded yet; 4
    /// where a row is missing that was to be there; `None` where either may be right.
    pub(super) fn verified(&self) -> Option<i32> {
        let s = &self.settings;
        let axis = s.axis;
        let mut fresh = World::new(s);
        fresh.disk.clone_from(&self.disk);
        fresh.settings.watermark.iter_mut().for_each(|watermark| watermark.start = None);
        if fresh.run().fails.is_some() {
            return None;
        }
        let mut wanted = fresh.live();
        let mine = self.live();
        // After a reset nothing is known of what lies before the start.
        let unknown = |row: &Row| {
            let place = axis.place(&get(row, AXIS));
            place.is_some() && place < self.start() && !self.received(place)
        };
        if mine.is_empty() || !self.loaded || mine.iter().any(unknown) {
            return None;
        }
        for row in &mine {
            let equal = |other: &Row| match s.load {
                Load::InsertOnly => self.key(other) == self.key(row),
                _ => same(other, row),
            };
            match wanted.iter().position(equal) {
                Some(place) => drop(wanted.swap_remove(place)),
                None => return None,
            }
        }
        let not_loaded = |row: &Row| {
            let place = axis.place(&get(row, AXIS));
            // Without a watermark they read all there is.
            let by_runs = place.is_none() || s.watermark.is_none() || (place <= self.stands() && place >= self.start());
            !by_runs && !self.received(place)
        };
        if wanted.iter().all(not_loaded) {
            return Some(0);
        }
        // Of one that is known by its key, that it is not there says all.
        let lost = |row: &Row| {
            let place = axis.place(&get(row, AXIS));
            place.is_some() && place < self.stands() && place >= self.start()
        };
        let plain = s.load == Load::Upsert && s.deletes == Deletes::None && s.source == Source::Table;
        let known = |row: &Row| mine.iter().any(|other| self.key(other) == self.key(row));
        (plain && wanted.iter().any(|row| lost(row) && !known(row))).then_some(4)
    }

    /// Whether a backfill has loaded what is there.
    fn received(&self, place: Option<i64>) -> bool {
        let holds = |receipt: &Receipt| place.is_some_and(|place| receipt.range.0 <= place && place < receipt.range.1);
        self.receipts.iter().any(holds)
    }

    /// Rows of the table that are in force.
    fn live(&self) -> Vec<Row> {
        match self.settings.load {
            Load::Scd2 => scd2::current(self),
            _ => self.table.iter().filter(|kept| kept.gone == Gone::No).map(|kept| kept.row.clone()).collect(),
        }
    }

    fn source(&self) -> impl Iterator<Item = (&String, &Row)> {
        self.disk.iter().flat_map(|(file, content)| content.rows.iter().map(move |row| (file, row)))
    }

    fn start(&self) -> Option<i64> {
        let start = self.settings.watermark.as_ref()?.start.as_ref()?;
        self.settings.axis.place(start)
    }

    /// The watermark, where the axis has one.
    fn stands(&self) -> Option<i64> {
        self.mark.as_ref().and_then(|mark| self.settings.axis.place(mark))
    }

    /// What is to be loaded: intervals without what is in, in order.
    fn units(&self, fill: &Fill, range: Range, extent: Option<Range>) -> Vec<Unit> {
        let settled = self.receipts.iter().filter(|receipt| receipt.settled).map(|receipt| receipt.range);
        let mut done: Vec<Range> = if fill.force { Vec::new() } else { settled.collect() };
        if fill.missing
            && let (Some(mark), Some(from)) = (self.stands(), self.start().or(extent.map(|e| e.0)))
        {
            // What runs have loaded. Rows at the watermark may be more by now.
            done.push((from, mark));
        }
        done.retain(|(from, until)| from < until);
        let cut = self.settings.axis.cut(range, fill.by);
        cut.into_iter()
            .flat_map(|whole| gaps(whole, &done).into_iter().map(move |range| Unit { range, whole }))
            .collect()
    }

    /// Whether it is loaded while runs go on, and so before what is not.
    fn beside(&self, unit: &Unit) -> bool {
        let behind = |end: Option<i64>| end.is_some_and(|end| unit.range.1 <= end);
        match self.settings.load {
            Load::InsertOnly => true,
            Load::Append => behind(self.stands()),
            Load::DeleteInsert => {
                let back = self.settings.watermark.as_ref().and_then(|w| w.lookback).unwrap_or(0);
                behind(self.stands().map(|mark| mark - back))
                    && (self.settings.key.is_empty() || self.settings.versioned())
            }
            _ => self.settings.version != Version::Off,
        }
    }

    /// Loads an interval, in parts where a transaction does not take all of it: each is a stage.
    fn unit(&mut self, unit: &Unit, held: bool, force: bool, extent: Option<Range>, stages: &mut Vec<World>) -> End {
        let s = self.settings.clone();
        if s.load == Load::Append && held && !self.connects(unit.range.0, extent) {
            return End::Refused("FM0106");
        }
        let fails = s.watermark.as_ref().is_some_and(|w| w.nulls == Nulls::Fail);
        if fails && self.source().any(|(_, row)| get(row, AXIS) == Value::Null) {
            return End::Fails(Failure::NullCursor);
        }
        let whole = s.transform || s.source == Source::Files || s.commit_every.is_none();
        let parts = !whole && matches!(s.load, Load::Append | Load::Upsert);
        let mut ends: Vec<i64> =
            if parts { self.rows(unit.range).iter().filter_map(|(place, _)| *place).collect() } else { Vec::new() };
        ends.retain(|end| *end > unit.range.0);
        ends.push(unit.range.1);
        ends.sort_unstable();
        ends.dedup();
        let mut from = unit.range.0;
        for until in ends {
            let part = Unit { range: (from, until), whole: unit.whole };
            if let End::Fails(why) = self.part(&part, held, force, extent) {
                return End::Fails(why);
            }
            stages.push(self.clone());
            from = until;
        }
        End::Done
    }

    /// Rows of the source in a range, with their places.
    fn rows(&self, (from, until): Range) -> Vec<(Option<i64>, Incoming)> {
        let row = |(file, row): (&String, &Row)| {
            let place = self.settings.axis.place(&get(row, AXIS));
            let inside = place.is_some_and(|place| from <= place && place < until);
            inside.then(|| (place, Incoming { row: row.clone(), file: file.clone() }))
        };
        self.source().filter_map(row).collect()
    }

    fn part(&mut self, unit: &Unit, held: bool, force: bool, extent: Option<Range>) -> End {
        let (axis, load) = (self.settings.axis, self.settings.load);
        let incoming: Vec<Incoming> = self.rows(unit.range).into_iter().map(|(_, row)| row).collect();
        let highest = incoming.iter().map(|next| get(&next.row, AXIS)).max();
        let (from, until) = unit.range;
        let inside = |row: &Row| axis.place(&get(row, AXIS)).is_some_and(|place| from <= place && place < until);
        let mut counts = BTreeMap::new();
        match load {
            Load::Append => {
                // Equal rows are as many as the source has, and what it has no more stays.
                let mut there: Vec<Kept> = self.table.iter().filter(|kept| inside(&kept.row)).cloned().collect();
                for next in incoming {
                    match there.iter().position(|kept| same(&kept.row, &next.row)) {
                        Some(place) => drop(there.swap_remove(place)),
                        None => self.table.push(Kept { row: next.row, file: next.file, gone: Gone::No }),
                    }
                }
            }
            Load::Scd2 => scd2::load(self, &incoming, &mut counts),
            _ => {
                let windows = !self.settings.window.is_empty();
                let empties = windows && incoming.is_empty() && self.table.iter().any(|kept| inside(&kept.row));
                if empties && !self.settings.allow_empty {
                    return End::Fails(Failure::EmptySource);
                }
                merge::load_part(self, &incoming, &inside, &mut counts);
            }
        }
        let begins = self.stands().or(self.start());
        if load == Load::Append
            && held
            && let Some(value) = &highest
            && axis.place(value) >= begins
        {
            self.mark = Some(value.clone());
        }
        self.receive(unit, highest, force, extent);
        self.loaded = true;
        End::Done
    }

    /// Takes note that an interval is in.
    fn receive(&mut self, unit: &Unit, highest: Option<Value>, force: bool, extent: Option<Range>) {
        // Numbers grow: rows may come beyond the highest, which behind a transform is that of the interval itself. All days
        // are over.
        let own = highest.as_ref().and_then(|value| self.settings.axis.place(value));
        let known = if self.settings.transform { own } else { extent.map(|e| e.1) }.map(|highest| highest + 1);
        let settled = self.settings.axis.is_time() || known.is_some_and(|end| unit.range.1 <= end);
        let inside = |outer: Range, inner: Range| outer.0 <= inner.0 && inner.1 <= outer.1;
        let mut receipt = Receipt { range: unit.range, highest, settled };
        // What makes up the whole with it is one receipt from then on.
        let kin: Vec<Receipt> = self
            .receipts
            .iter()
            .filter(|other| other.range != unit.range && inside(unit.whole, other.range))
            .cloned()
            .collect();
        let mut all: Vec<Range> = kin.iter().map(|other| other.range).chain([unit.range]).collect();
        all.sort_unstable();
        let whole = all.first().map(|r| r.0) == Some(unit.whole.0)
            && all.last().map(|r| r.1) == Some(unit.whole.1)
            && all.windows(2).all(|pair| pair[0].1 == pair[1].0);
        if whole && !force && !kin.is_empty() {
            receipt.range = unit.whole;
            receipt.settled &= kin.iter().all(|other| other.settled);
            receipt.highest = kin.into_iter().filter_map(|other| other.highest).chain(receipt.highest).max();
        }
        self.receipts.retain(|other| !inside(receipt.range, other.range));
        self.receipts.push(receipt);
    }

    /// Whether all up to a place is in, from the watermark on or from where reading begins.
    fn connects(&self, to: i64, extent: Option<Range>) -> bool {
        let lowest = if self.settings.transform { None } else { Some(extent.map(|e| e.0)) };
        let from = match (self.stands(), self.start(), lowest) {
            (Some(mark), ..) => mark,
            (None, Some(start), _) => start,
            (None, None, Some(Some(lowest))) => lowest,
            (None, None, lowest) => return lowest == Some(None),
        };
        let done: Vec<Range> = self.receipts.iter().map(|receipt| receipt.range).collect();
        from >= to || gaps((from, to), &done).is_empty()
    }

    /// The watermark moves over what lies behind it without a gap, to the highest value in it.
    fn advance(&mut self, extent: Option<Range>) {
        let Some(mut reached) = self.stands().or(self.start()).or(extent.map(|e| e.0)) else { return };
        let mut receipts: Vec<&Receipt> = self.receipts.iter().filter(|receipt| receipt.settled).collect();
        receipts.sort_by_key(|receipt| receipt.range);
        let mut highest = self.mark.clone();
        for receipt in receipts {
            if receipt.range.0 > reached {
                break;
            }
            reached = reached.max(receipt.range.1);
            let begun = |value: &&Value| self.settings.axis.place(value) >= self.start();
            if let Some(value) = receipt.highest.as_ref().filter(begun) {
                highest = highest.max(Some(value.clone()));
            }
        }
        self.mark = highest;
    }
}
