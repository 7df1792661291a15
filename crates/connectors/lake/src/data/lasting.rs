//! Files that are made to last on this machine's disk.

use super::DataFile;
use crate::{failure, lake::Table};
use floodmark_core::{Error, Result};
use object_store::path::Path;
use std::thread::{self, JoinHandle};

/// The file lasts when this returns.
pub(super) fn sync(table: &Table, file: &Path) -> Result<()> {
    table.place.sync(file).map_err(|e| failure::parquet("written", &format!("{}/{file}", table.name), e))
}

/// Files that are made to last one after the other, each while the next one is written.
#[derive(Default)]
pub(super) struct Lasting(Option<JoinHandle<Result<()>>>);

impl Lasting {
    /// Waits for the file before this one.
    pub(super) fn begin(&mut self, table: &Table, file: &DataFile) -> Result<()> {
        self.end()?;
        let (table, file) = (table.clone(), file.location.clone());
        let syncing = thread::Builder::new().name("lake-sync".to_owned()).spawn(move || sync(&table, &file));
        self.0 = Some(syncing.map_err(|e| failure::threads(&e))?);
        Ok(())
    }

    /// Every file lasts when this returns.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(syncing) = self.0.take() else { return Ok(()) };
        syncing.join().unwrap_or_else(|_| Err(Error::internal("the thread that syncs files panicked")))
    }
}
