//! In which order runs met files, as the ledger of runs tells it: of rows without a version the later ones count.

use floodmark_core::{commits::SliceKind, state::RunRecord};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// Files in groups, each of which one run loads as all the runs did that loaded them: by their names, group after group. A file
/// belongs to the last run that read it to its end; those of which no run is known any more are the first. `files`: with the rows that
/// were read of each. `runs`: the newest first. `window`: what a run holds of a window replaces it.
pub(super) fn groups(files: BTreeMap<String, u64>, runs: &[RunRecord], window: bool) -> Vec<Vec<String>> {
    let mut left = files;
    let mut groups = Vec::new();
    for run in runs {
        let mut read = BTreeSet::new();
        let slices = run.commits.entries().iter().flat_map(|entry| &entry.slices);
        for slice in slices.filter(|slice| slice.kind == SliceKind::File) {
            // Of a run with very many files the last are put together, as a range of their names.
            let through = slice.through.as_ref().unwrap_or(&slice.name);
            let range = (Bound::Included(&slice.name), Bound::Included(through));
            if slice.name <= *through {
                // Rejects that are loaded later are some rows of a file, and counted from one.
                let ends = |rows: u64| slice.until.as_ref().is_none_or(|until| *until == rows.to_string());
                let here = left.range::<String, _>(range).filter(|(_, rows)| ends(**rows));
                read.extend(here.map(|(file, _)| file.clone()));
            }
        }
        for file in &read {
            left.remove(file);
        }
        groups.push(read);
    }
    groups.push(left.into_keys().collect());
    let mut joined: Vec<Vec<String>> = Vec::new();
    for group in groups.into_iter().rev().filter(|group| !group.is_empty()) {
        match joined.last_mut() {
            // A run loads files in the order of their names, and by key it is the same in how many runs.
            Some(last) if !window && last.last() < group.first() => last.extend(group),
            _ => joined.push(group.into_iter().collect()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use floodmark_core::{
        Counts,
        commits::{Commits, Committed, SliceShare},
    };

    fn run(files: &[(&str, Option<&str>)]) -> RunRecord {
        let share = |(name, through): &(&str, Option<&str>)| SliceShare {
            kind: SliceKind::File,
            name: (*name).to_owned(),
            through: through.map(str::to_owned),
            slices: 1,
            from: None,
            until: None,
            read: 1,
            skipped: 0,
            rejected: 0,
        };
        let mut commits = Commits::default();
        commits.push(Committed {
            commits: 1,
            at: DateTime::UNIX_EPOCH,
            counts: Counts::default(),
            watermark: None,
            bytes: None,
            slices: files.iter().map(share).collect(),
        });
        RunRecord {
            run: "r".to_owned(),
            pipeline: "p".to_owned(),
            status: "ok".to_owned(),
            load: "upsert".to_owned(),
            started_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            counts: Counts::default(),
            watermark: None,
            error: None,
            commits,
        }
    }

    fn told(files: &[&str], runs: &[RunRecord], window: bool) -> Vec<String> {
        let files = files.iter().map(|file| ((*file).to_owned(), 5)).collect();
        groups(files, runs, window).iter().map(|group| group.join(" ")).collect()
    }

    #[test]
    fn a_file_belongs_to_the_last_run_that_read_of_it() {
        let runs = [run(&[("a", None)]), run(&[("c", None)]), run(&[("a", None), ("b", None), ("e", None)])];
        assert_eq!(told(&["a", "b", "c", "d", "e"], &runs, false), ["d", "b e", "c", "a"]);
    }

    #[test]
    fn rejects_of_a_file_that_are_loaded_later_leave_it_where_it_is() {
        let mut replayed = run(&[("a", None)]);
        let mut some = replayed.commits.entries()[0].clone();
        some.slices[0].until = Some("2".to_owned());
        replayed.commits = Commits::default();
        replayed.commits.push(some);
        let runs = [replayed, run(&[("b", None)]), run(&[("a", None)])];
        assert_eq!(told(&["a", "b"], &runs, true), ["a", "b"]);
    }

    #[test]
    fn runs_that_went_on_in_the_order_of_names_are_one() {
        let runs = [run(&[("d", None)]), run(&[("b", None), ("c", None)]), run(&[("a", None)])];
        assert_eq!(told(&["a", "b", "c", "d"], &runs, false), ["a b c d"]);
        assert_eq!(told(&["a", "b", "c", "d"], &runs, true), ["a", "b c", "d"]);
    }

    #[test]
    fn files_that_are_put_together_are_those_between() {
        let runs = [run(&[("c", None)]), run(&[("a", None), ("b", Some("f"))])];
        assert_eq!(told(&["a", "b", "c", "d", "g"], &runs, false), ["g", "a b d", "c"]);
        assert!(told(&[], &runs, false).is_empty());
    }
}
