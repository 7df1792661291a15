//! A network that fails on its way to a PostgreSQL.

use super::{Project, said};
use crate::servers::{
    Hosted,
    scene::{
        Scene, all, append, cut_anywhere, cut_at_commits, cut_while_it_commits, delta, first_load, gone_for_good,
        half_closed, history, never_answers, reading, silent_source, slow, swallowed,
    },
};
use floodmark_testkit::{
    Postgres,
    proxy::{Fault, Place, Way},
    server::postgres::Server,
};
use std::{
    thread,
    time::{Duration, Instant},
};

fn empty() -> Postgres {
    Postgres::empty().unwrap()
}

/// The same of a table that several sessions read: its rows are few, a page each.
fn large() -> Scene<Postgres> {
    let project = Project::reading(Postgres::empty().unwrap(), "    key: id\n    watermark: v\n").by(2);
    let mut client = project.client();
    let table = "CREATE TABLE s (id int PRIMARY KEY, v bigint NOT NULL, name text) WITH (fillfactor = 10);
                 INSERT INTO s VALUES (0, 1, 'first')";
    client.batch_execute(table).unwrap();
    project.loads();
    let rows = "INSERT INTO s SELECT g, 2, repeat('x', 750) FROM generate_series(1, 5000) g";
    client.batch_execute(rows).unwrap();
    drop(client);
    Scene::of("a large table that is read", project)
}

#[test]
fn p2_a_load_cut_anywhere_heals_itself_or_is_completed_by_the_next_run() {
    cut_anywhere(&[first_load(empty()), delta(empty()), append(empty()), history(empty())]);
}

#[test]
fn p2_p9_a_commit_that_is_cut_off_is_done_once() {
    cut_at_commits(&[first_load(empty()), append(empty())]);
}

/// What waits for a standby is committed where it is, and a session that is ended meanwhile does not take it back.
#[test]
fn p9_a_commit_that_takes_long_is_waited_for_when_it_is_cut_off() {
    let server = Server::start(&["synchronous_standby_names=nobody", "synchronous_commit=local"]).unwrap();
    let empty = || Postgres::empty_on(&server.url(), "").unwrap();
    cut_while_it_commits(&[delta(empty()), append(empty()), history(empty())], |project| {
        let waits_once = "CREATE SEQUENCE writes;
             CREATE FUNCTION wait_once() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN
               IF nextval('writes') = 1 THEN PERFORM set_config('synchronous_commit', 'on', true); END IF;
               RETURN NULL;
             END $$;
             CREATE TRIGGER wait_once AFTER INSERT OR UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION wait_once()";
        project.client().batch_execute(waits_once).unwrap();
        let child = project.start();
        project.held_by("SyncRep");
        child
    });
}

/// The server alone would wait for a quarter of an hour.
#[test]
fn p2_a_load_on_a_network_that_swallows_everything_heals_itself() {
    let patient = "&options=-c%20tcp_keepalives_idle%3D900%20-c%20tcp_user_timeout%3D900000";
    swallowed(&[first_load(empty()), delta(empty())], &format!("{}{patient}", Postgres::SOON));
}

/// The server is told of the client's limits, so that a pipeline whose client is gone without a word is free in time.
#[test]
fn p2_a_client_that_vanished_without_a_word_lets_go_when_the_limits_say_so() {
    let scene = first_load(empty());
    let trial = scene.begin(Postgres::SOON);
    trial.proxy.plan(Way::Up, Place::Byte(scene.bytes[0] / 2), Fault::Swallow);
    let mut child = trial.project.start();
    while !trial.proxy.has_struck() {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let since = Instant::now();
    let busy = trial.project.run();
    assert_eq!(busy.status.code(), Some(3), "{}", said(&busy));
    while trial.project.run().status.code() == Some(3) {
        assert!(since.elapsed() < Duration::from_secs(20), "the server does not let go");
        thread::sleep(Duration::from_millis(200));
    }
    trial.is_as_unbroken("the client vanished", "");
}

#[test]
fn p2_a_load_whose_connection_is_closed_in_one_direction_heals_itself() {
    half_closed(&[first_load(empty()), delta(empty())]);
}

#[test]
fn p8_a_slow_network_changes_nothing() {
    slow(&[delta(empty()), reading(empty(), "key: id")]);
}

#[test]
fn a_server_that_is_gone_for_good_is_an_error_and_nothing_is_changed() {
    gone_for_good(&delta(empty()));
}

#[test]
fn p2_a_source_cut_anywhere_is_read_again() {
    cut_anywhere(&[reading(empty(), "key: id"), reading(empty(), "load: append")]);
}

/// By any of its sessions: while they connect, while they read.
#[test]
fn p2_a_table_read_by_several_sessions_is_read_again_when_one_is_cut_off() {
    let scene = large();
    let [up, down] = scene.bytes;
    let cuts =
        [(Way::Up, up / 3), (Way::Up, up / 2), (Way::Down, down / 4), (Way::Down, down / 2), (Way::Down, down * 3 / 4)];
    all(&cuts, |(way, byte)| {
        let trial = scene.begin("");
        trial.proxy.plan(*way, Place::Byte(*byte), Fault::Reset);
        trial.heals(&format!("cut at byte {byte} {way:?}"));
    });
    let trial = scene.begin("");
    trial.proxy.plan(Way::Down, Place::Byte(down / 2), Fault::Reset);
    trial.killed("cut in its middle");
}

#[test]
fn p2_a_source_that_is_silent_or_half_closed_is_read_again() {
    silent_source(&reading(empty(), "key: id"));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    never_answers::<Postgres>();
}
