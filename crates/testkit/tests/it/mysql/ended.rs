//! Sessions, statements and clients that are ended while a run needs them.

use super::{FIRST, Project, SECOND, before, both, loading, said};
use crate::servers::scene::all;
use floodmark_testkit::{
    Mysql,
    crash::{await_stopped, send},
    mysql::Client,
    server::mariadb::Server,
};
use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// A statement that takes its time, and how it is brought to that.
struct Held {
    what: &'static str,
    project: fn(&Server) -> Project,
    /// Begins a run, waits until it is in the statement, and returns the server's session, and another one that may stand in
    /// its way.
    begin: fn(&Project) -> (Child, u64, Option<Client>),
    /// What stood in its way goes.
    let_go: fn(&Project),
}

fn held_by_a_trigger(project: &Project, statement: &str) -> (Child, u64, Option<Client>) {
    project.hold_up(statement);
    let child = project.start();
    (child, project.held(), None)
}

/// A transaction of somebody else's that has looked at rows, and stays.
fn held_by_a_session(project: &Project, look: &str, statement: &str) -> (Child, u64, Option<Client>) {
    let mut holder = project.client();
    holder.begin(&format!("START TRANSACTION; {look}; SELECT SLEEP(300)"));
    project.held();
    let child = project.start();
    (child, project.found(&format!("info LIKE '{statement}'")), Some(holder))
}

/// Files of which all but the first batch of the second are still to come when the server takes rows.
fn several(server: &Server) -> Project {
    let project = Project::loading(Mysql::empty_on(&server.url()).unwrap(), super::UPSERT);
    project.file("a.csv", FIRST);
    project.file("b.csv", SECOND);
    project.file("c.csv", "id,v,name\n3,1,c\n");
    project
}

/// A table that the next run makes wider.
fn widening(server: &Server) -> Project {
    let project = loading(server);
    project.file("b.csv", "id,v,name,more\n2,2,B,x\n3,1,c,y\n");
    project
}

/// A table from which a row is to go.
fn removing(server: &Server) -> Project {
    let database = Mysql::empty_on(&server.url()).unwrap();
    let project = Project::loading(database, "    load: overwrite\n    key: id\n");
    project.file("a.csv", FIRST);
    project.loads();
    project.file("a.csv", "id,v,name\n2,2,B\n3,1,c\n");
    project
}

const HELD: [Held; 6] = [
    Held {
        what: "LOAD DATA that waits for rows",
        project: several,
        begin: |project| {
            let child = project.start_at("mid-chunk:2=stop");
            await_stopped(&child).unwrap();
            (child, project.found("info LIKE 'LOAD DATA%'"), None)
        },
        let_go: |_| {},
    },
    Held {
        what: "LOAD DATA that writes rows",
        project: loading,
        begin: |project| held_by_a_trigger(project, "INSERT"),
        let_go: Project::let_go,
    },
    Held {
        what: "UPDATE",
        project: loading,
        begin: |project| held_by_a_trigger(project, "UPDATE"),
        let_go: Project::let_go,
    },
    Held {
        what: "DELETE",
        project: removing,
        begin: |project| held_by_a_trigger(project, "DELETE"),
        let_go: Project::let_go,
    },
    Held {
        what: "the look at rows, which waits for a lock",
        project: loading,
        begin: |project| held_by_a_session(project, "SELECT id FROM t WHERE id = 2 FOR UPDATE", "SELECT k.%FOR UPDATE"),
        let_go: end_sleeper,
    },
    Held {
        what: "ALTER TABLE, which waits for readers",
        project: widening,
        begin: |project| held_by_a_session(project, "SELECT id FROM t", "ALTER TABLE%"),
        let_go: end_sleeper,
    },
];

fn end_sleeper(project: &Project) {
    let sleeper = project.held();
    project.client().run(&format!("KILL {sleeper}"));
}

#[test]
fn p2_a_run_whose_session_is_ended_goes_on_by_itself() {
    let server = Server::start(&[]).unwrap();
    all(&HELD, |held| {
        let project = (held.project)(&server);
        let was = rows(&project);
        let (child, session, _holder) = (held.begin)(&project);
        project.client().run(&format!("KILL {session}"));
        // Where it stopped itself.
        send(&child, "CONT").unwrap();
        // The table is as it was; the run comes back no sooner than after a second.
        (held.let_go)(&project);
        assert_eq!(rows(&project), was, "{}", held.what);
        let ran = child.wait_with_output().unwrap();
        let words = said(&ran);
        assert!(ran.status.success() && words.contains("trying again in"), "{}: {words}", held.what);
        is_loaded(held, &project);
        let status = project.client().run("SELECT DISTINCT status FROM _floodmark_runs");
        assert_eq!(status, [["ok"]], "{}", held.what);
    });
}

/// Somebody wanted that statement to end: it is not tried again without being asked.
#[test]
fn p2_a_statement_that_is_ended_is_told_and_the_next_run_completes_it() {
    let server = Server::start(&[]).unwrap();
    all(&HELD, |held| {
        let project = (held.project)(&server);
        let was = rows(&project);
        let (child, session, _holder) = (held.begin)(&project);
        project.client().run(&format!("KILL QUERY {session}"));
        // Where it stopped itself.
        send(&child, "CONT").unwrap();
        let ran = child.wait_with_output().unwrap();
        let words = said(&ran);
        assert_eq!(ran.status.code(), Some(1), "{}: {words}", held.what);
        for part in ["FM0402", "the statement was stopped", "the open transaction was rolled back"] {
            assert!(words.contains(part) && !words.contains("trying again"), "{}: no {part:?} in {words}", held.what);
        }
        (held.let_go)(&project);
        assert_eq!(rows(&project), was, "{}", held.what);
        project.loads();
        is_loaded(held, &project);
    });
}

fn rows(project: &Project) -> Vec<String> {
    project.look().content.remove("t").unwrap_or_default()
}

fn is_loaded(held: &Held, project: &Project) {
    let removes = held.what == "DELETE";
    let expected = if removes { both()[1..].to_vec() } else { both() };
    assert_eq!(project.rows(), expected, "{}", held.what);
}

/// The server is lost just after the commit, before the run has heard of it: its ledger tells, and nothing is done twice.
#[test]
fn p9_a_commit_whose_answer_is_lost_is_a_run_that_is_done() {
    for fields in [super::UPSERT, "    load: append\n    append: at_least_once\n"] {
        let project = Project::new(fields);
        project.file("a.csv", FIRST);
        let child = project.start_at("load-commit:after:1=stop");
        await_stopped(&child).unwrap();
        let session = project.found("user <> 'system user'");
        project.client().run(&format!("KILL {session}"));
        send(&child, "CONT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{}", said(&ran));
        assert!(String::from_utf8_lossy(&ran.stdout).contains("\"inserted\":2"));
        assert_eq!(project.rows(), before());
    }
}

#[test]
fn signals_reach_a_long_statement_and_the_wait_for_a_server() {
    let server = Server::start(&[]).unwrap();
    all(&HELD[1..4], |held| {
        let project = (held.project)(&server);
        let (child, ..) = (held.begin)(&project);
        let asked = Instant::now();
        send(&child, "INT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert_eq!(ran.status.code(), Some(130), "{}: {}", held.what, said(&ran));
        assert!(asked.elapsed() < Duration::from_secs(5), "{}: it took {:?}", held.what, asked.elapsed());
        assert_eq!(project.rows(), before(), "{}", held.what);
    });
    let project = loading(&server);
    let (child, session, _) = held_by_a_trigger(&project, "UPDATE");
    project.client().run(&format!("KILL {session}"));
    thread::sleep(Duration::from_millis(500));
    send(&child, "INT").unwrap();
    let ran = child.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(130), "{}", said(&ran));
    assert!(said(&ran).contains("trying again in"), "{}", said(&ran));
    assert_eq!(project.rows(), before());
}

/// These servers see to it that a client is gone when its statement ends. Until then it holds the pipeline, and the next run
/// says which session to end.
#[test]
fn p2_p3_a_client_killed_in_a_long_statement_is_named_and_can_be_ended() {
    let server = Server::start(&[]).unwrap();
    let project = loading(&server);
    let (mut child, session, _) = held_by_a_trigger(&project, "UPDATE");
    let busy = project.run();
    assert_eq!(busy.status.code(), Some(3), "{}", said(&busy));
    child.kill().unwrap();
    child.wait().unwrap();
    let busy = project.run();
    assert_eq!(busy.status.code(), Some(3), "{}", said(&busy));
    assert!(said(&busy).contains(&format!("`KILL {session}`")), "{}", said(&busy));
    project.client().run(&format!("KILL {session}"));
    project.let_go();
    project.loads();
    assert_eq!(project.rows(), both());
}

/// The trials of `prove` are made in databases of their own, which go at its end.
#[test]
fn a_pipeline_is_proved_on_copies() {
    let server = Server::start(&[]).unwrap();
    let project = loading(&server);
    project.loads();
    let proved = project.command(&["prove", "t"]).output().unwrap();
    assert_eq!(proved.status.code(), Some(0), "{}", said(&proved));
    assert_eq!(project.rows(), both());
    let left = server.client().run("SHOW DATABASES LIKE 'floodmark\\_copy%'");
    assert!(left.is_empty(), "{left:?}");
}
