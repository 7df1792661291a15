//! A MariaDB for tests: databases of their own on the server that `FLOODMARK_TEST_MYSQL` names, and sessions of somebody else's
//! in them, which are the server's own command line client, told one thing after the other.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that panics is a test that fails")]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database on the tests' server, which goes when this is dropped.
#[derive(Debug)]
pub struct Database {
    /// Its name.
    pub name: String,
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
    /// Made now.
    #[expect(clippy::new_without_default, reason = "nobody would think that a default makes a database")]
    pub fn new() -> Database {
        let name = format!("fm_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let access = server();
        Client::new(&access, "").run(&format!("CREATE DATABASE {name}"));
        Database { name, access }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_as(&self.access.user, &self.access.password)
    }

    /// The same for another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let Access { host, port, .. } = &self.access;
        format!("mysql://{user}:{password}@{host}:{port}/{}", self.name)
    }

    /// A session of somebody else's.
    pub fn client(&self) -> Client {
        Client::new(&self.access, &self.name)
    }

    /// A user of this server with the password `pw`, until this is dropped. In `grants` it is `{}`.
    pub fn user(&self, grants: &str) -> User {
        let user = format!("u_{}", self.name);
        self.client().run(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'pw'; {}",
            grants.replace("{}", &format!("{user}@'%'"))
        ));
        User { name: user, access: self.access.clone() }
    }
}

/// A user that goes when this is dropped.
#[derive(Debug)]
pub struct User {
    /// The name.
    pub name: String,
    access: Access,
}

impl Drop for User {
    fn drop(&mut self) {
        self.access.quietly(&format!("DROP USER IF EXISTS {}@'%'", self.name));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.access.quietly(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

/// What the tests' server is reached by.
#[derive(Debug, Clone)]
struct Access {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Access {
    fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--default-character-set=utf8mb4"]);
        client.args(["--host", &self.host, "--port", &self.port, "--user", &self.user]);
        client.env("MYSQL_PWD", &self.password);
        client
    }

    /// Also where a test is failing already.
    fn quietly(&self, sql: &str) {
        let _ = self.client().args(["--execute", sql]).stdin(Stdio::null()).status();
    }
}

/// One session. It ends, and with it what it holds, when this is dropped.
#[derive(Debug)]
pub struct Client {
    process: Child,
    says: Option<ChildStdin>,
    hears: BufReader<ChildStdout>,
    turns: u32,
}

impl Client {
    fn new(access: &Access, database: &str) -> Client {
        let mut process = access
            .client()
            .args(["--skip-column-names", "--unbuffered", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let hears = BufReader::new(process.stdout.take().unwrap());
        Client { says: process.stdin.take(), process, hears, turns: 0 }
    }

    /// Statements, one behind a semicolon of the other; the cells of the rows they give, line by line.
    pub fn run(&mut self, sql: &str) -> Vec<Vec<String>> {
        self.begin(sql);
        self.end()
    }

    /// The only cell of the only row.
    pub fn one(&mut self, sql: &str) -> String {
        let rows = self.run(sql);
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    /// Says it, and does not wait for the answer.
    pub fn begin(&mut self, sql: &str) {
        self.turns += 1;
        let says = self.says.as_mut().unwrap();
        writeln!(says, "{sql};\nSELECT 'that was {}';", self.turns).unwrap();
        says.flush().unwrap();
    }

    /// Waits for the answer.
    pub fn end(&mut self) -> Vec<Vec<String>> {
        let last = format!("that was {}", self.turns);
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.hears.read_line(&mut line).unwrap();
            assert!(read > 0, "the session ended; standard error says why");
            let line = line.trim_end_matches('\n');
            if line == last {
                return rows;
            }
            rows.push(line.split('\t').map(str::to_owned).collect());
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.says = None;
        let _ = self.process.wait();
    }
}
