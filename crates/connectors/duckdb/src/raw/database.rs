//! Databases and connections.

use super::{Failure, Feed, Feeder, Kind, Result, c_string, feed::Feeds, text};
use arrow::datatypes::DataType as ArrowType;
use libduckdb_sys as ffi;
use std::{path::Path, ptr, sync::Arc};

/// An open database. It is closed when it is dropped, with what was committed written into its file.
#[derive(Debug)]
pub(crate) struct Database {
    raw: ffi::duckdb_database,
    feeds: Arc<Feeds>,
}

// SAFETY: DuckDB's database handle may be used by any thread.
unsafe impl Send for Database {}
// SAFETY: as above; all that is done with it is opening connections, which DuckDB allows at the same time.
unsafe impl Sync for Database {}

impl Database {
    /// Opens a file, which is made where there is none; or a database in memory.
    pub(crate) fn open(path: Option<&Path>, settings: &[(&str, String)]) -> Result<Database> {
        let name =
            path.map(|path| path.to_str().ok_or_else(|| Failure::of(Kind::Io, "the path is not UTF-8"))).transpose()?;
        let name = c_string(name.unwrap_or(":memory:"))?;
        let mut config = Config(ptr::null_mut());
        // SAFETY: the pointer is to a local; the configuration is destroyed when it is dropped.
        if unsafe { ffi::duckdb_create_config(&mut config.0) } != ffi::duckdb_state_DuckDBSuccess {
            return Err(Failure::of(Kind::Memory, "no configuration can be made"));
        }
        for (setting, written) in settings {
            let (name, value) = (c_string(setting)?, c_string(written)?);
            // SAFETY: the configuration is there, and DuckDB copies both texts.
            let set = unsafe { ffi::duckdb_set_config(config.0, name.as_ptr(), value.as_ptr()) };
            if set != ffi::duckdb_state_DuckDBSuccess {
                let message = format!("{setting} takes no such value as {written:?}");
                return Err(Failure::of(Kind::Setting, message));
            }
        }
        let (mut database, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the name and the configuration outlive the call, and the other pointers are to locals.
        let opened = unsafe { ffi::duckdb_open_ext(name.as_ptr(), &mut database, config.0, &mut error) };
        if opened == ffi::duckdb_state_DuckDBSuccess {
            let opened = Database { raw: database, feeds: Arc::default() };
            opened.feeds.register(&Connection::open(&opened)?)?;
            return Ok(opened);
        }
        // SAFETY: the message is DuckDB's, and given back to it once.
        let message = unsafe {
            let message = text(error);
            ffi::duckdb_free(error.cast());
            message
        };
        Err(Failure::of(Kind::Io, message))
    }

    /// What a statement of this database can read rows from as they come, in columns of these types.
    pub(crate) fn feed(&self, types: Vec<ArrowType>) -> (Arc<Feed>, Feeder) {
        self.feeds.open(types)
    }
}

/// Settings that a database is opened with.
struct Config(ffi::duckdb_config);

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: it was created, or is NULL, which is left alone; it is used no more.
        unsafe { ffi::duckdb_destroy_config(&mut self.0) }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: it was opened, and nobody uses it any more.
        unsafe { ffi::duckdb_close(&mut self.raw) }
    }
}

/// A connection to it, for one thread at a time; other threads may interrupt it.
#[derive(Debug)]
pub(crate) struct Connection(pub(super) ffi::duckdb_connection);

// SAFETY: DuckDB's connections may move between threads, and take a lock of their own for each call.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: it was connected, and nobody uses it any more.
        unsafe { ffi::duckdb_disconnect(&mut self.0) }
    }
}

impl Connection {
    pub(crate) fn open(database: &Database) -> Result<Connection> {
        let mut connection = ptr::null_mut();
        // SAFETY: the database is open.
        match unsafe { ffi::duckdb_connect(database.raw, &mut connection) } {
            ffi::duckdb_state_DuckDBSuccess => Ok(Connection(connection)),
            _ => Err(Failure::of(Kind::Memory, "no connection can be opened")),
        }
    }

    /// Ends the statement that is under way, if there is one. For any thread.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the connection is open as long as this type is there.
        unsafe { ffi::duckdb_interrupt(self.0) }
    }
}
