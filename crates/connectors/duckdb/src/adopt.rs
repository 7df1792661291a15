//! A table that a pipeline comes to for the first time (see [`floodmark_connect::refusal::adopt`]).

use crate::{
    ddl::{self, Name},
    failure::to,
    link::Db,
    merge,
};
use floodmark_connect::refusal::Stranger;
use floodmark_core::Result;

pub(crate) struct Found<'a> {
    pub(crate) db: &'a Db,
    pub(crate) name: &'a Name,
    pub(crate) pipeline: &'a str,
}

impl Stranger for Found<'_> {
    fn holds_rows(&self) -> Result<bool> {
        Ok(ddl::table(self.db, self.name)?.is_some() && !merge::is_empty(self.db, self.name)?)
    }

    fn rows(&self) -> Result<u64> {
        merge::count(self.db, self.name)
    }

    fn has_loaded(&self) -> Result<bool> {
        self.db
            .query_one(
                "SELECT count(*) > 0 FROM _floodmark_runs WHERE pipeline = $1 AND (status = 'ok' OR read > 0)",
                &[&self.pipeline],
            )
            .and_then(|row| row.try_get(0))
            .map_err(to("read the run ledger"))
    }
}
