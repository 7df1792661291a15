//! The suite every destination must pass.

use crate::database::Database;
use floodmark_connect::conformance;

#[test]
fn conformance() {
    for (name, test) in conformance::ALL {
        let database = Database::new();
        eprintln!("{name}");
        test(&database.destination());
    }
}

/// A session whose backend is gone, and that comes back after another one took its place.
#[test]
fn a_zombie_is_fenced() {
    let database = Database::new();
    let lose = || {
        let mut client = database.client();
        let held = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND database =
                    (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(client.query(held, &[]).unwrap().len(), 1);
    };
    conformance::fence(&database.destination(), &lose);
}
