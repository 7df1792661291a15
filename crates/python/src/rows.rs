//! Rows that come as dicts. Their values say what they are, each for itself: a column's type is known when all rows are.

mod kind;
mod value;

use crate::{
    caller::Caller,
    handed::{Cause, raised},
    spool::Spool,
};
use arrow::{
    array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType as Arrow, Field, Schema},
};
use floodmark_connect::cells::{Cell, ColumnBuilder};
use floodmark_core::{
    Code, DataType, Error, Result,
    error::{Place, shorten},
};
use floodmark_files::{ArrowStream, json_text};
use kind::Typed;
use pyo3::{
    prelude::*,
    types::{PyDict, PyMapping, PyString},
};
use std::{collections::HashMap, sync::Arc};
use value::{Names, Value};

/// Rows that are taken at once, unless these are as many bytes before.
const ROWS: usize = 16_384;
const BYTES: usize = 16 << 20;

/// Columns of which it is said what they are to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Given a type, so that their values may be of any kind.
    pub(crate) typed: Vec<String>,
    /// Of these, the texts of their values, each told by itself: it must not depend on what stands beside it.
    pub(crate) texts: Vec<String>,
}

/// All rows of an iterator, kept.
pub(crate) struct Made {
    schema: Arc<Schema>,
    spool: Spool,
}

impl Made {
    /// Takes every row there is.
    pub(crate) fn take(iterator: Py<PyAny>, asked: &Asked, caller: &Caller, cause: &Cause, name: &str) -> Result<Made> {
        let iterator = Arc::new(iterator);
        let (mut columns, mut spool, mut before) = (Columns::new(asked), Spool::default(), 0);
        loop {
            let (next, names) = (Arc::clone(&iterator), columns.by_name.clone());
            let chunk = caller.call(move |py| Chunk::take(next.bind(py), names, before));
            let chunk = chunk.map_err(|error| raised(caller, cause, error))?.map_err(|error| error.in_file(name))?;
            if chunk.rows == 0 {
                break;
            }
            before += chunk.rows as u64;
            spool.push(columns.add(chunk).map_err(|error| error.in_file(name))?)?;
        }
        Ok(Made { schema: columns.schema().map_err(|error| error.in_file(name))?, spool })
    }

    /// The rows, as often as they are asked for.
    pub(crate) fn read(&mut self) -> Result<ArrowStream> {
        let (schema, columns) = (self.schema.clone(), self.schema.clone());
        let batches = self.spool.read()?.map(move |batch| filled(&batch?, &columns));
        Ok(ArrowStream { schema, batches: Box::new(batches) })
    }
}

/// With the columns that other rows have: NULL in these.
fn filled(batch: &RecordBatch, columns: &Schema) -> Result<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in columns.fields() {
        let there = batch.schema().index_of(column.name()).ok();
        let array = there
            .map_or_else(|| -> ArrayRef { Arc::new(NullArray::new(batch.num_rows())) }, |at| batch.column(at).clone());
        fields.push(Field::new(column.name(), array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?)
}

/// Where a column is, by its name.
type ByName = HashMap<String, usize>;

/// Some rows, by column.
struct Chunk {
    by_name: ByName,
    columns: Vec<Vec<Value>>,
    rows: usize,
    /// What the values take, about.
    bytes: usize,
    /// Rows before the first.
    before: u64,
}

impl Chunk {
    /// Takes the next rows. What Python raises is one error, what a row holds that is no value is another.
    fn take(iterator: &Bound<'_, PyAny>, by_name: ByName, before: u64) -> PyResult<Result<Chunk>> {
        let names = Names::new(iterator.py())?;
        let mut chunk = Chunk { columns: vec![Vec::new(); by_name.len()], by_name, rows: 0, bytes: 0, before };
        let mut rows = iterator.try_iter()?;
        while chunk.rows < ROWS && chunk.bytes < BYTES {
            let Some(row) = rows.next().transpose()? else { break };
            if let Err(error) = chunk.row(&row, &names)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(chunk))
    }

    fn row(&mut self, row: &Bound<'_, PyAny>, names: &Names<'_>) -> PyResult<Result<()>> {
        let number = self.before + self.rows as u64 + 1;
        let place = |column: Option<String>| Place { row: Some(number), column, ..Place::default() };
        if let Ok(dict) = row.cast::<PyDict>() {
            for (key, value) in dict.iter() {
                if let Err(error) = self.cell(&key, &value, names, &place)? {
                    return Ok(Err(error));
                }
            }
        } else if let Ok(mapping) = row.cast::<PyMapping>() {
            for item in mapping.items()?.iter() {
                let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                if let Err(error) = self.cell(&key, &value, names, &place)? {
                    return Ok(Err(error));
                }
            }
        } else {
            let message = format!("a row is a {}, and not a dict", row.get_type().name()?);
            return Ok(Err(Error::new(Code::BadFormat, message)
                .at(place(None))
                .help("hand over dicts with the names of the columns, or Arrow batches")));
        }
        self.rows += 1;
        for column in &mut self.columns {
            column.resize(self.rows, Value::Null);
        }
        Ok(Ok(()))
    }

    fn cell(
        &mut self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        names: &Names<'_>,
        place: &dyn Fn(Option<String>) -> Place,
    ) -> PyResult<Result<()>> {
        let Ok(name) = key.cast::<PyString>() else {
            let message = format!("a column is called {}, which is no text", key.repr()?);
            return Ok(Err(Error::new(Code::BadHeader, message).at(place(None)).help("name columns by str")));
        };
        let name = name.to_str()?;
        let at = match self.by_name.get(name) {
            Some(at) => *at,
            None => {
                self.by_name.insert(name.to_owned(), self.columns.len());
                self.columns.push(vec![Value::Null; self.rows]);
                self.columns.len() - 1
            }
        };
        Ok(Value::of(value, names)?
            .map(|value| {
                self.bytes += value.size();
                self.columns[at].push(value);
            })
            .map_err(|error| error.at(Place { value: shown(value), ..place(Some(name.to_owned())) })))
    }
}

fn shown(value: &Bound<'_, PyAny>) -> Option<String> {
    value.repr().ok().map(|text| shorten(&text.to_string()))
}

/// What is known of the columns.
struct Columns {
    by_name: ByName,
    /// In the order of their places.
    names: Vec<String>,
    types: Vec<Typed>,
    asked: Asked,
}

impl Columns {
    fn new(asked: &Asked) -> Self {
        Columns { by_name: ByName::new(), names: Vec::new(), types: Vec::new(), asked: asked.clone() }
    }

    /// What is known of a column that has seen no value.
    fn unseen(&self, name: &String) -> Typed {
        Typed::new(self.asked.typed.contains(name), self.asked.texts.contains(name))
    }

    /// Rows as a batch with the types of their own.
    fn add(&mut self, chunk: Chunk) -> Result<RecordBatch> {
        let Chunk { by_name, columns, rows, before, .. } = chunk;
        let mut places: Vec<(&String, &usize)> = by_name.iter().collect();
        places.sort_by_key(|(_, at)| **at);
        for (name, _) in places.into_iter().skip(self.names.len()) {
            self.names.push(name.clone());
            self.types.push(self.unseen(name));
        }
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (at, values) in columns.into_iter().enumerate() {
            let name = &self.names[at];
            let mut own = self.unseen(name);
            for (row, value) in (before + 1..).zip(&values) {
                own.see(value, row);
            }
            self.types[at].join(&own);
            self.types[at].one_kind(name)?;
            let array = match own.data_type(name)? {
                None => Arc::new(NullArray::new(rows)),
                Some(data_type) => column(name, &values, data_type)?,
            };
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        self.by_name = by_name;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?)
    }

    /// The columns in types that hold all rows.
    fn schema(&self) -> Result<Arc<Schema>> {
        let field = |(name, typed): (&String, &Typed)| {
            let data_type = typed.data_type(name)?;
            let field = Field::new(name, data_type.map_or(Arrow::Null, DataType::to_arrow), true);
            Ok(match data_type {
                Some(DataType::Json) => field.with_metadata(HashMap::from([json_text()])),
                _ => field,
            })
        };
        let fields = self.names.iter().zip(&self.types).map(field).collect::<Result<Vec<Field>>>()?;
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// Values of one column.
fn column(name: &str, values: &[Value], data_type: DataType) -> Result<ArrayRef> {
    if data_type == DataType::Json {
        // Lists and objects are what their JSON text says, and travel as text.
        return column(name, values, DataType::Text);
    }
    // Of kinds that nothing else holds together, each is told as its text.
    let texts = data_type == DataType::Text;
    let mut builder = ColumnBuilder::new(data_type)?;
    for value in values {
        let text;
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Bool(v) if !texts => Cell::Int(i64::from(*v)),
            Value::Int(v) if !texts => Cell::Int(*v),
            Value::Double(v) if !texts => Cell::Real(*v),
            Value::Bytes(v) if !texts => Cell::Bytes(v),
            other => {
                text = other.text();
                Cell::Text(text.as_bytes())
            }
        };
        if !builder.append(cell) {
            let place =
                Place { column: Some(name.to_owned()), value: Some(shorten(&value.text())), ..Place::default() };
            return Err(Error::new(Code::BadValue, format!("a value is not a {data_type}")).at(place));
        }
    }
    Ok(builder.finish())
}
