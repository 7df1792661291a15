//! Which rows of a table changed in a transaction, and how: noted by triggers that go with it, so that it holds for every
//! load strategy and for the table's own triggers, and costs nothing where nobody asks.

use crate::{
    codec,
    ddl::{self, Found, Name, Table},
    failure::to,
    link::Db,
    tuples::Tuple,
};
use floodmark_connect::{RowChange, Sample};
use floodmark_core::{DataType, Result, Value, pipeline::Pipeline};

/// What the triggers note: the keys of rows put in (without a key the rows), and each other row as it was before it first
/// changed.
pub(crate) struct Touched {
    table: Name,
    columns: Vec<Found>,
    /// How many of the columns are the key; they come first.
    key: usize,
}

const NEW: &str = "pg_temp._floodmark_new";
const OLD: &str = "pg_temp._floodmark_old";

impl Touched {
    /// Takes note from now on. The table is there.
    pub(crate) fn watch(db: &Db, pipeline: &Pipeline, name: &Name, table: &Table) -> Result<Touched> {
        let key = ddl::key_columns(pipeline);
        let mut columns = table.columns.clone();
        columns.sort_by_key(|c| key.iter().position(|k| *k == c.name).unwrap_or(usize::MAX));
        let touched = Touched { table: name.clone(), columns, key: key.len() };
        db.execute_batch(&touched.triggers()).map_err(to("watch the table"))?;
        Ok(touched)
    }

    fn list(&self, of: &[Found], alias: &str) -> String {
        of.iter().map(|c| format!("{alias}{}", ddl::quote(&c.name))).collect::<Vec<_>>().join(", ")
    }

    /// The condition that rows of two tables (names with their points) have the same key.
    fn same(&self, a: &str, b: &str) -> String {
        let parts = self.columns[..self.key].iter().map(|c| ddl::quote(&c.name)).map(|c| format!("{a}{c} = {b}{c}"));
        parts.collect::<Vec<_>>().join(" AND ")
    }

    fn triggers(&self) -> String {
        let all = self.list(&self.columns, "");
        let new = if self.key > 0 { self.list(&self.columns[..self.key], "") } else { all.clone() };
        let unseen = match self.key {
            0 => String::new(),
            _ => format!(
                " WHERE NOT EXISTS (SELECT FROM {OLD} o WHERE {}) AND NOT EXISTS (SELECT FROM {NEW} n WHERE {})",
                self.same("o.", "r."),
                self.same("n.", "r.")
            ),
        };
        // Only what is looked up by its key needs an index.
        let indexes = match self.key {
            0 => String::new(),
            _ => format!("CREATE INDEX ON {OLD} ({new}); CREATE INDEX ON {NEW} ({new});"),
        };
        let mut sql = format!(
            "CREATE TEMPORARY TABLE _floodmark_new ON COMMIT DROP AS SELECT {new} FROM {0} WITH NO DATA;
             CREATE TEMPORARY TABLE _floodmark_old ON COMMIT DROP AS SELECT {all} FROM {0} WITH NO DATA; {indexes}
             CREATE FUNCTION pg_temp._floodmark_note_new() RETURNS trigger LANGUAGE plpgsql AS $floodmark$ BEGIN
               INSERT INTO {NEW} SELECT {new} FROM _floodmark_rows; RETURN NULL; END $floodmark$;
             CREATE FUNCTION pg_temp._floodmark_note_old() RETURNS trigger LANGUAGE plpgsql AS $floodmark$ BEGIN
               INSERT INTO {OLD} SELECT {all} FROM _floodmark_rows r{unseen}; RETURN NULL; END $floodmark$;
             CREATE TRIGGER _floodmark_on_insert AFTER INSERT ON {0} REFERENCING NEW TABLE AS _floodmark_rows
               FOR EACH STATEMENT EXECUTE FUNCTION pg_temp._floodmark_note_new();",
            self.table
        );
        for event in ["UPDATE", "DELETE"] {
            sql.push_str(&format!(
                "CREATE TRIGGER _floodmark_on_{event} AFTER {event} ON {} REFERENCING OLD TABLE AS _floodmark_rows
                   FOR EACH STATEMENT EXECUTE FUNCTION pg_temp._floodmark_note_old();",
                self.table
            ));
        }
        sql
    }

    /// The columns as values, of a table with that alias.
    fn read(&self, alias: &str) -> String {
        self.columns.iter().map(|c| c.read(alias)).collect::<Vec<_>>().join(", ")
    }

    /// The columns so that they can be compared: json has no equality, and its text has.
    fn compared(&self, alias: &str) -> String {
        let column = |c: &Found| match c.data_type {
            DataType::Json => format!("{alias}{}::text", ddl::quote(&c.name)),
            _ => format!("{alias}{}", ddl::quote(&c.name)),
        };
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    /// At most `limit` rows of each kind.
    pub(crate) fn samples(&self, db: &Db, limit: usize) -> Result<Vec<Sample>> {
        let mut out = Vec::new();
        if self.key == 0 {
            // Without a key a row is its content: what went out and came in again did not change.
            for (some, without, change) in
                [(NEW, OLD, RowChange::Inserted as fn(_) -> _), (OLD, NEW, RowChange::Removed as fn(_) -> _)]
            {
                let names = self.list(&self.columns, "");
                let compared = self.compared("");
                let rows: Vec<String> = self.columns.iter().map(|c| c.read("d.")).collect();
                let sql = format!(
                    "SELECT {} FROM (SELECT {compared} FROM {some} EXCEPT ALL SELECT {compared} FROM {without}) d({names})
                     LIMIT {limit}",
                    rows.join(", ")
                );
                self.take(db, &sql, |row| out.push(self.sample(row, change)))?;
            }
            return Ok(out);
        }
        let key = self.list(&self.columns[..self.key], "t.");
        let sql = format!(
            "SELECT {} FROM {} t WHERE EXISTS (SELECT FROM {NEW} n WHERE {}) AND NOT EXISTS (SELECT FROM {OLD} o WHERE {})
             ORDER BY {key} LIMIT {limit}",
            self.read("t."),
            self.table,
            self.same("n.", "t."),
            self.same("o.", "t.")
        );
        self.take(db, &sql, |row| out.push(self.sample(row, RowChange::Inserted)))?;
        let sql = format!(
            "SELECT {}, {} FROM {OLD} o JOIN {} t ON {} WHERE ({}) IS DISTINCT FROM ({}) ORDER BY {key} LIMIT {limit}",
            self.read("o."),
            self.read("t."),
            self.table,
            self.same("o.", "t."),
            self.row("o."),
            self.row("t.")
        );
        self.take(db, &sql, |row| out.push(self.updated(row)))?;
        let sql = format!(
            "SELECT {} FROM {OLD} o WHERE NOT EXISTS (SELECT FROM {} t WHERE {}) ORDER BY {} LIMIT {limit}",
            self.read("o."),
            self.table,
            self.same("o.", "t."),
            self.list(&self.columns[..self.key], "o.")
        );
        self.take(db, &sql, |row| out.push(self.sample(row, RowChange::Removed)))?;
        Ok(out)
    }

    /// A row of all columns, also where there is one alone.
    fn row(&self, alias: &str) -> String {
        format!("ROW({})", self.compared(alias))
    }

    fn take(&self, db: &Db, select: &str, mut take: impl FnMut(&Tuple)) -> Result<()> {
        db.copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)"), |row| {
            take(row);
            Ok(())
        })
    }

    fn value(&self, row: &Tuple, offset: usize, at: usize) -> Value {
        codec::shown(row.cell(offset + at), self.columns[at].data_type)
    }

    fn named(&self, row: &Tuple, offset: usize) -> Vec<(String, Value)> {
        (0..self.columns.len()).map(|at| (self.columns[at].name.clone(), self.value(row, offset, at))).collect()
    }

    fn sample(&self, row: &Tuple, change: impl Fn(Vec<(String, Value)>) -> RowChange) -> Sample {
        let mut key = self.named(row, 0);
        let rest = key.split_off(self.key);
        Sample { key, change: change(rest) }
    }

    fn updated(&self, row: &Tuple) -> Sample {
        let width = self.columns.len();
        let mut key = self.named(row, 0);
        let before = key.split_off(self.key);
        let after = self.named(row, width).split_off(self.key);
        let cells = before.into_iter().zip(after).filter(|((_, a), (_, b))| a != b);
        Sample { key, change: RowChange::Updated(cells.map(|((name, a), (_, b))| (name, a, b)).collect()) }
    }
}
