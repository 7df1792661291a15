//! The one put that makes a version: its answer is lost, or somebody else's is there instead.

use super::{
    BOTH, FIRST, SECOND, UPSERT,
    project::{Format, Project, ended},
    read::{by_others, rows},
};
use floodmark_testkit::objects::{Bucket, Fault, Kind, Protocol};
use std::time::Duration;

const APPEND: &str = "    load: append\n";

/// A project that has loaded the first file, with the second one to be loaded.
fn begun(protocol: Protocol, format: Format, load: &str) -> Project {
    let bucket = Bucket::make(protocol).unwrap();
    bucket.put("in/a.csv", FIRST).unwrap();
    let project = Project::new(&bucket, format, "lake", load);
    project.well();
    project.net.seen();
    bucket.put("in/b.csv", SECOND).unwrap();
    project
}

fn versions(project: &Project, format: Format) -> usize {
    project.bucket.list(&format!("{}{}", project.lake, format.log())).unwrap().len()
}

/// The next version as another writer makes it: a copy of the first file's rows comes in, under another name.
fn theirs(project: &Project, format: Format, version: u64) -> Vec<u8> {
    let entry = project.bucket.get(&format!("{}{}", project.lake, format.entry(0))).unwrap();
    let entry = String::from_utf8(entry).unwrap();
    let (path, entry) = match format {
        Format::Delta => {
            let add = entry.lines().find(|line| line.contains("\"add\"")).unwrap();
            let add: serde_json::Value = serde_json::from_str(add).unwrap();
            let path = add["add"]["path"].as_str().unwrap().to_owned();
            let mut theirs = add.clone();
            theirs["add"]["path"] = "theirs.parquet".into();
            (path, format!("{{\"commitInfo\":{{\"operation\":\"WRITE\",\"engineInfo\":\"other\"}}}}\n{theirs}\n"))
        }
        Format::Parquet => {
            let mut manifest: serde_json::Value = serde_json::from_str(&entry).unwrap();
            let mut file = manifest["files"][0].clone();
            let path = file["path"].as_str().unwrap().to_owned();
            file["path"] = "theirs.parquet".into();
            manifest["files"].as_array_mut().unwrap().push(file);
            (manifest["id"], manifest["version"]) = ("theirs".into(), version.into());
            manifest["rowsChanged"] = version.into();
            (path, manifest.to_string())
        }
    };
    let file = project.bucket.get(&format!("{}/orders/{path}", project.lake)).unwrap();
    project.bucket.put(&format!("{}/orders/theirs.parquet", project.lake), &file).unwrap();
    entry.into_bytes()
}

/// Applied, and then a 500 or no answer at all, once or for as long as the run tries: it is known as the run's own.
fn answer_lost(protocol: Protocol) {
    // Done, and there already.
    let (done, there) = match protocol {
        Protocol::S3 => (200, 412),
        Protocol::Azure => (201, 409),
    };
    for format in Format::BOTH {
        for (fault, times) in [(Fault::DoneThen500, 1), (Fault::DoneThenClosed, 1), (Fault::DoneThen500, 3)] {
            let project = begun(protocol, format, APPEND);
            project.strike(Kind::PutNew, format.log(), times, fault.clone());
            let ran = project.run();
            assert_eq!(ran.exit, Some(0), "{format:?} {fault:?}\n{}", ran.said);
            let asked = project.net.seen();
            let puts: Vec<Option<u16>> = asked
                .iter()
                .filter(|s| s.kind == Kind::PutNew && s.key.contains(format.log()))
                .map(|s| s.status)
                .collect();
            // What the client asked for again was there already; after a broken connection it does not ask again.
            let again = puts[1..].iter().all(|status| *status == Some(there));
            assert!(puts[0] == Some(done) && again && (puts.len() > 1 || fault == Fault::DoneThenClosed), "{puts:?}");
            assert_eq!(versions(&project, format), 2, "{format:?} {fault:?}");
            project.well();
            assert_eq!(versions(&project, format), 2, "{format:?} {fault:?}");
            let wanted = rows(&[("1", "one"), ("2", "changed"), ("2", "two"), ("3", "three")]);
            assert_eq!(by_others(&[&project]), [wanted]);
        }
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_known_as_our_own() {
    answer_lost(Protocol::S3);
}

#[test]
fn a_commit_to_a_container_whose_answer_is_lost_is_known_as_our_own() {
    answer_lost(Protocol::Azure);
}

/// Applied, and then credentials are gone, so that it cannot be looked up either: not known is what is said.
#[test]
fn a_commit_that_cannot_be_looked_up_is_not_said_to_be_undone() {
    let format = Format::Delta;
    let project = begun(Protocol::S3, format, APPEND);
    let gone = Fault::Refused(403, "ExpiredToken");
    project.strike(Kind::PutNew, format.log(), 1, Fault::DoneThen500);
    project.strike(Kind::PutNew, format.log(), u32::MAX, gone.clone());
    project.strike(Kind::Get, &format.entry(1), u32::MAX, gone);
    let ran = project.run();
    assert_eq!(ran.exit, Some(1), "{format:?}\n{}", ran.said);
    assert!(ran.said.contains("is not known") && ran.said.contains("expired"), "{format:?}\n{}", ran.said);
    assert!(!ran.said.contains("nothing was written"), "{format:?}\n{}", ran.said);
    project.well();
    assert_eq!(versions(&project, format), 2, "{format:?}");
    let wanted = rows(&[("1", "one"), ("2", "changed"), ("2", "two"), ("3", "three")]);
    assert_eq!(by_others(&[&project]), [wanted]);
}

/// Another writer's version is there instead: a load that adds rows comes after it, one that merges decides anew.
fn beaten(protocol: Protocol) {
    for format in Format::BOTH {
        for lost in [false, true] {
            let project = begun(protocol, format, APPEND);
            let theirs = theirs(&project, format, 1);
            project.strike(Kind::PutNew, &format.entry(1), 1, Fault::Beaten(theirs));
            if lost {
                project.strike(Kind::PutNew, &format.entry(2), 1, Fault::DoneThenClosed);
            }
            let ran = project.run();
            assert_eq!(ran.exit, Some(0), "{format:?} {lost}\n{}", ran.said);
            project.well();
            assert_eq!(versions(&project, format), 3, "{format:?} {lost}");
            let wanted =
                rows(&[("1", "one"), ("1", "one"), ("2", "changed"), ("2", "two"), ("2", "two"), ("3", "three")]);
            assert_eq!(by_others(&[&project]), [wanted], "{format:?} {lost}");
        }
    }
}

#[test]
fn another_writers_version_is_not_taken_for_our_own() {
    beaten(Protocol::S3);
}

#[test]
fn another_writers_version_in_a_container_is_not_taken_for_our_own() {
    beaten(Protocol::Azure);
}

/// Ours is done and its answer lost; before anybody looks, another writer's comes after it.
#[test]
fn a_lost_commit_is_found_below_another_writers() {
    let format = Format::Delta;
    let project = begun(Protocol::S3, format, APPEND);
    let (key, theirs) = (format!("{}{}", project.lake, format.entry(2)), theirs(&project, format, 2));
    project.strike(Kind::PutNew, &format.entry(1), 1, Fault::DoneThenOther(key, theirs));
    let ran = project.run();
    assert_eq!(ran.exit, Some(0), "{}", ran.said);
    project.well();
    assert_eq!(versions(&project, format), 3);
    let wanted = rows(&[("1", "one"), ("1", "one"), ("2", "changed"), ("2", "two"), ("2", "two"), ("3", "three")]);
    assert_eq!(by_others(&[&project]), [wanted]);
}

/// S3 tells both of two puts at one moment of a conflict, and may have done neither.
#[test]
fn a_conflict_where_nothing_is_there_is_tried_again() {
    for format in Format::BOTH {
        let project = begun(Protocol::S3, format, UPSERT);
        project.strike(Kind::PutNew, format.log(), 2, Fault::Refused(409, "ConditionalRequestConflict"));
        project.strike(Kind::PutNew, "/state/", 2, Fault::Refused(409, "ConditionalRequestConflict"));
        let ran = project.run();
        assert_eq!(ran.exit, Some(0), "{format:?}\n{}", ran.said);
        assert!(!ran.said.contains("trying again"), "{format:?}\n{}", ran.said);
        assert_eq!(versions(&project, format), 2, "{format:?}");
        project.well();
        assert_eq!(by_others(&[&project]), [rows(&BOTH)]);
    }
}

/// Two machines load one pipeline: the slower one finds that it was beaten, and has nothing left to do.
fn two_machines(protocol: Protocol, format: Format) {
    let slow = begun(protocol, format, UPSERT);
    let quick = Project::new(&slow.bucket, format, &slow.lake, UPSERT);
    slow.strike(Kind::PutNew, format.log(), 1, Fault::Held);
    let child = slow.start(&["--format", "json", "run"], None).stdout(std::process::Stdio::piped()).spawn().unwrap();
    while !slow.net.seen().iter().any(|seen| seen.kind == Kind::PutNew && seen.key.contains("/state/")) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let first = quick.run();
    assert!(first.exit == Some(0) && first.said.contains("\"inserted\":1"), "{}", first.said);
    slow.net.heal();
    let second = ended(child.wait_with_output().unwrap().into());
    assert!(second.exit == Some(0) && second.said.contains("nothing_new"), "{format:?}\n{}", second.said);
    assert_eq!(versions(&slow, format), 2);
    assert_eq!(by_others(&[&quick]), [rows(&BOTH)]);
}

#[test]
fn of_two_machines_one_commits_to_a_delta_table() {
    two_machines(Protocol::S3, Format::Delta);
}

#[test]
fn of_two_machines_one_commits_to_a_parquet_dataset() {
    two_machines(Protocol::S3, Format::Parquet);
}

#[test]
fn of_two_machines_one_commits_to_a_delta_table_of_a_container() {
    two_machines(Protocol::Azure, Format::Delta);
}

#[test]
fn of_two_machines_one_commits_to_a_parquet_dataset_of_a_container() {
    two_machines(Protocol::Azure, Format::Parquet);
}
