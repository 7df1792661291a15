//! Which row wins (P5): the one rule every destination applies, in Rust or said in SQL.

use crate::accounting::Counts;
use std::cmp::Ordering;

/// What the table holds for the incoming row's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    Absent,
    /// A row. `deleted` is a soft delete.
    Row {
        /// Marked deleted, still there.
        deleted: bool,
    },
    /// A tombstone of a hard delete.
    Tombstone,
}

/// What happens to the incoming row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Becomes a new row.
    Insert,
    /// Replaces the content of the row, if that differs; else it is unchanged.
    Write,
    /// Is older than what is there, and not written.
    Stale,
    /// Takes the row out.
    Delete,
    /// Would take out what is not there; a tombstone still remembers the version.
    DeleteNoop,
}

/// The version rule. `version` is how the incoming version compares with the existing one's (`Equal` where the
/// pipeline has none, so that the later row wins).
///
/// Newer or equal wins; at equal versions a delete wins over a row, whichever came first, so that the result does not
/// depend on the order of arrival. Without versions (`versioned: false`) there is nothing to remember of a delete.
pub fn decide(existing: Existing, version: Ordering, delete: bool, versioned: bool) -> Fate {
    let gone = matches!(existing, Existing::Tombstone | Existing::Row { deleted: true });
    let older = match existing {
        Existing::Absent => false,
        _ if !versioned => false,
        _ => version == Ordering::Less || (version == Ordering::Equal && gone && !delete),
    };
    if older {
        return Fate::Stale;
    }
    match (existing, delete) {
        (Existing::Row { deleted: false }, true) => Fate::Delete,
        (_, true) => Fate::DeleteNoop,
        (Existing::Row { .. }, false) => Fate::Write,
        (Existing::Absent | Existing::Tombstone, false) => Fate::Insert,
    }
}

/// Whether a row is a rival of the copy that a run has taken for its key: neither is newer, and they differ. Where rows come
/// in no order, neither can be chosen. `taken` is what became of that copy, the rest what [`decide`] is asked of the row.
pub fn rivals(taken: Standing, existing: Existing, version: Ordering, same: bool, delete: bool) -> bool {
    let there = matches!(taken, Standing::Inserted | Standing::Updated | Standing::Unchanged | Standing::Revived);
    there && !delete && existing == (Existing::Row { deleted: false }) && version == Ordering::Equal && !same
}

/// What became of the newest copy of a key so far, measured against the table before the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A new row.
    Inserted,
    /// A row with another content.
    Updated,
    /// What was there already.
    Unchanged,
    /// Older than what was there.
    Stale,
    /// A row that went.
    Deleted,
    /// A delete of a key that was not there.
    DeleteNoop,
    /// A row that was marked deleted, written anew.
    Revived,
    /// A delete of a row that was marked deleted.
    StillMarked,
}

impl Standing {
    /// Every one, in the order of the enum, so that three bits say which.
    pub const ALL: [Standing; 8] = [
        Standing::Inserted,
        Standing::Updated,
        Standing::Unchanged,
        Standing::Stale,
        Standing::Deleted,
        Standing::DeleteNoop,
        Standing::Revived,
        Standing::StillMarked,
    ];

    /// The outcome where `self` was that of the key's copies so far and `now` is that of one more.
    #[must_use]
    pub fn then(self, now: Standing) -> Standing {
        use Standing::*;
        let delete = matches!(now, Deleted | DeleteNoop | StillMarked);
        match self {
            // Nothing was written for it yet.
            Unchanged | Stale => now,
            Inserted | DeleteNoop if delete => DeleteNoop,
            Inserted | DeleteNoop => Inserted,
            Revived | StillMarked if delete => StillMarked,
            Revived | StillMarked => Revived,
            Updated | Deleted if delete => Deleted,
            Updated | Deleted => Updated,
        }
    }

    /// Where it is counted.
    pub fn count(self, counts: &mut Counts) -> &mut u64 {
        match self {
            Standing::Inserted => &mut counts.inserted,
            Standing::Updated | Standing::Revived => &mut counts.updated,
            Standing::Unchanged => &mut counts.unchanged,
            Standing::Stale => &mut counts.stale,
            Standing::Deleted => &mut counts.deleted,
            Standing::DeleteNoop | Standing::StillMarked => &mut counts.delete_noop,
        }
    }

    /// Counts one more copy of a key whose copies so far ended as `before`, which is superseded then.
    pub fn settle(before: Option<Standing>, now: Standing, counts: &mut Counts) {
        *now.count(counts) += 1;
        if let Some(before) = before {
            *before.count(counts) -= 1;
            counts.superseded += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The table for one key: live content, deleted content, and the version it stands at.
    type Cell = Option<(i64, bool, i64)>;

    fn apply(cell: Cell, (version, delete, content): (i64, bool, i64)) -> Cell {
        let (existing, order) = match cell {
            None => (Existing::Absent, Ordering::Equal),
            Some((v, true, _)) => (Existing::Tombstone, version.cmp(&v)),
            Some((v, false, _)) => (Existing::Row { deleted: false }, version.cmp(&v)),
        };
        match decide(existing, order, delete, true) {
            Fate::Stale => cell,
            Fate::Insert | Fate::Write => Some((version, false, content)),
            Fate::Delete | Fate::DeleteNoop => Some((version, true, 0)),
        }
    }

    proptest! {
        /// P5, P8: with one content for each version, every order of arrival gives the same table.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            mut rows in prop::collection::vec((0i64..5, any::<bool>()), 1..12), turn in 0usize..12,
        ) {
            let end = |rows: &[(i64, bool)]| rows.iter().fold(None, |cell, (v, d)| apply(cell, (*v, *d, *v)));
            let before = end(&rows);
            let turn = turn % rows.len();
            rows.rotate_left(turn);
            prop_assert_eq!(end(&rows), before);
            rows.reverse();
            prop_assert_eq!(end(&rows), before);
        }

        /// P1: the same rows again change nothing.
        #[test]
        fn a_replay_changes_nothing(rows in prop::collection::vec((0i64..5, any::<bool>()), 1..12)) {
            let end = |cell: Cell| rows.iter().fold(cell, |cell, (v, d)| apply(cell, (*v, *d, *v)));
            let once = end(None);
            prop_assert_eq!(end(once), once);
        }
    }

    #[test]
    fn without_versions_the_later_row_wins() {
        assert_eq!(decide(Existing::Row { deleted: true }, Ordering::Equal, false, false), Fate::Write);
        assert_eq!(decide(Existing::Row { deleted: false }, Ordering::Less, false, false), Fate::Write);
        assert_eq!(decide(Existing::Row { deleted: false }, Ordering::Equal, true, false), Fate::Delete);
    }
}
