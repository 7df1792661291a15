//! A connection: how it is set up, and the few calls that everything here is made of.

use crate::{
    ddl,
    failure::to,
    instance::Instance,
    raw::{Connection, Failure, Kind, Listed, Parameter, Rows},
    tuples::{Tuple, Writer},
};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use chrono::{DateTime, Utc};
use floodmark_core::{DataType, Error, Result};
use std::{
    fmt,
    sync::{Arc, OnceLock},
    thread,
};

/// How what is asked is meant, whatever the user set up: texts that a cast makes of values read back the same everywhere.
const FORMS: &str = "SET TimeZone = 'UTC'";

/// What a statement is given.
pub(crate) type Parameters<'a> = &'a [&'a dyn Given];

/// A connection to a database. What it does is done when the call returns, on the caller's thread.
#[derive(Debug)]
pub(crate) struct Db {
    // Before the instance: it goes first.
    connection: Arc<Connection>,
    /// Another one, once it was needed.
    aside: OnceLock<Connection>,
    pub(crate) instance: Arc<Instance>,
}

impl Db {
    pub(crate) fn connect(instance: &Arc<Instance>) -> Result<Db> {
        let connection = instance.connect().map_err(to("connect to the database"))?;
        let db = Db { connection: Arc::new(connection), aside: OnceLock::new(), instance: instance.clone() };
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
        all(self.run(sql, parameters, false)?)
    }

    /// The one row of a query.
    pub(crate) fn query_one(&self, sql: &str, parameters: Parameters<'_>) -> Result<Row, Failure> {
        one(self.run(sql, parameters, false)?)
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

    /// Sends rows into a table, these columns of it; returns how many went in. One statement takes them on a thread of its own, so
    /// the connection can do nothing else before the end: whoever brings rows asks [`Db::aside`].
    pub(crate) fn copy_in(
        &self,
        into: &Into<'_>,
        columns: &[(&str, DataType)],
        feed: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Result<u64> {
        let fail = to("take rows");
        let types: Vec<DataType> = columns.iter().map(|(_, data_type)| *data_type).collect();
        let (rows, feeder) =
            self.instance.feed(types.iter().map(|data_type| data_type.to_arrow()).collect()).map_err(&fail)?;
        let names = ddl::list(columns.iter().map(|(name, _)| *name));
        let sql = format!("INSERT INTO {into} ({names}) {}", rows.query());
        let mut writer = Writer::new(feeder, types);
        let connection = &self.connection;
        let (fed, taken) = thread::scope(|scope| {
            let take = || {
                let taken = connection.execute(&sql, &[], false).map(|mut rows| rows.changed());
                rows.close();
                taken
            };
            let taking = thread::Builder::new().name("floodmark-take".into()).spawn_scoped(scope, take);
            let taking = taking.map_err(|error| Error::internal("no thread can be started").cause(error))?;
            let fed = feed(&mut writer).and_then(|()| writer.finish());
            let taken = taking.join().map_err(|_| Error::internal("the thread that takes rows broke down"))?;
            Ok::<_, Error>((fed, taken))
        })?;
        let taken = self.noted(taken).map_err(fail);
        match (fed, taken) {
            (Err(error), Err(_)) if rows.broken_off() => Err(error),
            (_, Err(error)) | (Err(error), _) => Err(error),
            (Ok(sent), Ok(taken)) if sent == taken => Ok(taken),
            (Ok(sent), Ok(taken)) => Err(Error::internal(format!("of {sent} rows {taken} went in"))),
        }
    }

    /// Asks something that has nothing to do with what is in the database, also while this connection is taking rows.
    pub(crate) fn aside(&self, sql: &str, parameters: Parameters<'_>) -> Result<Row, Failure> {
        let connection = match self.aside.get() {
            Some(connection) => connection,
            None => {
                let new = self.instance.connect()?;
                self.aside.get_or_init(|| new)
            }
        };
        let parameters: Vec<Parameter> = parameters.iter().map(|parameter| parameter.given()).collect();
        one(self.noted(connection.execute(sql, &parameters, false))?)
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

fn all(mut rows: Rows) -> Result<Vec<Row>, Failure> {
    let mut out = Vec::new();
    while let Some(batch) = rows.next()? {
        let batch = Arc::new(batch);
        out.extend((0..batch.num_rows()).map(|at| Row { batch: batch.clone(), at }));
    }
    Ok(out)
}

fn one(rows: Rows) -> Result<Row, Failure> {
    all(rows)?.into_iter().next().ok_or_else(|| Failure::of(Kind::Other, "a query gave no row"))
}

/// Where rows go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Into<'a> {
    Temporary(&'a str),
    Table { catalog: &'a str, schema: &'a str, table: &'a str },
}

impl fmt::Display for Into<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (catalog, schema, table) = match self {
            Into::Temporary(table) => ("temp", "main", table),
            Into::Table { catalog, schema, table } => (*catalog, *schema, table),
        };
        write!(f, "{}.{}.{}", ddl::quote(catalog), ddl::quote(schema), ddl::quote(table))
    }
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
        self.db.execute("COMMIT", &[])?;
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
    use crate::tuples;

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

    const NUMBERS: [(&str, DataType); 1] = [("n", DataType::BigInt)];

    fn table(threads: &str, declared: &str) -> Db {
        let db = Db::connect(&Instance::in_memory(&[("threads", threads.to_owned())]).unwrap()).unwrap();
        db.execute_batch(&format!("CREATE TABLE t (n BIGINT {declared})")).unwrap();
        db
    }

    fn put(writer: &mut Writer, n: i64) -> Result<()> {
        tuples::put(writer.row(1)?, Some(&n.to_be_bytes()));
        Ok(())
    }

    const T: Into<'_> = Into::Table { catalog: "memory", schema: "main", table: "t" };

    #[test]
    fn rows_stay_in_their_order() {
        for threads in ["1", "4"] {
            let db = table(threads, "");
            let sent = db.copy_in(&T, &NUMBERS, |writer| (0..50_000).rev().try_for_each(|n| put(writer, n)));
            assert_eq!(sent.unwrap(), 50_000);
            let astray = "SELECT count(*) FROM t WHERE n + rowid != 49999";
            assert_eq!(db.query_one(astray, &[]).unwrap().try_get::<i64>(0).unwrap(), 0);
        }
    }

    #[test]
    fn who_brings_rows_may_give_up_and_ask_meanwhile() {
        let db = table("2", "");
        let given_up = db.copy_in(&T, &NUMBERS, |writer| {
            (0..5000).try_for_each(|n| put(writer, n))?;
            assert!(db.aside("SELECT json_valid('[NaN]')", &[]).unwrap().try_get::<bool>(0).unwrap());
            Err(Error::internal("no more of these"))
        });
        assert_eq!(given_up.unwrap_err().message(), "no more of these");
        assert_eq!(db.query_one("SELECT count(*) FROM t", &[]).unwrap().try_get::<i64>(0).unwrap(), 0);
        assert_eq!(db.copy_in(&T, &NUMBERS, |writer| put(writer, 1)).unwrap(), 1);
    }

    /// However many rows wait to be handed over.
    #[test]
    fn a_table_that_takes_no_row_says_why() {
        let db = table("2", "CHECK (n < 3000)");
        let refused = db.copy_in(&T, &NUMBERS, |writer| (0..1_000_000).try_for_each(|n| put(writer, n))).unwrap_err();
        assert_eq!(refused.code(), floodmark_core::Code::TableShape);
    }
}
