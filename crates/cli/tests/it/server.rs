//! A database of its own on the tests' PostgreSQL server.

use postgres::{Client, NoTls};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database, which goes when this is dropped.
pub(crate) struct Shop {
    name: String,
    pub(crate) url: String,
    server: String,
}

impl Shop {
    pub(crate) fn new() -> Shop {
        let server = std::env::var("FLOODMARK_TEST_POSTGRES").unwrap_or_else(|_| {
            panic!(
                "FLOODMARK_TEST_POSTGRES is not set: `cargo xtask services up` starts a PostgreSQL and says what to set"
            )
        });
        let name = format!("fm_cli_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Client::connect(&server, NoTls).unwrap().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Shop { url: server.replacen("/postgres?", &format!("/{name}?"), 1), name, server }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let _ = Client::connect(&self.server, NoTls).and_then(|mut client| client.batch_execute(&drop));
    }
}
