//! P3: runs of one pipeline at the same moment end as one, and a run that lost its lock cannot commit.

use crate::crash::{
    project::{Project, ended},
    scenarios,
};
use floodmark_testkit::crash::{Again, Program, Scenario, await_stopped, send, written};
use std::time::{Duration, Instant};

/// Fires a stage of a scenario many times at once; it must end as one run.
fn fire(scenario: &Scenario, stage: usize, times: usize, wait: bool) {
    let alone = Project::at(scenario, stage);
    alone.ok(&["run"]);
    let fired = Project::at(scenario, stage);
    let before = fired.look();
    let arguments: &[&str] = if wait { &["--format", "json", "run", "--wait"] } else { &["--format", "json", "run"] };
    let children: Vec<_> = (0..times).map(|_| fired.start(arguments, None)).collect();
    let ran: Vec<Program> = children.into_iter().map(ended).collect();
    let what = format!("{}, stage {}, {times} at once", scenario.name, stage + 1);
    for one in &ran {
        let busy = one.exit == Some(3) && one.said.contains("\"status\":\"busy\"");
        assert!(one.exit == Some(0) || (busy && !wait), "{what}: {:?}\n{}", one.exit, one.said);
    }
    let again = scenario.stages[stage].again;
    let loaded = ran.iter().filter(|one| one.said.contains("\"status\":\"ok\"")).count();
    assert!(loaded == 1 || (again == Again::Everything && loaded > 0), "{what}: {loaded} runs loaded");
    let after = fired.look();
    let (mut expected, mut content) = (alone.look().content, after.content.clone());
    // The two projects' files were written at different moments.
    expected.remove("_floodmark_files");
    content.remove("_floodmark_files");
    assert_eq!(content, expected, "{what}");
    let (found, unbroken) = (after.since(&before), alone.look().since(&before));
    match again {
        // Those that waited wrote equal rows once more.
        Again::Everything => {}
        // Those that waited read the table, and found all of it loaded.
        Again::Reads => assert_eq!(written(&found), written(&unbroken), "{what}: receipts"),
        _ => assert_eq!(found, unbroken, "{what}: receipts"),
    }
}

fn fire_all(rounds: usize) {
    for scenario in scenarios::sample().iter().filter(|s| s.stages[0].sql.is_empty()) {
        for round in 0..rounds {
            fire(scenario, 0, if round == 0 { 2 } else { 10 }, round % 2 == 1);
        }
    }
}

#[test]
fn p3_fired_twice_and_ten_times_at_once_each_strategy_loads_once() {
    fire_all(2);
}

#[test]
#[ignore = "a hundred times: `cargo xtask crash`"]
fn p3_fired_ten_times_at_once_a_hundred_times() {
    fire_all(101);
}

fn of(name: &str) -> Scenario {
    scenarios::sample().into_iter().find(|s| s.name.starts_with(name)).unwrap()
}

/// A run is stopped (SIGSTOP, a machine that hangs) while it holds the pipeline, its lock is lost, another run takes
/// over and loads; then the first wakes.
fn zombie(scenario: &Scenario, stopped_at: &str) {
    let unbroken = Project::at(scenario, 0);
    unbroken.ok(&["run"]);
    let project = Project::at(scenario, 0);
    let first = project.start(&["--format", "json", "run"], Some(&format!("{stopped_at}=stop")));
    await_stopped(&first).unwrap();
    std::fs::remove_dir_all(project.locks()).unwrap();
    project.ok(&["run"]);
    let taken_over = project.look();
    assert_eq!(taken_over.content.get("t"), unbroken.look().content.get("t"), "{stopped_at}");
    send(&first, "CONT").unwrap();
    let woken = ended(first);
    assert_eq!(woken.exit, Some(1), "{stopped_at}: {}", woken.said);
    assert!(woken.said.contains("FM0502") && woken.said.contains("was taken over by a newer run"), "{}", woken.said);
    assert_eq!(project.look().content, taken_over.content, "{stopped_at}: the run that woke wrote something");
    assert_eq!(project.look().since(&taken_over).get("inserted").copied().unwrap_or(0), 0);
    project.ok(&["run"]);
    assert_eq!(project.look().content, taken_over.content);
}

#[test]
fn p3_a_run_that_wakes_after_another_took_over_is_fenced() {
    zombie(&of("upsert, "), "surveyed");
    zombie(&of("append, file by file"), "planned");
    zombie(&of("scd2, "), "locked");
    // Between two chunks: what it committed before it slept counts, and the other run went on after it.
    zombie(&of("upsert in chunks"), "committed");
    zombie(&of("append in chunks"), "committed");
}

/// Inside its transaction a stopped run still holds the database's own write lock: nobody can take over, and who tries
/// is told so within SQLite's time limit. When it wakes it ends as if nothing had been.
#[test]
fn p3_a_run_stopped_inside_its_transaction_is_not_overtaken() {
    let scenario = of("upsert, ");
    let unbroken = Project::at(&scenario, 0);
    unbroken.ok(&["run"]);
    let project = Project::at(&scenario, 0);
    let first = project.start(&["run"], Some("write-position:after=stop"));
    await_stopped(&first).unwrap();
    std::fs::remove_dir_all(project.locks()).unwrap();
    let second = project.run(&["run"], None);
    assert_eq!(second.exit, Some(1), "{}", second.said);
    assert!(second.said.contains("another program holds a write lock"), "{}", second.said);
    send(&first, "CONT").unwrap();
    assert_eq!(ended(first).exit, Some(0));
    assert_eq!(project.look().content.get("t"), unbroken.look().content.get("t"));
}

#[test]
fn p3_busy_says_who_holds_the_pipeline_and_waiting_ends_with_it() {
    let project = Project::at(&of("upsert, "), 0);
    let holder = project.start(&["--format", "json", "run"], Some("mid-chunk=stop"));
    await_stopped(&holder).unwrap();
    let busy = project.run(&["run"], None);
    assert_eq!(busy.exit, Some(3), "{}", busy.said);
    for part in [format!("process {}", holder.id()), "since 20".into(), "run 0".into(), "`--wait`".into()] {
        assert!(busy.said.contains(&part), "no {part:?} in {}", busy.said);
    }
    let since = Instant::now();
    assert_eq!(project.run(&["run", "--wait=1s"], None).exit, Some(3));
    assert!(since.elapsed() >= Duration::from_secs(1));
    let waiting = project.start(&["--format", "json", "run", "--wait"], None);
    send(&holder, "CONT").unwrap();
    let held = ended(holder);
    assert!(held.exit == Some(0) && held.said.contains("\"status\":\"ok\""), "{}", held.said);
    let waited = ended(waiting);
    assert!(waited.exit == Some(0) && waited.said.contains("\"status\":\"nothing_new\""), "{}", waited.said);
}

/// P2: the lock dies with its holder; nothing waits for a timeout.
#[test]
fn p2_after_a_kill_the_next_run_starts_at_once() {
    let project = Project::at(&of("upsert, "), 0);
    let mut holder = project.start(&["run"], Some("mid-chunk=stop"));
    await_stopped(&holder).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    let since = Instant::now();
    project.ok(&["run"]);
    assert!(since.elapsed() < Duration::from_secs(8), "it took {:?}", since.elapsed());
}

/// The answer to a commit is lost: the rows are in, and the run's own record says so.
#[test]
fn p9_a_commit_whose_answer_is_lost_counts_what_it_committed() {
    let project = Project::at(&of("upsert, "), 0);
    let ran = project.run(&["run"], Some("load-commit:after=fail"));
    assert_eq!(ran.exit, Some(1), "{}", ran.said);
    assert!(ran.said.contains("all of this run is committed"), "{}", ran.said);
    let look = project.look();
    assert_eq!(look.receipts.len(), 1);
    assert_eq!(look.receipts.values().next().and_then(|r| r.get("inserted")).copied(), Some(4));
    assert!(project.ok(&["--format", "json", "run"]).contains("\"status\":\"nothing_new\""));
}
