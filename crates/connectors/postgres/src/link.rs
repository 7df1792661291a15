//! A connection: how it is set up, and the few calls that everything here is made of.

use crate::{
    address::{Address, SslMode},
    failure::{Failed, failed, to},
    tls,
    tuples::{self, Reader, Writer},
};
use floodmark_core::{Code, Error, Result};
use postgres::{CancelToken, Client, Config, CopyOutReader, NoTls, Row, Statement, types::ToSql};
use std::{cell::RefCell, time::Duration};

/// What a statement is given.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How long a server may take to answer the first word, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(15);

/// A client that is killed must let go at once: the server looks for it also while a statement runs, and on a network that
/// swallows packets it gives up after a minute. A lock of another program is waited for no longer than a person would.
/// Every one of these may be missing, or be out of a user's reach, on some server; loads are right without it.
const SETTINGS: [(&str, &str); 11] = [
    ("client_connection_check_interval", "100ms"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "4"),
    ("tcp_user_timeout", "60000"),
    ("statement_timeout", "0"),
    ("lock_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "15min"),
    // Texts that a cast makes of values read back the same everywhere.
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
];

/// A connection to one server.
pub(crate) struct Db {
    client: RefCell<Client>,
    cancel: CancelToken,
}

impl Db {
    /// Connects to the first server that answers. `application` is shown to whoever looks at the server's sessions.
    pub(crate) fn connect(address: &Address, application: &str) -> Result<Db> {
        Db::connect_to(address, application, failed)
    }

    /// The same; `failed` says what it is that cannot be reached.
    pub(crate) fn connect_to(address: &Address, application: &str, failed: Failed) -> Result<Db> {
        let client = match address.mode {
            SslMode::Allow => connect(address, SslMode::Disable, application, failed)
                .or_else(|_| connect(address, SslMode::Require, application, failed)),
            mode => connect(address, mode, application, failed),
        }?;
        let db = Db { cancel: client.cancel_token(), client: RefCell::new(client) };
        db.set_up(failed)?;
        Ok(db)
    }

    fn set_up(&self, failed: Failed) -> Result<()> {
        for (name, value) in SETTINGS {
            let set = format!("SELECT set_config('{name}', '{value}', false)");
            match self.client.borrow_mut().simple_query(&set) {
                Err(error) if error.as_db_error().is_none() => return Err(failed("set up the connection", error)),
                _ => {}
            }
        }
        // Numbers of a double are written in full, and text is what it says: both are the default since long.
        self.execute_batch("SET extra_float_digits = 1; SET standard_conforming_strings = on")
            .map_err(|error| failed("set up the connection", error))
    }

    /// Statements without parameters.
    pub(crate) fn execute_batch(&self, sql: &str) -> Result<(), postgres::Error> {
        self.client.borrow_mut().batch_execute(sql)
    }

    /// One statement; how many rows it met.
    pub(crate) fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, postgres::Error> {
        self.client.borrow_mut().execute(sql, parameters)
    }

    /// The rows of a query.
    pub(crate) fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, postgres::Error> {
        self.client.borrow_mut().query(sql, parameters)
    }

    /// The one row of a query.
    pub(crate) fn query_one(&self, sql: &str, parameters: Parameters<'_>) -> Result<Row, postgres::Error> {
        self.client.borrow_mut().query_one(sql, parameters)
    }

    /// The row of a query that has one at most.
    pub(crate) fn query_opt(&self, sql: &str, parameters: Parameters<'_>) -> Result<Option<Row>, postgres::Error> {
        self.client.borrow_mut().query_opt(sql, parameters)
    }

    /// Sends rows by `COPY … FROM STDIN (FORMAT binary)`; `feed` may use nothing else of this connection meanwhile.
    /// Returns how many the server took.
    pub(crate) fn copy_in(&self, sql: &str, feed: impl FnOnce(&mut Writer<'_>) -> Result<()>) -> Result<u64> {
        let mut client = self.client.borrow_mut();
        let sink = client.copy_in(sql).map_err(to("send rows"))?;
        let mut writer = Writer::new(sink);
        feed(&mut writer)?;
        writer.finish()
    }

    /// Takes rows from `COPY … TO STDOUT (FORMAT binary)`; `take` may use nothing else of this connection meanwhile.
    pub(crate) fn copy_out(&self, sql: &str, mut take: impl FnMut(&tuples::Tuple) -> Result<()>) -> Result<()> {
        let mut client = self.client.borrow_mut();
        let mut reader = Reader::new(client.copy_out(sql).map_err(to("read rows"))?)?;
        while let Some(tuple) = reader.next()? {
            take(tuple)?;
        }
        Ok(())
    }

    /// The columns a statement would give, without running it.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement, postgres::Error> {
        self.client.borrow_mut().prepare(sql)
    }

    /// Takes what `COPY … TO STDOUT` sends, byte for byte; `take` may use nothing else of this connection meanwhile.
    pub(crate) fn stream_out<T>(
        &self,
        sql: &str,
        take: impl FnOnce(&mut CopyOutReader<'_>) -> T,
    ) -> Result<T, postgres::Error> {
        let mut client = self.client.borrow_mut();
        let mut stream = client.copy_out(sql)?;
        Ok(take(&mut stream))
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.borrow_mut().is_valid(Duration::from_secs(5)).is_err()
    }

    /// What stops a statement that is under way, from another thread.
    pub(crate) fn cancel(&self) -> CancelToken {
        self.cancel.clone()
    }
}

fn connect(address: &Address, mode: SslMode, application: &str, failed: Failed) -> Result<Client> {
    let mut refused = None;
    for server in &address.servers {
        let mut config = Config::new();
        config
            .host(&server.host)
            .port(server.port)
            .user(&address.user)
            .dbname(&address.database)
            .application_name(address.application.as_deref().unwrap_or(application))
            .connect_timeout(address.timeout.unwrap_or(CONNECT))
            .keepalives(address.keepalives)
            .keepalives_idle(address.keepalives_idle.unwrap_or(Duration::from_secs(20)))
            .keepalives_interval(address.keepalives_interval.unwrap_or(Duration::from_secs(10)))
            .keepalives_retries(address.keepalives_count.unwrap_or(4))
            .tcp_user_timeout(address.user_timeout.unwrap_or(Duration::from_secs(60)));
        if let Some(options) = &address.options {
            config.options(options);
        }
        if let Some(password) = &server.password {
            config.password(password);
        }
        // Through a socket there is no TLS, whatever the mode.
        let mode = if server.is_socket() { SslMode::Disable } else { mode };
        let connected = match mode {
            SslMode::Disable => config.ssl_mode(postgres::config::SslMode::Disable).connect(NoTls),
            SslMode::Prefer | SslMode::Allow => {
                config.ssl_mode(postgres::config::SslMode::Prefer).connect(tls::connector(address)?)
            }
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                config.ssl_mode(postgres::config::SslMode::Require).connect(tls::connector(address)?)
            }
        };
        match connected {
            Ok(client) => return Ok(client),
            Err(error) => {
                let error = failed(&format!("connect to {}:{}", server.host, server.port), error);
                refused.get_or_insert(error);
            }
        }
    }
    Err(refused.unwrap_or_else(|| Error::new(Code::BadUrl, "the URL names no server")))
}

/// A transaction, or a savepoint within one. Dropped without a commit it is rolled back.
pub(crate) struct Step<'db> {
    db: &'db Db,
    within: bool,
    open: bool,
}

impl<'db> Step<'db> {
    /// `within`: a transaction is open already, and is not ended by this.
    pub(crate) fn begin(db: &'db Db, within: bool) -> Result<Step<'db>> {
        let sql = if within { "SAVEPOINT floodmark" } else { "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE" };
        db.execute_batch(sql).map_err(to("begin a write transaction"))?;
        Ok(Step { db, within, open: true })
    }

    pub(crate) fn commit(mut self) -> Result<(), postgres::Error> {
        self.open = false;
        self.db.execute_batch(if self.within { "RELEASE SAVEPOINT floodmark" } else { "COMMIT" })
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.open {
            let back =
                if self.within { "ROLLBACK TO SAVEPOINT floodmark; RELEASE SAVEPOINT floodmark" } else { "ROLLBACK" };
            // On a connection that is gone the server has rolled back already.
            let _ = self.db.execute_batch(back);
        }
    }
}
