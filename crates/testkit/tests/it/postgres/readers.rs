//! A table that several sessions read.

use super::{Project, said};
use floodmark_testkit::{
    Postgres,
    crash::{await_stopped, send},
};
use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// 80 MB, in rows that come in batches of two and a half thousand.
const TABLE: &str = "CREATE TABLE s (id int PRIMARY KEY, v int NOT NULL, x text) WITH (autovacuum_enabled = off);
                     INSERT INTO s SELECT g, 1, repeat('x', 800) FROM generate_series(1, 90000) g";

/// Where three sessions have connected: a dozen batches are taken.
const AMID: &str = "mid-extract:12=stop";

fn project() -> Project {
    let project = Project::reading(Postgres::empty().unwrap(), "    key: id\n    version: v\n").by(3);
    project.client().batch_execute(TABLE).unwrap();
    project
}

/// The server's processes that read for a run that is held up, in the order in which they began.
fn sessions(project: &Project, copy: &str) -> Vec<i32> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'floodmark source'
         AND backend_type = 'client backend' AND query LIKE '{copy}%' ORDER BY backend_start"
    );
    project.client().query(&sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// A run that is held up while three sessions read. On a machine that is busy one of them may not have begun by then, or has
/// ended already: that run is ended, and another one tried.
fn held_up(project: &Project) -> (Child, Vec<i32>) {
    for _ in 0..10 {
        let mut child = project.start_at(AMID);
        await_stopped(&child).unwrap();
        let reading = sessions(project, "COPY");
        if reading.len() == 3 {
            return (child, reading);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        await_no_session(project);
    }
    panic!("no run was held up while three sessions read");
}

/// Waits until the server has noticed that the readers' run is gone.
fn await_no_session(project: &Project) {
    let since = Instant::now();
    while !sessions(project, "").is_empty() {
        assert!(since.elapsed() < Duration::from_secs(5), "sessions are left");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What was loaded is what there is.
fn is_copied(project: &Project) {
    let rows = project.client().query("SELECT id, v, x FROM s", &[]).unwrap();
    let text =
        |r: &::postgres::Row| format!("{} | {} | {}", r.get::<_, i32>(0), r.get::<_, i32>(1), r.get::<_, &str>(2));
    let mut rows: Vec<String> = rows.iter().map(text).collect();
    rows.sort();
    assert!(project.look().content["t"] == rows, "other rows were loaded");
}

/// The first session holds the snapshot, the others see it.
#[test]
fn p2_a_run_that_loses_any_of_its_readers_reads_all_of_the_table_again() {
    for victim in [0, 2] {
        let project = project();
        let (child, sessions) = held_up(&project);
        let mut client = project.client();
        client.query("SELECT pg_terminate_backend($1)", &[&sessions[victim]]).unwrap();
        // The next attempt sees another state, and nothing of the one before.
        client.batch_execute("UPDATE s SET v = 2 WHERE id % 7 = 0; DELETE FROM s WHERE id % 5 = 0").unwrap();
        send(&child, "CONT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success() && said(&ran).contains("trying again in"), "{}", said(&ran));
        is_copied(&project);
    }
}

#[test]
fn p2_a_run_that_is_ended_leaves_none_of_its_readers() {
    let project = project();
    for signal in ["TERM", "KILL"] {
        let (child, _) = held_up(&project);
        send(&child, signal).unwrap();
        send(&child, "CONT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert_eq!(ran.status.code(), (signal == "TERM").then_some(143), "{}", said(&ran));
        await_no_session(&project);
    }
    project.loads();
    is_copied(&project);
}
