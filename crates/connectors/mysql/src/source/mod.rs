//! MySQL and MariaDB as a source: a table, a view or a query, read in one consistent snapshot, row by row as the server sends
//! them. One connection sees that snapshot, so that several readings go one after the other.

mod bad;
mod catalog;
mod cells;
mod columns;
mod digests;
mod failure;
mod horizon;
mod names;
mod range;
mod read;
mod relation;
mod sessions;
mod snapshot;

pub use catalog::catalog;
pub use relation::filtered;

use crate::{address::Address, interrupt::Interrupt, link::Db};
use columns::{Kind, Wanted};
use failure::to;
use floodmark_connect::{
    BadRow, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    cells::ColumnBuilder,
    digests::Digests,
    source::{Extent, Glance, Glimpse},
};
use floodmark_core::{Code, DataType, Error, Result, Schema, Value, pipeline::Relation, url::ConnectionUrl};
use horizon::Horizon;
use read::Reading;
use snapshot::Snapshot;
use std::sync::{Arc, Mutex, PoisonError};

/// A table, view or query of a MySQL or MariaDB database.
pub struct MysqlSource {
    address: Address,
    relation: Relation,
    /// A connection that waits for its next use.
    idle: Mutex<Option<Db>>,
    /// What the last survey saw.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

impl MysqlSource {
    /// Nothing is connected to yet.
    pub fn new(url: &ConnectionUrl, relation: Relation) -> Result<Self> {
        let address = Address::parse(url, &|name| std::env::var(name).ok())?;
        Ok(MysqlSource { address, relation, idle: Mutex::default(), snapshot: Mutex::default() })
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
    fn open(&self, cursor: Option<&str>, stop: &Stop) -> Result<(Snapshot, Option<Horizon>)> {
        let db = self.connect()?;
        let watched = Interrupt::start(&self.address, db.server.id, stop);
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
        column.zip(planned).and_then(|(column, planned)| columns::order(column, planned)).ok_or_else(|| {
            let wanted = planned.map_or_else(|| "its values".to_owned(), |planned| format!("values of type {planned}"));
            Error::new(Code::Unsafe, format!("the server cannot sort column {name:?} as {wanted}"))
                .state("nothing was written")
                .help("give the column that type in the source, with `query: SELECT …`")
        })
    }

    /// The lowest and the highest value of a column.
    fn extent(&self, db: &Db, name: &str, data_type: DataType) -> Result<Option<Extent>> {
        // Of bits the server makes a number.
        let column = self.columns.iter().find(|c| c.name == name).filter(|c| c.kind != Kind::Bits);
        let Some((column, order)) = column.and_then(|c| Some((c, columns::order(c, data_type)?))) else {
            return Ok(None);
        };
        let quoted = format!("t.{}", names::quote(name));
        let odd = range::odd(column, &quoted);
        let condition = if odd.is_empty() { String::new() } else { format!(" WHERE NOT (FALSE{odd})") };
        let sql = format!("SELECT MIN({order}), MAX({order}) FROM {}{condition}", self.found.from);
        let row = db.query_one(&sql).map_err(to("find the lowest and the highest value of a column"))?;
        let (Some(low), Some(high)) = (row.bytes(0), row.bytes(1)) else { return Ok(Some(None)) };
        let wanted = Wanted { name: name.to_owned(), kind: column.kind, data_type };
        let (mut built, mut scratch) = (ColumnBuilder::new(data_type)?, Vec::new());
        for end in [low, high] {
            if !cells::read(&wanted, end, &mut scratch).is_some_and(|cell| built.append(cell)) {
                return Ok(None);
            }
        }
        let array = built.finish();
        Ok(Some(Some((Value::from_array(&array, 0, data_type)?, Value::from_array(&array, 1, data_type)?))))
    }
}

impl Source for MysqlSource {
    fn slices(&self, _stop: &Stop) -> Result<Vec<Slice>> {
        let db = self.connect()?;
        let name = relation::find(&db, &self.relation)?.name;
        self.keep(db);
        Ok(vec![Slice { path: name.clone().into(), name, size: 0, modified: 0, tag: None }])
    }

    fn sorts(&self) -> bool {
        true
    }

    fn divides(&self, _: &str, _: DataType, _: &Stop) -> Result<bool> {
        Ok(false)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn digests(&self) -> Option<&dyn Digests> {
        Some(self)
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, _: &Stop) -> Result<Glance> {
        let db = self.connect()?;
        let columns = columns::of(&db, &relation::find(&db, &self.relation)?.from)?;
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
        let (horizon, held) = horizon.map_or((None, None), |horizon| (Some(horizon.at), horizon.held));
        Ok(Survey {
            slices: slices.iter().map(|_| (rows, 0)).collect(),
            columns: slices.iter().map(|_| Arc::new(schema.clone())).collect(),
            schema,
            table: None,
            horizon,
            held,
        })
    }

    fn extent(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<Option<Extent>> {
        let snapshot = self.surveyed(stop)?;
        let db = snapshot.take(stop)?;
        let watched = Interrupt::start(&self.address, db.server.id, stop);
        let extent = snapshot.extent(&db, column, data_type);
        drop(watched);
        snapshot.give_back((!db.is_closed()).then_some(db));
        extent.map_err(|error| stop.check().err().unwrap_or(error))
    }

    fn read(&self, _: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let snapshot = self.surveyed(stop)?;
        let wanted = columns::wanted(&snapshot.columns, &plan.schema);
        let mut select = format!("SELECT {} FROM {}", columns::list(&wanted), snapshot.found.from);
        let range = plan.range.as_ref();
        if let Some(condition) = range.and_then(|range| range::condition(&snapshot.columns, range)) {
            select.push_str(" WHERE ");
            select.push_str(&condition);
        }
        if let Some(range) = range.filter(|_| plan.sorted) {
            select.push_str(" ORDER BY ");
            select.push_str(&snapshot.order(&range.column, &plan.schema)?);
        }
        let (address, stop, skip) = (self.address.clone(), stop.clone(), plan.skip_rows);
        Ok(Box::new(Reading { snapshot, address, wanted, select, skip, stop }.start()?))
    }
}
