//! PostgreSQL as a source: a table, a view or a query, read in one snapshot by `COPY` in binary form.

mod bad;
mod block;
mod catalog;
mod changes;
mod columns;
mod decode;
mod digests;
pub(crate) mod failure;
mod horizon;
mod parse;
mod parts;
mod queue;
mod range;
mod read;
mod relation;
mod snapshot;

use crate::{address::Address, interrupt::Interrupt, link::Db};
pub use catalog::catalog;
use columns::Kind;
use failure::to;
use floodmark_connect::{
    BadRow, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    digests::Digests,
    source::{Extent, Glance, Glimpse},
};
use floodmark_core::{Code, DataType, Error, Result, Schema, Value, pipeline::Relation, url::ConnectionUrl};
use parts::Select;
use read::Reading;
pub use relation::filtered;
use snapshot::Snapshot;
use std::sync::{Arc, Mutex, PoisonError};

/// A table, view or query of a PostgreSQL database.
pub struct PostgresSource {
    address: Address,
    relation: Relation,
    /// So many sessions read a large table.
    readers: usize,
    /// A connection that waits for its next use.
    idle: Mutex<Option<Db>>,
    /// What the last survey saw.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

impl PostgresSource {
    /// Nothing is connected to yet. `readers`: how many sessions read a large table at most.
    pub fn new(url: &ConnectionUrl, relation: Relation, readers: usize) -> Result<Self> {
        let address = Address::parse(url, &|name| std::env::var(name).ok())?;
        Ok(PostgresSource { address, relation, readers, idle: Mutex::default(), snapshot: Mutex::default() })
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

impl Snapshot {
    /// What its rows are put in order by.
    fn order(&self, name: &str, plan: &Schema) -> Result<String> {
        let column = self.columns.iter().find(|c| c.name == name);
        let planned = plan.get(name).map(|planned| planned.data_type).or(column.map(|c| c.natural));
        let order = column.zip(planned).and_then(|(column, planned)| columns::order(column, planned, self.utf8));
        order.ok_or_else(|| {
            let wanted = planned.map_or_else(|| "its values".to_owned(), |planned| format!("values of type {planned}"));
            Error::new(Code::Unsafe, format!("the server cannot sort column {name:?} as {wanted}"))
                .state("nothing was written")
                .help("give the column that type in the source, with `query: SELECT …`")
        })
    }

    /// The lowest and the highest value of a column.
    fn extent(&self, db: &Db, name: &str, data_type: DataType) -> Result<Option<Extent>> {
        let column = self.columns.iter().find(|c| c.name == name);
        let column = column.filter(|c| !matches!(c.kind, Kind::Bool | Kind::Bytes));
        let Some(order) = column.and_then(|column| columns::order(column, data_type, true)).filter(|_| self.utf8)
        else {
            return Ok(None);
        };
        let sql = format!("SELECT min({order})::text, max({order})::text FROM {}", self.found.from);
        let row = db.query_one(&sql, &[]);
        let ends: (Option<String>, Option<String>) = row
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .map_err(to("find the lowest and the highest value of a column"))?;
        let (Some(low), Some(high)) = ends else { return Ok(Some(None)) };
        Ok(Value::parse(&low, data_type).zip(Value::parse(&high, data_type)).map(Some))
    }
}

impl Source for PostgresSource {
    fn slices(&self, _stop: &Stop) -> Result<Vec<Slice>> {
        let db = self.connect()?;
        let name = relation::find(&db, &self.relation)?.name;
        self.keep(db);
        Ok(vec![Slice { path: name.clone().into(), name, size: 0, modified: 0, tag: None }])
    }

    fn sorts(&self) -> bool {
        true
    }

    fn divides(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<bool> {
        let snapshot = self.surveyed(stop)?;
        let found = snapshot.columns.iter().find(|c| c.name == column);
        let exact = found.is_some_and(|c| c.natural == data_type && range::is_exact(c.kind));
        let Some(table) = snapshot.found.table.as_ref().filter(|_| exact) else { return Ok(false) };
        self.asked(&snapshot, stop, |db| catalog::leads(db, table, column))
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn digests(&self) -> Option<&dyn Digests> {
        Some(self)
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
            table: None,
            horizon,
            held: None,
        })
    }

    fn extent(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<Option<Extent>> {
        let snapshot = self.surveyed(stop)?;
        let mut known = snapshot.extents.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = (column.to_owned(), data_type);
        if let Some(extent) = known.get(&asked) {
            return Ok(extent.clone());
        }
        let extent = self.asked(&snapshot, stop, |db| snapshot.extent(db, column, data_type))?;
        known.insert(asked, extent.clone());
        Ok(extent)
    }

    fn read(&self, _: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let snapshot = self.surveyed(stop)?;
        let wanted = columns::wanted(&snapshot.columns, &plan.schema);
        let condition = match &plan.range {
            None => None,
            Some(range) if changes::counts(&self.relation, &range.column) => {
                changes::condition(range.bounds.from.as_ref(), snapshot.next)?
            }
            Some(range) => range::condition(&snapshot.columns, range, snapshot.utf8),
        };
        let rest = match plan.range.as_ref().filter(|_| plan.sorted) {
            Some(range) => format!(" ORDER BY {}", snapshot.order(&range.column, &plan.schema)?),
            None => String::new(),
        };
        let readers = if rest.is_empty() { self.readers.max(plan.readers) } else { 1 };
        let select = Select { list: columns::list(&wanted), condition, rest, ..Select::default() };
        let (address, stop, skip) = (self.address.clone(), stop.clone(), plan.skip_rows);
        Ok(Box::new(Reading { snapshot, address, wanted, select, readers, skip, stop }.start()?))
    }
}
