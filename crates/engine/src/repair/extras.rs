//! What becomes of rows that the source does not hold.

use super::RepairOptions;
use crate::verify::Ground;
use floodmark_core::pipeline::{AbsentRows, Load, Pipeline};

/// Whether rows that are only in the table go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extras {
    /// They go, as the pipeline says: taken out, marked or closed.
    Go,
    /// They stay, for this reason.
    Stay(String),
}

impl Extras {
    pub(super) fn of(pipeline: &Pipeline, ground: &Ground<'_>, options: &RepairOptions) -> Extras {
        let stay = |why: &str| Extras::Stay(why.to_owned());
        if pipeline.load == Load::Scd2 && pipeline.version.is_some() {
            return stay(&format!(
                "a history with versions closes a row where its next version begins, and there is none: \
                 `floodmark run {} --full-refresh` makes it anew",
                pipeline.name
            ));
        }
        if options.delete_extra && !ground.keyed && ground.begins() {
            return stay(
                "rows without a key that lie before the pipeline's `start` may be what backfills loaded before the state was \
                 reset: take out by hand what is none of the source's",
            );
        }
        if options.delete_extra {
            return Extras::Go;
        }
        if let Some(doubt) = ground.doubtful() {
            return match ground.replaced_whole(pipeline) {
                true => {
                    stay(&format!("{doubt}; what is replaced as a whole is left alone: --delete-extra replaces it"))
                }
                false => stay(&format!("{doubt}: --delete-extra takes them out")),
            };
        }
        match pipeline.load {
            Load::Overwrite => Extras::Go,
            _ if pipeline.absent_rows != AbsentRows::Keep => Extras::Go,
            // A window that the source holds is replaced as a whole; others are left alone.
            Load::DeleteInsert if pipeline.key.is_empty() => Extras::Go,
            _ => stay(&format!("`load: {}` leaves such rows: --delete-extra takes them out", pipeline.load.name())),
        }
    }
}
