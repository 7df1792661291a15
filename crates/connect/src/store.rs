//! Files that lie elsewhere than in the file system: objects, which are read by ranges.

use crate::{Slice, Stop};
use bytes::Bytes;
use floodmark_core::Result;
use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

/// Where such files are found and read.
pub trait Store: Send + Sync {
    /// The objects that match a pattern, in any order. An error where there is none, and once it is to stop.
    fn find(&self, pattern: &str, stop: &Stop) -> Result<Vec<Slice>>;

    /// One of them, to read from. Nothing is asked of the store yet.
    fn open(&self, slice: &Slice) -> Result<Arc<dyn Object>>;
}

/// An object as it was found. What is read of it is of this one state: once it is replaced or gone, every method fails.
/// What went wrong is one of [`floodmark_core::Error`], carried by an [`io::Error`].
pub trait Object: Send + Sync {
    /// Bytes.
    fn size(&self) -> u64;

    /// The bytes of a range that lies within it.
    fn range(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// Several ranges, asked for at the same time.
    fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>>;

    /// From a place to its end: what comes next is asked for before it is read.
    fn read_from(&self, start: u64) -> Box<dyn Read + Send + Sync>;
}
