//! A PostgreSQL server.

use super::{Process, free_port, run};
use crate::{
    project,
    store::{connect, said, server},
};
use postgres::Client;
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const INITDB: [&str; 5] = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];

/// A server that goes when this is dropped, and with the thread that started it.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    programs: PathBuf,
    settings: Vec<String>,
    port: u16,
    process: Process,
}

impl Server {
    /// A fresh one with settings as `name=value`.
    pub fn start(settings: &[&str]) -> Result<Server, String> {
        Server::make(settings, None, |made| run(made.program("initdb")?.args(INITDB).arg("-D").arg(made.data())))
    }

    /// A fresh one that speaks TLS, with a certificate and its key, and lets clients in as these lines of `pg_hba.conf` say.
    /// `authority` signs the certificates of clients.
    pub fn with_tls(certificate: &Path, key: &Path, authority: &Path, lets_in: &str) -> Result<Server, String> {
        Server::make(&["ssl=on", "ssl_ca_file=root.crt"], None, |made| {
            run(made.program("initdb")?.args(INITDB).arg("-D").arg(made.data()))?;
            fs::write(made.data().join("pg_hba.conf"), lets_in).map_err(|e| e.to_string())?;
            for (file, name) in [(certificate, "server.crt"), (key, "server.key"), (authority, "root.crt")] {
                let path = made.data().join(name);
                fs::copy(file, &path).map_err(|e| format!("{}: {e}", file.display()))?;
                fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(|e| e.to_string())?;
                give(&path)?;
            }
            Ok(())
        })
    }

    /// A fresh one with a tablespace `small` that has room for so many megabytes.
    pub fn with_little_room(megabytes: u32) -> Result<Server, String> {
        let server = Server::make(&[], Some(megabytes), |made| {
            fs::create_dir(made.small()).map_err(|e| e.to_string())?;
            run(made.program("initdb")?.args(INITDB).arg("-D").arg(made.data()))
        })?;
        let sql = format!("CREATE TABLESPACE small LOCATION '{}'", server.small().display());
        server.connect()?.batch_execute(&sql).map_err(|e| format!("{sql}: {}", said(&e)))?;
        Ok(server)
    }

    /// One that follows this one and takes no writes.
    pub fn standby(&self, settings: &[&str]) -> Result<Server, String> {
        Server::make(settings, None, |made| {
            let mut copy = made.program("pg_basebackup")?;
            copy.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--username=postgres"]);
            copy.arg("-h").arg(self.folder.path()).arg("-p").arg(self.port.to_string());
            run(copy.arg("-D").arg(made.data()))
        })
    }

    fn make(
        settings: &[&str],
        room: Option<u32>,
        fill: impl FnOnce(&Server) -> Result<(), String>,
    ) -> Result<Server, String> {
        let folder = project::scratch().map_err(|e| e.to_string())?;
        let mut shared = connect(&server()?)?;
        let ask = "SELECT setting FROM pg_config() WHERE name = 'BINDIR'";
        let row = shared.query_one(ask, &[]).map_err(|e| format!("{ask}: {e}"))?;
        give(folder.path())?;
        let made = Server {
            folder,
            programs: row.get::<_, String>(0).into(),
            settings: settings.iter().map(|&s| s.to_owned()).collect(),
            port: free_port()?,
            process: Process::default(),
        };
        fill(&made)?;
        made.begin(room)?;
        Ok(made)
    }

    /// Its URL, of the database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@/postgres?host={}&port={}", self.folder.path().display(), self.port)
    }

    /// Where it listens, beside its socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A session.
    pub fn connect(&self) -> Result<Client, String> {
        connect(&self.url())
    }

    /// Stops it, as `pg_ctl stop` does: `fast` ends the sessions, `immediate` leaves all as it is.
    pub fn stop(&self, mode: &str) -> Result<(), String> {
        self.process.stop(if mode == "fast" { "INT" } else { "QUIT" }, &self.log())
    }

    /// Has the next transaction get that number, in that epoch of 2^32. The server is stopped.
    pub fn set_next_transaction(&self, epoch: u32, number: u32) -> Result<(), String> {
        run(self
            .program("pg_resetwal")?
            .args(["-e", &epoch.to_string(), "-x", &number.to_string(), "-D"])
            .arg(self.data()))?;
        // What became of the transactions of a stretch stands in a file, which would be there had they been.
        const STRETCH: u32 = 1 << 20;
        let file = self.data().join("pg_xact").join(format!("{:04X}", number / STRETCH));
        if file.exists() {
            return Ok(());
        }
        let owner = fs::metadata(self.folder.path()).map_err(|e| e.to_string())?;
        let made = fs::write(&file, vec![0; STRETCH as usize / 4]);
        made.and_then(|()| chown(&file, Some(owner.uid()), Some(owner.gid()))).map_err(|e| e.to_string())
    }

    /// Starts it again.
    pub fn start_again(&self) -> Result<(), String> {
        self.begin(None)
    }

    fn begin(&self, room: Option<u32>) -> Result<(), String> {
        let mut command = match room {
            None => self.program("postgres")?,
            Some(megabytes) => {
                super::in_little_room(&self.programs.join("postgres"), self.folder.path(), &self.small(), megabytes)?
            }
        };
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path()).args(["-p", &self.port.to_string()]);
        let usual = ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "autovacuum=off"];
        for setting in usual.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        self.process.start(command, &self.log(), || self.connect().is_ok())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn small(&self) -> PathBuf {
        self.folder.path().join("small")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn program(&self, name: &str) -> Result<Command, String> {
        super::program(&self.programs.join(name), self.folder.path())
    }
}

/// Gives a file or folder to the user that the tests' server runs as.
pub(crate) fn give(path: &Path) -> Result<(), String> {
    let mut shared = connect(&server()?)?;
    let row = shared.query_one("SHOW data_directory", &[]).map_err(|e| said(&e))?;
    super::give(path, Path::new(row.get::<_, &str>(0)))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop("immediate");
    }
}
