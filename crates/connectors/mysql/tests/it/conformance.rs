//! The suite every destination must pass.

use floodmark_connect::conformance;
use floodmark_core::url::ConnectionUrl;
use floodmark_mysql::MysqlDestination;
use floodmark_testkit::Mysql;

fn destination(database: &Mysql) -> MysqlDestination {
    MysqlDestination::new(&ConnectionUrl::parse(database.url()).unwrap()).unwrap()
}

#[test]
fn conformance() {
    for (name, test) in conformance::ALL {
        let database = Mysql::empty().unwrap();
        eprintln!("{name}");
        test(&destination(&database));
    }
}

/// A session whose connection is gone, and that comes back after another one took its place.
#[test]
fn a_zombie_is_fenced() {
    let database = Mysql::empty().unwrap();
    let lose = || {
        let mut client = database.client();
        let holder = format!(
            "SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()",
            database.name
        );
        let held = client.run(&holder);
        assert_eq!(held.len(), 1);
        client.run(&format!("KILL {}", held[0][0]));
    };
    conformance::fence(&destination(&database), &lose);
}
