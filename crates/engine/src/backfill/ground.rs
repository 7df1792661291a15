//! What is to be filled: the axis, what of it is in, and the units that are not.

use super::{
    Fill,
    receipt::{Before, Unit},
    tally::number,
};
use crate::run::Work;
use chrono::{DateTime, Utc};
use floodmark_connect::{Stop, source::Extent};
use floodmark_core::{
    Code, DataType, Error, Result, Value,
    interval::{Axis, Interval, Step, earlier, gaps},
    pipeline::{Load, Pipeline},
    state::{BEGAN, IntervalEntry, RESHAPED, State},
    watermark::bounds,
};
use std::cmp::Ordering;

/// The column along which a pipeline is filled.
pub(crate) fn column<'p>(pipeline: &'p Pipeline, asked: Option<&'p str>) -> Result<&'p str> {
    let unsafe_to = |what: String| Error::new(Code::Unsafe, what).state("nothing was written");
    let window = match (pipeline.load, pipeline.window.as_slice()) {
        (Load::DeleteInsert, [one]) => Some(one.as_str()),
        (Load::DeleteInsert, [_, ..]) => {
            return Err(unsafe_to(format!(
                "an interval cannot be replaced where a window is of several columns ({})",
                pipeline.window.join(", ")
            ))
            .help("name one date, timestamp or number as `window`"));
        }
        _ => None,
    };
    let cursor = pipeline.cursor().map(|w| w.column.as_str());
    match (asked, window.or(cursor)) {
        (Some(asked), Some(own)) if window.is_some() && asked != own => Err(unsafe_to(format!(
            "a `delete_insert` by `window: {own}` is filled along that column, not along {asked:?}"
        ))
        .help("leave --column out")),
        (Some(asked), _) if pipeline.load == Load::Append && cursor != Some(asked) => Err(unsafe_to(format!(
            "an `append` is filled along its watermark, or its runs would add the same rows again: not along {asked:?}"
        ))
        .help("leave --column out, or give the pipeline a key and `load: upsert`")),
        (Some(asked), _) => Ok(asked),
        (None, Some(own)) => Ok(own),
        (None, None) => Err(unsafe_to(format!("pipeline {:?} has no watermark to be filled along", pipeline.name))
            .help("name a date, a timestamp or a whole number of its table: --column created_at")),
    }
}

/// What cannot be filled at all.
pub(crate) fn refuse(pipeline: &Pipeline) -> Result<()> {
    let (what, help) = match pipeline.load {
        Load::Overwrite => (
            "an `overwrite` makes the table the whole source: there are no parts to fill",
            "name the column whose parts are replaced as `window`, or `floodmark run` it",
        ),
        Load::Append if pipeline.source.files().is_some() => (
            "an `append` loads each file once, whatever is in it: a part of the axis would be added again with its file",
            "`floodmark run` loads every file that is not in yet; to fill by date, give the pipeline a key and `load: upsert`",
        ),
        Load::Append if pipeline.at_least_once => (
            "`append: at_least_once` adds every row again, also those of an interval that is in",
            "take `at_least_once` out",
        ),
        _ if pipeline.full_read() => (
            "`absent_rows` speaks of rows that a full read no longer holds, and an interval is no full read",
            "take `absent_rows` out, or `floodmark run` it",
        ),
        _ if pipeline.source.reads_stdin() => (
            "standard input can be read once, and a backfill reads each interval by itself",
            "put the rows into a file",
        ),
        _ => return Ok(()),
    };
    Err(Error::new(Code::Unsafe, what).state("nothing was written").help(help))
}

/// Where the pipeline's runs began. The file may say another `start` by now.
pub(crate) fn began(state: &State, start: Option<&str>) -> Option<String> {
    let Some(settings) = &state.settings else { return start.map(str::to_owned) };
    settings.get(BEGAN).or_else(|| settings.get("start")).filter(|start| !start.is_empty()).cloned()
}

/// The axis with what is known of it.
pub(crate) struct Ground<'a> {
    pub(crate) column: &'a str,
    pub(crate) axis: Axis,
    /// Receipts along it.
    entries: Vec<IntervalEntry>,
    /// By entry: its interval as the ledger has it, where its type may be an older one.
    kept: Vec<Interval>,
    /// Intervals to which rows may still come: few of them, as a rule, where there may be very many entries.
    open: Vec<Interval>,
    /// Where the pipeline's runs read from, where the axis is theirs: rows before it are none of theirs. NULL: anywhere.
    pub(crate) reach: Option<Value>,
    /// The watermark, where the axis is its own.
    pub(crate) mark: Option<Value>,
    /// Where the first run began, or would.
    pub(crate) start: Option<Value>,
    /// Whether the axis is that of the watermark.
    pub(crate) own: bool,
    /// How far transactions that are open in the source leave it settled.
    horizon: Option<Value>,
    /// Rows behind it are younger than `settle` says.
    young: Option<Value>,
    /// Where the runs that were began.
    began: Option<Value>,
    now: Option<Value>,
    /// When the table's columns changed.
    reshaped: Option<DateTime<Utc>>,
    /// The source's lowest and highest value, where that can be told.
    pub(crate) extent: Option<Extent>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(
        work: &Work<'a>,
        fill: &Fill<'a>,
        data_type: DataType,
        state: &State,
        known: Vec<IntervalEntry>,
        horizon: Option<Value>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let (pipeline, column) = (work.pipeline, fill.column);
        let axis = Axis::new(column, data_type, pipeline.timezone)?;
        let own = pipeline.cursor().filter(|spec| spec.column == column);
        let stored = state.watermark.as_ref().filter(|mark| mark.data_type == data_type);
        let mark = stored.filter(|_| own.is_some()).map(|mark| mark.value.clone());
        let read = own.map(|spec| bounds(spec, mark.as_ref(), data_type, now)).transpose()?;
        let young = read.as_ref().and_then(|read| read.until.clone());
        let reach = read.and_then(|read| read.from).filter(|_| mark.is_some());
        let start = own.and_then(|spec| spec.start.as_deref()).and_then(|start| Value::parse(start, data_type));
        let began = own.and_then(|spec| began(state, spec.start.as_deref()));
        let began = began.and_then(|start| Value::parse(&start, data_type));
        let (own, now) = (own.is_some(), axis.at(now));
        let reshaped = state.settings.as_ref().and_then(|settings| settings.get(RESHAPED));
        let reshaped = reshaped.and_then(|at| DateTime::parse_from_rfc3339(at).ok()).map(|at| at.with_timezone(&Utc));
        let (entries, kept, open) = Default::default();
        let mut ground = Ground {
            column,
            axis,
            entries,
            kept,
            open,
            reach,
            mark,
            start,
            own,
            horizon,
            young,
            began,
            now,
            reshaped,
            extent: None,
        };
        // Of numbers the horizon itself is settled, since whoever writes later has a higher one; of moments and days rows may
        // still come there.
        if !ground.axis.is_time() {
            let next = |value: &Value| number(value).ok().and_then(|number| ground.behind(number));
            ground.horizon = ground.horizon.as_ref().map(|horizon| next(horizon).unwrap_or(Value::Null));
        }
        ground.learn(known);
        Ok(ground)
    }

    /// Takes in what the ledger has, in order. Receipts of a column that has become wider since are read in its type of
    /// today; one that cannot be is none, and its interval is loaded again.
    pub(crate) fn learn(&mut self, entries: Vec<IntervalEntry>) {
        let data_type = self.axis.data_type;
        let read = |value: &Value| Value::parse(&value.to_string(), data_type);
        let restated = |entry: IntervalEntry| {
            let kept = entry.interval.clone();
            if entry.data_type == data_type {
                return Some((entry, kept));
            }
            let interval = Interval::new(read(&entry.interval.from)?, read(&entry.interval.until)?)?;
            let highest = match &entry.highest {
                Some(highest) => Some(read(highest)?),
                None => None,
            };
            Some((IntervalEntry { data_type, interval, highest, ..entry }, kept))
        };
        let mut known: Vec<(IntervalEntry, Interval)> = entries.into_iter().filter_map(restated).collect();
        known.sort_by(|(a, _), (b, _)| a.interval.from.compare(&b.interval.from).unwrap_or(Ordering::Equal));
        (self.entries, self.kept) = known.into_iter().unzip();
        self.open = self.entries.iter().filter(|e| !e.settled).map(|e| e.interval.clone()).collect();
    }

    /// Entries that an interval holds whole, its own among them. There may be many beside them.
    fn inside<'g>(&'g self, interval: &'g Interval) -> impl Iterator<Item = usize> + 'g {
        let first = self.entries.partition_point(|e| e.interval.from.compare(&interval.from) == Some(Ordering::Less));
        let begins = |at: &usize| self.entries[*at].interval.from.compare(&interval.until) == Some(Ordering::Less);
        let ends = |at: &usize| self.entries[*at].interval.until.compare(&interval.until) != Some(Ordering::Greater);
        (first..self.entries.len()).take_while(begins).filter(ends)
    }

    /// Rows that the receipts within an interval say are in, and whether some of them came before the table's columns
    /// changed.
    pub(crate) fn before(&self, interval: &Interval) -> Before {
        let inside = || self.inside(interval).map(|at| &self.entries[at]);
        let older = |entry: &IntervalEntry| self.reshaped.is_some_and(|reshaped| entry.loaded_at < reshaped);
        Before { rows: inside().map(|entry| entry.rows).sum(), reshaped: inside().any(older) }
    }

    /// Intervals that are in and will not change.
    fn settled(&self) -> Vec<Interval> {
        self.entries.iter().filter(|entry| entry.settled).map(|entry| entry.interval.clone()).collect()
    }

    /// What the pipeline's runs have loaded: from where they began up to the watermark.
    fn run(&self, step: Option<Step>) -> Option<Interval> {
        let mark = self.mark.clone()?;
        let from = match (&self.began, &self.extent) {
            (Some(start), _) => start.clone(),
            (None, Some(Some((lowest, _)))) => self.floor(step, lowest).unwrap_or_else(|| lowest.clone()),
            _ => return None,
        };
        Interval::new(from, mark)
    }

    /// Whether rows may still come to a part of an interval that was loaded.
    pub(crate) fn is_open(&self, interval: &Interval) -> bool {
        self.open.iter().any(|open| open.common(interval).is_some())
    }

    /// The range that was asked for; where it was not, and `--missing` was, all that the source holds.
    fn range(&self, fill: &Fill<'_>) -> Result<Option<Interval>> {
        let options = fill.options;
        let wrong = |flag: &str, text: &str| {
            let like = match self.axis.data_type {
                DataType::Date => "2024-01-31",
                DataType::Timestamp { .. } | DataType::TimestampTz { .. } => "2024-01-31 or 2024-01-31T12:00:00",
                _ => "100000",
            };
            Error::new(
                Code::BadArgument,
                format!("{flag} {text} is not a {}, the type of column {:?}", self.axis.data_type, self.column),
            )
            .state("nothing was written")
            .help(format!("write it like {like}"))
        };
        let parse = |flag: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => self.axis.parse(text).map(Some).ok_or_else(|| wrong(flag, text)),
        };
        let (from, until) = (parse("--from", &options.from)?, parse("--to", &options.until)?);
        let (from, until) = match (from, until, &self.extent) {
            (Some(from), Some(until), _) => (from, until),
            (from, until, Some(Some((lowest, highest)))) => {
                let from = from.or_else(|| self.floor(fill.step(&self.axis), lowest)).unwrap_or_else(|| lowest.clone());
                let behind = number(highest).ok().and_then(|n| self.behind(n));
                (from, until.or(behind).unwrap_or_else(|| highest.clone()))
            }
            _ => return Ok(None),
        };
        let (shown_from, shown_until) = (from.to_string(), until.to_string());
        match Interval::new(from, until) {
            Some(range) => Ok(Some(range)),
            None => Err(Error::new(
                Code::BadArgument,
                format!("nothing lies between {shown_from} and {shown_until}: an interval holds its beginning and not its end"),
            )
            .state("nothing was written")
            .help("--from is the first value that is loaded, --to the first that is not, and has to lie behind it")),
        }
    }

    fn floor(&self, step: Option<Step>, value: &Value) -> Option<Value> {
        step.and_then(|step| self.axis.floor(value, step))
    }

    /// The next value of the axis.
    fn behind(&self, number: i128) -> Option<Value> {
        let next = match self.axis.data_type {
            DataType::Timestamp { nanos: false } | DataType::TimestampTz { nanos: false } => number + 1000,
            _ => number + 1,
        };
        self.value(next)
    }

    /// A value by its number.
    pub(crate) fn value(&self, number: i128) -> Option<Value> {
        Some(match self.axis.data_type {
            DataType::BigInt => Value::Int(number.try_into().ok()?),
            DataType::Decimal(_, scale) => Value::Decimal(number, scale),
            DataType::Date => Value::Date(number.try_into().ok()?),
            DataType::Timestamp { .. } => Value::Timestamp(number),
            _ => Value::TimestampTz(number),
        })
    }

    /// The units to be loaded, in order.
    pub(crate) fn units(&self, fill: &Fill<'_>, stop: &Stop) -> Result<Vec<Unit>> {
        let Some(range) = self.range(fill)? else { return Ok(Vec::new()) };
        let mut done = if fill.options.force { Vec::new() } else { self.settled() };
        if fill.options.missing {
            done.extend(self.run(fill.step(&self.axis)));
        }
        // Both lie in order: each unit meets the gaps from where the one before it ended.
        let gaps = gaps(&range, &done);
        let (mut units, mut at) = (Vec::new(), 0);
        for (n, unit) in self.axis.cut(&range, fill.step(&self.axis))?.into_iter().enumerate() {
            if n % 1000 == 0 {
                stop.check()?;
            }
            while gaps.get(at).is_some_and(|gap| gap.until.compare(&unit.from) != Some(Ordering::Greater)) {
                at += 1;
            }
            let met = gaps[at..].iter().map_while(|gap| gap.common(&unit));
            units.extend(met.map(|interval| Unit { whole: unit.clone(), ..self.unit(interval) }));
        }
        Ok(units)
    }

    /// As far as transactions that are open in the source leave them settled: an `append` moves its watermark over what it
    /// loads, and what they commit behind that would never be read.
    pub(crate) fn before_horizon(&self, units: Vec<Unit>) -> Vec<Unit> {
        let horizon = match (&self.horizon, &self.young) {
            (Some(horizon), Some(young)) => earlier(horizon, young),
            (one, other) => match one.as_ref().or(other.as_ref()) {
                Some(end) => end,
                None => return units,
            },
        };
        let ahead = |unit: Unit| {
            let end = match unit.interval.until.compare(horizon) {
                Some(Ordering::Greater) => horizon.clone(),
                Some(_) => unit.interval.until.clone(),
                None => return None,
            };
            let settled = self.unit(Interval::new(unit.interval.from.clone(), end)?);
            Some(if settled.interval == unit.interval { unit } else { settled })
        };
        units.into_iter().filter_map(ahead).collect()
    }

    pub(crate) fn unit(&self, interval: Interval) -> Unit {
        let until = &interval.until;
        let not_behind = |end: &Value| until.compare(end) != Some(Ordering::Greater);
        let over = match (self.axis.is_time(), &self.now, &self.extent) {
            (true, Some(now), _) => not_behind(now),
            // Numbers grow: those that are not there yet lie behind the highest.
            (false, _, Some(Some((_, highest)))) => {
                number(highest).ok().and_then(|n| self.behind(n)).is_some_and(|end| not_behind(&end))
            }
            (false, _, Some(None)) => false,
            // What is behind a transform shows as it comes.
            _ => true,
        };
        let old = self.young.as_ref().is_none_or(&not_behind);
        let settled = over && old && self.horizon.as_ref().is_none_or(|h| !h.is_null() && not_behind(h));
        Unit { whole: interval.clone(), interval, settled }
    }

    /// Entries that lie end to end with a unit's own, and make up all of it.
    pub(crate) fn kin(&self, unit: &Unit) -> Vec<IntervalEntry> {
        if unit.whole == unit.interval {
            return Vec::new();
        }
        let others = self.inside(&unit.whole).map(|at| &self.entries[at]);
        let kin: Vec<IntervalEntry> = others.filter(|entry| entry.interval != unit.interval).cloned().collect();
        let mut all: Vec<&Interval> = kin.iter().map(|entry| &entry.interval).chain([&unit.interval]).collect();
        all.sort_by(|a, b| a.from.compare(&b.from).unwrap_or(Ordering::Equal));
        let whole = all.first().is_some_and(|first| first.from == unit.whole.from)
            && all.last().is_some_and(|last| last.until == unit.whole.until)
            && all.windows(2).all(|pair| pair[0].until == pair[1].from);
        if whole { kin } else { Vec::new() }
    }

    /// Entries that units or their kin take the place of, as the ledger has them: those that they hold whole, and their own
    /// where these stand in an older type of the column, and would stay beside the new ones.
    pub(crate) fn absorbed(&self, units: &[Unit], kin: &[Vec<IntervalEntry>]) -> Vec<Interval> {
        let of_unit = |(n, unit): (usize, &Unit)| {
            let joined = kin.get(n).is_some_and(|kin| !kin.is_empty());
            let new = if joined { &unit.whole } else { &unit.interval };
            let written = |interval: &Interval| (interval.from.to_string(), interval.until.to_string());
            let (place, kept) = (written(new), |at: usize| &self.kept[at]);
            self.inside(new).filter(move |at| written(kept(*at)) != place).map(move |at| kept(at).clone()).collect()
        };
        units.iter().enumerate().flat_map(|of| -> Vec<Interval> { of_unit(of) }).collect()
    }

    /// Whether all from the watermark (or from where reading begins) up to a value is in.
    pub(crate) fn connects(&self, to: &Value) -> bool {
        let from = match (&self.mark, &self.start, &self.extent) {
            (Some(mark), ..) => mark.clone(),
            (None, Some(start), _) => start.clone(),
            (None, None, Some(Some((lowest, _)))) => lowest.clone(),
            (None, None, _) => return self.extent == Some(None),
        };
        match Interval::new(from, to.clone()) {
            Some(way) => gaps(&way, &self.all()).is_empty(),
            None => true,
        }
    }

    fn all(&self) -> Vec<Interval> {
        self.entries.iter().map(|entry| entry.interval.clone()).collect()
    }

    /// How far the watermark may move: to the highest value of the settled intervals that lie behind it without a gap.
    pub(crate) fn advanced(&self) -> Option<Value> {
        let mut ahead: Vec<&IntervalEntry> = self.entries.iter().filter(|entry| entry.settled).collect();
        ahead.sort_by(|a, b| a.interval.from.compare(&b.interval.from).unwrap_or(Ordering::Equal));
        let mut reached = match (&self.mark, &self.start, &self.extent) {
            (Some(mark), ..) => mark.clone(),
            (None, Some(start), _) => start.clone(),
            (None, None, Some(Some((lowest, _)))) => lowest.clone(),
            (None, None, _) => return None,
        };
        let mut highest = self.mark.clone();
        for entry in ahead {
            if entry.interval.from.compare(&reached) == Some(Ordering::Greater) {
                break;
            }
            if entry.interval.until.compare(&reached) == Some(Ordering::Greater) {
                reached = entry.interval.until.clone();
            }
            let more = |value: &Value| highest.as_ref().is_none_or(|h| value.compare(h) == Some(Ordering::Greater));
            let begun =
                |value: &Value| self.start.as_ref().is_none_or(|start| value.compare(start) != Some(Ordering::Less));
            if let Some(value) = entry.highest.as_ref().filter(|value| more(value) && begun(value)) {
                highest = Some(value.clone());
            }
        }
        highest.filter(|highest| Some(highest) != self.mark.as_ref())
    }
}
