//! Rows of a load, held until those of the table that they may meet are there.

use crate::merge::Batches;
use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use floodmark_connect::{
    ShapedBatch,
    crash::{self, Point},
};
use floodmark_core::{Code, Error, Result};
use std::{
    collections::VecDeque,
    fs::File,
    io::{BufReader, BufWriter, Seek},
    sync::Arc,
};

/// Bytes that are held in memory; what comes on top goes to a file without a name.
const HELD: usize = 64 << 20;

/// The name of the column that says which rows mark a delete. No column of a table is called so.
const DELETE: &str = "\0delete";

#[derive(Default)]
pub(super) struct Spool {
    held: VecDeque<ShapedBatch>,
    bytes: usize,
    parts: VecDeque<Part>,
    writer: Option<(StreamWriter<BufWriter<File>>, SchemaRef, VecDeque<usize>)>,
}

/// Batches of the same columns in a file, and of which slice each is.
struct Part {
    file: File,
    slices: VecDeque<usize>,
}

impl Spool {
    pub(super) fn push(&mut self, batch: ShapedBatch) -> Result<()> {
        let size = batch.rows.get_array_memory_size();
        if self.writer.is_none() && self.parts.is_empty() && self.bytes + size <= HELD {
            self.bytes += size;
            self.held.push_back(batch);
            return Ok(());
        }
        let rows = with_marks(&batch)?;
        if self.writer.as_ref().is_some_and(|(_, schema, _)| *schema != rows.schema()) {
            self.close()?;
        }
        if self.writer.is_none() {
            let file = crash::at(Point::Temporary, || tempfile().map_err(failed))?;
            let schema = rows.schema();
            self.writer = Some((StreamWriter::try_new(BufWriter::new(file), &schema)?, schema, VecDeque::new()));
        }
        if let Some((writer, _, slices)) = &mut self.writer {
            crash::at(Point::Temporary, || Ok(writer.write(&rows)?))?;
            slices.push_back(batch.slice);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let Some((mut writer, _, slices)) = self.writer.take() else { return Ok(()) };
        crash::at(Point::Temporary, || Ok(writer.finish()?))?;
        let mut file = writer.into_inner()?.into_inner().map_err(|e| failed(e.into_error()))?;
        file.rewind().map_err(failed)?;
        self.parts.push_back(Part { file, slices });
        Ok(())
    }

    /// The rows as they came. `complete`: see [`Batches::complete`].
    pub(super) fn read(mut self, complete: bool) -> Result<Unspooled> {
        self.close()?;
        Ok(Unspooled { held: self.held, parts: self.parts, reader: None, complete })
    }
}

fn with_marks(batch: &ShapedBatch) -> Result<RecordBatch> {
    let Some(delete) = &batch.delete else { return Ok(batch.rows.clone()) };
    let mark = Arc::new(Field::new(DELETE, DataType::Boolean, true));
    let schema = batch.rows.schema();
    let fields: Vec<_> = schema.fields().iter().cloned().chain([mark]).collect();
    let columns = batch.rows.columns().iter().cloned().chain([Arc::new(delete.clone()) as _]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn tempfile() -> std::io::Result<File> {
    tempfile::tempfile()
}

fn failed(error: std::io::Error) -> Error {
    Error::new(Code::DestinationWrite, "rows cannot be held in the folder for temporary files")
        .state("nothing was written")
        .help("make room there, or name another folder in TMPDIR")
        .cause(error)
}

pub(super) struct Unspooled {
    held: VecDeque<ShapedBatch>,
    parts: VecDeque<Part>,
    reader: Option<(StreamReader<BufReader<File>>, VecDeque<usize>)>,
    complete: bool,
}

impl Batches for Unspooled {
    fn next(&mut self) -> Result<Option<ShapedBatch>> {
        if let Some(batch) = self.held.pop_front() {
            return Ok(Some(batch));
        }
        loop {
            if let Some((reader, slices)) = &mut self.reader
                && let Some(slice) = slices.pop_front()
            {
                let rows = reader.next().ok_or_else(|| Error::internal("rows that were held are not there"))??;
                return without_marks(rows, slice).map(Some);
            }
            let Some(part) = self.parts.pop_front() else { return Ok(None) };
            self.reader = Some((StreamReader::try_new(BufReader::new(part.file), None)?, part.slices));
        }
    }

    fn complete(&self) -> bool {
        self.complete
    }
}

fn without_marks(mut rows: RecordBatch, slice: usize) -> Result<ShapedBatch> {
    let delete = rows.schema().index_of(DELETE).ok().map(|at| rows.remove_column(at));
    let delete: Option<BooleanArray> = delete.map(|array| array.as_boolean().clone());
    Ok(ShapedBatch { rows, delete, slice })
}
