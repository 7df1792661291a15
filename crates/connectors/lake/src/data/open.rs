//! A data file that is being written.

use super::{
    DataFile, Layout,
    encode::{Finished, ParquetFile, threads},
    hive,
    sink::{Shared, Sink},
    stats,
};
use crate::{failure, lake::Table};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use chrono::Utc;
use floodmark_core::{Error, Result, Value};
use object_store::path::Path;
use parquet::{
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Who wrote a file, as its footer says.
const CREATED_BY: &str = concat!("floodmark ", env!("CARGO_PKG_VERSION"));

/// Bytes of rows that a file gathers before it encodes them; and where many files are open at once.
const AHEAD: usize = 16 << 20;
const AHEAD_OF_PARTITION: usize = 1 << 20;

pub(super) struct OpenFile {
    pub(super) writer: ParquetFile<Shared>,
    sink: Shared,
    in_files: SchemaRef,
    location: Path,
    /// As shown in messages.
    pub(super) name: String,
    partition: Vec<(String, Value)>,
    pub(super) rows: u64,
    pub(super) numbers: Vec<(i64, i64)>,
    pub(super) not_numbers: BTreeSet<String>,
}

impl OpenFile {
    /// `beside`: how many files are written at once, each on a thread of its own.
    pub(super) fn start(
        table: &Table,
        layout: &Layout,
        partition: Vec<(String, Value)>,
        beside: usize,
    ) -> Result<OpenFile> {
        let mut path = String::new();
        for (column, value) in &partition {
            path.push_str(&hive::folder(column, value)?);
            path.push('/');
        }
        path.push_str(&format!("part-{}.zstd.parquet", Uuid::now_v7()));
        let location = Path::parse(&path).map_err(|e| Error::internal("a data file's name is no path").cause(e))?;
        let sink = Sink::open(&table.place, &location)?.map_err(|e| table.write_failed(&location, &e))?;
        let sink = Shared::new(sink);
        let level = ZstdLevel::try_new(1).map_err(|e| Error::internal("zstd has no level 1").cause(e))?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(level)).set_created_by(CREATED_BY.to_owned());
        let most = if layout.partition_by.is_empty() { AHEAD } else { AHEAD_OF_PARTITION };
        let ahead = most.min(usize::try_from(layout.target / 8).unwrap_or(most));
        let (name, in_files) = (format!("{}/{location}", table.name), layout.in_files());
        let writer = ParquetFile::new(sink.clone(), &in_files, properties, ahead, threads(beside))
            .map_err(|e| failure::parquet("written", &name, e))?;
        let (numbers, not_numbers) = (Vec::new(), BTreeSet::new());
        Ok(OpenFile { writer, sink, in_files, location, name, partition, rows: 0, numbers, not_numbers })
    }

    /// Rows as they lie in files, and which of their columns have a NaN.
    pub(super) fn write(&mut self, rows: RecordBatch, not_numbers: Vec<String>) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        self.not_numbers.extend(not_numbers);
        self.writer.write(rows).map_err(|e| self.failed(e))
    }

    /// Puts a row group behind the others: of so many rows, and which of its columns have a NaN.
    pub(super) fn append(&mut self, group: Finished, rows: u64, not_numbers: BTreeSet<String>) -> Result<()> {
        self.rows += rows;
        self.not_numbers.extend(not_numbers);
        self.writer.append(group).map_err(|e| self.failed(e))
    }

    /// Encodes what has come, where that is worth it.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        self.writer.catch_up().map_err(|e| self.failed(e))
    }

    pub(super) fn end_group(&mut self) -> Result<()> {
        self.writer.end_group().map_err(|e| self.failed(e))
    }

    fn failed(&self, error: parquet::errors::ParquetError) -> Error {
        failure::parquet("written", &self.name, error)
    }

    /// The file is there when this returns, and is nobody's. It does not last yet.
    pub(super) fn close(self, layout: &Layout, numbered: bool) -> Result<DataFile> {
        let closed = self.writer.close().map_err(|e| failure::parquet("written", &self.name, e));
        let sink = self.sink.back().ok_or_else(|| Error::internal("a file is still written to"))?;
        let metadata = match closed {
            Ok(metadata) => metadata,
            Err(e) => {
                sink.abandon();
                return Err(e);
            }
        };
        let size = sink.finish().map_err(|e| failure::parquet("written", &self.name, e))?;
        let columns = stats::bounds(&metadata, &self.in_files, &layout.schema, &layout.statistics, &self.not_numbers)?;
        Ok(DataFile {
            path: self.location.as_ref().replace('%', "%25"),
            location: self.location,
            size,
            modified: Utc::now().timestamp_millis(),
            rows: self.rows,
            columns,
            partition: self.partition,
            numbers: numbered.then_some(self.numbers),
        })
    }

    pub(super) fn abandon(self) {
        drop(self.writer);
        if let Some(sink) = self.sink.back() {
            sink.abandon();
        }
    }
}

/// Whether a file is one of ours: what its footer says of its columns is meant as we mean it.
pub(super) fn is_ours(created_by: Option<&str>) -> bool {
    created_by == Some(CREATED_BY)
}
