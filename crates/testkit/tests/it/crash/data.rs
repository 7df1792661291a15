//! Small tables as files of every kind.

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::TimestampMicrosecondType,
};
use std::{io::Write, sync::Arc};

/// A value: a number, a text, an hour of January 2024, or nothing.
#[derive(Debug, Clone)]
pub(crate) enum V {
    N(i64),
    T(String),
    At(i64),
    Null,
}

/// Rows under column names; every column holds values of one sort.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<V>>,
}

/// Rows as a line each: `1 apple 100 a @5`, where `@5` is an hour and `-` is NULL.
pub(crate) fn table(columns: &'static str, lines: &str) -> Table {
    let value = |word: &str| match word.strip_prefix('@') {
        Some(hour) => V::At(hour.parse().unwrap()),
        None if word == "-" => V::Null,
        None => word.parse().map_or_else(|_| V::T(word.to_owned()), V::N),
    };
    let rows = lines.split(';').map(|line| line.split_whitespace().map(value).collect::<Vec<_>>());
    let rows: Vec<Vec<V>> = rows.filter(|row| !row.is_empty()).collect();
    let columns: Vec<&str> = columns.split_whitespace().collect();
    assert!(rows.iter().all(|row| row.len() == columns.len()), "{columns:?}: {rows:?}");
    Table { columns, rows }
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Csv,
    CsvGz,
    Jsonl,
    Parquet,
}

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Csv, Kind::CsvGz, Kind::Jsonl, Kind::Parquet];

    fn extension(self) -> &'static str {
        match self {
            Kind::Csv => "csv",
            Kind::CsvGz => "csv.gz",
            Kind::Jsonl => "jsonl",
            Kind::Parquet => "parquet",
        }
    }

    /// The file `data/NAME` of this kind.
    pub(crate) fn file(self, name: &str, table: &Table) -> (String, Vec<u8>) {
        let bytes = match self {
            Kind::Csv => csv(table).into_bytes(),
            Kind::CsvGz => gzip(csv(table).as_bytes()),
            Kind::Jsonl => jsonl(table).into_bytes(),
            Kind::Parquet => parquet(table),
        };
        (format!("data/{name}.{}", self.extension()), bytes)
    }
}

fn moment(hour: i64) -> String {
    format!("2024-01-{:02} {:02}:00:00", 1 + hour / 24, hour % 24)
}

fn csv(table: &Table) -> String {
    let mut out = table.columns.join(",") + "\n";
    for row in &table.rows {
        let cells: Vec<String> = row
            .iter()
            .map(|value| match value {
                V::N(n) => n.to_string(),
                V::T(text) => text.clone(),
                V::At(hour) => moment(*hour),
                V::Null => String::new(),
            })
            .collect();
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    out
}

fn jsonl(table: &Table) -> String {
    let mut out = String::new();
    for row in &table.rows {
        let cells: Vec<String> = table
            .columns
            .iter()
            .zip(row)
            .map(|(column, value)| match value {
                V::N(n) => format!("\"{column}\":{n}"),
                V::T(text) => format!("\"{column}\":\"{text}\""),
                V::At(hour) => format!("\"{column}\":\"{}\"", moment(*hour)),
                V::Null => format!("\"{column}\":null"),
            })
            .collect();
        out.push_str(&format!("{{{}}}\n", cells.join(",")));
    }
    out
}

/// The table as `s` of an SQLite database.
pub(crate) fn sqlite(table: &Table) -> Vec<u8> {
    let declared = |at: usize| match table.rows.iter().map(|row| &row[at]).find(|value| !matches!(value, V::Null)) {
        Some(V::N(_)) => "BIGINT",
        Some(V::At(_)) => "TIMESTAMP",
        _ => "TEXT",
    };
    let columns: Vec<String> =
        table.columns.iter().enumerate().map(|(at, name)| format!("{name} {}", declared(at))).collect();
    let mut sql = format!("CREATE TABLE s ({});\n", columns.join(", "));
    for row in &table.rows {
        let cells = row.iter().map(|value| match value {
            V::N(n) => n.to_string(),
            V::T(text) => format!("'{text}'"),
            V::At(hour) => format!("'{}'", moment(*hour)),
            V::Null => "NULL".to_owned(),
        });
        sql.push_str(&format!("INSERT INTO s VALUES ({});\n", cells.collect::<Vec<_>>().join(", ")));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.db");
    rusqlite::Connection::open(&path).and_then(|db| db.execute_batch(&sql)).unwrap();
    std::fs::read(path).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parquet(table: &Table) -> Vec<u8> {
    const NEW_YEAR: i64 = 1_704_067_200;
    let arrays = table.columns.iter().enumerate().map(|(at, name)| {
        let values: Vec<&V> = table.rows.iter().map(|row| &row[at]).collect();
        let array: ArrayRef = match values.iter().find(|v| !matches!(v, V::Null)) {
            Some(V::At(_)) => Arc::new(TimestampMicrosecondArray::from_iter(values.iter().map(|v| match v {
                V::At(hour) => Some((NEW_YEAR + hour * 3600) * 1_000_000),
                _ => None,
            })) as arrow::array::PrimitiveArray<TimestampMicrosecondType>),
            Some(V::N(_)) => Arc::new(Int64Array::from_iter(values.iter().map(|v| match v {
                V::N(n) => Some(*n),
                _ => None,
            }))),
            _ => Arc::new(StringArray::from_iter(values.iter().map(|v| match v {
                V::T(text) => Some(text.as_str()),
                _ => None,
            }))),
        };
        (*name, array, true)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(arrays).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}
