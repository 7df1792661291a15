//! `scd2` with versions: keys whose history ends at the watermark or behind it. A run leaves a row alone whose version is
//! not beyond where its history ends: one that is missing there comes back by no run.

use super::{apart, table};
use crate::diff::{Encoder, Paired, Side, columns};
use floodmark_connect::{Range, Stop, digests::Split};
use floodmark_core::{Result, pipeline::Pipeline, state::Mark, watermark::Bounds};
use std::collections::HashSet;

/// The table's histories.
pub(super) struct Closed<'a> {
    pipeline: &'a Pipeline,
    mark: &'a Mark,
    stop: &'a Stop,
    /// `None` until the first key is asked for.
    keys: Option<HashSet<Box<[u8]>>>,
}

impl<'a> Closed<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, mark: &'a Mark, stop: &'a Stop) -> Self {
        Closed { pipeline, mark, stop, keys: None }
    }

    /// Whether the history of a key ends at the watermark or behind it.
    pub(super) fn holds(&mut self, paired: &Paired, key: &[u8]) -> Result<bool> {
        if self.keys.is_none() {
            self.keys = Some(self.read(paired)?);
        }
        Ok(self.keys.as_ref().is_some_and(|keys| keys.contains(key)))
    }

    /// Other columns are compared from now on.
    pub(super) fn forget(&mut self) {
        self.keys = None;
    }

    fn read(&self, paired: &Paired) -> Result<HashSet<Box<[u8]>>> {
        let spec = apart(&table(self.pipeline), "NOT is_current")?;
        let side = Side::open(&spec, false, self.stop)?;
        let bounds = Bounds { from: Some(self.mark.value.clone()), exclusive: false, until: None, before: None };
        let range = Range { column: "valid_to".into(), bounds, nulls: false };
        let (pairs, split) = (&paired.pairs[..paired.key], Split::Content(0));
        let mut encoder = Encoder::new(pairs, false, &split);
        let mut keys = HashSet::new();
        side.read_range(&columns(pairs, false, &split), Some(&range), |rows| {
            let mut rows = encoder.over(&rows)?;
            while let Some(row) = rows.next()? {
                keys.insert(row.bytes.into());
            }
            Ok(())
        })?;
        Ok(keys)
    }
}
