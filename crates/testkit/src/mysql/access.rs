//! How a MariaDB is reached: its URL taken apart, and its own command line client.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

/// A server and who asks it: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Access {
    /// The tests' server.
    pub(crate) fn found() -> Result<Access, String> {
        let url = std::env::var("FLOODMARK_TEST_MYSQL").map_err(
            |_| "FLOODMARK_TEST_MYSQL is not set: `cargo xtask services up` starts a MariaDB and says what to set",
        )?;
        Access::of(&url)
    }

    /// That of a URL.
    pub(crate) fn of(url: &str) -> Result<Access, String> {
        let parts = || {
            let (who, place) = url.strip_prefix("mysql://")?.split_once('@')?;
            let (user, password) = who.split_once(':')?;
            let (host, port) = place.split_once('/')?.0.split_once(':')?;
            Some(Access::at(host, port, user, password))
        };
        parts().ok_or_else(|| format!("{url} is no mysql://user:password@host:port/database"))
    }

    pub(crate) fn at(host: &str, port: &str, user: &str, password: &str) -> Access {
        let [user, password, host, port] = [user, password, host, port].map(str::to_owned);
        Access { user, password, host, port }
    }

    /// The same server for another user.
    pub(super) fn of_user(&self, user: &str, password: &str) -> Access {
        Access::at(&self.host, &self.port, user, password)
    }

    /// The URL of a database at another address, where something stands before the server.
    pub(super) fn url_at(&self, address: SocketAddr, database: &str) -> String {
        format!("mysql://{}:{}@{address}/{database}", self.user, self.password)
    }

    /// The URL of a database.
    pub(super) fn url(&self, database: &str) -> String {
        let Access { user, password, host, port } = self;
        format!("mysql://{user}:{password}@{host}:{port}/{database}")
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        format!("{}:{}", self.host, self.port).parse().map_err(|e| format!("{}:{}: {e}", self.host, self.port))
    }

    /// The client, ready for what it is to do.
    pub(super) fn client(&self) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--default-character-set=utf8mb4"]);
        client.args(["--host", &self.host, "--port", &self.port, "--user", &self.user]);
        client.env("MYSQL_PWD", &self.password);
        client
    }

    /// Whether it lets anybody in.
    pub(crate) fn answers(&self) -> bool {
        let mut client = self.client();
        client.args(["--execute", "DO 0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        client.status().is_ok_and(|status| status.success())
    }

    /// Says the statements as cases have them, which are written for other databases; what is answered, as XML.
    pub(crate) fn said(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.client();
        command
            .args(["--xml", "--init-command"])
            .arg("SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'")
            .args((!database.is_empty()).then_some(database))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut client = command.spawn().map_err(|e| format!("cannot start mariadb: {e}"))?;
        let mut input = client.stdin.take().ok_or("mariadb listens to nothing")?;
        let sql = sql.as_bytes().to_vec();
        let writer = std::thread::spawn(move || input.write_all(&sql));
        let output = client.wait_with_output().map_err(|e| e.to_string())?;
        // A client that stopped at a mistake has said which.
        let _ = writer.join();
        if output.status.success() {
            String::from_utf8(output.stdout).map_err(|e| e.to_string())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// Says it also where a test is failing already.
    pub(super) fn quietly(&self, sql: &str) {
        let mut client = self.client();
        client.args(["--execute", sql]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = client.status();
    }
}
