//! A source in disorder: the same rows, cut anew, in another order, or delivered a part at a time.

use arrow::{
    array::{RecordBatch, UInt64Array},
    compute::take_record_batch,
};
use floodmark_connect::{
    BadRow, Batch, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Extent, Glance},
};
use floodmark_core::{Code, DataType, Error, Result};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

/// Pieces that change places with each other: rows move at most so far, and so much is in memory.
const WINDOW: usize = 16;
/// Rows of a piece.
const PIECE: usize = 512;

/// What is done to the order of things.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disorder {
    /// Batches of at most so many rows.
    pub(crate) cut: Option<usize>,
    /// Rows, and slices, in the order this seed gives.
    pub(crate) shuffle: Option<u64>,
    /// The last slice first.
    pub(crate) reverse: bool,
    /// Only so many of the last slices are there.
    pub(crate) last: Option<usize>,
    /// Only slices of these names are there.
    pub(crate) only: Option<Arc<HashSet<String>>>,
}

/// A source seen through a disorder. Batches with bad rows stay as they are: their numbers are those of the source.
pub(crate) struct Disordered {
    pub(crate) inner: Box<dyn Source>,
    pub(crate) how: Disorder,
}

impl Source for Disordered {
    fn slices(&self, stop: &Stop) -> Result<Vec<Slice>> {
        let mut slices = self.inner.slices(stop)?;
        if let Some(only) = &self.how.only {
            slices.retain(|slice| only.contains(&slice.name));
        }
        if let Some(last) = self.how.last {
            slices.drain(..slices.len().saturating_sub(last));
        }
        if self.how.reverse {
            slices.reverse();
        }
        if let Some(seed) = self.how.shuffle {
            let order = Random(seed).order(slices.len());
            slices = order.into_iter().map(|n| slices[n as usize].clone()).collect();
        }
        Ok(slices)
    }

    fn ordered(&self) -> bool {
        self.inner.ordered()
    }

    fn sorts(&self) -> bool {
        self.how.shuffle.is_none() && self.inner.sorts()
    }

    fn divides(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<bool> {
        self.inner.divides(column, data_type, stop)
    }

    fn files(&self) -> Option<&dyn Files> {
        self.inner.files()
    }

    fn extent(&self, column: &str, data_type: DataType, stop: &Stop) -> Result<Option<Extent>> {
        self.inner.extent(column, data_type, stop)
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Glance> {
        self.inner.glance(slices, request, stop)
    }

    fn first_bad(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Vec<BadRow>> {
        self.inner.first_bad(slice, plan, stop)
    }

    fn survey(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Survey> {
        self.inner.survey(slices, request, stop)
    }

    fn read(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let inner = self.inner.read(slice, plan, stop)?;
        let rows = self.how.cut.unwrap_or(if self.how.shuffle.is_some() { PIECE } else { usize::MAX });
        let pieces = Pieces { inner, rows: rows.max(1), waiting: VecDeque::new() };
        Ok(match self.how.shuffle {
            None => Box::new(pieces),
            Some(seed) => Box::new(Shuffled { pieces, random: Random(seed), window: Vec::new() }),
        })
    }
}

/// Batches cut into smaller ones.
struct Pieces {
    inner: Box<dyn Batches>,
    rows: usize,
    waiting: VecDeque<Batch>,
}

impl Iterator for Pieces {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.waiting.is_empty() {
            let batch = match self.inner.next()? {
                Ok(batch) => batch,
                error => return Some(error),
            };
            let rows = batch.rows.num_rows();
            if !batch.bad.is_empty() || rows <= self.rows {
                return Some(Ok(batch));
            }
            let mut at = 0;
            while at < rows {
                let length = self.rows.min(rows - at);
                self.waiting.push_back(Batch {
                    rows: batch.rows.slice(at, length),
                    bad: Vec::new(),
                    first_row: batch.first_row + at as u64,
                    covered: length as u64,
                    left_out: 0,
                });
                at += length;
            }
        }
        self.waiting.pop_front().map(Ok)
    }
}

/// Pieces in disorder, and the rows of each.
struct Shuffled {
    pieces: Pieces,
    random: Random,
    window: Vec<Batch>,
}

impl Iterator for Shuffled {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        while self.window.len() < WINDOW {
            match self.pieces.next() {
                Some(Ok(batch)) => self.window.push(batch),
                Some(error) => return Some(error),
                None => break,
            }
        }
        if self.window.is_empty() {
            return None;
        }
        let mut batch = self.window.swap_remove(self.random.below(self.window.len() as u64) as usize);
        if batch.bad.is_empty() {
            batch.rows = match mixed(&batch.rows, &mut self.random) {
                Ok(rows) => rows,
                Err(error) => return Some(Err(error)),
            };
        }
        Some(Ok(batch))
    }
}

fn mixed(rows: &RecordBatch, random: &mut Random) -> Result<RecordBatch> {
    let order = UInt64Array::from(random.order(rows.num_rows()));
    take_record_batch(rows, &order)
        .map_err(|e| Error::new(Code::Internal, "rows could not be put into another order").cause(e))
}

/// A sequence of numbers that is the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    /// The numbers below `n`, each once. Of two or more never in their own order.
    fn order(&mut self, n: usize) -> Vec<u64> {
        let mut order: Vec<u64> = (0..n as u64).collect();
        for at in (1..n).rev() {
            order.swap(at, self.below(at as u64 + 1) as usize);
        }
        if n > 1 && order.is_sorted() {
            order.rotate_left(1);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn batch(first: i64, rows: i64) -> Result<Batch> {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
        let rows = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        Ok(Batch { covered: rows.num_rows() as u64, rows, bad: Vec::new(), first_row: first as u64, left_out: 0 })
    }

    fn ids(batches: impl Iterator<Item = Result<Batch>>) -> Vec<i64> {
        batches.flat_map(|b| b.unwrap().rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    fn pieces(rows: usize) -> Pieces {
        Pieces { inner: Box::new(vec![batch(1, 700), batch(701, 3)].into_iter()), rows, waiting: VecDeque::new() }
    }

    #[test]
    fn cut_batches_know_their_rows() {
        let all: Vec<Batch> = pieces(300).map(Result::unwrap).collect();
        let places: Vec<(u64, u64)> = all.iter().map(|b| (b.first_row, b.covered)).collect();
        assert_eq!(places, [(1, 300), (301, 300), (601, 100), (701, 3)]);
        assert_eq!(ids(pieces(300)), (1..704).collect::<Vec<_>>());
    }

    #[test]
    fn a_shuffle_loses_nothing_and_leaves_nothing_in_place() {
        let shuffled = Shuffled { pieces: pieces(100), random: Random(7), window: Vec::new() };
        let mut found = ids(shuffled);
        assert!(found.iter().zip(1..).filter(|(id, at)| *id == at).count() < 30);
        found.sort_unstable();
        assert_eq!(found, (1..704).collect::<Vec<_>>());
        assert_eq!((0..50).filter(|seed| Random(*seed).order(2) == [1, 0]).count(), 50);
    }
}
