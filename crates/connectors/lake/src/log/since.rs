//! What a table's versions added, one by one.

use super::{
    actions::Action,
    snapshot::{Snapshot, read_entry},
    stats,
};
use crate::data::DataFile;
use floodmark_core::{Code, Error, Result};

impl Snapshot {
    /// The files that brought rows after a version, each with the version it came with, the oldest first. They are told as
    /// they came, also where they were written into others since.
    pub(crate) fn added_since(&self, version: u64) -> Result<Vec<(u64, DataFile)>> {
        if version > self.version {
            return Err(Error::new(
                Code::SourceRead,
                format!("version {version} of the table was loaded, and its newest is {}", self.version),
            )
            .in_file(self.table().name())
            .help(
                "it was made anew, or put back to what it was: load it whole with `floodmark run NAME --full-refresh`",
            ));
        }
        let mut added = Vec::new();
        for at in version + 1..=self.version {
            let entry = read_entry(self.table(), at)?.ok_or_else(|| {
                Error::new(Code::SourceRead, format!("version {at} of the table is not in its log any more"))
                    .in_file(self.table().name())
                    .help("what it brought cannot be told apart from what was there before")
                    .help("load the whole table again: `floodmark run NAME --full-refresh`; and run more often than its log is cleaned")
            })?;
            for action in entry {
                match action {
                    Action { add: Some(add), .. } if add.data_change => {
                        added.push((at, stats::file(self.table(), add, &self.fields, &self.partition_by)?));
                    }
                    Action { remove: Some(remove), .. } if remove.data_change => {
                        return Err(Error::new(
                            Code::SourceRead,
                            format!("version {at} of the table took rows out or changed them, which `delta_version` cannot follow"),
                        )
                        .in_file(self.table().name())
                        .help("it is for tables that rows are only added to")
                        .help("to load the whole table again and follow it from there: `floodmark run NAME --full-refresh`")
                        .help("or load it whole each time, with a key and `load: upsert` or `overwrite`, or by a column that says what is new"));
                    }
                    _ => {}
                }
            }
        }
        Ok(added)
    }
}
