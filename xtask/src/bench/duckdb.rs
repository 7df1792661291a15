//! `cargo xtask bench --only duckdb…`: loads into DuckDB beside its own shell, which reads the same file and merges it in the
//! two ways it knows: `MERGE INTO` a table without an index, and `INSERT … ON CONFLICT` into one with a primary key.

use super::{
    data,
    measure::{Cost, measure},
    report::{self, Series},
};
use crate::shell::{self, run as run_program, say};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is measured, by the name that `--only` gives. The first leaves what the others begin with.
const JOBS: [(&str, &str); 3] = [
    ("duckdb-first", "CSV → DuckDB, first load, 1.5 million rows"),
    ("duckdb-delta", "CSV → DuckDB, 30,000 changed and new rows"),
    ("duckdb-again", "CSV → DuckDB, 1.5 million rows, every one of them changed"),
];

/// The columns of TPC-H's orders in DuckDB's types.
const COLUMNS: [(&str, &str); 9] = [
    ("o_orderkey", "BIGINT"),
    ("o_custkey", "BIGINT"),
    ("o_orderstatus", "VARCHAR"),
    ("o_totalprice", "DECIMAL(18,2)"),
    ("o_orderdate", "DATE"),
    ("o_orderpriority", "VARCHAR"),
    ("o_clerk", "VARCHAR"),
    ("o_shippriority", "BIGINT"),
    ("o_comment", "VARCHAR"),
];

const PIPELINE: &str = "version: 1
pipelines:
  orders:
    source: { files: \"data/*.csv\" }
    destination: { url: \"duckdb:///out.duckdb\", table: orders }
    load: upsert
    key: o_orderkey
    watermark: o_orderdate
";

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Floodmark,
    Merge,
    Conflict,
}

impl Side {
    const ALL: [Side; 3] = [Side::Floodmark, Side::Merge, Side::Conflict];

    fn name(self) -> &'static str {
        match self {
            Side::Floodmark => "floodmark",
            Side::Merge => "duckdb, MERGE INTO",
            Side::Conflict => "duckdb, ON CONFLICT",
        }
    }

    fn folder(self, work: &Path) -> PathBuf {
        work.join(match self {
            Side::Floodmark => "floodmark",
            Side::Merge => "merge",
            Side::Conflict => "conflict",
        })
    }

    /// What DuckDB's shell is given.
    fn script(self, file: &str) -> String {
        let key = if self == Side::Conflict { " PRIMARY KEY" } else { "" };
        let columns: Vec<String> = COLUMNS
            .iter()
            .enumerate()
            .map(|(n, (name, declared))| format!("{name} {declared}{}", if n == 0 { key } else { "" }))
            .collect();
        let types: Vec<String> = COLUMNS.iter().map(|(name, declared)| format!("'{name}': '{declared}'")).collect();
        let read = format!("read_csv('data/{file}', header = true, columns = {{{}}})", types.join(", "));
        let set = |from: &str| {
            let parts: Vec<String> =
                COLUMNS.iter().skip(1).map(|(name, _)| format!("{name} = {from}.{name}")).collect();
            parts.join(", ")
        };
        let upsert = match self {
            Side::Conflict => format!(
                "INSERT INTO orders FROM {read} ON CONFLICT DO UPDATE SET {} WHERE excluded.o_orderdate >= orders.o_orderdate",
                set("excluded")
            ),
            _ => format!(
                "MERGE INTO orders USING {read} s ON orders.o_orderkey = s.o_orderkey
                 WHEN MATCHED AND s.o_orderdate >= orders.o_orderdate THEN UPDATE SET {}
                 WHEN NOT MATCHED THEN INSERT",
                set("s")
            ),
        };
        format!("CREATE TABLE IF NOT EXISTS orders ({});\n{upsert};\n", columns.join(", "))
    }
}

/// Runs the jobs whose name begins with `only`.
pub(super) fn run(program: &Path, work: &Path, only: &str, runs: usize) -> Result<(), String> {
    let orders = data::table(work, "orders")?;
    let files = [orders.clone(), data::delta(work, &orders)?, data::newer(work, &orders)?];
    let shell = shell_of(work)?;
    let bench = Bench { program: program.to_owned(), shell, work: work.join("duckdb") };
    let wanted = |job: &str| job.starts_with(only);
    if !JOBS.iter().any(|(name, _)| wanted(name)) {
        return Err(format!("no job's name begins with {only:?}: {}", JOBS.map(|(name, _)| name).join(", ")));
    }
    let mut series = Vec::new();
    let mut notes = Vec::new();
    for (n, ((name, title), file)) in JOBS.iter().zip(&files).enumerate() {
        if !wanted(name) && n > 0 {
            continue;
        }
        let measured = bench.job(title, file, n == 0, if wanted(name) { runs } else { 1 })?;
        if wanted(name) {
            let [own, others @ ..] = measured.as_slice() else { continue };
            let beside: Vec<String> =
                others.iter().map(|other| format!("{:.2} of {}", own.wall() / other.wall(), other.side)).collect();
            notes.push(format!("{title}: Floodmark takes {}.", beside.join(", ")));
            series.extend(measured);
        }
    }
    say(&report::table(&series));
    notes.iter().for_each(|note| say(note));
    let version = shell::read(Command::new(&bench.shell).arg("--version")).unwrap_or_default();
    let tools = format!("DuckDB's shell {}", version.split(' ').next().unwrap_or("of unknown version"));
    report::append(&series, &notes, program, &format!("cargo xtask bench --only {only} --runs {runs}"), &tools)
}

/// DuckDB's shell, from PyPI in a virtual environment of its own.
fn shell_of(work: &Path) -> Result<PathBuf, String> {
    let folder = work.join("duckdb-shell");
    let program = || {
        let found = shell::read(Command::new("find").arg(&folder).args(["-path", "*/duckdb_cli/duckdb", "-type", "f"]));
        found.ok().and_then(|text| text.lines().next().map(PathBuf::from))
    };
    if let Some(program) = program() {
        return Ok(program);
    }
    say("installing DuckDB's shell");
    run_program(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run_program(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "duckdb-cli==1.5.6"]))?;
    program().ok_or_else(|| "duckdb-cli has no program duckdb".to_owned())
}

struct Bench {
    program: PathBuf,
    shell: PathBuf,
    work: PathBuf,
}

impl Bench {
    /// Every side in turn, as often as asked; `first`: into nothing, else onto what the first load left.
    fn job(&self, title: &str, file: &Path, first: bool, runs: usize) -> Result<Vec<Series>, String> {
        let mut series: Vec<Series> = Side::ALL
            .iter()
            .map(|side| Series { job: title.to_owned(), side: side.name(), costs: Vec::new() })
            .collect();
        for run in 1..=runs {
            for (side, series) in Side::ALL.iter().zip(&mut series) {
                self.before(*side, file, first)?;
                let cost = self.load(*side, file)?;
                say(&format!("{title} {run}/{runs} {}: {:.3} s, {:.0} MiB", side.name(), cost.wall, cost.memory));
                series.costs.push(cost);
            }
        }
        let contents = Side::ALL.iter().map(|side| self.content(*side)).collect::<Result<Vec<_>, _>>()?;
        if contents.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("{title}: the tables differ: {contents:?}"));
        }
        if first {
            for side in Side::ALL {
                let folder = side.folder(&self.work);
                fs::copy(folder.join("out.duckdb"), folder.join("first")).map_err(|e| e.to_string())?;
            }
        }
        Ok(series)
    }

    /// Brings a side to where a job begins: what it reads is linked, so that nothing is copied and its time stays.
    fn before(&self, side: Side, file: &Path, first: bool) -> Result<(), String> {
        let fail = |e: std::io::Error| e.to_string();
        let folder = side.folder(&self.work);
        let _ = fs::remove_dir_all(folder.join("data"));
        fs::create_dir_all(folder.join("data")).map_err(fail)?;
        fs::write(folder.join("floodmark.yaml"), PIPELINE).map_err(fail)?;
        for name in ["out.duckdb", "out.duckdb.wal"] {
            let _ = fs::remove_file(folder.join(name));
        }
        if !first {
            fs::copy(folder.join("first"), folder.join("out.duckdb")).map_err(fail)?;
        }
        fs::hard_link(file, folder.join("data").join(name_of(file)?)).map_err(fail)?;
        nix::unistd::sync();
        Ok(())
    }

    fn load(&self, side: Side, file: &Path) -> Result<Cost, String> {
        let folder = side.folder(&self.work);
        if side == Side::Floodmark {
            return measure(&folder, None, &self.program, &["--format", "json", "run"]);
        }
        let script = folder.join("load.sql");
        fs::write(&script, side.script(name_of(file)?)).map_err(|e| e.to_string())?;
        measure(&folder, Some(&script), &self.shell, &["-bail", "-batch", "out.duckdb"])
    }

    fn content(&self, side: Side) -> Result<String, String> {
        let sql = "SELECT count(*), sum(o_orderkey), sum(o_custkey), sum(o_totalprice::DECIMAL(18,2)), max(o_orderdate) FROM orders";
        let mut ask = Command::new(&self.shell);
        ask.args(["-readonly", "-csv", "-noheader"]).arg(side.folder(&self.work).join("out.duckdb")).args(["-c", sql]);
        shell::read(&mut ask).map(|text| text.trim().to_owned())
    }
}

fn name_of(file: &Path) -> Result<&str, String> {
    file.file_name().and_then(|name| name.to_str()).ok_or_else(|| format!("{}: a file without a name", file.display()))
}
