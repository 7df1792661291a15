//! A MariaDB server.

use super::{Process, free_port, give, program, run};
use crate::{
    mysql::{Access, Client},
    project,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Who may do everything, as on the tests' server.
const USER: &str = "floodmark";
const PASSWORD: &str = "watermark";

/// Where Debian keeps the server's program, beside the path.
const DEBIAN: &str = "/usr/sbin/mariadbd";

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ends its sessions and says goodbye.
    Shutdown,
    /// `kill -9`.
    Kill,
}

/// A server that goes when this is dropped, and with the thread that started it.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    settings: Vec<String>,
    port: u16,
    process: Process,
}

impl Server {
    /// A fresh one with settings as `name=value`. A primary has `server-id=1` and `log-bin` among them.
    pub fn start(settings: &[&str]) -> Result<Server, String> {
        Server::make(settings, None)
    }

    /// A fresh one whose database [`Server::SMALL`] has room for so many megabytes.
    pub fn with_little_room(megabytes: u32) -> Result<Server, String> {
        Server::make(&[], Some(megabytes))
    }

    /// The database with little room.
    pub const SMALL: &str = "small";

    /// One that follows this one from its beginning on, and takes no writes of others.
    pub fn replica(&self) -> Result<Server, String> {
        let replica = Server::start(&["server-id=2", "read-only=1"])?;
        replica.client().run(&format!(
            "CHANGE MASTER TO master_host = '127.0.0.1', master_port = {}, master_user = '{USER}',
               master_password = '{PASSWORD}', master_connect_retry = 1, master_use_gtid = slave_pos; START SLAVE",
            self.port
        ));
        Ok(replica)
    }

    fn make(settings: &[&str], room: Option<u32>) -> Result<Server, String> {
        let folder = project::scratch().map_err(|e| e.to_string())?;
        let shared = Client::new(&Access::found()?, "").one("SELECT @@datadir");
        give(folder.path(), Path::new(&shared))?;
        let server = Server {
            folder,
            settings: settings.iter().map(|&s| s.to_owned()).collect(),
            port: free_port()?,
            process: Process::default(),
        };
        let first = format!(
            "SET sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS {USER};
             CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{PASSWORD}';
             GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;"
        );
        // A line is a statement there.
        let first = first.replace('\n', " ").replace("; ", ";\n");
        fs::write(server.first(), first).map_err(|e| e.to_string())?;
        let mut init = program(Path::new("/usr/bin/env"), server.folder.path())?;
        init.args(["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal"]);
        init.args(["--skip-test-db", "--innodb-log-file-size=16M"]).arg(server.data());
        run(init.env("TMPDIR", server.folder.path()))?;
        if room.is_some() {
            // The folder of a database is the database.
            let small = server.path("data/small");
            fs::create_dir(&small).map_err(|e| e.to_string())?;
            give(&small, server.folder.path())?;
        }
        server.begin(room)?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{USER}", self.port)
    }

    /// A session.
    pub fn client(&self) -> Client {
        Client::new(&self.access(), "")
    }

    /// Whether it lets one more in.
    pub fn answers(&self) -> bool {
        self.access().answers()
    }

    /// Stops it.
    pub fn stop(&self, end: End) -> Result<(), String> {
        self.process.stop(if end == End::Kill { "KILL" } else { "TERM" }, &self.path("log"))
    }

    /// Starts it again.
    pub fn start_again(&self) -> Result<(), String> {
        self.begin(None)
    }

    fn begin(&self, room: Option<u32>) -> Result<(), String> {
        let debian = Path::new(DEBIAN);
        let path = if debian.is_file() { debian } else { Path::new("mariadbd") };
        let mut command = match room {
            None => program(path, self.folder.path())?,
            Some(megabytes) => super::in_little_room(path, self.folder.path(), &self.path("data/small"), megabytes)?,
        };
        command.arg("--no-defaults").arg(self.data());
        command.arg(format!("--socket={}", self.path("socket").display()));
        command.arg(format!("--pid-file={}", self.path("pid").display()));
        command.arg(format!("--init-file={}", self.first().display()));
        let port = format!("port={}", self.port);
        let usual = [
            &port,
            "skip-networking=0",
            "bind-address=127.0.0.1",
            "skip-name-resolve",
            "local-infile=1",
            "character-set-server=utf8mb4",
            "innodb-buffer-pool-size=32M",
            "innodb-log-file-size=16M",
            // What is committed outlives the process, though not the machine.
            "innodb-flush-log-at-trx-commit=2",
            "innodb-flush-method=nosync",
        ];
        for setting in usual.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.arg(format!("--{setting}"));
        }
        command.env("TMPDIR", self.folder.path());
        let access = self.access();
        self.process.start(command, &self.path("log"), || access.answers())
    }

    fn access(&self) -> Access {
        Access::at("127.0.0.1", &self.port.to_string(), USER, PASSWORD)
    }

    fn data(&self) -> String {
        format!("--datadir={}", self.path("data").display())
    }

    fn first(&self) -> PathBuf {
        self.path("first.sql")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop(End::Kill);
    }
}
