//! Rows that would be put back to what they were: what a pipeline loads from its beginning is not always what its runs brought.

use super::Intent;
use crate::{
    registry,
    verify::{Ground, unverified},
};
use floodmark_core::{
    Result,
    pipeline::{Load, Pipeline},
    state::Remembered,
};

/// An error where rows by key may be newer in the table than in what there is of the source.
pub(super) fn refuse(pipeline: &Pipeline, ground: &Ground<'_>, intent: &Intent) -> Result<()> {
    let Some(expected) = ground.expected.as_ref().filter(|_| ground.keyed && intent.write > 0) else { return Ok(()) };
    let name = &pipeline.name;
    let anew = format!("to load what there is now anew: floodmark run {name} --full-refresh");
    if expected.lost {
        return Err(unverified("files that were loaded are gone, and may have held what these rows are")
            .help("put them back where they were, and repair again")
            .help(anew));
    }
    if expected.replaced {
        return Err(unverified("files have changed since they were loaded, and may have held what these rows are")
            .help(format!("let a run load them first: floodmark run {name}"))
            .help(anew));
    }
    if pipeline.load == Load::Scd2 && pipeline.version.is_some() {
        let memories = registry::destination(&pipeline.destination.url)?.ledger()?.memories(name)?;
        if memories.iter().any(|memory| memory.what == Remembered::Seen) {
            // Such a version has no row of its own: it goes by the row before it, which is not what it was.
            return Err(unverified(
                "the history has versions that brought what was there already, which a repair would change as well",
            )
            .help(anew));
        }
    }
    Ok(())
}
