//! Databases on a MariaDB, looked at by the server's own command line client.

mod access;
mod answers;
mod client;

pub use client::{Client, User};

pub(crate) use access::Access;

use crate::dump::{Dump, Rows};
use answers::{Told, answers, cell};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database on a MariaDB, the tests' own unless another is named; it goes when this is dropped.
#[derive(Debug)]
pub struct Mysql {
    /// Its name.
    pub name: String,
    access: Access,
    pub(crate) url: String,
}

impl Mysql {
    /// An empty one.
    pub fn empty() -> Result<Mysql, String> {
        Mysql::on(Access::found()?)
    }

    /// An empty one on that server.
    pub fn empty_on(server: &str) -> Result<Mysql, String> {
        Mysql::on(Access::of(server)?)
    }

    fn on(access: Access) -> Result<Mysql, String> {
        let name = format!("case_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        access.said("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))?;
        Ok(Mysql { url: access.url(&name), name, access })
    }

    /// One that is there already, for instance because a file system was mounted in its place.
    pub fn found(server: &str, name: &str) -> Result<Mysql, String> {
        let access = Access::of(server)?;
        Ok(Mysql { url: access.url(name), name: name.to_owned(), access })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its URL for another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.access.of_user(user, password).url(&self.name)
    }

    /// Its URL at another address, where something stands before the server; `more` are parameters.
    pub fn url_at(&self, address: SocketAddr, more: &str) -> String {
        format!("{}?ssl-mode=disabled{more}", self.access.url_at(address, &self.name))
    }

    /// Where its server listens.
    pub fn address(&self) -> Result<SocketAddr, String> {
        self.access.address()
    }

    /// A session of somebody else's.
    pub fn client(&self) -> Client {
        Client::new(&self.access, &self.name)
    }

    /// A user of the server with the password `pw`, until this is dropped. In `grants` it is `{}`.
    pub fn user(&self, grants: &str) -> User {
        User::new(&self.access, &self.name, grants)
    }

    /// One more with the same content.
    pub fn again(&self) -> Result<Mysql, String> {
        let copy = Mysql::on(self.access.clone())?;
        let mut sql = String::new();
        for table in self.tables("")? {
            let table = quote(&table);
            sql.push_str(&format!("CREATE TABLE {0}.{table} LIKE {1}.{table};", copy.name, self.name));
            sql.push_str(&format!("INSERT INTO {0}.{table} SELECT * FROM {1}.{table};", copy.name, self.name));
        }
        let views = format!(
            "SELECT table_name AS name, view_definition AS definition FROM information_schema.views
             WHERE table_schema = '{}'",
            self.name
        );
        for view in answers(&self.access.said("", &views)?).pop().unwrap_or_default() {
            let cell = |at: usize| view.get(at).and_then(|(_, text)| text.clone()).unwrap_or_default();
            let definition = cell(1).replace(&quote(&self.name), &quote(&copy.name));
            sql.push_str(&format!("CREATE VIEW {}.{} AS {definition};", copy.name, quote(&cell(0))));
        }
        self.access.said("", &sql)?;
        Ok(copy)
    }

    /// Statements, one behind a semicolon of the other.
    pub fn execute(&self, sql: &str) -> Result<(), String> {
        self.access.said(&self.name, sql).map(|_| ()).map_err(|e| format!("{sql}: {e}"))
    }

    /// Names of the tables for which the condition holds.
    pub(crate) fn tables(&self, and: &str) -> Result<Vec<String>, String> {
        let sql = format!(
            "SELECT table_name FROM information_schema.tables
             WHERE table_schema = '{}' AND table_type = 'BASE TABLE' {and} ORDER BY table_name",
            self.name
        );
        let rows = answers(&self.access.said("", &sql)?).pop().unwrap_or_default();
        Ok(rows.into_iter().flatten().filter_map(|(_, name)| name).collect())
    }

    /// Names of a table's columns in order, but for those that `*` does not show; none where there is no such table.
    pub(crate) fn columns(&self, table: &str) -> Result<Vec<String>, String> {
        let sql = format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = '{}' AND table_name = '{table}' AND extra NOT LIKE '%INVISIBLE%' ORDER BY ordinal_position",
            self.name
        );
        let rows = answers(&self.access.said("", &sql)?).pop().unwrap_or_default();
        Ok(rows.into_iter().flatten().filter_map(|(_, name)| name).collect())
    }

    /// The tables for which the condition holds, with their rows: asked for together, as starting a client takes its time.
    pub(crate) fn rows_of_tables(&self, and: &str) -> Result<Vec<(String, Rows)>, String> {
        let names = self.tables(and)?;
        let show = |name: &String| format!("SHOW COLUMNS FROM {};", quote(name));
        let told = self.access.said(&self.name, &names.iter().map(show).collect::<String>())?;
        let columns: Vec<Vec<Column>> = answers(&told).into_iter().map(described).collect();
        let select = |(name, columns): (&String, &Vec<Column>)| format!("{};", selected(columns, &quote(name)));
        let told = self.access.said(&self.name, &names.iter().zip(&columns).map(select).collect::<String>())?;
        let answers = answers(&told);
        if (columns.len(), answers.len()) != (names.len(), names.len()) {
            return Err(format!("{} tables, and {} answers", names.len(), answers.len()));
        }
        Ok(names.into_iter().zip(columns.into_iter().zip(answers).map(|(columns, told)| rows(columns, told))).collect())
    }

    /// Rows of a query.
    pub(crate) fn query(&self, sql: &str) -> Result<Rows, String> {
        let sql = &spoken(sql);
        // The client does not say the types; a table made of the query does.
        let make = format!("CREATE TEMPORARY TABLE asked AS {sql}; SHOW COLUMNS FROM asked;");
        let told = self.access.said(&self.name, &make).map_err(|e| format!("{sql}: {e}"))?;
        let columns = described(answers(&told).pop().unwrap_or_default());
        let told = self.access.said(&self.name, &selected(&columns, &format!("({sql}) asked")))?;
        Ok(rows(columns, answers(&told).pop().unwrap_or_default()))
    }

    pub(crate) fn dump(&self) -> Result<Dump, String> {
        let told = |(name, rows): (String, Rows)| {
            let mut lines = vec![rows.columns.join(" | ")];
            lines.extend(rows.lines());
            (name, lines)
        };
        Ok(self.rows_of_tables("AND table_name NOT LIKE '\\_floodmark\\_%'")?.into_iter().map(told).collect())
    }
}

/// A column's name and type.
type Column = (String, String);

/// What `SHOW COLUMNS` told, without the columns that `*` does not show.
fn described(told: Vec<Told>) -> Vec<Column> {
    let cell = |row: &Told, name: &str| row.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.clone());
    let shown = told.iter().filter(|row| !cell(row, "Extra").is_some_and(|extra| extra.contains("INVISIBLE")));
    shown.map(|row| (cell(row, "Field").unwrap_or_default(), cell(row, "Type").unwrap_or_default())).collect()
}

/// A query for these columns. Bytes are told in hexadecimal.
fn selected(columns: &[Column], from: &str) -> String {
    let is_bytes = |of: &str| ["blob", "binary"].iter().any(|kind| of.contains(kind));
    let shown = columns
        .iter()
        .map(|(name, of)| if is_bytes(of) { format!("HEX({0}) AS {0}", quote(name)) } else { quote(name) });
    format!("SELECT {} FROM {from}", shown.collect::<Vec<_>>().join(", "))
}

fn rows(columns: Vec<Column>, told: Vec<Told>) -> Rows {
    let cells = |row: Told| row.into_iter().zip(&columns).map(|((_, text), (_, of))| cell(text, of)).collect();
    let rows = told.into_iter().map(cells).collect();
    Rows { columns: columns.into_iter().map(|(name, _)| name).collect(), rows }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        // Sessions that a test left would keep their tables.
        self.access.quietly(&format!(
            "DELIMITER //
             BEGIN NOT ATOMIC
               FOR s IN (SELECT id FROM information_schema.processlist WHERE db = '{0}' AND id <> CONNECTION_ID())
               DO KILL s.id; END FOR;
             END//
             SET lock_wait_timeout = 10; DROP DATABASE IF EXISTS {0}//",
            self.name
        ));
    }
}

pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A query of a case as this server has it: its casts have other names.
fn spoken(sql: &str) -> String {
    let mut out = sql.to_owned();
    for (theirs, ours) in [
        (" AS TEXT)", " AS CHAR)"),
        (" AS text)", " AS CHAR)"),
        (" AS bigint)", " AS SIGNED)"),
        (" AS REAL)", " AS DOUBLE)"),
    ] {
        out = out.replace(theirs, ours);
    }
    out
}

/// A table of a case as this server has it: what others call a timestamp is a `datetime` here.
pub(crate) fn declared(sql: &str) -> String {
    if !sql.contains("CREATE TABLE") {
        return sql.to_owned();
    }
    let mut out = sql.to_owned();
    for end in [",", ")", " "] {
        out = out.replace(&format!(" timestamp{end}"), &format!(" datetime(6){end}"));
    }
    out
}
