//! DuckDB against the suite every destination must pass.

#![expect(clippy::unwrap_used, reason = "a helper that panics is a test that fails")]

mod source;

use floodmark_connect::{Destination, ReadPlan, Source, Stop, SurveyRequest, conformance, destination::StateChange};
use floodmark_core::{Code, pipeline::Relation, state::State, url::ConnectionUrl};
use floodmark_duckdb::{DuckdbDestination, outside};
use std::{
    path::Path,
    time::{Duration, Instant},
};

fn url(file: &Path) -> ConnectionUrl {
    ConnectionUrl::parse(&format!("duckdb:///{}", file.display())).unwrap()
}

fn at(file: &Path) -> DuckdbDestination {
    DuckdbDestination::new(&url(file)).unwrap()
}

#[test]
fn conformance() {
    for (name, test) in conformance::ALL {
        let dir = tempfile::tempdir().unwrap();
        eprintln!("{name}");
        test(&at(&dir.path().join("t.duckdb")));
    }
}

/// DuckDB commits, and then fails at writing its log back, after which nothing more can be done with it. It may have left the
/// log out: then the commit goes with that.
#[test]
fn a_commit_may_be_there_although_it_failed() {
    let log_first =
        "SET GLOBAL checkpoint_threshold = '1B'; SET GLOBAL auto_checkpoint_skip_wal_threshold = 1000000000";
    let log_left_out = "SET GLOBAL checkpoint_threshold = '1B'; SET GLOBAL auto_checkpoint_skip_wal_threshold = 0";
    let cases = [
        (log_first, "before_header", true),
        (log_left_out, "before_header", false),
        (log_left_out, "before_truncate", true),
    ];
    for (how, fails, kept) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.duckdb");
        let lose =
            || outside::execute(&file, &format!("{how}; SET GLOBAL debug_checkpoint_abort = '{fails}'")).unwrap();
        conformance::unanswered(&at(&file), &lose, kept);
    }
}

/// A state that moved on since it was looked at is not written over; the token alone is no move.
#[test]
fn a_position_is_moved_only_from_where_it_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let destination = at(&dir.path().join("t.duckdb"));
    drop(destination.open("p", "r", None, &Stop::default()).unwrap());
    let mut ledger = destination.ledger().unwrap();
    let seen = ledger.state("p").unwrap().unwrap();
    let named = |table: &str| State { table: Some(table.into()), ..seen.clone() };
    drop(destination.open("p", "r2", None, &Stop::default()).unwrap());
    ledger.change_state("p", StateChange::Move { seen: &seen, to: &named("first") }).unwrap();
    let error = ledger.change_state("p", StateChange::Move { seen: &seen, to: &named("second") }).unwrap_err();
    assert_eq!(error.code(), Code::Busy);
    assert_eq!(ledger.state("p").unwrap().unwrap().table.as_deref(), Some("first"));
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.duckdb");
    std::fs::write(&file, "id,name\n".repeat(2000)).unwrap();
    let error = at(&file).open("p", "r", None, &Stop::default()).err().unwrap();
    assert_eq!(error.code(), Code::DestinationOpen);
    assert!(format!("{:?}", error.advice()).contains("not a DuckDB database"), "{error:?}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("id,name"));
}

/// Two names of one file are one database: each would write over the other's blocks.
#[test]
fn a_file_is_open_once_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.duckdb");
    let link = dir.path().join("link.duckdb");
    drop(at(&file).open("p", "r", None, &Stop::default()).unwrap());
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let held = at(&file).open("p", "r", None, &Stop::default()).unwrap();
    let error = at(&link).open("p", "r2", Some(Duration::ZERO), &Stop::default()).err().unwrap();
    assert_eq!(error.code(), Code::Busy);
    assert!(error.message().contains("run r"), "{error}");
    drop(held);
    at(&link).open("p", "r3", None, &Stop::default()).unwrap();
}

/// As by a second name that is no link, and by a link to where no file is yet.
#[test]
fn a_file_is_what_it_is_and_not_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (file, hard, link) =
        (dir.path().join("t.duckdb"), dir.path().join("hard.duckdb"), dir.path().join("link.duckdb"));
    std::os::unix::fs::symlink("t.duckdb", &link).unwrap();
    let held = at(&link).open("p", "r", None, &Stop::default()).unwrap();
    std::fs::hard_link(&file, &hard).unwrap();
    for name in [&file, &hard] {
        let error = at(name).open("p", "r2", Some(Duration::ZERO), &Stop::default()).err().unwrap();
        assert!(error.code() == Code::Busy && error.message().contains("run r"), "{error}");
    }
    drop(held);
    at(&hard).open("p", "r3", None, &Stop::default()).unwrap();
}

/// Who loads into a file that this process reads waits for the reader, and is not told that another run has it.
#[test]
fn a_reader_of_this_process_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.duckdb");
    outside::execute(&file, "CREATE TABLE t AS SELECT range AS id FROM range(300000)").unwrap();
    let source = floodmark_duckdb::DuckdbSource::new(&url(&file), Relation::Table("t".into())).unwrap();
    let (slices, stop) = (source.slices(&Stop::default()).unwrap(), Stop::default());
    let schema = source.survey(&slices, &SurveyRequest::default(), &stop).unwrap().schema;
    let mut rows = source.read(&slices[0], &ReadPlan { schema, ..ReadPlan::default() }, &stop).unwrap();
    rows.next().unwrap().unwrap();
    drop(source);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let loader = scope.spawn(|| at(&file).open("p", "r", Some(Duration::ZERO), &Stop::default()).map(drop));
        std::thread::sleep(Duration::from_millis(1500));
        let read: usize = rows.map(|batch| batch.unwrap().rows.num_rows()).sum();
        assert!(read > 0);
        loader.join().unwrap().unwrap();
    });
    assert!(began.elapsed() >= Duration::from_millis(1500));
}

/// What two processes put aside they put into folders of their own, which go with them.
#[test]
fn what_is_put_aside_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let (file, aside) = (dir.path().join("t.duckdb"), dir.path().join("aside"));
    let sorts = "CREATE TABLE s AS SELECT hash(range) AS id, repeat('x', 50) AS t FROM range(3000000)";
    outside::execute(&file, sorts).unwrap();
    let settings = format!("memory_limit=60MB&threads=1&temp_directory={}", aside.display());
    let of = ConnectionUrl::parse(&format!("duckdb:///{}?{settings}", file.display())).unwrap();
    let query = Relation::Query("SELECT * FROM s ORDER BY id".into());
    let source = floodmark_duckdb::DuckdbSource::new(&of, query).unwrap();
    let (slices, stop) = (source.slices(&Stop::default()).unwrap(), Stop::default());
    let schema = source.survey(&slices, &SurveyRequest::default(), &stop).unwrap().schema;
    let mut rows = source.read(&slices[0], &ReadPlan { schema, ..ReadPlan::default() }, &stop).unwrap();
    rows.next().unwrap().unwrap();
    let folders = || std::fs::read_dir(&aside).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let own = format!("floodmark-{}-", std::process::id());
    assert!(folders().len() == 1 && folders()[0].to_string_lossy().starts_with(&own), "{:?}", folders());
    // What does not fit is there, and whoever reads at the same time has a folder of their own.
    let held = |name: &std::ffi::OsString| std::fs::read_dir(aside.join(name)).unwrap().count();
    assert!(held(&folders()[0]) > 0, "nothing was put aside");
    let others = dir.path().join("others.duckdb");
    outside::execute(&others, "CREATE TABLE s (id INTEGER)").unwrap();
    let of = of.to_string().replace("t.duckdb", "others.duckdb");
    let relation = Relation::Table("s".into());
    let other = floodmark_duckdb::DuckdbSource::new(&ConnectionUrl::parse(&of).unwrap(), relation).unwrap();
    other.survey(&other.slices(&Stop::default()).unwrap(), &SurveyRequest::default(), &stop).unwrap();
    assert!(folders().len() == 2 && folders().iter().all(|name| name.to_string_lossy().starts_with(&own)));
    #[cfg(unix)]
    for name in folders() {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(aside.join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name:?}");
    }
    drop(other);
    assert_eq!(folders().len(), 1);
    drop((rows, source));
    assert!(folders().is_empty(), "{:?}", folders());
    assert!(!dir.path().join("t.duckdb.tmp").exists());
}

/// A kill while a database was being made leaves nothing in the way, and nothing for good.
#[test]
fn what_is_left_of_a_database_that_was_being_made_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (file, folder) = (dir.path().join("t.duckdb"), dir.path().join("t.duckdb.new"));
    let names = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    for rounds in 0..2 {
        // Before the database stood in its place, and after that.
        assert_eq!(file.exists(), rounds == 1);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("new.duckdb"), "half").unwrap();
        drop(at(&file).open("p", "r", None, &Stop::default()).unwrap());
        assert_eq!(names(), ["t.duckdb"]);
    }
    // A folder of somebody else's is none of that.
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("notes"), "mine").unwrap();
    drop(at(&file).open("p", "r", None, &Stop::default()).unwrap());
    assert!(folder.join("notes").exists());
}

/// Whoever takes the file away to begin anew, and leaves its log, does begin anew.
#[test]
fn the_log_of_a_database_that_is_gone_comes_into_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.duckdb"), dir.path().join("t.duckdb"));
    let open = at(&old).open("p", "r", None, &Stop::default()).unwrap();
    outside::execute(&old, "CREATE TABLE t AS SELECT 1 AS id").unwrap();
    std::fs::copy(dir.path().join("old.duckdb.wal"), dir.path().join("t.duckdb.wal")).unwrap();
    drop(open);
    drop(at(&new).open("p", "r", None, &Stop::default()).unwrap());
    let tables = "SELECT table_name AS t FROM duckdb_tables() WHERE table_name NOT LIKE '\\_floodmark%' ESCAPE '\\'";
    assert_eq!(outside::query(&new, tables).unwrap().rows, Vec::<Vec<floodmark_core::Value>>::new());
}

/// The first three blocks of a file that DuckDB 2.0.1 made: where bytes are not zero, and which.
const NEWER: [(usize, &str); 7] = [
    (0, "e4c0f8f284ea14fc4455434be703"),
    (52, "76322e302e31"),
    (84, "38643738313134653930"),
    (124, "9ffb3066cdbe18d2eb3962b8efae5a6b"),
    (4096, "d83778781c5b443f01"),
    (4127, "0201000000000000000000040000000000000800000000000045"),
    (
        8192,
        "d83778781c5b444d0000000000000000ffffffffffffffffffffffffffffffff00000000000000000000040000000000000800000000000045",
    ),
];

#[test]
fn a_file_of_a_newer_duckdb_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.duckdb");
    let mut bytes = vec![0; 12_288];
    for (at, digits) in NEWER {
        for (n, pair) in digits.as_bytes().chunks(2).enumerate() {
            bytes[at + n] = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
    }
    std::fs::write(&file, &bytes).unwrap();
    let error = at(&file).open("p", "r", None, &Stop::default()).err().unwrap();
    assert_eq!(error.code(), Code::DestinationOpen);
    assert!(error.advice().iter().any(|help| help.contains("COPY FROM DATABASE")), "{error:?}");
    assert!(error.to_string().contains("version number 69"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

/// A database is made whole or not at all, and nothing is left of how.
#[test]
fn a_new_database_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let session = at(&dir.path().join("t.duckdb")).open("p", "r", None, &Stop::default()).unwrap();
    drop(session);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["t.duckdb"]);
}

/// What a statement cannot do within the memory limit goes beside the file, and a limit that is too small is said to be.
#[test]
fn settings_are_duckdbs_own() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("duckdb:///{}?memory_limit=nonsense", dir.path().join("t.duckdb").display());
    let destination = DuckdbDestination::new(&ConnectionUrl::parse(&url).unwrap()).unwrap();
    let error = destination.open("p", "r", None, &Stop::default()).err().unwrap();
    assert_eq!((error.code(), error.exit_code()), (Code::BadUrl, 2), "{error:?}");
}

/// Where in its own program DuckDB noticed it is told nobody.
#[test]
fn a_log_of_another_database_is_told_in_few_words() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let keeps = "SET GLOBAL checkpoint_threshold = '1TB'; PRAGMA disable_checkpoint_on_shutdown;";
    outside::execute(&place("a.duckdb"), "CREATE TABLE t (i INTEGER); CHECKPOINT").unwrap();
    outside::execute(&place("a.duckdb"), &format!("{keeps} INSERT INTO t VALUES (1)")).unwrap();
    outside::execute(&place("b.duckdb"), "CREATE TABLE other (i INTEGER); CHECKPOINT").unwrap();
    std::fs::rename(place("a.duckdb.wal"), place("b.duckdb.wal")).unwrap();
    let error = at(&place("b.duckdb")).open("p", "r", None, &Stop::default()).err().unwrap();
    let mut told = format!("{error:?}");
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(error) = cause {
        told.push_str(&error.to_string());
        cause = error.source();
    }
    assert_eq!(error.code(), Code::DestinationOpen, "{told}");
    assert!(told.contains("replaying WAL file") && !told.contains("Stack Trace"), "{told}");
    assert!(error.advice().iter().any(|help| help.contains(".wal")), "{told}");
}
