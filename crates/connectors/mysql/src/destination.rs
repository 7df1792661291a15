//! Opening a database: where it is, and its lock.

use crate::{
    address::Address,
    codec, copy,
    ddl::{self, Name},
    differences,
    failure::{NO_WRITES, to},
    ledger::MysqlLedger,
    link::Db,
    literal,
    lock::{self, Lock, Name as LockName},
    session::MysqlSession,
    state,
};
use floodmark_connect::{
    Capabilities, Destination, Differences, Rehearsal, Session, Stop,
    crash::{self, Point},
    destination::Ledger,
};
use floodmark_core::{
    Code, Error, Result,
    fingerprint::{Fingerprint, RowHasher},
    pipeline::Pipeline,
    url::ConnectionUrl,
};
use std::{path::Path, time::Duration};

/// A MySQL or MariaDB database by URL: `mysql://user@host:3306/database?ssl-mode=verify_identity`.
#[derive(Clone)]
pub struct MysqlDestination {
    pub(crate) address: Address,
}

impl MysqlDestination {
    /// Nothing is connected to yet.
    pub fn new(url: &ConnectionUrl) -> Result<Self> {
        Ok(MysqlDestination { address: Address::parse(url, &|name| std::env::var(name).ok())? })
    }

    /// A connection for what is done outside a run.
    pub(crate) fn connect(&self) -> Result<Db> {
        Db::connect(&self.address, "floodmark")
    }

    /// A connection for a run, and the lock that what it writes stands under.
    fn hold(&self, name: LockName<'_>, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<(Db, Lock)> {
        let db = crash::at(Point::OpenDatabase, || Db::connect(&self.address, &format!("floodmark run {run}")))?;
        state::present(&db)?;
        let lock = Lock::acquire(&db, name, Some(run), wait, stop)?;
        Ok((db, lock))
    }
}

impl Destination for MysqlDestination {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            decimal: true,
            nan: false,
            case_sensitive: false,
            nanoseconds: false,
            zero_character: true,
            max_columns: ddl::MAX_COLUMNS,
            max_name: ddl::MAX_NAME,
            transactional_schema: false,
        }
    }

    fn exists(&self) -> bool {
        // A run makes tables, not databases.
        true
    }

    fn probe(&self) -> Result<()> {
        let db = self.connect()?;
        state::present(&db)?;
        let row = db.query_one("SELECT @@global.read_only").map_err(to("read the server's mode"))?;
        if row.number(0) == Some(1) {
            return Err(Error::new(Code::DestinationOpen, "the server takes no writes")
                .state("nothing was written")
                .help(NO_WRITES));
        }
        Ok(())
    }

    fn open(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let held = self.hold(LockName::Pipeline(pipeline), run, wait, stop)?;
        let opened = MysqlSession::open(self.clone(), held, pipeline, stop);
        Ok(Box::new(opened.map_err(|error| error.or_state("nothing was written"))?))
    }

    fn open_beside(&self, pipeline: &str, run: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Session>> {
        let held = self.hold(LockName::Beside(pipeline), run, wait, stop)?;
        Ok(Box::new(MysqlSession::open_beside(self.clone(), held, pipeline, stop)?))
    }

    fn rehearse(&self, pipeline: &str, wait: Option<Duration>, stop: &Stop) -> Result<Box<dyn Rehearsal>> {
        let db = Db::connect(&self.address, "floodmark plan")?;
        state::present(&db)?;
        lock::look(&db, pipeline, wait, stop)?;
        Ok(Box::new(MysqlSession::rehearse(self.clone(), db, pipeline, stop)?))
    }

    fn ledger(&self) -> Result<Box<dyn Ledger>> {
        Ok(Box::new(MysqlLedger { db: self.connect()?, destination: self.clone() }))
    }

    fn fingerprint(&self, table: &str) -> Result<Fingerprint> {
        fingerprint(&self.connect()?, table)
    }

    fn copy(&self, folder: &Path, without: &Pipeline, stop: &Stop) -> Result<ConnectionUrl> {
        copy::copy(self, folder, without, stop)
    }

    fn sweep(&self) {
        if let Err(error) = self.connect().and_then(|db| copy::sweep(&db)) {
            tracing::warn!(%error, "databases of earlier copies are left on the server");
        }
    }

    fn differences(&self, other: &ConnectionUrl, pipeline: &Pipeline, limit: usize) -> Result<Differences> {
        differences::between(&self.connect()?, &MysqlDestination::new(other)?.connect()?, pipeline, limit)
    }
}

/// Hashes a whole table, columns in the order of their names so that the physical order does not count.
fn fingerprint(db: &Db, table: &str) -> Result<Fingerprint> {
    let name = Name::resolve(db, table)?;
    let Some(mut found) = ddl::table(db, &name)? else {
        return Err(Error::new(Code::TableShape, format!("there is no table {table:?}"))
            .help("one without a database before its name is looked for in the database that the URL names"));
    };
    found.columns.sort_by(|a, b| a.name.cmp(&b.name));
    let columns: Vec<String> = found.columns.iter().map(|c| literal::name(&c.name)).collect();
    let (mut print, mut hasher) = (Fingerprint::default(), RowHasher::default());
    let mut rows = db.stream(&format!("SELECT {} FROM {name}", columns.join(", "))).map_err(to("read rows"))?;
    while let Some(row) = rows.next().map_err(to("read rows"))? {
        hasher.start();
        for (at, column) in found.columns.iter().enumerate() {
            hasher.cell(&codec::value(row.get(at), column.data_type));
        }
        print.add(hasher.finish());
    }
    Ok(print)
}
