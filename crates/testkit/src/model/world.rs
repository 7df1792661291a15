//! The model: what the files, the table and the state hold, and what a run makes of them.
//!
//! Written from the specification's fourth section, one plain step after the other. It knows nothing of transactions,
//! chunks, threads or kills: whatever those do, the world after a run must be this one.

use super::{
    fill::Receipt,
    history::{How, Step},
    merge,
    reading::Reading,
    row::{Content, Row, Value, get},
    scd2::{self, Histories},
    settings::{AXIS, Late, Load, Nulls, Settings, Source},
};
use std::collections::{BTreeMap, BTreeSet};

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) row: Row,
    /// The file it came from.
    pub(super) file: String,
    pub(super) gone: Gone,
}

/// Whether a row of the table is a softly deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    No,
    /// By a delete mark, which has a version.
    Marked,
    /// The source held it no longer; it is back when the source holds it again.
    Absent,
}

/// A row on its way.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) row: Row,
    pub(super) file: String,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) disk: BTreeMap<String, Content>,
    /// Files as they were when they were loaded; nothing after the watermark was set by hand, which means "read again".
    pub(super) ledger: BTreeMap<String, Option<Content>>,
    /// Files that were loaded and are gone, where the table is what the source is.
    pub(super) gone: BTreeSet<String>,
    /// Files with rows that were set aside when they were last read.
    pub(super) rejected: BTreeSet<String>,
    pub(super) table: Vec<Kept>,
    /// Keys of deleted rows, and the version of the delete.
    pub(super) graves: BTreeMap<Vec<Value>, Value>,
    /// Of `on_null: keep` with versions: everything that was said, as only that tells the newest values.
    pub(super) said: Histories,
    /// Of `scd2`.
    pub(super) histories: Histories,
    /// Of `scd2`: keys whose current version is closed, as the source holds them no longer.
    pub(super) closed: BTreeSet<Vec<Value>>,
    /// `day` holds moments by now, so its dates are midnights.
    pub(super) wide: bool,
    /// A kill lies behind, and what it left to do is not known.
    pub(super) unsettled: bool,
    pub(super) mark: Option<Value>,
    /// Something was loaded since the state was reset.
    pub(super) loaded: bool,
    /// The source's table is one of a server, with transactions that may be open.
    pub(super) server: bool,
    /// What backfills have loaded.
    pub(super) receipts: Vec<Receipt>,
    /// Met so far.
    pub(super) corners: BTreeSet<Corner>,
}

/// What an exclusion may want to know of a history, and only the model can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Corner {
    /// A batch held other content for a key, and then what the table has.
    BatchReturns,
    /// Nothing is new, and a file that went earlier is still gone.
    IdleAfterGone,
    /// A batch has several copies of a deleted key, of which the newest is newer than the delete.
    StaleThenNew,
    /// `on_null: keep`, and two contents of one key and version.
    KeepEqualVersions,
    /// A file of an append is loaded again in place of rows that were widened since.
    ReloadWidened,
}

/// What a run must report.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Expected {
    /// Why it fails; the table and all state stay.
    pub(super) fails: Option<Failure>,
    /// No file was read.
    pub(super) idle: bool,
    /// Counts that are certain. One that is not named may be anything, as long as the sum holds.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    NoFile,
    BadRow,
    NullCursor,
    TooManyRejects,
    ChangedFile,
    LateRows,
    EmptySource,
}

impl Failure {
    /// The error's code, where the specification leaves no choice.
    pub(super) fn code(self) -> Option<&'static str> {
        match self {
            Failure::NullCursor => Some("FM0304"),
            Failure::TooManyRejects => Some("FM0306"),
            Failure::ChangedFile => Some("FM0210"),
            Failure::LateRows => Some("FM0211"),
            Failure::EmptySource => Some("FM0212"),
            Failure::NoFile | Failure::BadRow => None,
        }
    }
}

/// All counts of a report but `read` and `removed` are outcomes of a row that was read.
pub(super) const OUTCOMES: &[&str] =
    &["skipped", "rejected", "superseded", "stale", "unchanged", "inserted", "updated", "deleted", "delete_noop"];

impl World {
    pub(super) fn new(settings: &Settings) -> Self {
        World {
            settings: settings.clone(),
            disk: BTreeMap::new(),
            ledger: BTreeMap::new(),
            gone: BTreeSet::new(),
            rejected: BTreeSet::new(),
            table: Vec::new(),
            graves: BTreeMap::new(),
            said: Histories::new(),
            histories: Histories::new(),
            closed: BTreeSet::new(),
            wide: false,
            unsettled: false,
            mark: None,
            loaded: false,
            server: false,
            receipts: Vec::new(),
            corners: BTreeSet::new(),
        }
    }

    /// One step of a history; what a run must report.
    pub(super) fn step(&mut self, step: &Step) -> Option<Expected> {
        match step {
            Step::Write(name, content) => drop(self.disk.insert(name.clone(), content.clone())),
            Step::Remove(name) => drop(self.disk.remove(name)),
            Step::Touch(_) => {}
            Step::Chunks(rows) => self.settings.commit_every = *rows,
            Step::Reset => self.reset(),
            // Where it stands already nothing is moved, and nothing read again.
            Step::SetMark(value) if self.mark.as_ref().is_some_and(|mark| mark != value) => {
                self.mark = Some(value.clone());
                self.ledger.values_mut().for_each(|loaded| *loaded = None);
            }
            Step::SetMark(_) => {}
            Step::Kill(_) => self.unsettled = true,
            Step::Run(How::Refresh) => return Some(self.refresh()),
            Step::Run(_) => return Some(self.run()),
            Step::Fill(fill) => *self = self.fill(fill).last(),
            Step::Verify => {}
        }
        None
    }

    /// `--full-refresh`: as if nothing had ever been loaded.
    fn refresh(&mut self) -> Expected {
        let (disk, corners) = (self.disk.clone(), self.corners.clone());
        let fresh = World { disk, corners, server: self.server, ..World::new(&self.settings) };
        let before = std::mem::replace(self, fresh);
        let mut expected = self.run();
        if expected.fails.is_some() {
            *self = before;
        } else {
            expected.idle = false;
            // What went and came back may be counted as either.
            expected.counts.retain(|name, _| matches!(*name, "read" | "rejected"));
        }
        expected
    }

    /// `state reset`: what was read and what was deleted is forgotten, the table stays.
    fn reset(&mut self) {
        self.graves.clear();
        self.said.clear();
        for kept in &self.table {
            let (key, version) = (self.key(&kept.row), self.version(&kept.row));
            self.said.entry(key).or_default().insert(version, Some(kept.row.clone()));
        }
        self.ledger.clear();
        self.mark = None;
        self.receipts.clear();
        self.loaded = false;
    }

    /// One run. When it fails the world stays as it was.
    pub(super) fn run(&mut self) -> Expected {
        let mut after = self.clone();
        after.unsettled = false;
        after.loaded = true;
        let expected = after.load();
        if expected.fails.is_none() {
            *self = after;
        } else {
            self.corners = after.corners;
        }
        expected
    }

    fn load(&mut self) -> Expected {
        let disk = self.disk.clone();
        let settings = self.settings.clone();
        let fail = |why| Expected { fails: Some(why), ..Expected::default() };
        if disk.is_empty() {
            return fail(Failure::NoFile);
        }
        self.rename(&disk);
        let mut replaced = BTreeSet::new();
        let mut tails = false;
        let readings = match self.plan(&disk, &mut replaced, &mut tails) {
            Ok(readings) => readings,
            Err(why) => return fail(why),
        };
        let mut counts = BTreeMap::from([("read", 0), ("removed", 0)]);
        counts.extend(OUTCOMES.iter().map(|name| (*name, 0)));
        // A file that is gone stays on record, except where the table is what the source is.
        if settings.full_read() {
            self.gone.extend(std::mem::take(&mut self.ledger).into_keys());
            self.gone.retain(|file| !disk.contains_key(file));
        }
        self.ledger.extend(disk.iter().map(|(file, content)| (file.clone(), Some(content.clone()))));
        if readings.is_empty() {
            if !self.gone.is_empty() {
                self.corners.insert(Corner::IdleAfterGone);
            }
            return Expected { idle: true, counts, ..Expected::default() };
        }
        self.widen(&readings);
        let mut incoming = Vec::new();
        let (mut late, mut null_cursors, mut highest) = (0, 0, self.mark.clone());
        // Rows at the watermark that are in the table already, to be met again one by one.
        let mut met: Vec<Kept> = self.table.clone();
        let mut aside = Vec::new();
        for reading in &readings {
            aside.push((reading.file.to_owned(), reading.whole(), reading.rows.iter().any(|row| self.bad(row))));
            for row in reading.rows {
                *counts.entry("read").or_default() += 1;
                if self.bad(row) {
                    *counts.entry("rejected").or_default() += 1;
                    continue;
                }
                let mut row = row.clone();
                if self.wide {
                    as_moment(&mut row);
                }
                if !self.passes(&row, reading, &mut met, &mut late, &mut null_cursors) {
                    *counts.entry("skipped").or_default() += 1;
                    continue;
                }
                let cursor = get(&row, AXIS);
                if settings.watermark.is_some() && cursor != Value::Null && Some(&cursor) > highest.as_ref() {
                    highest = Some(cursor);
                }
                incoming.push(Incoming { row, file: reading.file.to_owned() });
            }
        }
        let rejected = counts["rejected"];
        if rejected > 0 && !settings.reject {
            return fail(Failure::BadRow);
        }
        if settings.max_rejects.is_some_and(|limit| rejected > limit) {
            return fail(Failure::TooManyRejects);
        }
        if settings.absent_go() && incoming.is_empty() {
            return fail(Failure::EmptySource);
        }
        for (file, whole, rejected) in aside {
            self.set_aside(&file, whole, rejected);
        }
        self.mark = highest;
        match settings.load {
            Load::Append => {
                let before = self.table.len();
                if self.wide && !replaced.is_empty() {
                    self.corners.insert(Corner::ReloadWidened);
                }
                self.table.retain(|kept| !replaced.contains(&kept.file));
                counts.insert("removed", (before - self.table.len()) as u64);
                counts.insert("inserted", incoming.len() as u64);
                self.table.extend(incoming.into_iter().map(kept));
            }
            Load::Scd2 => scd2::load(self, &incoming, &mut counts),
            _ => merge::load(self, &incoming, &mut counts),
        }
        if null_cursors > 0 && settings.watermark.as_ref().is_some_and(|w| w.nulls == Nulls::Fail) {
            return fail(Failure::NullCursor);
        }
        if late > 0 && settings.late() == Late::Fail {
            return fail(Failure::LateRows);
        }
        if tails {
            // Whether the loaded part is read over or leapt over is the reader's business.
            counts.remove("read");
            counts.remove("skipped");
        }
        if settings.watermark.is_some() && rejected > 0 {
            // A bad row behind the watermark may be called either.
            counts.remove("rejected");
            counts.remove("skipped");
        }
        if settings.source == Source::Table {
            // How many rows of a table a run looks at is its source's business.
            counts.clear();
        }
        Expected { counts, ..Expected::default() }
    }

    /// A date widens to a timestamp, for the whole column and without loss.
    fn widen(&mut self, readings: &[Reading<'_>]) {
        let moment = |row: &Row| matches!(get(row, "day"), Value::Text(text) if text.len() > DATE);
        if readings.iter().any(|reading| reading.rows.iter().any(moment)) {
            self.wide = true;
            self.table.iter_mut().for_each(|kept| as_moment(&mut kept.row));
            let said = self.histories.values_mut().chain(self.said.values_mut());
            let said = said.flat_map(BTreeMap::values_mut).flatten();
            said.for_each(as_moment);
        }
    }

    /// A key column is NULL, or a value does not fit its column.
    fn bad(&self, row: &Row) -> bool {
        let null_key = self.settings.key.iter().any(|column| get(row, column) == Value::Null);
        null_key || matches!(get(row, "n"), Value::Text(_))
    }

    pub(super) fn key(&self, row: &Row) -> Vec<Value> {
        self.settings.key.iter().map(|column| get(row, column)).collect()
    }

    pub(super) fn version(&self, row: &Row) -> Value {
        if self.settings.versioned() { get(row, AXIS) } else { Value::Null }
    }
}

pub(super) fn kept(incoming: Incoming) -> Kept {
    Kept { row: incoming.row, file: incoming.file, gone: Gone::No }
}

/// The length of an ISO date.
const DATE: usize = 10;

/// The midnight of a date in `day`.
fn as_moment(row: &mut Row) {
    if let Some(value) = row.get_mut("day") {
        midnight(value);
    }
}

/// The midnight of a date, where it is one.
pub(super) fn midnight(value: &mut Value) {
    if let Value::Text(text) = value
        && text.len() == DATE
    {
        text.push_str(" 00:00:00");
    }
}
