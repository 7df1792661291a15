//! The two sides: Floodmark, and the `sqlite3` shell doing the same work the best way it has.

use super::measure::{Cost, measure};
use crate::shell;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Typed, with the key as the row id: the fastest shape SQLite has.
const TABLE: &str = "(o_orderkey INTEGER PRIMARY KEY, o_custkey INTEGER, o_orderstatus TEXT, o_totalprice REAL, \
o_orderdate TEXT, o_orderpriority TEXT, o_clerk TEXT, o_shippriority INTEGER, o_comment TEXT)";

const SET: &str = "o_custkey = excluded.o_custkey, o_orderstatus = excluded.o_orderstatus, \
o_totalprice = excluded.o_totalprice, o_orderdate = excluded.o_orderdate, o_orderpriority = excluded.o_orderpriority, \
o_clerk = excluded.o_clerk, o_shippriority = excluded.o_shippriority, o_comment = excluded.o_comment";

/// The pipeline of the folder, over `data`.
pub(super) const PIPELINE: &str = "version: 1
pipelines:
  orders:
    source: { files: \"data/*.csv\" }
    destination: { url: \"sqlite:///out.db\", table: orders }
    load: upsert
    key: o_orderkey
    watermark: o_orderdate
";

/// A directory with a database `out.db` and input files under `data`.
pub(crate) struct Side {
    /// Its name in the report.
    pub(crate) name: &'static str,
    directory: PathBuf,
    floodmark: Option<PathBuf>,
}

impl Side {
    /// Floodmark, as built.
    pub(crate) fn floodmark(work: &Path, program: &Path) -> Result<Side, String> {
        let side = Side { name: "floodmark", directory: work.join("floodmark"), floodmark: Some(program.to_owned()) };
        side.clear()?;
        fs::write(side.directory.join("floodmark.yaml"), PIPELINE).map_err(|e| e.to_string())?;
        Ok(side)
    }

    /// The shell from the path.
    pub(crate) fn sqlite3(work: &Path) -> Result<Side, String> {
        let side = Side { name: "sqlite3", directory: work.join("sqlite3"), floodmark: None };
        side.clear()?;
        Ok(side)
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("out.db")
    }

    /// Where a saved database is.
    pub(crate) fn saved(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// No database, no input.
    pub(crate) fn clear(&self) -> Result<(), String> {
        let data = self.directory.join("data");
        if data.exists() {
            fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
        }
        fs::create_dir_all(&data).map_err(|e| e.to_string())?;
        self.drop_database()
    }

    fn drop_database(&self) -> Result<(), String> {
        for entry in fs::read_dir(&self.directory).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.is_file() && path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("out.db")) {
                fs::remove_file(path).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// Puts an input file in place: a link, so that nothing is copied and its time stays.
    pub(crate) fn give(&self, file: &Path, name: &str) -> Result<(), String> {
        let place = self.directory.join("data").join(name);
        fs::hard_link(file, &place).map_err(|e| format!("{}: {e}", place.display()))
    }

    /// Keeps the database as it is under a name, for `restore`.
    pub(crate) fn save(&self, name: &str) -> Result<(), String> {
        // A database in WAL mode is whole only after a checkpoint.
        self.ask("PRAGMA wal_checkpoint(TRUNCATE)")?;
        fs::copy(self.database(), self.saved(name)).map(drop).map_err(|e| e.to_string())
    }

    /// A fresh copy of a saved database, written out to disk before anything is timed.
    pub(crate) fn restore(&self, name: &str) -> Result<(), String> {
        self.drop_database()?;
        fs::copy(self.saved(name), self.database()).map_err(|e| e.to_string())?;
        nix::unistd::sync();
        Ok(())
    }

    /// Loads what is new: for Floodmark whatever it finds, for the shell the file named.
    pub(crate) fn load(&self, file: &str) -> Result<Cost, String> {
        nix::unistd::sync();
        match &self.floodmark {
            Some(program) => measure(&self.directory, None, program, &["--format", "json", "run"]),
            None => {
                let script = self.directory.join("load.sql");
                fs::write(&script, script_for(file)).map_err(|e| e.to_string())?;
                measure(&self.directory, Some(&script), Path::new("sqlite3"), &["-bail", "-batch", "out.db"])
            }
        }
    }

    /// What the table holds, to see that both sides did the same work.
    pub(crate) fn content(&self) -> Result<String, String> {
        self.ask("SELECT count(*), sum(o_orderkey), sum(o_custkey), round(sum(o_totalprice), 2), max(o_orderdate) FROM orders")
    }

    fn ask(&self, sql: &str) -> Result<String, String> {
        shell::read(Command::new("sqlite3").arg(self.database()).arg(sql)).map(|text| text.trim().to_owned())
    }
}

/// `.import` commits by itself, so staging and merge are two transactions, as anyone would write them by hand.
pub(super) fn script_for(file: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS orders{TABLE};\n\
         CREATE TEMP TABLE staging{TABLE};\n\
         .import --csv --skip 1 --schema temp data/{file} staging\n\
         INSERT INTO orders SELECT * FROM staging WHERE true\n\
         ON CONFLICT(o_orderkey) DO UPDATE SET {SET}\n\
         WHERE excluded.o_orderdate >= orders.o_orderdate;\n"
    )
}
