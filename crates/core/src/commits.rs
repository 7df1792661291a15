//! What the commits of a run brought, one after the other, in bounded room: for people who ask what a run did, and when.

use crate::accounting::Counts;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

/// Entries that are kept of a run. Where it commits more often, neighbours are put together, so that each stands for as many
/// commits as the others, and no commit is left out.
pub const MOST: usize = 64;
/// Slices that are kept of a run, over all its entries.
pub const MOST_SLICES: usize = 256;

/// The commits of a run, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commits {
    entries: Vec<Committed>,
}

/// What a commit brought, or several in a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// How many commits this stands for.
    pub commits: u64,
    /// When the last of them was made ready, to the millisecond.
    #[serde(with = "moment")]
    pub at: DateTime<Utc>,
    /// Rows by outcome.
    pub counts: Counts,
    /// The watermark after it, as text; `None` where there is none.
    pub watermark: Option<String>,
    /// Bytes of the source that were read for it, as they are stored; `None` where that is not known.
    pub bytes: Option<u64>,
    /// Which parts of the source it is made of.
    pub slices: Vec<SliceShare>,
}

/// A part of the source that is in a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceShare {
    /// What it is part of.
    pub kind: SliceKind,
    /// The file, or the table, or the column along which an interval lies.
    pub name: String,
    /// The last of several that are put together for room, of which `name` is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// How many slices these are.
    pub slices: u64,
    /// Of a file its first row in the commit, from 1; of a table where along the watermark its reading began; of an interval
    /// its first value.
    pub from: Option<String>,
    /// Of a file its last row in the commit; of a table the highest watermark that was read; of an interval the first value
    /// that is not in it.
    pub until: Option<String>,
    /// Rows that were read of it.
    pub read: u64,
    /// Those among them that were left out. A `transform` knows of no slice.
    pub skipped: u64,
    /// Bad rows among them.
    pub rejected: u64,
}

/// What a slice is, which goes by the kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceKind {
    /// Rows of a file.
    File,
    /// Rows of a table or query, along the watermark.
    Table,
    /// A part of the axis that a backfill goes along.
    Interval,
}

impl SliceKind {
    /// As in `--format json`.
    pub fn name(self) -> &'static str {
        match self {
            SliceKind::File => "file",
            SliceKind::Table => "table",
            SliceKind::Interval => "interval",
        }
    }
}

impl Commits {
    /// Those of the ledger, read back.
    pub fn parse(text: &str) -> Option<Commits> {
        let mut commits: Commits = serde_json::from_str(text).ok()?;
        // Lists are read with room for four, of things that are large and mostly one; a server keeps thousands of them.
        commits.entries.shrink_to_fit();
        commits.entries.iter_mut().for_each(|entry| entry.slices.shrink_to_fit());
        Some(commits)
    }

    /// As the ledger keeps them.
    pub fn text(&self) -> String {
        // Numbers and texts under names that are texts always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the run has committed nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// In order.
    pub fn entries(&self) -> &[Committed] {
        &self.entries
    }

    /// Bytes of the source that were read, where that is known of any commit.
    pub fn bytes(&self) -> Option<u64> {
        self.entries.iter().filter_map(|entry| entry.bytes).reduce(|a, b| a + b)
    }

    /// Takes in the next commit.
    pub fn push(&mut self, mut commit: Committed) {
        commit.at = commit.at.trunc_subsecs(3);
        let each = self.entries.first().map_or(1, |first| first.commits);
        match self.entries.last_mut() {
            Some(last) if last.commits < each => last.take(commit),
            _ => self.entries.push(commit),
        }
        if self.entries.len() > MOST {
            let mut pairs = Vec::with_capacity(MOST / 2 + 1);
            let mut entries = std::mem::take(&mut self.entries).into_iter();
            while let Some(mut first) = entries.next() {
                entries.next().into_iter().for_each(|second| first.take(second));
                pairs.push(first);
            }
            self.entries = pairs;
        }
        if self.entries.iter().map(|entry| entry.slices.len()).sum::<usize>() > MOST_SLICES {
            let room = (MOST_SLICES / self.entries.len()).max(1);
            self.entries.iter_mut().for_each(|entry| entry.fold(room));
        }
    }
}

impl Committed {
    /// Takes in the commit behind it.
    fn take(&mut self, next: Committed) {
        self.commits += next.commits;
        self.at = next.at;
        self.counts.add(&next.counts);
        self.watermark = next.watermark;
        self.bytes = match (self.bytes, next.bytes) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        for slice in next.slices {
            match self.slices.last_mut() {
                Some(last) if last.goes_on_in(&slice) => last.take(slice),
                _ => self.slices.push(slice),
            }
        }
    }

    /// Keeps to so many slices: those behind are one.
    fn fold(&mut self, room: usize) {
        if self.slices.len() <= room {
            return;
        }
        let mut rest = self.slices.split_off(room - 1).into_iter();
        if let Some(mut sum) = rest.next() {
            for slice in rest {
                sum.slices += slice.slices;
                sum.through = Some(slice.through.unwrap_or(slice.name));
                sum.add(slice.read, slice.skipped, slice.rejected);
            }
            (sum.from, sum.until) = (None, None);
            self.slices.push(sum);
        }
    }
}

impl SliceShare {
    /// Whether the next share is more of the same.
    fn goes_on_in(&self, next: &SliceShare) -> bool {
        let same = self.kind == next.kind && self.name == next.name && self.through.is_none() && next.through.is_none();
        let meets = match self.kind {
            SliceKind::Interval => self.until.is_some() && self.until == next.from,
            SliceKind::File | SliceKind::Table => true,
        };
        same && meets
    }

    fn take(&mut self, next: SliceShare) {
        if self.kind == SliceKind::Interval {
            self.slices += next.slices;
        }
        self.from = self.from.take().or(next.from);
        self.until = next.until.or(self.until.take());
        self.add(next.read, next.skipped, next.rejected);
    }

    fn add(&mut self, read: u64, skipped: u64, rejected: u64) {
        self.read += read;
        self.skipped += skipped;
        self.rejected += rejected;
    }
}

/// Moments as texts of milliseconds, which every database has.
pub(crate) mod moment {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(from)?;
        DateTime::parse_from_rfc3339(&text).map(|at| at.with_timezone(&Utc)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(n: u64, slices: Vec<SliceShare>) -> Committed {
        Committed {
            commits: 1,
            at: DateTime::from_timestamp_millis(1_700_000_000_000 + n as i64).unwrap(),
            counts: Counts { read: n, inserted: n, ..Counts::default() },
            watermark: Some(n.to_string()),
            bytes: Some(n * 10),
            slices,
        }
    }

    fn share(kind: SliceKind, name: &str, from: u64, until: u64) -> SliceShare {
        SliceShare {
            kind,
            name: name.into(),
            through: None,
            slices: 1,
            from: Some(from.to_string()),
            until: Some(until.to_string()),
            read: until - from,
            skipped: 0,
            rejected: 0,
        }
    }

    #[test]
    fn a_file_of_many_commits_stays_one_line_of_each_entry() {
        let mut commits = Commits::default();
        for n in 0..1000 {
            commits.push(commit(1, vec![share(SliceKind::File, "a.csv", n * 10 + 1, n * 10 + 10)]));
        }
        let first = &commits.entries()[0];
        assert_eq!((first.commits, first.slices.len()), (16, 1));
        assert_eq!((first.slices[0].from.as_deref(), first.slices[0].until.as_deref()), (Some("1"), Some("160")));
        assert!(commits.entries().len() <= MOST);
    }

    #[test]
    fn intervals_that_meet_are_one_and_others_are_not() {
        let mut one = commit(1, vec![share(SliceKind::Interval, "at", 0, 5)]);
        one.take(commit(1, vec![share(SliceKind::Interval, "at", 5, 9), share(SliceKind::Interval, "at", 10, 11)]));
        let told: Vec<_> = one.slices.iter().map(|s| (s.from.as_deref(), s.until.as_deref(), s.slices)).collect();
        assert_eq!(told, [(Some("0"), Some("9"), 2), (Some("10"), Some("11"), 1)]);
    }

    #[test]
    fn more_files_than_there_is_room_for_are_told_together() {
        let mut commits = Commits::default();
        let files = (0..1000).map(|n| share(SliceKind::File, &format!("{n:03}.csv"), 1, 3)).collect();
        commits.push(commit(1, files));
        let slices = &commits.entries()[0].slices;
        let last = slices.last().unwrap();
        assert_eq!((slices.len(), last.slices, last.read), (MOST_SLICES, 745, 1490));
        assert_eq!((last.name.as_str(), last.through.as_deref()), ("255.csv", Some("999.csv")));
    }

    #[test]
    fn what_no_floodmark_wrote_is_told_from_it() {
        assert_eq!(Commits::parse("[]"), Some(Commits::default()));
        assert_eq!(Commits::parse("{}"), None);
        assert_eq!(Commits::parse("[{\"commits\":1,\"at\":\"yesterday\"}]"), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_whatever_the_number_of_commits(sizes in prop::collection::vec((0u64..50, 0usize..12), 0..500)) {
            let mut commits = Commits::default();
            let mut names = 0;
            for (n, files) in &sizes {
                let slices = (0..*files).map(|_| { names += 1; share(SliceKind::File, &names.to_string(), 0, *n) }).collect();
                commits.push(commit(*n, slices));
            }
            let entries = commits.entries();
            prop_assert!(entries.len() <= MOST);
            prop_assert!(entries.iter().map(|e| e.slices.len()).sum::<usize>() <= MOST_SLICES);
            let sum = |of: fn(&Committed) -> u64| entries.iter().map(of).sum::<u64>();
            let all: u64 = sizes.iter().map(|(n, _)| n).sum();
            prop_assert_eq!(sum(|e| e.commits), sizes.len() as u64);
            prop_assert_eq!(sum(|e| e.counts.read), all);
            prop_assert_eq!(commits.bytes().unwrap_or(0), all * 10);
            prop_assert_eq!(sum(|e| e.slices.iter().map(|s| s.slices).sum()), names);
            prop_assert_eq!(sum(|e| e.slices.iter().map(|s| s.read).sum()), sizes.iter().map(|(n, f)| n * *f as u64).sum::<u64>());
            prop_assert_eq!(entries.last().map(|e| e.watermark.clone()), sizes.last().map(|(n, _)| Some(n.to_string())));
            prop_assert_eq!(Commits::parse(&commits.text()), Some(commits));
        }
    }
}
