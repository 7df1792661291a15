//! P2 and P3 over the shop: killed at any moment, or fired several times at once, it ends as one clean run.

use crate::cases::root;
use floodmark_testkit::{Dump, copy_tree, dump, floodmark, scratch};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

fn shop(directory: &Path, arguments: &[&str]) -> Child {
    Command::new(floodmark().unwrap())
        .current_dir(directory)
        .arg("run")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn project() -> tempfile::TempDir {
    let copy = scratch().unwrap();
    copy_tree(&root().join("examples/shop"), copy.path()).unwrap();
    for leftover in ["shop.db", "shop.db-wal", "shop.db-shm"] {
        let _ = std::fs::remove_file(copy.path().join(leftover));
    }
    copy
}

fn unbroken() -> (Dump, Duration) {
    let clean = project();
    let start = Instant::now();
    assert!(shop(clean.path(), &[]).wait().unwrap().success(), "the shop does not load");
    (dump(&clean.path().join("shop.db")).unwrap(), start.elapsed())
}

/// Steps of a run that differ between two clean runs (the moment a version was first seen) would make this test
/// useless, so that is checked first.
#[test]
fn p2_killed_at_any_moment_the_next_run_completes_it() {
    let (expected, took) = unbroken();
    assert!(expected.len() >= 8, "{:?}", expected.keys());
    // A kill at the very start, at the very end, and between; the state of one kill is the start of the next.
    let killed = project();
    for part in [1, 2, 3, 5, 8, 13, 21, 34, 55, 80] {
        let mut child = shop(killed.path(), &[]);
        thread::sleep(took * part / 100);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(shop(killed.path(), &[]).wait().unwrap().success(), "the run after the kills fails");
    assert_eq!(dump(&killed.path().join("shop.db")).unwrap(), expected);
}

#[test]
fn p3_several_runs_at_once_end_as_one() {
    let (expected, _) = unbroken();
    let fired = project();
    let mut children: Vec<Child> = (0..4).map(|_| shop(fired.path(), &[])).collect();
    let codes: Vec<Option<i32>> = children.iter_mut().map(|c| c.wait().unwrap().code()).collect();
    assert!(codes.iter().all(|c| matches!(c, Some(0 | 3))), "exit codes {codes:?}");
    assert!(shop(fired.path(), &["--wait"]).wait().unwrap().success());
    assert_eq!(dump(&fired.path().join("shop.db")).unwrap(), expected);
}

/// The lesson's sixth: were the watermark moved before the rows or after them, a kill between the two would lose rows or
/// double them. Many small transactions give it every chance.
#[test]
fn p2_p4_a_watermark_killed_between_chunks_neither_loses_nor_doubles() {
    const ROWS: usize = 50_000;
    let project = scratch().unwrap();
    copy_tree(&root().join("examples/lesson/6-mistakes"), project.path()).unwrap();
    let mut text = "id,seen_at\n".to_owned();
    (0..ROWS).for_each(|n| text.push_str(&format!("{n},2024-01-{:02}\n", 1 + n * 28 / ROWS)));
    std::fs::write(project.path().join("data/events.csv"), text).unwrap();
    for pause in [5, 15, 30, 60, 100, 150, 250] {
        let mut child = shop(project.path(), &[]);
        thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(shop(project.path(), &[]).wait().unwrap().success());
    let rows = &dump(&project.path().join("lesson.db")).unwrap()["events"];
    let ids: std::collections::BTreeSet<&str> = rows[1..].iter().filter_map(|row| row.split(" | ").next()).collect();
    assert_eq!((rows.len() - 1, ids.len()), (ROWS, ROWS));
}
