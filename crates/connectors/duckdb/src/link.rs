//! A connection: how it is set up, and the few calls that everything here is made of.

use crate::{
    failure::to,
    instance::Instance,
    raw::{Appender, Connection, Failure, Kind, Listed, Parameter, Rows},
    tuples::{Tuple, Writer},
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use chrono::{DateTime, Utc};
use floodmark_core::{DataType, Result};
use std::sync::Arc;

/// How what is asked is meant, whatever the user set up: texts that a cast makes of values read back the same everywhere.
const FORMS: &str = "SET TimeZone = 'UTC'";

/// What a statement is given.
pub(crate) type Parameters<'a> = &'a [&'a dyn Given];

/// A connection to a database. What it does is done when the call returns, on the caller's thread.
#[derive(Debug)]
pub(crate) struct Db {
    // Before the instance: it goes first.
    connection: Arc<Connection>,
    pub(crate) instance: Arc<Instance>,
}

impl Db {
    pub(crate) fn connect(instance: &Arc<Instance>) -> Result<Db> {
        let connection = instance.connect().map_err(to("connect to the database"))?;
        let db = Db { connection: Arc::new(connection), instance: instance.clone() };
        // Without the extension that knows time zones there is UTC alone.
        let _ = db.execute_batch(FORMS);
        Ok(db)
    }

    /// What whoever finds a lock taken is told of its holder.
    pub(crate) fn holder(&self, of: Option<&str>) -> String {
        let of = of.map(|of| format!(" for {of}")).unwrap_or_default();
        format!("process {}{of}", std::process::id())
    }

    /// What ends a statement that is under way, from another thread.
    pub(crate) fn interrupts(&self) -> Arc<Connection> {
        self.connection.clone()
    }

    /// Notes that DuckDB gave the database up.
    fn noted<T>(&self, done: Result<T, Failure>) -> Result<T, Failure> {
        if done.as_ref().is_err_and(|failure| failure.kind == Kind::Fatal) {
            self.instance.give_up();
        }
        done
    }

    /// Statements without parameters.
    pub(crate) fn execute_batch(&self, sql: &str) -> Result<(), Failure> {
        self.noted(self.connection.run(sql))
    }

    /// One statement; how many rows it met.
    pub(crate) fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        self.run(sql, parameters, false).map(|mut rows| rows.changed())
    }

    fn run(&self, sql: &str, parameters: Parameters<'_>, streamed: bool) -> Result<Rows, Failure> {
        let parameters: Vec<Parameter> = parameters.iter().map(|parameter| parameter.given()).collect();
        self.noted(self.connection.execute(sql, &parameters, streamed))
    }

    /// The rows of a query.
    pub(crate) fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let mut rows = self.run(sql, parameters, false)?;
        let mut out = Vec::new();
        while let Some(batch) = rows.next()? {
            let batch = Arc::new(batch);
            out.extend((0..batch.num_rows()).map(|at| Row { batch: batch.clone(), at }));
        }
        Ok(out)
    }

    /// The one row of a query.
    pub(crate) fn query_one(&self, sql: &str, parameters: Parameters<'_>) -> Result<Row, Failure> {
        self.query_opt(sql, parameters)?.ok_or_else(|| Failure::of(Kind::Other, "a query gave no row"))
    }

    /// The row of a query that has one at most.
    pub(crate) fn query_opt(&self, sql: &str, parameters: Parameters<'_>) -> Result<Option<Row>, Failure> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// The rows of a query, in columns.
    pub(crate) fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, Failure> {
        let mut rows = self.run(sql, &[], false)?;
        std::iter::from_fn(|| rows.next().transpose()).collect()
    }

    /// The rows of a query, as they are worked out. Nothing else of this connection may be used before their end.
    pub(crate) fn stream(&self, sql: &str) -> Result<Rows, Failure> {
        self.run(sql, &[], true)
    }

    /// The names of the columns a statement would give, without running it.
    pub(crate) fn describe(&self, sql: &str) -> Result<Vec<String>, Failure> {
        self.connection.describe(sql)
    }

    /// Sends rows into a table, these columns of it; returns how many went in.
    pub(crate) fn copy_in(
        &self,
        into: &Into<'_>,
        columns: &[(&str, DataType)],
        feed: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Result<u64> {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let appender = self.appender(into, &names).map_err(to("take rows"))?;
        let mut writer = Writer::new(appender, columns.iter().map(|(_, data_type)| *data_type).collect());
        feed(&mut writer)?;
        writer.finish()
    }

    fn appender(&self, into: &Into<'_>, names: &[&str]) -> Result<Appender, Failure> {
        match into {
            Into::Temporary(table) => self.connection.appender(Some("temp"), "main", table, names),
            Into::Table { catalog, schema, table } => self.connection.appender(Some(catalog), schema, table, names),
        }
    }

    /// Takes the rows of a query, in the order in which they come.
    pub(crate) fn copy_out(&self, sql: &str, mut take: impl FnMut(&Tuple<'_>) -> Result<()>) -> Result<()> {
        let fail = to("read rows");
        let mut rows = self.stream(sql).map_err(&fail)?;
        while let Some(batch) = rows.next().map_err(&fail)? {
            crate::tuples::each(&batch, &mut take)?;
        }
        Ok(())
    }
}

/// Where rows go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Into<'a> {
    Temporary(&'a str),
    Table { catalog: &'a str, schema: &'a str, table: &'a str },
}

/// A row of a query.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    batch: Arc<RecordBatch>,
    at: usize,
}

impl Row {
    /// A value.
    pub(crate) fn try_get<T: Taken>(&self, column: usize) -> Result<T, Failure> {
        let array = self.batch.columns().get(column).ok_or_else(|| Failure::of(Kind::Other, "no such column"))?;
        T::take(array, self.at).ok_or_else(|| Failure::of(Kind::Other, format!("column {column} holds something else")))
    }
}

/// What can be taken out of a row.
pub(crate) trait Taken: Sized {
    fn take(array: &dyn Array, row: usize) -> Option<Self>;
}

impl<T: Taken> Taken for Option<T> {
    fn take(array: &dyn Array, row: usize) -> Option<Self> {
        if array.is_null(row) { Some(None) } else { T::take(array, row).map(Some) }
    }
}

macro_rules! taken {
    ($($of:ty, $array:ident, $row:ident => $value:expr;)*) => {$(
        impl Taken for $of {
            fn take($array: &dyn Array, $row: usize) -> Option<Self> {
                if $array.is_null($row) { None } else { $value }
            }
        }
    )*};
}

taken! {
    bool, array, row => array.as_boolean_opt().map(|a| a.value(row));
    i64, array, row => array.as_primitive_opt::<Int64Type>().map(|a| a.value(row));
    String, array, row => array.as_string_opt::<i32>().map(|a| a.value(row).to_owned());
    Vec<u8>, array, row => array.as_binary_opt::<i32>().map(|a| a.value(row).to_vec());
    DateTime<Utc>, array, row => {
        array.as_primitive_opt::<TimestampMicrosecondType>().and_then(|a| DateTime::from_timestamp_micros(a.value(row)))
    };
}

/// What can be given to a statement.
pub(crate) trait Given {
    fn given(&self) -> Parameter;
    /// Of which kind a list of these is.
    fn listed() -> Listed
    where
        Self: Sized;
}

macro_rules! given {
    ($($of:ty, $listed:ident, $value:ident => $parameter:expr;)*) => {$(
        impl Given for $of {
            fn given(&self) -> Parameter {
                let $value = self;
                $parameter
            }
            fn listed() -> Listed {
                Listed::$listed
            }
        }
    )*};
}

given! {
    bool, Bool, value => Parameter::Bool(*value);
    i64, Int, value => Parameter::Int(*value);
    String, Text, value => Parameter::Text(value.clone());
    &str, Text, value => Parameter::Text((*value).to_owned());
    &[u8], Bytes, value => Parameter::Bytes(value.to_vec());
    Vec<u8>, Bytes, value => Parameter::Bytes(value.clone());
    DateTime<Utc>, Instant, value => Parameter::Instant(value.timestamp_micros());
}

impl<T: Given> Given for Option<T> {
    fn given(&self) -> Parameter {
        self.as_ref().map_or(Parameter::Null, Given::given)
    }
    fn listed() -> Listed {
        T::listed()
    }
}

impl Given for &String {
    fn given(&self) -> Parameter {
        Parameter::Text((*self).clone())
    }
    fn listed() -> Listed {
        Listed::Text
    }
}

/// Values for `unnest`.
pub(crate) struct List<'a, T>(pub(crate) &'a [T]);

impl<T: Given> Given for List<'_, T> {
    fn given(&self) -> Parameter {
        Parameter::List(T::listed(), self.0.iter().map(Given::given).collect())
    }
    fn listed() -> Listed {
        T::listed()
    }
}

/// A transaction. Dropped without a commit it is rolled back.
pub(crate) struct Step<'db> {
    db: &'db Db,
    /// It is a part of a rehearsal, which ends by itself.
    within: bool,
    open: bool,
}

impl<'db> Step<'db> {
    /// `within`: a transaction is open already, and is not ended by this.
    pub(crate) fn begin(db: &'db Db, within: bool) -> Result<Step<'db>> {
        if !within {
            db.execute_batch("BEGIN TRANSACTION").map_err(to("begin a write transaction"))?;
        }
        Ok(Step { db, within, open: true })
    }

    /// Ends it. Where DuckDB gave the database up meanwhile ([`Kind::Fatal`]), what the file says when it is opened again is what
    /// was committed.
    pub(crate) fn commit(mut self) -> Result<(), Failure> {
        self.open = !self.within;
        if self.within {
            return Ok(());
        }
        // After a statement that failed DuckDB takes COMMIT for ROLLBACK, and says nothing of it. Any other statement fails.
        self.db.execute_batch("SELECT 1")?;
        self.db.execute_batch("COMMIT")?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.open && !self.within {
            // One that could not be committed is gone already, unless the commit was never begun.
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DuckDB takes the COMMIT for a ROLLBACK then, without a word.
    #[test]
    fn after_a_statement_that_failed_nothing_is_committed_and_that_is_told() {
        let db = Db::connect(&Instance::in_memory(&[]).unwrap()).unwrap();
        db.execute_batch("CREATE TABLE t (n BIGINT)").unwrap();
        let step = Step::begin(&db, false).unwrap();
        db.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        db.execute_batch("INSERT INTO t SELECT error('no')").unwrap_err();
        step.commit().unwrap_err();
        let step = Step::begin(&db, false).unwrap();
        db.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        step.commit().unwrap();
        let rows = db.query("SELECT n FROM t", &[]).unwrap();
        assert_eq!(rows.iter().map(|row| row.try_get::<i64>(0).unwrap()).collect::<Vec<_>>(), [2]);
    }
}
