//! Rows of a batch by the partition they belong to.

use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array},
    compute::take_record_batch,
    row::{OwnedRow, RowConverter, SortField},
};
use floodmark_core::{
    Code, Error, Result, Schema, Value,
    error::{Place, shorten},
};
use std::collections::HashMap;

/// A partition, and the rows of a batch that lie in it, in their order.
pub(crate) struct Part {
    pub(crate) key: OwnedRow,
    pub(crate) values: Vec<(String, Value)>,
    pub(crate) rows: RecordBatch,
}

pub(crate) struct Splitter {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Splitter {
    pub(crate) fn new(schema: &Schema, partition_by: &[String]) -> Result<Splitter> {
        let missing = |name: &String| {
            Error::new(Code::TableShape, format!("`partition_by` names column {name:?}, which the table does not have"))
        };
        let columns: Vec<usize> =
            partition_by.iter().map(|name| schema.index(name).ok_or_else(|| missing(name))).collect::<Result<_>>()?;
        let fields = columns.iter().map(|i| SortField::new(schema.columns[*i].data_type.to_arrow())).collect();
        Ok(Splitter { columns, converter: RowConverter::new(fields)? })
    }

    pub(crate) fn split(&self, batch: &RecordBatch, schema: &Schema) -> Result<Vec<Part>> {
        let arrays: Vec<ArrayRef> = self.columns.iter().map(|i| batch.column(*i).clone()).collect();
        if arrays.is_empty() {
            let key = self.converter.parser().parse(&[]).owned();
            return Ok(vec![Part { key, values: Vec::new(), rows: batch.clone() }]);
        }
        let keys = self.converter.convert_columns(&arrays)?;
        let mut places: HashMap<OwnedRow, usize> = HashMap::new();
        let mut found: Vec<(OwnedRow, Vec<u32>)> = Vec::new();
        let mut last: Option<(usize, usize)> = None;
        for row in 0..batch.num_rows() {
            let place = match last {
                // Neighbours are mostly of one partition.
                Some((before, place)) if keys.row(before) == keys.row(row) => place,
                _ => *places.entry(keys.row(row).owned()).or_insert_with(|| {
                    found.push((keys.row(row).owned(), Vec::new()));
                    found.len() - 1
                }),
            };
            last = Some((row, place));
            found[place].1.push(u32::try_from(row).map_err(|_| Error::internal("a batch has too many rows"))?);
        }
        let mut parts = Vec::with_capacity(found.len());
        for (key, rows) in found {
            let first = *rows.first().unwrap_or(&0) as usize;
            let mut values = Vec::with_capacity(self.columns.len());
            for (i, array) in self.columns.iter().zip(&arrays) {
                let column = &schema.columns[*i];
                let value = Value::from_array(array, first, column.data_type)?;
                if matches!(&value, Value::Text(text) if text.is_empty()) {
                    return Err(empty_text(&column.name, batch, schema, first)?);
                }
                values.push((column.name.clone(), value));
            }
            let whole = rows.len() == batch.num_rows();
            let rows = if whole { batch.clone() } else { take_record_batch(batch, &UInt32Array::from(rows))? };
            parts.push(Part { key, values, rows });
        }
        Ok(parts)
    }
}

/// How many columns say which row it is, where the first of them are not the key.
const SHOWN: usize = 3;

/// What is said of a partition that cannot be told from another. The row is known by what it has beside it.
fn empty_text(column: &str, batch: &RecordBatch, schema: &Schema, row: usize) -> Result<Error> {
    let mut shown = Vec::new();
    for (other, array) in
        schema.columns.iter().zip(batch.columns()).filter(|(other, _)| other.name != column).take(SHOWN)
    {
        let value = Value::from_array(array, row, other.data_type)?;
        shown.push(format!("{} = {}", other.name, shorten(&value.to_string())));
    }
    let what = format!(
        "column {column:?} is a partition column and has an empty text, which Delta takes for NULL, in the row with {}",
        shown.join(", ")
    );
    Ok(Error::new(Code::Unstorable, what)
        .at(Place { column: Some(column.to_owned()), value: Some(String::new()), ..Place::default() })
        .state("nothing was written")
        .help("give it another value in a `transform`, or partition by another column"))
}
