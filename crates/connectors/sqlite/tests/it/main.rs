//! SQLite against the suite every destination must pass.

use floodmark_connect::conformance;
use floodmark_core::url::ConnectionUrl;
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
