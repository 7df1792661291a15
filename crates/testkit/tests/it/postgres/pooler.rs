//! Behind a pooler: sessions of one's own are all a run needs; connections that change between transactions are told.

use super::{Project, said};
use floodmark_testkit::{
    Postgres,
    crash::{await_stopped, send},
    pooler::Pooler,
};
use postgres::{Client, NoTls};
use std::time::{Duration, Instant};

const FIRST: &str = "id,v,name\n1,1,a\n2,1,b\n";
const SECOND: &str = "id,v,name\n2,2,B\n3,1,c\n";

/// The project with its database behind a pooler.
fn behind(mut project: Project, mode: &str) -> (Project, Pooler) {
    let pooler = Pooler::start(&project.database, mode).unwrap();
    let url = project.database.url_at(pooler.address(), "");
    project.point_to(&url);
    (project, pooler)
}

#[test]
fn p2_p3_sessions_of_a_pooler_are_sessions() {
    let (project, _pooler) = behind(Project::upsert(), "session");
    project.file("a.csv", FIRST);
    project.loads();
    project.file("b.csv", SECOND);
    let mut child = project.start_at("mid-chunk=stop");
    await_stopped(&child).unwrap();
    let second = project.run();
    assert_eq!(second.status.code(), Some(3), "{}", said(&second));
    child.kill().unwrap();
    child.wait().unwrap();
    let since = Instant::now();
    project.loads();
    assert!(since.elapsed() < Duration::from_secs(5), "the next run waited {:?}", since.elapsed());
    assert_eq!(project.rows(), [(1, "a".into()), (2, "B".into()), (3, "c".into())]);
    assert!(said(&project.run()).contains("nothing_new"));
}

#[test]
fn p10_a_pooler_that_changes_connections_between_transactions_is_told() {
    let (mut project, pooler) = behind(Project::upsert(), "transaction");
    let direct = project.database.url().to_owned();
    project.file("a.csv", FIRST);
    let child = project.start_at("surveyed=stop");
    await_stopped(&child).unwrap();
    // Somebody else is given the connection that has the lock.
    let mut other = Client::connect(&project.database.url_at(pooler.address(), ""), NoTls).unwrap();
    let mut held = other.transaction().unwrap();
    held.batch_execute("SELECT 1").unwrap();
    send(&child, "CONT").unwrap();
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{}", said(&ran));
    assert!(said(&ran).contains("FM0106") && said(&ran).contains("pool_mode = session"), "{}", said(&ran));
    assert!(said(&ran).contains("nothing was written"), "{}", said(&ran));
    held.rollback().unwrap();
    drop((other, pooler));
    project.point_to(&direct);
    // The pooler's connections end with it, and the lock with them.
    while project.run().status.code() == Some(3) {}
    assert_eq!(project.rows(), [(1, "a".into()), (2, "b".into())]);
}

/// A source is read in one transaction, and brings its settings with it: zones and styles of the pooler's other clients mean
/// nothing.
#[test]
fn p8_a_source_behind_a_pooler_is_what_it_is() {
    // A row a page, so that it is large enough for several readers.
    let table = "CREATE TABLE s (id int PRIMARY KEY, v timestamptz NOT NULL, spans interval, ranges tstzrange, pad text)
                   WITH (fillfactor = 10);
                 INSERT INTO s SELECT g, '2024-01-01 00:00:00Z', '1 day 02:00:00', tstzrange('2024-01-01Z', '2024-02-01Z'),
                   repeat('x', 700)
                 FROM generate_series(1, 5000) g";
    let project = |mode: Option<&str>| {
        let project = Project::reading(Postgres::empty().unwrap(), "    key: id\n    watermark: v\n").by(2);
        project.client().batch_execute(table).unwrap();
        let Some(mode) = mode else {
            project.loads();
            return project.look().content["t"].clone();
        };
        let (project, pooler) = behind(project, mode);
        let mut other = Client::connect(&project.database.url_at(pooler.address(), ""), NoTls).unwrap();
        other
            .batch_execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601'")
            .unwrap();
        project.loads();
        project.look().content["t"].clone()
    };
    let direct = project(None);
    assert_eq!(direct.len(), 5000);
    assert_eq!(project(Some("session")), direct);
    assert_eq!(project(Some("transaction")), direct);
}
