//! Which rows were brought, and what became of the table.

use super::{Bench, Elsewhere, Values, Wanted, untold};
use crate::{bind, ddl, failure::to, merge};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType as Arrow, Field},
};
use floodmark_connect::{
    cells::{Cell, ColumnBuilder},
    crash::{self, Point},
};
use floodmark_core::{Code, DataType, Error, Result, Schema, Value, error::shorten, state::FileEntry};
use rusqlite::{Connection, types::ValueRef};
use std::{ops::Range, sync::Arc};

/// Rows of a batch that is read.
const ROWS: usize = 16_384;
/// Bytes of text and blobs after which a batch ends early.
const BYTES: usize = 8 << 20;

/// Takes note of the rows that are brought, by their numbers in the scratch database, and of those that leave it or change.
pub(super) struct Brought<'db> {
    db: &'db Connection,
    table: &'db str,
    /// The table's columns, those included that are kept beside the data.
    pub(super) schema: Schema,
    rehearsing: bool,
    /// Where they are asked for: the keys of what was brought.
    pub(super) met: Option<Values>,
}

impl<'db> Brought<'db> {
    pub(super) fn begin(db: &'db Connection, table: &'db str, rehearsing: bool) -> Result<Self> {
        let rowid = merge::rowid_name(db, table)?;
        let quoted = ddl::quote(table);
        // A row that comes in the place of one that left may get its number: it has left all the same.
        let mut sql =
            "CREATE TEMP TABLE IF NOT EXISTS _floodmark_places (id INTEGER PRIMARY KEY, file INTEGER, row INTEGER);
             CREATE TEMP TABLE IF NOT EXISTS _floodmark_left (id INTEGER PRIMARY KEY, columns INTEGER NOT NULL);"
                .to_owned();
        let schema = ddl::table(db, table)?.unwrap_or_default();
        for (event, columns) in [("update", differing(&schema)), ("delete", EVERY.to_string())] {
            sql.push_str(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS _floodmark_on_leave_{event} AFTER {event} ON main.{quoted}
                 WHEN EXISTS (SELECT 1 FROM _floodmark_places WHERE id = OLD.{rowid})
                 BEGIN
                   INSERT INTO _floodmark_left VALUES (OLD.{rowid}, {columns})
                   ON CONFLICT (id) DO UPDATE SET columns = columns | excluded.columns;
                 END;"
            ));
        }
        crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("watch the table")))?;
        Ok(Brought { db, table, schema, rehearsing, met: None })
    }

    pub(super) fn bring(&mut self, elsewhere: &mut dyn Elsewhere, wanted: &Wanted<'_>) -> Result<u64> {
        let fail = to("bring rows of the table");
        let names: Vec<&str> = self.schema.columns.iter().map(|c| c.name.as_str()).collect();
        let types: Vec<_> = self.schema.columns.iter().map(|c| c.data_type).collect();
        let mut insert = self.db.prepare(&merge::insert_sql(self.table, &names)).map_err(&fail)?;
        let mut place = self.db.prepare("INSERT INTO temp._floodmark_places VALUES (?1, ?2, ?3)").map_err(&fail)?;
        let mut known = match self.rehearsing {
            true => Some(self.db.prepare("DELETE FROM temp._floodmark_new WHERE id = ?1").map_err(&fail)?),
            false => None,
        };
        let (db, table) = (self.db, self.table);
        let (mut scratch, mut rows) = (String::new(), 0);
        elsewhere.bring(wanted, &self.schema, &mut |batch, file, places| {
            if let Some(met) = &mut self.met {
                met.add(batch)?;
            }
            let cells = bind::columns(batch, &types)?;
            for (row, at) in places.iter().enumerate() {
                for (n, cell) in cells.iter().enumerate() {
                    cell.bind(&mut insert, n + 1, row, &mut scratch).map_err(&fail)?;
                }
                let value = |column: &str| Some(cells[names.iter().position(|name| *name == column)?].value(row));
                crash::at(Point::Temporary, || insert.raw_execute().map_err(|error| twice(error, db, table, value)))?;
                let id = db.last_insert_rowid();
                crash::at(Point::Temporary, || place.execute((id, file, at)).map_err(&fail))?;
                if let Some(known) = &mut known {
                    crash::at(Point::Temporary, || known.execute([id]).map_err(&fail))?;
                }
            }
            rows += places.len() as u64;
            Ok(())
        })?;
        Ok(rows)
    }

    /// Brings the rows that a file holds now, all of them.
    pub(super) fn lineage(
        &mut self,
        elsewhere: &mut dyn Elsewhere,
        table: &str,
        file: &str,
        entry: &FileEntry,
    ) -> Result<()> {
        let Some(lineage) = merge::known_lineage(table, file, entry)? else { return Ok(()) };
        match self.bring(elsewhere, &Wanted::Numbered(&lineage.ranges))? {
            rows if rows == lineage.rows => Ok(()),
            _ => Err(untold(table, file, entry)),
        }
    }
}

/// Rows are brought into a table that has each key once. `value`: of a column of the row that came second.
fn twice(error: rusqlite::Error, db: &Connection, table: &str, value: impl Fn(&str) -> Option<Value>) -> Error {
    if error.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation) {
        return to("bring rows of the table")(error);
    }
    let key = match ddl::found_by(db, table) {
        Ok(key) => key,
        Err(error) => return error,
    };
    let told = key.iter().filter_map(|name| Some(format!("{name} {}", shorten(&value(name)?.to_string()))));
    let told = told.collect::<Vec<_>>().join(", ");
    Error::new(Code::TableShape, format!("the table holds the key {told} twice: another program has added rows to it"))
        .state("nothing was written")
        .help("take one of the two rows out with that program, or load the table anew with --full-refresh")
}

/// In which files a row that is another keeps its place, and when.
#[derive(Debug, Default)]
pub struct Stay {
    /// The files, rising. Each has all columns of the table, which were the same before the load.
    pub files: Vec<u32>,
    /// Columns that say in which file a row lies: where one of them is another, the row leaves its place.
    pub by: Vec<String>,
}

/// Whether the row `l` of those that left, whose place was `p`, is another in its place: one that is gone is not in the table.
const STAYS: &str = "p.file IN (SELECT value FROM json_each(?1)) AND l.columns & ?2 = 0";

/// All columns.
const EVERY: i64 = -1;

/// The last columns have one bit together, which is always set.
const LAST: usize = 62;

/// The bit that says of a column of the table that a row is another in it.
pub fn bit(column: usize) -> u64 {
    1 << column.min(LAST)
}

/// The bits of the columns in which OLD and NEW differ, as an expression.
fn differing(schema: &Schema) -> String {
    let mut bits = Vec::new();
    for (at, column) in schema.columns.iter().enumerate().take(LAST) {
        let name = ddl::quote(&column.name);
        // Both zeros are equal here. IS, as `=` says nothing of NULL.
        let zero = if column.data_type == DataType::Double { format!(" OR NEW.{name} IS 0") } else { String::new() };
        bits.push(format!("((OLD.{name} IS NOT NEW.{name}{zero}) << {at})"));
    }
    if schema.columns.len() > LAST {
        bits.push(bit(LAST).to_string());
    }
    if bits.is_empty() { EVERY.to_string() } else { bits.join(" | ") }
}

/// What became of a table in the scratch database.
pub struct Became<'b> {
    db: &'b Connection,
    /// Of no row of it where none was brought.
    brought: bool,
    table: String,
    rowid: &'static str,
    schema: Schema,
    /// [`Stay`] as parameters of a statement: the files as JSON, and the columns by their bits.
    files: String,
    by: i64,
}

impl Became<'_> {
    /// The rows that are in their place no more, or others there, file by file and from the first to the last. Of one that is
    /// another, the columns by their bits: see [`bit`].
    pub fn left(&self, mut take: impl FnMut(u32, u32, Option<u64>) -> Result<()>) -> Result<()> {
        if !self.brought {
            return Ok(());
        }
        let index = "CREATE INDEX IF NOT EXISTS temp._floodmark_by_place ON _floodmark_places (file, row)";
        crash::at(Point::Temporary, || self.db.execute_batch(index).map_err(fail))?;
        let sql = format!(
            "SELECT p.file, p.row, CASE WHEN {STAYS} AND EXISTS (SELECT 1 FROM {} AS t WHERE t.{} = p.id)
                    THEN l.columns END
             FROM temp._floodmark_places AS p JOIN temp._floodmark_left AS l USING (id) ORDER BY p.file, p.row",
            self.table, self.rowid,
        );
        let mut statement = self.db.prepare(&sql).map_err(fail)?;
        let mut rows = statement.query((&self.files, self.by)).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let columns: Option<i64> = row.get(2).map_err(fail)?;
            take(row.get(0).map_err(fail)?, row.get(1).map_err(fail)?, columns.map(i64::cast_unsigned))?;
        }
        Ok(())
    }

    /// The rows that are others, at some places of a file where they stay, with the table's columns and in their order.
    pub fn changed(&self, file: u32, places: Range<u32>) -> Result<RecordBatch> {
        // By the places, which are few, and not by all rows that were left: CROSS JOIN keeps this order.
        let sql = format!(
            "SELECT {} FROM temp._floodmark_places AS p INDEXED BY _floodmark_by_place
                    CROSS JOIN temp._floodmark_left AS l ON l.id = p.id CROSS JOIN {} AS t ON t.{} = p.id
             WHERE p.file = ?1 AND p.row >= ?2 AND p.row < ?3 AND l.columns & ?4 = 0 ORDER BY p.row",
            self.columns(),
            self.table,
            self.rowid,
        );
        let mut statement = self.db.prepare_cached(&sql).map_err(fail)?;
        let mut found = statement.query((file, places.start, places.end, self.by)).map_err(fail)?;
        let mut batch = Columns::new(&self.schema)?;
        while let Some(row) = found.next().map_err(fail)? {
            batch.row(row)?;
        }
        batch.finish()
    }

    /// The rows that are new, or have left their place, with the table's columns.
    pub fn arrived(&self, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        if !self.brought {
            return Ok(());
        }
        let (table, rowid) = (&self.table, self.rowid);
        let sql = format!(
            "SELECT {} FROM {table} AS t LEFT JOIN temp._floodmark_places AS p ON p.id = t.{rowid}
                    LEFT JOIN temp._floodmark_left AS l ON l.id = t.{rowid}
             WHERE p.id IS NULL OR (l.id IS NOT NULL AND NOT ({STAYS})) ORDER BY t.{rowid}",
            self.columns(),
        );
        let mut statement = self.db.prepare(&sql).map_err(fail)?;
        let mut found = statement.query((&self.files, self.by)).map_err(fail)?;
        let mut batch = Columns::new(&self.schema)?;
        while let Some(row) = found.next().map_err(fail)? {
            batch.row(row)?;
            if batch.is_full() {
                take(&batch.finish()?)?;
            }
        }
        match batch.rows {
            0 => Ok(()),
            _ => take(&batch.finish()?),
        }
    }

    /// How many rows were brought, and how many there are of the table now.
    pub fn counts(&self) -> Result<(i64, i64)> {
        if !self.brought {
            return Ok((0, 0));
        }
        let sql =
            format!("SELECT (SELECT count(*) FROM temp._floodmark_places), (SELECT count(*) FROM {})", self.table);
        self.db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(fail)
    }

    fn columns(&self) -> String {
        let columns = self.schema.columns.iter().map(|column| format!("t.{}", ddl::quote(&column.name)));
        columns.collect::<Vec<_>>().join(", ")
    }
}

fn fail(error: rusqlite::Error) -> Error {
    to("read what became of the table")(error)
}

impl Bench {
    /// What became of the table.
    pub fn became(&self, table: &str, stay: &Stay) -> Result<Became<'_>> {
        let brought = self.brought()?;
        let schema = ddl::table(self.db(), table)?.unwrap_or_default();
        let rowid = if brought { merge::rowid_name(self.db(), table)? } else { "rowid" };
        let files: Vec<String> = stay.files.iter().map(u32::to_string).collect();
        let by = stay.by.iter().filter_map(|name| schema.index(name)).fold(0, |all, at| all | bit(at));
        Ok(Became {
            db: self.db(),
            brought,
            table: format!("main.{}", ddl::quote(table)),
            rowid,
            schema,
            files: format!("[{}]", files.join(",")),
            by: by.cast_signed(),
        })
    }

    /// The table's columns, those that are kept beside the data included; `None` where it was not made yet.
    pub fn columns(&self, table: &str) -> Result<Option<Schema>> {
        ddl::table(self.db(), table)
    }

    fn brought(&self) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM temp.sqlite_schema WHERE name = '_floodmark_left')";
        self.db().query_row(sql, [], |r| r.get(0)).map_err(to("read the scratch database"))
    }
}

struct Columns {
    schema: arrow::datatypes::SchemaRef,
    names: Vec<String>,
    builders: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
}

impl Columns {
    fn new(schema: &Schema) -> Result<Columns> {
        let field = |c: &floodmark_core::Column| -> Arc<Field> {
            let data_type: Arrow = c.data_type.to_arrow();
            Arc::new(Field::new(&c.name, data_type, true))
        };
        let fields: Vec<_> = schema.columns.iter().map(field).collect();
        Ok(Columns {
            schema: Arc::new(arrow::datatypes::Schema::new(fields)),
            names: schema.columns.iter().map(|c| c.name.clone()).collect(),
            builders: schema.columns.iter().map(|c| ColumnBuilder::new(c.data_type)).collect::<Result<_>>()?,
            rows: 0,
            bytes: 0,
        })
    }

    fn row(&mut self, row: &rusqlite::Row<'_>) -> Result<()> {
        for at in 0..self.names.len() {
            self.cell(at, row.get_ref(at).map_err(fail)?)?;
        }
        self.rows += 1;
        Ok(())
    }

    fn cell(&mut self, at: usize, stored: ValueRef<'_>) -> Result<()> {
        let cell = match stored {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(v) => Cell::Int(v),
            ValueRef::Real(v) => Cell::Real(v),
            // SQLite has no NaN: a text stands for it.
            ValueRef::Text(b"NaN") if *self.schema.field(at).data_type() == Arrow::Float64 => Cell::Real(f64::NAN),
            ValueRef::Text(v) => Cell::Text(v),
            ValueRef::Blob(v) => Cell::Bytes(v),
        };
        if let ValueRef::Text(v) | ValueRef::Blob(v) = stored {
            self.bytes += v.len();
        }
        match self.builders[at].append(cell) {
            true => Ok(()),
            false => Err(Error::internal(format!("column {:?} holds what is not of its type", self.names[at]))),
        }
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS || self.bytes >= BYTES
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        (self.rows, self.bytes) = (0, 0);
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}
