//! Columns that the folders of a file's path name, as Hive lays tables out: `day=2024-01-01/part-0.parquet`.

use crate::survey::Found;
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array},
    compute::{kernels::cmp::distinct, take},
};
use floodmark_connect::{Batch, Batches};
use floodmark_core::{
    Code, DataType, Error, Result, Schema, Value,
    error::{Place, shorten},
};
use std::collections::HashMap;

/// What stands in place of a value where there is none.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns that one path names, with their values as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Partitions(Vec<(String, Option<String>)>);

impl Partitions {
    /// Of a file's name in the ledger.
    pub(crate) fn of(name: &str) -> Result<Partitions> {
        let mut columns: Vec<(String, Option<String>)> = Vec::new();
        let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
        for folder in folders.split('/') {
            let Some((column, value)) = folder.split_once('=').filter(|(column, _)| !column.is_empty()) else {
                continue;
            };
            let column = decoded(column, name)?;
            if columns.iter().any(|(before, _)| *before == column) {
                return Err(Error::new(Code::BadHeader, format!("the path names column {column:?} twice"))
                    .in_file(name)
                    .help("a folder `column=value` gives its column one value: rename one of the folders"));
            }
            let value = if value == NULL { None } else { Some(decoded(value, name)?) };
            columns.push((column, value));
        }
        Ok(Partitions(columns))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self, column: &str) -> bool {
        self.0.iter().any(|(name, _)| name == column)
    }

    /// The file's columns with those of its path: text, unless another type is asked for. Those that the file has, too, keep
    /// their type: rows are held against the path when they are read.
    pub(crate) fn beside(&self, found: &Found, pinned: &HashMap<String, DataType>) -> Found {
        let mut found = found.clone();
        for (name, value) in self.0.iter() {
            let fits = |t: &DataType| value.as_ref().is_none_or(|value| Value::parse(value, *t).is_some());
            found.add_typed(name, pinned.get(name).copied().filter(fits).unwrap_or(DataType::Text));
        }
        found
    }

    /// The value of a column in a type; `None` where the path does not name the column.
    pub(crate) fn value(&self, column: &str, data_type: DataType, file: &str) -> Result<Option<Value>> {
        let Some((_, value)) = self.0.iter().find(|(name, _)| name == column) else { return Ok(None) };
        let Some(text) = value else { return Ok(Some(Value::Null)) };
        let misfit = || {
            let place = Place {
                file: Some(file.into()),
                column: Some(column.to_owned()),
                value: Some(shorten(text)),
                ..Place::default()
            };
            Error::new(Code::BadValue, format!("the value that the path gives is not a {data_type}")).at(place).help(
                format!("rename the folder, or load the column as text: `columns: {{ {column}: {{ type: text }} }}`"),
            )
        };
        Value::parse(text, data_type).ok_or_else(misfit).map(Some)
    }

    /// Batches with the columns of the path among those planned.
    pub(crate) fn within(&self, inner: Box<dyn Batches>, planned: &Schema, file: &str) -> Result<Box<dyn Batches>> {
        let mut constants = HashMap::new();
        for column in &planned.columns {
            if let Some(value) = self.value(&column.name, column.data_type, file)? {
                let one = match value {
                    Value::Null => new_null_array(&column.data_type.to_arrow(), 1),
                    value => value.to_scalar(column.data_type)?.into_inner(),
                };
                constants.insert(column.name.clone(), one);
            }
        }
        let (planned, file) = (planned.clone(), file.to_owned());
        Ok(Box::new(inner.map(move |batch| widened(batch?, &planned, &constants, &file))))
    }
}

fn widened(batch: Batch, planned: &Schema, constants: &HashMap<String, ArrayRef>, file: &str) -> Result<Batch> {
    let rows = batch.rows.num_rows();
    let same = UInt32Array::from(vec![0; rows]);
    let (mut schema, mut arrays) = (Schema::default(), Vec::new());
    for column in &planned.columns {
        let own = batch.rows.column_by_name(&column.name);
        let array = match (constants.get(&column.name), own) {
            (None, None) => continue,
            (None, Some(own)) => own.clone(),
            (Some(one), own) => {
                let array = take(one, &same, None)?;
                if let Some(own) = own
                    && let Some(row) = distinct(own, &array)?.values().set_indices().next()
                {
                    return Err(contradicts(own, &array, row, &column.name, file));
                }
                array
            }
        };
        schema.columns.push(column.clone());
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let rows = RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options)?;
    Ok(Batch { rows, ..batch })
}

fn contradicts(own: &ArrayRef, path: &ArrayRef, row: usize, column: &str, file: &str) -> Error {
    let text = |array: &ArrayRef| match array.is_null(row) {
        true => "NULL".to_owned(),
        false => arrow::util::display::array_value_to_string(array, row).unwrap_or_default(),
    };
    let place = Place {
        file: Some(file.into()),
        column: Some(column.to_owned()),
        value: Some(shorten(&text(own))),
        ..Place::default()
    };
    Error::new(Code::BadValue, format!("a row has another value than the file's path, {:?}", text(path)))
        .at(place)
        .help("move the file to the folder of its rows, or rename the folder")
        .help("or leave `hive_partitions` out: then the rows alone say what is in the column")
}

/// With `%3A` and its like as the characters they stand for.
fn decoded(text: &str, file: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_err(|_| {
        Error::new(Code::BadFormat, format!("the folder's name {text:?} stands for no text: its bytes are not UTF-8"))
            .in_file(file)
            .help("rename the folder, or leave `hive_partitions` out")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_columns_and_files_do_not() {
        let of = |name: &str| Partitions::of(name).unwrap().0;
        let some = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(of("s3://b/t/day=2024-01-01/h=7/x=1.csv"), [some("day", "2024-01-01"), some("h", "7")]);
        assert_eq!(of("a%20b=1%3A2%/=x/plain/f.csv"), [some("a b", "1:2%")]);
        assert_eq!(of("e=/n=__HIVE_DEFAULT_PARTITION__/f"), [some("e", ""), ("n".into(), None)]);
        assert_eq!(of("a=1.csv"), []);
        assert!(Partitions::of("a=1/a=2/f").unwrap_err().message().contains("twice"));
        assert_eq!(Partitions::of("a=%ff/f").unwrap_err().code(), Code::BadFormat);
    }
}
