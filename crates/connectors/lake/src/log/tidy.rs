//! Small files into large ones; and what is nobody's any more is deleted.

use super::{
    actions,
    commit::{Change, Operation, Outcome, Reads},
    snapshot::{Snapshot, interval, log_store},
    vacuum,
};
use crate::{
    data::{DataFile, Layout, Writer, discard, join_numbers},
    lake::{Kind, Table},
    store::runtime,
};
use chrono::Utc;
use floodmark_connect::destination::Tidied;
use floodmark_core::{Code, Error, Result};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A week, as others have it.
const KEEP: Duration = Duration::from_secs(7 * 86_400);

/// And a month for the log.
const KEEP_LOG: Duration = Duration::from_secs(30 * 86_400);

/// How often a compaction begins anew that others got in the way of.
const TRIES: u32 = 5;

impl Table {
    /// Writes small files of a partition together into files of about `target` bytes, which changes no row, and deletes
    /// files that no version of the last time (`keep`, else what the table says, else 7 days) had. Loads may run meanwhile.
    pub fn optimize(&self, target: u64, keep: Option<Duration>) -> Result<Tidied> {
        keep.map_or(Ok(()), vacuum::check)?;
        let mut tidied = Tidied::default();
        let mut tries = 0;
        loop {
            let snapshot = self.snapshot()?.ok_or_else(|| {
                Error::new(Code::TableShape, "there is no such table").in_file(&self.name).help("check its name")
            })?;
            let bins = bins(snapshot.files()?, target);
            let mut again = false;
            for bin in bins {
                match self.compact(&snapshot, &bin)? {
                    Outcome::Done(_) => {
                        tidied.compacted += bin.len() as u64;
                        tidied.into += 1;
                        if self.is_folder() {
                            // Who reads the folder alone would read rows twice.
                            discard(self, &bin.iter().map(|file| (*file).clone()).collect::<Vec<_>>());
                            tidied.deleted += bin.len() as u64;
                            tidied.freed += bin.iter().map(|file| file.size).sum::<u64>();
                        }
                    }
                    Outcome::Moved | Outcome::Changed(_) => again = true,
                }
            }
            tries += 1;
            if !again || tries == TRIES {
                break;
            }
        }
        let property = |snapshot: &Snapshot, name: &str| snapshot.property(name).and_then(interval);
        let snapshot = self.snapshot()?.ok_or_else(|| Error::internal("the table is gone"))?;
        let keep = keep.or_else(|| property(&snapshot, "delta.deletedFileRetentionDuration")).unwrap_or(KEEP);
        let (deleted, freed) = vacuum::vacuum(self, keep)?;
        tidied.deleted += deleted;
        tidied.freed += freed;
        if self.kind == Kind::Delta && snapshot.property("delta.enableExpiredLogCleanup") != Some("false") {
            let keep = property(&snapshot, "delta.logRetentionDuration").unwrap_or(KEEP_LOG);
            let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            let store = log_store(self)?;
            let before = Utc::now().timestamp_millis().saturating_sub(keep);
            // Readers need not have it; the next time tries again.
            let _ = runtime()?.block_on(async {
                deltalake_core::checkpoints::cleanup_expired_logs_for(snapshot.version, store.as_ref(), before, None)
                    .await
            });
        }
        Ok(tidied)
    }

    fn compact(&self, snapshot: &Snapshot, bin: &[&DataFile]) -> Result<Outcome> {
        let known: BTreeSet<&String> = bin.iter().flat_map(|file| file.columns.keys()).collect();
        let layout = Layout {
            partition_by: snapshot.partition_by.clone(),
            narrow: snapshot.narrow(&snapshot.schema),
            statistics: known.into_iter().cloned().collect(),
            target: u64::MAX,
            ..Layout::new(snapshot.schema.clone())
        };
        snapshot.check_writable(false)?;
        let names = snapshot.schema.names();
        let mut writer = Writer::new(self, layout)?;
        for file in bin {
            for batch in self.read(snapshot, file, &names)? {
                writer.write(&batch?)?;
            }
        }
        let mut written = writer.finish()?;
        let rows: u64 = bin.iter().map(|file| file.rows).sum();
        if written.iter().map(|file| file.rows).sum::<u64>() != rows || written.len() > 1 {
            discard(self, &written);
            return Err(
                Error::new(Code::Accounting, "compaction would have changed the number of rows").in_file(&self.name)
            );
        }
        if let Some(file) = written.first_mut() {
            file.numbers = join_numbers(bin.iter().copied());
        }
        let metrics = [("numRemovedFiles", bin.len() as u64), ("numAddedFiles", written.len() as u64)];
        let change = Change {
            transaction: None,
            schema: None,
            partition_by: &[],
            add: &written,
            remove: bin,
            reads: Reads::Nothing,
            data_change: false,
            operation: Operation { name: "OPTIMIZE", metrics: &metrics },
        };
        let outcome = self.commit(Some(snapshot), &change)?;
        if !matches!(outcome, Outcome::Done(_)) {
            discard(self, &written);
        }
        Ok(outcome)
    }
}

/// Files that together make one, by partition, in the order of their numbers or else of their times.
fn bins(files: &[DataFile], target: u64) -> Vec<Vec<&DataFile>> {
    let mut partitions: BTreeMap<(String, bool), Vec<&DataFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.size < target / 4 * 3) {
        let partition = format!("{:?}", file.partition);
        partitions.entry((partition, file.numbers.is_some())).or_default().push(file);
    }
    let mut bins = Vec::new();
    for mut files in partitions.into_values() {
        let first = |file: &DataFile| file.numbers.as_ref().and_then(|numbers| numbers.first().copied());
        files.sort_by(|a, b| (first(a), a.modified, &a.path).cmp(&(first(b), b.modified, &b.path)));
        let mut bin = Vec::new();
        let mut size = 0;
        for file in files {
            if size + file.size > target && !bin.is_empty() {
                bins.push(std::mem::take(&mut bin));
                size = 0;
            }
            size += file.size;
            bin.push(file);
        }
        bins.push(bin);
    }
    bins.retain(|bin| bin.len() > 1);
    bins
}

/// The folder that the log lies in, which no vacuum looks into.
pub(super) const LOG: &str = actions::FOLDER;
