//! Database servers for the tests: private ones, with their data in the temporary folder and on free ports.

use crate::shell::{self, has, say};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What the tests read to find PostgreSQL.
pub(crate) const POSTGRES: &str = "FLOODMARK_TEST_POSTGRES";

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(60);

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let kept = std::env::temp_dir().join(format!("floodmark-services-{}", uid()));
    match arguments {
        [one] if one == "up" => {
            tools()?;
            let url = match running(&kept) {
                Some(url) => url,
                None => {
                    // What a machine that was switched off left behind.
                    let _ = fs::remove_dir_all(&kept);
                    start(&kept)?
                }
            };
            say(&format!("export {POSTGRES}='{url}'"));
            Ok(())
        }
        [one] if one == "down" => stop(&kept),
        _ => Err("cargo xtask services up|down".to_owned()),
    }
}

/// Servers that go when this is dropped.
pub(crate) struct Services {
    folder: PathBuf,
    pub(crate) postgres: String,
}

impl Services {
    pub(crate) fn start() -> Result<Services, String> {
        tools()?;
        let folder = std::env::temp_dir().join(format!("floodmark-test-{}", std::process::id()));
        let postgres = start(&folder)?;
        Ok(Services { folder, postgres })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Err(message) = stop(&self.folder) {
            shell::complain(&message);
        }
    }
}

/// Installs PostgreSQL where it is missing.
pub(crate) fn tools() -> Result<(), String> {
    if programs().is_some() {
        return Ok(());
    }
    shell::install("postgresql", "PostgreSQL's server")
}

/// The folder of the server's programs: Debian's, newest first, or the path's.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        versions.map(|e| e.path().join("bin")).filter(|p| p.join("initdb").is_file()).collect();
    folders.sort_by_key(|folder| folder.iter().rev().nth(1).and_then(|v| v.to_str()?.parse::<u32>().ok()));
    folders.pop().or_else(|| has("initdb").then(PathBuf::new))
}

fn uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// A program of the server's: it refuses to run as root, so root runs it as somebody who is not.
fn program(name: &str) -> Result<Command, String> {
    let path = programs().ok_or("PostgreSQL's server is not installed")?.join(name);
    let mut command = match somebody() {
        None => Command::new(path),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(path);
            command
        }
    };
    command.current_dir("/").stdin(Stdio::null()).env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
    Ok(command)
}

fn somebody() -> Option<&'static str> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let there = |name: &&str| users.lines().any(|line| line.split(':').next() == Some(name));
    (uid() == 0).then(|| ["postgres", "nobody"].into_iter().find(there).unwrap_or("nobody"))
}

/// Makes a server in a folder that is not there yet, and waits until it answers. Returns its URL.
fn start(folder: &Path) -> Result<String, String> {
    let io = |e: std::io::Error| format!("{}: {e}", folder.display());
    fs::create_dir(folder).map_err(io)?;
    if let Some(user) = somebody() {
        shell::run(Command::new("chown").arg(user).arg(folder))?;
    }
    let data = folder.join("data");
    let mut init = program("initdb")?;
    init.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
        .arg(&data);
    shell::run(init.stdout(Stdio::null()))?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(io)?.port();
    // A machine that loses power loses these databases, and nobody misses them.
    let settings = format!(
        "-p {port} -k {0} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c autovacuum=off \
         -c max_connections=200 -c logging_collector=off",
        folder.display()
    );
    let mut server = program("pg_ctl")?;
    server
        .args(["start", "--silent", "--no-wait", "-D"])
        .arg(&data)
        .arg("-l")
        .arg(folder.join("log"))
        .arg("-o")
        .arg(settings);
    shell::run(&mut server)?;
    let url = format!("postgres://postgres@/postgres?host={}&port={port}", folder.display());
    fs::write(folder.join("url"), &url).map_err(io)?;
    let since = Instant::now();
    while !answers(folder, port) {
        if since.elapsed() > START {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("PostgreSQL does not start:\n{log}"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(url)
}

fn answers(folder: &Path, port: u16) -> bool {
    let Ok(mut ready) = program("pg_isready") else { return false };
    ready.args(["--quiet", "-h"]).arg(folder).args(["-p", &port.to_string()]);
    ready.status().is_ok_and(|status| status.success())
}

/// The URL of the server that was started there, if it still runs.
fn running(folder: &Path) -> Option<String> {
    let url = fs::read_to_string(folder.join("url")).ok()?;
    let port = url.rsplit_once('=')?.1.parse().ok()?;
    answers(folder, port).then_some(url)
}

fn stop(folder: &Path) -> Result<(), String> {
    if !folder.exists() {
        return Ok(());
    }
    if running(folder).is_some() {
        let mut server = program("pg_ctl")?;
        server.args(["stop", "--silent", "--mode=immediate", "-D"]).arg(folder.join("data"));
        shell::run(&mut server)?;
    }
    fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}
