//! Data files that no version within the retention has.

use super::{
    actions::version,
    dataset,
    snapshot::{Snapshot, read_entry},
    tidy::LOG,
};
use crate::lake::{Kind, RESERVED, Table};
use chrono::{DateTime, Utc};
use floodmark_core::{Code, Error, Result};
use object_store::{ObjectMeta, path::Path};
use std::{collections::HashSet, time::Duration};
use uuid::Uuid;

/// A load that runs has written files that no version has yet.
const LEAST: Duration = Duration::from_secs(3600);

/// Before anything is done.
pub(super) fn check(keep: Duration) -> Result<()> {
    if keep >= LEAST {
        return Ok(());
    }
    Err(Error::new(Code::BadArgument, "files must be kept for an hour at least")
        .state("nothing was done")
        .help("write 1h or more: loads that run now have written files that no version of the table has yet"))
}

/// How many files were deleted, and their bytes.
pub(super) fn vacuum(table: &Table, keep: Duration) -> Result<(u64, u64)> {
    let before = clock(table)? - chrono::Duration::from_std(keep).unwrap_or(chrono::Duration::MAX);
    // First what there is, then what is needed: a file that is committed in between is seen to be needed.
    let root = Path::default();
    let there = table.place.list(None).map_err(|e| table.read_failed(&root, &e))?;
    let needed = match table.kind {
        Kind::Delta => needed(table, &there, before)?,
        Kind::Dataset => Some(dataset::prune(table, &there, before)?),
    };
    let Some(needed) = needed else { return Ok((0, 0)) };
    let (mut files, mut bytes) = (0, 0);
    // A table in a folder of this one has files that are its own.
    let others: HashSet<Path> = there.iter().filter_map(|file| table_of(&file.location)).collect();
    let is_own = |file: &ObjectMeta| !others.iter().any(|other| file.location.prefix_matches(other));
    for file in there.iter().filter(|file| is_own(file)) {
        if is_data(&file.location) && file.last_modified < before && !needed.contains(&file.location) {
            table.place.delete(&file.location).map_err(|e| {
                table
                    .delete_failed(&file.location, &e)
                    .state("the table is whole; files that it does not have any more are still there")
            })?;
            files += 1;
            bytes += file.size;
        }
    }
    Ok((files, bytes))
}

/// The folder, below this table's, of the table that a file of a log or a manifest belongs to.
fn table_of(path: &Path) -> Option<Path> {
    let parts: Vec<_> = path.parts().collect();
    let log = parts.iter().position(|part| RESERVED.contains(&part.as_ref()))?;
    (log > 0).then(|| parts[..log].iter().cloned().collect())
}

/// Folders and files with a leading `_` or `.` are not data, unless it is a column's name that begins so.
fn is_data(path: &Path) -> bool {
    let hidden = |part: &str| part.starts_with(['_', '.']) && !part.contains('=');
    path.extension() == Some("parquet") && !path.parts().any(|part| hidden(part.as_ref()))
}

/// The files of the newest version, and all that entries of the retention name. Nothing where these are not all there.
fn needed(table: &Table, there: &[ObjectMeta], before: DateTime<Utc>) -> Result<Option<HashSet<Path>>> {
    let Some(snapshot) = Snapshot::newest(table)? else { return Ok(None) };
    let mut needed: HashSet<Path> = snapshot.files()?.iter().map(|file| file.location.clone()).collect();
    let in_log = there.iter().filter(|file| file.location.parts().next().is_some_and(|part| part.as_ref() == LOG));
    let entries: Vec<(u64, DateTime<Utc>)> =
        in_log.filter_map(|file| Some((version(&file.location)?, file.last_modified))).collect();
    let young = |(version, at): &(u64, DateTime<Utc>)| (*at >= before).then_some(*version);
    let Some(first) = entries.iter().filter_map(young).min() else { return Ok(Some(needed)) };
    // The version at the retention's beginning lost its files in entries of the retention: all of them must be there.
    for version in first..=snapshot.version {
        let Some(entry) = read_entry(table, version)? else { return Ok(None) };
        for action in entry {
            let paths = action.add.map(|add| add.path).into_iter().chain(action.remove.map(|remove| remove.path));
            needed.extend(paths.filter_map(|path| Path::from_url_path(path).ok()));
        }
    }
    let whole = first == 0 || entries.iter().any(|(version, _)| version + 1 == first);
    Ok(whole.then_some(needed))
}

/// What time it is where files get their times.
fn clock(table: &Table) -> Result<DateTime<Utc>> {
    let folder = match table.kind {
        Kind::Delta => Path::from(LOG),
        Kind::Dataset => Path::from("_floodmark"),
    };
    let path = folder.clone().join(format!(".clock-{}", Uuid::now_v7()));
    table
        .place
        .put_once(&path, b"now")
        .map_err(|not| table.write_failed(&path, &not.error).state("the table is whole; nothing was deleted"))?;
    let listed = table.place.list(Some(&folder)).map_err(|e| table.read_failed(&folder, &e));
    let _ = table.place.delete(&path);
    let now = listed?.into_iter().find(|file| file.location == path).map(|file| file.last_modified);
    now.ok_or_else(|| {
        Error::new(Code::DestinationOpen, "the store does not list what was just written").in_file(&table.name)
    })
}
