//! What tests on servers have in common: a project with a database of its own, and the network to it.

pub(crate) mod project;
#[cfg(target_os = "linux")]
pub(crate) mod scene;

use floodmark_testkit::{Mysql, Postgres, crash};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Output},
};

/// A database on a server.
pub(crate) trait Hosted: crash::Database {
    /// An empty one on the tests' server.
    fn empty() -> Self;
    /// One more with the same content.
    fn again(&self) -> Self;
    /// Where its server listens.
    fn address(&self) -> SocketAddr;
    /// Its URL at another address; `more` are parameters.
    fn url_at(&self, address: SocketAddr, more: &str) -> String;
    /// Makes the table `s` of so many rows `id`, `v` and `name`.
    fn make_source(&self, rows: u32);
    /// Changes every third of them, and adds rows up to that one.
    fn change_source(&self, from: u32, to: u32);
    /// How the server takes a transaction's end on its way to it.
    const COMMIT: &str;
    /// Parameters of a URL that have either end notice within seconds that nothing comes.
    const SOON: &str;
    /// How many may read from one server at once and have their watermark move.
    const READERS: usize;
    /// One that has a server answer within a second.
    const AT_ONCE: &str;
}

impl Hosted for Postgres {
    fn empty() -> Self {
        Postgres::empty().unwrap()
    }

    fn again(&self) -> Self {
        self.again().unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.address().unwrap()
    }

    fn url_at(&self, address: SocketAddr, more: &str) -> String {
        self.url_at(address, more)
    }

    fn make_source(&self, rows: u32) {
        let table = format!(
            "CREATE TABLE s (id int PRIMARY KEY, v bigint NOT NULL, name text);
             INSERT INTO s SELECT g, 1, repeat('x', 40) FROM generate_series(1, {rows}) g"
        );
        self.connect().unwrap().batch_execute(&table).unwrap();
    }

    fn change_source(&self, from: u32, to: u32) {
        let change = format!(
            "UPDATE s SET v = 2, name = 'new' WHERE id % 3 = 0;
             INSERT INTO s SELECT g, 2, repeat('y', 40) FROM generate_series({from}, {to}) g"
        );
        self.connect().unwrap().batch_execute(&change).unwrap();
    }

    const COMMIT: &str = "COMMIT\0";
    const SOON: &str = "&keepalives_idle=1&keepalives_interval=1&keepalives_count=2&tcp_user_timeout=2000";
    const READERS: usize = 8;
    const AT_ONCE: &str = "&connect_timeout=1";
}

impl Hosted for Mysql {
    fn empty() -> Self {
        Mysql::empty().unwrap()
    }

    fn again(&self) -> Self {
        self.again().unwrap()
    }

    fn address(&self) -> SocketAddr {
        self.address().unwrap()
    }

    fn url_at(&self, address: SocketAddr, more: &str) -> String {
        self.url_at(address, more)
    }

    fn make_source(&self, rows: u32) {
        self.client().run(&format!(
            "CREATE TABLE s (id int PRIMARY KEY, v bigint NOT NULL, name text);
             INSERT INTO s SELECT seq, 1, repeat('x', 40) FROM seq_1_to_{rows}"
        ));
    }

    fn change_source(&self, from: u32, to: u32) {
        self.client().run(&format!(
            "UPDATE s SET v = 2, name = 'new' WHERE id % 3 = 0;
             INSERT INTO s SELECT seq, 2, repeat('y', 40) FROM seq_{from}_to_{to}"
        ));
    }

    // A command's number comes before its words.
    const COMMIT: &str = "\u{3}COMMIT";
    const SOON: &str = "&tcp-user-timeout=2000";
    // InnoDB makes the list of its transactions anew only when nobody looked at it for a tenth of a second.
    const READERS: usize = 3;
    const AT_ONCE: &str = "&connect-timeout=1";
}

/// Both outputs of a run, for a report.
pub(crate) fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

/// Waits until a run says that it tries again.
pub(crate) fn tries_again(child: &mut Child) -> String {
    let mut said = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("trying again in") {
        assert!(errors.read_line(&mut said).unwrap() > 0, "it ended: {said}");
    }
    // Nobody reads the rest, which is short.
    child.stderr = Some(errors.into_inner());
    said
}
