//! `cargo xtask bench`: whole processes, against the database's own tools, on the same work.

mod data;
mod duckdb;
mod floor;
pub(crate) mod measure;
mod python;
mod report;
mod serve;
mod servers;
mod sides;

use crate::shell::{self, cargo, has, run as run_program, say, target};
use report::Series;
use sides::Side;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const USAGE: &str = "cargo xtask bench [--runs N] [--only first|idle|delta|flat] [--keep]\n\
                     cargo xtask bench --only duckdb|duckdb-first|duckdb-delta|duckdb-again [--runs N]\n\
                     cargo xtask bench --only python|python-first|python-duckdb|python-delta|python-csv|python-parquet [--runs N]\n\
                     cargo xtask bench --only serve [--runs N]\n\
                     cargo xtask bench --servers [--runs N] [--only JOB] [--peers]";
const FLAT: &[usize] = &[100_000, 1_000_000, 10_000_000];

struct Options {
    runs: usize,
    only: Option<String>,
    keep: bool,
    servers: bool,
    peers: bool,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut out = Options { runs: 5, only: None, keep: false, servers: false, peers: false };
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--runs" => out.runs = rest.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).ok_or(USAGE)?,
            "--only" => {
                out.only = Some(rest.next().ok_or(USAGE)?.clone());
            }
            "--keep" => out.keep = true,
            "--servers" => out.servers = true,
            "--peers" => out.peers = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    let known = |name: &String| {
        out.servers
            || name.starts_with("duckdb")
            || name.starts_with("python")
            || name == "serve"
            || ["first", "idle", "delta", "flat"].contains(&name.as_str())
    };
    if out.only.as_ref().is_some_and(|only| !known(only)) || (out.peers && !out.servers) {
        return Err(USAGE.to_owned());
    }
    Ok(out)
}

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let options = options(arguments)?;
    let work = target().join("bench");
    fs::create_dir_all(&work).map_err(|e| e.to_string())?;
    if let Some(only) = options.only.as_deref().filter(|only| !options.servers && only.starts_with("duckdb")) {
        return duckdb::run(&program(&crate::duckdb::PROGRAM)?, &work, only, options.runs);
    }
    if let Some(only) = options.only.as_deref().filter(|only| !options.servers && only.starts_with("python")) {
        return python::run(&work, only, options.runs);
    }
    if !has("sqlite3") {
        return Err("sqlite3 is not installed, and it is what Floodmark is measured against".to_owned());
    }
    let program = program(&[])?;
    if options.only.as_deref() == Some("serve") {
        return serve::run(&program, &work, options.runs);
    }
    if options.servers {
        return servers::run(&program, &work, options.only.as_deref(), options.runs, options.peers);
    }
    let orders = data::table(&work, "orders")?;
    let sides = [Side::floodmark(&work, &program)?, Side::sqlite3(&work)?];
    let wants = |name: &str| options.only.as_ref().is_none_or(|only| only == name);
    let mut series = Vec::new();
    let mut notes = Vec::new();
    if wants("first") || wants("idle") || wants("delta") {
        let first = first(&sides, &orders, if wants("first") { options.runs } else { 1 })?;
        if wants("first") {
            series.extend(first);
        }
    }
    if wants("idle") {
        series.extend(again(&sides, "idle re-run", "orders.csv", options.runs)?);
    }
    if wants("delta") {
        let delta = data::delta(&work, &orders)?;
        sides.iter().try_for_each(|side| side.give(&delta, "delta.csv"))?;
        let delta = again(&sides, "30,000-row delta", "delta.csv", options.runs)?;
        notes.push(disk_alone(&sides[0], &delta, options.runs)?);
        series.extend(delta);
    }
    if wants("flat") {
        let (costs, note) = flat(&sides[0], &work, &orders, options.runs)?;
        series.extend(costs);
        notes.push(note);
    }
    say(&report::table(&series));
    notes.iter().for_each(|note| say(note));
    let words = std::iter::once("cargo xtask bench").chain(arguments.iter().map(String::as_str));
    report::append(&series, &notes, &program, &words.collect::<Vec<_>>().join(" "), &sqlite())?;
    if !options.keep {
        for name in ["floodmark", "sqlite3"] {
            fs::remove_dir_all(work.join(name)).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// The shell's name and version.
fn sqlite() -> String {
    let said = shell::read(Command::new("sqlite3").arg("--version")).unwrap_or_default();
    format!("sqlite3 {}", said.split(' ').next().unwrap_or("of unknown version"))
}

/// `FLOODMARK_BIN`, or a release build with these features.
fn program(features: &[&str]) -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("FLOODMARK_BIN") {
        return fs::canonicalize(&path).map_err(|e| format!("FLOODMARK_BIN: {e}"));
    }
    let mut build = cargo();
    build.args(["build", "--release", "--package", "floodmark-cli"]).args(features);
    if !features.is_empty() {
        build.envs(crate::duckdb::variables()?);
    }
    run_program(&mut build)?;
    fs::canonicalize(target().join("release/floodmark")).map_err(|e| e.to_string())
}

/// Both sides have done the same work, or their times mean nothing.
fn same_content(sides: &[Side], job: &str) -> Result<(), String> {
    let contents = sides.iter().map(Side::content).collect::<Result<Vec<_>, _>>()?;
    if contents.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    Err(format!("{job}: the tables differ: {contents:?}"))
}

fn new_series(sides: &[Side], job: &str) -> Vec<Series> {
    sides.iter().map(|side| Series { job: job.to_owned(), side: side.name, costs: Vec::new() }).collect()
}

/// Into nothing; leaves the loaded databases saved as `first`.
fn first(sides: &[Side], orders: &Path, runs: usize) -> Result<Vec<Series>, String> {
    let job = "first load, 1.5 million rows";
    let mut series = new_series(sides, job);
    for run in 1..=runs {
        for (side, series) in sides.iter().zip(&mut series) {
            side.clear()?;
            side.give(orders, "orders.csv")?;
            let cost = side.load("orders.csv")?;
            say(&format!("{job} {run}/{runs} {}: {:.3} s, {:.0} MiB", side.name, cost.wall, cost.memory));
            series.costs.push(cost);
        }
    }
    same_content(sides, job)?;
    sides.iter().try_for_each(|side| side.save("first"))?;
    Ok(series)
}

/// Onto a fresh copy of the loaded database, each time.
fn again(sides: &[Side], job: &str, file: &str, runs: usize) -> Result<Vec<Series>, String> {
    let mut series = new_series(sides, job);
    for run in 1..=runs {
        for (side, series) in sides.iter().zip(&mut series) {
            side.restore("first")?;
            let cost = side.load(file)?;
            say(&format!("{job} {run}/{runs} {}: {:.3} s, {:.0} MiB", side.name, cost.wall, cost.memory));
            series.costs.push(cost);
        }
    }
    same_content(sides, job)?;
    Ok(series)
}

/// What the disk alone takes for the pages that the last load changed, beside what the two sides took.
fn disk_alone(side: &Side, delta: &[Series], runs: usize) -> Result<String, String> {
    let fail = |e: io::Error| e.to_string();
    let pages = floor::changed(&side.saved("first"), &side.database()).map_err(fail)?;
    let mut walls = Vec::new();
    for _ in 0..runs {
        side.restore("first")?;
        walls.push(floor::write_twice(&side.database(), &pages).map_err(fail)?);
    }
    let wall = report::median(walls);
    let against: Vec<String> = delta.iter().map(|s| format!("{:.2} of {}", wall / s.wall(), s.side)).collect();
    Ok(format!(
        "The disk alone: the {} pages the delta changes, written to a log, synced, written in their places, synced, and the \
         log removed, take {wall:.3} s ({}).",
        pages.len(),
        against.join(", ")
    ))
}

/// 10,000 new rows into tables of three sizes, in turn.
fn flat(side: &Side, work: &Path, orders: &Path, runs: usize) -> Result<(Vec<Series>, String), String> {
    let arrivals = data::arrivals(work, orders)?;
    let saved = |rows: usize| format!("flat-{rows}");
    let mut series = Vec::new();
    for rows in FLAT {
        side.clear()?;
        side.give(&data::endless(work, orders, *rows)?, "orders.csv")?;
        side.load("orders.csv")?;
        side.save(&saved(*rows))?;
        series.push(Series { job: format!("10,000 new rows into {rows}"), side: side.name, costs: Vec::new() });
    }
    for run in 1..=runs {
        for (rows, one) in FLAT.iter().zip(&mut series) {
            side.clear()?;
            side.give(&data::endless(work, orders, *rows)?, "orders.csv")?;
            side.give(&arrivals, "arrivals.csv")?;
            side.restore(&saved(*rows))?;
            let cost = side.load("arrivals.csv")?;
            say(&format!("{} {run}/{runs}: {:.3} s, {:.0} MiB", one.job, cost.wall, cost.memory));
            one.costs.push(cost);
        }
    }
    let walls: Vec<f64> = series.iter().map(Series::wall).collect();
    let (low, high) = walls.iter().fold((f64::MAX, 0.0f64), |(l, h), w| (l.min(*w), h.max(*w)));
    Ok((series, format!("Flat cost: the slowest of the three sizes takes {:.2} times the fastest.", high / low)))
}
