//! A connection: how it is set up, and the few calls that everything here is made of.

use crate::{
    address::{Address, SslMode},
    failure::{Role, not_begun, to},
    tls,
    tuples::{self, Reader, Received, Writer},
};
use bytes::Bytes;
use floodmark_core::{Code, Error, Result};
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{CancelToken, Client, Config, Statement};
use tokio_postgres::{NoTls, Row, types::ToSql};

/// What a statement is given.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How long a server may take to answer the first word, unless the URL says otherwise.
const CONNECT: Duration = Duration::from_secs(15);

/// How what is asked is meant, whatever the server or the user set up.
const FORMS: [(&str, &str); 4] = [
    // Texts that a cast makes of values read back the same everywhere.
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    // Rows are looked up by their key, a few among many: on a disk that turns, which the server's own figure is for, reading
    // all of a table would be quicker.
    ("random_page_cost", "1.1"),
];

/// How long the server waits for what. A client that is killed must let go at once: the server looks for it also while a
/// statement runs, and on a network that swallows packets it gives up when the client does. A lock of another program is
/// waited for no longer than a person would. The URL's `options` may say otherwise.
fn limits(address: &Address) -> [(&'static str, String); 8] {
    [
        ("client_connection_check_interval", "100ms".to_owned()),
        ("tcp_keepalives_idle", address.keepalives_idle.as_secs().to_string()),
        ("tcp_keepalives_interval", address.keepalives_interval.as_secs().to_string()),
        ("tcp_keepalives_count", address.keepalives_count.to_string()),
        ("tcp_user_timeout", address.user_timeout.as_millis().to_string()),
        ("statement_timeout", "0".to_owned()),
        ("lock_timeout", "60s".to_owned()),
        ("idle_in_transaction_session_timeout", "15min".to_owned()),
    ]
}

/// How long a connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What carries the bytes of a connection, and is to be asked again and again.
type Carrier = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// A connection to one server. What it does is done when the call returns, on the caller's thread.
pub(crate) struct Db {
    runtime: Runtime,
    /// Nothing once the connection is being closed.
    client: Option<Client>,
    /// Nothing once the connection is gone.
    carrier: RefCell<Option<Carrier>>,
}

impl Db {
    /// Connects to the first server that answers. `application` is shown to whoever looks at the server's sessions.
    pub(crate) fn connect(address: &Address, application: &str) -> Result<Db> {
        Db::connect_to(address, application, Role::Destination)
    }

    /// The same for a server in any role.
    pub(crate) fn connect_to(address: &Address, application: &str, role: Role) -> Result<Db> {
        let runtime = runtime()?;
        let (client, carrier) = match address.mode {
            SslMode::Allow => connect(&runtime, address, SslMode::Disable, application, role)
                .or_else(|_| connect(&runtime, address, SslMode::Require, application, role)),
            mode => connect(&runtime, address, mode, application, role),
        }?;
        let db = Db { runtime, client: Some(client), carrier: RefCell::new(Some(carrier)) };
        db.set_up(address, role)?;
        Ok(db)
    }

    fn set_up(&self, address: &Address, role: Role) -> Result<()> {
        let options = address.options.as_deref().unwrap_or_default();
        let limits = limits(address).into_iter().filter(|(name, _)| !options.contains(name));
        for (name, value) in limits.chain(FORMS.map(|(name, value)| (name, value.to_owned()))) {
            let set = format!("SELECT set_config('{name}', '{value}', false)");
            match self.done(self.client().simple_query(&set)) {
                // Every one of these may be missing, or be out of a user's reach, on some server; loads are right without.
                Err(error) if error.as_db_error().is_none() => return Err(role.failed("set up the connection", error)),
                _ => {}
            }
        }
        // Numbers of a double are written in full, and text is what it says: both are the default since long.
        self.execute_batch("SET extra_float_digits = 1; SET standard_conforming_strings = on")
            .map_err(|error| role.failed("set up the connection", error))
    }

    #[expect(clippy::expect_used, reason = "only `drop` takes the client away")]
    fn client(&self) -> &Client {
        self.client.as_ref().expect("a connection that is not being closed")
    }

    /// Waits for the work, and carries bytes meanwhile.
    pub(crate) fn done<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        let mut work = pin!(work);
        self.runtime.block_on(poll_fn(|cx| {
            // What has come already needs no look at the network.
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.carry(cx)?;
            work.as_mut().poll(cx)
        }))
    }

    /// Carries bytes as far as that goes without waiting.
    fn carry(&self, cx: &mut Context<'_>) -> Result<(), tokio_postgres::Error> {
        let mut carrier = self.carrier.borrow_mut();
        let Some(Poll::Ready(ended)) = carrier.as_mut().map(|carrier| carrier.as_mut().poll(cx)) else { return Ok(()) };
        *carrier = None;
        ended
    }

    /// Statements without parameters.
    pub(crate) fn execute_batch(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.done(self.client().batch_execute(sql))
    }

    /// One statement; how many rows it met.
    pub(crate) fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, tokio_postgres::Error> {
        self.done(self.client().execute(sql, parameters))
    }

    /// The rows of a query.
    pub(crate) fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.done(self.client().query(sql, parameters))
    }

    /// The one row of a query.
    pub(crate) fn query_one(&self, sql: &str, parameters: Parameters<'_>) -> Result<Row, tokio_postgres::Error> {
        self.done(self.client().query_one(sql, parameters))
    }

    /// The row of a query that has one at most.
    pub(crate) fn query_opt(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        self.done(self.client().query_opt(sql, parameters))
    }

    /// Sends rows by `COPY … FROM STDIN (FORMAT binary)`; `feed` may use nothing else of this connection meanwhile.
    /// Returns how many the server took.
    pub(crate) fn copy_in(&self, sql: &str, feed: impl FnOnce(&mut Writer<'_>) -> Result<()>) -> Result<u64> {
        let sink = self.done(self.client().copy_in::<_, Bytes>(sql)).map_err(to("send rows"))?;
        let mut writer = Writer::new(self, sink);
        feed(&mut writer)?;
        writer.finish()
    }

    /// Takes rows from `COPY … TO STDOUT (FORMAT binary)`; `take` may use nothing else of this connection meanwhile.
    pub(crate) fn copy_out(&self, sql: &str, mut take: impl FnMut(&tuples::Tuple) -> Result<()>) -> Result<()> {
        let mut reader = Reader::new(self.stream_out(sql).map_err(to("read rows"))?)?;
        while let Some(tuple) = reader.next()? {
            take(tuple)?;
        }
        Ok(())
    }

    /// What `COPY … TO STDOUT` sends, byte for byte. Nothing else of this connection may be used before its end.
    pub(crate) fn stream_out(&self, sql: &str) -> Result<Received<'_>, tokio_postgres::Error> {
        Ok(Received::new(self, self.done(self.client().copy_out(sql))?))
    }

    /// The columns a statement would give, without running it.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        self.done(self.client().prepare(sql))
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        let answer = self.done(async { Ok(timeout(Duration::from_secs(5), self.client().check_connection()).await) });
        !matches!(answer, Ok(Ok(Ok(()))))
    }

    /// What stops a statement that is under way, from another thread.
    pub(crate) fn cancel(&self) -> CancelToken {
        self.client().cancel_token()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // The server is told, so that it need not find out by itself.
        self.client = None;
        if let Some(carrier) = self.carrier.get_mut().take() {
            let _ = self.runtime.block_on(async { timeout(GOODBYE, carrier).await });
        }
    }
}

/// What waits for the network, on the thread that calls it.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal("what waits for the network cannot be set up").cause(error))
}

fn connect(
    runtime: &Runtime,
    address: &Address,
    mode: SslMode,
    application: &str,
    role: Role,
) -> Result<(Client, Carrier)> {
    let mut refused = None;
    let limit = address.timeout.unwrap_or(CONNECT);
    for server in &address.servers {
        let mut config = Config::new();
        config
            .host(&server.host)
            .port(server.port)
            .user(&address.user)
            .dbname(&address.database)
            .application_name(address.application.as_deref().unwrap_or(application))
            .connect_timeout(limit)
            .keepalives(address.keepalives)
            .keepalives_idle(address.keepalives_idle)
            .keepalives_interval(address.keepalives_interval)
            .keepalives_retries(address.keepalives_count)
            .tcp_user_timeout(address.user_timeout);
        if let Some(options) = &address.options {
            config.options(options);
        }
        if let Some(password) = &server.password {
            config.password(password);
        }
        // Through a socket there is no TLS, whatever the mode.
        let mode = if server.is_socket() { SslMode::Disable } else { mode };
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer | SslMode::Allow => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        // A server can take a connection and never say a word: of that the driver's own limit knows nothing.
        let connected: Result<Result<(Client, Carrier), _>, _> = match mode {
            SslMode::Disable => runtime
                .block_on(async { timeout(limit, config.connect(NoTls)).await })
                .map(|answer| answer.map(|(client, carrier)| (client, Box::pin(carrier) as Carrier))),
            _ => {
                let connecting = config.connect(tls::connector(address)?);
                runtime
                    .block_on(async { timeout(limit, connecting).await })
                    .map(|answer| answer.map(|(client, carrier)| (client, Box::pin(carrier) as Carrier)))
            }
        };
        let doing = format!("connect to {}:{}", server.host, server.port);
        let error = match connected {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => role.failed(&doing, error),
            Err(_) => role.silent(&doing, limit),
        };
        refused.get_or_insert(error);
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
        db.execute_batch(sql).map_err(not_begun)?;
        Ok(Step { db, within, open: true })
    }

    pub(crate) fn commit(mut self) -> Result<(), tokio_postgres::Error> {
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
