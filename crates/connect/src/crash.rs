//! Named points at which a run can be made to die, fail or stop: how the promises about crashes are tested.
//!
//! Every statement that changes what lasts stands inside [`at`], and the steps between statements are marked by
//! [`reached`]; a test holds that no statement is forgotten, and that every point is met by some load it kills. Nothing
//! happens at a point until [`arm`] was called: until then a point costs one relaxed load of a flag.

use floodmark_core::{Code, Error, Result};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

macro_rules! points {
    ($($point:ident = $name:literal, $doc:literal;)*) => {
        /// A place in a run, named.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point { $(#[doc = $doc] $point,)* }

        impl Point {
            /// Every point, roughly in the order a run meets them.
            pub const ALL: &[Point] = &[$(Point::$point,)*];
            /// As it is written in a specification.
            pub fn name(self) -> &'static str { match self { $(Point::$point => $name,)* } }
        }
    };
}

points! {
    // Taking the pipeline.
    OpenDatabase = "open-database", "the database is opened, and made where there is none";
    JournalMode = "journal-mode", "a new database gets its journal mode";
    LockFolder = "lock-folder", "the folder of the locks is made";
    LockFile = "lock-file", "a lock's file is made";
    NameHolder = "name-holder", "the holder writes its name into the lock's file";
    CreateState = "create-state", "the state tables are made";
    RaiseToken = "raise-token", "the fencing token is raised";
    TakeCommit = "take-commit", "state tables and token are committed";
    Locked = "locked", "the pipeline is held";

    // What is to be read.
    Planned = "planned", "what is new is known";
    Surveyed = "surveyed", "types are settled; the load begins";
    MidExtract = "mid-extract", "rows were read and have gone nowhere yet";

    // One transaction: the table.
    Forget = "forget", "a full refresh forgets state";
    DropTable = "drop-table", "a full refresh drops the table";
    CreateTable = "create-table", "the table is made";
    Widen = "widen", "a column gets a wider type";
    Rekey = "rekey", "keys that are remembered follow their column to its wider type";
    AddColumn = "add-column", "a column is added";
    FillColumn = "fill-column", "an added control column gets its value";
    Index = "index", "an index is made";

    // One transaction: rows.
    MidChunk = "mid-chunk", "rows are handed to the merge";
    EmptyTable = "empty-table", "an overwrite without a key empties the table";
    RemoveLineage = "remove-lineage", "earlier rows of a reloaded file go";
    Temporary = "temporary", "a temporary table is made or filled";
    Insert = "insert", "a row is inserted";
    Update = "update", "a row is written over";
    Delete = "delete", "a row is deleted";
    PutValue = "put-value", "one value of a row is written over";
    Kept = "kept", "the age of a kept value is noted or removed";
    Tombstone = "tombstone", "a tombstone is written or removed";
    Moment = "moment", "a moment of a history is written or removed";
    ReplaceWindow = "replace-window", "a window's rows are deleted or inserted";
    RemoveAbsent = "remove-absent", "rows the source no longer holds go, or are closed";

    // One transaction: the receipt.
    Sealed = "sealed", "the chunk's accounting adds up";
    WritePosition = "write-position", "watermark and schema are written, under the fence";
    WriteFile = "write-file", "the file ledger is written";
    Boundary = "boundary", "the rows at the boundary are written";
    WriteInterval = "write-interval", "receipts of intervals are written, or go";
    Rejects = "rejects", "rejected rows are kept, or dropped";
    WriteRun = "write-run", "the run ledger is written";
    DataFile = "data-file", "a file of rows is written";
    PutState = "put-state", "the state that goes with the rows is put beside the table";
    PutPointer = "put-pointer", "the table that a pipeline loads is written down";
    LoadCommit = "load-commit", "rows, position and receipt are committed";
    Committed = "committed", "a chunk is committed";

    // The end of a run, and changes of state outside one.
    RecordCommit = "record-commit", "a run that loaded nothing, or failed, is put on record";
    Released = "released", "the pipeline is let go, and nothing is reported yet";
    Reported = "reported", "the outcome is printed";
    ForgetPosition = "forget-position", "a position is forgotten";
    ChangeCommit = "change-commit", "a change of state is committed";
    Sweep = "sweep", "what nobody needs any more is dropped";
    Checkpoint = "checkpoint", "the log is written back after a change of state";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The process dies at once, as under `kill -9`.
    Abort,
    /// An error; after a statement it is the answer that got lost, for the statement was applied.
    Fail,
    /// The process is stopped until it gets SIGCONT.
    Stop,
    /// The process gets a signal, and goes on.
    Signal(i32),
}

#[derive(Debug)]
enum Plan {
    Act { point: Point, side: Side, nth: u64, action: Action, met: AtomicU64 },
    Trace(Mutex<File>),
}

static ARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Plan> = OnceLock::new();

/// Runs a statement that changes what lasts.
#[inline]
pub fn at<T>(point: Point, statement: impl FnOnce() -> Result<T>) -> Result<T> {
    if !ARMED.load(Ordering::Relaxed) {
        return statement();
    }
    met(point, Side::Before)?;
    let out = statement()?;
    met(point, Side::After)?;
    Ok(out)
}

/// Marks a step between statements; it counts as the side *before*.
#[inline]
pub fn reached(point: Point) -> Result<()> {
    if ARMED.load(Ordering::Relaxed) { met(point, Side::Before) } else { Ok(()) }
}

/// Makes this process die, fail, stop or get a signal at a point: `POINT[:before|after][:N]=abort|fail|stop|int|term`,
/// at the N-th time it is met (from 1). `trace=FILE` does nothing but write a line `POINT:SIDE` for each meeting. Only
/// the first call counts.
pub fn arm(specification: &str) -> Result<()> {
    let plan = parse(specification)?;
    if PLAN.set(plan).is_ok() {
        ARMED.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn parse(specification: &str) -> Result<Plan> {
    let wrong = |why: String| {
        Error::new(Code::BadArgument, format!("{specification:?} is no crash point: {why}"))
            .state("nothing was done")
            .help("it is written POINT[:before|after][:N]=abort|fail|stop|int|term, or trace=FILE")
    };
    let (place, action) = specification.split_once('=').ok_or_else(|| wrong("it names no action".into()))?;
    if place == "trace" {
        let file = OpenOptions::new().create(true).append(true).open(action);
        return file
            .map(|f| Plan::Trace(Mutex::new(f)))
            .map_err(|e| wrong("its file cannot be opened".into()).cause(e));
    }
    let mut parts = place.split(':');
    let name = parts.next().unwrap_or_default();
    let point = Point::ALL.iter().find(|p| p.name() == name).ok_or_else(|| wrong(format!("no point is {name:?}")))?;
    let (mut side, mut nth) = (Side::Before, 1);
    for part in parts {
        match part {
            "before" => side = Side::Before,
            "after" => side = Side::After,
            number => nth = number.parse().map_err(|_| wrong(format!("{number:?} is neither a side nor a number")))?,
        }
    }
    let action = match action {
        "abort" => Action::Abort,
        "fail" => Action::Fail,
        "stop" => Action::Stop,
        "int" => Action::Signal(signals::INT),
        "term" => Action::Signal(signals::TERM),
        other => return Err(wrong(format!("no action is {other:?}"))),
    };
    Ok(Plan::Act { point: *point, side, nth, action, met: AtomicU64::new(0) })
}

#[cold]
fn met(here: Point, side: Side) -> Result<()> {
    match PLAN.get() {
        None => Ok(()),
        Some(Plan::Trace(file)) => {
            let side = if side == Side::Before { "before" } else { "after" };
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(file, "{}:{side}", here.name())
                .map_err(|e| Error::new(Code::Output, "the trace of crash points cannot be written").cause(e))
        }
        Some(Plan::Act { point, side: planned, nth, action, met }) => {
            if *point != here || *planned != side || met.fetch_add(1, Ordering::Relaxed) + 1 != *nth {
                return Ok(());
            }
            act(*action, here)
        }
    }
}

fn act(action: Action, here: Point) -> Result<()> {
    match action {
        Action::Abort => {
            signals::raise(signals::KILL);
            std::process::abort()
        }
        Action::Fail => {
            return Err(Error::new(Code::Internal, format!("made to fail at {}", here.name()))
                .help("the environment asks for it: unset FLOODMARK_CRASH"));
        }
        Action::Stop => signals::raise(signals::STOP),
        // Its handler has run when this returns, so the next check sees it.
        Action::Signal(signal) => signals::raise(signal),
    }
    Ok(())
}

#[cfg(unix)]
mod signals {
    pub(super) use signal_hook::consts::{SIGINT as INT, SIGKILL as KILL, SIGSTOP as STOP, SIGTERM as TERM};

    /// What cannot be raised is not raised: the run goes on, and the test that asked for it fails.
    pub(super) fn raise(signal: i32) {
        let _ = signal_hook::low_level::raise(signal);
    }
}

#[cfg(not(unix))]
mod signals {
    pub(super) const INT: i32 = 2;
    pub(super) const KILL: i32 = 9;
    pub(super) const TERM: i32 = 15;
    pub(super) const STOP: i32 = 19;

    /// There are no such signals: `abort` still aborts, and the others do nothing.
    pub(super) fn raise(_signal: i32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = Point::ALL.iter().map(|p| p.name()).collect();
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }

    #[test]
    fn a_specification_says_where_when_and_what() {
        let Plan::Act { point, side, nth, action, .. } = parse("insert:after:3=fail").unwrap() else { panic!() };
        assert_eq!((point, side, nth, action), (Point::Insert, Side::After, 3, Action::Fail));
        let Plan::Act { side, nth, .. } = parse("locked=abort").unwrap() else { panic!() };
        assert_eq!((side, nth), (Side::Before, 1));
        for wrong in ["", "insert", "insertt=abort", "insert=explode", "insert:later=abort", "trace=/no/such/folder/x"]
        {
            assert_eq!(parse(wrong).unwrap_err().code(), Code::BadArgument, "{wrong}");
        }
    }

    #[test]
    fn an_unarmed_point_does_what_it_stands_around() {
        assert_eq!(at(Point::Insert, || Ok(7)).unwrap(), 7);
        reached(Point::Locked).unwrap();
    }
}
