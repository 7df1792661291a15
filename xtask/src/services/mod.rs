//! Servers for the tests: private ones, with their data in the temporary folder and on free ports.

mod azure;
mod mariadb;
mod postgres;
mod process;
mod s3;

use crate::{
    browser, duckdb, python,
    shell::{self, complain, say},
};
use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(60);

/// A kind of server.
struct Kind {
    name: &'static str,
    /// What the tests read to find it.
    variable: &'static str,
    /// Installs its programs where they are missing.
    tools: fn() -> Result<(), String>,
    /// Makes one in a folder that is not there yet, and waits until it answers. Returns its URL.
    start: fn(&Path, Use) -> Result<String, String>,
    /// Whether the one that was started there still answers.
    answers: fn(&Path) -> bool,
    /// Stops the one that answers.
    stop: fn(&Path) -> Result<(), String>,
}

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Use {
    /// Nobody misses what it holds: it need not survive a power cut.
    Tests,
    /// It is measured: it writes to the disk as any server does.
    Measuring,
}

/// In the order in which `up` says them.
const KINDS: [Kind; 4] = [mariadb::KIND, postgres::KIND, s3::KIND, azure::KIND];

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let set = format!("services-{}", uid());
    match arguments {
        [one] if one == "up" => {
            let _one_at_a_time = lock(&set)?;
            tools()?;
            for kind in &KINDS {
                let folder = kind.folder(&set);
                let url = match kind.running(&folder) {
                    Some(url) => url,
                    None => {
                        // What a machine that was switched off left behind.
                        let _ = fs::remove_dir_all(&folder);
                        kind.start(&folder, Use::Tests)?
                    }
                };
                say(&format!("export {}='{url}'", kind.variable));
            }
            say(&format!("export FLOODMARK_TEST_DELTA='{}'", python::delta()?.display()));
            match duckdb::variables() {
                Ok(variables) => variables
                    .iter()
                    .for_each(|(variable, folder)| say(&format!("export {variable}='{}'", folder.display()))),
                // The servers are of use without it.
                Err(message) => complain(&message),
            }
            // And without a browser; the tests of pages fail then, and say so once more.
            if let Err(message) = browser::tools() {
                complain(&message);
            }
            Ok(())
        }
        [one] if one == "down" => {
            let _one_at_a_time = lock(&set)?;
            KINDS.iter().try_for_each(|kind| kind.stop(&kind.folder(&set)))
        }
        _ => Err("cargo xtask services up|down".to_owned()),
    }
}

/// Servers that go when this is dropped.
pub(crate) struct Services {
    set: String,
    urls: Vec<(&'static str, String)>,
}

impl Services {
    pub(crate) fn start(what_for: Use) -> Result<Services, String> {
        tools()?;
        // Made first, so that one that does not start takes the others with it.
        let mut services = Services { set: format!("test-{}", std::process::id()), urls: Vec::new() };
        for kind in &KINDS {
            let url = kind.start(&kind.folder(&services.set), what_for)?;
            services.urls.push((kind.variable, url));
        }
        Ok(services)
    }

    /// What the tests are to find in their environment.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.urls.iter().map(|(variable, url)| (*variable, url.as_str()))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for kind in &KINDS {
            if let Err(message) = kind.stop(&kind.folder(&self.set)) {
                shell::complain(&message);
            }
        }
    }
}

impl Kind {
    fn folder(&self, set: &str) -> PathBuf {
        env::temp_dir().join(format!("floodmark-{set}-{}", self.name))
    }

    fn start(&self, folder: &Path, what_for: Use) -> Result<String, String> {
        let url = (self.start)(folder, what_for)?;
        fs::write(folder.join("url"), &url).map_err(|e| said(folder, e))?;
        Ok(url)
    }

    /// The URL of the server that was started there, if it still runs.
    fn running(&self, folder: &Path) -> Option<String> {
        let url = fs::read_to_string(folder.join("url")).ok()?;
        (self.answers)(folder).then_some(url)
    }

    fn stop(&self, folder: &Path) -> Result<(), String> {
        if !folder.exists() {
            return Ok(());
        }
        if (self.answers)(folder) {
            (self.stop)(folder)?;
        }
        fs::remove_dir_all(folder).map_err(|e| said(folder, e))
    }
}

/// Installs the servers that are missing.
pub(crate) fn tools() -> Result<(), String> {
    KINDS.iter().try_for_each(|kind| (kind.tools)())
}

/// Held until it is dropped: two that start the same servers at once would clear each other's folders.
fn lock(set: &str) -> Result<File, String> {
    let path = env::temp_dir().join(format!("floodmark-{set}.lock"));
    let file = File::create(&path).map_err(|e| said(&path, e))?;
    file.lock().map_err(|e| said(&path, e))?;
    Ok(file)
}

fn said(path: &Path, error: std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// Makes the folder of a server that runs as somebody.
fn make(folder: &Path, user: Option<&str>) -> Result<(), String> {
    fs::create_dir(folder).map_err(|e| said(folder, e))?;
    match user {
        Some(user) => shell::run(Command::new("chown").arg(user).arg(folder)),
        None => Ok(()),
    }
}

fn free_port() -> Result<u16, String> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(|e| format!("127.0.0.1: {e}"))
}

/// A server's program, run as somebody.
fn program(path: &Path, user: Option<&str>) -> Command {
    let mut command = match user {
        None => Command::new(path),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(path);
            command
        }
    };
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// Who runs a server: they refuse to run as root, so root has one of these users run it, the first that there is.
fn somebody(users: [&'static str; 2]) -> Option<&'static str> {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let there = |name: &&str| known.lines().any(|line| line.split(':').next() == Some(name));
    (uid() == 0).then(|| users.into_iter().find(there).unwrap_or("nobody"))
}

/// Waits until a server answers; the error shows its log.
fn wait(name: &str, folder: &Path, answers: fn(&Path) -> bool) -> Result<(), String> {
    let since = Instant::now();
    while !answers(folder) {
        if since.elapsed() > START {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("{name} does not start:\n{log}"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
