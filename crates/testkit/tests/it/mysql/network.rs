//! A network that fails on its way to a MariaDB.

use super::said;
use crate::servers::{
    Hosted,
    scene::{
        append, cut_anywhere, cut_at_commits, cut_while_it_commits, delta, first_load, gone_for_good, half_closed,
        history, never_answers, reading, silent_source, slow, swallowed,
    },
};
use floodmark_testkit::{
    Mysql,
    crash::{await_stopped, send},
    proxy::{Fault, Place, Way},
    server::mariadb::Server,
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// An empty database of a server of this test's own.
fn of(server: &Server) -> Mysql {
    Mysql::empty_on(&server.url()).unwrap()
}

#[test]
fn p2_a_load_cut_anywhere_heals_itself_or_is_completed_by_the_next_run() {
    let server = Server::start(&[]).unwrap();
    cut_anywhere(&[first_load(of(&server)), delta(of(&server)), append(of(&server)), history(of(&server))]);
}

#[test]
fn p2_p9_a_commit_that_is_cut_off_is_done_once() {
    let server = Server::start(&[]).unwrap();
    cut_at_commits(&[first_load(of(&server)), append(of(&server))]);
}

/// What waits to be written to the log of changes in one go with others goes on, be its session ended meanwhile.
#[test]
fn p9_a_commit_that_takes_long_is_waited_for_when_it_is_cut_off() {
    let server = Server::start(&["server-id=1", "log-bin"]).unwrap();
    let scenes = [first_load(of(&server)), delta(of(&server)), append(of(&server)), history(of(&server))];
    cut_while_it_commits(&scenes, |project| {
        let child = project.start_at("load-commit=stop");
        await_stopped(&child).unwrap();
        // A wait that has begun lasts, whatever is set later.
        let mut client = project.client();
        client.run("SET GLOBAL binlog_commit_wait_usec = 3000000; SET GLOBAL binlog_commit_wait_count = 100");
        send(&child, "CONT").unwrap();
        project.found("info LIKE 'COMMIT%'");
        client.run("SET GLOBAL binlog_commit_wait_count = 0");
        child
    });
}

/// The server alone would wait for a quarter of an hour and longer.
#[test]
fn p2_a_load_on_a_network_that_swallows_everything_heals_itself() {
    let server = Server::start(&[]).unwrap();
    swallowed(&[first_load(of(&server)), delta(of(&server))], Mysql::SOON);
}

/// These servers have no limit for a client that vanished: who holds the pipeline is told, and how that is ended.
#[test]
fn p2_a_client_that_vanished_without_a_word_is_named_and_can_be_ended() {
    let server = Server::start(&[]).unwrap();
    let scene = first_load(of(&server));
    let trial = scene.begin(Mysql::SOON);
    trial.proxy.plan(Way::Up, Place::Byte(scene.bytes[0] / 2), Fault::Swallow);
    let mut child = trial.project.start();
    let since = Instant::now();
    while !trial.proxy.has_struck() {
        assert!(since.elapsed() < Duration::from_secs(60), "the fault did not strike");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let busy = trial.project.run();
    assert_eq!(busy.status.code(), Some(3), "{}", said(&busy));
    let words = said(&busy);
    let session = words.split_once("`KILL ").and_then(|(_, rest)| rest.split_once('`')).map(|(id, _)| id.to_owned());
    server.client().run(&format!("KILL {}", session.unwrap_or_else(|| panic!("no session to end: {words}"))));
    let ran = trial.project.run();
    assert!(ran.status.success(), "{}", said(&ran));
    trial.is_as_unbroken("the client vanished", "");
}

#[test]
fn p2_a_load_whose_connection_is_closed_in_one_direction_heals_itself() {
    let server = Server::start(&[]).unwrap();
    half_closed(&[first_load(of(&server)), delta(of(&server))]);
}

#[test]
fn p8_a_slow_network_changes_nothing() {
    let server = Server::start(&[]).unwrap();
    slow(&[delta(of(&server))]);
    slow(&[reading(of(&server), "key: id")]);
}

#[test]
fn a_server_that_is_gone_for_good_is_an_error_and_nothing_is_changed() {
    gone_for_good(&delta(Mysql::empty().unwrap()));
}

#[test]
fn p2_a_source_cut_anywhere_is_read_again() {
    let server = Server::start(&[]).unwrap();
    cut_anywhere(&[reading(of(&server), "key: id"), reading(of(&server), "load: append")]);
}

#[test]
fn p2_a_source_that_is_silent_or_half_closed_is_read_again() {
    let server = Server::start(&[]).unwrap();
    silent_source(&reading(of(&server), "key: id"));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    never_answers::<Mysql>();
}
