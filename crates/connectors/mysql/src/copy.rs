//! Private copies, on which loads may be tried: a database of its own on the same server.
//!
//! It has what Floodmark knows of: the state tables, and the tables that pipelines load. The pipeline's own table is not
//! there, as after a full refresh. Making one needs the right to create databases (`GRANT ALL ON floodmark_copy_…`). A copy
//! belongs to the folder it was asked for: once that is gone, it is dropped.

use crate::{
    MysqlDestination,
    codec::Taken,
    ddl::{self, Name},
    failure::to,
    link::Db,
    literal::{self, text},
    receipts,
    rows::Inlet,
    state,
};
use floodmark_connect::Stop;
use floodmark_core::{Code, DataType, Error, Result, pipeline::Pipeline, url::ConnectionUrl};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

/// The beginning of every copy's name.
const COPY: &str = "floodmark_copy_";

/// The table in it that notes whose it is.
const NOTE: &str = "_floodmark_copy";

pub(crate) fn copy(
    original: &MysqlDestination,
    folder: &Path,
    without: &Pipeline,
    stop: &Stop,
) -> Result<ConnectionUrl> {
    let from = original.connect()?;
    sweep(&from)?;
    let owner = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = format!("{COPY}{:016x}", xxh3_64(format!("{} {}", owner.display(), std::process::id()).as_bytes()));
    create(&from, &name, &owner)?;
    let mut address = original.address.clone();
    name.clone_into(&mut address.database);
    let into = Db::connect(&address, "floodmark")?;
    state_of(&from, &into, without, stop)?;
    let password = password(original, folder)?;
    original.address.url_of(&name, password.as_deref())
}

fn create(from: &Db, name: &str, owner: &Path) -> Result<()> {
    from.execute(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE {}", from.server.exact())).map_err(
        |e| {
            to("make a database for the copy")(e)
                .help("a copy needs the right to create databases: GRANT ALL ON `floodmark_copy_%`.* TO …")
        },
    )?;
    let note = format!("{}:{}", machine(), owner.display());
    let fail = to("note whose copy it is");
    from.execute(&format!("CREATE TABLE {name}.{NOTE} (note longtext CHARACTER SET utf8mb4) ENGINE = InnoDB"))
        .map_err(&fail)?;
    from.execute(&format!("INSERT INTO {name}.{NOTE} VALUES ({})", text(&note))).map_err(&fail)?;
    Ok(())
}

/// Which machine, or container, this is: folders of others are not seen here.
fn machine() -> String {
    let part = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    format!("{} {}", part("/proc/sys/kernel/hostname"), part("/proc/sys/kernel/random/boot_id"))
}

/// Drops copies that were made on this machine and whose folder is gone.
pub(crate) fn sweep(db: &Db) -> Result<()> {
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE LEFT(schema_name, {}) = '{COPY}'",
        COPY.len()
    );
    for row in &db.query(&sql).map_err(to("look for earlier copies"))? {
        let name = literal::name(row.text(0).unwrap_or_default());
        // One without a note is just being made; of another machine's the folder cannot be seen.
        let Ok(Some(note)) = db.query_opt(&format!("SELECT note FROM {name}.{NOTE}")) else { continue };
        let mine = format!("{}:", machine());
        let Some(folder) = note.text(0).and_then(|note| note.strip_prefix(&mine)) else { continue };
        if !Path::new(folder).exists() {
            // Somebody else may be doing the same.
            let _ = db.execute(&format!("DROP DATABASE IF EXISTS {name}"));
        }
    }
    Ok(())
}

/// Copies the state as of one moment, but for the pipeline's.
fn state_of(from: &Db, into: &Db, without: &Pipeline, stop: &Stop) -> Result<()> {
    let fail = to("copy the state");
    if !state::present(from)? {
        return Ok(());
    }
    state::create(into)?;
    // Tables are made first: what is read afterwards is of one moment.
    let tables = tables(from, into, without)?;
    for (name, copy) in &tables {
        into.execute(&format!("CREATE TABLE {copy} LIKE {name}")).map_err(to("copy a table"))?;
    }
    from.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").map_err(&fail)?;
    from.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").map_err(&fail)?;
    into.execute("START TRANSACTION").map_err(&fail)?;
    for (table, _) in state::TABLES {
        stop.check()?;
        if !state::there(from, table)? {
            continue;
        }
        let table = Name { database: from.server.database.clone(), table: format!("_floodmark_{table}") };
        let copy = Name { database: into.server.database.clone(), table: table.table.clone() };
        rows(from, into, &table, &copy)?;
    }
    for (name, copy) in &tables {
        stop.check()?;
        rows(from, into, name, copy)?;
    }
    state::forget(into, &without.name)?;
    receipts::forget_all_rejects(into, &without.name)?;
    into.execute("COMMIT").map_err(&fail)?;
    from.execute("COMMIT").map_err(fail)?;
    Ok(())
}

/// The tables that other pipelines load, and what they are called in the copy.
fn tables(from: &Db, into: &Db, without: &Pipeline) -> Result<Vec<(Name, Name)>> {
    let sql = format!(
        "SELECT DISTINCT `table` FROM _floodmark_state WHERE pipeline <> {} AND `table` <> ''",
        text(&without.name)
    );
    let mine = Name::resolve(from, &without.destination.table)?;
    let mut out: Vec<(Name, Name)> = Vec::new();
    for row in &from.query(&sql).map_err(to("read the state"))? {
        let name = Name::resolve(from, row.text(0).unwrap_or_default())?;
        // One of another database would be the original's own there.
        let home = name.database == from.server.database;
        if home && name != mine && !out.iter().any(|(n, _)| *n == name) && ddl::table(from, &name)?.is_some() {
            let copy = Name { database: into.server.database.clone(), table: name.table.clone() };
            out.push((name, copy));
        }
    }
    Ok(out)
}

fn rows(from: &Db, into: &Db, name: &Name, copy: &Name) -> Result<()> {
    let fail = to("copy a table");
    // Every column that is written, also those that no pipeline sees; bytes as bytes.
    let columns = from.query(&format!("SHOW FULL COLUMNS FROM {name}")).map_err(&fail)?;
    let columns: Vec<Taken> = (columns.iter())
        .filter(|row| !row.text(6).unwrap_or_default().to_ascii_uppercase().contains(" GENERATED"))
        .map(|row| {
            let declared = row.text(1).unwrap_or_default();
            let binary = ["binary", "blob", "bit"].iter().any(|kind| declared.contains(kind));
            Taken::new(row.text(0).unwrap_or_default(), if binary { DataType::Bytes } else { DataType::Text })
        })
        .collect();
    let inlet = Inlet { table: copy.to_string(), columns };
    let mut rows = from.stream(&format!("SELECT {} FROM {name}", inlet.names())).map_err(&fail)?;
    into.copy_in(&inlet, |writer| {
        while let Some(row) = rows.next().map_err(&fail)? {
            for at in 0..row.len() {
                writer.cell(row.get(at))?;
            }
            writer.end()?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Leaves the password where whoever has the folder finds it: a URL is shown, and stands on command lines.
fn password(original: &MysqlDestination, folder: &Path) -> Result<Option<PathBuf>> {
    let Some(password) = &original.address.password else { return Ok(None) };
    let file = folder.join("password");
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&file)?.write_all(password.as_bytes())
    };
    write().map_err(|e| {
        Error::new(Code::DestinationOpen, format!("{} cannot be written", file.display()))
            .state("nothing was done")
            .help("choose another folder for the copies: --scratch DIR")
            .cause(e)
    })?;
    Ok(Some(file))
}
