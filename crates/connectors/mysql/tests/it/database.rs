//! A database of its own for each test.

use crate::client::{Access, Client};
use floodmark_core::url::ConnectionUrl;
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database on the tests' server, which goes when this is dropped.
pub(crate) struct Database {
    pub(crate) name: String,
    access: Access,
}

/// The server the tests use: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
fn server() -> Access {
    let url = std::env::var("FLOODMARK_TEST_MYSQL").unwrap_or_else(|_| {
        panic!("FLOODMARK_TEST_MYSQL is not set: `cargo xtask services up` starts a MariaDB and says what to set")
    });
    let parts = || {
        let (who, place) = url.strip_prefix("mysql://")?.split_once('@')?;
        let (user, password) = who.split_once(':')?;
        let (host, port) = place.split_once('/')?.0.split_once(':')?;
        let [user, password, host, port] = [user, password, host, port].map(str::to_owned);
        Some(Access { user, password, host, port })
    };
    parts().unwrap_or_else(|| panic!("FLOODMARK_TEST_MYSQL is no mysql://user:password@host:port/database"))
}

impl Database {
    pub(crate) fn new() -> Database {
        let name = format!("fm_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let access = server();
        Client::new(&access, "").run(&format!("CREATE DATABASE {name}"));
        Database { name, access }
    }

    pub(crate) fn url(&self) -> ConnectionUrl {
        self.url_as(&self.access.user, &self.access.password)
    }

    /// The same for another user.
    pub(crate) fn url_as(&self, user: &str, password: &str) -> ConnectionUrl {
        let Access { host, port, .. } = &self.access;
        ConnectionUrl::parse(&format!("mysql://{user}:{password}@{host}:{port}/{}", self.name)).unwrap()
    }

    /// A session of somebody else's.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.access, &self.name)
    }

    /// A user of this server who may do what is granted on the database, until this is dropped.
    pub(crate) fn user(&self, grants: &str) -> User {
        let user = format!("u_{}", self.name);
        self.client().run(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'pw'; {}",
            grants.replace("{}", &format!("{user}@'%'"))
        ));
        User { name: user, access: self.access.clone() }
    }
}

/// A user that goes when this is dropped.
pub(crate) struct User {
    pub(crate) name: String,
    access: Access,
}

impl Drop for User {
    fn drop(&mut self) {
        Client::new(&self.access, "").run(&format!("DROP USER IF EXISTS {}@'%'", self.name));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        Client::new(&self.access, "").run(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}
