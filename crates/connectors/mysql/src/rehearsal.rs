//! Loads that are not kept: chunks are savepoints of one transaction, which ends with its connection.
//!
//! Creating and changing a table would commit, so a rehearsal works on a temporary copy of the table that has the new shape,
//! and where there is no state yet, on temporary state tables. What it did to the table is what differs between the two.

use crate::{
    MysqlDestination,
    ddl::{self, Name, Shape},
    differences,
    failure::{code, to},
    link::Db,
    lock::Turn,
    session::{MysqlSession, Place, Replaces},
    state,
};
use floodmark_connect::{
    LoadPlan, Rehearsal, Sample, Stop,
    crash::{self, Point},
    refusal,
};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline};

/// What a session that keeps nothing knows beside.
#[derive(Default)]
pub(crate) struct Rehearsed {
    pub(crate) begun: bool,
    /// The table, the copy of it that the loads change, and for whom.
    copy: Option<(Name, Name, Pipeline)>,
    copies: usize,
}

impl Rehearsed {
    /// The copy of a table, where there is one by now.
    pub(crate) fn seen(&self, name: &Name) -> Option<Name> {
        self.copy.as_ref().filter(|(table, ..)| table == name).map(|(_, copy, _)| copy.clone())
    }

    /// Where a chunk's rows go: a copy of the table as it would be by then.
    pub(crate) fn place(
        &mut self,
        db: &Db,
        plan: &LoadPlan<'_>,
        name: &Name,
        shape: &Shape<'_>,
        loaded: bool,
    ) -> Result<Place> {
        let key = ddl::key_columns(shape.pipeline);
        ddl::refuse(shape, &key)?;
        let replaces = if plan.forget { Replaces::Rows } else { Replaces::Nothing };
        if let Some(copy) = self.seen(name).filter(|_| plan.target.changes.is_empty()) {
            return Ok(Place { name: copy, created: false, replaces });
        }
        let from = self.seen(name).unwrap_or_else(|| name.clone());
        let found = ddl::table(db, &from)?;
        if let Some(found) = &found {
            ddl::refuse_kind(db, &from, found, shape)?;
            if loaded && !ddl::has_key(db, shape.pipeline, &from)? {
                return Err(refusal::other_key(shape.pipeline));
            }
        }
        self.copies += 1;
        let copy =
            Name { database: db.server.database.clone(), table: format!("_floodmark_rehearsed_{}", self.copies) };
        let definition = match &found {
            Some(found) => ddl::changed(db, found, shape, plan.target.changes),
            None => shape.definition(db).replace(" INVISIBLE", ""),
        };
        let make = format!("CREATE TEMPORARY TABLE {copy} {definition}");
        crash::at(Point::Temporary, || db.execute(&make).map_err(to("make a temporary table")))?;
        if let Some(found) = &found {
            let names = ddl::list(found.columns.iter().map(|c| c.name.as_str()));
            let fill = format!("INSERT INTO {copy} ({names}) SELECT {names} FROM {from}");
            crash::at(Point::Temporary, || {
                db.execute(&fill).map_err(|failure| match failure.code() {
                    code::DUPLICATE_KEY => ddl::no_unique_key(name, failure),
                    _ => to("copy the table for the rehearsal")(failure),
                })
            })?;
        }
        let created = found.is_none();
        self.copy = Some((name.clone(), copy.clone(), shape.pipeline.clone()));
        Ok(Place { name: copy, created, replaces })
    }
}

impl MysqlSession {
    /// A session that keeps nothing. It reads the state and begins no transaction: a survey may take long.
    pub(crate) fn rehearse(destination: MysqlDestination, db: Db, pipeline: &str, stop: &Stop) -> Result<Self> {
        let state = match state::present(&db)? {
            true => state::read(&db, pipeline)?.unwrap_or_default(),
            false => Default::default(),
        };
        Ok(MysqlSession {
            destination,
            db,
            lock: None,
            pipeline: pipeline.to_owned(),
            state,
            fresh: None,
            stop: stop.clone(),
            made: None,
            beside: None,
            rehearsed: Some(Rehearsed::default()),
        })
    }

    /// Begins the transaction of which every chunk is a part, with what opening a session would have written.
    pub(crate) fn begin_rehearsal(&mut self) -> Result<()> {
        let Some(rehearsed) = self.rehearsed.as_mut().filter(|r| !r.begun) else { return Ok(()) };
        // For all of it, and before anything else is locked: who has the turn waits for nothing that this one holds.
        Turn::take(&self.db, &self.pipeline, &self.stop)?.keep();
        state::create_temporary(&self.db)?;
        self.db.execute("START TRANSACTION").map_err(to("begin a write transaction"))?;
        rehearsed.begun = true;
        let found = state::read(&self.db, &self.pipeline)?.unwrap_or_default();
        if found != self.state {
            return Err(Error::new(Code::Busy, format!("a run of pipeline {:?} came in between", self.pipeline))
                .state("nothing was written; the other run goes on")
                .help("once more, and the plan begins where that run leaves off"));
        }
        self.state.token = state::raise_token(&self.db, &self.pipeline)?;
        Ok(())
    }
}

impl Rehearsal for MysqlSession {
    fn samples(&self, limit: usize) -> Result<Vec<Sample>> {
        let Some((table, copy, pipeline)) = self.rehearsed.as_ref().and_then(|r| r.copy.as_ref()) else {
            return Ok(Vec::new());
        };
        if limit == 0 {
            return Ok(Vec::new());
        }
        differences::within(&self.db, table, copy, pipeline, limit)
    }
}
