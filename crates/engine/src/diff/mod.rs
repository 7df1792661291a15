//! How two tables differ, found by hashes of segments.
//!
//! Rows go into segments: ranges of a column's values, or, where the two order no column alike, parts of the space of hashes.
//! Of each segment both sides tell how many rows it has and the sum of their hashes, worked out by the database itself
//! where it can, else here from the rows. Segments that agree are done with. A large one that does not is cut into smaller
//! ones and asked about again; of what is small the rows are fetched from both sides and compared one by one. So what is
//! told of rows never depends on a hash, and what a database hashes in another way costs time alone.

mod cells;
mod columns;
mod report;
mod rows;
mod side;
mod split;

pub use report::{
    Counts, Hashing, Kind, Misfit, Part, Report, RowDifference, Sampling, Segment, Shape, Share, SideReport,
};
pub use side::SideSpec;
pub use split::By;

use crate::run::Engine;
pub(crate) use cells::cells;
use columns::Wish;
pub(crate) use columns::{Pair, Paired, alike};
use floodmark_connect::{
    Range,
    digests::{Ask, Split, ends, runs},
};
use floodmark_core::{
    Code, Error, Result, Schema, Value,
    encoding::{Digest, Hash},
};
pub(crate) use rows::Candidate;

use rows::{Fetched, Findings, Judge};
pub(crate) use side::{Encoder, Side, columns, within};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    time::Instant,
};

/// A segment with more rows is cut into smaller ones before its rows are fetched, where databases do the hashing.
const SMALL: u64 = 10_000;
/// Rows that are held in memory at a time, of both sides together.
const AT_ONCE: u64 = 300_000;
/// How often a segment is cut again.
const DEPTH: u32 = 6;
/// Parts that a large segment is cut into at most, and that all of them are.
const PARTS: u64 = 64;
/// Fewer where a server takes no more.
const PARTS_AT_ONCE: [u64; 3] = [8000, 1000, 240];

/// What is to be compared with what, and how.
pub struct Comparison<'a> {
    /// The first, and what is held against it.
    pub sides: [SideSpec; 2],
    /// Columns by which a row is known, by the second's names; none: by its content.
    pub key: Vec<String>,
    /// Only these columns beside the key.
    pub columns: Option<Vec<String>>,
    /// What segments are ranges of; `None` leaves it to the key.
    pub by: Option<By>,
    /// Only a share of the segments.
    pub sampling: Option<Sampling>,
    /// How many rows that differ are kept.
    pub limit: usize,
    /// The first's name of a column of the second.
    pub left_name: Box<dyn Fn(&str) -> String + Sync + 'a>,
    /// Columns of the second of which a NULL in the first says nothing.
    pub keeps: Box<dyn Fn(&str) -> bool + Sync + 'a>,
    /// Columns that say something of rows and are none of their content.
    pub ignored: &'a [&'a str],
    /// Rows of the first that are counted apart: what differs of their keys is no difference.
    pub beyond: Option<Range>,
    /// The keys alone are compared, and no other column.
    pub keys_only: bool,
    /// The types that columns of the second were made with, where that is known.
    pub made: Option<&'a Schema>,
}

impl<'a> Comparison<'a> {
    /// Of two tables with the same names of columns.
    pub fn new(sides: [SideSpec; 2]) -> Self {
        Comparison {
            sides,
            key: Vec::new(),
            columns: None,
            by: None,
            sampling: None,
            limit: 20,
            left_name: Box::new(str::to_owned),
            keeps: Box::new(|_| false),
            ignored: &[],
            beyond: None,
            keys_only: false,
            made: None,
        }
    }
}

impl Engine {
    /// Compares two tables. Neither is changed.
    pub fn diff(&self, comparison: &Comparison<'_>) -> Result<Report> {
        self.judged(comparison, &mut |_, _| true)
    }

    /// The same; `judge` says of a row that differs whether that is a difference.
    pub(crate) fn judged(
        &self,
        comparison: &Comparison<'_>,
        judge: &mut dyn FnMut(&Paired, &Candidate<'_>) -> bool,
    ) -> Result<Report> {
        let began = Instant::now();
        let state = |error: Error| error.or_state("nothing was changed");
        let [left, right] = &comparison.sides;
        let stop = &self.stop;
        let (left, right) = both(|| Side::open(left, true, stop), || Side::open(right, false, stop)).map_err(state)?;
        let sides = [left, right];
        let mut as_text: Vec<Misfit> = Vec::new();
        loop {
            stop.check()?;
            let wish = Wish {
                key: &comparison.key,
                columns: comparison.columns.as_deref(),
                left_name: &comparison.left_name,
                keeps: &comparison.keeps,
                as_text: &as_text,
                ignored: comparison.ignored,
                keys_only: comparison.keys_only,
                made: comparison.made,
            };
            let paired = columns::pair(&sides[0].schema, &sides[1].schema, &wish)?;
            let work = Work { engine: self, comparison, sides: &sides, paired: &paired };
            let mut since = 0;
            let compared = work.beyond().and_then(|(beyond, keys)| {
                let report = work.compare(&mut |candidate| {
                    let moved = keys.contains(candidate.key);
                    since += u64::from(moved);
                    !moved && judge(&paired, candidate)
                })?;
                Ok(Report { beyond, ..report })
            });
            match compared {
                Ok(report) => return Ok(Report { elapsed: began.elapsed(), changed_since: since, ..report }),
                // What is no value of its type is compared as the text it is.
                Err(error) => match misfit(&error, &paired.pairs, sides.each_ref().map(Side::misfit)) {
                    Some(met) if added(&mut as_text, &met) => {}
                    _ => return Err(state(error)),
                },
            }
        }
    }
}

/// The column that a value does not fit. `met`: the columns in which the two met such a value, with its row.
fn misfit(error: &Error, pairs: &[Pair], met: [Option<(String, String)>; 2]) -> Option<Misfit> {
    let place = error.place().filter(|_| error.code() == Code::BadValue)?;
    let column = place.column.as_ref()?;
    let pair = pairs.iter().find(|p| p.left.name == *column || p.right.name == *column)?;
    let of = |side: usize, name: &str| met[side].as_ref().filter(|(column, _)| column == name).map(|(_, row)| row);
    let rows = [of(0, &pair.left.name), of(1, &pair.right.name)];
    let sides = if rows == [None, None] { [true, true] } else { rows.map(|row| row.is_some()) };
    let row = rows.into_iter().flatten().next().cloned();
    Some(Misfit { column: pair.name.clone(), sides, value: place.value.clone(), row })
}

/// Takes a misfit to those that are known; `false` where it was known before.
fn added(known: &mut Vec<Misfit>, met: &Misfit) -> bool {
    let Some(before) = known.iter_mut().find(|m| m.column == met.column) else {
        known.push(met.clone());
        return true;
    };
    let sides = [0, 1].map(|side| before.sides[side] || met.sides[side]);
    std::mem::replace(&mut before.sides, sides) != sides
}

/// Two things at once.
fn both<A: Send, B>(a: impl FnOnce() -> Result<A> + Send, b: impl FnOnce() -> Result<B>) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        let a = a.join().map_err(|_| Error::internal("a comparing thread panicked"))?;
        Ok((a?, b?))
    })
}

/// A comparison under way.
struct Work<'w> {
    engine: &'w Engine,
    comparison: &'w Comparison<'w>,
    sides: &'w [Side<'w>; 2],
    paired: &'w Paired,
}

/// How both are asked, and who answers.
struct Way {
    hashing: Hashing,
    /// Whose database works out hashes.
    pushed: [bool; 2],
    asks: [Ask; 2],
}

/// Number of rows and sum of hashes of a segment on both sides.
type Digests = BTreeMap<u32, [Digest; 2]>;

/// Large segments in parts.
struct Cut {
    /// How to ask for the parts.
    finer: Way,
    /// Which they are, with the segment of the report they are told under.
    parts: BTreeMap<u32, u32>,
    /// Segments whose values are all alike.
    whole: Vec<(u32, u32)>,
}

/// Segments of one way to part rows whose rows are to be fetched.
struct Leaves {
    asks: [Ask; 2],
    /// With the rows of both sides, and the segment of the report they are told under.
    segments: Vec<(u32, u64, u32)>,
}

impl Work<'_> {
    fn compare(&self, judge: &mut Judge<'_>) -> Result<Report> {
        let axis = self.axis()?;
        let way = self.way(axis)?;
        let chosen = self.chosen(&way);
        let digests = self.digests(&way, chosen.as_deref())?;
        let mut leaves = Vec::new();
        let differing: Vec<(u32, u32)> =
            digests.iter().filter(|(_, [a, b])| a != b).map(|(segment, _)| (*segment, *segment)).collect();
        self.narrow(&way, &digests, differing, 0, &mut leaves)?;
        // The key of a row says in which segment it is, unless segments go by something else.
        let in_key = axis.is_some_and(|axis| axis < self.paired.key);
        let crossing = self.paired.key > 0 && !in_key;
        let (pairs, key) = (&self.paired.pairs, self.paired.key);
        let mut findings = Findings::new(pairs, key, self.comparison.limit, crossing, judge);
        for part in &leaves {
            self.fetch(&way, part, &mut findings)?;
        }
        findings.finish();
        let Findings { counts, by_column, by_segment, samples, repeated, .. } = findings;
        let named = pairs.iter().map(|p| p.name.clone());
        Ok(Report {
            left: self.side(0, &way, &digests),
            right: self.side(1, &way, &digests),
            key: named.clone().take(key).collect(),
            columns: named.clone().collect(),
            shape: self.paired.shape.clone(),
            counts,
            by_column: named.zip(by_column).filter(|(_, rows)| *rows > 0).collect(),
            samples,
            repeated,
            axis: axis.map(|axis| pairs[axis].name.clone()),
            segments: segments(&way.asks[1].split, &digests, &by_segment, chosen.as_deref()),
            parts: parts(&way.asks[1].split, &by_segment),
            sampling: self.comparison.sampling.filter(|_| chosen.is_some()),
            hashed: way.hashing,
            beyond: 0,
            changed_since: 0,
            elapsed: std::time::Duration::ZERO,
        })
    }

    /// How many rows of the first are counted apart, and the keys they have.
    fn beyond(&self) -> Result<(u64, HashSet<Box<[u8]>>)> {
        let Some(range) = &self.comparison.beyond else { return Ok((0, HashSet::new())) };
        let pairs = &self.paired.pairs[..self.paired.key];
        let split = Split::Content(0);
        let (mut rows, mut keys) = (0, HashSet::new());
        let mut encoder = Encoder::new(pairs, true, &split);
        self.sides[0].read_range(&side::columns(pairs, true, &split), Some(range), |batch| {
            rows += batch.num_rows() as u64;
            // Without a key nothing says which row another one was.
            if !pairs.is_empty() {
                let mut batch = encoder.over(&batch)?;
                while let Some(row) = batch.next()? {
                    keys.insert(row.bytes.into());
                }
            }
            Ok(())
        })?;
        Ok((rows, keys))
    }

    fn side(&self, at: usize, way: &Way, digests: &Digests) -> SideReport {
        SideReport {
            name: self.sides[at].name.to_owned(),
            rows: digests.values().map(|of| of[at].rows).sum(),
            transferred: self.sides[at].transferred(),
            pushed: way.pushed[at],
        }
    }

    /// The pair that segments are ranges of.
    fn axis(&self) -> Result<Option<usize>> {
        let Paired { pairs, key, shape, .. } = self.paired;
        let Some(by) = &self.comparison.by else { return Ok(pairs[..*key].iter().position(split::orders)) };
        let at = pairs.iter().position(|p| p.name == by.column || p.left.name == by.column);
        let refused = |message: String| Error::new(Code::BadArgument, message).state("nothing was compared");
        let Some(at) = at else {
            let known: Vec<&str> = pairs.iter().map(|p| p.name.as_str()).collect();
            return Err(refused(format!("there is no column {:?} to part the rows by", by.column))
                .help(floodmark_core::wording::suggest(&by.column, "compared are", &known)));
        };
        // Values that are none of the type have no place along it.
        if !split::orders(&pairs[at]) && shape.misfits.iter().any(|m| m.column == pairs[at].name) {
            return Ok(pairs[..*key].iter().position(split::orders));
        }
        if !split::orders(&pairs[at]) {
            return Err(refused(format!(
                "rows cannot be parted by {:?}: the two need not order its values alike",
                by.column
            ))
            .help("name a column of whole numbers, decimals, dates, times with a date, or texts"));
        }
        if let Some(step) = by.step.filter(|_| !by.fits(&pairs[at])) {
            let data_type = pairs[at].right.data_type;
            return Err(refused(format!("a step of {step} does not fit {:?}, a {data_type}", by.column))
                .help("write 1h, 1d, 1w, 1mo or 1y for times, days and longer for dates, a whole number for numbers"));
        }
        Ok(Some(at))
    }

    /// Who hashes, how, and where segments end.
    fn way(&self, axis: Option<usize>) -> Result<Way> {
        let stop = &self.engine.stop;
        let mut rows = None;
        for side in self.sides {
            if let Some(digests) = side.digests() {
                rows = rows.max(Some(digests.estimate(stop)?).filter(|rows| *rows > 0));
            }
        }
        let content = Split::Content(split::bits(rows));
        let mut way = self.hashing(|_| content.clone())?;
        let Some(at) = axis else { return Ok(way) };
        let pair = &self.paired.pairs[at];
        let on = |bounds: &[Value]| {
            let bounds = bounds.to_vec();
            move |left: bool| Split::Axis { column: split::axis(pair, left), bounds: bounds.clone() }
        };
        way = self.hashing(on(&[]))?;
        let by = self.comparison.by.as_ref();
        let step = by.and_then(|by| by.step);
        let about = split::values(rows);
        let (sampled, counted) = split::sample(self.sides, &way.asks, way.pushed, None, about, stop)?;
        let wanted = split::segments(counted.or(rows));
        let pushed = way.pushed;
        // Fewer segments are better than rows that have to come here.
        for most in [wanted, wanted.min(1024), wanted.min(256)] {
            way = self.hashing(on(&split::bounds(pair, sampled.clone(), most, by)))?;
            if way.pushed == pushed || step.is_some() {
                break;
            }
        }
        Ok(way)
    }

    /// The quickest way to hash that both have, with the rows parted so.
    fn hashing(&self, split: impl Fn(bool) -> Split) -> Result<Way> {
        let stop = &self.engine.stop;
        let ask = |at: usize| Ask {
            columns: self.paired.pairs.iter().map(|p| p.hashed(at == 0)).collect(),
            native: false,
            split: split(at == 0),
            range: self.sides[at].range.cloned(),
        };
        let mut asks = [ask(0), ask(1)];
        if let (Some(left), Some(right)) = (self.sides[0].digests(), self.sides[1].digests())
            && let Some(said) = left.native(stop)?
            && Some(said) == right.native(stop)?
        {
            let mut own = asks.clone();
            own.iter_mut().for_each(|ask| ask.native = true);
            let mut all = true;
            for n in 0..self.paired.pairs.len() {
                let family = match (left.family(&own[0].columns[n], stop)?, right.family(&own[1].columns[n], stop)?) {
                    (Some(a), Some(b)) => a.of(b),
                    _ => None,
                };
                all &= family.is_some();
                own.iter_mut().for_each(|ask| ask.columns[n].family = family);
            }
            if all && left.can(&own[0], stop)? && right.can(&own[1], stop)? {
                return Ok(Way { hashing: Hashing::Native, pushed: [true, true], asks: own });
            }
        }
        let mut pushed = [false, false];
        for at in 0..2 {
            if let Some(digests) = self.sides[at].digests() {
                pushed[at] = digests.can(&asks[at], stop)?;
            }
        }
        let hashing = if pushed.contains(&true) { Hashing::Md5 } else { Hashing::Here };
        asks.iter_mut().for_each(|ask| ask.native = false);
        Ok(Way { hashing, pushed, asks })
    }

    /// The segments that are looked at, where that is not all.
    fn chosen(&self, way: &Way) -> Option<Vec<u32>> {
        let sampling = self.comparison.sampling?;
        let all = way.asks[0].split.segments() as u64;
        let wanted = match sampling.wanted {
            Share::Segments(n) => n,
            Share::Percent(percent) => (all as f64 * percent / 100.0).ceil() as u64,
        }
        .clamp(1, all);
        let mut numbered: Vec<(u64, u32)> = (0..all as u32)
            .map(|segment| (Hash::Here.of(format!("{} {segment}", sampling.seed).as_bytes()), segment))
            .collect();
        numbered.sort_unstable();
        let mut chosen: Vec<u32> = numbered.into_iter().take(wanted as usize).map(|(_, segment)| segment).collect();
        chosen.sort_unstable();
        Some(chosen)
    }

    /// What both tell of the segments.
    fn digests(&self, way: &Way, segments: Option<&[u32]>) -> Result<Digests> {
        let (left, right) = both(|| self.told(0, way, segments), || self.told(1, way, segments))?;
        let mut digests = Digests::new();
        for (at, told) in [left, right].into_iter().enumerate() {
            for (segment, digest) in told {
                digests.entry(segment).or_default()[at] = digest;
            }
        }
        Ok(digests)
    }

    fn told(&self, at: usize, way: &Way, segments: Option<&[u32]>) -> Result<Vec<(u32, Digest)>> {
        let (side, ask) = (&self.sides[at], &way.asks[at]);
        if let (true, Some(digests)) = (way.pushed[at], side.digests()) {
            return digests.digests(ask, segments, &self.engine.stop);
        }
        let hash = if way.hashing == Hashing::Here { Hash::Here } else { Hash::Md5 };
        let all = side.hash_here(&self.paired.pairs, &ask.split, hash)?;
        Ok(all.into_iter().filter(|(s, _)| segments.is_none_or(|wanted| wanted.binary_search(s).is_ok())).collect())
    }

    /// Cuts large segments that differ into smaller ones, until those are left that differ and are small, or cannot be cut.
    /// `differing`: with the segments of the report they are told under.
    fn narrow(
        &self,
        way: &Way,
        digests: &Digests,
        differing: Vec<(u32, u32)>,
        depth: u32,
        leaves: &mut Vec<Leaves>,
    ) -> Result<()> {
        let rows = |segment: u32| digests.get(&segment).map_or(0, |[a, b]| a.rows.max(b.rows));
        let cuts = way.pushed == [true, true] && depth < DEPTH;
        // A few rows in each of many segments are found sooner by smaller ones than by fetching all of these.
        let all: u64 = differing.iter().map(|(segment, _)| rows(*segment)).sum();
        let small_enough = if all > AT_ONCE / 2 { SMALL / 20 } else { SMALL };
        let (large, mut small): (Vec<_>, Vec<_>) =
            differing.into_iter().partition(|(segment, _)| cuts && *segment > 0 && rows(*segment) > small_enough);
        match if large.is_empty() { None } else { self.cut(way, &large)? } {
            None => small.extend(large),
            Some(Cut { finer, parts, whole }) => {
                small.extend(whole);
                let wanted: Vec<u32> = parts.keys().copied().collect();
                let found = self.digests(&finer, Some(&wanted))?;
                let differing = found.iter().filter(|(_, [a, b])| a != b);
                let differing = differing.filter_map(|(part, _)| Some((*part, *parts.get(part)?))).collect();
                self.narrow(&finer, &found, differing, depth + 1, leaves)?;
            }
        }
        if !small.is_empty() {
            small.sort_unstable();
            let of = |segment: u32| digests.get(&segment).map_or(0, |[a, b]| a.rows + b.rows);
            let segments = small.into_iter().map(|(segment, told)| (segment, of(segment), told)).collect();
            leaves.push(Leaves { asks: way.asks.clone(), segments });
        }
        Ok(())
    }

    /// Large segments in parts. `None` where rows are not parted by values.
    fn cut(&self, way: &Way, large: &[(u32, u32)]) -> Result<Option<Cut>> {
        let Split::Axis { column, bounds } = &way.asks[1].split else { return Ok(None) };
        let Some(pair) = self.paired.pairs.iter().find(|p| p.right.name == column.name) else { return Ok(None) };
        let stop = &self.engine.stop;
        let numbers: Vec<u32> = large.iter().map(|(segment, _)| *segment).collect();
        let most = PARTS_AT_ONCE[0].min(large.len() as u64 * PARTS);
        let (sampled, _) = split::sample(self.sides, &way.asks, way.pushed, Some(&numbers), most * 4, stop)?;
        let mut values: HashMap<u32, Vec<Value>> = HashMap::new();
        for value in sampled {
            values.entry(way.asks[1].split.of_value(&value)).or_default().push(value);
        }
        for at_once in PARTS_AT_ONCE {
            let each = (at_once / large.len() as u64).clamp(2, PARTS);
            let cut = self.parts(pair, bounds, large, &values, each)?;
            if let Some(cut) = cut.filter(|cut| cut.finer.pushed == way.pushed && cut.finer.hashing == way.hashing) {
                return Ok(Some(cut));
            }
        }
        Ok(None)
    }

    /// Large segments in so many parts each, by values of each. `None` where the values of all are alike.
    fn parts(
        &self,
        pair: &Pair,
        bounds: &[Value],
        large: &[(u32, u32)],
        values: &HashMap<u32, Vec<Value>>,
        each: u64,
    ) -> Result<Option<Cut>> {
        let (mut all, mut cut, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for (segment, told) in large {
            let (from, until) = ends(bounds, (*segment, *segment));
            let of_segment = values.get(segment).cloned().unwrap_or_default();
            let inner: Vec<Value> = split::bounds(pair, of_segment, each, None)
                .into_iter()
                .filter(|b| from.is_none_or(|from| b.compare(from) == Some(Ordering::Greater)))
                .filter(|b| until.is_none_or(|until| b.compare(until) == Some(Ordering::Less)))
                .collect();
            if inner.is_empty() {
                whole.push((*segment, *told));
                continue;
            }
            all.extend(from.filter(|from| all.last() != Some(*from)).cloned());
            let first = all.len() as u32 + 1;
            all.extend(inner);
            cut.push((first..=all.len() as u32 + 1, *told));
            all.extend(until.cloned());
        }
        if cut.is_empty() {
            return Ok(None);
        }
        let finer = self.hashing(|left| Split::Axis { column: split::axis(pair, left), bounds: all.clone() })?;
        let parts = cut.into_iter().flat_map(|(parts, told)| parts.map(move |part| (part, told))).collect();
        Ok(Some(Cut { finer, parts, whole }))
    }

    /// Fetches rows, so many at a time as fit into memory, and compares them.
    fn fetch(&self, way: &Way, leaves: &Leaves, findings: &mut Findings<'_>) -> Result<()> {
        let mut waiting = leaves.segments.as_slice();
        while !waiting.is_empty() {
            let mut rows = 0;
            let fits = waiting.iter().position(|(_, n, _)| {
                rows += n;
                rows > AT_ONCE
            });
            let (now, later) = waiting.split_at(fits.unwrap_or(waiting.len()).max(1));
            waiting = later;
            let segments: Vec<u32> = now.iter().map(|(segment, ..)| *segment).collect();
            let told: HashMap<u32, u32> = now.iter().map(|(segment, _, told)| (*segment, *told)).collect();
            let (left, right) =
                both(|| self.rows(0, way, leaves, &segments, &told), || self.rows(1, way, leaves, &segments, &told))?;
            findings.take(left, right);
        }
        Ok(())
    }

    fn rows(
        &self,
        at: usize,
        way: &Way,
        leaves: &Leaves,
        segments: &[u32],
        told: &HashMap<u32, u32>,
    ) -> Result<Vec<Fetched>> {
        let (side, ask, pairs) = (&self.sides[at], &leaves.asks[at], &self.paired.pairs);
        let wanted: HashSet<u32> = segments.iter().copied().collect();
        let hash = if way.hashing == Hashing::Here { Hash::Here } else { Hash::Md5 };
        let columns = side::columns(pairs, at == 0, &ask.split);
        let mut encoder = Encoder::new(pairs, at == 0, &ask.split);
        let mut out = Vec::new();
        let pushed = way.pushed[at];
        let mut take = |rows| {
            let mut rows = encoder.over(&rows)?;
            while let Some(row) = rows.next()? {
                // By its hash a database has chosen already, and what it hashes is not always worked out here.
                let segment = match row.segment {
                    Some(segment) => segment,
                    None if pushed => segments[0],
                    None => ask.split.of_hash(hash.of(row.bytes)),
                };
                if wanted.contains(&segment) {
                    let segment = told.get(&segment).copied().unwrap_or(segment);
                    out.push(Fetched { row: row.bytes.into(), segment });
                }
            }
            Ok(())
        };
        match pushed {
            true => side.fetch(ask, segments, &columns, &mut take)?,
            false => side.read(&columns, &mut take)?,
        }
        Ok(out)
    }
}

/// The parts of the axis that hold rows which differ.
fn parts(split: &Split, found: &HashMap<u32, Counts>) -> Vec<Part> {
    let Split::Axis { bounds, .. } = split else { return Vec::new() };
    let mut segments: Vec<u32> = found.keys().copied().filter(|segment| *segment > 0).collect();
    segments.sort_unstable();
    let part = |run| {
        let (from, until) = ends(bounds, run);
        Part { from: from.cloned(), until: until.cloned() }
    };
    runs(&segments).into_iter().map(part).collect()
}

/// The segments as they are told.
fn segments(split: &Split, digests: &Digests, found: &HashMap<u32, Counts>, chosen: Option<&[u32]>) -> Vec<Segment> {
    let Split::Axis { bounds, .. } = split else { return Vec::new() };
    let text = |value: Option<&Value>| value.map(ToString::to_string);
    let segment = |number: u32| {
        let (from, until) = ends(bounds, (number, number));
        let [left, right] = digests.get(&number).copied().unwrap_or_default();
        Segment {
            from: text(from).filter(|_| number > 0),
            until: text(until).filter(|_| number > 0),
            null: number == 0,
            left: left.rows,
            right: right.rows,
            counts: found.get(&number).copied().unwrap_or_default(),
            compared: chosen.is_none_or(|chosen| chosen.binary_search(&number).is_ok()),
        }
    };
    let all = 0..split.segments() as u32;
    all.filter(|number| *number > 0 || digests.contains_key(number)).map(segment).collect()
}
