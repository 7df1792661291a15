//! The databases a case can be played against: what the program loads into, looked at from outside.

use crate::{
    cell::Cell,
    dump::{self, Dump, Rows, quote},
    mysql::{self, Mysql},
};
use postgres::{Client, NoTls, types::Type};
use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// What a case is played against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A file in the project.
    Sqlite,
    /// A file in the project, for a program that was built with DuckDB.
    #[cfg(feature = "duckdb")]
    Duckdb,
    /// A folder of Delta tables in the project, for a program that was built with lakes.
    #[cfg(feature = "lake")]
    Delta,
    /// A database on the server that `FLOODMARK_TEST_POSTGRES` names.
    Postgres,
    /// A database on the server that `FLOODMARK_TEST_MYSQL` names.
    Mysql,
}

impl Destination {
    /// As `-- only` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Destination::Sqlite => "sqlite",
            #[cfg(feature = "duckdb")]
            Destination::Duckdb => "duckdb",
            #[cfg(feature = "lake")]
            Destination::Delta => "delta",
            Destination::Postgres => "postgres",
            Destination::Mysql => "mysql",
        }
    }
}

/// One case's database.
#[derive(Debug)]
pub(crate) enum Store {
    /// A file, by its name in the project.
    Sqlite(String),
    #[cfg(feature = "duckdb")]
    Duckdb(crate::duckdb::Duckdb),
    #[cfg(feature = "lake")]
    Delta(crate::lake::Lake),
    Postgres(Postgres),
    Mysql(Mysql),
}

impl Store {
    /// An empty one.
    pub(crate) fn new(on: Destination) -> Result<Store, String> {
        Ok(match on {
            Destination::Sqlite => Store::Sqlite("out.db".to_owned()),
            #[cfg(feature = "duckdb")]
            Destination::Duckdb => Store::Duckdb(crate::duckdb::Duckdb::new("out.db")),
            #[cfg(feature = "lake")]
            Destination::Delta => Store::Delta(crate::lake::Lake::new("out.db")),
            Destination::Postgres => Store::Postgres(Postgres::empty()?),
            Destination::Mysql => Store::Mysql(Mysql::empty()?),
        })
    }

    /// The pipeline file for this database: the URL that a case names stands for it.
    pub(crate) fn translate(&self, text: &str) -> String {
        #[cfg(feature = "duckdb")]
        if matches!(self, Store::Duckdb(_)) {
            return text.replace("sqlite:///", "duckdb:///");
        }
        // What is read stays what it is: a case that loads into a lake reads from a database of its own.
        #[cfg(feature = "lake")]
        let lake = matches!(self, Store::Delta(_));
        #[cfg(not(feature = "lake"))]
        let lake = false;
        if !lake && self.url().is_none() {
            return text.to_owned();
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("sqlite:///") {
            out.push_str(&rest[..at]);
            let path = &rest[at + "sqlite:///".len()..];
            let (file, behind) = path.split_at(url_end(path));
            match self.url() {
                Some(url) => out.push_str(url),
                None if file.ends_with("source.db") => out.push_str(&format!("sqlite:///{file}")),
                None => out.push_str(&format!("delta:///{file}")),
            }
            rest = behind;
        }
        out += rest;
        // Files that count as small are joined when rows of them change, and others keep their rows in their places.
        if lake && out.len().is_multiple_of(2) { large(&out) } else { out }
    }

    /// The URL of a server's database.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Store::Sqlite(_) => None,
            #[cfg(feature = "duckdb")]
            Store::Duckdb(_) => None,
            #[cfg(feature = "lake")]
            Store::Delta(_) => None,
            Store::Postgres(postgres) => Some(&postgres.url),
            Store::Mysql(mysql) => Some(&mysql.url),
        }
    }

    /// Whether making and changing a table commits by itself.
    pub(crate) fn schema_commits(&self) -> bool {
        matches!(self, Store::Mysql(_))
    }

    /// Follows the URL that a project names, where that says which file it is.
    pub(crate) fn find(&mut self, project: &str) -> Result<(), String> {
        if let Store::Sqlite(file) = self {
            let url = project.split("sqlite:///").nth(1).ok_or("the project names no sqlite:/// database")?;
            url[..url_end(url)].clone_into(file);
        }
        #[cfg(feature = "duckdb")]
        if let Store::Duckdb(duckdb) = self {
            let url = project.split("sqlite:///").nth(1).ok_or("the project names no sqlite:/// database")?;
            duckdb.file = url[..url_end(url)].to_owned();
        }
        #[cfg(feature = "lake")]
        if let Store::Delta(lake) = self {
            let url = project.split("sqlite:///").nth(1).ok_or("the project names no sqlite:/// database")?;
            url[..url_end(url)].clone_into(&mut lake.folder);
        }
        Ok(())
    }

    /// The same content once more, for a copy of the project.
    pub(crate) fn copy(&self) -> Result<Store, String> {
        Ok(match self {
            Store::Sqlite(file) => Store::Sqlite(file.clone()),
            #[cfg(feature = "duckdb")]
            Store::Duckdb(duckdb) => Store::Duckdb(duckdb.clone()),
            #[cfg(feature = "lake")]
            Store::Delta(lake) => Store::Delta(lake.clone()),
            Store::Postgres(postgres) => Store::Postgres(postgres.again()?),
            Store::Mysql(mysql) => Store::Mysql(mysql.again()?),
        })
    }

    /// Statements after which an event of a table's rows fails.
    pub(crate) fn forbid(&self, table: &str, event: &str) -> String {
        let name = table;
        let table = quote(table);
        match self {
            Store::Sqlite(_) => format!(
                "CREATE TRIGGER no_{event} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, 'written'); END;"
            ),
            // It has no triggers: a case that needs one is not played.
            #[cfg(feature = "duckdb")]
            Store::Duckdb(_) => String::new(),
            #[cfg(feature = "lake")]
            Store::Delta(_) => String::new(),
            Store::Postgres(_) => format!(
                "CREATE OR REPLACE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'written'; END $$; \
                 CREATE TRIGGER no_{event} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION forbid();"
            ),
            Store::Mysql(_) => format!(
                "CREATE TRIGGER no_{event} BEFORE {event} ON {} FOR EACH ROW \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'written';",
                mysql::quote(name)
            ),
        }
    }

    pub(crate) fn dump(&self, root: &Path) -> Result<Dump, String> {
        match self {
            Store::Sqlite(file) => dump::dump(&root.join(file)),
            #[cfg(feature = "duckdb")]
            Store::Duckdb(duckdb) => duckdb.dump(root),
            #[cfg(feature = "lake")]
            Store::Delta(lake) => lake.dump(root),
            Store::Postgres(postgres) => postgres.dump(),
            Store::Mysql(mysql) => mysql.dump(),
        }
    }

    pub(crate) fn query(&self, root: &Path, sql: &str) -> Result<Rows, String> {
        match self {
            Store::Sqlite(file) => dump::query(&root.join(file), sql),
            #[cfg(feature = "duckdb")]
            Store::Duckdb(duckdb) => duckdb.query(root, sql),
            #[cfg(feature = "lake")]
            Store::Delta(lake) => lake.query(root, sql),
            Store::Postgres(postgres) => query(&mut postgres.connect()?, sql),
            Store::Mysql(mysql) => mysql.query(sql),
        }
    }

    /// Names of a table's columns in order; none where there is no such table.
    pub(crate) fn columns(&self, root: &Path, table: &str) -> Result<Vec<String>, String> {
        let sql = match self {
            Store::Sqlite(file) if !root.join(file).exists() => return Ok(Vec::new()),
            Store::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
            #[cfg(feature = "duckdb")]
            Store::Duckdb(duckdb) => return duckdb.columns(root, table),
            #[cfg(feature = "lake")]
            Store::Delta(lake) => return lake.columns(root, table),
            Store::Postgres(_) => format!(
                "SELECT attname::text FROM pg_attribute
                 WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            ),
            Store::Mysql(mysql) => return mysql.columns(table),
        };
        Ok(self.query(root, &sql)?.rows.iter().flatten().map(Cell::to_string).collect())
    }

    pub(crate) fn execute(&self, root: &Path, sql: &str) -> Result<(), String> {
        match self {
            Store::Sqlite(file) => dump::execute(&root.join(file), sql),
            #[cfg(feature = "duckdb")]
            Store::Duckdb(duckdb) => duckdb.execute(root, sql),
            #[cfg(feature = "lake")]
            Store::Delta(_) => Err(format!("no statement changes a table of a lake: {sql}")),
            Store::Postgres(postgres) => {
                postgres.connect()?.batch_execute(sql).map_err(|e| format!("{sql}: {}", said(&e)))
            }
            Store::Mysql(mysql) => mysql.execute(sql),
        }
    }
}

impl Store {
    /// On the database that rows are read from: a file of its own, or the very database they go to.
    pub(crate) fn execute_on_source(&self, root: &Path, sql: &str) -> Result<(), String> {
        match self {
            Store::Sqlite(_) => dump::execute(&root.join("source.db"), sql),
            #[cfg(feature = "lake")]
            Store::Delta(_) => dump::execute(&root.join("source.db"), sql),
            #[cfg(feature = "duckdb")]
            Store::Duckdb(_) => crate::duckdb::Duckdb::new("source.db").execute(root, sql),
            Store::Postgres(_) => self.execute(root, sql),
            Store::Mysql(mysql) => mysql.execute(&mysql::declared(sql)),
        }
    }
}

/// A pipeline file by which no file of a lake counts as small.
fn large(text: &str) -> String {
    let line = |line: &str| match line.trim_start().starts_with("destination: {") && line.contains("delta:") {
        true => line.replacen(" }", ", file_size: 16KiB }", 1),
        false => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Where a URL ends in a pipeline file.
fn url_end(text: &str) -> usize {
    text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '}' | ',')).unwrap_or(text.len())
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database on a PostgreSQL server, the tests' own unless another is named; it goes when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    name: String,
    pub(crate) url: String,
    server: String,
}

impl Postgres {
    /// An empty one.
    pub fn empty() -> Result<Postgres, String> {
        Postgres::empty_on(&server()?, "")
    }

    /// An empty one on that server; `more` are words of `CREATE DATABASE`.
    pub fn empty_on(server: &str, more: &str) -> Result<Postgres, String> {
        Postgres::new(server, "template1", more)
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its URL at another address, where something stands before the server; `more` are parameters.
    pub fn url_at(&self, address: SocketAddr, more: &str) -> String {
        format!("postgres://postgres@{address}/{}?sslmode=disable{more}", self.name)
    }

    /// Where its server listens, beside its socket.
    pub fn address(&self) -> Result<SocketAddr, String> {
        let port = self.url.rsplit_once("port=").and_then(|(_, port)| port.parse().ok());
        Ok(SocketAddr::from(([127, 0, 0, 1], port.ok_or("the server's URL names no port at its end")?)))
    }

    /// One more with the same content.
    pub fn again(&self) -> Result<Postgres, String> {
        Postgres::new(&self.server, &self.name, "")
    }

    fn new(server: &str, template: &str, more: &str) -> Result<Postgres, String> {
        let name = format!("case_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let url = server.replacen("/postgres?", &format!("/{name}?"), 1);
        let mut client = connect(server)?;
        let version = query(&mut client, "SELECT current_setting('server_version_num')::bigint")?;
        // Copying small databases file by file takes half the time; servers before 15 know no other way.
        let how = if version.rows.iter().flatten().any(|v| matches!(v, Cell::Int(150_000..))) {
            "STRATEGY file_copy"
        } else {
            ""
        };
        let make = format!("CREATE DATABASE {name} TEMPLATE {template} {how} {more}");
        // Sessions that have just ended are still seen for a moment, and no database with sessions can be copied.
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = client.batch_execute(&make) {
            if Instant::now() > deadline {
                return Err(format!("{make}: {}", said(&error)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Postgres { name, url, server: server.to_owned() })
    }

    /// A session of somebody else's.
    pub fn connect(&self) -> Result<Client, String> {
        let mut client = connect(&self.url)?;
        client.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'").map_err(|e| said(&e))?;
        Ok(client)
    }

    fn dump(&self) -> Result<Dump, String> {
        let mut client = self.connect()?;
        let names = query(
            &mut client,
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
             AND relname NOT LIKE '\\_floodmark\\_%'",
        )?;
        let mut out = Dump::new();
        for row in names.rows {
            let [Cell::Text(name)] = row.as_slice() else { continue };
            let rows = query(&mut client, &format!("SELECT * FROM public.{}", quote(name)))?;
            let mut lines = vec![rows.columns.join(" | ")];
            lines.extend(rows.lines());
            out.insert(name.clone(), lines);
        }
        Ok(out)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut client) = connect(&self.server) {
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// The URL of the tests' server.
pub(crate) fn server() -> Result<String, String> {
    std::env::var("FLOODMARK_TEST_POSTGRES").map_err(|_| {
        "FLOODMARK_TEST_POSTGRES is not set: `cargo xtask services up` starts a PostgreSQL and says what to set"
            .to_owned()
    })
}

pub(crate) fn connect(url: &str) -> Result<Client, String> {
    Client::connect(url, NoTls).map_err(|e| format!("PostgreSQL: {}", said(&e)))
}

/// An error with what the server said.
pub(crate) fn said(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| e.message().to_owned())
}

/// Rows of a query, read as text: the server's own form of a value is what a person sees.
pub(crate) fn query(client: &mut Client, sql: &str) -> Result<Rows, String> {
    let mut run = || -> Result<Rows, postgres::Error> {
        let statement = client.prepare(sql)?;
        let columns: Vec<String> = statement.columns().iter().map(|c| c.name().to_owned()).collect();
        let types: Vec<Type> = statement.columns().iter().map(|c| c.type_().clone()).collect();
        let mut rows = Vec::new();
        for message in client.simple_query(sql)? {
            if let postgres::SimpleQueryMessage::Row(row) = message {
                rows.push(types.iter().enumerate().map(|(n, t)| cell(row.get(n), t)).collect());
            }
        }
        Ok(Rows { columns, rows })
    };
    run().map_err(|e| format!("{sql}: {}", said(&e)))
}

fn cell(text: Option<&str>, of: &Type) -> Cell {
    let Some(text) = text else { return Cell::Null };
    match *of {
        Type::BOOL => Cell::Bool(text == "t"),
        Type::INT2 | Type::INT4 | Type::INT8 => text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Int),
        Type::FLOAT4 | Type::FLOAT8 => text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Real),
        Type::BYTEA => {
            Cell::parse(&format!("x'{}'", text.trim_start_matches("\\x"))).unwrap_or(Cell::Bytes(Vec::new()))
        }
        // The session's zone is UTC, which the server writes as +00.
        Type::TIMESTAMPTZ => Cell::Text(format!("{text}:00")),
        _ => Cell::Text(text.to_owned()),
    }
}
