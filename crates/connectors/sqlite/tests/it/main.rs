//! SQLite against the suite every destination must pass.

#![expect(clippy::unwrap_used, reason = "a helper that panics is a test that fails")]

mod source;

use floodmark_connect::{Destination, Stop, conformance, destination::StateChange};
use floodmark_core::{state::State, url::ConnectionUrl};
use floodmark_sqlite::SqliteDestination;

#[test]
fn conformance() {
    for (name, test) in conformance::ALL {
        let dir = tempfile::tempdir().unwrap();
        let url = ConnectionUrl::parse(&format!("sqlite:///{}", dir.path().join("t.db").display())).unwrap();
        eprintln!("{name}");
        test(&SqliteDestination::new(&url).unwrap());
    }
}

#[test]
fn a_zombie_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", dir.path().join("t.db").display())).unwrap();
    let lose = || std::fs::remove_dir_all(dir.path().join("t.db-floodmark")).unwrap();
    conformance::fence(&SqliteDestination::new(&url).unwrap(), &lose);
}

/// A copy of the database file alone takes the position along, although the ledger still has the database open.
#[test]
fn a_moved_position_is_in_the_database_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let url = ConnectionUrl::parse(&format!("sqlite:///{}", dir.path().join(name).display())).unwrap();
        SqliteDestination::new(&url).unwrap()
    };
    drop(at("a.db").open("p", "r", None, &Stop::default()).unwrap());
    let mut ledger = at("a.db").ledger().unwrap();
    let seen = ledger.state("p").unwrap().unwrap();
    let to = State { table: Some("moved".into()), ..seen.clone() };
    ledger.change_state("p", StateChange::Move { seen: &seen, to: &to }).unwrap();
    std::fs::copy(dir.path().join("a.db"), dir.path().join("b.db")).unwrap();
    assert_eq!(at("b.db").ledger().unwrap().state("p").unwrap().unwrap().table.as_deref(), Some("moved"));
}

/// A state that moved on since it was looked at is not written over; the token alone is no move.
#[test]
fn a_position_is_moved_only_from_where_it_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", dir.path().join("t.db").display())).unwrap();
    let destination = SqliteDestination::new(&url).unwrap();
    drop(destination.open("p", "r", None, &Stop::default()).unwrap());
    let mut ledger = destination.ledger().unwrap();
    let seen = ledger.state("p").unwrap().unwrap();
    let named = |table: &str| State { table: Some(table.into()), ..seen.clone() };
    drop(destination.open("p", "r2", None, &Stop::default()).unwrap());
    ledger.change_state("p", StateChange::Move { seen: &seen, to: &named("first") }).unwrap();
    let error = ledger.change_state("p", StateChange::Move { seen: &seen, to: &named("second") }).unwrap_err();
    assert_eq!(error.code(), floodmark_core::Code::Busy);
    assert_eq!(ledger.state("p").unwrap().unwrap().table.as_deref(), Some("first"));
}

/// A pipeline that never loaded has no schema, also after its state moved to another database: with an empty one
/// `schema: freeze` would refuse the first load's columns.
#[test]
fn an_imported_state_is_the_one_exported() {
    let dir = tempfile::tempdir().unwrap();
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", dir.path().join("t.db").display())).unwrap();
    let destination = SqliteDestination::new(&url).unwrap();
    drop(destination.open("p", "r", None, &Stop::default()).unwrap());
    let mut ledger = destination.ledger().unwrap();
    let exported = ledger.state("p").unwrap().unwrap();
    ledger.change_state("q", StateChange::Import { state: &exported, memories: &[], intervals: &[] }).unwrap();
    let imported = ledger.state("q").unwrap().unwrap();
    assert_eq!((imported.schema, imported.table), (None, None));
    assert_eq!((exported.schema, exported.table), (None, None));
}

/// What a process leaves behind that is killed inside a transaction in rollback mode, as a new database is in until it is
/// set up: reading comes first in every run, and must not stop at the journal that waits to be rolled back.
#[test]
fn a_journal_left_by_a_kill_is_rolled_back_by_who_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let (live, left) = (dir.path().join("live.db"), dir.path().join("left.db"));
    let db = rusqlite::Connection::open(&live).unwrap();
    db.execute_batch(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); PRAGMA cache_size = 1; BEGIN IMMEDIATE;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, hex(zeroblob(100)) FROM n;",
    )
    .unwrap();
    std::fs::copy(&live, &left).unwrap();
    std::fs::copy(dir.path().join("live.db-journal"), dir.path().join("left.db-journal")).unwrap();
    drop(db);
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", left.display())).unwrap();
    let destination = SqliteDestination::new(&url).unwrap();
    destination.probe().unwrap();
    assert_eq!(destination.fingerprint("t").unwrap().rows, 0);
    drop(destination.open("p", "r", None, &Stop::default()).unwrap());
}

/// Several runs that are fired at once find a database that one of them is just making.
#[test]
fn a_new_database_that_is_being_written_to_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer.execute_batch("CREATE TABLE x (a); BEGIN IMMEDIATE").unwrap();
    let done = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(writer);
    });
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", path.display())).unwrap();
    SqliteDestination::new(&url).unwrap().open("p", "r", None, &Stop::default()).unwrap();
    done.join().unwrap();
}

/// State tables that were made before the newest of them, and their indexes, came up: looking misses nothing, and the next who writes makes them.
#[test]
fn state_tables_of_before_get_those_that_came_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let url = ConnectionUrl::parse(&format!("sqlite:///{}", path.display())).unwrap();
    let destination = SqliteDestination::new(&url).unwrap();
    drop(destination.open("p", "r", None, &Stop::default()).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    let tables = || -> i64 {
        let count = "SELECT count(*) FROM sqlite_schema WHERE name IN ('_floodmark_intervals', '_floodmark_beside',
            '_floodmark_commits', '_floodmark_runs_by_pipeline', '_floodmark_runs_by_time', '_floodmark_rejects_by_pipeline')";
        db.query_row(count, [], |r| r.get(0)).unwrap()
    };
    let before = || {
        db.execute_batch(
            "DROP TABLE _floodmark_intervals; DROP TABLE _floodmark_beside; DROP TABLE _floodmark_commits;
             DROP INDEX _floodmark_runs_by_pipeline; DROP INDEX _floodmark_runs_by_time;
             DROP INDEX _floodmark_rejects_by_pipeline",
        )
        .unwrap()
    };
    before();
    assert_eq!(destination.ledger().unwrap().intervals("p").unwrap(), []);
    assert_eq!(destination.ledger().unwrap().runs(None, 10).unwrap(), []);
    let rehearsal = destination.rehearse("p", None, &Stop::default()).unwrap();
    assert_eq!(rehearsal.intervals("at").unwrap(), []);
    drop(rehearsal);
    assert_eq!(tables(), 0);
    drop(destination.open("p", "r", None, &Stop::default()).unwrap());
    assert_eq!(tables(), 6);
    before();
    drop(destination.open_beside("p", "r", None, &Stop::default()).unwrap());
    assert_eq!(tables(), 6);
    before();
    destination.ledger().unwrap().change_state("p", StateChange::Forget).unwrap();
    assert_eq!(tables(), 6);
}
