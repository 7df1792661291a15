//! The state tables of a real database.

use floodmark_connect::{
    Destination,
    destination::{Ledger, StateChange},
};
use floodmark_core::{
    Code,
    state::{IntervalEntry, Memory, State},
    url::ConnectionUrl,
};
use floodmark_fuzz::scratch;
use floodmark_sqlite::SqliteDestination;
use rusqlite::{Connection, params};
use std::cell::RefCell;

const PIPELINE: &str = "p";

/// One database for all inputs: each puts its state in the place of the last one's.
struct Database {
    ledger: Box<dyn Ledger>,
    /// Beside the ledger, to write what it never would.
    raw: Connection,
}

impl Database {
    fn open() -> Database {
        let path = scratch::folder().join("state.db");
        let raw = Connection::open(&path).expect("a scratch database");
        raw.pragma_update(None, "synchronous", "OFF").expect("a scratch database");
        let url = ConnectionUrl::parse(&format!("sqlite:///{}", path.display())).expect("a URL of a path");
        let ledger = SqliteDestination::new(&url).and_then(|d| d.ledger()).expect("a scratch database");
        let mut database = Database { ledger, raw };
        database.import(&State::default(), &[], &[]);
        database
    }

    fn import(&mut self, state: &State, memories: &[Memory], intervals: &[IntervalEntry]) {
        let change = StateChange::Import { state, memories, intervals };
        self.ledger.change_state(PIPELINE, change).expect("a state of any values");
    }
}

fn with<T>(work: impl FnOnce(&mut Database) -> T) -> T {
    thread_local!(static DATABASE: RefCell<Database> = RefCell::new(Database::open()));
    DATABASE.with_borrow_mut(work)
}

/// A state, memories and receipts of intervals through the tables.
pub(crate) fn round_trip(state: &State, mut memories: Vec<Memory>, mut intervals: Vec<IntervalEntry>) {
    with(|database| {
        database.import(state, &memories, &intervals);
        let read = database.ledger.state(PIPELINE).expect("what was written").expect("a pipeline with a state");
        // The token stays the database's, and the time is that of the import.
        let expected = State { token: read.token, updated_at: read.updated_at, ..state.clone() };
        assert_eq!(read, expected, "a state reads back as another");
        let mut read = database.ledger.memories(PIPELINE).expect("what was written");
        let order = |m: &Memory| format!("{m:?}");
        memories.sort_by_key(order);
        read.sort_by_key(order);
        assert_eq!(read, memories, "memories read back as others");
        let mut read = database.ledger.intervals(PIPELINE).expect("what was written");
        let order = |entry: &IntervalEntry| format!("{entry:?}");
        intervals.sort_by_key(order);
        read.sort_by_key(order);
        assert_eq!(read, intervals, "receipts of intervals read back as others");
    });
}

/// Lines of text in the place of what the tables hold: understood or refused, never a panic, never a guess that
/// does not read back.
pub(crate) fn damaged(text: &str) {
    let mut lines = text.split('\n').map(|line| (!line.is_empty()).then_some(line));
    let mut next = || lines.next().flatten();
    let kept = with(|database| {
        database.import(&State::default(), &[], &[]);
        let raw = &database.raw;
        let write = |sql: &str, values: &[Option<&str>]| {
            raw.execute(sql, rusqlite::params_from_iter(values)).map(drop).expect("any text in a column of text");
        };
        write(
            "UPDATE _floodmark_state SET watermark_column = 'at', watermark_type = ?1, watermark = ?2, pending = ?3,
             schema = ?4, source_schema = ?5, updated_at = ?6, settings = ?7",
            &[next(), next(), next(), next(), next(), next(), next()],
        );
        raw.execute(
            "INSERT INTO _floodmark_files VALUES (?1, 'f', 1, 1, coalesce(?2, '0'), 1, 1, ?3)",
            params![PIPELINE, next(), next()],
        )
        .expect("any text in a column of text");
        raw.execute(
            "INSERT INTO _floodmark_boundary VALUES (?1, 1, 'f', coalesce(?2, '0'))",
            params![PIPELINE, next()],
        )
        .expect("any text in a column of text");
        raw.execute(
            "INSERT INTO _floodmark_tombstones VALUES (?1, coalesce(?2, '[]'), ?3)",
            params![PIPELINE, next(), next()],
        )
        .expect("any text in a column of text");
        raw.execute(
            "INSERT INTO _floodmark_intervals (pipeline, \"column\", type, \"from\", until, run, rows, highest, settled,
               loaded_at)
             VALUES (?1, 'at', coalesce(?2, 'bigint'), coalesce(?3, '1'), coalesce(?4, '2'), 'r', 1, ?5, 1,
               coalesce(?6, '2024-01-01T00:00:00Z'))",
            params![PIPELINE, next(), next(), next(), next(), next()],
        )
        .expect("any text in a column of text");
        raw.execute(
            "INSERT OR REPLACE INTO _floodmark_runs (run, pipeline, status, load, started_at)
             VALUES ('r', ?1, 'ok', 'upsert', '2024-01-01T00:00:00Z')",
            [PIPELINE],
        )
        .expect("any text in a column of text");
        raw.execute(
            "INSERT OR REPLACE INTO _floodmark_commits VALUES ('r', ?1, coalesce(?2, '[]'))",
            params![PIPELINE, next()],
        )
        .expect("any text in a column of text");
        if let Err(error) = database.ledger.runs(Some(PIPELINE), 10) {
            assert_eq!(error.code(), Code::StateDamaged, "{error:?}");
        }
        (database.ledger.state(PIPELINE), database.ledger.memories(PIPELINE), database.ledger.intervals(PIPELINE))
    });
    let errors = [kept.0.as_ref().err(), kept.1.as_ref().err(), kept.2.as_ref().err()];
    for error in errors.into_iter().flatten() {
        assert_eq!(error.code(), Code::StateDamaged, "{error:?}");
    }
    if let (Ok(Some(state)), Ok(memories), Ok(intervals)) = kept {
        round_trip(&state, memories, intervals);
    }
}
