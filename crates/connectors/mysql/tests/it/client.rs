//! A session of somebody else's: the server's own command line client, which is told one thing after the other.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// What the tests' server is reached by.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) host: String,
    pub(crate) port: String,
}

/// One session. It ends, and with it what it holds, when this is dropped.
pub(crate) struct Client {
    process: Child,
    says: Option<ChildStdin>,
    hears: BufReader<ChildStdout>,
    turns: u32,
}

impl Client {
    pub(crate) fn new(access: &Access, database: &str) -> Client {
        let mut process = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--batch",
                "--skip-column-names",
                "--unbuffered",
                "--default-character-set=utf8mb4",
            ])
            .args(["--host", &access.host, "--port", &access.port, "--user", &access.user, database])
            .env("MYSQL_PWD", &access.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let hears = BufReader::new(process.stdout.take().unwrap());
        Client { says: process.stdin.take(), process, hears, turns: 0 }
    }

    /// Statements, one behind a semicolon of the other; the cells of the rows they give, line by line.
    pub(crate) fn run(&mut self, sql: &str) -> Vec<Vec<String>> {
        self.begin(sql);
        self.end()
    }

    /// The only cell of the only row.
    pub(crate) fn one(&mut self, sql: &str) -> String {
        let rows = self.run(sql);
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}: {rows:?}");
        rows[0][0].clone()
    }

    /// Says it, and does not wait for the answer.
    pub(crate) fn begin(&mut self, sql: &str) {
        self.turns += 1;
        let says = self.says.as_mut().unwrap();
        writeln!(says, "{sql};\nSELECT 'that was {}';", self.turns).unwrap();
        says.flush().unwrap();
    }

    /// Waits for the answer.
    pub(crate) fn end(&mut self) -> Vec<Vec<String>> {
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
