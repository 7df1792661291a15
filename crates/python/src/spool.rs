//! Batches that are read more often than they come: the first in memory, all of them in a temporary file when there are more.

use arrow::{
    array::RecordBatch,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use floodmark_core::{Code, Error, Result};
use std::{
    fs::File,
    io::{BufReader, BufWriter, Seek, Write},
};

/// Batches of which each may have types of its own: one stream of Arrow IPC behind the other.
#[derive(Default)]
pub(crate) struct Spool {
    first: Option<RecordBatch>,
    file: Option<BufWriter<File>>,
    /// How many are in the file.
    written: usize,
}

impl Spool {
    /// Keeps one more.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if self.first.is_none() && self.file.is_none() {
            self.first = Some(batch);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(tempfile::tempfile().map_err(full)?)),
        };
        for batch in self.first.take().iter().chain([&batch]) {
            let mut stream = StreamWriter::try_new(&mut *file, &batch.schema())?;
            stream.write(batch).and_then(|()| stream.finish()).map_err(full)?;
            self.written += 1;
        }
        Ok(())
    }

    /// All of them, from the first on.
    pub(crate) fn read(&mut self) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + Send>> {
        let Some(file) = &mut self.file else { return Ok(Box::new(self.first.clone().into_iter().map(Ok))) };
        file.flush().map_err(full)?;
        let mut file = file.get_ref().try_clone().map_err(full)?;
        file.rewind().map_err(full)?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        Ok(Box::new((0..self.written).map(move |_| {
            let mut stream = StreamReader::try_new(&mut reader, None)?;
            let batch = stream.next().ok_or_else(|| Error::internal("a kept batch is gone"))??;
            // Its end is read as well: the next one stands behind it.
            match stream.next() {
                None => Ok(batch),
                Some(_) => Err(Error::internal("a kept batch has another behind it")),
            }
        })))
    }
}

fn full(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Code::SourceRead, "the rows that are handed over cannot be kept aside")
        .help("make room in the temporary folder, or name another by TMPDIR")
        .cause(cause)
}
