//! MariaDB, which stands for MySQL too.

use super::{Kind, Use, free_port, make, program, said, somebody, wait};
use crate::shell::{self, has};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
};

pub(super) const KIND: Kind = Kind { name: "mariadb", variable: "FLOODMARK_TEST_MYSQL", tools, start, answers, stop };

/// Who may do everything, and may come by the network.
const USER: &str = "floodmark";
const PASSWORD: &str = "watermark";

fn tools() -> Result<(), String> {
    if server().is_some() && has("mariadb-install-db") && has("mariadb-admin") {
        return Ok(());
    }
    shell::install("mariadb-server", "MariaDB's server")
}

/// The server's program: Debian keeps it where only root looks.
fn server() -> Option<PathBuf> {
    let debian = Path::new("/usr/sbin/mariadbd");
    if debian.is_file() {
        return Some(debian.to_owned());
    }
    has("mariadbd").then(|| "mariadbd".into())
}

fn user() -> Option<&'static str> {
    somebody(["mysql", "nobody"])
}

fn socket(folder: &Path) -> String {
    format!("--socket={}", folder.join("socket").display())
}

fn start(folder: &Path, what_for: Use) -> Result<String, String> {
    make(folder, user())?;
    let path = server().ok_or("MariaDB's server is not installed")?;
    let data = format!("--datadir={}", folder.join("data").display());
    let mut init = program(Path::new("mariadb-install-db"), user());
    // Who runs it may not be allowed to write where the caller keeps temporary files.
    init.env("TMPDIR", folder);
    init.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data]);
    shell::read(&mut init)?;
    let first = folder.join("first.sql");
    let made = format!(
        "CREATE DATABASE IF NOT EXISTS {USER};\n\
         CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
    );
    fs::write(&first, made).map_err(|e| said(&first, e))?;
    let port = free_port()?;
    let log = File::create(folder.join("log")).map_err(|e| said(folder, e))?;
    let also = log.try_clone().map_err(|e| said(folder, e))?;
    let settings: &[&str] = match what_for {
        Use::Tests => &[
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--innodb-fast-shutdown=2",
        ],
        Use::Measuring => &["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=1G"],
    };
    let mut server = program(&path, user());
    server
        .args(["--no-defaults", &data, &socket(folder), &format!("--port={port}")])
        .arg(format!("--pid-file={}", folder.join("pid").display()))
        .arg(format!("--init-file={}", first.display()))
        .args(["--skip-networking=0", "--bind-address=127.0.0.1", "--skip-name-resolve"])
        .args(["--local-infile=1", "--max-connections=400", "--character-set-server=utf8mb4"])
        .args(settings)
        // It does not leave its starter by itself; with a group of its own, a Ctrl-C for the tests is not for it.
        .process_group(0)
        .env("TMPDIR", folder)
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(also));
    server.spawn().map_err(|e| format!("cannot start {}: {e}", path.display()))?;
    wait("MariaDB", folder, answers)?;
    Ok(format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{USER}"))
}

fn answers(folder: &Path) -> bool {
    // The server makes it once it listens.
    folder.join("pid").exists() && admin(folder, "ping").status().is_ok_and(|status| status.success())
}

fn stop(folder: &Path) -> Result<(), String> {
    shell::run(&mut admin(folder, "shutdown"))
}

fn admin(folder: &Path, what: &str) -> std::process::Command {
    let mut admin = program(Path::new("mariadb-admin"), user());
    admin.args(["--no-defaults", "--silent", "--user=root", &socket(folder), what]);
    admin.stdout(Stdio::null()).stderr(Stdio::null());
    admin
}
