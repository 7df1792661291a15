//! What only a server can do to a run: hold it up, break it off, lose its client.

#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod pooler;
mod project;
#[cfg(target_os = "linux")]
mod readers;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod tls;
#[cfg(target_os = "linux")]
mod xmin;

use crate::servers::said;
use floodmark_testkit::{Postgres, floodmark};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A project with a PostgreSQL.
pub(crate) type Project = crate::servers::project::Project<Postgres>;

const FIRST: &str = "id,v,name\n1,1,a\n2,1,b\n";
const SECOND: &str = "id,v,name\n2,2,B\n3,1,c\n";

fn both() -> Vec<(i64, String)> {
    vec![(1, "a".into()), (2, "B".into()), (3, "c".into())]
}

#[test]
fn p2_a_client_killed_in_a_long_statement_lets_go_at_once() {
    let project = Project::upsert();
    project.file("a.csv", FIRST);
    project.loads();
    project.hold_up();
    project.file("b.csv", SECOND);
    let mut child = project.start();
    project.held();
    let killed = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    // The trigger's table is the dead run's until the server has noticed.
    project.client().batch_execute("SET lock_timeout = '5s'; DROP TRIGGER hold ON t").unwrap();
    project.loads();
    assert!(killed.elapsed() < Duration::from_secs(5), "the next run waited {:?}", killed.elapsed());
    assert_eq!(project.rows(), both());
}

#[test]
fn p2_a_run_whose_server_process_is_ended_goes_on_by_itself() {
    let project = Project::upsert();
    project.file("a.csv", FIRST);
    project.loads();
    project.hold_up();
    project.file("b.csv", SECOND);
    let child = project.start();
    let process = project.held();
    let mut client = project.client();
    client.query("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
    // The table is free at once, and as it was; the run comes back no sooner than after a second.
    client.batch_execute("SET lock_timeout = '900ms'; DROP TRIGGER hold ON t").unwrap();
    assert_eq!(project.rows(), [(1, "a".into()), (2, "b".into())]);
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("trying again in"), "{said}");
    assert_eq!(project.rows(), both());
    let status: Vec<String> = client
        .query("SELECT status FROM _floodmark_runs ORDER BY started_at", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(status, ["ok", "ok"]);
}

/// The server is lost just after the commit, before the run has heard of it: its ledger tells, and nothing is done twice.
#[test]
fn p9_a_commit_whose_answer_is_lost_is_a_run_that_is_done() {
    for project in [Project::upsert(), Project::new("    load: append\n    append: at_least_once\n")] {
        project.file("a.csv", FIRST);
        let child = project.start_at("load-commit:after:1=stop");
        floodmark_testkit::crash::await_stopped(&child).unwrap();
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        project.client().query(ended, &[]).unwrap();
        floodmark_testkit::crash::send(&child, "CONT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
        assert!(String::from_utf8_lossy(&ran.stdout).contains("\"inserted\":2"));
        assert_eq!(project.rows(), [(1, "a".into()), (2, "b".into())]);
    }
}

/// Between two attempts a signal is heard, too.
#[test]
fn a_signal_ends_the_wait_for_a_server() {
    let project = Project::upsert();
    project.file("a.csv", FIRST);
    project.loads();
    project.hold_up();
    project.file("b.csv", SECOND);
    let child = project.start();
    let process = project.held();
    let mut client = project.client();
    client.query("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
    thread::sleep(Duration::from_millis(500));
    floodmark_testkit::crash::send(&child, "INT").unwrap();
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(130), "{said}");
    assert!(said.contains("trying again in"), "{said}");
    assert_eq!(project.rows(), [(1, "a".into()), (2, "b".into())]);
}

#[test]
fn a_signal_reaches_a_long_statement() {
    let project = Project::upsert();
    project.file("a.csv", FIRST);
    project.loads();
    project.hold_up();
    project.file("b.csv", SECOND);
    let child = project.start();
    project.held();
    let asked = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(130), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    assert_eq!(project.rows(), [(1, "a".into()), (2, "b".into())]);
}

#[test]
fn p3_a_second_run_leaves_with_its_own_exit_code() {
    let project = Project::upsert();
    project.file("a.csv", FIRST);
    project.loads();
    project.hold_up();
    project.file("b.csv", SECOND);
    let mut child = project.start();
    project.held();
    let second = project.run();
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&second.stdout).contains("floodmark run"), "it says who holds the pipeline");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// P1 down to the pages: rows that are equal are not touched, and leave nothing for a vacuum to do.
#[test]
fn p1_an_idle_rerun_leaves_no_dead_rows() {
    let rows: String = (0..5000).map(|n| format!("{n},1,name {n}\n")).collect();
    for load in ["upsert", "overwrite", "delete_insert", "scd2", "insert_only"] {
        let project = Project::new(&format!("    load: {load}\n    key: id\n    version: v\n"));
        project.file("a.csv", &format!("id,v,name\n{rows}"));
        project.loads();
        let mut client = project.client();
        client.batch_execute("CREATE EXTENSION pgstattuple").unwrap();
        let mut look = || -> (i64, i64) {
            let row = client.query_one("SELECT tuple_count, dead_tuple_count FROM pgstattuple('t')", &[]).unwrap();
            (row.get(0), row.get(1))
        };
        assert_eq!(look(), (5000, 0), "{load}: after the first load");
        // Other bytes, equal rows: all of them are read and compared.
        project.file("a.csv", &format!("id,v,name\r\n{}", rows.replace('\n', "\r\n")));
        project.loads();
        assert_eq!(look(), (5000, 0), "{load}: after an idle re-run");
    }
}

/// Equal content is one fingerprint, wherever it is kept.
#[test]
fn a_table_has_the_fingerprint_it_has_in_sqlite() {
    let project = Project::new(
        "    load: append\n    columns: { t: { type: time }, b: { type: boolean }, d: { type: double } }\n",
    );
    let rows = "id,amount,d,b,day,at,zoned,t,note\n\
                1,1.10,0.5,true,2024-02-29,2024-01-01 10:00:00.25,2024-01-01T10:00:00+02:00,10:00:00.5,\"\"\n\
                -9223372036854775808,-0.05,-0.0,false,0001-01-01,1969-12-31 23:59:59,1900-01-01T00:00:00Z,00:00:00,\n\
                3,99999999999999999999.99,1e300,,9999-12-31,2024-01-01 00:00:00,2024-01-01T00:00:00Z,23:59:59.999999,ü|\u{1f30a}\n";
    project.file("a.csv", rows);
    project.loads();
    let yaml = project.yaml();
    let text = fs::read_to_string(&yaml).unwrap();
    let file = format!("sqlite:///{}/t.db", project.path().display());
    fs::write(&yaml, text.replace(project.database.url(), &file)).unwrap();
    project.loads();
    let print = |url: &str| {
        let output = Command::new(floodmark().unwrap()).args(["fingerprint", url, "t"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(print(project.database.url()), print(&file));
}

/// The trials of `prove` are made on databases of their own, which the next one drops.
#[test]
fn a_pipeline_is_proved_on_copies() {
    let project = Project::upsert();
    project.file("a.csv", FIRST);
    project.file("b.csv", SECOND);
    project.loads();
    let mut command = Command::new(floodmark().unwrap());
    let proved = command.current_dir(project.path()).env("NO_COLOR", "1").args(["prove", "t"]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&proved.stdout), String::from_utf8_lossy(&proved.stderr));
    assert_eq!(proved.status.code(), Some(0), "{said}");
    assert_eq!(project.rows(), both());
}
