//! A Parquet object, row group by row group: of each, the wanted columns are asked for at once.

use crate::bytes::Bytes;
use arrow::{array::RecordBatch, error::ArrowError};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    errors::ParquetError,
};
use std::ops::Range;

pub(crate) struct RowGroups {
    file: Bytes,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    batch_rows: usize,
    /// Row groups that come, and how many rows of the first are left out.
    coming: Range<usize>,
    skip: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl RowGroups {
    /// Of these columns, from row `skip` on.
    pub(crate) fn new(
        builder: &ParquetRecordBatchReaderBuilder<Bytes>,
        file: Bytes,
        columns: Vec<usize>,
        skip: u64,
        batch_rows: usize,
    ) -> Result<RowGroups, ParquetError> {
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let groups = builder.metadata().row_groups();
        let mut skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut first = 0;
        while let Some(rows) = groups.get(first).map(|group| usize::try_from(group.num_rows()).unwrap_or(0))
            && rows <= skip
        {
            skip -= rows;
            first += 1;
        }
        let metadata = ArrowReaderMetadata::try_new(builder.metadata().clone(), Default::default())?;
        let coming = first..groups.len();
        Ok(RowGroups { file, metadata, mask, batch_rows, coming, skip, reader: None })
    }

    fn open(&mut self, group: usize) -> Result<ParquetRecordBatchReader, ArrowError> {
        let columns = self.metadata.metadata().row_group(group).columns();
        let wanted = columns.iter().enumerate().filter(|(leaf, _)| self.mask.leaf_included(*leaf));
        let ranges: Vec<Range<u64>> = wanted
            .map(|(_, column)| {
                let (start, length) = column.byte_range();
                start..start.saturating_add(length)
            })
            .collect();
        self.file.hold(&ranges)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        let builder = builder.with_projection(self.mask.clone()).with_batch_size(self.batch_rows);
        Ok(builder.with_row_groups(vec![group]).with_offset(std::mem::take(&mut self.skip)).build()?)
    }
}

impl Iterator for RowGroups {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            let group = self.coming.next()?;
            match self.open(group) {
                Ok(reader) => self.reader = Some(reader),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
