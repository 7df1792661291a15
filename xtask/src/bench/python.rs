//! `cargo xtask bench --only python…`: frames and files from Python, beside the databases' own tools, pandas as in the lesson,
//! and the command line.
//!
//! What a frame's load costs is taken inside the process, around the load alone (`bench/python/side.py`): reading the frame is
//! nobody's work, and its memory is not the load's. The others are whole processes.

use super::{
    data,
    measure::{Cost, measure},
    report::{self, Series},
    sides,
};
use crate::{
    duckdb, python,
    shell::{self, root, say},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is measured, by the name that `--only` gives, with who does it. The first of a job is Floodmark.
const JOBS: [(&str, &str, &[Side]); 5] = [
    (
        "python-first",
        "frame → SQLite, first load, 1.5 million rows",
        &[Side::Frame("floodmark"), Side::Shell, Side::Polars, Side::Frame("pandas-first")],
    ),
    (
        "python-duckdb",
        "frame → DuckDB, first load, 1.5 million rows",
        &[Side::DuckDb("floodmark"), Side::DuckDb("duckdb")],
    ),
    (
        "python-delta",
        "frame → SQLite, 30,000 changed and new rows",
        &[Side::Frame("floodmark"), Side::Frame("pandas-upsert"), Side::Shell],
    ),
    ("python-csv", "CSV → SQLite, by Python and by the command line", &[Side::Project("csv"), Side::Program("csv")]),
    (
        "python-parquet",
        "Parquet → SQLite, by Python and by the command line",
        &[Side::Project("parquet"), Side::Program("parquet")],
    ),
];

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// A pandas frame into SQLite, by what `side.py` calls it.
    Frame(&'static str),
    /// A polars frame into SQLite.
    Polars,
    /// A pandas frame into DuckDB.
    DuckDb(&'static str),
    /// SQLite's own shell, which has the rows as CSV.
    Shell,
    /// A pipeline over files of this kind, in Python.
    Project(&'static str),
    /// The same on the command line.
    Program(&'static str),
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Frame("floodmark") => "floodmark, pandas",
            Side::Frame("pandas-first") => "pandas' to_sql",
            Side::Frame(_) => "pandas as in the lesson",
            Side::Polars => "floodmark, polars",
            Side::DuckDb("floodmark") => "floodmark, pandas",
            Side::DuckDb(_) => "duckdb's package",
            Side::Shell => "sqlite3",
            Side::Project(_) => "floodmark in Python",
            Side::Program(_) => "floodmark",
        }
    }

    /// Where its database is kept: what pandas wrote, pandas goes on with.
    fn saved(self) -> &'static str {
        match self {
            Side::Frame("pandas-first" | "pandas-upsert") => "first-pandas",
            Side::Shell => "first-sqlite3",
            Side::DuckDb(_) => "first-duckdb",
            _ => "first-floodmark",
        }
    }
}

struct Bench {
    program: PathBuf,
    python: PathBuf,
    work: PathBuf,
}

/// Runs the jobs whose name begins with `only`.
pub(super) fn run(work: &Path, only: &str, runs: usize) -> Result<(), String> {
    let wanted = |job: &str| job.starts_with(only);
    if !JOBS.iter().any(|(name, ..)| wanted(name)) {
        return Err(format!("no job's name begins with {only:?}: {}", JOBS.map(|(name, ..)| name).join(", ")));
    }
    let program = super::program(&duckdb::PROGRAM)?;
    let orders = data::table(work, "orders")?;
    let delta = data::delta(work, &orders)?;
    let bench = Bench { program, python: python::released()?, work: work.join("python") };
    fs::create_dir_all(&bench.work).map_err(|e| e.to_string())?;
    for csv in [&orders, &delta] {
        bench.prepare(csv)?;
    }
    let (mut series, mut notes) = (Vec::new(), Vec::new());
    if wanted("python-delta") && !wanted("python-first") {
        // What the delta comes upon.
        bench.job(&JOBS[0], &orders, 1)?;
    }
    for job in JOBS.iter().filter(|(name, ..)| wanted(name)) {
        let file = if job.0 == "python-delta" { &delta } else { &orders };
        let measured = bench.job(job, file, runs)?;
        let [own, others @ ..] = measured.as_slice() else { continue };
        let beside: Vec<String> =
            others.iter().map(|other| format!("{:.2} of {}", own.wall() / other.wall(), other.side)).collect();
        notes.push(format!("{}: {} takes {}.", job.1, own.side, beside.join(", ")));
        series.extend(measured);
    }
    notes.push(
        "In Python the time is that of the load alone, and the memory what it took at its peak beyond the frame; the others are \
         whole processes."
            .to_owned(),
    );
    say(&report::table(&series));
    notes.iter().for_each(|note| say(note));
    let version = "import sys, pandas, polars, duckdb; print('Python', sys.version.split()[0], 'pandas', pandas.__version__, \
                   'polars', polars.__version__, 'duckdb', duckdb.__version__)";
    let tools = shell::read(Command::new(&bench.python).args(["-c", version]))?;
    let command = format!("cargo xtask bench --only {only} --runs {runs}");
    report::append(&series, &notes, &bench.program, &command, tools.trim())
}

impl Bench {
    fn script(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(root().join("bench/python/side.py")).args(arguments).current_dir(&self.work);
        command
    }

    fn parquet(&self, csv: &Path) -> PathBuf {
        self.work.join(csv.file_stem().unwrap_or_default()).with_extension("parquet")
    }

    fn prepare(&self, csv: &Path) -> Result<(), String> {
        let target = self.parquet(csv);
        if target.is_file() {
            return Ok(());
        }
        say(&format!("making {}", target.display()));
        shell::run(&mut self.script(&["prepare", &csv.to_string_lossy(), &target.to_string_lossy()]))
    }

    /// Every side in turn, as often as asked. All must have made the same table.
    fn job(
        &self,
        (name, title, sides): &(&str, &str, &[Side]),
        file: &Path,
        runs: usize,
    ) -> Result<Vec<Series>, String> {
        let first = *name != "python-delta";
        let mut series: Vec<Series> = sides
            .iter()
            .map(|side| Series { job: (*title).to_owned(), side: side.name(), costs: Vec::new() })
            .collect();
        let mut contents = Vec::new();
        for run in 1..=runs {
            for (side, series) in sides.iter().zip(&mut series) {
                self.before(*side, file, first)?;
                let cost = self.load(*side, file)?;
                say(&format!("{title} {run}/{runs} {}: {:.3} s, {:.0} MiB", side.name(), cost.wall, cost.memory));
                series.costs.push(cost);
                if run == runs {
                    contents.push(self.content(*side)?);
                    if first {
                        fs::copy(self.database(*side), self.work.join(side.saved())).map_err(|e| e.to_string())?;
                    }
                }
            }
        }
        match contents.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(series),
            false => Err(format!("{title}: the tables differ: {contents:?}")),
        }
    }

    fn database(&self, side: Side) -> PathBuf {
        self.work.join(if matches!(side, Side::DuckDb(_)) { "out.duckdb" } else { "out.db" })
    }

    /// Nothing, or what the first load left; and files where pipelines look for them.
    fn before(&self, side: Side, file: &Path, first: bool) -> Result<(), String> {
        let fail = |e: std::io::Error| e.to_string();
        for entry in fs::read_dir(&self.work).map_err(fail)?.filter_map(Result::ok) {
            if entry.path().is_file() && entry.file_name().to_string_lossy().starts_with("out.") {
                fs::remove_file(entry.path()).map_err(fail)?;
            }
        }
        if !first {
            fs::copy(self.work.join(side.saved()), self.database(side)).map_err(fail)?;
        }
        let folder = self.work.join("data");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(fail)?;
        let (kind, from) = match side {
            Side::Project("parquet") | Side::Program("parquet") => ("parquet", self.parquet(file)),
            _ => ("csv", file.to_owned()),
        };
        fs::hard_link(&from, folder.join("orders").with_extension(kind)).map_err(fail)?;
        let pipeline = sides::PIPELINE.replace("*.csv", &format!("*.{kind}"));
        fs::write(self.work.join("floodmark.yaml"), pipeline).map_err(fail)?;
        nix::unistd::sync();
        Ok(())
    }

    fn load(&self, side: Side, file: &Path) -> Result<Cost, String> {
        let parquet = self.parquet(file);
        let (parquet, database) = (parquet.to_string_lossy(), self.database(side));
        let database = database.to_string_lossy();
        match side {
            Side::Shell => {
                let script = self.work.join("load.sql");
                fs::write(&script, sides::script_for("orders.csv")).map_err(|e| e.to_string())?;
                measure(&self.work, Some(&script), Path::new("sqlite3"), &["-bail", "-batch", "out.db"])
            }
            Side::Program(_) => measure(&self.work, None, &self.program, &["--format", "json", "run"]),
            Side::Project(_) => told(&mut self.script(&["project"])),
            Side::Frame("floodmark") => told(&mut self.script(&["floodmark", &parquet, "sqlite:///out.db"])),
            Side::Polars => told(&mut self.script(&["floodmark-polars", &parquet, "sqlite:///out.db"])),
            Side::DuckDb("floodmark") => told(&mut self.script(&["floodmark", &parquet, "duckdb:///out.duckdb"])),
            Side::Frame(name) | Side::DuckDb(name) => told(&mut self.script(&[name, &parquet, &database])),
        }
    }

    /// Without the dates, which each writes in its own way.
    fn content(&self, side: Side) -> Result<String, String> {
        let sums = "SELECT count(*), sum(o_orderkey), sum(o_custkey), round(sum(o_totalprice)) FROM orders";
        let database = self.database(side);
        let text = match side {
            Side::DuckDb(_) => {
                let ask = "import sys, duckdb; print('|'.join(str(int(n)) for n in duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchone()))";
                shell::read(Command::new(&self.python).args(["-c", ask]).arg(database).arg(sums))
            }
            _ => shell::read(Command::new("sqlite3").arg(database).arg(sums)),
        };
        text.map(|text| text.trim().replace(".0", ""))
    }
}

/// What `side.py` says that it cost.
fn told(command: &mut Command) -> Result<Cost, String> {
    let line = shell::read(command)?;
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [wall, cpu, memory] => Ok(Cost { wall: *wall, cpu: *cpu, memory: *memory }),
        _ => Err(format!("no figures in {line:?}")),
    }
}
