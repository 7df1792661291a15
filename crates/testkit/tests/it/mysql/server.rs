//! Servers in trouble: restarted, full, locked, or not to be written to.

use super::{Project, UPSERT, both, loading, reading, said};
use crate::servers::{scene::all, tries_again};
use floodmark_testkit::{
    Mysql,
    crash::{Look, await_stopped, send},
    mysql::Client,
    server::mariadb::{End, Server},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// A table of which a full refresh makes another one beside it, to be swapped in after the commit.
fn swapping(server: &Server) -> Project {
    let project = loading(server);
    project.file("a.csv", "id,v,name,more\n1,1,a,x\n");
    project
}

/// A first load.
fn making(server: &Server) -> Project {
    let project = Project::loading(Mysql::empty_on(&server.url()).unwrap(), UPSERT);
    project.file("a.csv", super::FIRST);
    project.file("b.csv", super::SECOND);
    project
}

/// How a project is made, what is run, and the points at which its server goes.
type Restarted = (fn(&Server) -> Project, &'static [&'static str], &'static [&'static str]);

/// The last of a swap come after its commit: before both tables are renamed, before the old one goes, before the intention
/// is forgotten.
const RESTARTED: [Restarted; 4] = [
    // Before others write, which would hold its watermark.
    (reading, &["run"], &["surveyed", "mid-extract"]),
    (loading, &["run"], &["take-commit", "mid-chunk", "load-commit", "load-commit:after"]),
    (making, &["run"], &["create-state:3", "create-table:after", "insert:after"]),
    (
        swapping,
        &["--yes", "run", "--full-refresh"],
        &["create-table:after", "write-position", "load-commit:after", "drop-table:after:2", "drop-table:after:3"],
    ),
];

#[test]
fn p2_a_server_that_is_restarted_in_mid_load_is_waited_for() {
    let server = Server::start(&[]).unwrap();
    // All runs are stopped at their points first, so that one restart is for all of them.
    for end in [End::Kill, End::Shutdown] {
        let origins = RESTARTED.map(|(make, command, points)| {
            let origin = make(&server);
            let unbroken = origin.copy();
            let ran = unbroken.command(command).output().unwrap();
            assert!(ran.status.success(), "{}", said(&ran));
            (origin.look(), unbroken.look(), origin, command, points)
        });
        let mut stopped = Vec::new();
        for (before, after, origin, command, points) in &origins {
            for point in *points {
                let project = origin.copy();
                let child = project.start_command(command, &format!("{point}=stop"));
                await_stopped(&child).unwrap_or_else(|e| panic!("{command:?} at {point}: {e}"));
                stopped.push((format!("{end:?} at {point} of {command:?}"), project, child, before, after));
            }
        }
        server.stop(end).unwrap();
        stopped.iter().for_each(|(_, _, child, ..)| send(child, "CONT").unwrap());
        // Long enough for an attempt that finds nobody.
        thread::sleep(Duration::from_millis(2500));
        server.start_again().unwrap();
        for (what, project, child, before, after) in stopped {
            let ran = child.wait_with_output().unwrap();
            assert!(ran.status.success(), "{what}: {}", said(&ran));
            // A source may have sent all it has by then.
            let lost = said(&ran).contains("trying again in") || what.contains("mid-extract");
            assert!(lost, "{what}: {}", said(&ran));
            project.is_as_unbroken(before, after, &what);
        }
    }
}

/// Every connection that the server has to give.
fn all_taken(server: &Server) -> Vec<Client> {
    let mut taken = Vec::new();
    while server.answers() {
        let mut client = server.client();
        client.run("DO 0");
        taken.push(client);
    }
    taken
}

/// Sessions take a moment to end.
fn gone(server: &Server, clients: Vec<Client>) {
    drop(clients);
    while !server.answers() {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_with_all_its_connections_taken_is_told_and_tried_again() {
    let server = Server::start(&["max-connections=10"]).unwrap();
    for project in [loading(&server), reading(&server)] {
        let (before, after) = (project.look(), project.unbroken());
        let others = all_taken(&server);
        let mut child = project.start();
        let told = tries_again(&mut child);
        gone(&server, others);
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{told}{}", said(&ran));
        project.is_as_unbroken(&before, &after, "a run that waited");
    }
    // For good, it is an error that says what to do.
    let project = loading(&server);
    let before = project.look();
    let others = all_taken(&server);
    let ran = project.run();
    gone(&server, others);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(said(&ran).contains("FM0403") && said(&ran).contains("max_connections"), "{}", said(&ran));
    assert!(said(&ran).contains("nothing was written"), "{}", said(&ran));
    assert_eq!(said(&ran).matches("trying again in").count(), 4, "{}", said(&ran));
    assert_eq!(project.look(), before);
    project.loads();
}

/// Waits until the replica is where its primary is now.
fn replayed(primary: &Server, replica: &Server) {
    let here = primary.client().one("SELECT @@gtid_binlog_pos");
    assert_eq!(replica.client().one(&format!("SELECT MASTER_GTID_WAIT('{here}', 30)")), "0", "it does not follow");
}

/// Names the same database on another server, for another user.
fn on(project: &mut Project, server: &Server, user: &str) {
    let at = server.url().rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    project.point_to(&format!("mysql://{user}:pw@{at}/{}", project.database.name));
}

const PRIMARY: [&str; 2] = ["server-id=1", "log-bin=log"];

#[test]
fn p4_a_replica_is_read_and_its_watermark_waits_for_the_primary() {
    let primary = Server::start(&PRIMARY).unwrap();
    let replica = primary.replica().unwrap();
    let mut project = reading(&primary);
    let user = project.database.user("GRANT SELECT, PROCESS ON *.* TO {}");
    replayed(&primary, &replica);
    let primary_url = project.database.url().to_owned();
    on(&mut project, &replica, &user.name);
    let rows = |project: &Project| project.look().content["t"].len();
    // A row that is committed late on the primary, behind one that was there before: only the primary knows of it.
    let mut late = project.client();
    late.run("BEGIN; INSERT INTO s VALUES (0, 2, 'late')");
    project.client().run("INSERT INTO s VALUES (30001, 3, 'later')");
    replayed(&primary, &replica);
    let ran = project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(said(&ran).contains("the watermark does not move") && said(&ran).contains("primary"), "{}", said(&ran));
    assert_eq!(rows(&project), 30001);
    late.run("COMMIT");
    replayed(&primary, &replica);
    project.loads();
    assert_eq!(rows(&project), 30002);
    // What replaying takes away under a reader is no matter: it sees one state.
    let child = project.start_at("mid-extract=stop");
    await_stopped(&child).unwrap();
    project.client().run("DELETE FROM s WHERE id > 100");
    replayed(&primary, &replica);
    send(&child, "CONT").unwrap();
    let ran = child.wait_with_output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(rows(&project), 30002);
    project.point_to(&primary_url);
    project.loads();
}

#[test]
fn p10_a_server_that_takes_no_writes_takes_no_load_until_it_does() {
    let primary = Server::start(&PRIMARY).unwrap();
    let replica = primary.replica().unwrap();
    let mut project = loading(&primary);
    // Who may do everything may also write to a replica.
    let user = project
        .database
        .user("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, CREATE TEMPORARY TABLES ON *.* TO {}");
    let after = project.unbroken();
    let before = project.look();
    replayed(&primary, &replica);
    let primary_url = project.database.url().to_owned();
    on(&mut project, &replica, &user.name);
    takes_none(&project);
    assert_eq!(project.look(), before);

    // A server becomes one in the middle of a load: its commit is refused, and the primary has the table as it was.
    project.point_to(&primary_url.replacen("floodmark:watermark", &format!("{}:pw", user.name), 1));
    for point in ["mid-chunk", "load-commit"] {
        let child = project.start_at(&format!("{point}=stop"));
        await_stopped(&child).unwrap();
        // It waits for commits that are under way, and lets no other begin.
        primary.client().run("SET GLOBAL read_only = 1");
        send(&child, "CONT").unwrap();
        let ran = child.wait_with_output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{point}: {}", said(&ran));
        assert!(said(&ran).contains("FM0401") && said(&ran).contains("see read_only"), "{point}: {}", said(&ran));
        assert_eq!(project.look().content, before.content, "{point}");
        takes_none(&project);
        primary.client().run("SET GLOBAL read_only = 0");
    }
    project.loads();
    project.is_as_unbroken(&before, &after, "once it takes writes again");
}

fn takes_none(project: &Project) {
    for (command, exit) in [("run", 1), ("check", 2), ("plan", 1)] {
        let ran = project.command(&[command]).output().unwrap();
        let words = said(&ran);
        assert_eq!(ran.status.code(), Some(exit), "{command}: {words}");
        assert!(words.contains("FM0401") && words.contains("name the primary server"), "{command}: {words}");
        assert!(words.contains("nothing was written"), "{command}: {words}");
        assert!(!words.contains("trying again"), "{command}: {words}");
    }
}

/// What somebody else holds, how, and what a run says.
struct Locked {
    what: &'static str,
    project: fn(&Server) -> Project,
    lock: &'static str,
    unlock: &'static str,
    code: &'static str,
}

const LOCKED: [Locked; 4] = [
    Locked {
        what: "the table",
        project: loading,
        lock: "LOCK TABLES t WRITE",
        unlock: "UNLOCK TABLES",
        code: "FM0403",
    },
    Locked {
        what: "a row",
        project: loading,
        lock: "BEGIN; SELECT * FROM t WHERE id = 2 FOR UPDATE",
        unlock: "COMMIT",
        code: "FM0403",
    },
    Locked {
        what: "the table's definition",
        project: |server| {
            let project = loading(server);
            project.file("b.csv", "id,v,name,more\n2,2,B,x\n3,1,c,y\n");
            project
        },
        lock: "BEGIN; SELECT * FROM t",
        unlock: "COMMIT",
        code: "FM0403",
    },
    Locked {
        what: "the table that is read",
        project: reading,
        lock: "LOCK TABLES s WRITE",
        unlock: "UNLOCK TABLES",
        code: "FM0202",
    },
];

#[test]
fn p10_what_somebody_has_locked_is_told_and_left_as_it_is() {
    let server = Server::start(&[]).unwrap();
    all(&LOCKED, |locked| {
        let mut project = (locked.project)(&server);
        let (before, after) = (project.look(), project.unbroken());
        let patient = project.database.url().to_owned();
        project.point_to(&format!("{patient}?lock-wait-timeout=1"));
        let mut other = project.client();
        other.run(locked.lock);
        let since = Instant::now();
        let ran = project.run();
        assert!(since.elapsed() < Duration::from_secs(10), "{}: it took {:?}", locked.what, since.elapsed());
        assert_eq!(ran.status.code(), Some(1), "{}: {}", locked.what, said(&ran));
        let words = said(&ran);
        for part in [locked.code, "SHOW PROCESSLIST"] {
            assert!(words.contains(part) && !words.contains("trying again"), "{}: no {part} in {words}", locked.what);
        }
        other.run(locked.unlock);
        assert_eq!(project.look().content, before.content, "{}", locked.what);
        // It waits as long as it may.
        project.point_to(&patient);
        other.run(locked.lock);
        let child = project.start();
        thread::sleep(Duration::from_millis(1500));
        other.run(locked.unlock);
        let ran = child.wait_with_output().unwrap();
        assert!(ran.status.success(), "{}: {}", locked.what, said(&ran));
        project.is_as_unbroken(&before, &after, locked.what);
    });
}

/// As a backup does.
#[test]
fn p10_a_server_that_is_locked_as_a_whole_is_told_and_left_as_it_is() {
    let server = Server::start(&[]).unwrap();
    let mut project = loading(&server);
    let (before, patient) = (project.look(), project.database.url().to_owned());
    project.point_to(&format!("{patient}?lock-wait-timeout=1"));
    let mut other = project.client();
    other.run("FLUSH TABLES WITH READ LOCK");
    let ran = project.run();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(said(&ran).contains("FM0403") && said(&ran).contains("SHOW PROCESSLIST"), "{}", said(&ran));
    other.run("UNLOCK TABLES");
    assert_eq!(project.look().content, before.content);
    project.loads();
    assert_eq!(project.rows(), both());
}

#[test]
fn p10_a_server_whose_disk_is_full_keeps_the_table_as_it_was() {
    let server = Server::with_little_room(24).unwrap();
    let project = Project::loading(Mysql::found(&server.url(), Server::SMALL).unwrap(), UPSERT);
    project.file("a.csv", super::FIRST);
    project.loads();
    let rows = |from: u32| (from..from + 8000).map(|n| format!("{n},2,{n:0>500}\n")).collect::<String>();
    project.file("b.csv", &format!("id,v,name\n{}", rows(10)));
    project.file("c.csv", &format!("id,v,name\n2,2,B\n{}", rows(8010)));
    let mut client = project.client();
    client.run("CREATE TABLE ballast (x longtext) AS SELECT repeat('x', 1000) AS x FROM seq_1_to_14000");
    let before: Look = project.look();
    let ran = project.run();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    let words = said(&ran);
    assert!(words.contains("FM0402") && words.contains("disk is full"), "{words}");
    assert!(words.contains("the open transaction was rolled back") && !words.contains("trying again"), "{words}");
    assert_eq!(project.look().content["t"], before.content["t"]);
    client.run("DROP TABLE ballast");
    let ran = project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    assert_eq!(project.look().content["t"].len(), 16002);
}

/// The server ends the transaction that has written less.
#[test]
fn p2_a_load_that_is_the_victim_of_a_deadlock_is_tried_again() {
    let server = Server::start(&[]).unwrap();
    let project = loading(&server);
    project.file("b.csv", "id,v,name\n1,2,A\n2,2,B\n");
    let mut other = project.client();
    other.run(
        "CREATE TABLE more (id int PRIMARY KEY); BEGIN; INSERT INTO more SELECT seq FROM seq_1_to_1000;
         UPDATE t SET name = 'x' WHERE id = 2",
    );
    let mut child = project.start();
    project.found("info LIKE 'SELECT k.%FOR UPDATE'");
    other.run("UPDATE t SET name = 'y' WHERE id = 1");
    let told = tries_again(&mut child);
    other.run("COMMIT");
    let ran = child.wait_with_output().unwrap();
    assert!(ran.status.success(), "{told}{}", said(&ran));
    assert_eq!(project.rows(), [(1, "A".into()), (2, "B".into())]);
}
