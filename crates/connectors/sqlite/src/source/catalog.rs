//! The tables and views there are.

use super::{connect, path, unreadable};
use floodmark_core::{
    Result,
    catalog::{Catalog, Listed},
    url::ConnectionUrl,
};
use rusqlite::Connection;

/// What can be read of a database by its name.
///
/// # Errors
/// As for a source: where there is no such file, or it is no database.
pub fn catalog(url: &ConnectionUrl) -> Result<Catalog> {
    let path = path(url)?;
    let look = || Ok(Catalog { tables: tables(&connect(&path)?)?, case_sensitive: false });
    look().map_err(|error: floodmark_core::Error| error.in_file(path.clone()).or_state("nothing was written"))
}

fn tables(db: &Connection) -> Result<Vec<Listed>> {
    let named: Vec<(String, bool)> = db
        .prepare(
            "SELECT name, type = 'table' FROM pragma_table_list WHERE schema = 'main'
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_floodmark\\_%' ESCAPE '\\' ORDER BY name",
        )
        .and_then(|mut s| s.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
        .map_err(unreadable)?;
    let mut keys = db.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk").map_err(unreadable)?;
    let listed = named.into_iter().map(|(name, own)| {
        // A view may be broken, which is told to who reads it.
        let key = match own {
            true => keys.query_map([&name], |r| r.get(0)).and_then(Iterator::collect).map_err(unreadable)?,
            false => Vec::new(),
        };
        Ok(Listed { schema: None, name, bare: true, own, key })
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_keys_and_what_is_no_table_of_its_own_is_marked() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, x);
             CREATE TABLE \"odd \"\" name\" (a, b, c, PRIMARY KEY (c, a)) WITHOUT ROWID;
             CREATE TABLE bare (x); CREATE VIEW seen AS SELECT * FROM plain;
             CREATE VIEW broken AS SELECT * FROM nowhere;
             CREATE TABLE _floodmark_state (x); CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);
             CREATE VIRTUAL TABLE words USING fts5(t);",
        )
        .unwrap();
        let found = tables(&db).unwrap();
        let own: Vec<(&str, String)> =
            found.iter().filter(|t| t.own).map(|t| (t.name.as_str(), t.key.join(","))).collect();
        let expected = [("bare", ""), ("counted", "id"), ("odd \" name", "c,a"), ("plain", "id")];
        assert_eq!(own, expected.map(|(name, key)| (name, key.to_owned())));
        let others: Vec<&str> = found.iter().filter(|t| !t.own).map(|t| t.name.as_str()).collect();
        assert!(
            others.starts_with(&["broken", "seen", "words"]) && !others.contains(&"_floodmark_state"),
            "{others:?}"
        );
    }
}
