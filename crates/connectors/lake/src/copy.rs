//! Private copies of a lake, and of a table's rows.

use crate::{destination::LakeDestination, failure, keeper::Keeper};
use floodmark_connect::{
    Stop,
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline, url::ConnectionUrl};
use floodmark_sqlite::bench;
use std::{fs, path::Path};

/// Copies a lake into a folder on this machine, but for one pipeline and its table.
pub(crate) fn copy(
    original: &LakeDestination,
    folder: &Path,
    without: &Pipeline,
    stop: &Stop,
) -> Result<ConnectionUrl> {
    let lake = original.lake();
    let target = folder.join("lake");
    let cannot = || {
        Error::new(Code::BadArgument, format!("the path {} cannot be written as a URL", target.display()))
            .state("nothing was done")
            .help("choose another folder for the copies: --scratch DIR")
    };
    let url = ConnectionUrl::parse(&format!("{}:///{}", lake.format(), target.to_str().ok_or_else(cannot)?))?;
    if !floodmark_connect::Destination::exists(original) {
        return Ok(url);
    }
    let (table, state) = (lake.table(&without.destination.table)?, Keeper::folder(&without.name));
    for path in lake.list(&object_store::path::Path::default())?.into_iter().map(|object| object.location) {
        stop.check()?;
        if path.prefix_matches(table.folder())
            || path.prefix_matches(&state)
            || path.as_ref().starts_with("_floodmark/locks")
        {
            continue;
        }
        // A table that others write to loses files meanwhile that its log does not name any more.
        let Some(bytes) = lake.get(&path)? else { continue };
        let to = target.join(path.as_ref());
        crash::at(Point::Temporary, || {
            fs::create_dir_all(to.parent().unwrap_or(&target))
                .and_then(|()| fs::write(&to, &bytes))
                .map_err(failure::scratch)
        })?;
    }
    fs::create_dir_all(&target).map_err(failure::scratch)?;
    Ok(url)
}

/// Puts the rows of a pipeline's table into a database of its own.
pub(crate) fn rows(lake: &LakeDestination, pipeline: &Pipeline, file: &Path) -> Result<ConnectionUrl> {
    let name = &pipeline.destination.table;
    let table = lake.lake().table(name)?;
    let Some(snapshot) = table.snapshot()? else {
        return Err(Error::new(Code::TableShape, format!("there is no table {name:?} in one of the two")));
    };
    let names = snapshot.schema.names();
    let mut files = Vec::new();
    for file in snapshot.files()? {
        files.push(table.read(&snapshot, file, &names)?);
    }
    bench::store(file, name, &snapshot.schema, &mut files.into_iter().flatten())?;
    ConnectionUrl::parse(&format!("sqlite:///{}", file.display()))
}
