//! A Parquet file, row group by row group: those that are wanted, and of each of an object the wanted columns at once.

use crate::bytes::Bytes;
use arrow::{array::RecordBatch, error::ArrowError};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
    },
    errors::ParquetError,
};
use std::{collections::VecDeque, ops::Range};

pub(crate) struct RowGroups {
    file: Bytes,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    batch_rows: usize,
    /// Row groups that come, with how many rows at the beginning are left out.
    coming: VecDeque<(Vec<usize>, usize)>,
    reader: Option<ParquetRecordBatchReader>,
}

impl RowGroups {
    /// Of these columns, from row `skip` on, row groups that are wanted, where that is not all of them.
    pub(crate) fn new(
        builder: &ParquetRecordBatchReaderBuilder<Bytes>,
        file: Bytes,
        columns: Vec<usize>,
        skip: u64,
        wanted: Option<&[bool]>,
        batch_rows: usize,
    ) -> Result<RowGroups, ParquetError> {
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let mut skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut coming: VecDeque<(Vec<usize>, usize)> = VecDeque::new();
        for (n, group) in builder.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            let ahead = skip.min(rows);
            skip -= ahead;
            if ahead == rows || wanted.is_some_and(|wanted| !wanted[n]) {
                continue;
            }
            match coming.back_mut() {
                // What is asked for at once is held in memory. A file of this machine is read as it is decoded, and its batches
                // go on from one row group to the next.
                Some((groups, _)) if matches!(file, Bytes::Local(_)) && groups.last() == Some(&(n - 1)) => {
                    groups.push(n);
                }
                _ => coming.push_back((vec![n], ahead)),
            }
        }
        let metadata = ArrowReaderMetadata::try_new(builder.metadata().clone(), Default::default())?;
        Ok(RowGroups { file, metadata, mask, batch_rows, coming, reader: None })
    }

    fn open(&mut self, groups: Vec<usize>, skip: usize) -> Result<ParquetRecordBatchReader, ArrowError> {
        let columns =
            groups.iter().flat_map(|group| self.metadata.metadata().row_group(*group).columns().iter().enumerate());
        let wanted = columns.filter(|(leaf, _)| self.mask.leaf_included(*leaf));
        let ranges: Vec<Range<u64>> = wanted
            .map(|(_, column)| {
                let (start, length) = column.byte_range();
                start..start.saturating_add(length)
            })
            .collect();
        self.file.hold(&ranges)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        let builder = builder.with_projection(self.mask.clone()).with_batch_size(self.batch_rows);
        Ok(builder.with_row_groups(groups).with_offset(skip).build()?)
    }
}

impl Iterator for RowGroups {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            let (groups, skip) = self.coming.pop_front()?;
            match self.open(groups, skip) {
                Ok(reader) => self.reader = Some(reader),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
