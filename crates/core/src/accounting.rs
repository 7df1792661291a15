//! Every row is accounted for (P9).

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// Rows by outcome, named as in `--format json`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Rows taken from the source.
    pub read: u64,
    /// Rows the `transform` made of them; `None` without one.
    pub transformed: Option<u64>,
    /// Already loaded (behind the watermark or recognised at it), or left for later (`settle`, `nulls: exclude`).
    pub skipped: u64,
    /// Bad rows kept in `_floodmark_rejects`.
    pub rejected: u64,
    /// Lost to a newer copy of the same key in the same batch.
    pub superseded: u64,
    /// Older than what the table (or a tombstone) holds.
    pub stale: u64,
    /// Same content as the table holds; not written.
    pub unchanged: u64,
    /// New rows.
    pub inserted: u64,
    /// Rows whose content changed.
    pub updated: u64,
    /// Rows a delete mark took out.
    pub deleted: u64,
    /// Delete marks for rows that were not there.
    pub delete_noop: u64,
    /// Rows a replacement took out of the table; beside the sum.
    pub removed: u64,
}

impl Counts {
    /// Rows that went into one of the outcomes.
    pub fn accounted(&self) -> u64 {
        self.skipped
            + self.rejected
            + self.superseded
            + self.stale
            + self.unchanged
            + self.inserted
            + self.updated
            + self.deleted
            + self.delete_noop
    }

    /// Fails when a row went in and no outcome came out, or the other way round.
    pub fn check(&self) -> Result<()> {
        let expected = self.transformed.unwrap_or(self.read);
        if self.accounted() == expected {
            return Ok(());
        }
        Err(Error::new(
            Code::Accounting,
            format!(
                "{} went in and {} came out by outcome: {self:?}",
                crate::wording::count(expected, "row"),
                self.accounted()
            ),
        )
        .state("the open transaction was rolled back")
        .help("please report this: it is a defect, and the check is there so that it cannot reach your table"))
    }

    /// Whether the table is different from before.
    pub fn changed(&self) -> bool {
        self.inserted + self.updated + self.deleted + self.removed > 0
    }

    /// Adds `other`, outcome by outcome.
    pub fn add(&mut self, other: &Counts) {
        self.read += other.read;
        if let Some(n) = other.transformed {
            *self.transformed.get_or_insert(0) += n;
        }
        self.skipped += other.skipped;
        self.rejected += other.rejected;
        self.superseded += other.superseded;
        self.stale += other.stale;
        self.unchanged += other.unchanged;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.delete_noop += other.delete_noop;
        self.removed += other.removed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_row_fails_the_check() {
        let counts = Counts { read: 3, inserted: 2, ..Counts::default() };
        assert_eq!(counts.check().unwrap_err().code(), Code::Accounting);
        assert!(Counts { rejected: 1, ..counts }.check().is_ok());
    }

    #[test]
    fn with_a_transform_its_rows_are_the_sum() {
        assert!(Counts { read: 9, transformed: Some(2), inserted: 2, ..Counts::default() }.check().is_ok());
    }
}
