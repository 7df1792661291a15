//! A database on the tests' MariaDB, looked at by the server's own command line client.

use crate::{
    cell::Cell,
    dump::{Dump, Rows},
};
use std::{
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database that goes when this is dropped.
#[derive(Debug)]
pub struct Mysql {
    name: String,
    server: Server,
    pub(crate) url: String,
}

/// Where the tests' server is: `mysql://USER:PASSWORD@HOST:PORT/DATABASE`.
#[derive(Debug, Clone)]
struct Server {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Server {
    fn found() -> Result<Server, String> {
        let url = std::env::var("FLOODMARK_TEST_MYSQL").map_err(
            |_| "FLOODMARK_TEST_MYSQL is not set: `cargo xtask services up` starts a MariaDB and says what to set",
        )?;
        let parts = || {
            let (who, place) = url.strip_prefix("mysql://")?.split_once('@')?;
            let (user, password) = who.split_once(':')?;
            let (host, port) = place.split_once('/')?.0.split_once(':')?;
            let [user, password, host, port] = [user, password, host, port].map(str::to_owned);
            Some(Server { user, password, host, port })
        };
        parts().ok_or_else(|| "FLOODMARK_TEST_MYSQL is no mysql://user:password@host:port/database".to_owned())
    }

    /// Says the statements; what is answered, as XML.
    fn said(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--xml", "--default-character-set=utf8mb4", "--init-command"])
            // As cases are written for other databases.
            .arg("SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'")
            .args(["--host", &self.host, "--port", &self.port, "--user", &self.user])
            .args((!database.is_empty()).then_some(database))
            .env("MYSQL_PWD", &self.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut client = command.spawn().map_err(|e| format!("cannot start mariadb: {e}"))?;
        let mut input = client.stdin.take().ok_or("mariadb listens to nothing")?;
        let sql = sql.as_bytes().to_vec();
        let writer = std::thread::spawn(move || input.write_all(&sql));
        let output = client.wait_with_output().map_err(|e| e.to_string())?;
        // A client that stopped at a mistake has said which.
        let _ = writer.join();
        if output.status.success() {
            String::from_utf8(output.stdout).map_err(|e| e.to_string())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Mysql {
    /// An empty one.
    pub fn empty() -> Result<Mysql, String> {
        let server = Server::found()?;
        let name = format!("case_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        server.said("", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))?;
        let Server { user, password, host, port } = &server;
        Ok(Mysql { url: format!("mysql://{user}:{password}@{host}:{port}/{name}"), name, server })
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One more with the same content.
    pub(crate) fn again(&self) -> Result<Mysql, String> {
        let copy = Mysql::empty()?;
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
        for view in answers(&self.server.said("", &views)?).pop().unwrap_or_default() {
            let cell = |at: usize| view.get(at).and_then(|(_, text)| text.clone()).unwrap_or_default();
            let definition = cell(1).replace(&quote(&self.name), &quote(&copy.name));
            sql.push_str(&format!("CREATE VIEW {}.{} AS {definition};", copy.name, quote(&cell(0))));
        }
        self.server.said("", &sql)?;
        Ok(copy)
    }

    /// Statements, one behind a semicolon of the other.
    pub fn execute(&self, sql: &str) -> Result<(), String> {
        self.server.said(&self.name, sql).map(|_| ()).map_err(|e| format!("{sql}: {e}"))
    }

    /// Names of the tables for which the condition holds.
    pub(crate) fn tables(&self, and: &str) -> Result<Vec<String>, String> {
        let sql = format!(
            "SELECT table_name FROM information_schema.tables
             WHERE table_schema = '{}' AND table_type = 'BASE TABLE' {and} ORDER BY table_name",
            self.name
        );
        let rows = answers(&self.server.said("", &sql)?).pop().unwrap_or_default();
        Ok(rows.into_iter().flatten().filter_map(|(_, name)| name).collect())
    }

    /// Rows of a query.
    pub(crate) fn query(&self, sql: &str) -> Result<Rows, String> {
        let sql = &spoken(sql);
        // The client does not say the types; a table made of the query does. Bytes are told in hexadecimal.
        let make = format!("CREATE TEMPORARY TABLE asked AS {sql}; SHOW COLUMNS FROM asked;");
        let told = self.server.said(&self.name, &make).map_err(|e| format!("{sql}: {e}"))?;
        let columns: Vec<(String, String)> = answers(&told)
            .pop()
            .unwrap_or_default()
            .into_iter()
            .map(|row| {
                let cell = |name: &str| row.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.clone());
                (cell("Field").unwrap_or_default(), cell("Type").unwrap_or_default())
            })
            .collect();
        let is_bytes = |of: &str| ["blob", "binary"].iter().any(|kind| of.contains(kind));
        let shown: Vec<String> = columns
            .iter()
            .map(|(name, of)| if is_bytes(of) { format!("HEX({0}) AS {0}", quote(name)) } else { quote(name) })
            .collect();
        let told = self.server.said(&self.name, &format!("SELECT {} FROM ({sql}) asked", shown.join(", ")))?;
        let rows = answers(&told).pop().unwrap_or_default();
        let rows = rows
            .into_iter()
            .map(|row| row.into_iter().zip(&columns).map(|((_, text), (_, of))| cell(text, of)).collect())
            .collect();
        Ok(Rows { columns: columns.into_iter().map(|(name, _)| name).collect(), rows })
    }

    pub(crate) fn dump(&self) -> Result<Dump, String> {
        let mut out = Dump::new();
        for name in self.tables("AND table_name NOT LIKE '\\_floodmark\\_%'")? {
            let rows = self.query(&format!("SELECT * FROM {}", quote(&name)))?;
            let mut lines = vec![rows.columns.join(" | ")];
            lines.extend(rows.lines());
            out.insert(name, lines);
        }
        Ok(out)
    }
}

impl Drop for Mysql {
    fn drop(&mut self) {
        let _ = self.server.said("", &format!("DROP DATABASE IF EXISTS {}", self.name));
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

/// A row as the client tells it: names and cells.
type Told = Vec<(String, Option<String>)>;

/// The answers in what the client says, each with its rows.
fn answers(xml: &str) -> Vec<Vec<Told>> {
    let plain = |text: &str| {
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        text.replace("&#xD;", "\r").replace("&amp;", "&")
    };
    xml.split("<resultset")
        .skip(1)
        .map(|answer| {
            let rows = answer.split("<row>").skip(1);
            rows.map(|row| {
                let fields = row.split("<field name=\"").skip(1);
                fields
                    .filter_map(|field| {
                        let (name, rest) = field.split_once('"')?;
                        let value = match rest.split_once('>')? {
                            (attributes, _) if attributes.contains("xsi:nil") => None,
                            (_, content) => Some(plain(content.split("</field>").next()?)),
                        };
                        Some((plain(name), value))
                    })
                    .collect()
            })
            .collect()
        })
        .collect()
}

/// A cell by the type of its column, in the form in which cases are written.
fn cell(text: Option<String>, of: &str) -> Cell {
    let Some(text) = text else { return Cell::Null };
    let whole = ["int", "tinyint", "smallint", "mediumint", "bigint"];
    let kind = of.split(['(', ' ']).next().unwrap_or_default();
    let short = |text: &str| match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        None => text.to_owned(),
    };
    match kind {
        _ if of.starts_with("tinyint(1)") => Cell::Bool(text == "1"),
        _ if whole.contains(&kind) => text.parse().map_or_else(|_| Cell::Text(text.clone()), Cell::Int),
        "double" | "float" => text.parse().map_or_else(|_| Cell::Text(text.clone()), Cell::Real),
        "datetime" | "time" => Cell::Text(short(&text)),
        "timestamp" => Cell::Text(format!("{}+00:00", short(&text))),
        _ if kind.contains("blob") || kind.contains("binary") => {
            Cell::parse(&format!("x'{text}'")).unwrap_or(Cell::Bytes(Vec::new()))
        }
        _ => Cell::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_read() {
        let xml = "<?xml version=\"1.0\"?>\n<resultset statement=\"x\">\n  <row>\n\t<field name=\"a\">1 &lt; 2\n</field>\n\t\
                   <field name=\"b\" xsi:nil=\"true\" />\n  </row>\n</resultset>\n";
        let row = vec![("a".to_owned(), Some("1 < 2\n".to_owned())), ("b".to_owned(), None)];
        assert_eq!(answers(xml), [vec![row]]);
        assert_eq!(
            cell(Some("2024-01-01 00:00:00.500000".into()), "datetime(6)"),
            Cell::Text("2024-01-01 00:00:00.5".into())
        );
        assert_eq!(cell(Some("1".into()), "tinyint(1)"), Cell::Bool(true));
    }
}
