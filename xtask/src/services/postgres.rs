//! PostgreSQL.

use super::{Kind, Use, free_port, make, somebody, wait};
use crate::shell::{self, has};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(super) const KIND: Kind =
    Kind { name: "postgres", variable: "FLOODMARK_TEST_POSTGRES", tools, start, answers, stop };

fn tools() -> Result<(), String> {
    if programs().is_none() {
        shell::install("postgresql", "PostgreSQL's server")?;
    }
    // Where Debian puts it is not on everybody's path.
    if Path::new("/usr/sbin/pgbouncer").exists() || has("pgbouncer") {
        return Ok(());
    }
    shell::install("pgbouncer", "PostgreSQL's pooler")
}

/// The folder of the server's programs: Debian's, newest first, or the path's.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        versions.map(|e| e.path().join("bin")).filter(|p| p.join("initdb").is_file()).collect();
    folders.sort_by_key(|folder| folder.iter().rev().nth(1).and_then(|v| v.to_str()?.parse::<u32>().ok()));
    folders.pop().or_else(|| has("initdb").then(PathBuf::new))
}

fn program(name: &str) -> Result<Command, String> {
    let path = programs().ok_or("PostgreSQL's server is not installed")?.join(name);
    let mut command = super::program(&path, user());
    command.env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
    Ok(command)
}

fn user() -> Option<&'static str> {
    somebody(["postgres", "nobody"])
}

fn start(folder: &Path, what_for: Use) -> Result<String, String> {
    make(folder, user())?;
    let data = folder.join("data");
    let mut init = program("initdb")?;
    init.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
        .arg(&data);
    shell::run(init.stdout(Stdio::null()))?;
    let port = free_port()?;
    let settings = match what_for {
        Use::Tests => "-c fsync=off -c full_page_writes=off -c autovacuum=off -c max_connections=200",
        // As Debian sets it up, but for checkpoints, which would come at other moments for each side.
        Use::Measuring => "-c autovacuum=off -c max_wal_size=16GB -c checkpoint_timeout=1h",
    };
    let settings =
        format!("-p {port} -k {0} -c listen_addresses=127.0.0.1 -c logging_collector=off {settings}", folder.display());
    let mut server = program("pg_ctl")?;
    server
        .args(["start", "--silent", "--no-wait", "-D"])
        .arg(&data)
        .arg("-l")
        .arg(folder.join("log"))
        .arg("-o")
        .arg(settings);
    shell::run(&mut server)?;
    wait("PostgreSQL", folder, answers)?;
    Ok(format!("postgres://postgres@/postgres?host={}&port={port}", folder.display()))
}

fn answers(folder: &Path) -> bool {
    // Its fourth line is the port.
    let pid = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    let Some(port) = pid.lines().nth(3) else { return false };
    let Ok(mut ready) = program("pg_isready") else { return false };
    ready.args(["--quiet", "-h"]).arg(folder).args(["-p", port]);
    ready.status().is_ok_and(|status| status.success())
}

fn stop(folder: &Path) -> Result<(), String> {
    let mut server = program("pg_ctl")?;
    server.args(["stop", "--silent", "--mode=immediate", "-D"]).arg(folder.join("data"));
    shell::run(&mut server)
}
