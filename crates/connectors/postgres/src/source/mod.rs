//! PostgreSQL as a source: a table, a view or a query, read in one snapshot by `COPY` in binary form.

mod bad;
mod block;
mod catalog;
mod changes;
mod columns;
mod decode;
pub(crate) mod failure;
mod horizon;
mod parse;
mod range;
mod read;
mod relation;
mod snapshot;

use crate::{address::Address, interrupt::Interrupt, link::Db};
pub use catalog::catalog;
use floodmark_connect::{
    BadRow, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Glance, Glimpse},
};
use floodmark_core::{Result, Value, pipeline::Relation, url::ConnectionUrl};
use read::Reading;
use snapshot::Snapshot;
use std::sync::{Arc, Mutex, PoisonError};

/// A table, view or query of a PostgreSQL database.
pub struct PostgresSource {
    address: Address,
    relation: Relation,
    /// A connection that waits for its next use.
    idle: Mutex<Option<Db>>,
    /// What the last survey saw.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

impl PostgresSource {
    /// Nothing is connected to yet.
    pub fn new(url: &ConnectionUrl, relation: Relation) -> Result<Self> {
        let address = Address::parse(url, &|name| std::env::var(name).ok())?;
        Ok(PostgresSource { address, relation, idle: Mutex::default(), snapshot: Mutex::default() })
    }

    /// A connection outside a transaction: the one that waits, where it is still there.
    fn connect(&self) -> Result<Db> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        idle.filter(|db| !db.is_closed()).map_or_else(|| snapshot::connect(&self.address), Ok)
    }

    fn keep(&self, db: Db) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(db);
    }

    /// A snapshot of this moment, and the horizon of a cursor before it.
    fn open(&self, cursor: Option<&str>, stop: &Stop) -> Result<(Snapshot, Option<Value>)> {
        let db = self.connect()?;
        let watched = Interrupt::start(&self.address, db.cancel(), stop);
        let opened = Snapshot::open(db, &self.relation, cursor, stop);
        drop(watched);
        opened.map_err(|error| stop.check().err().unwrap_or(error))
    }

    /// The snapshot of the last survey; one of this moment where there was none.
    fn surveyed(&self, stop: &Stop) -> Result<Arc<Snapshot>> {
        let mut kept = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = &*kept {
            return Ok(Arc::clone(snapshot));
        }
        let (snapshot, _) = self.open(None, stop)?;
        Ok(Arc::clone(kept.insert(Arc::new(snapshot))))
    }
}

impl Source for PostgresSource {
    fn slices(&self) -> Result<Vec<Slice>> {
        let db = self.connect()?;
        let name = relation::find(&db, &self.relation)?.name;
        self.keep(db);
        Ok(vec![Slice { path: name.clone().into(), name, size: 0, modified: 0 }])
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, _: &Stop) -> Result<Glance> {
        let db = self.connect()?;
        let columns = snapshot::columns(&db, &relation::find(&db, &self.relation)?)?;
        self.keep(db);
        let schema = columns::schema(&columns, &request.pinned);
        // Whether there is a row a view or a query may take long to find out.
        let glimpse = Glimpse { schema: Arc::new(schema.clone()), whole: true, rows: true };
        Ok(Glance { schema, whole: true, slices: slices.iter().map(|_| glimpse.clone()).collect() })
    }

    fn first_bad(&self, _: &Slice, _: &ReadPlan, _: &Stop) -> Result<Vec<BadRow>> {
        Ok(Vec::new())
    }

    fn survey(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Survey> {
        // The snapshot before is let go first, with all it holds up on the server.
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let (snapshot, horizon) = self.open(request.cursor.as_deref(), stop)?;
        let schema = columns::schema(&snapshot.columns, &request.pinned);
        let rows = snapshot.found.estimate.max(1);
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
        Ok(Survey {
            slices: slices.iter().map(|_| (rows, 0)).collect(),
            columns: slices.iter().map(|_| Arc::new(schema.clone())).collect(),
            schema,
            horizon,
            held: None,
        })
    }

    fn read(&self, _: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let snapshot = self.surveyed(stop)?;
        let wanted = columns::wanted(&snapshot.columns, &plan.schema);
        let mut select = format!("SELECT {} FROM {}", columns::list(&wanted), snapshot.found.from);
        let condition = match &plan.range {
            None => None,
            Some(range) if changes::counts(&self.relation, &range.column) => {
                changes::condition(range.bounds.from.as_ref(), snapshot.next)?
            }
            Some(range) => range::condition(&snapshot.columns, range, snapshot.utf8),
        };
        if let Some(condition) = condition {
            select.push_str(" WHERE ");
            select.push_str(&condition);
        }
        let (address, stop, skip) = (self.address.clone(), stop.clone(), plan.skip_rows);
        Ok(Box::new(Reading { snapshot, address, wanted, select, skip, stop }.start()?))
    }
}
