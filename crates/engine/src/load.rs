//! From extracted rows to the destination's transactions: chunks, their accounting and their receipts.

use crate::{
    backfill::Receipts,
    extract::{Item, Items},
    plan::Reading,
    run::{Replay, begun, settings_of_part},
    shape::{Misfit, Origin, Shaper},
};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_connect::{
    BadRow, Chunk, ShapedBatch,
    crash::{self, Point},
    destination::Transaction,
};
use floodmark_core::{
    Code, Counts, Error, Result, Schema, Value,
    clock::SharedClock,
    commits::{Commits, Committed, SliceKind, SliceShare},
    event::{Event, Observer},
    pipeline::{AbsentRows, Load, OnBadRow, Pipeline, RejectLimit, STDIN},
    state::{BoundaryChange, Commit, FileEntry, Lineage, Mark, Reject, RunRecord, State, TRANSFORMED, WatermarkMove},
    wording,
};

/// Where a slice stands in this run.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// Rows read, those of earlier runs included.
    rows: u64,
    ended: bool,
    settled: bool,
    /// Something happened to it since the last commit.
    dirty: bool,
    /// Something happened to it in this run.
    begun: bool,
    /// Since the last commit.
    share: Share,
    lineage: Option<Lineage>,
}

/// What of a slice is in a chunk.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// Rows of it that were read before.
    before: u64,
    skipped: u64,
    rejected: u64,
    /// Skipped ones that were not even read.
    left_out: u64,
}

/// What a run streams, from where to where.
pub(crate) struct Parts<'r, 'scope, 'a> {
    pub(crate) pipeline: &'r Pipeline,
    pub(crate) readings: &'r [Reading],
    /// By reading: rows there are, and the hash of the content.
    pub(crate) surveyed: &'r [(u64, u128)],
    pub(crate) items: Items<'scope, 'a>,
    pub(crate) shaper: Shaper<'r>,
    pub(crate) schema: &'r Schema,
    pub(crate) source_schema: Option<&'r Schema>,
    pub(crate) replay: Option<&'r Replay>,
    pub(crate) state: State,
    pub(crate) record: RunRecord,
    pub(crate) observer: &'r dyn Observer,
    pub(crate) clock: SharedClock,
    /// One transaction for the whole run.
    pub(crate) whole: bool,
    /// Which rows of the table come from which slice is on record.
    pub(crate) lineage: bool,
    /// The slices are files, each with its receipt.
    pub(crate) by_file: bool,
    /// Where along the watermark reading begins, for a source that is asked for it.
    pub(crate) from: Option<Value>,
    /// The receipts are of intervals.
    pub(crate) receipts: Option<Receipts<'r>>,
}

/// The stream of a run, cut into chunks.
pub(crate) struct Chunks<'r, 'scope, 'a> {
    parts: Parts<'r, 'scope, 'a>,
    progress: Vec<Progress>,
    /// Set aside, and not yet handed on.
    rejects: Vec<Reject>,
    last_reject: Option<Error>,
    /// Of the open chunk, beside what the destination counts.
    chunk: Counts,
    chunk_rows: u64,
    rejected_total: u64,
    read_total: u64,
    /// Rows of intervals that are committed.
    of_units: u64,
    /// Everything is read.
    pub(crate) done: bool,
}

impl<'r, 'scope, 'a> Chunks<'r, 'scope, 'a> {
    pub(crate) fn new(parts: Parts<'r, 'scope, 'a>) -> Self {
        let progress = parts
            .readings
            .iter()
            .map(|r| Progress {
                rows: r.skip_rows,
                lineage: r.entry.as_ref().filter(|_| r.skip_rows > 0).and_then(|e| e.lineage.clone()),
                share: Share { before: r.skip_rows, ..Share::default() },
                ..Progress::default()
            })
            .collect();
        Chunks {
            parts,
            progress,
            rejects: Vec::new(),
            last_reject: None,
            chunk: Counts::default(),
            chunk_rows: 0,
            rejected_total: 0,
            read_total: 0,
            of_units: 0,
            done: false,
        }
    }

    fn warn(&self, message: String) {
        self.parts.observer.observe(&Event::Warning { pipeline: self.parts.pipeline.name.clone(), message });
    }

    fn read(&mut self, slice: usize, rows: u64) {
        self.chunk.read += rows;
        self.read_total += rows;
        self.progress[slice].rows += rows;
        self.progress[slice].dirty = true;
        self.parts
            .observer
            .observe(&Event::Progress { pipeline: self.parts.pipeline.name.clone(), rows: self.read_total });
    }

    /// A bad row ends the run, or is set aside.
    fn bad(&mut self, slice: &str, line: u64, error: Error, raw: String) -> Result<()> {
        if self.parts.pipeline.on_bad_row == OnBadRow::Fail {
            return Err(error);
        }
        let reject = Reject {
            slice: slice.to_owned(),
            line,
            column: error.place().and_then(|p| p.column.clone()),
            reason: reason(&error),
            raw,
        };
        if self.rejected_total == 0 {
            let pipeline = self.parts.pipeline.name.clone();
            self.parts.observer.observe(&Event::Rejected { pipeline, first: reject.clone() });
        }
        self.rejects.push(reject);
        self.chunk.rejected += 1;
        self.rejected_total += 1;
        let last = self.last_reject.insert(error.in_file(slice));
        if let Some(RejectLimit::Rows(limit)) = self.parts.pipeline.max_rejects
            && self.rejected_total > limit
        {
            return Err(too_many(self.rejected_total, &wording::count(limit, "row"), last));
        }
        Ok(())
    }

    fn bad_rows(&mut self, slice: usize, bad: Vec<BadRow>) -> Result<()> {
        let name = &self.parts.readings[slice].slice.name;
        for row in bad {
            self.bad(name, row.line.unwrap_or(row.row), row.error, row.raw)?;
            self.progress[slice].share.rejected += 1;
        }
        Ok(())
    }

    /// Rows that were not read are behind the watermark, as if they had been.
    fn leave_out(&mut self, slice: usize, rows: u64) {
        let Reading { slice: of, known, heals, .. } = &self.parts.readings[slice];
        self.parts.shaper.left_out(rows, &Origin { slice: &of.name, known: *known, heals: *heals, row_of: &|_| 0 });
        self.chunk.skipped += rows;
        self.progress[slice].share.skipped += rows;
        self.progress[slice].share.left_out += rows;
    }

    fn misfits(&mut self, slice: Option<usize>, misfits: Vec<Misfit>, row_of: impl Fn(usize) -> u64) -> Result<()> {
        for misfit in misfits {
            let row = row_of(misfit.row);
            let mut place = misfit.error.place().cloned().unwrap_or_default();
            place.row = (row > 0).then_some(row);
            let mut error = misfit.error.at(place);
            let mut name = TRANSFORMED;
            if let Some(slice) = slice {
                let slice = &self.parts.readings[slice].slice;
                error = error.in_file(&slice.name);
                name = &slice.name;
            }
            self.bad(name, row, error, misfit.raw)?;
            slice.into_iter().for_each(|slice| self.progress[slice].share.rejected += 1);
        }
        Ok(())
    }

    fn shape(
        &mut self,
        slice: Option<usize>,
        rows: arrow::array::RecordBatch,
        row_of: impl Fn(usize) -> u64,
        transaction: &mut dyn Transaction,
    ) -> Result<Option<ShapedBatch>> {
        // Rows a transform made belong to no file: they count as known once any file was.
        let known = slice.map_or_else(|| self.parts.readings.iter().all(|r| r.known), |s| self.parts.readings[s].known);
        let name = slice.map_or(TRANSFORMED, |s| self.parts.readings[s].slice.name.as_str());
        let heals = slice.map_or_else(|| self.parts.readings.iter().any(|r| r.heals), |s| self.parts.readings[s].heals);
        let shaped =
            self.parts.shaper.shape(rows, &Origin { slice: name, known, heals, row_of: &row_of }, transaction)?;
        if let Some(change) = self.parts.shaper.overdue_boundary() {
            transaction.boundary(&change)?;
        }
        if self.parts.shaper.take_settled() {
            match slice {
                Some(slice) => self.progress[slice].settled = true,
                None => self.progress.iter_mut().for_each(|p| p.settled = true),
            }
        }
        self.chunk.skipped += shaped.skipped;
        slice.into_iter().for_each(|slice| self.progress[slice].share.skipped += shaped.skipped);
        self.misfits(slice, shaped.misfits, row_of)?;
        self.chunk_rows += shaped.rows.num_rows() as u64;
        let batch = ShapedBatch { rows: shaped.rows, delete: shaped.delete, slice: slice.unwrap_or(0) };
        Ok((batch.rows.num_rows() > 0).then_some(batch))
    }

    fn verdict(&self) -> Result<()> {
        self.parts.shaper.verdict()?;
        if let (Some(RejectLimit::Percent(limit)), Some(last)) = (self.parts.pipeline.max_rejects, &self.last_reject)
            && self.rejected_total as f64 * 100.0 > limit * self.read_total as f64
        {
            let limit = format!("{limit}% of the {} read", wording::count(self.read_total, "row"));
            return Err(too_many(self.rejected_total, &limit, last));
        }
        let pipeline = self.parts.pipeline;
        let absence = pipeline.load == Load::Overwrite
            || pipeline.absent_rows != AbsentRows::Keep
            || (pipeline.load == Load::DeleteInsert && !pipeline.window.is_empty());
        if self.rejected_total > 0 && absence && !pipeline.key.is_empty() {
            self.warn(format!(
                "{} rejected: rows that are absent from the source stay in the table this time, as they may be theirs",
                floodmark_core::wording::agree(self.rejected_total, "row", "was", "were")
            ));
        }
        if let Some(horizon) = self.parts.shaper.held_back() {
            self.warn(held_back(self.parts.pipeline, horizon));
        }
        if let Some((rows, slice)) = self.parts.shaper.late_skipped() {
            self.warn(format!(
                "{} behind the watermark {} left out (`late_rows: skip`), the first in {slice}",
                wording::count(rows, "row"),
                wording::verb(rows, "was", "were")
            ));
        }
        Ok(())
    }

    /// Slices this chunk is the first to read of, from their beginning: those whose every row counts, and those that are
    /// only looked through for what lies at or before the watermark.
    fn begun(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut whole, mut skimmed) = (Vec::new(), Vec::new());
        if self.parts.replay.is_some() {
            return (whole, skimmed);
        }
        for (reading, progress) in self.parts.readings.iter().zip(&mut self.progress) {
            let begins = (progress.dirty || progress.ended) && !std::mem::replace(&mut progress.begun, true);
            // What comes on standard input is other rows each time.
            if begins && reading.skip_rows == 0 && reading.slice.name != STDIN {
                let names = if reading.known && !reading.heals { &mut skimmed } else { &mut whole };
                names.push(reading.slice.name.clone());
            }
        }
        if self.parts.pipeline.transform.is_some() && !(whole.is_empty() && skimmed.is_empty()) {
            skimmed.push(TRANSFORMED.to_owned());
        }
        (whole, skimmed)
    }

    /// The entry of the file that replayed rows came from, where rows are told apart by their file: these are among its
    /// own from now on.
    fn rejoined(&self) -> Option<(String, FileEntry)> {
        let name = &self.parts.readings.first()?.slice.name;
        let entry = self.parts.state.files.get(name)?;
        let mut lineage = entry.lineage.clone()?;
        lineage.extend(self.progress.first()?.lineage.clone()?);
        Some((name.clone(), FileEntry { lineage: Some(lineage), ..entry.clone() }))
    }

    /// The parts of the source that are in the open chunk.
    fn slices(&self) -> Vec<SliceShare> {
        if let Some(receipts) = &self.parts.receipts {
            let read = receipts.met(&self.parts.shaper) - self.of_units;
            return receipts.share(read, self.chunk.rejected).into_iter().collect();
        }
        let highest = || self.parts.shaper.highest().map(|mark| mark.value.to_string());
        let share = |(reading, progress): (&Reading, &Progress)| {
            let Share { before, skipped, rejected, .. } = progress.share;
            let read = progress.rows.saturating_sub(before);
            let (kind, from, until) = match self.parts.by_file {
                true => {
                    (SliceKind::File, (read > 0).then(|| (before + 1).to_string()), Some(progress.rows.to_string()))
                }
                false => (SliceKind::Table, self.parts.from.as_ref().map(ToString::to_string), highest()),
            };
            let until = until.filter(|_| read > 0);
            let name = reading.slice.name.clone();
            SliceShare { kind, name, through: None, slices: 1, from, until, read, skipped, rejected }
        };
        // That the last row of a file was in the chunk before is no news of this one.
        let brings = |p: &Progress| p.dirty && (p.rows > p.share.before || p.rows == 0);
        let met = self.parts.readings.iter().zip(&self.progress).filter(|(_, progress)| brings(progress));
        met.map(share).collect()
    }

    /// Bytes of files that were read for the open chunk: of a file that is read in parts as many as its rows say.
    fn bytes(&self) -> Option<u64> {
        self.parts.pipeline.source.files()?;
        let of = |((reading, progress), (rows, _)): ((&Reading, &Progress), &(u64, u128))| {
            let size = u128::from(reading.slice.size);
            // All of them, but for those that an earlier run committed.
            let upto = |n: u64| if *rows == 0 { 0 } else { size * u128::from(n.min(*rows)) / u128::from(*rows) };
            let part = upto(progress.rows).saturating_sub(upto(progress.share.before));
            let part = part.saturating_sub(upto(progress.share.left_out));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        Some(self.parts.readings.iter().zip(&self.progress).zip(self.parts.surveyed).map(of).sum())
    }

    fn files(&mut self) -> Vec<(String, FileEntry)> {
        if self.parts.replay.is_some() {
            return self.rejoined().into_iter().collect();
        }
        let mut files = Vec::new();
        if !self.parts.by_file {
            return files;
        }
        for ((reading, progress), (_, hash)) in
            self.parts.readings.iter().zip(&mut self.progress).zip(self.parts.surveyed)
        {
            if !progress.dirty && !progress.ended {
                continue;
            }
            progress.dirty = false;
            let complete = progress.ended && !progress.settled;
            // A watermark tells known rows from new ones; only without it, or until the load is complete, is a lineage
            // needed.
            let keep_lineage = self.parts.pipeline.watermark.is_none() || !complete || !self.done;
            files.push((
                reading.slice.name.clone(),
                FileEntry {
                    size: reading.slice.size,
                    modified: reading.slice.modified,
                    hash: *hash,
                    rows: if progress.settled && progress.ended { 0 } else { progress.rows },
                    complete,
                    lineage: (keep_lineage && self.parts.lineage).then(|| progress.lineage.clone().unwrap_or_default()),
                },
            ));
        }
        // From now on the watermark speaks for what earlier runs of this load brought, too.
        if self.done && self.parts.pipeline.watermark.is_some() {
            let rest = self.parts.state.files.iter().filter(|(name, entry)| {
                entry.complete && entry.lineage.is_some() && !files.iter().any(|(written, _)| written == *name)
            });
            let rest: Vec<_> =
                rest.map(|(name, entry)| (name.clone(), FileEntry { lineage: None, ..entry.clone() })).collect();
            files.extend(rest);
        }
        files
    }
}

impl Chunk for Chunks<'_, '_, '_> {
    fn complete(&self) -> bool {
        self.rejected_total == 0
    }

    fn next(&mut self, transaction: &mut dyn Transaction) -> Result<Option<ShapedBatch>> {
        let batch = self.pull(transaction)?;
        if batch.is_some() {
            crash::reached(Point::MidChunk)?;
        }
        Ok(batch)
    }

    fn seal(&mut self, counts: Counts, lineage: Vec<(usize, Lineage)>) -> Result<Commit> {
        let mut sum = counts;
        sum.add(&self.chunk);
        if self.parts.pipeline.transform.is_some() {
            sum.transformed.get_or_insert(0);
        }
        sum.check()?;
        match &self.parts.receipts {
            None => refuse_empty(self.parts.pipeline, &sum)?,
            Some(receipts) => {
                receipts.refuse_empty(self.parts.pipeline, &sum)?;
                receipts.refuse_others(&self.parts.shaper, self.parts.pipeline, &sum)?;
            }
        }
        crash::reached(Point::Sealed)?;
        for (slice, part) in lineage {
            self.progress[slice].lineage.get_or_insert_default().extend(part);
        }
        self.parts.record.counts.add(&sum);
        let (stored, highest) = (self.parts.state.watermark.clone(), self.parts.shaper.highest());
        // Rows that no run has read may be older than a replayed one. Where loaded rows are known by their key, the next
        // run reads from where the last one ended.
        let stays = self.parts.replay.is_some() && self.parts.pipeline.load != Load::Append;
        let watermark = match &self.parts.receipts {
            Some(receipts) => receipts.watermark(&self.parts.shaper, stored),
            None if self.done && !stays => highest.clone().or(stored),
            None => stored,
        };
        let now = self.parts.clock.now().max(logical(self.parts.record.started_at, &self.parts.state));
        self.parts.record.finished_at = Some(now);
        let last = self.done && self.parts.receipts.as_ref().is_none_or(|receipts| receipts.last);
        self.parts.record.status = if last { "ok" } else { "partial" }.into();
        let (intervals, absorbed) = match &self.parts.receipts {
            None => Default::default(),
            Some(receipts) => {
                let run = &self.parts.record.run;
                (receipts.entries(&self.parts.shaper, run, self.done, now)?, receipts.absorbed())
            }
        };
        // A backfill knows nothing of what a run left unfinished, unless it moves the watermark itself.
        let pending = match &self.parts.receipts {
            Some(receipts) if !receipts.moves(&self.parts.shaper) => self.parts.state.pending.clone(),
            _ => highest.filter(|_| !self.done),
        };
        let boundary = match &self.parts.receipts {
            Some(receipts) if !receipts.moves(&self.parts.shaper) => BoundaryChange::default(),
            _ => self.parts.shaper.take_boundary(),
        };
        let (pipeline, state, run) = (self.parts.pipeline, &self.parts.state, &self.parts.record.run);
        // Neither loads all there is: a few rows, and a part.
        let settings = match (self.parts.replay, &self.parts.receipts) {
            (Some(_), _) => state.settings.clone(),
            (None, Some(_)) => settings_of_part(pipeline, state, self.parts.schema, run, now),
            (None, None) => Some(begun(pipeline.settings(), pipeline, state, self.parts.schema, run, now)),
        };
        if let Some(moved) = &mut self.parts.record.watermark {
            moved.after = watermark.as_ref().map(|m| m.value.to_string());
        }
        self.parts.record.commits.push(Committed {
            commits: 1,
            at: now,
            counts: sum,
            watermark: watermark.as_ref().map(|m| m.value.to_string()),
            bytes: self.bytes(),
            slices: self.slices(),
        });
        let (reread, skimmed) = self.begun();
        self.parts.observer.observe(&Event::Sealed { pipeline: pipeline.name.clone() });
        Ok(Commit {
            schema: self.parts.schema.clone(),
            source_schema: self.parts.source_schema.cloned(),
            watermark,
            pending,
            boundary,
            reread,
            skimmed,
            files: self.files(),
            replayed: self.parts.replay.map(|r| r.rejects.clone()).unwrap_or_default(),
            settings,
            intervals,
            absorbed,
            run: self.parts.record.clone(),
        })
    }
}

impl Chunks<'_, '_, '_> {
    /// The next rows of the open chunk.
    fn pull(&mut self, transaction: &mut dyn Transaction) -> Result<Option<ShapedBatch>> {
        loop {
            if self.done {
                return Ok(None);
            }
            if !self.parts.whole && self.chunk_rows >= self.parts.pipeline.commit_every {
                // A chunk with rows that will be refused is not committed first.
                self.parts.shaper.verdict()?;
                return Ok(None);
            }
            let batch = match self.parts.items.next()? {
                None => {
                    self.done = true;
                    self.verdict()?;
                    None
                }
                Some(Item::End { slice }) => {
                    self.progress[slice].ended = true;
                    self.progress[slice].dirty = true;
                    None
                }
                Some(Item::Read { slice, covered, bad }) => {
                    self.read(slice, covered);
                    let rejected = self.chunk.rejected;
                    self.bad_rows(slice, bad)?;
                    // Rows that never reached the transform are still accounted for.
                    *self.chunk.transformed.get_or_insert(0) += self.chunk.rejected - rejected;
                    None
                }
                Some(Item::Rows { slice, rows, bad, covered, first_row, left_out }) => {
                    self.read(slice, covered);
                    self.leave_out(slice, left_out);
                    let bad_numbers: Vec<u64> = bad.iter().map(|b| b.row).collect();
                    self.bad_rows(slice, bad)?;
                    let row_of = |good: usize| number(first_row, &bad_numbers, good);
                    self.shape(Some(slice), rows, row_of, transaction)?
                }
                Some(Item::Made(rows)) => {
                    *self.chunk.transformed.get_or_insert(0) += rows.num_rows() as u64;
                    self.shape(None, rows, |_| 0, transaction)?
                }
            };
            self.rejects.drain(..).try_for_each(|reject| transaction.keep(reject))?;
            if batch.is_some() {
                return Ok(batch);
            }
        }
    }

    /// Makes ready for the next chunk, after a commit.
    pub(crate) fn committed(&mut self) {
        self.chunk = Counts::default();
        self.chunk_rows = 0;
        self.of_units = self.parts.receipts.as_ref().map_or(0, |receipts| receipts.met(&self.parts.shaper));
        for progress in &mut self.progress {
            progress.share = Share { before: progress.rows, ..Share::default() };
        }
        self.parts.observer.observe(&Event::Committed {
            pipeline: self.parts.pipeline.name.clone(),
            counts: self.parts.record.counts,
        });
    }

    /// Rows by outcome, of what is committed.
    pub(crate) fn record(&self) -> &RunRecord {
        &self.parts.record
    }
}

/// The watermark does not move to the highest row that was read.
fn held_back(pipeline: &Pipeline, horizon: &Value) -> String {
    let until = match horizon {
        Value::Null => "stays where it is".to_owned(),
        at => format!("moves to {at} and no further"),
    };
    let rows =
        if pipeline.load == Load::Append { "rows beyond it wait for" } else { "rows beyond it are looked at again in" };
    format!(
        "the watermark {until}: transactions that are open in the source may still commit rows there; {rows} the next run"
    )
}

/// An empty source must not empty a table unless that is asked for.
fn refuse_empty(pipeline: &Pipeline, sum: &Counts) -> Result<()> {
    let replaces = pipeline.load == Load::Overwrite || pipeline.absent_rows != AbsentRows::Keep;
    // A row that deletes is a row too: a source that says so may take the last row out.
    let rows = sum.inserted + sum.updated + sum.unchanged + sum.stale + sum.deleted + sum.delete_noop;
    // An export that failed leaves an empty file behind; a table that is empty is one, and from an empty one nothing is lost.
    let both_empty = pipeline.source.files().is_none() && sum.read == 0 && sum.removed == 0;
    if !replaces || pipeline.allow_empty || rows > 0 || both_empty {
        return Ok(());
    }
    Err(Error::new(Code::EmptyReplace, "the source holds no rows, and the table would become empty")
        .state("the table stands as it was")
        .help("check the source; if it is meant to be empty, set `allow_empty: true`"))
}

/// `last` is the newest reject: its place and reason are shown as an example.
fn too_many(rejected: u64, limit: &str, last: &Error) -> Error {
    let rejected = wording::agree(rejected, "row", "was", "were");
    let error = Error::new(Code::TooManyRejects, format!("{rejected} rejected, and `max_rejects` allows {limit}"))
        .state("nothing was written, the rejects neither")
        .help("correct the source, or raise `max_rejects`");
    let error = error.cause(format!("the last of them: {}", last.message()));
    match last.place() {
        Some(place) => error.at(place.clone()),
        None => error,
    }
}

fn reason(error: &Error) -> String {
    let value = error.place().and_then(|p| p.value.as_ref()).map(|v| format!(": {v:?}")).unwrap_or_default();
    format!("{} {}{value}", error.code().number(), error.message())
}

/// The number in its slice of the `good`-th good row of a batch that begins at `first`, bad rows counted.
fn number(first: u64, bad: &[u64], good: usize) -> u64 {
    let mut number = first + good as u64;
    for row in bad {
        if *row <= number {
            number += 1;
        }
    }
    number
}

/// How the watermark stands before a run.
pub(crate) fn movement(column: &str, before: Option<&Mark>) -> WatermarkMove {
    let before = before.map(|m| m.value.to_string());
    WatermarkMove { column: column.to_owned(), after: before.clone(), before }
}

/// The time that counts for a load begun at this one: behind the last commit also where a clock was set back since, or that of
/// another machine goes ahead. What has no time of its own (`scd2`) would else come before what it follows. States keep their
/// times to the millisecond.
pub(crate) fn logical(begun: DateTime<Utc>, state: &State) -> DateTime<Utc> {
    match state.updated_at {
        Some(last) if begun < last => last + TimeDelta::milliseconds(1),
        _ => begun,
    }
}

/// A fresh line of the run ledger.
pub(crate) fn record(pipeline: &Pipeline, run: &str, started_at: DateTime<Utc>) -> RunRecord {
    RunRecord {
        run: run.to_owned(),
        pipeline: pipeline.name.clone(),
        status: "failed".into(),
        load: pipeline.load.name().into(),
        started_at,
        finished_at: None,
        counts: Counts::default(),
        watermark: None,
        error: None,
        commits: Commits::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn good_rows_are_numbered_around_bad_ones() {
        assert_eq!((0..4).map(|g| number(10, &[11, 12], g)).collect::<Vec<_>>(), [10, 13, 14, 15]);
    }
}
