//! Databases on the tests' servers, reached with a password, and what is asked of them by somebody else.

use floodmark_testkit::{Mysql, Postgres};
use std::net::SocketAddr;

/// A password that is nowhere to be seen.
pub(super) const SECRET: &str = "s3cr3t-w0rd";

/// An empty database, which goes when this is dropped.
pub(super) enum Hosted {
    Postgres(Postgres),
    Mysql(Mysql),
}

impl Hosted {
    /// One on each server.
    pub(super) fn each() -> [Hosted; 2] {
        let hosted = [Hosted::Postgres(Postgres::empty().unwrap()), Hosted::Mysql(Mysql::empty().unwrap())];
        for one in &hosted {
            if let Hosted::Mysql(mysql) = one {
                let user = one.user();
                mysql
                    .client()
                    .run(&format!("CREATE USER {user}@'%' IDENTIFIED BY '{SECRET}'; GRANT ALL ON *.* TO {user}@'%'"));
            }
        }
        hosted
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Hosted::Postgres(_) => "PostgreSQL",
            Hosted::Mysql(_) => "MariaDB",
        }
    }

    fn user(&self) -> String {
        match self {
            // It lets everybody in from this machine, whatever the password.
            Hosted::Postgres(_) => "postgres".to_owned(),
            Hosted::Mysql(mysql) => format!("serve_{}", mysql.name),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Hosted::Postgres(postgres) => postgres.address().unwrap(),
            Hosted::Mysql(mysql) => mysql.address().unwrap(),
        }
    }

    pub(super) fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// Its URL where something stands before the server.
    pub(super) fn url_at(&self, address: SocketAddr) -> String {
        let url = match self {
            Hosted::Postgres(postgres) => postgres.url_at(address, ""),
            Hosted::Mysql(mysql) => mysql.url_at(address, ""),
        };
        let (scheme, rest) = url.split_once("://").unwrap();
        let (_, place) = rest.split_once('@').unwrap();
        format!("{scheme}://{}:{SECRET}@{place}", self.user())
    }

    /// The first cells of a query's rows.
    pub(super) fn asked(&self, sql: &str) -> Vec<String> {
        match self {
            Hosted::Postgres(postgres) => {
                let messages = postgres.connect().unwrap().simple_query(sql).unwrap();
                let cell = |message| match message {
                    postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                    _ => None,
                };
                messages.into_iter().filter_map(cell).collect()
            }
            Hosted::Mysql(mysql) => mysql.client().run(sql).into_iter().map(|mut row| row.swap_remove(0)).collect(),
        }
    }

    /// How many sessions others have in it.
    pub(super) fn sessions(&self) -> usize {
        let sql = match self {
            Hosted::Postgres(_) => {
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            }
            Hosted::Mysql(_) => {
                "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            }
        };
        self.asked(sql).len()
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Hosted::Mysql(mysql) = self {
            let user = format!("serve_{}", mysql.name);
            // What a test that fails already cannot do is left to the server's end.
            let _ = mysql.execute(&format!("DROP USER IF EXISTS {user}@'%'"));
        }
    }
}
