//! Rows, read by a thread of their own and handed over in batches.

use super::{Origin, columns::Columns, snapshot::Read, unreadable};
use crate::{codec, ddl, order};
use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    compute::filter_record_batch,
};
use floodmark_connect::{
    BadRow, Batch, Range, ReadPlan, Stop,
    ahead::{self, Ahead, Taker},
    cells::ColumnBuilder,
    source::Extent,
};
use floodmark_core::{
    Code, DataType, Error, Result, Schema,
    error::{Place, shorten},
};
use rusqlite::{Connection, Row, params_from_iter, types::ValueRef};

/// Rows of a batch.
const ROWS: usize = 16_384;
/// Bytes of text and blobs after which a batch ends early.
const BYTES: usize = 8 << 20;

/// The statement that reads what a plan asks for.
pub(crate) struct Select {
    sql: String,
    parameters: Vec<rusqlite::types::Value>,
}

impl Select {
    pub(crate) fn new(db: &Connection, relation: &str, columns: &Columns, plan: &ReadPlan) -> Result<Self> {
        let mut select = Select {
            sql: format!("SELECT {} FROM {relation}", ddl::list(plan.schema.names())),
            parameters: Vec::new(),
        };
        if plan.schema.columns.is_empty() {
            select.sql = format!("SELECT NULL FROM {relation}");
        }
        if let Some(range) = &plan.range {
            select.narrow(range, columns);
            if plan.sorted {
                select.sort(db, range, columns, &plan.schema)?;
            }
        }
        Ok(select)
    }

    /// Leaves out rows before the range and behind it, as far as an index can.
    fn narrow(&mut self, range: &Range, columns: &Columns) {
        let name = ddl::quote(&range.column);
        let (from, before) = (range.bounds.from.as_ref(), range.bounds.before.as_ref());
        let rough =
            columns.declared(&range.column).and_then(|declared| order::roughly(&name, declared, from, before, true));
        let Some(rough) = rough else { return };
        self.sql.push_str(&format!(" WHERE {}", rough.sql));
        if range.nulls {
            self.sql.push_str(&format!(" OR {name} IS NULL"));
        }
        self.parameters = rough.parameters;
    }

    /// Rows come in the order of the range's column.
    fn sort(&mut self, db: &Connection, range: &Range, columns: &Columns, schema: &Schema) -> Result<()> {
        let name = ddl::quote(&range.column);
        let declared = columns.declared(&range.column);
        let data_type = schema.get(&range.column).map_or(DataType::Text, |c| c.data_type);
        if declared == Some(data_type) && order::is_own(data_type) {
            self.sql.push_str(&format!(" ORDER BY {name} COLLATE BINARY"));
            return Ok(());
        }
        order::rank(db, data_type).map_err(unreadable)?;
        self.sql.push_str(&format!(" ORDER BY {}({name})", order::RANK));
        Ok(())
    }
}

/// The lowest and the highest value of a column. What is no value of the type does not count.
pub(crate) fn extent(
    db: &Connection,
    relation: &str,
    columns: &Columns,
    column: &str,
    data_type: DataType,
) -> Result<Extent> {
    let name = ddl::quote(column);
    if columns.declared(column) == Some(data_type) && order::is_own(data_type) {
        // One look each, by an index where there is one.
        let end = |end: &str| format!("(SELECT {end}({name} COLLATE BINARY) FROM {relation})");
        let ends = db
            .query_row(&format!("SELECT {}, {}", end("min"), end("max")), [], |row| {
                Ok((codec::decode(row.get_ref(0)?, data_type), codec::decode(row.get_ref(1)?, data_type)))
            })
            .map_err(unreadable)?;
        if let (Some(low), Some(high)) = ends {
            return Ok((!low.is_null()).then_some((low, high)));
        }
    }
    order::rank(db, data_type).map_err(unreadable)?;
    let ranks = format!("SELECT min(rank), max(rank) FROM (SELECT {}({name}) AS rank FROM {relation})", order::RANK);
    let ends: (Option<Vec<u8>>, Option<Vec<u8>>) =
        db.query_row(&ranks, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(unreadable)?;
    let value = |rank: Option<Vec<u8>>| rank.and_then(|rank| order::from_bytes(&rank, data_type));
    Ok(value(ends.0).zip(value(ends.1)))
}

/// Starts the reading thread, which waits for its turn.
pub(super) fn start(origin: Origin, mut read: Read, slice: String, plan: ReadPlan, stop: &Stop) -> Ahead {
    ahead::start(stop, move |taker| {
        let mut reader = Reader { slice, schema: plan.schema.clone(), taker, first: 1 };
        reader.read(&origin, &mut read, &plan).map_err(|error| error.in_file(origin.path))
    })
}

struct Reader<'a> {
    slice: String,
    schema: Schema,
    taker: &'a Taker,
    /// The number of the next row, from 1.
    first: u64,
}

/// A batch that is being filled.
struct Filling {
    columns: Vec<ColumnBuilder>,
    good: Vec<bool>,
    bad: Vec<BadRow>,
    bytes: usize,
}

impl Reader<'_> {
    fn read(&mut self, origin: &Origin, read: &mut Read, plan: &ReadPlan) -> Result<()> {
        let db = read.turn(&self.taker.stop)?;
        let select = Select::new(db, &origin.relation(), &origin.columns(db)?, plan)?;
        self.run(db, &select)
    }

    fn run(&mut self, db: &Connection, select: &Select) -> Result<()> {
        let mut statement = db.prepare(&select.sql).map_err(unreadable)?;
        let mut rows = statement.query(params_from_iter(&select.parameters)).map_err(unreadable)?;
        let mut filling = self.begin()?;
        while let Some(row) = rows.next().map_err(unreadable)? {
            filling.take(row, &self.schema, &self.slice, self.first)?;
            if filling.good.len() >= ROWS || filling.bytes >= BYTES {
                self.taker.stop.check()?;
                let full = std::mem::replace(&mut filling, self.begin()?);
                if !self.hand_over(full)? {
                    return Ok(());
                }
            }
        }
        if !filling.good.is_empty() {
            self.hand_over(filling)?;
        }
        Ok(())
    }

    fn begin(&self) -> Result<Filling> {
        let columns = self.schema.columns.iter().map(|c| ColumnBuilder::new(c.data_type)).collect::<Result<_>>()?;
        Ok(Filling { columns, good: Vec::with_capacity(ROWS), bad: Vec::new(), bytes: 0 })
    }

    /// `false` where nobody takes it.
    fn hand_over(&mut self, mut filling: Filling) -> Result<bool> {
        let covered = filling.good.len();
        let arrays = filling.columns.iter_mut().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(covered));
        let mut rows = RecordBatch::try_new_with_options(self.schema.to_arrow(), arrays, &options)?;
        if !filling.bad.is_empty() {
            rows = filter_record_batch(&rows, &BooleanArray::from(filling.good))?;
        }
        let batch = Batch { rows, bad: filling.bad, first_row: self.first, covered: covered as u64, left_out: 0 };
        self.first += covered as u64;
        Ok(self.taker.give(batch))
    }
}

impl Filling {
    fn take(&mut self, row: &Row<'_>, schema: &Schema, slice: &str, first: u64) -> Result<()> {
        let mut misfit = None;
        for (at, column) in self.columns.iter_mut().enumerate() {
            let value = row.get_ref(at).map_err(unreadable)?;
            self.bytes += match value {
                ValueRef::Text(v) | ValueRef::Blob(v) => v.len(),
                _ => 8,
            };
            if !column.append(order::cell(value)) {
                column.append_null();
                misfit.get_or_insert(at);
            }
        }
        self.good.push(misfit.is_none());
        if let Some(at) = misfit {
            let number = first + self.good.len() as u64 - 1;
            let value = shown(row.get_ref(at).map_err(unreadable)?);
            let column = &schema.columns[at];
            let error = Error::new(Code::BadValue, format!("a value is not a {}", column.data_type))
                .at(Place {
                    file: Some(slice.into()),
                    row: Some(number),
                    column: Some(column.name.clone()),
                    value: Some(shorten(&value)),
                    ..Place::default()
                })
                .help(format!("give the column a type that holds it: `columns: {{{}: {{type: text}}}}`", column.name))
                .help("or keep such rows aside: `on_bad_row: reject`");
            self.bad.push(BadRow { row: number, line: None, error, raw: raw(row, schema)? });
        }
        Ok(())
    }
}

fn shown(value: ValueRef<'_>) -> String {
    crate::codec::decode_as_stored(value).to_string()
}

/// The row as a JSON object of texts.
fn raw(row: &Row<'_>, schema: &Schema) -> Result<String> {
    let mut object = serde_json::Map::new();
    for (at, column) in schema.columns.iter().enumerate() {
        let value = match row.get_ref(at).map_err(unreadable)? {
            ValueRef::Null => serde_json::Value::Null,
            value => shown(value).into(),
        };
        object.insert(column.name.clone(), value);
    }
    Ok(serde_json::Value::Object(object).to_string())
}
