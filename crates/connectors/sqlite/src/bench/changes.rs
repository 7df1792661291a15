//! Which rows were brought, and what became of the table.

use super::{Bench, Elsewhere, Wanted, untold};
use crate::{bind, ddl, failure::to, merge};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType as Arrow, Field},
};
use floodmark_connect::{
    cells::{Cell, ColumnBuilder},
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result, Schema, state::FileEntry};
use rusqlite::{Connection, types::ValueRef};
use std::sync::Arc;

/// Rows of a batch that is read.
const ROWS: usize = 16_384;
/// Bytes of text and blobs after which a batch ends early.
const BYTES: usize = 8 << 20;

/// Takes note of the rows that are brought, by their numbers in the scratch database, and of those that leave it or change.
pub(super) struct Brought<'db> {
    db: &'db Connection,
    table: &'db str,
    schema: Schema,
    rehearsing: bool,
}

impl<'db> Brought<'db> {
    pub(super) fn begin(db: &'db Connection, table: &'db str, rehearsing: bool) -> Result<Self> {
        let rowid = merge::rowid_name(db, table)?;
        let quoted = ddl::quote(table);
        // A row that comes in the place of one that left may get its number: it has left all the same.
        let mut sql =
            "CREATE TEMP TABLE IF NOT EXISTS _floodmark_places (id INTEGER PRIMARY KEY, file INTEGER, row INTEGER);
             CREATE TEMP TABLE IF NOT EXISTS _floodmark_left (id INTEGER PRIMARY KEY);"
                .to_owned();
        for event in ["update", "delete"] {
            sql.push_str(&format!(
                "CREATE TEMP TRIGGER IF NOT EXISTS _floodmark_on_leave_{event} AFTER {event} ON main.{quoted}
                 WHEN EXISTS (SELECT 1 FROM _floodmark_places WHERE id = OLD.{rowid})
                 BEGIN INSERT OR IGNORE INTO _floodmark_left VALUES (OLD.{rowid}); END;"
            ));
        }
        crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("watch the table")))?;
        let schema = ddl::table(db, table)?.unwrap_or_default();
        Ok(Brought { db, table, schema, rehearsing })
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
        let (mut scratch, mut rows) = (String::new(), 0);
        elsewhere.bring(wanted, &self.schema, &mut |batch, file, places| {
            let cells = bind::columns(batch, &types)?;
            for (row, at) in places.iter().enumerate() {
                for (n, cell) in cells.iter().enumerate() {
                    cell.bind(&mut insert, n + 1, row, &mut scratch).map_err(&fail)?;
                }
                crash::at(Point::Temporary, || insert.raw_execute().map_err(twice))?;
                let id = self.db.last_insert_rowid();
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

/// Rows are brought into a table that has each key once.
fn twice(error: rusqlite::Error) -> Error {
    if error.sqlite_error_code() != Some(rusqlite::ErrorCode::ConstraintViolation) {
        return to("bring rows of the table")(error);
    }
    Error::new(Code::TableShape, "the table holds a key twice: another program has added rows to it")
        .state("nothing was written")
        .help("take one of the two rows out with that program, or load the table anew with --full-refresh")
        .cause(error)
}

impl Bench {
    /// The rows that are in their place no more, file by file and from the first to the last.
    pub fn left(&self, mut take: impl FnMut(u32, u32) -> Result<()>) -> Result<()> {
        let fail = to("read what became of the table");
        if !self.brought()? {
            return Ok(());
        }
        let sql =
            "SELECT file, row FROM temp._floodmark_places JOIN temp._floodmark_left USING (id) ORDER BY file, row";
        let mut statement = self.db().prepare(sql).map_err(&fail)?;
        let mut rows = statement.query([]).map_err(&fail)?;
        while let Some(row) = rows.next().map_err(&fail)? {
            take(row.get(0).map_err(&fail)?, row.get(1).map_err(&fail)?)?;
        }
        Ok(())
    }

    /// The rows that are new, or others than they were, with the table's columns.
    pub fn arrived(&self, table: &str, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        let fail = to("read what became of the table");
        if !self.brought()? {
            return Ok(());
        }
        let schema = ddl::table(self.db(), table)?.unwrap_or_default();
        let rowid = merge::rowid_name(self.db(), table)?;
        let sql = format!(
            "SELECT {} FROM {} AS t WHERE NOT EXISTS (SELECT 1 FROM temp._floodmark_places WHERE id = t.{rowid})
               OR EXISTS (SELECT 1 FROM temp._floodmark_left WHERE id = t.{rowid}) ORDER BY t.{rowid}",
            ddl::list(schema.names()),
            ddl::quote(table),
        );
        let mut statement = self.db().prepare(&sql).map_err(&fail)?;
        let mut found = statement.query([]).map_err(&fail)?;
        let mut batch = Columns::new(&schema)?;
        while let Some(row) = found.next().map_err(&fail)? {
            for at in 0..schema.columns.len() {
                batch.cell(at, row.get_ref(at).map_err(&fail)?)?;
            }
            if let Some(full) = batch.end_row()? {
                take(&full)?;
            }
        }
        batch.finish()?.map_or(Ok(()), |last| take(&last))
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

    fn cell(&mut self, at: usize, stored: ValueRef<'_>) -> Result<()> {
        let cell = match stored {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(v) => Cell::Int(v),
            ValueRef::Real(v) => Cell::Real(v),
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

    fn end_row(&mut self) -> Result<Option<RecordBatch>> {
        self.rows += 1;
        if self.rows < ROWS && self.bytes < BYTES { Ok(None) } else { self.finish() }
    }

    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        (self.rows, self.bytes) = match self.rows {
            0 => return Ok(None),
            _ => (0, 0),
        };
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?))
    }
}
