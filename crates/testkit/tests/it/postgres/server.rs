//! Servers in trouble: restarted, full, locked, or not to be written to.

use super::{Project, said};
use crate::servers::{Hosted as _, tries_again};
use floodmark_testkit::{
    Postgres,
    crash::{await_stopped, send},
    server::postgres::Server,
};
use std::{
    thread,
    time::{Duration, Instant},
};

const UPSERT: &str = "    load: upsert\n    key: id\n    version: v\n";
const FIRST: &str = "id,v,name\n1,1,a\n2,1,b\n";
const SECOND: &str = "id,v,name\n2,2,B\n3,1,c\n";

fn loading(server: &Server, more: &str) -> Project {
    let project = Project::loading(Postgres::empty_on(&server.url(), more).unwrap(), UPSERT);
    project.file("a.csv", FIRST);
    project.loads();
    project.file("b.csv", SECOND);
    project
}

fn reading(server: &Server) -> Project {
    let project = Project::reading(Postgres::empty_on(&server.url(), "").unwrap(), "    key: id\n    watermark: v\n");
    project.database.make_source(20000);
    project.loads();
    project.database.change_source(20001, 30000);
    project
}

#[test]
fn p2_a_server_that_is_restarted_in_mid_load_is_waited_for() {
    let server = Server::start(&[]).unwrap();
    let (load, read) = (loading(&server, ""), reading(&server));
    for (origin, points) in [
        (&load, &["take-commit", "mid-chunk", "load-commit", "load-commit:after"][..]),
        (&read, &["surveyed", "mid-extract"][..]),
    ] {
        let (before, after) = (origin.look(), origin.unbroken());
        for (number, point) in points.iter().enumerate() {
            let project = origin.copy();
            let child = project.start_at(&format!("{point}=stop"));
            await_stopped(&child).unwrap();
            let mode = ["immediate", "fast"][number % 2];
            let what = format!("{mode} at {point}");
            server.stop(mode).unwrap();
            send(&child, "CONT").unwrap();
            // Long enough for an attempt that finds nobody.
            thread::sleep(Duration::from_millis(2500));
            server.start_again().unwrap();
            let ran = child.wait_with_output().unwrap();
            assert!(ran.status.success(), "{what}: {}", said(&ran));
            assert!(said(&ran).contains("trying again in"), "{what}: {}", said(&ran));
            project.is_as_unbroken(&before, &after, &what);
        }
    }
}

/// Every connection that the server has to give.
fn all_taken(server: &Server) -> Vec<postgres::Client> {
    std::iter::from_fn(|| server.connect().ok()).collect()
}

#[test]
fn a_server_with_all_its_connections_taken_is_told_and_tried_again() {
    let few = ["max_connections=12", "superuser_reserved_connections=0", "max_wal_senders=0"];
    let server = Server::start(&few).unwrap();
    for project in [loading(&server, ""), reading(&server)] {
        let (before, after) = (project.look(), project.unbroken());
        let others = all_taken(&server);
        let mut child = project.start();
        let told = tries_again(&mut child);
        drop(others);
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{told}{}", said(&ran));
        project.is_as_unbroken(&before, &after, "a run that waited");
    }
    // For good, it is an error that says what to do.
    let project = loading(&server, "");
    let before = project.look();
    let others = all_taken(&server);
    let ran = project.run();
    drop(others);
    // Sessions take a moment to end.
    while server.connect().is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(said(&ran).contains("FM0403") && said(&ran).contains("max_connections"), "{}", said(&ran));
    assert_eq!(said(&ran).matches("trying again in").count(), 4, "{}", said(&ran));
    let look = project.look();
    assert_eq!((&look.content, look.since(&before)), (&before.content, look.since(&look)));
    project.loads();
}

pub(crate) fn replayed(primary: &Server, standby: &Server) {
    followed(primary, standby, "pg_last_wal_replay_lsn");
}

/// Waits until the standby is where the primary is now, as far as `how` says.
fn followed(primary: &Server, standby: &Server, how: &str) {
    let mut there = primary.connect().unwrap();
    let here: String = there.query_one("SELECT pg_current_wal_lsn()::text", &[]).unwrap().get(0);
    let mut client = standby.connect().unwrap();
    let since = Instant::now();
    let sql = format!("SELECT {how}() >= $1::text::pg_lsn");
    while !client.query_one(&sql, &[&here]).unwrap().get::<_, bool>(0) {
        assert!(since.elapsed() < Duration::from_secs(30), "the standby does not follow");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Names the same database on another server.
pub(crate) fn on(project: &mut Project, server: &Server) {
    let name = project.client().query_one("SELECT current_database()::text", &[]).unwrap().get::<_, String>(0);
    project.point_to(&server.url().replacen("/postgres?", &format!("/{name}?"), 1));
}

#[test]
fn p4_a_standby_is_read_as_its_primary_is() {
    let primary = Server::start(&[]).unwrap();
    let database = Postgres::empty_on(&primary.url(), "").unwrap();
    let mut project = Project::reading(database, "    key: id\n    watermark: v\n");
    let mut client = project.client();
    project.database.make_source(20000);
    let standby = primary.standby(&["max_standby_streaming_delay=0"]).unwrap();
    replayed(&primary, &standby);
    on(&mut project, &standby);
    project.loads();
    let rows = |project: &Project| project.look().content["t"].len();
    assert_eq!(rows(&project), 20000);

    // It does not know the transactions of its primary: one that is open there commits rows that lie behind others.
    let mut late = project.client();
    late.batch_execute("BEGIN; INSERT INTO s VALUES (0, 2, 'late')").unwrap();
    project.database.change_source(20001, 30000);
    client.batch_execute("INSERT INTO s VALUES (30001, 3, 'later')").unwrap();
    replayed(&primary, &standby);
    project.loads();
    assert_eq!(rows(&project), 30001);
    late.batch_execute("COMMIT").unwrap();
    replayed(&primary, &standby);
    project.loads();
    assert_eq!(rows(&project), 30002);

    // A read that stands in the way of what the primary cleaned up is broken off, and made again.
    client.batch_execute("UPDATE s SET v = 4, name = 'four'").unwrap();
    replayed(&primary, &standby);
    let child = project.start_at("mid-extract=stop");
    await_stopped(&child).unwrap();
    client.batch_execute("DELETE FROM s WHERE id > 100; UPDATE s SET v = 5, name = 'five'").unwrap();
    client.batch_execute("VACUUM s").unwrap();
    // Replaying waits for the reader, which is asked to end its statement as soon as it listens.
    followed(&primary, &standby, "pg_last_wal_receive_lsn");
    send(&child, "CONT").unwrap();
    let ran = child.wait_with_output().unwrap();
    assert!(ran.status.success() && said(&ran).contains("trying again in"), "{}", said(&ran));
    replayed(&primary, &standby);
    project.loads();
    let five = project.look().content["t"].iter().filter(|row| row.ends_with("| five")).count();
    assert_eq!(five, 101);
}

#[test]
fn p10_a_standby_takes_no_load_until_it_is_promoted() {
    let primary = Server::start(&[]).unwrap();
    let mut project = loading(&primary, "");
    let after = project.unbroken();
    let before = project.look();
    let standby = primary.standby(&[]).unwrap();
    on(&mut project, &standby);
    for (command, exit) in [("run", 1), ("check", 2), ("plan", 1)] {
        let ran = project.command(&[command]).output().unwrap();
        assert_eq!(ran.status.code(), Some(exit), "{command}: {}", said(&ran));
        let words = said(&ran);
        assert!(words.contains("FM0401") && words.contains("name the primary server"), "{command}: {words}");
        let state = if command == "plan" { "rolled back" } else { "nothing was written" };
        assert!(words.contains(state), "{command}: {words}");
        assert!(!words.contains("trying again"), "{command}: {words}");
    }
    assert_eq!(project.look(), before);

    replayed(&primary, &standby);
    drop(project.client());
    standby.connect().unwrap().batch_execute("SELECT pg_promote()").unwrap();
    let ran = project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    let name = project.client().query_one("SELECT current_database()::text", &[]).unwrap().get::<_, String>(0);
    let mut client =
        postgres::Client::connect(&standby.url().replacen("/postgres?", &format!("/{name}?"), 1), postgres::NoTls)
            .unwrap();
    let found: i64 = client.query_one("SELECT count(*) FROM t", &[]).unwrap().get(0);
    assert_eq!(usize::try_from(found).unwrap(), after.content["t"].len());
    assert_eq!(project.look(), before, "the old primary was written to");
}

#[test]
fn p10_a_table_that_somebody_has_locked_is_told_and_left_as_it_is() {
    for (mut project, table, code) in [
        (Project::upsert(), "t", "FM0403"),
        (Project::reading(Postgres::empty().unwrap(), "    key: id\n    watermark: v\n"), "s", "FM0202"),
    ] {
        if table == "s" {
            project.database.make_source(20000);
            project.loads();
            project.database.change_source(20001, 30000);
        } else {
            project.file("a.csv", FIRST);
            project.loads();
            project.file("b.csv", SECOND);
        }
        let (before, after) = (project.look(), project.unbroken());
        let patient = project.database.url().to_owned();
        project.point_to(&format!("{patient}&options=-c%20lock_timeout%3D700ms"));
        let mut other = project.client();
        other.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).unwrap();
        let since = Instant::now();
        let ran = project.run();
        assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
        assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
        assert!(said(&ran).contains(code) && said(&ran).contains("pg_stat_activity"), "{}", said(&ran));
        other.batch_execute("COMMIT").unwrap();
        assert_eq!(project.look().content, before.content);
        // It waits as long as it may.
        project.point_to(&patient);
        other.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).unwrap();
        let child = project.start();
        thread::sleep(Duration::from_millis(1500));
        other.batch_execute("COMMIT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{}", said(&ran));
        project.is_as_unbroken(&before, &after, "when the table was free");
    }
}

#[test]
fn p10_a_server_whose_disk_is_full_keeps_the_table_as_it_was() {
    let server = Server::with_little_room(32).unwrap();
    let project = loading(&server, "TABLESPACE small");
    let rows = |from: u32| (from..from + 8000).map(|n| format!("{n},2,{n:0>500}\n")).collect::<String>();
    project.file("b.csv", &format!("id,v,name\n{}", rows(10)));
    project.file("c.csv", &format!("id,v,name\n2,2,B\n{}", rows(8010)));
    let mut client = project.client();
    client
        .batch_execute("CREATE TABLE ballast AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 14000)")
        .unwrap();
    let before = project.look();
    let ran = project.run();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    let words = said(&ran);
    assert!(words.contains("FM0402") && words.contains("disk is full"), "{words}");
    assert!(words.contains("the open transaction was rolled back"), "{words}");
    assert_eq!(project.look().content["t"], before.content["t"]);
    client.batch_execute("DROP TABLE ballast; CHECKPOINT").unwrap();
    let ran = project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(project.look().content["t"].len(), 16002);
}
