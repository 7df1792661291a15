//! Kills where the lake is in a bucket: one of each kind, and then a run to its end.

use super::{
    BOTH, FIRST, SECOND, UPSERT,
    project::{Format, Project},
    read::{by_others, rows},
};
use floodmark_testkit::{
    crash::written,
    objects::{Bucket, Protocol},
};
use std::thread;

/// Points that are met where rows lie in files, and the commit.
const POINTS: [&str; 5] = ["data-file", "put-state", "load-commit", "sweep", "committed"];

fn killed(protocol: Protocol, format: Format) {
    let bucket = Bucket::make(protocol).unwrap();
    bucket.put("in/a.csv", FIRST).unwrap();
    // The first load, which makes the table, and the one after it, which changes rows.
    let begin = |lake: &str| Project::new(&bucket, format, lake, UPSERT);
    let first: Vec<(String, Project)> = ["put-pointer", "data-file", "load-commit"]
        .iter()
        .flat_map(|point| ["before", "after"].map(|side| format!("{point}:{side}")))
        .map(|point| (point.clone(), begin(&format!("first-{}", point.replace(':', "-")))))
        .collect();
    each(&first, |(point, project)| {
        kill(project, point);
        project.well();
    });
    let all: Vec<&Project> = first.iter().map(|(_, project)| project).collect();
    assert_eq!(by_others(&all), vec![rows(&[("1", "one"), ("2", "two")]); all.len()]);
    begin("begun").well();
    bucket.put("in/b.csv", SECOND).unwrap();
    bucket.copy("begun/", "clean/").unwrap();
    let clean = begin("clean");
    let before = if format == Format::Delta { clean.look() } else { Default::default() };
    clean.well();
    let points: Vec<String> =
        POINTS.iter().flat_map(|point| ["before", "after"].map(|side| format!("{point}:{side}"))).collect();
    // Nothing is swept while it is young, but where files of rows are replaced, and `committed` has one side.
    let points: Vec<String> =
        points.into_iter().filter(|point| !point.starts_with("sweep") && point != "committed:after").collect();
    let second: Vec<(String, Project)> = points
        .into_iter()
        .map(|point| {
            let lake = format!("second-{}", point.replace(':', "-"));
            bucket.copy("begun/", &format!("{lake}/")).unwrap();
            (point, begin(&lake))
        })
        .collect();
    each(&second, |(point, project)| {
        kill(project, point);
        project.well();
        if format == Format::Delta {
            let look = project.look();
            assert_eq!(look.content, clean.look().content, "{point}");
            assert_eq!(written(&look.since(&before)), written(&clean.look().since(&before)), "{point}");
        }
    });
    let all: Vec<&Project> = second.iter().map(|(_, project)| project).collect();
    assert_eq!(by_others(&all), vec![rows(&BOTH); all.len()]);
}

fn kill(project: &Project, point: &str) {
    let killed = project.call(&["run"], Some(&format!("{point}=abort")));
    assert_eq!(killed.exit, None, "{point} was not met\n{}", killed.said);
}

fn each(of: &[(String, Project)], work: impl Fn(&(String, Project)) + Sync) {
    thread::scope(|scope| {
        for part in of.chunks(of.len().div_ceil(4)) {
            scope.spawn(|| part.iter().for_each(&work));
        }
    });
}

#[test]
fn a_load_into_a_delta_table_of_a_bucket_is_killed_at_each_step() {
    killed(Protocol::S3, Format::Delta);
}

#[test]
fn a_load_into_a_parquet_dataset_of_a_bucket_is_killed_at_each_step() {
    killed(Protocol::S3, Format::Parquet);
}

#[test]
fn a_load_into_a_delta_table_of_a_container_is_killed_at_each_step() {
    killed(Protocol::Azure, Format::Delta);
}

#[test]
fn a_load_into_a_parquet_dataset_of_a_container_is_killed_at_each_step() {
    killed(Protocol::Azure, Format::Parquet);
}
