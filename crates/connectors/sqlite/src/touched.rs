//! Which rows of a table changed in a transaction, and how: noted by temporary triggers, so that it holds for every load
//! strategy and for the table's own triggers, and costs nothing where nobody asks.

use crate::{bind, codec, ddl, failure::to, merge};
use floodmark_connect::{RowChange, Sample};
use floodmark_core::{Column, Result, Value, pipeline::Pipeline};
use rusqlite::{Connection, Row, Rows, Statement, params_from_iter, types::Value as Stored};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Rows taken out of a table without a key that are compared with those put in, at 12 bytes or so each. Beyond it the
/// rows are only counted.
const COMPARED: i64 = 5_000_000;

/// What the triggers note: the ids of rows put in, and each other row as it was before it first changed.
pub(crate) struct Touched {
    /// The table, quoted.
    table: String,
    columns: Vec<Column>,
    /// How many of the columns are the key; they come first.
    key: usize,
    /// What the row id is called; `None` for what has none (a view, a table WITHOUT ROWID), which is not watched.
    rowid: Option<&'static str>,
}

impl Touched {
    /// Takes note from now on. The table is there.
    pub(crate) fn watch(db: &Connection, pipeline: &Pipeline) -> Result<Touched> {
        let name = &pipeline.destination.table;
        let mut columns = ddl::table(db, name)?.unwrap_or_default().columns;
        let key = ddl::key_columns(pipeline);
        let place = |c: &Column| key.iter().position(|k| *k == c.name).unwrap_or(usize::MAX);
        columns.sort_by_key(place);
        let plain: bool = db
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND wr = 0
                                AND name = ?1 COLLATE NOCASE)",
                [name],
                |r| r.get(0),
            )
            .map_err(to("read the table's kind"))?;
        let rowid = if plain { merge::rowid_name(db, name).ok() } else { None };
        let touched = Touched { table: ddl::quote(name), key: key.len(), columns, rowid };
        if let Some(rowid) = rowid {
            db.execute_batch(&touched.triggers(rowid)).map_err(to("watch the table"))?;
        }
        Ok(touched)
    }

    fn triggers(&self, rowid: &str) -> String {
        let width = self.columns.len();
        let kept: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
        let old: Vec<String> = self.columns.iter().map(|c| format!("OLD.{}", ddl::quote(&c.name))).collect();
        // No types: values are kept as they are stored. The rows have their numbers beside them, because two columns
        // more could be more than a table may have.
        let mut sql = format!(
            "CREATE TEMP TABLE _floodmark_new (id INTEGER PRIMARY KEY);
             CREATE TEMP TABLE _floodmark_old (id INTEGER PRIMARY KEY, at INTEGER NOT NULL);
             CREATE TEMP TABLE _floodmark_old_rows ({});
             CREATE TEMP TRIGGER _floodmark_on_insert AFTER INSERT ON main.{}
             WHEN NOT EXISTS (SELECT 1 FROM _floodmark_new WHERE id = NEW.{rowid})
             BEGIN INSERT INTO _floodmark_new VALUES (NEW.{rowid}); END;",
            kept.join(", "),
            self.table
        );
        for event in ["UPDATE", "DELETE"] {
            sql.push_str(&format!(
                "CREATE TEMP TRIGGER _floodmark_on_{event} AFTER {event} ON main.{}
                 WHEN NOT EXISTS (SELECT 1 FROM _floodmark_old WHERE id = OLD.{rowid})
                  AND NOT EXISTS (SELECT 1 FROM _floodmark_new WHERE id = OLD.{rowid})
                 BEGIN
                   INSERT INTO _floodmark_old_rows VALUES ({});
                   INSERT INTO _floodmark_old VALUES (OLD.{rowid}, last_insert_rowid());
                 END;",
                self.table,
                old.join(", ")
            ));
        }
        sql
    }

    /// At most `limit` rows of each kind.
    pub(crate) fn samples(&self, db: &Connection, limit: usize) -> Result<Vec<Sample>> {
        let Some(rowid) = self.rowid else { return Ok(Vec::new()) };
        let names = ddl::list(self.columns.iter().map(|c| c.name.as_str()));
        let fail = to("compare the table with what it was");
        let mut old = db.prepare("SELECT * FROM _floodmark_old_rows ORDER BY rowid").map_err(&fail)?;
        let mut new = db
            .prepare(&format!(
                "SELECT {names} FROM {} WHERE {rowid} IN (SELECT id FROM _floodmark_new) ORDER BY {rowid}",
                self.table
            ))
            .map_err(&fail)?;
        if self.key == 0 {
            return self.by_content(db, &mut old, &mut new, limit);
        }
        let matches = |names: &mut dyn Iterator<Item = String>| {
            names.enumerate().map(|(n, name)| format!("{name} IS ?{}", n + 1)).collect::<Vec<_>>().join(" AND ")
        };
        let key = matches(&mut self.columns[..self.key].iter().map(|c| ddl::quote(&c.name)));
        let old_key: Vec<String> = (0..self.key).map(|n| format!("c{n}")).collect();
        db.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS temp._floodmark_old_key ON _floodmark_old_rows ({})",
            old_key.join(", ")
        ))
        .map_err(&fail)?;
        let mut now = db.prepare(&format!("SELECT {names} FROM {} WHERE {key} LIMIT 1", self.table)).map_err(&fail)?;
        let was = format!("SELECT 1 FROM _floodmark_old_rows WHERE {}", matches(&mut old_key.into_iter()));
        let mut was = db.prepare(&was).map_err(&fail)?;
        let (mut inserted, mut updated, mut removed) = (Vec::new(), Vec::new(), Vec::new());

        let mut rows = old.query([]).map_err(&fail)?;
        while (updated.len() < limit || removed.len() < limit)
            && let Some(before) = self.next(&mut rows)?
        {
            let mut found = now.query(params_from_iter(&before[..self.key])).map_err(&fail)?;
            match self.next(&mut found)? {
                None if removed.len() < limit => removed.push(self.sample(&before, RowChange::Removed)),
                Some(after) if after != before && updated.len() < limit => updated.push(self.updated(&before, &after)),
                _ => {}
            }
        }
        let mut rows = new.query([]).map_err(&fail)?;
        while inserted.len() < limit
            && let Some(row) = self.next(&mut rows)?
        {
            // Taken out and put in again it is an update, and was met above.
            if !was.exists(params_from_iter(&row[..self.key])).map_err(&fail)? {
                inserted.push(self.sample(&row, RowChange::Inserted));
            }
        }
        Ok(inserted.into_iter().chain(updated).chain(removed).collect())
    }

    /// Without a key a row is its content: what went out and came in again did not change.
    fn by_content(
        &self,
        db: &Connection,
        old: &mut Statement<'_>,
        new: &mut Statement<'_>,
        limit: usize,
    ) -> Result<Vec<Sample>> {
        let fail = to("compare the table with what it was");
        let count: i64 = db.query_row("SELECT count(*) FROM _floodmark_old", [], |r| r.get(0)).map_err(&fail)?;
        if count > COMPARED {
            return Ok(Vec::new());
        }
        let mut left: HashMap<u64, u32> = HashMap::new();
        let mut rows = old.query([]).map_err(&fail)?;
        while let Some(row) = rows.next().map_err(&fail)? {
            *left.entry(self.hash(row)?).or_default() += 1;
        }
        drop(rows);
        let mut samples = Vec::new();
        let mut rows = new.query([]).map_err(&fail)?;
        // All of them, where any went out: a row far down may be the one that came back.
        while (!left.is_empty() || samples.len() < limit)
            && let Some(row) = rows.next().map_err(&fail)?
        {
            let came_back = !left.is_empty() && take(&mut left, self.hash(row)?);
            if !came_back && samples.len() < limit {
                samples.push(self.sample(&self.read(row)?, RowChange::Inserted));
            }
        }
        let mut removed = 0;
        let mut rows = old.query([]).map_err(&fail)?;
        while removed < limit
            && !left.is_empty()
            && let Some(row) = rows.next().map_err(&fail)?
        {
            if take(&mut left, self.hash(row)?) {
                samples.push(self.sample(&self.read(row)?, RowChange::Removed));
                removed += 1;
            }
        }
        Ok(samples)
    }

    fn hash(&self, row: &Row<'_>) -> Result<u64> {
        let mut bytes = Vec::new();
        for at in 0..self.columns.len() {
            bind::encode(row.get_ref(at).map_err(to("read a row"))?, &mut bytes);
        }
        Ok(xxh3_64(&bytes))
    }

    fn next(&self, rows: &mut Rows<'_>) -> Result<Option<Vec<Stored>>> {
        rows.next().map_err(to("read a row"))?.map(|row| self.read(row)).transpose()
    }

    fn read(&self, row: &Row<'_>) -> Result<Vec<Stored>> {
        (0..self.columns.len()).map(|at| row.get(at)).collect::<rusqlite::Result<_>>().map_err(to("read a row"))
    }

    fn value(&self, at: usize, stored: &Stored) -> Value {
        let stored = stored.into();
        codec::decode(stored, self.columns[at].data_type).unwrap_or_else(|| codec::decode_as_stored(stored))
    }

    fn named(&self, row: &[Stored]) -> Vec<(String, Value)> {
        row.iter().enumerate().map(|(at, stored)| (self.columns[at].name.clone(), self.value(at, stored))).collect()
    }

    fn sample(&self, row: &[Stored], change: impl Fn(Vec<(String, Value)>) -> RowChange) -> Sample {
        let mut key = self.named(row);
        let rest = key.split_off(self.key);
        Sample { key, change: change(rest) }
    }

    fn updated(&self, before: &[Stored], after: &[Stored]) -> Sample {
        let differ = (self.key..self.columns.len()).filter(|at| before[*at] != after[*at]);
        let cells =
            differ.map(|at| (self.columns[at].name.clone(), self.value(at, &before[at]), self.value(at, &after[at])));
        Sample { key: self.named(&before[..self.key]), change: RowChange::Updated(cells.collect()) }
    }
}

/// Whether there is one left of it, which is then taken.
fn take(left: &mut HashMap<u64, u32>, hash: u64) -> bool {
    let Some(n) = left.get_mut(&hash) else { return false };
    *n -= 1;
    if *n == 0 {
        left.remove(&hash);
    }
    true
}
