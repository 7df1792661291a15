//! A table that a pipeline comes to for the first time (see [`floodmark_connect::refusal::adopt`]).

use crate::{bench::Elsewhere, ddl, failure::to, merge};
use floodmark_connect::refusal::Stranger;
use floodmark_core::{Result, pipeline::Pipeline};
use rusqlite::Connection;

pub(crate) struct Found<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) elsewhere: Option<&'a dyn Elsewhere>,
}

impl Stranger for Found<'_> {
    fn holds_rows(&self) -> Result<bool> {
        if let Some(elsewhere) = self.elsewhere {
            return Ok(elsewhere.rows()? > 0);
        }
        let table = &self.pipeline.destination.table;
        Ok(ddl::table(self.db, table)?.is_some() && !merge::is_empty(self.db, table)?)
    }

    fn rows(&self) -> Result<u64> {
        match self.elsewhere {
            Some(elsewhere) => elsewhere.rows(),
            None => merge::count(self.db, &self.pipeline.destination.table),
        }
    }

    fn has_loaded(&self) -> Result<bool> {
        self.db
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM _floodmark_runs WHERE pipeline = ?1 AND (status = 'ok' OR read > 0))",
                [&self.pipeline.name],
                |r| r.get(0),
            )
            .map_err(to("read the run ledger"))
    }
}
