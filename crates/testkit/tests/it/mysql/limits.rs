//! Servers that were given little: short patience, small packets, no files of their clients.

use super::{Project, UPSERT, said};
use crate::servers::Hosted as _;
use floodmark_testkit::{
    Mysql,
    crash::{await_stopped, send},
    server::mariadb::Server,
};
use std::{thread, time::Duration};

/// A second is what this server waits for anybody, unless a session says otherwise.
const HASTY: [&str; 8] = [
    "wait-timeout=1",
    "interactive-timeout=1",
    "net-read-timeout=1",
    "net-write-timeout=1",
    "idle-transaction-timeout=1",
    "idle-readonly-transaction-timeout=1",
    "idle-write-transaction-timeout=1",
    "max-statement-time=1",
];

#[test]
fn p8_a_server_without_patience_has_some_for_a_run() {
    let server = Server::start(&HASTY).unwrap();
    let load = Project::loading(Mysql::empty_on(&server.url()).unwrap(), UPSERT);
    for name in ["a.csv", "b.csv", "c.csv"] {
        load.file(name, "id,v,name\n1,1,a\n2,1,b\n");
    }
    let read = Project::reading(Mysql::empty_on(&server.url()).unwrap(), "    key: id\n    watermark: v\n");
    read.database.make_source(40000);
    for (project, points) in [
        (&load, &["locked", "surveyed", "mid-chunk:2", "sealed", "committed"][..]),
        (&read, &["surveyed", "mid-extract"][..]),
    ] {
        let children = points.iter().map(|point| {
            let project = project.copy();
            let child = project.start_at(&format!("{point}=stop"));
            await_stopped(&child).unwrap_or_else(|e| panic!("{point}: {e}"));
            (point, project, child)
        });
        let children: Vec<_> = children.collect();
        thread::sleep(Duration::from_millis(2500));
        let after = project.unbroken();
        for (point, project, child) in children {
            send(&child, "CONT").unwrap();
            let ran = child.wait_with_output().unwrap();
            assert!(ran.status.success() && !said(&ran).contains("trying again"), "{point}: {}", said(&ran));
            assert_eq!(project.look().content, after.content, "{point}");
        }
    }
}

#[test]
fn p10_rows_need_not_fit_into_a_packet_and_what_must_is_told() {
    let server = Server::start(&["max-allowed-packet=16384", "net-buffer-length=1024"]).unwrap();
    let project = Project::loading(Mysql::empty_on(&server.url()).unwrap(), UPSERT);
    let long = "x".repeat(200_000);
    project.file("a.csv", &format!("id,v,name\n1,1,{long}\n2,1,b\n"));
    project.loads();
    // Rows that are looked at, written over and put in beside them.
    let longer = "y".repeat(300_000);
    let many: String = (10..2000).map(|n| format!("{n},1,name {n}\n")).collect();
    project.file("b.csv", &format!("id,v,name\n1,2,{longer}\n3,1,{long}\n{many}"));
    project.loads();
    let lengths = project.client().run("SELECT id, length(name) FROM t WHERE id < 10 ORDER BY id");
    assert_eq!(lengths, [["1", "300000"], ["2", "1"], ["3", "200000"]]);

    // A row that is set aside is part of a statement, which goes at once.
    let aside = Project::loading(
        Mysql::empty_on(&server.url()).unwrap(),
        &format!("{UPSERT}    on_bad_row: reject\n    columns: {{ v: {{ type: bigint }} }}\n"),
    );
    aside.file("a.csv", &format!("id,v,name\n1,1,a\n2,no number,{}\n", "z".repeat(20_000)));
    let ran = aside.run();
    let words = said(&ran);
    assert_eq!(ran.status.code(), Some(1), "{words}");
    for part in ["FM0402", "max_allowed_packet", "the open transaction was rolled back"] {
        assert!(words.contains(part) && !words.contains("trying again"), "no {part} in {words}");
    }
    assert!(aside.client().run("SHOW TABLES LIKE 't'").is_empty() || aside.rows().is_empty());
    server.client().run("SET GLOBAL max_allowed_packet = 1048576");
    aside.loads();
    assert_eq!(aside.rows(), [(1, "a".into())]);
}

/// Rows go in by statements then, which must fit into packets, too.
#[test]
fn p8_a_server_that_takes_no_files_takes_the_same_rows() {
    let server = Server::start(&["local-infile=0", "max-allowed-packet=65536"]).unwrap();
    let project = Project::loading(Mysql::empty_on(&server.url()).unwrap(), UPSERT);
    let rows = |version: u32| {
        let lines = (0..5000).map(|n| format!("{},{version},\"it's \\ {n}\n\"\n", n * version)).collect::<String>();
        format!("id,v,name\n{lines}")
    };
    project.file("a.csv", &rows(1));
    project.loads();
    project.file("b.csv", &rows(2));
    project.loads();
    let told =
        project.client().run("SELECT count(*), sum(v), count(DISTINCT name), sum(name LIKE 'it''s %\\n') FROM t");
    assert_eq!(told, [["7500", "12500", "5000", "7500"]]);
    // A row that is larger than what goes at once.
    project.file("c.csv", &format!("id,v,name\n1,3,{}\n", "x".repeat(70_000)));
    let before = project.look();
    let ran = project.run();
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    for part in ["FM0402", "max_allowed_packet", "the open transaction was rolled back"] {
        assert!(said(&ran).contains(part) && !said(&ran).contains("trying again"), "no {part} in {}", said(&ran));
    }
    assert_eq!(project.look().content, before.content);
}
