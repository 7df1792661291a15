//! A database of its own for each test.

use floodmark_core::url::ConnectionUrl;
use floodmark_postgres::PostgresDestination;
use postgres::{Client, NoTls};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database on the tests' server, which goes when this is dropped.
pub(crate) struct Database {
    name: String,
    url: String,
}

/// The server the tests use.
fn server() -> String {
    std::env::var("FLOODMARK_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("FLOODMARK_TEST_POSTGRES is not set: `cargo xtask services up` starts a PostgreSQL and says what to set")
    })
}

/// The server's URL with another database.
fn named(name: &str) -> String {
    server().replacen("/postgres?", &format!("/{name}?"), 1)
}

pub(crate) fn connect(url: &str) -> Client {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match Client::connect(url, NoTls) {
            Ok(client) => return client,
            Err(error) if std::time::Instant::now() > deadline => panic!("{url}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl Database {
    pub(crate) fn new() -> Database {
        let name = format!("fm_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        connect(&server()).batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Database { url: named(&name), name }
    }

    pub(crate) fn url(&self) -> ConnectionUrl {
        ConnectionUrl::parse(&self.url).unwrap()
    }

    /// The same for a role of its own.
    pub(crate) fn url_as(&self, role: &str) -> ConnectionUrl {
        ConnectionUrl::parse(&self.url.replacen("://postgres@", &format!("://{role}@"), 1)).unwrap()
    }

    pub(crate) fn destination(&self) -> PostgresDestination {
        PostgresDestination::new(&self.url()).unwrap()
    }

    /// A session of somebody else's.
    pub(crate) fn client(&self) -> Client {
        connect(&self.url)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = connect(&server()).batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}
