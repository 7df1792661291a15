//! Tables in folders, and in a bucket of a server that speaks S3's protocol.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that panics is a test that fails"
)]

mod answers;
mod bucket;
mod commits;
mod destination;
mod kept;
mod pruned;
mod tidy;
mod values;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    compute::concat_batches,
};
use floodmark_core::{DataType, Result, Schema, url::ConnectionUrl};
use floodmark_lake::{Change, DataFile, Lake, Layout, Operation, Outcome, Reads, Snapshot, Table, Writer};
use std::sync::Arc;

struct Folder {
    dir: tempfile::TempDir,
    lake: Lake,
    format: &'static str,
}

impl Folder {
    fn new() -> Folder {
        Folder::of("delta")
    }

    fn of(format: &'static str) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("{format}:///{}", dir.path().join("lake").display());
        Folder { lake: Lake::open(&ConnectionUrl::parse(&url).unwrap()).unwrap(), dir, format }
    }

    /// What holds of a Delta table holds of a Parquet dataset.
    fn both(test: impl Fn(Folder)) {
        test(Folder::of("delta"));
        test(Folder::of("parquet"));
    }

    fn is_delta(&self) -> bool {
        self.format == "delta"
    }

    fn table(&self) -> Table {
        self.lake.table("t").unwrap()
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("lake/t")
    }
}

/// Two columns, of which the second says what the first is.
fn columns() -> Schema {
    Schema::new([("id", DataType::BigInt), ("name", DataType::Text)])
}

fn rows(ids: impl Iterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.collect();
    let names: Vec<String> = ids.iter().map(|id| format!("row {id}")).collect();
    let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(names))];
    RecordBatch::try_new(columns().to_arrow(), arrays).unwrap()
}

fn written(table: &Table, layout: Layout, batch: &RecordBatch) -> Vec<DataFile> {
    let mut writer = Writer::new(table, layout).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap()
}

fn append<'a>(add: &'a [DataFile], app: &'a str, version: i64) -> Change<'a> {
    Change {
        transaction: Some((app, version)),
        schema: None,
        partition_by: &[],
        add,
        remove: &[],
        reads: Reads::Nothing,
        data_change: true,
        operation: Operation { name: "WRITE", metrics: &[] },
    }
}

/// Makes the table with these rows.
fn made(table: &Table, batch: &RecordBatch) -> Snapshot {
    let files = written(table, Layout::new(columns()), batch);
    let change = Change { schema: Some(&columns()), ..append(&files, "floodmark:maker", 1) };
    assert_eq!(table.commit(None, &change).unwrap(), Outcome::Done(0));
    table.snapshot().unwrap().unwrap()
}

fn contents(table: &Table, snapshot: &Snapshot) -> RecordBatch {
    read(table, snapshot).unwrap()
}

fn read(table: &Table, snapshot: &Snapshot) -> Result<RecordBatch> {
    let names = snapshot.schema.names();
    let mut batches = Vec::new();
    for file in snapshot.files()? {
        batches.extend(table.read(snapshot, file, &names)?.collect::<Result<Vec<_>>>()?);
    }
    Ok(concat_batches(&snapshot.schema.to_arrow(), &batches)?)
}

fn ids(table: &Table) -> Vec<i64> {
    let snapshot = table.snapshot().unwrap().unwrap();
    let batch = contents(table, &snapshot);
    let column = batch.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap();
    let mut ids = column.values().to_vec();
    ids.sort_unstable();
    ids
}
