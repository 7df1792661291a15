//! A connection: how it is set up, and the few calls that everything here is made of.

use crate::{
    address::Address,
    failure::{Failed, Failure, code, failed, to},
    greet,
    wire::{Answer, Column, Done, Row, Wire},
};
use floodmark_core::{Code, Error, Result};
use std::{cell::RefCell, cell::RefMut, time::Duration};

/// What a session is made to be, first to last. A client that is killed is noticed by the end of its connection; one that is
/// gone with its network, by silence. Any of these may be unknown to some server, or out of a user's reach.
const SETTINGS: [&str; 16] = [
    "time_zone = '+00:00'",
    "autocommit = 1",
    "completion_type = 0",
    "sql_select_limit = DEFAULT",
    "sql_auto_is_null = 0",
    "sql_safe_updates = 0",
    // Locks lie on the rows that were found, and not on the room between them.
    "transaction_isolation = 'READ-COMMITTED'",
    "tx_isolation = 'READ-COMMITTED'",
    // Rows are read and made between two statements, which may take long.
    "wait_timeout = 28800",
    "net_read_timeout = 900",
    "net_write_timeout = 900",
    "idle_write_transaction_timeout = 900",
    "idle_readonly_transaction_timeout = 0",
    "idle_transaction_timeout = 0",
    "max_statement_time = 0",
    "max_execution_time = 0",
];

/// How long a lock of another program is waited for, unless the URL says otherwise: no longer than a person would.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// What there is to be locked: rows, and what a table is.
const LOCK_WAITS: [&str; 2] = ["innodb_lock_wait_timeout", "lock_wait_timeout"];

/// Text is what it says, numbers that do not fit are errors, 0 is a number like others.
const MODE: &str =
    "STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_AUTO_VALUE_ON_ZERO,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// What is known of the server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// MariaDB, and not MySQL.
    pub(crate) maria: bool,
    pub(crate) version: String,
    /// Whether `LOAD DATA LOCAL` is taken.
    pub(crate) local: bool,
    /// The most bytes of a statement.
    pub(crate) packet: usize,
    /// The connection's number.
    pub(crate) id: u64,
    /// The database the URL names.
    pub(crate) database: String,
    /// Whether the names of tables are told apart by their case.
    pub(crate) case_sensitive: bool,
}

impl Server {
    /// The collation by which texts are equal only when they are the same, blanks at the end included.
    pub(crate) fn exact(&self) -> &'static str {
        if self.maria { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }
    }
}

/// A connection to one server. What it does is done when the call returns, on the caller's thread.
pub(crate) struct Db {
    wire: RefCell<Wire>,
    pub(crate) server: Server,
}

impl Db {
    /// Connects. `application` is shown to whoever looks at the server's sessions.
    pub(crate) fn connect(address: &Address, application: &str) -> Result<Db> {
        Db::connect_to(address, application, failed)
    }

    /// The same; `failed` says what it is that cannot be reached.
    pub(crate) fn connect_to(address: &Address, application: &str, failed: Failed) -> Result<Db> {
        let doing = format!("connect to {}", address.place);
        let mut wire = Wire::over(greet::connect(address, application).map_err(|f| failed(&doing, f))?);
        let wait = address.lock_wait.unwrap_or(LOCK_WAIT).as_secs();
        let waits = LOCK_WAITS.map(|name| format!("{name} = {wait}"));
        for setting in SETTINGS.into_iter().chain(waits.iter().map(String::as_str)) {
            match wire.ask(&format!("SET SESSION {setting}")) {
                Err(failure) if failure.code() == 0 => return Err(failed(&doing, failure)),
                _ => {}
            }
        }
        let mut db = Db {
            wire: RefCell::new(wire),
            server: Server {
                maria: false,
                version: String::new(),
                local: false,
                packet: 1 << 20,
                id: 0,
                database: address.database.clone(),
                case_sensitive: true,
            },
        };
        db.execute(&format!("SET SESSION sql_mode = '{MODE}'")).map_err(|f| failed(&doing, f))?;
        db.learn().map_err(|f| failed(&doing, f))?;
        let exact = db.server.exact();
        db.execute(&format!("SET NAMES utf8mb4 COLLATE {exact}")).map_err(|failure| {
            Error::new(Code::DestinationOpen, format!("the server is {}, which is too old", db.server.version))
                .state("nothing was written")
                .help(
                    "it needs MariaDB 10.2 or MySQL 8.0.17 at least: texts are to be equal only when they are the same",
                )
                .cause(failure)
        })?;
        Ok(db)
    }

    fn learn(&mut self) -> Result<(), Failure> {
        let row = self.query_one(
            "SELECT @@version, @@max_allowed_packet, @@local_infile, CONNECTION_ID(), @@lower_case_table_names, @@version_comment",
        )?;
        let version = row.text(0).unwrap_or_default().to_owned();
        let comment = row.text(5).unwrap_or_default().to_owned();
        self.server = Server {
            maria: [&version, &comment].iter().any(|text| text.to_ascii_lowercase().contains("mariadb")),
            packet: row.number(1).unwrap_or(1 << 20) as usize,
            local: row.number(2) == Some(1),
            id: row.number(3).unwrap_or_default(),
            case_sensitive: row.number(4) == Some(0),
            database: self.server.database.clone(),
            version,
        };
        Ok(())
    }

    /// Sends a statement, and reads how its answer begins. One that the server would not take whole is not sent: it would end
    /// the connection over it, and the transaction that could be gone on with.
    fn ask(&self, wire: &mut Wire, sql: &str) -> Result<Answer, Failure> {
        // Its kind takes one byte more.
        if sql.len() + 1 >= self.server.packet {
            let message = format!("a statement of {} bytes is larger than max_allowed_packet", sql.len());
            return Err(Failure::Server { code: code::PACKET_TOO_LARGE, message });
        }
        wire.ask(sql)
    }

    /// One statement that gives no rows.
    pub(crate) fn execute(&self, sql: &str) -> Result<Done, Failure> {
        let mut wire = self.wire.borrow_mut();
        match self.ask(&mut wire, sql)? {
            Answer::Done(done) => Ok(done),
            Answer::Columns(_) => {
                while wire.row()?.is_some() {}
                Ok(Done::default())
            }
            Answer::Wanted => {
                // No file is given to a server that was not asked to take one.
                wire.given()
            }
        }
    }

    /// The rows of a query, one after the other. Nothing else of this connection may be used before their end.
    pub(crate) fn stream(&self, sql: &str) -> Result<Rows<'_>, Failure> {
        let mut wire = self.wire.borrow_mut();
        let (columns, ended) = match self.ask(&mut wire, sql)? {
            Answer::Columns(columns) => (columns, false),
            Answer::Done(_) => (Vec::new(), true),
            Answer::Wanted => {
                wire.given()?;
                (Vec::new(), true)
            }
        };
        Ok(Rows { wire, columns, ended })
    }

    /// The rows of a query.
    pub(crate) fn query(&self, sql: &str) -> Result<Vec<Owned>, Failure> {
        let mut rows = self.stream(sql)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(Owned((0..row.len()).map(|at| row.get(at).map(<[u8]>::to_vec)).collect()));
        }
        Ok(out)
    }

    /// The first row of a query.
    pub(crate) fn query_opt(&self, sql: &str) -> Result<Option<Owned>, Failure> {
        Ok(self.query(sql)?.into_iter().next())
    }

    /// The one row of a query.
    pub(crate) fn query_one(&self, sql: &str) -> Result<Owned, Failure> {
        self.query_opt(sql)?.ok_or(Failure::Protocol("a query that has a row gave none"))
    }

    /// Gives rows to `LOAD DATA LOCAL`; `feed` may use nothing else of this connection meanwhile.
    pub(crate) fn load_local(&self, sql: &str, feed: impl FnOnce(&mut Local<'_>) -> Result<()>) -> Result<Done> {
        let mut wire = self.wire.borrow_mut();
        match self.ask(&mut wire, sql).map_err(to("take rows"))? {
            Answer::Wanted => {}
            _ => return Err(Error::internal("a LOAD DATA LOCAL asked for no file")),
        }
        let part = PART.min(self.server.packet / 2);
        let mut local = Local { wire: &mut wire, buffer: Vec::with_capacity(2 * part), part };
        let fed = feed(&mut local).and_then(|()| local.hand_over());
        // Also where feeding failed: the server waits for an end before it can be told to roll back.
        let given = wire.given().map_err(to("take rows"));
        fed?;
        let done = given?;
        drop(wire);
        if done.warnings > 0 { Err(self.warned()) } else { Ok(done) }
    }

    /// `LOAD DATA LOCAL` takes values that do not fit, and leaves out rows whose key is there, with a warning and no more:
    /// each is an error here.
    pub(crate) fn warned(&self) -> Error {
        match self.query_opt("SHOW WARNINGS LIMIT 1") {
            Ok(Some(row)) => failed(
                "take rows",
                Failure::Server {
                    code: row.number(1).unwrap_or_default(),
                    message: row.text(2).unwrap_or_default().to_owned(),
                },
            ),
            Ok(None) => Error::internal("the server warned of something and did not say of what"),
            Err(failure) => failed("take rows", failure),
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.wire.borrow_mut().quit();
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        let mut wire = self.wire.borrow_mut();
        let patient = wire.patience(Some(Duration::from_secs(5))).is_ok();
        let there = patient && wire.ping().is_ok();
        !there || wire.patience(None).is_err()
    }
}

/// How much is handed to the network at once, where the server takes as much.
const PART: usize = 128 << 10;

/// A file that is written while the server reads it.
pub(crate) struct Local<'a> {
    wire: &'a mut Wire,
    /// What is not handed over yet: callers write here.
    pub(crate) buffer: Vec<u8>,
    /// How much is handed over at once. A row may be larger.
    part: usize,
}

impl Local<'_> {
    /// To be called after each row.
    pub(crate) fn passed(&mut self) -> Result<()> {
        if self.buffer.len() >= self.part { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<()> {
        self.buffer.chunks(self.part).try_for_each(|part| self.wire.give(part)).map_err(to("take rows"))?;
        self.buffer.clear();
        Ok(())
    }
}

/// Rows on their way.
pub(crate) struct Rows<'db> {
    wire: RefMut<'db, Wire>,
    columns: Vec<Column>,
    ended: bool,
}

impl Rows<'_> {
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        // Set before it is known, and taken back where a row came: the borrow of the row would be in the way afterwards.
        self.ended = true;
        match self.wire.row()? {
            Some(row) => {
                self.ended = false;
                Ok(Some(row))
            }
            None => Ok(None),
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // There may be no end of them: it costs less to close the connection.
            self.wire.abandon();
        }
    }
}

/// A row that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Owned(Vec<Option<Vec<u8>>>);

impl Owned {
    pub(crate) fn bytes(&self, at: usize) -> Option<&[u8]> {
        self.0.get(at)?.as_deref()
    }

    /// A cell as text; `None` also where it is no UTF-8.
    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(at)?).ok()
    }

    /// A cell as a number of a kind.
    pub(crate) fn number<T: std::str::FromStr>(&self, at: usize) -> Option<T> {
        self.text(at)?.parse().ok()
    }
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
        let sql = if within { "SAVEPOINT floodmark" } else { "START TRANSACTION READ WRITE" };
        db.execute(sql).map_err(to("begin a write transaction"))?;
        Ok(Step { db, within, open: true })
    }

    pub(crate) fn commit(mut self) -> Result<(), Failure> {
        self.open = false;
        self.db.execute(if self.within { "RELEASE SAVEPOINT floodmark" } else { "COMMIT" }).map(|_| ())
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        if self.open {
            let back = if self.within { "ROLLBACK TO SAVEPOINT floodmark" } else { "ROLLBACK" };
            // A request to stop may hit this statement in the place of the one before. What is still open then must not be:
            // the next transaction would begin with committing it. The end of the connection ends it, too.
            if self.db.execute(back).is_err() && self.db.execute(back).is_err() {
                self.db.close();
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
