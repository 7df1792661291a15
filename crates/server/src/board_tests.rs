//! The board played by hand, and by chance.

use super::*;
use floodmark_core::{Counts, commits::Commits, state::RunRecord};
use proptest::prelude::*;
use serde_json::json;

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000 / 3600 * 3600 + second, 0).unwrap()
}

/// A pipeline with these fields.
pub(crate) fn pipeline(name: &str, fields: &str) -> Declared {
    let text = format!(
        "version: 1\npipelines:\n  {name}:\n    source: {{ files: a.csv }}\n    destination: {{ url: \"sqlite:///w.db\", table: {name} }}\n    key: id\n{}",
        fields.lines().map(|line| format!("    {line}\n")).collect::<String>()
    );
    let project = floodmark_config::Project::parse(std::path::Path::new("floodmark.yaml"), &text, &|_| None).unwrap();
    Declared { name: name.into(), family: None, pipeline: Ok(project.pipelines[0].clone()) }
}

/// Which others there are is the file's to know, and here there are any.
fn after(mut declared: Declared, names: &[&str]) -> Declared {
    if let Ok(pipeline) = &mut declared.pipeline {
        pipeline.service.after = names.iter().map(|name| (*name).to_owned()).collect();
    }
    declared
}

pub(crate) struct Play {
    pub(crate) board: Board,
    ids: u64,
    pub(crate) ledgers: BTreeMap<String, Vec<RunRecord>>,
}

impl Play {
    pub(crate) fn new(declared: Vec<Declared>, jobs: usize, now: i64) -> Play {
        let limits = Limits { jobs, grace: Duration::from_secs(10) };
        let mut board = Board::new(limits, at(now));
        board.declare(declared, &BTreeMap::new(), at(now));
        let mut play = Play { board, ids: 0, ledgers: BTreeMap::new() };
        play.learn(now);
        play
    }

    pub(crate) fn learn(&mut self, now: i64) {
        let names: Vec<String> = self.board.entries.iter().map(|entry| entry.declared.name.clone()).collect();
        for name in names {
            let runs = self.ledgers.get(&name).cloned().unwrap_or_default();
            self.board.learned(&name, Known::default().with_runs(runs), at(now));
        }
    }

    /// Pipelines whose work begins.
    pub(crate) fn step(&mut self, now: i64) -> Vec<String> {
        let ids = &mut self.ids;
        let mut id = || {
            *ids += 1;
            format!("j{ids:04}")
        };
        let step = self.board.step(&mut id, at(now));
        step.start.iter().map(|start| self.board.jobs[&start.job].pipeline.clone()).collect()
    }

    pub(crate) fn running(&self, name: &str) -> String {
        let running = self.board.jobs.values().find(|job| job.pipeline == name && job.is_running());
        running.unwrap_or_else(|| panic!("{name} does not run")).id.clone()
    }

    /// A run of the ledger, whoever started it.
    pub(crate) fn line(&mut self, name: &str, began: i64, ended: i64, status: &str) {
        let runs = self.ledgers.entry(name.into()).or_default();
        let run = RunRecord {
            run: format!("{name}-{}", runs.len()),
            pipeline: name.into(),
            status: status.into(),
            load: "upsert".into(),
            started_at: at(began),
            finished_at: Some(at(ended)),
            counts: Counts::default(),
            watermark: None,
            error: None,
            commits: Commits::default(),
        };
        runs.insert(0, run);
    }

    /// The work of a pipeline ends, with its line in the ledger where there is one.
    pub(crate) fn end(&mut self, name: &str, now: i64, code: Option<i32>, status: Option<&str>) {
        let id = self.running(name);
        let began = (self.board.jobs[&id].began.unwrap() - at(0)).num_seconds();
        if let Some(status) = status {
            self.line(name, began, now, status);
        }
        self.board.exited(&id, Exit { code, result: Some(json!({"status": status})), said: String::new() }, at(now));
        self.learn(now);
    }
}

#[test]
fn a_pipeline_runs_when_it_is_due_and_not_again_before_the_next_time() {
    let mut play = Play::new(vec![pipeline("orders", "schedule: \"* * * * *\"")], 2, 5);
    assert_eq!(play.step(59), [""; 0]);
    assert_eq!(play.step(60), ["orders"]);
    assert_eq!(play.step(125), [""; 0], "while it runs");
    play.end("orders", 126, Some(0), Some("ok"));
    // What was due meanwhile is due still: rows may have come after the run had read.
    assert_eq!(play.step(126), ["orders"]);
    play.end("orders", 127, Some(0), Some("nothing_new"));
    assert_eq!(play.step(128), [""; 0]);
}

#[test]
fn what_is_paused_does_not_run_by_itself_and_does_when_it_is_asked() {
    let mut play = Play::new(vec![pipeline("orders", "schedule: \"* * * * *\"")], 2, 5);
    play.board.pause("orders", true, at(10)).unwrap();
    assert_eq!(play.step(300), [""; 0]);
    play.board.ask("a".into(), "orders", Task::Run {}, at(301)).unwrap();
    assert_eq!(play.step(301), ["orders"]);
    play.end("orders", 302, Some(0), Some("ok"));
    play.board.pause("orders", false, at(330)).unwrap();
    assert_eq!(play.step(331), [""; 0], "the run that was asked for has served 5 minutes past");
    assert_eq!(play.step(360), ["orders"]);
}

#[test]
fn somebody_elses_run_is_waited_for_and_serves_what_was_due() {
    let mut play = Play::new(vec![pipeline("orders", "schedule: \"* * * * *\"")], 2, 5);
    assert_eq!(play.step(60), ["orders"]);
    play.end("orders", 61, Some(3), None);
    assert_eq!(play.step(61), [""; 0]);
    assert_eq!(play.step(66), ["orders"], "it is asked for again");
    play.end("orders", 67, Some(3), None);
    play.line("orders", 60, 70, "ok");
    play.learn(71);
    assert_eq!(play.step(80), [""; 0]);
    assert_eq!(play.board.jobs.values().filter(|job| job.is_waiting()).count(), 0);
}

#[test]
fn of_two_servers_that_catch_up_each_time_is_one_runs() {
    let fields = "schedule: \"* * * * *\"\ncatch_up: all";
    let mut play = Play::new(vec![pipeline("orders", fields)], 2, 5);
    play.board.pause("orders", true, at(6)).unwrap();
    play.step(130);
    play.board.pause("orders", false, at(130)).unwrap();
    assert_eq!(play.step(130), ["orders"], "for 60");
    // The other server was quicker: its run is newer than the one this was decided by.
    play.line("orders", 130, 131, "ok");
    play.end("orders", 131, Some(3), None);
    assert_eq!(play.step(136), ["orders"], "for 120");
    play.end("orders", 137, Some(0), Some("ok"));
    assert_eq!(play.step(138), [""; 0]);
}

#[test]
fn a_process_that_dies_is_tried_again_and_then_given_up() {
    let fields = "schedule: \"0 * * * *\"\nretries: 1\nretry_delay: 60s";
    let mut play = Play::new(vec![pipeline("orders", fields)], 2, -5);
    assert_eq!(play.step(0), ["orders"]);
    play.end("orders", 10, None, None);
    assert_eq!(play.step(11), [""; 0]);
    assert_eq!(play.step(70), ["orders"]);
    play.end("orders", 80, None, None);
    assert_eq!(play.step(3599), [""; 0]);
    assert_eq!(play.step(3600), ["orders"]);
}

#[test]
fn a_run_that_takes_too_long_is_asked_to_end_and_then_killed() {
    let mut play = Play::new(vec![pipeline("orders", "schedule: \"0 * * * *\"\ntimeout: 30s")], 2, -5);
    play.step(0);
    let id = play.running("orders");
    let step = |play: &mut Play, now| play.board.step(&mut || "x".into(), at(now));
    assert_eq!(step(&mut play, 29).terminate, [""; 0]);
    assert_eq!(step(&mut play, 30).terminate, [id.as_str()]);
    assert_eq!(step(&mut play, 39).kill, [""; 0]);
    assert_eq!(step(&mut play, 40).kill, [id.as_str()]);
    play.end("orders", 41, None, None);
    assert_eq!(play.board.jobs[&id].end(), Some(End::TimedOut));
}

#[test]
fn what_is_cancelled_is_not_begun_again_for_the_same_time() {
    let mut play = Play::new(vec![pipeline("orders", "schedule: \"0 * * * *\"\nretries: 3")], 2, -5);
    play.step(0);
    let id = play.running("orders");
    play.board.cancel(&id, at(5)).unwrap();
    play.end("orders", 6, Some(143), Some("interrupted"));
    assert_eq!(play.board.jobs[&id].end(), Some(End::Cancelled));
    assert_eq!(play.step(100), [""; 0]);
    assert_eq!(play.board.cancel(&id, at(101)), Err(Refusal::Over("it is over already".into())));
    assert_eq!(play.step(3600), ["orders"]);
}

#[test]
fn what_was_stopped_with_the_server_goes_on_in_the_next_one() {
    let declared = vec![pipeline("orders", "schedule: \"0 * * * *\"")];
    let mut play = Play::new(declared.clone(), 2, -5);
    play.step(0);
    play.board.stop(at(5));
    play.end("orders", 6, Some(143), Some("interrupted"));
    assert_eq!(play.step(7), [""; 0], "nothing begins any more");
    let kept = BTreeMap::from([("orders".to_owned(), play.board.entry("orders").unwrap().kept.clone())]);
    for kept in [kept, BTreeMap::new()] {
        let mut next = Play::new(declared.clone(), 2, 600);
        next.ledgers = play.ledgers.clone();
        next.line("orders", -7200, -7190, "ok");
        next.ledgers.get_mut("orders").unwrap().rotate_left(1);
        next.board = Board::new(Limits { jobs: 2, grace: Duration::from_secs(10) }, at(600));
        next.board.declare(declared.clone(), &kept, at(600));
        next.learn(600);
        assert_eq!(next.step(601), ["orders"], "{kept:?}");
    }
}

#[test]
fn one_follows_others_and_one_with_a_schedule_waits_for_them() {
    let all = vec![
        pipeline("orders", "schedule: \"0 * * * *\""),
        after(pipeline("report", ""), &["orders"]),
        after(pipeline("mail", "schedule: \"0 * * * *\""), &["orders"]),
    ];
    let mut play = Play::new(all, 4, -5);
    assert_eq!(play.step(0), ["orders"]);
    play.end("orders", 10, Some(1), Some("failed"));
    assert_eq!(play.step(11), [""; 0]);
    let waits = play.board.jobs.values().find(|job| job.pipeline == "mail").unwrap();
    assert_eq!(waits.stage, Stage::Waiting(Some(admit::Hindrance::Bad("orders".into()))));
    play.board.ask("a".into(), "orders", Task::Run {}, at(20)).unwrap();
    assert_eq!(play.step(20), ["orders"]);
    play.end("orders", 30, Some(0), Some("ok"));
    assert_eq!(play.step(31), ["mail", "report"]);
    play.end("report", 40, Some(0), Some("ok"));
    assert_eq!(play.step(41), [""; 0]);
}

#[test]
fn what_is_asked_for_twice_is_done_once_and_what_cannot_be_is_refused() {
    let broken = Declared { name: "broken".into(), family: None, pipeline: Err("no such table".into()) };
    let mut play = Play::new(vec![pipeline("orders", ""), broken], 2, 0);
    let mut ask = |name: &str, task: Task| play.board.ask("a".into(), name, task, at(1));
    assert_eq!(ask("orders", Task::Run {}), Ok("a".into()));
    assert_eq!(ask("orders", Task::Run {}), Ok("a".into()));
    assert!(matches!(ask("ordres", Task::Run {}), Err(Refusal::Unknown(_))));
    assert_eq!(ask("broken", Task::Run {}), Err(Refusal::Wrong("no such table".into())));
    let fill = Task::Backfill { from: None, to: None, by: None, missing: false };
    assert!(matches!(ask("orders", fill), Err(Refusal::Wrong(_))));
    assert_eq!(play.step(2), ["orders"]);
}

#[test]
fn tables_of_a_family_stay_while_its_source_cannot_be_asked() {
    let of = |declared: Declared| Declared { family: Some("shop".into()), ..declared };
    let members = || vec![of(pipeline("shop_a", "")), of(pipeline("shop_b", "")), pipeline("other", "")];
    let mut play = Play::new(members(), 2, 0);
    play.line("shop_a", 1, 2, "ok");
    play.learn(3);
    let unasked = || Declared { name: "shop".into(), family: Some("shop".into()), pipeline: Err("away".into()) };
    let names =
        |play: &Play| play.board.entries.iter().map(|entry| entry.declared.name.clone()).collect::<Vec<_>>().join(" ");
    play.board.declare(vec![unasked(), pipeline("other", "")], &BTreeMap::new(), at(4));
    assert_eq!(names(&play), "shop_a shop_b other");
    assert!(play.board.entry("shop_a").unwrap().known.as_ref().unwrap().well().is_some());
    play.board.declare(vec![of(pipeline("shop_b", "")), pipeline("other", "")], &BTreeMap::new(), at(5));
    assert_eq!(names(&play), "shop_b other");
    // One that never could be asked says why.
    let play = Play::new(vec![unasked()], 2, 0);
    assert_eq!(names(&play), "shop");
}

#[test]
fn a_pipeline_that_leaves_the_file_takes_its_waiting_work_along() {
    let mut play = Play::new(vec![pipeline("orders", ""), pipeline("old", "")], 2, 0);
    play.board.ask("a".into(), "old", Task::Run {}, at(1)).unwrap();
    play.board.declare(vec![pipeline("orders", "schedule: \"* * * * *\"")], &BTreeMap::new(), at(2));
    assert_eq!(play.board.jobs["a"].end(), Some(End::Cancelled));
    assert_eq!(play.step(60), ["orders"], "the new schedule counts");
}

proptest! {
    /// Runs that end in any way, restarts with and without what was written down, a second server: no two runs of a pipeline
    /// at once, none for a time that is served, and after all of it everything that was due is loaded.
    #[test]
    fn nothing_is_lost_and_nothing_done_twice(moves in prop::collection::vec((0u8..8, 1i64..200), 1..60)) {
        let declared = vec![
            pipeline("orders", "schedule: \"* * * * *\"\nretries: 1\nretry_delay: 5s"),
            after(pipeline("report", ""), &["orders"]),
        ];
        let mut play = Play::new(declared.clone(), 2, 5);
        let mut now = 5;
        for (what, seconds) in moves {
            now += seconds;
            play.step(now);
            let running: Vec<String> = play.board.jobs.values().filter(|j| j.is_running()).map(|j| j.pipeline.clone()).collect();
            for name in ["orders", "report"] {
                prop_assert!(running.iter().filter(|other| *other == name).count() <= 1);
            }
            let Some(name) = running.first().cloned() else { continue };
            match what {
                0 => play.end(&name, now, Some(1), Some("failed")),
                1 => play.end(&name, now, None, None),
                2 => play.end(&name, now, Some(3), None),
                3 | 4 => {
                    // Killed, and started anew; its processes died with it.
                    let kept: BTreeMap<String, Kept> = play.board.entries.iter()
                        .filter(|_| what == 3).map(|e| (e.declared.name.clone(), e.kept.clone())).collect();
                    play.board = Board::new(play.board.limits, at(now));
                    play.board.declare(declared.clone(), &kept, at(now));
                    play.learn(now);
                }
                _ => play.end(&name, now, Some(0), Some("ok")),
            }
        }
        // Left alone, it comes to rest with all that was due in.
        for _ in 0..20 {
            now += 61;
            play.step(now);
            let running: Vec<String> = play.board.jobs.values().filter(|j| j.is_running()).map(|j| j.pipeline.clone()).collect();
            for name in running {
                play.end(&name, now, Some(0), Some("ok"));
            }
        }
        let last = |name: &str| play.ledgers[name].iter().find(|run| run.status == "ok").unwrap().started_at;
        prop_assert!(last("orders") >= at(now - 130), "{} at {}", last("orders"), at(now));
        prop_assert!(last("report") >= at(now - 130));
    }
}

#[test]
fn what_a_repair_or_a_backfill_loads_serves_no_schedule() {
    let ran = |load: &str| {
        let mut play = Play::new(vec![pipeline("orders", "")], 1, 0);
        play.line("orders", 1, 2, "ok");
        play.ledgers.get_mut("orders").unwrap()[0].load = load.into();
        play.learn(3);
        let known = play.board.entry("orders").unwrap().known.clone().unwrap();
        (known.ran.len(), known.newest())
    };
    assert_eq!(ran("upsert"), (1, Some("orders-0".into())));
    assert_eq!(ran("repair"), (0, Some("orders-0".into())));
}

#[test]
fn a_database_of_one_process_is_read_or_loaded_and_not_both() {
    let mut declared = pipeline("orders", "");
    let url = ConnectionUrl::parse("duckdb:///w.duckdb").unwrap();
    if let Ok(pipeline) = &mut declared.pipeline {
        pipeline.destination.url = url.clone();
    }
    let mut play = Play::new(vec![declared], 2, 0);
    assert!(play.board.open(&url));
    play.board.ask("a".into(), "orders", Task::Run {}, at(1)).unwrap();
    assert_eq!(play.step(2), [""; 0]);
    play.board.close(&url);
    assert_eq!(play.step(3), ["orders"]);
    assert!(!play.board.open(&url));
    play.end("orders", 4, Some(0), Some("ok"));
    assert!(play.board.open(&url));
}
