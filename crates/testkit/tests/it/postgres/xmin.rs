//! `watermark: xmin`: tables that have no column to tell what changed. Transactions of any database of a server count, so each
//! test has a server of its own.

use super::{Project, said};
use floodmark_testkit::{
    Postgres,
    crash::{await_stopped, send},
    server::postgres::Server,
};
use postgres::Client;
use std::{thread, time::Duration};

const FIELDS: &str = "    key: id\n    watermark: xmin\n";
const TABLE: &str = "CREATE TABLE s (id int PRIMARY KEY, name text);
                     INSERT INTO s VALUES (1, 'a'), (2, 'b'), (3, 'c')";

fn project(server: &Server) -> Project {
    let project = Project::reading(Postgres::empty_on(&server.url(), "").unwrap(), FIELDS);
    project.client().batch_execute(TABLE).unwrap();
    project
}

/// A run; its counts that are not zero.
fn run(project: &Project) -> String {
    let ran = project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    let object: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let rows = object["rows"].as_object().unwrap();
    let counts = rows.iter().filter(|(_, n)| n.as_u64().is_some_and(|n| n > 0));
    counts.map(|(name, n)| format!("{name}={n}")).collect::<Vec<_>>().join(" ")
}

fn loaded(project: &Project) -> Vec<String> {
    project.look().content["t"].clone()
}

/// The table that is read has these rows, and so has the one that was loaded.
fn is_copied(project: &Project) {
    let rows = project.client().query("SELECT id, name FROM s ORDER BY id", &[]).unwrap();
    let mut rows: Vec<String> =
        rows.iter().map(|r| format!("{} | {}", r.get::<_, i32>(0), r.get::<_, &str>(1))).collect();
    rows.sort();
    assert_eq!(loaded(project), rows);
}

#[test]
fn p1_p4_xmin_reads_what_was_written_since_the_last_run() {
    let server = Server::start(&[]).unwrap();
    let project = project(&server);
    let mut client = project.client();
    let mut after = |sql: &str| {
        client.batch_execute(sql).unwrap();
        run(&project)
    };
    assert_eq!(after(""), "read=3 inserted=3");
    let look = project.look().content;
    assert_eq!(after("CREATE TABLE other (id int); INSERT INTO other VALUES (1)"), "");
    assert_eq!(project.look().content, look, "an idle run changes nothing, and no watermark");
    assert_eq!(
        after("UPDATE s SET name = 'B' WHERE id = 2; INSERT INTO s VALUES (4, 'd')"),
        "read=2 inserted=1 updated=1"
    );
    // What is written anew with what it held is read, and not written.
    assert_eq!(after("UPDATE s SET name = name WHERE id = 1"), "read=1 unchanged=1");
    // Housekeeping is no change.
    assert_eq!(after("VACUUM FREEZE s"), "");
    assert_eq!(after("VACUUM FULL s"), "");
    assert_eq!(after("UPDATE s SET name = 'C' WHERE id = 3"), "read=1 updated=1");
    assert_eq!(after("BEGIN; SELECT * FROM s FOR UPDATE; COMMIT"), "");
    is_copied(&project);
    // A delete leaves nothing to read.
    assert_eq!(after("DELETE FROM s WHERE id = 1"), "");
    assert_eq!(loaded(&project).len(), 4);
    // A type that the server writes all rows anew for.
    assert_eq!(after("ALTER TABLE s ALTER name TYPE varchar(20) USING upper(name)"), "read=3 unchanged=2 updated=1");
}

#[test]
fn p4_xmin_misses_no_transaction_that_is_open_during_a_run() {
    let server = Server::start(&["max_prepared_transactions=2"]).unwrap();
    let project = project(&server);
    project.loads();
    let (mut early, mut client) = (project.client(), project.client());
    client.batch_execute("CREATE TABLE other (id int)").unwrap();

    // It has its number before the one whose row it writes over: the newer version has the lower number.
    early.batch_execute("BEGIN; INSERT INTO other VALUES (1)").unwrap();
    client.batch_execute("UPDATE s SET name = 'by a later one' WHERE id = 1").unwrap();
    assert_eq!(run(&project), "read=1 updated=1");
    early.batch_execute("UPDATE s SET name = 'by an earlier one' WHERE id = 1; COMMIT").unwrap();
    assert_eq!(run(&project), "read=1 updated=1");
    is_copied(&project);

    // Within a savepoint rows have a number of their own.
    early.batch_execute("BEGIN; SAVEPOINT a; INSERT INTO s VALUES (4, 'late'); RELEASE SAVEPOINT a").unwrap();
    client.batch_execute("INSERT INTO s VALUES (5, 'soon')").unwrap();
    assert_eq!(run(&project), "read=1 inserted=1");
    early.batch_execute("COMMIT").unwrap();
    // The row that lay beyond the open transaction is read again.
    assert_eq!(run(&project), "read=2 unchanged=1 inserted=1");
    assert_eq!(run(&project), "");

    early.batch_execute("BEGIN; INSERT INTO s VALUES (6, 'prepared'); PREPARE TRANSACTION 'p'").unwrap();
    client.batch_execute("INSERT INTO s VALUES (7, 'soon')").unwrap();
    assert_eq!(run(&project), "read=1 inserted=1");
    early.batch_execute("COMMIT PREPARED 'p'").unwrap();
    assert_eq!(run(&project), "read=2 unchanged=1 inserted=1");

    // While a run reads.
    client.batch_execute("INSERT INTO s VALUES (8, 'seen')").unwrap();
    let child = project.start_at("mid-extract=stop");
    await_stopped(&child).unwrap();
    client.batch_execute("INSERT INTO s VALUES (9, 'not seen')").unwrap();
    send(&child, "CONT").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(run(&project), "read=1 inserted=1");
    is_copied(&project);
}

/// Gives out numbers until the next one is at least that.
fn burn(client: &mut Client, until: i64) {
    while client.query_one("SELECT txid_current()", &[]).unwrap().get::<_, i64>(0) < until {}
}

/// All databases, so that the server lets numbers go on.
fn freeze(server: &Server) {
    let mut client = server.connect().unwrap();
    client.batch_execute("UPDATE pg_database SET datallowconn = true").unwrap();
    for row in client.query("SELECT datname::text FROM pg_database", &[]).unwrap() {
        let url = server.url().replacen("/postgres?", &format!("/{}?", row.get::<_, &str>(0)), 1);
        Client::connect(&url, postgres::NoTls).unwrap().batch_execute("VACUUM FREEZE").unwrap();
    }
    client.batch_execute("CHECKPOINT").unwrap();
}

#[test]
fn p4_xmin_goes_on_beyond_thirty_two_bits() {
    const ALL: i64 = 1 << 32;
    let server = Server::start(&[]).unwrap();
    let project = project(&server);
    // The server looks back two billion numbers, and must have frozen what lies further.
    for number in [1_500_000_000, 3_000_000_000, u32::MAX - 200] {
        freeze(&server);
        server.stop("fast").unwrap();
        server.set_next_transaction(0, number).unwrap();
        server.start_again().unwrap();
    }
    let mut client = project.client();
    // All rows are four billion transactions old, and read because there is no watermark.
    assert_eq!(run(&project), "read=3 inserted=3");
    assert_eq!(run(&project), "");
    client.batch_execute("UPDATE s SET name = 'A' WHERE id = 1").unwrap();
    assert_eq!(run(&project), "read=1 updated=1");
    client.batch_execute("INSERT INTO s VALUES (4, 'before')").unwrap();
    burn(&mut client, ALL + 50);
    client.batch_execute("INSERT INTO s VALUES (5, 'behind')").unwrap();
    assert_eq!(run(&project), "read=2 inserted=2");
    assert_eq!(run(&project), "");
    client.batch_execute("UPDATE s SET name = 'B' WHERE id = 2").unwrap();
    assert_eq!(run(&project), "read=1 updated=1");
    is_copied(&project);
}

#[test]
fn p10_a_server_that_was_restored_from_a_dump_is_not_read_as_if_nothing_had_been() {
    let (old, new) = (Server::start(&[]).unwrap(), Server::start(&[]).unwrap());
    let mut project = project(&old);
    burn(&mut project.client(), 5000);
    project.client().batch_execute("UPDATE s SET name = 'A' WHERE id = 1").unwrap();
    project.loads();
    let restored = Postgres::empty_on(&new.url(), "").unwrap();
    restored.connect().unwrap().batch_execute(TABLE).unwrap();
    project.point_to(restored.url());
    let before = project.look().content;
    let ran = project.run();
    assert_eq!(ran.status.code(), Some(2), "{}", said(&ran));
    assert!(said(&ran).contains("FM0106") && said(&ran).contains("not the server of the last run"), "{}", said(&ran));
    assert_eq!(project.look().content, before);
    let ran = project.command(&["--yes", "run", "--full-refresh"]).output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(loaded(&project), ["1 | a", "2 | b", "3 | c"]);
    assert_eq!(run(&project), "");
}

#[test]
fn xmin_is_of_tables_with_partitions_too_and_of_nothing_else() {
    let server = Server::start(&[]).unwrap();
    let project = Project::reading(Postgres::empty_on(&server.url(), "").unwrap(), FIELDS);
    let mut client = project.client();
    client
        .batch_execute(
            "CREATE TABLE s (id int, name text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
             CREATE TABLE s1 PARTITION OF s FOR VALUES FROM (0) TO (10);
             CREATE TABLE s2 PARTITION OF s FOR VALUES FROM (10) TO (20);
             INSERT INTO s VALUES (1, 'a'), (11, 'b')",
        )
        .unwrap();
    assert_eq!(run(&project), "read=2 inserted=2");
    client.batch_execute("UPDATE s SET name = 'B' WHERE id = 11; INSERT INTO s VALUES (2, 'c')").unwrap();
    assert_eq!(run(&project), "read=2 inserted=1 updated=1");
    // What `prove` and `check` make of it.
    for command in ["check", "plan", "prove"] {
        let ran = project.command(&[command]).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", said(&ran));
    }
    client.batch_execute("ALTER TABLE s RENAME TO u; CREATE VIEW s AS SELECT * FROM u").unwrap();
    let ran = project.run();
    assert_eq!(ran.status.code(), Some(2), "{}", said(&ran));
    assert!(said(&ran).contains("FM0106") && said(&ran).contains("no table"), "{}", said(&ran));
}

/// A standby knows the numbers of its primary's transactions, though not when they began.
#[test]
fn p4_xmin_is_read_from_a_standby() {
    let primary = Server::start(&[]).unwrap();
    let mut project = project(&primary);
    let (mut client, mut late) = (project.client(), project.client());
    let standby = primary.standby(&[]).unwrap();
    super::server::replayed(&primary, &standby);
    super::server::on(&mut project, &standby);
    assert_eq!(run(&project), "read=3 inserted=3");
    late.batch_execute("BEGIN; INSERT INTO s VALUES (4, 'late')").unwrap();
    client.batch_execute("INSERT INTO s VALUES (5, 'soon')").unwrap();
    super::server::replayed(&primary, &standby);
    assert_eq!(run(&project), "read=1 inserted=1");
    late.batch_execute("COMMIT").unwrap();
    super::server::replayed(&primary, &standby);
    // What the standby holds open may be told it a moment later.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(run(&project), "read=2 unchanged=1 inserted=1");
    is_copied(&project);
}
