//! What people hear, played by hand: a board with its ledgers on one side, channels on the other.

use super::*;
use crate::{
    board::{
        Exit,
        tests::{Play, at, pipeline},
    },
    work::Task,
};
use floodmark_core::outlet::{CommandLine, Endpoint, Given, REMIND, Way, WebUrl};
use serde_json::json;
use std::time::Duration;

fn channel(name: &str) -> Channel {
    let line = Given::Is(CommandLine { program: "true".into(), words: Vec::new() });
    Channel {
        name: name.into(),
        way: Way::Command { line, folder: "".into() },
        on: vec![Trouble::Failed, Trouble::Late],
        pipelines: Vec::new(),
        remind: REMIND,
        steady: Duration::from_secs(1),
    }
}

fn desk(channels: Vec<Channel>) -> Desk {
    let mut desk = Desk::of("floodmark.yaml".into());
    desk.declare(channels);
    desk.take_over(Vec::new());
    desk
}

/// What the first channel hears now, where all that is sent arrives.
fn heard(play: &mut Play, now: i64) -> Vec<String> {
    let mut out = Vec::new();
    for dispatch in play.board.alerts(at(now)) {
        out.extend(dispatch.message.items.iter().map(said));
        play.board.desk.sent(&dispatch.channel.name, Ok(()), at(now));
    }
    out
}

fn said(item: &Item) -> String {
    match item {
        Item::Of { pipeline, trouble, tell, .. } => format!("{pipeline} {} {tell:?}", trouble.name()),
        Item::Test => "test".into(),
    }
}

fn play(fields: &str) -> Play {
    let mut play = Play::new(vec![pipeline("orders", fields)], 2, 0);
    play.board.desk = desk(vec![channel("ops")]);
    play
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_failure_is_told_when_its_retries_are_used_up_and_then_once() {
    let mut play = play("schedule: \"0 * * * *\"\nretries: 2\nretry_delay: 60s");
    for (begin, attempt) in [(3600, 1), (3670, 2), (3800, 3)] {
        assert_eq!(play.step(begin), ["orders"]);
        assert_eq!(heard(&mut play, begin), NOTHING, "attempt {attempt} goes on");
        play.end("orders", begin + 5, Some(1), Some("failed"));
        play.step(begin + 5);
        if attempt < 3 {
            assert_eq!(heard(&mut play, begin + 5), NOTHING, "attempt {attempt} is made up for");
        }
    }
    assert_eq!(heard(&mut play, 3806), ["orders failed Trouble"]);
    assert_eq!(heard(&mut play, 5000), NOTHING);
    // The next time of its schedule fails as well: the same trouble.
    assert_eq!(play.step(7200), ["orders"]);
    play.end("orders", 7205, Some(1), Some("failed"));
    play.step(7206);
    assert_eq!(heard(&mut play, 7206), NOTHING);
    assert_eq!(heard(&mut play, 3806 + 86_400), ["orders failed Reminder"]);
    play.line("orders", 90_300, 90_301, "ok");
    play.learn(90_302);
    assert_eq!(heard(&mut play, 90_302), NOTHING, "it has to stay so");
    assert_eq!(heard(&mut play, 90_304), ["orders failed Recovery"]);
    assert_eq!(heard(&mut play, 99_999), NOTHING);
}

/// Where times of a schedule come sooner than its tries, each of them is one.
#[test]
fn a_schedule_that_is_quicker_than_its_retries_hides_no_failure() {
    for line in [Some("failed"), None] {
        let mut play = play("schedule: \"* * * * *\"\nretries: 3\nretry_delay: 45s");
        let (mut runs, mut told) = (0, Vec::new());
        for now in 60..1200 {
            if play.step(now) == ["orders"] {
                runs += 1;
                play.end("orders", now, if line.is_some() { Some(1) } else { None }, line);
                play.step(now);
            }
            told.extend(heard(&mut play, now).into_iter().map(|said| (runs, said)));
        }
        assert_eq!(told, [(4, "orders failed Trouble".to_owned())], "{line:?}");
    }
}

#[test]
fn what_a_person_ends_is_no_failure_and_what_the_file_does_not_allow_is_one() {
    let mut play = play("schedule: \"0 * * * *\"\nretries: 5");
    play.board.ask("a".into(), "orders", Task::Run {}, at(1)).unwrap();
    play.step(1);
    play.board.cancel("a", at(2)).unwrap();
    play.end("orders", 3, Some(143), Some("interrupted"));
    play.step(4);
    assert_eq!(heard(&mut play, 4), NOTHING);
    play.board.ask("b".into(), "orders", Task::Run {}, at(5)).unwrap();
    play.step(5);
    let refused = Exit {
        code: Some(2),
        result: Some(json!({"error": {"code": "FM0106", "message": "no"}})),
        said: String::new(),
    };
    let id = play.running("orders");
    play.board.exited(&id, refused, at(6));
    play.learn(6);
    play.step(6);
    let dispatched = play.board.alerts(at(7));
    let Item::Of { about, .. } = &dispatched[0].message.items[0] else { panic!("of a pipeline") };
    assert_eq!(about.message.as_deref(), Some("FM0106 no"));
}

#[test]
fn somebody_elses_runs_count_and_those_that_go_on_do_not() {
    let mut play = play("");
    play.line("orders", 10, 20, "partial");
    play.learn(21);
    assert_eq!(heard(&mut play, 21), NOTHING);
    play.line("orders", 30, 31, "failed");
    play.learn(32);
    assert_eq!(heard(&mut play, 32), ["orders failed Trouble"]);
}

#[test]
fn what_is_late_is_told_and_not_while_it_is_paused() {
    let mut play = play("freshness: 10m");
    play.line("orders", 10, 20, "ok");
    play.learn(21);
    assert_eq!(heard(&mut play, 620), NOTHING);
    play.board.pause("orders", true, at(621)).unwrap();
    assert_eq!(heard(&mut play, 700), NOTHING);
    play.board.pause("orders", false, at(701)).unwrap();
    assert_eq!(heard(&mut play, 702), ["orders late Trouble"]);
    play.line("orders", 710, 720, "ok");
    play.learn(721);
    assert_eq!(heard(&mut play, 721), NOTHING);
    assert_eq!(heard(&mut play, 723), ["orders late Recovery"]);
}

/// What a ledger does not say yet is neither a failure nor the end of one.
#[test]
fn a_server_that_was_just_started_tells_nothing_before_it_has_read() {
    let mut play = play("freshness: 10m");
    let told = Some(Told { since: at(0), told: at(1), over: None });
    let record = Record { channel: "ops".into(), pipeline: "orders".into(), trouble: Trouble::Failed, told };
    play.board.desk.take_over(vec![record]);
    play.board.entries[0].known = None;
    assert_eq!(heard(&mut play, 5000), NOTHING);
    play.line("orders", 10, 20, "failed");
    play.learn(5001);
    assert_eq!(heard(&mut play, 5001), NOTHING, "that was told by the server before");
}

#[test]
fn a_channel_that_fails_is_tried_again_later_and_later_and_holds_up_no_other() {
    let mut play = play("");
    play.board.desk = desk(vec![channel("ops"), channel("pager")]);
    play.line("orders", 30, 31, "failed");
    play.learn(32);
    let mut tries = Vec::new();
    for now in 32..4000 {
        for dispatch in play.board.alerts(at(now)) {
            let broken = dispatch.channel.name == "ops" && now < 2000;
            let result = if broken { Err("it answered 500".to_owned()) } else { Ok(()) };
            tries.push((dispatch.channel.name.clone(), now));
            play.board.desk.sent(&dispatch.channel.name, result, at(now));
        }
        let failing = &play.board.desk.stations[0].failing;
        assert_eq!(failing.is_some(), now < 2462, "{now}: {failing:?}");
    }
    let of = |name: &str| tries.iter().filter(|(of, _)| of == name).map(|(_, at)| *at).collect::<Vec<_>>();
    assert_eq!(of("pager"), [32]);
    assert_eq!(of("ops"), [32, 42, 62, 102, 182, 342, 662, 1262, 1862, 2462]);
}

#[test]
fn what_comes_together_is_told_together_and_nobody_hears_more_than_now_and_then() {
    let all = (0..250).map(|n| pipeline(&format!("p{n:02}"), "")).collect();
    let mut play = Play::new(all, 2, 0);
    play.board.desk = desk(vec![channel("ops")]);
    play.line("p00", 10, 11, "failed");
    play.learn(12);
    assert_eq!(heard(&mut play, 12).len(), 1);
    (1..250).for_each(|n| play.line(&format!("p{n:02}"), 12, 13, "failed"));
    play.learn(14);
    let mut messages = Vec::new();
    for now in 14..60 {
        messages.extend(Some(heard(&mut play, now).len()).filter(|n| *n > 0).map(|n| (now, n)));
    }
    assert_eq!(messages, [(22, 100), (32, 100), (42, 49)]);
}

#[test]
fn of_several_servers_one_tells_and_a_test_is_sent_by_the_one_that_is_asked() {
    let mut play = play("");
    play.board.desk = Desk::of("floodmark.yaml".into());
    play.board.desk.declare(vec![channel("ops"), channel("pager")]);
    play.line("orders", 30, 31, "failed");
    play.learn(32);
    assert_eq!(heard(&mut play, 33), NOTHING);
    assert!(play.board.desk.test(Some("pager")) && !play.board.desk.test(Some("nobody")));
    assert_eq!(heard(&mut play, 34), ["test"]);
    play.board.desk.take_over(Vec::new());
    assert_eq!(heard(&mut play, 45), ["orders failed Trouble", "orders failed Trouble"]);
}

#[test]
fn channels_hear_what_they_ask_for_and_one_that_is_off_nothing() {
    let off = Way::Webhook(Endpoint { url: Given::Empty, token: None });
    let unset = Way::Webhook(Endpoint { url: Given::Unset("`${HOOK}` is not set".into()), token: None });
    let there = Way::Webhook(Endpoint { url: Given::Is(WebUrl::parse("https://a.example/x").unwrap()), token: None });
    let mut play = Play::new(vec![pipeline("orders", "freshness: 1m"), pipeline("stock", "")], 2, 0);
    play.board.desk = desk(vec![
        Channel { way: off, ..channel("off") },
        Channel { way: unset, ..channel("unset") },
        Channel { on: vec![Trouble::Late], ..channel("late") },
        Channel { pipelines: vec!["stock".into()], way: there, ..channel("stock") },
    ]);
    assert_eq!(play.board.desk.stations[1].channel.unready().as_deref(), Some("`${HOOK}` is not set"));
    ["orders", "stock"].iter().for_each(|name| {
        play.line(name, 10, 11, "ok");
        play.line(name, 30, 31, "failed");
    });
    play.learn(100);
    let told: Vec<(String, Vec<String>)> = play
        .board
        .alerts(at(100))
        .iter()
        .map(|dispatch| (dispatch.channel.name.clone(), dispatch.message.items.iter().map(said).collect()))
        .collect();
    let all = ["orders failed Trouble", "orders late Trouble", "stock failed Trouble"].map(str::to_owned);
    assert_eq!(
        told,
        [
            ("unset".to_owned(), all.to_vec()),
            ("late".to_owned(), vec![all[1].clone()]),
            ("stock".to_owned(), vec![all[2].clone()]),
        ]
    );
}

#[test]
fn what_was_told_outlives_a_change_of_its_channel_and_not_its_end() {
    let mut play = play("");
    play.line("orders", 30, 31, "failed");
    play.learn(32);
    assert_eq!(heard(&mut play, 33), ["orders failed Trouble"]);
    play.board.desk.declare(vec![Channel { remind: Duration::from_secs(7200), ..channel("ops") }]);
    assert_eq!(heard(&mut play, 60), NOTHING);
    assert_eq!(play.board.desk.notes().count(), 1);
    play.board.desk.declare(Vec::new());
    let gone: Vec<Record> = play.board.desk.notes().collect();
    assert!(gone.len() == 1 && gone[0].told.is_none(), "{gone:?}");
    play.board.desk.declare(vec![channel("ops")]);
    assert_eq!(heard(&mut play, 99), ["orders failed Trouble"]);
}

#[test]
fn a_pipeline_that_is_gone_is_not_well_and_forgotten_in_time() {
    let mut play = play("");
    play.line("orders", 30, 31, "failed");
    play.learn(32);
    assert_eq!(heard(&mut play, 33), ["orders failed Trouble"]);
    play.board.declare(Vec::new(), &BTreeMap::new(), at(40));
    assert_eq!(heard(&mut play, 99), NOTHING);
    assert_eq!(play.board.desk.stations[0].told.len(), 1);
    assert_eq!(heard(&mut play, 31 * 86_400), NOTHING);
    assert_eq!(play.board.desk.stations[0].told.len(), 0);
}
