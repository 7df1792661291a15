//! A pooler before the tests' PostgreSQL: pgbouncer, as Debian has it.

use crate::{
    project,
    server::{free_port, postgres::give, program},
    store::Postgres,
};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A pooler that goes when this is dropped.
#[derive(Debug)]
pub struct Pooler {
    folder: TempDir,
    process: Child,
    address: SocketAddr,
}

impl Pooler {
    /// One that gives out connections for a `session` or a `transaction`.
    pub fn start(database: &Postgres, mode: &str) -> Result<Pooler, String> {
        let io = |e: std::io::Error| e.to_string();
        let folder = project::scratch().map_err(io)?;
        give(folder.path())?;
        let port = free_port()?;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits\n",
            database.address()?.port()
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).map_err(io)?;
        // Where Debian puts it is not on everybody's path.
        let path = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new).into_iter().find(|path| path.exists());
        let path = path.ok_or("pgbouncer is missing: `cargo xtask services up` installs it")?;
        let log = fs::File::create(folder.path().join("log")).map_err(io)?;
        let mut command = program(path, folder.path())?;
        command.arg("-q").arg(&file);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().map_err(io)?;
        let pooler = Pooler { folder, process, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let since = Instant::now();
        while TcpStream::connect(pooler.address).is_err() {
            if since.elapsed() > Duration::from_secs(30) {
                let log = fs::read_to_string(pooler.folder.path().join("log")).unwrap_or_default();
                return Err(format!("pgbouncer does not start:\n{log}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
