//! Lists that are late: an older state is never gone on from, and nothing of the newest one is swept.

use super::{
    BOTH, FIRST, SECOND, UPSERT,
    project::{Format, Project},
    read::{by_others, rows},
};
use floodmark_testkit::objects::{Bucket, Fault, Kind, Protocol, Rule};

/// A project with two versions, whose lists are late by one; and a third file to be loaded.
fn late(format: Format) -> Project {
    let bucket = Bucket::make(Protocol::S3).unwrap();
    bucket.put("in/a.csv", FIRST).unwrap();
    let project = Project::new(&bucket, format, "lake", UPSERT);
    project.well();
    project.net.freeze().unwrap();
    bucket.put("in/b.csv", SECOND).unwrap();
    project.well();
    project
}

const THIRD: &[u8] = b"id,at,name\n3,2024-03-01,again\n4,2024-03-02,four\n";
const ALL: [(&str, &str); 4] = [("1", "one"), ("2", "changed"), ("3", "again"), ("4", "four")];

fn all_lists(project: &Project, fault: Fault) {
    project.net.strike(Rule { kind: Kind::List, key: project.lake.clone(), after: 0, times: u32::MAX, fault });
}

/// As long as lists are late a run may end with an error, and then it has changed nothing.
fn holds(project: &Project, format: Format, fault: &Fault) {
    project.bucket.put("in/c.csv", THIRD).unwrap();
    all_lists(project, fault.clone());
    let before = project.bucket.list(&project.lake).unwrap();
    let ran = project.run();
    let what = format!("{format:?} {fault:?}\n{}", ran.said);
    assert!(project.net.seen().iter().any(|seen| seen.struck), "{what}");
    match ran.exit {
        Some(0) => assert_eq!(by_others(&[project]), [rows(&ALL)], "{what}"),
        _ => {
            assert!(ran.said.contains("list of the log lacks version"), "{what}");
            assert!(ran.said.contains("nothing was written"), "{what}");
            let after = project.bucket.list(&project.lake).unwrap();
            let gone: Vec<_> = before.iter().filter(|object| !after.contains(object)).collect();
            assert!(gone.is_empty(), "{what}\n{gone:?}");
            assert_eq!(by_others(&[project]), [rows(&BOTH)], "{what}");
        }
    }
    project.well();
    assert_eq!(by_others(&[project]), [rows(&ALL)], "{what}");
}

#[test]
fn an_old_list_of_a_delta_log_is_not_gone_on_from() {
    for fault in [Fault::Stale, Fault::Partial(1)] {
        holds(&late(Format::Delta), Format::Delta, &fault);
    }
}

#[test]
fn an_old_list_of_manifests_is_not_gone_on_from() {
    for fault in [Fault::Stale, Fault::Partial(1)] {
        holds(&late(Format::Parquet), Format::Parquet, &fault);
    }
}

/// The list is from before there was a table: the first load is not done again.
#[test]
fn a_list_from_before_the_first_load_makes_no_second_table() {
    for format in Format::BOTH {
        let bucket = Bucket::make(Protocol::S3).unwrap();
        bucket.put("in/a.csv", FIRST).unwrap();
        let project = Project::new(&bucket, format, "lake", UPSERT);
        project.net.freeze().unwrap();
        project.well();
        all_lists(&project, Fault::Stale);
        let ran = project.run();
        assert!(ran.exit == Some(1) || ran.said.contains("nothing_new"), "{format:?}\n{}", ran.said);
        // What is done to a state by hand is done to the newest one, or not at all.
        let reset = project.call(&["state", "reset", "orders", "--yes"], None);
        project.net.heal();
        let again = project.run();
        assert_eq!(again.exit, Some(0), "{format:?}\n{}", again.said);
        let forgotten = again.said.contains("\"read\":2");
        assert_eq!(reset.exit == Some(0), forgotten, "{format:?}\n{}\n{}", reset.said, again.said);
        assert_eq!(by_others(&[&project]), [rows(&[("1", "one"), ("2", "two")])]);
    }
}

/// Objects that a late list calls old: the state that the newest version names is not swept.
#[test]
fn a_late_list_sweeps_no_state_that_is_needed() {
    for format in Format::BOTH {
        let project = late(format);
        let rule = |key: &str, fault| Rule { kind: Kind::List, key: key.to_owned(), after: 0, times: u32::MAX, fault };
        project.net.strike(rule(format.log(), Fault::Stale));
        project.net.strike(rule("/state/", Fault::Aged));
        let _ = project.run();
        project.net.heal();
        project.bucket.put("in/c.csv", THIRD).unwrap();
        project.well();
        assert_eq!(by_others(&[&project]), [rows(&ALL)]);
    }
}
