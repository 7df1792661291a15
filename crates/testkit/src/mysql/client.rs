//! Sessions of somebody else's, which are the server's own command line client, told one thing after the other.

#![expect(clippy::unwrap_used, reason = "a helper that panics is a test that fails")]

use super::access::Access;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// A user that goes when this is dropped.
#[derive(Debug)]
pub struct User {
    /// The name.
    pub name: String,
    access: Access,
}

impl User {
    /// One with the password `pw`. In `grants` it is `{}`.
    pub(super) fn new(access: &Access, database: &str, grants: &str) -> User {
        let name = format!("u_{database}");
        let who = format!("{name}@'%'");
        Client::new(access, database)
            .run(&format!("CREATE USER {who} IDENTIFIED BY 'pw'; {}", grants.replace("{}", &who)));
        User { name, access: access.clone() }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.access.quietly(&format!("DROP USER IF EXISTS {}@'%'", self.name));
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
    pub(crate) fn new(access: &Access, database: &str) -> Client {
        let mut process = access
            .client()
            .args(["--batch", "--skip-column-names", "--unbuffered", database])
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
