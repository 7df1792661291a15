//! Private copies, on which loads may be tried: a database of its own on the same server.
//!
//! It has what Floodmark knows of: the state tables, and the tables that pipelines load with their columns and indexes. The
//! pipeline's own table is not there, as after a full refresh. Making one needs the right to create databases
//! (`ALTER ROLE … CREATEDB`). A copy belongs to the folder it was asked for: once that is gone, it is dropped.

use crate::{
    PostgresDestination,
    ddl::{self, Name},
    failure::to,
    link::{Db, Step},
    receipts, state,
};
use floodmark_connect::Stop;
use floodmark_core::{Code, Error, Result, pipeline::Pipeline, url::ConnectionUrl};
use std::{fs, io::Write, path::Path};
use xxhash_rust::xxh3::xxh3_64;

/// The beginning of every copy's name, and of what is noted at it.
const COPY: &str = "floodmark_copy_";
const NOTE: &str = "floodmark copy for ";

pub(crate) fn copy(
    original: &PostgresDestination,
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
    let passfile = folder.join("pgpass");
    passwords(original, &passfile)?;
    original.address.url_of(&name, &passfile)
}

fn create(from: &Db, name: &str, owner: &Path) -> Result<()> {
    let like = from
        .query_one("SELECT datcollate::text, datctype::text FROM pg_database WHERE datname = current_database()", &[])
        .map_err(to("read the database's settings"))?;
    let (collate, ctype): (String, String) =
        like.try_get(0).and_then(|c| Ok((c, like.try_get(1)?))).map_err(to("read the database's settings"))?;
    let sql = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE {} LC_CTYPE {}",
        ddl::literal(&collate),
        ddl::literal(&ctype)
    );
    from.execute_batch(&sql).map_err(|e| {
        to("make a database for the copy")(e).help("a copy needs the right to create databases: ALTER ROLE … CREATEDB")
    })?;
    let note = format!("{NOTE}{}:{}", machine(), owner.display());
    let note = format!("COMMENT ON DATABASE {name} IS {}", ddl::literal(&note));
    from.execute_batch(&note).map_err(to("note whose copy it is"))
}

/// Which machine, or container, this is: folders of others are not seen here.
fn machine() -> String {
    let part = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    format!("{} {}", part("/proc/sys/kernel/hostname"), part("/proc/sys/kernel/random/boot_id"))
}

/// Drops copies that were made on this machine and whose folder is gone.
pub(crate) fn sweep(db: &Db) -> Result<()> {
    let rows = db
        .query(
            "SELECT d.datname::text, shobj_description(d.oid, 'pg_database') FROM pg_database d
             WHERE left(d.datname, length($1)) = $1 AND pg_has_role(d.datdba, 'USAGE')",
            &[&COPY],
        )
        .map_err(to("look for earlier copies"))?;
    for row in &rows {
        let get =
            || -> Result<(String, Option<String>), tokio_postgres::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
        let (name, note) = get().map_err(to("look for earlier copies"))?;
        // One without a note is just being made; of another machine's the folder cannot be seen.
        let mine = format!("{NOTE}{}:", machine());
        let Some(folder) = note.as_deref().and_then(|note| note.strip_prefix(&mine)) else { continue };
        if !Path::new(folder).exists() {
            // Somebody else may be doing the same.
            let _ = db.execute_batch(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ddl::quote(&name)));
        }
    }
    Ok(())
}

/// Copies the state as of one moment, but for the pipeline's.
fn state_of(from: &Db, into: &Db, without: &Pipeline, stop: &Stop) -> Result<()> {
    let fail = to("copy the state");
    from.execute_batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").map_err(&fail)?;
    let home: String =
        from.query_one("SELECT current_schema()::text", &[]).and_then(|row| row.try_get(0)).map_err(&fail)?;
    let step = Step::begin(into, false)?;
    for schema in [&home, &Name::resolve(from, &without.destination.table)?.schema] {
        into.execute_batch(&format!("CREATE SCHEMA IF NOT EXISTS {}", ddl::quote(schema))).map_err(&fail)?;
    }
    if state::present(from)? {
        state::create(into)?;
        for (table, counted) in state::OF_PIPELINES {
            stop.check()?;
            if !state::there(from, table)? {
                continue;
            }
            let table = format!("_floodmark_{table}");
            into.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"), |writer| {
                from.copy_out(&format!("COPY {table} TO STDOUT (FORMAT binary)"), |row| writer.pass(row))
            })?;
            if counted {
                let on = format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
                );
                into.query(&on, &[]).map_err(&fail)?;
            }
        }
        for table in tables(from, without)? {
            stop.check()?;
            copy_table(from, into, &table)?;
        }
        state::forget(into, &without.name)?;
        receipts::forget_all_rejects(into, &without.name)?;
    }
    step.commit().map_err(&fail)?;
    from.execute_batch("COMMIT").map_err(fail)
}

/// The tables that other pipelines load.
fn tables(from: &Db, without: &Pipeline) -> Result<Vec<Name>> {
    let fail = to("read the state");
    let rows = from
        .query(
            "SELECT DISTINCT \"table\" FROM _floodmark_state WHERE pipeline <> $1 AND \"table\" <> ''",
            &[&without.name],
        )
        .map_err(&fail)?;
    let mine = Name::resolve(from, &without.destination.table)?;
    let mut out: Vec<Name> = Vec::new();
    for row in &rows {
        let name = Name::resolve(from, row.try_get(0).map_err(&fail)?)?;
        if name != mine && !out.contains(&name) && ddl::table(from, &name)?.is_some() {
            out.push(name);
        }
    }
    Ok(out)
}

fn copy_table(from: &Db, into: &Db, name: &Name) -> Result<()> {
    let fail = to("copy a table");
    let rows = from
        .query(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum",
            &[&name.schema, &name.table],
        )
        .map_err(&fail)?;
    let columns = rows
        .iter()
        .map(|row| Ok((row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?)))
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()
        .map_err(&fail)?;
    let declared: Vec<String> = columns.iter().map(|(name, of)| format!("{} {of}", ddl::quote(name))).collect();
    let make = format!(
        "CREATE SCHEMA IF NOT EXISTS {}; CREATE TABLE {name} ({})",
        ddl::quote(&name.schema),
        declared.join(", ")
    );
    into.execute_batch(&make).map_err(&fail)?;
    let listed = ddl::list(columns.iter().map(|(name, _)| name.as_str()));
    into.copy_in(&format!("COPY {name} ({listed}) FROM STDIN (FORMAT binary)"), |writer| {
        let select = format!("COPY (SELECT {listed} FROM {name}) TO STDOUT (FORMAT binary)");
        from.copy_out(&select, |row| writer.pass(row))
    })?;
    let indexes = from
        .query("SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND tablename = $2", &[&name.schema, &name.table])
        .map_err(&fail)?;
    for row in &indexes {
        let index: &str = row.try_get(0).map_err(&fail)?;
        into.execute_batch(index).map_err(&fail)?;
    }
    Ok(())
}

/// Leaves the passwords where whoever has the folder finds them: a URL is shown, and stands on command lines.
fn passwords(original: &PostgresDestination, file: &Path) -> Result<()> {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    let mut text = String::new();
    for server in &original.address.servers {
        if let Some(password) = &server.password {
            let host = if server.is_socket() { "localhost" } else { &server.host };
            text.push_str(&format!("{}:{}:*:*:{}\n", escaped(host), server.port, escaped(password)));
        }
    }
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(file)?.write_all(text.as_bytes())
    };
    write().map_err(|e| {
        Error::new(Code::DestinationOpen, format!("{} cannot be written", file.display()))
            .state("nothing was done")
            .help("choose another folder for the copies: --scratch DIR")
            .cause(e)
    })
}
