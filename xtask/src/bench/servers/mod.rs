//! `cargo xtask bench --servers`: loads into and out of database servers, beside the servers' own tools and, with
//! `--peers`, beside other loaders from PyPI. The servers are private ones that write to the disk as any does.

mod history;
mod mariadb;
mod postgres;
mod sides;

use super::{
    data,
    report::{self, Series},
};
use crate::{
    services::{Services, Use},
    shell::{run as run_program, say},
};
use sides::{Job, Side};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What a job needs to know.
pub(crate) struct Bench {
    pub(super) work: PathBuf,
    pub(super) program: PathBuf,
    /// Where other loaders are installed, where they are asked for.
    peers: Option<PathBuf>,
    /// PostgreSQL's.
    pub(super) port: String,
    pub(super) mariadb: Access,
}

/// How MariaDB is reached.
pub(super) struct Access {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) port: String,
}

impl Access {
    /// Out of `mysql://user:password@host:port/database`.
    fn parse(url: &str) -> Option<Access> {
        let (who, place) = url.split_once("://")?.1.split_once('@')?;
        let (user, password) = who.split_once(':')?;
        let port = place.split_once(':')?.1.split('/').next()?;
        Some(Access { user: user.to_owned(), password: password.to_owned(), port: port.to_owned() })
    }
}

/// Loaders from PyPI, at the versions that were measured.
const PEERS: [&str; 6] = [
    "dlt[postgres,sql_database,sqlalchemy]==1.31.0",
    "psycopg2-binary",
    "pyarrow",
    "pandas",
    "sling-linux-amd64==1.4.11",
    "ingestr==0.15.9",
];

/// Runs the jobs whose name begins with `only`.
pub(super) fn run(program: &Path, work: &Path, only: Option<&str>, runs: usize, peers: bool) -> Result<(), String> {
    let work = work.join("servers");
    fs::create_dir_all(&work).map_err(|e| e.to_string())?;
    let services = Services::start(Use::Measuring)?;
    let url = |of: &str| services.variables().find(|(name, _)| name.ends_with(of)).map(|(_, url)| url.to_owned());
    let port = url("POSTGRES").as_deref().and_then(|url| url.rsplit_once("port=")).map(|(_, port)| port.to_owned());
    let bench = Bench {
        program: program.to_owned(),
        peers: peers.then(|| install(&work)).transpose()?,
        port: port.ok_or("PostgreSQL said no port")?,
        mariadb: url("MYSQL").as_deref().and_then(Access::parse).ok_or("MariaDB said no port")?,
        work,
    };
    let mut series = Vec::new();
    let mut notes = Vec::new();
    for job in postgres::jobs().into_iter().chain(history::jobs()).chain(mariadb::jobs()) {
        if only.is_none_or(|only| job.name.starts_with(only)) {
            series.extend(measure(&bench, &job, runs, &mut notes)?);
        }
    }
    say(&report::table(&series));
    notes.iter().for_each(|note| say(note));
    let mut words = format!("cargo xtask bench --servers --runs {runs}");
    only.iter().for_each(|only| words.push_str(&format!(" --only {only}")));
    words.push_str(if peers { " --peers" } else { "" });
    let servers = format!("{}; {}", postgres::version(&bench), mariadb::version(&bench));
    report::append(&series, &notes, program, &words, &servers)
}

/// Every side in turn, as often as asked.
fn measure(bench: &Bench, job: &Job, runs: usize, notes: &mut Vec<String>) -> Result<Vec<Series>, String> {
    (job.prepare)(bench)?;
    let sides: Vec<Side> = (job.sides)(bench);
    let title = job.title.to_owned();
    let mut series: Vec<Series> =
        sides.iter().map(|side| Series { job: title.clone(), side: side.name, costs: Vec::new() }).collect();
    let mut contents = vec![String::new(); sides.len()];
    for run in 1..=runs {
        for ((side, series), content) in sides.iter().zip(&mut series).zip(&mut contents) {
            // Peers take minutes; one run of theirs says enough.
            if side.peer && run > 1 {
                continue;
            }
            (job.before)(bench, side)?;
            nix::unistd::sync();
            let cost = match side.load(bench) {
                Ok(cost) => cost,
                Err(error) if side.peer => {
                    notes.push(format!("{title}: {} failed", side.name));
                    say(&error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            say(&format!("{title} {run}/{runs} {}: {:.3} s, {:.0} MiB", side.name, cost.wall, cost.memory));
            series.costs.push(cost);
            *content = match (job.content)(bench, side) {
                // It may have loaded all as text.
                Err(error) if side.peer => {
                    notes.push(format!("{title}: the table of {} cannot be summed up", side.name));
                    say(&error);
                    String::new()
                }
                content => content?,
            };
            (job.after)(bench, side)?;
        }
    }
    for (side, content) in sides.iter().zip(&contents) {
        // One that failed has no content to show.
        if *content != contents[0] && !content.is_empty() {
            let message = format!("{title}: the table of {} holds {content}, not {}", side.name, contents[0]);
            if !side.peer {
                return Err(message);
            }
            notes.push(message);
        }
    }
    Ok(series)
}

/// Other loaders, in a virtual environment of their own.
fn install(work: &Path) -> Result<PathBuf, String> {
    let folder = work.join("peers");
    if !folder.join("bin/ingestr").is_file() {
        say("installing dlt, Sling and ingestr");
        run_program(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        run_program(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(PEERS))?;
    }
    Ok(folder.join("bin"))
}

impl Bench {
    /// A file of TPC-H's, made where it is missing.
    pub(super) fn orders(&self) -> Result<PathBuf, String> {
        data::table(self.parent(), "orders")
    }

    pub(super) fn lineitem(&self) -> Result<PathBuf, String> {
        data::table(self.parent(), "lineitem")
    }

    pub(super) fn delta(&self) -> Result<PathBuf, String> {
        data::delta(self.parent(), &self.orders()?)
    }

    fn parent(&self) -> &Path {
        self.work.parent().unwrap_or(&self.work)
    }

    pub(super) fn peers(&self) -> Option<&Path> {
        self.peers.as_deref()
    }
}
