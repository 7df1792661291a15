//! A Parquet dataset: files in Hive folders, and a manifest that says which of them are the table. Each version's manifest
//! tells everything, and is put with the condition that none of its number is there.

use super::{
    actions::Add,
    commit::{Change, Outcome, Reads, jitter, put},
    fields,
    snapshot::Snapshot,
    stats,
};
use crate::{failure, lake::Table, store::Put};
use floodmark_core::{Code, Error, Result, Schema};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    thread,
};

/// In the table's own folder, so that it goes where the table goes. Who reads the folder leaves it out by its `_`.
pub(super) const FOLDER: [&str; 2] = ["_floodmark", "manifest"];

/// The only form there is.
const FORM: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    form: u32,
    /// Of the commit: whose it is, where an answer was lost.
    id: String,
    pub(crate) version: u64,
    operation: String,
    /// The versions at which rows and columns became other ones the last time.
    rows_changed: u64,
    columns_changed: u64,
    pub(crate) schema: Schema,
    pub(crate) partition_by: Vec<String>,
    pub(crate) transactions: BTreeMap<String, i64>,
    pub(crate) files: Vec<Add>,
}

fn place(version: u64) -> Path {
    Path::from_iter(FOLDER.into_iter().chain([format!("{version:020}.json").as_str()]))
}

pub(super) fn read(table: &Table, version: u64) -> Result<Option<Manifest>> {
    let path = place(version);
    let Some(bytes) = table.place.get(&path).map_err(|e| table.read_failed(&path, &e))? else { return Ok(None) };
    let broken = |what: &str| Error::new(Code::StateDamaged, what).in_file(format!("{}/{path}", table.name));
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| {
        broken("the table's manifest cannot be understood")
            .help("restore the file from a backup of the folder")
            .cause(e)
    })?;
    if manifest.form != FORM {
        return Err(Error::new(Code::StateTooNew, "the table's manifest was written by a newer Floodmark")
            .in_file(format!("{}/{path}", table.name))
            .help("use that version, or a newer one"));
    }
    Ok(Some(manifest))
}

pub(super) fn newest(table: &Table) -> Result<Option<Manifest>> {
    let folder = Path::from_iter(FOLDER);
    let there = table.place.list(Some(&folder)).map_err(|e| table.read_failed(&folder, &e))?;
    let newest = there.iter().filter_map(|file| super::actions::version(&file.location)).max();
    let mut newest = newest.map_or(Ok(None), |version| read(table, version))?;
    // A list may be late. What is asked for by its name is not.
    while let Some(next) = read(table, newest.as_ref().map_or(0, |newest| newest.version + 1))? {
        newest = Some(next);
    }
    Ok(newest)
}

pub(super) fn commit(table: &Table, base: Option<&Snapshot>, change: &Change<'_>, id: &str) -> Result<Outcome> {
    let base = base.and_then(Snapshot::manifest);
    let schema = change.schema.or(base.map(|base| &base.schema));
    let schema = schema.ok_or_else(|| Error::internal("a table is made without columns"))?;
    fields::merged(&table.name, &[], schema)?;
    fields::check_partitions(&table.name, schema, base.map_or(change.partition_by, |base| &base.partition_by))?;
    let mut theirs: Option<Manifest> = None;
    let mut lost = 0;
    loop {
        let before = theirs.as_ref().or(base.map(AsRef::as_ref));
        let next = after(before, change, schema, id);
        let body = serde_json::to_vec(&next).map_err(|e| Error::internal("a manifest cannot be written").cause(e))?;
        if put(table, &place(next.version), &body)? == Put::Done {
            return Ok(Outcome::Done(next.version));
        }
        // On to the first version that nobody has, unless what is there ends it.
        let mut version = next.version;
        while let Some(found) = read(table, version)? {
            if found.id == id {
                return Ok(Outcome::Done(version));
            }
            if let Some(outcome) = judge(base.map(AsRef::as_ref), &found, change) {
                return Ok(outcome);
            }
            version += 1;
            theirs = Some(found);
        }
        if version == next.version {
            return Ok(Outcome::Changed("its manifests were cleaned up meanwhile".to_owned()));
        }
        lost += 1;
        thread::sleep(jitter(lost));
    }
}

/// The next version: what was there, without what goes, with what comes.
fn after(before: Option<&Manifest>, change: &Change<'_>, schema: &Schema, id: &str) -> Manifest {
    let version = before.map_or(0, |before| before.version + 1);
    let gone: HashSet<&str> = change.remove.iter().map(|file| file.path.as_str()).collect();
    let kept = before.iter().flat_map(|before| &before.files).filter(|file| !gone.contains(file.path.as_str()));
    let new = change.add.iter().map(|file| stats::add(file, change.data_change));
    let mut transactions = before.map_or_else(BTreeMap::new, |before| before.transactions.clone());
    transactions.extend(change.transaction.map(|(app, version)| (app.to_owned(), version)));
    let since = |changed: bool, last: fn(&Manifest) -> u64| if changed { version } else { before.map_or(0, last) };
    Manifest {
        form: FORM,
        id: id.to_owned(),
        version,
        operation: change.operation.name.to_owned(),
        rows_changed: since(change.data_change && !(change.add.is_empty() && change.remove.is_empty()), |before| {
            before.rows_changed
        }),
        columns_changed: since(change.schema.is_some(), |before| before.columns_changed),
        schema: schema.clone(),
        partition_by: before.map_or_else(|| change.partition_by.to_vec(), |before| before.partition_by.clone()),
        transactions,
        files: kept.cloned().chain(new).collect(),
    }
}

/// Whether the change can come after a version of somebody else's.
fn judge(base: Option<&Manifest>, found: &Manifest, change: &Change<'_>) -> Option<Outcome> {
    let changed =
        |what: &str| Some(Outcome::Changed(format!("{what} (version {}, {})", found.version, found.operation)));
    if let Some((app, _)) = change.transaction
        && found.transactions.get(app) != base.and_then(|base| base.transactions.get(app))
    {
        return Some(Outcome::Moved);
    }
    let Some(base) = base else { return changed("the table was made by another writer") };
    if found.columns_changed > base.version {
        return changed("another writer changed the table's columns");
    }
    let there: HashSet<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
    if !change.remove.iter().all(|file| there.contains(file.path.as_str())) {
        return changed("another writer changed files that this one changes");
    }
    if change.reads == Reads::Table && found.rows_changed > base.version {
        return changed("another writer changed the table's rows");
    }
    None
}

/// Deletes manifests that are older than that, but for the newest of them; and tells the paths of files that the others name.
pub(super) fn prune(
    table: &Table,
    there: &[object_store::ObjectMeta],
    before: chrono::DateTime<chrono::Utc>,
) -> Result<HashSet<Path>> {
    let folder = Path::from_iter(FOLDER);
    let manifests = there.iter().filter(|file| file.location.prefix_matches(&folder));
    let mut versions: Vec<_> =
        manifests.filter_map(|file| Some((super::actions::version(&file.location)?, file.last_modified))).collect();
    versions.sort_unstable();
    // The version that held when the retention began.
    let first = versions.iter().rev().find(|(_, at)| *at < before).map_or(0, |(version, _)| *version);
    let newest = newest(table)?.ok_or_else(|| failure::unsuited(&table.name, "the table is gone"))?.version;
    let mut needed = HashSet::new();
    for version in first..=newest {
        let manifest = read(table, version)?;
        let files = manifest.into_iter().flat_map(|manifest| manifest.files);
        needed.extend(files.filter_map(|file| Path::from_url_path(file.path).ok()));
    }
    for (version, _) in versions.iter().filter(|(version, _)| *version < first) {
        let path = place(*version);
        table.place.delete(&path).map_err(|e| table.delete_failed(&path, &e))?;
    }
    Ok(needed)
}
