//! One put that makes a change true as a whole, or not at all.

use super::{
    actions::{self, Action, Format, MetaData, Txn},
    dataset, fields,
    snapshot::{Snapshot, read_entry},
    stats, support,
};
use crate::{
    data::DataFile,
    lake::{Kind, Table},
    store::Put,
};
use chrono::Utc;
use floodmark_core::{Error, Result, Schema};
use object_store::path::Path;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashSet},
    thread,
    time::Duration,
};
use uuid::Uuid;

/// The longest wait before a version is tried again that another writer was quicker with.
const LONGEST: Duration = Duration::from_millis(500);

/// Entries between checkpoints, where the table does not say.
const CHECKPOINT: u64 = 100;

/// What a change was decided on, beside the application's own last transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Nothing: rows are added, whatever else there is.
    Nothing,
    /// All of the table: rows that others bring or take meanwhile may have changed the decision.
    Table,
}

/// What the history of the table says of a change.
#[derive(Debug, Clone, Default)]
pub struct Operation<'a> {
    /// As Delta's own writers say it: WRITE, MERGE, DELETE, OPTIMIZE.
    pub name: &'a str,
    /// Counts by their names: numOutputRows and the like.
    pub metrics: &'a [(&'a str, u64)],
}

/// A change of a table.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The application, `floodmark:<pipeline>`, and the version of its transaction: greater than the last.
    pub transaction: Option<(&'a str, i64)>,
    /// The columns from now on, where they change; and those of a new table.
    pub schema: Option<&'a Schema>,
    /// Of a new table; one that is there keeps its own.
    pub partition_by: &'a [String],
    /// Files that a [`Writer`](crate::Writer) wrote.
    pub add: &'a [DataFile],
    /// Files of the snapshot that are the table's no more.
    pub remove: &'a [&'a DataFile],
    /// What it was decided on.
    pub reads: Reads,
    /// Whether the rows are other ones afterwards, and do not only lie in other files.
    pub data_change: bool,
    /// For the history.
    pub operation: Operation<'a>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is the table's version of that number, and lasts.
    Done(u64),
    /// Nothing was changed: another run of the same application has committed since.
    Moved,
    /// Nothing was changed: what was done meanwhile does not go with it.
    Changed(String),
}

impl Table {
    /// Makes a change of the table as the snapshot saw it; `None` makes the table. It may come after versions that others
    /// commit meanwhile, where these go with it. After an error it is not known whether the change was made: the
    /// application's transaction tells.
    pub fn commit(&self, base: Option<&Snapshot>, change: &Change<'_>) -> Result<Outcome> {
        let id = Uuid::now_v7().to_string();
        if self.kind == Kind::Dataset {
            return dataset::commit(self, base, change, &id);
        }
        let body = actions::show(&self.actions(base, change, &id)?)?;
        let mut attempt = Attempt { table: self, change, id: &id, version: base.map_or(0, |base| base.version + 1) };
        let outcome = attempt.run(&body)?;
        if let Outcome::Done(version) = outcome {
            let interval = base.and_then(|base| base.property("delta.checkpointInterval")?.parse().ok());
            if version > 0 && version.is_multiple_of(interval.filter(|n| *n > 0).unwrap_or(CHECKPOINT)) {
                // Without it readers have more to read, and nothing else.
                let _ = self.snapshot().and_then(|snapshot| snapshot.map_or(Ok(()), |snapshot| snapshot.checkpoint()));
            }
        }
        Ok(outcome)
    }

    fn actions(&self, base: Option<&Snapshot>, change: &Change<'_>, id: &str) -> Result<Vec<Action>> {
        let now = Utc::now().timestamp_millis();
        let metrics: BTreeMap<&str, String> =
            change.operation.metrics.iter().map(|(name, count)| (*name, count.to_string())).collect();
        let info = json!({
            "timestamp": now,
            "operation": change.operation.name,
            "operationParameters": {},
            "operationMetrics": metrics,
            "engineInfo": concat!("floodmark/", env!("CARGO_PKG_VERSION")),
            "isBlindAppend": change.reads == Reads::Nothing && change.remove.is_empty(),
            "txnId": id,
        });
        let mut out = vec![Action { commit_info: Some(info), ..Action::default() }];
        let partition_by = base.map_or(change.partition_by, |base| &base.partition_by);
        if let Some(base) = base {
            base.check_writable(change.data_change && !change.remove.is_empty())?;
        }
        match (base, change.schema) {
            (None, None) => return Err(Error::internal("a table is made without columns")),
            (_, None) => {}
            (base, Some(schema)) => {
                let fields = fields::merged(&self.name, base.map_or(&[], |base| &base.fields), schema)?;
                fields::check_partitions(&self.name, schema, partition_by)?;
                let protocol = support::needed(&fields, base.and_then(Snapshot::protocol));
                out.extend(protocol.map(|protocol| Action { protocol: Some(protocol), ..Action::default() }));
                let metadata = match base.and_then(Snapshot::metadata) {
                    Some(metadata) => MetaData { schema_string: fields::show(fields)?, ..metadata.clone() },
                    None => MetaData {
                        id: Uuid::now_v7().to_string(),
                        name: None,
                        description: None,
                        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
                        schema_string: fields::show(fields)?,
                        partition_columns: partition_by.to_vec(),
                        configuration: BTreeMap::new(),
                        created_time: Some(now),
                    },
                };
                out.push(Action { meta_data: Some(metadata), ..Action::default() });
            }
        }
        out.extend(change.transaction.map(|(app, version)| Action {
            txn: Some(Txn { app_id: app.to_owned(), version, last_updated: Some(now) }),
            ..Action::default()
        }));
        let removes = change.remove.iter().map(|file| stats::remove(file, change.data_change));
        out.extend(removes.map(|remove| Action { remove: Some(remove), ..Action::default() }));
        let adds = change.add.iter().map(|file| stats::add(file, change.data_change));
        out.extend(adds.map(|add| Action { add: Some(add), ..Action::default() }));
        Ok(out)
    }
}

struct Attempt<'a> {
    table: &'a Table,
    change: &'a Change<'a>,
    id: &'a str,
    version: u64,
}

impl Attempt<'_> {
    fn run(&mut self, body: &[u8]) -> Result<Outcome> {
        let mut lost = 0;
        loop {
            if put(self.table, &actions::entry(self.version), body)? == Put::Done {
                return self.reached();
            }
            if let Some(outcome) = self.catch_up()? {
                return Ok(outcome);
            }
            lost += 1;
            thread::sleep(jitter(lost));
        }
    }

    /// Whether the version that was put comes after another one. Where those around it were cleaned away, its number was free
    /// again: the table has gone on long ago, and an entry that stands alone makes its log unreadable.
    fn reached(&self) -> Result<Outcome> {
        let done = Ok(Outcome::Done(self.version));
        let Some(before) = self.version.checked_sub(1).map(actions::entry) else { return done };
        // What cannot be asked for now was there a moment ago.
        if !matches!(self.table.place.has(&before), Ok(false)) {
            return done;
        }
        let folder = Path::from("_delta_log");
        let there = self.table.place.list(Some(&folder)).map_err(|e| self.table.read_failed(&folder, &e))?;
        let version = |name: &str| name.strip_suffix(".json")?.parse::<u64>().ok();
        let there: HashSet<u64> = there.iter().filter_map(|file| version(file.location.filename()?)).collect();
        if there.contains(&(self.version + 1)) || !there.iter().any(|version| *version > self.version) {
            return done;
        }
        let own = actions::entry(self.version);
        self.table.place.delete(&own).map_err(|e| self.table.delete_failed(&own, &e))?;
        Ok(Outcome::Changed("its log was cleaned up meanwhile".to_owned()))
    }

    /// Goes on to the first version that nobody has, unless what is there ends it.
    fn catch_up(&mut self) -> Result<Option<Outcome>> {
        let mut seen = false;
        while let Some(entry) = read_entry(self.table, self.version)? {
            seen = true;
            if entry.iter().filter_map(|action| action.commit_info.as_ref()).any(|info| info["txnId"] == self.id) {
                return Ok(Some(Outcome::Done(self.version)));
            }
            if let Some(outcome) = self.judge(&entry) {
                return Ok(Some(outcome));
            }
            self.version += 1;
        }
        // An entry that is in the way and cannot be read was cleaned away with all before it.
        Ok((!seen).then(|| Outcome::Changed("its log was cleaned up meanwhile".to_owned())))
    }

    /// Whether this change can come after that entry.
    fn judge(&self, entry: &[Action]) -> Option<Outcome> {
        let who = || {
            let info = entry.iter().find_map(|action| action.commit_info.as_ref());
            let said = |key: &str| info.and_then(|info| info[key].as_str()).unwrap_or("unknown");
            format!("version {}, {} by {}", self.version, said("operation"), said("engineInfo"))
        };
        let changed = |what: &str| Some(Outcome::Changed(format!("{what} ({})", who())));
        let ours = self.change.transaction.map(|(app, _)| app);
        if entry.iter().any(|action| action.txn.as_ref().is_some_and(|txn| Some(txn.app_id.as_str()) == ours)) {
            return Some(Outcome::Moved);
        }
        if self.version == 0 {
            return changed("the table was made by another writer");
        }
        if entry.iter().any(|action| action.protocol.is_some() || action.meta_data.is_some()) {
            return changed("another writer changed the table's columns or properties");
        }
        let taken: HashSet<&str> = self.change.remove.iter().map(|file| file.path.as_str()).collect();
        let touched = |action: &Action| {
            let removed = action.remove.as_ref().map(|remove| &remove.path);
            let added = action.add.as_ref().map(|add| &add.path);
            removed.or(added).is_some_and(|path| taken.contains(path.as_str()))
        };
        if entry.iter().any(touched) {
            return changed("another writer changed files that this one changes");
        }
        let rows_changed = |action: &Action| {
            action.add.as_ref().is_some_and(|add| add.data_change)
                || action.remove.as_ref().is_some_and(|remove| remove.data_change)
        };
        if self.change.reads == Reads::Table && entry.iter().any(rows_changed) {
            return changed("another writer changed the table's rows");
        }
        None
    }
}

/// Puts what makes a version.
pub(super) fn put(table: &Table, path: &Path, body: &[u8]) -> Result<Put> {
    table.place.put_once(path, body).map_err(|not| {
        let error = table.write_failed(path, &not.error);
        match not.certain {
            true => error.state("nothing was written"),
            false => error
                .state("whether the commit was made is not known: the next run finds out, and repeats nothing")
                .transient(),
        }
    })
}

/// Some part of a time that grows: writers that met once do not meet again.
pub(super) fn jitter(lost: u32) -> Duration {
    let most = LONGEST.min(Duration::from_millis(10) * lost);
    let part = u32::from(Uuid::now_v7().as_bytes()[15]);
    most * part / 255
}
